"""`python -m repro run`, `status` and `report`: makes the figures of the paper, tells how far they
are, and reports on them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from repro.core.results import FigureResult, NetworkResult
from repro.core.settings import FigureConfig, TrainConfig
from repro.data.source import DataSource
from repro.display.terminal import bar, print_tensorboard, shown
from repro.experiments import collect, local, progress, runs, schedule
from repro.experiments import plan as plans
from repro.experiments.plan import Job
from repro.experiments.progress import Step
from repro.experiments.runs import TRAINING, Runs
from repro.paper import summaries
from repro.paper.finding import counted
from repro.paper.request import FiguresRequest, ReportRequest, RunRequest, StatusRequest

if TYPE_CHECKING:
    from repro.paper.kept import FigureReport


def run(request: RunRequest) -> int:
    """Trains what is missing, lesions it, and reports; returns the status to exit with."""
    began = time.monotonic()
    figures, sources = request.figures()
    runs_folder = Runs(Path(request.runs_dir))
    _check_places(request, figures, sources, runs_folder)
    for source in sources.values():
        print(f"Data: {source.describe()}")
    plan = plans.plan(figures)
    if request.retry_failed:
        plans.forget_failures(plan, runs_folder)
    todo = plans.unfinished(plan, runs_folder)
    failed_before = plans.failures(plan, runs_folder)
    n_failed = len({failure.job for failure in failed_before} - set(todo))
    print(
        f"Plan: {counted(len(figures), 'figure')}, {counted(len(plan), 'network')} "
        f"({len(plan) - len(todo) - n_failed} done, {len(todo)} to do"
        f"{f', {n_failed} failed before' if n_failed else ''}), "
        + ("a network of your own" if request.model else f"profile {request.profile}")
    )
    stops = {n.stop_at_train_accuracy for f in figures for n in f.networks()} - {0.0}
    if stops:
        print(
            f"Trainings stop at a training accuracy of {max(stops):g}, which the paper's do "
            "not; --profile=desk or paper trains in full"
        )
    errors = _work(request, todo, runs_folder, sources) if todo else {}
    with runs_folder.reporting():
        incomplete = _finish(request, figures, sources, runs_folder, began)
    failures = plans.failures(plan, runs_folder)
    for failure in failures:
        print(f"Failed: {failure}")
    for job, error in errors.items():
        print(f"Failed: {job.train.run_id}: {error}")
    if failures:
        print("What failed is left alone from now on; --retry-failed tries it again.")
    return 1 if failures or errors or incomplete else 0


def status(request: StatusRequest) -> int:
    """Tells what is done, running, failed and left; returns the status to exit with."""
    figures, _ = request.figures()
    runs_folder = Runs(Path(request.runs_dir))
    plan = plans.plan(figures)
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
    failures = plans.failures(plan, runs_folder)
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
        print(_time_left(plan, runs_folder, request.workers))
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


def _time_left(plan: Sequence[Job], runs_folder: Runs, workers: int) -> str:
    """One sentence on how long the rest will take."""
    pace = progress.Pace(runs_folder)
    todo = plans.unfinished(plan, runs_folder)
    workers = local.local_slots(workers, len(todo))
    seconds = progress.time_left(todo, runs_folder, workers, pace)
    if seconds is None:
        return "Time left: unknown until the first step of its kind is done"
    return (
        f"Time left: about {progress.in_words(seconds)} with {workers} at a time "
        f"(from {pace.n_measured} measured steps)"
    )


def report(request: ReportRequest) -> int:
    """Reports on the results that exist; returns the status to exit with."""
    figures, sources = request.figures()
    runs_folder = Runs(Path(request.runs_dir))
    _check_places(request, figures, sources, runs_folder)
    with runs_folder.reporting():
        return 1 if _finish(request, figures, sources, runs_folder, time.monotonic()) else 0


def _work(
    request: RunRequest, todo: Sequence[Job], runs_folder: Runs, sources: dict[str, DataSource]
) -> dict[Job, str]:
    """Trains and lesions what is missing, under one progress bar; see `Schedule`."""
    together = request.n_together()
    executor = schedule.connect(
        request.executor,
        len(todo),
        runs_folder,
        request.workers,
        address=request.ray_address,
        gpus=request.gpus_per_job,
        cpus=request.cpus_per_job,
    )
    totals = {job: sum(plans.amounts(job).values()) for job in todo}
    # Long jobs come first, so that none runs alone at the end.
    todo = sorted(todo, key=lambda job: totals[job], reverse=True)
    shown = dict.fromkeys(todo, 0.0)
    with bar(sum(totals.values())) as one_bar:

        def on_progress(job: Job, done: float) -> None:
            # A job that is tried again starts behind the progress already shown.
            done = min(max(done, shown[job]), totals[job])
            one_bar.update(done - shown[job])
            shown[job] = done

        def on_finished(job: Job) -> None:
            on_progress(job, totals[job])
            failed = [failure.step for failure in plans.failures([job], runs_folder)]
            state = f"FAILED: {', '.join(failed)}" if failed else "done"
            one_bar.write(
                f"  {job.train.run_id} (label corruption {job.train.label_corruption:g}): {state}"
            )

        return schedule.Schedule(
            todo,
            runs_folder,
            sources,
            executor,
            request.checkpoint_seconds,
            on_progress,
            on_finished,
            one_bar.write,
            together,
            asked=request.together > 1,
        ).run()


def _finish(
    request: FiguresRequest,
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
    from repro.paper import report as reports

    found = [_figure_report(request, figure, sources, runs_folder) for figure in figures]
    missing = 0
    for one in found:
        if not one.config.not_run and (n := len(one.config.networks()) - one.n_networks):
            missing += n
            total = len(one.config.networks())
            print(f"{one.config.name}: {n} of {total} networks not done, left out")
    if not any(one.n_networks or one.config.not_run for one in found):
        return True
    reports.write(found, runs_folder.report, runs.Beside(runs_folder.report).write)
    print()
    print(reports.console(found))
    print(f"\nReport:      {shown(runs_folder.report / 'index.html')}")
    networks = runs_folder.root / "networks"
    print(f"Networks:    {shown(networks)} (.keras models, results)")
    print_tensorboard(runs_folder.tensorboard, networks)
    print(f"({time.monotonic() - began:.0f} s)")
    return missing > 0


def _figure_report(
    request: FiguresRequest,
    figure: FigureConfig,
    sources: dict[str, DataSource],
    runs_folder: Runs,
) -> FigureReport:
    """What the report says of a figure: as it was kept, or made anew where anything that it is made
    from has changed. Writes the TensorBoard runs that are not there."""
    from repro.paper import kept
    from repro.paper.figure_report import figure_report

    words, command = _data_words(figure, sources), request.command_of(figure)
    store = kept.Kept(runs_folder.figures)
    name = _kept_name(request, figure, sources, runs_folder)
    one = store.find(figure, name)
    if one is not None and not _lacks_summaries(figure, runs_folder):
        return one
    found = collect.collect(figure, runs_folder, words, command)
    for network in found.networks:
        _summarize(found, network, runs_folder)
    if one is None:
        seconds = collect.seconds(found, runs_folder) if found.networks else None
        one = figure_report(found, seconds)
        store.keep(one, name)
    return one


def _kept_name(
    request: FiguresRequest,
    figure: FigureConfig,
    sources: dict[str, DataSource],
    runs_folder: Runs,
) -> str:
    """The name under which a figure is kept, as its results are now."""
    from repro.paper import kept

    results = collect.digest(figure, runs_folder)
    words, command = _data_words(figure, sources), request.command_of(figure)
    return kept.name_of(figure, results, words, command, kept.code_digest())


def _kept_files(
    request: FiguresRequest,
    figures: Sequence[FigureConfig],
    sources: dict[str, DataSource],
    runs_folder: Runs,
) -> dict[str, bytes]:
    """The files of the figures that are kept, by name."""
    from repro.paper import kept

    store = kept.Kept(runs_folder.figures)
    names = (_kept_name(request, figure, sources, runs_folder) for figure in figures)
    found = (store.find(figure, name) for figure, name in zip(figures, names, strict=True))
    return {name: content for one in found if one for name, content in one.files.items()}


def _lacks_summaries(figure: FigureConfig, runs_folder: Runs) -> bool:
    """Whether the TensorBoard run of a network that is done is missing or shows other sweeps."""
    for network in () if figure.not_run else figure.networks():
        sweeps = tuple(sweep for _, sweep in figure.lesions(network))
        folder = runs_folder.network(network)
        if folder.trained and not folder.missing(sweeps):
            if not _shows(*_summary_place(figure, network, runs_folder)):
                return True
    return False


def _data_words(figure: FigureConfig, sources: dict[str, DataSource]) -> str:
    """Words for the images of a figure."""
    if figure.not_run:
        return "none"
    words = sources[figure.train.dataset].describe()
    if figure.instead_of:
        words += f", in place of {figure.instead_of}, which is not at hand"
    return words


def _check_places(
    request: FiguresRequest,
    figures: Sequence[FigureConfig],
    sources: dict[str, DataSource],
    runs_folder: Runs,
) -> None:
    """Checks before hours of work that report and summaries can be written.

    Raises:
        RunsError: a file or folder of the user's is in the way.
    """
    if runs_folder.report.exists():
        from repro.paper import report as reports

        names = (name for figure in figures for name in reports.file_names(figure.name))
        runs.Beside(
            runs_folder.report,
            names,
            lambda: _kept_files(request, figures, sources, runs_folder),
        )
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
    source = " ".join([network.run_id, *sweeps, f"version-{summaries.VERSION}"]) + "\n"
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
