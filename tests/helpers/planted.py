"""Files of the user's, planted where something is written, and a folder's content to compare."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any


def snapshot(folder: Path) -> dict[str, Any]:
    """Everything below a folder: bytes of files, targets of links; links are not followed."""
    found: dict[str, Any] = {}
    for path, names, files in os.walk(folder):
        for name in [*names, *files]:
            one = Path(path, name)
            key = one.relative_to(folder).as_posix()
            if one.is_symlink():
                found[key] = ("link", os.readlink(one))
            else:
                found[key] = one.read_bytes() if one.is_file() else "folder"
    return found


def plant(folder: Path, elsewhere: Path) -> None:
    """A thesis, a repository, hidden files and folders, and links to what lies elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    elsewhere.mkdir(parents=True, exist_ok=True)
    (elsewhere / "linked.txt").write_text("linked")
    (folder / "thesis.tex").write_text("years of work")
    (folder / ".env").write_text("SECRET=1")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "deep.bin").write_bytes(b"\0\1")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to(elsewhere)
    (folder / "file link").symlink_to(elsewhere / "linked.txt")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
