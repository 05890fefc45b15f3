"""The engine on JAX and on PyTorch, in a process that has no TensorFlow, against TensorFlow.

The parent saves weights and images; the child (this file, run as a program with KERAS_BACKEND set
and every warning an error) builds the same models, loads the weights and saves its answers.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import jax_child


def dense_network() -> Any:
    from repro.models.networks import mlp

    return mlp((4, 3), 7, (9, 8), seed=1)


def conv_network() -> Any:
    """Feature maps and then a masked dense layer; BatchNorm, dropout, pooling and softmax."""
    import keras

    from repro.models.masking import AblationMask

    x = images = keras.Input((7, 6, 2))
    for name, options in (("maps", {"padding": "same"}), ("strided", {"strides": 2})):
        x = keras.layers.Conv2D(5, 3, use_bias=False, **options)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        x = AblationMask(name=f"{name}_mask")(x)
        x = keras.layers.SpatialDropout2D(0.5)(x)
    x = keras.layers.MaxPooling2D(2, padding="same")(x)
    x = keras.layers.Dense(6, activation="tanh")(keras.layers.Flatten()(x))
    x = AblationMask(name="hidden_mask")(x)
    return keras.Model(images, keras.layers.Dense(7, activation="softmax")(x))


def residual_network() -> Any:
    """Identity and projection shortcuts, masks inside and outside, a function, global pooling."""
    import keras

    from repro.models.masking import AblationMask

    x = images = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 1)(x)
    inner = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    inner = AblationMask(name="inside_mask")(inner)
    x = keras.layers.Add()([keras.layers.Conv2D(4, 3, padding="same")(inner), x])
    x = AblationMask(name="identity_mask")(keras.layers.ReLU()(x))
    shortcut = keras.layers.BatchNormalization()(keras.layers.Conv2D(5, 1, strides=2)(x))
    outer = keras.layers.Conv2D(5, 3, strides=2, padding="same")(x)
    x = AblationMask(name="projection_mask")(keras.ops.relu(outer * 2 + shortcut))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(7)(x))


NETWORKS: dict[str, Callable[[], Any]] = {
    "dense": dense_network,
    "maps": conv_network,
    "residual": residual_network,
}
COUNTS = ("n_correct", "loss_sum", "n_top5", "n_tied")


def answers(name: str, model: Any, given: Any) -> dict[str, np.ndarray]:
    """Every kind of question to the engine, as arrays by name."""
    from repro.engine.engine import Engine
    from repro.training.callback import SingleDirectionReliance

    images, labels, fill = (given[f"{name}/{key}"] for key in ("images", "labels", "fill"))
    engine = Engine(model, images, labels)
    first = engine.layout.layers[0][0]
    turned = Engine(model, images, labels, bases={first: given[f"{name}/basis"]})
    orders = given[f"{name}/orders"]
    points = np.array([0, 1, 5, orders.shape[1]])
    outcomes = {
        "evaluate": engine.evaluate(given[f"{name}/keep"], fill),
        "single": engine.single_units(),
        "cumulative": engine.cumulative(orders, points, fill),
        "directions": turned.single_units(fill, engine.layout.units(first)),
        "no noise": engine.noise(np.zeros(1), draws=2),
    }
    found = {f"{q}/{key}": getattr(o, key) for q, o in outcomes.items() for key in COUNTS}
    statistics = engine.statistics(n_bins=5, n_top=3)
    for key in ("class_means", "variance", "sparsity", "bin_counts", "top_images"):
        found[f"statistics/{key}"] = getattr(statistics, key)
    reliance = SingleDirectionReliance(images, labels, n_images=len(images), points=4)
    reliance.set_model(model)
    reliance.on_train_begin()
    found["reliance"] = np.array(list(reliance.measure().values()))
    noisy = engine.noise(np.array([0.5]), draws=200)
    found["noise/loss"] = noisy.loss[:, 0]
    return found


def main(folder: Path) -> None:
    """The child: answers on its backend to what the parent asks."""
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # importing it raises ImportError
    import keras

    assert keras.backend.backend() == os.environ["KERAS_BACKEND"] != "tensorflow"
    given = np.load(folder / "given.npz")
    found = {}
    for name, build in NETWORKS.items():
        model = build()
        model.set_weights([given[f"{name}/weight/{i}"] for i in range(len(model.weights))])
        found |= {f"{name}/{key}": value for key, value in answers(name, model, given).items()}
    np.savez(folder / "found.npz", **found)


@pytest.fixture(scope="module")
def given() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The models with their random weights, and all arrays that both sides need."""
    from repro.core import metrics
    from repro.engine.engine import Engine
    from tests.helpers import plain

    rng = np.random.default_rng(1)
    models, arrays = {}, {}
    for name, build in NETWORKS.items():
        models[name] = model = build()
        plain.randomise(model, rng)
        images = rng.normal(size=(40, *model.input_shape[1:])).astype(np.float32)
        labels = rng.integers(0, 7, 40)
        layout = Engine(model, images, labels).layout
        arrays |= {
            f"{name}/images": images,
            f"{name}/labels": labels,
            f"{name}/keep": plain.lesions(rng, layout.layers, n_random=2),
            f"{name}/fill": rng.normal(0.3, 0.5, layout.n_units),
            f"{name}/orders": np.stack([rng.permutation(layout.n_units) for _ in range(2)]),
            f"{name}/basis": metrics.random_basis(layout.layers[0][1], rng),
        }
        for i, weight in enumerate(model.get_weights()):
            arrays[f"{name}/weight/{i}"] = weight
    return models, arrays


