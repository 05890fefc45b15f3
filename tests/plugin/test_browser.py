"""A real Chromium on a real TensorBoard does what a user does."""

import re
from pathlib import Path

import pytest

from tb_plugin import summary
from tests.helpers.boards import HOSTILE, ROUTES, TensorBoard, read_whole
from tests.helpers.tab import DRAWN_WITHIN_MS, STATE

pytestmark = pytest.mark.browser


def test_both_charts_are_drawn_and_hover_tells_the_values(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard, unitRun="fig7a/seed=0")
    assert tab.drawn() == 6
    assert "training set · ablated to zero · random order" in tab.text(".subtitle")
    areas = tab.rows(".details")
    assert [row[0] for row in areas] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    normalized = [float(row[1]) for row in areas]
    assert normalized == sorted(normalized, reverse=True)

    box = tab.chart_box()
    # 0.0 of all units lies at the left edge of the grid, 1.0 at its right edge.
    tab.page.mouse.move(box["x"] + 72 + 0.5 * (box["width"] - 96), box["y"] + box["height"] / 2)
    tab.wait_for_text(".tooltip", r"5\d\d of 1,024 units ablated \(\d+\.\d %\)")
    assert tab.frame.locator(".tooltip .swatch").count() == 6

    tab.frame.get_by_role("tab", name="Selectivity vs importance").click()
    assert tab.drawn() == 256
    layers = tab.rows(".details .table-box")
    assert [row[0] for row in layers] == ["hidden_1", "hidden_2", "all layers"]
    assert [row[4:6] for row in layers] == [["128", "8"], ["128", "8"], ["256", "16"]]
    assert all(re.fullmatch(r"−?0\.\d{3}", row[1]) for row in layers)

    # The silent units lie at selectivity 0, importance 0; axes run from 0 and from -0.05 to 0.2.
    box = tab.chart_box()
    tab.page.mouse.move(box["x"] + 80, box["y"] + 48 + (box["height"] - 108) * 20 / 25)
    tab.wait_for_text(".tooltip", r"hidden_\d, unit \d+")
    assert "importance\t0" in tab.text(".tooltip")


def test_the_pictures_hold_what_they_should(open_tab, fast_tensorboard):
    """The clean network's line lies above the others: its mark is found high in the picture."""
    tab = open_tab(fast_tensorboard)
    tab.drawn()
    middles = tab.frame.locator("body").evaluate(
        """() => [...document.querySelectorAll(".chart svg path")]
            .filter((p) => p.getAttribute("stroke-width") === "2.5" && p.getTotalLength() > 200)
            .map((p) => p.getPointAtLength(p.getTotalLength() * 0.45).x)"""
    )
    assert len(middles) == 6
    assert middles == sorted(middles, reverse=True)


def test_dark_mode_by_address_and_by_the_live_switch(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard, "?darkMode=true", fresh=True)
    tab.drawn()
    background = "getComputedStyle(document.querySelector('.card')).backgroundColor"
    frame = tab.page.frames[-1]
    assert frame.evaluate(background) == "rgb(48, 48, 48)"
    axis_text = "document.querySelector('.chart svg text').getAttribute('fill')"
    dark_text = frame.evaluate(axis_text)
    tab.page.evaluate("document.body.classList.remove('dark-mode')")
    frame.wait_for_function(f"{background} === 'rgb(255, 255, 255)'")
    frame.wait_for_function(f"{axis_text} !== '{dark_text}'")


