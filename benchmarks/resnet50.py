"""Measures what a lesion of one unit of `keras.applications.ResNet50` costs, by depth.

  python -m benchmarks.resnet50 --json=out.json      a quarter of an hour on 2 cores
  python -m benchmarks.resnet50 --table=out.json     the Markdown table of such a file

A mask after the last layer of each stage, one behind which a shortcut passes, and the first. Of
each some units are ablated alone: by the engine, and by the whole model as one compiled function of
images and masks, a call for each unit (`rivals.CompiledForward`). Both answer in one process, on
the same images and units, taking turns, and must count the same images right. Weights are random,
as nothing is downloaded; BatchNorm has the statistics of the images. The first call, which
compiles, is given apart. CPU seconds, of all threads, are given too: their ratio holds when other
programs share the machine.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks import options

_SMOKE = flags.DEFINE_bool("smoke_resnet50", False, "Few images and units: does it run?")

LAYERS = (
    "conv1_relu",
    "conv2_block3_out",
    "conv3_block4_out",
    "conv4_block6_out",
    "conv5_block1_1_relu",
    "conv5_block3_out",
)


@dataclass(frozen=True)
class Size:
    """side: of the images in pixels. units: of each layer that are lesioned."""

    side: int = 64
    images: int = 64
    units: int = 8
    layers: tuple[str, ...] = LAYERS


SMOKE = Size(images=16, units=2, layers=("conv5_block3_out",))


def main(arguments: Sequence[str]) -> None:
    if options.answered(arguments, table):
        return
    from benchmarks.ablation import machine  # loads Keras

    size = SMOKE if _SMOKE.value else Size()
    report = {"machine": machine(), **measure(size, options.REPEATS.value)}
    text = json.dumps(report, indent=1) + "\n"
    if options.JSON.value:
        Path(options.JSON.value).write_text(text, encoding="utf-8")
    else:
        print(text)


def measure(size: Size, repeats: int) -> dict[str, Any]:
    """Seconds of each contestant for the units of each layer, as they go to the file.

    Raises:
        Disagreement: the two do not count the same images right.
    """
    from benchmarks.ablation import check_agreement
    from benchmarks.rivals import CompiledForward
    from benchmarks.subjects import keras_resnet50
    from repro.engine.engine import Engine

    subject = keras_resnet50(size.side, size.images, size.layers)
    engine = Engine(subject.model, subject.images, subject.labels)
    n_units = engine.layout.n_units
    forward = CompiledForward(subject, batch_size=size.images, xla=False)
    first_forward, _ = _timed(partial(forward, np.ones((1, n_units), bool)))
    layers = {}
    for layer in size.layers:
        every = engine.layout.units(layer)
        places = (np.arange(size.units) + 0.5) * len(every) / size.units
        units = every[places.astype(int)]
        keep = np.arange(n_units) != units[:, None]
        first, outcome = _timed(partial(engine.single_units, units=units))
        check_agreement(layer, forward, keep, outcome, np.arange(len(units)))
        row: dict[str, Any] = {
            "width": len(every), "units": len(units), "engine_first_s": first[0]
        }  # fmt: skip
        for _ in range(repeats):
            for who, ask in (
                ("engine", partial(engine.single_units, units=units)),
                ("forward", partial(forward, keep)),
            ):
                (seconds, of_cpu), _ = _timed(ask)
                row.setdefault(f"{who}_s", []).append(seconds)
                row.setdefault(f"{who}_cpu_s", []).append(of_cpu)
        layers[layer] = row
        print(f"{layer}: {layers[layer]}", file=sys.stderr, flush=True)
    return {
        "images": size.images,
        "side": size.side,
        "forward_first_s": first_forward[0],
        "data": subject.data,
        "layers": layers,
    }


def _timed(call: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Seconds of the clock and of the processors, and the answer."""
    began, cpu = time.perf_counter(), time.process_time()
    found = call()
    return (time.perf_counter() - began, time.process_time() - cpu), found


def table(report: dict[str, Any]) -> str:
    """Markdown: milliseconds a unit, all images together; medians."""
    images = f"{report['images']} images of {report['side']} × {report['side']}"
    lines = [
        f"| layer | maps | engine, ms a unit ({images}) | compiled forward, ms a unit "
        "| times faster | of CPU seconds | first call |",
        "|---|---|---|---|---|---|---|",
    ]
    for layer, row in report["layers"].items():
        ours, theirs, ours_cpu, theirs_cpu = (
            1000 * float(np.median(row[f"{who}_{of}"])) / row["units"]
            for of in ("s", "cpu_s")
            for who in ("engine", "forward")
        )
        lines.append(
            f"| `{layer}` | {row['width']:,} | {ours:.0f} | {theirs:.0f} | **{theirs / ours:.1f}** "
            f"| {theirs_cpu / ours_cpu:.1f} | {row['engine_first_s']:.1f} s |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    app.run(main)
