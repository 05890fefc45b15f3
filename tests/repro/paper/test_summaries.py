"""What TensorBoard is given of each sweep, read back from the event files."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from repro.core.kinds import CumulativeConfig
from repro.core.toml import load_figure
from repro.paper import summaries
from tb_plugin import metadata
from tests.helpers import synthetic

CONFIGS = Path(__file__).parents[3] / "configs"


def read_back(name, logdir, network=0):
    """Figure, network and {tag: {step: array}} of what was written."""
    (path,) = CONFIGS.glob(f"{name}_*.toml")
    figure = synthetic.figure_result(load_figure(path, "quick"))
    found = figure.networks[network]
    summaries.write(figure, found, logdir)
    events = EventAccumulator(str(logdir), {"tensors": 0, "blob_sequences": 0})
    events.Reload()
    tensors = {
        tag: {event.step: make_ndarray(event.tensor_proto) for event in events.Tensors(tag)}
        for tag in events.Tags()["tensors"]
    }
    return found, tensors


def test_noise_is_a_curve_over_scales(tmp_path):
    network, tensors = read_back("fig2a", tmp_path)
    curve = network.sweeps["noise"]
    ((step, array),) = tensors["fig2a/accuracy_vs_noise"].items()
    assert step == network.training.epochs
    np.testing.assert_allclose(array[0], curve.scales, rtol=1e-6)
    np.testing.assert_allclose(array[1:], curve.accuracy, rtol=1e-6)


def test_named_sweeps_have_a_tag_of_their_own(tmp_path):
    _, tensors = read_back("figA1", tmp_path)
    assert {tag for tag in tensors if "vs_ablation" in tag} == {
        "figA1/zero/accuracy_vs_ablation",
        "figA1/mean_per_position/accuracy_vs_ablation",
    }


@pytest.mark.parametrize(
    ("name", "fourth"), [("fig7a", "3"), ("fig7b", "cat")], ids=["mnist", "cifar10"]
)
def test_classes_are_called_as_in_the_report(tmp_path, name, fourth):
    read_back(name, tmp_path)
    events = EventAccumulator(str(tmp_path), {"blob_sequences": 0, "tensors": 0})
    events.Reload()
    header = make_ndarray(events.Tensors(f"{name}/units")[0].tensor_proto)[0]
    assert json.loads(header)["classes"][3] == fourth


def test_sweeps_along_training_lie_at_their_epochs(tmp_path):
    network, tensors = read_back("fig4a", tmp_path)
    epochs = list(network.config.snapshots)
    assert list(tensors["fig4a/accuracy_vs_ablation"]) == epochs
    assert list(tensors["training/test_loss"]) == epochs
    for (_, curve), value in zip(
        network.snapshots["cumulative"], tensors["training/auc"].values(), strict=True
    ):
        assert value == pytest.approx(curve.auc.mean(), rel=1e-6)


def test_what_came_of_a_training_is_there_without_sweeps_along_it(tmp_path):
    network, tensors = read_back("fig2a", tmp_path)
    for name in ("test_loss", "test_accuracy"):
        ((step, value),) = tensors[f"training/{name}"].items()
        assert step == network.training.epochs
        assert value == pytest.approx(getattr(network.training, name), rel=1e-6)


@pytest.mark.parametrize(
    "name", ["classdrop", "overtraining", "rotated", "ordered", "illustration"]
)
def test_every_kind_of_figure_can_be_written(tmp_path, name):
    network, tensors = read_back(name, tmp_path)
    n_curves = sum("vs_ablation" in tag for tag in tensors)
    kinds = [found.kind for found in network.sweeps.values()]
    assert n_curves == kinds.count("cumulative")


def test_runs_of_variants_are_called_by_them_and_tell_of_other_pixels():
    (path,) = CONFIGS.glob("sensitivity_*.toml")
    figure = synthetic.figure_result(load_figure(path, "quick"))
    names = [summaries.network_label(figure.config, one.config) for one in figure.networks]
    assert names[::2] == [
        f"variant={variant},label_corruption=0"
        for variant in ("base", "head_256", "pixels_around_0")
    ]
    facts = [summaries.Place(figure, one, "cumulative").facts["facts"] for one in figure.networks]
    assert [one["variant"] for one in facts[1::2]] == ["base", "head_256", "pixels_around_0"]
    assert [one.get("pixel range") for one in facts[::2]] == [None, None, "-1 to 1"]


def contents(figure, network):
    """By name of the sweep: kind and settings of its curve, as the tab reads them."""
    found = {}
    for name, result in network.sweeps.items():
        if result.kind not in summaries.SUMMARIES:
            continue  # portraits
        for one in summaries.SUMMARIES[result.kind](result, summaries.Place(figure, network, name)):
            written = one.value[0].metadata.plugin_data
            if written.plugin_name != metadata.PLUGIN_NAME:
                continue  # a scalar, or a unit table
            content = metadata.parse_content(written.content)
            names = ("kind", *metadata.SETTINGS[content["kind"]])
            found[name] = {key: content[key] for key in names}
    return found


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*_*.toml")), ids=lambda path: path.stem)
def test_the_tab_tells_the_sweeps_of_a_network_apart(path):
    """Two sweeps with the same settings would be two lines of one name and one colour."""
    figure = synthetic.figure_result(load_figure(path, "quick"))
    for network in figure.networks[:2]:
        found = contents(figure, network)
        assert len({json.dumps(one) for one in found.values()}) == len(found)


def only_curve(**settings):
    """The settings of one cumulative sweep, read from its summary."""
    (path,) = CONFIGS.glob("fig5b_*.toml")
    config = load_figure(path, "quick")
    sweep = CumulativeConfig(points=3, **settings)
    config = dataclasses.replace(config, sweeps=(("one", sweep),))
    figure = synthetic.figure_result(config)
    return contents(figure, figure.networks[0])["one"]


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"only_layer": 2}, {"layers": "conv_2"}),
        ({"last_layers": 2}, {"layers": "conv_10, conv_11"}),
        ({}, {"layers": "all", "fill": "zero", "order": "random"}),
        ({"basis": "random"}, {"fill": "direction"}),
        ({"basis": "random", "fill": "mean"}, {"fill": "direction, mean"}),
        ({"fill": "position_mean"}, {"fill": "mean per position"}),
        (
            {"order": "class_selectivity", "ranked_on": "test", "descending": True},
            {"order": "class selectivity, highest first"},
        ),
        ({"order": "class_selectivity"}, {"order": "class selectivity, lowest first"}),
    ],
)
def test_the_tab_says_what_a_sweep_ablated(settings, shown):
    found = only_curve(**settings)
    assert {key: found[key] for key in shown} == shown


def test_orders_found_on_other_images_are_told_apart():
    (path,) = CONFIGS.glob("fig5b_*.toml")
    one, other = (
        CumulativeConfig(points=3, order="class_selectivity", ranked_on=images)
        for images in ("train", "test")
    )
    config = dataclasses.replace(
        load_figure(path, "quick"), sweeps=(("one", one), ("other", other))
    )
    figure = synthetic.figure_result(config)
    orders = [found["order"] for found in contents(figure, figure.networks[0]).values()]
    assert orders == [
        f"class selectivity, lowest first, ranked on {images} images"
        for images in ("train", "test")
    ]


@pytest.mark.parametrize(
    ("name", "sweep", "per"),
    [
        ("fig2a", "noise", "unit"),
        ("fig2b", "each_position", "position"),
        ("fig2b", "whole_maps", "unit"),
    ],
)
def test_the_tab_says_what_the_noise_is_drawn_for(name, sweep, per):
    (path,) = CONFIGS.glob(f"{name}_*.toml")
    figure = synthetic.figure_result(load_figure(path, "quick"))
    assert contents(figure, figure.networks[0])[sweep]["per"] == per


@pytest.mark.parametrize(
    ("name", "views"),
    [
        ("fig1a", "curves; training"),
        ("fig2a", "noise"),
        ("fig4a", "training"),
        ("fig6", "distributions class_selectivity; distributions mutual_information"),
        ("fig7a", "units class_selectivity importance"),
        ("figA3b", "units class_selectivity weight_norm"),
        ("figA4a", "units mutual_information importance"),
        ("figA2a", "distributions class_selectivity"),
        ("illustration", "unit"),
        (
            "rotated",
            "curves sweep; distributions importance; distributions largest_class_drop",
        ),
        ("sensitivity", ""),
    ],
)
def test_a_figure_names_the_views_that_it_is_made_for(name, views):
    (path,) = CONFIGS.glob(f"{name}_*.toml")
    figure = synthetic.figure_result(load_figure(path, "quick"))
    place = summaries.Place(figure, figure.networks[0], "")
    assert place.facts["facts"]["views"] == views


def test_the_quantities_on_the_axes_are_columns_of_the_tab():
    """But for the figures on measures that only the report has."""
    columns = {"class_selectivity", "mutual_information", "importance", "accuracy_drop"}
    columns |= {"largest_class_drop", "weight_norm", "mean_activation", "sparsity"}
    for path in CONFIGS.glob("*_*.toml"):
        for view in summaries._views(load_figure(path, "quick")).split("; "):
            assert set(view.split()[1:]) <= columns | {"sweep"}, path
