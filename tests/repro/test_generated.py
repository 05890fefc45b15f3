"""Models as users build them, drawn by chance: exact against plain Keras, or refused in a sentence.

Drawn are the input (vectors, sequences, images, volumes, tokens, texts, tables), preprocessing
inside the model, hidden layers, how they are joined, the head with its task, the precision, the
loss that it was compiled with, and the form of the data. GENERATED_MODELS=2000 makes it long.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keras import layers as L
from keras import ops

import repro
from repro.engine.verify import NotTheModel
from tests.repro import lesioned, plain

N_MODELS = int(os.environ.get("GENERATED_MODELS", "24"))
N = 24
RNG = np.random.default_rng(7)
WORDS = [f"word{number}" for number in range(12)]


# --- What users write themselves -----------------------------------------------------------------


@keras.saving.register_keras_serializable("generated")
def relu(x: Any) -> Any:
    """keras#2272: of Keras's name, and not what Keras computes."""
    return ops.clip(x, 0.0, 1.0)


@keras.saving.register_keras_serializable("generated")
def leaky_relu(x: Any) -> Any:
    return ops.maximum(x, 0.01 * x)


@keras.saving.register_keras_serializable("generated")
def softmax(x: Any) -> Any:
    """Softmax of twice the logits, under Keras's name."""
    e = ops.exp(2 * (x - ops.max(x, axis=-1, keepdims=True)))
    return e / ops.sum(e, axis=-1, keepdims=True)


@keras.saving.register_keras_serializable("generated")
def own_sigmoid(x: Any) -> Any:
    return 1 / (1 + ops.exp(-1.5 * x))


@keras.saving.register_keras_serializable("generated")
class Scale(L.Layer):
    """A layer of the user's own, complete."""

    def __init__(self, factor: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def build(self, shape: Any) -> None:
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones", name="gain")

    def call(self, x: Any) -> Any:
        return x * self.gain * self.factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("generated")
class Forgetful(L.Layer):
    """keras#17383: its config forgets the slope."""

    def __init__(self, slope: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.slope = slope

    def call(self, x: Any) -> Any:
        return ops.maximum(x, self.slope * x)


# --- Inputs ------------------------------------------------------------------------------------


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=(N, *shape)).astype(np.float32)


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (N, *shape)).astype(np.uint8)


TEXTS = np.array([" ".join(RNG.choice(WORDS, 5)) for _ in range(N)])
DATA: dict[str, Any] = {
    "vector": normal(5),
    "float64": normal(5).astype(np.float64),
    "sequence": normal(6, 3),
    "image": normal(8, 8, 2),
    "pixels": pixels(9, 8, 3),
    "volume": normal(4, 4, 4, 1),
    "tokens": RNG.integers(0, 12, (N, 6)).astype(np.int32),
    "texts": TEXTS,
    "hashed": RNG.choice(WORDS, (N, 3)),
    "lookup": RNG.choice(WORDS, (N, 2)),
    "bins": normal(3),
    "table": {
        "age": RNG.integers(20, 70, (N, 1)).astype(np.float32),
        "kind": RNG.choice(WORDS[:4], (N, 1)),
        "code": RNG.integers(0, 5, (N, 1)).astype(np.int64),
    },
    "two": {"left": normal(5), "right": normal(5)},
}


