"""Is the network that answers the user's network? The last line of defence.

Before anything is measured, what the engine will ask is compared with the user's own model on a few
of the user's own inputs, answers and losses. Where they differ, a sentence names the first layer
whose output does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from scipy import special

from repro.engine import passes
from repro.engine import tally as tallies
from repro.engine.batches import count
from repro.engine.network import Network
from repro.engine.tasks import Task
from repro.models import graph
from repro.models.inputs import structure_of
from repro.models.layer_state import LayerState
from repro.models.masking import AblationMask
from repro.models.outputs import answer_of

# Relative difference of the largest answer that the order of summation and folded normalizations
# can make.
_CLOSE = 2e-4
# Difference of an image's loss, in nats, that they can make.
_LOSS = 2e-3
# Keras cuts losses of probabilities off a little above this loss, in nats.
_CUT = 15.0
# Twice the rounding of a number just below 1, by type.
_ROUNDS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


class NotTheModel(ValueError):
    """The engine would answer for another network than the user's; the message names the layer."""


class Answered(NamedTuple):
    """What a model answered. answers: float32 (n, *shape). logits: float32, what its last function,
    a softmax or sigmoid, was given; None where that is not known."""

    answers: np.ndarray
    logits: np.ndarray | None = None


class Plain:
    """A masked model called by plain Keras, with values in place of its weights.

    Args:
        ending: "softmax" or "sigmoid" where the model's last step is that: what it is given is kept
            then, since a probability of 0 or 1 does not tell it. state: of the model's layers.

    Attributes:
        masks: names of the masks, in the order of the activations.
    """

    def __init__(self, model: keras.Model, ending: str, state: LayerState) -> None:
        self._model, self._state = model, state
        read = graph.read(model)
        masks = [call for call in read.calls if isinstance(call.operation, AblationMask)]
        self.masks = [call.operation.name for call in masks]
        last = read.calls[-1]
        self._dense = last.operation if type(last.operation) is keras.layers.Dense else None
        known = ending in ("softmax", "sigmoid") and len(last.inputs) == 1
        known = known and (self._dense is not None or not getattr(last.operation, "weights", ()))
        before = [last.inputs[0]] if known else []
        tensors = keras.tree.flatten(read.outputs)
        outputs = [*tensors, *(call.flat_outputs[0] for call in masks), *before]
        self._probe = keras.Model(read.inputs, outputs)
        self._known, self._n_masks = known, len(masks)

    def __call__(
        self, images: Any, values: Sequence[tuple[Any, Any]]
    ) -> tuple[Answered, list[np.ndarray]]:
        """Answers, and each mask's output.

        Args:
            images: an array, or a tuple in the order of the model's inputs. values: variables with
                what takes the place of their values.
        """
        given = in_structure(self._model, images)
        given = keras.tree.map_structure(ops.convert_to_tensor, given)

        def call(given: Any) -> Any:
            with self._state.held(), keras.StatelessScope(state_mapping=values):
                return keras.tree.flatten(self._probe(given, training=False))

        answers, *rest = passes.plain(call)(given)
        activations, before = rest[: self._n_masks], rest[self._n_masks :]
        logits = None
        if self._known:
            logits = _float32(before[0])
            if self._dense is not None:
                by_variable = {id(variable): value for variable, value in values}
                kernel = _float32(by_variable[id(self._dense.kernel)])
                logits = np.dot(logits.astype(np.float64), kernel)
                if self._dense.bias is not None:
                    logits = logits + _float32(by_variable[id(self._dense.bias)])
        arrays = [np.asarray(ops.convert_to_numpy(part)) for part in activations]
        return Answered(_float32(answers), logits), [
            array if array.dtype.kind == "f" else array.astype(np.float32) for array in arrays
        ]


