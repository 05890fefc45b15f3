"""The ablation engine: what does the network answer with these units clamped?

The engine never mutates the model. It reads it once as a list of operations (`network`), computes
each batch of images once without a lesion, and then evaluates only what lesions change (`passes`,
`walk`); docs/engine.md explains the three ideas with the arithmetic:

- prefix reuse: what no lesion of a call reaches is shared by all of them;
- linear update: the map after a mask is linear, so one unit changes its output by one term;
- dead rows: where a unit reads its fill anyhow, clamping it changes nothing, and the intact
  network's answer is the answer.

Every answer equals that of the plain model, called on the images with the mask assigned: the counts
image for image, but for images whose two best logits tie within rounding (`Outcome.n_tied` counts
them); the summed loss to float32 rounding of each image's logits, about 1e-7 of their size.
`model.predict` compiles the model as a whole, and so rounds some answers otherwise, by one unit in
the last place.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from repro.core.arguments import whole_number
from repro.engine import admission, answers, by_walk, check, fragile, lesions, noise, verify
from repro.engine.activity import Accumulator, UnitStatistics
from repro.engine.batches import Batches, rows
from repro.engine.check import Assigned
from repro.engine.counts import Outcome
from repro.engine.examples import Examples, examples, targets_for
from repro.engine.fragile import Flips, Fragility, OwnAnswers
from repro.engine.image_answers import Answers, Recorder
from repro.engine.layout import Fill, Layout, checked_bases, fills_of
from repro.engine.lesions import Lesions
from repro.engine.network import Network
from repro.engine.runner import Runner
from repro.engine.tasks import Task
from repro.models.inputs import structure_of
from repro.models.layer_state import LayerState
from repro.models.masking import layer_of


class Engine:
    """Answers questions about lesions of one model on one set of images.

    Args:
        model: functional or Sequential Keras model with `AblationMask` layers and one output, or
            one that `output` names. The engine uses its layers, with the weights that they have
            now: later training of the model does not reach it.
        images: what `model.predict` takes: (n_images, ...), finite, of any type; several inputs as
            a dict or list; or a `tf.data.Dataset`, `PyDataset`, (x, y), see `data.given`, which is
            read once; or a stream of this project's, which every question reads once.
        labels: as `model.evaluate` takes them; None if the images bring theirs. Without any,
            lesions are compared with the intact network's answers.
        task: one of `engine.tasks.TASKS`; None to find it from model and labels.
        score: (outputs, targets) -> (n_images,) in keras.ops, in place of a loss;
            higher_is_better: of it.
        from_logits: whether a cross-entropy takes the answers for logits; None to look at them.
        output: of a model with several, its name or number.
        class_names: of the model's classes in its order, where labels are names.
        reference: the user's own model, without masks, that the engine must answer as; None for
            the model itself.
        bases: for some layers by name an orthogonal (n_units, n_units): the layer's units are
            then the directions of its columns, and ablating one takes the activation's part along
            it away (docs/paper.md, "Rotated bases"). See `metrics.random_basis`.
        batch_size: images held at a time with their activations; None for as many as fit in
            `runner.ELEMENTS_SHARED`, 10,000 at most.
        threads: of this process's processors to use; None for all.
        on_progress: called with the number of (image, lesion) pairs just evaluated.

    Raises:
        ValueError: no masks, masks that already ablate, images or labels that do not fit, weights
            or answers that are not finite, a basis that is not orthogonal; or a model that the
            engine cannot follow exactly, as one whose answer to an image depends on chance or on
            other images (docs/models.md).
    """

    def __init__(
        self,
        model: keras.Model,
        images: Any,
        labels: Any = None,
        *,
        task: str | None = None,
        score: Callable[[Any, Any], Any] | None = None,
        higher_is_better: bool = True,
        from_logits: bool | None = None,
        output: str | int | None = None,
        class_names: Sequence[str] = (),
        reference: keras.Model | None = None,
        bases: Mapping[str, np.ndarray] | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        on_progress: Callable[[int], None] = lambda pairs: None,
    ) -> None:
        if batch_size is not None:
            whole_number("batch_size", batch_size, "1 or more, or None", 1)
        if threads is not None:
            whole_number("threads", threads, "1 or more, or None", 1)
        found = admission.admitted(
            model,
            images,
            labels,
            task=task,
            score=score,
            higher_is_better=higher_is_better,
            from_logits=from_logits,
            output=output,
            reference=reference,
        )
        self.network: Network = found.network
        self.task: Task = found.task
        self.layout = Layout(tuple((layer_of(mask), mask.n_units) for mask in found.masks))
        self.n_classes = self.task.n_columns
        self.class_names: tuple[str, ...] = tuple(class_names)
        self._outputs = found.outputs
        self._options = {"task": task, "score": score, "higher_is_better": higher_is_better}
        bases_by_mask = checked_bases(bases or {}, self.layout, found.masks)
        self._runner = Runner(
            found.model, found.network, found.task, bases_by_mask, batch_size, threads, on_progress
        )
        self._state = LayerState(found.model)
        self._plain = Assigned(self._runner, found.masks, self.layout, self._state)
        self._read(found.examples)
        if self.network.unproven:
            check.refuse_chance(self.network, found.answers, found.asked_again())
            check.refuse_mixed_images(self._runner)
        targets = admission.few_targets(
            found.examples, None if found.examples.is_stream else self.labels
        )
        self.witness: tuple[Any, np.ndarray] = found.few, found.answers
        mean_loss = verify.check(
            found.reference,
            self.network,
            self.task,
            self._runner.tally,
            found.few,
            found.answers,
            targets,
        )
        self.own_loss: str = found.own_loss(targets, mean_loss)

    def on(self, images: Any, labels: Any = None) -> Engine:
        """The same network asked on other images, with the same compiled graphs.

        Args and errors as for the constructor.
        """
        other = copy.copy(self)
        other._read(examples(images, labels, self._runner.model, *self._outputs))
        return other

    def on_some(self, places: np.ndarray) -> Engine:
        """The same network asked on some of its images, int (n,)."""
        other = copy.copy(self)
        other._read(self._examples.take(places))
        return other

    def on_own_answers(self, predicted: np.ndarray | None = None) -> Engine:
        """The same network asked on the same images, with its own answers for labels: what it then
        answers wrong has changed. Where there are no labels, it is asked so already.

        Args:
            predicted: what it answers, see `own_answers`; None to ask it.

        Raises:
            ValueError: answers that are numbers.
        """
        fragile.check_task(self.task, "a change of answers")
        if self.task.kind == "agreement":
            return self
        predicted = self.own_answers().predicted if predicted is None else predicted
        other = copy.copy(self)
        other._read(self._examples.with_labels(predicted))
        return other

    def _read(self, found: Examples) -> None:
        """Takes these images to answer on."""
        self._examples = found
        shapes = [tuple(x.shape[1:]) for x in keras.tree.flatten(structure_of(self._runner.model))]
        options: dict[str, Any] = {
            "image_shape": shapes[0] if len(shapes) == 1 else tuple(shapes),
            "batch_size": self._runner.batch_size,
        }
        classes = self.n_classes if self.task.has_classes else 0
        if found.is_stream:
            if not classes:
                raise ValueError("a stream gives class labels, and the model answers no classes")
            targets = None
        else:
            targets, self.class_names = targets_for(self.task, found, self.class_names)
        batches = Batches(found.inputs, targets, n_classes=classes, **options)
        self._runner = self._runner.on(batches)
        if self.task.kind == "agreement":
            with self._as_it_was():
                remembered = self._runner.answers_to_agree_with()
            batches = Batches(found.inputs, remembered, n_classes=0, **options)
            self._runner = self._runner.on(batches)

    @property
    def n_images(self) -> int:
        """How many images it answers on."""
        return len(self._examples)

    @property
    def inputs(self) -> Any:
        """All images, (n_images, ...), or a tuple of such arrays; not of a stream."""
        return self._runner.batches.images

    @property
    def labels(self) -> np.ndarray:
        """The targets of all images as the task takes them, (n_images, ...); not of a stream."""
        return self._runner.batches.labels

    @property
    def elements_per_call(self) -> int:
        """How many float32 numbers of the widest layer a call computes at a time; the number is
        halved whenever memory runs out."""
        return self._runner.elements

    @property
    def asked(self) -> dict[str, Any]:
        """The arguments with which another engine of the same model asks the same."""
        inputs = self._examples.inputs
        reads = self.task.reads in ("classes", "binary", "labels") and self.task.kind != "score"
        return {
            "images": list(inputs) if isinstance(inputs, tuple) else inputs,
            "labels": self._examples.targets,
            "class_names": self.class_names,
            **self._options,
            "from_logits": not self.task.probabilities if reads else None,
        }

    # --- Questions ----------------------------------------------------------------------------

    def evaluate(self, keep: np.ndarray, fill: Fill = None) -> Outcome:
        """Any lesions: an outcome (n_lesions,).

        Args:
            keep: (n_lesions, n_units), 1 or True where a unit is intact, 0 where it is ablated,
                over all layers in the order of `layout`.

        Raises:
            ValueError: wrong shape, or a keep that is neither 0 nor 1.
        """
        return self._answer(lesions.any_units(keep, self.layout), fill)

    def intact(self) -> Outcome:
        """The network without a lesion; its arrays have no lesion axis."""
        # As a lesion of no unit, so that a unit which does nothing has an importance of exactly 0.
        return self._answer(lesions.no_lesion(self.layout), None).reshape()

    def single_units(self, fill: Fill = None, units: np.ndarray | None = None) -> Outcome:
        """Every unit ablated alone (importance, paper section 3.4): an outcome (n_units,).

        Args:
            units: int (n,), only these; the outcome is then (n,).

        Raises:
            ValueError: a unit that does not exist.
        """
        return self._answer(lesions.single_units(units, self.layout), fill)

    def cumulative(
        self, orders: np.ndarray, n_ablated: np.ndarray | None = None, fill: Fill = None
    ) -> Outcome:
        """More and more units ablated (paper section 2.2): an outcome (n_orders, n_points).

        Args:
            orders: int (n_orders, n), in each row distinct units: the one ablated first, second,
                ... Units that no order names stay intact.
            n_ablated: int (n_points,), in 0 .. n: how many are ablated at each point; None for
                every number, 0 to n.

        Raises:
            ValueError: a unit that does not exist or comes twice, or a number out of range.
        """
        return self._answer(lesions.curves(orders, n_ablated, self.layout), fill)

    def answers(
        self,
        keep: np.ndarray | None = None,
        *,
        units: np.ndarray | None = None,
        orders: np.ndarray | None = None,
        n_ablated: np.ndarray | None = None,
        fill: Fill = None,
        losses: bool = False,
        folder: str | Path | None = None,
    ) -> Answers:
        """Which images are answered right under which lesions, one bit each (docs/engine.md).

        The lesions are those of `evaluate(keep)`, of `single_units(units=units)`, or of
        `cumulative(orders, n_ablated)`, whose points are numbered order by order; without any of
        them, every unit alone. They are answered as in those questions, so the counts are the same.

        Args:
            losses: the loss of each image under each lesion too, float32.
            folder: where right.npy and losses.npy are written; None for memory, or for temporary
                files where one of them has more than 256 MB.

        Raises:
            ValueError: lesions of two questions at once, or such as those questions refuse; a disk
                that is too small; a stream that does not give as many images as its length says.
        """
        asked = lesions.one_of(keep, units, orders, n_ablated, self.layout)
        outcome, recorder = self._recorded(asked, fill, losses, folder)
        _, intact = self._recorded(lesions.no_lesion(self.layout), None, True, None)
        return Answers(
            recorder.right,
            recorder.losses if losses else None,
            intact.right[:, :, 0].astype(bool),
            intact.losses[:, 0],
            outcome,
        )

    def _recorded(
        self, asked: Lesions, fill: Fill, losses: bool, folder: str | Path | None
    ) -> tuple[Outcome, Recorder]:
        n_lesions, n_images = int(np.prod(asked.shape)), self.n_images
        recorder = Recorder.of(n_images, self.task.answers_each, n_lesions, losses, folder)
        outcome = self._answer(asked, fill, recorder)
        if outcome.n_images != n_images:
            raise ValueError(
                f"the images are a stream of {n_images}, by its length, and it gave "
                f"{outcome.n_images}"
            )
        return outcome, recorder

    def own_answers(self) -> OwnAnswers:
        """What the network answers on each image without a lesion, the loss of the image's label,
        and its margin.

        Raises:
            ValueError: answers that are numbers.
        """
        fragile.check_task(self.task, "what the network answers")
        with self._as_it_was():
            return fragile.own_answers(self._runner)

    def fragility(self, units: np.ndarray | None = None, fill: Fill = None) -> Fragility:
        """The share of lesions of one unit that change the answer to each image, right or wrong.

        Args:
            units: int (n,), the units that are lesioned, each alone; None for all.

        Raises:
            ValueError: as for `single_units`; answers that are numbers.
        """
        intact = self.own_answers()
        engine = self.on_own_answers(intact.predicted)
        found = engine.answers(units=units, fill=fill)
        n_tied = int(found.outcome.n_tied.sum())
        return Fragility(found.n_changed, found.n_lesions, n_tied, intact)

    def flips(
        self, images: np.ndarray, *, most: int = 32, fill: Fill = None, pairs: bool = False
    ) -> Flips:
        """The fewest units that change the answer to each of some images, by greedy choice.

        The next unit is one that changes the answer, or, if none does, the one that raises the loss
        of the answer most. The greedy number is an upper bound; a lower bound comes with it.

        Args:
            images: int (n,), distinct. most: units of an image, 1 or more.
            pairs: try all pairs of units where none changes the answer alone, which takes
                n_units / 2 times as long as all units alone.

        Raises:
            ValueError: an image that does not exist or comes twice; answers that are numbers.
        """
        whole_number("most", most, "1 or more", 1)
        fragile.check_task(self.task, "flips")
        chosen = np.asarray(images)
        fits = chosen.ndim == 1 and (chosen.size == 0 or chosen.dtype.kind in "iu")
        if not fits or np.any((chosen < 0) | (chosen >= self.n_images)):
            raise ValueError(f"images must be numbers from 0 to {self.n_images - 1}, got {images}")
        in_order, place = np.unique(chosen, return_inverse=True)
        if len(in_order) < len(chosen):
            raise ValueError("images names an image twice")
        if not len(chosen):
            return Flips(chosen.astype(np.int64), (), *np.zeros((2, 0), np.int64))
        # Streams give images in their own order, whatever was asked for.
        engine = self.on_some(in_order).on_own_answers()
        found = fragile.flips(engine, most, fill, pairs)
        return Flips(
            chosen.astype(np.int64),
            tuple(found.units[one] for one in place),
            found.n_units[place],
            found.at_least[place],
        )

    def more_units(
        self, first: np.ndarray, most: int, fill: Fill = None
    ) -> list[tuple[np.ndarray, bool]]:
        """More and more units of each image, see `fragile.greedy`.

        Args:
            first: int (n_images,), the unit of each image to begin with. most: units of an image.
        """
        fills = fills_of(fill, self.layout, self._runner.masks)
        with self._as_it_was():
            return fragile.greedy(self._runner, fills, first, most)

    def noise(
        self,
        scales: np.ndarray,
        *,
        draws: int = 10,
        seed: int = 0,
        sigma: np.ndarray | None = None,
        whole_maps: bool = False,
    ) -> Outcome:
        """Gaussian noise on all units of all masked layers at once: an outcome (draws, n_scales).

        activation + scale * sigma * epsilon (paper section 2.2), epsilon ~ N(0, 1) drawn anew for
        each image, unit and position; the scales of a draw share it. The draws depend on the seed,
        the batch size and the backend.

        Args:
            scales: float (n_scales,), of the standard deviation, not of the variance.
            sigma: float (n_units,), each unit's standard deviation; None for that on the engine's
                images (one more pass).
            whole_maps: draw once for all positions of a feature map, which then move together.

        Raises:
            ValueError: a scale or sigma that is negative or not finite; bases were given.
        """
        whole_number("draws", draws, "1 or more", 1)
        whole_number("seed", seed, "0 or more", 0)
        try:
            scales = np.atleast_1d(np.asarray(scales, np.float32))
        except (TypeError, ValueError):
            raise ValueError(f"scales must be a list of numbers, got {scales!r}") from None
        fit = scales.ndim == 1 and scales.size > 0
        if not fit or not np.all(np.isfinite(scales)) or scales.min() < 0:
            raise ValueError(f"scales must be finite and not negative, one or more; got {scales}")
        if self._runner.bases:
            raise ValueError("noise is added to units; build the engine without bases")
        sigma = np.sqrt(self.statistics().variance) if sigma is None else np.asarray(sigma)
        if sigma.shape != (self.layout.n_units,) or not (np.isfinite(sigma) & (sigma >= 0)).all():
            raise ValueError(
                f"sigma must be {self.layout.n_units} standard deviations, one a unit; "
                f"got shape {sigma.shape}"
            )
        options: dict[str, Any] = {"draws": draws, "seed": seed, "whole_maps": whole_maps}
        with self._as_it_was():
            return noise.answer(self._runner, self.layout, scales, sigma, **options)

    def statistics(self, n_bins: int = 20, n_top: int = 10) -> UnitStatistics:
        """Activations of every unit, gathered in one pass over the images.

        Without classes all images count as one class, and what depends on classes is undefined.

        Args:
            n_bins: bins of mutual information, 2 or more. n_top: images kept for each unit.
        """
        whole_number("n_bins", n_bins, "2 or more")
        whole_number("n_top", n_top, "0 or more", 0)
        n_classes = self.n_classes if self.task.has_classes else 1
        gathered = Accumulator([size for _, size in self.layout.layers], n_classes, n_bins, n_top)
        intact = self._runner.intact((), tuple(range(len(self.layout.layers))))
        with self._as_it_was():
            for batch, (_, _, coordinates) in self._runner.each(intact):
                n = batch.n_real
                real = (np.arange(len(batch.labels)) < n).astype(np.float32)
                parts = [self._runner.summary(one, real) for one in coordinates]
                means, within, zeros = (
                    np.concatenate([part[which] for part in parts], axis=1)[:n]
                    for which in range(3)
                )
                sums = [np.moveaxis(part[3], 0, -1) for part in parts]
                labels = batch.labels[:n] if self.task.has_classes else np.zeros(n, np.int32)
                gathered.add(labels, means, within, zeros, sums)
        return gathered.result()

    def weight_norms(self) -> np.ndarray:
        """float64 (n_units,), L1 norm of each unit's incoming weights (paper appendix A.4).

        The weights as the layer has them: the scale of a BatchNorm after it does not count. The
        units of a residual block are sums, and have the weights of its last convolution.

        Raises:
            ValueError: a mask does not follow a dense or convolutional layer.
        """
        norms = []
        for number, (name, _) in enumerate(self.layout.layers):
            linear = self.network.feeding(number)
            if linear is None:
                raise ValueError(f"the units of {name} are not the outputs of one layer's weights")
            norms.append(linear.filter_norms)
        return np.concatenate(norms)

    def one_by_one(self, unit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Each image's loss and right answers, by plain Keras, with one unit clamped to zero.

        Args:
            unit: its number; None for the intact network.

        Returns:
            float64 (n_images,), and bool (n_images, n): n answers an image, 0 where none is right
            or wrong.
        """
        if unit is not None:
            self.layout.checked(np.asarray(unit))
        return self._plain.one_by_one(self.inputs, self.labels, unit)

    def check(self) -> None:
        """Verifies on one batch what every sweep relies on, against plain Keras.

        The intact network answers as the model does; and for each mask, the engine's answer with
        one unit clamped is that of the model with the mask assigned, where the unit reads its fill
        and its neighbours keep their values.

        Raises:
            RuntimeError: it does not; results would be wrong.
        """
        batch = next(iter(self._runner.batches))
        images, labels = rows(batch.images, slice(batch.n_real)), batch.labels[: batch.n_real]
        # The same compiled graphs as for the sweeps, on one batch.
        if self._examples.is_stream:
            engine = self.on(images, labels)
        else:
            engine = self.on_some(np.arange(batch.n_real))
        engine._runner.on_progress = lambda pairs: None
        walks = by_walk.layers_to_walk(self._runner) is not None
        check.check_lesions(engine, self._plain, self._runner.bases, images, labels, walks)

    def _answer(self, asked: Lesions, fill: Fill, record: Recorder | None = None) -> Outcome:
        with self._as_it_was():
            return answers.answer(self._runner, self.layout, asked, fill, record)

    @contextlib.contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """Inside this block the model's layers are as they were when the engine was made.

        Raises:
            ValueError: the layers were given other variables since.
        """
        self._runner.check_unchanged()
        with self._state.held():
            yield