def head_of(kind: str, recipe: Recipe) -> tuple[Any, Any]:
    """The model's inputs, and a float tensor made of them."""
    if kind == "float64":
        x = keras.Input((5,), dtype="float64")
        return x, x
    if kind == "pixels":
        images = keras.Input((9, 8, 3), dtype="uint8")
        x = L.Rescaling(1 / 127.5, offset=-1)(images)
        for step in recipe.preprocessing:
            x = PREPROCESSING[step]()(x)
        return images, x
    if kind == "image":
        images = x = keras.Input((8, 8, 2))
        for step in recipe.preprocessing:
            x = PREPROCESSING[step]()(x)
        return images, x
    if kind == "tokens":
        tokens = keras.Input((6,), dtype="int32")
        return tokens, L.Embedding(12, 4)(tokens)
    if kind == "texts":
        texts = (
            keras.Input((1,), dtype="string") if recipe.flag else keras.Input((), dtype="string")
        )
        layer = L.TextVectorization(max_tokens=10, output_sequence_length=6)
        layer.adapt(TEXTS)
        return texts, L.Embedding(10, 4)(layer(texts))
    if kind == "hashed":
        words = keras.Input((3,), dtype="string")
        return words, L.Embedding(7, 4)(L.Hashing(7)(words))
    if kind == "lookup":
        words = keras.Input((2,), dtype="string")
        return words, L.StringLookup(vocabulary=WORDS[:9], output_mode="multi_hot")(words)
    if kind == "bins":
        numbers = keras.Input((3,))
        layer = L.Discretization(num_bins=4)
        layer.adapt(DATA["bins"])
        return numbers, L.Embedding(5, 3)(layer(numbers))
    if kind == "table":
        age = keras.Input((1,), name="age")
        word = keras.Input((1,), dtype="string", name="kind")
        code = keras.Input((1,), dtype="int64", name="code")
        scaled = L.Normalization()
        scaled.adapt(DATA["table"]["age"])
        parts = [
            scaled(age),
            L.StringLookup(vocabulary=WORDS[:4], output_mode="one_hot")(word),
            L.IntegerLookup(vocabulary=[0, 1, 2, 3], output_mode="one_hot")(code)
            if recipe.flag
            else L.CategoryEncoding(num_tokens=5, output_mode="one_hot")(code),
        ]
        return {"age": age, "kind": word, "code": code}, L.Concatenate()(parts)
    if kind == "two":
        left, right = keras.Input((5,), name="left"), keras.Input((5,), name="right")
        tower = [tower_of(side, recipe) for side in ("towers_a", "towers_b")]
        joined = L.Concatenate()([tower[0](left), tower[1](right)])
        return {"left": left, "right": right}, joined
    x = keras.Input(DATA[kind].shape[1:])
    if recipe.flag and kind in ("vector", "sequence", "image"):
        layer = L.Normalization()
        layer.adapt(DATA[kind])
        return x, layer(x)
    return x, x


def tower_of(name: str, recipe: Recipe) -> keras.Model:
    """A nested model, whose layers have the names of the other tower's."""
    layers = [keras.Input((5,)), L.Dense(4, activation="relu", name="tower_hidden")]
    if recipe.flag:
        layers.append(L.BatchNormalization(name="tower_norm"))
    return keras.Sequential(layers, name=name)


PREPROCESSING: dict[str, Callable[[], Any]] = {
    "flip": lambda: L.RandomFlip("horizontal"),
    "rotation": lambda: L.RandomRotation(0.1),
    "contrast": lambda: L.RandomContrast(0.2),
    "zoom": lambda: L.RandomZoom(0.1),
    "resizing": lambda: L.Resizing(6, 6),
    "crop": lambda: L.CenterCrop(5, 5),
    "noise": lambda: L.GaussianNoise(0.1),
}

# --- Hidden layers -------------------------------------------------------------------------------

ACTIVATIONS: dict[str, Any] = {
    **{name: name for name in ("relu", "tanh", "gelu", "elu", "sigmoid", "softplus", "selu")},
    "own relu": relu,
    "own leaky_relu": leaky_relu,
    "own, as a layer": lambda: L.Activation(relu),
    "ReLU": lambda: L.ReLU(),
    "ReLU, capped": lambda: L.ReLU(max_value=2.0, negative_slope=0.1),
    "LeakyReLU": lambda: L.LeakyReLU(negative_slope=0.2),
    "PReLU": lambda: L.PReLU(alpha_initializer=keras.initializers.Constant(0.2)),
    "function": lambda: ops.relu,
    "maximum": lambda: lambda x: ops.maximum(x, 0.0),
}
BETWEEN: dict[str, Callable[[], Any]] = {
    "norm": lambda: L.BatchNormalization(),
    "layer norm": lambda: L.LayerNormalization(),
    "dropout": lambda: L.Dropout(0.4),
    "scale": lambda: Scale(0.7),
    "forgetful": lambda: Forgetful(0.3),
    "affine": lambda: lambda x: x * 0.9 + 0.05,
}
JOINS = ("none", "add", "concatenate", "shared", "nested", "multiply")


