"""Layers that `adapt` changes, kept as they are now.

`Normalization`, `TextVectorization` and the other lookups hold the means and tables that they were
given in attributes, not in variables: a later `adapt` gives the layer others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras


def frozen(operation: Any) -> Any:
    """The layer in its present state: another object with the same variables; the layer itself if
    it cannot adapt."""
    if not hasattr(operation, "adapt"):
        return operation
    copied = object.__new__(type(operation))  # copy.copy would save and load it
    vars(copied).update(vars(operation))
    for name, value in list(vars(copied).items()):
        if isinstance(value, keras.Layer):
            vars(copied)[name] = frozen(value)
    return copied


class Adapted:
    """The state that `adapt` has given to the layers of a model until now."""

    def __init__(self, model: keras.Model) -> None:
        layers = model._flatten_layers(include_self=False)
        self._held = [(layer, dict(vars(layer))) for layer in layers if hasattr(layer, "adapt")]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside this block the layers have that state again."""
        now = [dict(vars(layer)) for layer, _ in self._held]
        for layer, values in self._held:
            vars(layer).update(values)
        try:
            yield
        finally:
            for (layer, _), values in zip(self._held, now, strict=True):
                vars(layer).update(values)
