"""The routes of the plugin below /data/plugin/single_directions; see http_api.md.

Every reply goes through TensorBoard's Respond, which adds the safe headers. Errors are JSON:
{"error": {"code": "not_found", "message": "a sentence for the user"}}.
"""

import functools
import gzip
import hashlib
import ipaddress
import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from tb_plugin import metadata, reading
from tb_plugin.lab import LARGEST_BODY, Lab
from tb_plugin.lab_process import LabError

logger = logging.getLogger(__name__)

STATIC = Path(__file__).resolve().parent / "static"
# The machine's own table may call .js text/plain; with nosniff, a browser would then refuse to run
# it.
CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}
READ = ("GET", "HEAD")
# HTTP status for each error code of the lab; 422 for any other code.
LAB_STATUS = {
    "invalid_argument": 400,
    "forbidden": 403,
    "lab_off": 403,
    "not_found": 404,
    "superseded": 409,
    "cancelled": 409,
    "model_changed": 409,
    "too_large_request": 413,
    "wrong_type": 415,
    "busy": 429,
    "child_died": 503,
    "timeout": 504,
}
# Codes that are not logged as refusals: the client has moved on, or must open its model again.
LAB_TRAFFIC = ("superseded", "cancelled", "model_changed")
LAB_ROUTES = "/api/v1/lab/"
# TensorBoard's default number of scalar steps.
SCALARS_KEPT = 1000
LARGEST_STEP = 2**63 - 1
MOST_BINS = 500

Answer = tuple[bytes, str]  # content, content type


class SingleDirectionsPlugin(base_plugin.TBPlugin):
    """Ablation curves and unit tables, read through TensorBoard's data provider."""

    plugin_name = metadata.PLUGIN_NAME

    def __init__(self, context):
        self._provider = context.data_provider
        self._sampling = dict(context.sampling_hints or {})
        self._lab, self._lab_off = _lab_of(context.flags)
        self._lab_remote = bool(getattr(context.flags, "single_directions_remote", False))

    def get_plugin_apps(self):
        return {
            "/static/*": _answered(_static),
            "/api/v1/index": _answered(self._index),
            "/api/v1/curve": _answered(self._curve),
            "/api/v1/units/steps": _answered(self._unit_steps),
            "/api/v1/units": _answered(self._units),
            "/api/v1/unit": _answered(self._unit),
            "/api/v1/distributions": _answered(self._distributions),
            "/api/v1/training": _answered(self._training),
            "/api/v1/lab/models": _answered(self._lab_models),
            "/api/v1/lab/ask": _answered(self._lab_ask, ("POST",)),
        }

    def is_active(self):
        """Whether the lab is on. If there is data of this plugin, TensorBoard shows the tab
        anyway."""
        return self._lab is not None

    def data_plugin_names(self):
        return (metadata.PLUGIN_NAME, metadata.UNITS_PLUGIN_NAME)

    def frontend_metadata(self):
        # Constant, because an exception here would break TensorBoard's whole page.
        return base_plugin.FrontendMetadata(
            es_module_path="/static/index.js", tab_name="Single Directions"
        )

    def _index(self, request) -> Answer:
        names = self.data_plugin_names()
        sampling = {name: self._sampling.get(name) for name in names}
        sampling["scalars"] = self._sampling.get("scalars", SCALARS_KEPT)
        return _json({**self._reader(request).index(), "sampling": sampling})

    def _curve(self, request) -> Answer:
        pairs = _pairs(request)
        return _json({"curves": self._reader(request).curves(pairs, _optional_step(request))})

    def _unit_steps(self, request) -> Answer:
        return _json({"steps": self._reader(request).table_steps(*_run_and_tag(request))})

    def _units(self, request) -> Answer:
        run, tag = _run_and_tag(request)
        columns = request.args.getlist("column") or None
        table = self._reader(request).table_bytes(run, tag, _whole(request, "step"), columns)
        return table, "application/octet-stream"

    def _unit(self, request) -> Answer:
        run, tag = _run_and_tag(request)
        step, row = _whole(request, "step"), _whole(request, "row")
        return _json(self._reader(request).unit(run, tag, step, row))

    def _distributions(self, request) -> Answer:
        column = request.args.get("column", "")
        n_bins = _whole(request, "bins") if "bins" in request.args else 40
        if not column or not 1 <= n_bins <= MOST_BINS:
            raise errors.InvalidArgumentError(f"column= is needed, and bins= of 1 to {MOST_BINS}")
        pairs, step, extent = _pairs(request), _optional_step(request), _extent(request)
        return _json(self._reader(request).distributions(pairs, column, n_bins, step, extent))

    def _training(self, request) -> Answer:
        runs = request.args.getlist("run")
        if not runs or "" in runs:
            raise errors.InvalidArgumentError("one run= or more are needed")
        return _json({"runs": self._reader(request).training(list(dict.fromkeys(runs)))})

    def _lab_models(self, request) -> Answer:
        if self._lab is None:
            return _json({"enabled": False, "reason": self._lab_off, "models": []})
        _check_page(request, self._lab_remote)  # other sites must not see the names of models
        models = [
            {"id": model.id, "name": model.name, "bytes": model.size}
            for model in self._lab.models()
        ]
        return _json({"enabled": True, "reason": "", "models": models})

    def _lab_ask(self, request) -> Answer:
        if self._lab is None:
            raise LabError("lab_off", self._lab_off)
        _check_sender(request, self._lab_remote)
        return _json(self._lab.ask(_json_body(request)))

    def _reader(self, request) -> reading.Reader:
        if self._provider is None:
            raise reading.ProviderError(
                "this TensorBoard has no data provider; start it without --generic_data=false"
            )
        context = plugin_util.context(request.environ)
        return reading.Reader(self._provider, context, plugin_util.experiment_id(request.environ))


