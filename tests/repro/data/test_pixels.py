"""Pixels are what the model was trained on: values, range, size, and what the model does itself."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from PIL import Image

from repro.data import labelled, pixels
from repro.data.labelled import find, read_names
from repro.data.source import DataError
from repro.engine import scale_trial
from repro.models import scaling
from repro.study import command, sentences
from repro.study.request import LesionRequest

RNG = np.random.default_rng(8)
PIXELS = RNG.integers(0, 256, (20, 6, 6), dtype=np.uint8)
LABELS = np.arange(20) % 4
SHAPE = (6, 6, 1)


def archive(folder: Path, images: np.ndarray, labels: np.ndarray = LABELS) -> str:
    np.savez(folder / "mine.npz", images=images, labels=labels)
    return f"npz:{folder / 'mine.npz'}"


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, np.float64, np.uint16])
def test_pixels_are_told_by_their_values(tmp_path: Path, kind: Any) -> None:
    """keras#4486: img_to_array gives float32."""
    spec = archive(tmp_path, PIXELS.astype(kind))
    for scale in ("auto", "255"):
        found = find(spec, SHAPE, 4, scale=scale)
        expected = PIXELS[..., None] / np.float32(255)
        np.testing.assert_array_equal(found.images(np.arange(20)), expected)


def test_other_numbers_are_no_pixels(tmp_path: Path) -> None:
    for images in (PIXELS / 255, PIXELS - 100.0, (PIXELS > 9).astype(float), PIXELS * 1000.0):
        found = find(archive(tmp_path, images), SHAPE, 4)
        np.testing.assert_array_equal(
            found.images(np.arange(20))[..., 0], images.astype(np.float32)
        )
        with pytest.raises(DataError, match="leave the flag out"):
            find(archive(tmp_path, images), SHAPE, 4, scale="255")


def test_16_bit_images_keep_their_range(tmp_path: Path) -> None:
    """keras#13023, #10437, #4486: a PNG of 16 bits, of which the low byte was read."""
    values = RNG.integers(0, 65_536, (6, 6), dtype=np.uint16)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(values).save(tmp_path / "photos" / name / "one.png")
    found = find(f"dir:{tmp_path / 'photos'}", SHAPE, 2).images(np.array([0]))[0, ..., 0]
    np.testing.assert_allclose(found, values / 65_535, atol=1e-6)
    spec = archive(tmp_path, np.stack([values] * 20))
    found = find(spec, SHAPE, 4).images(np.array([3]))[0, ..., 0]
    np.testing.assert_allclose(found, values / 65_535, atol=1e-6)


@pytest.mark.parametrize("resize", pixels.RESIZES)
def test_photographs_are_resized_as_keras_does(tmp_path: Path, resize: str) -> None:
    """keras#4987, keras-preprocessing#333: image_dataset_from_directory stretches."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        image = RNG.integers(0, 256, (24, 72, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / name / "one.png")
    expected = keras.utils.image_dataset_from_directory(
        tmp_path,
        image_size=(16, 12),
        shuffle=False,
        verbose=False,
        crop_to_aspect_ratio=resize == "crop",
        pad_to_aspect_ratio=resize == "pad",
    )
    images = np.concatenate([x.numpy() for x, _ in expected])
    found = find(f"dir:{tmp_path}", (16, 12, 3), 2, scale="none", resize=resize)
    np.testing.assert_allclose(found.images(np.arange(2)), images, atol=1e-3)
    assert "16 × 12 pixels" in found.words and pixels.RESIZE_WORDS[resize].split()[0] in found.words


def test_what_a_folder_leaves_out_is_counted(tmp_path: Path) -> None:
    """tensorflow#46595, BackgroundMattingV2#51."""
    for name in ("a", "b"):
        (tmp_path / name / "nested").mkdir(parents=True)
        for file in ("._0.jpg", "two.tif", "Thumbs.db"):
            (tmp_path / name / file).write_bytes(b"")
        Image.fromarray(PIXELS[0]).save(tmp_path / name / "one.JPG")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    found = find(f"dir:{tmp_path}", SHAPE, 2)
    assert len(found) == 2
    for words in ("2 nested folder", "2 .tif", "2 .db", "3 hidden", "left out"):
        assert words in found.words
    (tmp_path / "a" / "one.JPG").write_bytes(b"truncated")
    with pytest.raises(DataError, match=r"one\.JPG cannot be read as an image") as caught:
        found.images(np.array([0]))
    assert "object at 0x" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + "über\nb\n".encode(),
        "über\r\nb\r\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "über\nb".encode("utf-16-be"),
        "über\nb".encode("cp1252"),
        "über\n\nb\n".encode(),
    ],
)
def test_class_names_are_read_in_any_encoding_of_windows(tmp_path: Path, content: bytes) -> None:
    """getnikola/nikola#3461, eyegrade#70: Notepad and PowerShell."""
    (tmp_path / "names.txt").write_bytes(content)
    assert read_names(tmp_path / "names.txt") == ("über", "b")


