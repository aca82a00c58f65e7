"""What rude clients send takes bounded memory, and a normal client beside them is served."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import re
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from athanor.protocol.bounds import MAX_ENTRY, MAX_OBJECT

from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.raw import read_response, status_of
from ..support.service import Service, new_run, running
from ..support.stopwatch import Stopwatch
from .test_bad_input import JSON, NDJSON
from .test_payloads import items

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

MOST_RSS = 256 << 20
SERVED = 10.0
"""Seconds in which a normal client is served on a busy machine."""
BODY = 8 << 20
"""Bytes of the largest body."""


def peak(service: Service) -> int:
    """The most memory that the service has had, in bytes."""
    status = Path(f"/proc/{service.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) * 1024


def written(service: Service) -> int:
    """The bytes that the service has written to files and sockets."""
    found = re.search(r"wchar: (\d+)", Path(f"/proc/{service.pid}/io").read_text())
    assert found is not None
    return int(found[1])


class Normal(threading.Thread):
    """A client that sends a line and reads its run, again and again; knows its longest wait."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self.pid = service.pid
        self.client = service.client()
        self.id = new_run(self.client)
        self.sent = 0
        self.longest = 0.0
        self.refused: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.02):
            watch = Stopwatch(self.pid)
            posted = self.client.post(f"/runs/{self.id}/logs", json={"message": f"line {self.sent}"})
            read = self.client.get(f"/runs/{self.id}")
            self.longest = max(self.longest, watch.elapsed())
            self.refused += [answer.text for answer in (posted, read) if not answer.is_success]
            self.sent += 1


@contextlib.contextmanager
def a_normal_client(service: Service) -> Iterator[Normal]:
    """Beside it, everything else happens; at the end it was served, and memory has stayed bounded."""
    normal = Normal(service)
    normal.start()
    try:
        wait_until(lambda: normal.sent, "the first line")
        yield normal
        before = normal.sent
        wait_until(lambda: normal.sent > before + 3, "further lines")
    finally:
        normal.stopping.set()
        normal.join(PATIENCE)
    assert normal.refused == []
    assert normal.longest < SERVED
    page = normal.client.get(f"/runs/{normal.id}/logs?limit=10000").json()["logs"]
    assert [log["message"] for log in page] == [f"line {number}" for number in range(normal.sent)]
    assert peak(service) < MOST_RSS
    assert "Traceback" not in service.log.read_text()


