"""The rules that decide the paper's claims on networks (C1 to C13, C21, C22).

A rule is written before its results are seen. A verdict of "not supported" is a result like any
other. `repro.paper.rules_units` has the rules on single units, `repro.paper.rule` says what a rule
is, `repro.paper.finding` has what rules share, and `repro.paper.claims` the figures that each rule
is applied to. The thresholds of a rule are its fields, and its text is formatted from them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy import stats

from repro.core.kinds import AblationCurve, NoiseCurve, UnitTable
from repro.core.metrics import mean_and_sd
from repro.core.results import FigureResult, NetworkResult
from repro.core.words import percent
from repro.paper.finding import (
    FEWEST_NETWORKS,
    INCONCLUSIVE,
    NEGLIGIBLE_RHO,
    NORMAL_REACH,
    NOT_RUN,
    Finding,
    Interval,
    agreement_words,
    bars_apart,
    correlated,
    counted,
    decided,
    ends,
    missing_networks,
    paired,
    plus_minus,
    rho_words,
    three_way,
    welch,
)
from repro.paper.measures import (
    AREAS,
    MEMORISED,
    TAILS,
    agreement_over,
    auc,
    by_label_corruption,
    correlation,
    curves,
    generalization_error,
    mean_selectivity,
    memorised,
    noise_tolerance,
    normalized_auc,
    score,
    sweep_of,
    trajectory,
)
from repro.paper.rule import Rule, cardinal, choice, divided, part

# --- C1, C2: networks that memorise -------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """Networks of one label corruption, with a measure for every order (or draw) of every
    network.

    train_accuracy: the lowest of the networks. memorised: whether that is enough.
    """

    label_corruption: float
    n_networks: int
    values: np.ndarray
    train_accuracy: float
    memorised: bool


@dataclass(frozen=True)
class _CorruptedLose(Rule):
    """Corrupted labels lower a measure. memorised: training accuracy of a network that did.

    measured, repeats: the measure and what it is averaged over, in the text of the rule.
    name, repeat: the same in the text of a finding.
    """

    memorised: float = MEMORISED

    measured: ClassVar[str]
    repeats: ClassVar[str]
    name: ClassVar[str]
    repeat: ClassVar[str]
    template = (
        "{measured} of the network trained on true labels, minus that of each network trained "
        "on corrupted labels, over all {repeats}. Supported: every difference is larger than the "
        "two standard deviations added up, so that no two error bars touch. Not supported: one "
        "difference is not, in networks that memorised (training accuracy of {memorised} or more). "
        "A network that did not memorise or is missing decides nothing, so the rest is "
        "inconclusive. Interval: the difference to the closest corrupted network, plus and minus "
        "both standard deviations. With one network for each label corruption, the spread between "
        "trainings is not covered."
    )

    @abstractmethod
    def measure(self, network: NetworkResult) -> np.ndarray:
        """float64 (n_repeats,), the measure of each order or draw."""

    def __call__(self, figure: FigureResult) -> Finding:
        groups = [self._group(*group) for group in by_label_corruption(figure).items()]
        clean = next((group for group in groups if group.label_corruption == 0), None)
        corrupted = [group for group in groups if group.label_corruption > 0]
        if clean is None or not corrupted:
            return Finding(
                NOT_RUN,
                note="It needs a network trained on true labels and one on corrupted labels.",
            )
        margins = [bars_apart(clean.values, group.values) for group in corrupted]
        n = _n_repeats(figure, groups, self.repeat)
        words = _group_words(clean, corrupted, self.name)
        if not np.all(np.isfinite([margin.interval for margin in margins])):
            note = f"A standard deviation needs two {self.repeat}s and an intact accuracy above 0."
            return Finding(INCONCLUSIVE, words, n=n, note=note)
        difference, interval = min(margins, key=lambda margin: margin.interval.low)
        doubts = _doubts(figure, [clean, *corrupted])
        refuted = clean.memorised and any(
            group.memorised and not margin.interval.above()
            for group, margin in zip(corrupted, margins, strict=True)
        )
        return Finding(
            three_way(
                supported=not refuted and not doubts and interval.above(),
                refuted=refuted,
            ),
            f"{words}; smallest difference of {self.name} {difference:.3f} "
            f"[{interval.low:.3f}, {interval.high:.3f}]",
            difference,
            interval,
            n,
            " ".join(doubts),
        )

    def _group(self, fraction: float, networks: Sequence[NetworkResult]) -> _Group:
        accuracy = min(network.training.train_accuracy for network in networks)
        values = np.concatenate([self.measure(network) for network in networks])
        return _Group(fraction, len(networks), values, accuracy, accuracy >= self.memorised)


@dataclass(frozen=True)
class MemorisingNetworksRelyMore(_CorruptedLose):
    """C1: corrupted labels lower the area under the cumulative ablation curve.

    area: one of `AREAS`. sweep: name of the curves' sweep; "" for the figure's first.
    fewest_to_order: networks that memorised without which their order is not told.
    """

    fewest_to_order: int = 4
    area: str = choice("normalized AUC")
    sweep: str = choice("")

    measured = "Mean normalized AUC"
    repeats = "random orders"
    name = "normalized AUC"
    repeat = "order"

    template = (
        _CorruptedLose.template + " In words also: raw AUC; and with {fewest_to_order!w} "
        "networks that memorised or more, how well normalized AUC and generalization error order "
        "them alike."
    )

    def measure(self, network: NetworkResult) -> np.ndarray:
        """float64 (n_orders,)."""
        return AREAS[self.area](network, self.sweep)

    def __call__(self, figure: FigureResult) -> Finding:
        raw = {fraction: networks for fraction, networks in by_label_corruption(figure).items()}
        found = super().__call__(figure)
        if 0.0 in raw and len(raw) > 1 and found.ours:
            clean = np.concatenate([auc(network) for network in raw[0.0]])
            others = [np.concatenate([auc(n) for n in raw[f]]) for f in raw if f > 0]
            best = max(others, key=lambda values: float(values.mean()))
            words = f"{found.ours}; raw AUC {plus_minus(clean)} against {plus_minus(best)}"
            return replace(found, ours=words + self._against_error(figure.networks))
        return found

    def _against_error(self, networks: Sequence[NetworkResult]) -> str:
        """How normalized AUC and generalization error agree over networks that memorised."""
        kept = memorised(networks, self.memorised)
        if len(kept) < self.fewest_to_order:
            return ""
        areas = [float(normalized_auc(network).mean()) for network in kept]
        errors = [generalization_error(network) for network in kept]
        words = agreement_words(agreement_over(kept, areas, errors))
        return (
            f"; normalized AUC and generalization error over {len(kept)} networks that memorised: "
            f"{rho_words(correlation(areas, errors), FEWEST_NETWORKS)}, {words}"
        )


@dataclass(frozen=True)
class MemorisingNetworksBearLessNoise(_CorruptedLose):
    """C2: corrupted labels lower the accuracy under noise on all units.

    sweep: name of the noise's sweep; "" for the figure's first.
    """

    sweep: str = choice("")

    measured = "Accuracy relative to the intact network, averaged over all scales of noise,"
    repeats = "draws of noise"
    name = "relative accuracy under noise"
    repeat = "draw"

    def measure(self, network: NetworkResult) -> np.ndarray:
        """float64 (n_draws,)."""
        return noise_tolerance(network, self.sweep)


memorising_networks_rely_more = MemorisingNetworksRelyMore()
memorising_networks_bear_less_noise = MemorisingNetworksBearLessNoise()


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


@dataclass(frozen=True)
class BetterNetworksRelyLess(Rule):
    """C3: among networks of one topology on true labels.

    memorised: training accuracy of the networks that count.
    n_ends: how many of the best and of the worst networks are compared.
    fewest: networks without which nothing is decided.
    fewest_of_rate: networks of a learning rate without which rho within the rate is not told.
    area: one of `AREAS`.
    """

    memorised: float = MEMORISED
    n_ends: int = 5
    fewest: int = FEWEST_NETWORKS
    fewest_of_rate: int = 4
    area: str = choice("normalized AUC")

    template = (
        "Over networks that memorised (training accuracy of {memorised} or more; the others are "
        "left out and counted): rho of normalized AUC and generalization error, and the mean "
        "normalized AUC of the {n_ends!w} best by generalization error minus that of the "
        "{n_ends!w} worst. Supported: the interval of rho lies below 0 and the best lie above the "
        "worst. Not supported: the interval of rho lies above 0, or the best do not lie above the "
        "worst. Else, and with fewer than {fewest} networks, inconclusive. In words also: rho "
        "within each learning rate that has {fewest_of_rate!w} networks or more, mean and "
        "{confidence!p} t interval over the rates, since the rate may cause both; Kendall's tau, "
        "granulated tau (pairs of networks that differ in one setting) and conditional mutual "
        'information (docs/paper.md, "Statistics").'
    )

    def __call__(self, figure: FigureResult) -> Finding:
        if not figure.networks:
            return Finding(NOT_RUN)
        kept = memorised(figure.networks, self.memorised)
        errors = [generalization_error(network) for network in kept]
        areas = [float(AREAS[self.area](network, "").mean()) for network in kept]
        found = correlation(areas, errors)
        n = f"{counted(len(kept), 'network')}, {_left_out(figure, kept)}"
        if not np.isfinite(found.rho):
            return Finding(INCONCLUSIVE, n=n, note="rho is undefined over so few networks.")
        ranked = np.array(areas)[np.argsort(errors, kind="stable")]
        k = min(self.n_ends, len(ranked) // 2)
        best, worst = ranked[:k], ranked[len(ranked) - k :]
        gap = float(best.mean() - worst.mean())
        ours = (
            f"{rho_words(found, FEWEST_NETWORKS)}; "
            f"normalized AUC {plus_minus(best)} of the {k} best, "
            f"{plus_minus(worst)} of the {k} worst{self._within_rates(kept)}; "
            f"{agreement_words(agreement_over(kept, areas, errors))}"
        )
        verdict = three_way(
            supported=ends(found).below() and gap > 0,
            refuted=ends(found).above() or gap <= 0,
            decidable=len(kept) >= self.fewest,
        )
        interval = ends(found) if len(kept) >= self.fewest else None
        return Finding(verdict, ours, found.rho, interval, n)

    def _within_rates(self, networks: Sequence[NetworkResult]) -> str:
        """rho within each learning rate that has networks enough, in words; "" if none has."""
        rhos = []
        for same in _by_rate(networks):
            if len(same) >= self.fewest_of_rate:
                areas = [float(normalized_auc(network).mean()) for network in same]
                rhos.append(correlation(areas, map(generalization_error, same)).rho)
        defined = [rho for rho in rhos if np.isfinite(rho)]
        if not defined:
            return ""
        mean, (low, high) = paired(defined)
        interval = f" [{max(low, -1):.2f}, {min(high, 1):.2f}]" if np.isfinite(mean) else ""
        return (
            f"; within {counted(len(defined), 'learning rate')} rho = {np.mean(defined):.2f}"
            f"{interval} on average, below 0 in {sum(rho < 0 for rho in defined)}"
        )


better_networks_rely_less = BetterNetworksRelyLess()


def _by_rate(networks: Sequence[NetworkResult]) -> list[list[NetworkResult]]:
    groups: dict[float, list[NetworkResult]] = {}
    for network in networks:
        groups.setdefault(network.config.learning_rate, []).append(network)
    return list(groups.values())


@dataclass(frozen=True)
class NetworksFallIntoRegimes(Rule):
    """C4: clusters of normalized AUC, and the relation inside them, over the networks of C3.

    gain: difference of the criteria that counts; Kass and Raftery (1995) call one of more than 10
        very strong evidence.
    fewest: networks of a cluster without which the cluster decides nothing.
    """

    gain: int = 10
    fewest: int = FEWEST_NETWORKS

    template = (
        "Normalized AUC of the same networks, by the Bayesian information criterion of one "
        "Gaussian against a mixture of two. Supported: two are better by {gain} or more, and in at "
        "least one of the clusters with {fewest} networks or more the interval of rho of "
        "normalized AUC and generalization error lies below 0. Not supported: one Gaussian is "
        "better by {gain} or more. Else, and with fewer than {fewest_in_all} networks, "
        "inconclusive. Value: the difference of the criteria, which has no interval. In words "
        "also: the same difference once each learning rate's mean is taken off, which tells "
        "clusters of networks from clusters of rates."
    )

    @property
    def fewest_in_all(self) -> int:
        """Networks without which nothing is decided: enough for two clusters."""
        return 2 * self.fewest

    def __call__(self, figure: FigureResult) -> Finding:
        if not figure.networks:
            return Finding(NOT_RUN)
        kept = memorised(figure.networks, better_networks_rely_less.memorised)
        areas = np.array([float(normalized_auc(network).mean()) for network in kept])
        n = f"{counted(len(kept), 'network')}, {_left_out(figure, kept)}"
        if len(kept) < self.fewest_in_all or np.ptp(areas) == 0:
            note = "Too few networks to tell one cluster from two."
            return Finding(INCONCLUSIVE, n=n, note=note)
        in_high, gain = two_clusters(areas)
        errors = np.array([generalization_error(network) for network in kept])
        inside, words = [], []
        for name, members in (("low", ~in_high), ("high", in_high)):
            found = correlation(areas[members], errors[members])
            words.append(
                f"{rho_words(found, FEWEST_NETWORKS)} in the {name} one (n = {int(members.sum())})"
            )
            inside.append(members.sum() >= self.fewest and ends(found).below())
        verdict = three_way(supported=gain >= self.gain and any(inside), refuted=gain <= -self.gain)
        ours = f"two clusters better than one by {gain:.1f} in BIC; {'; '.join(words)}"
        same_rate = _by_rate(kept)
        if len(same_rate) > 1 and min(map(len, same_rate)) > 1:
            groups = [
                np.array([normalized_auc(item).mean() for item in same]) for same in same_rate
            ]
            rest = np.concatenate([group - group.mean() for group in groups])
            if np.ptp(rest) > 0:
                ours += f"; without the learning rates' means by {two_clusters(rest)[1]:.1f}"
        return Finding(verdict, ours, gain, None, n)


networks_fall_into_regimes = NetworksFallIntoRegimes()

_ROUNDS = 200  # of expectation maximisation, far more than it takes
# Smallest s.d. of a cluster, as a share of that of all values: no cluster shrinks to a point.
_SMALLEST_SPREAD = 1e-3
_TINY = 1e-12  # added to that s.d., so that it is above 0 where all values are equal
_FEWEST_MEMBERS = 1e-9  # smallest number of a cluster's members, which divides a sum over them
_PARAMETERS = 3  # of two Gaussians (2 means, 2 s.d., 1 share) more than of one (a mean, an s.d.)


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
    floor = _SMALLEST_SPREAD * float(values.std()) + _TINY
    weight = (values > np.median(values)).astype(np.float64)
    log_likelihood = 0.0
    for _ in range(_ROUNDS):
        parts = []
        for share in (1 - weight, weight):
            total = max(float(share.sum()), _FEWEST_MEMBERS)
            mean = float(np.dot(share, values)) / total
            sd = max(float(np.sqrt(np.dot(share, (values - mean) ** 2) / total)), floor)
            parts.append(stats.norm.logpdf(values, mean, sd) + np.log(total / n))
        both = np.logaddexp(*parts)
        weight = np.exp(parts[1] - both)
        log_likelihood = float(both.sum())
    one = float(stats.norm.logpdf(values, values.mean(), max(float(values.std()), floor)).sum())
    gain = 2 * (log_likelihood - one) - _PARAMETERS * np.log(n)
    high = weight > 0.5
    if high.any() and not high.all() and values[high].mean() < values[~high].mean():
        high = ~high
    return high, float(gain)


def _left_out(figure: FigureResult, kept: Sequence[NetworkResult]) -> str:
    return f"{len(figure.networks) - len(kept)} left out that did not memorise"


# --- C5, C6: along training ---------------------------------------------------------------------


@dataclass(frozen=True)
class RelianceSignalsEarlyStopping(Rule):
    """C5: AUC begins to fall where the network begins to overfit.

    rise: of the test loss after its smallest, as a share of it, without which the network did not
        overfit.
    factor: largest ratio of the two epochs.
    """

    rise: float = 0.1
    factor: int = 2

    template = (
        "At the snapshots of one training: the epoch of the smallest test loss, after which it "
        "parts from the training loss, and the epoch of the largest normalized AUC, after which "
        "that falls. Supported: the test loss rises by {rise!p} or more after its smallest, "
        "normalized AUC ends below its largest by more than both standard deviations over orders "
        "added up, and the two epochs are at most a factor of {factor} apart. Not supported: the "
        "test loss rises so, but normalized AUC does not fall so, or the epochs are further apart. "
        "Inconclusive: the test loss does not rise. Value: log2 of the ratio of the epochs, AUC's "
        "over the loss's; interval: by the neighbouring snapshots."
    )

    def __call__(self, figure: FigureResult) -> Finding:
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
        interval = Interval(float(np.log2(around[0])), float(-np.log2(around[1])))
        ours = (
            f"test loss smallest at epoch {epochs[at_loss]} and {100 * rise:.0f} % above that at "
            f"the end; normalized AUC largest ({mean[at_auc]:.3f}) at epoch {epochs[at_auc]}, "
            f"{mean[-1]:.3f} at the end"
        )
        n = f"1 network, {len(epochs)} snapshots, {areas.shape[1]} orders each"
        falls = bool(fall > sd[at_auc] + sd[-1])
        agrees = falls and abs(value) <= np.log2(self.factor)
        overfits = rise >= self.rise
        verdict = three_way(supported=agrees, refuted=not agrees, decidable=overfits)
        if not overfits:
            note = "The network did not overfit: its test loss does not rise."
        else:
            note = "" if falls else "Normalized AUC does not fall by more than its error bars."
        return Finding(verdict, ours, value, interval, n, note)


@dataclass(frozen=True)
class RelianceTracksTestLoss(Rule):
    """C6: AUC and test loss over the snapshots of a training.

    negligible: size of a rho that does not count. fewest: snapshots without which nothing is
        decided. area: one of `AREAS`, "raw AUC" or "normalized AUC".
    """

    negligible: float = NEGLIGIBLE_RHO
    fewest: int = FEWEST_NETWORKS
    area: str = choice("raw AUC")

    template = (
        "rho of raw AUC and test loss over the snapshots of one training. Supported: its interval "
        "lies below -{negligible}. Not supported: it lies above -{negligible}. Else, and with "
        "fewer than {fewest} snapshots, inconclusive. Snapshots of one training are not "
        "independent, so the interval is too narrow. In words also: Kendall's tau, granulated tau "
        'and conditional mutual information (docs/paper.md, "Statistics"), where the epoch is a '
        "setting."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        paths = [(network, path) for network in figure.networks if (path := trajectory(network))]
        if not paths:
            return Finding(NOT_RUN, note="It needs curves and test losses at snapshots.")
        losses = np.concatenate([path.test_loss for _, path in paths])
        areas = np.concatenate([path.auc.mean(axis=1) for _, path in paths])
        relative = np.concatenate([path.normalized_auc.mean(axis=1) for _, path in paths])
        each = [network for network, path in paths for _ in path.epochs]
        epochs = [int(epoch) for _, path in paths for epoch in path.epochs]
        found = correlation(areas if self.area == "raw AUC" else relative, losses)
        n = f"{found.n} snapshots of {counted(len(paths), 'network')}"
        ours = _raw_and_normalized(each, areas, relative, losses, epochs)
        if found.n < self.fewest:
            return Finding(INCONCLUSIVE, ours, n=n, note=f"Fewer than {self.fewest} snapshots.")
        return correlated(found, -1, self.negligible, ours, n)


def _raw_and_normalized(
    networks: Sequence[NetworkResult],
    areas: Sequence[float] | np.ndarray,
    relative: Sequence[float] | np.ndarray,
    measure: Sequence[float] | np.ndarray,
    epochs: Sequence[int] = (),
) -> str:
    """How raw and normalized AUC agree with a measure; see `agreement_over`."""
    raw, normalized = (
        f"{rho_words(correlation(found, measure), FEWEST_NETWORKS)}, "
        f"{agreement_words(agreement_over(networks, found, measure, epochs))}"
        for found in (areas, relative)
    )
    return f"{raw}; normalized AUC: {normalized}"


reliance_signals_early_stopping = RelianceSignalsEarlyStopping()
reliance_tracks_test_loss = RelianceTracksTestLoss()


# --- C7, C8: hyper-parameters -------------------------------------------------------------------


@dataclass(frozen=True)
class RelianceRanksSettings(Rule):
    """C7: AUC and test accuracy over a grid of hyper-parameters.

    negligible: size of a rho that does not count. fewest: networks without which nothing is
        decided. area: one of `AREAS`.
    """

    negligible: float = NEGLIGIBLE_RHO
    fewest: int = FEWEST_NETWORKS
    area: str = choice("raw AUC")

    template = (
        "rho of raw AUC and test accuracy over the networks of a grid of learning rates and batch "
        "sizes, untrainable ones included. Supported: its interval lies above {negligible}. Not "
        "supported: it lies below {negligible}. Else, and with fewer than {fewest} networks, "
        "inconclusive. In words also: Kendall's tau, granulated tau (pairs of networks that differ "
        'in one setting) and conditional mutual information (docs/paper.md, "Statistics"); and '
        "all of this for normalized AUC."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        networks = figure.networks
        if not networks:
            return Finding(NOT_RUN)
        accuracies = [network.training.test_accuracy for network in networks]
        areas = [float(auc(network).mean()) for network in networks]
        relative = [float(normalized_auc(network).mean()) for network in networks]
        decides = [float(AREAS[self.area](network, "").mean()) for network in networks]
        found = correlation(decides, accuracies)
        n = counted(found.n, "network")
        if found.n < self.fewest:
            note = f"Fewer than {self.fewest} networks."
            return Finding(INCONCLUSIVE, rho_words(found, FEWEST_NETWORKS), n=n, note=note)
        ours = _raw_and_normalized(networks, areas, relative, accuracies)
        return correlated(found, 1, self.negligible, ours, n)


_DRAWS = 10_000
_TOPS = (1, 5, 10)  # ranks that the paper gives shares of


@dataclass(frozen=True)
class RelianceSelectsSettings(Rule):
    """C8: the cost of choosing settings by AUC.

    draws: how many. drawn_part: one of so many parts of the settings is drawn.
    regret: largest mean regret, the paper's mean plus one s.d.
    chance_part: the regret is less than one of so many parts of a random choice's.
    top_part, top_share: the share of the draws in which the chosen setting is in the best part.
    paper_top, paper_settings, paper_share: the paper's own number of this kind.
    fewest: settings without which nothing is decided.
    """

    draws: int = _DRAWS
    drawn_part: int = 2
    regret: float = 0.021
    chance_part: int = 2
    top_part: int = 5
    top_share: float = 0.8
    paper_top: int = 10
    paper_settings: int = 48
    paper_share: float = 0.98
    fewest: int = FEWEST_NETWORKS

    template = (
        "{draws:,} times {drawn_part!o} of the settings are drawn, and the one with the largest "
        "raw AUC (mean over its repeats) is chosen. Regret: how far its test accuracy lies below "
        "the best of the draw. Supported: the mean regret is at most {regret} (the paper's mean "
        "and one s.d.) and less than {chance_part!o} of what a random choice costs, and the chosen "
        "setting is among the best {top_part!o} of the draw in at least {top_share!p} of draws (in "
        "the paper, among the best {paper_top} of {paper_settings} in {paper_share!p}). Not "
        "supported: the mean regret is larger than {regret} or not less than a random choice "
        "costs. Else, and with fewer than {fewest} settings, inconclusive. Interval: regret in "
        "{confidence!p} of the draws, which share settings and networks."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        groups: dict[tuple[float, int], list[NetworkResult]] = {}
        for network in figure.networks:
            key = (network.config.learning_rate, network.config.batch_size)
            groups.setdefault(key, []).append(network)
        n_drawn = len(groups) // self.drawn_part
        if n_drawn < 2:
            note = f"It needs {cardinal(2 * self.drawn_part)} settings or more."
            return Finding(NOT_RUN, note=note)
        areas = np.array([np.mean([auc(item).mean() for item in same]) for same in groups.values()])
        accuracies = np.array(
            [np.mean([item.training.test_accuracy for item in same]) for same in groups.values()]
        )
        regrets, ranks, random_regrets = selection(areas, accuracies, n_drawn, self.draws)
        tops = {k: float(np.mean(ranks < k)) for k in _TOPS}
        mean, sd = float(regrets.mean()), float(regrets.std(ddof=1))
        by_chance = float(random_regrets.mean())
        in_top = float(np.mean(ranks < max(1, n_drawn // self.top_part)))
        ours = (
            f"{', '.join(f'{percent(round(share, 3))} top {k}' for k, share in tops.items())} of "
            f"{n_drawn} settings, {percent(round(in_top, 3))} in the best {part(self.top_part)}; "
            f"mean regret {100 * mean:.1f} ± {100 * sd:.1f} points of accuracy (a random choice: "
            f"{100 * by_chance:.1f})"
        )
        verdict = three_way(
            supported=mean <= self.regret
            and mean < by_chance / self.chance_part
            and in_top >= self.top_share,
            refuted=mean > self.regret or mean >= by_chance,
            decidable=len(groups) >= self.fewest,
        )
        interval = Interval(*(float(end) for end in np.quantile(regrets, TAILS)))
        n = (
            f"{len(groups)} settings, {len(figure.networks)} networks, "
            f"{self.draws:,} draws of {n_drawn}"
        )
        return Finding(verdict, ours, mean, interval, n)


reliance_ranks_settings = RelianceRanksSettings()
reliance_selects_settings = RelianceSelectsSettings()


def selection(
    areas: np.ndarray, accuracies: np.ndarray, n_drawn: int, draws: int = _DRAWS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cost of choosing settings by area, in random draws of settings.

    Args:
        areas, accuracies: float (n_settings,). n_drawn: settings in a draw. draws: how many.

    Returns:
        float (draws,) each: accuracy below the best of the draw; rank among the draw, 0 for the
        best; and accuracy below the best of a setting of the draw chosen at random.
    """
    rng = np.random.default_rng(0)
    regrets, ranks, by_chance = np.empty((3, draws))
    for draw in range(draws):
        members = rng.permutation(len(areas))[:n_drawn]
        found = accuracies[members]
        chosen = found[np.argmax(areas[members])]
        regrets[draw] = found.max() - chosen
        ranks[draw] = np.sum(found > chosen)
        by_chance[draw] = found.max() - found[0]  # the first of a random order
    return regrets, ranks, by_chance


