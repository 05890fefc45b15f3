"""What the benchmark of ResNet50 measures, here on a small network, and what it makes of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks import resnet50, subjects
from benchmarks.ablation import Disagreement
from benchmarks.subjects import Subject
from repro import mlp
from tests.helpers import plain

SIZE = resnet50.Size(images=20, units=3, layers=("hidden_1", "hidden_2"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Subject:
    """Takes the place of ResNet50."""
    rng = np.random.default_rng(0)
    model = mlp((4, 3), 5, (8, 9))
    plain.randomise(model, rng)
    images = rng.random((20, 4, 3), dtype=np.float32)
    subject = Subject(model, images, rng.integers(0, 5, 20).astype(np.int32), "noise")
    monkeypatch.setattr(subjects, "keras_resnet50", lambda *given: subject)
    return subject


def test_units_spread_over_each_layer_are_timed_by_both(small: Subject) -> None:
    found = resnet50.measure(SIZE, 2)
    assert list(found["layers"]) == ["hidden_1", "hidden_2"] and found["data"] == "noise"
    for row, width in zip(found["layers"].values(), (8, 9), strict=True):
        assert (row["units"], row["width"]) == (3, width)
        assert len(row["engine_s"]) == len(row["forward_s"]) == 2


def test_two_that_answer_differently_are_not_timed(
    small: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from repro.engine.engine import Engine

    answer = Engine.single_units

    def wrong(engine: Engine, **given: object) -> object:
        outcome = answer(engine, **given)
        return dataclasses.replace(outcome, loss_sum=outcome.loss_sum * 1.01)

    monkeypatch.setattr(Engine, "single_units", wrong)
    with pytest.raises(Disagreement, match="hidden_1 finds a summed loss"):
        resnet50.measure(SIZE, 1)


def test_the_table_gives_milliseconds_a_unit_and_medians() -> None:
    row = {
        "width": 2048,
        "units": 10,
        "engine_s": [9.0, 0.5, 0.4],
        "engine_first_s": 4.0,
        "forward_s": [2.0, 2.5, 9.0],
        "engine_cpu_s": [0.5, 0.5, 0.5],
        "forward_cpu_s": [2.0, 2.0, 2.0],
    }
    report = {"images": 64, "side": 32, "layers": {"conv": row}}
    heads, _, line = resnet50.table(report).splitlines()
    assert "64 images of 32 × 32" in heads
    assert line == "| `conv` | 2,048 | 50 | 250 | **5.0** | 4.0 | 4.0 s |"
