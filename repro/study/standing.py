"""What a study's sample allows it to say: which numbers stand, which are bounds, which are neither.

A study never claims more than its sample. `standing` says in one line what was measured on how
many images and units, what was cut off, and whether that is enough for what follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repro.core.kinds import AblationCurve
from repro.study import budget
from repro.study.measured import Measured
from repro.study.sample import BINS

# Fewer images tell next to nothing: with 50, the 95 % interval of an accuracy is up to 28 % wide.
USELESS_BELOW = budget.TESTED_FROM
# Images that a class needs, so that its mean activation is more than one image's.
FEW_OF_A_CLASS = 2
# A curve that has lost so much of what it can lose at its first point is only bounded by it.
_LOST_AT_ONCE = 0.9
_NAMED = 3  # most layers that a sentence names


def enough_for_information(study: Measured) -> bool:
    """Whether there are as many images as cells of bins and classes that occur; with fewer, most
    cells hold nothing and the estimate of mutual information is all bias."""
    return study.sample.n_images >= BINS * n_classes_there(study)


def n_classes_there(study: Measured) -> int:
    """Classes that have images."""
    return len(np.unique(study.labels))


def at_most(curve: AblationCurve) -> bool:
    """Whether the curve falls so fast that its area is only known to be no more than what its
    points give: at the first number of ablated units, most of what can be lost is lost."""
    mean = curve.accuracy.mean(axis=0)
    can_lose = mean[0] - mean.min()
    return bool(can_lose > 0 and mean[0] - mean[1] >= _LOST_AT_ONCE * can_lose)


@dataclass(frozen=True)
class Standing:
    """What a study stands on, in sentences.

    measured: on how many images and units. cut: what was left out and why, "" if nothing.
    enough: whether that is enough for what follows. useless: it is not.
    """

    measured: str
    cut: str
    enough: str
    useless: bool

    @property
    def words(self) -> str:
        """All of it, as one line."""
        return " ".join(part for part in (self.measured, self.cut, self.enough) if part)


def standing(study: Measured) -> Standing:
    """The first thing to say of a study."""
    useless = _useless(study)
    return Standing(_measured(study), _cut(study), useless or _enough(study), useless=bool(useless))


def _measured(study: Measured) -> str:
    sample, n_units = study.sample, study.layout.n_units
    n_lesioned, n_layers = int(study.lesioned.sum()), len(study.layout.layers)
    images = (
        f"all {sample.n_images:,}"
        if sample.n_images == sample.n_available
        else f"{sample.n_images:,} of {sample.n_available:,}"
    )
    units = (
        f"all {n_units:,} units of {_layers(n_layers)} lesioned alone"
        if n_lesioned == n_units
        else f"{n_lesioned:,} of {n_units:,} units lesioned alone, in "
        f"{n_layers - len(_missed(study)):,} of {_layers(n_layers)}"
    )
    return f"Measured on {images} {study.split} images: {units}."


def _cut(study: Measured) -> str:
    n_lesioned = int(study.lesioned.sum())
    parts = []
    if n_lesioned < study.n_planned:
        parts.append(
            f"Time ran out: of {study.n_planned:,} units that were to be lesioned, "
            f"{study.n_planned - n_lesioned:,} were not"
        )
    elif n_lesioned < study.layout.n_units:
        parts.append(f"The other {study.layout.n_units - n_lesioned:,} units were not asked for")
    missed = _missed(study)
    if missed:
        named = ", ".join(missed[:_NAMED]) + (", …" if len(missed) > _NAMED else "")
        parts.append(f"no unit of {_layers(len(missed))} was lesioned ({named})")
    return "; ".join(parts) + "." if parts else ""


def _missed(study: Measured) -> list[str]:
    """Layers of which no unit was lesioned."""
    reached = set(study.units["layer"][study.lesioned].tolist())
    return [name for name, _ in study.layout.layers if name not in reached]


def _useless(study: Measured) -> str:
    """Why the sample tells nothing, "" if it does."""
    n_images = study.sample.n_images
    reasons = []
    if n_images < USELESS_BELOW:
        reasons.append(f"{n_images} images are too few for any number below to be trusted")
    if study.words.has_classes:
        n_there = n_classes_there(study)
        if n_there == 1:
            reasons.append("all images are of one class, so that nothing tells classes apart")
        elif n_images < FEW_OF_A_CLASS * n_there:
            reasons.append(
                f"there are fewer than {FEW_OF_A_CLASS} images of a class ({n_images:,} images of "
                f"{n_there:,} classes), so that class selectivity and class drops mean nothing"
            )
    if not reasons:
        return ""
    cure = "give more images" if n_images == study.sample.n_available else "lesion on more images"
    return f"Not enough: {'; '.join(reasons)}; {cure}."


def _enough(study: Measured) -> str:
    sample, words = study.sample, study.words
    parts = []
    if words.has_accuracy:
        parts.append(
            f"Enough to tell a drop of {words.accuracy} of {100 * sample.smallest_visible:.2g} % "
            "or more from chance"
        )
    else:
        parts.append(f"Enough to tell changes of the {words.loss} larger than their standard error")
    if words.has_classes:
        n_there = n_classes_there(study)
        if n_there < study.n_classes:
            parts.append(
                f"{study.n_classes - n_there:,} of {study.n_classes:,} classes have no images"
            )
        if not enough_for_information(study):
            parts.append(
                f"too few images for mutual information (it needs {BINS * n_there:,} or more)"
            )
    return "; ".join(parts) + "."


def _layers(n: int) -> str:
    return f"{n:,} layer{'s' * (n != 1)}"
