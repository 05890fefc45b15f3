"""The report as one HTML page that needs nothing but itself: style, pictures and numbers inline.

Every text that is not written here goes through `markup.text`, so nothing in a title, a path or a
layer's name can become markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repro.core.config import (
    OWN,
    CumulativeConfig,
    IntactConfig,
    NoiseConfig,
    PortraitsConfig,
    SweepConfig,
)
from repro.core.results import FigureResult
from repro.display.markup import STYLE, code, data_uri, table, text
from repro.paper import figures as drawing
from repro.paper.choices import choices, optimizer_words
from repro.paper.claims import INCONCLUSIVE, NOT_RUN, NOT_SUPPORTED, SUPPORTED, Verdict
from repro.paper.findings import figure_label, setting_words

# Each verdict has a sign and a word beside the colour, so that colour is never the only cue.
_BADGES = {
    SUPPORTED: ("yes", "✓"),
    NOT_SUPPORTED: ("no", "✗"),
    INCONCLUSIVE: ("open", "?"),
    NOT_RUN: ("none", "–"),
}
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


def render(
    figures: Sequence[FigureResult],
    verdicts: Sequence[Verdict],
    numbers: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> str:
    """The whole page.

    Args:
        figures: figures in the order in which they are shown.
        verdicts: verdicts on all claims of these figures.
        numbers: `findings.summary(figures)`.
        seconds: computing time of each figure, by name; figures may be missing.
    """
    sections = [
        _figure(figure, verdicts, numbers[figure.config.name], seconds.get(figure.config.name))
        for figure in figures
    ]
    return _PAGE.format(
        style=STYLE,
        lead=_lead(figures, verdicts),
        contents=_contents(figures),
        figures="\n".join(sections),
        claims=_claims_table(verdicts),
        choices=_choices(figures),
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


def _lead(figures: Sequence[FigureResult], verdicts: Sequence[Verdict]) -> str:
    profiles = list(dict.fromkeys(figure.config.profile for figure in figures))
    notes = "".join(f'<p class="profile">{text(_PROFILES[name])}</p>' for name in profiles)
    found = "".join(
        f'<li>{_badge(verdict.verdict)}<div><a href="#{text(_anchor(verdict))}">'
        f"<b>{text(verdict.claim)}</b></a> {text(verdict.statement)} "
        f'<span class="ours">{text(verdict.ours)}</span></div></li>'
        for verdict in verdicts
    )
    return notes + (f'<ul class="found">{found}</ul>' if found else "<p>No claim was judged.</p>")


def _contents(figures: Sequence[FigureResult]) -> str:
    return "".join(
        f'<a href="#{text(figure.config.name)}">{text(figure_label(figure.config.name))}</a>'
        for figure in figures
    )


def _figure(
    figure: FigureResult,
    verdicts: Sequence[Verdict],
    numbers: Mapping[str, Any],
    seconds: float | None,
) -> str:
    name = figure.config.name
    own = [verdict for verdict in verdicts if verdict.figure == name]
    files = " ".join(f'<a href="{text(file)}">{text(file)}</a>' for file in _files(figure))
    return f"""<section id="{text(name)}" aria-labelledby="{text(name)}-title">
<h2 id="{text(name)}-title"><span class="number">{text(figure_label(name))}</span>
{text(figure.config.title)}</h2>
<div class="beside">
{_picture(figure)}
<div class="cards">{"".join(_card(verdict) for verdict in own)}</div>
</div>
<h3>Networks</h3>
{_networks_table(numbers)}
{"".join(_sweep_table(numbers, sweep) for sweep, _ in figure.config.sweeps)}
<h3>How it was made</h3>
{_settings(figure, seconds)}
<p class="files">Files: {files}</p>
</section>"""


def _picture(figure: FigureResult) -> str:
    if not figure.networks:
        why = figure.not_run or "there is no network to show"
        return f"<p>Not run: {text(why)}.</p>"
    light, dark = (
        data_uri(drawing.draw(figure, kinds=["svg"], dark=dark, standalone=False)["svg"])
        for dark in (False, True)
    )
    return (
        f'<figure><picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{text(drawing.alternative_text(figure))}"></picture>'
        f"<figcaption>{text(drawing.caption(figure))}</figcaption></figure>"
    )


def _card(verdict: Verdict) -> str:
    note = f'<p class="note">{text(verdict.note)}</p>' if verdict.note else ""
    return f"""<article class="claim" id="{text(_anchor(verdict))}">
