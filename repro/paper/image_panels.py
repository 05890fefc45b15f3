"""Draws what single images of a figure's networks hang on: how fragile they are, how well shuffled
labels are found, and how many units change an answer. As in `repro.paper.panels`, a panel's config
says what is drawn.

Artists carry a group id: "fragile-shuffled", "finding-loss", "flips-true" and the like.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from repro.core.kinds import ImageTable
from repro.core.kinds.fragility import SCORES
from repro.core.results import FigureResult
from repro.core.settings import PanelConfig
from repro.display.plots import Theme, split_name
from repro.paper.finding import plus_minus
from repro.paper.measures import flips_of, image_tables
from repro.paper.panels import DRAWN, LEGENDS, legend_above

_KINDS = ((True, "shuffled labels", "-"), (False, "true labels", "--"))
_GRID = 201  # places on the axis at which ROC curves are averaged


@LEGENDS.of("fragile", "flips")
def _lines_of_kinds(figure: FigureResult, panel: PanelConfig) -> int:
    return len(_KINDS)


@LEGENDS.of("finding")
def _lines_of_scores(figure: FigureResult, panel: PanelConfig) -> int:
    return len(SCORES)


def _tables(figure: FigureResult, panel: PanelConfig) -> list[ImageTable]:
    return image_tables(figure.networks, panel.sweep)


def areas_words(tables: Sequence[ImageTable]) -> str:
    """How well each score finds shuffled labels, in a sentence."""
    areas = {
        name: [area for table in tables if np.isfinite(area := table.area(name))] for name in SCORES
    }
    if not areas["fragility"]:
        return "The labels of these images are of one kind, so none can be told from the others."
    each = [f"{float(np.mean(found)):.2f} by {name}" for name, found in areas.items()]
    return (
        f"Shuffled labels are told from true ones with an area under the ROC curve of {each[0]}, "
        f"{each[1]} and {each[2]}."
    )


@DRAWN.of("fragile")
def _fragile(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """The share of images of either kind that are at least so fragile, networks pooled."""
    tables = _tables(figure, panel)
    for shuffled, name, line in _KINDS:
        parts = [one.fragility[one.shuffled if shuffled else one.truthful] for one in tables]
        values = np.sort(np.concatenate(parts))
        label = f"{name}: none" if not len(values) else f"{name}: mean {values.mean():.3f}, "
        label += f"n = {len(values):,}" * bool(len(values))
        at = np.unique(values)
        share = 1 - np.searchsorted(values, at, side="left") / max(1, len(values))
        _stairs(axes, theme, at, share, (shuffled, label, line), f"fragile-{name.split()[0]}")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    axes.set_xlabel("fragility: share of single units whose lesion changes the answer")
    axes.set_ylabel(f"share of {split_name(tables[0].images)} images, at least so fragile")
    legend_above(axes, panel)


def _stairs(
    axes: Axes,
    theme: Theme,
    x: np.ndarray,
    share: np.ndarray,
    kind: tuple[bool, str, str],
    gid: str,
) -> None:
    shuffled, label, line = kind
    axes.plot(
        x,
        share,
        drawstyle="steps-post" if gid.startswith("flips") else "steps-pre",
        color=theme.purple if shuffled else theme.blue,
        linestyle=line,
        linewidth=2,
        label=label,
        gid=gid,
    )


def roc(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve: shares of negatives and of positives at or above each score, from (0, 0).

    Args:
        scores: float (n,). positive: bool (n,), with both kinds.

    >>> false, true = roc(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    >>> false.tolist(), true.tolist()
    ([0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 0.5, 1.0])
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # equal scores are one step
    hits = np.cumsum(positive[order])[last]
    false = np.cumsum(~positive[order])[last]
    return np.append(0.0, false / false[-1]), np.append(0.0, hits / hits[-1])


@DRAWN.of("finding")
def _finding(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """ROC curves of finding shuffled labels, averaged over networks."""
    tables = [one for one in _tables(figure, panel) if np.isfinite(one.area("loss"))]
    at = np.linspace(0, 1, _GRID)
    colours = (theme.purple, theme.blue, theme.green)
    lines = ("-", "--", "-.")
    for (name, words), colour, line in zip(SCORES.items(), colours, lines, strict=True):
        if not tables:
            axes.plot([], [], color=colour, linestyle=line, label=f"{words}: not defined")
            continue
        curves = []
        for table in tables:
            known = table.true_labels >= 0
            curves.append(np.interp(at, *roc(table.score(name)[known], table.shuffled[known])))
        areas = np.array([table.area(name) for table in tables])
        axes.plot(
            at,
            np.mean(curves, axis=0),
            color=colour,
            linestyle=line,
            linewidth=2,
            label=f"{words}: area {plus_minus(areas)}",
            gid=f"finding-{name}",
        )
    axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlim(-0.01, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("share of true labels that are suspected")
    axes.set_ylabel("share of shuffled labels found")
    legend_above(axes, panel)


@DRAWN.of("flips")
def _flips(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Theme) -> None:
    """The share of images whose answer so many units change, chosen greedily."""
    tables = _tables(figure, panel)
    found = {shuffled: flips_of(tables, shuffled) for shuffled, _, _ in _KINDS}
    finite = np.concatenate([values[np.isfinite(values)] for values in found.values()])
    end = int(finite.max(initial=1))
    for shuffled, name, line in _KINDS:
        values = found[shuffled]
        at = np.arange(0, end + 1)
        share = np.array([(values <= number).mean() if len(values) else 0.0 for number in at])
        reached = values[np.isfinite(values)]
        words = f"mean {reached.mean():.2f}" if len(reached) else "not reached"
        if len(reached) < len(values):
            words += f" of {len(reached):,} that change"
        label = f"{name}: {words}, n = {len(values):,}" if len(values) else f"{name}: none"
        kind = (shuffled, label, line)
        if len(values):
            _stairs(axes, theme, at, share, kind, f"flips-{name.split()[0]}")
        else:
            axes.plot([], [], color=theme.muted, linestyle=line, label=label)
    axes.set_xlim(0, max(end, 2))
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_xlabel("units clamped together, chosen greedily")
    axes.set_ylabel("share of images whose answer changes")
    legend_above(axes, panel)
