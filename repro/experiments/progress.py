"""The progress of a plan: the state of every step, and how long the rest will take.

A step is done, running (it is the next step of a network whose folder a living process holds),
failed, or left. The time left is estimated from the seconds that similar steps took, which workers
note in the networks' folders. Trainings of the same architecture, data and optimizer are similar;
so are sweeps of one kind on the same architecture and data. If no similar step was measured, wider
classes are used, down to any step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from repro.core.settings import TrainConfig, to_dict
from repro.experiments.plan import Job, amounts, open_steps
from repro.experiments.runs import TRAINING, Runs

_SECONDS = {"s": 1, "min": 60, "h": 3600}

DONE, RUNNING, FAILED, LEFT = "done", "running", "failed", "left"

# Settings that do not change what a training costs for each image of each epoch.
_FREE_OF_COST = (
    "seed",
    "label_corruption",
    "learning_rate",
    "momentum",
    "epochs",
    "n_train",
    "stop_at_train_accuracy",
    "schedule",
    "warmup_epochs",
    "decay_epochs",
    "decay_factor",
    "weight_decay",
    "snapshots",
    "origin",
)
_OF_THE_NETWORK = ("dataset", "network", "hidden_units", "width", "batch_norm")


@dataclass(frozen=True)
class Step:
    """One step of a plan.

    name: "training" or the sweep's id.
    state: DONE, RUNNING, FAILED or LEFT.
    detail: who works on the step and how far, or why it failed.
    """

    job: Job
    name: str
    state: str
    detail: str = ""


def survey(jobs: Sequence[Job], runs: Runs) -> list[Step]:
    """The state of every step of a plan, in its order."""
    return [step for job in jobs for step in _steps(job, runs)]


def _steps(job: Job, runs: Runs) -> Iterator[Step]:
    folder = runs.network(job.train)
    still_open = open_steps(job, folder)
    running = still_open[0] if still_open and folder.holder else None
    for name in job.steps:
        if folder.done(name):
            yield Step(job, name, DONE)
        elif (reason := folder.failure(name)) is not None:
            yield Step(job, name, FAILED, reason)
        elif name == running:
            where = str(folder.holder or "a process that just ended")
            epoch = folder.checkpoints().newest_epoch if name == TRAINING else 0
            far = f", after epoch {epoch} of {job.train.epochs}" if epoch else ""
            yield Step(job, name, RUNNING, where + far)
        else:
            yield Step(job, name, LEFT)


class Pace:
    """Seconds for a unit of work, measured on the steps that are done in a runs folder."""

    def __init__(self, runs: Runs) -> None:
        # Seconds and work of all steps of a class, added up: a tiny step, whose time is mostly
        # start-up, must not count as much as a large step.
        totals: dict[tuple[str, ...], tuple[float, float]] = {}
        self.n_measured = 0
        for folder in runs.networks():
            for step, noted in folder.seconds.items():
                if noted["amount"] > 0:
                    self.n_measured += 1
                    for likeness in _likenesses(folder.config, step):
                        seconds, amount = totals.get(likeness, (0.0, 0.0))
                        totals[likeness] = seconds + noted["seconds"], amount + noted["amount"]
        self._rates = {key: seconds / amount for key, (seconds, amount) in totals.items()}

    def seconds(self, job: Job, step: str) -> float | None:
        """How long a step will take, from the most similar steps; None if none was measured."""
        for likeness in _likenesses(job.train, step):
            if likeness in self._rates:
                return self._rates[likeness] * amounts(job)[step]
        return None


def time_left(jobs: Sequence[Job], runs: Runs, workers: int, pace: Pace) -> float | None:
    """Seconds until all open steps of the jobs are done, on so many workers.

    The estimate assumes that work is spread evenly over workers. As no two processes work on one
    network, the longest network is a lower bound.

    Returns:
        None where a step is left and no step was ever measured.
    """
    of_jobs = []
    for job in jobs:
        folder = runs.network(job.train)
        estimates = {step: pace.seconds(job, step) for step in open_steps(job, folder)}
        known = [seconds for seconds in estimates.values() if seconds is not None]
        if len(known) < len(estimates):
            return None
        work_in = amounts(job)
        ahead = sum(work_in[step] for step in estimates)
        holder = folder.holder
        if holder and ahead:
            # Work of the running step so far, as the process notes it in the lease.
            begun = max(0.0, holder.done - (sum(work_in.values()) - ahead))
            of_jobs.append(sum(known) * max(0.0, 1 - begun / ahead))
        else:
            of_jobs.append(sum(known))
    return max(sum(of_jobs) / max(1, workers), max(of_jobs, default=0.0))


def in_words(seconds: float) -> str:
    """A duration as one would say it.

    >>> in_words(20), in_words(600), in_words(9000), in_words(200_000)
    ('less than a minute', '10 min', '2 h 30 min', '2 days 7 h')
    """
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days {hours % 24} h"


def seconds_of(text: str) -> float:
    """A duration in words as seconds.

    Raises:
        ValueError: the text is not a duration, or the duration is not above 0.

    >>> seconds_of("10min"), seconds_of("1.5 h"), seconds_of("90")
    (600.0, 5400.0, 90.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|)\s*", text)
    seconds = float(found[1]) * _SECONDS[found[2] or "s"] if found else 0.0
    if seconds <= 0:
        raise ValueError(f"expected a time such as 90s, 10min or 2h, got {text!r}")
    return seconds


def _likenesses(train: TrainConfig, step: str) -> Iterator[tuple[str, ...]]:
    """Classes of similar steps, the narrowest first."""
    kind = step.rpartition("-")[0] or step
    settings = to_dict(train)
    if step == TRAINING:
        yield kind, _key({k: v for k, v in settings.items() if k not in _FREE_OF_COST})
    yield kind, _key({k: settings[k] for k in _OF_THE_NETWORK})
    yield kind, train.network
    yield (kind,)
    yield ()


def _key(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
