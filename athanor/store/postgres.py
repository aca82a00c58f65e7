"""PostgreSQL: any number of processes; through asyncpg, each connection held for its worker's life."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

try:
    import asyncpg
except ImportError:  # an extra, and only asked for by a PostgreSQL URL
    asyncpg = None  # type: ignore[assignment]

from ..exceptions import ConfigurationError
from .postgres_session import BROKEN, CHANNEL, OURS, TELL, PostgresSession, numbered
from .session import Session

TIMEOUT = 10.0
"""Seconds after which a connection that gives no answer counts as broken."""
SEARCH_TIMEOUT = 60.0
"""… where it may be searching: some ten million lines a minute."""
CONNECT_TIMEOUT = 3.0
"""… after which a host that has not let us in does; TCP's own tries get rarer, and ours do not."""
HOLD_TIMEOUT = 5.0
"""… after which the server ends a transaction whose process is silent, and may have vanished."""

_SERVER = {
    "application_name": "athanor",
    # a node that vanished in the middle of a flush must not hold the counter for long
    "idle_in_transaction_session_timeout": f"{HOLD_TIMEOUT:.0f}s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    # for a key and a number always
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # what is read is read in the order of an index and up to a limit. The planner does not see that in a
    # table that grows faster than it is analyzed (a page of a long run: 148 ms, so 15), and to start
    # workers takes longer than to read (a relay's read: 12 ms, so 1)
    "enable_bitmapscan": "off",
    "max_parallel_workers_per_gather": "0",
}


class Postgres:
    """The server, and the connections to it."""

    broken, ours = BROKEN, OURS

    def __init__(self, url: str) -> None:
        if asyncpg is None:
            raise ConfigurationError(
                "ATHANOR_DATABASE_URL names PostgreSQL, which needs asyncpg: "
                "pip install 'athanor-sse[postgres]'"
            )
        self._urls = _each_host(url)

    async def open(self) -> None:
        """Nothing is shared between the connections."""

    async def close(self) -> None:
        """Nor to be closed behind them."""

    def writer(self) -> AbstractAsyncContextManager[Session]:
        return self._connect(TIMEOUT)

    follower = writer

    def reader(self) -> AbstractAsyncContextManager[Session]:
        return self._connect(SEARCH_TIMEOUT)

    @asynccontextmanager
    async def _connect(self, patience: float) -> AsyncIterator[Session]:
        raw = await self._open(patience)
        try:
            yield PostgresSession(raw)
        finally:
            await _close(raw)

    async def _open(self, patience: float) -> Any:
        """To the first host that takes us; asyncpg's timeout would be one for all of them together."""
        first: Exception | None = None
        for url in self._urls:
            try:
                return await asyncpg.connect(
                    url, timeout=CONNECT_TIMEOUT, command_timeout=patience, server_settings=_SERVER
                )
            except Exception as error:
                first = first or error
        assert first is not None
        raise first

    @asynccontextmanager
    async def listening(self, heard: Callable[[str], None]) -> AsyncIterator[NotifyConnection]:
        """A connection that hears what all processes say."""
        raw = await self._open(TIMEOUT)
        try:
            await raw.add_listener(CHANNEL, lambda _, __, ___, payload: heard(payload))
            yield NotifyConnection(raw)
        finally:
            await _close(raw)


class NotifyConnection:
    """The line between processes: what is said is heard by all, this one too, and kept by nobody."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def send(self, notices: list[str]) -> None:
        """Raises if the line is cut; nothing at all is how to find out."""
        await self._raw.execute(numbered(TELL), notices)


def _each_host(url: str) -> list[str]:
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    return [parts._replace(netloc=f"{login}{at}{host}").geturl() for host in hosts.split(",")]


async def _close(raw: Any) -> None:
    try:
        await raw.close(timeout=1)
    except Exception:
        raw.terminate()
