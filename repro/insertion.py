"""Masks in any Keras model, and lesions by the name of a layer.

    masked = repro.insert_masks(model)
    repro.ablate(masked, {"conv3": [4, 17]})
    masked.predict(images)
    repro.restore(masked)

Which layers are hidden: a layer is, if its output is what an activation function gives. That is

- a layer of Keras whose `activation` is another one than linear (Dense, Conv2D, Activation, ...);
- ReLU, LeakyReLU, PReLU and ELU, and functions like `keras.ops.relu`. Where one of them follows an
  addition, it gives the merged activation of a residual block, which so has a mask;
- not a softmax, which weighs units against each other;
- not a recurrent layer: its units would live on in its own state;
- not a layer of other authors, of which nobody can tell what its output is;
- never the model's answer: its outputs, and what leads to them without weights and with the same
  number of units (the Dense before a Softmax, class maps before a global pooling).

A layer that the rule leaves out can be named in `layers`; the model's answer cannot. Layers within
nested models count as if they were not nested. A layer that is called several times has a mask for
each call: the units of its second call are those of `<layer>_call_2`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import keras
import numpy as np
from keras import ops

from repro import graph
from repro.graph import Call, Graph
from repro.masking import AblationMask, ablation_masks, layer_of

# They weigh the units of a layer against each other, so that their output is no unit's own.
_NORMALIZING = ("softmax", "log_softmax", "logsoftmax", "sparsemax")
_ACTIVATION_LAYERS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
)
# Classes of Keras's functions, such as `keras.ops.relu`; they are not public, their names are.
_ACTIVATION_FUNCTIONS = frozenset(
    "celu elu gelu glu hardshrink hardsigmoid hardsilu hardtanh leakyrelu logsigmoid mish relu "
    "relu6 selu sigmoid silu softplus softshrink softsign sparseplus sparsesigmoid squareplus tanh "
    "tanhshrink threshold".split()
)
# Activations that are never below 0, by their names in small letters without underscores.
_NEVER_NEGATIVE = frozenset(
    "exponential hardsigmoid relu relu6 sigmoid softplus sparseplus sparsesigmoid "
    "squareplus".split()
)
_ANSWER = "the model's answer, or leads to it without weights"
_THERE = "its mask is there"
_WEIGHS = "{} weighs its units against each other"
_LISTED = 20  # names in a message


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

    While the masks are ones, its outputs are those of the model. Nested models are opened up, the
    mask of a layer is called `<layer>_mask`, and the new model is not compiled.

    Args:
        model: functional or Sequential, with any number of inputs and outputs.
        layers: which of the hidden layers, by name or by patterns such as "block?_*"; None for
            all. A full name may also choose a layer that the rule leaves out.
        share_weights: the new model is made of the layers of the old one, and training one trains
            the other; if False, of copies.

    Raises:
        ValueError: the model is subclassed, has nothing to mask or two layers of one name; or a
            name or pattern fits no layer, or one that cannot be masked.
    """
    read = graph.read(model if share_weights else graph.copied(model))
    spots = _plan(read, layers)
    if not any(spot.row.masked for spot in spots):
        raise ValueError(
            f"model {read.name!r} has no hidden layer to mask; repro.hidden_layers(model) tells of "
            "each layer why, and insert_masks(model, layers=[name]) chooses one"
        )
    names = graph.labels(read)
    for call in read.calls:
        if not share_weights:
            call.operation.name = names[id(call.operation)]  # a copy, which is ours to name
    _check_names(read, spots)
    inputs = graph.new_inputs(read)
    following = iter(spots)

    def again(call: Call) -> Any:
        spot = next(following)
        outputs = call.operation(*call.args, **call.kwargs)
        return _with_mask(outputs, spot) if spot.insert else outputs

    return keras.Model(inputs, read.run(inputs, again), name=read.name)


def chosen_masks(model: keras.Model, layers: Sequence[str]) -> tuple[keras.Model, list[str]]:
    """The model with those of its masks that are asked for, and what is asked for besides.

    Args:
        layers: names or patterns of layers, as for `insert_masks`.

    Returns:
        The model, made of the same layers, without the masks that no name and no pattern fits; and
        the names and patterns that fit none of its masks.

    Raises:
        ValueError: as `hidden_layers`.
    """
    _refuse_a_string(layers)
    read = graph.read(model)
    there = {layer_of(mask) for mask in _masks_in(read)}
    kept = {name for name in there if any(_fits(name, pattern) for pattern in layers)}
    besides = [pattern for pattern in layers if not any(_fits(name, pattern) for name in there)]
    if kept == there:
        return model, besides
    inputs = graph.new_inputs(read)

    def again(call: Call) -> Any:
        if isinstance(call.operation, AblationMask) and layer_of(call.operation) not in kept:
            return call.inputs[0]
        return call.operation(*call.args, **call.kwargs)

    return keras.Model(inputs, read.run(inputs, again), name=read.name), besides


