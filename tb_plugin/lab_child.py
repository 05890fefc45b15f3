"""The program of the lab's child process: one question a line in, one answer a line out.

    {"do": "accuracy", "path": "/models/a.keras", "lesions": {"hidden_1": [0, 3]}}
    {"answer": {...}}  or  {"error": {"code": "unusable_model", "message": "a sentence"}}

Every answer names the model that gave it by the SHA-256 of its file.

It ends when its input ends, so it never outlives TensorBoard. What is asked, and what comes back,
is described in `lab_session`.
"""

import json
import os
import sys
from collections import OrderedDict
from typing import IO, Any

from tb_plugin.lab_session import Session, SessionError

# A model with its images; switching back to the last one is at once.
SESSIONS_KEPT = 2


class Sessions:
    """Open models, the least recently used forgotten first."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Session] = OrderedDict()

    def at(self, path: str) -> Session:
        """The session of a model, opened if need be; a file that changed is opened anew."""
        key = f"{path} {os.stat(path).st_mtime_ns}"
        if key not in self._open:
            while len(self._open) >= SESSIONS_KEPT:
                self._open.popitem(last=False)
            self._open[key] = Session(path)
        self._open.move_to_end(key)
        return self._open[key]


def answer(sessions: Sessions, question: dict[str, Any]) -> dict[str, Any]:
    """The reply to one question, an error included."""
    try:
        session = sessions.at(question["path"])
        if question.get("sha256", session.sha256) != session.sha256:
            message = "Another network was saved in the place of this one. Open it again."
            raise SessionError("model_changed", message)
        arguments = {k: v for k, v in question.items() if k not in ("do", "path", "sha256")}
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


def serve(questions: IO[str], answers: IO[str]) -> None:
    """Answers until the questions end."""
    sessions = Sessions()
    for line in questions:
        answers.write(json.dumps(answer(sessions, json.loads(line)), allow_nan=False) + "\n")
        answers.flush()


def main() -> None:
    # TensorFlow and models print; only answers may reach the parent.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
