"""The questions that the lab answers, and the check of a request."""

from collections.abc import Mapping
from typing import Any

from tb_plugin.lab.process import LabError

LONGEST_CLIENT = 40
MOST_COUNTS = 64  # lesions of one random order

# The questions, with the most seconds that each may take. The first `open` imports TensorFlow and
# reads the images.
SECONDS = {
    "open": 240.0,
    "outputs": 30.0,
    "accuracy": 60.0,
    "rank": 180.0,
    "unit": 60.0,
    "order": 60.0,
}
ARGUMENTS: dict[str, dict[str, type]] = {
    "open": {},
    "outputs": {"lesions": dict, "image": int},
    "accuracy": {"lesions": dict},
    "rank": {"by": str},
    "unit": {"layer": str, "unit": int},
    "order": {"seed": int, "counts": list},
    "cancel": {},
}
# The request that ends the client's earlier requests, running or waiting. It never waits.
CANCEL = "cancel"
# Optional argument: hash of the file that the client has open. If the file was replaced, the
# request is refused.
SHA256 = "sha256"
# Optional argument: which images the model is asked on; without it, those that belong to it.
IMAGES = "images"
IMAGE_SETS = ("training",)
OPTIONAL: dict[str, type] = {SHA256: str, IMAGES: str}
RANKINGS = ("class_selectivity", "importance")


def checked(request: Mapping[str, Any]) -> tuple[str, str, str]:
    """The checked request: question, client, model and arguments of the right types, and nothing
    else."""
    what, client, model = (request.get(name) for name in ("do", "client", "model"))
    if not isinstance(what, str) or what not in ARGUMENTS:
        raise _invalid(f"do must be one of {', '.join(ARGUMENTS)}")
    if not isinstance(client, str) or not 1 <= len(client) <= LONGEST_CLIENT:
        raise _invalid(f"client must be a text of 1 to {LONGEST_CLIENT} letters")
    if not isinstance(model, str):
        raise _invalid("model must be the id of a model")
    wanted = {"do": str, "client": str, "model": str, **ARGUMENTS[what]}
    if set(request) - set(OPTIONAL) != set(wanted):
        raise _invalid(f"exactly these are needed: {', '.join(sorted(wanted))}")
    wanted |= {name: kind for name, kind in OPTIONAL.items() if name in request}
    for name, kind in wanted.items():
        if type(request[name]) is not kind:
            raise _invalid(f"{name} must be of type {kind.__name__}")
    if "lesions" in wanted:
        _check_lesions(request["lesions"])
    if request.get(IMAGES, IMAGE_SETS[0]) not in IMAGE_SETS:
        raise _invalid(f"images must be {' or '.join(IMAGE_SETS)}")
    if what == "order":
        counts = request["counts"]
        if request["seed"] < 0 or not 0 < len(counts) <= MOST_COUNTS:
            raise _invalid(
                f"seed must not be negative, and there must be 1 to {MOST_COUNTS} counts"
            )
        if any(type(k) is not int or k < 0 for k in counts):
            raise _invalid("counts must be whole numbers of units")
    if what == "rank" and request["by"] not in RANKINGS:
        raise _invalid(f"by must be one of {', '.join(RANKINGS)}")
    return what, client, model


def _check_lesions(lesions: Mapping[str, Any]) -> None:
    """Checks the form {layer: [unit, ...]}; the child checks that the units exist."""
    for units in lesions.values():
        if not isinstance(units, list) or not all(type(unit) is int for unit in units):
            raise _invalid("lesions must name whole numbers of units for each layer")
        if len(set(units)) < len(units) or any(unit < 0 for unit in units):
            raise _invalid("lesions must name each unit once, counted from 0")


def _invalid(message: str) -> LabError:
    return LabError("invalid_argument", message)
