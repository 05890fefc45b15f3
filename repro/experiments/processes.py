"""Worker processes of this machine: `python -m repro work`, one task each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from repro.core.places import PARENT
from repro.experiments.executor import Ending

# oneDNN doubles the speed of convolutions on a CPU (docs/training.md). By default TensorFlow uses
# it only on some processors; limited to AVX2 instructions it was as fast in a trial.
_FAST_CONVOLUTIONS = "TF_ENABLE_ONEDNN_OPTS"


class Processes:
    """The running worker processes, so that all of them can be ended at once."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, task: str, settings: Mapping[str, str]) -> Ending:
        """Runs one worker to its end, with these variables added to its environment."""
        notes: list[str] = []
        error, elsewhere, finished = "", False, False
        with self._started(settings) as process:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("a worker was started without pipes")
            try:
                process.stdin.write(task + "\n")
                process.stdin.flush()
                for line in process.stdout:
                    message = json.loads(line)
                    notes += [message["note"]] if "note" in message else []
                    error = message.get("error", error)
                    elsewhere = elsewhere or "elsewhere" in message
                    finished = finished or "finished" in message
            except BrokenPipeError:
                pass  # the worker died at once; its exit status tells
            status = process.wait()
        died = "" if finished or elsewhere or error else _cause_of_death(status)
        return Ending(died, True, elsewhere, error, tuple(notes))

    def kill(self) -> None:
        """Ends every worker now."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()

    @contextmanager
    def _started(self, settings: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
        with self._lock:
            if self._closed:
                raise RuntimeError("no new worker: the command is ending")
            process = subprocess.Popen(
                # -P: a file random.py in the current folder must not hide the module of that name.
                [sys.executable, "-P", "-m", "repro", "work"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **same_code(), **settings},
                text=True,
                # Only the parent gets Ctrl-C; it ends its workers in order.
                start_new_session=True,
            )
            self._running.add(process)
        try:
            yield process
        finally:
            with self._lock:
                self._running.discard(process)
            process.kill()
            process.communicate()


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
