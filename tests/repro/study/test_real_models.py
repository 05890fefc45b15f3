"""Architectures that people use: masked, lesioned by the engine, and compared with plain Keras.

The reference knows neither masks nor the engine: the original model is built again by Keras with
one layer's output multiplied by zeros and ones. What the engine cannot answer exactly it refuses,
in a sentence.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tests.helpers import jax_child

N_IMAGES, N_CLASSES = 8, 7
Lesion = tuple[str, int]


def vgg16() -> Any:
    import keras

    return keras.applications.VGG16(
        weights=None, input_shape=(32, 32, 3), classes=N_CLASSES, classifier_activation="softmax"
    )


def resnet50() -> Any:
    import keras

    return keras.applications.ResNet50(
        weights=None, input_shape=(32, 32, 3), classes=N_CLASSES, classifier_activation=None
    )


def mobilenet_v2() -> Any:
    import keras

    return keras.applications.MobileNetV2(
        weights=None, input_shape=(32, 32, 3), classes=N_CLASSES, alpha=0.35
    )


def densenet121() -> Any:
    import keras

    return keras.applications.DenseNet121(
        weights=None, input_shape=(32, 32, 3), classes=N_CLASSES, classifier_activation=None
    )


def efficientnet_v2() -> Any:
    import keras

    return keras.applications.EfficientNetV2B0(
        weights=None, input_shape=(32, 32, 3), classes=N_CLASSES, classifier_activation=None
    )


def convnext() -> Any:
    import keras

    return keras.applications.ConvNeXtTiny(
        weights=None, input_shape=(32, 32, 3), classes=N_CLASSES, classifier_activation=None
    )


def transformer() -> Any:
    """A small vision transformer: 16 patches, two blocks, the mean of the tokens."""
    import keras
    from keras import layers as L

    x = images = keras.Input((16, 16, 3))
    x = L.Reshape((16, 12))(L.Conv2D(12, 4, strides=4)(x))
    for block in ("one", "two"):
        normal = L.LayerNormalization()(x)
        x = L.Add()([x, L.MultiHeadAttention(3, 4, dropout=0.1)(normal, normal)])
        y = L.Dense(24, "gelu", name=f"{block}_gelu")(L.LayerNormalization()(x))
        x = L.Add()([x, L.Dropout(0.1)(L.Dense(12)(y))])
    x = L.GlobalAveragePooling1D()(L.LayerNormalization()(x))
    return keras.Model(images, L.Dense(N_CLASSES, "softmax")(x))


def mixed_precision(kind: str) -> Any:
    """Convolutions in half precision and an answer in float32, as Keras's guide has it."""
    import keras
    from keras import layers as L

    mixed = {"dtype": f"mixed_{kind}"}
    x = images = keras.Input((12, 12, 3))
    for depth in (1, 2):
        x = L.Conv2D(8, 3, **mixed)(x)
        x = L.ReLU(name=f"relu_{depth}", **mixed)(L.BatchNormalization(**mixed)(x))
    x = L.Dense(9, "relu", name="dense", **mixed)(L.Flatten(dtype=kind)(x))
    return keras.Model(images, L.Dense(N_CLASSES, "softmax", dtype="float32", name="answer")(x))


def channels_first() -> Any:
    import keras
    from keras import layers as L

    x = images = keras.Input((3, 12, 12))
    for depth in (1, 2):
        # TensorFlow on a processor has no channels-first Conv2D; this one Keras turns around.
        x = L.SeparableConv2D(6, 3, data_format="channels_first")(x)
        x = L.ReLU(name=f"relu_{depth}")(L.BatchNormalization(axis=1)(x))
    x = L.GlobalAveragePooling2D(data_format="channels_first")(x)
    x = L.Dense(5, "relu", name="dense")(x)
    return keras.Model(images, L.Dense(N_CLASSES, name="answer")(x), name="channels_first")


