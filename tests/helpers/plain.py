"""The plainest route to every answer of the engine: assign the masks, predict, count in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.models.masking import ablation_masks, layer_of

# The engine calls two best logits tied when they differ by less than 1e-5 of the largest. Here
# a factor of two either way, for logits that were summed in another order.
_TIE = 1e-5


@dataclass(frozen=True)
class Counts:
    """What one network answers: correct images of each class, summed cross-entropy, top five, how
    many images tie surely and how many perhaps, and for how many the fifth place is a tie."""

    n_correct: np.ndarray
    loss_sum: float
    n_top5: int
    surely_tied: int
    perhaps_tied: int
    fifth_tied: int


def counts(outputs: np.ndarray, labels: np.ndarray, probabilities: bool = False) -> Counts:
    """Counts of (n_images, n_classes) logits or probabilities; a tie goes to the lower class."""
    logits = outputs.astype(np.float64)
    logits = np.log(np.maximum(logits, 1e-300)) if probabilities else logits
    n_images, n_classes = logits.shape
    hits = logits.argmax(axis=1) == labels
    top = logits.max(axis=1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    five = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    ordered = np.sort(logits, axis=1)[:, ::-1]
    rounding = _TIE * np.abs(logits).max(axis=1)
    gap = ordered[:, 0] - ordered[:, 1] if n_classes > 1 else np.full(n_images, np.inf)
    fifth = ordered[:, 4] - ordered[:, 5] if n_classes > 5 else np.full(n_images, np.inf)
    return Counts(
        n_correct=np.bincount(labels[hits], minlength=n_classes),
        loss_sum=float(-log_p[np.arange(n_images), labels].sum()),
        n_top5=int((five == labels[:, None]).any(axis=1).sum()),
        surely_tied=int((gap <= rounding / 2).sum()),
        perhaps_tied=int((gap <= rounding * 2).sum()),
        fifth_tied=int((fifth <= rounding * 2).sum()),
    )


def assign(model: Any, layers: Sequence[tuple[str, int]], keep: np.ndarray, fill: Any) -> None:
    """Assigns to the masks of these layers, in this order, as a user would.

    Args:
        layers: (name, units) as `Layout.layers` has them.
        keep: (n_units,). fill: None, (n_units,), or an array for each layer.
    """
    edges = np.cumsum([size for _, size in layers])[:-1]
    fill = np.zeros(len(keep)) if fill is None else fill
    fills = np.split(fill, edges) if isinstance(fill, np.ndarray) else fill
    for (name, _), part, values in zip(layers, np.split(keep, edges), fills, strict=True):
        mask = next(mask for mask in ablation_masks(model) if layer_of(mask) == name)
        mask.keep.assign(part)
        mask.fill.assign(np.broadcast_to(values, mask.fill.shape))


def answer(
    model: Any,
    layers: Sequence[tuple[str, int]],
    images: np.ndarray,
    labels: np.ndarray,
    keep: np.ndarray,
    fill: Any = None,
    probabilities: bool = False,
) -> Counts:
    """What the model answers with these masks assigned. They are taken off again."""
    assign(model, layers, np.asarray(keep), fill)
    outputs = np.asarray(model.predict_on_batch(images))
    assign(model, layers, np.ones(len(keep)), None)
    return counts(outputs, labels, probabilities)


def assert_lesion_equals(outcome: Any, lesion: Any, expected: Counts) -> None:
    """One lesion of an outcome, by its index, against the plain counts."""
    away = np.abs(outcome.n_correct[lesion] - expected.n_correct).sum()
    assert away <= outcome.n_tied[lesion], (outcome.n_correct[lesion], expected.n_correct)
    assert expected.surely_tied <= outcome.n_tied[lesion] <= expected.perhaps_tied
    assert abs(outcome.n_top5[lesion] - expected.n_top5) <= expected.fifth_tied
    # Float32 logits: about 1e-7 relative each, through a few layers, summed over the images; a
    # loss next to 0 has the absolute error of its logits.
    np.testing.assert_allclose(
        outcome.loss_sum[lesion], expected.loss_sum, rtol=1e-5, atol=1e-6 * outcome.n_images
    )


def assert_evaluates(
    model: Any,
    engine: Any,
    images: np.ndarray,
    labels: np.ndarray,
    keep: np.ndarray,
    fill: Any = None,
    probabilities: bool = False,
) -> None:
    """Every lesion of `Engine.evaluate` against the plain route."""
    outcome = engine.evaluate(keep, fill)
    assert outcome.n_images == len(images)
    layers = engine.layout.layers
    for row, lesion in enumerate(keep):
        expected = answer(model, layers, images, labels, lesion, fill, probabilities)
        assert_lesion_equals(outcome, row, expected)


def randomise(model: Any, rng: np.random.Generator) -> None:
    """All weights drawn anew: kernels that keep the size of a signal, and biases and BatchNorm
    statistics away from where they start, or mistakes would not show."""
    for weight in model.weights:
        name = weight.path.split("/")[-1]
        if name.endswith("kernel"):
            fan_in = np.prod(weight.shape[:2] if "depthwise" in name else weight.shape[:-1])
            weight.assign(rng.normal(0, np.sqrt(2 / fan_in), weight.shape))
        elif name in ("bias", "beta", "moving_mean"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
        elif name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))


def lesions(
    rng: np.random.Generator, layers: Sequence[tuple[str, int]], n_random: int = 4
) -> np.ndarray:
    """bool (n, n_units): nothing, everything, two single units, random sets over all layers, a
    random set that begins at a later layer, and a whole layer."""
    sizes = [size for _, size in layers]
    starts, n_units = np.cumsum([0, *sizes]), sum(sizes)
    units = np.arange(n_units)
    keep = [np.ones(n_units, bool), np.zeros(n_units, bool)]
    keep += [units != 0, units != rng.integers(n_units)]
    keep += list(rng.random((n_random, n_units)) > rng.random((n_random, 1)))
    later, whole = rng.integers(len(sizes), size=2)
    keep.append((units < starts[later]) | (rng.random(n_units) > 0.4))
    keep.append((units < starts[whole]) | (units >= starts[whole + 1]))
    return np.array(keep)


# --- Without masks: the user's own layer, whose call is wrapped -----------------------------------


def layer_named(model: Any, name: str) -> Any:
    """A layer of the model or of a model within it; None where there is none of this name."""
    for layer in model.layers:
        if layer.name == name:
            return layer
        inner = layer_named(layer, name) if hasattr(layer, "layers") else None
        if inner is not None:
            return inner
    return None


@contextmanager
def without_unit(layer: Any, unit: int) -> Iterator[None]:
    """While this holds, every answer of the layer is multiplied by 0 for one unit."""
    from keras import ops

    name = "quantized_call" if getattr(layer, "quantization_mode", None) else "call"
    original = getattr(layer, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        found = original(*args, **options)
        keep = np.arange(found.shape[-1]) != unit
        return found * ops.cast(keep, found.dtype)

    setattr(layer, name, wrapped)
    try:
        yield
    finally:
        delattr(layer, name)
