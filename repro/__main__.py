"""Lesions neural networks: reproduces "On the importance of single directions for generalization".

Commands:
  run      train what is missing, lesion it, write figures, report and TensorBoard summaries
  status   tell what is done, running, failed and left, and how long the rest will take
  report   write figures, report and summaries again from the results that exist
  lesion   MODEL.keras --data=npz:file.npz: which units of a classifier of your own matter
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import os
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from tqdm import tqdm

from repro.core import config as configs
from repro.core.config import OWN, ConfigError, FigureConfig, TrainConfig
from repro.core.results import FigureResult, NetworkResult
from repro.data import labelled
from repro.data.pixels import RESIZES
from repro.data.source import DataError, DataSource, MissingDataError, locate
from repro.experiments import collect, executors, jobs, progress, runs
from repro.experiments.executors import ExecutorError
from repro.experiments.jobs import Job
from repro.experiments.progress import Step
from repro.experiments.runs import TRAINING, Runs, RunsError
from repro.paper import summaries
from repro.paper.verdicts import counted

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
_MODEL = flags.DEFINE_string(
    "model",
    "",
    "A trained .keras classifier of your own, in place of the networks of the figures that need "
    "nothing else; with --data.",
)
_DATA = flags.DEFINE_string(
    "data", "", "Your model's images: npz:file.npz, tfds:name or dir:folder-of-class-folders."
)
_SCALE = flags.DEFINE_string(
    "scale",
    "auto",
    "What your model takes: pixels divided by 255, none, tf, torch, caffe, or raw; auto.",
)
_RESIZE = flags.DEFINE_string(
    "resize",
    "stretch",
    "How image files are brought to your model's size: stretch, as Keras does; crop; pad.",
)
_OFFLINE = flags.DEFINE_bool("offline", False, "Make no network call.")
_WORKERS = flags.DEFINE_integer(
    "workers",
    0,
    "Networks at a time; 0: as many as fit (local: one per CPU core, or one where there is a GPU).",
    0,
)
_EXECUTOR = flags.DEFINE_enum(
    "executor",
    "local",
    ("local", "ray"),
    "Where networks are trained: processes of this machine, or a Ray cluster.",
)
_RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    "",
    "With --executor=ray: the cluster, e.g. auto or ray://head:10001. Default: $RAY_ADDRESS, else "
    "a cluster of this machine alone.",
)
_GPUS_PER_JOB = flags.DEFINE_float(
    "gpus_per_job", 0.0, "With --executor=ray: GPUs of each network; 0.25 lets four share one.", 0.0
)
_CPUS_PER_JOB = flags.DEFINE_integer(
    "cpus_per_job", 1, "With --executor=ray: CPU cores, and threads, of each network.", 1
)
_TOGETHER = flags.DEFINE_integer(
    "together",
    0,
    "MLPs of one shape to train in one program, with KERAS_BACKEND=jax; 0: 32 on a GPU, else 1.",
    0,
)
_RETRY_FAILED = flags.DEFINE_bool("retry_failed", False, "Try again what failed before.")
flags.DEFINE_alias("retry-failed", "retry_failed")
_CHECKPOINT_SECONDS = flags.DEFINE_float(
    "checkpoint_seconds", 10.0, "Seconds of training between checkpoints.", 0.0
)
_SET = flags.DEFINE_multi_string(
    "set", [], "Replace a setting, e.g. --set=train.epochs=100. May be repeated."
)
_CONFIGS_DIR = flags.DEFINE_string("configs_dir", "", "Folder of figure configs (TOML).")

# Flags of `lesion`, which also takes --data, --scale, --resize, --data_dir and --offline.
_OUT = flags.DEFINE_string("out", "runs/lesion", "lesion: folder of the results.")
_BUDGET = flags.DEFINE_string(
    "budget",
    "10min",
    "lesion: how long it may take, e.g. 90s, 10min, 2h; decides how many images and units.",
)
_FULL = flags.DEFINE_bool(
    "full", False, "lesion: all images and all units, however long that takes; says how long."
)
_LAYERS = flags.DEFINE_list(
    "layers", [], "lesion: hidden layers, names or patterns such as block?_*. Default: all."
)
_LIST = flags.DEFINE_bool(
    "list", False, "lesion: only list the model's layers, which are lesioned and why not."
)
_CLASSES = flags.DEFINE_string(
    "classes", "", "lesion: a text file that names the model's classes, one a line in its order."
)
_SPLIT = flags.DEFINE_enum(
    "split",
    None,
    ("test", "train"),
    "lesion: train, if the model was trained on these images. Default: train for a split of that "
    "name, else test.",
)
_SEED = flags.DEFINE_integer("seed", 0, "lesion: of the samples and of random orders.", 0)
_MODEL_FN = flags.DEFINE_string(
    "model_fn",
    "",
    "lesion: in place of MODEL.keras your own function that builds the model, package.module:build;"
    " with --weights.",
)
flags.DEFINE_alias("model-fn", "model_fn")
_WEIGHTS = flags.DEFINE_string("weights", "", "lesion: its weights, file.weights.h5.")


# Default number of networks in one program. Weights, momentum and gradients of 32 of the paper's
# widest MLPs fill 2.3 GB.
_MOST_TOGETHER = 32


class Usage(ValueError):
    """The command line is wrong; the message says how."""


def main() -> None:
    """Entry point of `python -m repro`."""
    if sys.argv[1:2] == ["work"]:
        sys.exit(jobs.worker())
    # The first word is the command; a flag in its place means `run`.
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        command = sys.argv.pop(1)
    else:
        command = "run"
    commands: dict[str, Callable[[], int]] = {"run": _run, "status": _status, "report": _report}

    def obey(arguments: Sequence[str]) -> int:
        try:
            if command == "lesion":
                return _lesion(arguments[1:])
            if command not in commands:
                raise Usage(f"unknown command {command!r}; expected {', '.join(commands)}, lesion")
            if arguments[1:]:
                raise Usage(f"unexpected argument {arguments[1]!r}; flags begin with --")
            return commands[command]()
        except (Usage, ConfigError, DataError, RunsError, ExecutorError) as error:
            print(f"repro: {error}", file=sys.stderr)
            return 2 if isinstance(error, Usage) else 1
        except KeyboardInterrupt:
            kept = "What was finished is kept; the same command goes on from there."
            print("\nInterrupted. " + ("Nothing is kept." if command == "lesion" else kept))
            return 130

    # SIGTERM has the effect of Ctrl-C, so that workers end with their parent.
    signal.signal(signal.SIGTERM, _interrupt)
    app.run(obey)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run() -> int:
    began = time.monotonic()
    figures, sources = _plan()
    runs_folder = Runs(Path(_RUNS_DIR.value))
    _check_places(figures, runs_folder)
    for source in sources.values():
        print(f"Data: {source.describe()}")
    plan = jobs.plan(figures)
    if _RETRY_FAILED.value:
        jobs.forget_failures(plan, runs_folder)
    todo = jobs.unfinished(plan, runs_folder)
    failed_before = jobs.failures(plan, runs_folder)
    n_failed = len({failure.job for failure in failed_before} - set(todo))
    print(
        f"Plan: {counted(len(figures), 'figure')}, {counted(len(plan), 'network')} "
        f"({len(plan) - len(todo) - n_failed} done, {len(todo)} to do"
        f"{f', {n_failed} failed before' if n_failed else ''}), "
        + ("a network of your own" if _MODEL.value else f"profile {_PROFILE.value}")
    )
    stops = {n.stop_at_train_accuracy for f in figures for n in f.networks()} - {0.0}
    if stops:
        print(
            f"Trainings stop at a training accuracy of {max(stops):g}, which the paper's do "
            "not; --profile=desk or paper trains in full"
        )
    errors = _work(todo, runs_folder, sources) if todo else {}
    with runs_folder.reporting():
        incomplete = _finish(figures, sources, runs_folder, began)
    failures = jobs.failures(plan, runs_folder)
    for failure in failures:
        print(f"Failed: {failure}")
    for job, error in errors.items():
        print(f"Failed: {job.train.run_id}: {error}")
    if failures:
        print("What failed is left alone from now on; --retry-failed tries it again.")
    return 1 if failures or errors or incomplete else 0


def _status() -> int:
    figures, _ = _plan()
    runs_folder = Runs(Path(_RUNS_DIR.value))
    plan = jobs.plan(figures)
    steps = progress.survey(plan, runs_folder)
    of_network: dict[TrainConfig, dict[str, Step]] = {}
    for step in steps:
        of_network.setdefault(step.job.train, {})[step.name] = step
    for figure in figures:
        print(f"{figure.name} ({figure.profile}): {figure.title}")
        if figure.not_run:
            print(f"  not run: {figure.not_run}")
            continue
        for network in figure.networks():
            names = [TRAINING, *(sweep.sweep_id for _, sweep in figure.lesions(network))]
            state = _state([of_network[network][name] for name in dict.fromkeys(names)])
            print(f"  {summaries.network_label(figure, network):28} {network.run_id:26} {state}")
    failures = jobs.failures(plan, runs_folder)
    for failure in failures:
        print(f"Failed: {failure}")
    if failures:
        print("./run_all.sh --retry-failed tries again what failed.")
    counts = Counter(step.state for step in steps)
    states = (progress.DONE, progress.RUNNING, progress.FAILED, progress.LEFT)
    print(
        f"Plan: {len(steps)} steps in {len(plan)} networks: "
        + ", ".join(f"{counts[state]} {state}" for state in states)
    )
    if counts[progress.RUNNING] or counts[progress.LEFT]:
        print(_time_left(plan, runs_folder))
    return 0


def _state(steps: Sequence[Step]) -> str:
    """The state of one network's steps, in words."""
    if all(step.state == progress.DONE for step in steps):
        return "done"
    if all(step.state == progress.LEFT for step in steps):
        return "to do"
    words = [
        f"{step.name} {step.state}" + (f" ({step.detail})" if step.detail else "")
        for step in steps
        if step.state in (progress.RUNNING, progress.FAILED)
    ]
    left = sum(step.state == progress.LEFT for step in steps)
    if left:
        words.append(f"{left} of {len(steps)} steps to do")
    return ", ".join(words)


