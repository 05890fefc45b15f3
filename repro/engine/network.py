"""A Keras model as the list of operations between its masks, ready to be lesioned.

`trace` takes the calls of a functional model (`graph`) and simplifies what inference allows:
dropout disappears, a BatchNorm that follows a linear layer is folded into it, a final softmax or
sigmoid is left out on request (without it the ranking of the classes and the loss are the same).
What remains is a short list of `Node`s. A linear node can compute how a change of one input unit
changes its output.

Layers are not copied, since a copy may be another layer: a function of the user's own, an argument
that the configuration forgets, a table. They are called with the values that their weights have
when the model is read, so that later training of the model changes nothing.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from repro.core import metrics
from repro.models import graph
from repro.models.graph import Call, Graph
from repro.models.layer_state import frozen
from repro.models.masking import AblationMask

# Layers that do nothing at inference.
_IDENTITIES = (
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.AlphaDropout,
    keras.layers.ActivityRegularization,
)
# Layers that treat all units (last axis) alike and apart from each other: they accept fewer units.
_UNITWISE = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.UpSampling2D,
)
# Classes of Keras's functions that compute each value, hence each image, from itself alone.
_PER_VALUE = frozenset(
    "absolute add cast divide exp log log1p maximum minimum multiply negative power relu relu6 "
    "sigmoid silu gelu elu selu celu leakyrelu hardsigmoid hardsilu hardtanh softplus softsign "
    "mish sqrt square subtract tanh truedivide".split()
)

# Layers whose operations XLA may lack: strings, lookup tables, image sizes.
_OF_PREPROCESSING = tuple(
    getattr(keras.layers, name)
    for name in (
        "CategoryEncoding CenterCrop Discretization Hashing HashedCrossing IntegerLookup "
        "MelSpectrogram Resizing STFTSpectrogram StringLookup TextVectorization TFSMLayer"
    ).split()
    if hasattr(keras.layers, name)
)

# Largest number of elements of an array that compiled graphs may hold as a constant.
_CONSTANT = 1 << 12


def on_device(values: np.ndarray) -> Any:
    """A large array as one tensor that all compiled graphs read; a small array unchanged. A graph
    would hold several copies of a large constant.

    May be called while a graph is traced; the tensor belongs to no graph.
    """
    if keras.backend.backend() == "torch":  # PyTorch's tensors cannot be combined with NumPy arrays
        return ops.convert_to_tensor(values)
    if values.size < _CONSTANT:
        return values
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.init_scope():
            return tf.convert_to_tensor(values)
    if keras.backend.backend() == "jax":
        import jax

        with jax.ensure_compile_time_eval():
            return jax.numpy.asarray(values)
    return values


@dataclass(frozen=True, eq=False)
class Linear:
    """A map that is linear in its input apart from the bias, and the way it reads one input unit.

    Every such map sums over taps (positions of a kernel) and input units:
        output[q] = bias + sum over k, u of taps(input[..., u])[q, k] * kernel[k, u]
    where q runs over output positions. So when unit u changes by delta, the output changes by
    taps(delta) @ kernel[:, u], whatever the other units do: the linear update.

    kernel: float32 (n_taps, n_in, n_out); bias: float32 (n_out,).
    unscaled: the layer's own kernel, where a normalization was folded into `kernel`.
    """

    kernel: np.ndarray
    bias: np.ndarray
    unscaled: np.ndarray | None = field(default=None, kw_only=True, repr=False)

    @property
    def filter_norms(self) -> np.ndarray:
        """float64 (n_out,), L1 norm of each output unit's own weights (paper appendix A.4)."""
        return metrics.filter_l1_norm(self.kernel if self.unscaled is None else self.unscaled)

    @cached_property
    def weights(self) -> Any:
        """The kernel in the form that compiled graphs read, see `on_device`."""
        return on_device(self.kernel)

    @cached_property
    def offset(self) -> Any:
        """The bias in the form that compiled graphs read, see `on_device`."""
        return on_device(self.bias)

    @property
    def narrows(self) -> bool:
        """Whether a compiled pass may call the map with a varying number of units."""
        return True

    def __call__(self, x: Any, kernel: Any, bias: Any) -> Any:
        """The map with another kernel and bias, for example of fewer units."""
        return ops.add(ops.matmul(x, kernel[0]), bias)

    def taps(self, change: Any) -> Any:
        """(n_rows, *positions), the change of one unit a row, to (n_rows, n_out_positions, k)."""
        return ops.reshape(change, (ops.shape(change)[0], -1, 1))

    @cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds for one image if the layer is dense and reads a vector."""
        return int(math.prod(self.kernel.shape))


@dataclass(frozen=True, eq=False)
class Pooled(Linear):
    """Global average pooling followed by a dense layer."""

    def __call__(self, x: Any, kernel: Any, bias: Any) -> Any:
        return ops.matmul(ops.mean(x, axis=tuple(range(1, len(x.shape) - 1))), kernel[0]) + bias

    def taps(self, change: Any) -> Any:
        return ops.mean(ops.reshape(change, (ops.shape(change)[0], 1, -1)), axis=2, keepdims=True)


@dataclass(frozen=True, eq=False)
class Flattened(Linear):
    """Flatten followed by a dense layer: the taps are the positions."""

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
        return max(self.dilation) == 1  # TensorFlow dilates only kernels of known shape

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
    shapes: shapes of the outputs, without the batch axis.
    mask: the mask's number if the node is a mask.
    linear: the map if the node is linear.
    unitwise: the node treats all units (last axis) alike and apart from each other.
    adds: the node is the sum of its inputs, unit by unit.
    relu, softmax, sigmoid: the node is this function; softmax over the last axis.
    on_host: the node may use operations that XLA lacks.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    call: Callable[[Sequence[Any]], Sequence[Any]] | None = None
    mask: int | None = None
    linear: Linear | None = None
    unitwise: bool = False
    adds: bool = False
    relu: bool = False
    softmax: bool = False
    sigmoid: bool = False
    on_host: bool = False


@dataclass(frozen=True, eq=False)
class Network:
    """What `trace` found: nodes in the order of computation, masks in the order of the layers.

    masks: the mask nodes. images: numbers of the input tensors, one for each input of the model.
        logits: number of the last tensor.
    dtypes: types of the inputs.
    shape: shape of one answer; None where a size is open.
    ending: "softmax" or "sigmoid" where the model ends in it, over the last axis; "linear" where it
        ends in a linear map; else "".
    left_out: whether the nodes leave out the softmax or sigmoid of `ending`.
    unproven: names of operations that are not known to treat the images of a batch apart from each
        other and without chance.
    precision: the coarsest type in which the network computes: float32, float16 or bfloat16.
    """

    nodes: tuple[Node, ...]
    masks: tuple[Node, ...]
    images: tuple[int, ...]
    dtypes: tuple[str, ...]
    logits: int
    shape: tuple[int | None, ...]
    ending: str = ""
    left_out: bool = False
    unproven: tuple[str, ...] = ()
    precision: str = "float32"

    @property
    def image(self) -> int:
        """The number of the input tensor of a model with one input."""
        (image,) = self.images
        return image

    @property
    def probabilities(self) -> bool:
        """Whether the model ends in a softmax, which the nodes leave out."""
        return self.ending == "softmax" and self.left_out

    def given(self, inputs: Any) -> dict[int, Any]:
        """The input tensors by number, in the types that the model takes. `images` is one input
        (n_images, ...) or a tuple of inputs."""
        each = inputs if isinstance(inputs, tuple) else (inputs,)
        return {
            number: x if dtype == "string" else ops.cast(x, dtype)
            for number, x, dtype in zip(self.images, each, self.dtypes, strict=True)
        }

    @cached_property
    def host(self) -> tuple[Node, ...]:
        """The nodes that may use operations which XLA lacks, and the nodes that feed them, if no
        lesion can change them."""
        lesioned = {node for node in self.downstream(range(len(self.masks)))}
        wanted: set[int] = set()
        found: list[Node] = []
        for node in reversed(self.nodes):
            if node not in lesioned and (node.on_host or wanted.intersection(node.outputs)):
                wanted.update(node.inputs)
                found.append(node)
        return tuple(reversed(found))

    def downstream(self, masks: Collection[int]) -> tuple[Node, ...]:
        """The nodes that a lesion of these masks can change, including the masks."""
        changed: set[int] = set()
        found = []
        for node in self.nodes:
            if node.mask in masks or changed.intersection(node.inputs):
                changed.update(node.outputs)
                found.append(node)
        return tuple(found)

    def frontier(self, nodes: Sequence[Node]) -> tuple[int, ...]:
        """The tensors that these nodes read and do not compute. All lesions share them."""
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
        """The linear map whose units the mask clamps, through unit-wise nodes only.

        If the mask follows a sum, as at the end of a residual block, the map is in the branch with
        the most linear maps: the block's last convolution, not its shortcut.
        """
        node = self.writer(self.masks[mask].inputs[0])
        while node is not None and node.linear is None:
            if node.adds:
                node = max((self.writer(tensor) for tensor in node.inputs), key=self._depth)
            else:
                node = self.writer(node.inputs[0]) if node.unitwise else None
        return node.linear if node else None

    def _depth(self, node: Node | None) -> int:
        """How many linear maps are on the longest way from the image to the node."""
        return self._depths[node.outputs[0]] if node else 0

    @cached_property
    def _depths(self) -> dict[int, int]:
        depths: dict[int, int] = {}
        for node in self.nodes:
            before = max((depths.get(tensor, 0) for tensor in node.inputs), default=0)
            depths |= dict.fromkeys(node.outputs, before + (node.linear is not None))
        return depths

    @property
    def width(self) -> int:
        """How many elements all activations of one image have together."""
        return sum(elements(node) for node in self.nodes)


def elements(node: Node) -> int:
    """How many elements the node's outputs have for one image."""
    return sum(math.prod(size or 1 for size in shape) for shape in node.shapes)


