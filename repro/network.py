"""A Keras model as the list of operations between its masks, ready to be lesioned.

`trace` reads a functional model through Keras's public interface and simplifies what inference
allows: dropout disappears, a BatchNorm that follows a linear layer is folded into it, a final
softmax is left out (it changes neither the ranking of the classes nor the loss). What remains is
a short list of `Node`s; the linear ones know how a change of one input unit changes their output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from repro.masking import AblationMask

# Layers that do nothing at inference.
_IDENTITIES = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.AlphaDropout,
    keras.layers.ActivityRegularization,
)
# Layers that treat each unit (last axis) by itself and alike, so that they may be given fewer.
_UNITWISE = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.UpSampling2D,
)


@dataclass(frozen=True, eq=False)
class Linear:
    """A map that is linear in its input but for the bias, and how it reads one input unit.

    Every such map sums over taps (positions of a kernel) and input units:
        output[q] = bias + sum over k, u of taps(input[..., u])[q, k] * kernel[k, u]
    where q runs over output positions. So when unit u changes by delta, the output changes by
    taps(delta) @ kernel[:, u], whatever the other units do: the linear update.

    kernel: float32 (n_taps, n_in, n_out); bias: float32 (n_out,).
    """

    kernel: np.ndarray
    bias: np.ndarray

    @property
    def narrows(self) -> bool:
        """Whether a compiled pass may call it with numbers of units that vary."""
        return True

    def __call__(self, x: Any, kernel: Any, bias: Any) -> Any:
        """The map with another kernel and bias, for example of fewer units."""
        return ops.add(ops.matmul(x, kernel[0]), bias)

    def taps(self, change: Any) -> Any:
        """(n_rows, *positions), the change of one unit a row, to (n_rows, n_out_positions, k)."""
        return ops.reshape(change, (ops.shape(change)[0], -1, 1))

    @cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds of one image, for a dense layer on a vector."""
        return int(math.prod(self.kernel.shape))


@dataclass(frozen=True, eq=False)
class Pooled(Linear):
    """Global average pooling and then a dense layer."""

    def __call__(self, x: Any, kernel: Any, bias: Any) -> Any:
        return ops.matmul(ops.mean(x, axis=range(1, len(x.shape) - 1)), kernel[0]) + bias

    def taps(self, change: Any) -> Any:
        return ops.mean(ops.reshape(change, (ops.shape(change)[0], 1, -1)), axis=2, keepdims=True)


@dataclass(frozen=True, eq=False)
class Flattened(Linear):
    """Flatten and then a dense layer: its taps are the positions."""

    def __call__(self, x: Any, kernel: Any, bias: Any) -> Any:
        n_taps, n_in, n_out = ops.shape(kernel)
        rows = ops.reshape(x, (-1, n_taps * n_in))
        return ops.matmul(rows, ops.reshape(kernel, (n_taps * n_in, n_out))) + bias

    def taps(self, change: Any) -> Any:
        return ops.reshape(change, (ops.shape(change)[0], 1, -1))


@dataclass(frozen=True, eq=False)
class Convolution(Linear):
    """A two-dimensional, channels-last convolution without groups."""

    size: tuple[int, int]
    strides: tuple[int, int]
    padding: str
    dilation: tuple[int, int]

    @property
    def narrows(self) -> bool:
        return max(self.dilation) == 1  # TensorFlow dilates kernels of known shape only

    def __call__(self, x: Any, kernel: Any, bias: Any) -> Any:
        _, n_in, n_out = ops.shape(kernel)
        kernel = ops.reshape(kernel, (*self.size, n_in, n_out))
        convolved = ops.conv(
            x,
            kernel,
            strides=self.strides,
            padding=self.padding,
            data_format="channels_last",
            dilation_rate=self.dilation,
        )
        # Not `+`: Keras's own addition lets TensorFlow fuse convolution, bias and activation.
        return ops.add(convolved, bias)

    def taps(self, change: Any) -> Any:
        patches = ops.image.extract_patches(
            change[..., None],
            self.size,
            strides=self.strides,
            dilation_rate=self.dilation[0],
            padding=self.padding,
            data_format="channels_last",
        )
        return ops.reshape(patches, (ops.shape(change)[0], -1, math.prod(self.size)))


