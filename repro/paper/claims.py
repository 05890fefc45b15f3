"""The paper's claims, which figures decide them, and the verdicts on our results.

The rules themselves stand in `repro.paper.rules_networks` and `repro.paper.rules_units`, each in
words beside the code that applies it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.core.datasets import DATASETS
from repro.core.results import FigureResult
from repro.paper import rules_images, rules_networks, rules_units
from repro.paper.finding import (
    INCONCLUSIVE,
    NOT_RUN,
    NOT_SUPPORTED,
    SUPPORTED,
    Finding,
    Interval,
    counted,
    missing_networks,
)
from repro.paper.measures import LEARNED, learned
from repro.paper.rule import Rule, times

__all__ = [
    "CLAIMS",
    "INCONCLUSIVE",
    "NOT_RUN",
    "NOT_SUPPORTED",
    "SUPPORTED",
    "Claim",
    "Verdict",
    "judge",
    "to_record",
]


# Fields of a rule, by the choice and the option that sets them.
Choices = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Claim:
    """One claim of the paper (docs/paper.md, "Claims") and how it is decided.

    figures: names of the figures whose results decide it, each on its own.
    rule: decides the claim, and states in words how.
    paper, paper_value: the paper's number in words and as a number, if it gives one.
    of_all: whether networks that learned nothing count too, because the claim is about them.
    data: the data set of the paper's number; "" if the paper gives no number.
    others: other choices where the paper is silent, by choice and option: the fields of the rule
        that this option sets, {} for the option of the verdict.
    """

    name: str
    figures: tuple[str, ...]
    statement: str
    rule: Rule
    paper: str = "no number"
    paper_value: float | None = None
    of_all: bool = False
    data: str = ""
    others: Choices = dataclasses.field(default_factory=dict)

    def ways(self) -> Iterator[tuple[str, str, Rule]]:
        """(choice, option, rule) of each option of `others`."""
        for choice, options in self.others.items():
            for option, fields in options.items():
                yield choice, option, dataclasses.replace(self.rule, **fields)  # type: ignore[type-var]

    def paper_words(self, dataset: str) -> str:
        """The paper's number in words; beside results on another data set with the paper's data
        set."""
        if not self.data or dataset == self.data or DATASETS[self.data].words in self.paper:
            return self.paper
        return f"{self.paper}, on {DATASETS[self.data].words}"


@dataclass(frozen=True)
class Other:
    """A claim decided by the same results under another choice where the paper is silent.

    choice, option: what was chosen, such as "area under the curve", and how, such as "raw AUC".
    as_decided: whether this is the choice of the verdict itself.
    """

    claim: str
    figure: str
    choice: str
    option: str
    as_decided: bool
    verdict: str
    value: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Verdict:
    """A claim, our result and the verdict: one record of claims.json.

    ours, paper: results in words. value, paper_value: results as numbers, None without a number.
    interval: interval of `value`; the rule says of which kind.
    seconds: wall time of the figure's results.
    """

    claim: str
    figure: str
    statement: str
    paper: str
    paper_value: float | None
    ours: str
    value: float | None
    interval: Interval | None
    n: str
    data: str
    profile: str
    rule: str
    verdict: str
    note: str
    command: str
    seconds: float | None = None


_LEARNED = (
    f" A network whose training accuracy is below {times(LEARNED)} that of guessing does not count."
)


def judge(figure: FigureResult) -> list[Verdict]:
    """The verdicts on every claim that this figure's results decide; [] if there is none."""
    found = []
    for claim in CLAIMS:
        if figure.config.name in claim.figures:
            if figure.not_run:
                finding = Finding(NOT_RUN, f"not run: {figure.not_run}")
            else:
                finding = claim.rule(figure) if claim.of_all else _of_learned(claim, figure)
            found.append(_verdict(claim, figure, finding))
    return found


def _of_learned(claim: Claim, figure: FigureResult) -> Finding:
    """The finding on a claim, from the networks that learned anything."""
    kept = tuple(network for network in figure.networks if learned(network))
    n_left_out = len(figure.networks) - len(kept)
    if not n_left_out:
        return claim.rule(figure)
    found = claim.rule(dataclasses.replace(figure, networks=kept, n_unlearned=n_left_out))
    note = (
        f"{n_left_out} of {counted(len(figure.networks), 'network')} left out: training accuracy "
        f"below {times(LEARNED)} that of guessing."
    )
    return dataclasses.replace(
        found,
        verdict=INCONCLUSIVE if found.verdict == NOT_RUN else found.verdict,
        note=f"{found.note} {note}".strip(),
    )


def under_other_choices(figure: FigureResult) -> list[Other]:
    """The claims that this figure's results decide, under each choice of `Claim.others`.

    An option whose results are missing is left out, and a choice with it that has no other option.
    """
    found: list[Other] = []
    for claim in CLAIMS:
        if figure.config.name in claim.figures and not figure.not_run:
            ways = [_other(claim, figure, *way) for way in claim.ways()]
            made = [way for way in ways if way.verdict != NOT_RUN and way.value is not None]
            other = {way.choice for way in made if not way.as_decided}
            found += [way for way in made if way.choice in other]
    return found


