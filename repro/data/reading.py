"""Streams of batches or examples, read once: `tf.data.Dataset`, `PyDataset`, PyTorch's data sets
and loaders, generators, and any object of the user's own that gives (x, y).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from repro.data.arrays import GivenError, array, is_array, leaves, mapped, stacked

Wanted = Sequence[tuple[str, Sequence[int | None]]]
"""The names of a model's inputs and the shapes of their batches, (None, ...), in its order."""

# A stream that gives more than so many bytes is too much for memory, or has no end; one that does
# not say how many elements it has is taken for endless much earlier.
_MOST_BYTES, _MOST_BYTES_UNCOUNTED = 8_000_000_000, 2_000_000_000
_MOST_ELEMENTS = 500_000
# What an array takes in memory beside its numbers.
_BYTES_BESIDES = 200
_LABELS = ("label", "labels", "target", "targets", "class", "y", "coarse_label", "fine_label")
_INPUTS = (
    *("image", "images", "img", "pixel_values", "input", "inputs", "x", "features"),
    *("text", "sentence", "audio", "video"),
)


def is_stream(thing: Any) -> bool:
    """Whether a thing gives batches or examples one after the other, and is no array itself."""
    if _is_dataset(thing) or _is_py_dataset(thing) or _is_of_torch_data(thing):
        return True
    if isinstance(thing, list):
        return _are_pairs(thing)
    if is_array(thing) or isinstance(thing, (tuple, Mapping, str, bytes, set, frozenset, range)):
        return False
    return not isinstance(thing, type) and (hasattr(thing, "__iter__") or _is_indexed(thing))


def read(stream: Any, wanted: Wanted) -> tuple[Any, Any]:
    """Reads a stream once: inputs, an array or a list or dict of them, and labels, or None.

    Args:
        wanted: of the model, which tells batches from examples where the stream does not.

    Raises:
        GivenError: it has no end, gives nothing, parts of different shapes, or sample weights other
            than 1.
    """
    parts: list[tuple[Any, Any]] = []
    batched = True
    n_bytes = 0
    counted = _knows_its_end(stream)
    for element in _elements(stream):
        x, y, weights = example(element, wanted)
        inputs, targets = mapped(array, x), mapped(array, y)
        if isinstance(inputs, list) and are_images(inputs, wanted):
            inputs = stacked(inputs)
        check_weights(weights)
        if not parts:
            batched = _is_batch(stream, inputs, targets, wanted)
        if batched:
            _check_lengths(inputs, targets)
        else:
            inputs, targets = mapped(_as_batch, inputs), mapped(_as_batch, targets)
        parts.append((inputs, targets))
        arrays = [*leaves(inputs), *leaves(targets)]
        n_bytes += sum(one.nbytes + _BYTES_BESIDES for one in arrays)
        most = _MOST_BYTES if counted else _MOST_BYTES_UNCOUNTED
        if n_bytes > most or (not counted and len(parts) > _MOST_ELEMENTS):
            seen = f"{most / 1e9:.0f} GB" if n_bytes > most else f"{_MOST_ELEMENTS:,} elements"
            raise GivenError(
                f"the stream gave more than {seen} and goes on; give a part of it, such as "
                f"{_part_of(stream)}"
            )
    if not parts:
        raise GivenError(
            "there are no images to evaluate on: the stream gave none; give a full one, and an "
            "iterator anew each time, as it can be read once only"
        )
    together = _joined([x for x, _ in parts], "inputs")
    if all(y is None for _, y in parts):
        return together, None
    return together, _joined([y for _, y in parts], "labels")


def example(element: Any, wanted: Wanted) -> tuple[Any, Any, Any]:
    """Inputs, labels and sample weights of one element of a stream; None for what is not there."""
    if isinstance(element, Mapping):
        return (*split(element, wanted), None)
    if isinstance(element, (tuple, list)):
        return pair(tuple(element))
    return element, None, None


