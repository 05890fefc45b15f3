"""Lesions neural networks: reproduces "On the importance of single directions for generalization".

Commands:
  run      train what is missing, lesion it, write figures, report and TensorBoard summaries
  status   tell what is done, what is left, and where it lies
  report   write figures, report and summaries again from the results that exist
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from absl import app, flags
from tqdm import tqdm

from repro import config as configs
from repro import data, jobs, runs, summaries
from repro.config import ConfigError, FigureConfig
from repro.data import DataError, DataSource
from repro.jobs import Failure, Job
from repro.results import FigureResult, NetworkResult
from repro.runs import Runs, RunsError

_PROFILE = flags.DEFINE_enum(
    "profile",
    "quick",
    configs.PROFILES,
    "Settings to use: quick (minutes, small), desk (full MNIST, hours on 2 cores), paper.",
)
_ONLY = flags.DEFINE_list("only", [], "Figures to make, e.g. fig1a,fig7a. Default: all.")
_RUNS_DIR = flags.DEFINE_string("runs_dir", "runs", "Folder of all results.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Folder prepared by TensorFlow Datasets. Default: $TFDS_DATA_DIR."
)
_OFFLINE = flags.DEFINE_bool("offline", False, "Make no network call.")
_WORKERS = flags.DEFINE_integer(
    "workers", 0, "Networks at a time; 0: one per CPU core, or one where there is a GPU.", 0
)
_CHECKPOINT_SECONDS = flags.DEFINE_float(
    "checkpoint_seconds", 10.0, "Seconds of training between checkpoints.", 0.0
)
_SET = flags.DEFINE_multi_string(
    "set", [], "Replace a setting, e.g. --set=train.epochs=100. May be repeated."
)
_CONFIGS_DIR = flags.DEFINE_string("configs_dir", "", "Folder of figure configs (TOML).")


class Usage(ValueError):
    """A command line that cannot be obeyed."""


def main() -> None:
    """Entry point of `python -m repro`."""
    if sys.argv[1:2] == ["work"]:
        sys.exit(jobs.worker())
    # The first word is the command; a flag there means `run`.
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        command = sys.argv.pop(1)
    else:
        command = "run"
    commands: dict[str, Callable[[], int]] = {"run": _run, "status": _status, "report": _report}

    def obey(arguments: Sequence[str]) -> int:
        try:
            if command not in commands:
                raise Usage(f"unknown command {command!r}; expected {', '.join(commands)}")
            if arguments[1:]:
                raise Usage(f"unexpected argument {arguments[1]!r}; flags begin with --")
            return commands[command]()
        except (Usage, ConfigError, DataError, RunsError) as error:
            print(f"repro: {error}", file=sys.stderr)
            return 2 if isinstance(error, Usage) else 1
        except KeyboardInterrupt:
            print("\nInterrupted. What was finished is kept; the same command goes on from there.")
            return 130

    # A polite kill ends as Ctrl-C does, so that workers end with their parent.
    signal.signal(signal.SIGTERM, _interrupt)
    app.run(obey)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run() -> int:
    began = time.monotonic()
    figures, sources = _plan()
    runs_folder = Runs(Path(_RUNS_DIR.value))
    with runs_folder.lock():
        for source in sources.values():
            print(f"Data: {source.describe()}")
        plan = jobs.plan(figures)
        todo = jobs.unfinished(plan, runs_folder)
        print(
            f"Plan: {len(figures)} figures, {len(plan)} networks "
            f"({len(plan) - len(todo)} done, {len(todo)} to do), profile {_PROFILE.value}"
        )
        stops = {n.stop_at_train_accuracy for f in figures for n in f.networks()} - {0.0}
        if stops:
            print(
                f"Trainings stop at a training accuracy of {max(stops):g}, which the paper's do "
                "not; --profile=desk or paper trains in full"
            )
        failures = _work(todo, runs_folder, sources) if todo else []
        failed = _finish(figures, sources, runs_folder, began)
    for failure in failures:
        print(f"Failed: {failure.job.train.run_id}: {failure.reason} (log: {failure.log})")
    if failures:
        print("The same command tries the failed ones again.")
    return 1 if failures or failed else 0


def _status() -> int:
    figures, sources = _plan()
    runs_folder = Runs(Path(_RUNS_DIR.value))
    for figure in figures:
        print(f"{figure.name} ({figure.profile}): {figure.title}")
        for network in figure.networks():
            folder = runs_folder.network(network)
            checkpoint = None if folder.trained else folder.checkpoints.latest()
            if folder.trained:
                left = folder.missing((figure.sweep,))
                state = f"trained, {figure.sweep.kind} to do" if left else "done"
            elif checkpoint:
                state = f"training, {checkpoint.epoch} of {network.epochs} epochs"
            else:
                state = "to do"
            print(f"  {summaries.network_label(figure, network):28} {network.run_id:26} {state}")
    return 0


def _report() -> int:
    figures, sources = _plan()
    runs_folder = Runs(Path(_RUNS_DIR.value))
    with runs_folder.lock():
        return 1 if _finish(figures, sources, runs_folder, time.monotonic()) else 0


def _plan() -> tuple[list[FigureConfig], dict[str, DataSource]]:
    """The figures asked for, and where their images are."""
    paths = configs.find_figures(_configs_directory(), _ONLY.value)
    figures = [configs.load_figure(path, _PROFILE.value, _SET.value) for path in paths]
    sources = {
        name: data.locate(name, _DATA_DIR.value, _OFFLINE.value)
        for name in dict.fromkeys(network.dataset for f in figures for network in f.networks())
    }
    located = [
        dataclasses.replace(
            figure,
            train=dataclasses.replace(figure.train, origin=sources[figure.train.dataset].origin),
        )
        for figure in figures
    ]
    return located, sources


def _configs_directory() -> Path:
    if _CONFIGS_DIR.value:
        return Path(_CONFIGS_DIR.value)
    package = Path(str(importlib.resources.files("repro")))
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def _work(todo: Sequence[Job], runs_folder: Runs, sources: dict[str, DataSource]) -> list[Failure]:
    """Trains and lesions what is missing, under one progress bar."""
    # 60,000 and 10,000: only the bar's estimate of an unread data set's size.
    left = {job: jobs.amount(job, 60_000, 10_000) for job in todo}
    with _bar(sum(left.values())) as bar:

        def on_progress(job: Job, done: float) -> None:
            done = min(done, left[job])
            left[job] -= done
            bar.update(done)

        def on_finished(job: Job, failure: Failure | None) -> None:
            bar.update(left.pop(job))
            state = f"FAILED: {failure.reason}" if failure else "done"
            bar.write(
                f"  {job.train.run_id} (label corruption {job.train.label_corruption:g}): {state}"
            )

        return jobs.run_local(
            todo,
            runs_folder,
            sources,
            _WORKERS.value,
            _CHECKPOINT_SECONDS.value,
            on_progress,
            on_finished,
        )


@contextmanager
def _bar(total: float) -> Iterator[tqdm]:
    terminal = sys.stderr.isatty()
    with tqdm(
        total=total,
        desc="Training and lesioning",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
        file=sys.stderr,
        mininterval=0.5 if terminal else 30,
        smoothing=0.1,
        dynamic_ncols=terminal,
    ) as bar:
        yield bar


def _finish(
    figures: Sequence[FigureConfig],
    sources: dict[str, DataSource],
    runs_folder: Runs,
    began: float,
) -> bool:
    """Writes summaries, figures and report from what is done; tells where it lies.

    Returns:
        Whether a figure could not be made because results are missing.
    """
    # Drawing needs matplotlib, which takes a second to import: only where something is drawn.
    from repro import report

    complete = []
    for figure in figures:
        found = _collect(figure, sources, runs_folder)
        if found is None:
            print(f"{figure.name}: not all networks are done, so it is left out")
            continue
        complete.append(found)
        for network in found.networks:
            _summarize(found, network, runs_folder)
    if not complete:
        return True
    seconds = {
        figure.config.name: sum(n.training.facts["seconds"] for n in figure.networks)
        for figure in complete
    }
    verdicts = report.write(complete, runs_folder.report, seconds, runs.write_bytes)
    print()
    print(report.console(complete, verdicts))
    print(f"\nReport:      {_shown(runs_folder.report / 'index.html')}")
    print(f"Networks:    {_shown(runs_folder.root / 'networks')} (.keras models, results)")
    tensorboard = Path(sys.executable).with_name("tensorboard")
    print(
        f"TensorBoard: {shlex.quote(_shown(tensorboard))} "
        f"--logdir {shlex.quote(_shown(runs_folder.tensorboard))}"
    )
    print(f"({time.monotonic() - began:.0f} s)")
    return len(complete) < len(figures)


def _collect(
    figure: FigureConfig, sources: dict[str, DataSource], runs_folder: Runs
) -> FigureResult | None:
    networks = []
    for network in figure.networks():
        folder = runs_folder.network(network)
        if not folder.trained or folder.missing((figure.sweep,)):
            return None
        networks.append(
            NetworkResult(network, folder.load_training(), folder.load_sweep(figure.sweep))
        )
    return FigureResult(
        config=figure,
        networks=tuple(networks),
        data=sources[figure.train.dataset].describe(),
        command=_command(figure),
    )


def _command(figure: FigureConfig) -> str:
    words = ["./run_all.sh", f"--only={figure.name}", f"--profile={figure.profile}"]
    words += [f"--set={text}" for text in _SET.value]
    return shlex.join(words)


def _summarize(figure: FigureResult, network: NetworkResult, runs_folder: Runs) -> None:
    """Writes a network's TensorBoard run, unless the one there already shows these results."""
    label = summaries.network_label(figure.config, network.config)
    directory = runs_folder.tensorboard / figure.config.profile / figure.config.name / label
    marker = directory / "source.txt"
    source = f"{network.config.run_id} {figure.config.sweep.sweep_id}\n"
    if marker.is_file() and marker.read_text() == source:
        return

    def fill(temporary: Path) -> None:
        summaries.write(figure, network, temporary)
        (temporary / marker.name).write_text(source)

    runs.replace_directory(directory, fill)


def _shown(path: Path) -> str:
    """A path as short as it can be typed here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


if __name__ == "__main__":
    main()
