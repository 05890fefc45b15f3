"""Trains tiny networks on two virtual devices; prints what came of it as one line of JSON.

Run by test_training.py in a process of its own, since devices and backend are chosen at the start.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__" and os.environ["KERAS_BACKEND"] == "tensorflow":
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], 2 * [tf.config.LogicalDeviceConfiguration()]
    )

import keras

from repro.core.kinds import IntactConfig
from repro.core.results import Checkpoint
from repro.core.settings import TrainConfig
from repro.data import load
from repro.data.images import Images, Splits, epoch_order
from repro.data.source import DataSource
from repro.experiments import plan as plans
from repro.experiments import worker
from repro.experiments.plan import Job
from repro.experiments.runs import Runs
from repro.experiments.task import Task
from repro.models import loading
from repro.models import networks as untrained
from repro.training import ensembles, train, trainee

MLP = TrainConfig("mnist", "mlp", (8, 8), batch_size=16, epochs=4)


class Kept:
    """Checkpoints in memory."""

    def __init__(self, checkpoints: Any = ()) -> None:
        self.all: list[Checkpoint] = list(checkpoints)

    def save(self, checkpoint: Checkpoint) -> None:
        self.all.append(checkpoint)

    def latest(self) -> Checkpoint | None:
        return self.all[-1] if self.all else None

    def save_snapshot(self, epoch: int, weights: Any) -> None:
        raise AssertionError("no snapshot was asked for")


def splits(seed: int = 1) -> Splits:
    values = np.random.default_rng(seed)
    images = values.random((90, 4, 4, 1), dtype=np.float32)
    labels = values.integers(0, 3, 90).astype(np.int32)
    data = Images(images, labels, 3)
    return Splits(data, data.labels, data)


def difference(one: Any, other: Any) -> float:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def bits(model: Any) -> list[bytes]:
    return [weights.tobytes() for weights in model.get_weights()]


def refusal(action: Any) -> str:
    try:
        action()
    except (ValueError, trainee.TrainingError) as error:
        return str(error)
    return ""


def devices() -> dict[str, Any]:
    """Data-parallel training against training on one device."""
    config, data = dataclasses.replace(MLP, data_parallel=True), splits()
    store = Kept()
    two = train.train(config, data, store, seconds_between_checkpoints=0).model
    resumed = train.train(config, data, Kept(store.all[:2]), seconds_between_checkpoints=0).model
    one = train.train(MLP, data, Kept()).model
    uneven = dataclasses.replace(config, batch_size=15)
    if keras.backend.backend() == "jax":
        n_devices = len(keras.distribution.list_devices())
    else:
        n_devices = len(tf.config.list_logical_devices("CPU"))
    return {
        "n_devices": n_devices,
        "largest_difference": difference(one, two),
        "moved": difference(untrained.build(MLP, (4, 4, 1), 3), two),
        "resumed_alike": bits(resumed) == bits(two),
        "refusal": refusal(lambda: train.train(uneven, data, Kept())),
    }


def by_keras(config: TrainConfig, data: Splits) -> Any:
    """The same batches, one `train_on_batch` after another."""
    model = untrained.build(config, (4, 4, 1), 3)
    model.compile(
        keras.optimizers.SGD(config.learning_rate, momentum=config.momentum),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    for epoch in range(config.epochs):
        order = epoch_order(90, config.seed, epoch)
        for start in range(0, 90, config.batch_size):
            index = order[start : start + config.batch_size]
            model.train_on_batch(data.train.images[index], data.train.labels[index])
    return model


def ensemble() -> dict[str, Any]:
    """Networks in one program against each alone."""
    configs = [
        dataclasses.replace(MLP, seed=seed, learning_rate=rate)
        for seed, rate in ((0, 0.03), (1, 0.1))
    ]
    pairs = list(zip(configs, [splits(), splits(2)], strict=True))  # images of their own, too
    data, alone_store = pairs[0][1], Kept()
    alone = train.train(configs[0], data, alone_store, seconds_between_checkpoints=0).model
    alike = train.train(configs[0], data, Kept(alone_store.all[:2])).model
    other = train.train(*pairs[1], Kept()).model
    stores = [Kept(), Kept()]
    together = run(pairs, stores)
    cut = [Kept(store.all[:n]) for store, n in zip(stores, (1, 2), strict=True)]
    apart = run(pairs, cut)
    shared = [
        dataclasses.replace(MLP, epochs=6, stop_at_train_accuracy=0.01),
        dataclasses.replace(MLP, epochs=6, seed=1),
        dataclasses.replace(MLP, epochs=6, learning_rate=1e30),
    ]
    stopped, whole, diverged = run([(config, data) for config in shared])
    convnet = TrainConfig("cifar10", "convnet", width=1 / 64, dropout=0.1, batch_size=45, epochs=1)
    convnets = [dataclasses.replace(convnet, seed=n, label_corruption=0.2 * n) for n in (0, 1)]
    side_by_side = run([(config, data) for config in convnets])
    one_by_one = [train.train(config, data, Kept()) for config in convnets]
    member = ensembles.Member(MLP, splits(), Kept())
    wide = dataclasses.replace(member, config=dataclasses.replace(MLP, hidden_units=(9, 8)))
    stream = dataclasses.replace(member, splits=dataclasses.replace(data, train=object()))
    return {
        "largest_difference": max(
            difference(together[0].model, alone), difference(together[1].model, other)
        ),
        "largest_difference_from_keras": difference(by_keras(*pairs[0]), alone),
        "moved": difference(untrained.build(configs[0], (4, 4, 1), 3), alone),
        "resumed_alike": bits(alike) == bits(alone),
        "resumed_apart": max(
            difference(one.model, two.model) for one, two in zip(apart, together, strict=True)
        ),
        "epochs": [len(one.history) for one in (*apart, stopped, whole)],
        "diverged": str(diverged),
        "convnets": max(
            difference(one.model, two.model)
            for one, two in zip(side_by_side, one_by_one, strict=True)
        ),
        "convnets_differ": difference(one_by_one[0].model, one_by_one[1].model),
        "refusal": refusal(lambda: ensembles.train([member, wide])),
        "stream_refusal": refusal(lambda: ensembles.train([member, stream])),
        "one_worker": one_worker(),
    }


def one_worker() -> dict[str, Any]:
    """Three jobs in one process, of which one network diverges; all are as if done alone."""
    load.load = lambda source, config: splits()
    plan = [
        Job(dataclasses.replace(MLP, **changes), (IntactConfig(),))
        for changes in ({"seed": 0}, {"learning_rate": 1e30}, {"label_corruption": 0.5, "seed": 1})
    ]
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        source = DataSource("mnist", "embedded")
        worker.work(Task(plan[0], folder, source, 1, 0.0, tuple(plan[1:])))
        networks = [runs.network(job.train) for job in plan]
        alone = train.train(plan[0].train, splits(), Kept()).model
        return {
            "done": [network.done(plan[0].sweeps[0].sweep_id) for network in networks],
            "failed": [[one.job.train.run_id, one.reason] for one in plans.failures(plan, runs)],
            "diverging": plan[1].train.run_id,
            "held": [network.holder is not None for network in networks],
            "logs": [network.log.is_file() for network in networks],
            "largest_difference": difference(loading.load_model(networks[0].model), alone),
            "seconds": [network.load_training().facts["seconds"] for network in networks[::2]],
        }


def run(pairs: Any, stores: Any = None) -> list[Any]:
    stores = stores or [Kept() for _ in pairs]
    members = [
        ensembles.Member(config, data, store)
        for (config, data), store in zip(pairs, stores, strict=True)
    ]
    return ensembles.train(members, seconds_between_checkpoints=0)


if __name__ == "__main__":
    train.configure(1)
    print(json.dumps({"devices": devices, "ensemble": ensemble}[sys.argv[1]]()))
