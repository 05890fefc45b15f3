"""The walk along a curve, against float64 computations of single points: no drift, the bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.core import metrics
from repro.engine import walk
from repro.engine.counts import Counts
from repro.engine.passes import TIE, TOP
from repro.engine.walk import Layer
from tests.helpers import plain


def random_layers(
    rng: np.random.Generator, sizes: Sequence[int], bases: Sequence[np.ndarray | None] = ()
) -> list[Layer]:
    """Layers between masks of these sizes and the classes, with activations near 1."""
    bases = [*bases, *[None] * len(sizes)]
    return [
        Layer(
            rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)).astype(np.float32),
            rng.normal(0, 0.3, n_out).astype(np.float32),
            basis,
        )
        for n_in, n_out, basis in zip(sizes[:-1], sizes[1:], bases, strict=False)
    ]


def exact_logits(
    layers: Sequence[Layer],
    activations: np.ndarray,
    ablated: np.ndarray,
    fills: Sequence[np.ndarray],
) -> np.ndarray:
    """Float64 logits with these units clamped, computed from the beginning."""
    x, start = activations.astype(np.float64), 0
    for layer, fill in zip(layers, fills, strict=True):
        clamped = ablated[start : start + len(fill)]
        start += len(fill)
        x = np.where(clamped, fill.astype(np.float64), x)
        x = x @ layer.kernel.astype(np.float64) + layer.bias
        if start < len(ablated):
            x = np.maximum(x, 0)
            x = x if layer.basis is None else x @ layer.basis.astype(np.float64)
    return x


def walked(layers: Sequence[Layer], *arguments: Any, **options: Any) -> Counts:
    return walk.walk(layers, *arguments, tie=TIE, top=TOP, **options)


def assert_counts(found: Counts, expected: plain.Counts, n_images: int, rtol: float = 1e-5) -> None:
    """Counts of one lesion, but for images that tie."""
    assert np.abs(found.n_correct - expected.n_correct).sum() <= found.n_tied
    assert abs(found.n_top - expected.n_top5) <= expected.fifth_tied
    assert expected.surely_tied <= found.n_tied <= expected.perhaps_tied
    np.testing.assert_allclose(found.loss_sum, expected.loss_sum, rtol=rtol, atol=1e-6 * n_images)


def assert_points_are_exact(
    layers: Sequence[Layer],
    activations: np.ndarray,
    labels: np.ndarray,
    orders: np.ndarray,
    n_ablated: np.ndarray,
    fills: Sequence[np.ndarray],
    rtol: float = 1e-5,
    n_units: int = 0,
) -> None:
    """n_units: of the network, where orders do not name all."""
    points = walked(layers, activations, labels, orders, n_ablated, fills)
    for row, order in enumerate(orders):
        for point, n in enumerate(n_ablated):
            ablated = np.isin(np.arange(n_units or orders.shape[1]), order[:n])
            expected = plain.counts(exact_logits(layers, activations, ablated, fills), labels)
            assert_counts(points[row, point], expected, len(labels), rtol)


def setting(
    rng: np.random.Generator, sizes: Sequence[int], n_images: int, filled: bool
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Activations of the first mask as ReLU gives them, labels, fills."""
    activations = np.maximum(rng.normal(size=(n_images, sizes[0])), 0).astype(np.float32)
    labels = rng.integers(0, sizes[-1], n_images)
    fills = [np.full(size, 0.4 * filled) * rng.random(size) for size in sizes[:-1]]
    return activations, labels, [fill.astype(np.float32) for fill in fills]


@pytest.mark.parametrize("filled", [False, True])
def test_a_curve_of_4096_units_does_not_drift(filled: bool) -> None:
    rng = np.random.default_rng(1)
    sizes = (2048, 2048, 10)
    layers = random_layers(rng, sizes)
    activations, labels, fills = setting(rng, sizes, 24, filled)
    order = rng.permutation(4096)
    points = np.array([0, 1, 7, 500, 2048, 3500, 4000, 4090, 4095, 4096])
    assert_points_are_exact(layers, activations, labels, order[None], points, fills)


