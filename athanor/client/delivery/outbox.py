"""The outbox: one process's lines that are not acknowledged yet, in order.

They wait in memory while the service takes them, and in a spool on disk while it is away or behind.
Where the disk refuses them they stay in memory; where there is no room at all they are dropped and
counted, and the run's log says how many, at the place where they are missing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path

import msgspec

from ..encode import log_line
from ..notices import Notices
from .spool import GROUP_BYTES, Batch, End, Registration, Spool, SpoolFull

MEMORY_BYTES = 8 * 1024 * 1024
"""Bytes in memory behind which lines go to disk."""
MOST_MEMORY_BYTES = 64 * 1024 * 1024
"""Bytes in memory where the disk takes none."""
DISK_PAUSE = 5.0
"""Seconds between two tries of a disk that failed."""
SLOW_AFTER = 1.0
"""Seconds without an answer after which what waits goes to disk, for this process may be killed."""


class Outbox:
    """Lines are added by one thread, and taken by another: `next`, send, `done`."""

    def __init__(self, registration: Registration, folder: Path, notices: Notices, away: bool) -> None:
        self.registration = registration
        self._folder = folder
        self._notices = notices
        self._away = away
        self._lock = threading.RLock()
        self._memory: deque[bytes] = deque()
        self._bytes = 0
        self._place = 0
        self._sending: bytes | None = None
        self._since = 0.0
        self._spool: Spool | None = None
        self._disk_at = 0.0
        self._dropped = 0
        self._reason = ""
        self._closed = False
        self._over = ""

    def add(self, data: bytes, dropped: int = 0) -> None:
        """Whole lines, and how many were dropped behind them before they came here."""
        with self._lock:
            if self._closed:
                if self._over:
                    self._notices.say("ended", self._over)
                return
            if data:
                self._take(data)
            if dropped:
                self._drop(dropped, "they came faster than this machine could keep them")

    def next(self) -> Batch | None:
        """The group to be sent; the same again until it is `done`."""
        with self._lock:
            if self._closed:
                return None
            if self._spool is not None:
                group = self._spool.next()
                if group is not None:
                    return group
            if self._sending is None:
                self._sending = self._first()
                self._since = time.monotonic()
            return Batch(self._place, self._sending) if self._sending else None

    def done(self) -> None:
        """The group that `next` gave was acknowledged."""
        with self._lock:
            if self._closed:
                return
            if self._spool is not None:
                self._spool.done()
                if not self._spool.waiting:
                    self._spool.remove()
                    self._spool = None
                    self._away = False
            elif self._sending is not None:
                self._place += len(self._sending)
                self._bytes -= len(self._sending)
                self._memory.popleft()
                self._sending = None
                self._away = False

    def spill(self) -> None:
        """The service is away: what waits, and what comes until all was taken, goes to disk."""
        with self._lock:
            if not self._closed:
                self._away = True
                self._to_disk()

    def check(self) -> None:
        """Look whether what waits in memory waits too long."""
        with self._lock:
            slow = self._sending is not None and time.monotonic() - self._since > SLOW_AFTER
            if slow or self._away:
                self.spill()

    def discard(self, reason: str) -> None:
        """There is nobody to take any of it, nor what follows; said once, if there is anything."""
        with self._lock:
            if self._closed:
                return
            if self._waiting:
                self._notices.say("ended", reason)
            self._over = reason
            self._closed = True
            self._memory.clear()
            if self._spool is not None:
                self._spool.remove()

    def abandon(self) -> None:
        """In a forked process: the spool's lock is the parent's alone."""
        if self._spool is not None:
            self._spool.close()

    @property
    def _waiting(self) -> int:
        spooled = 0 if self._spool is None else self._spool.count()
        return spooled + sum(piece.count(b"\n") for piece in self._memory)

    def close(self, end: End | None) -> tuple[int, Path | None]:
        """Leave what was not delivered, `end` included, to `athanor sync`.

        How many lines that are, and the file they are in; None where they are lost with this process.
        """
        with self._lock:
            if self._closed:
                return 0, None
            if self._dropped:
                self._append(self._confession())
            waiting = self._waiting
            if end is not None:
                self._append(msgspec.json.encode(end) + b"\n")
            self._disk_at = 0.0
            self._to_disk(last=True)
            self._closed = True
            path = None
            if self._spool is not None:
                path = None if self._memory else self._spool.path
                self._spool.close()
            return waiting, path

    def _first(self) -> bytes | None:
        """The first lines in memory, as one piece at the head of it."""
        if not self._memory:
            return None
        pieces = [self._memory.popleft()]
        size = len(pieces[0])
        while self._memory and size + len(self._memory[0]) <= GROUP_BYTES:
            pieces.append(self._memory.popleft())
            size += len(pieces[-1])
        data = b"".join(pieces)
        if len(data) > 2 * GROUP_BYTES:
            cut = data.rfind(b"\n", 0, GROUP_BYTES) + 1 or data.find(b"\n") + 1
            self._memory.appendleft(data[cut:])
            data = data[:cut]
        self._memory.appendleft(data)
        return data

    def _take(self, data: bytes) -> None:
        if self._bytes + len(data) > MOST_MEMORY_BYTES:
            self._to_disk()
            if self._bytes + len(data) > MOST_MEMORY_BYTES:
                self._drop(data.count(b"\n"), self._reason)
                return
        if self._dropped:
            self._append(self._confession())
        self._append(data)
        if self._away or self._bytes > MEMORY_BYTES:
            self._to_disk()

    def _append(self, data: bytes) -> None:
        self._memory.append(data)
        self._bytes += len(data)

    def _to_disk(self, last: bool = False) -> None:
        """All that is in memory, behind what is on disk already; where that fails it stays."""
        if not self._memory or time.monotonic() < self._disk_at:
            return
        data = b"".join(self._memory)
        try:
            if self._spool is None:
                sending = len(self._sending or b"")
                self._spool = Spool.create(self._folder, self.registration, self._place, data, sending)
            else:
                self._spool.append(data, last)
        except (OSError, SpoolFull) as error:
            self._disk_at = time.monotonic() + DISK_PAUSE
            self._reason = str(error)
            self._notices.say(
                "disk",
                f"lines can't be kept in {self._folder} ({error}); they stay in memory, up to "
                f"{MOST_MEMORY_BYTES >> 20} MiB, while the service does not take them",
            )
            return
        self._place += len(data)
        self._memory.clear()
        self._bytes = 0
        self._sending = None

    def _drop(self, lines: int, reason: str) -> None:
        if not self._dropped:
            self._notices.say("dropped", f"lines are being dropped: {reason}")
        self._dropped += lines
        self._reason = reason

    def _confession(self) -> bytes:
        dropped, self._dropped = self._dropped, 0
        text = f"athanor: {dropped:,} lines are missing here: {self._reason}"
        return log_line(text, "warn", {"dropped": dropped})
