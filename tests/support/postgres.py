"""PostgreSQL: a database of a test's own on the running server, or a server of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from .follower import wait_until
from .patience import PATIENCE
from .scripts import free_port

SERVER = os.environ.get("ATHANOR_TEST_POSTGRES") or "postgresql://postgres@127.0.0.1:5432"


def run_sql(sql: str, database: str = "postgres", server: str = SERVER) -> list[tuple[Any, ...]]:
    """Run one statement as the server's owner; returns its rows."""

    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(f"{server}/{database}", timeout=PATIENCE)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        return runner.run(fetch())


def run_script(sql: str, database: str) -> None:
    """Run several statements as the server's owner."""

    async def run() -> None:
        connection = await asyncpg.connect(f"{SERVER}/{database}", timeout=PATIENCE)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        runner.run(run())


def answers(server: str = SERVER) -> bool:
    try:
        return run_sql("SELECT 1", server=server) == [(1,)]
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False


@contextlib.contextmanager
def new_database() -> Iterator[str]:
    """The URL of an empty database, which is dropped after the block."""
    name = f"athanor_{uuid.uuid4().hex[:12]}"
    run_sql(f"CREATE DATABASE {name}")
    try:
        yield f"{SERVER}/{name}"
    finally:
        run_sql(f"DROP DATABASE {name} WITH (FORCE)")


def programs() -> Path | None:
    """The folder of `initdb` and `postgres` on this machine; None if there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


class Server:
    """A server that can be stopped and started; it listens on loopback and at `addresses`."""

    def __init__(self, folder: Path, addresses: tuple[str, ...] = ()) -> None:
        found = programs()
        assert found is not None
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}"
        self._programs = found
        self._data = folder / "data"
        self._log = folder / "postgres.log"
        # PostgreSQL refuses to run as root
        self._as: tuple[str, ...] = ()
        if os.geteuid() == 0:
            self._as = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")
            shutil.chown(folder, "postgres", "postgres")
        self._settings = {
            "port": self.port,
            "listen_addresses": ",".join(("127.0.0.1", *addresses)),
            "unix_socket_directories": "",
        }
        self._process: subprocess.Popen[bytes] | None = None
        command = [*self._as, str(found / "initdb"), "-D", str(self._data)]
        command += ["-U", "postgres", "-A", "trust", "-N"]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE, cwd="/")
        with (self._data / "pg_hba.conf").open("a") as access:
            access.writelines(f"host all all {address}/24 trust\n" for address in addresses)

    def start(self) -> Server:
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as, self._programs / "postgres", "-D", self._data, *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
            )
        wait_until(lambda: answers(self.url), "PostgreSQL")
        return self

    def stop(self, crash: bool = False) -> None:
        """Stop at once: disconnect the clients in order, or with `crash` end without that."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
            self._process.wait(PATIENCE)


@contextlib.contextmanager
def new_server(addresses: tuple[str, ...] = ()) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="athanor-postgres-") as folder:
        server = Server(Path(folder), addresses)
        try:
            yield server.start()
        finally:
            server.stop()
