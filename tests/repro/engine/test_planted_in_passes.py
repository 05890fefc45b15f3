"""Faults planted where lesions are answered, and at the doors other than `repro.lesion`'s.

What is planted in what reads the model is in test_planted_faults.py.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

import repro
from repro.engine import network, passes, tasks, verify, walk
from repro.experiments import own
from tests.helpers import plain

N = 24
X = np.random.default_rng(2).normal(size=(N, 6)).astype(np.float32)
MAPS = np.random.default_rng(2).normal(size=(N, 6, 6, 2)).astype(np.float32)
Y = np.random.default_rng(3).integers(0, 3, N)


def dense(*between: Any, ending: str | None = None) -> keras.Model:
    x = images = keras.Input((6,))
    x = L.Dense(8, name="first", activation="relu")(x)
    for layer in between:
        x = layer(x)
    x = L.Dense(7, name="second", activation="relu")(x)
    model = keras.Model(images, L.Dense(3, activation=ending, name="answer")(x))
    plain.randomise(model, np.random.default_rng(0))
    return model


def convolutional() -> keras.Model:
    x = images = keras.Input((6, 6, 2))
    x = L.Conv2D(5, 3, name="first", activation="relu")(x)
    x = L.Conv2D(4, 3, name="second", activation="relu")(x)
    model = keras.Model(images, L.Dense(3, name="answer")(L.Flatten()(x)))
    plain.randomise(model, np.random.default_rng(0))
    return model


@pytest.fixture(scope="module")
def small() -> keras.Model:
    return dense()


# --- In the passes -----------------------------------------------------------------------------


def test_a_fault_in_what_one_unit_adds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The linear update of a convolution."""
    model = convolutional()
    assert repro.lesion(model, MAPS, Y).intact.n_images == N
    call = passes.SingleUnit.__call__
    monkeypatch.setattr(
        passes.SingleUnit,
        "__call__",
        lambda self, shared, image, unit, fill: call(self, shared, image, unit, fill * 1.05),
    )
    study = repro.lesion(model, MAPS, Y)  # intact it answers as the model
    with pytest.raises(RuntimeError, match="unit 2 of first clamped the engine does not answer"):
        study.units  # noqa: B018


@pytest.mark.parametrize("what", ["single_units", "walk"])
def test_a_fault_in_what_walks_dense_networks_is_found(
    monkeypatch: pytest.MonkeyPatch, small: keras.Model, what: str
) -> None:
    answer = getattr(walk, what)

    def planted(layers: Any, *args: Any, **options: Any) -> Any:
        last = layers[-1]
        wrong = dataclasses.replace(last, kernel=last.kernel * np.float32(1.05))
        return answer([*layers[:-1], wrong], *args, **options)

    monkeypatch.setattr(walk, what, planted)
    study = repro.lesion(small, X, Y)
    with pytest.raises(RuntimeError, match="does not answer as the model"):
        study.intact  # noqa: B018


def test_a_mask_that_does_not_clamp_is_found(
    monkeypatch: pytest.MonkeyPatch, small: keras.Model
) -> None:
    study = repro.lesion(small, X, Y)
    call = verify.Plain.__call__
    monkeypatch.setattr(
        verify.Plain,
        "__call__",
        lambda self, images, values: call(
            self, images, [(v, x) for v, x in values if not v.path.endswith("second_mask/keep")]
        ),
    )
    with pytest.raises(RuntimeError, match="unit 3 of second was lesioned but does not read"):
        study.intact  # noqa: B018


@pytest.mark.parametrize(
    ("policy", "size"),
    [  # float16 ends at 65,504
        *itertools.product(["float64", "mixed_bfloat16"], [1e-6, 1.0, 1e6]),
        *itertools.product(["float16"], [1e-6, 1.0]),
    ],
)
def test_lesions_of_any_precision_and_size_read_their_fill(policy: str, size: float) -> None:
    """The fill of the check was no number of these types, and was taken for a fault."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = dense(L.LeakyReLU())
    finally:
        keras.config.set_dtype_policy(before)
    study = repro.lesion(model, (X * size).astype(np.float32), Y)
    assert np.isfinite(study.intact.loss)


# --- In what reads the model ---------------------------------------------------------------------


def test_a_layer_that_is_called_in_training_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    norm = L.BatchNormalization(name="norm")
    model = dense(L.LayerNormalization(name="before"), norm)
    model.get_layer("norm").moving_mean.assign(np.full(8, 3.0))
    repro.lesion(model, X, Y)
    monkeypatch.setattr(
        network,
        "in_inference",
        lambda operation, kwargs: (
            {**kwargs, "training": True} if operation.name == "norm" else kwargs
        ),
    )
    reads = verify._layer_outputs
    monkeypatch.setattr(verify, "_layer_outputs", lambda *args: _in_inference(reads, *args))
    with pytest.raises(ValueError, match="first layer whose output differs is 'norm'"):
        repro.lesion(model, X, Y)


def _in_inference(reads: Any, *args: Any) -> Any:
    """The reference keeps to inference, whatever is planted in the engine's reading."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            network,
            "in_inference",
            lambda operation, kwargs: (
                {**kwargs, "training": False}
                if "training" in kwargs or operation.name == "norm"
                else kwargs
            ),
        )
        return reads(*args)


