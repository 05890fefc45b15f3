"""Saves a picture of each view of the plugin.

    python docs/screenshots.py --out docs/screenshots --replace
    python docs/screenshots.py --out pictures --logdir runs/tb --folder quick/{figure}

Opens a real TensorBoard in a real Chromium and writes one picture a view, some in the dark theme or
in a narrow window too, each below 250 KB. Without `--logdir` it shows the made-up numbers of
`tb_plugin.demo`. The lab and the unit inspector show images, and those of a data set are not ours
to publish: they look at a small network trained on generated glyphs (`glyphs.py`), in a TensorBoard
of its own, or at the networks of `--models` for your own use. `--folder` names the folder of the
log in which the runs of a figure lie, `--only` keeps the pictures whose name matches an expression.
Pictures that are there are left alone unless `--replace` is given.
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
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import glyphs
from PIL import Image
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import sync_playwright

from tb_plugin import demo

WIDTH, NARROW, HEIGHT = 1400, 800, 1300  # the whole card, with six runs in its table
LARGEST_BYTES = 250_000
WAIT_MS = 240_000  # the lab starts TensorFlow for its first model

DRAWN = ".chart[data-drawn]:visible"
EVALUATED = '.lab-curve[data-orders="10"]'  # the lab has answered, and read its random orders
DRIVEN = ".unit-images img"  # the inspector has images from the lab


@dataclass(frozen=True)
class Picture:
    """One view as it is to be photographed.

    figure: whose runs are shown; "" for what the plugin chooses.
    state: of the plugin, in the address. ready: what to wait for. click: a button, then.
    """

    name: str
    figure: str = ""
    state: dict[str, str] = field(default_factory=dict)
    ready: str = DRAWN
    click: str = ""
    dark: bool = False
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def of_images(self) -> bool:
        """Whether images are seen, so that it must be of the network of glyphs."""
        return self.ready in (EVALUATED, DRIVEN)


# Around the units that matter most, in the chart's own numbers.
MATTER = {"view": "units", "drag": "box", "outline": "0,0.01;1,0.01;1,0.2;0,0.2"}
DELETED = {"view": "lab", "model": "glyphs/model", "lesions": "0:0-39"}
PAIR = "A selective and a confusing unit"
PICTURES = [
    Picture("accuracy_vs_ablation", "fig1a"),
    Picture("accuracy_vs_ablation_dark", "fig1a", dark=True),
    Picture("accuracy_vs_ablation_narrow", "fig1a", width=NARROW, height=1000),
    Picture("selectivity_vs_importance", "fig7a", {"view": "units"}),
    Picture("selection", "fig7a", MATTER),
    Picture("density", "fig7a", {"view": "units", "marks": "density"}, dark=True),
    Picture("unit_inspector", "", {"view": "unit"}, DRIVEN, height=1600),
    Picture("two_units", "", {"view": "unit"}, DRIVEN, PAIR, height=1370),
    Picture("noise", "fig2a", {"view": "noise"}),
    Picture("distributions", "fig6", {"view": "distributions"}, height=1640),
    Picture("training", "fig4a", {"view": "training"}, height=1500),
    Picture("auc_vs_test_loss", "fig1a", {"view": "training"}, height=1500),
    Picture("lesion_lab", "", DELETED, EVALUATED),
    Picture("lesion_lab_dark", "", DELETED, EVALUATED, dark=True),
    Picture("guide", "", {"view": "guide"}, ".prose", height=1400),
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


def take(page, url: str, picture: Picture, group: str) -> bytes:
    """One view as PNG, once what it waits for is there."""
    page.set_viewport_size({"width": picture.width, "height": picture.height})
    state = ({"group": group} if group else {}) | picture.state
    keys = "".join(f"&p.single_directions.{key}={quote(text)}" for key, text in state.items())
    page.goto("about:blank")
    query = "?darkMode=true" if picture.dark else ""
    page.goto(f"{url}/{query}#single_directions{keys}")
    frame = page.frame_locator("iframe")
    frame.locator(picture.ready).first.wait_for(timeout=WAIT_MS)
    if picture.click:
        frame.get_by_role("button", name=picture.click).click()
        for i in range(2):
            frame.locator(".pair .images").nth(i).locator("img").first.wait_for(timeout=WAIT_MS)
        page.mouse.move(0, 0)
    content = frame.locator("#view > *").bounding_box()
    bottom = min(picture.height, int(content["y"] + content["height"]) + 16)
    return page.screenshot(clip={"x": 0, "y": 0, "width": picture.width, "height": bottom})


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
        folder: of the log directory, in which a picture's figure is put for "{figure}"; "" for what
            the plugin chooses.

    Raises:
        RuntimeError, playwright's Error: TensorBoard or the browser failed.
    """
    with tensorboard(logdir, models) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        wait_until_read(page, url)
        for picture in pictures:
            group = folder.format(figure=picture.figure) if picture.figure else ""
            png = shrunk(take(page, url, picture, group))
            (out / f"{picture.name}.png").write_bytes(png)
            print(f"{out / picture.name}.png, {len(png) // 1000} KB")
        browser.close()


def train_on_glyphs(models: Path, logdir: Path) -> None:
    """A network for the pictures that show images: its model, and what was measured on it."""
    study = glyphs.study()
    study.save(models / "glyphs")
    study.to_tensorboard(logdir, run="glyphs")
    print(f"Trained on glyphs: {float(study.intact.accuracy):.1%} of the test images right.")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder",
        default="{figure}",
        help="of the log, with the runs of a figure (default: {figure})",
    )
    parser.add_argument("--logdir", type=Path, help="instead of the demo's")
    parser.add_argument("--models", type=Path, help="folder of .keras models, instead of glyphs")
    parser.add_argument("--only", default="", help="only pictures that match this expression")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--replace", action="store_true", help="take the place of pictures of the same names"
    )
    options = parser.parse_args()
    given = [folder for folder in (options.logdir, options.models) if folder]
    missing = [f"directory {folder}" for folder in given if not folder.is_dir()]
    missing += [] if find_chromium() else ["Chromium on PATH"]
    if missing:
        print(f"There is no {missing[0]}.", file=sys.stderr)
        return 1
    pictures = [picture for picture in PICTURES if re.search(options.only, picture.name)]
    there = [file for one in pictures if os.path.lexists(file := options.out / f"{one.name}.png")]
    if there and not options.replace:
        print(f"{there[0]} is there; say --replace, or give another --out.", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    of_images = [picture for picture in pictures if picture.of_images]
    others = [picture for picture in pictures if not picture.of_images]
    with tempfile.TemporaryDirectory() as scratch:
        logdir, models = options.logdir, options.models
        shown, empty = Path(scratch, "glyphs_log"), Path(scratch, "models")
        empty.mkdir()
        try:
            if others and logdir is None:
                logdir = Path(scratch, "log")
                demo.main([str(logdir)])
            if others:
                save_pictures(others, logdir, models or empty, options.out, options.folder)
            if of_images and models is None:
                train_on_glyphs(empty, shown)
            if of_images:
                where = (shown, empty) if models is None else (logdir or shown, models)
                save_pictures(of_images, *where, options.out, "")
        except (BrowserError, RuntimeError) as error:
            print(f"No picture: {str(error).splitlines()[0]}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
