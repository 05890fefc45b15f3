"""Trains several networks of one architecture in one JAX program.

Small networks leave an accelerator idle, and a step of one costs more time to start than to run.
So here an epoch of several networks is one program: `jax.lax.scan` over the batches, `jax.vmap`
over the networks, images in the device's memory, and only the order of images comes from the host
in each epoch. A step is Keras's own (`model.train_step`), so losses, schedules, regularizers and
metrics are the same as in `repro.training`; a single network is an ensemble of one.

Networks can share a program if their configs differ in nothing but `settings.PER_NETWORK`. Each
network has its own checkpoints: an ensemble can be resumed in parts or one by one. On a CPU, a
network trained alone is resumed to the same bits; in another ensemble sums may be computed in
another order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from repro.core.settings import PER_NETWORK, TrainConfig, can_share
from repro.data.images import Images, Splits, epoch_order
from repro.training.trainee import (
    Checkpoints,
    Keeper,
    OnEpoch,
    Trained,
    Trainee,
    TrainingError,
    distributed,
)

# Values of the trained weights, of the model's other variables, and of the optimizer's variables.
State = tuple[list[Any], list[Any], list[Any]]


@dataclass(frozen=True)
class Member:
    """One network of an ensemble: the arguments of `train.train`."""

    config: TrainConfig
    splits: Splits
    checkpoints: Checkpoints
    on_epoch: OnEpoch = lambda epoch, record: None


def train(
    members: Sequence[Member], seconds_between_checkpoints: float = 10.0
) -> list[Trained | TrainingError]:
    """Trains networks together, each from its latest checkpoint if there is one.

    Args:
        members: networks whose configs `can_share`, with the same number of images, in memory.

    Returns:
        The result of each member. A member whose loss is not finite ends with an error; the others
        go on. `seconds` is the time of the whole program.

    Raises:
        TrainingError: the backend is not JAX.
        ValueError: the networks cannot share a program.
    """
    data = _checked(members)
    with distributed(members[0].config):
        networks = [_Network(member, seconds_between_checkpoints) for member in members]
        errors: dict[int, TrainingError | None] = {}
        # Members that stopped at different epochs continue in separate groups.
        for epoch in sorted({network.keeper.epochs_done for network in networks}):
            group = [
                n
                for n, network in enumerate(networks)
                if network.keeper.epochs_done == epoch and not network.keeper.over
            ]
            if group:
                program = _Program([networks[n] for n in group], [data[n] for n in group])
                errors |= dict(zip(group, program.run(), strict=True))
    seconds = max(one.keeper.seconds for one in networks)
    return [
        errors.get(n) or Trained(one.trainee.finished(), one.keeper.history, seconds)
        for n, one in enumerate(networks)
    ]


def _checked(members: Sequence[Member]) -> list[Images]:
    """The training images of members that can share a program."""
    if keras.backend.backend() != "jax":
        raise TrainingError("networks are trained together with JAX only: set KERAS_BACKEND=jax")
    first = members[0].config
    for member in members[1:]:
        if not can_share(first, member.config, asked=True):
            raise ValueError(
                "networks of one program are mlps or convnets that differ in "
                f"{', '.join(PER_NETWORK)} alone; got {first} and {member.config}"
            )
    data = [one.splits.train for one in members if isinstance(one.splits.train, Images)]
    if len(data) < len(members):
        raise ValueError("networks of one program need their images in memory")
    shapes = {images.images.shape for images in data}
    if len(shapes) > 1:
        raise ValueError(f"networks of one program need equally many images; got {sorted(shapes)}")
    return data


class _Network:
    """One member's network and its keeper."""

    def __init__(self, member: Member, seconds_between_checkpoints: float) -> None:
        self.config = member.config
        self.trainee = Trainee(member.config, member.splits)
        self.keeper = Keeper(
            self.trainee, member.checkpoints, member.on_epoch, seconds_between_checkpoints
        )

    def _groups(self) -> tuple[list[Any], list[Any], list[Any]]:
        model = self.trainee.model
        return model.trainable_variables, model.non_trainable_variables, model.optimizer.variables

    @property
    def state(self) -> State:
        """Values of the variables, in the groups of Keras's training step."""
        trainable, others, optimizer = (
            [variable.value for variable in group] for group in self._groups()
        )
        return trainable, others, optimizer

    def update(self, state: State) -> None:
        """Assigns the values of a state to the variables."""
        for variables, values in zip(self._groups(), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)


