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


# --- As users give them ---------------------------------------------------------------------------


def any_units(keep: np.ndarray, layout: Layout) -> AnyUnits:
    """Lesions as `Engine.evaluate` takes them.

    Args:
        keep: (n_lesions, n_units), 1 or True where a unit is intact, 0 where it is ablated.

    Raises:
        ValueError: wrong shape, or a keep that is neither 0 nor 1.
    """
    keep = np.asarray(keep)
    if keep.ndim != 2 or keep.shape[1] != layout.n_units:
        raise ValueError(
            f"keep must have shape (n_lesions, {layout.n_units}), got {keep.shape}; "
            "pass one column per unit over all ablated layers"
        )
    if not np.all((keep == 0) | (keep == 1)):
        raise ValueError("keep must be 1 (intact) or 0 (ablated) everywhere")
    return AnyUnits(keep.astype(bool))


def single_units(units: np.ndarray | None, layout: Layout) -> SingleUnits:
    """Lesions as `Engine.single_units` takes them.

    Args:
        units: int (n,); None for all.

    Raises:
        ValueError: a unit that does not exist.
    """
    chosen = np.arange(layout.n_units) if units is None else layout.checked(units)
    if chosen.ndim != 1:
        raise ValueError(f"units must be a list of units, (n,), got shape {chosen.shape}")
    return SingleUnits(chosen, layout.n_units)


def no_lesion(layout: Layout) -> SingleUnits:
    """One lesion of no unit."""
    return SingleUnits(np.array([NO_UNIT]), layout.n_units)


def curves(orders: np.ndarray, n_ablated: np.ndarray | None, layout: Layout) -> Curves:
    """Lesions as `Engine.cumulative` takes them.

    Args:
        orders: int (n_orders, n), in each row distinct units.
        n_ablated: int (n_points,), in 0 .. n; None for every number.

    Raises:
        ValueError: a unit that does not exist or comes twice, or a number out of range.
    """
    orders = np.atleast_2d(layout.checked(orders))
    if orders.ndim != 2:
        raise ValueError(f"orders must have shape (n_orders, n), got {orders.shape}")
    length = orders.shape[1]
    if any(len(set(order)) < length for order in orders.tolist()):
        raise ValueError("an order names a unit twice; a unit can be ablated once")
    counts = np.arange(length + 1) if n_ablated is None else np.asarray(n_ablated)
    integers = np.issubdtype(counts.dtype, np.integer)
    if not integers or counts.ndim != 1 or np.any((counts < 0) | (counts > length)):
        raise ValueError(
            f"n_ablated must be integers from 0 to {length}, the units of an order; got {counts}"
        )
    return Curves(orders, counts.astype(np.int64), layout.n_units)


def one_of(
    keep: np.ndarray | None,
    units: np.ndarray | None,
    orders: np.ndarray | None,
    n_ablated: np.ndarray | None,
    layout: Layout,
) -> Lesions:
    """The lesions of whichever is given; of every unit alone where nothing is.

    Raises:
        ValueError: lesions of two kinds at once, or such as the functions above refuse.
    """
    named = {"keep": keep, "units": units, "orders": orders}
    given = [name for name, one in named.items() if one is not None]
    if len(given) > 1:
        raise ValueError(f"give one of keep, units and orders, not {' and '.join(given)}")
    if n_ablated is not None and orders is None:
        raise ValueError("n_ablated belongs to orders, and none were given")
    if keep is not None:
        return any_units(keep, layout)
    if orders is not None:
        return curves(orders, n_ablated, layout)
    return single_units(units, layout)


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
