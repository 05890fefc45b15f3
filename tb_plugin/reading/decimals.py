"""Numbers of a reply, as short as they can be written."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Numbers up to so many are printed one by one.
FEW_NUMBERS = 100


def shortest(values: np.ndarray) -> list[Any]:
    """Shortest decimals that are the same float32 again: 0.9, not 0.8999999761581421.

    JSON has no NaN or infinity; they become None. Nested lists for several axes.
    """
    return _decimals(values).tolist()


def shortest_of(arrays: Sequence[np.ndarray]) -> list[list[Any]]:
    """`shortest` of each array, computed at once: every NumPy call has a cost."""
    if not arrays:
        return []
    ends = np.cumsum([array.size for array in arrays])
    parts = np.split(_decimals(np.concatenate([array.ravel() for array in arrays])), ends[:-1])
    return [part.reshape(array.shape).tolist() for part, array in zip(parts, arrays, strict=True)]


def _decimals(values: np.ndarray) -> np.ndarray:
    """float64 of the same shape; objects if some values are None."""
    single = np.asarray(values).astype(np.float32)
    finite = np.isfinite(single)
    if single.size <= FEW_NUMBERS:
        decimals = single.astype(str).astype(np.float64)
    else:
        decimals = _rounded_alike(np.where(finite, single, np.float32(0)))
    if finite.all():
        return decimals
    answer = decimals.astype(object)
    answer[~finite] = None
    return answer


def _rounded_alike(single: np.ndarray) -> np.ndarray:
    """The decimals that printing each float32 gives. Rounding all at once is many times faster."""
    wide = single.astype(np.float64)
    decimals, open_ = wide.copy(), np.ones(single.shape, bool)
    for places in range(10):
        rounded = np.round(wide, places)
        fits = open_ & (rounded.astype(np.float32) == single)
        decimals[fits] = rounded[fits]
        open_ &= ~fits
    # The few very small numbers that need more places are printed.
    decimals[open_] = single[open_].astype(str).astype(np.float64)
    return decimals