def linear(rank: int, width: int, kind: str, activation: Any, name: str) -> Any:
    """A layer with weights on a tensor of this rank."""
    options: dict[str, Any] = {"activation": activation, "name": name}
    if rank == 2 or kind == "dense":
        return L.Dense(width, **options)
    conv = {3: L.Conv1D, 4: L.Conv2D, 5: L.Conv3D}[rank]
    if kind == "separable" and rank in (3, 4):
        conv = {3: L.SeparableConv1D, 4: L.SeparableConv2D}[rank]
    return conv(
        width,
        2 if kind == "valid" else 3,
        padding="valid" if kind == "valid" else "same",
        **options,
    )


def hidden(x: Any, recipe: Recipe) -> Any:
    for number, block in enumerate(recipe.blocks):
        activation = ACTIVATIONS[block.activation]
        named = isinstance(activation, str) or activation in (relu, leaky_relu)
        inside = activation if named and not block.between else None

        def apply(x: Any, name: str) -> Any:
            x = linear(len(x.shape), block.width, block.kind, inside, name)(x)  # noqa: B023
            if block.between:  # noqa: B023
                x = BETWEEN[block.between]()(x)  # noqa: B023
            if inside is None:  # noqa: B023
                layer = L.Activation(activation) if named else activation()  # noqa: B023
                x = layer(x)
            return x

        name = f"block{number}"
        if block.join == "nested":
            inner = keras.Input(x.shape[1:])
            x = keras.Model(inner, apply(inner, name), name=f"nested{number}")(x)
        elif block.join == "shared":
            first = linear(len(x.shape), block.width, "dense", "relu", f"{name}_first")(x)
            twice = L.Dense(block.width, activation="tanh", name=f"{name}_shared")
            x = twice(twice(first))
        elif block.join in ("add", "multiply", "concatenate"):
            before = linear(len(x.shape), block.width, "dense", None, f"{name}_before")(x)
            after = linear(len(x.shape), block.width, "dense", "relu", f"{name}_after")(before)
            join = {"add": L.Add, "multiply": L.Multiply, "concatenate": L.Concatenate}[block.join]
            x = apply(join()([before, after]), name)
        else:
            x = apply(x, name)
    rank = len(x.shape)
    if rank > 2 and recipe.pool == "average":
        return {
            3: L.GlobalAveragePooling1D,
            4: L.GlobalAveragePooling2D,
            5: L.GlobalAveragePooling3D,
        }[rank]()(x)
    if rank > 2 and recipe.pool == "max":
        return {3: L.GlobalMaxPooling1D, 4: L.GlobalMaxPooling2D, 5: L.GlobalMaxPooling3D}[rank]()(
            x
        )
    return L.Flatten()(x) if rank > 2 else x


# --- Heads ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """A head: kind of its task, whether its answers are probabilities, and how it is built."""

    kind: str
    probabilities: bool
    build: Callable[[Any], Any]
    output: str | None = None


def two_of(x: Any) -> Any:
    p = L.Dense(1, activation="sigmoid", name="p")(x)
    return L.Concatenate(name="both")([1 - p, p])


