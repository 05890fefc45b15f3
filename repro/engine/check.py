"""Does the engine answer as plain Keras does? What is tried before answers are believed.

`verify` compares the intact network with the user's model; here lesions are compared, with masks
that are assigned in plain Keras, and networks are refused whose answers depend on chance or on
other images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from keras import ops

from repro.engine import passes, verify
from repro.engine.batches import rows
from repro.engine.counts import Outcome
from repro.engine.layout import Fill, Layout
from repro.engine.network import Network
from repro.engine.runner import Runner, to_numpy
from repro.models.layer_state import LayerState
from repro.models.masking import AblationMask

# Images on which it is tried whether a model answers image by image.
_IMAGES_BY_IMAGE = 5
# Images of a call of plain Keras.
_IMAGES_PER_CALL = 100
# Relative difference of the largest answer, by which two calls on the same images may differ.
_CHANCE = 1e-6
# Relative difference of the largest answer that another size of batch may make.
_OTHER_SIZE = 1e-3
# Relative difference of summed losses that another order of summation may make.
_LOSS = 1e-4
# Difference of an image's loss, in nats, that rounding of its logits may make.
_LOSS_OF_IMAGE = 1e-6


class Asked(Protocol):
    """The questions of an engine."""

    layout: Layout

    def evaluate(self, keep: np.ndarray, fill: Fill = None) -> Outcome: ...

    def single_units(self, fill: Fill = None, units: np.ndarray | None = None) -> Outcome: ...

    def cumulative(
        self, orders: np.ndarray, n_ablated: np.ndarray | None = None, fill: Fill = None
    ) -> Outcome: ...


class Assigned:
    """The masked model called by plain Keras, with the weights that the engine was made with and
    any values of its masks.

    Args:
        masks: in the order of the network. state: of the model's layers.
    """

    def __init__(
        self, runner: Runner, masks: Sequence[AblationMask], layout: Layout, state: LayerState
    ) -> None:
        self._weights, self._task, self._layout = runner.weights, runner.task, layout
        self._precision, self._tie = runner.network.precision, runner.tie
        self.masks = masks
        self._plain = verify.Plain(runner.model, runner.task.ending, state)

    def __call__(
        self, images: Any, keep: np.ndarray, fill: np.ndarray | None = None
    ) -> tuple[verify.Answered, list[np.ndarray]]:
        """Answers, and each mask's output, (n_images, *positions, n_units).

        Args:
            keep: (n_units,), 0 where a unit is ablated. fill: float (n_units,), None for zero.
        """
        fill = np.zeros(len(keep)) if fill is None else fill
        values: dict[int, tuple[Any, Any]] = {id(v): (v, x) for v, x in self._weights}
        for mask, kept, of_mask in zip(
            self.masks, self._layout.split(keep), self._layout.split(fill), strict=True
        ):
            spread = np.broadcast_to(of_mask, mask.fill.shape)
            for variable, value in ((mask.keep, kept.astype(np.float32)), (mask.fill, spread)):
                tensor = ops.convert_to_tensor(np.ascontiguousarray(value), variable.dtype)
                values[id(variable)] = variable, tensor
        answered, activations = self._plain(images, list(values.values()))
        by_name = dict(zip(self._plain.masks, activations, strict=True))
        return answered, [by_name[mask.name] for mask in self.masks]

    def one_by_one(
        self, inputs: Any, targets: np.ndarray, unit: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each image's loss and right answers with one unit, or None, clamped to zero.

        Returns:
            float64 (n_images,), and bool (n_images, n), see `Engine.one_by_one`.
        """
        keep = np.arange(self._layout.n_units) != unit
        losses, right = [], []
        for start in range(0, len(targets), _IMAGES_PER_CALL):
            part = slice(start, start + _IMAGES_PER_CALL)
            answered, _ = self(rows(inputs, part), keep)
            losses.append(verify.losses_of(self._task, answered, targets[part]))
            hits = verify.hits_of(self._task, answered.answers, targets[part])
            right.append(hits.reshape(len(hits), -1))
        return np.concatenate(losses), np.concatenate(right)

    def agrees(self, loss_sum: Any, answered: verify.Answered, targets: np.ndarray) -> bool:
        """Whether the summed loss of the engine is that of these answers, but for rounding."""
        losses = verify.losses_of(self._task, answered, targets)
        relative = max(_LOSS, self._tie)
        absolute = relative + _LOSS_OF_IMAGE * len(targets)
        absolute += verify.rounding_of_probabilities(self._task, losses, self._precision).sum()
        return bool(np.isclose(loss_sum, losses.sum(), rtol=relative, atol=absolute))


