"""Which lesions answer which question of the paper: masks in, curves and unit tables out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from repro.ablation import Engine
from repro.config import CumulativeConfig, SingleUnitConfig, SweepConfig
from repro.results import AblationCurve, UnitTable


def run(
    config: SweepConfig,
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    on_progress: Callable[[int], None] = lambda pairs: None,
) -> AblationCurve | UnitTable:
    """Makes the lesions of one config in one network.

    Args:
        model, images, labels: as for `ablation.Engine`; images of the split that the config names.
        on_progress: called with the number of (image, lesion) pairs just evaluated.

    Raises:
        ValueError: fewer images than config.n_images.
    """
    if config.n_images > len(images):
        raise ValueError(f"n_images = {config.n_images:,} but there are {len(images):,} images")
    rng = np.random.default_rng(config.seed)
    if config.n_images:
        chosen = rng.permutation(len(images))[: config.n_images]
        images, labels = images[chosen], labels[chosen]
    engine = Engine(model, images, labels, on_progress=on_progress)
    engine.check()
    if isinstance(config, CumulativeConfig):
        return cumulative(engine, config, rng)
    return single_unit(engine, config)


def cumulative(engine: Engine, config: CumulativeConfig, rng: np.random.Generator) -> AblationCurve:
    """Ablates more and more units in random orders over all layers (paper section 2.2)."""
    n_units = engine.layout.n_units
    counts = config.n_ablated(n_units)
    orders = np.stack([rng.permutation(n_units) for _ in range(config.orders)])
    # Point k of order r: the first k units of the order are ablated. Ranks turn that into one
    # comparison. The intact network is the same in every order, so it is evaluated once.
    ranks = np.argsort(orders, axis=1)
    keep = ranks[:, None, :] >= counts[None, 1:, None]
    outcome = engine.evaluate(
        np.concatenate([np.ones((1, n_units), bool), keep.reshape(-1, n_units)]),
        _fill(engine, config),
    )

    def by_order(values: np.ndarray) -> np.ndarray:
        lesioned = values[1:].reshape(config.orders, len(counts) - 1)
        return np.concatenate([np.repeat(values[:1], config.orders)[:, None], lesioned], axis=1)

    return AblationCurve(
        layers=engine.layout.layers,
        n_ablated=counts,
        n_correct=by_order(outcome.n_correct.sum(axis=1)),
        loss=by_order(outcome.loss),
        orders=orders.astype(np.int32),
        n_images=engine.n_images,
        images=config.images,
        fill=config.fill,
    )


def single_unit(engine: Engine, config: SingleUnitConfig) -> UnitTable:
    """Ablates every unit alone, and measures its class means (paper sections 2.3 and 3.4)."""
    n_units = engine.layout.n_units
    statistics = engine.statistics()
    keep = np.concatenate([np.ones((1, n_units), bool), ~np.eye(n_units, dtype=bool)])
    outcome = engine.evaluate(keep, _fill(engine, config))
    return UnitTable(
        layers=engine.layout.layers,
        class_means=statistics.class_means,
        n_correct=outcome.n_correct[1:],
        loss=outcome.loss[1:],
        intact_correct=outcome.n_correct[0],
        intact_loss=float(outcome.loss[0]),
        class_counts=statistics.class_counts,
        images=config.images,
        fill=config.fill,
    )


def _fill(engine: Engine, config: Any) -> np.ndarray | None:
    return engine.statistics().means if config.fill == "mean" else None
