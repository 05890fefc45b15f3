"""The report's tables of a figure's networks, made from the numbers of summary.json."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from repro.core.kinds import KINDS, Functions
from repro.display.html import Table
from repro.paper.series import setting_words

_ROWS = 24  # most rows of a table of networks; summary.json has all


def networks(numbers: Mapping[str, Any]) -> Table:
    networks = numbers["networks"][:_ROWS]
    more = len(numbers["networks"]) - len(networks)
    return Table(
        "One row a network." + (f" {more} more are in summary.json." if more else ""),
        ("Network", "Epochs", "Train accuracy", "Test accuracy", "Train loss", "Test loss"),
        [
            (
                _label(network),
                _epochs(network),
                _decimal(network["train_accuracy"], 4),
                _decimal(network["test_accuracy"], 4),
                _decimal(network["train_loss"], 4),
                _decimal(network["test_loss"], 4),
            )
            for network in networks
        ],
    )


def variants(numbers: Mapping[str, Any]) -> Iterator[Table]:
    """What corrupted labels cost in each variant; none for a figure without variants."""
    found = numbers.get("variants")
    if not found or not found["rows"]:
        return
    yield Table(
        "One row a variant. AUC: true minus corrupted labels, with the bar of the rule of C1.",
        (
            "Variant",
            "Settings",
            "Normalized AUC",
            "Raw AUC",
            "Train accuracy, true",
            "Train accuracy, corrupted",
        ),
        [
            (
                setting_words("variant", row["variant"]),
                row["settings"],
                _difference(row["normalized_auc_difference"]),
                _difference(row["auc_difference"]),
                _decimal(row["train_accuracy_true"], 4),
                _decimal(row["train_accuracy_corrupted"], 4),
            )
            for row in found["rows"]
        ],
    )


def _difference(found: Mapping[str, float | None]) -> str:
    value, low, high = (found[key] for key in ("value", "low", "high"))
    if value is None:
        return "undefined"
    return f"{value:+.3f}" + ("" if low is None else f" [{low:+.3f}, {high:+.3f}]")


def _label(network: Mapping[str, Any]) -> str:
    """The settings that tell a network from the others of its figure, in words."""
    words = []
    for key, value in network["settings"].items():
        words.append(setting_words(key, value))
    return ", ".join(words) or f"seed {network['seed']}"


def of_sweep(numbers: Mapping[str, Any], name: str) -> Iterable[Table]:
    """Tables of one sweep's results in each network; none for a sweep along training, which the
    picture shows."""
    found = [
        (network, network["sweeps"][name])
        for network in numbers["networks"][:_ROWS]
        if name in network["sweeps"]
    ]
    if not found or found[0][1]["kind"] not in TABLES:
        return ()
    return TABLES[found[0][1]["kind"]](numbers, name, found)


_Rows = Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]

# The page's tables of a sweep, by the name of its kind: (numbers of the figure, name of the sweep,
# [(numbers of a network, numbers of the sweep in it)]) -> tables.
TABLES = Functions()


@TABLES.of("cumulative")
def _curves_tables(numbers: Mapping[str, Any], name: str, found: _Rows) -> Iterator[Table]:
    yield Table(
        f"{_heading(name, found)}. AUC: mean ± s.d. over orders, on "
        f"{found[0][1]['n_images']:,} {found[0][1]['images']} images, filled with "
        f"{found[0][1]['fill'].replace('_', ' ')}.",
        ("Network", "AUC", "Normalized AUC", "Orders", "Units"),
        [
            (
                _label(network),
                _spread(sweep["auc"]),
                _spread(sweep["normalized_auc"]),
                str(sweep["orders"]),
                f"{sweep['n_units']:,}",
            )
            for network, sweep in found
        ],
    )


@TABLES.of("noise")
def _noise_tables(numbers: Mapping[str, Any], name: str, found: _Rows) -> Iterator[Table]:
    yield Table(
        f"{_heading(name, found)}. Accuracy relative to the intact network, averaged over all "
        f"scales: mean ± s.d. over draws, on {found[0][1]['n_images']:,} "
        f"{found[0][1]['images']} images.",
        ("Network", "Relative accuracy", "Draws"),
        [
            (_label(network), _spread(sweep["noise_tolerance"]), str(sweep["draws"]))
            for network, sweep in found
        ],
    )


@TABLES.of("single_unit")
def _units_tables(numbers: Mapping[str, Any], name: str, found: _Rows) -> Iterator[Table]:
    yield Table(
        f"{_heading(name, found)}. rho: Spearman's rank correlation of class selectivity and "
        f"importance over all units, with its 95 % bootstrap interval.{_absent_words(found)}",
        ("Network", "rho", "rho without silent units", "Silent units", "Class selectivity"),
        [
            *(
                (
                    _label(network),
                    _rho(sweep["all_units"]),
                    _rho(sweep["live_units"]),
                    f"{sweep['dead']:,} of {sweep['n_units']:,}",
                    _spread(sweep["class_selectivity"]),
                )
                for network, sweep in found
            ),
            *_over_networks(numbers),
        ],
    )
    yield Table(
        "One row a layer. Importance: change of loss when the unit is ablated, mean ± s.d. "
        "over units. Mutual information: its bias subtracted.",
        (
            "Layer",
            "Network",
            "Units",
            "Silent",
            "Class selectivity",
            "Mutual information (bits)",
            "Importance (nats)",
            "rho",
        ),
        [
            (
                layer["layer"],
                _label(network),
                f"{layer['n_units']:,}",
                f"{layer['dead']:,}",
                _spread(layer["class_selectivity"]),
                _spread(layer["mutual_information"]),
                _spread(layer["importance"], ".2g"),
                _rho(layer),
            )
            for network, sweep in found
            for layer in sweep["layers"]
        ][: 2 * _ROWS],
    )


def _absent_words(found: _Rows) -> str:
    """A sentence that classes without images do not count; "" if all classes have images."""
    absent = sorted({sweep.get("classes_without_images", 0) for _, sweep in found} - {0})
    if not absent:
        return ""
    many = f"{absent[0]:,}" + (f" to {absent[-1]:,}" if len(absent) > 1 else "")
    return (
        f" {many} of the classes have no images here and do not count; where fewer than two have, "
        "class selectivity is not defined."
    )


@TABLES.of("portraits")
def _portraits_tables(numbers: Mapping[str, Any], name: str, found: _Rows) -> Iterator[Table]:
    yield Table(
        "The units shown. Rank: by importance, among the units they were picked from.",
        ("Picked as", "Unit", "Class selectivity", "Importance (nats)", "Rank", "Network"),
        [
            (
                unit["role"],
                unit["unit"],
                _decimal(unit["class_selectivity"], 3),
                "undefined" if unit["importance"] is None else f"{unit['importance']:.2g}",
                f"{unit['rank']:,} of {sweep['n_units']:,}",
                _label(network),
            )
            for network, sweep in found
            for unit in sweep["units"]
        ],
    )


@TABLES.of("fragility")
def _images_tables(numbers: Mapping[str, Any], name: str, found: _Rows) -> Iterator[Table]:
    yield Table(
        f"{_heading(name, found)}, on {found[0][1]['n_images']:,} {found[0][1]['images']} images. "
        "Area: under the ROC curve of finding shuffled labels. Units: mean number of those that "
        "change an answer, chosen greedily.",
        (
            "Network",
            "Area by fragility",
            "Area by loss",
            "Area by margin",
            "Fragility, shuffled",
            "Fragility, true",
            "Units, shuffled",
            "Units, true",
        ),
        [
            (
                _label(network),
                *(_decimal(area, 3) for area in sweep["areas"].values()),
                *(_spread(sweep[kind]["fragility"]) for kind in ("shuffled", "true")),
                *(_units(sweep[kind]["flips"]) for kind in ("shuffled", "true")),
            )
            for network, sweep in found
        ],
    )


def _units(flips: Mapping[str, Any]) -> str:
    """A mean number of units; that more were needed than were tried; or that none was sought."""
    if not flips["images"]:
        return "not asked"
    return "more than tried" if flips["mean"] is None else f"{flips['mean']:.2f}"


def _heading(name: str, found: _Rows) -> str:
    """What kind of sweep a table is of, and the sweep's name."""
    return f"{KINDS[found[0][1]['kind']].title} “{name.replace('_', ' ')}”"


def _over_networks(numbers: Mapping[str, Any]) -> list[tuple[str, ...]]:
    together = numbers.get("over_networks")
    if not together or together["networks"] < 2:
        return []
    sd = "" if together["sd"] is None else f", s.d. over networks {together['sd']:.2f}"
    return [("all, ranks pooled", _rho(together) + sd, "", "", "")]


def _epochs(network: Mapping[str, Any]) -> str:
    return f"{network['epochs']:,}" + (" (stopped)" if network["stopped_early"] else "")


def _decimal(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _spread(found: Mapping[str, float | None], style: str = ".3f") -> str:
    if found["mean"] is None:
        return "undefined"
    return f"{found['mean']:{style}}" + ("" if found["sd"] is None else f" ± {found['sd']:{style}}")


def _rho(found: Mapping[str, Any]) -> str:
    if found["rho"] is None:
        return f"undefined (n = {found['n']:,})"
    return f"{found['rho']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