@dataclass(frozen=True, eq=False)
class Node:
    """One operation. Tensors are numbered.

    call: from the input tensors to the output tensors, for any number of images; None for a
        mask and for a linear node, which the engine treats itself.
    shapes: of the outputs, without the batch axis.
    mask: number of the mask, if it is one.
    linear: the map, if it is one.
    unitwise: it treats each unit (last axis) by itself and alike.
    relu, softmax: it is that function, over the last axis.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    call: Callable[[Sequence[Any]], Sequence[Any]] | None = None
    mask: int | None = None
    linear: Linear | None = None
    unitwise: bool = False
    relu: bool = False
    softmax: bool = False


@dataclass(frozen=True, eq=False)
class Network:
    """What `trace` found: nodes in the order of computation, masks in that of the layers.

    masks: the mask nodes; image, logits: numbers of the first and the last tensor.
    probabilities: the model ends in a softmax, which the nodes leave out.
    """

    nodes: tuple[Node, ...]
    masks: tuple[Node, ...]
    image: int
    logits: int
    probabilities: bool

    def downstream(self, masks: Collection[int]) -> tuple[Node, ...]:
        """The nodes that a lesion in these masks can change, the masks included."""
        changed: set[int] = set()
        found = []
        for node in self.nodes:
            if node.mask in masks or changed.intersection(node.inputs):
                changed.update(node.outputs)
                found.append(node)
        return tuple(found)

    def frontier(self, nodes: Sequence[Node]) -> tuple[int, ...]:
        """The tensors that these nodes read and do not compute: shared by all lesions."""
        computed = {tensor for node in nodes for tensor in node.outputs}
        read = dict.fromkeys(tensor for node in nodes for tensor in node.inputs)
        return tuple(tensor for tensor in read if tensor not in computed)

    def reader(self, tensor: int) -> Node | None:
        """The node that reads the tensor, if it is the only one."""
        readers = [node for node in self.nodes if tensor in node.inputs]
        return readers[0] if len(readers) == 1 and tensor != self.logits else None

    def writer(self, tensor: int) -> Node | None:
        return next((node for node in self.nodes if tensor in node.outputs), None)

    def feeding(self, mask: int) -> Linear | None:
        """The linear map whose units the mask clamps, through unit-wise nodes only."""
        node = self.writer(self.masks[mask].inputs[0])
        while node is not None and node.linear is None:
            node = self.writer(node.inputs[0]) if node.unitwise else None
        return node.linear if node else None

    @property
    def width(self) -> int:
        """Elements of all activations of one image together."""
        return sum(elements(node) for node in self.nodes)


def elements(node: Node) -> int:
    """Elements of the node's outputs for one image."""
    return sum(math.prod(size or 1 for size in shape) for shape in node.shapes)


