"""One model of the lab with its images: what it answers under lesions.

Runs in the child process of the plugin's lesion lab (`lab_child`). The images of a
model lie beside it: those of `model.keras` in `model.images.npz`, with

    images      float32 or uint8 (n_images, ...), as the model takes them; uint8 is divided by 255
    labels      int (n_images,)
    truth       int (n_images,), the true classes, if `labels` are others; optional
    class_names text (n_classes,), optional

Else, for a network of the laboratory, they come from the data set that its `config.json` names.
"""

import base64
import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tb_plugin.lab.images import MOST_IMAGES, stratified

# Multiplications within which the first answer comes in 300 ms; they bound the images shown.
MULTIPLICATIONS_AT_ONCE = 4e9
MOST_CHOSEN, FEWEST_CHOSEN = 20, 10  # bounds of the number of images shown
# Multiplications that two cores do in about a second; they bound the images that accuracy is read
# on. The paper's CIFAR-10 network takes 3.2e8 an image, which makes 120 images.
MULTIPLICATIONS = 4e10
FEWEST_IMAGES = 100  # of these images; at most MOST_IMAGES
LONGEST_RANKING_S = 60.0  # seconds beyond which no ranking by importance is offered
LONGEST_LESION_S = 0.25  # seconds of one lesion beyond which no random orders are offered
TRAINING = "training"  # the choice of images that asks for those a network was trained on
LARGEST_LAYERS = 20_000  # most units in all; more could not be drawn
N_EXTREME = 8  # images that drive a unit most, and as many that drive it least
N_BINS = 30  # bins of a histogram of activations


