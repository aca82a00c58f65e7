"""Everything that depends on undocumented parts of sse-starlette.

`tests/contract/test_event_stream.py` names each of these parts, and `pyproject.toml` limits
sse-starlette to the minor version with which they were tested.
"""

from __future__ import annotations

import asyncio
import logging
import random

from sse_starlette.sse import AppStatus, EventSourceResponse
from starlette.types import Message, Receive, Scope, Send

from ..exceptions import AthanorError
from ..live.frames import Format
from ..live.subscription import Subscription
from .responses import SSE

logger = logging.getLogger("athanor")

RETRY = (1000, 3000)
"""Milliseconds after which a client reconnects: a random number, so that not all do so at once."""

_HEADERS = {"cache-control": "no-cache, no-transform", "vary": "accept"}
_shared_headers: dict[str, list[tuple[bytes, bytes]]] = {}


class EventStream(EventSourceResponse):
    """A subscription as a response, in any format.

    sse-starlette's own implementation needs five tasks and 41 KiB for each stream, polls for the
    server's shutdown, and has one timer for each stream's pings. Here the request's own task sends
    the frames, one more task waits for the client to disconnect, and keep-alives come through the
    inbox like all other events.
    """

    def __init__(
        self, subscription: Subscription, media_type: str, format: Format, open_streams: set[EventStream]
    ) -> None:
        super().__init__(subscription, headers=_HEADERS, media_type=media_type, ping=0)
        # only pings need the lock, and the headers are the same for all streams: this saves 1.3 KiB
        del self._send_lock
        self.raw_headers = _shared_headers.setdefault(media_type, self.raw_headers)
        self._subscription = subscription
        self._format = format
        self._open_streams = open_streams
        self._task: asyncio.Task[None] | None = None
        self._abandoned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._task = asyncio.current_task()
        self._open_streams.add(self)
        watcher = asyncio.get_running_loop().create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._send_frames(send)
            await send(_body(b"", more=False))
        except asyncio.CancelledError:
            if not self._abandoned:
                raise
            logger.warning("a stream was cut off at shutdown, because its client does not read")
        except AthanorError as error:
            logger.warning("a stream was ended, and its client may resume it: %s", error)
            await send(_body(b"", more=False))
        finally:
            self._open_streams.discard(self)
            self._subscription.close()
            watcher.cancel()

    async def _send_frames(self, send: Send) -> None:
        if self.media_type == SSE:
            greeting = f"retry: {random.randint(*RETRY)}\n: athanor\n\n"  # noqa: S311 - jitter
            await send(_body(greeting.encode()))
        while frames := await self._subscription.next():
            if body := b"".join([piece for frame in frames for piece in frame.encode(self._format)]):
                await send(_body(body))

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscription.close()

    def abandon(self) -> None:
        """Cut the stream off: the process ends, and the client has not read in the time it had."""
        if self._task is not None:
            self._abandoned = True
            self._task.cancel()


def end_other_streams() -> None:
    """End the streams that a host application serves with sse-starlette itself."""
    AppStatus.should_exit = True


def _body(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
