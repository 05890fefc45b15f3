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
from collections.abc import Callable, Iterable, Sequence
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
    models,
    runs,
    study_curve,
    study_sample,
    study_show,
    study_words,
    sweep,
)
from repro.ablation import Engine, Layout, Outcome
from repro.config import CumulativeConfig
from repro.insertion import (
    HiddenLayer,
    chosen_masks,
    held_lesion,
    hidden_layers,
    insert_masks,
)
from repro.masking import AblationMask, ablation_masks, layer_of
from repro.network import trace
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
_IMAGES_PER_CALL = 100  # of plain Keras
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
    labels: Any,
    *,
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
    """Studies a classifier by lesioning its units, one at a time and many together.

    Args:
        model: functional or Sequential, one input, one output of logits or probabilities of two
            classes or more; or the path of a `.keras` file. Masks are put after its hidden layers,
            see `repro.insert_masks`; a model that has masks keeps those, unless layers are named.
        images: (n_images, ...), as the model takes them. labels: int (n_images,).
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
    masked, hidden = prepare(model, layers)
    images, labels = np.asarray(images), labelled.plain_labels(labels)
    n_available = len(labels)
    if len(images) != n_available:
        raise ValueError(f"there are {len(images)} images but {n_available} labels")
    if not 0 <= n_images <= n_available:
        raise ValueError(
            f"n_images must be 0 (all) to {n_available}, the images given; got {n_images}"
        )
    others = None
    if n_images:
        order = labelled.stratified_order(labels, np.random.default_rng(seed))
        others = _pieces(images, labels, order[n_images:])
        images, labels = images[order[:n_images]], labels[order[:n_images]]
    shown = Progress(progress, on_progress)
    return Study(
        Engine(masked, images, labels, on_progress=shown.advance),
        masked,
        hidden,
        images,
        labels,
        n_available=n_available,
        n_units=n_units,
        class_names=class_names,
        data=data,
        split=split,
        seed=seed,
        others=others,
        progress=shown,
    )


def _pieces(
    images: np.ndarray, labels: np.ndarray, rows: np.ndarray
) -> Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]:
    """Gives these images and labels a piece at a time, so that few are copied at once."""

    def pieces() -> Iterable[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(rows), _IMAGES_PER_PIECE):
            piece = np.sort(rows[start : start + _IMAGES_PER_PIECE])
            yield images[piece], labels[piece]

    return pieces


def prepare(
    model: keras.Model | str | Path, layers: Sequence[str] | None = None
) -> tuple[keras.Model, tuple[HiddenLayer, ...]]:
    """The model with masks, and what became of each of its layers.

    Args and errors as for `lesion`.
    """
    if not isinstance(model, keras.Model):
        model = models.load_model(model)
    held = held_lesion(model)
    if held:
        units = ", ".join(f"{n_units} units of {layer}" for layer, n_units in held.items())
        raise ValueError(
            f"model {model.name!r} holds a lesion ({units}); a study compares with the intact "
            "network: repro.restore(model) takes the lesion away"
        )
    if layers is None and any(isinstance(one, AblationMask) for one in model.layers):
        return _classifier(model), tuple(hidden_layers(model, ()))
    if layers is not None:
        model, layers = chosen_masks(model, layers)
    rows = tuple(hidden_layers(model, layers))
    return insert_masks(_classifier(model), layers), rows


def _classifier(model: keras.Model) -> keras.Model:
    """The same model, if it is one that gives each class a score."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} "
            "outputs; a study needs a classifier with one of each; make one of them, or use "
            "repro.ablate and model.predict"
        )
    shape = tuple(model.output_shape)
    if len(shape) != 2 or shape[1] is None or shape[1] < 2:
        raise ValueError(
            f"model {model.name!r} answers with shape {shape}; a study needs (n_images, n_classes) "
            "logits or probabilities of two classes or more; in place of one sigmoid of x, give "
            "the two logits 0 and x"
        )
    last = model.layers[-1]
    if getattr(last, "activation", None) is keras.activations.sigmoid:
        raise ValueError(
            f"model {model.name!r} ends in a sigmoid, which answers a question for each class; a "
            "study needs one answer for each image: logits or a softmax"
        )
    return model


