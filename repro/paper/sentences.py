"""What a figure shows, in one plain sentence, made from its results.

The sentence is of the figure's first panel with results. It tells a number and judges nothing: the
verdicts on the paper's claims stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repro.core.kinds import AblationCurve, Functions, NoiseCurve
from repro.core.metrics import Correlation
from repro.core.results import FigureResult
from repro.core.settings import PanelConfig
from repro.core.words import percent, typeset
from repro.display.plots import UNIT_MEASURES, correlation_words
from repro.paper.contrasts import contrasts
from repro.paper.contrasts import sentence as contrasts_sentence
from repro.paper.finding import FEWEST_NETWORKS, NEGLIGIBLE_RHO, counted, ends
from repro.paper.image_panels import areas_words
from repro.paper.measures import (
    NETWORK_MEASURES,
    correlation,
    curves,
    image_tables,
    memorised,
    relation,
    scores,
    sweeps_of,
    trajectory,
    unit_tables,
)
from repro.paper.panels import has_data, portrait_words, portraits
from repro.paper.series import Series, series, setting_words
from repro.paper.series import panels as panels_of

_MOST_TOLD = 4  # values in one sentence

# The sentence on a panel that has data, by its kind: (figure, panel) -> sentence.
SENTENCES = Functions()


def sentence(figure: FigureResult) -> str:
    """What the figure shows; "" without results, or where its panels have no sentence."""
    for panel in panels_of(figure.config):
        if figure.networks and has_data(figure, panel) and not panel.supposed:
            if panel.kind in SENTENCES:
                return typeset(SENTENCES[panel.kind](figure, panel))
    return ""


def _name(one: Series, panel: PanelConfig) -> str:
    """A series in words, where no legend says which setting it is of."""
    if panel.series == ("label_corruption",):
        return setting_words("label_corruption", one.key[0])
    return one.label


def _listed(found: Sequence[tuple[str, str]], unit: str = "", again: str = "") -> str:
    """Values, each with what it is of; the first with its unit, the others after a word.

    >>> _listed([("20 %", "true labels"), ("5 %", "corrupted")], " of the units", "with ")
    '20 % of the units (true labels) and with 5 % (corrupted)'
    """
    first, *others = [(value, f" ({of})" if of else "") for value, of in found]
    words = [f"{first[0]}{unit}{first[1]}", *(f"{again}{value}{of}" for value, of in others)]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _shown(found: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """The values to tell: all of a few; of many the largest and the smallest."""
    return [max(found), min(found)] if len(found) > _MOST_TOLD else list(found)


def _half(mean: np.ndarray) -> int | None:
    """The first point at which half of what can be lost is lost; None if nothing is lost."""
    below = np.flatnonzero(mean < (mean[0] + mean[-1]) / 2)
    return int(below[0]) if mean[0] > mean[-1] and len(below) else None


@SENTENCES.of("curves")
def _of_curves(figure: FigureResult, panel: PanelConfig) -> str:
    found = []
    for one in series(figure, panel):
        if of_one := curves(one.networks, one.sweep):
            mean = scores(one.networks, AblationCurve, one.sweep).mean(axis=0)
            if (point := _half(mean)) is not None:
                share = float(of_one[0].n_ablated[point]) / of_one[0].n_units
                found.append((share, _name(one, panel)))
    if not found:
        return "Ablating units does not lower the accuracy here."
    told = [(percent(round(share, 2)), name) for share, name in _shown(found)]
    words = _listed(told, " of the units ablated", "with ")
    return f"Half of the accuracy that can be lost is lost with {words}."


@SENTENCES.of("noise")
def _of_noise(figure: FigureResult, panel: PanelConfig) -> str:
    found = []
    for one in series(figure, panel):
        if of_one := sweeps_of(one.networks, NoiseCurve, one.sweep):
            mean = scores(one.networks, NoiseCurve, one.sweep).mean(axis=0)
            if (point := _half(mean)) is not None:
                found.append((float(of_one[0].scales[point]), _name(one, panel)))
    if not found:
        return "Noise on the units does not lower the accuracy here."
    told = [(f"{scale:.2g}", name) for scale, name in _shown(found)]
    words = _listed(told, " standard deviations of each unit", "of ")
    return f"Half of the accuracy that noise takes is lost at a noise of {words}."


@SENTENCES.of("units")
def _of_units(figure: FigureResult, panel: PanelConfig) -> str:
    x, y = panel.x or "class_selectivity", panel.y or "importance"
    tables = unit_tables(figure.networks, panel.sweep)
    found = relation(tables, x=x, y=y)
    across, up = (UNIT_MEASURES[name].partition(" (")[0].partition(",")[0] for name in (x, y))
    words = f"{correlation_words(found)} over {counted(sum(t.n_units for t in tables), 'unit')}"
    if not np.isfinite(found.rho):
        return f"How {across} and {up} go together is undefined here."
    interval = ends(found)
    if interval.inside(NEGLIGIBLE_RHO):
        return f"A unit's {across} says next to nothing about its {up} ({words})."
    if interval.above():
        return f"Units of larger {across} tend to have a larger {up} ({words})."
    if interval.below():
        return f"Units of larger {across} tend to have a smaller {up} ({words})."
    return f"Whether {across} and {up} go together stays open ({words})."


@SENTENCES.of("distributions")
def _of_distributions(figure: FigureResult, panel: PanelConfig) -> str:
    measure = panel.x or "class_selectivity"
    means = []
    if panel.series == ("layer",):
        tables = unit_tables(figure.networks, panel.sweep)
        for name, _ in tables[0].layers:
            values = [getattr(table, measure)[table.layer_names == name] for table in tables]
            means.append((np.concatenate(values), name))
    else:
        for one in series(figure, panel):
            tables = unit_tables(one.networks, one.sweep)
            if tables:
                means.append((np.concatenate([getattr(t, measure) for t in tables]), one.label))
    found = [
        (float(values[np.isfinite(values)].mean()), name)
        for values, name in means
        if np.isfinite(values).any()
    ]
    if not found:
        return f"The {UNIT_MEASURES[measure]} of units is not defined here."
    if panel.series == ("layer",):
        (first, shallow), (last, deep) = found[0], found[-1]
        where = f"{first:.2g} in {shallow} and {last:.2g} in {deep}"
        return f"The mean {UNIT_MEASURES[measure]} is {where}."
    each = _listed([(f"{mean:.2g}", name) for mean, name in _shown(found)])
    return f"The mean {UNIT_MEASURES[measure]} is {each}."


@SENTENCES.of("epochs")
def _of_epochs(figure: FigureResult, panel: PanelConfig) -> str:
    path = next(path for network in figure.networks if (path := trajectory(network)))
    if panel.y == "relation":
        rho = [f"{one.rho:.2f}" for one in path.relations]
        first, last = path.epochs[0], path.epochs[-1]
        return (
            f"Spearman's ρ of class selectivity and importance is {rho[0]} after "
            f"{counted(int(first), 'epoch')} and {rho[-1]} after {counted(int(last), 'epoch')}."
        )
    words = []
    area = path.normalized_auc.mean(axis=1)
    if np.isfinite(area).any():
        at = int(path.epochs[int(np.nanargmax(area))])
        words.append(f"the normalized AUC is highest after {counted(at, 'epoch')}")
    if np.isfinite(path.test_loss).any():
        at = int(path.epochs[int(np.nanargmin(path.test_loss))])
        words.append(f"the test loss is lowest after {counted(at, 'epoch')}")
    whole = " and ".join(words) or "the losses are as drawn"
    return f"Of {counted(int(path.epochs[-1]), 'epoch')} of training, {whole}."


@SENTENCES.of("networks")
def _of_networks(figure: FigureResult, panel: PanelConfig) -> str:
    x, y = panel.x, panel.y or "normalized_auc"
    (across, of_x), (up, of_y) = NETWORK_MEASURES[x], NETWORK_MEASURES[y]
    paths = [path for network in figure.networks if (path := trajectory(network))]
    if paths and any(network.snapshots for network in figure.networks):
        measure = panel.y or "auc"
        found = correlation(
            np.concatenate([path.test_loss for path in paths]),
            np.concatenate([getattr(path, measure).mean(axis=1) for path in paths]),
        )
        return _pairs(found, "test loss", NETWORK_MEASURES[measure][0], "snapshot")
    networks = list(figure.networks)
    if x == "generalization_error":
        networks = list(memorised(networks))
    return _pairs(correlation(map(of_x, networks), map(of_y, networks)), across, up, "network")


def _pairs(found: Correlation, across: str, up: str, point: str) -> str:
    """How two measures go together over networks or snapshots."""
    across, up = (name.partition(" (")[0] for name in (across, up))
    n = counted(found.n, point)
    if not np.isfinite(found.rho):
        return f"How {across} and {up} go together is undefined over {n}."
    words = correlation_words(found, FEWEST_NETWORKS)
    if found.n < FEWEST_NETWORKS:
        return f"{n} are too few to say how {across} and {up} go together ({words})."
    interval = ends(found)
    if not (interval.above() or interval.below()):
        return f"Whether {across} and {up} go together stays open ({words}, {n})."
    how = "larger" if interval.above() else "smaller"
    return f"A larger {across} goes with a {how} {up} ({words}, {n})."


@SENTENCES.of("variants")
def _of_variants(figure: FigureResult, panel: PanelConfig) -> str:
    return contrasts_sentence(contrasts(figure, panel.sweep))


@SENTENCES.of("fragile", "finding", "flips")
def _of_images(figure: FigureResult, panel: PanelConfig) -> str:
    return areas_words(image_tables(figure.networks, panel.sweep))


@SENTENCES.of("portrait")
def _of_portraits(figure: FigureResult, panel: PanelConfig) -> str:
    found = portraits(figure, panel)
    told = [f"the {role} one: {portrait_words(found, role)}" for role in found.roles]
    return f"Two units that matter: {'; '.join(told)}."
