"""The masking Lambda layer that ablates units in activation space (paper section 2.2).

    output = keep * activation + (1 - keep) * fill

`keep` is 1 where a unit is intact and 0 where it is ablated; `fill` is the activation of an ablated
unit. Both are weights of the layer, so a saved model carries its lesions, and a unit is ablated by
assigning to `keep`:

    model.get_layer("hidden_1_mask").keep.assign(keep)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

PACKAGE = "repro"


@keras.saving.register_keras_serializable(PACKAGE)
def clamp(activation: Any, keep: Any, fill: Any) -> Any:
    """Replaces ablated units by their fill value: keep is 1 where a unit is intact.

    Where every keep is 1 and every fill finite, the result equals the activation bit for bit
    (a negative zero becomes a positive one, which compares equal).

    Args:
        activation: float (..., n_units).
        keep: 0 or 1, broadcastable to activation.
        fill: finite float, broadcastable to activation.
    """
    return keep * activation + (1 - keep) * fill


@keras.saving.register_keras_serializable(PACKAGE)
class AblationMask(keras.layers.Lambda):
    """Clamps ablated units of the layer before it; stands after each hidden activation.

    A `keras.layers.Lambda` around the registered function `clamp`: a saved model holds the name of
    that function and no bytecode, so it loads under Keras's safe mode. A unit is the last axis of
    the activation: a neuron of a dense layer, a feature map of a channels-last convolution (then
    it is clamped at every position).

    Attributes:
        keep: weight (n_units,), 1 = intact, 0 = ablated; starts as ones. Not trained.
        fill: weight (n_units,), or the activation's whole shape without the batch axis when
            fill_per_position; starts as zeros. Not trained.
    """

    def __init__(self, fill_per_position: bool = False, **kwargs: Any) -> None:
        super().__init__(function=clamp, **kwargs)
        self.fill_per_position = fill_per_position
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        n_units = input_shape[-1]
        fill_shape = tuple(input_shape[1:]) if self.fill_per_position else (n_units,)
        if None in fill_shape:
            raise ValueError(
                f"AblationMask needs activations of known size, got shape {input_shape}; "
                "build the model with a fixed input size"
                + (" or fill_per_position=False" if self.fill_per_position else "")
            )
        self.keep = self.add_weight(
            name="keep", shape=(n_units,), initializer="ones", trainable=False
        )
        self.fill = self.add_weight(
            name="fill", shape=fill_shape, initializer="zeros", trainable=False
        )
        super().build(input_shape)

    @property
    def n_units(self) -> int:
        """How many units the mask can ablate."""
        return int(self.keep.shape[0])

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        return self.function(inputs, self.keep, self.fill)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return mask  # the mask of padded time steps does not change

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        # The function is always clamp, so a config that names another one is never obeyed.
        config = keras.layers.Layer.get_config(self)
        return {**config, "fill_per_position": self.fill_per_position}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None, safe_mode: bool | None = None
    ) -> AblationMask:
        return cls(**config)


def has_masks(model: keras.Model) -> bool:
    """Whether masks stand among the model's own layers."""
    return any(isinstance(layer, AblationMask) for layer in getattr(model, "layers", ()))


def ablation_masks(model: keras.Model) -> list[AblationMask]:
    """The model's masks in the order of its layers.

    Raises:
        ValueError: the model has none, so nothing in it can be ablated.
    """
    masks = list(_masks(model))
    if not masks:
        raise ValueError(
            f"model {model.name!r} has no AblationMask layer; take repro.insert_masks(model), or "
            "put repro.AblationMask() after each hidden activation"
        )
    return masks


def _masks(model: keras.Model) -> Iterator[AblationMask]:
    for layer in model.layers:
        if isinstance(layer, AblationMask):
            yield layer
        elif isinstance(layer, keras.Model) and any(True for _ in _masks(layer)):
            raise ValueError(
                f"model {model.name!r} holds masks inside the nested model {layer.name!r}; "
                "repro.insert_masks(model) opens it up"
            )


def layer_of(mask: AblationMask) -> str:
    """Name of the hidden layer whose activation the mask clamps: "hidden_1" of "hidden_1_mask"."""
    return mask.name.removesuffix("_mask")
