"""Masks in any Keras model, and lesions by the name of a layer.

    masked = repro.insert_masks(model)
    repro.ablate(masked, {"conv3": [4, 17]})
    masked.predict(images)
    repro.restore(masked)

A layer is hidden if its output is the output of an activation function:

- a Keras layer whose `activation` is not linear (Dense, Conv2D, Activation, ...), judged by what
  the activation computes and not by its name (`models.functions`);
- ReLU, LeakyReLU, PReLU and ELU, and functions like `keras.ops.relu`. After an addition, one of
  them gives the merged activation of a residual block, which therefore has a mask;
- not a softmax, nor any function that weighs units against each other, under whatever name;
- not a recurrent layer: ablated units would live on in its state;
- not a layer of another library, whose output is unknown;
- never the model's answer: the outputs, and layers that lead to an output without further weights
  and with the same number of units (the Dense before a Softmax, class maps before a global
  pooling).

A layer that the rule leaves out can be named in `layers`, except the model's answer. Layers within
nested models count as if they were not nested. A layer that is called several times has a mask for
each call: the units of its second call are those of `<layer>_call_2`. `hidden_layers` lists the
input of each call. Among parallel calls, the call on the first of the tensors that are joined later
comes first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import keras
import numpy as np
from keras import ops

from repro.models import graph
from repro.models.accepted import accepted, refuse_other_than_a_model
from repro.models.functions import name_of, what
from repro.models.graph import Call, Graph
from repro.models.masking import AblationMask, ablation_masks, has_masks, layer_of
from repro.models.twins import twin

_ACTIVATION_LAYERS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
)
# Keras's functions as they stand in a graph, such as `keras.ops.relu`, by the names of their
# classes, which are not public. They are Keras's own, so that the names tell what they compute.
_ACTIVATION_FUNCTIONS = frozenset(
    "celu elu gelu glu hardshrink hardsigmoid hardsilu hardtanh leakyrelu logsigmoid mish relu "
    "relu6 selu sigmoid silu softplus softshrink softsign sparseplus sparsesigmoid squareplus tanh "
    "tanhshrink threshold".split()
)
_NORMALIZING_FUNCTIONS = frozenset("softmax logsoftmax sparsemax".split())
_ANSWER = "the model's answer, or leads to it without weights"
_THERE = "its mask is there"
_WEIGHS = "{} weighs its units against each other"
_LISTED = 20  # most names in a message


@dataclass(frozen=True)
class HiddenLayer:
    """A layer of a model, and whether its units can be lesioned.

    layer: its name; `<name>_call_2` where it is called for the second time.
    kind: its class.
    masked: whether a mask stands after it, or `insert_masks` puts one there.
    n_units: how many units its output has; None where that has no meaning.
    why: why it is masked, or why not.
    """

    layer: str
    kind: str
    masked: bool
    n_units: int | None
    why: str


def insert_masks(
    model: keras.Model, layers: Sequence[str] | None = None, share_weights: bool = True
) -> keras.Model:
    """The same model with an `AblationMask` after each hidden layer; see the rule above.

    While all masks are ones, the new model's outputs equal the model's. Nested models are opened
    up, the mask of a layer is called `<layer>_mask`, and the new model is not compiled. If layers
    of nested models share a name, the new model renames all but the first to `<nested>_<layer>`;
    the old model keeps its names.

    Args:
        model: functional or Sequential, with any number of inputs and outputs; or a model that
            `models.accepted` can convert, such as a subclassed model whose `call` only applies
            layers; or the path of a `.keras` file.
        layers: which of the hidden layers, by name, by patterns such as "block?_*" or as layers of
            the model; None for all. A full name may also choose a layer that the rule leaves out.
        share_weights: True builds the new model from the layers of the old one, so training one
            trains the other; False builds it from copies.

    Raises:
        ValueError: the layers of the model cannot be seen, or none can be masked; or a name or
            pattern fits no layer, or one that cannot be masked.
    """
    layers = names_of_layers(layers)
    model = accepted(model, "repro.insert_masks")
    read = graph.read(model if share_weights else graph.copied(model))
    spots = _plan(read, layers)
    if layers == [] and not any(spot.row.masked for spot in spots):
        raise ValueError("layers must name one hidden layer or more, got []; leave it out for all")
    if not any(spot.row.masked for spot in spots):
        raise ValueError(
            f"model {read.name!r} has no hidden layer to mask; repro.hidden_layers(model) tells of "
            "each layer why, and insert_masks(model, layers=[name]) chooses one"
        )
    twins = _twins(read, spots)
    inputs = graph.new_inputs(read)
    following = iter(spots)

    def again(call: Call) -> Any:
        spot = next(following)
        outputs = twins.get(id(call.operation), call.operation)(*call.args, **call.kwargs)
        return _with_mask(outputs, spot) if spot.insert else outputs

    return keras.Model(inputs, read.run(inputs, again), name=read.name)


def with_masks(model: keras.Model) -> keras.Model:
    """The model itself if it has masks, else the same layers with masks after the hidden ones.

    Raises:
        ValueError: as `insert_masks`.
    """
    return model if has_masks(model) else insert_masks(model)


def chosen_masks(model: keras.Model, layers: Sequence[str]) -> tuple[keras.Model, list[str]]:
    """The model with only the masks that are asked for, and the names that fit no mask.

    Args:
        layers: names or patterns of layers, as for `insert_masks`.

    Returns:
        The model of the same layers, without masks that fit no name or pattern; and the names and
        patterns that fit none of the masks.

    Raises:
        ValueError: as `hidden_layers`.
    """
    layers = names_of_layers(layers) or []
    model = accepted(model, "repro.lesion")
    read = graph.read(model)
    there = {layer_of(mask) for mask in _masks_in(read)}
    kept = {name for name in there if any(_fits(name, pattern) for pattern in layers)}
    besides = [pattern for pattern in layers if not any(_fits(name, pattern) for name in there)]
    if kept == there:
        return model, besides
    inputs, twins = graph.new_inputs(read), _twins(read, ())

    def again(call: Call) -> Any:
        if isinstance(call.operation, AblationMask) and layer_of(call.operation) not in kept:
            return call.inputs[0]
        return twins.get(id(call.operation), call.operation)(*call.args, **call.kwargs)

    return keras.Model(inputs, read.run(inputs, again), name=read.name), besides


def held_lesion(model: keras.Model) -> dict[str, int]:
    """How many units the model's masks ablate now, by layer; layers without a lesion are left out.

    Raises:
        ValueError: as `hidden_layers`.
    """
    ablated = {
        layer_of(mask): int(np.count_nonzero(ops.convert_to_numpy(mask.keep) != 1))
        for mask in _masks_in(graph.read(accepted(model, "repro.lesion")))
    }
    return {layer: n_units for layer, n_units in ablated.items() if n_units}


def hidden_layers(model: keras.Model, layers: Sequence[str] | None = None) -> list[HiddenLayer]:
    """Every layer of a model in the order of computation: masked or not, and why.

    Rows with `masked` have a mask already, or get one by `insert_masks(model, layers)`.

    Raises:
        ValueError: as `insert_masks`, except that a model without a layer to mask is accepted.
    """
    layers = names_of_layers(layers)
    read = graph.read(accepted(model, "repro.hidden_layers"))
    inputs = [
        HiddenLayer(tensor.name, "InputLayer", False, None, "an input of the model")
        for tensor in keras.tree.flatten(read.inputs)
    ]
    spots = _plan(read, layers)
    return [*inputs, *(spots[position].row for position in _order(read))]


def signed_layers(masked: keras.Model) -> dict[str, str]:
    """The masked layers whose activations can be below 0, with the activation or layer that makes
    them so.

    Layers of other libraries are left out: their range is unknown.

    Args:
        masked: a model with masks.

    Raises:
        ValueError: as `hidden_layers`.
    """
    read = graph.read(masked)
    writers = graph.by_writer(read.calls)
    found = {}
    for call in read.calls:
        if isinstance(call.operation, AblationMask):
            before = _moved_by_no_layer(call, writers)
            source = _signed(before) if before is not None else ""
            if source:
                found[layer_of(call.operation)] = source
    return found


def drawing(rows: Sequence[HiddenLayer]) -> str:
    """The rows of `hidden_layers` as a table of text; a filled square is a mask.

    >>> print(drawing([HiddenLayer("conv", "Conv2D", False, 8, "no activation of its own"),
    ...                HiddenLayer("relu", "ReLU", True, 8, "output of relu")]))
    □ conv  Conv2D  8  no activation of its own
    ■ relu  ReLU    8  output of relu
    """
    cells = [
        ("■" if row.masked else "□", row.layer, row.kind, str(row.n_units or ""), row.why)
        for row in rows
    ]
    name, kind, units = (max((len(row[i]) for row in cells), default=0) for i in (1, 2, 3))
    return "\n".join(
        f"{square} {a:<{name}}  {b:<{kind}}  {c:>{units}}  {why}" for square, a, b, c, why in cells
    )


def ablate(model: keras.Model, units: Mapping[str, Sequence[int]], fill: float = 0.0) -> None:
    """Clamps units of a masked model in place; the next `model.predict` has the lesion.

    `model.save` keeps the lesion. Units ablated before stay ablated.

    Args:
        units: for each layer by name, the numbers of the units to ablate, from 0.
        fill: the activation that the units have from now on.

    Raises:
        ValueError: the model has no mask after such a layer; a unit that does not exist; a fill
            that is not finite. After an error nothing has changed.
    """
    masks = _masks_by_layer(model, "repro.ablate")
    if not isinstance(units, Mapping):
        raise ValueError(
            "units must be a dict of layers and their units, such as {'conv3': [4, 17]}, got "
            f"{type(units).__name__}; of pairs of a layer and a unit, put the units of each layer "
            "in one list"
        )
    if not _is_finite(fill):
        raise ValueError(f"fill must be a finite number, got {fill!r}; 0 is what a dead unit reads")
    chosen = [
        (_named(masks, layer), _checked_units(masks, layer, numbers))
        for layer, numbers in units.items()
    ]
    for mask, numbers in chosen:
        keep, fills = (np.array(ops.convert_to_numpy(w)) for w in (mask.keep, mask.fill))
        keep[numbers] = 0
        fills[..., numbers] = fill
        mask.keep.assign(keep)
        mask.fill.assign(fills)


def restore(model: keras.Model, layers: Sequence[str] | None = None) -> None:
    """Removes the lesion in place: every unit of the layers is intact again.

    Args:
        layers: names of layers; None for all.

    Raises:
        ValueError: the model has no mask after such a layer.
    """
    masks = _masks_by_layer(model, "repro.restore")
    chosen = names_of_layers(layers)
    names = list(masks) if chosen is None else chosen
    for mask in [_named(masks, name) for name in names]:
        mask.keep.assign(np.ones(mask.keep.shape))
        mask.fill.assign(np.zeros(mask.fill.shape))


# --- Where masks go ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Spot:
    """The output of one call: its row in the table, and whether and how it gets a mask.

    units_axis: axis of the units; None where that cannot be told.
    """

    row: HiddenLayer
    insert: bool
    units_axis: int | None


def _plan(read: Graph, layers: Sequence[str] | None) -> list[_Spot]:
    """Decides for each call of the graph whether it gets a mask."""
    names, rules = _call_names(read), [_rule_of(call) for call in read.calls]
    axes = _units_axes(read)
    answer, have_masks = _answer(read, axes), _behind_masks(read)
    obstacles = [
        _THERE if id(call) in have_masks else _obstacle(call, axes, id(call) in answer)
        for call in read.calls
    ]
    chosen = _chosen(names, rules, obstacles, layers)
    apart = _calls_told_apart(read, names)
    spots = []
    for position, call in enumerate(read.calls):
        name, rule, obstacle = names[position], rules[position], obstacles[position]
        why = _why(rule, obstacle, name in chosen)
        row = HiddenLayer(
            name,
            type(call.operation).__name__,
            masked=obstacle == _THERE or name in chosen,
            n_units=_n_units(call.flat_outputs[0], axes) if len(call.flat_outputs) == 1 else None,
            why=f"{why}; {apart[position]}" if position in apart else why,
        )
        spots.append(_Spot(row, name in chosen, axes[id(call.flat_outputs[0])]))
    return spots


def _why(rule: _Rule, obstacle: str | None, chosen: bool) -> str:
    """The reason in a row, for its layer."""
    if chosen:
        return f"output of {rule.function}" if rule.function else "named in layers"
    if obstacle in (_THERE, _ANSWER) or (obstacle and rule.function):
        return str(obstacle)
    if rule.function:
        return f"output of {rule.function}, not among the layers asked for"
    return rule.why_not


def _masks_in(read: Graph) -> list[AblationMask]:
    return [call.operation for call in read.calls if isinstance(call.operation, AblationMask)]


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _behind_masks(read: Graph) -> set[int]:
    """id() of the calls whose output a mask reads."""
    writers = graph.by_writer(read.calls)
    return {
        id(writers[id(tensor)])
        for call in read.calls
        if isinstance(call.operation, AblationMask)
        for tensor in call.inputs
        if id(tensor) in writers
    }


@dataclass(frozen=True)
class _Rule:
    """The rule's verdict on an operation: the activation function whose output it gives, or why it
    gives none."""

    function: str = ""
    why_not: str = ""


def _rule_of(call: Call) -> _Rule:
    return _rule(call.operation, call)


def _rule(operation: Any, call: Call) -> _Rule:
    """The rule's verdict on an operation: the call's own operation, or a layer that it wraps."""
    kind = type(operation)
    if isinstance(operation, AblationMask):
        return _Rule(why_not="a mask itself")
    if not graph.is_of_keras(kind):
        return _Rule(
            why_not="not one of Keras's layers, so what its output is cannot be told; "
            "name it in layers to mask it"
        )
    if not isinstance(operation, keras.Layer):
        return _of_function(call)
    if isinstance(operation, keras.layers.RNN | keras.layers.Bidirectional):
        return _Rule(
            why_not="recurrent: its units would live on in its own state; name it in layers to "
            "mask what it gives"
        )
    if isinstance(operation, keras.layers.Wrapper):
        return _rule(operation.layer, call)
    if isinstance(operation, keras.Model):
        return _Rule(why_not="a model within another layer, which is not opened up")
    if isinstance(operation, _ACTIVATION_LAYERS):
        return _Rule(kind.__name__)
    if isinstance(operation, keras.layers.Lambda):
        return _Rule(
            why_not="a function of the author's, so what its output is cannot be told; "
            "name it in layers to mask it"
        )
    function = getattr(operation, "activation", None)
    if isinstance(operation, keras.layers.Softmax):
        function = keras.activations.softmax
    computed, name = what(function, _image_shape(call)), name_of(function)
    if not computed.known:
        return _Rule(
            why_not=f"its activation, {name}, cannot be tried on numbers, so what its output is "
            "cannot be told; name it in layers to mask it"
        )
    if computed.linear:
        return _Rule(why_not="no activation")
    return _Rule(why_not=_WEIGHS.format(name)) if computed.normalizes else _Rule(name)


def _image_shape(call: Call) -> tuple[int | None, ...]:
    """The shape of the call's output for one image."""
    return tuple(call.flat_outputs[0].shape[1:])


