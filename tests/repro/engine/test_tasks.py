"""Each task: the intact loss is that of `model.evaluate`, a lesion costs what plain Keras says.

The reference does not use this project: the layer's own `call` is wrapped so that its output is
multiplied by a 0/1 vector, and the user's model is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import repro
from repro.engine import tasks
from repro.models.heads import Compiled
from tests.helpers import plain

N, N_CLASSES = 60, 4
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, 6)).astype(np.float32)
MAPS = RNG.normal(size=(N, 6, 6, 2)).astype(np.float32)
CLASSES = RNG.integers(0, N_CLASSES, N)
YES = RNG.integers(0, 2, N)
LABELS = RNG.integers(0, 2, (N, N_CLASSES))
NUMBERS = RNG.normal(size=(N, N_CLASSES)).astype(np.float32)


@keras.saving.register_keras_serializable("tests")
def own_softmax(x: Any) -> Any:
    e = ops.exp(x - ops.max(x, axis=-1, keepdims=True))
    return e / ops.sum(e, axis=-1, keepdims=True)


@keras.saving.register_keras_serializable("tests")
def own_sigmoid(x: Any) -> Any:
    return 1 / (1 + ops.exp(-x))


def with_head(*head: Any, maps: bool = False) -> keras.Model:
    """Two hidden layers and a head, weights drawn."""
    if maps:
        x = images = keras.Input((6, 6, 2))
        x = L.Conv2D(5, 3, activation="relu", name="first")(x)
        x = L.Conv2D(4, 3, activation="relu", name="second")(x)
        x = L.Flatten()(x)
    else:
        x = images = keras.Input((6,))
        x = L.Dense(7, activation="relu", name="first")(x)
        x = L.Dense(5, activation="relu", name="second")(x)
    for layer in head:
        x = layer(x)
    model = keras.Model(images, x)
    plain.randomise(model, np.random.default_rng(1))
    return model


def without(model: keras.Model, layer: str, unit: int, images: Any) -> np.ndarray:
    """The model's answers with one unit's output multiplied by 0, by plain Keras."""
    one = model.get_layer(layer)
    original = one.call
    keep = np.ones(one.output.shape[-1], np.float32)
    keep[unit] = 0
    one.call = lambda *args, **kwargs: original(*args, **kwargs) * keep
    try:
        return np.asarray(ops.convert_to_numpy(model(images, training=False)), np.float64)
    finally:
        del one.call


def cross_entropy(answers: np.ndarray, labels: np.ndarray, probabilities: bool) -> np.ndarray:
    logits = np.log(np.clip(answers, 1e-7, 1 - 1e-7)) if probabilities else answers
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]


def binary(answers: np.ndarray, labels: np.ndarray, probabilities: bool) -> np.ndarray:
    labels = labels.reshape(len(labels), -1)
    if probabilities:
        p = np.clip(answers.reshape(labels.shape), 1e-7, 1 - 1e-7)
        return -(labels * np.log(p) + (1 - labels) * np.log1p(-p)).mean(axis=1)
    z = answers.reshape(labels.shape)
    return (np.logaddexp(0, z) - labels * z).mean(axis=1)


Case = tuple[Callable[[bool], keras.Model], Any, Any, Callable[[np.ndarray], np.ndarray]]
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
CASES: dict[str, Case] = {
    "logits": (
        lambda maps: with_head(L.Dense(4), maps=maps),
        CLASSES,
        LOGITS,
        lambda a: cross_entropy(a, CLASSES, False),
    ),
    "softmax": (
        lambda maps: with_head(L.Dense(4, activation="softmax"), maps=maps),
        CLASSES,
        "sparse_categorical_crossentropy",
        lambda a: cross_entropy(a, CLASSES, True),
    ),
    # keras-hub#1008, keras#6636: softmaxes that are none of Keras's, or not the last step
    "own softmax": (
        lambda maps: with_head(L.Dense(4, activation=own_softmax), maps=maps),
        CLASSES,
        "sparse_categorical_crossentropy",
        lambda a: cross_entropy(a, CLASSES, True),
    ),
    "softmax, clipped": (
        lambda maps: with_head(
            L.Dense(4, activation="softmax"), lambda x: ops.clip(x, 1e-3, 1.0), maps=maps
        ),
        np.eye(4)[CLASSES],
        None,
        lambda a: cross_entropy(a, CLASSES, True),
    ),
    "softmax, shrunk": (
        lambda maps: with_head(
            L.Dense(4, activation="softmax"), lambda x: x * 0.999 + 0.00025, maps=maps
        ),
        CLASSES[:, None],
        "sparse_categorical_crossentropy",
        lambda a: cross_entropy(a, CLASSES, True),
    ),
    "exp over sum": (
        lambda maps: with_head(
            L.Dense(4), lambda x: ops.exp(x) / ops.sum(ops.exp(x), -1, keepdims=True), maps=maps
        ),
        CLASSES.astype(float),
        "sparse_categorical_crossentropy",
        lambda a: cross_entropy(a, CLASSES, True),
    ),
    # tensorflow#45701: both probabilities of one sigmoid
    "p and 1 - p": (
        lambda maps: with_head(
            L.Dense(1, activation="sigmoid", name="p"),
            lambda p: L.Concatenate()([1 - p, p]),
            maps=maps,
        ),
        YES,
        "sparse_categorical_crossentropy",
        lambda a: cross_entropy(a, YES, True),
    ),
    # tf-explain#73, tf-keras-vis#78: the usual binary head
    "one logit": (
        lambda maps: with_head(L.Dense(1), maps=maps),
        YES,
        keras.losses.BinaryCrossentropy(from_logits=True),
        lambda a: binary(a, YES, False),
    ),
    "one sigmoid": (
        lambda maps: with_head(L.Dense(1, activation="sigmoid"), maps=maps),
        YES[:, None].astype(bool),
        "binary_crossentropy",
        lambda a: binary(a, YES, True),
    ),
    "own sigmoid": (
        lambda maps: with_head(L.Dense(1, activation=own_sigmoid), maps=maps),
        YES.astype(np.float32),
        "binary_crossentropy",
        lambda a: binary(a, YES, True),
    ),
    # autokeras#1524, keras-io#399
    "labels": (
        lambda maps: with_head(L.Dense(4, activation="sigmoid"), maps=maps),
        LABELS,
        "binary_crossentropy",
        lambda a: binary(a, LABELS, True),
    ),
    "label logits": (
        lambda maps: with_head(L.Dense(4), maps=maps),
        LABELS,
        keras.losses.BinaryCrossentropy(from_logits=True),
        lambda a: binary(a, LABELS, False),
    ),
    "numbers": (
        lambda maps: with_head(L.Dense(4), maps=maps),
        NUMBERS,
        "mse",
        lambda a: ((a - NUMBERS) ** 2).mean(axis=1),
    ),
    "absolute": (
        lambda maps: with_head(L.Dense(1), maps=maps),
        NUMBERS[:, 0],
        "mae",
        lambda a: np.abs(a[:, 0] - NUMBERS[:, 0]),
    ),
}


def units_of(engine: repro.Engine) -> list[tuple[str, int]]:
    return [(layer, unit) for layer, size in engine.layout.layers for unit in range(size)]


# Dense networks and maps are answered in different ways, and each tally is needed in both.
ON_MAPS = ("logits", "softmax", "exp over sum", "one sigmoid", "labels", "absolute")
IN_BOTH_WAYS = [
    *(pytest.param(name, False, id=f"{name}-dense") for name in CASES),
    *(pytest.param(name, True, id=f"{name}-maps") for name in ON_MAPS),
]


@pytest.mark.parametrize(("name", "maps"), IN_BOTH_WAYS)
def test_a_study_is_evaluate_and_every_lesion_plain_keras(name: str, maps: bool) -> None:
    build, labels, loss, expected = CASES[name]
    images = MAPS if maps else X
    model = build(maps)
    if loss is not None:
        model.compile(loss=loss)
    study = repro.lesion(model, images, labels)
    if loss is not None:
        evaluated = model.evaluate(images, labels, verbose=0)
        assert float(study.intact.loss) == pytest.approx(evaluated, rel=1e-5)
    intact = expected(np.asarray(model.predict(images, verbose=0), np.float64))
    for (layer, unit), row in zip(units_of(study._engine), study.units, strict=True):
        change = expected(without(model, layer, unit, images)).mean() - intact.mean()
        assert row["importance"] == pytest.approx(change, abs=2e-6)


@pytest.mark.parametrize(
    ("ending", "probabilities"),
    [
        (L.Activation("linear", dtype="float32"), False),
        (L.Activation("tanh"), False),
        (L.Lambda(lambda x: 1.0 * x), False),
        (L.Activation(own_sigmoid), True),
        (L.Lambda(own_sigmoid), True),
    ],
    ids=["linear", "tanh", "own linear", "own sigmoid", "sigmoid in a Lambda"],
)
def test_logits_that_lie_between_0_and_1_by_chance_are_no_probabilities(
    ending: Any, probabilities: bool
) -> None:
    """The network has hardly learned; neither its loss nor its last layer tells what it answers."""
    model = with_head(L.Dense(1), ending)
    kernel, bias = model.layers[-2].get_weights()
    model.layers[-2].set_weights([0.02 * kernel, bias * 0 + 0.5])
    answers = np.asarray(model(X), np.float64)
    assert 0 < answers.min() < answers.max() < 1
    study = repro.lesion(model, X, YES)
    assert study.task.kind == "binary" and study.task.probabilities == probabilities
    expected = binary(answers, YES, probabilities).mean()
    assert float(study.intact.loss) == pytest.approx(expected, rel=1e-5)
    reliance = repro.SingleDirectionReliance(X, YES, n_images=N)
    reliance.set_model(model)
    reliance.on_train_begin()
    right = (answers[:, 0] > (0.5 if probabilities else 0.0)) == YES
    assert reliance.measure()["intact_accuracy"] == right.mean()
    assert [weight for weight in model.get_weights() if np.any(weight == 0.5)]  # put back


@pytest.mark.parametrize("maps", [False, True], ids=["dense", "maps"])
@pytest.mark.parametrize("name", ["one logit", "labels", "numbers", "exp over sum"])
def test_curves_are_those_of_lesioned_models(name: str, maps: bool) -> None:
    build, labels, _, expected = CASES[name]
    images, model = (MAPS if maps else X), build(maps)
    masked = repro.insert_masks(model)
    engine = repro.Engine(masked, images, labels, reference=model)
    orders = np.random.default_rng(0).permutation(engine.layout.n_units)[None]
    found = engine.cumulative(orders, np.array([0, 3, engine.layout.n_units]))
    units = units_of(engine)
    for point, n in enumerate((0, 3, engine.layout.n_units)):
        for layer, unit in (units[u] for u in orders[0, :n]):
            repro.ablate(masked, {layer: [unit]})
        answers = np.asarray(ops.convert_to_numpy(masked(images, training=False)), np.float64)
        assert float(found.loss[0, point]) == pytest.approx(expected(answers).mean(), rel=1e-5)
        if name == "labels":
            right = ((answers > 0.5) == LABELS).sum(axis=0)
            np.testing.assert_array_equal(found.n_correct[0, point], right)
        repro.restore(masked)


def test_right_answers_of_two_classes_and_of_labels_are_counted() -> None:
    model = with_head(L.Dense(1, activation="sigmoid"))
    study = repro.lesion(model, X, YES)
    right = (model.predict(X, verbose=0)[:, 0] > 0.5) == YES
    assert study.task.kind == "binary" and study.n_classes == 2
    np.testing.assert_array_equal(study.intact.n_correct, np.bincount(YES[right], minlength=2))
    several = repro.lesion(with_head(L.Dense(4, activation="sigmoid")), X, LABELS)
    assert several.task.kind == "labels" and np.isnan(several.units["class_selectivity"]).all()
    assert float(several.intact.accuracy) == pytest.approx(
        ((several.model.predict(X, verbose=0) > 0.5) == LABELS).mean()
    )


@pytest.mark.parametrize("output", ["kind", "size"])
def test_one_output_of_several_is_asked_by_name(output: str) -> None:
    """captum#383, #735; keras#18959 (dict outputs)."""
    x = images = keras.Input((6,))
    x = L.Dense(7, activation="relu", name="first")(x)
    model = keras.Model(
        images,
        {"kind": L.Dense(4, activation="softmax", name="k")(x), "size": L.Dense(1, name="s")(x)},
    )
    losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    model.compile(loss=losses)
    labels = {"kind": CLASSES, "size": NUMBERS[:, :1]}
    study = repro.lesion(model, X, labels, output=output)
    assert study.task.kind == {"kind": "classes", "size": "regression"}[output]
    alone = keras.Model(images, model.output[output])
    alone.compile(loss=losses[output])
    expected = alone.evaluate(X, labels[output], verbose=0)
    assert float(study.intact.loss) == pytest.approx(expected, rel=1e-5)
    assert study.errors and study.curve(orders=2).n_ablated[-1] == 7
    with pytest.raises(ValueError, match="has 2 outputs .kind, size.; name the one"):
        repro.lesion(model, X, labels)
    with pytest.raises(
        ValueError,
        match="has no output 'age'; name one of its outputs, kind, size, or give its number",
    ):
        repro.lesion(model, X, labels, output="age")


