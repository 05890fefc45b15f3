"""Which scaling of pixels a model was trained with, tried on some of its own images."""

from __future__ import annotations

import dataclasses
import math

import keras
import numpy as np

from repro.data import labelled
from repro.data.labelled import Labelled
from repro.data.pixels import WHITE
from repro.engine import verify

# Images on which scalings are tried where it is not plain which one fits, and where it is.
_IMAGES, _IMAGES_IF_PLAIN = 256, 64
# Images handed to the model at a time: of 224 x 224 pixels in colour, 19 MB.
_BATCH = 32
# Standard errors of a difference that are told of.
_CLEAR = 2.0


def tried(
    model: keras.Model, kind: str, found: Labelled, order: np.ndarray, *, given: bool
) -> tuple[Labelled, str]:
    """The images with the scaling under which the model answers best, where it is not plain which
    one it was trained with; and a sentence about it, "" where there is nothing to say.

    Where it is plain, or given, the images are as they were, and the sentence is a warning if
    another scaling does better by more than two standard errors.

    Args:
        kind: what the model does to pixels, see `scaling.of`.
        found: as `labelled.find` gave it. order: int (n_images,), in which images are tried.
        given: whether the user named the scaling.

    Raises:
        DataError: a file that is no image.
    """
    scales = found.scales
    if len(scales) < 2 or not len(order):
        return found, ""
    unclear = kind == "unclear" or (kind == "plain" and not found.plain)
    # A model that scales may be for pixels of 16 bits or for those of 8.
    deep = kind == "scales" and found.white > WHITE
    chosen = not given and (unclear or deep)
    if deep and not unclear and not given:
        scales = ("none", "raw")
    few = order[: _IMAGES if chosen else _IMAGES_IF_PLAIN]
    trial = _Trial(model, found, found.read(few), found.labels[few])
    try:
        if not chosen and trial.is_best(found.scale):
            return found, ""
        right = {scale: trial.right(scale) for scale in scales}
    except Exception:  # what the model cannot answer, it cannot answer later: told of there
        return found, ""
    # Of equals the one that the rule names.
    best = max(scales, key=lambda scale: (right[scale].sum(), scale == found.scale))
    shares = {
        scale: f"{labelled.words_of(scale)} (--scale={scale}): {_percent(right[scale])}"
        for scale in scales
    }
    if chosen:
        others = "; ".join(shares[scale] for scale in scales if scale != best)
        found = labelled.scaled(found, best)
        words = f"{found.words}, the scaling that fits best of {len(scales)} tried"
        return dataclasses.replace(found, words=words), (
            f"Scaling: {shares[best]} right of {len(few):,} images, the best of those tried "
            f"({others}); --scale={best} chooses it, and --scale names any other"
        )
    if not _clearly_better(right[best], right[found.scale]):
        return found, ""
    return found, (
        f"Warning: {shares[found.scale]} right of {len(few):,} images, but {shares[best]}; if the "
        f"model was trained so, give --scale={best}"
    )


def _percent(right: np.ndarray) -> str:
    return f"{100 * float(right.mean()):.3g} %"


def _clearly_better(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether more of the same images are right, by more than chance would have it.

    Args:
        one, other: bool (n_images,).

    >>> right = np.arange(9) < 8
    >>> _clearly_better(right, np.zeros(9, bool)), _clearly_better(right, np.arange(9) < 6)
    (True, False)
    """
    difference = one.astype(np.float64) - other
    total = float(difference.sum())
    variance = float((difference**2).sum()) - total**2 / len(difference)
    return total > _CLEAR * math.sqrt(max(variance, 1.0))


class _Trial:
    """What a model answers under scalings of the same images."""

    def __init__(
        self, model: keras.Model, found: Labelled, images: np.ndarray, labels: np.ndarray
    ) -> None:
        self._model, self._found, self._images, self._labels = model, found, images, labels

    def is_best(self, scale: str) -> bool:
        """Whether so many are right that no other scaling can be clearly better."""
        right = self.right(scale)
        return not _clearly_better(np.ones_like(right), right)

    def right(self, scale: str) -> np.ndarray:
        """bool (n_images,), whether the model answers each one's class."""
        found = dataclasses.replace(self._found, scale=scale)
        n = len(self._images)
        parts = [self._images[at : at + _BATCH] for at in range(0, n, _BATCH)]
        answers = np.concatenate(
            [verify.answers_of(self._model, found.scaled(part)) for part in parts]
        ).reshape(n, -1)
        if answers.shape[1] > 1:
            return np.asarray(answers.argmax(axis=1) == self._labels)
        # One number says yes or no: a probability above a half, or a logit above 0.
        middle = 0.5 if answers.min() >= 0 and answers.max() <= 1 else 0.0
        return np.asarray((answers[:, 0] > middle) == (self._labels == 1))
