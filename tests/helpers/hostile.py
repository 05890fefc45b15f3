"""Makes `.keras` files and weights that must be refused, beside honest ones; needs no Keras.

Each function of `FILES` and `WEIGHTS` writes one file and returns a part of the sentence that
refuses it.
"""

from __future__ import annotations

import io
import json
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

METADATA, CONFIG, WEIGHTS_NAME = "metadata.json", "config.json", "model.weights.h5"
N_PIXELS, N_HIDDEN, N_CLASSES = 4, 3, 2


# --- Honest files -----------------------------------------------------------------------------


def layer(class_name: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    """As Keras writes a layer."""
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": None,
    }


def config(*more: dict[str, Any]) -> dict[str, Any]:
    """A 4-3-2 network with ReLU, and more layers after it."""
    layers = [
        layer("InputLayer", batch_shape=[None, N_PIXELS], dtype="float32", name="pixels"),
        layer("Dense", name="hidden", units=N_HIDDEN, activation="relu"),
        layer("Dense", name="logits", units=N_CLASSES),
        *more,
    ]
    return layer("Sequential", "keras", name="small", layers=layers)


def arrays() -> dict[str, np.ndarray]:
    """The weights of that network by their place in the file: 1, 2, 3, ..."""
    shapes = {
        "layers/dense/vars/0": (N_PIXELS, N_HIDDEN),
        "layers/dense/vars/1": (N_HIDDEN,),
        "layers/dense_1/vars/0": (N_HIDDEN, N_CLASSES),
        "layers/dense_1/vars/1": (N_CLASSES,),
    }
    count = iter(range(1, 100))
    return {
        name: np.array([next(count) for _ in range(int(np.prod(shape)))], np.float32).reshape(shape)
        for name, shape in shapes.items()
    }


def weights(values: Mapping[str, np.ndarray] | None = None) -> bytes:
    """An HDF5 file of weights."""
    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        for name, value in (arrays() if values is None else values).items():
            root[name] = value
    return file.getvalue()


def members(**instead: bytes) -> list[tuple[str, bytes]]:
    """The three members of an honest file, some of them replaced: metadata, config, weights."""
    metadata = json.dumps({"keras_version": "3.15.1", "date_saved": "2026-11-23@12:00:00"})
    honest = {"metadata": metadata.encode(), "config": json.dumps(config()).encode()}
    honest["weights"] = instead.get("weights") or weights()
    names = {"metadata": METADATA, "config": CONFIG, "weights": WEIGHTS_NAME}
    return [(names[part], instead.get(part, content)) for part, content in honest.items()]


