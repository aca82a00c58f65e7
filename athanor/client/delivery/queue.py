"""The queue between the experiment's threads and the recorder."""

from __future__ import annotations

import threading
import time

from ..limits import ClientLimits


class EntryQueue:
    """Encoded entries, bounded in number and in bytes. `put` takes well under a microsecond.

    A caller that finds the queue full waits for the recorder, which writes to memory or to a local
    disk. If that takes too long, entries are dropped and counted until the recorder goes on.
    """

    def __init__(self, limits: ClientLimits) -> None:
        self._max_entries, self._max_bytes = limits.queue_entries, limits.queue_bytes
        self._patience = limits.queue_patience
        self._lock = threading.Lock()
        self._entries: list[bytes] = []
        self._bytes = 0
        self._may_wait = True
        self._dropped = 0
        self.filling = threading.Event()
        """Set by the first entry of an empty queue."""
        self.half_full = threading.Event()

    def put(self, entry: bytes) -> None:
        with self._lock:
            entries = self._entries
            entries.append(entry)
            self._bytes += len(entry)
            count = len(entries)
            if count == 1:
                self.filling.set()
            if count * 2 < self._max_entries and self._bytes * 2 < self._max_bytes:
                return
            self.half_full.set()
            if count <= self._max_entries and self._bytes <= self._max_bytes:
                return
            entries.pop()
            self._bytes -= len(entry)
        self._wait_and_put(entry)

    def _wait_and_put(self, entry: bytes) -> None:
        deadline = time.monotonic() + (self._patience if self._may_wait else 0)
        while True:
            with self._lock:
                fits = len(self._entries) < self._max_entries
                if fits and self._bytes + len(entry) <= self._max_bytes:
                    self._entries.append(entry)
                    self._bytes += len(entry)
                    # the queue may have been emptied since the caller found it full
                    self.filling.set()
                    return
                if time.monotonic() >= deadline:
                    self._may_wait = False
                    self._dropped += 1
                    return
            time.sleep(0.001)

    def take(self) -> tuple[list[bytes], int]:
        """All entries, oldest first, and how many were dropped after them."""
        with self._lock:
            entries, self._entries = self._entries, []
            dropped, self._dropped = self._dropped, 0
            self._bytes = 0
            self._may_wait = True
            self.filling.clear()
            self.half_full.clear()
        return entries, dropped
