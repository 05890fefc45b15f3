"""A penalty or reward for class selectivity in training (Leavitt & Morcos 2020, paper.md 6.1).

    loss = cross-entropy - alpha * (mean over layers of the mean over units of the selectivity)

Class selectivity is that of `metrics.class_selectivity`, with class means over the batch: below 0,
alpha makes units less selective, above 0 more so.
"""

from __future__ import annotations

from typing import Any

import keras

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
