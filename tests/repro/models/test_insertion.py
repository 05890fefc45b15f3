"""Masks put into models of others: which layers are hidden, that nothing else changes, and lesions
by the name of a layer. Real architectures are in test_real_models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import repro
from repro.models import graph
from repro.models.insertion import HiddenLayer, drawing, signed_layers
from tests.helpers import plain


class Doubled(L.Layer):
    """A layer of nobody's library."""

    def call(self, x: Any) -> Any:
        return 2 * x


def images_for(model: Any, n_images: int = 6) -> Any:
    """Normal numbers in the structure of the model's inputs."""
    values = np.random.default_rng(1)
    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.map_structure(
        lambda x: values.normal(size=(n_images, *x.shape[1:])).astype(np.float32), inputs
    )


def answers(model: Any, images: Any) -> list[np.ndarray]:
    found = model(images, training=False)
    return [np.asarray(ops.convert_to_numpy(x)) for x in keras.tree.flatten(found)]


def randomised(model: Any, seed: int = 2) -> Any:
    plain.randomise(model, np.random.default_rng(seed))
    return model


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def masked_layers(model: Any, layers: Any = None) -> list[str]:
    return [row.layer for row in repro.hidden_layers(model, layers) if row.masked]


# --- Which layers are hidden ------------------------------------------------------------------

# Output of each layer on maps of 4 x 4 x 3: hidden or not, and a word of the reason.
KINDS: list[tuple[Callable[[Any], Any], bool, str]] = [
    (L.Conv2D(3, 1, activation="relu"), True, "output of relu"),
    (L.Conv2D(3, 1), False, "no activation"),
    (L.DepthwiseConv2D(2, activation="gelu"), True, "output of gelu"),
    (L.SeparableConv2D(3, 1, activation="swish"), True, "output of silu"),
    (L.Conv2DTranspose(3, 1, activation="tanh"), True, "output of tanh"),
    (L.Conv2D(3, 1, activation=L.LeakyReLU()), True, "output of LeakyReLU"),
    (L.Dense(3, activation="linear"), False, "no activation"),
    (L.Dense(3, activation="softmax"), False, "weighs its units against each other"),
    (L.Dense(3, activation=L.Softmax()), False, "weighs its units against each other"),
    (L.EinsumDense("abcd,de->abce", (4, 4, 3), activation="elu"), True, "output of elu"),
    (L.TimeDistributed(L.Dense(3, activation="relu")), True, "output of relu"),
    (L.TimeDistributed(keras.Sequential([L.Dense(3, "relu")])), False, "not opened up"),
    (L.BatchNormalization(), False, "no activation"),
    (L.ReLU(), True, "output of ReLU"),
    (L.ReLU(6.0), True, "output of ReLU"),
    (L.LeakyReLU(), True, "output of LeakyReLU"),
    (L.PReLU(), True, "output of PReLU"),
    (L.ELU(), True, "output of ELU"),
    (L.Softmax(), False, "weighs its units against each other"),
    (L.Activation("hard_swish"), True, "output of hard_silu"),
    (L.Activation("linear"), False, "no activation"),
    (L.MaxPooling2D(), False, "no activation"),
    (L.Dropout(0.5), False, "no activation"),
    (L.Lambda(ops.relu), False, "a function of the author's"),
    (Doubled(), False, "not one of Keras's layers"),
    (lambda x: ops.relu(x), True, "output of relu"),
    (lambda x: keras.activations.leaky_relu(x), True, "output of leakyrelu"),
    (lambda x: ops.softmax(x), False, "weighs its units against each other"),
    (lambda x: ops.relu(L.Add()([x, x])), True, "output of relu"),
    (lambda x: L.Multiply()([x, x]), False, "no activation"),
    (lambda x: L.Reshape((16, 3))(x), False, "no activation"),
    (lambda x: L.LSTM(3)(L.Reshape((16, 3))(x)), False, "recurrent"),
]


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_a_layer_is_hidden_if_it_gives_the_output_of_an_activation(kind: int) -> None:
    layer, masked, word = KINDS[kind]
    images = keras.Input((4, 4, 3))
    x = layer(images)
    model = keras.Model(images, L.Dense(2)(L.Flatten()(x)))
    *_, row, _, _ = repro.hidden_layers(model)
    assert (row.masked, row.n_units) == (masked, x.shape[-1])
    assert word in row.why


