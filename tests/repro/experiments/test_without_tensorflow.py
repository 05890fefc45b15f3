"""A plan from an archive to the report on a machine that has JAX and no TensorFlow.

The command runs in processes in which only what requirements-jax.txt names can be imported, so
neither TensorFlow nor TensorFlow Datasets. The first is killed in the middle of the training, the
second finishes. This file run as a program, in such a process too, loads what they left and answers
the same lesions by plain Keras.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ImportError(f"No module named {{name!r}}: it is not on this machine")

sys.meta_path.insert(0, Absent())
"""
# This file, run as a program, imports pytest.
ALSO = {"single-directions", "pytest", "pluggy", "iniconfig"}
CONFIG = """
title = "A convnet without TensorFlow"

[common.train]
dataset = "mnist"
network = "convnet"
width = 0.015625
precision = "mixed_bfloat16"
n_train = 160
batch_size = 32
label_corruption = 0.4
learning_rate = 0.05
epochs = 8

[common.grid]
seed = [3]

[paper.cumulative]
orders = 2
points = 5
last_layers = 3

[paper.single_unit]
images = "train"
n_images = 0
"""
COLOUR = """
title = "In colour"

[common.train]
dataset = "cifar10"
network = "convnet"

[common.grid]
seed = [0]

[paper.cumulative]
orders = 1
"""
SECONDS = 300  # until a process that hangs is given up


def absent() -> set[str]:
    """Top-level modules that are installed here and not by requirements-jax.txt."""
    lines = (ROOT / "requirements-jax.txt").read_text().splitlines()
    there = ALSO | {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    found = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not there.intersection(map(canonicalize_name, owners))
    }
    assert {"tensorflow", "tensorflow_datasets"} < found
    return found


def environment(folder: Path) -> dict[str, str]:
    """The variables of processes without TensorFlow, which share what XLA compiles."""
    # Keras's variables do not know NumPy 2's copy keyword yet, see pyproject.toml.
    copies = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    return os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONPATH": os.pathsep.join([str(folder / "without"), str(ROOT)]),
        "PYTHONWARNINGS": f"error,{copies}",
        "TFDS_DATA_DIR": str(folder / "data"),
    }


def command(folder: Path, *flags: str) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "repro", "run", "--profile=paper", "--checkpoint_seconds=0"),
        *(f"--configs_dir={folder / 'configs'}", f"--runs_dir={folder / 'runs'}", *flags),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine's folder: the hook, an archive of digits as large as MNIST, and a config."""
    place = tmp_path_factory.mktemp("without tensorflow")
    for name in ("without", "data", "configs"):
        (place / name).mkdir()
    (place / "without" / "sitecustomize.py").write_text(ABSENT.format(absent=absent()))
    (place / "configs" / "fig1b_small.toml").write_text(CONFIG)
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 160, (10, 28, 28), np.uint8)
    arrays = {}
    for split, n in (("train", 60_000), ("test", 10_000)):
        labels = rng.integers(0, 10, n).astype(np.uint8)
        noise = rng.integers(0, 96, (n, 28, 28), np.uint8)
        arrays |= {f"x_{split}": kinds[labels] + noise, f"y_{split}": labels}
    np.savez(place / "data" / "mnist.npz", **arrays)
    return place