<h3>{_badge(verdict.verdict)}<span>{text(verdict.claim)}</span></h3>
<p>{text(verdict.statement)}</p>
<dl><dt>Paper</dt><dd>{text(verdict.paper)}</dd>
<dt>Ours</dt><dd>{text(verdict.ours)}</dd>
<dt>n</dt><dd>{text(verdict.n or "none")}</dd></dl>
{note}<p class="rule"><b>Rule.</b> {text(verdict.rule)}</p>
</article>"""


def _anchor(verdict: Verdict) -> str:
    """The anchor of a verdict in the page. Several figures may decide one claim."""
    return f"{verdict.claim}-{verdict.figure}"


def _files(figure: FigureResult) -> list[str]:
    """Names of the files beside the page that hold this figure."""
    name = figure.config.name
    if not figure.networks:
        return []
    names = {"cumulative": "curves", "single_unit": "units"}
    parts = dict.fromkeys(names.get(sweep.kind, sweep.kind) for _, sweep in figure.config.sweeps)
    return [f"{name}.png", f"{name}.svg", *(f"{name}_{part}.csv" for part in parts)]


def _badge(verdict: str) -> str:
    kind, sign = _BADGES[verdict]
    return (
        f'<span class="badge {kind}"><span aria-hidden="true">{sign}</span> {text(verdict)}</span>'
    )


def _networks_table(numbers: Mapping[str, Any]) -> str:
    networks = numbers["networks"][:_ROWS]
    more = len(numbers["networks"]) - len(networks)
    return table(
        "One row a network." + (f" {more} more are in summary.json." if more else ""),
        ("Network", "Epochs", "Train accuracy", "Test accuracy", "Train loss", "Test loss"),
        (
            (
                _label(network),
                _epochs(network),
                _decimal(network["train_accuracy"], 4),
                _decimal(network["test_accuracy"], 4),
                _decimal(network["train_loss"], 4),
                _decimal(network["test_loss"], 4),
            )
            for network in networks
        ),
    )


def _label(network: Mapping[str, Any]) -> str:
    """The settings that tell a network from the others of its figure, in words."""
    words = []
    for key, value in network["settings"].items():
        words.append(setting_words(key, value))
    return ", ".join(words) or f"seed {network['seed']}"


def _sweep_table(numbers: Mapping[str, Any], name: str) -> str:
    """A table of one sweep's results in each network; empty for a sweep along training, which the
    picture shows."""
    found = [
        (network, network["sweeps"][name])
        for network in numbers["networks"][:_ROWS]
        if name in network["sweeps"]
    ]
    kinds = {
        "cumulative": _curves_table,
        "noise": _noise_table,
        "single_unit": _units_tables,
        "portraits": _portraits_table,
    }
    if not found or found[0][1]["kind"] not in kinds:
        return ""
    return kinds[found[0][1]["kind"]](numbers, name, found)


_Rows = Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]


def _curves_table(numbers: Mapping[str, Any], name: str, found: _Rows) -> str:
    return table(
        f"Cumulative ablation {_quoted(name)}. AUC: mean ± s.d. over orders, on "
        f"{found[0][1]['n_images']:,} {found[0][1]['images']} images, filled with "
        f"{found[0][1]['fill'].replace('_', ' ')}.",
        ("Network", "AUC", "Normalized AUC", "Orders", "Units"),
        (
            (
                _label(network),
                _spread(sweep["auc"]),
                _spread(sweep["normalized_auc"]),
                str(sweep["orders"]),
                f"{sweep['n_units']:,}",
            )
            for network, sweep in found
        ),
    )


def _noise_table(numbers: Mapping[str, Any], name: str, found: _Rows) -> str:
    return table(
        f"Noise {_quoted(name)}. Accuracy relative to the intact network, averaged over all "
        f"scales: mean ± s.d. over draws, on {found[0][1]['n_images']:,} "
        f"{found[0][1]['images']} images.",
        ("Network", "Relative accuracy", "Draws"),
        (
            (_label(network), _spread(sweep["noise_tolerance"]), str(sweep["draws"]))
            for network, sweep in found
        ),
    )


def _units_tables(numbers: Mapping[str, Any], name: str, found: _Rows) -> str:
    return table(
        f"Single units {_quoted(name)}. rho: Spearman's rank correlation of class selectivity and "
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
    ) + table(
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


def _portraits_table(numbers: Mapping[str, Any], name: str, found: _Rows) -> str:
    return table(
        "The units shown. Rank: by importance, among the units they were picked from.",
        ("Picked as", "Unit", "Class selectivity", "Importance (nats)", "Rank", "Network"),
        (
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
        ),
    )


def _quoted(name: str) -> str:
    return f"“{name.replace('_', ' ')}”"


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


def _settings(figure: FigureResult, seconds: float | None) -> str:
    config, train = figure.config, figure.config.train
    rows = {
        "Data": figure.data,
        "Images": _n_images(figure),
        "Settings": f"{config.profile}, from {config.path}" if config.path else config.profile,
        "Optimizer": optimizer_words(train),
        "Training": drawing.training_words(figure.networks) if figure.networks else "none",
        "Lesions": "; ".join(dict.fromkeys(_lesion_words(sweep) for _, sweep in config.sweeps)),
        "Ties": _ties(figure),
        "Device": _facts(figure, "device"),
        "Processor": _facts(figure, "processor"),
        "Versions": _facts(figure, "versions"),
        "Commit": _facts(figure, "git_commit"),
        "Date": _facts(figure, "date"),
        "Computing time": duration(seconds),
        "Command": figure.command,
    }
    items = "".join(
        f"<div><dt>{text(term)}</dt><dd>"
        + (code(value) if term == "Command" else text(value))
        + "</dd></div>"
        for term, value in rows.items()
        if value
    )
    return f'<dl class="settings">{items}</dl>'


def _lesion_words(sweep: SweepConfig) -> str:
    """
    >>> _lesion_words(CumulativeConfig(orders=3, last_layers=2, fill="mean"))
    'cumulative ablation, units clamped to mean, last 2 layers, random order'
    """
    if isinstance(sweep, CumulativeConfig):
        what = "directions of a random basis" if sweep.basis == "random" else "units"
        words = f"cumulative ablation, {what} clamped to {sweep.fill.replace('_', ' ')}"
        if sweep.last_layers:
            words += f", last {sweep.last_layers} layers"
        if sweep.order == "random":
            return f"{words}, random order"
        ends = "largest" if sweep.descending else "smallest"
        return f"{words}, in order of {sweep.order.replace('_', ' ')}, {ends} first"
    if isinstance(sweep, NoiseConfig):
        drawn = ", one draw for each feature map" if sweep.per == "map" else ""
        return f"noise of {sweep.smallest:g} to {sweep.largest:g} s.d. on all units{drawn}"
    if isinstance(sweep, IntactConfig):
        return f"none, on {sweep.images} images"
    if isinstance(sweep, PortraitsConfig):
        where = f" of the last {sweep.last_layers} layers" if sweep.last_layers > 1 else ""
        where = " of the last layer" if sweep.last_layers == 1 else where
        return (
            f"every unit{where} alone, clamped to {sweep.fill.replace('_', ' ')}; of those whose "
            "importance lies above the median, the most class-selective one and the least"
        )
    what = "every direction of a random basis" if sweep.basis == "random" else "every unit"
    where = f" of the last {sweep.last_layers} layers" if sweep.last_layers else ""
    return f"{what}{where} alone, clamped to {sweep.fill.replace('_', ' ')}"


def _n_images(figure: FigureResult) -> str:
    if not figure.networks:
        return "none"
    training = figure.networks[0].training
    return f"{training.n_train:,} to train on, {training.n_test:,} to test on"


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


def _claims_table(verdicts: Sequence[Verdict]) -> str:
    heads = ("Claim", "Paper", "Ours", "n", "Data", "Verdict", "Rule", "Command")
    top = "".join(f'<th scope="col" role="columnheader">{head}</th>' for head in heads)
    body = "".join(_claim_row(verdict, heads) for verdict in verdicts)
    # The roles are written out: in the narrow layout rows are blocks, and screen readers would not
    # find them otherwise.
    return (
        '<table class="claims" role="table"><caption>Every claim that these results decide.'
        f'</caption><thead role="rowgroup"><tr role="row">{top}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table>'
    )


def _claim_row(verdict: Verdict, heads: Sequence[str]) -> str:
    cells = (
        text(verdict.paper),
        text(verdict.ours) + (f'<p class="note">{text(verdict.note)}</p>' if verdict.note else ""),
        text(verdict.n),
        text(f"{verdict.data}; {verdict.profile} settings"),
        _badge(verdict.verdict),
        text(verdict.rule),
        code(verdict.command),
    )
    rest = "".join(
        f'<td role="cell" data-head="{head}"><div>{cell}</div></td>'
        for head, cell in zip(heads[1:], cells, strict=True)
    )
    return (
        f'<tr role="row"><th scope="row" role="rowheader">{text(verdict.claim)} '
        f"<span>{text(figure_label(verdict.figure))}</span></th>{rest}</tr>"
    )


def _choices(figures: Sequence[FigureResult]) -> str:
    items = "".join(
        f"<div><dt>{text(topic)}</dt><dd>{text(choice)}</dd></div>"
        for topic, choice in choices([figure.config for figure in figures])
    )
    return f'<dl class="choices">{items}</dl>'


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Single directions: report</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header>
<h1>What networks lose when their units are ablated</h1>
<p class="subtitle">A reproduction of Morcos, Barrett, Rabinowitz and Botvinick, “On the importance
of single directions for generalization”, ICLR 2018
(<a href="https://arxiv.org/abs/1803.06959">arXiv:1803.06959</a>).</p>
<nav aria-label="Contents">{contents}<a href="#claims">All claims</a>
<a href="#choices">Our choices</a><a href="#words">Words</a></nav>
</header>
<main>
<section id="found" aria-labelledby="found-title">
<h2 id="found-title">What was found</h2>
{lead}
</section>
{figures}
<section id="claims" aria-labelledby="claims-title">
<h2 id="claims-title">All claims</h2>
{claims}
</section>
<section id="choices" aria-labelledby="choices-title">
<h2 id="choices-title">Where the paper is silent, what we chose</h2>
{choices}
</section>
<section id="words" aria-labelledby="words-title">
<h2 id="words-title">Words</h2>
<dl class="choices">
<div><dt>Unit</dt><dd>A neuron of a dense layer, or a feature map of a convolution, ablated at
every position.</dd></div>
<div><dt>Ablation</dt><dd>Clamping a unit’s activation to a fixed value, on every image.</dd></div>
<div><dt>Cumulative ablation curve</dt><dd>Accuracy as more and more units are ablated in a random
order.</dd></div>
<div><dt>AUC</dt><dd>Area under that curve. Low: the network relies on single directions.</dd></div>
<div><dt>Class selectivity</dt><dd>(µ<sub>max</sub> − µ<sub>rest</sub>) / (µ<sub>max</sub> +
µ<sub>rest</sub>) of a unit’s mean activations by class. 0: alike for all classes. 1: active for
one class only.</dd></div>
<div><dt>Mutual information</dt><dd>What a unit’s activation tells about the class, in
bits.</dd></div>
<div><dt>Importance</dt><dd>Change of test loss when the unit alone is ablated.</dd></div>
<div><dt>Label corruption</dt><dd>Fraction of training images whose labels were shuffled among
themselves.</dd></div>
</dl>
</section>
</main>
<footer>The same numbers for programs: <a href="summary.json">summary.json</a>,
<a href="claims.json">claims.json</a>, <a href="claims.csv">claims.csv</a>.</footer>
</body>
</html>
"""
