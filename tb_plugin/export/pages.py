"""The pages of a static copy: one for each chart and unit, and a list of all of them.

Every page is the same front end, opened at another address. Names of runs are text from a log
directory: they stand in a page escaped, or in a script as JSON without "<".
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

VIEWS = {
    "curves": "Ablation curves",
    "units": "Selectivity vs importance",
    "unit": "Unit inspector",
    "noise": "Noise",
    "distributions": "Distributions",
    "training": "Training",
    "lab": "Lesion lab",
}

# Makes the global that all scripts of a copy know.
_PRELUDE = """
  var singleDirections = {
    root: %(root)s, start: %(start)s, files: {}, made: {}, makers: {},
    put: function (name, content) { singleDirections.files[name] = content; },
    define: function (name, make) { singleDirections.makers[name] = make; },
    use: function (name) {
      var made = singleDirections.made;
      if (!(name in made)) made[name] = singleDirections.makers[name]();
      return made[name];
    }
  };
"""


@dataclass(frozen=True)
class Page:
    """One page of a copy.

    path: below the copy's folder, with ".html". title: of the window. start: the choices with which
    it opens, as `page/state.js` names them; lists as JSON. json: path of the numbers that it shows,
    or "". group: the heading under which the list of pages has it.
    """

    path: str
    title: str
    start: Mapping[str, str]
    json: str = ""
    group: str = ""


def script_text(value: Any) -> str:
    """JSON that may stand in a script of a page: it holds no "<" and no line of another kind."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # all in ASCII
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def data_script(name: str, content: Any) -> str:
    """The script that hands over the content of a data file."""
    return f"singleDirections.put({script_text(name)},{script_text(content)});\n"


def page_html(page: Page, scripts: Iterable[str]) -> str:
    """A page.

    Args:
        scripts: paths of its scripts below the copy's folder.
    """
    root = "../" * page.path.count("/")
    tags = "".join(
        f'  <script src="{html.escape(root + quote(path))}" defer></script>\n' for path in scripts
    )
    style = f'  <link rel="stylesheet" href="{root}assets/style.css">\n'
    return _html(page, style + _prelude(page, root) + tags, "")


def whole_page(page: Page, style: str, scripts: Iterable[str]) -> str:
    """A page that holds all that it needs.

    Args:
        style: the style sheet. scripts: the scripts in their order.
    """
    body = "".join(f"<script>{_inline(script)}</script>\n" for script in scripts)
    return _html(page, f"  <style>\n{style}</style>\n{_prelude(page, '')}", body)


def _inline(script: str) -> str:
    """A script that does not end the element around it: in JavaScript's texts "<\\/" is "</"."""
    return re.sub(r"<(?=/script|!--)", lambda _: "<\\", script, flags=re.IGNORECASE)


def _prelude(page: Page, root: str) -> str:
    start = {key: quote(value, safe="") for key, value in page.start.items()}
    text = _PRELUDE % {"root": script_text(root), "start": script_text(start)}
    return f"  <script>{text}  </script>\n"


def _html(page: Page, head: str, body: str) -> str:
    return (
        "<!doctype html>\n"
        '<html lang="en">\n'
        "<head>\n"
        '  <meta charset="utf-8">\n'
        '  <meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"  <title>{html.escape(page.title)}</title>\n"
        f"{head}"
        "</head>\n"
        "<body>\n"
        "<noscript>This page draws its charts with JavaScript.</noscript>\n"
        f"{body}"
        "</body>\n"
        "</html>\n"
    )


def list_html(title: str, pages: Iterable[Page], about: str) -> str:
    """The list of all pages, with an embed and the numbers of each."""
    rows: dict[str, list[str]] = {}
    for page in pages:
        href = html.escape(quote(page.path))
        numbers = f'<a href="{html.escape(quote(page.json))}">JSON</a>' if page.json else ""
        rows.setdefault(page.group, []).append(
            f'<tr><td><a href="{href}">{html.escape(page.title)}</a></td>'
            f'<td><a href="{href}?embed">embed</a></td><td>{numbers}</td></tr>\n'
        )
    parts = [
        f"<details{'' if len(found) > 50 else ' open'}><summary>{html.escape(group)}</summary>\n"
        f"<table>\n{''.join(found)}</table></details>\n"
        for group, found in rows.items()
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n  <meta charset="utf-8">\n'
        '  <meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"  <title>{html.escape(title)}: all pages</title>\n"
        '  <link rel="stylesheet" href="assets/pages.css">\n</head>\n<body>\n'
        f"<main>\n<h1>{html.escape(title)}: all pages</h1>\n<p>{html.escape(about)}</p>\n"
        f"{''.join(parts)}</main>\n</body>\n</html>\n"
    )
