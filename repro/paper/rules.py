"""The rules that decide the paper's claims on networks (C1 to C13, C21, C22), each in words beside
its function.

A rule is written before its results are seen. A verdict of "not supported" is a result like any
other. `repro.paper.unit_rules` has the rules on single units, `repro.paper.verdicts` the functions
that both share, and `repro.paper.claims` the figures that each rule is applied to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from repro.core.metrics import mean_and_sd
from repro.core.results import AblationCurve, FigureResult, NetworkResult, NoiseCurve, UnitTable
from repro.paper.findings import (
    MEMORISED,
    auc,
    by_label_corruption,
    correlation,
    curves,
    generalization_error,
    mean_selectivity,
    memorised,
    noise_tolerance,
    normalized_auc,
    percent,
    score,
    sweep_of,
    trajectory,
)
from repro.paper.verdicts import (
    FEWEST_NETWORKS,
    INCONCLUSIVE,
    NOT_RUN,
    NOT_SUPPORTED,
    SUPPORTED,
    Finding,
    Interval,
    correlated,
    counted,
    decided,
    missing_networks,
    paired,
    plus_minus,
    rho_words,
    welch,
)

# --- C1, C2: networks that memorise -------------------------------------------------------------

_CORRUPTED_RULE = (
    "{measure} of the network trained on true labels, minus that of each network trained "
    "on corrupted labels, over all {repeats}. Supported: every difference is larger than the "
    "two standard deviations added up, so that no two error bars touch. Not supported: one "
    "difference is not, in networks that memorised (training accuracy of 0.99 or more). A network "
    "that did not memorise or is missing decides nothing, so the rest is inconclusive. Interval: "
    "the difference to the closest corrupted network, plus and minus both standard deviations. "
    "With one network for each label corruption, the spread between trainings is not covered."
)
C1_RULE = _CORRUPTED_RULE.format(measure="Mean normalized AUC", repeats="random orders")
C2_RULE = _CORRUPTED_RULE.format(
    measure="Accuracy relative to the intact network, averaged over all scales of noise,",
    repeats="draws of noise",
)


@dataclass(frozen=True)
class _Group:
    """Networks of one label corruption, with a measure for every order (or draw) of every
    network."""

    label_corruption: float
    n_networks: int
    values: np.ndarray
    train_accuracy: float

    @property
    def memorised(self) -> bool:
        return self.train_accuracy >= MEMORISED


def memorising_networks_rely_more(figure: FigureResult) -> Finding:
    """C1: corrupted labels lower the area under the cumulative ablation curve."""
    raw = {fraction: networks for fraction, networks in by_label_corruption(figure).items()}
    found = _corrupted_lose(figure, normalized_auc, "normalized AUC", "order")
    if 0.0 in raw and len(raw) > 1 and found.ours:
        clean = np.concatenate([auc(network) for network in raw[0.0]])
        others = [np.concatenate([auc(n) for n in raw[f]]) for f in raw if f > 0]
        best = max(others, key=lambda values: float(values.mean()))
        words = f"{found.ours}; raw AUC {plus_minus(clean)} against {plus_minus(best)}"
        return Finding(found.verdict, words, found.value, found.interval, found.n, found.note)
    return found


def memorising_networks_bear_less_noise(figure: FigureResult) -> Finding:
    """C2: corrupted labels lower the accuracy under noise on all units."""
    return _corrupted_lose(figure, noise_tolerance, "relative accuracy under noise", "draw")


def _corrupted_lose(
    figure: FigureResult, measure: Callable[[NetworkResult], np.ndarray], name: str, repeat: str
) -> Finding:
    groups = [
        _Group(
            fraction,
            len(networks),
            np.concatenate([measure(network) for network in networks]),
            min(network.training.train_accuracy for network in networks),
        )
        for fraction, networks in by_label_corruption(figure).items()
    ]
    clean = next((group for group in groups if group.label_corruption == 0), None)
    corrupted = [group for group in groups if group.label_corruption > 0]
    if clean is None or not corrupted:
        return Finding(
            NOT_RUN, note="It needs a network trained on true labels and one on corrupted labels."
        )
    margins = [_bars_apart(clean, group) for group in corrupted]
    n = _n_repeats(figure, groups, repeat)
    words = _group_words(clean, corrupted, name)
    if not np.all(np.isfinite(margins)):
        note = f"A standard deviation needs two {repeat}s and an intact accuracy above 0."
        return Finding(INCONCLUSIVE, words, n=n, note=note)
    difference, low, high = min(margins, key=lambda margin: margin[1])
    doubts = _doubts(figure, [clean, *corrupted])
    decisive_failure = clean.memorised and any(
        group.memorised and bottom <= 0
        for group, (_, bottom, _) in zip(corrupted, margins, strict=True)
    )
    if decisive_failure:
        verdict = NOT_SUPPORTED
    elif doubts or low <= 0:
        verdict = INCONCLUSIVE
    else:
        verdict = SUPPORTED
    return Finding(
        verdict,
        f"{words}; smallest difference of {name} {difference:.3f} [{low:.3f}, {high:.3f}]",
        difference,
        (low, high),
        n,
        " ".join(doubts),
    )


def _bars_apart(clean: _Group, corrupted: _Group) -> Interval:
    """Difference of means, and the same minus and plus the sum of both s.d."""
    mean_clean, sd_clean = mean_and_sd(clean.values)
    mean, sd = mean_and_sd(corrupted.values)
    difference, bars = float(mean_clean - mean), float(sd_clean + sd)
    return difference, difference - bars, difference + bars


def _doubts(figure: FigureResult, groups: Sequence[_Group]) -> list[str]:
    doubts = [
        f"The network at {percent(group.label_corruption)} corruption reached a training accuracy "
        f"of only {group.train_accuracy:.3f}: it did not memorise."
        for group in groups
        if not group.memorised
    ]
    return [*doubts, missing] if (missing := missing_networks(figure)) else doubts


def _group_words(clean: _Group, corrupted: Sequence[_Group], name: str) -> str:
    ranked = sorted(corrupted, key=lambda group: float(group.values.mean()), reverse=True)
    highest, lowest = ranked[0], ranked[-1]
    words = (
        f"{name} {plus_minus(clean.values)} with true labels; with corrupted labels "
        f"{plus_minus(highest.values)} ({percent(highest.label_corruption)})"
    )
    if lowest is not highest:
        words += f" down to {plus_minus(lowest.values)} ({percent(lowest.label_corruption)})"
    return words


def _n_repeats(figure: FigureResult, groups: Sequence[_Group], repeat: str) -> str:
    kind: type[AblationCurve | NoiseCurve] = NoiseCurve if repeat == "draw" else AblationCurve
    found = (sweep_of(network, kind) for network in figure.networks)
    curve = next((item for item in found if item is not None), None)
    n_networks = sum(group.n_networks for group in groups)
    if curve is None:
        return counted(n_networks, "network")
    return (
        f"{counted(n_networks, 'network')}, {counted(len(curve.n_correct), repeat)} each, "
        f"{curve.n_images:,} images"
    )


# --- C3, C4: networks trained alike -------------------------------------------------------------

C3_RULE = (
    "Over networks that memorised (training accuracy of 0.99 or more; the others are left out and "
    "counted): rho of normalized AUC and generalization error, and the mean normalized AUC of the "
    "five best by generalization error minus that of the five worst. Supported: the interval of "
    "rho lies below 0 and the best lie above the worst. Not supported: the interval of rho lies "
    "above 0, or the best do not lie above the worst. Else, and with fewer than 10 networks, "
    "inconclusive. In words also: rho within each learning rate that has four networks or more, "
    "mean and 95 % t interval over the rates, since the rate may cause both."
)
C4_RULE = (
    "Normalized AUC of the same networks, by the Bayesian information criterion of one Gaussian "
    "against a mixture of two. Supported: two are better by 10 or more, and in at least one of the "
    "clusters with 10 networks or more the interval of rho of normalized AUC and generalization "
    "error lies below 0. Not supported: one Gaussian is better by 10 or more. Else, and with fewer "
    "than 20 networks, inconclusive. Value: the difference of the criteria, which has no interval. "
    "In words also: the same difference once each learning rate's mean is taken off, which tells "
    "clusters of networks from clusters of rates."
)


def better_networks_rely_less(figure: FigureResult) -> Finding:
    """C3: among networks of one topology on true labels."""
    if not figure.networks:
        return Finding(NOT_RUN)
    kept = memorised(figure.networks)
    errors = [generalization_error(network) for network in kept]
    areas = [float(normalized_auc(network).mean()) for network in kept]
    found = correlation(areas, errors)
    n = f"{counted(len(kept), 'network')}, {_left_out(figure, kept)}"
    if not np.isfinite(found.rho):
        return Finding(INCONCLUSIVE, n=n, note="rho is undefined over so few networks.")
    ranked = np.array(areas)[np.argsort(errors, kind="stable")]
    k = min(5, len(ranked) // 2)
    best, worst = ranked[:k], ranked[len(ranked) - k :]
    gap = float(best.mean() - worst.mean())
    ours = (
        f"{rho_words(found)}; normalized AUC {plus_minus(best)} of the {k} best, "
        f"{plus_minus(worst)} of the {k} worst{_within_rates(kept)}"
    )
    if len(kept) < FEWEST_NETWORKS:
        verdict = INCONCLUSIVE
    elif found.high < 0 and gap > 0:
        verdict = SUPPORTED
    elif found.low > 0 or gap <= 0:
        verdict = NOT_SUPPORTED
    else:
        verdict = INCONCLUSIVE
    return Finding(verdict, ours, found.rho, (found.low, found.high), n)


def _within_rates(networks: Sequence[NetworkResult]) -> str:
    """rho within each learning rate that has four networks or more, in words; "" if none has."""
    rhos = []
    for same in _by_rate(networks):
        if len(same) >= 4:
            areas = [float(normalized_auc(network).mean()) for network in same]
            rhos.append(correlation(areas, map(generalization_error, same)).rho)
    defined = [rho for rho in rhos if np.isfinite(rho)]
    if not defined:
        return ""
    mean, low, high = paired(defined)
    interval = f" [{max(low, -1):.2f}, {min(high, 1):.2f}]" if np.isfinite(mean) else ""
    return (
        f"; within {counted(len(defined), 'learning rate')} rho = {np.mean(defined):.2f}{interval}"
        f" on average, below 0 in {sum(rho < 0 for rho in defined)}"
    )


def _by_rate(networks: Sequence[NetworkResult]) -> list[list[NetworkResult]]:
    groups: dict[float, list[NetworkResult]] = {}
    for network in networks:
        groups.setdefault(network.config.learning_rate, []).append(network)
    return list(groups.values())


def networks_fall_into_regimes(figure: FigureResult) -> Finding:
    """C4: clusters of normalized AUC, and the relation inside them."""
    if not figure.networks:
        return Finding(NOT_RUN)
    kept = memorised(figure.networks)
    areas = np.array([float(normalized_auc(network).mean()) for network in kept])
    n = f"{counted(len(kept), 'network')}, {_left_out(figure, kept)}"
    if len(kept) < 2 * FEWEST_NETWORKS or np.ptp(areas) == 0:
        return Finding(INCONCLUSIVE, n=n, note="Too few networks to tell one cluster from two.")
    in_high, gain = two_clusters(areas)
    errors = np.array([generalization_error(network) for network in kept])
    inside, words = [], []
    for name, members in (("low", ~in_high), ("high", in_high)):
        found = correlation(areas[members], errors[members])
        words.append(f"{rho_words(found)} in the {name} one (n = {int(members.sum())})")
        inside.append(members.sum() >= FEWEST_NETWORKS and found.high < 0)
    if gain >= 10 and any(inside):
        verdict = SUPPORTED
    elif gain <= -10:
        verdict = NOT_SUPPORTED
    else:
        verdict = INCONCLUSIVE
    ours = f"two clusters better than one by {gain:.1f} in BIC; {'; '.join(words)}"
    same_rate = _by_rate(kept)
    if len(same_rate) > 1 and min(map(len, same_rate)) > 1:
        groups = [np.array([normalized_auc(item).mean() for item in same]) for same in same_rate]
        rest = np.concatenate([group - group.mean() for group in groups])
        if np.ptp(rest) > 0:
            ours += f"; without the learning rates' means by {two_clusters(rest)[1]:.1f}"
    return Finding(verdict, ours, gain, None, n)


def two_clusters(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Splits values by a mixture of two Gaussians (expectation maximisation from the median).

    Returns:
        bool (n,): in the cluster of the larger mean; and by how much the Bayesian information
        criterion prefers two Gaussians (5 parameters) to one (2).

    >>> split, gain = two_clusters(np.r_[np.linspace(0, 1, 20), np.linspace(9, 10, 20)])
    >>> int(split.sum()), gain > 10
    (20, True)
    """
    n = len(values)
    floor = 1e-3 * float(values.std()) + 1e-12  # no cluster shrinks to a point
    weight = (values > np.median(values)).astype(np.float64)
    log_likelihood = 0.0
    for _ in range(200):
        parts = []
        for share in (1 - weight, weight):
            total = max(float(share.sum()), 1e-9)
            mean = float(share @ values) / total
            sd = max(float(np.sqrt(share @ (values - mean) ** 2 / total)), floor)
            parts.append(stats.norm.logpdf(values, mean, sd) + np.log(total / n))
        both = np.logaddexp(*parts)
        weight = np.exp(parts[1] - both)
        log_likelihood = float(both.sum())
    one = float(stats.norm.logpdf(values, values.mean(), max(float(values.std()), floor)).sum())
    gain = 2 * (log_likelihood - one) - 3 * np.log(n)
    high = weight > 0.5
    if high.any() and not high.all() and values[high].mean() < values[~high].mean():
        high = ~high
    return high, float(gain)


