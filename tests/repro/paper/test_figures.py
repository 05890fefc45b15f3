import dataclasses
import io
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from repro.core.metrics import spearman
from repro.core.words import typeset
from repro.paper import figures
from tests.helpers import synthetic


def artist(picture, gid):
    (found,) = picture.findobj(lambda item: item.get_gid() == gid)
    return found


def gids(picture, prefix):
    found = picture.findobj(lambda item: str(item.get_gid()).startswith(prefix))
    return [item.get_gid() for item in found]


def band(picture, gid):
    """Lower and upper edge of a band, at increasing x."""
    vertices = artist(picture, gid).get_paths()[0].vertices
    x = np.unique(vertices[:, 0])
    edges = [vertices[vertices[:, 0] == value, 1] for value in x]
    return x, np.array([e.min() for e in edges]), np.array([e.max() for e in edges])


def test_curves_are_the_mean_over_orders_and_bands_one_sd():
    figure = synthetic.curves_figure(orders=4, points=7)
    picture = figures.compose(figure)
    for network in figure.networks:
        curve, fraction = network.sweeps["cumulative"], network.config.label_corruption
        x, y = artist(picture, f"mean-{fraction:g}").get_data()
        np.testing.assert_array_equal(x, curve.n_ablated)
        accuracy = curve.n_correct / curve.n_images
        np.testing.assert_allclose(y, accuracy.sum(axis=0) / 4, rtol=1e-12)
        spread = np.sqrt(((accuracy - accuracy.mean(axis=0)) ** 2).sum(axis=0) / 3)
        x, low, high = band(picture, f"band-{fraction:g}")
        np.testing.assert_array_equal(x, curve.n_ablated)
        np.testing.assert_allclose(high - low, 2 * spread, atol=1e-12)


def test_networks_of_one_label_corruption_share_a_curve():
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, seeds=(0, 1, 2), orders=3, points=5)
    picture = figures.compose(figure)
    assert gids(picture, "mean-") == ["mean-0", "mean-1"]
    clean = [n.sweeps["cumulative"] for n in figure.networks if n.config.label_corruption == 0]
    mean = np.mean([curve.accuracy for curve in clean], axis=(0, 1))
    np.testing.assert_allclose(artist(picture, "mean-0").get_ydata(), mean, rtol=1e-12)
    assert "3 random orders in each of 3 networks" in figures.caption(figure)


def test_one_order_has_no_band():
    picture = figures.compose(synthetic.curves_figure(orders=1, points=5))
    assert gids(picture, "band-") == []
    assert len(gids(picture, "mean-")) == 6


def test_colours_keep_their_order_in_grey():
    picture = figures.compose(synthetic.curves_figure(orders=2, points=5))
    lines = [artist(picture, gid) for gid in gids(picture, "mean-")]
    weights = np.array([0.2126, 0.7152, 0.0722])  # relative luminance
    grey = [weights @ matplotlib.colors.to_rgb(line.get_color()) for line in lines]
    assert np.all(np.diff(grey) > 0.02)
    assert len({line.get_marker() for line in lines}) == len(lines)


def test_points_are_the_units_by_layer_with_the_dead_apart():
    table = synthetic.unit_table(0.5, n_units=40, dead=3)
    picture = figures.compose(synthetic.units_figure(table))
    layers = [slice(0, 20), slice(20, 40)]
    for index, rows in enumerate(layers):
        live = ~table.dead[rows]
        expected = np.c_[table.class_selectivity[rows], table.importance[rows]][live]
        points = artist(picture, f"units-{index}").get_offsets()
        np.testing.assert_array_equal(points, expected)
    np.testing.assert_array_equal(artist(picture, "dead-1").get_offsets(), np.zeros((3, 2)))
    assert gids(picture, "dead-") == ["dead-1"]


def test_regression_line_is_least_squares_within_its_layer():
    table = synthetic.unit_table(0.5, n_units=40)
    picture = figures.compose(synthetic.units_figure(table))
    x, y = table.class_selectivity[:20], table.importance[:20]
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    ends, heights = artist(picture, "line-0").get_data()
    np.testing.assert_array_equal(ends, [x.min(), x.max()])
    np.testing.assert_allclose(heights, y.mean() + slope * (ends - x.mean()), rtol=1e-9)


