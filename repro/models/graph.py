"""A Keras model as the list of its calls, in the order of computation, nested models opened up.

`read` goes through a functional or Sequential model by Keras's public interface. The calls can be
inspected (`network`) or made again on new inputs with something between them (`insertion`). Calls
within nested models are listed as if they were not nested, so none is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from repro.models.functions import name_of, same_of_keras
from repro.models.twins import twin


@dataclass(frozen=True, eq=False)
class Call:
    """One operation applied once.

    operation: a layer, or a function of `keras.ops` as an object.
    args, kwargs: arguments of the call; tensors among them are symbolic.
    outputs: result of the call, a symbolic tensor or a structure of tensors.
    inside: names of the nested models around the call, from the outside in.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: Any
    inside: tuple[str, ...] = ()

    @property
    def inputs(self) -> list[Any]:
        """The symbolic tensors among the call's arguments."""
        leaves = keras.tree.flatten((self.args, dict(self.kwargs)))
        return [leaf for leaf in leaves if isinstance(leaf, keras.KerasTensor)]

    @property
    def flat_outputs(self) -> list[Any]:
        return keras.tree.flatten(self.outputs)


@dataclass(frozen=True, eq=False)
class Graph:
    """A model's calls. inputs, outputs: the model's symbolic tensors, in the model's structure."""

    name: str
    inputs: Any
    outputs: Any
    calls: tuple[Call, ...]

    def run(self, inputs: Any, visit: Callable[[Call], Any]) -> Any:
        """Repeats the calls on other tensors; returns the tensors in place of the outputs.

        Args:
            inputs: in the structure of `self.inputs`, or flat.
            visit: function of a call whose arguments are the new tensors and whose outputs are the
                old ones; returns the new outputs.
        """
        old = keras.tree.flatten(self.inputs)
        values = {id(a): b for a, b in zip(old, keras.tree.flatten(inputs), strict=True)}

        def new(leaf: Any) -> Any:
            return values.get(id(leaf), leaf)

        for call in self.calls:
            args, kwargs = keras.tree.map_structure(new, (call.args, dict(call.kwargs)))
            found = visit(Call(call.operation, args, kwargs, call.outputs, call.inside))
            flat = keras.tree.flatten(found)
            values |= {id(a): b for a, b in zip(call.flat_outputs, flat, strict=True)}
        return keras.tree.map_structure(new, self.outputs)


def read(model: keras.Model) -> Graph:
    """The calls of a functional or Sequential model.

    Raises:
        ValueError: a subclassed model, whose layers cannot be seen, or one without a fixed input.
    """
    graph = _level(model)
    if not any(is_functional(call.operation) for call in graph.calls):
        return graph
    calls: list[Call] = []

    def opened(call: Call, inside: tuple[str, ...]) -> Any:
        operation = call.operation
        if is_functional(operation):
            nested = _level(operation)
            inputs = _given_to(nested, call)
            return nested.run(
                [
                    _cast(given, wanted, call, inside, opened)
                    for given, wanted in zip(inputs, keras.tree.flatten(nested.inputs), strict=True)
                ],
                lambda inner: opened(_in_mode_of(inner, call), (*inside, operation.name)),
            )
        outputs = operation(*call.args, **call.kwargs)
        calls.append(Call(operation, call.args, call.kwargs, outputs, inside))
        return outputs

    inputs = new_inputs(graph)
    outputs = graph.run(inputs, lambda call: opened(call, ()))
    return Graph(graph.name, inputs, outputs, tuple(calls))


