"""Finds out what an activation function computes, by trying the function, not by its name.

A function of the user's own may be called `relu` and clip at 1, or `softmax` and treat every value
by itself; Keras's `relu` may come as `tf.nn.relu`, `keras.ops.relu` or `lambda x: max(x, 0)`. So
`what` gives a function some values and looks at the answers. Keras's own functions are known by
identity. A function that raises or answers by chance cannot be tried; it counts as unknown, and
nothing is claimed about it.
"""

from __future__ import annotations

import contextlib
import functools
import types
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

# The functions of `keras.activations` that are not elementwise.
_SHARING = ("glu", "log_softmax", "softmax", "sparsemax")
_NORMALIZING = ("log_softmax", "softmax", "sparsemax")
_NEVER_NEGATIVE = (
    *("exponential", "hard_sigmoid", "relu", "relu6", "sigmoid", "softmax", "softplus"),
    *("sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus"),
)
# A function is tried on about this many values for one image.
_MOST_VALUES = 1 << 16
# Answers to equal values differ at most by rounding.
_TOLERANCE = 1e-4
_DTYPES = ("float32", "float16", "bfloat16", "float64")
_EXTREME = 1e30


@dataclass(frozen=True)
class Computed:
    """Properties of the function that a layer applies.

    elementwise: the function computes each value from itself alone, in the same way at every place.
    normalizes: the function weighs values against each other, as softmax does: the answers for an
        image are never negative and have the same sum for all inputs, or are the logarithms of such
        answers.
    never_negative: no answer is below 0; answers may be NaN.
    is_relu: the function is max(value, 0).
    linear: the function is a multiple of the value plus a constant, as without any activation.
    known: the function could be tried; if not, all other fields are False.
    """

    elementwise: bool = False
    normalizes: bool = False
    never_negative: bool = False
    is_relu: bool = False
    linear: bool = False
    known: bool = True


UNKNOWN = Computed(known=False)


def what(function: Any, shape: Sequence[int | None] | None = None) -> Computed:
    """What an activation function computes.

    Args:
        function: of one tensor; of Keras, of a backend, of the user's own, a layer, or None for no
            function.
        shape: shape of the function's input for one image, for functions made for one shape; None
            for a vector. For most functions only the number of axes matters.

    >>> what(lambda values: keras.ops.maximum(values, 0)).is_relu
    True
    """
    if function is None:
        return _OF_KERAS[keras.activations.linear]
    if isinstance(function, keras.Layer):
        return _of_layer(function, shape)
    known = _of_keras(function)
    if known is not None:
        return known
    rank = 1 if shape is None else len(shape)
    remembered = _remembered(function, rank)
    if remembered is not None:
        return remembered
    found = _tried(function, shape)
    if found.known and _lasting(function):
        _memory[id(function)] = (weakref.ref(function), {**_about(function), rank: found})
    return found


