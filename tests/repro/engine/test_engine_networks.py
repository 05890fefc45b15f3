"""The engine on networks of all kinds, against plain Keras with the masks assigned.

Hypothesis draws architectures, lesions, fills and batch sizes; a list beside it holds the networks
that are hard for a stated reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers as L
from keras import ops

from repro.engine import by_rows
from repro.engine.engine import Engine
from repro.engine.layout import Layout
from repro.models.masking import AblationMask, ablation_masks, layer_of
from repro.models.networks import convnet, resnet50
from tests.helpers import plain


@pytest.fixture(autouse=True, scope="module")
def _narrow_to_any_number_of_units() -> Iterator[None]:
    """Small layers would else never be narrowed: the engine rounds to multiples of 16 units."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_rows, "_UNITS_STEP", 1)
        yield


def fills(rng: np.random.Generator, model: Any, kind: str) -> np.ndarray | list[np.ndarray] | None:
    """A fill of the given kind for all masks of the model, in the order of the engine's layout."""
    if kind == "zero":
        return None
    masks = {layer_of(mask): mask for mask in ablation_masks(model)}
    in_order = [masks[name] for name, _ in layout(model).layers]
    if kind == "per unit":
        return rng.normal(0.3, 0.8, sum(mask.n_units for mask in in_order))
    return [rng.normal(0.3, 0.8, mask.output.shape[1:]) for mask in in_order]


def layout(model: Any) -> Layout:
    shape = [size or 4 for size in model.input_shape[1:]]
    return Engine(model, np.zeros((1, *shape)), np.zeros(1, int)).layout


def assert_engine_equals_plain(
    model: Any,
    seed: int,
    fill: str = "per unit",
    n_images: int = 19,
    batch_size: int | None = None,
    image_shape: tuple[int, ...] | None = None,
) -> None:
    rng = np.random.default_rng(seed)
    plain.randomise(model, rng)
    images = rng.normal(size=(n_images, *(image_shape or model.input_shape[1:])))
    images = images.astype(np.float32)
    labels = rng.integers(0, model.output_shape[-1], n_images)
    engine = Engine(model, images, labels, batch_size=batch_size)
    plain.assert_evaluates(
        model,
        engine,
        images,
        labels,
        plain.lesions(rng, engine.layout.layers),
        fills(rng, model, fill),
        probabilities="softmax" in model.name,
    )


common = {
    "seed": st.integers(0, 2**31),
    "fill": st.sampled_from(["zero", "per unit", "per position"]),
    "n_images": st.integers(1, 23),
    "batch_size": st.sampled_from([None, 1, 4, 7, 50]),
}


def mask(name: str, per_position: bool = True) -> AblationMask:
    return AblationMask(fill_per_position=per_position, name=f"{name}_mask")


@settings(max_examples=5, deadline=None)
@given(
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    activation=st.sampled_from(["relu", "tanh", "gelu"]),
    batch_norm=st.sampled_from(["nowhere", "before", "after"]),
    dropout=st.booleans(),
    sequential=st.booleans(),
    softmax=st.booleans(),
    n_classes=st.integers(2, 8),
    **common,
)
def test_dense_networks(
    widths: list[int],
    activation: str,
    batch_norm: str,
    dropout: bool,
    sequential: bool,
    softmax: bool,
    n_classes: int,
    **given: Any,
) -> None:
    stack = [keras.Input((3, 2)), L.Flatten()]
    for depth, width in enumerate(widths):
        stack.append(L.Dense(width))
        stack += [L.BatchNormalization()] if batch_norm == "before" else []
        stack += [L.Activation(activation), mask(f"hidden_{depth}")]
        stack += [L.Dropout(0.5)] if dropout else []
        stack += [L.BatchNormalization()] if batch_norm == "after" else []
    stack.append(L.Dense(n_classes, activation="softmax" if softmax else None))
    model = keras.Sequential(stack, name="softmax" if softmax else "logits")
    if not sequential:
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    assert_engine_equals_plain(model, **given)


