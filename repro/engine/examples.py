"""The user's inputs and labels, fitted to one model: its inputs in order, and targets for its task.

`repro.data.given` knows the forms of data and no model; this module brings the two together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from repro.data import given as door
from repro.engine.batches import count, rows
from repro.engine.tasks import Task
from repro.models.inputs import in_order, shapes_of


class Relabelled:
    """A stream of the same images with other labels.

    Args:
        stream: gives (images, labels) batches each time it is iterated, always in one order, and
            has a length.
        labels: int32 (n_images,), in that order.
    """

    def __init__(self, stream: Any, labels: np.ndarray) -> None:
        self._stream, self._labels = stream, labels

    def __len__(self) -> int:
        return len(self._stream)

    def __iter__(self) -> Iterator[tuple[Any, np.ndarray]]:
        start = 0
        for images, _ in self._stream:
            yield images, self._labels[start : start + len(images)]
            start += len(images)

    def take(self, index: np.ndarray) -> Relabelled:
        """Those of its images, by their position; they stay in their order."""
        return Relabelled(self._stream.take(index), self._labels[np.sort(index)])

    def labels_in_order(self) -> np.ndarray:
        """int32 (n_images,), the label of each of its images."""
        return self._labels


@dataclass(frozen=True)
class Examples:
    """Inputs and labels in the engine's form; values are as given.

    inputs: array (n, ...), a tuple of them in the order of the model's inputs, or a stream.
    targets: array (n, ...) in any form of labels; None without labels, and for a stream.
    class_names: names of the classes, if they came with the data.
    is_stream: `inputs` gives (images, int labels) batches each time it is iterated.
    """

    inputs: Any
    targets: np.ndarray | None
    class_names: tuple[str, ...] = ()
    is_stream: bool = False

    def __len__(self) -> int:
        return len(self.inputs) if self.is_stream else count(self.inputs)

    def take(self, index: np.ndarray) -> Examples:
        """The examples at these places."""
        if self.is_stream:
            return replace(self, inputs=self.inputs.take(index))
        targets = None if self.targets is None else self.targets[index]
        return replace(self, inputs=rows(self.inputs, index), targets=targets)

    def with_labels(self, labels: np.ndarray) -> Examples:
        """The same inputs with other labels, class numbers or 0 and 1."""
        if self.is_stream:
            return replace(self, inputs=Relabelled(self.inputs, labels))
        return replace(self, targets=labels)

    def pilot(self, n: int) -> tuple[Any, np.ndarray | None]:
        """A few inputs and their labels: from all parts of arrays, or the first ones of a
        stream."""
        if self.is_stream:
            images, labels = next(iter(self.inputs))
            return np.asarray(images)[:n], np.asarray(labels)[:n]
        places = np.unique(np.linspace(0, len(self) - 1, min(n, len(self))).astype(np.int64))
        few = self.take(places)
        return few.inputs, few.targets


def examples(
    images: Any, labels: Any, model: keras.Model, outputs: Sequence[str] = (), place: int = 0
) -> Examples:
    """The inputs in the order of the model's, and the labels of its output.

    Args:
        images, labels: as for `Engine`.
        model: a model whose only output is the one that is asked.
        outputs: names of the outputs of the user's model. place: position of the output that is
            asked.

    Raises:
        ValueError: the images or labels have no known form, or there are no images.
    """
    if labels is None and hasattr(images, "labels_in_order"):
        return Examples(images, None, is_stream=True)
    found = door.taken(images, labels, wanted=shapes_of(model))
    each = in_order(model, found.inputs, found.names, found.table)
    inputs = each[0] if len(each) == 1 else tuple(each)
    targets = found.targets
    if isinstance(targets, dict):
        targets = _of_output(targets, outputs, place)
    return Examples(inputs, None if targets is None else np.asarray(targets), found.class_names)


def targets_for(
    task: Task, found: Examples, class_names: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as the task's tally takes them, and the names of the classes.

    Args:
        class_names: names of the model's classes in its order; () takes the names of the data.

    Raises:
        ValueError: there are no labels, or not of the kind that the task needs.
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
        # Keras hands its losses and metrics float32 too.
        return (targets.astype(np.float32) if targets.dtype.kind == "f" else targets), names
    if task.kind == "regression":
        return door.regression_targets(targets, task.shape), names
    if task.kind == "labels":
        return door.yes_no_labels(targets, task.n_columns), names
    labels, names = door.class_labels(targets, task.n_columns, names)
    return labels, names


def _of_output(targets: dict[Any, Any], names: Sequence[str], place: int) -> Any:
    """The labels of one output, from labels that were given by output name or in a list."""
    for key in (*names[place : place + 1], place):
        if key in targets:
            return targets[key]
    if len(targets) == 1 and (len(names) < 2 or not set(targets) & {*names, *range(len(names))}):
        return next(iter(targets.values()))
    asked = repr(names[place]) if place < len(names) else "the one output"
    raise ValueError(
        f"labels are given for {', '.join(map(str, targets))}, and not for {asked}, the output "
        "that is asked; name another with output=, or give a dict with the names of outputs"
    )
