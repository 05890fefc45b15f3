"""Images and labels that a user brings to a model: from a NumPy archive, from TensorFlow Datasets,
or from a folder of class folders.

    npz:file.npz       arrays `images` and `labels` (or `x_test` and `y_test`, as Keras's own
                       archives have them), and perhaps `class_names`
    tfds:name          a data set that TFDS has prepared; tfds:name/train for another split than
                       the one to test on
    dir:folder         one folder of image files for each class, in the order of their names

Labels are known at once; images are decoded, brought to the model's size and scaled only when they
are asked for.
"""

from __future__ import annotations

import codecs
import collections
import dataclasses
import functools
import math
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repro import data
from repro.config import TrainConfig
from repro.data import DataError
from repro.data.pixels import (
    MODES,
    RESIZE_WORDS,
    RESIZES,
    PixelError,
    decoded,
    range_of,
    to_bytes,
)

SCALES = ("auto", "255", "none", "tf", "torch", "caffe")
"""What is done to pixels of 0 to 255. 255: divided by 255. none: nothing. tf: brought to -1 to 1.
torch: divided by 255, then ImageNet's mean and standard deviation of each channel taken out. caffe:
blue before red, and ImageNet's mean taken out. auto: none where the model itself scales, else 255;
numbers that are no whole pixels stay as they are. Pixels are told by their values: whole numbers
from 0 to 255, some above 1, in any type; and 16-bit ones, which are brought to 0 to 255 first."""

_SCALE_WORDS = {
    "255": "pixels divided by 255",
    "none": "pixels as they are",
    "tf": "pixels brought to -1 to 1",
    "torch": "pixels normalised with ImageNet's mean and s.d.",
    "caffe": "pixels in the order blue, green, red, less ImageNet's mean",
}
_ARRAYS = (("images", "labels"), ("x_test", "y_test"))
_IMAGE_FILES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"})
_SPLITS = ("test", "validation", "val", "valid", "train")
# The sets that the laboratory's own networks see, read as their training reads them.
_OWN = ("mnist", "fashion_mnist", "cifar10")


@dataclass(frozen=True)
class Labelled:
    """Labelled images, most of them not yet read.

    labels: int32 (n_images,). class_names: of the classes in order; () where they have none.
    words: what they are and what is done to them, for a report.
    read: from places int (n,) to images, (n, *input_shape), not yet scaled.
    scale: one of SCALES but auto.
    split: "train" where they are of a training split, as far as their name tells, else "test".
    pixels: whether they are pixels, which can be scaled otherwise.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    words: str
    read: Callable[[np.ndarray], np.ndarray]
    scale: str = "none"
    split: str = "test"
    pixels: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, places: np.ndarray) -> np.ndarray:
        """float32 (n, *input_shape), the images at those places as the model takes them.

        Raises:
            DataError: a file that is no image.
        """
        images = self.read(places)
        if self.scale == "none":
            return np.asarray(images, np.float32)
        if self.scale == "255":
            return np.asarray(images, np.float32) / np.float32(255)
        from keras.applications import imagenet_utils

        # It works in place.
        pixels = np.array(images, np.float32)
        return imagenet_utils.preprocess_input(pixels, data_format="channels_last", mode=self.scale)


def find(
    spec: str,
    input_shape: Sequence[int | None],
    n_classes: int,
    *,
    scale: str = "auto",
    scales_itself: bool = False,
    tokens: bool = False,
    resize: str = "stretch",
    class_names: Sequence[str] = (),
    data_dir: str = "",
    offline: bool = False,
) -> Labelled:
    """Finds the images that a text such as "npz:file.npz" names.

    Args:
        input_shape: of one image of the model; None where any size will do.
        n_classes: of the model.
        scale: one of SCALES.
        scales_itself: whether the model begins with scaling, see `scale`. tokens: it looks its
            inputs up in a table, so that they are no pixels.
        resize: of image files, one of `pixels.RESIZES`.
        class_names: of the model's classes in its order; () for those of the data. Folders are
            matched with these by name.
        data_dir, offline: as for `data.locate`.

    Raises:
        DataError: nothing of that kind is there, or it does not fit the model.
    """
    kind, _, name = spec.partition(":")
    if kind not in ("npz", "tfds", "dir") or not name:
        raise DataError(
            f"--data must be npz:file.npz, tfds:name or dir:folder-of-class-folders, got {spec!r}"
        )
    if resize not in RESIZES:
        raise DataError(f"--resize must be one of {', '.join(RESIZES)}, got {resize!r}")
    if kind == "npz":
        found, pixels = _archive(Path(name).expanduser())
    elif kind == "tfds":
        found, pixels = _tfds(name, input_shape, data_dir, offline, resize)
    else:
        found, pixels = _folder(Path(name).expanduser(), input_shape, class_names, resize), True
    pixels = pixels and not tokens
    chosen = scale
    if scale == "auto":
        chosen = "255" if pixels and not scales_itself else "none"
    elif not pixels and scale != "none":
        raise DataError(
            f"--scale={scale} is for pixels of 0 to 255, but the images of {spec} are other "
            "numbers; leave the flag out to take them as they are"
        )
    names = tuple(class_names) or found.class_names
    found = dataclasses.replace(found, class_names=names, pixels=pixels)
    return scaled(_checked(found, spec, tuple(input_shape), n_classes), chosen)


def scaled(found: Labelled, scale: str) -> Labelled:
    """The same images, with pixels scaled so; one of SCALES but auto."""
    first = found.words.removesuffix(f", {_words_of(found)}")
    changed = dataclasses.replace(found, scale=scale)
    return dataclasses.replace(changed, words=f"{first}, {_words_of(changed)}")


def words_of(scale: str) -> str:
    """What a scaling does to pixels, in words."""
    return _SCALE_WORDS[scale]


def _words_of(found: Labelled) -> str:
    return _SCALE_WORDS[found.scale] if found.pixels else "numbers as they are"


def stratified_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int (n,), a random order of which every beginning holds the classes in their proportions.

    Of a class with m of the n images, the first k images of the order hold k m / n, give or take
    one or two.

    >>> order = stratified_order(np.array([0] * 50 + [1] * 50), np.random.default_rng(0))
    >>> np.bincount(np.repeat([0, 1], 50)[order[:20]])
    array([10, 10])
    """
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        # A class's images at even distances, from a random beginning.
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(place, kind="stable")


