"""Measures the activity of units on a set of images in one pass, as input of the paper's
measures."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from repro.core import metrics

# Activations that are kept in memory to place the bins of mutual information: 512 MB.
HELD = 128_000_000


@dataclass(frozen=True)
class UnitStatistics:
    """Activations of the intact network's units; feature maps are averaged over positions.

    class_means: float64 (n_classes, n_units), mean over the images of each class; 0 for a class
        without images, which no measure counts.
    class_counts: int64 (n_classes,), images of each class.
    variance: float64 (n_units,), over images and, for feature maps, positions: the square of the
        noise scale of paper section 2.2.
    sparsity: float64 (n_units,) in [0, 1], fraction of images and positions where it is exactly 0.
    position_means: for each layer float64 (*positions, n_units), mean over images at each
        position: the fill of the paper's mean ablation (appendix A.1).
    binned: int32 (n_units, n_bins, n_occurring), how often the activation was in each bin for
        each class that has images, in their order. Exact zeros are a bin, the others hold equal
        mass (docs/paper.md, "Mutual information").
    top_images: int64 (n_units, n_top), numbers in the set of the images with the unit's largest
        activations, largest first; -1 where fewer images drive the unit. top_activations: float32
        (n_units, n_top), the activations on those images.
    """

    class_means: np.ndarray
    class_counts: np.ndarray
    variance: np.ndarray
    sparsity: np.ndarray
    position_means: tuple[np.ndarray, ...]
    binned: np.ndarray
    top_images: np.ndarray
    top_activations: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """float64 (n_units,), mean over all images: the fill of mean ablation."""
        return np.dot(self.class_counts, self.class_means) / self.class_counts.sum()

    @property
    def n_occurring(self) -> int:
        """Classes that have images."""
        return int(np.count_nonzero(self.class_counts))

    @property
    def bin_counts(self) -> np.ndarray:
        """int32 (n_units, n_bins, n_classes), `binned` with zeros for classes without images."""
        counts = np.zeros((*self.binned.shape[:2], len(self.class_counts)), np.int32)
        counts[:, :, self.class_counts > 0] = self.binned
        return counts

    @functools.cached_property
    def class_selectivity(self) -> np.ndarray:
        """float64 (n_units,) in [0, 1], over the classes that occur (paper section 2.3); NaN where
        fewer than two do."""
        return metrics.class_selectivity(self.class_means, self.class_counts)

    @functools.cached_property
    def mutual_information(self) -> np.ndarray:
        """float64 (n_units,), bits that the activation tells about the class, bias included."""
        return metrics.mutual_information(self.binned)

    @functools.cached_property
    def mutual_information_bias(self) -> np.ndarray:
        """float64 (n_units,), bits that `mutual_information` gives on average to a unit that is
        independent of the class."""
        return metrics.mutual_information_bias(self.binned)


class Accumulator:
    """Gathers `UnitStatistics` batch by batch.

    The first images place the bins, as many as fit in `HELD` activations. The bins hold equal mass
    exactly if these are all images. A longer stream should be shuffled.

    Args:
        sizes: units of each layer. n_classes, n_bins, n_top: see UnitStatistics.
    """

    def __init__(self, sizes: Sequence[int], n_classes: int, n_bins: int, n_top: int) -> None:
        n_units = sum(sizes)
        self.n_classes, self.n_bins, self.n_images = n_classes, n_bins, 0
        self._class_sums = np.zeros((n_classes, n_units))
        self._class_counts = np.zeros(n_classes, np.int64)
        self._within = np.zeros(n_units)
        self._zeros = np.zeros(n_units)
        # The mean of the images' means and the sum of their squared deviations so far (Chan et al.
        # 1979).
        self._mean, self._deviation = np.zeros(n_units), np.zeros(n_units)
        self._position_sums: list[np.ndarray] | None = None
        self._held: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_held = max(1, HELD // max(1, n_units))
        self._edges: np.ndarray | None = None
        self._classes = np.zeros(0, np.int64)  # that had images when activations were binned
        self._binned = np.zeros((n_units, n_bins, 0), np.int32)
        self._top_images = np.full((n_top, n_units), -1, np.int64)
        self._top = np.full((n_top, n_units), -np.inf, np.float32)

    def add(
        self,
        labels: np.ndarray,
        means: np.ndarray,
        within: np.ndarray,
        zeros: np.ndarray,
        position_sums: Sequence[np.ndarray],
    ) -> None:
        """One batch.

        Args:
            labels: int (n,). means, within, zeros: float (n, n_units), of each image over the
                positions: mean, variance, fraction of exact zeros.
            position_sums: for each layer (*positions, n_units), summed over the batch.
        """
        n = len(labels)
        means64 = means.astype(np.float64)
        members = np.eye(self.n_classes)[labels]
        self._class_sums += np.dot(members.T, means64)
        self._class_counts += np.bincount(labels, minlength=self.n_classes)
        self._within += within.sum(axis=0, dtype=np.float64)
        self._zeros += zeros.sum(axis=0, dtype=np.float64)
        mean = means64.mean(axis=0)
        away = mean - self._mean
        total = self.n_images + n
        self._deviation += ((means64 - mean) ** 2).sum(axis=0) + away**2 * self.n_images * n / total
        self._mean += away * n / total
        if self._position_sums is None:
            self._position_sums = [np.zeros(part.shape) for part in position_sums]
        for whole, part in zip(self._position_sums, position_sums, strict=True):
            whole += part
        self._keep_top(means)
        self.n_images = total
        if self._edges is not None:
            self._bin(means, labels, self._edges)
        else:
            self._held.append((means, labels))
            if self.n_images >= self._n_held:
                self._place_bins()

    def result(self) -> UnitStatistics:
        if self._edges is None:
            self._place_bins()
        counts = self._class_counts
        return UnitStatistics(
            class_means=self._class_sums / np.maximum(counts, 1)[:, None],
            class_counts=counts,
            variance=(self._within + self._deviation) / self.n_images,
            sparsity=self._zeros / self.n_images,
            position_means=tuple(part / self.n_images for part in self._position_sums or ()),
            binned=self._binned,
            top_images=self._top_images.T.copy(),
            top_activations=np.maximum(self._top, 0).T,
        )

    def _place_bins(self) -> None:
        means = np.concatenate([part for part, _ in self._held])
        labels = np.concatenate([part for _, part in self._held])
        self._held = []
        self._edges = metrics.equal_mass_edges(means, self.n_bins)
        self._bin(means, labels, self._edges)

    def _bin(self, means: np.ndarray, labels: np.ndarray, edges: np.ndarray) -> None:
        """Counts images in bins, for the classes that have occurred so far."""
        new = np.setdiff1d(labels, self._classes)
        if len(new):
            places = np.searchsorted(self._classes, new)
            self._binned = np.insert(self._binned, places, 0, axis=2)
            self._classes = np.insert(self._classes, places, new)
        classes = np.searchsorted(self._classes, labels)
        self._binned += metrics.bin_counts(means, classes, edges, len(self._classes))

    def _keep_top(self, means: np.ndarray) -> None:
        values = np.concatenate([self._top, means])
        numbers = np.concatenate(
            [
                self._top_images,
                np.broadcast_to(self.n_images + np.arange(len(means))[:, None], means.shape),
            ]
        )
        # Only images with an activation above 0 count: equal activations above 0 are rare.
        values = np.where(values > 0, values, -np.inf)
        n_top = len(self._top)
        best = np.argpartition(-values, n_top - 1, axis=0)[:n_top] if n_top else numbers[:0]
        order = np.argsort(-np.take_along_axis(values, best, axis=0), axis=0, kind="stable")
        best = np.take_along_axis(best, order, axis=0)
        self._top = np.take_along_axis(values, best, axis=0)
        silent = np.isneginf(self._top)
        self._top_images = np.where(silent, -1, np.take_along_axis(numbers, best, axis=0))