def copied(model: keras.Model) -> keras.Model:
    """A model of copies of all layers, with the same weights; the model itself is left alone.

    The copies have the model's own activation functions, since Keras writes a function as its name
    and would put its own of that name in its place. Model and copy are compared on random inputs.
    The copy is not compiled, so that losses, metrics and optimizers need no configuration.

    Raises:
        ValueError: a subclassed model, or a layer that cannot be built from its configuration, or
            whose copy answers otherwise.
    """
    _check_functional(model)
    try:
        copy = _copy_of_model(model, {})
        copy.set_weights(model.get_weights())
    except _NotCopied as error:
        raise ValueError(f"model {model.name!r} cannot be copied: {error}") from error
    except Exception as error:  # a layer's own code may raise anything
        raise ValueError(
            f"model {model.name!r} cannot be copied: {first_line(error)}; give layers of your own "
            "a get_config, and a Lambda a registered function with a name"
        ) from error
    for layer in _layers(copy):
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            layer.finalize_state()  # restores what `adapt` computes from the weights
    other = _first_that_differs(model, copy)
    if other:
        raise ValueError(
            f"model {model.name!r} cannot be copied: the copy of layer {other!r} gives other "
            "answers than the layer; write all of the layer's arguments into its get_config, or "
            "share the layers (share_weights=True)"
        )
    return copy


class _NotCopied(ValueError):
    """Why a layer has no copy, and what to do."""


def _copy_of_model(model: Any, copies: dict[int, Any]) -> Any:
    """A model of copies of all layers, not compiled, with weights of its own.

    Args:
        copies: copies of layers and nested models until now, by id(); more are added.
    """

    def copy_of(layer: Any) -> Any:
        if id(layer) not in copies:
            nested = _has_layers(layer)
            copies[id(layer)] = _copy_of_model(layer, copies) if nested else _copy_of_layer(layer)
        return copies[id(layer)]

    # Keras would also copy what a model is compiled with, by its configuration.
    bare = twin(model, model.name)
    vars(bare)["compiled"] = False
    return keras.models.clone_model(bare, clone_function=copy_of)


def _copy_of_layer(layer: Any) -> Any:
    """A layer of the same configuration and with the same activation functions."""
    own = {
        name: value
        for name, value in vars(layer).items()
        if name in _FUNCTIONS and callable(value) and _is_foreign(value)
    }
    try:
        if not own:
            return type(layer).from_config(layer.get_config())
        plain = twin(layer, layer.name)
        vars(plain).update(dict.fromkeys(own, keras.activations.linear))
        copy = type(layer).from_config(plain.get_config())
    except Exception as error:  # a layer's own code may raise anything
        raise _NotCopied(
            f"Keras cannot build layer {layer.name!r} again from its configuration"
            f"{_why_no_copy(layer, error)}, or share the layers (share_weights=True)"
        ) from error
    for name, function in own.items():
        setattr(copy, name, function)
    return copy


# Arguments of layers that are functions.
_FUNCTIONS = ("activation", "recurrent_activation")


def _is_foreign(function: Any) -> bool:
    return not isinstance(function, keras.Layer) and not is_of_keras(function)


def _why_no_copy(layer: Any, error: Exception) -> str:
    """Why a layer has no copy, and what to do first."""
    for argument in _FUNCTIONS:
        function = getattr(layer, argument, None)
        if callable(function) and _is_foreign(function):
            known = same_of_keras(function)
            cure = (
                f"write {argument}={known!r}"
                if known
                else "register it with keras.saving.register_keras_serializable()"
            )
            return f", since its {argument}, {name_of(function)}, is not one of Keras's; {cure}"
    return (
        f" ({first_line(error)}); give layers of your own a get_config, and a Lambda a registered "
        "function with a name"
    )


def _first_that_differs(model: keras.Model, copy: keras.Model) -> str:
    """The first layer whose copy gives other answers on random inputs; "" if there is none or if
    the model does not accept such inputs."""
    chance = np.random.default_rng(0)

    def values(tensor: Any) -> Any:
        shape = (2, *(size or 8 for size in tensor.shape[1:]))
        if _is_float(tensor.dtype):
            return keras.ops.convert_to_tensor(chance.normal(size=shape), tensor.dtype)
        return keras.ops.convert_to_tensor(chance.integers(0, 2, shape), tensor.dtype)

    try:
        inputs = keras.tree.map_structure(values, read(model).inputs)
        expected, found = (keras.tree.flatten(one(inputs, training=False)) for one in (model, copy))
    except Exception:  # no answers to compare: the model wants strings or keys of a table
        return ""
    if all(_alike(one, other) for one, other in zip(expected, found, strict=True)):
        return ""
    pairs: list[list[tuple[str, Any]]] = [[], []]
    for one, answers in zip((model, copy), pairs, strict=True):

        def again(call: Call, answers: list[tuple[str, Any]] = answers) -> Any:
            quiet = {"training": False} if "training" in call.kwargs else {}
            outputs = call.operation(*call.args, **{**call.kwargs, **quiet})
            answers.append((call.operation.name, outputs))
            return outputs

        read(one).run(inputs, again)
    for (name, outputs), (_, others) in zip(*pairs, strict=True):
        flat, again_flat = keras.tree.flatten(outputs), keras.tree.flatten(others)
        if not all(_alike(a, b) for a, b in zip(flat, again_flat, strict=True)):
            return name
    return "?"


