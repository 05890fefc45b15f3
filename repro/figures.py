"""Draws the paper's figures from results: Fig. 1a (curves) and Fig. 7a (units).

Matplotlib's object interface only, with its default settings whatever the user's matplotlibrc
says, so the same results give the same bytes. Series run from dark to light in one sequential
scale and differ in marker as well, so a print in grey still tells them apart.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from repro import metrics
from repro.findings import (
    PAPER_EPOCHS,
    by_label_corruption,
    curves,
    figure_label,
    mean_and_sd,
    relation,
    stopped_early,
    unit_tables,
)
from repro.results import FigureResult, NetworkResult, UnitTable

N_CLASSES = {"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "imagenet2012": 1000}

_MARKERS = "os^Dv*Pp"
_LINES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")
_SIZE = (6.0, 4.0)  # inches, with type of 10 points
_PAGE_SIZE = (5.3, 3.8)  # in a page: smaller, so that type stays readable on a phone
_PNG_DPI = 200
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class _Theme:
    """Colours; first and last are positions in the plasma scale that the page's colour allows."""

    ink: str
    muted: str
    grid: str
    first: float
    last: float

    def series(self, n: int) -> list[Any]:
        """Colours of n series in order; the first stands apart and has the strongest contrast."""
        others = np.linspace(0.35 if n > 2 else 1.0, 1.0, max(n - 1, 0))
        positions = self.first + np.r_[0.0, others] * (self.last - self.first)
        return [matplotlib.colormaps["plasma"](position) for position in positions]