def _has_torch() -> bool:
    """Whether PyTorch is installed and loads; it is an extra, some hundred megabytes."""
    if importlib.util.find_spec("torch") is None:
        return False
    return subprocess.run([sys.executable, "-c", "import torch"], check=False).returncode == 0


@pytest.fixture(scope="module", params=["jax", "torch"])
def elsewhere(
    request: pytest.FixtureRequest, given: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """What another backend answers."""
    if request.param == "torch" and not _has_torch():
        pytest.skip("WITH_TORCH=1 ./run_all.sh test installs PyTorch")
    folder = tmp_path_factory.mktemp("backends")
    np.savez(folder / "given.npz", **given[1])
    jax_child.run("tests.repro.engine.test_backends", folder, backend=request.param)
    return dict(np.load(folder / "found.npz"))


@pytest.fixture(scope="module")
def on_tensorflow(given: Any) -> dict[str, np.ndarray]:
    models, arrays = given
    found = {}
    for name, model in models.items():
        found |= {f"{name}/{key}": value for key, value in answers(name, model, arrays).items()}
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_it_answers_as_plain_keras_does(name: str, given: Any, elsewhere: Any) -> None:
    from repro.engine.counts import Outcome
    from repro.engine.engine import Engine
    from tests.helpers import plain

    models, arrays = given
    images, labels, keep, fill = (
        arrays[f"{name}/{key}"] for key in ("images", "labels", "keep", "fill")
    )
    layers = Engine(models[name], images, labels).layout.layers
    outcome = Outcome(*(elsewhere[f"{name}/evaluate/{key}"] for key in COUNTS), n_images=40)
    for row, lesion in enumerate(keep):
        expected = plain.answer(
            models[name], layers, images, labels, lesion, fill, probabilities=name == "maps"
        )
        plain.assert_lesion_equals(outcome, row, expected)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("question", ["evaluate", "single", "cumulative", "directions", "no noise"])
def test_both_backends_answer_alike(
    name: str, question: str, elsewhere: Any, on_tensorflow: Any
) -> None:
    jax, tensorflow = (
        {key: side[f"{name}/{question}/{key}"] for key in COUNTS}
        for side in (elsewhere, on_tensorflow)
    )
    tied = np.maximum(jax["n_tied"], tensorflow["n_tied"])
    away = np.abs(jax["n_correct"] - tensorflow["n_correct"]).sum(axis=-1)
    assert np.all(away <= tied)
    assert np.all(np.abs(jax["n_top5"] - tensorflow["n_top5"]) <= 1)  # a fifth place may tie
    np.testing.assert_allclose(jax["loss_sum"], tensorflow["loss_sum"], rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_both_backends_gather_the_same_statistics(
    name: str, elsewhere: Any, on_tensorflow: Any
) -> None:
    for key in ("class_means", "variance", "sparsity"):
        found, expected = (side[f"{name}/statistics/{key}"] for side in (elsewhere, on_tensorflow))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    # Activations of two images may differ by rounding alone, as those of a map that is nearly
    # constant: then the edge of a bin falls on either side, and either image comes first.
    found, expected = (side[f"{name}/statistics/top_images"] for side in (elsewhere, on_tensorflow))
    assert np.mean(found != expected) <= 0.05
    found, expected = (side[f"{name}/statistics/bin_counts"] for side in (elsewhere, on_tensorflow))
    np.testing.assert_array_equal(found.sum(axis=1), expected.sum(axis=1))  # of each class
    assert np.abs(found - expected).sum() / 2 <= 0.02 * expected.sum()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_callback_measures_the_same_on_both(
    name: str, elsewhere: Any, on_tensorflow: Any
) -> None:
    found, expected = (side[f"{name}/reliance"] for side in (elsewhere, on_tensorflow))
    np.testing.assert_allclose(found, expected, rtol=1e-12)  # of the same counts


@pytest.mark.parametrize("name", NETWORKS)
def test_noise_does_the_same_harm_on_both(name: str, elsewhere: Any, on_tensorflow: Any) -> None:
    found, expected = (side[f"{name}/noise/loss"] for side in (elsewhere, on_tensorflow))
    # Other random numbers, the same distribution: 200 draws each.
    error = np.hypot(found.std(), expected.std()) / np.sqrt(200)
    assert abs(found.mean() - expected.mean()) < 4 * error
    assert 0.5 < found.std() / expected.std() < 2


def test_a_process_with_tensorflow_would_be_noticed() -> None:
    """The child's way to forbid TensorFlow works: importing it fails there."""
    probe = "import sys; sys.modules['tensorflow'] = None\nimport tensorflow"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False)
    assert result.returncode != 0 and b"ModuleNotFoundError" in result.stderr


if __name__ == "__main__":
    main(Path(sys.argv[1]))
