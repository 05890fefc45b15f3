"""Imports run one way, and the light modules stay light."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the bottom up: a module imports from its own layer and from those before it. A new module
# must be given its place here.
LAYERS: list[set[str]] = [
    {"metrics", "config", "results", "statistics", "batches", "kernels", "inspection"},
    {"walk"},
    {"data", "streams", "labelled"},
    {
        "masking",
        "models",
        "trial",
        "regularizers",
        "graph",
        "insertion",
        "network",
        "engine",
        "passes",
        "ablation",
    },
    {"sweep", "budget", "callbacks", "recovery"},
    {
        "training",
        "fast_layers",
        "ensembles",
        "own",
        "findings",
        "choices",
        "panels",
        "verdicts",
        "rules",
        "unit_rules",
        "summaries",
        "figures",
        "claims",
        "markup",
    },
    {
        "folders",
        "leases",
        "runs",
        "collect",
        "jobs",
        "executors",
        "progress",
        "page",
        "report",
        "study",
        "study_curve",
        "study_model",
        "study_progress",
        "study_sample",
        "study_show",
        "study_words",
        "study_figures",
        "study_page",
        "lesion_run",
    },
    {"__main__"},
]
LAYER = {module: depth for depth, layer in enumerate(LAYERS) for module in layer}
# Modules on NumPy and SciPy alone, and those on Keras besides.
NUMERIC, WITH_KERAS = sorted(LAYERS[0] | LAYERS[1]), sorted(LAYERS[3] | LAYERS[4])


def modules_on_disk() -> set[str]:
    """Modules and packages of `repro`, by name."""
    packages = {p.parent.name for p in (ROOT / "repro").glob("*/__init__.py")}
    return {p.stem for p in (ROOT / "repro").glob("*.py")} - {"__init__"} | packages


def sources(module: str) -> list[str]:
    """The source of a module, or of each module of a package."""
    files = [ROOT / "repro" / f"{module}.py", *(ROOT / "repro" / module).rglob("*.py")]
    return [path.read_text(encoding="utf-8") for path in files if path.exists()]


def imported(source: str, anywhere: bool = True) -> Iterator[str]:
    """Full names of what a module imports; with anywhere=False only what importing it loads."""

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (name.name for name in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = "repro" if child.level else ""
                base = ".".join(part for part in (base, child.module) if part)
                yield from (f"{base}.{name.name}" for name in child.names)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue  # for the type checker only, never loaded
            elif anywhere or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from visit(child)

    yield from visit(ast.parse(source))


def wrong_way(module: str, source: str) -> list[str]:
    """The imports of our own modules that lead upwards."""
    used = {name.split(".")[1] for name in imported(source) if name.startswith("repro.")}
    return sorted(other for other in used if LAYER.get(other, -1) > LAYER[module])


def test_every_module_has_its_place_in_the_order():
    assert modules_on_disk() == set(LAYER)


@pytest.mark.parametrize("module", sorted(LAYER))
def test_imports_run_one_way(module):
    assert sources(module)
    assert [
        wrong_way(module, source) for source in sources(module) if wrong_way(module, source)
    ] == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("metrics", "from repro.ablation import Engine", ["ablation"]),
        ("ablation", "def f():\n    from repro import runs, masking", ["runs"]),
        ("sweep", "if True:\n    from . import jobs", ["jobs"]),
        ("sweep", "import repro.results, repro.report", ["report"]),
        ("runs", "from repro.training import fit", []),
    ],
)
def test_an_import_that_leads_upwards_is_found(module, source, found):
    assert wrong_way(module, source) == found


@pytest.mark.parametrize("module", sorted(set(LAYER) - {"__main__"}))
def test_only_the_command_line_reads_flags(module):
    names = {name for source in sources(module) for name in imported(source)}
    assert not {n for n in names if n.startswith(("absl.flags", "absl.app", "argparse"))}


def test_the_plugin_never_imports_the_laboratory():
    plugin = list((ROOT / "tb_plugin").rglob("*.py"))
    assert len(plugin) > 5
    offenders = {
        path.name
        for path in plugin
        for name in imported(path.read_text(encoding="utf-8"))
        if name.split(".")[0] == "repro"
    }
    # Inside functions that run in the lab's child process only; a test below sees what is loaded.
    assert offenders == {"lab_session.py", "lab_lesions.py"}


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


HEAVY = {"tensorflow", "keras", "jax", "tensorflow_datasets", "tensorboard", "matplotlib"}


@pytest.mark.parametrize("module", NUMERIC)
def test_the_numeric_modules_load_nothing_heavy(module):
    _, loaded = asked_and_loaded(ROOT / "repro", module)
    assert loaded & (HEAVY | {"absl.flags"}) == set()


def test_import_repro_alone_loads_nothing_heavy():
    probe = "import sys, repro, repro.metrics; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "repro.metrics" in done.stdout.split()
    assert set(done.stdout.split()) & HEAVY == set()


def test_the_engine_asks_for_keras_and_no_backend_of_its_own():
    asked, _ = asked_and_loaded(ROOT / "repro", *WITH_KERAS)
    assert asked & (HEAVY | {"absl"}) == {"keras"}


def test_the_plugin_loads_no_deep_learning():
    modules = [p.stem for p in (ROOT / "tb_plugin").glob("*.py") if p.stem != "__init__"]
    _, loaded = asked_and_loaded(ROOT / "tb_plugin", *modules)
    assert loaded & {"repro", "tensorflow", "keras"} == set()


def test_the_probe_can_fail(tmp_path):
    package = tmp_path / "careless"
    package.mkdir()
    (package / "innocent.py").write_text("from careless import helper\n")
    (package / "helper.py").write_text("import matplotlib.pyplot\nfrom absl import flags\n")
    asked, loaded = asked_and_loaded(package, "innocent")
    assert asked >= {"matplotlib", "absl"} and loaded >= {"matplotlib", "absl.flags", "numpy"}
    assert "numpy" not in asked
