"""Pictures for the lesion lab that belong to no data set: ten glyphs, drawn by formula.

`study` trains a small network on them in seconds, and lesions it.
"""

from collections.abc import Callable

import numpy as np

SIZE = 28  # pixels a side, as many as MNIST has
STROKE = 1.2  # pixels, half of a line's width
N_TRAIN, N_TEST = 4000, 2000

# Distance from the outline of each glyph in a square of [-1, 1], x to the right and y downwards.
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
GLYPHS: dict[str, Distance] = {
    "bar": lambda x, y: _segment(x, y, (-1, 0), (1, 0)),
    "pillar": lambda x, y: _segment(x, y, (0, -1), (0, 1)),
    "slash": lambda x, y: _segment(x, y, (-0.8, 0.8), (0.8, -0.8)),
    "backslash": lambda x, y: _segment(x, y, (-0.8, -0.8), (0.8, 0.8)),
    "plus": lambda x, y: np.minimum(GLYPHS["bar"](x, y), GLYPHS["pillar"](x, y)),
    "cross": lambda x, y: np.minimum(GLYPHS["slash"](x, y), GLYPHS["backslash"](x, y)),
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.9),
    "disc": lambda x, y: np.maximum(np.hypot(x, y) - 0.8, 0),
    "square": lambda x, y: _polygon(x, y, [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]),
    "triangle": lambda x, y: _polygon(x, y, [(0, -0.9), (0.95, 0.75), (-0.95, 0.75)]),
}

Point = tuple[float, float]


def _segment(x: np.ndarray, y: np.ndarray, start: Point, end: Point) -> np.ndarray:
    """Distance of points from a straight line between two others."""
    (x0, y0), (x1, y1) = start, end
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx**2 + dy**2), 0, 1)
    return np.hypot(x - x0 - along * dx, y - y0 - along * dy)


def _polygon(x: np.ndarray, y: np.ndarray, corners: list[Point]) -> np.ndarray:
    sides = zip(corners, corners[1:] + corners[:1], strict=True)
    return np.min([_segment(x, y, start, end) for start, end in sides], axis=0)


def draw(distance: Distance, rng: np.random.Generator, noise: float) -> np.ndarray:
    """One glyph, of a random size, place and brightness, under noise.

    Args:
        noise: standard deviation, where white is 1.

    Returns:
        uint8 (SIZE, SIZE, 1).
    """
    radius = rng.uniform(6, 9)  # pixels
    down, right = (SIZE - 1) / 2 + rng.uniform(-4, 4, size=2)
    y, x = np.mgrid[:SIZE, :SIZE]
    pixels_off = radius * distance((x - right) / radius, (y - down) / radius)
    ink = np.clip(STROKE + 0.5 - pixels_off, 0, 1) * rng.uniform(0.6, 1)
    noisy = ink + rng.normal(0, noise, size=ink.shape)
    return np.round(255 * np.clip(noisy, 0, 1)).astype(np.uint8)[..., None]


def images(n: int, seed: int, noise: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """n glyphs, the classes in turn.

    Returns:
        uint8 (n, SIZE, SIZE, 1), and int (n,): places in GLYPHS.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(GLYPHS)
    distances = list(GLYPHS.values())
    return np.stack([draw(distances[label], rng, noise) for label in labels]), labels


def study():
    """The `repro.Study` of a network with two layers of 64 units, on N_TEST glyphs it never saw."""
    import keras

    import repro

    keras.utils.set_random_seed(0)  # the order of the batches
    train, labels = images(N_TRAIN, seed=0)
    test, test_labels = images(N_TEST, seed=1)
    model = repro.mlp((SIZE, SIZE, 1), len(GLYPHS), (64, 64), seed=0)
    model.compile(
        keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(train / np.float32(255), labels, batch_size=64, epochs=12, verbose=0)
    return repro.lesion(
        model,
        test / np.float32(255),
        test_labels,
        class_names=list(GLYPHS),
        data=f"{N_TEST} glyphs not trained on",
    )
