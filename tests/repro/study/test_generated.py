"""Models drawn at random: the study is exact, or one sentence refuses it and ends in a remedy.

Heads, tasks, inputs of one to four dimensions, types, preprocessing, branches, sharing, nesting,
own layers and functions, precision, data in several forms. GENERATED_MODELS=2000 draws more, and
GENERATED_LOG names a file that gets a line for each, to be counted.
"""

from __future__ import annotations

import json
import os
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers as L
from keras import ops

import repro
from tests.helpers import plain

N_MODELS = int(os.environ.get("GENERATED_MODELS", "25"))
N = 24


@keras.saving.register_keras_serializable("generated")
class Scale(L.Layer):
    """A registered layer of one's own, whose config forgets its factor (keras#17383)."""

    def __init__(self, factor: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor


def relu(x: Any) -> Any:
    """keras#2272: a function of one's own by the name of one of Keras's."""
    return ops.clip(x, 0, 1)


def leaky_relu(x: Any) -> Any:
    return ops.maximum(x, 0.01 * x)


def softmax(x: Any) -> Any:
    e = ops.exp(x - ops.max(x, axis=-1, keepdims=True))
    return e / ops.sum(e, axis=-1, keepdims=True)


ACTIVATIONS: list[Any] = ["relu", "tanh", "gelu", "elu", relu, leaky_relu, keras.ops.silu]
INPUTS = [
    *("vector", "series", "image", "grey", "volume", "bytes", "tokens", "texts", "double"),
    *("half", "number", "two", "table"),
]
CLASSES = ["logits", "softmax", "own softmax", "half softmax", "shrunk", "clipped", "divided"]
HEADS = [
    *CLASSES,
    *("two classes of one", "in a dict", "two outputs", "logit", "sigmoid", "labels", "numbers"),
    *("number", "agreement", "score"),
]
FORMS = [
    *("arrays", "one-hot", "dataset", "unbatched", "pair", "weights", "lists", "list of inputs"),
    *("column", "tensors", "py_dataset", "generator", "as TFDS", "names", "bools", "without last"),
]
BODIES = [
    *("plain", "branch", "shared", "nested", "norm", "residual", "gated", "deep", "prelu"),
    *("functions", "pooled"),
]
NAMES = ["ant", "bee", "cow"]


@st.composite
def cases(draw: Any) -> dict[str, Any]:
    return {
        "input": draw(st.sampled_from(INPUTS)),
        "head": draw(st.sampled_from(HEADS)),
        "form": draw(st.sampled_from(FORMS)),
        "before": draw(
            st.sampled_from(
                ["nothing", "rescaling", "normalization", "augment", "own", "operations"]
            )
        ),
        "body": draw(st.sampled_from(BODIES)),
        "activation": draw(st.integers(0, len(ACTIVATIONS) - 1)),
        "compiled": draw(st.booleans()),
        "half": draw(st.sampled_from([False, False, False, True])),
        "seed": draw(st.integers(0, 1000)),
    }


def given_images(kind: str, rng: np.random.Generator) -> Any:
    """One array, or a dict of them by the names of the model's inputs."""
    if kind in ("two", "table"):
        return {name: rng.normal(size=(N, 1 + (kind == "two"))).astype(np.float32) for name in "ab"}
    if kind == "texts":
        return np.array([" ".join(rng.choice(list("abcdefgh"), 5)) for _ in range(N)])
    if kind == "tokens":
        return rng.integers(0, 12, (N, 7))
    if kind == "bytes":
        return rng.integers(0, 256, (N, 6, 6, 3)).astype(np.uint8)
    shape = {
        **{"series": (7, 4), "image": (6, 6, 3), "volume": (4, 4, 4, 2)},
        **{"grey": (6, 6, 1), "number": (1,)},
    }
    values = rng.normal(size=(N, *shape.get(kind, (6,))))
    return values.astype({"double": np.float64, "half": np.float16}.get(kind, np.float32))


def built(case: dict[str, Any], images: Any) -> keras.Model:
    kind, activation = case["input"], ACTIVATIONS[case["activation"]]
    if isinstance(images, dict):
        each = {name: keras.Input(one.shape[1:], name=name) for name, one in images.items()}
        inputs = each if case["seed"] % 2 else list(each.values())
        x = L.Concatenate()(list(each.values()))
    elif kind == "texts":
        x = inputs = keras.Input((), dtype="string")
        vectorize = L.TextVectorization(max_tokens=12, output_sequence_length=6)
        vectorize.adapt(images)
        x = L.Embedding(12, 5)(vectorize(x))
    elif kind == "tokens":
        x = inputs = keras.Input((7,), dtype="int32")
        x = L.Embedding(12, 5)(x)
    else:
        x = inputs = keras.Input(images.shape[1:], dtype="uint8" if kind == "bytes" else None)
        if kind == "bytes" or case["before"] == "rescaling":
            x = L.Rescaling(1 / 255 if kind == "bytes" else 0.7)(x)
        elif case["before"] == "normalization":
            normal = L.Normalization()
            normal.adapt(images)
            x = normal(x)
        elif case["before"] == "augment" and images.ndim == 4:
            x = L.CenterCrop(5, 5)(L.RandomContrast(0.2)(L.RandomFlip()(x)))
        elif case["before"] == "operations":
            x = x / 1.3 - 0.2
        elif case["before"] == "own":
            x = Scale(1.7)(x)
    rank = len(x.shape)
    if rank == 3:
        x = L.Conv1D(5, 3, activation=activation, name="first")(x)
    elif rank == 4:
        x = L.Conv2D(5, 3, activation=activation, name="first")(x)
    elif rank == 5:
        x = L.Conv3D(4, 2, activation=activation, name="first")(x)
    else:
        x = L.Dense(7, activation=activation, name="first")(x)
    if case["body"] == "pooled" and len(x.shape) > 2:
        pool = {3: L.AveragePooling1D(2), 4: L.MaxPooling2D(2), 5: L.AveragePooling3D(2)}
        x = pool[len(x.shape)](x)
    if len(x.shape) > 2:
        x = L.Flatten()(x)
    if case["body"] == "branch":
        x = L.Concatenate()(
            [L.Dense(4, "relu", name="left")(x), L.Dense(3, "tanh", name="right")(x)]
        )
    elif case["body"] == "shared":
        twice = L.Dense(x.shape[-1], "relu", name="twice")
        x = twice(twice(x))
    elif case["body"] == "nested":
        inner = keras.Sequential(
            [keras.Input(x.shape[1:]), L.Dense(6, "relu", name="inside"), L.Dropout(0.5)]
        )
        x = inner(x, training=False)
    elif case["body"] == "norm":
        x = L.ReLU(name="after_norm")(L.BatchNormalization()(L.Dense(6)(x)))
    elif case["body"] == "residual":
        x = L.Activation("relu", name="added")(L.Add()([x, L.Dense(x.shape[-1])(x)]))
    elif case["body"] == "gated":
        x = L.Multiply()([L.Dense(5, "relu", name="value")(x), L.Dense(5, "sigmoid")(x)])
    elif case["body"] == "deep":
        x = L.Dense(5, name="linear")(L.Dropout(0.3)(L.Dense(6, activation, name="second")(x)))
        x = L.LeakyReLU(name="leak")(L.LayerNormalization()(x))
    elif case["body"] == "prelu":
        x = L.PReLU(name="slopes")(L.Dense(6, name="sloped")(x))
    elif case["body"] == "functions":
        x = L.Dense(6, "relu", name="even")(x)
        x = ops.concatenate([x, ops.square(x) * 0.1], axis=-1)
    head = case["head"]
    if head == "two classes of one":
        p = L.Dense(1, "sigmoid", dtype="float32")(x)
        x = L.Concatenate()([1 - p, p])
    elif head == "in a dict":
        x = {"classes": L.Dense(3, dtype="float32")(x)}
    elif head == "two outputs":
        x = [
            L.Dense(2, dtype="float32", name="other")(x),
            L.Dense(3, dtype="float32", name="asked")(x),
        ]
    elif head == "half softmax":
        x = L.Dense(3, activation=softmax)(x)
    elif head == "clipped":
        least = (1e-7, 0.01)[case["seed"] % 2]  # of which the second leaves sums unlike 1
        x = ops.clip(L.Dense(3, activation="softmax", dtype="float32")(x), least, 1 - least)
    elif head == "divided":
        e = ops.exp(L.Dense(3, dtype="float32")(x))
        x = e / ops.sum(e, axis=-1, keepdims=True)
    elif head in ("logits", "numbers", "agreement", "score"):
        x = L.Dense(3, dtype="float32")(x)
    elif head == "softmax":
        x = L.Dense(3, activation="softmax", dtype="float32")(x)
    elif head == "own softmax":
        x = L.Dense(3, activation=softmax, dtype="float32")(x)
    elif head == "shrunk":
        x = L.Dense(3, activation="softmax", dtype="float32")(x) * 0.997 + 0.001
    elif head == "labels":
        x = L.Dense(3, activation="sigmoid", dtype="float32")(x)
    else:
        ending = "sigmoid" if head == "sigmoid" else None
        x = L.Dense(1, activation=ending, dtype="float32")(x)
    model = keras.Model(inputs, x)
    plain.randomise(model, np.random.default_rng(case["seed"]))
    return model


def loss_for(head: str) -> Any:
    if head in ("logits", "in a dict", "two outputs"):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if head in CLASSES or head == "two classes of one":
        return "sparse_categorical_crossentropy"
    if head == "logit":
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return "binary_crossentropy" if head in ("sigmoid", "labels") else "mse"


def labels_of(case: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    head = case["head"]
    if head in ("numbers", "score"):
        return rng.normal(size=(N, 3)).astype(np.float32)
    if head == "number":
        return rng.normal(size=N).astype(np.float32)
    if head == "labels":
        return rng.integers(0, 2, (N, 3))
    labels = rng.integers(0, 2 if head in ("logit", "sigmoid", "two classes of one") else 3, N)
    labels[:3] = 0, 1, labels.max()  # all that there are occur
    return labels


class Batches(keras.utils.PyDataset):
    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> Any:
        part = slice(number * 6, number * 6 + 6)
        return keras.tree.map_structure(lambda one: one[part], (self.x, self.y))


def in_form(form: str, images: Any, labels: np.ndarray, n_classes: int) -> tuple[Any, Any]:
    """The data in a form that `fit` takes; in plain arrays where they have no such form."""
    import tensorflow as tf

    single = labels.ndim == 1 and labels.dtype.kind == "i"
    several = isinstance(images, dict)
    if form == "one-hot" and single and n_classes > 1:
        return images, np.eye(n_classes)[labels]
    if form == "column" and single:
        return images, labels[:, None].astype(float)
    if form == "names" and single:
        return images, np.array(NAMES)[labels]
    if form == "bools" and single and labels.max() == 1:
        return images, labels.astype(bool)
    if form == "dataset":
        return tf.data.Dataset.from_tensor_slices((images, labels)).batch(7), None
    if form == "unbatched":
        return tf.data.Dataset.from_tensor_slices((images, labels)), None
    if form == "as TFDS" and not several:
        pairs = {"image": images, "label": labels}
        return tf.data.Dataset.from_tensor_slices(pairs).batch(5), None
    if form == "pair":
        return (images, labels), None
    if form == "weights":
        return (images, labels, np.ones(N)), None
    if form == "py_dataset":
        return Batches(images, labels), None
    if form == "generator":
        whole = Batches(images, labels)
        return (whole[number] for number in range(len(whole))), None
    if form == "tensors":
        return keras.tree.map_structure(tf.constant, (images, labels))
    if form == "lists" and not several:
        return images.tolist(), labels.tolist()
    if form == "list of inputs" and not several and images.dtype.kind != "U":
        return list(images), labels
    if form == "without last" and not several and images.shape[-1] == 1:
        return images[..., 0], labels
    return images, labels


REMEDIES = tuple("give use pass build take name write scale put add load round".split())


@settings(
    max_examples=N_MODELS,
    deadline=None,
    derandomize=N_MODELS <= 25,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(case=cases())
def test_a_model_is_studied_exactly_or_refused_with_a_remedy(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(case["seed"])
    policy = keras.config.dtype_policy()
    half = case["half"] and case["input"] not in ("double", "texts")
    keras.config.set_dtype_policy("mixed_bfloat16" if half else "float32")
    try:
        images = given_images(case["input"], rng)
        model = built(case, images)
    finally:
        keras.config.set_dtype_policy(policy)
    labels = labels_of(case, rng)
    head = case["head"]
    loss = loss_for(head)
    if case["compiled"] and head not in ("agreement", "score", "two outputs"):
        model.compile(loss=loss)
    n_classes = model.outputs[-1].shape[-1]
    data, targets = in_form(case["form"], images, labels, n_classes)
    asked: dict[str, Any] = {}
    if head == "score":
        asked["score"] = lambda outputs, wanted: -ops.mean(ops.abs(outputs - wanted), axis=-1)
    if head == "two outputs":
        asked["output"] = "asked"
    if case["form"] == "names":
        asked["class_names"] = NAMES[: max(2, n_classes)]
    if head == "agreement":
        data, targets = images, None
    try:
        study = repro.lesion(model, data, targets, **asked)
    except ValueError as error:
        said = str(error)
        log(case, said)
        assert "\n" not in said and len(said) < 700
        assert any(remedy in said for remedy in REMEDIES), said
        return
    tolerance = 3e-2 if half else 2e-5

    def close(value: float, of_images: np.ndarray) -> Any:
        absolute = tolerance
        if study.task.probabilities and not study.task.ending:
            # Probabilities that were computed as 1 - p may differ by the last bit of 1.
            least = np.minimum(of_images * max(1, study.task.answers_each), 15)
            absolute += float(np.mean(2.0**-23 * np.exp(least)))
        return pytest.approx(value, rel=tolerance, abs=absolute)

    given = images
    if isinstance(images, dict) and isinstance(model.input, list):
        given = list(images.values())
    intact = plain_answers(model, given, study.task)
    reference = losses(study.task, intact, labels, intact)
    assert float(study.intact.loss) == close(reference.mean(), reference)
    if head not in ("agreement", "score", "two outputs", "in a dict"):
        model.compile(loss=loss)
        # Keras's own loop takes no arrays of texts, but tensors of them.
        is_text = not isinstance(images, dict) and images.dtype.kind == "U"
        fed = ops.convert_to_tensor(images) if is_text else given
        assert float(study.intact.loss) == close(
            model.evaluate(fed, labels, batch_size=N, verbose=0), reference
        )
    units = [(layer, u) for layer, size in study.layout.layers for u in range(size)]
    for number in rng.permutation(len(units))[:2]:
        layer, unit = units[number]
        if layer.endswith("_call_2") or (case["body"] == "shared" and layer == "twice"):
            continue  # one call of a layer that is asked twice
        with plain.without_unit(plain.layer_named(model, layer), unit):
            answers = plain_answers(model, given, study.task)
        lesioned = losses(study.task, answers, labels, intact)
        importance = float(study.units["importance"][number])
        assert importance + float(study.intact.loss) == close(lesioned.mean(), lesioned)
    log(case, "exact")


def log(case: dict[str, Any], said: str) -> None:
    """Adds a line to the file that GENERATED_LOG names."""
    if name := os.environ.get("GENERATED_LOG"):
        with open(name, "a", encoding="utf-8") as file:
            print(json.dumps({**case, "said": said}), file=file)


def plain_answers(model: keras.Model, images: Any, task: Any) -> np.ndarray:
    """Answers of the user's model, called as it is; those of the last output if there are several.

    A final softmax or sigmoid is taken off the last layer where Keras's loss looks behind it.
    """
    given = keras.tree.map_structure(ops.convert_to_tensor, images)
    last = model.layers[-1]
    if task.ending:
        function, last.activation = last.activation, keras.activations.linear
    try:
        answers = keras.tree.flatten(model(given, training=False))[-1]
    finally:
        if task.ending:
            last.activation = function
    return np.asarray(ops.convert_to_numpy(ops.cast(answers, "float32")))


def losses(task: Any, answers: np.ndarray, labels: np.ndarray, intact: np.ndarray) -> np.ndarray:
    """By Keras's own functions, in the kind that the study found."""
    from_logits = not task.probabilities or bool(task.ending)
    if task.kind == "classes":
        found = keras.losses.sparse_categorical_crossentropy(labels, answers, from_logits)
    elif task.kind in ("binary", "labels"):
        wanted = labels.reshape(N, -1).astype(np.float32)
        found = keras.losses.binary_crossentropy(wanted, answers, from_logits)
    elif task.kind == "agreement":
        p, q = (ops.softmax(ops.convert_to_tensor(x.astype(np.float64))) for x in (intact, answers))
        found = ops.sum(p * (ops.log(p) - ops.log(q)), axis=-1)
    elif task.kind == "score":
        # Counted as a loss, its own negative, as higher ones are better.
        found = ops.mean(ops.abs(ops.convert_to_tensor(answers - labels)), axis=-1)
    else:
        found = keras.losses.mean_squared_error(labels.reshape(N, -1), answers)
    return np.asarray(ops.convert_to_numpy(found), np.float64)
