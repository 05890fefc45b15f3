"""A study never claims more than its sample: first line, bounds, tests, and what is left unsaid."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy import stats

from repro.core.kinds import AblationCurve
from repro.engine.engine import Engine
from repro.study import curve as study_curve
from repro.study import files as study_files
from repro.study import page as study_page
from repro.study import sample, sentences, show, standing, tables
from repro.study import words as study_words
from repro.study.sample import Sample
from repro.study.settings import StudySettings, Subject
from repro.study.study import Study, lesion
from tests.helpers.masks import set_masks
from tests.helpers.page import Page


@pytest.fixture(scope="module")
def base(_tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]) -> Study:
    """All units of the tiny network on all images."""
    made = lesion(_tiny_mlp, *tiny_images)
    made.curve(orders=2, points=3)
    return made


def on(
    base: Study,
    images: np.ndarray,
    labels: np.ndarray,
    n_available: int = 0,
    others: Any = None,
    **settings: Any,
) -> Study:
    """The same network studied on other images, with what was compiled already."""
    engine = base._engine.on(images, labels)
    subject = Subject(engine, base.model, base.hidden_layers, n_available or len(labels), others)
    made = Study(subject, StudySettings(**settings))
    made.curve(orders=2, points=3)
    return made


def words_of(study: Study) -> str:
    return "\n".join(
        [
            sentences.first_line(study),
            *sentences.findings(study, study.curves[-1]),
            *(f"{topic}: {words}" for topic, words in sentences.sample_words(study.sample, study)),
        ]
    )


def per_image(model: Any, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss of each image and whether it is right, by Keras and NumPy alone."""
    logits = np.asarray(model.predict(images, verbose=0), np.float64)
    top = logits.max(axis=1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels], logits.argmax(axis=1) == labels


# --- The first line ----------------------------------------------------------------------------