@st.composite
def convolutions(draw: Any) -> dict[str, Any]:
    """One convolution and what stands around it."""
    strides = draw(st.sampled_from([1, 1, 2]))
    return {
        "kernel": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "strides": strides,
        "dilation": draw(st.sampled_from([1, 1, 2])) if strides == 1 else 1,
        "padding": draw(st.sampled_from(["same", "valid"])),
        "bias": draw(st.booleans()),
        "batch_norm": draw(st.sampled_from(["nowhere", "before", "after"])),
        "activation": draw(st.sampled_from(["relu", "relu", "tanh", "sigmoid"])),
        "pool": draw(st.sampled_from(["none", "none", "max", "average"])),
        "dropout": draw(st.booleans()),
        "units": draw(st.integers(1, 7)),
    }


@settings(max_examples=5, deadline=None)
@given(
    stack=st.lists(convolutions(), min_size=1, max_size=3),
    head=st.sampled_from(["flatten", "average", "max", "dense"]),
    softmax=st.booleans(),
    **common,
)
def test_convolutional_networks(
    stack: list[dict[str, Any]], head: str, softmax: bool, **given: Any
) -> None:
    x = images = keras.Input((9, 8, 2))
    for depth, conv in enumerate(stack):
        small = min(x.shape[1:3]) <= 5
        x = L.Conv2D(
            conv["units"],
            conv["kernel"],
            strides=conv["strides"],
            dilation_rate=conv["dilation"],
            padding="same" if small else conv["padding"],
            use_bias=conv["bias"],
        )(x)
        x = L.BatchNormalization()(x) if conv["batch_norm"] == "before" else x
        x = mask(f"conv_{depth}")(L.Activation(conv["activation"])(x))
        x = L.SpatialDropout2D(0.5)(x) if conv["dropout"] else x
        x = L.BatchNormalization()(x) if conv["batch_norm"] == "after" else x
        if conv["pool"] != "none":
            pool = L.MaxPooling2D if conv["pool"] == "max" else L.AveragePooling2D
            x = pool(2, padding="same")(x)
    if head in ("average", "max"):
        x = L.GlobalAveragePooling2D()(x) if head == "average" else L.GlobalMaxPooling2D()(x)
    else:
        x = L.Flatten()(x)
    if head == "dense":
        x = mask("hidden")(L.Dense(6, activation="relu")(x))
    x = L.Dense(6, activation="softmax" if softmax else None)(x)
    model = keras.Model(images, x, name="softmax" if softmax else "logits")
    assert_engine_equals_plain(model, **given)


def _identity_block(x: Any, name: str) -> Any:
    inner = L.Conv2D(4, 1, use_bias=False)(x)
    inner = mask(f"{name}_inside")(L.ReLU()(L.BatchNormalization()(inner)))
    outer = L.BatchNormalization()(L.Conv2D(x.shape[-1], 3, padding="same")(inner))
    return mask(name)(L.ReLU()(L.Add()([outer, x])))


def _projection_block(x: Any, name: str) -> Any:
    outer = L.BatchNormalization()(L.Conv2D(5, 3, strides=2, padding="same", use_bias=False)(x))
    shortcut = L.BatchNormalization()(L.Conv2D(5, 1, strides=2, use_bias=False)(x))
    return mask(name)(L.ReLU()(L.Add()([outer, shortcut])))


def _branches(x: Any, name: str) -> Any:
    """Two parallel branches, one of them masked, joined with their input."""
    left = mask(f"{name}_left")(L.Conv2D(3, 3, padding="same", activation="relu")(x))
    right = L.Conv2D(2, 1, activation="tanh")(x)
    joined = L.Concatenate()([left, right, x])
    return mask(name)(L.Conv2D(4, 1, activation="relu")(joined))


def _depthwise(x: Any, name: str) -> Any:
    x = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="relu")(x)
    return mask(name)(x)


def _separable(x: Any, name: str) -> Any:
    return mask(name)(L.SeparableConv2D(4, 3, padding="same", activation="relu")(x))


def _layer_norm(x: Any, name: str) -> Any:
    return L.LayerNormalization()(mask(name)(L.Conv2D(4, 1, activation="gelu")(x)))


