"""The tables of a study's page: its most important units, those it could spare, its layers."""

from __future__ import annotations

import math

import numpy as np

from repro.core.words import percent
from repro.display.html import Table
from repro.display.plots import correlation_words
from repro.study import figures, standing
from repro.study.measured import Measured
from repro.study.sample import most_active
from repro.study.sentences import column_stands

_LISTED = 20  # units of a table; units.csv has all


def important(study: Measured) -> Table | None:
    """The units that cost most; None where no unit was lesioned alone."""
    lesioned = np.flatnonzero(study.lesioned)
    if not len(lesioned):
        return None
    best = lesioned[np.argsort(-study.units["importance"][lesioned], kind="stable")[:_LISTED]]
    heads, rows = _unit_heads(study), [_unit_cells(study, row) for row in best]
    if study.words.has_classes:
        heads = (*heads, "Class that loses most")
        rows = [
            (*cells, _class_that_loses(study, row)) for cells, row in zip(rows, best, strict=True)
        ]
    return Table(f"The {len(rows)} most important units; units.csv has all.", heads, rows)


def _class_that_loses(study: Measured, row: int) -> str:
    """The class that loses most without a unit; none where no class loses anything."""
    drops = np.nan_to_num(study.class_drops[row], nan=-np.inf)
    return _class(study, int(drops.argmax())) if drops.max() > 0 else "none"


def redundant(study: Measured) -> Table | None:
    """The redundant units, by what removing them gains; None where there are none."""
    units = study.units
    rows = np.flatnonzero(units["redundant"])
    if not len(rows):
        return None
    best = rows[np.argsort(units["importance"][rows], kind="stable")[:_LISTED]]
    loses = " nor loses images" * study.words.has_accuracy
    caption = (
        "Redundant units: alive, and removing one alone does not raise the "
        f"{study.words.changed}{loses} on these {study.sample.n_images:,} images. {len(best):,} of "
        f"{len(rows):,}, those first whose removal helps most; which are told from chance "
        "stands above."
    )
    return Table(caption, _unit_heads(study), [_unit_cells(study, row) for row in best])


def dead(study: Measured) -> Table | None:
    """The dead units of each layer that has any; None where no layer has."""
    units = study.units
    found = [
        (name, f"{int(rows.sum()):,} of {len(rows):,}", _numbers_of(units["unit"][mine][rows]))
        for name, _ in study.layout.layers
        for mine in [units["layer"] == name]
        for rows in [units["dead"][mine]]
        if rows.any()
    ]
    if not found:
        return None
    n_images = study.sample.n_images
    caption = (
        f"Dead units: 0 on all of these {n_images:,} images; each may be active on up to "
        f"{percent(most_active(n_images))} of all images."
    )
    return Table(caption, ("Layer", "Dead", "Units"), found)


def layers(study: Measured) -> Table:
    """What the units of each masked layer are, and what they cost."""
    units, rows, words = study.units, [], study.words
    x = figures.selectivity_column(study)
    for name, size in study.layout.layers:
        mine = units[units["layer"] == name]
        lesioned = np.isfinite(mine["importance"])
        cells = [
            name,
            f"{size:,}",
            f"{int(lesioned.sum()):,}",
            f"{int(mine['dead'].sum()):,}",
            f"{int(mine['redundant'].sum()):,}",
        ]
        if words.has_classes:
            cells.append(_mean(mine["class_selectivity"]))
            cells.append(
                _mean(mine["mutual_information"] - mine["mutual_information_bias"])
                if standing.enough_for_information(study)
                else "too few images"
            )
        cells.append(_mean(mine["importance"], ".2g"))
        cells.append(
            correlation_words(study.relation(name, x))
            if column_stands(study, x)
            else "too few images"
        )
        rows.append(tuple(cells))
    heads = ["Layer", "Units", "Lesioned", "Dead", "Redundant"]
    if words.has_classes:
        heads += ["Class selectivity", "Mutual information (bits)"]
    heads.append(words.measured_in("Importance"))
    named = "selectivity" if x == "class_selectivity" else x.replace("_", " ")
    heads.append(f"{named.capitalize()} and importance")
    caption = "Means over units" + "; mutual information with its bias subtracted" * (
        words.has_classes and standing.enough_for_information(study)
    )
    return Table(f"{caption}.", heads, rows)


