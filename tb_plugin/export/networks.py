"""Weights and images of small networks for the lab of a static copy, read without Keras.

A browser can run a chain of dense layers with ReLU. A `.keras` file is a zip with the layers as
JSON and the weights as HDF5: nothing in it is run. Images lie beside it, as
`repro.study.lab_session` says.
"""

import base64
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tb_plugin.lab.images import MOST_IMAGES, stratified

MOST_BYTES = 256_000_000  # of a file's weights; a larger network is no small one
MOST_WEIGHTS = 5_000_000  # in half precision 10 MB, which a page can load
# Layers that do nothing to an answer.
IDLE = ("InputLayer", "Flatten", "Dropout")


class NetworkError(Exception):
    """Why a browser cannot run this network; the text is a sentence without its full stop."""


@dataclass(frozen=True)
class Dense:
    """A dense layer.

    kernel: float32 (inputs, units). bias: float32 (units,).
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Network:
    """A chain of dense layers, ReLU and a mask after each but the last.

    shape: of one image. scale, offset: the network computes scale * image + offset first.
    """

    layers: list[Dense]
    shape: tuple[int, ...]
    scale: float
    offset: float


@dataclass(frozen=True)
class Images:
    """Images for a network.

    pixels: uint8 or float32 (n_images, ...). labels, truth: int (n_images,), what the network shall
    answer, and the true classes. names: of the classes, or none. source: where they come from.
    """

    pixels: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    names: list[str]
    source: str


def read_network(path: Path) -> Network:
    """The layers of a `.keras` file.

    Raises:
        NetworkError: it cannot be read, or is more than a chain of dense layers with masks.
    """
    import h5py  # Keras's own reader of weights

    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(_bytes(archive, "config.json", 10_000_000))
            weights = _bytes(archive, "model.weights.h5", MOST_BYTES)
        with h5py.File(io.BytesIO(weights), "r") as file:
            return _network(_chain(config), file)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise NetworkError(f"its file cannot be read ({type(error).__name__})") from None


def read_images(file: Path) -> Images:
    """The images of a `.npz` file.

    Raises:
        NetworkError: it cannot be read.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            pixels, labels = stored["images"], stored["labels"].astype(np.int64)
            truth = stored["truth"].astype(np.int64) if "truth" in stored else labels
            names = [str(name) for name in stored["class_names"]] if "class_names" in stored else []
            source = str(stored["source"]) if "source" in stored else file.name
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise NetworkError(f"{file.name} cannot be read ({type(error).__name__})") from None
    alike = labels.shape == truth.shape == (len(pixels),) if pixels.ndim else False
    if pixels.dtype.kind not in "buif" or not alike or not len(pixels):
        raise NetworkError(f"{file.name} does not hold images with a label each")
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
    return Images(pixels, labels, truth, names, source)


def stored_network(network: Network, sha256: str) -> dict[str, Any]:
    """The data file of a network, without what it is asked on.

    Args:
        sha256: of the model's file.

    Raises:
        NetworkError: its numbers do not fit into half precision.
    """
    layers = []
    for place, layer in enumerate(network.layers):
        kernel, bias = layer.kernel.astype(np.float64), layer.bias.astype(np.float64)
        if place == 0:  # the scaling of pixels becomes part of the first layer
            bias = bias + network.offset * kernel.sum(axis=0)
            kernel = network.scale * kernel
        layers.append(
            {
                "name": layer.name,
                "units": len(bias),
                "relu": place < len(network.layers) - 1,
                "kernel": _half(kernel),
                "bias": base64.b64encode(bias.astype("<f4").tobytes()).decode(),
            }
        )
    return {"sha256": sha256, "layers": layers}


def stored_images(network: Network, images: Images) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The data file of the images that a page asks a network on, and how it is asked.

    Returns:
        name and content of the file; its name with the labels, for the network's own file.

    Raises:
        NetworkError: the images or labels do not fit the network.
    """
    n_classes = len(network.layers[-1].bias)
    kept = stratified(images.truth, MOST_IMAGES)
    pixels, labels, truth = images.pixels[kept], images.labels[kept], images.truth[kept]
    if pixels.shape[1:] != network.shape:
        raise NetworkError(f"its images are of shape {pixels.shape[1:]}, not {network.shape}")
    if min(labels.min(), truth.min()) < 0 or max(labels.max(), truth.max()) >= n_classes:
        raise NetworkError(f"its {n_classes} classes do not fit the labels of its images")
    scaled = pixels.dtype == np.uint8
    raw = pixels.tobytes() if scaled else pixels.astype("<f4").tobytes()
    sha256 = hashlib.sha256(raw).hexdigest()
    file = f"lab/images-{sha256[:16]}"
    content = {
        "shape": list(network.shape),
        "scaled": scaled,
        "pixels": base64.b64encode(raw).decode(),
        "sha256": sha256,
    }
    asked = {
        "images": file,
        "labels": labels.tolist(),
        "truth": truth.tolist(),
        "classes": [images.names[c] if c < len(images.names) else str(c) for c in range(n_classes)],
        "source": images.source,
    }
    return file, content, asked


def _half(values: np.ndarray) -> str:
    """Base64 of float16, little-endian."""
    with np.errstate(over="ignore"):
        half = values.astype("<f2")
    if not np.all(np.isfinite(half)):
        raise NetworkError("its weights do not fit into half precision")
    return base64.b64encode(half.tobytes()).decode()


def _bytes(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A member of a zip, which may not be larger than it should be."""
    with archive.open(name) as member:
        content = member.read(most + 1)
    if len(content) > most:
        raise NetworkError("it is too large for a page")
    return content


