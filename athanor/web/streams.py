"""Streams: one SSE endpoint per topic, and one for several topics at once."""

from __future__ import annotations

import asyncio
import logging
import random

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ..exceptions import AthanorError
from ..live import formats
from ..live.frames import Format
from ..live.subscription import Subscription
from ..protocol.events import TYPES
from .problems import problem_of
from .requests import accepted_type, engine_of, number

logger = logging.getLogger("athanor")

MAX_TAIL = 10_000
RETRY = (1000, 3000)
"""Milliseconds a client waits before it comes back; at random, so that not all come at once."""

SSE, NDJSON, TEXT = "text/event-stream", "application/x-ndjson", "text/plain"
_FORMS: dict[str, Format] = {
    SSE: formats.named,
    NDJSON: formats.ndjson,
    TEXT: formats.text,
}
_HEADERS = {"cache-control": "no-cache, no-transform", "vary": "accept"}
_shared_headers: dict[str, list[tuple[bytes, bytes]]] = {}


class EventStream(EventSourceResponse):
    """A subscription as a response: server-sent events, or another form of the same.

    sse-starlette's own way needs five tasks and 41 KiB a stream, polls for the server's end, and
    sends a ping by a timer each. Here frames are sent in the request's own task, one more waits for
    the client to leave, and keep-alives come out of the inbox like everything else.
    """

    def __init__(
        self, subscription: Subscription, media_type: str, form: Format, open_streams: set[EventStream]
    ) -> None:
        super().__init__(subscription, headers=_HEADERS, media_type=media_type, ping=0)
        # only pings would need the lock, and the headers are the same for all: 1.3 KiB a stream
        del self._send_lock
        self.raw_headers = _shared_headers.setdefault(media_type, self.raw_headers)
        self._subscription = subscription
        self._form = form
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
                if self.media_type == SSE:
                    hello = f"retry: {random.randint(*RETRY)}\n: athanor\n\n"  # noqa: S311 - jitter
                    await send(_body(hello.encode()))
                while frames := await self._subscription.next():
                    if body := b"".join([frame.encode(self._form) for frame in frames]):
                        await send(_body(body))
            await send(_body(b"", more=False))
        except asyncio.CancelledError:
            if not self._abandoned:
                raise
            logger.warning("a stream whose reader does not read was cut off at the end")
        except AthanorError as error:
            logger.warning("a stream was ended, to be resumed: %s", error)
            await send(_body(b"", more=False))
        finally:
            self._open_streams.discard(self)
            self._subscription.close()
            watcher.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._subscription.close()

    def abandon(self) -> None:
        """The process ends, and this one's reader has not read for all the time it was given."""
        if self._task is not None:
            self._abandoned = True
            self._task.cancel()


def _body(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


class StreamEndpoint:
    """An ASGI endpoint, not a function: no wrapper then lives as long as a stream."""

    def __init__(self, open_streams: set[EventStream]) -> None:
        self._open_streams = open_streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._respond(Request(scope, receive))
        except AthanorError as error:
            response = problem_of(error)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        engine = engine_of(request)
        query = request.query_params
        media_type = accepted_type(request, tuple(_FORMS))
        types = [name for name in query.get("types", "").split(",") if name] or None
        if types is None and media_type == TEXT:
            types = [name for name in TYPES if name != "run_progress"]  # a log, not ten bars a second
        topic = request.path_params.get("topic")
        cursor = request.headers.get("last-event-id") or query.get("last_event_id") or None
        subscription = engine.subscribe(
            *(query.getlist("topic") if topic is None else [topic]),
            after=cursor,
            tail=number(request, "tail", 0, 0, MAX_TAIL) or 0,
            types=types,
        )
        await subscription.open()
        if subscription.nothing_left:
            subscription.close()
            return Response(status_code=204)
        form = _FORMS[media_type]
        if media_type == SSE and query.get("unnamed", "") not in ("", "0"):
            form = formats.unnamed
        return EventStream(subscription, media_type, form, self._open_streams)
