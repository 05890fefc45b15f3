"""Inputs brought to the order of a model's."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers as L

from repro.data.given import taken
from repro.models.inputs import in_order, shapes_of


@pytest.mark.parametrize("dtype", ["object", "category"])
def test_a_table_with_a_column_of_text_names_it_and_the_cure_works(dtype: str) -> None:
    """A DataFrame for a model of one input; its other columns are numbers."""
    frame = pd.DataFrame({"age": [3.0, 4.0, 5.0], "city": ["Bern", "Oslo", "Bern"], "n": [1, 2, 3]})
    frame["city"] = frame["city"].astype(dtype)
    model = keras.Sequential([keras.Input((2,)), L.Dense(3)])

    def ordered(table: pd.DataFrame, model: keras.Model = model) -> list[np.ndarray]:
        given = taken(table, wanted=shapes_of(model))
        return in_order(model, given.inputs, given.names, given.table)

    with pytest.raises(ValueError) as caught:
        ordered(frame)
    said = str(caught.value)
    assert "the DataFrame has text or categories in 'city'; leave that out" in said
    assert "frame.drop(columns=['city'])" in said and "pandas.get_dummies(frame)" in said
    (dropped,) = ordered(frame.drop(columns=["city"]))
    np.testing.assert_array_equal(dropped, frame[["age", "n"]])
    wider = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    (encoded,) = ordered(pd.get_dummies(frame), wider)
    np.testing.assert_array_equal(encoded[:, 2:], [[1, 0], [0, 1], [1, 0]])
