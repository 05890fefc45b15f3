"""Records of trainings, networks and figures; a record of a training or sweep as bytes.

The records of sweeps stand with their kinds, in `repro.core.kinds`. In bytes a record is a NumPy
archive (`.npz`) of its arrays, with other facts as JSON. NumPy can read it without this package.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np

from repro.core.kinds import SweepResult
from repro.core.settings import FigureConfig, TrainConfig

HISTORY_COLUMNS = {
    "epoch": "Epochs done, from 1.",
    "loss": "Running average of the cross-entropy over the epoch, in nats.",
    "accuracy": "Running average of the training accuracy over the epoch.",
    "top_5_accuracy": "Running average of the accuracy by the five largest scores.",
    "selectivity": "Mean class selectivity over the epoch, where a regularizer changes it.",
}
"""What the records of `TrainingRecord.history` hold."""


@dataclass(frozen=True)
class TrainingRecord:
    """The result of a training, and its circumstances.

    history: one record an epoch: epoch, loss, accuracy (running averages over the epoch).
    train_accuracy, train_loss: of the finished network on its training images with the labels as
        trained on; test_accuracy, test_loss: on the test images.
    facts: versions, device, git commit, seconds, data, ...
    """

    kind: ClassVar[str] = "training"

    history: tuple[dict[str, float], ...]
    n_train: int
    n_test: int
    train_accuracy: float
    train_loss: float
    test_accuracy: float
    test_loss: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return len(self.history)

    @property
    def images_per_second(self) -> float | None:
        """Training images shown in a second, over all epochs, the time of compiling and of
        checkpoints included; None where the seconds are not known. Networks that were trained in
        one program share its seconds, so that this is the program's number."""
        seconds = float(self.facts.get("seconds") or 0.0)
        return self.n_train * self.epochs / seconds if seconds > 0 and self.epochs else None


@dataclass(frozen=True)
class Checkpoint:
    """The whole state of a training after `epoch` epochs.

    arrays: values of the variables of model and optimizer, in order.
    history: one record an epoch.
    seconds: seconds of training so far, summed over all processes that took part.
    """

    epoch: int
    arrays: list[np.ndarray]
    history: list[dict[str, float]]
    seconds: float


@dataclass(frozen=True)
class NetworkResult:
    """One network of a figure: settings, training, and results of the figure's sweeps.

    sweeps: results in the trained network, by name.
    snapshots: results of sweeps along training, by name: (epochs trained, result) in order.
    """

    config: TrainConfig
    training: TrainingRecord
    sweeps: Mapping[str, SweepResult] = field(default_factory=dict)
    snapshots: Mapping[str, tuple[tuple[int, SweepResult], ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class FigureResult:
    """All networks of a figure that are done, in the order of `FigureConfig.networks`.

    data: which images were used, in words.
    command: command that makes these results again.
    not_run: why nothing of the figure was tried: "imagenet2012 is not prepared ..."; "" otherwise.
    n_unlearned: how many finished networks are left out of `networks` because they learned nothing.
    """

    config: FigureConfig
    networks: tuple[NetworkResult, ...]
    data: str
    command: str
    not_run: str = ""
    n_unlearned: int = 0


Result = SweepResult | TrainingRecord
R = TypeVar("R", bound=Result)


def to_bytes(result: Result) -> bytes:
    """The record as a NumPy archive; the same record always gives the same bytes."""
    arrays: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    for item in dataclasses.fields(result):  # type: ignore[arg-type]
        value = getattr(result, item.name)
        (arrays if isinstance(value, np.ndarray) else facts)[item.name] = value
    buffer = io.BytesIO()
    header = json.dumps({"kind": result.kind, **facts}, sort_keys=True)
    np.savez_compressed(buffer, header=np.array(header), **arrays)
    return buffer.getvalue()


def from_bytes(content: bytes, kind: type[R]) -> R:
    """The inverse of `to_bytes`.

    Raises:
        ValueError: the bytes are damaged, or hold another kind of record.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        facts = json.loads(str(arrays.pop("header")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"damaged result: {error}") from error
    found = facts.pop("kind", None)
    if found != kind.kind:
        raise ValueError(f"expected a result of kind {kind.kind!r}, got {found!r}")
    # JSON has lists where the records have tuples, and tuples of tuples.
    facts = {
        name: tuple(tuple(item) if isinstance(item, list) else item for item in value)
        if isinstance(value, list)
        else value
        for name, value in facts.items()
    }
    make: Callable[..., R] = kind
    try:
        return make(**facts, **arrays)
    except TypeError as error:
        raise ValueError(f"a {kind.kind} result with other fields: {error}") from error
