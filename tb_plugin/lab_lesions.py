"""Lesions one at a time, each another one: the engine's passes, compiled once.

`repro.Engine` is made for sweeps: it compiles a graph for each kind of lesion, which pays over
thousands of lesions and costs seconds for one. Here every lesion goes through one of a few graphs.
Each begins at a mask, takes any lesion of that mask and those after it as its input, and finds what
comes before it already computed (prefix reuse). Only in the lab's child process.
"""

import math
from functools import cached_property
from typing import Any

import numpy as np

# Graphs begin at so many masks, evenly spaced: a lesion of late layers is answered sooner, and each
# graph holds a tensor of every image.
BEGINNINGS = 3
# Of images that are computed at a time.
BATCH = 128


def multiplications(network: Any) -> int:
    """Of one image in the network's linear maps: the measure of what it costs.

    Args:
        network: of `repro.network`.
    """
    return sum(
        node.linear.kernel.size * math.prod(node.shapes[0][:-1])
        for node in network.nodes
        if node.linear is not None
    )


class Lesions:
    """What a network answers on its images under any lesion that clamps units to zero.

    Args:
        network: of `repro.network`.
        images: float32 (n_images, ...). labels: int (n_images,), in 0 .. n_classes - 1.
        sizes: units of each mask, in the network's order.
    """

    def __init__(
        self,
        network: Any,
        images: np.ndarray,
        labels: np.ndarray,
        n_classes: int,
        sizes: list[int],
    ):
        from repro import passes

        self._network, self._labels = network, labels.astype(np.int32)
        self._n_images, self._n_classes, self._sizes = len(images), n_classes, sizes
        self._tally = passes.Tally(n_classes, xla=False)
        self._firsts = sorted({len(sizes) * i // BEGINNINGS for i in range(BEGINNINGS)})
        self._runs = {first: passes.ManyUnits(network, {}, first) for first in self._firsts}
        self._graphs: dict[int, Any] = {}
        tensors = tuple(dict.fromkeys(t for run in self._runs.values() for t in run.shared))
        intact = passes.compiled(passes.Intact(network, {}, self._tally, tensors, ()), xla=False)
        # A last batch that is not full begins anew: a second size would be compiled anew.
        self._places = [
            np.arange(start, start + BATCH) % len(images) for start in range(0, len(images), BATCH)
        ]
        self._batches = []
        tallies = []
        for places in self._places:
            tally, values, _ = intact(images[places], self._labels[places])
            self._batches.append(dict(zip(tensors, values, strict=True)))
            tallies.append(tally)
        self._intact = self._counted(tallies)

    def answer(self, keep: np.ndarray) -> tuple[np.ndarray, float]:
        """Correct images of each class, int (n_classes,), and the mean loss in nats.

        Args:
            keep: (n_units,) over all masks, 1 where a unit is intact and 0 where it is ablated.
        """
        keeps = np.split(keep.astype(np.float32), np.cumsum(self._sizes)[:-1])
        touched = [number for number, part in enumerate(keeps) if not part.all()]
        if not touched:
            return self._intact
        first = max(first for first in self._firsts if first <= touched[0])
        run, graph = self._runs[first], self._graph(first)
        kept = [part[None] for part in keeps[first:]]
        tallies = [
            graph([values[tensor] for tensor in run.shared], self._labels[places], kept)
            for values, places in zip(self._batches, self._places, strict=True)
        ]
        return self._counted(tallies)

    @cached_property
    def _fills(self) -> list[np.ndarray]:
        """For each mask zeros that broadcast against its activation, (1, ..., n_units)."""
        return [
            np.zeros((*[1] * (len(node.shapes[0]) - 1), size), np.float32)
            for node, size in zip(self._network.masks, self._sizes, strict=True)
        ]

    def _graph(self, first: int) -> Any:
        """From shared tensors, labels and keeps (1, n_units) of the masks from the first on to the
        tally of each image."""
        if first not in self._graphs:
            from repro import passes

            run, fills = self._runs[first], self._fills[first:]
            only = np.zeros(BATCH, np.int32)  # every row has the same lesion

            def tallied(shared: Any, labels: Any, keeps: Any) -> Any:
                return self._tally(run(shared, None, only, keeps, fills), labels)

            self._graphs[first] = passes.compiled(tallied, xla=False)
        return self._graphs[first]

    def _counted(self, tallies: list[Any]) -> tuple[np.ndarray, float]:
        rank, loss = (
            np.concatenate([np.asarray(tally[part]) for tally in tallies])[: self._n_images]
            for part in (0, 1)
        )
        n_correct = np.bincount(self._labels[rank == 0], minlength=self._n_classes)
        return n_correct, float(loss.mean(dtype=np.float64))