def _moved_by_no_layer(call: Call, writers: Mapping[int, Call]) -> Call | None:
    """The call that produces the values which this call gets, seen through Keras layers without
    weights and activation: these do not change signs."""
    while len(call.inputs) == 1:
        before = writers.get(id(call.inputs[0]))
        if before is None:
            return None
        operation = before.operation
        plain = isinstance(operation, keras.Layer) and graph.is_of_keras(type(operation))
        if not plain or operation.weights or _rule_of(before).function:
            return before
        call = before
    return None


def _signed(call: Call) -> str:
    """The name of the activation, or of the layer without activation, that can give values below 0;
    "" if the values are never negative or their range is unknown."""
    operation, kind = call.operation, type(call.operation)
    if not graph.is_of_keras(kind):
        return ""
    shape = _image_shape(call)
    if not isinstance(operation, keras.Layer):
        computed = what(_of_one(call), shape)
    elif isinstance(operation, _ACTIVATION_LAYERS):
        computed = what(operation, shape)
    else:
        computed = what(getattr(operation, "activation", None), shape)
    if not computed.known or computed.never_negative:
        return ""
    function = _rule_of(call).function
    if function:
        return function
    linear = isinstance(operation, keras.Layer) and operation.weights
    return kind.__name__ if linear else ""


