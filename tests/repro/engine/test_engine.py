"""The engine against the plainest route to the same answer: assign the mask, predict, count."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro.core.kinds import ORDERS, CumulativeConfig, SingleUnitConfig
from repro.engine import by_rows, network, passes, runner, sweeps
from repro.engine.engine import Engine
from repro.models.masking import AblationMask, ablation_masks
from repro.models.networks import mlp
from tests.helpers.masks import set_masks


def plain_answer(
    model: Any, images: np.ndarray, labels: np.ndarray, keep: np.ndarray, fill: np.ndarray
) -> tuple[np.ndarray, float]:
    """Correct images of each class and summed cross-entropy, by predict and float64 NumPy."""
    set_masks(model, keep, fill)
    logits = model.predict_on_batch(images).astype(np.float64)
    set_masks(model, np.ones(len(keep)))
    hits = logits.argmax(axis=1) == labels
    correct = np.bincount(labels[hits], minlength=logits.shape[1])
    top = logits.max(axis=1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return correct, float(-log_p[np.arange(len(labels)), labels].sum())


def assert_equals_plain(
    model: Any,
    images: np.ndarray,
    labels: np.ndarray,
    keep: np.ndarray,
    fill: np.ndarray | None,
    **engine: Any,
) -> None:
    outcome = Engine(model, images, labels, **engine).evaluate(keep, fill)
    fill = np.zeros(keep.shape[1]) if fill is None else fill
    for row, lesion in enumerate(keep):
        correct, loss = plain_answer(model, images, labels, lesion, fill)
        np.testing.assert_array_equal(outcome.n_correct[row], correct)
        # Float32 logits: about 1e-7 relative each, summed over the images.
        assert outcome.loss_sum[row] == pytest.approx(loss, rel=1e-5)


def lesions(rng: np.random.Generator, n_lesions: int, n_units: int) -> np.ndarray:
    """Lesions of all sizes, the empty and the full one among them."""
    keep = rng.random((n_lesions, n_units)) > rng.random((n_lesions, 1))
    keep[0], keep[-1] = True, False
    return keep


def test_every_lesion_equals_plain_predict(tiny_mlp: Any, tiny_images: Any, rng: Any) -> None:
    keep = lesions(rng, 30, 40)
    keep[5:15, :24] = True  # these begin at the second hidden layer
    assert_equals_plain(tiny_mlp, *tiny_images, keep, None)


def test_lesions_to_a_fill_equal_plain_predict(tiny_mlp: Any, tiny_images: Any, rng: Any) -> None:
    assert_equals_plain(tiny_mlp, *tiny_images, lesions(rng, 12, 40), rng.normal(0.5, 1, 40))


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    widths=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    n_images=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 2**31),
)
def test_any_mlp_any_lesion_any_batch_size_equals_plain_predict(
    widths: list[int], n_images: int, batch_size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    model = mlp((3, 2), 4, widths, seed=seed % 1000)
    images = rng.random((n_images, 3, 2), dtype=np.float32)
    labels = rng.integers(0, 4, n_images)
    keep = lesions(rng, int(rng.integers(1, 6)), sum(widths))
    fill = rng.normal(0, 1, sum(widths))
    assert_equals_plain(model, images, labels, keep, fill, batch_size=batch_size)


def test_feature_maps_equal_plain_predict(rng: Any) -> None:
    images = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(5, 3, padding="same", name="conv_1")(images)
    x = keras.layers.BatchNormalization()(x)
    x = AblationMask(name="conv_1_mask")(keras.layers.ReLU()(x))
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="conv_2")(x)
    x = AblationMask(name="conv_2_mask")(x)
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    x = rng.random((50, 6, 6, 2)).astype("float32")
    assert_equals_plain(model, x, rng.integers(0, 3, 50), lesions(rng, 10, 9), rng.random(9))


def test_a_softmax_output_gives_the_same_answer_as_logits(
    tiny_mlp: Any, tiny_images: Any, rng: Any
) -> None:
    softmax = keras.Model(tiny_mlp.inputs, keras.layers.Softmax()(tiny_mlp.outputs[0]))
    keep = lesions(rng, 6, 40)
    from_logits = Engine(tiny_mlp, *tiny_images).evaluate(keep)
    from_softmax = Engine(softmax, *tiny_images).evaluate(keep)
    np.testing.assert_array_equal(from_softmax.n_correct, from_logits.n_correct)
    np.testing.assert_allclose(from_softmax.loss_sum, from_logits.loss_sum, rtol=1e-5)


def test_the_answer_does_not_depend_on_batches_or_chunks(
    tiny_mlp: Any, tiny_images: Any, rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = lesions(rng, 23, 40)
    whole = Engine(tiny_mlp, *tiny_images).evaluate(keep)
    monkeypatch.setattr(runner, "ELEMENTS_XLA", 64 * 24)
    monkeypatch.setattr(by_rows, "ROWS_PER_CALL", 500)
    monkeypatch.setattr(by_rows, "LESIONS_PER_PIECE", 4)
    pieces = Engine(tiny_mlp, *tiny_images, batch_size=64).evaluate(keep)
    np.testing.assert_array_equal(pieces.n_correct, whole.n_correct)
    np.testing.assert_allclose(pieces.loss_sum, whole.loss_sum, rtol=1e-6)


def test_the_model_is_unchanged_by_a_sweep(tiny_mlp: Any, tiny_images: Any) -> None:
    before = [weight.tobytes() for weight in tiny_mlp.get_weights()]
    sweeps.run(SingleUnitConfig(), tiny_mlp, *tiny_images)
    sweeps.run(CumulativeConfig(orders=2), tiny_mlp, *tiny_images)
    assert [weight.tobytes() for weight in tiny_mlp.get_weights()] == before


def test_one_graph_serves_all_lesions(
    tiny_mlp: Any, tiny_images: Any, rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = []
    compiled = passes.compiled
    monkeypatch.setattr(
        passes, "compiled", lambda fn, xla: graphs.append(compiled(fn, xla)) or graphs[-1]
    )
    engine = Engine(tiny_mlp, *tiny_images, batch_size=100)
    for _ in range(3):
        keep = lesions(rng, 30, 40)
        keep[1:, 0] = False  # all begin at the first layer, but for the empty one
        engine.evaluate(keep)
    counts = [graph.experimental_get_tracing_count() for graph in graphs]
    assert counts and set(counts) == {1}


def test_class_means_equal_a_plain_average(tiny_mlp: Any, tiny_images: Any) -> None:
    images, labels = tiny_images
    probe = keras.Model(tiny_mlp.input, [m.input for m in tiny_mlp.layers if "mask" in m.name])
    activations = np.concatenate(probe.predict(images, verbose=0), axis=1)
    expected = [activations[labels == c].mean(axis=0, dtype=np.float64) for c in range(5)]
    found = Engine(tiny_mlp, images, labels, batch_size=77).statistics()
    np.testing.assert_allclose(found.class_means, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(found.class_counts, np.bincount(labels))
    np.testing.assert_allclose(found.means, activations.mean(axis=0), rtol=1e-5, atol=1e-7)


def test_the_cumulative_curve_begins_intact_and_ends_at_one_class(
    tiny_mlp: Any, tiny_images: Any
) -> None:
    images, labels = tiny_images
    curve = sweeps.run(CumulativeConfig(orders=4), tiny_mlp, images, labels)
    intact = (tiny_mlp.predict(images, verbose=0).argmax(axis=1) == labels).sum()
    assert np.all(curve.n_correct[:, 0] == intact)
    # With every unit ablated the network outputs its constant bias, hence one class.
    constant = Engine(tiny_mlp, images, labels).evaluate(np.zeros((1, 40))).n_correct[0]
    assert np.count_nonzero(constant) == 1
    assert np.all(curve.n_correct[:, -1] == constant.sum())
    assert constant.max() in np.bincount(labels)


def test_a_cumulative_curve_ablates_the_first_units_of_its_order(
    tiny_mlp: Any, tiny_images: Any
) -> None:
    images, labels = tiny_images
    curve = sweeps.run(CumulativeConfig(orders=2, points=6), tiny_mlp, images, labels)
    for order, correct, loss in zip(curve.orders, curve.n_correct, curve.loss, strict=True):
        assert sorted(order) == list(range(40))
        for point, n_ablated in enumerate(curve.n_ablated):
            keep = np.ones(40)
            keep[order[:n_ablated]] = 0
            plain = plain_answer(tiny_mlp, images, labels, keep, np.zeros(40))
            assert correct[point] == plain[0].sum()
            assert loss[point] == pytest.approx(plain[1] / len(labels), rel=1e-5)


def test_single_units_equal_one_lesion_at_a_time(tiny_mlp: Any, tiny_images: Any) -> None:
    images, labels = tiny_images
    table = sweeps.run(SingleUnitConfig(), tiny_mlp, images, labels)
    _, intact = plain_answer(tiny_mlp, images, labels, np.ones(40), np.zeros(40))
    for unit in (0, 7, 23, 24, 39):
        keep = np.ones(40)
        keep[unit] = 0
        correct, loss = plain_answer(tiny_mlp, images, labels, keep, np.zeros(40))
        np.testing.assert_array_equal(table.n_correct[unit], correct)
        assert table.importance[unit] == pytest.approx((loss - intact) / len(labels), abs=1e-6)
    assert table.layer_names[23] == "hidden_1" and table.layer_names[24] == "hidden_2"
    assert table.unit_indices[24] == 0


def test_mean_ablation_fills_with_the_mean(tiny_mlp: Any, tiny_images: Any) -> None:
    images, labels = tiny_images
    table = sweeps.run(SingleUnitConfig(fill="mean"), tiny_mlp, images, labels)
    means = Engine(tiny_mlp, images, labels).statistics().means
    keep = np.ones(40)
    keep[9] = 0
    correct, _ = plain_answer(tiny_mlp, images, labels, keep, means)
    np.testing.assert_array_equal(table.n_correct[9], correct)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("order", ORDERS[1:])
def test_a_curve_in_the_order_of_a_measure(
    tiny_mlp: Any, tiny_images: Any, order: str, descending: bool
) -> None:
    engine = Engine(tiny_mlp, *tiny_images)
    statistics = engine.statistics()
    kernels = [tiny_mlp.get_layer(name).kernel for name in ("hidden_1", "hidden_2")]
    values = {
        "class_selectivity": statistics.class_selectivity,
        "mutual_information": statistics.mutual_information,
        "mean_activation": statistics.means,
        "weight_norm": np.concatenate([np.abs(np.array(kernel)).sum(axis=0) for kernel in kernels]),
    }[order]
    settings = CumulativeConfig(order=order, descending=descending, points=5)
    curve = sweeps.run(settings, tiny_mlp, *tiny_images)
    along = np.diff(values[curve.orders[0]])
    assert curve.orders.shape == (1, 40) and sorted(curve.orders[0]) == list(range(40))
    assert np.all(along <= 1e-6) if descending else np.all(along >= -1e-6)


def test_a_subset_of_images_is_drawn_by_the_seed(tiny_mlp: Any, tiny_images: Any) -> None:
    first, again, other = (
        sweeps.run(SingleUnitConfig(n_images=50, seed=seed), tiny_mlp, *tiny_images)
        for seed in (1, 1, 2)
    )
    assert first.n_images == 50
    np.testing.assert_array_equal(first.loss, again.loss)
    assert not np.array_equal(first.loss, other.loss)


def test_the_check_finds_a_mask_that_does_not_clamp(
    tiny_mlp: Any, tiny_images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Engine(tiny_mlp, *tiny_images).check()
    for mask in ablation_masks(tiny_mlp):
        monkeypatch.setattr(mask, "function", lambda activation, keep, fill: activation)
    with pytest.raises(RuntimeError, match="does not read its fill"):
        Engine(tiny_mlp, *tiny_images).check()


def test_the_check_finds_an_engine_that_lesions_nothing(
    tiny_images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = images = keras.Input((6, 6, 1))
    x = keras.layers.Flatten()(x)
    for name in ("first_mask", "second_mask"):
        x = AblationMask(name=name)(keras.layers.Dense(7, activation="tanh")(x))
    model = keras.Model(images, keras.layers.Dense(5)(x))
    Engine(model, *tiny_images).check()
    taps = network.Linear.taps
    monkeypatch.setattr(network.Linear, "taps", lambda self, change: 0 * taps(self, change))
    with pytest.raises(RuntimeError, match="does not answer as the model"):
        Engine(model, *tiny_images).check()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"images": np.zeros((3, 5, 5, 1))},
            r"images must have shape \(n, 6, 6, 1\), got \(3, 5, 5, 1\)",
        ),
        ({"images": np.zeros((0, 6, 6, 1)), "labels": np.zeros(0, int)}, "no images"),
        ({"labels": np.zeros(2, int)}, "there are 3 images but 2 labels"),
        ({"labels": np.full(3, 0.5)}, "labels must be whole numbers"),
        ({"labels": np.array([0, 1, 5])}, "labels must be 0 to 4.*got 0 to 5"),
        ({"images": np.full((3, 6, 6, 1), np.nan)}, "not finite"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(
    tiny_mlp: Any, change: dict[str, np.ndarray], sentence: str
) -> None:
    given = {"images": np.zeros((3, 6, 6, 1)), "labels": np.zeros(3, int)} | change
    with pytest.raises(ValueError, match=sentence):
        Engine(tiny_mlp, given["images"], given["labels"])


@pytest.mark.parametrize(
    ("keep", "fill", "sentence"),
    [
        (np.ones((2, 39)), None, r"keep must have shape \(n_lesions, 40\), got \(2, 39\)"),
        (np.ones(40), None, "keep must have shape"),
        (np.full((1, 40), 0.5), None, "keep must be 1 .intact. or 0"),
        (np.ones((1, 40)), np.zeros(3), "fill must be 40 finite numbers"),
        (np.ones((1, 40)), np.full(40, np.inf), "fill must be 40 finite numbers"),
        (np.ones((1, 40)), 0.5, "fill must be None, 40 numbers in an array, one a unit, .*got 0.5"),
    ],
)
def test_a_lesion_that_cannot_be_made_is_refused(
    tiny_mlp: Any, tiny_images: Any, keep: np.ndarray, fill: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Engine(tiny_mlp, *tiny_images).evaluate(keep, fill)


def test_a_model_that_carries_lesions_is_refused(tiny_mlp: Any, tiny_images: Any) -> None:
    set_masks(tiny_mlp, np.r_[np.zeros(3), np.ones(37)])
    with pytest.raises(ValueError, match="hidden_1_mask already ablates 3 units"):
        Engine(tiny_mlp, *tiny_images)


@pytest.mark.parametrize("name", ["batch_size", "threads"])
def test_a_setting_of_a_wrong_kind_is_named(tiny_mlp: Any, tiny_images: Any, name: str) -> None:
    settings: dict[str, Any] = {name: 2.5}
    with pytest.raises(ValueError, match=f"^{name} must be a whole number, .*; got 2.5"):
        Engine(tiny_mlp, *tiny_images, **settings)


def test_a_question_of_a_wrong_kind_is_refused_in_a_sentence(
    tiny_mlp: Any, tiny_images: Any
) -> None:
    engine = Engine(tiny_mlp, *tiny_images)
    asked: list[tuple[Any, str]] = [
        (lambda: engine.single_units(units=np.array(3)), "units must be a list of units"),
        (lambda: engine.cumulative([[1, 2], [3]]), "units must be numbers in rows of one length"),  # type: ignore[arg-type]
        (lambda: engine.noise(np.array(["x"])), "scales must be a list of numbers"),
        (lambda: engine.noise(np.ones(1), draws=1.5), "draws must be a whole number"),  # type: ignore[arg-type]
        (lambda: engine.noise(np.ones(1), seed=-1), "seed must be a whole number, 0 or more"),
        (lambda: engine.statistics(n_bins=2.5), "n_bins must be a whole number"),  # type: ignore[arg-type]
        (lambda: engine.statistics(n_top=-1), "n_top must be a whole number, 0 or more"),
        (lambda: engine.one_by_one(40), "units are numbered 0 to 39"),
    ]
    for ask, sentence in asked:
        with pytest.raises(ValueError, match=f"^{sentence}"):
            ask()
