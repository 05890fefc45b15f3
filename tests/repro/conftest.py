"""A tiny masked network and tiny images, shared by the tests of `repro`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

# Files of minutes, longest first: one of them at the end would leave the other cores idle.
LONG = (
    "test_command_line.py",
    "test_real_models.py",
    "test_ray.py",
    "test_resume.py",
    "test_trainee.py",
    "test_backends.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, the others in their order."""
    rank = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONG)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20180429)


@pytest.fixture(scope="session")
def _tiny_mlp() -> Any:
    from repro.models.networks import mlp

    model = mlp((6, 6, 1), 5, (24, 16), seed=7)
    values = np.random.default_rng(3)
    for layer in model.layers:
        # Biases away from zero, or half the mistakes that a lesion could make would not show.
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(values.normal(0, 0.3, layer.bias.shape))
    return model


@pytest.fixture
def tiny_mlp(_tiny_mlp: Any) -> Iterator[Any]:
    """A 36-24-16-5 network; whatever a test does to its masks is undone."""
    weights = _tiny_mlp.get_weights()
    yield _tiny_mlp
    _tiny_mlp.set_weights(weights)


@pytest.fixture(scope="session")
def tiny_images() -> tuple[np.ndarray, np.ndarray]:
    """230 random images of 6 x 6 and labels of 5 classes."""
    values = np.random.default_rng(4)
    return (
        values.random((230, 6, 6, 1), dtype=np.float32),
        values.integers(0, 5, 230).astype(np.int32),
    )