def held_lesion(model: keras.Model) -> dict[str, int]:
    """How many units the model's masks ablate now, by layer; layers without a lesion are left out.

    Raises:
        ValueError: as `hidden_layers`.
    """
    ablated = {
        layer_of(mask): int(np.count_nonzero(ops.convert_to_numpy(mask.keep) != 1))
        for mask in _masks_in(graph.read(model))
    }
    return {layer: n_units for layer, n_units in ablated.items() if n_units}


def hidden_layers(model: keras.Model, layers: Sequence[str] | None = None) -> list[HiddenLayer]:
    """Every layer of a model in the order of computation: masked or not, and why.

    The rows with `masked` are those to which `insert_masks(model, layers)` gives a mask, and those
    that have one.

    Raises:
        ValueError: as `insert_masks`, but for a model that has nothing to mask.
    """
    read = graph.read(model)
    inputs = [
        HiddenLayer(tensor.name, "InputLayer", False, None, "an input of the model")
        for tensor in keras.tree.flatten(read.inputs)
    ]
    return [*inputs, *(spot.row for spot in _plan(read, layers))]


def signed_layers(masked: keras.Model) -> dict[str, str]:
    """The masked layers whose activations can be below 0, and what they are the output of.

    Of layers of other authors and functions of one's own that cannot be told; they are left out.

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
            source = _signed(before.operation) if before is not None else ""
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
    """Clamps units of a masked model, in place: `model.predict` obeys at once.

    `model.save` keeps the lesion. Units ablated before stay ablated.

    Args:
        units: for layers by name the numbers of their units, from 0.
        fill: what the units read from now on.

    Raises:
        ValueError: the model has no masks, or not after such a layer; a unit that does not exist;
            a fill that is not finite. Then nothing has changed.
    """
    masks = _masks_by_layer(model)
    if not math.isfinite(fill):
        raise ValueError(f"fill must be a finite number, got {fill}")
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
    """Takes the lesion away, in place: every unit is intact again.

    Args:
        layers: names of layers; None for all.

    Raises:
        ValueError: the model has no masks, or not after such a layer.
    """
    masks = _masks_by_layer(model)
    _refuse_a_string(layers)
    names = list(masks) if layers is None else layers
    for mask in [_named(masks, name) for name in names]:
        mask.keep.assign(ops.ones_like(mask.keep))
        mask.fill.assign(ops.zeros_like(mask.fill))


# --- Where masks go ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Spot:
    """The output of one call: its row, and whether and how a mask is put there.

    units_axis: axis of the units; None where that cannot be told.
    """

    row: HiddenLayer
    insert: bool
    units_axis: int | None


def _plan(read: Graph, layers: Sequence[str] | None) -> list[_Spot]:
    """What becomes of each call of the graph."""
    _refuse_a_string(layers)
    names, rules = _call_names(read), [_rule(call.operation) for call in read.calls]
    axes = _units_axes(read)
    answer, have_masks = _answer(read, axes), _behind_masks(read)
    obstacles = [
        _THERE if id(call) in have_masks else _obstacle(call, axes, id(call) in answer)
        for call in read.calls
    ]
    chosen = _chosen(names, rules, obstacles, layers)
    spots = []
    for call, name, rule, obstacle in zip(read.calls, names, rules, obstacles, strict=True):
        row = HiddenLayer(
            name,
            type(call.operation).__name__,
            masked=obstacle == _THERE or name in chosen,
            n_units=_n_units(call.flat_outputs[0], axes) if len(call.flat_outputs) == 1 else None,
            why=_why(rule, obstacle, name in chosen),
        )
        spots.append(_Spot(row, name in chosen, axes[id(call.flat_outputs[0])]))
    return spots


def _why(rule: _Rule, obstacle: str | None, chosen: bool) -> str:
    """What a row says of its layer."""
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
    """What the rule says of an operation: the activation function whose output it gives, or why
    it gives none."""

    function: str = ""
    why_not: str = ""


def _rule(operation: Any) -> _Rule:
    kind = type(operation)
    if isinstance(operation, AblationMask):
        return _Rule(why_not="a mask itself")
    if not graph.is_of_keras(kind):
        return _Rule(
            why_not="not one of Keras's layers, so what its output is cannot be told; "
            "name it in layers to mask it"
        )
    if not isinstance(operation, keras.Layer):
        return _of_function(kind.__name__.lower())
    if isinstance(operation, keras.layers.RNN | keras.layers.Bidirectional):
        return _Rule(
            why_not="recurrent: its units would live on in its own state; name it in layers to "
            "mask what it gives"
        )
    if isinstance(operation, keras.layers.Wrapper):
        return _rule(operation.layer)
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
    if function is None or function is keras.activations.linear:
        return _Rule(why_not="no activation")
    name = getattr(function, "__name__", type(function).__name__)
    normalizes = name.lower() in _NORMALIZING
    return _Rule(why_not=_WEIGHS.format(name)) if normalizes else _Rule(name)


def _moved_by_no_layer(call: Call, writers: Mapping[int, Call]) -> Call | None:
    """What the values that a call is given come from, through layers of Keras without weights and
    activation, which leave their signs as they are."""
    while len(call.inputs) == 1:
        before = writers.get(id(call.inputs[0]))
        if before is None:
            return None
        operation = before.operation
        plain = isinstance(operation, keras.Layer) and graph.is_of_keras(type(operation))
        if not plain or operation.weights or _rule(operation).function:
            return before
        call = before
    return None


def _signed(operation: Any) -> str:
    """The name of the activation, or of the layer without one, that can give values below 0; "" of
    what gives none, or of what cannot be told."""
    kind = type(operation)
    if not graph.is_of_keras(kind):
        return ""
    function = _rule(operation).function
    if not function:
        linear = isinstance(operation, keras.Layer) and operation.weights
        return kind.__name__ if linear else ""
    source = getattr(operation, "activation", None) or operation
    known = isinstance(operation, _ACTIVATION_LAYERS) or graph.is_of_keras(source)
    if not known:
        return ""
    leaky = bool(getattr(source, "negative_slope", 0))
    never = function.lower().replace("_", "") in _NEVER_NEGATIVE and not leaky
    return "" if never else function


def _of_function(name: str) -> _Rule:
    """The rule for one of Keras's functions, by the name of its class in small letters."""
    if name in _NORMALIZING:
        return _Rule(why_not=_WEIGHS.format(name))
    return _Rule(name) if name in _ACTIVATION_FUNCTIONS else _Rule(why_not="no activation")


