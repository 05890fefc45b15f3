"""A study as a user meets it: in a line, in a notebook, as pictures, a frame, a pickle, a bar."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import keras
import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import repro
from repro.models.insertion import insert_masks
from repro.study import progress as study_progress
from repro.study import words as study_words
from repro.study.progress import Progress
from repro.study.study import Study, lesion
from tests.helpers.small import text_classifier

ROOT = Path(__file__).parents[3]


@pytest.fixture
def fresh(tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]) -> Study:
    """A study of which nothing was asked."""
    return lesion(tiny_mlp, *tiny_images, data="noise", seed=3)


class Cells(HTMLParser):
    """The texts of a piece of HTML and the tags that are in it."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data + " "


# --- In a line ---------------------------------------------------------------------------------


# jupyter_tensorboard#62: a study was shown as <repro.study.Study at 0x7f69cb427090>
def test_a_new_study_says_what_it_is_and_how_to_ask_and_computes_nothing(fresh: Study) -> None:
    before = set(vars(fresh))
    said = repr(fresh)
    assert "40 units of 2 layers, 230 test images" in said and len(said.splitlines()) <= 3
    for how in ("accuracy not asked yet (.intact)", "normalized AUC not asked yet (.curve())"):
        assert how in said
    assert said.count("not asked yet (.units)") == 2
    assert set(vars(fresh)) == before and not fresh.asked_curves