@pytest.mark.parametrize("higher", [True, False])
def test_a_score_of_ones_own_is_averaged_over_images(higher: bool) -> None:
    def score(outputs: Any, targets: Any) -> Any:
        return ops.abs(outputs[:, 0] - targets)

    model = with_head(L.Dense(4))
    study = repro.lesion(model, X, NUMBERS[:, 0], score=score, higher_is_better=higher)
    sign = -1 if higher else 1
    mean = np.abs(model.predict(X, verbose=0)[:, 0] - NUMBERS[:, 0]).mean()
    assert float(study.intact.loss) == pytest.approx(sign * mean, rel=1e-5)
    lesioned = np.abs(without(model, "first", 2, X)[:, 0] - NUMBERS[:, 0]).mean()
    assert study.units["importance"][2] == pytest.approx(sign * (lesioned - mean), abs=2e-6)
    assert np.isnan(study.units["accuracy_drop"]).all() and np.isnan(float(study.intact.accuracy))


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        (lambda outputs, targets: ops.mean(outputs), r"one number for each image.*got shape \(\)"),
        (lambda outputs, targets: outputs[:, 0] / 0, "with NaN or infinity"),
        (lambda outputs, targets: [][1], "it raises IndexError"),
    ],
)
def test_a_score_that_is_none_is_refused(score: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        repro.lesion(with_head(L.Dense(4)), X, NUMBERS, score=score)


@pytest.mark.parametrize("activation", ["softmax", None])
def test_without_labels_a_lesion_is_what_it_changes(activation: str | None) -> None:
    model = with_head(L.Dense(4, activation=activation))
    study = repro.lesion(model, X)
    assert study.task.kind == "agreement"
    assert float(study.intact.accuracy) == 1 and float(study.intact.loss) == 0

    def log_p(answers: np.ndarray) -> np.ndarray:
        return (
            np.log(answers)
            if activation
            else answers - np.logaddexp.reduce(answers, axis=1, keepdims=True)
        )

    before = log_p(np.asarray(model.predict(X, verbose=0), np.float64))
    now = log_p(without(model, "second", 1, X))
    divergence = (np.exp(before) * (before - now)).sum(axis=1).mean()
    row = study.units[7 + 1]
    assert row["importance"] == pytest.approx(divergence, abs=2e-6)
    changed = (before.argmax(axis=1) != now.argmax(axis=1)).mean()
    assert row["accuracy_drop"] == pytest.approx(changed)


def test_from_logits_and_the_compiled_loss_decide() -> None:
    model = with_head(L.Dense(4, activation=own_softmax))
    answers = np.asarray(model.predict(X, verbose=0), np.float64)
    as_logits = cross_entropy(answers, CLASSES, False).mean()
    found = repro.lesion(model, X, CLASSES, from_logits=True).intact
    assert float(found.loss) == pytest.approx(as_logits, rel=1e-5)
    model.compile(loss=LOGITS)
    found = repro.lesion(model, X, CLASSES).intact
    assert float(found.loss) == pytest.approx(model.evaluate(X, CLASSES, verbose=0), rel=1e-5)
    assert float(found.loss) == pytest.approx(as_logits, rel=1e-5)
    logits = with_head(L.Dense(4))
    logits.compile(loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="compiled with a loss .*pass from_logits=True"):
        repro.lesion(logits, X, CLASSES)
    assert repro.lesion(logits, X, CLASSES, from_logits=True).task.kind == "classes"


@pytest.mark.parametrize(
    ("options", "labels", "sentence"),
    [
        ({"task": "ranking"}, CLASSES, "task must be one of classes, binary"),
        ({"task": "binary"}, YES, "task='binary' needs one answer an image.*task='labels'"),
        ({"task": "classes"}, None, "needs labels, and none were given"),
        ({}, np.full((N, 4), 0.25), "soft labels.*argmax"),
        ({}, np.zeros((N, 3)), "do not fit answers of shape"),
        ({"from_logits": False}, CLASSES, "give from_logits=True"),
        ({"score": lambda o, t: o[:, 0], "task": "classes"}, CLASSES, "not both"),
    ],
)
def test_what_does_not_fit_is_refused(options: Any, labels: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        repro.lesion(with_head(L.Dense(4)), X, labels, **options)


def test_a_network_that_is_right_by_far_keeps_its_small_losses() -> None:
    """exactness D3: the loss of certain answers, and the sign of importances, to float64."""
    model = with_head(L.Dense(4))
    last = model.layers[-1]
    last.set_weights([weight * 400 for weight in last.get_weights()])
    labels = model.predict(X, verbose=0).argmax(axis=1)
    study = repro.lesion(model, X, labels)
    weights = [np.asarray(w, np.float64) for w in model.get_weights()]

    def exact(keep: np.ndarray) -> float:
        h = np.maximum(X.astype(np.float64) @ weights[0] + weights[1], 0) * keep[:7]
        h = np.maximum(h @ weights[2] + weights[3], 0) * keep[7:]
        return float(cross_entropy(h @ weights[4] + weights[5], labels, False).mean())

    intact = exact(np.ones(12))
    assert intact < 0.02
    assert float(study.intact.loss) == pytest.approx(intact, rel=1e-4)
    for unit in range(12):
        change = exact(np.arange(12) != unit) - intact
        assert study.units["importance"][unit] == pytest.approx(change, rel=2e-4, abs=1e-9)


def test_a_dead_unit_costs_exactly_nothing() -> None:
    """exactness D10."""
    model = with_head(L.Dense(4))
    kernel, bias = model.get_layer("first").get_weights()
    bias[3] = -100
    model.get_layer("first").set_weights([kernel, bias])
    study = repro.lesion(model, X, CLASSES)
    assert study.units["dead"][3] and study.units["importance"][3] == 0.0


def test_a_logit_that_a_lesion_cancels_counts_as_a_tie() -> None:
    """exactness D7: the only active unit is ablated, there is no bias, and Keras answers 0."""
    x = images = keras.Input((6, 6, 2))
    x = L.Conv2D(1, 3, activation="relu", use_bias=False, name="only")(x)
    x = L.Conv2D(3, 2, use_bias=False)(x)
    model = keras.Model(images, L.GlobalAveragePooling2D()(x))
    plain.randomise(model, np.random.default_rng(4))
    masked = repro.insert_masks(model)
    engine = repro.Engine(masked, MAPS, CLASSES % 3)
    repro.ablate(masked, {"only": [0]})
    assert np.abs(masked.predict(MAPS, verbose=0)).max() == 0
    repro.restore(masked)
    found = engine.single_units()
    active = np.count_nonzero(np.asarray(model.get_layer("only")(MAPS)).max(axis=(1, 2, 3)) > 0)
    assert int(found.n_tied[0]) >= active
    assert abs(int(found.n_correct[0].sum()) - np.count_nonzero(CLASSES % 3 == 0)) <= active


def test_the_loss_of_a_model_is_read_whatever_its_form() -> None:
    model = with_head(L.Dense(4))
    for loss, kind in (
        ("sparse_categorical_crossentropy", "classes"),
        (keras.losses.binary_crossentropy, "binary"),
        (keras.losses.MeanAbsoluteError(), "regression"),
        (lambda y, p: p, ""),
    ):
        model.compile(loss=loss)
        assert Compiled.of(model).kind == kind
    assert set(tasks.TASKS) - {"absolute_error"} <= set(tasks.KINDS)


@pytest.mark.parametrize("form", [dict, list])
@pytest.mark.parametrize("place", [0, 1])
def test_labels_of_several_outputs_go_to_the_one_that_is_asked(form: Any, place: int) -> None:
    rng = np.random.default_rng(2)
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(6, "relu", name="hidden")(inputs)
    model = keras.Model(
        inputs,
        [keras.layers.Dense(3, name="kind")(hidden), keras.layers.Dense(3, name="colour")(hidden)],
    )
    x = rng.normal(size=(30, 5)).astype(np.float32)
    both = [rng.integers(0, 3, 30), rng.integers(0, 3, 30)]
    labels = both if form is list else dict(zip(("kind", "colour"), both, strict=True))
    alone = keras.Model(inputs, model.outputs[place])
    expected = repro.lesion(alone, x, both[place]).units["importance"]
    for output in (place, ("kind", "colour")[place]):
        found = repro.lesion(model, x, labels, output=output)
        np.testing.assert_array_equal(found.units["importance"], expected)
    with pytest.raises(ValueError, match="not for 'kind', the output that is asked; name another"):
        repro.lesion(model, x, {"colour": both[1]}, output="kind")


@pytest.mark.filterwarnings("ignore:.*from_logits=True")
@pytest.mark.parametrize("ending", ["softmax", "sigmoid"])
def test_a_loss_for_logits_over_probabilities_is_read_as_keras_reads_it(ending: str) -> None:
    """Keras with TensorFlow looks behind the last function, and warns."""
    rng = np.random.default_rng(3)
    n = 3 if ending == "softmax" else 1
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(6, "relu", name="hidden"),
            keras.layers.Dense(n, ending),
        ]
    )
    x, y = rng.normal(size=(40, 5)).astype(np.float32), rng.integers(0, max(n, 2), 40)
    loss = "SparseCategoricalCrossentropy" if n == 3 else "BinaryCrossentropy"
    model.compile(loss=getattr(keras.losses, loss)(from_logits=True))
    study = repro.lesion(model, x, y)
    assert float(study.intact.loss) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)
    answers = model.predict(x, verbose=0)
    right = answers.argmax(axis=1) == y if n == 3 else (answers[:, 0] > 0.5) == y
    assert float(study.intact.accuracy) == pytest.approx(right.mean())


