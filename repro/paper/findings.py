"""The numbers of a figure, computed once from its results for drawing, claims and the report.

Everything here is a plain number with its n and its spread; no file, no picture, no verdict.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy import stats

from repro.core import metrics
from repro.core.config import (
    CumulativeConfig,
    FigureConfig,
    NoiseConfig,
    PanelConfig,
    PortraitsConfig,
    SingleUnitConfig,
    TrainConfig,
)
from repro.core.metrics import mean_and_sd
from repro.core.results import (
    AblationCurve,
    FigureResult,
    Intact,
    NetworkResult,
    NoiseCurve,
    Portraits,
    SweepResult,
    UnitTable,
)

MEMORISED = 0.99  # training accuracy from which a network counts as having memorised its labels
LEARNED = 2  # times the accuracy of guessing, from which a network counts as having learned at all
# Circumstances of a training that the summary repeats.
_FACTS = ("data", "device", "processor", "backend", "versions", "git_commit", "date", "seconds")
_OWN_FIGURES = {
    "rotated": "Rotated basis",
    "classdrop": "Largest class drop",
    "ordered": "Ordered ablation",
    "bnxdropout": "BatchNorm × dropout",
    "regularizer": "Selectivity regularizer",
    "overtraining": "Fig. 7 over training",
    "illustration": "Two units",
    "memorizing": "AUC while memorising",
    "relations": "Relations",
}

T = TypeVar("T", bound=SweepResult)


def figure_label(name: str) -> str:
    """A figure's name as the paper writes it, or in words where the figure is ours.

    >>> figure_label("fig1a")
    'Fig. 1a'
    >>> figure_label("rotated")
    'Rotated basis'
    """
    if name.startswith("fig") and len(name) > 3:
        return f"Fig. {name[3:]}"
    return _OWN_FIGURES.get(name, name)


def class_name(network: NetworkResult, number: int) -> str:
    """The name of a class; its number if the data set has no names."""
    names = network.training.facts.get("class_names") or network.config.data_set.class_names
    return names[number] if number < len(names) else str(number)


def paper_epochs(config: TrainConfig) -> int | None:
    """Epochs of such a network in the paper (appendix A.2); None for ResNet-50, whose 200,000 steps
    are not a whole number of epochs."""
    return config.architecture.paper_epochs(config.dropout)


# --- Results by sweep and by series ------------------------------------------------------------


def sweep_of(network: NetworkResult, kind: type[T], name: str = "") -> T | None:
    """The result of the named sweep in the trained network, or of the first sweep of that kind;
    None if there is none."""
    found = [network.sweeps[name]] if name in network.sweeps else network.sweeps.values()
    return next((item for item in found if isinstance(item, kind)), None)


def sweeps_of(networks: Iterable[NetworkResult], kind: type[T], name: str = "") -> list[T]:
    """`sweep_of` of each network that has such a sweep."""
    found = (sweep_of(network, kind, name) for network in networks)
    return [item for item in found if item is not None]


def curves(networks: Iterable[NetworkResult], name: str = "") -> list[AblationCurve]:
    """The cumulative ablation curves of these networks, of one sweep."""
    return sweeps_of(networks, AblationCurve, name)


def unit_tables(networks: Iterable[NetworkResult], name: str = "") -> list[UnitTable]:
    """The unit tables of these networks, of one sweep."""
    return sweeps_of(networks, UnitTable, name)


def by_label_corruption(figure: FigureResult) -> dict[float, list[NetworkResult]]:
    """Networks of a figure, from clean to corrupted."""
    groups: dict[float, list[NetworkResult]] = {}
    for network in sorted(figure.networks, key=lambda item: item.config.label_corruption):
        groups.setdefault(network.config.label_corruption, []).append(network)
    return groups


def panels(figure: FigureConfig) -> tuple[PanelConfig, ...]:
    """The figure's panels; without panels in the config, one that suits the first sweep."""
    if figure.panels:
        return figure.panels
    varied = tuple(k for k, values in figure.grid if len(values) > 1 and k != "seed")
    kinds = {
        CumulativeConfig: "curves",
        NoiseConfig: "noise",
        SingleUnitConfig: "units",
        PortraitsConfig: "portrait",
    }
    name, sweep = figure.sweeps[0]
    return (PanelConfig(kinds.get(type(sweep), "networks"), sweep=name, series=varied),)


@dataclass(frozen=True)
class Series:
    """Networks that a panel shows as one: a curve, a histogram, points of one colour.

    key: values of the settings in which series differ, in the panel's order.
    sweep: name of the sweep that the series shows.
    """

    key: tuple[Any, ...]
    label: str
    networks: tuple[NetworkResult, ...]
    sweep: str