def _run_and_tag(request) -> tuple[str, str]:
    run, tag = request.args.get("run"), request.args.get("tag")
    if not run or not tag:
        raise errors.InvalidArgumentError("both run= and tag= are needed")
    return run, tag


def _pairs(request) -> list[tuple[str, str]]:
    runs, tags = request.args.getlist("run"), request.args.getlist("tag")
    if not runs or len(runs) != len(tags) or "" in runs + tags:
        raise errors.InvalidArgumentError(
            f"as many tag= as run= are needed, in pairs: got {len(runs)} run, {len(tags)} tag"
        )
    return list(zip(runs, tags, strict=True))


def _optional_step(request) -> int | None:
    return _whole(request, "step") if "step" in request.args else None


def _extent(request) -> tuple[float, float] | None:
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


def _whole(request, name: str) -> int:
    text = request.args.get(name, "")
    # isdecimal alone would accept digits of other alphabets, and any length.
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= LARGEST_STEP):
        raise errors.InvalidArgumentError(f"{name}= must be a whole number, at least 0")
    return int(text)


def _json(content: Mapping[str, Any]) -> Answer:
    # The JSON is written here: TensorBoard would first search every number for NaN and bytes, which
    # takes longer than all the rest. This call raises if there are any.
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.encode(), "application/json"


def _lab_of(flags: Any) -> tuple[Lab | None, str]:
    """The lab, or None and why it is off."""
    folder = getattr(flags, "single_directions_models", "")
    if not folder:
        return None, (
            "The lesion lab is off. Start TensorBoard with --single_directions_models=DIR, the "
            "folder of your .keras models; load only models that you trust."
        )
    if not Path(folder).is_dir():
        return None, "--single_directions_models does not name a folder."
    everywhere = bool(getattr(flags, "bind_all", False)) or not _is_loopback(
        getattr(flags, "host", None) or "localhost"
    )
    if everywhere and not getattr(flags, "single_directions_remote", False):
        return None, (
            "The lesion lab is off, because this TensorBoard can be reached from other machines; "
            "--single_directions_remote lets them use the lab, too."
        )
    return Lab(Path(folder), int(getattr(flags, "single_directions_memory_mb", 8192))), ""


def _check_sender(request, remote: bool) -> None:
    """Refuses requests that another site's page could make a browser send.

    Raises:
        LabError: a Host that is not this machine, another origin, or a body of another type.
    """
    _check_page(request, remote)
    # Another site can send this type only after a preflight request, which TensorBoard does not
    # grant.
    if request.headers.get("Content-Type") != "application/json":
        raise LabError("wrong_type", "Content-Type must be application/json.")


