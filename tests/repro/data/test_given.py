"""The door: the same data in every form that Keras users pass give the same arrays.

What cannot be taken is refused in one sentence, and the cure that it names is tried here.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro.data.given import (
    Given,
    GivenError,
    class_labels,
    regression_targets,
    taken,
    yes_no_labels,
)

NAMES = ("cat", "dog", "eel", "fox", "gnu")
FEW = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


class Batches(keras.utils.PyDataset):
    """A PyDataset of batches."""

    def __init__(self, x: Any, y: Any, size: int, n_batches: int | None = None) -> None:
        super().__init__()
        self.x, self.y, self.size = x, y, size
        self._n = -(-len(y) // size) if n_batches is None else n_batches

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, number: int) -> Any:
        part = slice(number * self.size, (number + 1) * self.size)
        return self.x[part], self.y[part]


class WithoutLength(keras.utils.PyDataset):
    def __getitem__(self, number: int) -> Any:
        return np.zeros((2, 3)), np.zeros(2)


def dataset(x: Any, y: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((x, y))


def pairs(x: Any, y: Any, size: int) -> list[tuple[Any, Any]]:
    return [(x[at : at + size], y[at : at + size]) for at in range(0, len(y), size)]


# Each form of (x, y), given the batch size; `wanted` is the shape of a batch of x.
FORMS: dict[str, Callable[[np.ndarray, np.ndarray, int], tuple[Any, ...]]] = {
    "arrays": lambda x, y, n: (x, y),
    "a pair": lambda x, y, n: ((x, y),),
    "a pair with None for weights": lambda x, y, n: ((x, y, None),),
    "weights of 1": lambda x, y, n: ((x, y, np.ones(len(y))),),
    "lists": lambda x, y, n: (x.tolist(), y.tolist()),
    "lists of arrays": lambda x, y, n: (list(x), list(y)),
    "tensors": lambda x, y, n: (tf.constant(x), tf.constant(y)),
    "variables": lambda x, y, n: (keras.Variable(x, dtype=x.dtype.name, trainable=False), y),
    "a dict with labels": lambda x, y, n: ({"image": x, "label": y},),
    "a dict with one input": lambda x, y, n: ({"pixels": x}, y),
    "data set, batched": lambda x, y, n: (dataset(x, y).batch(n),),
    "data set, unbatched": lambda x, y, n: (dataset(x, y),),
    "data set, prefetched and cached": lambda x, y, n: (
        dataset(x, y).cache().batch(n).prefetch(1),
    ),
    "data set, batched twice over": lambda x, y, n: (dataset(x, y).batch(n).unbatch().batch(2),),
    "data set of weights": lambda x, y, n: (
        tf.data.Dataset.from_tensor_slices((x, y, np.ones(len(y)))).batch(n),
    ),
    "data set of dicts": lambda x, y, n: (
        tf.data.Dataset.from_tensor_slices({"image": x, "label": y}).batch(n),
    ),
    "data set of dicts, unbatched": lambda x, y, n: (
        tf.data.Dataset.from_tensor_slices({"label": y, "image": x}),
    ),
    "data set of a generator": lambda x, y, n: (
        tf.data.Dataset.from_generator(
            lambda: iter(pairs(x, y, n)),
            output_signature=(
                tf.TensorSpec((None, *x.shape[1:]), x.dtype),
                tf.TensorSpec((None,), y.dtype),
            ),
        ),
    ),
    "PyDataset": lambda x, y, n: (Batches(x, y, n),),
    "generator": lambda x, y, n: ((pair for pair in pairs(x, y, n)),),
    "iterator of a data set": lambda x, y, n: (iter(dataset(x, y).batch(n)),),
    "NumPy iterator of a data set": lambda x, y, n: (dataset(x, y).batch(n).as_numpy_iterator(),),
    "list of batches": lambda x, y, n: (pairs(x, y, n),),
    "list of batches of lists": lambda x, y, n: ([(list(a), list(b)) for a, b in pairs(x, y, n)],),
}


@FEW
@given(st.data())
def test_the_same_data_in_any_form_are_the_same_arrays(draw: st.DataObject) -> None:
    """tf-explain#180, autokeras#682."""
    name = draw.draw(st.sampled_from(sorted(FORMS)), "form")
    n, size = draw.draw(st.integers(1, 9), "n"), draw.draw(st.integers(1, 10), "batch")
    shape = draw.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3), "shape")
    dtype = draw.draw(st.sampled_from(["float32", "float64", "uint8", "int32", "int64"]), "dtype")
    label = draw.draw(st.sampled_from(["int32", "int64", "uint8", "float32"]), "labels")
    check_form(name, n, size, tuple(shape), dtype, label)