# --- C9, C10: dropout ---------------------------------------------------------------------------

_SMALLEST_ACCURACY = 1e-9  # divides accuracies where the intact network has no image right
_SMALLEST_SLOPE = 1e-3  # divides the slope after p where the curve is flat up to p


@dataclass(frozen=True)
class DropoutProtectsUpToItsRate(Rule):
    """C9: the loss of accuracy around the fraction p, with corrupted labels and dropout p.

    beyond: fraction of the units after p over which the second slope is taken.
    left: smallest share of the accuracy that is left at p.
    steeper: smallest ratio of the slopes.
    spread: the normalized AUCs of networks with true labels differ by less.
    trained: training accuracy of networks that can refute the claim.
    """

    beyond: float = 0.2
    left: float = 0.9
    steeper: int = 3
    spread: float = 0.1
    trained: float = 0.9

    template = (
        "Of each network trained on fully corrupted labels with dropout p: the mean accuracy, "
        "relative to the intact one, with the fraction p of units ablated, and the slope of the "
        "curve over the next {beyond} of units against that up to p. Supported: with every p at "
        "least {left} is left at p and the slope is at least {steeper} times as steep after it, "
        "and the normalized AUCs of the networks with true labels and p > 0 differ by less than "
        "{spread}. Not supported: one of these fails with networks of a training accuracy of "
        "{trained} or more. Else inconclusive. Value: the smallest relative accuracy at p; "
        "interval: one s.d. over orders."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        corrupted, clean = (
            [
                item
                for item in figure.networks
                if item.config.label_corruption == corruption and item.config.dropout
            ]
            for corruption in (1, 0)
        )
        if not corrupted or not clean or not curves(corrupted):
            note = "It needs networks with dropout on true and corrupted labels."
            return Finding(NOT_RUN, note=note)
        words, left, steeper = [], [], []
        for network in corrupted:
            p = network.config.dropout
            at_p, ratio = self._around(network, p)
            left.append(at_p)
            steeper.append(ratio)
            words.append(
                f"p = {p:g}: {plus_minus(at_p)} left at p, then {ratio:.1f} times as steep"
            )
        areas = [float(normalized_auc(network).mean()) for network in clean]
        spread = max(areas) - min(areas)
        lowest = min(left, key=lambda values: float(values.mean()))
        value, sd = (float(number) for number in mean_and_sd(lowest))
        trained = all(item.training.train_accuracy >= self.trained for item in [*corrupted, *clean])
        holds = value >= self.left and min(steeper) >= self.steeper and spread < self.spread
        verdict = three_way(supported=holds, refuted=not holds, decidable=trained)
        note = "" if trained else f"A network's training accuracy is below {self.trained}."
        ours = f"{'; '.join(words)}; true labels: normalized AUCs differ by {spread:.3f}"
        n = f"{len(corrupted) + len(clean)} networks, {len(lowest)} orders each"
        return Finding(verdict, ours, value, Interval(value - sd, value + sd), n, note)

    def _around(self, network: NetworkResult, p: float) -> tuple[np.ndarray, float]:
        """float (n_orders,): accuracy relative to the intact network with the fraction p ablated.
        And a ratio: the slope of the mean curve after p, divided by its slope up to p."""
        curve = sweep_of(network, AblationCurve)
        if curve is None:
            return np.full(1, np.nan), float("nan")
        fraction = curve.n_ablated / curve.n_units
        accuracy = score(network, curve)
        relative = accuracy / np.maximum(accuracy[:, :1], _SMALLEST_ACCURACY)

        def at(x: float) -> np.ndarray:
            return np.array([np.interp(x, fraction, row) for row in relative])

        end = min(p + self.beyond, 1.0)
        before = float((1 - at(p)).mean()) / p
        after = float((at(p) - at(end)).mean()) / (end - p)
        return at(p), after / max(before, _SMALLEST_SLOPE)


@dataclass(frozen=True)
class DropoutDiscouragesMemorising(Rule):
    """C10: the larger p, the worse the training on corrupted labels.

    fewest_rates: values of p without which the claim is not supported.
    ratio: smallest ratio of the losses at the largest and at the smallest p.
    memorised: training accuracy whose epoch is told.
    """

    fewest_rates: int = 3
    ratio: int = 2
    memorised: float = MEMORISED

    template = (
        "Training loss of the finished networks with fully corrupted labels, measured without "
        "dropout, averaged over seeds. Supported: it rises strictly with p, over "
        "{fewest_rates!w} values of p or more, and at the largest p is at least {ratio!t} that at "
        "the smallest. Not supported: that of the largest p is not above that of the smallest. "
        "Else inconclusive. Value: loss at the largest p less that at the smallest; interval: "
        "{confidence!p} Welch over seeds, none with one network for each p. In words also: "
        "training accuracy, and after how many epochs it was first {memorised}, with dropout at "
        "work."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        groups: dict[float, list[NetworkResult]] = {}
        for item in sorted(figure.networks, key=lambda item: item.config.dropout):
            if item.config.label_corruption == 1:
                groups.setdefault(item.config.dropout, []).append(item)
        if len(groups) < 2:
            return Finding(NOT_RUN, note="It needs corrupted labels with two rates of dropout.")
        losses = [[item.training.train_loss for item in same] for same in groups.values()]
        means = np.array([np.mean(same) for same in losses])
        value = float(means[-1] - means[0])
        rises = bool(np.all(np.diff(means) > 0)) and means[-1] >= self.ratio * means[0]
        verdict = three_way(supported=len(means) >= self.fewest_rates and rises, refuted=value <= 0)
        _, welch_interval = welch(losses[-1], losses[0])
        interval = welch_interval if np.isfinite(welch_interval.low) else None
        ours = "; ".join(self._words(rate, same) for rate, same in groups.items())
        n = counted(sum(map(len, groups.values())), "network")
        return Finding(verdict, ours, value, interval, n)

    def _words(self, rate: float, same: Sequence[NetworkResult]) -> str:
        """How networks with corrupted labels and this dropout were trained, in words."""
        training = same[0].training
        loss = np.mean([item.training.train_loss for item in same])
        accuracy = np.mean([item.training.train_accuracy for item in same])
        first = [
            next(
                (at["epoch"] for at in item.training.history if at["accuracy"] >= self.memorised),
                None,
            )
            for item in same
        ]
        reached = [int(epoch) for epoch in first if epoch is not None]
        if len(reached) == len(same):
            when = f"{self.memorised} after {np.mean(reached):.0f}"
        else:
            when = f"never {self.memorised}"
        when += f" of {training.epochs} epochs"
        return f"p = {rate:g}: loss {loss:.3g}, accuracy {accuracy:.3f}, {when}"


dropout_protects_up_to_its_rate = DropoutProtectsUpToItsRate()
dropout_discourages_memorising = DropoutDiscouragesMemorising()


# --- C11, C12, C13: batch normalisation ---------------------------------------------------------


@dataclass(frozen=True)
class _WithAndWithoutNorm(Rule):
    """Batch normalisation raises or lowers a measure.

    measured, name: the measure in the text of the rule, and in that of a finding.
    sign: 1 if the claim is that it rises, else -1.
    """

    measured: ClassVar[str]
    name: ClassVar[str]
    sign: ClassVar[int]
    template = (
        "Mean {measured} of each network with batch normalisation, minus that of each without. "
        "Supported: the {confidence!p} Welch interval over networks lies {side} 0. Not supported: "
        "it lies {other} 0. Else, and with fewer than two networks a side, inconclusive."
    )

    @property
    def side(self) -> str:
        """Where the claim has the difference."""
        return "above" if self.sign > 0 else "below"

    @property
    def other(self) -> str:
        """Where the claim's opposite has the difference."""
        return "below" if self.sign > 0 else "above"

    @abstractmethod
    def measure(self, network: NetworkResult) -> float:
        """The measure of a network."""

    def __call__(self, figure: FigureResult) -> Finding:
        # If batch normalisation is crossed with dropout (2 x 2), only networks without dropout
        # count.
        plain = [network for network in figure.networks if not network.config.dropout]
        sides = [
            [self.measure(network) for network in plain if network.config.batch_norm is normed]
            for normed in (True, False)
        ]
        if not all(sides):
            return Finding(NOT_RUN, note="It needs networks with and without batch normalisation.")
        with_norm, without = sides
        ours = (
            f"{plus_minus(np.array(with_norm))} {self.name} with, "
            f"{plus_minus(np.array(without))} without"
        )
        n = f"{counted(len(with_norm), 'network')} with and {len(without)} without"
        return decided(welch(with_norm, without), ours, n, _fit_words(plain), self.sign)


@dataclass(frozen=True)
class BatchNormLowersReliance(_WithAndWithoutNorm):
    """C11: area under the ablation curve with and without batch normalisation.

    area: one of `AREAS`.
    """

    area: str = choice("normalized AUC")

    measured = "normalized AUC (over its orders)"
    name = "AUC"
    sign = 1

    def measure(self, network: NetworkResult) -> float:
        """The mean area."""
        return float(AREAS[self.area](network, "").mean())


@dataclass(frozen=True)
class BatchNormLowersSelectivity(_WithAndWithoutNorm):
    """C12: class selectivity with and without batch normalisation.

    live_only: whether units that are silent on every image are left out.
    """

    live_only: bool = choice(False)

    measured = "class selectivity over all feature maps, silent ones as 0,"
    name = "class selectivity"
    sign = -1

    def measure(self, network: NetworkResult) -> float:
        """Mean class selectivity."""
        return mean_selectivity(network, self.live_only)


@dataclass(frozen=True)
class BatchNormRaisesInformation(_WithAndWithoutNorm):
    """C13: mutual information with and without batch normalisation.

    estimate: "corrected_information" or "mutual_information", which leaves the bias in.
    """

    estimate: str = choice("corrected_information")

    measured = "mutual information over all feature maps, bias subtracted,"
    name = "bits"
    sign = 1

    def measure(self, network: NetworkResult) -> float:
        """Mean mutual information in bits; NaN without a unit table."""
        table = sweep_of(network, UnitTable)
        return float("nan") if table is None else float(getattr(table, self.estimate).mean())


batch_norm_lowers_reliance = BatchNormLowersReliance()
batch_norm_lowers_selectivity = BatchNormLowersSelectivity()
batch_norm_raises_information = BatchNormRaisesInformation()


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


@dataclass(frozen=True)
class ZeroHurtsLessThanMean(Rule):
    """C21: the two ways to clamp a unit. area: one of `AREAS`."""

    area: str = choice("normalized AUC")

    template = (
        "Normalized AUC with units clamped to zero minus that with units clamped to their mean at "
        "each position, in the same random orders, averaged over the orders of each network (with "
        "one network: order by order). Supported: the {confidence!p} t interval of the difference "
        "lies above 0. Not supported: it lies below 0. Else inconclusive. With one network, the "
        "spread between trainings is not covered."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        area = AREAS[self.area]
        pairs = [
            area(network, "zero") - area(network, "mean_per_position")
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


@dataclass(frozen=True)
class SelectivityIsNotNeeded(Rule):
    """C22: networks made less, and more, selective (Leavitt and Morcos 2020).

    selectivity_part: a penalty counts that leaves one of so many parts of the class selectivity, or
        less.
    cost: test accuracy that such a penalty may cost, less than this.
    """

    selectivity_part: int = 2
    cost: float = 0.01

    template = (
        "Networks trained with a penalty (alpha < 0) or reward (alpha > 0) for class selectivity, "
        "against alpha = 0. Supported: with some penalty the mean class selectivity is at most "
        "{selectivity_part!o} and test accuracy less than {cost} below that at alpha = 0, and the "
        "strongest reward lowers test accuracy. Not supported: no penalty that "
        "{selectivity_part!v} class selectivity keeps test accuracy so. Inconclusive: no penalty "
        "{selectivity_part!v} it, or rewards do not harm. Value: best change of test accuracy "
        "under a penalty that {selectivity_part!v} selectivity; interval: {confidence!p} binomial "
        "over the test images, which does not cover the spread between trainings."
    )

    def __call__(self, figure: FigureResult) -> Finding:
        groups: dict[float, list[NetworkResult]] = {}
        for network in figure.networks:
            groups.setdefault(network.config.selectivity_regularizer, []).append(network)
        if 0.0 not in groups or not any(alpha < 0 for alpha in groups):
            note = "It needs networks with and without a selectivity penalty."
            return Finding(NOT_RUN, note=note)

        def means(alpha: float) -> tuple[float, float]:
            members = groups[alpha]
            accuracy = np.mean([item.training.test_accuracy for item in members])
            return float(np.mean([mean_selectivity(item) for item in members])), float(accuracy)

        selectivity, accuracy = means(0.0)
        words = [
            f"alpha {a:g}: selectivity {means(a)[0]:.2f}, test {means(a)[1]:.3f}"
            for a in sorted(groups)
        ]
        enough = selectivity / self.selectivity_part
        lowered = [means(a)[1] - accuracy for a in groups if a < 0 and means(a)[0] <= enough]
        rewards = [a for a in groups if a > 0]
        harmful = bool(rewards) and means(max(rewards))[1] < accuracy
        value = max(lowered, default=None)
        refuted = value is not None and value <= -self.cost
        verdict = three_way(
            supported=not refuted and harmful, refuted=refuted, decidable=value is not None
        )
        note = ""
        if value is None:
            note = f"No penalty {divided(self.selectivity_part)} the class selectivity."
        elif not refuted and not harmful:
            note = "No reward for selectivity lowered the test accuracy."
        interval = None
        if value is not None:
            n_images = sum(item.training.n_test for item in groups[0.0])
            shares = np.clip([accuracy, accuracy + value], 0, 1)
            reach = NORMAL_REACH * float(np.sqrt(np.sum(shares * (1 - shares)) / n_images))
            interval = Interval(value - reach, value + reach)
        n = counted(len(figure.networks), "network")
        return Finding(verdict, "; ".join(words), value, interval, n, note)


zero_hurts_less_than_mean = ZeroHurtsLessThanMean()
selectivity_is_not_needed = SelectivityIsNotNeeded()
