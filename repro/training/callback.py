"""Single-direction reliance while a model is trained, from its training data alone.

    reliance = repro.SingleDirectionReliance(images, labels)
    stop = keras.callbacks.EarlyStopping(
        monitor="stopping_score", mode="max", patience=10, restore_best_weights=True
    )
    model.fit(images, labels, epochs=100, callbacks=[reliance, stop])

When a network begins to memorise, it relies more on single units, and the area under its cumulative
ablation curve falls, at about the time at which training and test loss part (paper section 3.2,
Fig. 4a). docs/callback.md describes the measurement, trials and costs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from repro.core import metrics
from repro.core.arguments import check_seed, whole_number
from repro.data import reading
from repro.data.given import Given, class_labels, taken
from repro.engine import passes, verify, walk
from repro.engine.by_walk import dense_layers
from repro.engine.network import trace
from repro.models import graph, heads
from repro.models.heads import Head
from repro.models.inputs import in_order, shapes_of, tensors_for
from repro.models.insertion import names_of_layers, with_masks
from repro.models.masking import AblationMask, ablation_masks, layer_of
from repro.training.regularizers import SelectivityRegularized

NAME, INTACT, SCORE = "normalized_auc", "intact_accuracy", "stopping_score"
_LAST_LAYERS = 3
# Default numbers of images. Dense networks are some hundred times faster than convolutional ones,
# see docs/callback.md.
_IMAGES_DENSE, _IMAGES = 500, 300
_IMAGES_PER_BATCH = 128
# So many images are used to compare the measured answers with the model's own answers. They may
# differ by this share of the largest answer, in single and in half precision.
_IMAGES_TO_CHECK, _CLOSE, _CLOSE_HALF = 8, 1e-3, 0.1


class SingleDirectionReliance(keras.callbacks.Callback):
    """Adds the normalized AUC of cumulative ablation to the logs of each epoch.

    `normalized_auc` is the area under the curve of accuracy against the fraction of units ablated,
    over the intact accuracy (paper section 3.2), averaged over random orders; low is high
    reliance. `normalized_auc/<layer>` is the same with the units of one layer alone. Images, orders
    and points are drawn once, so that epochs differ only in what the network has learned.

    These values are NaN while the network is no better than chance (see `above_chance`): lesions
    then cost nothing, and the area would be that of a perfect network. They are also NaN if
    weights, activations or the loss are not finite. The logs also hold

    - `intact_accuracy`, the accuracy on the measured images;
    - `stopping_score`, a number to monitor, in [0, 1] and never NaN: 0 where `normalized_auc` is
      NaN, else the smaller of two, how far the accuracy has come from chance to 1, and how much of
      its curve's height the lesions leave on average;
    - `dead/<layer>`, the fraction of the layer's units that are 0 on all these images.

    Callbacks that read the logs (EarlyStopping, ModelCheckpoint, CSVLogger, TensorBoard) must come
    after this one in the list. In an epoch that is not measured, the logs repeat the last values.

    The callback does not change the training: weights are only read, and no random state of Keras,
    Python or NumPy is touched.

    Args:
        images: training images (n_images, ...), as the model takes them; a dict or list for several
            inputs. Or a data set of (images, labels), as `fit` takes it.
        labels: the labels that the model is trained on: class numbers (n_images,) or (n_images, 1),
            one-hot, or names; 0 and 1 for a head of one number. None if `images` is a data set.
        every: epochs between measurements.
        model: the functional or Sequential network to measure, if the trained model is another
            class that contains this network. Both share the layers that are trained.
        layers: layers whose units are ablated, by name or by patterns such as "conv_*"; None for
            the last three hidden layers, as in the paper's convolutional networks.
        n_images: at most so many images, each class in its proportion. None for 500 if all layers
            after the first mask are dense with ReLU, else 300.
        orders: random orders in which units are ablated.
        points: number of points of each curve, evenly spaced, both ends included.
        seed: seed of images and orders.

    Attributes:
        seconds: duration of each measurement; the first one compiles.

    Raises:
        ValueError: an argument out of range, or data in no form that is known; when the training
            begins, a model that cannot be masked (see `insertion.insert_masks`), has no classes, or
            does not fit images and labels.
    """

    def __init__(
        self,
        images: Any,
        labels: Any = None,
        every: int = 1,
        *,
        model: keras.Model | None = None,
        layers: Sequence[str] | None = None,
        n_images: int | None = None,
        orders: int = 3,
        points: int = 9,
        seed: int = 0,
    ) -> None:
        super().__init__()
        numbers = {"every": every, "n_images": n_images, "orders": orders, "points": points}
        for name, value in numbers.items():
            low = 2 if name == "points" else 1
            if value is not None or name != "n_images":
                whole_number(name, value, f"{low} or more", low)
        check_seed(seed)
        layers = names_of_layers(layers)
        if layers == []:
            raise ValueError(
                "layers must name one hidden layer or more, got []; leave it out for the last "
                f"{_LAST_LAYERS}"
            )
        self._data: tuple[Any, Any] = images, heads.targets_of(labels)
        self._taken: Given | None = None
        if not reading.is_stream(images):
            _with_labels(taken(*self._data))  # reports errors that need no model
        self._every, self._layers, self._n_images = every, layers, n_images
        self._orders, self._points, self._seed = orders, points, seed
        self._network = model
        self._measured: keras.Model | None = None
        self._values: dict[str, float] = {}
        self.seconds: list[float] = []

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._measured is not self.model:
            self._prepare()
            self._measured = self.model
        self._values = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch % self._every == 0 or not self._values:
            began = time.perf_counter()
            self._values = self.measure()
            self.seconds.append(time.perf_counter() - began)
        if logs is not None:
            diverged = not math.isfinite(logs.get("loss", 0.0))
            logs.update(self._unknown() if diverged else self._values)

    def measure(self) -> dict[str, float]:
        """Measures the model in its present state; returns values by their names in the logs."""
        if not heads.has_finite_weights(self._masked):
            return self._unknown()
        n_correct = [np.zeros((len(c.orders), len(c.n_ablated)), np.int64) for c in self._curves]
        active = [np.zeros(mask.n_units, bool) for mask in self._masks]
        for batch in self._sample.batches(self._batch_size):
            seen = self._look(batch)
            if not seen.is_finite:
                return self._unknown()
            for counts, more in zip(n_correct, self._evaluator.counts(seen), strict=True):
                counts += more
            for layer, mask in zip(active, self._masks, strict=True):
                layer |= seen.active(mask)
        n_images = len(self._sample.labels)
        accuracies = [counts / n_images for counts in n_correct]
        intact, chance = int(n_correct[0][0, 0]), self._sample.chance
        values = self._unknown() | {INTACT: intact / n_images}
        if metrics.above_chance(intact, n_images, chance):
            for curve, accuracy in zip(self._curves, accuracies, strict=True):
                area = metrics.normalized_auc(curve.n_ablated, accuracy)
                values[curve.name] = float(area.mean())
            mean_curve = accuracies[0].mean(axis=0)
            values[SCORE] = stopping_score(self._curves[0].n_ablated, mean_curve, chance)
        for layer, mask in zip(active, self._masks, strict=True):
            values[f"dead/{layer_of(mask)}"] = float(np.mean(~layer))
        return values

    def _unknown(self) -> dict[str, float]:
        """The values in the logs for an epoch that cannot be measured."""
        nan = float("nan")
        return {
            **{curve.name: nan for curve in self._curves},
            INTACT: nan,
            SCORE: 0.0,
            **{f"dead/{layer_of(mask)}": nan for mask in self._masks},
        }

    def _prepare(self) -> None:
        """Masks the model, draws images and orders, and reads how the model is built."""
        model = self.model if self._network is None else self._network
        model = model.network if isinstance(model, SelectivityRegularized) else model
        heads.check_kind("SingleDirectionReliance", model, "as model=")
        masked = with_masks(model)
        masks = _chosen(ablation_masks(masked), self._layers)
        rng = np.random.default_rng(self._seed)
        curves = _draw(masks, self._orders, self._points, rng)
        given = self._given(model)
        inputs = in_order(model, given.inputs, given.names, given.table)
        head = heads.head(
            "SingleDirectionReliance",
            model,
            given.targets,
            lambda: heads.called(model, [x[:_IMAGES_TO_CHECK] for x in inputs]),
            self.model,
        )
        labels, _ = class_labels(heads.targets_of(given.targets), head.n_classes)
        chain = None if head.binary else _dense_chain(masked)
        most = self._n_images or (_IMAGES if chain is None else _IMAGES_DENSE)
        chosen = stratified(labels, most, rng)
        self._sample = _Sample([x[chosen] for x in inputs], labels[chosen])
        self._batch_size = most if chain is not None else _IMAGES_PER_BATCH
        self._masked, self._masks, self._curves = masked, masks, curves
        self._look = _Look(masked, masks, head)
        any_network = _Passes(masked, masks, curves, head)
        self._evaluator: _Evaluator = any_network
        if chain is not None:
            self._evaluator = _Walks(masked, masks, curves, chain, any_network)
        self._check(model, any_network)

    def _given(self, model: keras.Model) -> Given:
        """The data in the forms that this model takes. A stream is read once."""
        if self._taken is None:
            self._taken = _with_labels(taken(*self._data, wanted=shapes_of(model)))
            self._data = None, None
        return self._taken

    def _check(self, model: keras.Model, any_network: _Passes) -> None:
        """Compares the measured network with the model itself on a few images.

        Raises:
            ValueError: their answers differ.
        """
        batch = next(self._sample.batches(self._batch_size))
        seen = self._look(batch)
        expected = heads.called(model, [x[:_IMAGES_TO_CHECK] for x in batch.inputs])
        if not seen.is_finite or not np.all(np.isfinite(expected)):
            return  # measured as NaN
        largest = max(float(np.abs(expected).max()), 1e-30)
        close = largest * (_CLOSE if _is_single(self._masked) else _CLOSE_HALF)
        asked = {"the network with masks": seen.answers, **any_network.intact(seen)}
        for what, answers in asked.items():
            found = np.asarray(answers, np.float32)[: len(expected)].reshape(expected.shape)
            if not np.all(np.abs(found - expected) <= close):
                few = tuple(x[:_IMAGES_TO_CHECK] for x in batch.inputs)
                raise ValueError(
                    f"{what} does not answer as {model.name!r} does on {len(expected)} of its "
                    f"images (they differ by up to {np.nanmax(np.abs(found - expected)):.3g}), so "
                    "that reliance would be that of another network"
                    f"{verify.where_they_part(model, self._masked, few)}; choose later layers with "
                    "layers=, behind what depends on masked time steps or on state, or use "
                    "repro.ablate and model.predict"
                )


def stopping_score(n_ablated: np.ndarray, accuracy: np.ndarray, chance: float) -> float:
    """The smaller of two shares, in (0, 1]: what a network knows, and what lesions leave of it.

    The first share is the network's accuracy on the scale from chance (0) to 1. The second share is
    the area between the curve and its lowest point, divided by the curve's height. While a network
    learns, the first share is smaller and grows; once the network knows more than withstands
    lesions, the second share is smaller.

    Args:
        n_ablated: int (n_points,), from 0. accuracy: float (n_points,), the first above chance.

    >>> curve = np.array([0.9, 0.5, 0.1])
    >>> round(stopping_score(np.array([0, 4, 8]), curve, chance=0.1), 3)
    0.5
    >>> round(stopping_score(np.array([0, 4, 8]), np.array([0.28, 0.2, 0.1]), chance=0.1), 3)
    0.2
    """
    intact, lowest = float(accuracy[0]), float(np.min(accuracy))
    knows = (intact - chance) / (1 - chance)
    if intact == lowest:
        return knows
    area = float(metrics.area_under_curve(n_ablated, accuracy))
    return min(knows, (area - lowest) / (intact - lowest))


def stratified(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """int (min(n, n_images),): images drawn at random, each class in its proportion to within one.

    Args:
        labels: (n_images,).

    >>> stratified(np.array([0, 0, 1, 0, 1, 0]), 3, np.random.default_rng(0)).size
    3
    """
    by_class = rng.permutation(len(labels))
    by_class = by_class[np.argsort(labels[by_class], kind="stable")]
    n = min(n, len(labels))
    return np.sort(by_class[(np.arange(n) * len(labels) + len(labels) // 2) // n])


@dataclass(frozen=True)
class _Curve:
    """A curve: units of some masks, ablated one after the other.

    name: name of the value in the logs.
    first: the first measured mask with units in `orders`.
    orders: int (n_orders, n), units numbered through the measured masks.
    n_ablated: int (n_points,), increasing, from 0 to n.
    """

    name: str
    first: int
    orders: np.ndarray
    n_ablated: np.ndarray


@dataclass(frozen=True)
class _Batch:
    """Inputs, each (n, ...), and labels (n,). Only the first n_real are real; the others pad the
    batch, so that all batches have one shape."""

    inputs: list[np.ndarray]
    labels: np.ndarray
    n_real: int


@dataclass(frozen=True)
class _Sample:
    """The measured images: inputs, each (n_images, ...), and int32 labels."""

    inputs: list[np.ndarray]
    labels: np.ndarray

    @property
    def chance(self) -> float:
        """The share of the commonest class."""
        return float(np.bincount(self.labels).max() / len(self.labels))

    def batches(self, size: int) -> Iterator[_Batch]:
        n_images = len(self.labels)
        n_batches = math.ceil(n_images / size)
        size = math.ceil(n_images / n_batches)
        for start in range(0, n_images, size):
            n_real = min(size, n_images - start)
            index = start + np.arange(size) % n_real
            yield _Batch([x[index] for x in self.inputs], self.labels[index], n_real)


@dataclass(frozen=True)
class _Seen:
    """Tensors of the intact network on a batch.

    inputs: tensors. hidden: activation before each mask, by the mask's id(). answers: (n, ...).
    """

    batch: _Batch
    inputs: list[Any]
    hidden: Mapping[int, Any]
    answers: np.ndarray
    n_correct: int

    @property
    def is_finite(self) -> bool:
        return bool(np.all(np.isfinite(self.answers))) and all(
            heads.is_finite(tensor) for tensor in self.hidden.values()
        )

    def active(self, mask: AblationMask) -> np.ndarray:
        """bool (n_units,), whether the unit is other than 0 on any image."""
        tensor = self.hidden[id(mask)]
        other = ops.any(ops.not_equal(tensor, 0), axis=tuple(range(len(tensor.shape) - 1)))
        return np.asarray(ops.convert_to_numpy(other))


def _with_labels(given: Given) -> Given:
    """The data.

    Raises:
        ValueError: the data have no labels.
    """
    if given.targets is None:
        raise ValueError(
            "SingleDirectionReliance measures accuracy and needs labels, and the data hold none; "
            "give SingleDirectionReliance(images, labels), or a data set of (images, labels)"
        )
    return given


class _Look:
    """The intact network on a batch, with the activations before some of its masks."""

    def __init__(self, masked: keras.Model, masks: Sequence[AblationMask], head: Head) -> None:
        images, answer, before = _tensors(masked)
        self._model, self._head = masked, head
        # `walk` begins at the model's first mask.
        self._seen = list(dict.fromkeys([id(ablation_masks(masked)[0]), *map(id, masks)]))
        self._run = _Part(images, [*(before[number] for number in self._seen), answer])

    def __call__(self, batch: _Batch) -> _Seen:
        inputs = tensors_for(self._model, batch.inputs)
        *hidden, answers = self._run(inputs)
        answers = _as_array(answers)
        n_correct = _n_correct(self._head, answers, batch)
        return _Seen(batch, inputs, dict(zip(self._seen, hidden, strict=True)), answers, n_correct)


class _Evaluator(Protocol):
    """Reads the model's weights anew at each call."""

    def counts(self, seen: _Seen) -> list[np.ndarray]:
        """Correct images of a batch at the points of each curve, int (n_orders, n_points)."""


