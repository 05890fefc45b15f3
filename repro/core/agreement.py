"""How well one measure of networks ranks them as another does, when settings may cause both.

A learning rate that raises a measure and the test accuracy makes the two correlate, whatever the
measure knows about a network. Kendall's tau does not see that. Two numbers do: granulated tau
compares networks that differ in one setting only (Jiang et al. 2020, arXiv:1912.02178, section 3),
and conditional mutual information asks what the measure tells of a pair of networks whose settings
are known (the score of the competition "Predicting Generalization in Deep Learning", Jiang et al.
2020, arXiv:2012.07976; Dziugaite et al. 2020, arXiv:2010.11924, criticise averages over settings).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

# Settings that are known at a time, as in the competition.
_MOST_KNOWN = 2
_SHUFFLES = 200
_SIGNS = 3  # of a difference: smaller, equal, larger


class Agreement(NamedTuple):
    """How well a measure x ranks networks as a measure y does.

    tau: Kendall's tau-b in [-1, 1]; NaN where x or y is the same for all networks.
    by_setting: for each setting, the mean agreement in [-1, 1] over pairs of networks that differ
        in this setting only; settings without such pairs are left out.
    information: what the order of two networks by x tells of their order by y, where at most two
        settings of both networks are known: the smallest share, over all choices of known settings,
        of the entropy of the order by y. In [0, 1]; NaN where nothing is left to tell.
    by_chance: the `information` that an x dealt out at random among the networks exceeds in one of
        twenty cases. It is above 0 because the networks are few.
    """

    tau: float
    by_setting: dict[str, float]
    information: float
    by_chance: float

    @property
    def granulated(self) -> float:
        """Granulated tau: the mean of `by_setting`; NaN without one."""
        return float(np.mean(list(self.by_setting.values()))) if self.by_setting else float("nan")


def agreement(
    x: Sequence[float], y: Sequence[float], settings: Mapping[str, Sequence[Any]]
) -> Agreement:
    """Whether networks are ordered by x as they are by y.

    Args:
        x, y: float (n_networks,). Networks where one of them is not finite are left out.
        settings: for each setting that differs among the networks, its value in each network.

    Raises:
        ValueError: lengths that differ.

    >>> rates, seeds = [1, 1, 2, 2], [0, 1, 0, 1]
    >>> found = agreement([1, 2, 3, 4], [2, 1, 4, 3], {"rate": rates, "seed": seeds})
    >>> found.by_setting, found.granulated
    ({'rate': 1.0, 'seed': -1.0}, 0.0)
    """
    pair = np.array([list(x), list(y)], np.float64)
    kept = np.isfinite(pair).all(axis=0)
    codes = {}
    for name, values in settings.items():
        if len(values) != pair.shape[1]:
            raise ValueError(
                f"settings must have a value for each of {pair.shape[1]} networks. "
                f"Received: {len(values)} values of {name}"
            )
        numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
        codes[name] = np.array([numbers[value] for value in values], np.int64)[kept]
    x_signs, y_signs = (np.sign(values[:, None] - values).astype(np.int64) for values in
                        pair[:, kept])  # fmt: skip
    return Agreement(
        kendall(*pair[:, kept]),
        _by_setting(x_signs * y_signs, codes),
        *_information(x_signs, y_signs, codes),
    )


def kendall(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-b in [-1, 1]; NaN with fewer than two values, or where all are equal.

    >>> round(kendall(np.array([1, 2, 3, 4]), np.array([1, 2, 4, 3])), 3)  # 5 pairs of 6 agree
    0.667
    """
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(stats.kendalltau(x, y).statistic)


def _joint(codes: Sequence[np.ndarray], n: int) -> np.ndarray:
    """int (n,): equal for two networks whose codes are all equal."""
    if not codes:
        return np.zeros(n, np.int64)
    return np.unique(np.stack(codes), axis=1, return_inverse=True)[1].reshape(n)


def _by_setting(agree: np.ndarray, codes: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Mean over groups of networks that are alike in all other settings, of the group's pairs.

    Args:
        agree: int (n, n), 1 where two networks are ordered alike by both measures, -1 where not.
    """
    found = {}
    for name, own in codes.items():
        others = _joint([code for other, code in codes.items() if other != name], len(agree))
        means = []
        for group in range(int(others.max(initial=-1)) + 1):
            members = np.flatnonzero(others == group)
            differ = own[members][:, None] != own[members]
            if differ.any():
                means.append(agree[np.ix_(members, members)][differ].mean())
        if means:
            found[name] = float(np.mean(means))
    return found


def _information(
    x_signs: np.ndarray, y_signs: np.ndarray, codes: Mapping[str, np.ndarray]
) -> tuple[float, float]:
    """`Agreement.information` and `Agreement.by_chance`; signs: int (n, n) of differences."""
    n = len(x_signs)
    apart = ~np.eye(n, dtype=bool)
    known = []
    for size in range(_MOST_KNOWN + 1):
        for chosen in itertools.combinations(codes.values(), size):
            group = _joint(chosen, n)
            pairs = (group[:, None] * (int(group.max(initial=0)) + 1) + group)[apart]
            known.append(np.unique(pairs, return_inverse=True)[1])
    of_y = y_signs[apart] + 1
    sets = [group * _SIGNS**2 + of_y for group in known]

    def smallest(signs: np.ndarray) -> float:
        of_x = (signs[apart] + 1) * _SIGNS
        shares = [_share(group + of_x) for group in sets]
        defined = [share for share in shares if np.isfinite(share)]
        return min(defined, default=float("nan"))

    found = smallest(x_signs) if n > 1 else float("nan")
    if not np.isfinite(found):
        return found, found
    rng = np.random.default_rng(0)
    orders = (rng.permutation(n) for _ in range(_SHUFFLES))
    shuffled = [smallest(x_signs[np.ix_(order, order)]) for order in orders]
    return found, float(np.quantile(shuffled, 0.95))


def _share(cells: np.ndarray) -> float:
    """I(x; y | group) / H(y | group), from the cell (group, x, y) of each pair; NaN if H is 0."""
    counts = np.bincount(cells)
    padding = -len(counts) % _SIGNS**2
    table = np.pad(counts, (0, padding)).reshape(-1, _SIGNS, _SIGNS).astype(np.float64)
    of_group = _entropy(table.sum(axis=(1, 2)))
    of_y = _entropy(table.sum(axis=1)) - of_group
    if of_y <= 0:
        return float("nan")
    of_x = _entropy(table.sum(axis=2)) - of_group
    both = _entropy(table) - of_group
    return max(0.0, (of_x + of_y - both) / of_y)


def _entropy(counts: np.ndarray) -> float:
    """Entropy in bits of all cells of an array of counts."""
    shares = counts[counts > 0] / counts.sum()
    return float(-np.sum(shares * np.log2(shares)))
