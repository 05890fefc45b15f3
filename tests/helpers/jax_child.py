"""A module of these tests run as a program in which Keras uses another backend than TensorFlow, JAX
unless it is said, with every warning an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Keras's variables do not know NumPy 2's copy keyword yet, see pyproject.toml.
_COPY = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"


def run(module: str, *arguments: str | Path, backend: str = "jax") -> str:
    """What `python -m module arguments` prints; fails the test if the program fails."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-W", _COPY, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout
