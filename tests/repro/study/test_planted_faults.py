"""The last line of defence: a network that is not the user's is refused, with the layer's name.

Faults are planted in what reads, folds, copies or calls the user's model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import repro
from repro.engine import admission, network
from tests.helpers import plain

N = 40
X = np.random.default_rng(2).normal(size=(N, 6)).astype(np.float32)
Y = np.random.default_rng(3).integers(0, 3, N)


def classifier(ending: str | None = None) -> keras.Model:
    x = images = keras.Input((6,))
    x = L.Dense(8, name="first", activation="relu")(x)
    x = L.Dense(7, name="second")(x)
    x = L.BatchNormalization(name="norm")(x)
    x = L.Activation("tanh", name="tanh")(x)
    x = L.LayerNormalization(name="layer_norm")(x)
    model = keras.Model(images, L.Dense(3, activation=ending, name="answer")(x))
    plain.randomise(model, np.random.default_rng(0))
    return model


def wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    read = network._linear

    def planted(layer: Any, tensors: Any) -> Any:
        found = read(layer, tensors)
        if found is not None and layer.name == "first":
            return dataclasses.replace(found, kernel=found.kernel * 1.01)
        return found

    monkeypatch.setattr(network, "_linear", planted)


def wrong_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    make = network._activation

    def planted(node: Any, function: Any, *rest: Any) -> Any:
        swapped = keras.activations.sigmoid if function is keras.activations.tanh else function
        return make(node, swapped, *rest)

    monkeypatch.setattr(network, "_activation", planted)


def wrong_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = network._Normalization.into

    def planted(self: Any, linear: Any) -> Any:
        found = fold(self, linear)
        return dataclasses.replace(found, bias=found.bias + 0.05)

    monkeypatch.setattr(network._Normalization, "into", planted)


def forgotten_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    read = network.values_of

    def planted(variables: Any) -> Any:
        return [(v, x * 0 if v.path.endswith("gamma") else x) for v, x in read(variables)]

    monkeypatch.setattr(network, "values_of", planted)


def wrong_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        network.Network,
        "given",
        lambda self, inputs: {self.images[0]: ops.round(ops.cast(inputs, "float32"))},
    )


@pytest.mark.parametrize(
    ("plant", "layer"),
    [
        (wrong_kernel, "first"),
        (wrong_activation, "tanh"),
        (wrong_fold, "norm"),
        (forgotten_weights, "layer_norm"),
        (wrong_input, "first"),
    ],
)
def test_the_first_layer_that_differs_is_named(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], layer: str
) -> None:
    model = classifier()
    repro.lesion(model, X, Y)
    plant(monkeypatch)
    sentence = f"does not answer as model .*first layer whose output differs is '{layer}'"
    with pytest.raises(ValueError, match=sentence):
        repro.lesion(model, X, Y)
    with pytest.raises(ValueError, match=sentence):
        repro.Engine(repro.insert_masks(model), X, Y)


def test_an_ending_that_is_none_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The softmax is left out, and the answers are taken for logits."""
    trace = network.trace

    def planted(model: Any, leave_out: bool = True) -> Any:
        return dataclasses.replace(trace(model, True), ending="", left_out=False)

    monkeypatch.setattr(admission, "trace", planted)
    with pytest.raises(ValueError, match="does not answer as model"):
        repro.lesion(classifier("softmax"), X, Y, from_logits=True)


def test_a_tally_that_counts_another_loss_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from repro.engine import tally

    count = tally.Tally.__call__

    def planted(self: Any, *args: Any) -> Any:
        rank, loss, tied = count(self, *args)
        return rank, loss + 0.1, tied

    monkeypatch.setattr(tally.Tally, "__call__", planted)
    with pytest.raises(ValueError, match="the engine's loss is .*from_logits=True or False"):
        repro.lesion(classifier(), X, Y)


class Halved(keras.Model):
    def predict_step(self, data: Any) -> Any:
        x = data[0] if isinstance(data, tuple) else data
        return self(x, training=False) * 0.5


def test_a_predict_step_of_ones_own_is_the_users_answer() -> None:
    model = classifier()
    other = Halved(model.inputs, model.outputs)
    with pytest.raises(ValueError, match="no layer's output differs.*predict_step"):
        repro.lesion(other, X, Y)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(value: float) -> None:
    model = classifier()
    kernel, bias = model.get_layer("second").get_weights()
    kernel[0, 0] = value
    model.get_layer("second").set_weights([kernel, bias])
    with pytest.raises(ValueError, match="weight 'second/kernel' .*1 values that are not finite"):
        repro.lesion(model, X, Y)


def test_activations_that_are_not_finite_are_named() -> None:
    x = images = keras.Input((6,))
    x = L.Dense(8, name="first", activation="relu")(x)
    x = L.Lambda(ops.log, name="logarithm")(x)
    model = keras.Model(images, L.Dense(3)(x))
    with pytest.raises(ValueError, match="not finite .*first in the output of layer 'logarithm'"):
        repro.lesion(model, X, Y)


