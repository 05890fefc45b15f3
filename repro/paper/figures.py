"""Draws the figures from results: the panels that a config states, with title and caption.

Only Matplotlib's object interface is used, with Matplotlib's default settings instead of the
user's, so the same results give the same bytes. Series run from dark to light in one sequential
scale and also differ in marker, so that they can be told apart in a grey print.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from repro.core.kinds import AblationCurve, Functions, NoiseCurve, Portraits, shown_by
from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import BASE, PIXEL_RANGES, PanelConfig
from repro.core.words import percent
from repro.display.plots import (
    DARK,
    LIGHT,
    PAGE_SIZE,
    UNIT_MEASURES,
    Theme,
    correlation_words,
    rendered,
    split_name,
)
from repro.paper import panels
from repro.paper.choices import optimizer_words
from repro.paper.contrasts import contrasts, difference_words, sentence, variant_settings
from repro.paper.finding import FEWEST_NETWORKS
from repro.paper.image_panels import areas_words
from repro.paper.measures import (
    NETWORK_MEASURES,
    curves,
    image_tables,
    paper_epochs,
    relation,
    score_name,
    scores,
    sweeps_of,
    trajectory,
    unit_tables,
)
from repro.paper.panels import has_data, portrait_words, portraits
from repro.paper.series import Series, class_name, figure_label, series, setting_words
from repro.paper.series import panels as panels_of
from repro.paper.summary import stopped_early

__all__ = ["alternative_text", "caption", "compose", "draw", "percent", "training_words"]

_SIZE = (6.0, 4.0)  # inches, with type of 10 points


def draw(
    figure: FigureResult,
    *,
    kinds: Sequence[str] = ("png", "svg"),
    dark: bool = False,
    standalone: bool = True,
) -> dict[str, bytes]:
    """The figure as {"png": ..., "svg": ...}; the same results give the same bytes.

    Args:
        kinds: which of the two.
        dark: light ink, for a dark page.
        standalone: with title and caption on a background; otherwise transparent, for a page with
            title and caption of its own.

    Raises:
        ValueError: the figure has no network.
    """
    return rendered(
        lambda: compose(figure, dark=dark, standalone=standalone), kinds, dark, standalone
    )


def compose(figure: FigureResult, *, dark: bool = False, standalone: bool = True) -> Figure:
    """The figure before it is rendered; `draw` says what the arguments do.

    Panels stand side by side, four of them two by two; in a page one below the other.
    `repro.paper.panels` says which artist carries which group id.
    """
    if not figure.networks:
        raise ValueError(f"{figure.config.name} has no network to draw")
    theme = DARK if dark else LIGHT
    shown = panels_of(figure.config)
    width, height = _SIZE if standalone else PAGE_SIZE
    heights = [height + panels.legend_height(figure, panel) for panel in shown]
    across = 1
    if standalone:  # up to three side by side, four two by two
        across = len(shown) if len(shown) <= 3 else 2
    rows = -(-len(shown) // across)
    size = (width * across, rows * max(heights) if standalone else sum(heights))
    picture = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(picture)
    for index, panel in enumerate(shown, start=1):
        axes = picture.add_subplot(rows, across, index)
        panels.draw(figure, panel, axes, theme)
    if standalone:
        _add_words(figure, picture, theme)
    return picture


def caption(figure: FigureResult) -> str:
    """The caption: data, number of images, spread, length of training."""
    # Variants are told one by one, as they differ from the base.
    of_base = [n for n in figure.networks if figure.config.variant_of(n.config) in ("", BASE)]
    parts = [f"Data: {figure.data}.", f"Network: {_architecture(of_base or figure.networks)}."]
    words = [_panel_words(figure, panel) for panel in panels_of(figure.config)]
    said = [*parts, *dict.fromkeys(words), training_words(figure.networks)]
    return " ".join(filter(None, said))


# What a caption says of a panel that has data, and the text in place of its picture, by its kind:
# (figure, panel) -> sentences.
CAPTIONS, ALTERNATIVES = Functions(), Functions()


def _panel_words(figure: FigureResult, panel: PanelConfig) -> str:
    """One or two sentences on a panel."""
    if not has_data(figure, panel):
        return "A panel has no results."
    if panel.supposed:
        return (
            "Where a panel says “if”, the importances that were found are handed to other units, "
            "to show what such a relation would look like."
        )
    return CAPTIONS[panel.kind](figure, panel) if panel.kind in CAPTIONS else ""


@CAPTIONS.of("units")
def _units_words(figure: FigureResult, panel: PanelConfig) -> str:
    table = unit_tables(figure.networks, panel.sweep)[0]
    n_networks = len(figure.networks)
    first = figure.networks[0].config
    return (
        f"One point a unit; loss and selectivity on {table.n_images:,} "
        f"{split_name(table.images)} images; ρ: Spearman, with its 95 % bootstrap interval."
        + (f" Shown: seed {first.seed}, the first of {n_networks} networks." * (n_networks > 1))
    )


@CAPTIONS.of("distributions")
def _distributions_words(figure: FigureResult, panel: PanelConfig) -> str:
    table = unit_tables(figure.networks, panel.sweep)[0]
    where = "Units of all ablated layers, networks pooled."
    if panel.series == ("layer",):
        where = "Violins: units of a layer, networks pooled; dot: mean."
    silent = "; silent units count with a class selectivity of 0"
    return f"{where} Measured on {table.n_images:,} {split_name(table.images)} images" + (
        f"{silent}." if panel.x in ("", "class_selectivity") else "."
    )


@CAPTIONS.of("portrait")
def _portrait_caption(figure: FigureResult, panel: PanelConfig) -> str:
    found = portraits(figure, panel)
    return (
        f"Images: those of {found.n_images:,} {split_name(found.images)} images that drive the "
        "unit most, with their class; bars: its mean activation for each class. Picked from "
        f"{_layers_words(found)} by rule: of the units whose importance (change of "
        f"{split_name(found.images)} loss on ablation) lies above the median, the most "
        "class-selective one and the least."
    )


@CAPTIONS.of("fragile")
def _fragile_words(figure: FigureResult, panel: PanelConfig) -> str:
    table = image_tables(figure.networks, panel.sweep)[0]
    return (
        f"{table.n_images:,} {split_name(table.images)} images of each network, networks pooled; "
        f"each of {table.n_units:,} units lesioned alone. An answer changes where another class is "
        "answered than without a lesion."
    )


@CAPTIONS.of("finding")
def _finding_words(figure: FigureResult, panel: PanelConfig) -> str:
    return (
        "Shuffled labels are found by a score of each image, without knowing them; area under the "
        "ROC curve, mean ± s.d. over networks; dashes: guessing."
    )


@CAPTIONS.of("flips")
def _flips_words(figure: FigureResult, panel: PanelConfig) -> str:
    return (
        "The next unit is one that changes the answer or else the one that raises the loss of the "
        "answer most; drawn among images that are answered as they are labelled."
    )


@CAPTIONS.of("epochs")
def _epochs_words(figure: FigureResult, panel: PanelConfig) -> str:
    path = trajectory(figure.networks[0])
    n = 0 if path is None else len(path.epochs)
    band = "95 % bootstrap" if panel.y == "relation" else "± 1 s.d. over random orders"
    return f"{n} snapshots of the training. Band: {band}."


@CAPTIONS.of("networks")
def _networks_words(figure: FigureResult, panel: PanelConfig) -> str:
    point = "snapshot" if figure.networks[0].snapshots else "network"
    n = len(figure.networks)
    return (
        f"One point a {point} of {n} network{'s' if n > 1 else ''}; ρ: Spearman, with its 95 % "
        f"bootstrap interval from {FEWEST_NETWORKS} points on."
    )


@CAPTIONS.of("variants")
def _variants_words(figure: FigureResult, panel: PanelConfig) -> str:
    rows = contrasts(figure, panel.sweep)
    curve = curves(figure.networks, panel.sweep)[0]
    settings = variant_settings(figure.config)
    listed = "; ".join(
        f"{setting_words('variant', one.variant)}: {settings[one.variant]}"
        for one in rows
        if one.variant in settings
    )
    return " ".join(
        filter(
            None,
            [
                sentence(rows),
                "One row a variant: mean AUC with true labels minus that with corrupted ones, on "
                f"{curve.n_images:,} {split_name(curve.images)} images, {len(curve.orders)} random "
                "orders a network; bar: minus and plus both standard deviations added up, as in "
                "the rule of C1.",
                f"Base: {optimizer_words(figure.config.train)}. Variants: {listed}.",
            ],
        )
    )


def _layers_words(found: Portraits) -> str:
    names = [name for name, _ in found.layers]
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


@CAPTIONS.of("curves")
def _curve_words(figure: FigureResult, panel: PanelConfig) -> str:
    shown = series(figure, panel)
    first = [curve for one in shown for curve in curves(one.networks, one.sweep)][0]
    n_orders = len(first.n_correct)
    points = f", read at {len(first.n_ablated):,} numbers of ablated units"
    return _accuracy_words(
        figure, shown, first, points, f"{n_orders} random order{'s' * (n_orders > 1)}"
    )


@CAPTIONS.of("noise")
def _noise_words(figure: FigureResult, panel: PanelConfig) -> str:
    shown = series(figure, panel)
    first = [curve for one in shown for curve in sweeps_of(one.networks, NoiseCurve, one.sweep)][0]
    return _accuracy_words(figure, shown, first, "", f"{len(first.n_correct)} draws of noise")


def _accuracy_words(
    figure: FigureResult,
    shown: Sequence[Series],
    first: AblationCurve | NoiseCurve,
    points: str,
    repeats: str,
) -> str:
    """A caption of curves.

    Args:
        first: one of the curves; the others are read on as many images.
        points, repeats: where each curve is read, and what it is a mean of in each network.
    """
    labels = "labels as trained on" if first.images == "train" else "true labels"
    score = score_name(figure.networks[0]).capitalize()
    n_networks = max(len(one.networks) for one in shown)
    spread = repeats + (f" in each of {n_networks} networks" if n_networks > 1 else "")
    layers = first.layers
    where = f" Units of {layers[0][0]} to {layers[-1][0]}." if len(layers) > 1 else ""
    return (
        f"{score} on {first.n_images:,} {split_name(first.images)} images, {labels}{points}."
        f"{where} Line: mean over {spread}; band: ± 1 s.d."
    )


def training_words(networks: Sequence[NetworkResult]) -> str:
    """How long the networks trained, and whether the paper trained as long."""
    if any(network.config.architecture.given for network in networks):
        return "Not trained here."
    epochs = [network.training.epochs for network in networks]
    span = (
        f"{min(epochs):,}" if min(epochs) == max(epochs) else f"{min(epochs):,} to {max(epochs):,}"
    )
    words = f"Trained for {span} epoch{'' if max(epochs) == 1 else 's'}"
    early = [network for network in networks if stopped_early(network)]
    if early:
        limit = early[0].config.stop_at_train_accuracy
        who = "" if len(early) == len(networks) else f" ({len(early)} of {len(networks)} networks)"
        words += f", ended at a training accuracy of {limit:g}{who}"
    paper = [paper_epochs(network.config) for network in networks]
    if epochs == paper:
        return f"{words}, as in the paper."
    known = sorted({number for number in paper if number is not None})
    if not known:
        return f"{words}; the paper trains for 200,000 steps."
    return f"{words}; the paper trains {' or '.join(f'{number:,}' for number in known)}."


def alternative_text(figure: FigureResult) -> str:
    """A text in place of the picture: axes, series, and where the series run."""
    return " ".join(_panel_alternative(figure, panel) for panel in panels_of(figure.config))


def _panel_alternative(figure: FigureResult, panel: PanelConfig) -> str:
    if not has_data(figure, panel):
        return "A panel of ablated units without results."
    if panel.supposed:
        return f"For comparison: the same units, were importance {panel.supposed}."
    if panel.kind in ALTERNATIVES:
        return ALTERNATIVES[panel.kind](figure, panel)
    kind = shown_by(panel.kind)
    return "" if kind is None else f"{kind.title}."


@ALTERNATIVES.of("curves")
def _curve_alternative(figure: FigureResult, panel: PanelConfig) -> str:
    ends = _accuracies(figure, panel, AblationCurve, "with half of the units ablated")
    return f"Accuracy against the number of ablated units, one curve a series. {ends}."


@ALTERNATIVES.of("noise")
def _noise_alternative(figure: FigureResult, panel: PanelConfig) -> str:
    ends = _accuracies(figure, panel, NoiseCurve, "at a middling scale")
    return f"Accuracy against the scale of noise, one curve a series. {ends}."


def _accuracies(figure: FigureResult, panel: PanelConfig, result: Any, middle: str) -> str:
    """Where each series begins, and where it is in the middle."""
    corrupted = panel.series == ("label_corruption",)
    ends = []
    for one in series(figure, panel):
        mean = scores(one.networks, result, one.sweep).mean(axis=0)
        ends.append(
            f"{one.label or 'all networks'}{' corrupted labels' * corrupted}: "
            f"{mean[0]:.2f} intact, {mean[len(mean) // 2]:.2f} {middle}"
        )
    return "; ".join(ends)


@ALTERNATIVES.of("units")
def _units_alternative(figure: FigureResult, panel: PanelConfig) -> str:
    table = unit_tables(figure.networks, panel.sweep)[0]
    x, y = panel.x or "class_selectivity", panel.y or "importance"
    lines = "; ".join(
        f"{name}: {correlation_words(relation([table], name, x=x, y=y))}"
        for name, _ in table.layers
    )
    return (
        f"Scatter of {table.n_units} units: {UNIT_MEASURES[x]} against {UNIT_MEASURES[y]} of "
        f"each unit when it is ablated, with a regression line for each layer. {lines}."
    )


@ALTERNATIVES.of("distributions")
def _distributions_alternative(figure: FigureResult, panel: PanelConfig) -> str:
    return f"Distribution over ablated units of {UNIT_MEASURES[panel.x or 'class_selectivity']}."


@ALTERNATIVES.of("portrait")
def _portrait_alternative(figure: FigureResult, panel: PanelConfig) -> str:
    found = portraits(figure, panel)
    index = found.roles.index(panel.role)
    network = figure.networks[0]
    classes = [class_name(network, label) for label in found.top_labels[index] if label >= 0]
    strongest = class_name(network, int(found.class_means[:, index].argmax()))
    return (
        f"A {panel.role} unit, {found.name(panel.role)}, and what it costs when ablated: "
        f"{portrait_words(found, panel.role)}. Images that drive it most are of the classes "
        f"{', '.join(classes)}; its mean activation is largest for {strongest}."
    )


@ALTERNATIVES.of("fragile", "finding", "flips")
def _fragile_alternative(figure: FigureResult, panel: PanelConfig) -> str:
    tables = image_tables(figure.networks, panel.sweep)
    shown = {
        "fragile": "The share of images that are at least so fragile when single units are "
        "ablated, for true and for shuffled labels",
        "finding": "ROC curves of finding shuffled labels by fragility under ablation, by loss and "
        "by margin",
        "flips": "The share of images whose answer changes with so many units ablated",
    }
    return f"{shown[panel.kind]}. {areas_words(tables)}"


@ALTERNATIVES.of("epochs")
def _epochs_alternative(figure: FigureResult, panel: PanelConfig) -> str:
    return "Along training: what ablated units cost, and the losses of the network."


@ALTERNATIVES.of("networks")
def _networks_alternative(figure: FigureResult, panel: PanelConfig) -> str:
    names = [NETWORK_MEASURES[name][0] for name in (panel.x, panel.y) if name]
    return f"Scatter of networks whose units were ablated: {' against '.join(names)}."


@ALTERNATIVES.of("variants")
def _variants_alternative(figure: FigureResult, panel: PanelConfig) -> str:
    listed = "; ".join(
        f"{setting_words('variant', one.variant)}: {difference_words(one.normalized)}"
        + ("" if one.memorised else ", not all networks memorised")
        for one in contrasts(figure, panel.sweep)
    )
    return (
        "A row for each variant of the training, with what ablated units cost more in networks of "
        f"corrupted labels, as a difference of normalized AUC. {listed}."
    )


def _add_words(figure: FigureResult, picture: Figure, theme: Theme) -> None:
    """Adds a title above and a caption below a standalone picture."""
    width, height = picture.get_size_inches()
    title = textwrap.wrap(
        f"{figure_label(figure.config.name)}  {figure.config.title}", int(9 * width)
    )
    below = textwrap.wrap(caption(figure), int(17.3 * width))
    # Lines of 12 and 8 points are added to the height, so that the plot keeps its size.
    picture.set_size_inches(width, height + 0.2 * len(title) + 0.15 * len(below))
    picture.suptitle("\n".join(title), x=0.012, ha="left", fontsize=12, fontweight="bold")
    picture.supxlabel(
        "\n".join(below), x=0.012, ha="left", fontsize=7.5, color=theme.muted, linespacing=1.35
    )


def _architecture(networks: Sequence[NetworkResult]) -> str:
    """The networks in a few words, each different one once."""
    return " or ".join(dict.fromkeys(network_words(network) for network in networks))


def network_words(network: NetworkResult) -> str:
    """Architecture and sizes of one network."""
    config = network.config
    if config.architecture.given:
        return f"your own, {Path(config.model).name}"
    words = config.network
    if widths := config.hidden_units:
        listed = ", ".join(f"{width:,}" for width in widths)
        if len(set(widths)) == 1:
            listed = f"{len(widths)} × {widths[0]:,}"
        words += f", {listed} hidden units"
    if config.width != 1:
        words += f", {config.width:g} of the paper's feature maps"
    if not config.batch_norm:
        words += ", without batch norm"
    if config.head_units:
        words += f", {config.head_units:,} hidden units before the logits"
    if config.pixel_range != PIXEL_RANGES[0]:
        words += f", pixels from {config.pixel_range}"
    return words