def _alike(one: Any, other: Any) -> bool:
    a, b = (keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in (one, other))
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True))


def first_line(error: Exception) -> str:
    """The error in one line of limited length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= 160 else f"{line[:157]}..."


def _layers(model: keras.Model) -> Iterator[Any]:
    """The model's layers and those of nested models."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def labels(graph: Graph) -> dict[int, str]:
    """A name for each operation, by id(): the operation's own name, preceded by the names of the
    nested models if several operations share it. All names differ from each other and from the
    names of inputs."""
    found: dict[int, str] = {}
    taken = {tensor.name for tensor in keras.tree.flatten(graph.inputs)}
    for call in graph.calls:
        operation = call.operation
        if id(operation) not in found:
            name = operation.name
            if name in taken:
                name = "_".join((*call.inside, name))
            found[id(operation)] = unused(name, taken)
            taken.add(found[id(operation)])
    return found


def unused(name: str, taken: set[str]) -> str:
    """The name, with a number appended if it is taken."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def new_inputs(graph: Graph) -> Any:
    """New inputs with the shapes and types of the graph's inputs."""
    return keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, sparse=x.sparse, name=x.name),
        graph.inputs,
    )


def is_functional(operation: Any) -> bool:
    """Whether the layers of a model can be seen: it is functional or Sequential and uses Keras's
    own `call`."""
    return _has_layers(operation) and is_of_keras(type(operation).call)


def _has_layers(operation: Any) -> bool:
    return isinstance(operation, keras.Sequential) or (
        isinstance(operation, keras.Function) and isinstance(operation, keras.Model)
    )


def is_of_keras(thing: Any) -> bool:
    """Whether a class or function is Keras's own, so that its behaviour is known."""
    return str(getattr(thing, "__module__", "")).split(".")[0] == "keras"


def _check_functional(model: keras.Model) -> None:
    if not is_functional(model):
        raise ValueError(
            f"model {getattr(model, 'name', model)!r} is a subclassed model, whose layers cannot "
            "be seen from outside; build it with keras.Sequential or keras.Model(inputs, outputs), "
            "or pass keras.Model(x, model.call(x)) with x = keras.Input(shape)"
        )


