"""Makes what the report says of one figure from its results."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from repro.core.kinds import KINDS, SweepResult
from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import PanelConfig
from repro.display.html import Item, Picture
from repro.display.tables import to_csv
from repro.paper import claims, page_tables, sentences
from repro.paper import figures as drawing
from repro.paper.choices import optimizer_words
from repro.paper.kept import FigureReport
from repro.paper.series import panels
from repro.paper.summary import summary, varied_settings

COMMON_COLUMNS = {
    "run_id": "Name of the network, made from its settings.",
    "settings": "Settings in which the figure's networks differ.",
    "label_corruption": "Fraction of training images whose labels were shuffled among themselves.",
    "seed": "Seed of the network.",
    "sweep": "Name of the set of lesions.",
    "epoch": "Epochs trained when the lesions were made; empty for the finished network.",
}
"""First columns of every table; the others are `Kind.columns`."""


def figure_report(figure: FigureResult, seconds: float | None = None) -> FigureReport:
    """What the report says of a figure.

    Args:
        seconds: computing time of its results; None if it was not measured.
    """
    name = figure.config.name
    numbers = summary([figure])[name]
    files: dict[str, bytes] = {}
    if figure.networks:
        files |= {f"{name}.{kind}": content for kind, content in drawing.draw(figure).items()}
    files |= {f"{name}_{part}.csv": content for part, content in figure_csv(figure).items()}
    return FigureReport(
        config=figure.config,
        n_networks=len(figure.networks),
        not_run=figure.not_run,
        data=figure.data,
        verdicts=tuple(
            dataclasses.replace(verdict, seconds=seconds) for verdict in claims.judge(figure)
        ),
        others=tuple(claims.under_other_choices(figure)),
        numbers=numbers,
        sentence=sentences.sentence(figure),
        caption=drawing.caption(figure) if figure.networks else "",
        pictures=tuple(_pictures(figure)),
        tables=(
            *page_tables.variants(numbers),
            page_tables.networks(numbers),
            *(
                table
                for sweep, _ in figure.config.sweeps
                for table in page_tables.of_sweep(numbers, sweep)
            ),
        ),
        made=tuple(_settings(figure, seconds)),
        files=files,
    )


def alone(figure: FigureResult, panel: PanelConfig) -> FigureResult:
    """The figure with this panel only."""
    return dataclasses.replace(figure, config=dataclasses.replace(figure.config, panels=(panel,)))


def _pictures(figure: FigureResult) -> Iterator[Picture]:
    """Each panel as a picture of its own, so that a page can set them side by side."""
    for panel in panels(figure.config) if figure.networks else ():
        one = alone(figure, panel)
        light, dark = (
            drawing.draw(one, kinds=["svg"], dark=dark, standalone=False)["svg"]
            for dark in (False, True)
        )
        yield Picture(light, dark, drawing.alternative_text(one), "")


# --- Tables as files ----------------------------------------------------------------------------


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


# --- How it was made ----------------------------------------------------------------------------


def _settings(figure: FigureResult, seconds: float | None) -> list[Item]:
    config, train = figure.config, figure.config.train
    lesions = (KINDS[sweep.kind].words(sweep) for _, sweep in config.sweeps)
    rows = {
        "Data": figure.data,
        "Images": _n_images(figure),
        "Settings": f"{config.profile}, from {config.path}" if config.path else config.profile,
        "Optimizer": optimizer_words(train),
        "Training": drawing.training_words(figure.networks) if figure.networks else "none",
        "Lesions": "; ".join(dict.fromkeys(lesions)),
        "Ties": _ties(figure),
        "Device": _facts(figure, "device"),
        "Processor": _facts(figure, "processor"),
        "Training speed": _speed(figure),
        "Versions": _facts(figure, "versions"),
        "Commit": _facts(figure, "git_commit"),
        "Date": _facts(figure, "date"),
        "Computing time": duration(seconds),
        "Command": figure.command,
    }
    return [Item(term, words, term == "Command") for term, words in rows.items() if words]


def _n_images(figure: FigureResult) -> str:
    if not figure.networks:
        return "none"
    training = figure.networks[0].training
    return f"{training.n_train:,} to train on, {training.n_test:,} to test on"


def _speed(figure: FigureResult) -> str:
    """Images a second of the slowest and of the fastest training, on the device above; "" where no
    time was noted."""
    found = [network.training.images_per_second for network in figure.networks]
    speeds = [f"{speed:,.0f}" for speed in sorted(filter(None, found))]
    if not speeds:
        return ""
    ends = speeds[0] if speeds[0] == speeds[-1] else f"{speeds[0]} to {speeds[-1]}"
    many = f"; {len(speeds)} trainings" if len(speeds) > 1 else ""
    return f"{ends} images a second, compiling included{many}"


def _ties(figure: FigureResult) -> str:
    """How many answers depend on rounding, over all networks; "" if ties were not counted."""
    counts = [found.n_tied for network in figure.networks for found in network.sweeps.values()]
    if not counts or None in counts:
        return ""
    return f"{sum(filter(None, counts)):,} answers whose two best logits tie within rounding"


def _facts(figure: FigureResult, key: str) -> str:
    """The values that the networks' records have under this key, each once."""
    answers = []
    for network in figure.networks:
        value = network.training.facts.get(key)
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {version}" for name, version in value.items())
        if value and str(value) not in answers:
            answers.append(str(value))
    return "; ".join(answers)


def duration(seconds: float | None) -> str:
    """A duration in words.

    >>> duration(75.0)
    '1 min 15 s'
    """
    if seconds is None:
        return "not measured"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
