"""Loss and accuracy along a training, and the areas under its ablation curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tb_plugin import metadata
from tb_plugin.reading.curves import checked_curve
from tb_plugin.reading.decimals import shortest
from tb_plugin.reading.provider import Experiment, Pair, by_step


def training(experiment: Experiment, runs: Sequence[str]) -> list[dict[str, Any]]:
    """Loss and accuracy over the steps of a training, and the area under each curve.

    Args:
        runs: names of runs. A run without such data gets empty lists.

    Returns:
        A dictionary a run, as in http_api.md.
    """
    listed = experiment.scalars()
    pairs = [
        (run, tag)
        for run in runs
        for tag in sorted(listed.get(run, {}))
        if tag.startswith(metadata.TRAINING_TAG)
    ]
    scalars = experiment.read_scalars(pairs)
    areas = _areas(experiment, runs)
    return [
        {
            "run": run,
            "scalars": {
                tag.removeprefix(metadata.TRAINING_TAG): {
                    "steps": [datum.step for datum in data],
                    "values": shortest(np.array([datum.value for datum in data])),
                }
                for tag, found in sorted(scalars.get(run, {}).items())
                if (data := by_step(found))
            },
            "curves": areas.get(run, []),
        }
        for run in runs
    ]


def _areas(experiment: Experiment, runs: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Area under each ablation curve of the runs, at every step."""
    listed = experiment.curves()
    metas: dict[Pair, dict[str, Any]] = {}
    for run in runs:
        for tag, series in sorted(listed.get(run, {}).items()):
            try:
                meta = metadata.parse_content(series.plugin_content)
            except metadata.UnreadableError:
                continue  # the index reports it
            if meta["kind"] == metadata.CURVE:
                metas[run, tag] = meta
    data = experiment.read_curves(list(metas))
    areas: dict[str, list[dict[str, Any]]] = {}
    for (run, tag), meta in metas.items():
        points = [
            (datum.step, *area)
            for datum in by_step(data.get((run, tag), []))
            if (area := _area(datum.numpy, meta)) is not None
        ]
        if points:
            steps, auc, normalized, sd, intact, floor = zip(*points, strict=True)
            areas.setdefault(run, []).append(
                {
                    "tag": tag,
                    "steps": list(steps),
                    "auc": shortest(np.array(auc)),
                    "normalized": shortest(np.array(normalized)),
                    "sd": shortest(np.array(sd)),
                    "intact": shortest(np.array(intact)),
                    "floor": shortest(np.array(floor)),
                }
            )
    return areas


def _area(tensor: Any, meta: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Mean area over the fraction of units ablated, mean and s.d. over the orderings of the area
    by intact accuracy, and the accuracy with none and with all units ablated; None for a curve that
    is not whole."""
    try:
        x, rows = checked_curve(tensor, meta)
    except metadata.UnreadableError:
        return None
    if x[0] != 0 or x[-1] != meta["n_units"] or not np.all(rows[:, 0] > 0):
        return None
    areas = np.trapezoid(rows.astype(np.float64), x.astype(np.float64) / x[-1], axis=1)
    normalized = areas / rows[:, 0]
    sd = float(np.std(normalized, ddof=1)) if len(normalized) > 1 else 0.0
    ends = (float(rows[:, place].mean()) for place in (0, -1))
    return float(areas.mean()), float(normalized.mean()), sd, *ends
