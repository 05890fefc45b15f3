import dataclasses
import json

import numpy as np
import pytest

from repro.core.metrics import spearman
from repro.paper import claims
from tests.helpers import synthetic

CLEAN_AND_CORRUPTED = {0.0: 0.8, 0.5: 0.5, 1.0: 0.4}


def verdict(figure, name):
    (found,) = [item for item in claims.judge(figure) if item.claim == name]
    return found


def constant_curve(levels):
    """A curve whose orders keep these accuracies up to the last unit: AUC is (level + 0.1) / 2
    relative to the drawn points, so spread and mean are known by hand."""
    curve = synthetic.curve(0.5, orders=len(levels), points=2, n_units=10, n_images=1000)
    n_correct = np.c_[np.full(len(levels), 1000), np.rint(1000 * np.array(levels)).astype(int)]
    return dataclasses.replace(curve, n_correct=n_correct)


def two_networks(clean, corrupted, **kwargs):
    """Clean and corrupted network; normalized AUC of an order is (1 + level) / 2."""
    figure = synthetic.curves_figure({0.0: 0.8, 1.0: 0.4}, points=5, **kwargs)
    sweeps = (constant_curve(clean), constant_curve(corrupted))
    return dataclasses.replace(
        figure,
        networks=tuple(
            dataclasses.replace(network, sweeps={"cumulative": sweep})
            for network, sweep in zip(figure.networks, sweeps, strict=True)
        ),
    )


def test_memorising_networks_that_fall_earlier_support_c1():
    found = verdict(synthetic.curves_figure(CLEAN_AND_CORRUPTED), "C1")
    assert found.verdict == "supported"
    assert found.interval[0] > 0
    assert found.n == "3 networks, 10 orders each, 4,000 images"
    assert found.note == ""


def test_one_corrupted_network_as_robust_as_the_clean_one_refutes_c1():
    found = verdict(synthetic.curves_figure(CLEAN_AND_CORRUPTED | {0.5: 0.8}), "C1")
    assert found.verdict == "not supported"


def test_c1_numbers_are_those_of_a_hand_calculation():
    # Normalized AUC: clean 0.8 and 0.9, corrupted 0.5 and 0.6; both s.d. are 0.1 / sqrt(2).
    found = verdict(two_networks([0.6, 0.8], [0.0, 0.2]), "C1")
    bars = 2 * 0.1 / np.sqrt(2)
    assert found.value == pytest.approx(0.3)
    assert found.interval == pytest.approx((0.3 - bars, 0.3 + bars))
    assert found.verdict == "supported"
    assert "0.850 ± 0.071 with true labels" in found.ours


@pytest.mark.parametrize(
    ("corrupted", "expected"), [([0.3, 0.5], "supported"), ([0.34, 0.54], "not supported")]
)
def test_c1_needs_error_bars_that_do_not_touch(corrupted, expected):
    # The sum of both s.d. is 0.1414: differences of normalized AUC are 0.15 and 0.13.
    assert verdict(two_networks([0.6, 0.8], corrupted), "C1").verdict == expected


def test_a_network_that_did_not_memorise_leaves_c1_open():
    figure = synthetic.curves_figure(CLEAN_AND_CORRUPTED, train_accuracy={1.0: 0.9})
    found = verdict(figure, "C1")
    assert found.verdict == "inconclusive"
    assert "100 % corruption reached a training accuracy of only 0.900" in found.note


def test_a_network_that_did_not_memorise_cannot_refute_c1():
    figure = synthetic.curves_figure(CLEAN_AND_CORRUPTED | {1.0: 0.8}, train_accuracy={1.0: 0.9})
    assert verdict(figure, "C1").verdict == "inconclusive"


def test_a_memorised_network_refutes_c1_whatever_the_others_did():
    figure = synthetic.curves_figure(CLEAN_AND_CORRUPTED | {0.5: 0.8}, train_accuracy={1.0: 0.9})
    assert verdict(figure, "C1").verdict == "not supported"


def test_a_missing_network_leaves_c1_open():
    figure = synthetic.curves_figure(CLEAN_AND_CORRUPTED)
    found = verdict(dataclasses.replace(figure, networks=figure.networks[:2]), "C1")
    assert found.verdict == "inconclusive"
    assert "1 of 3 networks are missing" in found.note


@pytest.mark.parametrize("reaches", [{0.0: 0.8}, {0.5: 0.5, 1.0: 0.4}])
def test_c1_is_not_run_without_both_sides(reaches):
    assert verdict(synthetic.curves_figure(reaches), "C1").verdict == "not run"


def test_one_order_has_no_spread_so_c1_is_open():
    found = verdict(synthetic.curves_figure(CLEAN_AND_CORRUPTED, orders=1), "C1")
    assert found.verdict == "inconclusive"
    assert found.value is None


def test_a_network_that_gets_nothing_right_leaves_c1_open():
    figure = two_networks([0.6, 0.8], [0.0, 0.2])
    nothing = dataclasses.replace(
        figure.networks[1].sweeps["cumulative"], n_correct=np.zeros((2, 2), np.int64)
    )
    broken = dataclasses.replace(figure.networks[1], sweeps={"cumulative": nothing})
    figure = dataclasses.replace(figure, networks=(figure.networks[0], broken))
    assert verdict(figure, "C1").verdict == "inconclusive"


