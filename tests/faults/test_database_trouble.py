"""A database that is locked, full, slow or cut off, again and again: it costs time and no line."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import asyncpg
import pytest

from ..support.cluster import Cluster
from ..support.load import under_load
from ..support.patience import PATIENCE
from ..support.proxy import Proxy
from ..support.service import Service, metric
from .schedule import rounds

pytestmark = pytest.mark.anyio

Trouble = Callable[[Service, Random], contextlib.AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def locked(service: Service, chance: Random) -> AsyncIterator[None]:
    """Another process writes, for longer than the service waits for it, or shorter."""
    with contextlib.closing(sqlite3.connect(service.database, isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout = 30000")
        other.execute(chance.choice(["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"]))
        yield
        other.execute("ROLLBACK")


@contextlib.asynccontextmanager
async def read(service: Service, chance: Random) -> AsyncIterator[None]:
    """Another process reads, so that the write-ahead log can't be shortened."""
    with contextlib.closing(sqlite3.connect(service.database, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM events").fetchone()
        yield
        other.execute("ROLLBACK")


@contextlib.asynccontextmanager
async def full(service: Service, chance: Random) -> AsyncIterator[None]:
    """A write fails, perhaps in the middle of a flush, as it does on a full disk."""
    unlimited = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    wal = service.database.with_name(service.database.name + "-wal")
    # the log of the service has to stay below it
    most = max(wal.stat().st_size, service.log.stat().st_size) + chance.randint(4 << 10, 64 << 10)
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (most, unlimited[1]))
    try:
        yield
    finally:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, unlimited)


@contextlib.asynccontextmanager
async def stopped(service: Service, chance: Random) -> AsyncIterator[None]:
    """The whole service stands still, as on a machine that swaps."""
    assert service.process is not None
    service.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        service.process.send_signal(signal.SIGCONT)


async def bring(troubles: list[Trouble], service: Service, chance: Random) -> None:
    """All of them once, in a random order, each for a while."""
    for trouble in chance.sample(troubles, len(troubles)):
        async with trouble(service, chance):
            await asyncio.sleep(chance.uniform(0.02, 0.6))


@pytest.mark.long
async def test_a_file_that_is_locked_full_or_slow_loses_nothing(service: Service, chance: Random) -> None:
    cluster = Cluster([service])
    async with under_load(cluster, chance) as load:
        for _ in range(rounds(2, 50)):
            await bring([locked, read, full, stopped], service, chance)
            await asyncio.to_thread(cluster.await_all_ready)
            await load.more(chance.randint(1, 20))
    assert metric(service, "athanor_flush_failures_total") > 0
    assert "Traceback" not in service.log.read_text()


class Link:
    """What can happen between the service and PostgreSQL; `proxy` is between the two."""

    def __init__(self, proxy: Proxy, database: str) -> None:
        self.proxy = proxy
        self.database = database

    @contextlib.asynccontextmanager
    async def slow(self, service: Service, chance: Random) -> AsyncIterator[None]:
        self.proxy.delay = chance.uniform(0.01, 0.2)
        yield
        self.proxy.delay = 0.0

    @contextlib.asynccontextmanager
    async def cut(self, service: Service, chance: Random) -> AsyncIterator[None]:
        """Every connection breaks, and new ones are refused."""
        self.proxy.refusing = True
        self.proxy.cut()
        yield
        self.proxy.refusing = False

    @contextlib.asynccontextmanager
    async def broken(self, service: Service, chance: Random) -> AsyncIterator[None]:
        """Every connection breaks, on a slow link often between COMMIT and its answer."""
        self.proxy.delay = chance.uniform(0.02, 0.1)
        yield
        self.proxy.cut()
        self.proxy.delay = 0.0

    @contextlib.asynccontextmanager
    async def locked(self, service: Service, chance: Random) -> AsyncIterator[None]:
        async with self._session() as other, other.transaction():
            await other.execute("SET LOCAL lock_timeout = '30s'")
            await other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            yield

    @contextlib.asynccontextmanager
    async def ended(self, service: Service, chance: Random) -> AsyncIterator[None]:
        """An operator ends the sessions of the service."""
        async with self._session() as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        yield

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.database, timeout=PATIENCE)
        try:
            yield connection
        finally:
            await connection.close()


@pytest.mark.long
async def test_a_server_that_is_locked_slow_or_cut_off_loses_nothing(
    tmp_path: Path, database: str, chance: Random
) -> None:
    server, _, name = database.rpartition("/")
    proxy = Proxy(int(server.rpartition(":")[2]))
    through = proxy.url.replace("http://", "postgresql://postgres@")
    cluster = Cluster.on(tmp_path, f"{through}/{name}", 2)
    link = Link(proxy, database)
    with contextlib.closing(proxy), contextlib.closing(cluster):
        cluster.start()
        async with under_load(cluster, chance) as load:
            for _ in range(rounds(2, 50)):
                await bring(
                    [link.slow, link.cut, *[link.broken] * 4, link.locked, link.ended, stopped],
                    cluster.nodes[0],
                    chance,
                )
                await asyncio.to_thread(cluster.await_all_ready)
                await load.more(chance.randint(1, 20))
        assert sum(metric(node, "athanor_flush_failures_total") for node in cluster.nodes) > 0
        assert "Traceback" not in cluster.output()
