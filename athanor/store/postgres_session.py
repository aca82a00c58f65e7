"""A session on PostgreSQL: its words, its tables, its text.

The numbers are one row of `counter`, locked from before they are drawn until the commit, so that
number order is commit order; whoever writes takes that lock.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, TypeVar

try:
    import asyncpg
except ImportError:  # an extra, and only asked for by a PostgreSQL URL
    asyncpg = None  # type: ignore[assignment]

from ..exceptions import DatabaseUnavailable
from ..protocol.events import StoredEvent
from .schema import VERSION, Dialect, tables
from .session import Params, Session

T = TypeVar("T")

BROKEN: tuple[type[Exception], ...] = (OSError, TimeoutError)
"""What says that the server, the network or a lock is at fault …"""
OURS: tuple[type[Exception], ...] = ()
"""… but for these: a statement of ours is."""
if asyncpg is not None:
    BROKEN += (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    OURS += (
        asyncpg.IntegrityConstraintViolationError,
        asyncpg.SyntaxOrAccessError,
        asyncpg.DataError,
    )

# \u0000 is JSON, but no text of PostgreSQL's; behind an odd number of backslashes it is none
_JSON = r"""
CREATE OR REPLACE FUNCTION athanor_json(data TEXT) RETURNS JSON LANGUAGE sql IMMUTABLE AS $$
    SELECT (CASE WHEN position('\u0000' IN data) = 0 THEN data
        ELSE regexp_replace(data, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g') END)::json
$$;
"""
_OURS = """
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
    keyed="",
    view="CREATE OR REPLACE VIEW",
    field="(athanor_json(data) ->> '{}')",
)
TABLES = _JSON + tables(DIALECT) + _OURS

PREPARING = 0x61746861  # "atha"
"""The advisory lock of whoever looks at the tables, or makes them."""
CHANNEL = "athanor"
TELL = f"SELECT count(pg_notify('{CHANNEL}', notice)::text) FROM unnest(?::text[]) AS notice"

# PostgreSQL takes no NUL in a text; JSON has none, but names and errors may
_ESCAPE = str.maketrans({"\0": "\x01\x02", "\x01": "\x01\x01"})
_UNESCAPE = {"\x01\x02": "\0", "\x01\x01": "\x01"}


class PostgresSession(Session):
    dialect = DIALECT
    tables = TABLES
    newest_sql = "SELECT newest FROM counter"
    contains_sql = (
        'position(lower(? COLLATE "C") IN lower((athanor_json(data) ->> \'message\') COLLATE "C")) > 0'
    )

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    @property
    def is_broken(self) -> bool:
        return bool(self._raw.is_closed())

    async def _told(self, answer: Awaitable[T]) -> T:
        """What the server answers. A connection that gives none is given up, for nothing is known of it.

        So is one whose server refuses for a reason of its own: it may be ending, or a standby by now, and
        another one answer at the same URL.
        """
        try:
            return await answer
        except BaseException as error:
            if not isinstance(error, OURS):
                self._raw.terminate()
            raise

    async def _rows(self, sql: str, params: Params | list[Any]) -> list[Any]:
        """As the server has them."""
        return await self._told(self._raw.fetch(numbered(sql), *map(_to, params)))

    async def execute(self, sql: str, params: Params | list[Any] = ()) -> list[Params]:
        return [tuple(map(_from, row)) for row in await self._rows(sql, params)]

    async def execute_many(self, sql: str, params: list[Params]) -> None:
        await self._told(self._raw.executemany(numbered(sql), [tuple(map(_to, row)) for row in params]))

    async def script(self, sql: str) -> None:
        await self._told(self._raw.execute(sql))

    async def change(self, sql: str, params: Params = ()) -> int:
        status: str = await self._told(self._raw.execute(numbered(sql), *map(_to, params)))
        return int(status.rpartition(" ")[2])

    async def fetch(self, columns: Sequence[str], rest: str, params: Params = ()) -> list[list[Any]]:
        return [list(row) for row in await self.execute(f"SELECT {', '.join(columns)} {rest}", params)]

    async def entries(self, rest: str, params: Params = ()) -> list[tuple[int, bytes]]:
        rows = await self._rows(f"SELECT seq, data {rest}", params)
        return [(seq, data.encode()) for seq, data in rows]

    async def events(self, rest: str, params: Params = ()) -> list[StoredEvent]:
        rows = await self._rows(f"SELECT n, type, instance_id, run_id, data {rest}", params)
        return [
            StoredEvent(n, type_, instance_id, run_id, None, None, data.encode())
            for n, type_, instance_id, run_id, data in rows
        ]

    async def insert(self, events: list[StoredEvent]) -> None:
        if not events:
            return
        records = [
            (n, type_, instance_id, run_id, seq, _to(label), len(data), data.decode())
            for n, type_, instance_id, run_id, seq, label, data in events
        ]
        columns = ("n", "type", "instance_id", "run_id", "seq", "label", "size", "data")
        await self._told(self._raw.copy_records_to_table("events", records=records, columns=columns))

    def among(self, columns: str, values: Iterable[Any]) -> tuple[str, Params]:
        listed = list(values)
        if not columns.startswith("("):
            return f"{columns} = ANY(?::text[])", (listed,)
        parts = tuple(list(part) for part in zip(*listed, strict=True))
        return f"{columns} IN (SELECT * FROM unnest({', '.join(['?::text[]'] * len(parts))}))", parts

    @asynccontextmanager
    async def preparing(self) -> AsyncIterator[None]:
        async with self._transaction(f"BEGIN; SELECT pg_advisory_xact_lock({PREPARING})"):
            yield
            # of processes that are long gone, or idle and sure of their last flush
            await self.execute("DELETE FROM flushes WHERE at < now() - interval '1 day'")

    async def has_tables(self) -> bool:
        """Not asked of each table and index: to look for one waits for a flush, and that for us."""
        return await self.value("SELECT to_regclass('meta')::text") is not None

    async def fence(self) -> None:
        await self.execute("SELECT FROM counter FOR UPDATE")

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[int]:
        async with self._transaction("BEGIN; SELECT FROM counter FOR UPDATE"):
            # in a statement of its own, which sees what was committed while we waited for the lock
            sql = "SELECT newest, value FROM counter, meta WHERE key = 'version'"
            ((newest, version),) = await self.execute(sql)
            if int(version) != VERSION:
                raise DatabaseUnavailable(
                    f"the database was upgraded to version {version}, and this Athanor knows {VERSION}: "
                    "start the newer one in its place"
                )
            yield newest

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[int]:
        async with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"):
            yield await self.newest()

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[None]:
        await self._told(self._raw.execute(begin))
        try:
            yield
            await self._told(self._raw.execute("COMMIT"))
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                await self._told(self._raw.execute("ROLLBACK"))
            raise

    async def advance(self, newest: int, notices: list[str]) -> None:
        await self.execute(f"UPDATE counter SET newest = ? RETURNING ({TELL})", (newest, notices))

    async def is_new(self, flush: tuple[str, int]) -> bool:
        sql = """
            INSERT INTO flushes (process, number) VALUES (?, ?)
            ON CONFLICT (process) DO UPDATE SET number = excluded.number, at = now()
            WHERE flushes.number < excluded.number RETURNING 1"""
        return await self.value(sql, flush) is not None


def _to(value: Any) -> Any:
    if isinstance(value, str) and ("\0" in value or "\x01" in value):
        return value.translate(_ESCAPE)
    return value


def _from(value: Any) -> Any:
    if isinstance(value, str) and "\x01" in value:
        return re.sub("\x01.", lambda found: _UNESCAPE.get(found[0], found[0]), value)
    return value


@lru_cache(2048)
def numbered(sql: str) -> str:
    parts = sql.split("?")
    return "".join(f"{part}${at}" for at, part in enumerate(parts[:-1], 1)) + parts[-1]