def _other(claim: Claim, figure: FigureResult, choice: str, option: str, rule: Rule) -> Other:
    one = dataclasses.replace(claim, rule=rule)
    finding = rule(figure) if claim.of_all else _of_learned(one, figure)
    value = finding.value if finding.value is not None and np.isfinite(finding.value) else None
    return Other(
        claim=claim.name,
        figure=figure.config.name,
        choice=choice,
        option=option,
        as_decided=rule == claim.rule,
        verdict=finding.verdict,
        value=value,
        interval=finding.interval,
    )


def to_record(verdict: Verdict | Other) -> dict[str, Any]:
    """A verdict as JSON-ready values, in the order of its fields."""
    record = dataclasses.asdict(verdict)
    return record | {"interval": None if verdict.interval is None else list(verdict.interval)}


def _verdict(claim: Claim, figure: FigureResult, found: Finding) -> Verdict:
    missing = "" if figure.not_run else missing_networks(figure)
    notes = [found.note, missing if missing not in found.note else ""]
    return Verdict(
        claim=claim.name,
        figure=figure.config.name,
        statement=claim.statement,
        paper=claim.paper_words(figure.config.train.dataset),
        paper_value=claim.paper_value,
        ours=found.ours or "no number can be given",
        value=found.value,
        interval=found.interval,
        n=found.n,
        data=figure.data,
        profile=figure.config.profile,
        rule=claim.rule.text if claim.of_all else claim.rule.text + _LEARNED,
        verdict=found.verdict,
        note=" ".join(filter(None, notes)),
        command=figure.command,
    )


_AREA = "area under the curve"
_NORMALIZED: Choices = {
    _AREA: {
        "normalized AUC": {},
        "raw AUC": {"area": "raw AUC"},
        "AUC above chance": {"area": "AUC above chance"},
    }
}
_CLAMP: Choices = {"clamp": {"zero": {}, "mean": {"sweep": "mean"}}}
_COST: Choices = {
    "cost of a unit": {
        "loss": {},
        "accuracy": {"cost": "accuracy_drop"},
        "accuracy of the class hit most": {"cost": "largest_class_drop"},
    }
}
_SILENT: Choices = {"silent units": {"selectivity 0": {}, "left out": {"live_only": True}}}
_RANKED = "ranks of units"
_RANKS: Choices = {_RANKED: {"over all layers": {}, "within layers": {"within_layers": True}}}