def test_the_first_line_says_on_how_many_images_and_units(
    base: Study, tiny_images: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    images, labels = tiny_images
    options = {"n_available": 230, "n_units": 20, "data": "<noise>"}
    made = on(base, images[:115], labels[:115], **options)
    line = sentences.first_line(made)
    assert line.startswith("Measured on 115 of 230 test images: 20 of 40 units lesioned alone")
    assert "The other 20 units were not asked for." in line
    # 6 images of 115, all for the worse, are what a sign test needs.
    assert f"a drop of accuracy of {100 * 6 / 115:.2g} % or more" in line
    page = Page(made.report(tmp_path).read_text(encoding="utf-8"))
    (subtitle,) = (one for one in page.all("p") if one.get("class") == "subtitle")
    assert subtitle is not None and line in page.text and "Data: <noise>." in page.text
    assert not page.all("noise") and not page.all("strong")
    assert sentences.first_line(base).startswith(
        "Measured on all 230 test images: all 40 units of 2 layers lesioned alone. Enough"
    )


def test_what_the_time_cut_off_is_said_first(
    base: Study, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    """The head said that all layers were lesioned where seven units were."""
    late = on(base, *tiny_images, n_available=10_000, deadline=-math.inf)
    line = sentences.first_line(late)
    assert "Measured on 230 of 10,000 test images: 2 of 40 units lesioned alone" in line
    assert "Time ran out: of 40 units that were to be lesioned, 38 were not" in line
    found = study_files.numbers(late)
    assert found["sample"]["cut"].startswith("Time ran out") and found["units"]["planned"] == 40
    one = on(base, *tiny_images, n_units=1)
    assert "in 1 of 2 layers" in sentences.first_line(one)
    missed = ({"hidden_1", "hidden_2"} - set(one.units["layer"][one.lesioned])).pop()
    assert f"no unit of 1 layer was lesioned ({missed})" in sentences.first_line(one)


@pytest.mark.parametrize(
    ("n_images", "labels", "reason"),
    [
        (16, lambda n: np.arange(n) % 5, "16 images are too few"),
        (60, lambda n: np.zeros(n, int), "all images are of one class"),
    ],
)
def test_a_useless_sample_is_warned_of_in_the_first_line(
    n_images: int, labels: Any, reason: str, base: Study, tiny_images: tuple[Any, Any]
) -> None:
    made = on(base, tiny_images[0][:n_images], labels(n_images))
    line = sentences.first_line(made)
    assert "Not enough: " in line and reason in line and "give more images" in line
    assert "<strong>Not enough" in study_page.render(made)
    assert study_files.numbers(made)["sample"]["enough"] is False


def _many_classes(n_classes: int) -> keras.Model:
    layers = [keras.Input((6,)), keras.layers.Dense(12, activation="relu", name="hidden")]
    return keras.Sequential([*layers, keras.layers.Dense(n_classes)])


def test_fewer_than_two_images_of_a_class_tell_nothing_of_classes() -> None:
    images = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
    made = lesion(_many_classes(100), images, np.arange(80))
    made.curve(orders=2, points=3)
    assert "fewer than 2 images of a class (80 images of 80 classes)" in sentences.first_line(made)
    assert "too few images" in study_page.render(made)
    cure = lesion(_many_classes(100), images, np.arange(80) % 8)
    line = sentences.first_line(cure)
    assert "Not enough" not in line and "92 of 100 classes have no images" in line


def test_too_few_images_for_mutual_information_are_said_and_no_number_is() -> None:
    """-9.4 bits were said "with the bias subtracted": 20 bins of 200 classes and 200 images."""
    images = np.random.default_rng(0).normal(size=(99, 6)).astype(np.float32)
    few = lesion(_many_classes(5), images, np.arange(99) % 5)
    few.curve(orders=2, points=3)
    page = study_page.render(few)
    assert page.count("<td>too few images</td>") >= 12 and "with its bias subtracted" not in page
    assert "needs 100 or more" in sentences.first_line(few)
    assert study_files.numbers(few)["mutual_information"] == {"enough_images": False}
    images = np.concatenate([images, images[:1]])
    enough = lesion(_many_classes(5), images, np.arange(100) % 5)
    enough.curve(orders=2, points=3)
    page = study_page.render(enough)
    assert "too few images" not in page and "with its bias subtracted" in page


# --- Dead and redundant ------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 16, 1000])
def test_a_unit_silent_on_n_images_may_be_active_on_so_many_of_all(n: int) -> None:
    """The exact upper end of Clopper and Pearson's one-sided 95 % interval for 0 of n."""
    exact = stats.binomtest(0, n, alternative="less").proportion_ci(0.95, method="exact").high
    assert sample.most_active(n) == pytest.approx(exact)


def test_dead_units_are_dead_on_these_images(base: Study, tiny_images: tuple[Any, Any]) -> None:
    images, labels = tiny_images
    made = on(base, images[:16], labels[:16])
    n_dead = int(made.units["dead"].sum())
    assert n_dead  # of which on more images some are not
    assert n_dead > base.units["dead"].sum()
    said = words_of(made)
    assert f"{n_dead} units are 0 on all of these 16 images, of 40" in said
    assert "may still be active on up to 17.1 % of all images" in said
    assert "0 on every image" not in study_page.render(made)
    assert study_files.numbers(made)["units"]["dead_active_on_at_most"] == pytest.approx(
        0.1707, 1e-3
    )


def test_the_standard_error_of_importance_is_that_of_images_one_by_one(
    base: Study, tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    """From ten groups: each unit's own error to about a quarter, their mean closer."""
    images, labels = tiny_images
    made, tested = base, base.tested
    assert len(tested.units) == tested.n_alive == np.count_nonzero(~made.units["dead"])
    intact, _ = per_image(tiny_mlp, images, labels)
    ratios = []
    for row, error in zip(tested.units, tested.standard_error, strict=True):
        set_masks(tiny_mlp, (np.arange(40) != row).astype(np.float32))
        change = per_image(tiny_mlp, images, labels)[0] - intact
        ratios.append(error / (change.std(ddof=1) / math.sqrt(230)))
        assert made.units["importance"][row] == pytest.approx(change.mean(), abs=2e-6)
    set_masks(tiny_mlp, np.ones(40, np.float32))
    assert 0.85 < np.mean(ratios) < 1.15 and 0.3 < min(ratios) < max(ratios) < 2


def test_units_within_a_standard_error_of_nothing_cannot_be_told(base: Study) -> None:
    tested = sample.Tested(
        units=np.arange(6),
        importance=np.array([-0.3, -0.1, 0.1, 0.3, 0.0, np.nan]),
        standard_error=np.array([0.2, 0.2, 0.2, 0.2, 1e-9, 0.2]),
        redundant=np.array([True, True, False, False, True, False]),
        n_alive=6,
        rounding=1e-6,
    )
    # The fifth changes nothing at all: that is no matter of chance.
    assert tested.untold.tolist() == [False, True, True, False, False, True]
    assert tested.n_told_redundant == 2
    made = base
    n_untold = int(made.tested.untold.sum())
    assert n_untold and f"and of {n_untold} it cannot be told" in words_of(made)
    found = study_files.numbers(made)["tested"]
    assert found["cannot_be_told"] == n_untold and found["units"] == found["of"]
    assert found["redundant"] < made.units["redundant"].sum()


def test_with_few_images_no_unit_is_told_to_be_redundant(
    base: Study, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = tiny_images
    few = on(base, images[:9], labels[:9])
    assert len(few.tested.units) == 0 == study_files.numbers(few)["tested"]["redundant"]
    assert few.units["redundant"].any()
    assert "cannot be told: that takes 50 images or more" in words_of(few)


# --- Accuracy ----------------------------------------------------------------------------------


def test_the_accuracy_on_all_images_is_said_where_a_sample_was_lesioned(
    base: Study, tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = tiny_images
    made = lesion(tiny_mlp, images, labels, n_images=60)
    made.curve(orders=2, points=3)
    loss, right = per_image(tiny_mlp, images, labels)
    assert made.whole is not None and made.whole.n_images == 230
    assert made.whole.n_correct.sum() == right.sum()
    assert float(made.whole.loss) == pytest.approx(loss.mean(), abs=1e-6)
    assert (
        f"On all 230 images, none of them lesioned, it is right on {100 * right.mean():.3g} %"
        in (words_of(made))
    )
    assert study_files.numbers(made)["accuracy_on_all"] == {
        "accuracy": right.mean(),
        "images": 230,
    }
    assert base.whole is None
    # One unit on twenty images costs less than a pass over all of them would.
    few = on(base, images[:20], labels[:20], n_units=1, n_available=230, others=made._others)
    assert few.whole is None


def test_images_that_no_lesion_needs_do_not_end_the_study(
    base: Study, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = tiny_images

    def others() -> Iterator[Engine]:
        yield base._engine.on(np.full((3, 6, 6, 1), np.nan), np.zeros(3, int))

    made = on(base, images[:115], labels[:115], n_available=118, others=others)
    assert made.lesioned.all() and made.whole is None


def test_no_error_of_nothing_stands_beside_an_interval(
    base: Study, tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    """ "± 0 %" beside an interval of 80.6 to 100 %."""
    images = tiny_images[0][:60]
    labels = tiny_mlp.predict(images, verbose=0).argmax(axis=1)
    made = on(base, images, labels)
    assert float(made.intact.accuracy) == 1.0
    said = words_of(made)
    assert "± 0 " not in said and "± 0 " not in study_page.render(made)
    low, high = Sample(60, 60).interval(60)
    assert f"95 % interval of the accuracy: {100 * low:.3g} % to {100 * high:.3g} %" in said


def test_a_class_that_loses_nothing_is_not_named(
    base: Study, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    names = ("ant", "bee", "cow", "dog", "elk")
    made = on(base, *tiny_images, class_names=names)
    drops = made.class_drops.max(axis=1)
    assert (drops > 0).any() and (drops <= 0).any()
    for row, drop in enumerate(drops):
        named = tables._class_that_loses(made, row)
        assert named == (names[made.class_drops[row].argmax()] if drop > 0 else "none")


# --- The curve ---------------------------------------------------------------------------------


def _curve(accuracy: list[list[float]], n_ablated: list[int]) -> AblationCurve:
    n_correct = np.rint(np.array(accuracy) * 100).astype(int)
    orders = np.stack([np.arange(n_ablated[-1])] * len(accuracy)).astype(np.int32)
    return AblationCurve(
        layers=(("hidden", n_ablated[-1]),),
        n_ablated=np.array(n_ablated),
        n_correct=n_correct,
        loss=np.ones(n_correct.shape),
        orders=orders,
        n_images=100,
        images="test",
        fill="zero",
    )


def test_an_area_under_a_line_that_nobody_measured_is_a_bound() -> None:
    """0.100 ± 0.000 was said of six points with accuracy 0 at the first."""
    lost = _curve([[0.8, 0, 0, 0, 0, 0]] * 2, [0, 20, 40, 60, 80, 100])
    assert standing.at_most(lost) and show.auc_words(lost, 0.1) == "at most 0.100"
    slow = _curve([[0.8, 0.7, 0.5, 0.2, 0.1, 0.0], [0.8, 0.6, 0.5, 0.2, 0.1, 0.0]], [*range(6)])
    area = slow.normalized_auc
    assert not standing.at_most(slow)
    assert show.auc_words(slow, 0.1) == f"{area.mean():.3f} ± {area.std(ddof=1):.3f}"
    flat = _curve([[0.5, 0.5, 0.5]], [0, 1, 2])
    assert not standing.at_most(flat) and show.auc_words(flat, 0.1) == "1.000"
    assert show.auc_words(_curve([[0.0, 0.0]], [0, 1]), 0.1) == ""
    at_chance = _curve([[0.12, 0.1, 0.1]], [0, 1, 2])  # nothing is lost where nothing is known
    assert show.auc_words(at_chance, 0.1) == "" != show.auc_words(at_chance, 0.0)


def test_a_curve_that_falls_at_once_has_more_points_near_its_beginning() -> None:
    """Eight units in a row, any of which takes everything with it; the added points equal plain
    Keras under the same masks."""
    names = [f"link_{number}" for number in range(8)]
    ones = {"kernel_initializer": "ones", "activation": "relu"}
    model = keras.Sequential(
        [
            keras.Input((1,)),
            *(keras.layers.Dense(1, name=name, **ones) for name in names),
            keras.layers.Dense(2, name="logits"),
        ]
    )
    model.get_layer("logits").set_weights([np.array([[1.0, 0.0]]), np.array([0.0, 0.5])])
    images = np.linspace(0.1, 2, 60, dtype=np.float32)[:, None]
    made = lesion(model, images, (images[:, 0] < 0.5).astype(int))
    curve = made.curve(orders=3, points=3)
    assert curve.n_ablated.tolist() == [0, 1, 2, 4, 8]  # of which 0, 4 and 8 were asked for
    masks = [made.model.get_layer(f"{name}_mask") for name in names]
    for order, ablated in enumerate(curve.orders):
        for point, n in enumerate(curve.n_ablated):
            for number, mask in enumerate(masks):
                mask.keep.assign([0.0 if number in ablated[:n] else 1.0])
            loss, right = per_image(made.model, images, made.labels)
            assert curve.n_correct[order, point] == right.sum()
            assert curve.loss[order, point] == pytest.approx(loss.mean(), abs=1e-5)
    for mask in masks:
        mask.keep.assign([1.0])
    assert standing.at_most(curve)  # even one unit takes all
    assert f"normalized AUC at most {curve.normalized_auc.mean():.3f}" in words_of(made)
    assert study_files.numbers(made)["normalized_auc"]["at_most"] is True


def test_a_curve_that_falls_slowly_keeps_the_points_asked_for() -> None:
    slow = _curve([[0.8, 0.7, 0.5, 0.2, 0.1, 0.0]], [*range(0, 60, 10)])
    assert study_curve.refined(slow, None, 6) is slow  # type: ignore[arg-type]  never asked


# --- Tasks without accuracy or classes ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["regression", "score", "agreement", "labels"])
def test_a_task_without_classes_or_accuracy_is_not_spoken_of_as_if_it_had_them(
    kind: str,
    base: Study,
    tiny_images: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = study_words.of(kind)
    monkeypatch.setattr(Study, "words", words)
    made = on(base, *tiny_images)
    page = Page(made.report(tmp_path).read_text(encoding="utf-8")).text
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["task"] == kind
    for word in ("selectivity", "Mutual information", "class drop", "of a class", "chance)"):
        assert word not in page
    said = words_of(made) + repr(made)
    if words.has_accuracy:
        assert words.accuracy in said and "normalized AUC" in said
        assert found["accuracy"] == pytest.approx(float(made.intact.accuracy))
        return
    for word in ("accuracy", "Accuracy", "AUC", "right", "nats"):
        assert word not in said
    assert "ccuracy" not in page.replace("docs", "") and words.loss in page
    assert found["accuracy"] is None and found["normalized_auc"]["mean"] is None
    rows = (tmp_path / "curve.csv").read_text().splitlines()
    assert all(row.split(",")[2] == row.split(",")[4] == "" for row in rows[1:])
    assert [float(row.split(",")[5]) for row in rows[1:]] == made.curves[-1].loss.ravel().tolist()
    (line,) = (one for one in made.plot().curve.axes[0].lines if one.get_gid() == "mean-all")
    np.testing.assert_allclose(line.get_ydata(), made.curves[-1].loss.mean(axis=0))


@pytest.mark.parametrize("n_alive", [3, 0])
def test_dead_units_are_not_said_to_cost_something(n_alive: int) -> None:
    """Each living unit sees one class and nothing else does; the others answer 0 to all images."""
    images = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    labels = np.repeat(np.arange(3), 10)
    layers = [keras.layers.Dense(5, "relu", name="hidden"), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    kernel = np.eye(3, 5) * (np.arange(5) < n_alive)
    model.set_weights([kernel, np.zeros(5), 9 * np.eye(5, 3), np.zeros(3)])
    study = lesion(model, images, labels)
    study.curve(orders=1)
    (said,) = (one for one in sentences.findings(study, study.curves[-1]) if "redundant" in one)
    if n_alive:
        assert "removing any of the 3 that were lesioned and are not dead costs something" in said
    else:
        assert "all that were lesioned are dead" in said
