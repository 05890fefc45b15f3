"""Real TensorBoards, a data provider made of dictionaries, and what the tests write for them."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard import context as tb_context
from tensorboard.data import provider

from tb_plugin import metadata

ROUTES = "/data/plugin/single_directions"
# TensorBoard imports TensorFlow first, which takes long while other things run beside it.
START_WITHIN_S = 120
READ_WITHIN_S = 40
HOSTILE = "<img src=x onerror=alert(1)>"
MANY_STEPS = 1000
# Six runs with two curves and noise, 4 unit tables, the run with many steps.
DEMO_SERIES = 23
IMPORTANCE = [0.1, -0.2, 0.4, 0.0, 0.3]  # of the units of run/model
# TensorBoard as it is where TensorFlow is not installed: its own stub in the place of TensorFlow,
# which it would import for ten seconds and not need.
WITHOUT_TENSORFLOW = (
    "import sys, types; sys.modules['tensorboard.compat.notf'] = types.ModuleType('notf'); "
    "from tensorboard.main import run_main; run_main()"
)


class FakeProvider(provider.DataProvider):
    """A data provider that answers from dictionaries.

    tensors: {(run, tag): (content, [(step, array)])}
    tables: {(run, tag): (content, [(step, [blob, blob])])}
    scalars: {(run, tag): (b"", [(step, number)])}
    """

    def __init__(self, tensors=None, tables=None, runs=(), scalars=None):
        self.tensors, self.tables = dict(tensors or {}), dict(tables or {})
        self.scalars = dict(scalars or {})
        self.runs = runs
        self.experiments: list[str] = []
        self.fault: Exception | None = None

    def list_plugins(self, ctx=None, *, experiment_id):
        return [metadata.PLUGIN_NAME]

    def list_runs(self, ctx=None, *, experiment_id):
        self._seen(ctx, experiment_id)
        names = {run for run, _ in [*self.tensors, *self.tables]} | set(self.runs)
        return [provider.Run(name, name, 0.0) for name in names]

    def list_scalars(self, ctx=None, *, experiment_id, plugin_name, run_tag_filter=None):
        self._seen(ctx, experiment_id)
        assert plugin_name == "scalars"
        return self._listed(self.scalars, provider.ScalarTimeSeries, {}, run_tag_filter)

    def read_scalars(
        self, ctx=None, *, experiment_id, plugin_name, downsample=None, run_tag_filter=None
    ):
        self._seen(ctx, experiment_id)
        found: dict[str, Any] = {}
        for run, tag, (_, points) in self._chosen(self.scalars, run_tag_filter):
            data = [provider.ScalarDatum(step, 1.5, number) for step, number in points]
            found.setdefault(run, {})[tag] = data[-downsample:]
        return found

    def read_last_scalars(self, ctx=None, **_):
        return {}

    def list_tensors(self, ctx=None, *, experiment_id, plugin_name, run_tag_filter=None):
        self._seen(ctx, experiment_id)
        assert plugin_name == metadata.PLUGIN_NAME
        return self._listed(self.tensors, provider.TensorTimeSeries, {}, run_tag_filter)

    def read_tensors(
        self, ctx=None, *, experiment_id, plugin_name, downsample=None, run_tag_filter=None
    ):
        self._seen(ctx, experiment_id)
        assert isinstance(downsample, int)
        found: dict[str, Any] = {}
        for run, tag, (_, points) in self._chosen(self.tensors, run_tag_filter):
            if any(isinstance(array, Exception) for _, array in points):
                raise next(array for _, array in points if isinstance(array, Exception))
            data = [provider.TensorDatum(step, 1.5, array) for step, array in points]
            found.setdefault(run, {})[tag] = data[-downsample:]
        return found

    def list_blob_sequences(self, ctx=None, *, experiment_id, plugin_name, run_tag_filter=None):
        self._seen(ctx, experiment_id)
        assert plugin_name == metadata.UNITS_PLUGIN_NAME
        kind = provider.BlobSequenceTimeSeries
        return self._listed(self.tables, kind, {"max_length": 2}, run_tag_filter)

    def read_blob_sequences(
        self, ctx=None, *, experiment_id, plugin_name, downsample=None, run_tag_filter=None
    ):
        self._seen(ctx, experiment_id)
        found: dict[str, Any] = {}
        for run, tag, (_, points) in self._chosen(self.tables, run_tag_filter):
            found.setdefault(run, {})[tag] = [
                provider.BlobSequenceDatum(
                    step,
                    1.5,
                    [
                        provider.BlobReference(json.dumps([run, tag, at, i]))
                        for i in range(len(blobs))
                    ],
                )
                for at, (step, blobs) in enumerate(points)
            ]
        return found

    def read_blob(self, ctx=None, *, blob_key):
        run, tag, at, i = json.loads(blob_key)
        return self.tables[run, tag][1][at][1][i]

    def _seen(self, ctx, experiment_id):
        assert isinstance(ctx, tb_context.RequestContext)
        self.experiments.append(experiment_id)
        if self.fault:
            raise self.fault

    def _chosen(self, series, wanted):
        for (run, tag), stored in series.items():
            if wanted is None or (run in wanted.runs and tag in wanted.tags):
                yield run, tag, stored

    def _listed(self, series, kind, more, wanted):
        found: dict[str, Any] = {}
        for run, tag, (content, points) in self._chosen(series, wanted):
            found.setdefault(run, {})[tag] = kind(
                max_step=max((step for step, _ in points), default=0),
                max_wall_time=1.5,
                plugin_content=content,
                description="",
                display_name="",
                **more,
            )
        return found


class TensorBoard:
    """A real TensorBoard process on a free port; what it prints is kept.

    Args:
        tensorflow: whether it may find TensorFlow.
        python: of the environment in which it is installed; None for this one.
    """

    def __init__(
        self,
        logdir: Path,
        *flags: str,
        tensorflow: bool = False,
        python: Path | None = None,
    ):
        program = ["-m", "tensorboard.main"] if tensorflow else ["-c", WITHOUT_TENSORFLOW]
        command = [str(python or sys.executable), *program, f"--logdir={logdir}", "--port=0"]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        self.process = subprocess.Popen(
            [*command, *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | quiet,
            cwd=logdir if python else None,  # the checkout must not be found there
        )
        self.printed: list[str] = []
        self._address: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._url: str | None = None

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.printed.append(line)
            found = re.search(r"at (http://\S+?)/? \(Press", line)
            if found:
                self._address.put(found[1])
        self._address.put(None)

    @property
    def url(self) -> str:
        """The address with the path prefix, without a slash at its end."""
        if self._url is None:
            try:
                self._url = self._address.get(timeout=START_WITHIN_S)
            except queue.Empty:
                self._url = None
            assert self._url, "TensorBoard did not start:\n" + "".join(self.printed)
        return self._url

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def post(self, path: str, question: dict[str, Any]) -> Any:
        """The answer to a question in JSON."""
        headers = {"Content-Type": "application/json"}
        body = json.dumps(question).encode()
        request = urllib.request.Request(self.url + ROUTES + path, body, headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.loads(reply.read())

    def json(self, path: str) -> Any:
        status, body = self.get(ROUTES + path)
        assert status == 200, body
        return json.loads(body)

    def wait_for_index(self, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The index once TensorBoard has read enough of the log directory."""
        end = time.monotonic() + READ_WITHIN_S
        while True:
            index = self.json("/api/v1/index")
            if enough(index):
                return index
            assert time.monotonic() < end, f"not read in {READ_WITHIN_S} s: {str(index)[:2000]}"
            time.sleep(0.1)  # the log directory is read in the background; nothing announces it

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
        self._reader.join(timeout=10)
        if self.process.stderr:
            self.process.stderr.close()


