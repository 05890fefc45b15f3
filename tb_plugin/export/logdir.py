"""A log directory, read once by TensorBoard's own reader in this process."""

from pathlib import Path

from tb_plugin.loader import STEPS_KEPT
from tb_plugin.reading.provider import Experiment

# TensorBoard's default number of scalar steps.
SCALARS_KEPT = 1000
SAMPLING = {**STEPS_KEPT, "scalars": SCALARS_KEPT}


def read(logdir: Path) -> Experiment:
    """All runs of a log directory, with as many steps as TensorBoard would show."""
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer

    multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance=SAMPLING)
    multiplexer.AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(logdir))
    return Experiment(provider, context.RequestContext(), "")
