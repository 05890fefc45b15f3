"""The selectivity regularizer against NumPy, image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from repro.core import metrics
from repro.training.regularizers import (
    EPSILON,
    SelectivityLoss,
    SelectivityRegularized,
    mean_selectivity,
)


def by_hand(labels: np.ndarray, activations: np.ndarray) -> float:
    """In plain loops, float64."""
    values = []
    for unit in range(activations.shape[-1]):
        means = []
        for c in sorted(set(labels.tolist())):
            of_class = [
                float(np.mean(activations[n, ..., unit], dtype=np.float64))
                for n in range(len(labels))
                if labels[n] == c
            ]
            means.append(sum(of_class) / len(of_class))
        largest = max(means)
        means.remove(largest)
        rest = sum(means) / len(means)
        values.append((largest - rest) / (largest + rest + EPSILON))
    return sum(values) / len(values)


@pytest.mark.parametrize("shape", [(40, 6), (40, 3, 3, 6)], ids=["dense", "maps"])
def test_it_is_the_mean_selectivity_of_the_units(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    activations = np.maximum(rng.normal(size=shape), 0).astype(np.float32)
    activations[..., 4] = 0  # silent
    labels = rng.choice([0, 1, 2, 4], 40)  # of classes 0 to 5
    found = float(mean_selectivity(labels, activations, 6))
    assert found == pytest.approx(by_hand(labels, activations), rel=1e-5)


def test_without_absent_classes_it_is_the_metric_of_the_report(rng: np.random.Generator) -> None:
    activations = np.maximum(rng.normal(size=(30, 5)), 0).astype(np.float32)
    labels = np.arange(30) % 3
    means = np.stack([activations[labels == c].mean(axis=0) for c in range(3)])
    expected = metrics.class_selectivity(means).mean()
    assert float(mean_selectivity(labels, activations, 3)) == pytest.approx(expected, rel=1e-5)


def test_of_one_class_nothing_can_be_told(rng: np.random.Generator) -> None:
    activations = rng.random((8, 5), dtype=np.float32)
    assert float(mean_selectivity(np.full(8, 2), activations, 4)) == 0


def test_the_loss_takes_labels_as_keras_gives_them_and_half_precision(
    rng: np.random.Generator,
) -> None:
    activations = rng.random((40, 2, 2, 3), dtype=np.float32).astype(np.float16)
    labels = np.arange(40) % 4
    loss = SelectivityLoss(-2.0, 4)
    found = float(loss(labels[:, None].astype(np.float32), activations))
    assert found == pytest.approx(2 * by_hand(labels, activations.astype(np.float32)), rel=2e-3)
    again = SelectivityLoss.from_config(loss.get_config())
    assert float(again(labels, activations)) == pytest.approx(found, rel=2e-3)


def test_gradients_are_finite_and_point_to_less_selective_units(rng: np.random.Generator) -> None:
    import tensorflow as tf

    values = rng.normal(size=(30, 4)).astype(np.float32)
    values[:, 1] = -1  # silent
    labels, inputs = np.arange(30) % 3, tf.Variable(values)
    with tf.GradientTape() as tape:
        before = SelectivityLoss(-1.0, 3)(labels, keras.ops.relu(inputs))
    gradient = np.asarray(tape.gradient(before, inputs))
    assert np.all(np.isfinite(gradient)) and np.all(gradient[:, 1] == 0)
    less = float(mean_selectivity(labels, np.maximum(values - 0.5 * gradient, 0), 3))
    assert less < float(before) and keras.ops.ndim(before) == 0


# --- On any model -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def glyphs() -> tuple[np.ndarray, np.ndarray]:
    """120 images of 5 x 5 in four classes, each with a bright pixel of its own, and noise."""
    values = np.random.default_rng(12)
    labels = (np.arange(120) % 4).astype(np.int32)
    images = values.random((120, 5, 5, 1), dtype=np.float32)
    images[np.arange(120), labels, 2] += 0.7
    return images, labels


def classifier(seed: int = 4) -> keras.Model:
    """A small convolutional network without masks."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Conv2D(6, 3, activation="relu", name="conv"),
        keras.layers.Flatten(),
        keras.layers.Dense(16, activation="relu", name="dense"),
        keras.layers.Dense(4, name="logits"),
    ]
    return keras.Sequential([keras.Input((5, 5, 1)), *layers])