def _left_out(figure: FigureResult, kept: Sequence[NetworkResult]) -> str:
    return f"{len(figure.networks) - len(kept)} left out that did not memorise"


# --- C5, C6: along training ---------------------------------------------------------------------

C5_RULE = (
    "At the snapshots of one training: the epoch of the smallest test loss, after which it parts "
    "from the training loss, and the epoch of the largest normalized AUC, after which that falls. "
    "Supported: the test loss rises by 10 % or more after its smallest, normalized AUC ends below "
    "its largest by more than both standard deviations over orders added up, and the two epochs "
    "are at most a factor of 2 apart. Not supported: the test loss rises so, but normalized AUC "
    "does not fall so, or the epochs are further apart. Inconclusive: the test loss does not rise. "
    "Value: log2 of the ratio of the epochs, AUC's over the loss's; interval: by the neighbouring "
    "snapshots."
)
C6_RULE = (
    "rho of raw AUC and test loss over the snapshots of one training. Supported: its interval lies "
    "below -0.3. Not supported: it lies above -0.3. Else, and with fewer than 10 snapshots, "
    "inconclusive. Snapshots of one training are not independent, so the interval is too narrow."
)


def reliance_signals_early_stopping(figure: FigureResult) -> Finding:
    """C5: AUC begins to fall where the network begins to overfit."""
    path = next((found for item in figure.networks if (found := trajectory(item))), None)
    if path is None or not np.isfinite(path.test_loss).all():
        return Finding(NOT_RUN, note="It needs curves and test losses at snapshots.")
    trained = path.epochs > 0
    epochs, losses = path.epochs[trained], path.test_loss[trained]
    areas = path.normalized_auc[trained]
    mean, sd = mean_and_sd(areas, axis=1)
    at_loss, at_auc = int(np.argmin(losses)), int(np.argmax(mean))
    rise = float(losses[-1] / losses[at_loss] - 1)
    fall = float(mean[at_auc] - mean[-1])
    value = float(np.log2(epochs[at_auc] / epochs[at_loss]))
    around = [epochs[max(i - 1, 0)] / epochs[min(j + 1, len(epochs) - 1)] for i, j in
              ((at_auc, at_loss), (at_loss, at_auc))]  # fmt: skip
    interval = (float(np.log2(around[0])), float(-np.log2(around[1])))
    ours = (
        f"test loss smallest at epoch {epochs[at_loss]} and {100 * rise:.0f} % above that at the "
        f"end; normalized AUC largest ({mean[at_auc]:.3f}) at epoch {epochs[at_auc]}, "
        f"{mean[-1]:.3f} at the end"
    )
    n = f"1 network, {len(epochs)} snapshots, {areas.shape[1]} orders each"
    if rise < 0.1:
        verdict, note = INCONCLUSIVE, "The network did not overfit: its test loss does not rise."
    else:
        falls = bool(fall > sd[at_auc] + sd[-1])
        verdict = SUPPORTED if falls and abs(value) <= 1 else NOT_SUPPORTED
        note = "" if falls else "Normalized AUC does not fall by more than its error bars."
    return Finding(verdict, ours, value, interval, n, note)