SMOOTHED = keras.losses.CategoricalCrossentropy(label_smoothing=0.2)
IGNORING = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)


@pytest.mark.parametrize(
    ("ending", "n", "loss", "form"),
    [
        ("softmax", 3, SMOOTHED, "one-hot"),
        ("softmax", 3, "mse", "one-hot"),
        ("softmax", 2, "binary_crossentropy", "one-hot"),
        (None, 3, IGNORING, "classes"),
        ("sigmoid", 1, "binary_focal_crossentropy", "yes or no"),
        (None, 1, "huber", "numbers"),
        ("softplus", 1, "msle", "numbers"),
        (None, 1, "mape", "numbers"),
    ],
    ids=lambda one: getattr(one, "name", str(one)),
)
def test_a_study_tells_where_evaluate_counts_another_loss(
    ending: Any, n: int, loss: Any, form: str
) -> None:
    rng = np.random.default_rng(4)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(6, "relu", name="hidden"),
            keras.layers.Dense(n, ending),
        ]
    )
    plain.randomise(model, rng)
    model.compile(loss=loss)
    x, classes = rng.normal(size=(32, 5)).astype(np.float32), rng.integers(0, max(n, 2), 32)
    numbers = rng.uniform(0.5, 2, 32)
    y = {"one-hot": np.eye(n)[classes % n], "numbers": numbers}.get(form, classes)
    study = repro.lesion(model, x, y)
    evaluated = model.evaluate(x, y, verbose=0)
    assert float(study.intact.loss) != pytest.approx(evaluated, rel=1e-2)
    assert f"{evaluated:.4g} on these" in study.own_loss and study.own_loss in repr(study)


def test_a_study_is_silent_where_evaluate_counts_the_same_loss_and_tells_of_penalties() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(32, 5)).astype(np.float32), rng.integers(0, 3, 32)
    for penalty in (None, "l2"):
        model = keras.Sequential(
            [
                keras.Input((5,)),
                keras.layers.Dense(6, "relu", kernel_regularizer=penalty),
                keras.layers.Dense(3, "softmax"),
            ]
        )
        model.compile(loss="sparse_categorical_crossentropy")
        own = repro.lesion(model, x, y).own_loss
        assert own == "" if penalty is None else "penalty of regularizers" in own


def test_one_hot_labels_of_a_categorical_loss_are_classes_after_a_sigmoid_too() -> None:
    rng = np.random.default_rng(6)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(6, "relu")])
    model.add(keras.layers.Dense(3, "sigmoid"))
    model.compile(loss="categorical_crossentropy")
    x, y = rng.normal(size=(32, 5)).astype(np.float32), np.eye(3)[rng.integers(0, 3, 32)]
    study = repro.lesion(model, x, y)
    assert study.task.kind == "classes" and study.own_loss == ""
    assert float(study.intact.loss) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)
