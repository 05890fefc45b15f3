"""Lesions of dense ReLU networks on the processor: every unit alone, and cumulative curves.

A curve costs about one pass over the weights, because it is walked from its far end. With every
unit clamped the network answers with a constant; then the units come back, the last one ablated
first. Units of the first mask that come back add their terms to the next layer's pre-activation,

    z += W[u] (h_u - fill_u)

and the layers after it are computed anew, but only from the units that are back already. So a
point costs n_next + n_back * n_classes multiply-adds an image, instead of
n_in * n + n * n_next + n_next * n_classes.

Nothing is ever subtracted: z is the sum of the same terms that a fresh computation adds, in
another order, so its error is bounded by that of any float32 sum, n_units * 2**-24 times the sum
of the terms' magnitudes, and does not build up along the curve.

One unit alone costs n_next for its own term, and then the layers after it.

Blocks of images are computed by threads; `kernels` holds the loops.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from repro.engine import kernels
from repro.engine.counts import Counts
from repro.engine.image_answers import Recorder
from repro.engine.lesions import NO_UNIT

# Images in a block: enough for long loops, few enough that a layer's activations fit in the cache.
BLOCK = 1024


@dataclass(frozen=True)
class Layer:
    """A dense layer from the units of one mask to the units of the next mask, or to the logits.

    kernel: float32 (n_units, n_out). bias: float32 (n_out,).
    basis: orthogonal (n_out, n_out), if the next mask's units are projections on its columns.
    """

    kernel: np.ndarray
    bias: np.ndarray
    basis: np.ndarray | None = None

    def renumbered(self, units: np.ndarray, outputs: np.ndarray | None) -> Layer:
        """The same layer with its inputs and the units of the next mask in another order."""
        kernel = self.kernel[units]
        if outputs is None:
            return Layer(kernel, self.bias)
        # `take` is five times as fast as indexing columns of a kernel of 2048 x 2048.
        if self.basis is not None:
            return Layer(kernel, self.bias, np.take(self.basis, outputs, axis=1))
        return Layer(np.take(kernel, outputs, axis=1), self.bias[outputs])


@dataclass(frozen=True)
class Block:
    """Images that are computed together. units: float32 (n_units of the first mask, n_images),
    activations.
    labels: int32 (n_images,). start: number of the first image."""

    units: np.ndarray
    labels: np.ndarray
    start: int = 0

    def room(self, n_lesions: int, record: Recorder | None) -> tuple[np.ndarray, np.ndarray]:
        """right and losses, (n_lesions, n_images), as the loops write them; of size 0 where they
        are not recorded."""
        n, n_images = n_lesions if record else 0, len(self.labels)
        n_losses = n if record and record.wants_losses else 0
        return np.empty((n, n_images), np.uint8), np.empty((n_losses, n_images), np.float32)


def blocks(activations: np.ndarray, labels: np.ndarray, threads: int) -> list[Block]:
    """Cuts images into blocks of nearly equal size, the same number for each thread.

    Args:
        activations: float32 (n_images, n_units of the first mask). labels: int (n_images,).
    """
    n_images = len(activations)
    n_blocks = -(-n_images // (BLOCK * threads)) * threads
    edges = np.linspace(0, n_images, min(n_blocks, n_images) + 1).astype(int)
    return [
        Block(
            np.ascontiguousarray(activations[start:stop].T),
            labels[start:stop].astype(np.int32),
            int(start),
        )
        for start, stop in zip(edges[:-1], edges[1:], strict=True)
    ]


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
    record: Recorder | None = None,
) -> Counts:
    """Counts at the points of each order: (n_orders, n_points).

    Args:
        layers: ReLU between them; layers[0] reads the units of the first mask.
        activations: float32 (n_images, n_units of the first mask).
        labels: int (n_images,).
        orders: int (n_orders, n), the unit ablated first, second, ..., numbered through all masks.
            Units that an order does not name are never ablated.
        n_ablated: int (n_points,), how many units are ablated at each point; need not be sorted.
        fills: float32 (n_units,) for each mask, the activation of an ablated unit.
        tie, top: see `kernels.tally`.
        threads: None for one a processor.
        on_progress: called with the number of (image, point) pairs just evaluated.
        record: of these images; it is given every answer, the points of the first order first.
    """
    n_threads = threads or os.cpu_count() or 1
    wanted, place = np.unique(n_ablated, return_inverse=True)
    n_classes = layers[-1].kernel.shape[1]
    points = Counts.zeros((len(orders), len(wanted)), n_classes)
    curves = [_Curve(layers, order, wanted, fills) for order in orders]
    cut = blocks(activations, labels, n_threads)
    tasks = [(order, block) for block in cut for order in range(len(orders))]

    def work(task: tuple[int, Block]) -> tuple[Counts, np.ndarray, np.ndarray]:
        order, block = task
        return curves[order](block, tie, top, record)

    for (order, block), (part, right, losses) in _in_threads(work, tasks, n_threads):
        points.add(part, order)
        if record:
            lesions = order * len(n_ablated) + np.arange(len(n_ablated))
            losses = losses[place] if record.wants_losses else losses
            record.at(block.start, len(block.labels)).put(lesions, right[place], losses)
        on_progress(len(block.labels) * len(n_ablated))
    return points[:, place]


def single_units(
    layers: Sequence[Layer],
    activations: np.ndarray,
    labels: np.ndarray,
    units: np.ndarray,
    fills: Sequence[np.ndarray],
    *,
    tie: float,
    top: int,
    threads: int | None = None,
    on_progress: Callable[[int], None] = lambda pairs: None,
    record: Recorder | None = None,
) -> Counts:
    """Counts with each of these units clamped alone: (n,).

    Args:
        units: int (n,), numbered through all masks; or NO_UNIT. Other arguments as for `walk`.
    """
    n_threads = threads or os.cpu_count() or 1
    starts = np.cumsum([0, *(len(fill) for fill in fills)])
    masks = np.searchsorted(starts[1:], units, side="right")
    lesions = [
        (mask, np.flatnonzero(masks == mask), _within(units[masks == mask], starts[mask]))
        for mask in np.unique(masks)
    ]
    arrays = _Arrays.of(layers)
    points = Counts.zeros((len(units),), layers[-1].kernel.shape[1])

    def work(block: Block) -> tuple[Counts, np.ndarray, np.ndarray]:
        counts = Counts.zeros((len(units),), layers[-1].kernel.shape[1])
        right, losses = block.room(len(units), record)
        coordinates, outputs = _intact(layers, block.units)
        for mask, which, chosen in lesions:
            part = Counts.zeros((len(chosen),), counts.n_correct.shape[-1])
            part_right, part_losses = block.room(len(chosen), record)
            kernels.single(
                fills[mask][:, None] - coordinates[mask],
                mask,
                chosen.astype(np.int64),
                arrays.sizes,
                arrays.kernels,
                arrays.constants,
                arrays.bases,
                arrays.with_basis,
                outputs[mask],
                outputs[-1],
                block.labels,
                np.float32(tie),
                top,
                *part.arrays,
                part_right,
                part_losses,
            )
            counts.add(part, which)
            if right.size:
                right[which] = part_right
            if losses.size:
                losses[which] = part_losses
        return counts, right, losses

    found = _in_threads(work, blocks(activations, labels, n_threads), n_threads)
    for block, (part, right, losses) in found:
        points.add(part)
        if record:
            of_block = record.at(block.start, len(block.labels))
            of_block.put(np.arange(len(units)), right, losses)
        on_progress(len(block.labels) * len(units))
    return points


def _within(units: np.ndarray, start: int) -> np.ndarray:
    """Numbers of units within a mask, from numbers through all masks."""
    return np.where(units == NO_UNIT, NO_UNIT, units - start)


class _Curve:
    """One order's walk, over any block of images."""

    def __init__(
        self,
        layers: Sequence[Layer],
        order: np.ndarray,
        n_ablated: np.ndarray,
        fills: Sequence[np.ndarray],
    ) -> None:
        """n_ablated: int (n_points,), increasing."""
        sizes = [len(fill) for fill in fills]
        starts = np.cumsum([0, *sizes])
        rest = np.setdiff1d(np.arange(starts[-1]), order)
        # The order in which units come back. Units that no point ablates are present from the
        # start.
        back = np.concatenate([rest, order[::-1]])
        masks = np.searchsorted(starts[1:], back, side="right")
        returning = [back[masks == mask] - start for mask, start in enumerate(starts[:-1])]
        # Units of each mask are renumbered in the order in which they come back, so the units that
        # are back are always the first ones.
        self.first = returning[0]
        renumbered = [
            layer.renumbered(units, outputs)
            for layer, units, outputs in zip(layers, returning, [*returning[1:], None], strict=True)
        ]
        self.fills = [fill[units] for fill, units in zip(fills, returning, strict=True)]
        self.arrays = _Arrays.of(renumbered, self.fills)
        of_mask = masks[:, None] == np.arange(len(sizes))
        n_back = np.concatenate([np.zeros((1, len(sizes)), int), of_mask.cumsum(axis=0)])
        # The points of the curve, beginning at its far end.
        self.n_back = n_back[len(back) - n_ablated[::-1]].astype(np.int64)

    def __call__(
        self, block: Block, tie: float, top: int, record: Recorder | None
    ) -> tuple[Counts, np.ndarray, np.ndarray]:
        """The counts at each point, (n_points,), and right and losses, see `Block.room`."""
        points = Counts.zeros((len(self.n_back),), self.arrays.sizes[-1])
        right, losses = block.room(len(self.n_back), record)
        kernels.curve(
            block.units[self.first] - self.fills[0][:, None],
            self.arrays.sizes,
            self.arrays.kernels,
            self.arrays.constants,
            _flat(self.fills),
            self.arrays.bases,
            self.arrays.with_basis,
            self.n_back,
            block.labels,
            np.float32(tie),
            top,
            *points.arrays,
            right,
            losses,
        )
        return points[::-1], right[::-1], losses[::-1]


