"""Single-direction reliance while a model is trained, from its training data alone.

    reliance = repro.SingleDirectionReliance(images, labels)
    stop = keras.callbacks.EarlyStopping(monitor="normalized_auc", mode="max", patience=5)
    model.fit(images, labels, epochs=100, callbacks=[reliance, stop])

Networks that begin to memorise lean more on single units, and the area under their cumulative
ablation curve falls, at about the time at which training and test loss part (paper section 3.2,
Fig. 4a). docs/callback.md tells how it is measured, and what that costs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from repro import graph, metrics, passes, walk
from repro.ablation import dense_layers
from repro.batches import Batch, Batches
from repro.insertion import insert_masks
from repro.masking import AblationMask, ablation_masks, layer_of
from repro.network import trace
from repro.regularizers import SelectivityRegularized

NAME = "normalized_auc"
_LAST_LAYERS = 3
# Dense networks answer some hundred times faster than convolutional ones, see docs/callback.md.
_IMAGES_DENSE, _IMAGES = 500, 300
_IMAGES_PER_BATCH = 128

_log = logging.getLogger(__name__)


class SingleDirectionReliance(keras.callbacks.Callback):
    """Adds the normalized AUC of cumulative ablation to the logs of each epoch.

    `normalized_auc` is the area under the curve of accuracy against the fraction of units ablated,
    over the intact accuracy (paper section 3.2), averaged over random orders; low is high
    reliance. `normalized_auc/<layer>` is that of the units of one layer alone. Images, orders and
    points are drawn once, so that epochs differ by what the network has learned and nothing else.

    Callbacks that read the logs (EarlyStopping, ModelCheckpoint, CSVLogger, TensorBoard) must come
    after this one in the list. Where an epoch is not measured, the values of the last one stand.
    They are NaN while no image is classified correctly.

    The training is what it would be without: weights are only read, and no random state of Keras,
    Python or NumPy is touched.

    Args:
        images: float (n_images, ...), of the training, as the model takes them.
        labels: int (n_images,) or (n_images, 1): those that the model is trained on.
        every: epochs between measurements.
        layers: layers whose units are ablated, by name or by patterns such as "conv_*"; None for
            the last three hidden layers, as in the paper's convolutional networks.
        n_images: at most so many images, each class in its proportion; None for 500 where all
            that follows the first mask is dense with ReLU, else 300.
        orders: random orders in which units are ablated.
        points: of each curve, evenly spaced, both ends included.
        seed: of images and orders.

    Attributes:
        seconds: that each measurement took; the first one compiles.

    Raises:
        ValueError: an argument out of range; when the training begins, a model that cannot be
            masked (see `insertion.insert_masks`), or images and labels that do not fit it.
    """

    def __init__(
        self,
        images: Any,
        labels: Any,
        every: int = 1,
        *,
        layers: Sequence[str] | None = None,
        n_images: int | None = None,
        orders: int = 3,
        points: int = 9,
        seed: int = 0,
    ) -> None:
        super().__init__()
        given = {"every": every, "n_images": n_images, "orders": orders, "points": points}
        for name, value in given.items():
            low = 2 if name == "points" else 1
            if value is not None and value < low:
                raise ValueError(f"{name} must be {low} or more. Received: {name}={value}")
        self._images, self._labels = images, np.asarray(labels)
        if self._labels.ndim == 2 and self._labels.shape[1] == 1:
            self._labels = self._labels[:, 0]
        if self._labels.ndim != 1 or len(self._labels) != len(images):
            raise ValueError(
                "labels must be class numbers, one an image. Received: labels of shape "
                f"{self._labels.shape} for {len(images)} images"
            )
        self._every, self._layers, self._n_images = every, layers, n_images
        self._orders, self._points, self._seed = orders, points, seed
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
            logs.update(self._values)

    def measure(self) -> dict[str, float]:
        """The values of the model as it is now, by their names in the logs."""
        accuracies = self._curves(self._batches)
        return {
            curve.name: _normalized_auc(curve.n_ablated, accuracy)
            for curve, accuracy in zip(self._curves.curves, accuracies, strict=True)
        }

    def _prepare(self) -> None:
        """Masks the model, draws images and orders, and reads how the model is built."""
        model = self.model
        model = model.network if isinstance(model, SelectivityRegularized) else model
        masked = model if _has_masks(model) else insert_masks(model, share_weights=True)
        if len(masked.inputs) != 1 or len(masked.outputs) != 1 or len(masked.output_shape) != 2:
            raise ValueError(
                "SingleDirectionReliance needs a classifier with one input and one output of "
                f"(n_images, n_classes); {model.name!r} has {len(masked.inputs)} and "
                f"{len(masked.outputs)}, of shape {masked.output_shape}"
            )
        masks = _chosen(ablation_masks(masked), self._layers)
        rng = np.random.default_rng(self._seed)
        curves = _draw(masks, self._orders, self._points, rng)
        chain = _dense_chain(masked)
        most = self._n_images or (_IMAGES if chain is None else _IMAGES_DENSE)
        chosen = stratified(self._labels, most, rng)
        self._batches = Batches(
            np.asarray(self._images[chosen]),
            self._labels[chosen],
            image_shape=tuple(masked.input_shape[1:]),
            n_classes=int(masked.output_shape[-1]),
            batch_size=most if chain is not None else _IMAGES_PER_BATCH,
        )
        self._curves: _Evaluator = _Passes(masked, masks, curves)
        if chain is not None:
            self._curves = _Walks(masked, masks, curves, chain, self._curves)


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
    """Units of some masks, ablated one after the other.

    name: in the logs.
    first: the first of the measured masks that has such units.
    orders: int (n_orders, n), units numbered through the measured masks.
    n_ablated: int (n_points,), increasing, from 0 to n.
    """

    name: str
    first: int
    orders: np.ndarray
    n_ablated: np.ndarray


class _Evaluator(Protocol):
    """Reads the model's weights anew at each call."""

    curves: Sequence[_Curve]

    def __call__(self, batches: Batches) -> list[np.ndarray]:
        """The accuracies of each curve, float64 (n_orders, n_points)."""