def test_a_task_that_takes_probabilities_for_logits_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = dense(ending="softmax")
    find = tasks.find

    def planted(*args: Any, **options: Any) -> Any:
        return dataclasses.replace(find(*args, **options), probabilities=False)

    monkeypatch.setattr(tasks, "find", planted)
    with pytest.raises(ValueError, match="the engine's loss is .*from_logits=True or False"):
        repro.lesion(model, X, Y)


# --- At the other doors --------------------------------------------------------------------------


def not_finite(model: keras.Model, value: float) -> keras.Model:
    kernel, bias = model.get_layer("second").get_weights()
    bias[0] = value
    model.get_layer("second").set_weights([kernel, bias])
    return model


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_at_every_door(value: float) -> None:
    model = not_finite(dense(), value)
    for ask in (
        lambda: repro.lesion(model, X, Y),
        lambda: repro.Engine(repro.insert_masks(model), X, Y),
        lambda: repro.recover(model, {"first": [0]}, X, Y),
    ):
        with pytest.raises(ValueError, match="not finite") as caught:
            ask()
        assert ";" in str(caught.value) and "\n" not in str(caught.value)
    callback = repro.SingleDirectionReliance(X, Y, points=2, orders=1)
    callback.set_model(model)
    callback.on_train_begin()
    logs: dict[str, Any] = {"loss": 1.0}
    callback.on_epoch_end(0, logs)
    assert np.isnan(logs["normalized_auc"]) and np.isnan(logs["intact_accuracy"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inputs_that_are_not_finite_are_refused(small: keras.Model, value: float) -> None:
    images = X.copy()
    images[N // 2 + 1, 3] = value
    with pytest.raises(ValueError, match="finite") as caught:
        repro.lesion(small, images, Y).units  # noqa: B018
    assert "\n" not in str(caught.value)


def test_figures_of_a_users_own_model_are_checked_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: keras.Model
) -> None:
    small.save(tmp_path / "my.keras")
    np.savez(tmp_path / "my.npz", images=X, labels=Y)
    given = own.given(tmp_path / "my.keras", f"npz:{tmp_path / 'my.npz'}", scale="none")
    masked = own.masked_model(given)
    assert repro.Engine(masked, X, Y).n_images == N
    read = network._linear

    def planted(layer: Any, tensors: Any) -> Any:
        found = read(layer, tensors)
        wrong = found is not None and layer.name == "second"
        return dataclasses.replace(found, bias=found.bias + 0.1) if wrong else found

    monkeypatch.setattr(network, "_linear", planted)
    with pytest.raises(ValueError, match="first layer whose output differs is 'second'"):
        repro.Engine(masked, X, Y)


# --- Of one network ------------------------------------------------------------------------------


def test_what_is_saved_after_more_training_is_the_network_that_was_studied(tmp_path: Path) -> None:
    """keras#2664."""
    model = dense()
    study = repro.lesion(model, X, Y)
    answers = np.asarray(model(X))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
    model.fit(X, Y, epochs=1, verbose=0)
    assert not np.allclose(answers, np.asarray(model(X)))
    saved = repro.load_model(study.save(tmp_path / "study"))
    np.testing.assert_allclose(np.asarray(saved(X)), answers, atol=1e-6)
    expected = loss(Y, answers)
    assert float(study.intact.loss) == pytest.approx(float(expected), rel=1e-5)
    errors, units = study.errors, study.units
    with_saved = repro.lesion(saved, X, Y)
    np.testing.assert_allclose(units["importance"], with_saved.units["importance"], atol=1e-6)
    assert [one.unit for one in errors] == [one.unit for one in with_saved.errors]
