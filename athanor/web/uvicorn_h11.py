"""uvicorn's protocol for h11, with bounds: where there is no httptools."""

from __future__ import annotations

import re
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .connection import Connections
from .uvicorn_bounds import Bounded, Refused

__all__ = ["BoundedH11", "H11Protocol"]

CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class BoundedH11(Bounded, H11Protocol):
    """Requests with too many headers are refused, and connections have no more time than they need."""

    __slots__ = ()

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(connections, **options)
        limits = connections.limits
        self.conn: _Connection = _Connection(limits.head_bytes, limits.head_fields)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        super().data_received(data)
        self._look(progress=self.conn.found_data)
        self.conn.found_data = False

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._wait_for_reader()
        if not self._is_deaf:
            self._look()

    def _look(self, progress: bool = False) -> None:
        """Set the clock to what the connection waits for now."""
        clock, now, state = self._clock, self.loop.time(), self.conn.their_state
        if self._is_deaf:
            return
        if state is not h11.IDLE:
            clock.head = None
        elif clock.head is None and not self._is_silent():
            clock.head = now
        if state is not h11.SEND_BODY:
            clock.body = None
        elif progress or clock.body is None:
            clock.body = now
        if clock.is_waiting:
            self._bounds.watch(self)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn while it handles h11's error."""
        error = sys.exc_info()[1]
        if getattr(error, "error_status_hint", 400) == 431:
            self._refuse(self._too_large())
        else:
            self._refuse(Refused(400, f"this is not HTTP/1.1: {error}" if error else msg))

    def shutdown(self) -> None:
        if self._is_deaf:
            self.transport.close()
        else:
            super().shutdown()

    def _unanswered(self) -> list[Any]:
        return [] if self.cycle is None or self.cycle.response_complete else [self.cycle]

    def _unread(self) -> Any | None:
        # h11 reads no request before the last one has its response
        return self.cycle if self.conn.in_body else None

    def _forget(self, cycle: Any) -> None:
        raise AssertionError("h11 queues no requests")

    def _is_silent(self) -> bool:
        # a copy of all that is buffered, so this is asked only between requests
        return not self.conn.trailing_data[0]


class _Connection(h11.Connection):
    """Refuses requests that are too large, and some that h11 accepts and httptools does not."""

    def __init__(self, most_bytes: int, most_fields: int) -> None:
        super().__init__(h11.SERVER, most_bytes)
        self._most_bytes = most_bytes
        self._most_fields = most_fields
        self.found_data = False
        self.in_body = False

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Data):
            self.found_data = True
        elif isinstance(event, h11.Request):
            self._check(event)
            self.in_body = True
        elif isinstance(event, h11.EndOfMessage):
            self.in_body = False
        return event

    def _check(self, request: h11.Request) -> None:
        size = len(request.method) + len(request.target)
        size += sum(len(name) + len(value) + 4 for name, value in request.headers)
        if size > self._most_bytes or len(request.headers) > self._most_fields:
            raise h11.RemoteProtocolError("the headers are too large", error_status_hint=431)
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("the version of HTTP is not supported")
        if any(CONTROL.search(value) for _name, value in request.headers):
            raise h11.RemoteProtocolError("a header has a control character")
        if {b"content-length", b"transfer-encoding"} <= {name for name, _value in request.headers}:
            # a proxy may read the one, and then find another request in the body
            raise h11.RemoteProtocolError("there are both Content-Length and Transfer-Encoding")
