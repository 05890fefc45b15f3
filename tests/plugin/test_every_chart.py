"""What holds for every chart of the plugin, in a real Chromium.

It tells its values under the pointer, zooms and comes back, is also a table, and can be saved. And
every view takes fifty runs.
"""

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tb_plugin import summary
from tests.helpers.boards import HOSTILE, TensorBoard
from tests.helpers.tab import DRAWN_WITHIN_MS, SEED_0, Tab

pytestmark = pytest.mark.browser

SVG = "{http://www.w3.org/2000/svg}"
INSPECTED = {"view": "unit", "unitRun": "tiny", "inspect": '["4"]'}
LAB = {"view": "lab", "model": "tiny/model", "lesions": "0:3"}
# Name of the chart, as its downloads have it; what opens it; columns of its numbers; what the
# pointer is told over it; what stands at its axes and in its legend.
CHARTS = [
    (
        "accuracy_vs_ablation",
        {},
        "label,run,tag,step,units ablated",
        r"of 1,024 units ablated",
        ["Units ablated (fraction of 1,024)", "Training accuracy (fraction correct)", "0.2"],
    ),
    (
        "selectivity_vs_importance",
        {"view": "units", "unitRun": SEED_0},
        "layer,unit,",
        r"unit \d+",
        ["Class selectivity index", "Importance: change of loss (nats)", "hidden_2", "all layers"],
    ),
    (
        "accuracy_vs_noise",
        {"view": "noise"},
        "label,run,tag,step,noise scale",
        r"Noise of",
        ["Scale of the noise (standard deviations", "Training accuracy (fraction correct)"],
    ),
    (
        "distributions",
        {"view": "distributions", "filter": "fig6"},
        "label,run,layer,",
        r"share of",
        ["Class selectivity (0 to 1)", "Share of units", "conv_6", "without batch norm"],
    ),
    (
        "training",
        {"view": "training", "filter": "fig1a"},
        "run,quantity,step,value",
        r"Step \d+",
        ["Training step (epoch)", "Loss (nats)", "AUC", "label corruption 0.4"],
    ),
    (
        "auc_vs_test",
        {"view": "training", "filter": "fig1a"},
        "run,step,test loss,AUC",
        r"AUC",
        ["Test loss (nats)", "AUC of the ablation curve"],
    ),
    (
        "unit_1",
        INSPECTED,
        "class,mean activation,accuracy drop",
        r"mean activation",
        ["Class", "Mean activation", "Accuracy drop (fraction)", "accuracy drop when ablated"],
    ),
    (
        "standing_1",
        INSPECTED,
        "from,to,units",
        r"units",
        ["Class selectivity (0 to 1)", "Units", "this unit: "],
    ),
    (
        "activity_1",
        INSPECTED,
        "from,to,images of class",
        r"share of images",
        ["Activation", "Share of the images", "the other classes"],
    ),
    (
        "lesion_on_the_curve",
        LAB,
        "network,what,fraction deleted,lowest,mean,highest",
        r"of the units deleted",
        ["Fraction of units deleted", "Accuracy (fraction correct)"],
    ),
    (
        "accuracy_by_class",
        LAB,
        "class,images,accuracy,from,to,intact,change,change from,change to",
        r"with the lesion",
        ["Class", "Accuracy (fraction correct)", "intact", "with the lesion"],
    ),
]


@pytest.fixture
def card(request, open_tab, lab_board):
    """The tab, the chart's card, and what is known of it."""
    name, state, *known = request.param
    tab = open_tab(lab_board, **state)
    chart = tab.frame.locator(f'.chart[data-name="{name}"][data-drawn]')
    chart.wait_for(timeout=120_000)  # the lab may start TensorFlow
    if name == "lesion_on_the_curve":
        tab.wait_for_text(".subtitle", "of 10 random orders")  # they come one after the other
    chart.scroll_into_view_if_needed()
    return tab, tab.frame.locator("section.card", has=chart), chart, name, *known


each_chart = pytest.mark.parametrize(
    "card", CHARTS, ids=[name for name, *_ in CHARTS], indirect=True
)


def pointer_places(chart):
    """Where the pointer may find something: at the marks of an SVG, else all over the chart."""
    box = chart.bounding_box()
    marks = chart.locator("path").evaluate_all(
        """(paths) => paths.filter((path) => path.getAttribute("transform")).map((path) => {
            const box = path.getBoundingClientRect();
            const chart = path.closest(".chart").getBoundingClientRect();
            return [box.x + box.width / 2 - chart.x, box.y + box.height / 2 - chart.y];
        })"""
    )
    inside = [(x, y) for x, y in marks if 60 < y < box["height"] - 70]
    middle = [(box["width"] * 0.52, box["height"] * share) for share in (0.4, 0.5, 0.6)]
    # The silent units of the demo lie at 0 of both axes, of which the upright one starts at -0.05.
    silent = [(80, 48 + (box["height"] - 108) * 20 / 25)]
    return [(box["x"] + x, box["y"] + y) for x, y in [*middle, *inside, *silent]]


