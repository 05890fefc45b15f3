"""Reads ablation data from TensorBoard's data provider, and checks it.

A log directory may hold anything: series by other programs under our name, half-written
files, data from a later version. Each function answers for the series it can read and says
for each other one, in a sentence, why not.
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

# The provider demands a number; more steps than anyone analyses.
ALL_STEPS = 100_000

Pair = tuple[str, str]  # run, tag


class ProviderError(RuntimeError):
    """TensorBoard's data provider failed; the text is fit for the user."""


class SeriesNotFoundError(LookupError):
    """There is no such run, tag or step."""


@dataclass(frozen=True)
class Reader:
    """Questions to one experiment.

    Attributes:
        provider: TensorBoard's data provider.
        context: the request context, passed on to the provider.
        experiment: experiment id, "" for a local log directory.
    """

    provider: tb_provider.DataProvider
    context: Any
    experiment: str

    def index(self) -> dict[str, Any]:
        """All runs, the series that can be shown, and those that cannot and why."""
        runs = self._ask(self.provider.list_runs)
        found = [
            (self._ask(self.provider.list_tensors, metadata.PLUGIN_NAME), metadata.CURVE),
            (
                self._ask(self.provider.list_blob_sequences, metadata.UNITS_PLUGIN_NAME),
                metadata.UNITS,
            ),
        ]
        series, skipped = [], []
        for by_run, kind in found:
            for run, tag, listed in _sorted_series(by_run):
                try:
                    series.append(_series(run, tag, listed, kind))
                except metadata.NewerSchemaError:
                    skipped.append({"run": run, "tag": tag, "reason": "newer"})
                except metadata.UnreadableError as error:
                    skipped.append({"run": run, "tag": tag, "reason": str(error)})
        names = sorted({run.run_name for run in runs} | {entry["run"] for entry in series})
        return {"runs": names, "series": series, "skipped": skipped}

    def curves(self, pairs: Sequence[Pair], step: int | None) -> list[dict[str, Any]]:
        """Ablation curves of several series, in the order asked for.

        Args:
            pairs: run and tag of each.
            step: the curve at the latest step not after this one (else the first step);
                None: the last.

        Returns:
            Per pair a dictionary as in http_api.md, or {"run", "tag", "error"}.

        Raises:
            SeriesNotFoundError: none of the pairs exists.
            ProviderError: the provider cannot list the series.
        """
        listed = self._ask(self.provider.list_tensors, metadata.PLUGIN_NAME, pairs)
        known = [pair for pair in pairs if pair[1] in listed.get(pair[0], {})]
        if not known:
            raise SeriesNotFoundError("no ablation curve of this run and tag")
        data = self._tensors(known)
        replies = []
        for run, tag in pairs:
            try:
                content = listed[run][tag].plugin_content
                curve = _curve(data.get((run, tag), []), metadata.parse_content(content), step)
            except KeyError:
                curve = {"error": "no ablation curve of this run and tag"}
            except metadata.UnreadableError as error:
                curve = {"error": str(error)}
            replies.append({"run": run, "tag": tag, **curve})
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

    def table_bytes(self, run: str, tag: str, step: int) -> bytes:
        """The numbers of one unit table: float32 little-endian, column after column.

        Raises:
            SeriesNotFoundError: no such run, tag or step.
            metadata.UnreadableError: the bytes do not fit the header.
            ProviderError: the provider cannot read them.
        """
        for datum in self._tables(run, tag):
            if datum.step == step:
                header = metadata.parse_table_header(self._blob(datum, 0))
                return _checked_table(self._blob(datum, 1), header)
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
            # One bad series (bfloat16, say) fails the whole call, and many large steps pass
            # the fast loader's limit of 256 MiB a reply: then one by one, the last step only.
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
            # The fast loader raises gRPC's errors, the slow one whatever a decoder raised.
            logger.warning("the data provider failed: %s", type(error).__name__)
            raise ProviderError(
                "TensorBoard could not read this data from the log directory. It may be "
                "damaged, or larger than its data server can send (256 MiB)."
            ) from None


def _sorted_series(by_run: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, Any]]:
    # The fast loader lists in arbitrary order.
    return [(run, tag, by_run[run][tag]) for run in sorted(by_run) for tag in sorted(by_run[run])]


def _series(run: str, tag: str, listed: Any, kind: str) -> dict[str, Any]:
    meta = metadata.parse_content(listed.plugin_content)
    if meta.pop("kind") != kind:
        raise metadata.UnreadableError(f"not stored as a series of kind {kind!r}")
    return {
        "run": run,
        "tag": tag,
        "kind": kind,
        "meta": meta,
        "description": listed.description,
        "max_step": listed.max_step,
    }


def _by_step(data: Sequence[Any]) -> list[Any]:
    """Sorted by step, one each: the last written wins, as in the fast loader."""
    return [datum for _, datum in sorted({datum.step: datum for datum in data}.items())]


def _curve(data: Sequence[Any], meta: Mapping[str, Any], step: int | None) -> dict[str, Any]:
    data = _by_step(data)
    if not data:
        raise metadata.UnreadableError("TensorBoard could not read the numbers of this series")
    earlier = [datum for datum in data if step is None or datum.step <= step]
    chosen = earlier[-1] if earlier else data[0]
    x, rows = _checked_curve(chosen.numpy, meta["n_units"])
    return {
        "steps": [datum.step for datum in data],
        "step": chosen.step,
        "walltime": chosen.wall_time,
        "x": x,
        "rows": rows,
    }


def _checked_curve(tensor: Any, n_units: int) -> tuple[list[float], list[list[float | None]]]:
    values = np.asarray(tensor)
    if values.dtype.kind != "f" or values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
        raise metadata.UnreadableError(
            f"a curve must be numbers of shape (1 + orderings, points), got {values.dtype} "
            f"{values.shape}"
        )
    x = values[0]
    if not np.all(np.isfinite(x)) or np.any(np.diff(x) <= 0) or x[0] < 0 or x[-1] > n_units:
        raise metadata.UnreadableError(
            f"the counts of ablated units must increase from 0 or more to {n_units} or less"
        )
    return _shortest(x), [_shortest(row) for row in values[1:]]  # type: ignore[return-value]


def _shortest(values: np.ndarray) -> list[float | None]:
    """Shortest decimals that are the same float32 again: 0.9, not 0.8999999761581421.

    JSON has no NaN or infinity; they become None.
    """
    decimals = values.astype(np.float32).astype(str)
    return [
        float(text) if ok else None for text, ok in zip(decimals, np.isfinite(values), strict=True)
    ]


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
