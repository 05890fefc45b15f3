"""Handwritten-looking digits that belong to no data set: strokes, drawn by formula.

Each digit has one or two ways to be written. A drawn digit is one of them, turned, slanted,
stretched and shifted at random, its points moved a little, by a pen of random width.
"""

import numpy as np

SIZE = 28  # pixels a side, as many as MNIST has
STRAIGHT = 12  # points along a straight part of a stroke; the pen goes from point to point
N_DIGITS = 10

Point = tuple[float, float]


def _line(*corners: Point) -> np.ndarray:
    """Points along straight parts, in a square of [-1, 1], x to the right and y downwards."""
    parts = [
        np.linspace(start, end, STRAIGHT)
        for start, end in zip(corners[:-1], corners[1:], strict=True)
    ]
    return np.concatenate(parts)


def _arc(centre: Point, radii: Point, start: float, end: float) -> np.ndarray:
    """Points along an ellipse, from one angle to another in degrees: 0 is right, 90 is down."""
    angles = np.radians(np.linspace(start, end, 3 * STRAIGHT))
    x, y = centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)
    return np.stack([x, y], axis=1)


# Each digit has a list of the ways to write it, and each way is a list of strokes.
WAYS: list[list[list[np.ndarray]]] = [
    [[_arc((0, 0), (0.62, 1), -90, 270)]],
    [[_line((0, -1), (0, 1))], [_line((-0.35, -0.65), (0.05, -1), (0.05, 1))]],
    [
        [_arc((0, -0.45), (0.6, 0.55), -170, 40), _line((0.45, -0.1), (-0.6, 1), (0.7, 1))],
        [_arc((0, -0.5), (0.6, 0.5), -180, 30), _line((0.5, -0.2), (-0.65, 0.95), (0.65, 0.9))],
    ],
    [[_arc((-0.1, -0.5), (0.6, 0.5), -150, 90), _arc((-0.1, 0.5), (0.7, 0.5), -90, 150)]],
    [
        [_line((-0.35, -1), (-0.6, 0.15), (0.65, 0.15)), _line((0.35, -0.9), (0.25, 1))],
        [_line((0.3, 1), (0.3, -1), (-0.65, 0.25), (0.7, 0.25))],
    ],
    [[_line((0.6, -1), (-0.4, -1), (-0.5, -0.15)), _arc((-0.05, 0.38), (0.65, 0.62), -130, 140)]],
    [
        [
            _arc((0.55, 0.3), (1.1, 1.3), -105, -180),
            _arc((0, 0.45), (0.55, 0.55), -180, 180),
        ]
    ],
    [
        [_line((-0.6, -0.95), (0.6, -0.95), (-0.1, 1))],
        [_line((-0.6, -0.95), (0.6, -0.95), (-0.1, 1)), _line((-0.3, 0.05), (0.5, 0.05))],
    ],
    [[_arc((0, -0.5), (0.5, 0.48), 90, 450), _arc((0, 0.5), (0.58, 0.5), -90, 270)]],
    [
        [_arc((0, -0.45), (0.55, 0.5), 0, 360), _line((0.55, -0.45), (0.4, 1))],
        [_arc((0, -0.45), (0.55, 0.5), 0, 360), _arc((-0.45, -0.1), (1, 1.15), -10, 85)],
    ],
]


def draw(digit: int, rng: np.random.Generator) -> np.ndarray:
    """One digit, written in its own way every time.

    Returns:
        uint8 (SIZE, SIZE, 1), white on black.
    """
    way = WAYS[digit][rng.integers(len(WAYS[digit]))]
    tall, wide = rng.uniform(8.2, 9.8), rng.uniform(6.5, 9.5)  # pixels, half of the digit
    slant, turn = rng.uniform(-0.05, 0.35), rng.normal(0, 0.08)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = np.dot(rotation, np.dot(np.diag([wide, tall]), np.array([[1, -slant], [0, 1]])))
    wobble = rng.normal(0, 0.06, (3, 2))  # the hand drifts slowly along the digit
    middle = (SIZE - 1) / 2 + rng.uniform(-1, 1, 2)
    pen = rng.uniform(1.0, 1.6)  # pixels, half of the line's width
    y, x = np.mgrid[:SIZE, :SIZE]
    away = np.full((SIZE, SIZE), np.inf)
    for stroke in way:
        t = np.linspace(0, np.pi, len(stroke))
        drift = sum(np.outer(np.cos((k + 1) * t), wobble[k]) for k in range(len(wobble)))
        points = np.dot(stroke + drift, shape.T) + middle
        for (x0, y0), (x1, y1) in zip(points[:-1], points[1:], strict=True):
            dx, dy = x1 - x0, y1 - y0
            long = max(dx**2 + dy**2, 1e-9)
            along = np.clip(((x - x0) * dx + (y - y0) * dy) / long, 0, 1)
            away = np.minimum(away, np.hypot(x - x0 - along * dx, y - y0 - along * dy))
    ink = np.clip((pen + 0.9 - away) / 1.4, 0, 1)
    return np.round(255 * ink).astype(np.uint8)[..., None]


def images(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n digits, from 0 to 9 in turn.

    Returns:
        uint8 (n, SIZE, SIZE, 1), and int (n,): which digit each is.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % N_DIGITS
    return np.stack([draw(label, rng) for label in labels]), labels
