"""The plan: which networks to train, which sweeps to make in each, what is done, and what it costs.

A job is one network; its steps are the training and then each sweep, every one named by the hash of
its settings. A step is done when its file is in the network's folder, so the same plan, looked at
again after a kill, continues where it stopped. A failed step is noted in the network's folder and
not tried again; steps that do not need it are still done.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.core.settings import FigureConfig, SweepConfig, TrainConfig
from repro.experiments.runs import TRAINING, NetworkFolder, Runs

# A step of training is a forward pass and a backward pass, which costs about twice as much.
_PASSES_PER_TRAINING_IMAGE = 3.0
# Share of a forward pass that a lesion costs in a convolutional network: layers before the lesion
# are not computed. In a dense network the engine changes one row of a product.
_PASSES_PER_LESIONED_IMAGE = 0.4


@dataclass(frozen=True)
class Job:
    """One network and the sweeps to make in it."""

    train: TrainConfig
    sweeps: tuple[SweepConfig, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the job's steps, in the order in which they are done."""
        return (TRAINING, *(sweep.sweep_id for sweep in self.sweeps))


@dataclass(frozen=True)
class Failure:
    """A failed step: the reason in one sentence, where the log is, and how the log ends."""

    job: Job
    step: str
    reason: str
    log: Path
    last_words: str = ""

    def __str__(self) -> str:
        lines = [f"{self.job.train.run_id}, {self.step}: {self.reason}", f"  log: {self.log}"]
        return "\n".join(lines + ([f"  last line: {self.last_words}"] if self.last_words else []))


def plan(figures: Sequence[FigureConfig]) -> list[Job]:
    """The networks that the figures need, each once, with all sweeps to make in it."""
    sweeps: dict[TrainConfig, list[SweepConfig]] = {}
    for figure in figures:
        if figure.not_run:
            continue
        for network in figure.networks():
            wanted = sweeps.setdefault(network, [])
            wanted += [sweep for _, sweep in figure.lesions(network) if sweep not in wanted]
    # Sweeps of one snapshot follow each other: they share compiled graphs.
    return [
        Job(network, tuple(sorted(wanted, key=lambda sweep: sweep.epoch)))
        for network, wanted in sweeps.items()
    ]


def open_steps(job: Job, folder: NetworkFolder) -> tuple[str, ...]:
    """The steps that can be done now, in order: not done, not failed, not after a failed training.

    Args:
        folder: folder of the job's network.
    """
    if not folder.done(TRAINING) and folder.failure(TRAINING) is not None:
        return ()
    return tuple(
        step for step in job.steps if not folder.done(step) and folder.failure(step) is None
    )


def unfinished(jobs: Sequence[Job], runs: Runs) -> list[Job]:
    """The jobs with open steps; failed steps are not open."""
    return [job for job in jobs if open_steps(job, runs.network(job.train))]


def failures(jobs: Sequence[Job], runs: Runs) -> list[Failure]:
    """The steps that failed and have not succeeded since, in the order of the plan."""
    found = []
    for job in jobs:
        folder = runs.network(job.train)
        for step in job.steps:
            if (reason := folder.failure(step)) is not None:
                found.append(Failure(job, step, reason, folder.log, folder.last_words()))
    return found


def forget_failures(jobs: Sequence[Job], runs: Runs) -> None:
    """Lets every failed step of the jobs be tried again."""
    for job in jobs:
        for step in job.steps:
            runs.network(job.train).forget_failure(step)


def amounts(job: Job) -> dict[str, float]:
    """The work in each step of a job, roughly, in millions of multiply-adds."""
    train = job.train
    n_train, n_test = train.data_set.n_images(embedded=train.origin == "embedded")
    n_train = train.n_train or n_train
    # For networks without hidden_units a guess: the number of feature maps of the convnet.
    n_units = (sum(train.hidden_units) or round(2880 * train.width)) + train.head_units
    of_training, of_lesion = costs(train)
    work = {TRAINING: train.epochs * n_train * of_training}
    for sweep in job.sweeps:
        n_images = sweep.n_images or (n_train if sweep.images == "train" else n_test)
        work[sweep.sweep_id] = sweep.n_lesions(n_units) * n_images * of_lesion
    return work


def costs(train: TrainConfig) -> tuple[float, float]:
    """The work of an image in an epoch, and of an image under one lesion."""
    if train.hidden_units:
        data = train.data_set
        widths = (math.prod(data.shape), *train.hidden_units, data.n_classes)
        one_pass = sum(a * b for a, b in itertools.pairwise(widths)) / 1e6
        return _PASSES_PER_TRAINING_IMAGE * one_pass, one_pass / sum(train.hidden_units)
    one_pass = train.architecture.pass_cost * train.width**2
    return _PASSES_PER_TRAINING_IMAGE * one_pass, _PASSES_PER_LESIONED_IMAGE * one_pass
