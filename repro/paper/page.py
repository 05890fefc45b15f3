"""What the report of the paper's figures says, as values; `templates/report.html` lays it out.

The page needs nothing but itself: style, pictures and numbers stand in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from repro.core.kinds import (
    KINDS,
    Functions,
)
from repro.core.results import FigureResult
from repro.core.settings import OWN
from repro.display import html
from repro.display.html import Item, Picture, Table
from repro.paper import figures as drawing
from repro.paper import others as other_choices
from repro.paper.choices import choices, optimizer_words
from repro.paper.claims import Other, Verdict
from repro.paper.series import figure_label, setting_words

_PROFILES = {
    "quick": "Quick settings: fewer images, narrow convnets on MNIST where no CIFAR-10 is at "
    "hand, and trainings much shorter than the paper's. They show that everything works and what "
    "to expect; they are not the paper's results. A network that stops once it has memorised "
    "leans less on single units than one trained on.",
    "desk": "Desk settings: the paper's networks and epochs as far as two processor cores allow; "
    "each figure says what was cut.",
    "paper": "Paper settings: sizes, epochs and data as in the paper.",
    OWN: "A trained network of your own: the paper's claims are asked of it as they are of the "
    "paper's networks, so a verdict is about this network alone.",
}


_ROWS = 24  # most rows of a table of networks; summary.json has all


class Judged(NamedTuple):
    """A verdict in the page.

    anchor: where the page tells of it; several figures may decide one claim. figure: its label.
    """

    verdict: Verdict
    anchor: str
    figure: str


class Option(NamedTuple):
    """One way to choose where the paper is silent, and what it decides.

    as_decided: whether the verdict itself chooses so. value: the number that the rule decides by,
        with its interval.
    """

    name: str
    as_decided: bool
    verdict: str
    value: str


class Choice(NamedTuple):
    """A claim by the results of a figure, under the options of one choice."""

    claim: str
    figure: str
    choice: str
    options: Sequence[Option]


class Section(NamedTuple):
    """What the page says of one figure.

    picture: None where no network was made; not_run says why. files: names of those beside the
        page that hold this figure.
    """

    name: str
    label: str
    title: str
    picture: Picture | None
    not_run: str
    claims: Sequence[Judged]
    tables: Sequence[Table]
    made: Sequence[Item]
    files: Sequence[str]


def render(
    figures: Sequence[FigureResult],
    verdicts: Sequence[Verdict],
    numbers: Mapping[str, Any],
    seconds: Mapping[str, float],
    others: Sequence[Other] = (),
) -> str:
    """The whole page.

    Args:
        figures: figures in the order in which they are shown.
        verdicts: verdicts on all claims of these figures.
        numbers: `summary.summary(figures)`.
        seconds: computing time of each figure, by name; figures may be missing.
        others: the claims of these figures under other choices.
    """
    judged = [_judged(verdict) for verdict in verdicts]
    profiles = dict.fromkeys(figure.config.profile for figure in figures)
    configs = [figure.config for figure in figures]
    return html.render(
        "paper/templates/report.html",
        profiles=[_PROFILES[name] for name in profiles],
        claims=judged,
        figures=[
            _section(figure, judged, numbers[figure.config.name], seconds.get(figure.config.name))
            for figure in figures
        ],
        choices=[Item(topic, choice) for topic, choice in choices(configs)],
        others=_under_other_choices(others),
        others_words=other_choices.words(others),
    )


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


def _under_other_choices(others: Sequence[Other]) -> list[Choice]:
    rows: dict[tuple[str, str, str], list[Other]] = {}
    for one in others:
        rows.setdefault((one.claim, one.figure, one.choice), []).append(one)
    return [
        Choice(claim, figure_label(figure), choice, [_option(one) for one in found])
        for (claim, figure, choice), found in rows.items()
    ]


def _option(one: Other) -> Option:
    value = other_choices.number(one.value)
    if one.interval is not None:
        low, high = map(other_choices.number, one.interval)
        value += f" [{low}, {high}]"
    return Option(one.option, one.as_decided, one.verdict, value)


def _judged(verdict: Verdict) -> Judged:
    return Judged(verdict, f"{verdict.claim}-{verdict.figure}", figure_label(verdict.figure))


def _section(
    figure: FigureResult,
    claims: Sequence[Judged],
    numbers: Mapping[str, Any],
    seconds: float | None,
) -> Section:
    name = figure.config.name
    return Section(
        name=name,
        label=figure_label(name),
        title=figure.config.title,
        picture=_picture(figure),
        not_run=figure.not_run or "there is no network to show",
        claims=[judged for judged in claims if judged.verdict.figure == name],
        tables=[
            *_variants_tables(numbers),
            _networks_table(numbers),
            *(one for sweep, _ in figure.config.sweeps for one in _sweep_tables(numbers, sweep)),
        ],
        made=_settings(figure, seconds),
        files=_files(figure),
    )


def _picture(figure: FigureResult) -> Picture | None:
    """None for a figure without networks."""
    if not figure.networks:
        return None
    light, dark = (
        drawing.draw(figure, kinds=["svg"], dark=dark, standalone=False)["svg"]
        for dark in (False, True)
    )
    return Picture(light, dark, drawing.alternative_text(figure), drawing.caption(figure))


def _files(figure: FigureResult) -> list[str]:
    """Names of the files beside the page that hold this figure."""
    name = figure.config.name
    if not figure.networks:
        return []
    parts = dict.fromkeys(KINDS[sweep.kind].table for _, sweep in figure.config.sweeps)
    return [f"{name}.png", f"{name}.svg", *(f"{name}_{part}.csv" for part in parts)]


def _networks_table(numbers: Mapping[str, Any]) -> Table:
    networks = numbers["networks"][:_ROWS]
    more = len(numbers["networks"]) - len(networks)
    return Table(
        "One row a network." + (f" {more} more are in summary.json." if more else ""),
        ("Network", "Epochs", "Train accuracy", "Test accuracy", "Train loss", "Test loss"),
        [
            (
                _label(network),
                _epochs(network),
                _decimal(network["train_accuracy"], 4),
                _decimal(network["test_accuracy"], 4),
                _decimal(network["train_loss"], 4),
                _decimal(network["test_loss"], 4),
            )
            for network in networks
        ],
    )


def _variants_tables(numbers: Mapping[str, Any]) -> Iterator[Table]:
    """What corrupted labels cost in each variant; none for a figure without variants."""
    found = numbers.get("variants")
    if not found or not found["rows"]:
        return
    yield Table(
        "One row a variant. AUC: true minus corrupted labels, with the bar of the rule of C1.",
        (
            "Variant",
            "Settings",
            "Normalized AUC",
            "Raw AUC",
            "Train accuracy, true",
            "Train accuracy, corrupted",
        ),
        [
            (
                setting_words("variant", row["variant"]),
                row["settings"],
                _difference(row["normalized_auc_difference"]),
                _difference(row["auc_difference"]),
                _decimal(row["train_accuracy_true"], 4),
                _decimal(row["train_accuracy_corrupted"], 4),
            )
            for row in found["rows"]
        ],
    )


def _difference(found: Mapping[str, float | None]) -> str:
    value, low, high = (found[key] for key in ("value", "low", "high"))
    if value is None:
        return "undefined"
    return f"{value:+.3f}" + ("" if low is None else f" [{low:+.3f}, {high:+.3f}]")


def _label(network: Mapping[str, Any]) -> str:
    """The settings that tell a network from the others of its figure, in words."""
    words = []
    for key, value in network["settings"].items():
        words.append(setting_words(key, value))
    return ", ".join(words) or f"seed {network['seed']}"


def _sweep_tables(numbers: Mapping[str, Any], name: str) -> Iterable[Table]:
    """Tables of one sweep's results in each network; none for a sweep along training, which the
    picture shows."""
    found = [
        (network, network["sweeps"][name])
        for network in numbers["networks"][:_ROWS]
        if name in network["sweeps"]
    ]
    if not found or found[0][1]["kind"] not in TABLES:
        return ()
    return TABLES[found[0][1]["kind"]](numbers, name, found)


_Rows = Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]

# The page's tables of a sweep, by the name of its kind: (numbers of the figure, name of the sweep,
# [(numbers of a network, numbers of the sweep in it)]) -> tables.
TABLES = Functions()


@TABLES.of("cumulative")
def _curves_tables(numbers: Mapping[str, Any], name: str, found: _Rows) -> Iterator[Table]:
    yield Table(
        f"{_heading(name, found)}. AUC: mean ± s.d. over orders, on "
        f"{found[0][1]['n_images']:,} {found[0][1]['images']} images, filled with "
        f"{found[0][1]['fill'].replace('_', ' ')}.",
        ("Network", "AUC", "Normalized AUC", "Orders", "Units"),
        [
            (
                _label(network),
                _spread(sweep["auc"]),
                _spread(sweep["normalized_auc"]),
                str(sweep["orders"]),
                f"{sweep['n_units']:,}",
            )
            for network, sweep in found
        ],
    )


@TABLES.of("noise")
def _noise_tables(numbers: Mapping[str, Any], name: str, found: _Rows) -> Iterator[Table]:
    yield Table(
        f"{_heading(name, found)}. Accuracy relative to the intact network, averaged over all "
        f"scales: mean ± s.d. over draws, on {found[0][1]['n_images']:,} "
        f"{found[0][1]['images']} images.",
        ("Network", "Relative accuracy", "Draws"),
        [
            (_label(network), _spread(sweep["noise_tolerance"]), str(sweep["draws"]))
            for network, sweep in found
        ],
    )


@TABLES.of("single_unit")
def _units_tables(numbers: Mapping[str, Any], name: str, found: _Rows) -> Iterator[Table]:
    yield Table(
        f"{_heading(name, found)}. rho: Spearman's rank correlation of class selectivity and "
        f"importance over all units, with its 95 % bootstrap interval.{_absent_words(found)}",
        ("Network", "rho", "rho without silent units", "Silent units", "Class selectivity"),
        [
            *(
                (
                    _label(network),
                    _rho(sweep["all_units"]),
                    _rho(sweep["live_units"]),
                    f"{sweep['dead']:,} of {sweep['n_units']:,}",
                    _spread(sweep["class_selectivity"]),
                )
                for network, sweep in found
            ),
            *_over_networks(numbers),
        ],
    )
    yield Table(
        "One row a layer. Importance: change of loss when the unit is ablated, mean ± s.d. "
        "over units. Mutual information: its bias subtracted.",
        (
            "Layer",
            "Network",
            "Units",
            "Silent",
            "Class selectivity",
            "Mutual information (bits)",
            "Importance (nats)",
            "rho",
        ),
        [
            (
                layer["layer"],
                _label(network),
                f"{layer['n_units']:,}",
                f"{layer['dead']:,}",
                _spread(layer["class_selectivity"]),
                _spread(layer["mutual_information"]),
                _spread(layer["importance"], ".2g"),
                _rho(layer),
            )
            for network, sweep in found
            for layer in sweep["layers"]
        ][: 2 * _ROWS],
    )


def _absent_words(found: _Rows) -> str:
    """A sentence that classes without images do not count; "" if all classes have images."""
    absent = sorted({sweep.get("classes_without_images", 0) for _, sweep in found} - {0})
    if not absent:
        return ""
    many = f"{absent[0]:,}" + (f" to {absent[-1]:,}" if len(absent) > 1 else "")
    return (
        f" {many} of the classes have no images here and do not count; where fewer than two have, "
        "class selectivity is not defined."
    )


@TABLES.of("portraits")
def _portraits_tables(numbers: Mapping[str, Any], name: str, found: _Rows) -> Iterator[Table]:
    yield Table(
        "The units shown. Rank: by importance, among the units they were picked from.",
        ("Picked as", "Unit", "Class selectivity", "Importance (nats)", "Rank", "Network"),
        [
            (
                unit["role"],
                unit["unit"],
                _decimal(unit["class_selectivity"], 3),
                "undefined" if unit["importance"] is None else f"{unit['importance']:.2g}",
                f"{unit['rank']:,} of {sweep['n_units']:,}",
                _label(network),
            )
            for network, sweep in found
            for unit in sweep["units"]
        ],
    )


def _heading(name: str, found: _Rows) -> str:
    """What kind of sweep a table is of, and the sweep's name."""
    return f"{KINDS[found[0][1]['kind']].title} “{name.replace('_', ' ')}”"


def _over_networks(numbers: Mapping[str, Any]) -> list[tuple[str, ...]]:
    together = numbers.get("over_networks")
    if not together or together["networks"] < 2:
        return []
    sd = "" if together["sd"] is None else f", s.d. over networks {together['sd']:.2f}"
    return [("all, ranks pooled", _rho(together) + sd, "", "", "")]


def _epochs(network: Mapping[str, Any]) -> str:
    return f"{network['epochs']:,}" + (" (stopped)" if network["stopped_early"] else "")


def _decimal(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _spread(found: Mapping[str, float | None], style: str = ".3f") -> str:
    if found["mean"] is None:
        return "undefined"
    return f"{found['mean']:{style}}" + ("" if found["sd"] is None else f" ± {found['sd']:{style}}")


def _rho(found: Mapping[str, Any]) -> str:
    if found["rho"] is None:
        return f"undefined (n = {found['n']:,})"
    return f"{found['rho']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


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
