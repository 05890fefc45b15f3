"""Trained models from files: looked through, tried in another process, and only then loaded."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import keras

from repro.core.checked import from_dict
from repro.core.settings import TrainConfig
from repro.models import inspection, trial
from repro.models.keras_file import check, loaded, sentence


def load_model(path: str | Path, trusted: bool = False) -> keras.Model:
    """Loads a `.keras` model under Keras's safe mode, masks included.

    A file that this project did not write is looked through first (`inspection`), then loaded in a
    process of its own (`trial`, some ten seconds), and only then here. That refuses code, other
    files, and models that crash, hang or fill the memory; see `trial` for what it does not protect
    from. A file in a folder of a run, with its config and its training record beside it, counts as
    written by this project and is spared the trial: do not take over whole runs folders from
    people whom you do not trust.

    The model is not compiled. If its loss was one of Keras's own, it is kept as `model.loss`: the
    loss tells what the answers are.

    Args:
        trusted: you know who made the file: neither look through it nor try it, so that layers
            and functions that you have registered with Keras, or have named in
            `keras.saving.get_custom_objects()`, are loaded as well. Safe mode stays.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a complete `.keras` file, or a refused one; the sentence says who refuses it
            and what to do.
        RuntimeError: an installed Keras that is too old to load models of others.
    """
    path = Path(path)
    check(path)
    if not trusted:
        inspection.inspect(path)
        if not _of_a_run(path):
            trial.attempt(path)
    return loaded(path)


def model_from_function(name: str, weights: str | Path) -> keras.Model:
    """A model built by a function of the user's, with weights from a file that holds data alone.

    The remedy if `load_model` refuses a file. On the machine that has the model, write its weights
    with `model.save_weights("file.weights.h5")`.

    Args:
        name: "package.module:build", a function without arguments that returns a built
            `keras.Model`; the module must be importable, as from the current folder.
        weights: a `.weights.h5` file.

    Raises:
        FileNotFoundError: no such file of weights.
        ValueError: no such function, another kind of object, or weights that do not fit.
    """
    inspection.check_keras(keras.__version__)
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"expected a .weights.h5 file, as of model.save_weights, got {path}")
    inspection.check_weights(path, path)
    model = _built_by(name)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras raises many kinds here, too
        raise ValueError(
            f"the weights in {path} do not fit the model of {name}: {sentence(error)}"
        ) from error
    return model


def _built_by(name: str) -> keras.Model:
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise ValueError(f"expected package.module:function, got {name!r}")
    try:
        build = getattr(importlib.import_module(module_name), function_name)
    except ModuleNotFoundError as error:
        if error.name and not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module of the user's lacks another one
        raise ValueError(
            f"no module {error.name} for {name}; run from the folder that it is in, or install it"
        ) from error
    except AttributeError as error:
        raise ValueError(f"module {module_name} has no {function_name}") from error
    if not callable(build):
        raise ValueError(f"{name} is {type(build).__name__}, not a function")
    model = build()
    if not isinstance(model, keras.Model):
        raise ValueError(f"{name} returned {type(model).__name__}, not a keras.Model")
    if not model.built:
        raise ValueError(
            f"the model of {name} is not built: begin it with keras.Input, or call model.build"
        )
    return model


def _of_a_run(path: Path) -> bool:
    """Whether a folder of a run holds the file as its trained network."""
    folder = path.resolve().parent
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        known = from_dict(TrainConfig, values).run_id == folder.name
    except (OSError, ValueError, TypeError):
        return False
    return known and path.name == "model.keras" and (folder / "training.npz").is_file()
