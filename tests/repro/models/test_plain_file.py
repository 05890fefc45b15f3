"""A network in a small file answers as it did, and is the same file each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import repro
from repro.models import plain_file
from repro.models.networks import convnet, mlp
from tests.helpers import plain

IMAGES = np.random.default_rng(1).random((64, 32, 32, 3), np.float32)


def networks() -> list[Any]:
    found = [
        convnet((32, 32, 3), 10, width=1 / 8),
        convnet((32, 32, 3), 10, width=1 / 8, batch_norm=False, dropout=0.1),
        mlp((32, 32, 3), 10, (64, 32), dropout=0.2),
    ]
    for number, model in enumerate(found):
        plain.randomise(model, np.random.default_rng(number))
        repro.restore(model)
    return found


def logits(model: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(IMAGES, training=False))


@pytest.mark.parametrize("number", range(3))
def test_it_answers_as_before(number: int, tmp_path: Path) -> None:
    model = networks()[number]
    without = plain_file.without_masks(model)
    assert not repro.models.masking.has_masks(without)
    assert without.count_params() < model.count_params()
    np.testing.assert_array_equal(logits(without), logits(model))
    scale = np.abs(logits(model)).max()
    path = tmp_path / "network.keras"
    for dtype, bound in (("float32", 1e-6), ("float16", 5e-3)):
        path.write_bytes(plain_file.to_bytes(without, dtype))
        read = keras.models.load_model(path)
        assert {variable.dtype for variable in read.weights} == {"float32"}
        assert np.abs(logits(read) - logits(model)).max() < bound * scale
        # A float16 has 11 digits in base 2; biases and statistics are not rounded.
        for old, new in zip(without.weights, read.weights, strict=True):
            old, new = np.asarray(old), np.asarray(new)
            if old.ndim > 1 and dtype == "float16":
                np.testing.assert_array_equal(new, old.astype("float16"))
            else:
                np.testing.assert_array_equal(new, old)


def test_it_gets_its_masks_again(tmp_path: Path) -> None:
    model = networks()[0]
    path = tmp_path / "network.keras"
    path.write_bytes(plain_file.to_bytes(plain_file.without_masks(model)))
    masked = repro.insert_masks(repro.load_model(path))
    sizes = [mask.n_units for mask in repro.ablation_masks(model)]
    assert [mask.n_units for mask in repro.ablation_masks(masked)] == sizes


def test_the_same_network_gives_the_same_bytes() -> None:
    first, second = (plain_file.without_masks(networks()[0]) for _ in range(2))
    assert plain_file.to_bytes(first) == plain_file.to_bytes(second)
    assert len(plain_file.to_bytes(first)) < 0.6 * len(plain_file.to_bytes(first, "float32"))
