"""What a sweep found: records with checked shapes, saved to and loaded from bytes.

Each is a NumPy archive (`.npz`): the arrays, and the facts as JSON. NumPy can read them without
this package.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np

from repro import metrics
from repro.config import FigureConfig, TrainConfig


@dataclass(frozen=True)
class AblationCurve:
    """Accuracy and loss along cumulative ablations in several orders (Fig. 1).

    layers: name and number of units of each ablated layer, in the network's order.
    n_ablated: int64 (n_points,), from 0 to all units.
    n_correct: int64 (n_orders, n_points), correctly classified images.
    loss: float64 (n_orders, n_points), mean cross-entropy in nats.
    orders: int32 (n_orders, n_units), the unit ablated first, second, ...; a unit is numbered
        through all layers.
    n_images: how many images each point was read on; `images` which ("train" or "test").
    n_tied: (image, point) pairs whose two best logits tie within rounding; None if not counted.
    """

    kind: ClassVar[str] = "cumulative"

    layers: tuple[tuple[str, int], ...]
    n_ablated: np.ndarray
    n_correct: np.ndarray
    loss: np.ndarray
    orders: np.ndarray
    n_images: int
    images: str
    fill: str
    n_tied: int | None = None

    def __post_init__(self) -> None:
        n_units = sum(size for _, size in self.layers)
        n_orders, n_points = len(self.orders), len(self.n_ablated)
        _check_shape("n_correct", self.n_correct, (n_orders, n_points))
        _check_shape("loss", self.loss, (n_orders, n_points))
        _check_shape("orders", self.orders, (n_orders, n_units))
        if self.n_ablated[0] != 0 or self.n_ablated[-1] != n_units:
            raise ValueError(f"n_ablated must run from 0 to {n_units}, got {self.n_ablated}")

    @property
    def n_units(self) -> int:
        """How many units the network can lose."""
        return int(self.n_ablated[-1])

    @property
    def accuracy(self) -> np.ndarray:
        """float64 (n_orders, n_points), fraction of images classified correctly."""
        return self.n_correct / self.n_images

    @property
    def auc(self) -> np.ndarray:
        """float64 (n_orders,), raw area under each order's curve."""
        return metrics.area_under_curve(self.n_ablated, self.accuracy)

    @property
    def normalized_auc(self) -> np.ndarray:
        """float64 (n_orders,), area relative to the intact accuracy."""
        return metrics.normalized_auc(self.n_ablated, self.accuracy)


@dataclass(frozen=True)
class UnitTable:
    """Every unit of a network: how selective it is, and what its ablation does (Fig. 7).

    layers: name and number of units of each layer; rows run through the layers in order.
    class_means: float64 (n_classes, n_units), mean activation over the images of each class.
    n_correct: int64 (n_units, n_classes), correct images of each class with the unit ablated.
    loss: float64 (n_units,), mean cross-entropy in nats with the unit ablated.
    intact_correct: int64 (n_classes,); intact_loss: the same for the intact network.
    class_counts: int64 (n_classes,), images of each class.
    images: which images ("test" or "train").
    n_tied: (image, unit) pairs whose two best logits tie within rounding; None if not counted.
    """

    kind: ClassVar[str] = "single_unit"

    layers: tuple[tuple[str, int], ...]
    class_means: np.ndarray
    n_correct: np.ndarray
    loss: np.ndarray
    intact_correct: np.ndarray
    intact_loss: float
    class_counts: np.ndarray
    images: str
    fill: str
    n_tied: int | None = None

    def __post_init__(self) -> None:
        n_units = sum(size for _, size in self.layers)
        n_classes = len(self.class_counts)
        _check_shape("class_means", self.class_means, (n_classes, n_units))
        _check_shape("n_correct", self.n_correct, (n_units, n_classes))
        _check_shape("loss", self.loss, (n_units,))
        _check_shape("intact_correct", self.intact_correct, (n_classes,))

    @property
    def n_units(self) -> int:
        return len(self.loss)

    @property
    def n_images(self) -> int:
        return int(self.class_counts.sum())

    @property
    def layer_names(self) -> np.ndarray:
        """str (n_units,), the layer of every unit."""
        return np.repeat([name for name, _ in self.layers], [size for _, size in self.layers])

    @property
    def unit_indices(self) -> np.ndarray:
        """int (n_units,), the unit's number within its layer."""
        return np.concatenate([np.arange(size) for _, size in self.layers])

    @property
    def class_selectivity(self) -> np.ndarray:
        """float64 (n_units,) in [0, 1]; 0 for a dead unit (paper section 2.3)."""
        return metrics.class_selectivity(self.class_means)

    @property
    def dead(self) -> np.ndarray:
        """bool (n_units,): silent on every image."""
        return self.class_means.max(axis=0) == 0

    @property
    def importance(self) -> np.ndarray:
        """float64 (n_units,), change of the mean loss in nats; above 0 where removal harms."""
        return self.loss - self.intact_loss

    @property
    def accuracy_drop(self) -> np.ndarray:
        """float64 (n_units,), fraction of images lost; above 0 where removal harms."""
        return (self.intact_correct.sum() - self.n_correct.sum(axis=1)) / self.n_images

    @property
    def mean_activation(self) -> np.ndarray:
        """float64 (n_units,), mean activation over all images."""
        return self.class_counts @ self.class_means / self.n_images


@dataclass(frozen=True)
class TrainingRecord:
    """How a network came out of training, and under what circumstances.

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


@dataclass(frozen=True)
class Checkpoint:
    """The whole state of a training after `epoch` epochs.

    arrays: variables of model and optimizer, in their order.
    history: one record an epoch.
    seconds: of training so far, over all the processes that took part.
    """

    epoch: int
    arrays: list[np.ndarray]
    history: list[dict[str, float]]
    seconds: float


@dataclass(frozen=True)
class NetworkResult:
    """One network of a figure: its settings, its training, and what the figure's sweep found."""

    config: TrainConfig
    training: TrainingRecord
    sweep: AblationCurve | UnitTable


@dataclass(frozen=True)
class FigureResult:
    """All networks of a figure, in the order of `config.networks()`.

    data: which images were used, in words.
    command: what makes these results again.
    """

    config: FigureConfig
    networks: tuple[NetworkResult, ...]
    data: str
    command: str


Result = AblationCurve | UnitTable | TrainingRecord
_KINDS: dict[str, type[Result]] = {
    cls.kind: cls for cls in (AblationCurve, UnitTable, TrainingRecord)
}
R = TypeVar("R", AblationCurve, UnitTable, TrainingRecord)


def to_bytes(result: Result) -> bytes:
    """The record as a NumPy archive; the same record always gives the same bytes."""
    arrays: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    for item in dataclasses.fields(result):
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
    if "layers" in facts:
        facts["layers"] = tuple((name, size) for name, size in facts["layers"])
    if "history" in facts:
        facts["history"] = tuple(facts["history"])
    try:
        return kind(**facts, **arrays)
    except TypeError as error:
        raise ValueError(f"a {kind.kind} result with other fields: {error}") from error


def _check_shape(name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
