"""Runs jobs: hands them to processes of this machine or of a Ray cluster.

Both start the same worker, `python -m repro work`, for one job, or for several jobs whose networks
can be trained in one program. `run` is the scheduler: it hands jobs out, skips networks that
another command works on, starts a job again if its worker died, and follows the progress that
workers write into their leases (`repro.experiments.leases`). It asks which steps of a job are open
and which trainings can share a program; `repro.experiments.jobs` does the work.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from repro.core.config import can_share
from repro.core.places import PARENT
from repro.data.source import DataSource
from repro.experiments.jobs import Job, Task, open_steps, sentence
from repro.experiments.runs import TRAINING, Runs

# A step is tried at most so often if the system kills its worker. A step's own error ends it.
_ATTEMPTS = 3
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_OF_REST = 2.0
_CONNECTION_SECONDS = 5.0
# Environment variables of the command that a worker on another machine needs.
_ENVIRONMENT = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "XLA_FLAGS")
# oneDNN doubles the speed of convolutions on a CPU (docs/training.md). By default TensorFlow uses
# it only on some processors; limited to AVX2 instructions it was as fast in a trial.
_FAST_CONVOLUTIONS = "TF_ENABLE_ONEDNN_OPTS"


class ExecutorError(RuntimeError):
    """An executor is not available; the message says what to do."""


@dataclass(frozen=True)
class Ending:
    """How a worker ended.

    died: why the worker died; "" if it ended in order. The network's folder then tells what is done
        and what failed.
    blame: whether the job may have caused the death.
    elsewhere: where another process works on the network; nothing was done then.
    error: an error that could not be noted in the network's folder.
    notes: what the user should know, in sentences.
    """

    died: str = ""
    blame: bool = True
    elsewhere: bool = False
    error: str = ""
    notes: tuple[str, ...] = ()


class Executor(Protocol):
    """Starts workers.

    slots: how many workers run at a time. threads: CPU threads for each worker.
    """

    slots: int
    threads: int

    def submit(self, task: Task) -> Future[Ending]:
        """Starts a worker, or queues it until a slot is free."""

    def close(self) -> None:
        """Ends every worker now."""


def run(
    jobs: Sequence[Job],
    runs: Runs,
    sources: Mapping[str, DataSource],
    executor: Executor,
    checkpoint_seconds: float,
    on_progress: Callable[[Job, float], None] = lambda job, done: None,
    on_finished: Callable[[Job], None] = lambda job: None,
    on_note: Callable[[str], None] = lambda sentence: None,
    together: int = 1,
) -> dict[Job, str]:
    """Works until nothing of the jobs is left to do. A failed step does not stop other steps.

    A network that another command works on is left to that command, and taken over if it dies.

    Args:
        sources: where each data set was found.
        checkpoint_seconds: a kill loses at most so many seconds of training, plus one epoch.
        on_progress: called now and then with the work done in a job, as `jobs.amounts` counts it.
        on_finished: called when nothing of a job is left to do, even if another command did the
            work.
        together: at most so many networks are trained in one process and program, if their configs
            allow it. After a worker died, its network is trained alone.

    Returns:
        Errors that could not be noted in the networks' folders: a sentence for each such job.
    """
    waiting, working = deque(jobs), dict[Future[Ending], tuple[Job, ...]]()
    resting: dict[Job, float] = {}
    deaths: Counter[tuple[Job, str]] = Counter()
    errors: dict[Job, str] = {}

    def is_free(job: Job) -> bool:
        held = time.monotonic() < resting.get(job, 0.0) or runs.network(job.train).holder
        return job not in errors and not held

    def in_one_program(job: Job) -> bool:
        """Whether the job's next step is a training that may share a process."""
        untrained = TRAINING in open_steps(job, runs.network(job.train))
        return untrained and not deaths[job, TRAINING]

    def companions(job: Job) -> tuple[Job, ...]:
        """Waiting jobs that can be trained in one program with this one."""
        if together < 2 or not in_one_program(job):
            return ()
        alike = (other for other in waiting if can_share(job.train, other.train))
        fitting = (other for other in alike if in_one_program(other) and is_free(other))
        return tuple(itertools.islice(fitting, together - 1))

    def start_those_that_are_free() -> None:
        for _ in range(len(waiting)):
            if len(working) >= executor.slots or not waiting:
                return
            job = waiting.popleft()
            if job in errors or not open_steps(job, runs.network(job.train)):
                on_finished(job)
            elif not is_free(job):
                waiting.append(job)
            else:
                others = companions(job)
                for other in others:
                    waiting.remove(other)
                source = sources[job.train.dataset]
                task = Task(
                    job, str(runs.root), source, executor.threads, checkpoint_seconds, others
                )
                working[executor.submit(task)] = (job, *others)

    def settle(jobs: tuple[Job, ...], ending: Ending) -> None:
        for note in ending.notes:
            on_note(f"{jobs[0].train.run_id}: {note}")
        if ending.error:
            errors[jobs[0]] = ending.error
        if ending.elsewhere:
            # This machine may notice earlier than the worker's machine that the other process is
            # dead.
            resting[jobs[0]] = time.monotonic() + _SECONDS_OF_REST
        for job in reversed(jobs):
            settle_one(job, ending)

    def settle_one(job: Job, ending: Ending) -> None:
        folder = runs.network(job.train)
        remaining = open_steps(job, folder)
        if ending.died and remaining:
            deaths[job, remaining[0]] += ending.blame
            if deaths[job, remaining[0]] < _ATTEMPTS:
                on_note(f"{job.train.run_id}: {ending.died}; it is tried again")
            else:
                folder.note_failure(remaining[0], ending.died)
        # The job goes first in line, so that a network's sweeps follow its training; the next round
        # finds out whether anything is left to do.
        waiting.appendleft(job)

    try:
        while waiting or working:
            start_those_that_are_free()
            if working:
                ended, _ = wait(working, _SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                for future in ended:
                    settle(working.pop(future), future.result())
            elif waiting:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            for job in itertools.chain.from_iterable(working.values()):
                if holder := runs.network(job.train).holder:
                    on_progress(job, holder.done)
    finally:
        executor.close()
    return errors


class LocalProcesses:
    """Workers on this machine.

    Networks of one shape share what XLA compiles. Workers keep it in a folder that lives as long as
    the command, so no file of another TensorFlow version, or cut off by a failing machine, is ever
    read.

    Args:
        workers: processes at a time; 0 for one per CPU core, or for one process if there is a GPU.
        n_jobs: the number of jobs, an upper limit of processes.
    """

    def __init__(self, workers: int, n_jobs: int) -> None:
        self.slots = local_slots(workers, n_jobs)
        self.threads = max(1, len(os.sched_getaffinity(0)) // self.slots)
        self._processes = _Processes()
        self._pool = ThreadPoolExecutor(self.slots)
        self._compiled = tempfile.TemporaryDirectory(prefix="compiled-", ignore_cleanup_errors=True)
        flags = (
            os.environ.get("TF_XLA_FLAGS", ""),
            f"--tf_xla_persistent_cache_directory={self._compiled.name}",
            "--tf_xla_persistent_cache_device_types=CPU",
        )
        self._settings = _for_tensorflow() | {"TF_XLA_FLAGS": " ".join(filter(None, flags))}

    def submit(self, task: Task) -> Future[Ending]:
        """Starts a worker."""
        return self._pool.submit(self._processes.run, task.to_json(), self._settings)

    def close(self) -> None:
        """Ends every worker now."""
        self._processes.kill()
        self._pool.shutdown(cancel_futures=True)
        self._compiled.cleanup()


class RayCluster:
    """Workers on a Ray cluster, whose machines all see the runs folder under the same path.

    Args:
        address: address of the cluster; "auto" for the cluster that this machine belongs to; "" for
            the cluster that RAY_ADDRESS names, else for a cluster of this machine alone, which ends
            with the command.
        workers: jobs handed to the cluster at a time; 0 for all, which then wait in Ray's queue.
        n_jobs: no more than this.
        gpus, cpus: GPUs and CPUs for each job; a fraction of a GPU lets several jobs share it.
        runs: the folder of results.

    Raises:
        ExecutorError: Ray is not installed, or the cluster does not answer.
    """

    def __init__(
        self, address: str, workers: int, n_jobs: int, gpus: float, cpus: int, runs: Runs
    ) -> None:
        self.slots = max(1, min(workers or n_jobs, n_jobs))
        self.threads = cpus
        # Turns off Ray's usage reports.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise ExecutorError(
                "--executor=ray needs the package ray: pip install -r requirements-ray.txt"
            ) from error
        address = address or os.environ.get("RAY_ADDRESS", "")
        _check_that_it_answers(address)
        on_kill = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                address=address or None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": _same_code()},
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            why = str(error).strip().splitlines()[0]
            raise ExecutorError(f"no Ray cluster at {address or 'hand'}: {why}") from error
        signal.signal(signal.SIGTERM, on_kill)  # Ray replaces the signal handler
        self._ray = ray
        told = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        self._settings = _for_tensorflow() | told
        if 0 < gpus < 1:
            # Otherwise the first job on a GPU takes all of its memory.
            self._settings |= {
                "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            }
        self._proof = runs.root / f".cluster-{uuid.uuid4().hex}"
        self._proof.touch()
        # Ray does not retry: `run` does, and reports it. One process for each job.
        self._start = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1)(_on_node)

    def submit(self, task: Task) -> Future[Ending]:
        """Hands a job to the cluster."""
        ending: Future[Ending] = Future()
        reply = self._start.remote(task.to_json(), self._settings, str(self._proof)).future()
        reply.add_done_callback(lambda reply: ending.set_result(self._ending(reply)))
        return ending

    def close(self) -> None:
        """Leaves the cluster, which ends every worker of this command."""
        self._ray.shutdown()
        self._proof.unlink(missing_ok=True)

    def _ending(self, reply: Future[Ending]) -> Ending:
        exceptions = self._ray.exceptions
        try:
            return reply.result()
        except exceptions.NodeDiedError:
            return Ending(died="its machine left the cluster", blame=False)
        except exceptions.OutOfMemoryError:
            return Ending(died="its machine ran out of memory; give jobs more --cpus_per_job")
        except exceptions.WorkerCrashedError:
            return Ending(died="Ray's process for it was killed")
        except Exception as error:  # whatever else Ray raises must not end the other jobs
            return Ending(error=f"Ray could not run it: {sentence(error)}")


def _check_that_it_answers(address: str) -> None:
    """Tries to connect to a host:port or ray://host:port for some seconds; Ray itself tries for
    minutes.

    Raises:
        ExecutorError: nothing answers there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # "auto" and the like
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECTION_SECONDS).close()
    except OSError as error:
        raise ExecutorError(f"no Ray cluster at {address}: {error.strerror or error}") from error


def _on_node(task: str, settings: dict[str, str], proof: str) -> Ending:
    """Runs on a machine of the cluster: one worker, from its start to its end."""
    if not os.path.exists(proof):
        here = os.uname().nodename
        return Ending(
            error=f"{here} does not see {os.path.dirname(proof)}: --runs_dir must lie on storage "
            "that all machines of the cluster share"
        )
    return _Processes().run(task, settings)


class _Processes:
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
                env={**os.environ, **_same_code(), **settings},
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


def _for_tensorflow() -> dict[str, str]:
    """Environment variables that workers set before they import TensorFlow; the user's settings
    win."""
    return {_FAST_CONVOLUTIONS: os.environ.get(_FAST_CONVOLUTIONS, "1")}


def _same_code() -> dict[str, str]:
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


def local_slots(workers: int, n_jobs: int) -> int:
    """How many processes to run at a time on this machine, see `LocalProcesses`."""
    fitting = workers or (1 if has_gpu() else len(os.sched_getaffinity(0)))
    return max(1, min(fitting, n_jobs))


def has_gpu() -> bool:
    """Whether the NVIDIA driver answers."""
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0
    except OSError:
        return False


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
