"""Images that users bring: archives, folders of class folders, TFDS data sets."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.applications import imagenet_utils
from PIL import Image

from repro.core.settings import TrainConfig
from repro.data import images as data_images
from repro.data import load
from repro.data import source as data_source
from repro.data.labelled import find, stratified_order
from repro.data.source import DataError

SHAPE = (6, 6, 1)
PIXELS = np.random.default_rng(8).integers(0, 256, (20, 6, 6), dtype=np.uint8)
LABELS = np.arange(20) % 4


def archive(folder: Path, **arrays: Any) -> str:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return f"npz:{path}"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two class folders: white squares between black edges, and grey ones."""
    for name, middle in (("white", 255), ("grey", 128)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.zeros((8, 24), np.uint8)
            pixels[:, 8:16] = middle
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.PNG")
        (tmp_path / "photos" / name / "notes.txt").write_text("no image")
    (tmp_path / "photos" / ".cache").mkdir()
    return tmp_path / "photos"


# --- The order of a sample ---------------------------------------------------------------------


@given(
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(lambda c: sum(c) > 0),
    seed=st.integers(0, 1000),
    share=st.floats(0, 1),
)
@settings(deadline=None, max_examples=60)
def test_every_beginning_of_the_order_keeps_the_share_of_each_class(
    counts: list[int], seed: int, share: float
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    order = stratified_order(labels, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(labels)))
    n = round(share * len(labels))
    found = np.bincount(labels[order[:n]], minlength=len(counts))
    # A class is off by one; the beginning is off by what the others are off.
    assert np.abs(found - np.array(counts) * n / len(labels)).max() <= 1 + len(counts)


def test_which_images_of_a_class_come_first_is_drawn_at_random() -> None:
    labels = np.zeros(50, int)
    one, other = (stratified_order(labels, np.random.default_rng(seed)) for seed in (0, 1))
    assert one.tolist() != other.tolist() != list(range(50))


# --- Archives ----------------------------------------------------------------------------------


def test_whole_pixels_are_divided_by_255_and_other_numbers_stay(tmp_path: Path) -> None:
    found = find(archive(tmp_path, images=PIXELS, labels=LABELS), SHAPE, 4)
    assert "divided by 255" in found.words and found.labels.tolist() == LABELS.tolist()
    places = np.array([3, 0, 19])
    np.testing.assert_array_equal(found.images(places), PIXELS[places, ..., None] / np.float32(255))
    floats = PIXELS[..., None] / 7.0
    found = find(archive(tmp_path, images=floats, labels=LABELS), SHAPE, 4)
    np.testing.assert_array_equal(found.images(places), floats[places].astype(np.float32))
    assert "as they are" in found.words


def test_a_model_that_scales_by_itself_is_given_plain_pixels(tmp_path: Path) -> None:
    spec = archive(tmp_path, images=PIXELS, labels=LABELS)
    found = find(spec, SHAPE, 4, scales_itself=True)
    np.testing.assert_array_equal(found.images(np.arange(20))[..., 0], PIXELS)


@pytest.mark.parametrize("scale", ["none", "tf", "torch", "caffe"])
def test_the_scales_are_those_of_keras(tmp_path: Path, scale: str) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    spec = archive(tmp_path, images=colours, labels=np.zeros(5, int))
    found = find(spec, (4, 4, 3), 2, scale=scale).images(np.arange(5))
    expected = colours.astype(np.float32)
    if scale != "none":
        expected = imagenet_utils.preprocess_input(
            expected.copy(), data_format="channels_last", mode=scale
        )
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


@pytest.mark.parametrize("shape", [(6, 6), (6, 6, 1), (36,), (None, None, 1)])
def test_grey_images_fit_models_with_and_without_a_channel(tmp_path: Path, shape: Any) -> None:
    found = find(archive(tmp_path, x_test=PIXELS, y_test=LABELS[:, None]), shape, 4)
    images = found.images(np.array([2, 5]))
    assert images.shape[1:] == tuple(size or 6 for size in shape)
    np.testing.assert_allclose(images.reshape(2, -1), PIXELS[[2, 5]].reshape(2, -1) / 255)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"pixels": PIXELS, "labels": LABELS}, "must hold the arrays images and labels"),
        ({"images": PIXELS, "labels": LABELS[:5]}, "holds 20 images but 5 labels"),
        ({"images": PIXELS, "labels": LABELS + 1}, "labels must be 0 to 3"),
        ({"images": PIXELS, "labels": LABELS - 1}, "labels must be 0 to 3"),
        ({"images": PIXELS, "labels": LABELS / 2}, "labels must be whole numbers"),
        ({"images": PIXELS, "labels": np.eye(4)[LABELS] / 2}, "not a single 1 in each row"),
        ({"images": PIXELS[:, :5], "labels": LABELS}, r"shape \(6, 6, 1\), but those"),
        ({"images": PIXELS[:0], "labels": LABELS[:0]}, "no images"),
        ({"images": np.array(["a"] * 20), "labels": LABELS}, r"shape \(6, 6, 1\), but"),
        ({"images": PIXELS * 1j, "labels": LABELS}, "must be numbers, or texts"),
        ({"images": PIXELS, "labels": LABELS, "class_names": ["a", "b"]}, "--classes=FILE"),
    ],
)
def test_an_archive_that_does_not_fit_is_refused_in_a_sentence(
    tmp_path: Path, arrays: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        find(archive(tmp_path, **arrays), SHAPE, 4)


def test_a_damaged_or_missing_archive_is_refused_in_a_sentence(tmp_path: Path) -> None:
    whole = Path(archive(tmp_path, images=PIXELS, labels=LABELS).removeprefix("npz:"))
    for name, content in (("cut", whole.read_bytes()[:400]), ("text", b"no archive")):
        (tmp_path / f"{name}.npz").write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as a NumPy archive"):
            find(f"npz:{tmp_path / name}.npz", SHAPE, 4)
    np.save(tmp_path / "objects.npy", np.array([{}, []], object), allow_pickle=True)
    with pytest.raises(DataError, match="holds Python objects, which are not read.* np.savez"):
        find(f"npz:{tmp_path / 'objects.npy'}", SHAPE, 4)
    with pytest.raises(DataError, match="no file"):
        find(f"npz:{tmp_path / 'nowhere.npz'}", SHAPE, 4)
    np.save(tmp_path / "one.npy", PIXELS)
    with pytest.raises(DataError, match="single array"):
        find(f"npz:{tmp_path / 'one.npy'}", SHAPE, 4)


@pytest.mark.parametrize("name", ["images", "labels", "class_names"])
def test_an_array_of_objects_in_an_archive_is_named_and_not_read(tmp_path: Path, name: str) -> None:
    """As np.savez stores a column of pandas; the cure of the sentence works."""
    arrays = {"images": PIXELS, "labels": LABELS, "class_names": np.array(list("abcd"))}
    objects = arrays | {name: arrays[name].astype(object)}
    with pytest.raises(DataError, match=f"the array {name} of .* holds Python objects, .* not re"):
        find(archive(tmp_path, **objects), SHAPE, 4)
    kind = float if name == "images" else str
    cured = objects | {name: np.asarray(objects[name]).astype(kind)}
    found = find(archive(tmp_path, **cured), SHAPE, 4)
    assert np.array_equal(found.labels, LABELS) and found.class_names == tuple("abcd")


def test_scaling_what_is_no_pixels_is_refused(tmp_path: Path) -> None:
    spec = archive(tmp_path, images=PIXELS / 255.0, labels=LABELS)
    with pytest.raises(DataError, match="is for pixels of 0 to 255"):
        find(spec, SHAPE, 4, scale="255")


@pytest.mark.parametrize("spec", ["mine.npz", "npz:", "ftp:mine", ""])
def test_the_kind_of_data_must_be_said(spec: str) -> None:
    with pytest.raises(DataError, match="npz:file.npz, tfds:name or dir:"):
        find(spec, SHAPE, 4)


# --- Folders -----------------------------------------------------------------------------------


def test_class_folders_are_classes_in_the_order_of_their_names(photos: Path) -> None:
    found = find(f"dir:{photos}", (4, 4, 3), 2, resize="crop")
    assert found.class_names == ("grey", "white") and found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    images = found.images(np.array([0, 5]))
    # The middle of a wide image is what is seen of it, in three alike colours.
    np.testing.assert_allclose(images[0, :, 1:3], 128 / 255, rtol=1e-6)
    np.testing.assert_allclose(images[1, :, 1:3], 1.0)
    assert images[1].min() > 0.8
    assert "4 × 4" in found.words


def test_some_classes_of_many_are_found_by_their_names(photos: Path) -> None:
    names = ("black", "white", "red", "grey")
    found = find(f"dir:{photos}", (4, 4, 1), 4, class_names=names)
    assert found.labels.tolist() == [3, 3, 3, 1, 1, 1] and found.class_names == names
    with pytest.raises(DataError, match="1 folders .* not among the names of --classes.*'grey'"):
        find(f"dir:{photos}", (4, 4, 1), 3, class_names=("black", "white", "red"))


def test_folders_that_do_not_fit_are_refused_in_a_sentence(photos: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        find(f"dir:{photos / 'nowhere'}", (4, 4, 1), 2)
    with pytest.raises(DataError, match="no class folders"):
        find(f"dir:{photos / 'white'}", (4, 4, 1), 2)
    with pytest.raises(DataError, match="the model has 7 classes.*--classes=FILE"):
        find(f"dir:{photos}", (4, 4, 1), 7)
    for shape in ((36,), (None, None, 3), (4, 4, 2)):
        with pytest.raises(DataError, match="fixed height and width"):
            find(f"dir:{photos}", shape, 2)
    (photos / "grey" / "1.png").write_bytes(b"cut short")
    found = find(f"dir:{photos}", (4, 4, 1), 2)
    with pytest.raises(DataError, match=r"1\.png cannot be read as an image"):
        found.images(np.arange(len(found)))


def test_folders_of_systems_and_tools_are_no_classes(photos: Path) -> None:
    """An archive that was unpacked on a Mac, a notebook, the previews of Windows."""
    for name in ("__MACOSX", ".ipynb_checkpoints", "Thumbs"):
        (photos / name).mkdir()
    (photos / "__MACOSX" / "._0.png").write_bytes(b"")
    found = find(f"dir:{photos}", (4, 4, 1), 2)
    assert found.class_names == ("grey", "white") and set(found.labels.tolist()) == {0, 1}
    assert "2 hidden" in found.words and "2 system folders" in found.words


def test_an_empty_class_folder_is_a_class_and_one_too_many_is_named(photos: Path) -> None:
    (photos / "black").mkdir()
    found = find(f"dir:{photos}", (4, 4, 1), 3)
    assert found.class_names == ("black", "grey", "white")
    assert set(found.labels.tolist()) == {1, 2}
    with pytest.raises(
        DataError, match=r"2 classes, and .* 3 class folders \(black, grey, white\); take out the"
    ):
        find(f"dir:{photos}", (4, 4, 1), 2)


# --- TFDS --------------------------------------------------------------------------------------


def test_a_data_set_of_the_laboratory_has_the_pixels_of_its_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setattr(data_source, "prepared", lambda directory, name: None)
    # It takes seconds to read.
    monkeypatch.setattr(load, "embedded_mnist", functools.cache(load.embedded_mnist))
    found = find("tfds:mnist", (28, 28, 1), 10, offline=True)
    source = data_source.locate("mnist", offline=True)
    test = load.load(source, TrainConfig("mnist", "mlp", (1,), origin=source.origin)).test
    places = np.arange(0, 1000, 50)
    assert isinstance(test, data_images.Images)
    np.testing.assert_array_equal(found.images(places), test.images[places])
    train = find("tfds:mnist/train", (784,), 10, offline=True)
    assert len(train) == 4000 and (train.split, found.split) == ("train", "test")
    with pytest.raises(DataError, match="train and test, not 'dev'"):
        find("tfds:mnist/dev", (28, 28, 1), 10, offline=True)


def test_a_prepared_data_set_of_any_name_is_read(tmp_path: Path) -> None:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["a", "b"]),
        }
    )
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (5, width, 3), dtype=np.uint8) for width in (5, 9, 5)]

    def examples(n: int) -> Any:
        return tf.data.Dataset.from_generator(
            lambda: ({"image": images[i], "label": i % 2} for i in range(n)),
            output_signature={
                "image": tf.TensorSpec((None, None, 3), tf.uint8),
                "label": tf.TensorSpec((), tf.int64),
            },
        )

    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny",
        version="1.0.0",
        features=features,
        split_datasets={"train": examples(3), "validation": examples(1)},
        data_dir=tmp_path,
        disable_shuffling=True,
    )
    found = find("tfds:tiny/train", (5, 5, 3), 2, data_dir=str(tmp_path))
    assert found.labels.tolist() == [0, 1, 0] and found.class_names == ("a", "b")
    np.testing.assert_array_equal(found.read(np.array([0, 2])), np.stack([images[0], images[2]]))
    validation = find("tfds:tiny", (5, 5, 3), 2, data_dir=str(tmp_path))
    assert len(validation) == 1 and (found.split, validation.split) == ("train", "test")
    with pytest.raises(DataError, match="the splits .*, not 'dev'"):
        find("tfds:tiny/dev", (5, 5, 3), 2, data_dir=str(tmp_path))
    with pytest.raises(DataError, match="big is not prepared in .*tfds build big"):
        find("tfds:big", (5, 5, 3), 2, data_dir=str(tmp_path))
