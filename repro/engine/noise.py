"""Answers under Gaussian noise on all units at once (paper section 2.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from repro.engine import passes
from repro.engine.batches import Batch, rows
from repro.engine.counts import Counts, Outcome, Rows
from repro.engine.layout import Layout
from repro.engine.runner import Runner, to_numpy


def answer(
    runner: Runner,
    layout: Layout,
    scales: np.ndarray,
    sigma: np.ndarray,
    *,
    draws: int,
    seed: int,
    whole_maps: bool,
) -> Outcome:
    """An outcome (draws, n_scales); arguments as for `Engine.noise`.

    Args:
        scales: float32 (n_scales,). sigma: float (n_units,).
    """
    sigmas = layout.split(sigma.astype(np.float32))
    noise = runner.once(("noise", whole_maps), lambda: passes.Noise(runner.network, whole_maps))

    def tallied(images: Any, labels: Any, *arguments: Any) -> Any:
        tiles = (len(scales), *[1] * (len(labels.shape) - 1))
        return runner.tally(noise(images, *arguments), ops.tile(labels, tiles))

    key = ("noise", whole_maps, len(scales))
    run = runner.once(key, lambda: passes.compiled(tallied, runner.xla))
    counts = Counts.zeros((draws * len(scales),), runner.task.n_columns)
    n_images = block = 0
    runner.check_unchanged()
    for batch in runner.batches:
        start = 0
        while start < batch.n_real:
            most = max(1, runner.elements // (noise.width * len(scales)))
            part = _part(batch, start, most)
            try:
                found = [
                    [to_numpy(row) for row in run(part.images, part.labels, scales, sigmas, state)]
                    for state in (
                        np.array([seed, (block * draws + draw) * len(layout.layers)], np.uint32)
                        for draw in range(draws)
                    )
                ]
            except Exception as error:
                runner.make_smaller(error)
                continue
            columns = runner.task.columns(part.labels[: part.n_real])
            columns = None if columns is None else np.tile(columns, len(scales))
            for draw, of_draw in enumerate(found):
                of_lesion = draw * len(scales) + np.arange(len(scales))
                rank, loss, tied = (_of_scales(row, len(scales), part.n_real) for row in of_draw)
                answers: Rows = rank, loss, tied
                counts.add_rows(np.repeat(of_lesion, part.n_real), columns, answers)
            start += part.n_real
            block += 1
        n_images += batch.n_real
        runner.on_progress(batch.n_real * draws * len(scales))
    outcome = counts.outcome(n_images, runner.task.answers_each)
    return outcome.reshape(draws, len(scales))


def _part(batch: Batch, start: int, most: int) -> Batch:
    """At most so many images of a batch, from one on."""
    part = slice(start, start + min(most, len(batch.labels)))
    labels = batch.labels[part]
    return Batch(rows(batch.images, part), labels, min(len(labels), batch.n_real - start))


def _of_scales(row: np.ndarray, n_scales: int, n: int) -> np.ndarray:
    """The first n rows of each scale, from rows of one scale after the other."""
    return row.reshape(n_scales, -1, *row.shape[1:])[:, :n].reshape(-1, *row.shape[1:])
