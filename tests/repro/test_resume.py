"""A plan that is killed many times, at random moments, ends with the bits of an undisturbed one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from repro import results
from repro.results import TrainingRecord

HERE = Path(__file__).parent
N_KILLS = 10


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    """The networks of an undisturbed plan and of a killed one, and the number of kills."""
    folder = tmp_path_factory.mktemp("resume")
    # Another seed each time would find more, once; this one finds the same again.
    done = subprocess.run(
        [sys.executable, str(HERE / "killed.py"), str(folder), "20180429", str(N_KILLS)],
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    n_killed = int(done.stdout.splitlines()[-1])
    return folder / "whole/networks", folder / "killed/networks", n_killed


def test_killed_at_random_moments_the_results_have_the_same_bits(
    folders: tuple[Path, Path, int],
) -> None:
    import keras

    whole, killed, n_killed = folders
    assert n_killed >= N_KILLS // 2
    names = sorted(path.name for path in whole.iterdir())
    assert len(names) == 2 and names == sorted(path.name for path in killed.iterdir())
    for name in names:
        ours, theirs = killed / name, whole / name
        assert sorted(path.name for path in ours.glob("*.npz")) == sorted(
            path.name for path in theirs.glob("*.npz")
        )
        for sweep in [*theirs.glob("cumulative-*"), *theirs.glob("single_unit-*")]:
            assert (ours / sweep.name).read_bytes() == sweep.read_bytes()
        weights = [
            keras.models.load_model(folder / "model.keras").get_weights()
            for folder in (ours, theirs)
        ]
        assert [w.tobytes() for w in weights[0]] == [w.tobytes() for w in weights[1]]
        our_record, their_record = (
            results.from_bytes((folder / "training.npz").read_bytes(), TrainingRecord)
            for folder in (ours, theirs)
        )
        assert our_record.history == their_record.history and len(our_record.history) == 8
        assert our_record.test_loss == their_record.test_loss


def test_kills_leave_nothing_behind(folders: tuple[Path, Path, int]) -> None:
    _, killed, _ = folders
    for folder in killed.iterdir():
        assert [path.name for path in folder.rglob("*.tmp*")] == []
        assert not (folder / "checkpoints").exists()
        assert not list(folder.glob("failed-*"))