class _Passes:
    """Curves of any network: layers before a mask are computed once, layers after it for each
    lesion."""

    def __init__(
        self,
        masked: keras.Model,
        masks: Sequence[AblationMask],
        curves: Sequence[_Curve],
        head: Head,
    ) -> None:
        self._curves, self._masks, self._head = curves, masks, head
        images, answer, before = _tensors(masked)
        # If other tensors go around a mask, lesions of this mask are computed from the images on.
        self._tails = {id(mask): _part(before[id(mask)], answer) for mask in masks}
        self._whole = _Part(images, answer)

    def counts(self, seen: _Seen) -> list[np.ndarray]:
        held = [ops.convert_to_numpy(mask.keep) for mask in self._masks]
        return [self._of_curve(seen, curve, held) for curve in self._curves]

    def intact(self, seen: _Seen) -> dict[str, np.ndarray]:
        """The answers of what follows each mask, in words what it is."""
        return {
            f"the part behind {layer_of(mask)!r}": _as_array(self._behind(seen, mask))
            for mask in self._masks
        }

    def _behind(
        self, seen: _Seen, mask: AblationMask, instead: Mapping[int, np.ndarray] | None = None
    ) -> Any:
        tail = self._tails[id(mask)]
        if tail is None:
            return self._whole(seen.inputs, instead)
        return tail(seen.hidden[id(mask)], instead)

    def _of_curve(self, seen: _Seen, curve: _Curve, held: Sequence[np.ndarray]) -> np.ndarray:
        """Correct images at each point of each order, (n_orders, n_points)."""
        edges = np.cumsum([len(keep) for keep in held])
        counts = np.empty((len(curve.orders), len(curve.n_ablated)), np.int64)
        # Zero and all ablated units give the same answers in every order.
        counts[:, 0] = seen.n_correct
        for place, order in enumerate(curve.orders):
            for point, n in enumerate(curve.n_ablated):
                if n == 0 or (place and n == len(order)):
                    continue
                keep = np.ones(edges[-1], np.float32)
                keep[order[:n]] = 0
                keeps = np.split(keep, edges[:-1])
                keeps = [one * also for one, also in zip(keeps, held, strict=True)]
                counts[place, point] = self._lesioned(seen, curve.first, keeps)
        counts[1:, -1] = counts[0, -1]
        return counts

    def _lesioned(self, seen: _Seen, first: int, keeps: Sequence[np.ndarray]) -> int:
        """Correct images of a batch under one lesion, which begins at a mask."""
        of_masks = {id(mask.keep): keep for mask, keep in zip(self._masks, keeps, strict=True)}
        answers = self._behind(seen, self._masks[first], of_masks)
        return _n_correct(self._head, _as_array(answers), seen.batch)


