"""Five tutorials of Keras, rebuilt small: `repro.lesion(model, dataset)` is the next line.

Image classification from scratch, fine-tuning, text classification, structured data, regression.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from PIL import Image

import repro

RNG = np.random.default_rng(21)


def lesioned(model: keras.Model, layer: str, unit: int, dataset: Any) -> float:
    """The loss of `model.evaluate` with one unit's output multiplied by 0."""
    one = model.get_layer(layer)
    original = one.call
    shape = one.output.shape
    keep = (np.arange(shape[-1]) != unit).astype(np.float32)
    one.call = lambda *args, **kwargs: original(*args, **kwargs) * keep
    model.evaluate_function = model.test_function = None
    try:
        return float(model.evaluate(dataset, verbose=0, return_dict=True)["loss"])
    finally:
        del one.call
        model.test_function = None


def compared(model: keras.Model, dataset: Any, layer: str, kind: str) -> None:
    found = model.evaluate(dataset, verbose=0, return_dict=True)
    study = repro.lesion(model, dataset)
    assert study.task.kind == kind
    assert float(study.intact.loss) == pytest.approx(found["loss"], rel=1e-4)
    if "accuracy" in found:
        assert float(study.intact.accuracy) == pytest.approx(found["accuracy"], abs=1e-6)
    rows = np.flatnonzero(study.units["layer"] == layer)
    unit = int(np.nanargmax(np.abs(study.units["importance"][rows])))
    change = lesioned(model, layer, unit, dataset) - found["loss"]
    assert study.units["importance"][rows[unit]] == pytest.approx(change, rel=1e-3, abs=1e-5)
    assert study.curve(orders=2, points=5).loss.shape == (2, len(study.curve(2, 5).n_ablated))


def test_image_classification_from_scratch(tmp_path: Path) -> None:
    """Augmentation and scaling in the model, a sigmoid, images from class folders."""
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(20):
            image = RNG.integers(0, 120, (20, 24, 3)) + (80 if label == "dog" else 0)
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / label / f"{number}.png")
    dataset = keras.utils.image_dataset_from_directory(
        tmp_path, image_size=(16, 16), batch_size=8, verbose=False, seed=1
    )
    x = images = keras.Input((16, 16, 3))
    x = L.RandomRotation(0.1)(L.RandomFlip("horizontal")(x))
    x = L.Rescaling(1.0 / 255)(x)
    x = L.Conv2D(8, 3, strides=2, padding="same")(x)
    x = L.BatchNormalization()(x)
    x = L.Activation("relu", name="entry")(x)
    x = L.Activation("relu", name="after")(L.SeparableConv2D(8, 3, padding="same")(x))
    x = L.Dropout(0.25)(L.GlobalAveragePooling2D()(x))
    model = keras.Model(images, L.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.fit(dataset, epochs=3, shuffle=False, verbose=0)
    compared(model, dataset, "entry", "binary")


def test_fine_tuning() -> None:
    """A frozen base, called in inference, behind augmentation; one logit."""
    import tensorflow as tf

    base = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            L.Conv2D(6, 3, activation="relu", name="base_conv"),
            L.BatchNormalization(),
            L.Conv2D(6, 3, activation="relu", name="base_top"),
        ],
        name="base",
    )
    base.trainable = False
    x = images = keras.Input((12, 12, 3))
    x = L.Rescaling(1 / 127.5, offset=-1)(L.RandomFlip("horizontal")(x))
    x = L.GlobalAveragePooling2D()(base(x, training=False))
    model = keras.Model(images, L.Dense(1)(L.Dropout(0.2)(x)))
    photos = RNG.integers(0, 256, (40, 12, 12, 3)).astype(np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((photos, np.arange(40) % 2)).batch(16)
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
    )
    model.fit(dataset, epochs=2, shuffle=False, verbose=0)
    found = model.evaluate(dataset, verbose=0, return_dict=True)
    study = repro.lesion(model, dataset)
    assert float(study.intact.loss) == pytest.approx(found["loss"], rel=1e-4)
    assert float(study.intact.accuracy) == pytest.approx(found["accuracy"])
    assert set(study.units["layer"]) == {"base_conv", "base_top"}
    one, original = base.get_layer("base_top"), base.get_layer("base_top").call
    unit = int(study.units["importance"][6:].argmax())
    keep = (np.arange(6) != unit).astype(np.float32)
    one.call = lambda *args, **kwargs: original(*args, **kwargs) * keep
    answers = ops.convert_to_numpy(model(photos, training=False)).astype(np.float64)[:, 0]
    del one.call
    losses = np.logaddexp(0, answers) - (np.arange(40) % 2) * answers
    change = losses.mean() - float(study.intact.loss)
    assert study.units["importance"][6 + unit] == pytest.approx(change, rel=1e-3, abs=1e-6)


