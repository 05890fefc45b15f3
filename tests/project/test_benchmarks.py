"""The benchmark: it counts arithmetic as one would by hand, and refuses a wrong contestant."""

from __future__ import annotations

import doctest
import json
from importlib.util import find_spec
from typing import Any

import keras
import numpy as np
import pytest

from benchmarks import ablation, limits, memory, rivals
from benchmarks.subjects import SMOKE, SUBJECTS, TASKS, Curves, SingleUnits, Subject
from repro import AblationMask, ablation_masks, mlp
from repro.engine.engine import Engine
from repro.engine.network import Network, trace


class OneSetting(rivals.CompiledForward):
    """Not the fastest of several settings: each takes seconds to compile."""

    @staticmethod
    def settings(subject: Subject) -> list[dict[str, Any]]:
        return [{"batch_size": 200, "xla": False}]


@pytest.fixture(scope="module")
def mlp128() -> Subject:
    return SUBJECTS["mlp128"](SMOKE)


@pytest.fixture(scope="module")
def engine(mlp128: Subject) -> Engine:
    return Engine(mlp128.model, mlp128.images, mlp128.labels)


@pytest.fixture
def small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MATRIX_SIZES", (64,))


# --- The arithmetic, by hand ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_dense() -> Network:
    """4 pixels, 4 and 5 units, 3 classes: 4 * 4 + 4 * 5 + 5 * 3 = 51 multiply-adds an image."""
    return trace(mlp((2, 2, 1), 3, (4, 5)))


