"""How the tests' programs are compiled; the wheel, an environment that has it installed, and a real
browser."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
VENDOR = ROOT / "tb_plugin" / "static" / "vendor"

# XLA compiles thousands of programs in these tests, and each runs once or twice. So XLA translates
# them without optimizing the machine code, which takes half the time. The programs compute the
# same. Commands in test_command_line.py are compiled as users' are.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0"
    " --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1",
)
# Archives that Keras keeps for whoever runs the tests are no data of the tests.
os.environ["KERAS_HOME"] = str(ROOT / ".pytest_cache" / "keras")
# A search for cycles walks through TensorFlow's and Keras's half a million objects.
gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel of the working tree as it is, built by the backend that pip would use."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    shutil.copytree(VENDOR, tree / "tb_plugin" / "static" / "vendor")  # built by run_all.sh
    # What an earlier build left behind must not be shipped.
    (tree / "build" / "lib" / "repro").mkdir(parents=True)
    (tree / "build" / "lib" / "repro" / "long_gone.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
        + ["--wheel-dir", str(folder), str(tree)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """The Python of a fresh environment with the wheel, which borrows our dependencies."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet"]
    subprocess.run([*pip, "--no-index", wheel], check=True)
    (site,) = (environment / "lib").glob("python*/site-packages")
    borrowed = Path(pytest.__file__).parents[1]
    # A .pth file named in a .pth file is not read, so the checkout's own installation stays out.
    (site / "dependencies.pth").write_text(f"{borrowed}\n")
    return python


def _no_browser(reason: str) -> None:
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(f"browser tests did not run: {reason}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        _no_browser("no Chromium on PATH; on Debian: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _no_browser("the Python package playwright is not installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield launched
        launched.close()
