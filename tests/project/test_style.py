"""The rules that hold for every file: lint, types, sizes, and nothing of one machine's own."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Git itself is asked, so that untracked leftovers of a developer do not count.
LARGEST_FILE = 1_500_000

# Somebody's home, or a folder at the root that only one machine has.
MACHINE_PATH = re.compile(r"(?<![\w.$}~/-])/(?:home|root|Users|work|opt|mnt)/[\w.]")
# The registries that package managers name in their lock files: mirrors differ, hashes do not.
REGISTRY_HOST = re.compile(
    r"https?://[\w.-]*(?:pypi\.org|pythonhosted\.org|npmjs\.\w+|yarnpkg\.com|debian\.org)"
    r"|--(?:extra-)?index-url|--find-links"
)


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_ruff_finds_nothing():
    done = tool("ruff", "check", "--no-cache", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_is_formatted_by_ruff():
    done = tool("ruff", "format", "--no-cache", "--check", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_finds_nothing(tmp_path):
    done = tool("mypy", "--cache-dir", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_would_find_a_wrong_type(tmp_path):
    """The settings of pyproject.toml check the bodies of functions, annotated or not."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    n: int = 'text'\n    return n\n")
    config = str(ROOT / "pyproject.toml")
    done = tool("mypy", "--config-file", config, "--cache-dir", str(tmp_path / "c"), str(wrong))
    assert done.returncode == 1 and "[assignment]" in done.stdout


def test_shellcheck_finds_nothing():
    done = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", "run_all.sh", ".ci/run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_tracked_file_is_large():
    large = {p.name: p.stat().st_size for p in tracked_files() if p.stat().st_size > LARGEST_FILE}
    assert not large


def _lines_with(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    found = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [
            f"{path.name}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), 1)
            if pattern.search(line)
        ]
    return found


def test_no_file_names_a_path_of_one_machine():
    assert _lines_with(MACHINE_PATH, tracked_files()) == []


def test_no_lock_file_or_script_names_a_registry():
    files = [p for p in tracked_files() if p.suffix in {".json", ".txt", ".toml", ".sh", ".cfg"}]
    assert len(files) > 5
    assert _lines_with(REGISTRY_HOST, files) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATH, "open('/" + "home/someone/data')"),
        (MACHINE_PATH, "path=/" + "root/.cache"),
        (REGISTRY_HOST, '"resolved": "https://registry.npmjs' + '.org/echarts"'),
        (REGISTRY_HOST, "--extra-index-" + "url somewhere"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern, text):
    assert pattern.search(text)


# A comment or paragraph that begins so has its subject in another place, or nowhere: "Of a layer,
# what it costs". Say "What a layer costs", or better name the thing: "Cost of a layer".
FRAGMENT = re.compile(r"(?:Of|From which|For which|By which|With which)\b")


def fragments(source: str) -> list[str]:
    """Comments, and paragraphs of docstrings, that begin as a fragment does."""
    found, lines, last = [], source.splitlines(), -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            number, words = token.start[0], token.string.lstrip("# ")
            alone = lines[number - 1].lstrip().startswith("#")
            if FRAGMENT.match(words) and not (alone and last == number - 1):
                found.append(f"{number}: {words}")
            last = number if alone else -1
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            paragraphs = (paragraph.strip() for paragraph in text.split("\n\n"))
            found += [f"{p.splitlines()[0]}" for p in paragraphs if FRAGMENT.match(p)]
    return found


def test_no_comment_or_docstring_begins_as_a_fragment():
    found = {
        path.relative_to(ROOT).as_posix(): said
        for path in tracked_files()
        if path.suffix == ".py" and (said := fragments(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "n"),
    [
        ("# Of the time, what is kept.\nKEPT = 0.05", 1),
        ("KEPT = 0.05  # Of the time", 1),
        ('def f():\n    """Of an accuracy: its error."""', 1),
        ('def f():\n    """An error.\n\n    Of a class, the mean.\n    """', 1),
        ("# The share of the time that is kept; the rest\n# Of it goes on.\nKEPT = 0.05", 0),
        ("# Often this is enough.", 0),
    ],
)
def test_a_fragment_would_be_found(source, n):
    assert len(fragments(source)) == n


def products_with_at(source: str) -> int:
    """How many products of arrays are written with the operator @.

    NumPy's @ looks for invalid numbers after each product, and now and then it finds one where BLAS
    computed with memory that the product does not use: a warning about nothing. `np.dot` does not.
    """
    return sum(
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
        for node in ast.walk(ast.parse(source))
    )


def test_arrays_are_multiplied_without_warnings_about_nothing():
    for path in tracked_files():
        if path.suffix == ".py" and path.is_relative_to(ROOT / "repro"):
            assert products_with_at(path.read_text()) == 0, path
    assert products_with_at("a = b @ c.T") == 1


def test_the_readme_gives_the_two_commands_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("./run_all.sh\n", "./run_all.sh test\n"):
        assert command in readme
    help_text = subprocess.run(
        ["/bin/bash", ROOT / "run_all.sh", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "./run_all.sh [flags]" in help_text and "./run_all.sh test" in help_text


def test_ci_runs_the_command_that_users_run():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^REQUIRE_BROWSER=1 .*exec \./run_all\.sh test ", script, re.MULTILINE)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
    assert (ROOT / "run_all.sh").stat().st_mode & 0o100
