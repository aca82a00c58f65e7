"""The courier: the thread that brings lines, the newest progress and the end to the service."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from ..notices import Notices
from ..settings import without_login
from .api import Refused, RunApi, RunEnded, Unavailable
from .outbox import Outbox
from .spool import End

HEARTBEAT = 15.0
"""Seconds between two signs of life."""
HEARTBEAT_ASKED = 0.5
"""… while the experiment looks whether it was asked to end, for the answer says so."""
REST = 0.05
"""Seconds between two rounds, so that what comes together goes together."""
FIRST_PAUSE, MOST_PAUSE, MOST_PAUSE_AT_END = 0.2, 5.0, 0.5
"""Seconds between two tries; doubled up to the second, and the third while the end is waited for."""
REFUSED_PAUSE = 15.0

THREAD_NAME = "athanor-courier"


class Sender(threading.Thread):
    """Delivers until it is told the end and has delivered that too; `over` is set then.

    It is also set when the service says that the run has ended, and when, at the end, one that never
    answered does not answer once more.
    """

    def __init__(self, delivery: RunApi, outbox: Outbox, notices: Notices) -> None:
        super().__init__(name=THREAD_NAME, daemon=True)
        self.wake = threading.Event()
        self.over = threading.Event()
        self.delivered = False
        """Nothing is left to be delivered, or nobody takes it any more."""
        self._delivery = delivery
        self._outbox = outbox
        self._notices = notices
        self._hurry = threading.Event()
        self._stopped = False
        self._ending = False
        self._end: End | None = None
        self._progress: Callable[[], bytes | None] | None = None
        self._sent_lines = False
        self._failures = 0
        self._spoke_at = 0.0
        self._asked_at = float("-inf")

    @property
    def cancel_requested(self) -> bool:
        """Whether the run was asked to end; who asks is told within half a second from now on."""
        asked_before, self._asked_at = self._asked_at, time.monotonic()
        if self._asked_at - asked_before > HEARTBEAT_ASKED:
            self.wake.set()
        return self._delivery.cancel_requested

    @property
    def has_answered(self) -> bool:
        return self._delivery.has_answered

    def show(self, progress: Callable[[], bytes | None]) -> None:
        """The newest progress, encoded when it goes out; an earlier one that did not is forgotten."""
        self._progress = progress
        if not self.wake.is_set():
            self.wake.set()

    def finish(self, end: End | None) -> None:
        """Deliver what is left, then `end` (None: another process says it), and be over."""
        self._end = end
        self._ending = True
        self._hurry.set()
        self.wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._hurry.set()
        self.wake.set()

    def run(self) -> None:
        try:
            while not self._stopped and not self.over.is_set():
                self._round()
        finally:
            self._delivery.close()

    def _round(self) -> None:
        try:
            while not self._stopped and self._step():
                if self._failures and self._notices.was_said("away"):
                    self._notices.say("back", f"{without_login(self._delivery.registration.url)} is back")
                self._failures = 0
        except RunEnded as ended:
            self._was_ended(ended)
        except Unavailable as away:
            self._wait_for(away)
        except Exception as error:  # a mistake of ours is no reason to lose lines, or to stop
            self._wait_for(Refused(f"lines can't be delivered: {error!r}"))
        else:
            self._hurry.wait(REST)
            self.wake.wait(self._until_heartbeat())
            self.wake.clear()

    def _step(self) -> bool:
        """One thing that there is to do; False if there is none."""
        progress, group = self._progress, self._outbox.next()
        # they take turns: a script that never stops to write lines has a bar all the same
        if group is not None and (progress is None or not self._sent_lines):
            self._delivery.send(group)
            self._outbox.done()
            self._sent_lines = True
        elif progress is not None:
            self._show(progress)
            self._sent_lines = False
        elif self._ending:
            if self._end is not None:
                self._delivery.end(self._end)
            self.delivered = True
            self.over.set()
            return False
        elif self._until_heartbeat() <= 0:
            self._delivery.beat()
        else:
            return False
        self._spoke_at = time.monotonic()
        return True

    def _show(self, progress: Callable[[], bytes | None]) -> None:
        body = progress()
        if body is not None:
            self._delivery.progress(body)
        if self._progress is progress:  # else there is a newer one
            self._progress = None

    def _until_heartbeat(self) -> float:
        now = time.monotonic()
        asked = now - self._asked_at < 2 * HEARTBEAT_ASKED
        return max(0.0, self._spoke_at + (HEARTBEAT_ASKED if asked else HEARTBEAT) - now)

    def _wait_for(self, away: Unavailable) -> None:
        self._outbox.spill()
        self._failures += 1
        if self._ending and not self.has_answered:
            self.over.set()
            return
        if self._failures == 2 or isinstance(away, Refused):  # the first may be a connection that broke
            self._notices.say("away", f"{away}; lines are kept until it takes them")
        pause = FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10)
        most = REFUSED_PAUSE if isinstance(away, Refused) else MOST_PAUSE
        if self._ending:
            most = MOST_PAUSE_AT_END
        elif away.after is not None:
            pause = max(pause, away.after)
        # jitter: those who lost their service together come back one by one
        self._rest(min(pause, most) * random.uniform(0.5, 1.0))  # noqa: S311

    def _rest(self, seconds: float) -> None:
        if self._ending:
            time.sleep(seconds)
        else:
            self._hurry.wait(seconds)

    def _was_ended(self, ended: RunEnded) -> None:
        self._delivery.cancel_requested |= ended.status == "cancelled"
        run = self._delivery.registration.run_id
        self._outbox.discard(f"run {run} is {ended.status}; what comes behind its end is lost")
        self._stopped = True
        self.delivered = True
        self.over.set()