class _Passes:
    """Any network: what precedes a mask is computed once, what follows under each lesion."""

    def __init__(
        self, masked: keras.Model, masks: Sequence[AblationMask], curves: Sequence[_Curve]
    ) -> None:
        self.curves, self._masks = curves, masks
        image, answer, before = _tensors(masked)
        tails = [_part(before[id(mask)], answer) for mask in masks]
        # Where other tensors pass by a mask, its lesions begin at the image.
        self._tails = [tail or _Part(image, answer) for tail in tails]
        cuts = [
            before[id(mask)] if tail else image for mask, tail in zip(masks, tails, strict=True)
        ]
        self._intact = _Part(image, [*cuts, answer])

    def __call__(self, batches: Batches) -> list[np.ndarray]:
        held = [ops.convert_to_numpy(mask.keep) for mask in self._masks]
        n_correct = [np.zeros((len(c.orders), len(c.n_ablated)), np.int64) for c in self.curves]
        n_images = 0
        for batch in batches:
            *inputs, answers = self._intact(ops.convert_to_tensor(batch.images))
            intact = _n_correct(answers, batch)
            for curve, counts in zip(self.curves, n_correct, strict=True):
                counts += self._counts(batch, inputs, curve, held, intact)
            n_images += batch.n_real
        return [counts / n_images for counts in n_correct]

    def _counts(
        self,
        batch: Batch,
        inputs: Sequence[Any],
        curve: _Curve,
        held: Sequence[np.ndarray],
        intact: int,
    ) -> np.ndarray:
        """Correct images at each point of each order, (n_orders, n_points)."""
        edges = np.cumsum([len(keep) for keep in held])
        counts = np.empty((len(curve.orders), len(curve.n_ablated)), np.int64)
        # Nothing ablated and everything ablated are the same in every order.
        counts[:, 0] = intact
        for place, order in enumerate(curve.orders):
            for point, n in enumerate(curve.n_ablated):
                if n == 0 or (place and n == len(order)):
                    continue
                keep = np.ones(edges[-1], np.float32)
                keep[order[:n]] = 0
                keeps = np.split(keep, edges[:-1])
                keeps = [one * also for one, also in zip(keeps, held, strict=True)]
                counts[place, point] = self._lesioned(batch, inputs, curve.first, keeps)
        counts[1:, -1] = counts[0, -1]
        return counts

    def _lesioned(
        self, batch: Batch, inputs: Sequence[Any], first: int, keeps: Sequence[np.ndarray]
    ) -> int:
        """Correct images of a batch under one lesion, which begins at a mask."""
        of_masks = {id(mask.keep): keep for mask, keep in zip(self._masks, keeps, strict=True)}
        return _n_correct(self._tails[first](inputs[first], of_masks), batch)


