"""Batches from arrays and from streams: all images once, equal shapes, checked on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from repro.engine.batches import Batch, Batches


def batches(images: Any, labels: Any = None, batch_size: int = 4, **options: Any) -> Batches:
    options = {"image_shape": (2, 3), "n_classes": 5} | options
    return Batches(images, labels, batch_size=batch_size, **options)


def data(n_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Images that show their number."""
    images = np.arange(n_images, dtype=np.float64)[:, None, None] + np.zeros((2, 3))
    return images, np.arange(n_images) % 5


def assert_all_images_once(found: Batches, n_images: int) -> None:
    start = 0
    for batch in found:
        assert batch.images.shape == (found.batch_size, 2, 3) and batch.images.dtype == np.float32
        assert batch.labels.shape == (found.batch_size,) and batch.labels.dtype == np.int32
        numbers = batch.images[:, 0, 0].astype(int)
        # Padding repeats real images of the batch, with their labels.
        np.testing.assert_array_equal(batch.labels, numbers % 5)
        real = np.arange(start, start + batch.n_real)
        np.testing.assert_array_equal(numbers[: batch.n_real], real)
        assert set(numbers) == set(real)
        start += batch.n_real
    assert start == n_images


@given(n_images=st.integers(1, 30), batch_size=st.integers(0, 40))
def test_arrays_give_all_images_once(n_images: int, batch_size: int) -> None:
    found = batches(*data(n_images), batch_size=batch_size)
    assert 1 <= found.batch_size <= max(1, batch_size)
    # Equal batches: less than one image a batch is filled up.
    n_batches = -(-n_images // found.batch_size)
    assert n_batches == -(-n_images // max(1, batch_size))
    assert n_batches * found.batch_size - n_images < n_batches
    for _ in range(2):
        assert_all_images_once(found, n_images)


@given(
    n_images=st.integers(1, 30),
    batch_size=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 30), max_size=8),
)
def test_streams_give_all_images_once(n_images: int, batch_size: int, cuts: list[int]) -> None:
    edges = sorted(min(cut, n_images) for cut in cuts)
    pairs = list(zip(*(np.split(part, edges) for part in data(n_images)), strict=True))
    found = batches(pairs, batch_size=batch_size)
    for _ in range(2):
        assert_all_images_once(found, n_images)


def test_a_dataset_is_a_stream() -> None:
    dataset = tf.data.Dataset.from_tensor_slices(data(11)).batch(3)
    assert_all_images_once(batches(dataset), 11)


def test_an_open_image_size_takes_any() -> None:
    found = batches(np.zeros((2, 7, 3)), np.zeros(2, int), image_shape=(None, 3))
    assert next(iter(found)).images.shape == (2, 7, 3)


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (np.zeros((4, 2, 4)), np.zeros(4, int), r"shape \(n, 2, 3\), got \(4, 2, 4\)"),
        (np.zeros((4, 6)), np.zeros(4, int), r"shape \(n, 2, 3\), got \(4, 6\)"),
        (np.zeros((4, 2, 3)), np.zeros((4, 1), int), "labels must be 4 integers"),
        (np.zeros((4, 2, 3)), np.zeros(4, bool), "labels must be 4 integers.*bool"),
        (np.zeros((4, 2, 3)), np.full(4, -1), "labels must be 0 to 4.*got -1 to -1"),
        (np.full((4, 2, 3), np.inf), np.zeros(4, int), "not finite"),
        (np.full((4, 2, 3), 1e39), np.zeros(4, int), "not finite"),
        (np.zeros((0, 2, 3)), np.zeros(0, int), "no images"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_what_does_not_fit_is_refused(images: Any, labels: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        batches(images, labels)
    with pytest.raises(ValueError, match=sentence):
        list(batches([(images, labels)]))


@pytest.mark.parametrize(("n_images", "n_real"), [(2, 2), (7, 7), (8, 5), (8, 4), (9, 1)])
def test_halves_hold_every_real_image_once(n_images: int, n_real: int) -> None:
    images = np.arange(n_images, dtype=np.float32)[:, None]
    whole = Batch(images, np.arange(n_images, dtype=np.int32), n_real)
    halves = whole.halves()
    real = np.concatenate([half.images[: half.n_real, 0] for half in halves])
    np.testing.assert_array_equal(real, np.arange(n_real))
    for half in halves:
        assert 0 < half.n_real <= len(half.images) == len(half.labels) < n_images
