"""More points where a cumulative ablation curve falls: before its first one.

A curve read at few numbers of units may have lost nearly everything at the first of them, and then
most of its area is that of a straight line nobody measured.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from repro.core.kinds import AblationCurve
from repro.engine.engine import Engine

_MOST_POINTS = 6  # points that are added at most, each at half the units of the one after it
_LOST_EARLY = 0.5  # share of what can be lost that the first point must have lost


def refined(curve: AblationCurve, engine: Engine, points: int) -> AblationCurve:
    """The curve with more points before its first one, where half of what can be lost is lost by
    it; else the curve as it is.

    Args:
        curve: over all masked layers, zero fill. engine: on the same images.
        points: that were asked for; no more than so many are added.
    """
    mean = curve.accuracy.mean(axis=0)
    can_lose = mean[0] - mean.min()
    first = int(curve.n_ablated[1])
    if can_lose <= 0 or mean[0] - mean[1] < _LOST_EARLY * can_lose:
        return curve
    halves = first // 2 ** np.arange(1, 1 + min(_MOST_POINTS, points))
    added = np.unique(halves[halves > 0])
    if not len(added):
        return curve
    found = engine.cumulative(curve.orders.astype(np.int64), added)
    return dataclasses.replace(
        curve,
        n_ablated=_inserted(curve.n_ablated, added),
        n_correct=_inserted(curve.n_correct, found.n_correct.sum(axis=-1)),
        loss=_inserted(curve.loss, found.loss),
        n_tied=None if curve.n_tied is None else curve.n_tied + int(found.n_tied.sum()),
        n_top5=None if curve.n_top5 is None else _inserted(curve.n_top5, found.n_top5),
    )


def _inserted(of_points: np.ndarray, added: np.ndarray) -> np.ndarray:
    """The added points' values (..., n), after those of the first point, which ablates nothing."""
    return np.concatenate([of_points[..., :1], added, of_points[..., 1:]], axis=-1)
