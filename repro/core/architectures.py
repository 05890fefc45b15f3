"""The kinds of networks: all that is known of each before it is built, in one record.

A new kind is one more record in `ARCHITECTURES` and a function that builds it, in
`repro.models.networks`. No other module compares names of kinds: it asks the record.
"""

from __future__ import annotations

from dataclasses import dataclass

from repro.core.records import Records


@dataclass(frozen=True)
class Architecture:
    """A kind of network as configs, plans and reports need it.

    name: its name in configs.
    words: the name with its article.
    settings: settings of `TrainConfig` that change the network. Only these may differ from their
        defaults.
    builder: "module:function"; the function takes the shape of an image, the number of classes, the
        settings above and a seed as keywords, and returns a Keras model with masks.
    grouped: whether networks that differ in seed or labels are trained in one program
        (`repro.training.ensembles`) where that pays. Convolutions with other weights for each
        network become grouped convolutions, which are slower on a CPU than one network after
        another.
    can_be_grouped: whether they are trained so where the user asks for it.
    pass_cost: rough cost of one image's forward pass at full width, in millions of multiply-adds; 0
        where hidden_units tell it.
    epochs, dropout_epochs: how long the paper trains it, without and with dropout (appendix A.2);
        None where that is no whole number of epochs.
    paper_length: the same in words.
    open_choice: (topic, choice) where the paper is silent on it, for the report; None for nothing.
    weights_words: what its units' incoming weights are, if that must be said; "" otherwise.
    given: whether it stands for a user's own trained network, which is not built here.
    """

    name: str
    words: str
    settings: tuple[str, ...] = ()
    builder: str = ""
    grouped: bool = False
    can_be_grouped: bool = False
    pass_cost: float = 0.0
    epochs: int | None = None
    dropout_epochs: int | None = None
    paper_length: str = ""
    open_choice: tuple[str, str] | None = None
    weights_words: str = ""
    given: bool = False

    def has(self, setting: str) -> bool:
        """Whether a setting of `TrainConfig` changes the network."""
        return setting in self.settings

    def paper_epochs(self, dropout: float) -> int | None:
        """How many epochs the paper trains such a network; None if that is no whole number."""
        return self.dropout_epochs if dropout else self.epochs


ARCHITECTURES: Records[Architecture] = Records(
    "kind of network",
    Architecture(
        name="mlp",
        words="an mlp",
        settings=("hidden_units", "dropout", "pixel_range"),
        builder="repro.models.networks:mlp",
        grouped=True,
        epochs=640,
        dropout_epochs=5000,
        paper_length="MLPs for 640 epochs (5,000 with dropout)",
    ),
    Architecture(
        name="convnet",
        words="a convnet",
        settings=("width", "batch_norm", "dropout", "head_units", "pixel_range"),
        builder="repro.models.networks:convnet",
        can_be_grouped=True,
        pass_cost=200.0,
        epochs=100,
        dropout_epochs=100,
        paper_length="convnets for 100 epochs",
        open_choice=(
            "Convnet",
            "Padding “same”; one dense layer on the flattened maps. Batch normalisation averages "
            "its statistics with a momentum of 0.9. The last three layers are the last three "
            "convolutions.",
        ),
    ),
    Architecture(
        name="resnet50",
        words="a resnet50",
        settings=("width", "pixel_range"),
        builder="repro.models.networks:resnet50",
        pass_cost=4_000.0,
        paper_length="ResNet-50 for 200,000 steps",  # no whole number of epochs
        open_choice=(
            "ResNet-50",
            "The stride sits in the last block of a stage, as in the paper; where the shape "
            "changes, the shortcut is a convolution of size 1 with batch normalisation. Its units "
            "are the feature maps of a block after the final ReLU, and its last three layers the "
            "three blocks of its last stage.",
        ),
        weights_words="in ResNet-50 that of the block’s last convolution",
    ),
    Architecture(name="own", words="your own network", pass_cost=1_000.0, given=True),
)


def those_with(setting: str) -> str:
    """The kinds of networks that have a setting, in words with the first one's article.

    >>> those_with("dropout"), those_with("hidden_units")
    ('an mlp or convnet', 'an mlp')
    """
    first, *others = (record for record in ARCHITECTURES.values() if record.has(setting))
    return " or ".join([first.words, *(record.name for record in others)])
