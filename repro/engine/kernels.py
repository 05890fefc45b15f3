"""Compiled loops of `walk`: products, units that change, and the tally of answers.

Units are rows and images are columns: (n_units, n_images). Every inner loop runs over images, so
the compiler fills the vector registers whatever the number of classes, and a unit's weight is one
number for the whole loop. A block of a few hundred images stays in the processor's cache.

Numba compiles a function the first time that it is called, for some seconds, and keeps the result
on disk for the next process. The functions let go of the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

# BLAS takes over products with at least so many columns and so many units to sum over.
_WIDE, _DEEP = 48, 8
# If a unit is active on a larger share of the images, all images are computed: picking would cost
# more.
_DENSE = 0.6
# At most so many factors of the losses are multiplied before the logarithm is taken.
_LARGE = 1e250

_LOG2_E = np.float32(1.44269504)
# ln 2 in two parts; the first has few digits, so that its multiples are exact.
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
# exp(r) = 1 + r + r^2 (1/2 + r/6 + ...): Taylor's series, enough for |r| <= ln(2) / 2.
_C3, _C4, _C5, _C6, _C7 = (np.float32(1 / n) for n in (6, 24, 120, 720, 5040))
_HALF, _ONE, _LOWEST = np.float32(0.5), np.float32(1), np.float32(-87)
_BIAS, _MANTISSA_BITS = np.int32(127), np.int32(23)  # of a float32


def compiled(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles the function to machine code with fused multiply-adds."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return numba.njit(cache=True, **options)(fn)
    except RuntimeError:  # no folder to keep it in: each process compiles the function
        return numba.njit(**options)(fn)


@compiled
def curve(
    changes,
    sizes,
    kernels,
    constants,
    fills,
    bases,
    with_basis,
    back,
    labels,
    tie,
    top,
    n_correct,
    n_top,
    n_tied,
    loss_sum,
    right,
    losses,
):
    """Counts along a curve, from its far end: units only come back, none is removed.

    Arrays of several layers come one after the other in flat arrays, so that one compiled function
    serves networks of any depth.

    Args:
        changes: float32 (n_units of the first mask, n_images), activation minus fill.
        sizes: int64 (n_masks + 1,), the units of each mask, and the classes.
        kernels: float32, of each layer (n_units, n_out); units in the order in which they return.
        constants: float32, of each layer (n_out,), its output when every unit reads its fill.
        fills: float32, of each mask (n_units,).
        bases: float32, for each mask with a basis (n_units, n_units): the mask's units are
            projections on the rows. with_basis: bool (n_masks,), which masks have a basis; the
            first entry is not read.
        back: int64 (n_points, n_masks), how many units of each mask are back; never fewer than at
            the point before.
        labels: int32 (n_images,).
        tie, top: see `tally`.
        n_correct: int64 (n_points, n_classes); n_top, n_tied: int64 (n_points,); loss_sum: float64
            (n_points,). Added to.
        right: uint8 (n_points, n_images), losses: float32 (n_points, n_images), of each image:
            written, whether the answer is right, and the loss; of size 0 where they are not wanted.
    """
    n_layers, n_images = len(sizes) - 1, len(labels)
    units = np.empty((sizes.max(), n_images), np.float32)
    outputs = np.empty(sizes[1:].sum() * n_images, np.float32)
    floats, integers = np.empty((7, n_images), np.float32), np.empty((3, n_images), np.int32)
    size, every = np.zeros(n_images, np.float32), np.arange(n_images).astype(np.uint32)
    there = np.zeros(n_layers, np.int64)  # units that the outputs hold already
    for layer in range(n_layers):
        _spread(constants, sizes, layer, _output(outputs, sizes, layer, n_images))
    for point in range(len(back)):
        moved = False  # whether the outputs of the layer before have changed
        for layer in range(n_layers):
            output = _output(outputs, sizes, layer, n_images)
            if moved:
                _spread(constants, sizes, layer, output)
                there[layer] = 0
            first, last = there[layer], back[point, layer]
            if first == last:
                continue
            kernel = _kernel(kernels, sizes, layer)
            if layer == 0:
                add_product(changes, kernel, first, last, output)
            else:
                before = _output(outputs, sizes, layer - 1, n_images)
                basis = _basis(bases, with_basis, sizes, layer)
                fill = _of_mask(fills, sizes, layer)
                _units(before, basis, fill, first, last, units)
                add_product(units, kernel, first, last, output)
            there[layer], moved = last, True
        tally(
            _output(outputs, sizes, n_layers - 1, n_images),
            labels,
            size,
            tie,
            top,
            floats,
            integers,
            n_correct[point],
            n_top[point : point + 1],
            n_tied[point : point + 1],
            loss_sum[point : point + 1],
        )
        _write(floats, integers, every, right, losses, point)


@compiled
def single(
    changes,
    mask,
    chosen,
    sizes,
    kernels,
    biases,
    bases,
    with_basis,
    intact,
    logits,
    labels,
    tie,
    top,
    n_correct,
    n_top,
    n_tied,
    loss_sum,
    right,
    losses,
):
    """Counts with one unit of a mask clamped at a time, computed on the images that it changes.

    Args:
        changes: float32 (n_units of the mask, n_images), fill minus activation.
        mask: the mask's number. chosen: int64 (n_lesions,), the units; below 0 none is clamped.
        biases: float32, of each layer (n_out,).
        intact: float32 (n_out, n_images), the output of the layer that reads the mask, no unit
            ablated.
        logits: float32 (n_classes, n_images), those of the intact network.
        n_correct, n_top, n_tied, loss_sum, right, losses: as for `curve`, a row for each lesion.
        The others as for `curve`, units in the order of the network.
    """
    n_layers, n_images = len(sizes) - 1, len(labels)
    units_memory = np.empty(sizes.max() * n_images, np.float32)
    outputs = np.empty(sizes[1:].sum() * n_images, np.float32)
    floats, integers = np.empty((7, n_images), np.float32), np.empty((3, n_images), np.int32)
    intact_size, size = np.zeros(n_images, np.float32), np.zeros(n_images, np.float32)
    for k in range(len(logits)):
        for i in range(n_images):
            intact_size[i] = max(intact_size[i], abs(logits[k, i]))
    active, of_active = np.empty(n_images, np.uint32), np.empty(n_images, np.int32)
    change = np.empty(n_images, np.float32)
    no_fill = np.zeros(sizes.max(), np.float32)
    lowest = np.float32(-np.inf)
    kernel = _kernel(kernels, sizes, mask)
    # The intact network's answers: image by image, and all together.
    hit, in_top = np.empty(n_images, np.int64), np.empty(n_images, np.int64)
    tied, loss = np.empty(n_images, np.int64), np.empty(n_images, np.float64)
    all_correct = np.zeros(len(logits), np.int64)
    answer(logits, labels, size, tie, floats, integers)
    for i in range(n_images):
        hit[i], in_top[i] = integers[0, i] == 0, integers[0, i] < top
        tied[i] = integers[1, i] > 1
        loss[i] = _loss(floats, i)
        all_correct[labels[i]] += hit[i]
    all_top, all_tied, all_loss = in_top.sum(), tied.sum(), loss.sum()
    for lesion in range(len(chosen)):
        n_correct[lesion] += all_correct
        n_top[lesion] += all_top
        n_tied[lesion] += all_tied
        loss_sum[lesion] += all_loss
        if right.size:
            for i in range(n_images):
                right[lesion, i] = hit[i]
        if losses.size:
            for i in range(n_images):
                losses[lesion, i] = loss[i]
        if chosen[lesion] < 0:
            continue
        of_unit, weights, n = changes[chosen[lesion]], kernel[chosen[lesion]], 0
        for i in range(n_images):
            # Inactive images are written too and overwritten next: a branch would be mispredicted.
            active[n], change[n], of_active[n] = i, of_unit[i], labels[i]
            n += of_unit[i] != 0
        if n == 0:
            continue
        if n > n_images * _DENSE:
            n = n_images
            for i in range(n_images):
                active[i], change[i], of_active[i] = i, of_unit[i], labels[i]
        for i in range(n):
            image = active[i]
            n_correct[lesion, labels[image]] -= hit[image]
            n_top[lesion] -= in_top[image]
            n_tied[lesion] -= tied[image]
            loss_sum[lesion] -= loss[image]
            size[i] = intact_size[image]
        units = units_memory[: sizes.max() * n].reshape(sizes.max(), n)
        last = _output(outputs, sizes, n_layers - 1, n)
        if mask == n_layers - 1:
            _changed(intact, active, weights, change, lowest, last)
        for layer in range(mask + 1, n_layers):
            before = _output(outputs, sizes, layer - 1, n)
            if layer == mask + 1 and not with_basis[layer]:
                _changed(intact, active, weights, change, np.float32(0), units)
            else:
                if layer == mask + 1:
                    _changed(intact, active, weights, change, lowest, before)
                basis = _basis(bases, with_basis, sizes, layer)
                _units(before, basis, no_fill, 0, sizes[layer], units)
            after = _output(outputs, sizes, layer, n)
            _spread(biases, sizes, layer, after)
            add_product(units, _kernel(kernels, sizes, layer), 0, sizes[layer], after)
        tally(
            last,
            of_active[:n],
            size,
            tie,
            top,
            floats,
            integers,
            n_correct[lesion],
            n_top[lesion : lesion + 1],
            n_tied[lesion : lesion + 1],
            loss_sum[lesion : lesion + 1],
        )
        _write(floats, integers, active[:n], right, losses, lesion)


@compiled
def _loss(floats, i):
    """The loss of an image in nats, from what `answer` wrote."""
    if floats[5, i] > 0:
        return floats[5, i] + np.log(np.float64(floats[3, i]) + np.float64(floats[6, i]))
    return np.log1p(np.float64(floats[3, i]) * np.float64(floats[6, i]))


@compiled
def _write(floats, integers, images, right, losses, lesion):
    """Writes down what `answer` found on these images; nothing into arrays of size 0."""
    if right.size:
        for i in range(len(images)):
            right[lesion, images[i]] = integers[0, i] == 0
    if losses.size:
        for i in range(len(images)):
            losses[lesion, images[i]] = _loss(floats, i)


@compiled
def _kernel(kernels, sizes, layer):
    start = 0
    for before in range(layer):
        start += sizes[before] * sizes[before + 1]
    n_units, n_out = sizes[layer], sizes[layer + 1]
    return kernels[start : start + n_units * n_out].reshape(n_units, n_out)


@compiled
def _output(outputs, sizes, layer, n_images):
    start, n_out = sizes[1 : layer + 1].sum() * n_images, sizes[layer + 1]
    return outputs[start : start + n_out * n_images].reshape(n_out, n_images)


@compiled
def _basis(bases, with_basis, sizes, mask):
    start = 0
    for before in range(mask):
        start += with_basis[before] * sizes[before] ** 2
    n_units = with_basis[mask] * sizes[mask]
    return bases[start : start + n_units * n_units].reshape(n_units, n_units)


@compiled
def _of_mask(fills, sizes, mask):
    start = sizes[:mask].sum()
    return fills[start : start + sizes[mask]]


@compiled
def _spread(constants, sizes, layer, output):
    """output[k] = the layer's constants[k] on every image."""
    start = sizes[1 : layer + 1].sum()
    for k in range(len(output)):
        output[k, :] = constants[start + k]


