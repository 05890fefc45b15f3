"""Whatever holds numbers or texts, as an array of NumPy in its own type.

No library is imported to look at what is given: tensors are known by where their class stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from repro.data.source import DataError


class GivenError(DataError):
    """Data or labels that cannot be taken; the message says what to do."""


def module_of(thing: Any) -> str:
    """The module in which a thing's class stands."""
    return str(type(thing).__module__)


def kind_of(thing: Any) -> str:
    """What a thing is, for a sentence.

    >>> kind_of(np.zeros(2)), kind_of([1])
    ("numpy's ndarray", 'a list')
    """
    module, name = module_of(thing).split(".")[0], type(thing).__name__
    if module not in ("builtins", "__main__"):
        return f"{module}'s {name}"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def is_array(thing: Any) -> bool:
    """Whether it holds numbers by itself, as arrays, tensors, series and pictures do."""
    names = ("shape", "__array__", "__array_interface__", "to_numpy")
    return any(hasattr(thing, name) for name in names)


def is_part(thing: Any) -> bool:
    """Whether it is an array of one axis or more, which may be one of several inputs or labels."""
    return is_array(thing) and getattr(thing, "shape", (1,)) != ()


def array(thing: Any) -> np.ndarray:
    """Anything that holds numbers or texts, in its own type; bfloat16 and the like as float32.

    Raises:
        GivenError: it is ragged, sparse, symbolic, partly masked, or holds neither numbers nor
            texts.
    """
    module, kind = module_of(thing), type(thing).__name__
    if kind in ("RaggedTensor", "RaggedTensorValue") or (
        module.startswith("torch") and getattr(thing, "is_nested", False)
    ):
        cure = "torch.nested.to_padded_tensor(tensor, 0.0)"
        cure = cure if module.startswith("torch") else "tensor.to_tensor()"
        raise GivenError(
            f"{kind_of(thing)} has rows of different lengths; pad them to one, as with {cure}"
        )
    if kind in ("SparseTensor", "SparseTensorValue"):
        raise GivenError("the tensor is sparse; make it dense with tf.sparse.to_dense(tensor)")
    if hasattr(thing, "toarray") and hasattr(thing, "nnz"):
        raise GivenError("the matrix is sparse; make it dense with matrix.toarray()")
    if hasattr(thing, "todense") and module.startswith("jax"):
        raise GivenError("the matrix is sparse; make it dense with matrix.todense()")
    if kind == "KerasTensor":
        raise GivenError(
            "a symbolic tensor of Keras holds no values; give arrays, as to model.predict"
        )
    if isinstance(thing, np.ma.MaskedArray):
        if np.ma.is_masked(thing):
            raise GivenError(
                f"{np.ma.count_masked(thing)} values of the array are masked; put numbers in their "
                "places with array.filled(value)"
            )
        thing = thing.data
    if module.startswith("torch") and hasattr(thing, "detach"):
        return _of_torch(thing)
    if module.startswith("keras") and hasattr(thing, "value"):  # a variable
        thing = thing.value
        return array(thing)
    if hasattr(thing, "to_numpy"):
        return _plain(np.asarray(thing.to_numpy()))
    if hasattr(thing, "numpy") and not isinstance(thing, np.ndarray):
        thing = thing.numpy()
    if isinstance(thing, bytes):  # in an array of NumPy's bytes a last zero byte would be lost
        return _texts(np.array(thing, dtype=object))
    if isinstance(thing, (list, tuple)) and any(module_of(x).startswith("torch") for x in thing):
        return stacked([array(one) for one in thing])
    try:
        values = np.asarray(thing)
    except (ValueError, TypeError) as error:
        raise GivenError(
            "inputs and labels must be arrays of one shape, and some rows are longer than others; "
            "pad them to one length, or resize images to one size"
        ) from error
    return _plain(values)


