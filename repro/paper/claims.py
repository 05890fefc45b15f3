"""The paper's claims, which figures decide them, and the verdicts on our results.

The rules themselves stand in `repro.paper.rules` and `repro.paper.unit_rules`, each in words beside
the function that applies it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from repro.core.datasets import DATASETS
from repro.core.results import FigureResult
from repro.paper import rules, unit_rules
from repro.paper.findings import learned
from repro.paper.verdicts import (
    INCONCLUSIVE,
    NOT_RUN,
    NOT_SUPPORTED,
    SUPPORTED,
    Finding,
    counted,
    missing_networks,
)

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


@dataclass(frozen=True)
class Claim:
    """One claim of the paper (docs/paper.md, "Claims") and how it is decided.

    figures: names of the figures whose results decide it, each on its own.
    paper, paper_value: the paper's number in words and as a number, if it gives one.
    of_all: whether networks that learned nothing count too, because the claim is about them.
    data: the data set of the paper's number; "" if the paper gives no number.
    """

    name: str
    figures: tuple[str, ...]
    statement: str
    paper: str
    paper_value: float | None
    rule: str
    decide: Callable[[FigureResult], Finding]
    of_all: bool = False
    data: str = ""

    def paper_words(self, dataset: str) -> str:
        """The paper's number in words; beside results on another data set with the paper's data
        set."""
        if not self.data or dataset == self.data or DATASETS[self.data].words in self.paper:
            return self.paper
        return f"{self.paper}, on {DATASETS[self.data].words}"


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
    interval: tuple[float, float] | None
    n: str
    data: str
    profile: str
    rule: str
    verdict: str
    note: str
    command: str
    seconds: float | None = None


_LEARNED = " A network whose training accuracy is below twice that of guessing does not count."


def judge(figure: FigureResult) -> list[Verdict]:
    """The verdicts on every claim that this figure's results decide; [] if there is none."""
    found = []
    for claim in CLAIMS:
        if figure.config.name in claim.figures:
            if figure.not_run:
                finding = Finding(NOT_RUN, f"not run: {figure.not_run}")
            else:
                finding = claim.decide(figure) if claim.of_all else _of_learned(claim, figure)
            found.append(_verdict(claim, figure, finding))
    return found


def _of_learned(claim: Claim, figure: FigureResult) -> Finding:
    """The finding on a claim, from the networks that learned anything."""
    kept = tuple(network for network in figure.networks if learned(network))
    n_left_out = len(figure.networks) - len(kept)
    if not n_left_out:
        return claim.decide(figure)
    found = claim.decide(dataclasses.replace(figure, networks=kept, n_unlearned=n_left_out))
    note = (
        f"{n_left_out} of {counted(len(figure.networks), 'network')} left out: training accuracy "
        "below twice that of guessing."
    )
    return dataclasses.replace(
        found,
        verdict=INCONCLUSIVE if found.verdict == NOT_RUN else found.verdict,
        note=f"{found.note} {note}".strip(),
    )


def to_record(verdict: Verdict) -> dict[str, Any]:
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
        ours=found.ours or "no result",
        value=found.value,
        interval=found.interval,
        n=found.n,
        data=figure.data,
        profile=figure.config.profile,
        rule=claim.rule if claim.of_all else claim.rule + _LEARNED,
        verdict=found.verdict,
        note=" ".join(filter(None, notes)),
        command=figure.command,
    )


_NO_NUMBER = "no number"

