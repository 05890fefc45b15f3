"""ImageNet's pipeline, on a tiny data set of generated images in the files that TFDS writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from repro.core.kinds import SingleUnitConfig
from repro.core.results import Checkpoint
from repro.core.settings import TrainConfig
from repro.data import imagenet
from repro.data import load as data_load
from repro.data import source as data_source
from repro.data.imagenet import ImageStream
from repro.data.source import DataSource

N_CLASSES = 7
SHARDS = {"train": (5, 8, 4), "validation": (3, 3)}


def picture(number: int) -> np.ndarray:
    """One grey level all over, another for each number, in a size of its own."""
    return np.full((30 + number, 60 - 2 * number, 3), 5 + 13 * number, np.uint8)


def label(number: int) -> int:
    return number * 3 % N_CLASSES


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """Splits of three and two files; each image's grey level tells its number on disk."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    root = tmp_path_factory.mktemp("tfds")
    folder = root / "imagenet2012/5.1.0"
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=N_CLASSES),
            "file_name": tfds.features.Text(),
        }
    )
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    infos = []
    for split, lengths in SHARDS.items():
        number = 0
        for shard, length in enumerate(lengths):
            name = f"imagenet2012-{split}.tfrecord-{shard:05d}-of-{len(lengths):05d}"
            with tf.io.TFRecordWriter(str(folder / name)) as file:
                for _ in range(length):
                    example = {
                        "image": picture(number),
                        "label": label(number),
                        "file_name": f"{number}.JPEG",
                    }
                    file.write(features.serialize_example(example))
                    number += 1
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=list(lengths),
                num_bytes=0,
                filename_template=tfds.core.ShardedFileTemplate(
                    template=template,
                    dataset_name="imagenet2012",
                    data_dir=folder,
                    split=split,
                    filetype_suffix="tfrecord",
                ),
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=folder, features=features, split_infos=infos, filename_template=template
    )
    return data_source.locate("imagenet2012", str(root), offline=True)


def load(source: DataSource, **changes: Any) -> tuple[ImageStream, Any, ImageStream]:
    splits = data_load.load(source, TrainConfig("imagenet2012", "resnet50", **changes))
    assert isinstance(splits.train, ImageStream) and isinstance(splits.test, ImageStream)
    return splits.train, splits.true_labels, splits.test


def numbers(images: np.ndarray) -> np.ndarray:
    """Which pictures these are; JPEG may be off by a grey level."""
    levels = images.reshape(len(images), -1)
    assert np.ptp(levels, axis=1).max() < 0.01
    return np.rint((levels.mean(axis=1) * 255 - 5) / 13).astype(int)


def contents(batches: Any) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*((np.asarray(x), np.asarray(y)) for x, y in batches), strict=True)
    return numbers(np.concatenate(images)), np.concatenate(labels)


def test_a_stream_gives_every_image_in_the_order_on_disk_each_time(source: DataSource) -> None:
    train, true_labels, test = load(source)
    assert (len(train), len(test), train.n_classes) == (17, 6, N_CLASSES)
    assert true_labels is None and train.labels is None and train.images is train
    for _ in range(2):
        found, labels = contents(train)
        assert found.tolist() == list(range(17))
        assert labels.tolist() == [label(n) for n in range(17)]
    images, labels = next(iter(test))
    assert images.shape == (6, 224, 224, 3) and images.dtype == np.float32
    assert labels.dtype == np.int32 and train.images.shape[1:] == images.shape[1:]


