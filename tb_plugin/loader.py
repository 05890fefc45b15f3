"""What TensorBoard imports at start-up.

An import error here would keep TensorBoard from starting, so this module needs the standard
library, the names, and TensorBoard's base class only; the rest is imported in load().
"""

import argparse
import contextlib
from typing import Any

from tensorboard.plugins import base_plugin

from tb_plugin import metadata

# TensorBoard would silently keep 10 (slow loader) or 100 (fast) random steps of each tag.
# Curves are small, so all steps are kept (0). A unit table may be megabytes.
STEPS_KEPT = {metadata.PLUGIN_NAME: 0, metadata.UNITS_PLUGIN_NAME: 50}

FLAGS: dict[str, dict[str, Any]] = {
    "--single_directions_models": {
        "metavar": "DIR",
        "type": str,
        "default": "",
        "help": "Folder of .keras models for the lesion lab, which is off without it. The models "
        "are run: name only a folder whose models you trust.",
    },
    "--single_directions_remote": {
        "action": "store_true",
        "help": "Let other machines use the lesion lab, where TensorBoard lets them in at all "
        "(--bind_all, --host).",
    },
    "--single_directions_memory_mb": {
        "metavar": "MB",
        "type": int,
        "default": 8192,
        "help": "Memory that the lesion lab's process may use before it is ended and started anew.",
    },
}


class SingleDirectionsLoader(base_plugin.TBLoader):
    """The entry point "single_directions" in the group tensorboard_plugins."""

    def define_flags(self, parser):
        """The flags of the lesion lab; without the first flag the lab is off."""
        group = parser.add_argument_group("Single Directions plugin")
        for name, settings in FLAGS.items():
            # Another plugin, or a second copy of this one, may have defined the flag.
            with contextlib.suppress(argparse.ArgumentError):
                group.add_argument(name, **settings)

    def fix_flags(self, flags):
        """Sets how many steps TensorBoard keeps; the user's own --samples_per_plugin wins."""
        limits = getattr(flags, "samples_per_plugin", None)
        if isinstance(limits, dict):
            for name, steps in STEPS_KEPT.items():
                limits.setdefault(name, steps)

    def load(self, context):
        """The plugin, or an exception that TensorBoard logs before it goes on without us."""
        from tb_plugin.plugin import SingleDirectionsPlugin

        return SingleDirectionsPlugin(context)
