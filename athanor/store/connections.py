"""Connections to the database, each in a task of its own.

`databases` binds a connection to the task that opened it. Every call from another task opens a new
one, with a new thread, and a cancelled request would leave its transaction open. So requests never
use a connection: they hand a job to a task, and wait for its outcome.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from .session import Connect, Job, Session

T = TypeVar("T")
Item = tuple[Job[Any], "asyncio.Future[Any]"]


class ConnectionPool:
    """`size` connections that take jobs from one queue, each one job at a time.

    A broken connection is opened again for the next job, which fails if that is impossible.
    """

    def __init__(self, connect: Connect, size: int) -> None:
        self._connect = connect
        self._size = size
        self._jobs: asyncio.Queue[Item | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the connections. Raises the error of the first one that fails."""
        loop = asyncio.get_running_loop()
        for number in range(self._size):
            opened: asyncio.Future[Any] = loop.create_future()
            task = loop.create_task(self._work(opened), name=f"athanor-connection-{number}")
            self._tasks.append(task)
            await opened

    async def stop(self) -> None:
        """Finish the jobs in the queue, and close the connections."""
        for _ in self._tasks:
            self._jobs.put_nowait(None)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def run(self, job: Job[T]) -> T:
        """Run a job, and return or raise its outcome. A cancelled caller does not stop the job."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait((job, outcome))
        return await outcome

    async def _work(self, opened: asyncio.Future[Any]) -> None:
        item: Item | None = (_nothing, opened)
        while item is not None:
            try:
                async with self._connect() as session:
                    while item is not None and not session.is_broken:
                        await _do(session, *item)
                        # else an error on closing would be set as its outcome too
                        item = None
                        item = await self._jobs.get()
            except Exception as error:
                if item is not None:
                    if not item[1].done():
                        item[1].set_exception(error)
                    if item[1] is opened:
                        return
                item = await self._jobs.get()


async def _nothing(_: Session) -> None:
    """The first job of a connection: to be open."""


async def _do(session: Session, job: Job[Any], outcome: asyncio.Future[Any]) -> None:
    if outcome.cancelled():
        return
    try:
        answer = await job(session)
    except Exception as error:
        if not outcome.done():
            outcome.set_exception(error)
    else:
        if not outcome.done():
            outcome.set_result(answer)