def _time_left(plan: Sequence[Job], runs_folder: Runs) -> str:
    """One sentence on how long the rest will take."""
    pace = progress.Pace(runs_folder)
    todo = jobs.unfinished(plan, runs_folder)
    workers = executors.local_slots(_WORKERS.value, len(todo))
    seconds = progress.time_left(todo, runs_folder, workers, pace)
    if seconds is None:
        return "Time left: unknown until the first step of its kind is done"
    return (
        f"Time left: about {progress.in_words(seconds)} with {workers} at a time "
        f"(from {pace.n_measured} measured steps)"
    )


def _report() -> int:
    figures, sources = _plan()
    runs_folder = Runs(Path(_RUNS_DIR.value))
    _check_places(figures, runs_folder)
    with runs_folder.reporting():
        return 1 if _finish(figures, sources, runs_folder, time.monotonic()) else 0


def _lesion(words: Sequence[str]) -> int:
    """Studies one classifier of the user's; see `lesion_run`."""
    request, seconds = _lesion_request(words)
    began = time.monotonic()
    # Messages of TensorFlow and TFDS are not meant for the user of a study.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.ERROR)
    from repro.study import command as lesion_run  # imports Keras

    try:
        if _LIST.value:
            print(_plain(lesion_run.listing(lesion_run.Request(**request))))
            return 0
        made = lesion_run.run(
            lesion_run.Request(**request, seconds=seconds),
            lambda words: print(words, flush=True),
            lambda total: _bar(total, "Lesioning"),
        )
    except lesion_run.LesionError as error:
        print(f"repro: {error}", file=sys.stderr)
        return 1
    print()
    for sentence in made.findings:
        print(_plain(sentence))
    print(f"\nReport:      {_shown(made.report)}")
    print(f"Model:       {_shown(made.model)} (with masks)")
    _print_tensorboard(made.tensorboard, made.networks)
    print(f"({time.monotonic() - began:.0f} s)")
    return 0