def series(figure: FigureResult, panel: PanelConfig) -> list[Series]:
    """The series of a panel, in the order of their settings."""
    names = [name for name, _ in figure.config.sweeps]
    if "sweep" in panel.series:
        kind = CumulativeConfig if panel.kind == "curves" else SingleUnitConfig
        chosen = [
            name
            for name, sweep in figure.config.sweeps
            if isinstance(sweep, kind) and (not panel.sweeps or name in panel.sweeps)
        ]
    else:
        chosen = [panel.sweep or names[0]]
    settings = [key for key in panel.series if key not in ("sweep", "layer")]
    if panel.best_and_worst:
        return _best_and_worst(figure.networks, panel.best_and_worst, chosen[0])
    groups: dict[tuple[Any, ...], list[NetworkResult]] = {}
    for network in figure.networks:
        groups.setdefault(tuple(getattr(network.config, key) for key in settings), []).append(
            network
        )
    found = []
    for name in chosen:
        for key in sorted(groups):
            alone = len(settings) == 1 and len(chosen) == 1
            words = [setting_words(k, value, alone) for k, value in zip(settings, key, strict=True)]
            if len(chosen) > 1:
                words.insert(0, name.replace("_", " "))
            whole = (name, *key) if len(chosen) > 1 else key
            found.append(Series(whole, ", ".join(words), tuple(groups[key]), name))
    return found


