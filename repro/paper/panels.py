"""Draws the kinds of panels of the paper's figures, each into one pair of axes.

Curves with bands (Figs. 1, 2, 3a, 5, A1), units (Figs. 7, A3, A4), distributions (Figs. 6, A2),
along training (Fig. 4a), networks (Figs. 3b, 4b, 4c), variants of the training, and single units
with the images that drive them (DeepMind's post). A panel's config says what is drawn; nothing here
knows a figure by name.

Artists carry a group id that names their data: "mean-<series>", "band-<series>", "units-<layer
number>", "dead-...", "line-...", "distribution-<series>", "networks-<series>", "epochs-<measure>",
"contrast-<measure>-<variant>" and "bar-..." of variants, "image-<place>" and "profile" of a
portrait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath
from matplotlib.ticker import FuncFormatter, MaxNLocator

from repro.core.datasets import DataSet
from repro.core.kinds import AblationCurve, Functions, NoiseCurve, Portraits, UnitTable, shown_by
from repro.core.metrics import mean_and_sd
from repro.core.results import FigureResult
from repro.core.settings import PanelConfig
from repro.core.words import percent, typeset
from repro.display.plots import (
    CROWDED,
    LEGEND_LINE,
    LINES,
    MARKERS,
    UNIT_MEASURES,
    Theme,
    bands,
    correlation_words,
    key_words,
    points,
    power_of_ten,
    regression,
    split_name,
    styles,
)
from repro.paper.contrasts import contrasts
from repro.paper.finding import FEWEST_NETWORKS, Estimate
from repro.paper.measures import (
    NETWORK_MEASURES,
    Trajectory,
    correlation,
    curves,
    memorised,
    relation,
    score_name,
    scores,
    sweep_of,
    sweeps_of,
    trajectory,
    unit_tables,
)
from repro.paper.series import Series, class_name, series, setting_words

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ACROSS = 8  # images of a portrait in one row
_NAMED_CLASSES = 20  # most class names below a portrait's bars
# A legend above the axes has two columns from so many series on.
_TWO_COLUMNS = 6
_SMALL = 7.0  # points of type in a legend of so many
_COLUMN = 1.9  # inches of text in one of two columns, beside its line


# How each kind of panel is drawn: (figure, panel, axes, theme) -> None.
DRAWN = Functions()
# Lines of a panel's legend above the axes, title left out: (figure, panel) -> int. A kind without
# an entry has its legend elsewhere.
LEGENDS = Functions()


def legend_height(figure: FigureResult, panel: PanelConfig) -> float:
    """Inches that the panel's legend needs above the axes; 0 if the legend is elsewhere."""
    if panel.kind not in LEGENDS or panel.series == ("layer",):
        return 0.0
    return LEGEND_LINE * (1 + LEGENDS[panel.kind](figure, panel))