def _level(model: keras.Model) -> Graph:
    """The model's calls; nested models are not opened."""
    _check_functional(model)
    try:
        inputs, outputs = model.inputs, model.outputs
    except AttributeError as error:
        raise ValueError(
            f"model {model.name!r} has no input yet; begin it with keras.Input(shape), or call "
            "model.build"
        ) from error
    if isinstance(model, keras.Sequential):
        plain = _with_open_batch(model) or keras.Model(inputs[0], outputs[0], name=model.name)
    else:
        plain = keras.Model(model.input, model.output, name=model.name)
    calls: list[Call] = []

    def record(operation: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = operation(*args, **kwargs)
        calls.append(Call(operation, args, kwargs, outputs))
        return outputs

    clone = keras.models.clone_model(
        plain, clone_function=lambda layer: layer, call_function=record
    )
    return Graph(model.name, clone.input, clone.output, tuple(calls))


def _with_open_batch(model: keras.Sequential) -> keras.Model | None:
    """The layers of a Sequential model that takes batches of any size, if only Keras has fixed the
    size: `fit`, `predict` and others build a model without an Input for their first batch.

    None for other models, and if the layers cannot do without the size.
    """
    (start,) = model.inputs
    if start.shape[0] is None or not _fixed_by_keras(model):
        return None
    inputs = keras.Input(start.shape[1:], dtype=start.dtype, name=start.name)
    x = inputs
    try:
        for layer in model.layers:
            x = layer(x)
        return keras.Model(inputs, x, name=model.name)
    except Exception:  # the layer's own code may raise anything
        return None


def _fixed_by_keras(model: keras.Sequential) -> bool:
    """Whether the batch size of the model's input comes from Keras, or from a file, which does not
    tell; not from the user's `keras.Input` with a batch size."""
    first = model.layers[0]
    if is_functional(first):
        return isinstance(first, keras.Sequential) and _fixed_by_keras(first)
    # The arguments of an input layer are public nowhere; Keras gives its own a shape and a type.
    layer = model._layers[0]
    given = getattr(getattr(layer, "_auto_config", None), "config", {})
    return given.get("batch_shape") is not None and given.get("dtype") is not None


def _given_to(nested: Graph, call: Call) -> list[Any]:
    """The arguments of a call of a nested model, in the order of the nested model's inputs."""
    given = call.args[0] if call.args else call.kwargs.get("inputs")
    wanted = nested.inputs
    if isinstance(given, dict) != isinstance(wanted, dict):
        by_name = given if isinstance(given, dict) else {}
        names = [tensor.name for tensor in keras.tree.flatten(wanted)]
        if set(names) != set(by_name):
            raise ValueError(
                f"nested model {nested.name!r} is called on another structure than its inputs "
                f"have ({', '.join(names)}); call it on that structure"
            )
        given = [by_name[name] for name in names]
    tensors = keras.tree.flatten(given)
    ranks = [len(tensor.shape) for tensor in keras.tree.flatten(wanted)]
    if [len(getattr(tensor, "shape", ())) for tensor in tensors] != ranks:
        raise ValueError(
            f"nested model {nested.name!r} is called on tensors of other ranks than its inputs "
            f"have ({ranks}); reshape them first"
        )
    if any(mask is not None for mask in keras.tree.flatten(call.kwargs.get("mask"))):
        raise ValueError(
            f"nested model {nested.name!r} is called with a mask of time steps, which is lost "
            "when it is opened up; build the model without nesting it"
        )
    return tensors


def _cast(
    given: Any,
    wanted: Any,
    call: Call,
    inside: tuple[str, ...],
    visit: Callable[[Call, tuple[str, ...]], Any],
) -> Any:
    """The tensor cast to the type of the nested model's input, as Keras casts it."""
    if given.dtype == wanted.dtype:
        return given
    floating = all(_is_float(tensor.dtype) for tensor in (given, wanted))
    if not floating:
        raise ValueError(
            f"nested model {call.operation.name!r} has inputs of type {wanted.dtype} and is called "
            f"on {given.dtype}; cast them before it"
        )
    cast = keras.layers.Identity(dtype=dtype_policy(wanted.dtype))
    return visit(Call(cast, (given,), {}, wanted), (*inside, call.operation.name))


def _in_mode_of(inner: Call, outer: Call) -> Call:
    """The call with the training mode of the nested model's call, if one was given."""
    training = outer.kwargs.get("training")
    if training is None or not isinstance(inner.operation, keras.Layer):
        return inner
    kwargs = {**inner.kwargs, "training": training}
    return Call(inner.operation, inner.args, kwargs, inner.outputs, inner.inside)


def dtype_policy(dtype: str) -> str:
    """The policy under which a layer computes in this type and keeps weights of at least
    float32."""
    return f"mixed_{dtype}" if dtype in ("float16", "bfloat16") else dtype


def _is_float(dtype: str) -> bool:
    return "float" in dtype


def by_writer(calls: Sequence[Call]) -> dict[int, Call]:
    """For each tensor by id(), the call that computes it."""
    return {id(tensor): call for call in calls for tensor in call.flat_outputs}
