"""What starts workers (`Executor`), and how a worker ended.

`local` starts them on this machine, `ray` on a cluster.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from repro.experiments.task import Task


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
