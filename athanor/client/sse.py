"""A decoder of server-sent events, by the letter of the HTML standard (section 9.2.6).

Bytes in, in pieces of any size; events out. It does no I/O.
"""

from __future__ import annotations

from typing import NamedTuple

MOST_RETRY = 2**31 - 1
"""Milliseconds; a larger wish counts as this one, for it may have any number of digits."""


class ServerSentEvent(NamedTuple):
    """One event; `id` is the last one seen up to it, and may be an earlier event's."""

    type: str
    data: str
    id: str


class SseDecoder:
    """Decodes one connection's stream; what is incomplete when it ends counts for nothing.

    `last_event_id` is what to come back with, `retry` when, in milliseconds. Each connection begins
    with neither: who comes back keeps an earlier one's until there is another.
    """

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self._id = ""
        self._type = ""
        self._data: list[str] = []
        self._line = bytearray()
        self._at_start = True
        self._after_cr = False

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """The events that this piece completes."""
        if not piece:
            return []
        if self._after_cr:
            piece = piece.removeprefix(b"\n")  # the other half of a CRLF
        self._after_cr = piece.endswith(b"\r")
        events: list[ServerSentEvent] = []
        for part in piece.splitlines(keepends=True):
            self._line += part
            if not part.endswith((b"\n", b"\r")):
                break
            # a line end is never a part of another character, so whole lines can be decoded alone
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
        elif name == "event":
            self._type = value
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(min(float(value), MOST_RETRY))

    def _dispatch(self) -> ServerSentEvent | None:
        self.last_event_id = self._id
        type_, data = self._type, self._data
        self._type, self._data = "", []
        if not data:
            return None
        return ServerSentEvent(type_ or "message", "\n".join(data), self.last_event_id)
