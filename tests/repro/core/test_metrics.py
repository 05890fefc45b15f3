"""The measures against hand-computed values, limits, and independent implementations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk_metrics

from repro.core.metrics import (
    area_under_curve,
    bin_counts,
    class_drops,
    class_selectivity,
    equal_mass_edges,
    filter_l1_norm,
    held_out_class_drop,
    largest_class_drop,
    mutual_information,
    mutual_information_bias,
    normalized_auc,
    random_basis,
    roc_area,
    spearman,
)

MEANS = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 12), st.integers(1, 8)), elements=st.floats(0, 1e6)
)
# Activations as ReLU units have them, and worse: many zeros, ties, negative values.
ACTIVATIONS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 60), st.integers(1, 4)),
    elements=st.sampled_from([0.0, 0.0, -0.0, -1.5, 0.25, 1.0, 2.0, 3.0]) | st.floats(-1e9, 1e9),
)
COUNTS = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
    elements=st.sampled_from([0, 0, 1, 2, 7]) | st.integers(0, 10_000),
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


def _bins(values: np.ndarray, n_bins: int) -> list[list[float]]:
    """The values of one unit, by bin; found one image at a time through the public functions."""
    column = np.asarray(values, np.float64)[:, None]
    edges = equal_mass_edges(column, n_bins)
    members: list[list[float]] = [[] for _ in range(n_bins)]
    for value in column[:, 0]:
        counts = bin_counts(np.array([[value]]), np.array([0]), edges, 1)
        members[int(counts[0, :, 0].argmax())].append(float(value))
    return members


def test_bins_by_hand() -> None:
    # Two silent images, then six values in three bins, the negative one first.
    members = _bins(np.array([0, 5, -3, 1, 0, 2, 9, 4]), 4)
    assert [sorted(m) for m in members] == [[0, 0], [-3, 1], [2, 4], [5, 9]]


@given(
    hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(-1e300, 1e300), unique=True),
    st.integers(2, 25),
)
def test_bins_of_distinct_values_differ_by_one_image_at_most(
    values: np.ndarray, n_bins: int
) -> None:
    edges = equal_mass_edges(values[:, None], n_bins)
    sizes = bin_counts(values[:, None], np.zeros(len(values), int), edges, 1)[0, :, 0]
    assert sizes[0] == np.sum(values == 0)
    if np.sum(values != 0) >= n_bins - 1:
        assert sizes[1:].max() - sizes[1:].min() <= 1
    else:
        assert sizes[1:].max(initial=0) <= 1


@pytest.mark.parametrize("most", [0, 1, 2])
def test_few_distinct_values_have_a_bin_each_however_unequal_their_mass(most: int) -> None:
    values = np.repeat([1.0, 2.0, -3.0], np.where(np.arange(3) == most, 900, 1))
    members = _bins(np.r_[values, 0, 0], 20)
    assert sorted(len(m) for m in members if m) == [1, 1, 2, 900]
    assert all(len(set(m)) <= 1 for m in members)


def test_a_cut_among_equal_values_moves_to_their_nearer_end() -> None:
    # Ranks 0-3 are below the 92 ones, ranks 96-99 above; cuts wanted at 25, 50 and 75.
    values = np.r_[0.1, 0.2, 0.3, 0.4, np.ones(92), 2, 3, 4, 5]
    members = [len(m) for m in _bins(values, 5)]
    assert members == [0, 4, 92, 4, 0]


@given(ACTIVATIONS, st.integers(2, 12))
def test_every_image_is_counted_once_and_equal_values_share_a_bin(
    values: np.ndarray, n_bins: int
) -> None:
    edges = equal_mass_edges(values, n_bins)
    assert edges.shape == (n_bins - 2, values.shape[1])
    # Each image its own class: the table then says where each image went.
    counts = bin_counts(values, np.arange(len(values)), edges, len(values))
    np.testing.assert_array_equal(counts.sum(axis=1), 1)
    for unit, bins in enumerate(counts.argmax(axis=1)):
        np.testing.assert_array_equal(bins == 0, values[:, unit] == 0)
        active = values[:, unit] != 0
        order = np.argsort(values[active, unit])
        ordered, placed = values[active, unit][order], bins[active][order]
        assert np.all(np.diff(placed) >= 0)
        assert np.all(placed[1:][np.diff(ordered) == 0] == placed[:-1][np.diff(ordered) == 0])


@given(ACTIVATIONS, st.integers(2, 12), st.integers(0, 60), st.randoms(use_true_random=False))
def test_counts_of_batches_add_up_in_any_order(
    values: np.ndarray, n_bins: int, cut: int, random: Any
) -> None:
    labels = np.arange(len(values)) % 3
    edges = equal_mass_edges(values, n_bins)
    order = np.array(random.sample(range(len(values)), len(values)))
    first, second = order[:cut], order[cut:]
    total = bin_counts(values[first], labels[first], edges, 3)
    total += bin_counts(values[second], labels[second], edges, 3)
    np.testing.assert_array_equal(total, bin_counts(values, labels, edges, 3))


def test_neighbouring_floats_are_still_told_apart() -> None:
    values = np.array([1.0, np.nextafter(1.0, 2.0), 5e-324, 1.5e-323, -1.7e308, 1.7e308])
    assert [len(m) for m in _bins(values, 7)] == [0, 1, 1, 1, 1, 1, 1]


def test_rounding_noise_of_another_pass_moves_no_image(rng: np.random.Generator) -> None:
    values = rng.gamma(1.0, size=(500, 8)).astype(np.float32)
    edges, labels = equal_mass_edges(values, 20), rng.integers(0, 4, 500)
    # Two units in the last place. Gaps of 500 gamma values are far wider near most cuts; the
    # closest of these 8 x 18 is checked to be wider than the noise.
    noisy = np.nextafter(np.nextafter(values, np.float32(np.inf)), np.float32(np.inf))
    gaps = np.abs(values.T[:, :, None] - edges.T[:, None, :]).min(axis=1)
    assert np.all(gaps > 4 * np.spacing(edges.T.astype(np.float32)))
    np.testing.assert_array_equal(
        bin_counts(noisy, labels, edges, 4), bin_counts(values, labels, edges, 4)
    )


def test_dead_units_have_one_bin_and_no_information() -> None:
    values, labels = np.zeros((30, 2)), np.arange(30) % 3
    edges = equal_mass_edges(values, 20)
    assert np.all(np.isposinf(edges))
    counts = bin_counts(values, labels, edges, 3)
    np.testing.assert_array_equal(counts[:, 0], 10)
    np.testing.assert_array_equal(mutual_information(counts), 0)
    np.testing.assert_array_equal(mutual_information_bias(counts), 0)


def test_without_images_there_is_nothing_to_count() -> None:
    nothing = np.zeros((0, 2))
    counts = bin_counts(nothing, np.zeros(0, int), equal_mass_edges(nothing, 5), 3)
    assert counts.shape == (2, 5, 3) and not counts.any()
    np.testing.assert_array_equal(mutual_information(counts), 0)
    np.testing.assert_array_equal(mutual_information_bias(counts), 0)


def test_mutual_information_by_hand() -> None:
    # p = [[3/8, 1/8], [1/8, 3/8]], margins 1/2: 2 (3/8) log2(3/2) + 2 (1/8) log2(1/2).
    found = mutual_information(np.array([[[3, 1], [1, 3]]]))
    assert found[0] == pytest.approx(0.75 * np.log2(1.5) - 0.25, rel=1e-12)


def test_mutual_information_equals_scikit_learn(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 10, 400)
    values = np.maximum(rng.normal(size=(400, 12)) + 0.2 * labels[:, None] * (np.arange(12) % 3), 0)
    edges = equal_mass_edges(values, 20)
    found = mutual_information(bin_counts(values, labels, edges, 10))
    for unit in range(12):
        bins = np.where(values[:, unit] == 0, 0, 1 + np.digitize(values[:, unit], edges[:, unit]))
        nats = sk_metrics.mutual_info_score(labels, bins)
        assert found[unit] == pytest.approx(nats / np.log(2), rel=1e-9)


@given(COUNTS)
def test_mutual_information_is_the_sum_of_entropies_minus_the_joint(counts: np.ndarray) -> None:
    def entropy(table: np.ndarray) -> np.ndarray:
        flat = table.reshape(len(table), -1).astype(float)
        return stats.entropy(flat + (flat.sum(axis=1) == 0)[:, None], base=2, axis=1)

    expected = entropy(counts.sum(axis=2)) + entropy(counts.sum(axis=1)) - entropy(counts)
    # A table without images was given equal counts above, of which this is no test.
    some = counts.sum(axis=(1, 2)) > 0
    np.testing.assert_allclose(mutual_information(counts)[some], expected[some], atol=1e-9)


@given(COUNTS)
def test_mutual_information_and_its_bias_stay_in_range(counts: np.ndarray) -> None:
    found = mutual_information(counts)
    classes = np.maximum((counts.sum(axis=1) > 0).sum(axis=1), 1)
    bins = np.maximum((counts.sum(axis=2) > 0).sum(axis=1), 1)
    assert np.all((found >= 0) & (found <= np.log2(np.minimum(bins, classes))))
    assert np.all(mutual_information_bias(counts) >= 0)


@given(COUNTS, st.randoms(use_true_random=False))
def test_names_of_bins_and_classes_carry_no_information(counts: np.ndarray, random: Any) -> None:
    _, n_bins, n_classes = counts.shape
    bins, classes = random.sample(range(n_bins), n_bins), random.sample(range(n_classes), n_classes)
    renamed = counts[:, bins][:, :, classes]
    for measure in (mutual_information, mutual_information_bias):
        np.testing.assert_allclose(measure(renamed), measure(counts), rtol=1e-9, atol=1e-12)


@given(COUNTS, st.integers(2, 50))
def test_more_images_alike_change_only_the_bias(counts: np.ndarray, times: int) -> None:
    np.testing.assert_allclose(
        mutual_information(times * counts), mutual_information(counts), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        mutual_information_bias(times * counts), mutual_information_bias(counts) / times, rtol=1e-12
    )


@pytest.mark.parametrize("n_classes", [2, 6, 10, 13])  # 6 and 13 would end just above
def test_a_unit_that_names_the_class_knows_log2_of_the_classes(n_classes: int) -> None:
    found = mutual_information(7 * np.eye(n_classes, dtype=int)[None])[0]
    assert np.log2(n_classes) - 1e-15 <= found <= np.log2(n_classes)


def test_rounding_never_makes_information_negative() -> None:
    # One image from independence: the plain sum is -2e-16.
    counts = [[73427797, 821340, 2299752], [6452892, 72180, 202104], [63635814, 711810, 1993068]]
    assert 0 <= mutual_information(np.array([counts]))[0] < 1e-12


def test_the_bias_is_what_shuffled_labels_show(rng: np.random.Generator) -> None:
    """400 independent units; the s.d. of one estimate is near bias * sqrt(2 / 171) = 11 %.

    So the standard error of their mean is 0.5 %. The next term of the expansion in 1 / N adds a
    few per cent at 2,000 images, because the smallest cells expect only 5 of them.
    """
    values = np.maximum(rng.normal(size=(2000, 400)), 0)
    labels = rng.permutation(np.arange(2000) % 10)
    counts = bin_counts(values, labels, equal_mass_edges(values, 20), 10)
    expected = mutual_information_bias(counts)
    np.testing.assert_allclose(expected, 19 * 9 / (2 * 2000 * np.log(2)))
    assert mutual_information(counts).mean() == pytest.approx(expected.mean(), rel=0.05)


@pytest.mark.parametrize(
    ("values", "n_bins", "sentence"),
    [
        (np.ones(4), 5, "values must have shape"),
        (np.ones((4, 2, 2, 3)), 5, "average feature maps"),
        (np.array([[np.nan]]), 5, "values must be finite"),
        (np.array([[np.inf]], np.float32), 5, "values must be finite"),
        (np.ones((4, 2)), 1, "n_bins must be 2 or more"),
    ],
)
def test_values_that_cannot_be_binned_are_refused(
    values: np.ndarray, n_bins: int, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        equal_mass_edges(values, n_bins)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"values": np.ones(4)}, "values must have shape"),
        ({"values": np.full((4, 2), np.nan)}, "values must be finite"),
        ({"labels": np.array([0, 1, 2])}, "labels must be 4 integers"),
        ({"labels": np.array([0.0, 1.0, 2.0, 0.0])}, "labels must be 4 integers"),
        ({"labels": np.array([0, 1, 2, 3])}, "labels must lie in 0 .. 2"),
        ({"labels": np.array([0, 1, 2, -1])}, "labels must lie in 0 .. 2"),
        ({"edges": np.ones((3, 1))}, "edges must have shape"),
        ({"edges": np.ones(2)}, "edges must have shape"),
        ({"edges": np.array([[1.0, 2.0], [2.0, 1.0]])}, "edges must not decrease"),
        ({"edges": np.array([[1.0, np.nan]])}, "edges must not decrease"),
    ],
)
def test_what_cannot_be_counted_is_refused(changed: dict[str, Any], sentence: str) -> None:
    arguments: dict[str, Any] = {
        "values": np.ones((4, 2)),
        "labels": np.array([0, 1, 2, 0]),
        "edges": np.array([[1.0, 1.0], [np.inf, 2.0], [np.inf, 2.0]]),
        "n_classes": 3,
    }
    bin_counts(**arguments)
    with pytest.raises(ValueError, match=sentence):
        bin_counts(**arguments | changed)


@pytest.mark.parametrize("measure", [mutual_information, mutual_information_bias])
@pytest.mark.parametrize("counts", [np.ones((2, 3)), np.array([[[1, -1]]]), np.zeros(())])
def test_counts_that_cannot_be_are_refused(measure: Any, counts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="counts must have shape"):
        measure(counts)


def test_class_drops_equal_accuracies_counted_image_by_image(rng: np.random.Generator) -> None:
    labels = rng.integers(0, 4, 90)  # of five classes; the last one has no image
    intact, lesioned = rng.integers(0, 5, 90), rng.integers(0, 5, (6, 90))
    intact_correct = np.bincount(labels[intact == labels], minlength=5)
    n_correct = np.stack([np.bincount(labels[p == labels], minlength=5) for p in lesioned])
    found = class_drops(intact_correct, n_correct, np.bincount(labels, minlength=5))
    for c in range(4):
        members = labels == c
        drop = np.mean(intact[members] == c) - np.mean(lesioned[:, members] == c, axis=1)
        np.testing.assert_allclose(found[:, c], drop, atol=1e-15)
    np.testing.assert_array_equal(found[:, 4], np.nan)  # of no image nothing is known
    np.testing.assert_array_equal(largest_class_drop(found), [max(row) for row in found])


def test_the_mean_class_drop_is_the_drop_of_accuracy_where_classes_are_balanced(
    rng: np.random.Generator,
) -> None:
    intact, lesioned = rng.integers(0, 51, 10), rng.integers(0, 51, (7, 10))
    drops = class_drops(intact, lesioned, np.full(10, 50))
    np.testing.assert_allclose(drops.mean(axis=1), (intact.sum() - lesioned.sum(axis=1)) / 500)


@pytest.mark.parametrize(
    ("intact", "lesioned", "images", "sentence"),
    [
        ([1, 2], [[1, 2, 3]], [5, 5], "must have shape"),
        ([1, 2], [1, 2], [5, 5], "must have shape"),
        ([1, 2, 3], [[1, 2]], [5, 5], "must have shape"),
        ([6, 2], [[1, 2]], [5, 5], "intact_correct must lie"),
        ([1, 2], [[1, 6]], [5, 5], "n_correct must lie"),
        ([1, 2], [[1, -1]], [5, 5], "n_correct must lie"),
        ([1, 1], [[1, 0]], [5, 0], "intact_correct must lie"),
    ],
)
def test_drops_of_impossible_counts_are_refused(
    intact: list[int], lesioned: list[Any], images: list[int], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        class_drops(np.array(intact), np.array(lesioned), np.array(images))


@pytest.mark.parametrize("drops", [np.ones(3), np.ones((3, 0))])
def test_largest_drop_needs_a_table_with_classes(drops: np.ndarray) -> None:
    with pytest.raises(ValueError, match="drops must have shape"):
        largest_class_drop(drops)


def test_a_held_out_class_drop_is_0_on_average_for_a_unit_that_hurts_no_class(
    rng: np.random.Generator,
) -> None:
    first, second = rng.normal(0, 0.02, (2, 4000, 10))
    assert largest_class_drop(first).mean() > 0.025  # the largest of ten, by chance
    # The mean of 4,000 units with two draws each: s.d. 0.02 / sqrt(8,000) = 0.0002.
    assert abs(held_out_class_drop(first, second).mean()) < 0.001
    # A class that loses 30 % is the one that both halves choose.
    first[:, 3] += 0.3
    second[:, 3] += 0.3
    assert held_out_class_drop(first, second).mean() == pytest.approx(0.3, abs=0.001)


@pytest.mark.parametrize(
    ("first", "second"), [((3,), (3,)), ((3, 0), (3, 0)), ((3, 2), (2, 2)), ((3, 2), (3, 4))]
)
def test_held_out_drops_need_two_tables_of_one_shape(
    first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="drops must have the same shape"):
        held_out_class_drop(np.ones(first), np.ones(second))


@pytest.mark.parametrize("shape", [(7, 4), (3, 3, 7, 4), (5, 7, 4)])
def test_filter_l1_norm_equals_numpys_norm_of_each_filter(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> None:
    kernel = rng.normal(size=shape).astype(np.float32)
    expected = [np.linalg.norm(kernel[..., u].astype(float).ravel(), ord=1) for u in range(4)]
    np.testing.assert_allclose(filter_l1_norm(kernel), expected, rtol=1e-12)


def test_filter_l1_norm_of_what_is_no_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel must have shape"):
        filter_l1_norm(np.ones(3))
    with pytest.raises(ValueError, match="kernel must be finite"):
        filter_l1_norm(np.array([[1.0, np.nan]]))


@pytest.mark.parametrize("n", [1, 2, 17, 128])
def test_a_random_basis_is_orthonormal_and_reproducible(n: int) -> None:
    basis = random_basis(n, np.random.default_rng(5))
    np.testing.assert_allclose(basis.T @ basis, np.eye(n), atol=1e-12)
    np.testing.assert_array_equal(basis, random_basis(n, np.random.default_rng(5)))


def test_random_bases_are_haar(rng: np.random.Generator) -> None:
    """20,000 bases of R^3: entries have mean 0 and variance 1/3, the trace mean 0 and variance 1.

    Standard errors: at most 0.005 of an entry's mean, 0.007 of the trace's, 0.01 of its variance.
    The plain Q of LAPACK has diagonals of one sign, which puts its mean trace near -0.5.
    """
    bases = np.stack([random_basis(3, rng) for _ in range(20_000)])
    traces = np.trace(bases, axis1=1, axis2=2)
    np.testing.assert_allclose(bases.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose((bases**2).mean(axis=0), 1 / 3, atol=0.01)
    assert traces.mean() == pytest.approx(0, abs=0.03)
    assert traces.var() == pytest.approx(1, abs=0.05)
    assert np.mean(np.linalg.det(bases) > 0) == pytest.approx(0.5, abs=0.02)
    # The first entry of a random unit vector of R^3 is uniform on [-1, 1] (Archimedes).
    assert stats.kstest(bases[:, 0, 0], stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_a_random_basis_has_a_direction() -> None:
    with pytest.raises(ValueError, match="n must be 1 or more"):
        random_basis(0, np.random.default_rng(0))


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


# --- Classes without images --------------------------------------------------------------------


# 1Konny/class_selectivity_index: images of some of the classes
def test_classes_without_images_do_not_count_in_selectivity(rng: np.random.Generator) -> None:
    means = rng.gamma(1.0, size=(10, 30))
    counts = np.array([0, 5, 0, 3, 0, 0, 1, 0, 0, 9])
    present = means[counts > 0]
    best = np.sort(present, axis=0)
    rest = best[:-1].mean(axis=0)
    expected = (best[-1] - rest) / (best[-1] + rest)
    np.testing.assert_allclose(class_selectivity(means, counts), expected, rtol=1e-12)
    means[counts == 0] = 0  # whatever stands there
    np.testing.assert_allclose(class_selectivity(means, counts), expected, rtol=1e-12)
    np.testing.assert_array_equal(
        class_selectivity(means, np.ones(10, int)), class_selectivity(means)
    )


def test_a_constant_unit_is_not_selective_whatever_classes_occur() -> None:
    means, counts = np.full((10, 2), 3.0), np.array([4, 4, 4, 0, 0, 0, 0, 0, 0, 0])
    means[3:] = 0
    assert class_selectivity(means, counts).tolist() == [0, 0]


@pytest.mark.parametrize("counts", [[0, 7, 0], [0, 0, 0]])
def test_one_class_alone_gives_no_selectivity(counts: list[int]) -> None:
    assert np.isnan(class_selectivity(np.ones((3, 4)), np.array(counts))).all()


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, -1], [[1, 2, 3]]])
def test_counts_that_do_not_fit_the_means_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="class_counts must be 3 numbers of images"):
        class_selectivity(np.ones((3, 4)), np.array(counts))


def test_a_class_without_images_is_never_the_one_that_loses_most() -> None:
    drops = class_drops(np.array([8, 0]), np.array([[9, 0], [4, 0]]), np.array([10, 0]))
    np.testing.assert_allclose(drops, [[-0.1, np.nan], [0.4, np.nan]])
    np.testing.assert_allclose(largest_class_drop(drops), [-0.1, 0.4])
    assert np.isnan(largest_class_drop(np.full((2, 3), np.nan))).all()


def test_mutual_information_is_the_same_by_blocks_and_without_absent_classes(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from repro.core import metrics

    counts = rng.integers(0, 9, (40, 6, 5)).astype(np.int32)
    whole = metrics.mutual_information(counts), metrics.mutual_information_bias(counts)
    padded = np.zeros((40, 6, 900), np.int32)
    padded[:, :, ::180] = counts
    monkeypatch.setattr(metrics, "_BLOCK", 7 * 30)  # seven units at a time, the last five alone
    np.testing.assert_array_equal(metrics.mutual_information(counts), whole[0])
    np.testing.assert_array_equal(metrics.mutual_information_bias(counts), whole[1])
    np.testing.assert_allclose(metrics.mutual_information(padded), whole[0], rtol=1e-12)
    np.testing.assert_array_equal(metrics.mutual_information_bias(padded), whole[1])


def test_roc_area_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(3)
    scores, positive = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.3
    wins = np.sign(scores[positive][:, None] - scores[~positive]) / 2 + 0.5
    assert roc_area(scores, positive) == pytest.approx(wins.mean())
    assert roc_area(-scores, positive) == pytest.approx(1 - wins.mean())
    assert roc_area(np.exp(scores), positive) == roc_area(scores, positive)
    assert np.isnan(roc_area(scores, np.ones(40, bool)))
    assert np.isnan(roc_area(np.full(2, np.nan), np.array([True, False])))
