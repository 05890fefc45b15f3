"""NumPy archives: where they are looked for, what they hold, and those that are refused."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repro.__main__ import answer
from repro.core.datasets import DATASETS, DataSet
from repro.core.settings import TrainConfig
from repro.data import archive, load
from repro.data import source as data_source
from repro.data.archive import About
from repro.data.errors import DataError, MissingDataError
from repro.data.source import DataSource, locate

ROOT = Path(__file__).parents[3]
GREY = DataSet("dots", "Dots", (5, 4, 1), 3, 40, 12, host="example.invalid")
COLOUR = DataSet("spots", "Spots", (4, 5, 3), 4, 30, 9)
CONFIG = TrainConfig("mnist", "mlp", (8,), n_train=25, label_corruption=0.6, seed=3)


@pytest.fixture(autouse=True)
def records() -> Iterator[None]:
    DATASETS.add(GREY)
    DATASETS.add(COLOUR)
    yield
    DATASETS.remove(GREY.name)
    DATASETS.remove(COLOUR.name)
    load._whole.cache_clear()


@pytest.fixture(autouse=True)
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Keras keeps its archives, and no data directory of the user's."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    folder = tmp_path / "keras" / "datasets"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def arrays(record: DataSet) -> dict[str, np.ndarray]:
    """Images and labels as keras.datasets gives them."""
    rng = np.random.default_rng(7)
    shape = record.shape[: 2 if record.shape[-1] == 1 else 3]
    return {
        f"{kind}_{split}": values
        for split, n in (("train", record.n_train), ("test", record.n_test))
        for kind, values in (
            ("x", rng.integers(0, 256, (n, *shape), np.uint8)),
            ("y", rng.integers(0, record.n_classes, n).astype(np.uint8)),
        )
    }


def written(folder: Path, record: DataSet = GREY, **changed: Any) -> Path:
    path = folder / f"{record.name}.npz"
    np.savez(path, **(arrays(record) | changed))
    return path


def prepare(folder: Path, name: str) -> None:
    """A folder in which a TFDS data set seems to lie."""
    (folder / name / "1.0.0").mkdir(parents=True)
    (folder / name / "1.0.0" / "dataset_info.json").write_text("{}")


# --- Where they are looked for ------------------------------------------------------------------


def test_what_tfds_has_prepared_comes_before_the_archive_and_the_data_directory_before_kerass(
    data_dir: Path, keras_home: Path
) -> None:
    kept_by_keras = written(keras_home)
    found = locate("dots", str(data_dir), offline=True)
    assert found.archive == str(kept_by_keras) and found.origin == "tfds"
    beside = written(data_dir)
    assert locate("dots", str(data_dir), offline=True).archive == str(beside)
    prepare(data_dir, "dots")
    assert locate("dots", str(data_dir), offline=True) == DataSource("dots", "tfds", str(data_dir))


def test_the_data_directory_of_the_environment_is_looked_in(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    path = written(data_dir)
    assert locate("dots", offline=True).archive == str(path)
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.delenv("KERAS_HOME")
    folder = tmp_path / "home" / ".keras" / "datasets"
    folder.mkdir(parents=True)
    path = written(folder)
    assert locate("dots", offline=True).archive == str(path)


def test_an_archive_is_not_downloaded_again_and_real_mnist_comes_before_the_embedded_digits(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_source, "_reachable", lambda host: pytest.fail("a network call"))
    written(data_dir)
    assert locate("dots", str(data_dir)).prepared
    monkeypatch.setattr(data_source, "_reachable", lambda host: False)
    assert locate("mnist", str(data_dir)).origin == "embedded"


def test_without_tfds_the_archive_is_taken_and_nothing_is_downloaded(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_source, "_reachable", lambda host: pytest.fail("a network call"))
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(MissingDataError, match="tensorflow-datasets and .* are not installed"):
        locate("dots", str(data_dir))
    prepare(data_dir, "dots")
    with pytest.raises(MissingDataError, match="dots is prepared in .* needs tensorflow-datasets"):
        locate("dots", str(data_dir))
    path = written(data_dir)
    assert locate("dots", str(data_dir)).archive == str(path)


def test_locating_reads_no_image(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(data_dir)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("was read"))
    assert locate("dots", str(data_dir), offline=True).archive


# --- What they hold -----------------------------------------------------------------------------


@pytest.mark.parametrize("record", [GREY, COLOUR], ids=lambda record: record.name)
def test_images_are_those_of_the_archive(record: DataSet, data_dir: Path) -> None:
    expected = arrays(record)
    written(data_dir, record)
    train, test = load.in_memory(locate(record.name, str(data_dir), offline=True))
    for found, split in ((train, "train"), (test, "test")):
        pixels = expected[f"x_{split}"].reshape(-1, *record.shape).astype(np.float32)
        np.testing.assert_array_equal(found.images, pixels / np.float32(255))
        np.testing.assert_array_equal(found.labels, expected[f"y_{split}"])
        assert (found.images.dtype, found.labels.dtype) == (np.float32, np.int32)


def test_labels_in_a_column_and_grey_images_with_a_channel_are_the_same(data_dir: Path) -> None:
    plain = written(data_dir)
    before = archive.read(plain, "dots")
    given = arrays(GREY)
    columns = {
        "y_train": given["y_train"].astype(np.int64)[:, None],
        "y_test": given["y_test"].astype(np.int32)[:, None],
        "x_train": given["x_train"][..., None],
    }
    after = archive.read(written(data_dir, **columns), "dots")
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_the_same_images_give_the_same_splits_names_and_corruption_as_from_tfds(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(data_dir)
    from_archive = locate("dots", str(data_dir), offline=True)
    from_tfds = DataSource("dots", "tfds", str(data_dir))
    given = arrays(GREY) | {"x_train": arrays(GREY)["x_train"][..., None]}
    given["x_test"] = given["x_test"][..., None]
    monkeypatch.setattr(load, "tfds_arrays", lambda source: (given, 3))
    config = dataclasses.replace(CONFIG, dataset="dots")
    names, splits = [], []
    for source in (from_archive, from_tfds):
        names.append(dataclasses.replace(config, origin=source.origin).run_id)
        splits.append(load.load(source, config))
    assert names[0] == names[1]
    assert splits[0].order == splits[1].order
    np.testing.assert_array_equal(splits[0].train.images, splits[1].train.images)
    np.testing.assert_array_equal(splits[0].train.labels, splits[1].train.labels)
    np.testing.assert_array_equal(splits[0].test.images, splits[1].test.images)
    assert np.any(splits[0].train.labels != splits[0].true_labels)


def test_another_order_subset_or_corruption_is_told_apart(data_dir: Path) -> None:
    written(data_dir)
    source, config = locate("dots", str(data_dir), offline=True), CONFIG
    orders = [load.load(source, config).order]
    for changed in ({"seed": 4}, {"label_corruption": 0.2}, {"n_train": 24}):
        orders.append(load.load(source, dataclasses.replace(config, **changed)).order)
    given = arrays(GREY)
    load._whole.cache_clear()
    written(data_dir, x_train=given["x_train"][::-1], y_train=given["y_train"][::-1])
    orders.append(load.load(source, config).order)
    assert len(set(orders)) == len(orders)


def test_numpy_alone_reads_what_was_written(data_dir: Path) -> None:
    given = archive.read(written(data_dir), "dots")
    path = data_dir / "dots.npz"
    path.write_bytes(archive.to_bytes(given, "dots", About(jpeg=False, tfds_order=True)))
    with np.load(path, allow_pickle=False) as file:
        for name, values in given.items():
            np.testing.assert_array_equal(file[name], values)
            assert file[name].dtype == values.dtype


# --- What a source is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("note", "words"),
    [
        (About(True, True), "dots, NumPy archive dots.npz in TFDS's order, JPEG copy"),
        (About(False, True), "dots, NumPy archive dots.npz in TFDS's order"),
        (About(None, True), "dots, NumPy archive dots.npz in TFDS's order"),
        (None, "dots, NumPy archive dots.npz in an order of its own"),
    ],
)
def test_a_source_says_that_it_is_an_archive_and_a_jpeg_copy_where_that_is_known(
    note: About | None, words: str, data_dir: Path
) -> None:
    path = written(data_dir)
    if note is not None:
        path.write_bytes(archive.to_bytes(archive.read(path, "dots"), "dots", note))
        assert archive.about(path, "dots") == note
    assert locate("dots", str(data_dir), offline=True).describe() == words


@pytest.mark.parametrize(
    "note",
    [
        np.array("a photograph album"),
        np.array(json.dumps({"made_by": "someone", "jpeg": True, "tfds_order": True})),
        np.array(json.dumps({"made_by": "python -m repro archive", "jpeg": "no"})),
        np.array([{"jpeg": True}], object),
        np.zeros(200_000, np.uint8),
    ],
    ids=["text", "another's", "half", "object", "large"],
)
def test_a_note_that_is_not_ours_says_nothing(note: np.ndarray, data_dir: Path) -> None:
    assert archive.about(written(data_dir, about=note), "dots") == About()


# --- Those that are refused ---------------------------------------------------------------------


class Hostile:
    """An object whose unpickling would be seen."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("unpickled",)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "float pixels": ({"x_train": np.zeros((40, 5, 4), np.float32)}, "x_train must be uint8"),
    "another size": (
        {"x_test": np.zeros((12, 4, 5), np.uint8)},
        r"x_test must have shape \(n, 5, 4, 1\) or \(n, 5, 4\). Received: \(12, 4, 5\)",
    ),
    "flat": ({"x_train": np.zeros((40, 20), np.uint8)}, "x_train must have shape"),
    "no images": ({"x_train": np.zeros((), np.uint8)}, "x_train must have shape"),
    "fewer images": (
        {"x_train": np.zeros((39, 5, 4), np.uint8)},
        "x_train must have all 40 images of Dots. Received: 39",
    ),
    "fewer labels": ({"y_test": np.zeros(11, np.uint8)}, "y_test must have all 12"),
    "float labels": ({"y_train": np.zeros(40)}, "y_train must be whole numbers"),
    "one-hot labels": (
        {"y_train": np.zeros((40, 3), np.uint8)},
        r"y_train must have shape \(n,\) or \(n, 1\). Received: \(40, 3\)",
    ),
    "objects": ({"y_train": np.array([Hostile()] * 40, object)}, "must be whole numbers"),
    "objects for pixels": ({"x_train": np.array([Hostile()] * 40, object)}, "must be uint8"),
}