class Study:
    """What lesions tell about one classifier; made by `repro.lesion`.

    Attributes:
        model: with masks. hidden_layers: of each layer whether it is masked, and why.
        layout: the masked layers and their numbers of units; rows of `units` run through them.
        sample: on how many images, and what that means.
        labels: int32 (n_images,). n_classes, class_names, data, split, seed: as given.
    """

    def __init__(
        self,
        engine: Engine,
        model: keras.Model,
        hidden: Sequence[HiddenLayer],
        images: np.ndarray,
        labels: np.ndarray,
        *,
        n_available: int,
        n_units: int = 0,
        class_names: Sequence[str] = (),
        data: str = "",
        split: str = "test",
        seed: int = 0,
        deadline: float = math.inf,
        others: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """
        Args:
            engine: on these images. deadline: by `time.monotonic()`, after which no more units
                are lesioned alone, but for the first few. others: gives the images that are there
                and not among these, with their labels, in pieces; None where there are none or
                they cannot be had. progress: what the engine reports to; None for no bars. The
                rest: as for `lesion`.
        """
        if split not in ("train", "test"):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        self.model, self.hidden_layers = model, tuple(hidden)
        self.layout: Layout = engine.layout
        if not 0 <= n_units <= self.layout.n_units:
            raise ValueError(
                f"n_units must be 0 (all) to {self.layout.n_units}, the masked units; got {n_units}"
            )
        self.sample = Sample(len(labels), n_available)
        self.labels, self.n_classes = labels, engine.n_classes
        if len(class_names) not in (0, self.n_classes):
            raise ValueError(
                f"class_names must name the model's {self.n_classes} classes, got "
                f"{len(class_names)} names"
            )
        self.class_names = tuple(map(str, class_names))
        self.data, self.split, self.seed = data, split, seed
        self._images, self._engine, self._deadline = images, engine, deadline
        self._n_units = n_units or self.layout.n_units
        self._others, self._progress = others, progress or Progress()
        self._frozen = Frozen(model)
        self._curves: dict[tuple[int, int, int], AblationCurve] = {}
        self._saved_as = ""  # its folder's name

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
        return state | {"model": self._frozen.to_bytes(), "_deadline": math.inf}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.model = from_bytes(state["model"])
        self._others, self._progress = None, Progress()
        self._frozen = Frozen(self.model)

    @functools.cached_property
    def _engine(self) -> Engine:
        """Of a study that was copied or read from a pickle; another one is given its engine."""
        return Engine(self.model, self._images, self.labels, on_progress=self._progress.advance)

    @property
    def words(self) -> Words:
        """What accuracy and loss are called in this study's task."""
        return study_words.of("classes")

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
            for images, labels in self._others():
                found = found + self._engine.on(images, labels).intact()
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
        class_selectivity: in [0, 1]; 0 for a dead unit. NaN where a class mean is negative, as
            after GELU or tanh: the index is not defined there.
        mutual_information: bits that the activation tells about the class, as estimated;
            mutual_information_bias: what it would show of a unit that knows nothing.
        importance: change of the mean loss when the unit is ablated, nats; above 0 where that
            harms. accuracy_drop: fraction of the images lost; largest_class_drop: of the images of
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
        table["class_selectivity"] = defined_selectivity(statistics.class_means)
        table["mutual_information"] = statistics.mutual_information
        table["mutual_information_bias"] = metrics.mutual_information_bias(statistics.bin_counts)
        table["importance"] = loss - float(self.intact.loss)
        correct = float(self.intact.n_correct.sum())
        table["accuracy_drop"] = (correct - n_correct.sum(axis=1)) / self.sample.n_images
        table["largest_class_drop"] = self.class_drops.max(axis=1)
        table["mean_activation"] = statistics.means
        table["sparsity"] = statistics.sparsity
        silent = np.all(statistics.class_means == 0, axis=0)
        table["dead"] = silent & (statistics.variance == 0)
        raised = table["importance"] > _ROUNDING * float(self.intact.loss)
        harmless = ~np.isnan(loss) & ~raised & (table["accuracy_drop"] <= 0)
        table["redundant"] = harmless & ~table["dead"]
        return table

    @functools.cached_property
    def class_drops(self) -> np.ndarray:
        """float64 (n_units, n_classes), accuracy that each class loses without the unit; NaN where
        it was not lesioned."""
        n_correct, _ = self._lesioned_alone
        done = np.isfinite(n_correct[:, 0])
        drops = np.full(n_correct.shape, np.nan)
        counts = np.bincount(self.labels, minlength=self.n_classes)
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
            directory: made if missing. command: what made this study, for the page.

        Returns:
            index.html, which needs no other file.

        Raises:
            RunsError: it cannot be written.
        """
        from repro import study_page

        return study_page.write(self, Path(directory), command)

    def to_tensorboard(self, logdir: str | Path, run: str = "study") -> Path:
        """Writes what the plugin's tab shows: unit table and curve.

        After `save`, the tab's unit inspector finds the saved model in the lesion lab and shows the
        images that drive a unit.

        Args:
            logdir: to open TensorBoard on. run: a folder in it, which is replaced.

        Returns:
            The run's folder.

        Raises:
            RunsError: it cannot be written.
        """
        directory = Path(logdir) / run
        curves = self.curves

        def fill(temporary: Path) -> None:
            with summary.Writer(temporary) as writer:
                writer.add(self._unit_summary())
                writer.add(self._curve_summary(curves[-1]))

        runs.replace_directory(directory, fill)
        return directory

    def save(self, directory: str | Path) -> Path:
        """Saves the masked model and some of the images, as the plugin's lesion lab opens them.

        Args:
            directory: which is replaced.

        Returns:
            model.keras, in that folder; beside it lies model.images.npz.

        Raises:
            RunsError: it cannot be written.
        """
        each = max(1, self._images[0].size * 4)
        n_images = min(_SAVED_IMAGES, max(1, _SAVED_BYTES // each), self.sample.n_images)
        chosen = labelled.stratified_order(self.labels, self._rng())[:n_images]
        stored = {
            "images": np.asarray(self._images[chosen], np.float32),
            "labels": self.labels[chosen],
        }
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

    @functools.cached_property
    def _probabilities(self) -> bool:
        """Whether the model gives probabilities; else logits."""
        return trace(self.model).probabilities

    def _answers_without(self, row: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Loss (n_images,) and whether each image is classified correctly, without a unit."""
        keep = np.ones(self.layout.n_units, np.float32)
        if row is not None:
            keep[row] = 0
        names = [name for name, _ in self.layout.layers]
        parts = dict(zip(names, self.layout.split(keep), strict=True))
        instead = [
            (mask.keep, keras.ops.convert_to_tensor(parts[layer_of(mask)], mask.keep.dtype))
            for mask in ablation_masks(self.model)
        ]
        losses, hits = [], []
        for start in range(0, len(self.labels), _IMAGES_PER_CALL):
            part = slice(start, start + _IMAGES_PER_CALL)
            with keras.StatelessScope(instead):
                outputs = self.model(self._images[part], training=False)
            answers = keras.ops.convert_to_numpy(outputs).astype(np.float64)
            loss, hit = cross_entropy(answers, self.labels[part], self._probabilities)
            losses.append(loss)
            hits.append(hit)
        return np.concatenate(losses), np.concatenate(hits)

    def _errors_of(self, row: int, intact: Any, without: tuple[np.ndarray, np.ndarray]) -> Errors:
        (loss, hit), (lesioned_loss, lesioned_hit) = intact, without
        lost = hit.astype(float) - lesioned_hit
        worst = self.labels == int(np.argmax(self.class_drops[row]))
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
        return self._engine.on(self._images[rows], self.labels[rows])

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def _facts(self) -> dict[str, str]:
        return {
            "network": self.model.name,
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
        few = self.n_classes <= _CLASS_COLUMNS
        names = self.class_names or tuple(map(str, range(self.n_classes)))
        columns = {name: units[name] for name, _ in UNIT_COLUMNS[1:]}
        columns["redundant"] = np.where(self.lesioned, units["redundant"], np.nan)
        return summary.unit_table(
            "lesion/units",
            units["layer"].tolist(),
            units["unit"],
            columns,
            classes=names if few else (),
            class_means=self.statistics.class_means.T if few else None,
            class_drops=self.class_drops if few else None,
            facts=self._facts(),
            description="Every unit lesioned alone; columns are those of repro.lesion(...).units.",
        )

    def _curve_summary(self, curve: AblationCurve) -> summary.Summary:
        return summary.ablation_curve(
            "lesion/accuracy_vs_ablation",
            curve.n_ablated,
            curve.accuracy,
            n_units=curve.n_units,
            split=self.split,
            facts=self._facts(),
            description=f"Units of all masked layers, on {curve.n_images:,} images.",
        )


def defined_selectivity(class_means: np.ndarray) -> np.ndarray:
    """float64 (n_units,), `metrics.class_selectivity`; NaN for units with a negative class mean.

    >>> defined_selectivity(np.array([[3.0, -1.0], [1.0, 2.0]]))
    array([0.5, nan])
    """
    defined = np.all(class_means >= 0, axis=0)
    found = np.full(class_means.shape[1], np.nan)
    found[defined] = metrics.class_selectivity(class_means[:, defined])
    return found


def cross_entropy(
    answers: np.ndarray, labels: np.ndarray, probabilities: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Of each image its loss in nats, and whether its class has the highest score.

    Args:
        answers: float64 (n_images, n_classes), logits, or probabilities.
    """
    if probabilities:
        answers = np.log(np.maximum(answers, np.finfo(np.float32).tiny))
    top = answers.max(axis=1, keepdims=True)
    log_p = answers - top - np.log(np.exp(answers - top).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(labels)), labels], answers.argmax(axis=1) == labels


def standard_error(values: np.ndarray) -> float:
    """Of the mean of independent values: s.d. / sqrt(n); NaN of fewer than two.

    >>> standard_error(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))  # s.d. 1.58 over sqrt(5)
    0.7071067811865476
    """
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


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
    )
