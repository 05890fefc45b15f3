"""How far a plan is: the state of every step, and how long the rest will take.

A step is done, running (a living process holds its network's folder and it is the next one there),
failed, or left. The time left comes from the seconds that like steps took, which workers note in
the networks' folders: a training is like another of the same architecture, data and optimizer, a
sweep is like another of its kind on the same architecture and data. Where nothing alike was
measured yet, the next wider class has to do, down to any step at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from repro.core import config as configs
from repro.core.config import TrainConfig
from repro.experiments.jobs import Job, amounts, open_steps
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
    detail: who works on it and how far, or why it failed.
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
    """Seconds for a unit of work, as measured on the steps that were done in a runs folder."""

    def __init__(self, runs: Runs) -> None:
        # Of each class: the seconds and the work of all its steps together, so that a tiny one,
        # which mostly starts up, does not count as much as a large one.
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
        """How long a step will take, from the most alike steps; None where none was measured."""
        for likeness in _likenesses(job.train, step):
            if likeness in self._rates:
                return self._rates[likeness] * amounts(job)[step]
        return None


def time_left(jobs: Sequence[Job], runs: Runs, workers: int, pace: Pace) -> float | None:
    """Seconds until nothing is left to do of the jobs, on so many workers.

    Work is taken to spread evenly, but no network is worked on by two processes: so the longest of
    them is a lower bound.

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
            # What its process has done of the open steps since it noted the last one as done.
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
        ValueError: it is none, or not above 0.

    >>> seconds_of("10min"), seconds_of("1.5 h"), seconds_of("90")
    (600.0, 5400.0, 90.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|)\s*", text)
    seconds = float(found[1]) * _SECONDS[found[2] or "s"] if found else 0.0
    if seconds <= 0:
        raise ValueError(f"expected a time such as 90s, 10min or 2h, got {text!r}")
    return seconds


def _likenesses(train: TrainConfig, step: str) -> Iterator[tuple[str, ...]]:
    """What a step has in common with others, the closest first."""
    kind = step.rpartition("-")[0] or step
    settings = configs.to_dict(train)
    if step == TRAINING:
        yield kind, _key({k: v for k, v in settings.items() if k not in _FREE_OF_COST})
    yield kind, _key({k: settings[k] for k in _OF_THE_NETWORK})
    yield kind, train.network
    yield (kind,)
    yield ()


def _key(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