@compiled
def _units(outputs, basis, fill, first, last, units):
    """Units first to last of a mask, minus their fill: the ReLU of the outputs before the mask, or
    projections of this ReLU on the basis."""
    n_images = outputs.shape[1]
    if basis.size:
        rectified = np.empty_like(outputs)
        for j in range(len(outputs)):
            for image in range(n_images):
                rectified[j, image] = max(outputs[j, image], np.float32(0))
        np.dot(basis[first:last], rectified, units[first:last])
    for j in range(first, last):
        of_unit, output, at = units[j], outputs[j], fill[j]
        for image in range(n_images):
            at_unit = of_unit[image] if basis.size else max(output[image], np.float32(0))
            of_unit[image] = at_unit - at


@compiled
def _changed(intact, images, weights, change, floor, outputs):
    """outputs = max(intact of these images + weights x change, floor), an outer product."""
    n = outputs.shape[1]
    every = n == intact.shape[1]
    for k in range(len(weights)):
        before, after, weight = intact[k], outputs[k], weights[k]
        if every:
            for i in range(n):
                after[i] = max(before[i] + change[i] * weight, floor)
        else:  # two loops: the second one is vectorized
            for i in range(n):
                after[i] = before[images[i]]
            for i in range(n):
                after[i] = max(after[i] + change[i] * weight, floor)


