"""Pages from templates: every value is escaped, a missing one is an error, no page is in Python."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import meta, nodes

from repro.display import html
from repro.display.html import Item, Picture, Table
from tests.helpers.page import Page

ROOT = Path(__file__).parents[3]
TEMPLATES = sorted(
    path.relative_to(ROOT / "repro").as_posix()
    for path in (ROOT / "repro").rglob("templates/*")
    if path.is_file()
)
EVIL = "<script>alert('x')</script>\"><img src=x onerror=y> & {{ 7 * 7 }} {% raw %} </style>"


def of_macro(call: str, **values: object) -> Page:
    """What a macro of all pages makes of these values."""
    name = call.partition("(")[0]
    source = f'{{% from "display/templates/macros.html" import {name} %}}{{{{ {call} }}}}'
    return Page(html.environment().from_string(source).render(values))


# --- Escaping ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "values", "times"),
    [
        # A table also says its caption in an attribute.
        ("table(shown)", {"shown": Table(EVIL, [EVIL, EVIL], [(EVIL, EVIL), (EVIL, EVIL)])}, 7),
        ("picture(shown)", {"shown": Picture(b"<svg>", b"<svg>", EVIL, EVIL)}, 1),
        ("items(shown, kind)", {"shown": [Item(EVIL, EVIL)], "kind": EVIL}, 2),
        ("items(shown, kind)", {"shown": [Item(EVIL, EVIL, is_command=True)], "kind": EVIL}, 2),
        ("files(names)", {"names": [EVIL, EVIL]}, 2),
        ("code(command)", {"command": EVIL}, 1),
    ],
)
def test_hostile_texts_stay_text_in_every_part_of_a_page(call, values, times):
    shown = of_macro(call, **values)
    plain = " ".join(EVIL.split())
    assert shown.text.count(plain) == times
    assert not shown.all("script")
    assert {tag for tag, _ in shown.tags}.isdisjoint({"style"})
    assert all("onerror" not in attributes for _, attributes in shown.tags)
    for _, attributes in shown.tags:
        for value in attributes.values():
            assert "<" not in value or value == EVIL


def test_no_template_marks_a_value_as_safe():
    for name in TEMPLATES:
        tree = parsed(name)
        filters = {node.name for node in tree.find_all(nodes.Filter)}
        assert filters <= {"data_uri", "join", "length", "typeset"}, name
        assert not list(tree.find_all((nodes.MarkSafe, nodes.MarkSafeIfAutoescape))), name
        assert not list(tree.find_all(nodes.ScopedEvalContextModifier)), name


def test_a_data_uri_gives_back_the_picture():
    from urllib.request import urlopen

    svg = bytes(range(256))
    with urlopen(html.data_uri(svg)) as found:
        assert found.read() == svg and found.headers["Content-Type"] == "image/svg+xml"


# --- Templates ---------------------------------------------------------------------------------


def parsed(name: str) -> nodes.Template:
    environment = html.environment()
    assert environment.loader is not None
    return environment.parse(environment.loader.get_source(environment, name)[0])


def test_the_templates_are_those_that_one_expects():
    assert {"display/templates/base.html", "display/templates/style.css"} < set(TEMPLATES)
    assert {"paper/templates/report.html", "study/templates/study.html"} < set(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_compiles_and_what_it_refers_to_is_there(name):
    html.environment().get_template(name)
    for target in meta.find_referenced_templates(parsed(name)):
        assert target in TEMPLATES


def test_what_a_template_refers_to_can_be_missing():
    lost = html.environment().parse('{% include "display/templates/gone.html" %}')
    (target,) = meta.find_referenced_templates(lost)
    assert target not in TEMPLATES
    with pytest.raises(jinja2.TemplateNotFound, match="gone"):
        html.render("display/templates/gone.html")


@pytest.mark.parametrize("page", ["paper/templates/report.html", "study/templates/study.html"])
def test_both_reports_stand_on_the_one_base(page):
    tree = parsed(page)
    (extended,) = tree.find_all(nodes.Extends)
    assert extended.template.as_const() == "display/templates/base.html"
    required = {block.name for block in parsed("display/templates/base.html").find_all(nodes.Block)}
    assert {block.name for block in tree.find_all(nodes.Block)} == required


def test_a_value_that_is_missing_is_an_error():
    values = {"name": "mlp", "measured": "40 units", "numbers": []}
    assert "40 units" in html.render("study/templates/notebook.html", **values)
    for name in values:
        with pytest.raises(jinja2.UndefinedError, match=f"'{name}' is undefined"):
            html.render(
                "study/templates/notebook.html",
                **{key: value for key, value in values.items() if key != name},
            )
    with pytest.raises(jinja2.UndefinedError, match="has no attribute 'alternative'"):
        html.render("study/templates/plots.html", pictures=[{"svg": b""}])


def test_the_style_is_whole_and_asks_for_nothing_from_elsewhere():
    style = (ROOT / "repro/display/templates/style.css").read_text(encoding="utf-8")
    assert style.count("{") == style.count("}") > 50
    assert not re.search(r"url\(|@import|<|\{\{|\{%|\{#", style)
    assert "color-scheme: light dark" in style
    assert "@media screen and (prefers-color-scheme: dark)" in style


# --- No HTML in Python -------------------------------------------------------------------------

# A tag, whole or begun: "<td>", "</td>", '<a href="'. Not "<lambda>", "<f4" or "<Study of".
_ELEMENTS = (
    "a abbr article aside b body br button caption code col dd details div dl dt em figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 head header hr html i img input label li link main meta "
    "nav ol option p path picture pre rect script section select small source span strong style "
    "sub summary sup svg table tbody td template text textarea tfoot th thead title tr u ul video"
).split()
TAG = re.compile(rf"</?(?:{'|'.join(_ELEMENTS)})(?=[\s/>]|$)|<!doctype", re.IGNORECASE)


def tags_in_strings(source: str) -> Iterator[tuple[int, str]]:
    """(line, tag) of every HTML tag in a string of a module that is not a docstring."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                for tag in TAG.finditer(node.value):
                    yield node.lineno, tag[0]


def test_no_module_holds_html():
    files = [
        *(ROOT / "repro").rglob("*.py"),
        *(ROOT / "tb_plugin").rglob("*.py"),
        *(ROOT / "docs").glob("*.py"),
    ]
    assert len(files) > 100
    found = {
        f"{path.relative_to(ROOT)}:{line}": tag
        for path in files
        if "node_modules" not in path.parts
        for line, tag in tags_in_strings(path.read_text(encoding="utf-8"))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "x = '<div class=\"a\">'",
        "x = f'<td>{y}</td>'",
        "x = f'</{y}>' + '</p>'",
        "def f():\n    'About <b>.'\n    return '<br>'",
        "PAGE = '''<!DOCTYPE html>'''",
        "x = f'<a href={y}'",
    ],
)
def test_a_tag_in_a_string_would_be_found(source):
    assert list(tags_in_strings(source))


@pytest.mark.parametrize(
    "source",
    [
        "'''Writes <table> and <p>.'''",
        "x = '<lambda>'",
        "x = np.dtype('<f4')",
        "x = f'<Study of {y}>'",
        "x = 'a < b and c > d'",
        "# <div>",
    ],
)
def test_what_is_no_tag_in_a_string_is_left_alone(source):
    assert not list(tags_in_strings(source))
