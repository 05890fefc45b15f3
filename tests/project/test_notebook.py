"""The notebook: its cells run in their order, and show what is stored in it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "first_lesion.ipynb"


def outputs(notebook: dict) -> list[tuple[str, list[tuple[str, str]]]]:
    """What each cell shows: the kinds of outputs, and their words without numbers."""
    found = []
    for cell in notebook["cells"]:
        shown = []
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                shown.append(("printed", without_numbers("".join(output["text"]))))
            for kind, content in output.get("data", {}).items():
                words = "" if kind == "image/png" else without_numbers("".join(content))
                shown.append((kind, words))
        found.append(("".join(cell["source"]), sorted(shown)))
    return found


def without_numbers(text: str) -> str:
    return re.sub(r"[+-]?\d[\d.,]*", "#", re.sub(r" +", " ", text))


def test_every_cell_runs_and_shows_what_is_stored(tmp_path):
    target = tmp_path / "run.ipynb"
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "notebook.py"), "--to", str(target)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert outputs(json.loads(target.read_text(encoding="utf-8"))) == outputs(stored)
    pictures = [kind for _, shown in outputs(stored) for kind, _ in shown if kind == "image/png"]
    assert len(pictures) == 3


def test_it_begins_with_the_installation_and_needs_no_download():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code[0]["metadata"]["tags"] == ["install"]
    assert "".join(code[0]["source"]).startswith("%pip install")
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    for cell in code[1:]:
        assert not re.search(r"https?:|get_file|load_data|tfds|mnist", "".join(cell["source"]))


def test_a_cell_that_fails_is_told(tmp_path, monkeypatch):
    broken = {
        "cells": [{"cell_type": "code", "metadata": {}, "source": ["1 / 0"], "outputs": []}],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (tmp_path / "first_lesion.ipynb").write_text(json.dumps(broken))
    program = (ROOT / "docs" / "notebook.py").read_text(encoding="utf-8")
    (tmp_path / "notebook.py").write_text(program)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "notebook.py")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "1 / 0" in done.stderr and "ZeroDivisionError" in done.stderr
