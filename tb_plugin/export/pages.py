"""The pages of a static copy: one for each chart and unit, and a list of all of them.

Every page is the same front end, opened at another address. Names of runs are text from a log
directory: they stand in a page escaped, or in a script as JSON without "<".
"""

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

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
    return _filled(page, root, style=None, addresses=[root + quote(path) for path in scripts])


def whole_page(page: Page, style: str, scripts: Iterable[str]) -> str:
    """A page that holds all that it needs.

    Args:
        style: the style sheet. scripts: the scripts in their order.
    """
    inline = [Markup(_inline(script)) for script in scripts]
    return _filled(page, "", style=Markup(style), scripts=inline)


def _inline(script: str) -> str:
    """A script that does not end the element around it: in JavaScript's texts "<\\/" is "</"."""
    return re.sub(r"<(?=/script|!--)", lambda _: "<\\", script, flags=re.IGNORECASE)


def _filled(
    page: Page,
    root: str,
    *,
    style: str | None,
    addresses: Sequence[str] = (),
    scripts: Sequence[str] = (),
) -> str:
    """The template of a page with the prelude that opens it where it should; what stands in scripts
    and in the style sheet is marked as safe, since `script_text` and `_inline` made it so."""
    start = {key: quote(value, safe="") for key, value in page.start.items()}
    prelude = _PRELUDE % {"root": script_text(root), "start": script_text(start)}
    return _template("page.html").render(
        title=page.title,
        root=root,
        style=style,
        prelude=Markup(prelude),
        addresses=addresses,
        scripts=scripts,
    )


def list_html(title: str, pages: Iterable[Page], about: str) -> str:
    """The list of all pages, with an embed and the numbers of each."""
    groups: dict[str, list[dict[str, str]]] = {}
    for page in pages:
        row = {"href": quote(page.path), "title": page.title, "numbers": quote(page.json)}
        groups.setdefault(page.group, []).append(row)
    return _template("list.html").render(title=title, about=about, groups=groups)


@functools.cache
def _template(name: str) -> jinja2.Template:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return found.get_template(name)