def fitted(trainee: keras.Model, images: np.ndarray, labels: np.ndarray, loss: Any) -> Any:
    trainee.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], jit_compile=False)
    return trainee.fit(images, labels, batch_size=40, epochs=15, shuffle=False, verbose=0)


CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def without(glyphs: Any) -> keras.Model:
    """Trained without the regularizer."""
    model = classifier()
    fitted(model, *glyphs, CROSS_ENTROPY)
    return model


def selectivity_of(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """Apart from the regularizer: by the report's metric, layer by layer, on the model itself."""
    layers = [model.get_layer(name).output for name in ("conv", "dense")]
    found = []
    for activations in keras.Model(model.inputs[0], layers)(images):
        values = np.array(activations).reshape(len(images), -1, activations.shape[-1])
        means = np.stack([values[labels == c].mean(axis=(0, 1)) for c in range(4)])
        found.append(metrics.class_selectivity(means).mean())
    return float(np.mean(found))


@pytest.mark.parametrize(("strength", "least"), [(-2.0, 0.08), (1.0, 0.01)])
def test_one_line_makes_any_model_less_or_more_selective(
    strength: float, least: float, without: keras.Model, glyphs: Any
) -> None:
    model = classifier()
    fitted(SelectivityRegularized(model, strength), *glyphs, CROSS_ENTROPY)
    change = selectivity_of(model, *glyphs) - selectivity_of(without, *glyphs)
    assert change * np.sign(strength) > least  # -0.13 and 0.03 where this was written; 0.19 without


def test_the_loss_of_training_is_the_papers_and_that_of_evaluation_is_plain(glyphs: Any) -> None:
    images, labels = glyphs
    model = classifier()
    trainee = SelectivityRegularized(model, 3.0, layers=["dense"])
    trainee.compile(keras.optimizers.SGD(0.0), CROSS_ENTROPY, jit_compile=False)
    logs = trainee.fit(images, labels, batch_size=120, verbose=0, shuffle=False).history
    hidden = keras.Model(model.inputs[0], model.get_layer("dense").output)(images)
    selectivity = by_hand(labels, np.array(hidden))
    cross_entropy = float(CROSS_ENTROPY(labels, model(images)))
    assert logs["selectivity"][0] == pytest.approx(selectivity, rel=1e-5)
    assert logs["loss"][0] == pytest.approx(cross_entropy - 3.0 * selectivity, rel=1e-5)
    evaluated = trainee.evaluate(images, labels, batch_size=120, verbose=0, return_dict=True)
    assert evaluated["loss"] == pytest.approx(cross_entropy, rel=1e-5)
    assert evaluated["selectivity"] == pytest.approx(selectivity, rel=1e-5)


def test_labels_may_be_one_hot(glyphs: Any) -> None:
    images, labels = glyphs
    found = []
    for given, loss in (
        (labels, CROSS_ENTROPY),
        (np.eye(4, dtype="float32")[labels], keras.losses.CategoricalCrossentropy(True)),
    ):
        trainee = SelectivityRegularized(classifier(), -1.0)
        trainee.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
        found.append(trainee.evaluate(images, given, verbose=0, return_dict=True)["selectivity"])
    assert found[0] == pytest.approx(found[1], rel=1e-6) and found[0] > 0


@pytest.mark.parametrize("strength", ["less", None, float("nan")])
def test_a_strength_that_is_no_number_is_refused(strength: Any) -> None:
    with pytest.raises(ValueError, match="^strength must be a finite number, got "):
        SelectivityRegularized(classifier(), strength)


def test_a_model_of_two_outputs_is_refused() -> None:
    images = keras.Input((4,))
    x = keras.layers.Dense(3, "relu")(images)
    model = keras.Model(images, [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])
    with pytest.raises(ValueError, match="one output"):
        SelectivityRegularized(model, -1.0)


def test_activations_that_can_be_negative_are_refused_by_the_names_of_their_layers(
    glyphs: Any,
) -> None:
    layers = [
        keras.layers.Dense(6, activation="tanh", name="first"),
        keras.layers.Dense(6, activation="relu", name="second"),
        keras.layers.Dense(6, activation="gelu", name="third"),
        keras.layers.Dense(4),
    ]
    model = keras.Sequential([keras.Input((5, 5, 1)), keras.layers.Flatten(), *layers])
    with pytest.raises(
        ValueError, match=r"after first \(tanh\), third \(gelu\); name other layers"
    ):
        SelectivityRegularized(model, -1.0)
    assert SelectivityRegularized(model, -1.0, layers=["second"])(glyphs[0]).shape == (120, 4)


# --- What users bring ---------------------------------------------------------------------------


def binary(ending: str | None = None) -> keras.Model:
    keras.utils.set_random_seed(4)
    layers = [keras.layers.Dense(16, "relu", name="dense"), keras.layers.Dense(1, ending)]
    return keras.Sequential([keras.Input((5, 5, 1)), keras.layers.Flatten(), *layers])


@pytest.mark.parametrize("ending", [None, "sigmoid"])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_head_of_one_number_has_two_classes(
    ending: str | None, shape: tuple[int, ...], glyphs: Any
) -> None:
    """keisen/tf-keras-vis#78, #84; sicara/tf-explain#73: the penalty was always 0."""
    images, labels = glyphs[0], (glyphs[1] % 2).reshape(shape)
    model = binary(ending)
    trainee = SelectivityRegularized(model, 2.0)
    assert trainee.n_classes == 2
    loss = keras.losses.BinaryCrossentropy(from_logits=ending is None)
    trainee.compile(keras.optimizers.SGD(0.0), loss, jit_compile=False)
    logs = trainee.fit(images, labels, batch_size=120, verbose=0, shuffle=False).history
    hidden = np.array(keras.Model(model.inputs[0], model.get_layer("dense").output)(images))
    selectivity = by_hand(labels.reshape(-1), hidden)
    assert logs["selectivity"][0] == pytest.approx(selectivity, rel=1e-5) and selectivity > 0
    plain = float(loss(labels.reshape(-1, 1).astype(np.float32), model(images)))
    assert logs["loss"][0] == pytest.approx(plain - 2.0 * selectivity, rel=1e-4)


def test_a_head_of_one_number_is_made_less_selective(glyphs: Any) -> None:
    images, labels = glyphs[0], glyphs[1] % 2
    found = []
    for strength in (0.0, -5.0):
        trainee = SelectivityRegularized(binary(), strength)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        found.append(fitted(trainee, images, labels, loss).history["selectivity"][-1])
    assert found[1] < 0.7 * found[0]


def test_several_inputs_and_a_dict_of_one_output(glyphs: Any) -> None:
    """keras-team/keras#18959, #21513."""
    images, labels = glyphs
    left, right = keras.Input((5, 2, 1), name="left"), keras.Input((5, 3, 1), name="right")
    x = keras.layers.Flatten()(keras.layers.Concatenate(axis=2)([left, right]))
    x = keras.layers.Dense(9, "relu", name="dense")(x)
    model = keras.Model(
        {"left": left, "right": right}, {"class": keras.layers.Dense(4, name="scores")(x)}
    )
    given = {"left": images[:, :, :2], "right": images[:, :, 2:]}
    trainee = SelectivityRegularized(model, -1.0)
    trainee.compile(keras.optimizers.SGD(0.0), {"class": CROSS_ENTROPY}, jit_compile=False)
    logs = trainee.fit(given, {"class": labels}, batch_size=120, verbose=0).history
    hidden = np.array(keras.Model(model.input, model.get_layer("dense").output)(given))
    assert logs["selectivity"][0] == pytest.approx(by_hand(labels, hidden), rel=1e-5)


def test_what_has_no_classes_is_refused_before_anything_is_trained(glyphs: Any) -> None:
    """keras-team/autokeras#1524 (a regression), albermax/innvestigate#318 (several labels)."""
    images, labels = glyphs
    several = classifier()
    several.layers[-1].activation = keras.activations.sigmoid
    with pytest.raises(
        ValueError, match="SelectivityRegularized needs.* each of 4 labels; class selec"
    ):
        SelectivityRegularized(several, -1.0)
    tagged = SelectivityRegularized(classifier(), -1.0)
    with pytest.raises(ValueError, match="answers yes or no for each of 4 labels"):
        tagged.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    number = SelectivityRegularized(binary(), -1.0)
    with pytest.raises(ValueError, match="gives one number and .* as in a regression; class selec"):
        number.compile("sgd", "mse")
    number.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    before = number.network.get_weights()
    with pytest.raises(ValueError, match="trained on labels other than 0 and 1"):
        number.fit(images, images.mean(axis=(1, 2, 3)), verbose=0)
    scores = SelectivityRegularized(classifier(), -1.0)
    scores.compile("sgd", keras.losses.CategoricalCrossentropy(True), jit_compile=False)
    with pytest.raises(ValueError, match="labels are fractions or numbers, not one class"):
        scores.fit(images, np.full((120, 4), 0.25), verbose=0)
    assert all(
        np.array_equal(a, b) for a, b in zip(before, number.network.get_weights(), strict=True)
    )


def test_a_penalty_that_is_always_0_ends_the_training(glyphs: Any) -> None:
    """Batches of one class each, and of one image; the cure of the sentence works."""
    images, labels = glyphs
    order = np.argsort(labels, kind="stable")
    trainee = SelectivityRegularized(classifier(), -1.0)
    trainee.compile("sgd", CROSS_ENTROPY, jit_compile=False)
    sentence = "was 0 in .*; shuffle the images, or take larger batches"
    with pytest.raises(ValueError, match=sentence):
        trainee.fit(images[order], labels[order], batch_size=30, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match=sentence):
        trainee.fit(images, labels, batch_size=1, verbose=0)
    logs = trainee.fit(images[order], labels[order], batch_size=30, verbose=0).history
    assert logs["selectivity"][0] > 0
    trainee = SelectivityRegularized(classifier(), 0.0)
    trainee.compile("sgd", CROSS_ENTROPY, jit_compile=False)
    trainee.fit(images, labels, batch_size=1, verbose=0)  # without a penalty all is well


def test_callbacks_of_the_user_are_called_in_any_form(glyphs: Any) -> None:
    calls: list[int] = []

    class Counts(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            calls.append(epoch)

    for form in ("one", "list", "tuple", "as Keras holds them"):
        trainee = SelectivityRegularized(classifier(), -1.0)
        trainee.compile("sgd", CROSS_ENTROPY, jit_compile=False)
        forms: dict[str, Any] = {"one": Counts(), "list": [Counts()], "tuple": (Counts(),)}
        held = keras.callbacks.CallbackList([Counts()], add_history=True, model=trainee)
        trainee.fit(*glyphs, 30, 2, 0, forms.get(form, held))
    assert calls == [0, 1] * 4


def test_checkpoints_hold_the_network_that_is_trained(glyphs: Any, tmp_path: Path) -> None:
    """A ModelCheckpoint of the whole model and one of weights; `save` and `clone_model`."""
    model = classifier()
    trainee = SelectivityRegularized(model, -1.0)
    trainee.compile("sgd", CROSS_ENTROPY, jit_compile=False)
    whole, weights = tmp_path / "whole.keras", tmp_path / "some.weights.h5"
    checkpoint = keras.callbacks.ModelCheckpoint
    both = [checkpoint(str(whole)), checkpoint(str(weights), save_weights_only=True)]
    trainee.fit(*glyphs, 60, 1, 0, both)
    trainee.save(tmp_path / "saved.keras")
    expected = model.predict(glyphs[0], verbose=0)
    for path in (whole, tmp_path / "saved.keras"):
        loaded = keras.models.load_model(path)
        assert type(loaded) is keras.Sequential
        assert np.array_equal(loaded.predict(glyphs[0], verbose=0), expected)
    again = SelectivityRegularized(classifier(5), -1.0)
    again(glyphs[0])
    again.load_weights(weights)
    assert np.allclose(again.network.predict(glyphs[0], verbose=0), expected, atol=1e-6)
    for refused in (keras.models.clone_model, lambda one: keras.saving.save_model(one, whole)):
        with pytest.raises(NotImplementedError, match="save or clone `model`, the network that"):
            refused(trainee)