HEADS: dict[str, Head] = {
    "logits": Head("classes", False, lambda x: L.Dense(3)(x)),
    "softmax": Head("classes", True, lambda x: L.Dense(3, activation="softmax")(x)),
    "Softmax": Head("classes", True, lambda x: L.Softmax()(L.Dense(3)(x))),
    "ops.softmax": Head("classes", True, lambda x: ops.softmax(L.Dense(3)(x))),
    "own softmax": Head("classes", True, lambda x: L.Dense(3, activation=softmax)(x)),
    "Lambda": Head("classes", True, lambda x: L.Lambda(softmax)(L.Dense(3)(x))),
    "clipped": Head(
        "classes", True, lambda x: ops.clip(L.Dense(3, activation="softmax")(x), 1e-4, 1.0)
    ),
    "shrunk": Head(
        "classes", True, lambda x: L.Dense(4, activation="softmax")(x) * 0.999 + 0.00025
    ),
    "exp": Head(
        "classes",
        True,
        lambda x: (lambda e: e / ops.sum(e, axis=-1, keepdims=True))(ops.exp(L.Dense(3)(x))),
    ),
    "both": Head("classes", True, two_of),
    "one logit": Head("binary", False, lambda x: L.Dense(1)(x)),
    "sigmoid": Head("binary", True, lambda x: L.Dense(1, activation="sigmoid")(x)),
    "own sigmoid": Head("binary", True, lambda x: L.Dense(1, activation=own_sigmoid)(x)),
    "Activation": Head("binary", True, lambda x: L.Activation("sigmoid")(L.Dense(1)(x))),
    "labels": Head("labels", True, lambda x: L.Dense(3, activation="sigmoid")(x)),
    "label logits": Head("labels", False, lambda x: L.Dense(3)(x)),
    "number": Head("regression", False, lambda x: L.Dense(1)(x)),
    "numbers": Head("regression", False, lambda x: L.Dense(3)(x)),
    "absolute": Head("absolute_error", False, lambda x: L.Dense(2)(x)),
    "never negative": Head("regression", False, lambda x: L.Dense(1, activation="softplus")(x)),
    "a map": Head("regression", False, lambda x: L.Reshape((2, 2))(L.Dense(4)(x))),
    "named": Head(
        "classes",
        True,
        lambda x: {
            "kind": L.Dense(3, activation="softmax", name="kind")(x),
            "size": L.Dense(1, name="size")(x),
        },
        "kind",
    ),
    "named number": Head(
        "regression",
        False,
        lambda x: {"kind": L.Dense(3, name="kind")(x), "size": L.Dense(1, name="size")(x)},
        "size",
    ),
    "score": Head("score", False, lambda x: L.Dense(2)(x)),
    "agreement": Head("agreement", False, lambda x: L.Dense(3)(x)),
}


def targets_of(head: Head, n_out: tuple[int, ...]) -> Any:
    rng = np.random.default_rng(3)
    if head.kind == "classes":
        return rng.integers(0, n_out[-1], N)
    if head.kind == "binary":
        return rng.integers(0, 2, N)
    if head.kind == "labels":
        return np.concatenate([rng.integers(0, 2, (N - 1, *n_out)), np.ones((1, *n_out))]).astype(
            int
        )
    return rng.normal(size=(N, *n_out)).astype(np.float32)


LABEL_FORMS = ("numbers", "column", "floats", "one-hot", "list")
DATA_FORMS = (
    "arrays",
    "pair",
    "tensors",
    "dataset",
    "unbatched",
    "py_dataset",
    "generator",
    "batches",
)


@dataclass(frozen=True)
class Block:
    kind: str
    width: int
    activation: str
    between: str
    join: str


@dataclass(frozen=True)
class Recipe:
    """All that is drawn of one example."""

    data: str
    preprocessing: tuple[str, ...]
    flag: bool
    blocks: tuple[Block, ...]
    pool: str
    head: str
    policy: str
    compiled: bool
    labels: str
    form: str
    seed: int


