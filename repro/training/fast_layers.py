"""Faster layers for training that compute the same as the network's layers.

Two thirds of a convnet's step are convolutions; a fifth is batch normalisation, which Keras puts
together from a dozen operations, and masks of ones multiply every activation by one. `twin` gives
the same network with TensorFlow's fused normalization and without that product. After training its
weights are copied back into the network; the twin itself is never saved.
"""

from __future__ import annotations

from typing import Any

import keras

from repro.models.masking import AblationMask


def helps(precision: str) -> bool:
    """Whether there is a faster twin: with TensorFlow and networks of float32."""
    return keras.backend.backend() == "tensorflow" and precision == "float32"


def twin(network: keras.Model) -> keras.Model:
    """The same network of faster layers, with the same weights in the same order.

    Args:
        network: a network without ablated units.
    """

    def faster(layer: keras.Layer) -> keras.Layer:
        kind = type(layer)
        if kind is keras.layers.BatchNormalization and _fuses(layer):
            kind = FusedNormalization
        elif kind is AblationMask:
            kind = OpenMask
        return kind.from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=faster)
    copy.set_weights(network.get_weights())
    return copy


def _fuses(layer: keras.layers.BatchNormalization) -> bool:
    """Whether the fused operation can compute the layer: over the last of four axes, with scale and
    shift."""
    return layer.axis in (-1, 3) and layer.scale and layer.center


class OpenMask(AblationMask):
    """A mask without ablated units: it returns the activation."""

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        return inputs


class FusedNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalisation, in training as one operation of TensorFlow's.

    As in Keras, moving statistics use the variance of the batch; the fused operation returns the
    estimate for the population instead.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or mask is not None or len(inputs.shape) != 4:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        n = tf.cast(tf.size(inputs) / inputs.shape[-1], "float32")
        variance *= (n - 1.0) / n
        for moving, found in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + found * (1.0 - self.momentum))
        return outputs
