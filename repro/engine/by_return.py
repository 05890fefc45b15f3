"""Answers about curves from their far end: units come back, the last one ablated first.

Only the units of the first layer that come back at a point are computed there. `walk` does the same
for whole dense networks; this way needs one linear map alone, such as a convolution, and computes
what follows anew at each point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from repro.engine import passes
from repro.engine.batches import Batch
from repro.engine.by_rows import (
    Shared,
    answer_rows,
    narrowed,
    real_rows,
    units_to_compute,
)
from repro.engine.counts import Counts, Outcome
from repro.engine.image_answers import Recorder
from repro.engine.layout import Layout
from repro.engine.lesions import Curves
from repro.engine.runner import Runner


class ByReturn:
    """Curves whose units all stand at one mask or after it, where a linear map reads that mask."""

    def __init__(self, runner: Runner, layout: Layout) -> None:
        self._runner, self._layout = runner, layout

    @staticmethod
    def can_answer(runner: Runner, layout: Layout, lesions: Curves) -> bool:
        """Whether one linear map reads the first mask, in units, and a unit's weights can be
        picked; and more follows: a curve through the last layer costs little anyhow."""
        mask = _first_layer(layout, lesions)
        returning = passes.Returning(runner.network, mask)
        linear, ends = returning.linear, returning.output == runner.network.logits
        return linear is not None and linear.narrows and not ends and mask not in runner.bases

    def answer(
        self, lesions: Curves, fills: Sequence[np.ndarray], record: Recorder | None = None
    ) -> Outcome:
        """An outcome (n_orders, n_points). record: of all images, is given every answer."""
        runner, task = self._runner, self._runner.task
        first = _first_layer(self._layout, lesions)
        returning = runner.once(
            ("returning", first), lambda: passes.Returning(runner.network, first)
        )
        run = runner.once(
            ("narrow", first), lambda: passes.Narrow(runner.network, runner.bases, first, True)
        )
        source = runner.network.masks[first].inputs[0]
        tensors = tuple(dict.fromkeys([source, *run.shared]))
        intact = runner.intact(tensors, ())
        n_lesions = math.prod(lesions.shape)

        def curves(batch: Batch) -> Counts:
            answered, values, _ = intact(batch)
            given = dict(zip(tensors, values, strict=True))
            shared = Shared(batch, given, {}, real_rows(answered, batch), answered[3], {})
            counts = Counts.zeros((n_lesions,), task.n_columns)
            filled: list[Counts | Recorder] = [counts]
            if record:
                filled.append(record.at(n_images, batch.n_real))
            for each in filled:
                each.add_to_all(task.columns(batch.labels), shared.rows)
            for order in range(len(lesions.orders)):
                self._curve(order, lesions, fills, first, returning, run, shared, filled)
            return counts

        total = Counts.zeros((n_lesions,), task.n_columns)
        n_images = 0
        for batch, counts in runner.each(curves):
            total.add(counts)
            n_images += batch.n_real
        return total.outcome(n_images, task.answers_each).reshape(*lesions.shape)

    def _curve(
        self,
        order: int,
        lesions: Curves,
        fills: Sequence[np.ndarray],
        first: int,
        returning: passes.Returning,
        run: passes.Narrow,
        shared: Shared,
        filled: Sequence[Counts | Recorder],
    ) -> None:
        """Replaces what was filled in for one order's points on a batch."""
        runner, n_ablated = self._runner, lesions.n_ablated
        start = runner.once((returning, "start"), lambda: passes.compiled(returning.start, False))
        add = runner.once((returning, "add"), lambda: passes.compiled(returning.add, False))
        x = shared.tensors[runner.network.masks[first].inputs[0]]
        other_than_zero = any(np.any(fill) for fill in fills[first:])
        columns = runner.task.columns(shared.batch.labels)
        image = np.arange(shared.batch.n_real)
        ranks = self._layout.split(lesions.ranks[order])[first:]
        at = int(n_ablated.max(initial=0))
        output = start(x, _kept(ranks[0], at), fills[first])
        from_far_end = np.argsort(-n_ablated, kind="stable")
        for point in from_far_end[n_ablated[from_far_end] > 0]:
            n = int(n_ablated[point])
            back = (ranks[0] >= n) & (ranks[0] < at)
            at = n
            if np.any(back):
                units = units_to_compute(back)
                output = add(output, x, units, back[units].astype(np.float32), fills[first])
            given = dict(shared.tensors) | {returning.output: output}
            arguments = narrowed([_kept(part, n) for part in ranks], fills[first:], other_than_zero)
            tensors = [given[tensor] for tensor in run.shared]
            rows = answer_rows(runner, run, tensors, shared, image, None, arguments)
            lesion = np.full(len(image), order * len(n_ablated) + point)
            for each in filled:
                each.replace(lesion, image, columns, shared.rows, rows)
            runner.on_progress(len(image))
        runner.on_progress(len(image) * int(np.count_nonzero(n_ablated == 0)))


def _first_layer(layout: Layout, lesions: Curves) -> int:
    """The first layer of which a unit is ablated."""
    return int(layout.layer_of(lesions.orders.min()))


def _kept(ranks: np.ndarray, n_ablated: int) -> np.ndarray:
    """float32, 1 for the units that are not among the first so many of the order."""
    return (ranks >= n_ablated).astype(np.float32)