def name_of(function: Any) -> str:
    """The name of a function for a sentence."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    name = getattr(function, "__name__", type(function).__name__)
    return "a lambda" if name == "<lambda>" else str(name)


def same_of_keras(function: Any) -> str:
    """The name of the function in `keras.activations` that computes the same, with its usual
    arguments; "" if there is none or the function cannot be tried.

    >>> same_of_keras(lambda values: keras.ops.sigmoid(values))
    'sigmoid'
    """
    values = _spread((64, 8))
    answers = _answers(function, values)
    if answers is None:
        return ""
    for own, name in _NAMES.items():
        if name != "glu" and _close(answers, _answers(own, values)):
            return name
    return ""


# --- Keras's own ------------------------------------------------------------------------------

_NAMES: dict[Any, str] = {
    getattr(keras.activations, name): name
    for name in (
        "linear celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh "
        "leaky_relu log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax "
        "softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus tanh tanh_shrink "
        "threshold"
    ).split()
}
_OF_KERAS: dict[Any, Computed] = {
    function: Computed(
        elementwise=name not in _SHARING,
        normalizes=name in _NORMALIZING,
        never_negative=name in _NEVER_NEGATIVE,
        is_relu=name == "relu",
        linear=name == "linear",
    )
    for function, name in _NAMES.items()
}


def _of_keras(function: Any) -> Computed | None:
    try:
        return _OF_KERAS.get(function)
    except TypeError:  # it has no hash
        return None


def _of_layer(layer: Any, shape: Sequence[int | None] | None) -> Computed:
    """What a layer in the place of a function computes."""
    kind = type(layer)
    if kind is keras.layers.Activation:
        return what(layer.activation, shape)
    if kind is keras.layers.Softmax:
        return _OF_KERAS[keras.activations.softmax]
    if kind is keras.layers.ReLU:
        slope, threshold, most = (
            float(value or 0) for value in (layer.negative_slope, layer.threshold, layer.max_value)
        )
        plain = not slope and not threshold and layer.max_value is None
        # Below the threshold it gives slope * (value - threshold).
        never = not slope and threshold >= 0 and most >= 0
        return Computed(elementwise=True, never_negative=never, is_relu=plain)
    if kind in (keras.layers.LeakyReLU, keras.layers.ELU):
        return Computed(elementwise=True)
    if kind is keras.layers.PReLU:
        return Computed()  # each unit has its own slope
    # A trial would build a layer that was never called.
    return _tried(layer, shape) if layer.built else UNKNOWN


# --- What was found before --------------------------------------------------------------------

# For each function by id(): a reference to it, and what it computes, by number of axes.
_memory: dict[int, tuple[weakref.ref[Any], dict[int, Computed]]] = {}


def _lasting(function: Any) -> bool:
    """Whether the function always computes the same. Objects and closures may change, so they are
    tried every time."""
    return isinstance(function, types.FunctionType) and function.__closure__ is None


def _about(function: Any) -> dict[int, Computed]:
    reference, found = _memory.get(id(function), (None, {}))
    return found if reference is not None and reference() is function else {}


def _remembered(function: Any, rank: int) -> Computed | None:
    return _about(function).get(rank)


# --- Trials -----------------------------------------------------------------------------------


def _tried(function: Any, shape: Sequence[int | None] | None) -> Computed:
    """What the function computes, judged by its answers to values with this number of axes; a
    function that refuses small sizes gets the actual sizes."""
    sizes = [size or 8 for size in (shape or (8,))]
    small = [4, 3, 5, 2][: len(sizes) - 1] + [8] if len(sizes) <= 5 else sizes
    for one in (small, sizes):
        found = _tried_on(function, tuple(one))
        if found.known:
            return found
    return UNKNOWN


def _tried_on(function: Any, shape: tuple[int, ...]) -> Computed:
    n_rows = max(2, min(64, _MOST_VALUES // int(np.prod(shape))))
    values = _spread((n_rows, *shape))
    first = _answers(function, values)
    if first is None or not _close(first, _answers(function, values)):
        return UNKNOWN  # the function raises or answers by chance
    elementwise = _is_elementwise(function, values, first)
    finite = np.isfinite(first)
    return Computed(
        elementwise=elementwise,
        normalizes=not elementwise and _weighs(function, values.shape),
        never_negative=bool(np.any(finite) and np.all(first[~np.isnan(first)] >= 0)),
        is_relu=elementwise and _is_relu(function, values, first),
        linear=elementwise and bool(np.all(finite)) and _is_linear(values, first),
    )


def _spread(shape: tuple[int, ...]) -> np.ndarray:
    """float64, values of all sizes and both signs, with 0 and many values near 0, in a random order
    that is always the same."""
    chance = np.random.default_rng(0)
    n_values = int(np.prod(shape))
    near = np.linspace(-6, 6, n_values - n_values // 3)
    far = np.geomspace(1e-3, 1e3, n_values // 3) * np.where(np.arange(n_values // 3) % 2, 1, -1)
    values = chance.permutation(np.concatenate([near, far]))
    values[: min(2, n_values)] = 0
    return values.reshape(shape)


def _is_elementwise(function: Any, values: np.ndarray, answers: np.ndarray) -> bool:
    """Whether a value gets the same answer at another place and beside other values."""
    if answers.shape != values.shape:
        return False
    chance = np.random.default_rng(1)
    order = chance.permutation(values.size)
    moved = _answers(function, values.reshape(-1)[order].reshape(values.shape))
    if moved is None or not _close(moved.reshape(-1), answers.reshape(-1)[order]):
        return False
    stays = chance.random(values.shape) < 0.5
    others = _answers(function, np.where(stays, values, 3 - 2 * values))
    return others is not None and _close(others[stays], answers[stays])


def _weighs(function: Any, shape: tuple[int, ...]) -> bool:
    """Whether the answers, or their exponentials, have the same sum for all inputs, along some axis
    of an image or over the whole image."""
    values = np.random.default_rng(2).normal(0, 2, shape)
    answers = _answers(function, values)
    if answers is None or answers.shape != shape or not np.all(np.isfinite(answers)):
        return False
    axes = [*range(1, len(shape)), tuple(range(1, len(shape)))]
    parts = [answers] if np.all(answers >= -_TOLERANCE) else []
    if np.all(answers <= _TOLERANCE):
        parts.append(np.exp(answers))
    for part in parts:
        for axis in axes:
            sums = part.sum(axis)
            if sums.max() > 0 and np.ptp(sums) <= 1e-3 * sums.max():
                return True
    return False


def _is_relu(function: Any, values: np.ndarray, answers: np.ndarray) -> bool:
    if not np.array_equal(answers, np.maximum(np.float32(values), 0)):
        return False
    extremes = np.zeros(values.shape)
    extremes.reshape(-1)[:4] = (_EXTREME, -_EXTREME, 1e-30, -1e-30)
    found = _answers(function, extremes)
    return found is not None and bool(np.array_equal(found, np.maximum(np.float32(extremes), 0)))


def _is_linear(values: np.ndarray, answers: np.ndarray) -> bool:
    flat, found = values.reshape(-1), answers.reshape(-1)
    low, high = int(np.argmin(flat)), int(np.argmax(flat))
    slope = (found[high] - found[low]) / (flat[high] - flat[low])
    constant = found[np.argmin(np.abs(flat))]
    expected = slope * flat + constant
    size = np.abs(slope * flat) + abs(constant)
    return bool(np.all(np.abs(found - expected) <= _TOLERANCE * size + 1e-12))


def _answers(function: Callable[[Any], Any], values: np.ndarray) -> np.ndarray | None:
    """float64, the function's answers in the first type that it accepts; None if it accepts none or
    returns no numbers."""
    for dtype in _DTYPES:
        try:
            with _at_once(), warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                found = function(keras.ops.convert_to_tensor(values.astype(np.float32), dtype))
                # 16-bit types that NumPy lacks are cast first.
                return np.asarray(
                    keras.ops.convert_to_numpy(keras.ops.cast(found, "float32")), np.float64
                )
        except Exception:  # noqa: S112  a function of the user's own may raise anything
            continue
    return None


@contextlib.contextmanager
def _at_once() -> Iterator[None]:
    """Inside this block functions are computed at once, even while a graph is traced."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.init_scope():
            yield
    elif backend == "jax":
        import jax

        with jax.ensure_compile_time_eval():
            yield
    else:
        yield


def _close(one: np.ndarray, other: np.ndarray | None) -> bool:
    if other is None or one.shape != other.shape:
        return False
    with np.errstate(invalid="ignore"):
        return bool(np.allclose(one, other, rtol=_TOLERANCE, atol=1e-6, equal_nan=True))
