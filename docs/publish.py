"""Copies a report's figures, numbers and verdicts to where the README shows them.

    python docs/publish.py runs/report --out docs/results/desk

Each figure gets a folder with its picture, its tables and its part of summary.json; claims.json
and claims.csv hold the verdicts on all figures of the folder, and README.md there tells by which
command, with which seeds, on what device and when each was made. A figure published before is
replaced; other files stay, and nothing is written over them. Pictures of a data set's images stay
out, and so does any file above 1.4 MB. Afterwards the table of claims in the project's README is
written anew from claims.json of every such folder.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from repro.paper.report import to_csv, to_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results"
README = ROOT / "README.md"
BEGIN, END = "<!-- claims: written by docs/publish.py -->", "<!-- end of claims -->"
LARGEST_BYTES = 1_400_000
HEAD = "# Results with `"
NOTE = """\
CIFAR-10 here was stored as JPEG and decoded again, so that its pixels differ by a few levels from
the original ones. What the commands replace with `--set` was cut to fit the time at hand; data,
sizes and rules stand in claims.json. Before commit c8c8fe940 (2026-11-27) the engine ran several
graphs at a time; on some processors a loss was then wrong now and then in first evaluations, by
up to 0.15 %, and no count was seen to be wrong. What was computed earlier (Figs. 1a, 2a, 5a and the
regularizer) was not computed anew.
"""

Record = dict[str, Any]


def publish(report: Path, out: Path) -> None:
    """Copies what a report holds into the folder `out`, figure by figure.

    Raises:
        SystemExit: a file is in the way that was not published before.
    """
    numbers = json.loads((report / "summary.json").read_text())
    done = [name for name, figure in numbers.items() if figure["networks"]]
    check(out, done)
    for name in done:
        folder = out / name
        for file in published(folder):
            file.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_bytes(to_json({name: numbers[name]}))
        shows_images = (report / f"{name}_portraits.csv").exists()
        for file in sorted([*report.glob(f"{name}.*"), *report.glob(f"{name}_*.csv")]):
            picture = file.suffix in (".png", ".svg")
            if file.stat().st_size <= LARGEST_BYTES and not (picture and shows_images):
                shutil.copyfile(file, folder / file.name)
    new = [one for one in json.loads((report / "claims.json").read_text()) if one["figure"] in done]
    old = [one for one in claims(out) if one["figure"] not in done]
    both = sorted(old + new, key=lambda one: (int(one["claim"][1:]), one["figure"]))
    (out / "claims.json").write_bytes(to_json(both))
    (out / "claims.csv").write_bytes(csv_of(both))
    (out / "README.md").write_text(overview(out))


def published(folder: Path) -> list[Path]:
    """The files of a figure's folder that were published before; [] if it is another folder."""
    name, summary = folder.name, folder / "summary.json"
    if not _is_file(summary) or not _reads(summary, lambda found: found.keys() == {name}):
        return []
    files = [summary, *folder.glob(f"{name}.*"), *folder.glob(f"{name}_*.csv")]
    suffixes = (".json", ".csv", ".png", ".svg")
    return [file for file in files if _is_file(file) and file.suffix in suffixes]


def check(out: Path, figures: Sequence[str]) -> None:
    """That nothing else than what was published before is written over.

    Raises:
        SystemExit: a sentence that names the file.
    """
    overview, records = out / "README.md", out / "claims.json"
    mine = {
        overview: _is_file(overview) and overview.read_bytes().startswith(HEAD.encode()),
        records: _is_file(records) and _reads(records, _are_claims),
    }
    mine[out / "claims.csv"] = mine[records]
    for name in figures:
        old = published(out / name)
        there = [file for file in (out / name).glob("*") if _may_be_written(file.name, name)]
        mine |= {file: file in old for file in there}
        mine |= {out / name: (out / name).is_dir() and not (out / name).is_symlink()}
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


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _reads(file: Path, test: Callable[[Any], bool]) -> bool:
    """Whether a file holds JSON that passes a test."""
    try:
        return test(json.loads(file.read_bytes()))
    except (ValueError, TypeError, AttributeError):
        return False


