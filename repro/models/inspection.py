"""Looks into a `.keras` file before Keras does, and says what must not be loaded.

A `.keras` file is a zip of three members: `metadata.json`, `config.json` (layers and how they are
joined) and `model.weights.h5`. `inspect` reads it with the standard library alone and refuses

- members other than those three, twice the same, encrypted, or leading out of the file;
- sizes that are too large, and members that grow too much when they are unpacked;
- JSON that is nested too deeply;
- every class that is not on the list below: a Lambda with bytecode, layers that wrap code of other
  libraries or read files, and classes of packages other than Keras and this one.

`check_weights` looks through the weights with h5py: no links, no data in other files, no array
that declares far more than it holds. Neither runs anything of the file; `trial` does, in a process
of its own. What remains is trust in the JSON, zip and HDF5 readers, and in Keras's own layers.
"""

from __future__ import annotations

import itertools
import json
import math
import stat
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

LEAST_KERAS = (3, 15, 1)

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
# For comparison: the config of ResNet-152 takes 0.5 MB.
_LARGEST = {METADATA: 1 << 16, CONFIG: 1 << 24, WEIGHTS: 1 << 33}
# Keras stores without compression; deflate rarely halves float weights, and JSON shrinks tenfold.
_MOST_EXPANSION = 100
_DEEPEST = 100
_MOST_OBJECTS = 200_000
# HDF5 arrays smaller than this may consist of fill values only.
_SMALL_ARRAY = 1 << 26

REMEDY = (
    "To use its weights with code of your own: --model-fn package.module:build "
    "--weights file.weights.h5, or repro.models.model_from_function in Python"
)

_LAYERS = """
    Activation ELU LeakyReLU PReLU ReLU Softmax InputLayer Dense EinsumDense Embedding Identity
    Masking Flatten Permute RepeatVector Reshape
    Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose
    DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D
    AveragePooling1D AveragePooling2D AveragePooling3D MaxPooling1D MaxPooling2D MaxPooling3D
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D
    Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D
    ZeroPadding1D ZeroPadding2D ZeroPadding3D
    Add Average Concatenate Dot Maximum Minimum Multiply Subtract
    BatchNormalization GroupNormalization LayerNormalization RMSNormalization UnitNormalization
    SpectralNormalization Normalization Rescaling Resizing CenterCrop
    AdditiveAttention Attention GroupQueryAttention MultiHeadAttention
    ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise
    SpatialDropout1D SpatialDropout2D SpatialDropout3D
    RandomBrightness RandomContrast RandomCrop RandomFlip RandomRotation RandomTranslation
    RandomZoom
    AugMix AutoContrast ContrastLimitedAdaptiveHistogramEqualization CutMix MixUp
    RandAugment RandomColorDegeneration RandomColorJitter RandomElasticTransform RandomErasing
    RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization
    RandomSaturation RandomSharpness RandomShear Solarization
    CategoryEncoding MelSpectrogram STFTSpectrogram ReversibleEmbedding
    Bidirectional ConvLSTM1D ConvLSTM2D ConvLSTM3D GRU GRUCell LSTM LSTMCell RNN SimpleRNN
    SimpleRNNCell StackedRNNCells TimeDistributed
"""
_INITIALIZERS = """
    Constant Identity Ones Zeros GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal
    LecunUniform Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal
    VarianceScaling
"""
_ACTIVATIONS = """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh
    leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax
    softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink
    threshold
"""
# How nested models were compiled: Keras compiles them again when it loads them.
_OPTIMIZERS = """
    Adadelta Adafactor Adagrad Adam Adamax AdamW Ftrl Lamb Lion LossScaleOptimizer Nadam RMSprop SGD
"""
_SCHEDULES = "CosineDecay ExponentialDecay InverseTimeDecay PiecewiseConstantDecay PolynomialDecay"
_LOSSES = """
    BinaryCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge Hinge
    Huber KLDivergence LogCosh MeanAbsoluteError MeanSquaredError SparseCategoricalCrossentropy
    SquaredHinge
"""
_METRICS = """
    Accuracy AUC BinaryAccuracy CategoricalAccuracy CategoricalCrossentropy Mean MeanAbsoluteError
    MeanSquaredError Precision Recall SparseCategoricalAccuracy SparseCategoricalCrossentropy
    SparseTopKCategoricalAccuracy TopKCategoricalAccuracy
"""
# Names that a config may use, by the module that the file gives.
CLASSES: dict[str, frozenset[str]] = {
    module: frozenset(names.split())
    for module, names in {
        "keras": "Functional Sequential Model DTypePolicy",
        "keras.models": "Functional Sequential Model",
        "keras.src.models.functional": "Functional",
        "keras.src.models.sequential": "Sequential",
        "keras.layers": _LAYERS,
        "keras.dtype_policies": "DTypePolicy FloatDTypePolicy",
        "keras.initializers": _INITIALIZERS,
        "keras.regularizers": "L1 L1L2 L2 OrthogonalRegularizer",
        "keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
        "keras.random": "SeedGenerator",
        "keras.optimizers": _OPTIMIZERS,
        "keras.optimizers.schedules": _SCHEDULES,
        "keras.losses": _LOSSES,
        "keras.metrics": _METRICS,
        "keras.src.applications.convnext": "LayerScale StochasticDepth",
        "keras.src.applications.inception_resnet_v2": "CustomScaleLayer",
        "keras.src.ops.core": "Cast Slice StopGradient Unstack",
    }.items()
}
# Modules of the operations in a functional model, such as x + y; all of them only compute.
_OPERATIONS = frozenset(f"keras.src.ops.{name}" for name in ("image", "linalg", "numpy", "nn"))
_FUNCTIONS = frozenset(_ACTIVATIONS.split())
_FUNCTION_MODULES = frozenset(("builtins", "keras.activations", "keras.ops"))
# Classes of this project that are registered with Keras and may stand in a model.
_OURS = {"repro>AblationMask": "AblationMask", "repro>clamp": "function"}
# Class names that Keras writes for plain data.
_DATA = frozenset(
    ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__")
)
# Reasons for some names that are not on the lists.
_REASONS = {
    "__lambda__": "holds the bytecode of a Python function, which would run",
    "Lambda": "holds a function of its author's, which would run",
    "TFSMLayer": "runs a TensorFlow program from another file",
    "TorchModuleWrapper": "unpickles a PyTorch module, which can run anything",
    "JaxLayer": "runs a function of its author's",
    "FlaxLayer": "runs a function of its author's",
    "StringLookup": "may read other files of this machine",
    "IntegerLookup": "may read other files of this machine",
    "TextVectorization": "may read other files of this machine",
}


