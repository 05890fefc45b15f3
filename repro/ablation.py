"""The ablation engine: what does the network answer with these units clamped?

The engine never mutates the model. It copies it once, turns its masks into arguments, and
evaluates many lesions per call:

- prefix reuse: up to the first lesioned layer a lesion changes nothing, so those activations are
  computed once per batch of images and shared by all lesions that begin there;
- many lesions per call: the lesions of a group ride along the batch axis;
- reductions (correct images of each class, summed loss) stay on the device.

Every answer equals that of plain `model.predict` with the mask assigned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from repro.masking import AblationMask, ablation_masks, clamp, layer_of

# Rows (images times lesions) of one call, times units of the widest layer: about 16 MB of float32
# activations, which stays near the processor's cache and far below any memory limit.
_ELEMENTS_PER_CALL = 4_000_000
_CHECK_IMAGES = 32


@dataclass(frozen=True)
class Layout:
    """Where the units are: layers in the network's order, units numbered through all of them."""

    layers: tuple[tuple[str, int], ...]

    @property
    def n_units(self) -> int:
        return sum(size for _, size in self.layers)

    @property
    def starts(self) -> tuple[int, ...]:
        """Number of the first unit of each layer."""
        return tuple(int(start) for start in np.cumsum([0] + [size for _, size in self.layers]))[
            :-1
        ]

    def split(self, per_unit: np.ndarray) -> list[np.ndarray]:
        """Cuts (..., n_units) into one (..., size) per layer."""
        return np.split(per_unit, self.starts[1:], axis=-1)


@dataclass(frozen=True)
class Outcome:
    """What the network answered under each lesion.

    n_correct: int64 (n_lesions, n_classes), correctly classified images of each class.
    loss_sum: float64 (n_lesions,), cross-entropy in nats, summed over the images.
    n_images: how many images.
    """

    n_correct: np.ndarray
    loss_sum: np.ndarray
    n_images: int

    @property
    def accuracy(self) -> np.ndarray:
        """float64 (n_lesions,), in [0, 1]."""
        return self.n_correct.sum(axis=1) / self.n_images

    @property
    def loss(self) -> np.ndarray:
        """float64 (n_lesions,), mean cross-entropy in nats."""
        return self.loss_sum / self.n_images


@dataclass(frozen=True)
class UnitStatistics:
    """Activations of the intact network's units; feature maps are averaged over positions.

    class_means: float64 (n_classes, n_units), mean over the images of each class.
    class_counts: int64 (n_classes,), images of each class.
    """

    class_means: np.ndarray
    class_counts: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """float64 (n_units,), mean over all images: the fill of mean ablation."""
        return self.class_counts @ self.class_means / self.class_counts.sum()


