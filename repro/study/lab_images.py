"""The program that gives a static copy of the tab the images of networks of the laboratory.

    python -m repro.study.lab_images OUT A/config.json B/config.json ...

`tb_plugin.export` starts it by name, since the plugin imports nothing of `repro`. For the network
of each config it writes OUT/0.npz, OUT/1.npz, ... with `images`, `labels`, `truth`, `class_names`
and `source`, and OUT/0.training.npz with those that the network was trained on; or OUT/0.txt, why
not.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from repro.study.lab_session import SessionError, images_of_run
from tb_plugin.lab.images import MOST_IMAGES, stratified


def of_network(config: Path, training: bool) -> dict[str, Any]:
    """What the server's lab asks a network on, as arrays of a `.npz` file.

    Raises:
        SessionError: the config or the data cannot be read, or the images do not fit into memory.
    """
    found = images_of_run(config, training)
    kept = stratified(found.truth, MOST_IMAGES)
    return {
        "images": as_bytes(found.images[kept]),
        "labels": found.labels[kept],
        "truth": found.truth[kept],
        "class_names": np.array(found.names, dtype=np.str_),
        "source": np.array(found.source),
    }


def as_bytes(images: np.ndarray) -> np.ndarray:
    """uint8 images where they were uint8 before they were divided by 255; others as they are.

    >>> as_bytes(np.array([0, 128 / 255, 1], np.float32))
    array([  0, 128, 255], dtype=uint8)
    >>> as_bytes(np.array([0.3], np.float32))
    array([0.3], dtype=float32)
    """
    if images.dtype == np.uint8:
        return images
    rounded = np.clip(np.round(images * 255), 0, 255).astype(np.uint8)
    same = np.array_equal(rounded / np.float32(255), images.astype(np.float32))
    return rounded if same else images.astype(np.float32)


def main() -> int:
    out = Path(sys.argv[1])
    for number, config in enumerate(map(Path, sys.argv[2:])):
        try:
            for training, ending in ((False, "npz"), (True, "training.npz")):
                np.savez(out / f"{number}.{ending}", **of_network(config, training))
        except (SessionError, OSError, ValueError) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            (out / f"{number}.txt").write_text(reason[0].rstrip("."), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
