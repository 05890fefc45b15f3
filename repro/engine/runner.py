"""Runs a network's passes over its images: compiles each pass once, and fits batches in memory.

Every way of answering (`by_rows`, `by_walk`, `by_return`, `noise`) asks its runner for the batches
and for the compiled passes, and tells it when memory ran out.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

from repro.engine import passes
from repro.engine import tally as tallies
from repro.engine.batches import Batch, Batches
from repro.engine.network import Network, Node, values_of
from repro.engine.tally import TIES
from repro.engine.tasks import Task

# A call's rows times the widest activation that it computes, in float32 elements: few enough to
# stay near a processor's cache, more where a GPU wants to be filled.
ELEMENTS_XLA, ELEMENTS_GRAPH, ELEMENTS_GPU = 1 << 20, 1 << 22, 1 << 26
# A batch's images times all activations of the network, which lesions may share, in elements.
ELEMENTS_SHARED = 1 << 27
# The most images of a batch.
IMAGES_PER_BATCH = 10_000

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Runner:
    """What asks one network about its images.

    Args:
        model: the masked model; `network` and `task` are what was read from it.
        bases: by the number of their mask, see `layout.checked_bases`.
        batch_size: the most images that are held at a time with their activations; None for as
            many as fit in `ELEMENTS_SHARED`.
        threads: of this process's processors; None for all.
        on_progress: called with the number of (image, lesion) pairs just evaluated.

    Attributes:
        elements: how many elements a call computes at a time; smaller after memory ran out.
        weights: the model's variables with the values that they had when this was made.
    """

    def __init__(
        self,
        model: keras.Model,
        network: Network,
        task: Task,
        bases: Mapping[int, np.ndarray],
        batch_size: int | None,
        threads: int | None,
        on_progress: Callable[[int], None],
    ) -> None:
        self.model, self.network, self.task, self.bases = model, network, task, bases
        self.threads, self.on_progress = threads, on_progress
        self.weights = values_of(model.variables)
        if batch_size is None:
            batch_size = min(IMAGES_PER_BATCH, ELEMENTS_SHARED // max(1, network.width))
        self.batch_size = batch_size
        # On CPU, XLA makes dense networks faster and convolutions slower by half.
        dense = all(len(mask.shapes[0]) == 1 for mask in network.masks)
        gpu = has_gpu()
        self.xla = dense or gpu or keras.backend.backend() == "jax"
        if self.xla and keras.backend.backend() == "tensorflow":
            after = network.downstream(range(len(network.masks)))
            self.xla = not any(node.on_host for node in after)
        self.on_host = not gpu
        self.elements = ELEMENTS_GPU if gpu else ELEMENTS_XLA if self.xla else ELEMENTS_GRAPH
        self.tie = TIES[network.precision]
        self.tally = tallies.tally_for(task, self.xla, self.tie)
        self._compiled: dict[Any, Any] = {}
        self._batches: Batches | None = None
        self._most_images = batch_size
        self._held: tuple[Any, Any] | None = None  # the only batch, on the device

    def on(self, batches: Batches) -> Runner:
        """The same compiled passes on other images."""
        other = copy.copy(self)
        other._batches, other._held = batches, None
        other._most_images = batches.batch_size
        return other

    @property
    def masks(self) -> Sequence[Node]:
        """The network's masks, in its order."""
        return self.network.masks

    @property
    def batches(self) -> Batches:
        if self._batches is None:
            raise RuntimeError("a runner is given images by `on`")
        return self._batches

    # --- Images -------------------------------------------------------------------------------

    def each(self, work: Callable[[Batch], T]) -> Iterator[tuple[Batch, T]]:
        """Every batch with what comes of it; where memory runs out, its halves, and from then on
        no batch that is larger than they.
        """
        for whole in self.batches:
            parts = [whole]
            while parts:
                batch = parts.pop()
                n_images = len(batch.labels)
                if n_images > self._most_images:
                    parts += reversed(batch.halves())
                    continue
                try:
                    result = work(batch)
                except Exception as error:
                    if not memory_ran_out(error) or n_images == 1:
                        raise
                    self._most_images = (n_images + 1) // 2
                    _log.warning("memory ran out; going on with %d images", self._most_images)
                    parts.append(batch)
                    continue
                yield batch, result

    def on_device(self, batch: Batch) -> tuple[Any, Any]:
        """The batch's images and labels as tensors, held where one batch is all there is."""
        if not self.batches.single or len(batch.labels) < self.batches.batch_size:
            return batch.images, batch.labels
        if self._held is None:
            self._held = keras.tree.map_structure(
                ops.convert_to_tensor, (batch.images, batch.labels)
            )
        return self._held

    def check_unchanged(self) -> None:
        """Refuses a model whose layers were given other variables since; their values may change.

        Raises:
            ValueError: as after `quantize` or `enable_lora`.
        """
        kept = [variable for variable, _ in self.weights]
        now = self.model.variables
        if len(kept) != len(now) or any(a is not b for a, b in zip(kept, now, strict=True)):
            raise ValueError(
                f"the layers of model {self.model.name!r} were given other variables since this "
                "was made, as quantize and enable_lora do; make it anew, as with repro.lesion, to "
                "study the model as it is now"
            )

    def make_smaller(self, error: Exception) -> None:
        """Halves the elements of a call if the error says that memory ran out; raises it if not."""
        if not memory_ran_out(error) or self.elements <= 1:
            raise error
        self.elements //= 2
        _log.warning("memory ran out; going on with %d elements a call", self.elements)

    # --- Compiled passes ----------------------------------------------------------------------

    def once(self, key: Any, build: Callable[[], Any]) -> Any:
        """What `build` returned at the first call with this key."""
        if key not in self._compiled:
            self._compiled[key] = build()
        return self._compiled[key]

    def pass_at(self, kind: Any, mask: int) -> Any:
        """The pass of this kind, of `passes`, that begins at a mask."""
        return self.once((kind, mask), lambda: kind(self.network, self.bases, mask))

    def intact(
        self, tensors: tuple[int, ...], masks: tuple[int, ...], tallied: bool = True
    ) -> Callable[[Batch], Any]:
        """The network without a lesion, compiled, see `passes.Intact`; what XLA may lack is
        computed before it. Without a tally, what comes after the last mask is not computed."""
        tally = self.tally if tallied else None

        def build() -> Any:
            begun = self.network.host if self.xla else ()
            intact = passes.Intact(self.network, self.bases, tally, tensors, masks, begun)
            if not begun:
                return passes.compiled(intact, self.xla)
            beginning = passes.Beginning(self.network, begun, intact.begins)
            first = passes.compiled(beginning, False)

            def after(values: Any, labels: Any) -> Any:
                return intact.after(dict(zip(intact.begins, values, strict=True)), labels)

            rest = passes.compiled(after, self.xla)
            return lambda images, labels: rest(first(images), labels)

        run = self.once(("intact", tensors, masks, tallied), build)
        return lambda batch: run(*self.on_device(batch))

    def answers_to_agree_with(self) -> np.ndarray:
        """What the intact network answers on each image, as targets of its own agreement."""
        intact = self.intact((self.network.logits,), (), tallied=False)
        parts = [
            to_numpy(self.tally.targets(outputs))[: batch.n_real]
            for batch, (_, (outputs,), _) in self.each(intact)
        ]
        return np.concatenate(parts)

    def active(self, coordinates: Any, fill: np.ndarray) -> np.ndarray:
        """bool (n_images, n_units): whether clamping the unit changes anything on the image."""
        # A graph for each rank: TensorFlow would merge maps and vectors into one of unknown rank.
        run = self.once(("active", fill.ndim), lambda: passes.compiled(_differs, self.xla))
        return to_numpy(run(coordinates, np.moveaxis(fill, -1, 0)))

    def summary(self, coordinates: Any, real: np.ndarray) -> list[np.ndarray]:
        """What `activity` gathers of a layer on a batch: for each image and unit the mean, the
        variance and the fraction of zeros over positions; and the sum over real images.

        Args:
            coordinates: (n_images, n_units, *positions). real: float32 (n_images,), 0 for padding.
        """
        key = ("summary", len(coordinates.shape))
        run = self.once(key, lambda: passes.compiled(_summary, self.xla))
        return [to_numpy(part) for part in run(coordinates, real)]


