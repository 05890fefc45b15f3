"""What lies on disk is whole: checkpoints, results, and a training that is cut off."""

from __future__ import annotations

import dataclasses
import errno
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repro.core import results
from repro.core.kinds import AblationCurve
from repro.core.results import Checkpoint, TrainingRecord
from repro.core.settings import TrainConfig
from repro.data.images import Images, Splits
from repro.data.source import DataError, DataSource
from repro.experiments import runs
from repro.experiments.plan import plan
from repro.experiments.runs import DiskCheckpoints, NetworkFolder, Runs, RunsError
from repro.experiments.task import Task


def checkpoint(epoch: int) -> Checkpoint:
    arrays = [np.full((3, 2), epoch, np.float32), np.array(epoch)]
    return Checkpoint(epoch, arrays, [{"epoch": e + 1, "loss": 0.5} for e in range(epoch)], 1.5)


def test_the_newest_two_checkpoints_are_kept_and_read_back(tmp_path: Path) -> None:
    store = DiskCheckpoints(tmp_path / "checkpoints")
    assert store.latest() is None
    for epoch in (1, 9, 10):
        store.save(checkpoint(epoch))
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    found = store.latest()
    assert found is not None and found.epoch == 10 and len(found.history) == 10
    for array, expected in zip(found.arrays, checkpoint(10).arrays, strict=True):
        assert array.dtype == expected.dtype and np.array_equal(array, expected)


def bit_flipped(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) * 8)
    changed = bytearray(content)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


