"""The service's own state: whether it is alive and ready, and its OpenAPI document."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ..engine.athanor import Athanor
from .permission import permission_of
from .problems import Problem
from .responses import json_response


async def get_health(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def get_ready(request: Request) -> Response:
    engine: Athanor = request.app.engine
    if engine.unready_reason is not None:
        # the reason may name hosts, files and users
        reason = engine.unready_reason if permission_of(request).caller else "not ready"
        return Problem(503, reason, {"retry-after": "1"})
    return PlainTextResponse("ready\n")


async def get_openapi(request: Request) -> Response:
    return json_response(request.app.openapi)
