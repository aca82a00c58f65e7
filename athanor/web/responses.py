"""Answers, and the path of the next page of a list."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from ..protocol.encoding import encode


def json_response(thing: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(thing), status, headers, media_type="application/json")


def next_page(request: Request, **position: int | None) -> str | None:
    """This request's path and query with another position; None if there is none."""
    if any(value is None for value in position.values()):
        return None
    query = {**request.query_params, **position}
    return f"{request.url.path}?{urlencode(query)}"
