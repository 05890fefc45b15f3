"""What a study found, in sentences, and what its sample does to the numbers.

The page and the command line say the same sentences.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import stats

from repro.core import metrics
from repro.core.kinds import AblationCurve
from repro.core.words import percent
from repro.display.plots import correlation_words
from repro.engine.counts import Outcome
from repro.study import budget, figures, standing
from repro.study.measured import Measured
from repro.study.sample import BINS, CONTROLS, Sample, most_active
from repro.study.show import auc_words, chance

# An accuracy of less than so many times chance suggests that images and model do not fit.
_NEAR_CHANCE = 1.5
# Probability by guessing above which an accuracy counts as luck.
_LUCK = 0.01


def first_line(study: Measured) -> str:
    """What was measured, what was cut off, and whether it is enough for what follows."""
    return standing.standing(study).words


def warning(study: Measured) -> str:
    """What to say of a network that is hardly better than chance; "" of any other."""
    if not (study.words.has_classes and study.words.has_accuracy):
        return ""
    accuracy = float(study.intact.accuracy)
    n, guessing = study.sample.n_images, 1 / study.n_classes
    # With many classes, one right answer is above the accuracy of guessing, and may be luck.
    lucky = accuracy < 0.5 and stats.binomtest(
        round(accuracy * n), n, guessing, "greater"
    ).pvalue > (_LUCK)
    if accuracy >= _NEAR_CHANCE * guessing and not lucky:
        return ""
    return (
        f"The intact network is hardly better than chance ({percent(accuracy)} right, "
        f"{percent(1 / study.n_classes)} by guessing). If model.evaluate says more, the pixels "
        "are not scaled as in its training (--scale), or not resized so (--resize), or the classes "
        "are in another order (--classes, class_names=); then nothing below means much."
    )


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
    if np.isfinite(relation.rho) and column_stands(study, x):
        yield (
            f"{x.replace('_', ' ').capitalize()} and importance: Spearman's "
            f"{correlation_words(relation)} over {relation.n:,} units. {_kind_of_units(x)} are "
            + _relation_words(relation)
        )


def _class_count_words(study: Measured) -> Iterator[str]:
    """A sentence that some classes have no image, and what that means for the other sentences on
    classes."""
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
        on_all = "" if whole is None else f"; on {all_images(study, whole)} {float(whole.loss):.4g}"
        return (
            f"Intact, the network has a mean {words.loss} of {amount} on {sample.n_images:,} "
            f"images{on_all}."
        )
    low, high = interval(study)
    on_all = (
        ""
        if whole is None
        else f" On {all_images(study, whole)}, none of them lesioned, it {words.right} "
        f"{percent(float(whole.accuracy))}."
    )
    return (
        f"Intact, the network {words.right} {percent(float(intact.accuracy))} of "
        f"{sample.n_images:,} images (95 % interval {percent(low)} to {percent(high)}); loss "
        f"{amount}.{on_all}"
    )


def all_images(study: Measured, whole: Outcome) -> str:
    n, n_all = whole.n_images, study.sample.n_available
    return f"all {n_all:,} images" if n == n_all else f"{n:,} of the {n_all:,} images"


def _dead_bound(study: Measured) -> str:
    share = percent(most_active(study.sample.n_images))
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
        else _none_redundant(study)
    )
    if not len(tested.units):
        return (
            f"{words} Which of them truly are cannot be told: that takes {budget.TESTED_FROM} "
            "images or more."
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


def _none_redundant(study: Measured) -> str:
    """What there is to say where no living unit that was lesioned is redundant."""
    alive = study.lesioned & ~study.units["dead"]
    if not alive.any():
        return "No unit is redundant on these images: all that were lesioned are dead."
    which = _lesioned(study)
    if alive.sum() < study.lesioned.sum():
        which = f"the {int(alive.sum()):,} that were lesioned and are not dead"
    return f"No unit is redundant on these images: removing any of {which} costs something there."


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
    outcome = _shown_words(study, shown(study, together.outcome))
    sentence = (
        ": removing any one of them costs nothing there. Removing all of them at once leaves "
        f"{'an' if (words.accuracy or words.loss)[0] in 'aeiou' else 'a'} "
        f"{words.accuracy or words.loss} of {outcome}"
    )
    if together.controls is None:
        return sentence + "."
    controls = shown(study, together.controls)
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
    return f"here half of what can be lost is lost by {percent(float(share))} of the units."


# --- The sample --------------------------------------------------------------------------------


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
            f"are 0 on all of these images; each may be active on up to {percent(dead)} of all "
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
    low, high = interval(study)
    yield f"95 % interval of the {name}", f"{percent(low)} to {percent(high)}"
    error = sample.standard_error(accuracy)
    if error > 0:
        yield (
            f"Standard error of the {name}",
            f"± {percent(error)}" + _with_all(sample, percent(whole.standard_error(accuracy))),
        )
    if study.whole is not None:
        yield (
            f"{name.capitalize()} on {all_images(study, study.whole)}",
            f"{percent(float(study.whole.accuracy))}, without a lesion",
        )
    yield f"Smallest step of an {name}", f"one image, {percent(sample.smallest_step)}"
    yield (
        "Smallest drop told from chance",
        f"{Sample.CHANGED} images, {percent(sample.smallest_visible)}"
        + _with_all(sample, percent(whole.smallest_visible))
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
        f"{percent(1 / int(np.median(there)))} is less than one image",
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
            parts.append(f"of its {words.accuracy} lost: ± {percent(found.accuracy_drop)}")
        elif words.has_accuracy:
            share = percent(most_active(sample.n_images))
            parts.append(
                f"of its {words.accuracy} lost: no answer changes on these images, and up to "
                f"{share} may on all (95 % bound)"
            )
        if words.has_classes and found.largest_class_drop > 0:
            parts.append(
                f"of its largest class drop: ± {percent(found.largest_class_drop)}, and more, "
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
        f"± {percent(on_curve.standard_error(0.5))} (where half of them are right), which all "
        "orders share; the ± of the area is the spread over orders alone"
    )


def _with_all(sample: Sample, value: str) -> str:
    return "" if sample.n_images == sample.n_available else f" (with all images {value})"


# --- Words and numbers -------------------------------------------------------------------------


def interval(study: Measured) -> tuple[float, float]:
    # Several answers of one image are not independent, so that images are counted.
    return study.sample.interval(round(float(study.intact.accuracy) * study.sample.n_images))


def column_stands(study: Measured, x: str) -> bool:
    """Whether the sample is large enough for a column of the units to mean anything."""
    return x != "mutual_information" or standing.enough_for_information(study)


def shown(study: Measured, outcome: Any) -> np.ndarray:
    """The accuracy of lesions, or where there is none the loss."""
    return np.asarray(outcome.accuracy if study.words.has_accuracy else outcome.loss)


def _shown_words(study: Measured, value: Any) -> str:
    words = study.words
    return percent(float(value)) if words.has_accuracy else words.amount(f"{float(value):.4g}")


def _name(unit: Any) -> str:
    return f"unit {unit['unit']} of {unit['layer']}"


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"
