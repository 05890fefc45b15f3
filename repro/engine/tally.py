"""Counts each answer: whether it is right, what its loss is, whether it is a tie.

A tally is called with outputs (n_rows, *shape) and the targets of the same rows. It returns

    rank   int32 (n_rows,), classes that come before the true one: 0 is a right answer; or
           (n_rows, n) where an image has n answers, 0 for each that is right and 1 for the others
    loss   float32 (n_rows,), lower is better
    tied   bool (n_rows,), another order of summation may give another answer

and runs within compiled graphs of any backend.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from repro.engine.tasks import Task

# Two logits tie when they differ by less than this part of the largest: about 80 roundings of
# float32, which is more than two orders of summation differ by in these networks.
TIE = 1e-5
# The same for networks that compute in coarser types: about four roundings of 1e-3 and 8e-3.
TIES = {"float32": TIE, "float16": 4e-3, "bfloat16": 3e-2}
TOP = 5
_FEW_CLASSES = 16


def tally_for(task: Task, xla: bool, tie: float = TIE) -> Any:
    """The tally of a task. xla: whether XLA compiles the tally. tie: see TIE."""
    if task.kind == "agreement":
        return Changed(task, tie)
    if task.kind == "score":
        return Scored(task)
    if task.kind == "regression":
        return Deviation(task)
    if task.kind == "labels":
        return YesNo(task, tie)
    return Tally(task.n_columns, xla, tie, binary=task.kind == "binary", probabilities=_as_is(task))


def _as_is(task: Task) -> bool:
    """Whether the network gives probabilities, with its final softmax or sigmoid in place."""
    return task.probabilities and not task.ending


def logits_of(outputs: Any, task: Task) -> Any:
    """Outputs as logits (n_rows, n). Probabilities become their logarithms, cut off where Keras
    cuts them off; one number z for two classes becomes (0, z)."""
    x = ops.cast(outputs, "float32")
    if _as_is(task):
        x = _logits(x, yes_or_no=task.reads != "classes")
    return _beside_zero(ops.reshape(x, (-1, 1))) if task.reads == "binary" else x


def _logits(probabilities: Any, yes_or_no: bool) -> Any:
    """Logits, of one class among several or of a yes."""
    epsilon = keras.config.epsilon()
    p = ops.clip(probabilities, epsilon, 1 - epsilon)
    return ops.log(p) - ops.log1p(-p) if yes_or_no else ops.log(p)


def _beside_zero(logit: Any) -> Any:
    """(n_rows, 1), the logit of class 1, to (n_rows, 2), those of both classes."""
    return ops.concatenate([ops.zeros_like(logit), logit], axis=1)


def _log_yes(logits: Any) -> Any:
    """The logarithm of the sigmoid."""
    return -(ops.maximum(-logits, 0) + ops.log1p(ops.exp(-ops.abs(logits))))


class Tally:
    """One class an image: cross-entropy in nats; ties go to the lower class, as in argmax.

    Called on logits or probabilities (n_rows, n_classes); with binary=True on one logit or
    probability, that of class 1.

    Args:
        tie: see TIE. A call also takes `scale` (n_rows,), the size that a logit had before a
            lesion; after the lesion nothing but rounding error may be left.
    """

    def __init__(
        self,
        n_classes: int,
        xla: bool,
        tie: float = TIE,
        *,
        binary: bool = False,
        probabilities: bool = False,
    ) -> None:
        self.n_classes, self.tie = n_classes, tie
        self.shape = (1,) if binary else (n_classes,)
        self._binary, self._probabilities = binary, probabilities
        # One vector a class: XLA fuses all of them into one loop, three times as fast as
        # reductions.
        self._unrolled = xla and n_classes <= _FEW_CLASSES

    def scale(self, outputs: Any) -> Any:
        """float32 (n_rows,), the largest magnitude of each row's logits."""
        logits, _ = self._logits(outputs)
        return ops.max(ops.abs(logits), axis=-1)

    def _logits(self, outputs: Any) -> tuple[Any, Any]:
        """Logits (n_rows, n_classes), and the values by which classes are ranked."""
        # The reshape restores shapes that a graph for many sizes may have lost.
        ranked = ops.reshape(ops.cast(outputs, "float32"), (-1, *self.shape))
        logits = _logits(ranked, yes_or_no=self._binary) if self._probabilities else ranked
        if not self._binary:
            return logits, ranked
        if self._probabilities:
            ranked = ranked - 0.5
        return _beside_zero(logits), _beside_zero(ranked)

    def __call__(self, outputs: Any, labels: Any, scale: Any = None) -> tuple[Any, Any, Any]:
        logits, ranked = self._logits(outputs)
        labels = ops.reshape(labels, (-1,))
        if self._unrolled:
            classes = [
                (number, logits[:, number], ranked[:, number]) for number in range(self.n_classes)
            ]
        else:
            classes = [(ops.arange(self.n_classes, dtype="int32"), logits, ranked)]
            labels = labels[:, None]

        def over_classes(join: Any, reduce: Any, terms: list[Any]) -> Any:
            joined = functools.reduce(join, terms)
            return joined if self._unrolled else reduce(joined, axis=-1, keepdims=True)

        def total(terms: list[Any]) -> Any:
            return over_classes(ops.add, ops.sum, terms)

        mine = [ops.equal(labels, c) for c, _, _ in classes]
        of_label = total([ops.where(m, x, 0.0) for m, (_, x, _) in zip(mine, classes, strict=True)])
        rank_of_label = total(
            [ops.where(m, r, 0.0) for m, (_, _, r) in zip(mine, classes, strict=True)]
        )
        others = [
            ops.where(m, -float("inf"), x) for m, (_, x, _) in zip(mine, classes, strict=True)
        ]
        other = over_classes(ops.maximum, ops.max, others)
        largest = over_classes(ops.maximum, ops.max, [ops.abs(x) for _, x, _ in classes])
        # log(1 + sum of exp(x - x of the label)): nothing of a small loss is lost to rounding.
        away = other - of_label
        rest = total([ops.exp(x - other) for x in others])
        small = ops.exp(-ops.abs(away))
        loss = ops.where(
            away > 0,
            away + ops.log(rest + small),
            ops.log1p(small * rest),
        )
        rank = total(
            [
                ops.cast(
                    (r > rank_of_label) | (ops.equal(r, rank_of_label) & (c < labels)), "int32"
                )
                for c, _, r in classes
            ]
        )
        if scale is not None:
            scale = ops.reshape(scale, (-1,))
            largest = ops.maximum(largest, scale if self._unrolled else scale[:, None])
        best = ops.maximum(of_label, other)
        near = total([ops.cast(x >= best - self.tie * largest, "int32") for _, x, _ in classes])
        return tuple(ops.reshape(part, (-1,)) for part in (rank, loss, near > 1))


