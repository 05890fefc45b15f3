"""Models from public reports that worked or should: every unit by the user's own model, wrapped.

Each is named by its report. The other rows of that list are tested where their subject is:
`test_real_models`, `test_functions`, `test_given`, `test_pixels`, `test_folders` and others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import repro
from tests.helpers import plain

N = 20
RNG = np.random.default_rng(5)
Y = RNG.integers(0, 3, N)


def check(model: keras.Model, data: Any, n_classes: int = 3, **options: Any) -> Any:
    """A study of all units, each of which is compared with plain Keras; gives the study."""
    labels = RNG.integers(0, n_classes, N)
    study = repro.lesion(model, data, labels, **options)
    assert float(study.intact.loss) == pytest.approx(loss(model, data, labels), rel=1e-5)
    units = [(layer, unit) for layer, size in study.layout.layers for unit in range(size)]
    for number in RNG.permutation(len(units))[:12]:
        layer, unit = units[number]
        with plain.without_unit(plain.layer_named(model, layer), unit):
            expected = loss(model, data, labels)
        found = float(study.units["importance"][number] + study.intact.loss)
        assert found == pytest.approx(expected, rel=2e-5, abs=1e-6), (layer, unit)
    return study


def loss(model: keras.Model, data: Any, labels: np.ndarray) -> float:
    """Mean cross-entropy of the logits that the model as it is answers, in float64."""
    (answer,) = keras.tree.flatten(
        model(keras.tree.map_structure(ops.convert_to_tensor, data), training=False)
    )
    logits = ops.convert_to_numpy(ops.cast(answer, "float64"))
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-log_p[np.arange(N), labels].mean())


def ended(inputs: Any, x: Any, n_classes: int = 3) -> keras.Model:
    if len(x.shape) > 2:
        x = L.Flatten()(x)
    model = keras.Model(inputs, L.Dense(n_classes, dtype="float32")(x))
    plain.randomise(model, RNG)
    return model


# --- Structures of inputs and outputs (keras#20136, keras#21513) ----------------------------------


@pytest.mark.filterwarnings("ignore:The structure of `inputs` doesn't match")
@pytest.mark.parametrize(
    "packed, answered", [("dict", "list"), ("list", "dict"), ("array", "dict")]
)
def test_an_input_and_an_output_may_stand_in_a_dict_or_a_list(packed: str, answered: str) -> None:
    inputs = keras.Input((5,), name="pixels")
    logits = L.Dense(3)(L.Dense(6, "relu", name="hidden")(inputs))
    structure = {"pixels": inputs} if packed == "dict" else [inputs]
    outputs = {"class": logits} if answered == "dict" else [logits]
    model = keras.Model(structure if packed != "array" else inputs, outputs)
    x = RNG.normal(size=(N, 5)).astype(np.float32)
    study = check(model, {"dict": {"pixels": x}, "list": [x], "array": x}[packed])
    assert study.layout.layers == (("hidden", 6),)


# --- Inputs that are not floats (captum#771, keras#17072, keras#19521) ----------------------------


def tokens() -> tuple[keras.Model, Any]:
    """captum#771: whole numbers, an embedding, a convolution, pooling."""
    inputs = keras.Input((9,), dtype="int32")
    x = L.Conv1D(6, 3, activation="relu", name="maps")(L.Embedding(20, 4)(inputs))
    return ended(inputs, L.GlobalMaxPooling1D()(x)), RNG.integers(0, 20, (N, 9))


def bytes_cast() -> tuple[keras.Model, Any]:
    """tensorflow.org, `mobilenet.preprocess_input`: an Input of uint8, cast and scaled within."""
    inputs = keras.Input((6, 6, 3), dtype="uint8")
    x = ops.cast(inputs, "float32") / 127.5 - 1
    x = L.Conv2D(5, 3, activation="relu", name="maps")(x)
    return ended(inputs, x), RNG.integers(0, 256, (N, 6, 6, 3)).astype(np.uint8)


