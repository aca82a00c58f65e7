"""PostgreSQL, for any number of processes, through asyncpg; each session keeps one connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

try:
    import asyncpg
except ImportError:
    # an extra, which only a PostgreSQL URL needs
    asyncpg = None  # type: ignore[assignment]

from ..config import Limits
from ..exceptions import ConfigurationError
from .postgres_session import BUGS, CHANNEL, NOTIFY, UNAVAILABLE, PostgresSession, numbered
from .session import Session

_SERVER = {
    "application_name": "athanor",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    # parameters are keys and numbers: a plan for the actual ones is the better one
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # every read follows an index up to a limit. The planner does not see that in a table that grows
    # faster than it is analyzed (a page of a long run: 148 ms, else 15), and to start workers takes
    # longer than to read (a relay's read: 12 ms, else 1)
    "enable_bitmapscan": "off",
    "max_parallel_workers_per_gather": "0",
}


class Postgres:
    """The server, and the connections to it."""

    unavailable, bugs = UNAVAILABLE, BUGS

    def __init__(self, url: str, limits: Limits, version: int) -> None:
        """Raises `ConfigurationError` if asyncpg is not installed."""
        if asyncpg is None:
            raise ConfigurationError(
                "ATHANOR_DATABASE_URL names PostgreSQL, which needs asyncpg: "
                "pip install 'athanor-sse[postgres]'"
            )
        self._urls = _each_host(url)
        self._limits = limits
        self._version = version

    async def open(self) -> None:
        """Nothing to do: the connections share nothing."""

    async def close(self) -> None:
        """Nothing to do."""

    def writer(self) -> AbstractAsyncContextManager[Session]:
        return self._connect(self._limits.statement_timeout)

    follower = writer

    def reader(self) -> AbstractAsyncContextManager[Session]:
        return self._connect(self._limits.search_timeout)

    @asynccontextmanager
    async def _connect(self, statement_timeout: float) -> AsyncIterator[Session]:
        raw = await self._open(statement_timeout)
        try:
            yield PostgresSession(raw, self._version)
        finally:
            await _close(raw)

    async def _open(self, statement_timeout: float) -> Any:
        """A connection to the first host that accepts one.

        asyncpg's own list of hosts has one timeout for all of them together.
        """
        # a node that vanished during a flush must not hold the counter for long
        idle = f"{self._limits.idle_transaction_timeout * 1000:.0f}ms"
        server = {**_SERVER, "idle_in_transaction_session_timeout": idle}
        first: Exception | None = None
        for url in self._urls:
            try:
                return await asyncpg.connect(
                    url,
                    timeout=self._limits.connect_timeout,
                    command_timeout=statement_timeout,
                    server_settings=server,
                )
            except Exception as error:
                first = first or error
        assert first is not None
        raise first

    @asynccontextmanager
    async def listening(self, receive: Callable[[str], None]) -> AsyncIterator[NotifyConnection]:
        """A connection that passes the notifications of all processes to `receive`."""
        raw = await self._open(self._limits.statement_timeout)
        try:
            await raw.add_listener(CHANNEL, lambda _, __, ___, payload: receive(payload))
            yield NotifyConnection(raw)
        finally:
            await _close(raw)


class NotifyConnection:
    """Sends notifications to all processes, this one included; the database keeps none of them."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def send(self, notifications: list[str]) -> None:
        """Raises if the connection is cut; an empty list finds that out."""
        await self._raw.execute(numbered(NOTIFY), notifications)


def _each_host(url: str) -> list[str]:
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    return [parts._replace(netloc=f"{login}{at}{host}").geturl() for host in hosts.split(",")]


async def _close(raw: Any) -> None:
    try:
        await raw.close(timeout=1)
    except Exception:
        raw.terminate()