class YesNo:
    """Several yes-or-no answers an image: the loss is their mean binary cross-entropy, in nats.

    An answer is yes where its probability is above one half. Targets: 0 or 1, (n_rows, n).
    """

    def __init__(self, task: Task, tie: float = TIE) -> None:
        self._task, self.tie = task, tie
        self.shape = task.shape

    def _logits(self, outputs: Any) -> Any:
        return ops.reshape(logits_of(outputs, self._task), (-1, *self.shape))

    def scale(self, outputs: Any) -> Any:
        return ops.max(ops.abs(self._logits(outputs)), axis=-1)

    def __call__(self, outputs: Any, targets: Any, scale: Any = None) -> tuple[Any, Any, Any]:
        logits = self._logits(outputs)
        raw = ops.reshape(ops.cast(outputs, "float32"), (-1, *self.shape))
        targets = ops.reshape(ops.cast(targets, "float32"), (-1, *self.shape))
        yes = raw > (0.5 if _as_is(self._task) else 0.0)
        wrong = ops.cast(ops.not_equal(yes, targets > 0.5), "int32")
        loss = -ops.mean(_log_yes(logits * (2 * targets - 1)), axis=-1)
        largest = ops.max(ops.abs(logits), axis=-1)
        if scale is not None:
            largest = ops.maximum(largest, ops.reshape(scale, (-1,)))
        tied = ops.any(ops.abs(logits) <= self.tie * largest[:, None], axis=-1)
        return wrong, loss, tied


