"""What the report of the paper's figures says, as values; `templates/report.html` lays it out.

The page needs nothing but itself: style, pictures and numbers stand in it. The paper's figures come
first, in the paper's order, then those beyond the paper, then those that are not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from repro.core.datasets import DATASETS
from repro.core.settings import OWN, FigureConfig
from repro.display import html
from repro.display.html import Item, Picture, Table
from repro.paper import others as other_choices
from repro.paper.choices import choices
from repro.paper.claims import (
    CLAIMS,
    INCONCLUSIVE,
    NOT_RUN,
    NOT_SUPPORTED,
    SUPPORTED,
    Other,
    Verdict,
)
from repro.paper.kept import FigureReport
from repro.paper.series import figure_label, is_of_paper

_PROFILES = {
    "quick": "Quick settings: few images, narrow convnets, short trainings. They show what to "
    "expect; they are not the paper's results. Trainings end once the labels are memorised, and "
    "networks that train on after that lean more on single units.",
    "desk": "Desk settings: the paper's networks and epochs as far as two processor cores allow; "
    "each figure says what was cut.",
    "paper": "Paper settings: sizes, epochs and data as in the paper.",
    OWN: "A trained network of your own: the paper's claims are asked of it as they are of the "
    "paper's networks, so a verdict is about this network alone.",
}

DIFFERS = "differs by figure"
NOT_ASKED = "not asked here"
# In this order the head of the page lists the claims.
_STANDINGS = (SUPPORTED, NOT_SUPPORTED, DIFFERS, INCONCLUSIVE, NOT_RUN, NOT_ASKED)
# Figures that the head of the page shows: the paper's two main findings.
_LEADING = ("fig1a", "fig7a")
# From so many figures with a picture on, the head of the page shows two of them.
_FEWEST_TO_LEAD = 3


class Judged(NamedTuple):
    """A verdict in the page.

    figure: label of the figure that decides. name: of its section. where: its data set, in words.
    """

    verdict: Verdict
    figure: str
    name: str
    where: str


class Claimed(NamedTuple):
    """A claim with the verdicts of all figures that decide it.

    standing: the verdict of all, or that they differ.
    """

    name: str
    statements: Sequence[str]
    standing: str
    verdicts: Sequence[Judged]


class Standing(NamedTuple):
    """The names of the claims that stand alike; there: whether the page tells of them."""

    word: str
    claims: Sequence[str]
    there: bool


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

    sentence: what the figure shows. caption: what is drawn in the pictures.
    files: names of those beside the page that hold this figure.
    """

    name: str
    label: str
    title: str
    sentence: str
    pictures: Sequence[Picture]
    caption: str
    claims: Sequence[Judged]
    tables: Sequence[Table]
    made: Sequence[Item]
    files: Sequence[str]


class Lead(NamedTuple):
    """A figure at the head of the page."""

    name: str
    label: str
    sentence: str
    picture: Picture


class NotRun(NamedTuple):
    """A figure without networks, why, and which claims it would decide."""

    name: str
    label: str
    title: str
    why: str
    claims: Sequence[str]


def render(figures: Iterable[FigureReport]) -> str:
    """The whole page."""
    figures = in_order(figures)
    judged = [_judged(verdict, one.config) for one in figures for verdict in one.verdicts]
    claimed = _claimed(judged)
    others = [other for one in figures for other in one.others]
    profiles = dict.fromkeys(one.config.profile for one in figures)
    topics = choices([one.config for one in figures])
    shown = [one for one in figures if one.pictures]
    of_paper = [one for one in shown if is_of_paper(one.config.name)]
    beyond = [one for one in shown if not is_of_paper(one.config.name)]
    return html.render(
        "paper/templates/report.html",
        profiles=[_PROFILES[name] for name in profiles],
        standings=_standings(claimed),
        n_claims=len(_names()),
        claimed=claimed,
        lead=_lead(figures) if len(shown) >= _FEWEST_TO_LEAD else [],
        of_paper=[_section(one, judged) for one in of_paper],
        beyond=[_section(one, judged) for one in beyond],
        not_run=[_not_run(one, judged) for one in figures if not one.pictures],
        choices=[Item(topic, choice) for topic, choice in topics],
        others=_under_other_choices(others),
        others_words=other_choices.words(others),
    )


def in_order(figures: Iterable[FigureReport]) -> list[FigureReport]:
    """The paper's figures in the paper's order, then those beyond the paper as they come."""
    found = list(figures)
    of_paper = [one for one in found if is_of_paper(one.config.name)]
    beyond = [one for one in found if not is_of_paper(one.config.name)]
    return sorted(of_paper, key=lambda one: one.config.name) + beyond


def _names() -> list[str]:
    """The names of all claims, each once."""
    return list(dict.fromkeys(claim.name for claim in CLAIMS))


def _judged(verdict: Verdict, figure: FigureConfig) -> Judged:
    where = DATASETS[figure.train.dataset].words
    if figure.instead_of:
        where += f" in place of {DATASETS[figure.instead_of].words}"
    return Judged(verdict, figure_label(verdict.figure), verdict.figure, where)


def _claimed(judged: Sequence[Judged]) -> list[Claimed]:
    found = []
    for name in _names():
        own = [one for one in judged if one.verdict.claim == name]
        if own:
            statements = list(dict.fromkeys(one.verdict.statement for one in own))
            standing = together([one.verdict.verdict for one in own])
            found.append(Claimed(name, statements, standing, own))
    return found


def together(verdicts: Sequence[str]) -> str:
    """The verdict of several figures on one claim; a figure that is not run has no say.

    >>> together(["supported", "not run"]), together(["supported", "inconclusive"])
    ('supported', 'differs by figure')
    """
    said = set(verdicts) - {NOT_RUN}
    return DIFFERS if len(said) > 1 else said.pop() if said else NOT_RUN


def _standings(claimed: Sequence[Claimed]) -> list[Standing]:
    standing = dict.fromkeys(_names(), NOT_ASKED) | {one.name: one.standing for one in claimed}
    found = (
        Standing(word, [name for name in standing if standing[name] == word], word != NOT_ASKED)
        for word in _STANDINGS
    )
    return [one for one in found if one.claims]


def _lead(figures: Sequence[FigureReport]) -> list[Lead]:
    return [
        Lead(one.config.name, figure_label(one.config.name), one.sentence, one.pictures[0])
        for one in figures
        if one.config.name in _LEADING and one.pictures
    ]


def _section(one: FigureReport, judged: Sequence[Judged]) -> Section:
    name = one.config.name
    return Section(
        name=name,
        label=figure_label(name),
        title=one.config.title,
        sentence=one.sentence,
        pictures=one.pictures,
        caption=one.caption,
        claims=[verdict for verdict in judged if verdict.name == name],
        tables=one.tables,
        made=one.made,
        files=list(one.files),
    )


def _not_run(one: FigureReport, judged: Sequence[Judged]) -> NotRun:
    name = one.config.name
    claims = [verdict.verdict.claim for verdict in judged if verdict.name == name]
    why = one.not_run or "there is no network to show"
    return NotRun(name, figure_label(name), one.config.title, why, claims)


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
