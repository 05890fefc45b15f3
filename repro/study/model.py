"""The network of a study as it was when the study was made, whatever becomes of the model later."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from repro.engine import verify
from repro.models.inputs import structure_of
from repro.models.layer_state import LayerState
from repro.models.outputs import outputs_of

# Difference of two answers that the order of summation can cause, relative to the largest answer.
_CLOSE = 1e-3

_CURE = (
    "register layers and functions of your own with "
    "keras.saving.register_keras_serializable() under names that Keras has not, and let get_config "
    "hold all that __init__ is given"
)


class NotTheModel(ValueError):
    """What was written or read is another network than the one that was studied."""


class Frozen:
    """A copy of a model's weights, and the model with them: to be saved, or sent elsewhere.

    The model itself is never assigned to: it may share its layers with one that is trained on.

    Args:
        model: built, in the state to keep.
        witness: a few inputs, an array or a tuple of them, and what the model answered.
    """

    def __init__(self, model: keras.Model, witness: tuple[Any, np.ndarray]) -> None:
        # The copy has no optimizer and no metrics, whose variables Keras would make as it saves.
        self._model = keras.Model(structure_of(model), outputs_of(model), name=model.name)
        self._state, self.witness = LayerState(model), witness
        self._variables = list(model.variables)
        self._values = [
            np.array(keras.ops.convert_to_numpy(variable.value)) for variable in self._variables
        ]

    def save(self, path: Path) -> None:
        """Writes the model with the weights that it had, as a `.keras` file.

        Raises:
            ValueError: Keras cannot save it, or would read another network from the file.
        """
        with self._held():
            try:
                self._model.save(path)
            except Exception as error:  # Keras and layers of the user's raise many kinds
                raise ValueError(
                    f"Keras cannot save model {self._model.name!r} ({_first_line(error)}); "
                    f"{_CURE}; the study's report and its summaries need no file of the model"
                ) from error
        try:
            # A file with layers that Keras does not know here fails; `repro.load_model` then tells
            # what to do.
            saved = keras.saving.load_model(path, compile=False, safe_mode=False)
        except Exception:
            return
        check(saved, self.witness, "the file would hold")

    def to_bytes(self) -> bytes:
        """The model with the weights that it had, for `from_bytes`.

        Raises:
            TypeError: a layer of the model cannot be copied.
            ValueError: the copy would be another network.
        """
        try:
            with self._held():
                content = pickle.dumps(self._model)
            copied = pickle.loads(content)
        except Exception as error:
            raise TypeError(
                f"a study is copied and pickled with its model, and Keras cannot copy "
                f"{self._model.name!r} ({_first_line(error)}); {_CURE}, or pickle study.units and "
                "study.curves, which are NumPy arrays and a record of them"
            ) from error
        check(copied, self.witness, "the copy would be")
        return content

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """While it is read, the model has the weights that it had.

        Raises:
            ValueError: its layers have other variables now.
        """
        now = self._model.variables
        if len(now) != len(self._variables) or any(
            a is not b for a, b in zip(now, self._variables, strict=True)
        ):
            raise ValueError(
                f"the layers of model {self._model.name!r} were given other variables since it was "
                "studied, as quantize and enable_lora do; save the study before, or make it anew"
            )
        pairs = [
            (variable, keras.ops.convert_to_tensor(value, variable.dtype))
            for variable, value in zip(self._variables, self._values, strict=True)
        ]
        with self._state.held(), keras.StatelessScope(pairs):
            yield


def check(model: keras.Model, witness: tuple[Any, np.ndarray], what: str) -> None:
    """Whether a model that was written or read answers as the one that was studied.

    Raises:
        NotTheModel: it does not.
    """
    inputs, expected = witness
    found = verify.answers_of(model, inputs)
    close = _CLOSE * max(float(np.abs(expected).max(initial=0)), 1e-30)
    if found.shape != expected.shape or not np.all(np.abs(found - expected) <= close):
        away = ""
        if found.shape == expected.shape:
            away = f" (answers differ by up to {np.abs(found - expected).max():.3g})"
        raise NotTheModel(
            f"{what} another network than the one that was studied{away}: Keras saves a function "
            f"by its name, and a layer by its get_config; {_CURE}"
        )


def from_bytes(content: bytes, witness: tuple[Any, np.ndarray]) -> keras.Model:
    """The model of `Frozen.to_bytes`.

    Args:
        witness: of the `Frozen`.

    Raises:
        TypeError: a layer of it cannot be made here. NotTheModel: it answers otherwise here.
    """
    try:
        model: keras.Model = pickle.loads(content)
    except Exception as error:
        raise TypeError(
            f"a pickled study holds a model that Keras cannot build here ({_first_line(error)}); "
            "import the module that registers your own layers before the study is loaded"
        ) from error
    check(model, witness, "the pickled study holds")
    return model


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
