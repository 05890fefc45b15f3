"""A penalty or reward for class selectivity in training (Leavitt & Morcos 2020).

    loss = cross-entropy - alpha * (mean over layers of the mean over units of the selectivity)

Class selectivity is that of `metrics.class_selectivity`, with class means over the batch. An alpha
below 0 makes units less selective, one above 0 more so (docs/paper.md, "Selectivity in the loss").
For any classifier:

    less = repro.SelectivityRegularized(model, strength=-1.0)
    less.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    less.fit(images, labels)  # trains the model itself

Batches should hold several images of each class, better ten. A head of one number, with labels 0
and 1, is a classifier of two classes.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from repro.engine import verify
from repro.models import heads
from repro.models.inputs import structure_of
from repro.models.insertion import insert_masks, signed_layers
from repro.models.masking import ablation_masks, has_masks
from repro.models.outputs import outputs_of

_WHO = "SelectivityRegularized"
# So many images are used to compare this model's answers with the network's. They may differ by
# this share of the largest answer.
_IMAGES_TO_CHECK, _CLOSE = 8, 1e-2
# Training ends after so many batches without any selectivity.
_BATCHES = 100

# Added to the denominator, so that a silent unit has selectivity 0. Its ReLU passes on no gradient.
EPSILON = 1e-7


@keras.saving.register_keras_serializable("repro")
class SelectivityLoss(keras.losses.Loss):
    """One hidden layer's share of the regularizer: -weight * its mean class selectivity.

    Called as loss(labels, activations): integer labels (n_images,) or (n_images, 1), and float
    activations (n_images, ..., n_units), never negative.

    Args:
        weight: alpha, divided by the number of layers that are regularized.
        n_classes: labels are 0 to n_classes - 1.
    """

    def __init__(self, weight: float, n_classes: int, name: str = "selectivity") -> None:
        super().__init__(name=name, reduction=None)
        self.weight, self.n_classes = weight, n_classes

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return -self.weight * mean_selectivity(y_true, y_pred, self.n_classes)

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight, "n_classes": self.n_classes, "name": self.name}


def mean_selectivity(labels: Any, activations: Any, n_classes: int) -> Any:
    """Mean over a layer's units of their class selectivity in one batch, differentiable.

    Feature maps are averaged over space first. Classes that the batch lacks are left out; with
    fewer than two classes nothing can be told, and the mean is 0.

    Args:
        labels: int (n_images,) or (n_images, 1).
        activations: float (n_images, ..., n_units), never negative.
        n_classes: labels are 0 to n_classes - 1.

    Returns:
        A float32 scalar in [0, 1].

    >>> labels, activations = [0, 0, 1, 1], [[3.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    >>> values = mean_selectivity(labels, activations, 3)  # (2 - 1) / (2 + 1) and 0
    >>> round(float(values), 4)
    0.1667
    """
    ops = keras.ops
    # 16 bits would lose small differences of means.
    x = ops.cast(activations, "float32")
    x = ops.mean(x, axis=tuple(range(1, len(x.shape) - 1))) if len(x.shape) > 2 else x
    labels = ops.cast(ops.reshape(labels, (-1,)), "int32")  # a Keras loss gets them as floats
    member = ops.one_hot(labels, n_classes, dtype="float32")
    counts = ops.sum(member, axis=0)
    present = ops.cast(counts > 0, "float32")[:, None]
    n_present = ops.sum(present)
    means = ops.matmul(ops.transpose(member), x) / ops.maximum(counts, 1.0)[:, None]
    # An absent class has a mean of 0: never above the largest, and nothing in the sum.
    largest = ops.max(means, axis=0)
    rest = (ops.sum(means, axis=0) - largest) / ops.maximum(n_present - 1.0, 1.0)
    selectivity = (largest - rest) / (largest + rest + EPSILON)
    return ops.where(n_present > 1, ops.mean(selectivity), 0.0)


class SelectivityRegularized(keras.Model):
    """A classifier whose training is pushed to more, or less, selective units.

    The given network itself is trained: its weights are shared, and afterwards one saves, lesions
    and evaluates the network. `save` saves the network, too. Loss and metrics are compiled as for
    any model, and labels are given as usual. The logs gain `selectivity`, the mean over layers,
    units and batches; only the training loss contains the penalty.

    Args:
        network: functional or Sequential, with one output: class scores, or one number for two
            classes. Labels are class numbers or one-hot. The hidden activations are those before
            its `AblationMask` layers; without such layers, those that `insertion.insert_masks`
            finds. They must never be negative, as after a ReLU.
        strength: alpha; below 0 units become less selective, above 0 more so. 0 has no effect.
        layers: hidden layers to regularize, by name or pattern, if the network has no masks; None
            for all.

    Raises:
        ValueError: a network that cannot be masked, or without classes (several outputs or labels;
            a regression, when it is compiled or trained); activations that can be below 0, as
            after tanh or GELU, for which selectivity is not defined; in the first epoch, batches
            of one class only, where the penalty would always be 0.
    """

    def __init__(
        self, network: keras.Model, strength: float, layers: Sequence[str] | None = None
    ) -> None:
        heads.check_kind(_WHO, network)
        plain = isinstance(strength, numbers.Real)  # or a variable, which may change
        if not (math.isfinite(strength) if plain else hasattr(strength, "dtype")):
            raise ValueError(f"strength must be a finite number, got {strength!r}")
        super().__init__(name=f"{network.name}_regularized")
        self.n_classes = heads.n_classes(_WHO, network)
        masked = network if has_masks(network) else insert_masks(network, layers)
        signed = signed_layers(masked)
        if signed:
            listed = ", ".join(f"{layer} ({source})" for layer, source in signed.items())
            raise ValueError(
                "class selectivity is not defined for activations below 0, as there can be after "
                f"{listed}; name other layers in layers, or take ReLU there"
            )
        self.network, self.strength = network, strength
        activations = [mask.output for mask in ablation_masks(masked)]
        self._probe = keras.Model(structure_of(masked), [outputs_of(masked), activations])
        self._last_pass = _Pass()
        self._selectivity = keras.metrics.Mean(name="selectivity")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs, activations = self._probe(inputs, training=training)
        self._last_pass.activations = activations
        return outputs

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As of any model.

        Raises:
            ValueError: the loss is not one of classes.
        """
        super().compile(*args, **kwargs)
        if self.loss is not None:
            heads.head(_WHO, self.network, None, _nothing, self)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """As of any model.

        Raises:
            ValueError: labels are not classes; the penalty is 0 in all batches.
        """
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        del given["self"]
        labels = given.get("y")
        if labels is not None:
            heads.head(
                _WHO, self.network, keras.tree.map_structure(np.asarray, labels), _nothing, self
            )
            self._check_answers(given.get("x"))
        if self.strength != 0:
            others = given.get("callbacks") or []
            if isinstance(others, keras.callbacks.CallbackList):
                others.callbacks.append(_NeverNothing())
            else:
                others = others if isinstance(others, (list, tuple)) else [others]
                given["callbacks"] = [*others, _NeverNothing()]
        return super().fit(**given)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the network that is trained, as its own `save` does; so does `ModelCheckpoint`."""
        self.network.save(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Refuses, as Keras has it for what cannot be built again from a configuration.

        Raises:
            NotImplementedError: always; the network is what can be saved and cloned.
        """
        raise NotImplementedError(
            f"{self.name!r} only trains the model {self.network.name!r} and has no configuration; "
            "save or clone `model`, the network that is trained (its `network`)"
        )

    def _check_answers(self, x: Any) -> None:
        """Compares this model with the network on a few images.

        Raises:
            ValueError: their answers differ.
        """
        few = keras.tree.map_structure(lambda one: np.asarray(one)[:_IMAGES_TO_CHECK], x)
        expected, found = (
            np.asarray(keras.ops.convert_to_numpy(heads.answer_of(one(few, training=False))))
            for one in (self.network, self)
        )
        if not np.all(np.isfinite(expected)):
            return
        inputs = tuple(keras.tree.flatten(few))
        close = _CLOSE * max(float(np.abs(expected).max()), 1e-30)
        if not np.all(np.abs(found - expected) <= close):
            raise ValueError(
                f"the network with masks does not answer as {self.network.name!r} does on "
                f"{len(expected)} of its images (by up to {np.abs(found - expected).max():.3g})"
                f"{verify.where_they_part(self.network, self._probe, inputs)}; "
                "build it of layers alone, without a call of its own or masked time steps"
            )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The compiled loss; in training, strength times the batch's mean selectivity is
        subtracted."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        # In a training step the model was just called. Elsewhere Keras may have called it in
        # another graph, whose tensors cannot be used.
        activations = self._last_pass.activations
        if not training:
            _, activations = self._probe(x, training=False)
        labels = self._class_numbers(y)
        layers = [mean_selectivity(labels, one, self.n_classes) for one in activations]
        selectivity = sum(layers) / len(layers)
        self._selectivity.update_state(selectivity)
        return loss - self.strength * selectivity if training else loss

    def _class_numbers(self, y: Any) -> Any:
        """Labels as class numbers; their shape tells whether they are one-hot.

        Raises:
            ValueError: labels are not one class for each image.
        """
        labels = heads.answer_of(y)
        if len(labels.shape) == 1 or (len(labels.shape) == 2 and labels.shape[-1] == 1):
            return labels
        if len(labels.shape) == 2 and labels.shape[-1] == self.n_classes:
            return keras.ops.argmax(labels, axis=-1)
        raise ValueError(
            f"{_WHO} needs one class an image, of {self.n_classes}, and labels have shape "
            f"{tuple(labels.shape)}; give class numbers, or a row of {self.n_classes} with a "
            "single 1"
        )


class _NeverNothing(keras.callbacks.Callback):
    """Ends a training whose penalty is 0 in all batches, as happens if each batch has one class
    only."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._waiting and logs and "selectivity" in logs:
            self._waiting = float(logs["selectivity"]) == 0
            if self._waiting and batch + 1 >= _BATCHES:
                self._refuse(f"the first {batch + 1} batches")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._waiting and logs and float(logs.get("selectivity", 1)) == 0:
            self._refuse("a whole epoch")
        self._waiting = False

    def _refuse(self, where: str) -> None:
        raise ValueError(
            f"the selectivity penalty was 0 in {where}, since it needs images of two classes in a "
            "batch, and units that are active; shuffle the images, or take larger batches (or, "
            "where all units are dead, a smaller learning rate)"
        )


def _nothing() -> Any:
    """Stands for answers that are not available."""
    return np.zeros((0,))


class _Pass:
    """Holds the tensors of a model's last call. A plain list would be tracked by Keras."""

    activations: Sequence[Any] = ()
