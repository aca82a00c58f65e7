"""SQLite: one process, one writing connection, reads beside it; through `databases` and aiosqlite."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from databases import Database

from ..config import Limits
from .database_file import DatabaseFile
from .session import Session
from .sqlite_session import LOG_BYTES, SqliteSession

PRAGMAS = (
    # readers go on while a flush writes
    "PRAGMA journal_mode = WAL",
    # what is acknowledged survives a power cut
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16000",
    f"PRAGMA journal_size_limit = {LOG_BYTES}",
)


class Sqlite:
    """The file, and the connections to it."""

    unavailable = (sqlite3.DatabaseError, OSError)
    """Errors of the file, the disk or a lock, except those in `bugs`."""
    bugs = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
    """Errors of our own statements."""

    def __init__(self, path: str, limits: Limits) -> None:
        self.file = DatabaseFile(path)
        self._database = Database(f"sqlite:///{self.file.path}", timeout=limits.busy_timeout)

    def explain(self, error: Exception) -> str:
        return str(error) or type(error).__name__

    async def open(self) -> None:
        # before the lock, which is a file beside a database that may be somebody else's
        self.file.check()
        self.file.lock.acquire()
        self.file.create()
        await self._database.connect()

    def opened(self) -> None:
        """The tables are there, and so are all files."""
        self.file.remember()

    async def close(self) -> None:
        await self._database.disconnect()
        self.file.set_log_aside()
        self.file.lock.release()

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Session]:
        async with self._connect(PRAGMAS) as raw:
            yield await SqliteSession.for_writing(raw, self.file)

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Session]:
        async with self._connect((*PRAGMAS[1:], "PRAGMA query_only = ON")) as raw:
            yield SqliteSession(raw)

    follower = searcher = reader

    @asynccontextmanager
    async def _connect(self, pragmas: tuple[str, ...]) -> AsyncIterator[Any]:
        async with self._database.connection() as connection:
            raw = connection.raw_connection
            for pragma in pragmas:
                await raw.execute_fetchall(pragma)
            yield raw
