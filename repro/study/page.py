"""The report of a study: a page that needs nothing but itself, pictures, and every number as CSV.

index.html             what was found, pictures, tables, the sample, what was not masked and why
units.csv, curve.csv   every unit, every point of the curve
summary.json           what was found, for programs
curve.png, units.png   the pictures, also as SVG
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from repro.core import metrics
from repro.core.results import AblationCurve
from repro.display.markup import STYLE, code, data_uri, table, text
from repro.engine.counts import Outcome
from repro.experiments import runs
from repro.paper import report
from repro.paper.findings import mean_and_sd
from repro.paper.panels import correlation_words, split_name
from repro.paper.report import CURVE_COLUMNS
from repro.study import budget, figures, standing
from repro.study.measured import CONTROLS, Measured
from repro.study.sample import BINS, Sample, most_active
from repro.study.show import auc_words, chance, normalized_auc
from repro.study.words import Words

_LISTED = 20  # units of a table; units.csv has all
_FILES = (
    "units.csv", "curve.csv", "summary.json", "curve.png", "units.png", "curve.svg", "units.svg",
)  # fmt: skip
# An accuracy of less than so many times chance suggests that images and model do not fit.
_NEAR_CHANCE = 1.5
_LUCK = 0.01


def write(study: Measured, directory: Path, command: str = "") -> Path:
    """Writes all files of the report; `index.html` last.

    Raises:
        RunsError: the disk is full, the folder cannot be written, or a file of one of these names
            is there that is not one of ours. The last two are found before anything is computed.
    """
    files = runs.Beside(directory, ("index.html", *_FILES))
    curve = study.curves[-1]
    for name, draw in _pictures(study, curve):
        for kind, content in draw().items():
            files.write(directory / f"{name}.{kind}", content)
    units = study.units
    columns = units.dtype.names or ()
    rows = zip(*(_csv_column(units[name]) for name in columns), strict=True)
    files.write(directory / "units.csv", report.to_csv(columns, rows))
    of_curve = report.to_csv(CURVE_COLUMNS, _curve_rows(study, curve))
    files.write(directory / "curve.csv", of_curve)
    files.write(directory / "summary.json", report.to_json(numbers(study)))
    page = directory / "index.html"
    files.write(page, render(study, command).encode())
    return page


def check(directory: Path) -> None:
    """That `write` may write there.

    Raises:
        RunsError: as `write`.
    """
    runs.Beside(directory, ("index.html", *_FILES))


def numbers(study: Measured) -> dict[str, Any]:
    """What was found, as JSON-ready values; None where something is undefined or not measured."""
    units, intact, curve, words = study.units, study.intact, study.curves[-1], study.words
    together, whole, tested = study.redundant_together, study.whole, study.tested
    areas = normalized_auc(curve, chance(study)) if words.has_accuracy else np.full(1, np.nan)
    area, area_sd = mean_and_sd(areas)
    x = figures.selectivity_column(study)
    found = study.relation(x=x)
    stands = standing.standing(study)
    return {
        "task": words.kind,
        "model": study.model.name,
        "data": study.data,
        "split": study.split,
        "sample": {
            "measured": stands.measured,
            "cut": stands.cut,
            "enough": not stands.useless,
            "why": stands.enough,
        },
        "images": {"used": study.sample.n_images, "available": study.sample.n_available},
        "classes": {
            "all": study.n_classes,
            "with_images": int(np.count_nonzero(np.bincount(study.labels))),
        },
        "units": {
            "all": len(units),
            "planned": study.n_planned,
            "lesioned": int(study.lesioned.sum()),
            "dead": int(units["dead"].sum()),
            "dead_active_on_at_most": most_active(study.sample.n_images),
            "redundant": int(units["redundant"].sum()),
        },
        "tested": {
            "units": len(tested.units),
            "of": tested.n_alive,
            "redundant": tested.n_told_redundant,
            "cannot_be_told": int(tested.untold.sum()),
        },
        "accuracy": float(intact.accuracy) if words.has_accuracy else None,
        "accuracy_interval": list(_interval(study)) if words.has_accuracy else None,
        "accuracy_on_all": None
        if whole is None or not words.has_accuracy
        else {"accuracy": float(whole.accuracy), "images": whole.n_images},
        "loss": float(intact.loss),
        "normalized_auc": {
            "mean": _number(area),
            "sd": _number(area_sd),
            "at_most": words.has_accuracy and standing.at_most(curve),
        },
        "mutual_information": {
            "enough_images": words.has_classes and standing.enough_for_information(study)
        },
        "curve": {
            "orders": len(curve.orders),
            "points": len(curve.n_ablated),
            "images": curve.n_images,
        },
        "without_redundant": None
        if together is None
        else {
            "accuracy": _number(together.outcome.accuracy) if words.has_accuracy else None,
            "loss": float(together.outcome.loss),
            "controls": None
            if together.controls is None
            else _shown(study, together.controls).tolist(),
        },
        "standard_errors": [
            {
                "layer": str(units["layer"][found.unit]),
                "unit": int(units["unit"][found.unit]),
                "importance": _number(found.importance),
                "accuracy_drop": _number(found.accuracy_drop),
                "largest_class_drop": _number(found.largest_class_drop),
            }
            for found in study.errors
        ],
        "relation": {
            "x": x,
            "y": "importance",
            "rho": _number(found.rho),
            "low": _number(found.low),
            "high": _number(found.high),
            "n": found.n,
        },
        "layers": [
            {"layer": row.layer, "kind": row.kind, "masked": row.masked, "why": row.why}
            for row in study.hidden_layers
        ],
    }


def render(study: Measured, command: str = "") -> str:
    """The whole page."""
    curve = study.curves[-1]
    found = "".join(f"<li><div>{text(line)}</div></li>" for line in findings(study, curve))
    return _PAGE.format(
        style=STYLE,
        title=text(study.model.name),
        subtitle=_subtitle(study),
        warning=f'<p class="profile">{text(warning(study))}</p>' if warning(study) else "",
        found=f'<ul class="found plain">{found}</ul>',
        curve=_picture(
            lambda dark: figures.curve_figure(
                curve,
                study.n_classes,
                words=study.words,
                kinds=["svg"],
                dark=dark,
                standalone=False,
            ),
            _curve_alternative(study, curve),
            _curve_caption(study, curve),
        ),
        units=_picture(
            lambda dark: figures.units_figure(study, kinds=["svg"], dark=dark, standalone=False),
            _units_alternative(study),
            _units_caption(study),
        ),
        important=_important(study),
        spare=_spare(study),
        layers=_layers(study),
        left_out=_left_out(study),
        sample=_items(sample_words(study.sample, study)),
        made=_items(_made(study, curve))
        + (f"<p><b>Command.</b> {code(command)}</p>" if command else ""),
        files=" ".join(f'<a href="{file}">{file}</a>' for file in _FILES),
    )


# --- What was found, in sentences --------------------------------------------------------------


def first_line(study: Measured) -> str:
    """What was measured, what was cut off, and whether it is enough for what follows."""
    return standing.standing(study).words


def findings(study: Measured, curve: AblationCurve) -> Iterator[str]:
    """The answers, the most asked-for first."""
    units, sample, words = study.units, study.sample, study.words
    yield _intact_words(study)
    area = auc_words(curve, chance(study)) if words.has_accuracy else ""
    if area:
        spread = f", mean ± s.d. over {len(curve.orders)} random orders" * ("±" in area)
        bound = (
            ", since nearly all of it is lost by the first number of units that was tried"
            * standing.at_most(curve)
        )
        yield (
            f"Reliance on single directions: normalized AUC {area}{spread}{bound}. 1 would mean "
            f"that no {words.accuracy} is lost before the last unit; {_half(curve)}"
        )
    lesioned = np.flatnonzero(study.lesioned)
    if len(lesioned):
        first = units[lesioned[np.argmax(units["importance"][lesioned])]]
        drop = first["accuracy_drop"]
        yield (
            f"The most important unit is {_name(first)}: without it the {words.changed} changes by "
            f"{_with_error(study, float(first['importance']))}"
            + (
                f" and the {words.accuracy} "
                + (f"by {-100 * drop:+.3g} %." if drop else "stays the same.")
                if words.has_accuracy
                else "."
            )
        )
    n_dead = int(units["dead"].sum())
    if n_dead:
        yield (
            f"{_count(n_dead, 'unit is', 'units are')} 0 on all of these {sample.n_images:,} "
            f"images, of {len(units):,}: dead, as far as these can tell. {_dead_bound(study)}"
        )
    else:
        yield f"No unit is dead, of {len(units):,}: each is active on some of these images."
    yield _redundant_words(study)
    if words.has_classes:
        yield from _class_count_words(study)
    x = figures.selectivity_column(study)
    relation = study.relation(x=x)
    if np.isfinite(relation.rho) and _column_stands(study, x):
        yield (
            f"{x.replace('_', ' ').capitalize()} and importance: Spearman's "
            f"{correlation_words(relation)} over {relation.n:,} units. {_kind_of_units(x)} are "
            + _relation_words(relation)
        )


def _class_count_words(study: Measured) -> Iterator[str]:
    """That some classes have no image, and what that means for what is told of classes."""
    n_occurring = int(np.count_nonzero(np.bincount(study.labels, minlength=study.n_classes)))
    if n_occurring == study.n_classes:
        return
    yield f"The images are of {n_occurring:,} of the model's {study.n_classes:,} classes" + (
        ": class selectivity, mutual information and class drops are over these."
        if n_occurring > 1
        else " only: class selectivity is not defined, and mutual information is 0; give images of "
        "two classes or more."
    )


def _intact_words(study: Measured) -> str:
    """The network without a lesion, on these images and, where that was affordable, on all."""
    own = f" {study.own_loss[0].upper()}{study.own_loss[1:]}." if study.own_loss else ""
    return _measured_words(study) + own


def _measured_words(study: Measured) -> str:
    intact, sample, words, whole = study.intact, study.sample, study.words, study.whole
    amount = words.amount(f"{float(intact.loss):.4g}")
    if not words.has_accuracy:
        on_all = (
            "" if whole is None else f"; on {_all_images(study, whole)} {float(whole.loss):.4g}"
        )
        return (
            f"Intact, the network has a mean {words.loss} of {amount} on {sample.n_images:,} "
            f"images{on_all}."
        )
    low, high = _interval(study)
    on_all = (
        ""
        if whole is None
        else f" On {_all_images(study, whole)}, none of them lesioned, it {words.right} "
        f"{_percent(float(whole.accuracy))}."
    )
    return (
        f"Intact, the network {words.right} {_percent(float(intact.accuracy))} of "
        f"{sample.n_images:,} images (95 % interval {_percent(low)} to {_percent(high)}); loss "
        f"{amount}.{on_all}"
    )


def _all_images(study: Measured, whole: Outcome) -> str:
    n, n_all = whole.n_images, study.sample.n_available
    return f"all {n_all:,} images" if n == n_all else f"{n:,} of the {n_all:,} images"


def _dead_bound(study: Measured) -> str:
    share = _percent(most_active(study.sample.n_images))
    return (
        f"Removing them changes nothing on these; each may still be active on up to {share} of all "
        "images (95 % bound)."
    )


def _redundant_words(study: Measured) -> str:
    n_redundant, tested = int(study.units["redundant"].sum()), study.tested
    if not study.lesioned.any():
        return "No unit was lesioned alone."
    words = (
        f"{_count(n_redundant, 'unit is', 'units are')} redundant alone on these images"
        f"{_together(study)}"
        if n_redundant
        else f"No unit is redundant on these images: removing any of {_lesioned(study)} costs "
        "something there."
    )
    if not len(tested.units):
        return (
            f"{words} Which of them truly are cannot be told: that takes {budget.TESTED_ON} images "
            "or more."
            if n_redundant
            else words
        )
    drawn = (
        f"Of all {tested.n_alive:,} units that are alive"
        if len(tested.units) == tested.n_alive
        else f"Of {len(tested.units):,} units drawn from {tested.n_alive:,} that are alive"
    )
    return (
        f"{words} {drawn}, {tested.n_told_redundant:,} "
        f"{'is' if tested.n_told_redundant == 1 else 'are'} redundant by more than one standard "
        f"error, and of {int(tested.untold.sum()):,} it cannot be told, their importance being "
        "within one standard error of 0."
    )


def _lesioned(study: Measured) -> str:
    return f"the {int(study.lesioned.sum()):,} that were lesioned"


def _with_error(study: Measured, importance: float) -> str:
    """The importance of the most important unit, with its standard error where it has one."""
    error = study.errors[0].importance
    if not error > 0:
        return study.words.amount(f"{importance:+.3g}")
    amount = study.words.amount(f"{importance:+.3g} ± {error:.2g}")
    return f"{amount} (standard error over images)"


def _kind_of_units(x: str) -> str:
    return "Units that are more active" if x == "mean_activation" else "Units that look specialised"


def _column_stands(study: Measured, x: str) -> bool:
    """Whether the sample is large enough for a column of the units to mean anything."""
    return x != "mutual_information" or standing.enough_for_information(study)


def _interval(study: Measured) -> tuple[float, float]:
    # Several answers of one image are not independent, so that images are counted.
    return study.sample.interval(round(float(study.intact.accuracy) * study.sample.n_images))


def _shown(study: Measured, outcome: Any) -> np.ndarray:
    """The accuracy of lesions, or where there is none the loss."""
    return np.asarray(outcome.accuracy if study.words.has_accuracy else outcome.loss)


def _shown_words(study: Measured, value: Any) -> str:
    words = study.words
    return _percent(float(value)) if words.has_accuracy else words.amount(f"{float(value):.4g}")


def _relation_words(found: metrics.Correlation) -> str:
    if found.low > 0:
        return "the more important ones, as ranks go."
    if found.high < 0:
        return "the less important ones, as ranks go."
    return "neither the more nor the less important ones, as far as these can tell."


def _together(study: Measured) -> str:
    """How the sentence on redundant units ends."""
    together, words = study.redundant_together, study.words
    if together is None:
        return "."
    outcome = _shown_words(study, _shown(study, together.outcome))
    sentence = (
        ": removing any one of them costs nothing there. Removing all of them at once leaves "
        f"{'an' if (words.accuracy or words.loss)[0] in 'aeiou' else 'a'} "
        f"{words.accuracy or words.loss} of {outcome}"
    )
    if together.controls is None:
        return sentence + "."
    controls = _shown(study, together.controls)
    low, high = _shown_words(study, controls.min()), _shown_words(study, controls.max())
    return f"{sentence}; removing as many others, drawn {CONTROLS} times, leaves {low} to {high}."


def _half(curve: AblationCurve) -> str:
    """Where the mean curve has lost half of what it can lose."""
    mean = curve.accuracy.mean(axis=0)
    middle = (mean[0] + mean[-1]) / 2
    below = np.flatnonzero(mean < middle)
    if mean[0] <= mean[-1] or not len(below):
        return "ablation does not lower the accuracy here."
    share = curve.n_ablated[below[0]] / curve.n_units
    return f"here half of what can be lost is lost by {_percent(float(share))} of the units."


def sample_words(sample: Sample, study: Measured) -> list[tuple[str, str]]:
    """What the sample does to the numbers: (topic, sentence)."""
    words = study.words
    n_lesioned, n_units = int(study.lesioned.sum()), study.layout.n_units
    kept = " with the share of each class kept" * words.has_classes
    items = [
        (
            "Images",
            f"all {sample.n_images:,}"
            if sample.n_images == sample.n_available
            else f"{sample.n_images:,} of {sample.n_available:,}, drawn at random{kept} "
            f"(seed {study.seed})",
        )
    ]
    if words.has_accuracy:
        items += _accuracy_words(sample, study)
    items.append(
        (
            "Units lesioned alone",
            f"all {n_units:,}"
            if n_lesioned == n_units
            else f"{n_lesioned:,} of {n_units:,}, drawn at random with the share of each layer "
            "kept. What units do in the intact network is that of all units; importance, and which "
            "are important or redundant, of these only",
        )
    )
    items += _error_words(study)
    dead = most_active(sample.n_images)
    items.append(
        (
            "Dead units",
            f"are 0 on all of these images; each may be active on up to {_percent(dead)} of all "
            "images (upper end of a 95 % interval)",
        )
    )
    if words.has_classes:
        items += _class_words(study)
    items.append(("Curve", _curve_error_words(study, study.curves[-1])))
    return items


def _accuracy_words(sample: Sample, study: Measured) -> Iterator[tuple[str, str]]:
    """What an accuracy on so many images can tell."""
    accuracy = float(study.intact.accuracy)
    whole = Sample(sample.n_available, sample.n_available)
    name = study.words.accuracy
    low, high = _interval(study)
    yield f"95 % interval of the {name}", f"{_percent(low)} to {_percent(high)}"
    error = sample.standard_error(accuracy)
    if error > 0:
        yield (
            f"Standard error of the {name}",
            f"± {_percent(error)}" + _with_all(sample, _percent(whole.standard_error(accuracy))),
        )
    if study.whole is not None:
        yield (
            f"{name.capitalize()} on {_all_images(study, study.whole)}",
            f"{_percent(float(study.whole.accuracy))}, without a lesion",
        )
    yield f"Smallest step of an {name}", f"one image, {_percent(sample.smallest_step)}"
    yield (
        "Smallest drop told from chance",
        f"{Sample.CHANGED} images, {_percent(sample.smallest_visible)}"
        + _with_all(sample, _percent(whole.smallest_visible))
        + ": a sign test (5 %, two-sided), all that change changing for the worse. The loss, and "
        "so importance, sees smaller changes",
    )


def _class_words(study: Measured) -> Iterator[tuple[str, str]]:
    """What the number of images of a class does to the measures of classes."""
    counts = np.bincount(study.labels, minlength=study.n_classes)
    there = counts[counts > 0]
    absent = (
        f"{study.n_classes - len(there):,} of {study.n_classes:,} classes have none; the others "
        if len(there) < study.n_classes
        else ""
    )
    yield (
        "Images of a class",
        f"{absent}{there.min():,} to {there.max():,}; a largest class drop of less than "
        f"{_percent(1 / int(np.median(there)))} is less than one image",
    )
    if not standing.enough_for_information(study):
        yield (
            "Mutual information",
            f"too few images: {BINS} bins and {len(there):,} classes are "
            f"{BINS * len(there):,} cells, more than there are images",
        )


def _error_words(study: Measured) -> Iterator[tuple[str, str]]:
    """Standard errors of what lesions cost, of the units for which they are known."""
    sample, words = study.sample, study.words
    scale = math.sqrt(sample.n_images / sample.n_available)
    for place, found in zip(("most important", "middle"), study.errors, strict=False):
        importance = study.units["importance"][found.unit]
        parts = []
        if found.importance > 0:
            parts.append(
                f"of its importance, {words.amount(f'{importance:.3g}')}: ± {found.importance:.2g}"
                + _with_all(sample, f"{found.importance * scale:.2g}")
            )
        if words.has_accuracy and found.accuracy_drop > 0:
            parts.append(f"of its {words.accuracy} lost: ± {_percent(found.accuracy_drop)}")
        elif words.has_accuracy:
            share = _percent(most_active(sample.n_images))
            parts.append(
                f"of its {words.accuracy} lost: no answer changes on these images, and up to "
                f"{share} may on all (95 % bound)"
            )
        if words.has_classes and found.largest_class_drop > 0:
            parts.append(
                f"of its largest class drop: ± {_percent(found.largest_class_drop)}, and more, "
                "since the class was chosen for its drop"
            )
        if parts:
            yield f"Standard error, {place} unit", "; ".join(parts)


def _curve_error_words(study: Measured, curve: AblationCurve) -> str:
    on_curve = Sample(curve.n_images, study.sample.n_images)
    part = f"{curve.n_images:,} of these images"
    part += ", the share of each class kept" * study.words.has_classes
    where = "on all of these images" if curve.n_images == study.sample.n_images else f"on {part}"
    if not study.words.has_accuracy:
        return where
    return (
        f"{where}: a point has a standard error of up to "
        f"± {_percent(on_curve.standard_error(0.5))} (where half of them are right), which all "
        "orders share; the ± of the area is the spread over orders alone"
    )


def _with_all(sample: Sample, value: str) -> str:
    return "" if sample.n_images == sample.n_available else f" (with all images {value})"


def _made(study: Measured, curve: AblationCurve) -> list[tuple[str, str]]:
    facts = runs.circumstances("")
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return [
        ("Data", study.data or "not stated"),
        ("Model", _model_words(study)),
        ("Curve", _curve_caption(study, curve)),
        ("Ablation", "the activation is clamped to 0, on every image and at every position"),
        (
            "Importance",
            f"change of the mean {study.words.measured_in(study.words.loss)} when the unit alone "
            "is ablated",
        ),
        *_measure_words(study.words),
        ("Seed", str(study.seed)),
        ("Keras backend", facts["backend"]),
        ("Versions", versions),
        ("Date", facts["date"]),
    ]


def _model_words(study: Measured) -> str:
    shapes = [
        ", ".join("any" if size is None else str(size) for size in one.shape[1:])
        for one in study.model.inputs
    ]
    inputs = "; ".join(f"({shape})" for shape in shapes)
    words = f"{study.model.name}, input{'s' * (len(shapes) > 1)} {inputs}"
    return words + f", {study.n_classes} classes" * study.words.has_classes


def _measure_words(words: Words) -> list[tuple[str, str]]:
    if not words.has_classes:
        return []
    return [
        (
            "Class selectivity",
            "(µmax − µrest) / (µmax + µrest) of the unit's mean activations by class; not defined "
            "where a class mean is negative; classes without images do not count",
        ),
        (
            "Mutual information",
            "of the unit's mean activation, in 20 bins, and the class; units.csv has the bias of "
            "this estimate, which small samples raise",
        ),
    ]


# --- Pictures ----------------------------------------------------------------------------------


def _pictures(
    study: Measured, curve: AblationCurve
) -> list[tuple[str, Callable[[], dict[str, bytes]]]]:
    return [
        ("curve", lambda: figures.curve_figure(curve, study.n_classes, words=study.words)),
        ("units", lambda: figures.units_figure(study)),
    ]


def _picture(draw: Callable[[bool], dict[str, bytes]], alternative: str, caption: str) -> str:
    light, dark = (data_uri(draw(dark)["svg"]) for dark in (False, True))
    return (
        f'<figure><picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{text(alternative)}"></picture>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _curve_caption(study: Measured, curve: AblationCurve) -> str:
    words = study.words
    return (
        f"{(words.accuracy or words.loss).capitalize()} on {curve.n_images:,} "
        f"{split_name(curve.images)} images as units of all masked layers are ablated, read at "
        f"{len(curve.n_ablated)} numbers of units. Line: mean over {len(curve.orders)} random "
        "orders; band: ± 1 s.d."
    )


def _curve_alternative(study: Measured, curve: AblationCurve) -> str:
    words = study.words
    mean = (curve.accuracy if words.has_accuracy else curve.loss).mean(axis=0)
    middle = len(mean) // 2
    return (
        f"{(words.accuracy or words.loss).capitalize()} against the number of ablated units: "
        f"{mean[0]:.2f} intact, {mean[middle]:.2f} with {curve.n_ablated[middle]:,} units ablated, "
        f"{mean[-1]:.2f} with all."
    )


def _units_caption(study: Measured) -> str:
    undefined = int(np.isnan(study.units["class_selectivity"]).sum())
    undefined *= study.words.has_classes
    words = (
        f"One point for each of {int(study.lesioned.sum()):,} units, on {study.sample.n_images:,} "
        f"{split_name(study.split)} images; ρ: Spearman, with its 95 % bootstrap interval."
    )
    if undefined:
        words += (
            f" Class selectivity is not defined for {undefined:,} units, which have negative class "
            "means or images of one class only."
        )
    return words


def _units_alternative(study: Measured) -> str:
    x = figures.selectivity_column(study)
    return (
        f"Scatter of units: {x.replace('_', ' ')} against the change of "
        f"{study.words.changed} when the unit is ablated. All units: "
        f"{correlation_words(study.relation(x=x))}."
    )


# --- Tables ------------------------------------------------------------------------------------


def _important(study: Measured) -> str:
    lesioned = np.flatnonzero(study.lesioned)
    if not len(lesioned):
        return "<p>No unit was lesioned alone.</p>"
    best = lesioned[np.argsort(-study.units["importance"][lesioned], kind="stable")[:_LISTED]]
    heads, rows = _unit_heads(study), [_unit_cells(study, row) for row in best]
    if study.words.has_classes:
        heads = (*heads, "Class that loses most")
        rows = [
            (*cells, _class_that_loses(study, row)) for cells, row in zip(rows, best, strict=True)
        ]
    return table(f"The {len(rows)} most important units; units.csv has all.", heads, rows)


def _class_that_loses(study: Measured, row: int) -> str:
    """The class that loses most without a unit; none where no class loses anything."""
    drops = np.nan_to_num(study.class_drops[row], nan=-np.inf)
    return _class(study, int(drops.argmax())) if drops.max() > 0 else "none"


def _spare(study: Measured) -> str:
    """Units that can be spared: redundant ones by what removing them gains, and dead ones."""
    units, n_images = study.units, study.sample.n_images
    redundant = np.flatnonzero(units["redundant"])
    best = redundant[np.argsort(units["importance"][redundant], kind="stable")[:_LISTED]]
    parts = []
    if len(best):
        loses = " nor loses images" * study.words.has_accuracy
        caption = (
            "Redundant units: alive, and removing one alone does not raise the "
            f"{study.words.changed}{loses} on these {n_images:,} images. {len(best):,} of "
            f"{len(redundant):,}, those first whose removal helps most; which are told from chance "
            "stands above."
        )
        parts.append(table(caption, _unit_heads(study), [_unit_cells(study, row) for row in best]))
    elif study.lesioned.any():
        parts.append(
            "<p>No lesioned unit is redundant: removing any costs something on these images.</p>"
        )
    dead = [
        (name, f"{int(rows.sum()):,} of {len(rows):,}", _numbers_of(units["unit"][mine][rows]))
        for name, _ in study.layout.layers
        for mine in [units["layer"] == name]
        for rows in [units["dead"][mine]]
        if rows.any()
    ]
    if dead:
        share = _percent(most_active(n_images))
        caption = (
            f"Dead units: 0 on all of these {n_images:,} images; each may be active on up to "
            f"{share} of all images."
        )
        parts.append(table(caption, ("Layer", "Dead", "Units"), dead))
    else:
        parts.append("<p>No unit is dead: each is active on some image.</p>")
    return "".join(parts)


def _layers(study: Measured) -> str:
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
            if _column_stands(study, x)
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
    return table(f"{caption}.", heads, rows)


def _left_out(study: Measured) -> str:
    rows = [(row.layer, row.kind, row.why) for row in study.hidden_layers if not row.masked]
    if not rows:
        return "<p>Every layer has a mask.</p>"
    listed = table(
        "Layers without a mask: none of their units was lesioned.", ("Layer", "Kind", "Why"), rows
    )
    return (
        f"<details><summary>{len(rows)} layers of {len(study.hidden_layers)} have no mask, and "
        f"why</summary>{listed}</details>"
    )


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
        cells.append(_percent(unit["accuracy_drop"]))
    if words.has_classes:
        selectivity = unit["class_selectivity"]
        cells += [
            _percent(unit["largest_class_drop"]),
            "undefined" if math.isnan(selectivity) else f"{selectivity:.2f}",
            f"{unit['mutual_information']:.2f}"
            if standing.enough_for_information(study)
            else "too few images",
        ]
    return (*cells, f"{unit['mean_activation']:.3g}")


def _items(items: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{text(a)}</dt><dd>{text(b)}</dd></div>" for a, b in items)
    return f'<dl class="settings">{rows}</dl>'


# --- Words and numbers -------------------------------------------------------------------------


def _subtitle(study: Measured) -> str:
    """The first line of the page, as HTML: what was measured, and whether that is enough."""
    stands = standing.standing(study)
    enough = text(stands.enough)
    return (
        f"{text(stands.measured)} {text(stands.cut)} "
        f"{f'<strong>{enough}</strong>' if stands.useless else enough} "
        f"Data: {text(study.data or 'not stated')}."
    )


def warning(study: Measured) -> str:
    """What to say of a network that is hardly better than chance; "" of any other."""
    if not (study.words.has_classes and study.words.has_accuracy):
        return ""
    accuracy = float(study.intact.accuracy)
    n, guessing = study.sample.n_images, 1 / study.n_classes
    # Of many classes one right answer is more than chance, and may be chance.
    lucky = accuracy < 0.5 and stats.binomtest(
        round(accuracy * n), n, guessing, "greater"
    ).pvalue > (_LUCK)
    if accuracy >= _NEAR_CHANCE * guessing and not lucky:
        return ""
    return (
        f"The intact network is hardly better than chance ({_percent(accuracy)} right, "
        f"{_percent(1 / study.n_classes)} by guessing). If model.evaluate says more, the pixels "
        "are not scaled as in its training (--scale), or not resized so (--resize), or the classes "
        "are in another order (--classes, class_names=); then nothing below means much."
    )


def _class(study: Measured, number: int) -> str:
    return study.class_names[number] if study.class_names else str(number)


def _name(unit: Any) -> str:
    return f"unit {unit['unit']} of {unit['layer']}"


def _numbers_of(units: np.ndarray) -> str:
    """Unit numbers as a reader takes them in; the rest is in units.csv."""
    shown = ", ".join(map(str, units[:_LISTED].tolist()))
    return shown + (", …" if len(units) > _LISTED else "")


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _percent(fraction: float) -> str:
    """
    >>> _percent(0.12345), _percent(0.00012)
    ('12.3 %', '0.012 %')
    """
    return f"{100 * fraction:.3g} %"


def _mean(values: np.ndarray, style: str = ".3f") -> str:
    known = values[np.isfinite(values)]
    return f"{known.mean():{style}}" if len(known) else "none"


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _curve_rows(study: Measured, curve: AblationCurve) -> Iterator[tuple[Any, ...]]:
    """Rows of CURVE_COLUMNS; nothing where the task has no such thing as a correct answer."""
    for order, n_ablated, n_correct, n_images, accuracy, loss in report.curve_rows(curve):
        right = (n_correct, n_images, accuracy)
        yield (
            order,
            n_ablated,
            *(right if study.words.has_accuracy else (None, n_images, None)),
            loss,
        )


def _csv_column(values: np.ndarray) -> list[Any]:
    """Truth as 0 and 1, what was not measured as nothing."""
    if values.dtype == np.bool_:
        return values.astype(int).tolist()
    if values.dtype.kind == "f":
        return [None if math.isnan(value) else value for value in values.tolist()]
    return values.tolist()


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: lesions</title>
<link rel="icon" href="data:,">
<style>{style}
.found.plain li {{ display: block; }}
figure {{ max-width: 46rem; }}
.subtitle strong {{ color: var(--ink); }}
summary {{ cursor: pointer; color: var(--accent); }}
</style>
</head>
<body>
<header>
<h1>What {title} loses when its units are ablated</h1>
<p class="subtitle">{subtitle}</p>
<nav aria-label="Contents"><a href="#found">What was found</a><a href="#units">Units</a>
<a href="#layers">Layers</a><a href="#sample">The sample</a>
<a href="#made">How it was made</a></nav>
</header>
<main>
<section id="found" aria-labelledby="found-title">
<h2 id="found-title">What was found</h2>
{warning}
{found}
</section>
<section aria-labelledby="curve-title">
<h2 id="curve-title">How much it leans on single units</h2>
{curve}
</section>
<section id="units" aria-labelledby="units-title">
<h2 id="units-title">Units</h2>
{units}
<h3>The most important</h3>
{important}
<h3>Those it could spare</h3>
{spare}
</section>
<section id="layers" aria-labelledby="layers-title">
<h2 id="layers-title">Layers</h2>
{layers}
{left_out}
</section>
<section id="sample" aria-labelledby="sample-title">
<h2 id="sample-title">The sample, and what it does to the numbers</h2>
{sample}
</section>
<section id="made" aria-labelledby="made-title">
<h2 id="made-title">How it was made</h2>
{made}
<p class="files">Files: {files}</p>
</section>
</main>
<footer>Method: Morcos, Barrett, Rabinowitz and Botvinick, “On the importance of single directions
for generalization”, ICLR 2018 (<a href="https://arxiv.org/abs/1803.06959">arXiv:1803.06959</a>).
</footer>
</body>
</html>
"""