def reliance_tracks_test_loss(figure: FigureResult) -> Finding:
    """C6: AUC and test loss over the snapshots of a training."""
    paths = [path for network in figure.networks if (path := trajectory(network))]
    if not paths:
        return Finding(NOT_RUN, note="It needs curves and test losses at snapshots.")
    losses = np.concatenate([path.test_loss for path in paths])
    found = correlation(np.concatenate([path.auc.mean(axis=1) for path in paths]), losses)
    relative = correlation(
        np.concatenate([path.normalized_auc.mean(axis=1) for path in paths]), losses
    )
    n = f"{found.n} snapshots of {counted(len(paths), 'network')}"
    ours = f"{rho_words(found)}; normalized AUC: {rho_words(relative)}"
    if found.n < FEWEST_NETWORKS:
        return Finding(INCONCLUSIVE, ours, n=n, note=f"Fewer than {FEWEST_NETWORKS} snapshots.")
    return correlated(found, -1, ours, n)


# --- C7, C8: hyper-parameters -------------------------------------------------------------------

C7_RULE = (
    "rho of raw AUC and test accuracy over the networks of a grid of learning rates and batch "
    "sizes, untrainable ones included. Supported: its interval lies above 0.3. Not supported: it "
    "lies below 0.3. Else, and with fewer than 10 networks, inconclusive."
)
C8_RULE = (
    "10,000 times half of the settings are drawn, and the one with the largest raw AUC (mean over "
    "its repeats) is chosen. Regret: how far its test accuracy lies below the best of the draw. "
    "Supported: the mean regret is at most 0.021 (the paper's mean and one s.d.) and less than "
    "half of what a random choice costs, and the chosen setting is among the best fifth of the "
    "draw in at least 80 % of draws (in the paper, among the best 10 of 48 in 98 %). "
    "Not supported: the mean regret is larger than 0.021 or not less than a random choice costs. "
    "Else, and with fewer than 10 settings, inconclusive. Interval: regret in 95 % of the draws, "
    "which share settings and networks."
)
_DRAWS = 10_000
_PAPER_REGRET = 0.021


