"""The units of a study as a table: `Study.units` is its array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repro.core import metrics
from repro.core.kinds import UnitMeasures

UNIT_COLUMNS = (
    ("unit", np.int64),
    ("class_selectivity", np.float64),
    ("mutual_information", np.float64),
    ("mutual_information_bias", np.float64),
    ("importance", np.float64),
    ("accuracy_drop", np.float64),
    ("largest_class_drop", np.float64),
    ("mean_activation", np.float64),
    ("sparsity", np.float64),
    ("dead", np.bool_),
    ("redundant", np.bool_),
)
"""Columns of `Study.units` after the first, which is the layer's name."""

# Part of a mean loss that the order of summation explains.
ROUNDING = 1e-6


@dataclass(frozen=True)
class StudiedUnits(UnitMeasures):
    """`UnitMeasures` of a network of any task, of whose units some may not have been lesioned.

    n_correct, loss: float64, NaN where the unit was not lesioned.
    n_answers: int64 (n_columns,), the answers in each column of n_correct: the images of each
        class, or all images for each of several yes-or-no answers; (0,) where no answer is right
        or wrong.
    variance: float64 (n_units,) of the activation, over images and positions.
    has_classes: whether each image has a class.
    """

    n_answers: np.ndarray
    variance: np.ndarray
    has_classes: bool

    @property
    def answer_counts(self) -> np.ndarray:
        """`n_answers`."""
        return self.n_answers

    @property
    def class_selectivity(self) -> np.ndarray:
        """float64 (n_units,) in [0, 1]; NaN without classes and for units with a negative mean."""
        if not self.has_classes:
            return np.full(self.n_units, np.nan)
        return defined_selectivity(self.class_means, self.class_counts)

    @property
    def dead(self) -> np.ndarray:
        """bool (n_units,): 0 on every image; activations of either sign may also average to 0."""
        return super().dead & (self.variance == 0)

    @property
    def redundant(self) -> np.ndarray:
        """bool (n_units,): not dead, and removing it alone neither raises the loss nor loses
        images on balance."""
        raised = self.importance > ROUNDING * abs(self.intact_loss)
        harmless = ~np.isnan(self.loss) & ~raised & ~(self.accuracy_drop > 0)
        return harmless & ~self.dead

    def to_array(self) -> np.ndarray:
        """A structured array (n_units,) of the layers' names and UNIT_COLUMNS."""
        longest = max(len(name) for name, _ in self.layers)
        array = np.zeros(self.n_units, [("layer", f"U{longest}"), *UNIT_COLUMNS])
        array["layer"], array["unit"] = self.layer_names, self.unit_indices
        for name, _ in UNIT_COLUMNS[1:]:
            array[name] = getattr(self, name)
        return array


def defined_selectivity(
    class_means: np.ndarray, class_counts: np.ndarray | None = None
) -> np.ndarray:
    """float64 (n_units,), `metrics.class_selectivity`; NaN for units with a negative class mean.

    >>> defined_selectivity(np.array([[3.0, -1.0], [1.0, 2.0]]))
    array([0.5, nan])
    """
    defined = np.all(class_means >= 0, axis=0)
    found = np.full(class_means.shape[1], np.nan)
    found[defined] = metrics.class_selectivity(class_means[:, defined], class_counts)
    return found
