"""Responses in JSON, the media types of all responses, and the path of a list's next page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from ..protocol.encoding import encode
from .paced_response import PacedResponse

JSON, NDJSON, CSV, TEXT = "application/json", "application/x-ndjson", "text/csv", "text/plain"
SSE = "text/event-stream"


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return PacedResponse(encode(content), status, headers, media_type=JSON)


def list_response(noun: str, items: Iterable[bytes], rest: dict[str, Any]) -> Response:
    """A list whose items are JSON already, under the name `noun`, with the fields in `rest`."""
    body = b'{"%b":[%b],%b' % (noun.encode(), b",".join(items), encode(rest)[1:])
    return PacedResponse(body, media_type=JSON)


def next_page(request: Request, **position: int | str | None) -> str | None:
    """The path and query of this request at another position; None if the position is None."""
    if any(value is None for value in position.values()):
        return None
    # a parameter may be there several times, as `key` may
    given = dict.fromkeys(request.query_params)
    of = request.query_params.getlist
    query = {name: position[name] if name in position else of(name) for name in given | position}
    return f"{quote(request.scope['path'])}?{urlencode(query, doseq=True)}"
