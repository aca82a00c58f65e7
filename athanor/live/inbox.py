"""A subscriber's inbox: a bounded asyncio queue of frames, which the hub fills without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .backlog import Backlog
from .frames import KEEPALIVE, Frame

_EMPTY = Frame("", [])


class Inbox:
    """The frames that the hub has for one subscriber, and that the subscriber has not taken yet.

    It holds at most `max_frames` frames and `max_bytes` bytes. One frame more makes it overflow: it
    is emptied, and takes nothing until `reset`, because its subscriber reads on from the store.
    Frames are shared between inboxes; `backlog` counts the bytes of all.

    While the subscriber waits in `get`, a frame goes to `take` first, if there is one, which returns
    whether it has taken the frame. So only a subscriber that is behind has a queue.
    """

    __slots__ = (
        *("_backlog", "_bytes", "_max_bytes", "_max_frames", "_queue", "_waiter"),
        *("closed", "overflowed", "take"),
    )

    def __init__(self, max_frames: int, max_bytes: int, backlog: Backlog) -> None:
        self._backlog = backlog
        # an idle stream needs none, and an asyncio queue takes 2.4 KiB
        self._queue: asyncio.Queue[Frame] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._bytes = 0
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self.take: Callable[[Frame], bool] | None = None
        self.overflowed = False
        self.closed = False

    def offer(self, frame: Frame) -> bool:
        """Put a frame in, without waiting; False if the inbox overflowed by it."""
        if self._waiter is not None and self.take is not None and self.take(frame):
            return True
        return self.overflowed or self.closed or self._keep(frame)

    def rouse(self) -> None:
        """Have `get` return a frame without events, if the subscriber waits in it."""
        if self._waiter is not None:
            self._keep(_EMPTY)

    def keep_alive(self) -> None:
        """Put a keep-alive in, if nothing else is there."""
        if self._queue is None:
            self.offer(KEEPALIVE)

    def close(self) -> None:
        """Take no more frames; those that are inside can still be taken out."""
        self.closed = True
        self._wake()

    def reset(self) -> None:
        """Empty the inbox, and take frames again from the next one on."""
        while self._queue is not None:
            self._pop()
        self.overflowed = False

    def discard(self) -> None:
        """Empty the inbox, and close it."""
        self.reset()
        self.close()

    async def get(self, most_bytes: int) -> list[Frame]:
        """Wait for a frame; take out it and those after it, about `most_bytes` in all.

        The list is empty if the inbox has overflowed, or is closed and empty.
        """
        if self._queue is None and not (self.closed or self.overflowed):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        taken: list[Frame] = []
        size = 0
        while self._queue is not None and size < most_bytes:
            frame = self._pop()
            taken.append(frame)
            size += frame.size
        return taken

    def _keep(self, frame: Frame) -> bool:
        full = self._queue is not None and self._queue.full()
        # one frame alone may be too large
        if full or self._bytes + frame.size > self._max_bytes:
            self.reset()
            self.overflowed = True
            self._wake()
            return False
        if self._queue is None:
            self._queue = asyncio.Queue(self._max_frames)
        self._bytes += frame.size
        self._backlog.hold(frame)
        self._queue.put_nowait(frame)
        self._wake()
        return True

    def _pop(self) -> Frame:
        assert self._queue is not None
        frame = self._queue.get_nowait()
        self._bytes -= frame.size
        self._backlog.release(frame)
        if self._queue.empty():
            self._queue = None
        return frame

    def _wake(self) -> None:
        # the subscriber takes what is inside first
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
            self._waiter = None
