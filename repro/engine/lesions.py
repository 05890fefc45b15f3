"""The lesions that one question asks about, as a value that each way of answering can read.

Whatever the question, a lesion is a set of clamped units. The three kinds say how the sets are
given: any sets, single units, or growing sets along orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from repro.engine.layout import Layout

NO_UNIT = -1
"""Stands in place of a unit's number where no unit is clamped."""

# Lesions that are sorted at a time: their bools are held.
_SORTED_AT_ONCE = 256


class Lesions(Protocol):
    """Lesions numbered from 0, in the order of `shape`.

    Attributes:
        shape: axes of the lesions in the outcome.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def keep(self, numbers: np.ndarray) -> np.ndarray:
        """bool (n, n_units), the units that each of these lesions leaves intact."""

    def sort(self, layout: Layout) -> Sorted:
        """The lesions by the layer at which they begin."""


@dataclass(frozen=True)
class Sorted:
    """Lesions by the layer at which they begin. Lesions of no unit are in neither.

    single: {layer: (lesions, their units within the layer)}, of one unit each.
    many: {first layer that is touched: lesions}.
    """

    single: dict[int, tuple[np.ndarray, np.ndarray]]
    many: dict[int, np.ndarray]


@dataclass(frozen=True)
class SingleUnits:
    """Lesions of one unit each, or of none. units: int (n,), numbered through all layers, or
    NO_UNIT."""

    units: np.ndarray
    n_units: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.units.shape

    def keep(self, numbers: np.ndarray) -> np.ndarray:
        return np.arange(self.n_units) != self.units[numbers, None]

    def sort(self, layout: Layout) -> Sorted:
        layers = layout.layer_of(self.units)
        chosen = [(layer, np.flatnonzero(layers == layer)) for layer in np.unique(layers)]
        return Sorted(
            {
                int(layer): (lesions, self.units[lesions] - layout.starts[layer])
                for layer, lesions in chosen
                if layer >= 0
            },
            {},
        )


@dataclass(frozen=True)
class AnyUnits:
    """Any lesions. kept: bool (n, n_units)."""

    kept: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.kept.shape[:1]

    def keep(self, numbers: np.ndarray) -> np.ndarray:
        return self.kept[numbers]

    def sort(self, layout: Layout) -> Sorted:
        return _sorted(self, layout)

    def one_unit_at_most(self) -> np.ndarray:
        """bool (n,), whether the lesion clamps one unit or none."""
        return (~self.kept).sum(axis=1) <= 1

    def as_single(self) -> SingleUnits:
        """The same lesions; none may clamp more than one unit."""
        lesioned = ~self.kept
        units = np.where(lesioned.any(axis=1), lesioned.argmax(axis=1), NO_UNIT)
        return SingleUnits(units, self.kept.shape[1])


@dataclass(frozen=True)
class Curves:
    """Sets of units that grow along orders.

    orders: int (n_orders, n), in each row the unit that is clamped first, second, ...
    n_ablated: int (n_points,), how many are clamped at each point; need not be sorted.
    """

    orders: np.ndarray
    n_ablated: np.ndarray
    n_units: int

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.orders), len(self.n_ablated)

    @cached_property
    def ranks(self) -> np.ndarray:
        """int (n_orders, n_units), the place of each unit in the order, or the order's length for
        units that stay. A unit is clamped where its place is below the point's number."""
        length = self.orders.shape[1]
        ranks = np.full((len(self.orders), self.n_units), length)
        np.put_along_axis(ranks, self.orders, np.arange(length)[None], axis=1)
        return ranks

    def keep(self, numbers: np.ndarray) -> np.ndarray:
        order, point = np.divmod(numbers, len(self.n_ablated))
        return self.ranks[order] >= self.n_ablated[point, None]

    def sort(self, layout: Layout) -> Sorted:
        return _sorted(self, layout)


def _sorted(lesions: Lesions, layout: Layout) -> Sorted:
    """By looking at all units of all lesions, a part at a time."""
    n_lesions = int(np.prod(lesions.shape))
    singles: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    others: dict[int, list[np.ndarray]] = {}
    for start in range(0, n_lesions, _SORTED_AT_ONCE):
        numbers = np.arange(start, min(start + _SORTED_AT_ONCE, n_lesions))
        ablated = layout.split(~lesions.keep(numbers))
        counts = np.stack([part.sum(axis=1) for part in ablated], axis=1)
        alone = counts.sum(axis=1) == 1
        first = (counts > 0).argmax(axis=1)
        for layer in range(len(ablated)):
            here = (first == layer) & (counts[:, layer] > 0)
            if np.any(here & alone):
                units = ablated[layer][here & alone].argmax(axis=1)
                singles.setdefault(layer, []).append((numbers[here & alone], units))
            if np.any(here & ~alone):
                others.setdefault(layer, []).append(numbers[here & ~alone])
    return Sorted(
        {
            layer: (np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts]))
            for layer, parts in sorted(singles.items())
        },
        {layer: np.concatenate(parts) for layer, parts in sorted(others.items())},
    )