@LEGENDS.of("units")
def _lines_of_layers(figure: FigureResult, panel: PanelConfig) -> int:
    tables = unit_tables(figure.networks, panel.sweep)
    if not tables:
        return 0
    labels = _layer_labels(panel, tables[0])
    return -(-len(labels) // _columns(labels))


@LEGENDS.of("distributions", "networks")
def _lines_of_series(figure: FigureResult, panel: PanelConfig) -> int:
    return len(series(figure, panel))


@LEGENDS.of("epochs")
def _lines_of_measures(figure: FigureResult, panel: PanelConfig) -> int:
    return 3


@LEGENDS.of("variants")
def _lines_of_marks(figure: FigureResult, panel: PanelConfig) -> int:
    return 3


def _layer_labels(panel: PanelConfig, table: UnitTable) -> list[str]:
    """Each layer with its correlation, and with its number of units where there is room."""
    x, y = panel.x or "class_selectivity", panel.y or "importance"
    labels = []
    for name, size in table.layers:
        words = f"{_short(name)}: {correlation_words(relation([table], name, x=x, y=y))}"
        labels.append(words + (f", n = {size:,}" if len(table.layers) < _TWO_COLUMNS else ""))
    return labels


def _columns(labels: Sequence[str]) -> int:
    """How many columns the legend of layers has; two of many layers, if their names fit in."""
    if len(labels) < _TWO_COLUMNS:
        return 1
    font = FontProperties(size=_SMALL)
    widths = [TextToPath().get_text_width_height_descent(one, font, False)[0] for one in labels]
    return 2 if max(widths) / 72 <= _COLUMN else 1


def draw(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """Draws one panel; if its results are missing, the axes say so."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if panel.title:
        axes.set_title(panel.title, loc="left", fontsize=10, color=theme.ink)
    if has_data(figure, panel):
        DRAWN[panel.kind](figure, panel, axes, theme)
    else:
        axes.text(0.5, 0.5, "no results", ha="center", va="center", color=theme.muted)


def has_data(figure: FigureResult, panel: PanelConfig) -> bool:
    """Whether any network has the results that the panel shows."""
    kind = shown_by(panel.kind)
    if kind is not None:
        shown = series(figure, panel)
        return any(sweeps_of(one.networks, kind.result, one.sweep) for one in shown)
    if panel.kind == "variants":
        return bool(contrasts(figure, panel.sweep))
    if panel.kind == "epochs" or _along_training(figure):
        return any(network.snapshots for network in figure.networks)
    return bool(figure.networks)


# --- Curves ------------------------------------------------------------------------------------


def _above(panel: PanelConfig) -> tuple[float, float]:
    """The height at which a legend above the axes begins: above the panel's title, if any."""
    return (0, 1.09 if panel.title else 1.02)


def legend_above(axes: Axes, panel: PanelConfig) -> None:
    """A legend above the axes, for which `LEGENDS` leaves room."""
    axes.legend(loc="lower left", bbox_to_anchor=_above(panel), borderaxespad=0, alignment="left")


def _legend_beside(axes: Axes, panel: PanelConfig) -> None:
    corrupted = panel.series == ("label_corruption",)
    axes.legend(
        title="labels\ncorrupted" if corrupted else None,
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(1.02, 1.03),
        borderaxespad=0,
        handlelength=2.2,
    )


@DRAWN.of("curves")
def _curves(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """Accuracy against the number of ablated units (Fig. 1)."""
    shown = [one for one in series(figure, panel) if curves(one.networks, one.sweep)]
    first = curves(shown[0].networks, shown[0].sweep)[0]
    network = shown[0].networks[0]
    samples = [scores(one.networks, AblationCurve, one.sweep) for one in shown]
    bands(axes, theme, shown, first.n_ablated, samples)
    if panel.mark:
        _mark_fractions(axes, theme, panel, shown, first.n_units)
    _chance(axes, theme, network.config.data_set)
    axes.set_xlim(0, first.n_units)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=True))
    what = "ablated directions" if _rotated(figure, shown) else "ablated units"
    axes.set_xlabel(f"number of {what} (of {first.n_units:,})")
    axes.set_ylabel(f"{split_name(first.images)} {score_name(network)}")
    fractions = axes.secondary_xaxis(
        "top",
        functions=(lambda x: np.divide(x, first.n_units), lambda x: np.multiply(x, first.n_units)),
    )
    fractions.set_xticks([0, 0.25, 0.5, 0.75, 1])
    fractions.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    fractions.set_xlabel("fraction of units ablated", color=theme.muted, fontsize=9)
    fractions.tick_params(labelsize=8)
    fractions.spines["top"].set_color(theme.grid)
    _legend_beside(axes, panel)


def _rotated(figure: FigureResult, shown: Sequence[Series]) -> bool:
    sweeps = dict(figure.config.sweeps)
    return all(getattr(sweeps.get(one.sweep), "basis", "") == "random" for one in shown)


def _mark_fractions(
    axes: Axes, theme: Theme, panel: PanelConfig, shown: Sequence[Series], n_units: int
) -> None:
    """Dashed vertical lines at the fraction of units that dropout silenced in training (Fig.
    5a)."""
    drawn = set()
    for one, style in zip(shown, styles(shown, theme), strict=True):
        fraction = getattr(one.networks[0].config, panel.mark)
        if fraction and fraction not in drawn:
            drawn.add(fraction)
            axes.axvline(
                fraction * n_units,
                color=style.colour,
                linewidth=1.2,
                linestyle=(0, (4, 3)),
                gid=f"mark-{fraction:g}",
            )


def _chance(axes: Axes, theme: Theme, data: DataSet) -> None:
    """A line at the accuracy of guessing; none for a user's own images, whose classes are not known
    here."""
    if data.given:
        return
    chance = (5 if data.top5 else 1) / data.n_classes
    axes.axhline(chance, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)), label="chance")


