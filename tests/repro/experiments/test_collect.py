"""What is read from the runs folder of a figure that is done, in part or not at all."""

import dataclasses
from pathlib import Path

import pytest

from repro.core.settings import FigureConfig
from repro.core.toml import load_figure
from repro.experiments import collect
from repro.experiments.runs import Runs
from tests.helpers import synthetic

(FIG1A,) = (Path(__file__).parents[3] / "configs").glob("fig1a_*.toml")


@pytest.fixture
def figure() -> FigureConfig:
    found = load_figure(FIG1A, "quick")
    return dataclasses.replace(found, grid=(("label_corruption", (0.0, 1.0)),))


def finish(runs: Runs, figure: FigureConfig, place: int, seconds: float) -> None:
    """Writes one network and its sweeps as a worker does."""
    network = synthetic.figure_result(figure).networks[place]
    folder = runs.network(network.config)
    folder.path.mkdir(parents=True)
    training = dataclasses.replace(network.training, facts=synthetic.FACTS | {"seconds": seconds})
    folder.save_training(lambda path: path.write_bytes(b"a model"), training)
    for name, sweep in figure.lesions(network.config):
        folder.save_sweep(sweep, network.sweeps[name])
        folder.note_seconds(sweep.sweep_id, 7.0, 1.0)
    folder.note_seconds("another figure's sweep", 1000.0, 1.0)


def test_a_figure_is_of_the_networks_that_are_done(tmp_path: Path, figure: FigureConfig) -> None:
    runs = Runs(tmp_path)
    finish(runs, figure, 1, 30.0)
    found = collect.collect(figure, runs, "mnist", "./run_all.sh")
    (network,) = found.networks
    assert network.config.label_corruption == 1.0 and set(network.sweeps) == {"zero", "mean"}
    assert not found.not_run and found.data == "mnist"


def test_without_a_network_that_is_done_it_is_not_run(tmp_path: Path, figure: FigureConfig) -> None:
    found = collect.collect(figure, Runs(tmp_path), "mnist", "./run_all.sh")
    assert found.not_run == "none of its 2 networks is done"
    one = dataclasses.replace(figure, grid=())
    assert collect.collect(one, Runs(tmp_path), "", "").not_run == "its network is not done"


def test_a_figure_without_data_says_so(tmp_path: Path, figure: FigureConfig) -> None:
    settings = dataclasses.replace(figure, not_run="imagenet2012 is not prepared")
    found = collect.collect(settings, Runs(tmp_path), "none", "./run_all.sh")
    assert found.not_run == settings.not_run and not found.networks


def test_seconds_are_of_trainings_and_of_the_figures_own_sweeps(
    tmp_path: Path, figure: FigureConfig
) -> None:
    runs = Runs(tmp_path)
    finish(runs, figure, 0, 30.0)
    finish(runs, figure, 1, 40.0)
    found = collect.collect(figure, runs, "mnist", "./run_all.sh")
    assert collect.seconds(found, runs) == 30 + 40 + 4 * 7
