"""Compiled forward passes of a lesioned network: the arithmetic of the ablation engine.

A call evaluates rows, and a row is one image under one lesion. Tensors that no lesion of the call
can change are computed once per image and shared by the rows (prefix reuse).

- `Intact`: the network as it is, and the tensors that lesioned passes share.
- `SingleUnit`: each row clamps one unit of one mask. If a linear map follows, its output is its
  intact output plus the unit's change times the unit's weights (linear update).
- `ManyUnits`: each row clamps any units of a mask and of the masks after it.
- `Narrow`: one lesion a call; ablated units are left out of the network instead of being computed
  and overwritten.
- `Noise`: Gaussian noise on every unit of every mask at once.

The coordinate of a unit is its activation or, if the engine has a basis for the layer, the
projection of the layer's activations on a column of the basis. Fills and lesions are given in
coordinates.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from repro.engine.network import Linear, Network, Node, elements, on_device
from repro.engine.tally import TIE, TIES, TOP, Tally
from repro.models.masking import clamp

__all__ = ["TIE", "TIES", "TOP", "Intact", "ManyUnits", "Narrow", "Noise", "SingleUnit", "Tally"]

Values = dict[int, Any]


class Intact:
    """The network without a lesion, and any of its tensors.

    Returns from a call: the tally of each image and its scale, or () without `tally`; the tensors
    asked for by number; and the coordinates of the masks asked for by number, units first:
    (n_images, n_units, *positions).

    Args:
        tally: of `engine.tally`, or None.
        begun: nodes that are computed already; a call takes their outputs instead of images.
    """

    def __init__(
        self,
        network: Network,
        bases: Mapping[int, np.ndarray],
        tally: Any,
        tensors: Sequence[int],
        masks: Sequence[int],
        begun: Sequence[Node] = (),
    ) -> None:
        self.network, self.bases, self.tally = network, bases, tally
        self.tensors, self.masks = tensors, masks
        self.nodes = [node for node in network.nodes if node not in begun]
        # The tensors of computed nodes that the others read.
        wanted = set(tensors) | {network.logits}
        wanted |= {network.masks[mask].inputs[0] for mask in masks}
        wanted |= {tensor for node in self.nodes for tensor in node.inputs}
        computed = [tensor for node in begun for tensor in node.outputs]
        self.begins = [t for t in (*network.images, *computed) if t in wanted]

    def __call__(self, images: Any, labels: Any) -> tuple[Any, list[Any], list[Any]]:
        return self.after(self.network.given(images), labels)

    def after(self, begun: Mapping[int, Any], labels: Any) -> tuple[Any, list[Any], list[Any]]:
        """As `__call__`, from the tensors of `self.begins` by number."""
        values: Values = dict(begun)
        for node in self.nodes:
            _advance(node, values)
        tally: Any = ()
        if self.tally:
            logits = values[self.network.logits]
            tally = (*self.tally(logits, labels), self.tally.scale(logits))
        tensors = [values[tensor] for tensor in self.tensors]
        coordinates = [self._coordinates(mask, values) for mask in self.masks]
        return tally, tensors, coordinates

    def _coordinates(self, mask: int, values: Values) -> Any:
        x = values[self.network.masks[mask].inputs[0]]
        x = ops.matmul(x, self.bases[mask]) if mask in self.bases else x
        return ops.moveaxis(x, -1, 1)


class Beginning:
    """The nodes before the masks that are computed apart, see `Network.host`.

    Returns from a call: the tensors asked for by number.
    """

    def __init__(self, network: Network, nodes: Sequence[Node], tensors: Sequence[int]) -> None:
        self.network, self.nodes, self.tensors = network, nodes, tensors

    def __call__(self, images: Any) -> list[Any]:
        values: Values = self.network.given(images)
        for node in self.nodes:
            _advance(node, values)
        return [values[tensor] for tensor in self.tensors]


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
        self.width = max(elements(node) for node in (reader or self.mask, *nodes))

    def __call__(self, shared: Sequence[Any], image: Any, unit: Any, fill: Any) -> Any:
        """The logits of rows.

        Args:
            shared: the tensors of `self.shared`, then the mask's coordinates.
            image, unit: (n_rows,), of each row; or unit () for all rows, which is faster where a
                unit has many weights; image may then be None for every image once.
            fill: (n_units, *positions or ones), in coordinates.
        """
        *tensors, coordinates = shared
        fill = ops.cast(fill, coordinates.dtype)
        per_image = dict(zip(self.shared, tensors, strict=True))
        n_units, *positions = ops.shape(coordinates)[1:]
        one_unit = len(unit.shape) == 0

        def of_unit(table: Any) -> Any:
            return ops.take(table, unit, axis=0)

        if one_unit:
            activation = of_images(ops.take(coordinates, unit, axis=1), image)
        else:
            per_unit = ops.reshape(coordinates, (-1, *positions))
            activation = ops.take(per_unit, image * n_units + unit, axis=0)
        change = of_unit(fill) - activation
        start = of_images(per_image[self.start], image)
        if self.linear is not None and one_unit and self.linear.narrows:
            # A map of one input unit; its bias is the intact output.
            result = self.linear(change[..., None], of_unit(self.kernel)[:, None], start)
        elif self.linear is not None:
            taps, weights = self.linear.taps(change), of_unit(self.kernel)
            step = taps * weights if self.kernel.shape[1] == 1 else ops.matmul(taps, weights)
            result = start + ops.reshape(step, ops.shape(start))
        elif self.basis is not None:
            direction = of_unit(self.basis.T)
            direction = direction if one_unit else _spread(direction, start)
            result = start + change[..., None] * direction
        else:
            this = ops.equal(ops.expand_dims(unit, -1), ops.arange(n_units))
            this = this if one_unit else _spread(this, start)
            result = ops.where(this, of_unit(fill)[..., None], start)
        rows: Values = {self.output: result}
        for node in self.nodes:
            _advance(node, rows, per_image, image)
        return rows[self.network.logits]


class ManyUnits:
    """Rows that clamp any units of a mask and of the masks after it."""

    def __init__(self, network: Network, bases: Mapping[int, np.ndarray], mask: int) -> None:
        self.network, self.bases = network, bases
        self.lesioned = range(mask, len(network.masks))
        self.nodes = network.downstream(self.lesioned)
        self.shared = network.frontier(self.nodes)
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
    it, only the units given by number are computed. These units must include all that are kept. The
    other units read their fill; as it is constant, it is added to the next map's bias. Nodes other
    than a linear map read all units of a mask.

    Args:
        returning: begin not at the mask but after the linear map that reads it. The shared tensors
            then include this map's output under the lesion, see `Returning`.
    """

    def __init__(
        self,
        network: Network,
        bases: Mapping[int, np.ndarray],
        mask: int,
        returning: bool = False,
    ) -> None:
        self.network, self.bases = network, bases
        self.lesioned = range(mask, len(network.masks))
        self.nodes = network.downstream(self.lesioned)
        if returning:
            done = (network.masks[mask], network.reader(network.masks[mask].outputs[0]))
            self.nodes = tuple(node for node in self.nodes if node not in done)
        self.shared = network.frontier(self.nodes)
        self.width = max(elements(node) for node in self.nodes)
        # Linear maps and unit-wise nodes that feed only a mask can be narrow too.
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
            """A narrow activation widened to all units; ablated units read their fill."""
            mask = narrow[tensor] - first
            kept = _chosen(units[mask], keeps[mask])
            return _times(rows[tensor], ops.transpose(kept)) + (1 - keeps[mask]) * fills[mask]

        for node in self.nodes:
            tensor, output = (*node.inputs[:1], *node.outputs[:1])
            reads_narrow = tensor in self._feeds or (
                node.linear is not None and node.linear.narrows
            )
            for wide in set() if reads_narrow else set(node.inputs) & set(narrow):
                rows[wide] = widened(wide)
                del narrow[wide]
            x = _row(tensor, rows, per_image, image)
            if node.mask is not None and (node.mask in self.bases or not _is_float32(x)):
                mask = node.mask - first
                rows[output] = lesioned(x, keeps[mask], fills[mask], self.bases.get(node.mask))
            elif node.mask is not None:
                # Ablated units are not zeroed here: the maps that read them give them a weight of
                # zero.
                every = ops.ones_like(keeps[node.mask - first])
                choice = _chosen(units[node.mask - first], every)
                rows[output] = x if tensor in narrow else _times(x, choice)
                narrow[output] = node.mask
            elif node.linear is not None and node.linear.narrows:
                kernel, bias = node.linear.weights, node.linear.offset
                if output in self._feeds:
                    chosen = units[self._feeds[output] - first]
                    kernel = _times(kernel, _chosen(chosen, ops.ones((kernel.shape[2],))))
                    bias = ops.take(bias, chosen, axis=0)
                    narrow[output] = self._feeds[output]
                if tensor in narrow:
                    mask = narrow[tensor] - first
                    keep, chosen = keeps[mask], units[mask]
                    if filled:
                        shape = (1, *ops.shape(x)[1:-1], node.linear.kernel.shape[1])
                        constant = ops.broadcast_to((1 - keep) * fills[mask], shape)
                        bias = node.linear(constant, kernel, bias)
                    kept = ops.take(keep, chosen, axis=0)[:, None]
                    kernel = ops.take(kernel, chosen, axis=1) * kept
                rows[output] = node.linear(x, kernel, bias)
            else:
                if tensor in self._feeds:
                    narrow[output] = narrow[tensor]
                _advance(node, rows, per_image, image)
        logits = self.network.logits
        return widened(logits) if logits in narrow else rows[logits]


