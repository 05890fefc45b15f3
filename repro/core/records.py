"""The records of one kind of thing, by name, and functions that records name by their path."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar


class Named(Protocol):
    """A record with the name that configs give it."""

    @property
    def name(self) -> str:
        """Its name."""


T = TypeVar("T", bound=Named)


class Records(Mapping[str, T]):
    """Records by their names, in the order in which they were added.

    Args:
        what: one of them, in words for an error: "data set".
    """

    def __init__(self, what: str, *records: T) -> None:
        self._what = what
        self._records: dict[str, T] = {}
        for record in records:
            self.add(record)

    def add(self, record: T) -> T:
        """Adds a record.

        Raises:
            ValueError: another record has its name.
        """
        if self._records.get(record.name, record) != record:
            raise ValueError(f"there is another {self._what} called {record.name!r}")
        self._records[record.name] = record
        return record

    def remove(self, name: str) -> None:
        """Takes the record of this name out."""
        del self._records[name]

    def __getitem__(self, name: str) -> T:
        """The record of this name.

        Raises:
            KeyError: there is none.
        """
        if name not in self._records:
            names = ", ".join(self._records)
            raise KeyError(f"no {self._what} called {name!r}; expected one of {names}")
        return self._records[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def function_at(path: str) -> Callable[..., Any]:
    """The function that a record names as "module:function".

    >>> function_at("math:hypot")(3, 4)
    5.0
    """
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