@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_taken(name: str) -> None:
    for n, size, shape in ((7, 3, (4,)), (3, 3, (3, 3)), (1, 2, (2, 2, 1))):
        check_form(name, n, size, shape, "float32", "int64")


def check_form(
    name: str, n: int, size: int, shape: tuple[int, ...], dtype: str, label: str
) -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((n, *shape)) * 200).astype(dtype)
    y = rng.integers(0, 4, n).astype(label)
    found = taken(*FORMS[name](x, y, size), wanted=[("x", (None, *shape))])
    (inputs,) = found.inputs
    np.testing.assert_array_equal(inputs, x)
    np.testing.assert_array_equal(found.targets, y)
    if not name.startswith(("lists", "list of batches of lists")):
        assert inputs.dtype == x.dtype and found.targets.dtype == y.dtype
    assert len(found) == n


@pytest.mark.parametrize("shape", [(), (4, 3)])
def test_batches_that_lack_the_last_axis_are_told_from_single_inputs(shape: Any) -> None:
    """As of texts for Input((1,)), numbers for Input((1,)), grey images for Input((4, 3, 1))."""
    x, y = np.random.default_rng(0).normal(size=(7, *shape)), np.arange(7)
    for values in (x, np.round(x).astype(str)):
        for form in (dataset(values, y).batch(5), pairs(values, y, 4), iter(pairs(values, y, 7))):
            found = taken(form, wanted=[("x", (None, *shape, 1))])
            assert [
                text.decode() if isinstance(text, bytes) else text for text in found.inputs[0].flat
            ] == list(values.flat)
            np.testing.assert_array_equal(found.targets, y)
        single = taken(dataset(values[..., None], y), wanted=[("x", (None, *shape, 1))])
        assert single.inputs[0].shape == (7, *shape, 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_data_set_keeps_inputs_and_labels_together(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(50, 3)).astype(np.float32)
    y = np.arange(50)
    found = taken(dataset(x, y).shuffle(50, seed=seed).batch(7))
    assert sorted(found.targets) == list(range(50)) and list(found.targets) != list(range(50))
    np.testing.assert_array_equal(found.inputs[0], x[found.targets])
    few = taken(dataset(x, y).batch(8, drop_remainder=True))
    np.testing.assert_array_equal(few.targets, y[:48])


@pytest.mark.parametrize(
    "form",
    [
        lambda a, b, y: ({"a": a, "b": b}, y),
        lambda a, b, y: (({"b": b, "a": a}, y),),
        lambda a, b, y: ({"a": a, "b": b, "label": y},),
        lambda a, b, y: (dataset({"a": a, "b": b}, y).batch(4),),
        lambda a, b, y: (dataset({"a": a, "b": b}, y),),
        lambda a, b, y: (Both(a, b, y),),
        lambda a, b, y: ([({"a": a[:3], "b": b[:3]}, y[:3]), ({"a": a[3:], "b": b[3:]}, y[3:])],),
    ],
)
def test_several_inputs_keep_their_names(form: Any) -> None:
    a, b = np.arange(12.0).reshape(6, 2), np.arange(18).reshape(6, 3)
    y = np.array([0, 1, 0, 2, 1, 0])
    found = taken(*form(a, b, y))
    by_name = dict(zip(found.names, found.inputs, strict=True))
    np.testing.assert_array_equal(by_name["a"], a)
    np.testing.assert_array_equal(by_name["b"], b)
    np.testing.assert_array_equal(found.targets, y)


class Both(Batches):
    def __init__(self, a: Any, b: Any, y: Any) -> None:
        super().__init__(None, y, 4)
        self.a, self.b = a, b

    def __getitem__(self, number: int) -> Any:
        part = slice(number * self.size, (number + 1) * self.size)
        return {"a": self.a[part], "b": self.b[part]}, self.y[part]


def test_several_inputs_as_a_list_and_several_labels_as_a_dict() -> None:
    a, b, y = np.zeros((5, 2)), np.zeros((5, 2, 3)), np.arange(5)
    for given_ in (taken([a, b], y), taken((a, b), y), taken(([a, b], y)), taken([a, a], y)):
        assert len(given_.inputs) == 2 and not given_.names
    found = taken(a, {"kind": y, "size": b})
    np.testing.assert_array_equal(found.targets["kind"], y)
    several = dataset(a, {"kind": y, "size": y * 2.0}).batch(2)
    np.testing.assert_array_equal(taken(several).targets["size"], y * 2.0)


def test_a_table_of_pandas_is_its_matrix_and_its_columns() -> None:
    table = pd.DataFrame({"age": [3, 4, 5], "weight": [1.5, 2.5, 3.5]})
    found = taken(table, pd.Series([0, 1, 1], index=[7, 8, 9]))
    np.testing.assert_array_equal(found.inputs[0], table.to_numpy())
    np.testing.assert_array_equal(found.targets, [0, 1, 1])
    assert found.table is not None
    np.testing.assert_array_equal(found.table["age"], [3, 4, 5])
    mixed = taken(table.assign(kind=["a", "b", "a"]), [0, 1, 1])
    assert mixed.table is not None and mixed.table["age"].dtype.kind == "i"
    assert list(mixed.table["kind"]) == ["a", "b", "a"]
    nullable = taken(table.astype("Float64"), pd.Series([0, 1, 1], dtype="Int64"))
    np.testing.assert_array_equal(nullable.inputs[0].astype(float), table.to_numpy())
    np.testing.assert_array_equal(class_labels(nullable.targets, 2)[0], [0, 1, 1])


TEXTS = ["a long text", "ä", "", "b"]


@pytest.mark.parametrize(
    "form",
    [
        lambda: (TEXTS, [0, 1, 0, 1]),
        lambda: (np.array(TEXTS), [0, 1, 0, 1]),
        lambda: (np.array(TEXTS, object), [0, 1, 0, 1]),
        lambda: (pd.Series(TEXTS), [0, 1, 0, 1]),
        lambda: (tf.constant(TEXTS), [0, 1, 0, 1]),
        lambda: ([text.encode() for text in TEXTS], [0, 1, 0, 1]),
        lambda: (dataset(TEXTS, [0, 1, 0, 1]),),
        lambda: (dataset(TEXTS, [0, 1, 0, 1]).batch(3),),
    ],
)
def test_texts_are_the_same_whoever_holds_them(form: Any) -> None:
    """keras#22522."""
    (texts,) = taken(*form(), wanted=[("texts", (None,))]).inputs
    found = [text.decode() if isinstance(text, bytes) else str(text) for text in texts]
    assert found == TEXTS


# --- Labels ------------------------------------------------------------------------------------

Y = np.array([2, 0, 4, 1, 3, 3, 0])
AS_LABELS: dict[str, Callable[[np.ndarray], Any]] = {
    **{
        kind: (lambda y, kind=kind: y.astype(kind))
        for kind in ("int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64")
    },
    "(n, 1)": lambda y: y[:, None],
    "(n, 1) floats": lambda y: y[:, None].astype(float),
    "one-hot": lambda y: np.eye(5)[y],
    "one-hot integers": lambda y: keras.utils.to_categorical(y, 5).astype(int),
    "one-hot bools": lambda y: np.eye(5)[y].astype(bool),
    "list": lambda y: y.tolist(),
    "series": lambda y: pd.Series(y),
    "tensor": lambda y: tf.constant(y),
    "tensor of one-hot rows": lambda y: tf.one_hot(y, 5),
    "Keras's tensor": lambda y: keras.ops.convert_to_tensor(y),
    "names": lambda y: np.array(NAMES)[y],
    "names as objects": lambda y: np.array(NAMES, object)[y],
    "names in a series": lambda y: pd.Series(np.array(NAMES)[y]),
    "names as bytes": lambda y: [NAMES[one].encode() for one in y],
    "names, a column": lambda y: np.array(NAMES)[y][:, None],
    "categorical": lambda y: pd.Categorical.from_codes(y, NAMES),
    "categorical series": lambda y: pd.Series(pd.Categorical.from_codes(y, NAMES)),
}


@pytest.mark.parametrize("form", AS_LABELS)
def test_labels_in_any_form_are_the_same_class_numbers(form: str) -> None:
    """autokeras#682, DiCE#43."""
    found = taken(np.zeros((len(Y), 2)), AS_LABELS[form](Y))
    for names in ((), NAMES):
        labels, known = class_labels(found.targets, 5, names or found.class_names)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, Y)
        assert known in ((), NAMES)


