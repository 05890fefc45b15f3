"""How fragile the answer to each image is (docs/engine.md, "Image by image").

- the fragility of an image: the share of lesions of one unit that change its answer;
- the fewest units that change it, chosen greedily, with a bound from below;
- what it is compared with: the loss of the image, and its margin.

An answer changes where another class is answered than without a lesion, right or wrong. So the
network is asked with its own answers for labels, and "right" means unchanged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.engine import passes, tally
from repro.engine.batches import Batch
from repro.engine.by_rows import Shared, answer_rows, real_rows
from repro.engine.layout import Fill
from repro.engine.runner import Runner, to_numpy
from repro.engine.tasks import Task

# Rows of one call of the greedy choice, for which XLA compiles once.
_ROWS = 1024
# Pairs of units that are lesioned in one question.
PAIRS_AT_ONCE = 1 << 13


@dataclass(frozen=True)
class OwnAnswers:
    """What the network answers without a lesion.

    predicted: int32 (n_images,), the classes; of several yes-or-no answers 0 or 1, (n_images, n).
    loss: float32 (n_images,), of the labels, as `Outcome.loss_sum` sums it.
    margin: float32 (n_images,), the logit of the label less the best of the others, below 0 for a
        wrong answer; of yes-or-no answers the smallest, each by the sign that its label asks for.
        Without labels the margin of the answer itself.
    """

    predicted: np.ndarray
    loss: np.ndarray
    margin: np.ndarray


@dataclass(frozen=True)
class Fragility:
    """How many lesions of one unit change the answer to each image.

    n_changed: int64 (n_images,). n_lesions: how many were made, each of one unit. n_tied: in how
        many pairs of an image and a lesion the two best logits tie within rounding.
    intact: what the network answers without one.
    """

    n_changed: np.ndarray
    n_lesions: int
    n_tied: int
    intact: OwnAnswers

    @property
    def share(self) -> np.ndarray:
        """float64 (n_images,), in [0, 1]: the fragility of each image."""
        return self.n_changed / max(1, self.n_lesions)


@dataclass(frozen=True)
class Flips:
    """The fewest units that change the answer to an image, by greedy choice.

    images: int64 (n,), the images that were asked for.
    units: for each the units in the order in which they were chosen; together they change the
        answer, where the choice came that far.
    n_units: int64 (n,), how many; -1 where so many as were allowed do not change the answer. Never
        fewer than the fewest that do: an upper bound.
    at_least: int64 (n,), a lower bound: 1 where one unit alone changes the answer, 2 where none
        does, and 3 where no two do, if pairs were tried.
    """

    images: np.ndarray
    units: tuple[np.ndarray, ...]
    n_units: np.ndarray
    at_least: np.ndarray

    @property
    def exact(self) -> np.ndarray:
        """bool (n,), whether the two bounds meet."""
        return self.n_units == self.at_least


def check_task(task: Task, what: str) -> None:
    """Refuses answers that cannot change from one to another with a ValueError."""
    if not task.has_accuracy:
        raise ValueError(
            f"{what} counts answers that change to another class, and this task has none "
            f"({task.kind}); importance and its losses are for numbers"
        )


def own_answers(runner: Runner) -> OwnAnswers:
    """What the network answers on its images without a lesion."""
    task = runner.task
    found: list[tuple[np.ndarray, ...]] = []
    intact = runner.intact((runner.network.logits,), ())
    for batch, (answered, (outputs,), _) in runner.each(intact):
        logits = to_numpy(tally.logits_of(outputs, task))[: batch.n_real]
        logits = logits.reshape(batch.n_real, -1)
        raw = to_numpy(outputs).astype(np.float32)[: batch.n_real].reshape(batch.n_real, -1)
        predicted = _predicted(raw, task)
        labels = predicted if task.kind == "agreement" else batch.labels[: batch.n_real]
        found.append((predicted, real_rows(answered, batch)[1], _margin(logits, labels, task)))
    return OwnAnswers(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _predicted(raw: np.ndarray, task: Task) -> np.ndarray:
    """int32, the answers, from the model's outputs (n_images, n)."""
    if task.reads == "classes":
        return raw.argmax(axis=1).astype(np.int32)
    yes = raw > (0.5 if task.probabilities and not task.ending else 0.0)
    return yes.astype(np.int32) if task.reads == "labels" else yes[:, 0].astype(np.int32)


def _margin(logits: np.ndarray, labels: np.ndarray, task: Task) -> np.ndarray:
    """float32 (n_images,). logits: as `tally.logits_of` gives them."""
    if task.reads == "labels":
        return (logits * (2 * labels.astype(np.float32) - 1)).min(axis=1)
    others, image = logits.copy(), np.arange(len(logits))
    others[image, labels] = -np.inf
    return (logits[image, labels] - others.max(axis=1)).astype(np.float32)


