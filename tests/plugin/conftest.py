"""Log directories, a data provider made of dictionaries, real TensorBoards, a real browser."""

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard import context as tb_context
from tensorboard.data import provider

from tb_plugin import demo, metadata, summary

ROUTES = "/data/plugin/single_directions"
# TensorBoard imports TensorFlow first, which takes long while other things run beside it.
START_WITHIN_S = 120
READ_WITHIN_S = 40
HOSTILE = "<img src=x onerror=alert(1)>"
MANY_STEPS = 1000


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


# TensorBoard as it is where TensorFlow is not installed: its own stub in the place of TensorFlow,
# which it would import for ten seconds and not need.
WITHOUT_TENSORFLOW = (
    "import sys, types; sys.modules['tensorboard.compat.notf'] = types.ModuleType('notf'); "
    "from tensorboard.main import run_main; run_main()"
)


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


@pytest.fixture
def fake_provider() -> FakeProvider:
    """One curve at two steps and one unit table, as in http_api.md."""
    return FakeProvider(
        tensors={
            ("tiny", "curve"): (tiny_content(), [(10, tiny_curve()), (100, tiny_curve())]),
        },
        tables={
            ("tiny", "units"): (metadata.encode_content("units", {}), [(5, tiny_table())]),
        },
        runs=["someone_elses_run"],
    )


def many_steps_curve(step: int) -> np.ndarray:
    """Accuracy of 3 orderings at 5 points, different at every step."""
    rng = np.random.default_rng(step)
    return rng.random((3, 5), dtype="f4")


def write_many_steps(logdir: Path) -> None:
    """More steps than TensorBoard keeps by default, with settings of their own."""
    with summary.Writer(logdir / "many_steps") as writer:
        for step in range(MANY_STEPS):
            accuracy = many_steps_curve(step)
            curve = summary.ablation_curve(
                "steps", [0, 1, 2, 3, 4], accuracy, n_units=4, split="test"
            )
            writer.add(curve, step=step)


@pytest.fixture(scope="session")
def demo_logdir(tmp_path_factory) -> Path:
    """The demo, and a run with many steps."""
    logdir = tmp_path_factory.mktemp("demo") / "log"
    assert demo.main([str(logdir)]) == 0
    write_many_steps(logdir)
    return logdir


@pytest.fixture(scope="session")
def crowded_logdir(tmp_path_factory, demo_logdir) -> Path:
    """The demo beside a run whose every name is an attack on the page."""
    logdir = tmp_path_factory.mktemp("crowded") / "log"
    shutil.copytree(demo_logdir, logdir)
    with summary.Writer(logdir / HOSTILE.replace("/", "")) as writer:
        facts = {HOSTILE: HOSTILE, "label corruption": HOSTILE}
        writer.add(
            summary.ablation_curve(
                HOSTILE, [0, 1024], [[1.0, 0.1]], n_units=1024, facts=facts, description=HOSTILE
            )
        )
        columns = {"class_selectivity": [0.1, 0.9], "importance": [0.0, 0.1], HOSTILE: [1.0, 2.0]}
        writer.add(summary.unit_table("units", [HOSTILE] * 2, [0, 1], columns, facts=facts))
    return logdir


@pytest.fixture(scope="session")
def lab_models(tmp_path_factory) -> Path:
    """A folder of models for the lab, three of which must be refused.

    tiny/model: dense, with images; wide/model: the same with 700 units in its one layer;
    conv/model: convolutional, with images; run/model: as a run of the laboratory leaves it, with
    its config and the importance of its units; no_images; unsafe; broken.
    """
    import keras

    import repro
    from repro.core.config import TrainConfig, to_dict

    folder = tmp_path_factory.mktemp("models")
    model = repro.mlp((8, 8, 1), 4, (12, 6), seed=3)
    save_with_images(model, folder / "tiny", (8, 8, 1))
    model.save(folder / "no_images.keras")
    save_with_images(repro.mlp((8, 8, 1), 4, (700,), seed=1), folder / "wide", (8, 8, 1))
    save_with_images(small_convnet(), folder / "conv", (6, 6, 2))
    (folder / "run").mkdir()
    repro.mlp((28, 28, 1), 10, (5,)).save(folder / "run" / "model.keras")
    config = TrainConfig("mnist", "mlp", hidden_units=(5,), n_train=200, label_corruption=0.5)
    (folder / "run" / "config.json").write_text(json.dumps(to_dict(config)), encoding="utf-8")
    write_importance(folder / "run", IMPORTANCE)
    unsafe = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    unsafe.save(folder / "unsafe.keras")
    (folder / "broken.keras").write_bytes(b"cut short")
    return folder


