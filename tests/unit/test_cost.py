"""What a stream costs: one task, and none after it."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