def _checked(
    found: Labelled, spec: str, input_shape: tuple[int | None, ...], n_classes: int
) -> Labelled:
    """The same, once one image and all labels are seen to fit the model."""
    if not len(found):
        raise DataError(f"there are no images in {spec}")
    labels = found.labels
    if labels.min() < 0 or labels.max() >= n_classes:
        raise DataError(
            f"labels must be 0 to {n_classes - 1}, the model's classes; "
            f"those of {spec} are {labels.min()} to {labels.max()}"
        )
    if found.class_names and len(found.class_names) != n_classes:
        raise DataError(
            f"the model has {n_classes} classes, but {spec} names {len(found.class_names)}; give "
            "the names of the model's classes, one a line in its order, with --classes=FILE"
        )
    shape = found.read(np.zeros(1, np.int64)).shape[1:]
    wanted = _reshaped(shape, input_shape)
    if wanted is None:
        sizes = ", ".join(str(size) for size in input_shape)
        raise DataError(
            f"the model takes images of shape ({sizes}), but those of {spec} have {shape}"
        )
    if wanted == shape:
        return found
    read = found.read
    return dataclasses.replace(found, read=lambda at: read(at).reshape(len(at), *wanted))


def _reshaped(
    shape: tuple[int, ...], input_shape: tuple[int | None, ...]
) -> tuple[int, ...] | None:
    """The shape that such images are given for the model; None where they do not fit.

    They fit as they are, with an axis of length 1 more or less at the end, or laid out as a vector.

    >>> _reshaped((28, 28), (28, 28, 1)), _reshaped((28, 28, 1), (784,)), _reshaped((3, 3), (4, 4))
    ((28, 28, 1), (784,), None)
    """
    shapes = [shape, (*shape, 1), (math.prod(shape),)]
    if shape[-1:] == (1,):
        shapes.append(shape[:-1])
    for one in shapes:
        if len(one) == len(input_shape) and all(
            size in (None, got) for size, got in zip(input_shape, one, strict=True)
        ):
            return one
    return None


# --- NumPy archives ----------------------------------------------------------------------------


def _archive(path: Path) -> tuple[Labelled, bool]:
    """The images of an archive, and whether they are whole pixels."""
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise DataError(f"{path} holds a single array; expected an .npz archive")
            images, labels = _named_arrays(path, stored)
            names = tuple(map(str, stored["class_names"])) if "class_names" in stored else ()
    except FileNotFoundError as error:
        raise DataError(f"no file {path}") from error
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as a NumPy archive: {_reason(error)}") from error
    labels = plain_labels(labels, str(path))
    if len(labels) != len(images):
        raise DataError(f"{path} holds {len(images)} images but {len(labels)} labels")
    if images.dtype.kind not in "fiu":
        raise DataError(f"the images of {path} must be numbers, got {images.dtype}")
    white = range_of(images)
    words = path.name + ", 16-bit pixels brought to 0 to 255" * (white > 255)
    return Labelled(labels, names, words, lambda at: to_bytes(images[at], white)), bool(white)


