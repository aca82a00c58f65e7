"""The service's responses, interpreted for producers, subscribers and commands alike.

`check` and `decode` return what a request asked for, or raise:

    RequestFailed           the message names the address and the reason
    ├── Unavailable         trouble that may pass
    │   ├── Unreachable     no response
    │   ├── Busy            a stream that was refused for now
    │   └── TryAgain        5xx, 408, 425, 429
    ├── NotFound            404
    ├── Conflict            409
    ├── Invalid             413, 422
    ├── Refused             every other error, and a redirection
    └── NotAthanor          a response that the service does not give
"""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
import msgspec

from ..exceptions import AthanorError
from ..protocol.encoding import JSON_ERRORS
from ..protocol.safe_text import one_line
from .http import certificate_fault
from .settings import without_login

MAX_DETAIL = 500
"""Characters of a problem's detail."""
REQUEST_ERRORS = (httpx.RequestError, httpx.InvalidURL)
"""What httpx raises where there is no response; `Unreachable` is made of it."""

_RETRY = frozenset({408, 425, 429})
_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout)
_PERMANENT = (
    *(httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL),
    *(httpx.TooManyRedirects, httpx.DecodingError),
)

T = TypeVar("T")


class RequestFailed(AthanorError):
    """A request that failed. `status` is the response's, if there was one."""

    status: int | None = None


class Unavailable(RequestFailed):
    """Trouble that may pass. `reason` is the message without the address."""

    reason = ""
    retry_after: float | None = None
    """Seconds to wait, if the service gave them."""


class Unreachable(Unavailable):
    """There was no response. `is_connected`: the connection had been made.

    `is_permanent`: another attempt would fail in the same way. `certificate_fault`: why TLS failed.
    """

    def __init__(self, url: str, error: httpx.RequestError | httpx.InvalidURL) -> None:
        self.reason = one_line(str(error)) or type(error).__name__
        self.certificate_fault = certificate_fault(error)
        if self.certificate_fault is not None:
            self.reason = (
                f"its certificate is not accepted: {self.certificate_fault}; "
                "SSL_CERT_FILE may name a file with certificates to trust"
            )
        self.is_connected = not isinstance(error, _NOT_CONNECTED)
        self.is_permanent = isinstance(error, _PERMANENT)
        super().__init__(f"{without_login(url)} can't be reached ({self.reason})")


class Busy(Unavailable):
    """An empty stream, which says when to come back."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.retry_after = _seconds(response)
        self.reason = "it has too many streams"
        super().__init__(f"{_place(response)} has too many streams")


class ErrorResponse(RequestFailed):
    """A response with an error status.

    `problem` is its JSON object, and empty without one. `detail` is the problem's, or else the
    target of a redirection or the status's text. `is_problem`: it has the service's own format.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status = response.status_code
        self.problem = _object(response)
        given = self.problem.get("detail")
        self.is_problem = bool(given) and media_type(response) == "application/problem+json"
        other = response.headers.get("location") or response.reason_phrase
        self.detail = one_line(str(given or other)[:MAX_DETAIL])
        self.reason = f"answered {self.status}" + (f": {self.detail}" if self.detail else "")
        super().__init__(f"{_place(response)} {self.reason}")


class TryAgain(ErrorResponse, Unavailable):
    """A response that asks to try again."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response)
        self.retry_after = _seconds(response)


class NotFound(ErrorResponse):
    """No such instance, run, topic or path."""


class Conflict(ErrorResponse):
    """An id that is taken, or a step that the run's status does not allow."""


class Invalid(ErrorResponse):
    """A body that can't be taken."""

    @property
    def lines(self) -> set[int]:
        """The faulty lines of the body, counted from 1; empty if the response names none."""
        faults = self.problem.get("errors")
        if not isinstance(faults, list):
            return set()
        numbers = (fault.get("line") for fault in faults if isinstance(fault, dict))
        return {number for number in numbers if isinstance(number, int)}


class Refused(ErrorResponse):
    """Any other error: the client is not let in, or another service responds."""


class NotAthanor(RequestFailed):
    """A response of something else."""

    def __init__(self, response: httpx.Response) -> None:
        kind = one_line(media_type(response)[:100]) or "something of no type"
        super().__init__(
            f"{_place(response)} answered {response.status_code} with {kind}: is an Athanor there?"
        )


_ERRORS: dict[int, type[ErrorResponse]] = {404: NotFound, 409: Conflict, 413: Invalid, 422: Invalid}


def check(response: httpx.Response) -> httpx.Response:
    """`response`, if it is successful; its body has to be read if it is not.

    Raises `ErrorResponse`, one of its kinds.
    """
    status = response.status_code
    if response.is_success:
        return response
    if status >= 500 or status in _RETRY:
        raise TryAgain(response)
    raise _ERRORS.get(status, Refused)(response)


def decode(response: httpx.Response, type_: type[T]) -> T:
    """The JSON of a successful response as `type_`. Raises `NotAthanor` if it is none."""
    try:
        return msgspec.json.decode(response.content, type=type_)
    except JSON_ERRORS:
        raise NotAthanor(response) from None


def media_type(response: httpx.Response) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except JSON_ERRORS:
        return {}


def _seconds(response: httpx.Response) -> float | None:
    """What `Retry-After` says, up to 9,999; None for a date."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 5 else None


def _place(response: httpx.Response) -> str:
    return str(response.url.copy_with(query=None, userinfo=b""))