class Refused(ValueError):
    """Why a file is not loaded, in one sentence for the user."""


@dataclass(frozen=True)
class Inspection:
    """What a `.keras` file says about itself.

    keras_version: version of Keras that wrote the file.
    classes: how often each class is named in its config.
    weights_bytes: size of its weights, unpacked.
    """

    keras_version: str
    classes: Counter[str]
    weights_bytes: int


def check_keras(version: str) -> None:
    """Refuses versions of Keras that are known to run code out of models in safe mode.

    Raises:
        RuntimeError: an older version than `LEAST_KERAS`.

    >>> check_keras("3.15.1")
    >>> check_keras("3.9.0")
    Traceback (most recent call last):
        ...
    RuntimeError: Keras 3.9.0 loads malicious models; install 3.15.1 or later: pip install "keras>=3.15.1"
    """  # noqa: E501
    digits = ["".join(itertools.takewhile(str.isdigit, part)) for part in version.split(".")]
    if tuple(int(part or 0) for part in digits[:3]) < LEAST_KERAS:
        least = ".".join(map(str, LEAST_KERAS))
        raise RuntimeError(
            f"Keras {version} loads malicious models; install {least} or later: "
            f'pip install "keras>={least}"'
        )


def inspect(path: str | Path) -> Inspection:
    """Looks through a `.keras` file without Keras, as far as the standard library reads it.

    Raises:
        FileNotFoundError: no such file.
        Refused: it is damaged, or holds what must not be loaded; which and why.
    """
    path = Path(path)
    with opened(path) as archive:
        _check_members(path, archive)
        metadata = _json(path, archive, METADATA)
        _check_version(path, metadata)
        config = _json(path, archive, CONFIG)
        version = metadata.get("keras_version") if isinstance(metadata, dict) else None
        if not isinstance(version, str):
            raise Refused(f"{path} is not a complete .keras file: no keras_version in {METADATA}")
        if not isinstance(config, dict) or "class_name" not in config:
            raise Refused(f"{path} is not a complete .keras file: no model in {CONFIG}")
        _check_signature(path, archive)
        # Keras drops it too: models are loaded to be lesioned, not with their optimizer.
        config.pop("compile_config", None)
        return Inspection(version, _classes(path, config), archive.getinfo(WEIGHTS).file_size)


