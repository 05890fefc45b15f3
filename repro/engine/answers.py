"""Chooses the way in which lesions are answered. There are three:

- `ByWalk`: dense ReLU networks on the processor, single units and curves;
- `ByReturn`: curves of networks whose first lesioned layer is read by one linear map;
- `ByRows`: any lesions of any network.

Each has one method, `answer(lesions, fills, record) -> Outcome`. The choice depends on the network
and on the lesions alone, never on the question that asked for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from repro.engine.by_return import ByReturn
from repro.engine.by_rows import ByRows
from repro.engine.by_walk import ByWalk, layers_to_walk
from repro.engine.counts import Outcome
from repro.engine.image_answers import Recorder
from repro.engine.layout import Fill, Layout, fills_of
from repro.engine.lesions import AnyUnits, Curves, Lesions, SingleUnits
from repro.engine.runner import Runner


def answer(
    runner: Runner,
    layout: Layout,
    lesions: Lesions,
    fill: Fill = None,
    record: Recorder | None = None,
) -> Outcome:
    """An outcome of the lesions' shape.

    Args:
        record: of all images and lesions; it is given every answer.

    Raises:
        ValueError: a fill that does not fit, or a loss that is not finite.
    """
    if isinstance(lesions, AnyUnits):
        alone = lesions.one_unit_at_most()
        if np.all(alone):
            return answer(runner, layout, lesions.as_single(), fill, record)
        if np.any(alone) and layers_to_walk(runner) is not None:
            single, others = (
                answer(
                    runner,
                    layout,
                    AnyUnits(lesions.kept[which]),
                    fill,
                    record and record.part(np.flatnonzero(which)),
                )
                for which in (alone, ~alone)
            )
            return single.merged(others, alone)
    fills = fills_of(fill, layout, runner.masks)
    return way_of(runner, layout, lesions).answer(lesions, fills, record)


class Way(Protocol):
    """One of the three."""

    def answer(
        self, lesions: Any, fills: Sequence[np.ndarray], record: Recorder | None = None
    ) -> Outcome:
        """An outcome of the lesions' shape. fills: for each mask, see `layout.fills_of`. record: is
        given the answer of each image under each lesion."""


def way_of(runner: Runner, layout: Layout, lesions: Lesions) -> Way:
    """What answers these lesions of this network."""
    if isinstance(lesions, SingleUnits | Curves):
        layers = layers_to_walk(runner)
        if layers is not None:
            return ByWalk(runner, layers)
    # XLA would compile a curve's passes anew for each number of units.
    if isinstance(lesions, Curves) and lesions.orders.size and not runner.xla:
        if ByReturn.can_answer(runner, layout, lesions):
            return ByReturn(runner, layout)
    return ByRows(runner, layout)