def trace(model: keras.Model, leave_out: bool = True) -> Network:
    """Reads a functional or Sequential model with one output.

    The nodes call the model's layers with the weights that the model has now.

    Args:
        leave_out: leave out the model's last step if it is a softmax or sigmoid of Keras.

    Raises:
        ValueError: several outputs, inputs of a fixed number of images, time steps that are masked,
            or a mask that is applied more than once.
    """
    read = graph.read(model)
    inputs, answer = _checked_ends(read)
    for call in read.calls:
        _check_call(call)
    tracer = _Tracer(answer)
    images = tuple(tracer.number(tensor) for tensor in inputs)
    for call in read.calls:
        tracer.record(call)
    nodes, logits = tracer.nodes, tracer.number(answer)
    last = nodes[-1] if nodes else None
    ends = last is not None and last.outputs == (logits,) and (last.softmax or last.sigmoid)
    ending = "" if last is None or not ends else "softmax" if last.softmax else "sigmoid"
    left_out = bool(ending) and leave_out
    if last is not None and left_out:
        logits, nodes = last.inputs[0], nodes[:-1]
    by_output = {number: node for node in nodes for number in node.outputs}
    writer = by_output.get(logits)
    while writer is not None and writer.mask is not None:  # a mask gives what it is given
        writer = by_output.get(writer.inputs[0])
    if writer is not None and writer.linear is not None and not ending:
        ending = "linear"
    nodes = _fold(nodes, logits)
    masks = [node for node in nodes if node.mask is not None]
    names = [node.name for node in masks]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{name} is applied {names.count(name)} times; give each activation its own "
                "AblationMask, so that a unit is one thing"
            )
    unproven = [call.operation.name for call in read.calls if not _per_image(call.operation)]
    dtypes = {tensor.dtype for call in read.calls for tensor in call.flat_outputs}
    coarse = [dtype for dtype in ("bfloat16", "float16") if dtype in dtypes]
    return Network(
        tuple(nodes),
        tuple(masks),
        images,
        tuple(str(tensor.dtype) for tensor in inputs),
        logits,
        tuple(answer.shape[1:]),
        ending,
        left_out=left_out,
        unproven=tuple(unproven),
        precision=coarse[0] if coarse else "float32",
    )


