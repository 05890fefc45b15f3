"""`python -m repro lesion`: from a file of a model to a folder of results.

<out>/report/                     index.html, pictures, CSV
<out>/tb/<model>/                 TensorBoard events
<out>/networks/<model>/           model.keras, masked, and images for the lesion lab
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from repro.data import labelled
from repro.data.labelled import Labelled
from repro.data.source import DataError
from repro.engine import scale_trial
from repro.engine.engine import Engine
from repro.experiments import progress, runs
from repro.experiments.runs import Runs, RunsError
from repro.models import insertion, loading, scaling
from repro.models.heads import Compiled
from repro.study import budget, files, sentences, study
from repro.study.progress import Bar, Progress
from repro.study.request import LesionRequest
from repro.study.settings import StudySettings, Subject
from repro.study.study import Study

# Images that are read before the plan says how many there is time for.
_PILOT_IMAGES = 256
# Largest share of the time for the measurement that the plan is made by.
_MEASURED = 0.25
# Most seconds of that measurement where the time has no limit.
_MEASURED_SECONDS = 120.0
# Share of the time after the measurement that is kept for pictures and files.
_KEPT = 0.05
_REPORT, _TENSORBOARD, _NETWORKS = "report", "tb", "networks"


class LesionError(ValueError):
    """A study that cannot be made; the message says why."""


@dataclass(frozen=True)
class Results:
    """Where the results lie, and what was found, in sentences.

    model: with masks. networks: the folder to open the lesion lab on.
    """

    findings: tuple[str, ...]
    report: Path
    model: Path
    tensorboard: Path
    networks: Path


def run(
    request: LesionRequest,
    say: Callable[[str], None],
    bar: Callable[[float], AbstractContextManager[Bar]],
) -> Results:
    """Loads, measures, plans, lesions, reports.

    Args:
        say: is told what is about to happen, a sentence at a time.
        bar: makes a progress bar of so many (image, lesion) pairs.

    Raises:
        LesionError: the model or the images cannot be used. DataError: nor found.
        RunsError: the results cannot be written, or would replace what no study wrote.
    """
    ends = None if request.limit is None else time.monotonic() + request.limit
    # First, so that a folder that cannot be written is known before the work.
    out = Runs(request.out).root
    model = _loaded(request)
    try:
        masked, hidden = study.prepare(model, request.layers or None)
    except ValueError as error:
        raise LesionError(str(error)) from error
    name = _name(request, masked)
    for folder in (_NETWORKS, _TENSORBOARD):
        runs.check_replaceable(out / folder / name)
    files.check(out / _REPORT)
    n_masked = sum(row.masked for row in hidden)
    say(f"Model: {masked.name}, {n_masked} layers masked, {len(hidden) - n_masked} not")
    found, kind = _found(request, model, masked)
    rng = np.random.default_rng(request.seed)
    order = labelled.stratified_order(found.labels, rng)
    given = request.scale != "auto"
    found, of_scaling = scale_trial.tried(
        masked, kind, found, order, given=given, from_logits=request.from_logits
    )
    say(f"Data: {found.words}; {len(found):,} images")
    if of_scaling:
        say(of_scaling)
    try:
        made = _studied(request, found, order, model, masked, hidden, ends, say, bar)
        if made.task.has_accuracy:
            say(
                f"Right on {100 * float(made.intact.accuracy):.3g} % of {made.sample.n_images:,} "
                "images, to be compared with model.evaluate"
            )
        return _written(request, made, out)
    except (DataError, RunsError):
        raise
    except (ValueError, RuntimeError) as error:
        # Python's own kinds and this project's have a sentence; others are faults.
        if type(error).__module__.split(".")[0] not in ("builtins", "repro"):
            raise
        raise LesionError(str(error)) from error


def listing(request: LesionRequest) -> str:
    """Every layer of the model, which are lesioned, and why the others are not; without a lesion.

    Raises:
        LesionError: the model cannot be used.
    """
    model = _loaded(request)
    try:
        return insertion.drawing(study.prepare(model, request.layers or None)[1])
    except ValueError as error:
        raise LesionError(str(error)) from error


def _loaded(request: LesionRequest) -> keras.Model:
    try:
        if request.model_fn:
            return loading.model_from_function(request.model_fn, request.weights)
        return loading.load_model(request.model)
    except (OSError, ValueError, RuntimeError) as error:
        raise LesionError(str(error)) from error


def _found(request: LesionRequest, given: keras.Model, model: keras.Model) -> tuple[Labelled, str]:
    """The images, and what the model itself does to pixels, see `models.scaling`.

    Args:
        given: as it was loaded. model: with masks.
    """
    names = labelled.read_names(Path(request.classes)) if request.classes else ()
    kind = scaling.of(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        raise LesionError(
            f"model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} "
            "outputs; the command asks classifiers with one of each, of (n_images, n_classes); in "
            "Python repro.lesion(model, data, labels, output=...) asks any"
        )
    answers = int(model.outputs[0].shape[-1])
    of_loss = Compiled.of(given).kind
    if of_loss == "regression" or (of_loss == "binary" and answers > 1):
        what = "an error of numbers" if of_loss == "regression" else "several yes-or-no answers"
        raise LesionError(
            f"model {model.name!r} was compiled for {what}, and the command asks for one class an "
            "image; in Python repro.lesion(path, data, labels) finds that task, and task= names it"
        )
    found = labelled.find(
        request.data,
        tuple(model.inputs[0].shape[1:]),
        2 if answers == 1 else answers,
        scale=request.scale,
        scales_itself=kind == "scales",
        tokens=kind == "tokens",
        resize=request.resize,
        class_names=names,
        data_dir=request.data_dir,
        offline=request.offline,
    )
    return found, kind


def _studied(
    request: LesionRequest,
    found: Labelled,
    order: np.ndarray,
    given: keras.Model,
    model: keras.Model,
    hidden: Sequence[insertion.HiddenLayer],
    ends: float | None,
    say: Callable[[str], None],
    bar: Callable[[float], AbstractContextManager[Bar]],
) -> Study:
    """The study with everything computed that its report shows.

    Args:
        given: the user's own model. model: the same layers, with masks.
    """
    few = order[:_PILOT_IMAGES]
    images, labels = found.images(few), found.labels[few]
    progress_of = Progress()
    engine = Engine(
        model,
        images,
        labels,
        reference=given,
        from_logits=request.from_logits,
        on_progress=progress_of.advance,
    )
    say("Measuring a few lesions, to know how many there is time for")
    whole = math.inf if ends is None else max(0.0, ends - time.monotonic())
    pace = budget.measure(engine, images, labels, min(_MEASURED * whole, _MEASURED_SECONDS))
    n_units = engine.layout.n_units
    left = 0.0 if ends is None else max(0.0, ends - time.monotonic())
    if ends is None:
        plan = budget.everything(pace, len(found), n_units)
    else:
        n_layers = len(engine.layout.layers)
        plan = budget.within(pace, left, len(found), n_units, n_layers)
    say(_plan_words(plan, len(found), n_units))
    if ends is not None and plan.seconds > left:
        say(_longer_words(left, pace.compilation, len(engine.layout.layers)))
    chosen = order[: plan.n_images]
    used = engine.on(found.images(chosen), found.labels[chosen])
    subject = Subject(
        used,
        model,
        tuple(hidden),
        n_available=len(found),
        others=_others(engine, found, order[plan.n_images :], math.inf if ends is None else left),
    )
    settings = StudySettings(
        n_units=plan.n_units,
        class_names=tuple(found.class_names),
        data=found.words,
        split=request.split or found.split,
        seed=request.seed,
        deadline=math.inf if ends is None else ends - plan.last_seconds - _KEPT * left,
    )
    made = Study(subject, settings, progress_of)
    pairs = plan.curve_images * plan.orders * plan.points
    pairs += plan.n_images * (
        plan.n_units + budget.n_tested(plan.n_units, plan.n_images) + budget.LESIONS_BESIDES
    )
    with bar(pairs) as shown, progress_of.shown_by(shown, pairs):
        made.units  # noqa: B018  computed here, under the bar
        made.curve(plan.orders, plan.points, plan.curve_images)
        made.redundant_together  # noqa: B018
        made.errors  # noqa: B018
        made.tested  # noqa: B018
        made.whole  # noqa: B018
    return made


def _others(
    engine: Engine, found: Labelled, rows: np.ndarray, seconds: float
) -> Callable[[], Iterable[Engine]]:
    """Gives the engine on images that no unit is lesioned on, in pieces, while there is time."""

    def pieces() -> Iterable[Engine]:
        ends = time.monotonic() + _KEPT * seconds
        for start in range(0, len(rows), _PILOT_IMAGES):
            if time.monotonic() > ends:
                return
            piece = np.sort(rows[start : start + _PILOT_IMAGES])
            yield engine.on(found.images(piece), found.labels[piece])

    return pieces


def _plan_words(plan: budget.Plan, n_images: int, n_units: int) -> str:
    def share(part: int, whole: int, what: str) -> str:
        return f"all {whole:,} {what}" if part == whole else f"{part:,} of {whole:,} {what}"

    words = f"{share(plan.n_images, n_images, 'images')}, {share(plan.n_units, n_units, 'units')}"
    curve = f"{plan.orders} orders at {plan.points} points"
    if plan.curve_images < plan.n_images:
        curve += f" on {plan.curve_images:,} images"
    takes = progress.in_words(plan.seconds)
    takes = takes if takes.startswith("less") else f"about {takes}"
    return f"Plan: {words}, a curve of {curve}: {takes}"


def _longer_words(left: float, compilation: float, n_layers: int) -> str:
    """What to say of a plan that is longer than the time.

    >>> _longer_words(120, 300, 49)[:80]
    'That is longer than the 2 min left, with as few images and units as make sense; '
    """
    return (
        f"That is longer than the {progress.in_words(left)} left, with as few images and units as "
        f"make sense; {progress.in_words(compilation)} of it is to compile the network for each of "
        f"{n_layers} layers, which --layers makes fewer"
    )


def _written(request: LesionRequest, made: Study, out: Path) -> Results:
    name = _name(request, made.model)
    model = made.save(out / _NETWORKS / name)
    made.to_tensorboard(out / _TENSORBOARD, run=name)
    page = made.report(out / _REPORT, request.typed)
    found = (
        sentences.first_line(made),
        sentences.warning(made),
        *sentences.findings(made, made.curves[-1]),
    )
    return Results(tuple(filter(None, found)), page, model, out / _TENSORBOARD, out / _NETWORKS)


def _name(request: LesionRequest, model: keras.Model) -> str:
    return run_name(model.name if request.model_fn else Path(request.model).stem)


def run_name(text: str) -> str:
    """A name for folders, of letters, digits, dots, dashes and underscores.

    >>> run_name("my model (2)"), run_name("..")
    ('my_model_2', 'model')
    """
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "model"
