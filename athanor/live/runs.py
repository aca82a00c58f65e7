"""What is known of runs in memory: their states, progress, signs of life and cancel deadlines."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ..config import Limits, Settings
from ..protocol.events import StoredEvent, run_in
from ..protocol.stored import StoredRun
from ..store.store import Store
from .hub import Hub
from .liveness import Liveness
from .progress import ProgressBoard
from .run_cache import RunCache


class RunTracker:
    """The flusher and the relay apply what was committed, before they broadcast it."""

    def __init__(self, store: Store, hub: Hub, settings: Settings, limits: Limits) -> None:
        # a peer's signs of life arrive an interval late, and take as long again on their way
        lag = 2 * limits.liveness_interval if store.shared else 0.0
        self.cache = RunCache(store, limits.known_runs)
        self.progress = ProgressBoard(hub, settings.flush_interval, limits.known_runs)
        self.liveness = Liveness(settings.stale_after, lag)
        self._cancel_timeout = settings.cancel_timeout
        self._cancel_requests: dict[str, float] = {}

    def apply(self, events: Iterable[StoredEvent], runs: Iterable[StoredRun] | None = None) -> None:
        """Learn from committed events, in their order.

        `runs` are the states after them, if the caller has these (a commit of this process); else
        the states are taken from the events.
        """
        changes = [event for event in events if event.instance_id is not None]
        if runs is None:
            states = (run_in(event.data) for event in changes)
            runs = [run for run in states if run is not None]
        for run in runs:
            self._learn(run)
        for event in changes:
            if event.run_id is not None:
                self.cache.weigh(event.run_id, len(event.data))
            if event.type == "run_started" and event.run_id is not None:
                self.liveness.beat(event.run_id)
            if event.type == "run_deleted" and event.run_id is not None:
                self.cache.forget(event.run_id)
                self.progress.forget(event.run_id)
            if event.type == "instance_deleted":
                for run_id in self.cache.forget_instance(event.instance_id):
                    self.progress.forget(run_id)

    def await_cancel(self, run_id: str) -> None:
        """A producer was asked to cancel: from now on it has `cancel_timeout` seconds to answer."""
        self._cancel_requests.setdefault(run_id, time.monotonic())

    def overdue_cancels(self) -> list[str]:
        """The runs whose producers were asked to cancel, and gave no sign of life since then."""
        silent_since = time.monotonic() - self._cancel_timeout
        return [
            run_id
            for run_id, requested in self._cancel_requests.items()
            if max(requested, self.liveness.last(run_id)) <= silent_since
        ]

    def cancel_handled(self, run_id: str) -> None:
        """The run's cancel deadline is of no interest any more."""
        self._cancel_requests.pop(run_id, None)

    def _learn(self, run: StoredRun) -> None:
        self.cache.learn(run)
        if run.is_final:
            self.progress.end(run.id)
            self.cancel_handled(run.id)
            self.liveness.forget(run.id)
        elif run.cancel_requested_at is not None:
            self.await_cancel(run.id)