@FEW
@given(
    st.sampled_from(sorted(AS_LABELS)),
    st.lists(st.integers(0, 4), min_size=1),
    st.permutations(NAMES),
)
def test_names_are_places_in_class_names(form: str, numbers: list[int], order: list[str]) -> None:
    y = np.array(numbers)
    found = taken(np.zeros((len(y), 2)), AS_LABELS[form](y))
    labels, _ = class_labels(found.targets, 5, order)
    named = "names" in form or "categorical" in form
    expected = [order.index(NAMES[one]) for one in y] if named else y
    np.testing.assert_array_equal(labels, expected)


def test_yes_and_no_in_any_form() -> None:
    y = np.array([1, 0, 0, 1])
    for form in (y, y.astype(bool), y.astype(float), y[:, None], y[:, None].astype(bool), list(y)):
        labels, _ = class_labels(taken(np.zeros((4, 1)), form).targets, 2)
        np.testing.assert_array_equal(labels, y)
        np.testing.assert_array_equal(yes_no_labels(np.asarray(form), 1), y[:, None])
    rows = np.array([[1, 0, 1], [0, 0, 0]])
    for form in (rows, rows.astype(bool), rows.astype(float)):
        np.testing.assert_array_equal(yes_no_labels(form, 3), rows)


def test_numbers_to_be_met_in_any_form() -> None:
    y = np.array([1.5, -2, 3])
    for form in (y, y[:, None], y.tolist(), pd.Series(y), tf.constant(y)):
        found = taken(np.zeros((3, 1)), form).targets
        for shape in ((), (1,)):
            np.testing.assert_array_equal(regression_targets(found, shape), y.reshape(3, *shape))


