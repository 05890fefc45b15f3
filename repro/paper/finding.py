"""The finding of a rule, and the arithmetic, decisions and words that rules share.

A difference of two groups of networks has a 95 % Welch interval over the networks' means, so a
decision needs at least two networks in each group. rho is Spearman's, with a 95 % percentile
bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from repro.core.agreement import Agreement
from repro.core.kinds import UnitTable
from repro.core.metrics import Correlation, mean_and_sd
from repro.core.results import FigureResult
from repro.core.words import percent
from repro.paper.measures import TAILS

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported"
INCONCLUSIVE = "inconclusive"
NOT_RUN = "not run"

# Below it in size, a rho is negligible: the rank of one variable explains less than 9 % of the
# other's rank variance.
NEGLIGIBLE_RHO = 0.3
FEWEST_NETWORKS = 10  # for a correlation over networks to decide anything
NORMAL_REACH = 1.96  # standard errors from the middle to the ends of a normal interval


class Interval(NamedTuple):
    """The two ends of an interval.

    >>> Interval(0.1, 0.2).above(0), Interval(-0.1, 0.2).inside(0.3), Interval(0.3, 1).outside(0.3)
    (True, True, True)
    """

    low: float
    high: float

    def above(self, limit: float = 0.0) -> bool:
        """Whether all of it lies above a limit."""
        return self.low > limit

    def below(self, limit: float = 0.0) -> bool:
        """Whether all of it lies below a limit."""
        return self.high < limit

    def inside(self, limit: float) -> bool:
        """Whether all of it lies between -limit and limit."""
        return -limit < self.low and self.high < limit

    def outside(self, limit: float) -> bool:
        """Whether none of it lies between -limit and limit."""
        return self.low >= limit or self.high <= -limit


class Estimate(NamedTuple):
    """A number and its interval; NaN where it is undefined."""

    value: float
    interval: Interval


UNDEFINED = Estimate(float("nan"), Interval(float("nan"), float("nan")))


@dataclass(frozen=True)
class Finding:
    """The finding of a rule: the verdict, our result in words and as a number, and its n.

    note: what a reader must know to weigh the verdict; "" if nothing.
    """

    verdict: str
    ours: str = ""
    value: float | None = None
    interval: Interval | None = None
    n: str = ""
    note: str = ""


def three_way(*, supported: bool, refuted: bool, decidable: bool = True) -> str:
    """The verdict of a rule: inconclusive where neither side holds, or nothing can be decided.

    Args:
        supported, refuted: whether the results are as the claim says, or the opposite; if both,
            the claim is supported.
        decidable: whether there is enough to decide by.

    >>> three_way(supported=True, refuted=False)
    'supported'
    >>> three_way(supported=False, refuted=True), three_way(supported=False, refuted=False)
    ('not supported', 'inconclusive')
    >>> three_way(supported=True, refuted=False, decidable=False)
    'inconclusive'
    """
    if not decidable:
        return INCONCLUSIVE
    return SUPPORTED if supported else NOT_SUPPORTED if refuted else INCONCLUSIVE


def sign_of(interval: Interval, sign: float = 1.0) -> str:
    """Supported where the whole interval lies above 0, not supported where it lies below; with
    sign = -1 the other way round.

    >>> sign_of(Interval(0.5, 1.5)), sign_of(Interval(0.5, 1.5), -1), sign_of(Interval(-0.1, 0.3))
    ('supported', 'not supported', 'inconclusive')
    """
    above, below = interval.above(), interval.below()
    if sign < 0:
        above, below = below, above
    return three_way(supported=above, refuted=below)


def ends(found: Correlation) -> Interval:
    """The interval of a rho."""
    return Interval(found.low, found.high)


def welch(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Difference of the means with its 95 % Welch interval; NaN with fewer than two values a side.

    >>> difference, (low, high) = welch([2.0, 2.2], [1.0, 1.2])
    >>> round(difference, 3), round(low, 3), round(high, 3)
    (1.0, 0.392, 1.608)
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if len(a) < 2 or len(b) < 2 or not np.isfinite([*a, *b]).all():
        return UNDEFINED
    difference = float(a.mean() - b.mean())
    errors = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    spread = float(np.sqrt(sum(errors)))
    if spread == 0:
        return Estimate(difference, Interval(difference, difference))
    freedom = sum(errors) ** 2 / sum(
        error**2 / (len(values) - 1) for error, values in zip(errors, (a, b), strict=True)
    )
    reach = float(stats.t.ppf(TAILS[1], freedom)) * spread
    return Estimate(difference, Interval(difference - reach, difference + reach))


def paired(differences: Sequence[float]) -> Estimate:
    """Mean of differences with its 95 % t interval; NaN with fewer than two.

    >>> mean, (low, high) = paired([0.9, 1.1])
    >>> round(mean, 3), round(low, 3), round(high, 3)
    (1.0, -0.271, 2.271)
    """
    values = np.asarray(differences, np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return UNDEFINED
    reach = stats.t.ppf(TAILS[1], len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    low, high = float(values.mean() - reach), float(values.mean() + reach)
    return Estimate(float(values.mean()), Interval(low, high))


def bars_apart(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Difference of two means, and the same minus and plus both standard deviations added up. Where
    this interval lies off 0, the two error bars do not touch.

    >>> difference, (low, high) = bars_apart(np.array([0.7, 0.9]), np.array([0.4, 0.4]))
    >>> round(difference, 3), round(low, 3), round(high, 3)
    (0.4, 0.259, 0.541)
    """
    (mean, sd), (other, other_sd) = mean_and_sd(first), mean_and_sd(second)
    difference, bars = float(mean - other), float(sd + other_sd)
    return Estimate(difference, Interval(difference - bars, difference + bars))