def _chain(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The layers of a Sequential model, or of a functional one in which each has one input, the
    layer before it."""
    layers = config["config"]["layers"]
    if config["class_name"] == "Sequential":
        return layers
    if config["class_name"] != "Functional":
        raise NetworkError("it is neither a Sequential nor a functional model")
    for before, layer in zip([None, *layers[:-1]], layers, strict=True):
        asked = set(re.findall(r'"keras_history": \["([^"]*)"', json.dumps(layer["inbound_nodes"])))
        if asked != ({before["config"]["name"]} if before else set()):
            raise NetworkError("its layers do not stand in one chain")
    return layers


def _network(chain: Sequence[Mapping[str, Any]], file: Any) -> Network:
    """The dense layers of a chain, with their weights."""
    layers: list[Dense] = []
    shape: tuple[int, ...] = ()
    scale, offset = 1.0, 0.0
    counts: dict[str, int] = {}
    masked, last_activation = 0, "linear"
    for layer in chain:
        kind, settings = layer["class_name"], layer["config"]
        folder = _folder(kind, counts)
        if kind == "InputLayer":
            shape = tuple(settings["batch_shape"][1:])
        elif kind == "Rescaling" and not layers:
            scale, offset = float(settings["scale"]), float(settings["offset"])
        elif kind == "Dense":
            if masked != len(layers):
                raise NetworkError(f"its layer {layers[-1].name} has no mask")
            layers.append(_dense(settings, file, folder))
            last_activation = settings["activation"]
        elif kind == "AblationMask" and layers and masked == len(layers) - 1:
            if last_activation != "relu":
                raise NetworkError(f"its layer {layers[-1].name} is no ReLU")
            masked += 1
            _check_mask(file, folder)
        elif kind not in IDLE:
            raise NetworkError(f"a browser cannot compute its layer {settings['name']} ({kind})")
    if not masked or masked != len(layers) - 1 or last_activation not in ("linear", "softmax"):
        raise NetworkError("it is no chain of masked layers that ends in one answer for each class")
    if sum(layer.kernel.size for layer in layers) > MOST_WEIGHTS:
        raise NetworkError(f"it has more than {MOST_WEIGHTS:,} weights")
    if None in shape or layers[0].kernel.shape[0] != int(np.prod(shape)):
        raise NetworkError("its images have no fixed size")
    return Network(layers, shape, scale, offset)


def _folder(kind: str, counts: dict[str, int]) -> str:
    """Where Keras stores the weights of the next layer of a class: "dense", then "dense_1"."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    number = counts[name] = counts.get(name, -1) + 1
    return f"layers/{name}_{number}" if number else f"layers/{name}"


def _dense(settings: Mapping[str, Any], file: Any, folder: str) -> Dense:
    units = settings["units"]
    kernel = _array(file, f"{folder}/vars/0")
    bias = _array(file, f"{folder}/vars/1") if settings["use_bias"] else np.zeros(units, np.float32)
    if kernel.ndim != 2 or kernel.shape[1] != units or bias.shape != (units,):
        raise NetworkError("its weights are not of the shapes that it declares")
    return Dense(str(settings["name"]), kernel, bias)


def _check_mask(file: Any, folder: str) -> None:
    if not np.all(_array(file, f"{folder}/vars/0") == 1):
        raise NetworkError("units of it are deleted already")


def _array(file: Any, path: str) -> np.ndarray:
    """An array of a HDF5 file that lies in this very file: a link could lead to any other."""
    import h5py

    group = file
    for part in path.split("/"):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise KeyError(path)
        group = group[part]
    if group.external or group.is_virtual or group.dtype.kind != "f" or group.size > MOST_WEIGHTS:
        raise ValueError(path)
    return np.asarray(group, np.float32)
