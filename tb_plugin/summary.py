"""Write ablation curves, noise curves and unit tables into a TensorBoard log directory.

For the results of any framework: needs NumPy and TensorBoard, no TensorFlow.

    from tb_plugin import summary

    with summary.Writer("runs/tb/my_network") as writer:
        writer.add(summary.ablation_curve(
            "curve/all/random",
            ablated_units=[0, 256, 512, 768, 1024],
            accuracy=accuracy,               # (10 orderings, 5)
            n_units=1024,
            facts={"label corruption": "0.2", "network": "mlp 512-512"}))
        writer.add(summary.unit_table(
            "units/all", layers=layer_of_unit, units=index_of_unit,
            columns={"class_selectivity": selectivity, "importance": importance}))
        for epoch, loss in enumerate(losses, 1):
            writer.add(summary.training_scalar("test_loss", loss), step=epoch)

Then `tensorboard --logdir runs/tb`, tab "Single Directions".
"""

import itertools
import os
import socket
import time
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tensorboard.compat.proto import event_pb2
from tensorboard.compat.proto.summary_pb2 import (
    DATA_CLASS_BLOB_SEQUENCE,
    DATA_CLASS_SCALAR,
    DATA_CLASS_TENSOR,
    Summary,
    SummaryMetadata,
)
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from tb_plugin import metadata

# Unit indices are stored as float32, which is exact up to this number.
LARGEST_UNIT_INDEX = 2**24

_file_number = itertools.count()


def ablation_curve(
    tag: str,
    ablated_units: ArrayLike,
    accuracy: ArrayLike,
    *,
    n_units: int,
    split: str = "train",
    fill: str = "zero",
    order: str = "random",
    layers: str = "all",
    score: str = "accuracy",
    facts: Mapping[str, str] | None = None,
    description: str = "",
) -> Summary:
    """A cumulative ablation curve (paper section 2.2): accuracy as units are ablated.

    All orderings are kept, not only their mean: the viewer chooses which band to draw.

    Args:
        tag: name of the series within its run, such as "curve/all/random".
        ablated_units: int (F,), how many units are ablated at each point; strictly
            increasing, at least 0 and at most n_units.
        accuracy: float (R, F), fraction correct in [0, 1]; one row per ordering of the units.
        n_units: number of units that could be ablated, so that x may be read as a fraction.
        split: the images: "train" or "test".
        fill: what an ablated unit was clamped to: "zero", "mean", "mean per position"; or
            "direction" where directions of a rotated basis were taken away.
        order: how the orderings were drawn: "random", or the score they were sorted by.
        layers: which layers were ablated: "all", or their names.
        score: what `accuracy` holds: "accuracy", or "top-5 accuracy".
        facts: short name -> text pairs shown beside the run, such as
            {"label corruption": "0.2"}. Runs are labelled by the facts in which they differ.
        description: a sentence for the reader (plain text).

    Returns:
        A summary for `Writer.add`: float32 [1 + R, F], row 0 is ablated_units.

    Raises:
        ValueError: a wrong shape, order or range, or values that are not numbers.

    >>> curve = ablation_curve("curve", [0, 2, 4], [[1.0, 0.5, 0.1]], n_units=4)
    >>> tensor_util.make_ndarray(curve.value[0].tensor).tolist()[0]
    [0.0, 2.0, 4.0]
    """
    settings = dict(split=split, fill=fill, order=order, layers=layers, score=score)
    content = _curve_content(metadata.CURVE, n_units, facts, settings)
    x = _checked_ablated_units(ablated_units, n_units)
    y = _checked_accuracy(accuracy, x.size, "ablated_units")
    tensor = np.concatenate([x[None], y]).astype("<f4")
    return _summary(tag, tensor, metadata.PLUGIN_NAME, content, DATA_CLASS_TENSOR, description)


