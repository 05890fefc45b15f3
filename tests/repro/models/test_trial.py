"""Foreign models: what Keras writes is let in, what is not ours is tried elsewhere first."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import repro
from repro.core.settings import TrainConfig, to_dict
from repro.models import inspection, loading, networks, trial
from repro.models.inspection import Refused
from tests.helpers import hostile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.keras"


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were tried in another process; here none is started."""
    tried: list[Path] = []
    monkeypatch.setattr(trial, "attempt", lambda path, **_: tried.append(Path(path)))
    return tried


# --- The list of classes against Keras --------------------------------------------------------


@pytest.mark.parametrize("module", inspection.CLASSES)
def test_every_class_on_the_list_is_one_of_keras(module: str) -> None:
    known = vars(importlib.import_module(module))
    # Functional has no public name, yet this is how Keras once wrote it.
    missing = {name for name in inspection.CLASSES[module] if name not in known}
    assert missing <= {"Functional"}


def transformer() -> keras.Model:
    tokens = keras.Input((8, 6))
    x = keras.layers.MultiHeadAttention(2, 3)(tokens, tokens)
    x = keras.layers.LayerNormalization()(x + tokens)
    x = keras.ops.relu(x[:, ::2]) * 2.0
    x = keras.layers.Dense(5, activation=keras.activations.gelu)(x)
    return keras.Model(tokens, keras.layers.GlobalAveragePooling1D()(x))


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu")])
    inner.compile("adam", "mse")
    return keras.Sequential(
        [keras.Input((4,)), inner, keras.layers.Dense(2, kernel_regularizer="l2")]
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda: networks.convnet((8, 8, 3), 4, width=1 / 32, dropout=0.1),
        transformer,
        nested,
    ],
    ids=["convnet", "transformer", "nested"],
)
def test_what_keras_saves_is_let_in(build: Any, path: Path) -> None:
    build().save(path)
    inspection.inspect(path)
    inspection.check_weights_of(path)


def augmented() -> keras.Model:
    """Every layer that changes images at random or by their histogram."""
    layers = keras.layers
    names = """AugMix AutoContrast ContrastLimitedAdaptiveHistogramEqualization CutMix
        MixUp RandAugment RandomColorJitter RandomElasticTransform RandomErasing RandomGaussianBlur
        RandomGrayscale RandomInvert RandomPerspective RandomShear Solarization"""
    factors = "ColorDegeneration Hue Saturation Sharpness"
    chain = [getattr(layers, name)() for name in names.split()]
    chain += [getattr(layers, f"Random{name}")(0.5) for name in factors.split()]
    chain.append(layers.RandomPosterization(4))
    return keras.Sequential([keras.Input((8, 8, 3)), *chain, layers.Flatten(), layers.Dense(2)])


def test_layers_of_augmentation_are_let_in(path: Path) -> None:
    augmented().save(path)
    found = inspection.inspect(path)
    assert found.classes["RandomErasing"] == found.classes["AugMix"] == 1
    assert loading.load_model(path, trusted=True).count_params() == 8 * 8 * 3 * 2 + 2


@pytest.mark.parametrize("trusted", [True, False])
def test_nothing_is_loaded_by_a_keras_that_runs_code(
    trusted: bool, path: Path, attempts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.write(path, hostile.members())
    weights = path.with_name("file.weights.h5")
    weights.write_bytes(hostile.weights())
    monkeypatch.setattr(keras, "__version__", "3.9.0")
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("was loaded"))
    with pytest.raises(RuntimeError, match="Keras 3.9.0 loads malicious models; install 3.15.1"):
        loading.load_model(path, trusted=trusted)
    with pytest.raises(RuntimeError, match="Keras 3.9.0 loads malicious models"):
        loading.model_from_function("no.such:build", weights)
    assert attempts == []


# --- The process ------------------------------------------------------------------------------


def test_a_foreign_model_is_tried_and_then_loaded(path: Path) -> None:
    """With a real process; the other tests do without."""
    hostile.write(path, hostile.members())
    model = repro.load_model(path)
    for found, expected in zip(model.get_weights(), hostile.arrays().values(), strict=True):
        assert np.array_equal(found, expected)


def test_a_process_that_takes_too_much_or_dies_is_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.write(path, hostile.members())
    with pytest.raises(Refused, match="was refused: loading it needs more than 1 MB"):
        trial.attempt(path, memory_mb=1)
    with pytest.raises(Refused, match="was refused: loading it takes more than 0 s"):
        trial.attempt(path, seconds=0.01)
    monkeypatch.setattr(trial, "_PROGRAM", "import os; os._exit(11)")
    with pytest.raises(Refused, match="was refused: it ended the process that loaded it"):
        trial.attempt(path)


def ask(path: Path) -> dict[str, Any]:
    """What the process answers, here in this one."""
    answers = io.StringIO()
    trial.serve(io.StringIO(json.dumps({"path": str(path)}) + "\n"), answers)
    return json.loads(answers.getvalue())


def test_the_process_tells_what_it_found(path: Path) -> None:
    hostile.write(path, hostile.members())
    assert ask(path) == {"answer": {"n_parameters": 4 * 3 + 3 + 3 * 2 + 2, "answers": True}}


