"""The front end's modules as one classic script.

A page that is opened from a disk may not import modules, but may load scripts. So each module
becomes a function that is called when another module first needs it, and returns what the module
exports. Only the forms of import and export that our own modules use are understood; others are
refused.
"""

import json
import posixpath
import re
from pathlib import Path

STATIC = Path(__file__).resolve().parents[1] / "static"
ENTRY = "site/start.js"
CHARTS = "vendor/echarts.js"
# What a copy has in place of the server and of TensorBoard around the page.
REPLACED = {"page/server.js": "site/files.js", "page/host.js": "site/host.js"}

_IMPORT = re.compile(
    r"""^import\s+(?:\{(?P<names>[^}]*)\}|\*\s+as\s+(?P<all>\w+))\s+from\s+"(?P<module>[^"]+)";""",
    re.M,
)
_EXPORT = re.compile(
    r"^export\s+(?=(?:async\s+function|function|class|const)\s+(?P<name>\w+))", re.M
)
_NOTHING = re.compile(r"^export\s*\{\s*\};\n?", re.M)
_OTHER = re.compile(r"^\s*(?:export\b|import\b\s*[^(\s]).*$|\bimport\.meta\b", re.M)
_CHARTS_EXPORT = re.compile(r"export\s*\{([^}]*)\};?\s*$")


class BundleError(Exception):
    """The front end cannot be made into one script; the text is a sentence for the user."""


def bundled(static: Path = STATIC) -> str:
    """One classic script of the entry and all that it imports, without the chart library.

    Raises:
        BundleError: a module uses a form of import or export that is not understood.
    """
    parts, waiting, seen = [], [ENTRY], {ENTRY}
    while waiting:
        module = waiting.pop()
        body, needed = _as_function(module, (static / module).read_text(encoding="utf-8"))
        parts.append(body)
        fresh = sorted(needed - seen - {CHARTS})
        seen.update(fresh)
        waiting += fresh
    return "".join([*parts, f"singleDirections.use({json.dumps(ENTRY)});\n"])


def chart_library(static: Path = STATIC) -> str:
    """The chart library as a classic script.

    Raises:
        BundleError: it was not built, or is of another form.
    """
    try:
        source = (static / CHARTS).read_text(encoding="utf-8")
    except OSError:
        raise BundleError(
            "The chart library has not been built: run `python tb_plugin/frontend/bundle.py`."
        ) from None
    found = _CHARTS_EXPORT.search(source)
    if not found:
        raise BundleError(
            "The chart library is not of the form that bundle.py builds; build it anew."
        )
    pairs = (part.split(" as ") for part in found[1].split(","))
    exports = ",".join(f"{pair[-1].strip()}:{pair[0].strip()}" for pair in pairs)
    return _function(CHARTS, f"{source[: found.start()]}\nreturn {{{exports}}};")


def _as_function(module: str, source: str) -> tuple[str, set[str]]:
    """A module as a function, and the modules that it needs."""
    needed: set[str] = set()

    def imported(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(module), match["module"]))
        path = REPLACED.get(path, path)
        needed.add(path)
        names = match["all"] or f"{{{match['names'].replace(' as ', ': ')}}}"
        return f"const {names} = singleDirections.use({json.dumps(path)});"

    exported = [match["name"] for match in _EXPORT.finditer(source)]
    body = _EXPORT.sub("", _NOTHING.sub("", _IMPORT.sub(imported, source)))
    if left := _OTHER.search(_without_comments(body)):
        raise BundleError(f"{module} has an import or export that is not understood: {left[0]}")
    return _function(module, f"{body}\nreturn {{ {', '.join(exported)} }};"), needed


def _function(module: str, body: str) -> str:
    return f'singleDirections.define({json.dumps(module)}, () => {{\n"use strict";\n{body}\n}});\n'


def _without_comments(source: str) -> str:
    return re.sub(r"^\s*//.*$", "", re.sub(r"/\*.*?\*/", "", source, flags=re.S), flags=re.M)
