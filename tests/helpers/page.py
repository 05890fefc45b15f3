"""An HTML page as a test reads it, and the report as it would be written."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "source", "br"}


class Page(HTMLParser):
    """Checks that every tag is closed by its own end tag, and keeps what a test asks about."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(text)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(*figures):
    """The report's page on these results, as text."""
    from repro.paper import page
    from repro.paper.figure_report import figure_report

    return page.render([figure_report(figure) for figure in figures])


def written(*figures, seconds=None):
    """The report's files by name, and its verdicts."""
    from repro.paper import report
    from repro.paper.figure_report import figure_report

    files = {}

    def keep(path, content):
        assert path.parent == Path("report")
        files[path.name] = content

    seconds = seconds or {}
    found = [figure_report(figure, seconds.get(figure.config.name)) for figure in figures]
    report.write(found, Path("report"), keep)
    return files, [verdict for one in found for verdict in one.verdicts]
