"""Flags that the programs of this folder share; absl knows each of them once a process."""

from __future__ import annotations

from collections.abc import Sequence

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
