"""The claims under other choices where the paper is silent: words, and one picture.

`repro.paper.claims` decides every claim once more under each choice of `Claim.others`. A verdict
that turns with such a choice says as much about the choice as about the networks.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from repro.display.plots import DARK, LIGHT, rendered
from repro.paper.claims import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Other
from repro.paper.finding import Interval
from repro.paper.series import figure_label

SIGNS = {SUPPORTED: "✓", NOT_SUPPORTED: "✗", INCONCLUSIVE: "?"}
# Backgrounds of a cell by its verdict, for a light and for a dark page.
_COLOURS = {
    SUPPORTED: ("#d8f0dd", "#1d4a2a"),
    NOT_SUPPORTED: ("#fbdcd7", "#6b241b"),
    INCONCLUSIVE: ("#ececf2", "#3a3a48"),
}
_COLUMN, _ROW, _LEFT, _TOP = 0.68, 0.33, 1.75, 2.25  # inches


def read(records: Iterable[Mapping[str, Any]]) -> list[Other]:
    """Choices from the records of choices.json."""
    return [
        Other(**{**one, "interval": one["interval"] and Interval(*one["interval"])})
        for one in records
    ]


def turned(others: Iterable[Other]) -> list[Other]:
    """The choices under which a claim gets another verdict than the one decided."""
    found = list(others)
    decided = {(one.claim, one.figure): one.verdict for one in found if one.as_decided}
    return [one for one in found if decided.get((one.claim, one.figure)) not in (None, one.verdict)]


def words(others: Sequence[Other]) -> str:
    """One sentence on how many other choices leave the verdicts as they are; "" without one.

    >>> same = ("C6", "fig4b", "area under the curve")
    >>> raw = Other(*same, "raw AUC", True, "not supported", 0.84, None)
    >>> print(words([raw, Other(*same, "normalized AUC", False, "supported", -0.75, None)]))
    0 of 1 other choices leave the verdict as it is. It turns for C6 (Fig. 4b: normalized AUC).
    """
    options = [one for one in others if not one.as_decided]
    if not options:
        return ""
    different = turned(others)
    said = (
        f"{len(options) - len(different)} of {len(options)} other choices leave the verdict as it "
        "is."
    )
    by_claim: dict[tuple[str, str], list[str]] = {}
    for one in different:
        by_claim.setdefault((one.claim, one.figure), []).append(one.option)
    turns = [
        f"{claim} ({figure_label(figure)}: {', '.join(names)})"
        for (claim, figure), names in by_claim.items()
    ]
    return f"{said} It turns for {', '.join(turns)}." if turns else said


def number(value: float | None) -> str:
    """A value with two digits that count, and a true minus.

    >>> number(-0.0213), number(0.307), number(None)
    ('−0.021', '0.31', '')
    """
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.2g}".replace("-", "−")


def columns(others: Iterable[Other]) -> list[tuple[str, str]]:
    """(choice, option), the options of a choice side by side, in the order of the claims."""
    by_choice: dict[str, dict[str, None]] = {}
    for one in others:
        by_choice.setdefault(one.choice, {})[one.option] = None
    return [(choice, option) for choice, options in by_choice.items() for option in options]


def draw(
    others: Sequence[Other], *, kinds: Sequence[str] = ("png", "svg"), dark: bool = False
) -> dict[str, bytes]:
    """The picture as {"png": ..., "svg": ...}: a row a claim and figure, a column an option.

    Args:
        others: at least one.
        kinds: which of the two. dark: light ink, for a dark page.
    """
    return rendered(lambda: _compose(others, dark), kinds, dark, True)


def _compose(others: Sequence[Other], dark: bool) -> Figure:
    theme, shade = (DARK, 1) if dark else (LIGHT, 0)
    across = columns(others)
    rows = list(dict.fromkeys((one.claim, one.figure) for one in others))
    width, height = _LEFT + _COLUMN * len(across) + 0.2, _TOP + _ROW * len(rows) + 0.75
    picture = Figure(figsize=(width, height))
    FigureCanvasAgg(picture)
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.text(0.15, 0.3, "Do the verdicts hold under other choices?", fontsize=13, weight="bold")
    choices = list(dict.fromkeys(choice for choice, _ in across))
    left = {column: _LEFT + _COLUMN * index for index, column in enumerate(across)}
    for choice in choices:
        places = [x for (name, _), x in left.items() if name == choice]
        begin = min(places)
        axes.text(
            begin + 0.06,
            0.75,
            textwrap.fill(choice, 9 * len(places)),
            fontsize=8,
            weight="bold",
            va="top",
            color=theme.muted,
        )
        if choice != choices[0]:
            axes.plot([begin] * 2, [0.75, _TOP + _ROW * len(rows)], color=theme.grid, linewidth=1)
    for (_, option), x in left.items():
        axes.text(
            x + _COLUMN / 2,
            _TOP - 0.08,
            option,
            rotation=55,
            rotation_mode="anchor",
            fontsize=8,
            color=theme.ink,
        )
    for index, (claim, figure) in enumerate(rows):
        y = _TOP + _ROW * index
        axes.text(0.15, y + _ROW / 2, claim, va="center", weight="bold")
        axes.text(0.65, y + _ROW / 2, figure_label(figure), va="center", color=theme.muted)
        for one in others:
            if (one.claim, one.figure) != (claim, figure):
                continue
            x = left[one.choice, one.option]
            axes.add_patch(
                Rectangle(
                    (x + 0.03, y + 0.03),
                    _COLUMN - 0.06,
                    _ROW - 0.06,
                    facecolor=_COLOURS[one.verdict][shade],
                    edgecolor=theme.ink if one.as_decided else "none",
                    linewidth=1,
                    gid=f"cell-{claim}-{figure}-{one.choice}-{one.option}".replace(" ", "_"),
                )
            )
            axes.text(
                x + _COLUMN / 2,
                y + _ROW / 2,
                f"{SIGNS[one.verdict]} {number(one.value)}",
                ha="center",
                va="center",
                fontsize=8,
                color=theme.ink,
            )
    axes.text(
        0.15,
        height - 0.45,
        "✓ supported   ✗ not supported   ? inconclusive; framed: the choice of the verdict; "
        "number: the value that the rule decides by.",
        fontsize=8,
        color=theme.muted,
    )
    return picture