def reliance_ranks_settings(figure: FigureResult) -> Finding:
    """C7: AUC and test accuracy over a grid of hyper-parameters."""
    if not figure.networks:
        return Finding(NOT_RUN)
    accuracies = [network.training.test_accuracy for network in figure.networks]
    found = correlation([float(auc(network).mean()) for network in figure.networks], accuracies)
    relative = correlation(
        [float(normalized_auc(network).mean()) for network in figure.networks], accuracies
    )
    n = counted(found.n, "network")
    if found.n < FEWEST_NETWORKS:
        return Finding(INCONCLUSIVE, rho_words(found), n=n, note="Fewer than 10 networks.")
    ours = f"{rho_words(found)}; normalized AUC: {rho_words(relative)}"
    return correlated(found, 1, ours, n)


def reliance_selects_settings(figure: FigureResult) -> Finding:
    """C8: the cost of choosing settings by AUC."""
    groups: dict[tuple[float, int], list[NetworkResult]] = {}
    for network in figure.networks:
        key = (network.config.learning_rate, network.config.batch_size)
        groups.setdefault(key, []).append(network)
    n_drawn = len(groups) // 2
    if n_drawn < 2:
        return Finding(NOT_RUN, note="It needs four settings or more.")
    areas = np.array([np.mean([auc(item).mean() for item in same]) for same in groups.values()])
    accuracies = np.array(
        [np.mean([item.training.test_accuracy for item in same]) for same in groups.values()]
    )
    regrets, ranks, random_regrets = selection(areas, accuracies, n_drawn)
    tops = {k: float(np.mean(ranks < k)) for k in (1, 5, 10)}
    mean, sd = float(regrets.mean()), float(regrets.std(ddof=1))
    by_chance = float(random_regrets.mean())
    best_fifth = float(np.mean(ranks < max(1, n_drawn // 5)))
    ours = (
        f"{', '.join(f'{percent(round(share, 3))} top {k}' for k, share in tops.items())} of "
        f"{n_drawn} settings, {percent(round(best_fifth, 3))} in the best fifth; mean regret "
        f"{100 * mean:.1f} ± {100 * sd:.1f} points of accuracy (a random choice: "
        f"{100 * by_chance:.1f})"
    )
    if len(groups) < FEWEST_NETWORKS:
        verdict = INCONCLUSIVE
    elif mean <= _PAPER_REGRET and mean < by_chance / 2 and best_fifth >= 0.8:
        verdict = SUPPORTED
    elif mean > _PAPER_REGRET or mean >= by_chance:
        verdict = NOT_SUPPORTED
    else:
        verdict = INCONCLUSIVE
    low, high = (float(end) for end in np.quantile(regrets, [0.025, 0.975]))
    n = f"{len(groups)} settings, {len(figure.networks)} networks, {_DRAWS:,} draws of {n_drawn}"
    return Finding(verdict, ours, mean, (low, high), n)


def selection(
    areas: np.ndarray, accuracies: np.ndarray, n_drawn: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cost of choosing settings by area, in random draws of settings.

    Args:
        areas, accuracies: float (n_settings,). n_drawn: settings in a draw.

    Returns:
        float (10,000,) each: accuracy below the best of the draw; rank among the draw, 0 for the
        best; and accuracy below the best of a setting of the draw chosen at random.
    """
    rng = np.random.default_rng(0)
    regrets, ranks, by_chance = np.empty((3, _DRAWS))
    for draw in range(_DRAWS):
        members = rng.permutation(len(areas))[:n_drawn]
        found = accuracies[members]
        chosen = found[np.argmax(areas[members])]
        regrets[draw] = found.max() - chosen
        ranks[draw] = np.sum(found > chosen)
        by_chance[draw] = found.max() - found[0]  # the first of a random order
    return regrets, ranks, by_chance


# --- C9, C10: dropout ---------------------------------------------------------------------------

C9_RULE = (
    "Of each network trained on fully corrupted labels with dropout p: the mean accuracy, relative "
    "to the intact one, with the fraction p of units ablated, and the slope of the curve over the "
    "next 0.2 of units against that up to p. Supported: with every p at least 0.9 is left at p and "
    "the slope is at least 3 times as steep after it, and the normalized AUCs of the networks with "
    "true labels and p > 0 differ by less than 0.1. Not supported: one of these fails with "
    "networks of a training accuracy of 0.9 or more. Else inconclusive. Value: the smallest "
    "relative accuracy at p; interval: one s.d. over orders."
)
C10_RULE = (
    "Training loss of the finished networks with fully corrupted labels, measured without dropout, "
    "averaged over seeds. Supported: it rises strictly with p, over three values of p or more, and "
    "at the largest p is at least twice that at the smallest. Not supported: that of the largest p "
    "is not above that of the smallest. Else inconclusive. Value: loss at the largest p less that "
    "at the smallest; interval: 95 % Welch over seeds, none with one network for each p. In words "
    "also: training accuracy, and after how many epochs it was first 0.99, with dropout at work."
)


def dropout_protects_up_to_its_rate(figure: FigureResult) -> Finding:
    """C9: the loss of accuracy around the fraction p, with corrupted labels and dropout p."""
    corrupted = [
        item
        for item in figure.networks
        if item.config.label_corruption == 1 and item.config.dropout
    ]
    clean = [
        item
        for item in figure.networks
        if item.config.label_corruption == 0 and item.config.dropout
    ]
    if not corrupted or not clean or not curves(corrupted):
        return Finding(NOT_RUN, note="It needs networks with dropout on true and corrupted labels.")
    words, left, steeper = [], [], []
    for network in corrupted:
        p = network.config.dropout
        at_p, ratio = _around(network, p)
        left.append(at_p)
        steeper.append(ratio)
        words.append(f"p = {p:g}: {plus_minus(at_p)} left at p, then {ratio:.1f} times as steep")
    areas = [float(normalized_auc(network).mean()) for network in clean]
    spread = max(areas) - min(areas)
    lowest = min(left, key=lambda values: float(values.mean()))
    value, sd = (float(number) for number in mean_and_sd(lowest))
    trained = all(item.training.train_accuracy >= 0.9 for item in [*corrupted, *clean])
    holds = value >= 0.9 and min(steeper) >= 3 and spread < 0.1
    verdict = SUPPORTED if holds else NOT_SUPPORTED if trained else INCONCLUSIVE
    note = "" if trained else "A network's training accuracy is below 0.9."
    ours = f"{'; '.join(words)}; true labels: normalized AUCs differ by {spread:.3f}"
    n = f"{len(corrupted) + len(clean)} networks, {len(lowest)} orders each"
    if not trained and verdict == SUPPORTED:
        verdict = INCONCLUSIVE
    return Finding(verdict, ours, value, (value - sd, value + sd), n, note)


def _around(network: NetworkResult, p: float) -> tuple[np.ndarray, float]:
    """float (n_orders,): accuracy relative to the intact network with the fraction p ablated. And a
    ratio: the slope of the mean curve over the next 0.2 of units, divided by its slope up to p."""
    curve = sweep_of(network, AblationCurve)
    if curve is None:
        return np.full(1, np.nan), float("nan")
    fraction = curve.n_ablated / curve.n_units
    accuracy = score(network, curve)
    relative = accuracy / np.maximum(accuracy[:, :1], 1e-9)

    def at(x: float) -> np.ndarray:
        return np.array([np.interp(x, fraction, row) for row in relative])

    before = float((1 - at(p)).mean()) / p
    after = float((at(p) - at(min(p + 0.2, 1.0))).mean()) / (min(p + 0.2, 1.0) - p)
    return at(p), after / max(before, 1e-3)


def dropout_discourages_memorising(figure: FigureResult) -> Finding:
    """C10: the larger p, the worse the training on corrupted labels."""
    groups: dict[float, list[NetworkResult]] = {}
    for item in sorted(figure.networks, key=lambda item: item.config.dropout):
        if item.config.label_corruption == 1:
            groups.setdefault(item.config.dropout, []).append(item)
    if len(groups) < 2:
        return Finding(NOT_RUN, note="It needs corrupted labels with two rates of dropout.")
    losses = [[item.training.train_loss for item in same] for same in groups.values()]
    means = np.array([np.mean(same) for same in losses])
    value = float(means[-1] - means[0])
    if len(means) >= 3 and np.all(np.diff(means) > 0) and means[-1] >= 2 * means[0]:
        verdict = SUPPORTED
    else:
        verdict = NOT_SUPPORTED if value <= 0 else INCONCLUSIVE
    _, low, high = welch(losses[-1], losses[0])
    interval = (low, high) if np.isfinite(low) else None
    ours = "; ".join(_memorising_words(rate, same) for rate, same in groups.items())
    n = counted(sum(map(len, groups.values())), "network")
    return Finding(verdict, ours, value, interval, n)


def _memorising_words(rate: float, same: Sequence[NetworkResult]) -> str:
    """How networks with corrupted labels and this dropout were trained, in words."""
    training = same[0].training
    loss = np.mean([item.training.train_loss for item in same])
    accuracy = np.mean([item.training.train_accuracy for item in same])
    first = [
        next((at["epoch"] for at in item.training.history if at["accuracy"] >= MEMORISED), None)
        for item in same
    ]
    reached = [int(epoch) for epoch in first if epoch is not None]
    when = f"0.99 after {np.mean(reached):.0f}" if len(reached) == len(same) else "never 0.99"
    when += f" of {training.epochs} epochs"
    return f"p = {rate:g}: loss {loss:.3g}, accuracy {accuracy:.3f}, {when}"


# --- C11, C12, C13: batch normalisation ---------------------------------------------------------

_GROUPS_RULE = (
    "Mean {measure} of each network with batch normalisation, minus that of each without. "
    "Supported: the 95 % Welch interval over networks lies {side} 0. Not supported: it lies "
    "{other} 0. Else, and with fewer than two networks a side, inconclusive."
)
C11_RULE = _GROUPS_RULE.format(
    measure="normalized AUC (over its orders)", side="above", other="below"
)
C12_RULE = _GROUPS_RULE.format(
    measure="class selectivity over all feature maps, silent ones as 0,",
    side="below",
    other="above",
)
C13_RULE = _GROUPS_RULE.format(
    measure="mutual information over all feature maps, bias subtracted,",
    side="above",
    other="below",
)


def batch_norm_lowers_reliance(figure: FigureResult) -> Finding:
    """C11: area under the ablation curve with and without batch normalisation."""
    return _with_and_without(figure, lambda item: float(normalized_auc(item).mean()), "AUC", 1)


def batch_norm_lowers_selectivity(figure: FigureResult) -> Finding:
    """C12: class selectivity with and without batch normalisation."""
    return _with_and_without(figure, mean_selectivity, "class selectivity", -1)


def batch_norm_raises_information(figure: FigureResult) -> Finding:
    """C13: mutual information with and without batch normalisation."""

    def information(network: NetworkResult) -> float:
        table = sweep_of(network, UnitTable)
        return float("nan") if table is None else float(table.corrected_information.mean())

    return _with_and_without(figure, information, "bits", 1)


def _with_and_without(
    figure: FigureResult, measure: Callable[[NetworkResult], float], name: str, sign: int
) -> Finding:
    # If batch normalisation is crossed with dropout (2 x 2), only networks without dropout count.
    plain = [network for network in figure.networks if not network.config.dropout]
    sides = [
        [measure(network) for network in plain if network.config.batch_norm is normed]
        for normed in (True, False)
    ]
    if not all(sides):
        return Finding(NOT_RUN, note="It needs networks with and without batch normalisation.")
    with_norm, without = sides
    ours = f"{plus_minus(np.array(with_norm))} {name} with, {plus_minus(np.array(without))} without"
    n = f"{len(with_norm)} networks with and {len(without)} without"
    return decided(welch(with_norm, without), ours, n, _fit_words(plain), sign)


def _fit_words(networks: Sequence[NetworkResult]) -> str:
    """A warning if the two sides fit their labels differently; "" if all networks memorised."""
    if len(memorised(networks)) == len(networks):
        return ""
    lowest, highest = (
        {
            normed: pick(
                item.training.train_accuracy
                for item in networks
                if item.config.batch_norm is normed
            )
            for normed in (True, False)
        }
        for pick in (min, max)
    )
    return (
        f"Training accuracy is {lowest[True]:.2f} to {highest[True]:.2f} with and "
        f"{lowest[False]:.2f} to {highest[False]:.2f} without: networks that fit their labels "
        "less differ for that reason too."
    )


# --- C21, C22 -----------------------------------------------------------------------------------

C21_RULE = (
    "Normalized AUC with units clamped to zero minus that with units clamped to their mean at each "
    "position, in the same random orders, averaged over the orders of each network (with one "
    "network: order by order). Supported: the 95 % t interval of the difference lies above 0. Not "
    "supported: it lies below 0. Else inconclusive. With one network, the spread between "
    "trainings is not covered."
)
C22_RULE = (
    "Networks trained with a penalty (alpha < 0) or reward (alpha > 0) for class selectivity, "
    "against alpha = 0. Supported: with some penalty the mean class selectivity is at most half "
    "and test accuracy less than 0.01 below that at alpha = 0, and the strongest reward lowers "
    "test accuracy. Not supported: no penalty that halves class selectivity keeps test accuracy "
    "so. Inconclusive: no penalty halves it, or rewards do not harm. Value: best change of test "
    "accuracy under a penalty that halves selectivity; interval: 95 % binomial over the test "
    "images, which does not cover the spread between trainings."
)


def zero_hurts_less_than_mean(figure: FigureResult) -> Finding:
    """C21: the two ways to clamp a unit."""
    pairs = [
        normalized_auc(network, "zero") - normalized_auc(network, "mean_per_position")
        for network in figure.networks
        if {"zero", "mean_per_position"} <= set(network.sweeps)
    ]
    if not pairs:
        return Finding(NOT_RUN, note="It needs both ways to clamp units.")
    several = len(pairs) > 1
    differences = [float(pair.mean()) for pair in pairs] if several else pairs[0].tolist()
    zero, mean = (
        np.concatenate([normalized_auc(network, name) for network in figure.networks])
        for name in ("zero", "mean_per_position")
    )
    ours = f"normalized AUC {plus_minus(zero)} with zero, {plus_minus(mean)} with the mean"
    n = f"{counted(len(pairs), 'network')}, {len(pairs[0])} orders each"
    return decided(paired(differences), ours, n)


def selectivity_is_not_needed(figure: FigureResult) -> Finding:
    """C22: networks made less, and more, selective (Leavitt and Morcos 2020)."""
    groups: dict[float, list[NetworkResult]] = {}
    for network in figure.networks:
        groups.setdefault(network.config.selectivity_regularizer, []).append(network)
    if 0.0 not in groups or not any(alpha < 0 for alpha in groups):
        return Finding(NOT_RUN, note="It needs networks with and without a selectivity penalty.")

    def means(alpha: float) -> tuple[float, float]:
        members = groups[alpha]
        accuracy = np.mean([item.training.test_accuracy for item in members])
        return float(np.mean([mean_selectivity(item) for item in members])), float(accuracy)

    selectivity, accuracy = means(0.0)
    words = [
        f"alpha {a:g}: selectivity {means(a)[0]:.2f}, test {means(a)[1]:.3f}"
        for a in sorted(groups)
    ]
    halved = [means(a)[1] - accuracy for a in groups if a < 0 and means(a)[0] <= selectivity / 2]
    rewards = [a for a in groups if a > 0]
    harmful = bool(rewards) and means(max(rewards))[1] < accuracy
    if not halved:
        verdict, note = INCONCLUSIVE, "No penalty halved the class selectivity."
    elif max(halved) <= -0.01:
        verdict, note = NOT_SUPPORTED, ""
    elif harmful:
        verdict, note = SUPPORTED, ""
    else:
        verdict, note = INCONCLUSIVE, "No reward for selectivity lowered the test accuracy."
    value = max(halved) if halved else None
    interval = None
    if value is not None:
        n_images = sum(item.training.n_test for item in groups[0.0])
        shares = np.clip([accuracy, accuracy + value], 0, 1)
        reach = 1.96 * float(np.sqrt(np.sum(shares * (1 - shares)) / n_images))
        interval = (value - reach, value + reach)
    n = counted(len(figure.networks), "network")
    return Finding(verdict, "; ".join(words), value, interval, n, note)
