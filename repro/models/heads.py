"""The answer of a classifier: one of several classes, or a yes and no in one number.

For what measures accuracy and needs classes: the callback, recovery and the selectivity
regularizer. `head` tells what a model's answer is and refuses in one sentence what has no classes;
`inputs_for` brings what a user gave to the order, the ranks and the types of the model's inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from repro import graph

# Rows of probabilities add up to 1 within so much.
_SUMS_TO_ONE = 1e-3
_REGRESSIONS = frozenset(
    "mse mae msle mape meansquarederror meanabsoluteerror meansquaredlogarithmicerror "
    "meanabsolutepercentageerror huber logcosh poisson cosinesimilarity tversky dice".split()
)
_BINARY = frozenset(
    "binarycrossentropy binaryfocalcrossentropy hinge squaredhinge bce bfce".split()
)
_CATEGORICAL = frozenset(
    "sparsecategoricalcrossentropy categoricalcrossentropy categoricalfocalcrossentropy "
    "categoricalhinge categoricalgeneralizedcrossentropy".split()
)


@dataclass(frozen=True)
class Head:
    """What a model answers.

    n_classes: 2 or more. binary: in one number, class 1 where its probability is above 0.5; the
        logit z stands for the two logits 0 and z.
    probabilities: what the model gives; else logits.
    """

    n_classes: int
    binary: bool
    probabilities: bool

    def classes(self, answers: np.ndarray) -> np.ndarray:
        """int (n,), the class of each answer; a tie goes to the lower class.

        Args:
            answers: (n, n_classes); of a binary head (n, 1) or (n,).
        """
        if not self.binary:
            return np.argmax(answers, axis=-1)
        return (np.reshape(answers, -1) > (0.5 if self.probabilities else 0.0)).astype(np.int64)

    def log_probabilities(self, answers: np.ndarray) -> np.ndarray:
        """float64 (n, n_classes), in nats."""
        scores = np.asarray(answers, np.float64)
        if self.probabilities:
            scores = np.reshape(scores, (len(scores), -1))
            if self.binary:
                scores = np.concatenate([1 - scores, scores], axis=1)
            scores = np.log(np.maximum(scores, np.finfo(np.float32).tiny))
        elif self.binary:
            scores = np.stack([np.zeros(len(scores)), np.reshape(scores, -1)], axis=1)
        top = scores.max(axis=1, keepdims=True)
        return scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))

    @property
    def loss(self) -> keras.losses.Loss:
        """Cross-entropy of the answers with class numbers."""
        if self.binary:
            return keras.losses.BinaryCrossentropy(from_logits=not self.probabilities)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=not self.probabilities)


class NoClasses(ValueError):
    """A model, or labels, in which there are no classes to be right or wrong about."""


def head(
    who: str,
    model: keras.Model,
    targets: Any,
    answers: Callable[[], np.ndarray],
    compiled: keras.Model | None = None,
) -> Head:
    """What the model's one answer is, by its last function, the labels, its loss, and by looking.

    Args:
        who: asks, to begin a sentence with.
        model: functional or Sequential.
        targets: labels as given, an array (n, ...), or a dict or list of the one of this output;
            None where they are not known.
        answers: gives some of the model's answers, (n, ...); asked only where nothing else tells
            whether they are probabilities.
        compiled: the model whose loss tells; None for this one.

    Raises:
        NoClasses: several outputs, several labels an image, a regression, answers of other shapes.
    """
    needs, shape, ending = _shape(who, model)
    if targets is not None:
        targets = np.asarray(targets_of(targets))
    loss = _loss_of(model if compiled is None else compiled)
    if shape in ((), (1,)):
        _check_yes_no(needs, _INSTEAD.get(who, _ELSEWHERE), model, targets, ending, loss)
        probabilities = _are_probabilities(ending, loss, answers, None)
        return Head(2, True, probabilities)
    _check_classes(needs, _INSTEAD.get(who, _ELSEWHERE), model, targets, ending, loss, shape[0])
    return Head(shape[0], False, _are_probabilities(ending, loss, answers, shape[0]))


def check_kind(who: str, model: Any, where: str = "") -> None:
    """Refuses models of Keras 2 and of other libraries, and classes whose layers cannot be seen.

    Args:
        where: how a network within a class of one's own is given, "as model=" for example.

    Raises:
        NoClasses: neither functional nor Sequential, or no model of Keras 3.
    """
    kind = type(model)
    if not isinstance(model, keras.Model):
        keras_2 = "Keras 2" if kind.__module__.split(".")[0] == "tf_keras" else "not Keras 3"
        raise NoClasses(
            f"{who} needs a model of Keras 3, and {kind.__module__}.{kind.__qualname__} is of "
            f"{keras_2}; build the model with `import keras`, version 3, and load its weights with "
            "set_weights"
        )
    if not graph.is_functional(model):
        raise NoClasses(
            f"{who} needs a functional or Sequential network, and {model.name!r} is a class of its "
            f"own ({kind.__qualname__}), whose layers cannot be seen; give the network within it"
            f"{where and ' ' + where}, or keras.Model(x, model.call(x)) with x = keras.Input(shape)"
        )


def n_classes(who: str, model: keras.Model) -> int:
    """Of how many classes a model tells, by its shape alone: 2 of one number.

    Raises:
        NoClasses: several outputs, answers of other shapes, a sigmoid for each of several labels.
    """
    needs, shape, ending = _shape(who, model)
    if shape in ((), (1,)):
        return 2
    _check_classes(needs, _INSTEAD.get(who, _ELSEWHERE), model, None, ending, Compiled(), shape[0])
    return shape[0]


def _shape(who: str, model: keras.Model) -> tuple[str, tuple[int, ...], str]:
    """The beginning of a sentence, the shape of one answer, and the last function."""
    check_kind(who, model)
    read = graph.read(model)
    outputs = keras.tree.flatten(read.outputs)
    needs = f"{who} needs a classifier with one output, of (n_images, n_classes) or (n_images, 1)"
    if len(outputs) != 1:
        raise NoClasses(
            f"{needs}, and {model.name!r} has {len(outputs)} outputs; give the part that ends in "
            "one of them, keras.Model(model.input, model.outputs[0]), as the model"
        )
    shape = tuple(outputs[0].shape[1:])
    if len(shape) > 1 or None in shape:
        raise NoClasses(
            f"{needs}, and {model.name!r} answers with shape {_words(outputs[0].shape)}; "
            + _INSTEAD.get(who, _ELSEWHERE)
        )
    return needs, shape, _ending(read, outputs[0])


# What to do instead, by who asks.
_INSTEAD = {
    "SelectivityRegularized": (
        "class selectivity needs classes: end the model in a score for each, and train it with a "
        "categorical cross-entropy"
    )
}
_ELSEWHERE = (
    "what this measures is which class is answered, and repro.lesion(model, inputs, labels) "
    "measures other answers by their loss, on the trained model"
)


@dataclass(frozen=True)
class Compiled:
    """What the loss that a model was compiled with says of its answers.

    kind: "binary", "classes", "regression", or "" where it says nothing.
    from_logits: of a cross-entropy; None where it does not tell.
    absolute: the mean absolute error.
    """

    kind: str = ""
    from_logits: bool | None = None
    absolute: bool = False

    @classmethod
    def of(cls, model: Any, output: str | int | None = None) -> Compiled:
        """Reads it.

        Args:
            output: of a model with several, the one that is meant.
        """
        loss = getattr(model, "loss", None)
        if isinstance(loss, dict):
            loss = loss.get(output, None) if len(loss) > 1 else next(iter(loss.values()), None)
        elif isinstance(loss, list | tuple):
            names = list(getattr(model, "output_names", ()))
            place = names.index(output) if output in names else output
            place = place if isinstance(place, int) and len(loss) > 1 else 0
            loss = loss[place] if place < len(loss) else None
        if isinstance(loss, str):
            name = loss
        elif isinstance(loss, keras.losses.Loss) and graph.is_of_keras(type(loss)):
            name = type(loss).__name__
        elif callable(loss) and graph.is_of_keras(loss):
            name = loss.__name__
        else:
            return cls()
        name = name.lower().replace("_", "")
        kind = "binary" if name in _BINARY else "classes" if name in _CATEGORICAL else ""
        kind = "regression" if name in _REGRESSIONS else kind
        if kind not in ("binary", "classes") or "crossentropy" not in name and name != "bce":
            return cls(kind, absolute=name in ("mae", "meanabsoluteerror"))
        config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
        return cls(kind, bool(config.get("from_logits", False)))


def _loss_of(model: Any) -> Compiled:
    """What the model's one loss says; of several it is not known which is meant."""
    loss = getattr(model, "loss", None)
    several = isinstance(loss, dict | list | tuple) and len(loss) > 1
    return Compiled() if several else Compiled.of(model)


