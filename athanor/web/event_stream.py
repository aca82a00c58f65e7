"""Everything that depends on undocumented parts of sse-starlette.

`tests/contract/test_event_stream.py` names each of these parts, and `pyproject.toml` limits
sse-starlette to the minor version with which they were tested.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from functools import cache

from sse_starlette.sse import AppStatus, EventSourceResponse
from starlette.types import Receive, Scope, Send

from ..engine.athanor import Athanor
from ..exceptions import AthanorError
from ..live.frames import Format, Frame
from ..live.subscription import Subscription
from .http_chunks import http_chunks
from .live_writer import LiveWriter
from .paced_writer import PacedWriter, chunks_of
from .responses import SSE
from .uvicorn_adapter import JoinedWrites, on_departure
from .visible import VisibleSubscription

logger = logging.getLogger("athanor")

RETRY = (1000, 3000)
"""Milliseconds after which a client reconnects: a random number, so that not all do so at once."""

_HEADERS = {"cache-control": "no-store, no-transform", "vary": "accept"}


@cache
def _headers_of(media_type: str) -> list[tuple[bytes, bytes]]:
    """sse-starlette's headers of a stream, the same for all streams of a media type."""
    return EventSourceResponse(_nothing(), headers=_HEADERS, media_type=media_type).raw_headers


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


class EventStream(EventSourceResponse):
    """A subscription as a response, in any format.

    sse-starlette's own implementation needs five tasks and 41 KiB for each stream, polls for the
    server's shutdown, and has one timer for each stream's pings. Here the request's own task sends
    the frames, except live ones for which it waits: the broadcast sends those. Keep-alives come
    through the inbox like all other events.
    """

    def __init__(
        self,
        engine: Athanor,
        subscription: Subscription | VisibleSubscription,
        media_type: str,
        format: Format,
        open_streams: set[EventStream],
        lifetime: float | None = None,
    ) -> None:
        """`lifetime`: seconds after which the stream ends, as by `end`."""
        # without sse-starlette's own: it makes what only its own sending needs, and takes a tenth of
        # the time in which a client that comes back is served, and 2 KiB
        self.media_type = media_type
        self.raw_headers = _headers_of(media_type)
        self._engine = engine
        self._subscription = subscription
        self._format = format
        self._open_streams = open_streams
        self._lifetime = lifetime
        self._writer: PacedWriter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        expiry = None if self._lifetime is None else loop.call_later(self._lifetime, self.end)
        # the wrappers of `send` between the gate and here change headers only
        send_body = scope.get("athanor.send", send)
        self._writer = writer = PacedWriter(self._engine, receive, send_body, self._subscription.close)
        self._open_streams.add(self)
        is_told = on_departure(receive, self._subscription.close)
        watcher = None if is_told else loop.create_task(self._watch(receive))
        try:
            has_body = scope["method"] != "HEAD"
            with JoinedWrites(receive):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                if has_body:
                    await self._begin(writer)
            if has_body:
                await self._send_frames(writer)
            await writer.end()
        except asyncio.CancelledError:
            if not writer.is_cut:
                raise
        except AthanorError as error:
            logger.warning("a stream was ended, and its client may resume it: %s", error)
            await writer.end()
        finally:
            self._open_streams.discard(self)
            self._subscription.close()
            if watcher is not None:
                watcher.cancel()
            if expiry is not None:
                expiry.cancel()

    async def _begin(self, writer: PacedWriter) -> None:
        """Send the greeting of SSE, in one write with the first frames of a replay."""
        greeting = _greeting() if self.media_type == SSE else b""
        await self._send(writer, await self._subscription.replay(), greeting)

    async def _send_frames(self, writer: PacedWriter) -> None:
        subscription, transport = self._subscription, writer.chunked_transport
        if isinstance(subscription, Subscription) and transport is not None:
            chunks = http_chunks(self._format)
            subscription.deliver_to(LiveWriter(transport, chunks, writer, subscription.rouse).write)
        while not writer.is_cut and (frames := await subscription.next()):
            if not await writer.settled():
                return
            if not await self._send(writer, frames):
                return

    async def _send(self, writer: PacedWriter, frames: list[Frame], before: bytes = b"") -> bool:
        """Send `before` and some frames; False if the client is gone."""
        pieces = (piece for frame in frames for piece in frame.encode(self._format))
        for chunk in chunks_of(pieces, self._engine.limits.chunk_bytes):
            if not await writer.write(b"".join((before, chunk)) if before else chunk, frames):
                return False
            before = b""
        return not before or await writer.write(before)

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscription.close()

    def end(self) -> None:
        """End the stream after the event that is being sent; its client may resume it."""
        self._subscription.close()

    def abandon(self) -> None:
        """Cut the stream off: the process ends, and the client has not read in the time it had."""
        if self._writer is not None:
            logger.warning("a stream was cut off at shutdown, because its client does not read")
            self._writer.cut_off()


def _greeting() -> bytes:
    return b"retry: %d\n: athanor\n\n" % random.randint(*RETRY)  # noqa: S311 - jitter


def end_other_streams() -> None:
    """End the streams that a host application serves with sse-starlette itself."""
    AppStatus.should_exit = True
