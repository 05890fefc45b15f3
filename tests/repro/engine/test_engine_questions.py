"""Each question of the engine, against another route to its answer, its limits and its refusals.

That `evaluate` answers as plain Keras does is shown in test_engine_networks.py; here the other
questions are held against `evaluate`, against NumPy in float64, or against a hand-made network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from repro.core import metrics
from repro.engine import by_rows, passes, runner
from repro.engine.counts import Outcome
from repro.engine.engine import Engine
from repro.models import networks
from repro.models.masking import AblationMask
from repro.models.networks import mlp
from tests.helpers import plain

N_CLASSES = 8


def with_eight_classes(hidden: Callable[[Any], Any], image_shape: tuple[int, ...]) -> Any:
    images = keras.Input(image_shape)
    model = keras.Model(images, keras.layers.Dense(N_CLASSES)(hidden(images)))
    plain.randomise(model, np.random.default_rng(7))
    return model


def masked(layer: Any, name: str, activation: str = "relu") -> Callable[[Any], Any]:
    return lambda x: AblationMask(name=f"{name}_mask")(
        keras.layers.Activation(activation)(layer(x))
    )


def dense_model(activation: str = "relu") -> Any:
    """Two hidden layers, 9 and 7 units; with ReLU its curves are walked."""
    first = masked(keras.layers.Dense(9), "first", activation)
    second = masked(keras.layers.Dense(7), "second", activation)
    return with_eight_classes(lambda x: second(first(keras.layers.Flatten()(x))), (4, 3))


def conv_model() -> Any:
    """Maps of 5, of 4, and then a dense layer of 6 units."""
    first = masked(keras.layers.Conv2D(5, 3, padding="same"), "first")
    second = masked(keras.layers.Conv2D(4, 2, strides=2), "second")
    third = masked(keras.layers.Dense(6), "third")
    return with_eight_classes(lambda x: third(keras.layers.Flatten()(second(first(x)))), (6, 5, 2))


def residual_model() -> Any:
    """Masks inside a block, after it, and on a branch beside it."""

    def hidden(x: Any) -> Any:
        x = keras.layers.Conv2D(4, 1)(x)
        inside = masked(keras.layers.Conv2D(5, 3, padding="same"), "inside")(x)
        outer = keras.layers.Add()([keras.layers.Conv2D(4, 3, padding="same")(inside), x])
        outer = AblationMask(name="block_mask")(keras.layers.ReLU()(outer))
        beside = masked(keras.layers.Conv2D(3, 1), "beside")(x)
        joined = keras.layers.Concatenate()([outer, beside])
        last = masked(keras.layers.Conv2D(4, 3), "last")(joined)
        return keras.layers.GlobalAveragePooling2D()(last)

    return with_eight_classes(hidden, (6, 5, 2))


MODELS: dict[str, Callable[[], Any]] = {
    "relu": dense_model,
    "tanh": lambda: dense_model("tanh"),
    "maps": conv_model,
}
CURVES_ONLY: dict[str, Callable[[], Any]] = {"residual": residual_model}


def images_for(model: Any, n_images: int = 61) -> tuple[np.ndarray, np.ndarray]:
    values = np.random.default_rng(8)
    images = values.normal(size=(n_images, *model.input_shape[1:])).astype(np.float32)
    return images, values.integers(0, model.output_shape[-1], n_images)


class Case:
    """A model, its images, and an engine that has compiled what it needed so far."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.images, self.labels = images_for(model)
        self.engine = Engine(model, self.images, self.labels, batch_size=23)
        self.n_units = self.engine.layout.n_units
        self.fill = np.random.default_rng(9).normal(0.3, 0.7, self.n_units)

    def new_engine(self, **options: Any) -> Engine:
        return Engine(self.model, self.images, self.labels, **options)


