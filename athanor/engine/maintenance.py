"""The keeper: what has to be done now and then. Keep-alives, overdue cancels, and deleting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from ..config import Settings
from ..domain.commands import ChangeStatus
from ..exceptions import AthanorError
from ..live.hub import Hub
from ..live.liveness import Liveness
from ..protocol.records import format_time
from ..store import upkeep
from ..store.store import Store
from .flusher import Flusher

logger = logging.getLogger("athanor")

UPKEEP_EVERY = 60.0
"""Seconds between two looks for what may be deleted."""


class Maintenance:
    """A task for the clock (a second, or what the keep-alive needs), and one for the deleting."""

    def __init__(
        self, settings: Settings, store: Store, flusher: Flusher, hub: Hub, liveness: Liveness
    ) -> None:
        self._settings = settings
        self._store = store
        self._flusher = flusher
        self._hub = hub
        self._pulse = liveness
        self._asked: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._upkeep_due = asyncio.Event()

    def start(self, asked: list[str]) -> None:
        """`asked` are the runs that an earlier process was asked to cancel."""
        for run_id in asked:
            self.watch_cancel(run_id)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._every(self.tick_seconds, self._tick), name="athanor-clock"),
            loop.create_task(self._upkeep(), name="athanor-upkeep"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def tick_seconds(self) -> float:
        return self._settings.keepalive / keepalive_slots(self._settings)

    def watch_cancel(self, run_id: str) -> None:
        """From now on the producer has `cancel_timeout` seconds between two words of it."""
        self._asked.setdefault(run_id, time.monotonic())

    def run_ended(self, run_id: str) -> None:
        self._asked.pop(run_id, None)

    def hurry_upkeep(self) -> None:
        """There is something to delete."""
        self._upkeep_due.set()

    async def _every(self, seconds: float, action: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            action()

    def _tick(self) -> None:
        self._hub.keep_alive()
        silent_since = time.monotonic() - self._settings.cancel_timeout
        for run_id, asked in list(self._asked.items()):
            if max(asked, self._pulse.last(run_id)) <= silent_since:
                try:
                    self._flusher.submit_unwatched(
                        ChangeStatus(run_id=run_id, status="cancelled", overdue=True)
                    )
                except AthanorError:
                    continue  # the ring is full: at the next tick
                del self._asked[run_id]

    async def _upkeep(self) -> None:
        while True:
            self._upkeep_due.clear()
            try:
                await self.delete_what_may_go()
            except AthanorError as error:
                logger.warning("deleting is put off: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UPKEEP_EVERY):
                    await self._upkeep_due.wait()

    async def delete_what_may_go(self) -> None:
        """One round: deleted runs' leftovers, old idempotency keys, what retention does not keep."""
        store, settings = self._store, self._settings
        while await store.write(upkeep.purge_step):
            pass
        before = _ago(hours=settings.idempotency_hours)
        while await store.write(lambda session: upkeep.forget_receipts(session, before)):
            pass
        if settings.retention_rows is not None:
            keep = settings.retention_rows
            await self._trim(lambda s, after: upkeep.runs_over(s, keep, after), keep)
        if settings.retention_days is not None:
            ended = _ago(days=settings.retention_days)
            await self._trim(lambda s, after: upkeep.runs_ended(s, ended, after), 0)

    async def _trim(self, runs_behind: upkeep.RunsBehind, keep: int) -> None:
        last = ""
        while run_ids := await self._store.read(partial(runs_behind, after=last)):
            for run_id in run_ids:
                while await self._store.write(partial(upkeep.trim_step, run_id=run_id, keep=keep)):
                    pass
            last = run_ids[-1]


def keepalive_slots(settings: Settings) -> int:
    """How many ticks a keep-alive round has: about one a second, so that they spread."""
    return max(1, round(settings.keepalive))


def _ago(**past: float) -> str:
    return format_time(datetime.now(UTC) - timedelta(**past))
