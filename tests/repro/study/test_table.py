"""The units of a study by hand, and beside the record of a sweep."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from repro.core.kinds import UnitTable
from repro.study.table import UNIT_COLUMNS, StudiedUnits
from tests.helpers import synthetic

NAN = np.nan


def four_units(**changes: Any) -> StudiedUnits:
    """A layer of three units and one of one, on two images of class 0 and two of class 1: the first
    matters, the second is redundant, the third is dead, and the last was not lesioned."""
    made = StudiedUnits(
        layers=(("a", 3), ("b", 1)),
        class_means=np.array([[3.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]),
        n_correct=np.array([[0, 2], [2, 2], [2, 1], [NAN, NAN]]),
        loss=np.array([0.9, 0.5, 0.5, NAN]),
        intact_correct=np.array([2, 1]),
        intact_loss=0.5,
        class_counts=np.array([2, 2]),
        sparsity=np.zeros(4),
        mutual_information=np.ones(4),
        mutual_information_bias=np.zeros(4),
        n_answers=np.array([2, 2]),
        variance=np.array([1.0, 1.0, 0.0, 1.0]),
        has_classes=True,
    )
    return dataclasses.replace(made, **changes)


def test_the_columns_of_a_table_by_hand() -> None:
    array = four_units().to_array()
    assert array["layer"].tolist() == ["a", "a", "a", "b"]
    assert array["unit"].tolist() == [0, 1, 2, 0]
    np.testing.assert_allclose(array["class_selectivity"], [0.5, 0, 0, 0])
    np.testing.assert_allclose(array["importance"], [0.4, 0, 0, NAN])
    np.testing.assert_allclose(array["accuracy_drop"], [0.25, -0.25, 0, NAN])
    np.testing.assert_allclose(array["largest_class_drop"], [1, 0, 0, NAN])
    np.testing.assert_allclose(array["mean_activation"], [2, 1, 0, 0])
    # The last unit's activations average to 0 and yet vary: it is not dead.
    assert array["dead"].tolist() == [False, False, True, False]
    assert array["redundant"].tolist() == [False, True, False, False]


def test_without_classes_and_right_answers_what_depends_on_them_is_not_defined() -> None:
    array = four_units(
        has_classes=False,
        class_means=np.ones((1, 4)),
        class_counts=np.array([4]),
        n_answers=np.zeros(0, int),
        intact_correct=np.zeros(0, int),
        n_correct=np.zeros((4, 0)),
        mutual_information=np.full(4, NAN),
        mutual_information_bias=np.full(4, NAN),
    ).to_array()
    for name in ("class_selectivity", "mutual_information", "accuracy_drop", "largest_class_drop"):
        assert np.isnan(array[name]).all()
    np.testing.assert_allclose(array["importance"], [0.4, 0, 0, NAN])


def test_several_answers_an_image_are_shares_of_all_answers() -> None:
    """Three yes-or-no answers on four images: twelve answers, four a column."""
    found = four_units(
        has_classes=False,
        n_answers=np.full(3, 4),
        intact_correct=np.array([4, 4, 4]),
        n_correct=np.array([[1, 4, 4], [4, 4, 4], [4, 4, 4], [NAN, NAN, NAN]]),
    )
    np.testing.assert_allclose(found.accuracy_drop, [0.25, 0, 0, NAN])
    np.testing.assert_allclose(found.class_drops[0], [0.75, 0, 0])


def test_a_study_and_a_sweep_have_the_same_columns() -> None:
    sweep = synthetic.unit_table()
    shared = {
        item.name: getattr(sweep, item.name)
        for item in dataclasses.fields(StudiedUnits)
        if item.name not in ("n_answers", "variance", "has_classes")
    }
    study = StudiedUnits(
        **shared,
        n_answers=sweep.class_counts,
        variance=np.ones(sweep.n_units),
        has_classes=True,
    )
    array = study.to_array()
    for name, _ in UNIT_COLUMNS[1:]:
        if hasattr(UnitTable, name) and name != "dead":
            np.testing.assert_allclose(array[name], getattr(sweep, name), rtol=1e-12)
    assert array["layer"].tolist() == sweep.layer_names.tolist()


@pytest.mark.parametrize("name", ["loss", "n_correct", "intact_correct", "class_means"])
def test_arrays_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must have shape"):
        four_units(**{name: np.zeros(7)})
