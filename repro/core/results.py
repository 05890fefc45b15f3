"""Records of what a sweep found: arrays with checked shapes, saved to and loaded from bytes.

Each record is a NumPy archive (`.npz`) of the arrays, with other facts as JSON. NumPy can read it
without this package.
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

from repro.core import metrics
from repro.core.config import FigureConfig, TrainConfig


@dataclass(frozen=True)
class AblationCurve:
    """Accuracy and loss along cumulative ablations in several orders (Fig. 1).

    layers: name and number of units of each ablated layer, in the network's order; layers that stay
        intact are not listed.
    n_ablated: int64 (n_points,), from 0 to all units of these layers.
    n_correct: int64 (n_orders, n_points), correctly classified images.
    loss: float64 (n_orders, n_points), mean cross-entropy in nats.
    orders: int32 (n_orders, n_units), the unit ablated first, second, ...; a unit is numbered
        through all of these layers.
    n_images: how many images each point was read on. images: "train" or "test".
    n_tied: (image, point) pairs whose two best logits tie within rounding; None if not counted.
    n_top5: int64 (n_orders, n_points), images whose class is among the five largest scores; None if
        not counted.
    n_answers: right-or-wrong answers for each image: 1 for a classifier; 0 for a regression, whose
        accuracy is NaN.
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
    n_top5: np.ndarray | None = None
    n_answers: int = 1

    def __post_init__(self) -> None:
        n_units = sum(size for _, size in self.layers)
        n_orders, n_points = len(self.orders), len(self.n_ablated)
        _check_shape("n_correct", self.n_correct, (n_orders, n_points))
        if self.n_top5 is not None:
            _check_shape("n_top5", self.n_top5, (n_orders, n_points))
        _check_shape("loss", self.loss, (n_orders, n_points))
        _check_shape("orders", self.orders, (n_orders, n_units))
        if self.n_ablated[0] != 0 or self.n_ablated[-1] != n_units:
            raise ValueError(f"n_ablated must run from 0 to {n_units}, got {self.n_ablated}")

    @property
    def n_units(self) -> int:
        """How many units can be ablated."""
        return int(self.n_ablated[-1])

    @property
    def accuracy(self) -> np.ndarray:
        """float64 (n_orders, n_points), fraction of images classified correctly."""
        if not self.n_answers:
            return np.full(self.n_correct.shape, np.nan)
        return self.n_correct / (self.n_images * self.n_answers)

    @property
    def top5_accuracy(self) -> np.ndarray:
        """float64 (n_orders, n_points), fraction of images whose class is among the five largest
        scores; NaN if not counted."""
        if self.n_top5 is None:
            return np.full(self.n_correct.shape, np.nan)
        return self.n_top5 / self.n_images

    @property
    def auc(self) -> np.ndarray:
        """float64 (n_orders,), raw area under each order's curve."""
        return metrics.area_under_curve(self.n_ablated, self.accuracy)

    @property
    def normalized_auc(self) -> np.ndarray:
        """float64 (n_orders,), `auc` divided by the intact accuracy."""
        return metrics.normalized_auc(self.n_ablated, self.accuracy)


