"""The network of a study as it was when the study was made, whatever becomes of the model later."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np


class Frozen:
    """A copy of a model's weights, and the model with them: to be saved, or sent elsewhere.

    The model itself is never assigned to: it may share its layers with one that is trained on.

    Args:
        model: built, in the state to keep.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._values = [
            np.array(keras.ops.convert_to_numpy(variable.value)) for variable in model.variables
        ]

    def save(self, path: str | Path) -> None:
        """Writes the model with the weights that it had, as a `.keras` file."""
        with self._held():
            self._model.save(path)

    def to_bytes(self) -> bytes:
        """The model with the weights that it had, for `from_bytes`.

        Raises:
            TypeError: a layer of the model cannot be copied.
        """
        try:
            with self._held():
                return pickle.dumps(self._model)
        except Exception as error:
            raise TypeError(
                f"a study is copied and pickled with its model, and Keras cannot copy "
                f"{self._model.name!r} ({error}); give layers of your own a get_config and "
                "register them with keras.saving.register_keras_serializable(), or pickle "
                "study.units and study.curves, which are NumPy arrays and a record of them"
            ) from error

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """While it is read, the model has the weights that it had."""
        pairs = [
            (variable, keras.ops.convert_to_tensor(value, variable.dtype))
            for variable, value in zip(self._model.variables, self._values, strict=True)
        ]
        with keras.StatelessScope(pairs):
            yield


def from_bytes(content: bytes) -> keras.Model:
    """The model of `Frozen.to_bytes`.

    Raises:
        TypeError: a layer of it cannot be made here.
    """
    try:
        model: keras.Model = pickle.loads(content)
    except Exception as error:
        raise TypeError(
            f"a pickled study holds a model that Keras cannot build here ({error}); import the "
            "module that registers your own layers before the study is loaded"
        ) from error
    return model
