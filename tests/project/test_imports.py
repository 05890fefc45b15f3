"""Imports run one way, and the light modules stay light."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The rooms of `repro`, as its docstring prints them: each imports only those before it. Above them
# stand `repro` itself, which names where public things live, and `__main__`.
ROOMS = "core data models engine training experiments display paper study".split()
TOP = ("repro", "repro.__main__")
# Rooms on NumPy and SciPy alone, and those on Keras besides.
NUMERIC = ("core",)
WITH_KERAS = ("models", "engine")


def modules(folder: Path) -> dict[str, str]:
    """The source of each module of a package, by its full name."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def imported(source: str) -> Iterator[str]:
    """Full names of what a module imports: in functions too, and for the type checker alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(part for part in ("repro" if node.level else "", node.module) if part)
            yield from (f"{base}.{name.name}" for name in node.names)


def arrows(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Which of these modules imports which."""
    found: dict[str, set[str]] = {}
    for module, source in sources.items():
        found[module] = set()
        for name in imported(source):
            # A name may be a module, or something within one.
            target = name if name in sources else name.rpartition(".")[0]
            if target in sources and target != module:
                found[module].add(target)
    return found


def room_of(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def upward(sources: Mapping[str, str]) -> list[str]:
    """Imports of a room that stands later."""
    return [
        f"{module} -> {target}"
        for module, targets in arrows(sources).items()
        for target in sorted(targets)
        if module not in TOP
        and (target in TOP or ROOMS.index(room_of(target)) > ROOMS.index(room_of(module)))
    ]


def circles(sources: Mapping[str, str]) -> list[list[str]]:
    """Modules that import each other, directly or by way of others."""
    graph = TopologicalSorter(arrows(sources))
    try:
        graph.prepare()
    except CycleError as error:
        return [error.args[1]]
    return []


REPRO = modules(ROOT / "repro")
# The build at install is no part of the package.
PLUGIN = {
    name: source
    for name, source in modules(ROOT / "tb_plugin").items()
    if not name.startswith("tb_plugin.frontend")
}


def test_every_module_stands_in_a_room():
    assert {room_of(module) for module in set(REPRO) - set(TOP)} == set(ROOMS)
    for room in ROOMS:
        assert len(ast.get_docstring(ast.parse(REPRO[f"repro.{room}"]))) > 50, room


def test_the_plan_is_printed_where_one_looks_first():
    printed = ast.get_docstring(ast.parse(REPRO["repro"]))
    rows = [line.split() for line in printed.splitlines() if line.startswith("    ")][:3]
    assert [word.rstrip(",") for row in rows for word in row[:3]] == ROOMS


def test_imports_run_one_way():
    assert upward(REPRO) == []


def test_no_modules_import_each_other():
    assert circles(REPRO) == []
    assert circles(PLUGIN) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from repro.engine.engine import Engine", "repro.core.metrics -> repro.engine.engine"),
        (
            "def f():\n    from repro.paper import claims",
            "repro.core.metrics -> repro.paper.claims",
        ),
        (
            "if TYPE_CHECKING:\n    import repro.data.given",
            "repro.core.metrics -> repro.data.given",
        ),
        ("from repro import lesion", "repro.core.metrics -> repro"),
    ],
)
def test_an_import_that_leads_upwards_is_found(source, found):
    assert upward(REPRO | {"repro.core.metrics": source}) == [found]


def test_a_circle_is_found_wherever_it_is_hidden():
    lazy = "def f():\n    from repro.core import results"
    assert circles(
        REPRO | {"repro.core.metrics": lazy, "repro.core.results": "import repro.core.metrics"}
    )
    checked = "if TYPE_CHECKING:\n    from repro.core.results import Outcome"
    assert circles(
        REPRO
        | {"repro.core.metrics": checked, "repro.core.results": "from repro.core import metrics"}
    )


def test_only_the_command_line_reads_flags():
    for module in set(REPRO) - {"repro.__main__"}:
        names = set(imported(REPRO[module]))
        assert not {n for n in names if n.startswith(("absl.flags", "absl.app", "argparse"))}, (
            module
        )


def test_the_plugin_never_imports_the_laboratory():
    assert len(PLUGIN) > 15
    offenders = {
        module
        for module, source in PLUGIN.items()
        for name in imported(source)
        if name.split(".")[0] == "repro"
    }
    assert offenders == set()


# --- What is really loaded, in a process of its own -------------------------------------------

