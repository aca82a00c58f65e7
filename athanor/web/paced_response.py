"""Responses of any size for clients of any speed."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..engine.athanor import Athanor
from .paced_writer import PacedWriter, chunks_of
from .uvicorn_adapter import JoinedWrites


class PacedResponse(Response):
    """A response whose body, if it is large, is sent in chunks and counts in the `Backlog`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        engine: Athanor = scope["app"].engine
        most = engine.limits.chunk_bytes
        if len(self.body) <= most // 4 or scope["method"] == "HEAD" or not engine.started:
            with JoinedWrites(receive):
                await super().__call__(scope, receive, send)
            return
        writer = PacedWriter(engine, receive, send)
        body = bytes(self.body)
        head = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        try:
            await send(head)
            for chunk in chunks_of([body], most):
                if not await writer.write(chunk, own=len(body)):
                    return
            await writer.end()
        except asyncio.CancelledError:
            if not writer.is_cut:
                raise