def pair(element: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """x, (x, y) or (x, y, sample_weight) as three.

    Raises:
        GivenError: it has more parts, or none.
    """
    if not 1 <= len(element) <= 3:
        raise GivenError(
            f"data must be x, (x, y) or (x, y, sample_weight), got {len(element)} parts; leave out "
            "the others, and give several inputs as a dict or list in the place of x"
        )
    x, y, weights = (*element, None, None)[:3]
    return x, y, weights


def split(element: Mapping[str, Any], wanted: Wanted) -> tuple[Any, Any]:
    """Inputs and labels of a dict that may hold both, as TFDS gives it.

    The model's own names come first. Then labels are known by their name, and of two that have
    no such name by being one number an example beside a picture or a text.
    """
    named = {name for name, _ in wanted}
    if named and set(map(str, element)) <= named:
        return element, None
    key = next((key for key in _LABELS if key in element and key not in named), None)
    besides = [name for name in element if str(name) not in named]
    if key is None and named and named < set(map(str, element)) and len(besides) == 1:
        (key,) = besides  # all inputs are there, and one thing more
    if key is None and len(wanted) <= 1:
        key = _label_of_two(element)
    if key is None or len(element) == 1:
        return element, None
    rest = {name: value for name, value in element.items() if name != key}
    if named & set(map(str, rest)):
        return rest, element[key]
    for name in _INPUTS:
        if name in rest:
            return rest[name], element[key]
    if len(rest) == 1:
        return next(iter(rest.values())), element[key]
    return rest, element[key]


def check_weights(weights: Any) -> None:
    """Looks at sample weights, in any form, or None.

    Raises:
        GivenError: they are not 1 each.
    """
    for each in leaves(mapped(array, weights)):
        if not np.all(each == 1):
            raise GivenError(
                "sample weights must be 1, since here every example counts once, got "
                f"{each.min():g} to {each.max():g}; leave them out, as with dataset.map(lambda x, "
                "y, w: (x, y)), or draw the examples in proportion to their weights"
            )


# --- Kinds of streams --------------------------------------------------------------------------


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


def _is_indexed(thing: Any) -> bool:
    return hasattr(thing, "__getitem__") and hasattr(thing, "__len__")


def _are_pairs(elements: list[Any]) -> bool:
    """Whether it is a list of (x, y) or (x, y, w) batches or examples, and not of plain rows."""
    return (
        bool(elements)
        and all(isinstance(one, tuple) and len(one) in (2, 3) for one in elements)
        and all(is_array(one[0]) or isinstance(one[0], (list, dict, tuple)) for one in elements)
    )


def _knows_its_end(stream: Any) -> bool:
    if _is_dataset(stream):
        return int(stream.cardinality()) >= 0
    return hasattr(stream, "__len__")


def _part_of(stream: Any) -> str:
    """How a part of such a stream is written."""
    if _is_dataset(stream):
        return "dataset.take(n)"
    if hasattr(stream, "__iter__"):
        return "itertools.islice(stream, n)"
    return "[stream[i] for i in range(n)]"


def _elements(stream: Any) -> Iterator[Any]:
    """What a stream gives in one pass.

    Raises:
        GivenError: it has no end.
    """
    if _is_dataset(stream):
        if int(stream.cardinality()) == -1:
            raise GivenError(
                "the tf.data.Dataset has no end, as after repeat(); give one pass of it, "
                "dataset.take(n) with n batches"
            )
        return iter(stream)
    if _is_py_dataset(stream):
        try:
            n_batches = stream.num_batches if hasattr(type(stream), "num_batches") else len(stream)
        except (TypeError, NotImplementedError):  # what Keras's own class and Python's raise
            n_batches = None
        if n_batches is None:
            raise GivenError(
                f"the {type(stream).__name__} does not say how many batches it has, so it may have "
                "no end; give it num_batches, or pass [data[i] for i in range(n)]"
            )
        return (stream[number] for number in range(int(n_batches)))
    if not hasattr(stream, "__iter__"):
        return (stream[number] for number in range(len(stream)))
    return iter(stream)


# --- Batches and examples ----------------------------------------------------------------------


def _label_of_two(element: Mapping[str, Any]) -> str | None:
    """Which of two things is the label of the other, where that can be told."""
    if len(element) != 2:
        return None
    one, other = element
    for name, rest in ((one, other), (other, one)):
        if name in _INPUTS:
            return rest
    if any(isinstance(value, Mapping) for value in element.values()):
        return None
    ranks, texts = {}, {}
    for name, value in element.items():
        values = array(value)
        ranks[name], texts[name] = values.ndim, values.dtype.kind in "OU"
    if abs(ranks[one] - ranks[other]) > 1 or (
        ranks[one] != ranks[other] and not any(texts.values())
    ):
        return min(element, key=lambda name: ranks[name])
    if texts[one] != texts[other] and ranks[one] == ranks[other]:
        return other if texts[one] else one
    return None


def _is_batch(stream: Any, inputs: Any, targets: Any, wanted: Wanted) -> bool:
    """Whether a stream gives batches, and not one example at a time.

    By single numbers; by the shapes that the model takes; by the stream's own word; by the lengths
    of what belongs together; else as Keras has it, which takes batches only.
    """
    arrays = [*leaves(inputs), *leaves(targets)]
    if any(one.ndim == 0 for one in arrays):
        return False
    as_batch, as_example = _fit(inputs, wanted), _fit(mapped(_as_batch, inputs), wanted)
    if as_batch != as_example:
        return as_batch
    if _is_dataset(stream):
        shapes = [getattr(one, "shape", None) for one in leaves(stream.element_spec)]
        open_ended = [shape[0] is None for shape in shapes if shape is not None and shape.rank]
        if any(open_ended):
            return all(open_ended)  # else rows of any length, beside labels of a fixed one
    return len({len(one) for one in arrays}) == 1


def _fit(inputs: Any, wanted: Wanted) -> bool:
    """Whether inputs have the shapes of the batches that a model takes."""
    if isinstance(inputs, Mapping) and len(wanted) > 1:
        if any(name not in inputs for name, _ in wanted):
            return False
        arrays = [inputs[name] for name, _ in wanted]
    else:
        arrays = leaves(inputs)
    return len(arrays) == len(wanted) > 0 and all(
        fits(one.shape, shape) for one, (_, shape) in zip(arrays, wanted, strict=True)
    )


def are_images(arrays: Sequence[np.ndarray], wanted: Wanted) -> bool:
    """Whether a list of arrays is one of images for a model with one input, and not its input in a
    list."""
    if len(wanted) != 1:
        return False
    shape = wanted[0][1]
    if len(arrays) > 1:
        return True
    return not fits(arrays[0].shape, shape) and fits((1, *arrays[0].shape), shape)


def fits(got: Sequence[int], wanted: Sequence[int | None]) -> bool:
    """Whether a batch of one shape can be given for another: as Keras does, a last axis of 1 may
    be missing or there.

    >>> fits((5, 3), (None, 3)), fits((5,), (None, 1)), fits((5, 3), (None, 4))
    (True, True, False)
    """
    got, wanted = tuple(got), tuple(wanted)
    if len(got) == len(wanted) - 1 and wanted[-1] == 1:
        got = (*got, 1)
    elif len(got) == len(wanted) + 1 and got[-1] == 1:
        got = got[:-1]
    return len(got) == len(wanted) and all(
        size in (None, one) for one, size in zip(got[1:], wanted[1:], strict=True)
    )


def _as_batch(one: np.ndarray) -> np.ndarray:
    return one[None]


def _check_lengths(inputs: Any, targets: Any) -> None:
    """A batch whose inputs and labels differ in length is refused at once: sums of lengths might
    agree."""
    lengths = [len(one) if one.ndim else 1 for one in leaves(inputs)]
    of_labels = [len(one) if one.ndim else 1 for one in leaves(targets)]
    if len({*lengths, *of_labels}) > 1:
        raise GivenError(
            f"a batch must have as many labels as images, got {lengths[0]} images and "
            f"{(of_labels or lengths)[-1]} labels; give (x, y) with one label an image"
        )


def _joined(parts: list[Any], what: str) -> Any:
    """Parts of one structure as one, each leaf along its first axis."""
    like = parts[0]
    alike = all(type(part) is type(like) for part in parts)
    if alike and isinstance(like, Mapping):
        if all(set(part) == set(like) for part in parts):
            return {name: _joined([part[name] for part in parts], what) for name in like}
        alike = False
    if alike and isinstance(like, list):
        if all(len(part) == len(like) for part in parts):
            return [_joined([part[n] for part in parts], what) for n in range(len(like))]
        alike = False
    if not alike:
        raise GivenError(
            f"{what} of a stream must be of one form, and some of its elements have other parts "
            "than the first; give (x, y) each time"
        )
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        one, other = sorted(shapes, key=str)[:2]
        raise GivenError(
            f"{what} of a stream must have one shape, got {one} and {other}; resize or pad them to "
            "one"
        )
    return np.concatenate(parts)
