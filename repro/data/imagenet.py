"""ImageNet, read from disk image by image: it does not fit into memory.

    decode the JPEG -> resize so that the short side is 256 -> centre crop of 224 -> divide by 255

as `images_at_test` does, or a random crop and mirror image in training with `augment`. An image is
known by its number on disk, so labels can be replaced (corruption), images left out (n_train), and
the order of an epoch drawn from (seed, epoch), all without holding an image.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

SHORT_SIDE, CROP = 256, 224

# Compressed images among which the next one is drawn: of 110 KB, so under a gigabyte. Files are
# shuffled too, and 16 of them read in turn.
_SHUFFLE_BUFFER = 8192
_FILES_IN_TURN = 16
# Decoded images handed to the engine at a time: 39 MB.
_READING_BATCH = 64


@dataclass(frozen=True)
class ImageStream:
    """Images of one split of a prepared TFDS data set; looks like `images.Images` to its users.

    Iterating gives (images, labels) batches in the order on disk, which is what `Engine` takes:
    `Engine(model, stream.images, stream.labels)`.

    directory: of the prepared data set, <TFDS directory>/<name>/<version>.
    split: its name there.
    n_classes: labels are 0 to n_classes - 1.
    shard_lengths: images in each of the split's files.
    replaced: int32 (n_images on disk,), labels in place of those on disk; None for those.
    kept: int64, sorted, numbers of the images to read; None for all.
    side: of the square images, in pixels.
    """

    directory: Path
    split: str
    n_classes: int
    shard_lengths: tuple[int, ...]
    replaced: np.ndarray | None = field(default=None, repr=False)
    kept: np.ndarray | None = field(default=None, repr=False)
    side: int = CROP

    def __len__(self) -> int:
        return sum(self.shard_lengths) if self.kept is None else len(self.kept)

    @property
    def images(self) -> ImageStream:
        """The stream itself, which gives the labels too."""
        return self

    @property
    def labels(self) -> None:
        """None: labels come with the images."""
        return None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n_images, height, width, channels)."""
        return (len(self), self.side, self.side, 3)

    def take(self, index: np.ndarray) -> ImageStream:
        """Those of its images, by their position in the stream; they stay in the order on disk."""
        numbers = np.arange(sum(self.shard_lengths)) if self.kept is None else self.kept
        return self._changed(kept=np.sort(numbers[index]))

    def with_labels(self, labels: np.ndarray) -> ImageStream:
        """The same images, with other labels: int (n_images on disk,)."""
        return self._changed(replaced=labels.astype(np.int32))

    def labels_on_disk(self) -> np.ndarray:
        """int32 (n_images on disk,): reads the whole split once and decodes no image."""
        labels = np.full(sum(self.shard_lengths), -1, np.int32)
        examples = self._changed(kept=None, replaced=None)._examples(None).batch(1024)
        for batch in examples.as_numpy_iterator():
            labels[batch["number"]] = batch["label"]
        return labels

    def labels_in_order(self) -> np.ndarray:
        """int32 (n_images,), the label of each of its images; decodes none."""
        labels = self.labels_on_disk() if self.replaced is None else self.replaced
        return labels if self.kept is None else labels[self.kept]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        examples = self._examples(None).map(self._for_test, num_parallel_calls=16)
        return iter(examples.batch(_READING_BATCH).prefetch(2).as_numpy_iterator())

    def pipelines(
        self, batch_size: int, seed: int, first_epoch: int, epochs: int, augment: bool = False
    ) -> Iterator[tuple[tf.data.Dataset, int, int]]:
        """As `images.Images.pipelines`: each epoch is a dataset of its own."""
        for epoch in range(first_epoch, epochs):
            yield self._epoch(batch_size, seed, epoch, augment), epoch, epoch + 1

    def _epoch(self, batch_size: int, seed: int, epoch: int, augment: bool) -> tf.data.Dataset:
        import tensorflow as tf

        draw = zlib.crc32(f"{seed} {epoch}".encode())

        def prepared(example: Mapping[str, Any]) -> tuple[Any, Any]:
            if not augment:
                return self._for_test(example)
            number = tf.cast(example["number"], tf.int32)
            image = random_crop(example["image"], self.side, (draw & 0x7FFFFFFF, number))
            return image, example["label"]

        return (
            self._examples(draw)
            .shuffle(_SHUFFLE_BUFFER, seed=draw, reshuffle_each_iteration=False)
            .map(prepared, num_parallel_calls=16)
            .batch(batch_size)
            # TensorFlow does not know the length of a subset, and Keras would warn each epoch that
            # the input ran out.
            .apply(tf.data.experimental.assert_cardinality(math.ceil(len(self) / batch_size)))
            .prefetch(4)
        )

    def _for_test(self, example: Mapping[str, Any]) -> tuple[Any, Any]:
        return centre_crop(example["image"], self.side), example["label"]

    def _examples(self, shuffle_seed: int | None) -> tf.data.Dataset:
        """{"image": bytes, "label": int32, "number": int64} of each image; files are shuffled if
        there is a seed."""
        import tensorflow as tf
        import tensorflow_datasets as tfds

        reading = tfds.ReadConfig(
            add_tfds_id=True,
            shuffle_seed=shuffle_seed,
            shuffle_reshuffle_each_iteration=False,
            interleave_cycle_length=1 if shuffle_seed is None else _FILES_IN_TURN,
            try_autocache=False,
        )
        examples = tfds.builder_from_directory(self.directory).as_dataset(
            split=self.split,
            shuffle_files=shuffle_seed is not None,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=reading,
        )
        starts = tf.constant(np.cumsum((0, *self.shard_lengths[:-1])), tf.int64)
        replaced = None if self.replaced is None else tf.constant(self.replaced)

        def numbered(example: Mapping[str, Any]) -> dict[str, Any]:
            number = example_number(example["tfds_id"], starts)
            label = tf.cast(example["label"], tf.int32)
            if replaced is not None:
                label = replaced[number]
            return {"image": example["image"], "label": label, "number": number}

        examples = examples.map(numbered, num_parallel_calls=4)
        if self.kept is None:
            return examples
        kept = np.zeros(sum(self.shard_lengths), bool)
        kept[self.kept] = True
        table = tf.constant(kept)
        return examples.filter(lambda example: table[example["number"]])

    def _changed(self, **changes: Any) -> ImageStream:
        return dataclasses.replace(self, **changes)


