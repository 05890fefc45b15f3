"""The files of the front end, packed, with an entity tag each."""

import functools
import gzip
import hashlib
from pathlib import Path

from tensorboard import errors
from tensorboard.backend import http_util
from werkzeug import wrappers

from tb_plugin import metadata

STATIC = Path(__file__).resolve().parent / "static"
# The machine's own table may call .js text/plain; with nosniff, a browser would then refuse to run
# it.
CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}


def static(request) -> wrappers.Response:
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
