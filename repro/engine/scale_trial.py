"""Finds the scaling of pixels that a model was trained with, by trying several on some images."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import keras
import numpy as np

from repro.core.words import percent
from repro.data import labelled
from repro.data.labelled import Labelled
from repro.data.pixels import WHITE
from repro.engine import verify
from repro.models import heads
from repro.models.heads import Head

# How many images scalings are tried on: if the right scaling is unclear, and if it is clear.
_IMAGES, _IMAGES_IF_PLAIN = 256, 64
# Images in a batch: 19 MB for colour images of 224 x 224 pixels.
_BATCH = 32
# A difference is reported if it is more than so many standard errors.
_CLEAR = 2.0
# A smaller loss counts if it is lower by so much, in nats, and below this share of the other loss.
_LOSS, _SURER = 0.05, 0.5
# A smaller loss counts only where so many images are wrong: more contrast makes any network surer,
# and where it is right anyhow, that lowers its loss under scalings that it was not trained with.
_WRONG = 3


def tried(
    model: keras.Model,
    kind: str,
    found: Labelled,
    order: np.ndarray,
    *,
    given: bool,
    from_logits: bool | None = None,
) -> tuple[Labelled, str]:
    """The images with the scaling under which the model answers best, and a sentence about the
    choice; "" if there is nothing to say.

    They keep the usual scaling unless another one does better by more than two standard errors. If
    the scaling is clear or given, they keep it then too, and the sentence is a warning.

    Args:
        kind: what the model does to pixels, see `scaling.of`.
        found: result of `labelled.find`. order: int (n_images,), the order in which images are
            tried.
        given: whether the user named the scaling.
        from_logits: whether the model answers logits; None to look at its answers.

    Raises:
        DataError: a file that is no image.
    """
    scales = found.scales
    if len(scales) < 2 or not len(order):
        return found, ""
    unclear = kind == "unclear" or (kind == "plain" and not found.plain)
    # A model that scales its pixels may expect 16 bits or 8 bits.
    deep = kind == "scales" and found.white > WHITE
    chosen = not given and (unclear or deep)
    if deep and not unclear and not given:
        scales = ("none", "raw")
    few = order[: _IMAGES if chosen else _IMAGES_IF_PLAIN]
    trial = _Trial(model, found, found.read(few), found.labels[few], from_logits)
    try:
        if not chosen and trial.is_best(found.scale):
            return found, ""
        tried_on = {scale: trial.answered(scale) for scale in scales}
    except Exception:  # a later call reports that the model cannot answer
        return found, ""
    usual = found.scale if found.scale in scales else scales[0]
    best = usual  # unless others fit clearly better; of those the one with most right
    better = [one for one in scales if _clearly_better(tried_on[one], tried_on[usual])]
    if better:
        best = max(
            better, key=lambda one: (tried_on[one].right.sum(), -float(tried_on[one].loss.mean()))
        )
    shares = {
        scale: f"{labelled.words_of(scale)} (--scale={scale}): {percent(float(one.right.mean()))}, "
        f"loss {one.loss.mean():.3g}"
        for scale, one in tried_on.items()
    }
    if chosen:
        rest = [scale for scale in scales if scale != best]
        others = "; ".join(shares[scale] for scale in rest)
        found = labelled.scaled(found, best)
        as_good = [one for one in rest if not _clearly_better(tried_on[best], tried_on[one])]
        if as_good:
            words = f"{found.words}, as no scaling of {len(scales)} tried fits clearly better"
            return dataclasses.replace(found, words=words), (
                f"Scaling: {shares[best]}, of {len(few):,} images right, and these images do not "
                f"tell it from {', '.join(as_good)} ({others}); give the scaling of the model's "
                f"training, --scale={best} if it is this"
            )
        words = f"{found.words}, the scaling that fits best of {len(scales)} tried"
        return dataclasses.replace(found, words=words), (
            f"Scaling: {shares[best]}, of {len(few):,} images right, the best of those tried "
            f"({others}); --scale={best} chooses it, and --scale names any other"
        )
    if best == usual:
        return found, ""
    return found, (
        f"Warning: {shares[found.scale]}, of {len(few):,} images right, but {shares[best]}; if the "
        f"model was trained so, give --scale={best}"
    )


class _Answered(NamedTuple):
    """right: bool (n_images,), whether the image's class is answered. loss: float64 (n_images,),
    the negative logarithm of the class's probability, in nats."""

    right: np.ndarray
    loss: np.ndarray


def _clearly_better(one: _Answered, other: _Answered) -> bool:
    """Whether clearly more of the same images are right than chance explains, or as many with a
    much smaller loss, and some wrong.

    >>> none, six, eight = (_Answered(np.arange(9) < n, np.full(9, 0.01)) for n in (0, 6, 8))
    >>> _clearly_better(eight, none), _clearly_better(eight, six)
    (True, False)
    >>> _clearly_better(six, six._replace(loss=np.full(9, 0.5)))
    True
    """
    difference = one.right.astype(np.float64) - other.right
    total, clear = _difference(difference, 1.0)
    if total > clear:
        return True
    gain, clear = _difference(other.loss - one.loss, 1e-9)
    sure = one.loss.mean() < _SURER * other.loss.mean() and gain > clear
    sure = sure and np.count_nonzero(~one.right) >= _WRONG
    return bool(total >= 0 and sure and gain / len(difference) > _LOSS)


def _difference(each: np.ndarray, least: float) -> tuple[float, float]:
    """A sum, and the size from which on it is clear."""
    total = float(each.sum())
    variance = float((each**2).sum()) - total**2 / len(each)
    return total, _CLEAR * math.sqrt(max(variance, least))


class _Trial:
    """What a model answers under scalings of the same images."""

    def __init__(
        self,
        model: keras.Model,
        found: Labelled,
        images: np.ndarray,
        labels: np.ndarray,
        from_logits: bool | None,
    ) -> None:
        self._model, self._found, self._images, self._labels = model, found, images, labels
        self._from_logits = from_logits

    def is_best(self, scale: str) -> bool:
        """Whether so many images are right that no other scaling can be clearly better."""
        answered = self.answered(scale)
        perfect = _Answered(np.ones_like(answered.right), np.zeros_like(answered.loss))
        return not _clearly_better(perfect, answered)

    def answered(self, scale: str) -> _Answered:
        """What the model answers to the images with this scaling."""
        found = dataclasses.replace(self._found, scale=scale)
        n, labels = len(self._images), self._labels
        parts = [self._images[at : at + _BATCH] for at in range(0, n, _BATCH)]
        answers = np.concatenate(
            [verify.answers_of(self._model, found.scaled(part)) for part in parts]
        ).reshape(n, -1)
        binary = answers.shape[1] == 1
        probabilities = self._from_logits is False
        if self._from_logits is None and heads.look_like_probabilities(answers, not binary):
            some = found.scaled(parts[0])
            probabilities = heads.stay_shares(
                self._model, lambda: verify.answers_of(self._model, some)
            )
        head = Head(2 if binary else answers.shape[1], binary, probabilities)
        log_p = head.log_probabilities(answers)
        return _Answered(head.classes(answers) == labels, -log_p[np.arange(n), labels])
