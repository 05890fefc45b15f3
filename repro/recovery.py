"""Recovery: ablate, then train on with the lesion held, and compare (paper.md 6.4).

    found = repro.recover(model, {"conv_3": [4, 17]}, images, labels, epochs=3)
    found.intact.accuracy, found.lesioned.accuracy, found.recovered[-1].accuracy
    found.share_regained  # of what the lesion cost

Training on changes a network without a lesion, too. So a second copy is trained on intact, with the
same images in the same order, and its accuracies stand beside (`control`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from repro import graph
from repro.batches import Batches
from repro.insertion import ablate, insert_masks
from repro.masking import AblationMask, ablation_masks
from repro.network import trace

LEARNING_RATE, MOMENTUM = 0.01, 0.9
_IMAGES_PER_BATCH = 1000


@dataclass(frozen=True)
class Answers:
    """What a network answers on a set of images.

    n_correct: int64 (n_classes,), correct images of each class. n_images: int64 (n_classes,).
    loss: mean cross-entropy in nats.
    """

    n_correct: np.ndarray
    n_images: np.ndarray
    loss: float

    @property
    def accuracy(self) -> float:
        """In [0, 1]."""
        return float(self.n_correct.sum() / self.n_images.sum())

    @property
    def class_accuracy(self) -> np.ndarray:
        """float64 (n_classes,); NaN for a class without images."""
        with np.errstate(invalid="ignore"):
            return self.n_correct / self.n_images


@dataclass(frozen=True)
class Recovery:
    """A network before a lesion, after it, and after each epoch of training on.

    units: what was ablated, by layer.
    recovered: after each epoch with the lesion held. control: of the intact copy; empty without.
    network: the lesioned copy as it is at the end, the lesion still in its masks.
    """

    units: dict[str, tuple[int, ...]]
    intact: Answers
    lesioned: Answers
    recovered: tuple[Answers, ...]
    control: tuple[Answers, ...]
    network: keras.Model

    @property
    def share_regained(self) -> float:
        """(after training on - after the lesion) / (before - after the lesion), of accuracy.

        1 where all that was lost came back, above 1 where more did, below 0 where training on made
        it worse; NaN where the lesion cost nothing.
        """
        lost = self.intact.accuracy - self.lesioned.accuracy
        regained = self.recovered[-1].accuracy - self.lesioned.accuracy
        return regained / lost if lost else float("nan")


def recover(
    model: keras.Model,
    units: Mapping[str, Sequence[int]],
    images: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    *,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
    fill: float = 0.0,
    optimizer: keras.optimizers.Optimizer | None = None,
    batch_size: int = 128,
    seed: int = 0,
    control: bool = True,
) -> Recovery:
    """Ablates units of a copy of the model, trains it on with the lesion held, and compares.

    The lesion is held exactly: `keep` and `fill` are weights that no optimizer sees, and a clamped
    unit passes no gradient on. It is verified after every epoch.

    Args:
        model: a classifier as `insertion.insert_masks` takes it, or with masks; never changed. Its
            answer is taken for probabilities where its last layer is a softmax, else for logits.
        units: by layer the numbers of its units.
        images, labels: to train on; int labels (n_images,).
        epochs: of training on, 1 or more. The order of images is drawn from the seed.
        held_out: images and labels to read accuracy on; None for those of the training.
        fill: what ablated units read.
        optimizer: whose settings to train with, from a fresh state; None for SGD with a learning
            rate of 0.01 and momentum 0.9.
        control: train an intact copy as well, for as long.

    Raises:
        ValueError: units that do not exist, images or labels that do not fit, no epochs.
    """
    if epochs < 1 or batch_size < 1:
        raise ValueError(
            "epochs and batch_size must be 1 or more. "
            f"Received: epochs={epochs}, batch_size={batch_size}"
        )
    lesioned = _masked_copy(model)
    asked = _Images.of(lesioned, *(held_out or (images, labels)))
    training = _Images.of(lesioned, images, labels)
    intact = asked.answers(lesioned)
    ablate(lesioned, units, fill)
    after_lesion = asked.answers(lesioned)
    optimizer = optimizer or keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)

    def trained_on(network: keras.Model) -> tuple[Answers, ...]:
        return _train_on(network, training, asked, epochs, batch_size, optimizer, seed)

    recovered = trained_on(lesioned)
    return Recovery(
        units={layer: tuple(int(unit) for unit in chosen) for layer, chosen in units.items()},
        intact=intact,
        lesioned=after_lesion,
        recovered=recovered,
        control=trained_on(_masked_copy(model)) if control else (),
        network=lesioned,
    )


def _masked_copy(model: keras.Model) -> keras.Model:
    """The model with masks and weights of its own."""
    if any(isinstance(layer, AblationMask) for layer in model.layers):
        return graph.copied(model)
    return insert_masks(model, share_weights=False)


@dataclass(frozen=True)
class _Images:
    """Images that fit a model, with their labels."""

    images: np.ndarray
    labels: np.ndarray
    n_classes: int
    probabilities: bool  # what the model gives; else logits

    @classmethod
    def of(cls, model: keras.Model, images: np.ndarray, labels: np.ndarray) -> _Images:
        if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.output_shape) != 2:
            raise ValueError(
                "recover needs a classifier with one input and one output of (n_images, "
                f"n_classes); {model.name!r} has {len(model.inputs)} and {len(model.outputs)}"
            )
        n_classes = int(model.output_shape[-1])
        (batch,) = Batches(
            images,
            np.asarray(labels),
            image_shape=tuple(model.input_shape[1:]),
            n_classes=n_classes,
            batch_size=max(1, len(images)),
        )
        return cls(batch.images, batch.labels, n_classes, trace(model).probabilities)

    def answers(self, model: keras.Model) -> Answers:
        """What plain `model.predict` says, counted in float64."""
        outputs = model.predict(self.images, batch_size=_IMAGES_PER_BATCH, verbose=0)
        scores = outputs.astype(np.float64)
        if self.probabilities:
            scores = np.log(np.maximum(scores, np.finfo(np.float32).tiny))
        top = scores.max(axis=1, keepdims=True)
        log_p = scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
        hits = scores.argmax(axis=1) == self.labels
        return Answers(
            n_correct=np.bincount(self.labels[hits], minlength=self.n_classes),
            n_images=np.bincount(self.labels, minlength=self.n_classes),
            loss=float(-log_p[np.arange(len(self.labels)), self.labels].mean()),
        )


def _train_on(
    network: keras.Model,
    training: _Images,
    asked: _Images,
    epochs: int,
    batch_size: int,
    optimizer: keras.optimizers.Optimizer,
    seed: int,
) -> tuple[Answers, ...]:
    """Trains in place; the answers after each epoch."""
    network.compile(
        optimizer=type(optimizer).from_config(optimizer.get_config()),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not training.probabilities),
    )
    masks = ablation_masks(network)
    before = [_state(mask) for mask in masks]
    probe = keras.Model(network.inputs[0], [mask.output for mask in masks])
    found = []
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(training.images))
        network.fit(
            training.images[order],
            training.labels[order],
            batch_size=batch_size,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,  # the order is drawn above
            verbose=0,
        )
        _check_held(masks, before, probe, training.images[:1])
        found.append(asked.answers(network))
    return tuple(found)


def _state(mask: AblationMask) -> tuple[np.ndarray, np.ndarray]:
    return np.array(ops.convert_to_numpy(mask.keep)), np.array(ops.convert_to_numpy(mask.fill))


def _check_held(
    masks: Sequence[AblationMask],
    before: Sequence[tuple[np.ndarray, np.ndarray]],
    probe: keras.Model,
    image: np.ndarray,
) -> None:
    """Whether masks are as before training, and ablated units read their fill.

    Raises:
        RuntimeError: they are not; what was trained is no network with a lesion.
    """
    activations: Any = keras.tree.flatten(probe(image, training=False))
    for mask, (keep, fill), activation in zip(masks, before, activations, strict=True):
        now = _state(mask)
        same = np.array_equal(now[0], keep) and np.array_equal(now[1], fill)
        ablated = keep == 0
        reads = ops.convert_to_numpy(activation)[0][..., ablated]
        filled = np.broadcast_to(fill[..., ablated].astype(reads.dtype), reads.shape)
        if not same or not np.array_equal(reads, filled):
            raise RuntimeError(f"the lesion of {mask.name} was not held while training on")