def model_of(*before: Any, hidden: Any = None) -> keras.Model:
    x = images = keras.Input((6, 6, 3))
    for layer in before:
        x = layer(x)
    x = L.Conv2D(4, 3, activation="relu")(x)
    x = hidden(x) if hidden else x
    return keras.Model(images, L.Dense(2)(L.Flatten()(x)))


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (lambda: model_of(), "plain"),
        (lambda: model_of(L.RandomFlip(), L.Resizing(6, 6)), "plain"),
        (lambda: model_of(L.Rescaling(1 / 255)), "scales"),
        (lambda: model_of(L.RandomFlip(), L.Rescaling(1 / 127.5, -1)), "scales"),
        # tensorflow.org: mobilenet.preprocess_input, and operations, within the model
        (lambda: model_of(lambda x: x / 127.5 - 1), "scales"),
        (lambda: model_of(keras.applications.mobilenet_v2.preprocess_input), "scales"),
        # as this laboratory's networks with pixel_range = "-1 to 1" begin: for pixels of 0 to 1
        (lambda: model_of(L.Rescaling(2.0, -1.0)), "plain"),
        (lambda: model_of(L.Normalization(mean=[0.5] * 3, variance=[0.08] * 3)), "plain"),
        (lambda: model_of(L.Rescaling(2.0)), "unclear"),
        (lambda: model_of(L.BatchNormalization()), "unclear"),
        (lambda: model_of(L.Lambda(ops.tanh)), "unclear"),
        # a scaling of residuals in the middle of a model is none of its pixels
        (lambda: model_of(hidden=L.Rescaling(0.1)), "plain"),
        (
            lambda: keras.Sequential([keras.Input((4,)), L.Embedding(9, 3), L.Flatten()]),
            "tokens",
        ),
    ],
)
def test_what_a_model_does_to_its_pixels(model: Any, kind: str) -> None:
    assert scaling.of(model()) == kind


