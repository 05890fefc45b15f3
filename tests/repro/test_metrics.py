"""The measures against hand-computed values, limits, and independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk_metrics

from repro.metrics import area_under_curve, class_selectivity, normalized_auc, spearman

MEANS = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 12), st.integers(1, 8)), elements=st.floats(0, 1e6)
)


def test_class_selectivity_by_hand() -> None:
    # One unit: class means 6, 2, 1; the others' mean is 1.5, so (6 - 1.5) / (6 + 1.5) = 0.6.
    assert class_selectivity(np.array([[2.0], [6.0], [1.0]]))[0] == pytest.approx(0.6)


@given(MEANS)
def test_class_selectivity_lies_between_0_and_1(means: np.ndarray) -> None:
    selectivity = class_selectivity(means)
    assert np.all((selectivity >= 0) & (selectivity <= 1))


@given(MEANS, st.floats(1e-3, 1e3))
def test_scale_of_activations_does_not_change_selectivity(means: np.ndarray, scale: float) -> None:
    # Means below about 1e-290 lose digits when scaled.
    means = np.where(means < 1e-200, 0, means)
    np.testing.assert_allclose(
        class_selectivity(scale * means), class_selectivity(means), rtol=1e-9, atol=1e-12
    )


@given(MEANS)
def test_selectivity_does_not_depend_on_the_order_of_classes(means: np.ndarray) -> None:
    np.testing.assert_allclose(
        class_selectivity(means[::-1]), class_selectivity(means), rtol=1e-9, atol=1e-12
    )


def test_limits_of_selectivity() -> None:
    one_class, alike, dead = np.eye(10)[:, :1], np.full((10, 1), 3.0), np.zeros((10, 1))
    found = class_selectivity(np.hstack([one_class, alike, dead]))
    np.testing.assert_array_equal(found, [1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "means", [np.ones((1, 3)), np.ones(3), np.array([[1.0], [-0.1]]), np.array([[1.0], [np.nan]])]
)
def test_means_that_cannot_be_are_refused(means: np.ndarray) -> None:
    with pytest.raises(ValueError, match="class_means must"):
        class_selectivity(means)


def test_auc_equals_scikit_learn(rng: np.random.Generator) -> None:
    n_ablated = np.r_[0, np.sort(rng.choice(np.arange(1, 999), 30, replace=False)), 1000]
    accuracy = rng.random((4, 32))
    expected = [sk_metrics.auc(n_ablated / 1000, row) for row in accuracy]
    np.testing.assert_allclose(area_under_curve(n_ablated, accuracy), expected, rtol=1e-12)


def test_auc_limits() -> None:
    n_ablated = np.arange(5)
    assert area_under_curve(n_ablated, np.full(5, 0.7)) == pytest.approx(0.7)
    assert normalized_auc(n_ablated, np.full(5, 0.7)) == pytest.approx(1.0)


@pytest.mark.parametrize("x", [[1, 2, 3], [0, 2, 2], [0], [0, 3, 1]])
def test_auc_refuses_an_x_that_does_not_increase_from_0(x: list[int]) -> None:
    with pytest.raises(ValueError, match="increase strictly from 0"):
        area_under_curve(np.array(x), np.ones(len(x)))


def test_normalized_auc_needs_an_intact_accuracy() -> None:
    with pytest.raises(ValueError, match="intact accuracy above 0"):
        normalized_auc(np.arange(3), np.array([0.0, 0.1, 0.1]))


def test_spearman_equals_scipy_with_ties(rng: np.random.Generator) -> None:
    x, y = rng.integers(0, 6, 80), rng.integers(0, 6, 80)
    found = spearman(x, y)
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.low < found.rho < found.high
    assert found.n == 80


def test_the_bootstrap_interval_covers_the_truth() -> None:
    """200 samples of 60 pairs of correlation 0.5: binomial s.e. of 95 % coverage is 1.5 %."""
    rng = np.random.default_rng(11)
    truth = 6 / np.pi * np.arcsin(0.25)  # Spearman's rho of a normal pair with correlation 0.5
    covered = 0
    for _ in range(200):
        x, noise = rng.normal(size=(2, 60))
        found = spearman(x, 0.5 * x + np.sqrt(0.75) * noise, resamples=300)
        covered += found.low <= truth <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_spearman_of_a_constant_is_undefined_and_of_nan_refused() -> None:
    assert np.isnan(spearman(np.ones(9), np.arange(9)).rho)
    with pytest.raises(ValueError, match="finite"):
        spearman(np.array([1.0, np.nan, 2.0]), np.arange(3))
