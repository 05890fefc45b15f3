"""Unit statistics gathered in one pass, against NumPy on all activations at once."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest

from repro.core import metrics
from repro.engine import activity
from repro.engine.activity import UnitStatistics
from repro.engine.engine import Engine
from repro.models.masking import AblationMask
from tests.helpers import plain

N_IMAGES, N_CLASSES = 90, 4


@pytest.fixture(scope="module")
def model() -> Any:
    """Maps after ReLU, units after tanh; one map is always silent."""
    x = images = keras.Input((5, 4, 2))
    x = keras.layers.Conv2D(6, 3, activation="relu", padding="same", name="maps")(x)
    x = AblationMask(name="maps_mask")(x)
    x = keras.layers.Dense(5, activation="tanh")(keras.layers.Flatten()(x))
    x = AblationMask(name="units_mask")(x)
    model = keras.Model(images, keras.layers.Dense(N_CLASSES)(x))
    plain.randomise(model, np.random.default_rng(1))
    maps = model.get_layer("maps")
    kernel, bias = maps.get_weights()
    kernel[..., 3], bias[3] = 0, -1
    maps.set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    images = rng.normal(size=(N_IMAGES, 5, 4, 2)).astype(np.float32)
    return images, rng.integers(0, N_CLASSES - 1, N_IMAGES)  # no image of the last class


@pytest.fixture(scope="module")
def activations(model: Any, data: Any) -> list[np.ndarray]:
    """float64 (n_images, *positions, n_units) of each layer."""
    masks = [model.get_layer(name).input for name in ("maps_mask", "units_mask")]
    probe = keras.Model(model.inputs, masks)
    return [np.asarray(part, np.float64) for part in probe.predict_on_batch(data[0])]


@pytest.fixture(scope="module", params=[None, 1, 7, 90, 200])
def found(request: pytest.FixtureRequest, model: Any, data: Any) -> UnitStatistics:
    return Engine(model, *data, batch_size=request.param).statistics(n_bins=6, n_top=4)


def over_positions(part: np.ndarray) -> np.ndarray:
    """(n_images, n_positions, n_units)"""
    return part.reshape(len(part), -1, part.shape[-1])


def per_image(activations: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([over_positions(part).mean(axis=1) for part in activations], axis=1)


def test_class_means(found: UnitStatistics, activations: Any, data: Any) -> None:
    means = per_image(activations)
    np.testing.assert_array_equal(found.class_counts, np.bincount(data[1], minlength=N_CLASSES))
    for c in range(N_CLASSES - 1):
        np.testing.assert_allclose(
            found.class_means[c], means[data[1] == c].mean(axis=0), rtol=1e-5, atol=1e-6
        )
    assert np.all(found.class_means[-1] == 0)  # a class without images
    np.testing.assert_allclose(found.means, means.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_variance_is_over_images_and_positions(found: UnitStatistics, activations: Any) -> None:
    expected = [part.reshape(-1, part.shape[-1]).var(axis=0) for part in activations]
    np.testing.assert_allclose(found.variance, np.concatenate(expected), rtol=1e-5, atol=1e-9)


def test_sparsity_is_the_fraction_of_zeros(found: UnitStatistics, activations: Any) -> None:
    expected = [(part.reshape(-1, part.shape[-1]) == 0).mean(axis=0) for part in activations]
    np.testing.assert_allclose(found.sparsity, np.concatenate(expected), atol=1e-7)
    assert found.sparsity[3] == 1 and found.variance[3] == 0
    assert np.all(found.sparsity[6:] == 0)


def test_means_at_each_position(found: UnitStatistics, activations: Any) -> None:
    assert [part.shape for part in found.position_means] == [(5, 4, 6), (5,)]
    for part, expected in zip(found.position_means, activations, strict=True):
        np.testing.assert_allclose(part, expected.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_position_means_are_a_fill(model: Any, data: Any, found: UnitStatistics) -> None:
    filled = Engine(model, *data).single_units(found.position_means)
    assert np.all(np.isfinite(filled.loss))


def test_images_that_drive_a_unit_most(found: UnitStatistics, activations: Any) -> None:
    means = per_image(activations)
    assert found.top_images.shape == found.top_activations.shape == (11, 4)
    for unit in range(11):
        driven = np.argsort(-means[:, unit])[:4]
        driven = driven[means[driven, unit] > 0]
        np.testing.assert_array_equal(found.top_images[unit, : len(driven)], driven)
        np.testing.assert_array_equal(found.top_images[unit, len(driven) :], -1)
        np.testing.assert_allclose(
            found.top_activations[unit, : len(driven)], means[driven, unit], rtol=1e-5
        )
    assert np.all(found.top_images[3] == -1) and np.all(found.top_activations[3] == 0)


def test_bins_hold_equal_mass_and_exact_zeros(
    found: UnitStatistics, activations: Any, data: Any
) -> None:
    means = per_image(activations).astype(np.float32)
    edges = metrics.equal_mass_edges(means, 6)
    np.testing.assert_array_equal(
        found.bin_counts, metrics.bin_counts(means, data[1], edges, N_CLASSES)
    )
    assert np.all(found.bin_counts.sum(axis=(1, 2)) == N_IMAGES)
    assert np.all(found.bin_counts[3, 0].sum() == N_IMAGES)  # the silent map: all zeros
    # 90 active images in five bins of a tanh unit: 18 each.
    assert np.all(found.bin_counts[6:, 1:].sum(axis=2) == 18)


def test_mutual_information_equals_entropies_by_hand(
    found: UnitStatistics, activations: Any, data: Any
) -> None:
    means = per_image(activations).astype(np.float32)
    edges = metrics.equal_mass_edges(means, 6)
    for unit in (0, 3, 8):
        column = means[:, unit]
        bins = np.where(column == 0, 0, 1 + np.searchsorted(edges[:, unit], column, "right"))
        joint = np.zeros((6, N_CLASSES))
        np.add.at(joint, (bins, data[1]), 1 / N_IMAGES)
        expected = entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint.ravel())
        assert found.mutual_information[unit] == pytest.approx(expected, abs=1e-9)


def entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def test_a_long_stream_places_bins_early_and_counts_all_images(
    model: Any, data: Any, activations: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "HELD", 11 * 30)  # 30 images of 11 units
    engine = Engine(model, *data, batch_size=20)
    found = engine.statistics(n_bins=6)
    assert np.all(found.bin_counts.sum(axis=(1, 2)) == N_IMAGES)
    # The bins are those of the first two batches, the first to reach 30 images.
    n_batches = math.ceil(N_IMAGES / 20)
    first = 2 * math.ceil(N_IMAGES / n_batches)
    assert 30 <= first < N_IMAGES
    means = per_image(activations).astype(np.float32)
    edges = metrics.equal_mass_edges(means[:first], 6)
    expected = metrics.bin_counts(means, data[1], edges, N_CLASSES)
    np.testing.assert_array_equal(found.bin_counts, expected)
    np.testing.assert_array_equal(
        found.bin_counts.sum(axis=1),
        np.broadcast_to(np.bincount(data[1], minlength=N_CLASSES), (11, N_CLASSES)),
    )


def test_far_from_zero_the_variance_keeps_its_digits() -> None:
    """Activations of 1,000 with a deviation of 1: squares would cancel in float32."""
    images = keras.Input((3,))
    model = keras.Model(images, keras.layers.Dense(2)(AblationMask(name="a_mask")(images)))
    x = np.random.default_rng(3).normal(1000, 1, (400, 3)).astype(np.float32)
    found = Engine(model, x, np.zeros(400, int), batch_size=50).statistics()
    np.testing.assert_allclose(found.variance, x.astype(np.float64).var(axis=0), rtol=1e-5)


def test_statistics_of_directions_are_those_of_the_projections(
    model: Any, data: Any, activations: Any
) -> None:
    basis = metrics.random_basis(6, np.random.default_rng(4))
    found = Engine(model, *data, bases={"maps": basis}, batch_size=50).statistics(n_top=1)
    projected = (activations[0] @ basis).reshape(-1, 6)
    np.testing.assert_allclose(found.variance[:6], projected.var(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.means[:6], projected.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_no_top_images_are_asked_for(model: Any, data: Any) -> None:
    assert Engine(model, *data).statistics(n_top=0).top_images.shape == (11, 0)


def test_classes_that_come_late_in_a_stream_are_counted_like_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bins are placed by the first images, of which some classes have none."""
    rng = np.random.default_rng(5)
    means = rng.gamma(1.0, size=(60, 3)).astype(np.float32)
    labels = np.concatenate([np.full(20, 6), rng.choice([2, 6, 9], 20), rng.choice([0, 9], 20)])
    monkeypatch.setattr(activity, "HELD", 20 * 3)
    gathered = activity.Accumulator([3], 12, n_bins=5, n_top=0)
    for start in range(0, 60, 20):
        part = slice(start, start + 20)
        nothing = np.zeros((20, 3))
        gathered.add(labels[part], means[part], nothing, nothing, [means[part].sum(axis=0)])
    found = gathered.result()
    edges = metrics.equal_mass_edges(means[:20], 5)
    expected = metrics.bin_counts(means, labels, edges, 12)
    np.testing.assert_array_equal(found.bin_counts, expected)
    assert found.binned.shape == (3, 5, 4) and found.binned.dtype == np.int32
    assert found.n_occurring == 4
    np.testing.assert_allclose(found.mutual_information, metrics.mutual_information(expected))
    assert found.mutual_information is found.mutual_information  # computed once
    by_class = np.stack([means[labels == c].mean(axis=0) for c in (0, 2, 6, 9)])
    np.testing.assert_allclose(
        found.class_selectivity, metrics.class_selectivity(by_class), rtol=1e-6
    )
