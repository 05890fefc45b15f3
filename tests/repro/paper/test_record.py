"""The record of trained networks: what it holds is what was trained, and NumPy alone reads it."""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

from repro.core.kinds import KINDS
from repro.core.settings import FigureConfig, to_dict
from repro.core.toml import load_figure
from repro.core.zipped import unzipped, zipped
from repro.data import load
from repro.data.source import DataSource
from repro.experiments import collect, worker
from repro.experiments.plan import failures, plan
from repro.experiments.runs import Runs
from repro.experiments.task import Task
from repro.models.loading import load_model
from repro.paper import record, report
from repro.paper.figure_report import figure_report
from repro.training import train as training
from tests.helpers.planted import snapshot

ROOT = Path(__file__).parents[3]
SETTINGS = (
    "train.hidden_units=[24, 16]",
    "train.n_train=500",
    "train.epochs=3",
    "grid.label_corruption=[0.0, 0.5]",
    "cumulative.points=3",
    "cumulative.orders=2",
)
SOURCE = DataSource("mnist", "embedded")


class Trained(NamedTuple):
    """A figure of two trained networks, its runs folder and its report."""

    figure: FigureConfig
    runs: Runs
    report: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    config = ROOT / "configs/fig1a_memorization_mnist.toml"
    figure = load_figure(config, "quick", [*SETTINGS, "train.origin='embedded'"])
    runs = Runs(tmp_path_factory.mktemp("record") / "runs")
    jobs = plan([figure])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "configure", lambda threads: None)  # TensorFlow has begun
        for job in jobs:
            worker.work(Task(job, str(runs.root), SOURCE, 1, 1e9), lambda words: None)
    assert not failures(jobs, runs)
    command = " ".join(["./run_all.sh --only=fig1a", *(f"'--set={text}'" for text in SETTINGS)])
    found = collect.collect(figure, runs, SOURCE.describe(), command)

    def write(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    report.write([figure_report(found)], runs.report, write)
    return Trained(figure, runs, runs.report)


def made(trained: Trained, **given: Any) -> record.Made:
    numbers = json.loads((trained.report / "summary.json").read_text())["fig1a"]
    tables = {file.name: file.read_bytes() for file in trained.report.glob("fig1a_*.csv")}
    return record.make("fig1a", numbers, tables, **given)


def entries(archive: bytes) -> dict[float, Any]:
    """The networks of a record by their label corruption."""
    return {one["settings"]["label_corruption"]: one for one in record.networks_of(archive)}


def test_a_record_says_in_what_its_networks_differ(trained: Trained) -> None:
    archive = made(trained, runs=trained.runs).archive
    expected = {0.0: {"label_corruption": 0.0}, 0.5: {"label_corruption": 0.5}}
    assert {key: one["varied"] for key, one in entries(archive).items()} == expected
    # An older report did not say; bringing its record up to date does.
    members = unzipped(archive)
    known = json.loads(members["networks.json"])
    for one in known["networks"]:
        one["varied"] = {}
    older = zipped(members | {"networks.json": json.dumps(known).encode()})
    assert record.refreshed(older) == archive


def test_labels_are_not_remade_from_images_in_another_order(trained: Trained) -> None:
    _, corrupted = trained.figure.networks()
    note = trained.runs.network(corrupted).path / "images.json"
    before = note.read_bytes()
    assert json.loads(before)["order"] == load.load(SOURCE, corrupted).order
    try:
        note.write_text(json.dumps({"data": "mnist", "order": "0" * 64}))
        archive = made(trained, runs=trained.runs).archive
    finally:
        note.write_bytes(before)
    assert "fig1a_labels.npz" not in unzipped(archive)
    assert "another order" in entries(archive)[0.5]["labels"]["not_here"]


def test_settings_history_and_labels_are_those_of_the_training(trained: Trained) -> None:
    archive = made(trained, runs=trained.runs).archive
    members, networks = unzipped(archive), entries(archive)
    history = list(csv.DictReader(io.StringIO(members["fig1a_history.csv"].decode())))
    arrays = np.load(io.BytesIO(members["fig1a_labels.npz"]))
    for config in trained.figure.networks():
        one = networks[config.label_corruption]
        assert one["run_id"] == config.run_id
        assert one["settings"].items() <= to_dict(config).items()
        assert set(to_dict(config)) - set(one["settings"]) == {"model", "images"}
        loss = [float(row["loss"]) for row in history if row["run_id"] == config.run_id]
        done = trained.runs.network(config).load_training()
        assert loss == [epoch["loss"] for epoch in done.history]
    clean, corrupted = trained.figure.networks()
    assert sorted(arrays) == sorted(
        ["true_labels", f"{corrupted.run_id}.labels", f"{corrupted.run_id}.images"]
    )
    labels, images = (arrays[f"{corrupted.run_id}.{name}"] for name in ("labels", "images"))
    splits = load.load(SOURCE, corrupted)
    np.testing.assert_array_equal(labels, splits.train.labels)
    np.testing.assert_array_equal(arrays["true_labels"][images], splits.true_labels)
    np.testing.assert_array_equal(
        load.in_memory(SOURCE)[0].images[images], np.asarray(splits.train.images)
    )
    assert labels.dtype == np.uint8 and images.dtype == np.int32
    assert networks[0.5]["labels"]["n_changed"] == np.sum(labels != splits.true_labels)
    assert networks[0.0]["labels"] == {"not_here": "the labels are the true ones"}


def test_the_explained_way_to_the_images_of_a_network_leads_there(trained: Trained) -> None:
    text = unzipped(made(trained, runs=trained.runs).archive)["README.md"].decode()
    (code,) = re.findall(r"^    import zlib\n(?:    .*\n)+", text, re.MULTILINE)
    clean, _ = trained.figure.networks()
    true = load.in_memory(SOURCE)[0].labels
    given = {"numpy": np, "seed": clean.seed, "n": len(true), "n_train": clean.n_train}
    exec("\n".join(line[4:] for line in code.splitlines()), given)
    positions, labels = load.trained_on(true, SOURCE, clean)
    np.testing.assert_array_equal(given["images"], positions)
    np.testing.assert_array_equal(labels, true[positions])


def test_weights_answer_as_the_record_says(trained: Trained, tmp_path: Path) -> None:
    found = made(trained, runs=trained.runs)
    networks = entries(found.archive)
    for config in trained.figure.networks():
        said = networks[config.label_corruption]["weights"]
        assert set(said) == set(record.WEIGHTS_KEYS) and said["dtype"] == "float16"
        path = tmp_path / "network.keras"
        path.write_bytes(found.networks[config.run_id])
        test = load.load(SOURCE, config).test
        answers = keras.models.load_model(path).predict(test.images, verbose=0).argmax(axis=1)
        before = load_model(trained.runs.network(config).model).predict(test.images, verbose=0)
        assert said["accuracy"] == np.mean(answers == test.labels)
        assert said["accuracy_float32"] == np.mean(before.argmax(axis=1) == test.labels)
        assert said["changed"] == np.mean(answers != before.argmax(axis=1))
        assert said["changed"] <= record.MOST_CHANGED and said["n_images"] == 1000


def test_kernels_stay_float32_if_rounding_changes_too_many_answers(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No float16 holds the large kernels of this network, which answers like the trained one."""
    shutil.copytree(trained.runs.root, tmp_path / "runs")
    runs, config = Runs(tmp_path / "runs"), trained.figure.networks()[0]
    model = load_model(runs.network(config).model)
    hidden, logits = model.get_layer("hidden_2"), model.get_layer("logits")
    hidden.set_weights([1e8 * array for array in hidden.get_weights()])
    kernel, bias = logits.get_weights()
    logits.set_weights([kernel / 1e8, bias])
    model.save(runs.network(config).model)
    found = made(trained, runs=runs)
    said = entries(found.archive)[0.0]["weights"]
    assert said["dtype"] == "float32" and said["changed"] == 0
    monkeypatch.setattr(record, "LARGEST_BYTES", 1000)
    found = made(trained, runs=runs)
    said = entries(found.archive)[0.0]["weights"]
    assert "with float32 kernels its file is too large" in said["not_here"]
    assert found.networks == {}


def test_a_network_that_answers_otherwise_than_its_record_is_left_out(
    trained: Trained, tmp_path: Path
) -> None:
    shutil.copytree(trained.runs.root, tmp_path / "runs")
    runs = Runs(tmp_path / "runs")
    clean, corrupted = (runs.network(config) for config in trained.figure.networks())
    shutil.copyfile(clean.model, corrupted.model)
    found = made(trained, runs=runs)
    assert list(found.networks) == [clean.config.run_id]
    said = entries(found.archive)[0.5]["weights"]["not_here"]
    assert said == "on the images at hand its accuracy is not that of the training"


def test_what_is_not_at_hand_is_said(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    said = entries(made(trained).archive)[0.5]
    assert (
        "not at hand" in said["history"]["not_here"]
        and "not at hand" in said["weights"]["not_here"]
    )
    # A name is a hash of all settings: the command makes that network, so its settings are known.
    assert said["settings"]["hidden_units"] == [24, 16]
    assert said["labels"]["file"] == "fig1a_labels.npz"
    found = made(trained, runs=trained.runs, weights=False)
    assert found.networks == {}
    assert entries(found.archive)[0.5]["weights"] == {"not_here": "they were left out"}
    monkeypatch.setattr(record, "MOST_WEIGHTS", 100)
    said = entries(made(trained, runs=trained.runs).archive)[0.5]["weights"]
    assert "weights are too many; 100 are kept" in said["not_here"]
    numbers = json.loads((trained.report / "summary.json").read_text())["fig1a"]
    other = record.make("fig1a", numbers | {"data": "other images"}, {}, runs=trained.runs)
    assert entries(other.archive)[0.5]["labels"] == {
        "not_here": "the images were not at hand when this record was made"
    }
    of_nobody = numbers | {"command": "./run_all.sh --only=fig1a"}
    (first, _) = record.networks_of(record.make("fig1a", of_nobody, {}).archive)
    assert first["settings"] is None
    assert "not known" in first["labels"]["not_here"]


def test_every_column_and_key_is_explained(trained: Trained) -> None:
    for kind in KINDS.values():
        assert tuple(kind.meanings) == kind.columns, kind.name
        assert all(meaning.endswith(".") for meaning in kind.meanings.values())
    members = unzipped(made(trained, runs=trained.runs).archive)
    text = members["README.md"].decode()
    for name, content in members.items():
        assert name == "README.md" or f"## {name}" in text
        if name.endswith(".csv"):
            section = text.split(f"## {name}")[1].split("\n## ")[0]
            for column in content.decode().split("\n", 1)[0].split(","):
                assert re.search(rf"^\| `{column}` \| \S.*\. \|$", section, re.MULTILINE), column
    (first, _) = record.networks_of(made(trained, runs=trained.runs).archive)
    explained = text.split("\nSettings:\n")[1]
    assert [name for name in first["settings"] if not re.search(rf"\b{name}\b", explained)] == []
    for one in record.networks_of(made(trained, runs=trained.runs).archive):
        assert list(one) == [key for key in record.NETWORK_KEYS if key in one]
        assert set(one) == set(record.NETWORK_KEYS)


def test_a_record_is_the_same_whenever_it_is_made(trained: Trained) -> None:
    first, second = (made(trained, runs=trained.runs) for _ in range(2))
    assert first == second
    assert record.refreshed(first.archive) == first.archive
    with zipfile.ZipFile(io.BytesIO(first.archive)) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


def test_publishing_keeps_networks_that_a_figure_names_and_no_others(
    trained: Trained, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        publish = importlib.import_module("publish")
    out = tmp_path / "out"
    publish.publish(trained.report, out)
    names = {f"{config.run_id}.keras" for config in trained.figure.networks()}
    assert {file.name for file in (out / "networks").iterdir()} == names
    (out / "networks/mine.txt").write_text("mine")
    before = snapshot(out)
    publish.publish(trained.report, out)
    assert snapshot(out) == before
    publish.publish(trained.report, out, "", lambda figure: figure != "fig1a")
    assert [file.name for file in (out / "networks").iterdir()] == ["mine.txt"]
