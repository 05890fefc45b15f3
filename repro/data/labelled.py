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
import glob
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repro.core.datasets import DATASETS, named_sets
from repro.data import load
from repro.data import source as data_source
from repro.data.given import GivenError, class_labels
from repro.data.pixels import (
    MODES,
    RESIZE_WORDS,
    RESIZES,
    WHITE,
    WHITE_16,
    PixelError,
    are_plainly_pixels,
    decoded,
    range_of,
    to_bytes,
    white_of,
)
from repro.data.source import DataError

SCALES = ("auto", "255", "none", "tf", "torch", "caffe", "raw")
"""What is done to pixels of 0 to 255. 255: divided by 255. none: nothing. tf: brought to -1 to 1.
torch: divided by 255, then ImageNet's mean and standard deviation of each channel taken out. caffe:
blue before red, and ImageNet's mean taken out. auto: none where the model itself scales, else 255;
numbers that are no whole pixels stay as they are. Pixels are told by their values: whole numbers
from 0 to 255, some above 1, in any type; and 16-bit ones, which are divided by 257 first, except
with raw, which leaves them as they are stored. Any other number divides what is stored: 4095 for
pixels of 12 bits."""

_SCALE_WORDS = {
    "255": "pixels divided by 255",
    "none": "pixels as they are",
    "tf": "pixels brought to -1 to 1",
    "torch": "pixels normalised with ImageNet's mean and s.d.",
    "caffe": "pixels in the order blue, green, red, less ImageNet's mean",
    "raw": "pixels as they are stored",
}
_OF_COLOURS = ("torch", "caffe")
# White of cameras and scanners whose pixels of 10, 12 or 14 bits are stored in 16.
_WHITES = (1023, 4095, 16_383)
_ARRAYS = (("images", "labels"), ("x_test", "y_test"))
# Files of a folder that are asked whether their pixels have 16 bits.
_HEADERS = 20
_IMAGE_FILES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"})
# Folders of operating systems and tools, besides those whose names begin with a dot.
_OF_SYSTEMS = frozenset(
    {"__MACOSX", "Thumbs", "Thumbs.db", "@eaDir", "$RECYCLE.BIN", "System Volume Information"}
    | {"lost+found", "__pycache__"}
)
_LISTED = 12  # most names of folders in a sentence
_SPLITS = ("test", "validation", "val", "valid", "train")


