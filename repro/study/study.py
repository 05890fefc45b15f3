"""A study of one network: which units matter, which are dead or redundant, and how much the network
leans on single directions.

    study = repro.lesion(model, images, labels)
    study.units                       # a table, one row a unit
    study.curve(orders=10)            # cumulative ablation
    study.report("out"), study.to_tensorboard("logs")

What is measured is `measured.Measured`'s; here is how a study is made, shown and written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from repro.core import folders
from repro.core.arguments import whole_number
from repro.core.kinds import AblationCurve
from repro.data import labelled
from repro.engine.engine import Engine
from repro.models.accepted import accepted
from repro.models.insertion import (
    HiddenLayer,
    chosen_masks,
    held_lesion,
    hidden_layers,
    insert_masks,
    names_of_layers,
)
from repro.models.masking import AblationMask
from repro.models.outputs import with_output
from repro.study import figures, files, show
from repro.study.figures import Plots
from repro.study.measured import Measured, strata
from repro.study.progress import Progress
from repro.study.settings import StudySettings, Subject
from repro.study.table import UNIT_COLUMNS
from tb_plugin import summary

_IMAGES_PER_PIECE = 5_000  # images copied at a time, of those that no unit is lesioned on
_CLASS_COLUMNS = 100  # most classes whose profiles make columns of the tab's table
_SAVED_BYTES = 64_000_000  # most bytes of images beside a saved model, for the lesion lab
_SAVED_IMAGES = 2000  # most of these images


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
    whole_number("n_images", n_images, "0 (all) to the number of images")
    if isinstance(class_names, str) or not isinstance(class_names, Iterable):
        raise ValueError(f"class_names must be a list of names, got {class_names!r}")
    layers = names_of_layers(layers)
    settings = StudySettings(n_units, tuple(class_names), data, split, seed)
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
    return Study(Subject(engine, masked, hidden, n_available, others), settings, shown)


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


class Study(Measured):
    """What lesions tell about one network, and ways to show it; made by `repro.lesion`."""

    def __repr__(self) -> str:
        """The four numbers that matter, as far as they are known; nothing is computed."""
        return show.lines(self)

    def _repr_html_(self) -> str:
        """The same as a small table, for notebooks."""
        return show.table(self)

    def plot(self, *, dark: bool = False) -> Plots:
        """The two pictures of the report as matplotlib figures: `curve`, `units = study.plot()`.

        They are shown in a notebook, and saved with `figure.savefig`. They are not pyplot's:
        nothing of matplotlib's global state is changed, and no window opens.

        Args:
            dark: for a dark background.
        """
        return figures.plots(self, dark=dark)

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
        return files.write(self, _path("directory", directory), command)

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
        if not isinstance(run, str):
            raise ValueError(f"run must be the name of a folder in logdir, got {run!r}")
        directory = folders.folder_in(_path("logdir", logdir), run)
        folders.check_replaceable(directory)
        curves = self.curves

        def fill(temporary: Path) -> None:
            with summary.Writer(temporary) as writer:
                writer.add(self._unit_summary())
                for step, one in self._curve_summaries(curves[-1]):
                    writer.add(one, step)

        folders.replace_directory(directory, fill)
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
            ValueError: Keras cannot save the model, or would read another network from the file.
        """
        directory = _path("directory", directory)
        folders.check_replaceable(directory)
        inputs = self._engine.inputs
        each = inputs if isinstance(inputs, tuple) else (inputs,)
        n_bytes = max(1, sum(int(np.size(x[0])) * 4 for x in each))
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

        folders.replace_directory(Path(directory), fill)
        self._saved_as = Path(directory).resolve().name
        return Path(directory) / "model.keras"

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
            class_sizes=counts if few else None,
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


def _path(name: str, value: Any) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{name} must be the path of a folder, got {value!r}")
    return Path(value).expanduser()


def _stored(images: np.ndarray) -> np.ndarray:
    """Images as an archive holds them: numbers as float32, texts as text."""
    if images.dtype.kind in "OUS":
        return np.asarray(images, dtype=np.str_)
    return np.asarray(images, np.float32)
