"""Activation functions are told apart by what they compute, whatever they are called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import repro
from repro.models import functions, graph
from repro.models.functions import Computed, name_of, same_of_keras, what
from repro.models.insertion import signed_layers
from tests.helpers import plain

ELEMENTWISE = Computed(elementwise=True)
NEVER_NEGATIVE = Computed(elementwise=True, never_negative=True)
RELU = Computed(elementwise=True, never_negative=True, is_relu=True)
SOFTMAX = Computed(normalizes=True, never_negative=True)
UNKNOWN = Computed(known=False)


# keras#2272 and spacekit#29: functions of the user's own under the names of Keras's.
def relu(values: Any) -> Any:
    return ops.clip(values, 0, 1)


def leaky_relu(values: Any) -> Any:
    return ops.where(values > 0, values, 0.01 * values)


def gelu(values: Any) -> Any:
    return values * ops.sigmoid(1.702 * values)


def softmax(values: Any) -> Any:
    return ops.log(1 + ops.exp(-ops.abs(values))) + ops.maximum(values, 0)


def sigmoid(values: Any) -> Any:
    return ops.softmax(values)


def chance(values: Any) -> Any:
    return keras.random.normal(ops.shape(values)) + values


def broken(values: Any) -> Any:
    raise RuntimeError("no")


class Sharpened:
    def __init__(self, heat: float) -> None:
        self.heat = heat

    def __call__(self, values: Any) -> Any:
        return ops.softmax(values / self.heat)


class Gate(L.Layer):
    def call(self, values: Any) -> Any:
        return ops.maximum(values, 0.0)


FUNCTIONS: list[tuple[Any, Computed]] = [
    (relu, NEVER_NEGATIVE),
    (leaky_relu, ELEMENTWISE),
    (gelu, ELEMENTWISE),
    (softmax, NEVER_NEGATIVE),
    (sigmoid, SOFTMAX),
    (lambda values: ops.maximum(values, 0), RELU),
    (lambda values: ops.relu(values), RELU),
    (ops.relu, RELU),
    (ops.softmax, SOFTMAX),
    (ops.log_softmax, Computed(normalizes=True)),
    (ops.sigmoid, NEVER_NEGATIVE),
    (keras.activations.relu, RELU),
    (keras.activations.get("softmax"), SOFTMAX),
    (keras.activations.get("linear"), Computed(elementwise=True, linear=True)),
    (None, Computed(elementwise=True, linear=True)),
    (functools.partial(ops.leaky_relu, negative_slope=0.1), ELEMENTWISE),
    (functools.partial(ops.leaky_relu, negative_slope=0.0), RELU),
    (functools.partial(keras.activations.relu, max_value=6.0), NEVER_NEGATIVE),
    (Sharpened(2.0), SOFTMAX),
    (lambda values: 0.9 * ops.softmax(values) + 0.01, SOFTMAX),
    (lambda values: ops.exp(values) / ops.sum(ops.exp(values), -1, keepdims=True), SOFTMAX),
    (lambda values: ops.sqrt(values), NEVER_NEGATIVE),
    (lambda values: values, Computed(elementwise=True, linear=True)),
    (lambda values: 2 * values - 1, Computed(elementwise=True, linear=True)),
    (lambda values: values / (1e-3 + ops.norm(values, axis=-1, keepdims=True)), Computed()),
    (lambda values: values - ops.mean(values), Computed()),
    (
        lambda values: ops.relu(values) * np.arange(8, dtype="float32"),
        Computed(never_negative=True),
    ),
    (keras.activations.glu, Computed()),
    (chance, UNKNOWN),
    (broken, UNKNOWN),
    (lambda values: "text", UNKNOWN),
    (L.ReLU(), RELU),
    (L.ReLU(6.0), NEVER_NEGATIVE),
    (L.ReLU(negative_slope=0.1), ELEMENTWISE),
    (L.LeakyReLU(), ELEMENTWISE),
    (L.Softmax(), SOFTMAX),
    (L.Activation("relu"), RELU),
    (L.PReLU(), Computed()),
    (Gate(), UNKNOWN),
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_a_function_is_known_by_what_it_computes(number: int) -> None:
    function, computed = FUNCTIONS[number]
    assert what(function) == computed
    assert what(function) == computed  # and from memory


@pytest.mark.parametrize("shape", [(8,), (None, 8), (4, None, 8), (2, 3, 4, 8)])
def test_keras_s_own_functions_compute_what_their_names_say(shape: Any) -> None:
    """What is known by identity is what a trial finds."""
    for function, name in functions._NAMES.items():
        if name not in ("threshold", "sparsemax"):  # needs arguments; wrong on some backends
            assert functions._tried(function, shape) == what(function, shape), name


def test_functions_of_the_backends_are_known() -> None:
    if keras.backend.backend() == "jax":
        import jax

        found = (jax.nn.relu, jax.nn.leaky_relu, jax.nn.softmax, jax.nn.softplus)
    else:
        tf = pytest.importorskip("tensorflow")
        found = (tf.nn.relu, tf.nn.leaky_relu, tf.nn.softmax, tf.nn.softplus)
    assert [what(one) for one in found] == [RELU, ELEMENTWISE, SOFTMAX, NEVER_NEGATIVE]


def test_a_function_that_needs_its_own_number_of_units_is_given_it() -> None:
    slopes = np.linspace(0.1, 0.3, 5, dtype="float32")
    function = lambda values: ops.where(values > 0, values, slopes * values)  # noqa: E731
    assert what(function) == UNKNOWN
    assert what(function, (5,)) == Computed()
    assert what(function, (None, 5)) == Computed()


def test_the_axis_over_which_a_function_weighs_does_not_matter() -> None:
    assert what(lambda values: ops.softmax(values, axis=1), (6, 5)).normalizes
    assert what(lambda values: ops.softmax(values, axis=(1, 2)), (6, 5)).normalizes


def test_a_function_in_half_precision_alone_is_tried_in_it() -> None:
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's functions")
    half = tf.constant(0.25, tf.float16)
    assert what(lambda values: tf.maximum(values, half * values)) == ELEMENTWISE


def test_a_function_is_tried_once_and_one_that_can_change_each_time() -> None:
    calls = []

    def counted(values: Any) -> Any:
        calls.append(1)
        return ops.relu(values)

    assert what(counted) == RELU
    n_first = len(calls)
    assert what(counted) == RELU and len(calls) == 2 * n_first  # a function with values around it

    heat = Sharpened(1.0)
    assert what(heat) == SOFTMAX
    what(relu)
    assert functions._remembered(relu, 1) == NEVER_NEGATIVE
    assert functions._remembered(heat, 1) is None


def test_a_function_is_tried_while_a_graph_is_traced() -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("graphs of TensorFlow")
    import tensorflow as tf

    found = []

    @tf.function
    def traced(values: Any) -> Any:
        found.append(what(lambda given: ops.maximum(given, 0)))
        return values

    traced(tf.zeros(2))
    assert found == [RELU]


def test_functions_have_names_in_sentences() -> None:
    assert name_of(functools.partial(relu)) == "relu"
    assert name_of(lambda values: values) == "a lambda"
    assert name_of(Sharpened(1.0)) == "Sharpened"
    assert (same_of_keras(ops.tanh), same_of_keras(gelu), same_of_keras(broken)) == ("tanh", "", "")


# --- Hidden or not ----------------------------------------------------------------------------

RULED: list[tuple[Callable[[Any], Any], bool, str]] = [
    (relu, True, "output of relu"),
    (leaky_relu, True, "output of leaky_relu"),
    (softmax, True, "output of softmax"),
    (sigmoid, False, "sigmoid weighs its units against each other"),
    (lambda values: ops.softmax(values), False, "a lambda weighs its units"),
    (ops.softmax, False, "weighs its units"),
    (functools.partial(ops.softmax, axis=-1), False, "softmax weighs its units"),
    (lambda values: ops.tanh(values), True, "output of a lambda"),
    (lambda values: values, False, "no activation"),
    (broken, False, "its activation, broken, cannot be tried"),
]


LAYERS: list[Callable[[Any], Any]] = [
    lambda function: L.Dense(3, activation=function, name="x"),
    lambda function: L.Activation(function, name="x"),
    lambda function: L.Conv1D(3, 1, activation=function, name="x"),
    lambda function: L.TimeDistributed(L.Dense(3, activation=function), name="x"),
]


@pytest.mark.parametrize("number", range(len(RULED)))
@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_whether_a_layer_is_hidden_follows_what_its_function_computes(
    number: int, layer: int
) -> None:
    function, masked, word = RULED[number]
    images = keras.Input((4, 3))
    x = LAYERS[layer](function)(images)
    model = keras.Model(images, L.Dense(2)(L.Flatten()(x)))
    row = next(row for row in repro.hidden_layers(model) if row.layer == "x")
    assert (row.masked, word in row.why) == (masked, True), row.why


@pytest.mark.parametrize("share_weights", [True, False])
@pytest.mark.parametrize("function", [relu, leaky_relu, gelu, softmax, lambda v: ops.elu(v, 0.3)])
def test_a_masked_model_computes_the_user_s_own_function(
    function: Any, share_weights: bool
) -> None:
    """keras#2272: a copy must not have Keras's function of that name."""
    images = keras.Input((5,))
    x = L.Dense(6, activation=function, name="hidden")(images)
    model = keras.Model(images, L.Dense(3, name="logits")(x))
    plain.randomise(model, np.random.default_rng(0))
    masked = repro.insert_masks(model, share_weights=share_weights)
    given = np.random.default_rng(1).normal(0, 3, (40, 5)).astype("float32")
    np.testing.assert_array_equal(masked.predict(given, verbose=0), model.predict(given, verbose=0))
    repro.ablate(masked, {"hidden": [0, 4]})
    kernel, bias = model.get_layer("hidden").get_weights()
    hidden = np.array(ops.convert_to_numpy(function(ops.convert_to_tensor(given @ kernel + bias))))
    hidden[:, [0, 4]] = 0
    kernel, bias = model.get_layer("logits").get_weights()
    found = masked.predict(given, verbose=0)
    np.testing.assert_allclose(found, hidden @ kernel + bias, rtol=1e-4, atol=1e-4)


