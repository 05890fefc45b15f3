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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
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

    def units(self, outputs: np.ndarray, which: slice) -> np.ndarray:
        """The next mask's units, as a new array: ReLU, and its projections if there is a basis."""
        if self.basis is not None:
            return np.maximum(outputs, 0) @ self.basis[:, which]
        return np.maximum(outputs[:, which], 0)


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
        n_images, n_classes = len(self.labels), self.layers[-1].kernel.shape[1]
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
        tallies = _Tallies(self.labels, n_classes, self.tie, self.top)
        tallies.update(np.arange(n_images), outputs[-1])
        points = Points.zeros(1, len(n_ablated), n_classes)
        wanted: dict[int, list[int]] = {}
        for point, n in enumerate(n_ablated):
            wanted.setdefault(int(n), []).append(point)
        masks = np.searchsorted(starts[1:], order, side="right")
        n_back = [0] * len(sizes)
        for n in range(len(order), -1, -1):
            for point in wanted.get(n, ()):
                tallies.write(points, point)
            if n == 0:
                break
            mask = int(masks[n - 1])
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
            rows = outputs[mask][images]
            rows += change[images, None] * layers[mask].kernel[place]
            outputs[mask][images] = rows
            for later in range(mask + 1, len(layers)):
                back = slice(0, n_back[later])
                units = layers[later - 1].units(rows, back)
                units -= fills[later][back]
                rows = units @ layers[later].kernel[back]
                rows += constants[later]
                outputs[later][images] = rows
            tallies.update(images, rows)
        return points


class _Tallies:
    """The running counts of one curve over the images of a block."""

    def __init__(self, labels: np.ndarray, n_classes: int, tie: float, top: int) -> None:
        self.labels, self.classes = labels, np.arange(n_classes)[:, None]
        self.tie, self.top = np.float32(tie), top
        self.hit, self.in_top, self.tied = (np.zeros(len(labels), np.int8) for _ in range(3))
        self.loss = np.zeros(len(labels), np.float64)
        self.n_correct = np.zeros(n_classes, np.int64)
        self.n_top = self.n_tied = 0
        self.loss_sum = 0.0

    def update(self, images: np.ndarray, logits: np.ndarray) -> None:
        """Takes the new logits (n_changed, n_classes) of these images into account."""
        labels = self.labels[images]
        of_label = logits[np.arange(len(images)), labels]
        by_class = np.ascontiguousarray(logits.T)  # long rows are what NumPy reduces fast
        best = by_class.max(axis=0)
        loss = np.log(np.exp(by_class - best).sum(axis=0)) + (best - of_label)
        rounding = self.tie * np.maximum(best, -by_class.min(axis=0))
        tied = (by_class >= best - rounding).sum(axis=0) > 1
        rank = (by_class > of_label).sum(axis=0)
        if tied.any():  # as in argmax, the lower class comes first
            rank += ((by_class == of_label) & (self.classes < labels)).sum(axis=0)
        hit, in_top = rank == 0, rank < self.top
        gained = hit - self.hit[images]
        if gained.any():
            self.n_correct += np.bincount(labels, gained, len(self.n_correct)).astype(np.int64)
            self.hit[images] = hit
        self.n_top += int((in_top - self.in_top[images]).sum())
        self.in_top[images] = in_top
        self.n_tied += int((tied - self.tied[images]).sum())
        self.tied[images] = tied
        self.loss_sum += float((loss - self.loss[images]).sum())
        self.loss[images] = loss

    def write(self, points: Points, point: int) -> None:
        points.n_correct[0, point] = self.n_correct
        points.n_top[0, point] = self.n_top
        points.n_tied[0, point] = self.n_tied
        points.loss_sum[0, point] = self.loss_sum
