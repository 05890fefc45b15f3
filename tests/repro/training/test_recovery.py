"""Training on with a lesion held: what is held, what comes back, what is left alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import repro
from repro.models.insertion import insert_masks
from repro.models.masking import ablation_masks
from repro.training.recovery import Answers, Recovery, recover
from tests.helpers import plain
from tests.helpers.small import text_classifier

N_CLASSES, EPOCHS = 3, 4
LESION = {"hidden": [0, 1, 2, 4, 7, 8]}


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """150 points around three centres."""
    values = np.random.default_rng(8)
    labels = (np.arange(150) % N_CLASSES).astype(np.int32)
    centres = values.normal(0, 2, (N_CLASSES, 5))
    images = centres[labels] + values.normal(0, 1, (150, 5))
    return images.astype(np.float32), labels


@pytest.fixture(scope="module")
def model(data: Any) -> keras.Model:
    """A 5-10-3 classifier without masks that gives probabilities, trained."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(10, "relu", name="hidden"), keras.layers.Dense(3, "softmax")]
    classifier = keras.Sequential([keras.Input((5,)), *layers])
    classifier.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    classifier.fit(*data, epochs=15, verbose=0)
    return classifier


@pytest.fixture(scope="module")
def found(model: keras.Model, data: Any) -> Recovery:
    return repro.recover(model, LESION, *data, epochs=EPOCHS, fill=0.25)


def test_accuracies_are_those_of_plain_predictions(
    found: Recovery, model: keras.Model, data: Any
) -> None:
    images, labels = data

    def equals(answers: Answers, outputs: np.ndarray) -> None:
        expected = plain.counts(outputs, labels, probabilities=True)
        assert np.array_equal(answers.n_correct, expected.n_correct)
        assert np.array_equal(answers.n_images, [50, 50, 50])
        assert answers.loss == pytest.approx(expected.loss_sum / len(labels), rel=1e-5)
        assert answers.accuracy == expected.n_correct.sum() / 150
        assert np.array_equal(answers.class_accuracy, expected.n_correct / 50)

    equals(found.intact, model.predict(images, verbose=0))
    equals(found.recovered[-1], found.network.predict(images, verbose=0))
    # The lesion by hand: the hidden layer's output with columns overwritten.
    hidden = np.array(keras.Model(model.inputs[0], model.layers[0].output)(images))
    hidden[:, LESION["hidden"]] = 0.25
    equals(found.lesioned, np.array(model.layers[1](hidden)))


def test_the_lesion_costs_and_training_on_repairs_some_of_it(found: Recovery) -> None:
    assert found.lesioned.loss > found.recovered[-1].loss
    assert found.lesioned.accuracy < found.intact.accuracy
    assert len(found.recovered) == len(found.control) == EPOCHS
    lost = found.intact.accuracy - found.lesioned.accuracy
    regained = found.recovered[-1].accuracy - found.lesioned.accuracy
    assert found.share_regained == pytest.approx(regained / lost) and regained > 0


def test_the_lesion_is_held_to_the_bit(found: Recovery, data: Any) -> None:
    (mask,) = ablation_masks(found.network)
    ablated = np.isin(np.arange(10), LESION["hidden"])
    assert np.array_equal(np.array(mask.keep), 1.0 - ablated)
    activations = np.array(keras.Model(found.network.inputs[0], mask.output)(data[0]))
    assert np.all(activations[:, ablated] == 0.25)
    assert np.ptp(activations[:, ~ablated], axis=0).min() > 0
    assert found.units == {"hidden": tuple(LESION["hidden"])}


def test_the_model_itself_is_left_alone(model: keras.Model, data: Any) -> None:
    before = [weight.tobytes() for weight in model.get_weights()]
    recover(model, LESION, *data, epochs=1, control=False)
    assert [weight.tobytes() for weight in model.get_weights()] == before


