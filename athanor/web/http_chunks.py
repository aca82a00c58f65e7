"""Frames as chunks of HTTP/1.1, made once for all streams of a format."""

from __future__ import annotations

from functools import cache

from ..live.frames import Format, Frame


class HttpChunks:
    """A broadcast sends a frame to all its readers before the next one, so the last chunk is kept."""

    __slots__ = ("_chunk", "_format", "_frame", "_most")

    def __init__(self, format: Format, most: int) -> None:
        """`most`: the size beyond which a frame has to be sent in parts."""
        self._format = format
        self._most = most
        self._frame: Frame | None = None
        self._chunk: bytes | None = None

    def of(self, frame: Frame) -> bytes | None:
        """The whole frame as one chunk, empty if it has no text; None if it is too large for one."""
        if frame is not self._frame:
            self._chunk = self._make(frame)
            self._frame = frame
        return self._chunk

    def _make(self, frame: Frame) -> bytes | None:
        pieces = frame.encode(self._format)
        size = sum(map(len, pieces))
        if size > self._most:
            return None
        # an empty chunk would end the response
        return b"".join([b"%x\r\n" % size, *pieces, b"\r\n"]) if size else b""


@cache
def http_chunks(format: Format, most: int) -> HttpChunks:
    """The same object for all streams of a format."""
    return HttpChunks(format, most)
