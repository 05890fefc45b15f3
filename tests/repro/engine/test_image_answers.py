"""Answers image by image, against plain Keras with the mask assigned, and against the counts; and
what follows from them: how fragile an image is, and the fewest units that change its answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from repro.engine import answers, by_rows, image_answers
from repro.engine.engine import Engine
from tests.helpers import plain, small

N, UNITS, CLASSES = 37, 11, 3
KINDS = ("relu", "tanh", "convolutions", "labels", "numbers", "agreement")


class Stream:
    """Batches of uneven sizes, as often as they are asked for, and a length."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, length: int | None = None) -> None:
        self._images, self._labels = images, labels
        self._length = len(images) if length is None else length

    def __len__(self) -> int:
        return self._length

    def take(self, index: np.ndarray) -> Any:
        return Stream(self._images[np.sort(index)], self._labels[np.sort(index)])

    def labels_in_order(self) -> np.ndarray:
        return self._labels

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(self._images), 10):
            yield self._images[start : start + 10], self._labels[start : start + 10]


class Case:
    """A network and its images, in batches of which the last is not full."""

    def __init__(self, kind: str, bias: float = 0) -> None:
        rng = np.random.default_rng(2)
        layers = kind if kind in ("tanh", "convolutions") else "relu"
        ending = "sigmoid" if kind == "labels" else None
        self.model = small.two_masked_layers((5, 4, 2), layers, CLASSES, ending)
        last = self.model.layers[-1].bias
        last.assign_add(np.array([bias, *[0] * (CLASSES - 1)]))
        self.images = rng.normal(size=(N, 5, 4, 2)).astype(np.float32)
        self.labels: Any = rng.integers(0, CLASSES, N)
        options: dict[str, Any] = {"batch_size": 16}
        if kind == "labels":
            self.labels = rng.integers(0, 2, (N, CLASSES))
        elif kind == "numbers":
            self.labels, options["task"] = rng.normal(size=(N, CLASSES)), "regression"
        elif kind == "agreement":
            options["task"] = "agreement"
        self.engine = Engine(self.model, self.images, self.labels, **options)
        self.fill = rng.normal(0.3, 0.7, UNITS)

    def outputs(self, keep: np.ndarray) -> np.ndarray:
        plain.assign(self.model, self.engine.layout.layers, keep.astype(float), self.fill)
        found = np.asarray(self.model.predict_on_batch(self.images))
        plain.assign(self.model, self.engine.layout.layers, np.ones(UNITS), None)
        return found.astype(np.float64)


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_rows, "_UNITS_STEP", 1)
        return {kind: Case(kind) for kind in KINDS}


