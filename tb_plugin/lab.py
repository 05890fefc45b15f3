"""The lesion lab: lists models, checks requests, and gives each client its turn.

Nothing here loads a model. A child process does the work (`lab_process` starts the program
`repro.study.lab_child`), so that a model which fails, hangs or fills the memory ends the child and
not TensorBoard.
"""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tb_plugin.lab_process import ChildProcess, Ending, LabError

MOST_MODELS = 500
MOST_CLIENTS_WAITING = 16
LARGEST_BODY = 64 * 1024
LONGEST_CLIENT = 40

# The questions, with the most seconds that each may take. The first `open` imports TensorFlow and
# reads the images.
SECONDS = {"open": 240.0, "outputs": 30.0, "accuracy": 60.0, "rank": 180.0, "unit": 60.0}
ARGUMENTS: dict[str, dict[str, type]] = {
    "open": {},
    "outputs": {"lesions": dict, "image": int},
    "accuracy": {"lesions": dict},
    "rank": {"by": str},
    "unit": {"layer": str, "unit": int},
    "cancel": {},
}
# The request that ends the client's earlier requests, running or waiting. It never waits.
CANCEL = "cancel"
# Optional argument: hash of the file that the client has open. If the file was replaced, the
# request is refused.
SHA256 = "sha256"
RANKINGS = ("class_selectivity", "importance")


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
        what, client, model = _checked(request)
        if what == CANCEL:
            return {"cancelled": self._turns.cancel(client)}
        path = next((listed.path for listed in self.models() if listed.id == model), None)
        if path is None:
            raise LabError("not_found", "There is no such model in the folder of models.")
        arguments = {name: request[name] for name in (*ARGUMENTS[what], SHA256) if name in request}
        with self._turns.turn(client) as ending:
            question = {"do": what, "path": str(path), **arguments}
            return self._child.ask(question, SECONDS[what], ending)

    def close(self) -> None:
        """Ends the child process, if there is one."""
        self._child.stop()


class Turns:
    """Runs one request at a time, and only the newest request of each client.

    A newer request replaces the client's waiting request and ends its running one.

    Args:
        most_clients: most clients that may wait; further clients are refused.
    """

    def __init__(self, most_clients: int):
        self._most = most_clients
        self._changed = threading.Condition()
        self._waiting: dict[str, object] = {}  # in the order of arrival
        self._at_work: tuple[str, Ending] | None = None

    @contextlib.contextmanager
    def turn(self, client: str) -> Iterator[Ending]:
        """Waits for the client's turn and holds it.

        Yields:
            An `Ending`, which tells the work that nobody waits for it any more.

        Raises:
            LabError: "superseded" by a newer request of the client, "cancelled", or "busy".
        """
        ticket, ending = object(), Ending()
        with self._changed:
            if client not in self._waiting and len(self._waiting) >= self._most:
                raise LabError("busy", "Too many people ask at once. Try again in a few seconds.")
            self._end_work_of(client, kill=False)
            self._waiting[client] = ticket  # a newer request takes the place of the older
            self._changed.notify_all()
            while self._at_work or next(iter(self._waiting)) != client:
                self._check(client, ticket)
                self._changed.wait()
                self._check(client, ticket)
            self._check(client, ticket)
            del self._waiting[client]
            self._at_work = (client, ending)
        try:
            yield ending
        finally:
            with self._changed:
                self._at_work = None
                self._changed.notify_all()

    def cancel(self, client: str) -> bool:
        """Ends the client's requests; returns whether there were any."""
        with self._changed:
            waited = self._waiting.pop(client, None) is not None
            worked = self._end_work_of(client, kill=True)
            self._changed.notify_all()
            return waited or worked

    def _end_work_of(self, client: str, kill: bool) -> bool:
        if self._at_work is None or self._at_work[0] != client:
            return False
        self._at_work[1].end(kill)
        return True

    def _check(self, client: str, ticket: object) -> None:
        found = self._waiting.get(client)
        if found is None:
            raise LabError("cancelled", "This question was withdrawn.")
        if found is not ticket:
            raise LabError("superseded", "A newer request has taken the place of this one.")


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
    """The checked request: question, client, model and arguments of the right types, and nothing
    else."""
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
    """Checks the form {layer: [unit, ...]}; the child checks that the units exist."""
    for units in lesions.values():
        if not isinstance(units, list) or not all(type(unit) is int for unit in units):
            raise _invalid("lesions must name whole numbers of units for each layer")
        if len(set(units)) < len(units) or any(unit < 0 for unit in units):
            raise _invalid("lesions must name each unit once, counted from 0")


def _invalid(message: str) -> LabError:
    return LabError("invalid_argument", message)
