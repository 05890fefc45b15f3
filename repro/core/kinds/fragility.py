"""How fragile each image is: single-unit lesions that change its answer, and the fewest units that
change it, in one network with true and with shuffled labels (docs/paper.md, "Fragile images")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from repro.core import metrics
from repro.core.kinds.kind import Kind, check_shape
from repro.core.settings import FILLS, SweepConfig, setting

SCORES = {
    "fragility": "fragility",
    "loss": "loss",
    "margin": "margin, its sign turned",
}
"""What shuffled labels may be found by, without knowing them; larger is more suspicious."""


@dataclass(frozen=True)
class FragilityConfig(SweepConfig):
    """Every unit alone, image by image; and more and more units of some images.

    fill: as in CumulativeConfig.
    flipped: how many images with shuffled labels, and how many with true ones, whose fewest units
        are sought, drawn among those that the network answers as they are labelled; 0 for none.
    most: most units of such an image.
    Other fields as in SweepConfig.
    """

    fill: str = setting("zero", choices=FILLS)
    flipped: int = setting(50, low=0)
    most: int = setting(32, low=1)

    kind: ClassVar[str] = "fragility"

    def n_lesions(self, n_units: int) -> int:
        """How many lesions the sweep makes of every image, the intact network included."""
        return n_units + 1


@dataclass(frozen=True)
class ImageTable:
    """Every image of a sweep: what the network answers, and how much that hangs on single units.

    layers: name and number of units of each layer.
    labels: int32 (n_images,), as the network was trained on, or tested.
    true_labels: int32 (n_images,), before some were shuffled; -1 where they are not known.
    answers: int32 (n_images,), the classes that the intact network answers.
    n_changed: int64 (n_images,), single-unit lesions that change the answer.
    loss: float64 (n_images,), nats; margin: float64 (n_images,), logit of the label less the best
        other one; both without a lesion.
    flipped: int64 (n,), rows of the images whose fewest units were sought.
    flip_units: int64 (n,), by greedy choice, an upper bound; -1 where the most allowed do not
        change the answer. flip_at_least: int64 (n,), a lower bound.
    images: "train" or "test". fill: what a lesioned unit reads.
    n_tied: (image, unit) pairs whose two best logits tie within rounding.
    """

    kind: ClassVar[str] = "fragility"

    layers: tuple[tuple[str, int], ...]
    labels: np.ndarray
    true_labels: np.ndarray
    answers: np.ndarray
    n_changed: np.ndarray
    loss: np.ndarray
    margin: np.ndarray
    flipped: np.ndarray
    flip_units: np.ndarray
    flip_at_least: np.ndarray
    images: str
    fill: str
    n_tied: int | None = None

    def __post_init__(self) -> None:
        for name in ("true_labels", "answers", "n_changed", "loss", "margin"):
            check_shape(name, getattr(self, name), self.labels.shape)
        for name in ("flip_units", "flip_at_least"):
            check_shape(name, getattr(self, name), self.flipped.shape)

    @property
    def n_images(self) -> int:
        return len(self.labels)

    @property
    def n_units(self) -> int:
        return sum(size for _, size in self.layers)

    @property
    def fragility(self) -> np.ndarray:
        """float64 (n_images,), in [0, 1]: share of the units whose lesion alone changes the
        answer."""
        return self.n_changed / max(1, self.n_units)

    @property
    def shuffled(self) -> np.ndarray:
        """bool (n_images,), whether the label is known to be another than the true one."""
        return (self.true_labels >= 0) & (self.true_labels != self.labels)

    @property
    def truthful(self) -> np.ndarray:
        """bool (n_images,), whether the label is known to be the true one."""
        return self.true_labels == self.labels

    def score(self, name: str) -> np.ndarray:
        """float64 (n_images,), one of `SCORES`: larger is more suspicious."""
        return -self.margin if name == "margin" else np.asarray(getattr(self, name), np.float64)

    def area(self, name: str) -> float:
        """Area under the ROC curve of finding shuffled labels by one of `SCORES`; NaN where no
        label, or every one, is shuffled."""
        known = self.true_labels >= 0
        return metrics.roc_area(self.score(name)[known], self.shuffled[known])

    def flips(self, shuffled: bool) -> np.ndarray:
        """int64 (n,), `flip_units` of the images with shuffled labels, or of those with true
        ones."""
        chosen = self.shuffled if shuffled else self.truthful
        return self.flip_units[chosen[self.flipped]]


COLUMNS = {
    "image": "Number of the image among those of the sweep, from 0.",
    "label": "Class that the network was trained on, or tested.",
    "true_label": "Class before labels were shuffled; empty where it is not known.",
    "answer": "Class that the intact network answers.",
    "fragility": "Share of the units whose lesion alone changes the answer.",
    "loss": "Cross-entropy of the label without a lesion, in nats.",
    "margin": "Logit of the label less the best other one, without a lesion.",
    "flip_units": "Units that together change the answer, chosen greedily; empty where they were "
    "not sought, -1 where as many as allowed do not change it.",
    "flip_at_least": "Lower bound of the fewest units that change the answer.",
}


def rows(table: ImageTable) -> Iterator[tuple[Any, ...]]:
    """A row of COLUMNS for each image."""
    place = {int(image): number for number, image in enumerate(table.flipped)}
    for image in range(table.n_images):
        at, truth = place.get(image), int(table.true_labels[image])
        yield (
            image,
            int(table.labels[image]),
            truth if truth >= 0 else None,
            int(table.answers[image]),
            float(table.fragility[image]),
            float(table.loss[image]),
            float(table.margin[image]),
            None if at is None else int(table.flip_units[at]),
            None if at is None else int(table.flip_at_least[at]),
        )


def words(settings: FragilityConfig) -> str:
    """The lesions of such a sweep.

    >>> words(FragilityConfig(flipped=0))
    'every unit alone, clamped to zero, image by image'
    >>> words(FragilityConfig(flipped=50))[-61:]
    'greedily more units of up to 50 images of each kind of labels'
    """
    alone = f"every unit alone, clamped to {settings.fill.replace('_', ' ')}, image by image"
    if not settings.flipped:
        return alone
    return f"{alone}; greedily more units of up to {settings.flipped} images of each kind of labels"


FRAGILITY = Kind(
    FragilityConfig,
    ImageTable,
    title="Fragile images",
    table="images",
    columns=tuple(COLUMNS),
    meanings=COLUMNS,
    rows=rows,
    words=words,
    reads="fragility of each image",
    panels=("fragile", "finding", "flips"),
)