@compiled
def add_product(units, kernel, first, last, outputs):
    """outputs += kernel[first:last].T @ units[first:last].

    Four units and two outputs at a time: eight multiply-adds for six loads and two stores, which
    keeps the multipliers busy.

    Args:
        units: float32 (n_units or more, n_images). kernel: float32 (n_units, n_out).
        outputs: float32 (n_out, n_images).
    """
    n_out, n_images = outputs.shape
    if n_out >= _WIDE and last - first >= _DEEP:
        outputs += np.dot(kernel[first:last].T, units[first:last])
        return
    by_four = last - (last - first) % 4
    for j in range(first, by_four, 4):
        u0, u1, u2, u3 = units[j], units[j + 1], units[j + 2], units[j + 3]
        for k in range(0, n_out - 1, 2):
            left, right = outputs[k], outputs[k + 1]
            w00, w01 = kernel[j, k], kernel[j, k + 1]
            w10, w11 = kernel[j + 1, k], kernel[j + 1, k + 1]
            w20, w21 = kernel[j + 2, k], kernel[j + 2, k + 1]
            w30, w31 = kernel[j + 3, k], kernel[j + 3, k + 1]
            for i in range(n_images):
                x0, x1, x2, x3 = u0[i], u1[i], u2[i], u3[i]
                left[i] = left[i] + x0 * w00 + x1 * w10 + x2 * w20 + x3 * w30
                right[i] = right[i] + x0 * w01 + x1 * w11 + x2 * w21 + x3 * w31
        if n_out % 2:
            left = outputs[n_out - 1]
            w00, w10 = kernel[j, n_out - 1], kernel[j + 1, n_out - 1]
            w20, w30 = kernel[j + 2, n_out - 1], kernel[j + 3, n_out - 1]
            for i in range(n_images):
                left[i] = left[i] + u0[i] * w00 + u1[i] * w10 + u2[i] * w20 + u3[i] * w30
    for j in range(by_four, last):
        u0 = units[j]
        for k in range(n_out):
            left, w00 = outputs[k], kernel[j, k]
            for i in range(n_images):
                left[i] += u0[i] * w00


