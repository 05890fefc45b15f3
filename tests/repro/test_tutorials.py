"""Keras's official tutorials, rebuilt small on synthetic data: a study is the line that follows.

For each, loss and accuracy are those of `model.evaluate` on the same data set, and a lesion costs
what plain Keras says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers as L
from PIL import Image

import repro
from repro.study import Study
from tests.repro import lesioned, plain

RNG = np.random.default_rng(11)


def compiled(model: keras.Model, loss: Any, *metrics: Any) -> keras.Model:
    """Weights drawn, and compiled as the tutorial does."""
    plain.randomise(model, np.random.default_rng(5))
    model.compile("adam", loss, metrics=list(metrics), run_eagerly=True)
    return model


def assert_is_of(study: Study, model: Any, data: Any, kind: str, **answer: Any) -> None:
    """Loss and accuracy as `model.evaluate` gives them, and each layer's first unit as plain Keras
    says.

    Args:
        data: what was studied. answer: probabilities, for `lesioned.losses`.
    """
    found = model.evaluate(data, verbose=0, return_dict=True)
    assert study.task.kind == kind
    assert float(study.intact.loss) == pytest.approx(found["loss"], rel=1e-5)
    if "accuracy" in found:
        assert float(study.intact.accuracy) == pytest.approx(found["accuracy"], abs=1e-6)
    batches = list(data)
    targets = np.concatenate([np.asarray(y) for _, y in batches])

    def loss() -> float:
        found = np.concatenate([lesioned.answers(model, x) for x, _ in batches])
        return float(lesioned.losses(kind, found, targets, **answer).mean())

    intact = loss()
    for layer, start in zip(study.layout.layers, study.layout.starts, strict=True):
        with lesioned.lesioned(model, {layer[0]: [0]}):
            change = loss() - intact
        assert study.units["importance"][start] == pytest.approx(change, abs=2e-6 * max(1, intact))


@pytest.fixture(scope="module")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PetImages/Cat and PetImages/Dog, of different sizes."""
    root = tmp_path_factory.mktemp("PetImages")
    for number, name in enumerate(("Cat", "Dog")):
        (root / name).mkdir()
        for image in range(9):
            pixels = RNG.integers(number * 60, 196 + number * 60, (14 + image, 20, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{image}.png")
    return root


def folders(root: Path, **options: Any) -> tf.data.Dataset:
    dataset, _ = keras.utils.image_dataset_from_directory(
        root,
        validation_split=0.3,
        subset="both",
        seed=1337,
        image_size=(16, 16),
        batch_size=5,
        verbose=False,
        **options,
    )
    return dataset


def test_image_classification_from_scratch(class_folders: Path) -> None:
    """Augmentation and rescaling inside the model, separable convolutions with residuals."""
    data = folders(class_folders).map(lambda x, y: (x, y)).cache().prefetch(tf.data.AUTOTUNE)
    inputs = keras.Input((16, 16, 3))
    x = L.RandomFlip("horizontal")(inputs)
    x = L.RandomRotation(0.1)(x)
    x = L.Rescaling(1.0 / 255)(x)
    x = L.Conv2D(4, 3, strides=2, padding="same")(x)
    x = L.BatchNormalization()(x)
    x = L.Activation("relu", name="entry")(x)
    before = x
    x = L.SeparableConv2D(6, 3, padding="same")(x)
    x = L.BatchNormalization()(x)
    x = L.Activation("relu", name="middle")(x)
    x = L.MaxPooling2D(3, strides=2, padding="same")(x)
    x = L.add([x, L.Conv2D(6, 1, strides=2, padding="same")(before)])
    x = L.SeparableConv2D(5, 3, padding="same")(x)
    x = L.Activation("relu", name="exit")(L.BatchNormalization()(x))
    x = L.GlobalAveragePooling2D()(x)
    x = L.Dropout(0.25)(x)
    model = keras.Model(inputs, L.Dense(1, activation=None)(x))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    compiled(model, loss, keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0))
    study = repro.lesion(model, data)
    assert_is_of(study, model, data, "binary")
    assert [name for name, _ in study.layout.layers] == ["entry", "middle", "exit"]
    assert study.curve(orders=2, points=3).n_ablated[-1] == study.layout.n_units
    assert len(study.errors) and study.sample.n_images == len(list(data.unbatch()))


def test_image_classification_of_many_classes(class_folders: Path) -> None:
    """The tutorial with a softmax, labels categorical, and a data set that is shuffled anew."""
    data = folders(class_folders, label_mode="categorical")
    layers = [
        keras.Input((16, 16, 3)),
        L.RandomZoom(0.2),
        L.Rescaling(1 / 127.5, offset=-1),
        L.Conv2D(4, 3, activation="relu", name="conv"),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dense(6, activation="relu", name="dense"),
        L.Dense(2, activation="softmax"),
    ]
    model = compiled(keras.Sequential(layers), "categorical_crossentropy", "accuracy")
    study = repro.lesion(model, data)
    found = model.evaluate(data, verbose=0, return_dict=True)
    assert float(study.intact.loss) == pytest.approx(found["loss"], rel=1e-5)
    assert float(study.intact.accuracy) == pytest.approx(found["accuracy"])
    units = study.units
    assert np.isfinite(units["importance"]).all() and len(units) == 10


def test_transfer_learning_and_fine_tuning(class_folders: Path) -> None:
    """A frozen base called with training=False, after augmentation and rescaling."""
    data = folders(class_folders, label_mode="binary")
    base = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            L.Conv2D(4, 3, name="base_conv"),
            L.BatchNormalization(name="base_norm"),
            L.ReLU(name="base_relu"),
            L.DepthwiseConv2D(3, name="base_depth"),
            L.ReLU(6.0, name="base_relu6"),
        ],
        name="base",
    )
    base.trainable = False
    inputs = keras.Input((16, 16, 3))
    x = keras.Sequential([L.RandomFlip("horizontal"), L.RandomRotation(0.1)])(inputs)
    x = L.Rescaling(scale=1 / 127.5, offset=-1)(x)
    x = base(x, training=False)
    x = L.GlobalAveragePooling2D()(x)
    x = L.Dropout(0.2)(x)
    model = keras.Model(inputs, L.Dense(1)(x))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    compiled(model, loss, accuracy)
    data = data.cache()
    assert_is_of(repro.lesion(model, data), model, data, "binary")
    # Fine-tuned: the base is unfrozen, and still called in inference.
    base.trainable = True
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=[accuracy], run_eagerly=True)
    before = repro.lesion(model, data)
    model.fit(data, epochs=1, verbose=0, shuffle=False)
    study = repro.lesion(model, data)
    assert_is_of(study, model, data, "binary")
    assert float(before.intact.loss) != float(study.intact.loss)
    assert [name for name, _ in study.layout.layers] == ["base_relu", "base_relu6"]