def _n_correct(head: Head, answers: np.ndarray, batch: _Batch) -> int:
    hits = head.classes(answers) == batch.labels
    return int(np.count_nonzero(hits[: batch.n_real]))


def _as_array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def _is_single(model: keras.Model) -> bool:
    """Whether the model computes in float32 or finer."""
    read = graph.read(model)
    dtypes = {tensor.dtype for call in read.calls for tensor in call.flat_outputs}
    return not dtypes & {"float16", "bfloat16"}


class _Part:
    """A part of a model as one compiled function; it reads the weights at each call.

    Args:
        begin, end: a symbolic tensor of the model, or a list of them.

    Raises:
        ValueError: the end depends on other tensors than the beginning.
    """

    def __init__(self, begin: Any, end: Any) -> None:
        self._model = keras.Model(begin, end)
        self._variables = list(self._model.variables)
        self._run = passes.compiled(self._call, False)

    def __call__(self, x: Any, instead: Mapping[int, np.ndarray] | None = None) -> Any:
        """The value of the end, or the values of its tensors.

        Args:
            x: values of the beginning, each (n_images, ...).
            instead: values to use in place of variables, by the variable's id().
        """
        instead = instead or {}
        values = [
            ops.convert_to_tensor(instead[id(variable)], variable.dtype)
            if id(variable) in instead
            else ops.convert_to_tensor(variable)
            for variable in self._variables
        ]
        return self._run(values, x)

    def _call(self, values: Sequence[Any], x: Any) -> Any:
        with keras.StatelessScope(list(zip(self._variables, values, strict=True))):
            return self._model(x, training=False)


