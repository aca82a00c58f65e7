"""PgBouncer between Athanor and PostgreSQL: a session for each client works, all else is refused."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..support import postgres
from ..support.follower import Follower, wait_until
from ..support.patience import PATIENCE
from ..support.scripts import free_port
from ..support.service import Service, metric, new_run, running


@contextlib.contextmanager
def pgbouncer(database: str, pool_mode: str) -> Iterator[str]:
    """The URL of `database` through a PgBouncer of its own, which does not run as root."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    server, port = urlsplit(database), free_port()
    name = server.path[1:]
    as_user: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(prefix="athanor-pgbouncer-") as folder:
        if os.geteuid() == 0:
            as_user = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")
            shutil.chown(folder, "postgres", "postgres")
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{name} = host={server.hostname} port={server.port} "
            f"user={server.username} dbname={name}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = {pool_mode}\n"
        )
        with (Path(folder) / "pgbouncer.log").open("wb") as log:
            process = subprocess.Popen(
                [*as_user, program, str(settings)], stdout=log, stderr=subprocess.STDOUT, cwd="/"
            )
        try:
            address = f"postgresql://athanor@127.0.0.1:{port}"
            wait_until(lambda: _listens(port), "PgBouncer")
            yield f"{address}/{name}"
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def has_pgbouncer(need: Callable[[bool, str], None]) -> None:
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    need(found is not None, "pgbouncer")


@pytest.mark.usefixtures("has_pgbouncer")
def test_a_session_for_each_client_works(tmp_path: Path, database: str) -> None:
    with (
        pgbouncer(database, "session") as url,
        running(tmp_path, database_url=f"{url}?application_name=lab&options=-c%20work_mem%3D5MB") as node,
    ):
        client = node.client()
        run = new_run(client)
        follower = Follower(node.url, f"/events/experiments:run:{run}", last_id="0")
        follower.start()
        client.post(f"/runs/{run}/logs", json=[{"message": str(n)} for n in range(100)])
        assert client.get(f"/runs/{run}/logs?q=99").json()["total"] == 1
        client.post(f"/runs/{run}/complete").raise_for_status()
        follower.finish()
        assert follower.seqs == list(range(1, 101))
        wait_until(lambda: metric(node, "athanor_listening") == 1, "notifications")
        assert node.trouble() is None
        sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lab' AND datname = "
        assert postgres.run_sql(f"{sql}'{url.rpartition('/')[2]}'") == [(6,)]


@pytest.mark.usefixtures("has_pgbouncer")
@pytest.mark.parametrize("pool_mode", ["transaction", "statement"])
def test_less_than_a_session_is_refused_with_a_sentence(
    tmp_path: Path, database: str, pool_mode: str
) -> None:
    with pgbouncer(database, pool_mode) as url:
        service = Service(tmp_path, database_url=url)
        assert service.spawn().wait(PATIENCE) == 3
    log = service.log.read_text()
    assert "ATHANOR_DATABASE_URL names a pooler" in log
    assert "set pool_mode = session" in log
    assert "Traceback" not in log
    assert postgres.run_sql("SELECT to_regclass('meta')::text", database.rpartition("/")[2]) == [(None,)]