def opened(path: Path) -> zipfile.ZipFile:
    """A `.keras` file as the zip that it is.

    Raises:
        FileNotFoundError: no such file.
        Refused: another kind of file, or a damaged one.
    """
    if not path.exists():
        raise FileNotFoundError(f"no model at {path}")
    if path.suffix != ".keras" or not path.is_file():
        raise Refused(_of_another_kind(path))
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        if _is_hdf5(path):
            old = path.with_suffix(".h5").name
            raise Refused(
                f"{path} is an .h5 file under another name: rename it to {old}, and where you "
                f"trust it, {_saved_anew(old, path.name)}. {REMEDY}"
            ) from error
        raise Refused(f"{path} is not a complete .keras file; it may be cut short") from error


def _of_another_kind(path: Path) -> str:
    """What a file or folder is that is no `.keras` file, and how to make one of it."""
    stem = path.name.split(".")[0] or "model"
    new, begin = f"{stem}.keras", f"expected a .keras file, got {path}"
    if path.is_dir() and (path / "saved_model.pb").is_file():
        if (path / "keras_metadata.pb").is_file():
            return (
                f"{begin}, a SavedModel of Keras 2: where you trust it, "
                f"tf_keras.models.load_model({path.name!r}, compile=False).save('{stem}.h5') with "
                f"the package tf_keras, then {_saved_anew(f'{stem}.h5', new)}. {REMEDY}"
            )
        return (
            f"{begin}, a SavedModel, as of model.export, which holds a program and no layers: save "
            f"the model that it was made of with model.save({new!r}). {REMEDY}"
        )
    if path.name.endswith(".weights.h5"):
        return (
            f"{begin}, which holds weights and no layers: take the layers from a function of your "
            f"own, --model-fn package.module:build --weights {path.name}, in Python "
            f"repro.model_from_function('package.module:build', {path.name!r})"
        )
    if path.is_file() and (path.suffix in (".h5", ".hdf5") or _is_hdf5(path)):
        if _holds_weights_alone(path):
            return (
                f"{begin}, which holds weights and no layers: build the model, "
                f"model.load_weights({path.name!r}) and model.save({new!r}). {REMEDY}"
            )
        return f"{begin}: load it where you trust it, {_saved_anew(path.name, new)}. {REMEDY}"
    if path.suffix in (".pt", ".pth", ".onnx", ".tflite", ".safetensors"):
        return (
            f"{begin}, which is no model of Keras: build its layers with Keras, set their weights "
            f"with layer.set_weights, and save it with model.save({new!r})"
        )
    return (
        f"{begin}: load the model where you trust it, and save it with model.save({new!r}). "
        f"{REMEDY}"
    )


def _saved_anew(old: str, new: str) -> str:
    """The calls by which Keras 3 makes a `.keras` file of a model that it can load."""
    return f"keras.models.load_model({old!r}, compile=False).save({new!r})"


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


def _holds_weights_alone(path: Path) -> bool:
    """Whether an .h5 file was written by model.save_weights; False if it cannot be read."""
    import h5py

    try:
        with h5py.File(path, "r") as root:
            return "model_config" not in root.attrs
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return False


def check_written_by(path: str | Path) -> None:
    """Refuses a `.keras` file of Keras 2, whose layers Keras 3 cannot make.

    Raises:
        FileNotFoundError: no such file.
        Refused: another kind of file, a damaged one, or one that Keras 2 wrote.
    """
    path = Path(path)
    with opened(path) as archive:
        try:
            member = archive.getinfo(METADATA)
        except KeyError:
            return
        if member.file_size <= _LARGEST[METADATA]:
            _check_version(path, _json(path, archive, METADATA))


