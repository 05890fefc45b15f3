"""docs/guide.md: what a new user types works as it stands there, in that order."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import repro.__main__ as command_line
from repro.models import trial
from tests.helpers.page import Page

GUIDE = Path(__file__).parents[3] / "docs" / "guide.md"
BLOCK = re.compile(
    r"(?:<!-- ((?:not )?run by the tests[^\n]*) -->\n)?```(\w+)\n(.*?)```", re.DOTALL
)
# Photographs that are not part of the project, as TFDS prepared them.
SAMPLE = Path(
    os.environ.get("IMAGENET_SAMPLE_DIR", GUIDE.parents[2] / "shared" / "data" / "imagenet_sample")
)


def blocks(note: str = "") -> list[tuple[str, str]]:
    """(language, code) of the guide's blocks before which such a note on the tests stands; without
    one, those that need nothing but this machine."""
    text = GUIDE.read_text(encoding="utf-8")
    found = BLOCK.findall(text)
    assert len(found) == text.count("```") / 2
    return [(language, code) for said, language, code in found if said.split(",")[0] == note]


def type_in(command: str, **instead: str) -> None:
    """Runs `python -m repro lesion ...` in this process, some flags with other values."""
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:4] == ["python", "-m", "repro", "lesion"]
    for flag, value in instead.items():
        (place,) = (n for n, word in enumerate(words) if word.startswith(f"--{flag}="))
        words[place] = f"--{flag}={value}"
    assert command_line.answer(words[3:]) == 0


def test_the_guide_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trial, "attempt", lambda path: None)  # has its own tests, and takes seconds
    namespace: dict[str, Any] = {}
    languages = []
    for language, code in blocks():
        languages.append(language)
        if language == "bash":
            type_in(code)
        else:
            exec(compile(code, str(GUIDE), "exec"), namespace)  # noqa: S102
    assert languages.count("python") >= 7 and "bash" in languages
    said = capsys.readouterr().out
    assert "normalized AUC" in said and "x relu_1" in said and "  norm_1" in said
    # The network has learned, so that its picture shows something.
    assert float(namespace["quick"].intact.accuracy) > 0.8
    assert np.count_nonzero(namespace["quick"].lesioned) == 64
    for folder in ("out", "out_convnet", "runs/digits/report"):
        page = Page((tmp_path / folder / "index.html").read_text(encoding="utf-8"))
        assert len(page.all("img")) == 2 and "hardly better than chance" not in page.text
    assert list((tmp_path / "logs").rglob("events.*"))
    assert (tmp_path / "models/digits/model.keras").is_file()


@pytest.mark.skipif(
    not SAMPLE.is_dir(), reason=f"no {SAMPLE}; IMAGENET_SAMPLE_DIR names another place"
)
def test_the_guide_works_on_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trial, "attempt", lambda path: None)
    (python, make), (bash, ask) = blocks("run by the tests where the data set is")
    assert (python, bash) == ("python", "bash")
    exec(compile(make, str(GUIDE), "exec"), {"keras": keras})  # noqa: S102
    type_in(ask, data_dir=str(SAMPLE.parent), budget="1s", layers="conv5_block3_out")
    said = capsys.readouterr().out
    assert "imagenet_sample, its train split, stretched to 64" in said and "1,000 images" in said
    assert "hardly better than chance" in said  # its weights are random
    numbers = json.loads((tmp_path / "runs/resnet50/report/summary.json").read_text())
    assert numbers["split"] == "train" and numbers["units"]["all"] == 2048
    masked = [row["layer"] for row in numbers["layers"] if row["masked"]]
    assert masked == ["conv5_block3_out"]


def test_the_guide_names_every_column_and_scale() -> None:
    from repro.study.table import UNIT_COLUMNS

    text = GUIDE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name, _ in UNIT_COLUMNS if name != "unit")