@DRAWN.of("noise")
def _noise(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """Accuracy against the scale of noise on all units (Fig. 2); the intact network, at scale 0,
    has no place on the logarithmic axis."""
    shown = [one for one in series(figure, panel) if sweeps_of(one.networks, NoiseCurve, one.sweep)]
    first = sweeps_of(shown[0].networks, NoiseCurve, shown[0].sweep)[0]
    network = shown[0].networks[0]
    samples = [scores(one.networks, NoiseCurve, one.sweep)[:, 1:] for one in shown]
    bands(axes, theme, shown, first.scales[1:], samples)
    _chance(axes, theme, network.config.data_set)
    axes.set_xscale("log")
    axes.set_xlim(first.scales[1], first.scales[-1])
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel("scale of per-unit noise (of each unit's s.d.)")
    axes.set_ylabel(f"{split_name(first.images)} {score_name(network)}")
    _legend_beside(axes, panel)


# --- Units -------------------------------------------------------------------------------------


@DRAWN.of("units")
def _units(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """Two measures of every unit of the first network, coloured by layer (Fig. 7)."""
    table = unit_tables(figure.networks, panel.sweep)[0]
    x, y = panel.x or "class_selectivity", panel.y or "importance"
    if panel.supposed:
        table = supposed(table, panel.supposed, x)
    across, up = getattr(table, x), getattr(table, y)
    axes.axhline(0, color=theme.muted, linewidth=0.8, zorder=1)
    handles = []
    finite = np.isfinite(across) & np.isfinite(up)
    labels = _layer_labels(panel, table)
    for index, (name, _) in enumerate(table.layers):
        colour = theme.series(len(table.layers))[index]
        marker = MARKERS[2 * index % len(MARKERS)]
        style = LINES[index % len(LINES)]
        rows = (table.layer_names == name) & finite
        if not panel.lines_only:
            crowded = table.n_units >= CROWDED
            points(axes, (across, up), rows, table.dead, (colour, marker), index, crowded)
        ends = regression(across[rows], up[rows])
        if ends is not None:
            axes.plot(*ends, color=colour, linewidth=2, linestyle=style, gid=f"line-{index}")
        handles.append(
            Line2D(
                [],
                [],
                color=colour,
                marker="" if panel.lines_only else marker,
                linestyle=style,
                markersize=5,
                label=labels[index],
            )
        )
    n_dead = int(table.dead.sum())
    if n_dead and not panel.lines_only:
        words = f"silent on every image, selectivity counted as 0: {n_dead:,}"
        handles.append(Line2D([], [], color=theme.ink, marker="x", linestyle="none", label=words))
    if x == "class_selectivity":
        axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(UNIT_MEASURES[x])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    _label_up(axes, table, y, up[finite])
    whole = correlation_words(relation([table], x=x, y=y))
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=_above(panel),
        borderaxespad=0,
        title=f"all units: {whole}, n = {table.n_units:,}",
        alignment="left",
        ncols=_columns(labels),
        fontsize=9 if len(labels) < _TWO_COLUMNS else _SMALL,
        columnspacing=1,
        handlelength=2.2,
    )


def supposed(table: UnitTable, relation: str, x: str = "class_selectivity") -> UnitTable:
    """The unit table as it would be if importance rose or fell with x, or were unrelated to x.

    The importances are kept and assigned to other units. Ranks are blurred by a sixth of their
    range, so that the points scatter like real ones.

    Args:
        relation: "rising", "falling" or "unrelated".
    """
    rng = np.random.default_rng(0)
    ranks = np.argsort(np.argsort(getattr(table, x), kind="stable"), kind="stable")
    towards = {"rising": 1.0, "falling": -1.0, "unrelated": 0.0}[relation] * ranks
    places = np.argsort(towards + rng.standard_normal(table.n_units) * table.n_units / 6)
    importance = np.empty(table.n_units)
    importance[places] = np.sort(table.importance)
    return replace(table, loss=table.intact_loss + importance)


def _label_up(axes: Axes, table: UnitTable, measure: str, values: np.ndarray) -> None:
    """Labels the y axis; losses are scaled by a power of ten."""
    if measure != "importance":
        axes.set_ylabel(UNIT_MEASURES[measure])
        return
    exponent = power_of_ten(values)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: typeset(f"{y / 10.0**exponent:.4g}")))
    unit = f"10{str(exponent).translate(_SUPERSCRIPTS)} nats" if exponent else "nats"
    axes.set_ylabel(f"change of {split_name(table.images)} loss on ablation ({unit})")


