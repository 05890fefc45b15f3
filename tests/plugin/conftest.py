"""Log directories, a data provider made of dictionaries, real TensorBoards, their tabs."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tb_plugin import demo, metadata, summary
from tests.helpers.boards import (
    HOSTILE,
    IMPORTANCE,
    MANY_STEPS,
    FakeProvider,
    TensorBoard,
    many_steps_curve,
    read_whole,
    tiny_content,
    tiny_curve,
    tiny_table,
    write_importance,
)
from tests.helpers.tab import REPORT_VIOLATIONS, Tab


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
    its config and the importance of its units; clean/model: the same with
    true labels; no_images; unsafe; broken.
    """
    import keras

    import repro
    from repro.core.settings import TrainConfig, to_dict

    folder = tmp_path_factory.mktemp("models")
    model = repro.mlp((8, 8, 1), 4, (12, 6), seed=3)
    save_with_images(model, folder / "tiny", (8, 8, 1))
    model.save(folder / "no_images.keras")
    save_with_images(repro.mlp((8, 8, 1), 4, (700,), seed=1), folder / "wide", (8, 8, 1))
    save_with_images(small_convnet(), folder / "conv", (6, 6, 2))
    (folder / "run").mkdir()
    repro.mlp((28, 28, 1), 10, (5,)).save(folder / "run" / "model.keras")
    (folder / "clean").mkdir()
    repro.mlp((28, 28, 1), 10, (5,), seed=1).save(folder / "clean" / "model.keras")
    config = TrainConfig(
        "mnist", "mlp", hidden_units=(5,), n_train=200, label_corruption=1.0, origin="embedded"
    )
    clean = dataclasses.replace(config, label_corruption=0.0)
    for name, one in (("run", config), ("clean", clean)):
        (folder / name / "config.json").write_text(json.dumps(to_dict(one)), encoding="utf-8")
    write_importance(folder / "run", IMPORTANCE)
    unsafe = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    unsafe.save(folder / "unsafe.keras")
    (folder / "broken.keras").write_bytes(b"cut short")
    return folder


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
    """A TensorBoard with the lab; one run more has the units of the model called tiny, and names
    the models called clean and run as a pair of true and shuffled labels."""
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
        for corruption, model in (("0", "clean"), ("1", "run")):
            facts = {"label corruption": corruption, "network": "mlp 5", "model": model}
            # With a split of their own, no chart shows these curves beside the others.
            curve = summary.ablation_curve(
                f"curve/{model}", [0, 5], [[1.0, 0.1]], n_units=5, split="pair", facts=facts
            )
            writer.add(curve)
    board = TensorBoard(logdir, "--load_fast=true", f"--single_directions_models={lab_models}")
    yield board
    board.close()
    assert "Traceback" not in "".join(board.printed)


@pytest.fixture(scope="module")
def context(browser):
    made = browser.new_context(accept_downloads=True)
    made.add_init_script(REPORT_VIOLATIONS)
    yield made
    made.close()


@pytest.fixture
def new_tab(context):
    tabs: list[Tab] = []

    def made(board, size=(1400, 900)):
        tabs.append(Tab(context, board, *size))
        return tabs[-1]

    made.tabs = tabs
    yield made
    for tab in tabs:
        tab.page.close()


@pytest.fixture(scope="module")
def pages(context):
    """One page for each TensorBoard, query and size; opening it is most of a test's time."""
    kept: dict[tuple, Tab] = {}
    yield kept
    for tab in kept.values():
        tab.page.close()


@pytest.fixture
def open_tab(context, pages, new_tab):
    """Opens tabs on a TensorBoard; fails at the end if any of them had a problem.

    A page that another test has used is taken again, unless it must be `fresh`.
    """
    used: list[Tab] = []

    def opened(board, query="", size=(1400, 900), fresh=False, **state):
        read_whole(board)
        key = (board.url, query, size)
        if fresh:
            used.append(new_tab(board, size).open(query, **state))
        elif key in pages:
            used.append(pages[key].open_again(**state))
        else:
            pages[key] = Tab(context, board, *size).open(query, **state)
            used.append(pages[key])
        return used[-1]

    yield opened
    assert [problem for tab in used for problem in tab.problems] == []
