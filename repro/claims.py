"""The paper's claims, each with the rule that decides it, and the verdicts on our results.

A rule is written in words beside the function that applies it, before the results are seen. A
verdict of "not supported" is a result like any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.findings import (
    MEMORISED,
    auc,
    by_label_corruption,
    curves,
    mean_and_sd,
    normalized_auc,
    percent,
    relation,
    unit_tables,
)
from repro.metrics import Correlation
from repro.results import FigureResult, NetworkResult, UnitTable

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported"
INCONCLUSIVE = "inconclusive"
NOT_RUN = "not run"

# |rho| below 0.3: the rank of one variable explains less than 9 % of the other's rank variance.
NEGLIGIBLE_RHO = 0.3
_RESAMPLES = 2000


@dataclass(frozen=True)
class Finding:
    """What a rule found: the verdict, our number in words and as a number, and its n.

    note: what a reader must know to weigh the verdict; "" if nothing.
    """

    verdict: str
    ours: str = ""
    value: float | None = None
    interval: tuple[float, float] | None = None
    n: str = ""
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper (paper.md, section 4) and how it is decided.

    figures: names of the figures whose results decide it, each on its own.
    paper, paper_value: the paper's number in words and as a number, if it gives one.
    """

    name: str
    figures: tuple[str, ...]
    statement: str
    paper: str
    paper_value: float | None
    rule: str
    decide: Callable[[FigureResult], Finding]


@dataclass(frozen=True)
class Verdict:
    """A claim, our result and the verdict: one record of claims.json.

    ours, paper: in words; value, paper_value: the same as numbers, None where there is none.
    interval: of `value`; the rule says which.
    seconds: wall time that the figure's results took.
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


def judge(figure: FigureResult) -> list[Verdict]:
    """The verdicts on every claim that this figure's results decide; [] if there is none."""
    return [
        _verdict(claim, figure, claim.decide(figure))
        for claim in CLAIMS
        if figure.config.name in claim.figures
    ]


