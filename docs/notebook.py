"""Runs the cells of docs/first_lesion.ipynb in their order, and stores what they show.

    python docs/notebook.py          runs it and writes it anew
    python docs/notebook.py --to F   writes it to the file F

A cell tagged "install" is not run: it installs packages. The notebook is run in an empty folder.
"""

import argparse
import base64
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parent / "first_lesion.ipynb"
KINDS = ("text/plain", "text/html", "image/png")  # of what a cell shows


class CellError(Exception):
    """A cell failed; the text has the cell and the error."""


def run(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with what its cells show now."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.pylabtools import select_figure_formats
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    select_figure_formats(shell, {"png"})
    values: list[Any] = []
    shell.display_trap.hook = (
        values.append
    )  # the value of a cell's last line is stored, not printed
    done = json.loads(json.dumps(notebook))
    number = 0
    for cell in done["cells"]:
        if cell["cell_type"] != "code" or "install" in cell["metadata"].get("tags", []):
            continue
        number += 1
        code = "".join(cell["source"])
        values.clear()
        with capture_output() as captured:
            result = shell.run_cell(code, store_history=True)
        if not result.success:
            raise CellError(f"{code}\n{captured.stdout}")
        cell["execution_count"] = number
        shown = [shell.display_formatter.format(value)[0] for value in values if value is not None]
        cell["outputs"] = _outputs(captured.stdout, shown)
    return done


def _outputs(printed: str, shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a cell printed and showed, as a notebook stores it."""
    outputs: list[dict[str, Any]] = []
    if printed:
        text = printed.splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": text})
    for one in shown:
        data = {
            kind: _base64(content) if kind == "image/png" else content.splitlines(keepends=True)
            for kind, content in one.items()
            if kind in KINDS
        }
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    return outputs


def _base64(picture: bytes | str) -> str:
    return picture if isinstance(picture, str) else base64.b64encode(picture).decode()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--to", type=Path, default=NOTEBOOK, help="default: the notebook itself")
    asked = parser.parse_args(arguments)
    target = asked.to.resolve()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            done = run(notebook)
        except CellError as error:
            print(f"A cell of the notebook failed:\n{error}", file=sys.stderr)
            return 1
    target.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
