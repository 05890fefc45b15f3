"""The report of a figure of one's own: its command, the paper's number, the choices told."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from repro.core.toml import find_figures, load_figure
from repro.paper import claims
from repro.paper.choices import choices
from repro.paper.request import ReportRequest
from tests.helpers import synthetic
from tests.helpers.page import Page, written

CONFIGS = Path(__file__).parents[3] / "configs"
OWN = """
title = "Mine"
[common.train]
dataset = "fashion_mnist"
network = "mlp"
hidden_units = [32, 32]
epochs = 8
[quick.single_unit]
images = "test"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "my configs"
    folder.mkdir()
    (folder / "fig7a_fashion.toml").write_text(OWN)
    return folder


def test_the_printed_command_names_the_folder_of_the_configs(own: Path) -> None:
    figure = load_figure(own / "fig7a_fashion.toml", "quick")
    asked = ReportRequest(configs_dir=str(own))
    assert f"--configs_dir={own}" in shlex.split(asked.command_of(figure))
    # The command finds the figure again.
    assert find_figures(asked.configs_directory, ["fig7a"])
    assert "configs_dir" not in ReportRequest().command_of(figure)


def test_beside_another_data_set_the_papers_number_says_on_which_it_is() -> None:
    mnist = synthetic.units_figure(synthetic.unit_table())
    train = dataclasses.replace(mnist.config.train, dataset="fashion_mnist", origin="")
    fashion = dataclasses.replace(mnist, config=dataclasses.replace(mnist.config, train=train))
    words = {one.claim: one.paper for one in claims.judge(fashion)}
    assert words["C14"] == "rho = 0.095, on MNIST" and words["C17"] == "no number"
    assert {one.claim: one.paper for one in claims.judge(mnist)}["C14"] == "rho = 0.095"
    assert "ρ = 0.095, on MNIST" in Page(written(fashion)[0]["index.html"].decode()).text


def test_each_number_of_the_paper_knows_its_data_set() -> None:
    datasets = {}
    for path in sorted(CONFIGS.glob("*.toml")):
        figure = load_figure(path, "paper")
        datasets[figure.name] = figure.train.dataset
    for claim in claims.CLAIMS:
        if claim.paper_value is not None:
            assert {datasets[name] for name in claim.figures} == {claim.data}
            assert claim.paper_words(claim.data) == claim.paper
            words = claim.paper_words("another")
            assert re.search(r"on (MNIST|CIFAR-10)$", words) and words.count(" on ") == 1, words


def test_choices_are_those_of_the_figures_that_are_shown(own: Path) -> None:
    figure = load_figure(own / "fig7a_fashion.toml", "quick")
    figure = dataclasses.replace(figure, name="mine")
    found = dict(choices([figure]))
    words = " ".join([*found, *found.values()])
    assert not re.search(r"Fig\. |ImageNet|CIFAR|ResNet|[Cc]onvnet|None in", words)
    assert {"Optimizer", "Images", "Class selectivity", "Rank correlation"} <= set(found)
    assert not {"Noise", "AUC", "Label corruption", "Clamping to the mean"} & set(found)
    curve = load_figure(CONFIGS / "fig1a_memorization_mnist.toml", "paper")
    found = dict(choices([dataclasses.replace(curve, name="mine")]))
    assert "0, 0.2, 0.4, 0.6, 0.8 and 1" in found["Label corruption"] and "AUC" in found
    assert not {"Class selectivity", "Mutual information", "Noise"} & set(found)


def test_the_mean_that_is_told_is_the_mean_that_was_taken() -> None:
    def told(name: str) -> str:
        (path,) = CONFIGS.glob(f"{name}_*.toml")
        return dict(choices([load_figure(path, "quick")]))["Clamping to the mean"]

    assert "each position" in told("figA1") and "whole feature map" not in told("figA1")
    assert "whole feature map" in told("rotated") and "each position" not in told("rotated")
