"""The rule on single images (C23), a claim of ours. As in `repro.paper.rules_networks`, it was
written before its results were seen, and its text is formatted from its fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repro.core.kinds import ImageTable
from repro.core.kinds.fragility import SCORES
from repro.core.results import FigureResult
from repro.paper.finding import (
    INCONCLUSIVE,
    NOT_RUN,
    Finding,
    Interval,
    counted,
    paired,
    plus_minus,
    three_way,
)
from repro.paper.measures import MEMORISED, flips_of, image_tables, memorised
from repro.paper.rule import Rule


@dataclass(frozen=True)
class MemorisedImagesAreFragile(Rule):
    """C23: images with true and with shuffled labels in one network.

    chance: area under the ROC curve of a score that tells nothing. memorised: training accuracy
    from which a network memorised its labels. fewest: networks to decide by.
    """

    chance: float = 0.5
    memorised: float = MEMORISED
    fewest: int = 2

    template = (
        "Area under the ROC curve of finding the training images with shuffled labels by their "
        "fragility (the share of single units whose lesion changes the answer), in each network "
        "that was trained with some labels shuffled, to a training accuracy of {memorised} or "
        "more. Value: mean over networks; interval: {confidence!p} t over networks, of which there "
        "are {fewest!w} or more. Supported: it lies above {chance}. Not supported: it lies below. "
        "Else inconclusive. In words also, and without a part in the verdict: the areas of the "
        "image's loss and of its margin, and the units that change an answer, chosen greedily."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        partly = [one for one in figure.networks if 0 < one.config.label_corruption < 1]
        networks = memorised(partly, self.memorised)
        tables = [one for one in image_tables(networks) if np.isfinite(one.area("fragility"))]
        if not image_tables(partly):
            return Finding(NOT_RUN, note="No network of partly shuffled labels was lesioned.")
        left = len(partly) - len(networks)
        note = f"Networks that did not memorise, and do not count: {left}." if left else ""
        if len(tables) < self.fewest:
            return Finding(INCONCLUSIVE, note=f"{note} It needs two networks.".strip())
        areas = {name: np.array([table.area(name) for table in tables]) for name in SCORES}
        found = paired((areas["fragility"] - self.chance).tolist())
        value = self.chance + found.value
        interval = Interval(*(self.chance + end for end in found.interval))
        verdict = three_way(
            supported=interval.above(self.chance), refuted=interval.below(self.chance)
        )
        ours = f"area by fragility {plus_minus(areas['fragility'])}"
        ours += "".join(f", by {name} {plus_minus(areas[name])}" for name in ("loss", "margin"))
        ours += f"; mean fragility {_mean(tables, True)} of shuffled and {_mean(tables, False)} of "
        ours += f"true labels; {flips_words(tables)}"
        n = f"{counted(len(tables), 'network')}, {tables[0].n_images:,} images each"
        return Finding(verdict, ours, value, interval, n, note)


def _mean(tables: list[ImageTable], shuffled: bool) -> str:
    """Mean fragility of the images of one kind, networks pooled."""
    values = [t.fragility[t.shuffled if shuffled else t.truthful] for t in tables]
    return f"{np.concatenate(values).mean():.3f}"


def flips_words(tables: list[ImageTable]) -> str:
    """How many units change an answer, of either kind of labels."""
    words = []
    for shuffled, name in ((True, "shuffled"), (False, "true")):
        found = flips_of(tables, shuffled)
        if len(found):
            mean = float(found.mean())
            many = f"{mean:.2f}" if np.isfinite(mean) else "more than were tried"
            words.append(f"{many} ({name} labels, {counted(len(found), 'image')})")
    if not words:
        return "how many units change an answer was not asked"
    return f"mean number of units that change an answer: {', '.join(words)}"


memorised_images_are_fragile = MemorisedImagesAreFragile()
