"""NumPy archives of the layout of `keras.datasets`: cifar10.npz, mnist.npz, fashion_mnist.npz.

    x_train, x_test   uint8 (n_images, height, width, channels); of grey images also
                      (n_images, height, width)
    y_train, y_test   whole numbers (n_images,) or (n_images, 1), from 0 to n_classes - 1
    about             only in archives of `python -m repro archive`: JSON, see `About`

An archive holds the whole data set: a part of it would be taken for the whole, whose networks have
the same names. NumPy alone reads it. What is looked at before a training are the arrays' headers.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from repro.core.datasets import DATASETS, DataSet
from repro.data.errors import DataError

_MADE_BY = "python -m repro archive"
_ABOUT = "about"
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_MOST_BYTES_OF_NOTE = 100_000


@dataclass(frozen=True)
class About:
    """What an archive says of its images.

    jpeg: whether they went through JPEG; None where that is not known.
    tfds_order: whether they stand in the order of TensorFlow Datasets (TFDS).
    """

    jpeg: bool | None = None
    tfds_order: bool = False


def about(path: Path, name: str) -> About:
    """What an archive of a data set says of its images. Reads no image.

    Args:
        name: TFDS name.

    Raises:
        DataError: the file is no archive of this data set.
    """
    record = DATASETS[name]
    with _opened(path) as archive:
        for array in _ARRAYS:
            _check(array, *_header(archive, array, path), record, path)
        return _noted(archive)


def read(path: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of an archive of a data set, by their names.

    Returns:
        x_train and x_test, uint8 (n_images, height, width, channels); y_train and y_test, int32
        (n_images,).

    Raises:
        DataError: the file is no archive of this data set, or is damaged.
    """
    about(path, name)
    record = DATASETS[name]
    found: dict[str, np.ndarray] = {}
    with _opened(path) as archive:
        for split in ("train", "test"):
            images = _array(archive, f"x_{split}", path)
            labels = _array(archive, f"y_{split}", path).reshape(-1)
            if not 0 <= labels.min() <= labels.max() < record.n_classes:
                raise DataError(
                    f"{path}: y_{split} must hold labels of 0 to {record.n_classes - 1}. "
                    f"Received: {labels.min()} to {labels.max()}"
                )
            found[f"x_{split}"] = images.reshape(-1, *record.shape)
            found[f"y_{split}"] = labels.astype(np.int32)
    return found


def to_bytes(arrays: Mapping[str, np.ndarray], name: str, note: About) -> bytes:
    """The content of an archive of a data set, compressed.

    Args:
        arrays: as `read` returns them. name: TFDS name.

    Raises:
        DataError: the arrays are not those of the whole data set.
    """
    for array in _ARRAYS:
        _check(array, arrays[array].shape, arrays[array].dtype, DATASETS[name], name)
    facts = {"made_by": _MADE_BY, **dataclasses.asdict(note)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


# --- The parts of an archive --------------------------------------------------------------------


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is no whole NumPy archive ({_first_line(error)}); replace it or remove it"
        ) from error


def _header(archive: zipfile.ZipFile, name: str, path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of one array."""
    return _of(archive, name, path, _read_header)


def _array(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    return _of(archive, name, path, functools.partial(np.lib.format.read_array, allow_pickle=False))


def _of(archive: zipfile.ZipFile, name: str, path: Path, reading: Any) -> Any:
    """What a function reads from the part of an array."""
    if f"{name}.npy" not in archive.namelist():
        held = ", ".join(sorted(one.removesuffix(".npy") for one in archive.namelist()))
        raise DataError(
            f"{path} must hold x_train, y_train, x_test and y_test, as keras.datasets has them, "
            f"but has no {name}. Received: {held or 'nothing'}"
        )
    try:
        with archive.open(f"{name}.npy") as part:
            return reading(part)
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        raise DataError(f"{path}: {name} cannot be read ({_first_line(error)})") from error


def _read_header(part: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(part)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(part)
    return shape, dtype


def _check(
    name: str, shape: tuple[int, ...], dtype: np.dtype, record: DataSet, where: Path | str
) -> None:
    """Checks one array by its header."""
    n_images = record.n_train if name.endswith("train") else record.n_test
    shapes: list[tuple[int, ...]]
    if name.startswith("x"):
        fits_type, wanted_type = dtype == np.uint8, "uint8"
        shapes = [record.shape] + [record.shape[:2]] * (record.shape[-1] == 1)
    else:
        fits_type, wanted_type = dtype.kind in "iu", "whole numbers"
        shapes = [(), (1,)]
    if not fits_type:
        raise DataError(f"{where}: {name} must be {wanted_type}. Received: {dtype}")
    if not shape or shape[1:] not in shapes:
        wanted = " or ".join(_shape_words(one) for one in shapes)
        raise DataError(f"{where}: {name} must have shape {wanted}. Received: {shape}")
    if shape[0] != n_images:
        raise DataError(
            f"{where}: {name} must have all {n_images:,} images of {record.words}. "
            f"Received: {shape[0]:,}; for fewer, set n_train"
        )


def _shape_words(of_image: tuple[int, ...]) -> str:
    """
    >>> _shape_words((28, 28)), _shape_words(())
    ('(n, 28, 28)', '(n,)')
    """
    return f"(n{''.join(f', {size}' for size in of_image)}{'' if of_image else ','})"


def _noted(archive: zipfile.ZipFile) -> About:
    """What the archive's note says; nothing where there is none that we wrote."""
    part = f"{_ABOUT}.npy"
    if part not in archive.namelist() or archive.getinfo(part).file_size > _MOST_BYTES_OF_NOTE:
        return About()
    try:
        with archive.open(part) as file:
            facts = json.loads(str(np.lib.format.read_array(file, allow_pickle=False)))
        jpeg, tfds_order = facts["jpeg"], facts["tfds_order"]
        if facts["made_by"] == _MADE_BY and jpeg in (True, False, None):
            return About(jpeg, tfds_order is True)
    except Exception:  # a note of somebody else's
        pass
    return About()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
