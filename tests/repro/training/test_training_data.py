"""What `fit` takes, the callback, recover and the regularizer take: the same in any form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import repro
from repro.training.callback import NAME

LAYERS = keras.layers


@pytest.fixture(scope="module")
def points() -> tuple[np.ndarray, np.ndarray]:
    """90 points in three classes."""
    values = np.random.default_rng(8)
    labels = (np.arange(90) % 3).astype(np.int32)
    images = values.normal(0, 2, (3, 5))[labels] + values.normal(0, 1, (90, 5))
    return images.astype(np.float32), labels


def network(n_classes: int = 3) -> keras.Model:
    keras.utils.set_random_seed(1)
    hidden = LAYERS.Dense(12, "relu", name="hidden")
    model = keras.Sequential([keras.Input((5,)), hidden, LAYERS.Dense(n_classes)])
    model.compile(keras.optimizers.Adam(0.03), loss_of(n_classes), jit_compile=False)
    return model


def loss_of(n_classes: int) -> keras.losses.Loss:
    if n_classes == 1:
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Pairs(keras.utils.PyDataset):
    """Batches of 20, in order."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        super().__init__()
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return -(-len(self.images) // 20)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(20 * index, 20 * index + 20)
        return self.images[part], self.labels[part]


def tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Any, ...]:
    import tensorflow as tf

    return tf.constant(images), tf.constant(labels)


def dataset(images: np.ndarray, labels: np.ndarray) -> tuple[Any, ...]:
    import tensorflow as tf

    return (tf.data.Dataset.from_tensor_slices((images, labels)).batch(25).prefetch(2),)


def frames(images: np.ndarray, labels: np.ndarray) -> tuple[Any, ...]:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(images), pandas.Series(labels)


FORMS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[Any, ...]]] = {
    "lists": lambda images, labels: (images.tolist(), labels.tolist()),
    "tensors": tensors,
    "dataset": dataset,
    "PyDataset": lambda images, labels: (Pairs(images, labels),),
    "frames": frames,
    "column": lambda images, labels: (images, labels[:, None]),
    "whole floats": lambda images, labels: (images, labels.astype(np.float64)),
    "float64 images": lambda images, labels: (images.astype(np.float64), labels),
}


def watched(points: Any, *data: Any) -> dict[str, list[float]]:
    """Logs of a training on the points, with a callback that is given the data."""
    reliance = repro.SingleDirectionReliance(*data, orders=2, points=4)
    return network().fit(*points, epochs=4, verbose=0, callbacks=[reliance]).history


@pytest.fixture(scope="module")
def logs_of_arrays(points: Any) -> dict[str, list[float]]:
    return watched(points, *points)


@pytest.mark.parametrize("form", FORMS)
def test_the_callback_takes_what_fit_takes(form: str, points: Any, logs_of_arrays: Any) -> None:
    """sicara/tf-explain#180 (tensors ended the training, a Dataset was refused),
    keras-team/autokeras#682, interpretml/DiCE#43."""
    expected, found = logs_of_arrays, watched(points, *FORMS[form](*points))
    assert not np.isnan(expected[NAME][-1])
    assert found[NAME] == pytest.approx(expected[NAME], nan_ok=True)
    assert found["intact_accuracy"] == expected["intact_accuracy"]


def test_the_callback_takes_one_hot_labels_and_a_shuffled_stream(points: Any) -> None:
    import tensorflow as tf

    images, labels = points
    one_hot = np.eye(3, dtype=np.float32)[labels]
    model = network()
    model.compile("adam", keras.losses.CategoricalCrossentropy(True), jit_compile=False)
    stream = tf.data.Dataset.from_tensor_slices((images, one_hot)).shuffle(90, seed=1).batch(30)
    for data in ((images, one_hot), (stream,)):
        reliance = repro.SingleDirectionReliance(*data)
        logs = model.fit(images, one_hot, epochs=2, verbose=0, callbacks=[reliance]).history
        hits = model.predict(images, verbose=0).argmax(axis=1) == labels
        assert logs["intact_accuracy"][-1] == pytest.approx(hits.mean())


@pytest.mark.parametrize("kind", [bool, np.int64, np.float32])
def test_yes_and_no_in_any_type(kind: Any, points: Any) -> None:
    images, labels = points[0], (points[1] == 1).astype(kind)
    model = network(1)
    reliance = repro.SingleDirectionReliance(images, labels)
    logs = model.fit(images, labels, epochs=3, verbose=0, callbacks=[reliance]).history
    hits = (model.predict(images, verbose=0)[:, 0] > 0) == (points[1] == 1)
    assert logs["intact_accuracy"][-1] == hits.mean()
    found = repro.recover(model, {"hidden": [0]}, images, labels, epochs=1)
    assert found.intact.accuracy == hits.mean()


@pytest.fixture(scope="module")
def recovered_from_arrays(points: Any) -> tuple[keras.Model, Any]:
    """A trained network, and its recovery on plain arrays."""
    model = network()
    model.fit(*points, epochs=4, verbose=0)
    return model, repro.recover(model, {"hidden": [0, 1]}, *points, epochs=1)


@pytest.mark.parametrize("form", FORMS)
def test_recover_takes_what_fit_takes(form: str, points: Any, recovered_from_arrays: Any) -> None:
    """sicara/tf-explain#180; (n, 1) was refused here alone."""
    model, expected = recovered_from_arrays
    found = repro.recover(model, {"hidden": [0, 1]}, *FORMS[form](*points), epochs=1)
    assert found.intact.loss == pytest.approx(expected.intact.loss, rel=1e-6)
    assert found.recovered[0].loss == pytest.approx(expected.recovered[0].loss, rel=1e-5)
    held_out = FORMS[form](*(part[:30] for part in points))
    few = repro.recover(
        model,
        {"hidden": [0]},
        *points,
        epochs=1,
        held_out=held_out if len(held_out) == 2 else held_out[0],
    )
    assert few.intact.n_images.sum() == 30


def selectivity(*data: Any) -> list[float]:
    """The mean over an epoch without learning."""
    trainee = repro.SelectivityRegularized(network(), -1.0)
    trainee.compile(keras.optimizers.SGD(0.0), loss_of(3), jit_compile=False)
    return trainee.fit(*data, batch_size=None, verbose=0, shuffle=False).history["selectivity"]


@pytest.fixture(scope="module")
def selectivity_of_arrays(points: Any) -> float:
    return selectivity(*points)[0]


@pytest.mark.parametrize("form", ["tensors", "dataset", "PyDataset", "column", "frames"])
def test_the_regularizer_takes_what_fit_takes(
    form: str, points: Any, selectivity_of_arrays: float
) -> None:
    given = FORMS[form](*points)
    (found,) = selectivity(*given)
    assert found > 0
    if len(given) == 2:
        assert found == pytest.approx(selectivity_of_arrays, rel=1e-5)