def _of_function(call: Call) -> _Rule:
    """The rule for one of Keras's functions in a graph."""
    name = type(call.operation).__name__.lower()
    if name in _ACTIVATION_FUNCTIONS:
        return _Rule(name)
    if name in _NORMALIZING_FUNCTIONS:
        return _Rule(why_not=_WEIGHS.format(name))
    # Such as keras.ops.maximum(values, 0).
    is_relu = name == "maximum" and what(_of_one(call), _image_shape(call)).is_relu
    return _Rule("relu") if is_relu else _Rule(why_not="no activation")


def _of_one(call: Call) -> Any:
    """The call as a function of its one tensor; other arguments are held fixed."""

    def function(values: Any) -> Any:
        args, kwargs = keras.tree.map_structure(
            lambda leaf: values if isinstance(leaf, keras.KerasTensor) else leaf,
            (call.args, dict(call.kwargs)),
        )
        return call.operation(*args, **kwargs)

    return function


def _obstacle(call: Call, axes: Mapping[int, int | None], is_answer: bool) -> str | None:
    """Why no mask can follow the call even on request; None if one can."""
    outputs = call.flat_outputs
    if isinstance(call.operation, AblationMask):
        return "a mask itself"
    if is_answer:
        return _ANSWER
    if len(outputs) != 1:
        return f"it has {len(outputs)} outputs"
    shape, dtype, axis = outputs[0].shape, str(outputs[0].dtype), axes[id(outputs[0])]
    if "float" not in dtype:
        return f"its output is of type {dtype}"
    if len(shape) < 2:
        return "its output has no axis of units"
    if axis is None:
        return (
            "whether its units are the first axis or the last cannot be told, since the model is "
            "channels-first; build it with data_format='channels_last'"
        )
    if shape[axis] is None:
        return "its number of units is not known; give the model a fixed input size"
    return None


