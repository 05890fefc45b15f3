"""Parts of every HTML page of this project: escaped text, tables, inline pictures, one style.

Every text that is not written in a page's own module is escaped by `text`, so no title, path or
layer name can become markup.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any


def text(value: Any) -> str:
    """Escapes a value, so that a browser shows it as plain text.

    >>> text('<b> & "c"')
    '&lt;b&gt; &amp; &quot;c&quot;'
    """
    return html.escape(str(value), quote=True)


def code(command: str) -> str:
    """A command whose lines break only between words, never inside "--profile"."""
    return "<code>" + " ".join(f"<span>{text(word)}</span>" for word in command.split()) + "</code>"


def data_uri(svg: bytes) -> str:
    """A data URI that contains the picture, so that a page needs no other file."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts; the first column names the row."""
    top = "".join(f'<th scope="col">{text(head)}</th>' for head in heads)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>'
        + "".join(f"<td>{text(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(caption)}"><table>'
        f"<caption>{text(caption)}</caption>"
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


STYLE = """
:root { color-scheme: light dark;
  --page: #f6f6f9; --card: #fff; --ink: #1d1d28; --muted: #5c5c6b; --line: #dfdfe7;
  --accent: #3d2fa8; --yes: #0b6b3a; --yes-bg: #dff3e7; --no: #9c1c2b; --no-bg: #fbe3e5;
  --open: #7a4d00; --open-bg: #fdf0d5; --none: #4d4d5a; --none-bg: #e9e9ef; }
@media screen and (prefers-color-scheme: dark) { :root {
  --page: #101015; --card: #18181f; --ink: #ececf1; --muted: #a9a9b8; --line: #2f2f3a;
  --accent: #b3a8ff; --yes: #7fdda8; --yes-bg: #12331f; --no: #ff9ba5; --no-bg: #3d161b;
  --open: #f4c76b; --open-bg: #38280a; --none: #c4c4d0; --none-bg: #2a2a34; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.15; margin: 0 0 .5rem;
  letter-spacing: -.02em; text-wrap: balance; }
h2 { font-size: clamp(1.2rem, 3.5vw, 1.5rem); line-height: 1.25; margin: 0 0 1rem;
  text-wrap: balance; }
h2 .number { color: var(--accent); margin-right: .35em; white-space: nowrap; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
p { margin: 0 0 .75rem; }
a { color: var(--accent); }
.subtitle { color: var(--muted); max-width: 48rem; }
.profile { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem .9rem; max-width: 48rem; }
nav { display: flex; flex-wrap: wrap; gap: .4rem 1.25rem; padding: .75rem 0;
  border-bottom: 1px solid var(--line); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: clamp(1rem, 3vw, 2rem); margin: 1.5rem 0; }
.found { list-style: none; margin: 0; padding: 0; }
.found li { display: grid; grid-template-columns: 9.5rem 1fr; gap: 1rem; align-items: start;
  padding: .7rem 0; border-top: 1px solid var(--line); }
.found .ours { display: block; color: var(--muted); font-size: .9rem; }
.badge { display: inline-block; border-radius: 99px; padding: .1rem .65rem; font-size: .85rem;
  font-weight: 600; white-space: nowrap; justify-self: start; }
.yes { color: var(--yes); background: var(--yes-bg); }
.no { color: var(--no); background: var(--no-bg); }
.open { color: var(--open); background: var(--open-bg); }
.none { color: var(--none); background: var(--none-bg); }
.beside { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 2rem;
  align-items: start; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; }
figcaption { color: var(--muted); font-size: .875rem; margin-top: .75rem; }
.cards { display: grid; gap: 1rem; }
.claim { border: 1px solid var(--line); border-radius: 10px; padding: 1rem; scroll-margin: 1rem; }
.claim h3 { margin: 0 0 .5rem; display: flex; gap: .75rem; align-items: center; }
.claim dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem .9rem; margin: 0 0 .75rem; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
.claim dd, .claim dt { font-size: .92rem; }
.note { color: var(--open); font-size: .9rem; }
.rule { color: var(--muted); font-size: .82rem; margin: 0; }
.scroll { overflow-x: auto; margin-bottom: 1rem; }
.scroll:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; color: var(--muted); font-size: .85rem; padding-bottom: .5rem; }
th, td { text-align: left; vertical-align: top; padding: .45rem 1rem .45rem 0;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
thead th { color: var(--muted); font-weight: 600; font-size: .82rem; vertical-align: bottom; }
.scroll td, .scroll th { white-space: nowrap; }
.settings, .choices { display: grid; gap: .5rem 2rem; margin: 0 0 1rem; font-size: .9rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.choices { gap: 1rem 2rem; }
.choices dt { color: var(--ink); font-weight: 600; }
code { font: .85em/1.4 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  overflow-wrap: anywhere; }
code span { display: inline-block; }
.files { font-size: .9rem; margin: 0; display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
.claims { font-size: .85rem; }
.claims th span { display: block; font-weight: 400; color: var(--muted); white-space: nowrap; }
.claims td:nth-child(7) { min-width: 14rem; color: var(--muted); }
.claims td:nth-child(3) { min-width: 11rem; }
.claims td:nth-child(2), .claims td:nth-child(5) { min-width: 6rem; }
.claims td:nth-child(8) { min-width: 10rem; padding-right: 0; }
.claims .note { margin: .4rem 0 0; font-size: 1em; }
footer { color: var(--muted); font-size: .85rem; padding-bottom: 3rem; }
@media (max-width: 62rem) { .beside { grid-template-columns: 1fr; gap: 1.25rem; } }
@media (max-width: 72rem) {
  .claims, .claims tbody, .claims tr, .claims th, .claims td { display: block; }
  .claims thead { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); }
  .claims tr { border-top: 2px solid var(--line); padding: .75rem 0; }
  .claims th { border: 0; font-size: 1rem; padding: 0 0 .25rem; }
  .claims th span { display: inline; }
  .claims td { border: 0; padding: .25rem 0; display: grid; min-width: 0 !important;
    grid-template-columns: 5.5rem 1fr; }
  .claims td::before { content: attr(data-head); color: var(--muted); }
  .claims caption { display: block; }
}
@media (max-width: 34rem) {
  header, main, footer { padding-left: .75rem; padding-right: .75rem; }
  .found li { grid-template-columns: 1fr; gap: .3rem; }
  figure img { margin: 0 -.6rem; width: calc(100% + 1.2rem); max-width: none; }
}
@media print {
  body { background: #fff; font-size: 10pt; }
  section { border: 0; padding: 0; }
  nav { display: none; }
  figure, .claim, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  .scroll td, .scroll th { white-space: normal; }
}
"""