class Returning:
    """The output of the linear map that reads a mask, as units of the mask come back.

    A cumulative curve is walked from its far end, where all units are ablated. A point then costs
    only the units that come back. Nothing is ever subtracted, so the error of the sum is the error
    of any float32 sum of the same terms.
    """

    def __init__(self, network: Network, mask: int) -> None:
        reader = network.reader(network.masks[mask].outputs[0])
        self.linear = reader.linear if reader else None
        self.output = reader.outputs[0] if reader else None

    def start(self, x: Any, keep: Any, fill: Any) -> Any:
        """The map's output with the units that keep (n_units,) leaves intact."""
        linear = self._map()
        return linear(clamp(x, keep, fill), linear.weights, linear.offset)

    def add(self, output: Any, x: Any, units: Any, weights: Any, fill: Any) -> Any:
        """The output after units (n,) came back; weights (n,) is 0 for units that only pad the
        array."""
        linear = self._map()
        choice = _chosen(units, ops.ones((linear.kernel.shape[1],)))
        change = (_times(x, choice) - ops.take(fill, units, axis=-1)) * weights
        return linear(change, ops.take(linear.weights, units, axis=1), output)

    def _map(self) -> Linear:
        if self.linear is None:
            raise ValueError("several operations read the mask, or one that is not linear")
        return self.linear