def fragile(study: Measured) -> Table | None:
    """The images whose answers hang most on single units, probably mislabelled ones first; None
    where no answer is right or wrong, no unit was lesioned, or no image is suspect."""
    if not (study.words.has_accuracy and study.lesioned.any()):
        return None
    found = study.suspected_images(_LISTED)
    found = found[found["disagreement"] > 0]
    if not len(found):
        return None
    one_class = study.task.answers_each == 1
    against = "the label" if study.task.has_classes else "what is right"
    if study.task.kind == "agreement":
        against = "the intact network"
    loss = study.words.measured_in(study.words.loss.capitalize())
    heads = ["Image", f"Networks that disagree with {against}", "Margin", loss]
    if one_class:
        heads[1:1] = ["Label", "Answer"]
    rows = []
    for image in found:
        cells = [
            f"{image['image']:,}",
            percent(float(image["disagreement"])),
            f"{image['margin']:.3g}",
            f"{image['loss']:.3g}",
        ]
        if one_class:
            cells[1:1] = [_class(study, int(image[name])) for name in ("label", "answer")]
        rows.append(tuple(cells))
    n_lesioned = int(study.lesioned.sum())
    caption = (
        f"Images by how many of {n_lesioned:,} networks, each without one unit, disagree with "
        f"{against}. Those answered otherwise without a lesion too, with a margin below 0, and "
        "those that hang on many single units may be mislabelled. Images are numbered from 0."
    )
    return Table(caption, tuple(heads), rows)


def without_mask(study: Measured) -> Table | None:
    """The layers that have no mask, and why; None where every layer has one."""
    rows = [(row.layer, row.kind, row.why) for row in study.hidden_layers if not row.masked]
    if not rows:
        return None
    caption = "Layers without a mask: none of their units was lesioned."
    return Table(caption, ("Layer", "Kind", "Why"), rows)


def _unit_heads(study: Measured) -> tuple[str, ...]:
    words = study.words
    heads = ["Layer", "Unit", words.measured_in("Importance")]
    if words.has_accuracy:
        heads.append(f"{words.accuracy.capitalize()} lost")
    if words.has_classes:
        heads += ["Largest class drop", "Class selectivity", "Mutual information (bits)"]
    return (*heads, "Mean activation")


def _unit_cells(study: Measured, row: int) -> tuple[str, ...]:
    unit, words = study.units[row], study.words
    cells = [str(unit["layer"]), str(unit["unit"]), f"{unit['importance']:.3g}"]
    if words.has_accuracy:
        cells.append(percent(unit["accuracy_drop"]))
    if words.has_classes:
        selectivity = unit["class_selectivity"]
        cells += [
            percent(unit["largest_class_drop"]),
            "undefined" if math.isnan(selectivity) else f"{selectivity:.2f}",
            f"{unit['mutual_information']:.2f}"
            if standing.enough_for_information(study)
            else "too few images",
        ]
    return (*cells, f"{unit['mean_activation']:.3g}")


def _class(study: Measured, number: int) -> str:
    return study.class_names[number] if study.class_names else str(number)


def _numbers_of(units: np.ndarray) -> str:
    """Unit numbers as a reader takes them in; the rest is in units.csv."""
    shown = ", ".join(map(str, units[:_LISTED].tolist()))
    return shown + (", …" if len(units) > _LISTED else "")


def _mean(values: np.ndarray, style: str = ".3f") -> str:
    known = values[np.isfinite(values)]
    return f"{known.mean():{style}}" if len(known) else "none"
