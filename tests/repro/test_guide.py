"""docs/guide.md: what a new user types works as it stands there, in that order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

import repro.__main__ as command_line
from repro import trial
from tests.repro.test_report import Page

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
BLOCK = re.compile(r"(<!-- not run by the tests: [^\n]*-->\n)?```(\w+)\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """(language, code) of the guide's blocks that need nothing but this machine."""
    text = GUIDE.read_text(encoding="utf-8")
    found = BLOCK.findall(text)
    assert len(found) == text.count("```") / 2
    return [(language, code) for left_out, language, code in found if not left_out]


def type_in(command: str) -> None:
    """Runs `python -m repro lesion ...` in this process."""
    *python, what, rest = shlex.split(command)[:4] + [shlex.split(command)[4:]]
    assert (python, what) == (["python", "-m", "repro"], "lesion")
    with flagsaver.flagsaver():
        assert command_line._lesion(flags.FLAGS(["repro", *rest])[1:]) == 0


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


def test_the_guide_names_every_column_and_scale() -> None:
    from repro.study import UNIT_COLUMNS

    text = GUIDE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name, _ in UNIT_COLUMNS if name != "unit")
