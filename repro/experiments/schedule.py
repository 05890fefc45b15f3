"""Hands jobs to workers, until nothing is left to do (`Schedule`).

A worker is a process `python -m repro work` for one job, or for several jobs whose networks can be
trained in one program. The schedule knows networks and steps, and not what a step computes:
`plan` tells which steps of a job are open, and `worker` does them.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from repro.core.settings import can_share
from repro.data.source import DataSource
from repro.experiments.executor import Ending, Executor
from repro.experiments.local import LocalProcesses
from repro.experiments.plan import Job, open_steps
from repro.experiments.ray import RayCluster
from repro.experiments.runs import TRAINING, NetworkFolder, Runs
from repro.experiments.task import Task

# A step is tried at most so often if the system kills its worker. A step's own error ends it.
_ATTEMPTS = 3
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_OF_REST = 2.0


class Schedule:
    """The jobs that wait and those that workers have.

    It skips networks that another command works on, and takes them over if that command dies; it
    starts a job again if its worker died, and follows the progress that workers write into their
    leases (`repro.experiments.leases`).

    Args:
        sources: where each data set was found.
        checkpoint_seconds: a kill loses at most so many seconds of training, plus one epoch.
        on_progress: called now and then with the work done in a job, as `plan.amounts` counts it.
        on_finished: called when nothing of a job is left to do, even if another command did the
            work.
        on_note: called with sentences for the user.
        together: at most so many networks are trained in one process and program, if their configs
            allow it. After a worker died, its network is trained alone.
        asked: whether the user asked for that, which convnets need.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        runs: Runs,
        sources: Mapping[str, DataSource],
        executor: Executor,
        checkpoint_seconds: float,
        on_progress: Callable[[Job, float], None] = lambda job, done: None,
        on_finished: Callable[[Job], None] = lambda job: None,
        on_note: Callable[[str], None] = lambda sentence: None,
        together: int = 1,
        asked: bool = False,
    ) -> None:
        self._runs, self._sources, self._executor = runs, sources, executor
        self._checkpoint_seconds, self._together = checkpoint_seconds, together
        self._asked = asked
        self._on_progress, self._on_finished, self._on_note = on_progress, on_finished, on_note
        self._waiting = deque(jobs)
        self._working: dict[Future[Ending], tuple[Job, ...]] = {}
        # Until when, by `time.monotonic`, a job is not started again.
        self._resting: dict[Job, float] = {}
        self._deaths: Counter[tuple[Job, str]] = Counter()
        self._errors: dict[Job, str] = {}

    def run(self) -> dict[Job, str]:
        """Works until nothing of the jobs is left to do. A failed step does not stop other steps.

        Returns:
            Errors that could not be noted in the networks' folders: a sentence for each such job.
        """
        try:
            while self._waiting or self._working:
                self._start_free_jobs()
                self._settle_ended()
                self._tell_progress()
        finally:
            self._executor.close()
        return self._errors

    def _start_free_jobs(self) -> None:
        """Starts waiting jobs while there are slots; finished ones leave the schedule."""
        for _ in range(len(self._waiting)):
            if len(self._working) >= self._executor.slots or not self._waiting:
                return
            job = self._waiting.popleft()
            if job in self._errors or not open_steps(job, self._folder(job)):
                self._on_finished(job)
            elif not self._is_free(job):
                self._waiting.append(job)
            else:
                self._start(job)

    def _start(self, job: Job) -> None:
        """Hands a job to a worker, with those that can be trained in one program with it."""
        companions = self._companions(job)
        for other in companions:
            self._waiting.remove(other)
        task = Task(
            job,
            str(self._runs.root),
            self._sources[job.train.dataset],
            self._executor.threads,
            self._checkpoint_seconds,
            companions,
        )
        self._working[self._executor.submit(task)] = (job, *companions)

    def _companions(self, job: Job) -> tuple[Job, ...]:
        """Waiting jobs that can be trained in one program with this one."""
        if self._together < 2 or not self._trains_next(job):
            return ()
        alike = (other for other in self._waiting if can_share(job.train, other.train, self._asked))
        fitting = (other for other in alike if self._trains_next(other) and self._is_free(other))
        return tuple(itertools.islice(fitting, self._together - 1))

    def _trains_next(self, job: Job) -> bool:
        """Whether the job's next step is a training that may share a process."""
        untrained = TRAINING in open_steps(job, self._folder(job))
        return untrained and not self._deaths[job, TRAINING]

    def _is_free(self, job: Job) -> bool:
        """Whether the job may be started, and nobody else works on its network."""
        rests = time.monotonic() < self._resting.get(job, 0.0)
        return job not in self._errors and not rests and not self._folder(job).holder

    def _settle_ended(self) -> None:
        """Waits a moment for workers to end, and settles their jobs."""
        if self._working:
            ended, _ = wait(self._working, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
            for future in ended:
                self._settle(self._working.pop(future), future.result())
        elif self._waiting:
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _settle(self, jobs: tuple[Job, ...], ending: Ending) -> None:
        """Takes in how the worker of these jobs ended."""
        first = jobs[0]
        for note in ending.notes:
            self._on_note(f"{first.train.run_id}: {note}")
        if ending.error:
            self._errors[first] = ending.error
        if ending.elsewhere:
            # This machine may notice earlier than the worker's machine that the other process is
            # dead.
            self._resting[first] = time.monotonic() + _SECONDS_OF_REST
        for job in reversed(jobs):
            if ending.died:
                self._count_death(job, ending)
            # The job goes first in line, so that a network's sweeps follow its training; the next
            # round finds out whether anything is left to do.
            self._waiting.appendleft(job)

    def _count_death(self, job: Job, ending: Ending) -> None:
        """Notes that the worker died in the job's next step; too many deaths are a failure."""
        remaining = open_steps(job, self._folder(job))
        if not remaining:
            return
        step = remaining[0]
        self._deaths[job, step] += ending.blame
        if self._deaths[job, step] < _ATTEMPTS:
            self._on_note(f"{job.train.run_id}: {ending.died}; it is tried again")
        else:
            self._folder(job).note_failure(step, ending.died)

    def _tell_progress(self) -> None:
        for job in itertools.chain.from_iterable(self._working.values()):
            if holder := self._folder(job).holder:
                self._on_progress(job, holder.done)

    def _folder(self, job: Job) -> NetworkFolder:
        return self._runs.network(job.train)


def connect(
    name: str, n_jobs: int, runs: Runs, workers: int, **ray_settings: Any
) -> LocalProcesses | RayCluster:
    """The executor of that name, "local" or "ray".

    Args:
        ray_settings: address, gpus and cpus, as for `RayCluster`.

    Raises:
        ExecutorError: it cannot be had.
    """
    if name == "local":
        return LocalProcesses(workers, n_jobs)
    return RayCluster(workers=workers, n_jobs=n_jobs, runs=runs, **ray_settings)