def trace(model: keras.Model) -> Network:
    """Reads a functional or Sequential model with one input and one output of class scores.

    The nodes hold the weights of the model's linear layers as they are now, and its other layers
    themselves.

    Raises:
        ValueError: several inputs or outputs, or a mask that is applied more than once.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            "the engine needs a model with one input and one output, got "
            f"{len(model.inputs)} and {len(model.outputs)}"
        )
    tracer = _Tracer()
    copy = keras.models.clone_model(
        keras.Model(model.inputs, model.outputs),
        clone_function=lambda layer: layer,
        call_function=tracer.record,
    )
    nodes = tracer.nodes
    image, logits = tracer.number(copy.inputs[0]), tracer.number(copy.outputs[0])
    last = nodes[-1]
    probabilities = last.softmax and last.outputs == (logits,)
    if probabilities:
        logits, nodes = last.inputs[0], nodes[:-1]
    nodes = _fold(nodes, logits)
    masks = [node for node in nodes if node.mask is not None]
    names = [node.name for node in masks]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{name} is applied {names.count(name)} times; give each activation its own "
                "AblationMask, so that a unit is one thing"
            )
    return Network(tuple(nodes), tuple(masks), image, logits, probabilities)


class _Tracer:
    """Collects the operations of a model while Keras runs through its graph symbolically."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []  # id() is unique only among living objects
        self._count = 0
        self._n_masks = 0

    def number(self, tensor: Any) -> int:
        if id(tensor) not in self._numbers:
            self._alive.append(tensor)
            self._numbers[id(tensor)] = self._new()
        return self._numbers[id(tensor)]

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def record(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        results = operation(*args, **kwargs)
        flat = keras.tree.flatten((args, kwargs))
        is_tensor = [isinstance(leaf, keras.KerasTensor) for leaf in flat]
        tensors = [leaf for leaf, yes in zip(flat, is_tensor, strict=True) if yes]
        inputs = tuple(self.number(tensor) for tensor in tensors)
        if isinstance(operation, _IDENTITIES):
            self._alive.append(results)
            self._numbers[id(results)] = inputs[0]
            return results
        outputs = keras.tree.flatten(results)
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in outputs)
        numbers = tuple(self.number(tensor) for tensor in outputs)

        def call(values: Sequence[Any]) -> Sequence[Any]:
            given = iter(values)
            leaves = [next(given) if yes else leaf for leaf, yes in zip(flat, is_tensor)]  # noqa: B905
            again_args, again_kwargs = keras.tree.pack_sequence_as((args, kwargs), leaves)
            return keras.tree.flatten(operation(*again_args, **again_kwargs))

        node = Node(operation.name, inputs, numbers, shapes, call)
        if isinstance(operation, AblationMask):
            self.nodes.append(replace(node, call=None, mask=self._n_masks))
            self._n_masks += 1
        else:
            self.nodes.extend(self._split(node, operation, tensors))
        return results

    def _split(self, node: Node, operation: Any, tensors: Sequence[Any]) -> list[Node]:
        """A layer with a built-in activation as two nodes: the linear map and the activation."""
        linear = _linear(operation, tensors)
        if linear is not None:
            bare = replace(node, call=None, linear=linear)
            activation = operation.activation
            if activation in (None, keras.activations.linear):
                return [bare]
            middle = self._new()
            return [
                replace(bare, outputs=(middle,)),
                _activation(node, activation, (middle,)),
            ]
        if isinstance(operation, keras.layers.Activation):
            return [_activation(node, operation.activation, node.inputs)]
        # The layer and `keras.ops.softmax`, whose class is not public.
        rank = len(tensors[0].shape) if tensors else 0
        if type(operation).__name__ == "Softmax" and operation.axis in (-1, rank - 1):
            return [_activation(node, keras.activations.softmax, node.inputs)]
        plain_relu = type(operation) is keras.layers.ReLU and (
            operation.max_value is None and not operation.negative_slope and not operation.threshold
        )
        if plain_relu:
            return [_activation(node, keras.activations.relu, node.inputs)]
        if isinstance(operation, keras.layers.BatchNormalization):
            return [replace(node, call=_Normalization(operation, node.call, node.shapes[0]))]
        if type(operation) in (keras.layers.Flatten, keras.layers.GlobalAveragePooling2D):
            name = type(operation).__name__
            positions = math.prod(size or 1 for size in tensors[0].shape[1:-1])
            channels_last = operation.data_format == "channels_last"
            keepdims = getattr(operation, "keepdims", False)
            if channels_last and not keepdims and rank > 2:
                return [replace(node, call=_Gathering(name, positions, node.call))]
        unitwise = type(operation) in _UNITWISE and (
            getattr(operation, "data_format", "channels_last") == "channels_last"
        )
        return [replace(node, unitwise=unitwise)]