def _functions(x: Any, name: str) -> Any:
    """Operations used as functions, one reading the masked activation twice."""
    masked = mask(name)(L.Conv2D(x.shape[-1], 1, activation="relu")(x))
    return ops.relu(masked * 2 + x) - 0.5 * masked


def _squeeze_and_excite(x: Any, name: str) -> Any:
    x = mask(name)(L.Conv2D(4, 3, padding="same", activation="relu")(x))
    gate = L.GlobalAveragePooling2D(keepdims=True)(x)
    gate = mask(f"{name}_squeezed")(L.Dense(3, activation="relu")(gate))
    return L.Multiply()([x, L.Dense(4, activation="sigmoid")(gate)])


BLOCKS: list[Callable[[Any, str], Any]] = [
    _identity_block,
    _projection_block,
    _branches,
    _depthwise,
    _separable,
    _layer_norm,
    _functions,
    _squeeze_and_excite,
]


@settings(max_examples=3, deadline=None)
@given(blocks=st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=3), **common)
def test_networks_of_blocks(blocks: list[Callable[[Any, str], Any]], **given: Any) -> None:
    x = images = keras.Input((6, 5, 3))
    for depth, block in enumerate(blocks):
        x = block(x, f"block_{depth}")
    x = L.Dense(6)(L.GlobalAveragePooling2D()(x))
    assert_engine_equals_plain(keras.Model(images, x), **given)


def test_all_blocks_in_one_network() -> None:
    x = images = keras.Input((6, 5, 3))
    for depth, block in enumerate(BLOCKS):
        x = block(x, f"block_{depth}")
    model = keras.Model(images, L.Dense(6)(L.Flatten()(x)))
    assert_engine_equals_plain(model, seed=5, fill="per position", batch_size=7)


def conv(x: Any, name: str, units: int = 5, size: int = 3, **options: Any) -> Any:
    options = {"padding": "same", "activation": "relu"} | options
    return mask(name, per_position=False)(L.Conv2D(units, size, **options)(x))


def dense(x: Any, name: str, units: int = 5, activation: Any = "relu") -> Any:
    return mask(name, per_position=False)(L.Dense(units, activation=activation)(x))


def logits(x: Any) -> Any:
    return L.Dense(4)(L.Flatten()(x))


HARD: dict[str, Callable[[Any], Any]] = {
    "a max pool reads the mask": lambda x: logits(conv(L.MaxPooling2D()(conv(x, "a")), "b")),
    "an average pool that counts no padding reads the mask": lambda x: logits(
        conv(L.AveragePooling2D(3, 2, padding="same")(conv(x, "a")), "b")
    ),
    "zeros are padded around a fill": lambda x: logits(conv(L.ZeroPadding2D()(conv(x, "a")), "b")),
    "a sigmoid of the fill is not the fill": lambda x: logits(
        conv(L.Activation("sigmoid")(conv(x, "a")), "b")
    ),
    "two masks with a pool between": lambda x: logits(
        mask("b", False)(L.MaxPooling2D()(conv(x, "a")))
    ),
    "the mask's reader is also read elsewhere": lambda x: (
        lambda masked: logits(
            L.Add()([L.MaxPooling2D()(masked), L.Conv2D(5, 2, strides=2)(masked)])
        )
    )(conv(x, "a")),
    "a mask on the logits": lambda x: mask("b", False)(logits(conv(x, "a"))),
    "a mask on the images": lambda x: logits(conv(mask("a", False)(x), "b")),
    "a layer applied twice": lambda x: (
        lambda shared: logits(mask("b", False)(shared(mask("a", False)(shared(x)))))
    )(L.Conv2D(2, 3, padding="same", activation="relu")),
    "masks of another order than the branches": lambda x: logits(
        L.Concatenate()([conv(conv(x, "deep_1"), "deep_2"), conv(x, "shallow"), dense(x, "middle")])
    ),
    "a dilated convolution": lambda x: logits(conv(conv(x, "a"), "b", dilation_rate=2)),
    "BatchNorm over another axis": lambda x: logits(
        mask("b", False)(L.BatchNormalization(axis=1)(L.Conv2D(5, 3)(conv(x, "a"))))
    ),
    "feature maps and vectors are both masked": lambda x: L.Dense(4)(
        dense(L.Flatten()(conv(x, "a")), "b")
    ),
    "a nested model": lambda x: L.Dense(4)(
        dense(
            keras.Sequential([L.Dense(6, "relu"), L.Dropout(0.5), L.BatchNormalization()])(
                L.Flatten()(conv(x, "a"))
            ),
            "b",
        )
    ),
    "a bounded ReLU is no ReLU": lambda x: L.Dense(4)(
        mask("b", False)(L.ReLU(max_value=0.5)(L.Dense(6)(dense(L.Flatten()(x), "a"))))
    ),
    "logits called softmax": lambda x: L.Dense(4, name="softmax")(dense(L.Flatten()(x), "a")),
    "the second hidden layer also reads the images": lambda x: L.Dense(4)(
        dense(L.Concatenate()([dense(L.Flatten()(x), "a"), L.Flatten()(x)]), "b")
    ),
}


