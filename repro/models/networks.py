"""The paper's networks, with an AblationMask after each hidden activation (appendix A.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from repro.core.records import function_at
from repro.core.settings import PIXEL_RANGES, TrainConfig
from repro.models.masking import AblationMask

# (channels, stride) of each layer of the paper's CIFAR-10 network.
_CONVNET = (
    *((64, 1), (64, 1), (128, 2)),
    *((128, 1), (128, 1), (256, 2)),
    *((256, 1), (256, 1), (512, 2)),
    *((512, 1), (512, 1)),
)
HEAD = "convnet_head"
"""Name of the hidden dense layer of a convnet's head. `last_layers` of a sweep counts layers of
feature maps and passes this layer over."""
# (inner channels, output channels, blocks, stride of the last block) of each stage of ResNet-50.
_RESNET50 = ((64, 256, 3, 2), (128, 512, 4, 2), (256, 1024, 6, 2), (512, 2048, 3, 1))


def build(config: TrainConfig, input_shape: Sequence[int], n_classes: int) -> keras.Model:
    """The untrained network of a config, of float32 weights.

    In mixed precision its layers compute in 16 bits; `build` of the same config with precision
    "float32" takes over its weights one by one.

    Args:
        input_shape: of one image. n_classes: width of the output.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    try:
        builder = function_at(config.architecture.builder)
        settings = {name: getattr(config, name) for name in config.architecture.settings}
        return builder(input_shape, n_classes, seed=config.seed, **settings)
    finally:
        keras.config.set_dtype_policy(before)


def mlp(
    input_shape: Sequence[int],
    n_classes: int,
    hidden_units: Sequence[int],
    seed: int = 0,
    *,
    dropout: float = 0.0,
    pixel_range: str = PIXEL_RANGES[0],
) -> keras.Model:
    """Fully connected ReLU network: flatten, then dense, mask, dense, mask, ..., logits.

    Args:
        input_shape: of one image, for example (28, 28, 1); pixels in [0, 1].
        n_classes: width of the output. It gives logits, not probabilities.
        hidden_units: width of each hidden layer; (512, 512) in Fig. 1a, (128, 128) in Fig. 7a.
        seed: of the initial weights (Glorot uniform; the paper does not say) and of dropout.
        dropout: share of each hidden layer's units that a training step silences (Fig. 5a), the
            others are multiplied by 1 / (1 - dropout). With 0 there is no dropout layer.
        pixel_range: one of `settings.PIXEL_RANGES`. With "-1 to 1" a layer "rescaling" stands first
            and computes (pixels - 0.5) / 0.5.

    >>> [layer.name for layer in mlp((28, 28, 1), 10, (128,)).layers]
    ['images', 'flatten', 'hidden_1', 'hidden_1_mask', 'logits']
    """
    # One generator for the whole network: layers of equal shape must not start out equal.
    initializer_seed = keras.random.SeedGenerator(seed)
    images = keras.Input(tuple(input_shape), name="images")
    x = keras.layers.Flatten(name="flatten")(_rescaled(images, pixel_range))
    for depth, width in enumerate(hidden_units, start=1):
        seed_of_dropout = _dropout_seed(seed, depth)
        x = _hidden(x, width, f"hidden_{depth}", initializer_seed, dropout, seed_of_dropout)
    return keras.Model(images, _logits(x, n_classes, initializer_seed), name="mlp")


