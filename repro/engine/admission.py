"""What is checked before a model is asked anything: the masks, the images, the weights, the task.

`Engine` takes what is admitted here; a sentence refuses the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from repro.engine import own_loss, tasks, verify
from repro.engine.batches import checked_input
from repro.engine.examples import Examples, examples
from repro.engine.network import Network, trace
from repro.engine.tasks import Task
from repro.models import heads
from repro.models.graph import is_functional
from repro.models.heads import Compiled
from repro.models.inputs import structure_of
from repro.models.masking import AblationMask, ablation_masks
from repro.models.outputs import names_of, place_of, with_output

# Images on which the network is compared with the user's model.
_IMAGES_TRIED = 32


@dataclass(frozen=True)
class Admitted:
    """A masked model, the images and what is asked of them.

    model: with one output, the one that is asked. reference: the user's own.
    output: as given. outputs: names of the outputs of the user's model, and the place of the one
        that is asked.
    network, masks: the model as operations, and its masks in that order.
    examples: all images with the labels as given.
    few, few_given: some of the images, and their labels as given. answers: the user's model's on
        them, float32 (n, ...).
    """

    model: keras.Model
    reference: keras.Model
    output: str | int | None
    outputs: tuple[Sequence[str], int]
    network: Network
    masks: Sequence[AblationMask]
    task: Task
    examples: Examples
    few: Any
    few_given: np.ndarray | None
    answers: np.ndarray

    def asked_again(self) -> np.ndarray:
        """The answers of the user's model, computed a second time."""
        return verify.answers_of(self.reference, self.few, self.output, self.model)

    def own_loss(self, targets: np.ndarray, mean_loss: float) -> str:
        """See `own_loss.words`.

        Args:
            targets: of the few images, as the task takes them. mean_loss: the engine's on them.
        """
        return own_loss.words(
            self.reference,
            self.output,
            self.task,
            self.few,
            self.few_given,
            targets,
            mean_loss,
            self.network.precision,
        )


def admitted(
    model: keras.Model,
    images: Any,
    labels: Any,
    *,
    task: str | None,
    score: Callable[[Any, Any], Any] | None,
    higher_is_better: bool,
    from_logits: bool | None,
    output: str | int | None,
    reference: keras.Model | None,
) -> Admitted:
    """Arguments and errors as for `Engine`."""
    if from_logits is not None and not isinstance(from_logits, int | np.bool_):
        raise ValueError(f"from_logits must be True, False or None, got {from_logits!r}")
    reference = reference or model
    masked = with_output(model, output if len(model.outputs) > 1 else None)
    masks = {mask.name: mask for mask in ablation_masks(masked)}
    for mask in masks.values():
        _check_intact(mask)
    verify.check_weights(masked)
    whole = reference if is_functional(reference) else model
    outputs = names_of(whole), place_of(whole, output if len(whole.outputs) > 1 else None)
    found = examples(images, labels, masked, *outputs)
    few, few_given = found.pilot(_IMAGES_TRIED)
    _check_inputs(few, masked)
    answers = verify.answers_of(reference, few, output, masked)
    verify.check_finite(reference, answers, few)
    network = trace(masked)
    of_task = tasks.find(
        answers,
        network.shape,
        network.ending,
        few_given if found.is_stream else found.targets,
        task=task,
        score=score,
        higher_is_better=higher_is_better,
        from_logits=from_logits,
        compiled=Compiled.of(reference, output),
        precision=network.precision,
        stay_shares=lambda: heads.stay_shares(masked, lambda: verify.answers_of(masked, few)),
    )
    if network.left_out != bool(of_task.ending):
        network = trace(masked, leave_out=bool(of_task.ending))
    return Admitted(
        masked,
        reference,
        output,
        outputs,
        network,
        [masks[node.name] for node in network.masks],
        of_task,
        found,
        few,
        few_given,
        answers,
    )


def few_targets(found: Examples, targets: np.ndarray | None) -> np.ndarray:
    """The targets of the few images. targets: of all images; None for a stream."""
    if targets is None:
        return np.asarray(found.pilot(_IMAGES_TRIED)[1])
    n = len(found)
    return targets[np.unique(np.linspace(0, n - 1, min(_IMAGES_TRIED, n)).astype(np.int64))]


def _check_inputs(images: Any, model: keras.Model) -> None:
    """Refuses inputs of other shapes than the model's.

    Raises:
        ValueError: see `batches.checked_input`.
    """
    each = images if isinstance(images, tuple) else (images,)
    for one, tensor in zip(each, keras.tree.flatten(structure_of(model)), strict=True):
        checked_input(one, tuple(tensor.shape[1:]))


def _check_intact(mask: AblationMask) -> None:
    ablated = int(np.sum(np.asarray(ops.convert_to_numpy(mask.keep)) != 1))
    if ablated:
        raise ValueError(
            f"{mask.name} already ablates {ablated} units; set its keep to ones: the engine "
            "compares with the intact network"
        )