def _lesion_request(words: Sequence[str]) -> tuple[dict[str, Any], float | None]:
    """The flags of `lesion` as a `command.Request`, and the seconds that the study may take.

    Raises:
        Usage: flags that contradict each other, or invalid values.
    """
    if words[1:]:
        raise Usage(f"unexpected argument {words[1]!r}; flags begin with --")
    model = words[0] if words else _MODEL.value
    if bool(model) == bool(_MODEL_FN.value):
        raise Usage("lesion needs one model: MODEL.keras, or --model-fn=package.module:build")
    if bool(_WEIGHTS.value) != bool(_MODEL_FN.value):
        raise Usage("--model-fn and --weights go together: your function, and its weights")
    if not _DATA.value and not _LIST.value:
        raise Usage(
            "lesion needs images: --data=npz:file.npz, tfds:name or dir:folder-of-class-folders"
        )
    _check_pixels()
    try:
        seconds = None if _FULL.value else progress.seconds_of(_BUDGET.value)
    except ValueError as error:
        raise Usage(f"--budget: {error}") from error
    request = {
        "model": model,
        "model_fn": _MODEL_FN.value,
        "weights": _WEIGHTS.value,
        "data": _DATA.value,
        "scale": _SCALE.value,
        "resize": _RESIZE.value,
        "classes": _CLASSES.value,
        "layers": tuple(_LAYERS.value),
        "out": Path(_OUT.value),
        "split": _SPLIT.value or "",
        "seed": _SEED.value,
        "data_dir": _DATA_DIR.value,
        "offline": _OFFLINE.value,
        "command": shlex.join(["python", "-m", "repro", "lesion", *sys.argv[1:]]),
    }
    return request, seconds