def _float32(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def check_weights(model: keras.Model) -> None:
    """Refuses weights that are not finite.

    Raises:
        ValueError: NaN or infinity, and in which weight.
    """
    for variable in model.variables:
        if "float" not in str(variable.dtype):
            continue
        values = np.asarray(ops.convert_to_numpy(ops.cast(variable, "float32")))
        if not np.all(np.isfinite(values)):
            n = int(np.count_nonzero(~np.isfinite(values)))
            raise ValueError(
                f"the weight {variable.path!r} of model {model.name!r} holds {n} values that are "
                "not finite (NaN or infinity), as after a training that diverged; lesion a model "
                "from before that, or train with a smaller learning rate"
            )


def in_structure(model: keras.Model, inputs: Any) -> Any:
    """An input, or a tuple of them in the order of the model's, as the model is called."""
    each = list(inputs) if isinstance(inputs, tuple) else [inputs]
    if not graph.is_functional(model):
        return each[0] if len(each) == 1 else each
    wanted = structure_of(model)
    each = [
        x if str(tensor.dtype) == "string" else np.asarray(x)
        for x, tensor in zip(each, keras.tree.flatten(wanted), strict=True)
    ]
    return keras.tree.pack_sequence_as(wanted, each)


def answers_of(
    model: keras.Model,
    inputs: Any,
    output: str | int | None = None,
    like: keras.Model | None = None,
) -> np.ndarray:
    """float32 (n, ...), what `model.predict` answers.

    A model with a `predict_step` of its own is asked by `predict`; any other is called, which gives
    the same without compiling it.

    Args:
        inputs: an array, or a tuple of them in the order of the model's inputs.
        like: a functional model that takes inputs in the same structure, where this is none.
    """
    given = in_structure(model if graph.is_functional(model) else like or model, inputs)
    if not graph.is_of_keras(type(model).predict_step):
        with passes.without_retracing_warnings():
            found = model.predict(given, verbose=0)
    else:
        given = keras.tree.map_structure(ops.convert_to_tensor, given)
        found = model(given, training=False)
    found = answer_of(model, found, output)
    return np.asarray(ops.convert_to_numpy(ops.cast(found, "float32")))


def check(
    reference: keras.Model,
    network: Network,
    task: Task,
    tally: Any,
    inputs: Any,
    answers: np.ndarray,
    targets: np.ndarray,
) -> float:
    """Compares the engine's network with the user's model; returns the mean loss of the engine's.

    Args:
        reference: the user's model. network, task, tally: the engine's.
        inputs: a few of the user's. answers: the user's model's on them. targets: theirs, as the
            tally takes them.

    Raises:
        NotTheModel: they differ.
    """
    intact = passes.Intact(network, {}, None, [network.logits], [])
    _, (outputs,), _ = passes.plain(intact)(inputs, None)
    found = np.asarray(ops.convert_to_numpy(ending(outputs, task)))
    found = found.reshape(answers.shape) if found.size == answers.size else found
    largest = max(float(np.abs(answers).max(initial=0)), 1e-30)
    close = max(_CLOSE, 3 * tallies.TIES[network.precision]) * largest
    if found.shape != answers.shape or not np.all(np.abs(found - answers) <= close):
        raise NotTheModel(
            f"the engine does not answer as model {reference.name!r} does on these inputs "
            f"({_difference(found, answers)}): {_first_difference(reference, network, inputs)}; "
            "use repro.ablate and model.predict, which ask the model itself"
        )
    if task.kind == "score":
        _check_score(task, outputs, targets)
    _, losses, _ = tally(outputs, ops.convert_to_tensor(targets))
    losses = np.asarray(ops.convert_to_numpy(losses), np.float64)
    mean_loss = float(losses.mean())
    expected = plain_losses(task, answers, targets)
    if expected is not None:
        if task.probabilities:
            losses, expected = np.minimum(losses, _CUT), np.minimum(expected, _CUT)
        tolerance = _LOSS + _of_rounding(task, close, expected, network.precision)
        if not np.all(np.abs(losses - expected) <= tolerance):
            raise NotTheModel(
                f"the engine's loss is {losses.mean():.6g} on these inputs, and that of the "
                f"answers of model {reference.name!r} is {expected.mean():.6g}; say whether they "
                "are logits with from_logits=True or False"
            )
    return mean_loss


def _of_rounding(task: Task, close: float, expected: np.ndarray, precision: str) -> np.ndarray:
    """float64 (n,), how far each loss may be off where answers may be off by `close`."""
    found = 2 * close + _CLOSE * np.abs(expected)
    if task.kind == "regression" and not task.absolute:
        found = found + 2 * close * np.sqrt(expected)
    return np.asarray(found + rounding_of_probabilities(task, expected, precision))


def rounding_of_probabilities(task: Task, losses: np.ndarray, precision: str) -> np.ndarray:
    """float64 (n,), how far each loss may be off because probabilities are rounded.

    Minus the logarithm of a probability that is rounded by u is off by u over the probability; one
    that was computed as 1 - p is rounded by that of a number near 1.

    Args:
        losses: float (n,), in nats. precision: the coarsest type that the model computes in.
    """
    if not task.probabilities:
        return np.zeros(len(losses))
    least = np.minimum(losses * max(1, task.answers_each), _CUT)
    return np.asarray(_ROUNDS[precision] * np.exp(least))


def _check_score(task: Task, outputs: Any, targets: np.ndarray) -> None:
    """Refuses a score of the user's own that does not give a finite number for each input.

    Raises:
        ValueError: what it gives, or what it raises.
    """
    wanted = "score= must give one number for each image, (n_images,), in keras.ops"
    if task.score is None:
        raise ValueError(wanted)
    outputs = ops.cast(outputs, "float32")
    try:
        found = np.asarray(
            ops.convert_to_numpy(task.score(outputs, ops.convert_to_tensor(targets)))
        )
    except Exception as error:  # the user's code may raise anything
        reason = next(iter(str(error).strip().splitlines()), "")
        raise ValueError(
            f"{wanted}; on outputs {tuple(outputs.shape)} of float32 and targets {targets.shape} "
            f"of {targets.dtype} it raises {type(error).__name__}: {reason}"
        ) from error
    if found.shape != (len(targets),) or not np.all(np.isfinite(found)):
        raise ValueError(
            f"{wanted}; got shape {found.shape}"
            + ("" if np.all(np.isfinite(found)) else ", with NaN or infinity")
            + "; take the mean over other axes, and add a small number where it divides"
        )


def check_finite(reference: keras.Model, answers: np.ndarray, inputs: Any) -> None:
    """Refuses answers that are not finite.

    Raises:
        ValueError: NaN or infinity; it names the first layer that gives some.
    """
    if np.all(np.isfinite(answers)):
        return
    where = "its answer"
    for name, value in _layer_outputs(reference, inputs):
        if not np.all(np.isfinite(value)):
            where = f"the output of layer {name!r}"
            break
    raise ValueError(
        f"model {reference.name!r} gives values that are not finite (NaN or infinity) on these "
        f"inputs, first in {where}; scale the inputs as in its training, or lesion a model whose "
        "training did not diverge"
    )


def ending(outputs: Any, task: Task) -> Any:
    """The model's answer from what the engine's network gives: the ending that was left out."""
    outputs = ops.cast(outputs, "float32")
    if task.ending == "softmax":
        return ops.softmax(outputs, axis=-1)
    if task.ending == "sigmoid":
        return ops.sigmoid(outputs)
    return outputs


def plain_losses(task: Task, answers: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
    """float64 (n,), each input's loss by Keras's own losses from the model's answers; None where
    there is nothing to compare with."""
    if task.kind in ("agreement", "score"):
        return None
    from_logits = not task.probabilities
    flat = answers.reshape(len(answers), -1)
    if task.kind == "classes" and task.ending == "sigmoid":  # what Keras looks at behind it
        clipped = np.clip(flat.astype(np.float64), 1e-7, 1 - 1e-7)
        flat, from_logits = (np.log(clipped) - np.log1p(-clipped)).astype(np.float32), True
    if task.kind == "classes":
        found = keras.losses.sparse_categorical_crossentropy(targets, flat, from_logits=from_logits)
    elif task.kind in ("binary", "labels"):
        wanted = np.asarray(targets, np.float32).reshape(flat.shape)
        found = keras.losses.binary_crossentropy(wanted, flat, from_logits=from_logits)
    else:
        wanted = np.asarray(targets, np.float32).reshape(flat.shape)
        error = (
            keras.losses.mean_absolute_error if task.absolute else (keras.losses.mean_squared_error)
        )
        found = error(wanted, flat)
    return np.asarray(ops.convert_to_numpy(found), np.float64).reshape(len(answers))


def losses_of(task: Task, answered: Answered, targets: np.ndarray) -> np.ndarray:
    """float64 (n,), each input's loss from the model's answers, in NumPy and in float64.

    Args:
        targets: as the task's tally takes them.
    """
    answers = answered.answers
    flat = answers.astype(np.float64).reshape(len(answers), -1)
    if task.kind == "score":
        if task.score is None:
            raise ValueError("a task of kind 'score' needs its score")
        given = ops.convert_to_tensor(answers.astype(np.float32))
        found = _numpy64(task.score(given, ops.convert_to_tensor(targets)))
        return -found if task.higher_is_better else found
    if task.reads == "regression":
        away = flat - targets.astype(np.float64).reshape(flat.shape)
        return np.mean(np.abs(away) if task.absolute else away**2, axis=1)
    logits = flat
    if task.probabilities and answered.logits is not None:
        logits = answered.logits.astype(np.float64).reshape(flat.shape)
    elif task.probabilities:
        # Where the engine leaves a softmax or sigmoid out, it sees further than Keras.
        low = np.finfo(np.float32).tiny if task.ending else keras.config.epsilon()
        high = 1 - (np.finfo(np.float64).eps if task.ending else keras.config.epsilon())
        clipped = np.clip(flat, low, high)
        logits = np.log(clipped)
        if task.reads != "classes" or task.ending == "sigmoid":
            logits = logits - np.log1p(-clipped)
    if task.reads == "binary":
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    if task.reads == "labels":
        if task.kind == "agreement":
            intact = targets.astype(np.float64).reshape(logits.shape)
            yes = 1 / (1 + np.exp(-intact))
            both = yes * (_log_yes(intact) - _log_yes(logits))
            both += (1 - yes) * (_log_yes(-intact) - _log_yes(-logits))
            return both.mean(axis=1)
        wanted = targets.astype(np.float64).reshape(logits.shape)
        return np.mean(-wanted * _log_yes(logits) - (1 - wanted) * _log_yes(-logits), axis=1)
    log_p = special.log_softmax(logits, axis=1)
    if task.kind == "agreement":
        before = special.log_softmax(targets.astype(np.float64), axis=1)
        return np.sum(np.exp(before) * (before - log_p), axis=1)
    return -log_p[np.arange(len(targets)), targets]


def hits_of(task: Task, answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """bool (n,) or (n, n_labels), whether each answer is right; (n, 0) where none is."""
    flat = answers.reshape(len(answers), -1)
    threshold = 0.5 if task.probabilities else 0.0
    if not task.has_accuracy:
        return np.zeros((len(answers), 0), bool)
    if task.reads == "labels":
        wanted = targets > 0 if task.kind == "agreement" else targets > 0.5
        return (flat > threshold) == wanted.reshape(flat.shape)
    found = flat[:, 0] > threshold if task.reads == "binary" else flat.argmax(axis=1)
    wanted = targets.argmax(axis=1) if task.kind == "agreement" else targets
    return found == wanted


def _log_yes(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the sigmoid."""
    return -np.logaddexp(0, -logits)


def _numpy64(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor), np.float64)


def _difference(found: np.ndarray, answers: np.ndarray) -> str:
    if found.shape != answers.shape:
        return f"shape {found.shape} for {answers.shape}"
    return f"they differ by up to {np.nanmax(np.abs(found - answers)):.3g}"


def _layer_outputs(model: keras.Model, inputs: Any) -> list[tuple[str, np.ndarray]]:
    """Each layer's output by plain calls of the layers one after the other, in inference; [] where
    the layers cannot be seen."""
    from repro.engine.network import in_inference

    try:
        read = graph.read(model)
    except ValueError:
        return []
    found: list[tuple[str, np.ndarray]] = []

    def visit(call: graph.Call) -> Any:
        kwargs = in_inference(call.operation, dict(call.kwargs))
        outputs = call.operation(*call.args, **kwargs)
        flat = keras.tree.flatten(outputs)
        if len(flat) == 1 and "string" not in str(flat[0].dtype):
            value = np.asarray(ops.convert_to_numpy(ops.cast(flat[0], "float32")))
            found.append((call.operation.name, value))
        return outputs

    each = inputs if isinstance(inputs, tuple) else (inputs,)
    tensors = keras.tree.flatten(read.inputs)
    given = [
        ops.convert_to_tensor(x) if tensor.dtype == "string" else ops.cast(x, tensor.dtype)
        for x, tensor in zip(each, tensors, strict=True)
    ]
    read.run(given, visit)
    return found


def where_they_part(model: keras.Model, other: keras.Model, inputs: Any) -> str:
    """Which layer of two models, with layers of the same names, is the first whose output differs,
    for the end of a sentence; "" where that cannot be seen.

    Args:
        inputs: an array, or a tuple of them in the order of the models' inputs.
    """
    theirs = dict(_layer_outputs(other, inputs))
    for name, value in _layer_outputs(model, inputs):
        found = theirs.get(name)
        if found is None or found.shape != value.shape:
            continue
        if not np.all(np.abs(found - value) <= _CLOSE * float(np.abs(value).max(initial=1e-30))):
            return f"; the first layer whose output differs is {name!r}"
    return ""


def _first_difference(reference: keras.Model, network: Network, inputs: Any) -> str:
    """Where the two part, in words."""
    wanted = {}
    for node in network.nodes:
        wanted[node.name.removesuffix("_activation")] = node.outputs[0]
    intact = passes.Intact(network, {}, None, list(wanted.values()), [])
    _, values, _ = passes.plain(intact)(inputs, None)
    ours = dict(zip(wanted, values, strict=True))
    checked = False
    for name, value in _layer_outputs(reference, inputs):
        if name not in ours:
            continue
        mine = np.asarray(ops.convert_to_numpy(ops.cast(ours[name], "float32")))
        if mine.shape != value.shape or wanted[name] == network.logits and network.left_out:
            continue
        checked = True
        close = max(_CLOSE, 3 * tallies.TIES[network.precision]) * max(
            1e-30, float(np.abs(value).max(initial=0))
        )
        if not np.all(np.abs(mine - value) <= close):
            return f"the first layer whose output differs is {name!r}"
    if checked:
        return (
            "no layer's output differs, so that it is what the model does after them, as a "
            "predict_step or call of its own"
        )
    return f"the first layer whose output differs is not known, of {count(inputs)} inputs"
