"""Which lesions answer which question of the paper: masks in, curves and unit tables out."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from repro.ablation import Engine, Fill
from repro.config import ORDERS, CumulativeConfig, SingleUnitConfig, SweepConfig
from repro.results import AblationCurve, UnitTable


def run(
    config: SweepConfig,
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    on_progress: Callable[[int], None] = lambda pairs: None,
    threads: int | None = None,
) -> AblationCurve | UnitTable:
    """Makes the lesions of one config in one network.

    Args:
        model, images, labels: as for `ablation.Engine`; images of the split that the config names.
        on_progress: called with the number of (image, lesion) pairs just evaluated.
        threads: processors to use; None for all.

    Raises:
        ValueError: fewer images than config.n_images.
    """
    if config.n_images > len(images):
        raise ValueError(f"n_images = {config.n_images:,} but there are {len(images):,} images")
    rng = np.random.default_rng(config.seed)
    if config.n_images:
        chosen = rng.permutation(len(images))[: config.n_images]
        images, labels = images[chosen], labels[chosen]
    engine = Engine(model, images, labels, on_progress=on_progress, threads=threads)
    engine.check()
    if isinstance(config, CumulativeConfig):
        return cumulative(engine, config, rng)
    return single_unit(engine, config)


def cumulative(engine: Engine, config: CumulativeConfig, rng: np.random.Generator) -> AblationCurve:
    """Ablates more and more units over all layers, in random orders (paper section 2.2) or in the
    one that the config names."""
    n_units = engine.layout.n_units
    counts = config.n_ablated(n_units)
    if config.order == "random":
        orders = np.stack([rng.permutation(n_units) for _ in range(config.orders)])
    else:
        orders = ranked(engine, config.order, config.descending)[None]
    outcome = engine.cumulative(orders, counts, _fill(engine, config))
    return AblationCurve(
        layers=engine.layout.layers,
        n_ablated=counts,
        n_correct=outcome.n_correct.sum(axis=2),
        loss=outcome.loss,
        orders=orders.astype(np.int32),
        n_images=outcome.n_images,
        images=config.images,
        fill=config.fill,
        n_tied=int(outcome.n_tied.sum()),
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


def single_unit(engine: Engine, config: SingleUnitConfig) -> UnitTable:
    """Ablates every unit alone, and measures its class means (paper sections 2.3 and 3.4)."""
    statistics = engine.statistics()
    intact = engine.intact()
    outcome = engine.single_units(_fill(engine, config))
    return UnitTable(
        layers=engine.layout.layers,
        class_means=statistics.class_means,
        n_correct=outcome.n_correct,
        loss=outcome.loss,
        intact_correct=intact.n_correct,
        intact_loss=float(intact.loss),
        class_counts=statistics.class_counts,
        images=config.images,
        fill=config.fill,
        n_tied=int(outcome.n_tied.sum()),
    )


def _fill(engine: Engine, config: SweepConfig) -> Fill:
    if config.fill == "zero":
        return None
    statistics = engine.statistics()
    return statistics.means if config.fill == "mean" else statistics.position_means
