"""How fast the TensorBoard plugin answers and draws, and what it costs TensorBoard's start-up.

    python -m benchmarks.plugin

prints the 95th percentile of each route over real event files and a real TensorBoard (both
loaders), with 500 runs and with a table of 100,000 units, compressed as for a browser; the time
that importing and loading our plugin adds to TensorBoard's start; and, where there is a Chromium,
the time from the last byte of 100,000 units to their picture, and that of a zoom into it. The
budgets: 200 ms; 0.1 s (median of several processes); 1 s (the slowest of several pages).
`benchmarks.lab` measures the lesion lab.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from tb_plugin import summary

ROUTES = "/data/plugin/single_directions/api/v1"
BUDGET_MS = 200.0
START_BUDGET_S = 0.1
N_RUNS, N_UNITS = 500, 100_000
PAINT_BUDGET_MS = 1000.0
REPEATS, STARTS, PAGES, ZOOMS = 40, 7, 5, 4
READ_WITHIN_S = 300.0
PAGE_WITHIN_MS = 120_000
CURVES_PER_REQUEST = 40  # as the front end asks


def write_logs(logdir: Path) -> None:
    """500 runs with a curve of 51 points and 10 orderings each, and one table of 100,000 units."""
    rng = np.random.default_rng(0)
    ablated = np.linspace(0, 1000, 51).round()
    for run in range(N_RUNS):
        accuracy = np.sort(rng.random((10, 51)), axis=1)[:, ::-1]
        with summary.Writer(logdir / f"run_{run:03d}") as writer:
            facts = {"seed": str(run)}
            writer.add(summary.ablation_curve("c", ablated, accuracy, n_units=1000, facts=facts))
    layers = [f"layer_{i}" for i in range(10) for _ in range(N_UNITS // 10)]
    columns = {name: rng.random(N_UNITS) for name in ("class_selectivity", "importance", "other")}
    with summary.Writer(logdir / "many_units") as writer:
        units = np.tile(np.arange(N_UNITS // 10), 10)
        writer.add(summary.unit_table("units", layers, units, columns))


class Board:
    """A TensorBoard on a free port."""

    def __init__(self, logdir: Path, fast: bool, *flags: str):
        command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}", "--port=0"]
        self.process = subprocess.Popen(
            [*command, f"--load_fast={str(fast).lower()}", "--reload_multifile=false", *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        )
        found: queue.Queue[str] = queue.Queue()

        def read() -> None:
            for line in self.process.stderr or ():
                if match := re.search(r"at (http://\S+?)/? \(Press", line):
                    found.put(match[1])

        threading.Thread(target=read, daemon=True).start()
        self.url = found.get(timeout=READ_WITHIN_S)

    def get(self, path: str) -> bytes:
        return self._answer(urllib.request.Request(self.url + ROUTES + path))

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """A question to the lesion lab."""
        body = json.dumps({"client": "benchmark"} | question).encode()
        headers = {"Content-Type": "application/json"}
        address = self.url + ROUTES + "/lab/ask"
        return json.loads(self._answer(urllib.request.Request(address, body, headers)))

    def _answer(self, request: urllib.request.Request) -> bytes:
        request.add_header("Accept-Encoding", "gzip")
        with urllib.request.urlopen(request, timeout=300) as reply:
            raw = reply.read()
            return gzip.decompress(raw) if reply.headers["Content-Encoding"] == "gzip" else raw

    def wait_until_read(self) -> None:
        end = time.monotonic() + READ_WITHIN_S
        while len(json.loads(self.get("/index"))["series"]) < N_RUNS + 1:
            if time.monotonic() > end:
                raise TimeoutError("TensorBoard did not read the log directory in time")
            time.sleep(1)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


def p95_ms(board: Board, paths: list[str]) -> float:
    """95th percentile of the time to the last byte, over REPEATS rounds of the paths."""
    times = []
    for repeat in range(REPEATS):
        started = time.perf_counter()
        board.get(paths[repeat % len(paths)])
        times.append(1000 * (time.perf_counter() - started))
    return float(np.percentile(times, 95))


def questions() -> dict[str, list[str]]:
    """What the front end asks for, by the name of the benchmark."""
    runs = [f"run_{i:03d}" for i in range(N_RUNS)]
    groups = [runs[i : i + CURVES_PER_REQUEST] for i in range(0, N_RUNS, CURVES_PER_REQUEST)]
    table = urlencode({"run": "many_units", "tag": "units"})
    curves = [urlencode([p for r in group for p in (("run", r), ("tag", "c"))]) for group in groups]
    return {
        f"index of {N_RUNS} runs": ["/index"],
        f"{CURVES_PER_REQUEST} curves": [f"/curve?{query}" for query in curves],
        f"training, {CURVES_PER_REQUEST} runs": [
            "/training?" + urlencode([("run", r) for r in group]) for group in groups
        ],
        f"table of {N_UNITS:,} units": [f"/units?{table}&step=0"],
        f"one of {N_UNITS:,} units": [f"/unit?{table}&step=0&row={N_UNITS // 2}"],
        f"distribution of {N_UNITS:,} units": [f"/distributions?{table}&column=importance"],
    }


# In the plugin's frame: when the second frame after the first drawing began, and with it the
# picture was on the screen.
NOTE_THE_PAINT = """
if (location.pathname.endsWith("plugin_entry.html"))
  new MutationObserver((_, observer) => {
    if (!document.querySelector(".chart[data-drawn]")) return;
    observer.disconnect();
    const note = () => (window.paintedAt = performance.now());
    requestAnimationFrame(() => requestAnimationFrame(note));
  }).observe(document, { subtree: true, childList: true, attributes: true });
