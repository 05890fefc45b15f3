"""The numbers of a figure, computed from its results for drawing, claims and the report.

Everything here is a plain number with its n and its spread; no file, no picture, no verdict.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from scipy import stats

from repro.core import agreement, metrics
from repro.core.kinds import (
    AblationCurve,
    ImageTable,
    Intact,
    NoiseCurve,
    SweepResult,
    UnitTable,
)
from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import TrainConfig

TAILS = (0.025, 0.975)  # quantiles at the ends of every interval
CONFIDENCE = TAILS[1] - TAILS[0]  # coverage of every interval
MEMORISED = 0.99  # training accuracy from which a network counts as having memorised its labels
LEARNED = 2  # times the accuracy of guessing, from which a network counts as having learned at all
T = TypeVar("T", bound=SweepResult)
C = TypeVar("C", AblationCurve, NoiseCurve)


def paper_epochs(config: TrainConfig) -> int | None:
    """Epochs of such a network in the paper (appendix A.2); None for ResNet-50, whose 200,000 steps
    are not a whole number of epochs."""
    return config.architecture.paper_epochs(config.dropout)


# --- Results by sweep and by series ------------------------------------------------------------


def sweep_of(network: NetworkResult, kind: type[T], name: str = "") -> T | None:
    """The result of the named sweep in the trained network; without a name that of the first sweep
    of this kind. None if there is none."""
    found = [network.sweeps.get(name)] if name else network.sweeps.values()
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


def image_tables(networks: Iterable[NetworkResult], name: str = "") -> list[ImageTable]:
    """The tables of single images of these networks, of one sweep."""
    return sweeps_of(networks, ImageTable, name)


def flips_of(tables: Iterable[ImageTable], shuffled: bool) -> np.ndarray:
    """float64 (n,), how many units change the answer to an image with a shuffled label, or with a
    true one, networks pooled; infinite where as many as were allowed do not."""
    found = [table.flips(shuffled).astype(np.float64) for table in tables]
    units = np.concatenate([np.zeros(0), *found])
    return np.where(units < 0, np.inf, units)


def by_label_corruption(figure: FigureResult) -> dict[float, list[NetworkResult]]:
    """Networks of a figure, from clean to corrupted."""
    groups: dict[float, list[NetworkResult]] = {}
    for network in sorted(figure.networks, key=lambda item: item.config.label_corruption):
        groups.setdefault(network.config.label_corruption, []).append(network)
    return groups


def memorised(
    networks: Iterable[NetworkResult], accuracy: float = MEMORISED
) -> list[NetworkResult]:
    """The networks whose training accuracy is so high that they memorised their labels."""
    return [item for item in networks if item.training.train_accuracy >= accuracy]


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


def scores(networks: Iterable[NetworkResult], kind: type[C], name: str = "") -> np.ndarray:
    """float64 (n_networks * n_orders, n_points): `score` of one sweep, network by network."""
    found = []
    for network in networks:
        curve = sweep_of(network, kind, name)
        if curve is not None:
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


def auc_above_chance(network: NetworkResult, name: str = "") -> np.ndarray:
    """float64 (n_orders,), see `metrics.auc_above_chance`; NaN without a curve."""
    curve = sweep_of(network, AblationCurve, name)
    if curve is None:
        return np.full(1, np.nan)
    return metrics.auc_above_chance(curve.n_ablated, score(network, curve))


# The areas under a curve that the paper may mean: (network, name of the sweep) -> float64
# (n_orders,).
AREAS: dict[str, Callable[[NetworkResult, str], np.ndarray]] = {
    "normalized AUC": normalized_auc,
    "raw AUC": auc,
    "AUC above chance": auc_above_chance,
}


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
    return metrics.spearman(x, y, confidence=CONFIDENCE)


def correlation(x: Iterable[float], y: Iterable[float]) -> metrics.Correlation:
    """Spearman's rho over networks or snapshots, with its interval; pairs with NaN left out."""
    pair = np.array([list(x), list(y)], np.float64)
    return _spearman(pair[:, np.isfinite(pair).all(axis=0)].tobytes())


def agreement_over(
    networks: Sequence[NetworkResult],
    x: Iterable[float],
    y: Iterable[float],
    epochs: Sequence[int] = (),
) -> agreement.Agreement:
    """How well one measure of networks ranks them as another, given what differs among them.

    Args:
        networks: one for each value; a network may occur again at other epochs.
        x, y: float (n_networks,). epochs: int (n_networks,) of snapshots; () for finished networks.
    """
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    settings = {name: [getattr(network.config, name) for network in networks] for name in names}
    settings = {name: values for name, values in settings.items() if len(set(values)) > 1}
    if epochs:
        settings["epoch"] = list(epochs)
    return agreement.agreement(list(x), list(y), settings)


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


def mean_selectivity(network: NetworkResult, live_only: bool = False) -> float:
    """Mean class selectivity over all units, silent ones as 0; NaN without a unit table.

    Args:
        live_only: leave out units that are silent on every image; NaN if all are.
    """
    table = sweep_of(network, UnitTable)
    if table is None or (live_only and table.dead.all()):
        return math.nan
    return float(table.class_selectivity[~table.dead if live_only else slice(None)].mean())


# --- Along training ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
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