def claims(folder: Path) -> list[Record]:
    """The verdicts published in a folder; [] if there are none."""
    file = folder / "claims.json"
    return json.loads(file.read_text()) if file.exists() else []


def overview(out: Path) -> str:
    """How each figure of a folder was made, as a page."""
    rows = [("figure", "networks", "seeds", "images", "device", "date", "commit", "command")]
    for file in sorted(out.glob("*/summary.json")):
        ((name, figure),) = json.loads(file.read_text()).items()
        networks = figure["networks"]
        made = [network.get("circumstances", {}) for network in networks]

        def known(key: str, made: Sequence[Record] = made) -> str:
            return several(one[key] for one in made if key in one)

        rows.append(
            (
                f"[{name}]({name})",
                str(len(networks)),
                several(network["seed"] for network in networks),
                f"{figure['data']}; {several(n['n_train'] for n in networks)} to train on",
                ", ".join(filter(None, (known("device"), known("processor")))),
                known("date"),
                several(one["git_commit"][:9] for one in made if "git_commit" in one),
                f"`{figure['command']}`",
            )
        )
    return f"{HEAD}{out.name}` settings\n\n{NOTE}\n{markdown(rows)}"


def table(folders: Iterable[Path]) -> str:
    """All published claims as a Markdown table."""
    rows = [("claim", "paper", "ours", "n", "data", "verdict", "command")]
    cuts: dict[str, str] = {}
    for folder in folders:
        for one in claims(folder):
            figure = f"[{one['figure']}](docs/results/{folder.name}/{one['figure']})"
            note = f" {one['note']}" if one["note"] else ""
            rows.append(
                (
                    f"{one['claim']}, {figure}: {one['statement']}",
                    one["paper"],
                    one["ours"] + "." + note if note else one["ours"],
                    one["n"],
                    one["data"],
                    f"**{one['verdict']}**",
                    _short_command(one["command"], cuts),
                )
            )
    listed = "".join(f"- cut {letter}: `{settings}`\n" for settings, letter in cuts.items())
    return markdown(rows) + (f"\n{listed}" if listed else "")


def _short_command(command: str, cuts: dict[str, str]) -> str:
    """The command, with the settings that it replaces as a letter, which `cuts` is told.

    >>> cuts = {}
    >>> _short_command("./run_all.sh --only=fig1a --set=train.epochs=320", cuts), cuts
    ('`./run_all.sh --only=fig1a` cut A', {'--set=train.epochs=320': 'A'})
    """
    words = shlex.split(command)
    plain = shlex.join(word for word in words if not word.startswith("--set="))
    settings = shlex.join(word for word in words if word.startswith("--set="))
    if not settings:
        return f"`{plain}`"
    letter = cuts.setdefault(settings, chr(ord("A") + len(cuts)))
    return f"`{plain}` cut {letter}"


def with_table(readme: str, text: str) -> str:
    """The README with this table between its marks."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(readme):
        raise ValueError(f"the README lacks the marks {BEGIN} and {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n{text}{END}", readme)


def several(values: Iterable[Any]) -> str:
    """Different values in their order.

    >>> several([0, 1, 0])
    '0, 1'
    """
    return ", ".join(dict.fromkeys(map(str, values)))


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table; the first is the head.

    >>> print(markdown([("a", "b"), ("1", "|x|")]), end="")
    | a | b |
    |---|---|
    | 1 | \\|x\\| |
    """
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    lines.insert(1, "---|" * (len(rows[0]) - 1) + "---")
    return "".join(
        f"|{line}|\n" if number == 1 else f"| {line} |\n" for number, line in enumerate(lines)
    )


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
    parser.add_argument("--out", type=Path, required=True, help="such as docs/results/desk")
    arguments = parser.parse_args()
    for report in arguments.reports:
        publish(report, arguments.out)
    folders = sorted(file.parent for file in RESULTS.glob("*/claims.json"))
    README.write_text(with_table(README.read_text(), table(folders)))


if __name__ == "__main__":
    main()