def separable(scale: str) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A model with a BatchNormalization first that knows pixels in one scaling only."""
    labels = np.arange(300) % 2
    images = RNG.integers(0, 256, (300, 6, 6, 3)).astype(np.uint8)
    images[labels == 1, :3] = images[labels == 1, :3] // 4
    given = images / 255 if scale == "255" else images.astype(float)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            L.BatchNormalization(),
            L.Flatten(),
            L.Dense(8, "relu"),
            L.Dense(2),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.layers[0].momentum = 0.5
    model.fit(given, labels, epochs=30, verbose=0)
    assert model.evaluate(given, labels, verbose=0) < 0.3
    return model, images, labels


def tried(model: keras.Model, spec: str, folder: Path, scale: str = "auto") -> tuple[Any, str]:
    """What the command takes of these images, and what it says of their scaling."""
    request = LesionRequest(model="m.keras", data=spec, out=folder, scale=scale)
    found, kind = command._found(request, model, model)
    order = labelled.stratified_order(found.labels, np.random.default_rng(0))
    return scale_trial.tried(model, kind, found, order, given=scale != "auto")


@pytest.mark.parametrize("scale", ["255", "none"])
def test_where_it_is_not_plain_the_scaling_that_answers_best_is_taken(
    tmp_path: Path, scale: str
) -> None:
    """tensorflow.org, transfer learning: a BatchNormalization first."""
    model, images, labels = separable(scale)
    spec = archive(tmp_path, images, labels)
    found, words = tried(model, spec, tmp_path)
    assert found.scale == scale and f"--scale={scale} chooses it" in words
    assert ", of 256 images right, the best of those tried" in words
    assert "the scaling that fits best of 5 tried" in found.words
    worse = {"255": "none", "none": "255"}[scale]
    found, words = tried(model, spec, tmp_path, worse)
    assert found.scale == worse and f"give --scale={scale}" in words
    given = images / 255 if scale == "255" else images.astype(float)
    few = labelled.stratified_order(labels, np.random.default_rng(0))[:64]
    right = np.mean(model.predict(given[few], verbose=0).argmax(axis=1) == labels[few])
    assert f": {100 * right:.3g} %, loss " in words and "if the model was trained so" in words
    assert tried(model, spec, tmp_path, scale)[1] == ""


@pytest.mark.parametrize("first", [L.BatchNormalization, None])
def test_more_contrast_alone_is_no_better_scaling(tmp_path: Path, first: Any) -> None:
    """The brighter half decides, in every scaling: pixels that are not divided only make the
    network surer."""
    labels = np.arange(100) % 2
    images = RNG.integers(0, 100, (100, 4, 4, 3)).astype(np.uint8)
    images[labels == 1, :2] += 100
    images[labels == 0, 2:] += 100
    model = keras.Sequential([keras.Input((4, 4, 3)), L.Flatten(), L.Dense(1)])
    half = np.repeat([1.0, -1.0], 24)[:, None]
    model.layers[-1].set_weights([half / 10, np.zeros(1)])
    if first is not None:
        model = keras.Sequential([keras.Input((4, 4, 3)), first(), *model.layers])
    found, words = tried(model, archive(tmp_path, images, labels), tmp_path)
    assert found.scale == "255"
    if first is None:
        assert words == ""
    else:
        assert "divided by 255 (--scale=255): 100 %" in words
        assert "do not tell it from none, tf, torch, caffe" in words and "--scale=255" in words
        assert "no scaling of 5 tried fits clearly better" in found.words


def test_the_warning_near_chance_names_the_causes() -> None:
    import repro

    study = repro.lesion(model_of(), RNG.normal(size=(80, 6, 6, 3)), np.arange(80) % 2)
    if float(study.intact.accuracy) < 0.75:
        words = sentences.warning(study)
        assert all(flag in words for flag in ("--scale", "--resize", "--classes", "model.evaluate"))


# --- TensorFlow Datasets -----------------------------------------------------------------------


def prepared(folder: Path, features: Any, examples: list[Any], keys: Any, split: str) -> None:
    """Writes a small data set as TFDS does."""
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():

        class Tiny(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self) -> Any:
                return self.dataset_info_from_configs(features=features, supervised_keys=keys)

            def _split_generators(self, manager: Any) -> Any:
                return {split: self._generate_examples()}

            def _generate_examples(self) -> Any:
                yield from enumerate(examples)

    Tiny.pkg_dir_path = folder
    builder = Tiny(data_dir=folder)
    builder.download_and_prepare()


@pytest.mark.parametrize("split", ["val", "train"])
def test_tfds_by_supervised_keys_with_plain_labels(tmp_path: Path, split: str) -> None:
    """tf-explain#180: features img and species, integer labels without names, split val."""
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {"img": tfds.features.Image(shape=(6, 6, 1)), "species": np.int64}
    )
    examples = [
        {"img": PIXELS[n][..., None], "species": int(LABELS[n])} for n in range(len(PIXELS))
    ]
    prepared(tmp_path, features, examples, ("img", "species"), split)
    found = find("tfds:tiny", SHAPE, 4, data_dir=str(tmp_path), scale="none")
    assert found.words.startswith(f"tiny, its {split} split")
    order = np.lexsort(found.images(np.arange(20)).reshape(20, -1).T)
    wanted = np.lexsort(PIXELS.reshape(20, -1).astype(np.float32).T)
    np.testing.assert_array_equal(
        found.images(np.arange(20))[order][..., 0], PIXELS[wanted].astype(np.float32)
    )
    np.testing.assert_array_equal(found.labels[order], LABELS[wanted])
    few = find(f"tfds:tiny/{split}[:10]", SHAPE, 4, data_dir=str(tmp_path))
    assert len(few) == 10
    with pytest.raises(DataError, match=f"has the splits {split}, not 'test'"):
        find("tfds:tiny/test", SHAPE, 4, data_dir=str(tmp_path))


def test_tfds_of_float_tensors(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Tensor(shape=(6, 6, 1), dtype=np.float32),
            "label": tfds.features.ClassLabel(num_classes=4),
        }
    )
    values = (PIXELS[..., None] / 255).astype(np.float32)
    examples = [{"image": values[n], "label": int(LABELS[n])} for n in range(20)]
    prepared(tmp_path, features, examples, None, "train")
    found = find("tfds:tiny", SHAPE, 4, data_dir=str(tmp_path))
    assert "as they are" in found.words and found.split == "train"
    np.testing.assert_allclose(
        np.sort(found.images(np.arange(20)).ravel()), np.sort(values.ravel())
    )