ENDS: dict[str, Callable[[Any], Any]] = {
    "an activation": lambda x: L.Dense(5, activation="relu", name="end")(x),
    "a sigmoid": lambda x: L.Dense(5, activation="sigmoid", name="end")(x),
    "a softmax after an activation": lambda x: L.Softmax()(L.Dense(5, "relu", name="end")(x)),
    "class maps and their mean": lambda x: L.Softmax()(
        L.GlobalAveragePooling2D()(L.Conv2D(5, 1, activation="relu", name="end")(x))
    ),
    "class maps, reshaped": lambda x: L.Flatten()(
        L.Conv2D(5, 4, activation="relu", name="end")(L.Dropout(0.5)(x))
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_answer_of_the_model_is_never_hidden(end: str) -> None:
    x = images = keras.Input((4, 4, 3))
    x = L.Conv2D(7, 1, activation="relu", name="conv")(x)
    model = keras.Model(images, ENDS[end](x))
    assert masked_layers(model) == ["conv"]
    row = next(row for row in repro.hidden_layers(model) if row.layer == "end")
    assert "the model's answer" in row.why
    with pytest.raises(ValueError, match="'end' cannot be masked: the model's answer"):
        repro.insert_masks(model, ["end"])


def test_of_two_outputs_neither_is_hidden() -> None:
    images = keras.Input((4,))
    x = L.Dense(6, "relu", name="hidden")(images)
    model = keras.Model(images, [L.Dense(3, "relu", name="a")(x), L.Dense(2, "relu", name="b")(x)])
    assert masked_layers(model) == ["hidden"]


def small_model() -> Any:
    x = images = keras.Input((4,), name="images")
    for depth in (1, 2):
        x = L.Dense(5, name=f"dense_{depth}")(x)
        x = L.ReLU(name=f"relu_{depth}")(x)
    return randomised(keras.Model(images, L.Dense(3, name="logits")(x), name="small"))


@pytest.mark.parametrize(
    ("layers", "masked"),
    [
        (None, ["relu_1", "relu_2"]),
        (["relu_2"], ["relu_2"]),
        (["relu_*"], ["relu_1", "relu_2"]),
        (["*_2"], ["relu_2"]),
        (["dense_1"], ["dense_1"]),
        (["re?u_1", "relu_1", "dense_2"], ["relu_1", "dense_2"]),
    ],
)
def test_layers_are_chosen_by_name_or_pattern(layers: Any, masked: list[str]) -> None:
    model = small_model()
    assert masked_layers(model, layers) == masked
    found = repro.ablation_masks(repro.insert_masks(model, layers))
    assert [mask.name for mask in found] == [f"{name}_mask" for name in masked]


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (["relu_3"], r"no hidden layer fits 'relu_3'; there are relu_1, relu_2"),
        (["dense_?"], r"no hidden layer fits 'dense_\?'"),
        (["logits"], "'logits' cannot be masked: the model's answer"),
        ("relu_1", "layers must be a list of names, got the string 'relu_1'"),
        ([], r"layers must name one hidden layer or more, got \[\]; leave it out for all"),
        ([0], "layers must be names of layers, patterns or layers of the model, got 0; repro.hid"),
        (0, "layers must be a list of names, got 0"),
    ],
)
def test_a_choice_that_fits_nothing_is_refused(layers: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        repro.insert_masks(small_model(), layers)


def test_a_layer_of_the_model_stands_for_its_name() -> None:
    """The user has the layer at hand: `layers=[model.layers[2]]`, `{model.layers[2]: [1]}`."""
    model = small_model()
    layer = model.get_layer("relu_1")
    masked = repro.insert_masks(model, layers=[layer])
    (mask,) = repro.ablation_masks(masked)
    assert mask.name == "relu_1_mask"
    repro.ablate(masked, {layer: [1]})  # type: ignore[dict-item]
    assert np.array(mask.keep).tolist() == [1, 0, 1, 1, 1]
    repro.restore(masked, [layer])
    assert np.array(mask.keep).tolist() == [1] * 5


def test_every_layer_is_listed_and_drawn() -> None:
    model = small_model()
    rows = repro.hidden_layers(model)
    assert [row.layer for row in rows] == [layer.name for layer in model.layers]
    assert rows[2] == HiddenLayer("relu_1", "ReLU", True, 5, "output of ReLU")
    assert drawing(rows[1:3]).splitlines() == [
        "□ dense_1  Dense  5  no activation",
        "■ relu_1   ReLU   5  output of ReLU",
    ]
    assert drawing([]) == ""


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: type("Own", (keras.Model,), {"call": lambda self, x: x})(),
            "is a subclassed model that was not called yet; call it on some images",
        ),
        (lambda: keras.Sequential([L.Dense(3, "relu"), L.Dense(2)]), "has no input yet"),
        (
            lambda: keras.Sequential([keras.Input((3,)), L.Dense(3), L.Dense(2)]),
            r"has no hidden layer to mask; repro.hidden_layers\(model\)",
        ),
    ],
)
def test_a_model_that_cannot_be_masked_is_refused(build: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        repro.insert_masks(build())


SIGNED: list[tuple[Callable[[Any], Any], str]] = [
    (L.Dense(3, "relu", name="x"), ""),
    (L.Dense(3, "sigmoid", name="x"), ""),
    (L.Dense(3, "hard_sigmoid", name="x"), ""),
    (L.Dense(3, activation=L.ReLU(), name="x"), ""),
    (L.Dense(3, activation=L.ReLU(negative_slope=0.1), name="x"), "ReLU"),
    (L.Dense(3, "tanh", name="x"), "tanh"),
    (L.Dense(3, "gelu", name="x"), "gelu"),
    (L.ReLU(name="x"), ""),
    (L.ReLU(negative_slope=0.1, name="x"), "ReLU"),
    (L.LeakyReLU(name="x"), "LeakyReLU"),
    (L.Activation("softplus", name="x"), ""),
    (L.Dense(3, name="x"), "Dense"),
    (Doubled(name="x"), ""),
    (lambda x: L.Dropout(0.5, name="x")(ops.relu(x)), ""),
    (lambda x: L.Dropout(0.5, name="x")(ops.silu(x)), "silu"),
]


@pytest.mark.parametrize("kind", range(len(SIGNED)))
def test_layers_whose_activations_can_be_negative_are_known(kind: int) -> None:
    layer, source = SIGNED[kind]
    images = keras.Input((4,))
    x = repro.AblationMask(name="x_mask")(layer(images))
    model = keras.Model(images, L.Dense(2)(x))
    assert signed_layers(model) == ({"x": source} if source else {})


# --- Nothing else changes ---------------------------------------------------------------------


def nested_model() -> Any:
    """A Sequential of a functional model and a Sequential, with layers of all kinds in them."""
    x = inner = keras.Input((6, 6, 3))
    x = L.Conv2D(4, 3, name="conv")(x)
    x = L.ReLU(name="relu")(L.BatchNormalization(name="norm")(x))
    x = L.ReLU(name="merged")(L.Add(name="add")([x, L.Conv2D(4, 1, name="shortcut")(x)]))
    features = keras.Model(inner, x, name="features")
    head = keras.Sequential(
        [L.Flatten(name="flatten"), L.Dense(6, "gelu", name="dense"), L.Dropout(0.5, name="drop")],
        name="head",
    )
    return randomised(
        keras.Sequential([keras.Input((6, 6, 3)), features, head, L.Dense(4, name="logits")])
    )


@pytest.mark.parametrize("share_weights", [True, False])
def test_nested_models_are_opened_up(share_weights: bool) -> None:
    model = nested_model()
    masked = repro.insert_masks(model, share_weights=share_weights)
    names = [layer.name for layer in masked.layers]
    assert [name for name in names if name.endswith("_mask")] == [
        "relu_mask",
        "merged_mask",
        "dense_mask",
    ]
    assert "features" not in names and "conv" in names
    images = images_for(model)
    assert_same(answers(masked, images), answers(model, images))


@pytest.mark.parametrize("share_weights", [True, False])
def test_weights_are_shared_or_copied(share_weights: bool) -> None:
    model = small_model()
    masked = repro.insert_masks(model, share_weights=share_weights)
    images = images_for(model)
    before = answers(model, images)
    masked.get_layer("dense_1").kernel.assign(np.zeros((4, 5)))
    changed = not np.array_equal(answers(model, images)[0], before[0])
    assert changed == share_weights
    assert not np.array_equal(answers(masked, images)[0], before[0])


def test_the_model_itself_is_as_it_was() -> None:
    model = nested_model()
    images, config, weights = images_for(model), model.get_config(), model.get_weights()
    before = answers(model, images)
    repro.ablate(repro.insert_masks(model), {"dense": [0, 1]})
    assert model.get_config() == config
    assert_same(model.get_weights(), weights)
    assert_same(answers(model, images), before)


def test_inputs_and_outputs_keep_their_structure_and_names() -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    joined = L.Concatenate()([L.Dense(4, "relu", name="left")(a), L.Dense(4, "tanh")(b)])
    outputs = {"class": L.Dense(3)(joined), "size": L.Dense(1)(joined)}
    model = keras.Model({"a": a, "b": b}, outputs)
    masked = repro.insert_masks(model)
    images = images_for(model)
    assert masked(images).keys() == {"class", "size"}
    assert_same(answers(masked, images), answers(model, images))
    repro.ablate(masked, {"left": range(4)})
    first = {**images, "a": images["a"] + 1}  # of the left branch nothing is left
    assert_same(answers(masked, images), answers(masked, first))


def test_a_nested_model_of_several_tensors_is_called_by_order_or_by_name() -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    inner = keras.Model([a, b], [ops.relu(a - b), b], name="inner")
    x, y = keras.Input((3,)), keras.Input((3,))
    difference, same = inner([x, y])
    reverse, _ = inner({"b": x, "a": y})
    end = L.Dense(2)(L.Concatenate()([difference, same, reverse]))
    model = randomised(keras.Model([x, y], end))
    masked = repro.insert_masks(model)
    assert len(repro.ablation_masks(masked)) == 2
    images = images_for(model)
    assert_same(answers(masked, images), answers(model, images))


@pytest.mark.parametrize("share_weights", [True, False])
def test_two_nested_models_may_have_layers_of_one_name(share_weights: bool, tmp_path: Path) -> None:
    """keras-vis's siblings with towers, as in tf-keras-vis#84: the new model renames them."""

    def block(name: str) -> Any:
        return keras.Sequential([keras.Input((4,)), L.Dense(4, "relu", name="dense")], name=name)

    model = randomised(keras.Sequential([block("one"), block("two"), L.Dense(3)]))
    config = model.get_config()
    masked = repro.insert_masks(model, share_weights=share_weights)
    assert [mask.name for mask in repro.ablation_masks(masked)] == ["dense_mask", "two_dense_mask"]
    images = images_for(model)
    assert_same(answers(masked, images), answers(model, images))
    assert [layer.layers[-1].name for layer in model.layers[:2]] == ["dense", "dense"]
    assert model.get_config() == config
    first, second = (layer.layers[-1] for layer in model.layers[:2])
    for name, own in (("dense", first), ("two_dense", second)):
        assert (masked.get_layer(name).kernel is own.kernel) == share_weights
    repro.ablate(masked, {"two_dense": [1, 2]})
    once = np.maximum(images @ first.get_weights()[0] + first.get_weights()[1], 0)
    kernel, bias = second.get_weights()
    twice = np.maximum(once @ kernel + bias, 0) * [1, 0, 0, 1]
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(answers(masked, images)[0], twice @ kernel + bias, rtol=1e-5)
    repro.restore(masked)
    masked.save(tmp_path / "masked.keras")
    loaded = keras.models.load_model(tmp_path / "masked.keras")
    assert_same(answers(loaded, images), answers(model, images))


def test_a_layer_called_twice_has_a_mask_for_each_call() -> None:
    images = keras.Input((4,))
    shared = L.Dense(4, "relu", name="shared")
    once = shared(images)
    twice = shared(once)
    model = randomised(keras.Model(images, L.Dense(3, name="logits")(twice)))
    masked = repro.insert_masks(model)
    assert masked_layers(model) == ["shared", "shared_call_2"]
    given = images_for(model)
    assert_same(answers(masked, given), answers(model, given))
    repro.ablate(masked, {"shared_call_2": [1]})
    clamped = twice * np.array([1, 0, 1, 1], np.float32)
    expected = keras.Model(images, model.get_layer("logits")(clamped))
    np.testing.assert_allclose(
        answers(masked, given)[0], answers(expected, given)[0], rtol=1e-6, atol=1e-6
    )


def test_the_calls_of_a_shared_base_are_listed_in_order_and_told_apart() -> None:
    """keras-grad-cam#21, keras#2495: which call is which."""
    inner = keras.Input((4,))
    base = keras.Model(inner, L.Dense(5, "relu", name="bc")(inner), name="base")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    first, second = base(left), base(right)
    ends = L.Dense(3, name="logits")(L.Concatenate()([first, second]))
    model = randomised(keras.Model([left, right], ends))
    masked = repro.insert_masks(model)
    assert [mask.name for mask in repro.ablation_masks(masked)] == ["bc_mask", "bc_call_2_mask"]
    rows = [row for row in repro.hidden_layers(model) if row.masked]
    assert [(row.layer, row.why) for row in rows] == [
        ("bc", "output of relu; call 1 of 2, computed from input left"),
        ("bc_call_2", "output of relu; call 2 of 2, computed from input right"),
    ]
    given = images_for(model)
    intact = answers(masked, given)[0]
    repro.ablate(masked, {"bc": range(5)})
    other = [given[0] + 1, given[1]]  # the first call is that on the left input: it is cut
    np.testing.assert_array_equal(answers(masked, given)[0], answers(masked, other)[0])
    repro.restore(masked)
    np.testing.assert_array_equal(answers(masked, given)[0], intact)


def test_calls_on_one_input_are_told_apart_by_what_they_are_given() -> None:
    images = keras.Input((4,), name="images")
    shared = L.Dense(4, "relu", name="shared")
    model = keras.Model(images, L.Dense(3)(shared(L.ReLU(name="between")(shared(images)))))
    rows = {row.layer: row.why for row in repro.hidden_layers(model)}
    assert rows["shared"] == "output of relu; call 1 of 2, given the output of images"
    assert rows["shared_call_2"] == "output of relu; call 2 of 2, given the output of between"


def with_layers_before(before: list[Any]) -> Any:
    return [*before, L.Flatten(), L.Dense(6, "relu", name="hidden"), L.Dense(3)]


@pytest.mark.parametrize("share_weights", [True, False])
@pytest.mark.parametrize("form", ["sequential", "functional", "nested"])
@pytest.mark.parametrize(
    "before",
    [
        lambda: [L.RandomFlip(), L.RandomRotation(0.2), L.RandomContrast(0.3)],
        lambda: [L.Resizing(5, 5), L.CenterCrop(4, 4)],
        lambda: [L.RandomZoom(0.2), L.RandomTranslation(0.1, 0.1), L.RandomBrightness(0.2)],
    ],
)
def test_layers_that_keras_calls_in_training_mode_by_default_are_taken(
    before: Any, form: str, share_weights: bool
) -> None:
    """keras-team/autokeras#1524, keras#17385, keras#16189: augmentation and resizing in a model."""
    if form == "sequential":
        model = keras.Sequential([keras.Input((6, 6, 3)), *with_layers_before(before())])
    else:
        images = keras.Input((6, 6, 3))
        augment = before()
        if form == "nested":
            augment = [keras.Sequential([keras.Input((6, 6, 3)), *augment], name="augment")]
        x = images
        for layer in with_layers_before(augment):
            x = layer(x)
        model = keras.Model(images, x)
    randomised(model)
    masked = repro.insert_masks(model, share_weights=share_weights)
    assert masked_layers(model) == ["hidden"]
    given = np.random.default_rng(0).uniform(0, 255, (9, 6, 6, 3)).astype("float32")
    expected = model.predict(given, verbose=0)
    np.testing.assert_array_equal(masked.predict(given, verbose=0), expected)
    repro.ablate(masked, {"hidden": range(6)})
    bias = model.layers[-1].get_weights()[1]
    np.testing.assert_allclose(masked.predict(given, verbose=0), np.tile(bias, (9, 1)), rtol=1e-5)
    repro.restore(masked)
    np.testing.assert_array_equal(masked.predict(given, verbose=0), expected)


def test_towers_with_layers_of_equal_names_share_the_weights_of_the_model(tmp_path: Path) -> None:
    """tf-keras-vis#84: nested models."""

    def tower(name: str) -> Any:
        x = images = keras.Input((6, 6, 3), name="images")
        x = L.Conv2D(4, 3, name="conv")(x)
        x = ops.relu(L.BatchNormalization(name="norm")(x))
        return keras.Model(images, L.GlobalAveragePooling2D(name="pool")(x), name=name)

    images = keras.Input((6, 6, 3), name="images")
    one, two = tower("one"), tower("two")
    joined = L.Concatenate(name="joined")([one(images), two(images)])
    model = randomised(keras.Model(images, L.Dense(3, name="logits")(joined)))
    names = [layer.name for layer in (*one.layers, *two.layers, *model.layers)]
    masked = repro.insert_masks(model)
    assert [layer.name for layer in (*one.layers, *two.layers, *model.layers)] == names
    assert masked.get_layer("two_conv").kernel is two.get_layer("conv").kernel
    given = images_for(model)
    assert_same(answers(masked, given), answers(model, given))
    two.get_layer("conv").kernel.assign(2 * two.get_layer("conv").kernel)
    assert_same(answers(masked, given), answers(model, given))
    assert {id(w) for w in model.weights} <= {id(w) for w in masked.weights}
    masked.save(tmp_path / "masked.keras")
    model.save(tmp_path / "model.keras")
    for name in ("masked", "model"):
        loaded = keras.models.load_model(tmp_path / f"{name}.keras")
        assert_same(answers(loaded, given), answers(model, given))
    again = repro.insert_masks(masked, ["joined"])
    assert_same(answers(again, given), answers(model, given))


def test_masks_that_are_there_stay_and_others_join_them() -> None:
    model = small_model()
    first = repro.insert_masks(model, ["relu_1"])
    rows = {row.layer: row for row in repro.hidden_layers(first)}
    assert rows["relu_1"].masked and rows["relu_1"].why == "its mask is there"
    assert rows["relu_1_mask"] == HiddenLayer(
        "relu_1_mask", "AblationMask", False, 5, "a mask itself"
    )
    both = repro.insert_masks(first)
    assert [mask.name for mask in repro.ablation_masks(both)] == ["relu_1_mask", "relu_2_mask"]


def test_a_layer_that_has_the_name_of_a_mask_is_renamed_in_the_new_model() -> None:
    images = keras.Input((4,))
    x = L.Dense(4, name="relu_mask")(L.ReLU(name="relu")(images))
    model = randomised(keras.Model(images, L.Dense(2)(x)))
    masked = repro.insert_masks(model)
    assert [mask.name for mask in repro.ablation_masks(masked)] == ["relu_mask"]
    assert masked.get_layer("relu_mask_2").kernel is model.get_layer("relu_mask").kernel
    given = images_for(model)
    assert_same(answers(masked, given), answers(model, given))


def test_mixed_precision_stays_as_it_was() -> None:
    images = keras.Input((4,))
    x = L.Dense(5, "relu", name="half", dtype="mixed_bfloat16")(images)
    x = L.Dense(5, "relu", name="full", dtype="float32")(x)
    inner = keras.Sequential(
        [keras.Input((5,)), L.Dense(5, "relu", name="in", dtype="mixed_bfloat16")]
    )
    model = randomised(keras.Model(images, L.Dense(3, dtype="mixed_bfloat16")(inner(x))))
    masked = repro.insert_masks(model)
    masks = {mask.name: mask for mask in repro.ablation_masks(masked)}
    types = [masks[f"{name}_mask"].output.dtype for name in ("half", "full", "in")]
    assert types == ["bfloat16", "float32", "bfloat16"]
    given = images_for(model)
    assert_same(answers(masked, given), answers(model, given))


def test_a_nested_model_casts_its_input_as_before() -> None:
    images = keras.Input((4,))
    half = L.Dense(4, "relu", dtype="mixed_bfloat16")(images)
    inner = keras.Sequential(
        [keras.Input((4,), dtype="float32"), L.Dense(3, "relu", name="in")], name="inner"
    )
    model = randomised(keras.Model(images, ops.sum(ops.relu(inner(half)), axis=-1)))
    given = images_for(model)
    assert_same(answers(repro.insert_masks(model), given), answers(model, given))


@pytest.mark.parametrize("training", [None, False, True])
def test_a_nested_model_stays_in_the_mode_that_it_was_called_in(training: bool | None) -> None:
    inner = keras.Sequential([keras.Input((4,)), L.BatchNormalization(), L.ReLU(name="relu")])
    images = keras.Input((4,))
    model = randomised(keras.Model(images, L.Dense(2)(inner(images, training=training))))
    masked = repro.insert_masks(model, share_weights=False)  # or one would train the other
    given = images_for(model)
    found, expected = (
        [ops.convert_to_numpy(one(given)), *answers(one, given)] for one in (masked, model)
    )
    assert_same(found, expected)


@pytest.mark.parametrize("n_axes", [1, 2])
def test_units_that_come_first_are_clamped_where_they_are(n_axes: int) -> None:
    """Channels-first: the mask stands between two permutations."""
    images = keras.Input((3, *[6] * n_axes))
    pool = (L.MaxPooling1D, L.MaxPooling2D)[n_axes - 1]
    axes = {"data_format": "channels_first"}
    x = L.ReLU(name="relu")(L.BatchNormalization(axis=1)(pool(2, **axes)(images)))
    y = L.Activation("tanh", name="joined")(L.Concatenate(axis=1)([x, x]))
    model = randomised(keras.Model(images, L.Dense(4)(L.Flatten(data_format="channels_last")(y))))
    assert [(row.layer, row.n_units) for row in repro.hidden_layers(model) if row.masked] == [
        ("relu", 3),
        ("joined", 6),
    ]
    masked = repro.insert_masks(model)
    given = images_for(model)
    assert_same(answers(masked, given), answers(model, given))
    repro.ablate(masked, {"joined": [4]}, fill=0.5)
    before, after = (
        answers(keras.Model(one.input, one.get_layer(name).output), given)[0]
        for one, name in ((model, "joined"), (masked, "joined_to_first"))
    )
    expected = before.copy()
    expected[:, 4] = 0.5
    np.testing.assert_array_equal(after, expected)
    kernel, bias = model.layers[-1].get_weights()
    logits = expected.reshape(len(given), -1) @ kernel + bias
    np.testing.assert_allclose(answers(masked, given)[0], logits, rtol=1e-5, atol=1e-5)


def test_units_whose_axis_is_lost_are_listed_and_refused() -> None:
    images = keras.Input((3, 6, 6))
    x = L.MaxPooling2D(2, data_format="channels_first")(images)
    x = L.ReLU(name="relu")(L.Reshape((9, 3))(x))
    model = keras.Model(images, L.Dense(4)(L.Dense(5, "relu", name="dense")(L.Flatten()(x))))
    rows = {row.layer: row for row in repro.hidden_layers(model)}
    assert not rows["relu"].masked and "cannot be told" in rows["relu"].why
    assert masked_layers(model) == ["dense"]
    with pytest.raises(ValueError, match="'relu' cannot be masked: whether its units"):
        repro.insert_masks(model, ["relu"])


def test_time_steps_that_are_padding_stay_padding() -> None:
    words = keras.Input((5,))
    x = L.Embedding(9, 4, mask_zero=True)(words)
    x = L.TimeDistributed(L.Dense(6, "relu"), name="dense")(x)
    model = randomised(keras.Model(words, L.Dense(3)(L.LSTM(4)(x))))
    masked = repro.insert_masks(model)
    given = np.array([[1, 2, 3, 0, 0], [4, 0, 5, 6, 0]], np.float32)
    assert_same(answers(masked, given), answers(model, given))


def test_what_a_layer_learnt_outside_its_weights_is_copied() -> None:
    """Normalization computes what it divides by when it is adapted, not when weights are set."""
    images = keras.Input((4,))
    normalization = L.Normalization()
    x = L.Dense(5, "relu", name="hidden")(normalization(images))
    model = randomised(keras.Model(images, L.Dense(3)(x)))
    normalization.adapt(np.random.default_rng(0).normal(7, 3, (50, 4)).astype(np.float32))
    given = images_for(model)
    assert_same(answers(graph.copied(model), given), answers(model, given))
    masked = repro.insert_masks(model, share_weights=False)
    assert_same(answers(masked, given), answers(model, given))


def test_a_layer_that_cannot_be_copied_is_refused() -> None:
    class Opaque(L.Layer):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def call(self, x: Any) -> Any:
            return self.factor * x

    images = keras.Input((4,))
    model = keras.Model(images, L.Dense(2)(Opaque(2.0)(L.Dense(3, "relu")(images))))
    with pytest.raises(ValueError, match="cannot be copied.*give layers of your own a get_config"):
        repro.insert_masks(model, share_weights=False)
    assert len(repro.ablation_masks(repro.insert_masks(model))) == 1


# --- Lesions by the name of a layer -----------------------------------------------------------


def test_a_lesion_is_obeyed_added_to_saved_and_taken_away(tmp_path: Path) -> None:
    model = small_model()
    masked = repro.insert_masks(model)
    images = images_for(model)
    probe = keras.Model(masked.input, [mask.output for mask in repro.ablation_masks(masked)])
    intact = answers(masked, images)
    repro.ablate(masked, {"relu_1": [0, 3]})
    repro.ablate(masked, {"relu_1": [4], "relu_2": np.array([1])}, fill=0.5)
    first, second = answers(probe, images)
    assert np.all(first[:, [0, 3]] == 0) and np.all(first[:, 4] == 0.5)
    assert np.all(second[:, 1] == 0.5)
    lesioned = answers(masked, images)
    assert not np.array_equal(lesioned[0], intact[0])

    masked.save(tmp_path / "lesioned.keras")
    loaded = keras.models.load_model(tmp_path / "lesioned.keras", safe_mode=True)
    assert_same(answers(loaded, images), lesioned)
    repro.restore(loaded, ["relu_1"])
    assert np.all(np.asarray(loaded.get_layer("relu_1_mask").keep) == 1)
    assert np.asarray(loaded.get_layer("relu_2_mask").keep).tolist() == [1, 0, 1, 1, 1]
    repro.restore(loaded)
    assert_same(answers(loaded, images), intact)


def test_a_lesion_of_nothing_changes_nothing() -> None:
    masked = repro.insert_masks(small_model())
    repro.ablate(masked, {"relu_1": []})
    repro.ablate(masked, {})
    assert all(np.all(np.asarray(mask.keep) == 1) for mask in repro.ablation_masks(masked))


@pytest.mark.parametrize(
    ("units", "fill", "sentence"),
    [
        ({"relu_9": [0]}, 0.0, "no mask stands after a layer 'relu_9'; there are relu_1, relu_2"),
        ({"relu_1": [0], "relu_2": [5]}, 0.0, "'relu_2' are numbered 0 to 4, got 5 to 5"),
        ({"relu_1": [0], "relu_2": [-1, 2]}, 0.0, "numbered 0 to 4, got -1 to 2"),
        ({"relu_1": [0.5]}, 0.0, "must be a list of integers"),
        ({"relu_1": [True, False]}, 0.0, "must be a list of integers"),
        ({"relu_1": 3}, 0.0, "must be a list of integers"),
        ({"relu_1": [0]}, float("nan"), "fill must be a finite number"),
        ({"relu_1": [0]}, None, "fill must be a finite number"),
        # keras-surgeon#30, #41: pairs, masks of bools, floats
        ([("relu_1", 0)], 0.0, "units must be a dict of layers and their units.*got list"),
        ("relu_1", 0.0, "units must be a dict of layers and their units.*got str"),
        ({"relu_1": np.ones(5, bool)}, 0.0, r"np.flatnonzero\(units\) gives those of a mask"),
        ({"relu_1": ["a"]}, 0.0, r"write a list, such as \{'relu_1': \[0, 3\]\}"),
        ({"relu_1": [[0], [1, 2]]}, 0.0, "must be a list of integers"),
    ],
)
def test_a_lesion_that_cannot_be_is_refused_and_nothing_changes(
    units: Any, fill: float, sentence: str
) -> None:
    masked = repro.insert_masks(small_model())
    with pytest.raises(ValueError, match=sentence):
        repro.ablate(masked, units, fill)
    assert all(np.all(np.asarray(mask.keep) == 1) for mask in repro.ablation_masks(masked))


def test_units_may_be_a_set_or_a_range() -> None:
    masked = repro.insert_masks(small_model())
    repro.ablate(masked, {"relu_1": {3, 1}, "relu_2": range(2)})
    keeps = [np.asarray(mask.keep).tolist() for mask in repro.ablation_masks(masked)]
    assert keeps == [[1, 0, 1, 0, 1], [0, 0, 1, 1, 1]]


def test_a_model_without_masks_cannot_be_lesioned_or_restored() -> None:
    model = small_model()
    with pytest.raises(ValueError, match="no AblationMask layer; take repro.insert_masks"):
        repro.ablate(model, {"relu_1": [0]})
    with pytest.raises(ValueError, match="no AblationMask layer"):
        repro.restore(model)
    with pytest.raises(ValueError, match="no mask stands after a layer 'x'"):
        repro.restore(repro.insert_masks(model), ["x"])