def bytes_as_input() -> Any:
    """Images as integers, scaled and normalised within the model."""
    import keras
    from keras import layers as L

    x = images = keras.Input((8, 8, 3), dtype="uint8")
    x = L.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])(L.Rescaling(1 / 255)(x))
    x = L.Conv2D(6, 3, activation="relu", name="conv")(x)
    return keras.Model(images, L.Dense(N_CLASSES)(L.Flatten()(x)))


# For each model some layers to lesion: early and late ones, masks that a shortcut passes by
# (conv5_block1_1_relu), that a dense block reads again and again, and those of a gate.
MODELS: dict[str, tuple[Callable[[], Any], Sequence[str]]] = {
    "VGG16": (vgg16, ["block1_conv1", "block5_conv3", "fc1"]),
    "ResNet50": (resnet50, ["conv1_relu", "conv5_block1_1_relu", "conv5_block1_out"]),
    "MobileNetV2": (mobilenet_v2, ["Conv1_relu", "block_12_expand_relu", "out_relu"]),
    "DenseNet121": (densenet121, ["conv1_relu", "conv5_block14_1_relu"]),
    "EfficientNetV2B0": (efficientnet_v2, ["block5a_se_expand", "top_activation"]),
    "ConvNeXtTiny": (
        convnext,
        ["convnext_tiny_stage_0_block_0_gelu", "convnext_tiny_stage_3_block_1_gelu"],
    ),
    "transformer": (transformer, ["one_gelu", "two_gelu"]),
    "bfloat16": (lambda: mixed_precision("bfloat16"), ["relu_1", "relu_2", "dense"]),
    "float16": (lambda: mixed_precision("float16"), ["relu_1", "relu_2", "dense"]),
    "channels first": (channels_first, ["relu_1", "relu_2", "dense"]),
    "bytes as input": (bytes_as_input, ["conv"]),
}
# What `insert_masks` finds in each.
N_MASKS = {
    "VGG16": 15,
    "ResNet50": 49,
    "MobileNetV2": 35,
    "DenseNet121": 121,
    "EfficientNetV2B0": 71,
    "ConvNeXtTiny": 18,
    "transformer": 2,
    "bfloat16": 3,
    "float16": 3,
    "channels first": 3,
    "bytes as input": 1,
}
# Relative differences of the loss, by the coarsest type: twice what was seen. Summation order
# causes them in float32; in the other types the last layer's input was rounded to 11 or 8 bits.
TOLERANCES = {"float32": 1e-5, "float16": 1e-3, "bfloat16": 3e-3}


def images_for(model: Any) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    images = rng.uniform(0, 255, (N_IMAGES, *model.input_shape[1:]))
    scaled = images if model.input.dtype == "uint8" else images / 255
    return scaled.astype(np.float32), rng.integers(0, N_CLASSES, N_IMAGES).astype(np.int32)


def units_axis(model: Any, rank: int) -> int:
    return 1 if model.name == "channels_first" and rank > 2 else rank - 1


def most_active(model: Any, images: np.ndarray, layer: str) -> Lesion:
    """The layer's unit with the largest mean absolute output, whose lesion shows."""
    import keras

    found = output(keras.Model(model.inputs[0], model.get_layer(layer).output), images)
    axis = units_axis(model, found.ndim)
    per_unit = np.abs(found.astype(np.float32)).mean(
        tuple(i for i in range(found.ndim) if i != axis)
    )
    return layer, int(per_unit.argmax())


def most_telling(
    model: Any, images: np.ndarray, labels: np.ndarray, layer: str, n_units: int
) -> Lesion:
    """The layer's unit whose lesion changes the loss most, by the reference."""
    lesions = [(layer, unit) for unit in range(n_units)]
    losses = [of_plain_keras(model, images, labels, lesion).loss_sum for lesion in lesions]
    # A unit that is never active leaves the loss as it is.
    return lesions[int(np.abs(np.array(losses) - np.median(losses)).argmax())]


