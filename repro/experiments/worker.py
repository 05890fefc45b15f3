"""The life of a worker process: it does the open steps of a job, the training and then each sweep.

It does only what is missing (`repro.experiments.plan`). On request, as on a GPU, several jobs train
in one program (`repro.training.ensembles`); each network's folder has the same content as after a
training alone.

A worker (`repro.experiments.processes` starts them) reads tasks from its standard input, one JSON
line each (`Task`), and does one after the other: importing TensorFlow takes longer than many a
small network. It holds the network's folder while it works, and writes its log there. Its standard
output has JSON lines: {"note": sentence} for the user, and at the end of a task {"finished": true},
{"elsewhere": sentence} where another process works on the network, or {"error": sentence} where it
could not even say in the folder what failed. The last message also has "leaves": true if the worker
ends with this task, since it has used much memory, of which a library might keep some. The worker
ends at once when its standard input closes, so no worker outlives its parent.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import json
import math
import os
import queue
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from repro.core.results import TrainingRecord
from repro.core.settings import SweepConfig
from repro.data.images import Splits
from repro.experiments.leases import Held, Lease
from repro.experiments.plan import Job, amounts, costs, open_steps
from repro.experiments.runs import TRAINING, NetworkFolder, Runs, circumstances
from repro.experiments.task import Task, sentence

if TYPE_CHECKING:
    import keras

    from repro.engine.sweeps import Engines
    from repro.training.ensembles import Member
    from repro.training.trainee import Trained

# A worker that has held more memory than this at a time does no further task.
_MEMORY_TO_STAY = 2 << 30


def work(task: Task, note: Callable[[str], None] = print) -> None:
    """Does the open steps of a task's jobs in this process; failures are noted in the folders.

    Args:
        note: called with sentences for the user.

    Raises:
        Held: another process works on the job's network. Companions held by others are skipped.
        RunsError: a folder cannot be written to.
    """
    with ExitStack() as stack:
        held = []
        for job in (task.job, *task.companions):
            folder = Runs(Path(task.runs_dir)).network(job.train)
            try:
                lease = stack.enter_context(folder.prepare(on_lost=_give_up))
            except Held:
                if job == task.job:
                    raise
                continue
            held.append(_HeldJob(job, task, folder, lease, note))
            if job != task.job:
                with folder.log.open("a") as log:
                    _log(f"worked on with {task.job.train.run_id}, whose log tells of both", log)
        untrained = [one.training for one in held if one.trains]
        if len(untrained) > 1:
            _train_together(untrained, task)
        for one in held:
            one.do()


def _train_together(steps: Sequence[_TrainStep], task: Task) -> None:
    """Trains the networks of several jobs in one program.

    If the program itself fails, for lack of memory for example, the networks are trained one after
    another later.
    """
    from repro.training import ensembles
    from repro.training import train as training

    training.configure(task.threads)
    try:
        members = [one.member() for one in steps]
        began = time.monotonic()
        found = ensembles.train(members, task.checkpoint_seconds)
    except Exception as error:
        traceback.print_exception(error)
        _log(f"not trained together ({sentence(error)}), but one by one")
        return
    _log(f"{len(steps)} networks trained together in {time.monotonic() - began:.1f} s")
    for one, trained in zip(steps, found, strict=True):
        one.finish(trained, len(steps))


class _HeldJob:
    """A job in the process that holds its network's folder."""

    def __init__(
        self, job: Job, task: Task, folder: NetworkFolder, lease: Lease, note: Callable[[str], None]
    ) -> None:
        self.job, self.task, self.folder, self.lease = job, task, folder, lease
        self.note = note
        self.training = _TrainStep(self)
        self._amounts = amounts(job)
        # Each line of a log that several networks share names its network.
        self.prefix = f"{job.train.run_id}: " if task.companions else ""

    @property
    def trains(self) -> bool:
        """Whether the network still has to be trained."""
        return TRAINING in open_steps(self.job, self.folder)

    @functools.cached_property
    def splits(self) -> Splits:
        """The images to train and to test on."""
        from repro.data import load
        from repro.experiments import own

        if self.job.train.architecture.given:
            return own.splits(self.job.train, self.task.source, self.training.own_model)
        found = load.load(self.task.source, self.job.train)
        self.folder.check_images(found.order, self.task.source)
        return found

    def do(self) -> None:
        """Does the open steps, one after the other."""
        from repro.training import train as training

        remaining = open_steps(self.job, self.folder)
        self.lease.done = sum(
            self._amounts[step] for step in self.job.steps if step not in remaining
        )
        if not remaining:
            return
        training.configure(self.task.threads)
        try:
            self.splits  # noqa: B018  read here, so that a failure is every step's
        except Exception as error:
            for step in remaining:
                self._fail(step, error)
            return
        if not self.folder.trained:
            self.attempt(TRAINING, self.training.run)
        if not self.folder.trained:
            return
        snapshots = _Snapshots(self)
        for sweep in self.job.sweeps:
            if sweep.sweep_id in remaining:
                self.attempt(sweep.sweep_id, _SweepStep(self, sweep, snapshots).run)

    def attempt(self, step: str, action: Callable[[], float | None]) -> None:
        """Does a step and notes in the folder how many seconds it took, or why it failed.

        Args:
            action: does the step; returns its seconds if earlier processes did part of the work.
        """
        _log(f"{self.prefix}{step} begins")
        began, done = time.monotonic(), self.lease.done
        try:
            seconds = action()
        except Exception as error:
            self._fail(step, error)
        else:
            seconds = seconds or time.monotonic() - began
            self.folder.note_seconds(step, seconds, self._amounts[step])
            _log(f"{self.prefix}{step} done")
        self.lease.done = done + self._amounts[step]

    def _fail(self, step: str, error: Exception) -> None:
        traceback.print_exception(error)
        self.folder.note_failure(step, sentence(error))


