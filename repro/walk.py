"""Cumulative ablation curves of dense networks, at about the cost of one pass over the weights.

A curve is walked from its far end. With every unit clamped the network answers with a constant;
then the units come back one at a time, the last one ablated first. A unit of the first layer that
comes back adds one rank-1 term to the next layer's pre-activation:

    z += (h_u - fill_u) W[u]

and that on those images only where h_u is not its fill: elsewhere nothing changes. The layers
after it are computed anew, but only from the units that are back already. So a point costs
n_next + n_back * n_classes multiply-adds for each image on which the unit is active, instead of
n_in * n + n * n_next + n_next * n_classes for every image.

Nothing is ever subtracted: z is the sum of the same terms that a fresh computation adds, in
another order, so its error is bounded by that of any float32 sum, n_units * 2**-24 times the sum
of the terms' magnitudes, and does not build up along the curve.

NumPy only. Blocks of images are walked by threads: NumPy lets go of the interpreter's lock while
it computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas
from threadpoolctl import threadpool_limits

# Images of one block: large enough that Python's share is small, small enough that the block's
# pre-activations (block * units * 4 bytes) stay in the processor's cache.
BLOCK = 2000


@dataclass(frozen=True)
class Layer:
    """From the units of one mask to those of the next, or to the logits.

    kernel: float32 (n_units, n_out). bias: float32 (n_out,).
    basis: orthogonal (n_out, n_out), if the next mask's units are projections on its columns.
    """

    kernel: np.ndarray
    bias: np.ndarray
    basis: np.ndarray | None = None

    def renumbered(self, units: np.ndarray, outputs: np.ndarray | None) -> Layer:
        """The same layer with its units, and those of the next mask, in another order."""
        kernel = self.kernel[units]
        if outputs is None:
            return Layer(kernel, self.bias)
        if self.basis is not None:
            return Layer(kernel, self.bias, np.ascontiguousarray(self.basis[:, outputs]))
        return Layer(np.ascontiguousarray(kernel[:, outputs]), self.bias[outputs])

    def units(
        self, outputs: np.ndarray, which: slice, memory: np.ndarray | None = None
    ) -> np.ndarray:
        """The next mask's units: ReLU, and its projections if there is a basis.

        Args:
            memory: float32, where to put them; None for a new array.
        """
        if self.basis is not None:
            return np.maximum(outputs, 0) @ self.basis[:, which]
        chosen = outputs[:, which]
        if memory is None:
            return np.maximum(chosen, 0)
        return np.maximum(chosen, 0, out=memory[: chosen.size].reshape(chosen.shape))


@dataclass(frozen=True)
class Points:
    """Counts along curves. n_correct: int64 (n_orders, n_points, n_classes); n_top, n_tied: int64
    (n_orders, n_points); loss_sum: float64 (n_orders, n_points), in nats."""

    n_correct: np.ndarray
    n_top: np.ndarray
    n_tied: np.ndarray
    loss_sum: np.ndarray

    def __add__(self, other: Points) -> Points:
        return Points(
            self.n_correct + other.n_correct,
            self.n_top + other.n_top,
            self.n_tied + other.n_tied,
            self.loss_sum + other.loss_sum,
        )

    @classmethod
    def zeros(cls, n_orders: int, n_points: int, n_classes: int) -> Points:
        shape = (n_orders, n_points)
        return cls(
            np.zeros((*shape, n_classes), np.int64),
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int64),
            np.zeros(shape),
        )


def walk(
    layers: Sequence[Layer],
    activations: np.ndarray,
    labels: np.ndarray,
    orders: np.ndarray,
    n_ablated: np.ndarray,
    fills: Sequence[np.ndarray],
    *,
    tie: float,
    top: int,
    threads: int | None = None,
    on_progress: Callable[[int], None] = lambda pairs: None,
) -> Points:
    """Counts at the points of each order.

    Args:
        layers: ReLU between them; layers[0] reads the units of the first mask.
        activations: float32 (n_images, n_units of the first mask).
        labels: int (n_images,).
        orders: int (n_orders, n_units of all masks): the unit ablated first, second, ...
        n_ablated: int (n_points,), how many are ablated at each point, in any order.
        fills: float32 (n_units,) for each mask, what an ablated unit reads.
        tie: two logits tie when they differ by less than this part of the largest.
        top: an image counts in n_top if its class is among so many best.
        threads: None for one a processor.
        on_progress: called with the number of (image, point) pairs just evaluated.
    """
    n_classes = layers[-1].kernel.shape[1]
    points = Points.zeros(len(orders), len(n_ablated), n_classes)
    slices = [slice(start, start + BLOCK) for start in range(0, len(activations), BLOCK)]
    blocks = [_Block(layers, activations[s], labels[s], fills, tie, top) for s in slices]
    tasks = [(block, order) for block in blocks for order in range(len(orders))]

    def work(task: tuple[_Block, int]) -> Points:
        block, order = task
        return block.curve(orders[order], n_ablated)

    # One thread for each of ours in the matrix products, or they would wait for each other.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for (block, order), part in zip(tasks, pool.map(work, tasks), strict=True):
            points.n_correct[order] += part.n_correct[0]
            points.n_top[order] += part.n_top[0]
            points.n_tied[order] += part.n_tied[0]
            points.loss_sum[order] += part.loss_sum[0]
            on_progress(len(block.labels) * len(n_ablated))
    return points


def multiply_adds(layers: Sequence[Layer], activations: np.ndarray, orders: np.ndarray) -> float:
    """The least multiply-adds of `walk` for two masks, all points: the module's formula, summed.

    A unit of the first mask that comes back costs, on the images where it is active, one row of
    the next kernel and a product of the units that are back with the classes; a unit of the second
    mask costs one row of classes on every image.
    """
    (n_first, n_next), n_classes = layers[0].kernel.shape, layers[1].kernel.shape[1]
    active = np.count_nonzero(activations, axis=0)
    total = 0.0
    for order in orders:
        back = 0
        for unit in order[::-1]:
            if unit < n_first:
                total += active[unit] * (n_next + back * n_classes)
            else:
                back += 1
                total += len(activations) * n_classes
    return total


class _Block:
    """The walk over one block of images."""

    def __init__(
        self,
        layers: Sequence[Layer],
        activations: np.ndarray,
        labels: np.ndarray,
        fills: Sequence[np.ndarray],
        tie: float,
        top: int,
    ) -> None:
        self.layers, self.labels, self.fills, self.tie, self.top = layers, labels, fills, tie, top
        # Units as rows: a unit's change on all images is then one piece of memory.
        self.changes = np.ascontiguousarray((activations - fills[0]).T)
        self.active = [np.flatnonzero(change) for change in self.changes]

    def curve(self, order: np.ndarray, n_ablated: np.ndarray) -> Points:
        """The counts of one order at each point."""
        n_images = len(self.labels)
        sizes = [len(fill) for fill in self.fills]
        starts = np.cumsum([0, *sizes])
        # Units of each mask are renumbered in the order in which they come back: those that are
        # back are then always the first ones, a slice.
        returning = [
            order[::-1][(order[::-1] >= start) & (order[::-1] < start + size)] - start
            for start, size in zip(starts, sizes, strict=False)
        ]
        layers = [
            layer.renumbered(units, outputs)
            for layer, units, outputs in zip(
                self.layers, returning, [*returning[1:], None], strict=True
            )
        ]
        fills = [fill[units] for fill, units in zip(self.fills, returning, strict=True)]
        constants = [
            (layer.bias + fill @ layer.kernel).astype(np.float32)
            for layer, fill in zip(layers, fills, strict=True)
        ]
        # outputs[j]: what layer j gives on every image from the units that are back.
        outputs = [np.repeat(constant[None], n_images, axis=0) for constant in constants]
        scratch = [_Scratch(n_images, layer.kernel.shape[1]) for layer in layers]
        changes = _Changes()
        changes.add(len(order), np.arange(n_images), outputs[-1].copy())
        masks = np.searchsorted(starts[1:], order, side="right")
        n_back = [0] * len(sizes)
        for n in range(len(order) - 1, -1, -1):
            mask = int(masks[n])
            place = n_back[mask]
            n_back[mask] += 1
            if mask == 0:
                unit = returning[0][place]
                images, change = self.active[unit], self.changes[unit]
            else:
                units = layers[mask - 1].units(outputs[mask - 1], slice(place, place + 1))
                change = units[:, 0] - fills[mask][place]
                images = np.flatnonzero(change)
            if len(images) == 0:
                continue
            rows = scratch[mask].rows(outputs[mask], images)
            _add_outer(rows, change[images], layers[mask].kernel[place])
            outputs[mask][images] = rows
            for later in range(mask + 1, len(layers)):
                back = slice(0, n_back[later])
                units = layers[later - 1].units(rows, back, scratch[later - 1].units)
                if fills[later].any():
                    units -= fills[later][back]
                rows = units @ layers[later].kernel[back]
                rows += constants[later]
                outputs[later][images] = rows
            changes.add(n, images, rows)
        return changes.points(self.labels, n_ablated, self.tie, self.top)


class _Scratch:
    """Memory for what a step computes: taken once, so that it stays in the cache."""

    def __init__(self, n_images: int, n_outputs: int) -> None:
        self._rows = np.empty((n_images, n_outputs), np.float32)
        self.units = np.empty(n_images * n_outputs, np.float32)

    def rows(self, outputs: np.ndarray, images: np.ndarray) -> np.ndarray:
        """A copy of these rows."""
        # With another mode NumPy would go through a buffer of its own.
        return np.take(outputs, images, axis=0, out=self._rows[: len(images)], mode="clip")


def _add_outer(rows: np.ndarray, change: np.ndarray, weights: np.ndarray) -> None:
    """rows += change[:, None] * weights, in place and without a temporary array."""
    blas.sger(1.0, weights, change, a=rows.T, overwrite_a=True)


class _Changes:
    """The new logits of the images that each step of a curve changed."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, np.ndarray, np.ndarray]] = []

    def add(self, n_ablated: int, images: np.ndarray, logits: np.ndarray) -> None:
        """With n_ablated units ablated, these images get these logits (n_changed, n_classes)."""
        self._steps.append((n_ablated, images, logits if logits.base is None else logits.copy()))

    def points(self, labels: np.ndarray, n_ablated: np.ndarray, tie: float, top: int) -> Points:
        """The counts at each point: those of the first step, plus every later step's change."""
        sizes = [len(images) for _, images, _ in self._steps]
        n_steps, n_classes = len(sizes), self._steps[0][2].shape[1]
        # 16 bits if they suffice: NumPy then sorts in linear time.
        image = np.concatenate([images for _, images, _ in self._steps]).astype(
            np.min_scalar_type(len(labels))
        )
        step = np.repeat(np.arange(n_steps), sizes)
        parts = [
            tally(part, labels[images], tie)
            for part, images in _in_parts([(logits, images) for _, images, logits in self._steps])
        ]
        rank, loss, tied = (np.concatenate(each) for each in zip(*parts, strict=True))
        by_image = np.argsort(image, kind="stable")
        first = np.flatnonzero(np.diff(image[by_image], prepend=-1))

        def per_step(values: np.ndarray, per: np.ndarray, n: int) -> np.ndarray:
            """(n_steps, n), running sums of what each step changed."""
            ordered = values[by_image].astype(np.float64)
            change = np.diff(ordered, prepend=0.0)
            change[first] = ordered[first]
            unordered = np.empty_like(change)
            unordered[by_image] = change
            sums = np.bincount(step * n + per, unordered, minlength=n_steps * n)
            return sums.reshape(n_steps, n).cumsum(axis=0)

        # The step in force at a point: the last one that left so many units ablated, or more.
        ablated = np.array([n for n, _, _ in self._steps])
        at = np.searchsorted(-ablated, -np.asarray(n_ablated), side="right") - 1
        whole = np.zeros(len(image), np.intp)
        counts = [per_step(rank == 0, labels[image], n_classes)]
        counts += [per_step(value, whole, 1)[:, 0] for value in (rank < top, tied, loss)]
        correct, in_top, n_tied, loss_sum = (count[at] for count in counts)
        whole_numbers = (
            np.rint(count).astype(np.int64)[None] for count in (correct, in_top, n_tied)
        )
        n_correct, n_top, n_tied = whole_numbers
        return Points(n_correct, n_top, n_tied, loss_sum[None])


