"""A subscriber's inbox: a bounded asyncio queue of frames, which the hub fills without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .backlog import Backlog
from .frames import Frame

_EMPTY = Frame("", [])


class Inbox:
    """The frames that the hub has for one subscriber, and that the subscriber has not taken yet.

    It holds at most `max_frames` frames and `max_bytes` bytes. One frame more makes it overflow: it
    is emptied, and takes nothing until `reset`, because its subscriber reads on from the store.
    Frames are shared between inboxes; `backlog` counts the bytes of all.

    While the subscriber waits in `get`, a frame goes to `take` first, if there is one, which returns
    whether it has taken the frame. So only a subscriber that is behind has a queue. A frame that is
    postponed goes to `take` in `catch_up`.
    """

    __slots__ = (
        *("_backlog", "_bytes", "_max_bytes", "_max_frames", "_postponed", "_queue", "_waiter"),
        *("closed", "overflowed", "take"),
    )

    def __init__(self, max_frames: int, max_bytes: int, backlog: Backlog) -> None:
        self._backlog = backlog
        # an idle stream needs none, and an asyncio queue takes 2.4 KiB
        self._queue: asyncio.Queue[Frame] | None = None
        self._waiter: asyncio.Future[None] | None = None
        # stands before the queue, and only while there is none
        self._postponed: Frame | None = None
        self._bytes = 0
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self.take: Callable[[Frame], bool] | None = None
        self.overflowed = False
        self.closed = False

    @property
    def is_empty(self) -> bool:
        return self._queue is None and self._postponed is None

    def offer(self, frame: Frame) -> bool:
        """Put a frame in, without waiting; False if the inbox overflowed by it."""
        if self._waiter is not None:
            if self._postponed is not None or self._queue is not None:
                # `catch_up` follows
                return self._keep(frame)
            if self.take is not None and self.take(frame):
                return True
        kept = self.overflowed or self.closed or self._keep(frame)
        self._wake()
        return kept

    def postpone(self, frame: Frame) -> bool:
        """As `offer`, but a subscriber that waits does so until `catch_up`."""
        waits = self._waiter is not None and self.take is not None
        if not waits or self._queue is not None or self._postponed is not None:
            return self.offer(frame)
        self._postponed = frame
        return True

    def catch_up(self) -> None:
        """Offer what was postponed."""
        if (frame := self._take_postponed()) is not None:
            self.offer(frame)
        elif self._queue is not None:
            self._wake()

    def rouse(self) -> None:
        """Have `get` return a frame without events, if the subscriber waits in it."""
        if self._waiter is not None:
            self._keep(_EMPTY)
            self._wake()

    def close(self) -> None:
        """Take no more frames; those that are inside can still be taken out."""
        self.closed = True
        self._wake()

    def reset(self) -> None:
        """Empty the inbox, and take frames again from the next one on."""
        self._postponed = None
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
        if (postponed := self._take_postponed()) is not None:
            self._keep(postponed)
        taken: list[Frame] = []
        size = 0
        while self._queue is not None and size < most_bytes:
            frame = self._pop()
            taken.append(frame)
            size += frame.size
        return taken

    def _keep(self, frame: Frame) -> bool:
        if (first := self._take_postponed()) is not None and not self._keep(first):
            return False
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
        return True

    def _take_postponed(self) -> Frame | None:
        frame, self._postponed = self._postponed, None
        return frame

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
