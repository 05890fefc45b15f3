"""One door for inputs and labels: whatever `fit` and `evaluate` take becomes arrays here.

`taken` knows the forms that data comes in, and nothing of the model that it is for; what labels
mean is asked afterwards (`class_labels`, `yes_no_labels`, `regression_targets`). No library is
imported to look at what is given: tensors are known by where their class stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# A stream that gives more than so many bytes is taken for one without end.
_MOST_BYTES = 8_000_000_000
_LABELS = ("label", "labels", "target", "targets", "class", "y", "coarse_label")
_INPUTS = ("image", "images", "input", "inputs", "x", "features", "text", "audio", "video")
# Whole numbers as floats, give or take a rounding.
_WHOLE = 1e-6


class GivenError(ValueError):
    """Data or labels that cannot be taken; the message says what to do."""


@dataclass(frozen=True)
class Given:
    """Inputs and labels as arrays.

    inputs: one array for each input, each (n, ...), of its own type; strings too.
    targets: (n, ...) as they were given, a dict of such arrays for several outputs, or None.
    names: of the inputs, where they came with names.
    class_names: that the labels brought, as of a pandas Categorical.
    table: the columns of a pandas DataFrame by name; its matrix is the only input then.
    """

    inputs: list[np.ndarray]
    targets: Any
    names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    table: Mapping[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.inputs[0])


def taken(
    data: Any, labels: Any = None, *, rank: int | None = None, without_last: bool = False
) -> Given:
    """Takes inputs and labels in any form that `model.fit` or `model.evaluate` does.

    Args:
        data: (n, ...) array, tensor of TensorFlow, JAX or PyTorch, list, or pandas DataFrame; a
            list or dict of them for several inputs; or, without labels, (x, y), (x, y, w), a
            `tf.data.Dataset`, a `PyDataset`, a PyTorch DataLoader or data set, or an iterator of
            batches: these are read once. Elements are x, (x, y), (x, y, w), or a dict as TFDS
            gives it.
        labels: (n, ...) in any of these forms, a dict for several outputs, or None.
        rank: axes of a batch of the model's first input, which tells single inputs from batches
            where a stream does not.
        without_last: whether the last axis of that input is 1, so that batches may lack it.

    Raises:
        GivenError: a form that is not known, a stream without end, lengths that differ, nothing at
            all, sample weights that differ.
    """
    if labels is None:
        if _is_stream(data):
            data, labels = _read(data, rank, without_last)
        elif isinstance(data, tuple):
            data, labels = _pair(data, "data")
        elif isinstance(data, Mapping) and _label_key(data) is not None:
            data, labels = _split(data)
    elif _is_stream(data):
        raise GivenError(
            f"{_kind(data)} brings its own labels, and labels were given besides; pass one of "
            "them, or the inputs as an array"
        )
    targets, class_names = _targets(labels)
    found = _inputs(data, targets, rank)
    n = len(found.inputs[0])
    for name, array in zip(found.names or ("",) * len(found.inputs), found.inputs, strict=True):
        if len(array) != n:
            raise GivenError(
                f"inputs must have one row an example: {name or 'one'} has {len(array)} and "
                f"another {n}; give all of them for the same examples"
            )
    for array in targets.values() if isinstance(targets, dict) else [targets]:
        if array is not None and len(array) != n:
            raise GivenError(f"there are {n} images but {len(array)} labels; give one for each")
    if not n:
        raise GivenError("there are no images to evaluate on; give at least one, with its label")
    return Given(found.inputs, targets, found.names, class_names, found.table)


# --- What labels mean ---------------------------------------------------------------------------


def class_labels(
    targets: Any, n_classes: int, class_names: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers from labels in any form, int32 (n,), and the names of the classes.

    Taken are whole numbers of any type, (n,) or (n, 1), one-hot rows, bools of two classes, and
    names, whose numbers are their places in class_names, or in their order where as many occur as
    the model has classes.

    Args:
        n_classes: of the model. class_names: of its classes in their order; () if not known.

    Raises:
        GivenError: anything else; it says what to do.

    >>> class_labels([[0, 1, 0], [1, 0, 0]], 3)
    (array([1, 0], dtype=int32), ())
    >>> class_labels(["dog", "cat"], 2)
    (array([1, 0], dtype=int32), ('cat', 'dog'))
    """
    labels = np.asarray(targets)
    names = tuple(map(str, class_names))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind in "USOT":
        return _by_name(labels, n_classes, names)
    if labels.dtype.kind not in "biuf":
        raise GivenError(f"labels must be numbers or names of classes, got {labels.dtype}")
    if labels.ndim == 2 and labels.shape[1] == n_classes:
        return _of_rows(labels).astype(np.int32), names
    if labels.ndim != 1:
        raise GivenError(
            f"labels must be one class number an image, or one row of {n_classes} with a single 1; "
            f"got shape {labels.shape}; take one column of them, or labels.argmax(axis=1)"
        )
    numbers = _whole(labels)
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    if low < 0 or high >= n_classes:
        cure = "give labels of these classes only"
        if low == 1 and high == n_classes:
            cure = "these count from 1: give labels - 1"
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
    labels = np.asarray(targets)
    if labels.ndim == 1 and n_labels == 1:
        labels = labels[:, None]
    if labels.shape[1:] != (n_labels,) or labels.dtype.kind not in "biuf":
        raise GivenError(
            f"labels must be {n_labels} numbers 0 or 1 for each image; got {labels.dtype} of shape "
            f"{labels.shape}; give one column for each answer of the model"
        )
    if not np.all((labels == 0) | (labels == 1)):
        raise GivenError(
            "labels of several yes-or-no answers must be 0 or 1; round them, or give "
            "task='regression' to measure the squared error"
        )
    return labels.astype(np.float32)


