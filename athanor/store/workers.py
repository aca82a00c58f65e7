"""Connections to the database, each held by a task of its own.

`databases` binds a connection to the task that opened it, and opens a new one, with a new thread,
for every call outside a held one; a request that is cancelled inside a transaction would leave it
open. So requests never touch a connection: they hand a job to a worker and wait for its outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
from databases import Database

T = TypeVar("T")
Params = tuple[Any, ...]


class Session:
    """One open connection, in the words the store needs; every call is one hop to its thread."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def execute(self, sql: str, params: Params | list[Any] = ()) -> list[Params]:
        """Run one statement; the rows, if it gives any."""
        rows: list[Params] = await self._raw.execute_fetchall(sql, params)
        return rows

    async def execute_many(self, sql: str, params: list[Params]) -> None:
        async with self._raw.executemany(sql, params):
            pass

    async def script(self, sql: str) -> None:
        async with self._raw.executescript(sql):
            pass

    async def value(self, sql: str, params: Params = ()) -> Any:
        """The first column of the first row, or None."""
        rows = await self.execute(sql, params)
        return rows[0][0] if rows else None

    async def fetch(self, columns: Sequence[str], rest: str, params: Params = ()) -> list[list[Any]]:
        """The rows of `SELECT columns rest`, brought over as one JSON text.

        sqlite3 drops and takes the interpreter's lock for every row, and beside a busy event loop
        each time costs up to its switch interval of 5 ms (measured: 288 rows/s). One row, one wait.
        """
        names = ", ".join(f"c{number}" for number in range(len(columns)))
        sql = (
            f"WITH picked ({names}) AS (SELECT {', '.join(columns)} {rest}) "
            f"SELECT json_group_array(json_array({names})) FROM picked"
        )
        rows: list[list[Any]] = msgspec.json.decode(await self.value(sql, params))
        return rows


Job = Callable[[Session], Awaitable[T]]


class Workers:
    """`size` connections that take jobs from one queue, each one job at a time."""

    def __init__(self, database: Database, size: int, pragmas: tuple[str, ...]) -> None:
        self._database = database
        self._size = size
        self._pragmas = pragmas
        self._jobs: asyncio.Queue[tuple[Job[Any], asyncio.Future[Any]] | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the connections; raises what the first one that fails raises."""
        loop = asyncio.get_running_loop()
        for number in range(self._size):
            opened: asyncio.Future[None] = loop.create_future()
            task = loop.create_task(self._work(opened), name=f"athanor-connection-{number}")
            self._tasks.append(task)
            await opened

    async def stop(self) -> None:
        """Finish the jobs that were given, and close the connections."""
        for _ in self._tasks:
            self._jobs.put_nowait(None)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def run(self, job: Job[T]) -> T:
        """The job's outcome. Who stops waiting does not stop the job."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait((job, outcome))
        return await outcome

    async def _work(self, opened: asyncio.Future[None]) -> None:
        try:
            async with self._database.connection() as connection:
                session = Session(connection.raw_connection)
                for pragma in self._pragmas:
                    await session.execute(pragma)
                opened.set_result(None)
                while (item := await self._jobs.get()) is not None:
                    job, outcome = item
                    try:
                        answer = await job(session)
                    except Exception as error:
                        if not outcome.done():
                            outcome.set_exception(error)
                    else:
                        if not outcome.done():
                            outcome.set_result(answer)
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)
