"""Collects the finished results of a figure from the runs folder into one record."""

from __future__ import annotations

import hashlib

from repro.core.kinds import SweepResult
from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import OWN, FigureConfig, TrainConfig
from repro.experiments.runs import TRAINING, NetworkFolder, Runs


def collect(figure: FigureConfig, runs: Runs, data: str, command: str) -> FigureResult:
    """The figure's networks whose training and sweeps are all done.

    A network that lacks a training or a sweep is left out; the rules of the figure's claims say how
    many networks are missing. A figure without any network is not run.

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
    if networks and figure.profile == OWN:  # facts that need the images
        data = str(networks[0].training.facts["data"])
    return FigureResult(figure, networks, data, command, why)


def digest(figure: FigureConfig, runs: Runs) -> str:
    """A digest of all that `collect` and `seconds` read of this figure.

    It is the same only as long as the same networks are done, with the same results.
    """
    found = hashlib.sha256()
    for config in () if figure.not_run else figure.networks():
        folder = runs.network(config)
        sweeps = tuple(sweep for _, sweep in figure.lesions(config))
        done = folder.trained and not folder.missing(sweeps)
        found.update(f"{config.run_id} {done}\n".encode())
        noted = folder.seconds
        for step in (TRAINING, *(sweep.sweep_id for sweep in sweeps)) if done else ():
            found.update(f"{step} {folder.digest(step)} {noted.get(step)}\n".encode())
    return found.hexdigest()


def seconds(figure: FigureResult, runs: Runs) -> float:
    """Wall time of the trainings and sweeps that the figure shows, added up over its networks.

    Work that several figures share counts in each of them.
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
    """One network with its sweeps, by name and, along training, by epoch; None unless all of it is
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