class _Program:
    """One epoch of several networks; the first network gives the architecture."""

    def __init__(self, networks: Sequence[_Network], data: Sequence[Images]) -> None:
        import jax
        import jax.numpy as jnp

        self._networks = networks
        self._model = networks[0].trainee.model
        images = [one.images for one in data]
        self._n_images = len(images[0])
        shared = all(other is images[0] or np.array_equal(other, images[0]) for other in images)
        self._images = jnp.asarray(images[0] if shared else np.stack(images))
        self._labels = jnp.asarray(np.stack([one.labels for one in data]))
        epoch = one_epoch(self._model, networks[0].config.batch_size, networks[0].trainee.n_outputs)
        if len(networks) > 1:
            epoch = jax.vmap(epoch, in_axes=(0, 0, None if shared else 0, 0, 0))
        else:  # no axis of networks: convolutions stay plain
            self._images = self._images if shared else self._images[0]
        self._epoch = jax.jit(epoch)
        self._metrics = _metrics_at_start(self._model, images[0].shape[1:])

    def run(self) -> list[TrainingError | None]:
        """Trains until every network is finished; returns the error of each network that failed."""
        errors: list[TrainingError | None] = [None] * len(self._networks)
        state = self._joined([network.state for network in self._networks])
        metrics = self._joined([self._metrics] * len(self._networks))
        going = set(range(len(self._networks)))
        epoch = self._networks[0].keeper.epochs_done
        while going:
            orders = [epoch_order(self._n_images, n.config.seed, epoch) for n in self._networks]
            state, sums = self._epoch(
                state,
                metrics,
                self._images,
                self._joined(list(self._labels)),
                self._joined(orders),
            )
            for n in sorted(going):
                network = self._networks[n]
                try:
                    network.keeper.after_epoch(
                        self._logs(self._part(sums, n)),
                        partial(self._update, network, state, n),
                    )
                except TrainingError as error:
                    errors[n] = error
                if errors[n] or network.keeper.over:
                    going.discard(n)
            epoch += 1
        return errors

    def _update(self, network: _Network, state: State, n: int) -> None:
        network.update(self._part(state, n))

    def _logs(self, sums: Sequence[Any]) -> dict[str, Any]:
        """Keras's logs at the end of an epoch, from the metrics' variables."""
        for variable, value in zip(self._model.metrics_variables, sums, strict=True):
            variable.assign(value)
        return self._model.get_metrics_result()

    def _joined(self, parts: Sequence[Any]) -> Any:
        """The trees of several networks as one tree with an axis of networks; the tree of a single
        network unchanged."""
        import jax
        import jax.numpy as jnp

        if len(parts) == 1:
            return jax.tree.map(jnp.asarray, parts[0])
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)

    def _part(self, joined: Any, n: int) -> Any:
        """The tree of one network."""
        import jax

        if len(self._networks) == 1:
            return joined
        return jax.tree.map(lambda leaf: leaf[n], joined)


def one_epoch(
    model: keras.Model, batch_size: int, n_outputs: int
) -> Callable[[State, list[Any], Any, Any, Any], tuple[State, list[Any]]]:
    """A pure function of (state, metrics, images, labels, order) that trains one epoch.

    Args:
        model: compiled; with JAX, `model.train_step` is a pure function of its variables' values.
        n_outputs: number of the model's outputs; each gets the labels.

    Returns:
        The function. It returns the state after the epoch, and the metrics' variables. The last
        batch may be smaller.
    """
    import jax

    def step(carry: Any, index: Any) -> tuple[Any, None]:
        state, metrics, images, labels = carry
        batch = _split_over_devices(images[index])
        labels_of_batch = labels[index]
        targets = (labels_of_batch,) * n_outputs if n_outputs > 1 else labels_of_batch
        _, (*new_state, metrics) = model.train_step((*state, metrics), (batch, targets))
        return (tuple(new_state), metrics, images, labels), None

    def epoch(state: State, metrics: Any, images: Any, labels: Any, order: Any) -> Any:
        n_full = len(order) // batch_size
        carry = (state, metrics, images, labels)
        carry, _ = jax.lax.scan(step, carry, order[: n_full * batch_size].reshape(n_full, -1))
        if len(order) % batch_size:
            carry, _ = step(carry, order[n_full * batch_size :])
        return carry[:2]

    return epoch


def _split_over_devices(batch: Any) -> Any:
    """The batch, split over the devices if training is data-parallel. A smaller last batch that
    cannot be split evenly is copied to every device."""
    distribution = keras.distribution.distribution()
    if distribution is None or len(batch) % len(keras.distribution.list_devices()):
        return batch
    return keras.distribution.distribute_tensor(batch, distribution.get_data_layout(batch.shape))


def _metrics_at_start(model: keras.Model, image_shape: tuple[int, ...]) -> list[Any]:
    """Initial values of the metrics' variables, which Keras makes with the first labels."""
    image = np.zeros((1, *image_shape), np.float32)
    outputs = model(image, training=False)
    label = np.zeros(1, np.int32)
    labels = tuple(label for _ in outputs) if isinstance(outputs, list | tuple) else label
    model.compute_loss(image, labels, outputs)
    model.compute_metrics(image, labels, outputs)
    model.reset_metrics()
    return [variable.value for variable in model.metrics_variables]
