"""Compiled forward passes of a lesioned network: the arithmetic of the ablation engine.

A call evaluates rows, and a row is one image under one lesion. What no lesion of the call can
change is computed once per image and shared by the rows (prefix reuse).

- `Intact`: the network as it is, and the tensors that lesioned passes share.
- `SingleUnit`: each row clamps one unit of one mask. If a linear map follows, its output is that
  of the intact network plus the change of one unit times the unit's weights (linear update).
- `ManyUnits`: each row clamps any units of a mask and those after it.
- `Narrow`: one lesion a call; units that it clamps are left out of the network instead of being
  computed and overwritten.
- `Noise`: Gaussian noise on every unit of every mask at once.

Units have coordinates: their activation, or, where the engine was given a basis for the layer, the
projection of the activations on the basis's columns. Fills and lesions are in coordinates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from repro.masking import clamp
from repro.network import Linear, Network, Node, elements

# Two logits tie when they differ by less than this part of the largest: about 80 roundings of
# float32, more than two orders of summation differ by in these networks.
TIE = 1e-5
TOP = 5
_FEW_CLASSES = 16

Values = dict[int, Any]


class Tally:
    """What is counted for each row: rank of the true class, loss, whether the two best tie.

    rank: int32, classes that come before the true one; ties go to the lower class, as in argmax.
    loss: float32, cross-entropy in nats.
    tied: bool, the two largest logits differ by less than rounding explains.
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    def __call__(self, logits: Any, labels: Any) -> tuple[Any, Any, Any]:
        logits = ops.cast(logits, "float32")
        if self.n_classes > _FEW_CLASSES:
            # Classes along the last axis, which the reductions run along.
            classes = [(ops.arange(self.n_classes, dtype="int32"), logits)]
            labels = labels[:, None]
        else:
            # One vector a class: XLA then makes a single loop of it all, three times as fast.
            classes = [(number, logits[:, number]) for number in range(self.n_classes)]
        along = -1 if self.n_classes > _FEW_CLASSES else None

        def over_classes(join: Any, reduce: Any, terms: list[Any]) -> Any:
            joined = functools.reduce(join, terms)
            return joined if along is None else reduce(joined, axis=along, keepdims=True)

        def total(terms: list[Any]) -> Any:
            return over_classes(ops.add, ops.sum, terms)

        of_label = total([ops.where(labels == c, x, 0.0) for c, x in classes])
        best = over_classes(ops.maximum, ops.max, [x for _, x in classes])
        largest = over_classes(ops.maximum, ops.max, [ops.abs(x) for _, x in classes])
        loss = best + ops.log(total([ops.exp(x - best) for _, x in classes])) - of_label
        rank = total(
            [
                ops.cast((x > of_label) | ((x == of_label) & (c < labels)), "int32")
                for c, x in classes
            ]
        )
        near = total([ops.cast(x >= best - TIE * largest, "int32") for _, x in classes])
        return tuple(ops.reshape(part, (-1,)) for part in (rank, loss, near > 1))


class Intact:
    """The network without a lesion, and any tensors of it.

    Returns from a call: the tally of each image, the tensors asked for by number, and the
    coordinates of the masks asked for by number, units first: (n_images, n_units, *positions).
    """

    def __init__(
        self,
        network: Network,
        bases: Mapping[int, np.ndarray],
        tally: Tally,
        tensors: Sequence[int],
        masks: Sequence[int],
    ) -> None:
        self.network, self.bases, self.tally = network, bases, tally
        self.tensors, self.masks = tensors, masks

    def __call__(self, images: Any, labels: Any) -> tuple[Any, list[Any], list[Any]]:
        values: Values = {self.network.image: images}
        for node in self.network.nodes:
            _advance(node, values)
        tally = self.tally(values[self.network.logits], labels)
        tensors = [values[tensor] for tensor in self.tensors]
        coordinates = [self._coordinates(mask, values) for mask in self.masks]
        return tally, tensors, coordinates

    def _coordinates(self, mask: int, values: Values) -> Any:
        x = values[self.network.masks[mask].inputs[0]]
        x = ops.matmul(x, self.bases[mask]) if mask in self.bases else x
        return ops.moveaxis(x, -1, 1)


