"""What a study is made with, whether `repro.lesion` or the command `lesion` asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import keras

from repro.core.arguments import check_seed, whole_number
from repro.engine.engine import Engine
from repro.models.insertion import HiddenLayer


@dataclass(frozen=True)
class StudySettings:
    """How much is lesioned, and what the images are.

    n_units: how many units to lesion alone, drawn at random, the same share of each layer; 0 for
        all. class_names: of the classes in order; () for those that the engine knows.
    data: what the images are, in words. split: "test", or "train" for images that the model was
        trained on. seed: of the samples and of the curve's orders.
    deadline: by `time.monotonic()`, after which no more units are lesioned alone, but for the first
        few.
    """

    n_units: int = 0
    class_names: tuple[str, ...] = ()
    data: str = ""
    split: str = "test"
    seed: int = 0
    deadline: float = math.inf

    def __post_init__(self) -> None:
        whole_number("n_units", self.n_units, "0 (all) to the number of masked units")
        check_seed(self.seed)
        if self.split not in ("train", "test"):
            raise ValueError(f"split must be 'train' or 'test', got {self.split!r}")


@dataclass(frozen=True)
class Subject:
    """The network that is studied, and images that it is asked on.

    engine: on the images that units are lesioned on. model: with masks. hidden: what became of each
        of its layers.
    n_available: how many images there are, with those that no unit is lesioned on.
    others: gives engines on the latter, in pieces; None where there are none, or they cannot be
        had.
    """

    engine: Engine
    model: keras.Model
    hidden: tuple[HiddenLayer, ...]
    n_available: int
    others: Callable[[], Iterable[Engine]] | None = None