SIGNED: list[tuple[Callable[[Any], Any], str]] = [
    (L.Dense(3, activation=relu), ""),
    (L.Dense(3, activation=leaky_relu), "leaky_relu"),
    (L.Dense(3, activation=softmax), ""),
    (L.Dense(3, activation=gelu), "gelu"),
    (L.Dense(3, activation=lambda values: ops.square(values)), ""),
    (L.Dense(3, activation=sigmoid), ""),
    (L.Activation(ops.tanh), "tanh"),
    (lambda x: ops.relu6(x), ""),
    (lambda x: ops.leaky_relu(x, 0.3), "leakyrelu"),
    (lambda x: ops.maximum(x, 0.0), ""),
]


@pytest.mark.parametrize("number", range(len(SIGNED)))
def test_whether_activations_can_be_negative_follows_what_the_function_computes(
    number: int,
) -> None:
    layer, source = SIGNED[number]
    images = keras.Input((4,))
    x = repro.AblationMask(name="x_mask")(layer(images))
    model = keras.Model(images, L.Dense(2)(x))
    assert signed_layers(model) == ({"x": source} if source else {})


def test_the_larger_of_a_value_and_0_is_a_relu() -> None:
    images = keras.Input((4,))
    x = ops.maximum(L.Dense(5)(images), 0)
    y = ops.maximum(L.Dense(5)(x), 0.5)
    model = keras.Model(images, L.Dense(2)(y))
    assert [row.why for row in repro.hidden_layers(model) if row.masked] == ["output of relu"]