def _n_correct(answers: Any, batch: Batch) -> int:
    hits = np.argmax(ops.convert_to_numpy(answers), axis=-1) == batch.labels
    return int(np.count_nonzero(hits[: batch.n_real]))


class _Part:
    """A part of a model as one compiled function, which reads the weights at each call.

    Args:
        begin: a symbolic tensor of the model. end: one, or several.

    Raises:
        ValueError: the end needs more than the beginning.
    """

    def __init__(self, begin: Any, end: Any) -> None:
        self._model = keras.Model(begin, end)
        self._variables = list(self._model.variables)
        self._run = passes.compiled(self._call, False)

    def __call__(self, x: Any, instead: Mapping[int, np.ndarray] | None = None) -> Any:
        """The end's value, or values.

        Args:
            x: of the beginning, (n_images, ...).
            instead: values that take the place of variables', by id.
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
    """Dense networks with ReLU: curves are walked from their far end (`walk`), with the kernels
    as they are now.

    Args:
        chain: the layers after each mask of the model, see `_dense_chain`.
        otherwise: evaluates while masks of the model ablate something.
    """

    def __init__(
        self,
        masked: keras.Model,
        masks: Sequence[AblationMask],
        curves: Sequence[_Curve],
        chain: Sequence[keras.layers.Dense],
        otherwise: _Evaluator,
    ) -> None:
        self.curves = curves
        self._all, self._chain, self._otherwise = ablation_masks(masked), chain, otherwise
        image, _, before = _tensors(masked)
        self._head = _Part(image, before[id(self._all[0])])
        # Measured masks are the last ones or chosen by name: from their numbering to that of all.
        starts = np.cumsum([0, *(mask.n_units for mask in self._all)])
        numbers = [self._all.index(mask) for mask in masks]
        self._units = np.concatenate([np.arange(starts[n], starts[n + 1]) for n in numbers])

    def __call__(self, batches: Batches) -> list[np.ndarray]:
        if not all(np.all(ops.convert_to_numpy(mask.keep) == 1) for mask in self._all):
            return self._otherwise(batches)
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
        (batch,) = batches
        activations = ops.convert_to_numpy(self._head(ops.convert_to_tensor(batch.images)))
        n = batch.n_real
        return [
            walk.walk(
                layers,
                activations[:n],
                batch.labels[:n],
                self._units[curve.orders],
                curve.n_ablated,
                fills,
                tie=passes.TIE,
                top=passes.TOP,
            ).n_correct.sum(axis=-1)
            / n
            for curve in self.curves
        ]


def _tensors(masked: keras.Model) -> tuple[Any, Any, dict[int, Any]]:
    """Symbolic tensors: the image, the answer, and by id of its mask each hidden activation."""
    read = graph.read(masked)
    (image,), (answer,) = keras.tree.flatten(read.inputs), keras.tree.flatten(read.outputs)
    before = {
        id(call.operation): call.inputs[0]
        for call in read.calls
        if isinstance(call.operation, AblationMask)
    }
    return image, answer, before


def _dense_chain(masked: keras.Model) -> list[keras.layers.Dense] | None:
    """The layer that reads each mask, if all are dense and nothing but ReLU stands between."""
    network = trace(masked)
    if dense_layers(network, {}) is None:
        return None
    readers = [network.reader(mask.outputs[0]) for mask in network.masks]
    layers = [masked.get_layer(reader.name) for reader in readers if reader is not None]
    # A normalization that was folded into a layer has its name.
    plain = all(type(layer) is keras.layers.Dense for layer in layers)
    in_order = [node.name for node in network.masks] == [m.name for m in ablation_masks(masked)]
    return layers if plain and in_order else None


def _has_masks(model: keras.Model) -> bool:
    return any(isinstance(layer, AblationMask) for layer in getattr(model, "layers", ()))


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
    """The curve of all the masks together, and one of each."""
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


def _normalized_auc(n_ablated: np.ndarray, accuracy: np.ndarray) -> float:
    """The mean over orders; NaN where nothing is right without a lesion."""
    if not accuracy[0, 0]:
        return float("nan")
    return float(metrics.normalized_auc(n_ablated, accuracy).mean())
