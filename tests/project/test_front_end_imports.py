"""The front end's modules stand in rooms, and their imports run one way: the same rule as Python's.

An import counts wherever it stands: at the top of a module, as a call of import(), or in a comment
that names a type for the type checker.
"""

import ast
import posixpath
import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "tb_plugin"
STATIC = PLUGIN / "static"
# The chart library is built, and not ours.
VENDOR = "vendor"
ANY_IMPORT = re.compile(
    r"""\bfrom\s*(['"])(?P<from>[^'"\n]+)\1|\bimport\s*(['"])(?P<bare>[^'"\n]+)\3"""
)
CALLED_IMPORT = re.compile(r"\bimport\s*\(\s*(?P<what>[^)]*?)\s*\)")

Modules = Mapping[str, str]  # the source of each module, by its path below static/


def read() -> dict[str, str]:
    return {
        path.relative_to(STATIC).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(STATIC.rglob("*.js"))
        if VENDOR not in path.relative_to(STATIC).parts
    }


MODULES = read()


def printed_rooms() -> list[str]:
    """The rooms in their order, as the package's docstring prints them."""
    docstring = ast.get_docstring(ast.parse((PLUGIN / "__init__.py").read_text(encoding="utf-8")))
    found = re.search(r"^ *(\w+(?: <- \w+)+)$", docstring or "", re.M)
    assert found, "the docstring of tb_plugin prints the rooms: a <- b <- c"
    return found[1].split(" <- ")


def room_of(module: str) -> str:
    """A module's folder; the modules beside the folders make the last room, the app."""
    folder, slash, _ = module.partition("/")
    return folder if slash else "app"


def view_of(module: str) -> str | None:
    """The view to which a module of the views belongs: its folder, or its own name."""
    parts = module.split("/")
    return parts[1] if parts[0] == "views" else None


def named(source: str) -> list[str]:
    """What a module imports, as it writes it."""
    found = [match["from"] or match["bare"] for match in ANY_IMPORT.finditer(source)]
    for match in CALLED_IMPORT.finditer(source):
        literal = re.fullmatch(r"""(['"])([^'"]+)\1""", match["what"])
        assert literal, f"import({match['what']}) does not say what it imports"
        found.append(literal[2])
    return [name for name in found if name.startswith(".")]


def arrows(modules: Modules) -> dict[str, set[str]]:
    """Which module imports which; the chart library left out.

    Raises:
        AssertionError: an import names no module.
    """
    found: dict[str, set[str]] = {}
    for module, source in modules.items():
        targets = {
            posixpath.normpath(posixpath.join(posixpath.dirname(module), name))
            for name in named(source)
        }
        found[module] = {target for target in targets if not target.startswith(f"{VENDOR}/")}
        assert found[module] <= set(modules), (module, found[module] - set(modules))
    return found


def forbidden(modules: Modules) -> list[str]:
    """Imports of a room that stands later, and of another view."""
    rooms = printed_rooms()
    return [
        f"{module} -> {target}"
        for module, targets in arrows(modules).items()
        for target in sorted(targets)
        if rooms.index(room_of(target)) > rooms.index(room_of(module))
        or (view_of(module) and view_of(target) not in (None, view_of(module)))
    ]


def circle(modules: Modules) -> list[str]:
    """Modules that import each other, directly or by way of others; the first such ring."""
    try:
        TopologicalSorter(arrows(modules)).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_the_rooms_that_are_printed_are_the_folders():
    assert {room_of(module) for module in MODULES} == set(printed_rooms())
    assert len(MODULES) > 40


def test_imports_run_one_way():
    assert forbidden(MODULES) == []


def test_the_numbers_know_no_page():
    page = re.compile(r"\b(?:document|window|fetch|localStorage|sessionStorage)\b\s*[.(]")
    numbers = {m: source for m, source in MODULES.items() if room_of(m) == "numbers"}
    assert [m for m, source in numbers.items() if page.search(source)] == []
    assert page.search(MODULES["page/host.js"])


def test_no_modules_import_each_other():
    assert circle(MODULES) == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("numbers/a.js", 'import { el } from "../parts/dom.js";', "numbers/a.js -> parts/dom.js"),
        ("page/a.js", "import {\n  el,\n} from '../parts/dom.js';", "page/a.js -> parts/dom.js"),
        ("parts/a.js", 'export * from "../app.js";', "parts/a.js -> app.js"),
        ("parts/a.js", 'import "../views/guide_view.js";', "parts/a.js -> views/guide_view.js"),
        ("page/a.js", 'const m = await import("../app.js");', "page/a.js -> app.js"),
        (
            "numbers/a.js",
            '/** @param {import("../page/state.js").State} state */',
            "numbers/a.js -> page/state.js",
        ),
        (
            "views/curves/a.js",
            'import { UnitView } from "../unit/unit_view.js";',
            "views/curves/a.js -> views/unit/unit_view.js",
        ),
    ],
)
def test_an_import_that_leads_upwards_or_into_another_view_is_found(module, source, found):
    assert forbidden(MODULES | {module: source}) == [found]


def test_a_circle_is_found_wherever_it_is_hidden():
    one, other = "numbers/one.js", "numbers/other.js"
    there = {one: 'import { b } from "./other.js";'}
    assert circle(MODULES | there | {other: ""}) == []
    for back in ('import { a } from "./one.js";', '/** @type {import("./one.js").A} */'):
        assert set(circle(MODULES | there | {other: back})) == {one, other}


def test_an_import_that_leads_nowhere_or_that_cannot_be_read_is_found():
    with pytest.raises(AssertionError, match="gone.js"):
        arrows(MODULES | {"page/a.js": 'import { a } from "./gone.js";'})
    with pytest.raises(AssertionError, match="does not say"):
        arrows(MODULES | {"page/a.js": "import(name)"})
