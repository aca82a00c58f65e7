"""A plain sse-starlette app: a queue for each client, and each post is put into all of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import uvicorn
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

queues: set[asyncio.Queue[str]] = set()


async def publish(request: Request) -> Response:
    text = (await request.body()).decode()
    for queue in queues:
        queue.put_nowait(text)
    return Response(status_code=201)


async def events(request: Request) -> Response:
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues.add(queue)

    async def follow() -> AsyncIterator[dict[str, str]]:
        try:
            yield {"comment": "ready"}
            while True:
                yield {"event": "run_logs", "data": await queue.get()}
        finally:
            queues.discard(queue)

    return EventSourceResponse(follow())


def main() -> None:
    app = Starlette(routes=[Route("/events", events), Route("/publish", publish, methods=["POST"])])
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="warning", loop="uvloop", http="httptools", ws="none")
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