WORDS = [f"w{number}" for number in range(30)]


def reviews(n: int = 20) -> tuple[list[str], np.ndarray]:
    return [" ".join(RNG.choice(WORDS, RNG.integers(3, 12))) for _ in range(n)], RNG.integers(
        0, 2, n
    )


def test_text_classification_from_scratch() -> None:
    """Vectorized in the pipeline, and then the model that takes the texts themselves."""
    texts, labels = reviews()
    raw = tf.data.Dataset.from_tensor_slices((texts, labels)).batch(6)
    vectorize = L.TextVectorization(max_tokens=20, output_mode="int", output_sequence_length=9)
    vectorize.adapt(raw.map(lambda x, y: x))
    tokens = keras.Input((None,), dtype="int64")
    x = L.Embedding(20, 5)(tokens)
    x = L.Dropout(0.5)(x)
    x = L.Conv1D(4, 3, padding="valid", activation="relu", strides=2, name="conv")(x)
    x = L.GlobalMaxPooling1D()(x)
    x = L.Dense(6, activation="relu", name="dense")(x)
    x = L.Dropout(0.5)(x)
    model = keras.Model(tokens, L.Dense(1, activation="sigmoid", name="predictions")(x))
    compiled(model, "binary_crossentropy", "accuracy")
    data = raw.map(lambda x, y: (vectorize(tf.expand_dims(x, -1)), y)).cache()
    assert_is_of(repro.lesion(model, data), model, data, "binary", probabilities=True)
    texts_in = keras.Input((1,), dtype="string")
    whole = keras.Model(texts_in, model(vectorize(texts_in)))
    whole.compile("adam", "binary_crossentropy", metrics=["accuracy"], run_eagerly=True)
    data = raw.map(lambda x, y: (tf.expand_dims(x, -1), y))
    study = repro.lesion(whole, data)
    assert_is_of(study, whole, data, "binary", probabilities=True)
    for form in ((texts, labels), (np.array(texts), labels.tolist()), (pd.Series(texts), labels)):
        again = repro.lesion(whole, *form)
        assert float(again.intact.loss) == pytest.approx(float(study.intact.loss), rel=1e-6)


