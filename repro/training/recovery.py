"""Recovery: ablate, then train on with the lesion held, and compare (docs/paper.md, "Recovery").

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

from repro.core.arguments import whole_number
from repro.data.given import Given, class_labels, taken
from repro.engine import verify
from repro.engine.passes import without_retracing_warnings
from repro.models import graph, heads
from repro.models.heads import Head
from repro.models.inputs import in_order, packed, shapes_of, tensors_for
from repro.models.insertion import ablate, insert_masks
from repro.models.masking import AblationMask, ablation_masks, has_masks
from repro.models.outputs import outputs_of

LEARNING_RATE, MOMENTUM = 0.01, 0.9
_IMAGES_PER_BATCH = 1000
# The answers of so many images are compared with the model's own; they may differ by so much of
# the largest.
_IMAGES_TO_CHECK, _CLOSE = 8, 1e-3


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
    images: Any,
    labels: Any = None,
    epochs: int = 1,
    *,
    held_out: Any = None,
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
        model: a classifier as `insertion.insert_masks` takes it, or with masks; never changed. It
            has one output, of (n_images, n_classes) or, for two classes, one number. Its answer is
            taken for probabilities where its last function or its loss says so, else for logits.
        units: by layer the numbers of its units.
        images: to train on, (n_images, ...), as the model takes them; for several inputs a dict or
            list. Or a data set of (images, labels), as `fit` takes it.
        labels: class numbers (n_images,) or (n_images, 1), one-hot, or names; of a head of one
            number 0 and 1. None where the data hold them.
        epochs: of training on, 1 or more. The order of images is drawn from the seed.
        held_out: images and labels to read accuracy on, as a pair or a data set; None for those of
            the training.
        fill: what ablated units read.
        optimizer: whose settings to train with, from a fresh state; None for SGD with a learning
            rate of 0.01 and momentum 0.9. The loss is the cross-entropy of the classes, whatever
            loss, metrics and optimizer the model was compiled with.
        control: train an intact copy as well, for as long.

    Raises:
        ValueError: units that do not exist, images or labels that do not fit, no epochs, a model
            without classes, or whose masked copy does not answer as it does, an optimizer that
            cannot be built again.
    """
    for name, number in {"epochs": epochs, "batch_size": batch_size}.items():
        whole_number(name, number, "1 or more", 1)
    whole_number("seed", seed, "0 or more", 0)
    heads.check_kind("recover", model)
    _check_trainable(model)
    lesioned = _masked_copy(model)
    wanted = shapes_of(model)
    training = _Images.of(model, taken(images, heads.targets_of(labels), wanted=wanted))
    asked = training
    if held_out is not None:
        pair = isinstance(held_out, tuple) and len(held_out) == 2
        asked = _Images.of(model, taken(*(held_out if pair else (held_out,)), wanted=wanted))
    _check_copy(model, lesioned, asked)
    intact = asked.answers(lesioned)
    ablate(lesioned, units, fill)
    after_lesion = asked.answers(lesioned)
    given = optimizer or keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)

    def trained_on(network: keras.Model) -> tuple[Answers, ...]:
        return _train_on(network, training, asked, epochs, batch_size, _fresh(given), seed)

    recovered = trained_on(lesioned)
    return Recovery(
        units={
            layer.name if isinstance(layer, keras.Layer) else layer: tuple(map(int, chosen))
            for layer, chosen in units.items()
        },
        intact=intact,
        lesioned=after_lesion,
        recovered=recovered,
        control=trained_on(_masked_copy(model)) if control else (),
        network=lesioned,
    )


def _check_trainable(model: keras.Model) -> None:
    """Refuses models of texts, whose tables a copy would not have.

    Raises:
        ValueError: what to give instead.
    """
    of_texts = [tensor.name for tensor in model.inputs if tensor.dtype == "string"]
    tables = [
        layer.name
        for layer in model._flatten_layers(include_self=False)
        if isinstance(
            layer,
            keras.layers.TextVectorization | keras.layers.StringLookup | keras.layers.IntegerLookup,
        )
    ]
    if of_texts or tables:
        named = ", ".join((tables or of_texts)[:3])
        raise ValueError(
            f"recover trains a copy of the model, and a copy has no tables to look texts up in "
            f"({named}); give the network behind them, keras.Model(layer.output, model.output), "
            "and as images what those layers answer"
        )


def _masked_copy(model: keras.Model) -> keras.Model:
    """The model with masks and weights of its own."""
    return graph.copied(model) if has_masks(model) else insert_masks(model, share_weights=False)