def test_the_control_is_a_training_without_a_lesion(model: keras.Model, data: Any) -> None:
    """A lesion of nothing trains on as the control does, to the bit."""
    found = recover(model, {}, *data, epochs=2)
    assert [a.loss for a in found.recovered] == [a.loss for a in found.control]
    assert np.isnan(found.share_regained)


def test_images_that_are_held_out_are_asked(model: keras.Model, data: Any) -> None:
    images, labels = data
    keras_optimizer = keras.optimizers.Adam(1e-3)
    found = recover(
        model,
        {"hidden": [1]},
        images,
        labels,
        epochs=1,
        held_out=(images[:30], labels[:30]),
        optimizer=keras_optimizer,
        control=False,
    )
    assert found.recovered[0].n_images.sum() == 30 and found.control == ()
    assert isinstance(found.network.optimizer, keras.optimizers.Adam)
    assert not keras_optimizer.built  # its settings are used, its state is not


def test_a_lesion_that_was_not_held_is_an_error(
    model: keras.Model, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = keras.Model.fit

    def careless(network: keras.Model, *arguments: Any, **named: Any) -> Any:
        (mask,) = ablation_masks(network)
        mask.keep.assign(np.ones(10))
        return fit(network, *arguments, **named)

    monkeypatch.setattr(keras.Model, "fit", careless)
    with pytest.raises(RuntimeError, match="the lesion of hidden_mask was not held"):
        recover(model, LESION, *data, epochs=1, control=False)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 0}, "epochs must be a whole number, 1 or more; got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number, 1 or more; got 1.5"),
        ({"batch_size": None}, "batch_size must be a whole number, 1 or more; got None"),
        ({"seed": "x"}, "seed must be a whole number, 0 or more; got 'x'"),
        ({"units": {"hidden": [10]}}, "10"),
        ({"units": {"other": [0]}}, "other"),
        ({"labels": np.full(150, 3)}, "labels must be 0 to 2"),
        ({"images": np.zeros((150, 4))}, "images must have shape"),
    ],
)
def test_what_is_wrong_is_a_sentence(
    change: dict[str, Any], sentence: str, model: keras.Model, data: Any
) -> None:
    images, labels = data
    arguments = {"units": LESION, "images": images, "labels": labels, "epochs": 1} | change
    with pytest.raises(ValueError, match=sentence):
        recover(model, **arguments)


# --- What users bring ---------------------------------------------------------------------------


def fitted(network: keras.Model, loss: Any, images: Any, labels: Any) -> keras.Model:
    network.compile(keras.optimizers.Adam(0.03), loss, jit_compile=False)
    network.fit(images, labels, epochs=10, verbose=0)
    return network


def binary(ending: str | None) -> keras.Model:
    keras.utils.set_random_seed(4)
    layers = [keras.layers.Dense(10, "relu", name="hidden"), keras.layers.Dense(1, ending)]
    return keras.Sequential([keras.Input((5,)), *layers])


@pytest.mark.parametrize("ending", [None, "sigmoid"])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_head_of_one_number_is_two_classes(ending: str | None, shape: Any, data: Any) -> None:
    """keisen/tf-keras-vis#78, sicara/tf-explain#73, albermax/innvestigate#318."""
    images, labels = data[0], (data[1] == 1).astype(np.int32).reshape(shape)
    loss = keras.losses.BinaryCrossentropy(from_logits=ending is None)
    model = fitted(binary(ending), loss, images, labels)
    found = recover(model, {"hidden": [0, 1, 2, 4, 7]}, images, labels, epochs=2)
    for answers, network in ((found.intact, model), (found.recovered[-1], found.network)):
        outputs = network.predict(images, verbose=0)
        hits = (outputs[:, 0] > (0 if ending is None else 0.5)) == (data[1] == 1)
        assert answers.accuracy == hits.mean() and np.array_equal(answers.n_images, [100, 50])
        assert np.array_equal(
            answers.class_accuracy, [hits[data[1] != 1].mean(), hits[1::3].mean()]
        )
        expected = float(loss(labels.reshape(-1, 1).astype(np.float32), outputs))
        assert answers.loss == pytest.approx(expected, rel=1e-5)
    assert found.recovered[-1].loss < found.lesioned.loss


