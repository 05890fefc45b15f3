"""What corrupted labels cost in each variant of a figure: the contrast of claim C1, row by row.

It decides no claim. It tells whether the sign of the contrast hangs on a setting of the training
that the paper does not state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import BASE, FigureConfig
from repro.paper.finding import Estimate, bars_apart, counted
from repro.paper.measures import MEMORISED, auc, curves, normalized_auc
from repro.paper.series import setting_words


@dataclass(frozen=True)
class Contrast:
    """True minus corrupted labels in one variant, over the random orders of all its networks.

    variant: its name, "base" for the base.
    normalized, raw: difference of mean AUC, minus and plus both standard deviations added up, as
        the rule of C1 has it; NaN ends with fewer than two orders.
    train_accuracy: the lowest of the networks on true labels, and of those on corrupted ones.
    corruption: of the corrupted labels.
    """

    variant: str
    normalized: Estimate
    raw: Estimate
    train_accuracy: tuple[float, float]
    corruption: float

    @property
    def memorised(self) -> bool:
        """Whether all of its networks memorised their labels; else the contrast says little."""
        return min(self.train_accuracy) >= MEMORISED

    @property
    def sign(self) -> int:
        """1 where corrupted labels cost more, -1 where true ones do; 0 for neither."""
        return int(np.sign(np.nan_to_num(self.normalized.value)))

    @property
    def clear(self) -> bool:
        """Whether the error bars do not touch: the bar of the difference lies off 0."""
        return self.normalized.interval.outside(0.0)


def contrasts(figure: FigureResult, sweep: str = "") -> list[Contrast]:
    """The contrast in the base and in every variant, in their order; of a variant only if both its
    networks on true labels and those of the largest corruption are done.

    Args:
        sweep: name of the cumulative ablation; "" for the first.
    """
    found = []
    for variant in figure.config.variant_names:
        networks = [
            network
            for network in figure.networks
            if figure.config.variant_of(network.config) == variant and curves([network], sweep)
        ]
        corruption = max((network.config.label_corruption for network in networks), default=0.0)
        true, corrupted = (
            [network for network in networks if network.config.label_corruption == fraction]
            for fraction in (0.0, corruption)
        )
        if not true or not corruption:
            continue
        accuracies = [
            min(network.training.train_accuracy for network in group) for group in (true, corrupted)
        ]
        found.append(
            Contrast(
                variant,
                _difference(normalized_auc, true, corrupted, sweep),
                _difference(auc, true, corrupted, sweep),
                (accuracies[0], accuracies[1]),
                corruption,
            )
        )
    return found


def _difference(
    measure: Callable[[NetworkResult, str], np.ndarray],
    true: Sequence[NetworkResult],
    corrupted: Sequence[NetworkResult],
    sweep: str,
) -> Estimate:
    values = (
        np.concatenate([measure(network, sweep) for network in group])
        for group in (true, corrupted)
    )
    return bars_apart(*values)


def sentence(found: Sequence[Contrast]) -> str:
    """In how many variants the sign of the base's contrast is kept; "" without a base.

    A variant in which a network did not memorise is counted, and decides nothing.
    """
    base = next((one for one in found if one.variant == BASE), None)
    if base is None or len(found) < 2:
        return ""
    others = [one for one in found if one is not base]
    counting = [one for one in others if one.memorised]
    kept = [one for one in counting if one.sign == base.sign]
    more = {1: "corrupted", -1: "true", 0: "neither"}[base.sign]
    words = f"In the base ablation costs more with {more} labels"
    if not base.memorised:
        words += ", though not all of its networks memorised"
    words += (
        f" (normalized AUC {difference_words(base.normalized)}); of "
        f"{counted(len(others), 'variant')} {len(counting) or 'none'} memorised all labels"
    )
    if not counting:
        return f"{words}."
    words += (
        f", and {len(kept) or 'none'} of these {'keeps' if len(kept) == 1 else 'keep'} this sign"
    )
    clear = sum(one.clear for one in kept)
    return f"{words}, {clear or 'none'} with error bars that do not touch." if kept else f"{words}."


def difference_words(found: Estimate) -> str:
    """A difference with its sign and its bar.

    >>> from repro.paper.finding import Interval
    >>> difference_words(Estimate(0.03, Interval(-0.01, 0.07)))
    '+0.030 [-0.010, +0.070]'
    """
    if not np.isfinite(found.value):
        return "undefined"
    if not np.isfinite(found.interval.low):
        return f"{found.value:+.3f}"
    return f"{found.value:+.3f} [{found.interval.low:+.3f}, {found.interval.high:+.3f}]"


def variant_settings(figure: FigureConfig) -> dict[str, str]:
    """The settings in which each variant differs from the base, in words, by its name."""
    return {
        name: ", ".join(setting_words(key, value) for key, value in changes)
        for name, changes in figure.variants
    }