# --- Copies -----------------------------------------------------------------------------------


def test_a_copy_has_functions_of_the_backend() -> None:
    """exelban/tensorflow-cifar-10#6: `activation=tf.nn.softmax`."""
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's functions")
    images = keras.Input((4,))
    x = L.Dense(5, activation=tf.nn.relu)(images)
    model = keras.Model(images, L.Dense(3, activation=tf.nn.softmax)(x))
    given = np.random.default_rng(1).normal(size=(6, 4)).astype("float32")
    copy = graph.copied(model)
    np.testing.assert_array_equal(copy(given), model(given))
    assert copy.weights[0] is not model.weights[0]
    assert model.layers[-1].activation is tf.nn.softmax


def test_a_function_that_no_copy_can_have_is_refused_in_one_short_line() -> None:
    """The kind of exelban/tensorflow-cifar-10#6: 900 characters of a layer's configuration."""

    def curve(values: Any) -> Any:
        return ops.tanh(values)

    images = keras.Input((4, 3))
    states = L.LSTM(5, activation=curve, name="states")(images)
    model = keras.Model(images, L.Dense(3)(L.Dense(4, "relu")(states)))
    with pytest.raises(ValueError) as caught:
        repro.insert_masks(model, share_weights=False)
    sentence = str(caught.value)
    assert "layer 'states'" in sentence and "write activation='tanh'" in sentence
    assert len(sentence) < 300 and "\n" not in sentence
    assert repro.ablation_masks(repro.insert_masks(model))  # the other cure
    states = L.LSTM(5, activation="tanh", name="states")(images)
    cured = keras.Model(images, L.Dense(3)(L.Dense(4, "relu")(states)))
    assert repro.ablation_masks(repro.insert_masks(cured, share_weights=False))


class Scaled(L.Layer):
    """Its get_config forgets the factor, as in keras#17383 and CapsNet-Keras#59."""

    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, values: Any) -> Any:
        return self.factor * values

    def get_config(self) -> dict[str, Any]:
        return L.Layer.get_config(self)


def test_a_copy_that_is_another_network_is_refused_by_the_layer_that_differs() -> None:
    """keras#17383: a config that forgets an argument."""
    images = keras.Input((4, 4, 3))
    x = L.Flatten()(L.RandomFlip()(images))  # its node says training=True; inference does not
    x = Scaled(5.0, name="scaled")(L.Dense(5, "relu")(x))
    model = keras.Model(images, L.Dense(3)(x))
    with pytest.raises(ValueError, match="the copy of layer 'scaled' gives other answers.*get_con"):
        repro.insert_masks(model, share_weights=False)
    assert repro.ablation_masks(repro.insert_masks(model, share_weights=True))
