"""The page in `static/`, served with a policy that lets it load nothing from elsewhere."""

from __future__ import annotations

import contextlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

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


def static_folder() -> Path:
    """The folder of the page: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "static"
    return installed if installed.is_dir() else package.parent / "static"


async def get_page(request: Request) -> Response:
    return _file("index.html", request)


async def get_file(request: Request) -> Response:
    return _file(request.path_params["path"], request)


def _file(name: str, request: Request) -> Response:
    path = _path_of(name)
    if path is None:
        return Problem(404, f"there is nothing at {request.scope['path']}")
    return FileResponse(path, headers=_HEADERS)


def _path_of(name: str) -> Path | None:
    """The file of that name in the folder; None if there is none, or can be none."""
    folder = static_folder()
    # a name may hold a NUL, be too long for a file, or be no UTF-8
    with contextlib.suppress(OSError, ValueError):
        path = (folder / name).resolve()
        if path.is_relative_to(folder) and path.is_file():
            return path
    return None


ROUTES = [Route("/", get_page), Route("/static/{path:path}", get_file)]
