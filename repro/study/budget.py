"""How much of a study fits into a given time: measured on a few lesions, then divided.

Costs are taken to grow with images, units and points, which holds for convolutional networks; of
dense ones even everything takes seconds. What is left out is chosen by two rules:

- images before units: every unit on a sample of images, as long as that is `FEW_IMAGES` or more;
  only then a sample of the units, the same share of each layer;
- of the time for lesions, `_CURVE_SHARE` goes to the cumulative ablation curve.

Measuring is itself bounded: what there is no time to try is estimated from the rest.
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

FEW_IMAGES = 100
_FEWEST_IMAGES = 16
_FEWEST_UNITS = 4  # of a layer
_CURVE_SHARE = 0.35
# Of the budget, what is divided: the rest is for pictures, files, and for being wrong.
_DIVIDED = 0.85
# Orders and points of the curve: the first that leaves it FEW_IMAGES.
_CURVES = ((10, 51), (10, 21), (5, 21), (3, 11), (2, 6))
# Lesions of many units that a report asks for besides, on all images: redundant units together and
# as many others (`measured.CONTROLS`), and three for standard errors.
LESIONS_BESIDES = 9
# Units that are lesioned once more, on groups of the images, to know whether their importance is
# told from 0 (`study.Study.tested`), if there are so many images.
TESTED = 64
TESTED_ON = 50
_PROBED_UNITS = 12
_PROBE_SECONDS = 2.0
_PROBE_POINTS = (3, 9)
_PROBE_IMAGES = 256


@dataclass(frozen=True)
class Pace:
    """Seconds on this machine, compilation apart.

    image: to read one image intact, with every unit's activity.
    lesion: to lesion one unit on one image, averaged over units.
    order: to follow one random order on one image; point: for each of its points besides.
    compilation: until everything has run once, in all.
    """

    image: float
    lesion: float
    order: float
    point: float
    compilation: float


@dataclass(frozen=True)
class Plan:
    """What a study does.

    n_images: a sample stratified by class; n_units: that are lesioned alone.
    orders, points, curve_images: of the cumulative ablation curve.
    seconds: that it will take, as far as a few lesions tell. last_seconds: of them for what comes
        after the units alone: the curve, units tested once more, a few lesions of many units.
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
        engine: of the network; its graphs are compiled on the way.
        images, labels: some of those to study; as many as are needed are used.
        seconds: after which nothing new is begun. One layer is tried in any case; what the others
            need is taken to be as much, and a point of a curve to cost as much as an image.
    """
    ends = time.perf_counter() + seconds
    few = min(len(images), _FEWEST_IMAGES)
    probe = engine.on(images[:few], labels[:few])
    first, again = _twice(probe.statistics)
    compilation = max(0.0, first - again)
    # As many images as make the probe lesions last, and not too long: each costs about as much
    # as reading the image again.
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
        Those units; the seconds that it took; and the share of the layers that they are of.
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
    """As much as fits into a time; at least a little of everything, even where that takes longer.

    Args:
        seconds: for all of it, from now on.
        n_images, n_units, n_layers: that there are.
    """
    whole = everything(pace, n_images, n_units)
    if whole.seconds <= _DIVIDED * seconds:
        return whole
    left = max(0.0, _DIVIDED * seconds - pace.compilation)
    for_units, for_curve = (1 - _CURVE_SHARE) * left, _CURVE_SHARE * left
    besides = pace.image + LESIONS_BESIDES * pace.point
    of_image = besides + _lesions(n_units, n_images) * pace.lesion
    images = _between(for_units / of_image, min(FEW_IMAGES, n_images), n_images)
    fewest = min(n_units, _FEWEST_UNITS * n_layers)
    fitting = (for_units / images - besides) / pace.lesion
    # So many units that with those of them that are tested, they are as many as fit.
    units = _between(max(fitting / 2, fitting - TESTED), fewest, n_units)
    if units == fewest:
        # With a test of them if enough images fit, else fewer than it takes, and none.
        for most in (images, min(images, TESTED_ON - 1)):
            of_image = besides + _lesions(units, most) * pace.lesion
            images = _between(for_units / of_image, min(_FEWEST_IMAGES, n_images), most)
            if images >= TESTED_ON:
                break
    for orders, most_points in _CURVES:
        points = min(most_points, n_units + 1)
        fitting = for_curve / (orders * (pace.order + points * pace.point))
        if fitting >= min(FEW_IMAGES, images):
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
    """Lesions of single units that so many units take, those that are tested besides."""
    return n_units + n_tested(n_units, n_images)


def n_tested(n_units: int, n_images: int) -> int:
    """How many of the units that were lesioned alone are tested."""
    return min(n_units, TESTED) if n_images >= TESTED_ON else 0


def _between(value: float, low: int, high: int) -> int:
    return int(min(max(math.floor(min(value, high)), low), high))


def _twice(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the first call, which compiles, and of the second."""
    return _timed(work), _timed(work)


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
