"""Agreement of two measures of networks: by counting pairs, and where settings confound them."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.core.agreement import agreement, kendall


def grid(rng: np.random.Generator, seeds: int = 4) -> dict[str, list[float]]:
    """Learning rates x batch sizes x seeds, a value of each for every network."""
    rows = list(itertools.product((0.01, 0.03, 0.1), (32, 128, 512), range(seeds)))
    rng.shuffle(rows)
    return dict(zip(("learning_rate", "batch_size", "seed"), map(list, zip(*rows, strict=True)),
                    strict=True))  # fmt: skip


def counted(x: Sequence[float], y: Sequence[float], settings: dict[str, list[float]]) -> float:
    """Conditional mutual information over entropy, pair by pair with dictionaries."""

    def sign(number: float) -> int:
        return int(number > 0) - int(number < 0)

    def entropy(counts: Counter) -> float:
        total = sum(counts.values())
        return -sum(n / total * math.log2(n / total) for n in counts.values())

    pairs = list(itertools.permutations(range(len(x)), 2))
    shares = []
    for size in range(3):
        for names in itertools.combinations(settings, size):
            groups: dict[tuple, list[tuple[int, int]]] = defaultdict(list)
            for i, j in pairs:
                known = tuple(settings[name][k] for k in (i, j) for name in names)
                groups[known].append((sign(x[i] - x[j]), sign(y[i] - y[j])))
            left = told = 0.0
            for signs in groups.values():
                weight = len(signs) / len(pairs)
                of_x, of_y = (Counter(pair[side] for pair in signs) for side in (0, 1))
                left += weight * entropy(of_y)
                told += weight * (entropy(of_x) + entropy(of_y) - entropy(Counter(signs)))
            if left > 1e-12:
                shares.append(told / left)
    return min(shares)


def test_pairs_are_counted_as_by_hand() -> None:
    rng = np.random.default_rng(1)
    settings = grid(rng)
    x, y = rng.integers(0, 12, (2, 36)).astype(float)  # with ties
    y += x / 3
    found = agreement(x, y, settings)
    assert found.information == pytest.approx(counted(list(x), list(y), settings), abs=1e-12)
    for name, tau in found.by_setting.items():
        others = [other for other in settings if other != name]
        groups = defaultdict(list)
        for i, j in itertools.combinations(range(36), 2):
            same = all(settings[other][i] == settings[other][j] for other in others)
            if same and settings[name][i] != settings[name][j]:
                key = tuple(settings[other][i] for other in others)
                groups[key].append(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]))
        assert tau == pytest.approx(np.mean([np.mean(pairs) for pairs in groups.values()]))


def test_a_setting_that_moves_both_is_found_out() -> None:
    """The measure is the learning rate and noise: Kendall's tau is high, and it knows nothing."""
    rng = np.random.default_rng(2)
    settings = grid(rng)
    rate = np.log(settings["learning_rate"])
    confounded, gap = (rate + 0.3 * rng.standard_normal(36) for _ in range(2))
    found = agreement(confounded, gap, settings)
    assert found.tau > 0.5
    assert found.by_setting["learning_rate"] > 0.8
    assert abs(found.by_setting["seed"]) < 0.35 and abs(found.by_setting["batch_size"]) < 0.35
    assert found.granulated < 0.4 < found.tau
    assert found.information <= found.by_chance + 0.02


def test_a_measure_that_knows_the_network_is_told_from_one_that_knows_its_rate() -> None:
    rng = np.random.default_rng(3)
    settings = grid(rng)
    gap = np.log(settings["learning_rate"]) + rng.standard_normal(36)
    found = agreement(gap + 0.1 * rng.standard_normal(36), gap, settings)
    assert found.granulated > 0.7
    assert found.information > 0.5 > found.by_chance


def test_a_perfect_measure_tells_all_and_a_reversed_one_as_much() -> None:
    settings = grid(np.random.default_rng(4))
    gap = np.random.default_rng(5).standard_normal(36)
    for sign in (1, -1):
        found = agreement(sign * gap, gap, settings)
        assert found.tau == pytest.approx(sign)
        assert found.granulated == pytest.approx(sign)
        assert found.information == pytest.approx(1)


def test_simpson_a_measure_may_be_right_overall_and_wrong_within() -> None:
    """Within each rate the order is reversed; over all networks it is right."""
    rates = [rate for rate in range(5) for _ in range(4)]
    seeds = [seed for _ in range(5) for seed in range(4)]
    x = [10 * rate + seed for rate, seed in zip(rates, seeds, strict=True)]
    y = [10 * rate - seed for rate, seed in zip(rates, seeds, strict=True)]
    found = agreement(x, y, {"rate": rates, "seed": seeds})
    assert found.tau > 0.6
    assert found.by_setting == {"rate": 1.0, "seed": -1.0}


def test_nothing_known_where_nothing_differs() -> None:
    alike = agreement([1, 1, 1], [1, 2, 3], {"seed": [0, 1, 2]})
    assert math.isnan(alike.tau) and alike.information == 0
    assert math.isnan(agreement([1, 2], [3, 3], {"seed": [0, 1]}).information)
    for n in range(2):
        few = agreement([1.0] * n, [2.0] * n, {})
        assert math.isnan(few.tau) and math.isnan(few.granulated) and math.isnan(few.information)


def test_undefined_values_are_left_out_with_their_settings() -> None:
    settings = {"rate": [1, 1, 2, 2, 3], "seed": [0, 1, 0, 1, 0]}
    x, y = [1, 2, 3, 4, math.nan], [2, 1, 4, 3, 5]
    without = {name: values[:4] for name, values in settings.items()}
    assert agreement(x, y, settings) == agreement(x[:4], y[:4], without)
    with pytest.raises(ValueError, match="a value for each of 5 networks. Received: 4 values of"):
        agreement(x, y, without)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=12))
def test_kendall_counts_pairs(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, float).T
    found = kendall(x, y)
    signs = [
        (np.sign(a - c), np.sign(b - d)) for (a, b), (c, d) in itertools.combinations(pairs, 2)
    ]
    untied = [sum(bool(sign[side]) for sign in signs) for side in (0, 1)]
    if not all(untied):
        assert math.isnan(found)
    else:
        assert found == pytest.approx(sum(a * b for a, b in signs) / math.sqrt(math.prod(untied)))
