"""A new kind of sweep is a home, a function that makes it and a panel; all else finds it by name.

The kind is the example of docs/develop.md: each layer of a network is ablated as a whole.
"""

from __future__ import annotations

import ast
import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from matplotlib.axes import Axes
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from repro.core import kinds
from repro.core.kinds import KINDS, Intact, IntactConfig, Kind, Portraits
from repro.core.kinds.kind import check_shape
from repro.core.results import FigureResult
from repro.core.settings import FILLS, ConfigError, PanelConfig, SweepConfig, setting
from repro.core.toml import load_figure
from repro.data import load
from repro.data.source import DataSource
from repro.engine.sweeps import RUNNERS, Inputs
from repro.experiments import collect, worker
from repro.experiments.plan import failures, plan
from repro.experiments.runs import Runs
from repro.experiments.task import Task
from repro.models.loading import load_model
from repro.paper import figures, panels, summaries
from repro.paper.measures import sweeps_of
from repro.training import train as training
from tb_plugin import summary as plugin_summary
from tests.helpers import plain
from tests.helpers.page import Page, written

ROOT = Path(__file__).parents[3]

# --- The kind's home, as a file in repro/core/kinds would have it -------------------------------


@dataclass(frozen=True)
class WholeLayersConfig(SweepConfig):
    """Ablation of each layer as a whole."""

    fill: str = setting("zero", choices=FILLS[:1])

    kind: ClassVar[str] = "whole_layers"

    def n_lesions(self, n_units: int) -> int:
        """How many lesions the sweep makes at most."""
        return n_units


@dataclass(frozen=True)
class WholeLayers:
    """n_correct: int64 (n_layers,); loss: float64 (n_layers,), mean, in nats."""

    kind: ClassVar[str] = "whole_layers"

    layers: tuple[tuple[str, int], ...]
    n_correct: np.ndarray
    loss: np.ndarray
    n_images: int
    images: str
    n_tied: int | None = None

    def __post_init__(self) -> None:
        check_shape("n_correct", self.n_correct, (len(self.layers),))

    @property
    def accuracy(self) -> np.ndarray:
        return self.n_correct / self.n_images


def rows(found: WholeLayers) -> Iterator[tuple[Any, ...]]:
    for (name, _), accuracy, loss in zip(found.layers, found.accuracy, found.loss, strict=True):
        yield name, float(accuracy), float(loss)


WHOLE_LAYERS = Kind(
    WholeLayersConfig,
    WholeLayers,
    title="Whole layers",
    table="layers",
    columns=("layer", "accuracy", "loss"),
    rows=rows,
    words=lambda settings: f"every layer as a whole, clamped to {settings.fill}",
    panels=("layers",),
)


# --- What other rooms do with it ----------------------------------------------------------------


def run(config: WholeLayersConfig, inputs: Inputs) -> WholeLayers:
    engine = inputs.engine()
    sizes = [size for _, size in engine.layout.layers]
    outcome = engine.evaluate(1 - np.repeat(np.eye(len(sizes)), sizes, axis=1))
    return WholeLayers(
        layers=engine.layout.layers,
        n_correct=outcome.n_correct.sum(axis=1),
        loss=outcome.loss,
        n_images=outcome.n_images,
        images=config.images,
        n_tied=int(outcome.n_tied.sum()),
    )


def draw(figure: FigureResult, panel: PanelConfig, axes: Axes, theme: Any) -> None:
    found = sweeps_of(figure.networks, WholeLayers, panel.sweep)[0]
    names = [name for name, _ in found.layers]
    axes.bar(names, found.accuracy, color=theme.blue, gid="whole-layers")
    axes.set_ylabel("accuracy without the layer")


def summarize(found: WholeLayers, place: summaries.Place) -> Iterator[plugin_summary.Summary]:
    for (name, _), accuracy in zip(found.layers, found.accuracy, strict=True):
        yield plugin_summary.training_scalar(f"accuracy_without_{name}", float(accuracy))


