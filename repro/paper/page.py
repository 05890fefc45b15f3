"""What the report of the paper's figures says, as values; `templates/report.html` lays it out.

The page needs nothing but itself: style, pictures and numbers stand in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from repro.core.settings import OWN
from repro.display import html
from repro.display.html import Item, Picture, Table
from repro.paper import others as other_choices
from repro.paper.choices import choices
from repro.paper.claims import Other, Verdict
from repro.paper.kept import FigureReport
from repro.paper.series import figure_label

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


def render(figures: Sequence[FigureReport]) -> str:
    """The whole page, with the figures in this order."""
    judged = [_judged(verdict) for one in figures for verdict in one.verdicts]
    others = [other for one in figures for other in one.others]
    profiles = dict.fromkeys(one.config.profile for one in figures)
    topics = choices([one.config for one in figures])
    return html.render(
        "paper/templates/report.html",
        profiles=[_PROFILES[name] for name in profiles],
        claims=judged,
        figures=[_section(one, judged) for one in figures],
        choices=[Item(topic, choice) for topic, choice in topics],
        others=_under_other_choices(others),
        others_words=other_choices.words(others),
    )


def _section(one: FigureReport, claims: Sequence[Judged]) -> Section:
    name = one.config.name
    return Section(
        name=name,
        label=figure_label(name),
        title=one.config.title,
        picture=one.picture,
        not_run=one.not_run or "there is no network to show",
        claims=[judged for judged in claims if judged.verdict.figure == name],
        tables=one.tables,
        made=one.made,
        files=list(one.files),
    )


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
