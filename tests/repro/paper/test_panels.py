"""Every shipped figure's picture, from made-up results: what is drawn is what was found."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.legend import Legend
from scipy.stats import spearmanr

from repro.core.metrics import area_under_curve
from repro.core.results import FigureResult
from repro.core.settings import PanelConfig
from repro.core.toml import load_figure
from repro.display.plots import LIGHT
from repro.paper import claims, figures, measures, page, panels, series
from repro.paper.summary import summary
from tests.helpers import synthetic

CONFIGS = Path(__file__).parents[3] / "configs"


@functools.cache
def made_up(name, profile="quick"):
    (path,) = CONFIGS.glob(f"{name}_*.toml")
    return synthetic.figure_result(load_figure(path, profile))


@functools.cache
def composed(name):
    return figures.compose(made_up(name))


def artist(name, gid):
    (found,) = composed(name).findobj(lambda item: item.get_gid() == gid)
    return found


def both(name, gid):
    """The artists of that id, one in each panel."""
    return composed(name).findobj(lambda item: item.get_gid() == gid)


def gids(name, prefix):
    found = composed(name).findobj(lambda item: str(item.get_gid()).startswith(prefix))
    return [item.get_gid() for item in found]


@pytest.mark.parametrize("name", sorted(path.stem.split("_")[0] for path in CONFIGS.glob("*.toml")))
def test_every_figure_is_drawn_and_told_in_words(name):
    figure = made_up(name)
    assert len(composed(name).axes) >= len(series.panels(figure.config))
    texts = [item.get_text() for item in composed(name).findobj(panels.matplotlib.text.Text)]
    assert "no results" not in texts
    words = figures.alternative_text(figure)
    assert ("noise" if name.startswith("fig2") else "ablated") in words and "nan" not in words
    assert "made up" in figures.caption(figure)
    assert series.figure_label(name) != name


def test_noise_is_drawn_from_the_smallest_scale_on():
    figure = made_up("fig2a")
    curve = figure.networks[0].sweeps["noise"]
    x, y = artist("fig2a", "mean-0").get_data()
    np.testing.assert_allclose(x, curve.scales[1:])
    np.testing.assert_allclose(y, curve.accuracy.mean(axis=0)[1:])
    assert composed("fig2a").axes[0].get_xscale() == "log"


def test_the_best_and_the_worst_are_those_of_generalization_error():
    figure = made_up("fig3")
    errors = [measures.generalization_error(network) for network in figure.networks]
    half = np.argsort(errors)[: len(errors) // 2]
    best = [figure.networks[i].sweeps["cumulative"].accuracy for i in half]
    drawn = artist("fig3", "mean-best").get_ydata()
    np.testing.assert_allclose(drawn, np.concatenate(best).mean(axis=0))
    assert gids("fig3", "mean-") == ["mean-best", "mean-worst"]


def test_networks_are_points_of_their_measures():
    points = np.concatenate(
        [artist("fig4c", gid).get_offsets() for gid in gids("fig4c", "networks")]
    )
    expected = [
        (
            network.training.test_accuracy,
            area_under_curve(
                network.sweeps["cumulative"].n_ablated, network.sweeps["cumulative"].accuracy
            ).mean(),
        )
        for network in made_up("fig4c").networks
    ]
    np.testing.assert_allclose(points, expected)


def test_training_shows_both_losses_and_auc_at_each_snapshot():
    (network,) = made_up("fig4a").networks
    epochs = list(network.config.snapshots)
    losses = [found.loss for _, found in network.snapshots["intact"]]
    curves = [found for _, found in network.snapshots["cumulative"]]
    for gid, expected in (
        ("epochs-test_loss", losses),
        ("epochs-train_loss", [curve.loss[:, 0].mean() for curve in curves]),
        ("epochs-auc", [curve.auc.mean() for curve in curves]),
        ("epochs-normalized_auc", [curve.normalized_auc.mean() for curve in curves]),
    ):
        x, y = artist("fig4a", gid).get_data()
        np.testing.assert_array_equal(x, epochs)
        np.testing.assert_allclose(y, expected)
    points = artist("fig4b", "networks-snapshots").get_offsets()
    assert len(points) == len(made_up("fig4b").networks[0].config.snapshots)


def test_dashed_lines_mark_the_fraction_dropped():
    found = made_up("fig5a")
    n_units = found.networks[0].sweeps["cumulative"].n_units
    for p in (0.1, 0.2, 0.3):
        assert artist("fig5a", f"mark-{p:g}").get_xdata() == pytest.approx([p * n_units] * 2)
    assert len(gids("fig5a", "mark-")) == 3
    assert len(gids("fig5a", "mean-")) == 8
    # Corrupted labels are told from true ones by the line, dropout by the colour.
    true, corrupted = (artist("fig5a", f"mean-{label}-0.1") for label in (0, 1))
    assert true.get_color() == corrupted.get_color()
    assert true.get_linestyle() != corrupted.get_linestyle()


def test_distributions_pool_the_networks_of_a_series():
    figure = made_up("fig6")
    legends = [axes.get_legend() for axes in composed("fig6").axes]
    tables = measures.unit_tables(
        [network for network in figure.networks if not network.config.batch_norm]
    )
    pooled = np.concatenate([table.class_selectivity for table in tables])
    words = legends[0].get_texts()[0].get_text()
    assert words == (
        f"without batch norm: mean {pooled.mean():.2f}, n = {len(pooled)} units of 2 networks"
    )
    assert len(legends[1].get_texts()) == 2


def test_layers_have_their_own_distribution_and_mean():
    tables = measures.unit_tables(made_up("figA2a").networks)
    names = [name for name, _ in tables[0].layers]
    assert gids("figA2a", "distribution-") == [f"distribution-{i}" for i in range(len(names))]
    third = np.concatenate([t.class_selectivity[t.layer_names == names[2]] for t in tables])
    assert artist("figA2a", "mean-2").get_ydata() == pytest.approx([third.mean()])


def test_measures_of_units_are_those_that_the_panel_names():
    table = made_up("figA3b").networks[0].sweeps["single_unit"]
    points = artist("figA3b", "units-0").get_offsets()
    rows = table.layer_names == "conv_1"
    np.testing.assert_array_equal(
        points, np.c_[table.class_selectivity[rows], table.weight_norm[rows]]
    )
    # Fig. 7b has points and lines, Fig. 7c lines alone.
    assert len(gids("fig7b", "units-")) == 11 and len(gids("fig7b", "line-")) == 22


def test_sweeps_are_series_where_the_panel_says_so():
    shown = series.series(made_up("figA1"), series.panels(made_up("figA1").config)[0])
    assert [one.label for one in shown] == ["zero", "mean per position"]
    zero = made_up("figA1").networks[0].sweeps["zero"]
    drawn = artist("figA1", "mean-zero").get_ydata()
    np.testing.assert_allclose(drawn, zero.accuracy.mean(axis=0))


def test_units_and_directions_are_compared_by_what_each_costs():
    sweeps = made_up("rotated").networks[0].sweeps
    texts = [text.get_text() for text in composed("rotated").axes[-2].get_legend().get_texts()]
    for text, name, noun in zip(
        texts, ("each_unit", "each_direction"), ("units", "directions"), strict=True
    ):
        mean, n_units = sweeps[name].importance.mean(), sweeps[name].n_units
        assert f"mean {mean:.2g}, n = {n_units} {noun} of 1 network" in text
        assert text.startswith(name.replace("_", " "))
    assert "class selectivity" not in figures.caption(made_up("rotated"))


def test_a_portrait_shows_the_images_their_classes_and_the_profile():
    found = made_up("illustration").networks[0].sweeps["portraits"]
    drawn = [one for gid in range(8) for one in both("illustration", f"image-{gid}")]
    # The confusing unit's eighth image is missing: seven drive it.
    assert len(drawn) == 15
    for place, image in enumerate(both("illustration", "image-0")):
        np.testing.assert_array_equal(image.get_array(), found.top_images[place, 0])
        assert image.axes.get_title() == ("cat", "airplane")[place]
    for number in range(10):
        heights = [bar.get_height() for bar in both("illustration", f"profile-{number}")]
        np.testing.assert_allclose(heights, found.class_means[number])
    words = figures.alternative_text(made_up("illustration"))
    assert "conv_10, unit 7" in words and "conv_11, unit 16" in words
    assert "class selectivity 0.80, importance 0.02 nats (rank 5 of 48)" in words


@pytest.mark.parametrize(
    ("relation", "low", "high"),
    [("rising", 0.8, 1), ("falling", -1, -0.8), ("unrelated", -0.2, 0.2)],
)
def test_supposed_relations_hand_the_same_importances_to_other_units(relation, low, high):
    table = made_up("relations").networks[0].sweeps["single_unit"]
    found = panels.supposed(table, relation)
    np.testing.assert_allclose(np.sort(found.importance), np.sort(table.importance), atol=1e-12)
    np.testing.assert_array_equal(found.class_selectivity, table.class_selectivity)
    assert low < spearmanr(found.class_selectivity, found.importance).statistic < high


def test_networks_that_did_not_memorise_are_hollow_and_not_in_rho():
    figure = made_up("fig3")
    poor = dataclasses.replace(figure.networks[0].training, train_accuracy=0.5)
    changed = dataclasses.replace(figure.networks[0], training=poor)
    mixed = dataclasses.replace(figure, networks=(changed, *figure.networks[1:]))
    picture = figures.compose(mixed)
    hollow = picture.findobj(lambda item: str(item.get_gid()).endswith("-hollow"))
    assert [len(item.get_offsets()) for item in hollow] == [1]
    titles = [legend.get_title().get_text() for legend in picture.findobj(Legend)]
    expected = f"n = {len(figure.networks) - 1} networks\nhollow: 1 that did not memorise"
    assert sum(title.endswith(expected) for title in titles) == 1


def test_a_panel_without_its_results_says_so_and_the_others_are_drawn():
    figure = made_up("fig3")
    networks = tuple(dataclasses.replace(item, sweeps={}) for item in figure.networks)
    bare = dataclasses.replace(figure, networks=networks)
    assert not panels.has_data(bare, PanelConfig("curves"))
    assert figures.draw(bare, kinds=["png"])["png"]


@pytest.mark.parametrize("name", sorted(path.stem.split("_")[0] for path in CONFIGS.glob("*.toml")))
def test_a_figure_of_which_one_network_is_done_is_drawn_and_judged(name):
    """A network that failed, or is not done yet, takes nothing from the others."""
    whole = made_up(name)
    for network in (whole.networks[-1], whole.networks[0]):
        part = dataclasses.replace(whole, networks=(network,))
        verdicts = claims.judge(part)
        if len(whole.networks) > 1:
            missing = f"{len(whole.networks) - 1} of {len(whole.networks)} networks are missing."
            assert all(missing in verdict.note for verdict in verdicts)
    assert page.render([part], verdicts, summary([part]), {})


def test_the_page_of_a_figure_without_data_says_why():
    settings = dataclasses.replace(made_up("fig1c").config, not_run="imagenet2012 is not prepared")
    figure = FigureResult(settings, (), "none", "./run_all.sh", settings.not_run)
    text = page.render([figure], [], summary([figure]), {})
    assert "Not run: imagenet2012 is not prepared." in text


def test_with_and_without_have_the_papers_colours_and_corruptions_do_not():
    colours = [artist("fig5b", f"mean-{key}").get_color() for key in (0, 1)]
    assert colours == [LIGHT.purple, LIGHT.blue]
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, orders=2, points=5)
    lines = figures.compose(figure).findobj(lambda item: str(item.get_gid()).startswith("mean-"))
    assert not {LIGHT.purple, LIGHT.blue} & {str(x.get_color()) for x in lines}