def bytes_rescaled() -> tuple[keras.Model, Any]:
    inputs = keras.Input((6, 6, 3), dtype="uint8")
    x = L.Conv2D(5, 3, activation="relu", name="maps")(L.Rescaling(1 / 255)(inputs))
    return ended(inputs, x), RNG.integers(0, 256, (N, 6, 6, 3)).astype(np.uint8)


def doubles() -> tuple[keras.Model, Any]:
    inputs = keras.Input((5,), dtype="float64")
    x = L.Dense(6, "relu", name="hidden", dtype="float64")(inputs)
    return ended(inputs, x), RNG.normal(size=(N, 5))


def buckets() -> tuple[keras.Model, Any]:
    inputs = keras.Input((4,))
    x = L.Discretization(bin_boundaries=[-0.5, 0.0, 0.5], output_mode="multi_hot")(inputs)
    return ended(inputs, L.Dense(6, "relu", name="hidden")(x)), RNG.normal(size=(N, 4))


def spectrogram() -> tuple[keras.Model, Any]:
    inputs = keras.Input((800,))
    x = L.MelSpectrogram(fft_length=128, num_mel_bins=8, sequence_stride=64)(inputs)
    return ended(inputs, L.Dense(6, "relu", name="hidden")(x)), RNG.normal(size=(N, 800))


def hashed() -> tuple[keras.Model, Any]:
    """keras#17072: XLA has no operation that hashes."""
    inputs = keras.Input((3,), dtype="int64")
    x = L.Flatten()(L.Embedding(7, 3)(L.Hashing(7)(inputs)))
    return ended(inputs, L.Dense(6, "relu", name="hidden")(x)), RNG.integers(0, 1000, (N, 3))


def looked_up() -> tuple[keras.Model, Any]:
    """keras#19521: a table, which a graph must have been given before it is asked."""
    inputs = keras.Input((3,), dtype="int64")
    x = L.IntegerLookup(vocabulary=[10, 20, 30, 40], output_mode="multi_hot")(inputs)
    return ended(inputs, L.Dense(6, "relu", name="hidden")(x)), RNG.choice([10, 20, 30, 99], (N, 3))


INPUTS = [tokens, bytes_cast, bytes_rescaled, doubles, buckets, spectrogram, hashed, looked_up]


@pytest.mark.parametrize("built", INPUTS, ids=lambda built: built.__name__)
def test_inputs_of_any_type_reach_the_model_as_they_are(built: Callable[[], Any]) -> None:
    check(*built())


# --- Layers (keras-surgeon#1, #9, #66; nnsight#525) -----------------------------------------------