class _Numbers:
    """Answers that are neither right nor wrong: one column that is never right."""

    shape: tuple[int, ...]

    def scale(self, outputs: Any) -> Any:
        return ops.zeros((ops.shape(outputs)[0],), "float32")

    def _counted(self, loss: Any) -> tuple[Any, Any, Any]:
        loss = ops.reshape(ops.cast(loss, "float32"), (-1,))
        return ops.ones_like(ops.cast(loss[:, None], "int32")), loss, ops.zeros_like(loss) > 0


class Deviation(_Numbers):
    """Regression: the squared or absolute error, averaged over the numbers of an answer."""

    def __init__(self, task: Task) -> None:
        self._absolute, self.shape = task.absolute, task.shape

    def __call__(self, outputs: Any, targets: Any, scale: Any = None) -> tuple[Any, Any, Any]:
        n = 1
        for size in self.shape:
            n *= size
        away = ops.reshape(ops.cast(outputs, "float32"), (-1, n)) - ops.reshape(
            ops.cast(targets, "float32"), (-1, n)
        )
        return self._counted(ops.mean(ops.abs(away) if self._absolute else away**2, axis=-1))


class Scored(_Numbers):
    """A score of the user's own. If higher is better, the loss is the negative score."""

    def __init__(self, task: Task) -> None:
        self._task, self.shape = task, task.shape

    def __call__(self, outputs: Any, targets: Any, scale: Any = None) -> tuple[Any, Any, Any]:
        score = self._task.score
        if score is None:
            raise ValueError("a task of kind 'score' needs its score")
        outputs = ops.reshape(ops.cast(outputs, "float32"), (-1, *self.shape))
        found = ops.cast(score(outputs, targets), "float32")
        return self._counted(-found if self._task.higher_is_better else found)


class Changed:
    """Agreement with the intact network; it needs no labels.

    Targets are the intact network's answers: logits of each class, (n_rows, n), or numbers. For
    classes the loss is the Kullback-Leibler divergence of the lesioned from the intact
    probabilities, in nats; for several yes-or-no answers the mean of their divergences; for a
    regression the squared change.
    """

    def __init__(self, task: Task, tie: float = TIE) -> None:
        self._task, self.tie, self.shape = task, tie, task.shape
        self._numbers = Deviation(task) if task.of == "regression" else None

    def targets(self, outputs: Any) -> Any:
        """The intact outputs in the form in which they serve as targets."""
        if self._numbers is not None:
            return ops.cast(outputs, "float32")
        return logits_of(outputs, self._task)

    def scale(self, outputs: Any) -> Any:
        if self._numbers is not None:
            return self._numbers.scale(outputs)
        return ops.max(ops.abs(logits_of(outputs, self._task)), axis=-1)

    def __call__(self, outputs: Any, targets: Any, scale: Any = None) -> tuple[Any, Any, Any]:
        if self._numbers is not None:
            return self._numbers(outputs, targets)
        n = self._task.n_columns
        logits = ops.reshape(logits_of(outputs, self._task), (-1, n))
        intact = ops.reshape(ops.cast(targets, "float32"), (-1, n))
        largest = ops.max(ops.abs(logits), axis=-1)
        if scale is not None:
            largest = ops.maximum(largest, ops.reshape(scale, (-1,)))
        if self._task.of == "labels":
            wrong = ops.cast(ops.not_equal(logits > 0, intact > 0), "int32")
            yes = ops.sigmoid(intact)
            # Computed with logarithms, so that a probability of 0 or 1 gives no infinity.
            loss = yes * (_log_yes(intact) - _log_yes(logits)) + (1 - yes) * (
                _log_yes(-intact) - _log_yes(-logits)
            )
            tied = ops.any(ops.abs(logits) <= self.tie * largest[:, None], axis=-1)
            return wrong, ops.mean(loss, axis=-1), tied
        before, now = ops.log_softmax(intact, axis=-1), ops.log_softmax(logits, axis=-1)
        loss = ops.sum(ops.exp(before) * (before - now), axis=-1)
        best = ops.max(logits, axis=-1, keepdims=True)
        near = ops.sum(ops.cast(logits >= best - self.tie * largest[:, None], "int32"), axis=-1)
        same = ops.equal(ops.argmax(logits, axis=-1), ops.argmax(intact, axis=-1))
        return 1 - ops.cast(same, "int32"), loss, near > 1
