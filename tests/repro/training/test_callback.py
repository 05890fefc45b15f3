"""Single-direction reliance during training: against plain predictions, and without a trace."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import repro
from repro.core import metrics
from repro.models.insertion import ablate, insert_masks
from repro.models.masking import ablation_masks, layer_of
from repro.models.networks import mlp
from repro.training.callback import NAME, SingleDirectionReliance, stratified
from tests.helpers import plain

N_CLASSES = 4
LAYERS = keras.layers


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """96 images of 6 x 6 and labels that they tell a little about."""
    values = np.random.default_rng(5)
    labels = (np.arange(96) % N_CLASSES).astype(np.int32)
    images = values.random((96, 6, 6, 1), dtype=np.float32)
    images[np.arange(96), labels, labels] += 1.0
    return images, labels


def masked_mlp() -> keras.Model:
    return mlp((6, 6, 1), N_CLASSES, (12, 8), seed=2, dropout=0.2)


def plain_mlp() -> keras.Model:
    """A Sequential without masks; of its four hidden layers the last three count."""
    layers = [LAYERS.Dense(n, "relu", name=f"dense_{n}") for n in (7, 8, 9, 6)]
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            LAYERS.Flatten(),
            *layers,
            LAYERS.Dense(N_CLASSES, "softmax", name="scores"),
        ]
    )


def convolutional() -> keras.Model:
    images = x = keras.Input((6, 6, 1))
    for n in (3, 4):
        x = LAYERS.Conv2D(n, 3, padding="same", name=f"conv_{n}")(x)
        x = LAYERS.BatchNormalization()(x)
        x = LAYERS.ReLU(name=f"relu_{n}")(x)
    x = LAYERS.Dropout(0.3)(LAYERS.Flatten()(x))
    return keras.Model(images, LAYERS.Dense(N_CLASSES)(x))


def half() -> keras.Model:
    """Maps and a dense layer in bfloat16, the answer in float32."""
    mixed = {"dtype": "mixed_bfloat16"}
    images = keras.Input((6, 6, 1))
    x = LAYERS.BatchNormalization(**mixed)(LAYERS.Conv2D(4, 3, name="conv", **mixed)(images))
    x = LAYERS.Flatten(dtype="bfloat16")(LAYERS.ReLU(name="relu", **mixed)(x))
    x = LAYERS.Dense(6, "relu", name="dense", **mixed)(x)
    return keras.Model(images, LAYERS.Dense(N_CLASSES, dtype="float32")(x))


def branching() -> keras.Model:
    """Two branches side by side: no tensor between them carries everything."""
    images = keras.Input((6, 6, 1))
    x = LAYERS.Flatten()(images)
    left = LAYERS.Dense(5, "relu", name="left")(x)
    right = LAYERS.Dense(6, "tanh", name="right")(x)
    return keras.Model(images, LAYERS.Dense(N_CLASSES)(LAYERS.Concatenate()([left, right])))


def two_heads() -> keras.Model:
    images = keras.Input((6, 6, 1))
    x = LAYERS.Dense(12, "relu")(LAYERS.Flatten()(images))
    return keras.Model(images, [LAYERS.Dense(N_CLASSES)(x), LAYERS.Dense(2)(x)])


BUILDERS: dict[str, Callable[[], keras.Model]] = {
    build.__name__: build for build in (masked_mlp, plain_mlp, convolutional, branching)
}


def own_answers(model: keras.Model, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The images and what the model answers, so that it is right on all of them.

    Its last biases are moved until it gives every class about equally often.
    """
    last = [layer for layer in model.layers if isinstance(layer, LAYERS.Dense)][-1]
    for _ in range(30):
        labels = model.predict(images, verbose=0).argmax(axis=1).astype(np.int32)
        shares = np.bincount(labels, minlength=N_CLASSES) / len(labels)
        if shares.max() < 0.5:
            return images, labels
        spread = np.std(keras.Model(model.inputs[0], last.input)(images) @ last.kernel)
        last.bias.assign(np.array(last.bias) - 0.5 * spread * (shares - 1 / N_CLASSES))
    raise AssertionError(shares)


def areas(found: dict[str, float]) -> dict[str, float]:
    """The values that are normalized AUCs."""
    return {name: value for name, value in found.items() if name.startswith(NAME)}


def reference(
    masked: keras.Model, reliance: SingleDirectionReliance, data: Any
) -> dict[str, float]:
    """The areas by assigning every lesion to masks and asking plain `predict`."""
    layers = [(layer_of(mask), mask.n_units) for mask in ablation_masks(masked)]
    held = np.concatenate([np.array(mask.keep) for mask in ablation_masks(masked)])
    n_units = len(held)
    images, labels = data
    found = {}
    for curve in reliance._curves:
        first = n_units - sum(size for _, size in layers[-3:])
        accuracy = np.empty((len(curve.orders), len(curve.n_ablated)))
        for place, order in enumerate(curve.orders):
            for point, n in enumerate(curve.n_ablated):
                keep = held.copy()
                keep[first + order[:n]] = 0
                plain.assign(masked, layers, keep, None)
                hits = masked.predict_on_batch(images).argmax(axis=1) == labels
                accuracy[place, point] = hits.mean()
        found[curve.name] = float(metrics.normalized_auc(curve.n_ablated, accuracy).mean())
    plain.assign(masked, layers, held, None)
    return found


