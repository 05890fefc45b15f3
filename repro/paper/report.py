"""Writes the results: a page for people, JSON and CSV for programs, pictures for both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.core.kinds import (
    KINDS,
    SweepResult,
)
from repro.core.results import FigureResult, NetworkResult
from repro.display.tables import to_csv, to_json
from repro.paper import claims, figures, page
from repro.paper.claims import Verdict
from repro.paper.series import figure_label
from repro.paper.summary import summary, varied_settings

__all__ = ["console", "summary", "write"]

COMMON_COLUMNS = {
    "run_id": "Name of the network, made from its settings.",
    "settings": "Settings in which the figure's networks differ.",
    "label_corruption": "Fraction of training images whose labels were shuffled among themselves.",
    "seed": "Seed of the network.",
    "sweep": "Name of the set of lesions.",
    "epoch": "Epochs trained when the lesions were made; empty for the finished network.",
}
"""First columns of every table; the others are `Kind.columns`."""


def write(
    results: Sequence[FigureResult],
    directory: Path,
    seconds: Mapping[str, float],
    write_bytes: Callable[[Path, bytes], None],
) -> list[Verdict]:
    """Writes the report of these figures and returns the verdicts on their claims.

    index.html      everything, in one file that needs no other
    summary.json    numbers of every network; claims.json, claims.csv: the verdicts
    choices.json    the claims under other choices where the paper is silent
    <figure>.png, <figure>.svg, and every number drawn: <figure>_curves.csv, <figure>_noise.csv,
                    <figure>_units.csv, <figure>_intact.csv, <figure>_portraits.csv

    Args:
        directory: folder of the report; `write_bytes` makes it if it is missing.
        seconds: computing time of each figure, by name.
        write_bytes: function that writes one file and handles errors of the disk.
    """
    verdicts = [
        dataclasses.replace(verdict, seconds=seconds.get(figure.config.name))
        for figure in results
        for verdict in claims.judge(figure)
    ]
    numbers = summary(results)
    others = [one for figure in results for one in claims.under_other_choices(figure)]
    for figure in results:
        name = figure.config.name
        if figure.networks:
            for kind, content in figures.draw(figure).items():
                write_bytes(directory / f"{name}.{kind}", content)
        for part, content in figure_csv(figure).items():
            write_bytes(directory / f"{name}_{part}.csv", content)
    records = [claims.to_record(verdict) for verdict in verdicts]
    write_bytes(directory / "summary.json", to_json(numbers))
    write_bytes(directory / "claims.json", to_json(records))
    write_bytes(directory / "claims.csv", claims_csv(verdicts))
    write_bytes(directory / "choices.json", to_json([claims.to_record(one) for one in others]))
    # The page is written last, so that the files that it links to exist.
    text = page.render(results, verdicts, numbers, seconds, others)
    write_bytes(directory / "index.html", text.encode())
    return verdicts


def file_names(figure: str) -> list[str]:
    """All names that `write` may give to the files of a report with this figure."""
    parts = [f"{figure}_{kind.table}.csv" for kind in KINDS.values()]
    shared = ["index.html", "summary.json", "claims.json", "claims.csv", "choices.json"]
    return [*shared, f"{figure}.png", f"{figure}.svg", *parts]


def console(results: Sequence[FigureResult], verdicts: Sequence[Verdict]) -> str:
    """The verdicts in a few lines of plain ASCII for any terminal."""
    lines = []
    for figure in results:
        lines.append(f"{figure_label(figure.config.name)}  {figure.config.title}")
        lines.append(f"  {figure.not_run or figure.data}; {figure.config.profile} settings")
        for verdict in verdicts:
            if verdict.figure == figure.config.name:
                lines.append(f"  {verdict.claim} {verdict.verdict.upper()}: {verdict.statement}")
                lines.append(f"    ours:  {verdict.ours} (n: {verdict.n or 'none'})")
                lines.append(f"    paper: {verdict.paper}")
                if verdict.note:
                    lines.append(f"    note:  {verdict.note}")
    return "\n".join(lines).replace("±", "+-").encode("ascii", "replace").decode()


def figure_csv(figure: FigureResult) -> dict[str, bytes]:
    """The tables that the figure has, with every number drawn, one row a point: {"curves": ...} for
    cumulative ablation, see `Kind.table` and `Kind.columns`.

    Floats are written so that reading them gives the same float64.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for network in figure.networks:
        common = _common(figure, network)
        for name, epoch, found in _all_sweeps(network):
            rows.setdefault(found.kind, []).extend(
                (*common, name, epoch, *row) for row in KINDS[found.kind].rows(found)
            )
    return {
        kind.table: to_csv((*COMMON_COLUMNS, *kind.columns), rows[name])
        for name, kind in KINDS.items()
        if name in rows
    }


def _common(figure: FigureResult, network: NetworkResult) -> tuple[Any, ...]:
    settings = varied_settings(figure.config, network.config)
    words = " ".join(f"{key}={value}" for key, value in settings.items())
    return (network.config.run_id, words, network.config.label_corruption, network.config.seed)


def _all_sweeps(network: NetworkResult) -> Iterator[tuple[str, int | None, SweepResult]]:
    """Name, epoch (None for the trained network) and result of each sweep."""
    for name, found in network.sweeps.items():
        yield name, None, found
    for name, along in network.snapshots.items():
        for epoch, found in along:
            yield name, epoch, found


def claims_csv(verdicts: Sequence[Verdict]) -> bytes:
    """The verdicts, one row each; the interval has two columns, empty without an interval."""
    columns = [field.name for field in dataclasses.fields(Verdict) if field.name != "interval"]
    return to_csv(
        (*columns, "low", "high"),
        (
            (
                *(getattr(verdict, column) for column in columns),
                *(verdict.interval or (None, None)),
            )
            for verdict in verdicts
        ),
    )
