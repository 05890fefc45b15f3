"""The least multiply-adds of the engine's algorithm, and how fast this machine does them.

A time can be judged by other programs, and by this: the multiply-adds that the algorithm cannot
do without, over the rate at which the machine multiplies when nothing else is asked of it. Only
linear maps are counted; activations, pooling, gathering rows and counting answers are free here,
so the limit is below what any program can reach.

With pencil and paper, the 784-128-128-10 network on N images, unit u being active on a_u of them:

    intact, once             N   * (784 * 128 + 128 * 128 + 128 * 10)
    a unit u of layer 1      a_u * (128 + 128 * 10)    one row of 128 weights, and what follows
    a unit u of layer 2      a_u * 10                  one row of 10 weights

and a convolution of k x k taps from n to m maps of q pixels is k * k * n * m * q (taps that fall
on padding are counted, as is usual), its linear update for one map k * k * m * q.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from repro.engine import passes
from repro.engine.by_walk import dense_layers
from repro.engine.network import Convolution, Network, Node

MATRIX_SIZES = (1024, 2048, 3072)
MATRIX_SIZES_GPU = (4096, 8192)
# Multiply-adds of one timed convolution: long enough that starting it does not count.
_CONVOLUTION_WORK, _CONVOLUTION_WORK_GPU = 4e9, 4e11
_REPEATS = 5


def layer(node: Node) -> int:
    """Multiply-adds of a linear node on one image: output positions * taps * units in * out."""
    if node.linear is None:
        return 0
    positions = math.prod(size or 1 for size in node.shapes[0][:-1])
    return positions * int(node.linear.kernel.size)


def intact(network: Network) -> int:
    """Multiply-adds of the whole network on one image."""
    return sum(layer(node) for node in network.nodes)


def after_one_unit(network: Network, mask: int) -> int:
    """Multiply-adds on one image when one unit of a mask is clamped.

    Linear maps that read the mask itself change by one input unit's term, the linear update: their
    cost over the number of input units. All linear maps after those are computed whole.
    """
    clamped = network.masks[mask].outputs[0]
    total = 0
    for node in network.downstream([mask]):
        if node.linear is not None:
            n_in = node.linear.kernel.shape[1] if clamped in node.inputs else 1
            total += layer(node) // n_in
    return total


def single_units(network: Network, active: np.ndarray, units: np.ndarray) -> int:
    """Multiply-adds of clamping each of these units alone: intact once, then each unit on the
    images where it is active.

    Args:
        active: bool (n_images, n_units), whether the unit differs from zero anywhere.
        units: int (n,), numbered through all masks.
    """
    mask_of_unit = np.repeat(np.arange(len(network.masks)), _sizes(network))
    each = np.array([after_one_unit(network, mask) for mask in range(len(network.masks))], object)
    images = active.sum(axis=0).astype(object)  # Python's integers: these numbers are large
    return int(len(active) * intact(network) + (images[units] * each[mask_of_unit[units]]).sum())


def many_units(network: Network, active: np.ndarray, keep: np.ndarray) -> int:
    """Multiply-adds of lesions of any units: intact once, then for each lesion the linear maps
    after the first mask that it touches, with only the maps that it keeps.

    On images where none of the lesion's units is active the intact network's answer is the
    answer, and costs nothing.

    Args:
        active: bool (n_images, n_units). keep: bool (n_lesions, n_units).
    """
    sizes = _sizes(network)
    kept = np.stack(
        [part.sum(axis=1) for part in np.split(keep, np.cumsum(sizes)[:-1], axis=1)], axis=1
    )
    reached = active.astype(np.float32) @ (~keep).T.astype(np.float32) > 0
    images = np.count_nonzero(reached, axis=0)
    read, fed = _masks_around(network)
    total = len(active) * intact(network)
    for n_kept, n_images in zip(kept.tolist(), images.tolist(), strict=True):
        first = next((m for m, n in enumerate(n_kept) if n < sizes[m]), None)
        if first is None or not n_images:
            continue
        cost = 0
        for node in network.downstream(range(first, len(sizes))):
            if node.linear is None:
                continue
            _, n_in, n_out = node.linear.kernel.shape
            kept_in = n_kept[read[node]] if node in read else n_in
            kept_out = n_kept[fed[node]] if node in fed and fed[node] >= first else n_out
            cost += layer(node) // (n_in * n_out) * kept_in * kept_out
        total += n_images * cost
    return total


def dense_curves(network: Network, first: np.ndarray, orders: np.ndarray) -> int:
    """Multiply-adds of curves at every number of units in a dense network of two masks: the
    layers before the first mask once, then the walk of `repro.engine.walk`, without dead rows.

    A unit of the first mask that comes back costs, on the images where it is active, one row of
    the next kernel and a product of the units that are back with the classes; a unit of the second
    mask costs one row of classes on every image.

    Args:
        first: float (n_images, n_units of the first mask), the first mask's activations.
        orders: int (n_orders, n_units).
    """
    layers = dense_layers(network, {})
    if layers is None:
        raise ValueError("the network is not one of dense layers with ReLU and masks between")
    before = intact(network) - sum(layer(node) for node in network.downstream([0]))
    (n_first, n_next), n_classes = layers[0].kernel.shape, layers[1].kernel.shape[1]
    active = np.count_nonzero(first, axis=0).astype(object)
    total = len(first) * before
    for order in orders:
        back = 0
        for unit in order[::-1]:
            if unit < n_first:
                total += active[unit] * (n_next + back * n_classes)
            else:
                back += 1
                total += len(first) * n_classes
    return int(total)


def _sizes(network: Network) -> list[int]:
    return [int(node.shapes[0][-1] or 0) for node in network.masks]


def _masks_around(network: Network) -> tuple[dict[Node, int], dict[Node, int]]:
    """For linear nodes: the mask whose units they read, and the mask whose units they make, where
    nothing but unit-wise nodes stands between."""
    read, fed = {}, {}
    for node in network.nodes:
        if node.linear is None:
            continue
        before = network.writer(node.inputs[0])
        while before is not None and before.unitwise:
            before = network.writer(before.inputs[0])
        if before is not None and before.mask is not None:
            read[node] = before.mask
        for number in range(len(network.masks)):
            if network.feeding(number) is node.linear:
                fed[node] = number
    return read, fed


# --- The machine ----------------------------------------------------------------------------------


def has_gpu() -> bool:
    """Whether the Keras backend computes on a GPU."""
    return any(device.lower().startswith("gpu") for device in keras.distribution.list_devices())


def matrix_rate() -> float:
    """Multiply-adds a second of the best float32 product of square matrices, in NumPy and in the
    Keras backend, on all cores."""
    on_gpu = has_gpu()
    values = np.random.default_rng(0)
    product = passes.compiled(lambda a, b: ops.matmul(a, b), xla=False)
    best = 0.0
    for size in MATRIX_SIZES_GPU if on_gpu else MATRIX_SIZES:
        a, b = (values.random((size, size), dtype=np.float32) for _ in range(2))
        on_device = [ops.convert_to_tensor(each) for each in (a, b)]
        best = max(best, _rate(size**3, partial(product, *on_device)))
        if not on_gpu:
            best = max(best, _rate(size**3, partial(np.matmul, a, b)))
    return best


def convolution_rate(network: Network, image_shape: tuple[int, ...]) -> float:
    """Multiply-adds a second of the best of the network's own convolutions, each alone on many
    random images."""
    on_gpu = has_gpu()
    work = _CONVOLUTION_WORK_GPU if on_gpu else _CONVOLUTION_WORK
    values = np.random.default_rng(0)
    best, seen = 0.0, set()
    for node in network.nodes:
        linear = node.linear
        if not isinstance(linear, Convolution):
            continue
        writer = network.writer(node.inputs[0])
        shape = (
            image_shape if writer is None else writer.shapes[writer.outputs.index(node.inputs[0])]
        )
        kind = (shape, linear.kernel.shape, linear.size, linear.strides)
        if kind in seen:
            continue
        seen.add(kind)
        n_images = int(np.clip(work / layer(node), 16, 4096))
        x = ops.convert_to_tensor(
            values.random((n_images, *(size or 1 for size in shape)), dtype=np.float32)
        )
        kernel = linear.kernel.reshape(*linear.size, *linear.kernel.shape[1:])
        convolve = passes.compiled(_convolve(linear, kernel), xla=on_gpu)
        best = max(best, _rate(n_images * layer(node), partial(convolve, x)))
    return best


def _convolve(linear: Convolution, kernel: np.ndarray) -> Callable[[Any], Any]:
    return lambda x: ops.conv(
        x,
        kernel,
        strides=linear.strides,
        padding=linear.padding,
        data_format="channels_last",
        dilation_rate=linear.dilation,
    )


def _rate(multiply_adds: float, call: Callable[[], Any]) -> float:
    """The best of a few timings, the first not counted. Reading one number waits for them all."""
    seconds = []
    for _ in range(_REPEATS + 1):
        began = time.perf_counter()
        result = call()
        float(result[(0,) * len(result.shape)])
        seconds.append(time.perf_counter() - began)
    return multiply_adds / min(seconds[1:])
