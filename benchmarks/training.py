"""Measures what a network's epoch costs, against a plain `model.fit` loop, in one run.

  python -m benchmarks.training --json=out.json      all tasks, some minutes on 2 cores
  python -m benchmarks.training --tasks=mlp128       some
  python -m benchmarks.training --table=out.json     the Markdown table of such a file

Three ways to train many networks of one architecture:
  plain     one process, one network after another: `model.fit(images, labels)` as Keras has it,
            on all processors
  ours      `repro.training.train` in one process for each processor, of one thread each, as
            `repro run` does
  together  several networks in one JAX program (`repro.training.ensembles`), in one process; MLPs
            only
Each trains the same architecture on the same images; the ways take turns, each in fresh processes.
The first epoch, which compiles, counts as start; the median of the others is divided by the number
of networks that are trained at once: seconds of a network's epoch. CPU seconds, of all threads,
are given too: they hold when other programs share the machine.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks import options
from repro.core.settings import TrainConfig

_CHILD = flags.DEFINE_string("child", "", "Internal: train in this process, print JSON.")
_THREADS = flags.DEFINE_integer("threads", 1, "Internal: threads of the process.")
_SEED = flags.DEFINE_integer("child_seed", 0, "Internal: of the network.")

TASKS: dict[str, TrainConfig] = {
    "mlp128": TrainConfig("mnist", "mlp", (128, 128), n_train=20_000, epochs=6),
    "mlp512": TrainConfig("mnist", "mlp", (512, 512), n_train=20_000, epochs=6),
    "convnet": TrainConfig("cifar10", "convnet", width=0.25, n_train=2_000, epochs=4),
    # Those of the ensembles of Figs. 3 and 4c in `desk`.
    "convnet_eighth": TrainConfig("cifar10", "convnet", width=0.125, n_train=5_000, epochs=4),
}
TOGETHER = 8
"""Networks of one JAX program."""
FLOOR = 2.0
"""What the project set out to reach on 2 cores: plain / ours."""


def main(arguments: Sequence[str]) -> None:
    tasks = options.tasks(list(TASKS))
    if options.answered(arguments, table):
        return
    if _CHILD.value:
        print(json.dumps(train_here(_CHILD.value, tasks[0], _THREADS.value, _SEED.value)))
    else:
        report: dict[str, Any] = {"tasks": {}}
        for name in tasks:
            report["tasks"][name] = measure(name, options.REPEATS.value)
            if options.JSON.value:
                Path(options.JSON.value).write_text(
                    json.dumps(report, indent=1) + "\n", encoding="utf-8"
                )
        from benchmarks.ablation import machine  # loads Keras: only now, when all is measured

        report["machine"] = machine()
        if options.JSON.value:
            Path(options.JSON.value).write_text(
                json.dumps(report, indent=1) + "\n", encoding="utf-8"
            )
        else:
            print(json.dumps(report, indent=1))


def measure(task: str, repeats: int) -> dict[str, Any]:
    """The numbers of one task, as they go to the file."""
    cores = len(os.sched_getaffinity(0))
    ways = {"plain": (1, cores), "ours": (cores, 1)}
    if TASKS[task].network == "mlp" and find_spec("jax") is not None:
        ways["together"] = (1, cores)
    turns: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for turn in range(repeats):
        for way, (processes, threads) in ways.items():
            found = one_turn(way, task, processes, threads)
            turns[way].append(found)
            print(
                f"{task} {way:<9} turn {turn + 1}: {found['network_epoch_s']:.3f} s",
                file=sys.stderr,
                flush=True,
            )

    def medians(measure: str) -> dict[str, float]:
        return {
            way: statistics.median(turn[measure] for turn in found) for way, found in turns.items()
        }

    seconds, cpu = medians("network_epoch_s"), medians("network_epoch_cpu_s")
    return {
        "network_epoch_s": seconds,
        "network_epoch_cpu_s": cpu,
        "ratios": {way: seconds["plain"] / own for way, own in seconds.items()},
        "cpu_ratios": {way: cpu["plain"] / own for way, own in cpu.items()},
        "turns": turns,
        "n_train": TASKS[task].n_train,
        "batch_size": TASKS[task].batch_size,
        "cores": cores,
    }


def one_turn(way: str, task: str, processes: int, threads: int) -> dict[str, Any]:
    """Trains in fresh processes, side by side.

    Raises:
        RuntimeError: one of them failed.
    """
    backend = "jax" if way == "together" else "tensorflow"
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.training", f"--child={way}", f"--tasks={task}"]
            + [f"--threads={threads}", f"--child_seed={seed}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"KERAS_BACKEND": backend},
        )
        for seed in range(processes)
    ]
    found = []
    for child in children:
        out, errors = child.communicate()
        if child.returncode:
            raise RuntimeError(f"{way} failed on {task}: {errors[-2000:]}")
        found.append(json.loads(out.splitlines()[-1]))
    return summary(found)


def summary(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What processes that ran side by side found, together.

    >>> one = {"epoch_s": [9.0, 2.0, 2.0], "cpu_s": [8.0, 1.5, 1.5], "networks": 1, "accuracy": 0.5}
    >>> summary([one, one])["network_epoch_s"], summary([one, one])["network_epoch_cpu_s"]
    (1.0, 1.5)
    """
    networks = sum(one["networks"] for one in found)
    steady = [statistics.median(one["epoch_s"][1:]) for one in found]
    cpu = [statistics.median(one["cpu_s"][1:]) for one in found]
    return {
        "network_epoch_s": statistics.mean(steady) / networks,
        "network_epoch_cpu_s": sum(cpu) / networks,
        "start_s": statistics.mean(
            one["epoch_s"][0] - epoch for one, epoch in zip(found, steady, strict=True)
        ),
        "networks": networks,
        "accuracy": statistics.mean(one["accuracy"] for one in found),
    }