def test_weights_of_another_shape_are_a_sentence(path: Path) -> None:
    arrays = hostile.arrays() | {"layers/dense/vars/0": np.zeros((7, 3), np.float32)}
    hostile.write(path, hostile.members(weights=hostile.weights(arrays)))
    error = ask(path)["error"]
    assert error["code"] == "refused" and "\n" not in error["message"]
    assert "cannot be loaded as a Keras model: weights do not fit their layers" in error["message"]
    assert "(7, 3)" in error["message"]


def test_hostile_weights_are_refused_before_keras_reads_them(path: Path) -> None:
    sentence = hostile.a_link_to_another_file(path)
    hostile.write(path, hostile.members(weights=path.read_bytes()))
    assert sentence in ask(path)["error"]["message"]


def test_a_model_that_cannot_answer_is_a_sentence(path: Path) -> None:
    """Its layers fit together on paper; no image passes through them."""
    wrong = hostile.layer("Reshape", name="reshape", target_shape=[7])
    hostile.with_layer(path, wrong)
    message = ask(path)["error"]["message"]
    assert "cannot be" in message and "\n" not in message


# --- Whose file it is -------------------------------------------------------------------------


def run_folder(root: Path, name: str | None = None) -> Path:
    """A folder as a run leaves it, with a model in it."""
    settings = TrainConfig("mnist", "mlp", (3,))
    folder = root / (name or settings.run_id)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(to_dict(settings)))
    (folder / "training.npz").write_bytes(b"")
    hostile.write(folder / "model.keras", hostile.members())
    return folder / "model.keras"


def test_a_network_of_a_run_is_loaded_at_once(tmp_path: Path, attempts: list[Path]) -> None:
    assert loading.load_model(run_folder(tmp_path)).count_params() == 23
    assert attempts == []


@pytest.mark.parametrize("change", ["another name", "no record", "no config", "another file"])
def test_what_only_looks_like_one_is_tried(
    change: str, tmp_path: Path, attempts: list[Path]
) -> None:
    path = run_folder(tmp_path, "mnist-mlp-0123456789" if change == "another name" else None)
    if change == "no record":
        (path.parent / "training.npz").unlink()
    if change == "no config":
        (path.parent / "config.json").write_text("[]")
    if change == "another file":
        path = path.rename(path.with_name("other.keras"))
    loading.load_model(path)
    assert attempts == [path]


def test_even_a_network_of_a_run_is_looked_through(tmp_path: Path, attempts: list[Path]) -> None:
    path = run_folder(tmp_path)
    hostile.a_lambda_with_bytecode(path)
    with pytest.raises(Refused, match="its Lambda"):
        loading.load_model(path)
    assert attempts == []


def test_a_trusted_file_is_not_tried_but_safe_mode_stays(path: Path, attempts: list[Path]) -> None:
    hostile.write(path, hostile.members())
    loading.load_model(path, trusted=True)
    hostile.a_lambda_with_bytecode(path)
    with pytest.raises(ValueError, match="cannot be loaded as a Keras model"):
        loading.load_model(path, trusted=True)
    assert attempts == []


# --- Code of the user's, weights of others ----------------------------------------------------

MODULE = """
import keras

def build():
    layers = [keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(2)]
    return keras.Sequential(layers)

def build_wide():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(9)])

def build_nothing():
    return None

def build_unbuilt():
    return keras.Sequential([keras.layers.Dense(3)])

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "models_of_the_user.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "models_of_the_user"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "file.weights.h5"
    file.write_bytes(hostile.weights())
    return file


def test_weights_are_loaded_into_the_users_own_model(module: str, weights: Path) -> None:
    model = loading.model_from_function(f"{module}:build", weights)
    for found, expected in zip(model.get_weights(), hostile.arrays().values(), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("build", "expected package.module:function, got 'build'"),
        ("no_such_package.module:build", "no module no_such_package"),
        ("{module}.deeper:build", "no module models_of_the_user.deeper"),
        ("{module}:missing", "has no missing"),
        ("{module}:number", "is int, not a function"),
        ("{module}:build_nothing", "returned NoneType, not a keras.Model"),
        ("{module}:build_unbuilt", "is not built"),
        ("{module}:build_wide", "weights in .* do not fit the model of"),
    ],
)
def test_what_the_users_function_gets_wrong_is_a_sentence(
    name: str, sentence: str, module: str, weights: Path
) -> None:
    with pytest.raises(ValueError, match=sentence) as raised:
        loading.model_from_function(name.format(module=module), weights)
    assert "\n" not in str(raised.value)


def test_hostile_weights_are_refused_there_too(module: str, weights: Path, tmp_path: Path) -> None:
    sentence = hostile.an_array_in_another_file(weights)
    with pytest.raises(Refused) as refused:
        loading.model_from_function(f"{module}:build", weights)
    assert sentence in str(refused.value)
    with pytest.raises(FileNotFoundError, match="no weights at"):
        loading.model_from_function(f"{module}:build", tmp_path / "none.weights.h5")
    with pytest.raises(ValueError, match="expected a .weights.h5 file"):
        loading.model_from_function(f"{module}:build", tmp_path / "models_of_the_user.py")