@compiled
def tally(logits, labels, size, tie, top, floats, integers, n_correct, n_top, n_tied, loss_sum):
    """Counts the answers of images.

    The loss of an image is log(1 + sum over other classes of exp(logit - logit of the label)). The
    sum of them takes the logarithm of a product instead of a logarithm for each image.

    Args:
        top: an image counts in n_top if fewer classes than this come before its own.
        n_correct: int64 (n_classes,); n_top, n_tied: int64 (1,); loss_sum: float64 (1,), in nats.
            Added to.
        The others as for `answer`.
    """
    answer(logits, labels, size, tie, floats, integers)
    rest, away, small = floats[3], floats[5], floats[6]
    before, n_near = integers[0], integers[1]
    product, loss, in_top, tied = 1.0, 0.0, 0, 0
    for i in range(len(labels)):
        # Right answer: the factor is just above 1. Wrong answer: exp(away) is taken out of the
        # factor, and `away` is added to the loss below.
        over = away[i] > 0
        scaled = np.float64(rest[i]) * (1.0 if over else np.float64(small[i]))
        product *= scaled + (np.float64(small[i]) if over else 1.0)
        if product > _LARGE:
            loss += np.log(product)
            product = 1.0
        loss += max(np.float64(away[i]), 0.0)
        in_top += before[i] < top
        tied += n_near[i] > 1
        n_correct[labels[i]] += before[i] == 0
    n_top[0] += in_top
    n_tied[0] += tied
    loss_sum[0] += loss + np.log(product)


