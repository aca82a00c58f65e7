"""The service's own state: whether it is alive and ready, and its OpenAPI document."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ..engine.athanor import Athanor
from .problems import Problem
from .responses import json_response


async def get_health(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def get_ready(request: Request) -> Response:
    engine: Athanor = request.app.state.athanor
    if engine.unready_reason is not None:
        return Problem(503, engine.unready_reason, {"retry-after": "1"})
    return PlainTextResponse("ready\n")


async def get_openapi(request: Request) -> Response:
    return json_response(request.app.state.openapi)
