"""Finds out how a model scales its inputs before the first layer with weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from repro.models import graph
from repro.models.masking import AblationMask

KINDS = ("scales", "plain", "unclear", "tokens")
"""scales: it brings pixels of 0 to 255 to its own range. plain: they reach the first weights as
they are given, or by a scaling that is for numbers of 0 to 1. unclear: by a function that does with
either range, such as a normalization of each batch, or one of the author's. tokens: they are looked
up in a table, so that they are no pixels."""

_SCALING = (keras.layers.Rescaling, keras.layers.Normalization)
# Layers whose answer depends little or not at all on the range of their inputs.
_ANY_RANGE = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.RMSNormalization,
    keras.layers.UnitNormalization,
)
_TABLES = (
    keras.layers.Embedding,
    keras.layers.IntegerLookup,
    keras.layers.StringLookup,
    keras.layers.TextVectorization,
    keras.layers.Hashing,
    keras.layers.HashedCrossing,
    keras.layers.CategoryEncoding,
)
# Classes of Keras's functions, and of its layers without weights, by their names: the classes of
# functions are not public. These leave the range of pixels as it is, at inference.
_KEEPS_RANGE = frozenset(
    "reshape transpose swapaxes moveaxis expanddims squeeze flip pad getitem cast identity copy "
    "broadcastto repeat tile concatenate stack ravel flatten split take slice resize "
    "rgbtograyscale croppedimages cropimages padimages averagepool maxpool mean max min amax amin "
    "stopgradient permute repeatvector resizing centercrop dropout alphadropout gaussiandropout "
    "gaussiannoise inputlayer mixup cutmix masking".split()
)
_KEEPS_RANGE_FIRST = (
    *("random", "zeropadding", "cropping", "upsampling", "averagepooling", "maxpooling"),
    *("globalaveragepooling", "globalmaxpooling", "spatialdropout"),
)
# Functions that add, subtract, multiply or divide.
_ARITHMETIC = frozenset("add subtract multiply divide truedivide negative biasadd".split())

_LEADING = {"passes", "scales"}

# The image size that is tried if the model leaves it open.
_SIDE = 8
# Inputs that a network can be trained on spread over at least so much, and their centre is within
# so many spreads of 0.
_SPREAD, _OFF_CENTRE = 0.25, 2.5
# Inputs are centred if the middle of their range is 0, but for so many spreads.
_CENTRED = 0.1


def of(model: keras.Model) -> str:
    """How the model treats its first input: one of KINDS.

    The input is followed through layers without weights to the first layers with weights. The
    scaling on this way is computed for black and white pixels of 0 to 255 and of 0 to 1, to see
    which range it is meant for. A layer that scales elsewhere in the model does not count.
    """
    try:
        read = graph.read(model)
    except ValueError:
        return "unclear"
    first = keras.tree.flatten(read.inputs)[0]
    # Tensors that still hold pixels, whether something scaled them, and the kinds found at their
    # ends.
    scaled = {id(first): False}
    found = set()
    for call in read.calls:
        pixels = [tensor for tensor in call.inputs if id(tensor) in scaled]
        if not pixels:
            continue
        kind = _kind(call.operation)
        if len(pixels) < len(call.inputs):
            kind = "unclear"
        if kind == "weights":
            found |= {_range(first, one) if scaled[id(one)] else "plain" for one in pixels}
        elif kind in _LEADING:
            so = kind == "scales" or any(scaled[id(one)] for one in pixels)
            scaled |= {id(tensor): so for tensor in call.flat_outputs}
        else:
            found.add(kind)
    return found.pop() if len(found) == 1 else "unclear"


def _kind(operation: Any) -> str:
    """What one operation does to pixels. "passes" and "scales" lead on; the network begins at
    "weights"."""
    if isinstance(operation, keras.layers.TimeDistributed):
        return _kind(operation.layer)
    if isinstance(operation, keras.layers.Pipeline):
        kinds = {_kind(layer) for layer in operation.layers}
        return kinds.pop() if len(kinds) == 1 else "scales" if kinds <= _LEADING else "unclear"
    if isinstance(operation, _SCALING):
        return "scales"
    if isinstance(operation, AblationMask):
        return "passes"
    if isinstance(operation, _TABLES):
        return "tokens"
    if isinstance(operation, _ANY_RANGE) or not graph.is_of_keras(type(operation)):
        return "unclear"
    name = type(operation).__name__.lower()
    if name in _KEEPS_RANGE or name.startswith(_KEEPS_RANGE_FIRST):
        return "passes"
    if not isinstance(operation, keras.Layer):
        return "scales" if name in _ARITHMETIC else "unclear"
    weights = [w for w in operation.weights if "seed" not in w.path]
    return "weights" if weights else "unclear"


def _range(first: Any, tensor: Any) -> str:
    """The range of pixels that the operations between two tensors are meant for."""
    try:
        way = keras.Function(first, tensor)
        of_bytes, of_ones = (_answers(way, first.shape, white) for white in (255, 1))
    except Exception:
        # Keras's functions may refuse the open size; the way is then tried on images.
        return "unclear"
    if _fits(of_bytes) != _fits(of_ones):
        return "scales" if _fits(of_bytes) else "plain"
    # With a factor near 1 a network could be trained on either; who takes out the middle knows it.
    middle = [_is_centred(answers) for answers in (of_bytes, of_ones)]
    return "plain" if middle == [False, True] else "unclear"


def _answers(way: Any, shape: Sequence[int | None], white: float) -> np.ndarray:
    """float64 (n,), the operations' result for an image of grey levels from 0 to white."""
    sizes = [size or _SIDE for size in shape[1:]]
    levels = np.linspace(0, white, int(np.prod(sizes))).reshape(1, *sizes)
    # Black and white at random places, so that they meet every channel.
    levels = np.random.default_rng(0).permuted(levels, axis=None)
    answers = way(keras.ops.convert_to_tensor(levels.astype(np.float32)))
    return np.asarray(keras.ops.convert_to_numpy(answers), np.float64).ravel()


def _fits(values: np.ndarray) -> bool:
    """Whether a network could be trained on such inputs."""
    spread = float(np.ptp(values))
    centre = float((values.max() + values.min()) / 2)
    return bool(np.isfinite(spread)) and spread >= _SPREAD and abs(centre) <= _OFF_CENTRE * spread


def _is_centred(values: np.ndarray) -> bool:
    """Whether the values lie around 0, as far to one side as to the other."""
    centre = float((values.max() + values.min()) / 2)
    return abs(centre) <= _CENTRED * float(np.ptp(values))
