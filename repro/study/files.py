"""The files of a study's report.

index.html             what was found, pictures, tables, the sample, what was not masked and why
units.csv, curve.csv   every unit, every point of the curve
summary.json           what was found, for programs
curve.png, units.png   the pictures, also as SVG
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from repro.core.kinds import KINDS, AblationCurve
from repro.core.metrics import mean_and_sd
from repro.display.tables import to_csv, to_json
from repro.experiments import runs
from repro.study import figures, page, standing
from repro.study.measured import Measured
from repro.study.page import BESIDE
from repro.study.sample import most_active
from repro.study.sentences import interval, shown
from repro.study.show import chance, normalized_auc


def write(study: Measured, directory: Path, command: str = "") -> Path:
    """Writes all files of the report; `index.html` last.

    Raises:
        RunsError: the disk is full, the folder cannot be written, or a file of one of these names
            is there that is not one of ours. The last two are found before anything is computed.
    """
    files = runs.Beside(directory, ("index.html", *BESIDE))
    curve = study.curves[-1]
    for name, draw in _pictures(study, curve):
        for kind, content in draw().items():
            files.write(directory / f"{name}.{kind}", content)
    units = study.units
    columns = units.dtype.names or ()
    rows = zip(*(_csv_column(units[name]) for name in columns), strict=True)
    files.write(directory / "units.csv", to_csv(columns, rows))
    of_curve = to_csv(KINDS["cumulative"].columns, _curve_rows(study, curve))
    files.write(directory / "curve.csv", of_curve)
    files.write(directory / "summary.json", to_json(numbers(study)))
    index = directory / "index.html"
    files.write(index, page.render(study, command).encode())
    return index


def check(directory: Path) -> None:
    """Checks that `write` may write there.

    Raises:
        RunsError: as `write`.
    """
    runs.Beside(directory, ("index.html", *BESIDE))


def numbers(study: Measured) -> dict[str, Any]:
    """What was found, as JSON-ready values; None where something is undefined or not measured."""
    units, intact, curve, words = study.units, study.intact, study.curves[-1], study.words
    together, whole, tested = study.redundant_together, study.whole, study.tested
    areas = normalized_auc(curve, chance(study)) if words.has_accuracy else np.full(1, np.nan)
    area, area_sd = mean_and_sd(areas)
    x = figures.selectivity_column(study)
    found = study.relation(x=x)
    stands = standing.standing(study)
    return {
        "task": words.kind,
        "model": study.model.name,
        "data": study.data,
        "split": study.split,
        "sample": {
            "measured": stands.measured,
            "cut": stands.cut,
            "enough": not stands.useless,
            "why": stands.enough,
        },
        "images": {"used": study.sample.n_images, "available": study.sample.n_available},
        "classes": {
            "all": study.n_classes,
            "with_images": int(np.count_nonzero(np.bincount(study.labels))),
        },
        "units": {
            "all": len(units),
            "planned": study.n_planned,
            "lesioned": int(study.lesioned.sum()),
            "dead": int(units["dead"].sum()),
            "dead_active_on_at_most": most_active(study.sample.n_images),
            "redundant": int(units["redundant"].sum()),
        },
        "tested": {
            "units": len(tested.units),
            "of": tested.n_alive,
            "redundant": tested.n_told_redundant,
            "cannot_be_told": int(tested.untold.sum()),
        },
        "accuracy": float(intact.accuracy) if words.has_accuracy else None,
        "accuracy_interval": list(interval(study)) if words.has_accuracy else None,
        "accuracy_on_all": None
        if whole is None or not words.has_accuracy
        else {"accuracy": float(whole.accuracy), "images": whole.n_images},
        "loss": float(intact.loss),
        "normalized_auc": {
            "mean": _number(area),
            "sd": _number(area_sd),
            "at_most": words.has_accuracy and standing.at_most(curve),
        },
        "mutual_information": {
            "enough_images": words.has_classes and standing.enough_for_information(study)
        },
        "curve": {
            "orders": len(curve.orders),
            "points": len(curve.n_ablated),
            "images": curve.n_images,
        },
        "without_redundant": None
        if together is None
        else {
            "accuracy": _number(together.outcome.accuracy) if words.has_accuracy else None,
            "loss": float(together.outcome.loss),
            "controls": None
            if together.controls is None
            else shown(study, together.controls).tolist(),
        },
        "standard_errors": [
            {
                "layer": str(units["layer"][found.unit]),
                "unit": int(units["unit"][found.unit]),
                "importance": _number(found.importance),
                "accuracy_drop": _number(found.accuracy_drop),
                "largest_class_drop": _number(found.largest_class_drop),
            }
            for found in study.errors
        ],
        "relation": {
            "x": x,
            "y": "importance",
            "rho": _number(found.rho),
            "low": _number(found.low),
            "high": _number(found.high),
            "n": found.n,
        },
        "layers": [
            {"layer": row.layer, "kind": row.kind, "masked": row.masked, "why": row.why}
            for row in study.hidden_layers
        ],
    }


def _pictures(
    study: Measured, curve: AblationCurve
) -> list[tuple[str, Callable[[], dict[str, bytes]]]]:
    return [
        ("curve", lambda: figures.curve_figure(curve, study.n_classes, words=study.words)),
        ("units", lambda: figures.units_figure(study)),
    ]


def _curve_rows(study: Measured, curve: AblationCurve) -> Iterator[tuple[Any, ...]]:
    """Rows of the CSV of a curve; nothing where the task has no such thing as a correct answer."""
    for order, n_ablated, n_correct, n_images, accuracy, loss in KINDS["cumulative"].rows(curve):
        right = (n_correct, n_images, accuracy)
        yield (
            order,
            n_ablated,
            *(right if study.words.has_accuracy else (None, n_images, None)),
            loss,
        )


def _csv_column(values: np.ndarray) -> list[Any]:
    """Truth as 0 and 1, what was not measured as nothing."""
    if values.dtype == np.bool_:
        return values.astype(int).tolist()
    if values.dtype.kind == "f":
        return [None if math.isnan(value) else value for value in values.tolist()]
    return values.tolist()


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
