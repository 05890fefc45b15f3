"""A selective unit and a confusing one, with the images that drive them most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from repro.core.kinds.kind import Kind, check_shape
from repro.core.settings import FILLS, SweepConfig, setting


@dataclass(frozen=True)
class PortraitsConfig(SweepConfig):
    """A selective unit and a confusing one: what drives each, and what its ablation costs.

    The first picture of DeepMind's post (docs/paper.md, "The pictures of DeepMind's post"). The
    candidates are the units whose importance lies above the median, so that neither is picked for
    doing nothing. The selective unit has the largest class selectivity of the candidates, the
    confusing one the smallest.

    n_top: how many images to keep for each unit: those with its largest activations.
    last_layers: number of masked layers, from the last, to pick from; 0 for all. The default is 1:
        importance and selectivity both change with depth, and two units of one layer have the same
        depth.
    fill: as in CumulativeConfig.
    Other fields as in SweepConfig.
    """

    n_top: int = setting(8, low=1, high=64)
    fill: str = setting("zero", choices=FILLS)
    last_layers: int = setting(1, low=0)

    kind: ClassVar[str] = "portraits"

    def n_lesions(self, n_units: int) -> int:
        """How many lesions the sweep makes at most, the intact network included."""
        return n_units + 1


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
            check_shape(name, getattr(self, name), (n_picked,))
        check_shape("class_means", self.class_means, (len(self.class_means), n_picked))
        for name in ("top_labels", "top_activations"):
            check_shape(name, getattr(self, name), (n_picked, n_top))
        check_shape("top_images", self.top_images, (n_picked, n_top, *self.top_images.shape[2:]))

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


COLUMNS = {
    "role": "Why the unit was picked: selective or confusing.",
    "unit": "The unit's layer, and its number within the layer.",
    "class_selectivity": "Class selectivity of the unit, 0 to 1.",
    "importance": "Change of the mean loss when the unit is ablated, in nats.",
    "rank": "Rank by importance among the units; 1 is the most important.",
    "n_units": "Units that the rank is among.",
    "class": "Number of a class.",
    "mean_activation": "Mean activation of the unit over the images of the class.",
    "top_images": "How many of the images that drive the unit most are of the class.",
}


def rows(found: Portraits) -> Iterator[tuple[Any, ...]]:
    """A row of COLUMNS for each picked unit and class; top_images counts the shown images of the
    class."""
    for index, role in enumerate(found.roles):
        unit = (
            role,
            found.name(role),
            float(found.class_selectivity[index]),
            float(found.importance[index]),
            int(found.rank[index]),
            found.n_units,
        )
        for number, mean in enumerate(found.class_means[:, index].tolist()):
            shown = int(np.count_nonzero(found.top_labels[index] == number))
            yield (*unit, number, mean, shown)


def words(settings: PortraitsConfig) -> str:
    """The lesions of such a sweep, and how units are picked."""
    where = f" of the last {settings.last_layers} layers" if settings.last_layers > 1 else ""
    where = " of the last layer" if settings.last_layers == 1 else where
    return (
        f"every unit{where} alone, clamped to {settings.fill.replace('_', ' ')}; of those whose "
        "importance lies above the median, the most class-selective one and the least"
    )


PORTRAITS = Kind(
    PortraitsConfig,
    Portraits,
    title="Portraits",
    table="portraits",
    columns=tuple(COLUMNS),
    meanings=COLUMNS,
    rows=rows,
    words=words,
    panels=("portrait",),
)
