"""Where images come from, and what label corruption does to them."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.core.settings import TrainConfig
from repro.data import images as data_images
from repro.data import load
from repro.data import source as data_source
from repro.data.images import Images
from repro.data.load import corrupt_labels
from repro.data.source import DataError, DataSource


@given(
    fraction=st.floats(0, 1),
    n_images=st.integers(0, 300),
    seed=st.integers(0, 1000),
)
def test_corruption_keeps_class_counts_and_the_labels_of_the_others(
    fraction: float, n_images: int, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(0, 10, n_images)
    before = labels.copy()
    corrupted = corrupt_labels(labels, fraction, np.random.default_rng(seed + 1))
    np.testing.assert_array_equal(labels, before)
    np.testing.assert_array_equal(np.sort(corrupted), np.sort(labels))
    assert np.sum(corrupted != labels) <= round(fraction * n_images)


@pytest.mark.parametrize("fraction", [0.2, 0.4, 0.6, 0.8, 1.0])
def test_corruption_changes_about_nine_tenths_of_the_chosen_labels(fraction: float) -> None:
    labels = np.repeat(np.arange(10), 2000)
    changed = np.mean(corrupt_labels(labels, fraction, np.random.default_rng(5)) != labels)
    # Standard error of the share that keeps its label: sqrt(0.09 * f / 20,000) < 0.0022.
    assert changed == pytest.approx(0.9 * fraction, abs=0.008)


def test_no_corruption_changes_nothing_and_the_draw_is_the_seeds() -> None:
    labels = np.arange(100) % 10
    np.testing.assert_array_equal(corrupt_labels(labels, 0.0, np.random.default_rng(0)), labels)
    first, again, other = (
        corrupt_labels(labels, 1.0, data_images.generator(seed, "label corruption"))
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match="Expected 0 <= label_corruption <= 1. Received"):
        corrupt_labels(np.arange(5), fraction, np.random.default_rng(0))


def test_random_numbers_differ_by_purpose() -> None:
    first, other = (data_images.generator(0, purpose).random(4) for purpose in ("one", "other"))
    assert not np.array_equal(first, other)


@pytest.fixture(scope="module")
def embedded() -> data_images.Splits:
    config = TrainConfig(
        "mnist", "mlp", (8,), origin="embedded", n_train=3000, label_corruption=0.4
    )
    return load.load(DataSource("mnist", "embedded"), config)


def test_embedded_mnist_is_split_by_class(embedded: data_images.Splits) -> None:
    np.testing.assert_array_equal(np.bincount(embedded.test.labels), np.full(10, 100))
    assert len(embedded.train) == 3000
    assert embedded.train.images.shape == (3000, 28, 28, 1)
    assert embedded.train.images.dtype == np.float32
    assert embedded.train.images.min() == 0 and embedded.train.images.max() == 1


def test_embedded_training_and_test_images_are_disjoint(embedded: data_images.Splits) -> None:
    train = {image.tobytes() for image in embedded.train.images}
    assert not train & {image.tobytes() for image in embedded.test.images}


def test_a_config_draws_the_same_images_and_labels_every_time(embedded: data_images.Splits) -> None:
    config = TrainConfig(
        "mnist", "mlp", (8,), origin="embedded", n_train=3000, label_corruption=0.4
    )
    again = load.load(DataSource("mnist", "embedded"), config)
    assert again.train.images.tobytes() == embedded.train.images.tobytes()
    np.testing.assert_array_equal(again.train.labels, embedded.train.labels)
    assert 0.3 < np.mean(embedded.train.labels != embedded.true_labels) < 0.42


def test_more_training_images_than_there_are_is_refused() -> None:
    config = TrainConfig("mnist", "mlp", (8,), origin="embedded", n_train=4001)
    with pytest.raises(DataError, match="n_train = 4,001 but .* has 4,000 training images"):
        load.load(DataSource("mnist", "embedded"), config)


def test_a_prepared_directory_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("3.0.1", "3.0.10"):
        (tmp_path / "mnist" / version).mkdir(parents=True)
        (tmp_path / "mnist" / version / "dataset_info.json").write_text("{}")
    expected = DataSource("mnist", "tfds", str(tmp_path))
    assert data_source.locate("mnist", str(tmp_path), offline=True) == expected
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert data_source.locate("mnist") == expected
    assert data_source.prepared(tmp_path, "mnist").name == "3.0.10"


def test_offline_makes_no_network_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a network call was made")

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert data_source.locate("mnist", str(tmp_path), offline=True).origin == "embedded"
    with pytest.raises(DataError, match="cifar10 is not prepared.*offline was asked for"):
        data_source.locate("cifar10", str(tmp_path), offline=True)


def test_without_an_answer_mnist_falls_through_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that swallows packets: the connection is never answered, so the probe must give up."""
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(0)
    # Fill the backlog, so that further connections hang as behind a firewall.
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(silent.getsockname())
    connect = socket.create_connection
    monkeypatch.setattr(
        socket, "create_connection", lambda _, timeout: connect(silent.getsockname(), timeout)
    )
    began = time.monotonic()
    source = data_source.locate("mnist", str(tmp_path))
    assert source.origin == "embedded"
    assert "no TFDS data was found" in source.describe()
    assert time.monotonic() - began < 2 * data_source._PROBE_SECONDS
    for opened in (silent, *fillers):
        opened.close()


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"encodingFormat": "jpeg"}, "cifar10, prepared TFDS data set, JPEG copy"),
        ({"encodingFormat": "png"}, "cifar10, prepared TFDS data set"),
        (None, "cifar10, prepared TFDS data set"),
    ],
)
def test_a_data_set_that_went_through_jpeg_is_called_a_copy(
    tmp_path: Path, features: dict[str, str] | None, words: str
) -> None:
    version = tmp_path / "cifar10/3.0.2"
    version.mkdir(parents=True)
    (version / "dataset_info.json").write_text("{}")
    if features is not None:
        image = {"image": {"image": features}}
        noted = json.dumps({"featuresDict": {"features": image}})
        (version / "features.json").write_text(noted)
    assert data_source.locate("cifar10", str(tmp_path), offline=True).describe() == words