class SessionError(Exception):
    """Why a model cannot be used for this; the text is a sentence for the user."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class LabImages(NamedTuple):
    """Images for a model.

    images: (n_images, ...), as the file or the data set has them.
    labels: int64 (n_images,), the answers that count as correct.
    truth: int64 (n_images,), the true classes; other than `labels` if they were shuffled.
    names: of the classes, or none.
    source: where they come from, for the user.
    """

    images: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    names: list[str]
    source: str


class Session:
    """A model, loaded under Keras's safe mode, its images, and everything compiled once.

    Args:
        path: of a `.keras` file. Never one that a browser or an event file named.
        check: called between two batches of images; may raise, to end the work.
        images: "" for the images that belong to the model; "training" for those a network of the
            laboratory was trained on, with the labels it learned. Images beside the model's file
            are taken in both cases.

    Attributes:
        sha256: of the file, in hexadecimal.

    Raises:
        SessionError: the model cannot be loaded, has no masks, or there are no images for it.
    """

    def __init__(self, path: str, check: Callable[[], None] = lambda: None, images: str = ""):
        import keras

        from repro.engine.engine import Engine
        from repro.engine.live import Lesions, multiplications
        from repro.engine.tally import tally_for
        from repro.models import inspection, loading, scaling
        from repro.models.masking import ablation_masks, layer_of

        self._path = Path(path)
        try:
            self.sha256 = hashlib.sha256(self._path.read_bytes()).hexdigest()
            # This process is bounded itself: nothing is gained by trying the model in another.
            inspection.inspect(path)
            inspection.check_weights_of(path)
            self._model = loading.load_model(path, trusted=True)
            self._masks = ablation_masks(self._model)
        except (OSError, ValueError) as error:
            raise SessionError("unusable_model", _without_path(error, path)) from None
        if not self._masks:
            raise SessionError(
                "unusable_model", "The model has no AblationMask layers, so no unit can be deleted."
            )
        self._layers = [layer_of(mask) for mask in self._masks]
        self._sizes = [mask.n_units for mask in self._masks]
        if sum(self._sizes) > LARGEST_LAYERS:
            raise SessionError(
                "too_large",
                f"The lab draws {LARGEST_LAYERS:,} units; this has {sum(self._sizes):,}.",
            )
        self._dense = all(len(mask.output.shape) == 2 for mask in self._masks)
        pixels, labels, truth, self._class_names, self._source = _images_of(
            self._path, images == TRAINING
        )
        if pixels.dtype == np.uint8 and scaling.of(self._model) not in ("scales", "tokens"):
            pixels = pixels.astype(np.float32) / 255
        pixels = pixels.astype(np.float32)
        self._check_images(pixels, labels)
        try:
            # Two of the images tell what it costs, and what the answers are.
            few = slice(0, 2)
            network = Engine(self._model, pixels[few], labels[few], task=self._task()).network
        except ValueError as error:
            raise SessionError("unusable_model", _without_path(error, path)) from None
        cost = max(1, multiplications(network))
        affordable = int(MULTIPLICATIONS / cost)
        # By their true classes: networks that learned other labels are asked on the same images.
        kept = stratified(truth, min(MOST_IMAGES, max(FEWEST_IMAGES, affordable)))
        self._images, self._labels, self._truth = pixels[kept], labels[kept], truth[kept]
        self._counts = np.bincount(self._labels, minlength=self._n_classes)
        at_once = int(MULTIPLICATIONS_AT_ONCE / cost)
        shown = min(MOST_CHOSEN, max(FEWEST_CHOSEN, at_once))
        self._chosen = stratified(self._truth, shown)
        # Means over positions, taken before anything leaves the graph: maps are large.
        means = [_over_positions(mask.output) for mask in self._masks]
        self._probe = keras.Model(self._model.inputs, means + list(self._model.outputs))
        for model in (self._model, self._probe):
            # On CPU, XLA makes convolutions slower, and compiles them for long.
            model.compile(jit_compile=self._dense)
        self._check = check
        self._engine = Engine(
            self._model,
            self._images,
            self._labels,
            task=self._task(),
            on_progress=lambda pairs: check(),
        )
        self._lesions = Lesions(
            self._engine.network,
            self._images,
            self._labels,
            tally_for(self._engine.task, xla=False),
            self._sizes,
            check,
        )
        self._statistics: Any = None
        self._stored = _stored_importance(self._path.parent, self._engine.layout.layers)
        self._intact = self.accuracy({})
        # Compiles the graph of any lesion; the second time tells what one costs.
        first = {self._layers[0]: [0]}
        self.accuracy(first)
        self._seconds = self.accuracy(first)["ms"] / 1000

    # --- Questions ----------------------------------------------------------------------------

    def open(self) -> dict[str, Any]:
        """Layers, classes, the chosen images, and the intact network's answers; compiles, too."""
        self.outputs({}, 0)  # the first call compiles
        return {
            "layers": [
                {"name": name, "units": size}
                for name, size in zip(self._layers, self._sizes, strict=True)
            ],
            "classes": self._names(),
            "source": self._source,
            "n_images": len(self._images),
            "images": [
                {
                    "label": int(self._labels[i]),
                    "truth": int(self._truth[i]),
                    "png": _png(self._images[i]),
                }
                for i in self._chosen
            ],
            "images_sha256": hashlib.sha256(self._images.tobytes()).hexdigest(),
            "rankable": self._rankings(),
            "ordered": self._seconds < LONGEST_LESION_S,
            "intact": self._intact,
        }

    def outputs(self, lesions: dict[str, list[int]], image: int) -> dict[str, Any]:
        """Class probabilities of the chosen images, and every unit's activation on one of them.

        Args:
            lesions: units to clamp to zero, by layer.
            image: place among the chosen ones; feature maps are averaged over positions.
        """
        if not 0 <= image < len(self._chosen):
            raise SessionError("invalid_argument", "There is no such image.")
        started = time.perf_counter()
        self._assign(lesions)
        *activations, logits = self._asked(self._probe, self._images[self._chosen])
        one = [activation[image] for activation in activations]
        return {
            "probabilities": _rounded(probabilities(logits, self._engine.task.probabilities)),
            "activity": [_rounded(activation) for activation in one],
            "ms": round(1000 * (time.perf_counter() - started), 1),
        }

    def accuracy(self, lesions: dict[str, list[int]]) -> dict[str, Any]:
        """Correct images of each class, and mean loss in nats, over all images of the session;
        and how many of them the intact network, on the same images, got right and this one does
        not (lost), or the other way round (gained)."""
        started = time.perf_counter()
        correct, loss = self._lesions.answer(self._keep(lesions))
        before, _ = self._lesions.intact
        return {
            "n_correct": self._of_each_class(correct),
            "n_lost": self._of_each_class(before & ~correct),
            "n_gained": self._of_each_class(correct & ~before),
            "n": [int(n) for n in self._counts],
            "loss": round(loss, 6),
            "ms": round(1000 * (time.perf_counter() - started), 1),
        }

    def rank(self, by: str) -> dict[str, Any]:
        """All units, the most selective or most important first.

        Returns:
            {"units": [[layer number, unit], ...], "values": [...], "read_on": which images}.
        """
        read_on = f"{len(self._images):,} images"
        if by == "class_selectivity":
            values = self._unit_statistics().class_selectivity
            if np.isnan(values).all():
                raise SessionError(
                    "invalid_argument",
                    "Class selectivity needs images of two classes or more, and these are of one; "
                    "put others beside the model.",
                )
        elif self._stored is not None:
            values, read_on = self._stored
        else:
            values = self._importance()
        order = np.argsort(-values, kind="stable")
        layer = np.repeat(np.arange(len(self._sizes)), self._sizes)
        unit = np.concatenate([np.arange(size) for size in self._sizes])
        return {
            "units": [[int(layer[i]), int(unit[i])] for i in order],
            "values": _rounded(values[order]),
            "read_on": read_on,
        }

    def order(self, seed: int, counts: list[int]) -> dict[str, Any]:
        """Correct images with the first units of one random order deleted.

        Args:
            seed: decides the order of all units.
            counts: numbers of units to delete, each the first of the order.

        Returns:
            {"n_correct": [...] at each count, "n": images}.
        """
        n_units = sum(self._sizes)
        if max(counts) > n_units:
            raise SessionError("invalid_argument", f"The model has {n_units} units.")
        order = np.random.default_rng(seed).permutation(n_units)
        n_correct = []
        for k in counts:
            self._check()
            keep = np.ones(n_units)
            keep[order[:k]] = 0
            n_correct.append(int(np.sum(self._lesions.answer(keep)[0])))
        return {"n_correct": n_correct, "n": len(self._labels)}

    def unit(self, layer: str, unit: int) -> dict[str, Any]:
        """One unit: how its activation is spread, images at both ends, its weights as a picture.

        Feature maps are averaged over positions (`averaged`). A unit is silent on an image if it
        reads exactly 0 there; the histogram counts the others. `weights` is null unless the unit
        reads the pixels of an image.
        """
        number = self._layer_number(layer)
        if not 0 <= unit < self._sizes[number]:
            raise SessionError("invalid_argument", f"{layer} has no unit {unit}.")
        activation = self._activations(number)[:, unit]
        low, high = min(0.0, activation.min()), activation.max()
        edges = np.linspace(low, high if high > low else low + 1, N_BINS + 1)
        order = np.argsort(-activation, kind="stable")
        # Most units are silent on many images: of equals, one of each class before a second of any.
        place_in_class = np.empty(len(activation), int)
        for c in range(self._n_classes):
            place_in_class[self._labels == c] = np.arange(np.count_nonzero(self._labels == c))
        least = np.lexsort((place_in_class, activation))
        of_class = [activation[self._labels == c] for c in range(self._n_classes)]
        means = [part.mean() if len(part) else -np.inf for part in of_class]
        return {
            "edges": _rounded(edges),
            "counts": [np.histogram(part[part != 0], edges)[0].tolist() for part in of_class],
            "silent": [int(np.count_nonzero(part == 0)) for part in of_class],
            "favourite": int(np.argmax(means)),
            "most": [self._pictured(i, activation) for i in order[:N_EXTREME]],
            "least": [self._pictured(i, activation) for i in least[:N_EXTREME]],
            "n_images": len(activation),
            "averaged": len(self._masks[number].output.shape) > 2,
            "n_least": int(np.count_nonzero(activation == activation.min())),
            "weights": self._weights_picture(number, unit),
        }

    # --- How they are answered ----------------------------------------------------------------

    def _of_each_class(self, chosen: np.ndarray) -> list[int]:
        """How many of the chosen images, bool (n_images,), each class has."""
        counts = np.bincount(self._labels[chosen], minlength=self._n_classes)
        return [int(n) for n in counts]

    def _assign(self, lesions: dict[str, list[int]]) -> None:
        """Sets the masks; the model obeys at once."""
        keep = np.split(self._keep(lesions), np.cumsum(self._sizes)[:-1])
        for mask, kept in zip(self._masks, keep, strict=True):
            mask.keep.assign(kept.astype(np.float32))

    def _asked(self, model: Any, images: np.ndarray) -> list[np.ndarray]:
        """A model's outputs for any number of images, in batches of one size: a second size would
        be compiled anew."""
        parts = []
        size = len(self._chosen)
        for start in range(0, len(images), size):
            self._check()
            places = np.arange(start, start + size) % len(images)
            answer = model.predict_on_batch(images[places])
            parts.append(answer if isinstance(answer, list) else [answer])
        return [np.concatenate(part)[: len(images)] for part in zip(*parts, strict=True)]

    def _keep(self, lesions: dict[str, list[int]]) -> np.ndarray:
        """float (n_units,), 0 where a unit is ablated."""
        starts = np.cumsum([0, *self._sizes])
        keep = np.ones(starts[-1])
        for layer, units in lesions.items():
            number = self._layer_number(layer)
            if any(unit >= self._sizes[number] for unit in units):
                raise SessionError(
                    "invalid_argument", f"{layer} has {self._sizes[number]} units, counted from 0."
                )
            keep[starts[number] + np.array(units, int)] = 0
        return keep

    def _activations(self, number: int) -> np.ndarray:
        """float (n_images, units) of one layer in the intact network, averaged over positions."""
        self._assign({})
        return self._asked(self._probe, self._images)[number]

    def _unit_statistics(self) -> Any:
        if self._statistics is None:
            self._statistics = self._engine.statistics()
        return self._statistics

    def _rankings(self) -> list[str]:
        """The measures that units can be ranked by here. Importance takes a pass for every unit,
        unless the network is dense, or a sweep of the laboratory left it beside the model."""
        soon = self._dense or sum(self._sizes) * self._seconds < LONGEST_RANKING_S
        if soon or self._stored is not None:
            return ["class_selectivity", "importance"]
        return ["class_selectivity"]

    def _importance(self) -> np.ndarray:
        if "importance" not in self._rankings():
            raise SessionError(
                "too_large",
                "Importance needs every unit ablated alone, which takes too long here for this "
                "network; run a figure's single_unit sweep on it, and the lab takes its result.",
            )
        return np.asarray(self._engine.single_units().loss) - self._engine.intact().loss

    def _layer_number(self, layer: str) -> int:
        if layer not in self._layers:
            raise SessionError("invalid_argument", "The model has no such layer with a mask.")
        return self._layers.index(layer)

    def _names(self) -> list[str]:
        return [
            self._class_names[c] if c < len(self._class_names) else str(c)
            for c in range(self._n_classes)
        ]

    def _pictured(self, i: int, activation: np.ndarray) -> dict[str, Any]:
        return {
            "label": int(self._labels[i]),
            "activation": _rounded(activation[i]),
            "png": _png(self._images[i]),
        }

    def _weights_picture(self, number: int, unit: int) -> str | None:
        """The incoming weights of a unit of the first dense layer, laid out as the image."""
        shape = self._model.input_shape[1:]
        if number != 0 or len(self._masks[0].output.shape) != 2 or len(shape) not in (2, 3):
            return None
        layer = next((one for one in self._model.layers if one.name == self._layers[0]), None)
        weights = np.asarray(layer.get_weights()[0]) if layer and layer.get_weights() else None
        if weights is None or weights.shape != (int(np.prod(shape)), self._sizes[0]):
            return None
        return _png(weights[:, unit].reshape(shape))

    def _task(self) -> str:
        """What the engine is to read answers as: one number is a yes or no."""
        return "binary" if self._one_number else "classes"

    def _check_images(self, images: np.ndarray, labels: np.ndarray) -> None:
        if len(self._model.inputs) != 1 or len(self._model.outputs) != 1:
            raise SessionError(
                "unusable_model",
                "The lab shows networks with one input and one output; this one has "
                f"{len(self._model.inputs)} and {len(self._model.outputs)}.",
            )
        answer, shape = tuple(self._model.output_shape[1:]), tuple(self._model.input_shape[1:])
        if len(answer) != 1:
            raise SessionError(
                "unusable_model",
                f"The lab shows classifiers; this model answers with shape {answer}.",
            )
        self._one_number = answer == (1,)
        self._n_classes = n_classes = 2 if self._one_number else answer[0]
        fits = images.shape[1:] == shape and labels.shape == (len(images),) and len(images) > 0
        if not fits or not np.all((labels >= 0) & (labels < n_classes)):
            raise SessionError(
                "no_images",
                f"The images beside the model do not fit it: {len(images)} of shape "
                f"{images.shape[1:]}, expected {shape} with labels 0 to {n_classes - 1}.",
            )