def _best_and_worst(networks: Sequence[NetworkResult], n: int, sweep: str) -> list[Series]:
    """The n networks of smallest and of largest generalization error, of those that memorised."""
    ranked = sorted(memorised(networks), key=generalization_error)
    n = min(n, len(ranked) // 2)
    ends = (("best", ranked[:n]), ("worst", ranked[len(ranked) - n :]))
    return [Series((end,), f"{n} {end}", tuple(chosen), sweep) for end, chosen in ends if chosen]


def setting_words(key: str, value: Any, alone: bool = False) -> str:
    """A setting in words for a legend; shorter if the legend's title names the setting.

    >>> setting_words("label_corruption", 0.0, alone=True), setting_words("batch_norm", False)
    ('0 % (clean)', 'without batch norm')
    """
    if key == "label_corruption" and alone:
        return f"{percent(value)} (clean)" if value == 0 else percent(value)
    if key == "label_corruption":
        return "true labels" if value == 0 else f"{percent(value)} corrupted"
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {key.replace('_', ' ')}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if key == "selectivity_regularizer":
        return f"α = {text}"
    return f"{key.replace('_', ' ')} {text}"


def percent(fraction: float) -> str:
    """A fraction, such as a label corruption, in percent with up to three digits.

    >>> percent(0.2)
    '20 %'
    """
    return f"{100 * fraction:.3g} %"


def memorised(networks: Iterable[NetworkResult]) -> list[NetworkResult]:
    """The networks whose training accuracy is 0.99 or more."""
    return [item for item in networks if item.training.train_accuracy >= MEMORISED]


def learned(network: NetworkResult) -> bool:
    """Whether the network's training accuracy is at least twice that of guessing. A network at
    chance loses nothing by an ablation and has a normalized AUC of 1. A user's own network counts
    as trained."""
    config = network.config
    if config.architecture.given:
        return True
    return network.training.train_accuracy >= LEARNED / config.data_set.n_classes


def generalization_error(network: NetworkResult) -> float:
    """Training accuracy minus test accuracy."""
    return network.training.train_accuracy - network.training.test_accuracy


# --- Curves ------------------------------------------------------------------------------------


def score(network: NetworkResult, curve: AblationCurve | NoiseCurve) -> np.ndarray:
    """float64 (n_orders or n_draws, n_points): accuracy, top-5 on ImageNet as in the paper."""
    if network.config.data_set.top5 and curve.n_top5 is not None:
        return curve.n_top5 / curve.n_images
    return curve.accuracy


def score_name(network: NetworkResult) -> str:
    """The name of what `score` returns."""
    return "top-5 accuracy" if network.config.data_set.top5 else "accuracy"


def scores(networks: Iterable[NetworkResult], kind: type[T], name: str = "") -> np.ndarray:
    """float64 (n_networks * n_orders, n_points): `score` of one sweep, network by network."""
    found = []
    for network in networks:
        curve = sweep_of(network, kind, name)
        if isinstance(curve, AblationCurve | NoiseCurve):
            found.append(score(network, curve))
    return np.concatenate(found)


def auc(network: NetworkResult, name: str = "") -> np.ndarray:
    """float64 (n_orders,), raw area under the cumulative ablation curve; NaN without one."""
    curve = sweep_of(network, AblationCurve, name)
    if curve is None:
        return np.full(1, np.nan)
    return metrics.area_under_curve(curve.n_ablated, score(network, curve))


def normalized_auc(network: NetworkResult, name: str = "") -> np.ndarray:
    """float64 (n_orders,), area divided by the intact accuracy; NaN if no image was correct."""
    curve = sweep_of(network, AblationCurve, name)
    if curve is None or np.any(score(network, curve)[:, 0] <= 0):
        return np.full(1 if curve is None else len(curve.orders), np.nan)
    return metrics.normalized_auc(curve.n_ablated, score(network, curve))


def noise_tolerance(network: NetworkResult, name: str = "") -> np.ndarray:
    """float64 (n_draws,): accuracy averaged over the scales of noise, divided by the intact
    accuracy.

    Scales are spaced evenly in their logarithm, so this is the area under the curve of Fig. 2.
    NaN if no image was correct.
    """
    curve = sweep_of(network, NoiseCurve, name)
    if curve is None:
        return np.full(1, np.nan)
    accuracy = score(network, curve)
    if np.any(accuracy[:, 0] <= 0):
        return np.full(len(accuracy), np.nan)
    return accuracy[:, 1:].mean(axis=1) / accuracy[:, 0]


# --- Units -------------------------------------------------------------------------------------


def relation(
    tables: Sequence[UnitTable],
    layer: str | None = None,
    *,
    x: str = "class_selectivity",
    y: str = "importance",
    live_only: bool = False,
    within_layers: bool = False,
) -> metrics.Correlation:
    """Spearman's rho between two measures of units (paper section 3.4).

    Units are ranked within their network and the ranks of all networks are pooled, so that a
    network with larger losses has no larger weight. For networks of one size this is the mean of
    their rho.

    Args:
        tables: one a network.
        layer: name of the layer to look at; None for all units.
        x, y: two of `display.plots.UNIT_MEASURES`.
        live_only: leave out units that are silent on every image. Otherwise they count with a
            class selectivity of 0, as in the paper's footnote.
        within_layers: rank units within their layer, so that differences between layers are left
            out.

    Returns:
        NaN if rho is undefined: fewer than three units, or all values equal.
    """
    ranks = [np.empty((2, 0))]
    for table in tables:
        layers = [name for name, _ in table.layers] if within_layers else [layer]
        ranks += [_ranks(table, name, x, y, live_only) for name in layers]
    return _spearman(np.concatenate(ranks, axis=1).tobytes())


def _ranks(table: UnitTable, layer: str | None, x: str, y: str, live_only: bool) -> np.ndarray:
    """float64 (2, n_chosen): ranks of both measures within a network, in (0, 1)."""
    pair = np.stack([getattr(table, x), getattr(table, y)])
    chosen = np.isfinite(pair).all(axis=0)
    if layer is not None:
        chosen &= table.layer_names == layer
    if live_only:
        chosen &= ~table.dead
    pair = pair[:, chosen]
    if not pair.size:
        return pair
    return (stats.rankdata(pair, axis=1) - 0.5) / pair.shape[1]


# Cached: a bootstrap takes a tenth of a second, and picture, claim and table need the same ones.
@functools.lru_cache(maxsize=1024)
def _spearman(pairs: bytes) -> metrics.Correlation:
    x, y = np.frombuffer(pairs).reshape(2, -1)
    return metrics.spearman(x, y)


def correlation(x: Iterable[float], y: Iterable[float]) -> metrics.Correlation:
    """Spearman's rho over networks or snapshots, with its interval; pairs with NaN left out."""
    pair = np.array([list(x), list(y)], np.float64)
    return _spearman(pair[:, np.isfinite(pair).all(axis=0)].tobytes())


# --- Networks ----------------------------------------------------------------------------------

NETWORK_MEASURES: dict[str, tuple[str, Callable[[NetworkResult], float]]] = {
    "generalization_error": ("generalization error (train − test accuracy)", generalization_error),
    "train_accuracy": ("train accuracy", lambda item: item.training.train_accuracy),
    "test_accuracy": ("test accuracy", lambda item: item.training.test_accuracy),
    "test_loss": ("test loss (nats)", lambda item: item.training.test_loss),
    "auc": ("AUC", lambda item: float(auc(item).mean())),
    "normalized_auc": ("normalized AUC", lambda item: float(normalized_auc(item).mean())),
    "selectivity_regularizer": (
        "strength of the selectivity regularizer α",
        lambda item: item.config.selectivity_regularizer,
    ),
    "class_selectivity": ("mean class selectivity", lambda item: mean_selectivity(item)),
}


def mean_selectivity(network: NetworkResult) -> float:
    """Mean class selectivity over all units, silent ones as 0; NaN without a unit table."""
    table = sweep_of(network, UnitTable)
    return math.nan if table is None else float(table.class_selectivity.mean())


# --- Along training ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Trajectory:
    """One network along its training, at each snapshot; float64 (n_snapshots,) each.

    auc, normalized_auc: float64 (n_snapshots, n_orders); NaN without cumulative ablation.
    train_loss: loss of the intact network on the images of the curves. test_loss: loss of the sweep
        "intact" on test images; NaN without this sweep.
    relations: rho of class selectivity and importance at each snapshot; () without unit tables.
    """

    epochs: np.ndarray
    train_loss: np.ndarray
    test_loss: np.ndarray
    auc: np.ndarray
    normalized_auc: np.ndarray
    relations: tuple[metrics.Correlation, ...]


def trajectory(network: NetworkResult) -> Trajectory | None:
    """The trajectory of a network's training, from sweeps at snapshots; None without such
    sweeps."""
    if not network.snapshots:
        return None
    epochs = sorted({epoch for found in network.snapshots.values() for epoch, _ in found})
    by_kind: dict[type, dict[int, Any]] = {AblationCurve: {}, Intact: {}, UnitTable: {}}
    for found in network.snapshots.values():
        for epoch, result in found:
            by_kind.setdefault(type(result), {})[epoch] = result
    cut, intact, tables = by_kind[AblationCurve], by_kind[Intact], by_kind[UnitTable]

    def area(epoch: int, relative: bool) -> np.ndarray:
        if epoch not in cut:
            return np.full(1, np.nan)
        one = NetworkResult(network.config, network.training, {"curve": cut[epoch]})
        return normalized_auc(one) if relative else auc(one)

    def of(found: Mapping[int, Any], read: Callable[[Any], float]) -> np.ndarray:
        return np.array([read(found[e]) if e in found else math.nan for e in epochs])

    return Trajectory(
        epochs=np.array(epochs),
        train_loss=of(cut, lambda curve: float(curve.loss[:, 0].mean())),
        test_loss=of(intact, lambda found: found.loss),
        auc=np.stack([area(epoch, False) for epoch in epochs]),
        normalized_auc=np.stack([area(epoch, True) for epoch in epochs]),
        relations=tuple(relation([tables[epoch]]) for epoch in epochs if epoch in tables),
    )


# --- Summary for programs ----------------------------------------------------------------------


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
    if tables:
        rhos = np.array([relation([table]).rho for table in tables])
        defined = rhos[np.isfinite(rhos)]
        found["over_networks"] = {
            **_correlation(relation(tables)),
            "sd": _number(mean_and_sd(defined)[1]) if len(defined) else None,
            "networks": len(tables),
        }
    return found


def varied_settings(figure: FigureConfig, network: TrainConfig) -> dict[str, Any]:
    """The settings in which the networks of a figure differ, with the values of this network."""
    return {key: getattr(network, key) for key, values in figure.grid if len(values) > 1}


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


def _sweep_summary(network: NetworkResult, name: str, found: SweepResult) -> dict[str, Any]:
    common = {"kind": found.kind, "images": found.images, "n_images": found.n_images}
    if isinstance(found, AblationCurve):
        return common | {
            "n_units": found.n_units,
            "layers": [list(layer) for layer in found.layers],
            "fill": found.fill,
            "orders": len(found.orders),
            "points": len(found.n_ablated),
            "intact_accuracy": _number(score(network, found)[:, 0].mean()),
            "auc": _spread(auc(network, name)),
            "normalized_auc": _spread(normalized_auc(network, name)),
        }
    if isinstance(found, NoiseCurve):
        return common | {
            "scales": found.scales.tolist(),
            "draws": len(found.n_correct),
            "intact_accuracy": _number(score(network, found)[:, 0].mean()),
            "accuracy": [_number(value) for value in score(network, found).mean(axis=0)],
            "noise_tolerance": _spread(noise_tolerance(network, name)),
        }
    if isinstance(found, UnitTable):
        return common | _units_summary(found)
    if isinstance(found, Portraits):
        return common | _portraits_summary(found)
    return common | {"accuracy": _number(found.accuracy), "loss": _number(found.loss)}


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


def _portraits_summary(found: Portraits) -> dict[str, Any]:
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
