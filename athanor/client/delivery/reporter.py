"""The reporter: one process's reports of one run, from the caller's hands to the service.

    put ─▶ LineQueue ─▶ recorder ─▶ Outbox (memory, or a spool on disk) ─▶ Courier ─▶ service
                 progress, latest wins ────────────────────────────────────▶

The recorder empties the queue every few hundredths of a second whatever the network does, so the
queue stays short, and what can't be sent is on disk soon.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from ..notices import Notices
from ..settings import ClientSettings, without_login
from .api import RunApi
from .outbox import Outbox
from .queue import LineQueue
from .sender import Sender
from .spool import End, Registration

REST = 0.05
"""Seconds between two visits of the queue."""

GOODBYE = 0.2
"""Seconds for a courier that was told to stop; one that waits for an answer is left behind."""

THREAD_NAME = "athanor-recorder"


class Reporter:
    """Threads start with the first thing that is reported, or with `start`."""

    def __init__(
        self,
        registration: Registration,
        settings: ClientSettings,
        notices: Notices,
        has_answered: bool = False,
    ) -> None:
        self.registration = registration
        self._settings = settings
        self._notices = notices
        self._queue = LineQueue()
        self.put = self._queue.put
        offline = settings.mode == "offline"
        self._outbox = Outbox(registration, settings.spool, notices, away=offline)
        self._courier: Sender | None = None
        if not offline:
            delivery = RunApi(registration, notices, has_answered)
            self._courier = Sender(delivery, self._outbox, notices)
        self._moving = threading.Lock()
        self._starting = threading.Lock()
        self._started = False
        self._closed = threading.Event()

    def start(self) -> None:
        with self._starting:
            if self._started:
                return
            self._started = True
            threading.Thread(target=self._record, name=THREAD_NAME, daemon=True).start()
            if self._courier is not None:
                self._courier.start()

    @property
    def is_started(self) -> bool:
        return self._started

    @property
    def has_answered(self) -> bool:
        """Whether the service ever has."""
        return self._courier is not None and self._courier.has_answered

    @property
    def cancel_requested(self) -> bool:
        return self._courier is not None and self._courier.cancel_requested

    def show(self, progress: Callable[[], bytes | None]) -> None:
        if self._courier is not None:
            self._courier.show(progress)

    def close(self, end: End | None, timeout: float) -> None:
        """Deliver what is left, then `end`, within `timeout` seconds; what remains is left to `sync`."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._queue.half_full.set()
        self._queue.filling.set()
        self._move()
        try:
            if self._courier is not None and self._started:
                self._courier.finish(end)
                self._courier.over.wait(timeout)
        finally:
            self._leave(end)

    def abandon(self) -> None:
        """In a forked process: let go of the file that the parent writes. No lock can be taken here."""
        self._outbox.abandon()

    def _leave(self, end: End | None) -> None:
        sender = self._courier
        if sender is None:
            return self._tell(*self._outbox.close(end), end)
        sender.stop()
        if self._started:
            sender.join(GOODBYE)
        if sender.delivered:
            return None
        return self._tell(*self._outbox.close(end), end)

    def _tell(self, lines: int, path: Path | None, end: End | None) -> None:
        """What remains, and where."""
        if not lines and end is None:
            return
        run, url = self.registration.run_id, without_login(self.registration.url)
        count = f"{lines:,} line{'' if lines == 1 else 's'}"
        if path is not None:
            why = "offline" if self._courier is None else f"not delivered to {url}"
            text = f"{why}: {count} of run {run} in {path}; `athanor sync` delivers them"
        else:
            text = f"{count} of run {run} are lost: {url} did not take them, nor did the disk"
        self._notices.say("remaining", text)

    def _record(self) -> None:
        while not self._closed.is_set():
            self._queue.filling.wait(1.0)
            self._move()
            self._outbox.check()
            self._queue.half_full.wait(REST)

    def _move(self) -> None:
        """From the queue to the outbox."""
        with self._moving:
            lines, dropped = self._queue.take()
            if lines or dropped:
                self._outbox.add(b"".join(lines), dropped)
                if self._courier is not None:
                    self._courier.wake.set()
