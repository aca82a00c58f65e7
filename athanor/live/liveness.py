"""Liveness: when each running run gave its last sign of life, in this process's memory."""

from __future__ import annotations

import time

from ..protocol.records import Run


class Liveness:
    """Every report of a run is a sign of life, and so is a heartbeat. Times are in seconds.

    A sign of life that a peer received is known here up to `lag` seconds later, so a run counts as
    stale that much later.
    """

    def __init__(self, stale_after: float, lag: float = 0.0) -> None:
        self._stale_after = stale_after
        self._lag = lag
        self._last: dict[str, float] = {}
        self._since = time.monotonic()
        self._is_complete = True

    def beat(self, run_id: str) -> None:
        """The run gave a sign of life now."""
        self._last[run_id] = time.monotonic()

    def last(self, run_id: str) -> float:
        """The monotonic time of the run's last sign of life; of an unknown run, when we began."""
        if not self._is_complete:
            return time.monotonic()
        return max(self._last.get(run_id, self._since), self._since) + self._lag

    def is_stale(self, run: Run) -> bool:
        """Whether the run is running and gave no sign of life for `stale_after` seconds."""
        return run.status == "running" and time.monotonic() - self.last(run.id) > self._stale_after

    def pause(self) -> None:
        """Signs of life may reach peers only, from now on: no run counts as silent."""
        self._is_complete = False

    def resume(self) -> None:
        """Signs of life reach this process again; the time before counts as unknown."""
        self._is_complete = True
        self._since = time.monotonic()

    def forget(self, run_id: str) -> None:
        self._last.pop(run_id, None)
