"""What TensorBoard imports at start-up.

An import error here would keep TensorBoard from starting, so this module needs the standard
library, the names, and TensorBoard's base class only; the rest is imported in load().
"""

from tensorboard.plugins import base_plugin

from tb_plugin import metadata

# TensorBoard would silently keep 10 (slow loader) or 100 (fast) random steps of each tag.
# Curves are small, so all steps are kept (0). A unit table may be megabytes.
STEPS_KEPT = {metadata.PLUGIN_NAME: 0, metadata.UNITS_PLUGIN_NAME: 50}


class SingleDirectionsLoader(base_plugin.TBLoader):
    """The entry point "single_directions" in the group tensorboard_plugins."""

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
