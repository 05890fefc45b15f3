"""How each kind of sweep is made: a network and images in, curves and unit tables out.

`repro.core.kinds` has the settings and the records of the kinds; here stands what makes the one
from the other, under `@RUNNERS.of(name of the kind)`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from repro.core import metrics
from repro.core.kinds import (
    ORDERS,
    AblationCurve,
    CumulativeConfig,
    FragilityConfig,
    Functions,
    ImageTable,
    Intact,
    IntactConfig,
    NoiseConfig,
    NoiseCurve,
    Portraits,
    PortraitsConfig,
    SingleUnitConfig,
    SweepResult,
    UnitTable,
)
from repro.core.settings import ROLES, SweepConfig
from repro.engine.counts import Outcome
from repro.engine.engine import Engine
from repro.engine.layout import Fill, Layout
from repro.models.networks import HEAD

_CHECKED_IMAGES = 64


def _taken(images: Any, labels: Any, index: np.ndarray) -> tuple[Any, Any]:
    """Some of the images and their labels, in arrays or in a stream."""
    if labels is None:
        return images.take(index), None
    return images[index], labels[index]


def _in_order(labels: Any, index: np.ndarray) -> np.ndarray:
    """The places in the order in which `_taken` gives their images."""
    return np.sort(index) if labels is None else index


class Engines:
    """Engines of one network as it is now, for several sweeps.

    The engines share their compiled graphs. The first one has been checked against plain Keras.

    Args:
        model: as for `engine.Engine`; its weights must not change while the engines are in use.
        on_progress: called with the number of (image, lesion) pairs just evaluated.
        threads: processors to use; None for all.
    """

    def __init__(
        self,
        model: keras.Model,
        on_progress: Callable[[int], None] = lambda pairs: None,
        threads: int | None = None,
    ) -> None:
        self._model, self._on_progress, self._threads = model, on_progress, threads
        self._first: Engine | None = None
        self._checked = False

    def on(self, images: Any, labels: Any, check: bool = True) -> Engine:
        """The engine on these images.

        Args:
            check: verify the first engine on some of the images. Later engines are not verified:
                plain Keras takes as long for one unit of a convnet as the engine for a hundred.
        """
        if self._first is None:
            self._first = self.turned(None, images, labels)
            engine = self._first
        else:
            engine = self._first.on(images, labels)
        if check and not self._checked:
            some = np.arange(min(_CHECKED_IMAGES, len(images)))
            engine.on(*_taken(images, labels, some)).check()
            self._checked = True
        return engine

    def turned(self, bases: Mapping[str, np.ndarray] | None, images: Any, labels: Any) -> Engine:
        """A new engine whose units are the directions of these bases."""
        return Engine(
            self._model,
            images,
            labels,
            bases=bases,
            on_progress=self._on_progress,
            threads=self._threads,
        )


class Inputs(NamedTuple):
    """What a sweep is made with, beside its settings.

    engines: the network. images, labels: the images that the settings ask for; labels are None for
        a stream, which has its own.
    ranked_on: images and labels of the split `SweepConfig.other_images`; None if it is "".
    true_labels: int (n_images,), before some were shuffled; None where they are not known.
    rng: generator of all that the sweep draws.
    """

    engines: Engines
    images: Any
    labels: Any
    ranked_on: tuple[Any, Any] | None
    rng: np.random.Generator
    true_labels: np.ndarray | None = None

    def engine(self, check: bool = True) -> Engine:
        """The engine on the images; `check` as for `Engines.on`."""
        return self.engines.on(self.images, self.labels, check)

    def turned(self, bases: Mapping[str, np.ndarray]) -> Engine:
        """A new engine on the images whose units are the directions of these bases."""
        return self.engines.turned(bases, self.images, self.labels)


# How a kind of sweep is made, by its name: (settings, Inputs) -> record.
RUNNERS = Functions()


def run(
    config: SweepConfig,
    network: keras.Model | Engines,
    images: Any,
    labels: Any,
    ranked_on: tuple[Any, Any] | None = None,
    true_labels: np.ndarray | None = None,
) -> SweepResult:
    """Makes the lesions of one config in one network and returns what they do.

    Args:
        network: a model; or its `Engines`, where several sweeps are made in one model.
        images, labels: as for `engine.Engine`; images of the split that the config names. A stream
            (labels None) has a length and `take`, as `imagenet.ImageStream` does.
        ranked_on: images and labels of the split config.other_images, on which an order by a
            measure is found; None for the images above.
        true_labels: int (n_images,), of the images, before some were shuffled; None if not known.

    Raises:
        ValueError: fewer images than config.n_images, or fewer than two where config.halves; fewer
            masked layers than config.last_layers or config.only_layer.
    """
    if config.n_images > len(images):
        raise ValueError(f"n_images = {config.n_images:,} but there are {len(images):,} images")
    rng = np.random.default_rng(config.seed)
    if config.n_images:
        chosen = rng.permutation(len(images))[: config.n_images]
        # A stream gives images in its own order.
        true_labels = None if true_labels is None else true_labels[_in_order(labels, chosen)]
        images, labels = _taken(images, labels, chosen)
    engines = network if isinstance(network, Engines) else Engines(network)
    return RUNNERS[config.kind](
        config, Inputs(engines, images, labels, ranked_on, rng, true_labels)
    )


@RUNNERS.of("cumulative")
def _run_cumulative(config: CumulativeConfig, inputs: Inputs) -> AblationCurve:
    engine = inputs.engine()
    if config.basis == "random":
        return rotated(engine.layout, inputs.turned, config, inputs.rng)
    if inputs.ranked_on is None:
        return cumulative(engine, config, inputs.rng)
    ranking = inputs.engines.on(*inputs.ranked_on, check=False)
    return cumulative(engine, config, inputs.rng, ranking)


@RUNNERS.of("single_unit")
def _run_single_unit(config: SingleUnitConfig, inputs: Inputs) -> UnitTable:
    engine = inputs.engine()
    if config.basis == "random":
        layers, _ = last_layers(engine.layout, config.last_layers)
        engine = inputs.turned(
            {name: metrics.random_basis(size, inputs.rng) for name, size in layers}
        )
    halves = _halves(engine, inputs.images, inputs.labels) if config.halves else ()
    return single_unit(engine, config, halves)


@RUNNERS.of("noise")
def _run_noise(config: NoiseConfig, inputs: Inputs) -> NoiseCurve:
    return noise(inputs.engine(), config)


@RUNNERS.of("intact")
def _run_intact(config: IntactConfig, inputs: Inputs) -> Intact:
    return without_lesion(inputs.engine(check=False), config)


@RUNNERS.of("portraits")
def _run_portraits(config: PortraitsConfig, inputs: Inputs) -> Portraits:
    return portraits(inputs.engine(), inputs.images, inputs.labels, config)


@RUNNERS.of("fragility")
def _run_fragility(config: FragilityConfig, inputs: Inputs) -> ImageTable:
    labels = inputs.labels
    if labels is None:
        labels = inputs.images.labels_in_order()
    return fragility(inputs.engine(), config, labels, inputs.true_labels, inputs.rng)


def cumulative(
    engine: Engine,
    config: CumulativeConfig,
    rng: np.random.Generator,
    ranking: Engine | None = None,
) -> AblationCurve:
    """Ablates more and more units over all layers, or some, in random orders (paper section 2.2) or
    in the order that the config names.

    Args:
        ranking: the engine on the images on which an order by a measure is found; None for
            `engine`.
    """
    layers, first = _ablated_layers(engine.layout, config)
    n_units = sum(size for _, size in layers)
    counts = config.n_ablated(n_units)
    if config.order == "random":
        orders = np.stack([rng.permutation(n_units) for _ in range(config.orders)])
    else:
        order = ranked(ranking or engine, config.order, config.descending) - first
        orders = order[(order >= 0) & (order < n_units)][None]
    outcome = engine.cumulative(orders + first, counts, _fill(engine, config.fill))
    return _curve(layers, counts, orders, outcome, config)


def rotated(
    layout: Layout,
    engine: Callable[[Mapping[str, np.ndarray]], Engine],
    config: CumulativeConfig,
    rng: np.random.Generator,
) -> AblationCurve:
    """Ablates more and more directions of random rotations of the layers.

    Each order has rotations of its own, so the spread over orders covers rotations too
    (docs/paper.md, "Rotated bases").

    Args:
        engine: returns an engine with the given bases.
    """
    layers, first = last_layers(layout, config.last_layers)
    n_units = sum(size for _, size in layers)
    counts = config.n_ablated(n_units)
    orders, outcomes = [], []
    for _ in range(config.orders):
        bases = {name: metrics.random_basis(size, rng) for name, size in layers}
        turned = engine(bases)
        orders.append(rng.permutation(n_units))
        outcomes.append(turned.cumulative(orders[-1] + first, counts, _fill(turned, config.fill)))
    outcome = Outcome(
        n_correct=np.concatenate([one.n_correct for one in outcomes]),
        loss_sum=np.concatenate([one.loss_sum for one in outcomes]),
        n_top5=np.concatenate([one.n_top5 for one in outcomes]),
        n_tied=np.concatenate([one.n_tied for one in outcomes]),
        n_images=outcomes[0].n_images,
    )
    return _curve(layers, counts, np.stack(orders), outcome, config)


def _ablated_layers(
    layout: Layout, config: CumulativeConfig
) -> tuple[tuple[tuple[str, int], ...], int]:
    """The layers that a config ablates, and the number of their first unit."""
    if not config.only_layer:
        return last_layers(layout, config.last_layers)
    if config.only_layer > len(layout.layers):
        raise ValueError(
            f"only_layer = {config.only_layer} but the network has {len(layout.layers)} masked "
            "layers"
        )
    chosen = config.only_layer - 1
    return (layout.layers[chosen],), layout.starts[chosen]


def last_layers(layout: Layout, n_layers: int) -> tuple[tuple[tuple[str, int], ...], int]:
    """The last masked layers, 0 for all, and the number of their first unit.

    The hidden layer of a convnet's head counts among all, and not among the last n: the paper's
    last three layers are layers of feature maps (docs/paper.md, "The convnet on CIFAR-10").

    Raises:
        ValueError: the network has fewer masked layers.

    >>> last_layers(Layout((("a", 8), ("b", 4), ("c", 2))), 2)
    ((('b', 4), ('c', 2)), 8)
    """
    if not n_layers:
        return layout.layers, 0
    end = len(layout.layers)
    if end and layout.layers[-1][0] == HEAD:
        end -= 1
    if n_layers > end:
        head = ", the head left out" if end < len(layout.layers) else ""
        raise ValueError(f"last_layers = {n_layers} but the network has {end} masked layers{head}")
    return layout.layers[end - n_layers : end], layout.starts[end - n_layers]


def _curve(
    layers: tuple[tuple[str, int], ...],
    counts: np.ndarray,
    orders: np.ndarray,
    outcome: Outcome,
    config: CumulativeConfig,
) -> AblationCurve:
    return AblationCurve(
        layers=layers,
        n_ablated=counts,
        n_correct=outcome.n_correct.sum(axis=2),
        loss=outcome.loss,
        orders=orders.astype(np.int32),
        n_images=outcome.n_images,
        images=config.images,
        fill=config.fill,
        n_tied=int(outcome.n_tied.sum()),
        n_top5=outcome.n_top5,
        n_answers=outcome.n_answers,
    )


def ranked(engine: Engine, measure: str, descending: bool = False) -> np.ndarray:
    """int (n_units,), the units in the order of a measure on the engine's images.

    Equal units come in the order of their numbers (docs/paper.md, "Ordered ablation").

    Args:
        measure: class_selectivity, mutual_information, weight_norm or mean_activation.
        descending: the largest first.

    Raises:
        ValueError: another measure, or one that the network does not have, see
            `Engine.weight_norms`; images of one class only, which leave nothing to order by.
    """
    if measure == "weight_norm":
        values = engine.weight_norms()
    elif measure in ("class_selectivity", "mutual_information"):
        statistics = engine.statistics()
        _check_classes(statistics.n_occurring, f"an order by {measure.replace('_', ' ')}")
        values = getattr(statistics, measure)
    elif measure == "mean_activation":
        values = engine.statistics().means
    else:
        raise ValueError(
            f"measure must be one of {', '.join(ORDERS[1:])}. Received: measure={measure!r}"
        )
    return np.argsort(-values if descending else values, kind="stable")


def _check_classes(n_occurring: int, what: str) -> None:
    if n_occurring < 2:
        raise ValueError(
            f"{what} needs images of two classes or more, got images of {n_occurring}; give images "
            "of more classes"
        )


def noise(engine: Engine, config: NoiseConfig) -> NoiseCurve:
    """Adds Gaussian noise to all units at once (paper section 2.2, Fig. 2)."""
    scales = config.values()
    outcome = engine.noise(
        scales, draws=config.draws, seed=config.seed, whole_maps=config.per == "map"
    )
    return NoiseCurve(
        layers=engine.layout.layers,
        scales=scales,
        n_correct=outcome.n_correct.sum(axis=2),
        loss=outcome.loss,
        n_top5=outcome.n_top5,
        n_images=outcome.n_images,
        images=config.images,
        n_tied=int(outcome.n_tied.sum()),
    )


def without_lesion(engine: Engine, config: IntactConfig) -> Intact:
    """Reads accuracy and loss of the intact network."""
    outcome = engine.intact()
    return Intact(
        n_correct=int(outcome.n_correct.sum()),
        n_top5=int(outcome.n_top5),
        loss=float(outcome.loss),
        n_images=outcome.n_images,
        images=config.images,
        n_tied=int(outcome.n_tied),
    )


Half = tuple[Engine, np.ndarray]  # engine on half of the images, images of each class


def single_unit(engine: Engine, config: SingleUnitConfig, halves: Sequence[Half] = ()) -> UnitTable:
    """Ablates every unit alone, and measures what it does (paper 2.3, 3.4, A.4, A.5).

    Args:
        engine: an engine whose units are directions if config.basis is "random".
        halves: engines on two halves of the images; the class that loses most is chosen on one half
            and its drop measured on the other (docs/paper.md, "Class drops").
    """
    layers, first = last_layers(engine.layout, config.last_layers)
    units = first + np.arange(sum(size for _, size in layers))
    statistics = engine.statistics()
    fill = _fill(engine, config.fill)
    parts = [part for part, _ in halves] or [engine]
    intacts = [part.intact() for part in parts]
    outcomes = [part.single_units(fill, units) for part in parts]
    intact, outcome = (functools.reduce(operator.add, each) for each in (intacts, outcomes))
    # A direction has no incoming weights of its own: all units feed it.
    every = engine.layout.n_units
    norms = _weight_norms(engine) if config.basis == "unit" else np.full(every, np.nan)
    return UnitTable(
        layers=layers,
        class_means=statistics.class_means[:, units],
        n_correct=outcome.n_correct,
        loss=outcome.loss,
        intact_correct=intact.n_correct,
        intact_loss=float(intact.loss),
        class_counts=statistics.class_counts,
        sparsity=statistics.sparsity[units],
        mutual_information=statistics.mutual_information[units],
        mutual_information_bias=statistics.mutual_information_bias[units],
        weight_norm=norms[units],
        images=config.images,
        fill=config.fill,
        n_tied=int(outcome.n_tied.sum()),
        basis=config.basis,
        drop_held_out=_held_out(halves, intacts, outcomes) if halves else None,
    )


def _halves(engine: Engine, images: Any, labels: Any) -> list[Half]:
    """The engine on either half of the images of each class.

    Args:
        images, labels: the images and labels of the engine.
    """
    every = images.labels_in_order() if labels is None else np.asarray(labels)
    if len(every) < 2:
        raise ValueError("halves = true needs two images or more")
    order = np.argsort(every, kind="stable")  # class by class
    halves = [np.sort(order[start::2]) for start in range(2)]
    return [
        (
            engine.on(*_taken(images, labels, half)),
            np.bincount(every[half], minlength=engine.n_classes),
        )
        for half in halves
    ]


def _held_out(
    halves: Sequence[Half], intacts: Sequence[Outcome], ablated: Sequence[Outcome]
) -> np.ndarray:
    """`metrics.held_out_class_drop` of outcomes (n_units,) on two halves of the images, among the
    classes with images in both; NaN if there is none."""
    counts = [of_half for _, of_half in halves]
    both = np.all([of_half > 0 for of_half in counts], axis=0)
    if not both.any():
        return np.full(len(ablated[0].loss), np.nan)
    drops = [
        metrics.class_drops(intact.n_correct[both], outcome.n_correct[:, both], of_half[both])
        for intact, outcome, of_half in zip(intacts, ablated, counts, strict=True)
    ]
    return metrics.held_out_class_drop(*drops)


def fragility(
    engine: Engine,
    config: FragilityConfig,
    labels: np.ndarray,
    true_labels: np.ndarray | None,
    rng: np.random.Generator,
) -> ImageTable:
    """How much the answer to each image hangs on single units (docs/paper.md, "Fragile images").

    Args:
        labels: int (n_images,), of the engine's images. true_labels: before some were shuffled;
            None where they are not known, and then no fewest units are sought.
    """
    fill, labels = _fill(engine, config.fill), np.asarray(labels, np.int32)
    found = engine.fragility(fill=fill)
    truth = np.full(len(labels), -1, np.int32) if true_labels is None else true_labels
    answered = found.intact.predicted == labels
    chosen = [
        rng.permutation(np.flatnonzero(kind & answered))[: config.flipped]
        for kind in (truth == labels, (truth >= 0) & (truth != labels))
    ]
    flips = engine.flips(np.sort(np.concatenate(chosen)), most=config.most, fill=fill)
    return ImageTable(
        layers=engine.layout.layers,
        labels=labels,
        true_labels=np.asarray(truth, np.int32),
        answers=found.intact.predicted,
        n_changed=found.n_changed,
        loss=found.intact.loss.astype(np.float64),
        margin=found.intact.margin.astype(np.float64),
        flipped=flips.images,
        flip_units=flips.n_units,
        flip_at_least=flips.at_least,
        images=config.images,
        fill=config.fill,
        n_tied=found.n_tied,
    )


def portraits(engine: Engine, images: Any, labels: Any, config: PortraitsConfig) -> Portraits:
    """Picks a selective unit and a confusing one, and the images that drive them most.

    docs/paper.md, "The pictures of DeepMind's post", says what the two are for.

    Args:
        images, labels: the images and labels of the engine.

    Raises:
        ValueError: images of one class only.
    """
    layers, first = last_layers(engine.layout, config.last_layers)
    statistics = engine.statistics(n_top=config.n_top)
    _check_classes(statistics.n_occurring, "to pick a selective unit")
    units = first + np.arange(sum(size for _, size in layers))
    outcome = engine.single_units(_fill(engine, config.fill), units)
    importance = outcome.loss - float(engine.intact().loss)
    selectivity = statistics.class_selectivity[units]
    picked = picked_units(selectivity, importance)
    top = statistics.top_images[first + picked]
    pictures, top_labels = _images_of(images, labels, top)
    return Portraits(
        layers=layers,
        roles=ROLES,
        units=picked,
        class_means=statistics.class_means[:, first + picked],
        class_selectivity=selectivity[picked],
        importance=importance[picked],
        rank=1 + np.array([np.count_nonzero(importance > importance[unit]) for unit in picked]),
        median_importance=float(np.median(importance)),
        top_images=pictures,
        top_labels=top_labels,
        top_activations=statistics.top_activations[first + picked],
        n_images=outcome.n_images,
        images=config.images,
        fill=config.fill,
        n_tied=int(outcome.n_tied.sum()),
    )


def picked_units(selectivity: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """int64 (2,), a selective unit and a confusing one, see `PortraitsConfig`.

    Ties go to the first unit. If no unit lies above the median, all units are candidates.

    Args:
        selectivity, importance: float (n_units,).

    >>> picked_units(np.array([0.9, 0.7, 0.1, 0.2]), np.array([0.0, 3.0, 0.1, 2.0]))
    array([1, 3])
    """
    needed = np.flatnonzero(importance > np.median(importance))
    if not len(needed):
        needed = np.arange(len(importance))
    of_needed = selectivity[needed]
    return needed[[int(of_needed.argmax()), int(of_needed.argmin())]]


def _images_of(images: Any, labels: Any, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images and int64 labels by their number in the set; black and -1 for number -1.

    Args:
        images: pixels in [0, 1]. Pixels of another range are scaled so that the images reach from
            black to white.
        numbers: int, any shape.
    """
    wanted = np.unique(numbers[numbers >= 0])
    shape = tuple(images.shape[1:])
    pixels, classes = np.zeros((len(wanted), *shape)), np.zeros(len(wanted), np.int64)
    if labels is not None:
        pixels[:], classes[:] = images[wanted], labels[wanted]
    elif len(wanted):  # `take` gives images in the order of their numbers
        parts = [(np.asarray(part), np.asarray(of_part)) for part, of_part in images.take(wanted)]
        pixels[:] = np.concatenate([part for part, _ in parts])
        classes[:] = np.concatenate([of_part for _, of_part in parts])
    low, high = pixels.min(initial=0.0), pixels.max(initial=1.0)
    in_bytes = np.rint(255 * (pixels - low) / (high - low)).astype(np.uint8)
    place = np.where(numbers < 0, len(wanted), np.searchsorted(wanted, numbers))
    in_bytes = np.concatenate([in_bytes, np.zeros((1, *shape), np.uint8)])
    return in_bytes[place], np.append(classes, -1)[place]


def _weight_norms(engine: Engine) -> np.ndarray:
    """`Engine.weight_norms`; NaN where a unit is not the output of one layer's weights, as in
    ResNet-50."""
    try:
        return engine.weight_norms()
    except ValueError:
        return np.full(engine.layout.n_units, np.nan)


def _fill(engine: Engine, fill: str) -> Fill:
    """What ablated units read, by the name in `settings.FILLS`."""
    if fill == "zero":
        return None
    measured = {"mean": "means", "position_mean": "position_means"}
    found: Fill = getattr(engine.statistics(), measured[fill])
    return found
