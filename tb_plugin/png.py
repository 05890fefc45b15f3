"""Images as PNG files, with the standard library: the lab's pictures are small."""

import struct
import zlib

import numpy as np


def encode(pixels: np.ndarray) -> bytes:
    """A PNG file.

    Args:
        pixels: uint8 (height, width) for grey or (height, width, 3) for RGB.

    Raises:
        ValueError: another shape or type.

    >>> encode(np.zeros((2, 3), np.uint8))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    grey = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(
            f"pixels must be uint8 (height, width) or (height, width, 3), got {pixels.dtype} "
            f"{pixels.shape}"
        )
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if grey else 2, 0, 0, 0)
    # Each line begins with the number of its filter; 0 is none.
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def as_pixels(image: np.ndarray) -> np.ndarray:
    """uint8 pixels of a float image, its smallest value black and its largest white.

    Args:
        image: float (height, width), (height, width, 1) or (height, width, 3).
    """
    values = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low) if high > low else 0)
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)
