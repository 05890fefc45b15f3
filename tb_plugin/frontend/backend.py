"""The build backend named in pyproject.toml: setuptools, after the chart library is built.

So `pip install .` from a fresh clone gives a plugin with its front end, and the wheel carries it.
Where the machine has no Node.js, pip brings one into the build environment for the time of the
build. A source distribution carries the built file, and installing from it needs neither.
"""

from __future__ import annotations

import shutil
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
    # Else the wheel would also carry modules of an earlier build that are gone from the tree.
    shutil.rmtree("build/lib", ignore_errors=True)
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
