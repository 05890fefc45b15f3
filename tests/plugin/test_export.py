"""A static copy of the tab: opened from a disk, offline, it answers as the server does."""

import base64
import functools
import html
import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from tensorboard import context as tb_context
from tensorboard.backend import application
from tensorboard.plugins import base_plugin
from werkzeug.test import Client

from tb_plugin import metadata
from tb_plugin.export import bundle, command, folder, logdir, making, pages
from tb_plugin.plugin import SingleDirectionsPlugin
from tb_plugin.reading.provider import Experiment
from tests.helpers.boards import (
    HOSTILE,
    ROUTES,
    FakeProvider,
    tiny_content,
    tiny_curve,
    tiny_table,
)

ASK = """async (address) => {
  try {
    const reply = await singleDirections.use("site/files.js").get(address);
    if (!address.startsWith("api/v1/units?")) return await reply.json();
    const bytes = new Uint8Array(await reply.arrayBuffer());
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  } catch (error) {
    return { error: { code: error.code, message: error.message } };
  }
}"""
SCRIPT_END = "</script><script>alert(2)</script>"


class Copy:
    """A copy on the disk beside the server of the same data."""

    def __init__(self, out: Path, experiment: Experiment):
        self.out = out
        self.written = making.write_copy(experiment, out)
        provider = experiment.provider
        context = base_plugin.TBContext(data_provider=provider, sampling_hints=logdir.SAMPLING)
        plugin = SingleDirectionsPlugin(context)
        self.server = Client(application.TensorBoardWSGI([plugin], data_provider=provider))

    def replied(self, address: str):
        reply = self.server.get(f"{ROUTES}/{address}")
        if reply.content_type == "application/octet-stream":
            return base64.b64encode(reply.data).decode()
        return reply.json

    def url(self, path: str = "index.html", query: str = "", **state: str) -> str:
        hash_ = "&".join(f"{key}={value}" for key, value in state.items())
        return (self.out / path).as_uri() + query + (f"#{hash_}" if hash_ else "")


@pytest.fixture(scope="session")
def copy(tmp_path_factory, crowded_logdir) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy") / "site", logdir.read(crowded_logdir))


@pytest.fixture(scope="module")
def offline(browser):
    made = browser.new_context(offline=True, viewport={"width": 1400, "height": 900})
    yield made
    made.close()


