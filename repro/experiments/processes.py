"""Worker processes of this machine: `python -m repro work`. Each does one task after another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from repro.core.places import PARENT
from repro.experiments.executor import Ending

# oneDNN doubles the speed of convolutions on a CPU (docs/training.md). By default TensorFlow uses
# it only on some processors; limited to AVX2 instructions it was as fast in a trial.
_FAST_CONVOLUTIONS = "TF_ENABLE_ONEDNN_OPTS"
# A worker that has said its last word, or died, is gone after so many seconds.
_SECONDS_TO_LEAVE = 30.0


class Processes:
    """Worker processes, so that all of them can be ended at once.

    Args:
        settings: variables that are added to their environment.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self._all: set[subprocess.Popen[str]] = set()
        self._idle: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        self._closed = False

    def run(self, task: str) -> Ending:
        """Has a worker do a task: one that has done its own, or a new one."""
        notes: list[str] = []
        process = self._taken()
        last: dict[str, Any] = {"leaves": True}
        try:
            for message in _messages(process, task):
                if "note" in message:
                    notes.append(message["note"])
                else:
                    last = message
        finally:
            status = self._put_back(process, bool(last["leaves"]))
        error, elsewhere = last.get("error", ""), "elsewhere" in last
        died = "" if elsewhere or error or "finished" in last else _cause_of_death(status)
        return Ending(died, True, elsewhere, error, tuple(notes))

    def kill(self) -> None:
        """Ends every worker now."""
        with self._lock:
            self._closed = True
            for process in self._all:
                process.kill()
            for process in self._idle:
                process.communicate()
            self._all.difference_update(self._idle)
            self._idle.clear()

    def _taken(self) -> subprocess.Popen[str]:
        """A worker that waits for a task and lives, or a new one."""
        with self._lock:
            if self._closed:
                raise RuntimeError("no new worker: the command is ending")
            while self._idle:
                process = self._idle.pop()
                if process.poll() is None:
                    return process
                process.communicate()
                self._all.discard(process)
            process = subprocess.Popen(
                # -P: a file random.py in the current folder must not hide the module of that name.
                [sys.executable, "-P", "-m", "repro", "work"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **same_code(), **self._settings},
                text=True,
                # Only the parent gets Ctrl-C; it ends its workers in order.
                start_new_session=True,
            )
            self._all.add(process)
            return process

    def _put_back(self, process: subprocess.Popen[str], leaves: bool) -> int:
        """Keeps the worker for another task, or sees it off; returns its status, 0 if it stays."""
        with self._lock:
            if not leaves and not self._closed:
                self._idle.append(process)
                return 0
        try:
            status = process.wait(_SECONDS_TO_LEAVE)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        process.communicate()
        with self._lock:
            self._all.discard(process)
        return status


def _messages(process: subprocess.Popen[str], task: str) -> Iterator[dict[str, Any]]:
    """What a worker says of a task: notes and, unless it dies, how the task ended."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a worker was started without pipes")
    try:
        process.stdin.write(task + "\n")
        process.stdin.flush()
        for line in process.stdout:
            message = json.loads(line)
            yield message
            if "note" not in message:
                return
    except BrokenPipeError:
        pass  # the worker died at once; its exit status tells


def for_tensorflow() -> dict[str, str]:
    """Environment variables that workers set before they import TensorFlow; the user's settings
    win."""
    return {_FAST_CONVOLUTIONS: os.environ.get(_FAST_CONVOLUTIONS, "1")}


def same_code() -> dict[str, str]:
    """Environment variables that make another process import this `repro` if it is a checkout."""
    if PARENT.name in ("site-packages", "dist-packages"):
        return {}
    paths = [str(PARENT), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _cause_of_death(status: int) -> str:
    if status == -9:
        return "the process was killed, perhaps for lack of memory; use fewer --workers"
    if status < 0:
        return f"the process was ended by signal {-status}"
    return f"the process ended with status {status}"