def _answer(read: Graph, axes: Mapping[int, int | None]) -> set[int]:
    """id() of the calls that give the model's answer: the calls of its outputs, and calls that lead
    to them through calls without weights that keep the number of units."""
    writers = graph.by_writer(read.calls)
    found: set[int] = set()
    waiting = list(keras.tree.flatten(read.outputs))
    while waiting:
        tensor = waiting.pop()
        call = writers.get(id(tensor))
        if call is None or id(call) in found:
            continue
        found.add(id(call))
        weights = getattr(call.operation, "weights", [])
        passes = not weights or isinstance(call.operation, AblationMask)
        if len(call.inputs) == 1 and passes:
            before = call.inputs[0]
            n_units = _n_units(before, axes)
            if n_units is not None and n_units == _n_units(tensor, axes):
                waiting.append(before)
    return found


def _n_units(tensor: Any, axes: Mapping[int, int | None]) -> int | None:
    axis = axes[id(tensor)]
    return tensor.shape[axis] if axis is not None and len(tensor.shape) > 1 else None


def _units_axes(read: Graph) -> dict[int, int | None]:
    """The axis of the units of each tensor, by id(): the last axis, or 1 if a layer with
    `data_format="channels_first"` made the tensor; None if the axis is unknown."""
    axes: dict[int, int | None] = {id(tensor): -1 for tensor in keras.tree.flatten(read.inputs)}
    for call in read.calls:
        data_format = getattr(call.operation, "data_format", None)
        given = [axes[id(tensor)] for tensor in call.inputs]
        shape = call.flat_outputs[0].shape
        axis: int | None
        if len(shape) <= 2 or isinstance(call.operation, keras.layers.Dense):
            axis = -1
        elif data_format is not None:
            axis = 1 if data_format == "channels_first" else -1
        elif all(one == -1 for one in given):
            axis = -1
        else:
            joined = isinstance(call.operation, keras.layers.Concatenate)
            kept = joined or all(tensor.shape == shape for tensor in call.inputs)
            axis = 1 if kept and all(one == 1 for one in given) else None
        axes |= {id(tensor): axis for tensor in call.flat_outputs}
    return axes