def noise_curve(
    tag: str,
    scales: ArrayLike,
    accuracy: ArrayLike,
    *,
    n_units: int,
    split: str = "train",
    per: str = "position",
    layers: str = "all",
    score: str = "accuracy",
    facts: Mapping[str, str] | None = None,
    description: str = "",
) -> Summary:
    """Accuracy under noise on all units at once (paper section 2.2, Fig. 2).

    Args:
        tag: name of the series within its run, such as "noise/all".
        scales: float (L,), scales of the noise, as multiples of each unit's standard deviation;
            strictly increasing, at least 0.
        accuracy: float (S, L), fraction correct in [0, 1]; one row per draw of the noise.
        n_units: number of units that the noise was added to.
        per: part of a feature map with its own draw: each "position", or each "unit".
        split, layers, score, facts, description: as for `ablation_curve`.

    Returns:
        A summary for `Writer.add`: float32 [1 + S, L], row 0 is scales.

    Raises:
        ValueError: a wrong shape, order or range, or values that are not numbers.

    >>> noise_curve("noise", [0.1, 1], [[1.0, 0.5]], n_units=4).value[0].tag
    'noise'
    """
    x = _numbers("scales", scales)
    if x.ndim != 1 or x.size < 1:
        raise ValueError(f"scales must have shape (n_scales,). Received shape {x.shape}")
    if not np.all(np.isfinite(x)) or x[0] < 0 or np.any(np.diff(x) <= 0):
        raise ValueError(
            f"scales must be at least 0 and strictly increasing. Received: {x[:8].tolist()}"
        )
    settings = dict(split=split, per=per, layers=layers, score=score)
    tensor = np.concatenate([x[None], _checked_accuracy(accuracy, x.size, "scales")])
    content = _curve_content(metadata.NOISE, n_units, facts, settings)
    return _summary(
        tag, tensor.astype("<f4"), metadata.PLUGIN_NAME, content, DATA_CLASS_TENSOR, description
    )