# A package's __init__ runs before any of its modules, and `repro` may import there what its users
# need. Here the modules alone are asked about, so the package is a stand-in with the same folder.
# Two answers: what is loaded at all, and what the modules themselves asked for. Keras loads its
# backend, so that with Keras TensorFlow is there, but not one of our modules may have named it.
PROBE = """
import builtins, importlib, json, sys, types
folder, package, *modules = sys.argv[1:]
stand_in = types.ModuleType(package)
stand_in.__path__ = [folder]
sys.modules[package] = stand_in
asked = set()
original = builtins.__import__
def recording(name, globals=None, *rest, **named):
    if (globals or {}).get("__name__", "").split(".")[0] == package:
        asked.add(name.split(".")[0])
    return original(name, globals, *rest, **named)
builtins.__import__ = recording
for module in modules:
    importlib.import_module(f"{package}.{module}")
print(json.dumps([sorted(asked), sorted(sys.modules)]))
"""


def asked_and_loaded(folder: Path, *modules: str) -> tuple[set[str], set[str]]:
    """What these modules of the package in `folder` import, and all that is loaded after them."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(folder), folder.name, *modules],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    asked, loaded = json.loads(done.stdout)
    return set(asked), set(loaded)


HEAVY = {
    *("tensorflow", "keras", "jax", "tensorflow_datasets"),
    *("tensorboard", "matplotlib", "jinja2"),
}


def in_rooms(*rooms: str) -> list[str]:
    """Modules of these rooms, by their names within `repro`."""
    return [name.removeprefix("repro.") for name in REPRO if room_of(name) in rooms]


def test_the_numeric_modules_load_nothing_heavy():
    _, loaded = asked_and_loaded(ROOT / "repro", *in_rooms(*NUMERIC))
    assert loaded & (HEAVY | {"absl.flags"}) == set()


def test_import_repro_alone_loads_nothing_heavy():
    probe = "import sys, repro, repro.core.metrics; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "repro.core.metrics" in done.stdout.split()
    assert set(done.stdout.split()) & HEAVY == set()


def test_the_engine_asks_for_keras_and_no_backend_of_its_own():
    asked, _ = asked_and_loaded(ROOT / "repro", *in_rooms(*WITH_KERAS))
    assert asked & (HEAVY | {"absl"}) == {"keras"}


def test_the_plugin_loads_no_deep_learning():
    names = [name.removeprefix("tb_plugin.") for name in PLUGIN if name != "tb_plugin"]
    _, loaded = asked_and_loaded(ROOT / "tb_plugin", *names)
    assert loaded & {"repro", "tensorflow", "keras"} == set()


def test_the_probe_can_fail(tmp_path):
    package = tmp_path / "careless"
    package.mkdir()
    (package / "innocent.py").write_text("from careless import helper\n")
    (package / "helper.py").write_text("import matplotlib.pyplot\nfrom absl import flags\n")
    asked, loaded = asked_and_loaded(package, "innocent")
    assert asked >= {"matplotlib", "absl"} and loaded >= {"matplotlib", "absl.flags", "numpy"}
    assert "numpy" not in asked


# --- The tests --------------------------------------------------------------------------------


def imported_test_modules(files: dict[str, str]) -> set[tuple[str, str]]:
    """The test modules that another file of the tests imports, as (importer, imported)."""
    found = set()
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for one in names:
                last = one.rsplit(".", 1)[-1]
                if one.startswith("tests.") and last.startswith(("test_", "conftest")):
                    found.add((name, one))
    return found


def test_no_test_module_is_a_library_of_another():
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in (ROOT / "tests").rglob("*.py")
        if "node_modules" not in path.parts
    }
    assert len(files) > 90
    assert imported_test_modules(files) == set()


def test_every_folder_of_the_tests_of_repro_is_one_of_its_packages():
    packages = {path.parent.name for path in (ROOT / "repro").glob("*/__init__.py")}
    folders = {path.parent.name for path in (ROOT / "tests" / "repro").rglob("test_*.py")}
    assert folders <= packages


def test_an_imported_test_module_would_be_seen():
    files = {
        "tests/a.py": "def f():\n    from tests.repro.core import test_x",
        "tests/b.py": "import tests.repro.test_y",
        "tests/c.py": "from tests.plugin.conftest import z\nfrom tests.helpers import plain",
    }
    assert {imported for _, imported in imported_test_modules(files)} == {
        "tests.repro.core.test_x",
        "tests.repro.test_y",
        "tests.plugin.conftest",
    }