def test_text_classification() -> None:
    """Texts go into the model, whose first layer splits and looks them up."""
    import tensorflow as tf

    words = np.array([f"w{n}" for n in range(30)])
    labels = np.arange(48) % 2
    texts = [" ".join(RNG.choice(words[label * 10 :][:20], 7)) for label in labels]
    vectorize = L.TextVectorization(max_tokens=40, output_sequence_length=8)
    vectorize.adapt(texts)
    x = inputs = keras.Input((), dtype="string")
    x = L.Embedding(40, 6)(vectorize(x))
    x = L.Conv1D(8, 3, activation="relu", name="conv")(L.Dropout(0.5)(x))
    x = L.Dense(7, activation="relu", name="dense")(L.GlobalMaxPooling1D()(x))
    model = keras.Model(inputs, L.Dense(1, activation="sigmoid")(x))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    dataset = tf.data.Dataset.from_tensor_slices((texts, labels)).batch(16)
    model.fit(dataset, epochs=4, shuffle=False, verbose=0)
    compared(model, dataset, "dense", "binary")


def test_structured_data() -> None:
    """Named inputs of numbers and words, each with its own preprocessing."""
    import tensorflow as tf

    n = 50
    columns = {
        "age": RNG.normal(50, 10, (n, 1)).astype(np.float32),
        "sex": RNG.choice(["f", "m"], (n, 1)),
        "thal": RNG.integers(0, 4, (n, 1)),
    }
    labels = (columns["age"][:, 0] > 50).astype(int)
    normal = L.Normalization()
    normal.adapt(columns["age"])
    lookup = L.StringLookup(output_mode="one_hot")
    lookup.adapt(columns["sex"])
    category = L.CategoryEncoding(num_tokens=4, output_mode="one_hot")
    inputs = {
        "age": keras.Input((1,), name="age"),
        "sex": keras.Input((1,), name="sex", dtype="string"),
        "thal": keras.Input((1,), name="thal", dtype="int64"),
    }
    x = L.Concatenate()([normal(inputs["age"]), lookup(inputs["sex"]), category(inputs["thal"])])
    x = L.Dropout(0.5)(L.Dense(16, activation="relu", name="dense")(x))
    model = keras.Model(inputs, L.Dense(1, activation="sigmoid")(x))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    dataset = tf.data.Dataset.from_tensor_slices((columns, labels)).batch(16)
    model.fit(dataset, epochs=4, shuffle=False, verbose=0)
    compared(model, dataset, "dense", "binary")


def test_regression() -> None:
    import tensorflow as tf

    x = RNG.normal(3, 2, (60, 5)).astype(np.float32)
    y = (x @ RNG.normal(size=5) + 1).astype(np.float32)
    normal = L.Normalization()
    normal.adapt(x)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            normal,
            L.Dense(16, activation="relu", name="one"),
            L.Dense(8, activation="relu", name="two"),
            L.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    model.fit(dataset, epochs=3, shuffle=False, verbose=0)
    compared(model, dataset, "one", "regression")