def began(model: keras.Model, data: Any, **settings: Any) -> SingleDirectionReliance:
    """A callback of all the images, as after the beginning of a training."""
    reliance = SingleDirectionReliance(
        *data, n_images=len(data[0]), **({"orders": 2, "points": 4} | settings)
    )
    reliance.set_model(model)
    reliance.on_train_begin()
    return reliance


# --- What it measures -------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILDERS)
def test_the_values_are_those_of_plain_predictions(name: str, data: Any, rng: Any) -> None:
    model = BUILDERS[name]()
    plain.randomise(model, rng)
    data = own_answers(model, data[0])
    reliance = began(model, data)
    masked = model if name == "masked_mlp" else insert_masks(model)
    names = [layer_of(mask) for mask in ablation_masks(masked)][-3:]
    values = []
    for _ in range(2):  # the weights are read anew
        found = reliance.measure()
        assert list(areas(found)) == [NAME, *(f"{NAME}/{layer}" for layer in names)]
        assert areas(found) == pytest.approx(reference(masked, reliance, data), abs=1e-12)
        assert len(set(areas(found).values())) > 1
        hits = model.predict(data[0], verbose=0).argmax(axis=1) == data[1]
        assert found["intact_accuracy"] == pytest.approx(hits.mean(), abs=1e-12)
        values.append(found)
        for variable in model.trainable_variables:
            noise = rng.normal(0, 0.01, variable.shape)
            variable.assign(np.array(variable) * (1 + noise))
    assert values[0] != values[1]


def test_dead_units_are_counted_by_layer(data: Any, rng: Any) -> None:
    """keras-team/keras#7057: units that are 0 on every image, while the model is trained."""
    model = plain_mlp()
    model.get_layer("dense_9").bias.assign([-100, 0, 0, -100, 0, 0, 0, 0, -100])
    found = began(model, data).measure()
    for layer in ("dense_8", "dense_9", "dense_6"):
        active = keras.Model(model.inputs[0], model.get_layer(layer).output)(data[0])
        assert found[f"dead/{layer}"] == np.mean(np.all(np.array(active) == 0, axis=0))
    assert found["dead/dense_9"] >= 3 / 9


def test_a_lesion_that_is_held_belongs_to_the_network(data: Any, rng: Any) -> None:
    model = masked_mlp()
    plain.randomise(model, rng)
    ablate(model, {"hidden_1": [0, 3]})
    data = own_answers(model, data[0])
    reliance = began(model, data)
    held = areas(reliance.measure())
    assert held == pytest.approx(reference(model, reliance, data), abs=1e-12)
    repro.restore(model)
    assert areas(reliance.measure()) != pytest.approx(held, nan_ok=True)


def test_layers_are_chosen_by_name_and_pattern(data: Any) -> None:
    for layers, expected in ((["dense_7"], ["dense_7"]), (["dense_[79]"], ["dense_7", "dense_9"])):
        found = began(plain_mlp(), data, layers=layers).measure()
        assert list(areas(found)) == [NAME, *(f"{NAME}/{layer}" for layer in expected)]


@pytest.mark.parametrize(("build", "n_images"), [(masked_mlp, 500), (convolutional, 300)])
def test_the_number_of_images_is_for_the_kind_of_network(build: Any, n_images: int) -> None:
    labels = np.arange(600) % N_CLASSES
    reliance = SingleDirectionReliance(np.zeros((600, 6, 6, 1), np.float32), labels)
    reliance.set_model(build())
    reliance.on_train_begin()
    assert len(reliance._sample.labels) == n_images


@pytest.mark.parametrize("n", [1, 7, 40, 99, 100, 1000])
def test_a_sample_holds_each_class_in_its_proportion(n: int, rng: Any) -> None:
    labels = rng.permutation(np.repeat([0, 1, 2, 5], [50, 30, 19, 1]))
    chosen = stratified(labels, n, rng)
    assert len(set(chosen)) == len(chosen) == min(n, 100)
    shares = np.bincount(labels[chosen], minlength=6) - np.bincount(labels, minlength=6) * (
        len(chosen) / 100
    )
    assert np.abs(shares).max() <= 1


# --- What it leaves behind --------------------------------------------------------------------


def trained(
    build: Callable[[], keras.Model], data: Any, callbacks: list[Any], jit: bool | str
) -> list[np.ndarray]:
    """All the state of a training of three epochs, shuffled by Keras."""
    keras.utils.set_random_seed(11)
    model = build()
    from_logits = model.layers[-1].activation is not keras.activations.softmax
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=jit)
    history = model.fit(*data, epochs=3, batch_size=32, verbose=0, callbacks=callbacks)
    state = [np.array(variable) for variable in [*model.variables, *model.optimizer.variables]]
    return [*state, np.array(history.history["loss"])]