@dataclass(frozen=True)
class UnitMeasures:
    """Every unit of a network: how selective it is, and what its ablation does.

    layers: name and number of units of each layer; rows run through the layers in order.
    class_means: float64 (n_classes, n_units), mean activation over the images of each class.
    n_correct: (n_units, n_columns), correct answers with the unit ablated: images of each class.
    loss: float64 (n_units,), mean loss with the unit ablated, in nats for a cross-entropy.
    intact_correct: int64 (n_columns,); intact_loss: the same for the intact network.
    class_counts: int64 (n_classes,), images of each class.
    sparsity: float64 (n_units,) in [0, 1], fraction of images and positions of exact zero.
    mutual_information: float64 (n_units,), bits that the activation tells about the class, by the
        plug-in estimate (docs/paper.md, "Mutual information").
    mutual_information_bias: float64 (n_units,), bits that this estimate gives on average to a unit
        that is independent of the class.
    """

    layers: tuple[tuple[str, int], ...]
    class_means: np.ndarray
    n_correct: np.ndarray
    loss: np.ndarray
    intact_correct: np.ndarray
    intact_loss: float
    class_counts: np.ndarray
    sparsity: np.ndarray
    mutual_information: np.ndarray
    mutual_information_bias: np.ndarray

    def __post_init__(self) -> None:
        n_units = sum(size for _, size in self.layers)
        for name in ("sparsity", "mutual_information", "mutual_information_bias", "loss"):
            _check_shape(name, getattr(self, name), (n_units,))
        _check_shape("class_means", self.class_means, (len(self.class_counts), n_units))
        _check_shape("intact_correct", self.intact_correct, self.answer_counts.shape)
        _check_shape("n_correct", self.n_correct, (n_units, len(self.answer_counts)))

    @property
    def n_units(self) -> int:
        return len(self.loss)

    @property
    def n_images(self) -> int:
        return int(self.class_counts.sum())

    @property
    def answer_counts(self) -> np.ndarray:
        """int64 (n_columns,), the answers in each column of n_correct: images of each class."""
        return self.class_counts

    @property
    def n_absent(self) -> int:
        """How many classes have no images; no measure counts these classes."""
        return int(np.count_nonzero(self.class_counts == 0))

    @property
    def layer_names(self) -> np.ndarray:
        """str (n_units,), the layer of every unit."""
        return np.repeat([name for name, _ in self.layers], [size for _, size in self.layers])

    @property
    def unit_indices(self) -> np.ndarray:
        """int (n_units,), the unit's number within its layer."""
        return np.concatenate([np.arange(size) for _, size in self.layers])

    @property
    def dead(self) -> np.ndarray:
        """bool (n_units,): silent on every image."""
        return (self.class_means == 0).all(axis=0)

    @property
    def importance(self) -> np.ndarray:
        """float64 (n_units,), change of the mean loss in nats; above 0 if the ablation harms."""
        return self.loss - self.intact_loss

    @property
    def accuracy_drop(self) -> np.ndarray:
        """float64 (n_units,), drop of accuracy as a fraction of images; above 0 if the ablation
        harms. NaN where no answer is right or wrong."""
        n_answers = self.answer_counts.sum()
        if not n_answers:
            return np.full(self.n_units, np.nan)
        return (self.intact_correct.sum() - self.n_correct.sum(axis=1)) / n_answers

    @property
    def mean_activation(self) -> np.ndarray:
        """float64 (n_units,), mean activation over all images."""
        return self.class_counts @ self.class_means / self.n_images

    @property
    def corrected_information(self) -> np.ndarray:
        """float64 (n_units,), bits: mutual information minus its bias; around 0 for a unit that is
        independent of the class."""
        return self.mutual_information - self.mutual_information_bias

    @property
    def class_drops(self) -> np.ndarray:
        """float64 (n_units, n_columns), accuracy that each class loses; NaN for a class without
        images (docs/paper.md, "Class drops")."""
        return metrics.class_drops(self.intact_correct, self.n_correct, self.answer_counts)

    @property
    def largest_class_drop(self) -> np.ndarray:
        """float64 (n_units,), accuracy lost by the class that loses most; NaN without classes."""
        if not len(self.answer_counts):
            return np.full(self.n_units, np.nan)
        return metrics.largest_class_drop(self.class_drops)


@dataclass(frozen=True)
class UnitTable(UnitMeasures):
    """`UnitMeasures` of a classifier, as a sweep records them (Fig. 7); n_columns is n_classes.

    n_correct: int64.
    weight_norm: float64 (n_units,), L1 norm of the incoming weights (appendix A.4); NaN where a
        unit is not the output of one layer's weights.
    images: which images ("test" or "train").
    n_tied: (image, unit) pairs whose two best logits tie within rounding; None if not counted.
    basis: "unit"; or "random": a row is a direction of a random rotation of its layer, and its
        activation the projection on that direction, of either sign (docs/paper.md, "Rotated
        bases").
    drop_held_out: float64 (n_units,), accuracy lost by the class that loses most, with the class
        chosen on other images (`metrics.held_out_class_drop`); NaN if no class has two images; None
        if not measured.
    """

    kind: ClassVar[str] = "single_unit"

    weight_norm: np.ndarray
    images: str
    fill: str
    n_tied: int | None = None
    basis: str = "unit"
    drop_held_out: np.ndarray | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_shape("weight_norm", self.weight_norm, (self.n_units,))
        if self.drop_held_out is not None:
            _check_shape("drop_held_out", self.drop_held_out, (self.n_units,))

    @property
    def class_selectivity(self) -> np.ndarray:
        """float64 (n_units,) in [0, 1], over the classes that have images; 0 for a dead unit (paper
        section 2.3). NaN for directions, for units with a negative mean, as after GELU, and if all
        images are of one class."""
        defined = (self.class_means >= 0).all(axis=0) & (self.basis == "unit")
        means = np.where(defined, self.class_means, 0.0)
        found = metrics.class_selectivity(means, self.class_counts)
        return np.where(defined, found, np.nan)

    @property
    def held_out_class_drop(self) -> np.ndarray:
        """`drop_held_out`; NaN if not measured."""
        if self.drop_held_out is None:
            return np.full(self.n_units, np.nan)
        return self.drop_held_out


