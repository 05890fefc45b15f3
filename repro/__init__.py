"""A laboratory for lesioning neural networks in Keras 3.

Reproduces Morcos, Barrett, Rabinowitz and Botvinick, "On the importance of single directions for
generalization", ICLR 2018 (arXiv:1803.06959). The paper's finding: networks that memorise their
training data rely more on single directions (units) than networks that generalise, and how
selective a unit is for a class says little about how much the network needs it.

The map of the package, from the bottom up; imports run one way:

    metrics, config, results        measures, settings, records     (NumPy, SciPy)
    inspection                      what a model file holds, before Keras reads it
    data, streams, labelled         what data is taken: any form, pixels, folders, TFDS
    engine                          what is asked: the task, its tally, is it the user's network
    batches, statistics, walk       images, units' activity, curves of dense networks
    masking, models                 the layer that lesions, the paper's networks   (Keras)
    graph, insertion                any model as its calls, masks in it, lesions by name
    trial                           foreign models, loaded in a process of their own first
    network, passes, ablation       the engine: a model as operations, lesioned, asked
    sweep, budget                   which lesions answer what; how many fit into a time
    callbacks, recovery             reliance while a model is trained; training on with a lesion
    training, own, summaries, findings, figures, claims
    leases, runs, page, report      who works where, files, the report
    study, lesion_run               any classifier, in Python and on the command line
    jobs, executors, progress       the plan, where it is worked on, how far it is
    __main__                        the command line

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
    from repro.ablation import Engine
    from repro.callbacks import SingleDirectionReliance
    from repro.insertion import (
        HiddenLayer,
        ablate,
        drawing,
        hidden_layers,
        insert_masks,
        restore,
    )
    from repro.masking import AblationMask, ablation_masks
    from repro.models import convnet, load_model, mlp, model_from_function, resnet50
    from repro.recovery import recover
    from repro.regularizers import SelectivityRegularized
    from repro.study import lesion

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
    "AblationMask": "repro.masking",
    "Engine": "repro.ablation",
    "HiddenLayer": "repro.insertion",
    "SelectivityRegularized": "repro.regularizers",
    "SingleDirectionReliance": "repro.callbacks",
    "ablate": "repro.insertion",
    "ablation_masks": "repro.masking",
    "convnet": "repro.models",
    "drawing": "repro.insertion",
    "hidden_layers": "repro.insertion",
    "insert_masks": "repro.insertion",
    "lesion": "repro.study",
    "load_model": "repro.models",
    "mlp": "repro.models",
    "model_from_function": "repro.models",
    "recover": "repro.recovery",
    "resnet50": "repro.models",
    "restore": "repro.insertion",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'repro' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def _quieten_tensorflow() -> None:
    """TensorFlow's C++ log has nothing for whoever studies a network, and is written between the
    lines of what they print. It is read from the environment when TensorFlow is imported."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _register_masking_layer(keras: Any) -> None:
    importlib.import_module("repro.masking")


_quieten_tensorflow()
wrapt.register_post_import_hook(_register_masking_layer, "keras")
