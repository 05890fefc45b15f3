"""The lesion lab: lists models and passes checked questions on to the child process."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tb_plugin.lab.process import ChildProcess, LabError
from tb_plugin.lab.questions import ARGUMENTS, CANCEL, OPTIONAL, SECONDS, checked
from tb_plugin.lab.turns import Turns

MOST_MODELS = 500
MOST_CLIENTS_WAITING = 16


@dataclass(frozen=True)
class Listed:
    """A model that may be opened.

    id: the model's path below the folder, without ".keras"; the only name that a browser may send.
    """

    id: str
    path: Path
    size: int

    @property
    def name(self) -> str:
        """The model's id; for a file model.keras, which the laboratory writes, its folder's
        name."""
        folder, _, file = self.id.rpartition("/")
        return folder.rpartition("/")[2] if file == "model" and folder else self.id


class Lab:
    """Answers questions about the models of one folder.

    Args:
        folder: folder of the models; only `.keras` files that really lie in it count.
        memory_mb: memory that the child process may use.
    """

    def __init__(self, folder: Path, memory_mb: int):
        self._folder = folder
        self._turns = Turns(MOST_CLIENTS_WAITING)
        self._child = ChildProcess(memory_mb)

    def models(self) -> list[Listed]:
        """The models that are in the folder now, by name."""
        root = self._folder.resolve()
        found = []
        for path in _keras_files(root):
            real = path.resolve()
            # A link may point anywhere; a model outside the folder was not offered by the user.
            if real.is_relative_to(root) and real.is_file():
                name = path.relative_to(root).with_suffix("").as_posix()
                found.append(Listed(name, real, real.stat().st_size))
        return sorted(found, key=lambda model: model.id)

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The child's answer to a checked request, once it is this client's turn.

        Raises:
            LabError: the request is malformed, superseded, or one too many; the model cannot be
                used; the child died or took too long.
        """
        what, client, model = checked(request)
        if what == CANCEL:
            return {"cancelled": self._turns.cancel(client)}
        path = next((listed.path for listed in self.models() if listed.id == model), None)
        if path is None:
            raise LabError("not_found", "There is no such model in the folder of models.")
        arguments = {
            name: request[name] for name in (*ARGUMENTS[what], *OPTIONAL) if name in request
        }
        with self._turns.turn(client) as ending:
            question = {"do": what, "path": str(path), **arguments}
            return self._child.ask(question, SECONDS[what], ending)

    def close(self) -> None:
        """Ends the child process, if there is one."""
        self._child.stop()


def _keras_files(root: Path) -> Iterator[Path]:
    """The first MOST_MODELS `.keras` files below a folder; linked folders are not entered."""
    n_found = 0
    for folder, folders, files in os.walk(root, followlinks=False):
        folders.sort()
        for name in sorted(files):
            if name.endswith(".keras") and n_found < MOST_MODELS:
                n_found += 1
                yield Path(folder, name)
