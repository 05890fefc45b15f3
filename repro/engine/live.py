"""One lesion after another, all different: the engine's passes, compiled once.

`engine.Engine` is made for sweeps: it compiles a graph for each kind of lesion, which pays over
thousands of lesions and costs seconds for one. Here every lesion goes through one of a few graphs.
A graph begins at a mask, takes any lesion of this mask and of later masks as its input, and reads
everything before the mask from memory (prefix reuse). Only in the lab's child process.
"""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from repro.engine import passes

# Graphs begin at so many masks, evenly spaced. More graphs answer lesions of late layers sooner,
# but each graph holds a tensor for every image.
BEGINNINGS = 3
# Images in a batch: about a tenth of a second on two cores. Work can be cancelled between batches.
MULTIPLICATIONS_AT_ONCE = 3e9
FEWEST_AT_ONCE, MOST_AT_ONCE = 8, 128


def multiplications(network: Any) -> int:
    """Multiplications that the network's linear maps make for one image: the cost of an image.

    Args:
        network: of `repro.engine.network`.
    """
    return sum(
        node.linear.kernel.size * math.prod(node.shapes[0][:-1])
        for node in network.nodes
        if node.linear is not None
    )


class Lesions:
    """A network's answers on its images under any lesion that clamps units to zero.

    Args:
        network: of `repro.engine.network`.
        images: float32 (n_images, ...). labels: int (n_images,), in 0 .. n_classes - 1.
        tally: what counts the network's answers, of `repro.engine.tally`.
        sizes: units of each mask, in the network's order.
        check: called between two batches of images; may raise, to end the work.
    """

    def __init__(
        self,
        network: Any,
        images: np.ndarray,
        labels: np.ndarray,
        tally: Any,
        sizes: list[int],
        check: Callable[[], None] = lambda: None,
    ):
        self._check = check
        affordable = int(MULTIPLICATIONS_AT_ONCE / max(1, multiplications(network)))
        self._at_once = min(MOST_AT_ONCE, max(FEWEST_AT_ONCE, affordable))
        at_once = self._at_once

        self._network, self._labels = network, labels.astype(np.int32)
        self._n_images, self._sizes = len(images), sizes
        self._tally = tally
        self._firsts = sorted({len(sizes) * i // BEGINNINGS for i in range(BEGINNINGS)})
        self._runs = {first: passes.ManyUnits(network, {}, first) for first in self._firsts}
        self._graphs: dict[int, Any] = {}
        tensors = tuple(dict.fromkeys(t for run in self._runs.values() for t in run.shared))
        intact = passes.compiled(passes.Intact(network, {}, self._tally, tensors, ()), xla=False)
        # A last batch that is not full is filled with the first images: another size would be
        # compiled anew.
        self._places = [
            np.arange(start, start + at_once) % len(images)
            for start in range(0, len(images), at_once)
        ]
        self._batches = []
        tallies = []
        for places in self._places:
            tally, values, _ = intact(images[places], self._labels[places])
            self._batches.append(dict(zip(tensors, values, strict=True)))
            tallies.append(tally)
        self._intact = self._counted(tallies)

    @property
    def intact(self) -> tuple[np.ndarray, float]:
        """As `answer`, with no unit ablated."""
        return self._intact

    def answer(self, keep: np.ndarray) -> tuple[np.ndarray, float]:
        """Whether each image is classified correctly, bool (n_images,), and the mean loss in nats.

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
        tallies = []
        for values, places in zip(self._batches, self._places, strict=True):
            self._check()
            shared = [values[tensor] for tensor in run.shared]
            tally = graph(shared, self._labels[places], kept)
            tallies.append([np.asarray(part) for part in tally[:2]])  # waits for the tally
        return self._counted(tallies)

    def n_traces(self) -> int:
        """How many graphs were compiled for lesions: one for each mask that a pass had to begin at,
        however many lesions there were. TensorFlow only."""
        return sum(graph.experimental_get_tracing_count() for graph in self._graphs.values())

    @cached_property
    def _fills(self) -> list[np.ndarray]:
        """Zeros for each mask that broadcast against the mask's activation, (1, ..., n_units)."""
        return [
            np.zeros((*[1] * (len(node.shapes[0]) - 1), size), np.float32)
            for node, size in zip(self._network.masks, self._sizes, strict=True)
        ]

    def _graph(self, first: int) -> Any:
        """The compiled pass that begins at mask `first`. It takes shared tensors, labels and, for
        this mask and all later ones, keeps (1, n_units); it returns the tally of each image."""
        if first not in self._graphs:
            run, fills = self._runs[first], self._fills[first:]
            only = np.zeros(self._at_once, np.int32)  # every row has the same lesion

            def tallied(shared: Any, labels: Any, keeps: Any) -> Any:
                return self._tally(run(shared, None, only, keeps, fills), labels)

            self._graphs[first] = passes.compiled(tallied, xla=False)
        return self._graphs[first]

    def _counted(self, tallies: list[Any]) -> tuple[np.ndarray, float]:
        rank, loss = (
            np.concatenate([np.asarray(tally[part]) for tally in tallies])[: self._n_images]
            for part in (0, 1)
        )
        return rank == 0, float(loss.mean(dtype=np.float64))
