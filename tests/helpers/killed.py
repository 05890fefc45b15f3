"""Works on a small plan undisturbed, then again, killed many times; `test_resume.py` starts it.

    python killed.py FOLDER SEED N_KILLS

The results lie in FOLDER/whole and FOLDER/killed-1; where the plan came to its end before all kills
were dealt out, the next plan is begun in FOLDER/killed-2, and so on. TensorFlow is imported once;
each attempt is a fork of this process from before TensorFlow began to run, so that a kill costs a
second and not ten. Every other attempt is killed from outside at a random time; the rest kill
themselves at one of their writes: before a file's content is on the disk, before it is renamed, or
before the folder is.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from repro.core.kinds import CumulativeConfig, SingleUnitConfig
from repro.core.settings import TrainConfig
from repro.data.source import DataSource
from repro.experiments.plan import Job
from repro.experiments.task import Task

SOURCE = DataSource("mnist", "embedded")
PLAN = [
    Job(
        TrainConfig(
            "mnist",
            "mlp",
            (8, 6),
            origin="embedded",
            n_train=300,
            batch_size=32,
            epochs=8,
            optimizer=optimizer,
            learning_rate=0.01,
            jit_compile=False,
        ),
        (sweep,),
    )
    for optimizer, sweep in (("sgd", CumulativeConfig(orders=2)), ("adam", SingleUnitConfig()))
]
# What a write calls, in this order; `repro.experiments.runs` calls the first also for the folder,
# at the end.
_CALLS_OF_A_WRITE = ("fsync", "replace")


def kill_at_call(n: int) -> None:
    """Has this process kill itself just before the n-th of those calls, counted from 1."""
    left = n

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            if threading.current_thread() is threading.main_thread():
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **named)

        return call

    for name in _CALLS_OF_A_WRITE:
        setattr(os, name, counted(getattr(os, name)))


def work(runs_dir: str) -> None:
    """The whole plan in this process, a checkpoint after every epoch."""
    from repro.experiments import worker

    for job in PLAN:
        worker.work(Task(job, runs_dir, SOURCE, 1, 0.0))


def ended_well(action: Callable[[], None], kill_after: float | None = None) -> bool:
    """Whether a child that does this comes to its end; False if it is killed.

    Args:
        kill_after: seconds after which to kill it.
    """
    child = os.fork()
    if not child:
        try:
            action()
        except BaseException as error:
            print(f"an attempt failed: {error!r}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    timer = threading.Timer(kill_after or 0.0, os.kill, (child, signal.SIGKILL))
    if kill_after is not None:
        timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    if os.WIFSIGNALED(status):
        return False
    if os.WEXITSTATUS(status):
        sys.exit("an attempt ended in an error, not by a kill")
    return True


def main(folder: Path, seed: int, n_kills: int) -> None:
    """Works until an attempt comes to its end after so many kills."""
    from repro.data import load
    from repro.training import trainee  # noqa: F401

    splits = {job.train: load.load(SOURCE, job.train) for job in PLAN}
    load.load = lambda source, config: splits[config]
    began = time.monotonic()
    ended_well(partial(work, str(folder / "whole")))
    whole_seconds = time.monotonic() - began

    def attempt(runs_dir: Path, kill_at: int) -> None:
        if kill_at:
            kill_at_call(kill_at)
        work(str(runs_dir))

    chance, killed, plans, ended = random.Random(seed), 0, 1, False
    while not ended or killed < n_kills:
        if ended:
            plans += 1
        # No attempt gets through more than about a quarter of the plan, in time or in writes.
        at_a_write = chance.randint(1, 20) if killed % 2 and killed < n_kills else 0
        at_a_time = not at_a_write and killed < n_kills
        ended = ended_well(
            partial(attempt, folder / f"killed-{plans}", at_a_write),
            chance.uniform(0.0, whole_seconds / 4) if at_a_time else None,
        )
        killed += not ended


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
