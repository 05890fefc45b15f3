"""Ablation and noise curves, checked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorboard.data import provider as tb_provider

from tb_plugin import metadata
from tb_plugin.reading.decimals import shortest_of
from tb_plugin.reading.provider import (
    Experiment,
    Listing,
    Pair,
    SeriesNotFoundError,
    at_step,
    by_step,
)


def curves(experiment: Experiment, pairs: Sequence[Pair], step: int | None) -> list[dict[str, Any]]:
    """Ablation or noise curves of several series, in the order asked for.

    Args:
        pairs: run and tag of each.
        step: take the curve at the latest step not after this one, or else at the first step;
            None: at the last step.

    Returns:
        Per pair a dictionary as in http_api.md, or {"run", "tag", "error"}.

    Raises:
        SeriesNotFoundError: none of the pairs exists.
        ProviderError: the provider cannot list the series.
    """
    listed, data = _read(experiment, pairs)
    return _replies(listed, data, pairs, step)


def curve_at_every_step(experiment: Experiment, pair: Pair) -> dict[int | None, dict[str, Any]]:
    """What `curves` replies of one series, by step; by None if nothing of it can be read.

    Raises:
        SeriesNotFoundError: there is no such series.
        ProviderError: the provider cannot list the series.
    """
    listed, data = _read(experiment, [pair])
    stored = sorted({datum.step for datum in data.get(pair, [])})
    steps: list[int | None] = [*stored] or [None]
    return {step: _replies(listed, data, [pair], step)[0] for step in steps}


def _read(
    experiment: Experiment, pairs: Sequence[Pair]
) -> tuple[Listing, dict[Pair, list[tb_provider.TensorDatum]]]:
    """The series among the pairs that exist, and all that is stored of them."""
    listed = experiment.curves(pairs)
    known = [pair for pair in pairs if pair[1] in listed.get(pair[0], {})]
    if not known:
        raise SeriesNotFoundError("no curve of this run and tag")
    return listed, experiment.read_curves(known)


def _replies(
    listed: Listing,
    data: Mapping[Pair, Sequence[tb_provider.TensorDatum]],
    pairs: Sequence[Pair],
    step: int | None,
) -> list[dict[str, Any]]:
    replies: list[dict[str, Any]] = []
    numbers: list[tuple[np.ndarray, np.ndarray]] = []
    for run, tag in pairs:
        reply: dict[str, Any] = {"run": run, "tag": tag}
        try:
            content = listed[run][tag].plugin_content
            facts, x, rows = _curve(data.get((run, tag), []), metadata.parse_content(content), step)
            reply |= facts
            numbers.append((x, rows))
        except KeyError:
            reply["error"] = "no curve of this run and tag"
        except metadata.UnreadableError as error:
            reply["error"] = str(error)
        replies.append(reply)
    readable = (reply for reply in replies if "error" not in reply)
    decimals = iter(shortest_of([part for pair in numbers for part in pair]))
    for reply in readable:
        reply |= {"x": next(decimals), "rows": next(decimals)}
    return replies


def checked_curve(tensor: Any, meta: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """x float (points,) and rows float (orderings, points) of a stored curve."""
    values = np.asarray(tensor)
    if values.dtype.kind != "f" or values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
        raise metadata.UnreadableError(
            f"a curve must be numbers of shape (1 + orderings, points), got {values.dtype} "
            f"{values.shape}"
        )
    x = values[0]
    if not np.all(np.isfinite(x)) or np.any(np.diff(x) <= 0) or x[0] < 0:
        raise metadata.UnreadableError("the points of a curve must increase from 0 or more")
    if meta["kind"] == metadata.CURVE and x[-1] > meta["n_units"]:
        raise metadata.UnreadableError(
            f"the counts of ablated units must end at {meta['n_units']} or less"
        )
    return x, values[1:]


def _curve(
    data: Sequence[Any], meta: Mapping[str, Any], step: int | None
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """The steps of a curve, the chosen step, and its x (points,) and rows (orderings, points)."""
    data = by_step(data)
    chosen = at_step(data, step)
    x, rows = checked_curve(chosen.numpy, meta)
    facts = {
        "steps": [datum.step for datum in data],
        "step": chosen.step,
        "walltime": chosen.wall_time,
    }
    return facts, x, rows
