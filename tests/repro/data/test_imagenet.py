"""ResNet-50's figures on real ImageNet images: every step of the code, on a sample of one image a
class. Their numbers mean nothing: the network sees 48 images."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from repro.core.kinds import AblationCurve, UnitTable
from repro.core.results import FigureResult
from repro.core.settings import FigureConfig
from repro.core.toml import load_figure
from repro.data import load
from repro.data import source as data_source
from repro.data.source import DataSource
from repro.experiments import collect, worker
from repro.experiments import plan as plans
from repro.experiments.runs import Runs
from repro.experiments.task import Task
from repro.models import loading
from repro.paper import claims, figures, measures
from repro.training import train

ROOT = Path(__file__).parents[3]
SAMPLE = Path(
    os.environ.get("IMAGENET_SAMPLE_DIR", ROOT.parent / "shared" / "data" / "imagenet_sample")
)
pytestmark = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason=f"no {SAMPLE}; IMAGENET_SAMPLE_DIR names another place"
)
FIGURES = ("fig1c", "fig7d", "figA2b", "figA3a", "figA4d")
CUTS = (
    "train.width=0.03125",
    "train.n_train=48",
    "train.batch_size=16",
    "train.data_parallel=false",
    "train.precision='float32'",
    "train.epochs=1",
    "grid.label_corruption=[1.0]",
    "cumulative.orders=2",
    "cumulative.points=3",
    "cumulative.n_images=32",
    "single_unit.n_images=24",
    "single_unit.last_layers=3",
)


N_TRAIN, N_TEST = 1000, 100


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """The sample under ImageNet's name: all of it as training images, a part as test images."""
    import tensorflow as tf

    (version,) = SAMPLE.glob("*/dataset_info.json")
    root = tmp_path_factory.mktemp("tfds")
    folder = root / "imagenet2012/5.1.0"
    folder.mkdir(parents=True)
    info = json.loads(version.read_text())
    (split,) = info["splits"]
    info |= {"name": "imagenet2012", "version": "5.1.0"}
    sizes = {"train": N_TRAIN, "validation": N_TEST}
    info["splits"] = [split | {"name": k, "shardLengths": [str(n)]} for k, n in sizes.items()]
    (folder / "dataset_info.json").write_text(json.dumps(info))
    for name in ("features.json", "label.labels.txt"):
        (folder / name).symlink_to(version.parent / name)
    (images,) = version.parent.glob("*.tfrecord-*")
    for name, size in sizes.items():
        path = folder / f"imagenet2012-{name}.tfrecord-00000-of-00001"
        with tf.io.TFRecordWriter(str(path)) as file:
            for record in tf.data.TFRecordDataset(str(images)).take(size):
                file.write(record.numpy())
    return data_source.locate("imagenet2012", str(root), offline=True)


@dataclasses.dataclass
class Done:
    results: dict[str, FigureResult]
    runs: Runs


def cut(name: str) -> FigureConfig:
    (path,) = (ROOT / "configs").glob(f"{name}_*.toml")
    # Fig. 1c's network serves all of them.
    figure = load_figure(path, "quick", CUTS)
    corrupted = dataclasses.replace(figure.train, label_corruption=1.0)
    return dataclasses.replace(figure, train=corrupted)


@pytest.fixture(scope="module")
def done(source: DataSource, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("runs")
    wanted = [cut(name) for name in FIGURES]
    (job,) = plans.plan(wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "configure", lambda threads: None)  # TensorFlow has begun
        worker.work(Task(job, str(folder), source, 1, 1e9))
    runs = Runs(folder)
    assert plans.failures([job], runs) == []
    found = (collect.collect(one, runs, source.describe(), "") for one in wanted)
    return Done({one.config.name: one for one in found}, runs)


def test_the_paper_s_resnet_is_trained_on_images_as_they_lie_on_disk(
    done: Done, source: DataSource
) -> None:
    (network,) = done.results["fig1c"].networks
    (record,) = network.training.history
    assert np.isfinite(record["loss"]) and 0 <= record["accuracy"] <= record["top_5_accuracy"] <= 1
    model = loading.load_model(done.runs.network(network.config).model)
    assert model.input_shape == (None, 224, 224, 3) and model.output_shape == (None, 1000)
    assert (network.training.n_train, network.training.n_test) == (48, N_TEST)


def test_top_5_accuracy_is_what_is_drawn(done: Done, source: DataSource) -> None:
    """The intact network's, at the left of the curve, against plain Keras on the same images."""
    figure = done.results["fig1c"]
    (network,) = figure.networks
    curve = network.sweeps["cumulative"]
    assert isinstance(curve, AblationCurve) and curve.n_top5 is not None
    assert [size for _, size in curve.layers] == [64, 64, 64]  # three blocks of 2048 / 32
    splits = load.load(source, network.config)
    chosen = np.random.default_rng(0).permutation(48)[:32]
    images, labels = zip(*splits.train.take(chosen), strict=True)
    model = loading.load_model(done.runs.network(network.config).model)
    logits = model.predict(np.concatenate(images), verbose=0)
    ranks = np.argsort(-logits, axis=1)[:, :5]
    expected = int(np.sum(ranks == np.concatenate(labels)[:, None]))
    assert curve.n_top5[:, 0].tolist() == [expected] * 2
    drawn = measures.score(network, curve)
    np.testing.assert_array_equal(drawn, curve.n_top5 / 32)


def test_units_of_blocks_are_measured_with_the_filters_that_lead_to_them(done: Done) -> None:
    table = done.results["figA3a"].networks[0].sweeps["single_unit"]
    assert isinstance(table, UnitTable)
    assert np.isfinite(table.weight_norm).all() and table.weight_norm.min() > 0
    assert table.class_means.shape == (1000, 192) and table.class_counts.sum() == 24


def test_each_panel_is_drawn_and_each_claim_judged(done: Done) -> None:
    judged = []
    for figure in done.results.values():
        assert figures.draw(figure, kinds=["png"])["png"]
        judged += [one.claim for one in claims.judge(figure)]
    assert sorted(judged) == ["C1", "C15", "C16", "C17", "C18", "C19", "C20"]
