"""The choices made where the paper is silent or uncertain, as the report lists them. docs/paper.md,
"Where the paper is silent", lists the same for a reader of the paper."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from repro.core.architectures import ARCHITECTURES
from repro.core.kinds import KINDS
from repro.core.settings import PIXEL_RANGES, FigureConfig, SweepConfig, TrainConfig
from repro.paper.series import figure_label


def choices(configs: Sequence[FigureConfig]) -> list[tuple[str, str]]:
    """(topic, choice) for each point that the paper leaves open and that concerns the given
    figures."""
    trained = [config for config in configs if not config.train.architecture.given]
    return [
        *(_training(trained) if trained else ()),
        *_networks({config.train.network for config in configs}),
        *_heads(configs),
        *_lesions(configs),
        *_measures(configs),
        *_judging(configs),
    ]


def optimizer_words(train: TrainConfig) -> str:
    """
    >>> optimizer_words(TrainConfig("mnist", "mlp", (8,), optimizer="adam", learning_rate=0.001))
    'Adam, learning rate 0.001, batches of 128'
    """
    if train.architecture.given:
        return "not known: a trained network was given"
    name, momentum = "Adam", ""
    if train.optimizer == "sgd":
        name, momentum = "SGD", f", momentum {train.momentum:g}"
    words = f"{name}, learning rate {train.learning_rate:g}{momentum}"
    if train.schedule != "constant":
        words += f", {train.schedule} schedule"
    if train.weight_decay:
        words += f", weight decay {train.weight_decay:g}"
    return f"{words}, batches of {train.batch_size}"


def _training(configs: Sequence[FigureConfig]) -> list[tuple[str, str]]:
    kinds, names = {config.train.network for config in configs}, _names(configs)
    found = [
        ("Optimizer", _by_figure((config, optimizer_words(config.train)) for config in configs))
    ]
    if compared := _grids(configs):
        found.append(("Learning rates and batch sizes compared", compared))
    epochs = [
        record.paper_length
        for name, record in ARCHITECTURES.items()
        if name in kinds and record.paper_length
    ]
    several = [
        words
        for name, words in (
            ("fig3", "3 (200)"),
            ("fig4c", "4c (192)"),
            ("fig5b", "5b (4 each)"),
            ("fig6", "6 (4 each)"),
        )
        if name in names
    ]
    instances = f"The paper says how many networks it trained in Fig. {_and(several)}. Elsewhere "
    found += [
        ("Initial weights", "Glorot uniform, He normal for convolutions; biases 0."),
        (
            "Input",
            f"{_pixels(configs)}; no augmentation, which would keep a network from memorising.",
        ),
        (
            "Length of training",
            (f"The paper trains {_and(epochs)}. Here: " if epochs else "")
            + _by_figure((config, _length(config.train)) for config in configs),
        ),
        (
            "Instances",
            (instances if several else "")
            + ("one" if several else "One")
            + " network for each setting, or those of the seeds named with the figure.",
        ),
    ]
    corrupted = [(config, words) for config in configs if (words := _corruptions(config)) != "0"]
    if corrupted:
        found.append(
            (
                "Label corruption",
                "A random fraction of the training images is chosen once and their labels are "
                "permuted among themselves. Class counts stay exact, and the chosen images keep "
                "their label as often as chance has it, with ten classes about one in ten. Test "
                "labels are never corrupted. "
                + "".join(
                    f"The paper does not list its fractions on {words}. "
                    for words in dict.fromkeys(_unlisted(config) for config, _ in corrupted)
                    if words
                )
                + f"Fractions: {_by_figure(corrupted)}",
            )
        )
    return found


def _pixels(configs: Sequence[FigureConfig]) -> str:
    """How pixels are scaled in the figures' networks, in words."""
    others: dict[str, list[str]] = {}
    for config in configs:
        for pixels in dict.fromkeys(network.pixel_range for network in config.networks()):
            if pixels != PIXEL_RANGES[0]:
                others.setdefault(pixels, []).append(figure_label(config.name))
    words = [
        f", in networks of {_and(names)} then brought to {one}" for one, names in others.items()
    ]
    return f"Pixels divided by 255{''.join(words)}"


