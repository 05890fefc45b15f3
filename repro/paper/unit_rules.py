"""The rules that decide the paper's claims on single units (C14 to C20), each in words beside its
function. As in `repro.paper.rules`, a rule is written before its results are seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repro.core.metrics import Correlation, mean_and_sd
from repro.core.results import FigureResult, UnitTable
from repro.paper.findings import correlation, relation, unit_tables
from repro.paper.verdicts import (
    INCONCLUSIVE,
    NEGLIGIBLE_RHO,
    NOT_RUN,
    NOT_SUPPORTED,
    SUPPORTED,
    Finding,
    Interval,
    above,
    counted,
    rho_words,
    units_words,
)

_RESAMPLES = 2000

# --- C14 to C20: units --------------------------------------------------------------------------

C14_RULE = (
    "Spearman's rho between class selectivity and the change of test loss when the unit is "
    "ablated, over all units, ranked within each network; interval: 95 % bootstrap over units. "
    "Supported: the interval lies inside (-0.3, 0.3), where one rank explains less than 9 % of the "
    "other's variance. Not supported: it lies wholly outside. Else inconclusive; also if leaving "
    "out the units that are silent on every image (selectivity 0 in the paper) changes the verdict."
)
C15_RULE = (
    "rho of class selectivity and change of test loss over all feature maps, ranked within each "
    "network. Supported: its interval lies below 0: selective maps are not the important ones. "
    "Not supported: it lies above 0. Else inconclusive."
)
C15_IMAGENET_RULE = (
    "rho of class selectivity and change of test loss over all feature maps, ranked within each "
    "network. The paper gives no number here and says only that selective maps do not matter more. "
    "Supported: its interval lies below 0.3. Not supported: it lies above 0.3. Else inconclusive."
)
C16_RULE = (
    "The same rho within each layer, averaged over the first third and over the last third of the "
    "layers; intervals from those of the layers, taken as independent. Supported: that of the "
    "early layers lies below 0 and that of the late ones inside (-0.3, 0.3). Not supported: that "
    "of the early ones lies above 0, or that of the late ones wholly outside (-0.3, 0.3). Else "
    "inconclusive. Value: the early layers'."
)
C17_RULE = (
    "Mean change of test loss per ablated unit in the first third of the hidden layers (of two: in "
    "the first) minus that in the last third; interval: 95 % bootstrap over the units. Supported: "
    "the interval lies above 0 and, with three layers or more, the layers' means fall with depth "
    "(Spearman's rho of means and depth below 0). Not supported: the interval lies below 0. Else "
    "inconclusive."
)
C18_RULE = (
    "rho of mutual information and change of test loss, units ranked within their layer and "
    "network. Supported: its interval lies inside (-0.3, 0.3). Not supported: it lies wholly "
    "outside. Else inconclusive. In words also: each layer's rho that is not negligible."
)
C19_RULE = (
    "rho of class selectivity and the L1 norm of the incoming weights over all units, ranked "
    "within each network. Supported: its interval lies below 0.3: unrelated or negatively related. "
    "Not supported: it lies above 0.3. Else inconclusive. In words also: rho within layers."
)
C20_RULE = (
    "Mean class selectivity of the units of the last third of the layers minus that of the first "
    "third; interval: 95 % bootstrap over units. Supported: it lies above 0. Not supported: it "
    "lies below 0. Else inconclusive."
)


def selectivity_does_not_predict_importance(figure: FigureResult) -> Finding:
    """C14: on the multilayer perceptron."""
    tables = unit_tables(figure.networks)
    if not tables:
        return Finding(NOT_RUN, note="No network's units were ablated.")
    everyone, live = relation(tables), relation(tables, live_only=True)
    n = units_words(tables)
    if not np.isfinite(everyone.rho):
        note = "rho is undefined: class selectivity or importance is the same for all units."
        return Finding(INCONCLUSIVE, n=n, note=note)
    verdict, notes = _equivalence(everyone), []
    n_dead = sum(int(table.dead.sum()) for table in tables)
    if n_dead:
        notes.append(
            f"{counted(n_dead, 'unit')} silent on every image; without them {rho_words(live)}."
        )
        if _equivalence(live) != verdict:
            verdict = INCONCLUSIVE
    ours = _over_networks(tables, everyone)
    interval = (everyone.low, everyone.high)
    return Finding(verdict, ours, everyone.rho, interval, n, " ".join(notes))


def selective_maps_are_not_important(figure: FigureResult) -> Finding:
    """C15: on the convolutional network."""
    return _not_important(figure, 0.0)


def selective_maps_are_not_more_important(figure: FigureResult) -> Finding:
    """C15: on ResNet-50; the paper says less about it."""
    return _not_important(figure, NEGLIGIBLE_RHO)


def _not_important(figure: FigureResult, limit: float) -> Finding:
    """Supported if the interval of rho of class selectivity and importance lies below the limit."""
    tables = unit_tables(figure.networks)
    if not tables:
        return Finding(NOT_RUN, note="No network's units were ablated.")
    found = relation(tables)
    n = units_words(tables)
    if not np.isfinite(found.rho):
        return Finding(INCONCLUSIVE, n=n, note="rho is undefined.")
    verdict = above((limit - found.rho, limit - found.high, limit - found.low))
    ours = _over_networks(tables, found)
    return Finding(verdict, ours, found.rho, (found.low, found.high), n)


def _over_networks(tables: Sequence[UnitTable], found: Correlation) -> str:
    rhos = np.array([relation([table]).rho for table in tables])
    words = rho_words(found)
    if len(tables) > 1 and np.all(np.isfinite(rhos)):
        mean, sd = mean_and_sd(rhos)
        words += f"; {mean:.2f} ± {sd:.2f} over {len(tables)} networks"
    return words


def relation_comes_from_early_layers(figure: FigureResult) -> Finding:
    """C16: the relation layer by layer."""
    tables = unit_tables(figure.networks)
    names = [name for name, _ in tables[0].layers] if tables else []
    if len(names) < 3:
        return Finding(NOT_RUN, note="It needs a network with three hidden layers or more.")
    third = len(names) // 3
    early, late = (
        _mean_relation([relation(tables, name) for name in part])
        for part in (names[:third], names[-third:])
    )
    n = units_words(tables)
    if early is None or late is None:
        return Finding(INCONCLUSIVE, n=n, note="rho is undefined in every early or late layer.")
    if early[2] < 0 and -NEGLIGIBLE_RHO < late[1] and late[2] < NEGLIGIBLE_RHO:
        verdict = SUPPORTED
    elif early[1] > 0 or late[2] <= -NEGLIGIBLE_RHO or late[1] >= NEGLIGIBLE_RHO:
        verdict = NOT_SUPPORTED
    else:
        verdict = INCONCLUSIVE
    ours = (
        f"mean rho {early[0]:.2f} [{early[1]:.2f}, {early[2]:.2f}] in {names[0]} to "
        f"{names[third - 1]}, {late[0]:.2f} [{late[1]:.2f}, {late[2]:.2f}] in {names[-third]} to "
        f"{names[-1]}"
    )
    return Finding(verdict, ours, early[0], early[1:], n)


def _mean_relation(found: Sequence[Correlation]) -> Interval | None:
    """Mean of independent rhos, without undefined ones of layers whose units are all alike."""
    defined = [one for one in found if np.isfinite(one.rho)]
    if not defined:
        return None
    mean = float(np.mean([one.rho for one in defined]))
    errors = [(one.high - one.low) / 2 for one in defined]
    reach = float(np.sqrt(np.sum(np.square(errors)))) / len(defined)
    return mean, mean - reach, mean + reach


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


def early_units_matter_more(figure: FigureResult) -> Finding:
    """C17: importance in early and in late layers."""
    tables = unit_tables(figure.networks)
    names = [name for name, _ in tables[0].layers] if tables else []
    if len(names) < 2:
        return Finding(NOT_RUN, note="It needs a network with two hidden layers or more.")
    third = max(1, len(names) // 3)
    early, late = (
        _in_layers(tables, part, "importance") for part in (names[:third], names[-third:])
    )
    n = units_words(tables)
    if not len(early) or not len(late):
        return Finding(INCONCLUSIVE, n=n, note="A layer has no unit with a finite test loss.")
    difference, low, high = _bootstrap(early, late)
    ours = (
        f"{early.mean():.2g} nats a unit in {_layers_words(names[:third])}, {late.mean():.2g} in "
        f"{_layers_words(names[-third:])}; difference {difference:+.2g} [{low:+.2g}, {high:+.2g}]"
    )
    verdict = above((difference, low, high))
    if len(names) > 2:
        trend = _trend(tables, names, "importance")
        ours += f"; layer means and depth: rho = {trend:.2f}"
        if verdict == SUPPORTED and not trend < 0:
            verdict = INCONCLUSIVE
    return Finding(verdict, ours, difference, (low, high), n)


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


def information_does_not_predict_importance(figure: FigureResult) -> Finding:
    """C18: mutual information in place of class selectivity."""
    tables = unit_tables(figure.networks)
    if not tables:
        return Finding(NOT_RUN, note="No network's units were ablated.")
    measure = "corrected_information"
    found = relation(tables, x=measure, within_layers=True)
    n = units_words(tables)
    if not np.isfinite(found.rho):
        return Finding(INCONCLUSIVE, n=n, note="rho is undefined.")
    across = relation(tables, x=measure)
    large = [
        f"{name} {one.rho:.2f}"
        for name, _ in tables[0].layers
        if not abs((one := relation(tables, name, x=measure)).rho) < NEGLIGIBLE_RHO
    ]
    ours = f"{rho_words(found)} within layers; over all units {rho_words(across)}" + (
        f"; not negligible: {', '.join(large)}" if large else ""
    )
    interval = (found.low, found.high)
    return Finding(_equivalence(found), ours, found.rho, interval, n)


def selectivity_is_unrelated_to_weights(figure: FigureResult) -> Finding:
    """C19: class selectivity and the L1 norm of incoming weights."""
    tables = unit_tables(figure.networks)
    if not tables:
        return Finding(NOT_RUN, note="No network's units were measured.")
    found = relation(tables, y="weight_norm")
    n = units_words(tables)
    if not np.isfinite(found.rho):
        note = "The units are not the outputs of one layer's weights, or rho is undefined."
        return Finding(INCONCLUSIVE, n=n, note=note)
    within = relation(tables, y="weight_norm", within_layers=True)
    if found.high < NEGLIGIBLE_RHO:
        verdict = SUPPORTED
    else:
        verdict = NOT_SUPPORTED if found.low > NEGLIGIBLE_RHO else INCONCLUSIVE
    ours = f"{rho_words(found)}; within layers {rho_words(within)}"
    return Finding(verdict, ours, found.rho, (found.low, found.high), n)


def selectivity_grows_with_depth(figure: FigureResult) -> Finding:
    """C20: class selectivity of late layers against early ones."""
    tables = unit_tables(figure.networks)
    names = [name for name, _ in tables[0].layers] if tables else []
    if len(names) < 2:
        return Finding(NOT_RUN, note="It needs a network with two hidden layers or more.")
    third = max(1, len(names) // 3)
    early, late = (
        _in_layers(tables, part, "class_selectivity") for part in (names[:third], names[-third:])
    )
    if not (len(early) and len(late)):
        note = "Class selectivity is not defined: it needs images of two classes or more."
        return Finding(INCONCLUSIVE, n=units_words(tables), note=note)
    difference, low, high = _bootstrap(late, early)
    ours = (
        f"{early.mean():.3f} in the first {counted(third, 'layer')}, {late.mean():.3f} in the "
        f"last; difference {difference:+.3f} [{low:+.3f}, {high:+.3f}]"
    )
    if len(names) > 2:
        trend = _trend(tables, names, "class_selectivity")
        ours += f"; layer means and depth: rho = {trend:.2f}"
    verdict = above((difference, low, high))
    return Finding(verdict, ours, difference, (low, high), units_words(tables))


def _in_layers(tables: Sequence[UnitTable], layers: Sequence[str], measure: str) -> np.ndarray:
    """A measure of the units of some layers, networks pooled, finite values only."""
    values = np.concatenate(
        [getattr(table, measure)[np.isin(table.layer_names, layers)] for table in tables]
    )
    return values[np.isfinite(values)]


def _bootstrap(a: np.ndarray, b: np.ndarray) -> Interval:
    """mean(a) - mean(b) with a 95 % percentile bootstrap interval, each resampled on its own."""
    rng = np.random.default_rng(0)
    # A draw of n units with replacement has multinomial counts: far less memory than indices.
    draws = [
        rng.multinomial(len(values), np.full(len(values), 1 / len(values)), _RESAMPLES)
        @ values
        / len(values)
        for values in (a, b)
    ]
    low, high = np.quantile(draws[0] - draws[1], [0.025, 0.975])
    return float(a.mean() - b.mean()), float(low), float(high)