def test_the_views_are_reached_by_keys_and_the_page_says_which_is_open(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard)
    tab.drawn()
    page, frame = tab.page, tab.page.frames[-1]
    title = "document.title"
    assert frame.evaluate(title) == "Ablation curves · Single Directions"
    tab.frame.get_by_role("tab", name="Ablation curves").focus()
    page.keyboard.press("End")
    frame.wait_for_function(f"{title} === 'Guide · Single Directions'")
    page.keyboard.press("Home")
    frame.wait_for_function(f"{title} === 'Ablation curves · Single Directions'")
    tab.frame.get_by_role("button", name="Skip to the chart").focus()
    page.keyboard.press("Enter")
    assert frame.evaluate("document.activeElement.id") == "view"
    assert tab.frame.get_by_role("main").count() == 1
    assert tab.frame.get_by_role("heading", level=1).inner_text() == "Single Directions"


def test_a_filter_that_hides_everything_can_be_cleared_where_that_is_said(
    open_tab, fast_tensorboard
):
    tab = open_tab(fast_tensorboard, filter="no such run")
    tab.wait_for_text(".message p", "No run is chosen")
    assert tab.frame.get_by_role("group", name="Seeds").is_hidden()
    tab.frame.get_by_role("button", name="Clear the filter").click()
    assert tab.drawn() == 6
    assert "filter" not in tab.hash()


def test_a_drag_may_begin_beside_the_frame(open_tab, fast_tensorboard):
    """The highest points lie at the edge, and a hand is not that steady."""
    tab = open_tab(fast_tensorboard)
    tab.drawn()
    box = tab.chart_box()
    tab.page.mouse.move(box["x"] + 62, box["y"] + 42)  # the frame begins at 72, 48
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 400, box["y"] + 200, steps=3)
    tab.page.mouse.up()
    address = "decodeURIComponent(decodeURIComponent(location.hash))"
    tab.page.wait_for_function(f"{address}.includes('vs_ablation|x|')")
    (low,) = re.findall(r"vs_ablation\|x\|([^|]*)\|", tab.page.evaluate(address))
    assert abs(float(low)) < 1e-9


def test_a_path_prefix_and_the_slow_loader_change_nothing(open_tab, slow_tensorboard):
    tab = open_tab(slow_tensorboard, filter="fig1a|fig7a", unitRun="fig7a/seed=0")
    assert slow_tensorboard.url.endswith("/some/where")
    assert tab.drawn() == 6
    tab.frame.get_by_role("tab", name="Selectivity vs importance").click()
    assert tab.drawn() == 256


def test_hostile_names_stay_text(open_tab, slow_tensorboard):
    tab = open_tab(slow_tensorboard)
    dialogs = []
    tab.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    assert tab.drawn() == 7
    assert HOSTILE in tab.text(".side")
    box = tab.chart_box()
    # At the left edge: that run has points at both ends only.
    tab.page.mouse.move(box["x"] + 73, box["y"] + box["height"] / 2)
    tab.wait_for_text(".tooltip", re.escape(HOSTILE))
    tab.open(view="units", unitRun=HOSTILE, unitX=HOSTILE)
    tab.page.reload()
    assert tab.drawn() == 2
    assert HOSTILE in tab.text(".details")
    tab.frame.get_by_role("button", name="Show as table").click()
    tab.wait_for_text(".data-table td", re.escape(HOSTILE))
    assert tab.frame.locator("img").count() == 0
    assert dialogs == []


def test_a_cold_deep_link_opens_what_was_seen(open_tab, fast_tensorboard):
    state = {"x": "count", "y": "relative", "band": "each", "filter": r"[24]$", "step": "100"}
    tab = open_tab(fast_tensorboard, fresh=True, **state)
    assert tab.drawn() == 2
    assert [row[0] for row in tab.rows(".details")] == ["0.2", "0.4"]
    tab.wait_for_text(".subtitle", "· step 100 ·")
    for chosen in ("count", "relative", "each"):
        assert tab.frame.locator(f'input[type=radio][value="{chosen}"]').is_checked()
    tab.wait_for_text(".chart svg text", r"^Units ablated \(count of 1,024\)$")
    tab.wait_for_text(".chart svg text", "^Accuracy relative to the intact network$")


