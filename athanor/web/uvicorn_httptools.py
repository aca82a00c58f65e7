"""uvicorn's protocol for httptools, with bounds: the one that is used by default."""

from __future__ import annotations

import enum
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .connection import Connections
from .uvicorn_bounds import Bounded, Refused

__all__ = ["BoundedHttpTools", "HttpToolsProtocol"]

VERSIONS = ("1.0", "1.1")


class Part(enum.Enum):
    """Where in a request the parser is."""

    NONE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()


class Pipeline(list[Any]):
    """The requests that wait for the response before them, the newest first."""

    def appendleft(self, item: Any) -> None:
        self.insert(0, item)


class BoundedHttpTools(Bounded, HttpToolsProtocol):
    """Requests with too many headers are refused, and connections have no more time than they need."""

    __slots__ = ("_active", "_fault", "_fields", "_found", "_part", "_pieceless", "_size")

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(connections, **options)
        # mostly empty, and an empty deque takes 0.7 KiB
        self.pipeline: Any = Pipeline()
        self._active: Any = None
        """The cycle whose response is being made."""
        self._part = Part.NONE
        self._size = 0
        """Bytes of the head, or of the trailers, in complete pieces."""
        self._fields = 0
        self._pieceless = 0
        """Bytes in which the parser found nothing complete. It keeps some of them."""
        self._found = False
        self._fault: Refused | None = None

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self._unset_keepalive_if_required()
        self._found = False
        try:
            self.parser.feed_data(data)
            self._pieceless = 0 if self._found else self._pieceless + len(data)
            if self._pieceless > self._bounds.limits.head_bytes:
                raise self._too_large_now()
        except httptools.HttpParserUpgrade:
            # it is answered as if it had not asked for another protocol
            pass
        except httptools.HttpParserError as error:
            self._refuse(self._fault or Refused(400, f"this is not HTTP/1.1: {error}"))
        except Refused as refused:
            self._refuse(refused)
        if not self._is_deaf:
            self._look()

    def _look(self) -> None:
        """Set the clock to what the connection waits for now."""
        clock = self._clock
        if self._part is Part.BODY:
            if self._found or clock.body is None:
                clock.body = self.loop.time()
        else:
            clock.body = None
            # empty lines between requests begin one too
            if clock.head is None and (self._part is Part.HEAD or not self._found):
                clock.head = self.loop.time()
        if clock.is_waiting:
            self._bounds.watch(self)

    # the parser's calls; what they raise ends its work

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self._bounds.limits.pipelined_requests:
            detail = f"more than {self._bounds.limits.pipelined_requests} requests wait for a response"
            raise self._stop(Refused(429, detail))
        super().on_message_begin()
        self._part = Part.HEAD
        self._size = self._fields = 0
        self._found = True

    def on_url(self, url: bytes) -> None:
        self._add(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._add(len(name) + len(value) + 4)
        # trailers are not headers: nothing here expects them, and they could replace some
        if self._part is Part.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            raise self._stop(Refused(400, f"HTTP/{version} is not supported; use HTTP/1.1"))
        super().on_headers_complete()
        self._part = Part.BODY
        self._size = self._fields = 0
        self._found = True
        self._clock.head = None

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._found = True

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._part = Part.NONE
        self._found = True

    def _add(self, size: int) -> None:
        limits = self._bounds.limits
        self._size += size
        if self._size > limits.head_bytes or self._fields > limits.head_fields:
            raise self._stop(self._too_large_now())

    def _too_large_now(self) -> Refused:
        if self._part is Part.BODY:
            return self._too_large("chunk extensions and trailers")
        return self._too_large()

    def _stop(self, fault: Refused) -> Refused:
        """Keep what the parser does not pass on."""
        self._fault = fault
        return fault

    # requests and responses

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._active = cycle
        if cycle.scope["http_version"] == "1.0":
            app = _WithoutChunks(cycle, app)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._wait_for_reader()
        if self._is_deaf:
            self._unset_keepalive_if_required()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.pipeline.clear()
        self._active = None

    def _unanswered(self) -> list[Any]:
        cycles = [] if self._active is None else [self._active]
        cycles += [cycle for cycle, _app in reversed(self.pipeline)]
        return [cycle for cycle in cycles if not cycle.response_complete]

    def _unread(self) -> Any | None:
        return self.cycle if self._part is Part.BODY else None

    def _forget(self, cycle: Any) -> None:
        kept = [item for item in self.pipeline if item[0] is not cycle]
        self.pipeline.clear()
        self.pipeline.extend(kept)

    def _is_silent(self) -> bool:
        return self._part is Part.NONE


class _WithoutChunks:
    """An application for HTTP/1.0: a body of unknown length ends with the connection."""

    def __init__(self, cycle: Any, app: Any) -> None:
        self._cycle = cycle
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        cycle = self._cycle
        is_sized = False

        async def send_plainly(message: Any) -> None:
            nonlocal is_sized
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _value in message.get("headers", [])}
                is_sized = b"content-length" in names
                if not is_sized:
                    # uvicorn then neither announces chunks nor writes them
                    cycle.chunked_encoding = False
            elif not is_sized:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, send_plainly)
