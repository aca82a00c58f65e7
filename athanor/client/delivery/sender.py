"""The sender: the thread that sends entries, the newest progress, and the end of the run."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from ..notices import Notices
from ..responses import RequestFailed, Unavailable
from ..settings import without_login
from ..wake import Wake
from .api import RunApi, RunEnded
from .outbox import Outbox
from .spool import End

HELD_INTERVAL, HELD_PAUSE = 0.1, 1.0
"""Seconds between two checks whether another process has created the run, and after a failure."""
HEARTBEAT = 15.0
"""Seconds between two heartbeats."""
HEARTBEAT_WATCHED = 0.5
"""Seconds between them while the script checks `cancelled`, for the response says it."""
INTERVAL = 0.05
"""Seconds between two rounds, so that reports that come together are sent together."""
FIRST_PAUSE, MAX_PAUSE, MAX_PAUSE_AT_END = 0.2, 5.0, 0.5
"""Seconds between two attempts: at first, at most, and at most while the script waits."""
MAX_PAUSE_REFUSED = 15.0
"""Seconds at most between two attempts after an error that may not pass."""

THREAD_NAME = "athanor-sender"

EncodeProgress = Callable[[], bytes | None]


class Sender(threading.Thread):
    """Sends until `finish` was called and everything was sent; `finished` is set then.

    `finished` is also set when the service says that the run has ended, and if, at the end, a
    service that has never responded does not respond once more.
    """

    def __init__(self, api: RunApi, outbox: Outbox, notices: Notices, held: bool = False) -> None:
        super().__init__(name=THREAD_NAME, daemon=True)
        self.wake = Wake()
        self.finished = threading.Event()
        self.delivered = False
        """Nothing is left to send, or nothing more is accepted."""
        self._api = api
        self._outbox = outbox
        self._notices = notices
        self._interrupt = threading.Event()
        """Set to cut every pause short."""
        self._held = held
        self._stopped = False
        self._ending = False
        self._end: End | None = None
        self._progress: EncodeProgress | None = None
        self._sent_entries = False
        self._failures = 0
        self._sent_at = 0.0
        self._checked_at = float("-inf")

    @property
    def cancel_requested(self) -> bool:
        """Whether the run was asked to end; from the first call on, known within half a second."""
        before, self._checked_at = self._checked_at, time.monotonic()
        if self._checked_at - before > HEARTBEAT_WATCHED:
            self.wake.set()
        return self._api.cancel_requested

    @property
    def has_answered(self) -> bool:
        return self._api.has_answered

    def set_progress(self, progress: EncodeProgress) -> None:
        """Replace the progress to send; it is encoded when it is sent."""
        self._progress = progress
        if not self.wake.is_set():
            self.wake.set()

    def finish(self, end: End | None) -> None:
        """Send what is left, then `end` (None: another process ends the run)."""
        self._end = end
        self._ending = True
        self._interrupt.set()
        self.wake.set()

    def stop(self) -> None:
        """Stop after the request that is under way."""
        self._stopped = True
        self._interrupt.set()
        self.wake.set()

    def release(self) -> None:
        """Do not wait any more for another process to create the run."""
        self._held = False

    def run(self) -> None:
        try:
            self._wait_for_creation()
            while not self._stopped and not self.finished.is_set():
                self._round()
        finally:
            self._api.close()

    def _wait_for_creation(self) -> None:
        """Send nothing while the sender is held and the run does not exist."""
        while self._held and not self._ending:
            pause = HELD_INTERVAL
            try:
                if self._api.is_created():
                    self._held = False
            except RequestFailed:
                # the other process can't reach the service either
                pause = HELD_PAUSE
            self._interrupt.wait(pause)

    def _round(self) -> None:
        try:
            while not self._stopped and self._step():
                if self._failures and self._notices.was_shown("away"):
                    self._notices.show("back", f"{without_login(self._api.registration.url)} is back")
                self._failures = 0
        except RunEnded as ended:
            self._on_run_ended(ended)
        except RequestFailed as error:
            self._back_off(error)
        except Exception as error:
            # an error in this client must not lose entries, nor end the thread
            self._back_off(RequestFailed(f"lines can't be delivered: {error!r}"))
        else:
            self._interrupt.wait(INTERVAL)
            self.wake.wait(self._until_heartbeat())
            self.wake.clear()

    def _step(self) -> bool:
        """Send one thing; False if there is nothing to send."""
        progress, batch = self._progress, self._outbox.next()
        # they alternate, so that a script which never stops logging still shows its progress
        if batch is not None and (progress is None or not self._sent_entries):
            self._api.send(batch)
            self._outbox.done()
            self._sent_entries = True
        elif progress is not None:
            self._send_progress(progress)
            self._sent_entries = False
        elif self._ending:
            if self._end is not None:
                self._api.end(self._end)
            self.delivered = True
            self.finished.set()
            return False
        elif self._until_heartbeat() <= 0:
            self._api.heartbeat()
        else:
            return False
        self._sent_at = time.monotonic()
        return True

    def _send_progress(self, progress: EncodeProgress) -> None:
        body = progress()
        if body is not None:
            self._api.progress(body)
        # the script may have set a newer one meanwhile
        if self._progress is progress:
            self._progress = None

    def _until_heartbeat(self) -> float:
        now = time.monotonic()
        watched = now - self._checked_at < 2 * HEARTBEAT_WATCHED
        return max(0.0, self._sent_at + (HEARTBEAT_WATCHED if watched else HEARTBEAT) - now)

    def _back_off(self, error: RequestFailed) -> None:
        self._outbox.spill()
        self._failures += 1
        may_pass = isinstance(error, Unavailable)
        # a single failure may be a connection that broke
        if self._failures == 2 or not may_pass:
            self._notices.show("away", f"{error}; lines are kept until it takes them")
        if self._ending and not self.has_answered:
            self.finished.set()
            return
        pause = FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10)
        most = MAX_PAUSE if may_pass else MAX_PAUSE_REFUSED
        if self._ending:
            most = MAX_PAUSE_AT_END
        elif isinstance(error, Unavailable) and error.retry_after is not None:
            pause = max(pause, error.retry_after)
        # jitter, so that many producers do not return at the same moment
        self._sleep(min(pause, most) * random.uniform(0.5, 1.0))  # noqa: S311

    def _sleep(self, seconds: float) -> None:
        if self._ending:
            time.sleep(seconds)
        else:
            self._interrupt.wait(seconds)

    def _on_run_ended(self, ended: RunEnded) -> None:
        self._api.cancel_requested |= ended.status == "cancelled"
        run = self._api.registration.run_id
        self._outbox.discard(f"run {run} is {ended.status}; what is reported after its end is lost")
        self._stopped = True
        self.delivered = True
        self.finished.set()