BLOCKS = st.builds(
    Block,
    kind=st.sampled_from(["dense", "same", "valid", "separable"]),
    width=st.integers(2, 5),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    between=st.sampled_from(["", "", *BETWEEN]),
    join=st.sampled_from(JOINS),
)
RECIPES = st.builds(
    Recipe,
    data=st.sampled_from(sorted(DATA)),
    preprocessing=st.lists(st.sampled_from(sorted(PREPROCESSING)), max_size=2).map(tuple),
    flag=st.booleans(),
    blocks=st.lists(BLOCKS, min_size=1, max_size=2).map(tuple),
    pool=st.sampled_from(["flatten", "average", "max"]),
    head=st.sampled_from(sorted(HEADS)),
    policy=st.sampled_from(["float32", "float32", "float32", "float64", "mixed_bfloat16"]),
    compiled=st.booleans(),
    labels=st.sampled_from(LABEL_FORMS),
    form=st.sampled_from(DATA_FORMS),
    seed=st.integers(0, 3),
)


def built(recipe: Recipe) -> Any:
    """The model, with weights drawn."""
    before = keras.config.dtype_policy()
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.policy)
    try:
        inputs, x = head_of(recipe.data, recipe)
        answer = HEADS[recipe.head].build(hidden(x, recipe))
        model = keras.Model(inputs, answer)
    finally:
        keras.config.set_dtype_policy(before)
    plain.randomise(model, np.random.default_rng(recipe.seed))
    return model


class Batches(keras.utils.PyDataset):
    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> Any:
        part = slice(number * 8, number * 8 + 8)
        x = {k: v[part] for k, v in self.x.items()} if isinstance(self.x, dict) else self.x[part]
        return x, self.y[part]


def in_form(x: Any, y: Any, form: str) -> tuple[Any, ...]:
    """What is passed after the model."""
    if y is None:
        return (x,)
    batches = Batches(x, np.asarray(y))
    if form == "pair":
        return ((x, y),)
    if form == "tensors":
        return keras.tree.map_structure(tf.constant, x), tf.constant(y)
    if form in ("dataset", "unbatched"):
        stream = tf.data.Dataset.from_tensor_slices((x, np.asarray(y)))
        return (stream.batch(7) if form == "dataset" else stream,)
    if form == "py_dataset":
        return (batches,)
    if form == "generator":
        return ((batches[number] for number in range(3)),)
    if form == "batches":
        return ([batches[number] for number in range(3)],)
    return x, y


def labels_in(form: str, kind: str, y: Any, n_classes: int) -> Any:
    if kind == "classes":
        return {
            "numbers": y,
            "column": y[:, None],
            "floats": y.astype(np.float64),
            "one-hot": np.eye(n_classes, dtype=np.float32)[y],
            "list": y.tolist(),
        }[form]
    if kind == "binary":
        return {
            "numbers": y,
            "column": y[:, None],
            "floats": y.astype(np.float32),
            "one-hot": y.astype(bool),
            "list": y.tolist(),
        }[form]
    return y


def loss_of(head: Head, y: Any) -> Any:
    if head.kind == "classes":
        one_hot = np.ndim(y) == 2 and np.shape(y)[1] > 1
        kind = (
            keras.losses.CategoricalCrossentropy
            if one_hot
            else (keras.losses.SparseCategoricalCrossentropy)
        )
        return kind(from_logits=not head.probabilities)
    if head.kind in ("binary", "labels"):
        return keras.losses.BinaryCrossentropy(from_logits=not head.probabilities)
    return {"absolute_error": "mae"}.get(head.kind, "mse")


def score(outputs: Any, targets: Any) -> Any:
    return ops.mean(ops.tanh(outputs * targets), axis=-1)


def expected(head: Head, found: np.ndarray, y: Any, intact: np.ndarray) -> np.ndarray:
    """Each example's loss, by NumPy."""
    if head.kind == "score":
        return -np.tanh(found * y).mean(axis=1)
    if head.kind == "agreement":

        def log_p(x: np.ndarray) -> np.ndarray:
            return x - np.logaddexp.reduce(x, axis=1, keepdims=True)

        return (np.exp(log_p(intact)) * (log_p(intact) - log_p(found))).sum(axis=1)
    return lesioned.losses(head.kind, found, y, head.probabilities)