@pytest.mark.parametrize(
    ("build", "jit"),
    [(masked_mlp, False), (convolutional, False), (half, False), (branching, "auto")],
)
def test_training_is_the_same_bit_for_bit(
    build: Callable[[], keras.Model], jit: bool | str, data: Any
) -> None:
    """With dropout, batch normalization and Keras's own shuffling, which draw or remember; in half
    precision; with branches, and compiled as Keras does by default. On JAX: test_study_backends."""
    reliance = SingleDirectionReliance(*data, n_images=30, orders=2, points=3)
    without, with_it = (trained(build, data, some, jit) for some in ([], [reliance]))
    assert len(reliance.seconds) == 3
    assert all(a.tobytes() == b.tobytes() for a, b in zip(without, with_it, strict=True))


def test_no_random_state_is_touched(data: Any) -> None:
    keras.utils.set_random_seed(3)
    model = convolutional()
    before = random.getstate(), np.random.get_state()
    began(model, data).measure()
    assert random.getstate() == before[0]
    after = np.random.get_state()
    assert all(np.array_equal(a, b) for a, b in zip(after, before[1], strict=True))


# --- In Keras's company -----------------------------------------------------------------------


def test_other_callbacks_read_the_logs(data: Any, tmp_path: Path) -> None:
    model = masked_mlp()
    data = own_answers(model, data[0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False)
    stop = keras.callbacks.EarlyStopping(monitor=NAME, mode="max", patience=9)
    history = model.fit(
        *data,
        epochs=3,
        verbose=0,
        callbacks=[
            repro.SingleDirectionReliance(*data, every=2, n_images=40),
            stop,
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            keras.callbacks.ModelCheckpoint(
                tmp_path / "{epoch}-{normalized_auc:.6f}.keras", monitor=NAME, mode="max"
            ),
            keras.callbacks.TensorBoard(tmp_path / "tb"),
        ],
    ).history
    values = history[NAME]
    assert len(values) == 3 and values[0] == values[1] != values[2]  # the second epoch repeats
    assert stop.best == max(values)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row[NAME]) for row in rows] == pytest.approx(values)
    assert {f"{NAME}/hidden_1", f"{NAME}/hidden_2"} < set(rows[0])
    saved = {path.stem for path in tmp_path.glob("*.keras")}
    assert saved == {f"{epoch}-{value:.6f}" for epoch, value in enumerate(values, 1)}
    assert scalars(tmp_path / "tb" / "train", f"epoch_{NAME}") == pytest.approx(values)


def test_a_training_is_stopped_when_the_area_no_longer_grows(data: Any) -> None:
    """Here because nothing is learnt: the second epoch is no better than the first."""
    model = masked_mlp()
    data = own_answers(model, data[0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
    stop = keras.callbacks.EarlyStopping(monitor=NAME, mode="max", patience=1)
    reliance = SingleDirectionReliance(*data, n_images=40)
    history = model.fit(*data, epochs=5, verbose=0, callbacks=[reliance, stop]).history
    assert len(history[NAME]) == 2 and stop.stopped_epoch == 1
    assert history[NAME][0] == history[NAME][1] == stop.best > 0


def scalars(logdir: Path, tag: str) -> list[float]:
    """The values of one tag, by TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(logdir), size_guidance={"tensors": 0})
    events.Reload()
    return [float(make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]


def test_a_regularized_model_is_measured_too(data: Any) -> None:
    model = convolutional()
    data = own_answers(model, data[0])
    trainee = repro.SelectivityRegularized(model, -1.0)
    assert began(trainee, data).measure() == began(model, data).measure()


# --- What is wrong in a sentence --------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"every": 0}, "every must be a whole number, 1 or more; got 0"),
        ({"points": 1}, "points must be a whole number, 2 or more; got 1"),
        ({"orders": 0}, "orders must be a whole number, 1 or more"),
        ({"n_images": 0}, "n_images must be a whole number, 1 or more"),
        ({"n_images": 2.5}, "n_images must be a whole number, 1 or more; got 2.5"),
        ({"every": None}, "every must be a whole number, 1 or more; got None"),
        ({"seed": -1}, "seed must be a whole number, 0 or more; got -1"),
        ({"layers": []}, r"layers must name one hidden layer or more, got \[\]"),
        ({"layers": [0]}, "layers must be names of layers, patterns or layers of the model, got 0"),
        ({"labels": None}, "needs labels, and the data hold none"),
    ],
)
def test_arguments_are_checked(settings: dict[str, Any], sentence: str, data: Any) -> None:
    images, labels = data
    with pytest.raises(ValueError, match=sentence):
        SingleDirectionReliance(images, **({"labels": labels} | settings))


def test_what_does_not_fit_the_model_is_said_when_training_begins(data: Any) -> None:
    images, labels = data
    with pytest.raises(ValueError, match="labels must be 0 to 3"):
        began(masked_mlp(), (images, labels + 1))
    with pytest.raises(ValueError, match="images must have shape"):
        began(masked_mlp(), (images[:, 1:], labels))
    with pytest.raises(ValueError, match="no masked layer fits 'conv'"):
        began(masked_mlp(), data, layers=["conv"])
    with pytest.raises(ValueError, match="needs a classifier with one output"):
        began(two_heads(), (images, labels))