# --- Distributions -----------------------------------------------------------------------------


# Costs of an ablation have any size: they are written in significant digits, not in hundredths.
_COSTS = ("importance", "accuracy_drop", "largest_class_drop", "held_out_class_drop")


@DRAWN.of("distributions")
def _distributions(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """The distribution of a measure over units: by series (Fig. 6) or by layer (Fig. A2)."""
    measure = panel.x or "class_selectivity"
    if panel.series == ("layer",):
        _by_layer(figure, panel, measure, axes, theme)
        return
    shown = [one for one in series(figure, panel) if unit_tables(one.networks, one.sweep)]
    pooled = [
        np.concatenate([getattr(table, measure) for table in unit_tables(one.networks, one.sweep)])
        for one in shown
    ]
    pooled = [values[np.isfinite(values)] for values in pooled]
    everything = np.concatenate(pooled)
    low, high = (0.0, 1.0)
    if measure != "class_selectivity" and len(everything):
        low, high = everything.min(), everything.max()
    colours = [style.colour for style in styles(shown, theme)]
    digits = ".2g" if measure in _COSTS else ".2f"
    for index, (one, values) in enumerate(zip(shown, pooled, strict=True)):
        turned = unit_tables(one.networks, one.sweep)[0].basis == "random"
        if not len(values):
            axes.plot([], [], color=colours[index], label=f"{one.label}: not defined")
            continue
        axes.hist(
            values,
            bins=np.linspace(low, max(high, low + 1e-9), 31).tolist(),
            density=True,
            histtype="stepfilled" if index == 0 else "step",
            alpha=0.5 if index == 0 else 1.0,
            linewidth=2,
            color=colours[index],
            label=f"{one.label}: mean {values.mean():{digits}}, "
            f"n = {len(values):,} {'directions' if turned else 'units'} "
            f"of {len(one.networks)} network{'' if len(one.networks) == 1 else 's'}",
            gid=f"distribution-{key_words(one)}",
        )
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_xlabel(UNIT_MEASURES[measure])
    axes.set_ylabel("density of units")
    axes.legend(loc="lower left", bbox_to_anchor=_above(panel), borderaxespad=0, alignment="left")


def _by_layer(
    figure: FigureResult, panel: PanelConfig, measure: str, axes: Axes, theme: Theme
) -> None:
    """A violin for each layer, networks pooled, with its mean as a dot."""
    tables = unit_tables(figure.networks, panel.sweep)
    names = [name for name, _ in tables[0].layers]
    colours = theme.series(len(names))
    for index, name in enumerate(names):
        values = np.concatenate([getattr(t, measure)[t.layer_names == name] for t in tables])
        values = values[np.isfinite(values)]
        if not len(values):
            continue  # undefined, as class selectivity with one class
        # A violin needs values that differ, to estimate a density.
        if np.ptp(values) > 0:
            drawn: Any = axes.violinplot([values], [index + 1], widths=0.85, showextrema=False)
            body = drawn["bodies"][0]
            body.set(facecolor=colours[index], alpha=0.45, gid=f"distribution-{index}")
        axes.plot(
            [index + 1],
            [values.mean()],
            marker="o",
            markersize=5,
            color=theme.ink,
            gid=f"mean-{index}",
        )
    axes.set_xticks(range(1, len(names) + 1))
    axes.set_xlabel("hidden layer, from the input")
    axes.set_ylabel(UNIT_MEASURES[measure])


# --- Along training ----------------------------------------------------------------------------


@DRAWN.of("epochs")
def _epochs(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """Losses and AUC along training (Fig. 4a), or the relation of selectivity and importance."""
    paths = [path for network in figure.networks if (path := trajectory(network))]
    if panel.y == "relation":
        _relations(paths, axes, theme)
    else:
        _losses(paths[0], axes, theme)
        second = axes.twinx()
        second.spines["top"].set_visible(False)
        for name, values, style in (
            ("normalized_auc", paths[0].normalized_auc, "-"),
            ("auc", paths[0].auc, ":"),
        ):
            mean, sd = mean_and_sd(values, axis=1)
            label = "normalized AUC" if name == "normalized_auc" else "AUC"
            second.plot(
                paths[0].epochs,
                mean,
                color=theme.green,
                linestyle=style,
                linewidth=2,
                marker="^" if style == "-" else "",
                markersize=4,
                label=f"{label} (right axis)",
                gid=f"epochs-{name}",
            )
            if np.all(np.isfinite(sd)) and style == "-":
                second.fill_between(
                    paths[0].epochs, mean - sd, mean + sd, color=theme.green, alpha=0.2, linewidth=0
                )
        second.set_ylabel("area under the ablation curve", color=theme.green)
        second.grid(False)
        handles = [*axes.get_legend_handles_labels()[0], *second.get_legend_handles_labels()[0]]
        axes.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=_above(panel),
            borderaxespad=0,
            ncols=2,
        )
    axes.set_xlabel("epochs of training")
    _epoch_scale(axes, paths[0].epochs)


def _losses(path: Trajectory, axes: Axes, theme: Theme) -> None:
    parts = (
        ("train_loss", path.train_loss, theme.blue, "o"),
        ("test_loss", path.test_loss, theme.purple, "s"),
    )
    for name, values, colour, marker in parts:
        axes.plot(
            path.epochs,
            values,
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=2,
            label=name.replace("_", " "),
            gid=f"epochs-{name}",
        )
    # Cropped as in the paper: otherwise the untrained network's loss would dominate the axis.
    later = [values[path.epochs > 0] for _, values, _, _ in parts]
    finite = np.concatenate(later)[np.isfinite(np.concatenate(later))]
    if len(finite):
        axes.set_ylim(0, 1.1 * float(finite.max()))
    axes.set_ylabel("loss (nats)")


def _relations(paths: Sequence[Trajectory], axes: Axes, theme: Theme) -> None:
    """Spearman's rho of selectivity and importance at each snapshot, a line for each network."""
    for index, path in enumerate(paths):
        rho = np.array([one.rho for one in path.relations])
        axes.plot(
            path.epochs,
            rho,
            color=theme.series(len(paths))[index],
            marker=MARKERS[index % len(MARKERS)],
            markersize=5,
            label=f"network {index + 1}",
            gid=f"epochs-relation-{index}",
        )
        low, high = (np.array([getattr(o, end) for o in path.relations]) for end in ("low", "high"))
        axes.fill_between(
            path.epochs,
            low,
            high,
            color=theme.series(len(paths))[index],
            alpha=0.12,
            linewidth=0,
        )
    axes.axhline(0, color=theme.muted, linewidth=0.8)
    axes.set_ylim(-1, 1)
    axes.set_ylabel("ρ of class selectivity and importance")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), borderaxespad=0, ncols=3)


