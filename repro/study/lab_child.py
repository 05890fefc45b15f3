"""The program of the lab's child process: one question a line in, one answer a line out.

    {"n": 7, "do": "accuracy", "path": "/models/a.keras", "lesions": {"hidden_1": [0, 3]}}
    {"answer": {...}}  or  {"error": {"code": "unusable_model", "message": "a sentence"}}

Every answer names the model that gave it by the SHA-256 of its file. While it works it listens:
{"stop": 7} ends the work on question 7 at the next batch of images.

It ends when its input ends, so it never outlives TensorBoard. What is asked, and what comes back,
is described in `lab_session`.
"""

import contextlib
import json
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import IO, Any

from repro.study.lab_session import Session, SessionError

# Models that stay open with their images: two that are compared, and the last one before them.
SESSIONS_KEPT = 3
# Memory that TensorFlow takes from the system without using it, above its resident memory.
RESERVED_MB = 8192


class Sessions:
    """Open models, the least recently used forgotten first."""

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._open: OrderedDict[str, Session] = OrderedDict()

    def at(self, path: str, images: str = "") -> Session:
        """The session of a model on one choice of images, opened if need be; a file that changed
        is opened anew."""
        key = f"{path} {os.stat(path).st_mtime_ns} {images}"
        if key not in self._open:
            while len(self._open) >= SESSIONS_KEPT:
                self._open.popitem(last=False)
            self._open[key] = Session(path, self._check, images)
        self._open.move_to_end(key)
        return self._open[key]


def answer(sessions: Sessions, question: dict[str, Any]) -> dict[str, Any]:
    """The reply to one question, an error included."""
    try:
        session = sessions.at(question["path"], question.get("images", ""))
        if question.get("sha256", session.sha256) != session.sha256:
            message = "Another network was saved in the place of this one. Open it again."
            raise SessionError("model_changed", message)
        about = ("n", "do", "path", "sha256", "images")
        arguments = {k: v for k, v in question.items() if k not in about}
        found = getattr(session, question["do"])(**arguments)
        return {"answer": found | {"sha256": session.sha256}}
    except SessionError as error:
        return {"error": {"code": error.code, "message": str(error)}}
    except MemoryError:
        return {"error": {"code": "too_large", "message": "There is not enough memory for this."}}
    except Exception as error:
        # A model can fail in any way; the type tells more than nothing and gives no path away.
        message = f"The model could not be used for this ({type(error).__name__})."
        return {"error": {"code": "unusable_model", "message": message}}


class Questions:
    """Questions as they come, read while another is worked on; the stops among them are noted."""

    def __init__(self, lines: IO[str]):
        self._lines = lines
        self._coming: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._at_work = self._stopped = -1
        threading.Thread(target=self._read, daemon=True).start()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while (question := self._coming.get()) is not None:
            self._at_work = question.get("n", 0)
            yield question

    def check(self) -> None:
        """Is called between two batches of images, and ends work that was cancelled.

        Raises:
            SessionError: nobody waits for the answer any more.
        """
        if self._stopped == self._at_work:
            raise SessionError("superseded", "Nobody waits for this answer any more.")

    def _read(self) -> None:
        for line in self._lines:
            message = json.loads(line)
            if "stop" in message:
                self._stopped = message["stop"]
            else:
                self._coming.put(message)
        self._coming.put(None)


def serve(questions: IO[str], answers: IO[str]) -> None:
    """Answers until the questions end."""
    coming = Questions(questions)
    sessions = Sessions(coming.check)
    for question in coming:
        answers.write(json.dumps(answer(sessions, question), allow_nan=False) + "\n")
        answers.flush()


def limit_memory(mb: int) -> None:
    """A bound that the system itself holds, for what grows between two looks of the parent: of
    memory that the process may write to, used or not. Does nothing where there is none."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = (mb + RESERVED_MB) * 1_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


def main() -> None:
    if len(sys.argv) > 1:
        limit_memory(int(sys.argv[1]))
    # TensorFlow and models print; only answers may reach the parent.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