def test_choices_are_kept_in_the_address_across_a_reload(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard)
    tab.drawn()
    tab.choose("count")
    tab.frame.locator('.runs input[data-run="fig1a/label_corruption=0.6"]').uncheck()
    tab.frame.locator('.chart[data-drawn="5"]').wait_for()
    assert f"{STATE}x=count" in tab.hash()
    tab.page.reload()
    assert tab.drawn() == 5
    assert tab.frame.locator('input[type=radio][value="count"]').is_checked()
    assert "0.6" not in [row[0] for row in tab.rows(".details")]


def test_the_slider_goes_through_the_checkpoints(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard)
    tab.drawn()
    # What is the same for all curves stands above them, and not in each row.
    tab.wait_for_text(".subtitle", "10 orderings · step 640 ·")
    headings = tab.frame.locator(".details thead th").all_inner_texts()
    assert headings[-1].strip() == "intact accuracy"
    tab.frame.get_by_label("Training step").focus()
    tab.page.keyboard.press("ArrowLeft")
    tab.wait_for_text(".subtitle", "· step 100 ·")
    assert f"{STATE}step=100" in tab.hash()


def test_zoom_by_dragging_and_back(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard)
    tab.drawn()
    labels = tab.frame.locator(".chart svg text")
    box = tab.chart_box()
    before = labels.all_text_contents()
    tab.page.mouse.move(box["x"] + 200, box["y"] + 80)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 400, box["y"] + 200, steps=4)
    assert tab.frame.locator(".drag-overlay").is_visible()
    tab.page.mouse.up()
    zoomed = labels.all_text_contents()
    assert zoomed != before and "0" not in zoomed
    tab.frame.get_by_role("button", name="Reset zoom").click()
    assert labels.all_text_contents() == before


def test_the_keyboard_zooms_moves_and_goes_back(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard)
    tab.drawn()
    labels = tab.frame.locator(".chart svg text")
    before = labels.all_text_contents()
    chart = tab.frame.locator(".chart:visible")
    chart.focus()
    tab.page.keyboard.press("ArrowRight")  # everything is seen: there is nowhere to go
    assert labels.all_text_contents() == before
    seen = [before]
    for key in ("+", "ArrowRight", "ArrowUp"):
        chart.press(key)
        seen.append(labels.all_text_contents())
        assert seen[-1] != seen[-2]
    assert f"{STATE}zoom=" in tab.hash()
    chart.press("0")
    assert labels.all_text_contents() == before


def test_a_newcomer_is_told_where_to_click_until_the_hint_is_closed(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard)
    tab.wait_for_text(".hint p", "Each line is a network")
    tab.frame.get_by_role("tab", name="Noise").click()
    tab.wait_for_text(".hint p", "growing noise")
    tab.frame.get_by_role("button", name="Close hints").click()
    tab.open_again()
    tab.drawn()
    assert tab.frame.locator(".hint").is_hidden()
    tab.frame.get_by_role("button", name="Show hints").click()
    tab.wait_for_text(".hint p", "Each line is a network")
    tab.open_again()
    tab.frame.get_by_role("button", name="Read the guide").click()
    tab.wait_for_text("h2", "What am I looking at?")


def test_downloads_hold_the_chart_and_its_numbers(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard, unitRun="fig7a/seed=0", group="fig1a")
    tab.drawn()

    def download(kind: str) -> bytes:
        with tab.page.expect_download() as waiting:
            tab.frame.get_by_role("button", name=f"as {kind}").click()
        assert waiting.value.suggested_filename == f"fig1a_accuracy_vs_ablation.{kind.lower()}"
        return Path(waiting.value.path()).read_bytes()

    head, *lines = download("CSV").decode().splitlines()
    assert head.startswith("label,run,tag,step,units ablated,fraction ablated,mean accuracy")
    assert len(lines) == 6 * 52
    assert lines[0].split(",")[:6] == [
        "0.0", "fig1a/label_corruption=0.0", "curve/all/random", "640", "0", "0",
    ]  # fmt: skip
    picture = download("SVG")
    assert picture.startswith(b"<svg") and b"Training accuracy" in picture
    assert download("PNG").startswith(b"\x89PNG")

    tab.frame.get_by_role("tab", name="Selectivity vs importance").click()
    tab.drawn()
    with tab.page.expect_download() as waiting:
        tab.frame.get_by_role("button", name="as SVG").click()
    assert b"hidden_2" in Path(waiting.value.path()).read_bytes()