def _summary(coordinates: Any, real: Any) -> tuple[Any, Any, Any, Any]:
    coordinates = ops.cast(coordinates, "float32")
    flat = ops.reshape(coordinates, (*ops.shape(coordinates)[:2], -1))
    zeros = ops.mean(ops.cast(flat == 0, "float32"), axis=2)
    weights = ops.reshape(real, (-1, *[1] * (len(coordinates.shape) - 1)))
    total = ops.sum(coordinates * weights, axis=0)
    return ops.mean(flat, axis=2), ops.var(flat, axis=2), zeros, total


def _differs(coordinates: Any, fill: Any) -> Any:
    differs = ops.not_equal(coordinates, ops.cast(fill, coordinates.dtype))
    return ops.any(ops.reshape(differs, (*ops.shape(coordinates)[:2], -1)), axis=2)


def memory_ran_out(error: Exception) -> bool:
    """Whether the error, or its cause, says so in the words of NumPy, TensorFlow or JAX."""
    signs = ("RESOURCE_EXHAUSTED", "OOM when allocating", "Out of memory", "MemoryError")
    return (
        isinstance(error, MemoryError)
        or isinstance(error.__cause__, MemoryError)
        or any(sign in str(error) for sign in signs)
        or type(error).__name__ == "ResourceExhaustedError"
    )


def has_gpu() -> bool:
    """Whether the backend of Keras computes on a GPU."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # how JAX says that there is none
        return False


def to_numpy(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))
