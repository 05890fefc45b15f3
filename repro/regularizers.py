"""A penalty or reward for class selectivity in training (Leavitt & Morcos 2020, paper.md 6.1).

    loss = cross-entropy - alpha * (mean over layers of the mean over units of the selectivity)

Class selectivity is that of `metrics.class_selectivity`, with class means over the batch: below 0,
alpha makes units less selective, above 0 more so. For any classifier:

    less = repro.SelectivityRegularized(model, strength=-1.0)
    less.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    less.fit(images, labels)  # trains the model itself

Batches should hold several images of each class, better ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from repro.insertion import insert_masks, signed_layers
from repro.masking import AblationMask, ablation_masks

# In the denominator, so that a silent unit has selectivity 0; its ReLU passes no gradient on.
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

    The model is trained itself: its weights are shared, and it is the model that one saves,
    lesions and asks. Loss and metrics are compiled as for any model, labels given as usual. The
    logs gain `selectivity`, the mean over layers and units in batches; the penalty counts in the
    loss of the training alone.

    Args:
        network: functional or Sequential, with one input and one output of class scores. Hidden
            activations are those before its `AblationMask` layers, or, without any, those that
            `insertion.insert_masks` finds. They must not be negative, as after a ReLU.
        strength: alpha; below 0 units become less selective, above 0 more so. 0 trains as without.
        layers: the hidden layers that count, by name or pattern, where the network has no masks;
            None for all.

    Raises:
        ValueError: a network that cannot be masked, or with several outputs; activations that can
            be below 0, as after tanh or GELU, for which selectivity is not defined.
    """

    def __init__(
        self, network: keras.Model, strength: float, layers: Sequence[str] | None = None
    ) -> None:
        super().__init__(name=f"{network.name}_regularized")
        has_masks = any(isinstance(layer, AblationMask) for layer in network.layers)
        masked = network if has_masks else insert_masks(network, layers, share_weights=True)
        if len(masked.inputs) != 1 or len(masked.outputs) != 1 or len(masked.output_shape) != 2:
            raise ValueError(
                "expected a network with one input and one output of (n_images, n_classes), "
                f"got {len(masked.inputs)} and {len(masked.outputs)}, of shape "
                f"{masked.output_shape}"
            )
        signed = signed_layers(masked)
        if signed:
            listed = ", ".join(f"{layer} ({source})" for layer, source in signed.items())
            raise ValueError(
                "class selectivity is not defined for activations below 0, as there can be after "
                f"{listed}; name other layers in layers, or take ReLU there"
            )
        self.network, self.strength = network, strength
        self.n_classes = int(masked.output_shape[-1])
        activations = [mask.output for mask in ablation_masks(masked)]
        self._probe = keras.Model(masked.inputs[0], [masked.outputs[0], *activations])
        self._last_pass = _Pass()
        self._selectivity = keras.metrics.Mean(name="selectivity")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs, *activations = self._probe(inputs, training=training)
        self._last_pass.activations = activations
        return outputs

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The compiled loss; in training minus strength times the batch's mean selectivity."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        # A training step has just called the model; elsewhere Keras may have called it in another
        # graph, whose tensors are out of reach.
        activations = self._last_pass.activations
        if not training:
            activations = self._probe(x, training=False)[1:]
        labels = keras.ops.argmax(y, axis=-1) if self._one_hot(y) else y
        layers = [mean_selectivity(labels, one, self.n_classes) for one in activations]
        selectivity = sum(layers) / len(layers)
        self._selectivity.update_state(selectivity)
        return loss - self.strength * selectivity if training else loss

    def _one_hot(self, labels: Any) -> bool:
        return len(labels.shape) == 2 and labels.shape[-1] == self.n_classes > 1


class _Pass:
    """Holds what the last call of a model computed, out of sight of Keras, which tracks lists."""

    activations: Sequence[Any] = ()
