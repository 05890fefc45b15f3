"""The command: what is asked, what is refused, and what is told in the end."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tb_plugin import metadata
from tb_plugin.export import bundle, folder, logdir, pages
from tb_plugin.export.answers import Answers, Table, Unit, folder_name
from tb_plugin.export.pages import Page
from tb_plugin.reading.curves import curves
from tb_plugin.reading.distributions import distributions
from tb_plugin.reading.provider import Experiment, Pair, ProviderError
from tb_plugin.reading.training import training

DESCRIPTION = """\
Makes a static copy of the tab "Single Directions" for a log directory: curves, units, distributions
and training. The copy needs no server and no Python. Open index.html from a disk, with the network
switched off, or put the folder on any web host.

Each chart and each unit has a page and its numbers as JSON; pages.html lists them. With "?embed" at
the end of its address a page shows its chart alone, to be put into another page's <iframe>;
"?embed=NAME" chooses one of several charts, and "theme=dark" or "theme=light" the colours."""

EXAMPLE = """\
example:
  python -m tb_plugin.demo /tmp/demo
  python -m tb_plugin.export --logdir /tmp/demo --out /tmp/site"""

STYLES = ("style.css", "site/site.css")
DATA = "data/index.js"
SCRIPTS = ("assets/echarts.js", "assets/app.js", DATA)
N_BINS = 40  # of the histograms in JSON, as many as the tab draws
ALL_UNITS = -1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the status to exit with."""
    asked = _parser().parse_args(arguments)
    try:
        written = export(asked.logdir, asked.out, asked.title, asked.unit_pages, asked.models)
    except (ExportError, ProviderError, folder.FolderError, bundle.BundleError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, reason in written.not_in_lab.items():
        print(f"Not in the lab: {name}, because {reason}.")
    print(
        f"Written: {written.n_files:,} files, {_size(written.n_bytes)}. "
        f"Open {asked.out / 'index.html'}, or see all pages in {asked.out / 'pages.html'}."
    )
    return 0


@dataclass(frozen=True)
class Written:
    """Files and bytes that were written, and the networks that a browser cannot run, with why."""

    n_files: int
    n_bytes: int
    not_in_lab: dict[str, str]


class ExportError(Exception):
    """There is nothing to copy; the text is a sentence for the user."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tb_plugin.export",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--logdir", type=Path, required=True, help="the log directory, as TensorBoard is given it"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a new folder for the copy, or that of an earlier copy, which is replaced",
    )
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder of .keras models for the lesion lab; the browser runs those that are chains "
        "of dense layers with masks, on the images beside them",
    )
    parser.add_argument("--title", default="Single Directions", help="of the pages")
    parser.add_argument(
        "--unit-pages",
        type=int,
        default=ALL_UNITS,
        metavar="N",
        help="give units a page and JSON of their own in tables of at most N units; the Unit "
        "inspector shows every unit anyway (default: in all tables)",
    )
    return parser


def export(
    source: Path, out: Path, title: str, unit_pages: int = ALL_UNITS, models: Path | None = None
) -> Written:
    """Writes a static copy of the tab for a log directory; see `write_copy`.

    Raises:
        ExportError: there is nothing to copy.
    """
    if not source.is_dir():
        raise ExportError(f"There is no log directory {source}.")
    if models is not None and not models.is_dir():
        raise ExportError(f"There is no folder of models {models}.")
    folder.check(out)
    return write_copy(logdir.read(source), out, title, unit_pages, models)


def write_copy(
    experiment: Experiment,
    out: Path,
    title: str,
    unit_pages: int = ALL_UNITS,
    models: Path | None = None,
) -> Written:
    """Writes a static copy of the tab.

    Args:
        experiment: what is copied. out: new folder, or that of an earlier copy.
        title: of the pages.
        unit_pages: most units of a table whose units get a page of their own; -1: all tables.
        models: folder of networks for the lab; None: the copy has no lab.

    Raises:
        ExportError: there is nothing to copy.
        folder.FolderError: the copy cannot be written there.
        bundle.BundleError: the front end is not complete.
    """
    charts, app = bundle.chart_library(), bundle.bundled()
    answers = Answers(experiment)
    if not answers.index["series"]:
        raise ExportError("The log directory holds no ablation data.")
    with folder.Folder(out) as copy:
        copy.write("assets/echarts.js", charts)
        copy.write("assets/app.js", app)
        css = [(bundle.STATIC / name).read_text(encoding="utf-8") for name in STYLES]
        copy.write("assets/style.css", "\n".join(css))
        copy.write("assets/pages.css", (bundle.STATIC / "site/pages.css").read_bytes())
        for path in sorted((bundle.STATIC / "vendor").glob("*.txt")):
            copy.write(f"assets/licenses/{path.name}", path.read_bytes())
        made = [Page("index.html", title, {}, "", "The tab")]
        lab = answers.networks(models) if models is not None else []
        for name, content in [*answers.curves(), *answers.trainings(), *lab]:
            copy.write(f"data/{name}.js", pages.data_script(name, content))
        for page, numbers in _charts(answers, experiment):
            copy.write(page.json, json.dumps(numbers, allow_nan=False))
            made.append(page)
        for table, files in answers.tables():
            for name, content in files:
                copy.write(f"data/{name}.js", pages.data_script(name, content))
            if table is None:
                continue
            made.append(_table_page(table))
            copy.write(made[-1].json, json.dumps(_numbers(table), allow_nan=False))
            if unit_pages == ALL_UNITS or table.header["n"] <= unit_pages:
                for unit in table.units:
                    made.append(_unit_page(table, unit))
                    copy.write(made[-1].json, json.dumps(unit, allow_nan=False))
        name, content = answers.contents()
        copy.write(DATA, pages.data_script(name, content))
        for page in made:
            copy.write(page.path, pages.page_html(page, SCRIPTS))
        about = "Each page is the whole tab, opened at one chart; each embed is that chart alone."
        copy.write("pages.html", pages.list_html(title, made, about))
    return Written(copy.n_files, copy.n_bytes, answers.not_in_lab)


def _charts(answers: Answers, experiment: Experiment) -> Iterator[tuple[Page, dict[str, Any]]]:
    """A page for each chart of each folder of runs, and its numbers as the routes reply them."""
    by_folder: dict[str, dict[str, list[Pair]]] = {}
    for series in answers.index["series"]:
        kinds = by_folder.setdefault(_folder_of(series["run"]), {})
        kinds.setdefault(series["kind"], []).append((series["run"], series["tag"]))
    trained = {run for run, _ in answers.contents()[1]["trainings"]}
    for name, kinds in by_folder.items():
        where = f"charts/{folder_name(name)}"

        def page(view: str, name: str = name, where: str = where) -> Page:
            title = f"{name}: {pages.VIEWS[view].lower()}"
            start = {"view": view, "group": name}
            return Page(f"{where}/{view}.html", title, start, f"{where}/{view}.json", "Charts")

        for view, kind in (("curves", metadata.CURVE), ("noise", metadata.NOISE)):
            if kind in kinds:
                yield page(view), {"curves": curves(experiment, kinds[kind], None)}
        if metadata.UNITS in kinds:
            column = "class_selectivity"
            found = distributions(experiment, kinds[metadata.UNITS], column, N_BINS, None)
            yield page("distributions"), {"column": column, **found}
        runs = list(dict.fromkeys(run for found in kinds.values() for run, _ in found))
        if of_training := [run for run in runs if run in trained]:
            yield page("training"), {"runs": training(experiment, of_training)}


def _folder_of(run: str) -> str:
    """As the tab groups runs: "fig1a" of "fig1a/seed=0", "." of a run in no folder."""
    return run.rpartition("/")[0] or "."


def _start(table: Table, view: str) -> dict[str, str]:
    run, tag = table.pair
    step = str(table.header["step"])
    return {
        "view": view,
        "group": _folder_of(run),
        "unitRun": run,
        "unitTag": tag,
        "unitStep": step,
    }


def _table_page(table: Table) -> Page:
    title = f"{' '.join(table.pair)}: {pages.VIEWS['units'].lower()}"
    return Page(
        f"{table.folder}/units.html",
        title,
        _start(table, "units"),
        f"{table.folder}/units.json",
        "Charts",
    )


def _unit_page(table: Table, unit: Unit) -> Page:
    run, tag = table.pair
    title = f"{unit['layer']}, unit {unit['unit']} of {run}"
    start = _start(table, "unit") | {"inspect": json.dumps([str(unit["row"])])}
    path = f"{table.folder}/{folder_name(unit['layer'])}/{unit['unit']}"
    return Page(f"{path}.html", title, start, f"{path}.json", f"Units of {run}, {tag}")


def _numbers(table: Table) -> dict[str, Any]:
    """A unit table as JSON, one entry a unit."""
    run, tag = table.pair
    kept = {key: table.header[key] for key in ("step", "walltime", "layers", "classes")}
    return {"run": run, "tag": tag, **kept, "units": [_value_of(unit) for unit in table.units]}


def _value_of(unit: Unit) -> dict[str, Any]:
    values = {name: one["value"] for name, one in unit["values"].items()}
    return {"layer": unit["layer"], "unit": unit["unit"], **values}


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:,.1f} kB"
