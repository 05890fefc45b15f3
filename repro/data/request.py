"""The flags about images that the commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from repro.core.datasets import DATASETS, named_sets
from repro.core.flags import Usage, flag, nearest
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
        "", "Folder of TFDS, or of archives such as mnist.npz. Without it: $TFDS_DATA_DIR."
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


def archivable() -> tuple[str, ...]:
    """The data sets that an archive can hold: those that fit into memory."""
    return tuple(name for name in named_sets() if not DATASETS[name].streamed)


@dataclass(frozen=True, kw_only=True)
class ArchiveRequest:
    """Which data set is to be written as a NumPy archive, and where; see `archive`.

    data_dir: the folder of TFDS; "" for that of the environment. out: a folder.
    typed: the whole command.
    """

    dataset: str = flag("", f"DATASET: {', '.join(archivable())}.", positional=True)
    data_dir: str = flag(
        "", "Folder of TFDS, or of archives such as mnist.npz. Without it: $TFDS_DATA_DIR."
    )
    out: Path = flag(Path(), "Folder of the archive. Without it: the current one.", Path)
    typed: str = ""

    def __post_init__(self) -> None:
        """
        Raises:
            Usage: no such data set.
        """
        if self.dataset not in archivable():
            hint = nearest(self.dataset, archivable())
            raise Usage(
                f"archive needs a data set, one of {', '.join(archivable())}. "
                f"Received: {self.dataset!r}" + (f". Did you mean {hint}?" if hint else "")
            )