class SingleUnit:
    """Rows that clamp one unit of one mask each."""

    def __init__(self, network: Network, bases: Mapping[int, np.ndarray], mask: int) -> None:
        self.network = network
        self.mask = network.masks[mask]
        self.basis = bases.get(mask)
        nodes = network.downstream([mask])[1:]
        reader = network.reader(self.mask.outputs[0])
        self.linear = reader.linear if reader else None
        if self.linear is not None and reader is not None:
            nodes = tuple(node for node in nodes if node is not reader)
            self.start, self.output = reader.outputs[0], reader.outputs[0]
            self.kernel = _unit_kernels(self.linear, self.basis)
        else:
            self.start, self.output = self.mask.inputs[0], self.mask.outputs[0]
        self.nodes = nodes
        others = [tensor for tensor in network.frontier(nodes) if tensor != self.output]
        self.shared = tuple(dict.fromkeys([self.start, *others]))
        self.masks = (mask,)
        self.width = max(elements(node) for node in (reader or self.mask, *nodes))

    def __call__(self, shared: Sequence[Any], image: Any, unit: Any, fill: Any) -> Any:
        """The logits of rows.

        Args:
            shared: the tensors of `self.shared`, then the mask's coordinates.
            image, unit: (n_rows,), of each row.
            fill: (n_units, *positions or ones), in coordinates.
        """
        *tensors, coordinates = shared
        per_image = dict(zip(self.shared, tensors, strict=True))
        n_units, *positions = ops.shape(coordinates)[1:]
        per_unit = ops.reshape(coordinates, (-1, *positions))
        change = ops.take(fill, unit, axis=0) - ops.take(per_unit, image * n_units + unit, axis=0)
        start = ops.take(per_image[self.start], image, axis=0)
        if self.linear is not None:
            weights = ops.take(self.kernel, unit, axis=0)
            taps = self.linear.taps(change)
            step = taps * weights if self.kernel.shape[1] == 1 else ops.matmul(taps, weights)
            result = start + ops.reshape(step, ops.shape(start))
        elif self.basis is not None:
            result = start + change[..., None] * _spread(ops.take(self.basis.T, unit, 0), start)
        else:
            this = _spread(unit[:, None] == ops.arange(n_units)[None], start)
            result = ops.where(this, ops.take(fill, unit, axis=0)[..., None], start)
        rows: Values = {self.output: result}
        for node in self.nodes:
            _advance(node, rows, per_image, image)
        return rows[self.network.logits]


class ManyUnits:
    """Rows that clamp any units of a mask and of those after it."""

    def __init__(self, network: Network, bases: Mapping[int, np.ndarray], mask: int) -> None:
        self.network, self.bases = network, bases
        self.lesioned = range(mask, len(network.masks))
        self.nodes = network.downstream(self.lesioned)
        self.shared = network.frontier(self.nodes)
        self.masks = ()
        self.width = max(elements(node) for node in self.nodes)

    def __call__(
        self,
        shared: Sequence[Any],
        image: Any,
        lesion: Any,
        keeps: Sequence[Any],
        fills: Sequence[Any],
    ) -> Any:
        """The logits of rows.

        Args:
            shared: the tensors of `self.shared`.
            image, lesion: (n_rows,), of each row.
            keeps: for each lesioned mask (n_lesions, n_units), 1 or 0.
            fills: for each lesioned mask (*positions or ones, n_units), in coordinates.
        """
        per_image = dict(zip(self.shared, shared, strict=True))
        rows: Values = {}
        for node in self.nodes:
            if node.mask is None:
                _advance(node, rows, per_image, image)
                continue
            number = node.mask - self.lesioned.start
            x = _row(node.inputs[0], rows, per_image, image)
            keep = _spread(ops.take(keeps[number], lesion, axis=0), x)
            rows[node.outputs[0]] = lesioned(x, keep, fills[number], self.bases.get(node.mask))
        return rows[self.network.logits]


