"""What code cites exists: pages of docs/, their headings, files, and sections of the paper."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from repro.paper import claims

ROOT = Path(__file__).parents[2]
FOLDERS = ("repro", "tb_plugin", "configs", "tests", "benchmarks")
SUFFIXES = (".py", ".js", ".mjs", ".toml", ".md", ".css")

# Where a sentence goes on in the next line: line break, indentation, and the comment's mark or the
# quotation marks of two adjacent strings.
CONTINUED = re.compile(r"[\"']?\s*\n[ \t]*(?:#|//|\*)?[ \t]*(?:f?[\"'](?![\"']))?")
# A page with the heading that it is cited for: docs/paper.md, "Claims".
PAGE = re.compile(r'(?<![\w/])(docs/[\w/-]+\.md)(?:, \\?"([^"\\]+)\\?")?')
NOT_A_PAGE = re.compile(r"(?<!docs/)(?<![\w-])paper\.md")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
# Numbered sections of the paper: "paper section 2.3", "Morcos et al. 2018, appendix A.5".
SECTIONS = re.compile(r"(?:sections?|appendix) ((?:A\.)?\d(?:\.\d)?(?:(?:,| and) (?:A\.)?\d\.\d)*)")
PAPER_SECTIONS = {"1", "2", "3", "4", "2.1", "2.2", "2.3", "3.1", "3.2", "3.3", "3.4"} | {
    f"A.{number}" for number in range(1, 6)
}
# Names in backquotes: `metrics.spearman`, `Engine.check`, `repro.core.settings`.
NAME = re.compile(r"`~?([A-Za-z_]\w*(?:\.\w+)+)(?:\(\))?`")
# Libraries, objects that a sentence is about, and files.
NOT_OURS = {"keras", "tf", "jax", "torch", "time", "model", "self", "figure", "benchmarks"}
FILES = {"json", "npz", "keras", "html", "h5", "toml", "txt", "py", "csv"}


def sources() -> dict[str, str]:
    """The text of each file that may cite, its sentences on one line, by its path in the tree."""
    found = {}
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in SUFFIXES and "vendor" not in path.parts and "node_modules" not in name:
            if path != Path(__file__).resolve():
                found[name] = CONTINUED.sub(" ", path.read_text(encoding="utf-8"))
    return found


@functools.cache
def names_of_modules() -> dict[str, set[str]]:
    """What each module, package and class of the project defines, by its own last name."""
    found: dict[str, set[str]] = {}
    bases: list[tuple[str, str]] = []
    for path in (*(ROOT / "repro").rglob("*.py"), *(ROOT / "tb_plugin").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        stem = path.parent.name if path.name == "__init__.py" else path.stem
        found.setdefault(path.parent.name, set()).add(path.stem)
        found.setdefault(path.parent.parent.name, set()).add(path.parent.name)
        found.setdefault(stem, set()).update(_defined(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).update(_defined(node))
                bases += [(node.name, base.id) for base in node.bases if isinstance(base, ast.Name)]
    for name, base in bases:
        found[name] |= found.get(base, set())
    # The public names of `repro`, which are looked up when they are first used.
    found["repro"] |= set(re.findall(r'"(\w+)"', (ROOT / "repro/__init__.py").read_text()))
    return found


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]


def is_known(cited: str, known: dict[str, set[str]]) -> bool:
    """Whether a cited name exists: its last part in what stands before it."""
    *before, last = cited.split(".")
    if before[0] in NOT_OURS or last in FILES:
        return True
    return last in known.get(before[-1], set())


def wrong_citations(text: str, root: Path = ROOT) -> Iterator[str]:
    """Pages and headings that a text cites and that do not exist."""
    for page, heading in PAGE.findall(text):
        if not (root / page).is_file():
            yield f"{page} does not exist"
        elif heading:
            headings = HEADING.findall((root / page).read_text(encoding="utf-8"))
            if heading not in headings:
                yield f"{page} has no heading {heading!r}"
    yield from (f"{found} is not a page of docs/" for found in NOT_A_PAGE.findall(text))


def unknown_sections(text: str) -> list[str]:
    """Numbers of sections that the paper does not have."""
    numbers = [n for listed in SECTIONS.findall(text) for n in re.split(r", | and ", listed)]
    return [number for number in numbers if number not in PAPER_SECTIONS]


def test_every_cited_page_and_heading_exists():
    wrong = {
        name: found for name, text in sources().items() if (found := list(wrong_citations(text)))
    }
    assert not wrong


def test_every_cited_section_of_the_paper_exists():
    assert not {
        name: found for name, text in sources().items() if (found := unknown_sections(text))
    }


def test_every_name_cited_in_docstrings_and_comments_exists():
    places, known = {}, names_of_modules()
    for name, text in sources().items():
        if name.startswith(("repro/", "tb_plugin/")) and name.endswith(".py"):
            found = {cited for cited in NAME.findall(text) if not is_known(cited, known)}
            places[name] = sorted(found)
    assert not {name: found for name, found in places.items() if found}


@pytest.mark.parametrize(
    ("cited", "exists"),
    [
        ("metrics.spearman", True),
        ("metrics.no_such", False),
        ("repro.core.metrics", True),
        ("engine.tally", True),
        ("no_module.spearman", False),
        ("keras.ops.relu", True),
        ("model.keras", True),
        ("Engine.check", True),
        ("Engine.no_such", False),
    ],
)
def test_a_wrong_name_is_found(cited, exists):
    assert is_known(cited, names_of_modules()) is exists


def test_links_within_the_page_of_the_paper_lead_to_headings():
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(page)
    }
    links = re.findall(r"\]\(#([^)]+)\)", page)
    assert links and set(links) <= anchors


def test_files_and_functions_named_on_the_page_of_the_paper_exist():
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:repro|configs|tests)/[\w/.]*)`", page)
    assert paths and all((ROOT / path).exists() for path in paths)
    for name, attribute in re.findall(r"`(metrics|measures|rules_networks|networks)\.(\w+)`", page):
        (path,) = (ROOT / "repro").rglob(f"{name}.py")
        source = path.read_text(encoding="utf-8")
        if attribute != "py":  # the module itself
            assert re.search(rf"^(?:def )?{attribute}\b", source, re.MULTILINE), attribute


def test_the_page_of_the_paper_lists_the_claims_of_the_code():
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (C\d+) \| (.+?) \| .+? \| (.*?) ?\|$", page, re.MULTILINE)
    figures: dict[str, set[str]] = {}
    for claim in claims.CLAIMS:
        names = {name.removeprefix("fig") for name in claim.figures}
        figures.setdefault(claim.name, set()).update(names)
    assert {name: set(listed.split(", ")) for name, listed, _ in rows} == figures
    numbers = {name: number for name, _, number in rows}
    for claim in claims.CLAIMS:
        if claim.paper.startswith("rho = "):
            assert f"rho = {claim.paper_value:g}" in numbers[claim.name]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("see docs/nowhere.md", "docs/nowhere.md does not exist"),
        ('see docs/page.md, "No"', "docs/page.md has no heading 'No'"),
        ("choice b (paper.md 1.8)", "paper.md is not a page of docs/"),
        ('# see docs/page.md,\n    # "Two\n    # words"', None),
        ('"""See docs/page.md,\n    "Two words"."""', None),
        ("'see docs/page.md, '\n    '\"Two words\"'", None),
        ('// docs/page.md, "Two\n// words"', None),
        ("in docs/page.md and other.md", None),
    ],
)
def test_a_wrong_citation_is_found(tmp_path, text, wrong):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("# A page\n\n## Two words\n")
    found = list(wrong_citations(CONTINUED.sub(" ", text), tmp_path))
    assert found == ([wrong] if wrong else [])


def test_a_wrong_section_is_found():
    assert unknown_sections("(paper sections 2.2 and 3.7; appendix A.6)") == ["3.7", "A.6"]
