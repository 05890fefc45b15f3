"""The masking layer: what the paper calls ablation, seen from plain Keras."""

from __future__ import annotations

import functools
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import repro
from repro.models.loading import load_model
from repro.models.masking import AblationMask, ablation_masks, layer_of
from repro.models.networks import mlp
from tests.helpers.masks import set_masks


def without_masks(model: keras.Model) -> keras.Model:
    """The same network with the masks taken out, built from its weights."""
    x = images = keras.Input(model.input_shape[1:])
    for layer in model.layers[1:]:
        if not isinstance(layer, AblationMask):
            x = layer.__class__.from_config(layer.get_config())(x)
    plain = keras.Model(images, x)
    plain.set_weights(
        [
            value
            for layer in model.layers
            if not isinstance(layer, AblationMask)
            for value in layer.get_weights()
        ]
    )
    return plain


def test_masks_are_lambda_layers_after_each_hidden_layer(tiny_mlp: Any) -> None:
    masks = ablation_masks(tiny_mlp)
    assert all(isinstance(mask, keras.layers.Lambda) for mask in masks)
    assert [layer_of(mask) for mask in masks] == ["hidden_1", "hidden_2"]
    assert not any(mask.trainable_variables for mask in masks)


def test_a_mask_of_ones_leaves_the_outputs_bit_identical(tiny_mlp: Any, tiny_images: Any) -> None:
    images, _ = tiny_images
    expected = without_masks(tiny_mlp).predict(images, verbose=0)
    assert tiny_mlp.predict(images, verbose=0).tobytes() == expected.tobytes()


def test_ones_are_bit_identical_whatever_the_fill(
    tiny_mlp: Any, tiny_images: Any, rng: Any
) -> None:
    images, _ = tiny_images
    expected = tiny_mlp.predict(images, verbose=0)
    set_masks(tiny_mlp, np.ones(40), rng.normal(0, 1e6, 40))
    assert np.array_equal(tiny_mlp.predict(images, verbose=0), expected)


@pytest.mark.parametrize("fill_value", [0.0, 1.5])
def test_an_ablated_unit_reads_its_fill_and_its_neighbours_their_values(
    tiny_mlp: Any, tiny_images: Any, fill_value: float
) -> None:
    images, _ = tiny_images
    mask = tiny_mlp.get_layer("hidden_1_mask")
    probe = keras.Model(tiny_mlp.input, [mask.input, mask.output])
    keep, fill = np.ones(24), np.zeros(24)
    keep[[3, 20]], fill[[3, 20]] = 0, fill_value
    mask.keep.assign(keep)
    mask.fill.assign(fill)
    before, after = probe.predict(images, verbose=0)
    assert np.all(after[:, [3, 20]] == fill_value)
    assert np.array_equal(np.delete(after, [3, 20], 1), np.delete(before, [3, 20], 1))


def test_a_feature_map_is_clamped_at_every_position(rng: Any) -> None:
    images = keras.Input((5, 5, 2))
    # Positive weights on positive images: no map is dead by chance.
    positive = keras.initializers.RandomUniform(0.1, 1.0, seed=1)
    x = keras.layers.Conv2D(4, 3, activation="relu", kernel_initializer=positive, name="conv")(
        images
    )
    model = keras.Model(images, AblationMask(name="conv_mask")(x))
    model.get_layer("conv_mask").keep.assign([1, 0, 1, 1])
    maps = model.predict(rng.random((7, 5, 5, 2)), verbose=0)
    assert np.all(maps[..., 1] == 0)
    assert np.all(maps[..., [0, 2, 3]].max(axis=(0, 1, 2)) > 0)


def test_fill_may_differ_by_position(rng: Any) -> None:
    images = keras.Input((2, 2, 3))
    model = keras.Model(images, AblationMask(fill_per_position=True, name="mask")(images))
    fill = rng.random((2, 2, 3)).astype("float32")
    model.get_layer("mask").fill.assign(fill)
    model.get_layer("mask").keep.assign([0, 1, 0])
    inputs = rng.random((4, 2, 2, 3)).astype("float32")
    outputs = model.predict(inputs, verbose=0)
    assert np.array_equal(outputs[..., 1], inputs[..., 1])
    assert np.array_equal(outputs[..., 0], np.broadcast_to(fill[..., 0], (4, 2, 2)))


