"""A session: one open connection, in the words the store needs. Each database speaks them its own way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, TypeVar

from ..protocol.events import StoredEvent
from .schema import Dialect

T = TypeVar("T")
Params = tuple[Any, ...]


class Session(ABC):
    """SQL is written once, with `?` for a parameter; what differs between databases has a word here.

    No statement here has a `?` of another meaning.
    """

    dialect: ClassVar[Dialect]
    tables: ClassVar[str]
    """The statements that make what an empty database needs."""
    newest_sql: ClassVar[str]
    """Gives the number of the newest event that was ever committed."""
    contains_sql: ClassVar[str]
    """Whether a log entry's message, out of `data`, contains a text; both in ASCII's lower case."""

    @abstractmethod
    async def execute(self, sql: str, params: Params | list[Any] = ()) -> list[Params]:
        """Run one statement; the rows, if it gives any."""

    @abstractmethod
    async def execute_many(self, sql: str, params: list[Params]) -> None:
        """Run one statement for each of `params`."""

    @abstractmethod
    async def script(self, sql: str) -> None:
        """Run several statements, within the transaction that is open."""

    @abstractmethod
    async def change(self, sql: str, params: Params = ()) -> int:
        """Run one statement that changes rows; how many."""

    @abstractmethod
    async def fetch(self, columns: Sequence[str], rest: str, params: Params = ()) -> list[list[Any]]:
        """The rows of `SELECT columns rest`."""

    @abstractmethod
    async def entries(self, rest: str, params: Params = ()) -> list[tuple[int, bytes]]:
        """`seq` and `data` of log entries or results, as `SELECT seq, data rest` has them."""

    @abstractmethod
    async def events(self, rest: str, params: Params = ()) -> list[StoredEvent]:
        """Events without `seq` and `label`, which `data` has as well; as `SELECT … rest` has them."""

    @abstractmethod
    async def insert(self, events: list[StoredEvent]) -> None:
        """Add events to the log."""

    @abstractmethod
    def among(self, columns: str, values: Iterable[Any]) -> tuple[str, Params]:
        """The condition that `columns` (one, or several in parentheses) are one of `values`."""

    @abstractmethod
    def preparing(self) -> AbstractAsyncContextManager[None]:
        """A transaction of the one process at a time that looks at the tables, or makes them."""

    @abstractmethod
    async def has_tables(self) -> bool:
        """Within `preparing`: whether there are any of ours."""

    @abstractmethod
    async def fence(self) -> None:
        """Within `preparing`: from here on nobody writes."""

    @abstractmethod
    def writing(self) -> AbstractAsyncContextManager[int]:
        """A transaction of the one writer at a time; gives the newest number. Undone by an error."""

    @abstractmethod
    def reading(self) -> AbstractAsyncContextManager[int]:
        """A transaction that sees one state of the database; gives its newest number."""

    @abstractmethod
    async def advance(self, newest: int, notices: list[str]) -> None:
        """Within `writing`: numbers up to `newest` are taken, and other processes are told `notices`."""

    @abstractmethod
    async def is_new(self, flush: tuple[str, int]) -> bool:
        """Within `writing`: whether this process's flush of that number was not committed before."""

    async def value(self, sql: str, params: Params = ()) -> Any:
        """The first column of the first row, or None."""
        rows = await self.execute(sql, params)
        return rows[0][0] if rows else None

    async def newest(self) -> int:
        number: int = await self.value(self.newest_sql)
        return number

    @property
    def is_broken(self) -> bool:
        """Whether the connection is of no use any more."""
        return False


Job = Callable[[Session], Awaitable[T]]
Connect = Callable[[], AbstractAsyncContextManager[Session]]
