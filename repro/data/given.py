"""One door for inputs and labels: whatever `fit` and `evaluate` take becomes arrays here.

`taken` knows the forms that data comes in, and of the model no more than the names and shapes of
its inputs; what labels mean is asked afterwards (`class_labels`, `yes_no_labels`,
`regression_targets`). `arrays` knows what an array is, `reading` what a stream is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.data import reading
from repro.data.arrays import GivenError, array, is_array, is_part, kind_of, missing, stacked
from repro.data.arrays import module_of as _module
from repro.data.reading import Wanted

__all__ = [
    "Given",
    "GivenError",
    "class_labels",
    "regression_targets",
    "taken",
    "yes_no_labels",
]

# Whole numbers as floats, give or take a rounding.
_WHOLE = 1e-6
_LOOKED_AT = 1024  # examples at a time, for values that are not finite


@dataclass(frozen=True)
class Given:
    """Inputs and labels as arrays.

    inputs: one array for each input, each (n, ...), of its own type; strings too.
    targets: (n, ...) as they were given, a dict of such arrays for several outputs, by name or by
        their place, or None.
    names: of the inputs, where they came with names.
    class_names: that the labels brought, as of a pandas Categorical.
    table: the columns of a pandas DataFrame by name; where all are numbers, or all texts, their
        matrix is the only input.
    """

    inputs: list[np.ndarray]
    targets: Any
    names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    table: Mapping[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.inputs[0])


def taken(data: Any, labels: Any = None, *, wanted: Wanted = ()) -> Given:
    """Takes inputs and labels in any form that `model.fit` or `model.evaluate` does.

    Args:
        data: (n, ...) array, tensor of TensorFlow, JAX or PyTorch, list, or pandas DataFrame; a
            list or dict of them for several inputs; or, without labels, (x, y), (x, y, w), a
            `tf.data.Dataset`, a `PyDataset`, a PyTorch DataLoader or data set, or an iterator or
            iterable of batches: these are read once. Elements are x, (x, y), (x, y, w), or a dict
            as TFDS gives it.
        labels: (n, ...) in any of these forms, a dict or list for several outputs, or None.
        wanted: names and shapes (None, ...) of the batches of the model's inputs in its order,
            which tell apart forms that look alike: examples and batches, a list of images and one
            of inputs; () where they are not known.

    Raises:
        GivenError: a form that is not known, a stream without end, lengths that differ, nothing at
            all, values that are not finite, sample weights other than 1.
    """
    _refuse_two_pairs(data if labels is None else (data, labels), wanted)
    if labels is None:
        if reading.is_stream(data):
            data, labels = reading.read(data, wanted)
        elif isinstance(data, tuple):
            data, labels, weights = reading.pair(data)
            reading.check_weights(weights)
        elif isinstance(data, Mapping):
            data, labels = reading.split(data, wanted)
    elif reading.is_stream(data):
        raise GivenError(
            f"{kind_of(data)} brings its own labels, and labels were given besides; pass one of "
            "them, or the inputs as an array"
        )
    found = _inputs(data, labels, wanted)
    for name, one in zip(found.names or ("",) * len(found.inputs), found.inputs, strict=True):
        if one.ndim == 0:
            raise GivenError(
                f"images must be an array (n_images, ...), got a single {_type_words(one)}"
                f"{f' for {name!r}' if name else ''}; put it in a list"
            )
    n = len(found.inputs[0])
    for name, one in zip(found.names or ("",) * len(found.inputs), found.inputs, strict=True):
        if len(one) != n:
            raise GivenError(
                f"inputs must have one row an example: {name or 'one'} has {len(one)} and "
                f"another {n}; give all of them for the same examples"
            )
    targets, class_names = _targets(labels, n)
    for one in targets.values() if isinstance(targets, dict) else [targets]:
        if one is not None and one.ndim == 0:
            raise GivenError(
                f"labels must be an array with one for each of {n} images, got a single "
                f"{_type_words(one)}; load them first, or put it in a list"
            )
        if one is not None and len(one) != n:
            raise GivenError(f"there are {n} images but {len(one)} labels; give one for each")
    if not n:
        raise GivenError("there are no images to evaluate on; give at least one, with its label")
    _check_finite(found)
    return Given(found.inputs, targets, found.names, class_names, found.table)


def _refuse_two_pairs(data: Any, wanted: Wanted) -> None:
    """Refuses what `keras.datasets` gives, (x_train, y_train), (x_test, y_test).

    Raises:
        GivenError: it is such, and not the inputs and labels of a model with several of each.
    """
    if not isinstance(data, tuple) or len(data) not in (2, 3) or len(wanted) > 1:
        return
    lengths = []
    for pair in data:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(map(is_array, pair))):
            return
        (n, *image), (n_labels, *label) = (np.shape(one) or (-1,) for one in pair)
        if n != n_labels or image == label:
            return
        lengths.append(n)
    if wanted or len(set(lengths)) > 1:
        raise GivenError(
            f"these are {len(data)} pairs of images and labels, such as (x_train, y_train) and "
            "(x_test, y_test); give one of them, for example data[1]"
        )


# --- What labels mean ---------------------------------------------------------------------------


def class_labels(
    targets: Any, n_classes: int, class_names: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers from labels in any form, int32 (n,), and the names of the classes.

    Taken are whole numbers of any type, (n,) or (n, 1), one-hot rows, bools of two classes, and
    names, whose numbers are their places in class_names, or in their order where as many occur as
    the model has classes. Names that are numbers are those numbers.

    Args:
        n_classes: of the model; 2 of one that answers with a single number.
        class_names: of its classes in their order; () if not known.

    Raises:
        GivenError: anything else; it says what to do.

    >>> class_labels([[0, 1, 0], [1, 0, 0]], 3)
    (array([1, 0], dtype=int32), ())
    >>> class_labels(["dog", "cat"], 2)
    (array([1, 0], dtype=int32), ('cat', 'dog'))
    """
    labels = array(targets)
    names = tuple(map(str, class_names))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind not in "biuf":
        return _by_name(labels, n_classes, names)
    if labels.ndim == 2 and labels.shape[1] == n_classes:
        return _of_rows(labels).astype(np.int32), names
    if labels.ndim != 1:
        cure = "give a model with as many answers, or numpy.asarray(labels).argmax(axis=1)"
        if labels.size == len(labels):
            cure = "give numpy.asarray(labels).reshape(len(labels))"
        elif labels.size == labels.shape[-1]:
            cure = "give numpy.asarray(labels).reshape(-1)"
        raise GivenError(
            f"labels must be one class number an image, or one row of {n_classes} with a single 1; "
            f"got shape {labels.shape}; {cure}"
        )
    if labels.dtype.kind == "b" and n_classes > 2:
        raise GivenError(
            f"labels are True and False, and the model has {n_classes} classes; give class numbers "
            f"0 to {n_classes - 1}"
        )
    numbers = _whole(labels)
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    if low < 0 or high >= n_classes:
        cure = "give labels of these classes only"
        if low == 1 and high == n_classes:
            cure = "these count from 1: give numpy.asarray(labels) - 1"
        elif n_classes == 2 and set(np.unique(numbers)) <= {-1, 1}:
            cure = "give (numpy.asarray(labels) + 1) / 2"
        elif len(np.unique(numbers)) == n_classes:
            cure = "give their places, numpy.unique(labels, return_inverse=True)[1]"
        elif low < 0:
            cure = "leave out the images with labels below 0"
        raise GivenError(
            f"labels must be 0 to {n_classes - 1}, the model's classes; got {low} to {high}; {cure}"
        )
    return numbers.astype(np.int32), names


