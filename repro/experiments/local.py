"""Workers on this machine."""

from __future__ import annotations

import os
import subprocess
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor

from repro.experiments.executor import Ending
from repro.experiments.processes import Processes, for_tensorflow
from repro.experiments.task import Task


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
        self._pool = ThreadPoolExecutor(self.slots)
        self._compiled = tempfile.TemporaryDirectory(prefix="compiled-", ignore_cleanup_errors=True)
        flags = (
            os.environ.get("TF_XLA_FLAGS", ""),
            f"--tf_xla_persistent_cache_directory={self._compiled.name}",
            "--tf_xla_persistent_cache_device_types=CPU",
        )
        settings = for_tensorflow() | {"TF_XLA_FLAGS": " ".join(filter(None, flags))}
        self._processes = Processes(settings)

    def submit(self, task: Task) -> Future[Ending]:
        """Hands the task to a worker."""
        return self._pool.submit(self._processes.run, task.to_json())

    def close(self) -> None:
        """Ends every worker now."""
        self._processes.kill()
        self._pool.shutdown(cancel_futures=True)
        self._compiled.cleanup()


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