class Narrow:
    """One lesion a call, in the network without the units that it ablates.

    Between a mask and the linear map that reads it, and between a linear map and the mask after
    it, only the units given by number are computed. They must include all that are kept; the others
    read their fill, which is constant and so joins the next map's bias. Whatever else reads a mask
    reads all units.
    """

    def __init__(self, network: Network, bases: Mapping[int, np.ndarray], mask: int) -> None:
        self.network, self.bases = network, bases
        self.lesioned = range(mask, len(network.masks))
        self.nodes = network.downstream(self.lesioned)
        self.shared = network.frontier(self.nodes)
        self.masks = ()
        self.width = max(elements(node) for node in self.nodes)
        # Where a linear map and unit-wise nodes feed nothing but a mask, they can be narrow too.
        self._feeds: dict[int, int] = {}
        for node in self.nodes:
            if node.mask is not None and node.mask not in bases:
                tensor, written = node.inputs[0], network.writer(node.inputs[0])
                chain = []
                while written in self.nodes and written.unitwise and network.reader(tensor):
                    chain.append(tensor)
                    tensor, written = written.inputs[0], network.writer(written.inputs[0])
                linear = written.linear if written in self.nodes else None
                if linear and linear.narrows and network.reader(tensor):
                    self._feeds.update(dict.fromkeys([*chain, tensor], node.mask))

    def __call__(
        self,
        shared: Sequence[Any],
        image: Any,
        units: Sequence[Any],
        keeps: Sequence[Any],
        fills: Sequence[Any],
        filled: bool,
    ) -> Any:
        """The logits of rows, all under one lesion.

        Args:
            shared, image: as for `ManyUnits`.
            units: for each lesioned mask (n_computed,), which units to compute.
            keeps: for each lesioned mask (n_units,), 1 or 0.
            fills: as for `ManyUnits`.
            filled: whether any fill is not zero.
        """
        per_image = dict(zip(self.shared, shared, strict=True))
        rows: Values = {}
        narrow: dict[int, int] = {}  # tensor -> the mask whose units it holds
        first = self.lesioned.start

        def widened(tensor: int) -> Any:
            """A narrow activation with every unit, the ablated ones at their fill."""
            mask = narrow[tensor]
            x, chosen, fill = rows[tensor], units[mask - first], fills[mask - first]
            n_units = ops.shape(fill)[-1]
            place = ops.one_hot(chosen, n_units, dtype=x.dtype)
            return ops.matmul(x, place) + fill * (1 - ops.sum(place, axis=0))

        for node in self.nodes:
            tensor, output = (*node.inputs[:1], *node.outputs[:1])
            reads_narrow = tensor in self._feeds or (
                node.linear is not None and node.linear.narrows
            )
            for wide in set() if reads_narrow else set(node.inputs) & set(narrow):
                rows[wide] = widened(wide)
                del narrow[wide]
            if node.mask is not None:
                x = _row(tensor, rows, per_image, image)
                chosen, keep = units[node.mask - first], keeps[node.mask - first]
                fill, basis = fills[node.mask - first], self.bases.get(node.mask)
                if basis is None:
                    x = x if tensor in narrow else ops.take(x, chosen, axis=-1)
                    narrow[output] = node.mask
                    keep, fill = ops.take(keep, chosen, axis=0), ops.take(fill, chosen, axis=-1)
                rows[output] = lesioned(x, keep, fill, basis)
            elif node.linear is not None and node.linear.narrows:
                kernel, bias = node.linear.kernel, node.linear.bias
                if output in self._feeds:
                    chosen = units[self._feeds[output] - first]
                    kernel, bias = ops.take(kernel, chosen, axis=2), ops.take(bias, chosen, axis=0)
                    narrow[output] = self._feeds[output]
                x = _row(tensor, rows, per_image, image)
                if tensor in narrow:
                    mask = narrow[tensor] - first
                    if filled:
                        left_out = 1 - ops.sum(
                            ops.one_hot(units[mask], ops.shape(kernel)[1], dtype="float32"), axis=0
                        )
                        shape = (1, *ops.shape(x)[1:-1], ops.shape(kernel)[1])
                        constant = ops.broadcast_to(left_out * fills[mask], shape)
                        bias = node.linear(constant, kernel, bias)
                    kernel = ops.take(kernel, units[mask], axis=1)
                rows[output] = node.linear(x, kernel, bias)
            else:
                if tensor in self._feeds:
                    narrow[output] = narrow[tensor]
                _advance(node, rows, per_image, image)
        logits = self.network.logits
        return widened(logits) if logits in narrow else rows[logits]


