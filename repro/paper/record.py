"""A figure's record for others: one zip that NumPy and pandas read.

    README.md               what each member holds, and each column
    networks.json           the networks: settings, accuracies, circumstances, where weights lie
    <figure>_<table>.csv    the tables of the report, every number drawn
    <figure>_history.csv    the trainings, epoch by epoch
    <figure>_labels.npz     the labels as trained on, where they were corrupted

Small networks are files of their own (`plain_file`), because several figures share them. What is
not at hand is left out, and networks.json says why.
"""

from __future__ import annotations

import csv
import dataclasses
import inspect
import io
import json
import shlex
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
import numpy as np

from repro.core.datasets import DATASETS
from repro.core.kinds import KINDS
from repro.core.results import HISTORY_COLUMNS
from repro.core.settings import ConfigError, TrainConfig, to_dict
from repro.core.toml import find_figures, load_figure
from repro.core.zipped import unzipped, zipped
from repro.data import load
from repro.data.source import DataError, DataSource, locate
from repro.display.tables import to_csv, to_json
from repro.experiments.runs import NetworkFolder, Runs
from repro.paper.figure_report import COMMON_COLUMNS
from repro.paper.request import FiguresRequest
from repro.paper.series import figure_label

README, NETWORKS = "README.md", "networks.json"
# Largest file of a network, and most weights: a convnet with a quarter of the paper's maps has
# 507,000 weights, which take 0.95 MB.
LARGEST_BYTES = 1_400_000
MOST_WEIGHTS = 550_000
# Share of test images that a network with rounded kernels may answer otherwise.
MOST_CHANGED = 0.005

NETWORK_KEYS = {
    "run_id": "Name of the network, made from its settings.",
    "settings": "All settings of the training, see below; null if they are not known in full.",
    "varied": "Settings in which the figure's networks differ.",
    "epochs": "Epochs trained.",
    "stopped_early": "Whether the training ended by reaching a training accuracy.",
    "n_train": "Images trained on.",
    "n_test": "Images tested on.",
    "train_accuracy": "Accuracy on the training images, with the labels as trained on.",
    "test_accuracy": "Accuracy on the test images.",
    "train_loss": "Mean cross-entropy on the training images, in nats.",
    "test_loss": "Mean cross-entropy on the test images, in nats.",
    "circumstances": "Device, versions, commit and date of the training.",
    "history": "Member with the training's epochs, or `not_here`: why there is none.",
    "labels": "Member with the labels, or `not_here`: why there are none; `n_changed` is how many "
    "differ from the true ones.",
    "weights": "The file of the network and how it answers, or `not_here`: why there is none.",
}
WEIGHTS_KEYS = {
    "file": "A `.keras` file, in the folder `networks` beside the figures' folders.",
    "dtype": "Type of the kernels in the file.",
    "n_images": "Test images that were answered twice, to compare.",
    "accuracy_float32": "Accuracy on them with the weights as trained.",
    "accuracy": "Accuracy on them with the weights of the file.",
    "changed": "Share of them that the two answer differently.",
}


@dataclass(frozen=True)
class Made:
    """archive: content of the figure's zip. networks: contents of `.keras` files, by run id."""

    archive: bytes
    networks: dict[str, bytes]