def training_scalar(name: str, value: float) -> Summary:
    """One number of a training, for the view "Training" and TensorBoard's own Scalars tab.

    Args:
        name: "loss", "accuracy", "test_loss" or "test_accuracy"; any other name is kept, too,
            under the tag "training/<name>".
        value: the number at the step that `Writer.add` is given.

    >>> training_scalar("test_loss", 0.25).value[0].tag
    'training/test_loss'
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"name must be a text that is not empty. Received: name={name!r}")
    return scalar(metadata.TRAINING_TAG + name, value)


def scalar(tag: str, value: float, description: str = "") -> Summary:
    """One number for TensorBoard's own Scalars tab, at the step that `Writer.add` is given.

    >>> scalar("lesion/loss", 0.25).value[0].tag
    'lesion/loss'
    """
    # TensorBoard's own helper for this message would import TensorFlow.
    series = scalar_metadata.create_summary_metadata(display_name="", description=description)
    series.data_class = DATA_CLASS_SCALAR
    tensor = tensor_util.make_tensor_proto(float(value), dtype=np.float32)
    return Summary(value=[Summary.Value(tag=tag, metadata=series, tensor=tensor)])


def unit_table(
    tag: str,
    layers: Sequence[str],
    units: ArrayLike,
    columns: Mapping[str, ArrayLike],
    *,
    classes: Sequence[str] = (),
    class_means: ArrayLike | None = None,
    class_drops: ArrayLike | None = None,
    class_sizes: ArrayLike | None = None,
    facts: Mapping[str, str] | None = None,
    description: str = "",
) -> Summary:
    """What was measured on each single unit (paper sections 2.3 and 3.4).

    Args:
        tag: name of the series within its run, such as "units/all".
        layers: layer name of each row, N of them.
        units: int (N,), index of the unit within its layer, from 0.
        columns: name -> float (N,). Known names get titles and units in the plugin:
            "class_selectivity" (in [0, 1]), "mutual_information" (bits), "importance"
            (change of test loss when the unit is ablated, nats), "accuracy_drop"
            (fraction of images), "largest_class_drop" (fraction of that class's images),
            "mean_activation", "sparsity" (fraction of images on which the unit is silent),
            "weight_norm" (L1). Any other name is shown as it is. NaN means "not measured".
        classes: C names, if one of the next two is given.
        class_means: float (N, C), mean activation of each unit over the images of each class.
        class_drops: float (N, C), fraction of each class's images lost with the unit ablated.
        class_sizes: int (C,), number of images of each class, so that the plugin can tell how many
            images a drop is.
        facts: as for `ablation_curve`.
        description: a sentence for the reader (plain text).

    Returns:
        A summary for `Writer.add`: a blob sequence [JSON header, float32 little-endian bytes,
        column after column]; the first two columns are the layer's number and the unit.

    Raises:
        ValueError: columns of different lengths, an infinite value, a selectivity outside
            [0, 1], class values or sizes that do not fit the class names, or the same unit of a
            layer twice.
    """
    names = [str(layer) for layer in layers]
    if not names:
        raise ValueError("layers must name at least one row. Received an empty list")
    index = _checked_unit_indices(units, names)
    layer_names = list(dict.fromkeys(names))
    number = {name: i for i, name in enumerate(layer_names)}
    table = {"layer": np.array([number[name] for name in names], float), "unit": index}
    if not columns:
        raise ValueError("columns must hold at least one measured quantity. Received none")
    for name, values in columns.items():
        if name in table or not isinstance(name, str) or not name:
            raise ValueError(f'a column cannot be called "layer", "unit" or "". Received {name!r}')
        table[name] = _checked_column(name, values, len(names))
    for name, by_class in ((metadata.CLASS_MEAN, class_means), (metadata.CLASS_DROP, class_drops)):
        if by_class is not None:
            table |= _class_columns(name, by_class, len(names), len(classes))
    header = metadata.encode_table_header(
        len(names),
        list(table),
        layer_names,
        [str(name) for name in classes],
        _checked_sizes(class_sizes, len(classes)),
    )
    raw = np.stack(list(table.values())).astype("<f4").tobytes()
    content = metadata.encode_content(metadata.UNITS, _checked_facts(facts))
    # Rank 1, because the fast loader drops a blob sequence that is a scalar.
    tensor = np.array([header, raw], dtype=object)
    return _summary(
        tag,
        tensor,
        metadata.UNITS_PLUGIN_NAME,
        content,
        DATA_CLASS_BLOB_SEQUENCE,
        description,
    )


class Writer:
    """Appends summaries to one new event file in a run's directory; a context manager.

    A second analysis of the same network needs another directory: TensorBoard merges all event
    files of a directory into one run, and its two loaders differ on which value wins if a tag has
    the same step twice.

    Args:
        logdir: directory of the run, made if missing. Local paths only.

    Raises:
        OSError: the directory or the file cannot be made or written.
    """

    def __init__(self, logdir: str | os.PathLike[str]):
        folder = Path(logdir)
        folder.mkdir(parents=True, exist_ok=True)
        # The name TensorBoard looks for. TensorBoard's EventFileWriter would import all of
        # TensorFlow where that is installed (10 s), only to open a file.
        name = (
            f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}"
            f".{os.getpid()}.{next(_file_number)}.single_directions"
        )
        self._file = open(folder / name, "xb")
        self._records = RecordWriter(self._file)
        self._last_step: dict[str, int] = {}
        self._write(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, summary: Summary, step: int = 0) -> None:
        """Writes one summary, on disk when this returns.

        Args:
            summary: from one of this module's functions.
            step: the training step or epoch of the network that was analysed, never the
                number of an ordering or of ablated units.

        Raises:
            ValueError: step is negative, or not above the last step of this tag.
        """
        if not _is_whole_number(step) or step < 0:
            raise ValueError(f"step must be a whole number, at least 0. Received: step={step}")
        tags = [value.tag for value in summary.value]
        for tag in tags:
            last = self._last_step.get(tag)
            if last is not None and step <= last:
                raise ValueError(
                    f"step must be above {last}, the last step written for tag {tag!r}. "
                    f"Received: step={step}; write a second analysis to a directory of its own"
                )
        self._write(event_pb2.Event(wall_time=time.time(), step=int(step), summary=summary))
        self._last_step.update((tag, int(step)) for tag in tags)

    def close(self) -> None:
        """Ends the file; a second call does nothing."""
        self._file.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()


def _summary(
    tag: str,
    tensor: np.ndarray,
    plugin_name: str,
    content: bytes,
    data_class: int,
    description: str,
) -> Summary:
    if not isinstance(tag, str) or not tag:
        raise ValueError(f"tag must be a text that is not empty. Received: tag={tag!r}")
    # Without an explicit data class, TensorBoard would not show the series.
    series = SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name=plugin_name, content=content),
        summary_description=description,
        data_class=data_class,
    )
    value = Summary.Value(tag=tag, metadata=series, tensor=tensor_util.make_tensor_proto(tensor))
    return Summary(value=[value])


def _is_whole_number(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _numbers(name: str, values: ArrayLike) -> np.ndarray:
    """Float64 array; bfloat16 and the like become plain floats, which TensorBoard can read."""
    try:
        return np.asarray(values).astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be an array of numbers. Received: {type(values).__name__}"
        ) from None


def _curve_content(
    kind: str, n_units: int, facts: Mapping[str, str] | None, settings: Mapping[str, str]
) -> bytes:
    """Summary metadata of a curve, its settings checked."""
    if not _is_whole_number(n_units) or n_units < 1:
        raise ValueError(f"n_units must be a whole number, at least 1. Received: n_units={n_units}")
    for name, text in settings.items():
        if not isinstance(text, str) or not text:
            raise ValueError(f"{name} must be a text that is not empty. Received: {name}={text!r}")
    return metadata.encode_content(kind, _checked_facts(facts), n_units=int(n_units), **settings)


def _checked_accuracy(accuracy: ArrayLike, n_points: int, along: str) -> np.ndarray:
    y = _numbers("accuracy", accuracy)
    if y.ndim != 2 or y.shape[1] != n_points or y.shape[0] < 1:
        raise ValueError(
            f"accuracy must have shape (n_orderings, {n_points}), a row per ordering and a "
            f"column per entry of {along}. Received shape {y.shape}"
        )
    _check_unit_interval("accuracy", y)
    return y


def _checked_ablated_units(ablated_units: ArrayLike, n_units: int) -> np.ndarray:
    x = _numbers("ablated_units", ablated_units)
    if x.ndim != 1 or x.size < 1:
        raise ValueError(f"ablated_units must have shape (n_points,). Received shape {x.shape}")
    if not np.all(np.isfinite(x)) or np.any(x != np.round(x)):
        raise ValueError("ablated_units must be whole numbers: counts of ablated units")
    if np.any(np.diff(x) <= 0):
        raise ValueError(f"ablated_units must be strictly increasing. Received: {x[:8].tolist()}")
    if x[0] < 0 or x[-1] > n_units:
        raise ValueError(
            f"ablated_units must lie between 0 and n_units={n_units}. "
            f"Received: {x[0]:g} to {x[-1]:g}"
        )
    return x


def _checked_unit_indices(units: ArrayLike, names: list[str]) -> np.ndarray:
    index = _numbers("units", units)
    if index.shape != (len(names),):
        raise ValueError(
            f"units must have shape ({len(names)},), one per layer name. "
            f"Received shape {index.shape}"
        )
    whole = np.isfinite(index) & (index == np.round(index))
    if not np.all(whole & (index >= 0) & (index < LARGEST_UNIT_INDEX)):
        raise ValueError(f"units must be whole numbers from 0 to {LARGEST_UNIT_INDEX - 1}")
    if len(set(zip(names, index.tolist(), strict=True))) < len(names):
        raise ValueError("each unit of a layer may have one row only; units has a repeated pair")
    return index


def _checked_column(name: str, values: ArrayLike, n_rows: int) -> np.ndarray:
    column = _numbers(name, values)
    if column.shape != (n_rows,):
        raise ValueError(
            f"column {name!r} must have shape ({n_rows},), one value per unit. "
            f"Received shape {column.shape}"
        )
    if np.any(np.isinf(column)):
        raise ValueError(f"column {name!r} must be finite, or NaN where nothing was measured")
    if name == "class_selectivity":
        _check_unit_interval(f"column {name!r}", column[~np.isnan(column)])
    return column


def _class_columns(
    name: str, by_class: ArrayLike, n_rows: int, n_classes: int
) -> dict[str, np.ndarray]:
    """One column per class: "class_mean/0", "class_mean/1", ..."""
    values = _numbers(name, by_class)
    if n_classes == 0 or values.shape != (n_rows, n_classes):
        raise ValueError(
            f"{name}s must have shape ({n_rows}, {n_classes}), a row per unit and a column per "
            f"name in classes. Received shape {values.shape}"
        )
    return {
        f"{name}/{i}": _checked_column(f"{name}/{i}", values[:, i], n_rows)
        for i in range(n_classes)
    }


def _check_unit_interval(name: str, values: np.ndarray) -> None:
    # A mean of float32 values may pass 1 by a rounding error.
    if not np.all((values >= 0) & (values <= 1 + 1e-6)):
        raise ValueError(
            f"{name} must lie between 0 and 1 (a fraction, not per cent) and be finite. "
            f"Received: {np.min(values):g} to {np.max(values):g}"
        )


def _checked_facts(facts: Mapping[str, str] | None) -> dict[str, str]:
    checked = dict(facts or {})
    for name, text in checked.items():
        if not isinstance(name, str) or not name or not isinstance(text, str):
            raise ValueError(f"facts must map names to texts. Received: {name!r}: {text!r}")
    return checked


def _checked_sizes(sizes: ArrayLike | None, n_classes: int) -> list[int]:
    """Numbers of images, one for each class; empty without sizes."""
    if sizes is None:
        return []
    numbers = np.asarray(sizes)
    if numbers.shape != (n_classes,) or numbers.dtype.kind not in "iu" or np.any(numbers < 0):
        raise ValueError(
            f"class_sizes must be {n_classes} whole numbers of images, one for each class. "
            f"Received: {str(sizes)[:60]}"
        )
    return [int(number) for number in numbers]
