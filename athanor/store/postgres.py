"""PostgreSQL, for any number of processes, through asyncpg; each session keeps one connection."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

try:
    import asyncpg
except ImportError:
    # an extra, which only a PostgreSQL URL needs
    asyncpg = None  # type: ignore[assignment]

from ..config import Limits
from ..database_url import Host, PostgresServer
from ..exceptions import ConfigurationError
from .postgres_session import BUGS, CHANNEL, NOTIFY, UNAVAILABLE, PostgresSession, numbered
from .session import Session

_SETTINGS = {
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
"""The server's settings for each session, which those in the URL come before."""
_SOCKET = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
"""The socket's option for each of libpq's parameters, where the system has it."""


_PID = "SELECT pg_backend_pid()"
_BROKEN_SESSION: tuple[type[Exception], ...] = ()
"""The server's errors where a session is not the one in which a statement was prepared."""
if asyncpg is not None:
    _BROKEN_SESSION += (
        asyncpg.InvalidSQLStatementNameError,
        asyncpg.DuplicatePreparedStatementError,
        asyncpg.ProtocolViolationError,
    )


class Postgres:
    """The server, and the connections to it."""

    unavailable, bugs = UNAVAILABLE, BUGS

    def __init__(self, server: PostgresServer, limits: Limits, version: int) -> None:
        """Raises `ConfigurationError` if asyncpg is not installed."""
        if asyncpg is None:
            raise ConfigurationError(
                "ATHANOR_DATABASE_URL names PostgreSQL, which needs asyncpg: "
                "pip install 'athanor-sse[postgres]'"
            )
        self._server = server
        self._limits = limits
        self._version = version
        self._settings = {
            **_SETTINGS,
            # a node that vanished during a flush must not hold the counter for long
            "idle_in_transaction_session_timeout": f"{limits.idle_transaction_timeout * 1000:.0f}ms",
            **server.settings,
        }

    def explain(self, error: Exception) -> str:
        """What is wrong, without the password."""
        return self._server.hide(str(error) or type(error).__name__)

    def opened(self) -> None:
        """Nothing to do: the server guards its files."""

    async def open(self) -> None:
        """Find out whether a connection keeps its session. Raises `ConfigurationError` if not."""
        patience = self._limits.statement_timeout
        async with self._raw(patience) as one, self._raw(patience) as other:
            await check_sessions(one, other, self._limits.connect_timeout)

    async def close(self) -> None:
        """Nothing to do."""

    def writer(self) -> AbstractAsyncContextManager[Session]:
        return self._connect(self._limits.statement_timeout)

    follower = writer

    def reader(self) -> AbstractAsyncContextManager[Session]:
        return self._connect(self._limits.read_timeout)

    def searcher(self) -> AbstractAsyncContextManager[Session]:
        return self._connect(self._limits.read_timeout)

    @asynccontextmanager
    async def _connect(self, statement_timeout: float) -> AsyncIterator[Session]:
        async with self._raw(statement_timeout) as raw:
            yield PostgresSession(raw, self._version)

    @asynccontextmanager
    async def _raw(self, statement_timeout: float) -> AsyncIterator[Any]:
        """A connection to the first host that accepts one, with the session's settings.

        asyncpg's own list of hosts has one timeout for all of them together. The settings follow in
        a statement, because a pooler refuses those that come with the connection.
        """
        first: Exception | None = None
        for host in self._server.hosts:
            try:
                raw = await self._open(host, statement_timeout)
                break
            except Exception as error:
                first = first or error
        else:
            assert first is not None
            raise first
        try:
            yield raw
        finally:
            await _close(raw)

    async def _open(self, host: Host, statement_timeout: float) -> Any:
        server = self._server
        timeout = server.connect_timeout or self._limits.connect_timeout
        raw = await asyncpg.connect(
            f"postgresql://?{urlencode(server.driver)}" if server.driver else None,
            host=host[0],
            port=host[1],
            user=server.user,
            password=server.password,
            database=server.database,
            timeout=timeout,
            command_timeout=statement_timeout,
        )
        try:
            keep_alive(raw, server.keepalives)
            # one answer for all of them, and no prepared statement
            parts = (
                f"set_config({_text(name)}, {_text(value)}, false)"
                for name, value in self._settings.items()
            )
            await raw.execute(f"SELECT {', '.join(parts)}", timeout=timeout)
        except BaseException as error:
            raw.terminate()
            if isinstance(error, asyncpg.UndefinedObjectError):
                raise self._unknown_setting(error) from None
            raise
        return raw

    def _unknown_setting(self, error: Exception) -> ConfigurationError:
        found = re.search(r'"([\w.]+)"', str(error))
        shown = found and self._server.names_may_be_shown
        name = f"the parameter {found[1]}" if found and shown else "a parameter"
        return ConfigurationError(
            f"ATHANOR_DATABASE_URL has {name}, which is neither a parameter of a connection nor a "
            "setting of the server"
        )

    @asynccontextmanager
    async def listening(self, receive: Callable[[str], None]) -> AsyncIterator[NotifyConnection]:
        """A connection that passes the notifications of all processes to `receive`."""
        async with self._raw(self._limits.statement_timeout) as raw:
            await raw.add_listener(CHANNEL, lambda _, __, ___, payload: receive(payload))
            yield NotifyConnection(raw)


class NotifyConnection:
    """Sends notifications to all processes, this one included; the database keeps none of them."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def send(self, notifications: list[str]) -> None:
        """Raises if the connection is cut; an empty list finds that out."""
        await self._raw.execute(numbered(NOTIFY), notifications)


async def check_sessions(one: Any, other: Any, patience: float) -> None:
    """Whether two connections are sessions of their own: then each receives what it listens to.

    A pooler that gives a connection a session for each transaction does not pass it on: the session
    that listens is another client's by then. Raises `ConfigurationError` then.
    """
    channel = f"athanor_{secrets.token_hex(8)}"
    received = asyncio.Event()
    try:
        await one.add_listener(channel, lambda *_: received.set())
        async with one.transaction():
            first = await one.fetchval(_PID)
        async with other.transaction():
            shared = await other.fetchval(_PID) == first
            await other.execute(f"NOTIFY {channel}")
    except UNAVAILABLE as error:
        # PgBouncer's statement mode closes a connection that begins a transaction
        if not isinstance(error, _BROKEN_SESSION) and "pooling mode" not in str(error):
            raise
        shared = True
    if not shared:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(received.wait(), patience)
    if not received.is_set():
        raise ConfigurationError(
            "ATHANOR_DATABASE_URL names a pooler that gives a connection a session for each "
            "transaction only, and Athanor needs one session for each connection (LISTEN, prepared "
            "statements, settings): connect to PostgreSQL directly, or set pool_mode = session"
        )


def keep_alive(raw: Any, parameters: dict[str, int]) -> None:
    """Set libpq's parameters on the connection's socket, if it is one of TCP."""
    # asyncpg has no public way to the socket
    connection = raw._transport.get_extra_info("socket") if parameters else None  # noqa: SLF001
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, parameters.get("keepalives", 1))
    for name, option in _SOCKET.items():
        # 0 is the system's default
        if parameters.get(name) and hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), parameters[name])


def _text(value: str) -> str:
    """A text in SQL, whatever the server's `standard_conforming_strings`."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f" E'{escaped}'"


async def _close(raw: Any) -> None:
    try:
        await raw.close(timeout=1)
    except Exception:
        raw.terminate()
