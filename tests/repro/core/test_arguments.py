"""Arguments of a wrong kind are named in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from repro.core.arguments import check_seed, whole_number


@pytest.mark.parametrize("value", [2.0, "2", None, True, [2], 0])
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="^orders must be a whole number, 1 or more; got "):
        whole_number("orders", value, "1 or more", 1)


def test_whole_numbers_of_numpy_are_taken() -> None:
    assert whole_number("orders", np.int32(3), "1 or more", 1) == 3
    assert whole_number("orders", -1, "1 or more") == -1


@pytest.mark.parametrize("value", [-1, 0.5, "x"])
def test_what_is_no_seed_is_refused(value: Any) -> None:
    check_seed(5)
    with pytest.raises(ValueError, match="^seed must be a whole number, 0 or more; got "):
        check_seed(value)
