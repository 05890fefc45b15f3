"""Ablation by assigning masks, as a user would."""

from __future__ import annotations

from typing import Any

import numpy as np


def set_masks(model: Any, keep: np.ndarray, fill: np.ndarray | None = None) -> None:
    """Assigns (n_units,) keep and fill to the model's masks, as a user would."""
    from repro.models.masking import ablation_masks

    masks = ablation_masks(model)
    edges = np.cumsum([mask.n_units for mask in masks])[:-1]
    fill = np.zeros(len(keep)) if fill is None else fill
    for mask, part, values in zip(masks, np.split(keep, edges), np.split(fill, edges), strict=True):
        mask.keep.assign(part)
        mask.fill.assign(values)