SERIES, IMAGE = (8, 4), (6, 6, 3)
LAYERS: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "Conv1D": (SERIES, lambda x: L.Conv1D(5, 3, activation="relu", name="u")(x)),
    "Conv3D": ((4, 4, 4, 2), lambda x: L.Conv3D(4, 2, activation="relu", name="u")(x)),
    "Conv2DTranspose": (IMAGE, lambda x: L.Conv2DTranspose(4, 2, activation="relu", name="u")(x)),
    "SeparableConv2D": (IMAGE, lambda x: L.SeparableConv2D(4, 2, activation="relu", name="u")(x)),
    "DepthwiseConv2D": (IMAGE, lambda x: L.DepthwiseConv2D(2, activation="relu", name="u")(x)),
    "ConvLSTM2D": ((3, 5, 5, 2), lambda x: L.ConvLSTM2D(3, 2, name="u")(x)),
    "TimeDistributed": (SERIES, lambda x: L.TimeDistributed(L.Dense(5, "relu"), name="u")(x)),
    "PReLU": (IMAGE, lambda x: L.PReLU(shared_axes=[1, 2], name="u")(L.Conv2D(5, 3)(x))),
    "GroupNormalization": (
        IMAGE,
        lambda x: L.ReLU(name="u")(L.GroupNormalization(2)(L.Conv2D(6, 3)(x))),
    ),
    "SpectralNormalization": (
        IMAGE,
        lambda x: L.SpectralNormalization(L.Conv2D(5, 3, activation="relu"), name="u")(x),
    ),
    "LSTM": (SERIES, lambda x: L.LSTM(5, name="u")(x)),
    "GRU": (SERIES, lambda x: L.GRU(5, return_sequences=True, name="u")(x)),
    "Bidirectional": (SERIES, lambda x: L.Bidirectional(L.LSTM(3), name="u")(x)),
    "MultiHeadAttention": (SERIES, lambda x: L.MultiHeadAttention(2, 3, name="u")(x, x)),
    "attention": (SERIES, lambda x: L.Attention(name="u")([x, L.Dense(4)(x)])),
    "gate": (
        (6,),
        lambda x: L.Multiply(name="u")([L.Dense(5, "sigmoid")(x), L.Dense(5, "tanh")(x)]),
    ),
    "regularized": (
        (6,),
        lambda x: L.Dense(
            5,
            "relu",
            kernel_regularizer="l2",
            activity_regularizer="l1",
            kernel_constraint="non_neg",
            name="u",
        )(x),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_units_of_any_layer_can_be_asked(name: str) -> None:
    """tensorflow#43995 for the regularized one: what they add to a loss is none of a lesion's."""
    shape, units = LAYERS[name]
    inputs = keras.Input(shape)
    model = ended(inputs, units(inputs))
    x = RNG.normal(size=(N, *shape)).astype(np.float32)
    study = check(model, x, layers=["u"])
    assert [layer for layer, _ in study.layout.layers] == ["u"]


# --- Whole models ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize` method")
@pytest.mark.parametrize("how", ["int8", "int4", "lora", "int8 and lora"])
def test_a_model_with_few_bits_or_adapters_is_the_one_that_answers(how: str) -> None:
    """keras#19263, keras-hub#1705, keras-hub#2701."""
    inputs = keras.Input((6,))
    hidden = L.Dense(8, "relu", name="hidden")
    model = ended(inputs, L.Dense(6, "relu", name="second")(hidden(inputs)))
    if "int" in how:
        model.quantize(how.split()[0])
    if "lora" in how:
        hidden.enable_lora(2)
        hidden.lora_kernel_b.assign(RNG.normal(size=hidden.lora_kernel_b.shape))
    check(model, RNG.normal(size=(N, 6)).astype(np.float32))


@pytest.mark.parametrize("n_classes", [1000, 10_000])
def test_thousands_of_classes(n_classes: int) -> None:
    """tensorflow#50124."""
    inputs = keras.Input((6,))
    model = ended(inputs, L.Dense(4, "relu", name="hidden")(inputs), n_classes)
    check(model, RNG.normal(size=(N, 6)).astype(np.float32), n_classes)


def test_numbers_of_a_unit_are_those_of_its_plain_activations() -> None:
    """keras-surgeon#9 (APoZ), DataScience.SE 18810: dead units after too large a learning rate."""
    inputs = keras.Input((6, 6, 3))
    model = ended(inputs, L.Conv2D(8, 3, activation="relu", name="maps")(inputs))
    layer = model.get_layer("maps")
    layer.bias.assign([-100.0, 0, 0, 0, 0, 0, 0, -100.0])  # two that never answer
    x = RNG.normal(size=(N, 6, 6, 3)).astype(np.float32)
    labels = np.arange(N) % 3
    units = repro.lesion(model, x, labels).units
    activations = np.asarray(keras.Model(inputs, layer.output).predict(x, verbose=0), np.float64)
    np.testing.assert_array_equal(units["dead"], [True] + [False] * 6 + [True])
    apoz = (activations == 0).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(units["sparsity"], apoz, atol=1e-6)
    means = np.stack([activations[labels == c].mean(axis=(0, 1, 2)) for c in range(3)])
    means = means[:, 1:7]
    largest = means.max(axis=0)
    rest = (means.sum(axis=0) - largest) / 2
    np.testing.assert_allclose(
        units["class_selectivity"][1:7], (largest - rest) / (largest + rest), rtol=1e-4
    )
