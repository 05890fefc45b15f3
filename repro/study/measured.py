"""What is measured of one network by lesions.

Each answer is computed when it is first asked for, and kept. The model is never changed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pickle
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repro.core import metrics
from repro.core.arguments import whole_number
from repro.core.kinds import AblationCurve, CumulativeConfig
from repro.data import labelled
from repro.engine import sweeps
from repro.engine.activity import UnitStatistics
from repro.engine.counts import Outcome
from repro.engine.engine import Engine
from repro.engine.fragile import OwnAnswers, check_task
from repro.engine.layout import Layout
from repro.engine.tasks import Task
from repro.models.insertion import names_of_layers
from repro.study import budget, sample
from repro.study import curve as study_curve
from repro.study import words as study_words
from repro.study.model import Frozen, from_bytes
from repro.study.progress import Progress
from repro.study.sample import CONTROLS, Sample, Tested
from repro.study.settings import StudySettings, Subject
from repro.study.table import ROUNDING, StudiedUnits
from repro.study.words import Words

if TYPE_CHECKING:
    import pandas

# Images on which the lesioned network is compared with the user's own model.
CHECKED_IMAGES = 16
# Columns of `Measured.fragile_images`.
FRAGILE_COLUMNS = np.dtype(
    [
        ("image", np.int64),
        ("label", np.int32),
        ("answer", np.int32),
        ("disagreement", np.float64),
        ("fragility", np.float64),
        ("loss", np.float64),
        ("margin", np.float64),
    ]
)
# Pieces in which units are lesioned, so that a deadline is heeded between them.
_PIECES = 20


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


def strata(engine: Engine) -> np.ndarray:
    """int (n_images,), the class of each image, of which samples keep the shares; zeros where
    images have none."""
    columns = engine.task.columns(engine.labels)
    return np.zeros(engine.n_images, np.int32) if columns is None else columns


class Measured:
    """What lesions tell about one network; made by `repro.lesion`.

    Attributes:
        model: with masks. hidden_layers: of each layer whether it is masked, and why.
        layout: the masked layers and their numbers of units; rows of `units` run through them.
        sample: on how many images, and what that means.
        task: what the network was trained for, see `engine.tasks`.
        labels: int32 (n_images,), the class of each image; zeros where they have none.
        settings: what the study was made with. n_classes, class_names: of the images.
    """

    def __init__(
        self, subject: Subject, settings: StudySettings, progress: Progress | None = None
    ) -> None:
        """
        Args:
            progress: what the engine reports to; None for no bars.

        Raises:
            ValueError: settings that do not fit the network.
        """
        engine, model = subject.engine, subject.model
        self.model, self.hidden_layers = model, tuple(subject.hidden)
        self.layout: Layout = engine.layout
        if not 0 <= settings.n_units <= self.layout.n_units:
            raise ValueError(
                f"n_units must be 0 (all) to {self.layout.n_units}, the masked units; "
                f"got {settings.n_units}"
            )
        self.sample = Sample(engine.n_images, subject.n_available)
        self.task: Task = engine.task
        self.own_loss: str = engine.own_loss
        self.labels, self.n_classes = strata(engine), engine.n_classes
        class_names = settings.class_names or engine.class_names
        if len(class_names) not in (0, self.n_classes):
            cure = f"give one for each of the model's {self.n_classes} classes, in its order"
            if not self.n_classes:
                cure = f"leave them out, since {self.task.kind} has no classes"
            raise ValueError(f"class_names has {len(class_names)} names; {cure}")
        self.class_names = tuple(map(str, class_names))
        self.settings = settings
        self._engine = engine
        self._others, self._progress = subject.others, progress or Progress()
        self._frozen = Frozen(model, engine.witness)
        self._curves: dict[tuple[int, int, int], AblationCurve] = {}
        self._saved_as = ""  # its folder's name
        self._asked: dict[str, Any] = {}  # how to make the engine of a copied study

    def __getstate__(self) -> dict[str, Any]:
        """Everything that was computed, the images, and the model as bytes with the weights that it
        had when the study was made.

        Raises:
            TypeError: Keras cannot copy the model.
        """
        if self.task.score is not None:
            try:
                pickle.dumps(self.task.score)
            except Exception as error:
                raise TypeError(
                    "a study is pickled with its score, and this one has no place to be found at "
                    "again, as a lambda has none; define it at the top of a module"
                ) from error
        state = self.__dict__.copy()
        for name in ("model", "_engine", "_frozen", "_others", "_progress"):
            state.pop(name, None)
        settings = dataclasses.replace(self.settings, deadline=math.inf)
        state |= {"settings": settings, "_asked": self._engine.asked}
        state |= {"witness": self._frozen.witness}
        return state | {"model": self._frozen.to_bytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        witness = state.pop("witness")
        self.__dict__.update(state)
        self.model = from_bytes(state["model"], witness)
        self._others, self._progress = None, Progress()
        self._frozen = Frozen(self.model, witness)

    @functools.cached_property
    def _engine(self) -> Engine:
        """The engine, made anew where the study was copied or read from a pickle."""
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
        return self.settings.n_units or self.layout.n_units

    @property
    def data(self) -> str:
        """What the images are, in words."""
        return self.settings.data

    @property
    def split(self) -> str:
        """ "test", or "train" for images that the model was trained on."""
        return self.settings.split

    @property
    def seed(self) -> int:
        """The seed of the samples and of the curve's orders."""
        return self.settings.seed

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
        return self.unit_table.to_array()

    @functools.cached_property
    def unit_table(self) -> StudiedUnits:
        """What `units` is made from, and the formulas of its columns."""
        found, intact = self.statistics, self.intact
        n_correct, loss, _ = self._lesioned_alone
        information = bias = np.full(self.layout.n_units, np.nan)  # not defined without classes
        if self.task.has_classes:
            information, bias = found.mutual_information, found.mutual_information_bias
        n_answers = np.bincount(self.labels, minlength=self.n_classes)[: self.n_classes]
        if self.task.answers_each > 1:
            n_answers = np.full(self.n_classes, self.sample.n_images)
        return StudiedUnits(
            layers=tuple(self.layout.layers),
            class_means=found.class_means,
            n_correct=n_correct,
            loss=loss,
            intact_correct=intact.n_correct,
            intact_loss=float(intact.loss),
            class_counts=found.class_counts,
            sparsity=found.sparsity,
            mutual_information=information,
            mutual_information_bias=bias,
            n_answers=n_answers,
            variance=found.variance,
            has_classes=self.task.has_classes,
        )

    @functools.cached_property
    def class_drops(self) -> np.ndarray:
        """float64 (n_units, n_classes), accuracy that each class loses without the unit; NaN where
        it was not lesioned, and for classes without images. Of several yes-or-no answers, of each;
        (n_units, 0) where no answer is right or wrong."""
        return self.unit_table.class_drops

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
            ValueError: a number out of range, or none.
        """
        orders = whole_number("orders", orders, "1 or more", 1)
        points = whole_number("points", points, "2 or more", 2)
        n_images = whole_number("n_images", n_images, f"0 (all) to {self.sample.n_images}")
        if not 0 <= n_images <= self.sample.n_images:
            raise ValueError(f"n_images must be 0 to {self.sample.n_images}, got {n_images}")
        key = (orders, points, n_images or self.sample.n_images)
        if key not in self._curves:
            self.intact  # noqa: B018  checks that lesions do what they say
            config = CumulativeConfig(orders=orders, points=points, images=self.split)
            engine = self._on_some(key[2])
            n_lesions = config.n_lesions(self.layout.n_units)
            with self._progress.step(f"Curve of {orders} orders", n_lesions * key[2]):
                curve = sweeps.cumulative(engine, config, self._rng())
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
    def _own_answers(self) -> OwnAnswers:
        """What the intact network answers on each image."""
        return self._engine.own_answers()

    def fragile_images(self, n: int = 20) -> np.ndarray:
        """The images whose answers hang most on single units, probably mislabelled ones first.

        An image with a wrong label is answered otherwise than labelled; or, where a network was
        trained on it, it had to be memorised, and the answer changes with single units (Maini et
        al. 2023, docs/paper.md, "Fragile images"). So images are ranked by how many networks with
        one unit less disagree with the label, then by the margin.

        Args:
            n: how many, at most; 0 for all, which takes as long as the lesions again for those that
                are answered wrong.

        Returns:
            A structured array, a row an image. image: its number in `images`. label, answer: class
            numbers; without labels the answer twice; -1 for several yes-or-no answers.
            disagreement: share of the single lesions under which the answer is not the label, in
            [0, 1]. fragility: share of them that change the answer. loss, margin: without a lesion
            (`engine.fragile.OwnAnswers`).

        Raises:
            ValueError: n below 0; answers that are numbers, which do not change to another class.
        """
        n = whole_number("n", n, "0 (all) or more", 0)
        check_task(self.task, "fragile_images")
        table = self.suspected_images(n)
        lesioned, wrong = np.flatnonzero(self.lesioned), np.flatnonzero(table["margin"] < 0)
        if len(wrong) and len(lesioned):
            rows = np.sort(table["image"][wrong])
            found = self._on(rows).fragility(lesioned).share
            table["fragility"][wrong] = found[np.searchsorted(rows, table["image"][wrong])]
        return table

    def suspected_images(self, n: int) -> np.ndarray:
        """As `fragile_images`, and at no further cost: fragility is NaN where an answer is wrong
        without a lesion."""
        n_wrong, intact = self._lesioned_alone[2], self._own_answers
        order = np.lexsort((intact.margin, -n_wrong))
        order = order[:n] if n else order
        table = np.zeros(len(order), FRAGILE_COLUMNS)
        table["image"], table["label"], table["answer"] = order, -1, -1
        if intact.predicted.ndim == 1:
            labels = self._engine.labels if self.task.has_classes else intact.predicted
            table["label"], table["answer"] = labels[order], intact.predicted[order]
        table["loss"], table["margin"] = intact.loss[order], intact.margin[order]
        table["disagreement"] = n_wrong[order] / max(1, int(self.lesioned.sum()))
        table["fragility"] = np.where(table["margin"] < 0, np.nan, table["disagreement"])
        return table

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
        """The standard errors of the most important unit, and of the one in the middle of those
        lesioned alone.

        The images are a sample; standard errors tell how far another sample would give other
        numbers. Plain Keras computes them, image by image. Empty where no unit was lesioned.
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
        where there are fewer than `budget.TESTED_FROM` images."""
        units = self.units
        alive = np.flatnonzero(self.lesioned & ~units["dead"])
        layers, numbers = np.unique(units["layer"][alive], return_inverse=True)
        order = labelled.stratified_order(numbers, self._rng()) if len(layers) else alive[:0]
        n_tested = budget.n_tested(len(alive), self.sample.n_images)
        rows = np.sort(alive[order[:n_tested]])
        size = self.sample.n_images // sample.GROUPS
        error = np.zeros(0)
        if len(rows):
            images = self._rng().permutation(self.sample.n_images)
            pairs = len(rows) * size * sample.GROUPS
            with self._progress.step(f"Testing {len(rows):,} units", pairs):
                changes = [
                    part.single_units(units=rows).loss_sum - part.intact().loss_sum
                    for part in map(self._on, images[: size * sample.GROUPS].reshape(-1, size))
                ]
            error = sample.between_groups(np.array(changes), size, self.sample.n_images)
        return Tested(
            rows,
            units["importance"][rows],
            error,
            units["redundant"][rows],
            len(alive),
            ROUNDING * abs(float(self.intact.loss)),
        )

    def relation(
        self, layer: str | None = None, x: str = "class_selectivity", y: str = "importance"
    ) -> metrics.Correlation:
        """Spearman's rho between two columns of `units`, over those where both are known (paper
        section 3.4).

        Args:
            layer: a layer or its name, for its units alone; None for all. x, y: names of columns.

        Raises:
            ValueError: a layer without a mask, or a column that does not exist or holds no numbers.
        """
        if layer is not None:
            (layer,) = names_of_layers([layer]) or []
            self.layout.units(layer)  # refuses a layer without a mask
        units = self.units
        columns = [name for name in units.dtype.names or () if units[name].dtype.kind in "biuf"]
        for name, column in (("x", x), ("y", y)):
            if column not in columns:
                raise ValueError(
                    f"{name} must be a column of study.units that holds numbers, "
                    f"{', '.join(columns)}; got {column!r}"
                )
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

    # --- How ----------------------------------------------------------------------------------

    @functools.cached_property
    def _lesioned_alone(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Correct images of each class (n_units, n_classes) and loss (n_units,) without each unit,
        float64; NaN where it was not lesioned. And int64 (n_images,), of how many lesioned units an
        answer to the image was wrong, right or not without a lesion."""
        self.intact  # noqa: B018  checks that lesions do what they say
        n_units = self.layout.n_units
        n_correct = np.full((n_units, self.n_classes), np.nan)
        loss = np.full(n_units, np.nan)
        n_wrong = np.zeros(self.sample.n_images, np.int64)
        # A random order in which layers keep their shares, so that those not reached are a sample.
        layer = np.repeat(
            np.arange(len(self.layout.layers)), [size for _, size in self.layout.layers]
        )
        order = labelled.stratified_order(layer, self._rng())[: self.n_planned]
        timed = self.settings.deadline < math.inf
        pairs = len(order) * self.sample.n_images
        with self._progress.step(f"Lesioning {len(order):,} units", pairs):
            for piece in np.array_split(order, min(len(order), _PIECES) if timed else 1):
                # In their order in the network: what a layer needs is computed once.
                piece = np.sort(piece)
                found = self._engine.answers(units=piece)
                n_correct[piece], loss[piece] = found.outcome.n_correct, found.outcome.loss
                n_wrong += found.n_wrong
                if time.monotonic() > self.settings.deadline:
                    break
        return n_correct, loss, n_wrong

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


def standard_error(values: np.ndarray) -> float:
    """The standard error of the mean of independent values: s.d. / sqrt(n); NaN if there are fewer
    than two.

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
        outcome.n_answers,
    )
