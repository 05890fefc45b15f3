"""Leases: which living process works on a folder, so that no two do the same work.

A lease is a small file in the folder, `.lease-<number>.json`: who holds it, since when, how far the
work is. The highest number counts. To take over from a process that has ended, a file of the next
number is created, which the file system grants to one process only; nobody ever deletes the highest
number, so two cannot both come to believe that they hold the folder. This needs no locking service:
creation of a file and renaming are atomic on local disks and on NFS alike.

A holder is alive if its process is alive. On the holder's own machine the kernel tells this at
once. Other machines take the holder for alive as long as it renews its lease, every few seconds. A
process that was frozen for longer and finds its lease taken ends itself. Nothing is damaged even
then: results are written whole and depend on the config alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Names of lease files; other files in a folder are left alone.
_LEASE = re.compile(r"\.lease-\d{6,}\.json")
_UNFINISHED = re.compile(r"\.lease\.[0-9a-f]{32}\.tmp")

RENEWAL_SECONDS = 3.0
# Seconds without renewal after which another machine takes a holder for dead. An NFS client may
# show a file as it was up to a minute ago.
STALE_SECONDS = 180.0


@dataclass(frozen=True)
class Holder:
    """A process that holds a lease, or did.

    machine: identifies one boot of one machine and its numbering of processes; "" where unknown.
    birth: start of the process in the kernel's ticks, since process numbers are reused.
    since: when the holder took the lease, in seconds since 1970.
    done: how much of the work is done, in units of the work.
    """

    host: str
    pid: int
    machine: str
    birth: str
    since: float
    done: float = 0.0
    released: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Held(RuntimeError):
    """Another process holds the lease."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(f"at work in {holder or 'another process'}")
        self.holder = holder


class Lease:
    """A lease that this process holds; `done` may be set at any time, each renewal writes it."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self._path, self._holder = path, holder
        self.done = 0.0

    @property
    def valid(self) -> bool:
        """Whether no other process has taken the folder over."""
        return _newest(self._path.parent) in (None, self._path)

    def renew(self) -> None:
        """Tells other machines that this process lives, even if the disk is full."""
        try:
            _replace(self._path, dataclasses.replace(self._holder, done=self.done))
        except OSError:
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def release(self) -> None:
        """Lets go of the folder."""
        with contextlib.suppress(OSError):
            _replace(self._path, dataclasses.replace(self._holder, done=self.done, released=True))


def holder(folder: Path) -> Holder | None:
    """The living process that works on a folder, if there is one."""
    while (path := _newest(folder)) is not None:
        with contextlib.suppress(FileNotFoundError):  # just taken over: look again
            return _living(path)
    return None


@contextlib.contextmanager
def lease(folder: Path, on_lost: Callable[[], None] = lambda: None) -> Iterator[Lease]:
    """Holds a folder inside the block; makes the folder if missing.

    Args:
        on_lost: called from another thread when another machine took this process for dead.

    Raises:
        Held: a living process holds it.
        OSError: the folder cannot be written to.
    """
    taken = _take(folder)
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(RENEWAL_SECONDS):
            if not taken.valid:
                on_lost()
                return
            taken.renew()

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield taken
    finally:
        ended.set()
        keeper.join()
        taken.release()


@contextlib.contextmanager
def wait_for_lease(folder: Path, on_wait: Callable[[Held], None]) -> Iterator[Lease]:
    """As `lease`, but waits until the folder is free; on_wait is called once if it is not."""
    with contextlib.ExitStack() as stack:
        told = False
        while True:
            try:
                taken = stack.enter_context(lease(folder))
                break
            except Held as held:
                if not told:
                    on_wait(held)
                told = True
                time.sleep(0.2)
        yield taken


def _take(folder: Path) -> Lease:
    folder.mkdir(parents=True, exist_ok=True)
    newest = _newest(folder)
    if newest is not None and (living := holder(folder)) is not None:
        raise Held(living)
    path = folder / f".lease-{_number(newest) + 1:06d}.json"
    mine = Holder(
        socket.gethostname(), os.getpid(), _machine(), _birth(os.getpid()) or "", time.time()
    )
    try:
        _create(path, mine)
    except FileExistsError as error:
        raise Held(holder(folder)) from error
    # Meanwhile other processes may have held the folder and removed this number.
    if _newest(folder) != path:
        path.unlink(missing_ok=True)
        raise Held(holder(folder))
    older = [other for other in _leases(folder) if _number(other) < _number(path)]
    unfinished = [other for other in folder.iterdir() if _UNFINISHED.fullmatch(other.name)]
    for done_with in (*older, *unfinished):
        done_with.unlink(missing_ok=True)
    return Lease(path, mine)


def _newest(folder: Path) -> Path | None:
    return max(_leases(folder), key=_number, default=None)


def _leases(folder: Path) -> list[Path]:
    """The leases in the folder; files with other names are not leases."""
    return [path for path in folder.glob(".lease-*.json") if _LEASE.fullmatch(path.name)]


def _number(path: Path | None) -> int:
    return int(path.stem.removeprefix(".lease-")) if path else 0


def _living(path: Path) -> Holder | None:
    """The holder of this lease, if alive.

    Raises:
        FileNotFoundError: the file has just been cleared away.
    """
    # The file is opened, not only listed: an NFS client asks its server when it opens a file.
    with path.open() as file:
        renewed = os.fstat(file.fileno()).st_mtime
        text = file.read()
    try:
        found = Holder(**json.loads(text))
    except (ValueError, TypeError):
        # A process without hard links is writing the file (`_create`).
        found = Holder("an unknown machine", 0, "", "", renewed)
    if found.released:
        return None
    if found.machine and found.machine == _machine():
        return found if _birth(found.pid) == found.birth else None
    return found if _clock(path.parent) - renewed < STALE_SECONDS else None


def _create(path: Path, content: Holder) -> None:
    """Creates a file with its content in one step.

    Raises:
        FileExistsError: another process was faster.
    """
    temporary = _written_beside(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # Some network file systems have no hard links: the empty file is created first.
        with path.open("x") as file:
            json.dump(dataclasses.asdict(content), file)
    finally:
        temporary.unlink(missing_ok=True)


def _replace(path: Path, content: Holder) -> None:
    os.replace(_written_beside(path, content), path)


def _written_beside(path: Path, content: Holder) -> Path:
    # Not made by `tempfile`: only the owner could read it, and a group may share the folder.
    temporary = path.with_name(f".lease.{uuid.uuid4().hex}.tmp")
    temporary.write_text(json.dumps(dataclasses.asdict(content)))
    return temporary


def _clock(folder: Path) -> float:
    """The time by the clock of the folder's file server: machines' clocks differ."""
    with tempfile.TemporaryFile(prefix=".lease.", suffix=".tmp", dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def _machine() -> str:
    """Identifies this boot of this machine and its process numbers; "" without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _birth(pid: int) -> str | None:
    """Start of a living process, in ticks since boot; None if no process has that number."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field, the program's name in parentheses, may contain spaces.
    state, *fields = status.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]