def patients(n: int = 24) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": RNG.integers(20, 80, n),
            "chol": RNG.normal(240, 40, n),
            "sex": RNG.integers(0, 2, n),
            "thal": RNG.choice(["normal", "fixed", "reversible"], n),
            "target": RNG.integers(0, 2, n),
        }
    )


def test_structured_data_classification() -> None:
    """A dict of columns: numbers normalized, categories looked up, inside the model."""
    table = patients()
    labels = table.pop("target")
    columns = {name: np.asarray(table[name]) for name in table}
    columns["thal"] = columns["thal"].astype(object)
    data = tf.data.Dataset.from_tensor_slices((columns, labels)).batch(7)
    inputs: dict[str, Any] = {}
    encoded = []
    for name in ("age", "chol"):
        inputs[name] = keras.Input((1,), name=name)
        layer = L.Normalization()
        layer.adapt(data.map(lambda x, y, name=name: tf.expand_dims(x[name], -1)))
        encoded.append(layer(inputs[name]))
    inputs["sex"] = keras.Input((1,), name="sex", dtype="int64")
    encoded.append(L.CategoryEncoding(num_tokens=2, output_mode="one_hot")(inputs["sex"]))
    inputs["thal"] = keras.Input((1,), name="thal", dtype="string")
    lookup = L.StringLookup(output_mode="multi_hot")
    lookup.adapt(data.map(lambda x, y: x["thal"]))
    encoded.append(lookup(inputs["thal"]))
    x = L.Dense(8, activation="relu", name="hidden")(L.concatenate(encoded))
    x = L.Dropout(0.5)(x)
    model = keras.Model(inputs, L.Dense(1, activation="sigmoid")(x))
    compiled(model, "binary_crossentropy", "accuracy")
    wide = data.map(lambda x, y: ({k: tf.expand_dims(v, -1) for k, v in x.items()}, y))
    study = repro.lesion(model, data)
    assert_is_of(study, model, wide, "binary", probabilities=True)
    for form in (
        (wide,),
        (data.unbatch(),),
        (columns, labels),
        (table, labels),
        ({k: v[:, None] for k, v in columns.items()}, labels.to_numpy()[:, None]),
        ([columns[name] for name in sorted(columns)], labels),
    ):
        again = repro.lesion(model, *form)
        assert float(again.intact.loss) == pytest.approx(float(study.intact.loss), rel=1e-6)


def test_basic_regression() -> None:
    """Fuel efficiency: a normalized table, two hidden layers, one number."""
    table = pd.DataFrame(
        {"power": RNG.normal(100, 30, 30), "weight": RNG.normal(3000, 800, 30), "year": 70.0}
    )
    target = pd.Series(40 - table["weight"] / 200 + RNG.normal(0, 2, 30))
    normalizer = L.Normalization(axis=-1)
    normalizer.adapt(np.array(table[["power", "weight"]]))
    model = keras.Sequential(
        [
            keras.Input((2,)),
            normalizer,
            L.Dense(8, activation="relu", name="first"),
            L.Dense(8, activation="relu", name="second"),
            L.Dense(1),
        ]
    )
    data = table[["power", "weight"]]
    stream = tf.data.Dataset.from_tensor_slices((data.to_numpy(), target.to_numpy())).batch(8)
    compiled(model, "mean_squared_error", "mae")
    study = repro.lesion(model, data, target)
    assert_is_of(study, model, stream, "regression")
    assert np.isnan(study.units["accuracy_drop"]).all()
    compiled(model, "mean_absolute_error")
    found = repro.lesion(model, stream)
    expected = model.evaluate(data, target, verbose=0)
    assert found.task.absolute
    assert float(found.intact.loss) == pytest.approx(expected, rel=1e-5)
