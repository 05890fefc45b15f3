"""Where a network's units are, and how users name units, fills and bases.

Units are numbered through all masked layers, in the order of the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from repro.engine.network import Node
from repro.models.masking import AblationMask

Fill = np.ndarray | Sequence[np.ndarray] | None
"""What ablated units read: None for zero; float (n_units,); or for each layer an array that
broadcasts against its activation, (*positions, n_units), for a mean per position."""


@dataclass(frozen=True)
class Layout:
    """Where the units are: layers in the network's order, units numbered through all of them."""

    layers: tuple[tuple[str, int], ...]

    @property
    def n_units(self) -> int:
        return sum(size for _, size in self.layers)

    @property
    def starts(self) -> tuple[int, ...]:
        """Number of the first unit of each layer."""
        edges = np.cumsum([0] + [size for _, size in self.layers])
        return tuple(int(start) for start in edges)[:-1]

    def split(self, per_unit: np.ndarray) -> list[np.ndarray]:
        """Cuts (..., n_units) into one (..., size) per layer."""
        return np.split(per_unit, self.starts[1:], axis=-1)

    def layer_of(self, units: np.ndarray) -> np.ndarray:
        """int (n,), the number of each unit's layer."""
        return np.searchsorted(self.starts, units, side="right") - 1

    def units(self, layer: str) -> np.ndarray:
        """int (size,), the numbers of a layer's units.

        Raises:
            ValueError: no layer of that name has a mask.
        """
        for (name, size), start in zip(self.layers, self.starts, strict=True):
            if name == layer:
                return np.arange(start, start + size)
        raise ValueError(
            f"no mask stands after a layer {layer!r}; masked layers are "
            + ", ".join(name for name, _ in self.layers)
        )

    def checked(self, units: np.ndarray) -> np.ndarray:
        """The units, as an integer array.

        Raises:
            ValueError: a unit that does not exist.
        """
        try:
            units = np.asarray(units)
        except ValueError:
            raise ValueError(
                f"units must be numbers in rows of one length, got {units!r}"
            ) from None
        if not np.issubdtype(units.dtype, np.integer):
            raise ValueError(f"units are numbered by integers, got {units.dtype}")
        if units.size and not 0 <= units.min() <= units.max() < self.n_units:
            raise ValueError(
                f"units are numbered 0 to {self.n_units - 1}, got {units.min()} to {units.max()}"
            )
        return units


def fills_of(fill: Fill, layout: Layout, masks: Sequence[Node]) -> list[np.ndarray]:
    """For each mask a fill that broadcasts against its activation, float32 (*ones, n_units) or
    (*positions, n_units).

    Raises:
        ValueError: numbers that are not finite, or not as many as there are units.
    """
    if fill is None:
        fill = np.zeros(layout.n_units)
    if isinstance(fill, np.ndarray):
        if fill.shape != (layout.n_units,) or not np.all(np.isfinite(fill)):
            raise ValueError(
                f"fill must be {layout.n_units} finite numbers, one a unit; got shape {fill.shape}"
            )
        parts = layout.split(fill)
    elif isinstance(fill, str | Mapping) or not isinstance(fill, Iterable):
        raise ValueError(
            f"fill must be None, {layout.n_units} numbers in an array, one a unit, or a list of an "
            f"array for each layer; got {fill!r}"
        )
    else:
        parts = [np.asarray(part) for part in fill]
    if len(parts) != len(masks):
        raise ValueError(f"fill must have {len(masks)} arrays, one a layer; got {len(parts)}")
    fills = []
    for part, node, (name, size) in zip(parts, masks, layout.layers, strict=True):
        shape = node.shapes[0]
        if part.shape not in ((size,), shape) or not np.all(np.isfinite(part)):
            raise ValueError(
                f"fill of {name} must be finite and of shape ({size},) or {shape}, got {part.shape}"
            )
        ones = [1] * (len(shape) - part.ndim)
        fills.append(part.reshape(*ones, *part.shape).astype(np.float32))
    return fills


def checked_bases(
    bases: Mapping[str, np.ndarray], layout: Layout, masks: Sequence[AblationMask]
) -> dict[int, np.ndarray]:
    """The bases by the number of their mask, float32 (n_units, n_units).

    Raises:
        ValueError: a basis that is not orthogonal, or of a layer that is not computed in float32.
    """
    if not isinstance(bases, Mapping):
        raise ValueError(f"bases must be a dict of layers and their bases, got {bases!r}")
    checked = {}
    names = [name for name, _ in layout.layers]
    for name, basis in bases.items():
        size = len(layout.units(name))
        basis = np.asarray(basis, np.float64)
        if basis.shape != (size, size) or not np.allclose(
            np.dot(basis.T, basis), np.eye(size), atol=1e-5
        ):
            raise ValueError(
                f"the basis of {name} must be an orthogonal ({size}, {size}) matrix, "
                f"got shape {basis.shape}"
            )
        mask = masks[names.index(name)]
        if mask.compute_dtype != "float32":
            raise ValueError(
                f"{name} is computed in {mask.compute_dtype}, and directions need float32; "
                "build the model with that dtype"
            )
        checked[names.index(name)] = basis.astype(np.float32)
    return checked