def _obstacle(call: Call, axes: Mapping[int, int | None], is_answer: bool) -> str | None:
    """Why no mask can stand after the call even if it is asked for; None if it can."""
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
    """id() of the calls that give the model's answer: those of its outputs, and what leads to them
    through calls without weights that leave the number of units as it is."""
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
    """For each tensor by its id(), the axis of its units: the last, or 1 where a layer with
    `data_format="channels_first"` made it; None where that was lost on the way."""
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
    """A name for each call: the layer's, with the number of the call from the second on."""
    labels = graph.labels(read)
    taken = set(labels.values())
    counts: dict[int, int] = {}
    names = []
    for call in read.calls:
        number = counts[id(call.operation)] = counts.get(id(call.operation), 0) + 1
        name = labels[id(call.operation)]
        if number > 1:
            name = graph.unused(f"{name}_call_{number}", taken)
            taken.add(name)
        names.append(name)
    return names


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
    """The tensor behind a mask of its own; units on axis 1 are brought to the end and back."""
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


def _check_names(read: Graph, spots: Sequence[_Spot]) -> None:
    """Refuses two layers of one name: a model cannot hold them, and shared ones keep theirs."""
    operations = {id(call.operation): call.operation.name for call in read.calls}
    names = list(operations.values())
    names += [f"{spot.row.layer}_mask" for spot in spots if spot.insert]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"several layers of {read.name!r}, with those of nested models and the masks, would be "
            f"called {', '.join(twice)}; share_weights=False copies and renames what is nested, "
            "else give them names of their own"
        )


# --- Masks by layer ---------------------------------------------------------------------------


def _masks_by_layer(model: keras.Model) -> dict[str, AblationMask]:
    return {layer_of(mask): mask for mask in ablation_masks(model)}


def _named(masks: Mapping[str, AblationMask], layer: str) -> AblationMask:
    if layer not in masks:
        raise ValueError(f"no mask stands after a layer {layer!r}; there are {_listed(masks)}")
    return masks[layer]


def _checked_units(
    masks: Mapping[str, AblationMask], layer: str, units: Sequence[int]
) -> np.ndarray:
    mask, numbers = _named(masks, layer), np.asarray(units)
    if numbers.size == 0:
        return np.zeros(0, int)
    if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(f"units of {layer!r} must be a list of integers, got {units!r}")
    if numbers.min() < 0 or numbers.max() >= mask.n_units:
        raise ValueError(
            f"units of {layer!r} are numbered 0 to {mask.n_units - 1}, "
            f"got {numbers.min()} to {numbers.max()}"
        )
    return numbers


def _refuse_a_string(layers: Sequence[str] | None) -> None:
    if isinstance(layers, str):
        raise ValueError(f"layers must be a list of names, got the string {layers!r}")


def _listed(names: Any) -> str:
    """The names, or the first of them."""
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) or "none") + more
