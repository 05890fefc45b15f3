"""What the benchmark of training makes of its timings."""

from __future__ import annotations

import doctest

import pytest

from benchmarks import training


def process(*epochs: float, networks: int = 1) -> dict[str, object]:
    cpu = [2 * seconds for seconds in epochs]
    return {"epoch_s": list(epochs), "cpu_s": cpu, "networks": networks, "accuracy": 0.5}


def test_the_first_epoch_is_start_and_the_median_of_the_others_counts() -> None:
    found = training.summary([process(10, 4, 3, 50, 4)])
    assert found["network_epoch_s"] == 4 and found["start_s"] == 6
    assert found["network_epoch_cpu_s"] == 8


def test_networks_side_by_side_share_the_seconds() -> None:
    found = training.summary([process(9, 4, 4), process(9, 6, 6)])
    assert found["network_epoch_s"] == 2.5 and found["network_epoch_cpu_s"] == 10
    assert training.summary([process(9, 4, 4, networks=8)])["network_epoch_s"] == 0.5


def test_the_table_has_a_row_for_each_way_and_says_what_is_missed() -> None:
    task = {
        "network_epoch_s": {"plain": 3.0, "ours": 2.0, "together": 0.5},
        "network_epoch_cpu_s": {"plain": 6.0, "ours": 3.0, "together": 1.0},
        "ratios": {"plain": 1.0, "ours": 1.5, "together": 6.0},
        "cpu_ratios": {"plain": 1.0, "ours": 2.0, "together": 6.0},
    }
    rows = training.table({"tasks": {"mlp128": task}}).splitlines()[2:]
    assert rows[1] == "| `mlp128` | ours | 2.000 | 1.50 (**below 2**) | 3.000 | 2.00 |"
    assert len(rows) == 3 and "below" not in rows[0] + rows[2]


def test_a_process_that_fails_is_an_error_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="ours failed on mlp128"):
        training.one_turn("ours", "mlp128", 1, 1)


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(training).failed == 0