# --- Refused, with a cure ------------------------------------------------------------------------


def sentence(ask: Callable[[], Any]) -> str:
    with pytest.raises(GivenError) as caught:
        ask()
    said = str(caught.value)
    assert "\n" not in said and 20 < len(said) < 400
    assert ";" in said or " and give " in said
    return said


X6 = np.arange(12, dtype=np.float32).reshape(6, 2)
Y6 = np.array([0, 1, 2, 0, 1, 2])


def endless() -> Iterator[Any]:
    return itertools.repeat((X6, Y6))


def test_a_stream_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    repeated = dataset(X6, Y6).batch(2).repeat()
    assert "dataset.take(n)" in sentence(lambda: taken(repeated))
    np.testing.assert_array_equal(taken(repeated.take(3)).targets, Y6)
    monkeypatch.setattr("repro.data.reading._MOST_BYTES_UNCOUNTED", 10_000)
    # Its cardinality is not known, or it is no data set at all.
    hidden = dataset(X6, Y6).batch(2).repeat().filter(lambda x, y: True)
    assert "goes on" in sentence(lambda: taken(hidden))
    np.testing.assert_array_equal(taken(hidden.take(3)).targets, Y6)
    assert "goes on" in sentence(lambda: taken(endless()))
    np.testing.assert_array_equal(taken(itertools.islice(endless(), 1)).targets, Y6)
    # Small elements end it by their number.
    monkeypatch.undo()
    monkeypatch.setattr("repro.data.reading._MOST_ELEMENTS", 100)
    assert "more than 100 elements" in sentence(lambda: taken(endless()))


