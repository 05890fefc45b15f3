"""A layer under another name, of the same weights.

A functional model must not hold two layers of one name, and two nested models often do. `twin`
gives a layer that computes the same with the very same variables, so that the user's own layer
keeps its name.
"""

from __future__ import annotations

from typing import Any


def twin(operation: Any, name: str) -> Any:
    """An operation of the same class with the same variables, under another name.

    A value assigned to a variable is seen by both. A later change of an attribute (`trainable`, a
    quantization) is seen only by the operation that it was made on.

    Args:
        operation: a layer, or a function of `keras.ops` as an object; it is left alone.
        name: name of the twin.

    >>> import keras
    >>> layer = keras.layers.Dense(2, name="mine")
    >>> _ = layer(keras.Input((3,)))
    >>> other = twin(layer, "other")
    >>> other.kernel is layer.kernel, layer.name, other.name
    (True, 'mine', 'other')
    """
    kind = type(operation)
    # Neither copy.copy, which writes the layer to a file and reads it again, nor assignments to
    # attributes, which Keras would note in lists that the two share.
    found = object.__new__(kind)
    vars(found).update(vars(operation))
    # The twin does not take over the operation's places in graphs.
    vars(found).update(name=name, _inbound_nodes=[], _outbound_nodes=[])
    return found
