"""What a study says where `model.evaluate` gives another loss, held against `model.evaluate`."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import repro
from tests.helpers import plain

N = 32  # as many as are looked at
RNG = np.random.default_rng(7)
X = RNG.normal(size=(N, 5)).astype(np.float32)
CLASSES = RNG.integers(0, 3, N)
CLASSES[:3] = 0, 1, 2
YES = CLASSES % 2


class Summed(keras.Model):
    """Adds its squared answers to its loss, and counts calls in a metric."""

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *rest: Any) -> Any:
        self.calls.assign_add(1.0)
        each = keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True)
        return ops.mean(each) + ops.mean(y_pred**2)


class Penalized(L.Layer):
    def call(self, x: Any) -> Any:
        self.add_loss(ops.mean(ops.abs(x)))
        return x


def model(ending: Any = None, n: int = 3, activity: Any = None, between: Any = ()) -> keras.Model:
    x = images = keras.Input((5,))
    x = L.Dense(6, "relu", name="hidden", activity_regularizer=activity)(x)
    for layer in between:
        x = layer(x)
    made = keras.Model(images, L.Dense(n, ending)(x))
    plain.randomise(made, np.random.default_rng(2))
    return made


LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    ("built", "options", "labels", "as_evaluated"),
    [
        (lambda: model("softmax"), {"loss": "categorical_focal_crossentropy"}, CLASSES, "one-hot"),
        (lambda: model(), {"loss": LOGITS, "loss_weights": [10.0]}, CLASSES, "classes"),
        (
            lambda: model("sigmoid", 1),
            {"loss": "binary_focal_crossentropy"},
            YES.astype(str),
            "yes",
        ),
        (lambda: model(), {"loss": LOGITS, "loss_weights": 0.5}, np.eye(3)[CLASSES], "classes"),
    ],
    ids=["focal", "weight in a list", "labels in words", "one weight"],
)
def test_the_loss_that_evaluate_counts_is_told(
    built: Any, options: Any, labels: Any, as_evaluated: str
) -> None:
    made = built()
    made.compile(**options)
    given = {"one-hot": np.eye(3)[CLASSES], "classes": CLASSES, "yes": YES}[as_evaluated]
    names = ["0", "1"] if labels.dtype.kind == "U" else ()
    study = repro.lesion(made, X, labels, class_names=names)
    evaluated = made.evaluate(X, given, batch_size=N, verbose=0)
    assert float(study.intact.loss) != pytest.approx(evaluated, rel=1e-2)
    assert f"{evaluated:.4g} on these" in study.own_loss


@pytest.mark.parametrize("kind", ["activity_regularizer", "add_loss"])
def test_penalties_of_activities_are_told(kind: str) -> None:
    """They were read from a graph that had ended, and so left out."""
    activity = "l2" if kind == "activity_regularizer" else None
    made = model(activity=activity, between=[Penalized()] if kind == "add_loss" else [])
    made.compile(loss=LOGITS)
    study = repro.lesion(made, X, CLASSES)
    (told,) = re.findall(r"add_loss add to that of model.evaluate, (.*) on 32", study.own_loss)
    evaluated = made.evaluate(X, CLASSES, batch_size=N, verbose=0)
    assert float(study.intact.loss) + float(told) == pytest.approx(evaluated, rel=1e-3)
    assert all(np.isfinite(float(one)) for one in made.losses)  # none is left from our graph


def test_a_loss_that_the_class_computes_is_told_and_leaves_no_trace() -> None:
    x = keras.Input((5,))
    made = Summed(x, L.Dense(3)(L.Dense(6, "relu")(x)))
    made.calls = made.add_weight(name="calls", initializer="zeros", trainable=False)
    plain.randomise(made, np.random.default_rng(2))
    made.compile(loss=LOGITS)
    study = repro.lesion(made, X, CLASSES)
    assert float(made.calls.value) == 0
    answers = np.asarray(made(X))
    each = keras.losses.sparse_categorical_crossentropy(CLASSES, answers, from_logits=True)
    own = float(ops.mean(each)) + float((answers**2).mean())
    assert f"own compute_loss computes, {own:.4g} on these" in study.own_loss


@pytest.mark.parametrize("ending", ["sigmoid", "softmax"])
def test_a_saturated_network_is_measured_by_its_logits_and_nothing_is_told(ending: str) -> None:
    """Keras's losses look behind the last function; its rounded answers say 16.1 at most. Lesions
    of such a network were refused, and its loss was said to be another than evaluate's."""
    made = model(ending, 1 if ending == "sigmoid" else 3)
    labels = YES if ending == "sigmoid" else CLASSES
    kind = "binary" if ending == "sigmoid" else "sparse_categorical"
    made.compile(loss=f"{kind}_crossentropy")
    images = 200 * X
    study = repro.lesion(made, images, labels)
    evaluated = made.evaluate(images, labels, verbose=0)
    assert evaluated > 40
    assert float(study.intact.loss) == pytest.approx(evaluated, rel=1e-5)
    assert study.own_loss == ""
    last = made.layers[-1]
    for unit in range(6):
        with plain.without_unit(made.get_layer("hidden"), unit):
            function, last.activation = last.activation, keras.activations.linear
            z = np.asarray(made(images), np.float64)
            last.activation = function
        if ending == "sigmoid":
            losses = np.logaddexp(0, np.where(labels == 1, -1, 1) * z[:, 0])
        else:
            losses = np.logaddexp.reduce(z, axis=1) - z[np.arange(N), labels]
        expected = losses.mean() - float(study.intact.loss)
        assert study.units["importance"][unit] == pytest.approx(expected, rel=1e-4, abs=1e-4)
