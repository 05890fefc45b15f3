"""The answer of a classifier: one of several classes, or a yes and no in one number.

The callback, recovery and the selectivity regularizer measure accuracy and need classes. `head`
finds out what a model's answer is, and refuses a model without classes in one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy import special

from repro.models import graph
from repro.models.inputs import packed, tensors_for
from repro.models.masking import AblationMask

# Rows of probabilities add up to 1 within this tolerance, by the coarsest type that they were
# computed in. Each probability, and each exponential before it, is rounded by up to half of 2**-24,
# 2**-11 or 2**-8 of its value.
_SUMS_TO_ONE = {"float32": 1e-3, "float16": 3e-3, "bfloat16": 2e-2}
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
    """The kind of answer that a model gives.

    n_classes: 2 or more. binary: the answer is one number, class 1 if its probability is above 0.5;
        the logit z stands for the two logits 0 and z.
    probabilities: whether the model gives probabilities and not logits.
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
        return special.log_softmax(scores, axis=1)

    @property
    def loss(self) -> keras.losses.Loss:
        """Cross-entropy of the answers and class numbers, mean in nats."""
        if self.binary:
            return keras.losses.BinaryCrossentropy(from_logits=not self.probabilities)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=not self.probabilities)


class NoClasses(ValueError):
    """A model or labels without classes: no answer can be right or wrong."""


def head(
    who: str,
    model: keras.Model,
    targets: Any,
    answers: Callable[[], np.ndarray],
    compiled: keras.Model | None = None,
) -> Head:
    """Finds out what the model's one answer is, by its last function, the labels, its loss and its
    answers.

    Args:
        who: name of the caller; sentences begin with it.
        model: functional or Sequential.
        targets: labels as given, an array (n, ...), or a dict or list of the one of this output;
            None where they are not known.
        answers: function that calls the model, without compiling it, and returns some answers,
            (n, ...). It is called only if nothing else tells whether they are probabilities.
        compiled: the model whose loss is read; None for `model`.

    Raises:
        NoClasses: several outputs, several labels an image, a regression, answers of other shapes.
    """
    needs, shape, ending = _shape(who, model)
    if targets is not None:
        targets = np.asarray(targets_of(targets))
    loss = _loss_of(model if compiled is None else compiled)
    precision = precision_of(model)
    if shape in ((), (1,)):
        _check_yes_no(needs, _INSTEAD.get(who, _ELSEWHERE), model, targets, ending, loss)
        probabilities = _are_probabilities(model, ending, loss, answers, None, precision)
        return Head(2, True, probabilities)
    _check_classes(needs, _INSTEAD.get(who, _ELSEWHERE), model, targets, ending, loss, shape[0])
    probabilities = _are_probabilities(model, ending, loss, answers, shape[0], precision)
    return Head(shape[0], False, probabilities)


