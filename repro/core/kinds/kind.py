"""What a kind of sweep is, and the list of all kinds.

Whoever needs to treat kinds differently looks in `KINDS`, or in a table of functions by name
(`Functions`) of its own room, and never asks for the type of settings or of a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from repro.core.records import Records
from repro.core.settings import SweepConfig

# Panels that show networks rather than the results of one kind of sweep.
_PANELS_OF_NETWORKS = ("epochs", "networks", "variants")

F = TypeVar("F", bound=Callable[..., Any])


class SweepResult(Protocol):
    """What the records of all kinds of sweep have; each is a frozen dataclass besides.

    n_images: how many images were read. images: which, "train" or "test".
    n_tied: answers whose two best logits tie within rounding; None if not counted.
    """

    kind: ClassVar[str]

    @property
    def n_images(self) -> int: ...

    @property
    def images(self) -> str: ...

    @property
    def n_tied(self) -> int | None: ...


@dataclass(frozen=True)
class Kind:
    """One kind of sweep: its settings, its record, its table, and its words.

    How it runs is registered in `repro.engine.sweeps`, and how a panel draws it in
    `repro.paper.panels`.

    settings: class of its settings, as they stand in the TOML table of its name.
    result: class of the record of what it found; its fields are arrays and JSON-ready values.
    title: its name in captions of tables.
    table: last part of the names of its CSV files: "curves" for fig1a_curves.csv.
    columns: columns of the CSV. rows: returns the rows of one result.
    meanings: a sentence on each column, for those who read the table without this package.
    words: returns the lesions in words, from the settings.
    reads: what it reads on the images, in words; "" for accuracy and loss.
    panels: kinds of panel that show it; the first one suits a figure that states none.
    """

    settings: type[SweepConfig]
    result: type[Any]
    title: str
    table: str
    columns: tuple[str, ...]
    rows: Callable[[Any], Iterable[tuple[Any, ...]]]
    words: Callable[[Any], str]
    reads: str = ""
    panels: tuple[str, ...] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in TOML tables, names of files, and records."""
        return self.settings.kind


KINDS: Records[Kind] = Records("kind of sweep")


def register(kind: Kind) -> None:
    """Adds a kind to `KINDS`; `Records.remove` takes it away again.

    Raises:
        ValueError: settings and result of different names, or a name, table or panel that another
            kind has.
    """
    if kind.result.kind != kind.name:
        raise ValueError(
            f"settings and result of a kind have one name. Received: {kind.name!r} and "
            f"{kind.result.kind!r}"
        )
    for other in KINDS.values():
        taken = {other.name, other.table, *other.panels} & {kind.name, kind.table, *kind.panels}
        if taken:
            raise ValueError(f"{other.name} and {kind.name} both have {sorted(taken)[0]!r}")
    for panel in kind.panels:
        if panel in _PANELS_OF_NETWORKS:
            raise ValueError(f"{panel} is a panel of networks and cannot be one of {kind.name}")
    KINDS.add(kind)


def panels() -> tuple[str, ...]:
    """All kinds of panel that a config may name."""
    return (*(panel for kind in KINDS.values() for panel in kind.panels), *_PANELS_OF_NETWORKS)


def shown_by(panel: str) -> Kind | None:
    """The kind of sweep that a kind of panel shows; None for a panel of networks."""
    return next((kind for kind in KINDS.values() if panel in kind.panels), None)


class Functions(dict[str, Callable[..., Any]]):
    """Functions by the name of a kind (of sweep, or of panel); each is added by a decorator.

    >>> drawn = Functions()
    >>> @drawn.of("curves", "noise")
    ... def draw(): ...
    >>> sorted(drawn)
    ['curves', 'noise']
    """

    def of(self, *names: str) -> Callable[[F], F]:
        """A decorator that adds a function under these names."""

        def add(function: F) -> F:
            self.update(dict.fromkeys(names, function))
            return function

        return add


def check_shape(name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    """Refuses an array of another shape with a ValueError."""
    if array.shape != expected:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