@dataclass
class _Parts:
    """What is gathered from the networks of a figure."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    networks: dict[str, bytes] = field(default_factory=dict)


def make(
    figure: str,
    numbers: Mapping[str, Any],
    tables: Mapping[str, bytes],
    *,
    runs: Runs | None = None,
    data_dir: str = "",
    weights: bool = True,
) -> Made:
    """The record of one figure.

    Args:
        numbers: the figure's part of summary.json.
        tables: the figure's CSV files, by name.
        runs: where the networks lie; None if they are not at hand.
        data_dir: folder of TFDS, see `source.locate`. Nothing is downloaded.
        weights: whether to keep small networks.
    """
    configs = _configs(figure, str(numbers["command"]))
    folders = {one.path.name: one for one in runs.networks() if one.trained} if runs else {}
    parts = _Parts()
    for one in numbers["networks"]:
        run_id = one["run_id"]
        folder = folders.get(run_id)
        config = folder.config if folder else configs.get(run_id)
        source = _source(config, str(numbers["data"]), data_dir) if config else None
        known = {key: one[key] for key in NETWORK_KEYS if key in one and key != "settings"}
        parts.entries.append(
            {
                **known,
                "settings": config and _named(config),
                "varied": one.get("settings", {}),
                "history": _history(figure, folder, parts),
                "labels": _labels(figure, config, source, folder, parts),
                "weights": _weights(folder, source, parts) if weights else _LEFT_OUT,
            }
        )
    entries = _described(parts.entries)
    facts = {key: numbers[key] for key in ("title", "profile", "data", "command")}
    members = {NETWORKS: to_json({"figure": figure, **facts, "networks": entries})}
    members |= {name: tables[name] for name in sorted(tables)}
    if parts.history:
        columns = tuple(dict.fromkeys(key for row in parts.history for key in row))
        rows = ([row.get(column) for column in columns] for row in parts.history)
        members[f"{figure}_history.csv"] = to_csv(columns, rows)
    if parts.arrays:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **parts.arrays)  # type: ignore[arg-type]
        members[f"{figure}_labels.npz"] = buffer.getvalue()
    return Made(zipped({README: readme(members), **members}), parts.networks)


def refreshed(archive: bytes) -> bytes:
    """The same record, with columns and networks described as they are now."""
    members = unzipped(archive)
    members.pop(README, None)
    known = json.loads(members[NETWORKS])
    members[NETWORKS] = to_json(known | {"networks": _described(known["networks"])})
    return zipped({README: readme(members), **members})


def is_record(archive: bytes, figure: str) -> bool:
    """Whether these bytes are the record of that figure."""
    try:
        return json.loads(unzipped(archive)[NETWORKS])["figure"] == figure
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError):
        return False


def networks_of(archive: bytes) -> list[dict[str, Any]]:
    """The networks of a record, with NETWORK_KEYS."""
    return json.loads(unzipped(archive)[NETWORKS])["networks"]


def readme(members: Mapping[str, bytes]) -> bytes:
    """README.md of a record with these members."""
    known = json.loads(members[NETWORKS])
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("repro", ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    tables = {name: _columns(known["figure"], name, members[name]) for name in members}
    return (
        environment.get_template("paper/templates/record.md")
        .render(
            known=known,
            label=figure_label(known["figure"]),
            tables={name: columns for name, columns in tables.items() if columns},
            labels=[name for name in members if name.endswith("_labels.npz")],
            network_keys=NETWORK_KEYS,
            weights_keys=WEIGHTS_KEYS,
            settings=inspect.cleandoc(TrainConfig.__doc__ or "").split("\n\n")[1],
            most_changed=f"{100 * MOST_CHANGED:g} %",
        )
        .encode()
    )


def _columns(figure: str, member: str, content: bytes) -> dict[str, str]:
    """The columns of a table with their meanings; {} for a member that is no table."""
    if not member.endswith(".csv"):
        return {}
    part = member.removeprefix(f"{figure}_").removesuffix(".csv")
    meanings: dict[str, str] = {**COMMON_COLUMNS}
    if part == "history":
        meanings |= HISTORY_COLUMNS
    for kind in KINDS.values():
        meanings |= kind.meanings if kind.table == part else {}
    head = next(csv.reader(io.StringIO(content.split(b"\n", 1)[0].decode())))
    return {column: meanings.get(column, "") for column in head}


def _not(why: str) -> dict[str, str]:
    """What stands in networks.json in place of something that is missing."""
    return {"not_here": why}


_LEFT_OUT = _not("they were left out")


def _described(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Networks with the settings in which they differ, if the settings of all are known. Facts
    stand in the order of NETWORK_KEYS."""
    settings = [one["settings"] for one in entries]
    if settings and all(settings):
        first = settings[0]
        names = [name for name in first if any(one[name] != first[name] for one in settings)]
        entries = [
            one | {"varied": {name: one["settings"][name] for name in names}} for one in entries
        ]
    return [{key: one[key] for key in NETWORK_KEYS if key in one} for one in entries]


def _named(config: TrainConfig) -> dict[str, Any]:
    """The settings that make a network's name: all, except for paths."""
    named = [f.name for f in dataclasses.fields(config) if f.metadata.get("named", True)]
    return {name: value for name, value in to_dict(config).items() if name in named}


def _configs(figure: str, command: str) -> dict[str, TrainConfig]:
    """The networks that a command makes today, by run id. A name is a hash of all settings, so a
    network that is found here has these settings."""
    words = shlex.split(command)
    profile = next((w.removeprefix("--profile=") for w in words if w.startswith("--profile=")), "")
    overrides = [word.removeprefix("--set=") for word in words if word.startswith("--set=")]
    paths = find_figures(FiguresRequest().configs_directory)
    found: dict[str, TrainConfig] = {}
    for path in paths:
        if path.stem.split("_")[0] == figure:
            try:
                networks = load_figure(path, profile or "quick", overrides).networks()
            except ConfigError:  # the config has changed since
                continue
            origins = ("tfds", "embedded") if networks[0].data_set.embedded else ("tfds",)
            every = (dataclasses.replace(n, origin=o) for n in networks for o in origins)
            found |= {network.run_id: network for network in every}
    return found