def regression_targets(targets: Any, shape: Sequence[int]) -> np.ndarray:
    """Numbers to be met, float32 (n, *shape).

    Args:
        shape: of one answer of the model; (n,) and (n, 1) are the same.

    Raises:
        GivenError: another shape, no numbers, or some that are not finite.
    """
    numbers = np.asarray(targets)
    if numbers.dtype.kind not in "biuf":
        raise GivenError(f"targets of a regression must be numbers, got {numbers.dtype}")
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
        raise GivenError(f"labels must be one class an image, got names of shape {labels.shape}")
    texts = [one.decode() if isinstance(one, bytes) else one for one in labels.tolist()]
    if not all(isinstance(one, str) for one in texts):
        odd = next(one for one in texts if not isinstance(one, str))
        raise GivenError(
            f"labels must be numbers or names of classes, got {odd!r} among them; give one array "
            "of numbers"
        )
    if not names:
        names = tuple(sorted(set(texts)))
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


def _of_rows(rows: np.ndarray) -> np.ndarray:
    """The place of the single 1 of each row."""
    numbers = rows.astype(np.float64)
    if np.all((numbers == 0) | (numbers == 1)) and np.all(numbers.sum(axis=1) == 1):
        return numbers.argmax(axis=1)
    if np.all(numbers >= 0) and np.allclose(numbers.sum(axis=1), 1, atol=1e-3):
        raise GivenError(
            "labels are shares of classes (soft labels, label smoothing), and lesions are counted "
            "by class; give labels.argmax(axis=1)"
        )
    raise GivenError(
        "labels have a column for each class, and not a single 1 in each row; give one class "
        "number an image, or task='labels' if several can be right"
    )