@pytest.fixture(autouse=True, scope="module")
def _narrow_to_any_number_of_units() -> Iterator[None]:
    """Small layers would else never be narrowed: the engine rounds to multiples of 16 units."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_rows, "_UNITS_STEP", 1)
        yield


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return {name: Case(build()) for name, build in (MODELS | CURVES_ONLY).items()}


@pytest.fixture(params=MODELS)
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


def assert_same(found: Outcome, expected: Outcome) -> None:
    """Equal but for images whose best logits tie, and for float32 rounding of each loss."""
    away = np.abs(found.n_correct - expected.n_correct).sum(axis=-1)
    assert np.all(away <= np.maximum(found.n_tied, expected.n_tied))
    assert np.all(np.abs(found.n_tied - expected.n_tied) <= 1)
    # Fifth places may tie too; in random networks of 61 images that is at most one.
    assert np.all(np.abs(found.n_top5 - expected.n_top5) <= 1)
    np.testing.assert_allclose(found.loss_sum, expected.loss_sum, rtol=1e-5)
    assert found.n_images == expected.n_images


def along(order: np.ndarray, n_ablated: np.ndarray, n_units: int) -> np.ndarray:
    """bool (n_points, n_units): the lesions of a curve, one by one."""
    keep = np.ones((len(n_ablated), n_units), bool)
    for point, n in enumerate(n_ablated):
        keep[point, order[: int(n)]] = False
    return keep


# --- Single units and curves ---------------------------------------------------------------------


@pytest.mark.parametrize("filled", [False, True])
def test_single_units_are_lesions_of_one_unit(case: Case, filled: bool) -> None:
    fill = case.fill if filled else None
    single = case.engine.single_units(fill)
    layers = case.engine.layout.layers
    for unit in range(case.n_units):
        keep = np.arange(case.n_units) != unit
        expected = plain.answer(case.model, layers, case.images, case.labels, keep, fill)
        plain.assert_lesion_equals(single, unit, expected)


def test_chosen_units_come_in_the_order_asked(case: Case) -> None:
    chosen = np.array([case.n_units - 1, 0, 3, 3])
    every, some = case.engine.single_units(), case.engine.single_units(units=chosen)
    np.testing.assert_array_equal(some.n_correct, every.n_correct[chosen])
    np.testing.assert_allclose(some.loss_sum, every.loss_sum[chosen], rtol=1e-6)


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("name", [*MODELS, *CURVES_ONLY])
def test_a_curve_is_its_points(cases: dict[str, Case], name: str, filled: bool) -> None:
    case, rng = cases[name], np.random.default_rng(1)
    fill = case.fill if filled else None
    orders = np.stack([rng.permutation(case.n_units) for _ in range(3)])
    grid = np.array([case.n_units, 0, 3, 3, 1])  # in any order, some twice
    every = case.engine.cumulative(orders, fill=fill)
    some = case.engine.cumulative(orders, grid, fill)
    assert every.loss_sum.shape == (3, case.n_units + 1) and some.loss_sum.shape == (3, 5)
    for row, order in enumerate(orders):
        keep = along(order, np.arange(case.n_units + 1), case.n_units)
        points = case.engine.evaluate(keep, fill)
        curve = Outcome(
            every.n_correct[row],
            every.loss_sum[row],
            every.n_top5[row],
            every.n_tied[row],
            every.n_images,
        )
        assert_same(curve, points)
    np.testing.assert_array_equal(some.n_correct, every.n_correct[:, grid])
    np.testing.assert_allclose(some.loss_sum, every.loss_sum[:, grid], rtol=1e-6)


@pytest.mark.parametrize("name", [*MODELS, *CURVES_ONLY])
def test_a_curve_through_some_layers_leaves_the_others_intact(
    cases: dict[str, Case], name: str
) -> None:
    case, rng = cases[name], np.random.default_rng(2)
    for first in (1, len(case.engine.layout.layers) - 1):
        some = np.arange(case.engine.layout.starts[first], case.n_units)
        for order in (rng.permutation(some), rng.permutation(some)[: len(some) // 2]):
            curve = case.engine.cumulative(order, fill=case.fill)
            keep = along(order, np.arange(len(order) + 1), case.n_units)
            assert_same(curve, case.engine.evaluate(keep, case.fill).reshape(1, -1))


def test_small_integers_count_as_well_as_large_ones(case: Case) -> None:
    order = np.arange(case.n_units)[::-1]
    expected = case.engine.cumulative(order, np.array([2, 5]))
    found = case.engine.cumulative(order.astype(np.uint8), np.array([2, 5], np.uint8))
    np.testing.assert_array_equal(found.n_correct, expected.n_correct)


def test_no_lesions_give_no_answers(case: Case) -> None:
    assert case.engine.evaluate(np.ones((0, case.n_units))).loss.shape == (0,)
    assert case.engine.cumulative(np.arange(case.n_units), np.zeros(0, int)).loss.shape == (1, 0)


def test_progress_counts_every_pair_of_image_and_lesion(cases: dict[str, Case]) -> None:
    for case in (cases[name] for name in MODELS):
        pairs: list[int] = []
        engine = case.new_engine(on_progress=pairs.append)
        keep = plain.lesions(np.random.default_rng(3), engine.layout.layers)
        engine.evaluate(keep)
        assert sum(pairs) == 61 * len(keep)
        pairs.clear()
        engine.cumulative(np.stack([np.arange(case.n_units)] * 2), np.array([0, 2, 5]))
        assert sum(pairs) == 61 * 6


def test_a_model_trained_on_leaves_the_engine_as_it_was(case: Case) -> None:
    weights = case.model.get_weights()
    engine = case.new_engine()
    before = engine.intact()
    case.model.set_weights([weight + 1 for weight in weights])
    try:
        after = engine.intact()
    finally:
        case.model.set_weights(weights)
    np.testing.assert_array_equal(after.loss_sum, before.loss_sum)


# --- Directions ----------------------------------------------------------------------------------


def without_directions(
    case: Case, basis: np.ndarray, layer: str, removed: np.ndarray, fill: np.ndarray
) -> plain.Counts:
    """NumPy between two halves of the Keras model: x + ((fill - x Q) removed) Q^T."""
    mask = case.model.get_layer(f"{layer}_mask")
    front = keras.Model(case.model.inputs, mask.input)
    back = keras.Model(mask.output, case.model.outputs)
    x = front.predict_on_batch(case.images).astype(np.float64)
    x = x + ((fill - x @ basis) * removed) @ basis.T
    return plain.counts(back.predict_on_batch(x.astype(np.float32)), case.labels)


@pytest.mark.parametrize(
    ("name", "layer"), [("relu", "first"), ("relu", "second"), ("maps", "first"), ("maps", "third")]
)
def test_directions_are_clamped_along_the_columns_of_a_basis(
    cases: dict[str, Case], name: str, layer: str
) -> None:
    case = cases[name]
    units = case.engine.layout.units(layer)
    basis = metrics.random_basis(len(units), np.random.default_rng(4))
    engine = case.new_engine(bases={layer: basis}, batch_size=23)
    alone = engine.single_units(case.fill, units)
    curve = engine.cumulative(units, fill=case.fill)
    for n in range(len(units)):
        fill = case.fill[units]
        one = without_directions(case, basis, layer, np.arange(len(units)) == n, fill)
        plain.assert_lesion_equals(alone, n, one)
        first = without_directions(case, basis, layer, np.arange(len(units)) <= n, fill)
        plain.assert_lesion_equals(curve, (0, n + 1), first)


def test_a_walk_along_directions_of_both_layers_is_its_points(cases: dict[str, Case]) -> None:
    case, rng = cases["relu"], np.random.default_rng(5)
    bases = {"first": metrics.random_basis(9, rng), "second": metrics.random_basis(7, rng)}
    engine = case.new_engine(bases=bases)
    order = rng.permutation(16)
    points = engine.evaluate(along(order, np.arange(17), 16), case.fill)
    curve = engine.cumulative(order, fill=case.fill)
    assert_same(curve, points.reshape(1, -1))
    # Float64 from the images on, both projections written out.
    by_layer = [case.model.get_layer(index=i).get_weights() for i in range(len(case.model.layers))]
    (w1, b1), (w2, b2), (w3, b3) = (weights for weights in by_layer if np.ndim(weights[:1]) == 3)
    for n in (0, 4, 11, 16):
        removed = np.isin(np.arange(16), order[:n])
        x = np.maximum(case.images.reshape(61, -1).astype(np.float64) @ w1 + b1, 0)
        q = bases["first"]
        x = x + ((case.fill[:9] - x @ q) * removed[:9]) @ q.T
        x = np.maximum(x @ w2 + b2, 0)
        q = bases["second"]
        x = x + ((case.fill[9:] - x @ q) * removed[9:]) @ q.T
        plain.assert_lesion_equals(curve, (0, n), plain.counts(x @ w3 + b3, case.labels))


@pytest.mark.parametrize("name", ["relu", "maps"])
def test_the_identity_as_basis_changes_nothing(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    bases = {name: np.eye(size) for name, size in case.engine.layout.layers}
    engine = case.new_engine(bases=bases)
    assert_same(engine.single_units(case.fill), case.engine.single_units(case.fill))
    order = np.random.default_rng(6).permutation(case.n_units)
    grid = np.array([0, 1, case.n_units // 2, case.n_units])
    expected = case.engine.cumulative(order, grid, case.fill)
    assert_same(engine.cumulative(order, grid, case.fill), expected)


# --- Noise ---------------------------------------------------------------------------------------


def probe(n_units: int, n_masks: int = 1, positions: int = 0) -> Any:
    """A network whose loss for class 1 shows the noise: logits (100 + sum of the activations, 0),
    so log(1 + exp(z)) = z to float32 rounding. Its images are zeros."""
    shape = (positions, n_units) if positions else (n_units,)
    x = images = keras.Input(shape)
    for number in range(n_masks):
        x = AblationMask(name=f"layer_{number}_mask")(x)
    x = keras.layers.Flatten()(x)
    read = keras.layers.Dense(2)
    model = keras.Model(images, read(x))
    read.set_weights([np.tile([[1.0, 0.0]], (x.shape[-1], 1)), np.array([100.0, 0.0])])
    return model


DRAWS = 1500


def noise_sums(
    model: Any, n_images: int, sigma: Any, scale: float, whole_maps: bool = False, **options: Any
) -> np.ndarray:
    """(DRAWS,), the noise that reaches the loss, summed over the images."""
    images = np.zeros((n_images, *model.input_shape[1:]))
    engine = Engine(model, images, np.ones(n_images, int), **options)
    outcome = engine.noise(
        np.array([scale]), draws=DRAWS, seed=1, sigma=np.asarray(sigma), whole_maps=whole_maps
    )
    return outcome.loss_sum[:, 0] - 100 * n_images


def assert_normal(sums: np.ndarray, variance: float) -> None:
    """Mean 0 and this variance, within four standard errors of so many draws."""
    deviation = np.sqrt(variance)
    assert abs(sums.mean()) < 4 * deviation / np.sqrt(DRAWS)
    assert abs(sums.var() / variance - 1) < 4 * np.sqrt(2 / DRAWS)
    # The fourth moment of a normal distribution is 3; its standard error is sqrt(96 / n).
    assert abs(((sums / deviation) ** 4).mean() - 3) < 4 * np.sqrt(96 / DRAWS)
    # Draws do not follow from those before: autocorrelations have standard error 1 / sqrt(n).
    for lag in (1, 2, 3):
        correlation = np.corrcoef(sums[lag:], sums[:-lag])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(DRAWS)


def test_noise_has_the_scale_times_the_units_standard_deviation() -> None:
    assert_normal(noise_sums(probe(1), 1, [0.5], 3.0), (3.0 * 0.5) ** 2)


def test_noise_is_drawn_anew_for_each_image() -> None:
    # One draw for the whole batch would give 12 ** 2 instead of 12 times the variance.
    assert_normal(noise_sums(probe(1), 12, [0.5], 1.0), 12 * 0.25)


def test_noise_is_drawn_anew_for_each_batch() -> None:
    assert_normal(noise_sums(probe(1), 12, [0.5], 1.0, batch_size=5), 12 * 0.25)


def test_noise_is_drawn_anew_for_each_unit() -> None:
    assert_normal(noise_sums(probe(3), 1, [0.5, 1.0, 2.0], 1.0), 0.25 + 1 + 4)


def test_noise_is_drawn_anew_for_each_position() -> None:
    assert_normal(noise_sums(probe(2, positions=4), 1, [0.5, 1.0], 1.0), 4 * (0.25 + 1))


def test_noise_on_whole_maps_moves_their_positions_together() -> None:
    sums = noise_sums(probe(2, positions=4), 3, [0.5, 1.0], 1.0, whole_maps=True)
    assert_normal(sums, 3 * 4**2 * (0.25 + 1))


def test_noise_is_drawn_anew_for_each_layer() -> None:
    assert_normal(noise_sums(probe(1, n_masks=2), 1, [0.5, 2.0], 1.0), 0.25 + 4)


def test_scales_of_one_call_share_their_draws() -> None:
    engine = Engine(probe(2), np.zeros((3, 2)), np.ones(3, int))
    outcome = engine.noise(np.array([1.0, 2.0]), draws=4, sigma=np.array([1.0, 0.5]))
    once, twice = (outcome.loss_sum - 300).T
    np.testing.assert_allclose(twice, 2 * once, atol=1e-4)


def test_seeds_decide_the_noise(cases: dict[str, Case]) -> None:
    case = cases["relu"]
    first, again, other = (
        case.engine.noise(np.array([1.0]), draws=2, seed=seed).loss_sum for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other) and first[0] != first[1]


def test_no_noise_is_the_intact_network_in_every_draw(case: Case) -> None:
    intact = case.engine.intact()
    outcome = case.engine.noise(np.array([0.0, 0.0]), draws=3)
    assert outcome.loss_sum.shape == (3, 2)
    np.testing.assert_array_equal(
        outcome.n_correct, np.broadcast_to(intact.n_correct, (3, 2, N_CLASSES))
    )
    np.testing.assert_allclose(outcome.loss_sum, intact.loss_sum, rtol=1e-6)


def test_more_noise_does_more_harm(case: Case) -> None:
    # The network's own answers as labels: accuracy begins at 1.
    labels = case.model.predict_on_batch(case.images).argmax(axis=1)
    engine = Engine(case.model, case.images, labels)
    accuracy = engine.noise(np.array([0.0, 0.2, 1.0, 5.0]), draws=20).accuracy
    assert np.all(accuracy[:, 0] == 1)
    # 20 draws of 61 images: a standard error of about 0.015, below the differences seen.
    assert np.all(np.diff(accuracy.mean(axis=0)) < 0)


# --- What is counted -----------------------------------------------------------------------------


def test_a_network_with_two_equal_best_logits_ties_on_every_image() -> None:
    model = dense_model()
    kernel, bias = model.layers[-1].get_weights()
    kernel[:, 5], bias[5] = kernel[:, 2], bias[2] = kernel[:, 2], bias[2] + 50
    model.layers[-1].set_weights([kernel, bias])
    images, labels = images_for(model)
    engine = Engine(model, images, labels)
    assert engine.intact().n_tied == 61
    assert np.all(engine.single_units().n_tied == 61)
    curve = engine.cumulative(np.arange(16))
    assert np.all(curve.n_tied == 61)
    # A tie goes to the lower class, as in argmax.
    assert np.all(curve.n_correct[..., 5] == 0)
    assert np.all(curve.n_correct[..., 2] == np.count_nonzero(labels == 2))


def test_ties_are_rare_in_an_ordinary_network(case: Case) -> None:
    assert case.engine.single_units().n_tied.max() <= 1


def test_accuracies_are_counts_over_images(case: Case) -> None:
    logits = case.model.predict_on_batch(case.images)
    intact = case.engine.intact()
    best = np.argsort(-logits, axis=1, kind="stable")
    assert intact.accuracy == np.mean(best[:, 0] == case.labels)
    assert intact.top5_accuracy == np.mean((best[:, :5] == case.labels[:, None]).any(axis=1))
    log_p = logits.astype(np.float64) - np.log(np.exp(logits.astype(np.float64)).sum(1))[:, None]
    expected = -np.mean(log_p[np.arange(61), case.labels])
    assert intact.loss == pytest.approx(expected, rel=1e-5)
    for c in range(N_CLASSES):
        assert intact.n_correct[c] == np.sum((best[:, 0] == c) & (case.labels == c))


def test_with_five_classes_every_image_is_among_the_five_best(
    tiny_mlp: Any, tiny_images: Any
) -> None:
    engine = Engine(tiny_mlp, *tiny_images)
    assert np.all(engine.single_units().top5_accuracy == 1)
    assert np.all(engine.cumulative(np.arange(40), np.array([0, 20, 40])).top5_accuracy == 1)


# --- Streams -------------------------------------------------------------------------------------


def uneven(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    edges = [1, 8, 8, 40, 60]
    pairs = zip(np.split(case.images, edges), np.split(case.labels, edges), strict=True)
    return list(pairs)


@pytest.mark.parametrize("kind", ["list", "dataset"])
def test_a_stream_gives_the_answers_of_its_arrays(case: Case, kind: str) -> None:
    stream: Any = uneven(case)
    if kind == "dataset":
        stream = tf.data.Dataset.from_tensor_slices((case.images, case.labels)).batch(9)
    streamed = Engine(case.model, stream, batch_size=23)
    order = np.arange(case.n_units)[::-1]
    grid = np.array([0, 1, case.n_units])
    for _ in range(2):  # as often as is asked
        assert_same(streamed.intact(), case.engine.intact())
    assert_same(streamed.single_units(case.fill), case.engine.single_units(case.fill))
    assert_same(streamed.cumulative(order, grid), case.engine.cumulative(order, grid))
    found, expected = streamed.statistics(n_top=3), case.engine.statistics(n_top=3)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-5)
    np.testing.assert_array_equal(found.bin_counts, expected.bin_counts)
    np.testing.assert_array_equal(found.top_images, expected.top_images)


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (lambda case: 7, "images must be arrays.*got an int"),
        (lambda case: [], "images must have shape|no images"),
        (lambda case: [(case.images, case.labels[:-1])], "got 61 images and 60 labels"),
        (lambda case: [(case.images[:, :2], case.labels)], "images must have shape"),
    ],
)
def test_what_is_no_stream_is_refused(
    cases: dict[str, Case], stream: Callable[[Case], Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Engine(cases["relu"].model, stream(cases["relu"])).intact()


# --- Memory --------------------------------------------------------------------------------------


class FailingFirst:
    """Makes the first calls of the lesioned passes run out of memory, as a device says it."""

    def __init__(self, patch: pytest.MonkeyPatch, error: Exception, times: int) -> None:
        self.left = times
        for kind in (passes.SingleUnit, passes.ManyUnits, passes.Narrow):
            patch.setattr(kind, "__call__", self._failing(kind.__call__, error))

    def _failing(self, call: Callable[..., Any], error: Exception) -> Callable[..., Any]:
        def failing(this: Any, *arguments: Any) -> Any:
            if self.left:
                self.left -= 1
                raise error
            return call(this, *arguments)

        return failing


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("name", ["relu", "maps"])
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 64 bytes."),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
    ],
)
def test_out_of_memory_halves_a_call_and_changes_no_answer(
    cases: dict[str, Case], patch: pytest.MonkeyPatch, error: Exception, name: str
) -> None:
    case = cases[name]
    keep = plain.lesions(np.random.default_rng(4), case.engine.layout.layers)
    expected = case.engine.evaluate(keep, case.fill)
    engine = case.new_engine(batch_size=23)
    before = engine.elements_per_call
    failing = FailingFirst(patch, error, times=2)
    found = engine.evaluate(keep, case.fill)
    assert failing.left == 0 and engine.elements_per_call == before // 4
    assert_same(found, expected)


def test_other_errors_are_not_taken_for_memory(
    cases: dict[str, Case], patch: pytest.MonkeyPatch
) -> None:
    engine = cases["tanh"].new_engine()
    before = engine.elements_per_call
    FailingFirst(patch, RuntimeError("a mistake"), times=1)
    with pytest.raises(RuntimeError, match="a mistake"):
        engine.evaluate(~np.eye(engine.layout.n_units, dtype=bool))
    assert engine.elements_per_call == before


def test_when_not_even_one_row_fits_the_error_comes_out(
    cases: dict[str, Case], patch: pytest.MonkeyPatch
) -> None:
    FailingFirst(patch, RuntimeError("RESOURCE_EXHAUSTED: 64 bytes"), times=10_000)
    engine = cases["tanh"].new_engine()
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
        engine.evaluate(~np.eye(engine.layout.n_units, dtype=bool))


@pytest.fixture
def small_device(patch: pytest.MonkeyPatch) -> list[int]:
    """A device on which calls of more than 20 images fail; the sizes of those that do not."""
    compiled: Callable[..., Any] = passes.compiled
    sizes: list[int] = []

    def bounded(fn: Any, xla: bool) -> Any:
        run = compiled(fn, xla)

        def call(images: Any, *rest: Any) -> Any:
            if not isinstance(images, list):  # else tensors that rows are picked from
                if len(images) > 20:
                    raise MemoryError("cannot allocate")
                sizes.append(len(images))
            return run(images, *rest)

        return call

    patch.setattr(passes, "compiled", bounded)
    return sizes


def test_noise_that_does_not_fit_is_computed_for_fewer_images(
    cases: dict[str, Case], patch: pytest.MonkeyPatch, small_device: list[int]
) -> None:
    case = cases["relu"]
    intact = case.engine.intact()  # on a device that knows no bounds
    patch.setattr(runner, "ELEMENTS_XLA", 1 << 12)
    engine = case.new_engine()
    outcome = engine.noise(np.array([0.0, 1.0]), draws=2, sigma=np.ones(case.n_units))
    assert small_device and outcome.n_images == 61
    np.testing.assert_array_equal(outcome.n_correct[:, 0], [intact.n_correct] * 2)


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("maps", lambda engine: engine.cumulative(np.arange(engine.layout.n_units)[None])),
        ("relu", lambda engine: engine.single_units()),
        ("relu", lambda engine: engine.intact()),
    ],
)
def test_images_whose_activations_do_not_fit_are_halved(
    cases: dict[str, Case],
    small_device: list[int],
    name: str,
    question: Callable[[Engine], Outcome],
) -> None:
    expected = question(cases[name].engine)
    found = question(cases[name].new_engine())  # all 61 images at a time
    assert max(small_device) <= 20 and sum(small_device) >= 61
    assert_same(found, expected)


# --- Refusals ------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[Engine], Any], str]] = {
    "a unit that does not exist": (
        lambda e: e.single_units(units=np.array([0, 16])),
        "numbered 0 to 15, got 0 to 16",
    ),
    "a negative unit": (lambda e: e.single_units(units=np.array([-1])), "got -1 to -1"),
    "units that are no integers": (
        lambda e: e.single_units(units=np.array([1.0])),
        "numbered by integers, got float64",
    ),
    "a unit twice in an order": (
        lambda e: e.cumulative(np.array([[0, 1], [2, 2]])),
        "an order names a unit twice",
    ),
    "an order of units that do not exist": (
        lambda e: e.cumulative(np.array([0, 99])),
        "numbered 0 to 15, got 0 to 99",
    ),
    "orders on too many axes": (lambda e: e.cumulative(np.zeros((1, 1, 1), int)), "orders must"),
    "more ablated than the order has": (
        lambda e: e.cumulative(np.arange(3), np.array([0, 4])),
        "from 0 to 3",
    ),
    "fewer than none ablated": (
        lambda e: e.cumulative(np.arange(3), np.array([-1])),
        "from 0 to 3",
    ),
    "half a unit ablated": (lambda e: e.cumulative(np.arange(3), np.array([0.5])), "from 0 to 3"),
    "n_ablated on two axes": (
        lambda e: e.cumulative(np.arange(3), np.array([[0, 1]])),
        "from 0 to 3",
    ),
    "a fill of another length": (
        lambda e: e.single_units(np.zeros(15)),
        r"fill must be 16 finite numbers.*got shape \(15,\)",
    ),
    "fills for another number of layers": (
        lambda e: e.single_units([np.zeros(16)]),
        "fill must have 2 arrays, one a layer; got 1",
    ),
    "a fill of another shape": (
        lambda e: e.single_units([np.zeros(9), np.zeros((3, 7))]),
        r"fill of second must be finite and of shape \(7,\).*got \(3, 7\)",
    ),
    "a fill that is not finite": (
        lambda e: e.single_units([np.zeros(9), np.full(7, np.nan)]),
        "fill of second must be finite",
    ),
    "a layer without a mask": (
        lambda e: e.layout.units("third"),
        "no mask stands after a layer 'third'; masked layers are first, second",
    ),
    "a negative scale": (lambda e: e.noise(np.array([0.1, -1.0])), "scales must be finite and not"),
    "a scale that is not finite": (lambda e: e.noise(np.array([np.inf])), "scales must be finite"),
    "scales on two axes": (lambda e: e.noise(np.zeros((2, 2))), "scales must"),
    "no scale": (lambda e: e.noise(np.zeros(0)), "scales must"),
    "sigma of another length": (
        lambda e: e.noise(np.ones(1), sigma=np.ones(3)),
        r"sigma must be 16 standard deviations.*got shape \(3,\)",
    ),
    "a negative sigma": (lambda e: e.noise(np.ones(1), sigma=-np.ones(16)), "sigma must be 16"),
    "a keep on three axes": (lambda e: e.evaluate(np.ones((1, 1, 16))), "keep must have shape"),
    "a keep of two": (lambda e: e.evaluate(np.full((1, 16), 2)), "1 .intact. or 0"),
    "one bin": (lambda e: e.statistics(n_bins=1), "n_bins must be 2 or more"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_wrong_call_says_what_was_expected(cases: dict[str, Case], wrong: str) -> None:
    ask, sentence = REFUSED[wrong]
    with pytest.raises(ValueError, match=sentence):
        ask(cases["relu"].engine)


@pytest.mark.parametrize(
    ("bases", "sentence"),
    [
        ({"third": np.eye(3)}, "no mask stands after a layer 'third'"),
        ({"first": np.eye(8)}, r"orthogonal \(9, 9\) matrix, got shape \(8, 8\)"),
        ({"first": 2 * np.eye(9)}, r"basis of first must be an orthogonal \(9, 9\)"),
        ({"first": np.full((9, 9), np.nan)}, "basis of first must be an orthogonal"),
    ],
)
def test_a_basis_that_does_not_fit_is_refused(
    cases: dict[str, Case], bases: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        cases["relu"].new_engine(bases=bases)


def test_noise_along_directions_is_refused(cases: dict[str, Case]) -> None:
    engine = cases["relu"].new_engine(bases={"first": np.eye(9)})
    with pytest.raises(ValueError, match="noise is added to units"):
        engine.noise(np.ones(1))


def test_a_model_without_masks_is_refused() -> None:
    images = keras.Input((4,))
    model = keras.Model(images, keras.layers.Dense(3)(images))
    with pytest.raises(ValueError, match="has no AblationMask layer"):
        Engine(model, np.zeros((2, 4)), np.zeros(2, int))


def test_weight_norms_are_those_of_the_layers_own_kernels(cases: dict[str, Case]) -> None:
    model = cases["maps"].model
    kernels = [layer.get_weights()[0] for layer in model.layers if hasattr(layer, "kernel")][:3]
    expected = [np.abs(kernel).reshape(-1, kernel.shape[-1]).sum(axis=0) for kernel in kernels]
    found = cases["maps"].engine.weight_norms()
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-6)


def test_the_scale_of_a_normalization_is_no_weight() -> None:
    model = networks.convnet((8, 8, 3), 3, width=0.05)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.5, 3.0, layer.gamma.shape))
    engine = Engine(model, np.zeros((2, 8, 8, 3)), np.zeros(2, int))
    kernels = [w for layer in model.layers for w in layer.get_weights() if w.ndim == 4]
    expected = np.concatenate([np.abs(kernel).sum(axis=(0, 1, 2)) for kernel in kernels])
    np.testing.assert_allclose(engine.weight_norms(), expected, rtol=1e-6)


def test_weight_norms_of_a_residual_block_are_those_of_its_last_convolution() -> None:
    model = networks.resnet50((32, 32, 3), 3, width=1 / 64)
    engine = Engine(model, np.zeros((2, 32, 32, 3)), np.zeros(2, int))
    norms = engine.layout.split(engine.weight_norms())
    assert len(norms) == 16
    for (name, _), found in zip(engine.layout.layers, norms, strict=True):
        kernel = model.get_layer(f"{name}_c").get_weights()[0]
        np.testing.assert_allclose(found, np.abs(kernel).sum(axis=(0, 1, 2)), rtol=1e-6)


def test_units_that_are_no_layers_outputs_have_no_weights_of_their_own() -> None:
    images = keras.Input((4,))
    x = keras.layers.Concatenate()([keras.layers.Dense(4)(images), images])
    model = keras.Model(images, keras.layers.Dense(3)(AblationMask(name="both_mask")(x)))
    engine = Engine(model, np.zeros((2, 4)), np.zeros(2, int))
    message = "units of both are not the outputs of one layer's weights"
    with pytest.raises(ValueError, match=message):
        engine.weight_norms()


def test_the_check_passes_on_every_kind_of_network(case: Case) -> None:
    case.engine.check()
    Engine(mlp((4,), 3, (5,)), np.ones((2, 4)), np.zeros(2, int)).check()
