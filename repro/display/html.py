"""Pages, made from templates in which every value is escaped.

A module says what a page says, as values and as the records below. A template says how that is laid
out: `templates/base.html` what every page has, `templates/style.css` the one style,
`templates/macros.html` the parts that pages share. A page's own template stands in the folder
`templates` of its room.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jinja2

from repro.core.words import typeset


class Table(NamedTuple):
    """A table of plain texts. The first cell of a row names the row."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


class Picture(NamedTuple):
    """A picture as two SVG files, one for a light and one for a dark screen.

    alternative: for readers who do not see it.
    """

    light: bytes
    dark: bytes
    alternative: str
    caption: str


class Item(NamedTuple):
    """A term and what there is to say of it; a command is set as code."""

    term: str
    words: str
    is_command: bool = False


def render(template: str, **values: Any) -> str:
    """A page or a part of one.

    Args:
        template: path of the template within `repro`, such as "paper/templates/report.html".
        values: what the template names.

    Raises:
        jinja2.UndefinedError: the template names a value that is missing.
    """
    return environment().get_template(template).render(values)


@functools.cache
def environment() -> jinja2.Environment:
    """Where templates are found, and how they are read."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("repro", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["data_uri"] = data_uri
    found.filters["typeset"] = typeset
    return found


def data_uri(svg: bytes) -> str:
    """A data URI that contains the picture, so that a page needs no other file."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"
