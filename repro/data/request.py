"""The flags about images that the commands share."""

from __future__ import annotations

from dataclasses import dataclass

from repro.core.flags import Usage, flag
from repro.data import labelled
from repro.data.pixels import RESIZES


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """Which images are asked for, and how they are read; see `labelled`.

    data: of the user's own model; "" for none.
    data_dir: the folder of TFDS; "" for that of the environment.
    typed: the whole command, for a report.
    """

    data: str = flag(
        "", "Your model's images: npz:file.npz, tfds:name or dir:folder-of-class-folders."
    )
    scale: str = flag(
        "auto",
        "What your model takes: pixels divided by 255, none, tf, torch, caffe, or raw; auto.",
    )
    resize: str = flag(
        "stretch",
        "How image files are brought to your model's size: stretch, as Keras does; crop; pad.",
    )
    data_dir: str = flag(
        "", "Folder prepared by TensorFlow Datasets. Without it: that of $TFDS_DATA_DIR."
    )
    offline: bool = flag(False, "Make no network call.")
    typed: str = ""

    def __post_init__(self) -> None:
        """
        Raises:
            Usage: no such way to scale or to resize.
        """
        if not labelled.is_scale(self.scale):
            choices = ", ".join(labelled.SCALES)
            raise Usage(
                f"--scale must be one of {choices}, or a number to divide by; got {self.scale!r}"
            )
        if self.resize not in RESIZES:
            raise Usage(f"--resize must be one of {', '.join(RESIZES)}, got {self.resize!r}")