def test_ablating_units_equals_a_network_rebuilt_without_them(
    tiny_mlp: Any, tiny_images: Any, rng: Any
) -> None:
    images, _ = tiny_images
    keep = (rng.random(40) > 0.4).astype("float32")
    set_masks(tiny_mlp, keep)
    first, second = np.flatnonzero(keep[:24]), np.flatnonzero(keep[24:])
    narrow = mlp((6, 6, 1), 5, (len(first), len(second)))
    dense = {name: tiny_mlp.get_layer(name) for name in ("hidden_1", "hidden_2", "logits")}
    kernels = {name: np.array(layer.kernel) for name, layer in dense.items()}
    biases = {name: np.array(layer.bias) for name, layer in dense.items()}
    narrow.get_layer("hidden_1").set_weights(
        [kernels["hidden_1"][:, first], biases["hidden_1"][first]]
    )
    narrow.get_layer("hidden_2").set_weights(
        [kernels["hidden_2"][np.ix_(first, second)], biases["hidden_2"][second]]
    )
    narrow.get_layer("logits").set_weights([kernels["logits"][second], biases["logits"]])
    # Float32 sums of other lengths are added in another order.
    np.testing.assert_allclose(
        tiny_mlp.predict(images, verbose=0),
        narrow.predict(images, verbose=0),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    "load", [functools.partial(load_model, trusted=True), keras.models.load_model]
)
def test_a_saved_model_keeps_its_masks_and_predicts_the_same_bits(
    tiny_mlp: Any, tiny_images: Any, tmp_path: Path, rng: Any, load: Any
) -> None:
    images, _ = tiny_images
    keep = (rng.random(40) > 0.5).astype("float32")
    set_masks(tiny_mlp, keep, rng.random(40))
    tiny_mlp.save(tmp_path / "lesioned.keras")
    loaded = load(tmp_path / "lesioned.keras")
    assert (
        loaded.predict(images, verbose=0).tobytes() == tiny_mlp.predict(images, verbose=0).tobytes()
    )
    assert np.array_equal(np.concatenate([np.array(m.keep) for m in ablation_masks(loaded)]), keep)


def test_assigning_keep_to_a_loaded_model_ablates_at_once(
    tiny_mlp: Any, tiny_images: Any, tmp_path: Path
) -> None:
    images, _ = tiny_images
    tiny_mlp.save(tmp_path / "intact.keras")
    loaded = repro.load_model(tmp_path / "intact.keras", trusted=True)
    intact = loaded.predict(images, verbose=0)
    loaded.get_layer("hidden_2_mask").keep.assign(np.zeros(16))
    outputs = loaded.predict(images, verbose=0)
    assert not np.array_equal(outputs, intact)
    assert np.array_equal(outputs, np.broadcast_to(outputs[0], outputs.shape))


def test_a_saved_model_holds_no_bytecode(tiny_mlp: Any, tmp_path: Path) -> None:
    tiny_mlp.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = archive.read("config.json").decode()
    assert "repro>AblationMask" in config
    assert "__lambda__" not in config and "bytecode" not in config


def test_masks_keep_their_precision_under_mixed_precision(rng: Any) -> None:
    images = keras.Input((4,))
    mask = AblationMask(name="mask", dtype="mixed_bfloat16")
    model = keras.Model(images, mask(images))
    mask.keep.assign([1, 0, 1, 0])
    outputs = model.predict(rng.random((3, 4)), verbose=0)
    assert np.all(np.asarray(outputs, "float32")[:, [1, 3]] == 0)
    assert str(mask.keep.dtype) == "float32"


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (None, "none.keras", "no model at"),
        (b"PK\x03\x04 cut short", "short.keras", "not a complete .keras file"),
        (b"", "empty.keras", "not a complete .keras file"),
        (b"anything", "model.h5", "expected a .keras file"),
    ],
)
def test_loading_what_is_no_model_says_so(
    tmp_path: Path, content: bytes | None, name: str, sentence: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        load_model(tmp_path / name)


def test_loading_a_truncated_model_says_so(tiny_mlp: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    tiny_mlp.save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="cut short|cannot be loaded"):
        load_model(path)


def test_loading_a_zip_without_a_model_says_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "no model here")
    with pytest.raises(ValueError, match="holds 'readme.txt'; a model is"):
        load_model(tmp_path / "other.keras")


def test_a_model_without_masks_is_refused_with_the_remedy() -> None:
    images = keras.Input((4,))
    model = keras.Model(images, keras.layers.Dense(2)(images))
    with pytest.raises(ValueError, match="no AblationMask layer.*repro.AblationMask"):
        ablation_masks(model)