@pytest.mark.parametrize("network", HARD)
def test_hard_networks(network: str) -> None:
    images = keras.Input((6, 6, 2))
    model = keras.Model(images, HARD[network](images))
    assert_engine_equals_plain(model, seed=11, fill="per unit")


@pytest.mark.parametrize(
    "ending",
    [
        L.Softmax(name="probabilities"),
        L.Softmax(axis=1),
        L.Activation("softmax"),
        lambda x: ops.softmax(x),
        lambda x: L.Activation("softmax", dtype="float32")(L.Dropout(0.5)(x)),
    ],
)
def test_every_way_to_end_in_a_softmax(ending: Any) -> None:
    images = keras.Input((4,))
    x = dense(images, "a", 6)
    model = keras.Model(images, ending(L.Dense(4)(x)))
    rng = np.random.default_rng(3)
    images, labels = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(0, 4, 30)
    keep = rng.random((2, 6)) > 0.5
    plain.assert_evaluates(
        model, Engine(model, images, labels), images, labels, keep, probabilities=True
    )


def test_images_of_any_size() -> None:
    images = keras.Input((None, None, 2))
    x = conv(conv(images, "a"), "b")
    model = keras.Model(images, L.Dense(4)(L.GlobalAveragePooling2D()(x)))
    assert_engine_equals_plain(model, seed=4, image_shape=(5, 7, 2))


def test_sequences() -> None:
    x = images = keras.Input((9, 2))
    for name in "ab":
        x = mask(name)(L.Conv1D(5, 3, activation="relu")(x))
    assert_engine_equals_plain(keras.Model(images, logits(x)), seed=4, fill="per position")


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_papers_convnet(batch_norm: bool) -> None:
    model = convnet((16, 16, 3), 7, width=1 / 16, batch_norm=batch_norm)
    assert_engine_equals_plain(model, seed=1, n_images=11, batch_size=4)


@pytest.mark.parametrize("inside", [False, True])
def test_resnet50(inside: bool) -> None:
    model = resnet50((32, 32, 3), 7, width=1 / 32, mask_inside_blocks=inside)
    rng = np.random.default_rng(2)
    plain.randomise(model, rng)
    images = rng.normal(size=(9, 32, 32, 3)).astype(np.float32)
    labels = rng.integers(0, 7, 9)
    engine = Engine(model, images, labels, batch_size=4)
    n_units = engine.layout.n_units
    last = np.concatenate([engine.layout.units(f"stage_4_block_{block}") for block in (1, 2, 3)])
    keep = np.ones((5, n_units), bool)
    keep[0] = False
    keep[1, last[-1]] = False
    keep[2, last] = rng.random(len(last)) > 0.5
    keep[3] = rng.random(n_units) > 0.3
    if inside:
        keep[4, engine.layout.units("stage_3_block_2_b")[1]] = False
    plain.assert_evaluates(model, engine, images, labels, keep, rng.normal(0.3, 0.5, n_units))
