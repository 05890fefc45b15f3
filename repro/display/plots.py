"""The plot kit: colours, curves with bands, units as points, and how a picture is rendered.

Everything is drawn into axes that the caller gives. Artists carry a group id that names their data,
such as "mean-<series>", "band-<series>", "units-<layer number>" or "dead-<layer number>".
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from repro.core import metrics
from repro.core.metrics import mean_and_sd
from repro.core.words import typeset

PAGE_SIZE = (5.3, 3.8)  # inches, of a picture in a page: readable on a phone
LEGEND_LINE = 0.19  # inches, of type of 9 points
MARKERS = "os^Dv*Pp"
LINES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")
_PNG_DPI = 200

UNIT_MEASURES: dict[str, str] = {
    "class_selectivity": "class selectivity",
    "mutual_information": "mutual information (bits)",
    "corrected_information": "mutual information, bias subtracted (bits)",
    "importance": "change of loss on ablation",
    "accuracy_drop": "drop of accuracy on ablation",
    "largest_class_drop": "largest drop of a class's accuracy",
    "held_out_class_drop": "held-out drop of the class that loses most",
    "weight_norm": "L1 norm of incoming weights",
    "mean_activation": "mean activation",
    "sparsity": "fraction of silent images and positions",
}
"""Measures of a unit, and what an axis calls them."""


@dataclass(frozen=True)
class Theme:
    """Colours. first, last: ends of the part of the plasma scale that has enough contrast with the
    page.

    blue, purple, green: of lines that are not one of a series, with the same contrast.
    """

    ink: str
    muted: str
    grid: str
    first: float
    last: float
    blue: str
    purple: str
    green: str

    def series(self, n: int) -> list[Any]:
        """Colours of n series in order; the first stands apart and has the strongest contrast."""
        others = np.linspace(0.35 if n > 2 else 1.0, 1.0, max(n - 1, 0))
        positions = self.first + np.r_[0.0, others] * (self.last - self.first)
        return [matplotlib.colormaps["plasma"](position) for position in positions]


LIGHT = Theme("#1d1d28", "#5c5c6b", "#e4e4ea", 0.0, 0.76, "#1f5fbf", "#8e3fa8", "#2b8a3e")
DARK = Theme("#ececf1", "#a9a9b8", "#34343f", 0.94, 0.44, "#7db3ff", "#d79bee", "#7fdda8")


def correlation_words(found: metrics.Correlation, fewest: int = 0) -> str:
    """Spearman's rho with its interval, or that there is none.

    Args:
        fewest: pairs without which no interval is told. Three points on a line have one of
            [1, 1], which is no certainty.

    >>> correlation_words(metrics.Correlation(0.095, -0.03, 0.2, 256, 0.1))
    'ρ = 0.10 [−0.03, 0.20]'
    >>> correlation_words(metrics.Correlation(1.0, 1.0, 1.0, 3, 0.0), fewest=10)
    'ρ = 1.00'
    """
    if not np.isfinite(found.rho):
        return "ρ undefined"
    if found.n < fewest:
        return typeset(f"ρ = {found.rho:.2f}")
    return typeset(f"ρ = {found.rho:.2f} [{found.low:.2f}, {found.high:.2f}]")


def split_name(images: str) -> str:
    """The name of a split in axes and captions."""
    return "training" if images == "train" else "test"


# --- Curves ------------------------------------------------------------------------------------


class Shown(Protocol):
    """What is drawn as one curve, or in one colour.

    key: values of the settings in which the series of a picture differ; label: for the legend.
    """

    @property
    def key(self) -> tuple[Any, ...]: ...

    @property
    def label(self) -> str: ...


class Line(NamedTuple):
    """A series that is nothing but its name."""

    key: tuple[Any, ...]
    label: str


@dataclass(frozen=True)
class Style:
    """How a series is drawn."""

    colour: Any
    line: Literal["-", "--", "-.", ":"]
    marker: str


def styles(shown: Sequence[Shown], theme: Theme) -> list[Style]:
    """Colour by the last setting of the series' key, line style by the settings before it."""
    tones = list(dict.fromkeys(one.key[-1:] for one in shown))
    lines = list(dict.fromkeys(one.key[:-1] for one in shown))
    colours = theme.series(len(tones))
    # The type is compared too: label corruptions of 0 and 1 equal False and True.
    if len(shown) == 2 and all(isinstance(one.key[-1], bool) for one in shown):
        colours = [theme.purple, theme.blue]  # networks without something, and with it
    return [
        Style(
            colours[tones.index(one.key[-1:])],
            LINES[lines.index(one.key[:-1]) % len(LINES)],
            MARKERS[index % len(MARKERS)],
        )
        for index, one in enumerate(shown)
    ]