def flips(engine: Any, most: int, fill: Fill, try_pairs: bool) -> Flips:
    """The fewest units for every image, see `Engine.flips`.

    Args:
        engine: an `Engine` on the images that are asked for, and on the network's own answers.
    """
    alone = engine.answers(fill=fill, losses=True)
    changed, losses = alone.changed(), np.asarray(alone.losses, np.float64)
    by_one = changed.any(axis=1)
    best = np.where(by_one[:, None] & ~changed, -np.inf, losses).argmax(axis=1)
    units = [np.array([unit]) for unit in best]
    n_units, at_least = np.where(by_one, 1, -1), np.where(by_one, 1, 2)
    hard = np.flatnonzero(~by_one)
    if try_pairs and len(hard) and most > 1:
        part = engine.on_some(hard)
        at_least[hard] = 3
        for both, keep in pairs(engine.layout.n_units):
            changed = part.answers(keep, fill=fill).changed()
            for row in np.flatnonzero(changed.any(axis=1) & (n_units[hard] < 0)):
                units[hard[row]] = both[changed[row].argmax()]
                n_units[hard[row]] = at_least[hard[row]] = 2
        hard = hard[n_units[hard] < 0]
    if len(hard) and most > 1:
        found = engine.on_some(hard).more_units(best[hard], most, fill)
        for image, (chosen, flipped) in zip(hard, found, strict=True):
            units[image], n_units[image] = chosen, len(chosen) if flipped else -1
    return Flips(np.arange(len(units)), tuple(units), n_units, at_least)


def greedy(
    runner: Runner,
    fills: Sequence[np.ndarray],
    first: np.ndarray,
    most: int,
) -> list[tuple[np.ndarray, bool]]:
    """More and more units of each image, until its answer changes.

    Each next unit is one that changes the answer, or, if none does, the one that raises the loss of
    the answer most, among all units that are not chosen yet; of equal ones, the first.

    Args:
        runner: on the images, with the network's own answers for labels.
        fills: of each mask. first: int (n_images,), the unit that each begins with, which does not
            change its answer alone. most: units of an image.

    Returns:
        For each image the units in order, and whether they change its answer.
    """
    run = runner.pass_at(passes.ManyUnits, 0)
    found: list[tuple[np.ndarray, bool]] = []
    for batch, (answered, values, _) in runner.each(runner.intact(run.shared, ())):
        shared = Shared(
            batch,
            dict(zip(run.shared, values, strict=True)),
            {},
            real_rows(answered, batch),
            answered[3],
            {},
        )
        begin = first[len(found) : len(found) + batch.n_real]
        found += _greedy(runner, run, shared, batch, fills, begin, most)
    return found


def _greedy(
    runner: Runner,
    run: passes.ManyUnits,
    shared: Shared,
    batch: Batch,
    fills: Sequence[np.ndarray],
    first: np.ndarray,
    most: int,
) -> list[tuple[np.ndarray, bool]]:
    """As `greedy`, for one batch."""
    n_units = sum(fill.shape[-1] for fill in fills)
    chosen = [[int(unit)] for unit in first]
    changed = np.zeros(batch.n_real, bool)
    for _ in range(1, min(most, n_units)):
        left = np.flatnonzero(~changed)
        if not len(left):
            break
        ablated = np.zeros((len(left), n_units), bool)
        for row, number in enumerate(left):
            ablated[row, chosen[number]] = True
        flips, losses = np.zeros(ablated.shape, bool), np.full(ablated.shape, -np.inf)
        for rows, units in _pieces(~ablated):
            keep = np.ones((_ROWS, n_units), np.float32)
            keep[: len(rows)] = ~ablated[rows]
            keep[np.arange(len(rows)), units] = 0
            keeps = np.split(keep, np.cumsum([fill.shape[-1] for fill in fills])[:-1], axis=1)
            tensors = [shared.tensors[tensor] for tensor in run.shared]
            image, index = left[rows], np.arange(len(rows))
            rank, loss, _tied = answer_rows(
                runner, run, tensors, shared, image, index, (keeps, list(fills))
            )
            flips[rows, units] = (rank != 0).reshape(len(rows), -1).any(axis=1)
            losses[rows, units] = loss
            runner.on_progress(len(rows))
        losses = np.where(flips.any(axis=1, keepdims=True) & ~flips, -np.inf, losses)
        for row, number in enumerate(left):
            unit = int(losses[row].argmax())
            chosen[number].append(unit)
            changed[number] = flips[row, unit]
    return [(np.array(those), bool(one)) for those, one in zip(chosen, changed, strict=True)]


def _pieces(candidates: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns where this is True, `_ROWS` at a time."""
    row, column = np.nonzero(candidates)
    for start in range(0, len(row), _ROWS):
        yield row[start : start + _ROWS], column[start : start + _ROWS]


def pairs(n_units: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of units, a piece at a time: the pairs, int (n, 2), and bool (n, n_units), the
    units that each leaves intact.

    >>> [(two.tolist(), keep.astype(int).tolist()) for two, keep in pairs(2)]
    [([[0, 1]], [[0, 0]])]
    """
    every: Any = itertools.combinations(range(n_units), 2)
    while two := list(itertools.islice(every, PAIRS_AT_ONCE)):
        both = np.array(two)
        keep = np.ones((len(both), n_units), bool)
        np.put_along_axis(keep, both, False, axis=1)
        yield both, keep