def _check_pixels() -> None:
    """Checks the values of the flags about pixels."""
    if not labelled.is_scale(_SCALE.value):
        choices = ", ".join(labelled.SCALES)
        raise Usage(
            f"--scale must be one of {choices}, or a number to divide by; got {_SCALE.value!r}"
        )
    if _RESIZE.value not in RESIZES:
        raise Usage(f"--resize must be one of {', '.join(RESIZES)}, got {_RESIZE.value!r}")


def _plan() -> tuple[list[FigureConfig], dict[str, DataSource]]:
    """The figures to make, and where their images are."""
    paths = configs.find_figures(_configs_directory(), _ONLY.value)
    if _MODEL.value or _DATA.value:
        return _plan_of_own(paths)
    figures = [configs.load_figure(path, _PROFILE.value, _SET.value) for path in paths]
    sources: dict[str, DataSource] = {}
    return [_located(figure, sources) for figure in figures], sources


def _plan_of_own(paths: Sequence[Path]) -> tuple[list[FigureConfig], dict[str, DataSource]]:
    """The figures of the user's own trained network, and where its images are."""
    from repro.experiments import own

    if not (_MODEL.value and _DATA.value):
        raise Usage("--model and --data go together: your trained network, and images for it")
    fitting = [path for path in paths if configs.takes_own_network(path)]
    if not fitting or (_ONLY.value and len(fitting) < len(paths)):
        every = configs.find_figures(_configs_directory())
        names = (path.stem.split("_")[0] for path in every if configs.takes_own_network(path))
        raise Usage(f"--model is for figures that need no training: {', '.join(names)}")
    _check_pixels()
    model = Path(_MODEL.value).expanduser()
    network = own.given(model, _DATA.value, _SCALE.value, _RESIZE.value)
    figures = [
        dataclasses.replace(configs.load_figure(path, OWN, _SET.value), train=network)
        for path in fitting
    ]
    return figures, {OWN: DataSource(_DATA.value, OWN, _DATA_DIR.value)}


