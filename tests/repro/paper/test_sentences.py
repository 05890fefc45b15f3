"""The sentence on a figure tells the numbers that its results were made with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from repro.core.settings import PanelConfig
from repro.core.toml import load_figure
from repro.core.words import typeset
from repro.paper.sentences import sentence
from tests.helpers import synthetic

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem.split("_")[0])
def test_every_figure_has_one(path: Path) -> None:
    figure = synthetic.figure_result(load_figure(path, "quick"))
    words = sentence(figure)
    assert words.endswith(".") and len(words) < 260 and words == typeset(words)
    assert words[0].isupper() or words[0].isdigit()
    assert sentence(dataclasses.replace(figure, networks=())) == ""


def lost_by(reach: float) -> str:
    """Where `synthetic.curve` has lost half: a logistic curve, cut off at both ends, read at every
    hundredth of the units."""
    ends = special.expit((np.array([0.0, 1.0]) - reach) / 0.08)
    return f"{np.ceil(100 * (reach + 0.08 * special.logit(ends.mean()))):.0f} %"


def test_curves_tell_where_half_is_lost() -> None:
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.43}, spread=0, points=101, n_units=1000)
    assert lost_by(0.43) == "44 %"
    assert sentence(figure) == (
        f"Half of the accuracy that can be lost is lost with {lost_by(0.8)} of the units ablated "
        f"(true labels) and with {lost_by(0.43)} (100 % corrupted)."
    )


def test_of_many_curves_the_first_and_the_last_to_fall_are_told() -> None:
    reaches = {0.0: 0.73, 0.2: 0.53, 0.4: 0.23, 0.6: 0.43, 0.8: 0.33, 1.0: 0.63}
    words = sentence(synthetic.curves_figure(reaches, spread=0, points=101, n_units=1000))
    first, last = lost_by(0.23), lost_by(0.73)
    ends = f"with {last} of the units ablated (true labels) and with {first} (40 % corrupted)."
    assert words.endswith(ends)


def test_where_nothing_is_lost_it_says_so() -> None:
    figure = synthetic.curves_figure({0.0: 0.8}, points=5)
    (network,) = figure.networks
    curve = network.sweeps["cumulative"]
    flat = dataclasses.replace(curve, n_correct=np.full_like(curve.n_correct, 400))
    figure = dataclasses.replace(
        figure, networks=(dataclasses.replace(network, sweeps={"cumulative": flat}),)
    )
    assert sentence(figure) == "Ablating units does not lower the accuracy here."


@pytest.mark.parametrize(
    ("slope", "n_units", "words"),
    [
        (30.0, 256, "Units of larger class selectivity tend to have a larger change of loss"),
        (-30.0, 256, "Units of larger class selectivity tend to have a smaller change of loss"),
        (0.0, 2000, "A unit's class selectivity says next to nothing about its change of loss"),
        (
            0.0,
            12,
            "Whether class selectivity and change of loss on ablation go together stays",
        ),
    ],
)
def test_units_tell_how_two_measures_go_together(slope: float, n_units: int, words: str) -> None:
    table = synthetic.unit_table(slope, n_units=n_units, early=1.0)
    said = sentence(synthetic.units_figure(table))
    assert said.startswith(words) and f"over {n_units:,} units)." in said


@pytest.mark.parametrize(("n_seeds", "few"), [(2, True), (12, False)])
def test_few_networks_are_said_to_be_few(n_seeds: int, few: bool) -> None:
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, points=5, seeds=range(n_seeds))
    panel = PanelConfig("networks", x="generalization_error", y="normalized_auc")
    figure = dataclasses.replace(
        figure,
        config=dataclasses.replace(figure.config, panels=(panel,)),
        networks=tuple(
            dataclasses.replace(
                network,
                training=dataclasses.replace(
                    network.training, test_accuracy=0.9 - network.config.label_corruption / 2
                ),
            )
            for network in figure.networks
        ),
    )
    said = sentence(figure)
    if few:
        assert said.startswith("4 networks are too few to say how generalization error and")
        assert "[" not in said
    else:
        assert said.startswith("A larger generalization error goes with a smaller normalized AUC")
        assert "24 networks)" in said and "[−" in said
