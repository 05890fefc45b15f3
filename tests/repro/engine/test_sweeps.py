"""The sweeps beyond Figs. 1a and 7a: last layers, rotated bases, noise, intact, and all that is
measured of a unit. `test_engine` has the others; plain Keras gives the expected answers."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import pytest

from repro.core import metrics, results
from repro.core.kinds import (
    KINDS,
    AblationCurve,
    CumulativeConfig,
    FragilityConfig,
    ImageTable,
    Intact,
    IntactConfig,
    NoiseConfig,
    NoiseCurve,
    Portraits,
    PortraitsConfig,
    SingleUnitConfig,
    UnitTable,
)
from repro.core.settings import TrainConfig
from repro.engine import sweeps
from repro.engine.engine import Engine
from repro.engine.layout import Layout
from repro.models import networks
from tests.helpers import plain, synthetic

LAYERS = (("hidden_1", 24), ("hidden_2", 16))


def test_the_last_layers_alone_are_ablated(tiny_mlp: Any, tiny_images: Any) -> None:
    images, labels = tiny_images
    settings = CumulativeConfig(orders=2, points=5, last_layers=1)
    curve = sweeps.run(settings, tiny_mlp, images, labels)
    assert isinstance(curve, AblationCurve)
    assert curve.layers == (("hidden_2", 16),)
    assert curve.n_ablated.tolist() == [0, 4, 8, 12, 16]
    for order, n_correct in zip(curve.orders, curve.n_correct, strict=True):
        for n_ablated, correct in zip(curve.n_ablated, n_correct, strict=True):
            keep = np.ones(40)
            keep[24 + order[:n_ablated]] = 0
            expected = plain.answer(tiny_mlp, LAYERS, images, labels, keep)
            assert correct == expected.n_correct.sum()


@pytest.fixture(scope="module")
def headed() -> Any:
    """A small convnet with a hidden dense layer before its logits."""
    model = networks.convnet((8, 8, 1), 10, width=1 / 32, head_units=6)
    plain.randomise(model, np.random.default_rng(5))
    return model


def test_the_last_layers_of_a_convnet_with_a_head_are_convolutions(
    headed: Any, rng: np.random.Generator
) -> None:
    images, labels = rng.random((40, 8, 8, 1), dtype=np.float32), np.arange(40) % 10
    last_three = (("conv_9", 16), ("conv_10", 16), ("conv_11", 16))
    settings = CumulativeConfig(orders=2, points=4, last_layers=3)
    curve = sweeps.run(settings, headed, images, labels)
    assert isinstance(curve, AblationCurve) and curve.layers == last_three
    for order, n_correct in zip(curve.orders, curve.n_correct, strict=True):
        for n_ablated, correct in zip(curve.n_ablated, n_correct, strict=True):
            keep = np.ones(48)
            keep[order[:n_ablated]] = 0
            expected = plain.answer(headed, last_three, images, labels, keep)
            assert abs(correct - expected.n_correct.sum()) <= expected.perhaps_tied
    turned = sweeps.run(dataclasses.replace(settings, basis="random"), headed, images, labels)
    assert isinstance(turned, AblationCurve) and turned.layers == last_three
    ordered = CumulativeConfig(order="mean_activation", points=4, last_layers=3)
    ranked = sweeps.run(ordered, headed, images, labels)
    assert isinstance(ranked, AblationCurve) and sorted(ranked.orders[0]) == list(range(48))
    portrayed = sweeps.run(PortraitsConfig(n_top=2), headed, images, labels)
    assert isinstance(portrayed, Portraits) and portrayed.layers == last_three[-1:]


def test_the_units_of_a_head_are_hidden_units_like_others(
    headed: Any, rng: np.random.Generator
) -> None:
    images, labels = rng.random((40, 8, 8, 1), dtype=np.float32), np.arange(40) % 10
    table = sweeps.run(SingleUnitConfig(), headed, images, labels)
    assert isinstance(table, UnitTable)
    assert [name for name, _ in table.layers][-2:] == ["conv_11", networks.HEAD]
    for unit in range(6):
        keep = np.ones(6)
        keep[unit] = 0
        expected = plain.answer(headed, table.layers[-1:], images, labels, keep)
        assert table.loss[unit - 6] == pytest.approx(expected.loss_sum / 40, rel=1e-5)
    last = sweeps.run(SingleUnitConfig(last_layers=1), headed, images, labels)
    assert isinstance(last, UnitTable) and last.layers == (("conv_11", 16),)
    np.testing.assert_allclose(last.loss, table.loss[-22:-6], rtol=1e-6)
    np.testing.assert_allclose(last.class_means, table.class_means[:, -22:-6], rtol=1e-6)
    whole = sweeps.run(CumulativeConfig(orders=1, points=2), headed, images, labels)
    assert isinstance(whole, AblationCurve) and whole.layers[-1] == (networks.HEAD, 6)
    with pytest.raises(ValueError, match="has 11 masked layers, the head left out"):
        sweeps.run(CumulativeConfig(last_layers=12), headed, images, labels)


def test_a_measure_orders_the_last_layers_among_themselves(tiny_mlp: Any, tiny_images: Any) -> None:
    settings = CumulativeConfig(order="class_selectivity", points=3, last_layers=1)
    curve = sweeps.run(settings, tiny_mlp, *tiny_images)
    assert isinstance(curve, AblationCurve)
    selectivity = Engine(tiny_mlp, *tiny_images).statistics().class_selectivity[24:]
    assert np.all(np.diff(selectivity[curve.orders[0]]) >= 0)


@pytest.mark.parametrize(("number", "start", "size"), [(1, 0, 24), (2, 24, 16)])
def test_one_layer_alone_is_ablated(
    tiny_mlp: Any, tiny_images: Any, number: int, start: int, size: int
) -> None:
    images, labels = tiny_images
    for settings in (
        CumulativeConfig(orders=2, points=5, only_layer=number),
        CumulativeConfig(order="mutual_information", points=5, only_layer=number),
    ):
        curve = sweeps.run(settings, tiny_mlp, images, labels)
        assert isinstance(curve, AblationCurve) and curve.layers == (LAYERS[number - 1],)
        for order, n_correct in zip(curve.orders, curve.n_correct, strict=True):
            assert sorted(order) == list(range(size))
            for n_ablated, correct in zip(curve.n_ablated, n_correct, strict=True):
                keep = np.ones(40)
                keep[start + order[:n_ablated]] = 0
                expected = plain.answer(tiny_mlp, LAYERS, images, labels, keep)
                assert correct == expected.n_correct.sum()
    with pytest.raises(ValueError, match="only_layer = 3 but the network has 2 masked layers"):
        sweeps.run(CumulativeConfig(only_layer=3), tiny_mlp, images, labels)


def test_other_images_than_those_of_the_curve_can_order_its_units(
    tiny_mlp: Any, tiny_images: Any
) -> None:
    images, labels = tiny_images
    half = len(images) // 2
    settings = CumulativeConfig(order="class_selectivity", points=3, ranked_on="train")
    ranked_on = images[half:], labels[half:]
    curve = sweeps.run(settings, tiny_mlp, images[:half], labels[:half], ranked_on)
    assert isinstance(curve, AblationCurve) and curve.n_images == half
    elsewhere = Engine(tiny_mlp, *ranked_on).statistics().class_selectivity
    here = Engine(tiny_mlp, images[:half], labels[:half]).statistics().class_selectivity
    assert np.all(np.diff(elsewhere[curve.orders[0]]) >= 0)
    assert not np.all(np.diff(here[curve.orders[0]]) >= 0)


def test_more_last_layers_than_there_are_is_refused() -> None:
    layout = Layout((("a", 8), ("b", 4)))
    assert sweeps.last_layers(layout, 0) == (layout.layers, 0)
    with pytest.raises(ValueError, match="last_layers = 3 but the network has 2 masked layers"):
        sweeps.last_layers(layout, 3)


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_directions_of_a_random_basis_are_projected_away(
    tiny_mlp: Any, tiny_images: Any, fill: str
) -> None:
    images, labels = tiny_images
    settings = CumulativeConfig(
        orders=1, points=3, last_layers=1, basis="random", fill=fill, seed=5
    )
    curve = sweeps.run(settings, tiny_mlp, images, labels)
    assert isinstance(curve, AblationCurve)
    # By hand: h' = h - Q Q^T (h - fill) in the last hidden layer, then the logits.
    rng = np.random.default_rng(5)
    probe = type(tiny_mlp)(tiny_mlp.inputs, tiny_mlp.get_layer("hidden_2_mask").output)
    hidden = np.asarray(probe([images]), np.float64)
    kernel, bias = (np.asarray(w, np.float64) for w in tiny_mlp.get_layer("logits").weights)
    start = hidden.mean(axis=0) if fill == "mean" else 0.0
    for order, n_correct in zip(curve.orders, curve.n_correct, strict=True):
        basis = metrics.random_basis(16, rng)
        np.testing.assert_array_equal(order, rng.permutation(16))
        for n_ablated, correct in zip(curve.n_ablated, n_correct, strict=True):
            q = basis[:, order[:n_ablated]]
            left = hidden - (hidden - start) @ q @ q.T
            assert correct == ((left @ kernel + bias).argmax(axis=1) == labels).sum()


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_each_direction_of_a_random_basis_is_clamped_alone(
    tiny_mlp: Any, tiny_images: Any, fill: str
) -> None:
    images, labels = tiny_images
    settings = SingleUnitConfig(basis="random", last_layers=1, fill=fill, seed=5)
    table = sweeps.run(settings, tiny_mlp, images, labels)
    assert isinstance(table, UnitTable) and table.layers == (("hidden_2", 16),)
    basis = metrics.random_basis(16, np.random.default_rng(5))
    probe = type(tiny_mlp)(tiny_mlp.inputs, tiny_mlp.get_layer("hidden_2_mask").output)
    hidden = np.asarray(probe([images]), np.float64)
    kernel, bias = (np.asarray(w, np.float64) for w in tiny_mlp.get_layer("logits").weights)
    for number, n_correct in enumerate(table.n_correct):
        along = hidden @ basis[:, number]
        rest = along - (along.mean() if fill == "mean" else 0.0)
        answer = ((hidden - np.outer(rest, basis[:, number])) @ kernel + bias).argmax(axis=1)
        hits = np.bincount(labels[answer == labels], minlength=5)
        np.testing.assert_array_equal(n_correct, hits)
    means = np.stack([(hidden[labels == c] @ basis).mean(axis=0) for c in range(5)])
    np.testing.assert_allclose(table.class_means, means, atol=1e-5)
    # Projections have either sign, and no weights of their own: neither measure is defined.
    assert np.isnan(table.class_selectivity).all() and np.isnan(table.weight_norm).all()
    assert not table.dead.any()


def test_the_last_layers_units_alone_are_those_of_the_whole_table(
    tiny_mlp: Any, tiny_images: Any
) -> None:
    whole = sweeps.run(SingleUnitConfig(), tiny_mlp, *tiny_images)
    last = sweeps.run(SingleUnitConfig(last_layers=1), tiny_mlp, *tiny_images)
    assert isinstance(whole, UnitTable) and isinstance(last, UnitTable)
    np.testing.assert_array_equal(last.n_correct, whole.n_correct[24:])
    for measure in ("class_selectivity", "mutual_information", "weight_norm", "sparsity"):
        np.testing.assert_array_equal(getattr(last, measure), getattr(whole, measure)[24:])
    np.testing.assert_allclose(last.importance, whole.importance[24:], rtol=1e-9)


def test_the_class_that_loses_most_is_chosen_on_other_images(
    tiny_mlp: Any, tiny_images: Any
) -> None:
    images, labels = tiny_images
    table = sweeps.run(SingleUnitConfig(halves=True), tiny_mlp, images, labels)
    whole = sweeps.run(SingleUnitConfig(), tiny_mlp, images, labels)
    assert isinstance(table, UnitTable) and isinstance(whole, UnitTable)
    # The halves are counted each by itself, and together are all images.
    np.testing.assert_array_equal(table.n_correct, whole.n_correct)
    np.testing.assert_allclose(table.loss, whole.loss, rtol=1e-6)
    assert np.isnan(whole.held_out_class_drop).all()

    def drops(half: np.ndarray, keep: np.ndarray) -> np.ndarray:
        one, of_one = images[half], labels[half]
        n_lost = [
            plain.answer(tiny_mlp, LAYERS, one, of_one, lesion).n_correct
            for lesion in (np.ones(40), keep)
        ]
        return (n_lost[0] - n_lost[1]) / np.bincount(of_one, minlength=5)

    by_class = np.argsort(labels, kind="stable")
    for unit, found in enumerate(table.held_out_class_drop):
        one, other = (drops(by_class[start::2], np.arange(40) != unit) for start in range(2))
        assert found == pytest.approx((other[one.argmax()] + one[other.argmax()]) / 2)


def test_a_class_without_images_in_both_halves_is_not_chosen(tiny_mlp: Any) -> None:
    images = np.random.default_rng(4).random((11, *tiny_mlp.input_shape[1:]), dtype=np.float32)
    whole = sweeps.run(
        SingleUnitConfig(halves=True), tiny_mlp, images, np.array([0] * 6 + [1] * 4 + [2])
    )
    some = sweeps.run(
        SingleUnitConfig(halves=True), tiny_mlp, images[:10], np.array([0] * 6 + [1] * 4)
    )
    assert isinstance(whole, UnitTable) and isinstance(some, UnitTable)
    np.testing.assert_array_equal(whole.held_out_class_drop, some.held_out_class_drop)
    alone = sweeps.run(SingleUnitConfig(halves=True), tiny_mlp, images[:2], np.array([3, 1]))
    assert isinstance(alone, UnitTable) and np.isnan(alone.held_out_class_drop).all()
    with pytest.raises(ValueError, match="two images or more"):
        sweeps.run(SingleUnitConfig(halves=True), tiny_mlp, images[:1], np.array([3]))


def test_directions_too_have_their_class_chosen_on_other_images(
    tiny_mlp: Any, tiny_images: Any
) -> None:
    settings = SingleUnitConfig(basis="random", fill="mean", halves=True, seed=5)
    halved = sweeps.run(settings, tiny_mlp, *tiny_images)
    whole = sweeps.run(dataclasses.replace(settings, halves=False), tiny_mlp, *tiny_images)
    assert isinstance(halved, UnitTable) and isinstance(whole, UnitTable)
    np.testing.assert_array_equal(halved.n_correct, whole.n_correct)
    assert np.isfinite(halved.held_out_class_drop).all()
    assert results.from_bytes(results.to_bytes(halved), UnitTable).drop_held_out is not None


def test_noise_begins_intact_and_ends_at_chance(tiny_mlp: Any, tiny_images: Any) -> None:
    images, labels = tiny_images
    settings = NoiseConfig(scales=3, smallest=0.001, largest=1000.0, draws=4)
    curve = sweeps.run(settings, tiny_mlp, images, labels)
    assert isinstance(curve, NoiseCurve)
    intact = (tiny_mlp.predict(images, verbose=0).argmax(axis=1) == labels).sum()
    assert curve.scales.tolist() == pytest.approx([0, 0.001, 1, 1000])
    assert np.all(curve.n_correct[:, 0] == intact)
    assert np.all(np.diff(curve.loss[:, 1:], axis=1) > 0)
    # Labels are random: noise leaves a fifth of 4 * 230 answers right, s.d. 12.
    assert curve.n_correct[:, -1].sum() == pytest.approx(184, abs=60)


def test_intact_is_what_keras_predicts(tiny_mlp: Any, tiny_images: Any) -> None:
    images, labels = tiny_images
    found = sweeps.run(IntactConfig(images="test"), tiny_mlp, images, labels)
    assert isinstance(found, Intact)
    expected = plain.answer(tiny_mlp, LAYERS, images, labels, np.ones(40))
    assert found.n_correct == expected.n_correct.sum() and found.n_images == 230
    assert found.loss == pytest.approx(expected.loss_sum / 230, rel=1e-5)
    assert found.n_top5 == 230  # of five classes


def test_a_unit_table_holds_what_the_appendix_measures(tiny_mlp: Any, tiny_images: Any) -> None:
    table = sweeps.run(SingleUnitConfig(), tiny_mlp, *tiny_images)
    assert isinstance(table, UnitTable)
    statistics = Engine(tiny_mlp, *tiny_images).statistics()
    np.testing.assert_allclose(table.mutual_information, statistics.mutual_information)
    np.testing.assert_array_equal(table.sparsity, statistics.sparsity)
    bias = metrics.mutual_information_bias(statistics.bin_counts)
    np.testing.assert_allclose(
        table.corrected_information, statistics.mutual_information - bias, atol=1e-12
    )
    kernels = [np.asarray(tiny_mlp.get_layer(n).kernel) for n in ("hidden_1", "hidden_2")]
    norms = np.concatenate([np.abs(kernel).sum(axis=0) for kernel in kernels])
    np.testing.assert_allclose(table.weight_norm, norms, rtol=1e-5)
    drops = (table.intact_correct - table.n_correct) / table.class_counts
    np.testing.assert_allclose(table.largest_class_drop, drops.max(axis=1))


def test_portraits_are_of_needed_units_and_the_images_that_drive_them(
    tiny_mlp: Any, tiny_images: Any
) -> None:
    images, labels = tiny_images
    found = sweeps.run(PortraitsConfig(n_top=4), tiny_mlp, images, labels)
    assert isinstance(found, Portraits) and found.layers == (("hidden_2", 16),)
    table = sweeps.run(SingleUnitConfig(), tiny_mlp, images, labels)
    assert isinstance(table, UnitTable)
    importance, selectivity = table.importance[24:], table.class_selectivity[24:]
    needed = [unit for unit in range(16) if importance[unit] > np.median(importance)]
    assert found.units.tolist() == [
        max(needed, key=lambda unit: selectivity[unit]),
        min(needed, key=lambda unit: selectivity[unit]),
    ]
    np.testing.assert_allclose(found.importance, importance[found.units], rtol=1e-5)
    np.testing.assert_allclose(found.class_means, table.class_means[:, 24 + found.units])
    by_importance = np.argsort(-importance).tolist()
    assert [by_importance[rank - 1] for rank in found.rank] == found.units.tolist()
    probe = type(tiny_mlp)(tiny_mlp.inputs, tiny_mlp.get_layer("hidden_2_mask").output)
    activations = np.asarray(probe([images]))
    for place, unit in enumerate(found.units):
        strongest = np.argsort(-activations[:, unit])[:4]
        np.testing.assert_array_equal(found.top_labels[place], labels[strongest])
        expected = np.rint(255 * images[strongest].astype(float))
        np.testing.assert_array_equal(found.top_images[place], expected)


def test_sweeps_that_share_an_engine_answer_as_each_alone(
    tiny_mlp: Any, tiny_images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = tiny_images
    checked: list[Engine] = []
    check = Engine.check
    monkeypatch.setattr(Engine, "check", lambda engine: (checked.append(engine), check(engine)))
    engines = sweeps.Engines(tiny_mlp)
    for settings in (
        SingleUnitConfig(n_images=100),
        CumulativeConfig(orders=2, points=3, fill="mean"),
        SingleUnitConfig(basis="random", last_layers=1),
    ):
        shared = sweeps.run(settings, engines, images, labels)
        alone = sweeps.run(settings, tiny_mlp, images, labels)
        assert results.to_bytes(shared) == results.to_bytes(alone)
    assert len(checked) == 1 + 3, "once for those that share, and for each alone"


def test_images_that_are_missing_are_black_and_of_no_class() -> None:
    images = np.linspace(-1, 1, 4 * 9).reshape(4, 3, 3, 1)
    numbers = np.array([[3, -1], [0, 3]])
    pictures, classes = sweeps._images_of(images, np.array([5, 6, 7, 8]), numbers)
    assert classes.tolist() == [[8, -1], [5, 8]]
    assert pictures[0, 1].max() == 0 and pictures[1, 0].min() == 0 and pictures[0, 0].max() == 255
    none, nobody = sweeps._images_of(images, np.zeros(4, int), np.full((2, 2), -1))
    assert none.shape == (2, 2, 3, 3, 1) and not none.any() and np.all(nobody == -1)


def test_units_are_picked_among_all_where_none_is_needed_more_than_another() -> None:
    picked = sweeps.picked_units(np.array([0.2, 0.9, 0.1]), np.zeros(3))
    assert picked.tolist() == [1, 2]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_result_survives_the_disk(kind: str) -> None:
    made_up = synthetic.sweep_result(KINDS[kind].settings(), TrainConfig("mnist", "mlp", (8,)))
    content = results.to_bytes(made_up)
    again = results.from_bytes(content, KINDS[kind].result)
    assert results.to_bytes(again) == content
    assert type(again) is type(made_up)


def test_a_result_of_an_older_version_is_refused() -> None:
    table = synthetic.unit_table(n_units=4)
    older = {"class_selectivity": table.class_selectivity, "loss": table.loss}
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array('{"kind": "single_unit"}'), **older)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a single_unit result with other fields"):
        results.from_bytes(buffer.getvalue(), UnitTable)


# --- Single images -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shuffled(
    _tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, labels that the network answers, but for a few, and true labels, a third others."""
    images, _ = tiny_images
    labels = np.asarray(_tiny_mlp.predict(images, verbose=0)).argmax(axis=1)
    labels[::9] = (labels[::9] + 1) % 5
    truth = labels.copy()
    truth[::3] = (truth[::3] + 2) % 5
    return images, labels, truth


