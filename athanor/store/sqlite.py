"""SQLite: one process, one writing connection, reads beside it; through `databases` and aiosqlite."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
from databases import Database

from ..protocol.events import StoredEvent
from .lock import ProcessLock
from .schema import Dialect, tables
from .session import Params, Session

BUSY_TIMEOUT = 0.25
"""Seconds SQLite waits for a foreign lock before it says so; who flushes waits and tries again."""

PRAGMAS = (
    # readers go on while a flush writes
    "PRAGMA journal_mode = WAL",
    # what is acknowledged survives a power cut
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16000",
)

DIALECT = Dialect(
    # a number is never used again, not even that of a deleted newest row
    number="INTEGER PRIMARY KEY AUTOINCREMENT",
    in_order="",  # as every index does: the number is the row's own
    integer="INTEGER",
    keyed="WITHOUT ROWID",
    view="CREATE VIEW IF NOT EXISTS",
    field="json_extract(data, '$.{}')",
)
TABLES = tables(DIALECT)

EVENT_COLUMNS = ("n", "type", "instance_id", "run_id", "data")

# `executemany` steps row by row, and gives up and takes back the interpreter's lock each time: 250,000
# rows/s alone, 300 beside a busy event loop. One statement for many rows: 440,000 and 80,000.
_CHUNKS = (1000, 100, 10, 1)
_INSERT = "INSERT INTO events (n, type, instance_id, run_id, seq, label, size, data) VALUES "


class SqliteSession(Session):
    """Every call is one hop to the connection's thread."""

    dialect = DIALECT
    tables = TABLES
    newest_sql = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
    # lower() ends at a NUL
    contains_sql = (
        r"instr(lower(json_extract(replace(data, '\u0000', '\ufffd'), '$.message')), lower(?)) > 0"
    )

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def execute(self, sql: str, params: Params | list[Any] = ()) -> list[Params]:
        rows: list[Params] = await self._raw.execute_fetchall(sql, params)
        return rows

    async def execute_many(self, sql: str, params: list[Params]) -> None:
        async with self._raw.executemany(sql, params):
            pass

    async def script(self, sql: str) -> None:
        for statement in sql.split(";\n"):  # sqlite3's own `executescript` commits first
            await self.execute(statement)

    async def change(self, sql: str, params: Params = ()) -> int:
        await self.execute(sql, params)
        count: int = await self.value("SELECT changes()")
        return count

    async def fetch(self, columns: Sequence[str], rest: str, params: Params = ()) -> list[list[Any]]:
        """The rows, brought over as one JSON text.

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

    async def entries(self, rest: str, params: Params = ()) -> list[tuple[int, bytes]]:
        return [(int(seq), data) for seq, data in await self._texts(("seq", "data"), rest, params)]

    async def events(self, rest: str, params: Params = ()) -> list[StoredEvent]:
        return [
            StoredEvent(
                int(n), type_.decode(), instance_id.decode() or None, run_id.decode() or None,
                None, None, data,
            )
            for n, type_, instance_id, run_id, data in await self._texts(EVENT_COLUMNS, rest, params)
        ]  # fmt: skip

    async def _texts(self, columns: Sequence[str], rest: str, params: Params) -> list[list[bytes]]:
        """As `fetch`, as text, empty for NULL; for columns that hold no raw tab and no line feed."""
        text: str | None = await self.value(texts_sql(columns, rest), params)
        return [] if text is None else [line.split(b"\t") for line in text.encode().split(b"\n")]

    async def insert(self, events: list[StoredEvent]) -> None:
        done = 0
        for rows in _CHUNKS:
            sql = _INSERT + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * rows)
            while len(events) - done >= rows:
                params: list[Any] = []
                for n, type_, instance_id, run_id, seq, label, data in events[done : done + rows]:
                    params += (n, type_, instance_id, run_id, seq, label, len(data), data.decode())
                await self.execute(sql, params)
                done += rows

    def among(self, columns: str, values: Iterable[Any]) -> tuple[str, Params]:
        listed = list(values)
        text = msgspec.json.encode(listed).decode()
        if not columns.startswith("("):
            return f"{columns} IN (SELECT value FROM json_each(?))", (text,)
        parts = ", ".join(f"json_extract(value, '$[{at}]')" for at in range(columns.count(",") + 1))
        return f"{columns} IN (SELECT {parts} FROM json_each(?))", (text,)

    def preparing(self) -> AbstractAsyncContextManager[None]:
        return self._transaction("BEGIN IMMEDIATE")

    async def has_tables(self) -> bool:
        return await self.value("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is not None

    async def fence(self) -> None:
        """No other process has the file."""

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[int]:
        async with self._transaction("BEGIN IMMEDIATE"):
            yield await self.newest()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[int]:
        async with self._transaction("BEGIN"):
            yield await self.newest()

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[None]:
        await self.execute(begin)
        try:
            yield
            await self.execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back by itself; the first error is the one to tell
            with contextlib.suppress(Exception):
                await self.execute("ROLLBACK")
            raise

    async def advance(self, newest: int, notices: list[str]) -> None:
        """AUTOINCREMENT remembers, and there is nobody to tell."""

    async def is_new(self, flush: tuple[str, int]) -> bool:
        """A commit here either happened or said so."""
        return True


class Sqlite:
    """The file, and the connections to it."""

    broken = (sqlite3.DatabaseError, OSError)
    """What says that the file, the disk or a lock is at fault …"""
    ours = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
    """… but for these: a statement of ours is."""

    def __init__(self, path: str) -> None:
        self._lock = ProcessLock(path)
        self._database = Database(f"sqlite:///{path}", timeout=BUSY_TIMEOUT)

    async def open(self) -> None:
        self._lock.acquire()
        await self._database.connect()

    async def close(self) -> None:
        await self._database.disconnect()
        self._lock.release()

    def writer(self) -> AbstractAsyncContextManager[Session]:
        return self._connect(PRAGMAS)

    def reader(self) -> AbstractAsyncContextManager[Session]:
        return self._connect((*PRAGMAS[1:], "PRAGMA query_only = ON"))

    follower = reader

    @asynccontextmanager
    async def _connect(self, pragmas: tuple[str, ...]) -> AsyncIterator[Session]:
        async with self._database.connection() as connection:
            session = SqliteSession(connection.raw_connection)
            for pragma in pragmas:
                await session.execute(pragma)
            yield session


def texts_sql(columns: Sequence[str], rest: str) -> str:
    """One text of all rows, for the reason `SqliteSession.fetch` gives."""
    names = [f"c{number}" for number in range(len(columns))]
    line = " || char(9) || ".join(f"coalesce({name}, '')" for name in names)
    return (
        f"WITH picked ({', '.join(names)}) AS (SELECT {', '.join(columns)} {rest}) "
        f"SELECT group_concat({line}, char(10)) FROM picked"
    )
