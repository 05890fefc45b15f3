"""Images in memory with their labels, and the tf.data pipeline that feeds a training."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from repro.data.imagenet import ImageStream
from repro.data.source import DataError

if TYPE_CHECKING:
    import tensorflow as tf


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


class Stream(Protocol):
    """Labelled images that are read when they are needed, as `imagenet.ImageStream` and
    `labelled.LabelledStream` are."""

    @property
    def n_classes(self) -> int:
        """Labels are 0 to n_classes - 1."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches of images and their labels."""

    @property
    def images(self) -> Any:
        """The stream itself, which gives the labels too."""

    @property
    def labels(self) -> None:
        """None: labels come with the images."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_images, ...), the last ones of one image."""

    def take(self, index: np.ndarray) -> Stream:
        """Those of its images, by their position."""


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
    test: Images | Stream

    @property
    def order(self) -> str:
        """A digest of all labels, by which another subset, order or corruption of the images shows;
        "" for streams, whose labels are not read in advance."""
        if not isinstance(self.train, Images) or not isinstance(self.test, Images):
            return ""
        digest = hashlib.sha256()
        for labels in (self.train.labels, self.true_labels, self.test.labels):
            digest.update(np.asarray(labels, np.int32).tobytes())
        return digest.hexdigest()


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers that depend on the seed and the purpose alone, never on global state."""
    return np.random.default_rng((seed, zlib.crc32(purpose.encode())))


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
