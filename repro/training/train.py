"""Trains one network, from its latest checkpoint if there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from repro.core.settings import TrainConfig
from repro.data.images import Images, Splits
from repro.training import ensembles
from repro.training.trainee import (
    Checkpoints,
    Keeper,
    OnEpoch,
    Trained,
    Trainee,
    TrainingError,
    _nothing,
    distributed,
)


def configure(threads: int) -> None:
    """Sets up the backend before its first use: deterministic on a CPU, with so many threads.

    JAX uses as many threads as the process has processors.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def device() -> str:
    """The device that the backend computes on, in words."""
    if keras.backend.backend() == "jax":
        import jax

        return ", ".join(device.device_kind for device in jax.local_devices())
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        return f"CPU, {threads or 'all'} thread{'' if threads == 1 else 's'}"
    names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    return ", ".join(name or "GPU" for name in names)


def train(
    config: TrainConfig,
    splits: Splits,
    checkpoints: Checkpoints,
    on_epoch: OnEpoch = _nothing,
    seconds_between_checkpoints: float = 10.0,
) -> Trained:
    """Trains the network of a config, from its latest checkpoint if there is one.

    Args:
        splits: from `load.load` with the same config.
        on_epoch: called after every epoch with the number of epochs done and its record.
        seconds_between_checkpoints: a kill loses at most so many seconds of training, plus one
            epoch.

    Raises:
        TrainingError: the loss is not finite, the batch cannot be split over the devices, or
            TensorFlow is missing where its pipelines are needed.
    """
    in_memory = isinstance(splits.train, Images) and not config.augment
    if keras.backend.backend() == "jax" and in_memory:
        member = ensembles.Member(config, splits, checkpoints, on_epoch)
        (trained,) = ensembles.train([member], seconds_between_checkpoints)
        if isinstance(trained, TrainingError):
            raise trained
        return trained
    _check_pipelines()
    with distributed(config):
        trainee = Trainee(config, splits)
        keeper = Keeper(trainee, checkpoints, on_epoch, seconds_between_checkpoints)
        _fit(trainee, splits, keeper)
    return Trained(trainee.finished(), keeper.history, keeper.seconds)


def _check_pipelines() -> None:
    """Checks that TensorFlow is there, whose pipelines read images from disk and augment them.

    Raises:
        TrainingError: it is not installed.
    """
    try:
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            "images that are augmented or stay on disk are read by TensorFlow, which is not "
            "installed; install it (requirements.txt), or train without augment on a data set that "
            "fits into memory"
        ) from error


class _EndOfEpoch(keras.callbacks.Callback):
    """Passes each epoch to a keeper, and ends `model.fit` when the keeper says so."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__()
        self._keeper = keeper

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._keeper.after_epoch(logs or {})
        if self._keeper.over:
            self.model.stop_training = True


def _fit(trainee: Trainee, splits: Splits, keeper: Keeper) -> None:
    """Trains to the end with `model.fit`."""
    config, in_memory = trainee.config, isinstance(splits.train, Images)
    if keeper.over:
        return
    pieces = splits.train.pipelines(
        config.batch_size, config.seed, keeper.epochs_done, config.epochs, config.augment
    )
    for dataset, first, end in pieces:
        if trainee.n_outputs > 1:
            dataset = dataset.map(lambda images, labels: (images, (labels,) * trainee.n_outputs))
        trainee.model.fit(
            dataset,
            initial_epoch=first,
            epochs=end,
            steps_per_epoch=trainee.steps if in_memory else None,
            shuffle=False,  # the pipeline has shuffled
            verbose=0,
            callbacks=[_EndOfEpoch(keeper)],
        )
        if keeper.over:
            return
