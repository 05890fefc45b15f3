"""Models: their graph, layers, masks and head, and the ways to load or build them.

Everything here works without data: which layers are hidden (`insertion`), how a model is read as a
graph of calls (`graph`), its last function (`heads`), its inputs (`inputs`), whether it can be
lesioned (`accepted`), how a file is inspected and loaded (`inspection`, `trial`, `loading`), and
the paper's own networks (`networks`). The engine measures what a lesion does to the answers. Begin
with `masking`, the one layer, and `insertion`.

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
