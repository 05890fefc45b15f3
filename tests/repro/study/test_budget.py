"""How much of a study fits into a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from repro.engine.engine import Engine
from repro.study import budget
from repro.study.budget import UNITS_BEFORE_IMAGES, Pace

# A large convolutional network: 50 ms an image and lesion, 40 s to compile.
SLOW = Pace(image=0.05, lesion=0.05, order=0.0, point=0.05, compilation=40.0)
# A dense one.
FAST = Pace(image=1e-6, lesion=1e-7, order=1e-5, point=0.0, compilation=0.1)
N_IMAGES, N_UNITS, N_LAYERS = 10_000, 2000, 10


def within(seconds: float, pace: Pace = SLOW) -> budget.Plan:
    return budget.within(pace, seconds, N_IMAGES, N_UNITS, N_LAYERS)


def test_a_dense_network_is_studied_whole() -> None:
    plan = within(600, FAST)
    assert plan == budget.everything(FAST, N_IMAGES, N_UNITS)
    assert (plan.n_images, plan.n_units, plan.curve_images) == (N_IMAGES, N_UNITS, N_IMAGES)


@pytest.mark.parametrize("seconds", [120, 300, 600, 3600, 36_000, 360_000])
def test_a_plan_fits_into_its_time_and_uses_most_of_it(seconds: float) -> None:
    plan = within(seconds)
    assert 0.5 * seconds - 60 < plan.seconds < seconds
    lesions = plan.n_images * (SLOW.image + plan.n_units * SLOW.lesion)
    steps = plan.curve_images * plan.orders * plan.points * SLOW.point
    last = steps + plan.n_images * budget.LESIONS_BESIDES * SLOW.point
    if plan.n_images >= 50:
        last += plan.n_images * min(plan.n_units, budget.TESTED) * SLOW.lesion
    assert plan.seconds == pytest.approx(SLOW.compilation + lesions + last)
    assert plan.last_seconds == pytest.approx(last)


def test_every_unit_comes_before_more_images() -> None:
    for seconds in (120, 600, 3600, 8000, 16_000, 50_000, 500_000):
        plan = within(seconds)
        assert plan.n_units == N_UNITS or plan.n_images <= UNITS_BEFORE_IMAGES
    assert within(500_000).n_units == N_UNITS and within(600).n_units < N_UNITS


def test_more_time_never_gives_less() -> None:
    plans = [within(seconds) for seconds in np.geomspace(50, 2e6, 40)]
    for less, more in zip(plans, plans[1:], strict=False):
        assert more.n_images >= less.n_images and more.n_units >= less.n_units
        assert more.orders * more.points >= less.orders * less.points
    assert plans[-1].n_images == N_IMAGES


def test_there_is_a_little_of_everything_even_without_any_time() -> None:
    plan = within(1)
    assert plan.n_images >= 10 and plan.n_units == 4 * N_LAYERS and plan.points >= 2
    assert plan.curve_images >= 10 and plan.seconds > 1
    tiny = budget.within(SLOW, 1, n_images=3, n_units=5, n_layers=4)
    assert (tiny.n_images, tiny.n_units, tiny.curve_images) == (3, 5, 3)


def test_a_network_is_measured_by_lesioning_it(
    tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    before = tiny_mlp.get_weights()
    pairs: list[int] = []
    engine = Engine(tiny_mlp, *tiny_images, on_progress=pairs.append)
    pace = budget.measure(engine, *tiny_images)
    assert pace.image > 0 and pace.lesion > 0 and pace.order + pace.point > 0
    assert sum(pairs) > 0
    assert all(np.array_equal(a, b) for a, b in zip(before, tiny_mlp.get_weights(), strict=True))
    # A network of 40 units on 230 images: far less than a second, whatever the machine.
    assert budget.everything(pace, 230, 40).seconds - pace.compilation < 10


class Clock:
    """The clock of a machine on which everything that is timed takes a minute."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 30
        return self.now


@pytest.mark.parametrize("seconds", [0.0, 600.0, np.inf])
def test_measuring_ends_when_its_time_is_up(
    seconds: float,
    tiny_mlp: Any,
    tiny_images: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One layer is tried in any case; the curve only where there is time."""
    asked: list[str] = []
    for name in ("single_units", "cumulative"):
        work = getattr(Engine, name)
        monkeypatch.setattr(
            Engine, name, lambda *a, _w=work, _n=name, **b: (asked.append(_n), _w(*a, **b))[1]
        )
    monkeypatch.setattr(budget, "time", Clock())
    pace = budget.measure(Engine(tiny_mlp, *tiny_images), *tiny_images, seconds)
    n_layers = 1 if seconds == 0 else 2
    assert asked.count("single_units") == n_layers + 1
    assert asked.count("cumulative") == {0.0: 0, 600.0: 2, np.inf: 4}[seconds]
    assert pace.point > 0 or seconds == np.inf
    # Compiling one layer of two is taken for half of it.
    first, again, share = 30.0 * n_layers, 30.0, n_layers / 2
    assert pace.compilation == pytest.approx((first - again) / share)
