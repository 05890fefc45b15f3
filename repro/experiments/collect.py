"""What is done of a figure, read from the runs folder as one record for drawing and judging."""

from __future__ import annotations

from repro.core.config import OWN, FigureConfig, TrainConfig
from repro.core.results import FigureResult, NetworkResult, SweepResult
from repro.experiments.runs import NetworkFolder, Runs


def collect(figure: FigureConfig, runs: Runs, data: str, command: str) -> FigureResult:
    """The figure's networks whose training and sweeps are all done.

    A network of which something is missing is left out: the figure is then of those that are there,
    and the rules of its claims say how many are not. Without any, it is not run.

    Args:
        data: which images were used, in words.
        command: what makes the figure.
    """
    if figure.not_run:
        return FigureResult(figure, (), "none", command, figure.not_run)
    configs = figure.networks()
    found = (_network(figure, config, runs.network(config)) for config in configs)
    networks = tuple(network for network in found if network is not None)
    why = "" if networks else f"none of its {len(configs)} networks is done"
    if len(configs) == 1 and why:
        why = "its network is not done"
    if networks and figure.profile == OWN:  # known in full once the images were read
        data = str(networks[0].training.facts["data"])
    return FigureResult(figure, networks, data, command, why)


def n_missing(figure: FigureResult) -> int:
    """Networks of the figure that are not done; 0 where it is not to be run at all."""
    if figure.config.not_run:
        return 0
    return len(figure.config.networks()) - len(figure.networks)


def seconds(figure: FigureResult, runs: Runs) -> float:
    """Wall time of the trainings and sweeps that the figure shows, added up over its networks.

    What figures share counts in each of them.
    """
    return sum(
        _seconds_of(figure.config, network, runs.network(network.config))
        for network in figure.networks
    )


def _seconds_of(figure: FigureConfig, network: NetworkResult, folder: NetworkFolder) -> float:
    noted = folder.seconds
    training = float(network.training.facts.get("seconds", 0.0))
    steps = {sweep.sweep_id for _, sweep in figure.lesions(network.config)}
    return training + sum(noted[step]["seconds"] for step in steps if step in noted)


def _network(
    figure: FigureConfig, config: TrainConfig, folder: NetworkFolder
) -> NetworkResult | None:
    """One network with its sweeps, by name and, along training, by epoch; None if not all is
    done."""
    lesions = figure.lesions(config)
    if not folder.trained or folder.missing(tuple(sweep for _, sweep in lesions)):
        return None
    sweeps: dict[str, SweepResult] = {}
    snapshots: dict[str, tuple[tuple[int, SweepResult], ...]] = {}
    for name, sweep in lesions:
        found = folder.load_sweep(sweep)
        if sweep.epoch < 0:
            sweeps[name] = found
        else:
            snapshots[name] = (*snapshots.get(name, ()), (sweep.epoch, found))
    return NetworkResult(config, folder.load_training(), sweeps, snapshots)
