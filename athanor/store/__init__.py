"""The store: the only folder with SQL. A writer, a few readers, and jobs for them."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from databases import Database

from ..changes import Change
from ..config import Settings
from ..cursor import Cursor
from ..exceptions import ConfigurationError, DatabaseUnavailable
from .commit import NEWEST, Commit, commit
from .listing import Entries, EntryFilter, RunState
from .lock import ProcessLock
from .schema import PRAGMAS, TABLES, VERSION
from .workers import Job, Session, Workers

__all__ = ["Commit", "Entries", "EntryFilter", "RunState", "Session", "Store"]

T = TypeVar("T")

BUSY_TIMEOUT = 0.25
"""Seconds SQLite waits for a foreign lock before it says so; who flushes waits and tries again."""


class Store:
    """Athanor's database on SQLite: one process, one writing connection, reads beside it."""

    def __init__(self, settings: Settings) -> None:
        self._lock = ProcessLock(settings.sqlite_path)
        self._database = Database(f"sqlite:///{settings.sqlite_path}", timeout=BUSY_TIMEOUT)
        self._writer = Workers(self._database, 1, PRAGMAS)
        self._readers = Workers(
            self._database, settings.readers, (*PRAGMAS[1:], "PRAGMA query_only = ON")
        )
        self.epoch = ""
        self.newest = 0

    async def open(self) -> None:
        """Lock and create what is needed. `DatabaseInUse`, `ConfigurationError` say why it can't."""
        self._lock.acquire()
        try:
            await self._database.connect()
            await self._writer.start()
            await self._writer.run(self._prepare)
            await self._readers.start()
        except sqlite3.DatabaseError as error:
            await self.close()
            raise ConfigurationError(f"the database can't be used: {error}") from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._readers.stop()
        await self._writer.stop()
        await self._database.disconnect()
        self._lock.release()

    async def _prepare(self, session: Session) -> None:
        await session.script(TABLES)
        fresh = (("version", VERSION), ("epoch", secrets.token_hex(3)))
        await session.execute_many("INSERT OR IGNORE INTO meta VALUES (?, ?)", list(fresh))
        version = await session.value("SELECT value FROM meta WHERE key = 'version'")
        if version != VERSION:
            raise ConfigurationError(
                f"the database is of version {version}, and this Athanor knows {VERSION}"
            )
        self.epoch = await session.value("SELECT value FROM meta WHERE key = 'epoch'")
        self.newest = await session.value(NEWEST)

    def cursor(self, n: int) -> str:
        """The cursor behind event `n` of this database."""
        return str(Cursor(self.epoch, n))

    async def commit(self, changes: list[Change]) -> Commit:
        """One flush, of the flusher's: all of `changes` that are allowed, or `DatabaseUnavailable`."""
        with _availability("written to"):
            done = await self._writer.run(lambda session: commit(session, changes))
        self.newest = done.newest
        return done

    async def write(self, job: Job[T]) -> T:
        """A piece of upkeep, between two flushes."""
        with _availability("written to"):
            return await self._writer.run(job)

    async def read(self, job: Job[T]) -> T:
        """A read, on the next reader that is free; their number bounds the reads at once."""
        with _availability("read"):
            return await self._readers.run(job)

    async def newest_number(self) -> int:
        """The number of the newest event that is committed, maybe not broadcast yet."""
        number: int = await self.read(lambda session: session.value(NEWEST))
        return number

    async def snapshot(self, job: Job[T]) -> tuple[T, str]:
        """A read, and the cursor of exactly what it saw."""

        async def consistent(session: Session) -> tuple[T, str]:
            await session.execute("BEGIN")
            try:
                newest = await session.value(NEWEST)
                return await job(session), self.cursor(newest)
            finally:
                await session.execute("COMMIT")

        return await self.read(consistent)


# these say that a statement of ours is wrong, the others that the file, the disk or a lock is
_OURS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)


@contextmanager
def _availability(what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        if isinstance(error, _OURS):
            raise
        raise DatabaseUnavailable(f"the database can't be {what}: {error}") from error
