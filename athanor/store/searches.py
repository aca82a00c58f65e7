"""Searches: they may read a whole run, so they have a connection, a queue and a time of their own."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from ..exceptions import NotStarted, SearchTooSlow, TooManySearches
from .connections import ConnectionPool
from .session import Connect, Job, Session

T = TypeVar("T")


class Searches:
    """One search at a time, of `seconds` at most; `waiting` others may wait for it."""

    def __init__(self, connect: Connect, seconds: float, waiting: int) -> None:
        self._pool = ConnectionPool(connect, 1)
        self._seconds = seconds
        self._most = waiting + 1
        self._searches: set[_Search] = set()

    async def start(self) -> None:
        """Open the connection. Raises the error of the database."""
        await self._pool.start()

    async def stop(self) -> None:
        """End the searches, and close the connection."""
        for search in self._searches:
            search.stop()
        await self._pool.stop()

    async def run(self, job: Job[T]) -> T:
        """Run a job; it ends when its caller is cancelled.

        Raises `TooManySearches`, `SearchTooSlow`, `NotStarted` at the end, and what the job raises.
        """
        if len(self._searches) >= self._most:
            raise TooManySearches(
                f"{self._most} searches are under way or wait already; try again in some seconds"
            )
        search = _Search(job, self._seconds)
        self._searches.add(search)
        try:
            outcome: T = await self._pool.run(search)
            return outcome
        finally:
            search.stop()
            self._searches.discard(search)


class _Search:
    def __init__(self, job: Job[Any], seconds: float) -> None:
        self._job = job
        self._seconds = seconds
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def __call__(self, session: Session) -> Any:
        if self._stopped.is_set():
            raise NotStarted("Athanor is ending")
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._run(session))
        stopped = loop.create_task(self._stopped.wait())
        await asyncio.wait({task, stopped}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not task.done():
            await session.interrupt(task)
            # it may have come to its end all the same
            if task.cancelled() or task.exception() is not None:
                if self._stopped.is_set():
                    raise NotStarted("Athanor is ending")
                raise SearchTooSlow(
                    f"the search took more than {self._seconds:g} s, and was ended: narrow it with "
                    "level, after and before"
                )
        return task.result()

    async def _run(self, session: Session) -> Any:
        return await self._job(session)
