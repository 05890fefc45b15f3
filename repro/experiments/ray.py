"""Workers on a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import uuid
from concurrent.futures import Future

from repro.experiments.executor import Ending, ExecutorError
from repro.experiments.processes import Processes, for_tensorflow, same_code
from repro.experiments.runs import Runs
from repro.experiments.task import Task, sentence

_CONNECTION_SECONDS = 5.0
# Environment variables of the command that a worker on another machine needs.
_ENVIRONMENT = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "XLA_FLAGS")


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
                runtime_env={"env_vars": same_code()},
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            why = str(error).strip().splitlines()[0]
            raise ExecutorError(f"no Ray cluster at {address or 'hand'}: {why}") from error
        signal.signal(signal.SIGTERM, on_kill)  # Ray replaces the signal handler
        self._ray = ray
        told = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        self._settings = for_tensorflow() | told
        if 0 < gpus < 1:
            # Otherwise the first job on a GPU takes all of its memory.
            self._settings |= {
                "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            }
        self._proof = runs.root / f".cluster-{uuid.uuid4().hex}"
        self._proof.touch()
        # Ray does not retry: `Schedule` does, and reports it. One process for each job.
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
    processes = Processes(settings)
    try:
        return processes.run(task)
    finally:
        processes.kill()
