"""A study of any classifier: its numbers against plain Keras and NumPy, its report, its files."""

from __future__ import annotations

import csv
import inspect
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import repro
from repro.core.words import percent
from repro.experiments.runs import RunsError
from repro.models import trial
from repro.study import files as study_files
from repro.study import measured, sentences
from repro.study import page as study_page
from repro.study.sample import CONTROLS, Sample
from repro.study.settings import StudySettings, Subject
from repro.study.study import Study, lesion
from tb_plugin import metadata
from tb_plugin.lab import Lab
from tests.helpers.masks import set_masks
from tests.helpers.page import Page
from tests.helpers.planted import plant, snapshot

DEAD, UNREAD = 5, 9  # units of the second hidden layer


@pytest.fixture(scope="module")
def classifier(_tiny_mlp: Any) -> Any:
    """The tiny network with one unit that is never active and one that nothing reads."""
    model = keras.models.clone_model(_tiny_mlp)
    model.set_weights(_tiny_mlp.get_weights())
    hidden, logits = model.get_layer("hidden_2"), model.get_layer("logits")
    kernel, bias = hidden.get_weights()
    kernel[:, DEAD], bias[DEAD] = 0, -1
    hidden.set_weights([kernel, bias])
    kernel, bias = logits.get_weights()
    kernel[UNREAD] = 0
    logits.set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def made(classifier: Any, tiny_images: tuple[np.ndarray, np.ndarray]) -> Study:
    names = ("ant", "bee", "<cow>", "dog", "elk")
    return lesion(classifier, *tiny_images, class_names=names, data="noise & more", seed=3)


