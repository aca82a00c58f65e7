"""A database that is locked, full, in use or invalid: the service reports it, and loses nothing."""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..support.follower import Follower, wait_until
from ..support.patience import PATIENCE
from ..support.service import ROOT, Service, new_run, running

NDJSON = {"Content-Type": "application/x-ndjson"}
LATER = {**NDJSON, "Prefer": "respond-async"}


def lines(first: int, count: int, size: int = 10) -> str:
    """Messages, one a line; each begins with its number."""
    return "\n".join(
        json.dumps({"message": f"{number} {'x' * size}"}) for number in range(first, first + count)
    )


def numbers_of(client: httpx.Client, run: str) -> list[int]:
    """The numbers in the stored messages, in the order of `seq`, which must have no gap."""
    numbers: list[int] = []
    path: str | None = f"/runs/{run}/logs?limit=10000"
    while path:
        page = client.get(path).json()
        numbers += [int(entry["message"].split()[0]) for entry in page["logs"]]
        assert [entry["seq"] for entry in page["logs"]][-1:] in ([], [len(numbers)])
        path = page["next"]
    return numbers


def test_locked_database_loses_and_duplicates_nothing(service: Service) -> None:
    client = service.client()
    run = new_run(client)
    follower = Follower(service.url, f"/events/experiments:run:{run}", last_id="0")
    follower.start()
    other = sqlite3.connect(service.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    unlock_at = time.monotonic() + 5
    responses: list[httpx.Response] = []
    poster = threading.Thread(
        target=lambda: responses.append(
            service.client().post(f"/runs/{run}/logs", content=lines(0, 100), headers=NDJSON)
        )
    )
    poster.start()
    wait_until(lambda: service.trouble(), "the error in /readyz")
    assert "locked" in str(service.trouble())
    assert client.get("/healthz").status_code == 200
    assert client.get(f"/runs/{run}/logs").json()["total"] == 0
    later = client.post(f"/runs/{run}/logs", content=lines(100, 50), headers=LATER)
    assert later.status_code == 202
    # the requirement is five seconds
    while time.monotonic() < unlock_at:
        assert not responses
        assert service.trouble()
        time.sleep(0.05)
    other.execute("ROLLBACK")
    other.close()
    poster.join(PATIENCE)
    assert [response.status_code for response in responses] == [201]
    wait_until(lambda: service.trouble() is None, "readiness")
    client.post(f"/runs/{run}/complete").raise_for_status()
    assert numbers_of(client, run) == list(range(150))
    follower.finish()
    assert follower.seqs == list(range(1, 151))


def test_full_ring_refuses_with_503_and_recovers(tmp_path: Path) -> None:
    with running(tmp_path, ring_capacity=1000) as service:
        client = service.client()
        run = new_run(client)
        other = sqlite3.connect(service.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        accepted = 0
        while True:
            response = client.post(f"/runs/{run}/logs", content=lines(accepted, 90), headers=LATER)
            if response.status_code == 503:
                break
            assert response.status_code == 202
            accepted += 90
            assert accepted <= 1000
        assert accepted > 500
        assert int(response.headers["Retry-After"]) >= 1
        assert "1000" in response.json()["detail"]
        other.execute("ROLLBACK")
        other.close()
        wait_until(lambda: client.post(f"/runs/{run}/complete").status_code == 200, "room")
        assert numbers_of(client, run) == list(range(accepted))


def test_full_disk_loses_and_duplicates_nothing(service: Service) -> None:
    """`RLIMIT_FSIZE` of the running process makes writes fail as they do on a full disk."""
    client = service.client()
    run = new_run(client)
    client.post(f"/runs/{run}/logs", content=lines(0, 10), headers=NDJSON).raise_for_status()
    unlimited = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    wal = service.database.with_name(service.database.name + "-wal")
    full = max(wal.stat().st_size, service.log.stat().st_size) + 64 * 1024
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (full, unlimited[1]))
    try:
        accepted = 10
        while service.trouble() is None:
            response = client.post(f"/runs/{run}/logs", content=lines(accepted, 50, 500), headers=LATER)
            assert response.status_code == 202
            accepted += 50
        assert "database" in str(service.trouble())
        for _ in range(5):
            response = client.post(f"/runs/{run}/logs", content=lines(accepted, 50, 500), headers=LATER)
            assert response.status_code == 202
            accepted += 50
    finally:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, unlimited)
    wait_until(lambda: service.trouble() is None, "readiness")
    client.post(f"/runs/{run}/complete").raise_for_status()
    assert numbers_of(client, run) == list(range(accepted))
    check = sqlite3.connect(service.database)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


def refused(folder: Path, **settings: Any) -> str:
    """The log of a service that does not start."""
    service = Service(folder, **settings)
    process = service.spawn()
    assert process.wait(PATIENCE) != 0
    log = service.log.read_text()
    assert "Traceback" not in log
    return log


def test_second_process_on_the_file_is_refused(service: Service) -> None:
    log = refused(service.folder)
    assert str(service.database) in log
    assert "another Athanor process" in log
    assert "PostgreSQL" in log
    run = new_run(service.client())
    assert service.client().post(f"/runs/{run}/complete").status_code == 200
    service.kill()
    # the lock ended with the process
    service.start()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"port": "abc"}, ["ATHANOR_PORT", "abc"]),
        ({"port": "70000"}, ["ATHANOR_PORT", "65535"]),
        ({"flush_interval": "0"}, ["ATHANOR_FLUSH_INTERVAL"]),
        ({"retention_rows": "many"}, ["ATHANOR_RETENTION_ROWS", "many"]),
    ],
)
def test_bad_setting_is_named(tmp_path: Path, settings: dict[str, str], words: list[str]) -> None:
    log = refused(tmp_path, **settings)
    assert all(word in log for word in words), log


@pytest.mark.parametrize(
    "url", ["mysql://localhost/x", "sqlite://file", "sqlite:///:memory:", "nonsense"]
)
def test_bad_database_url_is_named(tmp_path: Path, url: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py")],
        env={**Service(tmp_path).environment(), "ATHANOR_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode != 0
    assert "ATHANOR_DATABASE_URL" in done.stderr
    # it may hold a password
    assert url not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("hosts", ["db:port/x", "db:70000/x", "db:1,[::1/x"])
def test_bad_postgresql_url_is_refused_without_its_password(tmp_path: Path, hosts: str) -> None:
    log = refused(tmp_path, database_url=f"postgresql://athanor:secret@{hosts}")
    assert "ATHANOR_DATABASE_URL can't be read" in log
    assert "a number from 1 to 65535" in log
    assert "secret" not in log
    assert "Traceback" not in log


def test_missing_folder_is_named(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.database = tmp_path / "missing" / "athanor.db"
    assert service.spawn().wait(PATIENCE) != 0
    log = service.log.read_text()
    assert str(service.database) in log
    assert "Traceback" not in log


def test_file_that_is_no_database_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "athanor.db"
    path.write_text("my thesis, " * 1000)
    before = path.read_bytes()
    assert "not a database" in refused(tmp_path)
    assert path.read_bytes() == before


def test_database_of_a_newer_version_is_refused(service: Service) -> None:
    service.terminate()
    connection = sqlite3.connect(service.database)
    connection.execute("UPDATE meta SET value = '999' WHERE key = 'version'")
    connection.commit()
    connection.close()
    assert "999" in refused(service.folder)
