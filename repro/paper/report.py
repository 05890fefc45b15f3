"""Writes the results: a page for people, JSON and CSV for programs, pictures for both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from repro.core.kinds import KINDS
from repro.display.tables import to_csv, to_json
from repro.paper import claims, page
from repro.paper.claims import Verdict
from repro.paper.kept import FigureReport
from repro.paper.series import figure_label


def write(
    figures: Sequence[FigureReport], directory: Path, write_bytes: Callable[[Path, bytes], None]
) -> None:
    """Writes the report of these figures.

    index.html      everything, in one file that needs no other
    summary.json    numbers of every network; claims.json, claims.csv: the verdicts
    choices.json    the claims under other choices where the paper is silent
    <figure>.png, <figure>.svg, and every number drawn: <figure>_curves.csv, <figure>_noise.csv,
                    <figure>_units.csv, <figure>_intact.csv, <figure>_portraits.csv

    Args:
        directory: folder of the report; `write_bytes` makes it if it is missing.
        write_bytes: function that writes one file and handles errors of the disk.
    """
    for one in figures:
        for name, content in one.files.items():
            write_bytes(directory / name, content)
    verdicts = [verdict for one in figures for verdict in one.verdicts]
    others = [other for one in figures for other in one.others]
    numbers = {one.config.name: one.numbers for one in figures}
    write_bytes(directory / "summary.json", to_json(numbers))
    write_bytes(
        directory / "claims.json", to_json([claims.to_record(verdict) for verdict in verdicts])
    )
    write_bytes(directory / "claims.csv", claims_csv(verdicts))
    write_bytes(directory / "choices.json", to_json([claims.to_record(one) for one in others]))
    # The page is written last, so that the files that it links to exist.
    write_bytes(directory / "index.html", page.render(figures).encode())


def file_names(figure: str) -> list[str]:
    """All names that `write` may give to the files of a report with this figure."""
    parts = [f"{figure}_{kind.table}.csv" for kind in KINDS.values()]
    shared = ["index.html", "summary.json", "claims.json", "claims.csv", "choices.json"]
    return [*shared, f"{figure}.png", f"{figure}.svg", *parts]


def console(figures: Sequence[FigureReport]) -> str:
    """The verdicts in a few lines of plain ASCII for any terminal."""
    lines = []
    for one in figures:
        lines.append(f"{figure_label(one.config.name)}  {one.config.title}")
        lines.append(f"  {one.not_run or one.data}; {one.config.profile} settings")
        for verdict in one.verdicts:
            lines.append(f"  {verdict.claim} {verdict.verdict.upper()}: {verdict.statement}")
            lines.append(f"    ours:  {verdict.ours} (n: {verdict.n or 'none'})")
            lines.append(f"    paper: {verdict.paper}")
            if verdict.note:
                lines.append(f"    note:  {verdict.note}")
    return "\n".join(lines).replace("±", "+-").encode("ascii", "replace").decode()


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
