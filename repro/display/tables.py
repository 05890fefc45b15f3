"""Tables as CSV, and plain values as JSON: the same numbers for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from repro.core.results import AblationCurve, NoiseCurve

CURVE_COLUMNS = ("order", "n_ablated", "n_correct", "n_images", "accuracy", "loss")


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table as CSV in UTF-8; floats are written so that reading them gives the same float64."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue().encode()


def to_json(content: Any) -> bytes:
    """Plain values as JSON in UTF-8; NaN is not allowed."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def curve_rows(curve: AblationCurve) -> Iterator[tuple[Any, ...]]:
    """A row of CURVE_COLUMNS for each point of each order."""
    return lesion_rows(curve, curve.n_ablated)


def lesion_rows(curve: AblationCurve | NoiseCurve, x: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """Repeat, x, correct, images, accuracy and loss of each point of each repeat."""
    columns = (curve.n_correct.tolist(), curve.accuracy.tolist(), curve.loss.tolist())
    for repeat, of_repeat in enumerate(zip(*columns, strict=True)):
        for at, correct, fraction, nats in zip(x.tolist(), *of_repeat, strict=True):
            yield repeat, at, correct, curve.n_images, fraction, nats