def _epoch_scale(axes: Axes, epochs: np.ndarray) -> None:
    """Sets the epoch axis: logarithmic if snapshots are not evenly spaced, with a place for 0 if
    epoch 0 is a snapshot; about eight ticks, at snapshots."""
    if len(set(np.diff(epochs))) > 1:
        axes.set_xscale("symlog", linthresh=1)
        every = -(-len(epochs) // 8)
        axes.set_xticks(epochs[::-1][::every][::-1], minor=False)
        axes.set_xticks([], minor=True)
    axes.set_xlim(epochs[0], epochs[-1])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


# --- Networks ----------------------------------------------------------------------------------


def _along_training(figure: FigureResult) -> bool:
    return any(sweep.at == "snapshots" for _, sweep in figure.config.sweeps)


@DRAWN.of("networks")
def _networks(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """One point a network (Figs. 3b, 4c), or a snapshot of one (Fig. 4b).

    Generalization error means little for a network that did not memorise: plotted against it, such
    a network is hollow and does not count in rho, as in claim C3.
    """
    if _along_training(figure):
        _snapshot_points(figure, panel, axes, theme)
        return
    (x_label, of_x), (y_label, of_y) = (
        NETWORK_MEASURES[name] for name in (panel.x, panel.y or "normalized_auc")
    )
    shown = series(figure, panel)
    counted = list(figure.networks)
    if panel.x == "generalization_error":
        counted = memorised(figure.networks)
    counting = set(map(id, counted))
    for one, colour, index in zip(shown, theme.series(len(shown)), range(len(shown)), strict=True):
        for counts in (True, False):
            part = [network for network in one.networks if (id(network) in counting) == counts]
            if part or counts:
                axes.scatter(
                    [of_x(network) for network in part],
                    [of_y(network) for network in part],
                    s=26,
                    marker=MARKERS[index % len(MARKERS)],
                    facecolors=[colour] if counts else "none",
                    edgecolors=[colour],
                    alpha=0.8,
                    linewidths=0 if counts else 1,
                    label=(one.label or None) if counts else None,
                    gid=f"networks-{key_words(one)}" + "-hollow" * (not counts),
                )
    found = correlation(map(of_x, counted), map(of_y, counted))
    if panel.x == "selectivity_regularizer":  # strengths of both signs, powers of ten apart
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set_xticks(sorted({of_x(network) for network in figure.networks}))
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: typeset(f"{x:g}")))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    words = f"{correlation_words(found, FEWEST_NETWORKS)}, n = {found.n} networks"
    if hollow := len(figure.networks) - len(counted):
        words += f"\nhollow: {hollow} that did not memorise"
    _legend_of_points(axes, panel, words, len(shown))


