"""Every shipped figure's picture, from made-up results: what is drawn is what was found."""

import dataclasses
import functools
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.legend import Legend
from scipy.stats import spearmanr

from repro.core.metrics import area_under_curve
from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import PanelConfig
from repro.core.toml import load_figure
from repro.display.plots import LIGHT
from repro.paper import choices, claims, contrasts, figures, measures, panels, series
from repro.paper.summary import summary
from tests.helpers import synthetic
from tests.helpers.page import page_of

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


def test_few_networks_have_no_interval():
    """Three points on a line have one of [1, 1], which is no certainty."""

    def title(n):
        figure = made_up("fig4c")
        networks = [
            dataclasses.replace(
                one,
                training=dataclasses.replace(one.training, test_accuracy=0.5 + 0.01 * place),
                sweeps={"cumulative": synthetic.curve(0.4 + 0.02 * place, points=9, orders=3)},
            )
            for place, one in enumerate((figure.networks * n)[:n])
        ]
        picture = figures.compose(dataclasses.replace(figure, networks=tuple(networks)))
        return next(one.get_title().get_text() for one in picture.findobj(Legend))

    assert re.fullmatch(r"ρ = \S+, n = 9 networks", title(9))
    assert re.fullmatch(r"ρ = \S+ \[\S+, \S+\], n = 10 networks", title(10))


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
    assert page_of(part)


# --- Variants ------------------------------------------------------------------------------------

# What the made-up networks of `sensitivity` do: (fraction of units at which half the accuracy is
# lost with true labels, with corrupted ones, training accuracy with corrupted labels).
REACHES = {
    "base": (0.7, 0.5, 1.0),
    "adam": (0.5, 0.7, 1.0),
    "lower_rate": (0.6, 0.58, 0.995),
    "higher_rate": (0.7, 0.4, 0.4),
    "head_256": (0.8, 0.5, 1.0),
}


@functools.cache
def sensitivity():
    """Made-up results of some of the desk variants; `head_256` begins at half the accuracy."""
    (path,) = CONFIGS.glob("sensitivity_*.toml")
    config = load_figure(path, "desk")
    left_out = [
        f"variants.{name}=false" for name in config.variant_names[1:] if name not in REACHES
    ]
    config = load_figure(path, "desk", left_out)
    networks = []
    for seed, network in enumerate(config.networks()):
        variant = config.variant_of(network)
        corrupted = int(network.label_corruption)
        found = synthetic.curve(
            REACHES[variant][corrupted],
            points=17,
            n_units=192,
            seed=seed,
            intact=0.5 if variant == "head_256" and not corrupted else 1.0,
        )
        record = synthetic.training(20, REACHES[variant][2] if corrupted else 1.0)
        networks.append(NetworkResult(network, record, {"cumulative": found}))
    return FigureResult(config, tuple(networks), "cifar10, made up", "./run_all.sh --only=x")


def of_variant(figure, variant, corruption):
    (found,) = (
        network
        for network in figure.networks
        if figure.config.variant_of(network.config) == variant
        and network.config.label_corruption == corruption
    )
    return found.sweeps["cumulative"]


