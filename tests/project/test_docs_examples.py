"""The Python of README.md, docs/python.md and docs/engine.md does what the pages say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import repro

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def brought() -> dict[str, Any]:
    """What the pages take as given: a network with two hidden layers, images and labels.

    The labels are the network's own answers: at chance no AUC is defined.
    """
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu", name="hidden_1"),
            keras.layers.Dense(128, activation="relu", name="hidden_2"),
            keras.layers.Dense(10, name="logits"),
        ],
        name="digits",
    )
    images = np.random.default_rng(0).normal(size=(200, 28, 28, 1)).astype("float32")
    return {"model": model, "images": images, "labels": model.predict(images, verbose=0).argmax(1)}


def without_numbers(text: str) -> str:
    return re.sub(r"\d[\d.,]*", "#", text).strip()


def test_the_lines_of_the_readme_print_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    (code,), (shown,) = blocks("README.md", "python"), blocks("README.md", "text")
    assert code.startswith("import repro\n\n") and len(code.splitlines()) == 2 + 3
    exec(code, brought())
    assert without_numbers(capsys.readouterr().out) == without_numbers(shown)


def test_the_calls_on_the_python_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = brought()
    intact = given["model"].predict(given["images"], verbose=0)
    for code in blocks("docs/python.md", "python"):
        exec(code, given)
    assert (tmp_path / "out/index.html").exists() and (tmp_path / "lesioned.keras").exists()
    # The lesion by hand equals the engine's, and the user's model is as it was.
    keep = np.ones((1, given["n_units"]))
    keep[0, [3, 41]] = 0
    answers = given["masked"].predict(given["images"], verbose=0)
    accuracy = np.mean(answers.argmax(1) == given["labels"])
    assert given["engine"].evaluate(keep).accuracy[0] == pytest.approx(accuracy)
    assert given["importance"].shape == (256,)
    np.testing.assert_array_equal(given["model"].predict(given["images"], verbose=0), intact)
    assert repro.ablation_masks(keras.models.load_model("lesioned.keras"))


def test_the_network_that_a_pencil_can_follow_answers_as_the_page_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (code,) = blocks("docs/engine.md", "python")
    given: dict[str, Any] = {}
    exec(code, given)
    answers, fragility, flips = given["answers"], given["fragility"], given["flips"]
    assert answers.right[:, 0, 0].tolist() == [4, 7, 4] and answers.broken(0).tolist() == [0]
    assert fragility.n_changed.tolist() == [2, 0, 1] and fragility.n_lesions == 3
    np.testing.assert_allclose(fragility.intact.margin, [1.5, 11.5, -3.5], rtol=1e-6)
    assert [units.tolist() for units in flips.units] == [[0], [0, 1], [2]]
    assert flips.n_units.tolist() == flips.at_least.tolist() == [1, 2, 1]
    printed = capsys.readouterr().out
    assert "[4 7 4]" in printed and "[1 2 1] [1 2 1]" in printed
    # The row of each image in the table, from its three units.
    rows = re.findall(
        r"^\| [xyz] = \((.*?)\) \|(.*)\|$", (ROOT / "docs/engine.md").read_text(), re.M
    )
    for (image, cells), share in zip(rows, fragility.share, strict=True):
        u = np.array(image.split(","), float)
        shown = [cell.strip() for cell in cells.split("|")]
        for cell, keep in zip(shown, [np.ones(3), *(1 - np.eye(3))], strict=False):
            a, b = 0.5 + 3 * u[0] * keep[0] + 2 * u[1] * keep[1], 4 * u[2] * keep[2]
            assert cell.replace("*", "") == f"{a:g}, {b:g}: {'A' if a >= b else 'B'}"
        top, *bottom = (float(part) for part in shown[4].split("/"))
        assert share == pytest.approx(top / bottom[0] if bottom else top)
    assert len(rows) == 3