def _located(figure: FigureConfig, sources: dict[str, DataSource]) -> FigureConfig:
    """The figure with the origin of its data set, with a stand-in, or with the reason why it is not
    run.

    Args:
        sources: sources of the data sets found so far, by name; the figure's source is added.
    """
    own = figure.train.dataset
    # A data set with a stand-in is not downloaded.
    offline = _OFFLINE.value or bool(figure.stand_in)
    try:
        source = sources.get(own) or locate(own, _DATA_DIR.value, offline)
    except MissingDataError:
        if not figure.stand_in:
            remedy = f"tfds build {own}, then --data_dir"
            return dataclasses.replace(figure, not_run=f"{own} is not prepared ({remedy})")
        source = locate(figure.stand_in, _DATA_DIR.value, _OFFLINE.value)
        figure = dataclasses.replace(figure, instead_of=own)
    sources[source.name] = source
    train = dataclasses.replace(figure.train, dataset=source.name, origin=source.origin)
    return dataclasses.replace(figure, train=train)


def _configs_directory() -> Path:
    if _CONFIGS_DIR.value:
        return Path(_CONFIGS_DIR.value)
    package = Path(str(importlib.resources.files("repro")))
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def _work(todo: Sequence[Job], runs_folder: Runs, sources: dict[str, DataSource]) -> dict[Job, str]:
    """Trains and lesions what is missing, under one progress bar; see `executors.run`."""
    together = _together()
    executor = executors.connect(
        _EXECUTOR.value,
        len(todo),
        runs_folder,
        _WORKERS.value,
        address=_RAY_ADDRESS.value,
        gpus=_GPUS_PER_JOB.value,
        cpus=_CPUS_PER_JOB.value,
    )
    totals = {job: sum(jobs.amounts(job).values()) for job in todo}
    # Long jobs come first, so that none runs alone at the end.
    todo = sorted(todo, key=lambda job: totals[job], reverse=True)
    shown = dict.fromkeys(todo, 0.0)
    with _bar(sum(totals.values())) as bar:

        def on_progress(job: Job, done: float) -> None:
            # A job that is tried again starts behind the progress already shown.
            done = min(max(done, shown[job]), totals[job])
            bar.update(done - shown[job])
            shown[job] = done

        def on_finished(job: Job) -> None:
            on_progress(job, totals[job])
            failed = [failure.step for failure in jobs.failures([job], runs_folder)]
            state = f"FAILED: {', '.join(failed)}" if failed else "done"
            bar.write(
                f"  {job.train.run_id} (label corruption {job.train.label_corruption:g}): {state}"
            )

        return executors.run(
            todo,
            runs_folder,
            sources,
            executor,
            _CHECKPOINT_SECONDS.value,
            on_progress,
            on_finished,
            bar.write,
            together,
        )


def _together() -> int:
    """How many networks to train in one program."""
    jax = os.environ.get("KERAS_BACKEND") == "jax"
    if _TOGETHER.value > 1 and not jax:
        raise Usage("--together needs JAX: set KERAS_BACKEND=jax")
    on_gpu = _GPUS_PER_JOB.value > 0 if _EXECUTOR.value == "ray" else executors.has_gpu()
    return _TOGETHER.value or (_MOST_TOGETHER if jax and on_gpu else 1)


