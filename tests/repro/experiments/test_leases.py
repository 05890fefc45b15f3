"""Leases: one living process at a time, whoever dies, freezes or comes at the same moment."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from repro.experiments import leases
from repro.experiments.leases import Held, Holder

HOLD = """
import sys, time
from pathlib import Path
from repro.experiments import leases
with leases.lease(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def written(folder: Path, number: int, holder: Holder, age: float = 0.0) -> Path:
    """A lease as another process would leave it, renewed so many seconds ago."""
    path = folder / f".lease-{number:06d}.json"
    path.write_text(json.dumps(dataclasses.asdict(holder)))
    os.utime(path, (time.time() - age,) * 2)
    return path


def of_another_machine(**facts: Any) -> Holder:
    return Holder(**{"host": "far", "pid": 7, "machine": "x y", "birth": "1", "since": 0.0} | facts)


def test_a_lease_is_held_while_inside_and_free_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "made if missing"
    with leases.lease(folder) as mine:
        found = leases.holder(folder)
        assert found is not None and found.pid == os.getpid() and mine.valid
        with pytest.raises(Held, match=f"process {os.getpid()} on "):
            with leases.lease(folder):
                pass
        (path,) = folder.iterdir()
        (tmp_path / "file").write_text("")
        assert path.stat().st_mode == (tmp_path / "file").stat().st_mode, "a group may share it"
        mine.done = 12.5
        mine.renew()
        again = leases.holder(folder)
        assert again is not None and again.done == 12.5
    assert leases.holder(folder) is None
    with leases.lease(folder):
        assert leases.holder(folder) is not None
    assert len(list(folder.iterdir())) == 1, "older leases and temporary files are cleared away"


def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    found = leases.holder(tmp_path)
    assert found is not None and found.pid == process.pid
    process.send_signal(signal.SIGKILL)
    # Dead but not waited for, it is a zombie: it has its number still, and works no more.
    deadline = time.monotonic() + 30
    while leases.holder(tmp_path) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with leases.lease(tmp_path):
        pass
    process.communicate()


def test_a_process_number_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    with leases.lease(tmp_path):
        mine = leases.holder(tmp_path)
    assert mine is not None
    written(tmp_path, 5, mine)
    assert leases.holder(tmp_path) == mine
    written(tmp_path, 6, dataclasses.replace(mine, birth="1"))
    assert leases.holder(tmp_path) is None


@pytest.mark.parametrize("machine", ["another boot, another place", ""])
def test_another_machine_is_believed_as_long_as_it_renews(tmp_path: Path, machine: str) -> None:
    far = of_another_machine(machine=machine)
    written(tmp_path, 3, far, age=leases.STALE_SECONDS - 30)
    assert leases.holder(tmp_path) == far
    with pytest.raises(Held, match="process 7 on far"):
        with leases.lease(tmp_path):
            pass
    written(tmp_path, 3, far, age=leases.STALE_SECONDS + 30)
    assert leases.holder(tmp_path) is None
    with leases.lease(tmp_path):
        assert [path.name for path in tmp_path.glob(".lease-*")] == [".lease-000004.json"]


def test_who_was_taken_for_dead_is_told_and_does_not_disturb_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.01)
    lost = threading.Event()
    with leases.lease(tmp_path, lost.set) as mine:
        time.sleep(0.05)
        assert not lost.is_set()
        far = of_another_machine()
        written(tmp_path, 2, far)
        assert lost.wait(30) and not mine.valid
        mine.renew()
    assert leases.holder(tmp_path) == far


def test_renewing_is_seen_from_afar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.01)
    with leases.lease(tmp_path) as mine:
        (path,) = tmp_path.glob(".lease-*")
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 30
        while path.stat().st_mtime < time.time() - 60:
            assert time.monotonic() < deadline
            time.sleep(0.01)

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(leases, "_replace", full)
        os.utime(path, (0, 0))
        mine.renew()
        assert path.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("hard_links", [True, False])
def test_of_many_at_once_one_takes_a_dead_lease(
    tmp_path: Path, hard_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty times eight threads that all begin at the same moment, on the lease of a dead one."""
    if not hard_links:

        def none(*_: Any) -> None:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "link", none)
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        written(folder, 1, of_another_machine(), age=2 * leases.STALE_SECONDS)
        contest = Contest(folder, 8)
        assert contest.winners and max(contest.together) == 1


class Contest:
    """Threads that all try to take one folder at the same moment.

    winners: how many had it, one after the other. together: how many were inside at each time.
    """

    def __init__(self, folder: Path, n_threads: int) -> None:
        self.winners, self.together = 0, [0]
        self._folder, self._inside = folder, 0
        self._start, self._count = threading.Barrier(n_threads), threading.Lock()
        threads = [threading.Thread(target=self._contend) for _ in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _contend(self) -> None:
        self._start.wait()
        with contextlib.suppress(Held), leases.lease(self._folder):
            self._enter(1)
            time.sleep(0.005)
            self._enter(-1)
            self.winners += 1

    def _enter(self, change: int) -> None:
        with self._count:
            self._inside += change
            self.together.append(self._inside)


def test_a_half_written_lease_is_held_until_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / ".lease-000001.json"
    path.write_text('{"host": "fa')
    assert str(leases.holder(tmp_path)) == "process 0 on an unknown machine"
    os.utime(path, (time.time() - leases.STALE_SECONDS - 1,) * 2)
    assert leases.holder(tmp_path) is None


def test_waiting_for_a_lease_says_so_once_and_gets_it(tmp_path: Path) -> None:
    said: list[str] = []
    with leases.lease(tmp_path):
        waiting = threading.Thread(target=lambda: wait_and_take(tmp_path, said))
        waiting.start()
        deadline = time.monotonic() + 30
        while not said:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "taken" not in said
    waiting.join()
    assert len(said) == 2 and said[0].startswith("at work in process") and said[1] == "taken"


def wait_and_take(folder: Path, said: list[str]) -> None:
    with leases.wait_for_lease(folder, lambda held: said.append(str(held))):
        said.append("taken")
