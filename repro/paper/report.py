"""Writes the results: a page for people, JSON and CSV for programs, pictures for both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from repro.core.results import (
    AblationCurve,
    FigureResult,
    Intact,
    NetworkResult,
    NoiseCurve,
    Portraits,
    SweepResult,
    UnitTable,
)
from repro.display.tables import CURVE_COLUMNS, curve_rows, lesion_rows, to_csv, to_json
from repro.paper import claims, figures, page
from repro.paper.claims import Verdict
from repro.paper.series import figure_label
from repro.paper.summary import summary, varied_settings

__all__ = ["console", "summary", "write"]

# First columns of every table. The settings are those in which the figure's networks differ; epoch
# is the epoch of a snapshot, empty for the trained network.
COMMON_COLUMNS = ("run_id", "settings", "label_corruption", "seed", "sweep", "epoch")
NOISE_COLUMNS = ("draw", "scale", "n_correct", "n_images", "accuracy", "loss")
UNIT_COLUMNS = (
    "layer", "unit", "class_selectivity", "mutual_information", "mutual_information_bias",
    "importance", "loss", "intact_loss", "accuracy_drop", "largest_class_drop",
    "held_out_class_drop", "weight_norm", "mean_activation", "sparsity", "dead",
)  # fmt: skip
INTACT_COLUMNS = ("n_correct", "n_images", "accuracy", "loss")
PORTRAIT_COLUMNS = (
    "role", "unit", "class_selectivity", "importance", "rank", "n_units", "class",
    "mean_activation", "top_images",
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
    # The page is written last, so that the files that it links to exist.
    text = page.render(results, verdicts, numbers, seconds)
    write_bytes(directory / "index.html", text.encode())
    return verdicts


def file_names(figure: str) -> list[str]:
    """All names that `write` may give to the files of a report with this figure."""
    parts = [f"{figure}_{part}.csv" for part, _, _ in _TABLES.values()]
    shared = ["index.html", "summary.json", "claims.json", "claims.csv"]
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
    """{"curves": ..., "noise": ..., "units": ..., "intact": ..., "portraits": ...}, the tables that
    the figure has, with every number drawn, one row a point.

    Floats are written so that reading them gives the same float64.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for network in figure.networks:
        common = _common(figure, network)
        for name, epoch, found in _all_sweeps(network):
            part, _, of_sweep = _TABLES[type(found)]
            rows.setdefault(part, []).extend(
                (*common, name, epoch, *row) for row in of_sweep(found)
            )
    return {
        part: to_csv((*COMMON_COLUMNS, *columns), rows[part])
        for part, columns, _ in _TABLES.values()
        if part in rows
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


def _noise_rows(curve: NoiseCurve) -> Iterator[tuple[Any, ...]]:
    return lesion_rows(curve, curve.scales)


def _unit_rows(table: UnitTable) -> Iterator[tuple[Any, ...]]:
    columns = (
        table.layer_names,
        table.unit_indices,
        table.class_selectivity,
        table.mutual_information,
        table.mutual_information_bias,
        table.importance,
        table.loss,
        np.full(table.n_units, table.intact_loss),
        table.accuracy_drop,
        table.largest_class_drop,
        table.held_out_class_drop,
        table.weight_norm,
        table.mean_activation,
        table.sparsity,
        table.dead.astype(int),
    )
    return zip(*(column.tolist() for column in columns), strict=True)


def _intact_rows(found: Intact) -> Iterator[tuple[Any, ...]]:
    yield found.n_correct, found.n_images, found.accuracy, found.loss


def _portrait_rows(found: Portraits) -> Iterator[tuple[Any, ...]]:
    """One row for each picked unit and class; top_images counts the shown images of the class."""
    for index, role in enumerate(found.roles):
        unit = (
            role,
            found.name(role),
            float(found.class_selectivity[index]),
            float(found.importance[index]),
            int(found.rank[index]),
            found.n_units,
        )
        for number, mean in enumerate(found.class_means[:, index].tolist()):
            shown = int(np.count_nonzero(found.top_labels[index] == number))
            yield (*unit, number, mean, shown)


_TABLES: dict[type, tuple[str, tuple[str, ...], Callable[[Any], Iterator[tuple[Any, ...]]]]] = {
    AblationCurve: ("curves", CURVE_COLUMNS, curve_rows),
    NoiseCurve: ("noise", NOISE_COLUMNS, _noise_rows),
    UnitTable: ("units", UNIT_COLUMNS, _unit_rows),
    Intact: ("intact", INTACT_COLUMNS, _intact_rows),
    Portraits: ("portraits", PORTRAIT_COLUMNS, _portrait_rows),
}
