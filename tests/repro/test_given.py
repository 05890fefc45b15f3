"""The same data in every form are the same arrays; what is none is refused with a cure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.data.given import (
    GivenError,
    class_labels,
    regression_targets,
    taken,
    yes_no_labels,
)

RNG = np.random.default_rng(11)
N = 23
X = RNG.normal(size=(N, 4, 3)).astype(np.float32)
Y = RNG.integers(0, 3, N)


class Sequence(keras.utils.PyDataset):
    """Batches of 5, as `fit` reads them."""

    def __len__(self) -> int:
        return -(-N // 5)

    def __getitem__(self, number: int) -> Any:
        part = slice(5 * number, 5 * number + 5)
        return X[part], Y[part]


class Endless(keras.utils.PyDataset):
    @property
    def num_batches(self) -> None:
        return None

    def __getitem__(self, number: int) -> Any:
        return X, Y


def tf_data() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y))


def batches() -> list[Any]:
    return [(X[start : start + 7], Y[start : start + 7]) for start in range(0, N, 7)]


FORMS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "arrays": lambda: (X, Y),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "list of images": lambda: (list(X), Y),
    "tensors": lambda: (keras.ops.convert_to_tensor(X), keras.ops.convert_to_tensor(Y)),
    "pair": lambda: ((X, Y), None),
    "weights that are equal": lambda: ((X, Y, np.full(N, 0.5)), None),
    "unbatched": lambda: (tf_data(), None),
    "batched": lambda: (tf_data().batch(4), None),
    "batched, remainder dropped": lambda: (tf_data().batch(N, drop_remainder=True), None),
    "batched, with weights": lambda: (tf_data().map(lambda x, y: (x, y, 1.0)).batch(4), None),
    "as TFDS gives it": lambda: (tf_data().map(lambda x, y: {"image": x, "label": y}), None),
    "PyDataset": lambda: (Sequence(), None),
    "generator": lambda: ((pair for pair in batches()), None),
    "list of batches": lambda: (batches(), None),
    "dict of arrays": lambda: ({"image": X, "label": Y}, None),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_data_in_every_form(form: str) -> None:
    """tf-explain#180, autokeras#682."""
    data, labels = FORMS[form]()
    found = taken(data, labels, wanted=[("x", (None, 4, 3))])
    (images,) = found.inputs
    np.testing.assert_array_equal(images, X)
    np.testing.assert_array_equal(found.targets, Y)
    if form not in ("lists",):
        assert images.dtype == np.float32


def test_images_and_labels_of_a_shuffled_set_stay_together() -> None:
    found = taken(tf_data().shuffle(N).batch(5), wanted=[("x", (None, 4, 3))])
    place = {image.tobytes(): label for image, label in zip(X, Y, strict=True)}
    labels = [place[image.tobytes()] for image in found.inputs[0]]
    np.testing.assert_array_equal(found.targets, labels)
    assert len(found) == N


def test_pandas_by_matrix_and_by_column() -> None:
    import pandas

    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    kinds = pandas.Series(["dog", "cat"], dtype="category")
    found = taken(frame, kinds)
    np.testing.assert_array_equal(found.inputs[0], [[1, 3], [2, 4]])
    assert found.class_names == ("cat", "dog") and list(found.table or ()) == ["a", "b"]
    labels, names = class_labels(found.targets, 2, found.class_names)
    assert labels.tolist() == [1, 0] and names == ("cat", "dog")
    mixed = taken(pandas.DataFrame({"a": [1.0, 2.0], "word": ["x", "y"]}), [0, 1])
    assert mixed.table is not None and mixed.table["word"].tolist() == ["x", "y"]


def test_several_inputs_keep_their_names_and_types() -> None:
    import tensorflow as tf

    parts = {"number": np.arange(6.0), "word": np.array(list("abcdef"))}
    for data in (parts, tf.data.Dataset.from_tensor_slices((parts, np.arange(6))).batch(4)):
        found = taken(data, np.arange(6) if data is parts else None)
        assert found.names == ("number", "word") and found.inputs[1].tolist() == list("abcdef")
        np.testing.assert_array_equal(found.inputs[0], parts["number"])
        assert np.asarray(found.targets).tolist() == list(range(6))


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=20),
    form=st.sampled_from(
        [
            "int8",
            "uint16",
            "int64",
            "float32",
            "column",
            "one-hot",
            "bool one-hot",
            "names",
            "bytes",
        ]
    ),
)
def test_class_labels_in_every_form(labels: list[int], form: str) -> None:
    numbers = np.array(labels)
    names = tuple("abcde")
    targets: Any = {
        "column": numbers[:, None],
        "one-hot": np.eye(5)[numbers],
        "bool one-hot": np.eye(5, dtype=bool)[numbers],
        "names": [names[n] for n in labels],
        "bytes": [names[n].encode() for n in labels],
    }.get(form)
    if targets is None:
        targets = numbers.astype(form)
    found, _ = class_labels(targets, 5, names)
    assert found.dtype == np.int32 and found.tolist() == labels