def _call_names(read: Graph) -> list[str]:
    """A name for each call: the layer's name, with the number of the call from the second call
    on."""
    labels = graph.labels(read)
    taken = set(labels.values())
    counts: dict[int, int] = {}
    names = [""] * len(read.calls)
    for position in _order(read):
        operation = read.calls[position].operation
        number = counts[id(operation)] = counts.get(id(operation), 0) + 1
        name = labels[id(operation)]
        if number > 1:
            name = graph.unused(f"{name}_call_{number}", taken)
            taken.add(name)
        names[position] = name
    return names


def _order(read: Graph) -> list[int]:
    """Positions of the calls in the order of a model's layers. A call with more calls between it
    and the answer comes first; ties are broken by the order of the arguments of the next call."""
    writers = {
        id(tensor): position
        for position, call in enumerate(read.calls)
        for tensor in call.flat_outputs
    }
    depths = [0] * len(read.calls)
    for position in reversed(range(len(read.calls))):
        for tensor in read.calls[position].inputs:
            before = writers.get(id(tensor))
            if before is not None:
                depths[before] = max(depths[before], depths[position] + 1)
    ranks: dict[int, int] = {}
    waiting = [
        writers[id(tensor)]
        for tensor in reversed(keras.tree.flatten(read.outputs))
        if id(tensor) in writers
    ]
    opened: set[int] = set()
    while waiting:
        position = waiting[-1]
        if position in opened:
            waiting.pop()
            ranks.setdefault(position, len(ranks))
            continue
        opened.add(position)
        givers = [
            writers[id(tensor)] for tensor in read.calls[position].inputs if id(tensor) in writers
        ]
        waiting += [giver for giver in reversed(givers) if giver not in opened]
    n_calls = len(read.calls)
    return sorted(range(n_calls), key=lambda one: (-depths[one], ranks.get(one, n_calls + one)))


