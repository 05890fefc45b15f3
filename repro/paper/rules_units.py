"""The rules that decide the paper's claims on single units (C14 to C20). As in
`repro.paper.rules_networks`, a rule is written before its results are seen, and its text is
formatted from its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from repro.core.kinds import UnitTable
from repro.core.metrics import Correlation, mean_and_sd
from repro.core.results import FigureResult
from repro.paper.finding import (
    INCONCLUSIVE,
    NEGLIGIBLE_RHO,
    NOT_RUN,
    SUPPORTED,
    Estimate,
    Finding,
    Interval,
    counted,
    ends,
    rho_words,
    sign_of,
    three_way,
    units_words,
)
from repro.paper.measures import TAILS, correlation, relation, unit_tables
from repro.paper.rule import Rule, cardinal, choice

_RESAMPLES = 2000  # of a bootstrap over units


@dataclass(frozen=True)
class SelectivityDoesNotPredictImportance(Rule):
    """C14: on the multilayer perceptron.

    negligible: size of a rho that does not count. cost: the measure of what a unit's loss costs.
    live_only: whether units that are silent on every image are left out.
    """

    negligible: float = NEGLIGIBLE_RHO
    cost: str = choice("importance")
    live_only: bool = choice(False)

    template = (
        "Spearman's rho between class selectivity and the change of test loss when the unit is "
        "ablated, over all units, ranked within each network; interval: {confidence!p} bootstrap "
        "over units. Supported: the interval lies inside (-{negligible}, {negligible}), where one "
        "rank explains less than {explained!p} of the other's variance. Not supported: it lies "
        "wholly outside. Else inconclusive; also if leaving out the units that are silent on every "
        "image (selectivity 0 in the paper) changes the verdict. In words also: rho with the "
        "accuracy lost, over all classes and of the class that loses most."
    )

    @property
    def explained(self) -> float:
        """Share of the variance of ranks that a rho of this size explains."""
        return self.negligible**2

    def __call__(self, figure: FigureResult) -> Finding:
        tables = unit_tables(figure.networks)
        if not tables:
            return Finding(NOT_RUN, note="No network's units were ablated.")
        everyone, live = (
            relation(tables, y=self.cost, live_only=only) for only in (self.live_only, True)
        )
        n = units_words(tables)
        if not np.isfinite(everyone.rho):
            note = "rho is undefined: class selectivity or importance is the same for all units."
            return Finding(INCONCLUSIVE, n=n, note=note)
        verdict, notes = is_negligible(everyone, self.negligible), []
        n_dead = sum(int(table.dead.sum()) for table in tables)
        if n_dead:
            notes.append(
                f"{counted(n_dead, 'unit')} silent on every image; without them {rho_words(live)}."
            )
            if is_negligible(live, self.negligible) != verdict:
                verdict = INCONCLUSIVE
        ours = f"{_over_networks(tables, everyone)}; {_drops_words(tables)}"
        return Finding(verdict, ours, everyone.rho, ends(everyone), n, " ".join(notes))


@dataclass(frozen=True)
class SelectiveMapsAreNotImportant(Rule):
    """C15: on the convolutional network.

    limit: the interval of rho lies below. cost: the measure of what a unit's loss costs. live_only:
    whether units that are silent on every image are left out. within_layers: whether units are
    ranked within their layer.
    """

    limit: float = 0
    cost: str = choice("importance")
    live_only: bool = choice(False)
    within_layers: bool = choice(False)

    template = (
        "rho of class selectivity and change of test loss over all feature maps, ranked within "
        "each network. Supported: its interval lies below {limit}: selective maps are not the "
        "important ones. Not supported: it lies above {limit}. Else inconclusive. In words also: "
        "rho with the accuracy lost, over all classes and of the class that loses most."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        tables = unit_tables(figure.networks)
        if not tables:
            return Finding(NOT_RUN, note="No network's units were ablated.")
        found = relation(
            tables, y=self.cost, live_only=self.live_only, within_layers=self.within_layers
        )
        n = units_words(tables)
        if not np.isfinite(found.rho):
            return Finding(INCONCLUSIVE, n=n, note="rho is undefined.")
        verdict = _below(ends(found), self.limit)
        ours = f"{_over_networks(tables, found)}; {_drops_words(tables)}"
        return Finding(verdict, ours, found.rho, ends(found), n)


@dataclass(frozen=True)
class SelectiveMapsAreNotMoreImportant(SelectiveMapsAreNotImportant):
    """C15: on ResNet-50; the paper says less about it."""

    limit: float = NEGLIGIBLE_RHO

    template = (
        "rho of class selectivity and change of test loss over all feature maps, ranked within "
        "each network. The paper gives no number here and says only that selective maps do not "
        "matter more. Supported: its interval lies below {limit}. Not supported: it lies above "
        "{limit}. Else inconclusive. In words also: rho with the accuracy lost, over all classes "
        "and of the class that loses most."
    )


@dataclass(frozen=True)
class RelationComesFromEarlyLayers(Rule):
    """C16: the relation layer by layer.

    negligible: size of a rho that does not count. part: early and late layers are one of so many
        parts. cost: the measure of what a unit's loss costs.
    """

    negligible: float = NEGLIGIBLE_RHO
    part: int = 3
    cost: str = choice("importance")

    template = (
        "The same rho within each layer, averaged over the first {part!o} and over the last "
        "{part!o} of the layers; intervals from those of the layers, taken as independent. "
        "Supported: that of the early layers lies below 0 and that of the late ones inside "
        "(-{negligible}, {negligible}). Not supported: that of the early ones lies above 0, or "
        "that of the late ones wholly outside (-{negligible}, {negligible}). Else inconclusive. "
        "Value: the early layers'. In words also: the same with the accuracy lost, over all "
        "classes and of the class that loses most."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        tables = unit_tables(figure.networks)
        names = [name for name, _ in tables[0].layers] if tables else []
        if len(names) < self.part:
            note = f"It needs a network with {cardinal(self.part)} hidden layers or more."
            return Finding(NOT_RUN, note=note)
        third = len(names) // self.part
        early, late = (
            _mean_relation([relation(tables, name, y=self.cost) for name in layers])
            for layers in (names[:third], names[-third:])
        )
        n = units_words(tables)
        if early is None or late is None:
            return Finding(INCONCLUSIVE, n=n, note="rho is undefined in every early or late layer.")
        verdict = three_way(
            supported=early.interval.below() and late.interval.inside(self.negligible),
            refuted=early.interval.above() or late.interval.outside(self.negligible),
        )
        ours = (
            f"mean rho {_with_interval(early)} in {names[0]} to {names[third - 1]}, "
            f"{_with_interval(late)} in {names[-third]} to {names[-1]}"
        )
        for measure, words in _DROPS.items():
            means = [
                _mean_relation([relation(tables, name, y=measure) for name in layers])
                for layers in (names[:third], names[-third:])
            ]
            found = (_with_interval(mean) if mean else "undefined" for mean in means)
            ours += f"; with the accuracy lost {words} {' and '.join(found)}"
        return Finding(verdict, ours, early.value, early.interval, n)


@dataclass(frozen=True)
class EarlyUnitsMatterMore(Rule):
    """C17: importance in early and in late layers.

    part: early and late layers are one of so many parts.
    fewest_of_trend: layers from which on the trend over all layers counts too.
    cost: the measure of what a unit's loss costs.
    """

    part: int = 3
    fewest_of_trend: int = 3
    cost: str = choice("importance")

    template = (
        "Mean change of test loss per ablated unit in the first {part!o} of the hidden layers (of "
        "two: in the first) minus that in the last {part!o}; interval: {confidence!p} bootstrap "
        "over the units. Supported: the interval lies above 0 and, with {fewest_of_trend!w} layers "
        "or more, the layers' means fall with depth (Spearman's rho of means and depth below 0). "
        "Not supported: the interval lies below 0. Else inconclusive."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        tables = unit_tables(figure.networks)
        names = [name for name, _ in tables[0].layers] if tables else []
        if len(names) < 2:
            return Finding(NOT_RUN, note="It needs a network with two hidden layers or more.")
        third = max(1, len(names) // self.part)
        early, late = (
            _in_layers(tables, layers, self.cost) for layers in (names[:third], names[-third:])
        )
        n = units_words(tables)
        if not len(early) or not len(late):
            return Finding(INCONCLUSIVE, n=n, note="A layer has no unit with a finite test loss.")
        difference, interval = _bootstrap(early, late)
        ours = (
            f"{early.mean():.2g} nats a unit in {_layers_words(names[:third])}, {late.mean():.2g} "
            f"in {_layers_words(names[-third:])}; difference {difference:+.2g} "
            f"[{interval.low:+.2g}, {interval.high:+.2g}]"
        )
        verdict = sign_of(interval)
        if len(names) >= self.fewest_of_trend:
            trend = _trend(tables, names, self.cost)
            ours += f"; layer means and depth: rho = {trend:.2f}"
            if verdict == SUPPORTED and not trend < 0:
                verdict = INCONCLUSIVE
        return Finding(verdict, ours, difference, interval, n)


@dataclass(frozen=True)
class InformationDoesNotPredictImportance(Rule):
    """C18: mutual information in place of class selectivity.

    negligible: size of a rho that does not count. cost: the measure of what a unit's loss costs.
    within_layers: whether units are ranked within their layer.
    """

    negligible: float = NEGLIGIBLE_RHO
    cost: str = choice("importance")
    within_layers: bool = choice(True)

    template = (
        "rho of mutual information and change of test loss, units ranked within their layer and "
        "network. Supported: its interval lies inside (-{negligible}, {negligible}). Not "
        "supported: it lies wholly outside. Else inconclusive. In words also: each layer's rho "
        "that is not negligible."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        tables = unit_tables(figure.networks)
        if not tables:
            return Finding(NOT_RUN, note="No network's units were ablated.")
        measure = "corrected_information"
        found = relation(tables, x=measure, y=self.cost, within_layers=self.within_layers)
        n = units_words(tables)
        if not np.isfinite(found.rho):
            return Finding(INCONCLUSIVE, n=n, note="rho is undefined.")
        across = relation(tables, x=measure)
        large = [
            f"{name} {one.rho:.2f}"
            for name, _ in tables[0].layers
            if not abs((one := relation(tables, name, x=measure)).rho) < self.negligible
        ]
        ours = f"{rho_words(found)} within layers; over all units {rho_words(across)}" + (
            f"; not negligible: {', '.join(large)}" if large else ""
        )
        verdict = is_negligible(found, self.negligible)
        return Finding(verdict, ours, found.rho, ends(found), n)


@dataclass(frozen=True)
class SelectivityIsUnrelatedToWeights(Rule):
    """C19: class selectivity and the L1 norm of incoming weights.

    negligible: size of a positive rho that does not count. within_layers: whether units are ranked
    within their layer.
    """

    negligible: float = NEGLIGIBLE_RHO
    within_layers: bool = choice(False)

    template = (
        "rho of class selectivity and the L1 norm of the incoming weights over all units, ranked "
        "within each network. Supported: its interval lies below {negligible}: unrelated or "
        "negatively related. Not supported: it lies above {negligible}. Else inconclusive. In "
        "words also: rho within layers."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        tables = unit_tables(figure.networks)
        if not tables:
            return Finding(NOT_RUN, note="No network's units were measured.")
        found = relation(tables, y="weight_norm", within_layers=self.within_layers)
        n = units_words(tables)
        if not np.isfinite(found.rho):
            note = "The units are not the outputs of one layer's weights, or rho is undefined."
            return Finding(INCONCLUSIVE, n=n, note=note)
        within = relation(tables, y="weight_norm", within_layers=True)
        ours = f"{rho_words(found)}; within layers {rho_words(within)}"
        verdict = _below(ends(found), self.negligible)
        return Finding(verdict, ours, found.rho, ends(found), n)


@dataclass(frozen=True)
class SelectivityGrowsWithDepth(Rule):
    """C20: class selectivity of late layers against early ones.

    part: early and late layers are one of so many parts. live_only: whether units that are silent
    on every image are left out.
    """

    part: int = 3
    live_only: bool = choice(False)

    template = (
        "Mean class selectivity of the units of the last {part!o} of the layers minus that of the "
        "first {part!o}; interval: {confidence!p} bootstrap over units. Supported: it lies above "
        "0. Not supported: it lies below 0. Else inconclusive."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        tables = unit_tables(figure.networks)
        names = [name for name, _ in tables[0].layers] if tables else []
        if len(names) < 2:
            return Finding(NOT_RUN, note="It needs a network with two hidden layers or more.")
        third = max(1, len(names) // self.part)
        early, late = (
            _in_layers(tables, layers, "class_selectivity", self.live_only)
            for layers in (names[:third], names[-third:])
        )
        if not (len(early) and len(late)):
            note = "Class selectivity is not defined: it needs images of two classes or more."
            return Finding(INCONCLUSIVE, n=units_words(tables), note=note)
        difference, interval = _bootstrap(late, early)
        ours = (
            f"{early.mean():.3f} in the first {counted(third, 'layer')}, {late.mean():.3f} in the "
            f"last; difference {difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
        )
        if len(names) > 2:
            trend = _trend(tables, names, "class_selectivity")
            ours += f"; layer means and depth: rho = {trend:.2f}"
        return Finding(sign_of(interval), ours, difference, interval, units_words(tables))


selectivity_does_not_predict_importance = SelectivityDoesNotPredictImportance()
selective_maps_are_not_important = SelectiveMapsAreNotImportant()
selective_maps_are_not_more_important = SelectiveMapsAreNotMoreImportant()
relation_comes_from_early_layers = RelationComesFromEarlyLayers()
early_units_matter_more = EarlyUnitsMatterMore()
information_does_not_predict_importance = InformationDoesNotPredictImportance()
selectivity_is_unrelated_to_weights = SelectivityIsUnrelatedToWeights()
selectivity_grows_with_depth = SelectivityGrowsWithDepth()


def _below(interval: Interval, limit: float) -> str:
    """Supported if the interval lies below the limit, not supported if it lies above."""
    return three_way(supported=interval.below(limit), refuted=interval.above(limit))


def is_negligible(found: Correlation, limit: float) -> str:
    """Supported if the whole interval is negligible, not supported if none of it is.

    >>> is_negligible(Correlation(0.1, -0.02, 0.22, 256, 0.1), 0.3)
    'supported'
    >>> is_negligible(Correlation(0.25, 0.13, 0.36, 256, 0.0), 0.3)
    'inconclusive'
    >>> is_negligible(Correlation(-0.5, -0.6, -0.4, 256, 0.0), 0.3)
    'not supported'
    """
    interval = ends(found)
    return three_way(
        supported=interval.inside(limit),
        refuted=interval.outside(limit),
        decidable=bool(np.isfinite(found.rho)),
    )


def _over_networks(tables: Sequence[UnitTable], found: Correlation) -> str:
    rhos = np.array([relation([table]).rho for table in tables])
    words = rho_words(found)
    if len(tables) > 1 and np.all(np.isfinite(rhos)):
        mean, sd = mean_and_sd(rhos)
        words += f"; {mean:.2f} ± {sd:.2f} over {len(tables)} networks"
    return words


# Measures of what a unit's loss costs, and how they follow "the accuracy lost".
_DROPS = {"accuracy_drop": "over all classes", "largest_class_drop": "by the class that loses most"}


def _drops_words(tables: Sequence[UnitTable]) -> str:
    """rho of class selectivity and the accuracy lost (Zhou et al. 2018, arXiv:1806.02891)."""
    found = (
        f"{words} {rho_words(relation(tables, y=measure))}" for measure, words in _DROPS.items()
    )
    return f"with the accuracy lost {', '.join(found)}"


def _mean_relation(found: Sequence[Correlation]) -> Estimate | None:
    """Mean of independent rhos, without undefined ones of layers whose units are all alike."""
    defined = [one for one in found if np.isfinite(one.rho)]
    if not defined:
        return None
    mean = float(np.mean([one.rho for one in defined]))
    errors = [(one.high - one.low) / 2 for one in defined]
    reach = float(np.sqrt(np.sum(np.square(errors)))) / len(defined)
    return Estimate(mean, Interval(mean - reach, mean + reach))


def _with_interval(found: Estimate) -> str:
    return f"{found.value:.2f} [{found.interval.low:.2f}, {found.interval.high:.2f}]"


def _layers_words(names: Sequence[str]) -> str:
    """
    >>> _layers_words(["conv_1", "conv_2", "conv_3"]), _layers_words(["hidden_1"])
    ('conv_1 to conv_3', 'hidden_1')
    """
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _trend(tables: Sequence[UnitTable], names: Sequence[str], measure: str) -> float:
    """Spearman's rho of the layers' means of a measure and their depth."""
    values = [_in_layers(tables, [name], measure) for name in names]
    known = [(depth, value.mean()) for depth, value in enumerate(values) if len(value)]
    depths, means = zip(*known, strict=True)
    return correlation(depths, means).rho


def _in_layers(
    tables: Sequence[UnitTable], layers: Sequence[str], measure: str, live_only: bool = False
) -> np.ndarray:
    """A measure of the units of some layers, networks pooled, finite values only."""
    found = []
    for table in tables:
        chosen = np.isin(table.layer_names, layers)
        found.append(getattr(table, measure)[chosen & ~table.dead if live_only else chosen])
    values = np.concatenate(found)
    return values[np.isfinite(values)]


def _bootstrap(a: np.ndarray, b: np.ndarray) -> Estimate:
    """mean(a) - mean(b) with a percentile bootstrap interval, each resampled on its own."""
    rng = np.random.default_rng(0)
    # A draw of n units with replacement has multinomial counts: far less memory than indices.
    draws = [
        np.dot(
            rng.multinomial(len(values), np.full(len(values), 1 / len(values)), _RESAMPLES), values
        )
        / len(values)
        for values in (a, b)
    ]
    low, high = np.quantile(draws[0] - draws[1], TAILS)
    return Estimate(float(a.mean() - b.mean()), Interval(float(low), float(high)))
