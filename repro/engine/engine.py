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

import copy
import functools
import itertools
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

from repro.engine import passes, tasks, verify, walk
from repro.engine import tally as tallies
from repro.engine.activity import Accumulator, UnitStatistics
from repro.engine.batches import Batch, Batches, checked_input, count, rows
from repro.engine.examples import Examples, examples, targets_for
from repro.engine.network import Linear, Network, trace, values_of
from repro.engine.tally import TIES, TOP
from repro.engine.tasks import Task
from repro.models.adapted import Adapted
from repro.models.graph import is_functional
from repro.models.heads import Compiled
from repro.models.inputs import structure_of
from repro.models.masking import AblationMask, ablation_masks, layer_of
from repro.models.outputs import names_of, place_of, with_output

Fill = np.ndarray | Sequence[np.ndarray] | None
"""What ablated units read: None for zero; float (n_units,); or for each layer an array that
broadcasts against its activation, (*positions, n_units), for a mean per position."""

# The bound on memory, in float32 elements. A call's rows times the widest activation that it
# computes: few enough to stay near a processor's cache, more where a GPU wants to be filled. A
# batch's images times all activations of the network, which may all be shared by lesions.
_ELEMENTS_XLA, _ELEMENTS_GRAPH, _ELEMENTS_GPU = 1 << 20, 1 << 22, 1 << 26
_ELEMENTS_SHARED = 1 << 27
_IMAGES_PER_BATCH = 10_000
# Pairs of an image and a lesion that are sorted out, evaluated and counted as one piece, and the
# lesions of many units among them.
_PAIRS_PER_PIECE = 1 << 22
_ROWS_PER_CALL = 1 << 17
_LESIONS_PER_PIECE = 256
# Images on which it is tried whether a model answers image by image.
_IMAGES_TRIED = 32
_IMAGES_BY_IMAGE = 5
_IMAGES_PER_CALL = 100  # of plain Keras
# Narrow networks have a multiple of so many units: full vector registers, and few shapes.
_UNITS_STEP = 16

_log = logging.getLogger(__name__)
T = TypeVar("T")
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # rank, loss, tied: see passes.Tally
_Piece = tuple[int, np.ndarray, np.ndarray, Rows]  # pairs; and of each row lesion, image, tally


@dataclass(frozen=True)
class Layout:
    """Where the units are: layers in the network's order, units numbered through all of them."""

    layers: tuple[tuple[str, int], ...]

    @property
    def n_units(self) -> int:
        return sum(size for _, size in self.layers)

    @property
    def starts(self) -> tuple[int, ...]:
        """Number of the first unit of each layer."""
        return tuple(int(start) for start in np.cumsum([0] + [size for _, size in self.layers]))[
            :-1
        ]

    def split(self, per_unit: np.ndarray) -> list[np.ndarray]:
        """Cuts (..., n_units) into one (..., size) per layer."""
        return np.split(per_unit, self.starts[1:], axis=-1)

    def units(self, layer: str) -> np.ndarray:
        """int (size,), the numbers of a layer's units.

        Raises:
            ValueError: no layer of that name has a mask.
        """
        for (name, size), start in zip(self.layers, self.starts, strict=True):
            if name == layer:
                return np.arange(start, start + size)
        raise ValueError(
            f"no mask stands after a layer {layer!r}; masked layers are "
            + ", ".join(name for name, _ in self.layers)
        )