def _corruptions(config: FigureConfig) -> str:
    """The fractions of corrupted labels of a figure's networks, in words."""
    fractions = sorted({network.label_corruption for network in config.networks()})
    words = _and([f"{fraction:g}" for fraction in fractions])
    data = _unlisted(config)
    return f"{words} on {data}" if data and words != "0" else words


def _unlisted(config: FigureConfig) -> str:
    """The figure's data set in words, if the paper does not list its fractions there; else ""."""
    data = config.train.data_set
    return "" if data.fractions_listed else data.words


def _networks(kinds: Collection[str]) -> list[tuple[str, str]]:
    return [
        record.open_choice
        for name, record in ARCHITECTURES.items()
        if name in kinds and record.open_choice
    ]


def _heads(configs: Sequence[FigureConfig]) -> list[tuple[str, str]]:
    """What is said of convnets with a hidden layer before the logits, if a figure has any."""
    sizes = {
        figure_label(config.name): dict.fromkeys(
            f"{network.head_units:,}" for network in config.networks() if network.head_units
        )
        for config in configs
    }
    said = [f"{_and(list(units))} units ({name})" for name, units in sizes.items() if units]
    if not said:
        return []
    return [
        (
            "Hidden layer before the logits",
            f"{'; '.join(said)}: dense, ReLU, without batch normalisation. Its units are hidden "
            "units like others, and the last three layers are still the last three convolutions.",
        )
    ]


# What the fills that are means read, for feature maps.
_MEANS = {
    "mean": "one mean for a whole feature map",
    "position_mean": "a mean at each position of a feature map",
}


def _lesions(configs: Sequence[FigureConfig]) -> list[tuple[str, str]]:
    sweeps = [sweep for config in configs for _, sweep in config.sweeps]
    kinds = {sweep.kind for sweep in sweeps}
    curves = "cumulative" in kinds
    fills = {getattr(sweep, "fill", "zero") for sweep in sweeps}
    found = [
        (
            "Ablation",
            "The activation after the ReLU, and after batch normalisation, is clamped."
            + " Random orders run over the units of all ablated layers together." * curves,
        )
    ]
    if curves:
        found.append(
            (
                "Points of a curve",
                "Evenly spaced numbers of ablated units, none and all included.",
            )
        )
    found.append(
        (
            "Images",
            _by_figure(
                (config, "; ".join(dict.fromkeys(_images(sweep) for _, sweep in config.sweeps)))
                for config in configs
            )
            + " On training images the labels are those that the network was trained on."
            * any(sweep.images == "train" for sweep in sweeps),
        )
    )
    means = [words for fill, words in _MEANS.items() if fill in fills]
    if means:
        which = " or ".join(means)
        found.append(
            (
                "Clamping to the mean",
                f"To {which}. It is the mean over the images on which accuracy is read.",
            )
        )
    if "noise" in kinds:
        found.append(
            (
                "Noise",
                "The paper scales the variance; here the scale multiplies each unit’s standard "
                "deviation, as in the published code: a scale s of ours is s² of a variance. "
                "Measured on the intact network, over images and positions; drawn anew for each "
                "image, unit and position."
                + " Fig. 2b also shows it drawn once for a whole feature map."
                * ("fig2b" in _names(configs)),
            )
        )
    return found