def _part(begin: Any, end: Any) -> _Part | None:
    try:
        return _Part(begin, end)
    except ValueError:
        return None


class _Walks:
    """Curves of dense networks with ReLU: walked from their far end (`walk`), with the present
    kernels.

    Args:
        chain: the layers after each mask of the model, see `_dense_chain`.
        otherwise: evaluator to use while masks of the model ablate units.
    """

    def __init__(
        self,
        masked: keras.Model,
        masks: Sequence[AblationMask],
        curves: Sequence[_Curve],
        chain: Sequence[keras.layers.Dense],
        otherwise: _Evaluator,
    ) -> None:
        self._curves = curves
        self._all, self._chain, self._otherwise = ablation_masks(masked), chain, otherwise
        # Only some masks are measured: units are renumbered from the measured masks to all masks.
        starts = np.cumsum([0, *(mask.n_units for mask in self._all)])
        numbers = [self._all.index(mask) for mask in masks]
        self._units = np.concatenate([np.arange(starts[n], starts[n + 1]) for n in numbers])

    def counts(self, seen: _Seen) -> list[np.ndarray]:
        if not all(np.all(ops.convert_to_numpy(mask.keep) == 1) for mask in self._all):
            return self._otherwise.counts(seen)
        fills = [ops.convert_to_numpy(mask.fill).reshape(-1) for mask in self._all]
        layers = [
            walk.Layer(
                ops.convert_to_numpy(layer.kernel),
                np.zeros(layer.units, np.float32)
                if layer.bias is None
                else ops.convert_to_numpy(layer.bias),
            )
            for layer in self._chain
        ]
        n = seen.batch.n_real
        activations = ops.convert_to_numpy(seen.hidden[id(self._all[0])])
        return [
            walk.walk(
                layers,
                activations[:n],
                seen.batch.labels[:n],
                self._units[curve.orders],
                curve.n_ablated,
                fills,
                tie=passes.TIE,
                top=passes.TOP,
            ).n_correct.sum(axis=-1)
            for curve in self._curves
        ]