def test_every_chart_is_also_a_table(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard, view="units", unitRun="fig7a/seed=0")
    tab.drawn()
    tab.frame.get_by_role("button", name="Show as table").click()
    tab.frame.locator(".data-table table").wait_for()
    assert tab.rows(".data-table")[0][:2] == ["hidden_1", "0"]
    tab.frame.locator(".data-table th", has_text="importance").get_by_role("button").click()
    column = [float(row[3].replace("−", "-")) for row in tab.rows(".data-table")]
    assert column == sorted(column, reverse=True)
    tab.frame.get_by_role("button", name="Show all 256 rows").click()
    assert len(tab.rows(".data-table")) == 256
    tab.frame.get_by_role("button", name="Show as table").click()
    assert tab.drawn() == 256


def test_axes_can_be_any_measured_quantities(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard, view="units", unitRun="fig7a/seed=0")
    tab.drawn()
    rho = tab.rows(".details")[0][1]
    tab.frame.get_by_label("Across").select_option("mean_activation")
    tab.frame.get_by_label("Up").select_option("class_selectivity")
    tab.choose("leave out")
    tab.frame.locator('.chart[data-drawn="240"]').wait_for()
    assert tab.rows(".details")[0][1] != rho
    assert f"{STATE}unitX=mean_activation" in tab.hash()


def test_a_hidden_tab_comes_back_at_its_size(open_tab, fast_tensorboard):
    tab = open_tab(fast_tensorboard)
    tab.drawn()
    frame = tab.page.frames[-1]
    size = "JSON.stringify(document.querySelector('.chart svg').getBoundingClientRect())"
    before = frame.evaluate(size)
    shown = "document.querySelector('iframe').getBoundingClientRect().height"
    tab.page.evaluate("location.hash = '#timeseries'")
    tab.page.wait_for_function(f"{shown} === 0")
    tab.page.evaluate("location.hash = '#single_directions'")
    tab.page.wait_for_function(f"{shown} > 0")
    frame.wait_for_function(f"{size} === '{before}'")


@pytest.mark.parametrize("width", [800, 2200])
def test_the_layout_holds_from_narrow_to_wide(open_tab, fast_tensorboard, width):
    tab = open_tab(fast_tensorboard, size=(width, 900))
    tab.drawn()
    frame = tab.page.frames[-1]
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.chart_box()["width"] > 0.5 * width
    buttons = "[...document.querySelectorAll('.tool, .segment span')]"
    assert frame.evaluate(f"{buttons}.every((e) => e.scrollWidth <= e.clientWidth + 1)")


# --------------------------------------------------------------------- when things are not well


@pytest.fixture(scope="module")
def growing_board(tmp_path_factory):
    """A TensorBoard on a log directory that is empty at first."""
    logdir = tmp_path_factory.mktemp("empty")
    board = TensorBoard(logdir, "--load_fast=true", "--reload_interval=1", tensorflow=True)
    yield logdir, board
    board.close()
    assert "Traceback" not in "".join(board.printed)