@dataclass(frozen=True)
class Outcome:
    """What the network answered under each lesion. Lesions may have several axes.

    n_correct: int64 (*lesions, n_classes), correctly classified images of each class; of several
        yes-or-no answers the right ones of each; (*lesions, 0) where no answer is right or wrong.
    loss_sum: float64 (*lesions,), summed over the images: cross-entropy in nats, or what the task
        takes for it (`engine.tasks`).
    n_top5: int64 (*lesions,), images whose class is among the five best.
    n_tied: int64 (*lesions,), images whose two best logits differ by less than rounding explains
        (`engine.tally.TIES`); for these, and only these, another order of summation may give
        another class.
    n_images: how many images.
    n_answers: of each image, that are right or wrong.
    """

    n_correct: np.ndarray
    loss_sum: np.ndarray
    n_top5: np.ndarray
    n_tied: np.ndarray
    n_images: int
    n_answers: int = 1

    @property
    def accuracy(self) -> np.ndarray:
        """float64 (*lesions,), in [0, 1]: the share of right answers; NaN where none is right or
        wrong."""
        if not self.n_answers:
            return np.full(np.shape(self.loss_sum), np.nan)
        return self.n_correct.sum(axis=-1) / (self.n_images * self.n_answers)

    @property
    def top5_accuracy(self) -> np.ndarray:
        """float64 (*lesions,), in [0, 1]; 1 where there are five classes or fewer."""
        return self.n_top5 / self.n_images

    @property
    def loss(self) -> np.ndarray:
        """float64 (*lesions,), mean cross-entropy in nats."""
        return self.loss_sum / self.n_images

    def __add__(self, other: Outcome) -> Outcome:
        """The same lesions on the images of both."""
        return Outcome(
            self.n_correct + other.n_correct,
            self.loss_sum + other.loss_sum,
            self.n_top5 + other.n_top5,
            self.n_tied + other.n_tied,
            self.n_images + other.n_images,
            self.n_answers,
        )

    def reshape(self, *lesions: int) -> Outcome:
        """The same answers with other lesion axes."""
        return Outcome(
            self.n_correct.reshape(*lesions, self.n_correct.shape[-1]),
            self.loss_sum.reshape(lesions),
            self.n_top5.reshape(lesions),
            self.n_tied.reshape(lesions),
            self.n_images,
            self.n_answers,
        )


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
            `_ELEMENTS_SHARED`, 10,000 at most.
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
        reference = reference or model
        self._model = with_output(model, output if len(model.outputs) > 1 else None)
        masks = {mask.name: mask for mask in ablation_masks(self._model)}
        _check_intact(list(masks.values()))
        verify.check_weights(self._model)
        whole = reference if is_functional(reference) else model
        place = place_of(whole, output if len(whole.outputs) > 1 else None)
        self._output = output
        self._outputs: tuple[Sequence[str], int] = names_of(whole), place
        found = examples(images, labels, self._model, *self._outputs)
        few, of_few = found.pilot(_IMAGES_TRIED)
        _check_inputs(few, self._model)
        answers = verify.answers_of(reference, few, output, self._model)
        verify.check_finite(reference, answers, few)
        network = trace(self._model)
        self.task: Task = tasks.find(
            answers,
            network.shape,
            network.ending,
            of_few if found.is_stream else found.targets,
            task=task,
            score=score,
            higher_is_better=higher_is_better,
            from_logits=from_logits,
            compiled=Compiled.of(reference, output),
            precision=network.precision,
        )
        leave_out = bool(self.task.ending)
        self._network = network if network.left_out == leave_out else trace(self._model, leave_out)
        self._weights = values_of(self._model.variables)
        self._adapted = Adapted(self._model)
        self._masks = [masks[node.name] for node in self._network.masks]
        self.layout = Layout(tuple((layer_of(mask), mask.n_units) for mask in self._masks))
        self.n_classes = self.task.n_columns
        self.class_names: tuple[str, ...] = tuple(class_names)
        self._options = {
            "task": task,
            "score": score,
            "higher_is_better": higher_is_better,
            "from_logits": from_logits,
        }
        self._bases = self._checked_bases(bases or {})
        if batch_size is None:
            batch_size = min(_IMAGES_PER_BATCH, _ELEMENTS_SHARED // max(1, self._network.width))
        self._batch_size = batch_size
        self._threads, self._on_progress = threads, on_progress
        # On CPU, XLA makes dense networks faster and convolutions slower by half.
        dense = all(len(mask.output.shape) == 2 for mask in self._masks)
        gpu = _has_gpu()
        self._xla = dense or gpu or keras.backend.backend() == "jax"
        if self._xla and keras.backend.backend() == "tensorflow":
            after = self._network.downstream(range(len(self._masks)))
            self._xla = not any(node.on_host for node in after)
        self._on_host = not gpu
        self._elements = _ELEMENTS_GPU if gpu else _ELEMENTS_XLA if self._xla else _ELEMENTS_GRAPH
        self._tie = TIES[self._network.precision]
        self._tally = tallies.tally_for(self.task, self._xla, self._tie)
        self._compiled: dict[Any, Any] = {}
        self._read_examples(found)
        if self._network.unproven:
            self._check_chance(answers, verify.answers_of(reference, few, output, self._model))
            self._check_by_image()
        targets = self._few_targets(few)
        self.witness: tuple[Any, np.ndarray] = few, answers
        verify.check(reference, self._network, self.task, self._tally, few, answers, targets)
        losses = verify.plain_losses(self.task, answers, targets)
        self.own_loss: str = verify.own_loss_words(
            reference,
            output,
            self.task,
            few,
            of_few,
            math.nan if losses is None else float(losses.mean()),
            self._network.precision,
        )

    def on(self, images: Any, labels: Any = None) -> Engine:
        """The same network asked on other images, with the same compiled graphs.

        Args and errors as for the constructor.
        """
        other = copy.copy(self)
        other._read_examples(examples(images, labels, self._model, *self._outputs))
        return other

    def on_some(self, places: np.ndarray) -> Engine:
        """The same network asked on some of its images, int (n,)."""
        other = copy.copy(self)
        other._read_examples(self._examples.take(places))
        return other

    def _read_examples(self, found: Examples) -> None:
        """Takes these images to answer on."""
        self._examples = found
        shapes = [tuple(x.shape[1:]) for x in keras.tree.flatten(structure_of(self._model))]
        options: dict[str, Any] = {
            "image_shape": shapes[0] if len(shapes) == 1 else tuple(shapes),
            "batch_size": self._batch_size,
        }
        classes = self.n_classes if self.task.has_classes else 0
        if found.is_stream:
            if not classes:
                raise ValueError("a stream gives class labels, and the model answers no classes")
            self._batches = Batches(found.inputs, None, n_classes=classes, **options)
        else:
            targets, names = targets_for(self.task, found, self.class_names)
            self.class_names = names
            self._batches = Batches(found.inputs, targets, n_classes=classes, **options)
        self._most_images = self._batches.batch_size
        self._held: tuple[Any, Any] | None = None  # the only batch, on the device
        if self.task.kind == "agreement":
            remembered = self._remembered(found.inputs)
            self._batches = Batches(found.inputs, remembered, n_classes=0, **options)

    def _remembered(self, inputs: Any) -> np.ndarray:
        """What the intact network answers, as targets of its own agreement."""
        intact = self._intact((self._network.logits,), (), tallied=False)
        parts = []
        for batch, (_, (outputs,), _) in self._each(lambda batch: intact(*self._on_device(batch))):
            parts.append(_numpy(self._tally.targets(outputs))[: batch.n_real])
        self._held = None
        return np.concatenate(parts)

    def _few_targets(self, few: Any) -> np.ndarray:
        """The targets of the pilot images."""
        if self._examples.is_stream:
            return np.asarray(self._examples.pilot(count(few))[1])
        n = len(self._examples)
        places = np.unique(np.linspace(0, n - 1, min(_IMAGES_TRIED, n)).astype(np.int64))
        return self._batches.labels[places]

    @property
    def network(self) -> Network:
        """The model as the engine asks it."""
        return self._network

    @property
    def n_images(self) -> int:
        """How many images it answers on."""
        return len(self._examples)

    @property
    def asked(self) -> dict[str, Any]:
        """What another engine of the same model is to be given to ask the same, by argument."""
        inputs, targets = self._examples.inputs, self._examples.targets
        one = not isinstance(inputs, tuple)
        options = {**self._options, "from_logits": self._from_logits}
        return {
            "images": inputs if one else list(inputs),
            "labels": targets,
            "class_names": self.class_names,
            **options,
        }

    @property
    def _from_logits(self) -> bool | None:
        """What from_logits would have the same effect as what was found."""
        reads = self.task.reads in ("classes", "binary", "labels") and self.task.kind != "score"
        return not self.task.probabilities if reads else None

    def one_by_one(self, unit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Each image's loss and right answers, by plain Keras, with one unit clamped to zero.

        Args:
            unit: its number; None for the intact network.

        Returns:
            float64 (n_images,), and bool (n_images, n): n answers an image, 0 where none is right
            or wrong.
        """
        keep = np.ones(self.layout.n_units, np.float32)
        if unit is not None:
            keep[unit] = 0
        instead = [
            (mask.keep, part)
            for mask, part in zip(self._masks, self.layout.split(keep), strict=True)
        ]
        losses, right = [], []
        for start in range(0, self.n_images, _IMAGES_PER_CALL):
            part = slice(start, start + _IMAGES_PER_CALL)
            answered, _ = self._plain(rows(self.inputs, part), instead)
            targets = self.labels[part]
            losses.append(verify.losses_of(self.task, answered, targets))
            hits = verify.hits_of(self.task, answered.answers, targets)
            right.append(hits.reshape(len(hits), -1))
        return np.concatenate(losses), np.concatenate(right)

    @property
    def labels(self) -> np.ndarray:
        """The targets of all images as the task takes them, (n_images, ...); not of a stream."""
        return self._batches.labels

    @property
    def inputs(self) -> Any:
        """All images, (n_images, ...), or a tuple of such arrays; not of a stream."""
        return self._batches.images

    # --- Questions ----------------------------------------------------------------------------

    def evaluate(self, keep: np.ndarray, fill: Fill = None) -> Outcome:
        """Any lesions.

        Args:
            keep: (n_lesions, n_units), 1 or True where a unit is intact, 0 where it is ablated,
                over all layers in the order of `layout`.

        Raises:
            ValueError: wrong shape, or a keep that is neither 0 nor 1.
        """
        keep = np.asarray(keep)
        if keep.ndim != 2 or keep.shape[1] != self.layout.n_units:
            raise ValueError(
                f"keep must have shape (n_lesions, {self.layout.n_units}), got {keep.shape}; "
                "pass one column per unit over all ablated layers"
            )
        if not np.all((keep == 0) | (keep == 1)):
            raise ValueError("keep must be 1 (intact) or 0 (ablated) everywhere")
        kept = keep.astype(bool)
        return self._answer(len(kept), lambda lesions: kept[lesions], self._fills(fill))

    def intact(self) -> Outcome:
        """The network without a lesion; its arrays have no lesion axis."""
        layers = self._dense_layers()
        if layers is None:
            return self.evaluate(np.ones((1, self.layout.n_units), bool)).reshape()
        # As a lesion of no unit, so that a unit which does nothing has an importance of exactly 0.
        nothing, fills = np.array([walk.NO_UNIT]), self._fills(None)
        return self._walked(
            nothing.shape,
            lambda units, labels, **options: walk.single_units(
                layers, units, labels, nothing, fills, **options
            ),
        ).reshape()

    def single_units(self, fill: Fill = None, units: np.ndarray | None = None) -> Outcome:
        """Every unit ablated alone (importance, paper section 3.4): an outcome (n_units,).

        Args:
            units: int (n,), only these; the outcome is then (n,).

        Raises:
            ValueError: a unit that does not exist.
        """
        n_units = self.layout.n_units
        chosen = np.arange(n_units) if units is None else self._checked_units(units)
        layers, fills = self._dense_layers(), self._fills(fill)
        if layers is not None:
            return self._walked(
                chosen.shape,
                lambda units, labels, **options: walk.single_units(
                    layers, units, labels, chosen, fills, **options
                ),
            )

        def keep(lesions: np.ndarray) -> np.ndarray:
            return np.arange(n_units) != chosen[lesions, None]

        return self._answer(len(chosen), keep, fills)

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
        orders = np.atleast_2d(self._checked_units(orders))
        if orders.ndim != 2:
            raise ValueError(f"orders must have shape (n_orders, n), got {orders.shape}")
        n_orders, length = orders.shape
        if any(len(set(order)) < length for order in orders.tolist()):
            raise ValueError("an order names a unit twice; a unit can be ablated once")
        counts = np.arange(length + 1) if n_ablated is None else np.asarray(n_ablated)
        integers = np.issubdtype(counts.dtype, np.integer)
        if not integers or counts.ndim != 1 or np.any((counts < 0) | (counts > length)):
            raise ValueError(
                f"n_ablated must be integers from 0 to {length}, the units of an order; "
                f"got {counts}"
            )
        counts = counts.astype(np.int64)
        fills = self._fills(fill)
        layers = self._dense_layers()
        if layers is not None:
            return self._walked(
                (n_orders, len(counts)),
                lambda units, labels, **options: walk.walk(
                    layers, units, labels, orders, counts, fills, **options
                ),
            )
        # Point k of an order: its first k units are ablated. Ranks turn that into one comparison.
        ranks = np.full((n_orders, self.layout.n_units), length)
        np.put_along_axis(ranks, orders, np.arange(length)[None], axis=1)

        def keep(lesions: np.ndarray) -> np.ndarray:
            order, point = np.divmod(lesions, len(counts))
            return ranks[order] >= counts[point, None]

        first = int(np.searchsorted(self.layout.starts, orders.min(), side="right")) - 1
        if not self._xla and self._returns(first):
            return self._returning(first, ranks, counts, fills)
        answer = self._answer(n_orders * len(counts), keep, fills)
        return answer.reshape(n_orders, len(counts))

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
        scales = np.atleast_1d(np.asarray(scales, np.float32))
        fit = scales.ndim == 1 and scales.size > 0
        if not fit or not np.all(np.isfinite(scales)) or scales.min() < 0:
            raise ValueError(f"scales must be finite and not negative, one or more; got {scales}")
        if self._bases:
            raise ValueError("noise is added to units; build the engine without bases")
        sigma = np.sqrt(self.statistics().variance) if sigma is None else np.asarray(sigma)
        if sigma.shape != (self.layout.n_units,) or not (np.isfinite(sigma) & (sigma >= 0)).all():
            raise ValueError(
                f"sigma must be {self.layout.n_units} standard deviations, one a unit; "
                f"got shape {sigma.shape}"
            )
        sigmas = self.layout.split(sigma.astype(np.float32))
        totals = self._totals(draws * len(scales))
        noise = self._once(("noise", whole_maps), lambda: passes.Noise(self._network, whole_maps))

        def tallied(images: Any, labels: Any, *arguments: Any) -> Any:
            tiles = (len(scales), *[1] * (len(labels.shape) - 1))
            return self._tally(noise(images, *arguments), ops.tile(labels, tiles))

        key = ("noise", whole_maps, len(scales))
        run = self._once(key, lambda: passes.compiled(tallied, self._xla))
        n_images = block = 0
        self._check_unchanged()
        for batch in self._batches:
            start = 0
            while start < batch.n_real:
                most = max(1, self._elements // (noise.width * len(scales)))
                part = slice(start, start + min(most, len(batch.labels)))
                images, labels = rows(batch.images, part), batch.labels[part]
                n = min(len(labels), batch.n_real - start)
                try:
                    found = [
                        [_numpy(row) for row in run(images, labels, scales, sigmas, state)]
                        for state in (
                            np.array([seed, (block * draws + draw) * len(self._masks)], np.uint32)
                            for draw in range(draws)
                        )
                    ]
                except Exception as error:
                    self._make_smaller(error)
                    continue
                columns = self.task.columns(labels[:n])
                columns = None if columns is None else np.tile(columns, len(scales))
                for draw, each in enumerate(found):
                    rank, loss, tied = (_of_scales(row, len(scales), n) for row in each)
                    lesion = np.repeat(draw * len(scales) + np.arange(len(scales)), n)
                    totals.add(lesion, columns, rank, loss, tied)
                start += n
                block += 1
            n_images += batch.n_real
            self._on_progress(batch.n_real * draws * len(scales))
        return totals.outcome(n_images).reshape(draws, len(scales))

    def statistics(self, n_bins: int = 20, n_top: int = 10) -> UnitStatistics:
        """Activations of every unit, gathered in one pass over the images.

        Of a task without classes all images count as one class.

        Args:
            n_bins: bins of mutual information, 2 or more. n_top: images kept for each unit.
        """
        every = range(len(self._masks))
        intact = self._intact((), tuple(every))
        # Without classes all images are of one, and what depends on classes is not defined.
        n_classes = self.n_classes if self.task.has_classes else 1
        gathered = Accumulator([size for _, size in self.layout.layers], n_classes, n_bins, n_top)
        for batch, (_, _, coordinates) in self._each(lambda batch: intact(*self._on_device(batch))):
            real = (np.arange(len(batch.labels)) < batch.n_real).astype(np.float32)
            n = batch.n_real
            parts = [[_numpy(part) for part in self._summary(one, real)] for one in coordinates]
            means, within, zeros = (
                np.concatenate([part[which] for part in parts], axis=1)[:n] for which in range(3)
            )
            sums = [np.moveaxis(part[3], 0, -1) for part in parts]
            labels = batch.labels[:n] if self.task.has_classes else np.zeros(n, np.int32)
            gathered.add(labels, means, within, zeros, sums)
        return gathered.result()

    def weight_norms(self) -> np.ndarray:
        """float64 (n_units,), L1 norm of each unit's incoming weights (paper appendix A.4).

        The weights as the layer has them: the scale of a BatchNorm after it does not count. Of a
        residual block, whose units are sums, its last convolution's.

        Raises:
            ValueError: a mask does not follow a dense or convolutional layer.
        """
        norms = []
        for number, (name, _) in enumerate(self.layout.layers):
            linear = self._network.feeding(number)
            if linear is None:
                raise ValueError(f"the units of {name} are not the outputs of one layer's weights")
            norms.append(linear.filter_norms)
        return np.concatenate(norms)

    def check(self) -> None:
        """Verifies on one batch what every sweep relies on, against plain Keras.

        The intact network answers as the model does; and for each mask, the engine's answer with
        one unit clamped is that of the model with the mask assigned, where the unit reads its fill
        and its neighbours keep their values.

        Raises:
            RuntimeError: it does not; results would be wrong.
        """
        batch = next(iter(self._batches))
        images, labels = rows(batch.images, slice(batch.n_real)), batch.labels[: batch.n_real]
        # The same compiled graphs as for the sweeps, on one batch.
        engine = (
            self.on_some(np.arange(batch.n_real))
            if not self._examples.is_stream
            else (self.on(images, labels))
        )
        engine._on_progress = lambda pairs: None
        units = [mask.n_units // 2 for mask in self._masks]
        answered, plain = self._plain(images)
        # Not zero and not what any unit reads, so that the lesion cannot go unnoticed; a power of
        # two, which every type of numbers holds exactly.
        largest = [max(0.25, float(np.max(np.abs(activation)))) for activation in plain]
        values = [2.0 ** (math.floor(math.log2(value)) + 1) for value in largest]
        numbers = [start + unit for start, unit in zip(self.layout.starts, units, strict=True)]
        fill = np.zeros(self.layout.n_units)
        fill[numbers] = values
        keep = np.ones((1 + len(numbers), self.layout.n_units), bool)
        keep[1 + np.arange(len(numbers)), numbers] = False
        intact_loss, *lesioned_loss = engine.evaluate(keep, fill).loss_sum
        answers: list[Any] = [lesioned_loss]
        if engine._dense_layers() is not None:  # then other loops answer of units alone
            answers.append(engine.single_units(fill, np.array(numbers)).loss_sum)
        if not self._close(intact_loss, self._plain_loss(answered, labels), len(labels)):
            raise RuntimeError("the engine's intact network does not answer as the model does")
        for number, (mask, unit, value) in enumerate(zip(self._masks, units, values, strict=True)):
            if number in self._bases:
                continue  # its units are not those of the model's mask
            name = self.layout.layers[number][0]
            ablated = (np.arange(mask.n_units) == unit).astype(np.float32)
            instead = [
                (mask.keep, 1 - ablated),
                (mask.fill, np.broadcast_to(value * ablated, mask.fill.shape)),
            ]
            answered, activations = self._plain(images, instead)
            expected = plain[number].copy()
            expected[..., unit] = value
            if not np.array_equal(activations[number], expected):
                raise RuntimeError(f"unit {unit} of {name} was lesioned but does not read its fill")
            loss = self._plain_loss(answered, labels)
            if not all(self._close(found[number], loss, len(labels)) for found in answers):
                raise RuntimeError(
                    f"with unit {unit} of {name} clamped the engine does not answer as the model"
                )
        if len(answers) > 1 and not self._bases:
            one_by_one = np.array(numbers)[None]
            curve = engine.cumulative(one_by_one, np.array([len(numbers)]), fill)
            instead = []
            for mask, kept, of_mask in zip(
                self._masks,
                self.layout.split(np.all(keep, axis=0)),
                self.layout.split(fill),
                strict=True,
            ):
                instead.append((mask.keep, kept.astype(np.float32)))
                instead.append((mask.fill, np.broadcast_to(of_mask, mask.fill.shape)))
            answered, _ = self._plain(images, instead)
            if not self._close(
                curve.loss_sum[0, 0], self._plain_loss(answered, labels), len(labels)
            ):
                raise RuntimeError(
                    "with one unit of each layer clamped the engine does not answer as the model"
                )

    # --- How they are answered ----------------------------------------------------------------

    def _answer(
        self, n_lesions: int, keep: Callable[[np.ndarray], np.ndarray], fills: list[np.ndarray]
    ) -> Outcome:
        """Any lesions, each batch of images computed intact once.

        Args:
            keep: from lesion numbers (n,) to bool (n, n_units). Asked for a part at a time, so
                that memory does not grow with the number of lesions.
        """
        totals = self._totals(n_lesions)
        single, many = self._sorted(n_lesions, keep)
        single_passes = {mask: self._pass(passes.SingleUnit, mask) for mask in single}
        kind = passes.ManyUnits if self._xla else passes.Narrow
        many_passes: dict[int, Any] = {mask: self._pass(kind, mask) for mask in many}
        tensors = tuple(
            dict.fromkeys(
                tensor
                for each in (*single_passes.values(), *many_passes.values())
                for tensor in each.shared
            )
        )
        masks = tuple(sorted({*single, *many}))
        intact = self._intact(tensors, masks)
        n_images = 0
        for batch, (tally, values, coordinates) in self._each(
            lambda batch: intact(*self._on_device(batch))
        ):
            shared = _Shared(
                batch,
                dict(zip(tensors, values, strict=True)),
                dict(zip(masks, coordinates, strict=True)),
                tuple(_numpy(part)[: batch.n_real] for part in tally[:3]),
                tally[3],
                {
                    mask: self._active(one, fills[mask])[: batch.n_real]
                    for mask, one in zip(masks, coordinates, strict=True)
                },
            )
            columns = self.task.columns(batch.labels)
            totals.add_to_all(columns, *shared.tally)
            pieces = itertools.chain(
                *(
                    self._single_pieces(single_passes[mask], mask, *lesions, shared, fills)
                    for mask, lesions in single.items()
                ),
                *(
                    self._many_pieces(many_passes[mask], mask, lesions, keep, shared, fills)
                    for mask, lesions in many.items()
                ),
            )
            untouched = n_lesions * batch.n_real
            for n_pairs, lesion, image, tallied in pieces:
                totals.replace(lesion, image, columns, shared.tally, tallied)
                self._on_progress(n_pairs)
                untouched -= n_pairs
            self._on_progress(untouched)
            n_images += batch.n_real
        return totals.outcome(n_images)

    def _sorted(
        self, n_lesions: int, keep: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[dict[int, tuple[np.ndarray, np.ndarray]], dict[int, np.ndarray]]:
        """Which lesions clamp a single unit, and where the others begin.

        Returns:
            {mask: (lesions, their units within the mask)} and {first mask touched: lesions}.
            Lesions of nothing are in neither.
        """
        singles: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        others: dict[int, list[np.ndarray]] = {}
        for start in range(0, n_lesions, _LESIONS_PER_PIECE):
            lesions = np.arange(start, min(start + _LESIONS_PER_PIECE, n_lesions))
            ablated = self.layout.split(~keep(lesions))
            counts = np.stack([part.sum(axis=1) for part in ablated], axis=1)
            alone = counts.sum(axis=1) == 1
            first = (counts > 0).argmax(axis=1)
            for mask in range(len(ablated)):
                here = (first == mask) & (counts[:, mask] > 0)
                if np.any(here & alone):
                    units = ablated[mask][here & alone].argmax(axis=1)
                    singles.setdefault(mask, []).append((lesions[here & alone], units))
                if np.any(here & ~alone):
                    others.setdefault(mask, []).append(lesions[here & ~alone])
        return (
            {
                mask: (np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts]))
                for mask, parts in sorted(singles.items())
            },
            {mask: np.concatenate(parts) for mask, parts in sorted(others.items())},
        )

    def _single_pieces(
        self,
        run: passes.SingleUnit,
        mask: int,
        lesions: np.ndarray,
        units: np.ndarray,
        shared: _Shared,
        fills: list[np.ndarray],
    ) -> Iterator[_Piece]:
        """Lesions of one unit each, on the images where that unit is active."""
        fill = np.moveaxis(fills[mask], -1, 0)
        tensors = [*(shared.tensors[tensor] for tensor in run.shared), shared.coordinates[mask]]

        def tallied(image: np.ndarray, unit: np.ndarray) -> Rows:
            return self._rows(run, tensors, shared, image, unit, (fill,))

        if not self._xla:
            for lesion, unit in zip(lesions, units, strict=True):
                image = np.flatnonzero(shared.active[mask][:, unit])
                found = tallied(image, np.asarray(unit))
                yield shared.batch.n_real, np.full(len(image), lesion), image, found
            return
        for chunk, images in self._cut(len(lesions), shared.batch.n_real):
            active = shared.active[mask][images]
            if not np.array_equal(units[chunk], np.arange(active.shape[1])):
                active = active[:, units[chunk]]
            # Image by image: the rows of one image share what they have brought into the cache.
            image, index = np.divmod(np.flatnonzero(active), active.shape[1])
            image += images.start
            found = tallied(image, units[chunk][index])
            yield active.size, lesions[chunk][index], image, found

    def _many_pieces(
        self,
        run: passes.ManyUnits | passes.Narrow,
        first: int,
        lesions: np.ndarray,
        keep: Callable[[np.ndarray], np.ndarray],
        shared: _Shared,
        fills: list[np.ndarray],
    ) -> Iterator[_Piece]:
        """Lesions of any units from the first mask on."""
        tensors = [shared.tensors[tensor] for tensor in run.shared]
        filled = any(np.any(fill) for fill in fills[first:])

        most = 1 if isinstance(run, passes.Narrow) else _LESIONS_PER_PIECE
        for chunk, images in self._cut(len(lesions), shared.batch.n_real, most):
            kept = keep(lesions[chunk])
            keeps = self.layout.split(kept)[first:]
            # A lesion within one layer leaves the images alone on which its units are silent.
            elsewhere = ~np.all([part.all(axis=1) for part in keeps[1:]], axis=0)
            silenced = (~keeps[0]).T.astype(np.float32)
            active = (shared.active[first][images].astype(np.float32) @ silenced > 0) | elsewhere
            if isinstance(run, passes.ManyUnits):
                image, index = np.divmod(np.flatnonzero(active), active.shape[1])
                image += images.start
                padded = np.ones((_LESIONS_PER_PIECE, kept.shape[1]), np.float32)
                padded[: len(kept)] = kept
                arguments = (self.layout.split(padded)[first:], fills[first:])
                found = self._rows(run, tensors, shared, image, index, arguments)
                yield active.size, lesions[chunk][index], image, found
                continue
            image = images.start + np.flatnonzero(active[:, 0])
            one = [part[0] for part in keeps]
            computed = [_computed(part) for part in one]
            one_kept = [part.astype(np.float32) for part in one]
            found = self._rows(
                run, tensors, shared, image, None, (computed, one_kept, fills[first:], filled)
            )
            yield active.size, np.full(len(image), lesions[chunk][0]), image, found

    def _cut(
        self, n_lesions: int, n_images: int, most: int | None = None
    ) -> Iterator[tuple[slice, slice]]:
        """Pairs of lesions and images in pieces of about `_PAIRS_PER_PIECE`."""
        most = min(most or n_lesions, max(1, _PAIRS_PER_PIECE))
        for start in range(0, n_lesions, most):
            chunk = slice(start, min(start + most, n_lesions))
            n = max(1, _PAIRS_PER_PIECE // (chunk.stop - chunk.start))
            for image in range(0, n_images, n):
                yield chunk, slice(image, min(image + n, n_images))

    def _rows(
        self,
        run: Any,
        tensors: list[Any],
        shared: _Shared,
        image: np.ndarray,
        index: np.ndarray | None,
        arguments: tuple[Any, ...],
    ) -> Rows:
        """The tally of rows (image, index), in calls that fit in memory; an index without an axis
        is that of all rows.

        Call by call: TensorFlow's own threads share each. Where graphs were traced and run from
        several threads, with oneDNN's convolutions, a lesion came out wrong now and then in
        first evaluations (docs/benchmarks.md).
        """
        n, start = len(image), 0
        image = image.astype(np.int32)
        index = None if index is None else index.astype(np.int32)
        found: list[Rows] = []
        while start < n:
            block = self._rows_per_block(run.width)
            if self._xla:
                # XLA compiles for each size: so there are few, and the rest is padding.
                size = min(block, _ROWS_PER_CALL)
                while size < min(n - start, _ROWS_PER_CALL):
                    size *= 2
                block = min(block, size)
            else:
                size = min(block, n - start)
            part = slice(start, min(start + size, n))
            n_part = part.stop - part.start
            # One lesion on every image: nothing to pick.
            whole = n_part == len(shared.scale) and (index is None or not index.ndim)
            given: list[Any] = [None if whole and not self._xla else image[part]]
            if index is not None:
                given.append(index[part] if index.ndim else index)
            if self._xla:
                given = [np.int32(n_part), *(np.resize(one, size) for one in given)]
            call = self._once((run, block), functools.partial(self._tallied, run, block))
            try:
                of_images = (shared.batch.labels, shared.scale)
                tallied = call(tensors, of_images, *given, *arguments)
            except Exception as error:
                self._make_smaller(error)
                continue
            rank, loss, tied = (_numpy(row)[:n_part] for row in tallied)
            found.append((rank, loss, tied))
            start = part.stop
        if not found:
            rank = shared.tally[0][:0]
            return rank, np.zeros(0, np.float32), np.zeros(0, bool)
        rank, loss, tied = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return rank, loss, tied

    def _tallied(self, run: Any, block: int) -> Any:
        """A pass compiled together with the tally of its rows."""
        tally = self._tally

        def plain(tensors: Any, of_images: Any, image: Any, *rest: Any) -> Any:
            labels, scale = (passes.of_images(part, image) for part in of_images)
            return tally(run(tensors, image, *rest), labels, scale)

        def in_blocks(
            tensors: Any, of_images: Any, n_rows: Any, image: Any, index: Any, *arguments: Any
        ) -> Any:
            """In a loop over blocks: what a block needs is allocated once and stays in the cache.
            Rows beyond the given number are padding."""

            def step(start: Any, logits: Any) -> Any:
                rows = (ops.slice(each, (start,), (block,)) for each in (image, index))
                part = ops.cast(run(tensors, *rows, *arguments), "float32")
                place = (start, *[0] * len(tally.shape))
                return start + block, ops.slice_update(
                    logits, place, ops.reshape(part, (block, *tally.shape))
                )

            labels, scale = (ops.take(part, image, axis=0) for part in of_images)
            if image.shape[0] == block:
                return tally(run(tensors, image, index, *arguments), labels, scale)
            logits = ops.zeros((*ops.shape(image), *tally.shape))
            start = ops.zeros((), "int32")
            _, logits = ops.while_loop(lambda start, _: start < n_rows, step, (start, logits))
            return tally(logits, labels, scale)

        return passes.compiled(in_blocks if self._xla else plain, self._xla)

    def _rows_per_block(self, width: int) -> int:
        """How many rows of so many elements one step computes; a power of two."""
        return 1 << max(0, (self._elements // max(1, width)).bit_length() - 1)

    def _each(self, work: Callable[[Batch], T]) -> Iterator[tuple[Batch, T]]:
        """Every batch with what comes of it; where memory runs out, its halves, and from then on
        no batch that is larger than they."""
        self._check_unchanged()
        for whole in self._batches:
            parts = [whole]
            while parts:
                batch = parts.pop()
                n_images = len(batch.labels)
                if n_images > self._most_images:
                    parts += reversed(batch.halves())
                    continue
                try:
                    result = work(batch)
                except Exception as error:
                    if not _memory_ran_out(error) or n_images == 1:
                        raise
                    self._most_images = (n_images + 1) // 2
                    _log.warning("memory ran out; going on with %d images", self._most_images)
                    parts.append(batch)
                    continue
                yield batch, result

    def _check_unchanged(self) -> None:
        """Refuses a model whose layers were given other variables since; their values may change.

        Raises:
            ValueError: as after `quantize` or `enable_lora`.
        """
        kept = [variable for variable, _ in self._weights]
        now = self._model.variables
        if len(kept) != len(now) or any(a is not b for a, b in zip(kept, now, strict=True)):
            raise ValueError(
                f"the layers of model {self._model.name!r} were given other variables since this "
                "was made, as quantize and enable_lora do; make it anew, as with repro.lesion, to "
                "study the model as it is now"
            )

    def _make_smaller(self, error: Exception) -> None:
        """Halves the rows of a call if the error says that memory ran out; raises it if not."""
        if not _memory_ran_out(error) or self._elements <= 1:
            raise error
        self._elements //= 2
        _log.warning("memory ran out; going on with %d elements a call", self._elements)

    def _active(self, coordinates: Any, fill: np.ndarray) -> np.ndarray:
        """bool (n_images, n_units): whether clamping the unit changes anything on the image."""
        # A graph for each rank: TensorFlow would merge maps and vectors into one of unknown rank.
        run = self._once(("active", fill.ndim), lambda: passes.compiled(_differs, self._xla))
        return _numpy(run(coordinates, np.moveaxis(fill, -1, 0)))

    def _summary(self, coordinates: Any, real: np.ndarray) -> Any:
        key = ("summary", len(coordinates.shape))
        return self._once(key, lambda: passes.compiled(_summary, self._xla))(coordinates, real)

    def _on_device(self, batch: Batch) -> tuple[Any, Any]:
        """The batch's images and labels as tensors, held where one batch is all there is."""
        if not self._batches.single or len(batch.labels) < self._batches.batch_size:
            return batch.images, batch.labels

        if self._held is None:
            self._held = keras.tree.map_structure(
                ops.convert_to_tensor, (batch.images, batch.labels)
            )
        return self._held

    def _intact(
        self, tensors: tuple[int, ...], masks: tuple[int, ...], tallied: bool = True
    ) -> Any:
        """The network without a lesion, compiled; what XLA may lack is computed before it."""
        tally = self._tally if tallied else None

        def build() -> Any:
            begun = self._network.host if self._xla else ()
            intact = passes.Intact(self._network, self._bases, tally, tensors, masks, begun)
            if not begun:
                return passes.compiled(intact, self._xla)
            beginning = passes.Beginning(self._network, begun, intact.begins)
            first = passes.compiled(beginning, False)

            def after(values: Any, labels: Any) -> Any:
                return intact.after(dict(zip(intact.begins, values, strict=True)), labels)

            rest = passes.compiled(after, self._xla)
            return lambda images, labels: rest(first(images), labels)

        return self._once(("intact", tensors, masks, tallied), build)

    def _pass(self, kind: Any, mask: int) -> Any:
        return self._once((kind, mask), lambda: kind(self._network, self._bases, mask))

    def _once(self, key: Any, build: Callable[[], Any]) -> Any:
        if key not in self._compiled:
            self._compiled[key] = build()
        return self._compiled[key]

    # --- Dense networks, on the processor -----------------------------------------------------

    def _dense_layers(self) -> list[walk.Layer] | None:
        """The layers that `walk` needs, if it can answer for this network and task."""
        logits = self.task.has_classes and (not self.task.probabilities or bool(self.task.ending))
        if not logits or not self._on_host:
            return None
        layers = dense_layers(self._network, self._bases)
        if layers is not None and self.task.kind == "binary":
            # The two logits are 0 and the model's.
            last = layers[-1]
            nothing = np.zeros_like(last.kernel)
            layers[-1] = walk.Layer(
                np.concatenate([nothing, last.kernel], axis=1),
                np.concatenate([np.zeros(1, np.float32), last.bias]),
            )
        return layers

    def _walked(self, lesions: tuple[int, ...], answer: Callable[..., walk.Points]) -> Outcome:
        """What a function of `walk` answers, summed over batches.

        Args:
            answer: from the first mask's coordinates (n_images, n_units) and labels (n_images,).
        """
        # Without a tally, what comes after the first mask is not computed.
        intact = self._intact((), (0,), tallied=False)
        total = walk.Points.zeros(lesions, self.n_classes)
        n_images = 0
        for batch, (_, _, (coordinates,)) in self._each(
            lambda batch: intact(*self._on_device(batch))
        ):
            n_real = batch.n_real
            part = answer(
                _numpy(coordinates)[:n_real],
                batch.labels[:n_real],
                tie=self._tie,
                top=TOP,
                threads=self._threads,
                on_progress=self._on_progress,
            )
            total.add(part)
            n_images += n_real
        return _finite(
            Outcome(total.n_correct, total.loss_sum, total.n_top, total.n_tied, n_images)
        )

    # --- Curves of other networks -------------------------------------------------------------

    def _returns(self, mask: int) -> bool:
        """Whether one linear map reads the mask, in units, and the unit's weights can be picked;
        and more follows: a curve through the last layer costs little anyhow."""
        returning = passes.Returning(self._network, mask)
        linear, ends = returning.linear, returning.output == self._network.logits
        return linear is not None and linear.narrows and not ends and mask not in self._bases

    def _returning(
        self, first: int, ranks: np.ndarray, counts: np.ndarray, fills: list[np.ndarray]
    ) -> Outcome:
        """Curves walked from the far end; of the first mask only the units that come back at a
        point are computed there.

        Args:
            ranks: int (n_orders, n_units), the place of each unit in the order, or the order's
                length for those that stay.
        """
        returning = self._once(("returning", first), lambda: passes.Returning(self._network, first))
        start = self._once((returning, "start"), lambda: passes.compiled(returning.start, False))
        add = self._once((returning, "add"), lambda: passes.compiled(returning.add, False))
        run = self._once(
            ("narrow", first), lambda: passes.Narrow(self._network, self._bases, first, True)
        )
        source = self._network.masks[first].inputs[0]
        tensors = tuple(dict.fromkeys([source, *run.shared]))
        intact = self._intact(tensors, ())
        filled = any(np.any(fill) for fill in fills[first:])
        totals = self._totals(len(ranks) * len(counts))
        n_images = 0

        def curves(batch: Batch) -> _Totals:
            tally, values, _ = intact(*self._on_device(batch))
            found = tuple(_numpy(part)[: batch.n_real] for part in tally[:3])
            given = dict(zip(tensors, values, strict=True))
            shared = _Shared(batch, given, {}, found, tally[3], {})
            columns = self.task.columns(batch.labels)
            part = self._totals(len(ranks) * len(counts))
            part.add_to_all(columns, *found)
            image = np.arange(batch.n_real)
            every = np.argsort(-counts, kind="stable")

            for order, rank in enumerate(ranks):
                ranks_by_mask = self.layout.split(rank)[first:]
                of_first = ranks_by_mask[0]
                at = int(counts.max(initial=0))
                output = start(shared.tensors[source], _kept(of_first, at), fills[first])
                for point in every[counts[every] > 0]:
                    n = int(counts[point])
                    back = (of_first >= n) & (of_first < at)
                    at = n
                    if np.any(back):
                        units = _computed(back)
                        weights = back[units].astype(np.float32)
                        output = add(output, shared.tensors[source], units, weights, fills[first])
                    keeps = [_kept(part, n) for part in ranks_by_mask]
                    given = dict(shared.tensors) | {returning.output: output}
                    tallied = self._rows(
                        run,
                        [given[tensor] for tensor in run.shared],
                        shared,
                        image,
                        None,
                        ([_computed(keep) for keep in keeps], keeps, fills[first:], filled),
                    )
                    lesion = np.full(len(image), order * len(counts) + point)
                    part.replace(lesion, image, columns, shared.tally, tallied)
                    self._on_progress(len(image))
                self._on_progress(len(image) * int(np.count_nonzero(counts == 0)))
            return part

        for batch, part in self._each(curves):
            totals.merge(part)
            n_images += batch.n_real
        return totals.outcome(n_images).reshape(len(ranks), len(counts))

    # --- Arguments ----------------------------------------------------------------------------

    def _fills(self, fill: Fill) -> list[np.ndarray]:
        """For each mask (*positions or ones, n_units) float32."""
        ranks = [len(node.shapes[0]) for node in self._network.masks]
        n_units = self.layout.n_units
        if fill is None:
            fill = np.zeros(n_units)
        if isinstance(fill, np.ndarray):
            if fill.shape != (n_units,) or not np.all(np.isfinite(fill)):
                raise ValueError(
                    f"fill must be {n_units} finite numbers, one a unit; got shape {fill.shape}"
                )
            parts = self.layout.split(fill)
        else:
            parts = [np.asarray(part) for part in fill]
        if len(parts) != len(ranks):
            raise ValueError(f"fill must have {len(ranks)} arrays, one a layer; got {len(parts)}")
        fills = []
        for part, node, (name, size) in zip(
            parts, self._network.masks, self.layout.layers, strict=True
        ):
            shape = node.shapes[0]
            if part.shape not in ((size,), shape) or not np.all(np.isfinite(part)):
                raise ValueError(
                    f"fill of {name} must be finite and of shape ({size},) or {shape}, "
                    f"got {part.shape}"
                )
            ones = [1] * (len(shape) - part.ndim)
            fills.append(part.reshape(*ones, *part.shape).astype(np.float32))
        return fills

    def _checked_units(self, units: np.ndarray) -> np.ndarray:
        units = np.asarray(units)
        n_units = self.layout.n_units
        if not np.issubdtype(units.dtype, np.integer):
            raise ValueError(f"units are numbered by integers, got {units.dtype}")
        if units.size and not 0 <= units.min() <= units.max() < n_units:
            raise ValueError(
                f"units are numbered 0 to {n_units - 1}, got {units.min()} to {units.max()}"
            )
        return units

    def _checked_bases(self, bases: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
        checked = {}
        names = [name for name, _ in self.layout.layers]
        for name, basis in bases.items():
            size = len(self.layout.units(name))
            basis = np.asarray(basis, np.float64)
            if basis.shape != (size, size) or not np.allclose(
                basis.T @ basis, np.eye(size), atol=1e-5
            ):
                raise ValueError(
                    f"the basis of {name} must be an orthogonal ({size}, {size}) matrix, "
                    f"got shape {basis.shape}"
                )
            mask = self._masks[names.index(name)]
            if mask.compute_dtype != "float32":
                raise ValueError(
                    f"{name} is computed in {mask.compute_dtype}, and directions need float32; "
                    "build the model with that dtype"
                )
            checked[names.index(name)] = basis.astype(np.float32)
        return checked

    def _close(self, found: Any, expected: float, n_images: int) -> bool:
        """Whether two summed losses are the same but for rounding, which where the loss is small
        is that of each image's logits."""
        tolerance = max(1e-4, self._tie)
        return bool(np.isclose(found, expected, rtol=tolerance, atol=tolerance + 1e-6 * n_images))

    def _check_chance(self, first: np.ndarray, again: np.ndarray) -> None:
        """Refuses a model that answers otherwise when it is asked again."""
        if np.abs(first - again).max() > 1e-6 * np.abs(first).max():
            self._refuse("chance")

    def _refuse(self, what: str) -> None:
        names = ", ".join(self._network.unproven)
        raise ValueError(
            f"the model's answer to an image depends on {what}, which comes from one of {names}; "
            "build the model without that: the engine compares answers with and without a lesion"
        )

    def _check_by_image(self) -> None:
        """Refuses a network whose answer to an image depends on other images.

        Asked where some operations are not known to be free of that. The network is computed on a
        few images, and on the last of them alone.
        """
        batch = next(iter(self._batches))
        images = rows(batch.images, np.arange(_IMAGES_BY_IMAGE) % batch.n_real)
        tensors = [tensor for node in self._network.nodes for tensor in node.outputs]
        run = passes.plain(
            passes.Intact(self._network, {}, None, [*tensors, self._network.logits], [])
        )
        (*values, first), (*_, alone) = (
            run(some, None)[1] for some in (images, rows(images, slice(-1, None)))
        )
        names = ", ".join(self._network.unproven)
        if any(tuple(value.shape[:1]) != (_IMAGES_BY_IMAGE,) for value in values):
            raise ValueError(
                "the engine needs the axis of images first throughout the model, and an operation "
                f"moves it or takes it away ({names}); build the model without that"
            )
        first, alone = (_numpy(ops.cast(logits, "float32")) for logits in (first, alone))
        if np.abs(first[-1] - alone[0]).max() > max(1e-3, 2 * self._tie) * np.abs(first).max():
            self._refuse("the other images of its batch")

    def _plain(
        self, images: Any, instead: Sequence[tuple[Any, np.ndarray]] = ()
    ) -> tuple[verify.Answered, list[np.ndarray]]:
        """Plain Keras with the weights that the engine was made with: answers, and each mask's
        output.

        Args:
            instead: values that take the place of variables'.
        """
        put = [(v, ops.convert_to_tensor(np.ascontiguousarray(x), v.dtype)) for v, x in instead]
        replaced = {id(variable) for variable, _ in put}
        kept = [(v, x) for v, x in self._weights if id(v) not in replaced]
        ending = self.task.ending
        plain = self._once(
            ("plain", ending), lambda: verify.Plain(self._model, ending, self._adapted)
        )
        answered, activations = plain(images, [*kept, *put])
        by_name = dict(zip(plain.masks, activations, strict=True))
        return answered, [by_name[mask.name] for mask in self._masks]

    def _plain_loss(self, answered: verify.Answered, targets: np.ndarray) -> float:
        """The summed loss of the model's answers, in float64."""
        return float(verify.losses_of(self.task, answered, targets).sum())

    def _totals(self, n_lesions: int) -> _Totals:
        return _Totals(n_lesions, self.task)


def _of_scales(row: np.ndarray, n_scales: int, n: int) -> np.ndarray:
    """Of rows of each scale one after the other, the first n of each."""
    return row.reshape(n_scales, -1, *row.shape[1:])[:, :n].reshape(-1, *row.shape[1:])


def _check_inputs(images: Any, model: keras.Model) -> None:
    """Refuses inputs of other shapes than the model's.

    Raises:
        ValueError: see `batches.checked_input`.
    """
    each = images if isinstance(images, tuple) else (images,)
    for one, tensor in zip(each, keras.tree.flatten(structure_of(model)), strict=True):
        checked_input(one, tuple(tensor.shape[1:]))


@dataclass(frozen=True)
class _Shared:
    """What lesions of one batch share: tensors on the device; for each image the tally of the
    intact network and the size of its logits (on the device); and for each mask, which of its units
    are active."""

    batch: Batch
    tensors: Mapping[int, Any]
    coordinates: Mapping[int, Any]
    tally: tuple[np.ndarray, ...]
    scale: Any
    active: Mapping[int, np.ndarray]


class _Totals:
    """Counts of every lesion over the images seen so far.

    Ranks are (n_rows,) and count in the column of their image; or (n_rows, n_columns), where an
    image has an answer in each, or none.
    """

    def __init__(self, n_lesions: int, task: Task) -> None:
        self._n_answers = task.answers_each
        self.n_correct = np.zeros((n_lesions, task.n_columns), np.int64)
        self.n_top5 = np.zeros(n_lesions, np.int64)
        self.n_tied = np.zeros(n_lesions, np.int64)
        self.loss_sum = np.zeros(n_lesions)

    def add_to_all(
        self, columns: np.ndarray | None, rank: np.ndarray, loss: np.ndarray, tied: np.ndarray
    ) -> None:
        """Images (n_images,) that every lesion answers like this."""
        row, column = _places(rank == 0, columns, np.arange(len(rank)))
        del row
        self.n_correct += np.bincount(column, minlength=self.n_correct.shape[1])
        self.n_top5 += np.count_nonzero(_near_top(rank))
        self.n_tied += np.count_nonzero(tied)
        self.loss_sum += loss.sum(dtype=np.float64)

    def add(
        self,
        lesion: np.ndarray,
        columns: np.ndarray | None,
        rank: np.ndarray,
        loss: np.ndarray,
        tied: np.ndarray,
    ) -> None:
        """Rows (n_rows,), each of one lesion and one image. columns: (n_rows,), or None."""
        n_lesions = len(self.loss_sum)
        row, column = _places(rank == 0, columns, np.arange(len(rank)))
        np.add.at(self.n_correct, (lesion[row], column), 1)
        self.n_top5 += np.bincount(lesion[_near_top(rank)], minlength=n_lesions)
        self.n_tied += np.bincount(lesion[tied], minlength=n_lesions)
        self.loss_sum += np.bincount(lesion, loss, minlength=n_lesions)

    def replace(
        self,
        lesion: np.ndarray,
        image: np.ndarray,
        columns: np.ndarray | None,
        intact: tuple[np.ndarray, ...],
        tallied: Rows,
    ) -> None:
        """Rows that answer otherwise than the intact network did in `add_to_all`.

        Args:
            columns: of each image, or None. intact: the tally that was added to all.
        """
        if not len(lesion):
            return
        rank, loss, tied = tallied
        intact_rank, intact_loss, intact_tied = (part[image] for part in intact)
        first, last = lesion.min(), lesion.max() + 1
        change = loss.astype(np.float64) - intact_loss
        self.loss_sum[first:last] += np.bincount(lesion - first, change, minlength=last - first)
        for total, now, before in (
            (self.n_top5, _near_top(rank), _near_top(intact_rank)),
            (self.n_tied, tied, intact_tied),
        ):
            differs = np.flatnonzero(now != before)
            np.add.at(total, lesion[differs], np.where(now[differs], 1, -1))
        hit = rank == 0
        row, column = _places(hit != (intact_rank == 0), columns, image)
        now_right = hit[row] if hit.ndim == 1 else hit[row, column]
        np.add.at(self.n_correct, (lesion[row], column), np.where(now_right, 1, -1))

    def merge(self, other: _Totals) -> None:
        """Adds the counts of other images."""
        self.n_correct += other.n_correct
        self.n_top5 += other.n_top5
        self.n_tied += other.n_tied
        self.loss_sum += other.loss_sum

    def outcome(self, n_images: int) -> Outcome:
        """What was counted.

        Raises:
            ValueError: a loss that is not finite.
        """
        found = Outcome(
            self.n_correct, self.loss_sum, self.n_top5, self.n_tied, n_images, self._n_answers
        )
        return _finite(found)


def _places(
    which: np.ndarray, columns: np.ndarray | None, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where something holds: the rows, and the columns of n_correct that they count in.

    Args:
        which: bool (n_rows,) or (n_rows, n_columns). columns: of each image. image: of each row.
    """
    if columns is not None:
        row = np.flatnonzero(which)
        return row, columns[image[row]]
    row, column = np.nonzero(which)
    return row, column


def _near_top(rank: np.ndarray) -> np.ndarray:
    """bool (n_rows,), whether the true class is among the best few; True where there are none."""
    return rank < TOP if rank.ndim == 1 else np.ones(len(rank), bool)


def _finite(outcome: Outcome) -> Outcome:
    """The same.

    Raises:
        ValueError: a loss that is not finite.
    """
    if not np.all(np.isfinite(outcome.loss_sum)):
        n = int(np.count_nonzero(~np.isfinite(outcome.loss_sum)))
        raise ValueError(
            f"the loss under {n} of {outcome.loss_sum.size} lesions is not finite (NaN or "
            "infinity): activations or scores overflow on some of these images; scale the images "
            "as in the model's training, or leave out those on which model.predict is not finite"
        )
    return outcome


def dense_layers(network: Network, bases: Mapping[int, np.ndarray]) -> list[walk.Layer] | None:
    """The network after its first mask as dense layers with ReLU and a mask between, or None."""
    layers: list[walk.Layer] = []
    node = network.masks[0]
    for number, mask in enumerate(network.masks):
        if node is not mask or len(mask.shapes[0]) != 1:
            return None
        reader = network.reader(mask.outputs[0])
        if reader is None or type(reader.linear) is not Linear:
            return None
        kernel = reader.linear.kernel[0]
        if number in bases:
            kernel = bases[number].T @ kernel
        layers.append(walk.Layer(kernel, reader.linear.bias, bases.get(number + 1)))
        if reader.outputs[0] == network.logits:
            return layers if number == len(network.masks) - 1 else None
        relu = network.reader(reader.outputs[0])
        following = network.reader(relu.outputs[0]) if relu is not None and relu.relu else None
        if following is None:
            return None
        node = following
    return None


def _summary(coordinates: Any, real: Any) -> tuple[Any, Any, Any, Any]:
    """Of a layer's coordinates (n_images, n_units, *positions): for each image and unit the mean,
    the variance and the fraction of zeros over positions; and the sum over real images."""
    coordinates = ops.cast(coordinates, "float32")
    flat = ops.reshape(coordinates, (*ops.shape(coordinates)[:2], -1))
    zeros = ops.mean(ops.cast(flat == 0, "float32"), axis=2)
    weights = ops.reshape(real, (-1, *[1] * (len(coordinates.shape) - 1)))
    total = ops.sum(coordinates * weights, axis=0)
    return ops.mean(flat, axis=2), ops.var(flat, axis=2), zeros, total


def _differs(coordinates: Any, fill: Any) -> Any:
    differs = ops.not_equal(coordinates, ops.cast(fill, coordinates.dtype))
    return ops.any(ops.reshape(differs, (*ops.shape(coordinates)[:2], -1)), axis=2)


def _kept(ranks: np.ndarray, n_ablated: int) -> np.ndarray:
    """float32, 1 for the units that are not among the first so many of the order."""
    return (ranks >= n_ablated).astype(np.float32)


def _computed(keep: np.ndarray) -> np.ndarray:
    """int32, the units to compute: those that are kept, and ablated ones up to a round number."""
    n_kept = int(np.count_nonzero(keep))
    n = min(len(keep), math.ceil(max(1, n_kept) / _UNITS_STEP) * _UNITS_STEP)
    return np.sort(np.argsort(~keep.astype(bool), kind="stable")[:n]).astype(np.int32)


def _memory_ran_out(error: Exception) -> bool:
    """Whether it says so in the words of NumPy, TensorFlow or JAX, or where it came from does."""
    signs = ("RESOURCE_EXHAUSTED", "OOM when allocating", "Out of memory", "MemoryError")
    return (
        isinstance(error, MemoryError)
        or isinstance(error.__cause__, MemoryError)
        or any(sign in str(error) for sign in signs)
        or type(error).__name__ == "ResourceExhaustedError"
    )


def _has_gpu() -> bool:
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # how JAX says that there is none
        return False


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def _check_intact(masks: Sequence[AblationMask]) -> None:
    for mask in masks:
        ablated = int(np.sum(_numpy(mask.keep) != 1))
        if ablated:
            raise ValueError(
                f"{mask.name} already ablates {ablated} units; set its keep to ones: the engine "
                "compares with the intact network"
            )
