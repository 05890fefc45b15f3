"""Pixels: told by their values, kept in their range, brought to a size as Keras does.

Values are from 0 to 255 here, whatever the file held: 16-bit images are divided by 257, so that
nothing of their range is lost and white is 255.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

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
_WHITE, _WHITE_16 = 255, 65_535
_LOOKED_AT = 1_000_000  # values
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class PixelError(ValueError):
    """A file that is no image, or pixels of no known range; the message says what to do."""


def range_of(images: np.ndarray) -> int:
    """The largest value that pixels of this kind can have: 255 or 65,535; 0 of numbers that are no
    pixels.

    Pixels are whole numbers from 0, whatever type they are stored in, some of them above 1.

    >>> range_of(np.array([[0.0, 128.0, 255.0]])), range_of(np.array([[0.0, 0.5, 1.0]]))
    (255, 0)
    >>> range_of(np.array([[0, 40_000]], np.uint16))
    65535
    """
    if images.dtype == np.uint8:
        return _WHITE
    if images.dtype.kind not in "biuf" or not images.size:
        return 0
    step = max(1, images.size // _LOOKED_AT)
    values = images.reshape(-1)[::step].astype(np.float64)
    high = float(images.max())
    if images.min() < 0 or high <= 1 or not np.all(values == np.rint(values)):
        return 0
    if high <= _WHITE:
        return _WHITE
    return _WHITE_16 if high <= _WHITE_16 and images.dtype.kind in "iu" else 0


def to_bytes(images: np.ndarray, white: int) -> np.ndarray:
    """Pixels from 0 to 255, float32 where their range was another."""
    if white == _WHITE_16:
        return images.astype(np.float32) / np.float32(_WHITE_16 / _WHITE)
    return images


def decoded(source: Path | bytes | np.ndarray, size: tuple[int, int, int], resize: str) -> Any:
    """float32 (height, width, channels), an image file, its content, or an array of pixels.

    Args:
        size: height, width and channels to bring it to. resize: one of RESIZES.

    Raises:
        PixelError: it cannot be read.
    """
    height, width, channels = size
    try:
        pixels = source if isinstance(source, np.ndarray) else _opened(source, channels)
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise PixelError(_plainly(error)) from error
    pixels = np.asarray(pixels, np.float32)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[-1] != channels:
        pixels = _with_channels(pixels, channels)
    if pixels.shape[:2] == (height, width):
        return pixels
    import keras

    return np.asarray(
        keras.ops.convert_to_numpy(
            keras.ops.image.resize(
                pixels,
                (height, width),
                interpolation="bilinear",
                crop_to_aspect_ratio=resize == "crop",
                pad_to_aspect_ratio=resize == "pad",
                data_format="channels_last",
            )
        ),
        np.float32,
    )


def _opened(source: Path | bytes, channels: int) -> np.ndarray:
    """Pixels of 0 to 255, with as many channels as asked for."""
    from PIL import Image

    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        if image.mode.startswith(("I", "F")):
            pixels = np.asarray(image, np.float32)
            if image.mode != "F" or pixels.max(initial=0) > _WHITE:
                pixels = pixels / np.float32(_WHITE_16 / _WHITE)
            return _with_channels(pixels[..., None], channels)
        return np.asarray(image.convert(MODES[channels]))


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Grey as three channels, three as grey (ITU-R 601, as Pillow does), no alpha as opaque."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 1:
        weights = np.array([0.299, 0.587, 0.114], np.float32)
        return (pixels[..., :3] @ weights)[..., None]
    colour = np.repeat(pixels[..., :1], 3, axis=-1) if pixels.shape[-1] < 3 else pixels[..., :3]
    if channels == 3:
        return colour
    opaque = np.full((*colour.shape[:2], 1), _WHITE, np.float32)
    return np.concatenate([colour, opaque], axis=-1)


def _plainly(error: Exception) -> str:
    """The first line of an error, without the names of Python's objects."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return re.sub(r"\s*'?<[\w.]+ object at 0x[0-9a-f]+>'?", "", line)
