"""Whose turn it is: one request at a time, and only the newest of each client."""

import contextlib
import threading
from collections.abc import Iterator

from tb_plugin.lab.process import Ending, LabError


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