def saturates(answers: np.ndarray) -> bool:
    """Whether Keras would cut some probabilities off, unless it sees the logits behind them."""
    return bool(answers.min() < 1e-6 or answers.max() > 1 - 1e-6)


def check(recipe: Recipe) -> str:
    """Studies a drawn model; "exact", or the sentence that refuses it."""
    keras.backend.clear_session()
    model, head, x = built(recipe), HEADS[recipe.head], DATA[recipe.data]
    shape = (model.output[head.output] if head.output else model.output).shape[1:]
    y = None if head.kind == "agreement" else targets_of(head, tuple(shape))
    given_labels = None if y is None else labels_in(recipe.labels, head.kind, y, shape[-1])
    ambiguous = head.kind in ("absolute_error",) or recipe.head in ("label logits", "one logit")
    single = head.output is None and head.kind not in ("score", "agreement")
    if single and (recipe.compiled or ambiguous):
        model.compile(loss=loss_of(head, given_labels), run_eagerly=True)
    options: dict[str, Any] = {"output": head.output}
    if head.kind == "score":
        options["score"] = score
    if head.kind == "regression" and y is not None and recipe.flag:
        options["task"] = "regression"
    try:
        study = repro.lesion(model, *in_form(x, given_labels, recipe.form), **options)
    except ValueError as error:
        assert_sentence(str(error))
        assert not isinstance(error, NotTheModel), str(error)
        return str(error)
    kind = {"absolute_error": "regression"}.get(head.kind, head.kind)
    assert study.task.kind == kind, study.task
    tensors = keras.tree.map_structure(tf.constant, x)
    coarse = 0.05 if recipe.policy == "mixed_bfloat16" else 0.0
    plainly = lesioned.answers(model, tensors, head.output)
    before = expected(head, plainly, y, plainly)
    size = max(1.0, float(np.abs(before).max()), float(np.abs(plainly).max()))
    close = (3e-6 + coarse) * size
    certain = head.probabilities and saturates(plainly)
    if not certain:
        assert float(study.intact.loss) == pytest.approx(before.mean(), abs=close)
    if single:
        model.compile(loss=loss_of(head, given_labels), run_eagerly=True)
        evaluated = model.evaluate(tensors, np.asarray(given_labels), verbose=0, batch_size=N)
        assert float(study.intact.loss) == pytest.approx(evaluated, abs=close)
    layers = [(layer, unit) for layer, n in study.layout.layers for unit in range(n)]
    rng = np.random.default_rng(recipe.seed)
    some = rng.choice(len(layers), 2, replace=False)
    outcome = study._engine.single_units(units=some)
    for row, (layer, unit) in enumerate(layers[number] for number in some):
        with lesioned.lesioned(model, {layer: [unit]}):
            without = lesioned.answers(model, tensors, head.output)
        if head.probabilities and (certain or saturates(without)):
            continue
        after = expected(head, without, y, plainly).mean()
        assert float(outcome.loss[row]) == pytest.approx(after, abs=close), (layer, unit)
        if head.kind in ("classes", "binary", "labels"):
            counts = lesioned.n_correct(head.kind, without, y, head.probabilities)
            away = np.abs(counts - outcome.n_correct[row]).sum()
            assert away <= outcome.n_tied[row] * max(1, study.task.answers_each), (layer, unit)
    return "exact"


def assert_sentence(said: str) -> None:
    """One sentence that ends in a remedy."""
    assert "\n" not in said and len(said) < 800, said
    remedies = ("; ", "use ", "build ", "give ", "pass ", "name ")
    assert any(remedy in said for remedy in remedies), said


@settings(
    max_examples=N_MODELS,
    deadline=None,
    derandomize=N_MODELS < 100,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(RECIPES)
def test_a_drawn_model_is_studied_exactly_or_refused_in_a_sentence(recipe: Recipe) -> None:
    check(recipe)