def _check_version(path: Path, metadata: Any) -> None:
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    if isinstance(version, str) and version.split(".")[0] in ("1", "2"):
        old = f"{path.stem}.h5"
        raise Refused(
            f"{path} was written by Keras {version[:20]} (tf_keras), whose .keras files Keras 3 "
            f"cannot read: tf_keras.models.load_model({path.name!r}, compile=False).save({old!r}) "
            f"with the package tf_keras, then {_saved_anew(old, f'{path.stem}-3.keras')}. {REMEDY}"
        )


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Exactly the three members, of plausible sizes, once each."""
    members = archive.infolist()
    for member in members:
        name = member.orig_filename
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise _refused(path, f"its member {name!r} leads out of the file")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _refused(path, f"its member {name!r} is a link")
        if name.lower().endswith((".zip", ".keras")):
            raise _refused(path, f"it holds another archive, {name!r}")
        if name not in _LARGEST:
            raise _refused(
                path, f"it holds {name!r}; a model is {METADATA}, {CONFIG} and {WEIGHTS}"
            )
        if member.flag_bits & 0x1:
            raise _refused(path, f"its member {name!r} is encrypted")
        if member.file_size > _LARGEST[name]:
            raise _refused(
                path, f"{name!r} declares {member.file_size:,} bytes; {_LARGEST[name]:,} at most"
            )
        if member.file_size > _MOST_EXPANSION * max(member.compress_size, 1):
            raise _refused(
                path,
                f"{name!r} unpacks to {member.file_size:,} bytes from {member.compress_size:,}, "
                f"more than {_MOST_EXPANSION} times as many",
            )
    names = [member.orig_filename for member in members]
    for name in _LARGEST:
        if names.count(name) > 1:
            raise _refused(path, f"it holds {name!r} {names.count(name)} times")
        if name not in names:
            raise Refused(
                f"{path} cannot be loaded as a Keras model: it holds no {name!r}; save with "
                "model.save and Keras 3"
            )
    if sum(member.compress_size for member in members) > path.stat().st_size:
        raise _refused(path, "its members overlap")


def _json(path: Path, archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return json.loads(archive.read(name))
    except RecursionError as error:
        raise _refused(path, f"{name!r} is nested too deeply") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        # NotImplementedError: a compression that Python cannot undo.
        raise Refused(f"{path} is not a complete .keras file: {name!r} is damaged") from error
    except ValueError as error:
        raise Refused(f"{path} is not a complete .keras file: {name!r} is not JSON") from error


def _check_signature(path: Path, archive: zipfile.ZipFile) -> None:
    """Whether the weights begin as an HDF5 file does."""
    try:
        with archive.open(WEIGHTS) as member:
            begin = member.read(8)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise Refused(f"{path} is not a complete .keras file: {WEIGHTS!r} is damaged") from error
    if begin.startswith(b"PK"):
        raise _refused(path, f"{WEIGHTS!r} is another archive")
    if begin != b"\x89HDF\r\n\x1a\n":
        raise _refused(path, f"{WEIGHTS!r} is not an HDF5 file")


def _classes(path: Path, config: Any) -> Counter[str]:
    """How often each class is named, all of them allowed."""
    found: Counter[str] = Counter()
    for item in _objects(path, config):
        name = item["class_name"]
        if not isinstance(name, str):
            raise _refused(path, f"{CONFIG!r} names a class by {type(name).__name__}")
        why = _why_not(item, name)
        if why:
            label = item["config"].get("name") if isinstance(item.get("config"), dict) else None
            named = f" ({label!r})" if isinstance(label, str) else ""
            raise _refused(path, f"its {name[:100]}{named} {why}")
        found[name] += 1
    return found


def _objects(path: Path, config: Any) -> Iterator[dict[str, Any]]:
    """Every dict of the config that names a class, however deep."""
    pending: list[tuple[Any, int]] = [(config, 1)]
    n_seen = 0
    while pending:
        item, depth = pending.pop()
        n_seen += 1
        if depth > _DEEPEST:
            raise _refused(path, f"{CONFIG!r} is nested more than {_DEEPEST} levels deep")
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            pending += ((value, depth + 1) for value in item.values())
        elif isinstance(item, list):
            pending += ((value, depth + 1) for value in item)


def _why_not(item: dict[str, Any], name: str) -> str:
    """Why an object of a config must not be made; empty if it may."""
    module, registered = item.get("module"), item.get("registered_name")
    if name in _DATA:
        return ""
    if not isinstance(registered, str | None):
        return "is registered under something that is no name"
    if registered in _OURS:
        return "" if _OURS[registered] == name else f"is registered as {registered}"
    if name == "function":
        return _why_no_function(item)
    if name in _REASONS:
        return _REASONS[name]
    if registered not in (None, name):
        return (
            f"is registered by others, as {registered[:100]!r}: if it is a class of your own and "
            f"you trust the file, import the module that registers it and {_TRUSTED}"
        )
    if not isinstance(module, str):
        if registered is None:
            return "does not say which module it is of"
        return f"is a class of its author's, which nothing registered: {_custom(name)}"
    if module in _OPERATIONS and name.isidentifier():
        return ""
    if name not in CLASSES.get(module, ()):
        room = module.split(".")[0]
        why = f"of {module} is not among the classes that are loaded"
        if room in _RELATED:
            return f"{why}: if you trust the file, with {room} installed, {_TRUSTED}"
        of_author = registered == name and room != "keras" and room not in sys.stdlib_module_names
        return f"{why}: {_custom(name)}" if of_author else why
    return ""


def _why_no_function(item: dict[str, Any]) -> str:
    """Why a function of a config must not be taken; empty if it may."""
    module, registered, function = (
        item.get("module"),
        item.get("registered_name"),
        item.get("config"),
    )
    if not isinstance(function, str) or not isinstance(module, str):
        return "is named by something that is no name"
    known = module in _FUNCTION_MODULES and function in _FUNCTIONS
    # Keras gives every function of others the name "function" here.
    if known and registered in (None, function):
        return ""
    why = f"{function[:100]!r} is not of Keras"
    if module != "builtins":
        return why
    if ">" in function:
        return (
            f"{why}: if it is a function of your own and you trust the file, import the module "
            f"that registers it and {_TRUSTED}"
        )
    return f"{why}: {_custom(function)}"


# Packages of the Keras project whose classes Keras itself looks for.
_RELATED = ("keras_hub", "keras_cv", "keras_nlp")
_TRUSTED = "call repro.load_model(path, trusted=True)"


def _custom(name: str) -> str:
    """How a file is loaded that names a class or function which was never registered."""
    if not name.isidentifier():
        return "register it with keras.saving.register_keras_serializable() and save it again"
    return (
        "if it is your own and you trust the file, "
        f"keras.saving.get_custom_objects()[{name[:100]!r}] = {name[:100]} and {_TRUSTED}"
    )


def check_weights_of(path: str | Path) -> None:
    """Looks through the weights of a `.keras` file, see `check_weights`."""
    path = Path(path)
    with opened(path) as archive:
        try:
            with archive.open(WEIGHTS) as member:
                check_weights(member, path)
        except (KeyError, zipfile.BadZipFile, EOFError) as error:
            raise Refused(
                f"{path} is not a complete .keras file: {WEIGHTS!r} is damaged"
            ) from error


def check_weights(file: Any | BinaryIO, path: str | Path) -> None:
    """Looks through an HDF5 file of weights without reading them.

    Args:
        file: a path, or an open file. path: what it is called in sentences.

    Raises:
        Refused: not HDF5; links, or data in other files; arrays of other than numbers, or that
            declare far more than is stored.
    """
    import h5py

    try:
        with h5py.File(file, "r") as root:
            _check_groups(root, Path(path))
    except Refused:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise Refused(f"the weights in {path} are not a complete HDF5 file") from error


def _check_groups(root: Any, path: Path) -> None:
    import h5py

    pending, seen = [root], set()
    total = 0
    while pending:
        group = pending.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refused(path, f"its weights hold a link, {name!r}, which may lead elsewhere")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _MOST_OBJECTS:
                raise _refused(path, f"its weights hold more than {_MOST_OBJECTS:,} arrays")
            if isinstance(item, h5py.Group):
                pending.append(item)
            elif isinstance(item, h5py.Dataset):
                total += _checked_array(item, path)
            else:
                raise _refused(path, f"its weights hold {name!r}, which is no array")
    if total > _LARGEST[WEIGHTS]:
        raise _refused(path, f"its weights declare {total:,} bytes")


def _checked_array(array: Any, path: Path) -> int:
    """Bytes of one array of weights."""
    if array.external or array.is_virtual:
        raise _refused(path, f"its weights {array.name!r} lie in another file")
    # Floats, integers, bools; V: 16-bit floats that HDF5 has no name for.
    if array.dtype.kind not in "fiubV":
        raise _refused(path, f"its weights {array.name!r} are no numbers")
    declared = math.prod(array.shape or ()) * array.dtype.itemsize
    stored = array.id.get_storage_size()
    if declared > _SMALL_ARRAY and declared > _MOST_EXPANSION * max(stored, 1):
        raise _refused(
            path, f"its weights {array.name!r} declare {declared:,} bytes and hold {stored:,}"
        )
    return declared


def _refused(path: Path, why: str) -> Refused:
    return Refused(f"{path} was refused: {why}. {REMEDY}")
