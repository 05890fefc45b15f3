"""Unit tables: their steps, their numbers, and all that is stored of one unit."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tensorboard.data import provider as tb_provider

from tb_plugin import metadata
from tb_plugin.reading.decimals import shortest
from tb_plugin.reading.provider import Experiment, SeriesNotFoundError, by_step


def table_steps(experiment: Experiment, run: str, tag: str) -> list[dict[str, Any]]:
    """Step, wall time and header of each stored unit table, by step."""
    steps = []
    for datum in _tables(experiment, run, tag):
        entry = {"step": datum.step, "walltime": datum.wall_time}
        try:
            entry |= metadata.parse_table_header(experiment.read_blob(datum, 0))
        except metadata.UnreadableError as error:
            entry["error"] = str(error)
        steps.append(entry)
    return steps


def table_bytes(
    experiment: Experiment,
    run: str,
    tag: str,
    step: int,
    columns: Sequence[str] | None = None,
) -> bytes:
    """The numbers of one unit table: float32 little-endian, column after column.

    Args:
        columns: only these, in this order; None for all.

    Raises:
        SeriesNotFoundError: no such run, tag, step or column.
        metadata.UnreadableError: the bytes do not fit the header.
        ProviderError: the provider cannot read them.
    """
    header, raw = _table(experiment, run, tag, step)
    if columns is None:
        return raw
    unknown = [name for name in columns if name not in header["columns"]]
    if unknown:
        raise SeriesNotFoundError(f"the unit table has no column {unknown[0][:40]!r}")
    size = 4 * header["n"]
    places = [header["columns"].index(name) for name in columns]
    return b"".join(raw[place * size : (place + 1) * size] for place in places)


def unit(experiment: Experiment, run: str, tag: str, step: int, row: int) -> dict[str, Any]:
    """All stored values of one unit, and the share of its layer's units below each value.

    Raises:
        SeriesNotFoundError: no such run, tag, step or row.
        metadata.UnreadableError: the bytes do not fit the header.
        ProviderError: the provider cannot read them.
    """
    header, raw = _table(experiment, run, tag, step)
    if not row < header["n"]:
        raise SeriesNotFoundError(f"the unit table has {header['n']} rows")
    return _unit(header, as_columns(raw, header), row)


def every_unit(header: Mapping[str, Any], raw: bytes) -> Iterator[dict[str, Any]]:
    """What `unit` replies of each row of a checked table."""
    table = as_columns(raw, header)
    return (_unit(header, table, row) for row in range(header["n"]))


def _unit(header: Mapping[str, Any], table: Mapping[str, np.ndarray], row: int) -> dict[str, Any]:
    peers = table["layer"] == table["layer"][row]
    measured = [name for name in header["columns"] if name not in ("layer", "unit")]
    by_class = {
        kind: shortest(np.array([table[name][row] for name in measured if _is_of(kind, name)]))
        for kind in (metadata.CLASS_MEAN, metadata.CLASS_DROP)
    }
    return {
        "row": row,
        "layer": header["layers"][int(table["layer"][row])],
        "unit": int(table["unit"][row]),
        "values": {
            name: {
                "value": shortest(table[name][row : row + 1])[0],
                "below": _share_below(table[name][peers], table[name][row]),
            }
            for name in measured
            if not any(_is_of(kind, name) for kind in by_class)
        },
        "classes": header["classes"],
        "class_sizes": header["class_sizes"],
        **by_class,
    }


def checked_table(raw: bytes, header: Mapping[str, Any]) -> bytes:
    """The bytes of a table, if they are what its header says."""
    n, columns = header["n"], header["columns"]
    if len(raw) != 4 * n * len(columns):
        raise metadata.UnreadableError(
            f"the unit table must hold {n} rows and {len(columns)} columns of 4 bytes, "
            f"got {len(raw)} bytes"
        )
    layer = np.frombuffer(raw, "<f4", count=n)
    if not np.all(np.isin(layer, np.arange(len(header["layers"])))):
        raise metadata.UnreadableError("a unit belongs to a layer that the header does not name")
    return raw


def as_columns(raw: bytes, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """float32 (n,) each, by the name of the column."""
    table = np.frombuffer(raw, "<f4").reshape(len(header["columns"]), header["n"])
    return dict(zip(header["columns"], table, strict=True))


def _table(experiment: Experiment, run: str, tag: str, step: int) -> tuple[dict[str, Any], bytes]:
    """Header and checked bytes of the table at exactly this step."""
    for datum in _tables(experiment, run, tag):
        if datum.step == step:
            header = metadata.parse_table_header(experiment.read_blob(datum, 0))
            return header, checked_table(experiment.read_blob(datum, 1), header)
    raise SeriesNotFoundError(f"no unit table at step {step}")


def _tables(experiment: Experiment, run: str, tag: str) -> list[tb_provider.BlobSequenceDatum]:
    data = experiment.read_tables([(run, tag)]).get(run, {}).get(tag)
    if not data:
        raise SeriesNotFoundError("no unit table of this run and tag")
    return by_step(data)


def _is_of(kind: str, column: str) -> bool:
    return column.startswith(f"{kind}/")


def _share_below(values: np.ndarray, value: np.float32) -> float | None:
    """The share of the values, without NaN, that lies below one value."""
    numbers = values[~np.isnan(values)]
    if np.isnan(value) or not numbers.size:
        return None
    return round(float(np.mean(numbers < value)), 4)