IMPORTANCE = [0.1, -0.2, 0.4, 0.0, 0.3]  # of the units of run/model


def save_with_images(model: Any, folder: Path, shape: tuple[int, ...], n_images: int = 80) -> None:
    """Saves a model of four classes with random images beside it."""
    folder.mkdir()
    model.save(folder / "model.keras")
    np.savez(
        folder / "model.images.npz",
        images=np.random.default_rng(0).integers(0, 256, (n_images, *shape)).astype("u1"),
        labels=np.arange(n_images) % 4,
        class_names=np.array(["zero", "one", "two", "three"]),
    )


def small_convnet() -> Any:
    """Two convolutions of 5 and 4 feature maps, and logits of four classes."""
    import keras

    import repro

    keras.utils.set_random_seed(1)
    x = images = keras.Input((6, 6, 2))
    for number, n_maps in enumerate((5, 4), start=1):
        x = keras.layers.Conv2D(
            n_maps, 3, padding="same", activation="relu", name=f"conv_{number}"
        )(x)
        x = repro.AblationMask(name=f"conv_{number}_mask")(x)
    logits = keras.layers.Dense(4, name="logits")(keras.layers.Flatten()(x))
    return keras.Model(images, logits)


def write_importance(folder: Path, importance: list[float]) -> None:
    """A sweep over the single units of a network of one layer, hidden_1, with ten classes."""
    from repro.core import results

    n_units = len(importance)
    table = results.UnitTable(
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


@pytest.fixture(scope="session")
def fast_tensorboard(demo_logdir) -> Iterator[TensorBoard]:
    board = TensorBoard(demo_logdir, "--load_fast=true")
    yield board
    board.close()


@pytest.fixture(scope="session")
def slow_tensorboard(crowded_logdir) -> Iterator[TensorBoard]:
    """The Python loader, under a path prefix."""
    board = TensorBoard(crowded_logdir, "--load_fast=false", "--path_prefix=/some/where")
    yield board
    board.close()


@pytest.fixture(scope="session")
def tensorboards(fast_tensorboard, slow_tensorboard) -> dict[str, TensorBoard]:
    return {"fast": fast_tensorboard, "slow": slow_tensorboard}


@pytest.fixture(scope="session")
def lab_board(tmp_path_factory, demo_logdir, lab_models):
    """A TensorBoard with the lab; one run more has the units of the model called tiny."""
    logdir = tmp_path_factory.mktemp("lab") / "log"
    shutil.copytree(demo_logdir, logdir)
    layers, units = ["hidden_1"] * 12 + ["hidden_2"] * 6, [*range(12), *range(6)]
    columns = {"class_selectivity": np.linspace(0, 1, 18), "importance": np.zeros(18)}
    means = np.ones((18, 4))
    with summary.Writer(logdir / "tiny") as writer:
        table = summary.unit_table(
            "units",
            layers,
            units,
            columns,
            classes=["zero", "one", "two", "three"],
            class_means=means,
            facts={"model": "tiny"},
        )
        writer.add(table)
    board = TensorBoard(logdir, "--load_fast=true", f"--single_directions_models={lab_models}")
    yield board
    board.close()
    assert "Traceback" not in "".join(board.printed)


def _no_browser(reason: str) -> None:
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(f"browser tests did not run: {reason}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        _no_browser("no Chromium on PATH; on Debian: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _no_browser("the Python package playwright is not installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield launched
        launched.close()
