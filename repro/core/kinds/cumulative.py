"""Cumulative ablation: accuracy as more and more units are ablated (paper section 2.2, Fig. 1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from repro.core import metrics
from repro.core.kinds.kind import Kind, check_shape
from repro.core.settings import BASES, FILLS, ConfigError, SweepConfig, setting

ORDERS = ("random", "class_selectivity", "mutual_information", "weight_norm", "mean_activation")


@dataclass(frozen=True)
class CumulativeConfig(SweepConfig):
    """Cumulative ablation, in random orders (paper section 2.2, Fig. 1) or in a given one.

    orders: how many random permutations of the ablated layers' units.
    order: "random"; or one order by a measure of the units, the smallest first (docs/paper.md,
        "Ordered ablation").
    descending: the largest first.
    ranked_on: images on which an order by a measure is found, "train" or "test"; "" for those on
        which accuracy is read. Other images keep the order from being chosen by the accuracy.
    points: numbers of ablated units at which accuracy is read, evenly spaced from 0 to all;
        0 reads it after every single unit.
    fill: activation of an ablated unit: "zero", its "mean" over the images read, or its
        "position_mean", which for feature maps is a mean at each position (appendix A.1).
    last_layers: number of masked layers, from the last, to ablate (3 in the paper's convolutional
        networks); 0 for all. The hidden layer of a convnet's head does not count and stays intact:
        the paper's last three layers are feature maps.
    only_layer: number of the only masked layer to ablate, from 1; 0 for all.
    basis: "unit"; or "random": the directions of a random rotation of each ablated layer, drawn
        anew for each order (docs/paper.md, "Rotated bases").
    Other fields as in SweepConfig.
    """

    orders: int = setting(10, low=1)
    order: str = setting("random", choices=ORDERS)
    descending: bool = setting(False)
    ranked_on: str = setting("", choices=("", "train", "test"))
    points: int = setting(0, low=0)
    images: str = setting("train", choices=("train", "test"))
    fill: str = setting("zero", choices=FILLS)
    last_layers: int = setting(0, low=0)
    only_layer: int = setting(0, low=0)
    basis: str = setting("unit", choices=BASES)

    kind: ClassVar[str] = "cumulative"

    def __post_init__(self) -> None:
        if self.basis == "random" and (self.order != "random" or self.fill == "position_mean"):
            raise ConfigError(
                'basis = "random" needs order = "random" and a fill of "zero" or "mean"'
            )
        if self.only_layer and (self.last_layers or self.basis == "random"):
            raise ConfigError("only_layer goes with neither last_layers nor a random basis")
        if self.ranked_on and self.order == "random":
            raise ConfigError("ranked_on needs an order by a measure")

    def n_ablated(self, n_units: int) -> np.ndarray:
        """Numbers of ablated units to read accuracy at, int64, 0 and all of them included.

        >>> CumulativeConfig(points=3).n_ablated(1024).tolist()
        [0, 512, 1024]
        >>> len(CumulativeConfig(points=0).n_ablated(1024))
        1025
        """
        if not self.points or self.points > n_units:
            return np.arange(n_units + 1)
        return np.unique(np.rint(np.linspace(0, n_units, max(self.points, 2))).astype(np.int64))

    def n_lesions(self, n_units: int) -> int:
        """How many lesions the sweep makes; each order begins with the intact network."""
        return (self.orders if self.order == "random" else 1) * len(self.n_ablated(n_units))

    @property
    def other_images(self) -> str:
        """`ranked_on`."""
        return self.ranked_on


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
        check_shape("n_correct", self.n_correct, (n_orders, n_points))
        if self.n_top5 is not None:
            check_shape("n_top5", self.n_top5, (n_orders, n_points))
        check_shape("loss", self.loss, (n_orders, n_points))
        check_shape("orders", self.orders, (n_orders, n_units))
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


COLUMNS = {
    "order": "Number of the order in which units are ablated, from 0.",
    "n_ablated": "How many units are ablated.",
    "n_correct": "Images that are classified correctly.",
    "n_images": "Images that were read.",
    "accuracy": "n_correct / n_images.",
    "loss": "Mean cross-entropy over the images, in nats.",
}


def rows(curve: AblationCurve) -> Iterator[tuple[Any, ...]]:
    """A row of COLUMNS for each point of each order."""
    columns = (curve.n_correct.tolist(), curve.accuracy.tolist(), curve.loss.tolist())
    for order, of_order in enumerate(zip(*columns, strict=True)):
        points = zip(curve.n_ablated.tolist(), *of_order, strict=True)
        for n_ablated, n_correct, accuracy, loss in points:
            yield order, n_ablated, n_correct, curve.n_images, accuracy, loss


def words(settings: CumulativeConfig) -> str:
    """The lesions of such a sweep.

    >>> words(CumulativeConfig(orders=3, last_layers=2, fill="mean"))
    'cumulative ablation, units clamped to mean, last 2 layers, random order'
    """
    what = "directions of a random basis" if settings.basis == "random" else "units"
    found = f"cumulative ablation, {what} clamped to {settings.fill.replace('_', ' ')}"
    if settings.last_layers:
        found += f", last {settings.last_layers} layers"
    if settings.order == "random":
        return f"{found}, random order"
    ends = "largest" if settings.descending else "smallest"
    return f"{found}, in order of {settings.order.replace('_', ' ')}, {ends} first"


CUMULATIVE = Kind(
    CumulativeConfig,
    AblationCurve,
    title="Cumulative ablation",
    table="curves",
    columns=tuple(COLUMNS),
    meanings=COLUMNS,
    rows=rows,
    words=words,
    panels=("curves",),
)
