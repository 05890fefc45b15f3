"""The user's inputs and labels, fitted to one model: its inputs in order, and targets for its task.

`repro.data.given` knows what forms data comes in and nothing of a model; here they meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from repro.batches import count, rows
from repro.data import given as door
from repro.engine.tasks import Task
from repro.models.outputs import inputs_of


@dataclass(frozen=True)
class Examples:
    """Inputs and labels as they were given, but for their form.

    inputs: array (n, ...), a tuple of them in the order of the model's inputs, or a stream.
    targets: array (n, ...) in any form of labels; None without labels, and for a stream.
    class_names: that came with the data.
    is_stream: `inputs` gives (images, int labels) batches each time it is iterated.
    """

    inputs: Any
    targets: np.ndarray | None
    class_names: tuple[str, ...] = ()
    is_stream: bool = False

    def __len__(self) -> int:
        return len(self.inputs) if self.is_stream else count(self.inputs)

    def take(self, index: np.ndarray) -> Examples:
        """Those at these places."""
        if self.is_stream:
            return replace(self, inputs=self.inputs.take(index))
        targets = None if self.targets is None else self.targets[index]
        return replace(self, inputs=rows(self.inputs, index), targets=targets)

    def pilot(self, n: int) -> tuple[Any, np.ndarray | None]:
        """A few inputs and their labels, from all parts of the data; of a stream the first."""
        if self.is_stream:
            images, labels = next(iter(self.inputs))
            return np.asarray(images)[:n], np.asarray(labels)[:n]
        places = np.unique(np.linspace(0, len(self) - 1, min(n, len(self))).astype(np.int64))
        few = self.take(places)
        return few.inputs, few.targets


def examples(images: Any, labels: Any, model: keras.Model, output: str | int | None) -> Examples:
    """The inputs in the order of the model's, and the labels of its output.

    Args:
        images, labels: as for `Engine`.
        model: with the one output that is asked. output: the name or number that chose it.

    Raises:
        ValueError: they are in no form that is known, or there are none.
    """
    if labels is None and hasattr(images, "labels_in_order"):
        return Examples(images, None, is_stream=True)
    found = door.taken(images, labels, wanted=wanted(model))
    inputs = _in_order(found, model)
    targets = found.targets
    if isinstance(targets, dict):
        targets = _of_output(targets, model, output)
    return Examples(inputs, None if targets is None else np.asarray(targets), found.class_names)


def targets_for(
    task: Task, found: Examples, class_names: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as the task's tally takes them, and the names of the classes.

    Args:
        class_names: of the model's classes in its order; () for those of the data.

    Raises:
        ValueError: labels that are not what the task needs.
    """
    names = tuple(class_names) or found.class_names
    if task.kind == "agreement":
        return np.zeros(len(found), np.int32), names
    if found.targets is None:
        raise ValueError(
            "there are no labels for these images, and others had some; pass labels as well"
        )
    targets = found.targets
    if task.kind == "score":
        return targets, names
    if task.kind == "regression":
        return door.regression_targets(targets, task.shape), names
    if task.kind == "labels":
        return door.yes_no_labels(targets, task.n_columns), names
    labels, names = door.class_labels(targets, task.n_columns, names)
    return labels, names


def wanted(model: keras.Model) -> list[tuple[str, tuple[int | None, ...]]]:
    """Names and shapes (None, ...) of the model's inputs in its order, as `given.taken` asks."""
    structure = inputs_of(model)
    tensors = keras.tree.flatten(structure)
    names = [tensor.name for tensor in tensors]
    if isinstance(structure, dict):
        names = sorted(structure)  # flattened by Keras in the order of sorted keys
    return [(name, tuple(tensor.shape)) for name, tensor in zip(names, tensors, strict=True)]


def _in_order(found: door.Given, model: keras.Model) -> Any:
    tensors = keras.tree.flatten(inputs_of(model))
    names_wanted = [name for name, _ in wanted(model)]
    inputs, names = list(found.inputs), found.names
    if found.table is not None and len(names_wanted) > 1:
        inputs, names = list(found.table.values()), tuple(found.table)
    if names:
        by_name = dict(zip(names, inputs, strict=True))
        missing = [name for name in names_wanted if name not in by_name]
        if missing and len(inputs) == len(names_wanted) == 1:
            by_name = {names_wanted[0]: inputs[0]}
        elif missing:
            raise ValueError(
                f"the model has the inputs {', '.join(names_wanted)}, and the data give "
                f"{', '.join(names)}; give a dict with the names of the inputs"
            )
        inputs = [by_name[name] for name in names_wanted]
    if len(inputs) != len(names_wanted):
        raise ValueError(
            f"the model has {len(names_wanted)} inputs ({', '.join(names_wanted)}), and the data "
            f"give {len(inputs)}; give a dict or a list with one array for each"
        )
    inputs = [_fitted(x, tensor) for x, tensor in zip(inputs, tensors, strict=True)]
    return inputs[0] if len(inputs) == 1 else tuple(inputs)


def _fitted(x: np.ndarray, tensor: Any) -> np.ndarray:
    """The array with the rank of the model's input: as Keras does, a last axis of 1 may be missing
    or there."""
    rank = len(tensor.shape)
    if x.ndim == rank - 1 and tensor.shape[-1] == 1:
        return x[..., None]
    if x.ndim == rank + 1 and x.shape[-1] == 1:
        return x[..., 0]
    return x


def _of_output(targets: dict[str, Any], model: keras.Model, output: str | int | None) -> Any:
    names = list(getattr(model, "output_names", ()))
    for name in (output, *names):
        if name in targets:
            return targets[name]
    if len(targets) == 1:
        return next(iter(targets.values()))
    raise ValueError(
        f"labels are given for {', '.join(map(str, targets))}; name the output they are for with "
        "output="
    )
