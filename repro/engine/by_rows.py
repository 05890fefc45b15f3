"""Answers any lesions row by row: each batch of images is computed intact once, and then only the
rows that a lesion may change.

A row is one image under one lesion. Where a unit reads its fill anyhow, clamping it changes
nothing, and the intact network's answer is the answer (dead rows, docs/engine.md).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from repro.engine import passes
from repro.engine.batches import Batch
from repro.engine.counts import Counts, Outcome, Rows
from repro.engine.image_answers import Recorder
from repro.engine.layout import Layout
from repro.engine.lesions import Lesions
from repro.engine.runner import Runner, to_numpy

# Pairs of an image and a lesion that are sorted out, evaluated and counted as one piece.
PAIRS_PER_PIECE = 1 << 22
# The most rows of a call; XLA compiles for each power of two up to it.
ROWS_PER_CALL = 1 << 17
# Lesions of many units in one piece.
LESIONS_PER_PIECE = 256
# Narrow networks have a multiple of so many units: full vector registers, and few shapes.
_UNITS_STEP = 16

_Piece = tuple[int, np.ndarray, np.ndarray, Rows]  # pairs; and each row's lesion, image and answer


@dataclass(frozen=True)
class Shared:
    """What lesions of one batch share.

    tensors: on the device, by number. coordinates: of each mask, on the device.
    rows: what the intact network answers on each image. scale: the size of its logits, on the
    device. active: of each mask bool (n_images, n_units), whether clamping changes anything.
    """

    batch: Batch
    tensors: Mapping[int, Any]
    coordinates: Mapping[int, Any]
    rows: Rows
    scale: Any
    active: Mapping[int, np.ndarray]


class ByRows:
    """Any lesions of any network."""

    def __init__(self, runner: Runner, layout: Layout) -> None:
        self._runner, self._layout = runner, layout

    def answer(
        self, lesions: Lesions, fills: Sequence[np.ndarray], record: Recorder | None = None
    ) -> Outcome:
        """An outcome of the lesions' shape. record: of all images, is given every answer."""
        runner, task = self._runner, self._runner.task
        n_lesions = math.prod(lesions.shape)
        counts = Counts.zeros((n_lesions,), task.n_columns)
        begins = lesions.sort(self._layout)
        single = {mask: runner.pass_at(passes.SingleUnit, mask) for mask in begins.single}
        kind = passes.ManyUnits if runner.xla else passes.Narrow
        many: dict[int, Any] = {mask: runner.pass_at(kind, mask) for mask in begins.many}
        every = (*single.values(), *many.values())
        tensors = tuple(dict.fromkeys(tensor for each in every for tensor in each.shared))
        masks = tuple(sorted({*single, *many}))
        n_images = 0
        for batch, found in runner.each(runner.intact(tensors, masks)):
            shared = self._shared(batch, found, tensors, masks, fills)
            columns = task.columns(batch.labels)
            filled: list[Counts | Recorder] = [counts]
            if record:
                filled.append(record.at(n_images, batch.n_real))
            for each in filled:
                each.add_to_all(columns, shared.rows)
            pieces = itertools.chain(
                *(
                    self._single_pieces(single[mask], mask, *chosen, shared, fills)
                    for mask, chosen in begins.single.items()
                ),
                *(
                    self._many_pieces(many[mask], mask, numbers, lesions, shared, fills)
                    for mask, numbers in begins.many.items()
                ),
            )
            untouched = n_lesions * batch.n_real
            for n_pairs, lesion, image, rows in pieces:
                for each in filled:
                    each.replace(lesion, image, columns, shared.rows, rows)
                runner.on_progress(n_pairs)
                untouched -= n_pairs
            runner.on_progress(untouched)
            n_images += batch.n_real
        return counts.outcome(n_images, task.answers_each).reshape(*lesions.shape)

    def _shared(
        self,
        batch: Batch,
        found: tuple[Any, list[Any], list[Any]],
        tensors: tuple[int, ...],
        masks: tuple[int, ...],
        fills: Sequence[np.ndarray],
    ) -> Shared:
        answered, values, coordinates = found
        return Shared(
            batch,
            dict(zip(tensors, values, strict=True)),
            dict(zip(masks, coordinates, strict=True)),
            real_rows(answered, batch),
            answered[3],
            {
                mask: self._runner.active(one, fills[mask])[: batch.n_real]
                for mask, one in zip(masks, coordinates, strict=True)
            },
        )

    def _single_pieces(
        self,
        run: passes.SingleUnit,
        mask: int,
        lesions: np.ndarray,
        units: np.ndarray,
        shared: Shared,
        fills: Sequence[np.ndarray],
    ) -> Iterator[_Piece]:
        """Lesions of one unit each, on the images where that unit is active."""
        fill = np.moveaxis(fills[mask], -1, 0)
        tensors = [*(shared.tensors[tensor] for tensor in run.shared), shared.coordinates[mask]]

        def rows(image: np.ndarray, unit: np.ndarray) -> Rows:
            return answer_rows(self._runner, run, tensors, shared, image, unit, (fill,))

        if not self._runner.xla:
            for lesion, unit in zip(lesions, units, strict=True):
                image = np.flatnonzero(shared.active[mask][:, unit])
                found = rows(image, np.asarray(unit))
                yield shared.batch.n_real, np.full(len(image), lesion), image, found
            return
        for chunk, images in _cut(len(lesions), shared.batch.n_real):
            active = shared.active[mask][images]
            if not np.array_equal(units[chunk], np.arange(active.shape[1])):
                active = active[:, units[chunk]]
            # Image by image: the rows of one image share what they have brought into the cache.
            image, index = np.divmod(np.flatnonzero(active), active.shape[1])
            image += images.start
            yield active.size, lesions[chunk][index], image, rows(image, units[chunk][index])

    def _many_pieces(
        self,
        run: passes.ManyUnits | passes.Narrow,
        first: int,
        numbers: np.ndarray,
        lesions: Lesions,
        shared: Shared,
        fills: Sequence[np.ndarray],
    ) -> Iterator[_Piece]:
        """Lesions of any units from the first mask on."""
        tensors = [shared.tensors[tensor] for tensor in run.shared]
        fills = list(fills[first:])
        filled = any(np.any(fill) for fill in fills)
        split = self._layout.split

        most = 1 if isinstance(run, passes.Narrow) else LESIONS_PER_PIECE
        for chunk, images in _cut(len(numbers), shared.batch.n_real, most):
            kept = lesions.keep(numbers[chunk])
            keeps = split(kept)[first:]
            # A lesion within one layer leaves the images alone on which its units are silent.
            elsewhere = ~np.all([part.all(axis=1) for part in keeps[1:]], axis=0)
            active = _any_of(shared.active[first][images], ~keeps[0]) | elsewhere
            if isinstance(run, passes.ManyUnits):
                image, index = np.divmod(np.flatnonzero(active), active.shape[1])
                padded = np.ones((LESIONS_PER_PIECE, kept.shape[1]), np.float32)
                padded[: len(kept)] = kept
                arguments: tuple[Any, ...] = (split(padded)[first:], fills)
            else:
                image, index = np.flatnonzero(active[:, 0]), None
                one = [part[0] for part in keeps]
                arguments = narrowed(one, fills, filled)
            image += images.start
            rows = answer_rows(self._runner, run, tensors, shared, image, index, arguments)
            place = np.zeros(len(image), np.int64) if index is None else index
            yield active.size, numbers[chunk][place], image, rows