@pytest.mark.parametrize(("changed", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_layout_is_one_sentence_with_the_name_of_the_file(
    changed: dict[str, Any], sentence: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data_dir)
    path = written(data_dir, **changed)
    with pytest.raises(DataError, match=sentence) as raised:
        locate("dots", str(data_dir), offline=True)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert not (data_dir / "unpickled").exists()


@pytest.mark.parametrize("wrong", [3, -1])
def test_labels_out_of_range_are_refused_when_they_are_read(wrong: int, data_dir: Path) -> None:
    labels = arrays(GREY)["y_train"].astype(np.int16)
    labels[5] = wrong
    path = written(data_dir, y_train=labels)
    source = locate("dots", str(data_dir), offline=True)
    with pytest.raises(DataError, match="y_train must hold labels of 0 to 2. Received:") as raised:
        load.load(source, CONFIG)
    assert str(path) in str(raised.value)


def test_a_missing_array_is_named(data_dir: Path) -> None:
    given = arrays(GREY)
    del given["y_test"]
    np.savez(data_dir / "dots.npz", **given)
    with pytest.raises(DataError, match=r"dots.npz must hold .* has no y_test. Received: x_test"):
        locate("dots", str(data_dir), offline=True)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def changed_inside(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[400] ^= 0xFF  # a pixel of x_train, as its sum of CRC tells
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(arrays(GREY)))


def of_something_else(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in arrays(GREY):
            file.writestr(f"{name}.npy", b"not an array")


@pytest.mark.parametrize("damage", [cut_short, changed_inside, emptied, pickled, of_something_else])
def test_a_damaged_file_is_one_sentence(damage: Callable[[Path], None], data_dir: Path) -> None:
    path = written(data_dir)
    damage(path)
    with pytest.raises(DataError) as raised:
        load.load(locate("dots", str(data_dir), offline=True), CONFIG)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_more_training_images_than_the_archive_has_are_refused(data_dir: Path) -> None:
    written(data_dir)
    source = locate("dots", str(data_dir), offline=True)
    with pytest.raises(DataError, match="n_train = 41 but dots, NumPy archive .* has 40 training"):
        load.load(source, dataclasses.replace(CONFIG, n_train=41))


# --- The command --------------------------------------------------------------------------------


@pytest.fixture
def tfds_dir(tmp_path: Path) -> Path:
    """A folder in which TFDS has prepared the dots, as PNG."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    given = arrays(GREY)
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=GREY.shape, encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=3),
        }
    )
    folder = tmp_path / "tfds"
    tfds.dataset_builders.store_as_tfds_dataset(
        name="dots",
        version="1.0.0",
        features=features,
        split_datasets={
            split: tf.data.Dataset.from_tensor_slices(
                {
                    "image": given[f"x_{split}"][..., None],
                    "label": given[f"y_{split}"].astype(np.int64),
                }
            )
            for split in ("train", "test")
        },
        data_dir=folder,
        disable_shuffling=False,
    )
    return folder


def test_the_command_keeps_pixels_labels_and_order_and_says_what_it_wrote(
    tfds_dir: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(["archive", "dots", f"--data_dir={tfds_dir}", f"--out={data_dir}"]) == 0
    told = capsys.readouterr().out
    assert f"Wrote {data_dir / 'dots.npz'} (0 MB): Dots, 40 images to train on and 12" in told
    assert "in the order of TFDS\n" in told
    load._whole.cache_clear()
    of_tfds = load.in_memory(locate("dots", str(tfds_dir), offline=True))
    source = locate("dots", str(data_dir), offline=True)
    assert source.describe() == "dots, NumPy archive dots.npz in TFDS's order"
    for one, other in zip(of_tfds, load.in_memory(source), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
    before = (data_dir / "dots.npz").read_bytes()
    assert answer(["archive", "dots", f"--data_dir={tfds_dir}", f"--out={data_dir}"]) == 0
    assert (data_dir / "dots.npz").read_bytes() == before


def test_the_command_notes_a_jpeg_copy(
    tfds_dir: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noted = tfds_dir / "dots" / "1.0.0" / "features.json"
    text = noted.read_text()
    assert '"encodingFormat": "png"' in text
    noted.write_text(text.replace('"encodingFormat": "png"', '"encodingFormat": "jpeg"'))
    assert answer(["archive", "dots", f"--data_dir={tfds_dir}", f"--out={data_dir}"]) == 0
    assert "went through JPEG" in capsys.readouterr().out
    assert locate("dots", str(data_dir), offline=True).describe().endswith(", JPEG copy")


def test_the_command_writes_over_no_file_but_its_own(
    tfds_dir: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(data_dir)
    before = path.read_bytes()
    assert answer(["archive", "dots", f"--data_dir={tfds_dir}", f"--out={data_dir}"]) == 1
    told = capsys.readouterr().err
    assert "dots.npz, which would be overwritten" in told and told.count("\n") == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["archive"], 2, "archive needs a data set, one of mnist, fashion_mnist, cifar10"),
        (["archive", "cifar"], 2, "Received: 'cifar'. Did you mean cifar10?"),
        (["archive", "imagenet2012"], 2, "Received: 'imagenet2012'"),
        (["archive", "dots"], 1, "dots is not prepared in"),
        (["archive", "dots", "--data_dir=nowhere"], 1, "--data_dir names nowhere, which is not"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(
    words: list[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(words) == status
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and sentence in told.err


def test_a_part_of_a_data_set_is_not_archived_as_the_whole(
    tfds_dir: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DATASETS.remove("dots")
    DATASETS.add(dataclasses.replace(GREY, n_train=41))
    assert answer(["archive", "dots", f"--data_dir={tfds_dir}", f"--out={data_dir}"]) == 1
    assert "dots: x_train must have all 41 images" in capsys.readouterr().err
    assert list(data_dir.iterdir()) == []


def test_reading_an_archive_imports_no_tensorflow(data_dir: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from repro.core.datasets import DATASETS, DataSet
DATASETS.add({GREY!r})
from repro.data import load, source
train, test = load.in_memory(source.locate("dots", {str(data_dir)!r}, offline=True))
print(len(train), len(test), *{{"tensorflow", "tensorflow_datasets", "keras"}} & set(sys.modules))
"""
    written(data_dir)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["40", "12"]


def test_a_file_among_keras_s_own_that_is_no_archive_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody named it, unlike a file in the data directory."""
    (tmp_path / "datasets").mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    np.savez(tmp_path / "datasets/mnist.npz", a=np.zeros(3))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.warns(UserWarning, match="mnist.npz must hold x_train.*the file is left alone"):
        assert locate("mnist", str(empty), offline=True).origin == "embedded"
    np.savez(empty / "mnist.npz", a=np.zeros(3))
    with pytest.raises(DataError, match="mnist.npz must hold x_train"):
        locate("mnist", str(empty), offline=True)