def _snapshot_points(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """AUC against test loss at each snapshot, from dark (early) to light (late)."""
    paths = [path for network in figure.networks if (path := trajectory(network))]
    measure = panel.y or "auc"
    losses = np.concatenate([path.test_loss for path in paths])
    areas = np.concatenate([getattr(path, measure).mean(axis=1) for path in paths])
    ages = np.concatenate([np.arange(len(path.epochs)) / len(path.epochs) for path in paths])
    axes.scatter(
        losses,
        areas,
        s=30,
        c=[
            matplotlib.colormaps["plasma"](theme.first + a * (theme.last - theme.first))
            for a in ages
        ],
        linewidths=0,
        gid="networks-snapshots",
    )
    found = correlation(losses, areas)
    axes.set_xlabel("test loss (nats)")
    axes.set_ylabel(NETWORK_MEASURES[measure][0])
    _legend_of_points(
        axes, panel, f"{correlation_words(found, FEWEST_NETWORKS)}, n = {found.n} snapshots", 0
    )


def _legend_of_points(axes: Axes, panel: PanelConfig, title: str, n_series: int) -> None:
    axes.legend(
        handles=None if n_series > 1 else [],
        loc="lower left",
        bbox_to_anchor=_above(panel),
        borderaxespad=0,
        title=title,
        alignment="left",
        ncols=1 if n_series < _TWO_COLUMNS else 3,
    )


# --- Variants ----------------------------------------------------------------------------------


@DRAWN.of("variants")
def _variants(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """A row for the base and for each variant: what corrupted labels cost there (claim C1), in
    normalized AUC and, paler, in raw AUC. A hollow mark says that a network did not memorise; its
    training accuracy stands beside the row."""
    rows = contrasts(figure, panel.sweep)
    marks = (("normalized", "normalized AUC", "o", 1.0, 0.0), ("raw", "raw AUC", "D", 0.4, 0.28))
    for measure, _, marker, alpha, below in marks:
        for row, one in enumerate(rows):
            found: Estimate = getattr(one, measure)
            if np.isfinite(found.interval.low):
                axes.hlines(
                    row + below,
                    *found.interval,
                    color=theme.blue,
                    alpha=alpha,
                    linewidth=1.8 if measure == "normalized" else 1.2,
                    gid=f"bar-{measure}-{one.variant}",
                )
            axes.plot(
                [found.value],
                [row + below],
                marker=marker,
                markersize=6.5 if measure == "normalized" else 4.5,
                color=theme.blue,
                markerfacecolor=theme.blue if one.memorised else "none",
                alpha=alpha,
                linestyle="none",
                zorder=3,
                gid=f"contrast-{measure}-{one.variant}",
            )
    for row, one in enumerate(rows):
        if not one.memorised:
            true, corrupted = one.train_accuracy
            axes.text(
                1.02,
                row,
                f"{true:.2f}, {corrupted:.2f}",
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=8,
                color=theme.muted,
                gid=f"accuracy-{one.variant}",
            )
    if not all(one.memorised for one in rows):
        axes.text(
            1.02,
            1.02,
            "training accuracy:\ntrue, corrupted",
            transform=axes.transAxes,
            va="bottom",
            fontsize=8,
            color=theme.muted,
        )
    axes.axvline(0, color=theme.ink, linewidth=1, gid="zero")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [setting_words("variant", one.variant) for one in rows])
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_xlabel(f"difference of AUC, true minus {percent(rows[0].corruption)} corrupted labels")
    handles = [
        Line2D([], [], color=theme.blue, alpha=alpha, marker=marker, markersize=5, label=label)
        for _, label, marker, alpha, _ in marks
    ]
    hollow = sum(not one.memorised for one in rows)
    if hollow:
        words = f"hollow: not all memorised ({hollow} of {len(rows)} rows)"
        handles.append(Line2D([], [], linestyle="none", label=words))
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=_above(panel),
        borderaxespad=0,
        alignment="left",
    )