@pytest.fixture(scope="module")
def finished(folder: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """The command, killed once the training has a checkpoint, and started again."""
    with (folder / "first.txt").open("w") as output:
        first = subprocess.Popen(
            command(folder), env=environment(folder), stdout=output, stderr=output
        )
        began = time.monotonic()
        while not list(folder.glob("runs/networks/*/checkpoints/epoch-*.npz")):
            assert first.poll() is None, (folder / "first.txt").read_text()
            assert time.monotonic() - began < SECONDS
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert not list(folder.glob("runs/networks/*/model.keras")), "the training was over"
    yield subprocess.run(
        command(folder), env=environment(folder), capture_output=True, text=True, timeout=SECONDS
    )


def test_a_plan_runs_to_its_report_after_a_kill(
    folder: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    (network,) = (folder / "runs" / "networks").iterdir()
    log = (network / "log.txt").read_text()
    assert finished.returncode == 0, finished.stdout + finished.stderr + log
    assert "Data: mnist, NumPy archive mnist.npz in an order of its own" in finished.stdout
    first, second = (line for line in log.splitlines() if "the newest checkpoint is" in line)
    assert first.endswith("of epoch 0") and not second.endswith("of epoch 0")
    noted = json.loads((network / "images.json").read_text())
    assert noted["data"] == "mnist, NumPy archive mnist.npz in an order of its own"
    report = folder / "runs" / "report"
    page = (report / "index.html").read_text()
    assert "NumPy archive mnist.npz" in page and "images a second" in page
    assert f"jax {metadata.version('jax')}" in page
    assert (report / "fig1b.png").stat().st_size > 500
    assert list((folder / "runs" / "tb").rglob("events.*"))
    assert json.loads((report / "claims.json").read_text())


def test_its_numbers_are_those_of_plain_keras(
    folder: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    assert finished.returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "tests.repro.experiments.test_without_tensorflow", folder],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["imported"] == [] and found["policies"] == ["float32"]
    # The network has learned something, or every lesion would answer alike.
    assert found["train_accuracy"][0] > 0.2 and len(set(found["curve"])) > 2
    assert found["worst_accuracy"] <= 1 / 160 + 1e-9  # one image may hang on rounding
    assert found["worst_loss"] < 1e-5
    # On a GPU, lesions are computed with products of full float32.
    assert found["products"] == [0, 12]
    assert found["augmented"].startswith("images that are augmented or stay on disk are read by")


def test_data_that_only_tfds_has_are_not_run_and_the_reason_is_told(folder: Path) -> None:
    (folder / "others").mkdir()
    (folder / "others" / "fig1b_other.toml").write_text(COLOUR)
    prepared = folder / "prepared"
    (prepared / "cifar10" / "3.0.2").mkdir(parents=True)
    (prepared / "cifar10" / "3.0.2" / "dataset_info.json").write_text("{}")
    for data, sentence in (
        ("prepared", "cifar10 is not prepared (reading TFDS's files needs tensorflow-datasets"),
        ("data", "cifar10 is not prepared (give a folder with cifar10.npz with --data_dir"),
    ):
        flags = [f"--configs_dir={folder / 'others'}", f"--data_dir={folder / data}"]
        words = command(folder, *flags, f"--runs_dir={folder / 'other runs'}")
        done = subprocess.run(words, env=environment(folder), capture_output=True, text=True)
        assert sentence in done.stdout and "Traceback" not in done.stdout + done.stderr


def products_of_full_precision(model: Any) -> int:
    """How many of the network's products JAX is told to compute with the highest precision."""
    import jax

    traced = jax.make_jaxpr(lambda images: model(images, training=False))
    text = str(traced(np.zeros((1, 28, 28, 1), np.float32)))
    return text.count("precision=(Precision.HIGHEST") + text.count("precision=Precision.HIGHEST")


def in_full_float32(model: Any) -> int:
    from repro.engine.passes import full_float32

    with full_float32():
        return products_of_full_precision(model)


def refusal_of_augmented() -> str:
    """What a training says whose images would be augmented by TensorFlow."""
    from repro.core.settings import TrainConfig
    from repro.data.images import Images, Splits
    from repro.training.train import train
    from repro.training.trainee import TrainingError

    data = Images(np.zeros((4, 32, 32, 3), np.float32), np.zeros(4, np.int32), 10)
    try:
        splits = Splits(data, data.labels, data)
        train(TrainConfig("cifar10", "convnet", augment=True), splits, None)  # type: ignore[arg-type]
    except TrainingError as error:
        return str(error)
    return ""


def main(folder: Path) -> dict[str, Any]:
    """The differences between what the runs folder holds and plain Keras, on JAX."""
    import keras

    from repro.core.settings import TrainConfig
    from repro.core.toml import load_figure
    from repro.data import load
    from repro.data.source import locate
    from repro.experiments.runs import Runs
    from repro.models.masking import ablation_masks, layer_of
    from tests.helpers import plain

    assert keras.backend.backend() == "jax"
    figure = load_figure(folder / "configs" / "fig1b_small.toml", "paper")
    (config,) = figure.networks()
    assert isinstance(config, TrainConfig)
    network = Runs(folder / "runs").network(config)
    splits = load.load(locate("mnist"), config)
    model = keras.models.load_model(network.model)
    layers = [(layer_of(mask), mask.n_units) for mask in ablation_masks(model)]
    n_units = sum(size for _, size in layers)

    accuracies: list[tuple[float, float]] = []
    losses: list[tuple[float, float]] = []

    def compare(data: Any, lesion: np.ndarray, accuracy: float, loss: float) -> None:
        keep = np.ones(n_units)
        keep[lesion] = 0
        found = plain.answer(model, layers, data.images, data.labels, keep)
        accuracies.append((float(accuracy), found.n_correct.sum() / len(data)))
        losses.append((float(loss), found.loss_sum / len(data)))

    record = network.load_training()
    nothing = np.zeros(0, int)
    compare(splits.train, nothing, record.train_accuracy, record.train_loss)
    compare(splits.test, nothing, record.test_accuracy, record.test_loss)
    curve, units = (network.load_sweep(sweep) for _, sweep in figure.lesions(config))
    assert units.n_images == curve.n_images == len(splits.train)
    first = n_units - curve.n_units
    for order, accuracy, loss in zip(curve.orders, curve.accuracy, curve.loss, strict=True):
        for n, point, of_point in zip(curve.n_ablated, accuracy, loss, strict=True):
            compare(splits.train, first + order[:n], point, of_point)
    for unit in range(0, n_units, 5):
        correct = units.n_correct[unit].sum() / units.n_images
        compare(splits.train, np.array([unit]), correct, units.loss[unit])
    heavy = {"tensorflow", "tensorflow_datasets"}
    return {
        "products": [products_of_full_precision(model), in_full_float32(model)],
        "augmented": refusal_of_augmented(),
        "imported": sorted(heavy & set(sys.modules)),
        "policies": sorted({layer.dtype_policy.name for layer in model.layers}),
        "train_accuracy": accuracies[0],
        "curve": curve.accuracy.ravel().tolist(),
        "worst_accuracy": max(abs(a - b) for a, b in accuracies),
        "worst_loss": max(abs(a - b) / max(b, 1.0) for a, b in losses),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