def to_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON-ready values, in the order of its fields."""
    record = dataclasses.asdict(verdict)
    return record | {"interval": None if verdict.interval is None else list(verdict.interval)}


def _verdict(claim: Claim, figure: FigureResult, found: Finding) -> Verdict:
    return Verdict(
        claim=claim.name,
        figure=figure.config.name,
        statement=claim.statement,
        paper=claim.paper,
        paper_value=claim.paper_value,
        ours=found.ours or "no result",
        value=found.value,
        interval=found.interval,
        n=found.n,
        data=figure.data,
        profile=figure.config.profile,
        rule=claim.rule,
        verdict=found.verdict,
        note=found.note,
        command=figure.command,
    )


# --- C1 -------------------------------------------------------------------------------------

_C1_RULE = (
    "Mean normalized AUC of the network trained on true labels, minus that of each network trained "
    "on corrupted labels, over all random orders. Supported: every difference is larger than the "
    "two standard deviations added up, so that no two error bars touch. Not supported: one "
    "difference is not, in networks that memorised (training accuracy of 0.99 or more). A network "
    "that did not memorise or is missing decides nothing, so the rest is inconclusive. Interval: "
    "the difference to the closest corrupted network, plus and minus both standard deviations. "
    "With one network for each label corruption, the spread between trainings is not covered."
)


@dataclass(frozen=True)
class _Group:
    """Networks of one label corruption; AUCs of every order of every one of them."""

    label_corruption: float
    n_networks: int
    auc: np.ndarray
    normalized: np.ndarray
    train_accuracy: float

    @property
    def memorised(self) -> bool:
        return self.train_accuracy >= MEMORISED


def _memorising_networks_rely_more(figure: FigureResult) -> Finding:
    groups = [
        _group(fraction, networks) for fraction, networks in by_label_corruption(figure).items()
    ]
    clean = next((group for group in groups if group.label_corruption == 0), None)
    corrupted = [group for group in groups if group.label_corruption > 0]
    if clean is None or not corrupted:
        return Finding(
            NOT_RUN, note="It needs a network trained on true labels and one on corrupted labels."
        )
    margins = [_difference(clean, group) for group in corrupted]
    n = _n_curves(figure, groups)
    if not np.all(np.isfinite(margins)):
        note = "A standard deviation needs two orders and an intact accuracy above 0."
        return Finding(INCONCLUSIVE, _auc_words(clean, corrupted), n=n, note=note)
    closest = int(np.argmin([low for _, low, _ in margins]))
    difference, low, high = margins[closest]
    doubts = _doubts(figure, [clean, *corrupted])
    decisive_failure = clean.memorised and any(
        group.memorised and low <= 0 for group, (_, low, _) in zip(corrupted, margins, strict=True)
    )
    if decisive_failure:
        verdict = NOT_SUPPORTED
    elif doubts or low <= 0:
        verdict = INCONCLUSIVE
    else:
        verdict = SUPPORTED
    return Finding(
        verdict,
        f"{_auc_words(clean, corrupted)}; smallest difference of normalized AUC "
        f"{difference:.3f} [{low:.3f}, {high:.3f}]",
        difference,
        (low, high),
        n,
        " ".join(doubts),
    )


def _group(fraction: float, networks: Sequence[NetworkResult]) -> _Group:
    members = curves(networks)
    return _Group(
        fraction,
        len(members),
        np.concatenate([auc(network) for network in networks]),
        np.concatenate([normalized_auc(network) for network in networks]),
        min(network.training.train_accuracy for network in networks),
    )


def _difference(clean: _Group, corrupted: _Group) -> tuple[float, float, float]:
    """Difference of mean normalized AUC, less and plus the sum of both s.d."""
    mean_clean, sd_clean = mean_and_sd(clean.normalized)
    mean, sd = mean_and_sd(corrupted.normalized)
    difference, bars = float(mean_clean - mean), float(sd_clean + sd)
    return difference, difference - bars, difference + bars


def _doubts(figure: FigureResult, groups: Sequence[_Group]) -> list[str]:
    doubts = [
        f"The network at {percent(group.label_corruption)} corruption reached a training accuracy "
        f"of only {group.train_accuracy:.3f}: it did not memorise."
        for group in groups
        if not group.memorised
    ]
    missing = len(figure.config.networks()) - len(figure.networks)
    if missing:
        doubts.append(f"{missing} of {len(figure.config.networks())} networks are missing.")
    return doubts


def _auc_words(clean: _Group, corrupted: Sequence[_Group]) -> str:
    ranked = sorted(corrupted, key=lambda group: float(group.normalized.mean()), reverse=True)
    highest, lowest = ranked[0], ranked[-1]
    words = (
        f"normalized AUC {_plus_minus(clean.normalized)} with true labels; with corrupted labels "
        f"{_plus_minus(highest.normalized)} ({percent(highest.label_corruption)})"
    )
    if lowest is not highest:
        words += f" down to {_plus_minus(lowest.normalized)} ({percent(lowest.label_corruption)})"
    return f"{words}; raw AUC {_plus_minus(clean.auc)} against {_plus_minus(highest.auc)}"


def _n_curves(figure: FigureResult, groups: Sequence[_Group]) -> str:
    curve = curves(figure.networks)[0]
    n_networks = sum(group.n_networks for group in groups)
    return (
        f"{_count(n_networks, 'network')}, {_count(len(curve.orders), 'order')} each, "
        f"{curve.n_images:,} images"
    )


# --- C14 ------------------------------------------------------------------------------------

_C14_RULE = (
    "Spearman's rho between class selectivity and the change of test loss when the unit is "
    "ablated, over all units, ranked within each network; interval: 95 % bootstrap over units. "
    "Supported: the interval lies inside (-0.3, 0.3), where one rank explains less than 9 % of the "
    "other's variance. Not supported: it lies wholly outside. Else inconclusive; also if leaving "
    "out the units that are silent on every image (selectivity 0 in the paper) changes the verdict."
)


def _selectivity_does_not_predict_importance(figure: FigureResult) -> Finding:
    tables = unit_tables(figure.networks)
    if not tables:
        return Finding(NOT_RUN, note="No network's units were ablated.")
    everyone, live = relation(tables), relation(tables, live_only=True)
    n = _n_units(tables)
    if not np.isfinite(everyone.rho):
        note = "rho is undefined: class selectivity or importance is the same for all units."
        return Finding(INCONCLUSIVE, n=n, note=note)
    verdict, notes = _equivalence(everyone), []
    n_dead = sum(int(table.dead.sum()) for table in tables)
    if n_dead:
        notes.append(
            f"{_count(n_dead, 'unit')} silent on every image; without them {_rho_words(live)}."
        )
        if _equivalence(live) != verdict:
            verdict = INCONCLUSIVE
    ours = _rho_words(everyone)
    rhos = np.array([relation([table]).rho for table in tables])
    if len(tables) > 1 and np.all(np.isfinite(rhos)):
        mean, sd = mean_and_sd(rhos)
        ours += f"; {mean:.2f} ± {sd:.2f} over {len(tables)} networks"
    if len(tables) < len(figure.config.networks()):
        notes.append(f"Only {len(tables)} of {len(figure.config.networks())} networks are there.")
    interval = (everyone.low, everyone.high)
    return Finding(verdict, ours, everyone.rho, interval, n, " ".join(notes))


def _equivalence(found: Correlation) -> str:
    """Supported if the whole interval is negligible, not supported if none of it is.

    >>> _equivalence(Correlation(0.1, -0.02, 0.22, 256, 0.1))
    'supported'
    >>> _equivalence(Correlation(0.25, 0.13, 0.36, 256, 0.0))
    'inconclusive'
    >>> _equivalence(Correlation(-0.5, -0.6, -0.4, 256, 0.0))
    'not supported'
    """
    if not np.isfinite(found.rho):
        return INCONCLUSIVE
    if -NEGLIGIBLE_RHO < found.low and found.high < NEGLIGIBLE_RHO:
        return SUPPORTED
    if found.low >= NEGLIGIBLE_RHO or found.high <= -NEGLIGIBLE_RHO:
        return NOT_SUPPORTED
    return INCONCLUSIVE


# --- C17 ------------------------------------------------------------------------------------

_C17_RULE = (
    "Mean change of test loss per ablated unit in the first hidden layer minus that in the last; "
    "interval: 95 % bootstrap over the units of each layer. Supported: the interval lies above 0. "
    "Not supported: it lies below 0. Else inconclusive."
)


def _early_units_matter_more(figure: FigureResult) -> Finding:
    tables = unit_tables(figure.networks)
    if not tables or len(tables[0].layers) < 2:
        return Finding(NOT_RUN, note="It needs a network with two hidden layers or more.")
    names = [name for name, _ in tables[0].layers]
    first, last = (_importance(tables, name) for name in (names[0], names[-1]))
    n = _n_units(tables)
    if not len(first) or not len(last):
        return Finding(INCONCLUSIVE, n=n, note="A layer has no unit with a finite test loss.")
    difference, low, high = _mean_difference(first, last)
    verdict = SUPPORTED if low > 0 else NOT_SUPPORTED if high < 0 else INCONCLUSIVE
    ours = (
        f"{first.mean():.2g} nats a unit in {names[0]}, {last.mean():.2g} in {names[-1]}; "
        f"difference {difference:+.2g} [{low:+.2g}, {high:+.2g}]"
    )
    return Finding(verdict, ours, difference, (low, high), n)


def _importance(tables: Sequence[UnitTable], layer: str) -> np.ndarray:
    values = np.concatenate([table.importance[table.layer_names == layer] for table in tables])
    return values[np.isfinite(values)]


def _mean_difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """mean(a) - mean(b) with a 95 % percentile bootstrap interval, each resampled on its own."""
    rng = np.random.default_rng(0)
    draws = [
        values[rng.integers(0, len(values), (_RESAMPLES, len(values)))].mean(axis=1)
        for values in (a, b)
    ]
    low, high = np.quantile(draws[0] - draws[1], [0.025, 0.975])
    return float(a.mean() - b.mean()), float(low), float(high)


# --------------------------------------------------------------------------------------------

CLAIMS = (
    Claim(
        "C1",
        ("fig1a", "fig1b", "fig1c"),
        "Networks that memorise corrupted labels rely more on single units than a network trained "
        "on true labels.",
        "no number; the curve with true labels falls much more slowly",
        None,
        _C1_RULE,
        _memorising_networks_rely_more,
    ),
    Claim(
        "C14",
        ("fig7a",),
        "A unit's class selectivity does not predict its importance.",
        "rho = 0.095",
        0.095,
        _C14_RULE,
        _selectivity_does_not_predict_importance,
    ),
    Claim(
        "C17",
        ("fig7a",),
        "Ablating units of early layers hurts more than ablating units of late layers.",
        "no number",
        None,
        _C17_RULE,
        _early_units_matter_more,
    ),
)


def _plus_minus(values: np.ndarray) -> str:
    mean, sd = mean_and_sd(values)
    return f"{mean:.3f} ± {sd:.3f}" if np.isfinite(sd) else f"{mean:.3f}"


def _rho_words(found: Correlation) -> str:
    if not np.isfinite(found.rho):
        return "rho is undefined"
    return f"rho = {found.rho:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _n_units(tables: Sequence[UnitTable]) -> str:
    units = sum(table.n_units for table in tables)
    return (
        f"{_count(units, 'unit')} of {_count(len(tables), 'network')}, "
        f"{tables[0].n_images:,} images"
    )


def _count(number: int, noun: str) -> str:
    """
    >>> _count(2, "network")
    '2 networks'
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