def test_a_host_that_answers_means_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_source, "_reachable", lambda host: host == "storage.googleapis.com")
    source = data_source.locate("mnist", str(tmp_path))
    assert source == DataSource("mnist", "tfds", str(tmp_path), prepared=False)


def test_an_unknown_data_set_and_a_missing_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown data set 'mnits'; expected one of mnist"):
        data_source.locate("mnits")
    with pytest.raises(DataError, match="--data_dir names .* which is not a directory"):
        data_source.locate("mnist", str(tmp_path / "missing"))


def test_imagenet_says_how_to_prepare_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="tfds build imagenet2012"):
        data_source.locate("imagenet2012", str(tmp_path), offline=True)


def test_damaged_files_end_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "mnist/3.0.1").mkdir(parents=True)
    (tmp_path / "mnist/3.0.1/dataset_info.json").write_text("{ not json")
    source = data_source.locate("mnist", str(tmp_path))
    with pytest.raises(DataError, match="mnist in .* cannot be read"):
        load.load(source, TrainConfig("mnist", "mlp", (8,)))


def test_images_with_nan_and_labels_out_of_range_are_refused() -> None:
    images = np.zeros((2, 4, 4, 1), np.float32)
    with pytest.raises(DataError, match="labels must be 0 to 2. Received: 0 to 3"):
        Images(images, np.array([0, 3]), 3)
    with pytest.raises(DataError, match="2 images but 1 labels"):
        Images(images, np.array([0]), 3)
    images[1, 2, 3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        Images(images, np.array([0, 1]), 3)


def epochs_of(pipeline: Any, n_images: int) -> list[np.ndarray]:
    seen = np.concatenate([images.numpy().reshape(-1) for images, _ in pipeline])
    return np.split(seen, len(seen) // n_images)


def numbered(n_images: int) -> Images:
    """Images that can be told apart: one pixel that holds the image's number."""
    numbers = np.arange(n_images, dtype=np.float32)
    return Images(numbers.reshape(-1, 1, 1, 1), numbers.astype(np.int32) % 3, 3)


def test_the_pipeline_shows_every_image_once_an_epoch_in_a_new_order() -> None:
    epochs = epochs_of(data_images.training_pipeline(numbered(50), 8, 0, 0, 3), 50)
    assert len(epochs) == 3
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(50))
    assert not np.array_equal(epochs[0], epochs[1])


def test_a_pipeline_that_starts_late_shows_what_the_whole_one_would() -> None:
    whole = epochs_of(data_images.training_pipeline(numbered(50), 8, 0, 0, 4), 50)
    late = epochs_of(data_images.training_pipeline(numbered(50), 8, 0, 2, 4), 50)
    np.testing.assert_array_equal(whole[2:], late)


def test_images_keep_their_labels_in_the_pipeline() -> None:
    for images, labels in data_images.training_pipeline(numbered(50), 8, 1, 0, 1):
        np.testing.assert_array_equal(images.numpy().reshape(-1) % 3, labels.numpy())


def test_augmented_images_are_moved_or_mirrored_and_reproducible() -> None:
    """Each pixel of a 16 x 16 image holds a number of its own, so a move can be read off."""
    image = 1 + np.arange(256, dtype=np.float32).reshape(16, 16, 1)
    batch = np.broadcast_to(image, (64, 16, 16, 1))
    moved, again, other = (
        np.asarray(data_images.shifted_and_mirrored(batch, seed))
        for seed in ((1, 5), (1, 5), (1, 6))
    )
    assert moved.tobytes() == again.tobytes() and moved.tobytes() != other.tobytes()
    padded = np.pad(image, [(2, 2), (2, 2), (0, 0)])
    possible = {
        view.tobytes()
        for top in range(5)
        for left in range(5)
        for part in [padded[top : top + 16, left : left + 16]]
        for view in (part, part[:, ::-1])
    }
    assert {one.tobytes() for one in moved} <= possible
    # 64 draws of 50 views: 36 different ones are to be expected.
    assert len({one.tobytes() for one in moved}) > 20


def test_augmentation_changes_images_and_not_their_labels_or_order() -> None:
    values = np.random.default_rng(0)
    images = Images(values.random((20, 8, 8, 1), np.float32), np.arange(20, dtype=np.int32), 20)
    plain, augmented, late = (
        [
            (x.numpy(), y.numpy())
            for x, y in data_images.training_pipeline(images, 8, 3, first, 2, augment)
        ]
        for first, augment in ((0, False), (0, True), (1, True))
    )
    for (before, labels), (after, labels_after) in zip(plain, augmented, strict=True):
        np.testing.assert_array_equal(labels, labels_after)
        assert before.shape == after.shape and not np.array_equal(before, after)
    for ours, theirs in zip(late, augmented[3:], strict=True):
        assert ours[0].tobytes() == theirs[0].tobytes()


def test_images_read_once_serve_every_network_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader is asked once for one source, and each network gets its own corruption."""
    import tensorflow_datasets as tfds

    asked = []

    class Builder:
        class info:
            features = {"label": type("Label", (), {"num_classes": 3})}

        def as_dataset(self, split: str, batch_size: int) -> str:
            asked.append(split)
            return split

    def arrays(split: str) -> dict[str, np.ndarray]:
        return {"image": np.full((30, 2, 2, 1), 255, np.uint8), "label": np.arange(30) % 3}

    (tmp_path / "fashion_mnist/3.0.1").mkdir(parents=True)
    (tmp_path / "fashion_mnist/3.0.1/dataset_info.json").write_text("{}")
    monkeypatch.setattr(tfds, "builder_from_directory", lambda path: Builder())
    monkeypatch.setattr(tfds, "as_numpy", arrays)
    source = data_source.locate("fashion_mnist", str(tmp_path))
    loaded = [
        load.load(source, TrainConfig("fashion_mnist", "mlp", (8,), label_corruption=1.0, seed=n))
        for n in (0, 1)
    ]
    assert asked == ["train", "test"]
    assert loaded[0].train.images is loaded[1].train.images
    assert loaded[0].train.labels.tolist() != loaded[1].train.labels.tolist()
    assert loaded[0].train.images.max() == 1
