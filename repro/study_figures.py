"""The two pictures of a study: the cumulative ablation curve, and units by selectivity and
importance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from repro import figures, panels
from repro.findings import UNIT_MEASURES, Series
from repro.panels import DARK, LIGHT, Theme, correlation_words, split_name
from repro.results import AblationCurve
from repro.study import Study

_SIZE = (5.3, 3.8)  # inches
_LEGEND_LINE = 0.19  # inches
# Layers with a colour, a line and a row of the legend of their own; of more, all units are alike.
_NAMED_LAYERS = 8
_MARKERS = "os^Dv*Pp"


def curve_figure(
    curve: AblationCurve,
    n_classes: int,
    *,
    kinds: Sequence[str] = ("png", "svg"),
    dark: bool = False,
    standalone: bool = True,
) -> dict[str, bytes]:
    """Accuracy against the number of ablated units, mean and s.d. over orders.

    Args:
        kinds, dark, standalone: as for `figures.draw`.
    """
    return _drawn(
        lambda axes, theme: _curve(curve, n_classes, axes, theme), 0, kinds, dark, standalone
    )


def units_figure(
    study: Study,
    *,
    kinds: Sequence[str] = ("png", "svg"),
    dark: bool = False,
    standalone: bool = True,
) -> dict[str, bytes]:
    """Importance of each unit against its class selectivity, or, where no unit has one, against
    its mutual information; see `selectivity_column`."""
    n_layers = len(study.layout.layers)
    lines = 1 + min(n_layers, _NAMED_LAYERS) * (n_layers <= _NAMED_LAYERS)
    return _drawn(lambda axes, theme: _units(study, axes, theme), lines, kinds, dark, standalone)


def selectivity_column(study: Study) -> str:
    """What the units are laid out by: class selectivity, if any unit has one."""
    defined = np.isfinite(study.units["class_selectivity"])
    return "class_selectivity" if defined.any() else "mutual_information"


def _drawn(
    draw: Callable[[Axes, Theme], None],
    legend_lines: int,
    kinds: Sequence[str],
    dark: bool,
    standalone: bool,
) -> dict[str, bytes]:
    def compose() -> Figure:
        width, height = _SIZE
        picture = Figure((width, height + legend_lines * _LEGEND_LINE), layout="constrained")
        FigureCanvasAgg(picture)
        axes = picture.add_subplot()
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        draw(axes, DARK if dark else LIGHT)
        return picture

    return figures.rendered(compose, kinds, dark, standalone)


def _curve(curve: AblationCurve, n_classes: int, axes: Axes, theme: Theme) -> None:
    panels.bands(axes, theme, [Series(("all",), "mean", (), "")], curve.n_ablated, [curve.accuracy])
    axes.axhline(
        1 / n_classes, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)), label="chance"
    )
    axes.set_xlim(0, curve.n_units)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.set_xlabel(f"number of ablated units (of {curve.n_units:,})")
    axes.set_ylabel(f"{split_name(curve.images)} accuracy")
    axes.legend(loc="upper right")


def _units(study: Study, axes: Axes, theme: Theme) -> None:
    units, x = study.units, selectivity_column(study)
    across, up = units[x], units["importance"]
    known = np.isfinite(across) & np.isfinite(up)
    axes.axhline(0, color=theme.muted, linewidth=0.8, zorder=1)
    handles = []
    names = [name for name, _ in study.layout.layers]
    colours = theme.series(len(names))
    for index, (name, colour) in enumerate(zip(names, colours, strict=True)):
        marker = _MARKERS[index % len(_MARKERS)] if len(names) <= _NAMED_LAYERS else "o"
        rows = known & (units["layer"] == name)
        crowded = bool(np.count_nonzero(rows) >= panels.CROWDED)
        panels.points(axes, (across, up), rows, units["dead"], (colour, marker), index, crowded)
        if len(names) <= _NAMED_LAYERS:
            ends = panels.regression(across[rows], up[rows])
            if ends is not None:
                axes.plot(*ends, color=colour, linewidth=2, gid=f"line-{index}")
            words = f"{name[:24]}: {correlation_words(study.relation(name, x))}"
            label = f"{words}, n = {np.count_nonzero(rows):,}"
            handles.append(Line2D([], [], color=colour, marker=marker, markersize=5, label=label))
    if x == "class_selectivity":
        axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(UNIT_MEASURES[x])
    exponent = panels.power_of_ten(up[known])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y / 10.0**exponent:.4g}"))
    scale = f"1e{exponent} nats" if exponent else "nats"
    axes.set_ylabel(f"change of {split_name(study.split)} loss on ablation ({scale})")
    whole = correlation_words(study.relation(x=x))
    shade = "" if handles else "; from the first layer (dark) to the last"
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1.02),
        borderaxespad=0,
        alignment="left",
        title=f"all units: {whole}, n = {np.count_nonzero(known):,}{shade}",
    )