def key_words(one: Shown) -> str:
    """What the group ids of a series end in."""
    return "-".join(f"{k:g}" if isinstance(k, int | float) else str(k) for k in one.key)


def bands(
    axes: Axes,
    theme: Theme,
    shown: Sequence[Shown],
    x: np.ndarray,
    samples: Sequence[np.ndarray],
) -> None:
    """A curve for each series, mean over samples, with a band of one s.d. to either side."""
    for index, (one, style, values) in enumerate(
        zip(shown, styles(shown, theme), samples, strict=True)
    ):
        mean, sd = mean_and_sd(values)
        step = max(1, len(x) // 10)
        axes.plot(
            x,
            mean,
            color=style.colour,
            linestyle=style.line,
            linewidth=2.4 if index == 0 else 1.5,
            marker=style.marker,
            markersize=4.5,
            # Each curve's markers start at another point, so that they do not hide each other.
            markevery=(index * step // len(shown), step),
            label=one.label,
            gid=f"mean-{key_words(one)}",
            zorder=3 + 0.1 * (len(shown) - index),
        )
        if np.all(np.isfinite(sd)):
            axes.fill_between(
                x,
                mean - sd,
                mean + sd,
                color=style.colour,
                alpha=0.2,
                linewidth=0,
                gid=f"band-{key_words(one)}",
            )


# --- Units -------------------------------------------------------------------------------------


# From so many units on, points are small.
CROWDED = 500


def points(
    axes: Axes,
    measures: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray,
    dead: np.ndarray,
    look: tuple[Any, str],
    index: int,
    crowded: bool,
) -> None:
    """The units of one layer as points; dead units as crosses.

    Args:
        measures: float (n_units,) each, across and up. rows, dead: bool (n_units,), the layer's
            units, and those silent on every image.
        look: colour and marker. index: number of the layer in the drawing's element names.
        crowded: whether the points are to be small.
    """
    (across, up), (colour, marker) = measures, look
    live, silent = rows & ~dead, rows & dead
    axes.scatter(
        across[live],
        up[live],
        s=9 if crowded else 22,
        marker=marker,
        color=[colour],
        alpha=0.7,
        linewidths=0,
        zorder=2,
        gid=f"units-{index}",
    )
    if silent.any():
        axes.scatter(
            across[silent],
            up[silent],
            s=34,
            marker="x",
            color=[colour],
            linewidths=1.3,
            zorder=4,
            clip_on=False,
            gid=f"dead-{index}",
        )


def regression(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Ends of the least-squares line over the range of x; None if the line is undefined."""
    if len(x) < 2 or np.ptp(x) == 0:
        return None
    slope, intercept = np.polyfit(x, y, 1)
    ends = np.array([x.min(), x.max()])
    return ends, slope * ends + intercept


def power_of_ten(values: np.ndarray) -> int:
    """Power of ten, a multiple of 3, by which an axis is scaled to readable numbers."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0 or 0.1 <= largest < 1000:
        return 0
    return 3 * int(np.floor(np.log10(largest) / 3))


# --- Rendering ---------------------------------------------------------------------------------


def rendered(
    picture: Callable[[], Figure], kinds: Sequence[str], dark: bool, standalone: bool
) -> dict[str, bytes]:
    """Renders a figure in the style of this project; the same figure gives the same bytes.

    Args:
        picture: composes the figure; called within the style.
        kinds: "png", "svg" or both.
        dark: light ink, for a dark page.
        standalone: on a background; otherwise transparent, for a page.
    """
    files = {}
    with styled(dark):
        composed = picture()
        for text in composed.findobj(Text):
            text.set_text(typeset(text.get_text()))
        background = background_of(dark) if standalone else "none"
        # No date and no version in the file, and a fixed salt: the same input gives the same bytes.
        metadata = {"png": {"Software": None}, "svg": {"Date": None}}
        for kind in kinds:
            buffer = io.BytesIO()
            composed.savefig(
                buffer, format=kind, dpi=_PNG_DPI, facecolor=background, metadata=metadata[kind]
            )
            files[kind] = buffer.getvalue()
    return files


def styled(dark: bool) -> AbstractContextManager[None]:
    """Sets the style of this project in the block, and restores the former one after it."""
    return matplotlib.style.context(["default", _settings(DARK if dark else LIGHT)])


def background_of(dark: bool) -> str:
    """The background of a standalone picture."""
    return "#15151c" if dark else "#ffffff"


def _settings(theme: Theme) -> dict[str, Any]:
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
