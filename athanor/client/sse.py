"""A decoder of server-sent events, as section 9.2.6 of the HTML standard defines them.

It takes bytes in pieces of any size, and returns events. It does no I/O.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_RETRY = 60_000
"""Milliseconds; a larger `retry`, which may have any number of digits, counts as this."""
MAX_BYTES = 64 << 20
"""Bytes of a line, and of an event. The service's largest event has about 8 MiB."""


class EventTooLarge(Exception):
    """A line or an event has more than `MAX_BYTES`."""


class ServerSentEvent(NamedTuple):
    """One event. `id` is the last one received up to it, which may be an earlier event's."""

    type: str
    data: str
    id: str


class SseDecoder:
    """Decodes the stream of one connection. An event that is incomplete at its end is dropped.

    `last_event_id` is the cursor to reconnect with, and `retry` the milliseconds to wait before. A
    connection begins with neither; until it brings them, the client keeps those of the one before.
    """

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self._id = ""
        self._type = ""
        self._data: list[str] = []
        self._size = 0
        self._line = bytearray()
        self._at_start = True
        self._after_cr = False

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """The events that this piece completes. Raises `EventTooLarge`."""
        if not piece:
            return []
        if self._after_cr:
            # the second half of a CRLF
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r")
        events: list[ServerSentEvent] = []
        for part in piece.splitlines(keepends=True):
            self._line += part
            if len(self._line) + self._size > MAX_BYTES:
                raise EventTooLarge(f"an event has more than {MAX_BYTES >> 20} MiB")
            if not part.endswith((b"\n", b"\r")):
                break
            # in UTF-8 no other character contains a line end's byte, so lines can be decoded
            line = self._line.rstrip(b"\r\n").decode("utf-8", "replace")
            self._line.clear()
            if self._at_start:
                line = line.removeprefix("\ufeff")
                self._at_start = False
            if line:
                self._take(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        return events

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(value)
        elif name == "event":
            self._type = value
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(min(float(value), MAX_RETRY))

    def _dispatch(self) -> ServerSentEvent | None:
        self.last_event_id = self._id
        type_, data = self._type, self._data
        self._type, self._data, self._size = "", [], 0
        if not data:
            return None
        return ServerSentEvent(type_ or "message", "\n".join(data), self.last_event_id)
