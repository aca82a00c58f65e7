"""A subscriber's inbox: a bounded asyncio queue of frames, which the hub fills without waiting."""

from __future__ import annotations

import asyncio

from .backlog import Backlog
from .frames import KEEPALIVE, Frame


class FrameQueue(asyncio.Queue[Frame | None]):
    """An asyncio queue over a list: it is short, and an empty deque would take 0.7 KiB."""

    def _init(self, maxsize: int) -> None:
        self._queue: list[Frame | None] = []

    def _get(self) -> Frame | None:
        return self._queue.pop(0)


class Inbox:
    """The frames that the hub has for one subscriber, and that the subscriber has not taken yet.

    It holds at most `max_frames` frames and `max_bytes` bytes. One frame more makes it overflow: it
    is emptied, and takes nothing until `reset`, because its subscriber reads on from the store.
    Frames are shared between inboxes; `backlog` counts the bytes of all.
    """

    __slots__ = ("_backlog", "_bytes", "_max_bytes", "_queue", "closed", "overflowed")

    def __init__(self, max_frames: int, max_bytes: int, backlog: Backlog) -> None:
        self._backlog = backlog
        self._queue = FrameQueue(max_frames)
        self._bytes = 0
        self._max_bytes = max_bytes
        self.overflowed = False
        self.closed = False

    def offer(self, frame: Frame) -> bool:
        """Put a frame in, without waiting; False if the inbox overflowed by it."""
        if self.overflowed or self.closed:
            return True
        if self._queue.full() or self._bytes + frame.size > self._max_bytes:
            self.reset()
            self.overflowed = True
            self._queue.put_nowait(None)
            return False
        self._bytes += frame.size
        self._backlog.hold(frame)
        self._queue.put_nowait(frame)
        return True

    def keep_alive(self) -> None:
        """Put a keep-alive in, if nothing else is there."""
        if self._queue.empty():
            self.offer(KEEPALIVE)

    def close(self) -> None:
        """Take no more frames; those that are inside can still be taken out."""
        if not self.closed:
            self.closed = True
            if not self._queue.full():
                self._queue.put_nowait(None)

    def reset(self) -> None:
        """Empty the inbox, and take frames again from the next one on."""
        while not self._queue.empty():
            frame = self._queue.get_nowait()
            if frame is not None:
                self._backlog.release(frame)
        self._bytes = 0
        self.overflowed = False

    def discard(self) -> None:
        """Empty the inbox, and close it."""
        self.reset()
        self.closed = True
        self._queue.put_nowait(None)

    async def get(self, most_bytes: int) -> list[Frame]:
        """Wait for a frame; take out it and those after it, about `most_bytes` in all.

        The list is empty if the inbox has overflowed, or is closed and empty.
        """
        taken: list[Frame] = []
        size = 0
        while not (self.closed and self._queue.empty()):
            frame = await self._queue.get()
            if frame is None:
                break
            taken.append(frame)
            size += frame.size
            self._bytes -= frame.size
            self._backlog.release(frame)
            if self._queue.empty() or size >= most_bytes:
                break
        return taken
