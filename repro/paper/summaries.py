"""Results -> TensorBoard events, for the Single Directions tab and the Scalars tab.

Uses TensorBoard's own writer through `tb_plugin.summary`; no TensorFlow is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from repro.core.kinds import (
    AblationCurve,
    CumulativeConfig,
    Functions,
    Intact,
    NoiseConfig,
    NoiseCurve,
    SweepResult,
    UnitTable,
)
from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import PIXEL_RANGES, FigureConfig, TrainConfig
from repro.paper.measures import auc, normalized_auc, score, score_name
from repro.paper.series import class_name, panels
from repro.paper.summary import varied_settings
from tb_plugin import summary as plugin_summary

# Version of what is written of a result: raise it whenever the same results give other summaries. A
# run folder of another version is written anew.
VERSION = 2
# Names of the fills in the tab.
_FILLS = {"zero": "zero", "mean": "mean", "position_mean": "mean per position"}
_MOST_CLASSES = 100  # most classes with columns in the tab's table


def network_label(figure: FigureConfig, network: TrainConfig) -> str:
    """A name that tells a network from the others of its figure: "label_corruption=0.2".

    It is the name of the network's TensorBoard run; the figure's name if the figure has only one
    network.
    """
    varied = varied_settings(figure, network)
    return ",".join(f"{key}={_text(value)}" for key, value in varied.items()) or figure.name


def write(figure: FigureResult, network: NetworkResult, logdir: Path) -> None:
    """Writes one network's training curve and lesions into one TensorBoard run.

    Sweeps along training are written at the epochs of their snapshots, other sweeps at the last
    epoch.
    """
    with plugin_summary.Writer(str(logdir)) as writer:
        for record in network.training.history:
            for name in ("loss", "accuracy"):
                writer.add(
                    plugin_summary.training_scalar(name, record[name]), step=int(record["epoch"])
                )
        if not any(_is_of_test_images(along) for along in network.snapshots.values()):
            for name in ("test_loss", "test_accuracy"):
                value = getattr(network.training, name)
                writer.add(
                    plugin_summary.training_scalar(name, value), step=network.training.epochs
                )
        for name, found in network.sweeps.items():
            for summary in _summaries(found, Place(figure, network, name)):
                writer.add(summary, step=network.training.epochs)
        for name, along in network.snapshots.items():
            for epoch, found in along:
                for summary in _summaries(found, Place(figure, network, name)):
                    writer.add(summary, step=epoch)


def _is_of_test_images(along: Sequence[tuple[int, SweepResult]]) -> bool:
    """Whether a sweep reads the test loss along training, so that its last value is written with
    it."""
    return any(isinstance(found, Intact) and found.images == "test" for _, found in along)


class Place(NamedTuple):
    """Where a sweep was made, for its summaries.

    name: name of the sweep in the figure's config.
    """

    figure: FigureResult
    network: NetworkResult
    name: str

    def tag(self, last: str) -> str:
        """The tag of a series; the sweep's name is part of it unless it is that of the kind."""
        figure = self.figure.config
        is_kind = self.name == dict(figure.sweeps)[self.name].kind
        return f"{figure.name}/{last}" if is_kind else f"{figure.name}/{self.name}/{last}"

    @property
    def settings(self) -> Any:
        """The sweep's settings, of its kind's class."""
        return dict(self.figure.config.sweeps)[self.name]

    @property
    def facts(self) -> dict[str, Any]:
        """The arguments facts and description of the functions of `tb_plugin.summary`."""
        description = f"{self.figure.config.title}. Data: {self.figure.data}."
        return {"facts": _facts(self.figure, self.network), "description": description}


# The summaries of a sweep, by the name of its kind: (record, Place) -> summaries. A kind without
# them, as portraits, is only in the report: the tab shows every unit, and no images.
SUMMARIES = Functions()


def _summaries(found: SweepResult, place: Place) -> Iterable[plugin_summary.Summary]:
    return SUMMARIES[found.kind](found, place) if found.kind in SUMMARIES else ()


@SUMMARIES.of("single_unit")
def _units(found: UnitTable, place: Place) -> Iterator[plugin_summary.Summary]:
    classes = [class_name(place.network, number) for number in range(len(found.class_counts))]
    yield _unit_table(place.tag("units"), found, classes, **place.facts)


@SUMMARIES.of("intact")
def _intact(found: Intact, place: Place) -> Iterator[plugin_summary.Summary]:
    yield plugin_summary.training_scalar(f"{found.images}_loss", found.loss)
    yield plugin_summary.training_scalar(f"{found.images}_accuracy", found.accuracy)


@SUMMARIES.of("noise")
def _noise(found: NoiseCurve, place: Place) -> Iterator[plugin_summary.Summary]:
    yield plugin_summary.noise_curve(
        place.tag("accuracy_vs_noise"),
        found.scales,
        score(place.network, found),
        n_units=sum(size for _, size in found.layers),
        split=found.images,
        per=_drawn_per(place.settings, place.network.config),
        score=score_name(place.network),
        **place.facts,
    )


def _drawn_per(settings: NoiseConfig, network: TrainConfig) -> str:
    """What has a draw of its own: a unit of a dense network has one position."""
    whole = settings.per == "map" or network.architecture.has("hidden_units")
    return "unit" if whole else "position"