def check_lesions(
    engine: Asked,
    plain: Assigned,
    bases: Mapping[int, np.ndarray],
    images: Any,
    targets: np.ndarray,
    together: bool,
) -> None:
    """Compares the intact network, and one unit of each layer clamped alone, with plain Keras.

    Args:
        engine: asked about these images. bases: by the number of their mask.
        together: whether to clamp these units all at once too, as a lesion and as a curve. That
            costs little where curves are walked, and the tracing of a whole network elsewhere.

    Raises:
        RuntimeError: an answer is not that of plain Keras; results would be wrong.
    """
    layout = engine.layout
    units = [size // 2 for _, size in layout.layers]
    numbers = np.array(layout.starts) + units
    intact = np.ones(layout.n_units, bool)
    answered, activations = plain(images, intact)
    # Not zero and not what any unit reads, so that the lesion cannot go unnoticed; a power of two,
    # which every type of numbers holds exactly.
    largest = [max(0.25, float(np.max(np.abs(activation)))) for activation in activations]
    values = [2.0 ** (math.floor(math.log2(value)) + 1) for value in largest]
    fill = np.zeros(layout.n_units)
    fill[numbers] = values
    alone = np.arange(layout.n_units) != numbers[:, None]
    every = alone.all(axis=0)
    keep = np.stack([intact, *alone, *([every] if together else [])])
    found = engine.evaluate(keep, fill).loss_sum

    if not plain.agrees(found[0], answered, targets):
        raise RuntimeError("the engine's intact network does not answer as the model does")
    for layer, (unit, value) in enumerate(zip(units, values, strict=True)):
        if layer in bases:
            continue  # its units are not those of the model's mask
        name = layout.layers[layer][0]
        answered, lesioned = plain(images, alone[layer], fill)
        clamped = activations[layer].copy()
        clamped[..., unit] = value
        if not np.array_equal(lesioned[layer], clamped):
            raise RuntimeError(f"unit {unit} of {name} was lesioned but does not read its fill")
        if not plain.agrees(found[1 + layer], answered, targets):
            raise RuntimeError(
                f"with unit {unit} of {name} clamped the engine does not answer as the model"
            )
    if together and not bases:
        answered, _ = plain(images, every, fill)
        curve = engine.cumulative(numbers[None], np.array([len(numbers)]), fill).loss_sum
        if not all(plain.agrees(loss, answered, targets) for loss in (found[-1], curve[0, 0])):
            raise RuntimeError(
                "with one unit of each layer clamped the engine does not answer as the model"
            )


def refuse_chance(network: Network, first: np.ndarray, again: np.ndarray) -> None:
    """Refuses a model that answers otherwise when it is asked again.

    Raises:
        ValueError: the two answers differ.
    """
    if np.abs(first - again).max() > _CHANCE * np.abs(first).max():
        raise _depends(network, "chance")


def refuse_mixed_images(runner: Runner) -> None:
    """Refuses a network whose answer to an image depends on other images.

    Asked where some operations are not known to be free of that. The network is computed on a few
    images, and on the last of them alone.

    Raises:
        ValueError: it depends on them, or the axis of images is not the first throughout.
    """
    network = runner.network
    batch = next(iter(runner.batches))
    images = rows(batch.images, np.arange(_IMAGES_BY_IMAGE) % batch.n_real)
    tensors = [tensor for node in network.nodes for tensor in node.outputs]
    run = passes.plain(passes.Intact(network, {}, None, [*tensors, network.logits], []))
    (*values, first), (*_, alone) = (
        run(some, None)[1] for some in (images, rows(images, slice(-1, None)))
    )
    if any(tuple(value.shape[:1]) != (_IMAGES_BY_IMAGE,) for value in values):
        raise ValueError(
            "the engine needs the axis of images first throughout the model, and an operation "
            f"moves it or takes it away ({', '.join(network.unproven)}); build the model without "
            "that"
        )
    first, alone = (to_numpy(ops.cast(logits, "float32")) for logits in (first, alone))
    differs = np.abs(first[-1] - alone[0]).max()
    if differs > max(_OTHER_SIZE, 2 * runner.tie) * np.abs(first).max():
        raise _depends(network, "the other images of its batch")


def _depends(network: Network, what: str) -> ValueError:
    return ValueError(
        f"the model's answer to an image depends on {what}, which comes from one of "
        f"{', '.join(network.unproven)}; build the model without that: the engine compares answers "
        "with and without a lesion"
    )
