"""Writes a static copy whole, over an earlier copy at most."""

import json
import shutil
import tempfile
from pathlib import Path

MARK = "single-directions-copy.json"  # lies in every copy; no other folder is written over


class FolderError(Exception):
    """The copy cannot be written there; the text is a sentence for the user."""


def check(out: Path) -> None:
    """Refuses a place where something else than an earlier copy would be lost.

    Raises:
        FolderError: a file, or a folder with anything else in it.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise FolderError(f"{out} is a file; name a new folder, or that of an earlier copy.")
    if any(out.iterdir()) and not (out / MARK).is_file():
        raise FolderError(
            f"{out} holds something else than an earlier copy; name a new folder, or empty it."
        )


class Folder:
    """Writes the files of a copy into a new folder beside `out`, which takes its place at the end.

    Used as a context: after an error nothing of the copy is left, and an earlier copy stays.

    Attributes:
        n_files, n_bytes: of what was written.
    """

    def __init__(self, out: Path):
        check(out)
        self._out = out
        self.n_files = self.n_bytes = 0

    def __enter__(self) -> "Folder":
        try:
            self._out.parent.mkdir(parents=True, exist_ok=True)
            made = tempfile.mkdtemp(dir=self._out.parent, prefix=f".{self._out.name}.")
        except OSError as error:
            raise FolderError(f"The copy cannot be written: {error}") from None
        self._new = Path(made)
        self._new.chmod(0o755)
        self._known: set[Path] = set()
        return self

    def write(self, path: str, content: str | bytes) -> None:
        """Writes one file at a path below the copy."""
        file = self._new / path
        if file.parent not in self._known:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._known.add(file.parent)
        raw = content.encode() if isinstance(content, str) else content
        file.write_bytes(raw)
        self.n_files += 1
        self.n_bytes += len(raw)

    def __exit__(self, kind, error, trace) -> None:
        if error is None:
            try:
                self.write(MARK, json.dumps({"made_by": "python -m tb_plugin.export"}) + "\n")
                check(self._out)  # somebody may have put something there meanwhile
                if self._out.exists():
                    shutil.rmtree(self._out)
                self._new.rename(self._out)
                return
            except OSError as failure:
                shutil.rmtree(self._new, ignore_errors=True)
                raise FolderError(f"The copy cannot be written: {failure}") from None
        shutil.rmtree(self._new, ignore_errors=True)
        if isinstance(error, OSError):
            raise FolderError(f"The copy cannot be written: {error}") from None