def _over_positions(activation: Any) -> Any:
    """(n, units) from a layer's activation (n, *positions, units)."""
    from keras import ops

    axes = tuple(range(1, len(activation.shape) - 1))
    return ops.mean(activation, axis=axes) if axes else activation


def probabilities(outputs: np.ndarray, already: bool) -> np.ndarray:
    """float64 (n, n_classes): the softmax of logits; outputs that are probabilities stay. One
    number becomes the probabilities of class 0 and class 1.

    >>> probabilities(np.array([[0.25], [1.0]]), True)
    array([[0.75, 0.25],
           [0.  , 1.  ]])
    """
    outputs = outputs.astype(np.float64)
    if outputs.shape[1] == 1:
        other = 1 - outputs if already else np.zeros_like(outputs)
        outputs = np.concatenate([other, outputs], axis=1)
    if already:
        return outputs
    exponentials = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _images_of(path: Path, training: bool = False) -> LabImages:
    """The images beside a model's file, or else those of the network of the laboratory.

    Args:
        training: whether those it was trained on are wanted, where both are to be had.
    """
    beside, config = path.with_suffix(".images.npz"), path.with_name("config.json")
    if beside.is_file():
        try:
            with np.load(beside, allow_pickle=False) as stored:
                task = str(stored["task"]) if "task" in stored else "classes"
                if task not in ("classes", "binary") or "images" not in stored:
                    raise SessionError(
                        "unusable_model",
                        f"The lab shows classifiers of images; this study is of another kind "
                        f"({task}), which its report and the other views tell of.",
                    )
                images, labels = stored["images"], stored["labels"]
                truth = stored["truth"] if "truth" in stored else None
                names = [str(n) for n in stored["class_names"]] if "class_names" in stored else []
        except (OSError, ValueError, KeyError) as error:
            message = f"{beside.name} cannot be read: {type(error).__name__}."
            raise SessionError("no_images", message) from None
        if images.dtype.kind not in "buif":
            raise SessionError(
                "unusable_model", "The lab shows images; this network's inputs are texts."
            )
        labels = labels.astype(np.int64)
        truth = labels if truth is None else truth.astype(np.int64)
        return LabImages(images, labels, truth, names, beside.name)
    if config.is_file():
        return images_of_run(config, training)
    raise SessionError(
        "no_images",
        f"There are no images for this model. Put images and labels into {beside.name} beside it.",
    )