@SUMMARIES.of("cumulative")
def _curve(found: AblationCurve, place: Place) -> Iterator[plugin_summary.Summary]:
    settings = place.settings
    yield plugin_summary.ablation_curve(
        place.tag("accuracy_vs_ablation"),
        found.n_ablated,
        score(place.network, found),
        n_units=sum(size for _, size in found.layers),
        split=found.images,
        score=score_name(place.network),
        fill=_clamped_to(settings),
        order=_order_words(place),
        layers=_layers_words(found, settings),
        **place.facts,
    )
    network = place.network
    if place.name in network.snapshots:
        one = NetworkResult(network.config, network.training, {place.name: found})
        for measure, values in (("auc", auc(one)), ("normalized_auc", normalized_auc(one))):
            yield plugin_summary.training_scalar(measure, float(values.mean()))


def _clamped_to(settings: CumulativeConfig) -> str:
    if settings.basis == "unit":
        return _FILLS[settings.fill]
    return "direction" if settings.fill == "zero" else f"direction, {_FILLS[settings.fill]}"


def _layers_words(found: AblationCurve, settings: CumulativeConfig) -> str:
    if not (settings.last_layers or settings.only_layer):
        return "all"
    return ", ".join(layer for layer, _ in found.layers)


def _order_words(place: Place) -> str:
    """The order of ablation; with the images that it was found on, if sweeps differ in them."""
    settings = place.settings
    ranked_on = {
        getattr(sweep, "ranked_on", "")
        for _, sweep in place.figure.config.sweeps
        if getattr(sweep, "order", "random") != "random"
    }
    told = settings.ranked_on and len(ranked_on) > 1
    if settings.order == "random":
        return "random"
    first = "highest" if settings.descending else "lowest"
    ranked = f", ranked on {settings.ranked_on} images" if told else ""
    return f"{settings.order.replace('_', ' ')}, {first} first{ranked}"


def _unit_table(
    tag: str, found: UnitTable, classes: list[str], facts: dict[str, str], description: str
) -> plugin_summary.Summary:
    few = len(classes) <= _MOST_CLASSES
    means = np.where(found.class_counts[:, None] > 0, found.class_means, np.nan)
    return plugin_summary.unit_table(
        tag,
        [str(name) for name in found.layer_names],
        found.unit_indices,
        {
            "class_selectivity": found.class_selectivity,
            "mutual_information": found.mutual_information,
            "importance": found.importance,
            "accuracy_drop": found.accuracy_drop,
            "largest_class_drop": found.largest_class_drop,
            "weight_norm": found.weight_norm,
            "mean_activation": found.mean_activation,
            "sparsity": found.sparsity,
        },
        classes=classes if few else (),
        class_means=means.T if few else None,
        class_drops=found.class_drops if few else None,
        class_sizes=found.class_counts if few else None,
        facts=facts | {"images": f"{found.n_images:,} {found.images} images"},
        description=description,
    )


def _facts(figure: FigureResult, network: NetworkResult) -> dict[str, str]:
    config, training = network.config, network.training
    varied = varied_settings(figure.config, config)
    return {
        "figure": figure.config.name,
        "views": _views(figure.config),
        "profile": figure.config.profile,
        "label corruption": _text(config.label_corruption),
        "network": " ".join([config.network, "-".join(map(str, config.hidden_units))]).strip(),
        "data": f"{figure.data}; {training.n_train:,} training images",
        **_pixels(config),
        **{key.replace("_", " "): _text(value) for key, value in varied.items()},
        "seed": str(config.seed),
        "epochs": str(training.epochs),
        "training accuracy": f"{training.train_accuracy:.4f}",
        "test accuracy": f"{training.test_accuracy:.4f}",
        "model": config.run_id,  # folder name, by which the lesion lab lists the network
    }


# The view of the tab that shows what a panel shows, by the panel's kind.
_VIEWS = {
    "curves": "curves",
    "noise": "noise",
    "units": "units",
    "distributions": "distributions",
    "epochs": "training",
    "networks": "training",
    "portrait": "unit",
}
# Columns of the tab's unit tables in place of measures that only the report has.
_NEAREST = {
    "corrected_information": "mutual_information",
    "held_out_class_drop": "largest_class_drop",
}


def _views(config: FigureConfig) -> str:
    """The views that a figure is made for, in the order of its panels, each with the quantities on
    its axes: "units class_selectivity weight_norm; curves". Curves that compare sweeps of one
    network, and not networks, are "curves sweep"."""
    usual = {"units": ("class_selectivity", "importance"), "distributions": ("class_selectivity",)}
    views = []
    for panel in panels(config):
        if panel.kind not in _VIEWS:
            continue
        view = _VIEWS[panel.kind]
        axes = [
            _NEAREST.get(asked, asked) or default
            for asked, default in zip((panel.x, panel.y), usual.get(panel.kind, ()), strict=False)
        ]
        compared = ["sweep"] if panel.series == ("sweep",) and view == "curves" else []
        views.append(" ".join([view, *axes, *compared]))
    return "; ".join(dict.fromkeys(views))


def _pixels(config: TrainConfig) -> dict[str, str]:
    """The range that a network brings its pixels to, where it does."""
    if config.pixel_range == PIXEL_RANGES[0]:
        return {}
    return {"pixel range": config.pixel_range}


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
