"""Records the animation of the lesion lab for README.md, from the real page.

    python docs/lab_animation.py          writes docs/screenshots/two_networks.webp

The page is that of `browser_lab.py`: two networks, one slider. Chromium shows it without a server,
and each picture is taken once the answers to its lesion are there.
"""

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path

import browser_lab
from PIL import Image

TARGET = Path(__file__).parent / "screenshots" / "two_networks.webp"
SIZE = (960, 700)  # pixels
STEPS = [*range(0, 64, 2), 64]  # per cent of the units deleted, one picture each
FIRST_MS, STEP_MS, LAST_MS = 1200, 110, 2500
COMPARED_WITHIN_MS = 60_000  # until the page has compared the last lesion with random ones
# Moves the slider as a hand does.
MOVE = """(slider, k) => {
  slider.value = k;
  for (const type of ["input", "change"])
    slider.dispatchEvent(new Event(type, { bubbles: true }));
}"""
QUALITY = 70  # of WebP, out of 100


def record(page_file: Path, target: Path) -> int:
    """Writes the animation; returns its size in bytes."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        context = browser.new_context(
            viewport={"width": SIZE[0], "height": SIZE[1]}, offline=True, color_scheme="light"
        )
        page = context.new_page()
        page.goto(page_file.as_uri() + "?embed#view=lab&image=0")
        slider = page.get_by_role("slider", name="fraction deleted")
        slider.wait_for()
        n_units = int(slider.get_attribute("max") or 0)
        pictures = []
        for share in STEPS:
            k = round(n_units * share / 100)
            slider.evaluate(MOVE, k)
            page.get_by_text(f"{k} of {n_units} units deleted").wait_for()
            page.wait_for_timeout(250)  # a pause for the last answer to be drawn
            if share == STEPS[-1]:
                comparing = page.get_by_text("comparing with random deletions")
                while comparing.count():
                    comparing.first.wait_for(state="detached", timeout=COMPARED_WITHIN_MS)
            pictures.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        browser.close()
    durations = [FIRST_MS, *[STEP_MS] * (len(pictures) - 2), LAST_MS]
    pictures[0].save(
        target,
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        quality=QUALITY,
        method=6,
    )
    return target.stat().st_size


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--to", type=Path, default=TARGET, help="default: %(default)s")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        browser_lab.page(Path(folder) / "lab")
        n_bytes = record(Path(folder) / "lab" / "index.html", asked.to)
    print(f"Written: {asked.to}, {n_bytes / 1e6:.2f} MB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