def _stored_importance(
    folder: Path, layers: tuple[tuple[str, int], ...]
) -> tuple[np.ndarray, str] | None:
    """Change of the loss with each unit ablated, as a sweep of the laboratory left it beside the
    model, and what it was read on. If there are several, the one on most images is taken.

    Args:
        layers: name and number of units of each, all of which it must have.
    """
    from repro.core import results
    from repro.core.kinds import UnitTable

    found = []
    for path in sorted(folder.glob(f"{UnitTable.kind}-*.npz")):
        try:
            table = results.from_bytes(path.read_bytes(), UnitTable)
        except (OSError, ValueError):
            continue  # damaged, or of another version: then it is computed
        if table.layers == layers and table.fill == "zero" and table.basis == "unit":
            found.append(table)
    if not found:
        return None
    table = max(found, key=lambda one: one.n_images)
    importance = np.asarray(table.loss) - table.intact_loss
    return importance, f"{table.n_images:,} {table.images} images"


def images_of_run(config: Path, training: bool) -> LabImages:
    """The test images of a network of the laboratory. A network that learned corrupted labels gets
    its training images with the labels it learned, since it can do nothing else; so does every
    network if `training` is wanted."""
    from repro.core.checked import from_dict
    from repro.core.settings import PIXEL_RANGES, TrainConfig
    from repro.data import load, source

    try:
        train = from_dict(TrainConfig, json.loads(config.read_text(encoding="utf-8")))
        if train.origin == "embedded":  # also where the full set has been found since
            found = source.DataSource(train.dataset, train.origin)
        else:
            found = source.locate(train.dataset, offline=True)
        if found.origin != train.origin:
            raise ValueError(
                f"This network was trained on the full {train.dataset}, which is not at hand here."
            )
        splits = load.load(found, train)
    except (OSError, ValueError, TypeError) as error:
        raise SessionError("no_images", _without_path(error, str(config))) from None
    corrupted = train.label_corruption > 0
    chosen = splits.train if corrupted or training else splits.test
    if not isinstance(chosen.images, np.ndarray) or chosen.labels is None:
        raise SessionError("no_images", f"The images of {train.dataset} do not fit into memory.")
    labels = chosen.labels.astype(np.int64)
    truth = labels if splits.true_labels is None or not corrupted else splits.true_labels
    which = "test images"
    if corrupted or training:
        which = "training images with the labels it learned" if corrupted else "training images"
    if train.pixel_range != PIXEL_RANGES[0]:
        which += f", whose pixels the network brings to {train.pixel_range}"
    names = list(train.data_set.class_names)
    source_words = f"{train.dataset}, {which}"
    return LabImages(chosen.images, labels, truth.astype(np.int64), names, source_words)


def _without_path(error: Exception, path: str) -> str:
    """A sentence of an error, with the file's name in place of where it lies on this machine."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text.replace(path, Path(path).name)


def _png(image: np.ndarray) -> str:
    """base64 of a picture; a vector becomes one line of grey pixels, and channels other than one or
    three their mean."""
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        image = image.mean(axis=2)
    file = io.BytesIO()
    Image.fromarray(as_pixels(image if image.ndim > 1 else image[None])).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def as_pixels(image: np.ndarray) -> np.ndarray:
    """uint8 pixels of a float image, its smallest value black and its largest white.

    Args:
        image: float (height, width), (height, width, 1) or (height, width, 3).

    >>> as_pixels(np.array([[-1.0, 0.0, 1.0]]))
    array([[  0, 128, 255]], dtype=uint8)
    """
    values = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low) if high > low else 0)
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)


def _rounded(values: Any) -> Any:
    """Five significant digits, as plain numbers: finer than a screen, a third of the bytes."""
    array = np.nan_to_num(np.asarray(values, np.float64))
    digits = np.vectorize(lambda value: float(f"{value:.5g}"), otypes=[float])
    return digits(array).tolist()
