"""Training: the same bits after a kill, and the same numbers by other routes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from repro.core.results import Checkpoint
from repro.core.settings import TrainConfig
from repro.data.images import Images, Splits, epoch_order
from repro.models import loading, networks
from repro.models.masking import AblationMask
from repro.training import fast_layers, train
from repro.training import trainee as training_trainee
from repro.training.trainee import LearningRate

HELPERS = Path(__file__).parents[2] / "helpers"
N_IMAGES = 90
MLP = TrainConfig("mnist", "mlp", (8, 8), batch_size=16, epochs=4)
CONVNET = TrainConfig("cifar10", "convnet", width=1 / 32, batch_size=30, epochs=3)


class Kept:
    """Checkpoints and snapshots in memory: all of them."""

    def __init__(self, checkpoints: Sequence[Checkpoint] = ()) -> None:
        self.checkpoints = list(checkpoints)
        self.snapshots: dict[int, Sequence[np.ndarray]] = {}

    def save(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)

    def latest(self) -> Checkpoint | None:
        return self.checkpoints[-1] if self.checkpoints else None

    def save_snapshot(self, epoch: int, weights: Sequence[np.ndarray]) -> None:
        self.snapshots[epoch] = weights


def images_of(*shape: int) -> Splits:
    values = np.random.default_rng(1)
    images = Images(
        values.random((N_IMAGES, *shape), dtype=np.float32),
        values.integers(0, 3, N_IMAGES).astype(np.int32),
        3,
    )
    return Splits(images, images.labels, images)


GREY, COLOUR = images_of(4, 4, 1), images_of(8, 8, 3)


def weights_of(trained: training_trainee.Trained) -> list[bytes]:
    return [weights.tobytes() for weights in trained.model.get_weights()]


# --- Resuming -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(
            MLP,
            dropout=0.3,
            schedule="cosine",
            warmup_epochs=1,
            weight_decay=0.01,
            selectivity_regularizer=-1.0,
            snapshots=(0, 3, 4),
        ),
        dataclasses.replace(
            MLP,
            optimizer="adam",
            precision="mixed_float16",
            schedule="step",
            decay_epochs=(2,),
        ),
        dataclasses.replace(CONVNET, dropout=0.2, augment=True, precision="mixed_bfloat16"),
    ],
    ids=["mlp", "adam in 16 bits", "convnet"],
)
def test_a_resumed_training_has_the_bits_of_a_whole_one(config: TrainConfig) -> None:
    splits = GREY if config.network == "mlp" else COLOUR
    assert not training_trainee.uses_xla(config)
    store = Kept()
    whole = train.train(config, splits, store, seconds_between_checkpoints=0)
    rest = Kept(store.checkpoints[:2])
    resumed = train.train(config, splits, rest, seconds_between_checkpoints=0)
    assert resumed.history == whole.history and len(whole.history) == config.epochs
    assert weights_of(resumed) == weights_of(whole)
    for ours, theirs in zip(rest.latest().arrays, store.latest().arrays, strict=True):
        assert ours.tobytes() == theirs.tobytes()  # of the optimizer and of dropout, too
    assert set(rest.snapshots) == {epoch for epoch in config.snapshots if epoch > 2}
    for epoch, weights in rest.snapshots.items():
        for ours, theirs in zip(weights, store.snapshots[epoch], strict=True):
            assert ours.tobytes() == theirs.tobytes()


def test_a_checkpoint_of_another_network_is_refused() -> None:
    store = Kept()
    train.train(dataclasses.replace(MLP, epochs=1), GREY, store)
    other = dataclasses.replace(MLP, hidden_units=(9, 8))
    with pytest.raises(training_trainee.TrainingError, match="epoch 1 does not fit this network"):
        train.train(other, GREY, store)


# --- What is trained ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "splits"),
    [(MLP, GREY), (dataclasses.replace(CONVNET, batch_size=16, learning_rate=0.01), COLOUR)],
    ids=["mlp", "convnet"],
)
def test_training_equals_keras_own_steps_on_the_same_batches(
    config: TrainConfig, splits: Splits
) -> None:
    """6 steps an epoch, the last of 10 images: not a divisor in sight. Batch normalisation's moving
    statistics are among the weights."""
    config = dataclasses.replace(config, epochs=3)
    trained = train.train(config, splits, Kept())
    plain = networks.build(config, splits.train.images.shape[1:], 3)
    plain.compile(
        keras.optimizers.SGD(config.learning_rate, momentum=config.momentum),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for epoch in range(config.epochs):
        order = epoch_order(N_IMAGES, config.seed, epoch)
        losses = []
        for start in range(0, N_IMAGES, config.batch_size):
            index = order[start : start + config.batch_size]
            batch = splits.train.images[index], splits.train.labels[index]
            plain.reset_metrics()
            losses.append(float(plain.train_on_batch(*batch)) * len(index))
        assert trained.history[epoch]["loss"] == pytest.approx(sum(losses) / N_IMAGES, rel=1e-5)
    # Eleven layers of batch normalisation over few pixels magnify rounding.
    rtol, atol = (1e-4, 1e-6) if config.network == "mlp" else (2e-3, 2e-4)
    for ours, theirs in zip(trained.model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


def test_the_layers_that_train_faster_are_not_those_that_are_kept() -> None:
    config = dataclasses.replace(CONVNET, epochs=1)
    trainee = training_trainee.Trainee(config, COLOUR)
    kinds = {type(layer).__name__ for layer in trainee.network.layers}
    assert {"FusedNormalization", "OpenMask"} <= kinds
    trained = train.train(config, COLOUR, Kept()).model
    assert {type(layer) for layer in trained.layers} == {
        keras.layers.InputLayer,
        keras.layers.Conv2D,
        keras.layers.BatchNormalization,
        keras.layers.ReLU,
        AblationMask,
        keras.layers.Flatten,
        keras.layers.Dense,
    }


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_trained_network_can_be_evaluated_as_it_is_loaded(tmp_path: Path, optimizer: str) -> None:
    config = dataclasses.replace(MLP, optimizer=optimizer, epochs=2)
    trained = train.train(config, GREY, Kept()).model
    trained.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images, labels = GREY.train.images, GREY.train.labels
    _, accuracy = loaded.evaluate(images, labels, verbose=0)
    expected = np.mean(trained.predict(images, verbose=0).argmax(axis=1) == labels)
    assert accuracy == pytest.approx(expected)


def test_without_training_the_faster_layers_answer_as_the_network_does() -> None:
    network = networks.build(CONVNET, (8, 8, 3), 3)
    rng = np.random.default_rng(0)
    network.set_weights(
        [
            w if "mask" in v.path else rng.uniform(0.5, 1.5, w.shape)
            for v, w in zip(network.weights, network.get_weights(), strict=True)
        ]
    )
    twin = fast_layers.twin(network)
    images = COLOUR.train.images
    np.testing.assert_array_equal(
        twin.predict(images, verbose=0), network.predict(images, verbose=0)
    )


def test_snapshots_are_the_weights_before_during_and_after_training() -> None:
    store = Kept()
    config = dataclasses.replace(MLP, snapshots=(0, 1, 4))
    trained = train.train(config, GREY, store)
    assert sorted(store.snapshots) == [0, 1, 4]
    fresh = networks.build(config, (4, 4, 1), 3).get_weights()
    for ours, theirs in zip(store.snapshots[0], fresh, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert [w.tobytes() for w in store.snapshots[4]] == weights_of(trained)
    one = train.train(dataclasses.replace(MLP, epochs=1), GREY, Kept())
    assert [w.tobytes() for w in store.snapshots[1]] == weights_of(one)


def test_a_network_trained_in_16_bits_is_kept_in_32(tmp_path: Path) -> None:
    config = dataclasses.replace(CONVNET, precision="mixed_float16", epochs=1)
    trained = train.train(config, COLOUR, Kept())
    before = keras.config.dtype_policy()
    assert {layer.compute_dtype for layer in trained.model.layers} == {"float32"}
    assert keras.config.dtype_policy() == before and before.name == "float32"
    trained.model.save(tmp_path / "model.keras")
    loaded = loading.load_model(tmp_path / "model.keras", trusted=True)
    images = COLOUR.test.images
    found, expected = loaded(images, training=False), trained.model(images, training=False)
    assert np.array_equal(found, expected)
    halves = networks.build(config, (8, 8, 3), 3)
    assert halves.get_layer("conv_1").compute_dtype == "float16"
    assert halves.get_layer("logits").compute_dtype == "float32"


# Much above 0.3, units of this network die, and a silent unit has no selectivity.
@pytest.mark.parametrize("alpha", [-3.0, 0.3])
def test_the_regularizer_moves_selectivity_its_way(alpha: float) -> None:
    config = dataclasses.replace(MLP, hidden_units=(24, 24), batch_size=45, epochs=25)
    plain = train.train(config, GREY, Kept()).model
    pushed = train.train(dataclasses.replace(config, selectivity_regularizer=alpha), GREY, Kept())
    found, expected = (mean_selectivity(model) for model in (pushed.model, plain))
    assert (found - expected) * np.sign(alpha) > 0.05
    # That of batches of 45 images is larger than that of all, but by less than this.
    assert pushed.history[-1]["selectivity"] == pytest.approx(found, abs=0.15)


def mean_selectivity(model: keras.Model) -> float:
    """Mean over both hidden layers of the class selectivity on all images, in NumPy."""
    from repro.core.metrics import class_selectivity

    probe = keras.Model(model.input, [model.get_layer(f"hidden_{n}_mask").output for n in (1, 2)])
    layers = [np.asarray(layer) for layer in probe(GREY.train.images)]
    return float(
        np.mean(
            [
                class_selectivity(
                    np.stack([layer[GREY.train.labels == c].mean(axis=0) for c in range(3)])
                ).mean()
                for layer in layers
            ]
        )
    )


def test_dropout_silences_other_units_in_each_layer_and_none_in_use() -> None:
    model = networks.mlp((4, 4, 1), 3, (64, 64), seed=2, dropout=0.5)
    ones = np.ones((20, 64), np.float32)
    kept = [np.asarray(model.get_layer(f"hidden_{n}_dropout")(ones, training=True)) for n in (1, 2)]
    assert all(set(np.unique(values)) == {0.0, 2.0} for values in kept)
    assert not np.array_equal(*kept)
    # 1,280 draws: a standard deviation of 0.014.
    assert np.mean(kept[0] == 0) == pytest.approx(0.5, abs=0.06)
    assert np.array_equal(model.get_layer("hidden_1_dropout")(ones, training=False), ones)


def test_dropout_of_a_convnet_silences_whole_maps() -> None:
    layer = networks.convnet((8, 8, 3), 3, width=1 / 8, dropout=0.5).get_layer("conv_1_dropout")
    maps = np.asarray(layer(np.ones((5, 8, 8, 8), np.float32), training=True))
    assert np.ptp(maps, axis=(1, 2)).max() == 0 and 0 < np.mean(maps == 0) < 1


# --- Learning rates -------------------------------------------------------------------------------


def test_the_rate_climbs_and_then_falls_along_half_a_cosine() -> None:
    rate = LearningRate(0.4, "cosine", 4, 12)
    climb = [float(rate(step)) for step in range(4)]
    np.testing.assert_allclose(climb, [0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    assert float(rate(4)) == pytest.approx(0.4)
    assert float(rate(8)) == pytest.approx(0.2)
    assert float(rate(6)) == pytest.approx(0.4 * 0.5 * (1 + np.sqrt(0.5)), rel=1e-5)
    assert float(rate(12)) == pytest.approx(0, abs=1e-7)


def test_a_schedule_survives_being_saved() -> None:
    rate = LearningRate(0.4, "step", 3, 100, (10, 20), 0.5)
    again = LearningRate.from_config(json.loads(json.dumps(rate.get_config())))
    steps = (0, 2, 9, 10, 19, 20, 99)
    assert [float(again(step)) for step in steps] == [float(rate(step)) for step in steps]
    np.testing.assert_allclose(
        [float(rate(step)) for step in steps],
        np.array([1 / 3, 1, 1, 0.5, 0.5, 0.25, 0.25]) * 0.4,
        rtol=1e-6,
    )


# --- Several devices, another backend -------------------------------------------------------------


def child(task: str, backend: str) -> dict[str, Any]:
    """What tests/helpers/training_child.py prints, on two virtual devices."""
    done = subprocess.run(
        [sys.executable, str(HELPERS / "training_child.py"), task],
        env=os.environ
        | {
            "KERAS_BACKEND": backend,
            "PYTHONPATH": str(HELPERS.parents[1]),
            "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2",
        },
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_train_as_one_does(backend: str) -> None:
    found = child("devices", backend)
    assert found["n_devices"] == 2
    # Gradients of two halves are summed in another order.
    assert found["largest_difference"] < 1e-5 < found["moved"]
    assert found["resumed_alike"]
    assert "3 images" not in found["refusal"] and "batch_size = 15" in found["refusal"]


def test_networks_trained_together_are_those_trained_alone() -> None:
    found = child("ensemble", "jax")
    assert found["largest_difference"] < 1e-5 < found["moved"]
    assert found["largest_difference_from_keras"] < 1e-5
    assert found["resumed_alike"] and found["resumed_apart"] < 1e-5
    assert found["epochs"] == [4, 4, 1, 6] and "training diverged" in found["diverged"]
    assert "differ in seed, label_corruption" in found["refusal"]
    assert found["convnets"] < 1e-5 < found["convnets_differ"]
    assert "images in memory" in found["stream_refusal"]
    worker = found["one_worker"]
    assert worker["done"] == [True, False, True] and worker["held"] == [False] * 3
    ((name, reason),) = worker["failed"]
    assert name == worker["diverging"] and "training diverged" in reason
    # The first network's log is the process's own; the others' point to it.
    assert worker["logs"] == [False, True, True]
    assert worker["largest_difference"] < 1e-5
    assert worker["seconds"][0] == worker["seconds"][1]