def test_the_far_end_of_the_walk_keeps_the_bound_of_a_sum() -> None:
    """The intact network is where the walk arrives last, after one step for each of 4,096 units.

    Bound of the module: n_units * 2**-24 times the sum of the terms' magnitudes, for each logit,
    carried through the second layer. The loss of one image moves by at most twice as much.
    """
    rng = np.random.default_rng(2)
    sizes = (2048, 2048, 10)
    layers = random_layers(rng, sizes)
    activations, _, fills = setting(rng, sizes, 1, True)
    order = rng.permutation(4096)
    first, second = (np.abs(layer.kernel).astype(np.float64) for layer in layers)
    change = np.abs(activations[0]) + 2 * fills[0]
    error_first = 2048 * 2.0**-24 * (change @ first + np.abs(layers[0].bias))
    hidden = np.maximum(activations.astype(np.float64) @ layers[0].kernel + layers[0].bias, 0)[0]
    terms = (np.abs(hidden) + 2 * fills[1]) @ second + np.abs(layers[1].bias)
    bound = (error_first @ second + 2048 * 2.0**-24 * terms).max()
    exact = exact_logits(layers, activations, np.zeros(4096, bool), fills)
    for label in (0, 4, 9):
        labels = np.array([label])
        points = walked(layers, activations, labels, order[None], np.array([0]), fills)
        expected = plain.counts(exact, labels).loss_sum
        assert abs(points.loss_sum[0, 0] - expected) < 2 * bound
        # In practice roundings cancel: errors are far below the bound.
        assert abs(points.loss_sum[0, 0] - expected) < 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize("sizes", [(12, 4), (9, 7, 3), (8, 6, 5, 7), (5, 1, 6, 2, 8)])
@pytest.mark.parametrize("filled", [False, True])
def test_every_point_at_every_depth(sizes: tuple[int, ...], filled: bool) -> None:
    rng = np.random.default_rng(3)
    activations, labels, fills = setting(rng, sizes, 40, filled)
    n_units = sum(sizes[:-1])
    orders = np.stack([rng.permutation(n_units), np.arange(n_units), np.arange(n_units)[::-1]])
    every = np.arange(n_units + 1)
    assert_points_are_exact(random_layers(rng, sizes), activations, labels, orders, every, fills)


def test_every_point_along_directions() -> None:
    rng = np.random.default_rng(4)
    sizes = (8, 6, 5, 7)
    bases = [metrics.random_basis(size, rng).astype(np.float32) for size in sizes[1:3]]
    activations, labels, fills = setting(rng, sizes, 40, True)
    orders = np.stack([rng.permutation(19), rng.permutation(19)])
    layers = random_layers(rng, sizes, bases)
    assert_points_are_exact(layers, activations, labels, orders, np.arange(20), fills)


def test_points_come_in_the_order_asked_and_blocks_and_threads_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(5)
    sizes = (9, 7, 6)
    layers = random_layers(rng, sizes)
    activations, labels, fills = setting(rng, sizes, 53, True)
    orders = np.stack([rng.permutation(16) for _ in range(3)])
    every = walked(layers, activations, labels, orders, np.arange(17), fills, threads=1)
    monkeypatch.setattr(walk, "BLOCK", 10)
    pairs: list[int] = []
    grid = np.array([16, 3, 0, 3])
    some = walked(
        layers, activations, labels, orders, grid, fills, threads=3, on_progress=pairs.append
    )
    np.testing.assert_array_equal(some.n_correct, every.n_correct[:, grid])
    np.testing.assert_array_equal(some.n_top, every.n_top[:, grid])
    np.testing.assert_array_equal(some.n_tied, every.n_tied[:, grid])
    np.testing.assert_allclose(some.loss_sum, every.loss_sum[:, grid], rtol=1e-6)
    assert sum(pairs) == 53 * 3 * 4