def convnet(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    width: float = 1.0,
    batch_norm: bool = True,
    dropout: float = 0.0,
    head_units: int = 0,
    pixel_range: str = PIXEL_RANGES[0],
    seed: int = 0,
) -> keras.Model:
    """The paper's 11-layer convolutional network for CIFAR-10 (appendix A.2).

    Eleven 3 x 3 convolutions of 64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512 feature maps
    with strides 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, each followed by batch normalisation, ReLU and
    mask; then flatten and logits. No pooling. 32 x 32 images end as 4 x 4 maps.

    The paper is silent on padding (here "same"), on the head (one dense layer on the flattened
    maps, unless head_units are given), on the initial weights (He normal, so that the signal keeps
    its size through eleven ReLUs without batch normalisation too; Glorot uniform for the logits),
    and on the constants of batch normalisation (momentum 0.9, so that a short training is evaluated
    with its own statistics; epsilon 0.001).

    Args:
        input_shape: of one image, channels last, for example (32, 32, 3).
        n_classes: width of the output. It gives logits, not probabilities.
        width: factor on every number of feature maps, rounded, at least one map.
        batch_norm: False for the paper's networks without it (Fig. 5b, Fig. 6): convolutions then
            have a bias, which batch normalisation would cancel.
        dropout: share of each layer's feature maps that a training step silences, whole maps as
            in ablation; there is no dropout layer where it is 0.
        head_units: units of a dense layer between the flattened maps and the logits, called
            "convnet_head": dense (Glorot uniform), ReLU, dropout of single units, mask. It has no
            batch normalisation, whatever batch_norm says. 0 for none. A co-author's replication of
            Fig. 1b has 256 units there, and none.
        pixel_range: as in `mlp`.
        seed: of the initial weights and of dropout.

    Raises:
        ValueError: width is not a positive number.

    >>> model = convnet((32, 32, 3), 10, width=1 / 16)
    >>> [layer.name for layer in model.layers[:5]]
    ['images', 'conv_1', 'conv_1_norm', 'conv_1_relu', 'conv_1_mask']
    >>> model.get_layer("conv_11_mask").output.shape
    (None, 4, 4, 32)
    """
    initializer_seed = keras.random.SeedGenerator(seed)
    images = keras.Input(tuple(input_shape), name="images")
    x = _rescaled(images, pixel_range)
    for depth, (channels, stride) in enumerate(_CONVNET, start=1):
        name = f"conv_{depth}"
        x = _convolution(x, name, _scaled(channels, width), 3, stride, initializer_seed, batch_norm)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
        if dropout:
            x = keras.layers.SpatialDropout2D(
                dropout,
                data_format="channels_last",
                seed=_dropout_seed(seed, depth),
                name=f"{name}_dropout",
            )(x)
        x = AblationMask(name=f"{name}_mask")(x)
    x = keras.layers.Flatten(name="flatten", data_format="channels_last")(x)
    if head_units:
        x = _hidden(x, head_units, HEAD, initializer_seed, dropout, _dropout_seed(seed, depth + 1))
    return keras.Model(images, _logits(x, n_classes, initializer_seed), name="convnet")


def resnet50(
    input_shape: Sequence[int] = (224, 224, 3),
    n_classes: int = 1000,
    *,
    width: float = 1.0,
    mask_inside_blocks: bool = False,
    pixel_range: str = PIXEL_RANGES[0],
    seed: int = 0,
) -> keras.Model:
    """ResNet-50 with the paper's blocks (appendix A.2), for ImageNet.

    A 7 x 7 convolution of stride 2 and a 3 x 3 max pool of stride 2, then four stages of 3, 4, 6
    and 3 bottleneck blocks, global average pool and logits. A block is convolution 1 x 1 (_a),
    3 x 3 (_b), 1 x 1 (_c), each with batch normalisation, ReLU after the first two; then the
    shortcut is added, and ReLU gives the block's output. As in the paper, the *last* block of
    stages 1 to 3 has the stride of 2, not the first of the next stage: 224 x 224 images make maps
    of 56, 56, 28 | 28, 28, 28, 14 | 14, 14, 14, 14, 14, 7 | 7, 7, 7 in the 16 blocks.

    The paper does not say which tensors of a block are feature maps. Here each block's output,
    after its final ReLU, has a mask: 16 masks, and "the last three layers" are the three blocks
    of stage 4, of 2048 maps each. Other choices where the paper is silent: the stride sits in the 3
    x 3 convolution; the shortcut is a 1 x 1 convolution with batch normalisation where the number
    of maps changes, in the first block of each stage, and where only the size does, in the last
    block of stages 1 to 3, it takes every other pixel (a max pool of size 1): the usual 25,557,032
    trainable parameters for 1000 classes; padding is "same"; initial weights are He normal, those
    of the logits Glorot uniform; batch normalisation as in `convnet`.

    Args:
        input_shape: of one image, channels last. Images of fewer than 32 pixels end as single
            pixels early; the network still works.
        n_classes: width of the output. It gives logits, not probabilities.
        width: factor on every number of feature maps, rounded, at least one map.
        mask_inside_blocks: also put masks after the two inner ReLUs of each block, named
            stage_1_block_1_a_mask and stage_1_block_1_b_mask: 48 masks. The shortcut goes around
            them, so what they mask does not alone determine the output.
        pixel_range: as in `mlp`.
        seed: of the initial weights.

    Raises:
        ValueError: width is not a positive number.

    >>> from repro.models.masking import ablation_masks
    >>> masks = ablation_masks(resnet50((32, 32, 3), 10, width=1 / 16))
    >>> len(masks), masks[-1].name, masks[-1].n_units
    (16, 'stage_4_block_3_mask', 128)
    """
    initializer_seed = keras.random.SeedGenerator(seed)
    images = keras.Input(tuple(input_shape), name="images")
    x = _rescaled(images, pixel_range)
    x = _convolution(x, "stem", _scaled(64, width), 7, 2, initializer_seed)
    x = keras.layers.ReLU(name="stem_relu")(x)
    x = keras.layers.MaxPooling2D(
        3, 2, padding="same", data_format="channels_last", name="stem_pool"
    )(x)
    for stage, (inner, outer, n_blocks, last_stride) in enumerate(_RESNET50, start=1):
        for block in range(1, n_blocks + 1):
            x = _bottleneck(
                x,
                f"stage_{stage}_block_{block}",
                (_scaled(inner, width), _scaled(outer, width)),
                last_stride if block == n_blocks else 1,
                initializer_seed,
                mask_inside_blocks,
            )
    x = keras.layers.GlobalAveragePooling2D(name="pool", data_format="channels_last")(x)
    return keras.Model(images, _logits(x, n_classes, initializer_seed), name="resnet50")


