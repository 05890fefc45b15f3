"""Figures of a user's own trained network: a small convnet without masks, saved by plain Keras, and
a folder of class folders."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from repro.core.kinds import Portraits, UnitTable
from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import OWN, ConfigError, FigureConfig, TrainConfig
from repro.core.toml import find_figures, load_figure, takes_own_network
from repro.data.source import DataError, DataSource
from repro.experiments import own, worker
from repro.experiments import plan as plans
from repro.experiments.plan import Job
from repro.experiments.runs import NetworkFolder, Runs
from repro.experiments.task import Task
from repro.models import trial
from repro.paper import figures
from repro.training import train
from tests.helpers.page import page_of

CONFIGS = Path(__file__).parents[3] / "configs"
CLASSES = ("boat", "cat", "tree")
FIGURES = ("fig7d", "figA3a", "illustration")


@dataclasses.dataclass
class Done:
    """What a worker left of the user's network, and what it was given."""

    model: Any
    pixels: np.ndarray
    labels: np.ndarray
    figures: list[FigureConfig]
    task: Task
    folder: NetworkFolder

    def result(self, name: str) -> FigureResult:
        """A figure of the network, as the command collects it."""
        (settings,) = (figure for figure in self.figures if figure.name == name)
        sweeps = {
            called: self.folder.load_sweep(sweep)
            for called, sweep in settings.lesions(settings.train)
        }
        record = self.folder.load_training()
        network = NetworkResult(settings.train, record, sweeps)
        return FigureResult(settings, (network,), record.facts["data"], "./run_all.sh")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("own")
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, activation="relu", name="maps"),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="relu", name="neurons"),
            keras.layers.Dense(3),
        ]
    )
    model.save(folder / "my.keras")
    pixels = np.random.default_rng(1).integers(0, 256, (36, 6, 6), dtype=np.uint8)
    labels = np.repeat(np.arange(3), 12)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (folder / "photos" / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "photos" / CLASSES[label] / f"{number:03d}.png")
    given = own.given(folder / "my.keras", f"dir:{folder / 'photos'}")
    plan = []
    for name in FIGURES:
        (path,) = CONFIGS.glob(f"{name}_*.toml")
        plan.append(dataclasses.replace(load_figure(path, OWN), train=given))
    (job,) = plans.plan(plan)
    source = DataSource("photos", OWN)
    task = Task(job, str(folder / "runs"), source, 1, 10.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "configure", lambda threads: None)
        patch.setattr(trial, "attempt", lambda path: None)  # has its own tests, and takes seconds
        worker.work(task)
        yield Done(model, pixels, labels, plan, task, Runs(folder / "runs").network(job.train))


def test_every_step_is_done_once_and_nothing_failed(done: Done) -> None:
    assert plans.failures([done.task.job], Runs(Path(done.task.runs_dir))) == []
    files = {path: path.stat().st_mtime_ns for path in done.folder.path.glob("*.npz")}
    # Figs. 7d and A3a ask the same of the network, so there are two sweeps and a training.
    assert len(files) == 3
    worker.work(done.task)
    assert files == {path: path.stat().st_mtime_ns for path in done.folder.path.glob("*.npz")}


def test_the_network_answers_as_the_users_does(done: Done) -> None:
    record = done.folder.load_training()
    logits = done.model.predict(done.pixels[..., None] / 255.0, verbose=0)
    assert record.test_accuracy == pytest.approx((logits.argmax(axis=1) == done.labels).mean())
    assert record.n_test == 36 and record.epochs == 0
    assert record.n_train == 0 and np.isnan(record.train_accuracy)