@pytest.mark.parametrize(
    ("data", "labels", "sentence"),
    [
        (lambda: tf_data().repeat(), None, r"has no end.*dataset\.take\(n\)"),
        (Endless, None, "may have no end; give it num_batches"),
        (lambda: (X, Y, np.arange(N)), None, "sample weights differ.*leave them out"),
        (lambda: X, Y[:-1], "there are 23 images but 22 labels; give one for each"),
        (lambda: {"a": X, "b": X[:5]}, Y, "one row an example"),
        (lambda: X[:0], Y[:0], "no images to evaluate on"),
        (lambda: [[1.0], [1.0, 2.0]], [0, 1], "some rows are longer.*pad them"),
        (lambda: tf_data(), Y, "brings its own labels.*pass one of them"),
        (lambda: np.array([{}, None], object), [0, 1], "holds objects"),
        (lambda: 7, Y, "images must be arrays.*got int"),
        (lambda: iter([]), None, "the stream gave none"),
    ],
)
def test_what_is_no_data_is_refused(data: Any, labels: Any, sentence: str) -> None:
    with pytest.raises(GivenError, match=sentence) as caught:
        taken(data(), labels)
    assert "\n" not in str(caught.value)


def test_the_cures_work() -> None:
    import tensorflow as tf

    endless = tf_data().repeat().batch(N)
    np.testing.assert_array_equal(taken(endless.take(1), wanted=[("x", (None, 4, 3))]).inputs[0], X)
    ragged = tf.ragged.constant([[1.0], [1.0, 2.0]])
    with pytest.raises(GivenError, match=r"tensor\.to_tensor\(\)"):
        taken(ragged, [0, 1])
    np.testing.assert_array_equal(taken(ragged.to_tensor(), [0, 1]).inputs[0], [[1, 0], [1, 2]])
    sparse = tf.sparse.from_dense([[0.0, 2.0]])
    with pytest.raises(GivenError, match=r"tf\.sparse\.to_dense\(tensor\)"):
        taken(sparse, [0])
    np.testing.assert_array_equal(taken(tf.sparse.to_dense(sparse), [0]).inputs[0], [[0, 2]])
    with pytest.raises(GivenError, match="give labels - 1"):
        class_labels([1, 2, 3], 3)
    assert class_labels(np.array([1, 2, 3]) - 1, 3)[0].tolist() == [0, 1, 2]
    soft = np.array([[0.9, 0.1], [0.2, 0.8]])
    with pytest.raises(GivenError, match=r"give labels\.argmax\(axis=1\)"):
        class_labels(soft, 2)
    assert class_labels(soft.argmax(axis=1), 2)[0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0.5, 1.0], "must be whole numbers.*0.5"),
        ([np.nan, 1.0], "1 labels are NaN"),
        ([-1, 0], "leave out the images with labels below 0"),
        ([0, 7], "labels must be 0 to 2.*got 0 to 7"),
        ([[1, 1, 0], [0, 1, 0]], "task='labels'"),
        (["a", "b"], "2 occur, and the model has 3 classes; give class_names="),
        (np.zeros((2, 2)), "one class number an image"),
    ],
)
def test_labels_that_are_none_are_refused(labels: Any, sentence: str) -> None:
    with pytest.raises(GivenError, match=sentence):
        class_labels(labels, 3)


def test_targets_of_other_tasks() -> None:
    assert yes_no_labels([0, 1, True], 1).tolist() == [[0], [1], [1]]
    with pytest.raises(GivenError, match="must be 0 or 1; round them"):
        yes_no_labels([[0.5, 1.0]], 2)
    assert regression_targets([1, 2], (1,)).tolist() == [[1], [2]]
    for bad, sentence in (
        (["a"], "must be numbers"),
        ([np.inf], "not finite"),
        ([[1, 2]], "shape"),
    ):
        with pytest.raises(GivenError, match=sentence):
            regression_targets(bad, (1,))
