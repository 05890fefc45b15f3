"""Writes a synthetic log directory in a second: `python -m tb_plugin.demo DIR`.

The demo is a playground for the plugin and the fixture of its tests. The numbers are made up and
have the shape of the paper's Figs. 1a, 2a, 4a, 6 and 7a: the more labels a network memorised, the
sooner its accuracy falls when units are ablated.

    DIR/fig1a/label_corruption=0.0 ... 1.0   curves over training: 10 orderings, 3 checkpoints,
                                             units clamped to zero and to their mean; noise; loss
    DIR/fig6/batch_norm=false, true          feature maps of six layers
    DIR/fig7a/seed=0, seed=1                 256 units in two layers, some of them silent
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tb_plugin import summary

N_UNITS = 1024
CLASS_SIZE = 500  # images of each class
EPOCHS = (10, 100, 640)
CORRUPTIONS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
CHANCE = 0.1
NOISE_SCALES = np.geomspace(0.03, 10, 15)
CLASSES = ("airplane", "bird", "boat", "bottle", "car", "cat", "deer", "dog", "frog", "horse")


def accuracy_under_ablation(
    fraction: np.ndarray, corruption: float, rng: np.random.Generator, n_orderings: int = 10
) -> np.ndarray:
    """A falling logistic in the fraction of units ablated, a row per ordering."""
    middle = 0.72 - 0.5 * corruption**0.6
    middles = middle + rng.normal(0.0, 0.02, size=(n_orderings, 1))
    fall = 1 / (1 + np.exp((fraction - middles) / 0.08))
    start = 1 / (1 + np.exp((0.0 - middles) / 0.08))
    return CHANCE + (1 - CHANCE) * np.clip(fall / start, 0.0, 1.0)


def accuracy_under_noise(
    scales: np.ndarray, corruption: float, rng: np.random.Generator, n_draws: int = 10
) -> np.ndarray:
    """A falling logistic in the logarithm of the noise, a row per draw."""
    middles = 2.0 * 10 ** (-0.8 * corruption**0.6) * rng.lognormal(0, 0.05, size=(n_draws, 1))
    return CHANCE + (1 - CHANCE) / (1 + (scales / middles) ** 3)


def losses(corruption: float, epochs: np.ndarray) -> dict[str, np.ndarray]:
    """Loss and accuracy over training; the test loss rises from the epoch at which memorising
    begins."""
    train = 2.3 * np.exp(-epochs / (40 + 80 * corruption)) + 0.001
    turn = np.clip(epochs - 60, 0, None) / 580
    test = 0.08 + 2.2 * np.exp(-epochs / 30) + (0.15 + 3 * corruption) * turn
    return {
        "loss": train,
        "accuracy": 1 - 0.9 * np.exp(-epochs / (30 + 60 * corruption)),
        "test_loss": test,
        "test_accuracy": (0.98 - 0.85 * corruption) * (1 - np.exp(-epochs / 20)) + 0.02,
    }


def write_curves(logdir: Path, n_orderings: int = 10) -> None:
    """One run per label corruption, a curve per checkpoint and fill, noise, and the training."""
    rng = np.random.default_rng(0)
    ablated = np.unique(np.linspace(0, N_UNITS, 52).round())
    epochs = np.unique(np.geomspace(1, EPOCHS[-1], 25).round())
    for corruption in CORRUPTIONS:
        facts = {
            "label corruption": f"{corruption:.1f}",
            "data": "synthetic",
            "network": "mlp 512-512",
        }
        with summary.Writer(logdir / f"fig1a/label_corruption={corruption:.1f}") as writer:
            for epoch in EPOCHS:
                memorised = corruption * epoch / EPOCHS[-1]
                for fill, harm in (("zero", 0.0), ("mean", 0.08)):
                    harmed = min(1.0, memorised + harm)
                    accuracy = accuracy_under_ablation(ablated / N_UNITS, harmed, rng, n_orderings)
                    tag = "curve/all/random" + ("" if fill == "zero" else f"/{fill}")
                    curve = summary.ablation_curve(
                        tag, ablated, accuracy, n_units=N_UNITS, fill=fill, facts=facts
                    )
                    writer.add(curve, step=epoch)
                accuracy = accuracy_under_noise(NOISE_SCALES, memorised, rng, n_orderings)
                noise = summary.noise_curve(
                    "noise/all", NOISE_SCALES, accuracy, n_units=N_UNITS, facts=facts
                )
                writer.add(noise, step=epoch)
            for name, values in losses(corruption, epochs).items():
                for epoch, value in zip(epochs, values, strict=True):
                    writer.add(summary.training_scalar(name, value), step=int(epoch))


def synthetic_units(
    rng: np.random.Generator, n_units: int, strength: float, aim: float = 0.4
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """One layer: what was measured, class means and class drops; one unit in sixteen is silent.

    Args:
        strength: how much importance falls with selectivity.
        aim: approximate mean selectivity, in (0, 1).

    Returns:
        columns of (n_units,), and two arrays (n_units, n_classes).
    """
    aimed = rng.beta(5 * aim, 5 * (1 - aim), size=n_units)
    means = rng.gamma(2.0, 0.4, size=(n_units, 1)) * rng.gamma(9, 1 / 9, (n_units, len(CLASSES)))
    favourite = rng.integers(len(CLASSES), size=n_units)
    means[np.arange(n_units), favourite] *= (1 + aimed) / (1 - np.minimum(aimed, 0.98))
    silent = np.arange(n_units) % 16 == 7
    means[silent] = 0
    highest = means.max(axis=1)
    rest = (means.sum(axis=1) - highest) / (len(CLASSES) - 1)
    selectivity = np.where(silent, 0, (highest - rest) / np.where(silent, 1, highest + rest))
    importance = 0.02 * rng.gamma(2.0, size=n_units) * (1 + strength * (0.5 - selectivity)) - 0.01
    importance[silent] = 0
    drops = 0.4 * importance[:, None] * means / np.where(silent, 1, highest)[:, None]
    drops *= rng.gamma(4, 1 / 4, drops.shape)
    drops = np.round(drops * CLASS_SIZE) / CLASS_SIZE  # whole images
    columns = {
        "class_selectivity": selectivity,
        "mutual_information": 2.2 * selectivity * rng.beta(8, 3, size=n_units),
        "importance": importance,
        "accuracy_drop": drops.mean(axis=1),
        "largest_class_drop": drops.max(axis=1),
        "mean_activation": means.mean(axis=1),
        "sparsity": np.where(silent, 1.0, 0.3 + 0.6 * selectivity),
        "weight_norm": rng.gamma(9, 3, size=n_units),
    }
    return columns, means, drops


def unit_summary(
    layers: Sequence[str],
    measured: Sequence[tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]],
    facts: Mapping[str, str],
) -> summary.Summary:
    """A unit table over several layers of `synthetic_units`."""
    sizes = [len(means) for _, means, _ in measured]
    return summary.unit_table(
        "units/all",
        layers=[layer for layer, size in zip(layers, sizes, strict=True) for _ in range(size)],
        units=np.concatenate([np.arange(size) for size in sizes]),
        columns={
            name: np.concatenate([columns[name] for columns, _, _ in measured])
            for name in measured[0][0]
        },
        classes=CLASSES,
        class_means=np.concatenate([means for _, means, _ in measured]),
        class_drops=np.concatenate([drops for _, _, drops in measured]),
        class_sizes=[CLASS_SIZE] * len(CLASSES),
        facts=facts,
    )


def write_units(logdir: Path, units_per_layer: int = 128) -> None:
    """Two networks, each with a table over the units of its two hidden layers."""
    for seed in (0, 1):
        rng = np.random.default_rng(100 + seed)
        layers = [synthetic_units(rng, units_per_layer, strength) for strength in (0.6, -0.8)]
        facts = {"seed": str(seed), "data": "synthetic", "network": "mlp 128-128"}
        table = unit_summary(["hidden_1", "hidden_2"], layers, facts)
        with summary.Writer(logdir / f"fig7a/seed={seed}") as writer:
            writer.add(table, step=EPOCHS[-1])


def write_feature_maps(logdir: Path) -> None:
    """Two convolutional networks, with and without batch normalisation; the one without is more
    selective."""
    for batch_norm, aim in ((True, 0.1), (False, 0.35)):
        rng = np.random.default_rng(200 + batch_norm)
        layers = [
            synthetic_units(rng, 16 * (1 + i), 0.8 - 0.3 * i, aim + 0.05 * i) for i in range(6)
        ]
        facts = {"batch norm": str(batch_norm).lower(), "data": "synthetic", "network": "convnet"}
        table = unit_summary([f"conv_{i + 1}" for i in range(6)], layers, facts)
        with summary.Writer(logdir / f"fig6/batch_norm={str(batch_norm).lower()}") as writer:
            writer.add(table, step=100)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tb_plugin.demo", description=__doc__)
    parser.add_argument("logdir", type=Path, help="an empty or new directory")
    logdir = parser.parse_args(arguments).logdir
    try:
        # Refuses a folder with files: a second copy in it would double every step.
        if logdir.exists() and not logdir.is_dir():
            raise FileExistsError(f"{logdir} is a file; name a new directory")
        if logdir.exists() and any(logdir.iterdir()):
            raise FileExistsError(f"{logdir} is not empty; name a new directory")
        write_curves(logdir)
        write_units(logdir)
        write_feature_maps(logdir)
    except OSError as error:
        print(f"Cannot write the demo: {error}", file=sys.stderr)
        return 1
    print(f"Written. Look at it with: tensorboard --logdir {logdir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
