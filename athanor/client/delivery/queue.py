"""The queue between the experiment's threads and the recorder."""

from __future__ import annotations

import time
from collections import deque

from ..limits import ClientLimits
from ..wake import Wake


class EntryQueue:
    """Encoded entries, bounded in number and in bytes. `put` takes well under a microsecond.

    A caller that finds the queue full waits for the recorder, which writes to memory or to a local
    disk. If that takes too long, entries are dropped and counted until the recorder goes on.

    There is no lock: a signal handler, or a destructor that the garbage collector runs, may call
    `put` inside `put` or `take`. `deque.append` and `popleft` are atomic. So is `+=` on a number:
    CPython switches threads, handles signals and collects garbage at calls and jumps only.
    """

    def __init__(self, limits: ClientLimits) -> None:
        self._max_entries, self._max_bytes = limits.queue_entries, limits.queue_bytes
        self._patience = limits.queue_patience
        self._entries: deque[bytes] = deque()
        self._bytes = 0
        self._may_wait = True
        self._dropped = 0
        self.filling = Wake()
        """Set by the first entry of an empty queue."""
        self.half_full = Wake()

    def put(self, entry: bytes) -> None:
        """Add an entry, or wait, or drop it. Never raises."""
        size = len(entry)
        full = len(self._entries) >= self._max_entries or self._bytes + size > self._max_bytes
        if full and not self._has_room(size):
            self._dropped += 1
            return
        self._entries.append(entry)
        self._bytes += size
        if not self.filling.is_set():
            self.filling.set()
        if len(self._entries) * 2 >= self._max_entries or self._bytes * 2 >= self._max_bytes:
            self.half_full.set()

    def _has_room(self, size: int) -> bool:
        """Wait for room, if callers may wait."""
        deadline = time.monotonic() + (self._patience if self._may_wait else 0)
        while len(self._entries) >= self._max_entries or self._bytes + size > self._max_bytes:
            if time.monotonic() >= deadline:
                self._may_wait = False
                return False
            time.sleep(0.001)
        return True

    def take(self) -> tuple[list[bytes], int]:
        """All entries, oldest first, and how many were dropped after them. For one thread at a time."""
        # first, so that an entry that comes meanwhile sets it again
        self.filling.clear()
        self.half_full.clear()
        entries = [self._entries.popleft() for _ in range(len(self._entries))]
        size = sum(map(len, entries))
        self._bytes -= size
        dropped = self._dropped
        self._dropped -= dropped
        self._may_wait = True
        return entries, dropped