def unfinished(service: Service, run: str, size: int) -> socket.socket:
    """A connection with a request that lacks the last byte of its body."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE)
    head = f"POST /runs/{run}/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
    connection.sendall(f"{head}Content-Length: {size + 1}\r\n\r\n".encode() + b"x" * size)
    return connection


def test_unfinished_bodies_take_64_mib_and_keep_no_small_one_out(service: Service) -> None:
    client = service.client()
    run = new_run(client)
    with a_normal_client(service), contextlib.ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(unfinished(service, run, 1 << 20))
        # more than what is left beside bodies of 1 MiB
        large = "\n".join([json.dumps({"message": "x" * 100_000})] * 20)

        def post_large() -> httpx.Response:
            return client.post(f"/runs/{run}/logs", content=large, headers=NDJSON)

        def is_full() -> bool:
            if post_large().status_code == 503:
                return True
            # it was there before some of the bodies, which were refused
            for _ in range(4):
                stack.enter_context(unfinished(service, run, 1 << 20))
            return False

        wait_until(is_full, "the bound")
        refused = post_large()
        assert int(refused.headers["Retry-After"]) > 0
        assert str(64 << 20) in refused.json()["detail"]
        head = {"Expect": "100-continue", **NDJSON}
        assert client.post(f"/runs/{run}/logs", content=large, headers=head).status_code == 503
        with unfinished(service, run, 2 << 20) as connection:
            # a refused body is read to its end, so that its client can read the answer
            connection.sendall(b"x")
            assert status_of(read_response(connection)) == 503
        for _ in range(5):
            assert client.post(f"/runs/{run}/logs", json={"message": "small"}).status_code == 201
        stack.close()
        wait_until(lambda: post_large().status_code == 201, "room for large bodies again")


def fill(piece: bytes, size: int) -> bytes:
    return b"[" + piece * ((size - 200) // len(piece)) + b"1]"


def of_results(value: bytes) -> bytes:
    return b"\n".join([b'{"key":"k","value":' + value + b"}"] * (BODY // (len(value) + 30)))


@pytest.mark.long
def test_bodies_that_are_expensive_to_read_take_little_memory(service: Service) -> None:
    surrogates = b'"' + b"\\ud800" * ((MAX_ENTRY - 200) // 6) + b'"'
    bodies = {
        of_results(fill(b"[[]],", MAX_ENTRY)): 201,
        of_results(fill(b"99e300,", MAX_ENTRY)): 201,
        of_results(fill(b"1" * 4300 + b",", MAX_ENTRY)): 201,
        of_results(surrogates): 201,
        b"[" + of_results(fill(b"[],", MAX_ENTRY)).replace(b"\n", b",") + b"]": 201,
        b"[%b]" % b",".join([b'{"key":"k","value":0}'] * (BODY // 22)): 413,
        b'{"key":"k","value":' + b"[" * (BODY // 2 - 20) + b"]" * (BODY // 2 - 20) + b"}": 413,
    }
    client = service.client(timeout=PATIENCE)
    run = new_run(client)

    def post(body: bytes) -> int:
        answer = client.post(
            f"/runs/{run}/results", content=body, headers=NDJSON if body[:1] == b"{" else JSON
        )
        return answer.status_code

    with a_normal_client(service), concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(post, bodies)) == list(bodies.values())


def test_large_metadata_is_not_kept_nor_rewritten_by_a_line(service: Service) -> None:
    client = service.client()
    instance = client.post("/instances", json={"name": "n"}).json()["id"]
    metadata = b'{"metadata":{"a":' + fill(b"[[[[]]]],", MAX_OBJECT) + b"}}"
    with a_normal_client(service):
        ids = []
        for _ in range(15):
            made = client.post(f"/instances/{instance}/runs", content=metadata).raise_for_status()
            ids.append(made.json()["id"])
        for id in ids:
            client.post(f"/runs/{id}/start").raise_for_status()
        found, _ = items(client, f"/instances/{instance}/runs?limit=1000", "runs")
        assert found == ids[::-1]
    # what is in the write-ahead log already would be copied into the database at some moment
    with contextlib.closing(sqlite3.connect(service.database, timeout=PATIENCE)) as database:
        database.execute("PRAGMA wal_checkpoint(PASSIVE)")
    before = written(service)
    for id in ids:
        client.post(f"/runs/{id}/logs", json={"message": "x"}).raise_for_status()
    assert written(service) - before < len(ids) * MAX_OBJECT // 4
    shown = client.get(f"/runs/{ids[0]}").json()
    assert (shown["metadata"], shown["log_count"]) == (json.loads(metadata)["metadata"], 1)


def test_records_of_an_older_version_may_be_larger(tmp_path: Path) -> None:
    old = '{"a":"' + "x" * BODY + '","b":1}'
    with running(tmp_path) as service:
        client = service.client()
        instance = client.post("/instances", json={"name": "n"}).json()["id"]
        ids = [client.post(f"/instances/{instance}/runs").json()["id"] for _ in range(3)]
        with contextlib.closing(sqlite3.connect(service.database, timeout=PATIENCE)) as database:
            database.execute("UPDATE runs SET metadata = ?", (old,))
            database.execute("UPDATE instances SET configuration = ?", (old,))
            database.commit()
        found, largest = items(client, "/runs?limit=1000", "runs")
        assert found == ids[::-1]
        # one of them fills a page
        assert largest < BODY + (1 << 20)
        assert items(client, "/instances", "instances")[0] == [instance]
        client.patch(f"/instances/{instance}", json={"name": "other"}).raise_for_status()
        client.post(f"/runs/{ids[0]}/start").raise_for_status()
        client.post(f"/runs/{ids[0]}/logs", json={"message": "x"}).raise_for_status()
        assert client.patch(f"/runs/{ids[0]}", json={"name": "grows"}).status_code == 413
        small = client.patch(f"/runs/{ids[0]}", json={"metadata": {"a": None}}).raise_for_status()
        assert small.json()["metadata"] == {"b": 1}
        client.patch(f"/runs/{ids[0]}", json={"name": "grows"}).raise_for_status()