def _any_of(active: np.ndarray, silenced: np.ndarray) -> np.ndarray:
    """Whether any of the silenced units is active.

    Args:
        active: bool (n_images, n_units).
        silenced: bool (n_lesions, n_units).

    Returns:
        bool (n_images, n_lesions).
    """
    # Eight units a byte.
    images, lesions = np.packbits(active, axis=1), np.packbits(silenced, axis=1)
    return np.stack([(images & lesion).any(axis=1) for lesion in lesions], axis=1)


def _cut(n_lesions: int, n_images: int, most: int | None = None) -> Iterator[tuple[slice, slice]]:
    """Pairs of lesions and images in pieces of about `PAIRS_PER_PIECE`."""
    most = min(most or n_lesions, max(1, PAIRS_PER_PIECE))
    for start in range(0, n_lesions, most):
        chunk = slice(start, min(start + most, n_lesions))
        n = max(1, PAIRS_PER_PIECE // (chunk.stop - chunk.start))
        for image in range(0, n_images, n):
            yield chunk, slice(image, min(image + n, n_images))


def real_rows(answered: Sequence[Any], batch: Batch) -> Rows:
    """What the intact network answers on the batch's images without its padding."""
    rank, loss, tied = (to_numpy(part)[: batch.n_real] for part in answered[:3])
    return rank, loss, tied


def narrowed(
    keeps: Sequence[np.ndarray], fills: Sequence[np.ndarray], filled: bool
) -> tuple[Any, ...]:
    """The arguments of `passes.Narrow` for one lesion. keeps: of each mask (n_units,)."""
    computed = [units_to_compute(keep) for keep in keeps]
    return computed, [keep.astype(np.float32) for keep in keeps], list(fills), filled


def units_to_compute(keep: np.ndarray) -> np.ndarray:
    """int32: the units that are kept, and ablated ones up to a round number."""
    n_kept = int(np.count_nonzero(keep))
    n = min(len(keep), math.ceil(max(1, n_kept) / _UNITS_STEP) * _UNITS_STEP)
    return np.sort(np.argsort(~keep.astype(bool), kind="stable")[:n]).astype(np.int32)


def answer_rows(
    runner: Runner,
    run: Any,
    tensors: list[Any],
    shared: Shared,
    image: np.ndarray,
    index: np.ndarray | None,
    arguments: tuple[Any, ...],
) -> Rows:
    """The answers of rows (image, index), in calls that fit in memory; an index without an axis is
    that of all rows.

    Call by call: TensorFlow's own threads share each. Where graphs were traced and run from several
    threads, with oneDNN's convolutions, a lesion came out wrong now and then in first evaluations
    (docs/benchmarks.md).

    Args:
        run: a pass of `passes`. tensors: what the pass shares. arguments: of its lesions.
    """
    n, start = len(image), 0
    image = image.astype(np.int32)
    index = None if index is None else index.astype(np.int32)
    found: list[Rows] = []
    while start < n:
        # A power of two.
        block = 1 << max(0, (runner.elements // max(1, run.width)).bit_length() - 1)
        if runner.xla:
            # XLA compiles for each size: so there are few, and the rest is padding.
            size = min(block, ROWS_PER_CALL)
            while size < min(n - start, ROWS_PER_CALL):
                size *= 2
            block = min(block, size)
        else:
            size = min(block, n - start)
        part = slice(start, min(start + size, n))
        n_part = part.stop - part.start
        # One lesion on every image: nothing to pick.
        whole = n_part == len(shared.scale) and (index is None or not index.ndim)
        given: list[Any] = [None if whole and not runner.xla else image[part]]
        if index is not None:
            given.append(index[part] if index.ndim else index)
        if runner.xla:
            given = [np.int32(n_part), *(np.resize(one, size) for one in given)]
        call = runner.once((run, block), functools.partial(_tallied, runner, run, block))
        try:
            rows = call(tensors, (shared.batch.labels, shared.scale), *given, *arguments)
        except Exception as error:
            runner.make_smaller(error)
            continue
        rank, loss, tied = (to_numpy(row)[:n_part] for row in rows)
        found.append((rank, loss, tied))
        start = part.stop
    if not found:
        return shared.rows[0][:0], np.zeros(0, np.float32), np.zeros(0, bool)
    rank, loss, tied = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rank, loss, tied


def _tallied(runner: Runner, run: Any, block: int) -> Any:
    """A pass compiled together with the tally of its rows."""
    tally = runner.tally

    def plain(tensors: Any, of_images: Any, image: Any, *rest: Any) -> Any:
        labels, scale = (passes.of_images(part, image) for part in of_images)
        return tally(run(tensors, image, *rest), labels, scale)

    def in_blocks(
        tensors: Any, of_images: Any, n_rows: Any, image: Any, index: Any, *arguments: Any
    ) -> Any:
        """In a loop over blocks: what a block needs is allocated once and stays in the cache. Rows
        beyond the given number are padding."""

        def step(start: Any, logits: Any) -> Any:
            rows = (ops.slice(each, (start,), (block,)) for each in (image, index))
            part = ops.cast(run(tensors, *rows, *arguments), "float32")
            place = (start, *[0] * len(tally.shape))
            return start + block, ops.slice_update(
                logits, place, ops.reshape(part, (block, *tally.shape))
            )

        labels, scale = (ops.take(part, image, axis=0) for part in of_images)
        if image.shape[0] == block:
            return tally(run(tensors, image, index, *arguments), labels, scale)
        logits = ops.zeros((*ops.shape(image), *tally.shape))
        start = ops.zeros((), "int32")
        _, logits = ops.while_loop(lambda start, _: start < n_rows, step, (start, logits))
        return tally(logits, labels, scale)

    return passes.compiled(in_blocks if runner.xla else plain, runner.xla)