def _whole(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind != "f":
        return labels.astype(np.int64)
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
    return whole.astype(np.int64)


# --- Forms of data -----------------------------------------------------------------------------


def _module(thing: Any) -> str:
    return str(type(thing).__module__)


def _kind(thing: Any) -> str:
    return f"{_module(thing).split('.')[0]}'s {type(thing).__name__}"


def _is_dataset(thing: Any) -> bool:
    return hasattr(thing, "element_spec") and hasattr(thing, "cardinality")


def _is_py_dataset(thing: Any) -> bool:
    return hasattr(thing, "on_epoch_end") and hasattr(thing, "__getitem__")


def _is_of_torch_data(thing: Any) -> bool:
    return any(
        base.__module__.startswith("torch.utils.data")
        and base.__name__ in ("DataLoader", "Dataset", "IterableDataset")
        for base in type(thing).__mro__
    )


def _is_stream(thing: Any) -> bool:
    return (
        _is_dataset(thing)
        or _is_py_dataset(thing)
        or _is_of_torch_data(thing)
        or (hasattr(thing, "__next__") and hasattr(thing, "__iter__"))
        or (isinstance(thing, list) and _are_batches(thing))
    )


def _are_batches(pairs: list[Any]) -> bool:
    """Whether it is a list of (x, y) or (x, y, w) batches or examples."""
    return bool(pairs) and all(isinstance(one, tuple) and len(one) in (2, 3) for one in pairs)


def _elements(stream: Any) -> Iterator[Any]:
    """What a stream gives in one pass.

    Raises:
        GivenError: it has no end.
    """
    if _is_dataset(stream):
        n = int(stream.cardinality())
        if n == -1:
            raise GivenError(
                "the tf.data.Dataset has no end, as after repeat(); give one pass of it, "
                "dataset.take(n) with n batches"
            )
        return iter(stream)
    if _is_py_dataset(stream):
        n_batches = None
        # Keras's own num_batches raises where there is no length.
        with contextlib.suppress(TypeError, AttributeError, NotImplementedError):
            n_batches = getattr(stream, "num_batches", None)
            n_batches = len(stream) if n_batches is None else n_batches
        if n_batches is None:
            raise GivenError(
                f"the {type(stream).__name__} does not say how many batches it has, so it may have "
                "no end; give it num_batches, or pass arrays"
            )
        return (stream[number] for number in range(int(n_batches)))
    if _is_of_torch_data(stream) and not hasattr(stream, "__iter__"):
        return (stream[number] for number in range(len(stream)))
    return iter(stream)


def _read(stream: Any, rank: int | None, without_last: bool = False) -> tuple[Any, Any]:
    """Reads a stream once: inputs, an array or a list or dict of them, and labels, or None."""
    parts: list[tuple[Any, Any]] = []
    batched: bool | None = None
    n_bytes = 0
    for element in _elements(stream):
        x, y = _example(element)
        inputs = _map(_array, _of_examples(x, y, rank))
        targets = None if y is None else _map(_array, y)
        if batched is None:
            batched = _is_batch(stream, inputs, targets, rank, without_last)
        if not batched:
            inputs, targets = _map(lambda a: a[None], inputs), _map(lambda a: a[None], targets)
        parts.append((inputs, targets))
        n_bytes += sum(array.nbytes for array in _leaves(inputs))
        if n_bytes > _MOST_BYTES:
            raise GivenError(
                f"the stream gave more than {_MOST_BYTES / 1e9:.0f} GB of inputs and goes on; give "
                "a part of it, such as dataset.take(n)"
            )
    if not parts:
        raise GivenError(
            "there are no images to evaluate on: the stream gave none; give a full one"
        )
    first_x, first_y = parts[0]
    together = _joined([x for x, _ in parts], first_x, "inputs")
    if first_y is None:
        return together, None
    return together, _joined([y for _, y in parts], first_y, "labels")


def _example(element: Any) -> tuple[Any, Any]:
    """Inputs and labels of one element of a stream."""
    if isinstance(element, Mapping):
        return _split(element) if _label_key(element) is not None else (element, None)
    if isinstance(element, (tuple, list)) and not isinstance(element, str):
        return _pair(tuple(element), "a stream")
    return element, None


def _pair(element: tuple[Any, ...], of: str) -> tuple[Any, Any]:
    if len(element) == 1:
        return element[0], None
    if len(element) == 2:
        return element
    if len(element) == 3:
        _check_weights(element[2])
        return element[0], element[1]
    raise GivenError(
        f"{of} must give x, (x, y) or (x, y, sample_weight), got {len(element)} parts; leave out "
        "the others, and give several inputs as a dict or list in the place of x"
    )


def _check_weights(weights: Any) -> None:
    for each in _leaves(_map(_array, weights)) if weights is not None else []:
        if not np.all(each == 1):
            raise GivenError(
                "sample weights must be 1, since here every example counts once, got "
                f"{each.min():g} to {each.max():g}; leave them out, or draw the examples in "
                "proportion to their weights"
            )


def _label_key(element: Mapping[str, Any]) -> str | None:
    return next((key for key in _LABELS if key in element), None)


def _split(element: Mapping[str, Any]) -> tuple[Any, Any]:
    """Inputs and labels of a dict that has both."""
    key = _label_key(element)
    rest = {name: value for name, value in element.items() if name != key}
    for name in _INPUTS:
        if name in rest:
            return rest[name], element[str(key)]
    if len(rest) == 1:
        return next(iter(rest.values())), element[str(key)]
    return rest, element[str(key)]


def _is_batch(stream: Any, inputs: Any, targets: Any, rank: int | None, without_last: bool) -> bool:
    """Whether a stream gives batches, and not one example at a time."""
    if isinstance(stream, list) or _is_py_dataset(stream):
        return all(array.ndim > 0 for array in _leaves(inputs))
    first = _leaves(inputs)[0]
    labels = _leaves(targets) if targets is not None else []
    if rank is not None and len(_leaves(inputs)) == 1 and first.ndim in (rank, rank - 1):
        # One example has a last axis of 1 where the model's input has; a batch may lack it.
        lacks = without_last and first.ndim > 0 and first.shape[-1] != 1
        alike = all(array.shape[:1] == first.shape[:1] for array in labels)
        return first.ndim == rank or (lacks and alike)
    if any(array.ndim == 0 for array in [*_leaves(inputs), *labels]):
        return False
    if _is_dataset(stream):
        spec = [one.shape for one in _leaves(stream.element_spec)]
        if any(shape.rank and shape[0] is None for shape in spec):
            return True
    lengths = {len(array) for array in [*_leaves(inputs), *labels]}
    return len(lengths) == 1


def _joined(parts: list[Any], like: Any, what: str) -> Any:
    """Parts of one structure as one, each leaf along its first axis."""
    if isinstance(like, Mapping):
        return {name: _joined([part[name] for part in parts], like[name], what) for name in like}
    if isinstance(like, (list, tuple)):
        return [_joined([part[n] for part in parts], one, what) for n, one in enumerate(like)]
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        one, other = sorted(shapes, key=str)[:2]
        raise GivenError(
            f"{what} of a stream must have one shape, got {one} and {other}; resize or pad them to "
            "one"
        )
    return np.concatenate(parts)


def _map(change: Callable[[Any], Any], structure: Any) -> Any:
    if isinstance(structure, Mapping):
        return {str(name): _map(change, one) for name, one in structure.items()}
    if isinstance(structure, tuple) or (
        isinstance(structure, list) and structure and len(getattr(structure[0], "shape", ()))
    ):
        return [_map(change, one) for one in structure]
    return None if structure is None else change(structure)


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, Mapping):
        return [leaf for one in structure.values() for leaf in _leaves(one)]
    if isinstance(structure, (list, tuple)) and not hasattr(structure, "_fields"):
        return [leaf for one in structure for leaf in _leaves(one)]
    return [] if structure is None else [structure]


