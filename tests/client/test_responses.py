"""The interpreter of responses: each status means one thing to all clients."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from athanor.client import responses
from athanor.client.responses import (
    MAX_DETAIL,
    Conflict,
    ErrorResponse,
    Invalid,
    NotAthanor,
    NotFound,
    Refused,
    RequestFailed,
    TryAgain,
    Unavailable,
    Unreachable,
    check,
    decode,
)

URL = "http://alice:secret@127.0.0.1:8000/runs?limit=1"
SHOWN = "http://127.0.0.1:8000/runs"
PROBLEM = "application/problem+json"


def response(
    status: int, content: bytes = b"", media_type: str = "", headers: dict[str, str] | None = None
) -> httpx.Response:
    given = {"Content-Type": media_type} if media_type else {}
    request = httpx.Request("GET", URL)
    return httpx.Response(status, headers=given | (headers or {}), content=content, request=request)


def failure(of: httpx.Response) -> ErrorResponse:
    with pytest.raises(ErrorResponse) as raised:
        check(of)
    return raised.value


KINDS: dict[int, type[RequestFailed]] = {
    **dict.fromkeys((301, 302, 400, 401, 403, 405, 410, 415), Refused),
    **dict.fromkeys((408, 425, 429, 500, 502, 503, 504), TryAgain),
    **{404: NotFound, 409: Conflict, 413: Invalid, 422: Invalid},
}


@pytest.mark.parametrize("status", list(KINDS))
def test_each_status_means_one_thing(status: int) -> None:
    content = msgspec.json.encode({"detail": "why", "status": status})
    error = failure(response(status, content, PROBLEM))
    assert type(error) is KINDS[status]
    assert (error.status, error.detail, error.is_problem) == (status, "why", True)
    assert str(error) == f"{SHOWN} answered {status}: why"
    assert isinstance(error, Unavailable) == (KINDS[status] is TryAgain)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_successful_response_is_returned(status: int) -> None:
    given = response(status)
    assert check(given) is given


def test_the_detail_is_bounded() -> None:
    error = failure(response(400, msgspec.json.encode({"detail": "x" * 10_000}), PROBLEM))
    assert error.detail == "x" * MAX_DETAIL


@pytest.mark.parametrize("content", [b"", b"<h1>nginx</h1>", b"[1]", b'{"detail"', b"\xff", b"[" * 5000])
def test_an_error_of_another_service_has_the_detail_of_its_status(content: bytes) -> None:
    error = failure(response(404, content, "text/html"))
    assert (error.detail, error.is_problem) == ("Not Found", False)
    assert failure(response(302, content, headers={"Location": "/login"})).detail == "/login"


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("", None), ("soon", None), ("-1", None), ("99999", None)]
)
def test_retry_after_is_a_number_of_seconds(value: str, seconds: float | None) -> None:
    error = failure(response(503, headers={"Retry-After": value}))
    assert isinstance(error, TryAgain)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("errors", "lines"),
    [([{"line": 2}, {"line": 5}, {}, 7], {2, 5}), (None, set()), (7, set()), ([{"line": "x"}], set())],
)
def test_faulty_lines_are_read_from_the_problem(errors: object, lines: set[int]) -> None:
    error = failure(response(422, msgspec.json.encode({"detail": "why", "errors": errors}), PROBLEM))
    assert isinstance(error, Invalid)
    assert error.lines == lines


@pytest.mark.parametrize("content", [b"", b"ok", b"[1]", b'{"id": 7}', b'{"id": "\xff"}'])
def test_a_body_of_another_kind_is_not_athanors(content: bytes) -> None:
    class Wanted(msgspec.Struct):
        id: str

    assert decode(response(200, b'{"id": "first"}'), Wanted).id == "first"
    with pytest.raises(NotAthanor) as raised:
        decode(response(200, content, "text/html; charset=utf-8"), Wanted)
    assert str(raised.value) == f"{SHOWN} answered 200 with text/html: is an Athanor there?"
    assert "something of no type" in str(NotAthanor(response(200, content)))


@pytest.mark.parametrize(
    ("error", "is_connected", "is_permanent"),
    [
        (httpx.ConnectError("refused"), False, False),
        (httpx.ConnectTimeout(""), False, False),
        (httpx.ReadTimeout(""), True, False),
        (httpx.RemoteProtocolError("no HTTP"), True, False),
        (httpx.TooManyRedirects("20"), True, True),
        (httpx.InvalidURL("port"), True, True),
    ],
)
def test_without_a_response_the_service_is_unreachable(
    error: httpx.RequestError | httpx.InvalidURL, is_connected: bool, is_permanent: bool
) -> None:
    assert isinstance(error, responses.REQUEST_ERRORS)
    unreachable = Unreachable(URL, error)
    assert isinstance(unreachable, Unavailable)
    assert (unreachable.is_connected, unreachable.is_permanent) == (is_connected, is_permanent)
    assert "secret" not in str(unreachable)
    assert unreachable.reason == str(error) or unreachable.reason == type(error).__name__