"""
SINCE_THE_BYTES = """
() => {
  const asked = performance.getEntriesByType("resource").filter((e) => /v1.units.run/.test(e.name));
  return window.paintedAt - asked.at(-1).responseEnd;
}
"""


# From a key that zooms in to the second frame after it.
ZOOM = """
async () => {
  const started = performance.now();
  const key = new KeyboardEvent("keydown", { key: "+", bubbles: true });
  document.querySelector(".chart").dispatchEvent(key);
  await new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)));
  return performance.now() - started;
}
"""


def paint_ms(board: Board) -> tuple[list[float], list[float]] | None:
    """From the last byte of the table to its picture, and then for a zoom, in several new pages;
    None without a browser.

    100,000 units of ten layers in a window of 1400 x 900, headless, drawn without a GPU.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    state = {"view": "units", "unitRun": "many_units"}
    keys = "".join(f"&p.single_directions.{key}={value}" for key, value in state.items())
    times, zooms = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(PAGES):
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.add_init_script(NOTE_THE_PAINT)
            page.set_default_timeout(PAGE_WITHIN_MS)
            page.goto(f"{board.url}/#single_directions{keys}", wait_until="commit")
            page.frame_locator("iframe").locator(".chart[data-drawn]").wait_for()
            frame = page.frames[-1]
            frame.wait_for_function("window.paintedAt")
            times.append(frame.evaluate(SINCE_THE_BYTES))
            zooms += [frame.evaluate(ZOOM) for _ in range(ZOOMS)]
            page.close()
        browser.close()
    return times, zooms


def start_up_s() -> tuple[float, list[str]]:
    """Median time of all that TensorBoard does with us at start-up, after its own plugins: imports
    our entry point, defines flags, loads the plugin, asks for its routes; heavy modules loaded."""
    code = (
        "import sys, time; from tensorboard.plugins import base_plugin; import argparse\n"
        "from tensorboard import default; from tensorboard.backend import application\n"
        "default.get_static_plugins()\n"
        "before = set(sys.modules); started = time.perf_counter()\n"
        "from tb_plugin.loader import SingleDirectionsLoader as L\n"
        "loader = L(); loader.define_flags(argparse.ArgumentParser())\n"
        "plugin = loader.load(base_plugin.TBContext()); plugin.get_plugin_apps()\n"
        "plugin.is_active(); plugin.frontend_metadata()\n"
        "print(time.perf_counter() - started)\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new & {'tensorflow', 'keras', 'repro', 'jax'}))"
    )
    times, heavy = [], ""
    for _ in range(STARTS):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        seconds, heavy = done.stdout.split("\n")[:2]
        times.append(float(seconds))
    return float(np.median(times)), json.loads(heavy.replace("'", '"'))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plugin", description=__doc__)
    parser.parse_args(arguments)
    seconds, heavy = start_up_s()
    print(
        f"start-up: {seconds:.3f} s (budget {START_BUDGET_S} s), heavy imports: {heavy or 'none'}"
    )
    within = seconds < START_BUDGET_S and not heavy
    with tempfile.TemporaryDirectory() as folder:
        write_logs(Path(folder))
        for fast in (True, False):
            board = Board(Path(folder), fast)
            try:
                board.wait_until_read()
                for name, paths in questions().items():
                    ms = p95_ms(board, paths)
                    within = within and ms < BUDGET_MS
                    loader = "fast" if fast else "slow"
                    print(f"{loader} loader, {name}: p95 {ms:.0f} ms (budget {BUDGET_MS:.0f} ms)")
                if fast and (seen := paint_ms(board)):
                    times, zooms = seen
                    within = within and max(times) < PAINT_BUDGET_MS
                    each = ", ".join(f"{ms:.0f}" for ms in times)
                    print(
                        f"{N_UNITS:,} units painted {each} ms after their last byte"
                        f" (budget {PAINT_BUDGET_MS:.0f} ms)"
                    )
                    middle, longest = np.median(zooms), max(zooms)
                    print(f"zoomed into in {middle:.0f} ms (median; longest {longest:.0f} ms)")
            finally:
                board.close()
    print("within the budget" if within else "over the budget")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
