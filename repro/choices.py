"""Where the paper is silent or uncertain, and what was chosen: the list that the report shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from repro.config import OWN, FigureConfig, SingleUnitConfig, SweepConfig, TrainConfig
from repro.findings import figure_label


def choices(configs: Sequence[FigureConfig]) -> list[tuple[str, str]]:
    """(topic, choice) of each point that the paper leaves open, for the figures given."""
    trained = [config for config in configs if config.train.network != OWN]
    return [*_training(trained), *_networks(), *_lesions(configs), *_measures(), *_judging()]


def optimizer_words(train: TrainConfig) -> str:
    """
    >>> optimizer_words(TrainConfig("mnist", "mlp", (8,), optimizer="adam", learning_rate=0.001))
    'Adam, learning rate 0.001, batches of 128'
    """
    if train.network == OWN:
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
    return [
        ("Optimizer", _by_figure((config, optimizer_words(config.train)) for config in configs)),
        ("Learning rates and batch sizes compared", _grids(configs)),
        ("Initial weights", "Glorot uniform, He normal for convolutions; biases 0."),
        (
            "Input",
            "Pixels divided by 255; no augmentation, which would keep a network from memorising.",
        ),
        (
            "Length of training",
            "The paper trains MLPs for 640 epochs (5,000 with dropout), convnets for 100 and "
            f"ResNet-50 for 200,000 steps. {_by_figure((c, _length(c.train)) for c in configs)}",
        ),
        (
            "Instances",
            "The paper says how many networks it trained in Figs. 3 (200), 4c (192) and 5b, 6 "
            "(4 each). Elsewhere one network for each setting, or those of the seeds named with "
            "the figure.",
        ),
        (
            "Label corruption",
            "A random fraction of the training images is chosen once and their labels are "
            "permuted among themselves. Class counts stay exact, and about a tenth of the chosen "
            "images keep their label. Test labels are never corrupted. Fractions: 0 to 1 in steps "
            "of 0.2 on MNIST and CIFAR-10; 0, 0.4 and 1 on ImageNet, whose fractions the paper "
            "does not list; fewer where a figure's settings say so.",
        ),
    ]


def _networks() -> list[tuple[str, str]]:
    return [
        (
            "Convnet",
            "Padding “same”; one dense layer on the flattened maps. Batch normalisation averages "
            "its statistics with a momentum of 0.9. The last three layers are the last three "
            "convolutions.",
        ),
        (
            "ResNet-50",
            "The stride sits in the last block of a stage, as in the paper; where the shape "
            "changes, the shortcut is a convolution of size 1 with batch normalisation. Its units "
            "are the feature maps of a block after the final ReLU, and its last three layers the "
            "three blocks of its last stage.",
        ),
    ]


def _lesions(configs: Sequence[FigureConfig]) -> list[tuple[str, str]]:
    return [
        (
            "Ablation",
            "The activation after the ReLU, and after batch normalisation, is clamped. Random "
            "orders run over the units of all ablated layers together.",
        ),
        ("Points of a curve", "Evenly spaced numbers of ablated units, none and all included."),
        (
            "Images",
            _by_figure(
                (config, "; ".join(dict.fromkeys(_images(sweep) for _, sweep in config.sweeps)))
                for config in configs
            )
            + " On training images the labels are those that the network was trained on.",
        ),
        (
            "Clamping to the mean",
            "Of each feature map at each position, over the images on which accuracy is read.",
        ),
        (
            "Noise",
            "The paper scales the variance; here the scale multiplies each unit’s standard "
            "deviation, as in the published code: a scale s of ours is s² of a variance. Measured "
            "on the intact network, over images and positions; drawn anew for each image, unit and "
            "position. Fig. 2b also shows it drawn once for a whole feature map.",
        ),
    ]


def _measures() -> list[tuple[str, str]]:
    return [
        (
            "AUC",
            "Trapezoid over the fraction of units ablated, for each order. Normalized AUC is that "
            "area divided by the intact accuracy. Claims on trained networks (C1, C3, C5, C11, "
            "C21) use the normalized one, which asks what is lost; those on networks of different "
            "accuracy (C6, C7, C8) the raw one, and tell the other too.",
        ),
        (
            "Class selectivity",
            "Mean over the other classes: mean of their class means. No constant is added to the "
            "denominator: a unit silent on every image has selectivity 0 and is counted. Fig. 6 "
            "pools the maps of all eleven layers.",
        ),
        (
            "Mutual information",
            "20 bins, exact zeros in one and the others of equal mass, in bits, plug-in estimate; "
            "means and claims subtract its bias (bins − 1)(classes − 1) / (2 N ln 2). Units rank "
            "alike with 10, 50 and 100 bins, and shuffled labels leave nothing but the bias "
            "(tests/repro/test_golden.py).",
        ),
        (
            "Weights",
            "L1 norm of the filter that leads to a feature map, the scale of batch normalisation "
            "left out; in ResNet-50 that of the block’s last convolution. Which panel of Fig. A3 "
            "is ImageNet and which CIFAR-10 is uncertain in the paper: here a is ImageNet.",
        ),
        ("Importance", "Change of the mean cross-entropy on the test images, in nats."),
        (
            "Generalization error",
            "Training accuracy minus test accuracy, in networks with a training accuracy of 0.99 "
            "or more.",
        ),
    ]


def _judging() -> list[tuple[str, str]]:
    return [
        ("Spread", "Sample standard deviation (n - 1), over random orders unless said otherwise."),
        (
            "Rank correlation",
            "Spearman's rho with average ranks for ties; 95 % percentile bootstrap over units, "
            "2,000 resamples. Of several networks, units are ranked within each.",
        ),
        (
            "Learning rate in Fig. 3",
            "The paper's networks differ in it, and it may cause both AUC and error: the relation "
            "within each rate is told beside the one over all.",
        ),
        (
            "Fig. 4b",
            "Its caption says a CIFAR-10 convnet, the running text reads as though it were MNIST: "
            "the caption is followed.",
        ),
        (
            "Random subsets in Fig. 4c",
            "10,000 draws of half of the settings, whose repeats are averaged first.",
        ),
    ]


def _grids(configs: Sequence[FigureConfig]) -> str:
    """The values of the figures that compare learning rates or batch sizes."""
    words = []
    for config in configs:
        for key, values in config.grid:
            if key in ("learning_rate", "batch_size") and len(values) > 1:
                listed = ", ".join(f"{value:g}" for value in values)
                words.append(f"{figure_label(config.name)}: {key.replace('_', ' ')} {listed}")
    return f"{'; '.join(words)}." if words else "None in these figures."


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
    what = "importance on " if isinstance(sweep, SingleUnitConfig) else ""
    return f"{what}{n}{sweep.images} images"


def _by_figure(words: Iterable[tuple[FigureConfig, str]]) -> str:
    """What figures have in words, those that have the same together; a sentence.

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