class Noise:
    """Gaussian noise on every unit of every mask at once, at several scales (paper section 2.2).

    activation + scale * sigma * epsilon, epsilon ~ N(0, 1) drawn anew for each unit, position and
    image, or, with whole_maps, for each unit and image. The scales of a call share their draws.
    """

    def __init__(self, network: Network, whole_maps: bool = False) -> None:
        self.network = network
        self.whole_maps = whole_maps
        self.seed = keras.random.SeedGenerator(0)
        self.width = max(elements(node) for node in network.nodes)

    def __call__(self, images: Any, scale: Any, sigmas: Sequence[Any], seed: Any) -> Any:
        """The logits of (n_scales * n_images,) rows, the rows of the first scale first.

        Args:
            scale: (n_scales,). sigmas: for each mask (n_units,). seed: the generator's state.
        """
        shared: Values = self.network.given(images)
        n_scales, n_images = ops.shape(scale)[0], ops.shape(shared[self.network.images[0]])[0]
        image = ops.tile(ops.arange(n_images), (n_scales,))
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
                    drawn = (*[1] * (len(shape) - 1), shape[-1]) if self.whole_maps else shape
                    epsilon = keras.random.normal((n_images, *drawn), seed=self.seed)
                    step = sigmas[node.mask] * epsilon
                    scales = ops.reshape(scale, (n_scales, *[1] * (len(shape) + 1)))
                    noise = ops.reshape(scales * step[None], (-1, *drawn))
                    rows[node.outputs[0]] = x + ops.cast(noise, x.dtype)
        return rows[self.network.logits]


def lesioned(x: Any, keep: Any, fill: Any, basis: Any) -> Any:
    """An activation with units clamped, or directions if there is a basis.

    docs/paper.md, "Rotated bases", has the formula for directions.
    """
    if basis is None:
        return clamp(x, ops.cast(keep, x.dtype), ops.cast(fill, x.dtype))
    return x + ops.matmul((1 - keep) * (fill - ops.matmul(x, basis)), basis.T)