@pytest.fixture(scope="module")
def written(made: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made.curve(orders=3, points=6)
    return made.report(tmp_path_factory.mktemp("study") / "report", "python -m repro lesion x")


def plain(model: Any, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Correct images of each class and mean loss, by Keras and NumPy alone."""
    logits = np.asarray(model.predict(images, verbose=0), np.float64)
    top = logits.max(axis=1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    hits = logits.argmax(axis=1) == labels
    n_classes = logits.shape[1]
    loss = -log_p[np.arange(len(labels)), labels].mean()
    return np.bincount(labels[hits], minlength=n_classes), float(loss)


# --- Units -------------------------------------------------------------------------------------


def test_units_cost_what_plain_keras_says_they_cost(made: Study, classifier: Any) -> None:
    images, labels = made.images, made.labels
    correct, loss = plain(classifier, images, labels)
    counts = np.bincount(labels, minlength=5)
    n_units = len(made.units)
    for row in (0, 7, 24, 24 + UNREAD, n_units - 1):
        set_masks(classifier, (np.arange(n_units) != row).astype(np.float32))
        without, lesioned_loss = plain(classifier, images, labels)
        set_masks(classifier, np.ones(n_units, np.float32))
        unit = made.units[row]
        # Float32 logits, summed in another order.
        assert unit["importance"] == pytest.approx(lesioned_loss - loss, abs=2e-6)
        assert unit["accuracy_drop"] == pytest.approx((correct - without).sum() / 230)
        assert unit["largest_class_drop"] == pytest.approx(((correct - without) / counts).max())


def test_rows_name_layer_and_unit(made: Study) -> None:
    names = list(zip(made.units["layer"].tolist(), made.units["unit"].tolist(), strict=True))
    assert names[0] == ("hidden_1", 0) and names[24] == ("hidden_2", 0) and len(names) == 40
    assert len(set(names)) == 40


def test_a_silent_unit_is_dead_and_one_that_nothing_reads_is_redundant(
    made: Study, classifier: Any
) -> None:
    hidden = [classifier.get_layer(f"hidden_{n}_mask").output for n in (1, 2)]
    active = np.concatenate(
        keras.Model(classifier.inputs, hidden).predict(made.images, verbose=0), axis=1
    )
    dead = np.flatnonzero(made.units["dead"])
    assert 24 + DEAD in dead and dead.tolist() == np.flatnonzero(active.max(axis=0) == 0).tolist()
    assert not made.units["class_selectivity"][dead].any()
    rounding = 1e-6 * float(made.intact.loss)
    assert np.abs(made.units["importance"][dead]).max() < rounding
    unread = made.units[24 + UNREAD]
    assert unread["redundant"] and abs(unread["importance"]) < rounding
    assert unread["mean_activation"] > 0
    assert not made.units["redundant"][dead].any()
    harmful = made.units["importance"] > rounding
    assert harmful.any() and not made.units["redundant"][harmful].any()


def test_redundant_units_are_removed_all_at_once(made: Study, classifier: Any) -> None:
    together = made.redundant_together
    chosen = made.units["redundant"]
    assert together is not None and together.n_units == chosen.sum()
    set_masks(classifier, (~chosen).astype(np.float32))
    correct, _ = plain(classifier, made.images, made.labels)
    set_masks(classifier, np.ones(len(chosen), np.float32))
    assert together.outcome.n_correct.tolist() == correct.tolist()
    if together.controls is not None:
        assert together.controls.accuracy.shape == (CONTROLS,)


def test_images_are_ranked_by_how_many_lesioned_networks_disagree_with_the_label(
    made: Study, classifier: Any
) -> None:
    images, labels, n_units = made.images, made.labels, len(made.units)
    logits = np.asarray(classifier.predict_on_batch(images), np.float64)
    disagree, changed = np.zeros(len(images), int), np.zeros(len(images), int)
    for unit in range(n_units):
        set_masks(classifier, (np.arange(n_units) != unit).astype(np.float32))
        answer = np.asarray(classifier.predict_on_batch(images)).argmax(axis=1)
        disagree += answer != labels
        changed += answer != logits.argmax(axis=1)
    set_masks(classifier, np.ones(n_units, np.float32))
    found = made.fragile_images(0)
    image = found["image"]
    assert sorted(image.tolist()) == list(range(len(images)))
    np.testing.assert_array_equal(found["disagreement"], disagree[image] / n_units)
    np.testing.assert_array_equal(found["fragility"], changed[image] / n_units)
    np.testing.assert_array_equal(found["label"], labels[image])
    np.testing.assert_array_equal(found["answer"], logits.argmax(axis=1)[image])
    own = logits[np.arange(len(labels)), labels]
    others = np.where(np.arange(5) == labels[:, None], -np.inf, logits).max(axis=1)
    np.testing.assert_allclose(found["margin"], (own - others)[image], rtol=1e-4, atol=1e-5)
    pairs = list(zip(-found["disagreement"], found["margin"], strict=True))
    assert pairs == sorted(pairs)
    first = made.fragile_images()
    assert len(first) == 20 and first.tolist() == found[:20].tolist()
    with pytest.raises(ValueError, match="n must be"):
        made.fragile_images(-1)


def test_a_sequential_model_without_masks_is_studied_as_it_is() -> None:
    """tanh, so that units have means of both signs; the reference is written out in NumPy."""
    rng = np.random.default_rng(2)
    model = keras.Sequential(
        [
            keras.Input((7,)),
            keras.layers.Dense(6, activation="tanh", name="first"),
            keras.layers.Dense(3, activation="softmax", name="answer"),
        ],
        name="plain",
    )
    weights = [rng.normal(size=one.shape).astype(np.float32) for one in model.get_weights()]
    model.set_weights(weights)
    images = rng.normal(size=(90, 7)).astype(np.float32)
    labels = rng.integers(0, 3, (90, 1)).astype(np.uint8)  # a column, as Keras's CIFAR-10 has
    made = lesion(model, images, labels)
    hidden = np.tanh(images @ weights[0] + weights[1])

    def loss(activation: np.ndarray) -> float:
        logits = activation @ weights[2] + weights[3]
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return float(-log_p[np.arange(90), labels[:, 0]].mean())

    expected = [loss(hidden * (np.arange(6) != unit)) - loss(hidden) for unit in range(6)]
    np.testing.assert_allclose(made.units["importance"], expected, atol=1e-5)
    means = np.stack([hidden[labels[:, 0] == c].mean(axis=0) for c in range(3)])
    defined = (means >= 0).all(axis=0)
    assert np.array_equal(np.isfinite(made.units["class_selectivity"]), defined)
    assert [row.layer for row in made.hidden_layers if row.masked] == ["first"]
    assert [row.why for row in made.hidden_layers if row.layer == "answer"] != [""]
    assert model.layers[0].name == "first" and len(model.layers) == 2


# --- Layers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [["hidden_2"], ["hidden_2", "*_[2-9]"]])
def test_layers_choose_among_the_masks_of_a_model(
    layers: list[str], made: Study, classifier: Any
) -> None:
    one = lesion(classifier, made.images, made.labels, layers=layers)
    assert one.layout.layers == (("hidden_2", 16),)
    assert set(one.units["layer"]) == {"hidden_2"} and len(one.curve(points=3).n_ablated) == 3
    np.testing.assert_allclose(one.units["importance"], made.units["importance"][24:], atol=1e-6)
    whys = {row.layer: row.why for row in one.hidden_layers if not row.masked}
    assert whys["hidden_1"] == "output of relu, not among the layers asked for"
    assert [mask.name for mask in repro.ablation_masks(one.model)] == ["hidden_2_mask"]
    assert len(repro.ablation_masks(classifier)) == 2  # which is as it was


def test_a_layer_without_a_mask_may_be_asked_for_in_a_model_that_has_some() -> None:
    """Masks go by their own names; here conv_1 is a linear layer as well as a mask behind it."""
    model = repro.convnet((8, 8, 3), 4, width=1 / 32)
    images, labels = np.random.default_rng(0).random((8, 8, 8, 3)), np.arange(8) % 4
    one = lesion(model, images, labels, layers=["conv_1"])
    whys = {row.layer: row.why for row in one.hidden_layers}
    assert [name for name, _ in one.layout.layers] == ["conv_1"]
    assert whys["conv_1_relu"] == "its mask is there" and whys["conv_1"] == "no activation"
    two = lesion(model, images, labels, layers=["conv_1", "conv_3_relu"]).layout.layers
    assert [name for name, _ in two] == ["conv_1", "conv_3_relu"]
    with pytest.raises(ValueError, match="no hidden layer fits 'dense'"):
        lesion(model, images, labels, layers=["dense"])


def test_a_lesion_that_is_held_is_refused_with_what_takes_it_away(
    classifier: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    repro.ablate(classifier, {"hidden_1": [3, 4]})
    for layers in (None, ["hidden_2"]):
        with pytest.raises(ValueError, match=r"\(2 units of hidden_1\).*repro.restore\(model\)"):
            lesion(classifier, *tiny_images, layers=layers)
    repro.restore(classifier)
    lesion(classifier, *tiny_images)


def test_a_path_of_a_model_is_studied_as_the_model_is(
    made: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "attempt", lambda path: None)  # has its own tests, and takes seconds
    made.model.save(tmp_path / "mine.keras")
    for path in (tmp_path / "mine.keras", str(tmp_path / "mine.keras")):
        found = lesion(path, made.images, made.labels, layers=["hidden_2"])
        assert found.layout.layers == (("hidden_2", 16),)
    assert found.units["importance"].tolist() == pytest.approx(
        made.units["importance"][24:].tolist(), abs=1e-6
    )
    with pytest.raises(FileNotFoundError, match="no model at .*none.keras"):
        lesion(tmp_path / "none.keras", made.images, made.labels)


# --- Curves ------------------------------------------------------------------------------------


def test_a_curve_runs_from_the_intact_network_to_nothing_and_is_kept(made: Study) -> None:
    curve = made.curve(orders=3, points=6)
    assert curve.accuracy.shape == (3, 6) and curve.n_ablated.tolist() == [0, 8, 16, 24, 32, 40]
    assert np.all(curve.n_correct[:, 0] == made.intact.n_correct.sum())
    nothing_left = made._engine.evaluate(np.zeros((1, 40), bool))
    assert np.all(curve.n_correct[:, -1] == nothing_left.n_correct.sum())
    assert made.curve(orders=3, points=6) is curve and made.curves[-1] is curve


def test_a_curve_may_be_read_on_fewer_images_with_the_share_of_each_class(made: Study) -> None:
    curve = made.curve(orders=2, points=3, n_images=46)
    assert curve.n_images == 46
    whole = made.curve(orders=2, points=3)
    assert np.abs(curve.accuracy[:, 0] - whole.accuracy[:, 0]).max() < 0.3
    assert made.curves[-1].n_correct.size == max(one.n_correct.size for one in made.curves)


# --- Standard errors --------------------------------------------------------------------------


def test_standard_errors_are_those_of_plain_predictions(made: Study, classifier: Any) -> None:
    """Those of the most important unit and the middle one, image by image, in NumPy."""
    images, labels = made.images, made.labels
    order = np.argsort(-made.units["importance"])
    assert [found.unit for found in made.errors] == [order[0], order[20]]

    def image_by_image() -> tuple[np.ndarray, np.ndarray]:
        logits = np.asarray(classifier.predict(images, verbose=0), np.float64)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -log_p[np.arange(230), labels], logits.argmax(axis=1) == labels

    loss, right = image_by_image()
    for found in made.errors:
        set_masks(classifier, (np.arange(40) != found.unit).astype(np.float32))
        lesioned_loss, still_right = image_by_image()
        set_masks(classifier, np.ones(40, np.float32))
        change, lost = lesioned_loss - loss, right.astype(int) - still_right
        assert change.mean() == pytest.approx(made.units["importance"][found.unit], abs=2e-6)
        assert found.importance == pytest.approx(change.std(ddof=1) / 230**0.5, rel=1e-3)
        assert found.accuracy_drop == pytest.approx(lost.std(ddof=1) / 230**0.5)
        of_class = [lost[labels == c] for c in range(5)]
        worst = max(of_class, key=lambda one: one.mean())
        assert worst.mean() == pytest.approx(made.units["largest_class_drop"][found.unit])
        assert found.largest_class_drop == pytest.approx(worst.std(ddof=1) / len(worst) ** 0.5)


def test_the_report_says_what_its_images_do_to_importance_and_curve(
    classifier: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    few = lesion(classifier, *tiny_images, n_images=115)
    few.curve(orders=2, points=3, n_images=46)
    words = dict(sentences.sample_words(few.sample, few))
    error = few.errors[0].importance
    assert (
        f"± {error:.2g} (with all images {error / 2**0.5:.2g})"
        in (words["Standard error, most important unit"])
    )
    assert words["Curve"].startswith("on 46 of these images")
    assert f"± {percent(0.5 / 46**0.5)}" in words["Curve"]
    assert f"± {error:.2g} nats (standard error" in study_page.render(few)
    written = study_files.numbers(few)["standard_errors"]
    assert [one["importance"] for one in written] == [found.importance for found in few.errors]


def test_a_network_on_which_rounding_shows_is_refused_with_what_to_do(
    made: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(engine: Any) -> None:
        raise RuntimeError("the engine's intact network does not answer as the model does")

    monkeypatch.setattr("repro.engine.engine.Engine.check", check)
    other = Study(Subject(made._engine, made.model, (), 230), StudySettings())
    with pytest.raises(RuntimeError, match="does not answer as.*; repro.ablate and model.predict"):
        other.units  # noqa: B018


# --- Samples -----------------------------------------------------------------------------------


def test_a_sample_keeps_the_share_of_each_class_and_of_each_layer(
    classifier: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = tiny_images
    labels = np.minimum(labels, 3)  # the last class is twice as frequent
    made = lesion(classifier, images, labels, n_images=115, n_units=20, seed=1)
    assert made.sample == Sample(115, 230)
    expected = np.bincount(labels, minlength=5) / 2
    assert np.abs(np.bincount(made.labels, minlength=5) - expected).max() <= 2
    lesioned = made.units[made.lesioned]
    assert len(lesioned) == 20
    shares = [np.count_nonzero(lesioned["layer"] == name) for name in ("hidden_1", "hidden_2")]
    assert abs(shares[0] - 12) <= 1 and abs(shares[1] - 8) <= 1
    others = made.units[~made.lesioned]
    assert np.isnan(others["importance"]).all() and not others["redundant"].any()
    assert np.isfinite(others["class_selectivity"]).all()
    again = lesion(classifier, images, labels, n_images=115, n_units=20, seed=1)
    np.testing.assert_array_equal(again.images, made.images)


def test_what_a_sample_of_so_many_images_can_tell() -> None:
    sample = Sample(400, 10_000)
    assert sample.standard_error(0.5) == pytest.approx(math.sqrt(0.25 / 400))
    low, high = sample.interval(400)
    assert low < 1.0 == high  # an accuracy of 1 is not certain
    # As many changed answers, all for the worse, as a sign test needs.
    assert stats.binomtest(Sample.CHANGED, Sample.CHANGED).pvalue < 0.05
    assert stats.binomtest(Sample.CHANGED - 1, Sample.CHANGED - 1).pvalue > 0.05
    assert sample.smallest_visible == Sample.CHANGED * sample.smallest_step == 6 / 400


def test_when_the_time_is_up_no_more_units_are_lesioned_and_the_report_says_so(
    made: Study, tmp_path: Path
) -> None:
    subject = Subject(made._engine, made.model, made.hidden_layers, n_available=10_000)
    late = Study(subject, StudySettings(deadline=-math.inf))
    assert np.count_nonzero(late.lesioned) == 2  # the first of twenty pieces
    page = Page(late.report(tmp_path).read_text(encoding="utf-8"))
    assert "2 of 40" in page.text and "230 of 10,000" in page.text


class Clock:
    """On which every look at it takes a minute."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 60
        return self.now


def test_pieces_of_the_units_are_lesioned_until_the_time_is_up(
    made: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "time", Clock())
    late = Study(Subject(made._engine, made.model, (), 230), StudySettings(deadline=400.0))
    # Seven looks at the clock: 7 of 20 pieces, of 2 units each, in both layers.
    lesioned = late.units[late.lesioned]
    assert len(lesioned) == 14 and set(lesioned["layer"]) == {"hidden_1", "hidden_2"}
    known = late.lesioned
    np.testing.assert_allclose(lesioned["importance"], made.units["importance"][known], atol=1e-6)


# --- Reports -----------------------------------------------------------------------------------


def test_the_page_needs_no_other_file_and_no_text_becomes_markup(written: Path) -> None:
    content = written.read_text(encoding="utf-8")
    page = Page(content)
    assert len(page.all("img")) == 2
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in page.all("img"))
    assert all(image["alt"] for image in page.all("img"))
    assert not page.all("script") and not page.all("link")[1:]
    outside = [link["href"] for link in page.all("a") if "//" in link["href"]]
    assert outside == ["https://arxiv.org/abs/1803.06959"]
    assert not page.all("cow") and "noise & more" in page.text
    beside = {path.name for path in written.parent.iterdir()}
    named = {link["href"] for link in page.all("a")} - set(outside)
    assert {name for name in named if not name.startswith("#")} <= beside
    anchors = {name[1:] for name in named if name.startswith("#")}
    assert anchors <= set(page.ids) and len(page.ids) == len(set(page.ids))


def test_hostile_names_stay_text_wherever_a_study_shows_them(tmp_path: Path) -> None:
    evil = '"><script>x</script><img src=x onerror=y> & {{ 7 * 7 }} {% raw %} </style>'
    layers = [
        keras.Input((6, 6, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(4, "relu", name=evil.replace("/", "")),
        keras.layers.Dense(3, name=f"{evil}2".replace("/", "")),
    ]
    model = keras.Sequential(layers, name=evil.replace("/", ""))
    rng = np.random.default_rng(0)
    names = [f"{evil} of {number}" for number in range(3)]
    images, labels = rng.random((60, 6, 6, 1)), rng.integers(0, 3, 60)
    found = lesion(model, images, labels, class_names=names, data=evil, layers=[layers[2].name])
    found.curve(orders=2, points=3)
    page = Page(found.report(tmp_path, f"repro lesion {evil}").read_text(encoding="utf-8"))
    small, plots = Page(found._repr_html_()), Page(found.plot()._repr_html_())
    for shown in (page, small, plots):
        assert not shown.all("script")
        assert not any("onerror" in attributes for _, attributes in shown.tags)
    assert len(page.all("img")) == 2 == len(plots.all("img")) and not small.all("img")
    # Data twice, class names in the table of units, the command.
    assert page.text.count(evil) >= 4 and f"repro lesion {evil}" in page.text
    # Name of the model in title, heading and settings; of layers in tables and sentences.
    assert page.text.count(evil.replace("/", "")) >= 8
    assert small.text.count(evil.replace("/", "")) == 1


def test_the_page_says_what_was_found(made: Study, written: Path) -> None:
    text = Page(written.read_text(encoding="utf-8")).text
    best = made.units[np.argmax(made.units["importance"])]
    assert f"unit {best['unit']} of {best['layer']}" in text
    assert f"{made.curve(orders=3, points=6).normalized_auc.mean():.3f}" in text
    n_dead = made.units["dead"].sum()
    assert f"{n_dead} units are 0 on all of these 230 images, of 40" in text
    assert "all 230" in text and "python -m repro lesion x" in text
    for row in made.hidden_layers:
        assert row.layer in text
    low, high = made.sample.interval(int(made.intact.n_correct.sum()))
    assert percent(low) in text and percent(high) in text


def test_every_number_is_in_the_tables(made: Study, written: Path) -> None:
    folder = written.parent
    rows = list(csv.DictReader(io.StringIO((folder / "units.csv").read_text())))
    assert len(rows) == 40
    for name in ("importance", "mutual_information", "class_selectivity"):
        assert [float(row[name]) for row in rows] == made.units[name].tolist()
    assert [row["dead"] == "1" for row in rows] == made.units["dead"].tolist()
    curve = made.curve(orders=3, points=6)
    points = list(csv.DictReader(io.StringIO((folder / "curve.csv").read_text())))
    assert [float(row["accuracy"]) for row in points] == curve.accuracy.ravel().tolist()
    numbers = json.loads((folder / "summary.json").read_text())
    assert numbers["units"]["all"] == 40 and numbers["units"]["dead"] == made.units["dead"].sum()
    assert numbers["accuracy"] == pytest.approx(float(made.intact.accuracy))
    assert numbers["relation"]["rho"] == pytest.approx(
        stats.spearmanr(made.units["class_selectivity"], made.units["importance"]).statistic
    )


def test_the_page_lists_the_images_that_hang_on_single_units(made: Study, written: Path) -> None:
    page = Page(written.read_text(encoding="utf-8"))
    listed = page.text.partition("Images by how many of 40 networks")[2]
    assert listed and all(f"{image:,}" in listed for image in made.fragile_images()["image"])


def test_a_network_no_better_than_chance_is_warned_of(made: Study, classifier: Any) -> None:
    answers = classifier.predict(made.images, verbose=0).argmax(axis=1)
    for labels, warned in ((answers, False), ((answers + 1) % 5, True)):
        engine = made._engine.on(made.images, labels)
        found = Study(Subject(engine, made.model, (), 230), StudySettings())
        assert float(found.intact.accuracy) == (not warned)
        assert ("hardly better than chance" in study_page.render(found)) == warned


def test_tensorboard_reads_units_and_curve_back(made: Study, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for _ in range(2):  # the second time replaces the first
        folder = made.to_tensorboard(tmp_path)
    assert folder == tmp_path / "study" and len(list(folder.glob("*tfevents*"))) == 1
    assert (tmp_path / "other").is_dir()
    read = EventAccumulator(str(folder))
    read.Reload()
    assert {"lesion/units", "lesion/accuracy_vs_ablation"} <= set(read.Tags()["tensors"])


def test_a_saved_study_is_a_masked_model_with_images_beside_it(made: Study, tmp_path: Path) -> None:
    path = made.save(tmp_path / "mine")
    model = keras.models.load_model(path)
    assert [mask.name for mask in repro.ablation_masks(model)] == ["hidden_1_mask", "hidden_2_mask"]
    with np.load(path.with_suffix(".images.npz")) as stored:
        images, labels, names = (stored[key] for key in ("images", "labels", "class_names"))
    assert images.dtype == np.float32 and len(images) == len(labels) == 230
    assert names.tolist()[0] == "ant"
    np.testing.assert_array_equal(plain(model, images, labels)[0], made.intact.n_correct)


def test_the_tab_finds_the_saved_model_of_a_study(made: Study, tmp_path: Path) -> None:
    made.save(tmp_path / "mine")
    read = EventAccumulator(str(made.to_tensorboard(tmp_path)))
    read.Reload()
    content = read.SummaryMetadata("lesion/units").plugin_data.content
    assert metadata.parse_content(content)["facts"]["model"] == "mine"
    (listed,) = Lab(tmp_path, memory_mb=1).models()
    assert listed.name == "mine"


# --- Nothing of the user's is lost -------------------------------------------------------------


METHODS: dict[str, Callable[[Study, Path], Any]] = {
    "save": lambda made, folder: made.save(folder),
    "to_tensorboard": lambda made, folder: made.to_tensorboard(folder.parent, run=folder.name),
    "report": lambda made, folder: made.report(folder),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_project_keeps_every_byte_whatever_a_study_writes_there(
    made: Study, tmp_path: Path, method: str
) -> None:
    project = tmp_path / "project"
    plant(project, tmp_path / "elsewhere")
    for name in ("model.keras", "index.html", "summary.json"):
        (project / name).write_text("my own")
    before = snapshot(tmp_path)
    with pytest.raises(RunsError, match=r"expected .* but .*project holds .*; name another folder"):
        METHODS[method](made, project)
    assert snapshot(tmp_path) == before
    METHODS[method](made, project / "study")  # the cure
    after = snapshot(tmp_path)
    assert {key: after[key] for key in before} == before


# rafaelpadilla/Object-Detection-Metrics#83: the name of the training's own run
@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        ("run 1", r"holds events.out.tfevents.1.v2, which would be lost; name another"),
        ("", "expected the name of a folder in .*; give one such as 'study'"),
        ("..", "expected the name of a folder"),
        ("a/../..", "expected the name of a folder"),
        ("/tmp/anywhere", "expected the name of a folder"),
    ],
)
def test_the_logs_of_a_training_stay(
    made: Study, tmp_path: Path, run: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs" / "run 1").mkdir(parents=True)
    (tmp_path / "logs" / "run 1" / "events.out.tfevents.1.v2").write_bytes(b"months of training")
    before = snapshot(tmp_path)
    # Before any work: a curve or a lesion would fail here.
    monkeypatch.setattr(Study, "curves", property(lambda _: pytest.fail("worked")))
    with pytest.raises(RunsError, match=sentence):
        made.to_tensorboard(tmp_path / "logs", run=run)
    assert snapshot(tmp_path) == before


def test_a_study_is_saved_again_where_it_was_until_its_model_is_trained_on(
    made: Study, tmp_path: Path
) -> None:
    path = made.save(tmp_path / "study")
    made.report(tmp_path / "study")
    assert made.save(tmp_path / "study") == path
    assert (path.parent / "index.html").is_file()  # written beside, and kept
    model = keras.models.load_model(path)
    model.get_layer("logits").set_weights([0 * one for one in model.get_layer("logits").weights])
    model.save(path)
    before = snapshot(tmp_path)
    with pytest.raises(RunsError, match="holds model.keras, which would be lost"):
        made.save(tmp_path / "study")
    assert snapshot(tmp_path) == before


def test_a_study_is_not_saved_as_the_current_folder(
    made: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunsError, match="is the current folder; name one in it, such as study"):
        made.save(".")
    assert made.save("study") == Path("study/model.keras")


# --- What cannot be studied --------------------------------------------------------------------


def _two_outputs() -> keras.Model:
    x = keras.Input((4,))
    y = keras.layers.Dense(3, activation="relu")(x)
    return keras.Model(x, [keras.layers.Dense(2)(y), keras.layers.Dense(2)(y)])


def _two_inputs() -> keras.Model:
    inputs = [keras.Input((4,)), keras.Input((4,))]
    hidden = keras.layers.Dense(3, activation="relu")(keras.layers.Add()(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(hidden))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (_two_outputs, "has 2 outputs.*name the one to study, as in output="),
        (_two_inputs, "the model has 2 inputs.*give a dict or a list"),
    ],
)
def test_a_model_with_several_inputs_or_outputs_needs_to_know_which(
    model: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        lesion(model(), np.zeros((5, 4)), np.zeros(5, int))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": np.full((230, 5), 0.2)}, r"argmax\(axis=1\)"),
        ({"labels": np.full(230, 0.5)}, "whole numbers"),
        ({"labels": np.full(230, 5)}, "0 to 4"),
        ({"labels": np.zeros(229, int)}, "230 images but 229 labels"),
        ({"images": np.zeros((230, 5, 6, 1))}, r"shape \(n, 6, 6, 1\)"),
        ({"images": np.full((230, 6, 6, 1), np.nan)}, "not finite"),
        ({"n_images": 231}, "n_images must be 0"),
        ({"n_images": 0.5}, r"n_images must be a whole number, 0 \(all\) to .*; got 0.5"),
        ({"n_units": 41}, "n_units must be 0"),
        ({"n_units": "5"}, r"n_units must be a whole number, 0 \(all\) to .*; got '5'"),
        ({"seed": -1}, "seed must be a whole number, 0 or more; got -1"),
        ({"layers": [0]}, "layers must be names of layers, patterns or layers of the model, got 0"),
        ({"class_names": "ants"}, "class_names must be a list of names, got 'ants'"),
        ({"from_logits": "yes"}, "from_logits must be True, False or None, got 'yes'"),
        ({"class_names": ["a"]}, "the model's 5 classes"),
        ({"split": "validation"}, "'test' or 'train'|'train' or 'test'"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    classifier: Any,
    tiny_images: tuple[np.ndarray, np.ndarray],
    change: dict[str, Any],
    sentence: str,
) -> None:
    given = {"images": tiny_images[0], "labels": tiny_images[1]} | change
    with pytest.raises(ValueError, match=sentence):
        lesion(classifier, **given)


def test_a_curve_of_nothing_is_refused(made: Study) -> None:
    with pytest.raises(ValueError, match="points must be a whole number, 2 or more"):
        made.curve(points=1)
    with pytest.raises(ValueError, match="n_images must be 0 to 230"):
        made.curve(n_images=231)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda study: study.curve(orders=0), "orders must be a whole number, 1 or more; got 0"),
        (lambda study: study.curve(orders=2.5), "orders must be a whole number, .*; got 2.5"),
        (lambda study: study.curve(points="9"), "points must be a whole number, .*; got '9'"),
        (lambda study: study.curve(n_images=0.5), "n_images must be a whole number, .*; got 0.5"),
        (lambda study: study.relation("hiden_1"), "no mask stands after a layer 'hiden_1'"),
        (lambda study: study.relation(x="layer"), "x must be a column of study.units that holds"),
        (lambda study: study.report(5), "directory must be the path of a folder, got 5"),
        (lambda study: study.save(None), "directory must be the path of a folder, got None"),
        (lambda study: study.to_tensorboard(5), "logdir must be the path of a folder, got 5"),
    ],
)
def test_an_argument_of_a_wrong_kind_is_named(made: Study, ask: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        ask(made)


def test_the_methods_that_check_arguments_are_documented(made: Study) -> None:
    """`help(study.curve)` tells what the arguments are."""
    for method in (made.curve, made.relation, made.fragile_images):
        assert "Args:" in (inspect.getdoc(method) or "")