@compiled
def _power(x):
    """exp(x) of x up to 0 as its two factors: a number near 1, and the exponent of a power of 2."""
    # exp(x) = 2^n exp(r), with n whole and |r| <= ln(2) / 2. A NaN stays one.
    x = _LOWEST if x < _LOWEST else x
    n = np.floor(x * _LOG2_E + _HALF)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    series = ((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _HALF
    return series * r * r + r + _ONE, (np.int32(n) + _BIAS) << _MANTISSA_BITS


@compiled
def answer(logits, labels, size, tie, floats, integers):
    """Compares the network's answer with the label, for each image.

    Args:
        logits: float32 (n_classes, n_images). labels: int32 (n_images,).
        size: float32 (n_images or more,), how large a logit was before a lesion: a lesion may leave
            nothing but rounding error. 0 where it is not known.
        tie: two logits tie when they differ by less than this part of the largest.
        floats: float32 (7, n_images or more). Written: the label's logit, the best other logit,
            memory, the sum over other classes of exp(logit - best other), memory, the best other
            logit less the label's, exp of minus its magnitude.
        integers: int32 (3, n_images or more). Written: how many classes come before the label's,
            of equal logits the lower class first, as in argmax; how many logits tie with the best,
            itself included; memory.
    """
    n_classes, n_images = logits.shape
    of_label, other, near, total, power = floats[0], floats[1], floats[2], floats[3], floats[4]
    away, small = floats[5], floats[6]
    before, n_near, exponent = integers[0], integers[1], integers[2]
    scale = exponent.view(np.float32)
    lowest = np.float32(-np.inf)
    for i in range(n_images):
        of_label[i] = logits[labels[i], i]
        other[i] = lowest
        near[i] = of_label[i]
        total[i] = 0
        before[i] = n_near[i] = 0
    for k in range(n_classes):
        logit = logits[k]
        for i in range(n_images):
            other[i] = max(other[i], lowest if labels[i] == k else logit[i])
            near[i] = min(near[i], logit[i])
    for i in range(n_images):
        best = max(other[i], of_label[i])
        near[i] = best - tie * max(max(best, -near[i]), size[i])
        away[i] = other[i] - of_label[i]
        power[i], exponent[i] = _power(-abs(away[i]))
    for i in range(n_images):
        small[i] = power[i] * scale[i]
    for k in range(n_classes):
        logit = logits[k]
        for i in range(n_images):
            first = (logit[i] > of_label[i]) | ((logit[i] == of_label[i]) & (k < labels[i]))
            before[i] += np.int32(first)
            n_near[i] += np.int32(logit[i] >= near[i])
            # The label's own class is not part of the sum.
            x = logit[i] - other[i]
            power[i], exponent[i] = _power(np.float32(0) if x > 0 else x)
            power[i] = np.float32(0) if labels[i] == k else power[i]
        for i in range(n_images):
            total[i] += power[i] * scale[i]