def example_number(tfds_id: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
    """Position on disk of an example that TFDS calls "<split>.tfrecord-00012-of-01024__7".

    Args:
        tfds_id: string scalar.
        starts: int64 (n_files,), number of the first example of each file.

    Returns:
        int64 scalar, here starts[12] + 7.
    """
    import tensorflow as tf

    parts = [
        tf.strings.to_number(tf.strings.regex_replace(tfds_id, pattern, r"\1"), tf.int64)
        for pattern in (r"^.*-(\d+)-of-\d+__\d+$", r"^.*__(\d+)$")
    ]
    return starts[parts[0]] + parts[1]


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """uint8 (height, width, 3) from the bytes of a JPEG or PNG; grey becomes colour."""
    import tensorflow as tf

    # TensorFlow's faster decoder is off by up to five grey levels.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def short_side(image: tf.Tensor, side: int) -> tf.Tensor:
    """Resizes so that the shorter side has that many pixels, proportions kept.

    Bilinear, over all pixels that fall on one where the image shrinks (antialias).

    Args:
        image: (height, width, 3), any type.

    Returns:
        float32 (height, width, 3), the same range of values.
    """
    import tensorflow as tf

    size = tf.cast(tf.shape(image)[:2], tf.float64)
    scale = tf.cast(side, tf.float64) / tf.reduce_min(size)
    target = tf.maximum(tf.cast(tf.round(size * scale), tf.int32), side)
    return tf.image.resize(image, target, antialias=True)


def centre_crop(encoded: tf.Tensor, side: int = CROP) -> tf.Tensor:
    """The image as it is tested: short side to 256 / 224 of the side, and the square in the middle.

    Returns:
        float32 (side, side, 3) in [0, 1].
    """
    import tensorflow as tf

    image = short_side(decode(encoded), round(side * SHORT_SIDE / CROP))
    top, left = tf.unstack((tf.shape(image)[:2] - side) // 2)
    return _scaled(tf.image.crop_to_bounding_box(image, top, left, side, side), side)


def random_crop(encoded: tf.Tensor, side: int, seed: tuple[Any, Any]) -> tf.Tensor:
    """The image as it is trained on with augmentation: 8 to 100 % of its area, of proportions 3:4
    to 4:3, resized to a square, every other time mirrored.

    Args:
        seed: two integers that alone decide the draw.

    Returns:
        float32 (side, side, 3) in [0, 1].
    """
    import tensorflow as tf

    pixels = decode(encoded)
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(pixels),
        tf.zeros((1, 0, 4)),
        seed,
        min_object_covered=0.0,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        use_image_if_no_bounding_boxes=True,
    )
    image = tf.image.resize(tf.slice(pixels, begin, size), (side, side), antialias=True)
    return _scaled(tf.image.stateless_random_flip_left_right(image, seed), side)


def _scaled(image: tf.Tensor, side: int) -> tf.Tensor:
    image = image / 255.0
    image.set_shape((side, side, 3))
    return image
