"""Searches in a run's log: they have a bound, end when nobody waits, and slow nothing else down."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from athanor.config import Limits

from ..support import postgres
from ..support.follower import wait_until
from ..support.service import Service, new_run, running

CLIENTS = 20
AT_ONCE = 1 + Limits().waiting_searches

ENDLESS_ON_SQLITE = """
ALTER TABLE events RENAME TO stored;
CREATE VIEW events AS SELECT * FROM stored UNION ALL
    SELECT n + 1000, type, instance_id, run_id, seq + 1000, label, size, data FROM (
        WITH RECURSIVE endless(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM endless)
        SELECT stored.* FROM stored CROSS JOIN endless WHERE stored.data LIKE '%needle%'
    );
"""
FINITE_ON_SQLITE = "DROP VIEW events; ALTER TABLE stored RENAME TO events;"
ENDLESS_ON_POSTGRESQL = """
CREATE OR REPLACE FUNCTION athanor_json(data TEXT) RETURNS JSON LANGUAGE plpgsql AS $$
BEGIN
    IF data LIKE '%needle%' THEN PERFORM pg_sleep(600); END IF;
    RETURN data::json;
END $$
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    settings = {}
    if request.param == "postgresql":
        settings["database_url"] = request.getfixturevalue("database")
    with running(tmp_path, **settings) as service:
        yield service


@contextlib.contextmanager
def endless(service: Service) -> Iterator[None]:
    """Meanwhile, a search that reads a line with `needle` does not end by itself."""
    if url := service.settings.get("database_url"):
        postgres.run_sql(ENDLESS_ON_POSTGRESQL, str(url).rpartition("/")[2])
        yield
        return
    with contextlib.closing(sqlite3.connect(service.database)) as connection:
        connection.executescript(ENDLESS_ON_SQLITE)
        yield
        connection.executescript(FINITE_ON_SQLITE)


def ask(service: Service, path: str) -> socket.socket:
    """A connection on which a request was sent."""
    connection = socket.create_connection((service.host, service.port), 30)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {service.host}\r\n\r\n".encode())
    return connection


def answered(connections: list[socket.socket]) -> list[bytes]:
    """The heads of the answers that are there by now."""
    heads = []
    for connection in connections:
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            heads.append(connection.recv(4096))
    return heads


def test_abandoned_searches_end_and_slow_no_other_read(service: Service) -> None:
    client = service.client()
    run, other = new_run(client), new_run(client)
    client.post(f"/runs/{run}/logs", json={"message": "a needle"}).raise_for_status()
    client.post(f"/runs/{other}/logs", json={"message": "hay"}).raise_for_status()
    with endless(service):
        slow = client.get(f"/runs/{run}/logs?q=needle")
        assert slow.status_code == 422
        assert "more than 5 s" in slow.json()["detail"]
        assert "level, after and before" in slow.json()["detail"]

        searching = [ask(service, f"/runs/{run}/logs?q=needle") for _ in range(CLIENTS)]
        heads: list[bytes] = []

        def are_refused() -> bool:
            heads.extend(answered(searching))
            return len(heads) == CLIENTS - AT_ONCE

        wait_until(are_refused, "503")
        assert all(head.startswith(b"HTTP/1.1 503") for head in heads)
        assert all(b"retry-after: " in head and b"searches are under way" in head for head in heads)
        began = time.monotonic()
        for path in ("/runs", f"/runs/{run}", f"/runs/{other}", "/instances", "/readyz"):
            assert client.get(path).status_code == 200
        assert time.monotonic() - began < 3
        for connection in searching:
            connection.close()
    # those that wait would take 5 s each if they went on
    began = time.monotonic()
    wait_until(lambda: client.get(f"/runs/{other}/logs?q=HAY").status_code == 200, "its turn")
    assert time.monotonic() - began < 2 * Limits().search_timeout
    assert client.get(f"/runs/{other}/logs?q=HAY").json()["total"] == 1


def test_a_search_is_for_a_short_text(client: httpx.Client) -> None:
    run = new_run(client)
    longest = "é" * 256
    client.post(f"/runs/{run}/logs", json={"message": f"<{longest}>"}).raise_for_status()
    assert client.get(f"/runs/{run}/logs", params={"q": longest}).json()["total"] == 1
    refused = client.get(f"/runs/{run}/logs", params={"q": f"{longest}>"})
    assert refused.status_code == 400
    assert "q has 257 characters; it may have 256 at most" in refused.json()["detail"]


def test_a_search_counts_what_is_between_its_bounds(client: httpx.Client) -> None:
    run = new_run(client)
    lines = [{"message": f'{n} of\t"10"', "metadata": {"stream": "stderr"}} for n in range(1, 11)]
    client.post(f"/runs/{run}/logs", json=lines).raise_for_status()

    def page(**query: str | int) -> tuple[list[int], int, bool]:
        params: dict[str, str | int] = {"q": 'OF\t"1', **query}
        found = client.get(f"/runs/{run}/logs", params=params).json()
        return [line["seq"] for line in found["logs"]], found["total"], found["next"] is not None

    assert page() == (list(range(1, 11)), 10, False)
    assert page(limit=10) == (list(range(1, 11)), 10, False)
    assert page(limit=3) == ([1, 2, 3], 10, True)
    assert page(after=4, limit=3) == ([5, 6, 7], 6, True)
    assert page(before=4) == ([1, 2, 3], 3, False)
    assert page(before=4, limit=2) == ([2, 3], 3, True)
    assert page(after=4, before=8) == ([5, 6, 7], 3, False)
    assert page(q="missing") == ([], 0, False)
    assert page(q="", stream="stderr", after=8) == ([9, 10], 2, False)