def _named_arrays(path: Path, stored: Any) -> tuple[np.ndarray, np.ndarray]:
    for pair in _ARRAYS:
        if set(pair) <= set(stored.files):
            return stored[pair[0]], stored[pair[1]]
    raise DataError(
        f"{path} must hold the arrays images and labels; it holds "
        + (", ".join(sorted(stored.files)) or "none")
    )


def plain_labels(labels: Any, of: str = "labels") -> np.ndarray:
    """Labels as int32 (n_images,); a column of them is taken as it is meant.

    Raises:
        DataError: they are not whole numbers, one an image.

    >>> plain_labels(np.array([[3], [1]], np.uint8))
    array([3, 1], dtype=int32)
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        raise DataError(
            f"{of}: labels must be one class number an image, got shape {labels.shape}; "
            "if they are one-hot, take labels.argmax(axis=1)"
        )
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{of}: labels must be whole numbers, one an image; "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    return labels.astype(np.int32)


# --- TensorFlow Datasets -----------------------------------------------------------------------


def _tfds(
    spec: str, input_shape: Sequence[int | None], data_dir: str, offline: bool, resize: str
) -> tuple[Labelled, bool]:
    """A split of a TFDS data set, and whether its images are pixels."""
    name, _, split = spec.partition("/")
    if name in _OWN:
        return _own(name, split, data_dir, offline), True
    directory = Path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))
    prepared = data.prepared(directory.expanduser(), name)
    if prepared is None:
        raise DataError(
            f"{name} is not prepared in {directory}; prepare it with TFDS (tfds build {name}) and "
            "give the folder with --data_dir"
        )
    try:
        labels, names, split, encoded = _examples(prepared, split)
    except DataError:
        raise
    except Exception as error:  # TFDS and TensorFlow raise many kinds for damaged files
        raise DataError(f"{name} in {directory} cannot be read: {_reason(error)}") from error
    words = f"{name}, its {split} split"
    if isinstance(encoded, np.ndarray):
        white = range_of(encoded)
        return Labelled(
            labels, names, words, lambda at: to_bytes(encoded[at], white), split=_kind_of(split)
        ), bool(white)
    read = functools.partial(_decoded, encoded, _size(input_shape), resize)
    words += f", {_size_words(input_shape, resize)}"
    return Labelled(labels, names, words, read, split=_kind_of(split)), True


def _own(name: str, split: str, data_dir: str, offline: bool) -> Labelled:
    """One of the laboratory's own data sets, with the pixels that its networks are trained on."""
    split = split or "test"
    if split not in ("train", "test"):
        raise DataError(f"{name} has the splits train and test, not {split!r}")
    source = data.locate(name, data_dir, offline)
    # Of a network's settings only those of its images count here.
    splits = data.load(source, TrainConfig(name, "mlp", (1,), origin=source.origin))
    images = splits.train if split == "train" else splits.test
    if not isinstance(images, data.Images):
        raise DataError(f"{name} does not fit into memory")
    pixels = images.images

    def read(places: np.ndarray) -> np.ndarray:
        return np.rint(pixels[places] * np.float32(255)).astype(np.uint8)

    words = f"{source.describe()}, its {split} split"
    return Labelled(images.labels, (), words, read, split=_kind_of(split))


def _kind_of(split: str) -> str:
    return "train" if _base_of(split) == "train" else "test"


def _base_of(split: str) -> str:
    """The split of which "train[:10]" is a part."""
    return split.partition("[")[0]