def _source(config: TrainConfig, words: str, data_dir: str) -> DataSource | None:
    """The images that the network saw, by the report's words for them; None if they are not at
    hand."""
    source = DataSource(config.dataset, config.origin)
    if config.origin != "embedded":
        try:
            source = locate(config.dataset, data_dir, offline=True)
        except DataError:
            return None
    same = source.describe() == words.split(", in place of ")[0]
    return source if same and not DATASETS[source.name].streamed else None


_NO_IMAGES = "the images were not at hand when this record was made"


def _history(figure: str, folder: NetworkFolder | None, parts: _Parts) -> Any:
    if folder is None:
        return _not("the training was not at hand when this record was made")
    rows = folder.load_training().history
    parts.history += [{"run_id": folder.path.name, **row} for row in rows]
    return {"file": f"{figure}_history.csv"}


def _labels(
    figure: str,
    config: TrainConfig | None,
    source: DataSource | None,
    folder: NetworkFolder | None,
    parts: _Parts,
) -> Any:
    if config is None:
        return _not("the settings are not known in full")
    if not config.label_corruption:
        return _not("the labels are the true ones")
    if source is None:
        return _not(_NO_IMAGES)
    trained = folder.images if folder else None
    if trained and trained[0] != load.load(source, config).order:
        return _not("the images at hand stand in another order than those of the training")
    train, _ = load.in_memory(source)
    chosen, labels = load.trained_on(train.labels, source, config)
    dtype = np.uint8 if train.n_classes <= 256 else np.uint16
    parts.arrays["true_labels"] = train.labels.astype(dtype)
    parts.arrays[f"{config.run_id}.labels"] = labels.astype(dtype)
    if config.n_train:
        parts.arrays[f"{config.run_id}.images"] = chosen.astype(np.int32)
    n_changed = int(np.count_nonzero(labels != train.labels[chosen]))
    return {"file": f"{figure}_labels.npz", "n_changed": n_changed}


def _weights(folder: NetworkFolder | None, source: DataSource | None, parts: _Parts) -> Any:
    """What networks.json says of a network's weights; those that are kept are added to parts."""
    if folder is None:
        return _not("the network was not at hand when this record was made")
    if source is None:
        return _not(f"{_NO_IMAGES}, so rounded weights could not be compared")
    from repro.models.loading import load_model
    from repro.models.plain_file import without_masks

    model = load_model(folder.model)
    plain = without_masks(model)
    if plain.count_params() > MOST_WEIGHTS:
        return _not(f"{plain.count_params():,} weights are too many; {MOST_WEIGHTS:,} are kept")
    test = load.load(source, folder.config).test
    before = _right_and_answers(model, test)
    if abs(before[0] - folder.load_training().test_accuracy) > MOST_CHANGED:
        return _not("on the images at hand its accuracy is not that of the training")
    for content, found in _rounded(plain, test, before):
        if found["changed"] <= MOST_CHANGED and len(content) <= LARGEST_BYTES:
            parts.networks[folder.path.name] = content
            return {"file": f"networks/{folder.path.name}.keras", **found}
    return _not(
        f"with float16 kernels it answers more than {MOST_CHANGED:.1%} of the test images "
        "differently, and with float32 kernels its file is too large"
    )


def _rounded(
    plain: Any, test: Any, before: tuple[float, np.ndarray]
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The network as a file, smallest first, with how it answers when it is read again."""
    import tempfile
    from pathlib import Path

    import keras

    from repro.models.plain_file import to_bytes

    for dtype in ("float16", "float32"):
        content = to_bytes(plain, dtype)
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "model.keras")
            path.write_bytes(content)
            accuracy, answers = _right_and_answers(keras.models.load_model(path), test)
        yield (
            content,
            {
                "dtype": dtype,
                "n_images": len(answers),
                "accuracy_float32": before[0],
                "accuracy": accuracy,
                "changed": float(np.mean(answers != before[1])),
            },
        )


def _right_and_answers(model: Any, test: Any) -> tuple[float, np.ndarray]:
    """Accuracy on these images, and int (n_images,), the class of the largest logit."""
    answers = model.predict(test.images, batch_size=500, verbose=0).argmax(axis=1)
    return float(np.mean(answers == test.labels)), answers
