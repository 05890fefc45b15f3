"""The numbers of each figure as JSON-ready values: summary.json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from repro.core import metrics
from repro.core.kinds import (
    AblationCurve,
    Functions,
    ImageTable,
    Intact,
    NoiseCurve,
    Portraits,
    SweepResult,
    UnitTable,
)
from repro.core.kinds.fragility import SCORES
from repro.core.metrics import mean_and_sd
from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import FigureConfig, TrainConfig
from repro.paper.contrasts import contrasts, sentence, variant_settings
from repro.paper.finding import Estimate
from repro.paper.measures import (
    Trajectory,
    auc,
    flips_of,
    noise_tolerance,
    normalized_auc,
    relation,
    score,
    trajectory,
    unit_tables,
)

# Circumstances of a training that the summary repeats.
_FACTS = (
    "data",
    "pixels",
    "device",
    "processor",
    "backend",
    "versions",
    "git_commit",
    "date",
    "seconds",
)


def stopped_early(network: NetworkResult) -> bool:
    """Whether the training ended by reaching its training accuracy rather than its last epoch."""
    config = network.config
    return config.stop_at_train_accuracy > 0 and network.training.epochs < config.epochs


def summary(figures: Sequence[FigureResult]) -> dict[str, Any]:
    """The numbers of each figure as JSON-ready values, by the figure's name: summary.json.

    Numbers that are undefined are None.
    """
    return {figure.config.name: _figure_summary(figure) for figure in figures}


def _figure_summary(figure: FigureResult) -> dict[str, Any]:
    tables = unit_tables(figure.networks)
    found: dict[str, Any] = {
        "title": figure.config.title,
        "profile": figure.config.profile,
        "data": figure.data,
        "command": figure.command,
        "not_run": figure.not_run,
        "networks": [_network_summary(figure, network) for network in figure.networks],
    }
    if figure.config.variants:
        found["variants"] = _variants_summary(figure)
    if tables:
        rhos = np.array([relation([table]).rho for table in tables])
        defined = rhos[np.isfinite(rhos)]
        found["over_networks"] = {
            **_correlation(relation(tables)),
            "sd": _number(mean_and_sd(defined)[1]) if len(defined) else None,
            "networks": len(tables),
        }
    return found


def _variants_summary(figure: FigureResult) -> dict[str, Any]:
    """The contrast of claim C1 in the base and in each variant."""
    rows, settings = contrasts(figure), variant_settings(figure.config)
    return {
        "sentence": sentence(rows),
        "rows": [
            {
                "variant": one.variant,
                "settings": settings.get(one.variant, ""),
                "label_corruption": one.corruption,
                "normalized_auc_difference": _estimate(one.normalized),
                "auc_difference": _estimate(one.raw),
                "train_accuracy_true": _number(one.train_accuracy[0]),
                "train_accuracy_corrupted": _number(one.train_accuracy[1]),
                "memorised": one.memorised,
            }
            for one in rows
        ],
    }


def _estimate(found: Estimate) -> dict[str, float | None]:
    low, high = found.interval
    return {"value": _number(found.value), "low": _number(low), "high": _number(high)}


def varied_settings(figure: FigureConfig, network: TrainConfig) -> dict[str, Any]:
    """The settings in which the networks of a figure differ, with the values of this network; first
    the name of its variant, in a figure that has some."""
    variant = {"variant": figure.variant_of(network)} if figure.variants else {}
    of_grid = {key: getattr(network, key) for key, values in figure.grid if len(values) > 1}
    return variant | of_grid


def _network_summary(figure: FigureResult, network: NetworkResult) -> dict[str, Any]:
    training, config = network.training, network.config
    return {
        "run_id": config.run_id,
        "settings": varied_settings(figure.config, config),
        "label_corruption": config.label_corruption,
        "seed": config.seed,
        "epochs": training.epochs,
        "stopped_early": stopped_early(network),
        "n_train": training.n_train,
        "n_test": training.n_test,
        "train_accuracy": _number(training.train_accuracy),
        "test_accuracy": _number(training.test_accuracy),
        "train_loss": _number(training.train_loss),
        "test_loss": _number(training.test_loss),
        "circumstances": {key: training.facts[key] for key in _FACTS if key in training.facts},
        "sweeps": {
            name: _sweep_summary(network, name, found) for name, found in network.sweeps.items()
        },
        "snapshots": _snapshots_summary(trajectory(network)),
    }


# What summary.json says of a sweep besides its images, by the name of its kind:
# (network, name of the sweep, record) -> JSON-ready values.
NUMBERS = Functions()


def _sweep_summary(network: NetworkResult, name: str, found: SweepResult) -> dict[str, Any]:
    common = {"kind": found.kind, "images": found.images, "n_images": found.n_images}
    if found.kind not in NUMBERS:
        return common
    return common | NUMBERS[found.kind](network, name, found)


@NUMBERS.of("cumulative")
def _curve_summary(network: NetworkResult, name: str, found: AblationCurve) -> dict[str, Any]:
    return {
        "n_units": found.n_units,
        "layers": [list(layer) for layer in found.layers],
        "fill": found.fill,
        "orders": len(found.orders),
        "points": len(found.n_ablated),
        "intact_accuracy": _number(score(network, found)[:, 0].mean()),
        "auc": _spread(auc(network, name)),
        "normalized_auc": _spread(normalized_auc(network, name)),
    }


@NUMBERS.of("noise")
def _noise_summary(network: NetworkResult, name: str, found: NoiseCurve) -> dict[str, Any]:
    return {
        "scales": found.scales.tolist(),
        "draws": len(found.n_correct),
        "intact_accuracy": _number(score(network, found)[:, 0].mean()),
        "accuracy": [_number(value) for value in score(network, found).mean(axis=0)],
        "noise_tolerance": _spread(noise_tolerance(network, name)),
    }


@NUMBERS.of("intact")
def _intact_summary(network: NetworkResult, name: str, found: Intact) -> dict[str, Any]:
    return {"accuracy": _number(found.accuracy), "loss": _number(found.loss)}


@NUMBERS.of("single_unit")
def _units_summary(network: NetworkResult, name: str, table: UnitTable) -> dict[str, Any]:
    layers = []
    for name, size in table.layers:
        rows = table.layer_names == name
        layers.append(
            {
                "layer": name,
                "n_units": size,
                "dead": int(table.dead[rows].sum()),
                "class_selectivity": _spread(table.class_selectivity[rows]),
                "mutual_information": _spread(table.corrected_information[rows]),
                "importance": _spread(table.importance[rows]),
                **_correlation(relation([table], name)),
            }
        )
    absent = {"classes_without_images": table.n_absent} if table.n_absent else {}
    return absent | {
        "n_units": table.n_units,
        "dead": int(table.dead.sum()),
        "class_selectivity": _spread(table.class_selectivity),
        "mutual_information": _spread(table.corrected_information),
        "all_units": _correlation(relation([table])),
        "live_units": _correlation(relation([table], live_only=True)),
        "layers": layers,
    }


@NUMBERS.of("portraits")
def _portraits_summary(network: NetworkResult, name: str, found: Portraits) -> dict[str, Any]:
    """Numbers of the picked units, without their images."""
    return {
        "n_units": found.n_units,
        "median_importance": _number(found.median_importance),
        "units": [
            {
                "role": role,
                "unit": found.name(role),
                "class_selectivity": _number(found.class_selectivity[index]),
                "importance": _number(found.importance[index]),
                "rank": int(found.rank[index]),
                "class_means": [_number(mean) for mean in found.class_means[:, index]],
            }
            for index, role in enumerate(found.roles)
        ],
    }


@NUMBERS.of("fragility")
def _images_summary(network: NetworkResult, name: str, table: ImageTable) -> dict[str, Any]:
    kinds = {}
    for shuffled, kind in ((True, "shuffled"), (False, "true")):
        rows, flips = table.shuffled if shuffled else table.truthful, flips_of([table], shuffled)
        kinds[kind] = {
            "images": int(rows.sum()),
            "fragility": _spread(table.fragility[rows]),
            "flips": {
                "images": len(flips),
                "mean": _number(flips.mean()) if len(flips) else None,
                "median": _number(np.median(flips)) if len(flips) else None,
                "changed": int(np.isfinite(flips).sum()),
            },
        }
    return {
        "n_units": table.n_units,
        "fill": table.fill,
        "areas": {score: _number(table.area(score)) for score in SCORES},
        **kinds,
    }


def _snapshots_summary(found: Trajectory | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "epochs": found.epochs.tolist(),
        "train_loss": [_number(value) for value in found.train_loss],
        "test_loss": [_number(value) for value in found.test_loss],
        "auc": [_number(value) for value in found.auc.mean(axis=1)],
        "normalized_auc": [_number(value) for value in found.normalized_auc.mean(axis=1)],
        "relations": [_correlation(one) for one in found.relations],
    }


def _correlation(found: metrics.Correlation) -> dict[str, Any]:
    return {
        "rho": _number(found.rho),
        "low": _number(found.low),
        "high": _number(found.high),
        "n": found.n,
    }


def _spread(values: np.ndarray) -> dict[str, float | None]:
    mean, sd = mean_and_sd(values)
    return {"mean": _number(mean), "sd": _number(sd)}


def _number(value: Any) -> float | None:
    """A float for JSON, which has no NaN and no infinity."""
    return float(value) if math.isfinite(value) else None
