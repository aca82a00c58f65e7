"""The outbox: one process's entries that are not acknowledged yet, in order.

They wait in memory while the service takes them, and in a spool on disk while it is unavailable or
slow. Where the disk takes none they stay in memory. Where there is no room at all they are dropped
and counted, and a log entry at that place gives their number.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path

import msgspec

from ..encode import encode_log
from ..limits import ClientLimits
from ..notices import Notices
from .spool import Batch, End, Registration, Spool, SpoolFull


class Outbox:
    """One thread adds entries; another one takes them: `next`, send, `done`.

    `spooling`: entries go to disk from the beginning. `spool_type` makes the spool.
    """

    def __init__(
        self,
        registration: Registration,
        folder: Path,
        notices: Notices,
        limits: ClientLimits,
        spooling: bool,
        spool_type: type[Spool] = Spool,
    ) -> None:
        self.registration = registration
        self._folder = folder
        self._notices = notices
        self._limits = limits
        self._spooling = spooling
        self._spool_type = spool_type
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
        self._closed_reason = ""

    def add(self, data: bytes, dropped: int = 0) -> None:
        """Add whole entries, and the number of those that were dropped after them by the queue."""
        with self._lock:
            if self._closed:
                if self._closed_reason:
                    self._notices.show("ended", self._closed_reason)
                return
            if data:
                self._take(data)
            if dropped:
                self._drop(dropped, "they came faster than this machine could keep them")

    def next(self) -> Batch | None:
        """The batch to send; the same one until it is `done`."""
        with self._lock:
            if self._closed:
                return None
            if self._spool is not None:
                batch = self._spool.next(self._limits.batch_bytes)
                if batch is not None:
                    return batch
            if self._sending is None:
                self._sending = self._first()
                self._since = time.monotonic()
            return Batch(self._place, self._sending) if self._sending else None

    def done(self) -> None:
        """The batch that `next` returned was acknowledged."""
        with self._lock:
            if self._closed:
                return
            if self._spool is not None:
                self._spool.done()
                if not self._spool.waiting:
                    self._spool.remove()
                    self._spool = None
                    self._spooling = False
            elif self._sending is not None:
                self._place += len(self._sending)
                self._bytes -= len(self._sending)
                self._memory.popleft()
                self._sending = None
                self._spooling = False

    def spill(self) -> None:
        """The service is unavailable: entries go to disk until all of them were acknowledged."""
        with self._lock:
            if not self._closed:
                self._spooling = True
                self._move_to_disk()

    def check(self) -> None:
        """Move to disk what has waited in memory for too long."""
        with self._lock:
            slow = self._sending is not None and time.monotonic() - self._since > self._limits.slow_after
            if slow or self._spooling:
                self.spill()

    def discard(self, reason: str) -> None:
        """Drop all entries, now and later. `reason` is shown if there are any."""
        with self._lock:
            if self._closed:
                return
            if self._waiting:
                self._notices.show("ended", reason)
            self._closed_reason = reason
            self._closed = True
            self._memory.clear()
            if self._spool is not None:
                self._spool.remove()

    def abandon(self) -> None:
        """In a forked process: close the spool, which belongs to the parent."""
        if self._spool is not None:
            self._spool.close()

    @property
    def _waiting(self) -> int:
        spooled = 0 if self._spool is None else self._spool.count()
        return spooled + sum(piece.count(b"\n") for piece in self._memory)

    def close(self, end: End | None) -> tuple[int, Path | None]:
        """Leave what was not delivered, and `end`, to `athanor sync`.

        Returns the number of those entries and their file; None if they are lost with this process.
        """
        with self._lock:
            if self._closed:
                return 0, None
            if self._dropped:
                self._append(self._missing())
            waiting = self._waiting
            if end is not None:
                self._append(msgspec.json.encode(end) + b"\n")
            self._disk_at = 0.0
            self._move_to_disk(last=True)
            self._closed = True
            path = None
            if self._spool is not None:
                path = None if self._memory else self._spool.path
                self._spool.close()
            return waiting, path

    def _first(self) -> bytes | None:
        """The first batch in memory, joined into one piece at the head of the queue."""
        if not self._memory:
            return None
        most = self._limits.batch_bytes
        pieces = [self._memory.popleft()]
        size = len(pieces[0])
        while self._memory and size + len(self._memory[0]) <= most:
            pieces.append(self._memory.popleft())
            size += len(pieces[-1])
        data = b"".join(pieces)
        if len(data) > 2 * most:
            cut = data.rfind(b"\n", 0, most) + 1 or data.find(b"\n") + 1
            self._memory.appendleft(data[cut:])
            data = data[:cut]
        self._memory.appendleft(data)
        return data

    def _take(self, data: bytes) -> None:
        if self._bytes + len(data) > self._limits.max_memory_bytes:
            self._move_to_disk()
            if self._bytes + len(data) > self._limits.max_memory_bytes:
                self._drop(data.count(b"\n"), self._reason)
                return
        if self._dropped:
            self._append(self._missing())
        self._append(data)
        if self._spooling or self._bytes > self._limits.memory_bytes:
            self._move_to_disk()

    def _append(self, data: bytes) -> None:
        self._memory.append(data)
        self._bytes += len(data)

    def _move_to_disk(self, last: bool = False) -> None:
        """Append all that is in memory to the spool; where that fails it stays."""
        if not self._memory or time.monotonic() < self._disk_at:
            return
        data = b"".join(self._memory)
        try:
            if self._spool is None:
                content, sending = Batch(self._place, data), len(self._sending or b"")
                self._spool = self._spool_type.create(self._folder, self.registration, content, sending)
            else:
                self._spool.append(data, None if last else self._limits.spool_bytes)
        except (OSError, SpoolFull) as error:
            self._disk_at = time.monotonic() + self._limits.disk_pause
            self._reason = str(error)
            self._notices.show(
                "disk",
                f"lines can't be kept in {self._folder} ({error}); they stay in memory, up to "
                f"{self._limits.max_memory_bytes >> 20} MiB, while the service does not take them",
            )
            return
        self._place += len(data)
        self._memory.clear()
        self._bytes = 0
        self._sending = None

    def _drop(self, entries: int, reason: str) -> None:
        if not self._dropped:
            self._notices.show("dropped", f"lines are being dropped: {reason}")
        self._dropped += entries
        self._reason = reason

    def _missing(self) -> bytes:
        """A log entry with the number of entries that are missing before it."""
        dropped, self._dropped = self._dropped, 0
        text = f"athanor: {dropped:,} lines are missing here: {self._reason}"
        return encode_log(text, "warn", {"dropped": dropped})
