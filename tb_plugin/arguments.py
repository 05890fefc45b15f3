"""Reads what a request asks for: the arguments in its address, or the JSON in its body.

An argument that is missing or malformed raises TensorBoard's InvalidArgumentError.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from tensorboard import errors
from werkzeug.exceptions import ClientDisconnected

from tb_plugin.lab.process import LabError

LARGEST_STEP = 2**63 - 1
LARGEST_BODY = 64 * 1024


def run_and_tag(request) -> tuple[str, str]:
    """The arguments run= and tag=, both needed."""
    run, tag = request.args.get("run"), request.args.get("tag")
    if not run or not tag:
        raise errors.InvalidArgumentError("both run= and tag= are needed")
    return run, tag


def pairs(request) -> list[tuple[str, str]]:
    """Runs and tags of run=A&tag=B&run=C&tag=D."""
    runs, tags = request.args.getlist("run"), request.args.getlist("tag")
    if not runs or len(runs) != len(tags) or "" in runs + tags:
        raise errors.InvalidArgumentError(
            f"as many tag= as run= are needed, in pairs: got {len(runs)} run, {len(tags)} tag"
        )
    return list(zip(runs, tags, strict=True))


def optional_step(request) -> int | None:
    """The argument step=, None without it."""
    return whole(request, "step") if "step" in request.args else None


def extent(request) -> tuple[float, float] | None:
    """The arguments low= and high=, both or neither."""
    if not {"low", "high"} & set(request.args):
        return None
    try:
        low, high = float(request.args.get("low", "")), float(request.args.get("high", ""))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise errors.InvalidArgumentError("low= and high= must be two numbers, in this order")
    return low, high


def whole(request, name: str) -> int:
    """A whole number from 0 to LARGEST_STEP."""
    text = request.args.get(name, "")
    # isdecimal alone would accept digits of other alphabets, and any length.
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= LARGEST_STEP):
        raise errors.InvalidArgumentError(f"{name}= must be a whole number, at least 0")
    return int(text)


def json_body(request) -> Mapping[str, Any]:
    """The JSON object in the body.

    Raises:
        LabError: the body is too large, of unknown length, cut short, or no JSON object.
    """
    length = request.content_length
    if length is None or length > LARGEST_BODY:
        raise LabError("too_large_request", f"At most {LARGEST_BODY:,} bytes, with their length.")
    try:
        body = json.loads(request.get_data(cache=False))
    except ClientDisconnected:
        # Raised further, werkzeug would print a traceback for everybody who leaves the page.
        raise LabError("invalid_argument", "The body ended before its length.") from None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise LabError("invalid_argument", "The body must be a JSON object.")
    return body
