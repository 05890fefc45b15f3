"""What a user brings as a model: taken as the network that it is, or refused with a cure.

Each cure that a sentence names is tried here.
"""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import repro
from repro.models import trial
from repro.models.accepted import accepted
from tests.helpers import plain
from tests.helpers.small import IMAGES, answers, legacy_h5, network


def sentence(thing: Any, entry: str = "repro.lesion", **options: Any) -> str:
    with pytest.raises(ValueError) as caught:
        accepted(thing, entry, **options)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 700 and entry.split("(")[0] in said or "is not" in said
    return said


def test_a_model_whose_layers_can_be_seen_is_taken_itself() -> None:
    model = network()
    assert accepted(model, "repro.lesion") is model
    functional = keras.Model(model.inputs, model.outputs)
    assert accepted(functional, "repro.lesion") is functional


def test_a_path_is_loaded_or_where_a_model_is_trained_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "attempt", lambda path: None)  # its process is tried in test_trial
    model, path = network(), tmp_path / "model.keras"
    model.save(path)
    for given in (path, str(path)):
        np.testing.assert_array_equal(answers(accepted(given, "repro.lesion")), answers(model))
    assert f"pass repro.load_model({str(path)!r})" in sentence(path, "the callback", load=False)
    with pytest.raises(FileNotFoundError):
        accepted(tmp_path / "none.keras", "repro.lesion")
    assert [row.layer for row in repro.hidden_layers(str(path)) if row.masked] == ["hidden"]
    np.testing.assert_array_equal(answers(repro.insert_masks(path)), answers(model))


# --- Keras 2 ----------------------------------------------------------------------------------


class OldBase:
    def __init__(self, weights: Any) -> None:
        self.weights_held = weights

    def get_weights(self) -> Any:
        return self.weights_held


OldBase.__module__ = "tf_keras.src.engine.training"
Sequential = type("Sequential", (OldBase,), {"__module__": "tf_keras.src.engine.sequential"})
# Keras 2 called `keras`, as it was before it was called tf_keras.
OlderBase = type("Model", (OldBase,), {"__module__": "keras.engine.training"})
MyModel = type("MyModel", (Sequential,), {"__module__": "train"})


@pytest.mark.parametrize("kind", [Sequential, OlderBase, MyModel])
@pytest.mark.parametrize(
    "entry",
    [
        lambda thing: accepted(thing, "repro.lesion"),
        repro.insert_masks,
        repro.hidden_layers,
        lambda thing: repro.ablate(thing, {"hidden": [0]}),
        repro.restore,
    ],
)
def test_a_model_of_keras_2_is_told_as_such(kind: Any, entry: Any) -> None:
    """gmalivenko/onnx2keras#181: TF_USE_LEGACY_KERAS."""
    old = kind(network().get_weights())
    with pytest.raises(ValueError, match=r"a \w+ of tf_keras \(Keras 2\)") as caught:
        entry(old)
    assert "keras.models.load_model('model.h5', compile=False)" in str(caught.value)
    assert "new.set_weights(old.get_weights())" in str(caught.value)


