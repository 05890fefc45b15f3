"""What `python -m repro run`, `status` and `report` are asked, and which figures that means."""

from __future__ import annotations

import dataclasses
import importlib.resources
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.core.flags import Usage, flag, number, one_of, whole_number, words
from repro.core.settings import OWN, PROFILES, FigureConfig
from repro.core.toml import find_figures, load_figure, takes_own_network
from repro.data.request import ImageRequest
from repro.data.source import DataSource, MissingDataError, locate

# Default number of networks in one program. Weights, momentum and gradients of 32 of the paper's
# widest MLPs fill 2.3 GB.
_MOST_TOGETHER = 32


def _workers() -> Any:
    return flag(
        0,
        "Networks at a time; 0: as many as fit (local: one per CPU core, or one where there is a "
        "GPU).",
        whole_number(0),
    )


@dataclass(frozen=True, kw_only=True)
class FiguresRequest(ImageRequest):
    """Which figures, with which settings, and where their results lie.

    only: names of figures; () for all. model: the user's own, with `data`; "" for the paper's.
    settings: that replace those of the configs, such as "train.epochs=100".
    configs_dir: "" for the configs of the project.
    """

    profile: str = flag(
        "quick",
        "Settings to use: quick (minutes, small), desk (full MNIST, hours on 2 cores), paper.",
        one_of(PROFILES),
    )
    only: tuple[str, ...] = flag((), "Figures to make, e.g. fig1a,fig7a. Without it: all.", words)
    runs_dir: str = flag("runs", "Folder of all results.")
    model: str = flag(
        "",
        "A trained .keras classifier of your own, in place of the networks of the figures that "
        "need nothing else; with --data.",
    )
    settings: tuple[str, ...] = flag(
        (),
        "Replace a setting, e.g. --set=train.epochs=100. May be repeated.",
        name="set",
        repeated=True,
    )
    configs_dir: str = flag("", "Folder of figure configs (TOML). Without it: those of repro.")

    def figures(self) -> tuple[list[FigureConfig], dict[str, DataSource]]:
        """The figures to make, and where their images are.

        Raises:
            Usage: flags that contradict each other. ConfigError: of the configs.
            DataError: images that cannot be had.
        """
        paths = find_figures(self.configs_directory, self.only)
        if self.model or self.data:
            return self._figures_of_own(paths)
        figures = [load_figure(path, self.profile, self.settings) for path in paths]
        sources: dict[str, DataSource] = {}
        return [self._located(figure, sources) for figure in figures], sources

    def command_of(self, figure: FigureConfig) -> str:
        """The command that makes this figure, for its report."""
        typed = ["./run_all.sh", f"--only={figure.name}"]
        if figure.profile == OWN:
            typed += [f"--model={self.model}", f"--data={self.data}"]
            typed += [f"--scale={self.scale}"] * (self.scale != "auto")
            typed += [f"--resize={self.resize}"] * (self.resize != "stretch")
        else:
            typed += [f"--profile={figure.profile}"]
        if self.configs_dir:
            typed += [f"--configs_dir={self.configs_dir}"]
        typed += [f"--set={text}" for text in self.settings]
        return shlex.join(typed)

    @property
    def configs_directory(self) -> Path:
        """The folder of the figures' configs."""
        if self.configs_dir:
            return Path(self.configs_dir)
        package = Path(str(importlib.resources.files("repro")))
        shipped = package / "configs"
        return shipped if shipped.is_dir() else package.parent / "configs"

    def _figures_of_own(
        self, paths: Sequence[Path]
    ) -> tuple[list[FigureConfig], dict[str, DataSource]]:
        """The figures of the user's own trained network, and where its images are."""
        from repro.experiments import own

        if not (self.model and self.data):
            raise Usage("--model and --data go together: your trained network, and images for it")
        fitting = [path for path in paths if takes_own_network(path)]
        if not fitting or (self.only and len(fitting) < len(paths)):
            every = find_figures(self.configs_directory)
            names = (path.stem.split("_")[0] for path in every if takes_own_network(path))
            raise Usage(f"--model is for figures that need no training: {', '.join(names)}")
        model = Path(self.model).expanduser()
        network = own.given(model, self.data, self.scale, self.resize)
        figures = [
            dataclasses.replace(load_figure(path, OWN, self.settings), train=network)
            for path in fitting
        ]
        return figures, {OWN: DataSource(self.data, OWN, self.data_dir)}

    def _located(self, figure: FigureConfig, sources: dict[str, DataSource]) -> FigureConfig:
        """The figure with the origin of its data set, with a stand-in, or with the reason why it is
        not run.

        Args:
            sources: sources of the data sets found so far, by name; the figure's source is added.
        """
        own = figure.train.dataset
        # A data set with a stand-in is not downloaded.
        offline = self.offline or bool(figure.stand_in)
        try:
            source = sources.get(own) or locate(own, self.data_dir, offline)
        except MissingDataError as missing:
            if not figure.stand_in:
                remedy = missing.remedy or f"tfds build {own}, then --data_dir"
                return dataclasses.replace(figure, not_run=f"{own} is not prepared ({remedy})")
            source = locate(figure.stand_in, self.data_dir, self.offline)
            figure = dataclasses.replace(figure, instead_of=own)
        sources[source.name] = source
        train = dataclasses.replace(figure.train, dataset=source.name, origin=source.origin)
        return dataclasses.replace(figure, train=train)


@dataclass(frozen=True, kw_only=True)
class RunRequest(FiguresRequest):
    """What `run` is asked: figures, and how the work for them is done.

    ray_address: of the cluster; "" for that of the environment.
    together: networks in one program; 0 for as many as pay.
    """

    workers: int = _workers()
    executor: str = flag(
        "local",
        "Where networks are trained: local, processes of this machine; ray, a Ray cluster.",
        one_of(("local", "ray")),
    )
    ray_address: str = flag(
        "",
        "With --executor=ray: the cluster, e.g. auto or ray://head:10001. Without it: "
        "$RAY_ADDRESS, else a cluster of this machine alone.",
    )
    gpus_per_job: float = flag(
        0.0,
        "With --executor=ray: GPUs of each network; 0.25 lets four share one.",
        number(0.0),
    )
    cpus_per_job: int = flag(
        1, "With --executor=ray: CPU cores, and threads, of each network.", whole_number(1)
    )
    together: int = flag(
        0,
        "Networks of one shape to train in one program, with KERAS_BACKEND=jax; 0: 32 MLPs on a "
        "GPU, else 1. Convnets only where a number is given.",
        whole_number(0),
    )
    retry_failed: bool = flag(False, "Try again what failed before.")
    checkpoint_seconds: float = flag(10.0, "Seconds of training between checkpoints.", number(0.0))

    def n_together(self) -> int:
        """How many networks to train in one program.

        Raises:
            Usage: several, on a backend that cannot.
        """
        from repro.experiments import local

        jax = os.environ.get("KERAS_BACKEND") == "jax"
        if self.together > 1 and not jax:
            raise Usage("--together needs JAX: set KERAS_BACKEND=jax")
        on_gpu = self.gpus_per_job > 0 if self.executor == "ray" else local.has_gpu()
        return self.together or (_MOST_TOGETHER if jax and on_gpu else 1)


@dataclass(frozen=True, kw_only=True)
class StatusRequest(FiguresRequest):
    """What `status` is asked: figures, and with how many workers the time left is told."""

    workers: int = _workers()


@dataclass(frozen=True, kw_only=True)
class ReportRequest(FiguresRequest):
    """What `report` is asked: figures."""
