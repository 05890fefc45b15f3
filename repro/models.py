"""The paper's networks, with an AblationMask after each hidden activation (appendix A.2)."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras

from repro.masking import AblationMask


def mlp(
    input_shape: Sequence[int],
    n_classes: int,
    hidden_units: Sequence[int],
    seed: int = 0,
) -> keras.Model:
    """Fully connected ReLU network: flatten, then dense, mask, dense, mask, ..., logits.

    Args:
        input_shape: of one image, for example (28, 28, 1); pixels in [0, 1].
        n_classes: width of the output. It gives logits, not probabilities.
        hidden_units: width of each hidden layer; (512, 512) in Fig. 1a, (128, 128) in Fig. 7a.
        seed: of the initial weights (Glorot uniform; the paper does not say).

    >>> [layer.name for layer in mlp((28, 28, 1), 10, (128,)).layers]
    ['images', 'flatten', 'hidden_1', 'hidden_1_mask', 'logits']
    """
    # One generator for the whole network: layers of equal shape must not start out equal.
    initializer_seed = keras.random.SeedGenerator(seed)
    x = images = keras.Input(tuple(input_shape), name="images")
    x = keras.layers.Flatten(name="flatten")(x)
    for depth, width in enumerate(hidden_units, start=1):
        x = keras.layers.Dense(
            width,
            activation="relu",
            kernel_initializer=keras.initializers.GlorotUniform(initializer_seed),
            name=f"hidden_{depth}",
        )(x)
        x = AblationMask(name=f"hidden_{depth}_mask")(x)
    logits = keras.layers.Dense(
        n_classes,
        kernel_initializer=keras.initializers.GlorotUniform(initializer_seed),
        name="logits",
    )(x)
    return keras.Model(images, logits, name="mlp")


def load_model(path: str | Path) -> keras.Model:
    """Loads a `.keras` model of this project under Keras's safe mode, masks included.

    The same as `keras.models.load_model(path)` after `import repro`, with a plain sentence for
    what goes wrong. The optimizer is not restored.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a complete `.keras` file, or one that Keras refuses.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}")
    if path.suffix != ".keras":
        raise ValueError(f"expected a .keras file, got {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a complete .keras file; it may be cut short")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a damaged archive
        reason = str(error).strip().splitlines()
        raise ValueError(
            f"{path} cannot be loaded as a Keras model: {reason[0] if reason else type(error)}"
        ) from error
