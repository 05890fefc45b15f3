"""What the trace of a model finds: nodes, what is folded into what, and how units are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers as L
from keras import ops

from repro.engine.network import Convolution, Flattened, Linear, Network, Pooled, trace
from repro.models.masking import AblationMask
from repro.models.networks import convnet, mlp, resnet50
from tests.helpers import plain


def forward(network: Network, images: np.ndarray) -> np.ndarray:
    """The nodes one after another, as they are written down."""
    values: dict[int, Any] = {network.image: images}
    for node in network.nodes:
        x = [values[tensor] for tensor in node.inputs]
        if node.linear is not None:
            results = [node.linear(x[0], node.linear.kernel, node.linear.bias)]
        else:
            results = x if node.call is None else node.call(x)
        for tensor, shape, value in zip(node.outputs, node.shapes, results, strict=True):
            assert tuple(value.shape[1:]) == shape
            values[tensor] = value
    return ops.convert_to_numpy(values[network.logits])


def images_for(model: Any, n_images: int = 5) -> np.ndarray:
    values = np.random.default_rng(1)
    return values.normal(size=(n_images, *model.input_shape[1:])).astype(np.float32)


@pytest.mark.parametrize(
    "model",
    [
        mlp((4, 4), 3, (6, 5)),
        convnet((16, 16, 3), 4, width=1 / 16),
        resnet50((32, 32, 3), 4, width=1 / 32),
        keras.Sequential([keras.Input((4,)), L.Dense(5, "relu"), AblationMask(), L.Dense(3)]),
    ],
    ids=["mlp", "convnet", "resnet50", "sequential"],
)
def test_nodes_one_after_another_are_the_model(model: Any) -> None:
    plain.randomise(model, np.random.default_rng(2))
    images = images_for(model)
    # Folding BatchNorm changes roundings only.
    expected = model.predict_on_batch(images)
    np.testing.assert_allclose(forward(trace(model), images), expected, rtol=1e-4, atol=1e-4)


def test_batch_norm_is_folded_and_dropout_gone() -> None:
    x = images = keras.Input((6, 6, 2))
    x = L.BatchNormalization()(L.Conv2D(4, 3, use_bias=False)(x))
    x = AblationMask(name="a_mask")(L.Dropout(0.5)(L.ReLU()(x)))
    model = keras.Model(images, L.Dense(3)(L.Dropout(0.5)(L.Flatten()(x))))
    network = trace(model)
    kinds = [type(node.linear) for node in network.nodes]
    assert kinds == [Convolution, type(None), type(None), Flattened]
    assert [node.mask for node in network.nodes] == [None, None, 0, None]


def test_batch_norm_behind_an_activation_or_a_mask_stays() -> None:
    x = images = keras.Input((5,))
    x = L.BatchNormalization()(L.Dense(4, activation="relu")(x))
    x = L.BatchNormalization()(AblationMask(name="a_mask")(x))
    network = trace(keras.Model(images, L.Dense(3)(x)))
    assert len(network.nodes) == 6


def test_what_two_nodes_read_is_not_folded() -> None:
    x = images = keras.Input((6, 6, 2))
    read_twice = L.Conv2D(4, 3)(AblationMask(name="a_mask")(x))
    x = L.Add()([L.BatchNormalization()(read_twice), read_twice])
    pooled = L.GlobalAveragePooling2D()(x)
    model = keras.Model(images, L.Add()([L.Dense(4)(pooled), pooled]))
    network = trace(model)
    kinds = [type(node.linear) for node in network.nodes if node.linear]
    assert kinds == [Convolution, Linear]
    plain.randomise(model, np.random.default_rng(3))
    images_ = images_for(model)
    np.testing.assert_allclose(
        forward(trace(model), images_), model.predict_on_batch(images_), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("ending", "probabilities"),
    [
        (L.Softmax(), True),
        (L.Softmax(axis=1), True),
        (L.Activation("softmax"), True),
        (L.Dense(3, activation="softmax"), True),
        (lambda x: ops.softmax(x), True),
        (L.Activation("log_softmax"), False),
        (L.Dense(3, name="softmax"), False),
    ],
)
def test_a_final_softmax_is_known_and_left_out(ending: Any, probabilities: bool) -> None:
    images = keras.Input((5,))
    model = keras.Model(images, ending(AblationMask(name="a_mask")(L.Dense(3)(images))))
    network = trace(model)
    assert network.probabilities == probabilities
    found = forward(network, images_for(model))
    found = ops.convert_to_numpy(ops.softmax(found)) if probabilities else found
    np.testing.assert_allclose(found, model.predict_on_batch(images_for(model)), rtol=1e-5)


def test_a_softmax_on_the_way_stays() -> None:
    images = keras.Input((5,))
    x = AblationMask(name="a_mask")(L.Softmax()(L.Dense(4)(images)))
    assert not trace(keras.Model(images, L.Dense(3)(x))).probabilities


def test_what_a_lesion_reaches_and_what_all_share() -> None:
    """Two branches: a lesion on the right leaves the left alone, which is then shared."""
    images = keras.Input((5,))
    left = AblationMask(name="left_mask")(L.Dense(3)(images))
    right = AblationMask(name="right_mask")(L.Dense(2)(images))
    x = L.Concatenate(name="joined")([left, right])
    network = trace(keras.Model(images, L.Dense(3, name="logits")(x)))
    number = next(node.mask for node in network.masks if node.name == "right_mask")
    reached = network.downstream([number])
    assert [node.name for node in reached] == ["right_mask", "joined", "logits"]
    shared = network.frontier(reached)
    left_mask = next(node for node in network.masks if node.name == "left_mask")
    assert set(shared) == {reached[0].inputs[0], left_mask.outputs[0]}
    assert network.reader(left_mask.outputs[0]).name == "joined"
    # The images have two readers, and so no single one.
    assert network.reader(network.image) is None
    assert network.writer(network.image) is None


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: keras.Model(a := keras.Input((2,)), [m := AblationMask()(a), L.Dense(2)(m)]),
            "one output, got 2; name one of them with output=",
        ),
        (
            lambda: (lambda a, shared: keras.Model(a, shared(L.Dense(2)(shared(a)))))(
                keras.Input((2,)), AblationMask(name="twice_mask")
            ),
            "twice_mask is applied 2 times",
        ),
    ],
)
def test_a_model_that_the_engine_cannot_read_is_refused(build: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        trace(build())


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.integers(1, 2),
    padding=st.sampled_from(["same", "valid"]),
    seed=st.integers(0, 2**31),
)
def test_a_unit_that_changes_moves_a_convolution_by_its_taps(
    size: tuple[int, int], strides: tuple[int, int], dilation: int, padding: str, seed: int
) -> None:
    """conv(x + delta in unit u) - conv(x) = taps(delta) @ kernel[:, u]: the linear update."""
    rng = np.random.default_rng(seed)
    strides = (1, 1) if dilation > 1 else strides  # Keras takes one or the other
    kernel = rng.normal(size=(size[0] * size[1], 3, 4)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    linear = Convolution(kernel, bias, size, strides, padding, (dilation, dilation))
    assert_update(linear, rng.normal(size=(5, 7, 6, 3)), rng)


@pytest.mark.parametrize(
    ("linear", "shape"),
    [
        (lambda k, b: Linear(k(1, 3, 4), b), (5, 3)),
        (lambda k, b: Linear(k(1, 3, 4), b), (5, 2, 6, 3)),
        (lambda k, b: Pooled(k(1, 3, 4), b), (5, 2, 6, 3)),
        (lambda k, b: Flattened(k(12, 3, 4), b), (5, 2, 6, 3)),
    ],
    ids=["dense", "dense on maps", "pooled", "flattened"],
)
def test_a_unit_that_changes_moves_a_dense_layer_by_its_taps(
    linear: Any, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    def kernel(*size: int) -> np.ndarray:
        return rng.normal(size=size).astype(np.float32)

    assert_update(linear(kernel, kernel(4)), rng.normal(size=shape), rng)


def assert_update(linear: Linear, x: np.ndarray, rng: np.random.Generator) -> None:
    x = x.astype(np.float32)
    for unit in range(3):
        change = rng.normal(size=x.shape[:-1]).astype(np.float32)
        changed = x.copy()
        changed[..., unit] += change
        before, after = (
            ops.convert_to_numpy(linear(each, linear.kernel, linear.bias)) for each in (x, changed)
        )
        taps = ops.convert_to_numpy(linear.taps(change))
        step = (taps @ linear.kernel[:, unit]).reshape(before.shape)
        np.testing.assert_allclose(before + step, after, rtol=1e-4, atol=1e-4)


def test_a_compiled_graph_holds_no_copy_of_a_large_kernel(rng: np.random.Generator) -> None:
    tf = pytest.importorskip("tensorflow")
    kernel = rng.normal(size=(1, 128, 256)).astype(np.float32)
    linear = Linear(kernel, np.zeros(256, np.float32))

    def size(weights: Callable[[], Any]) -> int:
        graph = tf.function(lambda x: linear(x, weights(), linear.bias)).get_concrete_function(
            tf.TensorSpec((None, 128), tf.float32)
        )
        np.testing.assert_allclose(
            graph(np.eye(128, dtype=np.float32)), kernel[0], rtol=1e-6, atol=1e-6
        )
        return graph.graph.as_graph_def().ByteSize()

    assert size(lambda: linear.weights) < kernel.nbytes / 10  # read while the graph is traced
    assert size(lambda: linear.kernel) > kernel.nbytes  # the measure sees a copy
    assert linear.weights is linear.weights
