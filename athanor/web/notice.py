"""Lines in the log that an attack can't multiply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger("athanor")

BATCH = 0.1
"""Seconds that a first line waits, so that it has the count of a burst."""


class Notice:
    """A warning about something that may happen often: one line in `interval` seconds at most.

    `text` makes the line from the number of times since the last one.
    """

    def __init__(self, text: Callable[[int], str], interval: float) -> None:
        self._text = text
        self._interval = interval
        self._count = 0
        self._last: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self) -> None:
        """Count once more, and write a line as soon as one may be written."""
        self._count += 1
        if self._timer is None:
            loop = asyncio.get_running_loop()
            last = loop.time() - self._interval if self._last is None else self._last
            at = max(last + self._interval, loop.time() + BATCH)
            self._timer = loop.call_at(at, self._write, at)

    def close(self) -> None:
        """Write nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _write(self, now: float) -> None:
        logger.warning("%s", self._text(self._count))
        self._timer, self._last, self._count = None, now, 0