class _TrainStep:
    """The training of a job's network, or the taking over of a network of the user's."""

    def __init__(self, held: _HeldJob) -> None:
        self._held = held

    @functools.cached_property
    def own_model(self) -> keras.Model:
        """The user's network, with masks."""
        from repro.experiments import own
        from repro.models import loading

        if self._held.folder.trained:
            return loading.load_model(self._held.folder.model)
        return own.masked_model(self._held.job.train)

    def run(self) -> float | None:
        """Does the step; returns the seconds of the training."""
        if self._held.job.train.architecture.given:
            self._adopt()
            return None
        return self._train()

    def member(self) -> Member:
        """The arguments of `ensembles.train` for this network."""
        from repro.training.ensembles import Member

        held = self._held
        checkpoints = held.folder.checkpoints(held.note)
        _log(f"{held.prefix}the newest checkpoint is that of epoch {checkpoints.newest_epoch}")
        return Member(held.job.train, held.splits, checkpoints, self._on_epoch())

    def finish(self, trained: Trained | Exception, n_together: int) -> None:
        """Saves a network that was trained with others, or notes why the training failed."""

        def action() -> float:
            if isinstance(trained, Exception):
                raise trained
            # Each network gets an equal share of the program's seconds.
            return self._keep(dataclasses.replace(trained, seconds=trained.seconds / n_together))

        self._held.lease.done = 0.0  # `attempt` counts the whole training
        self._held.attempt(TRAINING, action)

    def _on_epoch(self) -> Callable[[int, Any], None]:
        """Writes the progress of the training into the lease."""
        held, epochs_done = self._held, 0
        of_epoch = len(held.splits.train) * costs(held.job.train)[0]

        def on_epoch(epoch: int, _: Any) -> None:
            nonlocal epochs_done
            held.lease.done += (epoch - epochs_done) * of_epoch
            epochs_done = epoch

        return on_epoch

    def _train(self) -> float:
        """Trains the network, from its last checkpoint if there is one; returns the seconds."""
        from repro.training import train as training

        member = self.member()
        return self._keep(
            training.train(
                member.config,
                member.splits,
                member.checkpoints,
                member.on_epoch,
                self._held.task.checkpoint_seconds,
            )
        )

    def _adopt(self) -> None:
        """Takes the user's own network in place of a trained one."""
        from repro.experiments import own

        self._write(self.own_model, (), {"seconds": 0.0} | own.facts(self._held.splits))

    def _keep(self, trained: Trained) -> float:
        """Writes a trained network and its record into the folder; returns the seconds it took."""
        data = self._held.task.source.describe()
        facts = {"seconds": round(trained.seconds, 1), "data": data}
        facts["pixels"] = self._held.job.train.pixel_range
        self._write(trained.model, trained.history, facts)
        return trained.seconds

    def _write(
        self, model: keras.Model, history: Sequence[dict[str, float]], facts: dict[str, Any]
    ) -> None:
        """Writes a network and its record, with what it answers, into the folder."""
        from repro.engine.passes import full_float32
        from repro.engine.sweeps import Engines
        from repro.training import train as training

        splits = self._held.splits
        with full_float32():
            engines = Engines(model, threads=self._held.task.threads)
            train_accuracy, train_loss = _answers(engines, splits.train)
            test_accuracy, test_loss = _answers(engines, splits.test)
        record = TrainingRecord(
            history=tuple(history),
            n_train=len(splits.train),
            n_test=len(splits.test),
            train_accuracy=train_accuracy,
            train_loss=train_loss,
            test_accuracy=test_accuracy,
            test_loss=test_loss,
            facts=circumstances(training.device()) | facts,
        )
        self._held.folder.save_training(model.save, record)
        if speed := record.images_per_second:
            device = record.facts["device"]
            _log(f"{self._held.prefix}{speed:,.0f} training images a second on {device}")