@each_chart
def test_the_pointer_is_told_what_lies_under_it(card):
    tab, _, chart, _, _, told, _ = card
    tip = tab.frame.locator(".chart > div:visible", has_text=re.compile(told))
    for place in pointer_places(chart):
        tab.page.mouse.move(*place)
        if tip.count():
            return
    raise AssertionError("nothing was told anywhere on the chart")


@each_chart
def test_a_drag_zooms_and_reset_shows_everything(card):
    tab, frame, chart, name, *_ = card
    box = chart.bounding_box()
    across = [box["x"] + share * box["width"] for share in (0.2, 0.4)]
    # The distributions are panels of which the first ends here.
    shares = (0.3, 0.6) if name != "distributions" else (100 / box["height"], 180 / box["height"])
    down = [box["y"] + share * box["height"] for share in shares]
    tab.page.mouse.move(across[0], down[0])
    tab.page.mouse.down()
    tab.page.mouse.move(across[1], down[1], steps=3)
    tab.page.mouse.up()
    zoomed = f"decodeURIComponent(decodeURIComponent(location.hash)).includes('\"{name}|x|')"
    tab.page.wait_for_function(zoomed)
    frame.get_by_role("button", name="Reset zoom").click()
    tab.page.wait_for_function(f"!{zoomed}")


def saved(tab, frame, kind: str, name: str) -> bytes:
    """What a click on "Download ... as KIND" saves under that name."""
    with tab.page.expect_download() as waiting:
        frame.get_by_role("button", name=f"as {kind}").click()
    # A chart of the runs of one folder is called by it, too.
    assert re.fullmatch(rf"(fig\w+_)?{name}\.{kind.lower()}", waiting.value.suggested_filename)
    return Path(waiting.value.path()).read_bytes()


def texts_of(picture: bytes) -> str:
    """The texts of an SVG picture, a line each, as an XML parser reads them."""
    root = ElementTree.fromstring(picture)
    assert root.tag == f"{SVG}svg"
    return "\n".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))


def backgrounds(picture: bytes) -> str:
    """The colour of the first shape, which lies under all others."""
    first = next(ElementTree.fromstring(picture).iter(f"{SVG}rect"), None)
    return "" if first is None else first.get("fill")


def opens_in_the_browser(tab, picture: bytes, path: Path) -> bool:
    """Whether Chromium shows the file as a picture, and not as an error of its XML."""
    path.write_bytes(picture)
    page = tab.page.context.new_page()
    page.goto(path.as_uri())
    shown = page.evaluate(
        "document.documentElement.tagName === 'svg' && !document.querySelector('parsererror')"
    )
    page.close()
    return shown


@each_chart
def test_the_numbers_are_a_table_and_a_file_and_the_picture_two(card, tmp_path):
    tab, frame, chart, name, columns, _, texts = card
    head, *lines = saved(tab, frame, "CSV", name).decode().splitlines()
    assert head.startswith(columns)
    assert saved(tab, frame, "PNG", name).startswith(b"\x89PNG")
    pictures = []
    for theme in ("light", "dark"):
        dark = str(theme == "dark").lower()
        tab.page.evaluate(f"document.body.classList.toggle('dark-mode', {dark})")
        tab.page.frames[-1].wait_for_function(
            f"document.documentElement.dataset.theme === '{theme}'"
        )
        picture = saved(tab, frame, "SVG", name)
        written = texts_of(picture)
        assert [text for text in texts if text not in written] == []
        assert opens_in_the_browser(tab, picture, tmp_path / f"{theme}.svg")
        pictures.append(picture)
        shown = tab.page.frames[-1].evaluate("document.documentElement.dataset.theme")
        assert shown == theme  # the page keeps its theme
    root = ElementTree.fromstring(pictures[0])
    assert root.get("width") == "170.00mm"
    assert root.findtext(f"{SVG}title") and "#single_directions" in root.findtext(f"{SVG}desc")
    # On paper a chart is light.
    assert backgrounds(pictures[0]) == backgrounds(pictures[1]) == "#ffffff"
    frame.get_by_role("button", name="Show as table").click()
    table = frame.locator(".data-table tbody tr")
    table.first.wait_for()
    assert table.count() == min(len(lines), 200)
    headings = frame.locator(".data-table thead tr").first.inner_text().split("\t")
    assert [text.strip() for text in headings if text.strip()] == next(csv.reader([head]))
    every = tab.frame.locator(".data-table").count()
    assert tab.frame.locator(".data-table[hidden]").count() == every - 1  # the others stay charts
    frame.get_by_role("button", name="Show as table").click()
    chart.wait_for()


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ({"filter": "img src"}, "accuracy_vs_ablation"),
        ({"view": "units", "unitRun": HOSTILE, "unitX": HOSTILE}, "selectivity_vs_importance"),
    ],
)
def test_a_picture_with_hostile_names_is_a_picture(
    open_tab, slow_tensorboard, tmp_path, state, name
):
    tab = open_tab(slow_tensorboard, **state)
    tab.drawn()
    frame = tab.frame.locator("section.card").first
    picture = saved(tab, frame, "SVG", name)
    assert HOSTILE in texts_of(picture)
    assert opens_in_the_browser(tab, picture, tmp_path / "hostile.svg")


