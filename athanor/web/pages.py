"""The page in `static/`, served with a policy that lets it load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .page_files import TYPES, PageReader
from .problems import Problem

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
}
# for a path with the version: its content never changes (RFC 8246); a year, in seconds
_FOREVER = "public, max-age=31536000, immutable"


def static_folder() -> Path:
    """The folder of the page: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "static"
    return installed if installed.is_dir() else package.parent / "static"


_reader = PageReader(static_folder())


async def get_page(request: Request) -> Response:
    files = await run_in_threadpool(_reader.read)
    return Response(files.index, headers=_HEADERS, media_type=TYPES[".html"])


async def get_file(request: Request) -> Response:
    # as they were when the document was last asked for
    files = _reader.latest
    if files is None:
        files = await run_in_threadpool(_reader.read)
    found = files.find(request.path_params["path"])
    if found is None:
        return Problem(404, f"there is nothing at {request.scope['path']}")
    name, is_current = found
    headers = {**_HEADERS, "cache-control": _FOREVER} if is_current else _HEADERS
    return Response(files.contents[name], headers=headers, media_type=TYPES[Path(name).suffix])


ROUTES = [Route("/", get_page), Route("/static/{path:path}", get_file)]
