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
    UnsupportedType,
)
from ..protocol.encoding import encode

logger = logging.getLogger("athanor")

# the first that fits
_STATUS: tuple[tuple[type[AthanorError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (InvalidQuery, 400),
    (TooLarge, 413),
    (UnsupportedType, 415),
    (InvalidInput, 422),
    (RingFull, 503),
    (DatabaseUnavailable, 503),
    (NotStarted, 503),
)


class Problem(Response):
    """One problem; `errors` are there where single lines of a body are at fault."""

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
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    headers = {"retry-after": "1"} if status == 503 else {}
    if status == 413:
        headers["connection"] = "close"  # what is left of the body need not be read
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
        detail = f"{request.method} is not for {request.url.path}"
    headers = dict(error.headers) if error.headers else None
    return Problem(error.status_code, detail, headers)


async def on_disconnect(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # to nobody: the client closed in the middle of its request


async def on_error(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path)
    return Problem(500, "this is a mistake of Athanor's, and is in its log")
