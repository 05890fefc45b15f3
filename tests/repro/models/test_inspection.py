"""Files are looked through before Keras reads them: hostile ones refused, honest ones let in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from repro.models import inspection
from repro.models.inspection import REMEDY, Refused
from tests.helpers import hostile

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.keras"


# --- What is let in ---------------------------------------------------------------------------


def test_an_honest_file_is_let_in_and_described(path: Path) -> None:
    hostile.write(path, hostile.members())
    found = inspection.inspect(path)
    assert found.keras_version == "3.15.1"
    assert found.classes == {"Sequential": 1, "InputLayer": 1, "Dense": 2}
    assert found.weights_bytes == len(hostile.weights())
    inspection.check_weights_of(path)


def test_masks_operations_and_functions_of_keras_are_let_in(path: Path) -> None:
    mask = hostile.layer("AblationMask", "repro.models.masking", name="hidden_mask")
    add = hostile.layer("Add", "keras.src.ops.numpy", name="add") | {"registered_name": "Add"}
    gelu = {"module": "builtins", "class_name": "function", "config": "gelu"}
    within = hostile.layer("Activation", name="gelu", activation=gelu | {"registered_name": "gelu"})
    config = hostile.config(mask | {"registered_name": "repro>AblationMask"}, add, within)
    hostile.write(path, hostile.members(config=json.dumps(config).encode()))
    assert inspection.inspect(path).classes["AblationMask"] == 1


def test_what_the_model_was_compiled_with_does_not_matter(path: Path) -> None:
    """Keras is told not to read it, so a loss of the author's own hinders nobody."""
    loss = {"module": "builtins", "class_name": "function", "config": "my_loss"}
    config = hostile.config() | {"compile_config": {"loss": loss}}
    hostile.write(path, hostile.members(config=json.dumps(config).encode()))
    inspection.inspect(path)


def test_compressed_members_are_let_in(path: Path) -> None:
    hostile.write(path, hostile.members(), compression=8)
    inspection.inspect(path)
    inspection.check_weights_of(path)


# --- What is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile.FILES)
def test_a_hostile_file_is_refused_in_a_sentence(name: str, path: Path) -> None:
    sentence = hostile.FILES[name](path)
    with pytest.raises(Refused) as refused:
        inspection.inspect(path)
    message = str(refused.value)
    assert sentence in message and str(path) in message and "\n" not in message
    damaged = "not a complete .keras file" in message or "cannot be loaded" in message
    assert damaged or message.endswith(REMEDY)


@pytest.mark.parametrize("name", hostile.WEIGHTS)
def test_hostile_weights_are_refused_alone_and_within_a_model(name: str, path: Path) -> None:
    weights = path.with_name("file.weights.h5")
    sentence = hostile.WEIGHTS[name](weights)
    with pytest.raises(Refused, match="weights") as refused:
        inspection.check_weights(weights, weights)
    assert sentence in str(refused.value)
    hostile.write(path, hostile.members(weights=weights.read_bytes()))
    with pytest.raises(Refused, match="weights") as refused:
        inspection.check_weights_of(path)
    assert sentence in str(refused.value) and str(path) in str(refused.value)


def test_a_loop_in_the_weights_ends(tmp_path: Path) -> None:
    weights = tmp_path / "file.weights.h5"
    weights.write_bytes(hostile.weights())
    with h5py.File(weights, "a") as root:
        root["layers/above"] = root["layers"]
    inspection.check_weights(weights, weights)


def test_nothing_is_written_by_looking(path: Path) -> None:
    hostile.escaping(path)
    before = sorted(p for p in path.parents[1].rglob("*"))
    with pytest.raises(Refused):
        inspection.inspect(path)
    assert sorted(p for p in path.parents[1].rglob("*")) == before


def test_a_missing_file_and_one_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no model at"):
        inspection.inspect(tmp_path / "none.keras")
    (tmp_path / "model.h5").write_bytes(b"anything")
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "folder.keras").mkdir()
    for name in ("model.h5", "saved_model", "folder.keras"):
        with pytest.raises(Refused, match=f"expected a .keras file, got .*{name}: load") as refused:
            inspection.inspect(tmp_path / name)
        saved_as = f".save('{name.split('.')[0]}.keras')"
        assert saved_as in str(refused.value) and str(refused.value).endswith(REMEDY)


@pytest.mark.parametrize("version", ["2.15.0", "3.9.2", "3.15.0", "3.15.0rc1"])
def test_versions_of_keras_that_load_code_are_refused(version: str) -> None:
    with pytest.raises(RuntimeError, match=f"Keras {version} loads malicious models"):
        inspection.check_keras(version)


@pytest.mark.parametrize("version", ["3.15.1", "3.16.0", "4.0", "3.15.1.dev20261123"])
def test_later_versions_are_not(version: str) -> None:
    inspection.check_keras(version)


def test_looking_loads_neither_keras_nor_a_backend(path: Path) -> None:
    hostile.write(path, hostile.members())
    probe = (
        "import sys; from repro.models import inspection; inspection.inspect(sys.argv[1]); "
        "inspection.check_weights_of(sys.argv[1]); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, str(path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "h5py" in loaded and not loaded & {"keras", "tensorflow", "jax"}