def test_a_py_dataset_without_length_is_refused() -> None:
    assert "num_batches" in sentence(lambda: taken(WithoutLength()))
    assert len(taken(Batches(X6, Y6, 4))) == 6


def test_rows_of_different_lengths_are_refused() -> None:
    ragged = tf.ragged.constant([[1.0, 2.0], [3.0]])
    assert "tensor.to_tensor()" in sentence(lambda: taken(ragged, [0, 1]))
    assert taken(ragged.to_tensor(), [0, 1]).inputs[0].shape == (2, 2)
    lists = [[1.0, 2.0], [3.0]]
    assert "pad them to one length" in sentence(lambda: taken(lists, [0, 1]))
    padded = keras.utils.pad_sequences(lists, dtype="float32")
    assert taken(padded, [0, 1]).inputs[0].shape == (2, 2)
    images = [np.zeros((2, 2)), np.zeros((3, 2))]
    assert "resize or pad them to one" in sentence(lambda: taken(images, [0, 1]))
    same = [keras.ops.image.resize(x[..., None], (4, 4)) for x in images]
    assert taken(same, [0, 1]).inputs[0].shape == (2, 4, 4, 1)
    odd = [(np.zeros((2, 3)), np.zeros(2)), (np.zeros((2, 4)), np.zeros(2))]
    assert "resize or pad" in sentence(lambda: taken(odd))


def test_sparse_tensors_are_refused() -> None:
    sparse = tf.sparse.from_dense(X6)
    assert "tf.sparse.to_dense" in sentence(lambda: taken(sparse, Y6))
    np.testing.assert_array_equal(taken(tf.sparse.to_dense(sparse), Y6).inputs[0], X6)
    matrix = scipy.sparse.csr_matrix(X6)
    assert "matrix.toarray()" in sentence(lambda: taken(matrix, Y6))
    np.testing.assert_array_equal(taken(matrix.toarray(), Y6).inputs[0], X6)


def test_weights_that_differ_are_refused() -> None:
    """All weights of 2 double the loss that `model.evaluate` gives."""
    for weights in (np.array([1.0, 1, 1, 1, 1, 2]), np.full(6, 2.0)):
        stream = tf.data.Dataset.from_tensor_slices((X6, Y6, weights)).batch(6)
        for form in ((X6, Y6, weights), stream):
            assert "leave them out" in sentence(lambda form=form: taken(form))
    assert len(taken((X6, Y6))) == 6


@pytest.mark.parametrize("size", [1, 2, 3])
def test_weights_that_differ_between_batches_are_refused(size: int) -> None:
    """As of a data set whose batches each have one weight."""
    weights = np.repeat([1.0, 5.0], 3)
    stream = tf.data.Dataset.from_tensor_slices((X6, Y6, weights)).batch(size)
    assert "leave them out" in sentence(lambda: taken(stream))
    assert len(taken(stream.map(lambda x, y, w: (x, y)))) == 6


def test_other_numbers_of_labels_are_refused() -> None:
    assert "6 images but 5 labels" in sentence(lambda: taken(X6, Y6[:5]))
    assert "b has 4 and another 6" in sentence(lambda: taken({"a": X6, "b": X6[:4]}, Y6))
    assert "leave out" in sentence(lambda: taken((X6, Y6, None, None)))
    assert "pass one of them" in sentence(lambda: taken(dataset(X6, Y6).batch(2), Y6))
    assert "at least one" in sentence(lambda: taken(X6[:0], Y6[:0]))
    assert "give a full one" in sentence(lambda: taken(dataset(X6, Y6).batch(2).take(0)))