@pytest.fixture(scope="module")
def tiny_convolutional() -> Network:
    """4 x 4 pixels; 3 x 3 convolutions to 2 maps of 4 x 4 and to 3 maps of 2 x 2; 2 classes:
    16 * 9 * 1 * 2 = 288, 4 * 9 * 2 * 3 = 216 and 4 * 3 * 2 = 24 multiply-adds an image."""
    layers = keras.layers
    x = images = keras.Input((4, 4, 1))
    for n_maps, stride in ((2, 1), (3, 2)):
        x = layers.Conv2D(n_maps, 3, stride, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = AblationMask()(layers.ReLU()(x))
    return trace(keras.Model(images, layers.Dense(2)(layers.Flatten()(x))))


def test_the_intact_networks_cost_what_they_do_by_hand(
    tiny_dense: Network, tiny_convolutional: Network
) -> None:
    assert limits.intact(tiny_dense) == 51
    assert limits.intact(tiny_convolutional) == 288 + 216 + 24


def test_a_dense_unit_costs_one_row_and_what_follows(tiny_dense: Network) -> None:
    assert limits.after_one_unit(tiny_dense, 0) == 5 + 5 * 3
    assert limits.after_one_unit(tiny_dense, 1) == 3


def test_a_map_costs_one_input_channel_and_what_follows(tiny_convolutional: Network) -> None:
    assert limits.after_one_unit(tiny_convolutional, 0) == 4 * 9 * 3 + 24
    assert limits.after_one_unit(tiny_convolutional, 1) == 4 * 2


def test_a_map_read_by_a_convolution_and_by_a_shortcut_costs_one_channel_of_the_first() -> None:
    layers = keras.layers
    images = keras.Input((2, 2, 3))
    x = AblationMask()(layers.ReLU()(layers.Conv2D(5, 1)(images)))
    x = layers.Add()([x, layers.Conv2D(5, 3, padding="same")(x)])
    model = keras.Model(images, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    assert limits.after_one_unit(trace(model), 0) == 4 * 9 * 5 + 5 * 2


def test_units_cost_nothing_where_they_are_silent(tiny_dense: Network) -> None:
    active = np.zeros((10, 9), bool)
    active[:3, 0] = active[:, 8] = True
    found = limits.single_units(tiny_dense, active, np.array([0, 1, 8]))
    assert found == 10 * 51 + 3 * 20 + 0 + 10 * 3


def test_lesions_of_many_maps_cost_what_is_kept(tiny_convolutional: Network) -> None:
    active = np.ones((10, 5), bool)
    active[6:, 1] = False
    keep = np.ones((4, 5), bool)
    keep[1, 1] = False  # silent on 4 of the 10 images
    keep[2, [1, 4]] = False
    keep[3, [2, 3, 4]] = False
    expected = [
        10 * 528,
        0,  # nothing is ablated
        6 * (4 * 9 * 1 * 3 + 4 * 3 * 2),
        10 * (4 * 9 * 1 * 2 + 4 * 2 * 2),
        10 * 0,  # no map is left, and the first convolutions are intact
    ]
    assert limits.many_units(tiny_convolutional, active, keep) == sum(expected)


def test_a_curve_costs_a_row_for_each_unit_that_comes_back() -> None:
    network = trace(mlp((1, 2, 1), 3, (2, 1)))
    activations = np.zeros((10, 2), np.float32)
    activations[:4, 0] = activations[:7, 1] = 1
    # Units come back in the order 1, 2, 0; unit 2 is that of the second layer.
    by_hand = 10 * (2 * 2) + 7 * (1 + 0 * 3) + 10 * 3 + 4 * (1 + 1 * 3)
    assert limits.dense_curves(network, activations, np.array([[0, 2, 1]])) == by_hand


def test_active_is_where_an_activation_differs_from_zero(mlp128: Subject) -> None:
    first = mlp128.first_activations()
    active = mlp128.active()
    assert active.shape == (200, 32) and 0.1 < active.mean() < 0.95
    np.testing.assert_array_equal(active[:, :16], first > 0)


# --- Fairness -------------------------------------------------------------------------------------


def wrong_in_one_lesion(answers: rivals.Answers) -> rivals.Answers:
    n_correct = answers.n_correct.copy()
    n_correct[3] += 2
    return answers._replace(n_correct=n_correct)


def wrong_loss(answers: rivals.Answers) -> rivals.Answers:
    return answers._replace(loss_sum=answers.loss_sum * 1.01)


def test_a_contestant_that_answers_otherwise_is_refused(mlp128: Subject, engine: Engine) -> None:
    outcome = engine.single_units()
    keep = SingleUnits(np.arange(32)).keep(32)
    right = rivals.CompiledForward(mlp128, batch_size=200, xla=False)

    def check(contestant: Any) -> int:
        return ablation.check_agreement("it", contestant, keep, outcome, np.arange(32))

    assert check(right) <= outcome.n_tied.max()
    with pytest.raises(ablation.Disagreement, match="it finds .* images right under lesion 3"):
        check(lambda lesions: wrong_in_one_lesion(right(lesions)))
    with pytest.raises(ablation.Disagreement, match="it finds a summed loss"):
        check(lambda lesions: wrong_loss(right(lesions)))
    with pytest.raises(ablation.Disagreement):
        check(lambda lesions: right(np.ones_like(lesions)))  # its lesions do nothing
    with pytest.raises(ablation.Disagreement):
        check(lambda lesions: right(np.roll(lesions, 1, axis=1)))  # it lesions the neighbour


def test_curves_are_the_engines_own_points(mlp128: Subject, engine: Engine) -> None:
    orders = np.stack([np.random.default_rng(n).permutation(32) for n in range(2)])
    curves = Curves(orders, np.array([0, 5, 32]))
    plain = rivals.CompiledForward(mlp128, batch_size=200, xla=False)
    ablation.check_agreement("it", plain, curves.keep(32), curves.ask(engine), np.arange(6))


def test_a_share_is_spread_over_the_layers(engine: Engine) -> None:
    layout = engine.layout
    keep = SingleUnits(np.arange(32)).keep(32)
    parts = ablation.blocks(layout, keep, 5)
    assert [len(part) for part in parts] == [5, 5, 5, 1] * 2
    assert ablation.evenly(parts, 2).tolist() == [10, 11, 12, 13, 14, 26, 27, 28, 29, 30]
    assert ablation.evenly(parts, 100).tolist() == list(range(32))


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is an extra of the benchmark")
@pytest.mark.parametrize("kind", ["mlp128", "convnet", "resnet50"])
def test_pytorch_rivals_answer_as_plain_keras(kind: str) -> None:
    subject = SUBJECTS[kind](SMOKE)
    n_units = sum(mask.n_units for mask in ablation_masks(subject.model))
    n_lesions = 8 if kind == "mlp128" else 2  # the first unit and the last: convolutions take long
    keep = SingleUnits(np.linspace(0, n_units - 1, n_lesions).astype(int)).keep(n_units)
    expected = rivals.KerasEvaluate(subject, batch_size=100, jit_compile=False)(keep)
    for rival in (rivals.TorchHooks, rivals.TorchVmap, rivals.Captum):
        if not rivals.absent(rival):
            answers = rival(subject, **rival.settings(subject)[0])(keep)
            assert np.abs(answers.n_correct - expected.n_correct).max() <= 1
            np.testing.assert_allclose(answers.loss_sum, expected.loss_sum, rtol=1e-4)


# --- The program ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp128_single", "mlp512_cumulative"])
def test_a_task_gives_what_the_file_promises(
    name: str, mlp128: Subject, small_matrices: None
) -> None:
    kinds = (OneSetting, rivals.Captum)
    found = ablation.measure(name, mlp128, SMOKE, 1, 0.05, kinds)
    lesions = 32 if name == "mlp128_single" else 2 * (32 + 1)
    assert (found["lesions"], found["images"]) == (lesions, 200)
    assert set(found["rivals_s"]) >= {"compiled_forward"}
    for rival, seconds in found["rivals_s"].items():
        assert found["ratios"][rival] == pytest.approx(seconds / found["ours_s"])
        assert 0 < found["shares"][rival] <= 1
    assert found["limit_s"] == found["multiply_adds"] / found["rate_per_s"]
    assert found["fraction_of_limit"] == found["limit_s"] / found["ours_s"]
    assert ("captum" in found["notes"]) != ("captum" in found["rivals_s"])
    assert {"ours_first_s", "active_fraction", "n_tied", "settings", "data"} <= set(found)
    report = json.loads(json.dumps({"machine": ablation.machine(), "tasks": {name: found}}))
    assert {"cpu", "cores", "memory_gib", "os", "versions", "backend", "device", "date"} <= set(
        report["machine"]
    )
    heading, _, row = ablation.table(report).splitlines()
    assert row.startswith(f"| `{name}` |") and row.count("|") == heading.count("|")


def test_the_table_says_which_floor_is_missed() -> None:
    task = {"ours_s": 1.0, "limit_s": 0.4, "fraction_of_limit": 0.4}
    rivals_s = {"keras_evaluate": 450.0, "torch_hooks": 12.0}
    report = {"tasks": {"mlp128_single": {**task, "rivals_s": rivals_s, "ratios": rivals_s}}}
    assert ablation.table(report).splitlines()[-1] == (
        "| `mlp128_single` | 1.00 s | 0.400 s (40%) | 450 s, 450x | 12.00 s, 12.00x | "
        "keras_evaluate 400x, torch_hooks 35x (**missed**), captum 35x (not measured), "
        "limit within 2x (**missed**) |"
    )


def test_every_floor_names_a_task_and_a_rival() -> None:
    assert set(ablation.FLOORS) == set(TASKS) >= set(ablation.WITHIN_LIMIT)
    names = {rival.name for rival in rivals.RIVALS}
    assert all(names >= set(floors) for floors in ablation.FLOORS.values())


def test_a_sweep_reports_its_peak_memory() -> None:
    found = memory.sweep("mlp128", 1)
    assert found["lesions"] == 256 and found["peak_mib"] > 100
    assert found["swept_mib"] == found["peak_mib"] - found["before_mib"] >= 0


@pytest.mark.parametrize("module", [ablation, limits, memory, rivals])
def test_examples_in_docstrings_hold(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
