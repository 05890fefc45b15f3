"""Selects the output of a model that is asked."""

from __future__ import annotations

from typing import Any

import keras

from repro.models.inputs import structure_of


def outputs_of(model: keras.Model) -> Any:
    """The symbolic outputs in the structure in which the model gives them."""
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def names_of(model: keras.Model) -> list[str]:
    """The names of a model's outputs, in the order of its flat outputs."""
    outputs = outputs_of(model)
    if isinstance(outputs, dict):
        return [str(key) for key in sorted(outputs)]
    flat = keras.tree.flatten(outputs)
    names = list(getattr(model, "output_names", ()))
    if len(names) == len(flat) and len(set(names)) == len(names):
        return names
    return [tensor.name for tensor in flat]


def place_of(model: keras.Model, output: str | int | None) -> int:
    """The number of an output among the model's flat ones.

    Raises:
        ValueError: no such output, or none is named where there are several.
    """
    names = names_of(model)
    if output is None:
        if len(names) == 1:
            return 0
        raise ValueError(
            f"model {model.name!r} has {len(names)} outputs ({', '.join(names)}); name the one to "
            f"study, as in output={names[0]!r}"
        )
    if isinstance(output, int) and not isinstance(output, bool) and 0 <= output < len(names):
        return output
    if output in names:
        return names.index(str(output))
    raise ValueError(
        f"model {model.name!r} has no output {output!r}; name one of its outputs, "
        f"{', '.join(names)}, or give its number, 0 to {len(names) - 1}"
    )


def with_output(model: keras.Model, output: str | int | None) -> keras.Model:
    """A model of the same layers with this output alone; the model itself if it has no other
    output.

    Raises:
        ValueError: as `place_of`.
    """
    place = place_of(model, output)
    outputs = outputs_of(model)
    if not isinstance(outputs, dict | list | tuple):
        return model
    return keras.Model(structure_of(model), keras.tree.flatten(outputs)[place], name=model.name)


def answer_of(model: keras.Model, answers: Any, output: str | int | None) -> Any:
    """The part of one output in the model's answers, which may have any structure."""
    flat = keras.tree.flatten(answers)
    return flat[0] if len(flat) == 1 else flat[place_of(model, output)]
