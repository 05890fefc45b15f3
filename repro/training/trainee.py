"""Trains one network, resumable at every epoch with the same bits.

An epoch depends only on the weights, the optimizer's state and (seed, epoch): the order of images
and their augmentation come from `Images.pipelines`, schedules count the optimizer's steps, random
layers keep their state among the model's variables, and on a CPU TensorFlow runs in its
deterministic mode. So on a CPU a training that is killed and resumed from a checkpoint ends with
the same weights as an undisturbed training, on the same machine and number of threads.

With TensorFlow, `model.fit` runs a whole epoch without returning to Python. With JAX and images in
memory, `repro.training.ensembles` does the same, on request for several networks at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from repro.core.results import Checkpoint
from repro.core.settings import TrainConfig
from repro.data.images import Images, Splits
from repro.models import networks
from repro.models.masking import ablation_masks
from repro.training import fast_layers
from repro.training.regularizers import SelectivityLoss

# Number of steps that run without returning to Python if images come from disk.
_STREAM_STEPS = 8


class TrainingError(RuntimeError):
    """A training cannot go on; the message says why."""


class Checkpoints(Protocol):
    """Where checkpoints and snapshots are kept; `repro.experiments.runs` has the one on disk."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keeps a checkpoint so that it outlives a kill at any moment."""

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint, if there is one."""

    def save_snapshot(self, epoch: int, weights: Sequence[np.ndarray]) -> None:
        """Keeps the weights after so many epochs, in the order of `model.get_weights()`."""


@dataclass(frozen=True)
class Trained:
    """A finished training.

    model: the trained model with float32 layers, whatever the precision of the training was.
    history: one record an epoch: epoch (from 1), loss (cross-entropy, without what a regularizer
        adds) and accuracy (running averages over the epoch's batches, labels as trained on);
        top_5_accuracy with ImageNet; selectivity (mean over layers) with its regularizer.
    seconds: seconds of training, summed over all processes that took part.
    """

    model: keras.Model
    history: list[dict[str, float]]
    seconds: float


OnEpoch = Callable[[int, Mapping[str, float]], None]


def _nothing(epoch: int, record: Mapping[str, float]) -> None:
    """Default for `on_epoch`: does nothing."""


def build(config: TrainConfig, splits: Splits) -> keras.Model:
    """The untrained network of a config."""
    return networks.build(config, splits.train.images.shape[1:], splits.train.n_classes)


class Trainee:
    """A network with the loss, optimizer and metrics of its training.

    network: the network of the config, or its twin that trains faster.
    model: the compiled model: the network itself or, with a selectivity regularizer, a model of the
        same layers that also returns every masked activation.
    steps: number of steps of an epoch.
    """

    def __init__(self, config: TrainConfig, splits: Splits) -> None:
        self.config = config
        self.steps = math.ceil(len(splits.train) / config.batch_size)
        network = build(config, splits)
        if fast_layers.helps(config.precision):
            network = fast_layers.twin(network)
        self.network = self.model = network
        self._shape = splits.train.images.shape[1:]
        self._n_classes = splits.train.n_classes
        # The loss takes logits and is averaged over the batch.
        losses: list[Any] = [keras.losses.SparseCategoricalCrossentropy(from_logits=True)]
        metrics: list[Any] = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        if config.data_set.top5:
            metrics.append(keras.metrics.SparseTopKCategoricalAccuracy(5, name="top_5_accuracy"))
        if config.selectivity_regularizer:
            masks = ablation_masks(self.network)
            self.model = keras.Model(
                self.network.input, [self.network.output, *(mask.output for mask in masks)]
            )
            weight = config.selectivity_regularizer / len(masks)
            losses += [SelectivityLoss(weight, self._n_classes) for _ in masks]
            metrics = [metrics, *([] for _ in masks)]
        self.n_outputs = len(losses)
        self.model.compile(
            optimizer=_optimizer(config, self.steps),
            loss=losses if self.n_outputs > 1 else losses[0],
            metrics=metrics,
            jit_compile=uses_xla(config),
            steps_per_execution=self._steps_per_execution(splits),
            auto_scale_loss=False,  # done in _optimizer
        )
        self.model.optimizer.build(self.model.trainable_variables)

    def _steps_per_execution(self, splits: Splits) -> int:
        """Number of steps that run without returning to Python. With images in memory it is the
        whole epoch: more steps would take images of the next epoch."""
        if self.config.data_parallel and keras.backend.backend() == "tensorflow":
            return 1  # TensorFlow fails on a loop of steps over several devices
        return self.steps if isinstance(splits.train, Images) else _STREAM_STEPS

    @property
    def variables(self) -> list[Any]:
        """All the state of the training, in a fixed order."""
        return [*self.network.variables, *self.model.optimizer.variables]

    def state(self) -> list[np.ndarray]:
        """The values of `variables`."""
        return [keras.ops.convert_to_numpy(variable) for variable in self.variables]

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes over the state of a checkpoint.

        Raises:
            TrainingError: the state belongs to another network.
        """
        shapes = [tuple(variable.shape) for variable in self.variables]
        if shapes != [array.shape for array in checkpoint.arrays]:
            raise TrainingError(
                f"the checkpoint of epoch {checkpoint.epoch} does not fit this network; "
                "delete its folder to train anew"
            )
        for variable, array in zip(self.variables, checkpoint.arrays, strict=True):
            variable.assign(array)

    def record(self, epoch: int, logs: Mapping[str, Any]) -> dict[str, float]:
        """The record of an epoch in `Trained.history`, from Keras's logs."""

        def of_logits(name: str) -> float:
            # If a model has several outputs, Keras puts the output's name first.
            return float(logs[f"logits_{name}" if self.n_outputs > 1 else name])

        record = {"epoch": epoch, "loss": of_logits("loss"), "accuracy": of_logits("accuracy")}
        if self.config.data_set.top5:
            record["top_5_accuracy"] = of_logits("top_5_accuracy")
        if self.config.selectivity_regularizer:
            penalty = float(logs["loss"]) - record["loss"]
            record["selectivity"] = -penalty / self.config.selectivity_regularizer
        return record

    def finished(self) -> keras.Model:
        """The network of the config, on one device and with float32 layers, compiled for
        `model.evaluate` of loss and accuracy. It does not keep the optimizer's state."""
        plain = dataclasses.replace(self.config, precision="float32")
        model = networks.build(plain, self._shape, self._n_classes)
        model.set_weights(self.network.get_weights())
        model.compile(
            optimizer="sgd",  # has no state, so loading a saved model gives no warning
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return model


class Keeper:
    """Keeps the records, checkpoints and snapshots of one training, and knows when it is over.

    It is made with a trainee in its initial state and restores the trainee from the latest
    checkpoint.
    """

    def __init__(
        self,
        trainee: Trainee,
        checkpoints: Checkpoints,
        on_epoch: OnEpoch,
        seconds_between_checkpoints: float,
    ) -> None:
        self._trainee, self._config = trainee, trainee.config
        self._checkpoints = checkpoints
        self._on_epoch = on_epoch
        self._interval = seconds_between_checkpoints
        start = checkpoints.latest()
        self._seconds_before = start.seconds if start else 0.0
        self.history = list(start.history) if start else []
        if start is not None:
            trainee.restore(start)
        elif 0 in self._config.snapshots:
            checkpoints.save_snapshot(0, trainee.network.get_weights())
        self._saved_at = self._began = time.monotonic()
        self._ended: float | None = None

    @property
    def epochs_done(self) -> int:
        return len(self.history)

    @property
    def seconds(self) -> float:
        """Seconds of training, in this process and in earlier ones."""
        return self._seconds_before + (self._ended or time.monotonic()) - self._began

    @property
    def over(self) -> bool:
        """Whether the training is over: all epochs are done, or the config's stop rule applies."""
        threshold = self._config.stop_at_train_accuracy
        reached = threshold and self.history and self.history[-1]["accuracy"] >= threshold
        return self.epochs_done >= self._config.epochs or bool(reached)

    def after_epoch(
        self, logs: Mapping[str, Any], update: Callable[[], None] = lambda: None
    ) -> None:
        """Records an epoch and saves what is due.

        Args:
            logs: Keras's logs of the epoch.
            update: called before the trainee's variables are read; only then must they be up to
                date.

        Raises:
            TrainingError: the loss is not finite.
        """
        epoch = self.epochs_done + 1
        record = self._trainee.record(epoch, logs)
        if not math.isfinite(record["loss"]):
            raise TrainingError(
                f"training diverged: the loss is {record['loss']} in epoch {epoch}; "
                f"try a smaller learning_rate than {self._config.learning_rate}"
            )
        self.history.append(record)
        due = self.over or time.monotonic() - self._saved_at >= self._interval
        if due or epoch in self._config.snapshots:
            update()
        # The snapshot is written before the checkpoint: a resumed training does not repeat this
        # epoch.
        if epoch in self._config.snapshots:
            self._checkpoints.save_snapshot(epoch, self._trainee.network.get_weights())
        if due:
            state, history = self._trainee.state(), list(self.history)
            self._checkpoints.save(Checkpoint(epoch, state, history, self.seconds))
            self._saved_at = time.monotonic()
        if self.over:
            self._ended = time.monotonic()
        self._on_epoch(epoch, record)


@contextlib.contextmanager
def distributed(config: TrainConfig) -> Iterator[None]:
    """If data_parallel, variables made inside the block are on every device, and batches are split.

    Raises:
        TrainingError: the batch cannot be split evenly.
    """
    if not config.data_parallel:
        yield
        return
    if keras.backend.backend() == "jax":
        before = keras.distribution.distribution()
        parallel = keras.distribution.DataParallel()
        _check_divides(config.batch_size, len(keras.distribution.list_devices()))
        keras.distribution.set_distribution(parallel)
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)
        return
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    strategy = tf.distribute.MirroredStrategy(gpus or tf.config.list_logical_devices("CPU"))
    _check_divides(config.batch_size, strategy.num_replicas_in_sync)
    with strategy.scope():
        yield


def _check_divides(batch_size: int, n_devices: int) -> None:
    if batch_size % n_devices:
        raise TrainingError(
            f"data_parallel needs a batch_size that {n_devices} devices can share evenly. "
            f"Received: batch_size = {batch_size}"
        )


def uses_xla(config: TrainConfig) -> bool:
    """Whether XLA compiles the steps: with JAX, and with TensorFlow on one GPU. On a CPU plain
    graphs are as fast for dense networks and faster for convolutions (docs/training.md), and Keras
    refuses XLA in TensorFlow's deterministic mode.
    """
    if keras.backend.backend() == "jax":
        return True
    import tensorflow as tf

    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return config.jit_compile and on_gpu and not config.data_parallel


@keras.saving.register_keras_serializable("repro")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of each step: a linear rise (warm-up), then the schedule.

    Args:
        peak: the rate after the warm-up.
        schedule: "constant"; "cosine", half a cosine wave from the peak to 0 at n_steps; or "step".
        warmup_steps: number of steps of the warm-up; the last one has the peak.
        n_steps: number of steps of the training.
        decay_steps: numbers of steps after which the rate is multiplied by decay_factor.

    >>> rate = LearningRate(1.0, "step", 2, 10, (4, 6), 0.5)
    >>> [float(rate(step)) for step in (0, 1, 3, 4, 6)]
    [0.5, 1.0, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        peak: float,
        schedule: str,
        warmup_steps: int,
        n_steps: int,
        decay_steps: Sequence[int] = (),
        decay_factor: float = 0.1,
    ) -> None:
        super().__init__()
        self._settings = {
            "peak": peak,
            "schedule": schedule,
            "warmup_steps": warmup_steps,
            "n_steps": n_steps,
            "decay_steps": list(decay_steps),
            "decay_factor": decay_factor,
        }
        self.peak, self.schedule, self.warmup_steps = peak, schedule, warmup_steps
        self.n_steps, self.decay_steps, self.decay_factor = n_steps, decay_steps, decay_factor

    def __call__(self, step: Any) -> Any:
        ops = keras.ops
        step = ops.cast(step, "float32")  # exact up to 16.7 million steps
        rate = ops.convert_to_tensor(self.peak, "float32")
        if self.warmup_steps:
            rate = rate * ops.minimum((step + 1.0) / self.warmup_steps, 1.0)
        if self.schedule == "cosine":
            done = (step - self.warmup_steps) / max(1, self.n_steps - self.warmup_steps)
            rate = rate * 0.5 * (1.0 + ops.cos(math.pi * ops.clip(done, 0.0, 1.0)))
        for edge in self.decay_steps:
            rate = rate * ops.where(step >= edge, self.decay_factor, 1.0)
        return rate

    def get_config(self) -> dict[str, Any]:
        return dict(self._settings)


def _optimizer(config: TrainConfig, steps: int) -> keras.optimizers.Optimizer:
    """The config's optimizer, for epochs of so many steps."""
    rate: Any = config.learning_rate
    if config.schedule != "constant" or config.warmup_epochs:
        rate = LearningRate(
            config.learning_rate,
            config.schedule,
            config.warmup_epochs * steps,
            config.epochs * steps,
            [epoch * steps for epoch in config.decay_epochs],
            config.decay_factor,
        )
    decay = config.weight_decay or None
    optimizer: keras.optimizers.Optimizer
    if config.optimizer == "adam":
        optimizer = keras.optimizers.Adam(rate, weight_decay=decay)
    else:
        optimizer = keras.optimizers.SGD(rate, momentum=config.momentum, weight_decay=decay)
    if config.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
