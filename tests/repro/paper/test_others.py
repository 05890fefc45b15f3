"""The claims under other choices: the verdict's own among them, and turned where it must turn."""

from __future__ import annotations

import dataclasses
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from repro.core.results import FigureResult
from repro.core.settings import TrainConfig
from repro.paper import claims, others
from repro.paper.claims import CLAIMS
from tests.helpers import synthetic
from tests.helpers.page import Page, written


def convnets(*tables, name="fig7b"):
    """A figure of one convnet a table."""
    figure = synthetic.units_figure(*tables)
    config = dataclasses.replace(figure.config, name=name)
    networks = tuple(
        dataclasses.replace(item, config=TrainConfig("cifar10", "convnet", seed=item.config.seed))
        for item in figure.networks
    )
    return FigureResult(config, networks, figure.data, figure.command)


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.others], ids=lambda c: c.name)
def test_each_choice_has_the_verdicts_option_once_and_others_that_differ(claim):
    for choice, options in claim.others.items():
        rules = [rule for name, _, rule in claim.ways() if name == choice]
        assert rules.count(claim.rule) == 1
        assert len(set(rules)) == len(options) >= 2


def test_the_verdicts_own_choice_gives_the_verdict():
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, orders=3, points=5)
    (verdict,) = claims.judge(figure)
    found = claims.under_other_choices(figure)
    decided = [one for one in found if one.as_decided]
    assert {one.option for one in decided} == {"normalized AUC"}
    for one in decided:
        assert (one.verdict, one.value, one.interval) == (
            verdict.verdict,
            verdict.value,
            verdict.interval,
        )
    assert {one.option for one in found} == {"normalized AUC", "raw AUC", "AUC above chance"}
    assert len({one.value for one in found}) >= 2


def test_a_choice_whose_sweep_was_not_made_is_not_told():
    """The curves of the figure were made with one clamp: the other is no option of theirs."""
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, orders=3, points=5)
    assert "clamp" not in {one.choice for one in claims.under_other_choices(figure)}
    both = dataclasses.replace(
        figure,
        networks=tuple(
            dataclasses.replace(
                item,
                sweeps=item.sweeps
                | {"mean": synthetic.curve(0.6, seed=index, orders=3, points=5, spread=0.005)},
            )
            for index, item in enumerate(figure.networks)
        ),
    )
    clamp = {one.option: one for one in claims.under_other_choices(both) if one.choice == "clamp"}
    assert clamp["zero"].verdict == "supported" and clamp["zero"].as_decided
    # With the mean, both networks were given curves that reach equally far.
    assert clamp["mean"].verdict != "supported" and abs(clamp["mean"].value) < 0.05


def test_a_raw_area_that_is_only_the_accuracy_turns_the_verdict():
    """Both networks lose the same share; the one with true labels is less accurate."""
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.6}, orders=3, points=9)
    clean, corrupted = figure.networks
    weaker = {
        name: dataclasses.replace(found, n_correct=(found.n_correct * 0.5).astype(np.int64))
        for name, found in clean.sweeps.items()
    }
    figure = dataclasses.replace(
        figure, networks=(dataclasses.replace(clean, sweeps=weaker), corrupted)
    )
    found = {
        one.option: one
        for one in claims.under_other_choices(figure)
        if one.choice == "area under the curve"
    }
    assert found["normalized AUC"].verdict == "supported"
    assert found["raw AUC"].verdict == "not supported" and found["raw AUC"].value < 0
    assert [one.option for one in others.turned(found.values())] == ["raw AUC"]
    assert others.words(list(found.values())).endswith("It turns for C1 (Fig. 1a: raw AUC).")


def test_silent_units_and_the_cost_of_a_unit_are_choices_of_c15():
    """Silent units have no cost and no selectivity, and so make a relation of their own."""
    figure = convnets(synthetic.unit_table(n_units=120, seed=1, dead=40))
    found = [one for one in claims.under_other_choices(figure) if one.claim == "C15"]
    by_choice = {}
    for one in found:
        by_choice.setdefault(one.choice, {})[one.option] = one.value
    assert set(by_choice) == {"cost of a unit", "silent units", "ranks of units"}
    silent = by_choice["silent units"]
    assert silent["selectivity 0"] != silent["left out"]
    assert by_choice["cost of a unit"]["loss"] == silent["selectivity 0"]


def test_the_picture_has_a_cell_for_each_and_is_xml():
    figure = convnets(synthetic.unit_table(n_units=60, seed=2))
    found = claims.under_other_choices(figure)
    drawn = others.draw(found)
    again = others.draw(found)
    assert drawn == again and drawn["png"].startswith(b"\x89PNG")
    groups = [
        element.get("id", "")
        for element in ElementTree.fromstring(drawn["svg"]).iter("{http://www.w3.org/2000/svg}g")
    ]
    assert sum(name.startswith("cell-") for name in groups) == len(found)
    assert others.draw(found, kinds=["svg"], dark=True)["svg"] != drawn["svg"]


def test_report_and_json_have_them():
    figure = convnets(synthetic.unit_table(n_units=60, seed=2, dead=3))
    files, _ = written(figure)
    records = json.loads(files["choices.json"])
    found = claims.under_other_choices(figure)
    assert others.read(records) == found and any(one.interval for one in found)
    text = Page(files["index.html"].decode()).text
    assert "Do the verdicts hold under other choices?" in text
    assert others.words(found) in text
    bare, _ = written(convnets(synthetic.unit_table(n_units=30), name="relations"))
    assert "other choices?" not in Page(bare["index.html"].decode()).text
    assert json.loads(bare["choices.json"]) == []