def _advance(node: Node, rows: Values, shared: Values | None = None, image: Any = None) -> None:
    """Computes a node's outputs from tensors of rows, or of images where no lesion reaches."""
    inputs = [_row(tensor, rows, shared or {}, image) for tensor in node.inputs]
    if node.linear is not None:
        rows[node.outputs[0]] = node.linear(inputs[0], node.linear.weights, node.linear.offset)
    elif node.call is None:  # a mask without a lesion
        rows[node.outputs[0]] = inputs[0]
    else:
        rows.update(zip(node.outputs, node.call(inputs), strict=True))


def _row(tensor: int, rows: Values, shared: Values, image: Any) -> Any:
    if tensor not in rows:
        return of_images(shared[tensor], image)
    return rows[tensor]


def of_images(per_image: Any, image: Any) -> Any:
    """The images of the rows; None stands for every image once, in order."""
    return per_image if image is None else ops.take(per_image, image, axis=0)


def _unit_kernels(linear: Linear, basis: np.ndarray | None) -> Any:
    """The map's weights by unit: (n_units, n_taps, n_out)."""
    kernel = np.moveaxis(linear.kernel, 1, 0)
    if basis is not None:
        kernel = np.einsum("ui,uko->iko", basis, kernel)
    return on_device(np.ascontiguousarray(kernel))


def _chosen(units: Any, weights: Any) -> Any:
    """(n_units, n_chosen), a matrix that picks units and weighs them. Multiplying by this matrix is
    many times faster than gathering along the last axis."""
    return ops.one_hot(units, ops.shape(weights)[0], axis=0, dtype="float32") * weights[:, None]


def _times(x: Any, matrix: Any) -> Any:
    """x @ matrix as one product of matrices: TensorFlow would make many small ones."""
    *positions, n_units = ops.shape(x)
    product = ops.matmul(ops.reshape(x, (-1, n_units)), matrix)
    return ops.reshape(product, (*positions, ops.shape(matrix)[1]))


def _is_float32(x: Any) -> bool:
    return keras.backend.standardize_dtype(x.dtype) == "float32"


def _spread(per_unit: Any, like: Any) -> Any:
    """(n_rows, n_units) to (n_rows, 1, ..., n_units), against an activation."""
    shape = ops.shape(per_unit)
    return ops.reshape(per_unit, (shape[0], *[1] * (len(like.shape) - 2), shape[1]))


def compiled(fn: Callable[..., Any], xla: bool) -> Callable[..., Any]:
    """Compiles the function to one graph of the Keras backend in use."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(fn)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        _quiet(fn)
        return tf.function(fn, jit_compile=xla, reduce_retracing=True, autograph=False)
    return plain(fn)


class _Retracing(logging.Filter):
    """Filters TensorFlow's warning about functions that are traced for many shapes. Tracing is
    intended for these functions: each kind of lesion has its own graph."""

    names: ClassVar[set[str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return "retracing" not in message or not any(f" {name} " in message for name in self.names)


_RETRACING = _Retracing()


class _AllRetracing(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "retracing" not in record.getMessage()


@contextlib.contextmanager
def without_retracing_warnings() -> Iterator[None]:
    """Inside this block TensorFlow does not warn when `predict` traces one model after another: the
    models are few and each is traced on purpose."""
    logger, keeps_back = logging.getLogger("tensorflow"), _AllRetracing()
    logger.addFilter(keeps_back)
    try:
        yield
    finally:
        logger.removeFilter(keeps_back)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Inside this block JAX computes products of float32 numbers in float32 on a GPU too.

    By default a GPU may round their factors to fewer bits, which is more than many a unit's
    importance. On a CPU, and on other backends, nothing changes.
    """
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    with jax.default_matmul_precision("highest"):
        yield


def _quiet(fn: Callable[..., Any]) -> None:
    call = fn if hasattr(fn, "__qualname__") else type(fn).__call__
    _RETRACING.names.add(call.__qualname__)
    logger = logging.getLogger("tensorflow")
    if _RETRACING not in logger.filters:
        logger.addFilter(_RETRACING)


def plain(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Makes the function callable with NumPy arrays on any backend. PyTorch's tensors cannot be
    combined with arrays, so arrays are converted, and gradients are off."""
    if keras.backend.backend() != "torch":
        return fn
    import torch

    def run(*arguments: Any) -> Any:
        given = keras.tree.map_structure(
            lambda x: ops.convert_to_tensor(x) if isinstance(x, np.ndarray) else x, arguments
        )
        with torch.no_grad():
            return fn(*given)

    return run
