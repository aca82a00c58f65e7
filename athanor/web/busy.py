"""The response to a request for a stream more than there may be: come back later."""

from __future__ import annotations

import random

from starlette.requests import Request
from starlette.responses import Response

from ..protocol.encoding import encode
from .problems import Problem
from .requests import is_set
from .responses import SSE

RETRY = (15, 30)
"""Seconds after which a client that was refused comes back: a random number, as in `EventStream`."""


def busy(request: Request, reason: str) -> Response:
    """200 for an `EventSource`, which gives up for good after any other status; else 503."""
    seconds = random.randint(*RETRY)  # noqa: S311 - jitter
    headers = {"retry-after": str(seconds), "cache-control": "no-store", "vary": "accept"}
    detail = f"{reason}, which is the most there may be; try again later"
    if SSE not in request.headers.get("accept", "").lower():
        return Problem(503, detail, headers)
    # a random number of milliseconds too
    data = encode({"type": "busy", "detail": detail, "retry": 1000 * seconds})
    event = b"" if is_set(request, "unnamed") else b"event: busy\ndata: " + data
    return Response(b"retry: %d\n%b\n\n" % (1000 * seconds, event), headers=headers, media_type=SSE)
