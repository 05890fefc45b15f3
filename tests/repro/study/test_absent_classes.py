"""Images of some of the model's classes, of one only: what is told of the others is nothing.

1Konny/class_selectivity_index: an index over classes needs images of them.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from repro.core.kinds import PortraitsConfig, SingleUnitConfig
from repro.core.toml import load_figure
from repro.engine import sweeps as sweep
from repro.engine.engine import Engine
from repro.study import sentences
from repro.study.study import Study, lesion
from tests.helpers import synthetic
from tests.helpers.masks import set_masks
from tests.helpers.page import Page, written

CONFIGS = Path(__file__).parents[3] / "configs"
SOME = (1, 4)  # of five classes


@pytest.fixture(scope="module", params=[SOME, (2,)], ids=["two classes", "one class"])
def made(
    request: pytest.FixtureRequest, _tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> Study:
    images, labels = tiny_images
    chosen = np.isin(labels, request.param)
    return lesion(_tiny_mlp, images[chosen], labels[chosen], seed=1)


def occurring(made: Study) -> list[int]:
    return np.unique(made.labels).tolist()


def test_units_are_those_of_plain_keras_over_the_classes_that_occur(
    made: Study, _tiny_mlp: Any
) -> None:
    hidden = [_tiny_mlp.get_layer(f"hidden_{n}_mask").output for n in (1, 2)]
    active = np.concatenate(
        keras.Model(_tiny_mlp.inputs, hidden).predict(made.images, verbose=0), axis=1
    ).astype(np.float64)
    selectivity = made.units["class_selectivity"]
    if len(occurring(made)) == 1:
        assert np.isnan(selectivity).all()
    else:
        low, high = np.sort([active[made.labels == c].mean(axis=0) for c in SOME], axis=0)
        alive = high > 0
        expected = (high - low)[alive] / (high + low)[alive]
        np.testing.assert_allclose(selectivity[alive], expected, atol=1e-5)
        assert not selectivity[~alive].any()
    row = int(np.nanargmax(made.units["largest_class_drop"]))
    before = _tiny_mlp.predict(made.images, verbose=0).argmax(axis=1) == made.labels
    set_masks(_tiny_mlp, (np.arange(40) != row).astype(np.float32))
    after = _tiny_mlp.predict(made.images, verbose=0).argmax(axis=1) == made.labels
    set_masks(_tiny_mlp, np.ones(40, np.float32))
    for c in range(5):
        members = made.labels == c
        if members.any():
            drop = before[members].mean() - after[members].mean()
            assert made.class_drops[row, c] == pytest.approx(drop)
        else:
            assert np.isnan(made.class_drops[:, c]).all()
    assert made.units["largest_class_drop"][row] == pytest.approx(np.nanmax(made.class_drops[row]))


def test_page_table_and_summary_say_which_classes_there_are(made: Study, tmp_path: Path) -> None:
    made.curve(orders=2, points=4)
    text = Page(made.report(tmp_path / "report").read_text(encoding="utf-8")).text
    n = len(occurring(made))
    assert f"The images are of {n} of the model's 5 classes" in text
    assert f"{5 - n} of 5 classes have none; the others" in text
    numbers = json.loads((tmp_path / "report/summary.json").read_text())
    assert numbers["classes"] == {"all": 5, "with_images": n}
    with (tmp_path / "report/units.csv").open(newline="") as file:
        cells = [row["class_selectivity"] for row in csv.DictReader(file)]
    if n == 1:
        assert "class selectivity is not defined" in text and "two classes or more" in text
        assert set(cells) == {""} and "undefined" in text
    else:
        np.testing.assert_array_equal([*map(float, cells)], made.units["class_selectivity"])
    for row in np.argsort(-made.units["importance"])[:20]:
        worst = np.argmax(np.nan_to_num(made.class_drops[row], nan=-np.inf))
        assert worst in occurring(made)


def test_with_every_class_nothing_is_said(
    _tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    whole = lesion(_tiny_mlp, *tiny_images)
    assert not list(sentences._class_count_words(whole))


def test_the_tab_reads_numbers_of_the_classes_that_occur_alone(made: Study, tmp_path: Path) -> None:
    read = EventAccumulator(str(made.to_tensorboard(tmp_path)))
    read.Reload()
    (event,) = read.Tensors("lesion/units")
    header, raw = tensor_util.make_ndarray(event.tensor_proto)
    columns = json.loads(header)["columns"]
    table = np.frombuffer(raw, "<f4").reshape(len(columns), -1)
    for kind in ("class_mean", "class_drop"):
        for c in range(5):
            values = table[columns.index(f"{kind}/{c}")]
            assert np.isfinite(values).all() == (c in occurring(made))
            assert np.isnan(values).all() == (c not in occurring(made))
    selectivity = table[columns.index("class_selectivity")]
    assert np.isnan(selectivity).all() == (len(occurring(made)) == 1)


def test_sweeps_of_one_class_say_what_cannot_be_ordered_or_picked(
    _tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = (part[tiny_images[1] == 2] for part in tiny_images)
    engine = Engine(_tiny_mlp, images, labels)
    for act in (
        lambda: sweep.ranked(engine, "class_selectivity"),
        lambda: sweep.ranked(engine, "mutual_information"),
        lambda: sweep.portraits(engine, images, labels, PortraitsConfig()),
    ):
        with pytest.raises(ValueError, match="two classes or more, got images of 1; give images"):
            act()
    assert len(sweep.ranked(engine, "mean_activation")) == 40
    table = sweep.single_unit(engine, SingleUnitConfig())
    assert np.isnan(table.class_selectivity).all() and table.n_absent == 4
    assert np.isnan(np.delete(table.class_drops, 2, axis=1)).all()
    np.testing.assert_array_equal(table.largest_class_drop, table.class_drops[:, 2])


def test_the_lab_ranks_by_selectivity_only_where_there_are_classes(
    made: Study, tmp_path: Path
) -> None:
    from repro.study.lab_session import Session, SessionError

    session = Session(str(made.save(tmp_path / "mine")))
    if len(occurring(made)) == 1:
        with pytest.raises(SessionError, match="two classes or more, and these are of one; put"):
            session.rank("class_selectivity")
    else:
        values = np.sort(made.units["class_selectivity"])[::-1]
        np.testing.assert_allclose(session.rank("class_selectivity")["values"], values, rtol=1e-4)
    assert len(session.rank("importance")["units"]) == 40


# --- Figures -----------------------------------------------------------------------------------


def without(table: Any, classes: range) -> Any:
    """A unit table of images without those classes."""
    absent = np.isin(np.arange(10), classes)
    return dataclasses.replace(
        table,
        class_means=np.where(absent[:, None], 0.0, table.class_means),
        n_correct=np.where(absent, 0, table.n_correct),
        intact_correct=np.where(absent, 0, table.intact_correct),
        class_counts=np.where(absent, 0, table.class_counts),
    )


@pytest.mark.parametrize("classes", [range(4), range(1, 10)], ids=["some", "all but one"])
def test_figures_of_some_classes_are_drawn_and_reported(classes: range) -> None:
    figure = synthetic.units_figure(without(synthetic.unit_table(n_units=30, dead=2), classes))
    files, _ = written(figure)
    text = Page(files["index.html"].decode()).text
    assert f"{len(classes)} of the classes have no images here and do not count" in text
    numbers = json.loads(files["summary.json"])["fig7a"]["networks"][0]["sweeps"]["single_unit"]
    assert numbers["classes_without_images"] == len(classes)
    mean = numbers["class_selectivity"]["mean"]
    assert (mean is None) == (len(classes) == 9)


SETTINGS = [load_figure(path, "quick") for path in sorted(CONFIGS.glob("*.toml"))]
OF_UNITS = {
    one.name: one
    for one in SETTINGS
    if any(isinstance(sweep, SingleUnitConfig) for _, sweep in one.sweeps)
}


@pytest.mark.parametrize("name", OF_UNITS)
def test_no_shipped_figure_breaks_on_images_of_one_class(name: str) -> None:
    """Whatever it draws and judges of units: as undefined."""
    settings = OF_UNITS[name]
    figure = synthetic.figure_result(settings)

    def changed(network: Any) -> Any:
        def one(found: Any) -> Any:
            return without(found, range(1, 10)) if hasattr(found, "class_drops") else found

        sweeps = {key: one(found) for key, found in network.sweeps.items()}
        along = {
            key: [(epoch, one(found)) for epoch, found in path]
            for key, path in network.snapshots.items()
        }
        return dataclasses.replace(network, sweeps=sweeps, snapshots=along)

    networks = tuple(changed(network) for network in figure.networks)
    files, verdicts = written(dataclasses.replace(figure, networks=networks))
    assert files["index.html"]
    of_selectivity = [one for one in verdicts if one.claim in ("C12", "C14", "C15", "C19", "C20")]
    assert all(one.verdict != "supported" for one in of_selectivity)
