"""HTTP replies: what a handler returns, or its error as JSON.

Every reply goes through TensorBoard's Respond, which adds the safe headers. Errors are JSON:
{"error": {"code": "not_found", "message": "a sentence for the user"}}.
"""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from tensorboard import errors
from tensorboard.backend import http_util
from werkzeug import wrappers

from tb_plugin import metadata
from tb_plugin.lab.process import LabError
from tb_plugin.reading.provider import ProviderError, SeriesNotFoundError

logger = logging.getLogger(__name__)

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

Answer = tuple[bytes, str]  # content, content type


def json_answer(content: Mapping[str, Any]) -> Answer:
    """A reply of JSON without NaN."""
    # The JSON is written here: TensorBoard would first search every number for NaN and bytes, which
    # takes longer than all the rest. This call raises if there are any.
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.encode(), "application/json"


def answered(handler: Callable[[Any], Any], methods: tuple[str, ...] = READ):
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
        except SeriesNotFoundError as error:
            return _error(request, 404, "not_found", str(error))
        except metadata.UnreadableError as error:
            return _error(request, 422, "unreadable_data", str(error))
        except ProviderError as error:
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