def test_labels_in_a_column_or_one_hot_are_the_same(model: keras.Model, data: Any) -> None:
    images, labels = data
    losses = [
        recover(model, LESION, images, given, epochs=1).recovered[0].loss
        for given in (labels, labels[:, None], np.eye(3)[labels], labels.astype(float))
    ]
    assert len(set(losses)) == 1


def test_several_inputs_and_a_dict_of_one_output(data: Any) -> None:
    """keras-team/keras#18959, #21513: the answer in a dict."""
    images, labels = data
    keras.utils.set_random_seed(6)
    left, right = keras.Input((2,), name="left"), keras.Input((3,), name="right")
    x = keras.layers.Dense(8, "relu", name="hidden")(keras.layers.Concatenate()([left, right]))
    scores = {"class": keras.layers.Dense(3, name="scores")(x)}
    model = keras.Model({"left": left, "right": right}, scores)
    given = {"left": images[:, :2], "right": images[:, 2:]}
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    fitted(model, cross_entropy, given, {"class": labels})
    found = recover(model, {"hidden": [0, 3]}, given, labels, epochs=2)
    for answers, network in ((found.intact, model), (found.recovered[-1], found.network)):
        outputs = network.predict(given, verbose=0)["class"]
        assert answers.accuracy == (outputs.argmax(axis=1) == labels).mean()
        assert answers.loss == pytest.approx(float(cross_entropy(labels, outputs)), rel=1e-5)


def test_what_has_no_classes_is_refused_as_by_the_callback(data: Any) -> None:
    """keras-team/autokeras#1524, albermax/innvestigate#318: not "labels must be 0 to 0"."""
    images = data[0]
    numbers = binary(None)
    numbers.compile("adam", "mse")
    with pytest.raises(ValueError, match="recover needs a classifier.* as in a regression; what"):
        recover(numbers, {"hidden": [0]}, images, images[:, 0])
    several = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, "relu", name="hidden")])
    several.add(keras.layers.Dense(3, "sigmoid"))
    with pytest.raises(ValueError, match="recover needs.* yes or no for each of 3 labels; what"):
        recover(several, {"hidden": [0]}, images, (images[:, :3] > 0).astype(int))
    with pytest.raises(ValueError, match="needs labels, and the data hold none"):
        recover(several, {"hidden": [0]}, images)


