"""The plan on a Ray cluster of two nodes, one of which is killed in the middle of a training."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from repro.experiments import leases

# On a machine for which Ray has no packages the laboratory works all the same, without clusters.
cluster_utils = pytest.importorskip("ray.cluster_utils")

CONFIG = """
title = "Two networks"
[common.train]
dataset = "mnist"
network = "mlp"
n_train = 500
hidden_units = [16]
epochs = 600
jit_compile = false
[common.grid]
seed = [0, 1]
[quick.single_unit]
images = "test"
"""
SECONDS = 420  # far more than it takes: other work may slow the machine down


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head and a second node, each with room for one network."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # No dashboard and few threads: the nodes share this machine with the trainings.
    small = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 100_000_000}
    found = cluster_utils.Cluster(
        initialize_head=True, head_node_args=small | {"include_dashboard": False}
    )
    try:
        found.second = found.add_node(**small)
        yield found
    finally:
        found.shutdown()


def parents(pid: int) -> Iterator[int]:
    """The process's parent, its parent's parent, and so on."""
    while pid > 1:
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return
        pid = int(status.rpartition(")")[2].split()[1])
        yield pid


def raylet(node: Any) -> int:
    """The process that all workers of a node descend from."""
    ((process, *_),) = [
        started for kind, started in node.all_processes.items() if str(kind).endswith("raylet")
    ]
    return process.process.pid


def test_a_node_is_killed_and_nothing_is_lost_or_done_twice(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "no data").mkdir()
    (tmp_path / "configs/fig7a_two.toml").write_text(CONFIG)
    # fmt: off
    command = subprocess.Popen(
        [
            sys.executable, "-m", "repro", "run", "--offline", "--checkpoint_seconds=0",
            "--executor=ray", f"--ray_address={cluster.address}",
            f"--configs_dir={tmp_path / 'configs'}", f"--data_dir={tmp_path / 'no data'}",
            f"--runs_dir={tmp_path / 'runs'}",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    # fmt: on
    lost_node = raylet(cluster.second)
    deadline = time.monotonic() + SECONDS
    epoch = 0
    while not epoch:
        assert command.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
        for folder in (tmp_path / "runs/networks").glob("*"):
            holder = leases.holder(folder)
            written = [int(p.stem.rpartition("-")[2]) for p in folder.glob("checkpoints/epoch-*")]
            if holder and max(written, default=0) >= 5 and lost_node in parents(holder.pid):
                epoch, lost_worker, lost_folder = max(written), holder.pid, folder
    cluster.remove_node(cluster.second, allow_graceful=False)

    out, _ = command.communicate(timeout=SECONDS)
    assert command.returncode == 0, out
    assert f"{lost_folder.name}: its machine left the cluster; it is tried again" in out
    assert not Path(f"/proc/{lost_worker}").exists(), "the lost node's worker is gone"
    folders = list((tmp_path / "runs/networks").iterdir())
    assert len(folders) == 2
    for folder in folders:
        log = (folder / "log.txt").read_text()
        # Nothing is done twice ...
        assert len(re.findall("training done$", log, re.M)) == 1
        assert len(re.findall("single_unit-[0-9a-f]+ done$", log, re.M)) == 1
        # ... and the training that was cut off went on from where its checkpoints were.
        begun_at = [
            int(n) for n in re.findall(r"newest checkpoint is that of epoch (\d+)$", log, re.M)
        ]
        assert len(begun_at) == (2 if folder == lost_folder else 1)
        if folder == lost_folder:
            assert begun_at[0] == 0 and epoch <= begun_at[1] < 600
    assert not list((tmp_path / "runs").glob(".cluster-*"))
