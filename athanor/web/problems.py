"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..exceptions import (
    AthanorError,
    Conflict,
    DatabaseUnavailable,
    Fault,
    InvalidInput,
    InvalidQuery,
    NotFound,
    NotStarted,
    RingFull,
    TooLarge,
    TooManySearches,
    UnsupportedType,
)
from ..protocol.encoding import encode
from .refusal import Refusal

logger = logging.getLogger("athanor")

MAX_DETAIL = 2048
"""Bytes of a problem's detail: it may quote a path or a value of the request."""
MAX_FAULT = 512
"""Bytes of the path and of the detail of one fault; there are at most `MAX_FAULTS` of them."""
LOG_INTERVAL = 10.0
"""Seconds between two lines in the log about a database that can't be read."""

# the first class that matches decides
_STATUS: tuple[tuple[type[AthanorError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (InvalidQuery, 400),
    (TooLarge, 413),
    (UnsupportedType, 415),
    (InvalidInput, 422),
    (RingFull, 503),
    (TooManySearches, 503),
    (DatabaseUnavailable, 503),
    (NotStarted, 503),
)


class Problem(Response):
    """A problem as a response; `detail` is cut, `more` are further members, such as `errors`."""

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        detail: str,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        title = HTTPStatus(status).phrase
        body = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": bounded(detail),
            **more,
        }
        super().__init__(encode(body), status, headers)


def bounded(text: str, most: int = MAX_DETAIL) -> str:
    """`text` in at most `most` bytes of JSON; one that is cut ends with an ellipsis."""
    if len(encode(text)) - 2 <= most:
        return text
    text = text[:most]
    while len(encode(text)) + 1 > most:
        text = text[: len(text) * 7 // 8]
    return f"{text}…"


def _bounded_fault(fault: Fault) -> dict[str, Any]:
    return {
        name: bounded(value, MAX_FAULT) if isinstance(value, str) else value
        for name, value in fault.items()
    }


class _Trouble:
    """Logs why the database fails: at most once in a while, for every request fails then."""

    def __init__(self) -> None:
        self._again_at = 0.0

    def log(self, error: Exception) -> None:
        if time.monotonic() >= self._again_at:
            self._again_at = time.monotonic() + LOG_INTERVAL
            logger.warning("requests get 503: %s", error)


_trouble = _Trouble()


def problem_of(error: AthanorError) -> Problem:
    """The response for an error; `errors` lists the faulty lines of a body."""
    if isinstance(error, Refusal):
        return Problem(error.status, str(error), error.headers)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    detail = str(error)
    if isinstance(error, RingFull | DatabaseUnavailable):
        # the reason may name hosts, users and files, so it is in the log only
        detail = error.detail
        _trouble.log(error)
    headers = {"retry-after": "1"} if status == 503 else {}
    if status == 413:
        # a connection that closes saves reading the rest of the body
        headers["connection"] = "close"
    if isinstance(error, InvalidInput) and error.faults:
        return Problem(status, detail, headers, errors=[_bounded_fault(fault) for fault in error.faults])
    return Problem(status, detail, headers)


def response_to(request: Request, error: AthanorError) -> Response:
    """The response to a request that failed; a refusal is counted as well."""
    if isinstance(error, Refusal):
        response: Response = request.app.gate.response_to(error, request.scope)
        return response
    return problem_of(error)


async def on_athanor_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AthanorError)
    return response_to(request, error)


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"there is nothing at {request.scope['path']}"
    elif error.status_code == 405:
        detail = f"{request.scope['path']} does not support {request.method}"
    headers = dict(error.headers) if error.headers else None
    return Problem(error.status_code, detail, headers)


async def on_disconnect(request: Request, error: Exception) -> Response:
    # nobody receives it: the client disconnected in the middle of its request
    return Response(status_code=400)


async def on_error(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.scope["path"][:200])
    return Problem(500, "this is an error in Athanor; its log has the details")
