"""Progress: in memory only; the newest wins.

The first progress of a run is published at once, then at most one per interval. The newest one is
always published.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Container

from ..protocol.events import RunProgress, encode_event
from ..protocol.records import Progress
from .hub import Hub


class ProgressBoard:
    """The last progress of each run, and the runs whose newest progress is not published yet.

    `interval` is in seconds; the progress of `most_runs` runs is kept, and the run that was silent
    for the longest time is forgotten first.
    """

    def __init__(self, hub: Hub, interval: float, most_runs: int = 10_000) -> None:
        self._hub = hub
        self._interval = interval
        self._most_runs = most_runs
        self._latest: OrderedDict[str, Progress] = OrderedDict()
        self._instances: dict[str, str] = {}
        """The instance of each run with a known progress."""
        self._resting: set[str] = set()
        self._due: set[str] = set()
        self._ended: set[str] = set()
        self.published = 0

    def report(self, run_id: str, instance_id: str, progress: Progress) -> None:
        """Take a run's newest progress; publish it now, or when the interval is over."""
        self._latest[run_id] = progress
        self._instances[run_id] = instance_id
        self._latest.move_to_end(run_id)
        if len(self._latest) > self._most_runs:
            self.forget(next(iter(self._latest)))
        if run_id in self._resting:
            self._due.add(run_id)
        else:
            self._publish(run_id)
            self._rest(run_id)

    def latest(self, run_id: str) -> Progress | None:
        return self._latest.get(run_id)

    def end(self, run_id: str) -> None:
        """The run's final event follows: publish what is due now, and nothing afterwards."""
        if run_id in self._due:
            self._publish(run_id)
        if run_id in self._latest:
            self._ended.add(run_id)

    def forget(self, run_id: str) -> None:
        self._latest.pop(run_id, None)
        self._instances.pop(run_id, None)
        self._due.discard(run_id)
        self._ended.discard(run_id)

    def encoded(self, run_id: str) -> bytes | None:
        """The run's last progress as a `run_progress` event; None if it has none, or has ended."""
        progress = self._latest.get(run_id)
        if progress is None or run_id in self._ended:
            return None
        return encode_event(
            RunProgress(
                run_id=run_id,
                instance_id=self._instances[run_id],
                current=progress.current,
                total=progress.total,
                message=progress.message,
                bars=progress.bars,
            )
        )

    def known(self) -> list[str]:
        """The runs with a known progress, the longest silent first."""
        return list(self._latest)

    def known_of(self, instance_ids: Container[str]) -> list[str]:
        """Those of them that belong to some instances."""
        return [run_id for run_id in self._latest if self._instances[run_id] in instance_ids]

    def instance_of(self, run_id: str) -> str:
        """The instance of a run with a known progress."""
        return self._instances[run_id]

    def _publish(self, run_id: str) -> None:
        self._due.discard(run_id)
        data = self.encoded(run_id)
        if data is not None:
            self.published += 1
            self._hub.publish_progress(run_id, self._instances[run_id], data)

    def _rest(self, run_id: str) -> None:
        self._resting.add(run_id)
        asyncio.get_running_loop().call_later(self._interval, self._rested, run_id)

    def _rested(self, run_id: str) -> None:
        self._resting.discard(run_id)
        if run_id in self._due:
            self._publish(run_id)
            self._rest(run_id)
