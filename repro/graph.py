"""A Keras model as the list of its calls, in the order of computation, nested models opened up.

`read` goes through a functional or Sequential model by Keras's public interface. What it finds can
be looked at (`network`), or called again on new inputs with something between the calls
(`insertion`). Whatever a model holds in nested models is listed as if they were not there, so that
nothing in them is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True, eq=False)
class Call:
    """One operation applied once.

    operation: a layer, or a function of `keras.ops` as an object.
    args, kwargs: what it is called with; tensors among them are symbolic.
    outputs: what it gives, a symbolic tensor or a structure of them.
    inside: names of the nested models that it stands in, from the outside in.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: Any
    inside: tuple[str, ...] = ()

    @property
    def inputs(self) -> list[Any]:
        """The symbolic tensors among its arguments."""
        leaves = keras.tree.flatten((self.args, dict(self.kwargs)))
        return [leaf for leaf in leaves if isinstance(leaf, keras.KerasTensor)]

    @property
    def flat_outputs(self) -> list[Any]:
        return keras.tree.flatten(self.outputs)


@dataclass(frozen=True, eq=False)
class Graph:
    """A model's calls. inputs and outputs: its symbolic tensors, in the structure it has them."""

    name: str
    inputs: Any
    outputs: Any
    calls: tuple[Call, ...]

    def run(self, inputs: Any, visit: Callable[[Call], Any]) -> Any:
        """Goes through the calls on other tensors; returns those that stand for the outputs.

        Args:
            inputs: in the structure of `self.inputs`, or flat.
            visit: is given each call, its arguments on the new tensors and its outputs the old
                ones, and returns the new outputs.
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

    Raises:
        ValueError: a subclassed model, or a layer that cannot be built from its configuration.
    """
    _check_functional(model)
    try:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    except Exception as error:  # a layer's own code may raise anything
        reason = str(error).strip().splitlines()
        raise ValueError(
            f"model {model.name!r} cannot be copied, since Keras cannot build all of its layers "
            f"again from their configuration ({reason[0] if reason else type(error).__name__}); "
            "give layers of your own a get_config, and a Lambda a registered function with a name"
        ) from error
    for layer in _layers(copy):
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            layer.finalize_state()  # what it computes from its weights when it is adapted
    return copy


def _layers(model: keras.Model) -> Iterator[Any]:
    """The model's layers and those of nested models."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def labels(graph: Graph) -> dict[int, str]:
    """A name for each operation, by its id(): its own, or, where several have it, with the names
    of the nested models before it."""
    found: dict[int, str] = {}
    taken: set[str] = set()
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
    """The name, with a number behind it where it is taken."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def new_inputs(graph: Graph) -> Any:
    """Inputs like those of the graph."""
    return keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, sparse=x.sparse, name=x.name),
        graph.inputs,
    )


def is_functional(operation: Any) -> bool:
    """Whether it is a model whose layers can be seen: functional or Sequential, and called in
    Keras's own way."""
    open_kind = isinstance(operation, keras.Sequential) or (
        isinstance(operation, keras.Function) and isinstance(operation, keras.Model)
    )
    return open_kind and is_of_keras(type(operation).call)


def is_of_keras(thing: Any) -> bool:
    """Whether a class or function is Keras's own, so that what it does is known."""
    return str(thing.__module__).split(".")[0] == "keras"


def _check_functional(model: keras.Model) -> None:
    if not is_functional(model):
        raise ValueError(
            f"model {getattr(model, 'name', model)!r} is a subclassed model, whose layers cannot "
            "be seen from outside; build it with keras.Sequential or keras.Model(inputs, outputs)"
        )


def _level(model: keras.Model) -> Graph:
    """The model's calls, nested models among them unopened."""
    _check_functional(model)
    try:
        inputs, outputs = model.inputs, model.outputs
    except AttributeError as error:
        raise ValueError(
            f"model {model.name!r} has no input yet; begin it with keras.Input(shape), or call "
            "model.build"
        ) from error
    if isinstance(model, keras.Sequential):
        plain = keras.Model(inputs[0], outputs[0], name=model.name)
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


def _given_to(nested: Graph, call: Call) -> list[Any]:
    """The tensors that a nested model is called on, in the order of its inputs."""
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
    """The tensor in the type that the nested model's input has, as Keras would cast it."""
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
    """The call in the training mode that its nested model was called with, if one was given."""
    training = outer.kwargs.get("training")
    if training is None or not isinstance(inner.operation, keras.Layer):
        return inner
    kwargs = {**inner.kwargs, "training": training}
    return Call(inner.operation, inner.args, kwargs, inner.outputs, inner.inside)


def dtype_policy(dtype: str) -> str:
    """The policy under which a layer computes in this type, and holds its weights in float32 at
    least."""
    return f"mixed_{dtype}" if dtype in ("float16", "bfloat16") else dtype


def _is_float(dtype: str) -> bool:
    return "float" in dtype


def by_writer(calls: Sequence[Call]) -> dict[int, Call]:
    """The call that computes each tensor, by the tensor's id()."""
    return {id(tensor): call for call in calls for tensor in call.flat_outputs}