def _examples(
    prepared: Path, split: str
) -> tuple[np.ndarray, tuple[str, ...], str, list[bytes] | np.ndarray]:
    """Labels, class names, the split's name, and the image files as they are stored, or, where
    images are stored as arrays, those."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(prepared)
    there = list(builder.info.splits)
    split = split or next((one for one in _SPLITS if one in there), there[0])
    features = builder.info.features
    if any(_base_of(part) not in there for part in split.split("+")):
        raise DataError(
            f"{prepared.parent.name} has the splits {', '.join(there)}, not {split!r}; give one of "
            "them, or a part of it such as train[:10%]"
        )
    image, label = _named_features(builder.info, prepared.parent.name)
    encoded = isinstance(features[image], tfds.features.Image)
    decoders = {image: tfds.decode.SkipDecoding()} if encoded else None
    examples = builder.as_dataset(split=split, decoders=decoders)
    pairs = [(one[image], one[label]) for one in tfds.as_numpy(examples)]
    names = tuple(getattr(features[label], "names", None) or ())
    labels = plain_labels(np.array([label for _, label in pairs]), prepared.parent.name)
    images = [image for image, _ in pairs]
    return labels, names, split, images if encoded else np.stack(images)


def _named_features(info: Any, name: str) -> tuple[str, str]:
    """The names of the features that are image and label."""
    features = info.features
    if "image" in features and "label" in features:
        return "image", "label"
    keys = info.supervised_keys
    if keys and len(keys) == 2 and all(isinstance(key, str) and key in features for key in keys):
        return keys
    raise DataError(
        f"{name} has no features called image and label, and no supervised_keys that name others; "
        f"its features are {', '.join(features)}; write them to an archive and give --data=npz:FILE"
    )


# --- Folders of class folders ------------------------------------------------------------------


def _folder(
    path: Path, input_shape: Sequence[int | None], class_names: Sequence[str], resize: str
) -> Labelled:
    """Every image below the class folders; the folder's place, or its name's, is the label."""
    if not path.is_dir():
        raise DataError(f"no folder {path}")
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    names = tuple(class_names) or tuple(folder.name for folder in folders)
    unknown = sorted({folder.name for folder in folders} - set(names))
    if unknown:
        raise DataError(
            f"{len(unknown)} folders of {path} are not among the names of --classes, such as "
            f"{unknown[0]!r}"
        )
    files: list[Path] = []
    labels: list[int] = []
    left_out: list[str] = []
    for folder in folders:
        for inside in sorted(folder.iterdir()):
            if inside.suffix.lower() in _IMAGE_FILES and not inside.name.startswith("."):
                files.append(inside)
                labels.append(names.index(folder.name))
            else:
                left_out.append(_left_out(inside))
    if not files:
        raise DataError(f"{path} has no class folders with image files in them")
    words = f"{path.name}, {len(folders)} class folders"
    if left_out:
        words += f" ({_counted(left_out)} left out)"
    return Labelled(
        np.array(labels, np.int32),
        names,
        f"{words}, {_size_words(input_shape, resize)}",
        functools.partial(_decoded, files, _size(input_shape), resize),
    )


def _left_out(path: Path) -> str:
    """What kind of thing in a class folder is not read."""
    if path.name.startswith("."):
        return "hidden"
    return "nested folder" if path.is_dir() else path.suffix.lower() or "without suffix"


def _counted(kinds: list[str]) -> str:
    """
    >>> _counted([".tif", ".txt", ".tif", "nested folder"])
    '2 .tif, 1 .txt, 1 nested folder'
    """
    counts = collections.Counter(kinds)
    return ", ".join(f"{counts[kind]} {kind}" for kind in dict.fromkeys(kinds))


def read_names(path: Path) -> tuple[str, ...]:
    """Class names from a text file, one a line, in any encoding that editors on Windows write.

    Raises:
        DataError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"--classes names {path}, which cannot be read") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif content[1:2] == b"\0" or content[:1] == b"\0":  # UTF-16 without its mark
        encodings = ["utf-16-le" if content[1:2] == b"\0" else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            lines = content.decode(encoding).splitlines()
        except UnicodeDecodeError:
            continue
        return tuple(line.strip() for line in lines if line.strip())
    raise DataError(
        f"--classes names {path}, whose text is in no encoding that is known; save it as UTF-8"
    )


def _size(input_shape: Sequence[int | None]) -> tuple[int, int, int]:
    """Height, width and channels of the images that a model takes."""
    if len(input_shape) != 3 or None in input_shape or input_shape[2] not in MODES:
        shape = ", ".join(str(size) for size in input_shape)
        raise DataError(
            f"the model takes inputs of shape ({shape}); image files can be brought to a fixed "
            "height and width of 1, 3 or 4 channels only: give --data=npz:file.npz"
        )
    height, width, channels = (int(size or 0) for size in input_shape)
    return height, width, channels


def _size_words(input_shape: Sequence[int | None], resize: str) -> str:
    height, width, _ = _size(input_shape)
    return f"{RESIZE_WORDS[resize]} {height} × {width} pixels"


def _decoded(
    files: Sequence[Path] | Sequence[bytes],
    size: tuple[int, int, int],
    resize: str,
    places: np.ndarray,
) -> np.ndarray:
    """float32 (n, height, width, channels) of 0 to 255, of image files or of their contents."""
    images = np.empty((len(places), *size), np.float32)
    for row, place in enumerate(places):
        source = files[place]
        try:
            images[row] = decoded(source, size, resize)
        except PixelError as error:
            name = source if isinstance(source, Path) else f"image {place}"
            raise DataError(f"{name} cannot be read as an image: {error}") from error
    return images


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
