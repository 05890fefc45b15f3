"""Answers about dense ReLU networks on the processor, by the loops of `walk`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from repro.engine import walk
from repro.engine.batches import Batch
from repro.engine.counts import Counts, Outcome
from repro.engine.image_answers import Recorder
from repro.engine.lesions import Curves, SingleUnits
from repro.engine.network import Linear, Network
from repro.engine.runner import Runner, to_numpy
from repro.engine.tally import TOP
from repro.engine.tasks import Task


class ByWalk:
    """Single units and curves of a dense network. layers: see `layers_to_walk`."""

    def __init__(self, runner: Runner, layers: Sequence[walk.Layer]) -> None:
        self._runner, self._layers = runner, layers

    def answer(
        self,
        lesions: SingleUnits | Curves,
        fills: Sequence[np.ndarray],
        record: Recorder | None = None,
    ) -> Outcome:
        """An outcome of the lesions' shape. record: of all images, is given every answer."""
        runner = self._runner
        counts = Counts.zeros(lesions.shape, runner.task.n_columns)
        n_images = 0
        for batch, (_, _, (coordinates,)) in runner.each(runner.intact((), (0,), tallied=False)):
            of_batch = record and record.at(n_images, batch.n_real)
            counts.add(self._of_batch(lesions, batch, to_numpy(coordinates), fills, of_batch))
            n_images += batch.n_real
        return counts.outcome(n_images, runner.task.answers_each)

    def _of_batch(
        self,
        lesions: SingleUnits | Curves,
        batch: Batch,
        units: np.ndarray,
        fills: Sequence[np.ndarray],
        record: Recorder | None,
    ) -> Counts:
        """The counts of a batch. units: (n_images, n_units), coordinates of the first mask."""
        units, labels = units[: batch.n_real], batch.labels[: batch.n_real]
        options: dict[str, Any] = {
            "tie": self._runner.tie,
            "top": TOP,
            "threads": self._runner.threads,
            "on_progress": self._runner.on_progress,
            "record": record,
        }
        given = self._layers, units, labels
        if isinstance(lesions, Curves):
            return walk.walk(*given, lesions.orders, lesions.n_ablated, fills, **options)
        return walk.single_units(*given, lesions.units, fills, **options)


def layers_to_walk(runner: Runner) -> list[walk.Layer] | None:
    """The layers that `walk` needs, if it can answer for this network and task; else None."""
    task = runner.task
    if not runner.on_host or not _reads_logits(task):
        return None
    layers = dense_layers(runner.network, runner.bases)
    if layers is not None and task.kind == "binary":
        # The two logits are 0 and the model's.
        last = layers[-1]
        nothing = np.zeros_like(last.kernel)
        layers[-1] = walk.Layer(
            np.concatenate([nothing, last.kernel], axis=1),
            np.concatenate([np.zeros(1, np.float32), last.bias]),
        )
    return layers


def _reads_logits(task: Task) -> bool:
    return task.has_classes and (not task.probabilities or bool(task.ending))


def dense_layers(network: Network, bases: Mapping[int, np.ndarray]) -> list[walk.Layer] | None:
    """The network after its first mask as dense layers with ReLU and a mask between, or None."""
    layers: list[walk.Layer] = []
    node = network.masks[0]
    for number, mask in enumerate(network.masks):
        if node is not mask or len(mask.shapes[0]) != 1:
            return None
        reader = network.reader(mask.outputs[0])
        if reader is None or type(reader.linear) is not Linear:
            return None
        kernel = reader.linear.kernel[0]
        if number in bases:
            kernel = np.dot(bases[number].T, kernel)
        layers.append(walk.Layer(kernel, reader.linear.bias, bases.get(number + 1)))
        if reader.outputs[0] == network.logits:
            return layers if number == len(network.masks) - 1 else None
        relu = network.reader(reader.outputs[0])
        following = network.reader(relu.outputs[0]) if relu is not None and relu.relu else None
        if following is None:
            return None
        node = following
    return None
