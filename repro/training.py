"""Trains one network, resumable at every epoch with the same bits.

What an epoch does depends on the weights, the optimizer's state and (seed, epoch) alone: the order
of images comes from `data.training_pipeline`, random layers keep their state among the model's
variables, and TensorFlow runs in its deterministic mode. So a training that is killed and taken up
from a checkpoint ends with the weights of one that was never disturbed, on the same machine and
number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import keras

from repro import models
from repro.config import TrainConfig
from repro.data import Splits, training_pipeline
from repro.results import Checkpoint

# Steps that TensorFlow runs without returning to Python; 16 made an epoch of the 2x512 MLP a
# fifth faster on two CPU cores.
_STEPS_PER_EXECUTION = 16


class TrainingError(RuntimeError):
    """A training that cannot go on; the message says why."""


class Checkpoints(Protocol):
    """Where checkpoints are kept; `repro.runs` has the one on disk."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keeps a checkpoint so that it outlives a kill at any moment."""

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint, if there is one."""


@dataclass(frozen=True)
class Trained:
    """A finished training.

    history: one record an epoch: epoch (from 1), loss and accuracy (running averages over the
        epoch's batches, labels as trained on).
    seconds: of training, over all the processes that took part.
    """

    model: keras.Model
    history: list[dict[str, float]]
    seconds: float


def configure(threads: int) -> None:
    """Sets up TensorFlow before its first use: deterministic, on so many CPU threads."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.experimental.enable_op_determinism()


def device() -> str:
    """What TensorFlow computes on, in words."""
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
    on_epoch: Callable[[int, Mapping[str, float]], None] = lambda epoch, logs: None,
    seconds_between_checkpoints: float = 10.0,
) -> Trained:
    """Trains the network of a config, from its latest checkpoint if there is one.

    Args:
        splits: from `data.load` with the same config.
        on_epoch: called after every epoch with the number of epochs done and its record.
        seconds_between_checkpoints: at most one epoch more than this is lost by a kill.

    Raises:
        TrainingError: the loss is not finite.
    """
    model = build(config, splits)
    steps = math.ceil(len(splits.train) / config.batch_size)
    model.compile(
        optimizer=_optimizer(config),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=config.jit_compile,
        steps_per_execution=min(_STEPS_PER_EXECUTION, steps),
    )
    model.optimizer.build(model.trainable_variables)

    start = checkpoints.latest()
    if start is not None:
        _restore(model, start)
    keeper = _Keeper(config, checkpoints, on_epoch, seconds_between_checkpoints, start)
    first_epoch = len(keeper.history)
    if first_epoch < config.epochs and not _reached(config, keeper.history):
        model.fit(
            training_pipeline(
                splits.train, config.batch_size, config.seed, first_epoch, config.epochs
            ),
            initial_epoch=first_epoch,
            epochs=config.epochs,
            steps_per_epoch=steps,
            shuffle=False,  # the pipeline has shuffled
            verbose=0,
            callbacks=[keeper],
        )
    return Trained(model, keeper.history, keeper.seconds)


def build(config: TrainConfig, splits: Splits) -> keras.Model:
    """The untrained network of a config."""
    return models.mlp(
        splits.train.images.shape[1:], splits.train.n_classes, config.hidden_units, config.seed
    )


class _Keeper(keras.callbacks.Callback):
    """Records epochs, saves checkpoints, and ends the training by the config's rule."""

    def __init__(
        self,
        config: TrainConfig,
        checkpoints: Checkpoints,
        on_epoch: Callable[[int, Mapping[str, float]], None],
        seconds_between_checkpoints: float,
        start: Checkpoint | None,
    ) -> None:
        super().__init__()
        self._config = config
        self._checkpoints = checkpoints
        self._on_epoch = on_epoch
        self._interval = seconds_between_checkpoints
        self._saved_at = self._began = time.monotonic()
        self._seconds_before = start.seconds if start else 0.0
        self.history = list(start.history) if start else []

    @property
    def seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._began

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        record = {"epoch": epoch + 1} | {
            name: float((logs or {})[name]) for name in ("loss", "accuracy")
        }
        if not math.isfinite(record["loss"]):
            raise TrainingError(
                f"training diverged: the loss is {record['loss']} in epoch {epoch + 1}; "
                f"try a smaller learning_rate than {self._config.learning_rate}"
            )
        self.history.append(record)
        over = epoch + 1 == self._config.epochs or _reached(self._config, self.history)
        if over:
            self.model.stop_training = True
        if over or time.monotonic() - self._saved_at >= self._interval:
            variables = [*self.model.variables, *self.model.optimizer.variables]
            arrays = [keras.ops.convert_to_numpy(variable) for variable in variables]
            self._checkpoints.save(Checkpoint(epoch + 1, arrays, list(self.history), self.seconds))
            self._saved_at = time.monotonic()
        self._on_epoch(epoch + 1, record)


def _reached(config: TrainConfig, history: list[dict[str, float]]) -> bool:
    threshold = config.stop_at_train_accuracy
    return bool(threshold and history and history[-1]["accuracy"] >= threshold)


def _optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    if config.optimizer == "adam":
        return keras.optimizers.Adam(config.learning_rate)
    return keras.optimizers.SGD(config.learning_rate, momentum=config.momentum)


def _restore(model: keras.Model, checkpoint: Checkpoint) -> None:
    variables = [*model.variables, *model.optimizer.variables]
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [array.shape for array in checkpoint.arrays]:
        raise TrainingError(
            f"the checkpoint of epoch {checkpoint.epoch} does not fit this network; "
            "delete its folder to train anew"
        )
    for variable, array in zip(variables, checkpoint.arrays, strict=True):
        variable.assign(array)
