"""The lesion lab: which models there are, what may be asked, and whose turn it is.

Nothing here loads a model. The work is done in a child process (`lab_process`, `lab_child`), so
that a model which fails, hangs or eats memory takes itself away and not TensorBoard.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tb_plugin.lab_process import ChildProcess, LabError

MOST_MODELS = 500
MOST_CLIENTS_WAITING = 16
LARGEST_BODY = 64 * 1024
LONGEST_CLIENT = 40

# What may be asked, with the seconds that it may take. The first `open` imports TensorFlow and
# reads the images.
SECONDS = {"open": 240.0, "outputs": 30.0, "accuracy": 60.0, "rank": 180.0, "unit": 60.0}
ARGUMENTS: dict[str, dict[str, type]] = {
    "open": {},
    "outputs": {"lesions": dict, "image": int},
    "accuracy": {"lesions": dict},
    "rank": {"by": str},
    "unit": {"layer": str, "unit": int},
}
# Of the file that the asker has open, if he wants to be told when another takes its place.
SHA256 = "sha256"
RANKINGS = ("class_selectivity", "importance")


@dataclass(frozen=True)
class Listed:
    """A model that may be opened.

    id: its path below the folder, without ".keras"; the only name that a browser may give.
    """

    id: str
    path: Path
    size: int

    @property
    def name(self) -> str:
        """Networks of the laboratory are called model.keras in a folder of their own."""
        folder, _, file = self.id.rpartition("/")
        return folder.rpartition("/")[2] if file == "model" and folder else self.id


class Lab:
    """Answers questions about the models of one folder.

    Args:
        folder: where the models are; only `.keras` files that really lie in it count.
        memory_mb: that the child process may use.
    """

    def __init__(self, folder: Path, memory_mb: int):
        self._folder = folder
        self._turns = Turns(MOST_CLIENTS_WAITING)
        self._child = ChildProcess(memory_mb)

    def models(self) -> list[Listed]:
        """What the folder holds now, by name."""
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
            LabError: a request that makes no sense, is superseded or comes when too many wait; a
                model that cannot be used; a child that died or took too long.
        """
        what, client, model = _checked(request)
        path = next((listed.path for listed in self.models() if listed.id == model), None)
        if path is None:
            raise LabError("not_found", "There is no such model in the folder of models.")
        arguments = {name: request[name] for name in (*ARGUMENTS[what], SHA256) if name in request}
        with self._turns.turn(client):
            return self._child.ask({"do": what, "path": str(path), **arguments}, SECONDS[what])

    def close(self) -> None:
        """Ends the child process, if there is one."""
        self._child.stop()


class Turns:
    """One request at a time; of each client only the newest waits.

    Args:
        most_clients: that may wait; further ones are sent away.
    """

    def __init__(self, most_clients: int):
        self._most = most_clients
        self._changed = threading.Condition()
        self._waiting: dict[str, object] = {}  # in the order of arrival
        self._busy = False

    @contextlib.contextmanager
    def turn(self, client: str) -> Iterator[None]:
        """Waits for the client's turn and holds it.

        Raises:
            LabError: "superseded" by a newer request of the client, or "busy".
        """
        ticket = object()
        with self._changed:
            if client not in self._waiting and len(self._waiting) >= self._most:
                raise LabError("busy", "Too many people ask at once. Try again in a few seconds.")
            self._waiting[client] = ticket  # a newer request takes the place of the older
            self._changed.notify_all()
            while self._busy or next(iter(self._waiting)) != client:
                self._wait_or_leave(client, ticket)
            if self._waiting[client] is not ticket:
                raise _superseded()
            del self._waiting[client]
            self._busy = True
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _wait_or_leave(self, client: str, ticket: object) -> None:
        if self._waiting.get(client) is not ticket:
            raise _superseded()
        self._changed.wait()
        if self._waiting.get(client) is not ticket:
            raise _superseded()


def _superseded() -> LabError:
    return LabError("superseded", "A newer request has taken the place of this one.")


def _keras_files(root: Path) -> Iterator[Path]:
    """The first MOST_MODELS `.keras` files below a folder; linked folders are not entered."""
    n_found = 0
    for folder, folders, files in os.walk(root, followlinks=False):
        folders.sort()
        for name in sorted(files):
            if name.endswith(".keras") and n_found < MOST_MODELS:
                n_found += 1
                yield Path(folder, name)


def _checked(request: Mapping[str, Any]) -> tuple[str, str, str]:
    """What is asked, by whom, of which model; everything of the right type and nothing else."""
    what, client, model = (request.get(name) for name in ("do", "client", "model"))
    if not isinstance(what, str) or what not in ARGUMENTS:
        raise _invalid(f"do must be one of {', '.join(ARGUMENTS)}")
    if not isinstance(client, str) or not 1 <= len(client) <= LONGEST_CLIENT:
        raise _invalid(f"client must be a text of 1 to {LONGEST_CLIENT} letters")
    if not isinstance(model, str):
        raise _invalid("model must be the id of a model")
    wanted = {"do": str, "client": str, "model": str, **ARGUMENTS[what]}
    if set(request) - {SHA256} != set(wanted):
        raise _invalid(f"exactly these are needed: {', '.join(sorted(wanted))}")
    if SHA256 in request:
        wanted |= {SHA256: str}
    for name, kind in wanted.items():
        if type(request[name]) is not kind:
            raise _invalid(f"{name} must be of type {kind.__name__}")
    if "lesions" in wanted:
        _check_lesions(request["lesions"])
    if what == "rank" and request["by"] not in RANKINGS:
        raise _invalid(f"by must be one of {', '.join(RANKINGS)}")
    return what, client, model


def _check_lesions(lesions: Mapping[str, Any]) -> None:
    """{layer: [unit, ...]}; whether the units exist is for the child to say."""
    for units in lesions.values():
        if not isinstance(units, list) or not all(type(unit) is int for unit in units):
            raise _invalid("lesions must name whole numbers of units for each layer")
        if len(set(units)) < len(units) or any(unit < 0 for unit in units):
            raise _invalid("lesions must name each unit once, counted from 0")


def _invalid(message: str) -> LabError:
    return LabError("invalid_argument", message)