def test_legend_states_rho_of_each_layer_and_the_number_of_silent_units():
    table = synthetic.unit_table(0.5, n_units=60, dead=2)
    legend = figures.compose(synthetic.units_figure(table)).axes[0].get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    found = spearman(table.class_selectivity[:30], table.importance[:30])
    words = typeset(f"ρ = {found.rho:.2f} [{found.low:.2f}, {found.high:.2f}]")
    assert texts[0] == f"hidden_1: {words}, n = 30"
    assert texts[2].endswith("selectivity counted as 0: 2")
    assert "n = 60" in legend.get_title().get_text()


def test_several_seeds_draw_the_first_and_say_so():
    tables = [synthetic.unit_table(seed=seed, n_units=20) for seed in range(3)]
    figure = synthetic.units_figure(*tables)
    points = artist(figures.compose(figure), "units-0").get_offsets()
    np.testing.assert_array_equal(points[:, 1], tables[0].importance[:10])
    assert "seed 0, the first of 3 networks" in figures.caption(figure)


@pytest.mark.parametrize("what", ["all silent", "no effect", "not finite"])
def test_degenerate_units_are_drawn_without_a_line_or_a_rho(what):
    table = synthetic.unit_table(n_units=20, dead=20 if what == "all silent" else 0)
    if what == "no effect":
        table = dataclasses.replace(table, loss=np.full(20, table.intact_loss))
    if what == "not finite":
        table = dataclasses.replace(table, loss=np.full(20, np.nan))
    figure = synthetic.units_figure(table)
    assert figures.draw(figure)["png"]
    assert "ρ undefined" in figures.alternative_text(figure)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    "figure",
    [synthetic.curves_figure(points=9), synthetic.units_figure(synthetic.unit_table(n_units=30))],
    ids=["curves", "units"],
)
def test_bytes_repeat_whatever_the_users_settings(figure, dark):
    first = figures.draw(figure, dark=dark)
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": None, "lines.linewidth": 9}):
        again = figures.draw(figure, dark=dark)
    assert first == again
    assert Image.open(io.BytesIO(first["png"])).size[0] == 1200
    assert ElementTree.fromstring(first["svg"]).tag.endswith("svg")
    assert b"dc:date" not in first["svg"]


@pytest.mark.parametrize(
    "title",
    [
        "Networks that memorise are more sensitive to cumulative ablation",
        "Small, medium, maximum: many commanding memories become common " * 3,
    ],
)
def test_nothing_is_cut_off_at_the_edges(title):
    for figure in (
        synthetic.curves_figure(points=9, title=title),
        synthetic.units_figure(synthetic.unit_table(n_units=30, dead=2), title=title),
    ):
        picture = Image.open(io.BytesIO(figures.draw(figure)["png"])).convert("L")
        pixels = np.asarray(picture)
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert edge.min() == 255


def test_signs_of_mathematics_in_a_title_stay_text():
    figure = synthetic.curves_figure(points=5, title=r"costs $\frac{1}{$ and <b>more</b>")
    assert figures.draw(figure)["svg"]


@pytest.mark.parametrize(
    ("settings", "epochs", "words"),
    [
        ({}, 640, "Trained for 640 epochs, as in the paper."),
        ({"epochs": 100}, 100, "Trained for 100 epochs; the paper trains 640."),
        (
            {"epochs": 300, "stop_at_train_accuracy": 0.999},
            12,
            "Trained for 12 epochs, ended at a training accuracy of 0.999; the paper trains 640.",
        ),
    ],
)
def test_caption_says_how_long_training_was_and_what_ended_it(settings, epochs, words):
    figure = synthetic.curves_figure(train=settings, points=5)
    networks = [
        dataclasses.replace(network, training=synthetic.training(epochs))
        for network in figure.networks
    ]
    assert figures.training_words(networks) == words


def test_axis_of_small_changes_is_scaled_to_readable_numbers():
    picture = figures.compose(synthetic.units_figure(synthetic.unit_table(n_units=30)))
    axes = picture.axes[0]
    assert axes.get_ylabel() == "change of test loss on ablation (10⁻³ nats)"
    assert axes.yaxis.get_major_formatter()(0.005) == "5"


def test_a_figure_without_networks_is_refused():
    figure = dataclasses.replace(synthetic.curves_figure(), networks=())
    with pytest.raises(ValueError, match="fig1a has no network"):
        figures.draw(figure)


def test_reporting_needs_neither_keras_nor_tensorflow_nor_pyplot():
    probe = (
        "import sys, repro.paper.report; sys.exit(' '.join("
        "{'tensorflow', 'keras', 'matplotlib.pyplot', 'repro.experiments', 'repro.data'}"
        " & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
