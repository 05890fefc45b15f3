"""Checks what a user passes as a model: returns a Keras model that can be lesioned, or raises an
error that says what to do.

`accepted` stands at the door of every entry that takes a model. A functional or Sequential model is
returned unchanged. A subclassed model is written out as a functional model of the same layers, if
its `call` permits it and both models give the same answers. A path is loaded. Anything else is
refused with a sentence that says what it is and what to pass instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from repro.models import graph

# A subclassed model and its functional form are compared on two batches, of two of these sizes.
_N_TRIED = (5, 3, 7, 11, 13, 17, 19)
# Stands for sizes that the model leaves open.
_OPEN_SIZE = 8
_TOLERANCES = {"float64": 1e-9, "float32": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}


def accepted(model: Any, entry: str, *, load: bool = True) -> keras.Model:
    """The Keras model that an entry was given, with layers that can be seen.

    Args:
        model: what the user passed: a functional or Sequential model, which is returned itself; a
            subclassed model that was called once and whose `call` only applies layers and
            operations of Keras, of which a functional model of the same layers is returned; the
            path of a `.keras` file, which is loaded.
        entry: what the user called, for the sentence, such as "repro.lesion".
        load: whether a path is loaded; if not, it is refused, as where the model is trained.

    Raises:
        ValueError: anything else; the sentence says what it is and what to pass in its place.
        FileNotFoundError: no such file.
    """
    if isinstance(model, str | Path):
        if not load:
            raise ValueError(
                f"{entry} needs the model itself, got the path {str(model)!r}; pass "
                f"repro.load_model({str(model)!r})"
            )
        from repro.models import loading

        model = loading.load_model(model)
    refuse_other_than_a_model(model, entry)
    if not graph.is_functional(model):
        return _written_out(model, entry)
    if isinstance(model, keras.Sequential) and not _has_inputs(model):
        raise ValueError(
            f"model {model.name!r} is not built: it has no input yet, and so no weights; begin it "
            "with keras.Input(shape), or call model.build((None, *shape)) or the model itself on "
            "some images first"
        )
    return model


def refuse_other_than_a_model(model: Any, entry: str) -> None:
    """Refuses anything that is not a `keras.Model` of Keras 3.

    Raises:
        ValueError: the object is something else; the sentence says what to pass instead.
    """
    if isinstance(model, keras.Model):
        return
    what, cure = _told(model)
    raise ValueError(f"{entry} needs a model of Keras 3, got {what}; {cure}")


# --- What is no model -------------------------------------------------------------------------


def _told(thing: Any) -> tuple[str, str]:
    """A sentence on what an object is, and what to pass instead."""
    kind = type(thing)
    rooms = {str(base.__module__).split(".")[0] for base in kind.__mro__}
    modules = " ".join(str(base.__module__) for base in kind.__mro__)
    legacy = "tf_keras" in rooms or "tensorflow.python.keras" in modules
    # Keras's own classes are those of Keras 3 only if they are those that are imported.
    foreign = "keras" in rooms and not isinstance(thing, keras.Operation | keras.KerasTensor)
    if legacy or (foreign and hasattr(thing, "get_weights")):
        return (
            f"a {kind.__name__} of tf_keras (Keras 2)",
            "save it there with model.save('model.h5') and pass "
            "keras.models.load_model('model.h5', compile=False); or build the same layers with "
            "keras in place of tf.keras (TF_USE_LEGACY_KERAS unset) and call "
            "new.set_weights(old.get_weights())",
        )
    if isinstance(thing, type):
        return f"the class {thing.__name__}", "make a model of it, and pass that"
    if isinstance(thing, keras.Function):
        return (
            "a keras.Function",
            "pass keras.Model(function.inputs, function.outputs), which holds the same layers",
        )
    if isinstance(thing, keras.KerasTensor):
        return (
            "a symbolic tensor",
            "pass keras.Model(inputs, outputs) of the inputs that it was computed from",
        )
    if isinstance(thing, keras.layers.Layer):
        return (
            f"a layer, {thing.name!r}",
            "pass keras.Sequential([keras.Input(shape), layer, ...]), a model that it stands in",
        )
    inside = next(iter(_models_in(thing)), None)
    if inside is not None:
        return f"{_a(kind.__name__)} around a model", f"pass that model: {inside}"
    if "torch" in rooms:
        return (
            f"{_a(kind.__name__)} of PyTorch",
            "build the same layers with Keras (KERAS_BACKEND=torch computes with PyTorch) and "
            "copy the weights with layer.set_weights, kernels transposed",
        )
    if "sklearn" in rooms:
        return (
            f"{_a(kind.__name__)} of scikit-learn",
            "build the same network with keras.Sequential, and set its weights from coefs_ and "
            "intercepts_ if it is an MLP",
        )
    if "flax" in rooms or "haiku" in rooms or "equinox" in rooms:
        return (
            f"{_a(kind.__name__)} of another library on JAX",
            "build the same layers with Keras (KERAS_BACKEND=jax) and copy the weights with "
            "layer.set_weights",
        )
    if "tensorflow" in rooms:
        return (
            f"{_a(kind.__name__)} of TensorFlow, as of a SavedModel, which holds no layers",
            "pass the Keras model that it was made of, saved by model.save('model.keras')",
        )
    if inspect.isroutine(thing) or kind.__name__ == "partial":
        name = getattr(thing, "__name__", kind.__name__)
        return (
            f"the function {name}",
            f"pass what it returns, {name}(), if it builds a model; a function that computes "
            "answers has no layers, so build it of keras.layers",
        )
    if thing is None:
        return "None", "pass a keras.Model; a function that builds one must return it"
    return _a(kind.__name__), "pass a keras.Model, or the path of a .keras file"


def _models_in(thing: Any) -> Iterator[str]:
    """Expressions, as the user would write them, for the Keras models that an object holds."""
    if isinstance(thing, Mapping):
        yield from (f"model[{key!r}]" for key, one in thing.items() if _is_model(one))
    elif isinstance(thing, list | tuple):
        yield from (f"model[{number}]" for number, one in enumerate(thing) if _is_model(one))
    else:
        held = getattr(thing, "__dict__", {})
        for name, one in held.items():
            if _is_model(one):
                # A private attribute may have a public name.
                public = name.lstrip("_")
                same = public and getattr(thing, public, None) is one
                yield f"model.{public if same else name}"


def _is_model(thing: Any) -> bool:
    return isinstance(thing, keras.Model)


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _has_inputs(model: keras.Sequential) -> bool:
    try:
        return bool(model.inputs)
    except AttributeError:
        return False


# --- Subclassed models ------------------------------------------------------------------------


def _written_out(model: keras.Model, entry: str) -> keras.Model:
    """A functional model of a subclassed model's layers.

    Raises:
        ValueError: it cannot be written out, or would be another network.
    """
    if not model.built:
        raise ValueError(
            f"{entry} needs a model whose layers can be seen, and {_named(model)} is a subclassed "
            "model that was not called yet; call it on some images first, model(images[:1]), or "
            f"pass keras.Model(x, model.call(x)) with x = keras.Input(shape){_parts(model)}"
        )
    shapes = _built_shapes(model)
    if shapes is None:
        why = "Keras does not tell what shapes its inputs have"
        raise _cannot(model, entry, why)
    try:
        found = _called_on(model, shapes)
        difference = _difference(model, found)
    except Exception as error:  # the model's own code may raise anything
        raise _cannot(model, entry, graph.first_line(error)) from error
    if difference:
        raise _cannot(model, entry, difference)
    return found


def _called_on(model: keras.Model, shapes: Any) -> keras.Model:
    """The functional model that `call` defines on inputs of these shapes."""

    def new_input(shape: Any, name: str) -> Any:
        return keras.Input(tuple(shape[1:]), name=name)

    x: Any
    if isinstance(shapes, dict):
        x = {name: new_input(shape, name) for name, shape in shapes.items()}
    elif isinstance(shapes, list):
        names = [f"{model.name}_input_{number}" for number in range(1, len(shapes) + 1)]
        x = [new_input(shape, name) for shape, name in zip(shapes, names, strict=True)]
    else:
        x = new_input(shapes, f"{model.name}_input")
    given = inspect.signature(model.call).parameters
    # The training mode stays open where the author leaves it open, so that the caller decides.
    default = given["training"].default if "training" in given else None
    kwargs = {} if default is None else {"training": None if default is inspect._empty else False}
    found = keras.Model(x, model.call(x, **kwargs), name=model.name)
    # Keras numbers functions ever higher, but names must be the same the next time.
    taken = {operation.name for operation in found.operations if _is_layer(operation)}
    for operation in found.operations:
        if not _is_layer(operation):
            operation.name = graph.unused(type(operation).__name__.lower(), taken)
            taken.add(operation.name)
    return found


def _is_layer(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Layer)


def _difference(model: keras.Model, found: keras.Model) -> str:
    """Why the two models are not the same network; "" if they answer alike on random inputs."""
    chance = np.random.default_rng(0)
    n_weights = len(model.weights)
    # On TensorFlow, Keras takes a column for a bias where there are as many images as units.
    sizes = {size for weight in model.weights for size in weight.shape}
    n_tried = [n_images for n_images in _N_TRIED if n_images not in sizes]
    draws = (
        lambda size: chance.normal(size=size),
        lambda size: chance.integers(0, 2, size),
    )
    for n_images in n_tried[:2] or _N_TRIED[:2]:
        for draw in draws:
            given = keras.tree.map_structure(
                lambda x, n_images=n_images, draw=draw: keras.ops.cast(
                    draw((n_images, *(size or _OPEN_SIZE for size in x.shape[1:]))), x.dtype
                ),
                found.input,
            )
            expected, again = (keras.tree.flatten(model(given, training=False)) for _ in range(2))
            answers = keras.tree.flatten(found(given, training=False))
            if len(answers) != len(expected):
                return "its call gives another number of outputs with images than with keras.Input"
            if not all(map(_same, expected, again)):
                return "its call answers by chance, even with training=False"
            if not all(map(_same, expected, answers)):
                return "its call gives other answers to images than the layers that it applies"
    if len(model.weights) != n_weights:
        return "its call makes new weights each time"
    return ""


def _same(one: Any, other: Any) -> bool:
    kind = keras.backend.standardize_dtype(one.dtype)
    if tuple(one.shape) != tuple(other.shape):
        return False
    a, b = (np.asarray(keras.ops.convert_to_numpy(x), np.float64) for x in (one, other))
    limit = _TOLERANCES.get(kind, 0.0)
    size = float(np.max(np.abs(a), initial=0.0))
    return bool(np.allclose(a, b, rtol=limit, atol=limit * size, equal_nan=True))


def _built_shapes(model: keras.Model) -> Any:
    """The shape of the input that a subclassed model was called on, or a list or dict of shapes;
    None if Keras does not know."""
    try:
        shapes = (model.get_build_config() or {}).get("input_shape")
    except Exception:  # the author's own get_build_config
        return None
    if isinstance(shapes, dict):
        return shapes if shapes and all(map(_is_shape, shapes.values())) else None
    if _is_shape(shapes):
        return shapes
    if isinstance(shapes, list | tuple) and shapes and all(map(_is_shape, shapes)):
        return list(shapes)
    return None


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list | tuple)
        and len(shape) > 0
        and all(size is None or isinstance(size, int) for size in shape)
    )


def _cannot(model: keras.Model, entry: str, why: str) -> ValueError:
    return ValueError(
        f"{entry} needs a model whose layers can be seen, and {_named(model)} is a subclassed "
        f"model that cannot be written out as keras.Model(x, model.call(x)): {why}; build it with "
        "keras.Sequential or keras.Model(inputs, outputs), of layers and functions of keras.ops "
        f"alone{_parts(model)}"
    )


def _parts(model: keras.Model) -> str:
    """The networks that a trainer class holds, for the end of a sentence."""
    inside = [
        f"model.{name}"
        for name, one in vars(model).items()
        if _is_model(one) and not name.startswith("_") and graph.is_functional(one)
    ]
    return f"; or pass a network that it holds, {' or '.join(inside)}" if inside else ""


def _named(model: keras.Model) -> str:
    return f"{type(model).__name__} {model.name!r}"
