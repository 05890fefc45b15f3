"""Labelled images in equal batches, from arrays in memory or from a stream, checked on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Batch(NamedTuple):
    """images: (batch_size, ...), or a tuple of such arrays where a model has several inputs.
    labels: (batch_size,), or targets (batch_size, ...). Only the first n_real are real; the others
    repeat them, so that all batches have one shape."""

    images: Any
    labels: np.ndarray
    n_real: int

    def halves(self) -> list[Batch]:
        """The batch in two halves; a half that only repeats images is left out. Needs two
        images."""
        middle = (len(self.labels) + 1) // 2
        first = Batch(rows(self.images, slice(middle)), self.labels[:middle], self.n_real)
        first = first._replace(n_real=min(middle, self.n_real))
        rest = slice(middle, None)
        second = Batch(rows(self.images, rest), self.labels[rest], self.n_real - middle)
        return [first, second] if second.n_real > 0 else [first]


def rows(inputs: Any, index: Any) -> Any:
    """Some of the images: of the one input, or of each input in a tuple."""
    if isinstance(inputs, tuple):
        return tuple(each[index] for each in inputs)
    return inputs[index]


def count(inputs: Any) -> int:
    """How many images there are."""
    return len(inputs[0] if isinstance(inputs, tuple) else inputs)


class Batches:
    """Images and labels, as often as they are asked for.

    Args:
        images: (n_images, ...) array, of floats that become float32, or of any other type, which
            stays; a tuple of them for several inputs; or, if labels is None, any object that gives
            (images, labels) batches of any size each time it is iterated: a list, a
            `tf.data.Dataset`.
        labels: int (n_images,), or None; with n_classes = 0 any targets (n_images, ...).
        image_shape: of one image; None where any size will do; a tuple of shapes for several
            inputs.
        n_classes: labels must be 0 to n_classes - 1; 0 where they are no classes.
        batch_size: the most images of a batch.

    Raises:
        ValueError: what the arrays hold does not fit; for a stream, when it is read.
    """

    def __init__(
        self,
        images: Any,
        labels: Any,
        *,
        image_shape: Any,
        n_classes: int,
        batch_size: int,
    ) -> None:
        self.image_shape, self.n_classes = image_shape, n_classes
        self._stream: Iterable[Any] | None = None
        if labels is None:
            if not isinstance(images, Iterable) or iter(images) is images:
                raise ValueError(
                    "without labels, images must be an object that gives (images, labels) batches "
                    "each time it is iterated, such as a list or a tf.data.Dataset; "
                    f"got {type(images).__name__}"
                )
            self._stream = images
            self.batch_size = max(1, batch_size)
        else:
            self._images, self._labels = self._checked(images, labels)
            if not len(self._labels):
                raise ValueError("there are no images to evaluate on")
            # Batches of about equal size: images that fill up the last batch are wasted work.
            n_batches = math.ceil(len(self._labels) / max(1, batch_size))
            self.batch_size = math.ceil(len(self._labels) / n_batches)

    def __iter__(self) -> Iterator[Batch]:
        if self._stream is None:
            for start in range(0, len(self._labels), self.batch_size):
                part = slice(start, start + self.batch_size)
                yield self._padded(rows(self._images, part), self._labels[part])
            return
        held: list[tuple[np.ndarray, np.ndarray]] = []
        n_held = n_seen = 0
        for item in self._stream:
            images, labels = self._pair(item)
            n_seen += len(images)
            held.append((images, labels))
            n_held += len(images)
            if n_held >= self.batch_size:
                images, labels = (np.concatenate(parts) for parts in zip(*held, strict=True))
                whole = n_held - n_held % self.batch_size
                for start in range(0, whole, self.batch_size):
                    part = slice(start, start + self.batch_size)
                    yield Batch(images[part], labels[part], self.batch_size)
                held, n_held = [(images[whole:], labels[whole:])], n_held - whole
        if not n_seen:
            raise ValueError("there are no images to evaluate on: the stream gave none")
        if n_held:
            images, labels = (np.concatenate(parts) for parts in zip(*held, strict=True))
            yield self._padded(images, labels)

    @property
    def images(self) -> Any:
        """All images. A stream has none."""
        return self._images

    @property
    def labels(self) -> np.ndarray:
        """All labels or targets. A stream has none."""
        return self._labels

    @property
    def single(self) -> bool:
        """Whether one batch holds all the images."""
        return self._stream is None and len(self._labels) <= self.batch_size

    def _pair(self, item: Any) -> tuple[np.ndarray, np.ndarray]:
        try:
            images, labels = item
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"a stream must give (images, labels) pairs, got {type(item).__name__}"
            ) from error
        return self._checked(np.asarray(images), np.asarray(labels))

    def _padded(self, images: Any, labels: np.ndarray) -> Batch:
        n_real = len(labels)
        if n_real < self.batch_size:
            index = np.arange(self.batch_size) % n_real
            images, labels = rows(images, index), labels[index]
        return Batch(images, labels, n_real)

    def _checked(self, images: Any, labels: Any) -> tuple[Any, np.ndarray]:
        labels = np.asarray(labels)
        if isinstance(images, tuple):
            images = tuple(
                checked_input(each, shape)
                for each, shape in zip(images, self.image_shape, strict=True)
            )
        else:
            images = checked_input(images, self.image_shape)
        n_images = count(images)
        if not self.n_classes:
            if len(labels) != n_images:
                raise ValueError(f"there are {n_images} images but targets for {len(labels)}")
            return images, labels
        if labels.shape != (n_images,) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"labels must be {n_images} integers, one an image; "
                f"got {labels.dtype} of shape {labels.shape}"
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < self.n_classes:
            raise ValueError(
                f"labels must be 0 to {self.n_classes - 1}, the model's classes; "
                f"got {labels.min()} to {labels.max()}"
            )
        return images, labels.astype(np.int32)


def checked_input(images: Any, expected: tuple[int | None, ...]) -> np.ndarray:
    """One input as an array of its own type, floats as float32.

    Raises:
        ValueError: another shape than (n_images, *expected), or values that are not finite.
    """
    images = np.asarray(images)
    if images.dtype.kind == "f" or images.dtype.kind == "V":  # bfloat16 is of kind V
        images = images.astype(np.float32)
    if images.ndim != len(expected) + 1 or any(
        size not in (None, found) for size, found in zip(expected, images.shape[1:], strict=True)
    ):
        wanted = ", ".join(["n", *(str(size) for size in expected)])
        raise ValueError(f"images must have shape ({wanted}), got {images.shape}")
    if images.dtype.kind in "fc" and not np.all(np.isfinite(images)):
        raise ValueError("images hold values that are not finite (NaN or infinity)")
    return images
