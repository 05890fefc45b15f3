"""Peak memory of the engine at 1, 10 and 100 times as many lesions.

Each sweep runs in a process of its own, since the operating system remembers a process's peak and
not more. Lesions beyond the network's units repeat them: the engine does not notice.

  python -m benchmarks.memory mlp128 100
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FACTORS = (1, 10, 100)
KINDS = ("mlp128", "convnet")
_ROOT = Path(__file__).parents[1]


def measure(say: Callable[[str], None] = print) -> dict[str, list[dict[str, Any]]]:
    """For each kind of network what `sweep` reports, at each factor."""
    return {kind: [_in_a_process(kind, factor, say) for factor in FACTORS] for kind in KINDS}


def _in_a_process(kind: str, factor: int, say: Callable[[str], None]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", kind, str(factor)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    say(f"{kind}: {found['lesions']:,} lesions, peak {found['peak_mib']:.0f} MiB")
    return found


def sweep(kind: str, factor: int) -> dict[str, Any]:
    """Lesions every unit of a network, factor times over, in this process.

    Returns:
        lesions, images, before_mib: the peak once the engine has answered for the intact network;
        peak_mib: after the sweep; swept_mib: how much the sweep added.
    """
    import numpy as np

    from repro.engine.engine import Engine
    from repro.models.networks import convnet, mlp

    values = np.random.default_rng(0)
    if kind == "mlp128":
        model, shape, n_images = mlp((28, 28, 1), 10, (128, 128)), (28, 28, 1), 1000
    else:
        model, shape, n_images = convnet((16, 16, 3), 10, width=1 / 8), (16, 16, 3), 16
    images = values.random((n_images, *shape), dtype=np.float32)
    engine = Engine(model, images, values.integers(0, 10, n_images))
    engine.intact()
    before = _peak_mib()
    units = np.tile(np.arange(engine.layout.n_units), factor)
    engine.single_units(units=units)
    peak = _peak_mib()
    return {
        "lesions": len(units),
        "images": n_images,
        "before_mib": before,
        "peak_mib": peak,
        "swept_mib": peak - before,
    }


def _peak_mib() -> float:
    per_mib = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / per_mib


if __name__ == "__main__":
    print(json.dumps(sweep(sys.argv[1], int(sys.argv[2]))))