@dataclass(frozen=True)
class Labelled:
    """Labelled images, most of them not yet read.

    labels: int32 (n_images,). class_names: of the classes in order; () where they have none.
    words: what they are and what is done to them, for a report.
    read: from places int (n,) to images, (n, *input_shape), not yet scaled.
    scale: one of SCALES but auto.
    split: "train" where they are of a training split, as far as their name tells, else "test".
    white: the largest value that their pixels can have, 255 or 65,535; 0 of numbers that are no
        pixels and cannot be scaled otherwise.
    plain: whether pixels can hardly be anything else, see `pixels.are_plainly_pixels`.
    largest: of the pixels, where that is known.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    words: str
    read: Callable[[np.ndarray], np.ndarray]
    scale: str = "none"
    split: str = "test"
    white: int = 0
    plain: bool = True
    largest: int = WHITE_16

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, places: np.ndarray) -> np.ndarray:
        """float32 (n, *input_shape), the images at those places as the model takes them.

        Raises:
            DataError: a file that is no image.
        """
        return self.scaled(self.read(places))

    def scaled(self, images: np.ndarray) -> np.ndarray:
        """What `read` gave, as the model takes it: float32, but whole numbers that are no pixels
        and texts as they are."""
        if not self.white and images.dtype.kind != "f":
            return images
        if self.scale == "raw":
            return np.asarray(images, np.float32)
        if self.scale not in SCALES:
            return np.asarray(images, np.float32) / np.float32(self.scale)
        images = to_bytes(images, self.white)
        if self.scale == "none":
            return np.asarray(images, np.float32)
        if self.scale == "255":
            return np.asarray(images, np.float32) / np.float32(255)
        from keras.applications import imagenet_utils

        # It works in place.
        pixels = np.array(images, np.float32)
        return imagenet_utils.preprocess_input(pixels, data_format="channels_last", mode=self.scale)

    @property
    def scales(self) -> tuple[str, ...]:
        """The scalings that can be asked of such images, all of SCALES but auto that differ."""
        if not self.white:
            return ("none",)
        shape = self.read(np.zeros(1, np.int64)).shape
        colours = len(shape) == 4 and shape[-1] == 3
        found = [one for one in SCALES if one != "auto" and (colours or one not in _OF_COLOURS)]
        found = [one for one in found if one != "raw" or self.white > WHITE]
        return (*found, *(str(white) for white in _WHITES if self.largest <= white < self.white))


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
        data_dir, offline: as for `source.locate`.

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
        found = _archive(Path(name).expanduser(), n_classes, class_names)
    elif kind == "tfds":
        found = _tfds(name, input_shape, n_classes, class_names, data_dir, offline, resize)
    else:
        found = _folder(Path(name).expanduser(), input_shape, n_classes, class_names, resize)
    white = 0 if tokens else found.white
    names = tuple(class_names) or found.class_names
    found = dataclasses.replace(found, class_names=names, white=white)
    found = _checked(found, spec, tuple(input_shape), n_classes)
    if scale == "auto":
        return scaled(found, "255" if white and not scales_itself else "none")
    if not white and scale in SCALES and scale not in ("none", "raw"):
        raise DataError(
            f"--scale={scale} is for pixels of 0 to 255, but the images of {spec} are other "
            "numbers; leave the flag out to take them as they are"
        )
    if scale in _OF_COLOURS and scale not in found.scales:
        raise DataError(
            f"--scale={scale} is for images of three colours, but the model takes inputs of shape "
            f"({', '.join(map(str, input_shape))}); choose another scale, such as --scale=255"
        )
    return scaled(found, scale)


def scaled(found: Labelled, scale: str) -> Labelled:
    """The same images, with pixels scaled so; one of SCALES but auto."""
    first = found.words.removesuffix(f", {_words_of(found)}")
    changed = dataclasses.replace(found, scale=scale)
    return dataclasses.replace(changed, words=f"{first}, {_words_of(changed)}")


def words_of(scale: str) -> str:
    """What a scaling does to pixels, in words."""
    return _SCALE_WORDS.get(scale, f"pixels divided by {scale}")


def is_scale(text: str) -> bool:
    """Whether it is one of SCALES, or a number to divide by.

    >>> is_scale("tf"), is_scale("4095"), is_scale("0"), is_scale("white")
    (True, True, False, False)
    """
    if text in SCALES:
        return True
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _words_of(found: Labelled) -> str:
    if not found.white:
        return "numbers as they are"
    words = words_of(found.scale)
    if found.white == WHITE or found.scale == "raw" or found.scale not in SCALES:
        return words
    return f"16-bit pixels brought to 0 to 255 (divided by 257), {words}"


def stratified_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int (n,), a random order of which every beginning holds the classes in their proportions.

    A class with m of the n images has k m / n of the first k images of the order, give or take one
    or two.

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
        raise DataError(
            f"there are no images in {spec}; give one that holds some, with their labels"
        )
    labels = found.labels
    if labels.min() < 0 or labels.max() >= n_classes:
        raise DataError(
            f"labels must be 0 to {n_classes - 1}, the model's classes; "
            f"those of {spec} are {labels.min()} to {labels.max()}; leave out the others, or "
            "number the classes from 0"
        )
    if found.class_names:
        _check_names(found.class_names, n_classes, spec)
    shape = found.read(np.zeros(1, np.int64)).shape[1:]
    wanted = _reshaped(shape, input_shape)
    if wanted is None:
        sizes = ", ".join(str(size) for size in input_shape)
        raise DataError(
            f"the model takes images of shape ({sizes}), but those of {spec} have {shape}; resize "
            "or reshape them, or give a folder with --data=dir:, whose images are resized"
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


def _archive(path: Path, n_classes: int, class_names: Sequence[str]) -> Labelled:
    """The images of an archive."""
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise DataError(
                    f"{path} holds a single array; expected an .npz archive: write one with "
                    "np.savez(path, images=images, labels=labels)"
                )
            images, labels = _named_arrays(path, stored)
            names: tuple[str, ...] = ()
            if "class_names" in stored:
                names = tuple(map(str, _array_of(path, stored, "class_names")))
    except FileNotFoundError as error:
        raise DataError(f"no file {path}") from error
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = _reason(error)
        if "pickle" in reason:  # NumPy advises to read it all the same
            reason = (
                "it is none, or holds Python objects, which are not read, since they can hide "
                "code; write one with np.savez(path, images=images, labels=labels)"
            )
        raise DataError(f"{path} cannot be read as a NumPy archive: {reason}") from error
    if np.shape(labels)[:1] != np.shape(images)[:1]:
        raise DataError(
            f"{path} holds {len(images)} images but {np.size(labels)} labels; save one for each"
        )
    if images.dtype.kind not in "biufUS":
        raise DataError(
            f"the images of {path} must be numbers, or texts for a model that takes them; got "
            f"{images.dtype}; save them as float32 or uint8"
        )
    numbers, names = _numbered(labels, n_classes, tuple(class_names) or names, str(path))
    if images.dtype.kind == "b":
        images = images.astype(np.uint8)
    white = range_of(images)
    return Labelled(
        numbers,
        names,
        path.name,
        lambda at: images[at],
        white=white,
        plain=are_plainly_pixels(images),
        largest=int(images.max()) if white > WHITE else WHITE_16,
    )


def _numbered(
    labels: Any, n_classes: int, names: tuple[str, ...], of: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers from labels in any form, and the names of the classes."""
    if names:
        _check_names(names, n_classes, of)
    try:
        return class_labels(labels, n_classes, names)
    except GivenError as error:
        raise DataError(f"{of}: {error}") from error