def _ending(read: graph.Graph, answer: Any) -> str:
    """The last function of a model: "softmax", "sigmoid", "linear" of a layer with weights of
    Keras's own, or "" where that cannot be told."""
    call = graph.by_writer(read.calls).get(id(answer))
    if call is None:
        return ""
    operation = call.operation
    if not graph.is_of_keras(type(operation)):
        return ""
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    name = type(operation).__name__.lower()
    if name in ("softmax", "sigmoid"):  # keras.ops
        return name
    function = getattr(operation, "activation", None)
    for known in ("softmax", "sigmoid", "linear"):
        if function is getattr(keras.activations, known):
            return known if known != "linear" or operation.weights else ""
    return ""


def _check_yes_no(
    needs: str,
    instead: str,
    model: keras.Model,
    targets: np.ndarray | None,
    ending: str,
    loss: Compiled,
) -> None:
    """Refuses a regression."""
    if targets is None:
        yes_no = loss.kind == "binary" or ending == "sigmoid"
        found = "is not compiled with a binary cross-entropy and does not end in a sigmoid"
    else:
        yes_no = targets.dtype.kind in "USO" or bool(np.all((targets == 0) | (targets == 1)))
        yes_no = yes_no and not (loss.kind == "regression" and ending != "sigmoid")
        found = "is trained on labels other than 0 and 1, or on an error of numbers"
        if targets.ndim > 2 or (targets.ndim == 2 and targets.shape[1] != 1):
            yes_no, found = False, f"has labels of shape {_words((None, *targets.shape[1:]))}"
    if not yes_no:
        raise NoClasses(
            f"{needs}, and {model.name!r} gives one number and {found}, as in a regression; "
            + instead
        )


