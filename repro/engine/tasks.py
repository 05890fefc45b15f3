"""What a network was trained for, found from its answers and the labels, or given.

A task says how an answer is read and what it costs: the class of an image, a yes or no, several of
them, numbers, a score of the user's own, or, where there are no labels, what the intact network
answers. The engine's passes are the same for all; `tally` counts what they give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from repro.models.heads import Compiled, are_shares, look_like_probabilities

KINDS = ("classes", "binary", "labels", "regression", "score", "agreement")
TASKS = ("classes", "binary", "labels", "regression", "absolute_error", "agreement")
"""What `task=` takes; "regression" is that of the squared error."""


class TaskError(ValueError):
    """Answers and labels from which no task can be told; the message says what to do."""


@dataclass(frozen=True)
class Task:
    """How answers are read.

    kind: one of KINDS. Of "agreement", `of` is the kind of what is compared: "classes", "binary",
        "labels" or "regression".
    n_columns: into how many numbers correct answers are counted: classes (two for binary), labels;
        0 where answers are neither right nor wrong.
    shape: of one answer of the model.
    probabilities: the model's answers are probabilities; else logits, or numbers.
    ending: the last function of the model, "softmax" or "sigmoid", where it is one of Keras's, is
        not to be taken as logits, and so may be left out; "" where answers are taken as they come.
    absolute: the absolute error of a regression, not the squared one.
    score: (outputs, targets) -> (n,), in keras.ops; higher_is_better: of the score.
    """

    kind: str
    n_columns: int
    shape: tuple[int, ...]
    probabilities: bool = False
    ending: str = ""
    absolute: bool = False
    score: Callable[[Any, Any], Any] | None = None
    higher_is_better: bool = True
    of: str = ""

    @property
    def has_classes(self) -> bool:
        """Whether each image is of one class, so that class selectivity has a meaning."""
        return self.kind in ("classes", "binary")

    @property
    def has_accuracy(self) -> bool:
        """Whether an answer is right or wrong."""
        return self.n_columns > 0

    @property
    def answers_each(self) -> int:
        """Answers of one image that are right or wrong: as many as labels, or one, or none."""
        several = "labels" in (self.kind, self.of)
        return self.n_columns if several else int(self.has_accuracy)

    @property
    def reads(self) -> str:
        """The kind by which an answer is read."""
        return self.of or self.kind

    @property
    def loss_words(self) -> str:
        """What the loss is, with its unit."""
        if self.kind == "agreement":
            return (
                "mean squared change of the answer"
                if self.of == "regression"
                else "Kullback-Leibler divergence from the intact answers (nats)"
            )
        if self.kind == "score":
            return "loss" if not self.higher_is_better else "score, with its sign turned"
        return {
            "classes": "cross-entropy (nats)",
            "binary": "binary cross-entropy (nats)",
            "labels": "mean binary cross-entropy (nats)",
            "regression": "mean absolute error" if self.absolute else "mean squared error",
        }[self.kind]

    @property
    def accuracy_words(self) -> str:
        """What a share of right answers is called; "" where there is none."""
        return {
            "classes": "accuracy",
            "binary": "accuracy",
            "labels": "share of labels answered correctly",
            "agreement": "share of unchanged answers" if self.has_accuracy else "",
        }.get(self.kind, "")

    def columns(self, targets: np.ndarray) -> np.ndarray | None:
        """int (n,), the column in which each image's answer counts; None where it has several, or
        none."""
        if self.has_classes:
            return targets
        if self.kind == "agreement" and self.of in ("classes", "binary"):
            return np.argmax(targets, axis=-1).astype(np.int32)
        return None


def find(
    answers: np.ndarray,
    shape: Sequence[int | None],
    ending: str,
    targets: Any,
    *,
    task: str | None = None,
    score: Callable[[Any, Any], Any] | None = None,
    higher_is_better: bool = True,
    from_logits: bool | None = None,
    compiled: Compiled | None = None,
    precision: str = "float32",
    stay_shares: Callable[[], bool] = lambda: True,
) -> Task:
    """The task of a model with one output.

    Args:
        answers: float (n, *shape), the model's on a few of the user's inputs.
        shape: of one answer; None where the model leaves a size open.
        ending: "softmax" or "sigmoid" where the model's last step is that function of Keras,
            "linear" where it is a layer of Keras with weights and without a function, else "".
        targets: labels as the user gave them, (n, ...), or None.
        task: one of TASKS, or None to tell from the rest.
        score, higher_is_better: of the user's own.
        from_logits: whether cross-entropies take the answers for logits; None to look at them.
        compiled: what the model's own loss says.
        precision: the coarsest type that the model computes in: float32, float16 or bfloat16.
        stay_shares: function that tells whether answers are from 0 to 1 with other weights too, see
            `heads.stay_shares`. It is called only if nothing else tells what they are.

    Raises:
        TaskError: they do not fit each other, or nothing can be told.
    """
    if task not in (None, *TASKS):
        raise TaskError(f"task must be one of {', '.join(TASKS)}, or None; got {task!r}")
    compiled = compiled or Compiled()
    known = tuple(int(size) if size is not None else -1 for size in shape)
    if score is not None:
        if task is not None:
            raise TaskError("give task= or score=, not both: a score is a task of its own")
        if targets is None:
            raise TaskError("score= needs targets, and no labels were given; pass them as labels=")
        return Task("score", 0, known, score=score, higher_is_better=higher_is_better)
    if task == "agreement" or (targets is None and task is None):
        read = _read(
            answers, known, ending, None, None, from_logits, compiled, precision, stay_shares
        )
        return replace(read, kind="agreement", of=read.kind)
    if targets is None:
        raise TaskError(
            f"task={task!r} needs labels, and none were given; pass them as labels=, or leave task "
            "out, and lesions are compared with the intact network's own answers"
        )
    labels = np.asarray(targets)
    return _read(
        answers, known, ending, labels, task, from_logits, compiled, precision, stay_shares
    )


def _read(
    answers: np.ndarray,
    shape: tuple[int, ...],
    ending: str,
    targets: np.ndarray | None,
    task: str | None,
    from_logits: bool | None,
    compiled: Compiled,
    precision: str,
    stay_shares: Callable[[], bool],
) -> Task:
    one = shape in ((), (1,))
    kind = {"absolute_error": "regression", "agreement": None}.get(task or "", task)
    absolute = task == "absolute_error"
    if kind is None:
        kind = _kind_without_labels(answers, shape, ending, compiled)
        if targets is not None:
            kind = _kind(answers, shape, ending, targets, compiled)
        absolute = kind == "regression" and compiled.absolute
    if kind == "regression":
        if -1 in shape:
            raise TaskError(
                f"the model's answers have shape {_words(shape)}, of which a size is open; build "
                "it with a fixed input size, or give score=, a function of outputs and targets"
            )
        return Task("regression", 0, shape, absolute=absolute)
    if kind == "binary" and not one:
        raise TaskError(
            f"task='binary' needs one answer an image, and the model gives {_words(shape)}; for "
            "several yes-or-no answers give task='labels'"
        )
    if kind in ("classes", "labels") and (len(shape) != 1 or shape[0] < 1 + (kind == "classes")):
        raise TaskError(
            f"task={kind!r} needs (n_images, n) answers, and the model gives {_words(shape)}; give "
            "score=, a function of outputs and targets, for answers of other shapes"
        )
    wanted = "softmax" if kind == "classes" else "sigmoid"
    probabilities = _are_probabilities(
        answers, kind, ending, from_logits, compiled, precision, stay_shares
    )
    left_out = ending if probabilities and ending == wanted else ""
    if probabilities and kind == "classes" and ending == "sigmoid" and _keras_looks_behind():
        left_out = ending
    n_columns = 2 if kind == "binary" else shape[0]
    return Task(kind, n_columns, shape, probabilities=probabilities, ending=left_out)


def _kind(
    answers: np.ndarray,
    shape: tuple[int, ...],
    ending: str,
    targets: np.ndarray,
    compiled: Compiled,
) -> str:
    """The kind that labels speak for."""
    if targets.dtype.kind in "USOT" or targets.dtype.names:
        return "binary" if shape in ((), (1,)) else "classes"
    numbers = targets.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    whole = bool(np.all(finite == np.rint(finite)))
    yes_no = bool(np.all((finite == 0) | (finite == 1)))
    if shape in ((), (1,)):
        if compiled.kind == "regression":
            return "regression"
        return (
            "binary"
            if yes_no or compiled.kind == "binary" or ending == "sigmoid"
            else ("regression")
        )
    one_number = targets.ndim == 1 or (targets.ndim == 2 and targets.shape[1] == 1)
    if len(shape) != 1:
        if targets.shape[1:] == shape and not whole:
            return "regression"
        cure = "give score=, a function of outputs and targets that gives a number for each image"
        if targets.shape[1:] == shape:
            cure = f"give task='regression' for numbers to be met, or {cure[5:]}"
        raise TaskError(
            f"the model answers with shape {_words(shape)}, from which no task can be told; {cure}"
        )
    if one_number:
        return "classes"
    if compiled.kind == "binary" and yes_no:
        return "labels"
    if targets.shape[1:] != shape:
        raise TaskError(
            f"labels of shape {_words(targets.shape[1:])} an image do not fit answers of shape "
            f"{_words(shape)}; give one class number an image, or as many numbers as answers"
        )
    if not yes_no:
        shares = numbers.min() >= 0 and bool(np.allclose(numbers.sum(axis=1), 1, atol=1e-3))
        if shares or ending == "softmax" or compiled.kind == "classes":
            raise TaskError(
                "labels are fractions of classes (soft labels), and lesions are counted by class; "
                "take labels.argmax(axis=1)"
            )
        return "regression"
    one_hot = bool(np.all(numbers.sum(axis=1) == 1))
    if one_hot and compiled.kind == "classes":
        return "classes"
    if ending == "sigmoid" or not one_hot:
        return "labels"
    return "classes"


def _kind_without_labels(
    answers: np.ndarray, shape: tuple[int, ...], ending: str, compiled: Compiled
) -> str:
    """The kind that the answers alone speak for."""
    if compiled.kind == "regression":
        return "regression"
    if shape in ((), (1,)):
        if ending == "sigmoid" or compiled.kind == "binary":
            return "binary"
        return "regression"
    if len(shape) != 1:
        return "regression"
    if ending == "sigmoid" or compiled.kind == "binary":
        return "labels"
    return "classes"


def _are_probabilities(
    answers: np.ndarray,
    kind: str,
    ending: str,
    from_logits: bool | None,
    compiled: Compiled,
    precision: str,
    stay_shares: Callable[[], bool],
) -> bool:
    """Whether answers are probabilities, by what is given, by the model's own loss, by its last
    function, or by looking at them."""
    if from_logits is not None:
        if not from_logits and not are_shares(answers, precision):
            raise TaskError(
                "from_logits=False takes the answers for probabilities, and some are below 0 or "
                f"above 1 ({answers.min():.3g} to {answers.max():.3g}); give from_logits=True"
            )
        return not from_logits
    fits = compiled.kind == ("binary" if kind == "labels" else kind)
    wanted = "softmax" if kind == "classes" else "sigmoid"
    if fits and compiled.from_logits and ending == wanted and _keras_looks_behind():
        return True  # Keras's loss takes what the last function was given, with a warning
    if fits and compiled.from_logits is not None:
        if not compiled.from_logits and not are_shares(answers, precision):
            raise TaskError(
                "the model was compiled with a loss that takes its answers for probabilities "
                "(from_logits=False), and some are below 0 or above 1 "
                f"({answers.min():.3g} to {answers.max():.3g}); pass from_logits=True"
            )
        return not compiled.from_logits
    if ending == "linear":
        return False
    if ending == "softmax" or (ending == "sigmoid" and are_shares(answers, precision)):
        return True
    if look_like_probabilities(answers, kind == "classes", precision):
        return stay_shares()
    could_be = kind == "classes" and are_shares(answers, precision) and np.ptp(answers) > 0
    if could_be and stay_shares():
        low, high = answers.sum(axis=-1).min(), answers.sum(axis=-1).max()
        raise TaskError(
            "the answers lie between 0 and 1 as probabilities do, and those of an image add up to "
            f"{low:.4g} to {high:.4g}, so that it cannot be told what they are; give "
            "from_logits=False for probabilities, which a cross-entropy divides by their sum, or "
            "from_logits=True for logits"
        )
    return False


def _keras_looks_behind() -> bool:
    """Whether Keras takes what a final softmax or sigmoid was given for the logits of a
    cross-entropy, whatever it was told, as it does with TensorFlow; else it takes what it gets."""
    return bool(keras.backend.backend() == "tensorflow")


def _words(shape: Sequence[int]) -> str:
    return "(" + ", ".join(["n_images", *("open" if n < 0 else str(n) for n in shape)]) + ")"