def test_the_cures_for_a_model_of_keras_2_work(tmp_path: Path) -> None:
    model, new = network(), network("new")
    for weight in new.weights:
        weight.assign(np.zeros(weight.shape))
    new.set_weights(Sequential(model.get_weights()).get_weights())
    np.testing.assert_array_equal(answers(new), answers(model))
    legacy_h5(model, tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5", compile=False)
    np.testing.assert_array_equal(answers(repro.insert_masks(loaded)), answers(model))


# --- What is around a model -------------------------------------------------------------------


class Trainer:
    """A trainer of the user's own, which is no model."""

    def __init__(self, model: Any) -> None:
        self.steps = 3
        self.net = model


class Hidden:
    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def model(self) -> Any:
        return self._model


@pytest.mark.parametrize(
    ("wrap", "cure"),
    [
        (Trainer, "a Trainer around a model; pass that model: model.net"),
        (Hidden, "pass that model: model.model"),
        (lambda model: {"encoder": 3, "net": model}, "pass that model: model['net']"),
        (lambda model: [model, 2], "pass that model: model[0]"),
        (lambda model: (2, model), "pass that model: model[1]"),
        (lambda model: SimpleNamespace(best=model), "pass that model: model.best"),
    ],
)
def test_where_a_model_is_held_is_named(wrap: Any, cure: str) -> None:
    """tensorflow#47248, tf-keras#355: a trainer class around a network."""
    held = network()
    said = sentence(wrap(held))
    assert cure in said
    expression = said.split("pass that model: ")[1]
    assert eval(expression, {"model": wrap(held)}) is held  # noqa: S307


class Torch:
    pass


Torch.__module__ = "torch.nn.modules.module"
Estimator = type("MLPClassifier", (), {"__module__": "sklearn.neural_network._multilayer"})
Net = type("Net", (Torch,), {"__module__": "__main__"})
Restored = type("_UserObject", (), {"__module__": "tensorflow.python.saved_model.load"})
FlaxModule = type("MLP", (type("Module", (), {"__module__": "flax.linen.module"}),), {})


def build() -> Any:
    return network()


OTHERS: list[tuple[Any, str, str]] = [
    (build, "the function build", r"pass what it returns, build\(\)"),
    (functools.partial(build), "the function partial", "pass what it returns"),
    (keras.Model, "the class Model", "make a model of it"),
    (Net(), "a Net of PyTorch", "KERAS_BACKEND=torch"),
    (Estimator(), "a MLPClassifier of scikit-learn", "coefs_ and intercepts_"),
    (Restored(), "a _UserObject of TensorFlow, as of a SavedModel", r"model.save\('model.keras'\)"),
    (FlaxModule(), "a MLP of another library on JAX", "KERAS_BACKEND=jax"),
    (None, "None", "must return it"),
    (3, "an int", "pass a keras.Model"),
    (b"model.keras", "a bytes", "the path of a .keras file"),
    (L.Dense(3, name="alone"), "a layer, 'alone'", r"keras.Sequential\(\[keras.Input\(shape\)"),
    (keras.Input((3,)), "a symbolic tensor", r"keras.Model\(inputs, outputs\)"),
]


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_what_is_no_model_is_named_with_what_to_pass(number: int) -> None:
    thing, what, cure = OTHERS[number]
    said = sentence(thing)
    assert f"got {what}" in said
    with pytest.raises(ValueError, match=cure):
        repro.insert_masks(thing)
    with pytest.raises(ValueError, match=cure):
        repro.ablate(thing, {"hidden": [0]})


def test_a_keras_function_becomes_a_model_as_its_sentence_says() -> None:
    model = network()
    function = keras.Function(model.inputs, model.outputs)
    assert "keras.Model(function.inputs, function.outputs)" in sentence(function)
    cured = keras.Model(function.inputs, function.outputs)
    np.testing.assert_array_equal(answers(repro.insert_masks(cured), [IMAGES]), answers(model))


# --- Models that are not built ----------------------------------------------------------------


@pytest.mark.parametrize(
    "cure",
    [
        lambda model: model.build((None, 4)),
        lambda model: model(IMAGES),
        lambda model: (
            model.insert(0, keras.Input((4,))) if hasattr(model, "insert") else model(IMAGES)
        ),
    ],
)
def test_a_sequential_without_input_is_refused_until_it_is_built(cure: Any) -> None:
    """keras-grad-cam#21, keras#2495: Sequential without Input."""
    model = keras.Sequential([L.Dense(6, "relu"), L.Dense(3)])
    said = sentence(model)
    assert "is not built" in said and "keras.Input(shape)" in said and "model.build(" in said
    with pytest.raises(ValueError, match="is not built"):
        repro.insert_masks(model)
    cure(model)
    np.testing.assert_array_equal(answers(repro.insert_masks(model)), answers(model))


# --- Subclassed models ------------------------------------------------------------------------


class Own(keras.Model):
    """Layers and functions of Keras alone."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = L.Dense(6, "relu", name="first")
        self.norm = L.BatchNormalization(name="norm")
        self.drop = L.Dropout(0.5, name="drop")
        self.second = L.Dense(5, name="second")
        self.last = L.Dense(3, name="last")

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = self.drop(self.norm(self.first(x), training=training), training=training)
        return self.last(ops.relu(self.second(x)) + ops.mean(x, axis=1, keepdims=True))


class Plain(keras.Model):
    """A call without the argument `training`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = L.Dense(6, "relu", name="first")
        self.second = L.Dense(6, name="second")
        self.last = L.Dense(3, name="last")

    def call(self, x: Any) -> Any:
        return self.last(ops.relu(self.second(self.first(x))))


class Stated(Own):
    def call(self, x: Any, training: bool = True) -> Any:
        return super().call(x, training)


class Demanding(Own):
    def call(self, x: Any, training: bool) -> Any:
        return super().call(x, training)


class Around(keras.Model):
    """A trainer class that is a model itself."""

    def __init__(self, net: Any) -> None:
        super().__init__(name="around")
        self.net = net

    def call(self, x: Any) -> Any:
        return self.net(x)


class OfOnes(keras.Model):
    """Weights of its own."""

    def build(self, shape: Any) -> None:
        self.matrix = self.add_weight(shape=(shape[-1], 5), name="matrix")
        self.layer = L.Dense(3, name="last")
        self.layer.build((None, 5))

    def call(self, x: Any) -> Any:
        return self.layer(ops.relu(ops.matmul(x, self.matrix)))


def called(model: Any) -> Any:
    model(IMAGES[:2], **({"training": False} if isinstance(model, Demanding) else {}))
    plain.randomise(model, np.random.default_rng(4))
    return model


@pytest.mark.parametrize("kind", [Own, Plain, Stated, Demanding, OfOnes])
def test_a_subclassed_model_that_applies_layers_is_written_out(kind: Any) -> None:
    """tensorflow#47248: `keras.Model(x, model.call(x))` is the same network."""
    model = called(kind())
    written = accepted(model, "repro.lesion")
    assert written.name == model.name
    np.testing.assert_allclose(
        written.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), rtol=1e-6, atol=1e-6
    )
    assert {id(w) for w in written.weights} <= {id(w) for w in model.weights}
    masked = repro.insert_masks(model)
    rows = [row.layer for row in repro.hidden_layers(model) if row.masked]
    assert rows == [mask.name.removesuffix("_mask") for mask in repro.ablation_masks(masked)]
    assert rows
    np.testing.assert_allclose(answers(masked), answers(model), rtol=1e-6, atol=1e-6)