def test_units_are_lesioned_as_in_plain_keras(done: Done) -> None:
    table = done.folder.load_sweep(done.task.job.sweeps[0])
    assert isinstance(table, UnitTable)
    assert [size for _, size in table.layers] == [4, 8]
    hidden = keras.Model(done.model.inputs, done.model.get_layer("neurons").output)
    activations = hidden.predict(done.pixels[..., None] / 255.0, verbose=0)
    kernel, bias = done.model.layers[-1].get_weights()
    for unit in range(8):
        answers = (activations * (np.arange(8) != unit) @ kernel + bias).argmax(axis=1)
        hits = np.bincount(done.labels[answers == done.labels], minlength=3)
        np.testing.assert_array_equal(table.n_correct[4 + unit], hits)


def test_portraits_show_the_users_images_and_class_names(done: Done) -> None:
    figure = done.result("illustration")
    found = figure.networks[0].sweeps["portraits"]
    assert isinstance(found, Portraits)
    shown, label = found.top_images[0, 0, ..., 0], found.top_labels[0, 0]
    places = np.flatnonzero((done.pixels == shown).all(axis=(1, 2)))
    assert done.labels[places].tolist() == [label]
    assert CLASSES[label] in figures.alternative_text(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_the_report_says_whose_network_it_is(done: Done, name: str) -> None:
    figure = done.result(name)
    assert figures.draw(figure, kinds=["png"])["png"]
    caption = figures.caption(figure)
    assert "your own, my.keras" in caption and "Not trained here." in caption
    assert "photos, 3 class folders" in caption
    text = page_of(figure)
    assert "A trained network of your own" in text and "not known: a trained network" in text


def test_its_name_is_that_of_what_is_in_the_files(tmp_path: Path) -> None:
    model, data = tmp_path / "a.keras", tmp_path / "data.npz"
    model.write_bytes(b"weights")
    data.write_bytes(b"images")
    first = own.given(model, f"npz:{data}")
    assert first.run_id.startswith("own-")
    model.rename(tmp_path / "b.keras")
    assert own.given(tmp_path / "b.keras", f"npz:{data}").run_id == first.run_id
    data.write_bytes(b"other images")
    assert own.given(tmp_path / "b.keras", f"npz:{data}").run_id != first.run_id
    (tmp_path / "photos/cat").mkdir(parents=True)
    before = own.given(tmp_path / "b.keras", f"dir:{tmp_path / 'photos'}").run_id
    (tmp_path / "photos/cat/one.png").write_bytes(b"image")
    assert own.given(tmp_path / "b.keras", f"dir:{tmp_path / 'photos'}").run_id != before


def test_what_is_not_there_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no model at .*none\.keras"):
        own.given(tmp_path / "none.keras", "tfds:mnist")
    (tmp_path / "a.keras").write_bytes(b"")
    with pytest.raises(DataError, match="names .*photos, which does not exist"):
        own.given(tmp_path / "a.keras", f"dir:{tmp_path / 'photos'}")


@pytest.mark.parametrize(
    "settings",
    [
        {"dataset": "mnist", "network": OWN},
        {"dataset": OWN, "network": "convnet"},
        {"dataset": "cifar10", "network": "convnet", "model": "my.keras"},
    ],
)
def test_a_config_cannot_name_a_network_of_ones_own(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="given with --model and --data"):
        TrainConfig(**settings)  # type: ignore[arg-type]


def test_only_figures_that_need_no_training_take_it() -> None:
    paths = find_figures(CONFIGS)
    names = {path.stem.split("_")[0] for path in paths if takes_own_network(path)}
    assert names >= {"fig7d", "figA2b", "figA3a", "figA4d", "illustration"}
    assert not names & {"fig1a", "fig3", "fig4a", "fig5a", "fig6"}
    (path,) = CONFIGS.glob("fig1a_*.toml")
    with pytest.raises(ConfigError, match=r"has no \[own\] table"):
        load_figure(path, OWN)


def test_jobs_of_ones_own_travel_to_workers(tmp_path: Path) -> None:
    (tmp_path / "a.keras").write_bytes(b"")
    job = Job(own.given(tmp_path / "a.keras", "tfds:mnist"), ())
    task = Task(job, str(tmp_path), DataSource("tfds:mnist", OWN), 1, 1.0)
    assert Task.from_json(task.to_json()) == task
