"""No lesion: accuracy and loss of the intact network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from repro.core.kinds.kind import Kind
from repro.core.settings import SweepConfig


@dataclass(frozen=True)
class IntactConfig(SweepConfig):
    """No lesion: accuracy and loss of the intact network, for example at snapshots (Fig. 4).

    Fields as in SweepConfig.
    """

    kind: ClassVar[str] = "intact"

    def n_lesions(self, n_units: int) -> int:
        """One: the intact network."""
        return 1


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


COLUMNS = {
    "n_correct": "Images that are classified correctly.",
    "n_images": "Images that were read.",
    "accuracy": "n_correct / n_images.",
    "loss": "Mean cross-entropy over the images, in nats.",
}


def rows(found: Intact) -> Iterator[tuple[Any, ...]]:
    """One row of COLUMNS."""
    yield found.n_correct, found.n_images, found.accuracy, found.loss


def words(settings: IntactConfig) -> str:
    """That there is no lesion."""
    return f"none, on {settings.images} images"


INTACT = Kind(
    IntactConfig,
    Intact,
    title="Intact network",
    table="intact",
    columns=tuple(COLUMNS),
    meanings=COLUMNS,
    rows=rows,
    words=words,
)