@dataclass(frozen=True)
class _Images:
    """Images that fit a model, an array for each input, with their labels, int32 (n_images,)."""

    inputs: list[np.ndarray]
    labels: np.ndarray
    head: Head

    @classmethod
    def of(cls, model: keras.Model, given: Given) -> _Images:
        if given.targets is None:
            raise ValueError(
                "recover reads accuracy and needs labels, and the data hold none; give "
                "recover(model, units, images, labels), or a data set of (images, labels)"
            )
        inputs = in_order(model, given.inputs, given.names, given.table)
        head = heads.head(
            "recover", model, given.targets, lambda: heads.called(model, [x[:8] for x in inputs])
        )
        labels, _ = class_labels(heads.targets_of(given.targets), head.n_classes)
        return cls(inputs, labels, head)

    def take(self, index: Any) -> list[np.ndarray]:
        return [x[index] for x in self.inputs]

    def answers(self, model: keras.Model) -> Answers:
        """What plain `model.predict` says, counted in float64."""
        outputs = _predicted(model, self.inputs)
        log_p = self.head.log_probabilities(outputs)
        hits, n_classes = self.head.classes(outputs) == self.labels, self.head.n_classes
        return Answers(
            n_correct=np.bincount(self.labels[hits], minlength=n_classes),
            n_images=np.bincount(self.labels, minlength=n_classes),
            loss=float(-log_p[np.arange(len(self.labels)), self.labels].mean()),
        )


def _predicted(model: keras.Model, inputs: Sequence[np.ndarray]) -> np.ndarray:
    given = packed(model, inputs)
    with without_retracing_warnings():
        outputs = model.predict(given, batch_size=_IMAGES_PER_BATCH, verbose=0)
    return np.asarray(heads.answer_of(outputs))


def _check_copy(model: keras.Model, copy: keras.Model, images: _Images) -> None:
    """Whether the masked copy answers as the model does, on a few images.

    Raises:
        ValueError: it does not.
    """
    few = images.take(slice(_IMAGES_TO_CHECK))
    expected, found = _predicted(model, few), _predicted(copy, few)
    if not np.all(np.isfinite(expected)) or not heads.has_finite_weights(model):
        raise ValueError(
            f"model {model.name!r} has weights or gives values that are not finite (NaN or "
            "infinity) on these images; scale the images as in its training, or take weights from "
            "before it diverged"
        )
    close = _CLOSE * max(float(np.abs(expected).max()), 1e-30)
    if found.shape != expected.shape or not np.all(np.abs(found - expected) <= close):
        raise ValueError(
            f"a copy of model {model.name!r} does not answer as it does on {len(expected)} of "
            f"these images (by up to {np.nanmax(np.abs(found - expected)):.3g})"
            f"{verify.where_they_part(model, copy, tuple(few))}: a layer's configuration does not "
            "hold all that it is built of; complete its get_config, or "
            "register its functions under names of their own"
        )


def _fresh(optimizer: Any) -> keras.optimizers.Optimizer:
    """An optimizer of the same settings, without a state.

    Raises:
        ValueError: it is no optimizer, or cannot be built from its settings.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(
            "optimizer must be a keras.optimizers.Optimizer or None, got "
            f"{optimizer!r}; write, for example, keras.optimizers.Adam(1e-3)"
        )
    try:
        return type(optimizer).from_config(optimizer.get_config())
    except Exception as error:  # the optimizer's own code may raise anything
        raise ValueError(
            f"the optimizer {type(optimizer).__name__} cannot be built again from its settings "
            f"({graph.first_line(error)}); give it a get_config that holds all arguments of its "
            "__init__, or leave optimizer out to train with SGD"
        ) from error


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
    trainee = network
    outputs = outputs_of(network)
    if isinstance(outputs, (dict, list, tuple)):  # the same layers, with a plain answer
        trainee = keras.Model(network.input, heads.answer_of(outputs))
    trainee.compile(
        optimizer=optimizer,
        loss=training.head.loss,
    )
    masks = ablation_masks(network)
    before = [_state(mask) for mask in masks]
    probe = keras.Model(network.inputs, [mask.output for mask in masks])
    one = tensors_for(network, training.take(slice(1)))
    found = []
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(training.labels))
        with without_retracing_warnings():
            trainee.fit(
                packed(network, training.take(order)),
                training.labels[order],
                batch_size=batch_size,
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,  # the order is drawn above
                verbose=0,
            )
        _check_held(masks, before, probe, one)
        found.append(asked.answers(network))
    return tuple(found)


def _state(mask: AblationMask) -> tuple[np.ndarray, np.ndarray]:
    return np.array(ops.convert_to_numpy(mask.keep)), np.array(ops.convert_to_numpy(mask.fill))


def _check_held(
    masks: Sequence[AblationMask],
    before: Sequence[tuple[np.ndarray, np.ndarray]],
    probe: keras.Model,
    image: Sequence[Any],
) -> None:
    """Whether masks are as before training, and ablated units read their fill.

    Raises:
        RuntimeError: they are not; what was trained is no network with a lesion.
    """
    activations: Any = keras.tree.flatten(probe(list(image), training=False))
    for mask, (keep, fill), activation in zip(masks, before, activations, strict=True):
        now = _state(mask)
        same = np.array_equal(now[0], keep) and np.array_equal(now[1], fill)
        ablated = keep == 0
        reads = ops.convert_to_numpy(activation)[0][..., ablated]
        filled = np.broadcast_to(fill[..., ablated].astype(reads.dtype), reads.shape)
        if not same or not np.array_equal(reads, filled):
            raise RuntimeError(f"the lesion of {mask.name} was not held while training on")
