"""The examples of docs/results/record.md, run as a stranger runs them: without this package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

from repro.models import plain_file
from repro.models.networks import convnet

ROOT = Path(__file__).parents[2]
READING, OF_NETWORK = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs/results/record.md").read_text(), re.M | re.S
)


def alone(code: str, backend: str = "jax") -> str:
    """What a program prints that must not import this package."""
    code += "\nimport sys\nassert not [name for name in sys.modules if name.startswith('repro')]\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    return done.stdout


def test_the_numbers_of_an_archive_are_read_as_the_page_says() -> None:
    printed = alone(READING)
    assert "n_ablated" in printed
    shuffled = re.findall(r": (\d+)% of the labels shuffled, ([\d.]+)% changed", printed)
    assert shuffled
    for share, changed in shuffled:
        # A tenth of the shuffled labels falls on its own class.
        assert abs(float(changed) - 0.9 * float(share)) < 1


def test_a_network_is_read_as_the_page_says(tmp_path: Path) -> None:
    model = convnet((32, 32, 3), 10, width=1 / 16)
    images = np.random.default_rng(0).random((5, 32, 32, 3), np.float32)
    path = tmp_path / "network.keras"
    path.write_bytes(plain_file.to_bytes(plain_file.without_masks(model)))
    np.save(tmp_path / "images.npy", images)
    place = "RUN_ID.keras"
    assert OF_NETWORK.count(place) == 1
    code = f"import numpy as np\nimages = np.load({str(tmp_path / 'images.npy')!r})\n"
    code += OF_NETWORK.replace(place, str(path)) + "print(*answers)\n"
    expected = keras.ops.convert_to_numpy(model(images)).argmax(axis=1)
    assert alone(code).split() == [str(answer) for answer in expected]
