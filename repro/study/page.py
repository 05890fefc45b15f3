"""What the page of a study says, as values; `templates/study.html` lays it out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from repro.core.kinds import AblationCurve
from repro.display import html
from repro.display.html import Item, Picture
from repro.display.plots import correlation_words, split_name
from repro.experiments import runs
from repro.study import figures, sentences, standing, tables
from repro.study.measured import Measured
from repro.study.words import Words

BESIDE = (
    "units.csv", "curve.csv", "summary.json", "curve.png", "units.png", "curve.svg", "units.svg",
)  # fmt: skip
"""Files that lie beside the page, see `repro.study.files`."""


def render(study: Measured, command: str = "") -> str:
    """The whole page."""
    curve, words = study.curves[-1], study.words
    return html.render(
        "study/templates/study.html",
        name=study.model.name,
        stands=standing.standing(study),
        data=study.data or "not stated",
        warning=sentences.warning(study),
        found=list(sentences.findings(study, curve)),
        curve=_picture(
            lambda dark: figures.curve_figure(
                curve, study.n_classes, words=words, kinds=["svg"], dark=dark, standalone=False
            ),
            _curve_alternative(study, curve),
            _curve_caption(study, curve),
        ),
        units=_picture(
            lambda dark: figures.units_figure(study, kinds=["svg"], dark=dark, standalone=False),
            _units_alternative(study),
            _units_caption(study),
        ),
        important=tables.important(study),
        redundant=tables.redundant(study),
        dead=tables.dead(study),
        layers=tables.layers(study),
        fragile=tables.fragile(study),
        without_mask=tables.without_mask(study),
        n_layers=len(study.hidden_layers),
        sample=[Item(*one) for one in sentences.sample_words(study.sample, study)],
        made=[Item(*one) for one in _made(study, curve)],
        command=command,
        beside=BESIDE,
    )


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


def _picture(draw: Callable[[bool], dict[str, bytes]], alternative: str, caption: str) -> Picture:
    light, dark = (draw(dark)["svg"] for dark in (False, True))
    return Picture(light, dark, alternative, caption)


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