def _check_names(names: Sequence[str], n_classes: int, of: str) -> None:
    if len(names) != n_classes:
        raise DataError(
            f"the model has {n_classes} classes, but {of} names {len(names)}; give "
            "the names of the model's classes, one a line in its order, with --classes=FILE"
        )


def _named_arrays(path: Path, stored: Any) -> tuple[np.ndarray, np.ndarray]:
    for pair in _ARRAYS:
        if set(pair) <= set(stored.files):
            return _array_of(path, stored, pair[0]), _array_of(path, stored, pair[1])
    raise DataError(
        f"{path} must hold the arrays images and labels, and it holds "
        + (", ".join(sorted(stored.files)) or "none")
        + "; write it with np.savez(path, images=images, labels=labels)"
    )


def _array_of(path: Path, stored: Any, name: str) -> np.ndarray:
    """One array of an archive; never one of Python objects, which can run code when read."""
    try:
        found: np.ndarray = stored[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        kind = "float" if name in (images for images, _ in _ARRAYS) else "str"
        raise DataError(
            f"the array {name} of {path} holds Python objects, as those of pandas do, which are "
            "not read, since such a file can hide code; save it as text or numbers, such as "
            f"np.savez(path, ..., {name}=np.asarray({name}).astype({kind}))"
        ) from error
    return found


# --- TensorFlow Datasets -----------------------------------------------------------------------


def _tfds(
    spec: str,
    input_shape: Sequence[int | None],
    n_classes: int,
    class_names: Sequence[str],
    data_dir: str,
    offline: bool,
    resize: str,
) -> Labelled:
    """A split of a TFDS data set."""
    first, _, rest = spec.partition("/")
    if first in named_sets() and not DATASETS[first].streamed:
        return _own(first, rest, data_dir, offline)
    directory = Path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))
    prepared, name, split = _prepared(directory.expanduser(), spec)
    try:
        targets, names, split, images = _examples(prepared, name, split)
    except DataError:
        raise
    except Exception as error:  # TFDS and TensorFlow raise many kinds for damaged files
        raise DataError(f"{name} in {directory} cannot be read: {_reason(error)}") from error
    labels, names = _numbered(targets, n_classes, tuple(class_names) or names, name)
    words = f"{name}, its {split} split"
    kind = _kind_of(split)
    if isinstance(images, np.ndarray):
        white, plain = range_of(images), are_plainly_pixels(images)
        if not white or images.ndim < 3 or _reshaped(images.shape[1:], tuple(input_shape)):
            read: Callable[[np.ndarray], np.ndarray] = lambda at: images[at]  # noqa: E731
            return Labelled(labels, names, words, read, split=kind, white=white, plain=plain)
    elif isinstance(images[0], np.ndarray):
        together = np.concatenate([image.ravel() for image in images])[None, :, None]
        white, plain = range_of(together), are_plainly_pixels(together)
    else:
        white, plain = _white_among(images), True
    read = functools.partial(_decoded, images, _size(input_shape), resize, white)
    words += f", {_size_words(input_shape, resize)}"
    return Labelled(labels, names, words, read, split=kind, white=white, plain=plain)


