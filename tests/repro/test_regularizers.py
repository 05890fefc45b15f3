"""The selectivity regularizer against NumPy, image by image."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from repro import metrics
from repro.regularizers import EPSILON, SelectivityLoss, mean_selectivity


def by_hand(labels: np.ndarray, activations: np.ndarray) -> float:
    """In plain loops, float64."""
    values = []
    for unit in range(activations.shape[-1]):
        means = []
        for c in sorted(set(labels.tolist())):
            of_class = [
                float(np.mean(activations[n, ..., unit], dtype=np.float64))
                for n in range(len(labels))
                if labels[n] == c
            ]
            means.append(sum(of_class) / len(of_class))
        largest = max(means)
        means.remove(largest)
        rest = sum(means) / len(means)
        values.append((largest - rest) / (largest + rest + EPSILON))
    return sum(values) / len(values)


@pytest.mark.parametrize("shape", [(40, 6), (40, 3, 3, 6)], ids=["dense", "maps"])
def test_it_is_the_mean_selectivity_of_the_units(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    activations = np.maximum(rng.normal(size=shape), 0).astype(np.float32)
    activations[..., 4] = 0  # silent
    labels = rng.choice([0, 1, 2, 4], 40)  # of classes 0 to 5
    found = float(mean_selectivity(labels, activations, 6))
    assert found == pytest.approx(by_hand(labels, activations), rel=1e-5)


def test_without_absent_classes_it_is_the_metric_of_the_report(rng: np.random.Generator) -> None:
    activations = np.maximum(rng.normal(size=(30, 5)), 0).astype(np.float32)
    labels = np.arange(30) % 3
    means = np.stack([activations[labels == c].mean(axis=0) for c in range(3)])
    expected = metrics.class_selectivity(means).mean()
    assert float(mean_selectivity(labels, activations, 3)) == pytest.approx(expected, rel=1e-5)


def test_of_one_class_nothing_can_be_told(rng: np.random.Generator) -> None:
    activations = rng.random((8, 5), dtype=np.float32)
    assert float(mean_selectivity(np.full(8, 2), activations, 4)) == 0


def test_the_loss_takes_labels_as_keras_gives_them_and_half_precision(
    rng: np.random.Generator,
) -> None:
    activations = rng.random((40, 2, 2, 3), dtype=np.float32).astype(np.float16)
    labels = np.arange(40) % 4
    loss = SelectivityLoss(-2.0, 4)
    found = float(loss(labels[:, None].astype(np.float32), activations))
    assert found == pytest.approx(2 * by_hand(labels, activations.astype(np.float32)), rel=2e-3)
    again = SelectivityLoss.from_config(loss.get_config())
    assert float(again(labels, activations)) == pytest.approx(found, rel=2e-3)


def test_gradients_are_finite_and_point_to_less_selective_units(rng: np.random.Generator) -> None:
    import tensorflow as tf

    values = rng.normal(size=(30, 4)).astype(np.float32)
    values[:, 1] = -1  # silent
    labels, inputs = np.arange(30) % 3, tf.Variable(values)
    with tf.GradientTape() as tape:
        before = SelectivityLoss(-1.0, 3)(labels, keras.ops.relu(inputs))
    gradient = np.asarray(tape.gradient(before, inputs))
    assert np.all(np.isfinite(gradient)) and np.all(gradient[:, 1] == 0)
    less = float(mean_selectivity(labels, np.maximum(values - 0.5 * gradient, 0), 3))
    assert less < float(before) and keras.ops.ndim(before) == 0