@contextmanager
def _bar(total: float, words: str = "Training and lesioning") -> Iterator[tqdm]:
    terminal = sys.stderr.isatty()
    with tqdm(
        total=total,
        desc=words,
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
    """Writes summaries, figures and report from finished results, and prints where they are.

    Returns:
        Whether results are missing.
    """
    # Imported only for drawing: matplotlib takes a second to import.
    from repro.paper import report

    found = [
        collect.collect(figure, runs_folder, _data_words(figure, sources), _command(figure))
        for figure in figures
    ]
    missing = 0
    for figure in found:
        missing += (n := collect.n_missing(figure))
        if n:
            total = len(figure.config.networks())
            print(f"{figure.config.name}: {n} of {total} networks not done, left out")
        for network in figure.networks:
            _summarize(figure, network, runs_folder)
    if not any(figure.networks or figure.config.not_run for figure in found):
        return True
    seconds = {
        figure.config.name: collect.seconds(figure, runs_folder)
        for figure in found
        if figure.networks
    }
    files = runs.Beside(runs_folder.report)
    verdicts = report.write(found, runs_folder.report, seconds, files.write)
    print()
    print(report.console(found, verdicts))
    print(f"\nReport:      {_shown(runs_folder.report / 'index.html')}")
    networks = runs_folder.root / "networks"
    print(f"Networks:    {_shown(networks)} (.keras models, results)")
    _print_tensorboard(runs_folder.tensorboard, networks)
    print(f"({time.monotonic() - began:.0f} s)")
    return missing > 0


def _print_tensorboard(logdir: Path, networks: Path) -> None:
    """The command that shows results and opens the lesion lab on the networks."""
    tensorboard = Path(sys.executable).with_name("tensorboard")
    print(
        f"TensorBoard: {shlex.quote(_shown(tensorboard))} "
        f"--logdir {shlex.quote(_shown(logdir))} "
        f"--single_directions_models {shlex.quote(_shown(networks))}"
    )


def _data_words(figure: FigureConfig, sources: dict[str, DataSource]) -> str:
    """Words for the images of a figure."""
    if figure.not_run:
        return "none"
    words = sources[figure.train.dataset].describe()
    if figure.instead_of:
        words += f", in place of {figure.instead_of}, which is not at hand"
    return words


def _command(figure: FigureConfig) -> str:
    words = ["./run_all.sh", f"--only={figure.name}"]
    if figure.profile == OWN:
        words += [f"--model={_MODEL.value}", f"--data={_DATA.value}"]
        words += [f"--scale={_SCALE.value}"] * (_SCALE.value != "auto")
        words += [f"--resize={_RESIZE.value}"] * (_RESIZE.value != "stretch")
    else:
        words += [f"--profile={figure.profile}"]
    if _CONFIGS_DIR.value:
        words += [f"--configs_dir={_CONFIGS_DIR.value}"]
    words += [f"--set={text}" for text in _SET.value]
    return shlex.join(words)


def _check_places(figures: Sequence[FigureConfig], runs_folder: Runs) -> None:
    """Checks before hours of work that report and summaries can be written.

    Raises:
        RunsError: a file or folder of the user's is in the way.
    """
    if runs_folder.report.exists():
        from repro.paper import report

        names = (name for figure in figures for name in report.file_names(figure.name))
        runs.Beside(runs_folder.report, names)
    for figure in figures:
        for network in () if figure.not_run else figure.networks():
            directory, source = _summary_place(figure, network, runs_folder)
            if not _shows(directory, source):
                runs.check_replaceable(directory)


def _summary_place(
    figure: FigureConfig, network: TrainConfig, runs_folder: Runs
) -> tuple[Path, str]:
    """The folder of a network's TensorBoard run, and the content of its source.txt."""
    label = summaries.network_label(figure, network)
    sweeps = [sweep.sweep_id for _, sweep in figure.lesions(network)]
    source = " ".join([network.run_id, *sweeps]) + "\n"
    return runs_folder.tensorboard / figure.profile / figure.name / label, source


def _shows(directory: Path, source: str) -> bool:
    marker = directory / "source.txt"
    return marker.is_file() and marker.read_bytes() == source.encode()


def _summarize(figure: FigureResult, network: NetworkResult, runs_folder: Runs) -> None:
    """Writes a network's TensorBoard run unless the folder already shows these results."""
    directory, source = _summary_place(figure.config, network.config, runs_folder)
    if _shows(directory, source):
        return

    def fill(temporary: Path) -> None:
        summaries.write(figure, network, temporary)
        (temporary / "source.txt").write_text(source)

    runs.replace_directory(directory, fill)


def _plain(words: str) -> str:
    """The text in ASCII, for any terminal."""
    for sign, instead in (("±", "+-"), ("ρ", "rho"), ("■", "x"), ("□", ".")):
        words = words.replace(sign, instead)
    return words.encode("ascii", "replace").decode()


def _shown(path: Path) -> str:
    """A path in its shortest form from the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


if __name__ == "__main__":
    main()