def train_here(way: str, task: str, threads: int, seed: int) -> dict[str, Any]:
    """Trains in this process; seconds of each epoch, and the training accuracy of the last."""
    import dataclasses

    from repro.data import load, source
    from repro.training import train, trainee

    config = dataclasses.replace(TASKS[task], seed=seed)
    if way == "ours":
        train.configure(threads)
    splits = load.load(source.locate(config.dataset), config)
    marks: list[float] = []
    cpu_marks: list[float] = []

    def mark(*_: Any) -> None:
        marks.append(time.perf_counter())
        cpu_marks.append(time.process_time())

    networks = 1
    if way == "plain":
        mark()
        accuracy = _plain(config, splits, mark)
    elif way == "ours":
        mark()
        accuracy = train.train(config, splits, _Nowhere(), mark, 1e9).history[-1]["accuracy"]
    else:
        from repro.training import ensembles

        networks = TOGETHER
        configs = [dataclasses.replace(config, seed=seed + n) for n in range(networks)]
        # All on the images of the first, as where networks are trained on the whole data set.
        members = [ensembles.Member(one, splits, _Nowhere()) for one in configs]
        members[-1] = dataclasses.replace(members[-1], on_epoch=mark)
        mark()
        trained = ensembles.train(members, 1e9)
        if isinstance(trained[0], trainee.TrainingError):
            raise trained[0]
        accuracy = trained[0].history[-1]["accuracy"]
    return {
        "epoch_s": [after - before for before, after in itertools.pairwise(marks)],
        "cpu_s": [after - before for before, after in itertools.pairwise(cpu_marks)],
        "networks": networks,
        "accuracy": accuracy,
    }


def _plain(config: TrainConfig, splits: Any, mark: Any) -> float:
    """As anybody would write it; returns the training accuracy of the last epoch."""
    import keras

    from repro.training import trainee

    model = trainee.build(config, splits)
    model.compile(
        keras.optimizers.SGD(config.learning_rate, momentum=config.momentum),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(
        splits.train.images,
        splits.train.labels,
        batch_size=config.batch_size,
        epochs=config.epochs,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=mark)],
    )
    return float(history.history["accuracy"][-1])


class _Nowhere:
    """Keeps no checkpoint: writing files is not what is measured."""

    def save(self, checkpoint: Any) -> None:
        pass

    def latest(self) -> None:
        return None

    def save_snapshot(self, epoch: int, weights: Any) -> None:
        pass


def table(report: dict[str, Any]) -> str:
    """Markdown: seconds of a network's epoch, of the clock and of the processors (for all threads
    together), and how many times more plain Keras takes."""
    lines = [
        "| task | way | seconds | plain / this | CPU seconds | plain / this |",
        "|---|---|---|---|---|---|",
    ]
    for name, task in report["tasks"].items():
        for way, seconds in task["network_epoch_s"].items():
            ratio, cpu_ratio = task["ratios"][way], task["cpu_ratios"][way]
            missed = " (**below 2**)" if way == "ours" and ratio < FLOOR else ""
            lines.append(
                f"| `{name}` | {way} | {seconds:.3f} | {ratio:.2f}{missed} "
                f"| {task['network_epoch_cpu_s'][way]:.3f} | {cpu_ratio:.2f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(main)