def _prepared(directory: Path, spec: str) -> tuple[Path, str, str]:
    """The folder of a prepared data set, its name, and the split that is asked for.

    spec is name, name/split, name/configuration or name/configuration/split, with the version
    behind the name where one is wanted: name:1.0.0/split.
    """
    before, _, last = spec.rpartition("/")
    # The colon of train[:10] is none of a version.
    for name, split in ((spec, ""), (before, last)):
        plain, _, version = name.partition(":")
        if not plain:
            continue
        if version and (directory / plain / version / "dataset_info.json").is_file():
            return directory / plain / version, plain, split
        found = None if version else data_source.prepared(directory, glob.escape(plain))
        if found is not None:
            return found, plain, split
    name = spec.partition("/")[0].partition(":")[0]
    there = sorted((directory / name).glob("**/dataset_info.json")) if name else []
    if there:
        kept = ", ".join(str(path.parent.relative_to(directory)) for path in there[:5])
        raise DataError(
            f"{spec} is not prepared in {directory}, which holds {kept}; give one of them as "
            "--data=tfds:name, tfds:name:version or tfds:name/configuration"
        )
    raise DataError(
        f"{name} is not prepared in {directory}; prepare it with TFDS (tfds build {name}) and "
        "give the folder with --data_dir"
    )


def _own(name: str, split: str, data_dir: str, offline: bool) -> Labelled:
    """One of the laboratory's own data sets, read as its networks' training reads it."""
    splits = DATASETS[name].splits
    split = split or splits[1]
    if split not in splits:
        raise DataError(
            f"{name} has the splits {' and '.join(splits)}, not {split!r}; it is read whole, and "
            f"--budget takes a sample: give --data=tfds:{name}/train, or leave the split out"
        )
    source = data_source.locate(name, data_dir, offline)
    images = load.in_memory(source)[splits.index(split)]
    pixels = images.images

    def read(places: np.ndarray) -> np.ndarray:
        return np.rint(pixels[places] * np.float32(255)).astype(np.uint8)

    words = f"{source.describe()}, its {split} split"
    return Labelled(images.labels, (), words, read, split=_kind_of(split), white=WHITE)


def _kind_of(split: str) -> str:
    return "train" if _base_of(split) == "train" else "test"


def _base_of(split: str) -> str:
    """The split of which "train[:10]" is a part."""
    return split.partition("[")[0]


