"""Makes a copy of a log directory: its assets, its data, its pages and their numbers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tb_plugin import metadata
from tb_plugin.export import bundle, folder, logdir, pages
from tb_plugin.export.answers import Answers, Data, Table, Unit
from tb_plugin.export.names import folder_name
from tb_plugin.export.pages import Page
from tb_plugin.reading.curves import curves
from tb_plugin.reading.distributions import distributions
from tb_plugin.reading.provider import Experiment, Pair
from tb_plugin.reading.training import training

STYLES = ("style.css", "site/site.css")
DATA = "data/index.js"
SCRIPTS = ("assets/echarts.js", "assets/app.js", DATA)
N_BINS = 40  # of the histograms in JSON, as many as the tab draws
ALL_UNITS = -1
ABOUT = "Each page is the whole tab, opened at one chart; each embed is that chart alone."


class ExportError(Exception):
    """There is nothing to copy; the text is a sentence for the user."""


@dataclass(frozen=True)
class Options:
    """How a copy is made.

    title: of the pages.
    view: with which index.html opens, one of `pages.VIEWS`; "": as the tab does.
    unit_pages: most units of a table whose units get a page of their own; -1: all tables.
    models: folder of networks for the lab; None: the copy has no lab.
    one_file: whether index.html shall hold everything, and be the only page.
    """

    title: str = "Single Directions"
    view: str = ""
    unit_pages: int = ALL_UNITS
    models: Path | None = None
    one_file: bool = False


@dataclass(frozen=True)
class Written:
    """Files and bytes that were written, and the networks that a browser cannot run, with why."""

    n_files: int
    n_bytes: int
    not_in_lab: dict[str, str]


def export(source: Path, out: Path, options: Options = Options()) -> Written:
    """Makes a static copy of the tab for a log directory; see `write_copy`.

    Raises:
        ExportError: there is nothing to copy.
    """
    if not source.is_dir():
        raise ExportError(f"There is no log directory {source}.")
    if options.models is not None and not options.models.is_dir():
        raise ExportError(f"There is no folder of models {options.models}.")
    folder.check(out)
    return write_copy(logdir.read(source), out, options)


def write_copy(experiment: Experiment, out: Path, options: Options = Options()) -> Written:
    """Makes a static copy of the tab.

    Args:
        experiment: what is copied. out: new folder, or that of an earlier copy.

    Raises:
        ExportError: there is nothing to copy.
        folder.FolderError: the copy cannot be written there.
        bundle.BundleError: the front end is not complete.
    """
    answers = Answers(experiment)
    if not answers.index["series"]:
        raise ExportError("The log directory holds no ablation data.")
    scripts = {"assets/echarts.js": bundle.chart_library(), "assets/app.js": bundle.bundled()}
    style = "\n".join((bundle.STATIC / name).read_text(encoding="utf-8") for name in STYLES)
    start = {"view": options.view} if options.view else {}
    first = Page("index.html", options.title, start, "", "The tab")
    with folder.Folder(out) as copy:
        if options.one_file:
            data = [
                pages.data_script(*file)
                for _, files in _data(answers, options.models)
                for file in files
            ]
            whole = [scripts["assets/echarts.js"], *data, scripts["assets/app.js"]]
            copy.write(first.path, pages.whole_page(first, style, whole))
        else:
            for path, text in {**scripts, "assets/style.css": style, **_further()}.items():
                copy.write(path, text)
            _write_pages(copy, answers, experiment, first, options)
    return Written(copy.n_files, copy.n_bytes, answers.not_in_lab)


def _further() -> dict[str, str]:
    """The style of the list of pages, and the licences of the chart library."""
    licences = sorted((bundle.STATIC / "vendor").glob("*.txt"))
    return {
        "assets/pages.css": (bundle.STATIC / "site/pages.css").read_text(encoding="utf-8"),
        **{f"assets/licenses/{one.name}": one.read_text(encoding="utf-8") for one in licences},
    }


def _write_pages(
    copy: folder.Folder, answers: Answers, experiment: Experiment, first: Page, options: Options
) -> None:
    """Writes the data, each page with its numbers, and the list of all pages."""
    of_tables, of_charts = [], []
    for table, files in _data(answers, options.models):
        for name, content in files:
            copy.write(f"data/{name}.js", pages.data_script(name, content))
        for page, numbers in _pages(table, options.unit_pages):
            copy.write(page.json, json.dumps(numbers, allow_nan=False))
            of_tables.append(page)
    for page, numbers in _charts(answers, experiment):
        copy.write(page.json, json.dumps(numbers, allow_nan=False))
        of_charts.append(page)
    made = [first, *of_charts, *map(_lab_page, answers.models), *of_tables]
    for page in made:
        copy.write(page.path, pages.page_html(page, SCRIPTS))
    copy.write("pages.html", pages.list_html(options.title, made, ABOUT))


def _data(answers: Answers, models: Path | None) -> Iterator[tuple[Table | None, list[Data]]]:
    """Every file of data, the file "index" last; the table to which files belong, if to any."""
    yield None, list(answers.curves())
    yield None, list(answers.trainings())
    if models is not None:
        yield None, list(answers.networks(models))
    yield from answers.tables()
    yield None, [answers.contents()]


def _pages(table: Table | None, unit_pages: int) -> Iterator[tuple[Page, Any]]:
    """The pages of a table and of its units, and the numbers that they show."""
    if table is None:
        return
    yield _table_page(table), _numbers(table)
    if unit_pages == ALL_UNITS or table.header["n"] <= unit_pages:
        for unit in table.units:
            yield _unit_page(table, unit), unit


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


def _lab_page(model: dict[str, Any]) -> Page:
    """The page of the lab with one network."""
    start = {"view": "lab", "model": model["id"]}
    path = f"lab/{folder_name(model['id'])}.html"
    return Page(path, f"{model['name']}: {pages.VIEWS['lab'].lower()}", start, "", "Networks")


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
