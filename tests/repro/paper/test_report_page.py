"""The report of all figures in a real browser: its head, its links, its widths, and its print."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from repro.core.toml import load_figure
from repro.paper import claims, page
from repro.paper.figure_report import figure_report
from repro.paper.kept import FigureReport
from repro.paper.series import is_of_paper
from tests.helpers import synthetic

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.toml"))
NAMES = [path.stem.split("_")[0] for path in CONFIGS]
# Figures that are drawn here; the others show the pictures of Fig. 7b, which are the tallest.
DRAWN = ("fig1a", "fig7a", "fig7b", "rotated", "illustration")
NOT_RUN = ("fig1c", "fig7d", "figA2b", "figA3a", "figA4d")
PAPER_PAGE = (182, 269)  # mm of an A4 page between its margins
MM = 96 / 25.4  # pixels


def reports() -> list[FigureReport]:
    """Every figure of the configs with verdicts on all of its claims."""
    configs = {name: load_figure(path, "quick") for name, path in zip(NAMES, CONFIGS, strict=True)}
    made = {name: figure_report(synthetic.figure_result(configs[name])) for name in DRAWN}
    verdict = made["fig7b"].verdicts[0]
    kinds = (claims.SUPPORTED, claims.NOT_SUPPORTED, claims.INCONCLUSIVE)
    found = []
    for name, config in configs.items():
        one = made.get(name, made["fig7b"])
        own = [claim for claim in claims.CLAIMS if name in claim.figures]
        verdicts = tuple(
            dataclasses.replace(
                verdict,
                claim=claim.name,
                figure=name,
                statement=claim.statement,
                verdict=claims.NOT_RUN if name in NOT_RUN else kinds[int(claim.name[1:]) % 3],
            )
            for claim in own
        )
        one = dataclasses.replace(one, config=config, verdicts=verdicts)
        if name in NOT_RUN:
            why = "imagenet2012 is not prepared"
            one = dataclasses.replace(one, not_run=why, pictures=(), files={}, n_networks=0)
        found.append(one)
    return found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(page.render(reports()), encoding="utf-8")
    return path.as_uri()


@dataclasses.dataclass
class Shown:
    """The page in a window, and what it asked for and complained of."""

    page: Any
    requests: list[str]
    problems: list[str]


@pytest.fixture(scope="module")
def shown(browser: Any, address: str) -> Iterator[Shown]:
    found = Shown(browser.new_page(viewport={"width": 1440, "height": 900}), [], [])
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.on("console", lambda message: found.problems.append(message.text))
    found.page.on("pageerror", lambda error: found.problems.append(str(error)))
    found.page.goto(address)
    yield found
    found.page.close()


@pytest.fixture(autouse=True)
def as_at_first(shown: Shown) -> None:
    shown.page.set_viewport_size({"width": 1440, "height": 900})
    shown.page.emulate_media(media="screen", color_scheme="light", reduced_motion="reduce")
    shown.page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")


def boxes(shown: Shown, selector: str) -> list[dict[str, float]]:
    return shown.page.eval_on_selector_all(
        selector, "found => found.map((one) => one.getBoundingClientRect().toJSON())"
    )


def test_the_first_screen_has_every_claim_the_caution_and_two_pictures(shown: Shown) -> None:
    chips = boxes(shown, ".strip .chip")
    assert len(chips) == 23 and max(chip["bottom"] for chip in chips) < 900
    standings = shown.page.locator(".strip .standing").all_inner_texts()
    assert standings == ["✓ 7 supported", "✗ 8 not supported", "? 8 inconclusive"]
    (caution,) = boxes(shown, ".profile")
    assert caution["bottom"] < 900
    pictures = boxes(shown, ".lead img")
    assert len(pictures) == 2 and max(one["bottom"] for one in pictures) < 900
    names = shown.page.locator(".lead p a").all_inner_texts()
    assert names == ["Fig. 1a", "Fig. 7a"]


def test_each_chip_leads_to_its_claim(shown: Shown) -> None:
    for name in [f"C{number}" for number in range(1, 24)]:
        chip = shown.page.locator(".strip a.chip", has_text=re.compile(rf" {name}$"))
        chip.click()
        entry = shown.page.locator(f"#{name}")
        assert entry.inner_text().startswith(name)
        shown.page.wait_for_function(
            "(name) => { const box = document.getElementById(name).getBoundingClientRect();"
            " return box.top >= 0 && box.top < innerHeight; }",
            arg=name,
        )
    assert shown.page.url.endswith("#C23")


def test_the_papers_figures_come_first_and_in_its_order(shown: Shown) -> None:
    order = shown.page.eval_on_selector_all(
        ".one-figure, #not-run li", "found => found.map((one) => one.id)"
    )
    of_paper = sorted(name for name in NAMES if is_of_paper(name) and name not in NOT_RUN)
    beyond = [name for name in NAMES if not is_of_paper(name)]
    assert order == [*of_paper, *beyond, *NOT_RUN]
    heads = shown.page.locator("main h2").all_inner_texts()
    assert heads[:5] == [
        "Do the 23 claims hold here?",
        "Claims",
        "The paper’s figures",
        "Beyond the paper",
        "Not run",
    ]


def test_a_claim_of_two_figures_says_on_which_data_each_is(shown: Shown) -> None:
    rows = shown.page.locator("#C1 li").all_inner_texts()
    assert [words.split(":")[0].split("\n")[-1] for words in rows] == [
        "Fig. 1a, MNIST",
        "Fig. 1b, CIFAR-10",
        "Fig. 1c, ImageNet",
    ]


def test_a_figure_shows_a_sentence_and_keeps_the_rest_behind(shown: Shown) -> None:
    figure = shown.page.locator("#fig1a")
    assert "Half of the accuracy that can be lost" in figure.locator(".finding").inner_text()
    rule = figure.locator("details .claim").first
    assert not rule.is_visible()
    figure.locator("summary").click()
    assert rule.is_visible() and figure.locator("table").first.is_visible()
    figure.locator("summary").click()
    assert not rule.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1200, 900, 420, 320])
def test_nothing_is_wider_than_the_window(shown: Shown, width: int, scheme: str) -> None:
    shown.page.set_viewport_size({"width": width, "height": 900})
    shown.page.emulate_media(color_scheme=scheme)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    for box in boxes(shown, "img, .chip, .badge, summary"):
        assert box["left"] >= 0 and box["right"] <= width
    # All pictures are drawn, in the ink of the scheme.
    assert (
        shown.page.evaluate(
            """(dark) => Promise.all([...document.images].map(async (image) => {
            await image.decode();
            const source = image.parentElement.querySelector("source");
            return image.naturalWidth > 0 && (image.currentSrc === source.srcset) === dark;
        }))""",
            scheme == "dark",
        )
        == [True] * shown.page.locator("img").count()
    )


def test_a_page_is_short_enough_to_be_read(shown: Shown) -> None:
    # 31 figures with picture and sentence, 23 claims: less than a screen each.
    assert shown.page.evaluate("document.documentElement.scrollHeight") < 50 * 900


def test_regions_have_names_of_their_own(shown: Shown) -> None:
    names = shown.page.evaluate(
        """() => [...document.querySelectorAll("section, [role=region], nav")].map((one) =>
            one.getAttribute("aria-label")
            ?? document.getElementById(one.getAttribute("aria-labelledby")).textContent.trim())"""
    )
    assert len(names) > 60 and all(names) and len(set(names)) == len(names)


def test_it_asks_nobody_for_anything(shown: Shown, address: str) -> None:
    outside = [url for url in shown.requests if not url.startswith(("data:", address))]
    assert outside == [] and shown.problems == []


def test_the_print_has_fewer_than_thirty_pages(shown: Shown) -> None:
    shown.page.emulate_media(media="print")
    content = shown.page.pdf(format="A4", prefer_css_page_size=True)
    assert 5 < len(re.findall(rb"/Type\s*/Page\b", content)) < 30


def test_no_figure_and_no_heading_is_broken_in_print(shown: Shown) -> None:
    width, height = (round(size * MM) for size in PAPER_PAGE)
    shown.page.emulate_media(media="print")
    shown.page.set_viewport_size({"width": width, "height": height})
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    # What must stay whole fits on a page, and is told to stay whole.
    for selector in (".one-figure", ".entry", "#found .lead"):
        assert all(box["height"] < height for box in boxes(shown, selector))
    kept = shown.page.eval_on_selector_all(
        ".one-figure, figure, .entry",
        "found => found.map((one) => getComputedStyle(one).breakInside)",
    )
    heads = shown.page.eval_on_selector_all(
        "h1, h2, h3", "found => found.map((one) => getComputedStyle(one).breakAfter)"
    )
    assert len(kept) > 80 and set(kept) == {"avoid"} and set(heads) == {"avoid"}
    assert not any(box["height"] for box in boxes(shown, "details, nav"))