def test_fragility_of_images_is_that_of_plain_keras(
    tiny_mlp: Any, shuffled: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    images, labels, truth = shuffled
    settings = FragilityConfig(flipped=4, most=6, n_images=100, seed=2)
    found = sweeps.run(settings, tiny_mlp, images, labels, true_labels=truth)
    assert isinstance(found, ImageTable)
    chosen = np.random.default_rng(2).permutation(len(images))[:100]
    np.testing.assert_array_equal(found.labels, labels[chosen])
    np.testing.assert_array_equal(found.true_labels, truth[chosen])
    intact = np.asarray(tiny_mlp.predict_on_batch(images[chosen])).argmax(axis=1)
    np.testing.assert_array_equal(found.answers, intact)
    changed = np.zeros(100, int)
    for unit in range(40):
        plain.assign(tiny_mlp, LAYERS, np.where(np.arange(40) == unit, 0.0, 1.0), None)
        changed += np.asarray(tiny_mlp.predict_on_batch(images[chosen])).argmax(axis=1) != intact
    plain.assign(tiny_mlp, LAYERS, np.ones(40), None)
    np.testing.assert_array_equal(found.n_changed, changed)
    np.testing.assert_allclose(found.fragility, changed / 40)
    # Four of each kind, which the network answers as they are labelled; one unit if it is enough.
    answered = found.answers == found.labels
    for kind in (found.shuffled, found.truthful):
        assert kind[found.flipped].sum() == 4 and answered[found.flipped[kind[found.flipped]]].all()
    np.testing.assert_array_equal(found.flip_units == 1, changed[found.flipped] > 0)
    expected = metrics.roc_area(found.fragility, truth[chosen] != labels[chosen])
    assert found.area("fragility") == expected
    assert len(list(KINDS["fragility"].rows(found))) == 100


def test_without_true_labels_no_image_counts_as_shuffled(
    tiny_mlp: Any, shuffled: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    images, labels, _ = shuffled
    found = sweeps.run(FragilityConfig(n_images=20), tiny_mlp, images, labels)
    assert isinstance(found, ImageTable)
    assert not found.shuffled.any() and not found.truthful.any() and not len(found.flipped)
    assert np.isnan(found.area("loss")) and not len(found.flips(True))
    assert next(KINDS["fragility"].rows(found))[2] is None