def test_a_unit_that_reads_its_fill_anyhow_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    sizes = (6, 5, 4)
    layers = random_layers(rng, sizes)
    activations, labels, fills = setting(rng, sizes, 20, True)
    activations[:, 2] = fills[0][2]
    order = np.array([[2, *(unit for unit in range(11) if unit != 2)]])
    points = walked(layers, activations, labels, order, np.array([0, 1]), fills)
    np.testing.assert_array_equal(points.n_correct[0, 0], points.n_correct[0, 1])
    assert points.loss_sum[0, 0] == points.loss_sum[0, 1]


def test_one_class_is_always_right() -> None:
    rng = np.random.default_rng(7)
    layers = random_layers(rng, (4, 1))
    activations, labels, fills = setting(rng, (4, 1), 6, False)
    points = walked(layers, activations, labels, np.arange(4)[None], np.arange(5), fills)
    assert np.all(points.n_correct == 6) and np.all(points.loss_sum == 0)
    assert np.all(points.n_tied == 0)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_every_unit_alone_is_a_fresh_computation(data: st.DataObject) -> None:
    """Any depth, odd sizes, wide layers that go through BLAS, bases, fills, units in any order."""
    sizes = [
        *data.draw(st.lists(st.sampled_from((1, 2, 3, 5, 9, 60)), min_size=1, max_size=4)),
        data.draw(st.sampled_from((1, 2, 3, 10, 51))),
    ]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    bases = [
        metrics.random_basis(size, rng).astype(np.float32) if data.draw(st.booleans()) else None
        for size in sizes[1:-1]
    ]
    layers = random_layers(rng, sizes, bases)
    n_images = data.draw(st.integers(1, 40))
    activations, labels, fills = setting(rng, sizes, n_images, data.draw(st.booleans()))
    n_units = sum(sizes[:-1])
    units = rng.permutation(n_units)[: data.draw(st.integers(1, n_units))]
    threads = data.draw(st.integers(1, 3))
    points = walk.single_units(
        layers, activations, labels, units, fills, tie=TIE, top=TOP, threads=threads
    )
    for place, unit in enumerate(units):
        ablated = np.arange(n_units) == unit
        expected = plain.counts(exact_logits(layers, activations, ablated, fills), labels)
        assert_counts(points[place], expected, n_images)


def test_a_curve_may_leave_units_alone() -> None:
    rng = np.random.default_rng(9)
    sizes = (6, 5, 3)
    layers = random_layers(rng, sizes)
    arguments = setting(rng, sizes, 30, True)
    orders = np.stack([rng.permutation(11)[:4] for _ in range(3)])
    assert_points_are_exact(
        layers, *arguments[:2], orders, np.array([4, 0, 2]), arguments[2], n_units=11
    )


def test_a_loss_beyond_float32s_exponent_is_right_and_a_nan_is_not_hidden() -> None:
    layers = [Layer(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))]
    activations = np.array([[300.0, 0, 0], [0, 40, 0]], np.float32)
    fills = [np.zeros(3, np.float32)]

    def losses(activations: np.ndarray) -> np.ndarray:
        labels = np.array([1, 1])
        return walked(
            layers, activations, labels, np.arange(3)[None], np.array([0, 3]), fills
        ).loss_sum[0]

    np.testing.assert_allclose(losses(activations), [300, 2 * np.log(3)], rtol=1e-6)
    activations[0, 0] = np.nan
    assert np.isnan(losses(activations)[0])


@pytest.mark.parametrize("n_classes", [2, 1000])
def test_the_product_of_many_losses_does_not_overflow(n_classes: int) -> None:
    n_images = 5000
    layers = [Layer(np.ones((1, n_classes), np.float32), np.zeros(n_classes, np.float32))]
    points = walked(
        layers,
        np.ones((n_images, 1), np.float32),
        np.zeros(n_images, int),
        np.zeros((1, 1), int),
        np.array([0]),
        [np.zeros(1, np.float32)],
    )
    np.testing.assert_allclose(points.loss_sum, n_images * np.log(n_classes), rtol=1e-6)
    assert points.n_correct[0, 0, 0] == n_images == points.n_tied[0, 0]
