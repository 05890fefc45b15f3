"""What the benchmark of the callback makes of its timings."""

from __future__ import annotations

from benchmarks import callback


def turn(epoch: float, own: float | None) -> dict[str, list[float]]:
    """A fit of three epochs; the first of each takes longer and must not count."""
    callback_s = [] if own is None else [7.0, own, own]
    return {
        "epoch_s": [99.0, epoch, epoch],
        "epoch_cpu_s": [150.0, 2 * epoch, 2 * epoch],
        "callback_s": callback_s,
        "callback_cpu_s": callback_s,
    }


def test_epochs_are_scaled_and_the_callback_is_not() -> None:
    turns = [turn(2.0, None), turn(2.2, 0.4), turn(2.0, None), turn(2.2, 0.4)]
    found = callback.summary(turns, n_train=500, n_images=1000)
    assert found["epoch_s"] == 4.0 and found["epoch_with_s"] == 4.4
    assert found["callback_s"] == 0.4 and found["first_s"] == 7.0
    assert found["share"] == 0.1 and found["cpu_share"] == 0.05


def test_the_table_says_what_is_missed_and_what_was_scaled() -> None:
    turns = [turn(2.0, None), turn(2.0, 0.2)]
    report = {
        "tasks": {
            "cheap": callback.summary(turns, 500, 5000),
            "dear": callback.summary(turns, 500, 500),
        }
    }
    _, _, cheap, dear = callback.table(report).splitlines()
    assert "1.0% |" in cheap and "from 500 of 5,000 images" in cheap
    assert "10.0% (**5 % or more**)" in dear and "from" not in dear