def _check_page(request, remote: bool) -> None:
    """Refuses pages of other sites, also of a site whose name was pointed at this machine."""
    host = request.host
    if not remote and not _is_loopback(_host_name(host)):
        raise LabError("forbidden", "The lab answers only when it is addressed as localhost.")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise LabError("forbidden", "The lab answers its own page only.")
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise LabError("forbidden", "The lab answers its own page only.")


def _json_body(request) -> Mapping[str, Any]:
    length = request.content_length
    if length is None or length > LARGEST_BODY:
        raise LabError("too_large_request", f"At most {LARGEST_BODY:,} bytes, with their length.")
    try:
        body = json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise LabError("invalid_argument", "The body must be a JSON object.")
    return body


def _host_name(host: str) -> str:
    """`host` without its port: "[::1]:6006" is "::1"."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _answered(handler: Callable[[Any], Any], methods: tuple[str, ...] = READ):
    """A WSGI application around a handler: checks the method, turns errors into JSON."""

    @wrappers.Request.application
    def application(request):
        if request.method not in methods:
            allowed = ", ".join(methods)
            message = f"only {allowed} are answered here"
            if LAB_ROUTES in request.path:
                _log_refusal("method_not_allowed")
            reply = _error(request, 405, "method_not_allowed", message)
            reply.headers["Allow"] = allowed
            return reply
        try:
            answer = handler(request)
        except errors.PublicError as error:
            code = "invalid_argument" if error.http_code == 400 else "not_found"
            return _error(request, error.http_code, code, str(error))
        except reading.SeriesNotFoundError as error:
            return _error(request, 404, "not_found", str(error))
        except metadata.UnreadableError as error:
            return _error(request, 422, "unreadable_data", str(error))
        except reading.ProviderError as error:
            return _error(request, 502, "provider_error", str(error))
        except LabError as error:
            if error.code not in LAB_TRAFFIC:
                _log_refusal(error.code)
            reply = _error(request, LAB_STATUS.get(error.code, 422), error.code, str(error))
            if error.code == "busy":
                reply.headers["Retry-After"] = "2"
            return reply
        except Exception:
            logger.exception("a request to the Single Directions plugin failed")
            message = "The plugin failed on this request; TensorBoard's log says where."
            return _error(request, 500, "internal", message)
        if isinstance(answer, wrappers.Response):
            return answer
        content, content_type = answer
        return http_util.Respond(request, content, content_type)

    return application


def _log_refusal(code: str) -> None:
    """Logs one line without the request's text, which the client controls."""
    logger.warning("the lesion lab refused a request: %s", code)


def _error(request, status: int, code: str, message: str) -> wrappers.Response:
    content = {"error": {"code": code, "message": message}}
    return http_util.Respond(request, content, "application/json", code=status)


def _static(request) -> wrappers.Response:
    """A file of the front end. It is looked up in a listing, so no path can lead out of the
    folder."""
    name = request.path.partition(f"/{metadata.PLUGIN_NAME}/static/")[2]
    path = _static_files().get(name)
    if path is None:
        raise errors.NotFoundError("no such file of the front end")
    content_type = CONTENT_TYPES[path.suffix]
    zipped, tag = _zipped(path, path.stat().st_mtime_ns)
    if tag in request.if_none_match:
        return wrappers.Response(
            status=304,
            headers=[("ETag", f'"{tag}"'), ("X-Content-Type-Options", "nosniff")],
            content_type=content_type,
        )
    return http_util.Respond(
        request,
        zipped,
        content_type + "; charset=utf-8",
        content_encoding="gzip",
        headers=[("ETag", f'"{tag}"')],
    )


def _static_files() -> dict[str, Path]:
    # The folder is listed each time, so that a chart library built after TensorBoard's start is
    # found.
    files = (path for path in STATIC.rglob("*") if path.suffix in CONTENT_TYPES)
    return {path.relative_to(STATIC).as_posix(): path for path in files if path.is_file()}


@functools.lru_cache(maxsize=64)
def _zipped(path: Path, _changed: int) -> tuple[bytes, str]:
    """A file's gzip and its entity tag, made once per version of the file."""
    content = path.read_bytes()
    return gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest()[:20]
