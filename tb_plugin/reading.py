"""Reads ablation data from TensorBoard's data provider, and checks it.

A log directory may hold anything: series by other programs under our name, half-written
files, data from a later version. Each function answers for the series that it can read, and gives a
reason for every other series.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorboard import errors
from tensorboard.data import provider as tb_provider

from tb_plugin import metadata

logger = logging.getLogger(__name__)

# The provider needs a limit; this is more steps than anyone analyses.
ALL_STEPS = 100_000
FEW_NUMBERS = 100
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

Pair = tuple[str, str]  # run, tag


class ProviderError(RuntimeError):
    """TensorBoard's data provider failed; the text is fit for the user."""


class SeriesNotFoundError(LookupError):
    """There is no such run, tag or step."""


@dataclass(frozen=True)
class Reader:
    """Reads the data of one experiment.

    Attributes:
        provider: TensorBoard's data provider.
        context: the request context, passed on to the provider.
        experiment: experiment id, "" for a local log directory.
    """

    provider: tb_provider.DataProvider
    context: Any
    experiment: str

    def index(self) -> dict[str, Any]:
        """All runs, the series that can be shown, and the series that cannot, with reasons."""
        runs = self._ask(self.provider.list_runs)
        found = [
            (
                self._ask(self.provider.list_tensors, metadata.PLUGIN_NAME),
                tuple(metadata.SETTINGS),
            ),
            (
                self._ask(self.provider.list_blob_sequences, metadata.UNITS_PLUGIN_NAME),
                (metadata.UNITS,),
            ),
        ]
        series, skipped = [], []
        for by_run, kinds in found:
            for run, tag, listed in _sorted_series(by_run):
                try:
                    series.append(_series(run, tag, listed, kinds))
                except metadata.NewerSchemaError:
                    skipped.append({"run": run, "tag": tag, "reason": "newer"})
                except metadata.UnreadableError as error:
                    skipped.append({"run": run, "tag": tag, "reason": str(error)})
        names = sorted({run.run_name for run in runs} | {entry["run"] for entry in series})
        return {"runs": names, "series": series, "skipped": skipped}

    def curves(self, pairs: Sequence[Pair], step: int | None) -> list[dict[str, Any]]:
        """Ablation or noise curves of several series, in the order asked for.

        Args:
            pairs: run and tag of each.
            step: take the curve at the latest step not after this one, or else at the first step;
                None: at the last step.

        Returns:
            Per pair a dictionary as in http_api.md, or {"run", "tag", "error"}.

        Raises:
            SeriesNotFoundError: none of the pairs exists.
            ProviderError: the provider cannot list the series.
        """
        listed = self._ask(self.provider.list_tensors, metadata.PLUGIN_NAME, pairs)
        known = [pair for pair in pairs if pair[1] in listed.get(pair[0], {})]
        if not known:
            raise SeriesNotFoundError("no curve of this run and tag")
        data = self._tensors(known)
        replies: list[dict[str, Any]] = []
        numbers: list[tuple[np.ndarray, np.ndarray]] = []
        for run, tag in pairs:
            reply: dict[str, Any] = {"run": run, "tag": tag}
            try:
                content = listed[run][tag].plugin_content
                facts, x, rows = _curve(
                    data.get((run, tag), []), metadata.parse_content(content), step
                )
                reply |= facts
                numbers.append((x, rows))
            except KeyError:
                reply["error"] = "no curve of this run and tag"
            except metadata.UnreadableError as error:
                reply["error"] = str(error)
            replies.append(reply)
        readable = (reply for reply in replies if "error" not in reply)
        decimals = iter(_shortest_of([part for pair in numbers for part in pair]))
        for reply in readable:
            reply |= {"x": next(decimals), "rows": next(decimals)}
        return replies

    def table_steps(self, run: str, tag: str) -> list[dict[str, Any]]:
        """Step, wall time and header of each stored unit table, by step."""
        steps = []
        for datum in self._tables(run, tag):
            entry = {"step": datum.step, "walltime": datum.wall_time}
            try:
                entry |= metadata.parse_table_header(self._blob(datum, 0))
            except metadata.UnreadableError as error:
                entry["error"] = str(error)
            steps.append(entry)
        return steps

    def table_bytes(
        self, run: str, tag: str, step: int, columns: Sequence[str] | None = None
    ) -> bytes:
        """The numbers of one unit table: float32 little-endian, column after column.

        Args:
            columns: only these, in this order; None for all.

        Raises:
            SeriesNotFoundError: no such run, tag, step or column.
            metadata.UnreadableError: the bytes do not fit the header.
            ProviderError: the provider cannot read them.
        """
        header, raw = self._table(run, tag, step)
        if columns is None:
            return raw
        unknown = [name for name in columns if name not in header["columns"]]
        if unknown:
            raise SeriesNotFoundError(f"the unit table has no column {unknown[0][:40]!r}")
        size = 4 * header["n"]
        places = [header["columns"].index(name) for name in columns]
        return b"".join(raw[place * size : (place + 1) * size] for place in places)

    def unit(self, run: str, tag: str, step: int, row: int) -> dict[str, Any]:
        """All stored values of one unit, and the share of its layer's units below each value.

        Raises:
            SeriesNotFoundError: no such run, tag, step or row.
            metadata.UnreadableError: the bytes do not fit the header.
            ProviderError: the provider cannot read them.
        """
        header, raw = self._table(run, tag, step)
        if not row < header["n"]:
            raise SeriesNotFoundError(f"the unit table has {header['n']} rows")
        table = _as_columns(raw, header)
        peers = table["layer"] == table["layer"][row]
        measured = [name for name in header["columns"] if name not in ("layer", "unit")]
        by_class = {
            kind: _shortest(np.array([table[name][row] for name in measured if _is_of(kind, name)]))
            for kind in (metadata.CLASS_MEAN, metadata.CLASS_DROP)
        }
        return {
            "row": row,
            "layer": header["layers"][int(table["layer"][row])],
            "unit": int(table["unit"][row]),
            "values": {
                name: {
                    "value": _shortest(table[name][row : row + 1])[0],
                    "below": _share_below(table[name][peers], table[name][row]),
                }
                for name in measured
                if not any(_is_of(kind, name) for kind in by_class)
            },
            "classes": header["classes"],
            **by_class,
        }

    def distributions(
        self,
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
        found = self._ask(
            self.provider.read_blob_sequences, metadata.UNITS_PLUGIN_NAME, pairs, ALL_STEPS
        )
        read: list[tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]] = []
        broken: list[dict[str, Any]] = []
        for run, tag in pairs:
            try:
                data = _by_step(found.get(run, {}).get(tag) or [])
                datum = _at_step(data, step)
                header = metadata.parse_table_header(self._blob(datum, 0))
                table = _as_columns(_checked_table(self._blob(datum, 1), header), header)
                if column not in table:
                    raise metadata.UnreadableError("this quantity was not measured")
                steps = [one.step for one in data]
                facts = {"run": run, "tag": tag, "steps": steps, "step": datum.step}
                read.append((facts, header, table))
            except metadata.UnreadableError as error:
                broken.append({"run": run, "tag": tag, "error": str(error)})
        values = [table[column] for *_, table in read]
        edges = _edges(column, [*values, np.array(extent or (), np.float64)], n_bins)
        tables = [
            facts | {"layers": _by_layer(header, table, column, edges)}
            for facts, header, table in read
        ]
        return {"edges": edges.tolist(), "tables": tables + broken}

    def training(self, runs: Sequence[str]) -> list[dict[str, Any]]:
        """Loss and accuracy over the steps of a training, and the area under each curve.

        Args:
            runs: names of runs. A run without such data gets empty lists.

        Returns:
            A dictionary a run, as in http_api.md.
        """
        listed = self._ask(self.provider.list_scalars, "scalars")
        pairs = [
            (run, tag)
            for run in runs
            for tag in sorted(listed.get(run, {}))
            if tag.startswith(metadata.TRAINING_TAG)
        ]
        scalars = (
            self._ask(self.provider.read_scalars, "scalars", pairs, ALL_STEPS) if pairs else {}
        )
        areas = self._areas(runs)
        return [
            {
                "run": run,
                "scalars": {
                    tag.removeprefix(metadata.TRAINING_TAG): {
                        "steps": [datum.step for datum in data],
                        "values": _shortest(np.array([datum.value for datum in data])),
                    }
                    for tag, found in sorted(scalars.get(run, {}).items())
                    if (data := _by_step(found))
                },
                "curves": areas.get(run, []),
            }
            for run in runs
        ]

    def _areas(self, runs: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Area under each ablation curve of the runs, at every step."""
        listed = self._ask(self.provider.list_tensors, metadata.PLUGIN_NAME)
        metas: dict[Pair, dict[str, Any]] = {}
        for run in runs:
            for tag, series in sorted(listed.get(run, {}).items()):
                try:
                    meta = metadata.parse_content(series.plugin_content)
                except metadata.UnreadableError:
                    continue  # the index reports it
                if meta["kind"] == metadata.CURVE:
                    metas[run, tag] = meta
        data = self._tensors(list(metas)) if metas else {}
        areas: dict[str, list[dict[str, Any]]] = {}
        for (run, tag), meta in metas.items():
            points = [
                (datum.step, *area)
                for datum in _by_step(data.get((run, tag), []))
                if (area := _area(datum.numpy, meta)) is not None
            ]
            if points:
                steps, auc, normalized, sd, intact = zip(*points, strict=True)
                areas.setdefault(run, []).append(
                    {
                        "tag": tag,
                        "steps": list(steps),
                        "auc": _shortest(np.array(auc)),
                        "normalized": _shortest(np.array(normalized)),
                        "sd": _shortest(np.array(sd)),
                        "intact": _shortest(np.array(intact)),
                    }
                )
        return areas

    def _table(self, run: str, tag: str, step: int) -> tuple[dict[str, Any], bytes]:
        """Header and checked bytes of the table at exactly this step."""
        for datum in self._tables(run, tag):
            if datum.step == step:
                header = metadata.parse_table_header(self._blob(datum, 0))
                return header, _checked_table(self._blob(datum, 1), header)
        raise SeriesNotFoundError(f"no unit table at step {step}")

    def _tables(self, run: str, tag: str) -> list[tb_provider.BlobSequenceDatum]:
        pairs = [(run, tag)]
        found = self._ask(
            self.provider.read_blob_sequences, metadata.UNITS_PLUGIN_NAME, pairs, ALL_STEPS
        )
        data = found.get(run, {}).get(tag)
        if not data:
            raise SeriesNotFoundError("no unit table of this run and tag")
        return _by_step(data)

    def _blob(self, datum: tb_provider.BlobSequenceDatum, index: int) -> bytes:
        if len(datum.values) != 2:
            raise metadata.UnreadableError("a unit table must be two blobs: header and numbers")
        # The key comes from the provider, never from the browser: a provider does not check
        # whether a key belongs to this plugin.
        key = datum.values[index].blob_key
        return self._guarded(lambda: self.provider.read_blob(self.context, blob_key=key))

    def _tensors(self, pairs: Sequence[Pair]) -> dict[Pair, list[tb_provider.TensorDatum]]:
        """All steps of each series; a series that cannot be read is missing."""
        try:
            return self._read_tensors(pairs, ALL_STEPS)
        except ProviderError:
            # One bad series (bfloat16, for example) fails the whole call, and many large steps
            # exceed the fast loader's limit of 256 MiB a reply. Then the series are read one by
            # one, and only their last step.
            data: dict[Pair, list[tb_provider.TensorDatum]] = {}
            for pair in pairs:
                for steps in (ALL_STEPS, 1):
                    try:
                        data |= self._read_tensors([pair], steps)
                        break
                    except ProviderError:
                        continue
            return data

    def _read_tensors(self, pairs, steps) -> dict[Pair, list[tb_provider.TensorDatum]]:
        found = self._ask(self.provider.read_tensors, metadata.PLUGIN_NAME, pairs, steps)
        return {(run, tag): list(data) for run in found for tag, data in found[run].items()}

    def _ask(self, method, plugin_name=None, pairs: Sequence[Pair] = (), downsample=None):
        arguments: dict[str, Any] = {"experiment_id": self.experiment}
        if plugin_name is not None:
            arguments["plugin_name"] = plugin_name
        if pairs:
            arguments["run_tag_filter"] = tb_provider.RunTagFilter(
                runs={run for run, _ in pairs}, tags={tag for _, tag in pairs}
            )
        if downsample is not None:
            arguments["downsample"] = downsample
        return self._guarded(lambda: method(self.context, **arguments)) or {}

    def _guarded(self, question):
        try:
            return question()
        except errors.PublicError:
            raise
        except Exception as error:
            # The fast loader raises gRPC's errors, the slow loader any error of a decoder.
            logger.warning("the data provider failed: %s", type(error).__name__)
            raise ProviderError(
                "TensorBoard could not read this data from the log directory. It may be "
                "damaged, or larger than its data server can send (256 MiB)."
            ) from None


def _sorted_series(by_run: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, Any]]:
    # The fast loader lists in arbitrary order.
    return [(run, tag, by_run[run][tag]) for run in sorted(by_run) for tag in sorted(by_run[run])]


def _series(run: str, tag: str, listed: Any, kinds: Sequence[str]) -> dict[str, Any]:
    meta = metadata.parse_content(listed.plugin_content)
    kind = meta.pop("kind")
    if kind not in kinds:
        raise metadata.UnreadableError(f"not stored as a series of kind {kind!r} is")
    return {
        "run": run,
        "tag": tag,
        "kind": kind,
        "meta": meta,
        "description": listed.description,
        "max_step": listed.max_step,
    }


def _by_step(data: Sequence[Any]) -> list[Any]:
    """Sorted by step, one for each step: the last written wins, as in the fast loader."""
    return [datum for _, datum in sorted({datum.step: datum for datum in data}.items())]


def _at_step(data: Sequence[Any], step: int | None) -> Any:
    """The latest entry not after a step (None: the last entry); the first if all are after the
    step."""
    if not data:
        raise metadata.UnreadableError("TensorBoard could not read the numbers of this series")
    earlier = [datum for datum in data if step is None or datum.step <= step]
    return earlier[-1] if earlier else data[0]


def _curve(
    data: Sequence[Any], meta: Mapping[str, Any], step: int | None
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """The steps of a curve, the chosen step, and its x (points,) and rows (orderings, points)."""
    data = _by_step(data)
    chosen = _at_step(data, step)
    x, rows = _checked_curve(chosen.numpy, meta)
    facts = {
        "steps": [datum.step for datum in data],
        "step": chosen.step,
        "walltime": chosen.wall_time,
    }
    return facts, x, rows


def _checked_curve(tensor: Any, meta: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """x float (points,) and rows float (orderings, points) of a stored curve."""
    values = np.asarray(tensor)
    if values.dtype.kind != "f" or values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
        raise metadata.UnreadableError(
            f"a curve must be numbers of shape (1 + orderings, points), got {values.dtype} "
            f"{values.shape}"
        )
    x = values[0]
    if not np.all(np.isfinite(x)) or np.any(np.diff(x) <= 0) or x[0] < 0:
        raise metadata.UnreadableError("the points of a curve must increase from 0 or more")
    if meta["kind"] == metadata.CURVE and x[-1] > meta["n_units"]:
        raise metadata.UnreadableError(
            f"the counts of ablated units must end at {meta['n_units']} or less"
        )
    return x, values[1:]


def _area(tensor: Any, meta: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Mean area over the fraction of units ablated, mean and s.d. over the orderings of the area
    by intact accuracy, and the intact accuracy; None for a curve that is not whole."""
    try:
        x, rows = _checked_curve(tensor, meta)
    except metadata.UnreadableError:
        return None
    if x[0] != 0 or x[-1] != meta["n_units"] or not np.all(rows[:, 0] > 0):
        return None
    areas = np.trapezoid(rows.astype(np.float64), x.astype(np.float64) / x[-1], axis=1)
    normalized = areas / rows[:, 0]
    sd = float(np.std(normalized, ddof=1)) if len(normalized) > 1 else 0.0
    return float(areas.mean()), float(normalized.mean()), sd, float(rows[:, 0].mean())


def _is_of(kind: str, column: str) -> bool:
    return column.startswith(f"{kind}/")


def _as_columns(raw: bytes, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
    table = np.frombuffer(raw, "<f4").reshape(len(header["columns"]), header["n"])
    return dict(zip(header["columns"], table, strict=True))


def _share_below(values: np.ndarray, value: np.float32) -> float | None:
    """The share of the values, without NaN, that lies below one value."""
    numbers = values[~np.isnan(values)]
    if np.isnan(value) or not numbers.size:
        return None
    return round(float(np.mean(numbers < value)), 4)


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


def _by_layer(
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


def _shortest(values: np.ndarray) -> list[Any]:
    """Shortest decimals that are the same float32 again: 0.9, not 0.8999999761581421.

    JSON has no NaN or infinity; they become None. Nested lists for several axes.
    """
    return _decimals(values).tolist()


def _shortest_of(arrays: Sequence[np.ndarray]) -> list[list[Any]]:
    """`_shortest` of each array, computed at once: every NumPy call has a cost."""
    if not arrays:
        return []
    ends = np.cumsum([array.size for array in arrays])
    parts = np.split(_decimals(np.concatenate([array.ravel() for array in arrays])), ends[:-1])
    return [part.reshape(array.shape).tolist() for part, array in zip(parts, arrays, strict=True)]


def _decimals(values: np.ndarray) -> np.ndarray:
    """float64 of the same shape; objects if some values are None."""
    single = np.asarray(values).astype(np.float32)
    finite = np.isfinite(single)
    if single.size <= FEW_NUMBERS:
        decimals = single.astype(str).astype(np.float64)
    else:
        decimals = _rounded_alike(np.where(finite, single, np.float32(0)))
    if finite.all():
        return decimals
    answer = decimals.astype(object)
    answer[~finite] = None
    return answer


def _rounded_alike(single: np.ndarray) -> np.ndarray:
    """The decimals that printing each float32 gives. Rounding all at once is many times faster."""
    wide = single.astype(np.float64)
    decimals, open_ = wide.copy(), np.ones(single.shape, bool)
    for places in range(10):
        rounded = np.round(wide, places)
        fits = open_ & (rounded.astype(np.float32) == single)
        decimals[fits] = rounded[fits]
        open_ &= ~fits
    # The few very small numbers that need more places are printed.
    decimals[open_] = single[open_].astype(str).astype(np.float64)
    return decimals


def _checked_table(raw: bytes, header: Mapping[str, Any]) -> bytes:
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
