"""Which lesions answer which question of the paper: masks in, curves and unit tables out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from repro import metrics
from repro.ablation import Engine, Fill, Layout, Outcome
from repro.config import (
    ORDERS,
    CumulativeConfig,
    IntactConfig,
    NoiseConfig,
    SingleUnitConfig,
    SweepConfig,
)
from repro.results import AblationCurve, Intact, NoiseCurve, SweepResult, UnitTable


def run(
    config: SweepConfig,
    model: keras.Model,
    images: Any,
    labels: Any,
    on_progress: Callable[[int], None] = lambda pairs: None,
    threads: int | None = None,
) -> SweepResult:
    """Makes the lesions of one config in one network.

    Args:
        model, images, labels: as for `ablation.Engine`; images of the split that the config names.
            A stream (labels None) has a length and `take`, as `streams.ImageStream` does.
        on_progress: called with the number of (image, lesion) pairs just evaluated.
        threads: processors to use; None for all.

    Raises:
        ValueError: fewer images than config.n_images, or fewer masked layers than
            config.last_layers.
    """
    if config.n_images > len(images):
        raise ValueError(f"n_images = {config.n_images:,} but there are {len(images):,} images")
    rng = np.random.default_rng(config.seed)
    if config.n_images:
        chosen = rng.permutation(len(images))[: config.n_images]
        if labels is None:
            images = images.take(chosen)
        else:
            images, labels = images[chosen], labels[chosen]

    def engine(bases: Mapping[str, np.ndarray] | None = None) -> Engine:
        return Engine(model, images, labels, bases=bases, on_progress=on_progress, threads=threads)

    intact = engine()
    if isinstance(config, IntactConfig):
        return without_lesion(intact, config)
    intact.check()
    if isinstance(config, CumulativeConfig):
        if config.basis == "random":
            return rotated(intact.layout, engine, config, rng)
        return cumulative(intact, config, rng)
    if isinstance(config, NoiseConfig):
        return noise(intact, config)
    return single_unit(intact, config)


def cumulative(engine: Engine, config: CumulativeConfig, rng: np.random.Generator) -> AblationCurve:
    """Ablates more and more units over all layers, or the last ones, in random orders (paper
    section 2.2) or in the one that the config names."""
    layers, first = last_layers(engine.layout, config.last_layers)
    n_units = engine.layout.n_units - first
    counts = config.n_ablated(n_units)
    if config.order == "random":
        orders = np.stack([rng.permutation(n_units) for _ in range(config.orders)])
    else:
        order = ranked(engine, config.order, config.descending)
        orders = order[order >= first][None] - first
    outcome = engine.cumulative(orders + first, counts, _fill(engine, config.fill))
    return _curve(layers, counts, orders, outcome, config)


def rotated(
    layout: Layout,
    engine: Callable[[Mapping[str, np.ndarray]], Engine],
    config: CumulativeConfig,
    rng: np.random.Generator,
) -> AblationCurve:
    """Ablates more and more directions of random rotations of the layers (paper.md 6.2).

    Each order has rotations of its own, so that their spread covers both.

    Args:
        engine: makes an engine with these bases.
    """
    layers, first = last_layers(layout, config.last_layers)
    n_units = layout.n_units - first
    counts = config.n_ablated(n_units)
    orders, outcomes = [], []
    for _ in range(config.orders):
        bases = {name: metrics.random_basis(size, rng) for name, size in layers}
        turned = engine(bases)
        orders.append(rng.permutation(n_units))
        outcomes.append(turned.cumulative(orders[-1] + first, counts, _fill(turned, config.fill)))
    outcome = Outcome(
        n_correct=np.concatenate([one.n_correct for one in outcomes]),
        loss_sum=np.concatenate([one.loss_sum for one in outcomes]),
        n_top5=np.concatenate([one.n_top5 for one in outcomes]),
        n_tied=np.concatenate([one.n_tied for one in outcomes]),
        n_images=outcomes[0].n_images,
    )
    return _curve(layers, counts, np.stack(orders), outcome, config)


def last_layers(layout: Layout, n_layers: int) -> tuple[tuple[tuple[str, int], ...], int]:
    """The last masked layers, 0 for all, and the number of their first unit.

    Raises:
        ValueError: there are fewer.

    >>> last_layers(Layout((("a", 8), ("b", 4), ("c", 2))), 2)
    ((('b', 4), ('c', 2)), 8)
    """
    if n_layers > len(layout.layers):
        raise ValueError(
            f"last_layers = {n_layers} but the network has {len(layout.layers)} masked layers"
        )
    skipped = len(layout.layers) - n_layers if n_layers else 0
    return layout.layers[skipped:], layout.starts[skipped]


def _curve(
    layers: tuple[tuple[str, int], ...],
    counts: np.ndarray,
    orders: np.ndarray,
    outcome: Outcome,
    config: CumulativeConfig,
) -> AblationCurve:
    return AblationCurve(
        layers=layers,
        n_ablated=counts,
        n_correct=outcome.n_correct.sum(axis=2),
        loss=outcome.loss,
        orders=orders.astype(np.int32),
        n_images=outcome.n_images,
        images=config.images,
        fill=config.fill,
        n_tied=int(outcome.n_tied.sum()),
        n_top5=outcome.n_top5,
    )


def ranked(engine: Engine, measure: str, descending: bool = False) -> np.ndarray:
    """int (n_units,), the units in the order of a measure on the engine's images (paper.md 6.3).

    Of equal units the one with the smaller number comes first.

    Args:
        measure: class_selectivity, mutual_information, weight_norm or mean_activation.
        descending: the largest first.

    Raises:
        ValueError: another measure, or one that the network does not have, see
            `Engine.weight_norms`.
    """
    if measure == "weight_norm":
        values = engine.weight_norms()
    elif measure in ("class_selectivity", "mutual_information"):
        values = getattr(engine.statistics(), measure)
    elif measure == "mean_activation":
        values = engine.statistics().means
    else:
        raise ValueError(
            f"measure must be one of {', '.join(ORDERS[1:])}. Received: measure={measure!r}"
        )
    return np.argsort(-values if descending else values, kind="stable")


def noise(engine: Engine, config: NoiseConfig) -> NoiseCurve:
    """Adds Gaussian noise to all units at once (paper section 2.2, Fig. 2)."""
    scales = config.values()
    outcome = engine.noise(scales, draws=config.draws, seed=config.seed)
    return NoiseCurve(
        layers=engine.layout.layers,
        scales=scales,
        n_correct=outcome.n_correct.sum(axis=2),
        loss=outcome.loss,
        n_top5=outcome.n_top5,
        n_images=outcome.n_images,
        images=config.images,
        n_tied=int(outcome.n_tied.sum()),
    )


def without_lesion(engine: Engine, config: IntactConfig) -> Intact:
    """Reads accuracy and loss of the intact network."""
    outcome = engine.intact()
    return Intact(
        n_correct=int(outcome.n_correct.sum()),
        n_top5=int(outcome.n_top5),
        loss=float(outcome.loss),
        n_images=outcome.n_images,
        images=config.images,
        n_tied=int(outcome.n_tied),
    )


def single_unit(engine: Engine, config: SingleUnitConfig) -> UnitTable:
    """Ablates every unit alone, and measures what it does (paper 2.3, 3.4, A.4, A.5)."""
    statistics = engine.statistics()
    intact = engine.intact()
    outcome = engine.single_units(_fill(engine, config.fill))
    return UnitTable(
        layers=engine.layout.layers,
        class_means=statistics.class_means,
        n_correct=outcome.n_correct,
        loss=outcome.loss,
        intact_correct=intact.n_correct,
        intact_loss=float(intact.loss),
        class_counts=statistics.class_counts,
        sparsity=statistics.sparsity,
        mutual_information=statistics.mutual_information,
        mutual_information_bias=metrics.mutual_information_bias(statistics.bin_counts),
        weight_norm=_weight_norms(engine),
        images=config.images,
        fill=config.fill,
        n_tied=int(outcome.n_tied.sum()),
    )


def _weight_norms(engine: Engine) -> np.ndarray:
    """NaN where units are not the outputs of one layer's weights, as in ResNet-50."""
    try:
        return engine.weight_norms()
    except ValueError:
        return np.full(engine.layout.n_units, np.nan)


def _fill(engine: Engine, fill: str) -> Fill:
    if fill == "zero":
        return None
    statistics = engine.statistics()
    return statistics.means if fill == "mean" else statistics.position_means