class Engine:
    """Answers questions about lesions of one model on one set of images.

    Args:
        model: functional Keras model with `AblationMask` layers, one input, one output of
            (n_images, n_classes) logits, or probabilities where its last layer is a softmax.
            The engine takes a copy: later changes of the model do not reach it.
        images: float (n_images, ...), finite.
        labels: int (n_images,), in 0 .. n_classes - 1.
        batch_size: images per step.
        on_progress: called with the number of (image, lesion) pairs just evaluated.

    Raises:
        ValueError: no masks, masks that already ablate, images or labels that do not fit.
    """

    def __init__(
        self,
        model: keras.Model,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: int = 1000,
        on_progress: Callable[[int], None] = lambda pairs: None,
    ) -> None:
        _check_intact(ablation_masks(model))
        self._model = keras.models.clone_model(model)
        self._model.set_weights(model.get_weights())
        self._masks = ablation_masks(self._model)
        self.layout = Layout(tuple((layer_of(mask), mask.n_units) for mask in self._masks))
        self.n_classes = int(model.output_shape[-1])
        self._images, self._labels = _checked(model, self.n_classes, images, labels)
        self._batch_size = max(1, min(batch_size, len(self._images)))
        fitting = max(1, _ELEMENTS_PER_CALL // (self._batch_size * _width(model)))
        self._lesions_per_call = 1 << (fitting.bit_length() - 1)
        self._on_progress = on_progress
        self._probabilities = _gives_probabilities(model)
        # On CPU, XLA makes dense networks faster and convolutions slower by half.
        self._xla = not any(len(mask.output.shape) > 2 for mask in self._masks) or _has_gpu()
        prefix = keras.Model(self._model.inputs, [mask.input for mask in self._masks])
        # Keras gives a bare tensor for a list of one; flatten makes it a list again.
        self._activations = _compiled(
            lambda images: keras.tree.flatten(prefix(images, training=False)), self._xla
        )
        self._suffixes: dict[int, Callable[..., Any]] = {}

    @property
    def n_images(self) -> int:
        return len(self._images)

    def evaluate(self, keep: np.ndarray, fill: np.ndarray | None = None) -> Outcome:
        """Correct images of each class and summed loss under each lesion.

        Args:
            keep: (n_lesions, n_units), 1 or True where a unit is intact, 0 where it is ablated,
                over all layers in the order of `layout`.
            fill: float (n_units,), what ablated units read; None for zero.

        Raises:
            ValueError: wrong shape, or a keep that is neither 0 nor 1.
        """
        keep = np.asarray(keep)
        if keep.ndim != 2 or keep.shape[1] != self.layout.n_units:
            raise ValueError(
                f"keep must have shape (n_lesions, {self.layout.n_units}), got {keep.shape}; "
                "pass one column per unit over all ablated layers"
            )
        if not np.all((keep == 0) | (keep == 1)):
            raise ValueError("keep must be 1 (intact) or 0 (ablated) everywhere")
        fill = np.zeros(self.layout.n_units) if fill is None else np.asarray(fill)
        if fill.shape != (self.layout.n_units,) or not np.all(np.isfinite(fill)):
            raise ValueError(
                f"fill must be {self.layout.n_units} finite numbers, one a unit; "
                f"got shape {fill.shape}"
            )
        keep = keep.astype(np.float32)
        fills = [part[None] for part in self.layout.split(fill.astype(np.float32))]
        n_correct = np.zeros((len(keep), self.n_classes), np.int64)
        loss_sum = np.zeros(len(keep), np.float64)
        groups = list(self._groups(keep))
        for images, labels, weights in self._batches():
            activations = self._activations(images)
            for cut, chunk in groups:
                # Chunks are padded to a power of two, so that few graphs serve all sizes.
                padded = np.resize(chunk, 1 << (len(chunk) - 1).bit_length())
                keeps = self.layout.split(keep[padded])[cut:]
                correct, loss = self._suffix(cut)(
                    activations[cut], labels, weights, *keeps, *fills[cut:]
                )
                n_correct[chunk] += np.rint(_numpy(correct)[: len(chunk)]).astype(np.int64)
                loss_sum[chunk] += _numpy(loss)[: len(chunk)]
                self._on_progress(len(chunk) * int(weights.sum()))
        return Outcome(n_correct, loss_sum, self.n_images)

    def intact(self) -> Outcome:
        """The network without a lesion, as an outcome of one row."""
        return self.evaluate(np.ones((1, self.layout.n_units)))

    def statistics(self) -> UnitStatistics:
        """Class-conditional mean activations of every unit, in one pass over the images.

        A class without images has means of 0 and a count of 0.
        """
        sums = np.zeros((self.n_classes, self.layout.n_units), np.float64)
        counts = np.bincount(self._labels, minlength=self.n_classes)
        for images, labels, weights in self._batches():
            n_real = int(weights.sum())
            per_unit = np.concatenate(
                [
                    _numpy(activation).reshape(len(images), -1, size).mean(axis=1)
                    for activation, (_, size) in zip(
                        self._activations(images), self.layout.layers, strict=True
                    )
                ],
                axis=1,
            )[:n_real]
            members = np.eye(self.n_classes)[labels[:n_real]]
            sums += members.T @ per_unit.astype(np.float64)
        return UnitStatistics(sums / np.maximum(counts, 1)[:, None], counts)

    def check(self) -> None:
        """Verifies on a few images what every sweep relies on.

        With all units kept the network answers as the model does; a clamped unit reads its fill
        after the activation, and its neighbours keep their values.

        Raises:
            RuntimeError: it does not; results would be wrong.
        """
        images = self._images[:_CHECK_IMAGES]
        ones = [np.ones((1, size), np.float32) for _, size in self.layout.layers]
        fills = [np.full((1, size), 0.5, np.float32) for _, size in self.layout.layers]
        graph = self._masked_graph(0, every_activation=True)
        prefix = self._activations(images)[0]

        def masked(keeps: list[np.ndarray]) -> list[Any]:
            lesion = [ops.convert_to_tensor(array) for array in [*keeps, *fills]]
            return graph([prefix, *lesion], training=False)

        *intact, outputs = masked(ones)
        expected = _numpy(self._model(images, training=False))
        if not np.allclose(_numpy(outputs), expected, rtol=1e-4, atol=1e-4):
            raise RuntimeError("the engine's intact network does not answer as the model does")
        for index, (name, size) in enumerate(self.layout.layers):
            unit = size // 2
            keeps = [keep.copy() for keep in ones]
            keeps[index][0, unit] = 0
            lesioned = _numpy(masked(keeps)[index])
            expected_activation = _numpy(intact[index]).copy()
            expected_activation[..., unit] = 0.5
            if not np.array_equal(lesioned, expected_activation):
                raise RuntimeError(f"unit {unit} of {name} was lesioned but does not read its fill")

    def _groups(self, keep: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Lesions by the first layer they touch, in chunks of one call: (layer, lesion numbers)."""
        touched = np.stack([part.min(axis=1) < 1 for part in self.layout.split(keep)], axis=1)
        # A lesion of nothing may start anywhere; the last layer is the cheapest place.
        cuts = np.where(touched.any(axis=1), touched.argmax(axis=1), touched.shape[1] - 1)
        for cut in range(touched.shape[1]):
            members = np.flatnonzero(cuts == cut)
            for start in range(0, len(members), self._lesions_per_call):
                yield cut, members[start : start + self._lesions_per_call]

    def _batches(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(images, labels, weights) of one size; weights are 0 for the last batch's padding."""
        for start in range(0, self.n_images, self._batch_size):
            n_real = min(self._batch_size, self.n_images - start)
            index = start + np.arange(self._batch_size) % n_real
            weights = (np.arange(self._batch_size) < n_real).astype(np.float32)
            yield self._images[index], self._labels[index], weights

    def _suffix(self, cut: int) -> Callable[..., Any]:
        """Compiled: (activation at the cut, labels, weights, keeps, fills) -> (correct, loss)."""
        if cut not in self._suffixes:
            graph = self._masked_graph(cut)
            n_classes, probabilities = self.n_classes, self._probabilities

            def reduced(activation: Any, labels: Any, weights: Any, *lesion: Any) -> Any:
                outputs = graph([activation, *lesion], training=False)
                outputs = ops.reshape(ops.cast(outputs, "float32"), (-1, len(labels), n_classes))
                members = ops.one_hot(labels, n_classes, dtype="float32") * weights[:, None]
                hits = ops.cast(ops.argmax(outputs, axis=-1) == labels[None], "float32")
                log_p = ops.log(outputs + 1e-38) if probabilities else ops.log_softmax(outputs)
                loss = -ops.sum(log_p * members[None], axis=(1, 2))
                return ops.matmul(hits, members), loss

            self._suffixes[cut] = _compiled(reduced, self._xla)
        return self._suffixes[cut]

    def _masked_graph(self, cut: int, every_activation: bool = False) -> keras.Model:
        """The network from the cut on, its masks fed by arguments.

        Inputs: activation (n_images, ...) before the mask at the cut; then keep (n_lesions, size)
        and then fill (1, size) for each mask from the cut on. Output: (n_lesions * n_images, ...),
        the images of the first lesion first; preceded by every masked activation if asked.
        """
        masks = self._masks[cut:]
        activation = keras.Input(masks[0].input.shape[1:], name="activation")
        keeps = [keras.Input((mask.n_units,), name=f"keep_{i}") for i, mask in enumerate(masks)]
        fills = [keras.Input((mask.n_units,), name=f"fill_{i}") for i, mask in enumerate(masks)]
        inputs = [activation, *keeps, *fills]
        try:
            suffix = keras.Model([masks[0].input, *keeps, *fills], self._model.outputs[0])
        except ValueError as error:
            raise ValueError(
                f"the network branches before {masks[0].name}: what follows it also reads an "
                "earlier tensor, so its activation alone does not determine the output"
            ) from error

        def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
            if not isinstance(layer, AblationMask):
                return layer(*args, **kwargs)
            index = masks.index(layer)
            lesioned = _Lesions(shared=index == 0, name=f"lesions_{index}")(
                args[0], keeps[index], fills[index]
            )
            activations.append(lesioned)
            return lesioned

        activations: list[Any] = []
        graph = keras.models.clone_model(
            suffix, input_tensors=inputs, clone_function=lambda layer: layer, call_function=call
        )
        return keras.Model(inputs, [*activations, graph.outputs[0]]) if every_activation else graph


class _Lesions(keras.layers.Layer):
    """Clamps as AblationMask does, for many lesions at once that share the batch axis.

    Args:
        shared: the activation belongs to the intact network and is the same for every lesion;
            after the first mask each lesion has its own.
    """

    def __init__(self, shared: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shared = shared

    def call(self, activation: Any, keep: Any, fill: Any) -> Any:
        shape = ops.shape(activation)[1:]
        n_lesions = 1 if self.shared else ops.shape(keep)[0]
        per_lesion = ops.reshape(activation, (n_lesions, -1, *shape))
        keep = ops.reshape(keep, (-1, 1, *[1] * (len(shape) - 1), shape[-1]))
        clamped = clamp(
            per_lesion, ops.cast(keep, activation.dtype), ops.cast(fill, activation.dtype)
        )
        return ops.reshape(clamped, (-1, *shape))

    def compute_output_shape(self, activation_shape: Any, *others: Any) -> Any:
        return activation_shape


def _compiled(fn: Callable[..., Any], xla: bool) -> Callable[..., Any]:
    """The function as one compiled graph of the Keras backend in use."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(fn)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(fn, jit_compile=xla)
    return fn


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _has_gpu() -> bool:
    return bool(keras.distribution.list_devices("gpu"))


def _width(model: keras.Model) -> int:
    """Elements of the widest activation of one image after the input."""
    shapes = [layer.output.shape[1:] for layer in model.layers[1:]]
    return max(math.prod(size or 1 for size in shape) for shape in shapes)


def _gives_probabilities(model: keras.Model) -> bool:
    activation = getattr(model.layers[-1], "activation", None)
    return activation is keras.activations.softmax or isinstance(
        model.layers[-1], keras.layers.Softmax
    )


def _check_intact(masks: Sequence[AblationMask]) -> None:
    for mask in masks:
        ablated = int(np.sum(_numpy(mask.keep) != 1))
        if ablated:
            raise ValueError(
                f"{mask.name} already ablates {ablated} units; set its keep to ones: the engine "
                "compares with the intact network"
            )


def _checked(
    model: keras.Model, n_classes: int, images: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    images = np.asarray(images, np.float32)
    labels = np.asarray(labels)
    expected = tuple(model.input_shape[1:])
    wanted = ", ".join(["n", *(str(size) for size in expected)])
    if images.ndim != len(expected) + 1 or any(
        size not in (None, found) for size, found in zip(expected, images.shape[1:], strict=True)
    ):
        raise ValueError(f"images must have shape ({wanted}), got {images.shape}")
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be {len(images)} integers, one an image; "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    if not len(images):
        raise ValueError("there are no images to evaluate on")
    if not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(
            f"labels must be 0 to {n_classes - 1}, the model's classes; "
            f"got {labels.min()} to {labels.max()}"
        )
    if not np.all(np.isfinite(images)):
        raise ValueError("images hold values that are not finite (NaN or infinity)")
    return images, labels.astype(np.int32)
