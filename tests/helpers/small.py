"""A small network, its answers, and its file as Keras 2 writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers as L
from keras import ops

from repro.models.masking import AblationMask
from tests.helpers import plain

IMAGES = np.random.default_rng(3).normal(size=(7, 4)).astype("float32")


def network(name: str = "network") -> Any:
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(6, "relu", name="hidden"), L.Dense(3, name="logits")], name=name
    )
    plain.randomise(model, np.random.default_rng(2))
    return model


def two_masked_layers(
    shape: tuple[int, ...], kind: str, n_classes: int, ending: str | None = None
) -> Any:
    """A network with masks after layers of 6 and of 5 units.

    Args:
        kind: "convolutions", or the activation of two dense layers.
    """
    x = images = keras.Input(shape)
    if kind == "convolutions":
        x = AblationMask(name="first_mask")(L.Conv2D(6, 3, activation="relu", name="first")(x))
        x = AblationMask(name="second_mask")(L.Conv2D(5, 2, activation="relu", name="second")(x))
        x = L.GlobalAveragePooling2D()(x)
    else:
        x = L.Flatten()(x)
        x = AblationMask(name="first_mask")(L.Dense(6, kind, name="first")(x))
        x = AblationMask(name="second_mask")(L.Dense(5, kind, name="second")(x))
    model = keras.Model(images, L.Dense(n_classes, ending)(x))
    plain.randomise(model, np.random.default_rng(1))
    return model


def answers(model: Any, images: Any = IMAGES) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(model(images, training=False)))


def legacy_h5(model: Any, path: Path) -> None:
    """The network as Keras 2 writes it, of its layers Dense(6, relu) and Dense(3)."""
    import h5py

    def dense(layer: Any) -> Any:
        config = {
            "name": layer.name,
            "trainable": True,
            "dtype": "float32",
            "units": layer.units,
            "activation": layer.activation.__name__,
            "use_bias": True,
            "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
            "bias_initializer": {"class_name": "Zeros", "config": {}},
            "kernel_regularizer": None,
            "bias_regularizer": None,
            "activity_regularizer": None,
            "kernel_constraint": None,
            "bias_constraint": None,
        }
        return {"class_name": "Dense", "config": config}

    first = {"batch_input_shape": [None, 4], "dtype": "float32", "sparse": False, "name": "input"}
    layers = [{"class_name": "InputLayer", "config": first}, *map(dense, model.layers)]
    config = {"name": "old", "layers": layers}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config})
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["backend"] = "tensorflow"
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [layer.name for layer in model.layers]
        weights.attrs["keras_version"], weights.attrs["backend"] = "2.15.0", "tensorflow"
        for layer in model.layers:
            group = weights.create_group(layer.name)
            names = [f"{layer.name}/kernel:0", f"{layer.name}/bias:0"]
            group.attrs["weight_names"] = names
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name] = value


def text_classifier() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A model of texts with a hidden layer of 6 units; 24 texts and their labels, 0 or 1."""
    words = np.array(["good fine well", "bad poor ill", "so so well", "ill bad bad"] * 6)
    vectorize = L.TextVectorization(max_tokens=12, output_sequence_length=4)
    vectorize.adapt(words)
    texts = keras.Input((), dtype="string")
    x = L.Flatten()(L.Embedding(12, 3)(vectorize(texts)))
    x = L.Dense(6, activation="relu", name="hidden")(x)
    return keras.Model(texts, L.Dense(2)(x)), words, np.arange(24) % 2
