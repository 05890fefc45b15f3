"""How much of a study fits into a given time: measured on a few lesions, then divided.

Costs are taken to grow with images, units and points, which holds for convolutional networks; a
study of everything in a dense network takes seconds. Two rules choose what is left out:

- images before units: every unit on a sample of images, as long as that is `UNITS_BEFORE_IMAGES` or
  more; only then a sample of the units, the same share of each layer;
- the cumulative ablation curve gets the share `_CURVE_SHARE` of the time for lesions.

Measuring is itself bounded: costs that there is no time to try are estimated from the others.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.engine.engine import Engine
from repro.study.sample import CONTROLS

UNITS_BEFORE_IMAGES = 100  # images below which units are left out before images
_FEWEST_IMAGES = 16  # images of the smallest sample
_FEWEST_UNITS = 4  # units of a layer in the smallest sample
_CURVE_SHARE = 0.35  # share of the time for lesions that the curve gets
# Share of the time given to lesions; the rest covers drawing, writing and estimation error.
_DIVIDED = 0.85
# Choices of (orders, points) of the curve; the first that leaves it UNITS_BEFORE_IMAGES is taken.
_CURVES = ((10, 51), (10, 21), (5, 21), (3, 11), (2, 6))
# Lesions of many units that a report makes besides, on all images: the redundant units together,
# CONTROLS sets of as many others, and three lesions for standard errors.
LESIONS_BESIDES = 1 + CONTROLS + 3
# Units that are lesioned once more, on groups of the images, so that the study can tell whether
# their importance differs from 0 (`study.Study.tested`).
TESTED = 64
TESTED_FROM = 50  # images below which no unit is tested
_PROBED_UNITS = 12  # units that are lesioned to measure what a lesion costs
_PROBE_SECONDS = 2.0  # time that these lesions shall take
_PROBE_POINTS = (3, 9)  # points of the two curves that tell an order's cost from a point's
_PROBE_IMAGES = 256  # most images that the costs are measured on


@dataclass(frozen=True)
class Pace:
    """Seconds that each part of a study takes on this machine, compilation apart.

    image: reading one image in the intact network, with every unit's activity.
    lesion: lesioning one unit on one image, averaged over units.
    order: following one random order on one image. point: each point of that order besides.
    compilation: compiling everything, in all.
    """

    image: float
    lesion: float
    order: float
    point: float
    compilation: float


@dataclass(frozen=True)
class Plan:
    """What a study does.

    n_images: size of the sample, which is stratified by class.
    n_units: number of units that are lesioned alone.
    orders, points, curve_images: size of the cumulative ablation curve.
    seconds: time that the study will take, estimated from a few lesions.
    last_seconds: the part of it after the lesions of single units: the curve, units tested once
        more, a few lesions of many units.
    """

    n_images: int
    n_units: int
    orders: int
    points: int
    curve_images: int
    seconds: float
    last_seconds: float


def measure(
    engine: Engine, images: np.ndarray, labels: np.ndarray, seconds: float = math.inf
) -> Pace:
    """Times a few lesions of a few images, and compiles what they need.

    Args:
        engine: engine of the network; its graphs are compiled on the way.
        images, labels: some of the study's images; as many as are needed are used.
        seconds: time after which nothing new is begun. One layer is tried in any case. Layers that
            are not tried are taken to need as much, and a point of a curve as much as an image.
    """
    ends = time.perf_counter() + seconds
    few = min(len(images), _FEWEST_IMAGES)
    probe = engine.on(images[:few], labels[:few])
    first, again = _twice(probe.statistics)
    compilation = max(0.0, first - again)
    # The probe lesions shall last _PROBE_SECONDS; each lesion costs about as much as reading the
    # image again.
    fitting = int(_PROBE_SECONDS / _PROBED_UNITS / max(again / few, 1e-9))
    few = min(len(images), _PROBE_IMAGES, max(_FEWEST_IMAGES, fitting))
    probe = engine.on(images[:few], labels[:few])
    units, first, share = _compiled(probe, ends)
    of_units = _timed(functools.partial(probe.single_units, units=units))
    compilation += max(0.0, first - of_units) / share
    _, of_images = _twice(probe.statistics)
    orders = np.random.default_rng(0).permutation(engine.layout.n_units)[None]
    spent = []
    for points in _PROBE_POINTS:
        if time.perf_counter() > ends:
            break
        counts = np.unique(np.linspace(0, engine.layout.n_units, points).round().astype(int))
        first, again = _twice(functools.partial(probe.cumulative, orders, counts))
        compilation += max(0.0, first - again)
        spent.append(again)
    point, order = of_images, 0.0
    if len(spent) == len(_PROBE_POINTS):
        point = max(0.0, (spent[1] - spent[0]) / (_PROBE_POINTS[1] - _PROBE_POINTS[0]))
        order = max(0.0, spent[0] - _PROBE_POINTS[0] * point)
    return Pace(
        image=of_images / few,
        lesion=of_units / (len(units) * few),
        order=order / few,
        point=point / few,
        compilation=compilation,
    )


def _compiled(probe: Engine, ends: float) -> tuple[np.ndarray, float, float]:
    """Lesions some units, the layers in a scattered order, until the time is up.

    Returns:
        The lesioned units; the seconds that they took; the share of the layers that were reached.
    """
    layout = probe.layout
    # Spread evenly over all units, so that large layers count for more.
    units = np.linspace(0, layout.n_units - 1, _PROBED_UNITS).round().astype(int)
    units = np.unique(units)
    layer = np.searchsorted(layout.starts, units, side="right")
    by_layer = [units[layer == number] for number in np.unique(layer)]
    order = np.random.default_rng(0).permutation(len(by_layer))
    seconds, n_tried = 0.0, 0
    for number in order:
        seconds += _timed(functools.partial(probe.single_units, units=by_layer[number]))
        n_tried += 1
        if time.perf_counter() > ends:
            break
    tried = np.sort(np.concatenate([by_layer[number] for number in order[:n_tried]]))
    return tried, seconds, n_tried / len(layout.layers)


def everything(pace: Pace, n_images: int, n_units: int) -> Plan:
    """All images, all units, and the longest curve."""
    orders, points = _CURVES[0]
    return _estimated(pace, n_images, n_units, orders, min(points, n_units + 1), n_images)


def within(pace: Pace, seconds: float, n_images: int, n_units: int, n_layers: int) -> Plan:
    """The largest plan that fits into a time; at least a little of everything, even where that
    takes longer.

    Args:
        seconds: time for all of it, from now on.
        n_images, n_units, n_layers: how many there are.
    """
    whole = everything(pace, n_images, n_units)
    if whole.seconds <= _DIVIDED * seconds:
        return whole
    left = max(0.0, _DIVIDED * seconds - pace.compilation)
    for_units, for_curve = (1 - _CURVE_SHARE) * left, _CURVE_SHARE * left
    besides = pace.image + LESIONS_BESIDES * pace.point
    of_image = besides + _lesions(n_units, n_images) * pace.lesion
    images = _between(for_units / of_image, min(UNITS_BEFORE_IMAGES, n_images), n_images)
    fewest = min(n_units, _FEWEST_UNITS * n_layers)
    fitting = (for_units / images - besides) / pace.lesion
    # Tested units are lesioned twice: units and tested units together are as many as fit.
    units = _between(max(fitting / 2, fitting - TESTED), fewest, n_units)
    if units == fewest:
        # If enough images fit, some units are tested; otherwise fewer images, and no test.
        for most in (images, min(images, TESTED_FROM - 1)):
            of_image = besides + _lesions(units, most) * pace.lesion
            images = _between(for_units / of_image, min(_FEWEST_IMAGES, n_images), most)
            if images >= TESTED_FROM:
                break
    for orders, most_points in _CURVES:
        points = min(most_points, n_units + 1)
        fitting = for_curve / (orders * (pace.order + points * pace.point))
        if fitting >= min(UNITS_BEFORE_IMAGES, images):
            break
    on_curve = _between(fitting, min(_FEWEST_IMAGES, images), images)
    return _estimated(pace, images, units, orders, points, on_curve)


def _estimated(
    pace: Pace, n_images: int, n_units: int, orders: int, points: int, curve_images: int
) -> Plan:
    for_units = n_images * (pace.image + n_units * pace.lesion)
    for_curve = curve_images * orders * (pace.order + points * pace.point)
    tested = (_lesions(n_units, n_images) - n_units) * pace.lesion
    last = for_curve + n_images * (tested + LESIONS_BESIDES * pace.point)
    seconds = pace.compilation + for_units + last
    return Plan(n_images, n_units, orders, points, curve_images, seconds, last)


def _lesions(n_units: int, n_images: int) -> int:
    """How many lesions of single units a study of so many units makes, tests included."""
    return n_units + n_tested(n_units, n_images)


def n_tested(n_units: int, n_images: int) -> int:
    """How many of the units that were lesioned alone are tested."""
    return min(n_units, TESTED) if n_images >= TESTED_FROM else 0


def _between(value: float, low: int, high: int) -> int:
    return int(min(max(math.floor(min(value, high)), low), high))


def _twice(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the first call, which compiles, and of the second."""
    return _timed(work), _timed(work)


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
