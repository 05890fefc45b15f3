"""The conventions that writers and the plugin share: names, schema version, kinds, JSON content.

Standard library only, because TensorBoard imports this module at start-up.

Every time series carries one JSON object in its summary metadata. It is constant for the
life of a tag, because TensorBoard keeps the first one it sees:

    {"v": 1, "kind": "curve", "n_units": 1024, "split": "train", "fill": "zero",
     "order": "random", "layers": "all", "score": "accuracy", "facts": {"network": "..."}}
    {"v": 1, "kind": "noise", "n_units": 1024, "split": "train", "per": "position",
     "layers": "all", "score": "accuracy", "facts": {"network": "..."}}
    {"v": 1, "kind": "units", "facts": {"network": "..."}}

The rows of a unit table differ from step to step, so each step brings its own header
(`encode_table_header`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

PLUGIN_NAME = "single_directions"
# Unit tables have their own plugin name, so that TensorBoard can keep every step of small series
# and fewer steps of the large tables.
UNITS_PLUGIN_NAME = "single_directions_units"
SCHEMA_VERSION = 1
CURVE = "curve"
NOISE = "noise"
UNITS = "units"

# Settings that tell a run's curves apart, in the order in which they are shown.
CURVE_SETTINGS = ("split", "fill", "order", "layers", "score")
NOISE_SETTINGS = ("split", "per", "layers", "score")
SETTINGS = {CURVE: CURVE_SETTINGS, NOISE: NOISE_SETTINGS}

# Columns of a unit table with one value for each class are named by one of these, "/" and the
# class's index.
CLASS_MEAN = "class_mean"
CLASS_DROP = "class_drop"

# Scalars of a training, read by the view of that name: "training/loss", "training/test_loss", ...
TRAINING_TAG = "training/"


class UnreadableError(ValueError):
    """The content of a series was not written by this package, or is damaged."""


class NewerSchemaError(UnreadableError):
    """The content was written by a later version of this package."""


def encode_content(kind: str, facts: Mapping[str, str], **settings: str | int) -> bytes:
    """Summary metadata of one series, as UTF-8 JSON.

    >>> encode_content("units", {"network": "mlp 512-512"})
    b'{"v": 1, "kind": "units", "facts": {"network": "mlp 512-512"}}'
    """
    content = {"v": SCHEMA_VERSION, "kind": kind, **settings, "facts": dict(facts)}
    return json.dumps(content, ensure_ascii=False).encode()


def parse_content(content: bytes) -> dict[str, Any]:
    """The settings of a series: kind, facts, and for curves also n_units and SETTINGS.

    Unknown keys are ignored. Missing settings become "".

    Raises:
        NewerSchemaError: schema version above SCHEMA_VERSION.
        UnreadableError: not JSON of this schema.

    >>> parse_content(b'{"v": 1, "kind": "units", "facts": {"network": "mlp"}, "later": 3}')
    {'kind': 'units', 'facts': {'network': 'mlp'}}
    """
    fields = _json_object(content)
    kind = fields.get("kind")
    if kind == UNITS:
        return {"kind": kind, "facts": _facts(fields)}
    if not isinstance(kind, str) or kind not in SETTINGS:
        known = ", ".join(map(repr, (*SETTINGS, UNITS)))
        raise UnreadableError(f"kind must be one of {known}, got {str(kind)[:40]!r}")
    n_units = fields.get("n_units")
    if type(n_units) is not int or n_units < 1:
        raise UnreadableError("n_units must be a positive integer")
    settings = {name: str(fields.get(name, "")) for name in SETTINGS[kind]}
    return {"kind": kind, "facts": _facts(fields), "n_units": n_units, **settings}


def encode_table_header(
    n_units: int,
    columns: Sequence[str],
    layers: Sequence[str],
    classes: Sequence[str] = (),
    class_sizes: Sequence[int] = (),
) -> bytes:
    """Header of one step of a unit table, as UTF-8 JSON.

    Args:
        n_units: number of rows, N.
        columns: C names in the order of the bytes; the first two are "layer" (an index into
            `layers`) and "unit" (index of the unit within its layer).
        layers: layer names, each once.
        classes: class names, for the columns "class_mean/0", "class_drop/0" and so on.
        class_sizes: number of images of each class; empty if it is not known.
    """
    header: dict[str, Any] = {
        "v": SCHEMA_VERSION,
        "dtype": "<f4",
        "n": n_units,
        "columns": list(columns),
        "layers": list(layers),
    }
    if classes:
        header["classes"] = list(classes)
    if class_sizes:
        header["class_sizes"] = list(class_sizes)
    return json.dumps(header, ensure_ascii=False).encode()


def parse_table_header(header: bytes) -> dict[str, Any]:
    """{"n": N, "columns": [...], "layers": [...], "classes": [...], "class_sizes": [...]}, checked.

    Raises:
        NewerSchemaError: schema version above SCHEMA_VERSION.
        UnreadableError: not such a header.
    """
    fields = _json_object(header)
    n_units, columns, layers = fields.get("n"), fields.get("columns"), fields.get("layers")
    if type(n_units) is not int or n_units < 0:
        raise UnreadableError("n must be a number of rows")
    if not _is_list_of_text(columns) or columns[:2] != ["layer", "unit"]:
        raise UnreadableError('columns must be names that begin with "layer", "unit"')
    if not _is_list_of_text(layers) or fields.get("dtype") != "<f4":
        raise UnreadableError('layers must be names, and dtype "<f4"')
    classes = fields.get("classes", [])
    if not _is_list_of_text(classes):
        raise UnreadableError("classes must be names")
    sizes = fields.get("class_sizes", [])
    if not isinstance(sizes, list) or (sizes and len(sizes) != len(classes)):
        raise UnreadableError("class_sizes must be a number of images for each class")
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise UnreadableError("class_sizes must be whole numbers, at least 0")
    return {
        "n": n_units,
        "columns": columns,
        "layers": layers,
        "classes": classes,
        "class_sizes": sizes,
    }


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise UnreadableError("the content is not JSON") from None
    if not isinstance(fields, dict) or type(fields.get("v")) is not int:
        raise UnreadableError("the content is not a JSON object with a version v")
    if fields["v"] > SCHEMA_VERSION:
        raise NewerSchemaError(f"schema version {fields['v']} is newer than {SCHEMA_VERSION}")
    return fields


def _facts(fields: dict[str, Any]) -> dict[str, str]:
    facts = fields.get("facts", {})
    if not isinstance(facts, dict):
        raise UnreadableError("facts must be an object of names and texts")
    return {str(name): str(text) for name, text in facts.items()}


def _is_list_of_text(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
