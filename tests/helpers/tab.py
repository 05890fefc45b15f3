"""The tab of the plugin in a real Chromium."""

from __future__ import annotations

import re
from urllib.parse import quote

from tests.helpers.boards import TensorBoard

DRAWN_WITHIN_MS = 60_000
STATE = "p.single_directions."
# The page reports what the content security policy stopped, in every frame.
REPORT_VIOLATIONS = """addEventListener("securitypolicyviolation",
    (event) => console.error("CSP", event.violatedDirective, event.blockedURI))"""
SEED_0 = "fig7a/seed=0"


def address(state: dict[str, str]) -> str:
    """The part of a link after "#"."""
    keys = "".join(f"&{STATE}{key}={quote(value)}" for key, value in state.items())
    return f"#single_directions{keys}"


class Tab:
    """The Single Directions tab in a page of its own, and all that went wrong in it."""

    def __init__(self, context, board: TensorBoard, width=1400, height=900):
        self.board = board
        self.page = context.new_page()
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.set_default_timeout(DRAWN_WITHIN_MS)
        self.problems: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.frame = self.page.frame_locator("iframe")

    def _heard(self, message) -> None:
        # Under a path prefix, TensorBoard looks for its own fonts in the wrong place.
        if message.type == "error" and "/font-roboto/" not in message.location["url"]:
            self.problems.append(message.text)

    def open(self, query: str = "", **state: str) -> Tab:
        link = f"{self.board.url}/{query}{address(state)}"
        # Not until all is loaded: every test waits for what it looks at.
        self.page.goto(link, wait_until="commit", timeout=DRAWN_WITHIN_MS)
        return self

    def open_again(self, **state: str) -> Tab:
        """As a link opens our tab, without loading TensorBoard's own page a second time."""
        self.problems.clear()
        plugin = self.page.frames[-1]
        plugin.evaluate("window.ofBefore = true")
        self.page.evaluate(
            """(address) => {
                location.hash = address;
                document.querySelector("iframe").contentWindow.location.reload();
            }""",
            address(state),
        )
        plugin.wait_for_function(
            "!window.ofBefore && document.querySelector('#single-directions')",
            timeout=DRAWN_WITHIN_MS,
        )
        return self

    def drawn(self) -> int:
        """Waits for the chart; how many curves or points it has."""
        chart = self.frame.locator(".chart[data-drawn]:visible").first
        chart.wait_for(timeout=DRAWN_WITHIN_MS)
        return int(chart.get_attribute("data-drawn"))

    def chart_box(self):
        return self.frame.locator(".chart:visible").bounding_box()

    def text(self, selector: str) -> str:
        return self.frame.locator(selector).first.inner_text()

    def wait_for_text(self, selector: str, pattern: str) -> None:
        self.frame.locator(selector).filter(has_text=re.compile(pattern)).first.wait_for(
            timeout=DRAWN_WITHIN_MS
        )

    def rows(self, selector: str) -> list[list[str]]:
        return self.frame.locator(f"{selector} tbody tr").evaluate_all(
            "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText))"
        )

    def choose(self, label: str) -> None:
        self.frame.locator(".segment", has_text=label).click()

    def hash(self) -> str:
        return self.page.evaluate("location.hash")
