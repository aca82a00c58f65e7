"""Signs of life: when each running run was last heard of, in this process's memory."""

from __future__ import annotations

import time

from ..protocol.records import Run


class Liveness:
    """A run's producer is heard with everything it reports, and with its heartbeats.

    What another process heard is known here up to `lag` seconds later, so judgement waits as long.
    """

    def __init__(self, stale_after: float, lag: float = 0.0) -> None:
        self._stale_after = stale_after
        self._lag = lag
        self._heard: dict[str, float] = {}
        self._began = time.monotonic()
        self._listens = True

    def beat(self, run_id: str) -> None:
        self._heard[run_id] = time.monotonic()

    def last(self, run_id: str) -> float:
        """The monotonic time of its last sign; of one not heard of yet, when we began to listen."""
        if not self._listens:
            return time.monotonic()
        return max(self._heard.get(run_id, self._began), self._began) + self._lag

    def is_stale(self, run: Run) -> bool:
        """Whether it runs, as far as we were told, and has been silent for `stale_after` seconds."""
        return run.status == "running" and time.monotonic() - self.last(run.id) > self._stale_after

    def pause(self) -> None:
        """From now on others may hear of runs, and we can't hear of that: nobody counts as silent."""
        self._listens = False

    def begin(self) -> None:
        """We hear again, and know of no silence before."""
        self._listens = True
        self._began = time.monotonic()

    def stop(self, run_id: str) -> None:
        self._heard.pop(run_id, None)