def missing_networks(figure: FigureResult) -> str:
    missing = len(figure.config.networks()) - len(figure.networks) - figure.n_unlearned
    return f"{missing} of {len(figure.config.networks())} networks are missing." if missing else ""


def decided(found: Estimate, ours: str, n: str, note: str = "", sign: float = 1.0) -> Finding:
    """The finding of `sign_of` an estimate's interval, with the difference added to the words."""
    value, interval = found
    if not np.isfinite(value):
        return Finding(
            INCONCLUSIVE, ours, n=n, note=f"{note} It needs two networks a side.".strip()
        )
    words = f"{ours}; difference {value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
    return Finding(sign_of(interval, sign), words, value, interval, n, note)


def correlated(found: Correlation, sign: int, limit: float, ours: str, n: str) -> Finding:
    """Supported if rho has this sign and its whole interval is larger than the limit."""
    if not np.isfinite(found.rho):
        return Finding(INCONCLUSIVE, n=n, note="rho is undefined.")
    toward = Interval(*sorted((sign * found.low, sign * found.high)))
    verdict = three_way(supported=toward.above(limit), refuted=toward.below(limit))
    return Finding(verdict, ours, found.rho, ends(found), n)


# --- Words --------------------------------------------------------------------------------------


def plus_minus(values: np.ndarray) -> str:
    mean, sd = mean_and_sd(values)
    return f"{mean:.3f} ± {sd:.3f}" if np.isfinite(sd) else f"{mean:.3f}"


def rho_words(found: Correlation, fewest: int = 0) -> str:
    """rho with its interval; without it where there are fewer pairs than `fewest`.

    >>> rho_words(Correlation(-1.0, -1.0, -1.0, 6, 0.0), fewest=10)
    'rho = -1.00'
    """
    if not np.isfinite(found.rho):
        return "rho is undefined"
    interval = "" if found.n < fewest else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"rho = {found.rho:.2f}{interval}"


def agreement_words(found: Agreement) -> str:
    """
    >>> agreement_words(Agreement(0.5, {"learning_rate": 0.9, "seed": -0.1}, 0.125, 0.03))
    "Kendall's tau 0.50, granulated 0.40 (learning rate 0.90, seed -0.10), conditional mutual \
information 12.5 % (up to 3 % by chance)"
    """
    words = [f"Kendall's tau {found.tau:.2f}"]
    if found.by_setting:
        each = (f"{name.replace('_', ' ')} {one:.2f}" for name, one in found.by_setting.items())
        words.append(f"granulated {found.granulated:.2f} ({', '.join(each)})")
    if np.isfinite(found.information):
        share, chance = (percent(round(one, 3)) for one in (found.information, found.by_chance))
        words.append(f"conditional mutual information {share} (up to {chance} by chance)")
    return ", ".join(words)


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