def _checked_ends(read: Graph) -> tuple[list[Any], Any]:
    """The tensors of the inputs and the tensor of the one answer."""
    inputs, outputs = (keras.tree.flatten(part) for part in (read.inputs, read.outputs))
    if len(outputs) != 1:
        raise ValueError(
            f"the engine needs a model with one output, got {len(outputs)}; name one of them with "
            "output=, or use repro.ablate and model.predict"
        )
    for tensor in inputs:
        if tensor.shape[0] is not None:
            raise ValueError(
                f"the model takes batches of {tensor.shape[0]} images and no others; build it with "
                "keras.Input(shape), which leaves that open"
            )
    return inputs, outputs[0]


def _check_call(call: Call) -> None:
    """Refuses a call that makes an answer depend on more than the image and the lesion.

    A layer called with training=True is accepted: 32 layers of Keras have this default, and both
    `model.predict` and the engine overrule it.
    """
    name = call.operation.name
    for tensor in call.flat_outputs:
        if getattr(tensor, "_keras_mask", None) is not None:
            raise ValueError(
                f"layer {name!r} masks time steps (mask_zero, Masking), which the engine cannot "
                "follow; pad without masking, or use repro.ablate and model.predict"
            )
        if len(tensor.shape) == 0 or tensor.shape[0] is not None:
            raise ValueError(
                f"the output of {name!r} has shape {_shape(tensor)}, not one row an image; keep "
                "the axis of images first and open"
            )


