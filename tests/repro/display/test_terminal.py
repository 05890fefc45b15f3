"""What the commands show while they work."""

from __future__ import annotations

import numpy as np
import pytest

from repro.display.terminal import bar


@pytest.mark.parametrize("seed", range(20))
def test_parts_that_add_up_to_more_than_the_whole_by_a_rounding_fill_the_bar(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole run ended with tqdm's warning of a clamped fraction, and with "-00:00" left."""
    parts = np.random.default_rng(seed).random(50).tolist()
    with bar(sum(sorted(parts))) as one:
        one.mininterval = 0  # draws at each step
        for part in parts:
            one.update(part)
        one.update(0.1)
        assert one.n == one.total
    said = capsys.readouterr().err
    assert "100%" in said and "<-" not in said
