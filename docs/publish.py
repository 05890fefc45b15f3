"""Copies a report's figures, numbers and verdicts into docs/results, and writes the pages that
show them.

    python docs/publish.py runs/report --out docs/results/desk
    python docs/publish.py runs/report --out docs/results/desk --weights fig7b,fig4b
    python docs/publish.py                                         the pages alone

Each figure gets a folder with its picture, its part of summary.json and its record, one archive
with tables, labels, settings and history (`repro.paper.record`). The folder `networks` holds small
networks, which several figures may share. claims.json and claims.csv hold the verdicts on all
figures, choices.json those under other choices, and README.md tells by which command, with which
seeds, on what device and when each was made. A figure published before is replaced; other files
stay, and nothing is written over them. Pictures of a data set's images stay out, and so does any
file above 1.4 MB.

Labels need the images (--data_dir, or $TFDS_DATA_DIR); history and weights need the networks, which
lie beside the report. A record says what was not at hand.

Then the pages are written from claims.json of every such folder: its README.md,
docs/results/README.md with everything that was found, and the short table in the project's README.
Records explain their columns as the code does now; a figure without a record gets one.
`result_pages.py` makes the pages. What a person has to say of a claim stands in
docs/results/remarks.md, under a heading such as `## C1: short title`.
"""

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from result_pages import HEAD, Record, choices, claims, overview, page, remarks, table, with_table

from repro.core.kinds import KINDS
from repro.display.tables import to_csv, to_json
from repro.experiments.runs import Runs
from repro.paper import others, record
from repro.paper.claims import to_record

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results"
README = ROOT / "README.md"
PAGE = RESULTS / "README.md"
REMARKS = RESULTS / "remarks.md"
LARGEST_BYTES = record.LARGEST_BYTES
MOST_BYTES = 15_000_000  # of docs/results


def publish(
    report: Path, out: Path, data_dir: str = "", with_weights: Callable[[str], bool] = bool
) -> None:
    """Copies what a report holds into the folder `out`, figure by figure.

    Args:
        data_dir: folder of TFDS; "" for that of the environment.
        with_weights: whether the small networks of a figure, by its name, are kept.

    Raises:
        SystemExit: a file is in the way that was not published before.
    """
    numbers = json.loads((report / "summary.json").read_text())
    done = [name for name, figure in numbers.items() if figure["networks"]]
    check(out, done)
    runs = Runs(report.parent) if (report.parent / "networks").is_dir() else None
    made = {
        name: record.make(
            name,
            numbers[name],
            tables(report, name),
            runs=runs,
            data_dir=data_dir,
            weights=with_weights(name),
        )
        for name in done
    }
    before = named_networks(out)
    networks = {
        run_id: content for one in made.values() for run_id, content in one.networks.items()
    }
    check(out, done, [run_id for run_id in networks if run_id not in before])
    for name in done:
        folder = out / name
        for file in published(folder):
            file.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_bytes(to_json({name: numbers[name]}))
        (folder / f"{name}.zip").write_bytes(made[name].archive)
        if not (report / f"{name}_portraits.csv").exists():
            for picture in (f"{name}.png", f"{name}.svg"):
                if (report / picture).exists():
                    copy_picture(report / picture, folder / picture)
    for run_id, content in networks.items():
        (out / "networks").mkdir(exist_ok=True)
        (out / "networks" / f"{run_id}.keras").write_bytes(content)
    for run_id in before - named_networks(out):
        (out / "networks" / f"{run_id}.keras").unlink(missing_ok=True)
    new = [one for one in json.loads((report / "claims.json").read_text()) if one["figure"] in done]
    old = [one for one in claims(out) if one["figure"] not in done]
    both = sorted(old + new, key=lambda one: (int(one["claim"][1:]), one["figure"]))
    (out / "claims.json").write_bytes(to_json(both))
    (out / "claims.csv").write_bytes(csv_of(both))
    publish_choices(report, out, done)
    (out / "README.md").write_text(overview(out))


def publish_choices(report: Path, out: Path, done: Sequence[str]) -> None:
    """Adds the claims of these figures under other choices to those of the folder, and draws all.

    A report made by an older version has none.
    """
    file = report / "choices.json"
    new = json.loads(file.read_text()) if file.exists() else []
    old = [to_record(one) for one in choices(out) if one.figure not in done]
    both = sorted(old + new, key=lambda one: (int(one["claim"][1:]), one["figure"]))
    (out / "choices.json").write_bytes(to_json(both))
    for kind, content in others.draw(choices(out)).items() if both else ():
        (out / f"choices.{kind}").write_bytes(content)


def tables(folder: Path, figure: str) -> dict[str, bytes]:
    """The tables of a figure that lie in a folder, by name."""
    files = [folder / f"{figure}_{kind.table}.csv" for kind in KINDS.values()]
    return {file.name: file.read_bytes() for file in files if _is_file(file)}


def copy_picture(picture: Path, target: Path) -> None:
    """Copies a picture unless it is too large. A PNG file gets a palette of 256 colours, with which
    our drawings look the same and take a third."""
    content = picture.read_bytes()
    if picture.suffix == ".png":
        with Image.open(io.BytesIO(content)) as image:
            if image.mode != "P":
                palette = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
                buffer = io.BytesIO()
                palette.save(buffer, "PNG", optimize=True)
                content = min(content, buffer.getvalue(), key=len)
    if len(content) <= LARGEST_BYTES:
        target.write_bytes(content)


def named_networks(out: Path) -> set[str]:
    """The networks in the folder `networks` that the records of some figure name, by run id."""
    return {
        one["run_id"]
        for file in out.glob("*/*.zip")
        if file in published(file.parent)
        for one in record.networks_of(file.read_bytes())
        if "file" in one["weights"]
    }


