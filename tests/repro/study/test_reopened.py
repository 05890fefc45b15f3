"""A trained network of the laboratory, opened again by other commands: its file, the lesion lab and
`repro lesion` give it the pixels that it was trained on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repro.core.kinds import SingleUnitConfig, UnitTable
from repro.core.settings import PIXEL_RANGES, TrainConfig
from repro.data import load
from repro.data import source as data_source
from repro.experiments import worker
from repro.experiments.plan import Job
from repro.experiments.runs import NetworkFolder, Runs
from repro.experiments.task import Task
from repro.models import trial
from repro.models.loading import load_model
from repro.study import command
from repro.study.lab_session import Session
from repro.study.request import LesionRequest
from repro.training import train as training

TRAINED = TrainConfig(
    *("mnist", "mlp", (24,)),
    origin="embedded",
    n_train=400,
    batch_size=20,
    learning_rate=0.005,
    epochs=15,
)
SWEEP = SingleUnitConfig(images="test")


@pytest.fixture(scope="module", params=[*PIXEL_RANGES, "corrupted, -1 to 1"])
def network(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkFolder]:
    """A finished network of each range of pixels, and one that learned corrupted labels."""
    corrupted, _, pixels = request.param.rpartition(", ")
    config = dataclasses.replace(
        TRAINED, pixel_range=pixels, label_corruption=float(bool(corrupted))
    )
    if corrupted:
        config = dataclasses.replace(config, n_train=60, batch_size=10, epochs=60)
    folder = tmp_path_factory.mktemp("runs")
    source = data_source.DataSource("mnist", "embedded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "configure", lambda threads: None)  # TensorFlow has begun
        patch.setattr(trial, "attempt", lambda path: None)  # has its own tests
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("nothing")))
        worker.work(Task(Job(config, (SWEEP,)), str(folder), source, 1, 1e9), print)
        yield Runs(folder).network(config)


def by_hand(network: NetworkFolder, images: np.ndarray) -> np.ndarray:
    """The classes that the weights answer for pixels of 0 to 1."""
    model = load_model(network.model)
    (kernel, bias), (to_logits, offset) = (
        model.get_layer(name).get_weights() for name in ("hidden_1", "logits")
    )
    if network.config.pixel_range == "-1 to 1":
        images = (images - 0.5) / 0.5
    hidden = np.maximum(np.dot(images.reshape(len(images), -1), kernel) + bias, 0)
    return (np.dot(hidden, to_logits) + offset).argmax(axis=1)


def test_the_record_holds_what_its_weights_answer_and_the_range(network: NetworkFolder) -> None:
    splits = load.load(data_source.DataSource("mnist", "embedded"), network.config)
    record = network.load_training()
    for images, accuracy in (
        (splits.train, record.train_accuracy),
        (splits.test, record.test_accuracy),
    ):
        right = np.mean(by_hand(network, np.asarray(images.images)) == images.labels)
        assert accuracy == pytest.approx(right, abs=2e-3)
    assert record.train_accuracy > 0.6
    assert record.facts["pixels"] == network.config.pixel_range
    table = network.load_sweep(SWEEP)
    assert isinstance(table, UnitTable)
    assert table.intact_correct.sum() == pytest.approx(1000 * record.test_accuracy, abs=2)


def test_whoever_loads_the_file_gives_it_pixels_of_0_to_1(network: NetworkFolder) -> None:
    images, _ = load.embedded_mnist()
    answers = np.asarray(load_model(network.model).predict(images.images[:200], verbose=0))
    assert np.mean(answers.argmax(axis=1) == by_hand(network, images.images[:200])) > 0.99


def test_the_lab_shows_it_the_pixels_that_it_was_trained_on(network: NetworkFolder) -> None:
    opened = Session(str(network.model)).open()
    record = network.load_training()
    corrupted = network.config.label_corruption > 0
    expected = record.train_accuracy if corrupted else record.test_accuracy
    # Classes are shown in equal numbers, so a few of the images are left out.
    right = sum(opened["intact"]["n_correct"]) / sum(opened["intact"]["n"])
    assert right == pytest.approx(expected, abs=0.05 if corrupted else 2e-3)
    words = "training images with the labels it learned" if corrupted else "test images"
    if network.config.pixel_range == "-1 to 1":
        words += ", whose pixels the network brings to -1 to 1"
    assert opened["source"] == f"mnist, {words}"


def test_lesion_gives_it_the_pixels_that_it_was_trained_on(
    network: NetworkFolder, tmp_path: Path
) -> None:
    """Also on test images that a network of corrupted labels cannot answer: which scaling answers
    best says nothing there."""
    said: list[str] = []

    @contextlib.contextmanager
    def bar(total: float) -> Iterator[Any]:
        yield type("Bar", (), {"update": staticmethod(lambda n: None)})

    request = LesionRequest(
        model=str(network.model),
        data="tfds:mnist",
        offline=True,
        out=tmp_path / "out",
        seconds=3600.0,  # a shorter one leaves images out where the machine is slow
    )
    command.run(request, said.append, bar)
    assert any("pixels divided by 255; 1,000 images" in line for line in said), said
    numbers = json.loads((tmp_path / "out/report/summary.json").read_text())
    test_accuracy = network.load_training().test_accuracy
    assert numbers["accuracy"] == pytest.approx(test_accuracy, abs=2e-3)