class _Snapshots:
    """A trained network, and the same network after earlier epochs.

    It is read from its file, so that a sweep sees the same network whether or not it was trained in
    this process.
    """

    def __init__(self, held: _HeldJob) -> None:
        from repro.models import loading

        self._held = held
        self._model = loading.load_model(held.folder.model)
        self._trained = self._model.get_weights()
        self._engines: tuple[int, Engines] | None = None

    def engines_at(self, epoch: int) -> Engines:
        """The engines of one snapshot, or of the trained network for -1. The engines of the last
        request are kept."""
        from repro.engine.sweeps import Engines

        held = self._held
        of_lesion = costs(held.job.train)[1]

        def on_progress(pairs: int) -> None:
            held.lease.done += pairs * of_lesion

        if self._engines is None or self._engines[0] != epoch:
            weights = held.folder.load_snapshot(epoch) if epoch >= 0 else self._trained
            self._model.set_weights(weights)
            self._engines = epoch, Engines(self._model, on_progress, held.task.threads)
        return self._engines[1]


class _SweepStep:
    """One sweep, in the trained network or in one of its snapshots."""

    def __init__(self, held: _HeldJob, settings: SweepConfig, snapshots: _Snapshots) -> None:
        self._held, self._settings, self._snapshots = held, settings, snapshots

    def run(self) -> None:
        """Does the step."""
        from repro.engine import sweeps
        from repro.engine.passes import full_float32

        settings, splits = self._settings, self._held.splits
        of_split = {"train": splits.train, "test": splits.test}
        data, ranked_on = of_split[settings.images], None
        if settings.other_images:
            ranking = of_split[settings.other_images]
            ranked_on = ranking.images, ranking.labels
        truth = splits.true_labels if settings.images == "train" else None
        with full_float32():
            engines = self._snapshots.engines_at(settings.epoch)
            result = sweeps.run(settings, engines, data.images, data.labels, ranked_on, truth)
        self._held.folder.save_sweep(settings, result)


def _answers(engines: Engines, images: Any) -> tuple[float, float]:
    """Accuracy and mean loss in nats; NaN where there are no images."""
    if not len(images):
        return math.nan, math.nan
    found = engines.on(images.images, images.labels, check=False).intact()
    return float(found.accuracy), float(found.loss)


def main() -> int:
    """The life of a worker process: tasks from standard input, messages to standard output."""
    # Standard output carries messages to the parent; whatever libraries print goes to the log.
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)

    def tell(**message: Any) -> None:
        print(json.dumps(message), file=messages)

    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_to_the_end, args=(sys.stdin, lines), daemon=True).start()
    while True:
        ending = _ending(Task.from_json(lines.get()), tell)
        leaves = _most_memory() > _MEMORY_TO_STAY
        tell(**ending, leaves=leaves)
        if leaves:
            return 0
        _forget()


def _ending(task: Task, tell: Callable[..., None]) -> dict[str, Any]:
    """Does a task; returns the message that tells how it ended."""

    def note(words: str) -> None:
        _log(words)
        tell(note=words)

    try:
        log = Runs(Path(task.runs_dir)).network(task.job.train).log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
            os.dup2(file.fileno(), sys.stderr.fileno())
        work(task, note)
    except Held as held:
        return {"elsewhere": str(held)}
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        return {"error": sentence(error)}
    return {"finished": True}


def _forget() -> None:
    """Lets go of what Keras keeps of the last network, so that the next one begins as in a new
    process: with its memory, and with the names that Keras counts up."""
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()


def _most_memory() -> int:
    """The most bytes of memory that this process has held at a time."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _log(words: str, file: IO[str] | None = None) -> None:
    """A line of the network's log, with the time and the process.

    Args:
        file: the log; None for standard output, which in a worker leads to the log.
    """
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    print(f"{when} {os.uname().nodename} {os.getpid()}: {words}", file=file, flush=True)


def _give_up() -> None:
    """Ends the process at once: another machine took this process for dead and works on its
    network."""
    os._exit(4)


def _read_to_the_end(stdin: IO[str], lines: queue.Queue[str]) -> None:
    """Hands lines on; ends the process at once when the parent is gone. Files on disk are always
    whole."""
    for line in stdin:
        lines.put(line)
    os._exit(3)
