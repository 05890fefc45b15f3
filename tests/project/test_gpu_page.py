"""docs/gpu.md: its table and its numbers follow from the plan and from the layers."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import keras
import pytest

from repro.core.kinds import CumulativeConfig
from repro.core.settings import TrainConfig
from repro.core.toml import find_figures, load_figure
from repro.experiments import plan as plans
from repro.experiments.plan import TRAINING

ROOT = Path(__file__).parents[2]
PAPER = TrainConfig("cifar10", "convnet", epochs=100)


@pytest.fixture(scope="module")
def gpu() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("gpu", ROOT / "docs/gpu.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu"] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu"]


@pytest.fixture(scope="module")
def page() -> str:
    return " ".join((ROOT / "docs" / "gpu.md").read_text("utf-8").split())


def test_the_page_has_the_table_of_todays_plan(gpu: ModuleType) -> None:
    text = gpu.PAGE.read_text("utf-8")
    assert gpu.with_table(text) == text, "python docs/gpu.py --write"


def test_the_table_counts_each_network_and_each_sweep_of_the_plan_once(gpu: ModuleType) -> None:
    found = {row.figure: row for row in gpu.rows()}
    figures = [load_figure(path, "paper") for path in find_figures(ROOT / "configs")]
    figures = [one for one in figures if one.train.dataset == "cifar10"]
    jobs = plans.plan(figures)
    assert sum(row.new for row in found.values()) == len(jobs)
    assert {name: row.networks for name, row in found.items()} == {
        figure.name: len(set(figure.networks())) for figure in figures
    }
    training = sum(3 * gpu.operations(job.train) * 50_000 * job.train.epochs for job in jobs)
    assert sum(row.training for row in found.values()) == pytest.approx(training)
    lesions = sum(
        gpu._of_lesions(job, step) for job in jobs for step in job.steps if step != TRAINING
    )
    assert sum(row.lesions for row in found.values()) == pytest.approx(lesions)


def test_the_arithmetic_of_the_papers_convnet_is_that_of_its_layers(
    gpu: ModuleType, page: str
) -> None:
    """(maps in, maps out, positions) of each layer, by the paper's appendix A.2."""
    layers = [
        *((3, 64, 32), (64, 64, 32), (64, 128, 16), (128, 128, 16), (128, 128, 16)),
        *((128, 256, 8), (256, 256, 8), (256, 256, 8), (256, 512, 4), (512, 512, 4), (512, 512, 4)),
    ]
    forward = sum(9 * into * out * side**2 for into, out, side in layers) + 4 * 4 * 512 * 10
    assert gpu.operations(PAPER) == 2 * forward
    assert f"{forward / 1e6:.1f} million multiply-adds forward" in page
    assert f"is {3 * 2 * forward / 1e9:.2f} GFLOP" in page
    assert f"{3 * 2 * forward * 50_000 * 100 / 1e15:.1f} PFLOP" in page


def test_the_last_three_layers_are_those_of_maps_where_there_is_a_head(gpu: ModuleType) -> None:
    def lesions(head: int) -> float:
        train = dataclasses.replace(PAPER, head_units=head)
        sweep = CumulativeConfig(images="train", last_layers=3)
        return gpu._of_lesions(plans.Job(train, (sweep,)), sweep.sweep_id)

    head = 4 * 4 * 512 * 256 + 256 * 10 - 4 * 4 * 512 * 10  # multiply-adds more behind the maps
    n_lesions = CumulativeConfig(images="train", last_layers=3).n_lesions(3 * 512)
    assert lesions(256) - lesions(0) == pytest.approx(50_000 * n_lesions * 2 * head)


def test_a_small_batch_takes_its_steps(gpu: ModuleType) -> None:
    small = dataclasses.replace(PAPER, batch_size=8)
    assert gpu._seconds(small) == pytest.approx(100 * 6250 * 1.5e-3)
    assert gpu._seconds(PAPER) == pytest.approx(gpu._of_training(PAPER) / (495e12 * 0.15))


def test_a_lesion_costs_the_layers_behind_it(gpu: ModuleType) -> None:
    """One unit of the last hidden layer costs the logits alone."""
    (figure,) = (
        load_figure(path, "paper")
        for path in find_figures(ROOT / "configs")
        if path.name.startswith("fig7b")
    )
    job = plans.plan([figure])[0]
    (step,) = job.steps[1:]
    adds = [adds for _, adds in gpu.layers_of(job.train)]
    maps = [64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512]
    expected = sum(n * 2 * sum(adds[depth + 1 :]) for depth, n in enumerate(maps))
    assert adds[-1] == 4 * 4 * 512 * 10
    assert gpu._of_lesions(job, step) == pytest.approx(10_000 * expected)


def test_the_page_names_its_assumptions(gpu: ModuleType, page: str) -> None:
    assert f"{gpu.PEAK_TRAINING / 1e12:.0f} TFLOP a second" in page
    assert f"{gpu.PEAK_LESIONS / 1e12:.0f} TFLOP a second in float32" in page
    shares = [float(found) for found in re.findall(r"of which (\d+) % are reached", page)]
    assert shares == [100 * gpu.SHARE_TRAINING, 100 * gpu.SHARE_LESIONS]
    row = next(gpu.rows())
    expected = row.training / (gpu.PEAK_TRAINING * gpu.SHARE_TRAINING) / 60
    assert row.minutes[0] == pytest.approx(expected)


def test_multiply_adds_are_counted_as_keras_counts_weights(gpu: ModuleType) -> None:
    """A dense layer multiplies each weight once, a convolution once at each position."""
    model = keras.Sequential(
        [keras.Input((6, 6, 2)), keras.layers.Conv2D(5, 3, 2, padding="same", use_bias=False)]
    )
    (layer,) = model.layers
    assert gpu._multiply_adds(layer) == 3 * 3 * layer.count_params()