def test_a_lesion_in_a_subclassed_model_is_that_of_its_own_layer() -> None:
    model = called(Plain())
    masked = repro.insert_masks(model)
    repro.ablate(masked, {"first": [1, 3]})
    kernel, bias = model.first.get_weights()
    hidden = np.maximum(IMAGES @ kernel + bias, 0)
    hidden[:, [1, 3]] = 0
    expected = ops.convert_to_numpy(model.last(ops.relu(model.second(hidden))))
    np.testing.assert_allclose(answers(masked), expected, rtol=1e-5, atol=1e-6)


def test_a_trainer_class_that_is_a_model_is_the_network_that_it_calls() -> None:
    """tf-keras#355: a trainer class around a functional network."""
    inner = network()
    model = Around(inner)
    model(IMAGES[:1])
    masked = repro.insert_masks(model)
    assert [mask.name for mask in repro.ablation_masks(masked)] == ["hidden_mask"]
    assert masked.get_layer("hidden").kernel is inner.get_layer("hidden").kernel
    np.testing.assert_array_equal(answers(masked), answers(inner))


class Two(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = L.Dense(6, "relu", name="left"), L.Dense(6, "tanh", name="right")
        self.last = L.Dense(3, name="last")


class Named(Two):
    def call(self, x: Any) -> Any:
        return {"class": self.last(self.left(x["a"]) * self.right(x["b"]))}


class Listed(Two):
    def call(self, x: Any) -> Any:
        return [self.last(self.left(x[0]) * self.right(x[1]))]


@pytest.mark.parametrize(
    ("kind", "given"),
    [(Named, {"a": IMAGES, "b": IMAGES[:, :2]}), (Listed, [IMAGES, IMAGES[:, :2]])],
)
def test_a_subclassed_model_of_several_inputs_is_written_out(kind: Any, given: Any) -> None:
    model = kind()
    model(given)
    masked = repro.insert_masks(model)
    assert len(repro.ablation_masks(masked)) == 2
    (found,), (expected,) = (
        keras.tree.flatten(one(given, training=False)) for one in (masked, model)
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(expected))


def test_a_subclassed_model_that_was_not_called_is_refused_until_it_is() -> None:
    model = Own()
    said = sentence(model)
    assert "was not called yet; call it on some images first, model(images[:1])" in said
    model(IMAGES[:1])
    assert repro.ablation_masks(repro.insert_masks(model))
    other = Own()
    x = keras.Input((4,))
    assert "keras.Model(x, model.call(x)) with x = keras.Input(shape)" in said
    assert repro.ablation_masks(repro.insert_masks(keras.Model(x, other.call(x))))


class Chance(Plain):
    def call(self, x: Any) -> Any:
        return self.last(self.second(self.first(x)) + keras.random.normal((6,)))


class Deciding(Plain):
    """What it computes depends on the values."""

    def call(self, x: Any) -> Any:
        if ops.convert_to_numpy(x).mean() > 0:
            return super().call(x)
        return -super().call(x)


class Counting(Plain):
    """What it computes depends on whether it is given images or a symbolic tensor."""

    def call(self, x: Any) -> Any:
        factor = 1.0 if x.shape[0] is None else float(x.shape[0])
        return self.last(self.second(self.first(x)) * factor)


class Outside(Plain):
    """NumPy in its middle."""

    def call(self, x: Any) -> Any:
        return self.last(np.tanh(np.asarray(self.second(self.first(x)))))


@pytest.mark.parametrize("kind", [Chance, Deciding, Counting, Outside])
def test_a_subclassed_model_that_would_be_another_network_is_refused(kind: Any) -> None:
    model = called(kind())
    before = answers(model) if kind is not Chance else None
    said = sentence(model)
    assert "cannot be written out as keras.Model(x, model.call(x)): " in said
    assert "keras.Model(inputs, outputs)" in said
    if before is not None:
        np.testing.assert_array_equal(answers(model), before)


def test_a_trainer_class_that_cannot_be_written_out_names_its_networks() -> None:
    """A GAN, or a contrastive learner: it is called on what its networks are not."""

    class Gan(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.generator, self.critic = network("generator"), network("critic")

        def call(self, x: Any) -> Any:
            return np.asarray(self.critic(x))

    model = Gan()
    assert "pass a network that it holds, model.generator or model.critic" in sentence(model)
    model(IMAGES)
    assert "or pass a network that it holds, model.generator or model.critic" in sentence(model)
    assert accepted(model.critic, "repro.lesion") is model.critic


# --- A batch size that nobody asked for --------------------------------------------------------

POINTS = np.random.default_rng(5).normal(size=(70, 4)).astype("float32")
CLASSES = np.arange(70) % 3


def without_input(use: Any) -> Any:
    """A Sequential without an Input, compiled and built by its first use."""
    keras.utils.set_random_seed(6)
    model = keras.Sequential([L.Dense(6, "relu", name="hidden"), L.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    use(model)
    return model


def fitted(model: Any) -> Any:
    return model.fit(POINTS[:64], CLASSES[:64], verbose=0)


def read_again(model: Any, path: Path) -> Any:
    model.save(path)
    return keras.models.load_model(path)


USES: dict[str, Any] = {
    "fit": fitted,
    "predict": lambda model: model.predict(POINTS[:64], verbose=0),
    "train_on_batch": lambda model: model.train_on_batch(POINTS[:8], CLASSES[:8]),
    "build": lambda model: model.build(POINTS.shape),
    "call": lambda model: model(POINTS[:5]),
}


@pytest.mark.parametrize("use", list(USES))
def test_a_sequential_whose_batch_size_keras_has_fixed_takes_any(use: str) -> None:
    """The first use fixes the size of a batch for a Sequential without an Input."""
    model = without_input(USES[use])
    assert model.inputs[0].shape[0] is not None
    masked = repro.insert_masks(model)
    repro.ablate(masked, {"hidden": [2]})
    with plain.without_unit(model.layers[0], 2):
        expected = answers(model, POINTS)
    engine = repro.Engine(repro.insert_masks(model), POINTS, CLASSES)
    outcome = engine.evaluate((np.arange(6) != 2)[None])
    plain.assert_lesion_equals(outcome, 0, plain.counts(expected, CLASSES, probabilities=True))
    np.testing.assert_allclose(answers(masked, POINTS), expected, atol=1e-6)


def test_every_entry_takes_a_sequential_whose_batch_size_keras_has_fixed(tmp_path: Path) -> None:
    """lesion, after saving and loading and nested; recover, the regularizer, the callback."""
    model = without_input(fitted)
    accuracy = float((answers(model, POINTS).argmax(axis=1) == CLASSES).mean())
    nested = keras.Sequential([without_input(fitted), L.Reshape((3,))])
    for one in (model, read_again(model, tmp_path / "m.keras"), nested):
        assert repro.lesion(one, POINTS, CLASSES).intact.accuracy == pytest.approx(accuracy)
    found = repro.recover(model, {"hidden": [2]}, POINTS, CLASSES, control=False)
    assert found.intact.accuracy == pytest.approx(accuracy)
    less = repro.SelectivityRegularized(model, strength=-1.0)
    less.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    less.fit(POINTS, CLASSES, verbose=0)
    fresh = without_input(fitted)
    watched = repro.SingleDirectionReliance(POINTS, CLASSES)
    logs = fresh.fit(POINTS, CLASSES, verbose=0, callbacks=[watched]).history
    assert any("auc" in name for name in logs)


def test_a_batch_size_that_the_user_gave_is_refused() -> None:
    for start in (
        keras.Input((4,), batch_size=8),
        keras.Input(batch_shape=(8, 4)),
        L.InputLayer(batch_shape=(8, 4)),
    ):
        given = keras.Sequential([start, L.Dense(6, "relu"), L.Dense(3)])
        for model in (given, keras.Sequential([given, L.Dense(3)])):
            with pytest.raises(ValueError, match="batches of 8 images and no others"):
                repro.lesion(model, POINTS, CLASSES)