def stacked(arrays: list[np.ndarray]) -> np.ndarray:
    """Examples as one array.

    Raises:
        GivenError: they differ in shape.
    """
    shapes = {one.shape for one in arrays}
    if len(shapes) > 1:
        one, other = sorted(shapes, key=str)[:2]
        raise GivenError(
            f"images must have one shape, got {one} and {other}; resize or pad them to one"
        )
    return np.stack(arrays)


def missing(values: np.ndarray) -> int:
    """How many are no values: None, NaN, or what pandas writes for them."""
    if values.dtype.kind == "f":
        return int(np.count_nonzero(np.isnan(values)))
    if values.dtype.kind != "O":
        return 0
    return sum(
        one is None
        or type(one).__name__ in ("NAType", "NaTType")
        or (isinstance(one, float) and one != one)
        for one in values.flat
    )


def mapped(change: Callable[[Any], Any], structure: Any) -> Any:
    """A structure of dicts, tuples and lists of arrays, with each of these changed."""
    if isinstance(structure, Mapping):
        return {str(name): mapped(change, one) for name, one in structure.items()}
    if isinstance(structure, tuple) or (
        isinstance(structure, list) and structure and all(is_part(one) for one in structure)
    ):
        return [mapped(change, one) for one in structure]
    return None if structure is None else change(structure)


def leaves(structure: Any) -> list[Any]:
    """The arrays of such a structure."""
    if isinstance(structure, Mapping):
        return [leaf for one in structure.values() for leaf in leaves(one)]
    if isinstance(structure, (list, tuple)):
        return [leaf for one in structure for leaf in leaves(one)]
    return [] if structure is None else [structure]


def _of_torch(tensor: Any) -> np.ndarray:
    if getattr(tensor, "is_sparse", False):
        raise GivenError("the tensor is sparse; make it dense with tensor.to_dense()")
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # NumPy has no such type
        tensor = tensor.float()
    return _plain(np.asarray(tensor.numpy()))


def _plain(values: np.ndarray) -> np.ndarray:
    """Numbers or texts; objects only where all are texts."""
    values = np.asarray(values)
    kind = values.dtype.kind
    if kind in "biufUT":
        return values
    if kind in "SO":
        return _texts(values)
    if kind == "V" and values.dtype.names is None and np.can_cast(values.dtype, np.float32):
        return values.astype(np.float32)
    cure = {
        "M": "give times as numbers, such as array.astype('datetime64[s]').astype(float)",
        "m": "give times as numbers, such as array / numpy.timedelta64(1, 's')",
        "c": "give real and imaginary parts as two channels",
    }.get(kind, "give one array of numbers for each input, or a dict of them")
    raise GivenError(f"arrays must hold numbers or texts, got {values.dtype}; {cure}")


def _texts(values: np.ndarray) -> np.ndarray:
    """Texts as objects, bytes decoded where they are UTF-8; other objects as numbers."""
    if values.dtype.kind == "S":
        values = values.astype(object)
    if all(isinstance(one, (str, bytes)) for one in values.flat):
        try:
            # One kind of text, whatever came: TensorFlow gives bytes.
            texts = [one.decode() if isinstance(one, bytes) else one for one in values.flat]
        except UnicodeDecodeError:
            return values
        found = np.empty(len(texts), dtype=object)
        found[:] = texts
        return found.reshape(values.shape)
    try:
        return np.array(values.tolist(), dtype=np.float64)
    except (TypeError, ValueError):
        pass
    n_missing = missing(values)
    n_known = sum(isinstance(one, (str, bytes, int, float, np.number)) for one in values.flat)
    if n_missing and n_missing + n_known >= values.size:
        raise GivenError(
            f"{n_missing} of {values.size} values are missing (None or NaN) among others; leave "
            "those examples out, or fill them in"
        )
    odd = next((one for one in values.flat if not isinstance(one, (int, float))), values)
    raise GivenError(
        f"the array holds objects, such as {str(odd)[:40]!r} ({type(odd).__name__}), and not "
        "numbers; give an array of numbers, or of texts, with examples of one shape"
    )
