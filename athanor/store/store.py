"""The store: one writing connection, a few reading ones, and jobs for them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from operator import is_
from typing import TypeVar

from ..config import Limits, Settings
from ..database_url import SqliteFile
from ..domain.commands import Command
from ..exceptions import ConfigurationError, DatabaseLost, DatabaseUnavailable
from ..protocol.cursor import Cursor
from ..protocol.pages import EntryPage
from .commit import Commit, Flush, commit
from .connections import ConnectionPool
from .postgres import NotifyConnection, Postgres
from .schema import stranger
from .search import Search
from .searches import Searches
from .session import Job, Session
from .sqlite import Sqlite
from .upgrades import SCHEMA, Schema, upgrade

T = TypeVar("T")


class Store:
    """Athanor's database. A job is a coroutine function that gets a session."""

    def __init__(self, settings: Settings, limits: Limits | None = None, schema: Schema = SCHEMA) -> None:
        """Raises `ConfigurationError`; `limits` and `schema` are for tests."""
        database, limits = settings.database, limits or Limits()
        self._schema = schema
        self.postgres: Postgres | None = None
        self._driver: Postgres | Sqlite
        if isinstance(database, SqliteFile):
            self._driver = Sqlite(database.path, limits)
        else:
            self._driver = self.postgres = Postgres(database, limits, schema.version)
        self._writer = ConnectionPool(self._driver.writer, 1)
        self._readers = ConnectionPool(self._driver.reader, settings.readers)
        self._follower = ConnectionPool(self._driver.follower, 1 if self.shared else 0)
        self._searches = Searches(self._driver.searcher, limits.waiting_searches)
        self._flush = Flush([], (secrets.token_hex(8), 0))
        self.trouble: str | None = None
        """Why what is written now would be lost; None if it would not."""
        self.epoch = ""
        self.newest = 0

    async def open(self) -> None:
        """Lock, create and upgrade what is needed. Raises `DatabaseInUse`, `ConfigurationError`."""
        try:
            await self._driver.open()
            await self._writer.start()
            await self._writer.run(self._prepare)
            await self._readers.start()
            await self._follower.start()
            await self._searches.start()
            self._driver.opened()
        except self._driver.unavailable as error:
            await self.close()
            raise ConfigurationError(
                "the database that ATHANOR_DATABASE_URL names can't be used: "
                f"{self._driver.explain(error)}"
            ) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._searches.stop()
        await self._follower.stop()
        await self._readers.stop()
        await self._writer.stop()
        await self._driver.close()

    async def _prepare(self, session: Session) -> None:
        """Create the tables or upgrade them.

        Raises `ConfigurationError` for a newer version, and for tables of somebody else's.
        """
        known = self._schema.version
        async with session.preparing():
            found = await session.relations()
            reason = stranger(found)
            version = "0"
            if found and reason is None:
                version = await session.value("SELECT value FROM meta WHERE key = 'version'") or ""
                reason = None if version.isdigit() else "the table meta has no version"
            if reason is not None:
                raise ConfigurationError(
                    "the database that ATHANOR_DATABASE_URL names has tables of another program "
                    f"({reason}): give Athanor a database of its own"
                    + (", or a schema, with ?search_path=athanor" if self.shared else "")
                )
            if not found:
                await session.script(session.tables)
                for item in (("version", str(known)), ("epoch", secrets.token_hex(3))):
                    await session.execute("INSERT INTO meta VALUES (?, ?)", item)
            elif int(version) > known:
                raise ConfigurationError(
                    f"the database was made by a newer Athanor: it is of version {version}, and "
                    f"this one knows {known}"
                )
            elif int(version) < known:
                await session.fence()
                await upgrade(session, self._schema, int(version))
                await session.execute("UPDATE meta SET value = ? WHERE key = 'version'", (str(known),))
        self.epoch = await session.value("SELECT value FROM meta WHERE key = 'epoch'")
        self.newest = await session.newest()

    @property
    def shared(self) -> bool:
        """Whether other processes may use the same database."""
        return self.postgres is not None

    @property
    def process(self) -> str:
        """The name of this process among its peers."""
        return self._flush.number[0]

    def cursor(self, n: int) -> str:
        """The cursor of event `n` of this database."""
        return str(Cursor(self.epoch, n))

    async def commit(self, commands: list[Command], notifications: list[str]) -> Commit:
        """Make one flush durable, and send `notifications` to peers before its own.

        Raises `DatabaseLost` if nothing was committed; or else `DatabaseUnavailable`: then the same
        commands have to be given again, because they may have been committed.
        """
        flush = self._flush
        same = len(commands) == len(flush.commands) and all(map(is_, commands, flush.commands))
        if flush.commit is None or not same:
            process, number = flush.number
            self._flush = flush = Flush(commands, (process, number + 1))
        with self._available("written to"):
            done = await self._writer.run(lambda session: commit(session, flush, notifications))
        self.trouble = None
        flush.commands = []
        self.newest = done.newest
        return done

    async def write(self, job: Job[T]) -> T:
        """Run a job of upkeep between two flushes. Raises `DatabaseUnavailable`."""
        with self._available("written to"):
            return await self._writer.run(job)

    async def verify(self) -> None:
        """Find out whether what is written would be lost. Raises `DatabaseUnavailable`."""
        reason = await self.write(lambda session: session.verify())
        self.trouble = reason and f"the database can't be written to: {reason}"

    async def read(self, job: Job[T]) -> T:
        """Run a job on the next free reader. Raises `DatabaseUnavailable`."""
        with self._available("read"):
            return await self._readers.run(job)

    async def follow(self, job: Job[T]) -> T:
        """Run a read of the relay, which waits for no other read. Raises `DatabaseUnavailable`."""
        with self._available("read"):
            return await self._follower.run(job)

    async def newest_number(self) -> int:
        """The number of the newest committed event, which may not be broadcast yet."""
        return await self.read(Session.newest)

    async def snapshot(self, job: Job[T]) -> tuple[T, str]:
        """Run a job on one state of the database; also returns the cursor of that state.

        Raises `DatabaseUnavailable`.
        """

        async def consistent(session: Session) -> tuple[T, str]:
            async with session.reading() as newest:
                return await job(session), self.cursor(newest)

        return await self.read(consistent)

    async def search(self, search: Search) -> EntryPage:
        """Run a search on a connection of its own; it ends when its caller is cancelled.

        Raises `DatabaseUnavailable`, `TooManySearches`, and `NotFound` for the run.
        """
        with self._available("read"):
            page = await self._searches.run(search)
        return page._replace(cursor=self.cursor(search.read_at))

    @asynccontextmanager
    async def listening(self, receive: Callable[[str], None]) -> AsyncIterator[NotifyConnection]:
        """Pass the notifications of all processes to `receive`, until the connection is cut.

        Raises `DatabaseUnavailable`.
        """
        assert self.postgres is not None, "on SQLite there is no other process"
        with self._available("listened to"):
            async with self.postgres.listening(receive) as connection:
                yield connection

    @contextmanager
    def _available(self, what: str) -> Iterator[None]:
        """Translate the errors of the database, except those of our own statements."""
        try:
            yield
        except self._driver.unavailable as error:
            if isinstance(error, self._driver.bugs):
                raise
            reason = self._driver.explain(error)
            raise DatabaseUnavailable(f"the database can't be {what}", reason) from error
        except DatabaseLost as error:
            self.trouble = f"the database can't be {what}: {error}"
            raise DatabaseLost(f"the database can't be {what}", str(error)) from None
