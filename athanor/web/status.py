"""The service about itself: alive, ready, described."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from .problems import Problem
from .responses import json_response


async def get_health(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def get_ready(request: Request) -> Response:
    trouble = request.app.state.athanor.trouble
    if trouble is not None:
        return Problem(503, trouble, {"retry-after": "1"})
    return PlainTextResponse("ready\n")


async def get_openapi(request: Request) -> Response:
    return json_response(request.app.state.openapi)
