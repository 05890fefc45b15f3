"""`python -m repro lesion` as a user runs it, and what it says to those who mistype."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import repro
import repro.__main__ as command_line
from repro.core.flags import Usage
from repro.data import source
from repro.experiments.runs import RunsError
from repro.models import loading, trial
from repro.study import budget, command
from repro.study.command import LesionError, run_name
from repro.study.request import LesionRequest
from tests.helpers import hostile
from tests.helpers.page import Page
from tests.helpers.planted import plant, snapshot

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained classifier without masks, saved by plain Keras, and images that it mostly knows."""
    folder = tmp_path_factory.mktemp("lesion")
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(20, activation="relu", name="wide"),
            keras.layers.Dense(10, activation="relu", name="narrow"),
            keras.layers.Dense(3),
        ],
        name="mine",
    )
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    pixels = rng.integers(0, 90, (300, 6, 6))
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label : 2 * label + 2] += 150
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(pixels[..., None] / 255.0, labels, epochs=12, batch_size=50, verbose=0)
    model.save(folder / "my model.keras")
    np.savez(
        folder / "images.npz",
        images=pixels.astype(np.uint8),
        labels=labels,
        class_names=["top", "middle", "bottom"],
    )
    return folder


def lesion(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "repro", "lesion", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.fixture(scope="module")
def finished(workplace: Path) -> subprocess.CompletedProcess[str]:
    done = lesion(
        workplace, "my model.keras", "--data=npz:images.npz", "--out=results", "--budget=2min"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_command_says_what_it_does_what_it_found_and_where(
    workplace: Path, finished: subprocess.CompletedProcess[str]
) -> None:
    for words in (
        "Model: mine, 2 layers masked",
        "images.npz, pixels divided by 255; 300 images",
        "Plan: all 300 images, all 30 units, a curve of 10 orders at 31 points",
        "normalized AUC",
        "The most important unit is unit",
        "--logdir results/tb --single_directions_models results/networks",
    ):
        assert words in finished.stdout
    assert "Lesioning: 100%" in finished.stderr
    assert "Traceback" not in finished.stdout + finished.stderr
    page = Page((workplace / "results/report/index.html").read_text(encoding="utf-8"))
    assert "--data=npz:images.npz" in page.text and "all 300" in page.text
    assert "(sequential)" not in page.text and "wide" in page.text
    numbers = json.loads((workplace / "results/report/summary.json").read_text())
    assert numbers["units"]["lesioned"] == 30 and numbers["accuracy"] > 0.9
    assert list((workplace / "results/tb/my_model").glob("events.*"))


def test_the_lab_opens_the_model_that_was_saved(
    workplace: Path,
    finished: subprocess.CompletedProcess[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from repro.study.lab_session import Session
    from tb_plugin.lab import Lab

    monkeypatch.setattr(trial, "attempt", lambda path: None)  # has its own tests, and takes seconds
    lab = Lab(workplace / "results/networks", memory_mb=1000)
    (listed,) = lab.models()
    lab.close()
    assert listed.name == "my_model"
    opened = Session(str(listed.path)).open()
    assert opened["classes"] == ["top", "middle", "bottom"] and opened["n_images"] == 300
    numbers = json.loads((workplace / "results/report/summary.json").read_text())
    assert sum(opened["intact"]["n_correct"]) == round(300 * numbers["accuracy"])


# --- Without a process of its own --------------------------------------------------------------


class Watched:
    """A bar, and what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.total = self.done = 0.0

    def update(self, n: float) -> None:
        self.done += n

    @contextlib.contextmanager
    def bar(self, total: float) -> Iterator[Watched]:
        self.total = total
        yield self


def run(request: LesionRequest) -> tuple[command.Results, Watched]:
    watched = Watched()
    return command.run(request, watched.said.append, watched.bar), watched


@pytest.fixture
def untried(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workplace, where models are loaded without a process of their own."""
    monkeypatch.setattr(trial, "attempt", lambda path: None)
    return workplace


def request(folder: Path, out: Path, **changes: Any) -> LesionRequest:
    given = {"model": str(folder / "my model.keras"), "data": f"npz:{folder / 'images.npz'}"}
    return LesionRequest(**(given | {"out": out} | changes))


def test_what_does_not_fit_into_the_time_is_left_out_and_told(
    untried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The plan is for a slow network; the time itself is far away.
    slow = budget.Pace(image=0.3, lesion=0.3, order=0.0, point=0.3, compilation=30.0)
    monkeypatch.setattr(budget, "measure", lambda *given: slow)
    monkeypatch.setattr(budget, "UNITS_BEFORE_IMAGES", 50)
    results, watched = run(request(untried, tmp_path, seconds=600.0))
    plan = next(words for words in watched.said if words.startswith("Plan"))
    found = re.search(r"Plan: (\d+) of 300 images, (\d+) of 30 units, a curve of (.*): about", plan)
    assert found, plan
    numbers = json.loads((results.report.parent / "summary.json").read_text())
    assert numbers["images"] == {"used": int(found[1]), "available": 300}
    assert numbers["units"]["lesioned"] == int(found[2])
    text = Page(results.report.read_text(encoding="utf-8")).text
    assert f"{found[1]} of 300, drawn at random" in text and f"{found[2]} of 30" in text
    assert "with all images" in text
    assert watched.done == watched.total


def test_where_there_is_no_time_the_least_is_done_and_told(untried: Path, tmp_path: Path) -> None:
    """By the real clock: nothing is done within a millisecond."""
    results, watched = run(request(untried, tmp_path, seconds=0.001))
    assert watched.said[2] == "Measuring a few lesions, to know how many there is time for"
    assert "16 of 300 images, 8 of 30 units" in watched.said[3]
    assert "That is longer than the less than a minute left" in watched.said[4]
    numbers = json.loads((results.report.parent / "summary.json").read_text())
    assert numbers["images"]["used"] == 16 and 1 <= numbers["units"]["lesioned"] < 8


def test_everything_is_done_if_asked_for_and_the_time_told_before(
    untried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 300 images: 0.2 s to read, 10 units of 0.1 s, and once more to test them, 10 orders of 11
    # points and 9 lesions besides of 0.01 s; and half a minute to compile:
    # 30 + 300 * (0.2 + 1 + 1 + 1.1 + 0.09) = 1047 s.
    pace = budget.Pace(image=0.2, lesion=0.1, order=0.0, point=0.01, compilation=30.0)
    monkeypatch.setattr(budget, "measure", lambda *given: pace)
    results, watched = run(
        request(untried, tmp_path, full=True, layers=("nar*",), split="train", seed=5)
    )
    plan = "Plan: all 300 images, all 10 units, a curve of 10 orders at 11 points: about 17 min"
    assert watched.said[-2] == plan
    assert watched.said[-1].endswith("images, to be compared with model.evaluate")
    assert watched.done == watched.total
    numbers = json.loads((results.report.parent / "summary.json").read_text())
    assert numbers["split"] == "train"
    masked = {row["layer"]: row["masked"] for row in numbers["layers"]}
    assert masked["narrow"] and not masked["wide"]
    loaded = keras.models.load_model(results.model)
    assert [layer.name for layer in loaded.layers if layer.name.endswith("_mask")] == [
        "narrow_mask"
    ]


def test_images_of_a_training_split_are_called_so(
    untried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless a flag says otherwise, as in the test above."""
    find = command.labelled.find

    def of_training(*given: Any, **named: Any) -> Any:
        return dataclasses.replace(find(*given, **named), split="train")

    monkeypatch.setattr(command.labelled, "find", of_training)
    results, _ = run(request(untried, tmp_path, layers=("narrow",)))
    assert json.loads((results.report.parent / "summary.json").read_text())["split"] == "train"
    text = Page(results.report.read_text(encoding="utf-8")).text
    assert "300 training images" in text and "300 test images" not in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": "nowhere.keras"}, "no model at nowhere.keras"),
        ({"model": "", "model_fn": "a:build", "weights": "nowhere.h5"}, "no weights at nowhere.h5"),
        ({"layers": ("conv*",)}, "conv"),
        ({"data": "npz:nowhere.npz"}, "no file nowhere.npz"),
        ({"classes": "nowhere.txt"}, "--classes names nowhere.txt"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(
    untried: Path, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((LesionError, source.DataError), match=re.escape(sentence)):
        run(request(untried, tmp_path, **changes))


@pytest.mark.parametrize("place", ["report/index.html", "tb/mine/notes", "networks/mine/a.keras"])
def test_what_is_in_the_way_of_the_results_is_told_before_the_work_and_stays(
    untried: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    name = run_name(Path(request(untried, out).model).stem)
    path = out / place.replace("mine", name)
    plant(path.parent, tmp_path / "elsewhere")
    path.write_text("my own")
    before = snapshot(tmp_path)
    monkeypatch.setattr(command, "_found", lambda *_: pytest.fail("read the images"))
    with pytest.raises(RunsError, match="name another folder"):
        run(request(untried, out))
    after = snapshot(tmp_path)
    assert {key: after[key] for key in before} == before


def test_results_go_beside_what_is_there(untried: Path, tmp_path: Path) -> None:
    out = tmp_path / "project"
    for folder in (out, out / "report", out / "networks", out / "tb"):
        plant(folder, tmp_path / "elsewhere")
    before = snapshot(tmp_path)
    for _ in range(2):  # the second time replaces the first
        results, _ = run(request(untried, out, seconds=0.001))
    assert results.model.is_file() and results.report.is_file()
    after = snapshot(tmp_path)
    assert {key: after[key] for key in before} == before


def test_images_of_the_wrong_shape_and_models_with_two_inputs_are_refused(
    untried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "wide.npz", images=np.zeros((9, 6, 7)), labels=np.zeros(9, int))
    with pytest.raises(source.DataError, match=r"takes images of shape \(6, 6, 1\)"):
        run(request(untried, tmp_path, data=f"npz:{tmp_path / 'wide.npz'}"))
    np.savez(tmp_path / "nan.npz", images=np.full((9, 6, 6, 1), np.nan), labels=np.zeros(9, int))
    with pytest.raises(source.DataError, match="not finite"):
        run(request(untried, tmp_path, data=f"npz:{tmp_path / 'nan.npz'}"))
    inputs = [keras.Input((4,)), keras.Input((4,))]
    hidden = keras.layers.Dense(3, activation="relu")(keras.layers.Add()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    monkeypatch.setattr(loading, "load_model", lambda path: model)
    with pytest.raises(LesionError, match="2 inputs"):
        run(request(untried, tmp_path))


@pytest.mark.parametrize(
    ("loss", "answers", "sentence"),
    [
        ("mse", 3, "compiled for an error of numbers, and the command asks for one class an image"),
        ("binary_crossentropy", 3, "compiled for several yes-or-no answers"),
    ],
)
def test_a_task_without_one_class_an_image_is_refused_with_the_call_that_takes_it(
    untried: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loss: str,
    answers: int,
    sentence: str,
) -> None:
    model = keras.models.load_model(untried / "my model.keras")
    model.compile(loss=loss)
    monkeypatch.setattr(loading, "load_model", lambda path: model)
    with pytest.raises(LesionError, match=f"{sentence}.*in Python repro.lesion"):
        run(request(untried, tmp_path))
    assert list(tmp_path.iterdir()) == []


def errors_of_repro() -> list[type[Exception]]:
    """Every kind of error that this project defines."""
    for module in pkgutil.walk_packages(repro.__path__, "repro."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, to_see = set(), [ValueError, RuntimeError]
    while to_see:
        kinds = [kind for kind in to_see.pop().__subclasses__() if kind not in found]
        found |= set(kinds)
        to_see += kinds
    return sorted((k for k in found if k.__module__.startswith("repro.")), key=lambda k: k.__name__)


def test_whatever_is_refused_while_it_works_is_told_in_one_sentence(
    untried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    kinds = errors_of_repro()
    assert {"TaskError", "NotTheModel", "DataError", "RunsError"} <= {k.__name__ for k in kinds}
    words = [str(untried / "my model.keras"), f"--data=npz:{untried / 'images.npz'}"]
    for kind in kinds:

        def refuse(*given: Any, kind: type[Exception] = kind) -> None:
            raise kind(f"a {kind.__name__}")

        monkeypatch.setattr(command, "_studied", refuse)
        assert command_line.answer(["lesion", *words, f"--out={tmp_path / 'out'}"]) in (1, 2), kind
        assert capsys.readouterr().err.endswith(f"a {kind.__name__}\n"), kind


def test_answers_that_may_be_either_are_taken_for_what_the_flag_says(
    untried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thirds of a softmax: between 0 and 1, and the sum of an image is no 1."""
    plain = keras.models.load_model(untried / "my model.keras")
    answers = 0.6 * keras.layers.Softmax()(plain.outputs[0])
    model = keras.Model(plain.inputs[0], answers, name="mine")
    monkeypatch.setattr(loading, "load_model", lambda path: model)
    with pytest.raises(LesionError, match="give from_logits=False for probabilities"):
        run(request(untried, tmp_path))
    with np.load(untried / "images.npz") as file:
        images, labels = file["images"][..., None] / 255.0, file["labels"]
    answered = np.asarray(model(images)).astype(np.float64)
    for logits, shares in (
        (True, np.exp(answered) / np.exp(answered).sum(axis=1, keepdims=True)),
        (False, answered / answered.sum(axis=1, keepdims=True)),
    ):
        results, _ = run(request(untried, tmp_path / str(logits), from_logits=logits))
        losses = -np.log(shares[np.arange(len(labels)), labels])
        told = json.loads((results.report.parent / "summary.json").read_text())
        assert told["loss"] == pytest.approx(losses.mean(), rel=1e-5)


def accuracy_found(results: command.Results) -> float:
    return float(json.loads((results.report.parent / "summary.json").read_text())["accuracy"])


def own_accuracy(folder: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """By plain Keras, on pixels as the model was trained on them."""
    model = keras.models.load_model(folder / "my model.keras")
    return float(np.mean(model.predict(images, verbose=0).argmax(axis=1) == labels))


def test_a_number_as_scale_divides_pixels_of_any_depth(untried: Path, tmp_path: Path) -> None:
    """Pixels of 12 bits, of which only the user knows the largest value."""
    given = np.load(untried / "images.npz")
    deep = given["images"].astype(np.uint16) * 16
    np.savez(tmp_path / "deep.npz", images=deep, labels=given["labels"])
    expected = own_accuracy(untried, deep[..., None] / np.float32(4095), given["labels"])
    results, watched = run(
        request(untried, tmp_path / "out", data=f"npz:{tmp_path / 'deep.npz'}", scale="4095")
    )
    assert expected > 0.9 and accuracy_found(results) == pytest.approx(expected, abs=1e-9)
    assert any("divided by 4095" in words for words in watched.said), watched.said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "lesion needs one model"),
        (["a.keras", "--model_fn=p:build", "--weights=w"], "lesion needs one model"),
        (["--model-fn=p:build"], "--model-fn and --weights go together"),
        (["a.keras", "b.keras", "--data=npz:x"], "unexpected argument 'b.keras'"),
        (["a.keras"], "lesion needs images"),
        (["a.keras", "--data=npz:x", "--scale=double"], "--scale must be one of auto, 255"),
        (["a.keras", "--data=npz:x", "--budget=soon"], "--budget: expected a time such as"),
    ],
)
def test_flags_that_make_no_sense_are_refused_before_anything_is_loaded(
    words: Sequence[str], sentence: str
) -> None:
    with pytest.raises(Usage, match=re.escape(sentence)):
        command_line.asked(["lesion", *words])


def requested(*words: str) -> LesionRequest:
    made = command_line.asked(["lesion", *words]).request
    assert isinstance(made, LesionRequest)
    return made


def test_flags_become_a_request() -> None:
    made = requested(
        "a.keras", "--data=dir:b", "--out=c", "--budget=2h", "--layers=d,e", "--seed=3"
    )
    assert (made.model, made.data, made.out, made.limit) == ("a.keras", "dir:b", Path("c"), 7200.0)
    assert made.layers == ("d", "e") and made.seed == 3 and made.scale == "auto"
    assert made.split == ""  # as the data say
    assert made.typed.startswith("python -m repro lesion a.keras --data=dir:b --out=c")
    made = requested("a.keras", "--data=dir:b", "--full", "--split=train")
    assert made.limit is None and made.split == "train"


def test_layers_are_listed_without_images(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trial, "attempt", lambda path: None)
    words = ["lesion", str(workplace / "my model.keras"), "--list"]
    assert command_line.answer([*words, "--layers=nar*"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:3] for line in lines if line[0] == "x"] == [["x", "narrow", "Dense"]]
    # Keras numbers the layers that were given no name.
    names = [line[1].split("_")[0] for line in lines if line[0] == "."]
    assert names[1:3] == ["flatten", "wide"]
    assert command_line.answer([*words, "--layers=conv*"]) == 1
    assert "repro: no hidden layer fits 'conv*'" in capsys.readouterr().err


def test_a_bad_model_ends_with_one_sentence(
    workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.keras"
    cut.write_bytes((workplace / "my model.keras").read_bytes()[:2000])
    words = [str(cut), f"--data=npz:{workplace / 'images.npz'}", f"--out={tmp_path / 'out'}"]
    assert command_line.answer(["lesion", *words]) == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("repro: ") and "cut.keras is not a complete .keras file" in sentence


@pytest.mark.parametrize("name", [*hostile.FILES, *hostile.WEIGHTS])
def test_a_hostile_model_ends_with_one_sentence_too(
    name: str,
    workplace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is looked through ends before the process; of the weights, the process tells, here this
    one."""
    path = tmp_path / "bad.keras"
    if name in hostile.FILES:
        monkeypatch.setattr(trial, "attempt", lambda path: pytest.fail("it was tried"))
        hostile.FILES[name](path)
    else:
        monkeypatch.setattr(trial, "attempt", trial.tried)
        hostile.WEIGHTS[name](path)
        hostile.write(path, hostile.members(weights=path.read_bytes()))
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("Keras read it"))
    words = [str(path), f"--data=npz:{workplace / 'images.npz'}", f"--out={tmp_path / 'out'}"]
    assert command_line.answer(["lesion", *words]) == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("repro: ") and "bad.keras" in sentence


@pytest.mark.parametrize("name", ["..", "/etc/passwd", "a b", "", "é"])
def test_names_of_folders_lead_nowhere_else(name: str) -> None:
    made = run_name(name)
    assert made and "/" not in made and not made.startswith(".")
