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

from repro import metrics, report, runs, study_figures
from repro.findings import mean_and_sd
from repro.markup import STYLE, code, data_uri, table, text
from repro.panels import correlation_words, split_name
from repro.report import CURVE_COLUMNS
from repro.results import AblationCurve
from repro.study import CONTROLS, Sample, Study

_LISTED = 20  # units of a table; units.csv has all
_FILES = (
    "units.csv", "curve.csv", "summary.json", "curve.png", "units.png", "curve.svg", "units.svg",
)  # fmt: skip
# An accuracy of less than so many times chance suggests that images and model do not fit.
_NEAR_CHANCE = 1.5
_UNIT_HEADS = (
    "Layer",
    "Unit",
    "Importance (nats)",
    "Accuracy lost",
    "Largest class drop",
    "Class selectivity",
    "Mutual information (bits)",
    "Mean activation",
)


def write(study: Study, directory: Path, command: str = "") -> Path:
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
    of_curve = report.to_csv(CURVE_COLUMNS, report.curve_rows(curve))
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


def numbers(study: Study) -> dict[str, Any]:
    """What was found, as JSON-ready values; None where something is undefined or not measured."""
    units, intact, curve = study.units, study.intact, study.curves[-1]
    n_correct = int(intact.n_correct.sum())
    low, high = study.sample.interval(n_correct)
    together = study.redundant_together
    area, area_sd = mean_and_sd(_normalized_auc(curve))
    x = study_figures.selectivity_column(study)
    found = study.relation(x=x)
    return {
        "model": study.model.name,
        "data": study.data,
        "split": study.split,
        "images": {"used": study.sample.n_images, "available": study.sample.n_available},
        "classes": {
            "all": study.n_classes,
            "with_images": int(np.count_nonzero(np.bincount(study.labels))),
        },
        "units": {
            "all": len(units),
            "lesioned": int(study.lesioned.sum()),
            "dead": int(units["dead"].sum()),
            "redundant": int(units["redundant"].sum()),
        },
        "accuracy": float(intact.accuracy),
        "accuracy_interval": [low, high],
        "loss": float(intact.loss),
        "normalized_auc": {"mean": _number(area), "sd": _number(area_sd)},
        "curve": {
            "orders": len(curve.orders),
            "points": len(curve.n_ablated),
            "images": curve.n_images,
        },
        "without_redundant": None
        if together is None
        else {
            "accuracy": float(together.outcome.accuracy),
            "controls": None if together.controls is None else together.controls.accuracy.tolist(),
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


def render(study: Study, command: str = "") -> str:
    """The whole page."""
    curve = study.curves[-1]
    found = "".join(f"<li><div>{text(line)}</div></li>" for line in findings(study, curve))
    return _PAGE.format(
        style=STYLE,
        title=text(study.model.name),
        subtitle=text(_subtitle(study)),
        warning=f'<p class="profile">{text(warning(study))}</p>' if warning(study) else "",
        found=f'<ul class="found plain">{found}</ul>',
        curve=_picture(
            lambda dark: study_figures.curve_figure(
                curve, study.n_classes, kinds=["svg"], dark=dark, standalone=False
            ),
            _curve_alternative(curve),
            _curve_caption(curve),
        ),
        units=_picture(
            lambda dark: study_figures.units_figure(
                study, kinds=["svg"], dark=dark, standalone=False
            ),
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


def findings(study: Study, curve: AblationCurve) -> Iterator[str]:
    """The answers, the most asked-for first."""
    units, intact, sample = study.units, study.intact, study.sample
    low, high = sample.interval(int(intact.n_correct.sum()))
    yield (
        f"Intact, the network is right on {_percent(float(intact.accuracy))} of "
        f"{sample.n_images:,} images (95 % interval {_percent(low)} to {_percent(high)}); "
        f"loss {float(intact.loss):.4g} nats."
    )
    area, sd = mean_and_sd(_normalized_auc(curve))
    if np.isfinite(area):
        spread = f" ± {sd:.3f}, s.d. over {len(curve.orders)} random orders" * bool(np.isfinite(sd))
        yield (
            f"Reliance on single directions: normalized AUC {area:.3f}{spread}. 1 would mean that "
            f"no accuracy is lost before the last unit; {_half(curve)}"
        )
    lesioned = np.flatnonzero(study.lesioned)
    if len(lesioned):
        first = units[lesioned[np.argmax(units["importance"][lesioned])]]
        yield (
            f"The most important unit is {_name(first)}: without it the loss changes by "
            f"{first['importance']:+.3g} ± {study.errors[0].importance:.2g} nats (standard error "
            "over images) and the accuracy by "
            f"{0.0 - 100 * first['accuracy_drop']:+.3g} %."
        )
    n_dead, n_redundant = int(units["dead"].sum()), int(units["redundant"].sum())
    yield (
        f"{_count(n_dead, 'unit is', 'units are')} dead, of {len(units):,}: 0 on every image, so "
        "removing them changes nothing."
    )
    yield f"{_count(n_redundant, 'unit is', 'units are')} redundant alone{_together(study)}"
    yield from _class_words(study)
    x = study_figures.selectivity_column(study)
    relation = study.relation(x=x)
    if np.isfinite(relation.rho):
        yield (
            f"{x.replace('_', ' ').capitalize()} and importance: Spearman's "
            f"{correlation_words(relation)} over {relation.n:,} units. "
            + ("Units that look specialised are " + _relation_words(relation))
        )


def _class_words(study: Study) -> Iterator[str]:
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


def _relation_words(found: metrics.Correlation) -> str:
    if found.low > 0:
        return "the more important ones, as ranks go."
    if found.high < 0:
        return "the less important ones, as ranks go."
    return "neither the more nor the less important ones, as far as these can tell."


def _together(study: Study) -> str:
    """How the sentence on redundant units ends."""
    together = study.redundant_together
    if together is None:
        return "."
    words = (
        ": removing any one of them costs nothing. Removing all of them at once leaves an accuracy "
        f"of {_percent(float(together.outcome.accuracy))}"
    )
    if together.controls is None:
        return words + "."
    low, high = together.controls.accuracy.min(), together.controls.accuracy.max()
    return (
        f"{words}; removing as many others, drawn {CONTROLS} times, leaves {_percent(float(low))} "
        f"to {_percent(float(high))}."
    )


def _half(curve: AblationCurve) -> str:
    """Where the mean curve has lost half of what it can lose."""
    mean = curve.accuracy.mean(axis=0)
    middle = (mean[0] + mean[-1]) / 2
    below = np.flatnonzero(mean < middle)
    if mean[0] <= mean[-1] or not len(below):
        return "ablation does not lower the accuracy here."
    share = curve.n_ablated[below[0]] / curve.n_units
    return f"here half of what can be lost is lost by {_percent(float(share))} of the units."


def sample_words(sample: Sample, study: Study) -> list[tuple[str, str]]:
    """What the sample does to the numbers: (topic, sentence)."""
    accuracy = float(study.intact.accuracy)
    whole = Sample(sample.n_available, sample.n_available)
    n_lesioned, n_units = int(study.lesioned.sum()), study.layout.n_units
    items = [
        (
            "Images",
            f"all {sample.n_images:,}"
            if sample.n_images == sample.n_available
            else f"{sample.n_images:,} of {sample.n_available:,}, drawn at random with the share "
            f"of each class kept (seed {study.seed})",
        ),
        (
            "Standard error of the accuracy",
            f"± {_percent(sample.standard_error(accuracy))}"
            + _with_all(sample, _percent(whole.standard_error(accuracy))),
        ),
        ("Smallest step of an accuracy", f"one image, {_percent(sample.smallest_step)}"),
        (
            "Smallest drop told from chance",
            f"{Sample.CHANGED} images, {_percent(sample.smallest_visible)}"
            + _with_all(sample, _percent(whole.smallest_visible))
            + ": a sign test (5 %, two-sided), all that change changing for the worse. The loss, "
            "and so importance, sees smaller changes",
        ),
        (
            "Units lesioned alone",
            f"all {n_units:,}"
            if n_lesioned == n_units
            else f"{n_lesioned:,} of {n_units:,}, drawn at random with the share of each layer "
            "kept. Class selectivity and mutual information are those of all units; importance, "
            "and which are important or redundant, of these only",
        ),
    ]
    items += _error_words(study)
    counts = np.bincount(study.labels, minlength=study.n_classes)
    n_absent = int(np.count_nonzero(counts == 0))
    counts = counts[counts > 0]
    items.append(
        (
            "Images of a class",
            (f"none of {n_absent:,} classes, of the others " if n_absent else "")
            + f"{counts.min():,} to {counts.max():,}; a largest class drop of less than "
            f"{_percent(1 / max(1, int(np.median(counts))))} is less than one image",
        )
    )
    items.append(("Curve", _curve_error_words(study.curves[-1], sample)))
    return items


def _error_words(study: Study) -> Iterator[tuple[str, str]]:
    """Standard errors of what lesions cost, of the units for which they are known."""
    sample = study.sample
    scale = math.sqrt(sample.n_images / sample.n_available)
    for place, found in zip(("most important", "middle"), study.errors, strict=False):
        importance = study.units["importance"][found.unit]
        words = (
            f"of its importance, {importance:.3g} nats: ± {found.importance:.2g}"
            + _with_all(sample, f"{found.importance * scale:.2g}")
            + f"; of its accuracy lost: ± {_percent(found.accuracy_drop)}"
        )
        if math.isfinite(found.largest_class_drop):
            words += (
                f"; of its largest class drop: ± {_percent(found.largest_class_drop)}, and more, "
                "since the class was chosen for its drop"
            )
        yield f"Standard error, {place} unit", words


def _curve_error_words(curve: AblationCurve, sample: Sample) -> str:
    on_curve = Sample(curve.n_images, sample.n_images)
    part = f"{curve.n_images:,} of these images, the share of each class kept"
    return (
        ("on all of these images" if curve.n_images == sample.n_images else f"on {part}")
        + f": a point has a standard error of up to ± {_percent(on_curve.standard_error(0.5))} "
        "(where half of them are right), which all orders share; the ± of the area is the spread "
        "over orders alone"
    )


def _with_all(sample: Sample, value: str) -> str:
    return "" if sample.n_images == sample.n_available else f" (with all images {value})"


def _made(study: Study, curve: AblationCurve) -> list[tuple[str, str]]:
    facts = runs.circumstances("")
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    shape = ", ".join(str(size) for size in study.model.input_shape[1:])
    return [
        ("Data", study.data or "not stated"),
        ("Model", f"{study.model.name}, input ({shape}), {study.n_classes} classes"),
        ("Curve", _curve_caption(curve)),
        ("Ablation", "the activation is clamped to 0, on every image and at every position"),
        ("Importance", "change of the mean cross-entropy in nats when the unit alone is ablated"),
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
        ("Seed", str(study.seed)),
        ("Keras backend", facts["backend"]),
        ("Versions", versions),
        ("Date", facts["date"]),
    ]


# --- Pictures ----------------------------------------------------------------------------------


def _pictures(
    study: Study, curve: AblationCurve
) -> list[tuple[str, Callable[[], dict[str, bytes]]]]:
    return [
        ("curve", lambda: study_figures.curve_figure(curve, study.n_classes)),
        ("units", lambda: study_figures.units_figure(study)),
    ]


def _picture(draw: Callable[[bool], dict[str, bytes]], alternative: str, caption: str) -> str:
    light, dark = (data_uri(draw(dark)["svg"]) for dark in (False, True))
    return (
        f'<figure><picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{text(alternative)}"></picture>'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _curve_caption(curve: AblationCurve) -> str:
    return (
        f"Accuracy on {curve.n_images:,} {split_name(curve.images)} images as units of all masked "
        f"layers are ablated, read at {len(curve.n_ablated)} numbers of units. Line: mean over "
        f"{len(curve.orders)} random orders; band: ± 1 s.d."
    )


def _curve_alternative(curve: AblationCurve) -> str:
    mean = curve.accuracy.mean(axis=0)
    middle = len(mean) // 2
    return (
        f"Accuracy against the number of ablated units: {mean[0]:.2f} intact, {mean[middle]:.2f} "
        f"with {curve.n_ablated[middle]:,} units ablated, {mean[-1]:.2f} with all."
    )


def _units_caption(study: Study) -> str:
    undefined = int(np.isnan(study.units["class_selectivity"]).sum())
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


def _units_alternative(study: Study) -> str:
    x = study_figures.selectivity_column(study)
    return (
        f"Scatter of units: {x.replace('_', ' ')} against the change of loss when the unit is "
        f"ablated. All units: {correlation_words(study.relation(x=x))}."
    )


# --- Tables ------------------------------------------------------------------------------------


def _important(study: Study) -> str:
    lesioned = np.flatnonzero(study.lesioned)
    best = lesioned[np.argsort(-study.units["importance"][lesioned], kind="stable")[:_LISTED]]
    heads = (*_UNIT_HEADS, "Class that loses most")
    worst = np.argmax(np.nan_to_num(study.class_drops, nan=-np.inf), axis=1)
    rows = [(*_unit_cells(study.units[row]), _class(study, int(worst[row]))) for row in best]
    return table(f"The {len(rows)} most important units; units.csv has all.", heads, rows)


def _spare(study: Study) -> str:
    """Units that can be spared: redundant ones by what removing them gains, and dead ones."""
    units = study.units
    redundant = np.flatnonzero(units["redundant"])
    best = redundant[np.argsort(units["importance"][redundant], kind="stable")[:_LISTED]]
    parts = []
    if len(best):
        caption = (
            "Redundant units: alive, and removing one alone neither raises the loss nor loses "
            f"images. {len(best):,} of {len(redundant):,}, those first whose removal helps most."
        )
        parts.append(table(caption, _UNIT_HEADS, map(_unit_cells, units[best])))
    else:
        parts.append("<p>No lesioned unit is redundant: removing any of them costs something.</p>")
    dead = [
        (name, f"{int(rows.sum()):,} of {len(rows):,}", _numbers_of(units["unit"][mine][rows]))
        for name, _ in study.layout.layers
        for mine in [units["layer"] == name]
        for rows in [units["dead"][mine]]
        if rows.any()
    ]
    if dead:
        parts.append(table("Dead units: 0 on every image.", ("Layer", "Dead", "Units"), dead))
    else:
        parts.append("<p>No unit is dead: each is active on some image.</p>")
    return "".join(parts)


def _layers(study: Study) -> str:
    units, rows = study.units, []
    for name, size in study.layout.layers:
        mine = units[units["layer"] == name]
        lesioned = np.isfinite(mine["importance"])
        rows.append(
            (
                name,
                f"{size:,}",
                f"{int(lesioned.sum()):,}",
                f"{int(mine['dead'].sum()):,}",
                f"{int(mine['redundant'].sum()):,}",
                _mean(mine["class_selectivity"]),
                _mean(mine["mutual_information"] - mine["mutual_information_bias"]),
                _mean(mine["importance"], ".2g"),
                correlation_words(study.relation(name, study_figures.selectivity_column(study))),
            )
        )
    heads = (
        "Layer",
        "Units",
        "Lesioned",
        "Dead",
        "Redundant",
        "Class selectivity",
        "Mutual information (bits)",
        "Importance (nats)",
        "Selectivity and importance",
    )
    caption = "Means over units; mutual information with its bias subtracted."
    return table(caption, heads, rows)


def _left_out(study: Study) -> str:
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


def _unit_cells(unit: Any) -> tuple[str, ...]:
    selectivity = unit["class_selectivity"]
    return (
        str(unit["layer"]),
        str(unit["unit"]),
        f"{unit['importance']:.3g}",
        _percent(unit["accuracy_drop"]),
        _percent(unit["largest_class_drop"]),
        "undefined" if math.isnan(selectivity) else f"{selectivity:.2f}",
        f"{unit['mutual_information']:.2f}",
        f"{unit['mean_activation']:.3g}",
    )


def _items(items: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{text(a)}</dt><dd>{text(b)}</dd></div>" for a, b in items)
    return f'<dl class="settings">{rows}</dl>'


# --- Words and numbers -------------------------------------------------------------------------


def _subtitle(study: Study) -> str:
    shown = f"{study.layout.n_units:,} units of {len(study.layout.layers)} layers"
    return (
        f"{shown}, lesioned on {study.sample.n_images:,} images: {study.data or 'data not stated'}."
    )


def warning(study: Study) -> str:
    """What to say of a network that is hardly better than chance; "" of any other."""
    accuracy = float(study.intact.accuracy)
    if accuracy >= _NEAR_CHANCE / study.n_classes:
        return ""
    return (
        f"The intact network is hardly better than chance ({_percent(accuracy)} right, "
        f"{_percent(1 / study.n_classes)} by guessing). Perhaps the pixels are not scaled as in "
        "its training, or the classes are in another order; then nothing below means much."
    )


def _class(study: Study, number: int) -> str:
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


def _normalized_auc(curve: AblationCurve) -> np.ndarray:
    """float64 (n_orders,); NaN where the intact network is never right."""
    if not curve.n_correct[:, 0].all():
        return np.full(len(curve.orders), np.nan)
    return curve.normalized_auc


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


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
