"""The words that a study uses for each kind of task: what is right, what the loss is called.

Pages, pictures, tables and printed sentences take their words from here, so that none of them
speaks of an accuracy or of classes where a task has none.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from repro.engine.tasks import Task


@dataclass(frozen=True)
class Words:
    """What to call the answers of one kind of task.

    accuracy: the share of answers that count as right, "" where there is no such thing.
    right: how a sentence goes on after "the network", before the share; "" likewise.
    loss: what is averaged over images. unit: of the loss, "" where it has none.
    has_classes: whether an image has one class, so that class selectivity, mutual information and
        a class's drop are defined.
    """

    kind: str
    accuracy: str
    right: str
    loss: str
    unit: str
    has_classes: bool

    @property
    def has_accuracy(self) -> bool:
        return bool(self.accuracy)

    @property
    def changed(self) -> str:
        """What a lesion changes, in few words: the loss, where it is called nothing better."""
        return "loss" if self.has_accuracy else self.loss

    def amount(self, number: str) -> str:
        """A loss with its unit.

        >>> of("classes").amount("0.31"), of("regression").amount("0.31")
        ('0.31 nats', '0.31')
        """
        return f"{number} {self.unit}".rstrip()

    def measured_in(self, name: str) -> str:
        """A name with the unit of the loss in brackets.

        >>> of("classes").measured_in("Importance"), of("score").measured_in("Importance")
        ('Importance (nats)', 'Importance')
        """
        return f"{name} ({self.unit})" if self.unit else name


_KINDS = {
    "classes": Words("classes", "accuracy", "is right on", "cross-entropy", "nats", True),
    "binary": Words("binary", "accuracy", "is right on", "cross-entropy", "nats", True),
    "labels": Words(
        "labels", "accuracy of the labels", "is right in", "cross-entropy", "nats", False
    ),
    "regression": Words("regression", "", "", "error", "", False),
    "score": Words("score", "", "", "score", "", False),
    "agreement": Words(
        "agreement", "agreement", "gives the intact answer on", "divergence", "nats", False
    ),
}


def of_task(task: Task) -> Words:
    """The words of a study's task."""
    if task.kind == "regression":
        return of(task.kind, loss="absolute error" if task.absolute else "squared error")
    if task.kind == "score":
        return of(task.kind, loss="score, its sign turned" if task.higher_is_better else "score")
    words = of(task.kind)
    if not task.has_accuracy:  # agreement of a regression
        words = dataclasses.replace(words, accuracy="", right="", loss="squared change", unit="")
    return words


KINDS = tuple(_KINDS)
"""Kinds of task that there are words for."""


def of(kind: str = "classes", *, loss: str = "", accuracy: str = "") -> Words:
    """The words for a kind of task.

    Args:
        kind: one of `KINDS`. loss, accuracy: a task's own words in place of the general ones, such
            as "absolute error"; an accuracy only where the kind has one.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in _KINDS:
        raise ValueError(
            f"the kind of a task must be one of {', '.join(KINDS)}; got {kind!r}; name one of those"
        )
    words = _KINDS[kind]
    return dataclasses.replace(
        words,
        loss=loss or words.loss,
        accuracy=(accuracy or words.accuracy) if words.has_accuracy else "",
    )