def write(
    path: Path, contents: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED
) -> None:
    """A zip, whatever the names."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of a name that comes twice
        for name, content in contents:
            archive.writestr(name, content)


def with_layer(path: Path, one: Any) -> None:
    """An honest file but for one more layer."""
    write(path, members(config=json.dumps(config(one)).encode()))


# --- Hostile files ----------------------------------------------------------------------------

FILES: dict[str, Callable[[Path], str]] = {}
WEIGHTS: dict[str, Callable[[Path], str]] = {}


def hostile(kind: dict[str, Callable[[Path], str]]) -> Callable[[Any], Any]:
    def add(function: Callable[[Path], str]) -> Callable[[Path], str]:
        kind[function.__name__] = function
        return function

    return add


@hostile(FILES)
def truncated(path: Path) -> str:
    write(path, members())
    path.write_bytes(path.read_bytes()[:-30])
    return "cut short"


@hostile(FILES)
def empty(path: Path) -> str:
    path.write_bytes(b"")
    return "cut short"


@hostile(FILES)
def begins_like_a_zip(path: Path) -> str:
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    return "cut short"


@hostile(FILES)
def a_bit_has_flipped(path: Path) -> str:
    write(path, members())
    content = bytearray(path.read_bytes())
    content[content.index(b'"relu"') + 1] ^= 1
    path.write_bytes(content)
    return "'config.json' is damaged"


@hostile(FILES)
def without_weights(path: Path) -> str:
    write(path, members()[:2])
    return "holds no 'model.weights.h5'"


@hostile(FILES)
def twice_the_config(path: Path) -> str:
    write(path, [*members(), (CONFIG, b"{}")])
    return "holds 'config.json' 2 times"


@hostile(FILES)
def escaping(path: Path) -> str:
    write(path, [*members(), ("../../escaped.txt", b"gone")])
    return "'../../escaped.txt' leads out of the file"


@hostile(FILES)
def absolute(path: Path) -> str:
    write(path, [*members(), ("/escaped.txt", b"gone")])
    return "'/escaped.txt' leads out of the file"


@hostile(FILES)
def to_another_drive(path: Path) -> str:
    write(path, [*members(), ("C:\\escaped.txt", b"gone")])
    return "leads out of the file"


@hostile(FILES)
def with_an_asset(path: Path) -> str:
    write(path, [*members(), ("assets/vocabulary.txt", b"words")])
    return "it holds 'assets/vocabulary.txt'"


@hostile(FILES)
def an_archive_within(path: Path) -> str:
    write(path, [*members(), ("inner.zip", b"PK\x05\x06" + bytes(18))])
    return "another archive, 'inner.zip'"


@hostile(FILES)
def weights_that_are_an_archive(path: Path) -> str:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a", b"b")
    write(path, members(weights=inner.getvalue()))
    return "'model.weights.h5' is another archive"


@hostile(FILES)
def weights_that_do_not_unpack(path: Path) -> str:
    write(path, members(), zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(WEIGHTS_NAME).header_offset + 30 + len(WEIGHTS_NAME)
    content = bytearray(path.read_bytes())
    content[start : start + 20] = b"\xff" * 20  # no such kind of block
    path.write_bytes(content)
    return "'model.weights.h5' is damaged"


@hostile(FILES)
def weights_of_another_kind(path: Path) -> str:
    write(path, members(weights=b"\x93NUMPY" + bytes(100)))
    return "'model.weights.h5' is not an HDF5 file"


@hostile(FILES)
def a_link(path: Path) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members():
            info = zipfile.ZipInfo(name)
            if name == CONFIG:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
    return "'config.json' is a link"


def _change_directory(path: Path, name: str, offset: int, form: str, value: int) -> None:
    """Changes a field of a member's entry in the zip's directory."""
    content = bytearray(path.read_bytes())
    at = content.index(name.encode(), content.index(b"PK\x01\x02")) - 46
    struct.pack_into(form, content, at + offset, value)
    path.write_bytes(content)


@hostile(FILES)
def encrypted(path: Path) -> str:
    write(path, members())
    _change_directory(path, CONFIG, 8, "<H", 1)
    return "'config.json' is encrypted"


@hostile(FILES)
def declared_huge(path: Path) -> str:
    write(path, members())
    _change_directory(path, WEIGHTS_NAME, 24, "<I", 0xFFFF_FFF0)
    return "'model.weights.h5' unpacks to 4,294,967,280 bytes"


@hostile(FILES)
def unpacks_a_thousandfold(path: Path) -> str:
    bomb = json.dumps(config()).encode() + b" " * 10_000_000
    write(path, members(config=bomb), zipfile.ZIP_DEFLATED)
    return "'config.json' unpacks to 10,00"


@hostile(FILES)
def large_metadata(path: Path) -> str:
    write(path, members(metadata=b'{"keras_version": "' + b"3" * 70_000 + b'"}'))
    return "'metadata.json' declares 70,0"


@hostile(FILES)
def overlapping(path: Path) -> str:
    write(path, members())
    _change_directory(path, WEIGHTS_NAME, 20, "<I", path.stat().st_size)
    return "its members overlap"


@hostile(FILES)
def nested_beyond_reading(path: Path) -> str:
    write(path, members(config=b"[" * 100_000 + b"]" * 100_000))
    return "'config.json' is nested too deeply"


@hostile(FILES)
def nested_deeply(path: Path) -> str:
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    with_layer(path, deep)
    return "nested more than 100 levels deep"


@hostile(FILES)
def no_json(path: Path) -> str:
    write(path, members(config=b"import os"))
    return "'config.json' is not JSON"


@hostile(FILES)
def no_version(path: Path) -> str:
    write(path, members(metadata=b"[]"))
    return "no keras_version in metadata.json"


@hostile(FILES)
def no_model(path: Path) -> str:
    write(path, members(config=b'["Dense"]'))
    return "no model in config.json"


@hostile(FILES)
def a_lambda_with_bytecode(path: Path) -> str:
    bytecode = {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}
    with_layer(path, layer("Lambda", name="harmless", function=bytecode))
    return "its Lambda ('harmless') holds a function"


@hostile(FILES)
def bytecode_as_activation(path: Path) -> str:
    bytecode = {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}
    with_layer(path, layer("Dense", name="dense", units=2, activation=bytecode))
    return "its __lambda__ holds the bytecode"


@hostile(FILES)
def a_lambda_two_models_down(path: Path) -> str:
    inner = layer("Sequential", "keras", layers=[layer("Lambda", name="deep")])
    with_layer(path, layer("TimeDistributed", name="times", layer=inner))
    return "its Lambda ('deep')"


@hostile(FILES)
def a_pickled_module(path: Path) -> str:
    with_layer(path, layer("TorchModuleWrapper", name="torch", module="gASV"))
    return "unpickles a PyTorch module"


@hostile(FILES)
def a_saved_program(path: Path) -> str:
    with_layer(path, layer("TFSMLayer", name="saved", filepath="/elsewhere"))
    return "runs a TensorFlow program"


@hostile(FILES)
def reads_other_files(path: Path) -> str:
    with_layer(path, layer("StringLookup", name="words", vocabulary="/etc/passwd"))
    return "may read other files"


@hostile(FILES)
def a_function_of_the_system(path: Path) -> str:
    function = {"module": "os", "class_name": "function", "config": "system"}
    with_layer(path, layer("Activation", name="shell", activation=function))
    return "'system' is not of Keras"


@hostile(FILES)
def a_function_that_loads(path: Path) -> str:
    function = {"module": "keras.utils", "class_name": "function", "config": "get_file"}
    with_layer(path, layer("Activation", name="fetch", activation=function))
    return "'get_file' is not of Keras"


@hostile(FILES)
def a_class_of_another_package(path: Path) -> str:
    with_layer(path, layer("Popen", "subprocess", args="true"))
    return "its Popen of subprocess is not among the classes"


@hostile(FILES)
def a_class_in_the_depths_of_keras(path: Path) -> str:
    with_layer(path, layer("Dense", "keras.src.layers.core.lambda_layer", name="no"))
    return "its Dense ('no') of keras.src.layers.core.lambda_layer"


@hostile(FILES)
def a_control_flow_operation(path: Path) -> str:
    with_layer(path, layer("WhileLoop", "keras.src.ops.core", cond="a", body="b"))
    return "its WhileLoop of keras.src.ops.core"


@hostile(FILES)
def registered_by_others(path: Path) -> str:
    with_layer(path, layer("Dense", name="d", units=2) | {"registered_name": "evil>Dense"})
    return "registered by others, as 'evil>Dense'"


@hostile(FILES)
def registered_as_ours(path: Path) -> str:
    with_layer(path, layer("Lambda", name="d") | {"registered_name": "repro>AblationMask"})
    return "is registered as repro>AblationMask"


@hostile(FILES)
def registered_under_a_list(path: Path) -> str:
    with_layer(path, layer("Dense", name="d", units=2) | {"registered_name": ["Dense"]})
    return "registered under something that is no name"


@hostile(FILES)
def without_a_module(path: Path) -> str:
    with_layer(path, {"class_name": "Dense", "config": {"units": 2}})
    return "does not say which module"


@hostile(FILES)
def a_class_that_is_a_number(path: Path) -> str:
    with_layer(path, layer("Dense", name="d") | {"class_name": 7})
    return "names a class by int"


@hostile(FILES)
def code_where_a_nested_model_is_compiled(path: Path) -> str:
    nested = layer("Sequential", "keras", name="nested", layers=[])
    loss = {"module": "builtins", "class_name": "function", "config": "evil_loss"}
    with_layer(path, nested | {"compile_config": {"loss": loss}})
    return "'evil_loss' is not of Keras"


# --- Hostile weights --------------------------------------------------------------------------


def _hdf5(path: Path, change: Callable[[Any], None]) -> None:
    path.write_bytes(weights())
    with h5py.File(path, "a") as root:
        change(root)


@hostile(WEIGHTS)
def a_link_to_another_file(path: Path) -> str:
    def change(root: Any) -> None:
        root["layers/dense/vars/2"] = h5py.ExternalLink("/elsewhere.h5", "/data")

    _hdf5(path, change)
    return "hold a link, '2'"


@hostile(WEIGHTS)
def a_link_within(path: Path) -> str:
    def change(root: Any) -> None:
        root["again"] = h5py.SoftLink("/layers")

    _hdf5(path, change)
    return "hold a link, 'again'"


@hostile(WEIGHTS)
def an_array_in_another_file(path: Path) -> str:
    def change(root: Any) -> None:
        root.create_dataset("raw", (4,), "float32", external=[("/etc/passwd", 0, 16)])

    _hdf5(path, change)
    return "'/raw' lie in another file"


@hostile(WEIGHTS)
def an_array_out_of_others(path: Path) -> str:
    def change(root: Any) -> None:
        layout = h5py.VirtualLayout((4,), "float32")
        layout[:] = h5py.VirtualSource("/elsewhere.h5", "data", (4,))
        root.create_virtual_dataset("virtual", layout)

    _hdf5(path, change)
    return "'/virtual' lie in another file"


@hostile(WEIGHTS)
def an_array_of_nothing(path: Path) -> str:
    def change(root: Any) -> None:
        root.create_dataset("bomb", (1 << 20, 1 << 10), "float32", chunks=(1 << 10, 1 << 10))

    _hdf5(path, change)
    return "'/bomb' declare 4,294,967,296 bytes and hold 0"


@hostile(WEIGHTS)
def texts(path: Path) -> str:
    def change(root: Any) -> None:
        root["texts"] = ["a", "b"]

    _hdf5(path, change)
    return "'/texts' are no numbers"


@hostile(WEIGHTS)
def a_type(path: Path) -> str:
    def change(root: Any) -> None:
        root["type"] = np.dtype("float32")

    _hdf5(path, change)
    return "hold 'type', which is no array"


@hostile(WEIGHTS)
def half_an_hdf5_file(path: Path) -> str:
    content = weights()
    path.write_bytes(content[: len(content) // 2])
    return "not a complete HDF5 file"