def check_kind(who: str, model: Any, where: str = "") -> None:
    """Refuses models of Keras 2 and of other libraries, and classes whose layers cannot be seen.

    Args:
        where: how the user passes a network that is inside a class, for example "as model=".

    Raises:
        NoClasses: the model is neither functional nor Sequential, or is not of Keras 3.
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
    """The number of a model's classes, from its output shape alone; one number means 2 classes.

    Raises:
        NoClasses: several outputs, answers of other shapes, a sigmoid for each of several labels.
    """
    needs, shape, ending = _shape(who, model)
    if shape in ((), (1,)):
        return 2
    _check_classes(needs, _INSTEAD.get(who, _ELSEWHERE), model, None, ending, Compiled(), shape[0])
    return shape[0]


def _shape(who: str, model: keras.Model) -> tuple[str, tuple[int, ...], str]:
    """The beginning of an error sentence, the shape of one answer, and the model's last
    function."""
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


# What the user can do instead, by caller.
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
    """What the loss of a compiled model says about the model's answers.

    kind: "binary", "classes", "regression", or "" if the loss does not tell.
    from_logits: that of a cross-entropy; None if the loss does not tell.
    absolute: whether the loss is the mean absolute error.
    """

    kind: str = ""
    from_logits: bool | None = None
    absolute: bool = False

    @classmethod
    def of(cls, model: Any, output: str | int | None = None) -> Compiled:
        """Reads the loss of a model.

        Args:
            output: of a model with several, the one that is meant.
        """
        loss = loss_of(model, output)
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


def loss_of(model: Any, output: str | int | None = None) -> Any:
    """The loss that a model was compiled with, in the form given: a name, a function or a `Loss`;
    None without a loss.

    Args:
        output: of a model with several, the one that is meant.
    """
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        names = list(getattr(model, "output_names", ()))
        output = names[output] if isinstance(output, int) and output < len(names) else output
        return loss.get(output, None) if len(loss) > 1 else next(iter(loss.values()), None)
    if isinstance(loss, list | tuple):
        names = list(getattr(model, "output_names", ()))
        place = names.index(output) if output in names else output
        place = place if isinstance(place, int) and len(loss) > 1 else 0
        return loss[place] if place < len(loss) else None
    return loss


def _loss_of(model: Any) -> Compiled:
    """What the model's one loss says. Several losses say nothing: it is not known which one is
    meant."""
    loss = getattr(model, "loss", None)
    several = isinstance(loss, dict | list | tuple) and len(loss) > 1
    return Compiled() if several else Compiled.of(model)


def _ending(read: graph.Graph, answer: Any) -> str:
    """The last function of a model: "softmax", "sigmoid", "linear" for a Keras layer with weights
    and no activation, or "" if unknown."""
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
    model: keras.Model,
    ending: str,
    loss: Compiled,
    answers: Callable[[], np.ndarray],
    n_classes: int | None,
    precision: str,
) -> bool:
    if ending in ("softmax", "sigmoid"):
        return True
    if loss.from_logits is not None:
        return not loss.from_logits
    if ending == "linear":
        return False
    # Functions of other libraries are judged by their answers.
    looks = look_like_probabilities(np.asarray(answers()), n_classes is not None, precision)
    return looks and stay_shares(model, answers)


def stay_shares(model: keras.Model, answers: Callable[[], np.ndarray]) -> bool:
    """Whether answers stay from 0 to 1 with other weights in the last layer that has some.

    Logits of a network that has hardly learned may all lie there; with opposite or larger weights
    they do not. What comes out of a softmax or sigmoid lies there whatever the weights.

    Args:
        model: functional or Sequential, with one output.
        answers: function that calls the model itself, without compiling it, on some inputs.
    """
    for factor in (-1.0, 30.0):
        values = [
            (weight, ops.convert_to_tensor(weight) * ops.cast(factor, weight.dtype))
            for weight in _last_weights(model)
        ]
        with keras.StatelessScope(state_mapping=values):
            found = np.asarray(answers())
        found = found[np.isfinite(found)]  # an exponential may overflow
        if found.size and not are_shares(found, "bfloat16"):
            return False
    return True


def _last_weights(model: keras.Model) -> list[keras.Variable]:
    """Weights of the last layer that has some, without the moments of a normalization."""
    read = graph.read(model)
    writers = graph.by_writer(read.calls)
    tensors = keras.tree.flatten(read.outputs)
    while tensors:
        call = writers.get(id(tensors.pop(0)))
        if call is None:
            continue
        weights = [
            weight
            for weight in getattr(call.operation, "weights", ())
            if "float" in str(weight.dtype) and not weight.name.startswith("moving")
        ]
        if weights and not isinstance(call.operation, AblationMask):
            return weights
        tensors += call.inputs
    return []


def look_like_probabilities(answers: np.ndarray, add_up: bool, precision: str = "float32") -> bool:
    """Whether answers look like probabilities, judged by the numbers alone.

    Args:
        answers: float (n, ...).
        add_up: each row must add up to 1, as for classes. Single numbers must at least differ: a
            network that always answers 0, say, tells nothing.
        precision: the coarsest type that the answers were computed in: float32, float16 or
            bfloat16.
    """
    if not are_shares(answers, precision):
        return False
    if add_up:
        return bool(np.all(np.abs(answers.sum(axis=-1) - 1) < _SUMS_TO_ONE[precision]))
    return len(answers) > 1 and float(np.ptp(answers)) > 0


def are_shares(answers: np.ndarray, precision: str = "float32") -> bool:
    """Whether all numbers are from 0 to 1, up to rounding."""
    if not answers.size or not np.all(np.isfinite(answers)):
        return False
    return bool(answers.min() >= 0 and answers.max() <= 1 + _SUMS_TO_ONE[precision])


def precision_of(model: keras.Model) -> str:
    """The coarsest type that a layer computes in: float32, float16 or bfloat16."""
    types = {str(layer.compute_dtype) for layer in model._flatten_layers(include_self=False)}
    return next((coarse for coarse in ("bfloat16", "float16") if coarse in types), "float32")


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


# --- Labels and answers --------------------------------------------------------------------------


def targets_of(targets: Any) -> Any:
    """The labels of a model's one output. They may come in a dict under the output's name, as for
    `fit`.

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


def called(model: keras.Model, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """float32 (n_images, ...), the model's one answer, by a call that is not compiled."""
    tensors = tensors_for(model, inputs)
    found = answer_of(model(packed(model, tensors), training=False))
    return np.asarray(ops.convert_to_numpy(ops.cast(found, "float32")))


def answer_of(outputs: Any) -> Any:
    """The one tensor of a model's outputs, which may be a dict or list of it."""
    (answer,) = keras.tree.flatten(outputs)
    return answer


def _words(shape: Sequence[int | None]) -> str:
    each = ["n_images", *("open" if size is None else str(size) for size in shape[1:])]
    return "(" + ", ".join(each) + ")"
