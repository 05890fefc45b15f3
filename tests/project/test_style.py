"""The rules that hold for every file: lint, types, sizes, and nothing of one machine's own."""

import re
import subprocess
import sys
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