def _examples(
    prepared: Path, name: str, split: str
) -> tuple[np.ndarray, tuple[str, ...], str, list[Any] | np.ndarray]:
    """Labels, class names, the split's name, and the image files as they are stored, or, where
    images are stored as arrays, those: one array, or a list where their sizes differ."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(prepared)
    there = list(builder.info.splits)
    split = split or next((one for one in _SPLITS if one in there), there[0])
    features = builder.info.features
    try:
        if any(_base_of(part) not in there for part in split.split("+")):
            raise ValueError(split)
        n_examples = builder.info.splits[split].num_examples
    except Exception as error:  # TFDS raises many kinds for a slice that it cannot read
        raise DataError(
            f"{name} has the splits {', '.join(there)}, not {split!r}; give one of them, or a "
            "part of it such as train[:10%]"
        ) from error
    if not n_examples:
        raise DataError(f"there are no images in the split {split!r} of {name}; give a larger part")
    image, label = _named_features(builder.info, name)
    # Other types are stored in a form of TFDS's own, which looks like another image.
    encoded = isinstance(features[image], tfds.features.Image) and (
        np.dtype(features[image].np_dtype) in (np.uint8, np.uint16)
    )
    decoders = {image: tfds.decode.SkipDecoding()} if encoded else None
    examples = builder.as_dataset(split=split, decoders=decoders)
    pairs = [(one[image], one[label]) for one in tfds.as_numpy(examples)]
    names = tuple(getattr(features[label], "names", None) or ())
    labels = np.array([label for _, label in pairs])
    images = [image for image, _ in pairs]
    if not encoded and len({np.shape(image) for image in images}) == 1:
        return labels, names, split, np.stack(images)
    return labels, names, split, images


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
    path: Path,
    input_shape: Sequence[int | None],
    n_classes: int,
    class_names: Sequence[str],
    resize: str,
) -> Labelled:
    """Every image below the class folders; the folder's place, or its name's, is the label."""
    if not path.is_dir():
        raise DataError(f"no folder {path}")
    inside = sorted(path.iterdir())
    folders = [p for p in inside if p.is_dir() and (p.name in class_names or not _is_of_system(p))]
    names = tuple(class_names) or tuple(folder.name for folder in folders)
    unknown = sorted({folder.name for folder in folders} - set(names))
    if unknown:
        raise DataError(
            f"{len(unknown)} folders of {path} are not among the names of --classes, such as "
            f"{unknown[0]!r}; write the names of the folders into that file, in the model's order"
        )
    files: list[Path] = []
    labels: list[int] = []
    left_out: list[str] = []
    for other in (p for p in inside if p not in folders):
        loose = _is_image(other) and other.is_file()
        left_out += ["image beside the class folders"] if loose else _left_out(other)
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if _is_image(file) and not file.is_dir():
                files.append(file)
                labels.append(names.index(folder.name))
            else:
                left_out += _left_out(file)
    if not files:
        raise DataError(_no_images(path, folders, left_out))
    if len(names) != n_classes and not class_names:
        listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
        raise DataError(
            f"the model has {n_classes} classes, and {path} has {len(names)} class folders "
            f"({listed}); take out the folders that are no classes, or give the names of the "
            "model's classes, one a line in its order, with --classes=FILE"
        )
    words = f"{path.name}, {len(folders)} class folders"
    if left_out:
        words += f" ({_counted(left_out)} left out)"
    white = _white_among(files)
    return Labelled(
        np.array(labels, np.int32),
        names,
        f"{words}, {_size_words(input_shape, resize)}",
        functools.partial(_decoded, files, _size(input_shape), resize, white),
        white=white,
    )


def _is_of_system(folder: Path) -> bool:
    """Whether operating systems and tools leave such folders, which are no classes."""
    return folder.name.startswith(".") or folder.name in _OF_SYSTEMS


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _IMAGE_FILES and not path.name.startswith(".")


def _no_images(path: Path, folders: Sequence[Path], left_out: list[str]) -> str:
    """What to say of a folder without class folders."""
    words = f"{path} has no class folders with image files in them"
    if left_out:
        words += f" ({_counted(left_out)} there)"
    for folder in folders:
        for nested in sorted(folder.iterdir()):
            if nested.is_dir() and any(_is_image(file) for file in nested.iterdir()):
                return f"{words}; the class folders may be in {folder}: give --data=dir:{folder}"
    suffixes = ", ".join(sorted(_IMAGE_FILES))
    return f"{words}; give one folder for each class, with files of {suffixes} in it"


def _white_among(files: Sequence[Any]) -> int:
    """The largest value that pixels of some of these files can have; 255 unless all have more."""
    step = max(1, len(files) // _HEADERS)
    try:
        return min(white_of(file) for file in files[::step])
    except PixelError:
        return WHITE  # it is told of when it is read


def _left_out(path: Path) -> list[str]:
    """What kind of thing in a folder is not read, and the images in it, one by one."""
    if path.name.startswith("."):
        return ["hidden"]
    if path.is_dir() and _is_of_system(path):
        return ["system folder"]
    if not path.is_dir():
        return [path.suffix.lower() or "without suffix"]
    n = sum(_is_image(file) for file in path.rglob("*"))
    return ["nested folder", *["image in nested folders"] * n]


def _counted(kinds: list[str]) -> str:
    """
    >>> _counted([".tif", ".txt", ".tif", "nested folder", "nested folder"])
    '2 .tif, 1 .txt, 2 nested folders'
    """
    words = []
    for kind, n in collections.Counter(kinds).items():
        if n > 1:
            kind = kind.replace("image ", "images ")
            for folder in ("nested folder", "system folder"):
                kind = kind.replace(folder, f"{folder}s")
        words.append(f"{n} {kind.replace('folderss', 'folders')}")
    return ", ".join(words)


def read_names(path: Path) -> tuple[str, ...]:
    """Class names from a text file, one a line, in any encoding that editors on Windows write.

    Raises:
        DataError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"--classes names {path}, which cannot be read; give a text file of the model's "
            "classes, one a line in its order"
        ) from error
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
    files: Sequence[Any] | np.ndarray,
    size: tuple[int, int, int],
    resize: str,
    white: int,
    places: np.ndarray,
) -> np.ndarray:
    """float32 (n, height, width, channels) of 0 to white, of image files, contents or arrays."""
    images = np.empty((len(places), *size), np.float32)
    for row, place in enumerate(places):
        source = files[place]
        try:
            images[row] = decoded(source, size, resize, white)
        except PixelError as error:
            name = source if isinstance(source, Path) else f"image {place}"
            raise DataError(
                f"{name} cannot be read as an image: {error}; save it again, or leave it out"
            ) from error
    return images


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# Images handed to the engine at a time: of 224 x 224 pixels in colour, 39 MB.
_READING_BATCH = 64


@dataclass(frozen=True)
class LabelledStream:
    """Labelled images that are read when they are needed; looks like `imagenet.ImageStream`.

    places: int64 (n_images,), those of `labelled`, in this order.
    """

    labelled: Labelled
    places: np.ndarray
    n_classes: int

    def __len__(self) -> int:
        return len(self.places)

    @property
    def images(self) -> LabelledStream:
        """The stream itself, which gives the labels too."""
        return self

    @property
    def labels(self) -> None:
        """None: labels come with the images."""
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_images, ...), the last ones of one image."""
        return (len(self), *self.labelled.images(self.places[:1]).shape[1:])

    def take(self, index: np.ndarray) -> LabelledStream:
        """Those of its images, by their position in the stream, in the order of their numbers."""
        return dataclasses.replace(self, places=self.places[np.sort(index)])

    def labels_in_order(self) -> np.ndarray:
        """int32 (n_images,), the label of each of its images."""
        return self.labelled.labels[self.places]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(self), _READING_BATCH):
            places = self.places[start : start + _READING_BATCH]
            yield self.labelled.images(places), self.labelled.labels[places]
