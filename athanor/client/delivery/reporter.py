"""The reporter: one process's reports of one run, from the caller to the service.

    put ─▶ EntryQueue ─▶ recorder ─▶ Outbox (memory, or a spool on disk) ─▶ Sender ─▶ service
                  progress, the newest only ────────────────────────────────▶

The recorder empties the queue every 50 ms, whatever the network does. So the queue stays short, and
what can't be sent is on disk soon.
"""

from __future__ import annotations

import threading
from pathlib import Path

from ..limits import ClientLimits
from ..notices import Notices
from ..settings import ClientSettings, without_login
from .api import RunApi
from .outbox import Outbox
from .queue import EntryQueue
from .sender import EncodeProgress, Sender
from .spool import End, Registration

INTERVAL = 0.05
"""Seconds between two rounds of the recorder."""

STOP_TIMEOUT = 0.2
"""Seconds that a stopped sender is waited for; one that waits for a response is left behind."""

THREAD_NAME = "athanor-recorder"


class Reporter:
    """The threads start with the first report, or with `start`."""

    def __init__(
        self,
        registration: Registration,
        settings: ClientSettings,
        limits: ClientLimits,
        notices: Notices,
        has_answered: bool = False,
        held: bool = False,
    ) -> None:
        """`held`: nothing is sent until the run exists, or `release` is called."""
        self.registration = registration
        self._notices = notices
        self._queue = EntryQueue(limits)
        self.put = self._queue.put
        offline = settings.mode == "offline"
        self._outbox = Outbox(registration, settings.spool, notices, limits, spooling=offline)
        self._sender: Sender | None = None
        if not offline:
            api = RunApi(registration, notices, has_answered)
            self._sender = Sender(api, self._outbox, notices, held)
        self._moving = threading.Lock()
        self._starting = threading.Lock()
        self._started = False
        self._closed = False

    def start(self) -> None:
        # a signal handler may interrupt this and come here: it must not wait for the lock
        if not self._starting.acquire(blocking=False):
            return
        self._started = True
        threading.Thread(target=self._record, name=THREAD_NAME, daemon=True).start()
        if self._sender is not None:
            self._sender.start()

    @property
    def is_started(self) -> bool:
        return self._started

    @property
    def has_answered(self) -> bool:
        """Whether the service has ever responded."""
        return self._sender is not None and self._sender.has_answered

    @property
    def cancel_requested(self) -> bool:
        """Whether the run was asked to end."""
        return self._sender is not None and self._sender.cancel_requested

    def set_progress(self, progress: EncodeProgress) -> None:
        """Replace the progress to send."""
        if self._sender is not None:
            self._sender.set_progress(progress)

    def release(self) -> None:
        """Create the run now, if no other process has."""
        if self._sender is not None:
            self._sender.release()

    def close(self, end: End | None, timeout: float) -> None:
        """Deliver what is left, then `end`, within `timeout` seconds; `sync` delivers the rest."""
        if self._closed:
            return
        self._closed = True
        self._queue.half_full.set()
        self._queue.filling.set()
        self._move()
        try:
            if self._sender is not None and self._started:
                self._sender.finish(end)
                self._sender.finished.wait(timeout)
        finally:
            self._close_outbox(end)

    def abandon(self) -> None:
        """In a forked process: close the parent's spool. The parent's threads may hold any lock."""
        self._outbox.abandon()

    def _close_outbox(self, end: End | None) -> None:
        if self._sender is not None:
            self._sender.stop()
            if self._started:
                self._sender.join(STOP_TIMEOUT)
            if self._sender.delivered:
                return
        entries, path = self._outbox.close(end)
        if entries or end is not None:
            self._notices.show("remaining", self._remaining(entries, path))

    def _remaining(self, entries: int, path: Path | None) -> str:
        """What was not delivered, and where it is."""
        run, url = self.registration.run_id, without_login(self.registration.url)
        count = f"{entries:,} line{'' if entries == 1 else 's'}"
        if path is None:
            return f"{count} of run {run} are lost: {url} did not take them, nor did the disk"
        why = "offline" if self._sender is None else f"not delivered to {url}"
        return f"{why}: {count} of run {run} in {path}; `athanor sync` delivers them"

    def _record(self) -> None:
        while not self._closed:
            self._queue.filling.wait(1.0)
            self._move()
            self._outbox.check()
            self._queue.half_full.wait(INTERVAL)

    def _move(self) -> None:
        """Move entries from the queue to the outbox."""
        with self._moving:
            entries, dropped = self._queue.take()
            if entries or dropped:
                self._outbox.add(b"".join(entries), dropped)
                if self._sender is not None:
                    self._sender.wake.set()
