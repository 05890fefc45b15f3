"""The finding of a rule, and the arithmetic and words that rules share.

A difference of two groups of networks has a 95 % Welch interval over the networks' means, so a
decision needs at least two networks in each group. rho is Spearman's, with a 95 % percentile
bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from repro.core.metrics import Correlation, mean_and_sd
from repro.core.results import FigureResult, UnitTable

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported"
INCONCLUSIVE = "inconclusive"
NOT_RUN = "not run"

# |rho| below 0.3: the rank of one variable explains less than 9 % of the other's rank variance.
NEGLIGIBLE_RHO = 0.3
FEWEST_NETWORKS = 10  # for a correlation over networks to decide anything


@dataclass(frozen=True)
class Finding:
    """The finding of a rule: the verdict, our result in words and as a number, and its n.

    note: what a reader must know to weigh the verdict; "" if nothing.
    """

    verdict: str
    ours: str = ""
    value: float | None = None
    interval: tuple[float, float] | None = None
    n: str = ""
    note: str = ""


Interval = tuple[float, float, float]  # estimate, low, high


def above(found: Interval) -> str:
    """Supported where the whole interval lies above 0, not supported where it lies below.

    >>> above((1.0, 0.5, 1.5)), above((-1.0, -1.5, -0.5)), above((0.1, -0.1, 0.3))
    ('supported', 'not supported', 'inconclusive')
    """
    _, low, high = found
    return SUPPORTED if low > 0 else NOT_SUPPORTED if high < 0 else INCONCLUSIVE


def welch(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Difference of the means with its 95 % Welch interval; NaN with fewer than two values a side.

    >>> [round(x, 3) for x in welch([2.0, 2.2], [1.0, 1.2])]
    [1.0, 0.392, 1.608]
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if len(a) < 2 or len(b) < 2 or not np.isfinite([*a, *b]).all():
        return float("nan"), float("nan"), float("nan")
    difference = float(a.mean() - b.mean())
    errors = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    spread = float(np.sqrt(sum(errors)))
    if spread == 0:
        return difference, difference, difference
    freedom = sum(errors) ** 2 / sum(
        error**2 / (len(values) - 1) for error, values in zip(errors, (a, b), strict=True)
    )
    reach = float(stats.t.ppf(0.975, freedom)) * spread
    return difference, difference - reach, difference + reach


def paired(differences: Sequence[float]) -> Interval:
    """Mean of differences with its 95 % t interval; NaN with fewer than two.

    >>> [round(x, 3) for x in paired([0.9, 1.1])]
    [1.0, -0.271, 2.271]
    """
    values = np.asarray(differences, np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return float("nan"), float("nan"), float("nan")
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - reach), float(values.mean() + reach)


def missing_networks(figure: FigureResult) -> str:
    missing = len(figure.config.networks()) - len(figure.networks) - figure.n_unlearned
    return f"{missing} of {len(figure.config.networks())} networks are missing." if missing else ""


def decided(found: Interval, ours: str, n: str, note: str = "", sign: float = 1.0) -> Finding:
    """A finding from `above` of an interval, or of its mirror image with sign = -1."""
    value, low, high = found
    if not np.isfinite(value):
        return Finding(
            INCONCLUSIVE, ours, n=n, note=f"{note} It needs two networks a side.".strip()
        )
    verdict = above((value, low, high) if sign > 0 else (-value, -high, -low))
    words = f"{ours}; difference {value:+.3f} [{low:+.3f}, {high:+.3f}]"
    return Finding(verdict, words, value, (low, high), n, note)


def correlated(found: Correlation, sign: int, ours: str, n: str, note: str = "") -> Finding:
    """Supported if rho has this sign and its whole interval is more than negligible."""
    if not np.isfinite(found.rho):
        return Finding(INCONCLUSIVE, n=n, note="rho is undefined.")
    low, high = sorted((sign * found.low, sign * found.high))
    if low > NEGLIGIBLE_RHO:
        verdict = SUPPORTED
    elif high < NEGLIGIBLE_RHO:
        verdict = NOT_SUPPORTED
    else:
        verdict = INCONCLUSIVE
    return Finding(verdict, ours, found.rho, (found.low, found.high), n, note)


# --- Words --------------------------------------------------------------------------------------


def plus_minus(values: np.ndarray) -> str:
    mean, sd = mean_and_sd(values)
    return f"{mean:.3f} ± {sd:.3f}" if np.isfinite(sd) else f"{mean:.3f}"


def rho_words(found: Correlation) -> str:
    if not np.isfinite(found.rho):
        return "rho is undefined"
    return f"rho = {found.rho:.2f} [{found.low:.2f}, {found.high:.2f}]"


def units_words(tables: Sequence[UnitTable]) -> str:
    units = sum(table.n_units for table in tables)
    return (
        f"{counted(units, 'unit')} of {counted(len(tables), 'network')}, "
        f"{tables[0].n_images:,} images"
    )


def counted(number: int, noun: str) -> str:
    """
    >>> counted(2, "network")
    '2 networks'
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
