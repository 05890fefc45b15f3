"""What a command tells a worker: the task, as one line of JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from repro.core.checked import from_dict
from repro.core.kinds import KINDS
from repro.core.settings import TrainConfig, to_dict
from repro.data.source import DataSource
from repro.experiments.plan import Job


@dataclass(frozen=True)
class Task:
    """What a worker needs to know.

    companions: jobs on the same data to do in the same process; their networks can be trained in
        one program with the job's network (`settings.can_share`).
    """

    job: Job
    runs_dir: str
    source: DataSource
    threads: int
    checkpoint_seconds: float
    companions: tuple[Job, ...] = ()

    def to_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                "jobs": [
                    [to_dict(job.train), [[s.kind, to_dict(s)] for s in job.sweeps]]
                    for job in (self.job, *self.companions)
                ],
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
        job, *companions = (
            Job(
                from_dict(TrainConfig, train),
                tuple(from_dict(KINDS[kind].settings, found) for kind, found in sweeps),
            )
            for train, sweeps in values["jobs"]
        )
        return cls(
            job,
            values["runs_dir"],
            DataSource(**values["source"]),
            values["threads"],
            values["checkpoint_seconds"],
            tuple(companions),
        )


def sentence(error: BaseException) -> str:
    """The error in one line."""
    if isinstance(error, MemoryError):
        return "out of memory; use fewer --workers"
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    known = (RuntimeError, ValueError, OSError)
    return text if isinstance(error, known) else f"{type(error).__name__}: {text}"
