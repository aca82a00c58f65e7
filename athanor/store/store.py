"""The store: the only folder with SQL. A writer, a few readers, and jobs for them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from operator import is_
from typing import TypeVar

from ..config import Limits, Settings
from ..domain.commands import Command
from ..exceptions import ConfigurationError, DatabaseUnavailable
from ..protocol.cursor import Cursor
from .commit import Commit, Flush, commit
from .connections import ConnectionPool
from .postgres import NotifyConnection, Postgres
from .schema import VERSION, upgrades
from .session import Job, Session
from .sqlite import Sqlite

T = TypeVar("T")


class Store:
    """Athanor's database: one writing connection, and readers beside it."""

    def __init__(self, settings: Settings, limits: Limits | None = None) -> None:
        path = settings.sqlite_path
        self.postgres = Postgres(settings.database_url) if path is None else None
        self._driver = self.postgres or Sqlite(path or "")
        self._writer = ConnectionPool(self._driver.writer, 1)
        self._readers = ConnectionPool(self._driver.reader, settings.readers)
        self._follower = ConnectionPool(self._driver.follower, 1 if self.shared else 0)
        self._flush = Flush([], (secrets.token_hex(8), 0))
        self.epoch = ""
        self.newest = 0

    async def open(self) -> None:
        """Lock and create what is needed. `DatabaseInUse`, `ConfigurationError` say why it can't."""
        try:
            await self._driver.open()
            await self._writer.start()
            await self._writer.run(self._prepare)
            await self._readers.start()
            await self._follower.start()
        except self._driver.broken as error:
            await self.close()
            raise ConfigurationError(
                f"the database that ATHANOR_DATABASE_URL names can't be used: {error}"
            ) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._follower.stop()
        await self._readers.stop()
        await self._writer.stop()
        await self._driver.close()

    async def _prepare(self, session: Session) -> None:
        """Make the tables, or bring them to the present version; or find that they are a newer one's."""
        async with session.preparing():
            version = None
            if await session.has_tables():
                version = await session.value("SELECT value FROM meta WHERE key = 'version'")
            if version is None:
                await session.script(session.tables)
                for item in (("version", str(VERSION)), ("epoch", secrets.token_hex(3))):
                    await session.execute("INSERT INTO meta VALUES (?, ?)", item)
            elif int(version) > VERSION:
                raise ConfigurationError(
                    f"the database was made by a newer Athanor: it is of version {version}, and this one "
                    f"knows {VERSION}"
                )
            elif int(version) < VERSION:
                await session.fence()
                await session.script(upgrades(session.dialect, int(version)))
                await session.execute("UPDATE meta SET value = ? WHERE key = 'version'", (str(VERSION),))
        self.epoch = await session.value("SELECT value FROM meta WHERE key = 'epoch'")
        self.newest = await session.newest()

    @property
    def shared(self) -> bool:
        """Whether other processes may use the same database."""
        return self.postgres is not None

    @property
    def process(self) -> str:
        """What this process is called among those on the same database."""
        return self._flush.mark[0]

    def cursor(self, n: int) -> str:
        """The cursor behind event `n` of this database."""
        return str(Cursor(self.epoch, n))

    async def commit(self, changes: list[Command], notices: list[str]) -> Commit:
        """One flush, of the flusher's: all of `changes` that are allowed, or `DatabaseUnavailable`.

        After that the same changes have to be given again: nobody may know if they were committed.
        Other processes are told of it, and before it of `notices`.
        """
        same = len(changes) == len(self._flush.changes) and all(map(is_, changes, self._flush.changes))
        if self._flush.commit is None or not same:
            process, number = self._flush.mark
            self._flush = Flush(changes, (process, number + 1))
        flush = self._flush
        with self._availability("written to"):
            done = await self._writer.run(lambda session: commit(session, flush, notices))
        flush.changes = []
        self.newest = done.newest
        return done

    async def write(self, job: Job[T]) -> T:
        """A piece of upkeep, between two flushes."""
        with self._availability("written to"):
            return await self._writer.run(job)

    async def read(self, job: Job[T]) -> T:
        """A read, on the next reader that is free; their number bounds the reads at once."""
        with self._availability("read"):
            return await self._readers.run(job)

    async def follow(self, job: Job[T]) -> T:
        """A read of the relay's, which waits for no other: what others wrote is not to be late."""
        with self._availability("read"):
            return await self._follower.run(job)

    async def newest_number(self) -> int:
        """The number of the newest event that is committed, maybe not broadcast yet."""
        return await self.read(Session.newest)

    async def snapshot(self, job: Job[T]) -> tuple[T, str]:
        """A read, and the cursor of exactly what it saw."""

        async def consistent(session: Session) -> tuple[T, str]:
            async with session.reading() as newest:
                return await job(session), self.cursor(newest)

        return await self.read(consistent)

    @asynccontextmanager
    async def listening(self, heard: Callable[[str], None]) -> AsyncIterator[NotifyConnection]:
        """A line to the other processes on this database, until it is cut: `DatabaseUnavailable`."""
        assert self.postgres is not None, "on SQLite there is no other process"
        with self._availability("listened to"):
            async with self.postgres.listening(heard) as line:
                yield line

    @contextmanager
    def _availability(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._driver.broken as error:
            if isinstance(error, self._driver.ours):
                raise
            told = str(error) or type(error).__name__
            raise DatabaseUnavailable(f"the database can't be {what}: {told}") from error