@dataclass(frozen=True)
class NoiseCurve:
    """Accuracy and loss with Gaussian noise on all units at once (Fig. 2).

    layers: name and number of units of each layer with noise.
    scales: float64 (n_scales,), multiples of each unit's standard deviation; the first is 0.
    n_correct: int64 (n_draws, n_scales); loss: float64 (n_draws, n_scales), mean, in nats.
    n_images, images, n_tied, n_top5: as in AblationCurve.
    """

    kind: ClassVar[str] = "noise"

    layers: tuple[tuple[str, int], ...]
    scales: np.ndarray
    n_correct: np.ndarray
    loss: np.ndarray
    n_top5: np.ndarray
    n_images: int
    images: str
    n_tied: int | None = None

    def __post_init__(self) -> None:
        shape = (len(self.n_correct), len(self.scales))
        for name in ("n_correct", "loss", "n_top5"):
            _check_shape(name, getattr(self, name), shape)
        if self.scales[0] != 0 or np.any(np.diff(self.scales) <= 0):
            raise ValueError(f"scales must rise from 0, got {self.scales}")

    @property
    def accuracy(self) -> np.ndarray:
        """float64 (n_draws, n_scales), fraction of images classified correctly."""
        return self.n_correct / self.n_images


@dataclass(frozen=True)
class Intact:
    """The network without a lesion: number of images, of correct images, and mean loss in nats."""

    kind: ClassVar[str] = "intact"

    n_correct: int
    n_top5: int
    loss: float
    n_images: int
    images: str
    n_tied: int | None = None

    @property
    def accuracy(self) -> float:
        """Fraction of images classified correctly."""
        return self.n_correct / self.n_images


@dataclass(frozen=True)
class Portraits:
    """Single units as examples, with the images that drive them most (`PortraitsConfig`).

    layers: name and number of units of each layer that the units were picked from.
    roles: role of each unit: "selective", "confusing".
    units: int64 (n_picked,), numbers of the units, counted through these layers.
    class_means: float64 (n_classes, n_picked), mean activation over the images of each class.
    class_selectivity: float64 (n_picked,) in [0, 1].
    importance: float64 (n_picked,), change of the mean loss in nats on ablation.
    rank: int64 (n_picked,), rank by importance among all units of these layers; 1 is the most
        important.
    median_importance: median importance of these layers' units, in nats.
    top_images: uint8 (n_picked, n_top, height, width, channels), the images of largest activation,
        largest first; black if fewer images drive the unit.
    top_labels: int64 (n_picked, n_top), classes of these images; -1 if there is no image.
    top_activations: float32 (n_picked, n_top); 0 if there is no image.
    n_images, images, fill, n_tied: as in UnitTable, which counts single units alike.
    """

    kind: ClassVar[str] = "portraits"

    layers: tuple[tuple[str, int], ...]
    roles: tuple[str, ...]
    units: np.ndarray
    class_means: np.ndarray
    class_selectivity: np.ndarray
    importance: np.ndarray
    rank: np.ndarray
    median_importance: float
    top_images: np.ndarray
    top_labels: np.ndarray
    top_activations: np.ndarray
    n_images: int
    images: str
    fill: str
    n_tied: int | None = None

    def __post_init__(self) -> None:
        n_picked, n_top = len(self.roles), self.top_labels.shape[-1]
        for name in ("units", "class_selectivity", "importance", "rank"):
            _check_shape(name, getattr(self, name), (n_picked,))
        _check_shape("class_means", self.class_means, (len(self.class_means), n_picked))
        for name in ("top_labels", "top_activations"):
            _check_shape(name, getattr(self, name), (n_picked, n_top))
        _check_shape("top_images", self.top_images, (n_picked, n_top, *self.top_images.shape[2:]))

    @property
    def n_units(self) -> int:
        """How many units they were picked from."""
        return sum(size for _, size in self.layers)

    def name(self, role: str) -> str:
        """A unit's layer and its number within the layer: "hidden_2, unit 17"."""
        unit = int(self.units[self.roles.index(role)])
        for layer, size in self.layers:
            if unit < size:
                return f"{layer}, unit {unit}"
            unit -= size
        raise ValueError(f"unit {unit} lies in none of the layers {self.layers}")


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
    """All networks of a figure that are done, in the order of `config.networks()`.

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


SweepResult = AblationCurve | UnitTable | NoiseCurve | Intact | Portraits
SWEEP_RESULTS: dict[str, type[SweepResult]] = {
    cls.kind: cls for cls in (AblationCurve, UnitTable, NoiseCurve, Intact, Portraits)
}
Result = SweepResult | TrainingRecord
R = TypeVar("R", AblationCurve, UnitTable, NoiseCurve, Intact, Portraits, TrainingRecord)


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
    for name in ("history", "roles"):
        if name in facts:
            facts[name] = tuple(facts[name])
    try:
        return kind(**facts, **arrays)
    except TypeError as error:
        raise ValueError(f"a {kind.kind} result with other fields: {error}") from error


def _check_shape(name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