def test_a_row_a_variant_shows_the_difference_and_the_bar_of_c1():
    figure = sensitivity()
    picture = figures.compose(figure)

    def artist_of(gid):
        (found,) = picture.findobj(lambda item: item.get_gid() == gid)
        return found

    for row, variant in enumerate(REACHES):
        true, corrupted = (of_variant(figure, variant, fraction) for fraction in (0.0, 1.0))
        for measure in ("normalized", "raw"):
            # Trapezoid by hand, over the fraction of units ablated.
            areas = []
            for curve in (true, corrupted):
                heights = curve.n_correct / curve.n_images
                if measure == "normalized":
                    heights = heights / heights[:, :1]
                widths = np.diff(curve.n_ablated) / curve.n_ablated[-1]
                areas.append(((heights[:, 1:] + heights[:, :-1]) / 2 * widths).sum(axis=1))
            difference = areas[0].mean() - areas[1].mean()
            bar = areas[0].std(ddof=1) + areas[1].std(ddof=1)
            point = artist_of(f"contrast-{measure}-{variant}")
            assert point.get_xdata() == pytest.approx([difference])
            assert round(point.get_ydata()[0]) == row
            ((low, high),) = artist_of(f"bar-{measure}-{variant}").get_segments()
            assert (low[0], high[0]) == pytest.approx((difference - bar, difference + bar))
            hollow = point.get_markerfacecolor() == "none"
            assert hollow == (variant == "higher_rate")
    axes = picture.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["base", "adam", "lower rate", "higher rate", "head 256"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the base stands above its variants"
    assert artist_of("zero").get_xdata() == [0, 0]
    assert artist_of("accuracy-higher_rate").get_text() == "1.00, 0.40"
    beside = picture.findobj(lambda item: str(item.get_gid()).startswith("accuracy-"))
    assert len(beside) == 1


def test_one_sentence_counts_the_variants_that_keep_the_sign():
    figure = sensitivity()
    expected = "In the base ablation costs more with corrupted labels (normalized AUC +0.169 ["
    told = contrasts.sentence(contrasts.contrasts(figure))
    assert told.startswith(expected)
    # Adam has the other sign, the higher rate did not memorise, the bars of the lower one touch.
    assert told.endswith(
        "of 4 variants 3 memorised all labels, and 2 of these keep this sign, 1 with error bars "
        "that do not touch."
    )
    assert told in figures.caption(figure)
    poor = tuple(
        dataclasses.replace(n, training=dataclasses.replace(n.training, train_accuracy=0.5))
        for n in figure.networks
    )
    told = contrasts.sentence(contrasts.contrasts(dataclasses.replace(figure, networks=poor)))
    assert "labels, though not all of its networks memorised (normalized AUC +0.169" in told
    assert told.endswith("; of 4 variants none memorised all labels.")
    assert "adam: optimizer adam, learning rate 0.0002" in figures.caption(figure)
    alternative = figures.alternative_text(figure)
    assert "higher rate: +0.2" in alternative and "not all networks memorised" in alternative


def test_the_page_and_the_summary_have_the_numbers_of_each_variant():
    figure = sensitivity()
    numbers = summary([figure])
    rows = numbers["sensitivity"]["variants"]["rows"]
    assert [row["variant"] for row in rows] == list(REACHES)
    head = rows[-1]
    assert head["settings"] == "head units 256" and head["label_corruption"] == 1.0
    # Half the accuracy to begin with: the raw area says the opposite of the normalized one.
    assert head["normalized_auc_difference"]["low"] > 0 > head["auc_difference"]["high"]
    assert (rows[3]["train_accuracy_corrupted"], rows[3]["memorised"]) == (0.4, False)
    text = page_of(figure)
    assert numbers["sensitivity"]["variants"]["sentence"] in text and "head units 256" in text
    assert [one["settings"] for one in numbers["sensitivity"]["networks"]][:2] == [
        {"variant": "base", "label_corruption": 0.0},
        {"variant": "base", "label_corruption": 1.0},
    ]
    assert "variants" not in summary([made_up("fig1b")])["fig1b"]


def test_a_base_that_is_not_done_leaves_nothing_to_compare_with():
    figure = sensitivity()
    part = dataclasses.replace(figure, networks=figure.networks[1:])
    found = contrasts.contrasts(part)
    assert [one.variant for one in found] == list(REACHES)[1:] and contrasts.sentence(found) == ""
    assert figures.draw(part, kinds=["png"])["png"]


def test_panels_can_colour_by_variant_in_the_order_of_the_config():
    figure = sensitivity()
    panel = PanelConfig("curves", series=("variant", "label_corruption"))
    shown = series.series(figure, panel)
    assert [one.key for one in shown] == [(name, f) for name in REACHES for f in (0.0, 1.0)]
    assert shown[2].label == "adam, true labels" and len(shown[2].networks) == 1
    config = dataclasses.replace(figure.config, panels=(panel,))
    assert figures.draw(dataclasses.replace(figure, config=config), kinds=["png"])["png"]
    (bare,) = series.panels(dataclasses.replace(config, panels=()))
    assert bare.series == ("label_corruption", "variant")


def test_the_choices_and_captions_tell_of_other_pixels_and_of_a_head():
    told = dict(choices.choices([made_up("fig1b").config]))
    assert told["Input"].startswith("Pixels divided by 255; no") and len(told) > 9
    assert "Hidden layer before the logits" not in told
    config = made_up("sensitivity").config
    told = dict(choices.choices([config]))
    assert "in networks of Sensitivity then brought to -1 to 1" in told["Input"]
    assert told["Hidden layer before the logits"].startswith("256 units (Sensitivity): dense")
    words = [figures.network_words(network) for network in made_up("sensitivity").networks]
    plain = "convnet, 0.125 of the paper's feature maps"
    assert words[::2] == [
        plain,
        f"{plain}, 256 hidden units before the logits",
        f"{plain}, pixels from -1 to 1",
    ]
    assert f"Network: {plain}. In the base" in figures.caption(made_up("sensitivity"))


def test_the_page_of_a_figure_without_data_says_why():
    settings = dataclasses.replace(made_up("fig1c").config, not_run="imagenet2012 is not prepared")
    figure = FigureResult(settings, (), "none", "./run_all.sh", settings.not_run)
    text = page_of(figure)
    assert ">Not run</h2>" in text and ": imagenet2012 is not prepared." in text


def test_with_and_without_have_the_papers_colours_and_corruptions_do_not():
    colours = [artist("fig5b", f"mean-{key}").get_color() for key in (0, 1)]
    assert colours == [LIGHT.purple, LIGHT.blue]
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, orders=2, points=5)
    lines = figures.compose(figure).findobj(lambda item: str(item.get_gid()).startswith("mean-"))
    assert not {LIGHT.purple, LIGHT.blue} & {str(x.get_color()) for x in lines}
