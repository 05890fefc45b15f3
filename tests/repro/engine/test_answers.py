"""One place chooses the way in which lesions are answered, by network and lesion alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.engine import answers
from repro.engine.counts import Outcome
from repro.engine.engine import Engine
from repro.engine.layout import Layout
from repro.engine.lesions import NO_UNIT, AnyUnits, Curves, Lesions, SingleUnits
from tests.helpers import small

N = 40


@pytest.fixture(scope="module")
def engines() -> dict[str, Engine]:
    rng = np.random.default_rng(2)
    images = rng.normal(size=(N, 6, 5, 2)).astype(np.float32)
    labels = rng.integers(0, 3, N)
    return {
        kind: Engine(small.two_masked_layers((6, 5, 2), kind, 3), images, labels)
        for kind in ("relu", "tanh", "convolutions")
    }


SINGLE = SingleUnits(np.arange(11), 11)
CURVE = Curves(np.arange(11)[None], np.arange(12), 11)
ANY = AnyUnits(np.arange(11) != np.array([[0], [7]]))


@pytest.mark.parametrize(
    ("kind", "lesions", "expected"),
    [
        ("relu", SINGLE, "ByWalk"),
        ("relu", CURVE, "ByWalk"),
        ("relu", ANY, "ByRows"),
        ("tanh", SINGLE, "ByRows"),
        ("tanh", CURVE, "ByRows"),
        ("convolutions", SINGLE, "ByRows"),
        ("convolutions", CURVE, "ByReturn"),
        ("convolutions", Curves(np.arange(6, 11)[None], np.arange(6), 11), "ByRows"),
    ],
)
def test_the_way_is_chosen_by_network_and_lesions(
    engines: dict[str, Engine], kind: str, lesions: Lesions, expected: str
) -> None:
    if expected == "ByReturn" and keras.backend.backend() != "tensorflow":
        pytest.skip("XLA answers curves by rows")
    engine = engines[kind]
    assert type(answers.way_of(engine._runner, engine.layout, lesions)).__name__ == expected


def same_bits(found: Outcome, expected: Outcome) -> None:
    for name in ("n_correct", "loss_sum", "n_top5", "n_tied"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("kind", ["relu", "tanh", "convolutions"])
def test_the_same_lesion_has_the_same_answer_whichever_question_asked(
    engines: dict[str, Engine], kind: str
) -> None:
    engine = engines[kind]
    fill = np.random.default_rng(3).normal(size=11)
    every = engine.single_units(fill)
    keep = np.ones((13, 11), bool)
    keep[np.arange(11), np.arange(11)] = False
    keep[11] = False  # all units; the last lesion is none
    found = engine.evaluate(keep, fill)
    same_bits(taken(found, slice(11)), every)
    same_bits(taken(found, slice(12, 13)).reshape(), engine.intact())
    same_bits(engine.evaluate(keep[:11], fill), every)


@pytest.mark.parametrize("kind", ["relu", "tanh", "convolutions"])
def test_no_lesion_at_all_and_orders_of_no_unit_are_answered(
    engines: dict[str, Engine], kind: str
) -> None:
    engine = engines[kind]
    assert engine.evaluate(np.ones((0, 11), bool)).loss.shape == (0,)
    assert engine.single_units(units=np.array([], int)).n_correct.shape == (0, 3)
    found = engine.cumulative(np.empty((2, 0), int))
    np.testing.assert_allclose(found.loss, engine.intact().loss.repeat(2)[:, None], rtol=1e-6)


def taken(outcome: Outcome, lesions: slice) -> Outcome:
    return Outcome(
        outcome.n_correct[lesions],
        outcome.loss_sum[lesions],
        outcome.n_top5[lesions],
        outcome.n_tied[lesions],
        outcome.n_images,
    )


LAYOUT = Layout((("a", 3), ("b", 1), ("c", 4)))


@given(st.lists(st.lists(st.booleans(), min_size=8, max_size=8), min_size=1, max_size=300))
def test_lesions_are_sorted_by_the_layer_at_which_they_begin(kept: list[list[bool]]) -> None:
    lesions = AnyUnits(np.array(kept))
    begins = lesions.sort(LAYOUT)
    seen: list[int] = []
    for layer, (numbers, units) in begins.single.items():
        for number, unit in zip(numbers, units, strict=True):
            assert np.flatnonzero(~lesions.kept[number]) == [LAYOUT.starts[layer] + unit]
        seen += numbers.tolist()
    for layer, numbers in begins.many.items():
        for number in numbers:
            clamped = np.flatnonzero(~lesions.kept[number])
            assert len(clamped) > 1 and LAYOUT.layer_of(clamped[:1]) == [layer]
        seen += numbers.tolist()
    assert sorted(seen) == np.flatnonzero(~lesions.kept.all(axis=1)).tolist()


@given(st.lists(st.integers(NO_UNIT, 7), min_size=1, max_size=20))
def test_single_units_are_sorted_as_the_sets_that_they_are(units: list[int]) -> None:
    single = SingleUnits(np.array(units), 8)
    sets = AnyUnits(single.keep(np.arange(len(units))))
    found, expected = single.sort(LAYOUT), sets.sort(LAYOUT)
    assert found.many == {} and found.single.keys() == expected.single.keys()
    for layer, parts in expected.single.items():
        for part, other in zip(parts, found.single[layer], strict=True):
            np.testing.assert_array_equal(part, other)
    np.testing.assert_array_equal(sets.as_single().units, single.units)


@given(st.permutations(range(8)), st.lists(st.integers(0, 8), min_size=1, max_size=12))
def test_a_point_of_a_curve_clamps_the_first_units_of_its_order(
    order: list[int], n_ablated: list[int]
) -> None:
    curves = Curves(np.array([order, order[::-1]]), np.array(n_ablated), 8)
    kept = curves.keep(np.arange(np.prod(curves.shape))).reshape(*curves.shape, 8)
    for point, n in enumerate(n_ablated):
        assert set(np.flatnonzero(~kept[0, point])) == set(order[:n])
        assert set(np.flatnonzero(~kept[1, point])) == set(order[::-1][:n])