@pytest.fixture
def opened(offline):
    """Opens a page of a copy; fails in the end if anything went wrong or was asked of a network."""
    tabs, problems, asked = [], [], []

    def open_(url: str):
        page = offline.new_page()
        tabs.append(page)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append("a dialog"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        return page

    yield open_
    for tab in tabs:
        tab.close()
    assert problems == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def drawn(page, name: str) -> int:
    """Waits until a chart is drawn; the number of its curves or points."""
    chart = page.locator(f'.chart[data-name="{name}"][data-drawn]')
    chart.wait_for()
    return int(chart.get_attribute("data-drawn"))


def address(route: str, *pairs: tuple[str, str], **asked: object) -> str:
    query = [pair for run, tag in pairs for pair in (("run", run), ("tag", tag))]
    return f"api/v1/{route}?{urlencode([*query, *asked.items()])}"


def questions(index: dict) -> list[str]:
    """Every route, for every series, with and without its arguments, and in every way wrong."""
    of_kind: dict[str, list[tuple[str, str]]] = {}
    for series in index["series"]:
        of_kind.setdefault(series["kind"], []).append((series["run"], series["tag"]))
    lines = of_kind["curve"] + of_kind.get("noise", [])
    nowhere = ("no such run", "no such tag")
    asked = ["api/v1/index", address("curve", *lines), address("curve", lines[0], nowhere)]
    for pair in lines:
        asked += [address("curve", pair), *(address("curve", pair, step=s) for s in (0, 60, 9999))]
    tables = of_kind["units"]
    for pair in tables:
        asked.append(address("units/steps", pair))
    for column in ("class_selectivity", "importance", "class_mean/1", HOSTILE, "no such column"):
        asked += [address("distributions", *tables, column=column)]
        asked += [address("distributions", tables[0], nowhere, column=column, bins=7, step=3)]
    asked += [
        address("distributions", *tables, column="importance", low=-2, high=1.5),
        address("training", *(), run=lines[0][0]),
        f"api/v1/training?{urlencode([('run', run) for run in index['runs']])}",
        *("api/v1/curve", "api/v1/units", "api/v1/unit", "api/v1/training", "api/v1/units/steps"),
        address("curve", nowhere),
        address("curve", lines[0], step="-1"),
        address("units/steps", nowhere),
        address("units/steps", lines[0]),
        address("units", tables[0], step=12345),
        address("unit", tables[0], step=12345, row=0),
        address("distributions", tables[0], column="importance", bins=501),
        address("distributions", tables[0], column="importance", low=2, high=1),
        address("distributions", tables[0]),
    ]
    return asked


def table_questions(pair: tuple[str, str], step: int, n: int, columns: list[str]) -> list[str]:
    return [
        address("units", pair, step=step),
        address("units", pair, step=step, column=columns[-1]),
        address("units", pair, step=step, column="no such column"),
        *(address("unit", pair, step=step, row=row) for row in {0, n // 2, n - 1, n, n + 300}),
    ]


@pytest.mark.browser
def test_every_route_is_answered_as_the_server_answers_it(copy, opened):
    page = opened(copy.url())
    index = copy.replied("api/v1/index")
    asked = questions(index)
    for series in (one for one in index["series"] if one["kind"] == "units"):
        pair = series["run"], series["tag"]
        for header in copy.replied(address("units/steps", pair))["steps"]:
            asked += table_questions(pair, header["step"], header["n"], header["columns"])
    assert len(asked) > 100
    for question in asked:
        assert page.evaluate(ASK, question) == copy.replied(question), question


@pytest.mark.browser
def test_damaged_series_are_answered_as_the_server_answers_them(tmp_path, opened):
    units = metadata.encode_content("units", {})
    header, raw = tiny_table()
    nan = np.frombuffer(raw, "<f4").copy()
    nan[-1] = np.nan
    provider = FakeProvider(
        tensors={
            ("good", "curve"): (tiny_content(), [(10, tiny_curve()), (100, tiny_curve() * 3)]),
            ("bad", "curve"): (tiny_content(), [(1, np.zeros((2, 2, 2), "f4"))]),
            ("half", "curve"): (tiny_content(), [(1, np.zeros(3, "f4")), (5, tiny_curve())]),
            ("gone", "curve"): (tiny_content(), [(1, RuntimeError("damaged"))]),
            ("odd", "curve"): (b"no JSON", [(1, tiny_curve())]),
        },
        tables={
            ("good", "units"): (units, [(5, [header, raw]), (7, [header, nan.tobytes()])]),
            ("cut", "units"): (units, [(5, [header, raw[:-4]]), (9, [header, raw])]),
            ("odd", "units"): (units, [(5, [b"no JSON", raw])]),
        },
        scalars={("good", "training/loss"): (b"", [(1, 0.1), (2, float("nan"))])},
    )
    experiment = Experiment(provider, tb_context.RequestContext(), "")
    copy = Copy(tmp_path / "site", experiment)
    page = opened(copy.url())
    asked = questions(copy.replied("api/v1/index"))
    for run in ("good", "cut", "odd"):
        for step in (5, 7, 9):
            asked += table_questions((run, "units"), step, 3, ["importance"])
    for question in asked:
        assert page.evaluate(ASK, question) == copy.replied(question), question


VIEWS = [
    ("curves", "accuracy_vs_ablation"),
    ("units", "selectivity_vs_importance"),
    ("unit", "unit_1"),
    ("noise", "accuracy_vs_noise"),
    ("distributions", "distributions"),
    ("training", "training"),
]


@pytest.mark.browser
@pytest.mark.parametrize(("view", "chart"), VIEWS)
def test_every_view_draws_its_chart_from_a_disk_without_a_network(copy, opened, view, chart):
    state = {"view": view, "group": "fig7a"} if view.startswith("unit") else {"view": view}
    page = opened(copy.url(**state, **({"inspect": '["3"]'} if view == "unit" else {})))
    assert drawn(page, chart) > 1


@pytest.mark.browser
def test_a_web_host_serves_it_from_any_folder(copy, browser):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=copy.out.parent)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context()
    try:
        page = context.new_page()
        replies = []
        page.on("response", lambda reply: replies.append((reply.status, reply.url)))
        (unit,) = copy.out.glob("units/fig7a-seed-1-*/640/hidden-2-*/17.html")
        here = f"http://127.0.0.1:{server.server_port}/{copy.out.name}/"
        page.goto(here + unit.relative_to(copy.out).as_posix())
        drawn(page, "unit_1")
        icon = here.replace(f"{copy.out.name}/", "favicon.ico")  # a browser asks for it by itself
        bad = [r for r in replies if r[0] != 200 or not r[1].startswith(here)]
        assert [reply for reply in bad if reply[1] != icon] == []
    finally:
        context.close()
        server.shutdown()
        server.server_close()


@pytest.mark.browser
def test_choices_are_in_the_address_and_back_leads_to_the_view_before(copy, opened):
    page = opened(copy.url(view="curves", x="count"))
    drawn(page, "accuracy_vs_ablation")
    assert page.get_by_role("radio", name="count").is_checked()
    page.get_by_role("tab", name="Distributions").click()
    drawn(page, "distributions")
    assert page.url.endswith("#view=distributions&x=count")
    again = opened(page.url)
    drawn(again, "distributions")
    page.go_back()
    drawn(page, "accuracy_vs_ablation")
    assert page.url.endswith("#view=curves&x=count")


@pytest.mark.browser
def test_each_unit_has_a_page_its_numbers_and_an_embed(copy, opened):
    tables = [entry for entry in (copy.out / "units").iterdir() if "fig7a-seed-1" in entry.name]
    (layer,) = tables[0].glob("640/hidden-2-*/")
    numbers = json.loads((layer / "17.json").read_text())
    pair = ("fig7a/seed=1", "units/all")
    assert numbers == copy.replied(address("unit", pair, step=640, row=numbers["row"]))
    assert (numbers["layer"], numbers["unit"]) == ("hidden_2", 17)
    place = (layer / "17.html").relative_to(copy.out).as_posix()
    page = opened(copy.url(place))
    drawn(page, "unit_1")
    assert page.get_by_role("heading", name="hidden_2, unit 17").is_visible()
    assert "<title>hidden_2, unit 17 of fig7a/seed=1</title>" in (copy.out / place).read_text()
    embed = opened(copy.url(place, "?embed"))
    drawn(embed, "unit_1")
    assert embed.locator(".card:visible").count() == 1
    assert embed.locator(".tabs, .side, .hint").locator("visible=true").count() == 0


@pytest.mark.browser
def test_an_embed_shows_one_chart_alone_and_the_named_one_of_several(copy, opened):
    page = opened(copy.url(query="?embed", view="training"))
    drawn(page, "training")
    assert page.locator(".card:visible .chart").get_attribute("data-name") == "training"
    named = opened(copy.url(query="?embed=auc_vs_test&theme=dark", view="training"))
    drawn(named, "auc_vs_test")
    assert named.locator(".card:visible").count() == 1
    assert named.locator("html").get_attribute("data-theme") == "dark"


@pytest.mark.browser
def test_the_list_of_pages_leads_to_every_chart_and_its_numbers(copy, opened):
    page = opened(copy.url("pages.html"))
    page.get_by_role("link", name="fig1a: noise").click()
    assert drawn(page, "accuracy_vs_noise") == 6
    noise = json.loads((copy.out / page_json(copy, "fig1a", "noise")).read_text())
    pairs = [(one["run"], one["tag"]) for one in noise["curves"]]
    assert len(pairs) == 6
    assert noise == copy.replied(address("curve", *pairs))


def page_json(copy: Copy, name: str, view: str) -> str:
    (found,) = copy.out.glob(f"charts/{name}-*/{view}.json")
    return found.relative_to(copy.out).as_posix()


@pytest.mark.browser
def test_hostile_names_are_text_in_pages_scripts_and_file_names(copy, opened):
    """The fixture `opened` fails on a dialog."""
    paths = [path for path in copy.out.rglob("*") if path.is_file()]
    assert len(paths) == copy.written.n_files
    for path in paths:
        assert re.fullmatch(r"[A-Za-z0-9._/-]+", path.relative_to(copy.out).as_posix())
        if path.suffix == ".html" or "/data/" in path.as_posix():
            assert "<img" not in path.read_text(encoding="utf-8")
    (hostile,) = copy.out.glob("units/img-*/0/units.html")
    page = opened(copy.url(hostile.relative_to(copy.out).as_posix()))
    drawn(page, "selectivity_vs_importance")
    assert HOSTILE.replace("/", "") in page.locator(".side").inner_text()
    opened(copy.url("pages.html")).get_by_text(HOSTILE.replace("/", "")).first.wait_for()


def test_a_script_in_a_name_does_not_end_the_script_around_it():
    page = pages.Page("a/b.html", SCRIPT_END, {"unitRun": SCRIPT_END})
    text = pages.page_html(page, ["data/index.js"])
    assert text.count("</script>") == 2 and "alert(2)</script>" not in text
    script = pages.data_script(SCRIPT_END, [SCRIPT_END, "\u2028"])
    assert "<" not in script and script.isascii()
    assert SCRIPT_END not in pages.list_html(SCRIPT_END, [page], "")


# ------------------------------------------------------------------------------- the command


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tb_plugin.export", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_tells_the_size_and_replaces_an_earlier_copy(tmp_path, demo_logdir, capsys):
    out = tmp_path / "new" / "site"
    for limit in (-1, 300):
        asked = ["--logdir", str(demo_logdir), "--out", str(out), "--unit-pages", str(limit)]
        assert command.main(asked) == 0
        told = capsys.readouterr().out
        files = [path for path in out.rglob("*") if path.is_file()]
        assert f"{len(files):,} files, " in told
        total = sum(path.stat().st_size for path in files) / 1e6
        assert f"{total:,.1f} MB" in told and str(out / "index.html") in told
        # With the limit, only the tables of 256 units give each unit a page; others have 336.
        assert list(out.glob("units/fig7a*/640/hidden*/*.html"))
        assert bool(list(out.glob("units/fig6*/100/conv*/*.html"))) == (limit == -1)
    assert [path.name for path in out.parent.iterdir()] == ["site"]
    # Else TensorBoard's callback of Keras would fail later in the same process.
    assert "tensorboard.compat.notf" not in sys.modules


def test_errors_are_one_sentence_and_leave_everything_as_it_was(tmp_path, demo_logdir):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    empty = tmp_path / "empty"
    empty.mkdir()
    for asked, words in [
        ((demo_logdir, mine), "holds something else than an earlier copy"),
        ((demo_logdir, mine / "thesis.txt"), "is a file"),
        ((tmp_path / "nowhere", tmp_path / "site"), "There is no log directory"),
        ((empty, tmp_path / "site"), "holds no ablation data"),
    ]:
        done = run("--logdir", asked[0], "--out", asked[1])
        assert done.returncode == 1 and words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1 and done.stdout == ""
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "mine"]


@pytest.mark.browser
def test_one_file_holds_everything(tmp_path, crowded_logdir, opened):
    """The hostile run is in the page's scripts here; the fixture `opened` fails on a dialog."""
    out = tmp_path / "site"
    options = making.Options(SCRIPT_END, "units", one_file=True)
    written = making.export(crowded_logdir, out, options)
    (alone,) = (path for path in out.iterdir() if path.name != folder.MARK)
    assert written.n_files == 2 and alone.stat().st_size < written.n_bytes
    alone = alone.rename(tmp_path / "alone.html")
    page = opened(alone.as_uri())
    assert f"<title>{html.escape(SCRIPT_END)}</title>" in alone.read_text(encoding="utf-8")
    assert drawn(page, "selectivity_vs_importance") > 1
    page.get_by_role("tab", name="Ablation curves").click()
    assert drawn(page, "accuracy_vs_ablation") > 1


def test_help_says_what_it_makes():
    told = run("--help").stdout
    for words in ("--logdir", "--out", "?embed", "no Python", "example:"):
        assert words in told


def test_a_copy_that_fails_halfway_leaves_the_earlier_one(tmp_path):
    out = tmp_path / "site"
    with folder.Folder(out) as copy:
        copy.write("index.html", "earlier")
    with pytest.raises(ZeroDivisionError), folder.Folder(out) as copy:
        copy.write("index.html", "later")
        _ = 1 / 0
    assert (out / "index.html").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


# ------------------------------------------------------------------------------- the script


def test_a_form_of_import_that_is_not_understood_is_refused(tmp_path):
    (tmp_path / "site").mkdir()
    for line in (
        'import thing from "./thing.js";',
        'export * from "./thing.js";',
        "export default 1;",
        "export let x = 1;",
        "const here = import.meta.url;",
    ):
        (tmp_path / bundle.ENTRY).write_text(f"// import is fine here\n{line}\n")
        with pytest.raises(bundle.BundleError, match="not understood"):
            bundle.bundled(tmp_path)
    with pytest.raises(bundle.BundleError, match="has not been built"):
        bundle.chart_library(tmp_path)


def test_the_script_has_each_module_once_and_none_of_the_server():
    script = bundle.bundled()
    defined = re.findall(r'^singleDirections\.define\("([^"]+)"', script, re.M)
    assert len(defined) == len(set(defined)) > 40
    assert not {"page/server.js", "page/host.js", "index.js"} & set(defined)
    assert "fetch(" not in script