def renew(folder: Path, data_dir: str = "") -> None:
    """Makes a published figure's record up to date.

    The record explains its columns as the code does now. Where there is none, the tables that lie
    in the folder, as they were published once, become one; networks are then not at hand.

    Raises:
        SystemExit: another archive is in the way.
    """
    name, archive = folder.name, folder / f"{folder.name}.zip"
    if os.path.lexists(archive):
        if archive not in published(folder):
            sys.exit(f"{archive} was not published before and would be lost; move it")
        archive.write_bytes(record.refreshed(archive.read_bytes()))
        return
    numbers = json.loads((folder / "summary.json").read_text())[name]
    loose = tables(folder, name)
    archive.write_bytes(record.make(name, numbers, loose, data_dir=data_dir).archive)
    for table_file in loose:
        (folder / table_file).unlink()
    if _is_file(folder / f"{name}.png"):
        copy_picture(folder / f"{name}.png", folder / f"{name}.png")


def published(folder: Path) -> list[Path]:
    """The files of a figure's folder that were published before; [] if it is another folder."""
    name, summary = folder.name, folder / "summary.json"
    if not _is_file(summary) or not _reads(summary, lambda found: found.keys() == {name}):
        return []
    files = [summary, *folder.glob(f"{name}.*"), *folder.glob(f"{name}_*.csv")]
    archive = folder / f"{name}.zip"
    if _is_file(archive) and not record.is_record(archive.read_bytes(), name):
        files.remove(archive)
    suffixes = (".json", ".csv", ".png", ".svg", ".zip")
    return [file for file in files if _is_file(file) and file.suffix in suffixes]


def check(out: Path, figures: Sequence[str], networks: Iterable[str] = ()) -> None:
    """That nothing else than what was published before is written over.

    Args:
        networks: run ids of those that were not published before.

    Raises:
        SystemExit: a sentence that names the file.
    """
    overview, records = out / "README.md", out / "claims.json"
    mine = {
        overview: _is_file(overview) and overview.read_bytes().startswith(HEAD.encode()),
        records: _is_file(records) and _reads(records, _are_claims),
    }
    mine[out / "claims.csv"] = mine[records]
    other = out / "choices.json"
    mine[other] = _is_file(other) and _reads(other, _are_choices)
    mine |= {out / f"choices.{kind}": mine[other] for kind in ("png", "svg")}
    for name in figures:
        old = published(out / name)
        there = [file for file in (out / name).glob("*") if _may_be_written(file.name, name)]
        mine |= {file: file in old for file in there}
        mine |= {out / name: (out / name).is_dir() and not (out / name).is_symlink()}
    mine |= {out / "networks" / f"{run_id}.keras": False for run_id in networks}
    for file, was_published in mine.items():
        if os.path.lexists(file) and not was_published:
            sys.exit(f"{file} was not published before and would be lost; move it, or change --out")


def _may_be_written(file: str, figure: str) -> bool:
    return (
        file == "summary.json" or re.match(rf"{re.escape(figure)}(\.|_.*\.csv$)", file) is not None
    )


def _are_claims(found: Any) -> bool:
    return isinstance(found, list) and all(
        {"claim", "figure", "verdict"} <= set(one) for one in found
    )


def _are_choices(found: Any) -> bool:
    return isinstance(found, list) and all(
        {"claim", "choice", "option"} <= set(one) for one in found
    )


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _reads(file: Path, test: Callable[[Any], bool]) -> bool:
    """Whether a file holds JSON that passes a test."""
    try:
        return test(json.loads(file.read_bytes()))
    except (ValueError, TypeError, AttributeError):
        return False


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def csv_of(records: Sequence[Record]) -> bytes:
    """Verdicts as a table, with their interval in two columns."""
    columns = [column for column in records[0] if column != "interval"] if records else []
    rows = [
        (*(one[column] for column in columns), *(one["interval"] or (None, None)))
        for one in records
    ]
    return to_csv((*columns, "low", "high"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("reports", type=Path, nargs="*", help="folders of reports")
    parser.add_argument("--out", type=Path, help="such as docs/results/desk")
    parser.add_argument("--data_dir", default="", help="folder of TFDS; else $TFDS_DATA_DIR")
    parser.add_argument(
        "--weights",
        default="all",
        help="figures whose small networks are kept, such as fig7b,fig4b; all, or none",
    )
    arguments = parser.parse_args()
    if arguments.reports and arguments.out is None:
        parser.error("--out=FOLDER is needed with a report")
    chosen = arguments.weights.split(",")
    for report in arguments.reports:
        publish(
            report,
            arguments.out,
            arguments.data_dir,
            lambda name: chosen == ["all"] or name in chosen,
        )
    folders = sorted(file.parent for file in RESULTS.glob("*/claims.json"))
    said = remarks(REMARKS.read_text())
    for folder in folders:
        for file in sorted(folder.glob("*/summary.json")):
            if published(file.parent):
                renew(file.parent, arguments.data_dir)
        (folder / "README.md").write_text(overview(folder))
    PAGE.write_text(page(folders, said))
    README.write_text(with_table(README.read_text(), table(folders, said)))
    if (size := size_of(RESULTS)) > MOST_BYTES:
        sys.exit(
            f"{RESULTS.name} holds {size / 1e6:.1f} MB, and {MOST_BYTES / 1e6:.0f} are allowed; "
            "publish again with the weights of fewer figures (--weights)"
        )


if __name__ == "__main__":
    main()
