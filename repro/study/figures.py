"""The two pictures of a study: the cumulative ablation curve, and units by selectivity and
importance."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from repro.core.kinds import AblationCurve
from repro.display import html
from repro.display import plots as kit
from repro.display.plots import DARK, LIGHT, Theme, correlation_words, split_name
from repro.study import words as study_words
from repro.study.measured import Measured
from repro.study.words import Words

# Most layers that have a colour, a line and a row of the legend each. A network with more layers
# has one colour for all units.
_NAMED_LAYERS = 8


class Plots(NamedTuple):
    """The pictures of a study, as matplotlib figures that pyplot knows nothing of."""

    curve: Figure
    units: Figure

    def _repr_html_(self) -> str:
        """Both, for a notebook."""
        return html.render(
            "study/templates/plots.html",
            pictures=[
                {"svg": _svg(self.curve), "alternative": "cumulative ablation curve"},
                {"svg": _svg(self.units), "alternative": "units by importance"},
            ],
        )


def plots(study: Measured, *, dark: bool = False) -> Plots:
    """The pictures of the report, of the finest curve asked for."""
    made = []
    with kit.styled(dark):
        for picture in (
            _curve_picture(study.curves[-1], study.words, study.n_classes, dark),
            _units_picture(study, dark),
        ):
            figure = picture()
            figure.set_facecolor(kit.background_of(dark))
            # What is made when a figure is drawn, such as ticks, takes the style of then.
            figure.canvas.draw()
            made.append(figure)
    return Plots(*made)


def curve_figure(
    curve: AblationCurve,
    n_classes: int,
    *,
    words: Words = study_words.of("classes"),  # noqa: B008  frozen
    kinds: Sequence[str] = ("png", "svg"),
    dark: bool = False,
    standalone: bool = True,
) -> dict[str, bytes]:
    """Accuracy, or where there is none the loss, against the number of ablated units; mean and
    s.d. over orders.

    Args:
        n_classes: for the line of chance. words: of the study's task.
        kinds, dark, standalone: as for `display.plots.rendered`.
    """
    return kit.rendered(_curve_picture(curve, words, n_classes, dark), kinds, dark, standalone)


def units_figure(
    study: Measured,
    *,
    kinds: Sequence[str] = ("png", "svg"),
    dark: bool = False,
    standalone: bool = True,
) -> dict[str, bytes]:
    """Importance of each unit against its class selectivity, or, where no unit has one, against
    its mutual information; see `selectivity_column`."""
    return kit.rendered(_units_picture(study, dark), kinds, dark, standalone)


def selectivity_column(study: Measured) -> str:
    """What the units are laid out by: class selectivity, if any unit has one; else mutual
    information; without classes, how active they are."""
    if not study.words.has_classes:
        return "mean_activation"
    defined = np.isfinite(study.units["class_selectivity"])
    return "class_selectivity" if defined.any() else "mutual_information"


def _curve_picture(
    curve: AblationCurve, words: Words, n_classes: int, dark: bool
) -> Callable[[], Figure]:
    return _picture(lambda axes, theme: _curve(curve, words, n_classes, axes, theme), 0, dark)


def _units_picture(study: Measured, dark: bool) -> Callable[[], Figure]:
    n_layers = len(study.layout.layers)
    lines = 1 + min(n_layers, _NAMED_LAYERS) * (n_layers <= _NAMED_LAYERS)
    return _picture(lambda axes, theme: _units(study, axes, theme), lines, dark)


def _picture(
    draw: Callable[[Axes, Theme], None], legend_lines: int, dark: bool
) -> Callable[[], Figure]:
    def compose() -> Figure:
        width, height = kit.PAGE_SIZE
        picture = Figure((width, height + legend_lines * kit.LEGEND_LINE), layout="constrained")
        FigureCanvasAgg(picture)
        axes = picture.add_subplot()
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        draw(axes, DARK if dark else LIGHT)
        return picture

    return compose


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _curve(curve: AblationCurve, words: Words, n_classes: int, axes: Axes, theme: Theme) -> None:
    shown = curve.accuracy if words.has_accuracy else curve.loss
    kit.bands(axes, theme, [kit.Line(("all",), "mean")], curve.n_ablated, [shown])
    if words.has_accuracy and words.has_classes:
        axes.axhline(
            1 / n_classes, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)), label="chance"
        )
    axes.set_xlim(0, curve.n_units)
    if words.has_accuracy:
        axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.set_xlabel(f"number of ablated units (of {curve.n_units:,})")
    named = words.accuracy if words.has_accuracy else words.measured_in(words.loss)
    axes.set_ylabel(f"{split_name(curve.images)} {named}")
    axes.legend(loc="upper right" if words.has_accuracy else "upper left")


def _units(study: Measured, axes: Axes, theme: Theme) -> None:
    units, x = study.units, selectivity_column(study)
    across, up = units[x], units["importance"]
    known = np.isfinite(across) & np.isfinite(up)
    axes.axhline(0, color=theme.muted, linewidth=0.8, zorder=1)
    handles = []
    names = [name for name, _ in study.layout.layers]
    colours = theme.series(len(names))
    for index, (name, colour) in enumerate(zip(names, colours, strict=True)):
        marker = kit.MARKERS[index % len(kit.MARKERS)] if len(names) <= _NAMED_LAYERS else "o"
        rows = known & (units["layer"] == name)
        crowded = bool(np.count_nonzero(rows) >= kit.CROWDED)
        kit.points(axes, (across, up), rows, units["dead"], (colour, marker), index, crowded)
        if len(names) <= _NAMED_LAYERS:
            ends = kit.regression(across[rows], up[rows])
            if ends is not None:
                axes.plot(*ends, color=colour, linewidth=2, gid=f"line-{index}")
            words = f"{name[:24]}: {correlation_words(study.relation(name, x))}"
            label = f"{words}, n = {np.count_nonzero(rows):,}"
            handles.append(Line2D([], [], color=colour, marker=marker, markersize=5, label=label))
    if x == "class_selectivity":
        axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(kit.UNIT_MEASURES[x])
    exponent = kit.power_of_ten(up[known])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y / 10.0**exponent:.4g}"))
    scale = " ".join(filter(None, [f"1e{exponent}" if exponent else "", study.words.unit]))
    changed = f"change of {split_name(study.split)} {study.words.changed} on ablation"
    axes.set_ylabel(f"{changed} ({scale})" if scale else changed)
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
