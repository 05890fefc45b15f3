"""The paper's measures, as pure functions of arrays (NumPy and SciPy only).

Section numbers are those of Morcos et al., ICLR 2018 (arXiv:1803.06959). Sums are float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats


def class_selectivity(class_means: np.ndarray) -> np.ndarray:
    """Class selectivity index of every unit (paper section 2.3).

    (mu_max - mu_rest) / (mu_max + mu_rest), where mu_max is the unit's largest
    class-conditional mean activation and mu_rest the mean of the other classes' means.
    0: responds alike to all classes. 1: driven by one class only.

    Args:
        class_means: float (n_classes, n_units), mean post-ReLU activation over the images of
            each class, never negative; feature maps are averaged over space first.

    Returns:
        float64 (n_units,) in [0, 1]; 0 for a unit silent on every class, as in the paper's
        footnote. Callers count those and say how many.

    Raises:
        ValueError: fewer than two classes, or a negative or non-finite mean.

    >>> class_selectivity(np.array([[4.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
    array([1., 0., 0.])
    """
    means = np.asarray(class_means, np.float64)
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
    # Rounding can leave the rest just below 0, or just above the largest where all are alike.
    rest = np.clip(rest, 0.0, largest)
    total = largest + rest
    return np.divide(largest - rest, total, out=np.zeros_like(total), where=total > 0)


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


def normalized_auc(n_ablated: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """AUC of the curve divided by its intact accuracy (paper.md's choice b for section 3.2).

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
        seed: of the bootstrap, so that a report is reproducible.

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