@pytest.mark.parametrize(
    ("slope", "expected"),
    [(0.0, "supported"), (3.0, "not supported"), (-3.0, "not supported"), (0.4, "inconclusive")],
)
def test_c14_follows_the_interval_of_rho(slope, expected):
    table = synthetic.unit_table(slope, early=1.0)
    found = verdict(synthetic.units_figure(table), "C14")
    direct = spearman(table.class_selectivity, table.importance)
    assert found.verdict == expected
    assert found.value == pytest.approx(direct.rho, abs=1e-12)
    assert found.interval == pytest.approx((direct.low, direct.high), abs=1e-12)
    assert found.paper_value == 0.095
    assert found.n == "256 units of 1 network, 1,000 images"


def test_of_several_networks_rho_is_the_mean_of_their_rhos():
    # Without ties and with equal sizes, pooling the ranks of each network averages their rho.
    tables = [synthetic.unit_table(0.1 * seed, seed=seed) for seed in range(3)]
    found = verdict(synthetic.units_figure(*tables), "C14")
    rhos = [spearman(t.class_selectivity, t.importance).rho for t in tables]
    assert found.value == pytest.approx(np.mean(rhos), abs=1e-12)
    assert f"{np.mean(rhos):.2f} ± {np.std(rhos, ddof=1):.2f} over 3 networks" in found.ours


def test_larger_losses_of_one_network_do_not_weigh_more():
    tables = [synthetic.unit_table(0.0, seed=0), synthetic.unit_table(2.0, seed=1)]
    louder = dataclasses.replace(tables[1], loss=0.2 + 1000 * tables[1].importance)
    values = [
        verdict(synthetic.units_figure(tables[0], table), "C14").value
        for table in (tables[1], louder)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-12)


def test_silent_units_that_alone_make_a_correlation_leave_c14_open():
    # Half of the units are silent: at selectivity 0 and importance 0 they correlate perfectly.
    found = verdict(synthetic.units_figure(synthetic.unit_table(dead=128)), "C14")
    assert found.interval[0] > 0.3
    assert found.verdict == "inconclusive"
    assert "128 units silent on every image; without them rho = " in found.note


@pytest.mark.parametrize("what", ["all silent", "no effect", "not finite"])
def test_undefined_rho_is_inconclusive(what):
    table = synthetic.unit_table(n_units=20, dead=20 if what == "all silent" else 0)
    if what == "no effect":
        table = dataclasses.replace(table, loss=np.full(20, table.intact_loss))
    if what == "not finite":
        table = dataclasses.replace(table, loss=np.full(20, np.nan))
    found = verdict(synthetic.units_figure(table), "C14")
    assert found.verdict == "inconclusive"
    assert found.value is None and found.interval is None
    assert verdict(synthetic.units_figure(table), "C17").verdict == "inconclusive"


@pytest.mark.parametrize(
    ("early", "expected"), [(2.0, "supported"), (0.5, "not supported"), (1.0, "inconclusive")]
)
def test_c17_compares_the_first_layer_with_the_last(early, expected):
    table = synthetic.unit_table(early=early)
    found = verdict(synthetic.units_figure(table), "C17")
    assert found.verdict == expected
    half = table.n_units // 2
    difference = table.importance[:half].sum() / half - table.importance[half:].sum() / half
    assert found.value == pytest.approx(difference)


def test_c17_interval_has_the_width_of_the_standard_error():
    table = synthetic.unit_table(n_units=2000, early=1.0)
    found = verdict(synthetic.units_figure(table), "C17")
    standard_error = np.sqrt(2 * table.importance.var() / 1000)
    # Ends of 2,000 resamples are good to a few percent of the width.
    assert found.interval[1] - found.interval[0] == pytest.approx(3.92 * standard_error, rel=0.1)


def test_c17_is_not_run_with_one_layer():
    table = synthetic.unit_table(n_units=20)
    one = dataclasses.replace(table, layers=(("hidden_1", 20),))
    assert verdict(synthetic.units_figure(one), "C17").verdict == "not run"


def test_claims_of_a_figure_without_networks_are_not_run():
    for figure in (synthetic.curves_figure(), synthetic.units_figure(synthetic.unit_table())):
        empty = dataclasses.replace(figure, networks=())
        assert {found.verdict for found in claims.judge(empty)} == {"not run"}


def test_a_figure_of_ones_own_has_no_claims():
    figure = synthetic.curves_figure(points=5)
    own = dataclasses.replace(figure, config=dataclasses.replace(figure.config, name="mine"))
    assert claims.judge(own) == []


def test_every_verdict_is_plain_json_with_its_rule_and_command():
    fields = (
        "claim figure statement paper ours interval n data profile rule verdict command seconds"
    )
    figure = synthetic.units_figure(synthetic.unit_table())
    for found in claims.judge(figure) + claims.judge(synthetic.curves_figure()):
        record = claims.to_record(found)
        assert {*fields.split(), "seconds"} <= set(record)
        assert json.loads(json.dumps(record, allow_nan=False)) == record
        assert found.rule.count("Supported:") == 1 and "Not supported:" in found.rule
        assert found.command.startswith("./run_all.sh")