def values_of(variables: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Pairs of a variable and a copy of its present value, as `keras.StatelessScope` takes them."""
    return [(variable, on_device(_array(variable))) for variable in variables]


def in_inference(operation: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The call's arguments as `model.predict` passes them: never in training mode."""
    if not isinstance(operation, keras.Layer):
        return kwargs
    takes = inspect.signature(operation.call).parameters
    named = "training" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values())
    if "training" in takes or ("training" in kwargs and named):
        return {**kwargs, "training": False}
    return kwargs


def _per_image(operation: Any) -> bool:
    """Whether the operation is known to treat each image by itself and without chance at inference.

    All layers of Keras do, except those that run a user's code or keep a state.
    """
    kind = type(operation)
    if not graph.is_of_keras(kind):
        return kind is AblationMask
    if not isinstance(operation, keras.Layer):
        return kind.__name__.lower() in _PER_VALUE
    hidden = (keras.layers.Lambda, keras.layers.Wrapper, keras.layers.RNN, keras.Model)
    return not isinstance(operation, hidden)


def _shape(tensor: Any) -> str:
    return "(" + ", ".join("n" if size is None else str(size) for size in tensor.shape) + ")"


class _Tracer:
    """Turns the calls of a model into nodes."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.nodes: list[Node] = []
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []  # id() is unique only among living objects
        self._held: dict[int, list[tuple[Any, Any]]] = {}  # by id() of a layer
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

    def _values(self, operation: Any) -> list[tuple[Any, Any]]:
        """Pairs of the operation's variables and their present values."""
        if not isinstance(operation, keras.Layer):
            return []
        if id(operation) not in self._held:
            self._held[id(operation)] = values_of(operation.variables)
        return self._held[id(operation)]

    def record(self, applied: Call) -> None:
        operation, args, kwargs = frozen(applied.operation), applied.args, applied.kwargs
        flat = keras.tree.flatten((args, dict(kwargs)))
        is_tensor = [isinstance(leaf, keras.KerasTensor) for leaf in flat]
        tensors = applied.inputs
        inputs = tuple(self.number(tensor) for tensor in tensors)
        outputs = applied.flat_outputs
        if type(operation) in _IDENTITIES and _keeps_type(operation, tensors):
            self._alive.extend(outputs)
            self._numbers[id(outputs[0])] = inputs[0]
            return
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in outputs)
        numbers = tuple(self.number(tensor) for tensor in outputs)
        linear = _linear(operation, tensors)
        weights = self._values(operation) if linear is None else []

        def call(values: Sequence[Any]) -> Sequence[Any]:
            given = iter(values)
            leaves = [next(given) if yes else leaf for leaf, yes in zip(flat, is_tensor)]  # noqa: B905
            again_args, again_kwargs = keras.tree.pack_sequence_as((args, dict(kwargs)), leaves)
            with keras.StatelessScope(state_mapping=weights):
                found = operation(*again_args, **in_inference(operation, again_kwargs))
            return keras.tree.flatten(found)

        on_host = _needs_host(operation, [*tensors, *outputs])
        node = Node(operation.name, inputs, numbers, shapes, call, on_host=on_host)
        if isinstance(operation, AblationMask):
            self.nodes.append(replace(node, call=None, mask=self._n_masks))
            self._n_masks += 1
        else:
            self.nodes.extend(self._split(node, operation, tensors, linear))

    def _split(
        self, node: Node, operation: Any, tensors: Sequence[Any], linear: Linear | None
    ) -> list[Node]:
        """Turns a layer with a built-in activation into two nodes: the linear map and the
        activation."""
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
        if not graph.is_of_keras(type(operation)):
            return [node]
        keeps_type = _keeps_type(operation, tensors)
        cast_to = None if keeps_type else operation.compute_dtype
        if type(operation) is keras.layers.Activation:
            return [_activation(node, operation.activation, node.inputs, cast_to)]
        # The layer and `keras.ops.softmax`, whose class is not public.
        rank = len(tensors[0].shape) if tensors else 0
        softmax = type(operation).__name__ == "Softmax" and len(tensors) == 1
        if softmax and operation.axis in (-1, rank - 1):
            return [_activation(node, keras.activations.softmax, node.inputs, cast_to)]
        ends_in = getattr(operation, "activation", None)
        known = ends_in in (keras.activations.softmax, keras.activations.sigmoid)
        without_it: Any = None
        if known and self.number(self._answer) in node.outputs:
            without_it = _without_activation(operation, tensors)
        if without_it is not None:
            middle, weights = self._new(), values_of(without_it.variables)

            def without(values: Sequence[Any]) -> Sequence[Any]:
                with keras.StatelessScope(state_mapping=weights):
                    return [without_it(*values)]

            return [
                replace(node, outputs=(middle,), call=without),
                _activation(node, ends_in, (middle,)),
            ]
        if type(operation).__name__ == "Sigmoid" and len(tensors) == 1:
            return [_activation(node, keras.activations.sigmoid, node.inputs, cast_to)]
        if not keeps_type:
            return [node]
        plain_relu = type(operation) is keras.layers.ReLU and (
            operation.max_value is None and not operation.negative_slope and not operation.threshold
        )
        if plain_relu:
            return [_activation(node, keras.activations.relu, node.inputs)]
        if type(operation) is keras.layers.BatchNormalization:
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
        alike = len({tuple(tensor.shape) for tensor in tensors}) == 1
        adds = type(operation) is keras.layers.Add and alike
        return [replace(node, unitwise=unitwise, adds=adds)]


