"""What a lesion costs by plain Keras alone: no part of this project answers here.

The `call` of the layer is wrapped so that its output is multiplied by a vector of zeros and ones,
and the user's own model is called. Losses are counted in float64.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

_KERAS_CUTS = 1e-7  # off probabilities, before their logarithm


def operations(model: Any) -> dict[str, Any]:
    """Every operation of a model and of those within it by name; of a name that is there already,
    with that of the nested model before it."""
    found: dict[str, Any] = {}

    def visit(one: Any) -> None:
        for operation in getattr(one, "operations", getattr(one, "layers", ())):
            if isinstance(operation, keras.Model):
                visit(operation)
            elif found.get(operation.name, operation) is not operation:
                found.setdefault(f"{one.name}_{operation.name}", operation)
            else:
                found[operation.name] = operation

    visit(model)
    return found


@contextlib.contextmanager
def lesioned(model: Any, units: dict[str, list[int]]) -> Iterator[None]:
    """While this lasts, these units of the model's layers give 0.

    Args:
        units: by layer; `<layer>_call_2` is the layer's second call.
    """
    every, counters = operations(model), []
    wrapped: list[Any] = [model]
    original = model.call

    def call(*args: Any, **kwargs: Any) -> Any:
        for counter in counters:
            counter[0] = 0
        return original(*args, **kwargs)

    model.__dict__["call"] = call
    try:
        for name, dead in units.items():
            layer, _, number = name.partition("_call_")
            counters.append([0])
            _wrap(every[layer], dead, int(number or 1), counters[-1])
            wrapped.append(every[layer])
        yield
    finally:
        for operation in wrapped:
            operation.__dict__.pop("call", None)


def _wrap(operation: Any, dead: list[int], which: int, counter: list[int]) -> None:
    """Of each pass through the model, the call of this number."""
    original = operation.call

    def call(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        counter[0] += 1
        if counter[0] != which:
            return output
        keep = np.ones(output.shape[-1], np.float32)
        keep[dead] = 0
        return output * ops.cast(keep, output.dtype)

    operation.__dict__["call"] = call


def answers(model: Any, inputs: Any, output: str | None = None) -> np.ndarray:
    """float64 (n, ...), what the model answers at inference."""
    found = model(inputs, training=False)
    found = found if output is None else found[output]
    return np.asarray(ops.convert_to_numpy(ops.cast(found, "float32")), np.float64)


def losses(
    kind: str, answers: np.ndarray, targets: np.ndarray, probabilities: bool = False
) -> np.ndarray:
    """float64 (n,), as Keras's losses define them.

    Args:
        kind: "classes", "binary", "labels", "regression" or "absolute_error".
        targets: class numbers, or of the shape of the answers.
    """
    if kind == "classes":
        logits = answers
        if probabilities:
            logits = np.log(np.clip(answers, _KERAS_CUTS, 1 - _KERAS_CUTS))
        top = logits.max(axis=1, keepdims=True)
        total = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        return total - logits[np.arange(len(targets)), targets]
    targets = np.asarray(targets, np.float64).reshape(len(answers), -1)
    answers = answers.reshape(len(answers), -1)
    if kind in ("binary", "labels"):
        if probabilities:
            p = np.clip(answers, _KERAS_CUTS, 1 - _KERAS_CUTS)
            return -(targets * np.log(p) + (1 - targets) * np.log1p(-p)).mean(axis=1)
        return (np.logaddexp(0, answers) - targets * answers).mean(axis=1)
    away = answers - targets
    return (np.abs(away) if kind == "absolute_error" else away**2).mean(axis=1)


def n_correct(
    kind: str, answers: np.ndarray, targets: np.ndarray, probabilities: bool = False
) -> np.ndarray:
    """int, right answers of each class; of labels, of each label; (0,) where none is right."""
    threshold = 0.5 if probabilities else 0.0
    if kind == "labels":
        return ((answers > threshold) == (np.asarray(targets) > 0.5)).sum(axis=0)
    if kind == "binary":
        hits = (answers.reshape(-1) > threshold) == (targets.reshape(-1) > 0.5)
        return np.bincount(targets.reshape(-1)[hits].astype(int), minlength=2)
    if kind == "classes":
        hits = answers.argmax(axis=1) == targets
        return np.bincount(targets[hits], minlength=answers.shape[1])
    return np.zeros(0, int)
