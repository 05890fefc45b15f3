"""README.md and docs/ point to what exists: pages, files, modules and names."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("results/*.md"))]

LINK = re.compile(r"\]\(([^)\s]+)\)")
# `repro/engine/walk.py`, `configs/`, tests/repro/experiments/golden: but not runs/, which are made.
FILE = re.compile(
    r"(?<![\w./-])(?:repro|tb_plugin|tests|configs|benchmarks|docs)/[\w./*?-]*(?<=[\w/*])"
)
# repro.Engine, repro.training.train, benchmarks.ablation; but not benchmarks.md, a page.
NAME = re.compile(r"(?<![\w./-])(?:repro|tb_plugin|benchmarks)(?:\.(?!md\b)[A-Za-z_]\w*)+")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What `#...` may name on a page: its headings, as GitHub and others write them.

    Punctuation goes, and spaces become hyphens.
    """
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> Iterator[str]:
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z]+://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists():
            yield target
        elif anchor and anchor not in anchors(file):
            yield target


def missing_files(text: str) -> Iterator[str]:
    for name in FILE.findall(text):
        if not any(ROOT.glob(name.rstrip("/"))):
            yield name


def defined(module: Path) -> set[str]:
    """The names that a module's text defines, those of its classes as Class.name."""
    found = set()
    for node in ast.parse(module.read_text("utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    found.add(target.id)
                    if target.id in ("__all__", "_HOMES"):
                        found |= set(re.findall(r"['\"](\w+)['\"]", ast.unparse(node.value)))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            found |= {
                f"{node.name}.{part.name}"
                for part in node.body
                if isinstance(part, ast.FunctionDef | ast.ClassDef)
            }
    return found


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something that one defines."""
    place, parts = ROOT, name.split(".")
    while parts and ((place / parts[0]).is_dir() or (place / f"{parts[0]}.py").is_file()):
        place = place / parts.pop(0)
    if not parts:
        return True
    module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return module.is_file() and ".".join(parts[:2]) in defined(module)


def missing_names(text: str) -> Iterator[str]:
    for name in NAME.findall(text):
        if not exists(name):
            yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_points_to_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    found = [*broken_links(page, text), *missing_files(text), *missing_names(text)]
    assert found == []


def test_what_does_not_exist_is_found() -> None:
    page = DOCS / "README.md"
    wrong = "[a](nowhere.md) [b](guide.md#no-such-heading) [c](guide.md#install) [d](#no)"
    assert list(broken_links(page, wrong)) == ["nowhere.md", "guide.md#no-such-heading", "#no"]
    assert list(missing_files("`repro/metrics.py`, `repro/core/metrics.py`")) == [
        "repro/metrics.py"
    ]
    names = (
        "repro.Engine, repro.engine.walk, repro.core.metrics.auc, repro.Engine().walk repro.nope"
    )
    assert list(missing_names(names)) == ["repro.core.metrics.auc", "repro.nope"]


def test_the_index_has_one_line_for_each_page() -> None:
    lines = re.findall(r"^- \[[^]]+\]\(([^)]+)\): .+\.$", (DOCS / "README.md").read_text(), re.M)
    pages = {str(page.relative_to(DOCS)) for page in PAGES[1:] if page != DOCS / "README.md"}
    pages |= {page.name for page in DOCS.glob("*.ipynb")}
    assert len(lines) == len(set(lines))
    assert {line for line in lines if not line.startswith("..")} == pages


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_the_glossary_has_ten_words_or_more_each_once() -> None:
    words = re.findall(r"^\*\*(.+?)\.\*\*", (DOCS / "glossary.md").read_text("utf-8"), re.M)
    assert len(words) >= 10 and len(words) == len(set(words))


def test_every_page_is_tracked_by_git() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--", "README.md", "docs"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\n")
    assert {str(page.relative_to(ROOT)) for page in PAGES} <= set(listed)
