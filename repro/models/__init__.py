"""A model as the laboratory sees it: its graph, its layers, its masks, its head; and where models
come from.

Here is what can be said of a model without asking it about data: which layers are hidden
(`insertion`), how it is read as a graph of calls (`graph`), what ends it (`heads`), what its inputs
are (`inputs`), whether it can be taken at all (`accepted`), how a file of it is looked through and
loaded (`inspection`, `trial`, `loading`), and the paper's own networks (`networks`). What a lesion
does to its answers is the engine's. Begin with `masking`, the one layer, and `insertion`.

Public are `repro.models.load_model`, `model_from_function`, `build`, `mlp`, `convnet`, `resnet50`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro.models.loading import load_model, model_from_function
    from repro.models.networks import build, convnet, mlp, resnet50

__all__ = ["build", "convnet", "load_model", "mlp", "model_from_function", "resnet50"]

_LOADING = ("load_model", "model_from_function")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'repro.models' has no attribute {name!r}")
    home = "loading" if name in _LOADING else "networks"
    return getattr(importlib.import_module(f"repro.models.{home}"), name)
