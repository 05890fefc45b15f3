"""A model's inputs: their names and shapes, and arrays brought to their order, ranks and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def structure_of(model: keras.Model) -> Any:
    """The symbolic inputs in the structure in which the model is called."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def names_of(model: keras.Model) -> list[str]:
    """The names by which a dict of arrays gives the inputs, in the model's order."""
    structure = structure_of(model)
    if isinstance(structure, dict):
        return sorted(structure)  # Keras flattens in the order of sorted keys
    return [tensor.name for tensor in keras.tree.flatten(structure)]


def shapes_of(model: keras.Model) -> list[tuple[str, tuple[int | None, ...]]]:
    """Names and shapes (None, ...) of the model's inputs in its order, as `given.taken` asks."""
    tensors = keras.tree.flatten(structure_of(model))
    return [(n, tuple(t.shape)) for n, t in zip(names_of(model), tensors, strict=True)]


def in_order(
    model: keras.Model,
    inputs: Sequence[np.ndarray],
    names: Sequence[str] = (),
    table: Mapping[str, np.ndarray] | None = None,
) -> list[np.ndarray]:
    """The arrays in the order of the model's inputs, each with the rank of its input.

    As Keras does, a last axis of 1 may be missing or there.

    Args:
        inputs: arrays, each (n, ...). names: names of the arrays, if given.
        table: columns of a table by name, for a model with an input for each column.

    Raises:
        ValueError: the inputs do not match the model's in name, number or shape.
    """
    wanted = names_of(model)
    if table is not None and len(wanted) > 1:
        inputs, names = list(table.values()), tuple(table)
    if names:
        by_name = dict(zip(names, inputs, strict=True))
        if set(wanted) <= set(by_name):
            inputs = [by_name[name] for name in wanted]
        elif not len(wanted) == len(inputs) == 1:
            _refuse_texts(wanted, table)
            raise ValueError(
                f"the model has the inputs {', '.join(wanted)}, and the data give "
                f"{', '.join(names)}; give a dict with the names of the inputs"
            )
    if len(inputs) != len(wanted):
        raise ValueError(
            f"the model has {len(wanted)} inputs ({', '.join(wanted)}), and the data give "
            f"{len(inputs)}; give a dict or a list with one array for each"
        )
    tensors = keras.tree.flatten(structure_of(model))
    return [_fitted(np.asarray(x), tensor) for x, tensor in zip(inputs, tensors, strict=True)]


def _refuse_texts(wanted: Sequence[str], table: Mapping[str, np.ndarray] | None) -> None:
    """Names the columns that keep a table of numbers from being the one input of a model.

    Raises:
        ValueError: there are some.
    """
    texts = [name for name, column in (table or {}).items() if column.dtype.kind not in "biuf"]
    if texts and len(wanted) == 1:
        raise ValueError(
            f"the model has one input, of numbers, and the DataFrame has text or categories in "
            f"{', '.join(map(repr, texts))}; leave that out, frame.drop(columns={texts!r}), or "
            "give numbers in its place as in the training, such as pandas.get_dummies(frame)"
        )


def packed(model: keras.Model, inputs: Sequence[Any]) -> Any:
    """The inputs in the structure in which the model is called."""
    return keras.tree.pack_sequence_as(structure_of(model), list(inputs))


def tensors_for(model: keras.Model, inputs: Sequence[np.ndarray]) -> list[Any]:
    """The arrays as tensors of the types of the model's inputs."""
    return [
        ops.convert_to_tensor(x)
        if tensor.dtype == "string"
        else ops.cast(ops.convert_to_tensor(x), tensor.dtype)
        for x, tensor in zip(inputs, keras.tree.flatten(structure_of(model)), strict=True)
    ]


def _fitted(x: np.ndarray, tensor: Any) -> np.ndarray:
    """The array with the rank of the model's input."""
    wanted = tuple(tensor.shape)
    if x.ndim == len(wanted) - 1 and wanted[-1] == 1:
        x = x[..., None]
    elif x.ndim == len(wanted) + 1 and x.shape[-1] == 1:
        x = x[..., 0]
    fits = x.ndim == len(wanted) and all(
        size in (None, found) for size, found in zip(wanted[1:], x.shape[1:], strict=True)
    )
    if not fits:
        sizes = ", ".join(["n", *("open" if n is None else str(n) for n in wanted[1:])])
        raise ValueError(
            f"images must have shape ({sizes}), got {x.shape}; resize or reshape them to the "
            f"model's input {tensor.name!r}"
        )
    return x
