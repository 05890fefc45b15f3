"""Which images are answered right under which lesions, one bit each, and the loss of each image.

`Recorder` is filled while images pass by, beside `counts.Counts`; `Answers` is what
`Engine.answers` returns. Bits lie image by image: 8 kB an image and 65,536 lesions. Losses are
float32, 32 times as much.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repro.engine.counts import Outcome, Rows

# Arrays of more bytes than this lie on disk.
IN_MEMORY = 1 << 28
# Bytes that are looked at together, when bits are counted.
_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Answers:
    """What the network answers on each image under each lesion.

    right: uint8 (n_images, n_answers, ceil(n_lesions / 8)), one bit for each answer that is right.
        Lesion i is bit i % 8 of byte i // 8, as `np.packbits(..., bitorder="little")` packs them;
        bits beyond the last lesion are 0. An image has one answer, or several of yes or no, or none
        where no answer is right or wrong. The array may lie in a file.
    losses: float32 (n_images, n_lesions), what `Outcome.loss_sum` sums; None if not asked for.
    intact_right: bool (n_images, n_answers), without a lesion.
    intact_losses: float32 (n_images,), without a lesion.
    outcome: the same answers counted over images, of the lesions' own shape.
    """

    right: np.ndarray
    losses: np.ndarray | None
    intact_right: np.ndarray
    intact_losses: np.ndarray
    outcome: Outcome

    @property
    def n_images(self) -> int:
        return len(self.right)

    @property
    def n_lesions(self) -> int:
        """Lesions in all axes together."""
        return int(np.size(self.outcome.loss_sum))

    def under(self, lesion: int) -> np.ndarray:
        """bool (n_images, n_answers), what is right under one lesion.

        Args:
            lesion: its number, from 0, through all axes.

        Raises:
            ValueError: there is no such lesion.
        """
        if not 0 <= lesion < self.n_lesions:
            raise ValueError(f"lesion must be 0 to {self.n_lesions - 1}, got {lesion}")
        return (self.right[:, :, lesion >> 3] >> (lesion & 7) & 1).astype(bool)

    def of_images(self, images: Any) -> np.ndarray:
        """bool (n, n_answers, n_lesions), what is right on some images, int (n,)."""
        some = self.right[np.asarray(images)]
        found = np.unpackbits(some, axis=-1, count=self.n_lesions, bitorder="little")
        return found.astype(bool)

    def changed(self) -> np.ndarray:
        """bool (n_images, n_lesions), held in memory: whether an answer is right that was wrong, or
        wrong that was right."""
        bits = self.of_images(np.arange(self.n_images))
        return (bits != self.intact_right[..., None]).any(axis=1)

    @property
    def n_right(self) -> np.ndarray:
        """int64 (n_images, n_answers), under how many lesions each answer is right."""
        parts = [np.bitwise_count(part).sum(axis=-1, dtype=np.int64) for _, part in self._parts()]
        return np.concatenate(parts)

    @property
    def n_wrong(self) -> np.ndarray:
        """int64 (n_images,), lesions under which an answer is wrong; 0 where none is right or
        wrong."""
        mine = _mask(np.arange(self.n_lesions), self.right.shape[-1])
        parts = []
        for _, part in self._parts():
            wrong = np.bitwise_or.reduce(part ^ mine, axis=1)
            parts.append(np.bitwise_count(wrong).sum(axis=-1, dtype=np.int64))
        return np.concatenate(parts)

    @property
    def n_changed(self) -> np.ndarray:
        """int64 (n_images,), lesions under which an answer is right that was wrong, or wrong that
        was right."""
        mine = _mask(np.arange(self.n_lesions), self.right.shape[-1])
        parts = []
        for images, part in self._parts():
            intact = np.where(self.intact_right[images][..., None], mine, np.uint8(0))
            changed = np.bitwise_or.reduce(part ^ intact, axis=1)
            parts.append(np.bitwise_count(changed).sum(axis=-1, dtype=np.int64))
        return np.concatenate(parts)

    def broken(self, lesion: int) -> np.ndarray:
        """int64 (n,), the images that one lesion breaks: an answer is wrong that was right.

        Args and errors as for `under`.
        """
        return np.flatnonzero((self.intact_right & ~self.under(lesion)).any(axis=1))

    def mended(self, lesion: int) -> np.ndarray:
        """int64 (n,), the images on which an answer is right that was wrong without the lesion.

        Args and errors as for `under`.
        """
        return np.flatnonzero((~self.intact_right & self.under(lesion)).any(axis=1))

    def _parts(self) -> Iterator[tuple[slice, np.ndarray]]:
        """The bits of some images at a time, which fit in memory."""
        of_image = max(1, math.prod(self.right.shape[1:]))
        step = max(1, _AT_ONCE // of_image)
        for start in range(0, max(1, self.n_images), step):
            images = slice(start, start + step)
            yield images, self.right[images]


class Recorder:
    """Writes answers of images down as they pass by, for some lesions.

    Args:
        right, losses: the arrays of `Answers`, written in place; losses (n_images, 0) if they are
            not wanted.
        numbers: int (n,), the places in these arrays of the lesions numbered from 0.
    """

    def __init__(self, right: np.ndarray, losses: np.ndarray, numbers: np.ndarray) -> None:
        self.right, self.losses, self.numbers = right, losses, numbers
        self._mine = _mask(numbers, right.shape[-1])

    @classmethod
    def of(
        cls,
        n_images: int,
        n_answers: int,
        n_lesions: int,
        losses: bool = False,
        folder: str | Path | None = None,
    ) -> Recorder:
        """A recorder of nothing so far.

        Args:
            losses: whether they are wanted too.
            folder: where right.npy and losses.npy are written; None for memory, or, if an array
                has more bytes than `IN_MEMORY`, for files that vanish with the array.

        Raises:
            ValueError: a disk that is too small.
        """
        shape = n_images, n_answers, -(-n_lesions // 8)
        return cls(
            _room(shape, np.uint8, folder, "right"),
            _room((n_images, n_lesions if losses else 0), np.float32, folder, "losses"),
            np.arange(n_lesions),
        )

    @property
    def wants_losses(self) -> bool:
        return self.losses.shape[1] > 0

    def part(self, lesions: np.ndarray) -> Recorder:
        """A recorder of some of the lesions, which are numbered from 0 anew."""
        return Recorder(self.right, self.losses, self.numbers[lesions])

    def at(self, start: int, n_images: int) -> Recorder:
        """A recorder of some of the images, from one on.

        Raises:
            ValueError: there are more images than there were said to be.
        """
        images = slice(start, start + n_images)
        if images.stop > len(self.right):
            raise ValueError(
                f"the images are a stream of {len(self.right)}, by its length, and it gave more"
            )
        return Recorder(self.right[images], self.losses[images], self.numbers)

    def add_to_all(self, columns: np.ndarray | None, rows: Rows) -> None:
        """All images, (n_images,), which every lesion answers like this; as `Counts.add_to_all`."""
        rank, loss, _ = rows
        mine = np.where(self._hits(rank)[..., None], self._mine, np.uint8(0))
        self.right[...] = (self.right & ~self._mine) | mine
        if self.wants_losses:
            self.losses[:, self.numbers] = loss[:, None]

    def replace(
        self,
        lesion: np.ndarray,
        image: np.ndarray,
        columns: np.ndarray | None,
        intact: Rows,
        rows: Rows,
    ) -> None:
        """Rows that answer otherwise than in `add_to_all`; as `Counts.replace`."""
        if not len(lesion):
            return
        number = self.numbers[lesion]
        row, answer = np.nonzero(self._hits(rows[0]) != self._hits(intact[0])[image])
        bit = np.left_shift(1, number[row] & 7).astype(np.uint8)
        np.bitwise_xor.at(self.right, (image[row], answer, number[row] >> 3), bit)
        if self.wants_losses:
            self.losses[image, number] = rows[1]

    def put(self, lesions: np.ndarray, right: np.ndarray, losses: np.ndarray) -> None:
        """Some lesions on all images, one answer an image.

        Args:
            lesions: int (n,), distinct. right: (n, n_images), 0 or 1.
            losses: float32 (n, n_images); not read where none are wanted.
        """
        if not len(lesions):
            return
        numbers = self.numbers[lesions]
        first, last = int(numbers.min()) >> 3, (int(numbers.max()) >> 3) + 1
        bits = np.zeros((right.shape[1], 8 * (last - first)), bool)
        bits[:, numbers - 8 * first] = right.T
        mine = _mask(numbers, self.right.shape[-1])[first:last]
        there = self.right[:, 0, first:last]
        there[...] = (there & ~mine) | np.packbits(bits, axis=1, bitorder="little")
        if self.wants_losses:
            self.losses[:, numbers] = losses.T

    def _hits(self, rank: np.ndarray) -> np.ndarray:
        """bool (n_rows, n_answers), which answers are right."""
        return (rank == 0).reshape(len(rank), -1)[:, : self.right.shape[1]]


def _mask(numbers: np.ndarray, n_bytes: int) -> np.ndarray:
    """uint8 (n_bytes,), 1 in the bits of these lesions."""
    bits = np.zeros(8 * n_bytes, bool)
    bits[numbers] = True
    return np.packbits(bits, bitorder="little")


def _room(shape: tuple[int, ...], dtype: type, folder: str | Path | None, name: str) -> np.ndarray:
    """Zeros in memory or in a file.

    Raises:
        ValueError: a disk that is too small: what is written beyond its end would kill the process.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if not n_bytes or (folder is None and n_bytes <= IN_MEMORY):
        return np.zeros(shape, dtype)
    place = Path(tempfile.gettempdir() if folder is None else folder)
    place.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place).free
    if n_bytes > free:
        raise ValueError(
            f"the answers image by image take {n_bytes / 1e9:.1f} GB and {place} has "
            f"{free / 1e9:.1f} GB left; give a folder on another disk, fewer lesions, or fewer "
            "images"
        )
    if folder is not None:
        path = str(place / f"{name}.npy")
        return np.asarray(np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape))
    with tempfile.TemporaryFile(dir=place) as file:
        return np.asarray(np.memmap(file, dtype=dtype, mode="w+", shape=shape))
