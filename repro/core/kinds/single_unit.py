"""Ablation of every unit alone, and the measures of each unit (paper sections 2.3, 3.4; Fig. 7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from repro.core import metrics
from repro.core.kinds.kind import Kind, check_shape
from repro.core.settings import BASES, FILLS, ConfigError, SweepConfig, setting


@dataclass(frozen=True)
class SingleUnitConfig(SweepConfig):
    """Ablation of every unit alone, and its class selectivity (paper sections 2.3, 3.4; Fig. 7).

    last_layers: number of masked layers, from the last, whose units are ablated; 0 for all.
    basis: "unit"; or "random": in place of a layer's units as many directions of one random
        rotation of it (docs/paper.md, "Rotated bases").
    halves: count two halves of the images of each class by themselves, so that the class that
        loses most can be chosen on one and measured on the other (docs/paper.md, "Class drops").
    fill: as in CumulativeConfig.
    Other fields as in SweepConfig.
    """

    fill: str = setting("zero", choices=FILLS)
    last_layers: int = setting(0, low=0)
    basis: str = setting("unit", choices=BASES)
    halves: bool = setting(False)

    kind: ClassVar[str] = "single_unit"

    def __post_init__(self) -> None:
        if self.basis == "random" and self.fill == "position_mean":
            raise ConfigError('basis = "random" needs a fill of "zero" or "mean"')

    def n_lesions(self, n_units: int) -> int:
        """How many lesions the sweep makes, the intact network included."""
        return n_units + 1


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
            check_shape(name, getattr(self, name), (n_units,))
        check_shape("class_means", self.class_means, (len(self.class_counts), n_units))
        check_shape("intact_correct", self.intact_correct, self.answer_counts.shape)
        check_shape("n_correct", self.n_correct, (n_units, len(self.answer_counts)))

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
        return np.dot(self.class_counts, self.class_means) / self.n_images

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
        check_shape("weight_norm", self.weight_norm, (self.n_units,))
        if self.drop_held_out is not None:
            check_shape("drop_held_out", self.drop_held_out, (self.n_units,))

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


COLUMNS = {
    "layer": "Name of the layer.",
    "unit": "Number of the unit (or direction) within the layer, from 0.",
    "class_selectivity": "Class selectivity, 0 to 1; nan where it is undefined.",
    "mutual_information": "Bits that the activation tells about the class (plug-in estimate).",
    "mutual_information_bias": "Bits that this estimate gives on average to a unit that is "
    "independent of the class.",
    "importance": "loss - intact_loss: above 0 if the ablation harms.",
    "loss": "Mean cross-entropy over the images with the unit ablated, in nats.",
    "intact_loss": "Mean cross-entropy over the images without a lesion, in nats.",
    "accuracy_drop": "Accuracy lost by the ablation, as a fraction of the images.",
    "largest_class_drop": "Accuracy lost by the class that loses most.",
    "held_out_class_drop": "Accuracy lost by the class that loses most, chosen on other images; "
    "nan if not measured.",
    "weight_norm": "L1 norm of the incoming weights; nan where a unit is not the output of one "
    "layer's weights.",
    "mean_activation": "Mean activation over the images, and over the positions of a feature map.",
    "sparsity": "Fraction of images and positions in which the activation is exactly 0.",
    "dead": "1 if the unit is silent on every image, else 0.",
}


def rows(table: UnitTable) -> Iterator[tuple[Any, ...]]:
    """A row of COLUMNS for each unit."""
    columns = (
        table.layer_names,
        table.unit_indices,
        table.class_selectivity,
        table.mutual_information,
        table.mutual_information_bias,
        table.importance,
        table.loss,
        np.full(table.n_units, table.intact_loss),
        table.accuracy_drop,
        table.largest_class_drop,
        table.held_out_class_drop,
        table.weight_norm,
        table.mean_activation,
        table.sparsity,
        table.dead.astype(int),
    )
    return zip(*(column.tolist() for column in columns), strict=True)


def words(settings: SingleUnitConfig) -> str:
    """The lesions of such a sweep.

    >>> words(SingleUnitConfig(last_layers=2))
    'every unit of the last 2 layers alone, clamped to zero'
    """
    what = "every direction of a random basis" if settings.basis == "random" else "every unit"
    where = f" of the last {settings.last_layers} layers" if settings.last_layers else ""
    return f"{what}{where} alone, clamped to {settings.fill.replace('_', ' ')}"


SINGLE_UNIT = Kind(
    SingleUnitConfig,
    UnitTable,
    title="Single units",
    table="units",
    columns=tuple(COLUMNS),
    meanings=COLUMNS,
    rows=rows,
    words=words,
    reads="importance",
    panels=("units", "distributions"),
)
