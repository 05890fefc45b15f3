"""The flags of a command, as fields of the dataclass that says what the command was asked.

    @dataclass(frozen=True)
    class Request:
        seed: int = flag(0, "Seed of the random orders.", whole_number(0))
        offline: bool = flag(False, "Make no network call.")

Here is what a flag is; `repro.__main__` reads command lines.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

_KEY = "flag"  # of a field's metadata


class Usage(ValueError):
    """The command line is wrong; the message says how.

    status: with which the program ends.
    """

    status = 2


class FlagError(Usage):
    """A flag that does not exist or has no such value; the program ends as absl's programs do."""

    status = 1


@dataclass(frozen=True)
class Flag:
    """A flag: --name=value, or --name and --noname where the value is true or false.

    default: the value without the flag. help: what it does, in a sentence.
    read: a value from a text; a ValueError says what was expected.
    repeated: whether the flag may be repeated; its value is then a tuple.
    positional: whether the value may also be given as a word of its own, without --name.
    """

    name: str
    default: Any
    help: str
    read: Callable[[str], Any] = str
    repeated: bool = False
    positional: bool = False

    @property
    def is_switch(self) -> bool:
        """Whether the flag is true or false, and takes no value."""
        return isinstance(self.default, bool)


def flag(
    default: Any,
    help: str,  # noqa: A002  argparse's word
    read: Callable[[str], Any] = str,
    *,
    name: str = "",
    repeated: bool = False,
    positional: bool = False,
) -> Any:
    """A field of a dataclass that is a flag; see `Flag`.

    Args:
        name: of the flag, where it is not that of the field.
    """
    made = Flag(name, default, help, read, repeated, positional)
    return dataclasses.field(default=default, metadata={_KEY: made})


def flags_of(request: type) -> dict[str, Flag]:
    """The flags of a command's dataclass, by the names of their fields."""
    return {
        field.name: dataclasses.replace(found, name=found.name or field.name)
        for field in dataclasses.fields(request)
        if (found := field.metadata.get(_KEY)) is not None
    }


def switch(text: str) -> bool:
    """True or false, as absl reads it.

    >>> switch("true"), switch("0")
    (True, False)
    """
    values = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    if text.lower() not in values:
        raise ValueError(f"expected true or false, got {text!r}")
    return values[text.lower()]


def whole_number(least: int) -> Callable[[str], int]:
    """Reads integers that are not less than this."""

    def read(text: str) -> int:
        return _at_least(least, text, int, "a whole number")

    return read


def number(least: float) -> Callable[[str], float]:
    """Reads numbers that are not less than this."""

    def read(text: str) -> float:
        return _at_least(least, text, float, "a number")

    return read


def _at_least(least: Any, text: str, kind: Callable[[str], Any], words: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not value >= least:
        raise ValueError(f"expected {words} of at least {least:g}, got {text!r}")
    return value


def one_of(choices: Iterable[str]) -> Callable[[str], str]:
    """Reads one of these words."""
    known = tuple(choices)

    def read(text: str) -> str:
        if text not in known:
            hint = nearest(text, known)
            raise ValueError(
                f"expected one of {', '.join(known)}, got {text!r}"
                + (f". Did you mean {hint}?" if hint else "")
            )
        return text

    return read


def words(text: str) -> tuple[str, ...]:
    """Words between commas.

    >>> words("fig1a, fig7a"), words("")
    (('fig1a', 'fig7a'), ())
    """
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise ValueError(f"expected words between commas, got {text!r} ({error})") from error
    return tuple(word.strip() for word in rows[0]) if rows else ()


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one; "" if none is.

    >>> nearest("scal", ["scale", "seed"])
    'scale'
    """
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), "")
