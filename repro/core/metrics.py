"""The paper's measures, as pure functions of arrays (NumPy and SciPy only).

Section numbers are those of Morcos et al., ICLR 2018 (arXiv:1803.06959). Sums are float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

# Significance level of the test that an accuracy is above chance.
_ABOVE_CHANCE = 0.001

# So many counts are converted to float64 at a time: 16 MB.
_BLOCK = 2_000_000


def class_selectivity(
    class_means: np.ndarray, class_counts: np.ndarray | None = None
) -> np.ndarray:
    """Class selectivity index of every unit (paper section 2.3).

    (mu_max - mu_rest) / (mu_max + mu_rest), where mu_max is the unit's largest
    class-conditional mean activation and mu_rest the mean of the other classes' means.
    0: responds alike to all classes. 1: driven by one class only.

    Args:
        class_means: float (n_classes, n_units), mean post-ReLU activation over the images of
            each class, never negative; feature maps are averaged over space first.
        class_counts: int (n_classes,), images of each class. Classes without images do not count,
            whatever their class_means. None: every class has images.

    Returns:
        float64 (n_units,) in [0, 1]; 0 for a unit silent on every class, as in the paper's
        footnote. Callers count those and say how many. NaN where class_counts leaves fewer than
        two classes: there is no other class to compare with.

    Raises:
        ValueError: fewer than two classes, or a negative or non-finite mean.

    >>> class_selectivity(np.array([[4.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
    array([1., 0., 0.])
    >>> class_selectivity(np.array([[3.0], [0.0], [1.0]]), np.array([5, 0, 5]))
    array([0.5])
    """
    means = np.asarray(class_means, np.float64)
    if class_counts is not None:
        occurs = _occurs(class_counts, len(means))
        if means.ndim == 2 and np.count_nonzero(occurs) < 2:
            return np.full(means.shape[1], np.nan)
        if not occurs.all():
            means = means[occurs]
    if means.ndim != 2 or means.shape[0] < 2:
        raise ValueError(
            "class_means must have shape (n_classes >= 2, n_units). "
            f"Received: shape {np.shape(class_means)}"
        )
    if not np.all(np.isfinite(means)) or means.min(initial=0.0) < 0:
        raise ValueError(
            "class_means must be finite and never negative: class selectivity is defined for "
            f"activations after a ReLU. Received: smallest {np.min(means)}, largest {np.max(means)}"
        )
    largest = means.max(axis=0)
    rest = (means.sum(axis=0) - largest) / (means.shape[0] - 1)
    # By rounding, the rest may be just below 0, or just above the largest if all means are equal.
    rest = np.clip(rest, 0.0, largest)
    total = largest + rest
    return np.divide(largest - rest, total, out=np.zeros_like(total), where=total > 0)


def _occurs(class_counts: np.ndarray, n_classes: int) -> np.ndarray:
    """bool (n_classes,), which classes have images."""
    counts = np.asarray(class_counts)
    if counts.shape != (n_classes,) or np.any(counts < 0):
        raise ValueError(
            f"class_counts must be {n_classes} numbers of images, one a class, never negative. "
            f"Received: shape {counts.shape}"
        )
    return counts > 0


def equal_mass_edges(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Where to cut each unit's activations for `mutual_information` (paper appendix A.5).

    The paper does not say how it estimates mutual information; the bins are our choice. Bin 0
    holds exact zeros, the silent images of a ReLU. The unit's other values are cut into
    n_bins - 1 bins of equal mass: a value v other than 0 lies in bin 1 + (number of edges <= v).
    Equal values always share a bin, so a cut that would fall among them moves to their nearer
    end. A unit with no more distinct values than bins has a bin for each of them.

    Args:
        values: float (n_images, n_units), finite, of either sign; feature maps are averaged over
            space first.
        n_bins: bins in all, 2 or more; 20 unless a figure says otherwise.

    Returns:
        float64 (n_bins - 2, n_units), never decreasing along a unit. Edges lie halfway between
        two values, so rounding noise in a later pass moves no image to another bin. Cuts that a
        unit does not need are +inf: all of them for a dead unit.

    Raises:
        ValueError: values of another shape or not finite, or fewer than two bins.

    >>> equal_mass_edges(np.array([[0.0], [1.0], [2.0], [5.0], [7.0]]), n_bins=3)
    array([[3.5]])
    """
    values = _activations(values)
    if n_bins < 2:
        raise ValueError(
            f"n_bins must be 2 or more, one of them for exact zeros. Received: n_bins={n_bins}"
        )
    edges = np.full((n_bins - 2, values.shape[1]), np.inf)
    # Zeros become infinite, so that they are sorted behind the values to cut.
    by_unit = np.where(values.T == 0, values.dtype.type(np.inf), values.T)
    by_unit.sort(axis=1)
    n_active = np.isfinite(by_unit).sum(axis=1)
    for unit, (ordered, n) in enumerate(zip(by_unit, n_active, strict=True)):
        active = ordered[:n].astype(np.float64)
        cuts = _equal_mass_cuts(active, n_bins - 2)
        below, above = active[cuts - 1], active[cuts]
        middle = below / 2 + above / 2
        # Between neighbouring floats there is no middle.
        between = (below < middle) & (middle <= above)
        edges[: len(cuts), unit] = np.where(between, middle, above)
    return edges


def _equal_mass_cuts(ordered: np.ndarray, n_cuts: int) -> np.ndarray:
    """Ranks at which to cut sorted values into n_cuts + 1 parts of about equal size."""
    allowed = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(allowed) <= n_cuts:
        return allowed
    wanted = len(ordered) * np.arange(1, n_cuts + 1) // (n_cuts + 1)
    after = np.minimum(np.searchsorted(allowed, wanted), len(allowed) - 1)
    before = np.maximum(after - 1, 0)
    nearer_before = wanted - allowed[before] < allowed[after] - wanted
    return np.unique(allowed[np.where(nearer_before, before, after)])


def bin_counts(
    values: np.ndarray, labels: np.ndarray, edges: np.ndarray, n_classes: int
) -> np.ndarray:
    """How many images of each class fall into each bin of each unit (paper appendix A.5).

    Counts of batches add up to the counts of all their images, so a large data set can be
    streamed once its edges are known.

    Args:
        values: float (n_images, n_units), finite.
        labels: int (n_images,), in 0 .. n_classes - 1.
        edges: float (n_bins - 2, n_units), as `equal_mass_edges` gives them.
        n_classes: how many classes there are, whether or not this batch shows them all.

    Returns:
        int32 (n_units, n_bins, n_classes), summing to n_images in every unit.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, labels out of range,
            edges that decrease or are NaN.

    >>> counts = bin_counts(
    ...     np.array([[0.0], [2.0], [5.0]]), np.array([0, 0, 1]), np.array([[3.5]]), 2
    ... )
    >>> counts.tolist()
    [[[1, 0], [1, 0], [0, 1]]]
    """
    values, labels, edges = _activations(values), np.asarray(labels), np.asarray(edges, np.float64)
    n_images, n_units = values.shape
    if labels.shape != (n_images,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be {n_images} integers, one an image. "
            f"Received: {labels.dtype} of shape {labels.shape}"
        )
    if n_images and not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(
            f"labels must lie in 0 .. {n_classes - 1}. "
            f"Received: smallest {labels.min()}, largest {labels.max()}"
        )
    if edges.ndim != 2 or edges.shape[1] != n_units:
        raise ValueError(
            f"edges must have shape (n_bins - 2, {n_units}), a column for each unit of values. "
            f"Received: shape {edges.shape}"
        )
    if np.isnan(edges).any() or not np.all(edges[1:] >= edges[:-1]):
        raise ValueError("edges must not decrease along a unit, nor be NaN")
    n_bins = edges.shape[0] + 2
    counts = np.empty((n_units, n_bins * n_classes), np.int32)
    labels = labels.astype(np.int64)
    columns = np.ascontiguousarray(values.T, np.float64)
    for unit, column in enumerate(columns):
        bins = 1 + np.searchsorted(edges[:, unit], column, side="right")
        bins[column == 0] = 0
        counts[unit] = np.bincount(bins * n_classes + labels, minlength=counts.shape[1])
    return counts.reshape(n_units, n_bins, n_classes)


def _activations(values: np.ndarray) -> np.ndarray:
    """Checked (n_images, n_units); float32 stays as it is, the rest becomes float64."""
    values = np.asarray(values)
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    if values.ndim != 2:
        raise ValueError(
            f"values must have shape (n_images, n_units). Received: shape {values.shape}; "
            "average feature maps over space first"
        )
    if not np.all(np.isfinite(values)):
        raise ValueError("values must be finite: an activation is NaN or infinite")
    return values


def mutual_information(counts: np.ndarray) -> np.ndarray:
    """Mutual information of each unit's binned activation and the class (Fig. 6b, A.5).

    sum over bins b and classes c of p(b, c) log2(p(b, c) / (p(b) p(c))), with the observed
    frequencies as p (the plug-in estimate) and 0 log 0 = 0. It is biased upwards, by about
    `mutual_information_bias`, which is not subtracted here.

    Args:
        counts: int (n_units, n_bins, n_classes), never negative, as `bin_counts` gives them.

    Returns:
        float64 (n_units,), in bits, from 0 to log2 of the classes (or the bins) that occur. 0 for
        a dead unit, whose images share one bin, and for a unit without any images.

    Raises:
        ValueError: counts of another shape, or a negative one.

    >>> mutual_information(np.array([[[5, 0], [0, 5]], [[5, 5], [0, 0]]]))
    array([1., 0.])
    """
    return _by_block(counts, _information)


def _information(table: np.ndarray) -> np.ndarray:
    by_bin, by_class = table.sum(axis=2, keepdims=True), table.sum(axis=1, keepdims=True)
    n_images = table.sum(axis=(1, 2), keepdims=True)
    # p(b, c) / (p(b) p(c)): products of counts are exact, so independence gives exactly 1.
    ratio = np.divide(table * n_images, by_bin * by_class, out=np.ones_like(table), where=table > 0)
    bits = (table * np.log2(ratio)).sum(axis=(1, 2)) / np.maximum(n_images[:, 0, 0], 1)
    most = np.log2(np.maximum(np.minimum(*_occupied(table)), 1))
    return np.clip(bits, 0.0, most)


def mutual_information_bias(counts: np.ndarray) -> np.ndarray:
    """Bias of `mutual_information`: its mean for a unit that knows nothing (Miller 1955).

    (bins - 1) (classes - 1) / (2 N ln 2): the expected plug-in estimate, to first order in 1 / N,
    if activation and class were independent; bins and classes are those that occur among the
    unit's N images. A shuffle of the labels estimates the same thing.

    Args and errors as `mutual_information`.

    Returns:
        float64 (n_units,), in bits, never negative; 0 for a dead unit and without images.

    >>> counts = np.full((1, 20, 10), 50)  # 19 * 9 / (2 * 10,000 ln 2)
    >>> mutual_information_bias(counts).round(4)
    array([0.0123])
    """
    return _by_block(counts, _bias)


def _bias(table: np.ndarray) -> np.ndarray:
    bins, classes = _occupied(table)
    freedom = np.maximum(bins - 1, 0) * np.maximum(classes - 1, 0)
    return freedom / (2 * np.maximum(table.sum(axis=(1, 2)), 1) * np.log(2))


def _by_block(counts: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """float64 (n_units,), a measure of float64 tables; at most `_BLOCK` numbers are converted at a
    time."""
    counts = np.asarray(counts)
    if counts.ndim != 3 or not np.all(counts >= 0):
        raise ValueError(
            "counts must have shape (n_units, n_bins, n_classes) and never be negative. "
            f"Received: shape {counts.shape}, smallest {counts.min(initial=0)}"
        )
    found = np.empty(len(counts))
    step = max(1, _BLOCK // max(1, counts.shape[1] * counts.shape[2]))
    for start in range(0, len(counts), step):
        part = slice(start, start + step)
        found[part] = measure(counts[part].astype(np.float64))
    return found


def _occupied(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many bins and how many classes have images: two arrays (n_units,)."""
    return (table.sum(axis=2) > 0).sum(axis=1), (table.sum(axis=1) > 0).sum(axis=1)


def class_drops(
    intact_correct: np.ndarray, n_correct: np.ndarray, class_counts: np.ndarray
) -> np.ndarray:
    """Accuracy that each class loses when one unit is ablated (Zhou et al. 2018, arXiv:1806.02891).

    d_uc = accuracy on class c of the intact network - of the network without unit u. Its mean
    over balanced classes is the drop of overall accuracy.

    Args:
        intact_correct: int (n_classes,), correct images of each class, no unit ablated.
        n_correct: int (n_units, n_classes), the same with each unit ablated alone.
        class_counts: int (n_classes,), images of each class.

    Returns:
        float64 (n_units, n_classes), in [-1, 1], above 0 where the unit helped the class; NaN for
        a class without images.

    Raises:
        ValueError: shapes that do not fit, or more correct images than there are.

    >>> class_drops(np.array([8, 9]), np.array([[4, 9], [8, 10]]), np.array([10, 10]))
    array([[ 0.4,  0. ],
           [ 0. , -0.1]])
    """
    intact, without_unit = np.asarray(intact_correct), np.asarray(n_correct)
    images = np.asarray(class_counts)
    shapes_fit = without_unit.ndim == 2 and intact.shape == images.shape == without_unit.shape[1:]
    if not shapes_fit:
        raise ValueError(
            "intact_correct and class_counts must have shape (n_classes,), n_correct "
            f"(n_units, n_classes). Received: {intact.shape}, {images.shape}, {without_unit.shape}"
        )
    for name, correct in (("intact_correct", intact), ("n_correct", without_unit)):
        if np.any((correct < 0) | (correct > images)):
            raise ValueError(f"{name} must lie between 0 and the class's count of images")
    lost = intact.astype(np.float64) - without_unit
    return np.divide(lost, images, out=np.full_like(lost, np.nan), where=images > 0)


def largest_class_drop(drops: np.ndarray) -> np.ndarray:
    """Accuracy lost by the class that a unit's ablation hurts most (Zhou et al. 2018).

    M_u = max over classes of d_uc. M_u is a maximum of noisy numbers, so it is above 0 for a unit
    that only flips a few images. Compare units with each other, or choose the class on other images
    (`held_out_class_drop`).

    Args:
        drops: float (n_units, n_classes), as `class_drops` gives them; NaN is never the largest.

    Returns:
        float64 (n_units,), in [-1, 1]; NaN where all drops are.

    Raises:
        ValueError: drops of another shape, or without a class.

    >>> largest_class_drop(np.array([[0.5, 0.0], [-0.2, -0.1]]))
    array([ 0.5, -0.1])
    """
    drops = np.asarray(drops, np.float64)
    if drops.ndim != 2 or drops.shape[1] == 0:
        raise ValueError(
            f"drops must have shape (n_units, n_classes >= 1). Received: shape {drops.shape}"
        )
    largest = np.where(np.isnan(drops), -np.inf, drops).max(axis=1)
    return np.where(np.isneginf(largest), np.nan, largest)


def held_out_class_drop(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Accuracy lost by the class that a unit's ablation hurts most, without the maximum's bias.

    The class is chosen on one half of the images and its drop measured on the other half; the
    result is the mean of both ways round. A unit that no class needs has 0 on average, while
    `largest_class_drop` is above 0 by chance. If the halves choose different classes, the result is
    below M_u.

    Args:
        first, second: float (n_units, n_classes), `class_drops` on each half of the images, of
            classes that have images in both.

    Returns:
        float64 (n_units,), in [-1, 1].

    Raises:
        ValueError: drops of another shape, of different shapes, or without a class.

    >>> held_out_class_drop(np.array([[0.5, 0.1]]), np.array([[0.3, 0.4]]))
    array([0.2])
    """
    halves = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if halves[0].ndim != 2 or halves[0].shape[1] == 0 or halves[0].shape != halves[1].shape:
        raise ValueError(
            "drops must have the same shape (n_units, n_classes >= 1) on both halves. Received: "
            f"shapes {halves[0].shape}, {halves[1].shape}"
        )
    units = np.arange(len(halves[0]))
    ways = (halves, halves[::-1])
    return np.mean([other[units, one.argmax(axis=1)] for one, other in ways], axis=0)


def filter_l1_norm(kernel: np.ndarray) -> np.ndarray:
    """L1 norm of the weights that come into each unit (paper appendix A.4, after Li et al. 2017).

    Sum of |w| over all inputs and, for a convolution, all positions of the filter. Biases do not
    count.

    Args:
        kernel: float, finite: (n_in, n_units) of a dense layer, (..., n_in, n_units) of a
            convolution, as Keras stores them. Not of a depthwise convolution, whose units are
            spread over two axes.

    Returns:
        float64 (n_units,), never negative. Layers of other fan-in have other scales: compare
        units within a layer.

    Raises:
        ValueError: fewer than two axes, or weights that are not finite.

    >>> filter_l1_norm(np.array([[1.0, 0.0], [-2.0, 0.5]]))
    array([3. , 0.5])
    """
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim < 2:
        raise ValueError(
            f"kernel must have shape (..., n_in, n_units). Received: shape {kernel.shape}"
        )
    if not np.all(np.isfinite(kernel)):
        raise ValueError("kernel must be finite: a weight is NaN or infinite")
    return np.abs(kernel).sum(axis=tuple(range(kernel.ndim - 1)))


def random_basis(n: int, rng: np.random.Generator) -> np.ndarray:
    """Random orthonormal directions, all equally likely: a Haar rotation (Zhou et al. 2018).

    The Q of a Gaussian matrix's QR factors, each column with the sign that makes R's diagonal
    positive. Otherwise the signs would follow the factorisation's convention.

    Args:
        n: units of the layer, 1 or more.
        rng: generator of the Gaussian matrix.

    Returns:
        float64 (n, n), orthogonal; column i is direction i. Determinants of both signs occur.

    Raises:
        ValueError: n below 1.

    >>> basis = random_basis(3, np.random.default_rng(0))
    >>> bool(np.allclose(basis.T @ basis, np.eye(3)))
    True
    """
    if n < 1:
        raise ValueError(f"n must be 1 or more. Received: n={n}")
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.where(np.diagonal(r) < 0, -1.0, 1.0)


def area_under_curve(n_ablated: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Area under cumulative ablation curves: raw AUC (paper section 3.2; normaliser our choice).

    Trapezoid over x = fraction of units ablated, so a network that never loses accuracy has its
    intact accuracy as AUC.

    Args:
        n_ablated: int (n_points,), strictly increasing from 0 to the number of units.
        accuracy: float (..., n_points), accuracy in [0, 1] after so many ablations.

    Returns:
        float64 (...), in [0, 1].

    Raises:
        ValueError: x does not start at 0 or does not increase, or the shapes differ.

    >>> float(area_under_curve(np.array([0, 2, 4]), np.array([1.0, 0.5, 0.0])))
    0.5
    """
    x = np.asarray(n_ablated, np.float64)
    y = np.asarray(accuracy, np.float64)
    if x.ndim != 1 or len(x) < 2 or x[0] != 0 or np.any(np.diff(x) <= 0):
        raise ValueError(
            "n_ablated must increase strictly from 0 and have two points or more. "
            f"Received: {np.asarray(n_ablated)}"
        )
    if y.shape[-1:] != x.shape:
        raise ValueError(
            f"accuracy must have one value for each of the {len(x)} points of n_ablated. "
            f"Received: shape {y.shape}"
        )
    return np.trapezoid(y, x / x[-1], axis=-1)


def above_chance(n_correct: int, n_images: int, chance: float) -> bool:
    """Whether an accuracy is above chance: more images are correct than chance explains.

    One-sided binomial test at 0.001, a small level because the test is made after every epoch.

    Args:
        chance: accuracy of the best constant answer, the share of the commonest class. Random
            answers have less.

    >>> above_chance(60, 500, 0.1), above_chance(80, 500, 0.1), above_chance(500, 500, 1.0)
    (False, True, False)
    """
    return bool(stats.binom.sf(n_correct - 1, n_images, chance) < _ABOVE_CHANCE)


def normalized_auc(n_ablated: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """AUC of the curve divided by its intact accuracy (docs/paper.md, "Area under the curve", b).

    1: no accuracy is lost before the last unit. Low: the network relies on single directions.

    Args and errors as `area_under_curve`; the intact accuracy must be above 0.

    >>> float(normalized_auc(np.array([0, 2, 4]), np.array([0.8, 0.4, 0.0])))
    0.5
    """
    intact = np.asarray(accuracy, np.float64)[..., 0]
    if np.any(intact <= 0):
        raise ValueError(
            "normalized AUC needs an intact accuracy above 0. "
            f"Received: accuracy before ablation {intact}"
        )
    return area_under_curve(n_ablated, accuracy) / intact


def auc_above_chance(n_ablated: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """The part of the curve's accuracy above its end that stays on average (docs/paper.md, "Area
    under the curve", c).

    (AUC - a) / (b - a), where b is the intact accuracy and a that of the last point, with every
    unit ablated. 1: no accuracy is lost before the last unit. 0: all that can be lost is lost with
    the first one.

    Args and errors as `area_under_curve`.

    Returns:
        float64, one a curve; NaN where the last point is as accurate as the first or more.

    >>> float(auc_above_chance(np.array([0, 2, 4]), np.array([0.9, 0.5, 0.1])))
    0.5
    """
    values = np.asarray(accuracy, np.float64)
    area = area_under_curve(n_ablated, values)
    lost = values[..., 0] - values[..., -1]
    return np.where(lost > 0, (area - values[..., -1]) / np.where(lost > 0, lost, 1.0), np.nan)


class Correlation(NamedTuple):
    """Spearman's rho with a percentile bootstrap interval.

    rho, low and high are NaN where either variable is constant or n < 3.
    """

    rho: float
    low: float
    high: float
    n: int
    p_value: float


def spearman(
    x: np.ndarray,
    y: np.ndarray,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Correlation:
    """Spearman rank correlation, with a bootstrap interval over the pairs (paper section 3.4).

    Args:
        x, y: float (n,), finite.
        confidence: coverage of the interval, in (0, 1).
        resamples: bootstrap draws; 2000 put the ends of a 95 % interval within about 0.01
            for n = 256.
        seed: seed of the bootstrap, so that a report is reproducible.

    Raises:
        ValueError: different lengths, or values that are not finite.

    >>> round(spearman(np.arange(9.0), np.arange(9.0) ** 3).rho, 6)
    1.0
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x and y must be vectors of one length. Received: {x.shape}, {y.shape}")
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise ValueError("x and y must be finite; leave out undefined units first")
    n = len(x)
    if n < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(np.nan, np.nan, np.nan, n, np.nan)
    rho, p_value = stats.spearmanr(x, y)
    draws = np.random.default_rng(seed).integers(0, n, size=(resamples, n))
    rhos = _row_correlation(stats.rankdata(x[draws], axis=1), stats.rankdata(y[draws], axis=1))
    low, high = np.nanquantile(rhos, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Correlation(float(rho), float(low), float(high), n, float(p_value))


def _row_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation of each row of a with that row of b; NaN where a row is constant."""
    a = a - a.mean(axis=1, keepdims=True)
    b = b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(len(a), np.nan), where=scale > 0)


def roc_area(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative.

    It is Mann and Whitney's U over the number of pairs; equal scores count one half.

    Args:
        scores: float (n,). positive: bool (n,).

    Returns:
        In [0, 1], 0.5 for a score that tells nothing; NaN without a positive or without a negative,
        and for scores that are not numbers.

    >>> roc_area(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, True, False, True]))
    0.875
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    n = int(positive.sum())
    pairs = n * (len(positive) - n)
    if not pairs or np.isnan(scores).any():
        return float("nan")
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / pairs)


def mean_and_sd(values: np.ndarray, axis: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample standard deviation (n - 1); the s.d. of a single value is NaN.

    >>> [float(value) for value in mean_and_sd(np.array([1.0, 2.0, 3.0]))]
    [2.0, 1.0]
    """
    values = np.asarray(values, np.float64)
    mean = values.mean(axis=axis)
    if values.shape[axis] < 2:
        return mean, np.full_like(mean, np.nan)
    return mean, values.std(axis=axis, ddof=1)
