"""The build backend named in pyproject.toml: setuptools, after the chart library is built.

So `pip install .` from a fresh clone gives a plugin with its front end, and the wheel carries it.
Where the machine has no Node.js, pip brings one into the build environment for the time of the
build. A source distribution carries the built file, and installing from it needs neither.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import bundle
from setuptools import build_meta

# pip passes these on as "key=value" options; nobody here reads them but setuptools.
Settings = dict[str, Any] | None

prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable


def _node() -> list[str]:
    return [] if bundle.is_current() or bundle.node_and_npm() else [bundle.NODE_WHEEL]


def _build_bundle() -> None:
    if bundle.is_current():
        return
    try:
        bundle.build()
    except bundle.BundleError as error:
        # Ends the build with this sentence as the last line that pip shows.
        raise SystemExit(str(error)) from None


@contextlib.contextmanager
def _build_folder() -> Iterator[None]:
    """Lets setuptools build in a folder of its own, in place of `build` beside pyproject.toml.

    In that one modules of an earlier build, which are gone from the tree, would get into the
    wheel; and it may be the user's, so that it cannot be cleared away.
    """
    before = os.environ.get("DIST_EXTRA_CONFIG")
    settings = configparser.RawConfigParser()
    settings.read(before or [])
    with tempfile.TemporaryDirectory(prefix="single-directions-") as folder:
        if not settings.has_section("build"):
            settings.add_section("build")
        settings.set("build", "build_base", os.path.join(folder, "build"))
        path = os.path.join(folder, "setup.cfg")
        with open(path, "w", encoding="utf-8") as file:
            settings.write(file)
        os.environ["DIST_EXTRA_CONFIG"] = path
        try:
            yield
        finally:
            os.environ.pop("DIST_EXTRA_CONFIG")
            if before is not None:
                os.environ["DIST_EXTRA_CONFIG"] = before


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return build_meta.get_requires_for_build_wheel(config_settings) + _node()


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return build_meta.get_requires_for_build_editable(config_settings) + _node()


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    return build_meta.get_requires_for_build_sdist(config_settings) + _node()


def build_wheel(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    _build_bundle()
    with _build_folder():
        return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    _build_bundle()
    return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    _build_bundle()
    return build_meta.build_sdist(sdist_directory, config_settings)
