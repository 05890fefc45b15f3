"""Figures of a trained network of the user's own, in place of networks that the figure trains.

Some figures need nothing but a trained classifier (Figs. 7d, 7e, A2b, A3 and A4d, and the pictures
of two units). Their configs have an `[own]` table, and

    ./run_all.sh --only=fig7d --model=my.keras --data=dir:folder-of-class-folders

makes them of a `.keras` model: masks are put after its hidden layers (`repro.models.insertion`),
`repro.data.labelled` reads the images, and nothing is trained. The name of such a network is the
hash of the contents of model and images, so a changed file is another network.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repro.core.settings import OWN, TrainConfig
from repro.data.images import Images, Splits
from repro.data.labelled import LabelledStream, find, stratified_order
from repro.data.source import DataError, DataSource

if TYPE_CHECKING:
    import keras

_BLOCK = 1 << 20
# The masked network is compared with the user's on so many images; answers may differ by this share
# of the largest answer.
_IMAGES_TO_CHECK, _CLOSE = 8, 2e-4
# Version of the way pixels are read. It changes when the same files give other pixels, so that
# older results are not taken for new ones.
_READING = b"2"


def given(model: Path, data: str, scale: str = "auto", resize: str = "stretch") -> TrainConfig:
    """The settings of a network that the user gives.

    Args:
        model: a `.keras` file.
        data: "npz:file.npz", "tfds:name" or "dir:folder", see `repro.data.labelled`.
        scale: one of `labelled.SCALES`. resize: one of `pixels.RESIZES`.

    Raises:
        DataError: no such file or folder.
    """
    if not model.is_file():
        raise DataError(f"no model at {model}")
    digest = hashlib.sha256(_READING)
    _add_file(digest, model)
    kind, _, name = data.partition(":")
    path = Path(name).expanduser()
    if kind in ("npz", "dir"):
        if not path.exists():
            raise DataError(f"--data names {name}, which does not exist")
        data = f"{kind}:{path.resolve()}"
    if kind == "npz":
        _add_file(digest, path)
    elif kind == "dir":
        for file in sorted(path.glob("*/*")):
            digest.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
    else:
        digest.update(data.encode())
    return TrainConfig(
        dataset=OWN,
        network=OWN,
        model=str(model.resolve()),
        images=data,
        scale=scale,
        resize=resize,
        content=digest.hexdigest()[:16],
    )


def _add_file(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)


def masked_model(train: TrainConfig) -> keras.Model:
    """The user's model, with masks after its hidden layers unless it has masks.

    Raises:
        ValueError: a file that cannot be loaded safely, or a model that cannot be lesioned.
    """
    from repro.models.insertion import with_masks
    from repro.models.loading import load_model

    return with_masks(load_model(train.model))


def splits(train: TrainConfig, source: DataSource, model: keras.Model) -> Splits:
    """The user's images as test images, without training images.

    Raises:
        DataError: the images are missing or do not fit the model.
    """
    from repro.engine import scale_trial
    from repro.models import scaling

    shape = tuple(model.input_shape[1:])
    n_classes = int(model.output_shape[-1])
    kind = scaling.of(model)
    found = find(
        train.images,
        shape,
        n_classes,
        scale=train.scale,
        scales_itself=kind == "scales",
        tokens=kind == "tokens",
        resize=train.resize,
        data_dir=source.directory,
    )
    order = stratified_order(found.labels, np.random.default_rng(train.seed))
    given = train.scale != "auto"
    found, sentence = scale_trial.tried(model, kind, found, order, given=given)
    if sentence:
        found = dataclasses.replace(found, words=f"{found.words}. {sentence}")
    test = LabelledStream(found, np.arange(len(found)), n_classes)
    _check_answers(train, model, found.images(np.sort(order[:_IMAGES_TO_CHECK])))
    nothing = np.zeros((0, *test.shape[1:]), np.float32)
    return Splits(Images(nothing, np.zeros(0, np.int32), n_classes), None, test)


def facts(splits: Splits) -> dict[str, Any]:
    """What the training record of the network says about its images."""
    test = splits.test
    if not isinstance(test, LabelledStream):
        raise TypeError(f"expected images of the user's own, got {type(test).__name__}")
    return {"data": test.labelled.words, "class_names": test.labelled.class_names}


def _check_answers(train: TrainConfig, model: keras.Model, images: np.ndarray) -> None:
    """Compares the masked network, which may come from a saved file, with the user's file.

    Raises:
        DataError: the two networks give different answers.
    """
    from repro.engine import verify
    from repro.models.loading import load_model

    expected, found = (verify.answers_of(m, images) for m in (load_model(train.model), model))
    largest = float(np.abs(expected).max(initial=0))
    if not np.allclose(found, expected, rtol=0, atol=_CLOSE * largest):
        raise DataError(
            f"the network with masks does not answer as {train.model} does on {len(images)} of "
            f"its images (by up to {np.abs(found - expected).max():.3g}); repro.lesion(model, "
            "images, labels) in Python names the layer that differs"
        )
