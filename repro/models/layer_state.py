"""The layers of a model, kept as they are now.

An engine takes a network's weights when it is made. What a layer holds in attributes, and not in
variables, a user can still change: `Normalization` and the lookups are given other means and tables
by `adapt`; a tool that explains answers exchanges the activation of a layer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras

# Layers are objects of the whole process, so one thread at a time gives them another state.
_LOCK = threading.RLock()


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


class LayerState:
    """The attributes of a model's layers, as they are when this is made."""

    def __init__(self, model: keras.Model) -> None:
        self._held = [(layer, dict(vars(layer))) for layer in _parts(model)]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside this block the layers have these attributes again, and no others."""
        if not any(_differs(vars(layer), values) for layer, values in self._held):
            yield
            return
        with _LOCK:
            now = [(layer, dict(vars(layer))) for layer, _ in self._held]
            _give(self._held)
            try:
                yield
            finally:
                _give(now)


def _parts(model: keras.Model) -> list[Any]:
    """Every layer that the model is made of, with those within layers."""
    return list(model._flatten_layers(include_self=False))


def _differs(now: dict[str, Any], values: dict[str, Any]) -> bool:
    return len(now) != len(values) or any(now.get(name) is not x for name, x in values.items())


def _give(states: list[tuple[Any, dict[str, Any]]]) -> None:
    for layer, values in states:
        vars(layer).clear()
        vars(layer).update(values)
