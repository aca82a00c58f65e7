"""A session: one open connection, with the operations that differ between the databases."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, TypeVar

from ..protocol.events import StoredEvent
from .schema import Dialect

T = TypeVar("T")
Params = tuple[Any, ...]


class Session(ABC):
    """SQL is written once, with `?` for a parameter, and never with a `?` of another meaning.

    Each method raises the error of its database; `Store` translates it.
    """

    dialect: ClassVar[Dialect]
    tables: ClassVar[str]
    """The statements that create what an empty database needs."""
    newest_sql: ClassVar[str]
    """Selects the number of the newest event that was ever committed."""
    like_sql: ClassVar[str]
    """The condition that `data` is like a pattern of `protocol.sought`, its parameter."""

    @abstractmethod
    async def execute(self, sql: str, params: Params | list[Any] = ()) -> list[Params]:
        """Run one statement; returns its rows, if it has any."""

    @abstractmethod
    async def write(self, sql: str, params: Params | list[Any] = ()) -> None:
        """Run one statement whose outcome nobody needs, inside a transaction.

        It may wait for the next `execute`, or for the COMMIT, and raise its error there.
        """

    @abstractmethod
    async def execute_many(self, sql: str, params: list[Params]) -> None:
        """Run one statement for each of `params`, as `write` does."""

    @abstractmethod
    async def script(self, sql: str) -> None:
        """Run several statements inside the open transaction."""

    @abstractmethod
    async def change(self, sql: str, params: Params = ()) -> int:
        """Run one statement that changes rows; returns their number."""

    @abstractmethod
    async def fetch(self, sql: str, params: Params = ()) -> list[list[Any]]:
        """The rows of a SELECT, in the way that is fastest for many of them."""

    @abstractmethod
    async def entries(self, sql: str, params: Params = ()) -> list[tuple[int, bytes]]:
        """The rows of a SELECT of `seq, data` from `events`."""

    @abstractmethod
    async def events(self, sql: str, params: Params = ()) -> list[StoredEvent]:
        """The rows of a SELECT of `n, type, instance_id, run_id, data` from `events`.

        Their `seq` and `label` are None; `data` has both.
        """

    @abstractmethod
    async def insert(self, events: list[StoredEvent]) -> None:
        """Add events to the log."""

    @abstractmethod
    def among(self, columns: str, values: Iterable[Any]) -> tuple[str, Params]:
        """The condition that `columns` (one, or several in parentheses) are one of `values`.

        Returns it with its parameters.
        """

    @abstractmethod
    def listed(self, kinds: str, rows: Iterable[tuple[Any, ...]]) -> tuple[str, Params]:
        """A table of `rows` for a FROM, with its parameters: the columns are `c0`, `c1` …

        `kinds` has a letter for each column: `t` for a text, `i` for an integer, and in `put` `b` for
        bytes.
        """

    @abstractmethod
    async def put(self, table: str, kinds: str, rows: list[Params], conflict: str = "") -> None:
        """Insert `rows` of all columns of a table, with a clause for those that are there already."""

    @abstractmethod
    def preparing(self) -> AbstractAsyncContextManager[None]:
        """A transaction in which one process at a time checks or creates the tables."""

    @abstractmethod
    async def relations(self) -> dict[str, set[str]]:
        """Inside `preparing`: the tables and views there are, with their columns where that matters.

        On PostgreSQL only those with the names of Athanor's; others may stand beside them.
        """

    @abstractmethod
    async def fence(self) -> None:
        """Inside `preparing`: from now on no process writes."""

    @abstractmethod
    def writing(self) -> AbstractAsyncContextManager[int]:
        """A transaction of one writer at a time; yields the newest number. An error undoes it."""

    @abstractmethod
    def reading(self) -> AbstractAsyncContextManager[int]:
        """A transaction that sees one state of the database; yields its newest number."""

    @abstractmethod
    async def advance(self, newest: int, notifications: list[str]) -> None:
        """Inside `writing`: take the numbers up to `newest`, and send `notifications` to peers."""

    @abstractmethod
    async def is_new(self, flush: tuple[str, int]) -> bool:
        """Inside `writing`: whether this process has not committed its flush of that number yet."""

    @abstractmethod
    async def interrupt(self, task: asyncio.Task[Any]) -> None:
        """End the statement that `task` runs in this session; returns when the task has ended."""

    async def verify(self) -> str | None:
        """Why what is written now would be lost; None if it would not."""
        return None

    @abstractmethod
    async def shorten_log(self) -> None:
        """Give back what SQLite's log has grown by while a reader held it."""

    async def value(self, sql: str, params: Params = ()) -> Any:
        """The first column of the first row, or None."""
        rows = await self.execute(sql, params)
        return rows[0][0] if rows else None

    async def newest(self) -> int:
        number: int = await self.value(self.newest_sql)
        return number

    @property
    def is_broken(self) -> bool:
        """Whether the connection can't be used any more."""
        return False


Job = Callable[[Session], Awaitable[T]]
Connect = Callable[[], AbstractAsyncContextManager[Session]]
