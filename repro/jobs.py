"""Plan -> work, on processes of this machine.

A job is one network: train it, then make its sweeps. Each job has a process of its own, which does
what is missing and nothing else, so the same plan run again after a kill goes on where it was.

A worker reads one JSON line from its standard input (`Task`), writes JSON lines to its standard
output ({"done": amount}, {"error": sentence}, {"finished": true}), and its log to the network's
folder. It ends when its standard input closes, so no worker outlives its parent.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from repro import config as configs
from repro.config import FigureConfig, SweepConfig, TrainConfig
from repro.data import DataSource
from repro.results import TrainingRecord
from repro.runs import Runs, circumstances

# Work is counted in images passed through the network once. A training step passes forward and
# twice as much backward; a lesion of the first hidden layer leaves out the layer before it.
_PASSES_PER_TRAINING_IMAGE = 3.0
_PASSES_PER_LESIONED_IMAGE = 0.4


@dataclass(frozen=True)
class Job:
    """One network and the sweeps to make in it."""

    train: TrainConfig
    sweeps: tuple[SweepConfig, ...]


@dataclass(frozen=True)
class Failure:
    """A job that did not finish: why, in one sentence, and where its log is."""

    job: Job
    reason: str
    log: Path


@dataclass(frozen=True)
class Task:
    """What a worker needs to know."""

    job: Job
    runs_dir: str
    source: DataSource
    threads: int
    checkpoint_seconds: float

    def to_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                "train": configs.to_dict(self.job.train),
                "sweeps": [[s.kind, configs.to_dict(s)] for s in self.job.sweeps],
                "runs_dir": self.runs_dir,
                "source": dataclasses.asdict(self.source),
                "threads": self.threads,
                "checkpoint_seconds": self.checkpoint_seconds,
            }
        )

    @classmethod
    def from_json(cls, line: str) -> Task:
        """The inverse of `to_json`."""
        values = json.loads(line)
        sweeps = [
            configs.from_dict(configs.SWEEPS[kind], settings) for kind, settings in values["sweeps"]
        ]
        job = Job(configs.from_dict(TrainConfig, values["train"]), tuple(sweeps))
        return cls(
            job,
            values["runs_dir"],
            DataSource(**values["source"]),
            values["threads"],
            values["checkpoint_seconds"],
        )


def plan(figures: Sequence[FigureConfig]) -> list[Job]:
    """The networks that the figures need, each once, with all the sweeps asked of it."""
    sweeps: dict[TrainConfig, list[SweepConfig]] = {}
    for figure in figures:
        for network in figure.networks():
            wanted = sweeps.setdefault(network, [])
            if figure.sweep not in wanted:
                wanted.append(figure.sweep)
    return [Job(network, tuple(wanted)) for network, wanted in sweeps.items()]


def unfinished(jobs: Sequence[Job], runs: Runs) -> list[Job]:
    """Those jobs of which anything is missing."""
    return [
        job
        for job in jobs
        if not runs.network(job.train).trained or runs.network(job.train).missing(job.sweeps)
    ]


def amount(job: Job, n_train: int, n_test: int) -> float:
    """The work in a job, in passes of one image through the network."""
    n_train = job.train.n_train or n_train
    n_units = sum(job.train.hidden_units)
    lesioned = sum(
        sweep.n_lesions(n_units)
        * (sweep.n_images or (n_train if sweep.images == "train" else n_test))
        for sweep in job.sweeps
    )
    training = job.train.epochs * n_train * _PASSES_PER_TRAINING_IMAGE
    return training + lesioned * _PASSES_PER_LESIONED_IMAGE


def work(task: Task, report: Callable[[float], None]) -> None:
    """Does what is missing of one job, in this process.

    Args:
        report: called with the work just done, in passes of one image.

    Raises:
        DataError, RunsError, TrainingError, ValueError: with one sentence.
    """
    from repro import data, models, sweep, training
    from repro.ablation import Engine

    training.configure(task.threads)
    train, folder = task.job.train, Runs(Path(task.runs_dir)).network(task.job.train)
    with folder.prepare():
        splits = data.load(task.source, train)
        if not folder.trained:
            passes = len(splits.train) * _PASSES_PER_TRAINING_IMAGE
            done = 0

            def on_epoch(epoch: int, _: Any) -> None:
                nonlocal done
                report((epoch - done) * passes)
                done = epoch

            trained = training.train(
                train, splits, folder.checkpoints, on_epoch, task.checkpoint_seconds
            )
            report((train.epochs - done) * passes)
            on_train = Engine(trained.model, splits.train.images, splits.train.labels).intact()
            on_test = Engine(trained.model, splits.test.images, splits.test.labels).intact()
            record = TrainingRecord(
                history=tuple(trained.history),
                n_train=len(splits.train),
                n_test=len(splits.test),
                train_accuracy=float(on_train.accuracy),
                train_loss=float(on_train.loss),
                test_accuracy=float(on_test.accuracy),
                test_loss=float(on_test.loss),
                facts=circumstances(training.device())
                | {"seconds": round(trained.seconds, 1), "data": task.source.describe()},
            )
            folder.save_training(trained.model.save, record)
        else:
            report(train.epochs * len(splits.train) * _PASSES_PER_TRAINING_IMAGE)
        missing = folder.missing(task.job.sweeps)
        if missing:
            # From the file, so that a sweep sees the same network whether or not it was just
            # trained.
            model = models.load_model(folder.model)
            for settings in missing:
                images = splits.train if settings.images == "train" else splits.test
                result = sweep.run(
                    settings,
                    model,
                    images.images,
                    images.labels,
                    lambda pairs: report(pairs * _PASSES_PER_LESIONED_IMAGE),
                    task.threads,
                )
                folder.save_sweep(settings, result)


def worker() -> int:
    """The life of a worker process: one task from standard input, progress to standard output."""
    task = Task.from_json(sys.stdin.readline())
    # Standard output carries messages to the parent; whatever libraries print goes to the log.
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    log = Runs(Path(task.runs_dir)).network(task.job.train).log
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    threading.Thread(target=_end_with_parent, args=(sys.stdin,), daemon=True).start()

    def tell(**message: Any) -> None:
        print(json.dumps(message), file=messages)

    # Small reports are gathered: a message costs both sides some time.
    gathered, last = 0.0, time.monotonic()

    def report(done: float) -> None:
        nonlocal gathered, last
        gathered += done
        if time.monotonic() - last > 0.2:
            tell(done=gathered)
            gathered, last = 0.0, time.monotonic()

    try:
        work(task, report)
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        tell(error=sentence(error))
        return 1
    tell(done=gathered)
    tell(finished=True)
    return 0


def sentence(error: BaseException) -> str:
    """One line that says what went wrong."""
    if isinstance(error, MemoryError):
        return "out of memory; use fewer --workers"
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    known = (RuntimeError, ValueError, OSError)
    return text if isinstance(error, known) else f"{type(error).__name__}: {text}"


def _end_with_parent(stdin: IO[str]) -> None:
    """Ends the process at once when the parent is gone: every file on disk is whole anyway."""
    stdin.read()
    os._exit(3)


def run_local(
    jobs: Sequence[Job],
    runs: Runs,
    sources: dict[str, DataSource],
    workers: int,
    checkpoint_seconds: float,
    on_progress: Callable[[Job, float], None],
    on_finished: Callable[[Job, Failure | None], None],
) -> list[Failure]:
    """Runs jobs on processes of this machine; a job that fails does not stop the others.

    Args:
        sources: where each data set was found.
        workers: processes at a time; 0 for one per CPU core, or one where there is a GPU.
        checkpoint_seconds: at most so much training, and one epoch more, is lost by a kill.
        on_progress, on_finished: called from several threads, one call at a time.
    """
    cores = len(os.sched_getaffinity(0))
    workers = workers or (1 if has_gpu() else cores)
    workers = max(1, min(workers, len(jobs)))
    lock = threading.Lock()
    pool = _Pool()

    def one(job: Job) -> Failure | None:
        source = sources[job.train.dataset]
        task = Task(job, str(runs.root), source, max(1, cores // workers), checkpoint_seconds)

        def progress(done: float) -> None:
            with lock:
                on_progress(job, done)

        reason = pool.run(task, progress)
        failure = Failure(job, reason, runs.network(job.train).log) if reason else None
        with lock:
            on_finished(job, failure)
        return failure

    with ThreadPoolExecutor(workers) as executor:
        futures = [executor.submit(one, job) for job in jobs]
        try:
            return [failure for future in futures if (failure := future.result())]
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            pool.kill()
            raise


class _Pool:
    """The running worker processes, so that all of them can be ended at once."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, task: Task, on_progress: Callable[[float], None]) -> str:
        """Runs one worker to its end; the reason why it failed, or ""."""
        with self._started() as process:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("a worker was started without pipes")
            reason, finished = "", False
            try:
                process.stdin.write(task.to_json() + "\n")
                process.stdin.flush()
                for line in process.stdout:
                    message = json.loads(line)
                    if "done" in message:
                        on_progress(message["done"])
                    reason = message.get("error", reason)
                    finished = finished or "finished" in message
            except BrokenPipeError:
                pass  # the worker died at once; its exit status tells
            status = process.wait()
        if reason or finished:
            return reason
        if status == -9:
            return "the process was killed, perhaps for lack of memory; use fewer --workers"
        return f"the process ended with status {status}"

    def kill(self) -> None:
        """Ends every worker now."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()

    @contextmanager
    def _started(self) -> Any:
        with self._lock:
            if self._closed:
                raise RuntimeError("no new worker: the command is ending")
            process = subprocess.Popen(
                [sys.executable, "-m", "repro", "work"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                # Ctrl-C goes to the parent alone, which ends its workers in order.
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


def has_gpu() -> bool:
    """Whether the NVIDIA driver answers."""
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0
    except OSError:
        return False
