"""Gaussian noise on all units at once (paper section 2.2, Fig. 2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from repro.core.kinds.kind import Kind, check_shape
from repro.core.settings import ConfigError, SweepConfig, setting


@dataclass(frozen=True)
class NoiseConfig(SweepConfig):
    """Gaussian noise on all units at once (paper section 2.2, Fig. 2).

    The standard deviation of a unit's noise is scale * (standard deviation of the unit over the
    images). The paper scales the variance and names no values; as in published code, the scale here
    multiplies the standard deviation and runs from 10^-1.5 to 10 (docs/paper.md, "Noise").

    scales: how many, spaced evenly in their logarithm from `smallest` to `largest`.
    draws: how often the noise is drawn anew.
    per: "position": a draw for each position of a feature map; "map": one draw for the whole map.
        The paper does not say.
    Other fields as in SweepConfig.
    """

    scales: int = setting(15, low=2)
    smallest: float = setting(0.03162, above=0.0)
    largest: float = setting(10.0, above=0.0)
    draws: int = setting(10, low=1)
    images: str = setting("train", choices=("train", "test"))
    per: str = setting("position", choices=("position", "map"))

    kind: ClassVar[str] = "noise"

    def __post_init__(self) -> None:
        if self.smallest >= self.largest:
            raise ConfigError(
                "noise: smallest must be below largest. "
                f"Received: smallest={self.smallest}, largest={self.largest}"
            )

    def values(self) -> np.ndarray:
        """float64 (1 + scales,): 0, the intact network, and then the scales, rising.

        >>> NoiseConfig(scales=3, smallest=0.1).values().round(6).tolist()
        [0.0, 0.1, 1.0, 10.0]
        """
        return np.r_[0.0, np.geomspace(self.smallest, self.largest, self.scales)]

    def n_lesions(self, n_units: int) -> int:
        """How many passes over the images the sweep makes, not counting passes for statistics."""
        return self.draws * (1 + self.scales)


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
            check_shape(name, getattr(self, name), shape)
        if self.scales[0] != 0 or np.any(np.diff(self.scales) <= 0):
            raise ValueError(f"scales must rise from 0, got {self.scales}")

    @property
    def accuracy(self) -> np.ndarray:
        """float64 (n_draws, n_scales), fraction of images classified correctly."""
        return self.n_correct / self.n_images


COLUMNS = {
    "draw": "Number of the draw of the noise, from 0.",
    "scale": "Standard deviation of the noise, as a multiple of each unit's own; 0 without noise.",
    "n_correct": "Images that are classified correctly.",
    "n_images": "Images that were read.",
    "accuracy": "n_correct / n_images.",
    "loss": "Mean cross-entropy over the images, in nats.",
}


def rows(curve: NoiseCurve) -> Iterator[tuple[Any, ...]]:
    """A row of COLUMNS for each scale of each draw."""
    columns = (curve.n_correct.tolist(), curve.accuracy.tolist(), curve.loss.tolist())
    for draw, of_draw in enumerate(zip(*columns, strict=True)):
        points = zip(curve.scales.tolist(), *of_draw, strict=True)
        for scale, n_correct, accuracy, loss in points:
            yield draw, scale, n_correct, curve.n_images, accuracy, loss


def words(settings: NoiseConfig) -> str:
    """The noise of such a sweep."""
    drawn = ", one draw for each feature map" if settings.per == "map" else ""
    return f"noise of {settings.smallest:g} to {settings.largest:g} s.d. on all units{drawn}"


NOISE = Kind(
    NoiseConfig,
    NoiseCurve,
    title="Noise",
    table="noise",
    columns=tuple(COLUMNS),
    meanings=COLUMNS,
    rows=rows,
    words=words,
    panels=("noise",),
)
