"""A session on SQLite: its dialect, its tables, its text."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from ..exceptions import DatabaseLost, DatabaseUnavailable
from ..protocol.events import StoredEvent
from ..protocol.sought import ESCAPE
from .database_file import COLUMNS_SQL, TABLES_SQL, DatabaseFile
from .schema import MARKS, Dialect, tables
from .session import Params, Session
from .waiting import Waiting

T = TypeVar("T")

LOG_BYTES = 16 * 1024 * 1024
"""What is left of the write-ahead log after a reader that held it has ended."""
_TROUBLE = """
    SELECT athanor_trouble(page_count * page_size) FROM pragma_page_count(), pragma_page_size()"""

DIALECT = Dialect(
    # AUTOINCREMENT never uses a number again, not even that of a deleted newest row
    number="INTEGER PRIMARY KEY AUTOINCREMENT",
    # every index does so: the number is the row id
    in_order="",
    integer="INTEGER",
    binary="BLOB",
    hex="hex({})",
    exact="",
    keyed="WITHOUT ROWID",
    view="CREATE VIEW IF NOT EXISTS",
    field="json_extract(data, '$.{}')",
    # in the order of the rows, which is that of the index
    joined="CAST(group_concat({}, {}) {} AS BLOB)",
)
TABLES = tables(DIALECT)

MOST_WIDTHS = 1000
_widths: dict[str, int] = {}

# `executemany` releases and takes the interpreter's lock for every row: 250,000 rows/s alone, 300
# beside a busy event loop. One statement for many rows: 440,000 and 80,000.
_CHUNKS = tuple(1 << power for power in range(10, -1, -1))
FEW = 10
"""Fewer neighbouring entries of a run are no statement of their own."""
_INSERT = "INSERT INTO events (n, type, instance_id, run_id, seq, label, size, data) VALUES "
_run_of, _type_of = attrgetter("run_id"), attrgetter("type")

MOST_WAITING = 4000
"""Statements and parameters; when more of them wait, they are executed."""
_NOTHING = "SELECT 1 WHERE 0"

_PART = "json_extract(value, '$[{}]')"
WRITING = "the database can't be written to"


class SqliteSession(Session):
    """A session on SQLite.

    To have the connection's thread run a statement takes 0.1 to 0.2 ms. So a statement whose outcome
    nobody needs waits for the next one that has rows, or for the COMMIT.
    """

    dialect = DIALECT
    tables = TABLES
    newest_sql = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
    # LIKE ignores the case of ASCII letters, and copies nothing
    like_sql = f"data LIKE ? ESCAPE '{ESCAPE}'"

    def __init__(self, raw: Any, file: DatabaseFile | None = None) -> None:
        """With `file`, the session may write to it."""
        self._raw = raw
        self._waiting = Waiting()
        self._file = file
        self._flush: tuple[str, int] | None = None
        self._committed: tuple[str, int] | None = None
        self._trouble_after_commit: str | None = None

    @classmethod
    async def for_writing(cls, raw: Any, file: DatabaseFile) -> SqliteSession:
        # in SQL, so that it is called in the connection's thread: a file system may hang
        await raw.create_function("athanor_trouble", 1, file.trouble)
        return cls(raw, file)

    async def execute(self, sql: str, params: Params | list[Any] = ()) -> list[Params]:
        waiting, self._waiting = self._waiting, Waiting()
        rows: list[Params] = await self._hop(_run, waiting, sql, params)
        return rows

    async def _hop(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in the connection's thread, with the connection and `args`."""
        # aiosqlite has nothing public for several statements at once; `test_store.py` names both parts
        raw = self._raw
        return await raw._execute(function, raw._conn, *args)  # noqa: SLF001

    async def execute_many(self, sql: str, params: list[Params]) -> None:
        for some in params:
            await self.write(sql, some)

    async def write(self, sql: str, params: Params | list[Any] = ()) -> None:
        self._waiting.add(sql, params)
        if self._waiting.size > MOST_WAITING:
            await self.execute(_NOTHING)

    async def script(self, sql: str) -> None:
        # sqlite3's `executescript` would commit first
        for statement in sql.split(";\n"):
            await self.execute(statement)

    async def change(self, sql: str, params: Params = ()) -> int:
        await self.execute(sql, params)
        count: int = await self.value("SELECT changes()")
        return count

    async def fetch(self, sql: str, params: Params = ()) -> list[list[Any]]:
        """The rows, returned as one JSON text.

        sqlite3 releases and takes the interpreter's lock for every row. Beside a busy event loop
        each time costs up to its switch interval of 5 ms (measured: 288 rows/s).
        """
        names = ", ".join(f"c{number}" for number in range(await self._width(sql, params)))
        text = await self.value(
            f"WITH picked ({names}) AS ({sql}) SELECT json_group_array(json_array({names})) FROM picked",
            params,
        )
        rows: list[list[Any]] = msgspec.json.decode(text)
        return rows

    async def _width(self, sql: str, params: Params) -> int:
        """The number of columns of a SELECT; read once for each text of a statement."""
        if sql not in _widths:
            if len(_widths) > MOST_WIDTHS:
                _widths.clear()
            async with self._raw.execute(f"SELECT * FROM ({sql}) LIMIT 0", params) as cursor:
                _widths[sql] = len(cursor.description)
        return _widths[sql]

    async def entries(self, sql: str, params: Params = ()) -> list[tuple[int, bytes]]:
        return [(int(seq), data) for seq, data in await self._texts(sql, 2, params)]

    async def events(self, sql: str, params: Params = ()) -> list[StoredEvent]:
        return [
            StoredEvent(
                int(n), type_.decode(), instance_id.decode() or None, run_id.decode() or None,
                None, None, data,
            )
            for n, type_, instance_id, run_id, data in await self._texts(sql, 5, params)
        ]  # fmt: skip

    async def _texts(self, sql: str, width: int, params: Params) -> list[list[bytes]]:
        """As `fetch`, as text, empty for NULL; for values without a raw tab or line feed."""
        text: str | None = await self.value(texts_sql(sql, width), params)
        return [] if text is None else [line.split(b"\t") for line in text.encode().split(b"\n")]

    async def insert(self, events: list[StoredEvent]) -> None:
        others: list[StoredEvent] = []
        for _, neighbours in groupby(events, _run_of):
            for _, rows in groupby(neighbours, _type_of):
                alike = list(rows)
                if len(alike) < FEW or alike[0].seq is None:
                    others += alike
                else:
                    await self._insert_entries(alike)
        for some in _chunks(others):
            params: list[Any] = []
            for event in some:
                params += (event.n, event.type, event.instance_id, event.run_id)
                params += (event.seq, event.label, len(event.data), event.data.decode())
            await self.write(_insert_sql(len(some)), params)

    async def _insert_entries(self, entries: list[StoredEvent]) -> None:
        """Add entries of one type and run that follow each other: their numbers grow by one."""
        for some in _chunks(entries):
            first = some[0]
            params: list[Any] = [first.n, first.seq, first.type, first.run_id]
            for event in some:
                params += (event.label, len(event.data), event.data.decode())
            await self.write(_insert_entries_sql(len(some)), params)

    def among(self, columns: str, values: Iterable[Any]) -> tuple[str, Params]:
        if not columns.startswith("("):
            text = msgspec.json.encode(list(values)).decode()
            return f"{columns} IN (SELECT value FROM json_each(?))", (text,)
        table, params = self.listed("t" * (columns.count(",") + 1), values)
        return f"{columns} IN (SELECT * FROM {table})", params

    def listed(self, kinds: str, rows: Iterable[tuple[Any, ...]]) -> tuple[str, Params]:
        table = [tuple(row) for row in rows]
        text = msgspec.json.encode(table).decode()
        forms = {"t": _PART, "i": _PART}
        if r"\u0000" in text:
            # `json_extract` ends a text at a NUL: another character stands for it, which is in no text
            mark = next(mark for mark in map(chr, range(0xE000, 0x110000)) if mark not in text)
            forms["t"] = f"replace({_PART}, '{mark}', char(0))"
            marked = [[_marked(value, mark) for value in row] for row in table]
            text = msgspec.json.encode(marked).decode()
        parts = (forms[kind].format(at) + f" AS c{at}" for at, kind in enumerate(kinds))
        return f"(SELECT {', '.join(parts)} FROM json_each(?))", (text,)

    async def put(self, table: str, kinds: str, rows: list[Params], conflict: str = "") -> None:
        for some in _chunks(rows):
            values = ", ".join([f"({', '.join('?' * len(kinds))})"] * len(some))
            sql = f"INSERT INTO {table} VALUES {values} {conflict}"
            await self.write(sql, list(chain.from_iterable(some)))

    def preparing(self) -> AbstractAsyncContextManager[None]:
        return self._transaction("BEGIN IMMEDIATE")

    async def relations(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for (name,) in await self.execute(TABLES_SQL):
            columns = await self.execute(COLUMNS_SQL, (name,)) if name in MARKS else []
            found[name] = {column for (column,) in columns}
        return found

    async def fence(self) -> None:
        """Nothing to do: no other process uses the file."""

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[int]:
        """Raises `DatabaseLost` before anything is written, if it would be lost.

        If that turns out after COMMIT only, it raises `DatabaseUnavailable`, and remembers the
        flush: it is committed if the file comes back.
        """
        self._flush = None
        async with self._transaction("BEGIN IMMEDIATE"):
            yield await self._first_number()
        if (reason := self._trouble_after_commit) is not None:
            self._committed = self._flush or self._committed
            raise DatabaseUnavailable(WRITING, reason)

    async def _first_number(self) -> int:
        """The newest number, if nothing is wrong with the file."""
        try:
            ((newest, reason),) = await self.execute(f"SELECT ({self.newest_sql}), ({_TROUBLE})")
        except sqlite3.Error:
            # a file that was replaced may cause any error
            if (reason := await self.verify()) is None:
                raise
        if reason is None:
            return int(newest)
        if self._committed is None:
            raise DatabaseLost(reason)
        raise DatabaseUnavailable(WRITING, reason)

    async def verify(self) -> str | None:
        reason: str | None = await self.value(_TROUBLE)
        return reason

    async def shorten_log(self) -> None:
        if self._file is not None and self._file.wal.stat().st_size > LOG_BYTES:
            # as far as readers let it
            await self.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def interrupt(self, task: asyncio.Task[Any]) -> None:
        while not task.done():
            # it ends one statement, and the task may be between two of them
            await self._raw.interrupt()
            await asyncio.wait({task}, timeout=0.02)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[int]:
        async with self._transaction("BEGIN"):
            yield await self.newest()

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[None]:
        await self.write(begin)
        try:
            yield
            await self._commit()
        except BaseException:
            # SQLite may have rolled back by itself; the first error is the one to raise
            self._waiting = Waiting()
            with contextlib.suppress(Exception):
                await self.execute("ROLLBACK")
            raise

    async def _commit(self) -> None:
        waiting, self._waiting = self._waiting, Waiting()
        self._trouble_after_commit = await self._hop(_commit, waiting, self._file is not None)

    async def advance(self, newest: int, notifications: list[str]) -> None:
        """Nothing to do: AUTOINCREMENT keeps the number, and there are no peers."""

    async def is_new(self, flush: tuple[str, int]) -> bool:
        """Whether `flush` is not the one whose file was missing after its COMMIT."""
        self._flush = flush
        known, self._committed = self._committed, None
        return flush != known


# in the connection's thread


def _run(
    connection: sqlite3.Connection, waiting: Waiting, sql: str, params: Params | list[Any]
) -> list[Params]:
    """The rows of a statement, after those that wait for it."""
    waiting.run(connection)
    return connection.execute(sql, params).fetchall()


def _commit(connection: sqlite3.Connection, waiting: Waiting, looks: bool) -> str | None:
    """Commit; then, if it `looks` at the file, why what was committed would be lost."""
    waiting.run(connection)
    connection.execute("COMMIT")
    if not looks:
        return None
    try:
        reason: str | None = connection.execute(_TROUBLE).fetchone()[0]
    except sqlite3.Error as error:
        # it is committed, whatever keeps us from looking
        return str(error)
    return reason


def _chunks(rows: list[T]) -> Iterator[list[T]]:
    """The same rows, in lists of a few different lengths: a statement for each is kept prepared."""
    done = 0
    for count in _CHUNKS:
        while len(rows) - done >= count:
            yield rows[done : done + count]
            done += count


@cache
def _insert_sql(count: int) -> str:
    return _INSERT + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * count)


@cache
def _insert_entries_sql(count: int) -> str:
    """Parameters: the first `n` and `seq`, type and run; then label, size and data of each row.

    With all eight columns as parameters, a row takes 1.4 times as long.
    """
    return _INSERT + ", ".join(f"(?1 + {at}, ?3, NULL, ?4, ?2 + {at}, ?, ?, ?)" for at in range(count))


def _marked(value: Any, mark: str) -> Any:
    return value.replace("\0", mark) if isinstance(value, str) else value


def texts_sql(sql: str, width: int) -> str:
    """A statement with one text of all rows of the SELECT `sql`, which has `width` columns.

    `SqliteSession.fetch` gives the reason.
    """
    names = [f"c{number}" for number in range(width)]
    line = " || char(9) || ".join(f"coalesce({name}, '')" for name in names)
    return (
        f"WITH picked ({', '.join(names)}) AS ({sql}) SELECT group_concat({line}, char(10)) FROM picked"
    )
