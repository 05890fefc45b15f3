"""The kinds of sweep: one file for each, with its settings, record, CSV table and words.

`KINDS` has them by name, in the order in which their sweeps are listed and made. A new kind is a
new file like `intact`, the smallest, and a line below; docs/develop.md, "A new sweep", goes through
all steps.
"""

from repro.core.kinds.cumulative import CUMULATIVE, ORDERS, AblationCurve, CumulativeConfig
from repro.core.kinds.fragility import FRAGILITY, FragilityConfig, ImageTable
from repro.core.kinds.intact import INTACT, Intact, IntactConfig
from repro.core.kinds.kind import (
    KINDS,
    Functions,
    Kind,
    SweepResult,
    panels,
    register,
    shown_by,
)
from repro.core.kinds.noise import NOISE, NoiseConfig, NoiseCurve
from repro.core.kinds.portraits import PORTRAITS, Portraits, PortraitsConfig
from repro.core.kinds.single_unit import SINGLE_UNIT, SingleUnitConfig, UnitMeasures, UnitTable

for _kind in (CUMULATIVE, SINGLE_UNIT, NOISE, INTACT, PORTRAITS, FRAGILITY):
    register(_kind)

__all__ = [
    "KINDS",
    "ORDERS",
    "AblationCurve",
    "CumulativeConfig",
    "FragilityConfig",
    "Functions",
    "ImageTable",
    "Intact",
    "IntactConfig",
    "Kind",
    "NoiseConfig",
    "NoiseCurve",
    "Portraits",
    "PortraitsConfig",
    "SingleUnitConfig",
    "SweepResult",
    "UnitMeasures",
    "UnitTable",
    "panels",
    "register",
    "shown_by",
]
