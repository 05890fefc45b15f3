"""Measures the ablation engine against rivals and against the arithmetic, in one run.

  python -m benchmarks.ablation --json=out.json            all tasks, 20 minutes on 2 cores
  python -m benchmarks.ablation --tasks=mlp128_single      some
  python -m benchmarks.ablation --memory --json=out.json   peak memory at 1, 10, 100 x the lesions
  python -m benchmarks.ablation --table=out.json           the Markdown table of such a file

For each task the same network, images and lesions go to the engine and to every rival of
`benchmarks.rivals` whose packages are there (TensorFlow or JAX, by KERAS_BACKEND; torch and captum
from the extra `benchmark`). Before anything counts, all give the same counts on a sample of
lesions. Then engine and rivals take turns, and the medians are compared. A rival too slow to run
whole answers a share of the lesions, evenly spread over the layers, and its time is scaled; the
engine always answers all of them. MNIST and CIFAR-10 come from TFDS_DATA_DIR if it is set; the
file says which images were used.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import app, flags

from benchmarks import limits, memory, options
from benchmarks.rivals import RIVALS, Answers, Rival, absent
from benchmarks.subjects import FULL, SMOKE, SUBJECTS, TASKS, Size, Subject
from repro.core.folders import write_bytes
from repro.engine.counts import Outcome
from repro.engine.engine import Engine
from repro.engine.layout import Layout
from repro.engine.network import trace

_RIVAL_SECONDS = flags.DEFINE_float(
    "rival_seconds", 6.0, "Seconds that one timing of a rival may take: the share follows.", 0.0
)
_SMOKE = flags.DEFINE_bool("smoke", False, "Tiny networks: does it run?")
_MEMORY = flags.DEFINE_bool("memory", False, "Measure peak memory, and nothing else.")

SAMPLE = 24
"""Lesions on which all contestants must agree; 6 where a network takes seconds."""
SLOW_SECONDS = 0.5

# What the project set out to reach on 2 CPU cores: how many times longer a rival takes, and within
# what factor of the limit the engine is.
FLOORS: dict[str, dict[str, float]] = {
    "mlp128_single": {"keras_evaluate": 400, "torch_hooks": 35, "captum": 35},
    "mlp512_single": {"keras_evaluate": 250},
    "mlp512_cumulative": {"compiled_forward": 60},
    "convnet_single": {"compiled_forward": 7, "torch_hooks": 5},
    "convnet_cumulative": {"compiled_forward": 15},
    "resnet50_last_stage": {"compiled_forward": 5},
}
WITHIN_LIMIT = {"mlp128_single": 2.0}


class Disagreement(RuntimeError):
    """A contestant answered otherwise than the engine: its time would mean nothing."""


def main(arguments: Sequence[str]) -> None:
    tasks = options.tasks(list(TASKS))
    if options.answered(arguments, table):
        return
    report: dict[str, Any] = {"machine": machine()}
    if _MEMORY.value:
        report["memory"] = memory.measure(_say)
        _write(report)
        return
    size = SMOKE if _SMOKE.value else FULL
    report["tasks"] = {}
    subjects: dict[str, Subject] = {}
    for name in tasks:
        kind = TASKS[name].subject
        if kind not in subjects:
            subjects = {kind: SUBJECTS[kind](size)}  # one at a time: memory
        report["tasks"][name] = measure(
            name, subjects[kind], size, options.REPEATS.value, _RIVAL_SECONDS.value
        )
        _write(report)


def _write(report: dict[str, Any]) -> None:
    if not options.JSON.value:
        print(json.dumps(report, indent=1))
        return
    write_bytes(Path(options.JSON.value), (json.dumps(report, indent=1) + "\n").encode())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- One task -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entrant:
    """A rival at its fastest setting. share: int, the lesions that a timing answers."""

    rival: Rival
    setting: dict[str, Any]
    share: np.ndarray
    difference: int

    def seconds(self, keep: np.ndarray) -> float:
        """One timing, scaled to all lesions."""
        asked = keep[self.share]
        seconds, _ = _timed(lambda: self.rival(asked))
        return seconds * self.rival.work(keep) / self.rival.work(asked)


def measure(
    name: str,
    subject: Subject,
    size: Size,
    repeats: int,
    rival_seconds: float,
    rivals: Sequence[Any] = RIVALS,
) -> dict[str, Any]:
    """The numbers of one task, as they go to the file.

    Raises:
        Disagreement: a rival's counts are not the engine's.
    """
    _say(f"{name}: {subject.data}")
    began = time.perf_counter()
    engine = Engine(subject.model, subject.images, subject.labels)
    lesions = TASKS[name].lesions(engine, size)
    outcome = lesions.ask(engine)
    first = time.perf_counter() - began
    keep = lesions.keep(engine.layout.n_units)
    network = trace(subject.model)
    active = subject.active()
    multiply_adds = lesions.multiply_adds(network, subject, active)
    dense = all(len(node.shapes[0]) == 1 for node in network.masks)
    if dense:
        rate = limits.matrix_rate()
    else:
        rate = limits.convolution_rate(network, subject.images.shape[1:])
    ours, _ = _timed(lambda: lesions.ask(engine))
    _say(f"  engine       {ours:10.3f} s, {first:.3f} s the first time")

    single = bool(np.all(np.count_nonzero(~keep, axis=1) == 1))
    entrants, notes = {}, {}
    for kind in rivals:
        missing = absent(kind)
        if missing:
            notes[kind.name] = f"left out: no package {', '.join(missing)}"
        elif kind.single_only and not single:
            notes[kind.name] = "left out: it answers for single units only"
        else:
            entrant = entered(kind, subject, engine.layout, keep, outcome, rival_seconds)
            entrants[kind.name] = entrant
            _say(
                f"  {kind.name:<18} {entrant.setting}, {len(entrant.share)} of {len(keep)} lesions"
            )
        if kind.name in notes:
            _say(f"  {kind.name:<18} {notes[kind.name]}")

    ours_s: list[float] = []
    rivals_s: dict[str, list[float]] = {rival: [] for rival in entrants}
    for _ in range(repeats):
        ours_s.append(_timed(lambda: lesions.ask(engine))[0])
        for rival, entrant in entrants.items():
            rivals_s[rival].append(entrant.seconds(keep))
    ours = float(np.median(ours_s))
    medians = {rival: float(np.median(seconds)) for rival, seconds in rivals_s.items()}
    limit = multiply_adds / rate
    found = {
        "ours_s": ours,
        "limit_s": limit,
        "rivals_s": medians,
        "ratios": {rival: seconds / ours for rival, seconds in medians.items()},
        "fraction_of_limit": limit / ours,
        "multiply_adds": multiply_adds,
        "rate_per_s": rate,
        "rate_of": "matrix products" if dense else "convolutions of this network",
        "lesions": len(keep),
        "images": len(subject.images),
        "active_fraction": float(active.mean()),
        "accuracy": float(engine.intact().accuracy),
        "n_tied": int(outcome.n_tied.sum()),
        "ours_first_s": first,
        "ours_all_s": ours_s,
        "rivals_all_s": rivals_s,
        "shares": {rival: len(e.share) / len(keep) for rival, e in entrants.items()},
        "settings": {rival: e.setting for rival, e in entrants.items()},
        "largest_difference": {rival: e.difference for rival, e in entrants.items()},
        "notes": notes,
        "data": subject.data,
    }
    _say(f"  engine {ours:.3f} s, limit {limit:.3f} s ({limit / ours:.0%})")
    for rival, seconds in medians.items():
        _say(f"  {rival:<18} {seconds:10.2f} s {seconds / ours:8.1f}x")
    return found


def entered(
    kind: Any,
    subject: Subject,
    layout: Layout,
    keep: np.ndarray,
    outcome: Outcome,
    rival_seconds: float,
) -> Entrant:
    """The rival at its fastest setting, once it has answered as the engine did."""
    tried = []
    for setting in kind.settings(subject):
        rival = kind(subject, **setting)
        few = keep[evenly(blocks(layout, keep, rival.block), 2)]
        rival(few)
        seconds = min(_timed(partial(rival, few))[0] for _ in range(2))
        tried.append((seconds / rival.work(few), setting, rival))
        tried = [min(tried, key=lambda each: each[0])]  # the others' memory is free again
    per_work, setting, rival = tried[0]
    sample = SAMPLE if per_work < SLOW_SECONDS else SAMPLE // 4
    checked = np.random.default_rng(0).choice(len(keep), min(sample, len(keep)), replace=False)
    difference = check_agreement(kind.name, rival, keep, outcome, np.sort(checked))
    all_blocks = blocks(layout, keep, rival.block)
    affordable = rival_seconds / per_work / rival.work(keep) * len(all_blocks)
    n_layers = len(np.unique(first_layers(layout, keep)))
    n_blocks = int(np.clip(affordable, max(4, n_layers), max(4, len(all_blocks))))
    return Entrant(rival, setting, evenly(all_blocks, n_blocks), difference)


def check_agreement(
    name: str,
    contestant: Callable[[np.ndarray], Answers],
    keep: np.ndarray,
    outcome: Outcome,
    lesions: np.ndarray,
) -> int:
    """Compares a contestant's answers to these lesions with the engine's.

    Correct counts must be equal but for images that the engine reports as tied, and for one image
    more where the contestant is another library (its `slack`); summed losses to 1e-4.

    Returns:
        The largest difference of counts.

    Raises:
        Disagreement: they are not.
    """
    answers = contestant(keep[lesions])
    expected = outcome.n_correct.sum(axis=-1)[lesions]
    difference = np.abs(answers.n_correct - expected)
    allowed = outcome.n_tied[lesions] + getattr(contestant, "slack", 0)
    for wrong in np.flatnonzero(difference > allowed):
        raise Disagreement(
            f"{name} finds {answers.n_correct[wrong]} images right under lesion {lesions[wrong]}, "
            f"the engine {expected[wrong]} (of which {outcome.n_tied[lesions][wrong]} tie)"
        )
    losses = outcome.loss_sum[lesions]
    for wrong in np.flatnonzero(~np.isclose(answers.loss_sum, losses, rtol=1e-4, atol=1e-3)):
        raise Disagreement(
            f"{name} finds a summed loss of {answers.loss_sum[wrong]:.6g} under lesion "
            f"{lesions[wrong]}, the engine {losses[wrong]:.6g}"
        )
    return int(difference.max(initial=0))


def first_layers(layout: Layout, keep: np.ndarray) -> np.ndarray:
    """int (n_lesions,), the first layer in which each lesion ablates; 0 for one of nothing."""
    ablated = [(~part).any(axis=1) for part in layout.split(keep)]
    return np.stack(ablated, axis=1).argmax(axis=1)


def blocks(layout: Layout, keep: np.ndarray, size: int) -> list[np.ndarray]:
    """The lesions in order, in blocks of at most so many that begin in the same layer."""
    edges = np.flatnonzero(np.diff(first_layers(layout, keep))) + 1
    return [
        run[start : start + size]
        for run in np.split(np.arange(len(keep)), edges)
        for start in range(0, len(run), size)
    ]


def evenly(parts: list[np.ndarray], n: int) -> np.ndarray:
    """The lesions of n blocks, evenly spread: each from the middle of its n-th part of them.

    >>> evenly([np.array([i]) for i in range(10)], 2)
    array([2, 7])
    """
    n = min(n, len(parts))
    return np.concatenate([parts[int((i + 0.5) * len(parts) / n)] for i in range(n)])


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


# --- The machine, and the table -------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Where and with what this runs."""
    packages = ("numpy", "keras", "tensorflow", "jax", "torch", "captum")
    versions = {name: version for name in packages if (version := _version(name))}
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "backend": keras.backend.backend(),
        "device": _device(),
        "date": datetime.date.today().isoformat(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    """The model's name, or what the system says where it keeps none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    fields = dict([part.strip() for part in line.split(":", 1)] for line in lines if ":" in line)
    parts = [fields.get("model name", platform.processor())]
    if "cpu family" in fields:
        parts.append(f"family {fields['cpu family']}, model {fields.get('model', '?')}")
    return ", ".join(part for part in parts if part)


def _device() -> str:
    if not limits.has_gpu():
        return "cpu"
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import tensorflow as tf

    gpu = tf.config.list_physical_devices("GPU")[0]
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))


def table(report: dict[str, Any]) -> str:
    """The Markdown table of docs/benchmarks.md: a row a task, a column a rival."""
    tasks = report["tasks"]
    rivals = [
        rival.name
        for rival in RIVALS
        if any(rival.name in each["rivals_s"] for each in tasks.values())
    ]
    lines = [
        "| task | engine | limit (reached) | " + " | ".join(rivals) + " | wanted |",
        "|---|---|---|" + "---|" * len(rivals) + "---|",
    ]
    for name, each in tasks.items():
        cells = [
            f"`{name}`",
            f"{_number(each['ours_s'])} s",
            f"{_number(each['limit_s'])} s ({each['fraction_of_limit']:.0%})",
        ]
        for rival in rivals:
            seconds = each["rivals_s"].get(rival)
            ratio = each["ratios"].get(rival)
            cells.append("" if seconds is None else f"{_number(seconds)} s, {_number(ratio)}x")
        wanted = [
            f"{rival} {floor:g}x{_met(each['ratios'].get(rival), floor)}"
            for rival, floor in FLOORS.get(name, {}).items()
        ]
        if name in WITHIN_LIMIT:
            most = WITHIN_LIMIT[name]
            wanted.append(f"limit within {most:g}x{_met(each['fraction_of_limit'], 1 / most)}")
        lines.append("| " + " | ".join([*cells, ", ".join(wanted)]) + " |")
    return "\n".join(lines)


def _met(found: float | None, floor: float) -> str:
    if found is None:
        return " (not measured)"
    return "" if found >= floor else " (**missed**)"


def _number(value: float) -> str:
    """Three digits, without an exponent.

    >>> [_number(x) for x in (0.01234, 1.5, 123.4, 12345.0)]
    ['0.0123', '1.50', '123', '12,345']
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 if value >= 1 else 3 if value >= 0.1 else 4}f}"


if __name__ == "__main__":
    app.run(main)
