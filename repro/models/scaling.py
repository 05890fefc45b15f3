"""What a model itself does to its inputs before its first layer with weights."""

from __future__ import annotations

from typing import Any

import keras

from repro import graph
from repro.masking import AblationMask

KINDS = ("scales", "plain", "unclear", "tokens")
"""scales: it brings pixels to its own range. plain: they reach the first weights as they are given.
unclear: by a function of the author's, or a batch normalization, which can do with any range.
tokens: they are looked up in a table, so that they are no pixels."""

_SCALING = (keras.layers.Rescaling, keras.layers.Normalization)
# Classes of Keras's functions that calculate; they are not public, their names are.
_ARITHMETIC = frozenset("add subtract multiply divide truedivide floordivide negative".split())


def of(model: keras.Model) -> str:
    """What becomes of the model's first input: one of KINDS.

    The input is followed through layers without weights to the first that has some, or that
    scales. A layer that scales elsewhere in the model does not count.
    """
    try:
        read = graph.read(model)
    except ValueError:
        return "unclear"
    tensor = keras.tree.flatten(read.inputs)[0]
    while True:
        readers = [call for call in read.calls if any(x is tensor for x in call.inputs)]
        if not readers:
            return "plain"
        kinds = {_kind(call.operation) for call in readers}
        if len(kinds) > 1:
            return "unclear"
        kind = kinds.pop()
        if kind != "passes":
            return kind
        if len(readers) > 1:
            return "unclear"
        outputs = readers[0].flat_outputs
        if len(outputs) != 1:
            return "unclear"
        tensor = outputs[0]


def _kind(operation: Any) -> str:
    """What one operation does to pixels; "passes" where they are the same after it."""
    if isinstance(operation, _SCALING):
        return "scales"
    if isinstance(operation, AblationMask):
        return "passes"
    if isinstance(operation, keras.layers.Embedding):
        return "tokens"
    if isinstance(operation, keras.layers.BatchNormalization | keras.layers.Lambda):
        return "unclear"
    if not graph.is_of_keras(type(operation)):
        return "unclear"
    if not isinstance(operation, keras.Layer):
        return "scales" if type(operation).__name__.lower() in _ARITHMETIC else "passes"
    weights = [w for w in operation.weights if "seed" not in w.path]
    return "plain" if weights else "passes"
