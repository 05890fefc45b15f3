"""TensorBoard must start whatever happens to us, and quickly."""

import argparse
import subprocess
import sys
from importlib import metadata as installed

import pytest
from tensorboard.plugins import base_plugin

from tb_plugin.loader import SingleDirectionsLoader
from tb_plugin.plugin import SingleDirectionsPlugin

# TensorBoard itself needs NumPy, but importing our entry point must not.
HEAVY = ("tensorflow", "keras", "numpy", "repro", "jax", "scipy", "matplotlib")


def probe(code: str) -> subprocess.CompletedProcess[str]:
    blocked = f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n"
    return subprocess.run([sys.executable, "-c", blocked + code], capture_output=True, text=True)


def test_the_entry_point_imports_with_all_heavy_packages_missing():
    done = probe("from tb_plugin.loader import SingleDirectionsLoader")
    assert done.returncode == 0, done.stderr


def test_the_probe_would_notice_a_heavy_import():
    assert probe("import tb_plugin.summary").returncode != 0


def test_the_whole_plugin_needs_neither_tensorflow_nor_keras_nor_repro():
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'repro'): sys.modules[name] = None\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        "import tb_plugin.plugin"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tensorboard_finds_the_entry_point():
    (entry,) = installed.entry_points(group="tensorboard_plugins", name="single_directions")
    assert entry.load() is SingleDirectionsLoader


@pytest.mark.parametrize(
    ("users", "kept"),
    [
        ({}, {"single_directions": 0, "single_directions_units": 50}),
        ({"single_directions": 5}, {"single_directions": 5, "single_directions_units": 50}),
    ],
)
def test_the_users_own_number_of_steps_wins(users, kept):
    flags = argparse.Namespace(samples_per_plugin=dict(users))
    SingleDirectionsLoader().fix_flags(flags)
    assert flags.samples_per_plugin == kept


def test_flags_of_another_tensorboard_do_no_harm():
    for flags in (argparse.Namespace(), argparse.Namespace(samples_per_plugin=None)):
        before = dict(vars(flags))
        SingleDirectionsLoader().fix_flags(flags)
        assert vars(flags) == before


def test_an_empty_context_is_enough_to_list_the_tab():
    """An exception in here would take the whole of TensorBoard's page down."""
    plugin = SingleDirectionsLoader().load(base_plugin.TBContext())
    assert isinstance(plugin, SingleDirectionsPlugin)
    assert plugin.is_active() is False
    assert plugin.frontend_metadata().es_module_path == "/static/index.js"
    assert all(route.startswith("/") for route in plugin.get_plugin_apps())