@pytest.fixture(scope="module")
def whole_layers() -> Iterator[Kind]:
    kinds.register(WHOLE_LAYERS)
    RUNNERS.of("whole_layers")(run)
    panels.DRAWN.of("layers")(draw)
    summaries.SUMMARIES.of("whole_layers")(summarize)
    yield WHOLE_LAYERS
    KINDS.remove("whole_layers")
    del RUNNERS["whole_layers"], panels.DRAWN["layers"], summaries.SUMMARIES["whole_layers"]


# --- What became of it --------------------------------------------------------------------------

CONFIG = """
title = "What a network is without one of its layers"
[common.train]
dataset = "mnist"
origin = "embedded"
network = "mlp"
hidden_units = [16, 8]
n_train = 500
epochs = 3
jit_compile = false
[common.whole_layers]
n_images = 0
[quick]
"""


class Made(NamedTuple):
    figure: FigureResult
    runs: Runs


def written_config(folder: Path) -> Path:
    path = folder / "layers_mnist.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def made(whole_layers: Kind, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The plan of a config with the new kind, carried out, and what was read back."""
    folder = tmp_path_factory.mktemp("new_kind")
    config = load_figure(written_config(folder), "quick")
    source, runs = DataSource("mnist", "embedded"), Runs(folder / "runs")
    jobs = plan([config])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "configure", lambda threads: None)  # TensorFlow has begun
        for job in jobs:
            task = Task(job, str(runs.root), source, 1, 1e9)
            worker.work(Task.from_json(task.to_json()), lambda words: None)
    assert not failures(jobs, runs)
    return Made(collect.collect(config, runs, "the digits", "no command"), runs)


def found_in(made: Made) -> WholeLayers:
    found = made.figure.networks[0].sweeps["whole_layers"]
    assert isinstance(found, WholeLayers)
    return found


def test_its_result_is_read_back_and_is_that_of_plain_keras(made: Made) -> None:
    (network,) = made.figure.networks
    found = found_in(made)
    assert found.n_images == 1000 and found.layers == (("hidden_1", 16), ("hidden_2", 8))
    model = load_model(made.runs.network(network.config).model)
    test = load.load(DataSource("mnist", "embedded"), network.config).test
    for layer, (start, stop) in enumerate([(0, 16), (16, 24)]):
        keep = np.ones(24)
        keep[start:stop] = 0
        expected = plain.answer(model, found.layers, test.images, test.labels, keep)
        assert found.n_correct[layer] == expected.n_correct.sum()


def test_it_is_in_the_report_with_table_numbers_words_and_picture(made: Made) -> None:
    files, _ = written(made.figure)
    table = list(csv.DictReader(io.StringIO(files["layers_layers.csv"].decode(), newline="")))
    assert [row["layer"] for row in table] == ["hidden_1", "hidden_2"]
    assert [float(row["accuracy"]) for row in table] == found_in(made).accuracy.tolist()
    numbers = json.loads(files["summary.json"])["layers"]["networks"][0]["sweeps"]
    assert numbers == {"whole_layers": {"kind": "whole_layers", "images": "test", "n_images": 1000}}
    page = Page(files["index.html"].decode()).text
    assert "every layer as a whole, clamped to zero" in page
    assert "layers_layers.csv" in page and "all test images" in page
    assert figures.alternative_text(made.figure) == "Whole layers."


def test_its_panel_suits_a_figure_that_states_none(made: Made) -> None:
    (axes,) = figures.compose(made.figure).axes
    assert axes.get_ylabel() == "accuracy without the layer"
    bars = [patch.get_height() for patch in axes.patches if patch.get_gid() == "whole-layers"]
    assert bars == found_in(made).accuracy.tolist()


def test_it_is_in_the_events_of_tensorboard(made: Made, tmp_path: Path) -> None:
    found = found_in(made)
    summaries.write(made.figure, made.figure.networks[0], tmp_path)
    events = EventAccumulator(str(tmp_path), {"tensors": 0})
    events.Reload()
    for (name, _), accuracy in zip(found.layers, found.accuracy, strict=True):
        (event,) = events.Tensors(f"training/accuracy_without_{name}")
        assert make_ndarray(event.tensor_proto) == pytest.approx(accuracy) and event.step == 3


