"""Flags that the programs of this folder share; absl knows each of them once a process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

JSON = flags.DEFINE_string("json", "", "Where the numbers go; nothing is written without it.")
TABLE = flags.DEFINE_string("table", "", "Print the Markdown table of this file.")
REPEATS = flags.DEFINE_integer("repeats", 3, "Timings of each contestant; the median counts.", 1)
_TASKS = flags.DEFINE_list("tasks", [], "Tasks to measure. Default: all.")


def tasks(known: Sequence[str]) -> list[str]:
    """The tasks asked for.

    Raises:
        SystemExit: one that is not known.
    """
    unknown = [name for name in _TASKS.value if name not in known]
    if unknown:
        raise SystemExit(f"unknown task {unknown[0]!r}; expected some of {', '.join(known)}")
    return _TASKS.value or list(known)


def answered(arguments: Sequence[str], table: Callable[[dict[str, Any]], str]) -> bool:
    """Whether a table of stored numbers was all that was asked for; then it has been printed.

    Args:
        arguments: the program's name, and nothing else once flags are read.
        table: of a file's numbers.

    Raises:
        SystemExit: an argument that is no flag, or a file of --json that is not to be replaced.
    """
    if arguments[1:]:
        sys.exit(f"unexpected argument {arguments[1]!r}; flags begin with --")
    if JSON.value and not _may_replace(Path(JSON.value)):
        sys.exit(f"--json={JSON.value} holds no numbers of benchmarks; name another file")
    if TABLE.value:
        print(table(json.loads(Path(TABLE.value).read_text(encoding="utf-8"))))
    return bool(TABLE.value)


def _may_replace(path: Path) -> bool:
    """Whether there is no such file, or one of numbers that these programs wrote."""
    if not os.path.lexists(path):
        return True
    try:
        found = json.loads(path.read_bytes()) if path.is_file() and not path.is_symlink() else None
    except ValueError:
        return False
    return isinstance(found, dict) and ("machine" in found or "tasks" in found)