_LIGHT = _Theme(ink="#1d1d28", muted="#5c5c6b", grid="#e4e4ea", first=0.0, last=0.76)
_DARK = _Theme(ink="#ececf1", muted="#a9a9b8", grid="#34343f", first=0.94, last=0.44)


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
        standalone: with title and caption on a background of its own; otherwise without them and
            transparent, for a page that states both in words.

    Raises:
        ValueError: the figure has no network.
    """
    files = {}
    with matplotlib.style.context(["default", _settings(_DARK if dark else _LIGHT)]):
        picture = compose(figure, dark=dark, standalone=standalone)
        background = ("#15151c" if dark else "#ffffff") if standalone else "none"
        # Without a date or a version in the file, and with a fixed salt, bytes repeat.
        metadata = {"png": {"Software": None}, "svg": {"Date": None}}
        for kind in kinds:
            buffer = io.BytesIO()
            picture.savefig(
                buffer, format=kind, dpi=_PNG_DPI, facecolor=background, metadata=metadata[kind]
            )
            files[kind] = buffer.getvalue()
    return files


def compose(figure: FigureResult, *, dark: bool = False, standalone: bool = True) -> Figure:
    """The figure before it is rendered; `draw` says what the arguments do.

    Artists carry a group id that names their data: "mean-<label corruption>", "band-...",
    "units-<layer number>", "dead-...", "line-...".
    """
    if not figure.networks:
        raise ValueError(f"{figure.config.name} has no network to draw")
    theme = _DARK if dark else _LIGHT
    width, height = _SIZE if standalone else _PAGE_SIZE
    picture = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if by_label_corruption(figure):
        _draw_curves(figure, axes, theme)
    else:
        table = unit_tables(figure.networks)[0]
        # A line of the legend above the plot is 0.19 inches high.
        picture.set_size_inches(width, height + 0.19 * (len(table.layers) + 1))
        _draw_units(table, axes, theme)
    if standalone:
        _add_words(figure, picture, theme)
    return picture


def caption(figure: FigureResult) -> str:
    """What the picture shows, in words: data, number of images, spread, length of training."""
    first = figure.networks[0]
    parts = [f"Data: {figure.data}.", f"Network: {_widths(first)}."]
    if by_label_corruption(figure):
        curve = curves(figure.networks)[0]
        labels = "labels as trained on" if curve.images == "train" else "true labels"
        parts.append(
            f"Accuracy on {curve.n_images:,} {_split(curve.images)} images, {labels}, read at "
            f"{len(curve.n_ablated):,} numbers of ablated units."
        )
        parts.append(f"Line: mean over {_orders(figure)}; band: ± 1 s.d.")
    else:
        table = unit_tables(figure.networks)[0]
        parts.append(
            f"One point a unit; loss and selectivity on {table.n_images:,} "
            f"{_split(table.images)} images; ρ: Spearman, with its 95 % bootstrap interval."
        )
        if len(figure.networks) > 1:
            parts.append(
                f"Shown: seed {first.config.seed}, the first of {len(figure.networks)} networks."
            )
    return " ".join([*parts, training_words(figure.networks)])


def training_words(networks: Sequence[NetworkResult]) -> str:
    """How long the networks trained, and whether that is what the paper did."""
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
    if min(epochs) == max(epochs) == PAPER_EPOCHS:
        return f"{words}, as in the paper."
    return f"{words}; the paper trains {PAPER_EPOCHS}."


def alternative_text(figure: FigureResult) -> str:
    """What a reader who cannot see the picture should know: axes, series, where they run."""
    if by_label_corruption(figure):
        ends = "; ".join(
            f"{percent(fraction)} corrupted labels: {mean[0]:.2f} intact, "
            f"{mean[len(mean) // 2]:.2f} with half of the units ablated"
            for fraction, mean in _means(figure).items()
        )
        return (
            f"Accuracy against the number of ablated units, one curve a label corruption. {ends}."
        )
    table = unit_tables(figure.networks)[0]
    lines = "; ".join(
        f"{name}: {correlation_words(relation([table], name))}" for name, _ in table.layers
    )
    return (
        f"Scatter of {table.n_units} units: class selectivity against change of loss when the "
        f"unit is ablated, with a regression line for each layer. {lines}."
    )


def percent(fraction: float) -> str:
    """A label corruption as people say it.

    >>> percent(0.2)
    '20 %'
    """
    return f"{100 * fraction:.3g} %"


def correlation_words(found: metrics.Correlation) -> str:
    """Spearman's rho with its interval, or that there is none.

    >>> correlation_words(metrics.Correlation(0.095, -0.03, 0.2, 256, 0.1))
    'ρ = 0.10 [-0.03, 0.20]'
    """
    if not np.isfinite(found.rho):
        return "ρ undefined"
    return f"ρ = {found.rho:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _settings(theme: _Theme) -> dict[str, Any]:
    return {
        "svg.hashsalt": "single-directions",
        "text.parse_math": False,  # a "$" in a title or a layer's name is a "$"
        "font.size": 10,
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.ink,
        "text.color": theme.ink,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "legend.title_fontsize": 9,
    }


def _draw_curves(figure: FigureResult, axes: Axes, theme: _Theme) -> None:
    """Fig. 1: accuracy against ablated units, a curve for each label corruption."""
    groups = by_label_corruption(figure)
    for index, (fraction, networks) in enumerate(groups.items()):
        members = curves(networks)
        n_ablated = members[0].n_ablated
        mean, sd = mean_and_sd(np.concatenate([curve.accuracy for curve in members]))
        colour = theme.series(len(groups))[index]
        step = max(1, len(n_ablated) // 10)
        axes.plot(
            n_ablated,
            mean,
            color=colour,
            linewidth=2.4 if index == 0 else 1.5,
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4.5,
            # Each curve's markers start elsewhere, so that they do not hide one another.
            markevery=(index * step // len(groups), step),
            label=percent(fraction) + (" (clean)" if fraction == 0 else ""),
            gid=f"mean-{fraction:g}",
            zorder=3 + 0.1 * (len(groups) - index),
        )
        if np.all(np.isfinite(sd)):
            axes.fill_between(
                n_ablated,
                mean - sd,
                mean + sd,
                color=colour,
                alpha=0.2,
                linewidth=0,
                gid=f"band-{fraction:g}",
            )
    first = curves(figure.networks)[0]
    chance = 1 / N_CLASSES[figure.networks[0].config.dataset]
    axes.axhline(chance, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)), label="chance")
    axes.set_xlim(0, first.n_units)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.set_xlabel(f"number of ablated units (of {first.n_units:,})")
    axes.set_ylabel(f"{_split(first.images)} accuracy")
    fractions = axes.secondary_xaxis(
        "top",
        functions=(lambda x: np.divide(x, first.n_units), lambda x: np.multiply(x, first.n_units)),
    )
    fractions.set_xticks([0, 0.25, 0.5, 0.75, 1])
    fractions.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    fractions.set_xlabel("fraction of units ablated", color=theme.muted, fontsize=9)
    fractions.tick_params(labelsize=8)
    fractions.spines["top"].set_color(theme.grid)
    axes.legend(
        title="labels\ncorrupted",
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(1.02, 1.03),
        borderaxespad=0,
        handlelength=2.2,
    )


def _draw_units(table: UnitTable, axes: Axes, theme: _Theme) -> None:
    """Fig. 7: class selectivity against change of loss, coloured by layer."""
    selectivity, importance = table.class_selectivity, table.importance
    axes.axhline(0, color=theme.muted, linewidth=0.8, zorder=1)
    handles = []
    for index, (name, size) in enumerate(table.layers):
        colour = theme.series(len(table.layers))[index]
        marker = _MARKERS[2 * index % len(_MARKERS)]
        style = _LINES[index % len(_LINES)]
        rows = (table.layer_names == name) & np.isfinite(importance)
        live, dead = rows & ~table.dead, rows & table.dead
        axes.scatter(
            selectivity[live],
            importance[live],
            s=22,
            marker=marker,
            color=colour,
            alpha=0.7,
            linewidths=0,
            zorder=2,
            gid=f"units-{index}",
        )
        if dead.any():
            axes.scatter(
                selectivity[dead],
                importance[dead],
                s=34,
                marker="x",
                color=[colour],
                linewidths=1.3,
                zorder=4,
                clip_on=False,
                gid=f"dead-{index}",
            )
        ends = _regression(selectivity[rows], importance[rows])
        if ends is not None:
            axes.plot(*ends, color=colour, linewidth=2, linestyle=style, gid=f"line-{index}")
        words = f"{_short(name)}: {correlation_words(relation([table], name))}, n = {size:,}"
        handles.append(
            Line2D([], [], color=colour, marker=marker, linestyle=style, markersize=5, label=words)
        )
    n_dead = int(table.dead.sum())
    if n_dead:
        words = f"silent on every image, selectivity counted as 0: {n_dead:,}"
        handles.append(Line2D([], [], color=theme.ink, marker="x", linestyle="none", label=words))
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("class selectivity")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    exponent = _exponent(importance[np.isfinite(importance)])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y / 10.0**exponent:.4g}"))
    unit = f"10{str(exponent).translate(_SUPERSCRIPTS)} nats" if exponent else "nats"
    axes.set_ylabel(f"change of {_split(table.images)} loss on ablation ({unit})")
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1.02),
        borderaxespad=0,
        title=f"all units: {correlation_words(relation([table]))}, n = {table.n_units:,}",
        alignment="left",
    )


def _regression(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Ends of the least-squares line over the range of x; None where it is undefined."""
    if len(x) < 2 or np.ptp(x) == 0:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    ends = np.array([x.min(), x.max()])
    return ends, slope * ends + intercept