def _array(thing: Any) -> np.ndarray:
    """Anything that holds numbers or texts as an array of NumPy, in its own type.

    Raises:
        GivenError: it is ragged, sparse, or no array at all.
    """
    module, kind = _module(thing), type(thing).__name__
    if kind == "RaggedTensor" or (
        module.startswith("torch") and getattr(thing, "is_nested", False)
    ):
        raise GivenError(
            f"{_kind(thing)} has rows of different lengths; pad them to one, as with "
            "tensor.to_tensor()"
        )
    if kind in ("SparseTensor", "SparseTensorValue"):
        raise GivenError("the tensor is sparse; make it dense with tf.sparse.to_dense(tensor)")
    if hasattr(thing, "toarray") and hasattr(thing, "nnz"):
        raise GivenError("the matrix is sparse; make it dense with matrix.toarray()")
    if module.startswith("torch"):
        if getattr(thing, "is_sparse", False):
            raise GivenError("the tensor is sparse; make it dense with tensor.to_dense()")
        thing = thing.detach().cpu()
        thing = thing.float() if str(thing.dtype) == "torch.bfloat16" else thing
        return np.asarray(thing.numpy())
    if module.startswith("keras") and hasattr(thing, "value"):  # a variable
        thing = thing.value
    if hasattr(thing, "to_numpy"):
        return _texts(thing.to_numpy())
    if hasattr(thing, "numpy") and not isinstance(thing, np.ndarray):
        return _texts(np.asarray(thing.numpy()))
    if isinstance(thing, (list, tuple)) and any(_module(one).startswith("torch") for one in thing):
        return np.stack([_array(one) for one in thing])
    try:
        array = np.asarray(thing)
    except ValueError as error:
        raise GivenError(
            "inputs and labels must be arrays of one shape, and some rows are longer than others; "
            "pad them to one length"
        ) from error
    return _texts(array)


