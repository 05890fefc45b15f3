"""Files that hold a model in another form, or classes of the user's own: the cure works."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import repro
from repro.models import inspection, trial
from repro.models.inspection import Refused
from tests.helpers.small import answers, legacy_h5, network


@keras.saving.register_keras_serializable("test_model_files")
class Scale(L.Layer):
    def call(self, x: Any) -> Any:
        return 2 * x


class Unregistered(L.Layer):
    def call(self, x: Any) -> Any:
        return 3 * x


@keras.saving.register_keras_serializable("test_model_files")
def wave(x: Any) -> Any:
    return ops.sin(x)


def curve(x: Any) -> Any:
    return ops.maximum(x, 0.01 * x)


def refused(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        repro.load_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def run(calls: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sentence tells to call, in the folder of the file."""
    monkeypatch.chdir(folder)
    exec(calls, {"keras": keras})  # noqa: S102


@pytest.fixture(autouse=True)
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "attempt", lambda path: None)  # its process is tried in test_trial


# --- keras#19151, keras#19441: other kinds of file ---------------------------------------------


@pytest.mark.parametrize("keras_2", [True, False])
def test_an_h5_file_is_saved_anew_by_the_call_that_is_named(
    keras_2: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """keras#19151."""
    model, path = network(), tmp_path / "old.h5"
    if keras_2:
        legacy_h5(model, path)
    else:
        monkeypatch.setattr("absl.logging.warning", lambda *_: None)  # of the old form
        model.save(path)
    said = refused(path)
    calls = "keras.models.load_model('old.h5', compile=False).save('old.keras')"
    assert f"load it where you trust it, {calls}" in said and said.endswith(inspection.REMEDY)
    run(calls, tmp_path, monkeypatch)
    loaded = repro.load_model(tmp_path / "old.keras")
    np.testing.assert_array_equal(answers(loaded), answers(model))


def test_an_h5_file_under_the_name_of_another_is_renamed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = network(), tmp_path / "old.keras"
    legacy_h5(model, path)
    said = refused(path)
    calls = "keras.models.load_model('old.h5', compile=False).save('old.keras')"
    assert f"rename it to old.h5, and where you trust it, {calls}" in said
    path.rename(tmp_path / "old.h5")
    run(calls, tmp_path, monkeypatch)
    np.testing.assert_array_equal(answers(repro.load_model(path)), answers(model))


def build() -> Any:
    return network()


def test_a_file_of_weights_needs_a_function_that_builds_the_layers(tmp_path: Path) -> None:
    """keras#19441: advice to save `w.weights.keras` was no cure."""
    model, path = network(), tmp_path / "w.weights.h5"
    model.save_weights(path)
    said = refused(path)
    assert "--model-fn package.module:build --weights w.weights.h5" in said
    assert "repro.model_from_function('package.module:build', 'w.weights.h5')" in said
    assert ".weights.keras" not in said
    loaded = repro.model_from_function("tests.repro.models.test_keras_file:build", path)
    np.testing.assert_array_equal(answers(loaded), answers(model))


def test_an_h5_file_of_weights_alone_is_told_from_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import h5py

    model, path = network(), tmp_path / "only.h5"
    legacy_h5(model, path)
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
        for name in ("layer_names", "keras_version", "backend"):
            file.attrs[name] = file["model_weights"].attrs[name]
        for name in list(file["model_weights"]):
            file.move(f"model_weights/{name}", name)
        del file["model_weights"]
    said = refused(path)
    assert "model.load_weights('only.h5') and model.save('only.keras')" in said
    monkeypatch.chdir(tmp_path)
    other = network("other")
    other.set_weights([0 * weight for weight in other.get_weights()])
    other.load_weights("only.h5")
    other.save("only.keras")
    np.testing.assert_array_equal(answers(repro.load_model("only.keras")), answers(model))


@pytest.mark.parametrize("keras_2", [True, False])
def test_a_saved_model_is_told_by_who_wrote_it(keras_2: bool, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"anything")
    if keras_2:
        (folder / "keras_metadata.pb").write_bytes(b"anything")
    said = refused(folder)
    if keras_2:
        assert "tf_keras.models.load_model('served', compile=False).save('served.h5')" in said
        assert "load_model('served.h5', compile=False).save('served.keras')" in said
    else:
        assert "holds a program and no layers" in said and "model.save('served.keras')" in said


def test_what_model_export_writes_is_told(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the format of TensorFlow")
    network().export(tmp_path / "served", verbose=False)
    assert "as of model.export, which holds a program and no layers" in refused(tmp_path / "served")


def test_models_of_other_libraries_are_told(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"anything")
    assert "which is no model of Keras: build its layers with Keras" in refused(tmp_path / "net.pt")


# --- aggreen/MTB-CNN#2: a .keras file of Keras 2 -----------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
def test_a_keras_file_of_keras_2_is_told_as_such(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aggreen/MTB-CNN#2."""
    model, path = network(), tmp_path / "old.keras"
    model.save(path)
    changed(path, inspection.METADATA, lambda metadata: {**metadata, "keras_version": "2.15.0"})
    with pytest.raises(Refused, match=r"was written by Keras 2.15.0 \(tf_keras\)") as caught:
        repro.load_model(path, trusted=trusted)
    said = str(caught.value)
    assert "tf_keras.models.load_model('old.keras', compile=False).save('old.h5')" in said
    calls = "keras.models.load_model('old.h5', compile=False).save('old-3.keras')"
    assert calls in said
    legacy_h5(model, tmp_path / "old.h5")  # as tf_keras writes it
    run(calls, tmp_path, monkeypatch)
    loaded = repro.load_model(tmp_path / "old-3.keras")
    np.testing.assert_array_equal(answers(loaded), answers(model))


def changed(path: Path, member: str, change: Any) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = json.dumps(change(json.loads(members[member]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


# --- keras-vis#151, keras#4596: classes and functions of the user's own ------------------------


def saved(layer: Any, path: Path) -> Any:
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(5, "relu"), layer, L.Dense(3)], name="with_own"
    )
    model.save(path)
    return model


REGISTERED: list[tuple[Any, str]] = [
    (
        lambda: Scale(name="scale"),
        "its Scale ('scale') is registered by others, as 'test_model_fil",
    ),
    (
        lambda: L.Dense(5, activation=wave),
        "'test_model_files>wave' is not of Keras: if it is a fun",
    ),
]


@pytest.mark.parametrize("number", range(len(REGISTERED)))
def test_a_registered_class_or_function_is_loaded_from_a_trusted_file(
    number: int, tmp_path: Path
) -> None:
    """keras-vis#151, keras#4596."""
    layer, words = REGISTERED[number]
    path = tmp_path / "own.keras"
    model = saved(layer(), path)
    said = refused(path)
    assert words in said
    assert (
        "import the module that registers it and call repro.load_model(path, trusted=True)" in said
    )
    assert said.endswith(inspection.REMEDY)
    loaded = repro.load_model(path, trusted=True)
    np.testing.assert_array_equal(answers(loaded), answers(model))


UNREGISTERED: list[tuple[Any, str, Any]] = [
    (lambda: Unregistered(name="own"), "Unregistered", Unregistered),
    (lambda: L.Dense(5, activation=curve), "curve", curve),
]


@pytest.mark.parametrize("number", range(len(UNREGISTERED)))
def test_a_class_or_function_that_nothing_registered_is_named_to_keras(
    number: int, tmp_path: Path
) -> None:
    layer, name, own = UNREGISTERED[number]
    path = tmp_path / "own.keras"
    model = saved(layer(), path)
    said = refused(path)
    cure = f"keras.saving.get_custom_objects()['{name}'] = {name}"
    assert f"{cure} and call repro.load_model(path, trusted=True)" in said
    with pytest.raises(ValueError, match=f"Keras does not know the .* '{name}'; import the module"):
        repro.load_model(path, trusted=True)
    try:
        exec(cure, {"keras": keras, name: own})  # noqa: S102
        loaded = repro.load_model(path, trusted=True)
    finally:
        keras.saving.get_custom_objects().pop(name, None)
    np.testing.assert_array_equal(answers(loaded), answers(model))


def test_classes_of_other_packages_are_not_advised_to_be_trusted(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    saved(Scale(name="scale"), path)

    def of_a_room(module: str) -> Any:
        def change(config: Any) -> Any:
            layer = config["config"]["layers"][2]
            layer.update(module=module, registered_name=None)
            return config

        return change

    changed(path, inspection.CONFIG, of_a_room("keras_hub.layers"))
    assert "with keras_hub installed, call repro.load_model(path, trusted=True)" in refused(path)
    changed(path, inspection.CONFIG, of_a_room("subprocess"))
    assert "trusted" not in refused(path)
