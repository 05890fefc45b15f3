"""Files that an older state of the laboratory saved load as they are, whatever was moved since.

saved_before holds two small models, with masks (one unit ablated), a schedule and a loss of
the laboratory, and what they answered when they were saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import repro
from repro.training.trainee import LearningRate  # noqa: F401  registers it with Keras

SAVED = Path(__file__).parent / "saved_before"


@pytest.mark.parametrize("name", ["model", "regularized"])
@pytest.mark.parametrize("load", [keras.saving.load_model, repro.load_model])
def test_a_model_that_was_saved_before_answers_as_then(name: str, load: Any) -> None:
    stored = np.load(SAVED / "answers.npz")
    model = load(str(SAVED / f"{name}.keras"))
    answers = model.predict(stored["images"], verbose=0)
    answers = answers["logits"] if isinstance(answers, dict) else answers
    np.testing.assert_allclose(answers, stored[name], rtol=1e-5, atol=1e-6)
    assert len(repro.ablation_masks(model)) == {"model": 2, "regularized": 1}[name]
