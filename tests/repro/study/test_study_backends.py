"""What a user does with a model of their own, on JAX in a process that has no TensorFlow, against
the same on TensorFlow: a study and its files, reliance during training, the regularizer, recovery.

The parent saves the model and the images; the child (this file, run as a program with
KERAS_BACKEND=jax and every warning an error) loads them and saves what it found.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import jax_child

LESION = {"dense": [0, 2, 5]}


def network() -> Any:
    """Maps and a dense layer, without masks."""
    import keras
    from keras import layers as L

    layers = [
        L.Conv2D(5, 3, use_bias=False, name="conv"),
        L.BatchNormalization(name="norm"),
        L.ReLU(name="relu"),
        L.Flatten(name="flatten"),
        L.Dense(8, "relu", name="dense"),
        L.Dense(4, name="logits"),
    ]
    return keras.Sequential([keras.Input((6, 6, 1)), *layers], name="mine")


def studied(model: Any, images: np.ndarray, labels: np.ndarray, folder: Path) -> dict[str, Any]:
    """Numbers of a study, and how much of its files is there."""
    import keras

    import repro

    study = repro.lesion(model, images, labels)
    curve = study.curve(orders=3, points=5)
    study.report(folder / "report")
    study.to_tensorboard(folder / "tb")
    saved = repro.load_model(study.save(folder / "networks" / "mine"), trusted=True)
    events = [*(folder / "tb").rglob("events.*")]
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    answers = keras.ops.convert_to_numpy(saved(images, training=False))
    return {
        "importance": study.units["importance"],
        "largest_class_drop": study.units["largest_class_drop"],
        "class_selectivity": study.units["class_selectivity"],
        "curve": curve.accuracy,
        "files": [len(events), "data:image/svg" in page, len(repro.ablation_masks(saved))],
        "saved": answers,
    }


def trained(path: Path, images: np.ndarray, labels: np.ndarray, watched: bool) -> dict[str, Any]:
    """Two epochs from the saved weights, with the callback or without it."""
    import keras

    import repro

    keras.utils.set_random_seed(2)
    model = repro.load_model(path, trusted=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    reliance = repro.SingleDirectionReliance(images, labels, orders=2, points=3)
    logs = model.fit(
        images, labels, epochs=2, batch_size=30, verbose=0, callbacks=[reliance] * watched
    ).history
    weights = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    return {"weights": weights, "logs": logs}


def found(folder: Path) -> dict[str, np.ndarray]:
    """Everything on the backend of this process, from the files in the folder."""
    import keras

    import repro
    from repro.models import trial

    path = folder / "model.keras"
    backend = keras.backend.backend()
    with np.load(folder / "images.npz") as given:
        images, labels = given["images"], given["labels"]
    model = repro.load_model(path, trusted=True)
    answers = studied(model, images, labels, folder / backend)
    assert trial.tried(path)["answers"]
    beside, alone = (trained(path, images, labels, watched) for watched in (True, False))
    same = [np.array_equal(a, b) for a, b in zip(beside["weights"], alone["weights"], strict=True)]
    answers["unchanged"] = [all(same), beside["logs"]["loss"] == alone["logs"]["loss"]]
    answers["watched"] = len(beside["logs"]["normalized_auc"])
    # On its own answers it is right, and so above chance.
    own = model.predict(images, verbose=0).argmax(axis=1)
    reliance = repro.SingleDirectionReliance(images, own, orders=2, points=3)
    reliance.set_model(model)
    reliance.on_train_begin()
    answers["reliance"] = list(reliance.measure().values())
    answers["shares"] = list(beside["logs"])
    regularized = repro.SelectivityRegularized(model, -1.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    regularized.compile(keras.optimizers.SGD(0.1), loss)
    before = keras.ops.convert_to_numpy(model.get_layer("dense").kernel)
    logs = regularized.fit(images, labels, batch_size=len(images), shuffle=False, verbose=0).history
    answers["regularized"] = [logs["selectivity"][0], logs["loss"][0]]
    after = keras.ops.convert_to_numpy(model.get_layer("dense").kernel)
    answers["step"] = after - before
    model = repro.load_model(path, trusted=True)
    recovery = repro.recover(model, LESION, images, labels, epochs=2, control=False)
    states = (recovery.intact, recovery.lesioned, *recovery.recovered)
    answers["recovery"] = [state.loss for state in states]
    return {name: np.asarray(value) for name, value in answers.items()}


def main(folder: Path) -> None:
    """The child."""
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # importing it raises ImportError
    import keras

    assert keras.backend.backend() == "jax"
    np.savez(folder / "on_jax.npz", **found(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the model and images that both sides read."""
    from tests.helpers import plain

    folder = tmp_path_factory.mktemp("both")
    rng = np.random.default_rng(4)
    model = network()
    plain.randomise(model, rng)
    model.save(folder / "model.keras")
    images = rng.random((90, 6, 6, 1), dtype=np.float32)
    np.savez(folder / "images.npz", images=images, labels=rng.integers(0, 4, 90).astype(np.int32))
    return folder


@pytest.fixture(scope="module")
def on_jax(folder: Path) -> dict[str, np.ndarray]:
    jax_child.run("tests.repro.study.test_study_backends", folder)
    with np.load(folder / "on_jax.npz") as answers:
        return dict(answers)


@pytest.fixture(scope="module")
def on_tensorflow(folder: Path) -> dict[str, np.ndarray]:
    return found(folder)


# Relative differences that summation order causes in float32; "step" and "recovery" follow many
# passes and gradients in float32.
CLOSE = {
    "importance": 1e-5,
    "class_selectivity": 1e-5,
    "saved": 1e-4,
    "reliance": 1e-9,
    "regularized": 1e-4,
    "step": 1e-4,
    "recovery": 1e-3,
}
EQUAL = ("largest_class_drop", "curve")


@pytest.mark.parametrize("name", [*CLOSE, *EQUAL])
def test_jax_finds_what_tensorflow_finds(
    name: str, on_jax: dict[str, np.ndarray], on_tensorflow: dict[str, np.ndarray]
) -> None:
    tolerance = CLOSE.get(name, 0.0)
    ours, theirs = on_jax[name], on_tensorflow[name]
    assert np.ptp(theirs) > 10 * tolerance  # they tell something
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_on_jax_a_study_leaves_its_files_and_a_callback_no_trace(
    on_jax: dict[str, np.ndarray],
) -> None:
    assert on_jax["files"].tolist() == [1, 1, 2]
    assert on_jax["unchanged"].all()
    assert on_jax["watched"] == 2
    assert {"normalized_auc", "normalized_auc/relu", "normalized_auc/dense"} <= set(
        on_jax["shares"].tolist()
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
