"""Writes a synthetic log directory in a second: `python -m tb_plugin.demo DIR`.

A playground for the plugin and the fixture of its tests. The numbers are made up. They have
the shape of the paper's Figs. 1a and 7a: the more of its labels a network memorised, the
sooner its accuracy falls when units are ablated.

    DIR/fig1a/label_corruption=0.0 ... 1.0   curves over training: 10 orderings, 3 checkpoints
    DIR/fig7a/seed=0, seed=1                 256 units in two layers, some of them silent
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from tb_plugin import summary

N_UNITS = 1024
EPOCHS = (10, 100, 640)
CORRUPTIONS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
CHANCE = 0.1


def accuracy_under_ablation(
    fraction: np.ndarray, corruption: float, rng: np.random.Generator, n_orderings: int = 10
) -> np.ndarray:
    """A falling logistic in the fraction of units ablated, a row per ordering."""
    middle = 0.72 - 0.5 * corruption**0.6
    middles = middle + rng.normal(0.0, 0.02, size=(n_orderings, 1))
    fall = 1 / (1 + np.exp((fraction - middles) / 0.08))
    start = 1 / (1 + np.exp((0.0 - middles) / 0.08))
    return CHANCE + (1 - CHANCE) * np.clip(fall / start, 0.0, 1.0)


def write_curves(logdir: Path, n_orderings: int = 10) -> None:
    """One run per label corruption, a curve per checkpoint."""
    rng = np.random.default_rng(0)
    ablated = np.unique(np.linspace(0, N_UNITS, 52).round())
    for corruption in CORRUPTIONS:
        facts = {
            "label corruption": f"{corruption:.1f}",
            "data": "synthetic",
            "network": "mlp 512-512",
        }
        with summary.Writer(logdir / f"fig1a/label_corruption={corruption:.1f}") as writer:
            for epoch in EPOCHS:
                memorised = corruption * epoch / EPOCHS[-1]
                accuracy = accuracy_under_ablation(ablated / N_UNITS, memorised, rng, n_orderings)
                curve = summary.ablation_curve(
                    "curve/all/random", ablated, accuracy, n_units=N_UNITS, facts=facts
                )
                writer.add(curve, step=epoch)


def synthetic_units(
    rng: np.random.Generator, n_units: int, strength: float
) -> dict[str, np.ndarray]:
    """Measured quantities of one layer; one unit in sixteen is silent."""
    selectivity = rng.beta(3.0, 2.0, size=n_units)
    importance = 0.02 * rng.gamma(2.0, size=n_units) * (1 + strength * (0.5 - selectivity))
    importance -= 0.01
    activation = rng.gamma(2.0, 0.4, size=n_units)
    silent = np.arange(n_units) % 16 == 7
    columns = {
        "class_selectivity": selectivity,
        "importance": importance,
        "accuracy_drop": importance * 0.2,
        "mean_activation": activation,
    }
    return {name: np.where(silent, 0.0, values) for name, values in columns.items()}


def write_units(logdir: Path, units_per_layer: int = 128) -> None:
    """Two networks, each with a table over the units of its two hidden layers."""
    for seed in (0, 1):
        rng = np.random.default_rng(100 + seed)
        layers = [synthetic_units(rng, units_per_layer, strength) for strength in (0.6, -0.8)]
        table = summary.unit_table(
            "units/all",
            layers=["hidden_1"] * units_per_layer + ["hidden_2"] * units_per_layer,
            units=np.tile(np.arange(units_per_layer), 2),
            columns={name: np.concatenate([a[name] for a in layers]) for name in layers[0]},
            facts={"seed": str(seed), "data": "synthetic", "network": "mlp 128-128"},
        )
        with summary.Writer(logdir / f"fig7a/seed={seed}") as writer:
            writer.add(table, step=EPOCHS[-1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tb_plugin.demo", description=__doc__)
    parser.add_argument("logdir", type=Path, help="an empty or new directory")
    logdir = parser.parse_args(arguments).logdir
    try:
        # A second copy in the same directories would double every step.
        if logdir.exists() and any(logdir.iterdir()):
            raise FileExistsError(f"{logdir} is not empty; name a new directory")
        write_curves(logdir)
        write_units(logdir)
    except OSError as error:
        print(f"Cannot write the demo: {error}", file=sys.stderr)
        return 1
    print(f"Written. Look at it with: tensorboard --logdir {logdir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