def _measures(configs: Sequence[FigureConfig]) -> list[tuple[str, str]]:
    kinds = {sweep.kind for config in configs for _, sweep in config.sweeps}
    names = _names(configs)
    found = []
    if "cumulative" in kinds:
        found.append(
            (
                "AUC",
                "Trapezoid over the fraction of units ablated, for each order. Normalized AUC is "
                "that area divided by the intact accuracy. Claims on trained networks (C1, C3, C4, "
                "C5, C9, C11, C21) use the normalized one, which asks what is lost; those on "
                "networks of different accuracy (C6, C7, C8) the raw one, and C6 and C7 tell the "
                "other too.",
            )
        )
    if kinds & {"single_unit", "portraits"}:
        found += [
            (
                "Class selectivity",
                "Mean over the other classes: mean of their class means; classes without images do "
                "not count. No constant is added to the denominator: a unit silent on every image "
                "has selectivity 0 and is counted."
                + " Fig. 6 pools the maps of all eleven layers."
                * ("fig6" in names),
            ),
            (
                "Mutual information",
                "20 bins, exact zeros in one and the others of equal mass, in bits, plug-in "
                "estimate; means and claims subtract its bias (bins − 1)(classes − 1) / (2 N ln "
                "2). Units rank alike with 10, 50 and 100 bins, and shuffled labels leave nothing "
                "but the bias (tests/repro/experiments/test_golden.py).",
            ),
            (
                "Weights",
                "L1 norm of the filter that leads to a unit, the scale of batch normalisation left "
                "out"
                + "".join(
                    f"; {record.weights_words}"
                    for name, record in ARCHITECTURES.items()
                    if record.weights_words and name in {one.train.network for one in configs}
                )
                + "."
                + " Which panel of Fig. A3 is ImageNet and which CIFAR-10 is uncertain in the "
                "paper: here a is ImageNet." * bool(names & {"figA3a", "figA3b"}),
            ),
            (
                "Importance",
                "Change of the mean cross-entropy on the images that are named with the figure, in "
                "nats.",
            ),
        ]
    if "fig3" in names:
        found.append(
            (
                "Generalization error",
                "Training accuracy minus test accuracy, in networks with a training accuracy of "
                "0.99 or more.",
            )
        )
    return found


def _judging(configs: Sequence[FigureConfig]) -> list[tuple[str, str]]:
    of_figures = {
        "fig3": (
            "Learning rate in Fig. 3",
            "The paper's networks differ in it, and it may cause both AUC and error: the relation "
            "within each rate is told beside the one over all.",
        ),
        "fig4b": (
            "Fig. 4b",
            "Its caption says a CIFAR-10 convnet, the running text reads as though it were MNIST: "
            "the caption is followed.",
        ),
        "fig4c": (
            "Random subsets in Fig. 4c",
            "10,000 draws of half of the settings, whose repeats are averaged first.",
        ),
    }
    names = _names(configs)
    return [
        ("Spread", "Sample standard deviation (n - 1), over random orders unless said otherwise."),
        (
            "Rank correlation",
            "Spearman's rho with average ranks for ties; 95 % percentile bootstrap over units, "
            "2,000 resamples. Of several networks, units are ranked within each.",
        ),
        *(words for name, words in of_figures.items() if name in names),
    ]


def _names(configs: Sequence[FigureConfig]) -> set[str]:
    return {config.name for config in configs}


def _and(words: Sequence[str]) -> str:
    """
    >>> _and(["a", "b", "c"]), _and(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _grids(configs: Sequence[FigureConfig]) -> str:
    """The values of the figures that compare learning rates or batch sizes; "" if none does."""
    words = []
    for config in configs:
        for key, values in config.grid:
            if key in ("learning_rate", "batch_size") and len(values) > 1:
                listed = ", ".join(f"{value:g}" for value in values)
                words.append(f"{figure_label(config.name)}: {key.replace('_', ' ')} {listed}")
    return f"{'; '.join(words)}." if words else ""


def _length(train: TrainConfig) -> str:
    """
    >>> _length(TrainConfig("mnist", "mlp", (8,), epochs=20, stop_at_train_accuracy=0.9))
    'ended at training accuracy 0.9, at most 20 epochs'
    """
    if train.stop_at_train_accuracy:
        return (
            f"ended at training accuracy {train.stop_at_train_accuracy:g}, at most "
            f"{train.epochs:,} epochs"
        )
    return f"{train.epochs:,} epochs"


def _images(sweep: SweepConfig) -> str:
    """Which images a sweep reads, in words."""
    n = f"{sweep.n_images:,} random " if sweep.n_images else "all "
    reads = KINDS[sweep.kind].reads
    return (f"{reads} on " if reads else "") + f"{n}{sweep.images} images"


def _by_figure(words: Iterable[tuple[FigureConfig, str]]) -> str:
    """One sentence from the words of each figure; figures with the same words are listed together.

    >>> _by_figure([])
    'None in these figures.'
    """
    groups: dict[str, list[str]] = {}
    for config, one in words:
        groups.setdefault(one, []).append(figure_label(config.name))
    if len(groups) == 1:
        return f"{next(iter(groups))}."
    listed = (f"{one} ({', '.join(names)})" for one, names in groups.items())
    return f"{'; '.join(listed)}." if groups else "None in these figures."
