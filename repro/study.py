"""A study of one classifier: which units matter, which are dead or redundant, and how much the
network leans on single directions.

    study = repro.lesion(model, images, labels)
    study.units                       # a table, one row a unit
    study.curve(orders=10)            # cumulative ablation
    study.report("out"), study.to_tensorboard("logs")

Each answer is computed when it is first asked for, and kept. The model is never changed.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from scipy import stats

from repro import (
    budget,
    labelled,
    metrics,
    runs,
    study_curve,
    study_sample,
    study_show,
    study_words,
    sweep,
)
from repro.ablation import Engine, Layout, Outcome
from repro.config import CumulativeConfig
from repro.engine.tasks import Task
from repro.insertion import (
    HiddenLayer,
    chosen_masks,
    held_lesion,
    hidden_layers,
    insert_masks,
)
from repro.masking import AblationMask
from repro.models.accepted import accepted
from repro.models.outputs import with_output
from repro.results import AblationCurve
from repro.statistics import UnitStatistics
from repro.study_model import Frozen, from_bytes
from repro.study_progress import Progress
from repro.study_sample import Tested
from repro.study_words import Words
from tb_plugin import summary

if TYPE_CHECKING:
    import pandas

    from repro.study_figures import Plots

UNIT_COLUMNS = (
    ("unit", np.int64),
    ("class_selectivity", np.float64),
    ("mutual_information", np.float64),
    ("mutual_information_bias", np.float64),
    ("importance", np.float64),
    ("accuracy_drop", np.float64),
    ("largest_class_drop", np.float64),
    ("mean_activation", np.float64),
    ("sparsity", np.float64),
    ("dead", np.bool_),
    ("redundant", np.bool_),
)
"""Columns of `Study.units` after the first, which is the layer's name."""

CHECKED_IMAGES = 16
# Pieces in which units are lesioned, so that a deadline is heeded between them.
_PIECES = 20
# Of a mean loss, relative: what the order of summation explains.
_ROUNDING = 1e-6
# Random sets of other units, beside the redundant ones, that are removed together.
CONTROLS = 5
_IMAGES_PER_PIECE = 5_000  # of those that no unit is lesioned on
_CLASS_COLUMNS = 100  # of whose profiles the tab's table can be wide
_SAVED_BYTES = 64_000_000  # of images beside a saved model, for the lesion lab
_SAVED_IMAGES = 2000


@dataclass(frozen=True)
class Sample:
    """On how many images a study stands, and what that does to its numbers.

    n_images: that were used; n_available: that there were.
    """

    n_images: int
    n_available: int

    # 2 / 2^6 = 0.03 < 0.05 < 2 / 2^5: with fewer, a two-sided sign test cannot tell.
    CHANGED = 6

    def standard_error(self, accuracy: float) -> float:
        """Of an accuracy: sqrt(p (1 - p) / n).

        >>> Sample(400, 10_000).standard_error(0.8)
        0.02
        """
        return math.sqrt(accuracy * (1 - accuracy) / self.n_images)

    def interval(self, n_correct: int) -> tuple[float, float]:
        """Wilson's 95 % interval of an accuracy, which holds near 1 and 0 too."""
        found = stats.binomtest(n_correct, self.n_images).proportion_ci(method="wilson")
        return float(found.low), float(found.high)

    @property
    def smallest_step(self) -> float:
        """The smallest change of accuracy that there can be: one image."""
        return 1 / self.n_images

    @property
    def smallest_visible(self) -> float:
        """The smallest drop of accuracy that is told from chance (sign test, two-sided, 5 %), where
        every image that changes changes for the worse: `CHANGED` images."""
        return self.CHANGED / self.n_images


@dataclass(frozen=True)
class Errors:
    """Standard errors of what the lesion of one unit costs, over images.

    unit: its row in `Study.units`. importance: in nats; accuracy_drop, largest_class_drop:
        fractions, the latter of the class that loses most, as if it had been known beforehand.
    """

    unit: int
    importance: float
    accuracy_drop: float
    largest_class_drop: float


@dataclass(frozen=True)
class Together:
    """Units removed all at once, beside as many others.

    n_units: how many. outcome: of the lesion. controls: `CONTROLS` lesions, each of as many units
        drawn from those that are neither dead nor among them; None where there are too few.
    """

    n_units: int
    outcome: Outcome
    controls: Outcome | None