def own_loss(labels: Any, answers: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(labels, answers)


class OwnLoss(keras.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return own_loss(y_true, y_pred)


class OwnMetric(keras.metrics.Mean):
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().update_state(keras.ops.mean(y_pred))


class OwnOptimizer(keras.optimizers.SGD):
    def __init__(self, speed: float) -> None:
        super().__init__(speed)


OWN = {
    "def": {"loss": own_loss},
    "lambda": {"loss": lambda labels, answers: own_loss(labels, answers)},
    "Loss": {"loss": OwnLoss()},
    "metric": {"metrics": [own_loss]},
    "Metric": {"metrics": [OwnMetric()]},
    "Optimizer": {"optimizer": OwnOptimizer(0.1)},
}


def compiled(model: keras.Model, own: dict[str, Any]) -> keras.Model:
    """The layers in a nested and an outer model, each compiled, as a backbone trained first."""
    nested = keras.Model(model.layers[0].input, model.layers[0].output)
    x = keras.Input((5,))
    outer = keras.Model(x, model.layers[1](nested(x)))
    for one in (nested, outer):
        one.compile(**{"loss": "sparse_categorical_crossentropy", **own}, jit_compile=False)
    return outer


@pytest.mark.parametrize("kind", list(OWN))
def test_a_copy_needs_nothing_of_what_a_model_is_compiled_with(
    kind: str, model: keras.Model, data: Any
) -> None:
    """A loss, metric or optimizer of the user's own, and no layer of the user's own."""
    given = compiled(model, OWN[kind])
    expected = model.predict(data[0], verbose=0)
    copy = insert_masks(given, share_weights=False)
    assert np.allclose(copy.predict(data[0], verbose=0), expected, atol=1e-6)


def test_a_model_with_a_loss_of_the_users_own_is_trained_on(model: keras.Model, data: Any) -> None:
    """Trained on as is the same network with a loss of Keras's, with masks and without."""
    expected = recover(model, LESION, *data, epochs=1, control=False).recovered[0].loss
    given = compiled(model, OWN["def"])
    masked = insert_masks(given)
    masked.compile("sgd", own_loss, jit_compile=False)
    for one in (given, masked):
        found = recover(one, LESION, *data, epochs=1, control=False)
        assert found.recovered[0].loss == pytest.approx(expected, rel=1e-5)


def test_an_optimizer_that_cannot_be_built_again_is_named(model: keras.Model, data: Any) -> None:
    """Its get_config lacks the argument of its __init__."""
    for own, sentence in (
        (OwnOptimizer(0.1), "the optimizer OwnOptimizer cannot be built .* leave optimizer out"),
        ("adam", "optimizer must be a keras.optimizers.Optimizer or None, got 'adam'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            recover(model, LESION, *data, epochs=1, optimizer=own)  # type: ignore[arg-type]


class Forgetful(keras.layers.Layer):
    """Multiplies; its configuration does not say by how much."""

    def __init__(self, factor: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return self.factor * x

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def test_a_copy_that_is_another_network_is_refused(data: Any) -> None:
    """keras-team/keras#17383: a get_config that forgets an argument."""
    layers = [keras.layers.Dense(6, "relu", name="hidden"), Forgetful(9.0), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((5,)), *layers])
    with pytest.raises(ValueError, match="layer 'forgetful.*' gives other answers.* get_config"):
        recover(model, {"hidden": [0]}, *data)


def test_a_masked_copy_that_answers_otherwise_is_refused(
    model: keras.Model, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted fault, behind all that copying itself checks."""
    from repro.training import recovery

    masked_copy = recovery._masked_copy

    def careless(network: keras.Model) -> keras.Model:
        copy = masked_copy(network)
        kernel = copy.get_layer("hidden").kernel
        kernel.assign(1.1 * np.array(kernel))
        return copy

    monkeypatch.setattr(recovery, "_masked_copy", careless)
    with pytest.raises(
        ValueError,
        match="does not answer as it does .* differs is 'hidden': .*; complete its get_config",
    ):
        recover(model, LESION, *data)


def test_a_network_that_diverged_is_refused(model: keras.Model, data: Any) -> None:
    broken = keras.models.clone_model(model)
    broken.layers[0].bias.assign(np.full(10, np.nan))
    with pytest.raises(ValueError, match="not finite .*; scale the images as"):
        recover(broken, LESION, *data)


def test_a_network_of_texts_is_refused_and_the_cure_works() -> None:
    model, words, labels = text_classifier()
    lesion = {"hidden": [0, 1]}
    with pytest.raises(ValueError, match=r"no tables.*keras.Model\(layer.output, model.output\)"):
        recover(model, lesion, words, labels, epochs=1)
    (vectorize,) = (x for x in model.layers if isinstance(x, keras.layers.TextVectorization))
    behind = keras.Model(vectorize.output, model.output)
    tokens = keras.ops.convert_to_numpy(vectorize(words))
    found = recover(behind, lesion, tokens, labels, epochs=1)
    answers = model.predict(keras.ops.convert_to_tensor(words), verbose=0)
    assert found.intact.accuracy == np.mean(answers.argmax(axis=1) == labels)