class Forgetful(L.Layer):
    """keras#17383: its config forgets the slope."""

    def __init__(self, slope: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.slope = slope

    def call(self, x: Any) -> Any:
        return ops.maximum(x, self.slope * x)


def leaky_relu(x: Any) -> Any:
    """keras#2272: of Keras's name, and not its slope."""
    return ops.maximum(x, 0.01 * x)


@pytest.mark.parametrize(
    "hidden",
    [
        lambda x: Forgetful(0.3, name="own")(L.Dense(7)(x)),
        lambda x: L.Dense(7, activation=leaky_relu, name="own")(x),
        lambda x: L.Activation(lambda v: ops.clip(v, 0, 1), name="own")(L.Dense(7)(x)),
    ],
)
def test_layers_that_a_copy_would_change_are_shared(hidden: Any) -> None:
    images = keras.Input((6,))
    x = L.Dense(8, activation="relu", name="first")(images)
    model = keras.Model(images, L.Dense(3)(hidden(x)))
    plain.randomise(model, np.random.default_rng(0))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    study = repro.lesion(model, X, Y, layers=["first", "own"])
    assert float(study.intact.loss) == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)
    layer, original = model.get_layer("own"), model.get_layer("own").call
    keep = (np.arange(7) != 2).astype(np.float32)
    layer.call = lambda *args, **kwargs: original(*args, **kwargs) * keep
    lesioned = ops.convert_to_numpy(
        keras.losses.sparse_categorical_crossentropy(Y, model(X, training=False), from_logits=True)
    )
    del layer.call
    change = float(lesioned.mean()) - float(study.intact.loss)
    assert study.units["importance"][8 + 2] == pytest.approx(change, abs=2e-6)


def test_a_study_is_of_the_network_that_it_was_made_of() -> None:
    """keras#2664: the model shares its weights with the study, and is trained on."""
    model = classifier()
    study = repro.lesion(model, X, Y)
    weights = model.get_weights()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, Y, epochs=2, verbose=0)
    trained = model.get_weights()
    assert not np.allclose(weights[0], trained[0])
    again = classifier()
    again.set_weights(weights)
    fresh = repro.lesion(again, X, Y)
    np.testing.assert_array_equal(study.units["importance"], fresh.units["importance"])
    np.testing.assert_array_equal(study.curve().loss, fresh.curve().loss)
    assert study.errors == fresh.errors
    np.testing.assert_array_equal(study.statistics.variance, fresh.statistics.variance)
    np.testing.assert_array_equal(model.get_weights()[0], trained[0])


def test_a_later_adapt_changes_nothing_in_a_study(tmp_path: Path) -> None:
    """keras#2664: means and tables that `adapt` gives a layer stand in attributes of it."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(3, 2, (40, 5)).astype(np.float32), rng.integers(0, 3, 40)
    normal = keras.layers.Normalization()
    normal.adapt(x)
    words = np.array([" ".join(rng.choice(list("abcdef"), 4)) for _ in range(40)])
    vectorize = keras.layers.TextVectorization(max_tokens=9, output_sequence_length=4)
    vectorize.adapt(words)
    inputs, texts = keras.Input((5,)), keras.Input((), dtype="string")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(9, 3)(vectorize(texts)))
    for layer, given, start, made in (
        (normal, x, inputs, normal(inputs)),
        (vectorize, words, texts, embedded),
    ):
        hidden = keras.layers.Dense(6, "relu", name="hidden")(made)
        model = keras.Model(start, keras.layers.Dense(3)(hidden))
        whole, later = repro.lesion(model, given, y), repro.lesion(model, given, y)
        expected = whole.units["importance"].copy()
        layer.adapt(np.array(["x y z w v u t"] * 40) if given is words else x * 5 - 3)
        np.testing.assert_array_equal(later.units["importance"], expected)
        assert float(later.intact.loss) == float(whole.intact.loss)
        assert later.errors[0].importance > 0
        saved = keras.saving.load_model(later.save(tmp_path / start.name), compile=False)
        again = repro.lesion(saved, given, y)
        assert float(again.intact.loss) == pytest.approx(float(whole.intact.loss), rel=1e-6)


def exchanged_last(model: keras.Model) -> None:
    model.layers[-1].activation = keras.activations.linear


def exchanged_hidden(model: keras.Model) -> None:
    model.get_layer("hidden").activation = keras.activations.tanh


def exchanged_call(model: keras.Model) -> None:
    layer = model.get_layer("hidden")
    original = layer.call
    layer.call = lambda *args, **options: 2 * original(*args, **options)


@pytest.mark.parametrize("asked_before", [True, False])
@pytest.mark.parametrize("exchanged", [exchanged_last, exchanged_hidden, exchanged_call])
def test_functions_that_are_exchanged_after_a_study_change_nothing_in_it(
    exchanged: Any, asked_before: bool, tmp_path: Path
) -> None:
    """What tools for saliency maps do: a linear last layer, guided ReLU."""
    rng = np.random.default_rng(3)
    images, labels = rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 3, 60)

    def network() -> keras.Model:
        layers = [L.Dense(7, "relu", name="hidden"), L.Dense(3, "softmax", name="last")]
        model = keras.Sequential([keras.Input((5,)), *layers], name="network")
        plain.randomise(model, np.random.default_rng(4))
        return model

    def numbers(study: Any) -> list[Any]:
        return [
            study.units["importance"],
            study.units["mean_activation"],
            study.curve(orders=2).accuracy,
            [error.importance for error in study.errors],
            [float(study.intact.loss)],
        ]

    expected = numbers(repro.lesion(network(), images, labels))
    model = network()
    intact = np.asarray(model(images))
    study = repro.lesion(model, images, labels)
    if asked_before:
        study.units  # noqa: B018  computes
    exchanged(model)
    now = np.asarray(model(images))
    assert not np.allclose(now, intact)
    for found, wanted in zip(numbers(study), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    saved = repro.load_model(study.save(tmp_path / "network"), trusted=True)
    np.testing.assert_allclose(saved(images), intact, atol=1e-6)
    np.testing.assert_array_equal(model(images), now)  # the user's model is as the user made it
