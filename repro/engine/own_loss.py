"""What `model.evaluate` calls the loss, where that is another number than the loss measured here.

A model may be compiled with a focal loss, smoothed labels, an error of another kind or a weight of
its loss; regularizers and `add_loss` add penalties; a class may compute its loss in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from repro.engine import passes
from repro.engine.batches import count
from repro.engine.tasks import Task
from repro.engine.verify import in_structure
from repro.models import graph, heads
from repro.models.outputs import answer_of

# Relative difference of two means that the rounding of a type can make; larger ones show that the
# model was compiled with another loss.
_CLOSE = {"float32": 2e-3, "float16": 5e-3, "bfloat16": 3e-2}


@dataclass(frozen=True)
class _Evaluated:
    """The parts of what `model.evaluate` calls the loss.

    loss: mean of the compiled loss, with its weight. name: of that loss.
    of_weights, of_activity: penalties of regularizers of weights, which depend on no image; those
        of activities and of `add_loss`.
    """

    loss: float
    name: str
    of_weights: float = 0.0
    of_activity: float = 0.0


def words(
    reference: keras.Model,
    output: str | int | None,
    task: Task,
    inputs: Any,
    given: Any,
    targets: np.ndarray,
    mean_loss: float,
    precision: str,
) -> str:
    """A sentence where `model.evaluate` gives another loss than is measured; else "".

    Args:
        reference: the user's model. output: of several, the one that is asked.
        inputs: a few of the user's. given: their labels, in the user's own form; None without any.
        targets: their labels as the task takes them. mean_loss: the task's on them.
        precision: the coarsest type that the model computes in.
    """
    if task.kind in ("agreement", "score") or given is None:
        return ""
    try:
        found = _evaluated(reference, output, task, inputs, np.asarray(given), targets)
    except Exception:  # the user's code may need more than labels and answers
        return ""
    if found is None:
        return ""
    close = _CLOSE[precision] * max(abs(found.loss), abs(mean_loss), 1e-2)
    n = count(inputs)
    said = []
    if not abs(found.loss - mean_loss) <= close:
        said.append(
            f"the loss here is the {task.loss_words}, {mean_loss:.4g} on {n} of the images; "
            f"model.evaluate counts {found.name}, {found.loss:.4g} on these; give score= to "
            "measure another loss"
        )
    if abs(found.of_weights) > close:
        said.append(
            f"the loss here leaves out the penalty of regularizers, {found.of_weights:.4g}, which "
            "model.evaluate adds and which depends on no image"
        )
    if abs(found.of_activity) > close:
        said.append(
            "the loss here leaves out what activity regularizers and add_loss add to that of "
            f"model.evaluate, {found.of_activity:.4g} on {n} of the images"
        )
    return "; ".join(said)


def _evaluated(
    reference: keras.Model,
    output: str | int | None,
    task: Task,
    inputs: Any,
    given: np.ndarray,
    targets: np.ndarray,
) -> _Evaluated | None:
    """None for a model that was not compiled with a loss."""
    loss = heads.loss_of(reference, output)
    whole = not graph.is_of_keras(type(reference).compute_loss)
    if loss is None and not whole:
        return None
    name = "" if loss is None else _name(loss)
    labels = _labels(name, task, given, targets)
    function = keras.losses.get(loss)

    def parts(inputs: Any, labels: Any) -> Any:
        # Nothing that the model's own code assigns, as to a metric, is kept.
        with keras.StatelessScope(collect_losses=True) as scope:
            outputs = reference(inputs, training=False)
            found = answer_of(reference, outputs, output)
            if task.kind != "classes":  # Keras gives labels the rank of answers
                labels = ops.reshape(labels, found.shape)
            if whole:
                own = reference._compute_loss(inputs, labels, outputs, None, training=False)
                return ops.mean(own), ops.zeros(())
            return ops.mean(function(labels, found)), _sum(scope.losses)

    tensors = keras.tree.map_structure(ops.convert_to_tensor, in_structure(reference, inputs))
    # This is compiled: Keras's losses look behind a last softmax only in a graph.
    found = passes.compiled(parts, False)(tensors, ops.convert_to_tensor(labels))
    own, of_activity = (float(ops.convert_to_numpy(part)) for part in found)
    if whole:
        return _Evaluated(own, "the loss that the model's own compute_loss computes")
    weight = _weight(reference, output)
    words = f"{name} as it was compiled" if weight == 1 else f"{weight:g} times {name}"
    of_weights = float(ops.convert_to_numpy(_sum(reference._get_regularization_losses())))
    return _Evaluated(weight * own, words, of_weights, of_activity)


def _name(loss: Any) -> str:
    if isinstance(loss, str):
        return loss
    return str(getattr(loss, "__name__", type(loss).__name__))


def _labels(name: str, task: Task, given: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Labels in the form that the loss takes: as they were given, but for losses of Keras that take
    only rows of ones, or only class numbers, and for words."""
    if task.kind != "classes":
        return (targets if given.dtype.kind in "USOM" else given).astype(np.float32)
    kind = name.lower()
    in_rows = given.shape[1:] == (task.n_columns,)
    if kind.startswith("categorical") and not in_rows:
        return np.eye(task.n_columns, dtype=np.float32)[targets]
    return targets if kind.startswith("sparse") or given.dtype.kind in "USOM" else given


def _sum(losses: list[Any]) -> Any:
    return sum((ops.sum(ops.cast(one, "float32")) for one in losses), ops.zeros(()))


def _weight(reference: keras.Model, output: str | int | None) -> float:
    """The weight with which `compile` was told to count the output's loss."""
    weights = getattr(getattr(reference, "_compile_loss", None), "_user_loss_weights", None)
    if weights is None or isinstance(weights, int | float):
        return 1.0 if weights is None else float(weights)
    names = list(getattr(reference, "output_names", ()))
    if isinstance(weights, dict):
        name = names[output] if isinstance(output, int) else output
        found = weights.get(name) if len(weights) > 1 else next(iter(weights.values()))
    else:
        place = names.index(output) if output in names else output
        found = weights[place if isinstance(place, int) and len(weights) > 1 else 0]
    return 1.0 if found is None else float(found)
