"""What a model itself does to its inputs before its first layer with weights."""

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
# Layers that give the same answer, or nearly, whatever the range of their inputs.
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
# These add, subtract, multiply or divide.
_ARITHMETIC = frozenset("add subtract multiply divide truedivide negative biasadd".split())

_LEADING = {"passes", "scales"}

# What is looked at where a size is open.
_SIDE = 8
# Numbers that a network is trained on spread over so much, and lie around 0 within so many times
# that.
_SPREAD, _OFF_CENTRE = 0.25, 2.5


def of(model: keras.Model) -> str:
    """What becomes of the model's first input: one of KINDS.

    The input is followed through layers without weights to the first that have some. What scales on
    this way is calculated for black and white, of 0 to 255 and of 0 to 1, to see for which of them
    it is. A layer that scales elsewhere in the model does not count.
    """
    try:
        read = graph.read(model)
    except ValueError:
        return "unclear"
    first = keras.tree.flatten(read.inputs)[0]
    # Tensors that hold pixels still, and whether something scaled them; and what comes of them.
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
    """What one operation does to pixels: "passes" and "scales" lead on, "weights" is where the
    network begins."""
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
    """For which pixels the way from one tensor to another is meant."""
    try:
        way = keras.Function(first, tensor)
        of_bytes, of_ones = (_fits(_answers(way, first.shape, white)) for white in (255, 1))
    except Exception:
        # Functions of Keras may refuse sizes of their own; it is tried on images then.
        return "unclear"
    if of_bytes == of_ones:
        return "unclear"
    return "scales" if of_bytes else "plain"


def _answers(way: Any, shape: Sequence[int | None], white: float) -> np.ndarray:
    """What becomes of an image of grey levels from 0 to white, float64 (n,)."""
    sizes = [size or _SIDE for size in shape[1:]]
    levels = np.linspace(0, white, int(np.prod(sizes))).reshape(1, *sizes)
    # Black and white at random places, so that they meet every channel.
    levels = np.random.default_rng(0).permuted(levels, axis=None)
    answers = way(keras.ops.convert_to_tensor(levels.astype(np.float32)))
    return np.asarray(keras.ops.convert_to_numpy(answers), np.float64).ravel()


def _fits(values: np.ndarray) -> bool:
    """Whether a network could be trained on such numbers."""
    spread = float(np.ptp(values))
    centre = float((values.max() + values.min()) / 2)
    return bool(np.isfinite(spread)) and spread >= _SPREAD and abs(centre) <= _OFF_CENTRE * spread