def test_an_empty_directory_says_how_to_write_then_shows_new_runs(new_tab, growing_board):
    logdir, board = growing_board
    tab = new_tab(board).open()
    tab.wait_for_text("h2", "No ablation data in this log directory")
    assert "summary.Writer" in tab.text(".blank pre")

    def write(run, corruption):
        curve = summary.ablation_curve(
            "c", [0, 4], [[1.0, 0.1]], n_units=4, facts={"label corruption": corruption}
        )
        with summary.Writer(logdir / run) as writer:
            writer.add(curve)

    write("first", "0")
    assert tab.drawn() == 1  # the empty page looks again by itself
    write("second", "1")
    board.wait_for_index(lambda index: len(index["series"]) == 2)
    tab.page.locator(
        "button.reload-button, button[title*='eload'], app-header-reload button"
    ).first.click()
    tab.frame.locator('.chart[data-drawn="2"]').wait_for(timeout=DRAWN_WITHIN_MS)
    assert tab.problems == []


def test_a_missing_chart_library_says_how_to_build_it(new_tab, fast_tensorboard):
    tab = new_tab(fast_tensorboard)
    tab.page.route("**/vendor/echarts.js", lambda route: route.fulfill(status=404))
    tab.open()
    tab.wait_for_text("h2", "The chart library of this plugin has not been built")
    assert "python tb_plugin/frontend/bundle.py" in tab.text("pre")


def test_a_failure_is_a_sentence_and_retry_mends_it(new_tab, fast_tensorboard):
    read_whole(fast_tensorboard)
    tab = new_tab(fast_tensorboard)
    body = '{"error": {"code": "provider_error", "message": "The disk is on fire."}}'
    failing = {"status": 502, "body": body, "content_type": "application/json"}
    for address in (f"**{ROUTES}/api/v1/index", f"**{ROUTES}/api/v1/curve*"):
        tab.page.route(address, lambda route: route.fulfill(**failing))
    tab.open()
    tab.wait_for_text(".blank p", "The disk is on fire.")
    tab.page.unroute(f"**{ROUTES}/api/v1/index")
    tab.frame.get_by_role("button", name="Retry").click()
    tab.wait_for_text(".message p", "The disk is on fire.")
    tab.page.unroute(f"**{ROUTES}/api/v1/curve*")
    tab.frame.get_by_role("button", name="Retry").click()
    assert tab.drawn() == 6
    assert tab.frame.locator(".message").is_hidden()


def test_a_network_at_chance_leads_no_ranking(new_tab, fast_tensorboard):
    """It loses nothing by an ablation, so that the area under its curve would be the largest."""
    read_whole(fast_tensorboard)
    tab = new_tab(fast_tensorboard)

    def guess(route):
        reply = route.fetch().json()
        curve = next(one for one in reply["curves"] if "corruption=0.6" in one["run"])
        curve["rows"] = [[0.12 if x < 1024 else 0.1 for x in curve["x"]] for _ in curve["rows"]]
        route.fulfill(json=reply)

    tab.page.route(f"**{ROUTES}/api/v1/curve*", guess)
    tab.open()
    tab.drawn()
    areas = tab.rows(".details")
    assert areas[0][0] == "0.0"
    assert areas[-1][:2] == ["0.6", "at chance"]
    spoken = tab.frame.locator(".chart:visible").first.get_attribute("aria-label")
    assert "Most robust: label corruption 0.0." in spoken


def test_what_is_thinned_newer_or_broken_is_said(new_tab, fast_tensorboard):
    index = read_whole(fast_tensorboard)
    index["sampling"]["single_directions"] = 3
    index["skipped"] = [
        {"run": "later", "tag": "t", "reason": "newer"},
        {"run": "odd", "tag": "t", "reason": "the content is not JSON"},
    ]
    tab = new_tab(fast_tensorboard)
    tab.page.route(f"**{ROUTES}/api/v1/index", lambda route: route.fulfill(json=index))
    tab.open()
    tab.drawn()
    notes = tab.text(".notes")
    assert "1 series skipped: written by a newer version" in notes
    assert "The first is odd, t: the content is not JSON." in notes
    assert "--samples_per_plugin=single_directions=0" in notes