CLAIMS = (
    Claim(
        name="C1",
        figures=(
            "fig1a",
            "fig1b",
            "fig1c",
        ),
        statement=(
            "Networks that memorise corrupted labels rely more on single units than a network "
            "trained on true labels."
        ),
        paper="no number; the curve with true labels falls much more slowly",
        rule=rules_networks.memorising_networks_rely_more,
        others={**_NORMALIZED, **_CLAMP},
    ),
    Claim(
        name="C2",
        figures=(
            "fig2a",
            "fig2b",
        ),
        statement=(
            "Networks that memorise corrupted labels rely more on random directions: they are "
            "more sensitive to noise on all units."
        ),
        paper="no number; consistently and substantially more sensitive",
        rule=rules_networks.memorising_networks_bear_less_noise,
        others={
            "noise in a convnet": {"per position": {}, "per feature map": {"sweep": "whole_maps"}}
        },
    ),
    Claim(
        name="C3",
        figures=("fig3",),
        statement=(
            "Among networks of one topology trained on true labels, those that generalise better "
            "rely less on single units."
        ),
        paper="no number, 200 networks",
        rule=rules_networks.better_networks_rely_less,
        others=_NORMALIZED,
    ),
    Claim(
        name="C4",
        figures=("fig3",),
        statement="These networks fall into discrete regimes, and the relation holds inside them.",
        rule=rules_networks.networks_fall_into_regimes,
    ),
    Claim(
        name="C5",
        figures=("fig4a",),
        statement=(
            "Reliance on single units signals when to stop training: AUC begins to fall where "
            "training and test loss part."
        ),
        rule=rules_networks.reliance_signals_early_stopping,
        of_all=True,
    ),
    Claim(
        name="C6",
        figures=("fig4b",),
        statement="Over training, AUC follows the test loss.",
        paper="rho = -0.728",
        paper_value=-0.728,
        rule=rules_networks.reliance_tracks_test_loss,
        others={_AREA: {"raw AUC": {}, "normalized AUC": {"area": "normalized AUC"}}},
        of_all=True,
        data="cifar10",
    ),
    Claim(
        name="C7",
        figures=("fig4c",),
        statement="AUC ranks hyper-parameters as test accuracy does.",
        paper="rho = 0.914, 192 networks",
        paper_value=0.914,
        rule=rules_networks.reliance_ranks_settings,
        others={
            _AREA: {
                "raw AUC": {},
                "normalized AUC": {"area": "normalized AUC"},
                "AUC above chance": {"area": "AUC above chance"},
            }
        },
        of_all=True,
        data="cifar10",
    ),
    Claim(
        name="C8",
        figures=("fig4c",),
        statement="Choosing hyper-parameters by AUC costs little test accuracy.",
        paper=(
            "of 48 settings the chosen one is the best in 13 %, among the best 5 in 83 % and the "
            "best 10 in 98 % of draws; 1 ± 1.1 points of accuracy below the best"
        ),
        paper_value=0.01,
        rule=rules_networks.reliance_selects_settings,
        of_all=True,
        data="cifar10",
    ),
    Claim(
        name="C9",
        figures=("fig5a",),
        statement="Dropout protects against ablation only up to the fraction dropped in training.",
        rule=rules_networks.dropout_protects_up_to_its_rate,
    ),
    Claim(
        name="C10",
        figures=("fig5a",),
        statement=(
            "Dropout discourages memorising: the more of it, the worse the training on corrupted "
            "labels."
        ),
        rule=rules_networks.dropout_discourages_memorising,
        of_all=True,
    ),
    Claim(
        name="C11",
        figures=(
            "fig5b",
            "bnxdropout",
        ),
        statement="Batch normalisation lowers the reliance on single units.",
        paper="no number, 4 networks each",
        rule=rules_networks.batch_norm_lowers_reliance,
        others=_NORMALIZED,
    ),
    Claim(
        name="C12",
        figures=("fig6",),
        statement="Batch normalisation lowers class selectivity.",
        rule=rules_networks.batch_norm_lowers_selectivity,
        others=_SILENT,
    ),
    Claim(
        name="C13",
        figures=("fig6",),
        statement="Batch normalisation raises the mutual information of units and classes.",
        rule=rules_networks.batch_norm_raises_information,
        others={
            "estimate of information": {
                "bias subtracted": {},
                "as it is": {"estimate": "mutual_information"},
            }
        },
    ),
    Claim(
        name="C14",
        figures=("fig7a",),
        statement="A unit's class selectivity does not predict its importance.",
        paper="rho = 0.095",
        paper_value=0.095,
        rule=rules_units.selectivity_does_not_predict_importance,
        others={**_COST, **_SILENT},
        data="mnist",
    ),
    Claim(
        name="C15",
        figures=("fig7b",),
        statement=(
            "In convolutional networks class selectivity does not mark the important feature "
            "maps either: if anything, less selective maps matter more."
        ),
        paper="rho = -0.428 on CIFAR-10",
        paper_value=-0.428,
        rule=rules_units.selective_maps_are_not_important,
        others={**_COST, **_SILENT, **_RANKS},
        data="cifar10",
    ),
    Claim(
        name="C15",
        figures=("fig7d",),
        statement="In ResNet-50 class-selective feature maps are no more important than others.",
        rule=rules_units.selective_maps_are_not_more_important,
        others={**_COST, **_SILENT, **_RANKS},
    ),
    Claim(
        name="C16",
        figures=(
            "fig7b",
            "fig7d",
        ),
        statement=(
            "In convolutional networks, what relation there is of class selectivity and importance "
            "comes from early layers; late layers show none."
        ),
        rule=rules_units.relation_comes_from_early_layers,
        others=_COST,
    ),
    Claim(
        name="C17",
        figures=(
            "fig7a",
            "fig7b",
            "fig7d",
        ),
        statement="Ablating units of early layers hurts more than ablating units of late layers.",
        rule=rules_units.early_units_matter_more,
        others=_COST,
    ),
    Claim(
        name="C18",
        figures=(
            "figA4a",
            "figA4b",
            "figA4d",
        ),
        statement="Mutual information does not predict a unit's importance either.",
        rule=rules_units.information_does_not_predict_importance,
        others={
            **_COST,
            _RANKED: {"within layers": {}, "over all layers": {"within_layers": False}},
        },
    ),
    Claim(
        name="C19",
        figures=(
            "figA3a",
            "figA3b",
        ),
        statement=(
            "Class selectivity is unrelated, or negatively related, to the L1 norm of a filter's "
            "weights."
        ),
        rule=rules_units.selectivity_is_unrelated_to_weights,
        others=_RANKS,
    ),
    Claim(
        name="C20",
        figures=(
            "figA2a",
            "figA2b",
        ),
        statement="Class selectivity grows with depth.",
        rule=rules_units.selectivity_grows_with_depth,
        others=_SILENT,
    ),
    Claim(
        name="C21",
        figures=("figA1",),
        statement="Clamping units to their mean hurts more than clamping them to zero.",
        rule=rules_networks.zero_hurts_less_than_mean,
        others=_NORMALIZED,
    ),
    Claim(
        name="C22",
        figures=("regularizer",),
        statement=(
            "Class-selective units may be unnecessary, or harmful, for generalization (the "
            "paper's interpretation; tested as Leavitt and Morcos did in 2020)."
        ),
        paper="not tested in the paper",
        rule=rules_networks.selectivity_is_not_needed,
        of_all=True,
    ),
    Claim(
        name="C23",
        figures=("fragile", "fragilefashion", "fragilecifar"),
        statement=(
            "Within one network, images whose labels it had to memorise hang on single units: they "
            "are more fragile than images with true labels."
        ),
        paper="not tested in the paper",
        rule=rules_images.memorised_images_are_fragile,
    ),
)
