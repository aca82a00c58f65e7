"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ..exceptions import (
    AthanorError,
    Conflict,
    DatabaseUnavailable,
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

logger = logging.getLogger("athanor")

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
    """A problem as a response; `more` are further members, such as `errors`."""

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        detail: str,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        title = HTTPStatus(status).phrase
        body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
        super().__init__(encode(body), status, headers)


def problem_of(error: AthanorError) -> Problem:
    """The response for an error; `errors` lists the faulty lines of a body."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    headers = {"retry-after": "1"} if status == 503 else {}
    if status == 413:
        # a connection that closes saves reading the rest of the body
        headers["connection"] = "close"
    if isinstance(error, InvalidInput) and error.faults:
        return Problem(status, str(error), headers, errors=error.faults)
    return Problem(status, str(error), headers)


async def on_athanor_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AthanorError)
    return problem_of(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}"
    elif error.status_code == 405:
        detail = f"{request.url.path} does not support {request.method}"
    headers = dict(error.headers) if error.headers else None
    return Problem(error.status_code, detail, headers)


async def on_disconnect(request: Request, error: Exception) -> Response:
    # nobody receives it: the client disconnected in the middle of its request
    return Response(status_code=400)


async def on_error(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path)
    return Problem(500, "this is an error in Athanor; its log has the details")