def _in_parts(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], size: int = 20_000
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs of arrays joined into fewer, each about so long."""
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for pair in pairs:
        held.append(pair)
        if sum(len(one) for one, _ in held) >= size or pair is pairs[-1]:
            first, second = (np.concatenate(each) for each in zip(*held, strict=True))
            yield first, second
            held = []


def tally(
    logits: np.ndarray, labels: np.ndarray, tie: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank of the true class (as in argmax, of equal logits the lower class comes first), loss in
    nats, and whether the two largest logits differ by less than the part `tie` of the largest.

    Args:
        logits: float32 (n, n_classes). labels: int (n,).

    Returns:
        int (n,), float32 (n,), bool (n,).
    """
    of_label = logits[np.arange(len(labels)), labels]
    by_class = np.ascontiguousarray(logits.T)  # long rows are what NumPy reduces fast
    best = by_class.max(axis=0)
    loss = np.log(np.exp(by_class - best).sum(axis=0)) + (best - of_label)
    rounding = np.float32(tie) * np.maximum(best, -by_class.min(axis=0))
    tied = np.count_nonzero(by_class >= best - rounding, axis=0) > 1
    rank = np.count_nonzero(by_class > of_label, axis=0)
    equal = np.flatnonzero(tied)
    if len(equal):
        lower = np.arange(len(by_class))[:, None] < labels[equal]
        same = by_class[:, equal] == of_label[equal]
        rank[equal] += np.count_nonzero(same & lower, axis=0)
    return rank, loss, tied
