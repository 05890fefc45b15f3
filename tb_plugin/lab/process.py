"""The child process that runs models: started when first needed, limited, and restarted."""

import atexit
import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from typing import IO, Any

logger = logging.getLogger(__name__)

POLL_S = 0.02
MEMORY_EVERY_S = 0.1
END_WITHIN_S = 5.0
# Seconds that a cancelled job gets to stop by itself before its process is killed.
GRACE_S = 3.0


class LabError(Exception):
    """Why the lab does not answer.

    code: error code for programs, see http_api.md. The text is a sentence for the user.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class Ending:
    """A request to end the work, set by another thread when nobody waits for the answer any
    more."""

    def __init__(self) -> None:
        self.wanted = False
        self.at_any_price = False

    def end(self, kill: bool) -> None:
        """Asks the work to stop.

        Args:
            kill: end the process if the work does not stop soon.
        """
        self.wanted, self.at_any_price = True, self.at_any_price or kill


class ChildProcess:
    """A process that answers questions, one JSON object a line. Not for several threads at once.

    Args:
        memory_mb: resident memory at which the child is ended.
        command: program to run; None for the lab's own. The program gets each question with a
            number `n`; a line {"stop": n} tells that nobody waits for the answer any more.
    """

    def __init__(self, memory_mb: int, command: list[str] | None = None):
        self._memory_mb = memory_mb
        program = [sys.executable, "-m", "repro.study.lab_child", str(memory_mb)]
        self._command = command or program
        self._n = 0
        self._process: subprocess.Popen[str] | None = None
        self._replies: queue.Queue[str | None] = queue.Queue()
        atexit.register(self.stop)

    def ask(
        self, question: dict[str, Any], seconds: float, ending: Ending | None = None
    ) -> dict[str, Any]:
        """The child's answer.

        Args:
            ending: lets another thread end the work.

        Raises:
            LabError: the child reports an error, died, took too long, grew too large, or did not
                stop. In the last four cases the child is gone, and the next question starts a new
                one.
        """
        process = self._started()
        self._n += 1
        try:
            self._send(process, {**question, "n": self._n})
        except OSError:
            self.stop()
            raise LabError("child_died", "The lab's process ended. Ask again.") from None
        reply = self._reply(process, seconds, ending or Ending())
        if "error" in reply:
            raise LabError(reply["error"]["code"], reply["error"]["message"])
        return reply["answer"]

    def stop(self) -> None:
        """Ends the child; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=END_WITHIN_S)
        for stream in (process.stdin, process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()

    def _started(self) -> "subprocess.Popen[str]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        # No GPU: other trainings may use it, and lesions of a few images are not faster on it.
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self._process, self._replies = process, queue.Queue()
        arguments = (process.stdout, self._replies)
        threading.Thread(target=_read_lines, args=arguments, daemon=True).start()
        return process

    def _send(self, process: "subprocess.Popen[str]", message: dict[str, Any]) -> None:
        (process.stdin or _missing()).write(json.dumps(message) + "\n")
        (process.stdin or _missing()).flush()

    def _reply(
        self, process: "subprocess.Popen[str]", seconds: float, ending: Ending
    ) -> dict[str, Any]:
        started = weighed = time.monotonic()
        told: float | None = None  # time at which the child was told to stop
        while True:
            with contextlib.suppress(queue.Empty):
                line = self._replies.get(timeout=POLL_S)
                if line is not None:
                    return json.loads(line)
                self.stop()
                raise LabError(
                    "child_died",
                    "The lab's process ended unexpectedly. The next request starts it"
                    " anew; if this happens again, the model may be too large for this machine.",
                )
            now = time.monotonic()
            if ending.wanted and told is None:
                told = now
                with contextlib.suppress(OSError):  # the child died: the next round reports it
                    self._send(process, {"stop": self._n})
            if told is not None and ending.at_any_price and now > told + GRACE_S:
                self.stop()
                raise LabError("cancelled", "The work was ended, and the lab's process with it.")
            if now > started + seconds:
                self.stop()
                raise LabError("timeout", f"This took longer than {seconds:.0f} s and was ended.")
            if now > weighed + MEMORY_EVERY_S:
                weighed = now
                self._check_memory(process)

    def _check_memory(self, process: "subprocess.Popen[str]") -> None:
        if resident_mb(process.pid) > self._memory_mb:
            self.stop()
            raise LabError(
                "too_large",
                f"This needed more than {self._memory_mb:,} MB and was ended; "
                "--single_directions_memory_mb allows more.",
            )


def _missing() -> IO[str]:
    raise OSError("the child's input is closed")


def _read_lines(stream: IO[str], replies: "queue.Queue[str | None]") -> None:
    """Puts each line into a queue, and None at the end."""
    with contextlib.suppress(ValueError, OSError):  # the pipe was closed
        for line in stream:
            replies.put(line)
    replies.put(None)


def resident_mb(pid: int) -> float:
    """Resident memory of a process; 0 if it has ended."""
    import psutil  # TensorBoard's start-up need not wait for it

    try:
        return psutil.Process(pid).memory_info().rss / 1e6
    except psutil.Error:
        return 0.0
