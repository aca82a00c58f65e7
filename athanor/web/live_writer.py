"""Writes live frames to a connection in the broadcast, so that a stream's own task need not wake up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..live.frames import Frame
from .http_chunks import HttpChunks
from .paced_writer import PacedWriter


class LiveWriter:
    """For one stream, while its task waits for frames and its client has taken all before.

    An object of its own with little in it: a frame to 10,000 idle readers finds none of them in the
    processor's caches. `on_behind` is called when the client has to take the rest of a frame before
    there may be another.
    """

    __slots__ = ("_chunks", "_on_behind", "_transport", "_writer")

    def __init__(
        self,
        transport: asyncio.Transport,
        chunks: HttpChunks,
        writer: PacedWriter,
        on_behind: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._chunks = chunks
        self._writer = writer
        self._on_behind = on_behind

    def write(self, frame: Frame) -> bool:
        """Write a frame without waiting; False, and nothing is written, if that can't be.

        `Backlog.enforce` has to follow.
        """
        transport = self._transport
        chunk = self._chunks.of(frame)
        if chunk is None or transport.is_closing():
            return False
        transport.write(chunk)
        if transport.get_write_buffer_size():
            self._writer.fall_behind(frame)
            self._on_behind()
        return True
