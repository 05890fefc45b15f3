"""How a measured quantity is spread over the units of each layer."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tensorboard.data.provider import BlobSequenceDatum

from tb_plugin import metadata
from tb_plugin.reading.provider import Experiment, Pair, at_step, by_step
from tb_plugin.reading.tables import as_columns, checked_table

# Tables that are read at once: TensorBoard's data server takes some 40 ms to answer for one, and
# spends them waiting.
READERS = 8
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def distributions(
    experiment: Experiment,
    pairs: Sequence[Pair],
    column: str,
    n_bins: int,
    step: int | None,
    extent: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """How a measured quantity is spread over the units of each layer, for several tables.

    All histograms share their edges, from the smallest value to the largest, or from 0 to 1
    for class selectivity. Silent units count, as in the paper's Fig. 6.

    Args:
        pairs: run and tag of each unit table.
        column: the quantity.
        n_bins: number of bins of the histograms.
        step: each table at the latest step not after this one (else the first); None: the last.
        extent: smallest and largest edge, if the values lie within; for histograms to compare
            with those of other tables.

    Returns:
        {"edges": [...], "tables": [...]} as in http_api.md.

    Raises:
        ProviderError: the provider cannot read them.
    """
    found = experiment.read_tables(pairs)
    read: list[tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]] = []
    broken: list[dict[str, Any]] = []
    with ThreadPoolExecutor(READERS) as pool:
        tables_of = [
            pool.submit(_table, experiment, found.get(run, {}).get(tag) or [], column, step)
            for run, tag in pairs
        ]
    for (run, tag), done in zip(pairs, tables_of, strict=True):
        try:
            facts, header, table = done.result()
            read.append(({"run": run, "tag": tag, **facts}, header, table))
        except metadata.UnreadableError as error:
            broken.append({"run": run, "tag": tag, "error": str(error)})
    values = [table[column] for *_, table in read]
    edges = _edges(column, [*values, np.array(extent or (), np.float64)], n_bins)
    tables = [
        facts | {"layers": by_layer(header, table, column, edges)} for facts, header, table in read
    ]
    return {"edges": edges.tolist(), "tables": tables + broken}


def _table(
    experiment: Experiment, found: Sequence[BlobSequenceDatum], column: str, step: int | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]:
    """Steps, header and columns of one unit table.

    Raises:
        metadata.UnreadableError: the table cannot be read, or lacks the column.
        ProviderError: the provider cannot read it.
    """
    data = by_step(found)
    datum = at_step(data, step)
    header = metadata.parse_table_header(experiment.read_blob(datum, 0))
    table = as_columns(checked_table(experiment.read_blob(datum, 1), header), header)
    if column not in table:
        raise metadata.UnreadableError("this quantity was not measured")
    return {"steps": [one.step for one in data], "step": datum.step}, header, table


def _edges(column: str, values: Sequence[np.ndarray], n_bins: int) -> np.ndarray:
    """float64 (n_bins + 1,), equal steps over the range of all finite values."""
    if column == "class_selectivity":
        return np.linspace(0.0, 1.0, n_bins + 1)
    finite = [part[np.isfinite(part)] for part in values]
    parts = [part for part in finite if part.size]
    low = min((float(part.min()) for part in parts), default=0.0)
    high = max((float(part.max()) for part in parts), default=1.0)
    if not low < high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, n_bins + 1)


def by_layer(
    header: Mapping[str, Any],
    table: Mapping[str, np.ndarray],
    column: str,
    edges: np.ndarray,
) -> list[dict[str, Any]]:
    """Counts, mean and quantiles of one quantity, for each layer of a table."""
    layers = []
    for number, name in enumerate(header["layers"]):
        values = table[column][table["layer"] == number]
        values = values[np.isfinite(values)].astype(np.float64)
        entry = {"layer": name, "n": int(values.size)}
        if values.size:
            counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
            entry |= {
                "counts": counts.tolist(),
                "mean": float(values.mean()),
                "quantiles": np.quantile(values, QUANTILES).tolist(),
            }
        layers.append(entry)
    return layers
