"""Arguments of the public functions, refused in one sentence where they are of a wrong kind."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def whole_number(name: str, value: Any, may: str, least: int | None = None) -> int:
    """The argument as an int.

    Args:
        name: of the argument. may: what it may be, for the sentence, such as "1 or more".
        least: the smallest number allowed; None if the caller checks the range.

    Raises:
        ValueError: it is no whole number, or a smaller one.

    >>> whole_number("orders", np.int64(3), "1 or more", 1)
    3
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        raise ValueError(f"{name} must be a whole number, {may}; got {value!r}")
    return number


def check_seed(value: Any) -> None:
    """Refuses what NumPy takes for no seed.

    Raises:
        ValueError: it is no seed.
    """
    try:
        np.random.default_rng(value)
    except (TypeError, ValueError):
        raise ValueError(f"seed must be a whole number, 0 or more; got {value!r}") from None