def lesion(
    model: keras.Model | str | Path,
    images: Any,
    labels: Any = None,
    *,
    task: str | None = None,
    output: str | int | None = None,
    score: Callable[[Any, Any], Any] | None = None,
    higher_is_better: bool = True,
    from_logits: bool | None = None,
    layers: Sequence[str] | None = None,
    n_images: int = 0,
    n_units: int = 0,
    class_names: Sequence[str] = (),
    data: str = "",
    split: str = "test",
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda pairs: None,
    progress: bool | None = None,
) -> Study:
    """Studies a network by lesioning its units, one at a time and many together.

    Before anything is measured, the network that is lesioned is compared with the user's own model
    on some of the images: the answers, and the loss.

    Args:
        model: functional or Sequential, with any number of inputs; or the path of a `.keras` file.
            Masks are put after its hidden layers, see `repro.insert_masks`; a model that has masks
            keeps those, unless layers are named.
        images: what `model.predict` takes, or a `tf.data.Dataset`, `PyDataset`, (x, y), ... that
            brings labels too, see `repro.data.given`; read once.
        labels: as `model.evaluate` takes them. Without any, a lesion is measured by what it changes
            of the intact network's answers.
        task: one of `repro.engine.tasks.TASKS`: "classes", "binary", "labels" (several yes-or-no
            answers), "regression", "absolute_error", "agreement"; None to find it.
        output: the name or number of the output to study, of a model with several.
        score: (outputs, targets) -> (n_images,) in `keras.ops`, in place of a loss: it is averaged
            over images. higher_is_better: of the score.
        from_logits: whether a cross-entropy takes the model's answers for logits; None to find
            out, by the loss that the model was compiled with and by looking at answers.
        layers: which hidden layers, by name or pattern; None for all. In a model that has masks,
            they choose among those first; the others are taken out of the study.
        n_images: how many images to use, a sample stratified by class; 0 for all.
        n_units: how many units to lesion alone, drawn at random, the same share of each layer; 0
            for all. The others' importance is then NaN.
        class_names: of the classes in order. data: what the images are, in words, for the report.
        split: "test", or "train" for images that the model was trained on.
        seed: of the samples and of the curve's orders.
        on_progress: called with the number of (image, lesion) pairs just evaluated.
        progress: whether long steps show a bar, on stderr or in the notebook; None: where stderr
            is a terminal, or in a notebook.

    Raises:
        ValueError: a model that cannot be lesioned, or images and labels that do not fit it.
        FileNotFoundError: no such file.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    asked = accepted(model, "repro.lesion")
    masked, hidden = prepare(with_output(asked, output), layers)
    shown = Progress(progress, on_progress)
    whole = Engine(
        masked,
        images,
        labels,
        task=task,
        score=score,
        higher_is_better=higher_is_better,
        from_logits=from_logits,
        output=output,
        class_names=class_names,
        reference=model if isinstance(model, keras.Model) else asked,
        on_progress=shown.advance,
    )
    n_available = whole.n_images
    if not 0 <= n_images <= n_available:
        raise ValueError(
            f"n_images must be 0 (all) to {n_available}, the images given; got {n_images}"
        )
    engine, others = whole, None
    if n_images:
        order = labelled.stratified_order(strata(whole), np.random.default_rng(seed))
        engine, others = whole.on_some(order[:n_images]), _pieces(whole, order[n_images:])
    return Study(
        engine,
        masked,
        hidden,
        n_available=n_available,
        n_units=n_units,
        class_names=class_names,
        data=data,
        split=split,
        seed=seed,
        others=others,
        progress=shown,
    )


def strata(engine: Engine) -> np.ndarray:
    """int (n_images,), the class of each image, of which samples keep the shares; zeros where
    images have none."""
    columns = engine.task.columns(engine.labels)
    return np.zeros(engine.n_images, np.int32) if columns is None else columns


def _pieces(engine: Engine, rows: np.ndarray) -> Callable[[], Iterable[Engine]]:
    """Gives the engine on these images a piece at a time, so that few are copied at once."""

    def pieces() -> Iterable[Engine]:
        for start in range(0, len(rows), _IMAGES_PER_PIECE):
            yield engine.on_some(np.sort(rows[start : start + _IMAGES_PER_PIECE]))

    return pieces


def prepare(
    model: keras.Model | str | Path, layers: Sequence[str] | None = None
) -> tuple[keras.Model, tuple[HiddenLayer, ...]]:
    """The model with masks, and what became of each of its layers.

    Args and errors as for `lesion`.
    """
    model = accepted(model, "repro.lesion")
    held = held_lesion(model)
    if held:
        units = ", ".join(f"{n_units} units of {layer}" for layer, n_units in held.items())
        raise ValueError(
            f"model {model.name!r} holds a lesion ({units}); a study compares with the intact "
            "network: repro.restore(model) takes the lesion away"
        )
    if layers is None and any(isinstance(one, AblationMask) for one in model.layers):
        return model, tuple(hidden_layers(model, ()))
    if layers is not None:
        model, layers = chosen_masks(model, layers)
    rows = tuple(hidden_layers(model, layers))
    return insert_masks(model, layers), rows


class Study:
    """What lesions tell about one network; made by `repro.lesion`.

    Attributes:
        model: with masks. hidden_layers: of each layer whether it is masked, and why.
        layout: the masked layers and their numbers of units; rows of `units` run through them.
        sample: on how many images, and what that means.
        task: what the network was trained for, see `engine.tasks`.
        labels: int32 (n_images,), the class of each image; zeros where they have none.
        n_classes, class_names, data, split, seed: as given.
    """

    def __init__(
        self,
        engine: Engine,
        model: keras.Model,
        hidden: Sequence[HiddenLayer],
        *,
        n_available: int,
        n_units: int = 0,
        class_names: Sequence[str] = (),
        data: str = "",
        split: str = "test",
        seed: int = 0,
        deadline: float = math.inf,
        others: Callable[[], Iterable[Engine]] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """
        Args:
            engine: on these images. deadline: by `time.monotonic()`, after which no more units
                are lesioned alone, but for the first few. others: gives engines on the images that
                are there and not among these, in pieces; None where there are none or they cannot
                be had. progress: what the engine reports to; None for no bars. The rest: as for
                `lesion`.
        """
        if split not in ("train", "test"):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        self.model, self.hidden_layers = model, tuple(hidden)
        self.layout: Layout = engine.layout
        if not 0 <= n_units <= self.layout.n_units:
            raise ValueError(
                f"n_units must be 0 (all) to {self.layout.n_units}, the masked units; got {n_units}"
            )
        self.sample = Sample(engine.n_images, n_available)
        self.task: Task = engine.task
        self.own_loss: str = engine.own_loss
        self.labels, self.n_classes = strata(engine), engine.n_classes
        class_names = tuple(class_names) or engine.class_names
        if len(class_names) not in (0, self.n_classes):
            cure = f"give one for each of the model's {self.n_classes} classes, in its order"
            if not self.n_classes:
                cure = f"leave them out, since {self.task.kind} has no classes"
            raise ValueError(f"class_names has {len(class_names)} names; {cure}")
        self.class_names = tuple(map(str, class_names))
        self.data, self.split, self.seed = data, split, seed
        self._engine, self._deadline = engine, deadline
        self._n_units = n_units or self.layout.n_units
        self._others, self._progress = others, progress or Progress()
        self._frozen = Frozen(model)
        self._curves: dict[tuple[int, int, int], AblationCurve] = {}
        self._saved_as = ""  # its folder's name
        self._asked: dict[str, Any] = {}  # of a study that was copied: how to make its engine

    def __repr__(self) -> str:
        """The four numbers that matter, as far as they are known; nothing is computed."""
        return study_show.lines(self)

    def _repr_html_(self) -> str:
        """The same as a small table, for notebooks."""
        return study_show.table(self)

    def __getstate__(self) -> dict[str, Any]:
        """Everything that was computed, the images, and the model as bytes with the weights that it
        had when the study was made.

        Raises:
            TypeError: Keras cannot copy the model.
        """
        state = self.__dict__.copy()
        for name in ("model", "_engine", "_frozen", "_others", "_progress"):
            state.pop(name, None)
        state |= {"_deadline": math.inf, "_asked": self._engine.asked}
        return state | {"model": self._frozen.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.model = from_bytes(state["model"])
        self._others, self._progress = None, Progress()
        self._frozen = Frozen(self.model)

    @functools.cached_property
    def _engine(self) -> Engine:
        """Of a study that was copied or read from a pickle; another one is given its engine."""
        return Engine(self.model, **self._asked, on_progress=self._progress.advance)

    @property
    def images(self) -> Any:
        """The inputs that it stands on, (n_images, ...), or a tuple of such arrays."""
        return self._engine.inputs

    @property
    def words(self) -> Words:
        """What accuracy and loss are called in this study's task."""
        return study_words.of_task(self.task)

    @property
    def n_planned(self) -> int:
        """Units that were to be lesioned alone; fewer were where the time ran out."""
        return self._n_units

    # --- Answers ------------------------------------------------------------------------------

    @functools.cached_property
    def intact(self) -> Outcome:
        """The network without a lesion; checks first, against plain Keras on a few images, that
        lesions do what they say.

        Raises:
            RuntimeError: they do not.
        """
        few = labelled.stratified_order(self.labels, self._rng())[:CHECKED_IMAGES]
        try:
            self._on(few).check()
        except RuntimeError as error:
            raise RuntimeError(
                f"{error} (losses compared to 1 in 10,000). Activations of many thousands, as "
                "random weights and many gates give, make that much of rounding; repro.ablate and "
                "model.predict answer as the model does"
            ) from error
        return self._engine.intact()

    @functools.cached_property
    def whole(self) -> Outcome | None:
        """The network without a lesion on all images there are, or as many as there is time for,
        where only some were used for lesions: one more forward pass. None where all were used,
        where the others cannot be had, and where the pass would cost more than the lesions did."""
        lesions = self.sample.n_images * int(self.lesioned.sum())
        if self._others is None or self.sample.n_available > lesions:
            return None
        found = self.intact
        try:
            for part in self._others():
                found = found + part.intact()
        except ValueError:
            return None  # images or labels that do not fit, and that no lesion was asked on
        return found if found.n_images > self.sample.n_images else None

    @functools.cached_property
    def statistics(self) -> UnitStatistics:
        """What every unit does in the intact network."""
        return self._engine.statistics()

    @functools.cached_property
    def units(self) -> np.ndarray:
        """A structured array (n_units,), one row a unit, layers in the network's order.

        layer, unit: the layer's name, and the unit's number in it, from 0.
        class_selectivity: in [0, 1], over the classes that have images; 0 for a dead unit. NaN
            where a class mean is negative, as after GELU or tanh, and where the images are of one
            class only: the index is not defined there.
        mutual_information: bits that the activation tells about the class, as estimated;
            mutual_information_bias: what it would show of a unit that knows nothing.
        importance: change of the mean loss when the unit is ablated, in the unit of the loss (nats
            of a cross-entropy; of a score, how much worse it gets); above 0 where that harms.
            accuracy_drop: fraction of the images lost; largest_class_drop: of the images of
            the class that loses most. NaN where the unit was not lesioned.
        mean_activation; sparsity: fraction of images and positions where it is exactly 0.
        dead: 0 on every image. redundant: not dead, and yet removing it alone neither raises the
            loss nor loses images on balance.
        """
        statistics, layout = self.statistics, self.layout
        n_correct, loss = self._lesioned_alone
        names = [name for name, _ in layout.layers]
        sizes = [size for _, size in layout.layers]
        longest = max(map(len, names))
        table = np.zeros(layout.n_units, [("layer", f"U{longest}"), *UNIT_COLUMNS])
        table["layer"] = np.repeat(names, sizes)
        table["unit"] = np.concatenate([np.arange(size) for size in sizes])
        # Without classes, what depends on them is not defined.
        for name in ("class_selectivity", "mutual_information", "mutual_information_bias"):
            table[name] = np.nan
        if self.task.has_classes:
            table["class_selectivity"] = defined_selectivity(
                statistics.class_means, statistics.class_counts
            )
            table["mutual_information"] = statistics.mutual_information
            table["mutual_information_bias"] = statistics.mutual_information_bias
        table["importance"] = loss - float(self.intact.loss)
        table["accuracy_drop"] = np.nan
        if self.task.has_accuracy:
            n_answers = self.sample.n_images * self.task.answers_each
            correct = float(self.intact.n_correct.sum())
            table["accuracy_drop"] = (correct - n_correct.sum(axis=1)) / n_answers
        table["largest_class_drop"] = np.nan
        if self.n_classes:
            table["largest_class_drop"] = metrics.largest_class_drop(self.class_drops)
        table["mean_activation"] = statistics.means
        table["sparsity"] = statistics.sparsity
        silent = np.all(statistics.class_means == 0, axis=0)
        table["dead"] = silent & (statistics.variance == 0)
        raised = table["importance"] > _ROUNDING * abs(float(self.intact.loss))
        harmless = ~np.isnan(loss) & ~raised & ~(table["accuracy_drop"] > 0)
        table["redundant"] = harmless & ~table["dead"]
        return table

    @functools.cached_property
    def class_drops(self) -> np.ndarray:
        """float64 (n_units, n_classes), accuracy that each class loses without the unit; NaN where
        it was not lesioned, and for classes without images. Of several yes-or-no answers, of each;
        (n_units, 0) where no answer is right or wrong."""
        n_correct, loss = self._lesioned_alone
        done = np.isfinite(loss)
        drops = np.full(n_correct.shape, np.nan)
        if not self.n_classes:
            return drops
        counts = np.bincount(self.labels, minlength=self.n_classes)
        if self.task.answers_each > 1:
            counts = np.full(self.n_classes, self.sample.n_images)
        drops[done] = metrics.class_drops(self.intact.n_correct, n_correct[done], counts)
        return drops

    @property
    def lesioned(self) -> np.ndarray:
        """bool (n_units,), whether the unit was lesioned alone."""
        return np.isfinite(self.units["importance"])

    def curve(self, orders: int = 10, points: int = 51, n_images: int = 0) -> AblationCurve:
        """Accuracy as more and more units of all masked layers are ablated, in random orders (paper
        section 2.2). `normalized_auc` of it tells how much the network leans on single units.

        Args:
            orders: how many. points: numbers of ablated units, evenly spaced from none to all;
                where most is lost by the first of them, a few more are put before it.
            n_images: to read it on, a sample stratified by class; 0 for all of the study's.

        Raises:
            ValueError: a number out of range.
        """
        if not 0 <= n_images <= self.sample.n_images:
            raise ValueError(f"n_images must be 0 to {self.sample.n_images}, got {n_images}")
        if points < 2:
            raise ValueError(f"points must be 2 or more, got {points}")
        key = (orders, points, n_images or self.sample.n_images)
        if key not in self._curves:
            self.intact  # noqa: B018  checks that lesions do what they say
            config = CumulativeConfig(orders=orders, points=points, images=self.split)
            engine = self._on_some(key[2])
            n_lesions = config.n_lesions(self.layout.n_units)
            with self._progress.step(f"Curve of {orders} orders", n_lesions * key[2]):
                curve = sweep.cumulative(engine, config, self._rng())
            if self.words.has_accuracy:
                curve = study_curve.refined(curve, engine, points)
            self._curves[key] = curve
        return self._curves[key]

    @property
    def asked_curves(self) -> bool:
        """Whether a curve was asked for already."""
        return bool(self._curves)

    @property
    def curves(self) -> tuple[AblationCurve, ...]:
        """Those asked for so far, the finest last; the default one if there was none."""
        if not self._curves:
            self.curve()
        return tuple(sorted(self._curves.values(), key=lambda one: one.n_correct.size))

    @functools.cached_property
    def redundant_together(self) -> Together | None:
        """All redundant units removed at once: each can be spared, but can all? None without any.

        Units of all layers are removed in one lesion.
        """
        units = self.units
        chosen = np.flatnonzero(units["redundant"])
        if not len(chosen):
            return None
        others = np.flatnonzero(~units["redundant"] & ~units["dead"])
        rng, keep = self._rng(), np.ones((1 + CONTROLS, len(units)), bool)
        keep[0, chosen] = False
        enough = len(others) >= len(chosen)
        for row in keep[1:]:
            row[rng.permutation(others)[: len(chosen)]] = False
        outcome = self._engine.evaluate(keep if enough else keep[:1])
        return Together(len(chosen), _rows(outcome, 0), _rows(outcome, slice(1, None), enough))

    @functools.cached_property
    def errors(self) -> tuple[Errors, ...]:
        """Of the most important unit, and of the one in the middle of those lesioned alone.

        The images are a sample; these tell how far another one would give other numbers. By plain
        Keras, image by image. Empty where no unit was lesioned.
        """
        importance = self.units["importance"]
        order = np.argsort(-importance, kind="stable")[: np.count_nonzero(self.lesioned)]
        rows = [int(row) for row in dict.fromkeys([*order[:1], *order[len(order) // 2 :][:1]])]
        intact = self._answers_without(None) if rows else None
        return tuple(self._errors_of(row, intact, self._answers_without(row)) for row in rows)

    @functools.cached_property
    def tested(self) -> Tested:
        """Which units' importance is told from 0 at all: `budget.TESTED` of those that are alive,
        lesioned once more on ten groups of the images, between which the importance varies. None
        where there are fewer than `budget.TESTED_ON` images."""
        units = self.units
        alive = np.flatnonzero(self.lesioned & ~units["dead"])
        layers, numbers = np.unique(units["layer"][alive], return_inverse=True)
        order = labelled.stratified_order(numbers, self._rng()) if len(layers) else alive[:0]
        n_tested = budget.n_tested(len(alive), self.sample.n_images)
        rows = np.sort(alive[order[:n_tested]])
        size = self.sample.n_images // study_sample.GROUPS
        error = np.zeros(0)
        if len(rows):
            images = self._rng().permutation(self.sample.n_images)
            pairs = len(rows) * size * study_sample.GROUPS
            with self._progress.step(f"Testing {len(rows):,} units", pairs):
                changes = [
                    part.single_units(units=rows).loss_sum - part.intact().loss_sum
                    for part in map(
                        self._on, images[: size * study_sample.GROUPS].reshape(-1, size)
                    )
                ]
            error = study_sample.between_groups(np.array(changes), size, self.sample.n_images)
        return Tested(
            rows,
            units["importance"][rows],
            error,
            units["redundant"][rows],
            len(alive),
            _ROUNDING * abs(float(self.intact.loss)),
        )

    def relation(
        self, layer: str | None = None, x: str = "class_selectivity", y: str = "importance"
    ) -> metrics.Correlation:
        """Spearman's rho between two columns of `units`, over those where both are known (paper
        section 3.4).

        Args:
            layer: its units alone; None for all.
        """
        units = self.units
        known = np.isfinite(units[x]) & np.isfinite(units[y])
        if layer is not None:
            known &= units["layer"] == layer
        return metrics.spearman(units[x][known], units[y][known])

    # --- What is shown ------------------------------------------------------------------------

    def frame(self) -> pandas.DataFrame:
        """`units` as a pandas.DataFrame, one row a unit, the same columns.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "study.frame() makes a pandas.DataFrame, and pandas is not installed; install it "
                "with pip install pandas, or take study.units, a NumPy array of the same columns"
            ) from error
        return pandas.DataFrame(
            {name: self.units[name].copy() for name in self.units.dtype.names or ()}
        )

    def plot(self, *, dark: bool = False) -> Plots:
        """The two pictures of the report as matplotlib figures: `curve`, `units = study.plot()`.

        They are shown in a notebook, and saved with `figure.savefig`. They are not pyplot's:
        nothing of matplotlib's global state is changed, and no window opens.

        Args:
            dark: for a dark background.
        """
        from repro import study_figures

        return study_figures.plots(self, dark=dark)

    # --- What is written ----------------------------------------------------------------------

    def report(self, directory: str | Path, command: str = "") -> Path:
        """Writes a page with pictures, tables and what they stand on, and the numbers as CSV.

        Args:
            directory: made if missing; files are written beside what is there. command: what made
                this study, for the page.

        Returns:
            index.html, which needs no other file.

        Raises:
            RunsError: it cannot be written, or a file there would be overwritten that no report
                wrote, or that was changed since. Nothing is computed before.
        """
        from repro import study_page

        return study_page.write(self, Path(directory), command)

    def to_tensorboard(self, logdir: str | Path, run: str = "study") -> Path:
        """Writes what the plugin's tab shows: unit table and curve.

        After `save`, the tab's unit inspector finds the saved model in the lesion lab and shows the
        images that drive a unit.

        Args:
            logdir: to open TensorBoard on. run: a folder in it, such as "study" or "group/study",
                which is replaced if all that is in it was written by this method.

        Returns:
            The run's folder.

        Raises:
            RunsError: it cannot be written, holds anything else, such as the events of a training,
                or lies outside of `logdir`. Nothing is computed before.
        """
        directory = runs.folder_in(Path(logdir), run)
        runs.check_replaceable(directory)
        curves = self.curves

        def fill(temporary: Path) -> None:
            with summary.Writer(temporary) as writer:
                writer.add(self._unit_summary())
                for step, one in self._curve_summaries(curves[-1]):
                    writer.add(one, step)

        runs.replace_directory(directory, fill)
        return directory

    def save(self, directory: str | Path) -> Path:
        """Saves the masked model and some of the images, as the plugin's lesion lab opens them.

        Args:
            directory: new, or one that is replaced, if all that is in it was written by this
                method.

        Returns:
            model.keras, in that folder; beside it lies model.images.npz.

        Raises:
            RunsError: it cannot be written, or holds anything else, or a file that was changed
                since.
        """
        runs.check_replaceable(Path(directory))
        inputs = self._engine.inputs
        each = inputs if isinstance(inputs, tuple) else (inputs,)
        n_bytes = max(1, sum(int(x[0].size) * 4 for x in each))
        n_images = min(_SAVED_IMAGES, max(1, _SAVED_BYTES // n_bytes), self.sample.n_images)
        chosen = labelled.stratified_order(self.labels, self._rng())[:n_images]
        stored = {"labels": self._engine.labels[chosen]}
        if self.task.kind != "classes":
            stored["task"] = np.array(self.task.kind)
        names = ["images"] if len(each) == 1 else [f"input_{n}" for n in range(len(each))]
        stored |= {name: _stored(x[chosen]) for name, x in zip(names, each, strict=True)}
        if self.class_names:
            stored["class_names"] = np.array(self.class_names)

        def fill(temporary: Path) -> None:
            self._frozen.save(temporary / "model.keras")
            with open(temporary / "model.images.npz", "xb") as file:
                np.savez_compressed(file, allow_pickle=False, **stored)

        runs.replace_directory(Path(directory), fill)
        self._saved_as = Path(directory).resolve().name
        return Path(directory) / "model.keras"

    # --- How ----------------------------------------------------------------------------------

    @functools.cached_property
    def _lesioned_alone(self) -> tuple[np.ndarray, np.ndarray]:
        """Correct images of each class (n_units, n_classes) and loss (n_units,) without each unit,
        float64; NaN where it was not lesioned."""
        self.intact  # noqa: B018  checks that lesions do what they say
        n_units = self.layout.n_units
        n_correct = np.full((n_units, self.n_classes), np.nan)
        loss = np.full(n_units, np.nan)
        # A random order in which layers keep their shares, so that those not reached are a sample.
        layer = np.repeat(
            np.arange(len(self.layout.layers)), [size for _, size in self.layout.layers]
        )
        order = labelled.stratified_order(layer, self._rng())[: self._n_units]
        timed = self._deadline < math.inf
        pairs = len(order) * self.sample.n_images
        with self._progress.step(f"Lesioning {len(order):,} units", pairs):
            for piece in np.array_split(order, min(len(order), _PIECES) if timed else 1):
                # In their order in the network: what a layer needs is computed once.
                piece = np.sort(piece)
                outcome = self._engine.single_units(units=piece)
                n_correct[piece], loss[piece] = outcome.n_correct, outcome.loss
                if time.monotonic() > self._deadline:
                    break
        return n_correct, loss

    def _answers_without(self, row: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Loss (n_images,) and the share of each image's answers that are right, without a unit;
        NaN where none is right or wrong."""
        loss, right = self._engine.one_by_one(row)
        return loss, right.mean(axis=1) if right.shape[1] else np.full(len(loss), np.nan)

    def _errors_of(self, row: int, intact: Any, without: tuple[np.ndarray, np.ndarray]) -> Errors:
        (loss, hit), (lesioned_loss, lesioned_hit) = intact, without
        lost = hit - lesioned_hit
        worst = np.zeros(len(lost), bool)
        if self.task.has_classes:
            worst = self.labels == int(np.nanargmax(self.class_drops[row]))
        return Errors(
            row,
            standard_error(lesioned_loss - loss),
            standard_error(lost),
            standard_error(lost[worst]),
        )

    def _on_some(self, n_images: int) -> Engine:
        if n_images == self.sample.n_images:
            return self._engine
        return self._on(labelled.stratified_order(self.labels, self._rng())[:n_images])

    def _on(self, rows: np.ndarray) -> Engine:
        """The engine on some of the study's images, by number."""
        return self._engine.on_some(rows)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def _facts(self) -> dict[str, str]:
        return {
            "network": self.model.name,
            "task": self.words.kind,
            "data": self.data or "not stated",
            "images": f"{self.sample.n_images:,} of {self.sample.n_available:,}, {self.split}",
            **(
                {self.words.accuracy: f"{float(self.intact.accuracy):.4f}"}
                if self.words.has_accuracy
                else {self.words.loss: self.words.amount(f"{float(self.intact.loss):.4g}")}
            ),
            **({"model": self._saved_as} if self._saved_as else {}),
        }

    def _unit_summary(self) -> summary.Summary:
        units = self.units
        few = self.task.has_classes and self.n_classes <= _CLASS_COLUMNS
        names = self.class_names or tuple(map(str, range(self.n_classes)))
        columns = {name: units[name] for name, _ in UNIT_COLUMNS[1:]}
        counts = self.statistics.class_counts
        means = np.where(counts[:, None] > 0, self.statistics.class_means, np.nan)
        columns["redundant"] = np.where(self.lesioned, units["redundant"], np.nan)
        return summary.unit_table(
            "lesion/units",
            units["layer"].tolist(),
            units["unit"],
            columns,
            classes=names if few else (),
            class_means=means.T if few else None,
            class_drops=self.class_drops if few else None,
            facts=self._facts(),
            description="Every unit lesioned alone; columns are those of repro.lesion(...).units.",
        )

    def _curve_summaries(self, curve: AblationCurve) -> Iterator[tuple[int, summary.Summary]]:
        """The curve for the tab, with its step; where there is no accuracy, the mean loss at each
        number of ablated units, for TensorBoard's own Scalars tab."""
        words = f"Units of all masked layers, on {curve.n_images:,} images."
        if self.task.has_accuracy:
            yield (
                0,
                summary.ablation_curve(
                    "lesion/accuracy_vs_ablation",
                    curve.n_ablated,
                    curve.accuracy,
                    n_units=curve.n_units,
                    split=self.split,
                    facts=self._facts(),
                    description=words,
                ),
            )
            return
        means = curve.loss.mean(axis=0)
        for n_ablated, loss in zip(curve.n_ablated.tolist(), means.tolist(), strict=True):
            yield n_ablated, summary.scalar("lesion/loss_vs_ablated_units", loss, words)


def defined_selectivity(
    class_means: np.ndarray, class_counts: np.ndarray | None = None
) -> np.ndarray:
    """float64 (n_units,), `metrics.class_selectivity`; NaN for units with a negative class mean.

    >>> defined_selectivity(np.array([[3.0, -1.0], [1.0, 2.0]]))
    array([0.5, nan])
    """
    defined = np.all(class_means >= 0, axis=0)
    found = np.full(class_means.shape[1], np.nan)
    found[defined] = metrics.class_selectivity(class_means[:, defined], class_counts)
    return found


def standard_error(values: np.ndarray) -> float:
    """Of the mean of independent values: s.d. / sqrt(n); NaN of fewer than two.

    >>> standard_error(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))  # s.d. 1.58 over sqrt(5)
    0.7071067811865476
    """
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def _stored(images: np.ndarray) -> np.ndarray:
    """Images as an archive holds them: numbers as float32, texts as text."""
    if images.dtype.kind in "OUS":
        return np.asarray(images, dtype=np.str_)
    return np.asarray(images, np.float32)


def _rows(outcome: Outcome, which: Any, there: bool = True) -> Any:
    """One lesion of an outcome, or a slice of them; None if they are not there."""
    if not there:
        return None
    return Outcome(
        outcome.n_correct[which],
        outcome.loss_sum[which],
        outcome.n_top5[which],
        outcome.n_tied[which],
        outcome.n_images,
        outcome.n_answers,
    )