def test_a_wrong_setting_of_it_is_refused_like_any_other(
    whole_layers: Kind, tmp_path: Path
) -> None:
    path = written_config(tmp_path)
    with pytest.raises(ConfigError, match=r"\[quick.whole_layers\] fill: expected one of zero"):
        load_figure(path, "quick", ["whole_layers.fill='mean'"])
    with pytest.raises(ConfigError, match="'whole_layer'; did you mean 'whole_layers'"):
        load_figure(path, "quick", ["whole_layer.fill='zero'"])
    path.write_text(CONFIG + '[[panel]]\nkind = "layer"\n')
    with pytest.raises(ConfigError, match="kind: no 'layer'; did you mean 'layers'"):
        load_figure(path, "quick")


@dataclass(frozen=True)
class OtherConfig(IntactConfig):
    kind: ClassVar[str] = "other"


@dataclass(frozen=True)
class Other(Intact):
    kind: ClassVar[str] = "other"


OTHER = dataclasses.replace(
    KINDS["intact"], settings=OtherConfig, result=Other, table="others", panels=("others",)
)


def test_nothing_is_left_of_a_kind_that_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "other_mnist.toml"
    path.write_text(CONFIG.replace("whole_layers", "other"))
    before = (list(KINDS), kinds.panels())
    kinds.register(OTHER)
    assert load_figure(path, "quick").sweeps == (("other", OtherConfig()),)
    assert kinds.shown_by("others") == OTHER
    KINDS.remove("other")
    assert (list(KINDS), kinds.panels()) == before and kinds.shown_by("others") is None
    with pytest.raises(ConfigError, match="has no setting 'other'"):
        load_figure(path, "quick")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"settings": IntactConfig, "result": Intact}, "intact and intact both have 'intact'"),
        ({"result": Portraits}, "one name. Received: 'other' and 'portraits'"),
        ({"table": "units"}, "single_unit and other both have 'units'"),
        ({"panels": ("noise",)}, "noise and other both have 'noise'"),
        ({"panels": ("epochs",)}, "epochs is a panel of networks"),
    ],
)
def test_a_kind_that_takes_the_name_of_another_is_refused(
    change: dict[str, Any], sentence: str
) -> None:
    before = list(KINDS)
    with pytest.raises(ValueError, match=sentence):
        kinds.register(dataclasses.replace(OTHER, **change))
    assert list(KINDS) == before


def test_every_kind_is_made_and_every_panel_is_drawn() -> None:
    assert set(RUNNERS) == set(KINDS)
    assert set(panels.DRAWN) == set(kinds.panels())


# --- Nobody else asks ---------------------------------------------------------------------------


def kinds_asked(source: str) -> list[str]:
    """Where a module's code asks for the type of settings or results of a kind, or compares a kind
    with the name of one, of a sweep or of a panel."""
    classes = {cls.__name__ for kind in KINDS.values() for cls in (kind.settings, kind.result)}
    names = {name for kind in KINDS.values() for name in (kind.name, *kind.panels)}
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "type"):
            words = {x.id for x in ast.walk(node) if isinstance(x, ast.Name)}
            asks = bool(words & classes)
        elif isinstance(node, ast.Compare):
            parts = list(ast.walk(node))
            constants = {x.value for x in parts if isinstance(x, ast.Constant)}
            fields = {x.attr for x in parts if isinstance(x, ast.Attribute)}
            asks = "kind" in fields and bool(constants & names)
        else:
            continue
        if asks:
            found.append(ast.unparse(node))
    return found


def test_no_module_tells_kinds_apart() -> None:
    found = {}
    for path in sorted((ROOT / "repro").rglob("*.py")):
        if asked := kinds_asked(path.read_text(encoding="utf-8")):
            found[path.relative_to(ROOT).as_posix()] = asked
    # TensorBoard is given the test loss once: by a sweep along training, or by the training.
    assert found == {"repro/paper/summaries.py": ["isinstance(found, Intact)"]}


@pytest.mark.parametrize(
    "code",
    [
        "if isinstance(sweep, CumulativeConfig | NoiseConfig): pass",
        'words = "noise" if sweep.kind == "noise" else ""',
        'if panel.kind in ("curves", "portrait"): pass',
    ],
)
def test_a_question_for_the_kind_would_be_found(code: str) -> None:
    assert len(kinds_asked(code)) == 1