# --------------------------------------------------------------------------------- many runs

N_RUNS = 50


@pytest.fixture(scope="module")
def fifty(tmp_path_factory):
    """Fifty networks with everything that there are views for."""
    logdir = tmp_path_factory.mktemp("fifty")
    rng = np.random.default_rng(0)
    layers, units = ["hidden"] * 6, range(6)
    for run in range(N_RUNS):
        facts = {"dropout": f"{run / 100:.2f}", "seed": "0"}
        falling = np.sort(rng.random((2, 7)), axis=1)[:, ::-1]
        columns = {"class_selectivity": rng.random(6), "importance": rng.normal(size=6)}
        summaries = [
            summary.ablation_curve("c", np.arange(7), falling, n_units=6, facts=facts),
            summary.noise_curve("n", np.arange(1, 8), falling, n_units=6, facts=facts),
            summary.unit_table("u", layers, units, columns, facts=facts),
            summary.training_scalar("test_loss", run / 10),
            summary.training_scalar("loss", 1 + run / 10),
        ]
        with summary.Writer(logdir / f"run_{run:02d}") as writer:
            for one in summaries:
                writer.add(one)
    board = TensorBoard(logdir, "--load_fast=true")
    board.wait_for_index(lambda index: len(index["series"]) == 3 * N_RUNS)
    yield board
    board.close()


@pytest.fixture(scope="module")
def fifty_tab(context, fifty):
    tab = Tab(context, fifty).open()
    tab.drawn()
    yield tab
    tab.page.close()


@pytest.mark.parametrize(
    ("state", "drawn"),
    [
        ({"view": "curves"}, [N_RUNS]),
        ({"view": "noise"}, [N_RUNS]),
        ({"view": "distributions"}, [N_RUNS]),
        ({"view": "distributions", "column": "importance"}, [N_RUNS]),
        ({"view": "training"}, [N_RUNS, N_RUNS]),
        ({"view": "units"}, [6]),
    ],
)
def test_every_view_takes_fifty_runs(fifty_tab, state, drawn):
    tab = fifty_tab.open_again(**state)
    charts = tab.frame.locator(".chart[data-drawn]:visible")
    for i, count in enumerate(drawn):
        charts.nth(i).wait_for(timeout=DRAWN_WITHIN_MS)
        assert charts.nth(i).get_attribute("data-drawn") == str(count)
    assert tab.frame.locator(".runs input").count() == N_RUNS
    if state["view"] in ("curves", "noise", "training"):
        tab.wait_for_text(".note", f"{N_RUNS} (curves|runs) at once are hard to tell apart")
    assert tab.problems == []


def test_histograms_of_fifty_runs_share_their_bins_over_several_requests(fifty_tab):
    """40 tables are asked for at a time; the smallest value and the largest may lie in any."""
    tab = fifty_tab.open_again(view="distributions", column="importance")
    tab.frame.locator(f'.chart[data-drawn="{N_RUNS}"]').wait_for(timeout=DRAWN_WITHIN_MS)
    with tab.page.expect_download() as waiting:
        tab.frame.get_by_role("button", name="as CSV").click()
    _, *lines = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines]
    edges = {run: [] for _, run, *_ in rows}
    for _, run, _, low, high, _ in rows:
        edges[run].append((low, high))
    assert len({json.dumps(found) for found in edges.values()}) == 1
    assert sum(int(row[-1]) for row in rows) == 6 * N_RUNS