def yes_no_labels(targets: Any, n_labels: int) -> np.ndarray:
    """Several yes-or-no answers an image, float32 (n, n_labels) of 0 and 1.

    Raises:
        GivenError: another shape, or other values than 0 and 1.
    """
    labels = array(targets)
    if labels.ndim == 1 and n_labels == 1:
        labels = labels[:, None]
    if labels.shape[1:] != (n_labels,) or labels.dtype.kind not in "biuf":
        raise GivenError(
            f"labels must be {n_labels} numbers 0 or 1 for each image; got "
            f"{_type_words(labels)} of shape {labels.shape}; give one column for each answer of "
            "the model"
        )
    if missing(labels):
        raise GivenError(
            f"{missing(labels)} of {labels.size} labels are NaN; leave out the images without a "
            "label"
        )
    if not np.all((labels == 0) | (labels == 1)):
        cure = "round them, or give task='regression' to measure the squared error"
        if np.all(np.abs(labels.astype(np.float64)) == 1):
            cure = "give (numpy.asarray(labels) + 1) / 2"
        raise GivenError(f"labels of several yes-or-no answers must be 0 or 1; {cure}")
    return labels.astype(np.float32)


def regression_targets(targets: Any, shape: Sequence[int]) -> np.ndarray:
    """Numbers to be met, float32 (n, *shape).

    Args:
        shape: of one answer of the model; (n,) and (n, 1) are the same.

    Raises:
        GivenError: another shape, no numbers, or some that are not finite.
    """
    numbers = array(targets)
    if numbers.dtype.kind not in "biuf":
        raise GivenError(
            f"targets of a regression must be numbers, got {_type_words(numbers)}; give "
            "numpy.asarray(targets).astype(float) where they are written as text"
        )
    one = tuple(shape) in ((), (1,)) and numbers.shape[1:] in ((), (1,))
    if not one and numbers.shape[1:] != tuple(shape):
        raise GivenError(
            f"targets must have the shape of the model's answers, {('n', *shape)}; got "
            f"{numbers.shape}; reshape them, or name the output with output="
        )
    if not np.all(np.isfinite(numbers)):
        raise GivenError("targets hold values that are not finite; leave out those examples")
    return numbers.astype(np.float32).reshape(len(numbers), *shape)