@dataclass(frozen=True, eq=False)
class _Normalization:
    """The call of a BatchNorm node; it keeps the layer so that the layer can be folded."""

    layer: Any
    call: Any
    shape: tuple[int | None, ...]

    def __call__(self, values: Sequence[Any]) -> Sequence[Any]:
        return self.call(values)

    def into(self, linear: Linear) -> Linear | None:
        """One linear map that equals the given map followed by this normalization."""
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
        own = linear.kernel if linear.unscaled is None else linear.unscaled
        return replace(linear, kernel=kernel, bias=shift.astype(np.float32), unscaled=own)


@dataclass(frozen=True, eq=False)
class _Gathering:
    """The call of a Flatten or global average pooling node; a dense layer may absorb it."""

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
    """Merges linear -> BatchNorm, and Flatten or pooling -> dense, if no other node reads the
    tensor between."""
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


def _without_activation(layer: Any, tensors: Sequence[Any]) -> Any:
    """A copy of a Keras layer without its activation function; None where there is no such copy, as
    for a recurrent layer."""
    if isinstance(layer, keras.layers.RNN | keras.layers.Wrapper):
        return None
    try:
        bare = type(layer).from_config({**layer.get_config(), "activation": None})
        bare(*tensors)
        bare.set_weights(layer.get_weights())
    except (ValueError, TypeError):  # a quantized layer has its own way to be built
        return None
    return bare


def _activation(
    node: Node, function: Any, inputs: tuple[int, ...], cast_to: str | None = None
) -> Node:
    softmax = function is keras.activations.softmax
    sigmoid = function is keras.activations.sigmoid

    def call(values: Sequence[Any]) -> Sequence[Any]:
        return [function(ops.cast(values[0], cast_to) if cast_to else values[0])]

    return Node(
        name=f"{node.name}_activation",
        inputs=inputs,
        outputs=node.outputs,
        shapes=node.shapes,
        call=call,
        unitwise=not cast_to and not softmax and function in _ELEMENTWISE,
        relu=not cast_to and function is keras.activations.relu,
        softmax=softmax,
        sigmoid=sigmoid,
    )


_ELEMENTWISE = tuple(
    getattr(keras.activations, name)
    for name in "relu relu6 elu selu gelu silu sigmoid tanh softplus exponential mish".split()
)


def _linear(layer: Any, tensors: Sequence[Any]) -> Linear | None:
    """The layer as a linear map if the layer is a plain Dense or Conv2D in float32; else None."""
    kind = type(layer)
    if kind not in (keras.layers.Dense, keras.layers.Conv2D) or layer.compute_dtype != "float32":
        return None
    if not _keeps_type(layer, tensors) or layer.quantization_mode is not None:
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


def _needs_host(operation: Any, tensors: Sequence[Any]) -> bool:
    """Whether the operation may use what XLA lacks: strings, lookup tables, the user's own code."""
    if any(str(tensor.dtype) == "string" for tensor in tensors):
        return True
    if isinstance(operation, AblationMask) or not isinstance(operation, keras.Layer):
        return False
    of_others = not graph.is_of_keras(type(operation))
    return of_others or isinstance(operation, (*_OF_PREPROCESSING, keras.layers.Lambda))


def _keeps_type(operation: Any, tensors: Sequence[Any]) -> bool:
    """Whether the operation computes in the type of its inputs and casts nothing."""
    of_layer = getattr(operation, "compute_dtype", None)
    return of_layer is None or all(tensor.dtype == of_layer for tensor in tensors)


def _array(weight: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(weight))
