"""Plain values, from TOML or JSON, become settings: each is checked against its field.

A refusal names the file, the table, the key, what is expected and what was received.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from repro.core.settings import ConfigError


def from_dict(cls: type, values: Mapping[str, Any], where: str = "settings") -> Any:
    """The inverse of `to_dict`, checked like a TOML table."""
    return build(Path(where), cls.__name__, cls, dict(values))


def check_keys(path: Path, where: str, table: Mapping[str, Any], valid: Sequence[str]) -> None:
    """Refuses a table with a key that is not among the valid ones.

    Args:
        where: name of the table in the file; "" for the file itself.
    """
    for key in table:
        if key not in valid:
            place = f"[{where}] " if where else ""
            raise ConfigError(
                f"{path}: {place}has no setting {key!r}{nearest(key, valid)}. "
                f"Expected: {', '.join(valid)}"
            )


def nearest(word: str, valid: Iterable[str]) -> str:
    """A hint for an error: "; did you mean 'seed'?" if a valid word is close, otherwise ""."""
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else ""


def build(path: Path, where: str, cls: type, table: Mapping[str, Any]) -> Any:
    """The settings of a class from a table, every value checked.

    Args:
        path, where: file and table, named in errors.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    check_keys(path, where, table, tuple(fields))
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and name not in table
    ]
    if missing:
        raise ConfigError(f"{path}: [{where}] lacks {', '.join(missing)}")
    values = {key: checked_value(path, where, fields[key], value) for key, value in table.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{path}: [{where}] {error}") from error


def checked_value(path: Path, where: str, field: dataclasses.Field, value: Any) -> Any:
    """The value as the field's type and inside its range, or a ConfigError."""

    def wrong(expected: str) -> ConfigError:
        return ConfigError(
            f"{path}: [{where}] {field.name}: expected {expected}. Received: {value!r}"
        )

    kind = str(field.type)
    if kind == "tuple[int, ...]":
        empty = field.default == ()
        if not isinstance(value, (list, tuple)) or not (value or empty):
            raise wrong("a list of whole numbers such as [512, 512]")
        if not all(_is_int(item) and item >= field.metadata["low"] for item in value):
            raise wrong(f"whole numbers of {field.metadata['low']} or more")
        return tuple(value)
    if kind == "tuple[str, ...]":
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
            raise wrong('a list of texts such as ["dropout"]')
        return tuple(value)
    if kind == "bool":
        if not isinstance(value, bool):
            raise wrong("true or false")
        return value
    if kind == "str":
        if field.metadata["free"]:
            if not isinstance(value, str):
                raise wrong("a text")
            return value
        choices = tuple(field.metadata["choices"])
        if value not in choices:
            hint = nearest(value, choices) if isinstance(value, str) else ""
            raise wrong(f"one of {', '.join(choices)}{hint}")
        return value
    if kind == "int":
        if not _is_int(value):
            raise wrong("a whole number")
        number: float = value
    else:
        if not (_is_int(value) or isinstance(value, float)):
            raise wrong("a number")
        number = float(value)
    low, high, above = (field.metadata[limit] for limit in ("low", "high", "above"))
    # Written as "not (inside)" so that NaN, which compares false with everything, is refused.
    if low is not None and not number >= low:
        raise wrong(f"{low} <= {field.name}" + (f" <= {high}" if high is not None else ""))
    if high is not None and not number <= high:
        raise wrong(f"{low} <= {field.name} <= {high}")
    if above is not None and not above < number < float("inf"):
        raise wrong(f"a finite number above {above}")
    return number


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