def _by_name(
    labels: np.ndarray, n_classes: int, names: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
    if labels.ndim != 1:
        raise GivenError(
            f"labels must be one class an image, got names of shape {labels.shape}; give one "
            "column of them"
        )
    texts = labels.tolist()
    if not all(isinstance(one, str) for one in texts):
        raise GivenError("labels must be numbers or names of classes, got bytes that are no text")
    if names and len(names) != n_classes:
        raise GivenError(
            f"labels are names, and class_names has {len(names)} where the model has {n_classes} "
            "classes; give class_names=, the names of all of the model's classes in its order"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise GivenError(
            f"labels are names, and class_names has {twice!r} twice; give each class a name of its "
            "own, or class numbers as labels"
        )
    occurring = sorted(set(texts))
    if not set(occurring) <= set(names) and (numbers := _numerals(occurring)) is not None:
        # Sorted as texts, "10" would come before "2".
        if min(numbers) < 0 or max(numbers) >= n_classes:
            raise GivenError(
                f"labels are numbers written as text, {min(numbers)} to {max(numbers)}, and the "
                f"model's classes are 0 to {n_classes - 1}; give numpy.asarray(labels).astype(int) "
                "less the first class's number, or class_names=, their texts in the order of the "
                "model's classes"
            )
        return np.array([int(float(text)) for text in texts], np.int32), names
    if not names:
        names = tuple(occurring)
        if len(names) != n_classes:
            raise GivenError(
                f"labels are names, of which {len(names)} occur, and the model has {n_classes} "
                "classes; give class_names=, the names of the model's classes in its order"
            )
    place = {name: number for number, name in enumerate(names)}
    unknown = sorted(set(texts) - set(place))
    if unknown:
        raise GivenError(
            f"the label {unknown[0]!r} is not among class_names ({', '.join(names[:5])}, ...); "
            "give class_names= as the model was trained with"
        )
    return np.array([place[text] for text in texts], np.int32), names


def _numerals(texts: Sequence[str]) -> list[int] | None:
    """The whole numbers that are written so; None if some are not."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return None
    return (
        [int(n) for n in numbers] if all(np.isfinite(n) and n == int(n) for n in numbers) else None
    )


def _of_rows(rows: np.ndarray) -> np.ndarray:
    """The place of the single 1 of each row."""
    if missing(rows):
        n = int(np.count_nonzero(np.isnan(rows).any(axis=1)))
        raise GivenError(f"{n} labels are NaN; leave out the images without a label")
    numbers = rows.astype(np.float64)
    if np.all((numbers == 0) | (numbers == 1)) and np.all(numbers.sum(axis=1) == 1):
        return numbers.argmax(axis=1)
    if np.all(numbers >= 0) and np.allclose(numbers.sum(axis=1), 1, atol=1e-3):
        raise GivenError(
            "labels are shares of classes (soft labels, label smoothing), and lesions are counted "
            "by class; give numpy.asarray(labels).argmax(axis=1)"
        )
    raise GivenError(
        "labels have a column for each class, and not a single 1 in each row; give one class "
        "number an image, or task='labels' if several can be right"
    )


def _whole(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind != "f":
        return labels if labels.dtype.kind == "u" else labels.astype(np.int64)
    if not np.all(np.isfinite(labels)):
        n = int(np.count_nonzero(~np.isfinite(labels)))
        raise GivenError(f"{n} labels are NaN or infinite; leave out the images without a label")
    whole = np.rint(labels)
    if np.abs(whole - labels).max(initial=0) > _WHOLE:
        odd = labels[np.abs(whole - labels) > _WHOLE][0]
        raise GivenError(
            f"labels must be whole numbers, one class an image; got {odd:g} among them; give class "
            "numbers, or task='regression' if they are numbers to be met"
        )
    return whole


# --- Forms of data -----------------------------------------------------------------------------


def _type_words(values: np.ndarray) -> str:
    """What an array holds, for a sentence."""
    return "text" if values.dtype.kind in "OUST" else str(values.dtype)


def _targets(labels: Any, n: int) -> tuple[Any, tuple[str, ...]]:
    """Labels as an array, or a dict of them, and the names that a Categorical brings.

    Args:
        n: examples, which tells labels of several outputs from those of several examples.
    """
    if labels is None:
        return None, ()
    if isinstance(labels, Mapping):
        return {str(name): array(one) for name, one in labels.items()}, ()
    if isinstance(labels, (list, tuple)) and len(labels) not in (0, n):
        if all(is_part(one) and len(one) == n for one in labels):
            if len(labels) == 1:
                return array(labels[0]), ()
            return {place: array(one) for place, one in enumerate(labels)}, ()
    if reading.is_stream(labels):
        raise GivenError(
            f"labels must be an array, got {kind_of(labels)}; give one data set of (x, y), such as "
            "tf.data.Dataset.zip((images, labels)), and no labels besides"
        )
    categories = getattr(getattr(labels, "cat", labels), "categories", None)
    if _module(labels).startswith("pandas") and categories is not None:
        return _categorical(labels, categories)
    return array(labels), ()


def _categorical(labels: Any, categories: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values of a pandas Categorical; of texts the names too, in their order."""
    codes = np.asarray(getattr(labels, "cat", labels).codes)
    if np.any(codes < 0):
        raise GivenError(
            f"{int(np.count_nonzero(codes < 0))} of {len(codes)} labels are missing; leave out the "
            "images without a label"
        )
    values = array(categories)
    if values.dtype.kind in "biuf":
        return values[codes], ()
    return values[codes], tuple(values.tolist())


def _inputs(data: Any, labels: Any, wanted: Wanted) -> Given:
    """The inputs; labels tell a list of images from one of inputs where `wanted` does not."""
    if isinstance(data, Mapping):
        arrays = {str(name): array(one) for name, one in data.items()}
        if not arrays:
            raise GivenError("there are no inputs in the dict; give one array for each input")
        return Given(list(arrays.values()), None, tuple(arrays))
    if _module(data).startswith("pandas") and hasattr(data, "columns"):
        return _of_table(data)
    if isinstance(data, (list, tuple)) and data and all(is_array(one) for one in data):
        arrays_ = [array(one) for one in data]
        if _are_images(arrays_, labels, wanted):
            return Given([stacked(arrays_)], None)
        return Given(arrays_, None)
    known = is_array(data) or isinstance(data, (list, tuple, range))
    if not known and not hasattr(data, "numpy"):
        raise GivenError(
            f"images must be arrays, tensors, lists, a data set or an iterator of batches, got "
            f"{'None' if data is None else kind_of(data)}; load them first"
        )
    return Given([array(data)], None)


def _are_images(arrays: Sequence[np.ndarray], labels: Any, wanted: Wanted) -> bool:
    """Whether a list of arrays is one of images, not of inputs, as which Keras takes it."""
    if len(wanted) == 1:
        return reading.are_images(arrays, wanted)
    if wanted and len(arrays) == len(wanted):
        return False
    if any(one.ndim == 0 for one in arrays):
        return True
    # As many arrays as labels, none of them with a row for each label: they are the examples.
    n = len(labels) if hasattr(labels, "__len__") and not isinstance(labels, Mapping) else None
    return n == len(arrays) and {one.shape[0] for one in arrays} != {n}


def _of_table(frame: Any) -> Given:
    """The columns of a DataFrame, and their matrix where they are of one kind."""
    table = {str(name): array(frame[name]) for name in frame.columns}
    if len(table) < len(frame.columns):
        raise GivenError("columns of the DataFrame have equal names; give each a name of its own")
    if not table:
        raise GivenError("the DataFrame has no columns; give at least one")
    columns = list(table.values())
    kinds = {"number" if one.dtype.kind in "biuf" else "text" for one in columns}
    if len(kinds) == 1:
        return Given([np.stack(columns, axis=1)], None, (), (), table)
    return Given(columns, None, tuple(table), (), table)


def _check_finite(found: Given) -> None:
    """That no input holds NaN or infinity.

    Raises:
        GivenError: which does, and how many.
    """
    for place, one in enumerate(found.inputs):
        if one.dtype.kind != "f":
            continue
        wrong = 0
        for start in range(0, len(one), _LOOKED_AT):
            part = one[start : start + _LOOKED_AT].reshape(min(_LOOKED_AT, len(one) - start), -1)
            wrong += int(np.count_nonzero(~np.isfinite(part).all(axis=1)))
        if wrong:
            name = "images" if len(found.inputs) == 1 else f"input {place}"
            name = repr(found.names[place]) if found.names else name
            raise GivenError(
                f"{name} hold values that are not finite (NaN or infinity) in {wrong:,} of "
                f"{len(one):,} examples; leave those out, or fill them in as for training"
            )
