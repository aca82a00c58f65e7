"""What a stream costs: one task, and none after it; and a request: nothing after its response."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from athanor import Settings, create_app

from ..support.follower import wait_until

STREAMS = 50


@pytest.mark.anyio
async def test_a_stream_has_one_task_and_leaves_none(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}"))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    serving = asyncio.ensure_future(server.serve())
    await asyncio.to_thread(wait_until, lambda: server.started, "the server")
    port = server.servers[0].sockets[0].getsockname()[1]
    before = len(asyncio.all_tasks())
    streams = []
    for _ in range(STREAMS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events/experiments:runs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"athanor\n\n")
        streams.append(writer)
    assert len(asyncio.all_tasks()) - before == STREAMS
    assert app.engine.parts.hub.subscribers == STREAMS
    for writer in streams:
        writer.close()
        await writer.wait_closed()
    await asyncio.to_thread(wait_until, lambda: not app.engine.parts.hub.subscribers, "their end")
    assert len(asyncio.all_tasks()) == before
    server.should_exit = True
    await serving


class Exchange:
    """A request and its response, as uvicorn has them: the scope, `receive` and `send` in one object."""

    def __init__(self, method: str, path: str, body: bytes = b"") -> None:
        self.scope: dict[str, Any] = {
            **{"type": "http", "http_version": "1.1", "method": method, "path": path, "root_path": ""},
            **{"scheme": "http", "query_string": b"", "headers": [(b"host", b"localhost")]},
            **{"server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 40000)},
        }
        self.status = 0
        self._body: bytes | None = body

    async def receive(self) -> dict[str, Any]:
        if self._body is None:
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        self.status = message.get("status", self.status)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.anyio
@pytest.mark.usefixtures("no_collector")
async def test_a_request_is_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}"))
    log = b'{"message": "x"}'
    async with app.running():
        instance = await app.engine.create_instance("x")
        run = await app.engine.create_run(instance.id)
        await app.engine.start_run(run.id)
        requests = [
            ("POST", f"/runs/{run.id}/logs", log, 201),
            ("GET", f"/runs/{run.id}", b"", 200),
            ("GET", "/nowhere", b"", 404),
            ("POST", f"/runs/{run.id}/logs", b"{", 422),
            # it ends at once, because its client has left
            ("GET", f"/events/experiments:run:{run.id}", b"", 200),
            ("GET", "/events/experiments:nothing", b"", 404),
        ]
        for method, path, body, status in requests:
            exchange = Exchange(method, path, body)
            await app(exchange.scope, exchange.receive, exchange.send)
            assert exchange.status == status, path
            remembered = weakref.ref(exchange)
            del exchange
            # the steps in which the loop drops what it has done
            for _ in range(3):
                await asyncio.sleep(0)
            assert remembered() is None, f"{method} {path} leaves a cycle of references"
