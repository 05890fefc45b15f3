"""The paper's convolutional networks: shapes by the paper's table, masks by plain Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import repro
from repro.core.settings import PIXEL_RANGES, TrainConfig
from repro.models.loading import load_model
from repro.models.masking import AblationMask, ablation_masks, layer_of
from repro.models.networks import HEAD, build, convnet, mlp, resnet50

CONVNET_MAPS = [64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512]
CONVNET_SIZES = [32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4]
RESNET_MAPS = 3 * [256] + 4 * [512] + 6 * [1024] + 3 * [2048]
RESNET_SIZES = [56, 56, 28, 28, 28, 28, 14, 14, 14, 14, 14, 14, 7, 7, 7, 7]


def settled(model: keras.Model) -> keras.Model:
    """Biases and batch statistics as after training: at their start they would hide mistakes."""
    values = np.random.default_rng(8)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.gamma.assign(values.uniform(0.8, 1.2, n))
            layer.beta.assign(values.normal(0.1, 0.2, n))
            layer.moving_mean.assign(values.normal(0, 0.3, n))
            layer.moving_variance.assign(values.uniform(0.7, 1.5, n))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(values.normal(0.1, 0.2, layer.bias.shape))
    return model


BUILDERS = {
    "convnet": lambda seed=0: convnet((16, 16, 3), 5, width=1 / 16, seed=seed),
    "convnet without batch norm": lambda seed=0: convnet(
        (16, 16, 3), 5, width=1 / 16, batch_norm=False, seed=seed
    ),
    "convnet with a head": lambda seed=0: convnet(
        (16, 16, 3), 5, width=1 / 16, head_units=7, pixel_range="-1 to 1", seed=seed
    ),
    "resnet50": lambda seed=0: resnet50((32, 32, 3), 5, width=1 / 16, seed=seed),
    "resnet50, masks inside": lambda seed=0: resnet50(
        (32, 32, 3), 5, width=1 / 32, mask_inside_blocks=True, seed=seed
    ),
}


@pytest.fixture(scope="module", params=BUILDERS)
def _network(request: Any) -> Any:
    return settled(BUILDERS[request.param](seed=3))


@pytest.fixture
def network(_network: Any) -> Any:
    """Each network in turn, small; its masks are intact again after the test."""
    yield _network
    for mask in ablation_masks(_network):
        mask.keep.assign(np.ones(mask.n_units))


@pytest.fixture(scope="module")
def full_resnet() -> Any:
    """At full width and input size: it is only looked at, never run."""
    return resnet50()


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.random((6, 32, 32, 3), dtype=np.float32)


def fitting(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return images[:, : model.input_shape[1], : model.input_shape[2]]


def answers(model: keras.Model, images: np.ndarray) -> Any:
    """As model.predict, without a graph: tracing such deep networks is slow."""
    outputs = model(images, training=False)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)


# --- The paper's table -------------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_convnet_has_the_papers_feature_maps(batch_norm: bool) -> None:
    model = convnet((32, 32, 3), 10, batch_norm=batch_norm)
    masks = ablation_masks(model)
    assert [layer_of(mask) for mask in masks] == [f"conv_{depth}" for depth in range(1, 12)]
    assert [mask.n_units for mask in masks] == CONVNET_MAPS
    assert [mask.output.shape[1:3] for mask in masks] == [(n, n) for n in CONVNET_SIZES]
    assert model.output_shape == (None, 10)
    # 9 * (3*64 + 64*64 + 64*128 + 2*128*128 + 128*256 + 2*256*256 + 256*512 + 2*512*512)
    # = 7,780,032 of the filters; 4 * 4 * 512 * 10 + 10 = 81,930 of the logits; and for each of
    # the 2816 maps a scale and an offset of batch normalisation, or one bias.
    expected = 7_780_032 + 81_930 + (2 if batch_norm else 1) * 2816
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == expected


def test_a_head_is_a_dense_layer_of_relus_on_the_flattened_maps(images: np.ndarray) -> None:
    model = settled(convnet((16, 16, 3), 5, width=1 / 16, head_units=7, seed=3))
    masks = ablation_masks(model)
    assert [layer_of(mask) for mask in masks[-2:]] == ["conv_11", HEAD]
    assert masks[-1].n_units == 7 and not any("head_norm" in layer.name for layer in model.layers)
    masks[-1].keep.assign([1, 1, 0, 1, 1, 1, 1])
    maps = answers(keras.Model(model.input, masks[-2].output), fitting(model, images))
    (kernel, bias), (to_logits, offset) = (
        model.get_layer(name).get_weights() for name in (HEAD, "logits")
    )
    hidden = np.maximum(np.dot(maps.reshape(len(maps), -1), kernel) + bias, 0)
    assert np.mean(hidden > 0) > 0.2
    hidden[:, 2] = 0
    expected = np.dot(hidden, to_logits) + offset
    np.testing.assert_allclose(answers(model, fitting(model, images)), expected, atol=1e-5)
    # The convolutions are those of the network without a head, and so are their first weights.
    plain = convnet((16, 16, 3), 5, width=1 / 16, seed=3)
    headed = convnet((16, 16, 3), 5, width=1 / 16, head_units=7, seed=3)
    for depth in range(1, 12):
        kernels = [one.get_layer(f"conv_{depth}").get_weights()[0] for one in (plain, headed)]
        np.testing.assert_array_equal(*kernels)


def test_dropout_silences_single_units_of_a_head() -> None:
    model = convnet((16, 16, 3), 5, width=1 / 16, head_units=7, dropout=0.2)
    layer = model.get_layer(f"{HEAD}_dropout")
    assert isinstance(layer, keras.layers.Dropout) and layer.rate == 0.2
    seeds = {one.seed for one in model.layers if one.name.endswith("dropout")}
    assert len(seeds) == 12, "layers of equal width must not silence the same units"


@pytest.mark.parametrize("kind", ["mlp", "convnet", "resnet50"])
def test_pixels_from_minus_1_to_1_are_rescaled_by_the_network(
    kind: str, images: np.ndarray
) -> None:
    settings: dict[str, Any] = {"hidden_units": (9,)} if kind == "mlp" else {"width": 1 / 32}
    builder = {"mlp": mlp, "convnet": convnet, "resnet50": resnet50}[kind]
    plain, ranged = (
        settled(builder((32, 32, 3), 5, pixel_range=pixels, seed=4, **settings))
        for pixels in PIXEL_RANGES
    )
    assert [layer.name for layer in ranged.layers[:2]] == ["images", "rescaling"]
    assert len(ranged.weights) == len(plain.weights)
    expected = answers(plain, (images - 0.5) / 0.5)
    np.testing.assert_allclose(answers(ranged, images), expected, rtol=1e-4, atol=1e-4)
    assert np.abs(answers(plain, images) - expected).max() > 0.01


def test_pixels_are_rescaled_in_32_bits_in_mixed_precision_too() -> None:
    config = TrainConfig(
        *("cifar10", "convnet"), width=1 / 16, precision="mixed_bfloat16", pixel_range="-1 to 1"
    )
    model = build(config, (16, 16, 3), 5)
    assert model.get_layer("rescaling").compute_dtype == "float32"
    assert model.get_layer("conv_1").compute_dtype == "bfloat16"


def test_the_resnet_has_the_papers_feature_maps(full_resnet: Any) -> None:
    masks = ablation_masks(full_resnet)
    assert [layer_of(mask) for mask in masks] == [
        f"stage_{stage}_block_{block}"
        for stage, n_blocks in ((1, 3), (2, 4), (3, 6), (4, 3))
        for block in range(1, n_blocks + 1)
    ]
    assert [mask.n_units for mask in masks] == RESNET_MAPS
    assert [mask.output.shape[1:3] for mask in masks] == [(n, n) for n in RESNET_SIZES]
    assert full_resnet.get_layer("stem_relu").output.shape[1:] == (112, 112, 64)
    assert full_resnet.output_shape == (None, 1000)


def test_the_resnet_has_as_many_parameters_as_by_hand(full_resnet: Any) -> None:
    # As the ResNet-50 with which everybody compares: four shortcuts are projections. By layers,
    # stem: 7 * 7 * 3 * 64 = 9,408; a block from n to m maps through k: n * k + 9 * k * k + k * m,
    # and n * m for the projection; two numbers a map for batch normalisation; the logits
    # 2048 * 1000 + 1000.
    expected = 7 * 7 * 3 * 64 + 2 * 64 + 2048 * 1000 + 1000
    n = 64
    for k, m, n_blocks in ((64, 256, 3), (128, 512, 4), (256, 1024, 6), (512, 2048, 3)):
        expected += n * m + 2 * m
        for _ in range(n_blocks):
            expected += n * k + 9 * k * k + k * m + 2 * (k + k + m)
            n = m
    assert expected == 25_557_032
    assert sum(int(np.prod(v.shape)) for v in full_resnet.trainable_variables) == expected


def test_shortcuts_project_where_the_number_of_maps_changes(full_resnet: Any) -> None:
    shortcuts = {x.name: x for x in full_resnet.layers if x.name.endswith("_shortcut")}
    projections = {name for name, x in shortcuts.items() if isinstance(x, keras.layers.Conv2D)}
    assert projections == {f"stage_{stage}_block_1_shortcut" for stage in (1, 2, 3, 4)}
    last = ("stage_1_block_3", "stage_2_block_4", "stage_3_block_6")
    assert shortcuts.keys() - projections == {f"{name}_shortcut" for name in last}


def test_strides_sit_in_the_last_block_of_a_stage(full_resnet: Any) -> None:
    strided = {
        layer.name
        for layer in full_resnet.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.strides != (1, 1)
    }
    last = ("stage_1_block_3", "stage_2_block_4", "stage_3_block_6")
    assert strided == {"stem"} | {f"{name}_b" for name in last}


def test_blocks_are_bottlenecks_of_the_papers_widths(full_resnet: Any) -> None:
    for stage, inner, outer in ((1, 64, 256), (2, 128, 512), (3, 256, 1024), (4, 512, 2048)):
        for part, size, channels in (("a", 1, inner), ("b", 3, inner), ("c", 1, outer)):
            layer = full_resnet.get_layer(f"stage_{stage}_block_2_{part}")
            assert layer.kernel_size == (size, size) and layer.filters == channels


def test_masks_inside_blocks_are_those_of_the_two_inner_relus() -> None:
    model = BUILDERS["resnet50, masks inside"]()
    names = [layer_of(mask) for mask in ablation_masks(model)]
    assert len(names) == 48
    assert names[:3] == ["stage_1_block_1_a", "stage_1_block_1_b", "stage_1_block_1"]
    assert ablation_masks(model)[-2].n_units == 512 // 32


def test_every_mask_is_named_after_a_layer_and_follows_its_relu(network: Any) -> None:
    order = [layer.name for layer in network.layers]
    for mask in ablation_masks(network):
        name = layer_of(mask)
        if name == HEAD:
            assert mask.input is network.get_layer(name).output
            assert network.get_layer(name).activation is keras.activations.relu
            continue
        assert isinstance(network.get_layer(name), keras.layers.Conv2D | keras.layers.Add)
        relu = network.get_layer(f"{name}_relu")
        assert isinstance(relu, keras.layers.ReLU) and mask.input is relu.output
        assert order.index(name) < order.index(relu.name) < order.index(mask.name)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_convolution_has_batch_norm_or_a_bias(batch_norm: bool) -> None:
    model = convnet((8, 8, 3), 4, width=1 / 32, batch_norm=batch_norm)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(norms) == (11 if batch_norm else 0)
    assert all(layer.use_bias != batch_norm for layer in convolutions)
    if batch_norm:
        for depth in range(1, 12):
            norm = model.get_layer(f"conv_{depth}_norm")
            assert norm.input is model.get_layer(f"conv_{depth}").output
            assert norm.output is model.get_layer(f"conv_{depth}_relu").input


def test_width_scales_every_layer_and_leaves_one_map_at_least() -> None:
    half = ablation_masks(convnet((8, 8, 3), 4, width=0.05))
    assert [mask.n_units for mask in half] == [3, 3, 6, 6, 6, 13, 13, 13, 26, 26, 26]
    least = convnet((8, 8, 3), 4, width=1e-6)
    assert {mask.n_units for mask in ablation_masks(least)} == {1}


@pytest.mark.parametrize("width", [0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("build", [convnet, resnet50])
def test_a_width_that_cannot_be_is_refused(build: Any, width: float) -> None:
    with pytest.raises(ValueError, match="width is a factor .* Received: width="):
        build((32, 32, 3), 10, width=width)


def test_maps_are_the_last_axis_whatever_the_users_keras_says() -> None:
    keras.config.set_image_data_format("channels_first")
    try:
        models = [BUILDERS["convnet"](), BUILDERS["resnet50"]()]
    finally:
        keras.config.set_image_data_format("channels_last")
    for model, size in zip(models, (2, 1), strict=True):
        mask = ablation_masks(model)[-1]
        assert mask.output.shape[1:3] == (size, size) and model.output_shape == (None, 5)


# --- What they compute -------------------------------------------------------------------------


def test_masks_of_ones_leave_the_outputs_bit_identical(network: Any, images: np.ndarray) -> None:
    def skipping_masks(layer: Any, *inputs: Any, **named: Any) -> Any:
        return inputs[0] if isinstance(layer, AblationMask) else layer(*inputs, **named)

    plain = keras.models.clone_model(network, call_function=skipping_masks)
    for layer in plain.layers:
        layer.set_weights(network.get_layer(layer.name).get_weights())
    assert len(plain.layers) == len(network.layers) - len(ablation_masks(network))
    images = fitting(network, images)
    found, expected = (model.predict(images, verbose=0) for model in (network, plain))
    assert np.ptp(expected) > 0
    assert found.tobytes() == expected.tobytes()


# Which kernels read the maps of a mask: of its layer's followers, along the input axis.
READERS = [
    *[("convnet", f"conv_{n}", [f"conv_{n + 1}"]) for n in (1, 3, 10)],
    ("convnet without batch norm", "conv_6", ["conv_7"]),
    ("resnet50", "stage_1_block_3", ["stage_2_block_1_a", "stage_2_block_1_shortcut"]),
    ("resnet50", "stage_4_block_3", ["logits"]),
    ("resnet50, masks inside", "stage_3_block_6_a", ["stage_3_block_6_b"]),
    ("resnet50, masks inside", "stage_2_block_2_b", ["stage_2_block_2_c"]),
]


@pytest.mark.parametrize(("name", "lesioned", "readers"), READERS)
def test_ablating_a_map_equals_zeroing_the_channel_that_its_readers_read(
    name: str, lesioned: str, readers: list[str], images: np.ndarray
) -> None:
    model = settled(BUILDERS[name]())
    images = fitting(model, images)
    mask = model.get_layer(f"{lesioned}_mask")
    maps = answers(keras.Model(model.input, mask.output), images)
    unit = int(maps.mean(axis=(0, 1, 2)).argmax())  # not a silent one
    intact = answers(model, images)
    mask.keep.assign(np.arange(mask.n_units) != unit)
    found = answers(model, images)
    mask.keep.assign(np.ones(mask.n_units))
    for reader in readers:
        kernel = np.array(model.get_layer(reader).kernel)
        kernel[..., unit, :] = 0
        model.get_layer(reader).kernel.assign(kernel)
    expected = answers(model, images)
    assert not np.allclose(intact, expected, rtol=1e-3)
    # Zeros are added in one case and multiplied in the other: only float32 sums may differ.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_ablating_a_map_of_the_last_convolution_equals_zeroing_its_logit_weights(
    images: np.ndarray,
) -> None:
    model = settled(BUILDERS["convnet"]())
    images = fitting(model, images)
    mask, logits = model.get_layer("conv_11_mask"), model.get_layer("logits")
    mask.keep.assign(np.arange(mask.n_units) % 2)
    found = answers(model, images)
    mask.keep.assign(np.ones(mask.n_units))
    kernel = np.array(logits.kernel).reshape(2, 2, mask.n_units, 5)
    kernel[:, :, ::2] = 0
    logits.kernel.assign(kernel.reshape(-1, 5))
    np.testing.assert_allclose(found, answers(model, images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("block", "shortcut"),
    [
        ("stage_1_block_1", "stage_1_block_1_shortcut_norm"),  # other channels
        ("stage_1_block_2", "stage_1_block_1_mask"),  # the block before, as it is
        ("stage_1_block_3", "stage_1_block_3_shortcut"),  # other size
    ],
)
def test_a_block_adds_its_shortcut_before_the_last_relu(
    block: str, shortcut: str, images: np.ndarray
) -> None:
    model = settled(BUILDERS["resnet50"]())
    names = (f"{block}_c_norm", shortcut, f"{block}_mask")
    probe = keras.Model(model.input, [model.get_layer(name).output for name in names])
    branch, shortcut_maps, output = answers(probe, images)
    np.testing.assert_allclose(output, np.maximum(branch + shortcut_maps, 0), rtol=1e-6)
    assert (branch < 0).any() and (output > 0).any()


def test_a_shortcut_to_smaller_maps_takes_every_other_pixel(images: np.ndarray) -> None:
    model = settled(BUILDERS["resnet50"]())
    names = ("stage_1_block_2_mask", "stage_1_block_3_shortcut")
    probe = keras.Model(model.input, [model.get_layer(name).output for name in names])
    before, shortcut = answers(probe, images)
    assert np.array_equal(shortcut, before[:, ::2, ::2]) and np.ptp(shortcut) > 0


def test_the_output_of_a_block_alone_determines_the_logits(images: np.ndarray) -> None:
    """So that a lesion there can be evaluated from that tensor on."""
    model = settled(BUILDERS["resnet50"]())
    expected = answers(model, images)
    for mask in ablation_masks(model):
        keras.Model(mask.input, model.output)  # refused by Keras if another tensor is needed
    first = ablation_masks(model)[0]
    maps = answers(keras.Model(model.input, first.input), images)
    rest = keras.Model(first.input, model.output)
    np.testing.assert_allclose(answers(rest, maps), expected, rtol=1e-4, atol=1e-5)


# --- Weights -----------------------------------------------------------------------------------


def test_a_saved_network_loads_safely_and_predicts_the_same_bits(
    network: Any, images: np.ndarray, tmp_path: Path
) -> None:
    images = fitting(network, images)
    mask = ablation_masks(network)[-1]
    mask.keep.assign(np.arange(mask.n_units) % 3 > 0)
    network.save(tmp_path / "network.keras")
    loaded = load_model(tmp_path / "network.keras", trusted=True)
    keeps = [np.array(mask.keep) for mask in ablation_masks(loaded)]
    assert np.array_equal(keeps[-1], np.array(mask.keep)) and all(k.all() for k in keeps[:-1])
    expected = answers(network, images)
    assert answers(loaded, images).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["convnet", "resnet50"])
def test_the_seed_alone_decides_the_initial_weights(name: str) -> None:
    first, again, other = (BUILDERS[name](seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    kernels = [(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1]
    assert kernels and not any(np.array_equal(a, b) for a, b in kernels)


@pytest.mark.parametrize("name", ["convnet", "resnet50"])
def test_no_two_layers_start_with_the_same_weights(name: str) -> None:
    kernels = [w for w in BUILDERS[name]().get_weights() if w.ndim == 4]
    starts = {kernel.ravel()[:4].tobytes() for kernel in kernels}
    assert len(starts) == len(kernels)


def test_initial_filters_are_he_normal() -> None:
    """Variance 2 / fan-in; 147,456 draws or more, so the s.d. is known to better than 0.3 %."""
    model = convnet((8, 8, 3), 4)
    for name, fan_in in (("conv_4", 9 * 128), ("conv_11", 9 * 512)):
        kernel = np.array(model.get_layer(name).kernel)
        assert kernel.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.01)
        assert kernel.mean() == pytest.approx(0, abs=0.01 * np.sqrt(2 / fan_in))


def test_the_builders_are_public() -> None:
    assert repro.convnet is convnet and repro.resnet50 is resnet50
    assert {"convnet", "resnet50"} <= set(repro.__all__)