class Noise:
    """Gaussian noise on every unit of every mask at once, at several scales (paper section 2.2).

    activation + scale * sigma * epsilon, epsilon ~ N(0, 1) drawn anew for each unit, position and
    image. The scales of a call share their draws.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.seed = keras.random.SeedGenerator(0)
        self.width = max(elements(node) for node in network.nodes)

    def __call__(self, images: Any, scale: Any, sigmas: Sequence[Any], seed: Any) -> Any:
        """The logits of (n_scales * n_images,) rows, those of the first scale first.

        Args:
            scale: (n_scales,). sigmas: for each mask (n_units,). seed: the generator's state.
        """
        n_scales, n_images = ops.shape(scale)[0], ops.shape(images)[0]
        image = ops.tile(ops.arange(n_images), (n_scales,))
        shared: Values = {self.network.image: images}
        rows: Values = {}
        with keras.StatelessScope(state_mapping=[(self.seed.state, seed)]):
            for node in self.network.nodes:
                if node.mask is None and rows.keys().isdisjoint(node.inputs):
                    _advance(node, shared)
                elif node.mask is None:
                    _advance(node, rows, shared, image)
                else:
                    x = _row(node.inputs[0], rows, shared, image)
                    shape = ops.shape(x)[1:]
                    epsilon = keras.random.normal((n_images, *shape), seed=self.seed)
                    step = sigmas[node.mask] * epsilon
                    scales = ops.reshape(scale, (n_scales, *[1] * (len(shape) + 1)))
                    noise = ops.reshape(scales * step[None], (-1, *shape))
                    rows[node.outputs[0]] = x + ops.cast(noise, x.dtype)
        return rows[self.network.logits]


def lesioned(x: Any, keep: Any, fill: Any, basis: Any) -> Any:
    """An activation with units clamped, or directions if there is a basis (paper.md 6.2)."""
    if basis is None:
        return clamp(x, ops.cast(keep, x.dtype), ops.cast(fill, x.dtype))
    return x + ops.matmul((1 - keep) * (fill - ops.matmul(x, basis)), basis.T)


def _advance(node: Node, rows: Values, shared: Values | None = None, image: Any = None) -> None:
    """Computes a node's outputs from tensors of rows, or of images where no lesion reaches."""
    inputs = [_row(tensor, rows, shared or {}, image) for tensor in node.inputs]
    if node.linear is not None:
        rows[node.outputs[0]] = node.linear(inputs[0], node.linear.kernel, node.linear.bias)
    elif node.call is None:  # a mask that no lesion touches
        rows[node.outputs[0]] = inputs[0]
    else:
        rows.update(zip(node.outputs, node.call(inputs), strict=True))


def _row(tensor: int, rows: Values, shared: Values, image: Any) -> Any:
    if tensor not in rows:
        return ops.take(shared[tensor], image, axis=0)
    return rows[tensor]


def _unit_kernels(linear: Linear, basis: np.ndarray | None) -> np.ndarray:
    """The map's weights by unit: (n_units, n_taps, n_out)."""
    kernel = np.moveaxis(linear.kernel, 1, 0)
    if basis is not None:
        kernel = np.einsum("ui,uko->iko", basis, kernel)
    return np.ascontiguousarray(kernel)


def _spread(per_unit: Any, like: Any) -> Any:
    """(n_rows, n_units) to (n_rows, 1, ..., n_units), against an activation."""
    shape = ops.shape(per_unit)
    return ops.reshape(per_unit, (shape[0], *[1] * (len(like.shape) - 2), shape[1]))


def compiled(fn: Callable[..., Any], xla: bool) -> Callable[..., Any]:
    """The function as one compiled graph of the Keras backend in use."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(fn)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(fn, jit_compile=xla, reduce_retracing=True)
    return fn