@dataclass(frozen=True)
class _Arrays:
    """Layers as the compiled loops take them: flat arrays, see `kernels.curve`."""

    sizes: np.ndarray
    kernels: np.ndarray
    constants: np.ndarray
    bases: np.ndarray
    with_basis: np.ndarray

    @classmethod
    def of(cls, layers: Sequence[Layer], fills: Sequence[np.ndarray] | None = None) -> _Arrays:
        """constants: each layer's output when every unit reads its fill, or its bias."""
        constants = [layer.bias for layer in layers]
        if fills is not None:
            constants = [
                layer.bias + np.dot(fill, layer.kernel)
                for layer, fill in zip(layers, fills, strict=True)
            ]
        bases = [None, *(layer.basis for layer in layers[:-1])]
        return cls(
            np.array([*(len(layer.kernel) for layer in layers), layers[-1].kernel.shape[1]]),
            _flat([layer.kernel for layer in layers]),
            _flat(constants),
            _flat([basis.T for basis in bases if basis is not None]),
            np.array([basis is not None for basis in bases]),
        )


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    parts = [np.ravel(array).astype(np.float32) for array in arrays]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _intact(
    layers: Sequence[Layer], units: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Activations of each mask's units and outputs of each layer without a lesion, (n,
    n_images)."""
    coordinates, outputs = [units], []
    for layer in layers:
        with np.errstate(over="ignore", invalid="ignore"):  # reported with the losses
            outputs.append(np.dot(layer.kernel.T, coordinates[-1]) + layer.bias[:, None])
        rectified = np.maximum(outputs[-1], 0)
        coordinates.append(rectified if layer.basis is None else np.dot(layer.basis.T, rectified))
    return coordinates, outputs


@functools.cache
def _libraries() -> ThreadpoolController:
    """The thread-pool libraries that this process has loaded. Listing them takes 10 ms."""
    return ThreadpoolController()


def _in_threads(
    work: Callable[[Any], Any], tasks: Sequence[Any], threads: int
) -> Iterator[tuple[Any, Any]]:
    """Pairs of a task and its result, computed in threads. Each thread's matrix products run on one
    thread of BLAS; more would wait for each other."""
    with _libraries().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        yield from zip(tasks, pool.map(work, tasks), strict=True)