def by_hand(kind: str, case: Case, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Right answers, bool (N, n_answers), and losses, float64 (N,), by Keras and formulas."""
    y, labels = case.outputs(keep), case.labels
    if kind == "labels":
        losses = -np.where(labels == 1, np.log(y), np.log1p(-y)).mean(axis=1)
        return (y > 0.5) == (labels == 1), losses
    if kind == "numbers":
        return np.zeros((N, 0), bool), ((y - labels) ** 2).mean(axis=1)

    def log_softmax(x: np.ndarray) -> np.ndarray:
        return (
            x
            - x.max(axis=1, keepdims=True)
            - np.log(np.exp(x - x.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
        )

    if kind == "agreement":
        before = case.outputs(np.ones(UNITS, bool))
        p, q = log_softmax(before), log_softmax(y)
        return (y.argmax(1) == before.argmax(1))[:, None], (np.exp(p) * (p - q)).sum(axis=1)
    return (y.argmax(1) == labels)[:, None], -log_softmax(y)[np.arange(N), labels]


def check(kind: str, case: Case, found: image_answers.Answers, keep: np.ndarray) -> None:
    assert found.losses is not None
    assert found.n_lesions == len(keep)
    assert int(found.outcome.n_tied.sum()) == 0  # so that every answer is certain
    unpacked = found.of_images(np.arange(N))
    for lesion, kept in enumerate(keep):
        right, losses = by_hand(kind, case, kept)
        np.testing.assert_array_equal(found.under(lesion), right)
        np.testing.assert_array_equal(unpacked[:, :, lesion], right)
        # Float32 logits of size 1, through three layers.
        np.testing.assert_allclose(found.losses[:, lesion], losses, rtol=1e-5, atol=2e-6)


def counted(case: Case, found: image_answers.Answers) -> np.ndarray:
    """int64 (n_lesions, n_columns), summed from the bits."""
    bits = found.of_images(np.arange(N))
    task = case.engine.task
    columns = task.columns(case.engine.labels)
    if columns is None:
        return bits.sum(axis=0).T
    each = np.zeros((found.n_lesions, task.n_columns), np.int64)
    for column in range(task.n_columns):
        each[:, column] = bits[columns == column, 0].sum(axis=0)
    return each


def same_as(case: Case, found: image_answers.Answers, expected: Any) -> None:
    """The bits and the counts beside them are those of the question without them."""
    for name in ("n_correct", "loss_sum", "n_top5", "n_tied"):
        np.testing.assert_array_equal(getattr(found.outcome, name), getattr(expected, name))
    n_correct = counted(case, found).reshape(np.shape(expected.n_correct))
    np.testing.assert_array_equal(n_correct, expected.n_correct)


@pytest.mark.parametrize("kind", KINDS)
def test_every_question_is_answered_image_by_image(cases: dict[str, Case], kind: str) -> None:
    case = cases[kind]
    engine = case.engine
    single = engine.answers(fill=case.fill, losses=True)
    check(kind, case, single, ~np.eye(UNITS, dtype=bool))
    same_as(case, single, engine.single_units(case.fill))

    rng = np.random.default_rng(4)
    keep = rng.random((21, UNITS)) < 0.6
    keep[[0, 7, 13]] = True
    keep[7, 3] = keep[20] = False  # one unit among lesions of many, which may take another way
    some = engine.answers(keep, fill=case.fill, losses=True)
    check(kind, case, some, keep)
    same_as(case, some, engine.evaluate(keep, case.fill))

    orders = np.stack([rng.permutation(UNITS) for _ in range(3)])
    points = np.array([4, 0, 11, 4, 9, 1])
    along = np.ones((3, len(points), UNITS), bool)
    for order, point in np.ndindex(3, len(points)):
        along[order, point, orders[order, : points[point]]] = False
    curves = engine.answers(orders=orders, n_ablated=points, fill=case.fill, losses=True)
    check(kind, case, curves, along.reshape(-1, UNITS))
    same_as(case, curves, engine.cumulative(orders, points, case.fill))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_lesion_changes_is_told_image_by_image(cases: dict[str, Case], kind: str) -> None:
    case = cases[kind]
    found = case.engine.answers(units=np.array([9, 2, 4]))
    bits = found.of_images(np.arange(N))
    assert found.losses is None
    np.testing.assert_array_equal(found.n_right, bits.sum(axis=-1))
    np.testing.assert_array_equal(found.n_wrong, (~bits).any(axis=1).sum(axis=1))
    changed = (bits != found.intact_right[..., None]).any(axis=1)
    np.testing.assert_array_equal(found.n_changed, changed.sum(axis=1))
    np.testing.assert_array_equal(found.changed(), changed)
    intact = case.engine.intact()
    assert found.intact_right.sum() == intact.n_correct.sum()
    np.testing.assert_allclose(found.intact_losses.sum(), intact.loss_sum, rtol=1e-6)
    for lesion in range(3):
        broken = (found.intact_right & ~bits[..., lesion]).any(axis=1)
        mended = (~found.intact_right & bits[..., lesion]).any(axis=1)
        np.testing.assert_array_equal(found.broken(lesion), np.flatnonzero(broken))
        np.testing.assert_array_equal(found.mended(lesion), np.flatnonzero(mended))
    assert found.n_changed.any() == (kind != "numbers")


@pytest.mark.parametrize("kind", ["relu", "convolutions"])
def test_answers_in_files_and_of_a_stream_are_the_same(
    cases: dict[str, Case], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cases[kind]
    expected = case.engine.answers(losses=True)
    engine = case.engine.on(Stream(case.images, case.labels))
    written = engine.answers(losses=True, folder=tmp_path / "here")
    np.testing.assert_array_equal(np.load(tmp_path / "here" / "right.npy"), expected.right)
    # Its batches have other sizes, for which other loops may be compiled.
    np.testing.assert_allclose(written.losses, expected.losses, rtol=2e-6)
    monkeypatch.setattr(image_answers, "IN_MEMORY", 10)
    monkeypatch.setattr(image_answers, "_AT_ONCE", 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    on_disk = case.engine.answers(losses=True)
    assert isinstance(on_disk.right.base, np.memmap)
    np.testing.assert_array_equal(on_disk.right, expected.right)
    np.testing.assert_array_equal(on_disk.losses, expected.losses)
    np.testing.assert_array_equal(on_disk.n_changed, expected.n_changed)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]  # the others have no name


def test_where_memory_runs_out_answers_stay_at_their_images(
    monkeypatch: pytest.MonkeyPatch, cases: dict[str, Case]
) -> None:
    case = cases["convolutions"]
    engine = Engine(case.model, case.images, case.labels, batch_size=32)
    run, failed = engine._runner.intact, []

    def intact(*arguments: Any, **options: Any) -> Any:
        found = run(*arguments, **options)

        def call(batch: Any) -> Any:
            if len(batch.labels) > 10 and not failed.append(1):
                raise MemoryError
            return found(batch)

        return call

    monkeypatch.setattr(engine._runner, "intact", intact)
    orders = np.arange(UNITS)[None]
    found = engine.answers(orders=orders)
    expected = case.engine.answers(orders=orders)
    assert failed
    np.testing.assert_array_equal(found.right, expected.right)


def test_no_lesion_at_all_is_answered(cases: dict[str, Case]) -> None:
    found = cases["relu"].engine.answers(np.ones((0, UNITS), bool), losses=True)
    assert found.right.shape == (N, 1, 0) and found.n_changed.tolist() == [0] * N


def test_what_cannot_be_answered_is_refused(cases: dict[str, Case], tmp_path: Path) -> None:
    case = cases["relu"]
    engine = case.engine
    with pytest.raises(ValueError, match="give one of keep, units and orders, not keep and units"):
        engine.answers(np.ones((1, UNITS)), units=np.array([1]))
    with pytest.raises(ValueError, match="n_ablated belongs to orders"):
        engine.answers(n_ablated=np.array([1]))
    with pytest.raises(ValueError, match="lesion must be 0 to 10, got 11"):
        engine.answers().under(11)
    for length, sentence in ((N - 1, "it gave more"), (N + 5, f"it gave {N}")):
        with pytest.raises(ValueError, match=sentence):
            engine.on(Stream(case.images, case.labels, length)).answers()
    with pytest.raises(ValueError, match="give a folder on another disk"):
        image_answers.Recorder.of(1 << 40, 1, 1 << 16, folder=tmp_path)


def test_the_ways_that_were_compared_are_all_there_are(cases: dict[str, Case]) -> None:
    every = np.arange(UNITS)
    lesions = (answers.SingleUnits(every, UNITS), answers.Curves(every[None], every, UNITS))
    ways = {
        type(answers.way_of(case.engine._runner, case.engine.layout, each)).__name__
        for case in cases.values()
        for each in lesions
    }
    # XLA answers curves by rows.
    only = {"ByReturn"} if keras.backend.backend() == "tensorflow" else set()
    assert ways == {"ByWalk", "ByRows", *only}


# --- Fragile images -------------------------------------------------------------------------------


def answered(kind: str, outputs: np.ndarray) -> np.ndarray:
    """The classes, (N, 1), or the yes and no, (N, CLASSES)."""
    return outputs > 0.5 if kind == "labels" else outputs.argmax(axis=1)[:, None]


@pytest.mark.parametrize("kind", ["relu", "tanh", "convolutions", "labels", "agreement"])
def test_fragility_is_the_share_of_single_lesions_that_change_the_answer(
    cases: dict[str, Case], kind: str
) -> None:
    case = cases[kind]
    outputs = case.outputs(np.ones(UNITS, bool))
    intact = answered(kind, outputs)
    changed = np.zeros(N)
    for unit in range(UNITS):
        under = answered(kind, case.outputs(np.arange(UNITS) != unit))
        changed += (under != intact).any(axis=1)
    found = case.engine.fragility(fill=case.fill)
    np.testing.assert_array_equal(found.share, changed / UNITS)
    assert 0 < changed.mean() < UNITS
    np.testing.assert_array_equal(found.intact.predicted.reshape(N, -1), intact)
    if kind == "labels":
        logits = np.log(outputs) - np.log1p(-outputs)
        margin = (logits * (2 * case.labels - 1)).min(axis=1)
    else:
        best = np.sort(outputs, axis=1)[:, ::-1]
        mine = outputs[np.arange(N), intact[:, 0] if kind == "agreement" else case.labels]
        margin = np.where(mine == best[:, 0], best[:, 0] - best[:, 1], mine - best[:, 0])
    np.testing.assert_allclose(found.intact.margin, margin, rtol=1e-4, atol=1e-5)
    _, losses = by_hand(kind, case, np.ones(UNITS, bool))
    np.testing.assert_allclose(found.intact.loss, losses, rtol=1e-5, atol=2e-6)
    some = case.engine.fragility(np.array([8, 1]), case.fill)
    assert some.n_lesions == 2 and np.all(some.n_changed <= found.n_changed)


def forward(case: Case, keep: np.ndarray) -> np.ndarray:
    """float64 (n, CLASSES): the logits of dense networks with two ReLU layers, in NumPy.

    Args:
        keep: (n, UNITS), the lesion of each image; n is a multiple of N.
    """
    weights = [np.asarray(one, np.float64) for one in case.model.trainable_weights]
    x = np.tile(case.images.reshape(N, -1).astype(np.float64), (len(keep) // N, 1))
    for start, stop, kernel, bias in (
        (0, 6, *weights[:2]),
        (6, UNITS, *weights[2:4]),
    ):
        x = np.maximum(np.dot(x, kernel) + bias, 0)
        x = np.where(keep[:, start:stop], x, case.fill[start:stop])
    return np.dot(x, weights[4]) + weights[5]


def test_flips_are_the_greedy_choice_and_its_bounds_hold() -> None:
    # The bias of one class, and fills that change little, so that some answers hang on many units.
    case = Case("relu", bias=2)
    case.fill = 0.3 * case.fill
    every = np.ones((N, UNITS), bool)
    predicted = forward(case, every).argmax(axis=1)

    def asked(keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = forward(case, keep)
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        p = exps[np.arange(N), predicted] / exps.sum(axis=1)
        return logits.argmax(axis=1) != predicted, -np.log(p)

    # The greedy choice, one unit after another, image by image.
    chosen: list[list[int]] = [[] for _ in range(N)]
    done = np.zeros(N, bool)
    for _ in range(UNITS):
        flips, losses = np.zeros((N, UNITS), bool), np.full((N, UNITS), -np.inf)
        for unit in range(UNITS):
            keep = every.copy()
            for image in range(N):
                keep[image, [*chosen[image], unit]] = False
            flips[:, unit], losses[:, unit] = asked(keep)
        for image in np.flatnonzero(~done):
            losses[image, chosen[image]] = -np.inf
            allowed = flips[image] if flips[image].any() else np.ones(UNITS, bool)
            unit = int(np.where(allowed, losses[image], -np.inf).argmax())
            chosen[image].append(unit)
            done[image] = flips[image, unit]
    # The fewest of all: every set of units.
    fewest = np.full(N, UNITS + 1)
    for number in range(1, 1 << UNITS):
        keep = ~(number >> np.arange(UNITS) & 1).astype(bool)
        flipped, _ = asked(np.tile(keep, (N, 1)))
        fewest[flipped] = np.minimum(fewest[flipped], UNITS - keep.sum())

    images = np.random.default_rng(6).permutation(N)
    found = case.engine.flips(images, most=UNITS, fill=case.fill)
    np.testing.assert_array_equal(found.images, images)
    for image, units, n_units in zip(images, found.units, found.n_units, strict=True):
        assert units.tolist() == chosen[image]
        assert n_units == (len(chosen[image]) if done[image] else -1)
    assert np.all(found.at_least <= fewest[images])
    by_greed = found.n_units > 0
    assert np.all(found.n_units[by_greed] >= fewest[images][by_greed])
    np.testing.assert_array_equal(found.at_least == 1, fewest[images] == 1)
    assert found.exact[found.n_units == 2].all() and len(set(found.n_units)) > 2

    pairs = case.engine.flips(images, most=UNITS, fill=case.fill, pairs=True)
    np.testing.assert_array_equal(pairs.n_units == 2, fewest[images] == 2)
    np.testing.assert_array_equal(pairs.at_least, np.minimum(fewest[images], 3))
    few = case.engine.flips(images, most=1, fill=case.fill, pairs=True)
    np.testing.assert_array_equal(few.n_units, np.where(fewest[images] == 1, 1, -1))
    np.testing.assert_array_equal(few.at_least, found.at_least)


@pytest.mark.parametrize("kind", ["convolutions", "labels", "agreement"])
def test_the_units_of_a_flip_change_the_answer_and_fewer_of_them_do_not(
    cases: dict[str, Case], kind: str
) -> None:
    case = cases[kind]
    images = np.array([30, 2, 17, 5])
    found = case.engine.flips(images, most=6, fill=case.fill)
    intact = answered(kind, case.outputs(np.ones(UNITS, bool)))
    fragile = case.engine.fragility(fill=case.fill).n_changed[images] > 0
    np.testing.assert_array_equal(found.n_units == 1, fragile)
    for image, units, n_units in zip(images, found.units, found.n_units, strict=True):
        assert len(units) == (6 if n_units < 0 else n_units)
        for n in range(1, len(units) + 1):
            under = answered(kind, case.outputs(~np.isin(np.arange(UNITS), units[:n])))
            assert (under != intact)[image].any() == (n == n_units)


@pytest.mark.parametrize("kind", ["relu", "convolutions"])
def test_images_of_a_stream_are_as_fragile(cases: dict[str, Case], kind: str) -> None:
    case = cases[kind]
    stream = case.engine.on(Stream(case.images, case.labels))
    found, expected = stream.fragility(), case.engine.fragility()
    np.testing.assert_array_equal(found.n_changed, expected.n_changed)
    np.testing.assert_array_equal(found.intact.predicted, expected.intact.predicted)
    images = np.array([21, 4, 9])
    flips, expected_flips = stream.flips(images, most=4), case.engine.flips(images, most=4)
    np.testing.assert_array_equal(flips.n_units, expected_flips.n_units)
    for mine, theirs in zip(flips.units, expected_flips.units, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_has_no_fragility_is_refused(cases: dict[str, Case]) -> None:
    with pytest.raises(ValueError, match="this task has none .regression."):
        cases["numbers"].engine.fragility()
    with pytest.raises(ValueError, match="flips counts answers that change"):
        cases["numbers"].engine.flips(np.array([0]))
    engine = cases["relu"].engine
    for images, sentence in (
        (np.array([0, N]), f"numbers from 0 to {N - 1}"),
        (np.array([0.5]), f"numbers from 0 to {N - 1}"),
        (np.array([3, 3]), "names an image twice"),
    ):
        with pytest.raises(ValueError, match=sentence):
            engine.flips(images)
    assert engine.flips(np.array([], int)).units == ()
