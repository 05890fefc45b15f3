"""A `.keras` file loaded under Keras's safe mode, and what Keras says where it cannot."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import keras

from repro.models import inspection


def check(path: Path) -> None:
    """Refuses a file that the installed Keras cannot or must not load.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a `.keras` file of Keras 3.
        RuntimeError: an installed Keras that is too old to load models of others.
    """
    inspection.check_keras(keras.__version__)
    inspection.check_written_by(path)


def loaded(path: Path) -> keras.Model:
    """The model in a file, not compiled; it has the attribute `loss` if the file tells the loss.

    Raises:
        ValueError: Keras cannot load the file; the sentence says why.
    """
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a damaged archive
        raise ValueError(
            f"{path} cannot be loaded as a Keras model: {_unknown(error) or sentence(error)}"
        ) from error
    loss = _loss_in(path)
    if loss is not None:
        model.loss = loss
    return model


def _loss_in(path: Path) -> Any:
    """The loss that the file's model was compiled with, or a dict or list of losses, where they are
    of Keras's own; else None. Nothing else of how it was compiled is looked at."""
    try:
        with inspection.opened(path) as archive:
            config = json.loads(archive.read("config.json"))
        return _of_keras(config["compile_config"]["loss"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _of_keras(loss: Any) -> Any:
    if isinstance(loss, list):
        return [_of_keras(one) for one in loss]
    if isinstance(loss, str):
        keras.losses.get(loss)  # raises for an unknown name
        return loss
    if not isinstance(loss, dict):
        return None
    if "class_name" not in loss:
        return {name: _of_keras(one) for name, one in loss.items()}
    if loss.get("module") != "keras.losses" or not isinstance(loss.get("config"), dict):
        return None
    kind = getattr(keras.losses, str(loss["class_name"]), None)
    if not (inspect.isclass(kind) and issubclass(kind, keras.losses.Loss)):
        return None
    plain = {k: v for k, v in loss["config"].items() if isinstance(v, str | int | float | bool)}
    made: keras.losses.Loss = kind.from_config(plain)  # type: ignore[attr-defined]
    return made


def _unknown(error: Exception) -> str:
    """What to do about a class or function that Keras does not know; "" for other errors."""
    chain: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < 10:
        chain.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    found = re.search(r"Could not locate (class|function) '([^']{1,100})'", " ".join(chain))
    if found is None:
        return ""
    kind, name = found.groups()
    return (
        f"Keras does not know the {kind} {name!r}; import the module that registers it with "
        "keras.saving.register_keras_serializable, or name it in keras.saving.get_custom_objects()"
    )


def sentence(error: Exception) -> str:
    """Keras's error in one line; for weights that do not fit, why the first ones do not fit."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if lines[0].startswith("A total of ") and len(lines) > 1:
        return f"weights do not fit their layers: {lines[1]}"
    return lines[0]