def _texts(array: np.ndarray) -> np.ndarray:
    """The array; objects only where all are texts."""
    if array.dtype.kind != "O":
        return array
    if all(isinstance(one, (str, bytes)) for one in array.flat):
        # One kind of text, whatever came: TensorFlow gives bytes.
        texts = [one.decode() if isinstance(one, bytes) else one for one in array.flat]
        return np.array(texts, dtype=object).reshape(array.shape)
    try:
        return np.array(array.tolist(), dtype=np.float64)
    except (TypeError, ValueError):
        odd = next((one for one in array.flat if not isinstance(one, (int, float))), array)
        raise GivenError(
            f"the array holds objects, such as {str(odd)[:40]!r} ({type(odd).__name__}), and not "
            "numbers; give an array of numbers, or of texts"
        ) from None


def _targets(labels: Any) -> tuple[Any, tuple[str, ...]]:
    """Labels as an array, or a dict of them, and the names that a Categorical brings."""
    if labels is None:
        return None, ()
    if isinstance(labels, Mapping):
        return {str(name): _array(one) for name, one in labels.items()}, ()
    categories = getattr(getattr(labels, "cat", labels), "categories", None)
    if _module(labels).startswith("pandas") and categories is not None:
        names = tuple(map(str, categories))
        return np.asarray([str(one) for one in labels]), names
    return _array(labels), ()


def _of_examples(x: Any, y: Any, rank: int | None) -> Any:
    """A list of single inputs as one array, where the rank of a batch tells that it is one."""
    if not isinstance(x, (list, tuple)) or not x or rank is None:
        return x
    n = len(y) if hasattr(y, "__len__") and not isinstance(y, (str, bytes, Mapping)) else None
    singles = all(len(getattr(one, "shape", ())) == rank - 1 > 0 for one in x)
    if singles and (len(x) == n or (n is None and len(x) > 1)):
        return _stacked([_array(one) for one in x])
    return x


def _inputs(data: Any, targets: Any, rank: int | None = None) -> Given:
    data = _of_examples(data, None if isinstance(targets, dict) else targets, rank)
    if isinstance(data, Mapping):
        arrays = {str(name): _array(one) for name, one in data.items()}
        return Given(list(arrays.values()), None, tuple(arrays))
    if _module(data).startswith("pandas") and hasattr(data, "columns"):
        table = {str(name): _array(data[name]) for name in data.columns}
        numbers = all(array.dtype.kind in "biuf" for array in table.values())
        matrix = data.to_numpy() if numbers else _array(data.astype(str))
        return Given([np.asarray(matrix)], None, (), (), table)
    if isinstance(data, (list, tuple)) and data and all(hasattr(one, "shape") for one in data):
        arrays_ = [_array(one) for one in data]
        n = None if targets is None or isinstance(targets, dict) else len(targets)
        rows_ = {array.shape[:1] for array in arrays_}
        # As many arrays as labels, none of them with a row for each label: they are the examples.
        if n == len(arrays_) and rows_ != {(n,)}:
            return Given([_stacked(arrays_)], None)
        return Given(arrays_, None)
    if isinstance(data, str) or not isinstance(data, Iterable) and not hasattr(data, "shape"):
        raise GivenError(
            f"images must be arrays, tensors, lists, a data set or an iterator of batches, got "
            f"{type(data).__name__}; load them first"
        )
    array = _array(data)
    if array.ndim == 0:
        raise GivenError(f"images must be an array (n_images, ...), got a single {array.dtype}")
    return Given([array], None)


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        one, other = sorted(shapes, key=str)[:2]
        raise GivenError(f"images must have one shape, got {one} and {other}; resize them to one")
    return np.stack(arrays)
