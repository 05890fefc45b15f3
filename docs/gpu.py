"""The table of docs/gpu.md: how long the CIFAR-10 figures of the profile `paper` take on one H100,
by counted arithmetic.

    python docs/gpu.py            prints the table
    python docs/gpu.py --write    writes it into docs/gpu.md

The networks and lesions are those of the program's own plan, each counted in the first figure that
needs it. Multiply-adds are counted on the layers that Keras builds.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
from collections.abc import Iterator
from pathlib import Path

import keras

from repro.core.settings import TrainConfig
from repro.core.toml import find_figures, load_figure
from repro.experiments import plan as plans
from repro.experiments.plan import TRAINING
from repro.models import networks

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "gpu.md"
BEGIN, END = "<!-- written by docs/gpu.py -->", "<!-- end -->"
# The figures that tell most, first.
FIRST = ("fig1b", "fig7b", "fig5b", "fig6", "fig3")
PEAK_TRAINING = 495e12  # operations a second of an H100 SXM with TF32 inputs, by its data sheet
PEAK_LESIONS = 67e12  # the same in float32
# A forward pass, and a backward pass of about twice as many operations.
PASSES_PER_TRAINING_IMAGE = 3.0
# Assumed shares of these peaks, for layers of 64 to 512 maps and batches of 128 images.
SHARE_TRAINING, SHARE_LESIONS = 0.15, 0.30
LEAST_OF_STEP = 1.5e-3  # seconds that a step is assumed to take, however small its batch


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure: its networks, those that no figure above it has, and the arithmetic of these and
    of the lesions that no figure above it makes, in floating-point operations.

    seconds: of training, under the assumptions above.
    """

    figure: str
    networks: int
    new: int
    training: float
    seconds: float
    lesions: float

    @property
    def minutes(self) -> tuple[float, float]:
        """Minutes that training and lesions take, under the assumptions above."""
        return (
            self.seconds / 60,
            self.lesions / (PEAK_LESIONS * SHARE_LESIONS) / 60,
        )


def operations(config: TrainConfig) -> float:
    """Floating-point operations of one image's forward pass: two for each multiply-add."""
    return 2.0 * sum(adds for _, adds in layers_of(config))


def layers_of(config: TrainConfig) -> list[tuple[int, int]]:
    """Units and multiply-adds of each layer with a kernel, the logits last."""
    names = [name for name in config.architecture.settings if name != "dropout"]
    settings = {name: getattr(config, name) for name in names}
    return _layers(TrainConfig(config.dataset, config.network, **settings))


@functools.cache
def _layers(config: TrainConfig) -> list[tuple[int, int]]:
    model = networks.build(config, config.data_set.shape, config.data_set.n_classes)
    found = [layer for layer in model.layers if hasattr(layer, "kernel")]
    return [(layer.output.shape[-1], _multiply_adds(layer)) for layer in found]


def _multiply_adds(layer: keras.Layer) -> int:
    """A kernel is applied once at each position of the output."""
    return math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)


def rows() -> Iterator[Row]:
    """The CIFAR-10 figures under the profile `paper`."""
    figures = [load_figure(path, "paper") for path in find_figures(ROOT / "configs")]
    figures = [one for one in figures if one.train.dataset == "cifar10"]
    figures.sort(key=lambda one: FIRST.index(one.name) if one.name in FIRST else len(FIRST))
    done: set[tuple[TrainConfig, str]] = set()
    for figure in figures:
        jobs = plans.plan([figure])
        steps = {(job.train, step): job for job in jobs for step in job.steps}
        new = {key: job for key, job in steps.items() if key not in done}
        done |= set(new)
        trained = [train for train, step in new if step == TRAINING]
        yield Row(
            figure.name,
            len(jobs),
            len(trained),
            sum(map(_of_training, trained)),
            sum(map(_seconds, trained)),
            sum(_of_lesions(job, step) for (_, step), job in new.items() if step != TRAINING),
        )


def _of_training(train: TrainConfig) -> float:
    n_images = train.n_train or train.data_set.n_train
    return PASSES_PER_TRAINING_IMAGE * operations(train) * n_images * train.epochs


def _seconds(train: TrainConfig) -> float:
    n_images = train.n_train or train.data_set.n_train
    steps = train.epochs * math.ceil(n_images / train.batch_size)
    return max(_of_training(train) / (PEAK_TRAINING * SHARE_TRAINING), steps * LEAST_OF_STEP)


def _of_lesions(job: plans.Job, step: str) -> float:
    """Layers up to the first lesioned one are computed once for all lesions, and not counted."""
    (sweep,) = (one for one in job.sweeps if one.sweep_id == step)
    train = job.train
    n_images = sweep.n_images or (
        train.data_set.n_train if sweep.images == "train" else train.data_set.n_test
    )
    layers = layers_of(train)
    hidden = range(len(layers) - 1)
    last = getattr(sweep, "last_layers", 0)
    # The last layers are those of feature maps; a hidden layer before the logits stays intact.
    with_maps = hidden[:-1] if last and train.head_units else hidden
    lesioned = with_maps[-last:]
    after = [2.0 * sum(adds for _, adds in layers[n + 1 :]) for n in hidden]
    n_units = sum(layers[n][0] for n in lesioned)
    n_lesions = sweep.n_lesions(n_units)
    if n_lesions == n_units + 1:  # one for each unit, and the intact network
        return n_images * sum(layers[n][0] * after[n] for n in lesioned)
    return n_images * n_lesions * after[lesioned[0]]


def table() -> str:
    """The table in Markdown, with what is added up below it."""
    found = list(rows())
    lines = [
        "| figure | networks | new | training, PFLOP | lesions, PFLOP | training | lesions |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.figure} | {row.networks} | {row.new} | {row.training / 1e15:,.1f} "
        f"| {row.lesions / 1e15:,.1f} | {_words(row.minutes[0])} | {_words(row.minutes[1])} |"
        for row in found
    ]
    training, lesions = (sum(row.minutes[n] for row in found) for n in (0, 1))
    n_networks = sum(row.new for row in found)
    lines += [
        "",
        f"{n_networks} networks: {training / 60:.1f} hours of training, {lesions / 60:.1f} of "
        f"lesions, and {n_networks / 60:.1f} of starting and compiling.",
    ]
    return "\n".join(lines)


def _words(minutes: float) -> str:
    return "0" if not minutes else f"{minutes:,.0f} min" if minutes >= 1 else "< 1 min"


def with_table(page: str) -> str:
    """The page with the table of today."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--write", action="store_true", help="write it into docs/gpu.md")
    if parser.parse_args().write:
        PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
    else:
        print(table())


if __name__ == "__main__":
    main()