def _check_classes(
    needs: str,
    instead: str,
    model: keras.Model,
    targets: np.ndarray | None,
    ending: str,
    loss: Compiled,
    n_classes: int,
) -> None:
    """Refuses several labels an image, fractions of classes, and numbers."""
    if loss.kind == "regression":
        raise NoClasses(
            f"{needs}, and {model.name!r} is trained on an error of numbers, as in a regression; "
            + instead
        )
    yes_or_no = f"{needs}, and {model.name!r} answers yes or no for each of {n_classes} labels; "
    several = yes_or_no + instead
    one_number = targets is not None and (targets.ndim == 1 or targets.shape[1:] == (1,))
    if not one_number and (ending == "sigmoid" or loss.kind == "binary"):
        raise NoClasses(several)
    if targets is None or one_number:
        return
    if targets.ndim != 2 or targets.shape[1] != n_classes:
        raise NoClasses(
            f"{needs}, and labels have shape {_words((None, *targets.shape[1:]))}; give one class "
            f"number an image, or a row of {n_classes} with a single 1"
        )
    if targets.dtype.kind in "biuf":
        if not np.all((targets == 0) | (targets == 1)):
            raise NoClasses(
                f"{needs}, and labels are fractions or numbers, not one class an image; give "
                "labels.argmax(axis=1) where the largest is the class"
            )
        if not np.all(targets.sum(axis=1, dtype=np.float64) == 1):
            raise NoClasses(several)


def _are_probabilities(
    ending: str, loss: Compiled, answers: Callable[[], np.ndarray], n_classes: int | None
) -> bool:
    if ending in ("softmax", "sigmoid"):
        return True
    if loss.from_logits is not None:
        return not loss.from_logits
    if ending == "linear":
        return False
    # Functions of others: their answers tell.
    found = np.asarray(answers())
    if not found.size or not np.all(np.isfinite(found)):
        return False
    inside = bool(found.min() >= 0 and found.max() <= 1 + _SUMS_TO_ONE)
    if n_classes is None:
        return inside and float(np.ptp(found)) > 0
    return inside and bool(np.all(np.abs(found.sum(axis=-1) - 1) < _SUMS_TO_ONE))


# --- Numbers --------------------------------------------------------------------------------------


def is_finite(tensor: Any) -> bool:
    """Whether all of a tensor's or variable's numbers are finite; whole numbers and texts are."""
    if "float" not in keras.backend.standardize_dtype(tensor.dtype):
        return True
    return bool(ops.convert_to_numpy(ops.all(ops.isfinite(ops.convert_to_tensor(tensor)))))


