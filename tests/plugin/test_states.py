"""What the page shows when things are not well, in a real Chromium: a server that is gone, a reload
that fails, a page outside of TensorBoard; the installed package; series too large for one reply."""

import re

import numpy as np
import pytest

from tb_plugin import summary
from tests.helpers.boards import ROUTES, TensorBoard, read_whole

pytestmark = pytest.mark.browser

RELOAD = "button.reload-button, button[title*='eload'], app-header-reload button"


@pytest.fixture
def mortal(demo_logdir):
    """A TensorBoard that a test may end."""
    board = TensorBoard(demo_logdir, "--load_fast=true")
    yield board
    board.close()


def test_when_the_server_is_gone_the_old_chart_stays_dimmed_and_says_so(new_tab, mortal):
    read_whole(mortal)
    tab = new_tab(mortal).open()
    assert tab.drawn() == 6
    card = tab.frame.locator("section.card").first
    assert "stale" not in card.get_attribute("class")
    mortal.close()
    tab.frame.get_by_label("Training step").focus()
    tab.page.keyboard.press("ArrowLeft")  # another step must be asked for
    tab.wait_for_text(".message p", "TensorBoard does not answer. Is it still running?")
    assert "stale" in card.get_attribute("class")
    chart = tab.frame.locator(".chart")
    assert chart.locator("svg path").count() > 6  # what was drawn is there
    assert float(chart.evaluate("(box) => getComputedStyle(box).opacity")) < 0.5
    assert tab.frame.locator(".message").get_by_role("button", name="Retry").is_visible()
    # A view that was not open yet has nothing old to show.
    tab.frame.get_by_role("tab", name="Noise").click()
    tab.wait_for_text(".message p", "TensorBoard does not answer")
    tab.frame.get_by_role("tab", name="Unit inspector").click()
    tab.wait_for_text("[role=alert]", "TensorBoard does not answer")
    assert tab.frame.locator("main").get_by_role("button", name="Retry").is_visible()


def test_a_reload_that_fails_is_a_banner_over_what_was_there(new_tab, fast_tensorboard):
    read_whole(fast_tensorboard)
    tab = new_tab(fast_tensorboard).open()
    assert tab.drawn() == 6
    index = f"**{ROUTES}/api/v1/index"
    tab.page.route(index, lambda route: route.abort())
    tab.page.locator(RELOAD).first.click()
    tab.wait_for_text(".banner", "Not up to date: TensorBoard does not answer")
    assert tab.drawn() == 6
    tab.page.unroute(index)
    tab.frame.locator(".banner").get_by_role("button", name="Retry").click()
    tab.frame.locator("div.banner").wait_for(state="hidden")
    assert tab.drawn() == 6


def test_a_slow_first_answer_is_explained(new_tab, fast_tensorboard):
    read_whole(fast_tensorboard)
    tab = new_tab(fast_tensorboard)
    held = []
    tab.page.route(f"**{ROUTES}/api/v1/index", lambda route: held.append(route))
    tab.open()
    tab.wait_for_text(".blank h2", "Loading ablation data")
    tab.wait_for_text(".blank p", "TensorBoard may still be reading the log directory.")
    held[0].continue_()
    assert tab.drawn() == 6
    assert tab.problems == []


def test_the_page_stands_alone_without_tensorboard_around_it(new_tab, fast_tensorboard):
    """As in a notebook's frame: nobody answers messages, there is no address and no theme."""
    read_whole(fast_tensorboard)
    tab = new_tab(fast_tensorboard)
    tab.page.goto(f"{fast_tensorboard.url}/data/plugin_entry.html?name=single_directions")
    tab.page.locator('.chart[data-drawn="6"] svg text').first.wait_for()
    tab.page.get_by_role("tab", name="Selectivity vs importance").click()
    tab.page.locator(".chart[data-drawn]:visible").wait_for()
    # A browser asks every page that is opened alone for its icon, which TensorBoard has elsewhere.
    assert [problem for problem in tab.problems if "404" not in problem] == []


def test_a_browser_opens_the_installed_package(new_tab, installed, demo_logdir):
    """A checkout may have files that the wheel lacks."""
    board = TensorBoard(demo_logdir, "--load_fast=true", python=installed)
    try:
        read_whole(board)
        tab = new_tab(board).open()
        assert tab.drawn() == 6
        for name in ("Selectivity vs importance", "Noise", "Distributions", "Training"):
            tab.frame.get_by_role("tab", name=name).click()
            assert tab.drawn() > 0
        assert tab.problems == []
    finally:
        board.close()
    assert "Traceback" not in "".join(board.printed)


# ------------------------------------------------------------------------- very large series

LARGE_STEPS, LARGE_POINTS = 70, 1_000_000  # 4 MB a step, 280 MB in all


def write_large_series(folder):
    """Through TensorFlow's writer: TensorBoard's own takes a minute for the checksums."""
    from tensorboard.compat.proto import event_pb2
    from tensorflow import io

    x = np.linspace(0, LARGE_POINTS, LARGE_POINTS // 2).round()
    folder.mkdir()
    with io.TFRecordWriter(str(folder / "events.out.tfevents.1.test")) as records:
        records.write(event_pb2.Event(file_version="brain.Event:2").SerializeToString())
        for step in range(LARGE_STEPS):
            accuracy = np.full((1, len(x)), 1 - step / 100, "f4")
            curve = summary.ablation_curve("c", x, accuracy, n_units=LARGE_POINTS)
            event = event_pb2.Event(wall_time=1.0, step=step, summary=curve)
            records.write(event.SerializeToString())


def test_a_series_beyond_the_fast_loaders_reply_is_shown_by_its_last_step(tmp_path):
    """The loader refuses replies above 256 MiB."""
    write_large_series(tmp_path / "large")
    with summary.Writer(tmp_path / "small") as writer:
        writer.add(summary.ablation_curve("c", [0, 4], [[1.0, 0.1]], n_units=4))
    board = TensorBoard(tmp_path, "--load_fast=true")
    try:
        board.wait_for_index(
            lambda index: [s["max_step"] for s in index["series"]] == [LARGE_STEPS - 1, 0]
        )
        curves = board.json("/api/v1/curve?run=large&tag=c&run=small&tag=c")["curves"]
        assert [curve.get("error") for curve in curves] == [None, None]
        large, small = curves
        assert large["step"] == LARGE_STEPS - 1
        assert large["rows"][0][0] == pytest.approx(1 - (LARGE_STEPS - 1) / 100)
        assert small["rows"] == [[1.0, 0.1]]
    finally:
        board.close()
    assert not re.search("Traceback", "".join(board.printed))
