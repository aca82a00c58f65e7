"""Frames as chunks of HTTP/1.1, made once for all streams of a format."""

from __future__ import annotations

from functools import cache

from ..live.frames import Format, Frame
from ..live.turns import SMALL


class HttpChunks:
    """A broadcast sends a frame to all its readers before the next one, so the last chunk is kept."""

    __slots__ = ("_format", "_last")

    def __init__(self, format: Format) -> None:
        self._format = format
        # replaced as a whole: engines in other threads share this object
        self._last: tuple[Frame | None, bytes | None] = (None, None)

    def of(self, frame: Frame) -> bytes | None:
        """The whole frame as one chunk, empty if it has no text; None if it is no small write."""
        last = self._last
        if frame is not last[0]:
            last = self._last = (frame, self._make(frame))
        return last[1]

    def _make(self, frame: Frame) -> bytes | None:
        pieces = frame.encode(self._format)
        size = sum(map(len, pieces))
        if size > SMALL:
            return None
        # an empty chunk would end the response
        return b"".join([b"%x\r\n" % size, *pieces, b"\r\n"]) if size else b""


@cache
def http_chunks(format: Format) -> HttpChunks:
    """The same object for all streams of a format."""
    return HttpChunks(format)
