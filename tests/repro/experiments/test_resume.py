"""A plan that is killed many times, at random moments, ends with the bits of an undisturbed one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from repro.core import results
from repro.core.results import TrainingRecord

HELPERS = Path(__file__).parents[2] / "helpers"
N_KILLS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folders of an undisturbed plan and of plans that were killed, see `killed.py`."""
    folder = tmp_path_factory.mktemp("resume")
    # Another seed each time would find more, once; this one finds the same again.
    done = subprocess.run(
        [sys.executable, str(HELPERS / "killed.py"), str(folder), "20180429", str(N_KILLS)],
        env=os.environ | {"PYTHONPATH": str(HELPERS.parents[1])},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def test_killed_at_random_moments_the_results_have_the_same_bits(folder: Path) -> None:
    import keras

    networks = sorted((folder / "whole/networks").iterdir())
    assert len(networks) == 2
    for killed in folder.glob("killed-*"):
        for theirs in networks:
            ours = killed / "networks" / theirs.name
            assert {path.name for path in ours.glob("*.npz")} == {
                path.name for path in theirs.glob("*.npz")
            }
            for sweep in [*theirs.glob("cumulative-*"), *theirs.glob("single_unit-*")]:
                assert (ours / sweep.name).read_bytes() == sweep.read_bytes()
            models = [keras.models.load_model(path / "model.keras") for path in (ours, theirs)]
            ours_bits, theirs_bits = (
                [weight.tobytes() for weight in model.get_weights()] for model in models
            )
            assert ours_bits == theirs_bits
            ours_record, theirs_record = (
                results.from_bytes((path / "training.npz").read_bytes(), TrainingRecord)
                for path in (ours, theirs)
            )
            assert ours_record.history == theirs_record.history
            assert len(ours_record.history) == 8
            assert ours_record.test_loss == theirs_record.test_loss


def test_kills_leave_nothing_behind(folder: Path) -> None:
    plans = list(folder.glob("killed-*"))
    assert plans
    for network in (network for plan in plans for network in (plan / "networks").iterdir()):
        assert [path.name for path in network.rglob("*.tmp*")] == []
        assert not (network / "checkpoints").exists()
        assert not list(network.glob("failed-*"))
