"""What `python -m repro lesion` is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from repro.core.flags import Usage, flag, one_of, switch, whole_number, words
from repro.data.request import ImageRequest
from repro.experiments.progress import seconds_of


@dataclass(frozen=True, kw_only=True)
class LesionRequest(ImageRequest):
    """What is to be studied, how, and where to put it.

    model: a `.keras` file; or "", and model_fn and weights are given, see
        `models.model_from_function`.
    data, scale, resize: see `labelled`. classes: a file of class names, one a line; "" for none.
    layers: names or patterns of hidden layers; () for all.
    out: the folder of results.
    seconds: that it may take, unless full; full: everything, however long that is.
    list_only: whether the model's layers are listed, and nothing is lesioned.
    from_logits: whether the model answers logits, or probabilities; None to find out.
    split: "test", or "train" for images that the model was trained on; "" for what the data say.
    """

    model: str = flag("", "MODEL.keras, a trained classifier.", positional=True)
    model_fn: str = flag(
        "",
        "In place of MODEL.keras your own function that builds the model, package.module:build; "
        "with --weights.",
    )
    weights: str = flag("", "With --model_fn: its weights, file.weights.h5.")
    out: Path = flag(Path("runs/lesion"), "Folder of the results.", Path)
    seconds: float = flag(
        600.0,
        "How long it may take, e.g. 90s, 10min, 2h; decides how many images and units. Without "
        "it: 10min.",
        seconds_of,
        name="budget",
    )
    full: bool = flag(False, "All images and all units, however long that takes; says how long.")
    layers: tuple[str, ...] = flag(
        (), "Hidden layers, names or patterns such as block?_*. Without it: all.", words
    )
    list_only: bool = flag(
        False, "Only list the model's layers, which are lesioned and why not.", name="list"
    )
    classes: str = flag("", "A text file that names the model's classes, one a line in its order.")
    from_logits: bool | None = flag(
        None,
        "true if the model answers logits, false if it answers probabilities. Without it: found "
        "from its loss, its last function and its answers.",
        switch,
    )
    split: str = flag(
        "",
        "test; or train, if the model was trained on these images. Without it: train for a split "
        "of that name, else test.",
        one_of(("test", "train")),
    )
    seed: int = flag(0, "Seed of the samples and of random orders.", whole_number(0))

    def __post_init__(self) -> None:
        """
        Raises:
            Usage: flags that contradict each other, or invalid values.
        """
        if bool(self.model) == bool(self.model_fn):
            raise Usage("lesion needs one model: MODEL.keras, or --model-fn=package.module:build")
        if bool(self.weights) != bool(self.model_fn):
            raise Usage("--model-fn and --weights go together: your function, and its weights")
        if not self.data and not self.list_only:
            raise Usage(
                "lesion needs images: --data=npz:file.npz, tfds:name or dir:folder-of-class-folders"
            )
        super().__post_init__()

    @property
    def limit(self) -> float | None:
        """Seconds that the study may take; None for no limit."""
        return None if self.full else self.seconds