def _bottleneck(
    x: Any,
    name: str,
    channels: tuple[int, int],
    stride: int,
    seed: keras.random.SeedGenerator,
    mask_inside: bool,
) -> Any:
    """One residual block, masked after its final ReLU; channels are (inner, outer)."""
    inner, outer = channels
    shortcut = x
    if x.shape[-1] != outer:
        shortcut = _convolution(x, f"{name}_shortcut", outer, 1, stride, seed)
    elif stride != 1:
        shortcut = keras.layers.MaxPooling2D(
            1, stride, padding="same", data_format="channels_last", name=f"{name}_shortcut"
        )(x)
    for part, size, step in (("a", 1, 1), ("b", 3, stride)):
        x = _convolution(x, f"{name}_{part}", inner, size, step, seed)
        x = keras.layers.ReLU(name=f"{name}_{part}_relu")(x)
        if mask_inside:
            x = AblationMask(name=f"{name}_{part}_mask")(x)
    x = _convolution(x, f"{name}_c", outer, 1, 1, seed)
    x = keras.layers.Add(name=name)([x, shortcut])
    x = keras.layers.ReLU(name=f"{name}_relu")(x)
    return AblationMask(name=f"{name}_mask")(x)


def _convolution(
    x: Any,
    name: str,
    channels: int,
    size: int,
    stride: int,
    seed: keras.random.SeedGenerator,
    batch_norm: bool = True,
) -> Any:
    """Square convolution, with batch normalisation or else a bias."""
    x = keras.layers.Conv2D(
        channels,
        size,
        stride,
        padding="same",
        data_format="channels_last",  # a mask's units are the last axis
        use_bias=not batch_norm,
        kernel_initializer=keras.initializers.HeNormal(seed),
        name=name,
    )(x)
    if not batch_norm:
        return x
    # With Keras's default of 0.99, a fifth of the initial statistics would remain after 160 steps.
    return keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)


def _rescaled(images: Any, pixel_range: str) -> Any:
    """The images, pixels from 0 to 1, as the first weights see them."""
    if pixel_range == PIXEL_RANGES[0]:
        return images
    # In float32, as the logits: near 0.5, 16 bits tell neighbouring pixel values barely apart.
    dtype = keras.config.dtype_policy().variable_dtype
    return keras.layers.Rescaling(2.0, -1.0, dtype=dtype, name="rescaling")(images)


def _hidden(
    x: Any,
    units: int,
    name: str,
    seed: keras.random.SeedGenerator,
    dropout: float,
    seed_of_dropout: int,
) -> Any:
    """A hidden dense layer: dense with ReLU, dropout where there is any, mask."""
    x = keras.layers.Dense(
        units,
        activation="relu",
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        name=name,
    )(x)
    if dropout:
        x = keras.layers.Dropout(dropout, seed=seed_of_dropout, name=f"{name}_dropout")(x)
    return AblationMask(name=f"{name}_mask")(x)


def _logits(x: Any, n_classes: int, seed: keras.random.SeedGenerator) -> Any:
    return keras.layers.Dense(
        n_classes,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        # Logits are float32 in mixed precision too: the loss takes their exponentials.
        dtype=keras.config.dtype_policy().variable_dtype,
        name="logits",
    )(x)


def _dropout_seed(seed: int, depth: int) -> int:
    """A seed for each layer: layers of equal width must not silence the same units."""
    return int(np.random.SeedSequence((seed, depth)).generate_state(1)[0] >> 1)


def _scaled(channels: int, width: float) -> int:
    if not (math.isfinite(width) and width > 0):
        raise ValueError(
            f"width is a factor on the number of feature maps, above 0. Received: width={width}"
        )
    return max(1, round(channels * width))