@dataclass(frozen=True, eq=False)
class _Normalization:
    """The call of a BatchNorm node, which remembers the layer so that it can be folded."""

    layer: Any
    call: Any
    shape: tuple[int | None, ...]

    def __call__(self, values: Sequence[Any]) -> Sequence[Any]:
        return self.call(values)

    def into(self, linear: Linear) -> Linear | None:
        """The linear map and then this normalization, as one linear map."""
        layer = self.layer
        if layer.axis not in (-1, len(self.shape)):
            return None
        as64 = [
            None if weight is None else _array(weight).astype(np.float64)
            for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
        ]
        gamma, beta, mean, variance = as64
        scale = 1 / np.sqrt(variance + layer.epsilon)
        scale = scale if gamma is None else scale * gamma
        shift = (linear.bias - mean) * scale + (0 if beta is None else beta)
        kernel = (linear.kernel * scale).astype(np.float32)
        return replace(linear, kernel=kernel, bias=shift.astype(np.float32))


@dataclass(frozen=True, eq=False)
class _Gathering:
    """The call of a Flatten or a global average pooling, which a dense layer may absorb."""

    name: str
    positions: int
    call: Any

    def __call__(self, values: Sequence[Any]) -> Sequence[Any]:
        return self.call(values)

    def into(self, linear: Linear) -> Linear | None:
        if type(linear) is not Linear:
            return None
        if self.name == "GlobalAveragePooling2D":
            return Pooled(linear.kernel, linear.bias)
        n_out = linear.kernel.shape[2]
        return Flattened(linear.kernel.reshape(self.positions, -1, n_out), linear.bias)


def _fold(nodes: Sequence[Node], logits: int) -> list[Node]:
    """Merges linear -> BatchNorm, and Flatten or pooling -> dense, where nothing else reads."""
    folded: list[Node] = []
    readers = [tensor for node in nodes for tensor in node.inputs]

    def only_reader(tensor: int) -> bool:
        return readers.count(tensor) == 1 and tensor != logits

    def writer(tensor: int) -> int | None:
        return next((i for i, node in enumerate(folded) if node.outputs == (tensor,)), None)

    for node in nodes:
        before = writer(node.inputs[0]) if node.inputs and only_reader(node.inputs[0]) else None
        merged: Node | None = None
        if before is not None:
            previous = folded[before]
            if previous.linear is not None and isinstance(node.call, _Normalization):
                linear = node.call.into(previous.linear)
                if linear is not None:
                    merged = replace(node, inputs=previous.inputs, call=None, linear=linear)
            elif node.linear is not None and isinstance(previous.call, _Gathering):
                linear = previous.call.into(node.linear)
                if linear is not None:
                    merged = replace(node, inputs=previous.inputs, linear=linear)
        if merged is not None and before is not None:
            del folded[before]
        folded.append(merged or node)
    return folded


def _activation(node: Node, function: Any, inputs: tuple[int, ...]) -> Node:
    softmax = function is keras.activations.softmax
    return Node(
        name=f"{node.name}_activation",
        inputs=inputs,
        outputs=node.outputs,
        shapes=node.shapes,
        call=lambda values: [function(values[0])],
        unitwise=not softmax and function in _ELEMENTWISE,
        relu=function is keras.activations.relu,
        softmax=softmax,
    )


_ELEMENTWISE = tuple(
    getattr(keras.activations, name)
    for name in "relu relu6 elu selu gelu silu sigmoid tanh softplus exponential mish".split()
)


def _linear(layer: Any, tensors: Sequence[Any]) -> Linear | None:
    """The layer as a linear map, if it is a plain Dense or Conv2D in float32."""
    kind = type(layer)
    if kind not in (keras.layers.Dense, keras.layers.Conv2D) or layer.compute_dtype != "float32":
        return None
    kernel = _array(layer.kernel)
    n_in, n_out = kernel.shape[-2:]
    bias = np.zeros(n_out, np.float32) if layer.bias is None else _array(layer.bias)
    kernel = kernel.reshape(-1, n_in, n_out)
    if kind is keras.layers.Dense:
        return Linear(kernel, bias)
    if layer.groups != 1 or layer.data_format != "channels_last":
        return None
    if len(set(layer.dilation_rate)) > 1:
        return None
    return Convolution(
        kernel,
        bias,
        tuple(layer.kernel_size),
        tuple(layer.strides),
        layer.padding,
        tuple(layer.dilation_rate),
    )


def _array(weight: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(weight))
