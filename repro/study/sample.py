"""The images and units that a study is made of, and what their number lets it tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

BINS = 20  # bins of activations for mutual information, as `Engine.statistics` makes them
GROUPS = 10  # groups of images, between which the importance of a unit varies
CONTROLS = 5  # random sets of other units that are removed beside the redundant ones


@dataclass(frozen=True)
class Tested:
    """Whether the importance of units is told from 0, for a random share of those that are alive.

    units: int (n,), their rows in `Study.units`. importance, standard_error: float64 (n,), in the
        unit of the loss. redundant: bool (n,).
    n_alive: units lesioned alone and not dead, from which these were drawn.
    rounding: what importance differs by for no reason but rounding.
    """

    units: np.ndarray
    importance: np.ndarray
    standard_error: np.ndarray
    redundant: np.ndarray
    n_alive: int
    rounding: float

    @property
    def untold(self) -> np.ndarray:
        """bool (n,): within one standard error of 0, and not because nothing changes at all."""
        nothing = np.maximum(np.abs(self.importance), self.standard_error) <= self.rounding
        return ~nothing & ~(np.abs(self.importance) > self.standard_error)

    @property
    def n_told_redundant(self) -> int:
        """How many of the units are redundant by more than one standard error."""
        return int(np.count_nonzero(self.redundant & ~self.untold))


def between_groups(sums: np.ndarray, size: int, n_images: int) -> np.ndarray:
    """Standard error of a mean over images, from sums over groups of them.

    Args:
        sums: float64 (n_groups, ...), over groups of as many images. size: images of a group.
        n_images: of the mean, which may be a few more than all groups hold.

    Returns:
        float64 (...): s.d. between the groups' means, over the root of their number.

    >>> between_groups(np.array([[2.0], [4.0], [6.0]]), 2, 6)  # means 1, 2, 3: s.d. 1
    array([0.57735027])
    """
    means = np.asarray(sums, np.float64) / size
    return means.std(axis=0, ddof=1) / math.sqrt(n_images / size)


def most_active(n_images: int) -> float:
    """On how large a share of all images a unit may be active that was silent on so many.

    The upper end of a 95 % interval: 1 - 0.05^(1 / n), about 3 / n (the rule of three).

    >>> round(most_active(1000), 5), round(most_active(16), 3)
    (0.00299, 0.171)
    """
    return 1 - 0.05 ** (1 / n_images)


@dataclass(frozen=True)
class Sample:
    """On how many images a study stands, and what that does to its numbers.

    n_images: how many were used. n_available: how many there were.
    """

    n_images: int
    n_available: int

    # Fewest changed images that a two-sided sign test tells from chance: 2 / 2^6 < 0.05 < 2 / 2^5.
    CHANGED = 6

    def standard_error(self, accuracy: float) -> float:
        """The standard error of an accuracy: sqrt(p (1 - p) / n).

        >>> Sample(400, 10_000).standard_error(0.8)
        0.02
        """
        return math.sqrt(accuracy * (1 - accuracy) / self.n_images)

    def interval(self, n_correct: int) -> tuple[float, float]:
        """Wilson's 95 % interval of an accuracy, which holds near 1 and 0 too."""
        found = stats.binomtest(n_correct, self.n_images).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    @property
    def smallest_step(self) -> float:
        """The smallest change of accuracy that there can be: one image."""
        return 1 / self.n_images

    @property
    def smallest_visible(self) -> float:
        """The smallest drop of accuracy that is told from chance (sign test, two-sided, 5 %), where
        every image that changes changes for the worse: `CHANGED` images."""
        return self.CHANGED / self.n_images
