"""Writes files and folders among the user's own and never loses any of the user's.

The file `MARKER` in a folder lists the files that were written into the folder, with the SHA-256 of
each. A folder is replaced only if its marker lists all of its content and nothing has changed
since; a file is replaced only if it is listed and unchanged. Everything else is refused before
anything is touched: other files, changed ones, hidden ones, folders, links, whatever they lead to.
Links are never followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MARKER = ".written-by-repro.json"
_ABOUT = "Files of this folder that repro wrote, with their SHA-256: it replaces no others."
_SHOWN = 3  # foreign files that a sentence names
_NAME_KEPT = 60  # characters of a folder's name in that of a temporary one

# Names of files that an earlier version wrote, which kept no list.
_EVENTS = re.compile(r"events\.out\.tfevents\.\d+\..+\.single_directions")
_SOURCE = re.compile(rb"[\w.]+(-[\w.]+)?-[0-9a-f]{8,}( \S+)*\n")
_TABLE = re.compile(r"(\w+)_(?:curves|noise|units|intact|portraits|images)\.csv")
_PAGES = frozenset(
    ["index.html", "summary.json", "claims.json", "claims.csv", "units.csv", "curve.csv"]
    + [f"{name}.{kind}" for name in ("curve", "units") for kind in ("png", "svg")]
)
_PAGE = re.compile(
    rb"<title>(Single directions: report|[^<]*: lesions)</title>.*arxiv\.org/abs/1803\.06959",
    re.DOTALL,
)


class RunsError(RuntimeError):
    """A folder cannot be used or written; the message says why, and what to do."""


@dataclass
class _Listed:
    """The content of a folder's marker: the digests of each file, by name relative to the folder.

    files: files that go when the folder is replaced. beside: files that stay, since they were
        written beside others.
    A file that is about to be written has two digests: of its old and of its new content.
    """

    files: dict[str, list[str]] = field(default_factory=dict)
    beside: dict[str, list[str]] = field(default_factory=dict)
    known: bool = False  # whether there is a marker

    def to_bytes(self) -> bytes:
        lists = {"about": _ABOUT, "files": self.files, "beside": self.beside}
        return (json.dumps(lists, indent=1, sort_keys=True) + "\n").encode()

    def digests(self, name: str) -> list[str]:
        return self.files.get(name, []) + self.beside.get(name, [])


# --- One file ----------------------------------------------------------------------------------


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that it is either whole or absent, whatever happens meanwhile.

    Raises:
        RunsError: no space, no permission, or another fault of the disk.
    """
    with temporary_file(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; the file is renamed to `path` when the block ends
    well.

    Raises:
        RunsError: as `write_bytes`.
    """
    # The suffix stays, because Keras chooses the format by it.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise _disk_fault(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a name is one of `temporary_file`, which a killed process may leave behind.

    >>> is_temporary(f".model.{'0' * 32}.tmp.keras"), is_temporary(".notes.tmp.txt")
    (True, False)
    """
    return re.fullmatch(r"\..*\.[0-9a-f]{32}\.tmp(\.\w+)?", name, re.DOTALL) is not None


def remove_files(folder: Path, name: Callable[[str], bool]) -> None:
    """Removes files of a folder by name, and the folder itself if it is then empty.

    Links, folders and files of other names stay, and then the folder stays too. Nothing is removed
    from a folder that is a link. Faults of the disk are ignored.
    """
    if folder.is_symlink():
        return
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if name(entry.name) and entry.is_file(follow_symlinks=False):
                os.unlink(entry.path)
        folder.rmdir()


# --- Files beside others -----------------------------------------------------------------------


class Beside:
    """Writes files into a folder beside other files, and replaces no file but its own.

    Args:
        folder: made when the first file is written.
        names: of the files that are to be written, checked at once.
        contents: gives what some of these files are to hold, by name; asked for only where a file
            is not as it was written. One that is only cut short can be replaced without loss.

    Raises:
        RunsError: a file of such a name exists and was not written by this project, or was changed
            since; or the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        names: Iterable[str] = (),
        contents: Callable[[], Mapping[str, bytes]] = dict,
    ) -> None:
        self.folder = folder
        try:
            _check_writable(folder)
            listed = _listed(folder)
            wanted = [*names, MARKER]
            foreign = [name for name in wanted if not self._may_write(name, listed)]
            if foreign:
                known = contents()
                foreign = [one for one in foreign if not self._is_cut(one, listed, known.get(one))]
        except (OSError, ValueError) as error:  # a name with \0
            raise _disk_fault(folder, error) from error
        if foreign:
            raise _not_ours(folder, foreign)

    def write(self, path: Path, content: bytes) -> None:
        """Writes a file of the folder; a file of ours that has this content already is left alone.

        Raises:
            RunsError: as above, or a fault of the disk.
        """
        name = path.relative_to(self.folder).as_posix()
        try:
            listed = _listed(self.folder)
            foreign = [one for one in (name, MARKER) if not self._may_write(one, listed)]
            if foreign and not self._is_cut(foreign[0], listed, content):
                raise _not_ours(self.folder, foreign)
            there = [_digest(path)] if os.path.lexists(path) else []
            digest = hashlib.sha256(content).hexdigest()
            if there == [digest] and digest in listed.digests(name):
                return
            if not listed.known and _is_older_report(self.folder):
                listed.beside |= {
                    old: [_digest(self.folder / old)] for old in _reported(self.folder)
                }
        except OSError as error:
            raise _disk_fault(path, error) from error
        # The list is written first, so that an interrupted file is known as ours.
        listed.beside[name] = list(dict.fromkeys([*there, digest]))
        write_bytes(self.folder / MARKER, listed.to_bytes())
        write_bytes(path, content)

    def _may_write(self, name: str, listed: _Listed) -> bool:
        path = self.folder / name
        if not os.path.lexists(path):
            return True
        if path.is_symlink() or not path.is_file():
            return False
        if name == MARKER:
            return listed.known
        if not listed.known:
            return _is_older_report(self.folder)
        return _digest(path) in listed.digests(name)

    def _is_cut(self, name: str, listed: _Listed, content: bytes | None) -> bool:
        """Whether a file that we wrote holds only the beginning of what it is to hold."""
        path = self.folder / name
        ours = bool(listed.digests(name)) and path.is_file() and not path.is_symlink()
        return ours and content is not None and content.startswith(path.read_bytes())


# --- A folder ----------------------------------------------------------------------------------


def replace_directory(path: Path, fill: Callable[[Path], None]) -> None:
    """Makes a directory, or replaces an older one, by filling a temporary directory and renaming
    it.

    The older directory is renamed first and removed last, so that one whole directory exists
    whenever the process ends.

    Args:
        fill: writes into the temporary folder that it is given.

    Raises:
        RunsError: the existing directory must not be replaced, see `check_replaceable`; or a fault
            of the disk.
    """
    place = check_replaceable(path)
    temporary = _beside(place, "tmp")
    try:
        temporary.mkdir(parents=True)
        fill(temporary)
        _list_contents(temporary, place)
        _swap(temporary, place, path)
    except OSError as error:
        raise _disk_fault(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for entry in _put_aside(place):
        _remove_ours(entry)


def check_replaceable(path: Path) -> Path:
    """The folder's full path, if the folder can be made or replaced without loss of the user's
    files.

    The check changes nothing. Call it before long work whose result goes into the folder.

    Raises:
        RunsError: a file, a link, a folder that holds anything that this project did not write or
            that was changed since, the current folder or one around it, or a place where nothing
            can be written.
    """
    try:
        place = _full(Path(path))
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            place.lstat()  # fails for a name that no file can have
        _check_kind(Path(path), place)
        foreign = _foreign(place)
        if not foreign:
            _check_writable(place.parent)
    except RunsError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # a name with \0, a loop of links
        raise _disk_fault(path, error) from error
    if foreign:
        raise RunsError(
            f"expected a folder that is new or was written by repro, but {path} holds "
            f"{_listing(foreign)}, which would be lost; name another folder, such as "
            f"{Path(path) / 'study'}"
        )
    return place


def folder_in(parent: Path, name: str | os.PathLike[str]) -> Path:
    """A folder of that name in another.

    Args:
        name: relative, such as "study" or "group/study".

    Raises:
        RunsError: the name leads to the parent itself or out of it.

    >>> folder_in(Path("logs"), "group/study").as_posix()
    'logs/group/study'
    """
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in os.fspath(name):
        raise RunsError(
            f"expected the name of a folder in {parent}, got {os.fspath(name)!r}; give one such as "
            "'study' or 'group/study'"
        )
    return parent.joinpath(*parts)


def _full(path: Path) -> Path:
    """The absolute path; a link in its last part is not followed."""
    if not path.name or ".." in path.parts:
        return path.resolve()
    return path.absolute()


def _check_kind(path: Path, place: Path) -> None:
    if place.is_symlink():
        raise RunsError(
            f"expected a folder, but {path} is a link to {os.readlink(place)}; name another "
            "folder, or the one that it leads to"
        )
    if os.path.lexists(place) and not place.is_dir():
        raise RunsError(f"expected a folder, but {path} is a file; name another folder")
    for whose, here in (("current", Path.cwd()), ("home", Path(os.path.expanduser("~")))):
        if place == here or place in here.parents:
            words = "is" if place == here else "holds"
            raise RunsError(
                f"expected a folder to write or replace, but {str(path) or '.'} {words} the "
                f"{whose} folder; name one in it, such as {path / 'study'}"
            )
    if os.path.ismount(place):
        raise RunsError(
            f"expected a folder to write or replace, but at {path} a disk is mounted; name one in "
            f"it, such as {path / 'study'}"
        )


def _check_writable(folder: Path) -> None:
    """Checks that new folders can be made in a folder, or in the nearest existing folder above
    it."""
    wanted, folder = folder, folder.absolute()
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        what = "a link to nothing" if folder.is_symlink() else "a file"
        raise RunsError(f"cannot write into {wanted}: {folder} is {what}; name another folder")
    probe = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise RunsError(
            f"cannot write into {wanted}: {error.strerror}; get the permission, or name another "
            "folder"
        ) from error


def _foreign(folder: Path) -> list[str]:
    """Names in a folder that are not ours, relative to the folder; [] if there is no folder."""
    if not os.path.lexists(folder):
        return []
    listed = _listed(folder)
    older = frozenset() if listed.known else _written_before(folder)
    names = [*listed.files, *listed.beside, *older]
    ours = {parent.as_posix() for name in names for parent in Path(name).parents}
    found: list[str] = []

    def look(inside: Path, prefix: str) -> None:
        for entry in sorted(os.scandir(inside), key=lambda entry: entry.name):
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                if name in ours:
                    look(Path(entry.path), f"{name}/")
                else:
                    found.append(f"{name}/")
            elif not entry.is_file(follow_symlinks=False):
                found.append(name)
            elif not (name in older or (name == MARKER and listed.known)):
                digests = listed.digests(name)
                if not digests or _digest(Path(entry.path)) not in digests:
                    found.append(name)

    look(folder, "")
    return found


def _listed(folder: Path) -> _Listed:
    """The content of the folder's marker; nothing if there is no marker, or it is not one of
    ours."""
    marker = folder / MARKER
    if marker.is_symlink() or not marker.is_file():
        return _Listed()
    try:
        found = json.loads(marker.read_bytes())
        files, beside = found["files"], found["beside"]
        if found["about"] != _ABOUT or not (_are_digests(files) and _are_digests(beside)):
            return _Listed()
    except (ValueError, KeyError, TypeError):
        return _Listed()
    return _Listed(files, beside, known=True)


def _are_digests(lists: Any) -> bool:
    return isinstance(lists, dict) and all(
        isinstance(of_one, list) and all(isinstance(digest, str) for digest in of_one)
        for of_one in lists.values()
    )


def _list_contents(new: Path, old: Path) -> None:
    """Lists all files of a new folder in its marker, and flushes them to the disk.

    Files that were written beside the files of the old folder are moved to the new one.
    """
    before = _listed(old)
    listed = _Listed()
    for name, digests in before.beside.items():
        target = new / name
        if (old / name).is_file() and not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(old / name, target)
            listed.beside[name] = digests
    for path in sorted(new.rglob("*")):
        name = path.relative_to(new).as_posix()
        if path.is_file() and name not in listed.beside:
            listed.files[name] = [_digest(path)]
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    write_bytes(new / MARKER, listed.to_bytes())


def _swap(new: Path, place: Path, path: Path) -> None:
    """Renames `new` to `place` and puts the old folder aside, or leaves both unchanged."""
    aside = None
    if os.path.lexists(place):
        aside = _beside(place, "old")
        place.rename(aside)
    try:
        # Checked again: somebody may have added a file while the new folder was filled.
        foreign = _foreign(aside) if aside else []
        if foreign:
            raise RunsError(
                f"{path} was not replaced, since meanwhile {_listing(foreign)} came into it; name "
                "another folder"
            )
        new.rename(place)
    except BaseException:
        if aside:
            _put_back(aside, place)
        raise
    _flush(place.parent)


def _put_back(aside: Path, place: Path) -> None:
    try:
        aside.rename(place)
    except OSError as error:
        raise RunsError(
            f"{place} cannot be put back ({error.strerror}); what was in it lies in {aside}: move "
            "it to where it is wanted"
        ) from error


def _beside(place: Path, kind: str) -> Path:
    return place.with_name(f".{place.name[:_NAME_KEPT]}.{uuid.uuid4().hex}.{kind}")


def _put_aside(place: Path) -> list[Path]:
    """Older folders of this place that are still there: of this process, and of processes that
    ended early."""
    pattern = re.compile(rf"\.{re.escape(place.name[:_NAME_KEPT])}\.[0-9a-f]{{32}}\.old")
    try:
        return [entry for entry in place.parent.iterdir() if pattern.fullmatch(entry.name)]
    except OSError:
        return []


def _remove_ours(folder: Path) -> None:
    """Removes a folder if all of its content is ours; otherwise, or at a fault, the folder
    stays."""
    with contextlib.suppress(OSError):
        if not folder.is_symlink() and not _foreign(folder):
            shutil.rmtree(folder)


# --- What an earlier version wrote -------------------------------------------------------------


def _written_before(folder: Path) -> frozenset[str]:
    """The names of all files of a folder if an earlier version wrote exactly these: a study's saved
    model, a study's TensorBoard run, or a network's TensorBoard run."""
    entries = list(os.scandir(folder))
    if not all(entry.is_file(follow_symlinks=False) for entry in entries):
        return frozenset()
    names = frozenset(entry.name for entry in entries)
    if names == {"model.keras", "model.images.npz"}:
        ours = _has_masks(folder / "model.keras") and _are_images(folder / "model.images.npz")
        return names if ours else frozenset()
    events = [name for name in names if _EVENTS.fullmatch(name)]
    rest = names - set(events)
    if len(events) != 1:
        return frozenset()
    if rest == {"source.txt"}:
        ours = _SOURCE.fullmatch((folder / "source.txt").read_bytes()) is not None
    else:
        ours = not rest and b"lesion/units" in (folder / events[0]).read_bytes()
    return names if ours else frozenset()


def _has_masks(model: Path) -> bool:
    try:
        with zipfile.ZipFile(model) as archive:
            return b"AblationMask" in archive.read("config.json")
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def _are_images(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (OSError, zipfile.BadZipFile):
        return False
    names = {part.filename for part in parts}
    deflated = all(part.compress_type == zipfile.ZIP_DEFLATED for part in parts)
    return deflated and {"images.npy", "labels.npy"} <= names


def _is_older_report(folder: Path) -> bool:
    page = folder / "index.html"
    there = not page.is_symlink() and page.is_file()
    return there and _PAGE.search(page.read_bytes()) is not None


def _reported(folder: Path) -> list[str]:
    """The files that earlier reports wrote into their folder."""
    names = [entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
    figures = {found[1] for name in names if (found := _TABLE.fullmatch(name))}
    drawn = {f"{figure}.{kind}" for figure in figures for kind in ("png", "svg")}
    return [one for one in names if one in _PAGES or one in drawn or _TABLE.fullmatch(one)]


# --- Words and bytes ---------------------------------------------------------------------------


def _not_ours(folder: Path, names: list[str]) -> RunsError:
    return RunsError(
        f"expected to write files that are new or were written by repro, but {folder} holds "
        f"{_listing(names)}, which would be overwritten; name another folder, such as "
        f"{folder / 'report'}, or move what is there"
    )


def _listing(names: list[str]) -> str:
    """
    >>> _listing(["train.py", "thesis.tex", ".git/", "data/", "a"])
    'train.py, thesis.tex, .git/ and 2 others'
    """
    shown = ", ".join(names[:_SHOWN])
    left = len(names) - _SHOWN
    return shown if left <= 0 else f"{shown} and {left} other{'s' * (left > 1)}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(folder: Path) -> None:
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _disk_fault(path: str | os.PathLike[str], error: Exception) -> RunsError:
    reason = getattr(error, "strerror", None) or error
    return RunsError(
        f"cannot write {os.fspath(path)}: {reason}; make room or get permission there, or name "
        "another place"
    )
