"""What can be shown: all runs, and the series of curves and unit tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from tb_plugin import metadata
from tb_plugin.reading.provider import Experiment


def index(experiment: Experiment) -> dict[str, Any]:
    """All runs, the series that can be shown, and the series that cannot, with reasons."""
    found = [
        (experiment.curves(), tuple(metadata.SETTINGS)),
        (experiment.tables(), (metadata.UNITS,)),
    ]
    series, skipped = [], []
    for by_run, kinds in found:
        for run, tag, listed in _sorted_series(by_run):
            try:
                series.append(_series(run, tag, listed, kinds))
            except metadata.NewerSchemaError:
                skipped.append({"run": run, "tag": tag, "reason": "newer"})
            except metadata.UnreadableError as error:
                skipped.append({"run": run, "tag": tag, "reason": str(error)})
    names = sorted(set(experiment.runs()) | {entry["run"] for entry in series})
    return {"runs": names, "series": series, "skipped": skipped}


def _sorted_series(by_run: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, Any]]:
    # The fast loader lists in arbitrary order.
    return [(run, tag, by_run[run][tag]) for run in sorted(by_run) for tag in sorted(by_run[run])]


def _series(run: str, tag: str, listed: Any, kinds: Sequence[str]) -> dict[str, Any]:
    meta = metadata.parse_content(listed.plugin_content)
    kind = meta.pop("kind")
    if kind not in kinds:
        raise metadata.UnreadableError(f"not stored as a series of kind {kind!r} is")
    return {
        "run": run,
        "tag": tag,
        "kind": kind,
        "meta": meta,
        "description": listed.description,
        "max_step": listed.max_step,
    }
