"""The undocumented parts of sse-starlette that `web/event_stream.py` uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import pytest
from sse_starlette.sse import AppStatus, EventSourceResponse

from athanor.web.event_stream import end_other_streams

from ..support.patience import PATIENCE


async def endless() -> AsyncIterator[str]:
    while True:
        await asyncio.sleep(60)
        yield "x"


@pytest.fixture
def response() -> EventSourceResponse:
    return EventSourceResponse(endless(), headers={"cache-control": "no-cache"}, ping=0)


@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        ("raw_headers", "share the headers of all streams"),
        ("media_type", "know the format of the stream"),
    ],
)
def test_response_has_its_parts(response: EventSourceResponse, name: str, purpose: str) -> None:
    assert hasattr(response, name), (
        f"sse-starlette {version('sse-starlette')} has no EventSourceResponse.{name}, "
        f"which web/event_stream.py needs to {purpose}"
    )


def test_response_sets_the_headers_of_a_stream(response: EventSourceResponse) -> None:
    headers = dict(response.raw_headers)
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"] == b"no-cache"
    assert headers[b"x-accel-buffering"] == b"no"


@pytest.mark.anyio
async def test_other_streams_end_on_request(
    response: EventSourceResponse, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hasattr(AppStatus, "should_exit"), (
        f"sse-starlette {version('sse-starlette')} has no AppStatus.should_exit, "
        "which web/event_stream.py needs to end the streams of a host application"
    )
    monkeypatch.setattr(AppStatus, "should_exit", False)
    started = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: Any) -> None:
        started.set()

    serving = asyncio.ensure_future(response({"type": "http", "method": "GET"}, receive, send))
    await started.wait()
    assert not serving.done()
    end_other_streams()
    await asyncio.wait_for(serving, PATIENCE)
