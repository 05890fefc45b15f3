"""Pixels: told by their values, kept in their range, brought to a size as Keras does.

White is 255, or 65,535 of images of 16 bits. Divided by 257 these are from 0 to 255 too, and
nothing of their range is lost. Everything here is computed by NumPy and Pillow alone.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

RESIZES = ("stretch", "crop", "pad")
"""How an image is brought to the model's size. stretch: whatever its proportions, which is what
`keras.utils.image_dataset_from_directory` does by default; crop: what is too long is cut off on
both sides alike; pad: what is missing is black."""
RESIZE_WORDS = {
    "stretch": "stretched to",
    "crop": "cut to the proportions of, and resized to,",
    "pad": "padded to the proportions of, and resized to,",
}
WHITE, WHITE_16 = 255, 65_535
"""The largest value of a pixel of 8 and of 16 bits."""
_LOOKED_AT = 1_000_000  # values at a time
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class PixelError(ValueError):
    """A file that is no image; the message says why."""


def range_of(images: np.ndarray) -> int:
    """The largest value that pixels of this kind can have: 255 or 65,535; 0 of numbers that are no
    pixels.

    Pixels are whole numbers from 0, whatever type they are stored in, some of them above 1. Whole
    numbers above 255 are pixels only where they lie in rows and columns, or are of 16 bits. Numbers
    that are not whole may be pixels of resized images, where they fill the range to 255 and lie in
    rows and columns.

    Args:
        images: numbers (n_images, ...).

    >>> range_of(np.array([[0.0, 128.0, 255.0]])), range_of(np.array([[0.0, 0.5, 1.0]]))
    (255, 0)
    >>> range_of(np.array([[0, 40_000]], np.uint16)), range_of(np.array([[0, 40_000]]))
    (65535, 0)
    """
    if images.dtype.kind not in "iuf" or not images.size:
        return 0
    low, high = float(images.min()), float(images.max())
    # Also where one of them is NaN.
    if not (low >= 0 and 1 < high <= WHITE_16):
        return 0
    if not _whole(images):  # as resized ones are
        return WHITE if images.ndim > 2 and WHITE / 2 < high <= WHITE else 0
    if high <= WHITE:
        return WHITE
    return WHITE_16 if images.ndim > 2 or images.dtype == np.uint16 else 0


def are_plainly_pixels(images: np.ndarray) -> bool:
    """Whether numbers that may be pixels, see `range_of`, can hardly be anything else: in rows and
    columns, and some of them in the brighter half of the range.

    >>> are_plainly_pixels(np.full((1, 2, 2), 200)), are_plainly_pixels(np.array([[3, 16]]))
    (True, False)
    """
    white = range_of(images)
    bright = white > 0 and float(images.max()) > white / 2
    return images.ndim > 2 and bright and _whole(images)


def _whole(images: np.ndarray) -> bool:
    if images.dtype.kind != "f":
        return True
    flat = images.reshape(-1)
    parts = (flat[at : at + _LOOKED_AT] for at in range(0, flat.size, _LOOKED_AT))
    return all(np.array_equal(part, np.rint(part)) for part in parts)


def to_bytes(images: np.ndarray, white: int) -> np.ndarray:
    """Pixels from 0 to 255, float32 where their range was another."""
    if white == WHITE_16:
        return images.astype(np.float32) / np.float32(WHITE_16 / WHITE)
    return images


def white_of(source: Path | bytes) -> int:
    """The largest value that the pixels of an image file, or its content, can have.

    Raises:
        PixelError: it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return WHITE_16 if image.mode.startswith("I") else WHITE
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise PixelError(_plainly(error)) from error


