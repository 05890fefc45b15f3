"""A study in a line or a small table: the four numbers that matter, as far as they are known.

Nothing is computed for it. What was not asked for yet says so, and how to ask.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from repro.core import metrics
from repro.core.kinds import AblationCurve
from repro.core.metrics import mean_and_sd
from repro.display import html
from repro.study import standing
from repro.study.measured import Measured


class Number(NamedTuple):
    """One of the numbers that matter. how: what to ask for it; "" where it is known."""

    name: str
    value: str
    how: str


def lines(study: Measured) -> str:
    """Two lines: what was studied on what, and the four numbers."""
    numbers = ", ".join(
        f"{number.name} {number.value}" + f" ({number.how})" * bool(number.how)
        for number in _numbers(study)
    )
    own = f"\n {study.own_loss}" if study.own_loss else ""
    return f"<Study of {study.model.name!r}: {_measured(study)}\n {numbers}{own}>"


def table(study: Measured) -> str:
    """The same as HTML, in the colours of whatever it is shown in."""
    return html.render(
        "study/templates/notebook.html",
        name=study.model.name,
        measured=_measured(study),
        numbers=_numbers(study),
    )


def chance(study: Measured) -> float:
    """What a constant answer gets: the share of the commonest class; 0 without classes."""
    return float(np.bincount(study.labels).max() / len(study.labels)) * study.words.has_classes


def normalized_auc(curve: AblationCurve, chance: float) -> np.ndarray:
    """float64 (n_orders,); NaN where there is no accuracy to lose, or none above chance."""
    n_correct = round(float(curve.accuracy[:, 0].min()) * curve.n_images)
    knows = n_correct > 0 and (
        not chance or metrics.above_chance(n_correct, curve.n_images, chance)
    )
    return curve.normalized_auc if knows else np.full(len(curve.orders), math.nan)


def auc_words(curve: AblationCurve, chance: float) -> str:
    """The normalized AUC with its spread over orders; "" where it is not defined.

    A curve that is lost before its first points only bounds it.
    """
    area, sd = mean_and_sd(normalized_auc(curve, chance))
    if not np.isfinite(area):
        return ""
    bound = "at most " * standing.at_most(curve)
    if not np.isfinite(sd) or sd < 5e-4:
        return f"{bound}{area:.3f}"
    return f"{bound}{area:.3f} ± {sd:.3f}"


def _measured(study: Measured) -> str:
    sample, n_layers = study.sample, len(study.layout.layers)
    images = f"{sample.n_images:,}" + (
        f" of {sample.n_available:,}" if sample.n_images < sample.n_available else ""
    )
    return (
        f"{study.layout.n_units:,} units of {n_layers:,} layer{'s' * (n_layers != 1)}, "
        f"{images} {study.split} images"
    )


def _numbers(study: Measured) -> list[Number]:
    known, words = vars(study), study.words
    intact, units = known.get("intact"), known.get("units")
    shown = []
    if words.has_accuracy:
        accuracy = None if intact is None else f"{100 * float(intact.accuracy):.1f} %"
        shown.append(_number(words.accuracy, accuracy, ".intact"))
        curve = study.curves[-1] if study.asked_curves else None
        area = None if curve is None else auc_words(curve, chance(study)) or "undefined"
        shown.append(_number("normalized AUC", area, ".curve()"))
    else:
        loss = None if intact is None else words.amount(f"{float(intact.loss):.4g}")
        shown.append(_number(words.loss, loss, ".intact"))
    dead = redundant = None
    if units is not None:
        n_lesioned = int(np.isfinite(units["importance"]).sum())
        dead = f"{int(units['dead'].sum()):,} of {len(units):,} units"
        redundant = f"{int(units['redundant'].sum()):,} of {n_lesioned:,} lesioned alone"
    return [*shown, _number("dead", dead, ".units"), _number("redundant", redundant, ".units")]


def _number(name: str, value: str | None, how: str) -> Number:
    return Number(name, "not asked yet", how) if value is None else Number(name, value, "")