def zeroed(model: Any, lesion: Lesion) -> Any:
    """The model with one unit of a layer multiplied by zero, by Keras alone."""
    import keras

    layer, unit = lesion

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        x = operation(*args, **kwargs)
        if operation.name != layer:
            return x
        axis = units_axis(model, len(x.shape))
        keep = np.ones([x.shape[axis] if i == axis else 1 for i in range(len(x.shape))])
        keep[tuple(unit if i == axis else 0 for i in range(len(x.shape)))] = 0
        return x * keras.ops.convert_to_tensor(keep, x.dtype)

    return keras.models.clone_model(
        model, clone_function=lambda operation: operation, call_function=call
    )


def output(model: Any, images: np.ndarray) -> np.ndarray:
    from keras import ops

    return np.asarray(ops.convert_to_numpy(model(images, training=False)))


def of_plain_keras(model: Any, images: np.ndarray, labels: np.ndarray, lesion: Lesion) -> Any:
    """Counts of the lesioned model by the reference."""
    from tests.helpers import plain

    answers = output(zeroed(model, lesion), images).astype(np.float32)
    return plain.counts(answers, labels, probabilities=ends_in_softmax(model))


def ends_in_softmax(model: Any) -> bool:
    import keras

    return getattr(model.layers[-1], "activation", None) is keras.activations.softmax


