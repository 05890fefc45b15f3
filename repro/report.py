"""Writes what was found: a page for people, JSON and CSV for programs, pictures for both."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from repro import claims, figures, page
from repro.claims import Verdict
from repro.config import TrainConfig
from repro.findings import figure_label, summary
from repro.results import AblationCurve, FigureResult, UnitTable

__all__ = ["console", "summary", "write"]

CURVE_COLUMNS = (
    "run_id", "label_corruption", "seed", "order", "n_ablated", "n_correct", "n_images",
    "accuracy", "loss",
)  # fmt: skip
UNIT_COLUMNS = (
    "run_id", "label_corruption", "seed", "layer", "unit", "class_selectivity", "importance",
    "loss", "intact_loss", "accuracy_drop", "mean_activation", "dead",
)  # fmt: skip


def write(
    results: Sequence[FigureResult],
    directory: Path,
    seconds: Mapping[str, float],
    write_bytes: Callable[[Path, bytes], None],
) -> list[Verdict]:
    """Writes the report of these figures and returns the verdicts on their claims.

    index.html      everything, in one file that needs no other
    summary.json    numbers of every network; claims.json, claims.csv: the verdicts
    <figure>.png, <figure>.svg, and <figure>_curves.csv or <figure>_units.csv

    Args:
        directory: where; `write_bytes` makes it if need be.
        seconds: computing time of each figure, by name.
        write_bytes: writes one file; errors of the disk are its own.
    """
    verdicts = [
        dataclasses.replace(verdict, seconds=seconds.get(figure.config.name))
        for figure in results
        for verdict in claims.judge(figure)
    ]
    numbers = summary(results)
    for figure in results:
        name = figure.config.name
        if figure.networks:
            for kind, content in figures.draw(figure).items():
                write_bytes(directory / f"{name}.{kind}", content)
        for part, content in figure_csv(figure).items():
            write_bytes(directory / f"{name}_{part}.csv", content)
    records = [claims.to_record(verdict) for verdict in verdicts]
    write_bytes(directory / "summary.json", _json(numbers))
    write_bytes(directory / "claims.json", _json(records))
    write_bytes(directory / "claims.csv", claims_csv(verdicts))
    # Last, so that whoever sees the page finds the files that it links to.
    text = page.render(results, verdicts, numbers, seconds)
    write_bytes(directory / "index.html", text.encode())
    return verdicts


def console(results: Sequence[FigureResult], verdicts: Sequence[Verdict]) -> str:
    """What was found, in a few lines of plain ASCII for any terminal."""
    lines = []
    for figure in results:
        lines.append(f"{figure_label(figure.config.name)}  {figure.config.title}")
        lines.append(f"  {figure.data}; {figure.config.profile} settings")
        for verdict in verdicts:
            if verdict.figure == figure.config.name:
                lines.append(f"  {verdict.claim} {verdict.verdict.upper()}: {verdict.statement}")
                lines.append(f"    ours:  {verdict.ours} (n: {verdict.n or 'none'})")
                lines.append(f"    paper: {verdict.paper}")
                if verdict.note:
                    lines.append(f"    note:  {verdict.note}")
    return "\n".join(lines).replace("±", "+-").encode("ascii", "replace").decode()


def figure_csv(figure: FigureResult) -> dict[str, bytes]:
    """{"curves": ...} or {"units": ...}: every number drawn, one row a point.

    Floats are written so that reading them gives the same float64.
    """
    curves = [
        row
        for network in figure.networks
        if isinstance(network.sweep, AblationCurve)
        for row in _curve_rows(network.config, network.sweep)
    ]
    units = [
        row
        for network in figure.networks
        if isinstance(network.sweep, UnitTable)
        for row in _unit_rows(network.config, network.sweep)
    ]
    parts = {"curves": (CURVE_COLUMNS, curves), "units": (UNIT_COLUMNS, units)}
    return {name: _csv(columns, rows) for name, (columns, rows) in parts.items() if rows}


def claims_csv(verdicts: Sequence[Verdict]) -> bytes:
    """The verdicts, one row each; the interval as two columns, nothing where there is none."""
    columns = [field.name for field in dataclasses.fields(Verdict) if field.name != "interval"]
    return _csv(
        (*columns, "low", "high"),
        (
            (
                *(getattr(verdict, column) for column in columns),
                *(verdict.interval or (None, None)),
            )
            for verdict in verdicts
        ),
    )


def _curve_rows(config: TrainConfig, curve: AblationCurve) -> Iterable[tuple[Any, ...]]:
    n_ablated, n_correct = curve.n_ablated.tolist(), curve.n_correct.tolist()
    accuracy, loss = curve.accuracy.tolist(), curve.loss.tolist()
    network = (config.run_id, config.label_corruption, config.seed)
    for order in range(len(n_correct)):
        for point in zip(n_ablated, n_correct[order], accuracy[order], loss[order], strict=True):
            n, correct, fraction, nats = point
            yield (*network, order, n, correct, curve.n_images, fraction, nats)


def _unit_rows(config: TrainConfig, table: UnitTable) -> Iterable[tuple[Any, ...]]:
    columns = (
        table.layer_names,
        table.unit_indices,
        table.class_selectivity,
        table.importance,
        table.loss,
        np.full(table.n_units, table.intact_loss),
        table.accuracy_drop,
        table.mean_activation,
        table.dead.astype(int),
    )
    for row in zip(*(column.tolist() for column in columns), strict=True):
        yield (config.run_id, config.label_corruption, config.seed, *row)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