def _calls_told_apart(read: Graph, names: Sequence[str]) -> dict[int, str]:
    """For each call of a layer that is called several times, by position: a text with the number of
    the call and its input."""
    writers = {
        id(tensor): name
        for call, name in zip(read.calls, names, strict=True)
        for tensor in call.flat_outputs
    }
    sources: dict[int, set[str]] = {
        id(tensor): {tensor.name} for tensor in keras.tree.flatten(read.inputs)
    }
    of_calls: list[frozenset[str]] = []
    positions: dict[int, list[int]] = {}
    for call in read.calls:
        found = set().union(*(sources.get(id(tensor), set()) for tensor in call.inputs))
        sources |= {id(tensor): found for tensor in call.flat_outputs}
        of_calls.append(frozenset(found))
    for position in _order(read):
        positions.setdefault(id(read.calls[position].operation), []).append(position)
    told = {}
    for several in positions.values():
        apart = len({of_calls[position] for position in several}) == len(several)
        for number, position in enumerate(several if len(several) > 1 else [], start=1):
            if apart:
                given = "computed from input " + " and ".join(sorted(of_calls[position]))
            else:
                before = [
                    writers.get(id(tensor), tensor.name) for tensor in read.calls[position].inputs
                ]
                given = "given the output of " + " and ".join(dict.fromkeys(before))
            told[position] = f"call {number} of {len(several)}, {given}"
    return told


def _chosen(
    names: Sequence[str],
    rules: Sequence[_Rule],
    obstacles: Sequence[str | None],
    layers: Sequence[str] | None,
) -> set[str]:
    """Names of the calls that get a mask."""
    table = {name: (rule, why) for name, rule, why in zip(names, rules, obstacles, strict=True)}
    hidden = [name for name, (rule, why) in table.items() if rule.function and why is None]
    if layers is None:
        return set(hidden)
    chosen: set[str] = set()
    for pattern in layers:
        if pattern in table:
            why = table[pattern][1]
            if why not in (None, _THERE):
                raise ValueError(f"layer {pattern!r} cannot be masked: {why}")
            chosen |= {pattern} if why is None else set()
            continue
        fitting = [name for name in hidden if fnmatchcase(name, pattern)]
        if not fitting:
            raise ValueError(
                f"no hidden layer fits {pattern!r}; there are {_listed(hidden)}. "
                "repro.hidden_layers(model) lists the others"
            )
        chosen.update(fitting)
    return chosen


