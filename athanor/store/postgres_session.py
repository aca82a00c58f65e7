"""A session on PostgreSQL: its dialect, its tables, its text.

Event numbers come from the one row of `counter`. A writer locks it before it takes a number, and until
its commit, so number order is commit order.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, TypeVar

try:
    import asyncpg
except ImportError:
    # an extra, which only a PostgreSQL URL needs
    asyncpg = None  # type: ignore[assignment]

from ..exceptions import DatabaseUnavailable
from ..protocol.events import StoredEvent
from ..protocol.sought import ESCAPE
from .schema import RELATIONS, Dialect, tables
from .session import Params, Session

T = TypeVar("T")

UNAVAILABLE: tuple[type[Exception], ...] = (OSError, TimeoutError)
"""Errors of the server, the network or a lock, except those in `BUGS`."""
BUGS: tuple[type[Exception], ...] = ()
"""Errors of our own statements."""
if asyncpg is not None:
    UNAVAILABLE += (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    BUGS += (
        asyncpg.IntegrityConstraintViolationError,
        asyncpg.SyntaxOrAccessError,
        asyncpg.DataError,
    )

# JSON may have \u0000, and a text of PostgreSQL may not. After an odd number of backslashes it is
# not an escape
_JSON = r"""
CREATE OR REPLACE FUNCTION athanor_json(data TEXT) RETURNS JSON LANGUAGE sql IMMUTABLE AS $$
    SELECT (CASE WHEN position('\u0000' IN data) = 0 THEN data
        ELSE regexp_replace(data, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g') END)::json
$$;
"""
_CLUSTER = """
CREATE TABLE IF NOT EXISTS counter (newest BIGINT NOT NULL);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter);

CREATE TABLE IF NOT EXISTS flushes (
    process TEXT PRIMARY KEY, number BIGINT NOT NULL, at TIMESTAMPTZ NOT NULL DEFAULT now()
);
"""
DIALECT = Dialect(
    number="BIGINT PRIMARY KEY",
    in_order=", n",
    integer="BIGINT",
    binary="BYTEA",
    hex="encode({}, 'hex')",
    exact=' COLLATE "C"',
    keyed="",
    view="CREATE OR REPLACE VIEW",
    field="(athanor_json(data) ->> '{}')",
    joined="convert_to(string_agg({}, {} ORDER BY n) {}, 'UTF8')",
)
TABLES = _JSON + tables(DIALECT) + _CLUSTER

SCRIPT_TIMEOUT = 3600.0
"""The seconds that statements of an upgrade may take: an index of all events, for example."""
PREPARING = 0x61746861  # "atha"
"""The advisory lock of a process that checks or creates the tables."""
CHANNEL = "athanor"
COPIED = 2000
"""Rows of a COPY that are encoded at once, in some 3 ms: the server stores them while the next are."""
_RELATIONS = """
    SELECT relname::text, attname::text FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE attnum > 0 AND NOT attisdropped
        AND pg_class.oid IN (SELECT to_regclass(name)::oid FROM unnest(?::text[]) AS name)"""
NOTIFY = f"SELECT count(pg_notify('{CHANNEL}', notice)::text) FROM unnest(?::text[]) AS notice"

_TYPES = {"t": "text", "i": "bigint", "b": "bytea"}

# a text of PostgreSQL has no NUL; JSON escapes it, but names and errors may have one
_ESCAPE = str.maketrans({"\0": "\x01\x02", "\x01": "\x01\x01"})
_COPY_ESCAPE = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_UNESCAPE = {"\x01\x02": "\0", "\x01\x01": "\x01"}


class PostgresSession(Session):
    """A session on PostgreSQL, for tables of the version `version`."""

    dialect = DIALECT
    tables = TABLES
    newest_sql = "SELECT newest FROM counter"
    # ILIKE would make lower case of all letters, in UTF-8 more slowly (94 ms for 200,000 lines, else 84)
    like_sql = f"lower(data COLLATE \"C\") LIKE ? ESCAPE '{ESCAPE}'"

    def __init__(self, raw: Any, version: int) -> None:
        self._raw = raw
        self._version = version
        self._interrupted = False

    @property
    def is_broken(self) -> bool:
        return bool(self._raw.is_closed())

    async def _answer(self, answer: Awaitable[T]) -> T:
        """The server's answer. A connection without an answer is given up: its state is unknown.

        So is one whose server refuses for a reason of its own: it may be stopping, or be a standby
        now, and another server may answer at the same URL.
        """
        try:
            return await answer
        except BaseException as error:
            # asyncpg has the server cancel the statement, and waits for that before the next one
            cancelled = self._interrupted and isinstance(error, asyncio.CancelledError)
            if not isinstance(error, BUGS) and not cancelled:
                self._raw.terminate()
            raise

    async def interrupt(self, task: asyncio.Task[Any]) -> None:
        self._interrupted = True
        task.cancel()
        await asyncio.wait({task})
        self._interrupted = False

    async def _rows(self, sql: str, params: Params | list[Any]) -> list[Any]:
        """The rows as asyncpg returns them."""
        return await self._answer(self._raw.fetch(numbered(sql), *map(_to, params)))

    async def execute(self, sql: str, params: Params | list[Any] = ()) -> list[Params]:
        return [tuple(map(_from, row)) for row in await self._rows(sql, params)]

    async def write(self, sql: str, params: Params | list[Any] = ()) -> None:
        await self._rows(sql, params)

    async def execute_many(self, sql: str, params: list[Params]) -> None:
        await self._answer(self._raw.executemany(numbered(sql), [tuple(map(_to, row)) for row in params]))

    async def script(self, sql: str) -> None:
        await self._answer(self._raw.execute(sql, timeout=SCRIPT_TIMEOUT))

    async def change(self, sql: str, params: Params = ()) -> int:
        status: str = await self._answer(self._raw.execute(numbered(sql), *map(_to, params)))
        return int(status.rpartition(" ")[2])

    async def fetch(self, sql: str, params: Params = ()) -> list[list[Any]]:
        return [list(row) for row in await self.execute(sql, params)]

    async def entries(self, sql: str, params: Params = ()) -> list[tuple[int, bytes]]:
        return [(seq, data.encode()) for seq, data in await self._rows(sql, params)]

    async def events(self, sql: str, params: Params = ()) -> list[StoredEvent]:
        return [
            StoredEvent(n, type_, instance_id, run_id, None, None, data.encode())
            for n, type_, instance_id, run_id, data in await self._rows(sql, params)
        ]

    async def insert(self, events: list[StoredEvent]) -> None:
        columns = ("n", "type", "instance_id", "run_id", "seq", "label", "size", "data")
        copying = self._raw.copy_to_table("events", source=_copied(events), columns=columns)
        await self._answer(copying)

    def among(self, columns: str, values: Iterable[Any]) -> tuple[str, Params]:
        listed = list(values)
        if not columns.startswith("("):
            return f"{columns} = ANY(?::text[])", (listed,)
        table, params = self.listed("t" * (columns.count(",") + 1), listed)
        return f"{columns} IN (SELECT * FROM {table})", params

    def listed(self, kinds: str, rows: Iterable[tuple[Any, ...]]) -> tuple[str, Params]:
        columns: Params = tuple(list(column) for column in zip(*rows, strict=True)) or ([],) * len(kinds)
        types = ", ".join(f"?::{_TYPES[kind]}[]" for kind in kinds)
        names = ", ".join(f"c{at}" for at in range(len(kinds)))
        return f"unnest({types}) AS listed ({names})", columns

    async def put(self, table: str, kinds: str, rows: list[Params], conflict: str = "") -> None:
        if rows:
            source, params = self.listed(kinds, rows)
            await self.execute(f"INSERT INTO {table} SELECT * FROM {source} {conflict}", params)

    @asynccontextmanager
    async def preparing(self) -> AsyncIterator[None]:
        async with self._transaction(f"BEGIN; SELECT pg_advisory_xact_lock({PREPARING})"):
            yield
            # rows of processes that have ended, or that know the outcome of their last flush
            await self.execute("DELETE FROM flushes WHERE at < now() - interval '1 day'")

    async def relations(self) -> dict[str, set[str]]:
        """Look-ups only: `IF NOT EXISTS` for each table would wait for a flush, which waits for us."""
        found: dict[str, set[str]] = {}
        for name, column in await self.execute(_RELATIONS, (list(RELATIONS),)):
            found.setdefault(name, set()).add(column)
        return found

    async def shorten_log(self) -> None:
        """Nothing to do: the server does."""

    async def fence(self) -> None:
        await self.execute("SELECT FROM counter FOR UPDATE")

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[int]:
        async with self._transaction("BEGIN; SELECT FROM counter FOR UPDATE"):
            # a separate statement sees what was committed while this one waited for the lock
            sql = "SELECT newest, value FROM counter, meta WHERE key = 'version'"
            ((newest, version),) = await self.execute(sql)
            if int(version) != self._version:
                raise DatabaseUnavailable(
                    f"the database was upgraded to version {version}, and this Athanor knows "
                    f"{self._version}: start the newer one in its place"
                )
            yield newest

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[int]:
        async with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"):
            yield await self.newest()

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[None]:
        await self._answer(self._raw.execute(begin))
        try:
            yield
            await self._answer(self._raw.execute("COMMIT"))
        except BaseException:
            # the first error is the one to raise
            with contextlib.suppress(Exception):
                await self._answer(self._raw.execute("ROLLBACK"))
            raise

    async def advance(self, newest: int, notifications: list[str]) -> None:
        await self.execute(f"UPDATE counter SET newest = ? RETURNING ({NOTIFY})", (newest, notifications))

    async def is_new(self, flush: tuple[str, int]) -> bool:
        sql = """
            INSERT INTO flushes (process, number) VALUES (?, ?)
            ON CONFLICT (process) DO UPDATE SET number = excluded.number, at = now()
            WHERE flushes.number < excluded.number RETURNING 1"""
        return await self.value(sql, flush) is not None


async def _copied(events: list[StoredEvent]) -> AsyncIterator[bytes]:
    """The rows as COPY reads them."""
    for first in range(0, len(events), COPIED):
        yield b"".join([_row_of(event) for event in events[first : first + COPIED]])
        # what was written goes out now
        await asyncio.sleep(0)


def _row_of(event: StoredEvent) -> bytes:
    return b"%d\t%b\t%b\t%b\t%b\t%b\t%d\t%b\n" % (
        event.n, _field(event.type), _field(event.instance_id), _field(event.run_id),
        b"\\N" if event.seq is None else b"%d" % event.seq, _field(event.label),
        # JSON has no control characters
        len(event.data), event.data.replace(b"\\", b"\\\\"),
    )  # fmt: skip


@lru_cache(1024)
def _field(value: str | None) -> bytes:
    """A text in a row of COPY; few are not the same as in other rows."""
    if value is None:
        return b"\\N"
    text: str = _to(value)
    return text.translate(_COPY_ESCAPE).encode()


def _to(value: Any) -> Any:
    if isinstance(value, str) and ("\0" in value or "\x01" in value):
        return value.translate(_ESCAPE)
    if isinstance(value, list):
        return [_to(item) for item in value]
    return value


def _from(value: Any) -> Any:
    if isinstance(value, str) and "\x01" in value:
        return re.sub("\x01.", lambda found: _UNESCAPE.get(found[0], found[0]), value)
    return value


@lru_cache(2048)
def numbered(sql: str) -> str:
    """The statement with `$1`, `$2` … for each `?`, as asyncpg wants it."""
    parts = sql.split("?")
    return "".join(f"{part}${at}" for at, part in enumerate(parts[:-1], 1)) + parts[-1]