def epoch_of(stream: ImageStream, epoch: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    ((dataset, first, end),) = stream.pipelines(4, seed, epoch, epoch + 1)
    assert (first, end) == (epoch, epoch + 1)
    assert [len(labels) for _, labels in dataset] == [4, 4, 4, 4, 1]
    assert int(dataset.cardinality()) == 5  # which Keras asks for
    return contents(dataset)


def test_epochs_show_every_image_once_in_an_order_of_their_own(source: DataSource) -> None:
    train, _, _ = load(source)
    orders = [epoch_of(train, epoch) for epoch in (0, 1, 0)]
    for found, labels in orders:
        assert sorted(found) == list(range(17))
        assert labels.tolist() == [label(n) for n in found]
    assert orders[0][0].tolist() == orders[2][0].tolist() != orders[1][0].tolist()
    assert epoch_of(train, 0, seed=4)[0].tolist() != orders[0][0].tolist()


def test_corrupted_labels_stay_with_their_images(source: DataSource) -> None:
    train, true_labels, test = load(source, label_corruption=1.0, seed=5)
    assert true_labels.tolist() == [label(n) for n in range(17)]
    _, corrupted = contents(train)
    assert sorted(corrupted) == sorted(true_labels) and corrupted.tolist() != true_labels.tolist()
    found, labels = epoch_of(train, 0)
    assert labels.tolist() == corrupted[found].tolist()
    assert contents(test)[1].tolist() == [label(n) for n in range(6)]


def test_a_subset_is_drawn_by_the_seed_and_can_be_corrupted(source: DataSource) -> None:
    train, true_labels, _ = load(source, n_train=9, label_corruption=1.0)
    found, labels = contents(train)
    assert len(train) == len(found) == 9 and found.tolist() == sorted(set(found))
    assert true_labels.tolist() == [label(n) for n in found]
    assert sorted(labels) == sorted(true_labels)
    ((dataset, _, _),) = train.pipelines(4, 0, 0, 1)
    assert int(dataset.cardinality()) == len(list(dataset)) == 3
    other, _, _ = load(source, n_train=9, seed=1)
    assert contents(other)[0].tolist() != found.tolist()
    part = train.take(np.array([8, 0]))
    assert contents(part)[0].tolist() == [found[0], found[8]]
    for stream in (train, part, load(source)[0], load(source)[0].take(np.array([3, 1]))):
        assert stream.labels_in_order().tolist() == contents(stream)[1].tolist()
    with pytest.raises(data_source.DataError, match="n_train = 18 but .* has 17 training images"):
        load(source, n_train=18)


class Kept:
    """Checkpoints in memory."""

    def __init__(self, checkpoints: Sequence[Checkpoint] = ()) -> None:
        self.all = list(checkpoints)

    def save(self, checkpoint: Checkpoint) -> None:
        self.all.append(checkpoint)

    def latest(self) -> Checkpoint | None:
        return self.all[-1] if self.all else None

    def save_snapshot(self, epoch: int, weights: Sequence[np.ndarray]) -> None:
        raise AssertionError("no snapshot was asked for")


def test_a_network_is_trained_and_read_from_streams(source: DataSource) -> None:
    from repro.core.kinds import UnitTable
    from repro.engine import sweeps
    from repro.engine.engine import Engine
    from repro.training import train as training

    # Not ResNet-50, which takes a minute to compile.
    config = TrainConfig("imagenet2012", "convnet", width=1 / 64, batch_size=4, epochs=2)
    splits, store = data_load.load(source, config), Kept()
    trained = training.train(config, splits, store, seconds_between_checkpoints=0)
    assert [record["epoch"] for record in trained.history] == [1, 2]
    assert all(r["accuracy"] <= r["top_5_accuracy"] <= 1 for r in trained.history)
    assert trained.history[0]["top_5_accuracy"] > 0
    iterations = store.all[-1].arrays[len(trained.model.variables)]  # the optimizer's first
    assert int(iterations) == 2 * 5
    resumed = training.train(config, splits, Kept(store.all[:1]))
    assert resumed.history == trained.history
    for ours, theirs in zip(resumed.model.get_weights(), trained.model.get_weights(), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    test = splits.test
    engine = Engine(trained.model, test.images, test.labels)
    assert engine.intact().n_images == 6
    whole, halved = (
        sweeps.run(SingleUnitConfig(halves=halves), trained.model, test.images, test.labels)
        for halves in (False, True)
    )
    assert isinstance(whole, UnitTable) and isinstance(halved, UnitTable)
    np.testing.assert_array_equal(halved.n_correct, whole.n_correct)
    assert halved.drop_held_out is not None


# --- One image ------------------------------------------------------------------------------------


def encoded(pixels: np.ndarray) -> Any:
    import tensorflow as tf

    return tf.io.encode_png(pixels)


@pytest.mark.parametrize(
    ("size", "expected"), [((30, 60), (16, 32)), ((61, 30), (33, 16)), ((9, 9), (16, 16))]
)
def test_the_short_side_decides_the_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    resized = imagenet.short_side(np.zeros((*size, 3), np.uint8), 16)
    assert tuple(resized.shape) == (*expected, 3)


def test_the_crop_is_the_middle_of_the_resized_image() -> None:
    """Columns 0, 1, ... of a 256 x 300 image are not resized, and (300 - 224) // 2 = 38."""
    columns = np.broadcast_to(np.arange(300) % 256, (256, 300))
    pixels = np.stack([columns] * 3, axis=-1).astype(np.uint8)
    crop = np.asarray(imagenet.centre_crop(encoded(pixels)))
    np.testing.assert_allclose(crop, pixels[16:240, 38:262] / np.float32(255), rtol=1e-6)


def test_grey_images_become_coloured() -> None:
    import tensorflow as tf

    grey = tf.io.encode_jpeg(np.full((40, 50, 1), 100, np.uint8))
    crop = np.asarray(imagenet.centre_crop(grey, 16))
    assert crop.shape == (16, 16, 3)
    np.testing.assert_allclose(crop, 100 / 255, atol=1 / 255)


def test_a_random_crop_is_part_of_the_image_and_depends_on_its_seed_alone() -> None:
    ramp = np.linspace(0, 255, 80).astype(np.uint8)
    pixels = np.stack([np.broadcast_to(ramp, (60, 80))] * 3, axis=-1)
    crops = [np.asarray(imagenet.random_crop(encoded(pixels), 16, (1, n))) for n in range(40)]
    again = np.asarray(imagenet.random_crop(encoded(pixels), 16, (1, 7)))
    assert again.tobytes() == crops[7].tobytes()
    slopes = np.array([np.polyfit(np.arange(16), crop[8, :, 0], 1)[0] for crop in crops])
    # 20 of 40 draws are mirrored in the mean, with a standard deviation of 3.2.
    assert 8 < np.sum(slopes < 0) < 32
    # 8 to 100 % of the area: between 14 and 80 of 80 columns, so of the ramp.
    shares = np.abs(slopes) * 16
    assert shares.min() > 0.15 and shares.max() < 1.05 and np.ptp(shares) > 0.3