def has_finite_weights(model: keras.Model) -> bool:
    """Whether none of the model's weights is NaN or infinite.

    It shows what the answers may not: a ReLU may give 0 for NaN.
    """
    return all(is_finite(variable) for variable in model.variables)


# --- Inputs -----------------------------------------------------------------------------------


def inputs_for(
    model: keras.Model, inputs: Sequence[np.ndarray], names: Sequence[str] = ()
) -> list[np.ndarray]:
    """The arrays in the order of the model's inputs, each of its rank.

    As Keras does, a last axis of 1 may be missing or there.

    Args:
        inputs: each (n_images, ...). names: theirs, where they have some.

    Raises:
        ValueError: other inputs than the model has, shapes that do not fit, values that are not
            finite.
    """
    structure = structure_of(model)
    tensors = keras.tree.flatten(structure)
    if names and len(tensors) > 1 or isinstance(structure, dict):
        wanted = sorted(structure) if isinstance(structure, dict) else [t.name for t in tensors]
        given = dict(zip(names, inputs, strict=True)) if names else {}
        if names and set(wanted) <= set(given):
            inputs = [given[name] for name in wanted]
        elif names and not (len(wanted) == len(inputs) == 1):
            raise ValueError(
                f"the model has the inputs {', '.join(wanted)}, and the data give "
                f"{', '.join(names)}; give a dict with the names of the inputs"
            )
    if len(inputs) != len(tensors):
        raise ValueError(
            f"the model has {len(tensors)} inputs, and the data give {len(inputs)}; give a dict "
            "or a list with one array for each input"
        )
    return [_fitted(x, tensor) for x, tensor in zip(inputs, tensors, strict=True)]


def _fitted(x: Any, tensor: Any) -> np.ndarray:
    x, wanted = np.asarray(x), tuple(tensor.shape)
    if x.ndim == len(wanted) - 1 and wanted[-1] == 1:
        x = x[..., None]
    elif x.ndim == len(wanted) + 1 and x.shape[-1] == 1:
        x = x[..., 0]
    fits = x.ndim == len(wanted) and all(
        size in (None, found) for size, found in zip(wanted[1:], x.shape[1:], strict=True)
    )
    if not fits:
        sizes = ", ".join(["n", *(str(size) for size in wanted[1:])])
        raise ValueError(
            f"images must have shape ({sizes}), got {x.shape}; resize or reshape them to the "
            f"model's input {tensor.name!r}"
        )
    if x.dtype.kind == "f" and not np.all(np.isfinite(x)):
        raise ValueError(
            "images hold values that are not finite (NaN or infinity); leave those images out, or "
            "replace the values as before training"
        )
    return x


def tensors_for(model: keras.Model, inputs: Sequence[np.ndarray]) -> list[Any]:
    """The arrays as tensors of the types of the model's inputs."""
    wanted = keras.tree.flatten(structure_of(model))
    return [
        ops.convert_to_tensor(x)
        if tensor.dtype == "string"
        else ops.cast(ops.convert_to_tensor(x), tensor.dtype)
        for x, tensor in zip(inputs, wanted, strict=True)
    ]


def structure_of(model: keras.Model) -> Any:
    """The model's inputs in the structure in which it is called."""
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def outputs_of(model: keras.Model) -> Any:
    """The model's outputs in the structure in which it gives them."""
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def targets_of(targets: Any) -> Any:
    """The labels of a model's one output, which may stand in a dict under its name, as for `fit`.

    Raises:
        NoClasses: labels for several outputs.
    """
    if not isinstance(targets, dict):
        return targets
    if len(targets) != 1:
        raise NoClasses(
            f"labels are given for {', '.join(map(str, targets))}; give those of the one output "
            "that is asked"
        )
    return next(iter(targets.values()))


def answer_of(outputs: Any) -> Any:
    """The one tensor of a model's outputs, which may be a dict or list of it."""
    (answer,) = keras.tree.flatten(outputs)
    return answer


def packed(model: keras.Model, inputs: Sequence[Any]) -> Any:
    """The inputs in the structure in which the model is called."""
    return keras.tree.pack_sequence_as(structure_of(model), list(inputs))


def _words(shape: Sequence[int | None]) -> str:
    each = ["n_images", *("open" if size is None else str(size) for size in shape[1:])]
    return "(" + ", ".join(each) + ")"
