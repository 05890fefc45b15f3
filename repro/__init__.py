"""A laboratory for lesioning neural networks in Keras 3.

Reproduces Morcos, Barrett, Rabinowitz and Botvinick, "On the importance of single directions for
generalization", ICLR 2018 (arXiv:1803.06959). The paper's finding: networks that memorise their
training data rely more on single directions (units) than networks that generalise, and how
selective a unit is for a class says little about how much the network needs it.

Nine rooms, and a room imports only those that stand before it:

    core, data, models                what is given: settings and records, images, a model
    engine, training, experiments     what is done: lesions, trainings, plans of both
    display, paper, study             what is said: plots, the paper's claims, your own network

In one sentence: a network is given, lesioned many times, and reported on. Each room's `__init__`
says what lives there and which file to open first; `__main__` is the command line.

`import repro` is light: Keras is imported when it is first needed. Whenever Keras is imported
after or before it, the masking layer is registered, so that plain `keras.models.load_model` reads
this project's models.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from repro.engine.engine import Engine
    from repro.models.insertion import (
        HiddenLayer,
        ablate,
        drawing,
        hidden_layers,
        insert_masks,
        restore,
    )
    from repro.models.loading import load_model, model_from_function
    from repro.models.masking import AblationMask, ablation_masks
    from repro.models.networks import convnet, mlp, resnet50
    from repro.study.study import lesion
    from repro.training.callback import SingleDirectionReliance
    from repro.training.recovery import recover
    from repro.training.regularizers import SelectivityRegularized

__all__ = [
    "AblationMask",
    "Engine",
    "HiddenLayer",
    "SelectivityRegularized",
    "SingleDirectionReliance",
    "ablate",
    "ablation_masks",
    "convnet",
    "drawing",
    "hidden_layers",
    "insert_masks",
    "lesion",
    "load_model",
    "mlp",
    "model_from_function",
    "recover",
    "resnet50",
    "restore",
]

_HOMES = {
    "AblationMask": "repro.models.masking",
    "Engine": "repro.engine.engine",
    "HiddenLayer": "repro.models.insertion",
    "SelectivityRegularized": "repro.training.regularizers",
    "SingleDirectionReliance": "repro.training.callback",
    "ablate": "repro.models.insertion",
    "ablation_masks": "repro.models.masking",
    "convnet": "repro.models.networks",
    "drawing": "repro.models.insertion",
    "hidden_layers": "repro.models.insertion",
    "insert_masks": "repro.models.insertion",
    "lesion": "repro.study.study",
    "load_model": "repro.models.loading",
    "mlp": "repro.models.networks",
    "model_from_function": "repro.models.loading",
    "recover": "repro.training.recovery",
    "resnet50": "repro.models.networks",
    "restore": "repro.models.insertion",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'repro' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def _quieten_tensorflow() -> None:
    """Turns off TensorFlow's C++ log: it says nothing about a network and is mixed into the user's
    output. TensorFlow reads the setting from the environment at import."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _register_masking_layer(keras: Any) -> None:
    importlib.import_module("repro.models.masking")


_quieten_tensorflow()
wrapt.register_post_import_hook(_register_masking_layer, "keras")