def test_the_four_numbers_are_those_of_the_study(
    tiny_mlp: Any, tiny_images: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = tiny_images
    learned = tiny_mlp.predict(images, verbose=0).argmax(axis=1)
    fresh = lesion(tiny_mlp, images, np.where(np.arange(len(images)) % 4, learned, labels))
    curve, units = fresh.curve(orders=3, points=6), fresh.units
    said = repr(fresh)
    assert f"accuracy {100 * float(fresh.intact.accuracy):.1f} %" in said
    area = curve.normalized_auc
    assert f"{area.mean():.3f} ± {area.std(ddof=1):.3f}" in said
    assert f"dead {units['dead'].sum()} of 40 units" in said
    assert f"redundant {units['redundant'].sum()} of 40 lesioned alone" in said
    assert "not asked" not in said


def test_a_network_at_chance_has_no_area(fresh: Study) -> None:
    """It was 1 for a dead network, and 10.9 for one below chance."""
    fresh.curve(orders=3, points=6)
    assert "normalized AUC undefined" in repr(fresh)


def test_a_sample_is_named_as_one(tiny_mlp: Any, tiny_images: tuple[Any, Any]) -> None:
    assert "100 of 230 train images" in repr(
        lesion(tiny_mlp, *tiny_images, n_images=100, split="train")
    )


# --- In a notebook -----------------------------------------------------------------------------


def test_the_table_of_a_notebook_escapes_names_and_sets_no_colour(
    tiny_images: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lesion(keras.Sequential(_layers()), *tiny_images)
    monkeypatch.setattr(made.model, "name", "<script>x</script> & co", raising=False)
    content = made._repr_html_()
    shown = Cells(content)
    assert "<script>x</script> & co" in shown.text and "script" not in shown.tags
    assert "not asked yet" in shown.text and shown.tags.count("tr") == 4
    # Readable on dark and on light: text in the notebook's colour on the notebook's ground.
    assert "#" not in content and content.count("color: inherit") == 2


def _layers() -> list[keras.Layer]:
    return [
        keras.Input((6, 6, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(4, activation="relu"),
        keras.layers.Dense(5),
    ]


def test_ipython_shows_study_and_pictures(fresh: Study) -> None:
    from IPython.core import formatters

    fresh.curve(orders=2, points=3)
    for shown in (fresh, fresh.plot()):
        data, _ = formatters.DisplayFormatter().format(shown)
        assert "text/html" in data and len(data["text/html"]) > 100


# --- Pictures ----------------------------------------------------------------------------------


def test_pictures_are_figures_of_the_study_that_leave_matplotlib_as_it_was(fresh: Study) -> None:
    from matplotlib import pyplot

    settings, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
    curve = fresh.curve(orders=3, points=6)
    pictures = fresh.plot()
    of_curve, of_units = pictures
    assert isinstance(of_curve, Figure) and isinstance(of_units, Figure)
    (line,) = (line for line in of_curve.axes[0].lines if line.get_gid() == "mean-all")
    np.testing.assert_allclose(line.get_ydata(), curve.accuracy.mean(axis=0))
    np.testing.assert_array_equal(line.get_xdata(), curve.n_ablated)
    assert of_units.axes[0].get_xlabel() == "class selectivity"
    assert dict(matplotlib.rcParams) == settings and matplotlib.get_backend() == backend
    assert pyplot.get_fignums() == []
    buffer = io.BytesIO()
    of_units.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")
    assert pictures._repr_html_().count('<img alt="') == 2


def test_pictures_keep_their_style_when_they_are_drawn_again(fresh: Study) -> None:
    fresh.curve(orders=2, points=3)
    picture = fresh.plot(dark=True).curve
    ticks = picture.axes[0].xaxis.get_ticklabels()
    picture.savefig(io.BytesIO(), format="svg")
    assert {label.get_color() for label in ticks} == {"#a9a9b8"}
    assert matplotlib.colors.to_hex(picture.get_facecolor()) == "#15151c"


# --- pandas ------------------------------------------------------------------------------------


def test_a_frame_has_the_columns_of_units_and_is_the_callers_own(fresh: Study) -> None:
    pytest.importorskip("pandas")
    frame = fresh.frame()
    assert tuple(frame.columns) == fresh.units.dtype.names and len(frame) == 40
    for name in frame.columns:
        np.testing.assert_array_equal(frame[name].to_numpy(), fresh.units[name])
    assert set(frame[frame.layer == "hidden_2"]["unit"]) == set(range(16))
    before = fresh.units["importance"].copy()
    frame["importance"] = 0.0
    np.testing.assert_array_equal(fresh.units["importance"], before)


def test_without_pandas_a_sentence_says_what_to_do(
    fresh: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install pandas, or take study\.units"):
        fresh.frame()
    assert len(fresh.units) == 40  # the cure


# --- Copies ------------------------------------------------------------------------------------


# keras-surgeon#60: Can't pickle local object
@pytest.mark.parametrize(
    "again", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy], ids=["pickle", "copy"]
)
def test_a_study_is_the_same_from_a_pickle_and_as_a_copy(
    again: Any, fresh: Study, tmp_path: Path
) -> None:
    curve, importance = fresh.curve(orders=2, points=3), fresh.units["importance"]
    other = again(fresh)
    assert repr(other) == repr(fresh)
    np.testing.assert_array_equal(other.units, fresh.units)
    np.testing.assert_array_equal(other.curves[-1].accuracy, curve.accuracy)
    assert float(other.intact.loss) == float(fresh.intact.loss)
    # It can go on: what was not asked yet is answered by the model that came with it.
    finer = other.curve(orders=2, points=5)
    np.testing.assert_array_equal(finer.accuracy, fresh.curve(orders=2, points=5).accuracy)
    page = other.report(tmp_path / "report").read_text(encoding="utf-8")
    assert f"{importance.max():+.3g}" in page
    assert other.save(tmp_path / "model").exists()


def test_a_study_pickled_before_it_was_asked_is_asked_after(fresh: Study) -> None:
    other = pickle.loads(pickle.dumps(fresh))
    np.testing.assert_allclose(other.units["importance"], fresh.units["importance"], atol=1e-7)


class Forgetful(keras.layers.Layer):
    """Not registered, and its config lacks an argument."""

    def __init__(self, factor: float, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("no config")


def test_a_model_that_keras_cannot_copy_is_a_sentence_and_its_cure_works(
    fresh: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = keras.Input((3,))
    monkeypatch.setattr(fresh._frozen, "_model", keras.Model(inputs, Forgetful(2.0)(inputs)))
    monkeypatch.setattr(fresh._frozen, "_values", [])
    with pytest.raises(TypeError, match=r"register_keras_serializable.*pickle study\.units and"):
        pickle.dumps(fresh)
    kept = pickle.loads(pickle.dumps((fresh.units, fresh.curves)))
    np.testing.assert_array_equal(kept[0], fresh.units)


# --- One network -------------------------------------------------------------------------------


# keras#2664: study.intact 0.64, the model that it saved 1.00
def test_what_is_saved_is_the_network_that_was_studied_whatever_was_trained_since(
    fresh: Study, tiny_mlp: Any, tmp_path: Path
) -> None:
    images, labels = fresh.images, fresh.labels
    before = tiny_mlp.predict(images, verbose=0)
    accuracy = float(fresh.intact.accuracy)
    for variable in tiny_mlp.trainable_variables:  # what training does
        variable.assign(variable + keras.random.normal(variable.shape, seed=1))
    trained = tiny_mlp.predict(images, verbose=0)
    assert np.abs(trained - before).max() > 0.1
    saved = keras.models.load_model(fresh.save(tmp_path / "mine"))
    np.testing.assert_array_equal(saved.predict(images, verbose=0), before)
    assert np.mean(before.argmax(axis=1) == labels) == pytest.approx(accuracy)
    other = pickle.loads(pickle.dumps(fresh))
    np.testing.assert_array_equal(other.model.predict(images, verbose=0), before)
    np.testing.assert_array_equal(tiny_mlp.predict(images, verbose=0), trained)  # as it was left


# --- Progress ----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("shown", "terminal", "bars"),
    [(None, False, False), (None, True, True), (True, False, True), (False, True, False)],
)
def test_long_steps_show_a_bar_on_stderr_where_somebody_looks(
    shown: bool | None,
    terminal: bool,
    bars: bool,
    tiny_mlp: Any,
    tiny_images: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(study_progress, "_SHOWN_AFTER", 0.0)
    stderr: io.StringIO = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    made = lesion(tiny_mlp, *tiny_images, progress=shown)
    made.units  # noqa: B018
    made.curve(orders=2, points=3)
    written = stderr.getvalue()
    assert ("Lesioning 40 units" in written and "Curve of 2 orders" in written) == bars
    assert bool(written) == bars
    assert written.rsplit("\r", 1)[-1].strip() == ""  # the bar is gone when the step is over
    assert capsys.readouterr().out == ""


def test_a_short_step_shows_nothing(
    tiny_mlp: Any, tiny_images: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(study_progress, "_SHOWN_AFTER", 600.0)
    lesion(tiny_mlp, *tiny_images).curve(orders=1, points=2)
    assert stderr.getvalue() == ""


def test_a_bar_never_runs_past_its_end_and_always_reaches_it() -> None:
    moved: list[float] = []

    class Bar:
        def update(self, n: float) -> None:
            moved.append(n)

    told: list[int] = []
    progress = Progress(False, told.append)
    with progress.shown_by(Bar(), 10):
        progress.advance(4)
        progress.advance(40)
    assert sum(moved) == 10 and told == [4, 40]
    moved.clear()
    with progress.shown_by(Bar(), 10):
        progress.advance(1)
    assert sum(moved) == 10
    progress.advance(5)
    assert sum(moved) == 10 and told[-1] == 5


def test_an_interrupted_step_leaves_no_bar_behind() -> None:
    progress = Progress(True)
    with pytest.raises(KeyboardInterrupt), progress.step("x", 5):
        raise KeyboardInterrupt
    assert progress._bar is None


# --- What TensorFlow writes --------------------------------------------------------------------

_QUIET = """
    import sys
    import repro, keras, numpy as np
    import tensorflow
    print("BEGIN", file=sys.stderr, flush=True)
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    def dense(n): return keras.layers.Dense(n, activation="relu")
    for layers in (
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), dense(24), dense(16)],
        [keras.Input((8, 8, 3)), *(keras.layers.Conv2D(8, 3, activation="relu") for _ in range(3)),
         keras.layers.Flatten(), dense(12)],
    ):
        model = keras.Sequential([*layers, keras.layers.Dense(5)])
        study = repro.lesion(model, rng.random((90, 8, 8, 3)), rng.integers(0, 5, 90))
        study.curve(orders=2, points=5)
        study.report(sys.argv[1])
        print(study)
"""


# jupyter_tensorboard#62: TensorFlow's retracing warnings in the output of a notebook
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow writes these")
def test_a_study_leaves_stderr_clean(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_QUIET), str(tmp_path / "report")],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.count("<Study of") == 2
    assert done.stderr.split("BEGIN\n", 1)[1] == ""


@pytest.mark.parametrize("given", [None, "0"])
def test_the_log_of_tensorflow_is_quiet_unless_somebody_wants_it(given: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    said = subprocess.run(
        [sys.executable, "-c", "import repro, os; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"],
        env=environment
        | {"PYTHONPATH": str(ROOT)}
        | ({"TF_CPP_MIN_LOG_LEVEL": given} if given else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == (given or "3")
    probe = (
        "import sys, types, os; sys.modules['tensorflow'] = types.ModuleType('tensorflow');"
        "import repro; print('TF_CPP_MIN_LOG_LEVEL' in os.environ)"
    )
    late = subprocess.run(
        [sys.executable, "-c", probe],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert late.stdout.strip() == "False"


# --- Words -------------------------------------------------------------------------------------


def test_every_kind_of_task_has_words_and_an_unknown_one_a_sentence() -> None:
    for kind in study_words.KINDS:
        words = study_words.of(kind)
        assert words.loss and bool(words.right) == words.has_accuracy
        assert not words.has_classes or words.has_accuracy
    assert study_words.of("regression", loss="absolute error").loss == "absolute error"
    assert not study_words.of("score", accuracy="hits").has_accuracy
    with pytest.raises(ValueError, match=r"one of classes, .*got 'ranking'; name one of those"):
        study_words.of("ranking")


def own_leaky_relu() -> Any:
    def leaky_relu(x: Any) -> Any:
        return keras.ops.where(x > 0, x, 0.9 * x)

    return leaky_relu


class Forgets(keras.layers.Layer):
    """Its get_config forgets the factor (keras#17383)."""

    def __init__(self, factor: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return self.factor * x

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


@pytest.mark.parametrize("what", ["own function", "forgetful layer"])
def test_what_keras_would_save_as_another_network_is_not_saved(tmp_path: Path, what: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(0, 3, 30)
    between = Forgets(3.0) if what == "forgetful layer" else keras.layers.Identity()
    hidden = own_leaky_relu() if what == "own function" else "relu"
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(5, hidden), between, keras.layers.Dense(3)]
    )
    with keras.saving.CustomObjectScope({"Forgets": Forgets}):
        study = lesion(model, x, y)
        for act in (lambda: study.save(tmp_path / "study"), lambda: pickle.dumps(study)):
            with pytest.raises(ValueError, match="another network .*; register layers and functio"):
                act()
    assert not (tmp_path / "study").exists()


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize` method")
def test_a_model_that_was_quantized_since_is_not_asked_as_if_it_were_the_same(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(0, 3, 30)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(3)]
    )
    study = lesion(model, x, y)
    model.quantize("int8")
    for act in (lambda: study.units, lambda: study.save(tmp_path / "study")):
        with pytest.raises(ValueError, match="given other variables since .* make it anew"):
            act()
    assert np.isfinite(lesion(model, x, y).units["importance"]).all()


@pytest.mark.parametrize("compiled", ["before", "since"])
def test_a_model_with_masks_that_is_compiled_and_trained_is_saved_as_it_was_studied(
    tmp_path: Path, compiled: str
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 3, 40)
    plain = [keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(3)]
    model = insert_masks(keras.Sequential(plain))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if compiled == "before":
        model.compile("adam", loss, metrics=["accuracy"])
        model.fit(x, y, verbose=0)
    study = lesion(model, x, y)
    before = model.predict(x, verbose=0)
    if compiled == "since":
        model.compile("adam", loss, metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0)
    saved = keras.saving.load_model(study.save(tmp_path / "study"))
    np.testing.assert_allclose(saved.predict(x, verbose=0), before, rtol=1e-5, atol=1e-6)
    again = pickle.loads(pickle.dumps(study))
    assert float(again.intact.loss) == pytest.approx(float(study.intact.loss), rel=1e-6)


def test_a_study_of_texts_is_saved_with_its_texts(tmp_path: Path) -> None:
    model, words, _ = text_classifier()
    given = keras.ops.convert_to_tensor(words)
    answers = model.predict(given, verbose=0)
    study = repro.lesion(model, words, answers.argmax(axis=1))
    path = study.save(tmp_path / "saved")
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(loaded.predict(given, verbose=0), answers, rtol=1e-5, atol=1e-6)
    with np.load(path.with_suffix(".images.npz"), allow_pickle=False) as stored:
        assert set(stored["images"]) <= set(words) and len(stored["images"]) == 24
