"""The queue between the experiment and the thread that takes its lines away."""

from __future__ import annotations

import threading
import time


class LineQueue:
    """Bounded in lines and in bytes. `put` takes well under a microsecond, and never waits long.

    Who finds it full waits for the thread that empties it, which writes to memory or to a local
    disk; if that hangs, lines are dropped and counted until it moves again.
    """

    PATIENCE = 1.0
    """Seconds that a caller waits for room, once; after that lines are dropped without waiting."""

    def __init__(self, most_lines: int = 100_000, most_bytes: int = 64 << 20) -> None:
        self._most_lines, self._most_bytes = most_lines, most_bytes
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._bytes = 0
        self._patient = True
        self.dropped = 0
        self.filling = threading.Event()
        """Set by the first line of an empty queue."""
        self.half_full = threading.Event()

    def put(self, line: bytes) -> None:
        with self._lock:
            lines = self._lines
            lines.append(line)
            self._bytes += len(line)
            count = len(lines)
            if count == 1:
                self.filling.set()
            if count * 2 < self._most_lines and self._bytes * 2 < self._most_bytes:
                return
            self.half_full.set()
            if count <= self._most_lines and self._bytes <= self._most_bytes:
                return
            lines.pop()
            self._bytes -= len(line)
        self._put_late(line)

    def _put_late(self, line: bytes) -> None:
        deadline = time.monotonic() + (self.PATIENCE if self._patient else 0)
        while True:
            with self._lock:
                fits = len(self._lines) < self._most_lines
                if fits and self._bytes + len(line) <= self._most_bytes:
                    self._lines.append(line)
                    self._bytes += len(line)
                    self.filling.set()  # it may have been emptied in between
                    return
                if time.monotonic() >= deadline:
                    self._patient = False
                    self.dropped += 1
                    return
            time.sleep(0.001)

    def take(self) -> tuple[list[bytes], int]:
        """All lines, oldest first, and how many were dropped behind them."""
        with self._lock:
            lines, self._lines = self._lines, []
            dropped, self.dropped = self.dropped, 0
            self._bytes = 0
            self._patient = True
            self.filling.clear()
            self.half_full.clear()
        return lines, dropped
