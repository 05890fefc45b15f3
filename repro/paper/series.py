"""What a panel shows: which networks and sweeps make one curve or one colour, and their names in
legends and titles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from repro.core.kinds import (
    KINDS,
    shown_by,
)
from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import FigureConfig, PanelConfig, TrainConfig
from repro.core.words import percent
from repro.paper.measures import generalization_error, memorised

_OWN_FIGURES = {
    "rotated": "Rotated basis",
    "classdrop": "Largest class drop",
    "ordered": "Ordered ablation",
    "bnxdropout": "BatchNorm × dropout",
    "regularizer": "Selectivity regularizer",
    "overtraining": "Fig. 7 over training",
    "illustration": "Two units",
    "memorizing": "AUC while memorising",
    "relations": "Relations",
    "sensitivity": "Sensitivity",
    "fragile": "Fragile images",
    "fragilefashion": "Fragile images, clothes",
    "fragilecifar": "Fragile images, objects",
}


def is_of_paper(name: str) -> bool:
    """Whether a figure of this name is one of the paper's, which are called fig1a and the like.

    >>> is_of_paper("figA1"), is_of_paper("rotated")
    (True, False)
    """
    return name.startswith("fig") and len(name) > 3


def figure_label(name: str) -> str:
    """A figure's name as the paper writes it, or in words where the figure is ours.

    >>> figure_label("fig1a")
    'Fig. 1a'
    >>> figure_label("rotated")
    'Rotated basis'
    """
    if is_of_paper(name):
        return f"Fig. {name[3:]}"
    return _OWN_FIGURES.get(name, name)


def class_name(network: NetworkResult, number: int) -> str:
    """The name of a class; its number if the data set has no names."""
    names = network.training.facts.get("class_names") or network.config.data_set.class_names
    return names[number] if number < len(names) else str(number)


def panels(figure: FigureConfig) -> tuple[PanelConfig, ...]:
    """The figure's panels; without panels in the config, one that suits the first sweep."""
    if figure.panels:
        return figure.panels
    varied = tuple(k for k, values in figure.grid if len(values) > 1 and k != "seed")
    varied = (*varied, *(["variant"] if figure.variants else []))
    name, sweep = figure.sweeps[0]
    shown_in = (*KINDS[sweep.kind].panels, "networks")
    return (PanelConfig(shown_in[0], sweep=name, series=varied),)


@dataclass(frozen=True)
class Series:
    """Networks that a panel shows as one: a curve, a histogram, points of one colour.

    key: values of the settings in which series differ, in the panel's order.
    sweep: name of the sweep that the series shows.
    """

    key: tuple[Any, ...]
    label: str
    networks: tuple[NetworkResult, ...]
    sweep: str


def series(figure: FigureResult, panel: PanelConfig) -> list[Series]:
    """The series of a panel, in the order of their settings."""
    names = [name for name, _ in figure.config.sweeps]
    if "sweep" in panel.series:
        kind = shown_by(panel.kind)
        chosen = [
            name
            for name, sweep in figure.config.sweeps
            if (kind is None or sweep.kind == kind.name)
            and (not panel.sweeps or name in panel.sweeps)
        ]
    else:
        chosen = [panel.sweep or names[0]]
    settings = [key for key in panel.series if key not in ("sweep", "layer")]
    if panel.best_and_worst:
        return _best_and_worst(figure.networks, panel.best_and_worst, chosen[0])
    groups: dict[tuple[Any, ...], list[NetworkResult]] = {}
    for network in figure.networks:
        key = tuple(_value(figure.config, network.config, setting) for setting in settings)
        groups.setdefault(key, []).append(network)
    names_of_variants = figure.config.variant_names

    def place(key: tuple[Any, ...]) -> tuple[Any, ...]:
        """Variants stand in the order of the config, other settings in that of their values."""
        return tuple(
            names_of_variants.index(value) if setting == "variant" else value
            for setting, value in zip(settings, key, strict=True)
        )

    found = []
    for name in chosen:
        for key in sorted(groups, key=place):
            alone = len(settings) == 1 and len(chosen) == 1
            words = [setting_words(k, value, alone) for k, value in zip(settings, key, strict=True)]
            if len(chosen) > 1:
                words.insert(0, name.replace("_", " "))
            whole = (name, *key) if len(chosen) > 1 else key
            found.append(Series(whole, ", ".join(words), tuple(groups[key]), name))
    return found


def _value(figure: FigureConfig, network: TrainConfig, setting: str) -> Any:
    """A network's value of what tells series apart: a setting, or "variant"."""
    return figure.variant_of(network) if setting == "variant" else getattr(network, setting)


def _best_and_worst(networks: Sequence[NetworkResult], n: int, sweep: str) -> list[Series]:
    """The n networks of smallest and of largest generalization error, of those that memorised."""
    ranked = sorted(memorised(networks), key=generalization_error)
    n = min(n, len(ranked) // 2)
    ends = (("best", ranked[:n]), ("worst", ranked[len(ranked) - n :]))
    return [Series((end,), f"{n} {end}", tuple(chosen), sweep) for end, chosen in ends if chosen]


def setting_words(key: str, value: Any, alone: bool = False) -> str:
    """A setting in words for a legend; shorter if the legend's title names the setting.

    >>> setting_words("label_corruption", 0.0, alone=True), setting_words("batch_norm", False)
    ('0 % (clean)', 'without batch norm')
    """
    if key == "label_corruption" and alone:
        return f"{percent(value)} (clean)" if value == 0 else percent(value)
    if key == "label_corruption":
        return "true labels" if value == 0 else f"{percent(value)} corrupted"
    if key == "variant":
        return str(value).replace("_", " ")
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {key.replace('_', ' ')}"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if key == "selectivity_regularizer":
        return f"α = {text}"
    return f"{key.replace('_', ' ')} {text}"