def decoded(
    source: Path | bytes | np.ndarray, size: tuple[int, int, int], resize: str, white: int = WHITE
) -> np.ndarray:
    """float32 (height, width, channels), an image file, its content, or an array of pixels.

    Args:
        size: height, width and channels to bring it to. resize: one of RESIZES.
        white: what the largest value of a file's pixels becomes. Arrays keep their values.

    Raises:
        PixelError: it cannot be read.
    """
    height, width, channels = size
    try:
        pixels = source if isinstance(source, np.ndarray) else _opened(source, channels, white)
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise PixelError(_plainly(error)) from error
    pixels = np.asarray(pixels, np.float32)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise PixelError(f"its pixels have shape {pixels.shape}, not (height, width, channels)")
    return resized(_with_channels(pixels, channels, white), height, width, resize)


def resized(pixels: np.ndarray, height: int, width: int, resize: str = "stretch") -> np.ndarray:
    """float32 (height, width, channels), as `keras.ops.image.resize` gives it with bilinear
    interpolation, for images of any size without a compilation for each.

    Args:
        pixels: float (rows, columns, channels). resize: one of RESIZES.

    >>> resized(np.array([[[0.0], [4.0]]]), 1, 4)[0, :, 0].tolist()
    [0.0, 1.0, 3.0, 4.0]
    """
    if pixels.shape[:2] == (height, width):
        return np.asarray(pixels, np.float32)
    rows, columns = pixels.shape[:2]
    # The side that the other one asks for, by the proportions of the size.
    high, wide = int(columns * height / width), int(rows * width / height)
    if resize == "crop":
        high, wide = max(1, min(rows, high)), max(1, min(columns, wide))
        top, left = (rows - high) // 2, (columns - wide) // 2
        pixels = pixels[top : top + high, left : left + wide]
    elif resize == "pad":
        top, left = max(0, high - rows) // 2, max(0, wide - columns) // 2
        pixels = np.pad(pixels, ((top, top), (left, left), (0, 0)))
    return _along(_along(np.asarray(pixels, np.float32), height, 0), width, 1)


def _along(pixels: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Linear interpolation along one axis, between the centres of pixels."""
    n = pixels.shape[axis]
    at = (np.arange(size, dtype=np.float64) + 0.5) * (n / size) - 0.5
    low = np.floor(at)
    shape = [1, 1, 1]
    shape[axis] = size
    share = (at - low).astype(np.float32).reshape(shape)
    first, second = (
        np.take(pixels, np.clip(place, 0, n - 1).astype(np.int64), axis) for place in (low, low + 1)
    )
    return np.asarray(first + (second - first) * share, np.float32)


def _opened(source: Path | bytes, channels: int, white: int) -> np.ndarray:
    """Pixels of 0 to white, with as many channels as asked for, or one."""
    from PIL import Image

    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        deep = image.mode.startswith("I")  # 16 bits, which Pillow would cut off
        pixels = np.asarray(image if deep else image.convert(MODES[channels]))
    if deep == (white == WHITE_16):
        return pixels
    ratio = np.float32(WHITE_16 / WHITE)
    return pixels.astype(np.float32) / ratio if deep else pixels.astype(np.float32) * ratio


def _with_channels(pixels: np.ndarray, channels: int, white: int) -> np.ndarray:
    """Grey as three channels, three as grey (ITU-R 601, as Pillow does), no alpha as opaque."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 1 and pixels.shape[-1] < 3:
        return pixels[..., :1]
    if channels == 1:
        weights = np.array([0.299, 0.587, 0.114], np.float32)
        return np.dot(pixels[..., :3], weights)[..., None]
    colour = np.repeat(pixels[..., :1], 3, axis=-1) if pixels.shape[-1] < 3 else pixels[..., :3]
    if channels == 3:
        return colour
    opaque = np.full((*colour.shape[:2], 1), white, np.float32)
    return np.concatenate([colour, opaque], axis=-1)


def _plainly(error: Exception) -> str:
    """The first line of an error, without the names of Python's objects."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return re.sub(r"\s*'?<[\w.]+ object at 0x[0-9a-f]+>'?", "", line)