def assert_lesions_equal(
    model: Any, images: np.ndarray, labels: np.ndarray, layers: Sequence[str]
) -> None:
    """Masks into the model, two units of each layer through the engine, and each against the
    reference: the most active unit, or the most telling one, which must show, and another one."""
    import repro
    from tests.helpers import plain

    masked = repro.insert_masks(model, layers)
    engine = repro.Engine(masked, images, labels)
    sizes, precision = dict(engine.layout.layers), engine.network.precision
    telling = [
        most_active(model, images, layer)
        if precision == "float32"
        else most_telling(model, images, labels, layer, sizes[layer])
        for layer in layers
    ]
    others = [(layer, (unit + sizes[layer] // 2) % sizes[layer]) for layer, unit in telling]
    units = [int(engine.layout.units(layer)[unit]) for layer, unit in telling + others]
    outcome, intact = engine.single_units(units=np.array(units)), engine.intact().loss_sum
    tolerance = TOLERANCES[precision]
    for row, lesion in enumerate(telling + others):
        expected = of_plain_keras(model, images, labels, lesion)
        if lesion in telling:
            assert abs(expected.loss_sum - intact) > 10 * tolerance * abs(intact), lesion
        if precision == "float32":
            plain.assert_lesion_equals(outcome, row, expected)
        else:
            np.testing.assert_allclose(outcome.loss_sum[row], expected.loss_sum, rtol=tolerance)
            away = np.abs(outcome.n_correct[row] - expected.n_correct).sum()
            assert away <= outcome.n_tied[row]


def randomised(name: str, model: Any) -> None:
    """Weights drawn anew, of a size that lets a signal through.

    EfficientNet keeps Keras's kernels, and has biases and statistics drawn anew: with larger
    kernels so many gates amplify rounding that Keras itself answers 5e-4 apart, eager and compiled.
    """
    import keras

    from tests.helpers import plain

    rng = np.random.default_rng(5)
    kernels = [
        (weight, keras.ops.convert_to_numpy(weight))
        for weight in model.weights
        if weight.path.endswith("kernel")
    ]
    plain.randomise(model, rng)
    if name == "EfficientNetV2B0":
        for weight, values in kernels:
            weight.assign(values)
        return
    for layer in model.layers:
        if type(layer).__name__ == "LayerScale":  # 1e-6 at first
            layer.gamma.assign(np.ones(layer.gamma.shape))
        if type(layer) is keras.layers.DepthwiseConv2D:  # each output has one input
            fan_in = np.prod(layer.kernel.shape[:2])
            layer.kernel.assign(rng.normal(0, np.sqrt(2 / fan_in), layer.kernel.shape))


def check(name: str, layers: Sequence[str] = ()) -> None:
    """One of the models, masked and lesioned, on the backend of this process.

    Args:
        layers: to lesion; () for those of `MODELS`.
    """
    import keras

    import repro

    build, usual = MODELS[name]
    keras.utils.set_random_seed(5)
    model = build()
    randomised(name, model)
    images, labels = images_for(model)
    masked = repro.insert_masks(model)
    assert len(repro.ablation_masks(masked)) == N_MASKS[name]
    np.testing.assert_array_equal(output(masked, images), output(model, images))
    assert_lesions_equal(model, images, labels, layers or usual)


@pytest.mark.parametrize("name", MODELS)
def test_masked_it_answers_as_before_and_lesioned_as_plain_keras_does(name: str) -> None:
    check(name)


# Not the bytes: on JAX, Keras's Normalization asks for TensorFlow.
ON_JAX: dict[str, Sequence[str]] = {
    "transformer": (),
    "bfloat16": (),
    "channels first": (),
}


def test_so_it_is_on_jax() -> None:
    printed = jax_child.run("tests.repro.study.test_real_models", *ON_JAX)
    assert printed.split("\n")[:-1] == [f"jax: {name}" for name in ON_JAX]


def test_nested_and_shared_layers_are_lesioned_one_by_one() -> None:
    """A nested model called twice: each call has a mask of its own. The reference is written out,
    layer by layer."""
    import keras
    from keras import layers as L
    from keras import ops

    import repro
    from tests.helpers import plain

    first, end = L.Conv2D(4, 1, activation="tanh", name="first"), L.Dense(N_CLASSES)
    conv = L.Conv2D(4, 3, padding="same")
    inner = keras.Sequential([keras.Input((6, 6, 4)), conv, L.ReLU(name="relu")], name="inner")
    images = keras.Input((6, 6, 3))
    model = keras.Model(images, end(L.Flatten()(inner(inner(first(images))))))
    plain.randomise(model, np.random.default_rng(6))
    given, labels = images_for(model)
    engine = repro.Engine(repro.insert_masks(model), given, labels)
    names = ["first", "relu", "relu_call_2"]
    assert engine.layout.layers == tuple((name, 4) for name in names)
    outcome = engine.single_units()

    def written_out(silent: str, unit: int) -> np.ndarray:
        def lesioned(x: Any, name: str) -> Any:
            return x * (np.arange(4) != unit) if name == silent else x

        x = lesioned(first(given), "first")
        for name in names[1:]:
            x = lesioned(ops.relu(conv(x)), name)
        return np.asarray(end(ops.reshape(x, (len(given), -1))))

    losses = set()
    for layer in names:
        for unit in range(4):
            expected = plain.counts(written_out(layer, unit), labels)
            plain.assert_lesion_equals(outcome, engine.layout.units(layer)[unit], expected)
            losses.add(round(expected.loss_sum, 4))
    assert len(losses) == 12


def test_of_two_inputs_each_is_lesioned_by_itself() -> None:
    """Masks and plain predictions. Both branches share a layer, and the reference is written out in
    NumPy."""
    import keras
    from keras import layers as L

    import repro
    from tests.helpers import plain

    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    shared = L.Dense(4, "relu", name="shared")
    joined = L.Concatenate()([shared(a), L.Dense(2, "tanh", name="own")(b), shared(b)])
    model = keras.Model([a, b], L.Dense(N_CLASSES, name="answer")(joined))
    plain.randomise(model, np.random.default_rng(6))
    masked = repro.insert_masks(model)
    given = np.random.default_rng(2).normal(size=(2, 5, 3)).astype(np.float32)
    (kernel, bias), own, answer = (
        model.get_layer(name).get_weights() for name in ("shared", "own", "answer")
    )
    hidden = {
        "shared": np.maximum(given[0] @ kernel + bias, 0),
        "own": np.tanh(given[1] @ own[0] + own[1]),
        "shared_call_2": np.maximum(given[1] @ kernel + bias, 0),
    }
    for layer, activation in hidden.items():
        unit = int(np.abs(activation).mean(axis=0).argmax())
        repro.ablate(masked, {layer: [unit]})
        clamped = activation * (np.arange(activation.shape[1]) != unit)
        expected = np.concatenate(list((hidden | {layer: clamped}).values()), axis=1) @ answer[0]
        found = masked.predict([given[0], given[1]], verbose=0)
        np.testing.assert_allclose(found, expected + answer[1], rtol=1e-5, atol=1e-5)
        repro.restore(masked)
        assert np.abs(found - masked.predict([given[0], given[1]], verbose=0)).max() > 0.01


# --- What the engine refuses ------------------------------------------------------------------


def refused(kind: str) -> Any:
    """A model with a masked layer that the engine cannot follow."""
    import keras
    from keras import layers as L
    from keras import ops

    import repro

    class Noisy(L.Layer):
        def call(self, x: Any) -> Any:
            return x + 0.01 * keras.random.normal(ops.shape(x))

    class MonteCarlo(L.Dropout):
        def call(self, x: Any, training: bool = False) -> Any:
            return super().call(x, training=True)

    def hidden(x: Any) -> Any:
        return repro.AblationMask(name="hidden_mask")(L.Dense(6, "relu", name="hidden")(x))

    def ends_in(*layers: Any) -> Any:
        x = images = keras.Input((4,))
        x = hidden(x)
        for layer in layers:
            x = layer(x)
        return keras.Model(images, x)

    def padded() -> Any:
        words = keras.Input((4,))
        x = L.Embedding(5, 3, mask_zero=True)(words)
        return keras.Model(words, L.Dense(3)(L.LSTM(4)(hidden(x))))

    def of_eight() -> Any:
        images = keras.Input(batch_shape=(8, 4))
        return keras.Model(images, L.Dense(3)(hidden(images)))

    def ensemble(x: Any) -> Any:
        return L.Average()([L.Dense(3, "softmax")(x), L.Dense(3, "softmax")(x)])

    builds: dict[str, Callable[[], Any]] = {
        "maps as output": lambda: ends_in(L.Reshape((2, 3)), L.Dense(3)),
        "one number": lambda: ends_in(L.Dense(1)),
        "sigmoids": lambda: ends_in(L.Dense(3, "sigmoid")),
        "sigmoids by name": lambda: ends_in(L.Dense(3), ops.sigmoid),
        "softmax within": lambda: ends_in(
            L.Reshape((1, 6)), L.Dense(3, "softmax"), L.GlobalAveragePooling1D()
        ),
        "softmax behind a mask": lambda: ends_in(
            L.Dense(3, "softmax"), repro.AblationMask(name="last_mask")
        ),
        "ensemble": lambda: ends_in(ensemble),
        "norm in training": lambda: ends_in(
            lambda x: L.BatchNormalization(name="norm")(x, training=True), L.Dense(3)
        ),
        "dropout in training": lambda: ends_in(
            lambda x: L.Dropout(0.5, name="drop")(x, training=True), L.Dense(3)
        ),
        "nested in training": lambda: ends_in(
            lambda x: keras.Sequential([L.Dropout(0.5, name="drop")])(x, training=True), L.Dense(3)
        ),
        "padding": padded,
        "fixed batch": of_eight,
        "noise": lambda: ends_in(Noisy(name="noisy"), L.Dense(3)),
        "dropout of one's own": lambda: ends_in(MonteCarlo(0.5, name="mc"), L.Dense(3)),
        "images mixed": lambda: ends_in(lambda x: x + ops.flip(x, axis=0), L.Dense(3)),
        "mean over images": lambda: ends_in(lambda x: x - ops.mean(x, 0, True), L.Dense(3)),
        "images in pieces": lambda: ends_in(
            lambda x: ops.reshape(x, (-1, 3)),
            lambda x: repro.AblationMask(name="pieces_mask")(ops.relu(x)),
            lambda x: ops.reshape(x, (-1, 6)),
            L.Dense(3),
        ),
    }
    return builds[kind]()


REFUSALS = {
    "maps as output": "no task can be told; give score=",
    "padding": "masks time steps.*pad without masking",
    "fixed batch": "batches of 8 images and no others",
    "noise": "depends on chance, which comes from one of noisy",
    "dropout of one's own": "depends on chance, which comes from one of mc",
    "images mixed": "depends on the other images of its batch, which comes from one of flip",
    "mean over images": r"has shape \(1, 6\), not one row an image",
    "images in pieces": "the axis of images first throughout the model",
}


ANSWERED = {
    "one number": "binary_crossentropy",
    "sigmoids": "sparse_categorical_crossentropy",
    "sigmoids by name": "sparse_categorical_crossentropy",
    "softmax within": "sparse_categorical_crossentropy",
    "softmax behind a mask": "sparse_categorical_crossentropy",
    "ensemble": "sparse_categorical_crossentropy",
    "norm in training": "logits",
    "dropout in training": "logits",
    "nested in training": "logits",
}


@pytest.mark.parametrize("kind", ANSWERED)
def test_what_evaluate_answers_the_engine_answers(kind: str) -> None:
    """Heads that are no plain softmax, and layers that were called in training mode, which
    `model.evaluate` overrules."""
    import keras

    import repro

    model = refused(kind)
    images = np.random.default_rng(3).normal(size=(24, 4)).astype(np.float32)
    labels = np.arange(24) % (2 if kind == "one number" else 3)
    loss: Any = ANSWERED[kind]
    if loss == "logits":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if kind == "one number":
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
    found = repro.Engine(model, images, labels).intact()
    model.compile(loss=loss)
    assert float(found.loss) == pytest.approx(model.evaluate(images, labels, verbose=0), rel=1e-5)


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_the_engine_cannot_follow_is_refused_in_a_sentence(kind: str) -> None:
    import repro

    model = refused(kind)
    n_classes = 3
    images = np.random.default_rng(3).uniform(0, 4, (8, 4)).astype(np.float32)
    with pytest.raises(ValueError, match=REFUSALS[kind]) as caught:
        repro.Engine(model, images, np.arange(8) % n_classes)
    assert "\n" not in str(caught.value)


def test_operations_that_take_image_by_image_are_not_refused() -> None:
    """The same kinds of operations as above, used harmlessly: tried, and found exact."""
    import keras
    from keras import layers as L
    from keras import ops

    import repro
    from tests.helpers import plain

    class Scaled(L.Layer):
        def call(self, x: Any) -> Any:
            return 3 * x

    @keras.saving.register_keras_serializable("tests")
    def squared(x: Any) -> Any:
        return x * x

    x = images = keras.Input((4,))
    x = Scaled()(L.Dense(6, "relu", name="hidden")(x))
    x = L.Lambda(squared)(ops.flip(x, axis=1))
    x = x - ops.mean(x, axis=1, keepdims=True)
    x = ops.reshape(ops.reshape(x, (-1, 2, 3)), (-1, 6))
    model = keras.Model(images, L.Softmax()(L.Dense(3)(x)))
    plain.randomise(model, np.random.default_rng(6))
    given = np.random.default_rng(3).normal(size=(8, 4)).astype(np.float32)
    masked = repro.insert_masks(model)
    outcome = repro.Engine(masked, given, np.arange(8) % 3).single_units()
    for unit in range(6):
        repro.ablate(masked, {"hidden": [unit]})
        expected = plain.counts(output(masked, given), np.arange(8) % 3, probabilities=True)
        plain.assert_lesion_equals(outcome, unit, expected)
        repro.restore(masked)


def main(names: Sequence[str]) -> None:
    """The child: the models on a backend without TensorFlow."""
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # importing it raises ImportError
    import keras

    for name in names:
        check(name, ON_JAX[name])
        print(f"{keras.backend.backend()}: {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