def _exponent(values: np.ndarray) -> int:
    """Power of ten, a multiple of 3, that brings an axis to numbers people read."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0 or 0.1 <= largest < 1000:
        return 0
    return 3 * int(np.floor(np.log10(largest) / 3))


def _add_words(figure: FigureResult, picture: Figure, theme: _Theme) -> None:
    """Title above and caption below, for a picture that travels alone."""
    width, height = picture.get_size_inches()
    title = textwrap.wrap(f"{figure_label(figure.config.name)}  {figure.config.title}", 54)
    below = textwrap.wrap(caption(figure), 104)
    # Lines of 12 and 8 points, so that the plot itself keeps its size.
    picture.set_size_inches(width, height + 0.2 * len(title) + 0.15 * len(below))
    picture.suptitle("\n".join(title), x=0.012, ha="left", fontsize=12, fontweight="bold")
    picture.supxlabel(
        "\n".join(below), x=0.012, ha="left", fontsize=7.5, color=theme.muted, linespacing=1.35
    )


def _means(figure: FigureResult) -> dict[float, np.ndarray]:
    return {
        fraction: np.concatenate([curve.accuracy for curve in curves(networks)]).mean(axis=0)
        for fraction, networks in by_label_corruption(figure).items()
    }


def _orders(figure: FigureResult) -> str:
    n_orders = len(curves(figure.networks)[0].orders)
    n_networks = max(len(networks) for networks in by_label_corruption(figure).values())
    words = f"{n_orders} random order{'' if n_orders == 1 else 's'}"
    return words if n_networks == 1 else f"{words} in each of {n_networks} networks"


def _widths(network: NetworkResult) -> str:
    widths = network.config.hidden_units
    if len(set(widths)) == 1:
        return f"{network.config.network}, {len(widths)} × {widths[0]:,} hidden units"
    return f"{network.config.network}, {', '.join(f'{w:,}' for w in widths)} hidden units"


def _short(name: str) -> str:
    """A layer's name cut to what a legend has room for; nested models give long ones."""
    return name if len(name) <= 24 else f"{name[:23]}…"


def _split(images: str) -> str:
    return "training" if images == "train" else "test"
