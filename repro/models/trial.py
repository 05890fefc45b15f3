"""Loads a foreign model in a process of its own first, bounded in memory and time.

The trial finds what `inspection` cannot see from outside: weights that do not fit their layers,
layers that fill the memory, a model that hangs or ends its process. The process looks through the
weights, builds and loads the model, lets it answer for one image, and ends.

It is no sandbox: the process runs under the same user, and whoever finds a hole in the readers of
zip, JSON or HDF5 or in Keras's own layers is through. Nor does it help against a file that is
changed between the trial and the loading.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from repro.core.places import PARENT
from repro.models.inspection import REMEDY, Refused
from tb_plugin.lab.process import ChildProcess, LabError

SECONDS = 300.0
# TensorFlow alone takes about 0.6 GB. Keras holds a model's weights about four times while it loads
# them: packed, unpacked, as arrays and as variables.
_BASE_MB, _TIMES_WEIGHTS = 4_000, 6
# The image size that is tried if the model leaves it open.
_OPEN_SIZE = 64

# The child finds the package where the parent found it.
_PROGRAM = "import sys; sys.path.insert(0, {root!r}); from repro.models import trial; trial.main()"


def attempt(
    path: str | Path, *, memory_mb: int | None = None, seconds: float = SECONDS
) -> dict[str, Any]:
    """Loads a `.keras` file in a process of its own.

    Args:
        memory_mb: resident memory at which the process is ended; None for enough for honest
            weights of the file's size.
        seconds: time after which the process is ended; importing TensorFlow takes part of it.

    Returns:
        n_parameters; answers: whether the model was tried on an image.

    Raises:
        Refused: the model cannot be loaded, cannot answer, or took more than it may.
    """
    path = Path(path).resolve()
    size_mb = path.stat().st_size / 1e6
    most = memory_mb or round(_BASE_MB + _TIMES_WEIGHTS * size_mb)
    root = str(PARENT)
    child = ChildProcess(most, [sys.executable, "-c", _PROGRAM.format(root=root)])
    try:
        return child.ask({"path": str(path)}, seconds)
    except LabError as error:
        sentences = {
            "child_died": f"{path} was refused: it ended the process that loaded it. {REMEDY}",
            "timeout": f"{path} was refused: loading it takes more than {seconds:.0f} s. {REMEDY}",
            "too_large": f"{path} was refused: loading it needs more than {most:,} MB. {REMEDY}",
        }
        raise Refused(sentences.get(error.code, str(error))) from None
    finally:
        child.stop()


def main() -> None:
    """The program of the process: one question in, one answer out."""
    # Keras and TensorFlow print; only the answer may reach the parent.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


def serve(questions: IO[str], answers: IO[str]) -> None:
    """Answers {"path": ...} with {"answer": ...} or {"error": {"code": ..., "message": ...}}."""
    for line in questions:
        path = json.loads(line)["path"]
        try:
            reply: dict[str, Any] = {"answer": tried(path)}
        except MemoryError:
            reply = _error("too_large", "")
        except Exception as error:
            reply = _error("refused", str(error))
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def tried(path: str | Path) -> dict[str, Any]:
    """Loads the model in this process and lets it answer for an image of zeros.

    Raises:
        Refused: its weights hold what they must not, or it cannot answer.
        ValueError: Keras refuses it.
    """
    import numpy as np

    from repro.models import inspection, keras_file

    inspection.check_weights_of(path)
    keras_file.check(Path(path))
    model = keras_file.loaded(Path(path))
    inputs = [
        np.zeros((1, *(size or _OPEN_SIZE for size in one.shape[1:])), one.dtype)
        for one in model.inputs
    ]
    try:
        model(inputs if len(inputs) > 1 else inputs[0], training=False)
    except Exception as error:
        # The model may not accept an image of the size that was tried.
        if any(None in one.shape[1:] for one in model.inputs):
            return {"n_parameters": model.count_params(), "answers": False}
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise Refused(f"{path} cannot be used: it fails on an image of zeros: {reason}") from error
    return {"n_parameters": model.count_params(), "answers": True}


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}