def _with_mask(tensor: Any, spot: _Spot) -> Any:
    """The tensor behind a new mask; units on axis 1 are moved to the last axis and back."""
    policy = graph.dtype_policy(tensor.dtype)
    mask = AblationMask(name=f"{spot.row.layer}_mask", dtype=policy)
    if spot.units_axis == -1:
        return mask(tensor)
    axes = range(1, len(tensor.shape))
    to_last = keras.layers.Permute((*axes[1:], 1), dtype=policy, name=f"{spot.row.layer}_to_last")
    to_first = keras.layers.Permute(
        (axes[-1], *axes[:-1]), dtype=policy, name=f"{spot.row.layer}_to_first"
    )
    return to_first(mask(to_last(tensor)))


def _twins(read: Graph, spots: Sequence[_Spot]) -> dict[int, Any]:
    """For each operation by id() that needs another name in the new model, a twin with that name: a
    model cannot hold two layers of one name, and the operation itself keeps its own."""
    masks = [f"{spot.row.layer}_mask" for spot in spots if spot.insert]
    taken = {tensor.name for tensor in keras.tree.flatten(read.inputs)} | set(masks)
    labels = graph.labels(read)
    twins = {}
    for call in read.calls:
        operation, label = call.operation, labels.pop(id(call.operation), None)
        if label is None:
            continue
        name = graph.unused(label, taken)
        taken.add(name)
        if name != operation.name:
            twins[id(operation)] = twin(operation, name)
    return twins


# --- Masks by layer ---------------------------------------------------------------------------


def _masks_by_layer(model: Any, entry: str) -> dict[str, AblationMask]:
    refuse_other_than_a_model(model, entry)
    return {layer_of(mask): mask for mask in ablation_masks(model)}


def _is_finite(number: Any) -> bool:
    try:
        return math.isfinite(number)
    except TypeError:
        return False


def _named(masks: Mapping[str, AblationMask], layer: Any) -> AblationMask:
    layer = layer.name if isinstance(layer, keras.Layer) else layer
    if layer not in masks:
        raise ValueError(f"no mask stands after a layer {layer!r}; there are {_listed(masks)}")
    return masks[layer]


def _checked_units(
    masks: Mapping[str, AblationMask], layer: str, units: Sequence[int]
) -> np.ndarray:
    mask = _named(masks, layer)
    try:
        numbers = np.asarray(sorted(units) if isinstance(units, set | frozenset) else units)
    except (TypeError, ValueError):
        numbers = np.asarray(None)
    if numbers.size == 0:
        return np.zeros(0, int)
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        cure = (
            "np.flatnonzero(units) gives those of a mask of bools"
            if numbers.dtype == bool
            else f"write a list, such as {{{layer!r}: [0, 3]}}"
        )
        raise ValueError(f"units of {layer!r} must be a list of integers, got {units!r}; {cure}")
    if numbers.min() < 0 or numbers.max() >= mask.n_units:
        raise ValueError(
            f"units of {layer!r} are numbered 0 to {mask.n_units - 1}, "
            f"got {numbers.min()} to {numbers.max()}; take numbers from that range"
        )
    return numbers


def names_of_layers(layers: Any) -> list[str] | None:
    """The argument `layers` as names and patterns; a layer stands for its name, None for itself.

    Raises:
        ValueError: it is no list, or holds anything else.
    """
    if layers is None:
        return None
    if isinstance(layers, str):
        raise ValueError(f"layers must be a list of names, got the string {layers!r}")
    if not isinstance(layers, Iterable):
        raise ValueError(f"layers must be a list of names, got {layers!r}")
    names = [one.name if isinstance(one, keras.Layer) else one for one in layers]
    for name in names:
        if not isinstance(name, str):
            raise ValueError(
                f"layers must be names of layers, patterns or layers of the model, got {name!r}; "
                "repro.hidden_layers(model) lists the names"
            )
    return names


def _listed(names: Any) -> str:
    """The names, or the first of them."""
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) or "none") + more
