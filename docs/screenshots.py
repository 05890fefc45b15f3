"""Saves a picture of each view of the plugin.

    python docs/screenshots.py --out docs/screenshots
    python docs/screenshots.py --out my_pictures --logdir runs/tb --models runs/networks

Opens a real TensorBoard in a real Chromium and writes one picture a view, some in the dark theme
too, each below 250 KB. Without `--logdir` it shows the made-up numbers of `tb_plugin.demo`, without
`--models` a small network trained on generated glyphs (`glyphs.py`), which is also what the unit
inspector looks at: it and the lab show images, and those of a data set are not ours to publish.
`--folder` shows the runs of one folder, `--only` keeps the pictures whose name matches a regular
expression.
"""

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import glyphs
from PIL import Image
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

from tb_plugin import demo

WIDTH, HEIGHT = 1400, 1300  # the whole card, with six runs in its table
LARGEST_BYTES = 250_000
WAIT_MS = 240_000  # the lab starts TensorFlow for its first model

DRAWN = ".chart[data-drawn]:visible"
EVALUATED = "[data-evaluated]"  # the lab has answered
DRIVEN = ".unit-images img"  # the inspector has images from the lab

# File name, query, state of the plugin in the address, what to wait for.
Picture = tuple[str, str, dict[str, str], str]
PICTURES: list[Picture] = [
    ("accuracy_vs_ablation", "", {}, DRAWN),
    ("accuracy_vs_ablation_dark", "?darkMode=true", {}, DRAWN),
    ("selectivity_vs_importance", "", {"view": "units"}, DRAWN),
    ("unit_inspector", "", {"view": "unit", "unitRun": "glyphs"}, DRIVEN),
    ("noise", "", {"view": "noise"}, DRAWN),
    ("distributions", "", {"view": "distributions"}, DRAWN),
    ("training", "", {"view": "training"}, DRAWN),
    ("lesion_lab", "", {"view": "lab", "lesions": "0:0-39"}, EVALUATED),
    ("lesion_lab_dark", "?darkMode=true", {"view": "lab", "lesions": "0:0-39"}, EVALUATED),
]


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("google-chrome")


@contextlib.contextmanager
def tensorboard(logdir: Path, models: Path) -> Iterator[str]:
    """The address of a TensorBoard on a free port, ended afterwards."""
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}", "--port=0"]
    command.append(f"--single_directions_models={models}")
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    try:
        for line in process.stderr or ():
            if found := re.search(r"at (http://\S+?)/? \(Press", line):
                yield found[1]
                return
        raise RuntimeError("TensorBoard did not start; try the same with `tensorboard --logdir`")
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_until_read(page, url: str) -> None:
    """Until two looks at the index, a second apart, find the same number of series."""
    before = -1
    while True:
        with urllib.request.urlopen(f"{url}/data/plugin/single_directions/api/v1/index") as reply:
            found = len(json.load(reply)["series"])
        if found and found == before:
            return
        before = found
        page.wait_for_timeout(1000)


def take(page, url: str, query: str, state: dict[str, str], ready: str) -> bytes:
    """One view as PNG, once what it waits for is there."""
    keys = "".join(f"&p.single_directions.{key}={quote(text)}" for key, text in state.items())
    page.goto("about:blank")
    page.goto(f"{url}/{query}#single_directions{keys}")
    frame = page.frame_locator("iframe")
    frame.locator(ready).first.wait_for(timeout=WAIT_MS)
    content = frame.locator("main > *").bounding_box()
    bottom = min(HEIGHT, int(content["y"] + content["height"]) + 16)
    return page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": bottom})


def shrunk(png: bytes) -> bytes:
    """The same picture in 256 colours, if it would be too large otherwise."""
    if len(png) <= LARGEST_BYTES:
        return png
    small = io.BytesIO()
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def save_pictures(
    pictures: list[Picture], logdir: Path, models: Path, out: Path, folder: str
) -> None:
    """Writes them all from one TensorBoard and one browser.

    Args:
        folder: of the log directory, whose runs are shown; "" for what the plugin chooses.

    Raises:
        RuntimeError, playwright's Error: TensorBoard or the browser failed.
    """
    with tensorboard(logdir, models) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        wait_until_read(page, url)
        for name, query, state, ready in pictures:
            png = shrunk(take(page, url, query, {"group": folder} | state, ready))
            (out / f"{name}.png").write_bytes(png)
            print(f"{out / name}.png, {len(png) // 1000} KB")
        browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", default="", help="only the runs of this folder of the log")
    parser.add_argument("--logdir", type=Path, help="instead of the demo's")
    parser.add_argument("--models", type=Path, help="folder of .keras models, instead of glyphs")
    parser.add_argument("--only", default="", help="only pictures that match this expression")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    given = [folder for folder in (options.logdir, options.models) if folder]
    missing = [f"directory {folder}" for folder in given if not folder.is_dir()]
    missing += [] if find_chromium() else ["Chromium on PATH"]
    if missing:
        print(f"There is no {missing[0]}.", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    pictures = [picture for picture in PICTURES if re.search(options.only, picture[0])]
    with tempfile.TemporaryDirectory() as scratch:
        logdir, models = options.logdir, options.models
        if logdir is None:
            logdir = Path(scratch, "log")
            demo.main([str(logdir)])
        if models is None:
            models = Path(scratch, "models")
            models.mkdir()
            if any(ready in (EVALUATED, DRIVEN) for *_, ready in pictures):
                study = glyphs.study()
                study.save(models / "glyphs")
                if options.logdir is None:
                    study.to_tensorboard(logdir, run="glyphs")
                accuracy = float(study.intact.accuracy)
                print(f"Trained on glyphs: {accuracy:.1%} of the test images right.")
        try:
            save_pictures(pictures, logdir, models, options.out, options.folder)
        except (BrowserError, RuntimeError) as error:
            print(f"No picture: {str(error).splitlines()[0]}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