def read_whole(board: TensorBoard) -> dict[str, Any]:
    """The index once all runs and steps have been read."""

    def enough(index):
        steps = [s["max_step"] for s in index["series"] if s["tag"] == "steps"]
        return len(index["series"]) >= DEMO_SERIES and steps == [MANY_STEPS - 1]

    return board.wait_for_index(enough)


def tiny_curve() -> np.ndarray:
    return np.array([[0, 2, 4], [1.0, 0.9, 0.1], [1.0, 0.8, 0.1]], "f4")


def tiny_content(**changes: Any) -> bytes:
    settings = {name: "random" for name in metadata.CURVE_SETTINGS} | {"n_units": 4} | changes
    return metadata.encode_content(metadata.CURVE, {"label corruption": "0.2"}, **settings)


def tiny_table() -> list[bytes]:
    """The unit table of http_api.md."""
    columns = ["layer", "unit", "class_selectivity", "importance"]
    header = metadata.encode_table_header(3, columns, ["hidden_1", "hidden_2"])
    values = [[0, 0, 1], [0, 1, 0], [0, 0.5, 1], [0, 0.25, -0.5]]
    return [header, np.array(values, "<f4").tobytes()]


def many_steps_curve(step: int) -> np.ndarray:
    """Accuracy of 3 orderings at 5 points, different at every step."""
    rng = np.random.default_rng(step)
    return rng.random((3, 5), dtype="f4")


def write_importance(folder: Path, importance: list[float]) -> None:
    """A sweep over the single units of a network of one layer, hidden_1, with ten classes."""
    from repro.core import results
    from repro.core.kinds import UnitTable

    n_units = len(importance)
    table = UnitTable(
        layers=(("hidden_1", n_units),),
        class_means=np.zeros((10, n_units)),
        n_correct=np.zeros((n_units, 10), np.int64),
        loss=2.0 + np.array(importance),
        intact_correct=np.zeros(10, np.int64),
        intact_loss=2.0,
        class_counts=np.full(10, 100),
        sparsity=np.zeros(n_units),
        mutual_information=np.zeros(n_units),
        mutual_information_bias=np.zeros(n_units),
        weight_norm=np.ones(n_units),
        images="test",
        fill="zero",
    )
    (folder / f"{table.kind}-0123456789.npz").write_bytes(results.to_bytes(table))
