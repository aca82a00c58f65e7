"""Maintenance: what happens at intervals. Keep-alives, overdue cancels, and deletions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from ..config import Limits, Settings
from ..domain.commands import ChangeStatus
from ..exceptions import AthanorError, DatabaseUnavailable
from ..live.hub import Hub
from ..live.runs import RunTracker
from ..live.shared_pages import SharedPages
from ..protocol.records import format_time
from ..store import upkeep
from ..store.session import Job
from ..store.store import Store
from .flusher import Flusher

logger = logging.getLogger("athanor")


class Maintenance:
    """One task for the clock, which ticks about once a second, one for deletions, one for the file."""

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        store: Store,
        flusher: Flusher,
        hub: Hub,
        runs: RunTracker,
        pages: SharedPages,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._store = store
        self._flusher = flusher
        self._hub = hub
        self._runs = runs
        self._pages = pages
        self._tasks: list[asyncio.Task[None]] = []
        self._upkeep_due = asyncio.Event()

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._clock(), name="athanor-clock"),
            loop.create_task(self._upkeep(), name="athanor-upkeep"),
        ]
        if not self._store.shared:
            self._tasks.append(loop.create_task(self._watch_file(), name="athanor-file"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hurry_upkeep(self) -> None:
        """Something was deleted, and left rows: remove them now."""
        self._upkeep_due.set()

    async def _clock(self) -> None:
        while True:
            await asyncio.sleep(self._settings.keepalive / keepalive_slots(self._settings))
            self._hub.keep_alive()
            self._end_overdue_cancels()

    def _end_overdue_cancels(self) -> None:
        for run_id in self._runs.overdue_cancels():
            # a full ring refuses the command; the next tick tries again
            with contextlib.suppress(AthanorError):
                self._flusher.submit_unwatched(
                    ChangeStatus(run_id=run_id, status="cancelled", overdue=True)
                )
                self._runs.cancel_handled(run_id)

    async def _watch_file(self) -> None:
        """Learn of a database that is removed or replaced, also while nothing is written."""
        while True:
            await asyncio.sleep(self._limits.file_interval)
            before = self._store.trouble
            # a database that is locked or full is what the flusher reports
            with contextlib.suppress(DatabaseUnavailable):
                await self._store.verify()
            if self._store.trouble and not before:
                logger.error("%s; nothing is accepted meanwhile", self._store.trouble)
            elif before and not self._store.trouble:
                logger.warning("the database is in its place again")

    async def _upkeep(self) -> None:
        while True:
            self._upkeep_due.clear()
            try:
                await self.delete_expired()
                await self._store.write(lambda session: session.shorten_log())
            except AthanorError as error:
                logger.warning("deletions are put off: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.upkeep_interval):
                    await self._upkeep_due.wait()

    async def delete_expired(self) -> None:
        """One round: rows of deleted runs, old idempotency keys, and what retention does not keep.

        Raises `DatabaseUnavailable`.
        """
        settings, rows = self._settings, self._limits.delete_rows
        await self._repeat(partial(upkeep.purge_step, rows=rows))
        keys_before = _ago(hours=settings.idempotency_hours)
        await self._repeat(partial(upkeep.forget_receipts, before=keys_before, rows=rows))
        if settings.retention_rows is not None:
            keep = settings.retention_rows
            await self._trim(partial(upkeep.runs_over, rows=keep), keep)
        if settings.retention_days is not None:
            ended_before = _ago(days=settings.retention_days)
            await self._trim(partial(upkeep.runs_ended, before=ended_before), 0)

    async def _trim(self, next_runs: Callable[..., Awaitable[list[str]]], keep: int) -> None:
        """Delete all but the newest `keep` entries of each kind, of the runs that `next_runs` finds."""
        last, rows = "", self._limits.delete_rows
        while run_ids := await self._store.read(partial(next_runs, after=last)):
            for run_id in run_ids:
                await self._repeat(partial(upkeep.trim_step, run_id=run_id, keep=keep, rows=rows))
            last = run_ids[-1]

    async def _repeat(self, step: Job[bool]) -> None:
        more = True
        while more:
            more = await self._store.write(step)
            self._pages.clear()


def keepalive_slots(settings: Settings) -> int:
    """The ticks of one round of keep-alives: about one a second, so that they are spread."""
    return max(1, round(settings.keepalive))


def _ago(**past: float) -> str:
    return format_time(datetime.now(UTC) - timedelta(**past))