def test_soft_labels_and_fractions_are_refused() -> None:
    soft = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert "numpy.asarray(labels).argmax(axis=1)" in sentence(lambda: class_labels(soft, 2))
    np.testing.assert_array_equal(class_labels(soft.argmax(axis=1), 2)[0], [0, 1])
    assert "task='regression'" in sentence(lambda: class_labels([0.5, 1.0], 2))
    np.testing.assert_array_equal(regression_targets([0.5, 1.0], ()), [0.5, 1.0])
    many = np.array([[1, 1], [0, 1]])
    assert "task='labels'" in sentence(lambda: class_labels(many, 2))
    np.testing.assert_array_equal(yes_no_labels(many, 2), many)
    assert "task='regression'" in sentence(lambda: yes_no_labels(soft, 2))


def test_labels_that_are_no_classes_are_refused() -> None:
    missing = taken(X6[:3], np.array([0, None, 1], object)).targets
    assert "1 labels are NaN" in sentence(lambda: class_labels(missing, 2))
    for value in (np.nan, np.inf):
        labels = np.array([0.0, value, 1.0])
        assert "leave out" in sentence(lambda labels=labels: class_labels(labels, 2))
        kept = labels[np.isfinite(labels)]
        np.testing.assert_array_equal(class_labels(kept, 2)[0], [0, 1])
        assert "leave out" in sentence(lambda labels=labels: regression_targets(labels, ()))
    from_one = np.array([1, 2, 3])
    categories = pd.Categorical(from_one)
    # The cure works for each form that labels come in; a list or a Categorical has no difference.
    for form in (from_one, from_one.tolist(), categories, pd.Series(categories)):
        given = taken(X6[:3], form).targets
        assert "give numpy.asarray(labels) - 1" in sentence(lambda x=given: class_labels(x, 3))
        np.testing.assert_array_equal(class_labels(np.asarray(form) - 1, 3)[0], [0, 1, 2])
    below = np.array([-1, 0, 1])
    assert "below 0" in sentence(lambda: class_labels(below, 2))
    np.testing.assert_array_equal(class_labels(below[below >= 0], 2)[0], [0, 1])
    signs = np.array([-1, 1, 1])
    sentence(lambda: class_labels(signs, 2))
    assert "these classes only" in sentence(lambda: class_labels([0, 7], 3))
    assert "axis=1" in sentence(lambda: class_labels(np.zeros((4, 3)), 5))


def test_names_that_do_not_tell_their_numbers_are_refused() -> None:
    labels = ["dog", "cat", "dog"]
    assert "give class_names=" in sentence(lambda: class_labels(labels, 3))
    np.testing.assert_array_equal(class_labels(labels, 3, NAMES[:3])[0], [1, 0, 1])
    assert "'dog' is not among class_names" in sentence(
        lambda: class_labels(labels, 2, ("cat", "eel"))
    )


Point = collections.namedtuple("Point", "x")  # noqa: PYI024


@pytest.mark.parametrize("thing", [[Point, Point], np.array([{}, {}], object)])
def test_objects_are_refused(thing: Any) -> None:
    sentence(lambda: taken(thing, [0, 1]))


@pytest.mark.parametrize("thing", [3, "images.npz", None, object(), 2.5])
def test_what_holds_no_images_is_refused(thing: Any) -> None:
    with pytest.raises(GivenError) as caught:
        taken(thing, [0, 1])
    assert "\n" not in str(caught.value)


def test_what_is_given_has_a_length() -> None:
    assert len(Given([X6], None)) == 6


@pytest.mark.parametrize("labels_besides", [False, True])
def test_what_keras_datasets_give_is_two_pairs(labels_besides: bool) -> None:
    """`lesion(model, mnist.load_data())`, with a star too; a model of one input."""
    data = (X6, Y6), (X6[:4], Y6[:4])
    for wanted in ((), [("x", (None, 2))]):
        said = sentence(lambda w=wanted: taken(*(data if labels_besides else (data,)), wanted=w))
        assert "2 pairs of images and labels" in said and "for example data[1]" in said
    assert len(taken(data[1], wanted=[("x", (None, 2))])) == 4
    # Two inputs and two outputs look alike.
    both = [("a", (None, 2)), ("b", (None,))]
    assert len(taken(((X6, Y6), (X6, Y6)), wanted=both).inputs) == 2
