"""Measures what `repro.SingleDirectionReliance` costs, as a share of the epochs it follows.

  python -m benchmarks.callback --json=out.json      all tasks, half an hour on 2 cores
  python -m benchmarks.callback --tasks=mlp512       one
  python -m benchmarks.callback --table=out.json     the Markdown table of such a file

A plain `model.fit(images, labels)` of the paper's networks, with the callback at its defaults and
without it, taking turns. An epoch of the convolutional network is measured on a part of the images
and scaled to all of them; the callback draws its images from as many as it would, so its own time
is not scaled. The first epoch and the first measurement compile and are given apart. CPU seconds,
of all threads, are given too: their share holds when other programs share the machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import app

from benchmarks import options
from repro.core.settings import TrainConfig

LARGEST_SHARE = 0.05
"""What the project set out to stay below."""


@dataclass(frozen=True)
class Task:
    """config: network, data and epochs of one fit. n_images: of an epoch in the paper."""

    config: TrainConfig
    n_images: int


TASKS = {
    "mlp512": Task(TrainConfig("mnist", "mlp", (512, 512), epochs=5), 60_000),
    # The network of the paper's Fig. 4a.
    "mlp2048": Task(TrainConfig("mnist", "mlp", (2048, 2048), n_train=6_400, epochs=4), 60_000),
    "convnet": Task(TrainConfig("cifar10", "convnet", width=0.25, n_train=2_500, epochs=4), 50_000),
    # The paper's own width.
    "convnet_full": Task(TrainConfig("cifar10", "convnet", n_train=384, epochs=3), 50_000),
}


def main(arguments: Sequence[str]) -> None:
    tasks = options.tasks(list(TASKS))
    if options.answered(arguments, table):
        return
    from benchmarks.ablation import machine  # loads Keras

    report: dict[str, Any] = {"machine": machine(), "tasks": {}}
    for name in tasks:
        report["tasks"][name] = measure(TASKS[name], options.REPEATS.value)
        print(f"{name}: {report['tasks'][name]}", file=sys.stderr, flush=True)
        if options.JSON.value:
            Path(options.JSON.value).write_text(
                json.dumps(report, indent=1) + "\n", encoding="utf-8"
            )
    if not options.JSON.value:
        print(json.dumps(report, indent=1))


def measure(task: Task, repeats: int) -> dict[str, Any]:
    """The numbers of one task: medians over the repeats' epochs but the first."""
    from repro.data import load, source

    splits = load.load(source.locate(task.config.dataset), task.config)
    turns = [fit(task.config, splits, with_it) for _ in range(repeats) for with_it in (False, True)]
    return summary(turns, len(splits.train), task.n_images)


def fit(config: TrainConfig, splits: Any, with_it: bool) -> dict[str, list[float]]:
    """One training: seconds of the clock and of the processors, for its epochs and, without them,
    for the callback after each."""
    import keras

    from repro.training import callback, trainee

    class Clock(keras.callbacks.Callback):
        """Notes when epochs begin, and when it is this callback's turn at their end."""

        def __init__(self) -> None:
            super().__init__()
            self.began: list[np.ndarray] = []
            self.ended: list[np.ndarray] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.began.append(now())

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.ended.append(now())

    def now() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])

    images, labels = splits.train.images, splits.train.labels
    model = trainee.build(config, splits)
    model.compile(
        keras.optimizers.SGD(config.learning_rate, momentum=config.momentum),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    before, after = Clock(), Clock()
    reliance = callback.SingleDirectionReliance(images, labels)
    model.fit(
        images,
        labels,
        batch_size=config.batch_size,
        epochs=config.epochs,
        verbose=0,
        callbacks=[before, reliance, after] if with_it else [before],
    )
    epochs = np.array(before.ended) - before.began
    own = np.array(after.ended) - before.ended if with_it else np.zeros((0, 2))
    return {
        "epoch_s": epochs[:, 0].tolist(),
        "epoch_cpu_s": epochs[:, 1].tolist(),
        "callback_s": own[:, 0].tolist(),
        "callback_cpu_s": own[:, 1].tolist(),
    }


def summary(
    turns: Sequence[dict[str, list[float]]], n_train: int, n_images: int
) -> dict[str, float]:
    """What fits with and without the callback took, epochs scaled to n_images."""
    alone = [one for one in turns if not one["callback_s"]]
    beside = [one for one in turns if one["callback_s"]]

    def median(fits: Sequence[dict[str, list[float]]], what: str) -> float:
        return statistics.median(seconds for one in fits for seconds in one[what][1:])

    scale = n_images / n_train
    found = {
        "epoch_s": median(alone, "epoch_s") * scale,
        "epoch_with_s": median(beside, "epoch_s") * scale,
        "callback_s": median(beside, "callback_s"),
        "epoch_cpu_s": median(alone, "epoch_cpu_s") * scale,
        "callback_cpu_s": median(beside, "callback_cpu_s"),
        "first_s": statistics.median(one["callback_s"][0] for one in beside),
    }
    return found | {
        "share": found["callback_s"] / found["epoch_s"],
        "cpu_share": found["callback_cpu_s"] / found["epoch_cpu_s"],
        "n_train": n_train,
        "n_images": n_images,
    }


def table(report: dict[str, Any]) -> str:
    """Markdown: an epoch without and beside the callback, and the callback's own time."""
    lines = [
        "| task | epoch | beside the callback | callback | share | of CPU seconds | first time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, task in report["tasks"].items():
        scaled = task["n_images"] != task["n_train"]
        note = f" (from {task['n_train']:,} of {task['n_images']:,} images)" if scaled else ""
        missed = "" if task["share"] < LARGEST_SHARE else " (**5 % or more**)"
        lines.append(
            f"| `{name}` | {task['epoch_s']:.2f} s{note} | {task['epoch_with_s']:.2f} s "
            f"| {task['callback_s']:.3f} s | {task['share']:.1%}{missed} | {task['cpu_share']:.1%} "
            f"| {task['first_s']:.1f} s |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(main)