# --- Portraits ---------------------------------------------------------------------------------


def portraits(figure: FigureResult, panel: PanelConfig) -> Portraits:
    """The portraits of the first network that has them."""
    found = (sweep_of(network, Portraits, panel.sweep) for network in figure.networks)
    return next(item for item in found if item is not None)


def portrait_words(found: Portraits, role: str) -> str:
    """One line about a unit.

    The rank is by importance, among all units that it was picked from.
    """
    index = found.roles.index(role)
    return (
        f"class selectivity {found.class_selectivity[index]:.2f}, "
        f"importance {found.importance[index]:.2g} nats "
        f"(rank {found.rank[index]:,} of {found.n_units:,})"
    )


@DRAWN.of("portrait")
def _portrait(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """One unit: above, the images that drive it most; below, its mean activation for each class."""
    found = portraits(figure, panel)
    network = figure.networks[0]
    index = found.roles.index(panel.role)
    axes.set_axis_off()
    title = panel.title or f"{panel.role} unit"
    axes.set_title(
        f"{title}: {found.name(panel.role)}\n{portrait_words(found, panel.role)}",
        loc="left",
        fontsize=9,
        color=theme.ink,
    )
    n_top = found.top_images.shape[1]
    across = min(n_top, _ACROSS)
    rows = -(-n_top // across)
    height = min(0.34, 0.6 / rows)  # height of a row with class names; the profile gets the rest
    for place in range(n_top):
        row, column = divmod(place, across)
        corner = (column / across, 1 - height * (row + 1))
        one = axes.inset_axes((*corner, 0.94 / across, 0.85 * height))
        label = int(found.top_labels[index, place])
        one.set_axis_off()
        one.set_anchor("N")
        if label < 0:
            continue  # fewer images drive the unit
        pixels = found.top_images[index, place]
        grey = pixels.shape[-1] == 1
        one.imshow(
            pixels[..., 0] if grey else pixels[..., :3],
            cmap="gray" if grey else None,
            vmin=0,
            vmax=255,
            interpolation="nearest",
            gid=f"image-{place}",
        )
        one.set_title(class_name(network, label), fontsize=7.5, pad=2, color=theme.muted)
    means = found.class_means[:, index]
    names = [class_name(network, number) for number in range(len(means))]
    _profile(axes.inset_axes((0, 0, 1, 0.96 - height * rows)), means, names, theme)


def _profile(axes: Axes, means: np.ndarray, names: Sequence[str], theme: Theme) -> None:
    """A bar for each class, the strongest in another colour."""
    colours = [theme.blue] * len(means)
    colours[int(means.argmax())] = theme.purple
    for number, (mean, colour) in enumerate(zip(means, colours, strict=True)):
        axes.bar(number, mean, color=colour, width=0.8, gid=f"profile-{number}")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("mean activation", fontsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    if len(means) > _NAMED_CLASSES:
        axes.set_xlabel("class")
        return
    long = max(len(name) for name in names) > 3
    axes.set_xticks(range(len(means)), names, rotation=35 if long else 0, fontsize=8)
    if long:
        for text in axes.get_xticklabels():
            text.set_horizontalalignment("right")
    else:
        axes.set_xlabel("class")


def _short(name: str) -> str:
    """A layer's name, shortened for a legend; nested models give long names."""
    return name if len(name) <= 24 else f"{name[:23]}…"