CLAIMS = (
    Claim(
        "C1",
        ("fig1a", "fig1b", "fig1c"),
        "Networks that memorise corrupted labels rely more on single units than a network trained "
        "on true labels.",
        "no number; the curve with true labels falls much more slowly",
        None,
        rules.C1_RULE,
        rules.memorising_networks_rely_more,
    ),
    Claim(
        "C2",
        ("fig2a", "fig2b"),
        "Networks that memorise corrupted labels rely more on random directions: they are more "
        "sensitive to noise on all units.",
        "no number; consistently and substantially more sensitive",
        None,
        rules.C2_RULE,
        rules.memorising_networks_bear_less_noise,
    ),
    Claim(
        "C3",
        ("fig3",),
        "Among networks of one topology trained on true labels, those that generalise better rely "
        "less on single units.",
        "no number, 200 networks",
        None,
        rules.C3_RULE,
        rules.better_networks_rely_less,
    ),
    Claim(
        "C4",
        ("fig3",),
        "These networks fall into discrete regimes, and the relation holds inside them.",
        _NO_NUMBER,
        None,
        rules.C4_RULE,
        rules.networks_fall_into_regimes,
    ),
    Claim(
        "C5",
        ("fig4a",),
        "Reliance on single units signals when to stop training: AUC begins to fall where training "
        "and test loss part.",
        _NO_NUMBER,
        None,
        rules.C5_RULE,
        rules.reliance_signals_early_stopping,
        of_all=True,
    ),
    Claim(
        "C6",
        ("fig4b",),
        "Over training, AUC follows the test loss.",
        "rho = -0.728",
        -0.728,
        rules.C6_RULE,
        rules.reliance_tracks_test_loss,
        of_all=True,
        data="cifar10",
    ),
    Claim(
        "C7",
        ("fig4c",),
        "AUC ranks hyper-parameters as test accuracy does.",
        "rho = 0.914, 192 networks",
        0.914,
        rules.C7_RULE,
        rules.reliance_ranks_settings,
        of_all=True,
        data="cifar10",
    ),
    Claim(
        "C8",
        ("fig4c",),
        "Choosing hyper-parameters by AUC costs little test accuracy.",
        "of 48 settings the chosen one is the best in 13 %, among the best 5 in 83 % and the best "
        "10 in 98 % of draws; 1 ± 1.1 points of accuracy below the best",
        0.01,
        rules.C8_RULE,
        rules.reliance_selects_settings,
        of_all=True,
        data="cifar10",
    ),
    Claim(
        "C9",
        ("fig5a",),
        "Dropout protects against ablation only up to the fraction dropped in training.",
        _NO_NUMBER,
        None,
        rules.C9_RULE,
        rules.dropout_protects_up_to_its_rate,
    ),
    Claim(
        "C10",
        ("fig5a",),
        "Dropout discourages memorising: the more of it, the worse the training on corrupted "
        "labels.",
        _NO_NUMBER,
        None,
        rules.C10_RULE,
        rules.dropout_discourages_memorising,
        of_all=True,
    ),
    Claim(
        "C11",
        ("fig5b", "bnxdropout"),
        "Batch normalisation lowers the reliance on single units.",
        "no number, 4 networks each",
        None,
        rules.C11_RULE,
        rules.batch_norm_lowers_reliance,
    ),
    Claim(
        "C12",
        ("fig6",),
        "Batch normalisation lowers class selectivity.",
        _NO_NUMBER,
        None,
        rules.C12_RULE,
        rules.batch_norm_lowers_selectivity,
    ),
    Claim(
        "C13",
        ("fig6",),
        "Batch normalisation raises the mutual information of units and classes.",
        _NO_NUMBER,
        None,
        rules.C13_RULE,
        rules.batch_norm_raises_information,
    ),
    Claim(
        "C14",
        ("fig7a",),
        "A unit's class selectivity does not predict its importance.",
        "rho = 0.095",
        0.095,
        unit_rules.C14_RULE,
        unit_rules.selectivity_does_not_predict_importance,
        data="mnist",
    ),
    Claim(
        "C15",
        ("fig7b",),
        "In convolutional networks class selectivity does not mark the important feature maps "
        "either: if anything, they are the less selective ones.",
        "rho = -0.428 on CIFAR-10",
        -0.428,
        unit_rules.C15_RULE,
        unit_rules.selective_maps_are_not_important,
        data="cifar10",
    ),
    Claim(
        "C15",
        ("fig7d",),
        "In ResNet-50 class-selective feature maps are no more important than others.",
        _NO_NUMBER,
        None,
        unit_rules.C15_IMAGENET_RULE,
        unit_rules.selective_maps_are_not_more_important,
    ),
    Claim(
        "C16",
        ("fig7b", "fig7d"),
        "That relation comes from early layers; late layers show none.",
        _NO_NUMBER,
        None,
        unit_rules.C16_RULE,
        unit_rules.relation_comes_from_early_layers,
    ),
    Claim(
        "C17",
        ("fig7a", "fig7b", "fig7d"),
        "Ablating units of early layers hurts more than ablating units of late layers.",
        _NO_NUMBER,
        None,
        unit_rules.C17_RULE,
        unit_rules.early_units_matter_more,
    ),
    Claim(
        "C18",
        ("figA4a", "figA4b", "figA4d"),
        "Mutual information does not predict a unit's importance either.",
        _NO_NUMBER,
        None,
        unit_rules.C18_RULE,
        unit_rules.information_does_not_predict_importance,
    ),
    Claim(
        "C19",
        ("figA3a", "figA3b"),
        "Class selectivity is unrelated, or negatively related, to the L1 norm of a filter's "
        "weights.",
        _NO_NUMBER,
        None,
        unit_rules.C19_RULE,
        unit_rules.selectivity_is_unrelated_to_weights,
    ),
    Claim(
        "C20",
        ("figA2a", "figA2b"),
        "Class selectivity grows with depth.",
        _NO_NUMBER,
        None,
        unit_rules.C20_RULE,
        unit_rules.selectivity_grows_with_depth,
    ),
    Claim(
        "C21",
        ("figA1",),
        "Clamping units to their mean hurts more than clamping them to zero.",
        _NO_NUMBER,
        None,
        rules.C21_RULE,
        rules.zero_hurts_less_than_mean,
    ),
    Claim(
        "C22",
        ("regularizer",),
        "Class-selective units may be unnecessary, or harmful, for generalization (the paper's "
        "interpretation; tested as Leavitt and Morcos did in 2020).",
        "not tested in the paper",
        None,
        rules.C22_RULE,
        rules.selectivity_is_not_needed,
        of_all=True,
    ),
)