DAMAGES = {
    "cut short": lambda content, chance: content[: chance.randrange(1, len(content))],
    "a bit flipped": bit_flipped,
    "empty": lambda content, chance: b"",
    "longer": lambda content, chance: content + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_used(
    tmp_path: Path, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    chance = random.Random(7)
    for attempt in range(20):
        said: list[str] = []
        store = DiskCheckpoints(tmp_path / str(attempt), said.append)
        for epoch in (3, 4, 9):
            store.save(checkpoint(epoch))
        path = tmp_path / str(attempt) / "epoch-000009.npz"
        path.write_bytes(damage(path.read_bytes(), chance))
        found = store.latest()
        assert found is not None and found.epoch == 4
        for array, expected in zip(found.arrays, checkpoint(4).arrays, strict=True):
            assert np.array_equal(array, expected)
        assert said == ["the checkpoint of epoch 9 is damaged; that of epoch 4 is tried"]
        # The damaged one no longer counts: two whole ones are kept from now on.
        store.save(checkpoint(5))
        assert sorted(p.name for p in path.parent.glob("epoch-*")) == [
            "epoch-000004.npz",
            "epoch-000005.npz",
        ]


def test_with_both_checkpoints_damaged_the_training_begins_anew(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    store = DiskCheckpoints(tmp_path, said.append)
    for epoch in (1, 2):
        store.save(checkpoint(epoch))
    for path in tmp_path.glob("epoch-*"):
        path.write_bytes(b"")
    assert store.latest() is None and store.newest_epoch == 0
    assert said == [
        "the checkpoint of epoch 2 is damaged; that of epoch 1 is tried",
        "the checkpoint of epoch 1 is damaged; the training begins anew",
    ]


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.npz"
    runs.write_bytes(path, b"old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunsError, match=r"cannot write .*result.npz: No space left on device"):
        runs.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunsError, match="cannot make the folder .*Not a directory"):
        Runs(tmp_path / "file" / "runs")


def test_a_second_command_waits_with_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, order = Runs(tmp_path), []

    def second() -> None:
        with Runs(tmp_path).reporting():
            order.append("second")

    thread = threading.Thread(target=second)
    with folder.reporting():
        thread.start()
        thread.join(0.5)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert capsys.readouterr().out.count("which writes the report") == 1


def test_a_damaged_result_says_which_file(tmp_path: Path) -> None:
    network = Runs(tmp_path).network(TrainConfig("mnist", "mlp", (8,)))
    record = TrainingRecord(({"epoch": 1, "loss": 0.5},), 10, 5, 0.9, 0.1, 0.8, 0.2, {"a": 1})
    network.save_training(lambda path: path.write_bytes(b"model"), record)
    assert network.trained and network.load_training() == record
    path = network.path / "training.npz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunsError, match="training.npz: damaged result.*delete it"):
        network.load_training()


def test_checkpoints_that_a_kill_left_of_a_finished_training_go_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Runs(tmp_path).network(TrainConfig("mnist", "mlp", (4,)))
    record = TrainingRecord(({"epoch": 1, "loss": 0.5},), 10, 5, 0.9, 0.1, 0.8, 0.2)
    with network.prepare():
        network.checkpoints().save(checkpoint(1))
        with monkeypatch.context() as patch:
            patch.setattr(runs.folders, "remove_files", lambda *_: None)
            network.save_training(lambda path: path.write_bytes(b"model"), record)
    assert network.trained and (network.path / "checkpoints").exists()
    foreign = network.path / "checkpoints/mine.txt"
    foreign.write_text("mine")
    with network.prepare():
        assert [path.name for path in (network.path / "checkpoints").iterdir()] == ["mine.txt"]
    foreign.unlink()
    with network.prepare():
        assert not (network.path / "checkpoints").exists()


def test_results_refuse_another_kind_and_other_shapes() -> None:
    record = TrainingRecord((), 1, 1, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="expected a result of kind 'cumulative', got 'training'"):
        results.from_bytes(results.to_bytes(record), AblationCurve)
    with pytest.raises(ValueError, match=r"n_correct must have shape \(2, 3\), got \(2, 2\)"):
        AblationCurve(
            layers=(("hidden_1", 4),),
            n_ablated=np.array([0, 2, 4]),
            n_correct=np.zeros((2, 2), int),
            loss=np.zeros((2, 3)),
            orders=np.zeros((2, 4), np.int32),
            n_images=5,
            images="train",
            fill="zero",
        )


def test_figures_share_networks_and_tasks_survive_json(tmp_path: Path) -> None:
    from repro.core.toml import find_figures, load_figure

    root = Path(__file__).parents[3]
    figures = [load_figure(path, "quick") for path in find_figures(root / "configs")]
    jobs = plan([*figures, *figures])
    networks = [network.run_id for figure in figures for network in figure.networks()]
    assert len(jobs) == len(set(networks)) < len(networks)
    task = Task(jobs[0], str(tmp_path), DataSource("mnist", "embedded"), 1, 2.5)
    assert Task.from_json(task.to_json()) == task


class Kept:
    """Checkpoints in memory."""

    def __init__(self, last: Checkpoint | None = None) -> None:
        self.last = last

    def save(self, checkpoint: Checkpoint) -> None:
        self.last = checkpoint

    def latest(self) -> Checkpoint | None:
        return self.last


@pytest.fixture
def splits(rng: Any) -> Splits:
    images = Images(
        rng.random((90, 4, 4, 1), dtype=np.float32), rng.integers(0, 3, 90).astype(np.int32), 3
    )
    return Splits(images, images.labels, images)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_resumed_training_has_the_bits_of_a_whole_one(splits: Splits, optimizer: str) -> None:
    from repro.training import train

    config = TrainConfig("mnist", "mlp", (8, 8), batch_size=16, epochs=5, optimizer=optimizer)
    whole = train.train(config, splits, Kept(), seconds_between_checkpoints=0)

    class Killed(Exception):
        pass

    def die(epoch: int, _: Any) -> None:
        if epoch == 3:
            raise Killed

    store = Kept()
    with pytest.raises(Killed):
        train.train(config, splits, store, die, seconds_between_checkpoints=0)
    assert store.last is not None and store.last.epoch == 3
    resumed = train.train(config, splits, store, seconds_between_checkpoints=0)
    assert resumed.history == whole.history and len(whole.history) == 5
    for ours, theirs in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_training_stops_at_its_threshold_and_not_before(splits: Splits) -> None:
    from repro.training import train

    config = TrainConfig(
        "mnist", "mlp", (32,), batch_size=16, epochs=300, stop_at_train_accuracy=0.6
    )
    history = train.train(config, splits, Kept()).history
    assert history[-1]["accuracy"] >= 0.6 and len(history) < 300
    assert all(record["accuracy"] < 0.6 for record in history[:-1])


def test_a_diverging_training_says_so(splits: Splits) -> None:
    from repro.training import train, trainee

    config = TrainConfig("mnist", "mlp", (8,), batch_size=16, epochs=9, learning_rate=1e30)
    with pytest.raises(trainee.TrainingError, match="diverged.*smaller learning_rate"):
        train.train(config, splits, Kept())


def test_importing_repro_is_light_and_still_registers_the_layer() -> None:
    probe = (
        "import sys, repro; assert 'keras' not in sys.modules; import keras; "
        "assert keras.saving.get_registered_object('repro>AblationMask')"
    )
    subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True)


# --- In what order images stand -----------------------------------------------------------------

CONFIG = TrainConfig("mnist", "mlp", (8,), label_corruption=0.5)
IN_ORDER = DataSource("mnist", "tfds", "there")
OF_ITS_OWN = dataclasses.replace(IN_ORDER, archive="there/mnist.npz", tfds_order=False)


def trained(folder: NetworkFolder) -> None:
    """A folder that looks like that of a finished training."""
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.model.write_bytes(b"")
    folder._training.write_bytes(b"")


def test_a_network_is_not_continued_on_images_in_another_order(tmp_path: Path) -> None:
    folder = Runs(tmp_path).network(CONFIG)
    folder.check_images("first", IN_ORDER)
    folder.check_images("second", OF_ITS_OWN)  # nothing was begun
    folder.checkpoints().save(Checkpoint(1, [np.zeros(2)], [], 0.0))
    folder.check_images("second", OF_ITS_OWN)
    with pytest.raises(DataError, match="was begun on mnist, NumPy archive mnist.npz in an order"):
        folder.check_images("first", IN_ORDER)
    trained(folder)
    with pytest.raises(DataError, match="mnist, prepared TFDS data set gives it other images"):
        folder.check_images("first", IN_ORDER)
    folder.check_images("second", OF_ITS_OWN)
    folder.check_images("", IN_ORDER)  # a stream, whose labels are not compared


def test_a_folder_of_an_earlier_version_is_taken_for_one_in_tfdss_order(tmp_path: Path) -> None:
    folder = Runs(tmp_path).network(CONFIG)
    trained(folder)
    with pytest.raises(DataError, match="was begun on mnist in TFDS's order"):
        folder.check_images("second", OF_ITS_OWN)
    folder.check_images("first", IN_ORDER)
    with pytest.raises(DataError, match="was begun on mnist, prepared TFDS data set"):
        folder.check_images("second", OF_ITS_OWN)


def test_a_damaged_note_on_images_is_written_anew(tmp_path: Path) -> None:
    folder = Runs(tmp_path).network(CONFIG)
    trained(folder)
    (folder.path / "images.json").write_text("{")
    folder.check_images("first", IN_ORDER)
    assert json.loads((folder.path / "images.json").read_text())["order"] == "first"