def _tensors(masked: keras.Model) -> tuple[list[Any], Any, dict[int, Any]]:
    """Symbolic tensors: the inputs, the answer, and each hidden activation by the mask's id()."""
    read = graph.read(masked)
    images, answer = keras.tree.flatten(read.inputs), heads.answer_of(read.outputs)
    before = {
        id(call.operation): call.inputs[0]
        for call in read.calls
        if isinstance(call.operation, AblationMask)
    }
    return images, answer, before


def _dense_chain(masked: keras.Model) -> list[keras.layers.Dense] | None:
    """The layer that reads each mask, if all are dense and only ReLU is between them."""
    try:
        network = trace(masked)
    except ValueError:
        return None  # not a network for the engine
    if dense_layers(network, {}) is None:
        return None
    readers = [network.reader(mask.outputs[0]) for mask in network.masks]
    layers = [masked.get_layer(reader.name) for reader in readers if reader is not None]
    # A layer with a folded normalization has the normalization's name and is not plain.
    plain = all(type(layer) is keras.layers.Dense for layer in layers)
    in_order = [node.name for node in network.masks] == [m.name for m in ablation_masks(masked)]
    return layers if plain and in_order else None


def _chosen(
    masks: Sequence[AblationMask], patterns: Sequence[str] | None
) -> Sequence[AblationMask]:
    """The masks of the layers asked for, in the order of the model."""
    if patterns is None:
        return masks[-_LAST_LAYERS:]
    for pattern in patterns:
        if not any(fnmatchcase(layer_of(mask), pattern) for mask in masks):
            raise ValueError(
                f"no masked layer fits {pattern!r}; they are "
                + ", ".join(layer_of(mask) for mask in masks)
            )
    return [mask for mask in masks if _fits(layer_of(mask), patterns)]


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _draw(
    masks: Sequence[AblationMask], n_orders: int, points: int, rng: np.random.Generator
) -> list[_Curve]:
    """The curve of all masks together, and a curve of each mask."""
    starts = np.cumsum([0, *(mask.n_units for mask in masks)])

    def curve(name: str, first: int, units: np.ndarray) -> _Curve:
        orders = np.stack([rng.permutation(units) for _ in range(n_orders)])
        n_ablated = np.unique(np.rint(np.linspace(0, len(units), points)).astype(np.int64))
        return _Curve(name, first, orders, n_ablated)

    return [
        curve(NAME, 0, np.arange(starts[-1])),
        *(
            curve(f"{NAME}/{layer_of(mask)}", n, np.arange(starts[n], starts[n + 1]))
            for n, mask in enumerate(masks)
        ),
    ]
