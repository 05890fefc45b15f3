"""The numbers of a figure, computed once from its results for drawing, claims and the report.

Everything here is a plain number with its n and its spread; no file, no picture, no verdict.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from repro import metrics
from repro.results import AblationCurve, FigureResult, NetworkResult, UnitTable

# Appendix A.2: every MLP built so far trains for 640 epochs in the paper.
PAPER_EPOCHS = 640


def figure_label(name: str) -> str:
    """A figure's name as the paper writes it.

    >>> figure_label("fig1a")
    'Fig. 1a'
    """
    return f"Fig. {name[3:]}" if name.startswith("fig") and len(name) > 3 else name


def by_label_corruption(figure: FigureResult) -> dict[float, list[NetworkResult]]:
    """Networks of a figure of curves, from clean to corrupted."""
    groups: dict[float, list[NetworkResult]] = {}
    for network in sorted(figure.networks, key=lambda item: item.config.label_corruption):
        if isinstance(network.sweep, AblationCurve):
            groups.setdefault(network.config.label_corruption, []).append(network)
    return groups


def curves(networks: Iterable[NetworkResult]) -> list[AblationCurve]:
    """The cumulative ablation curves among the sweeps of these networks."""
    return [item.sweep for item in networks if isinstance(item.sweep, AblationCurve)]


def unit_tables(networks: Iterable[NetworkResult]) -> list[UnitTable]:
    """The unit tables among the sweeps of these networks."""
    return [item.sweep for item in networks if isinstance(item.sweep, UnitTable)]


def normalized_auc(curve: AblationCurve) -> np.ndarray:
    """float64 (n_orders,): as `AblationCurve.normalized_auc`, NaN where nothing was correct."""
    if np.any(curve.accuracy[:, 0] <= 0):
        return np.full(len(curve.orders), np.nan)
    return curve.normalized_auc


def mean_and_sd(values: np.ndarray, axis: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample standard deviation (n - 1); the s.d. of a single value is NaN.

    >>> [float(value) for value in mean_and_sd(np.array([1.0, 2.0, 3.0]))]
    [2.0, 1.0]
    """
    values = np.asarray(values, np.float64)
    mean = values.mean(axis=axis)
    if values.shape[axis] < 2:
        return mean, np.full_like(mean, np.nan)
    return mean, values.std(axis=axis, ddof=1)


def relation(
    tables: Sequence[UnitTable], layer: str | None = None, *, live_only: bool = False
) -> metrics.Correlation:
    """Spearman's rho between class selectivity and importance of units (paper section 3.4).

    Units are ranked within their network and the ranks of all networks pooled, so that a network
    whose losses are larger weighs no more; for networks of one size this is the mean of their rho.

    Args:
        tables: one a network.
        layer: name of the layer to look at; None for all units.
        live_only: leave out units that are silent on every image. Otherwise they count with a
            class selectivity of 0, as in the paper's footnote.

    Returns:
        NaN where it is undefined: fewer than three units, or all of one value.
    """
    ranks = [_ranks(table, layer, live_only) for table in tables]
    return _spearman(np.concatenate([np.empty((2, 0)), *ranks], axis=1).tobytes())


def stopped_early(network: NetworkResult) -> bool:
    """Whether the training ended by reaching its training accuracy rather than its last epoch."""
    config = network.config
    return config.stop_at_train_accuracy > 0 and network.training.epochs < config.epochs


def summary(figures: Sequence[FigureResult]) -> dict[str, Any]:
    """What was found, as JSON-ready numbers: figure name -> settings and one record a network.

    Numbers that are undefined are None.
    """
    return {figure.config.name: _figure_summary(figure) for figure in figures}


# A bootstrap takes a tenth of a second, and picture, claim and table quote the same few.
@functools.lru_cache(maxsize=1024)
def _spearman(pairs: bytes) -> metrics.Correlation:
    x, y = np.frombuffer(pairs).reshape(2, -1)
    return metrics.spearman(x, y)


def _ranks(table: UnitTable, layer: str | None, live_only: bool) -> np.ndarray:
    """float64 (2, n_chosen): ranks of selectivity and importance within a network, in (0, 1)."""
    importance = table.importance
    chosen = np.isfinite(importance)
    if layer is not None:
        chosen &= table.layer_names == layer
    if live_only:
        chosen &= ~table.dead
    pair = np.stack([table.class_selectivity[chosen], importance[chosen]])
    if not pair.size:
        return pair
    return (stats.rankdata(pair, axis=1) - 0.5) / pair.shape[1]


def _figure_summary(figure: FigureResult) -> dict[str, Any]:
    tables = unit_tables(figure.networks)
    found: dict[str, Any] = {
        "title": figure.config.title,
        "profile": figure.config.profile,
        "data": figure.data,
        "command": figure.command,
        "networks": [_network_summary(network) for network in figure.networks],
    }
    if tables:
        rhos = [record["all_units"]["rho"] for record in found["networks"]]
        defined = np.array([rho for rho in rhos if rho is not None])
        found["over_networks"] = {
            **_correlation(relation(tables)),
            "sd": _number(mean_and_sd(defined)[1]) if len(defined) else None,
            "networks": len(tables),
        }
    return found


def _network_summary(network: NetworkResult) -> dict[str, Any]:
    training, config = network.training, network.config
    common = {
        "run_id": config.run_id,
        "label_corruption": config.label_corruption,
        "seed": config.seed,
        "hidden_units": list(config.hidden_units),
        "epochs": training.epochs,
        "stopped_early": stopped_early(network),
        "n_train": training.n_train,
        "n_test": training.n_test,
        "train_accuracy": _number(training.train_accuracy),
        "test_accuracy": _number(training.test_accuracy),
        "train_loss": _number(training.train_loss),
        "test_loss": _number(training.test_loss),
    }
    if isinstance(network.sweep, AblationCurve):
        return common | _curve_summary(network.sweep)
    return common | _units_summary(network.sweep)


def _curve_summary(curve: AblationCurve) -> dict[str, Any]:
    return {
        "images": curve.images,
        "n_images": curve.n_images,
        "n_units": curve.n_units,
        "orders": len(curve.orders),
        "points": len(curve.n_ablated),
        "intact_accuracy": _number(curve.accuracy[:, 0].mean()),
        "auc": _spread(curve.auc),
        "normalized_auc": _spread(normalized_auc(curve)),
    }


def _units_summary(table: UnitTable) -> dict[str, Any]:
    layers = []
    for name, size in table.layers:
        rows = table.layer_names == name
        layers.append(
            {
                "layer": name,
                "n_units": size,
                "dead": int(table.dead[rows].sum()),
                "class_selectivity": _spread(table.class_selectivity[rows]),
                "importance": _spread(table.importance[rows]),
                **_correlation(relation([table], name)),
            }
        )
    return {
        "images": table.images,
        "n_images": table.n_images,
        "n_units": table.n_units,
        "dead": int(table.dead.sum()),
        "all_units": _correlation(relation([table])),
        "live_units": _correlation(relation([table], live_only=True)),
        "layers": layers,
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
