"""Lines acknowledged over HTTP, beside sqlite3 alone writing the same rows, and other stores.

NDJSON, 1,000 lines a request, 64 requests in flight; the service on one core, `synchronous=FULL`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from athanor.store.sqlite import PRAGMAS
from athanor.store.sqlite_session import TABLES
from tests.support.service import new_run

from . import servers
from .harness import Figures, cpu_seconds, report, service_alone
from .load import PEERS
from .measurement import Measurement, Party, Scale, Target
from .trackers import python_with

LINES, CONNECTIONS, REQUESTS = 1000, 64, 10
TOTAL = LINES * CONNECTIONS * REQUESTS
TRANSACTION = 20_000
AT_ONCE = (100, 1000)
"""Rows in one statement of sqlite3; the faster one counts. More, or fewer, are slower."""


def message(number: int) -> str:
    return f"epoch 3 batch {number} loss 0.1234 accuracy 0.9876"


async def post_all(port: int, runs: list[str], requests: int) -> None:
    """Every connection posts so many requests in sequence, and waits for each 201."""
    body = "\n".join(json.dumps({"message": message(n)}) for n in range(LINES)).encode()
    await post_bodies(port, [runs[n % len(runs)] for n in range(CONNECTIONS)], body, requests)


async def post_bodies(port: int, runs: list[str], body: bytes, requests: int) -> None:
    """For each of `runs`, a connection that posts the body so many times, and waits for each 201."""

    async def producer(run: str) -> None:
        head = (
            f"POST /runs/{run}/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests):
            writer.write(head.encode() + body)
            response = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", response)
            assert response.startswith(b"HTTP/1.1 201"), response
            assert length is not None
            await reader.readexactly(int(length[1]))
        writer.close()

    await asyncio.gather(*map(producer, runs))


def through_athanor(runs: int, requests: int) -> Figures:
    total = LINES * CONNECTIONS * requests
    with service_alone() as service:
        client = service.client()
        ids = [new_run(client) for _ in range(runs)]
        began, cpu = time.perf_counter(), cpu_seconds(service)
        asyncio.run(post_all(service.port, ids, requests))
        seconds, cpu = time.perf_counter() - began, cpu_seconds(service) - cpu
        assert sum(client.get(f"/runs/{id}").json()["log_count"] for id in ids) == total
        return {"lines per second": total / seconds, "lines per CPU second": total / cpu}


def rows_of(count: int, begin: int = 0) -> list[tuple[str, None, str, int, str, int, str]]:
    """Rows as Athanor stores them, after so many others of their run."""
    rows = []
    for n in range(begin + 1, begin + count + 1):
        entry = {
            "seq": n,
            "level": "info",
            "message": message(n),
            "metadata": None,
            "timestamp": servers.STAMP,
        }
        data = json.dumps(entry, separators=(",", ":"))
        rows.append(("run_log", None, "1a209f64162930498d882", n, "info", len(data), data))
    return rows


def through_sqlite3(transactions: int) -> Figures:
    """Rows of the fastest way into the same table, with the same indexes and pragmas."""
    tried = [_many_rows_a_statement(at_once, transactions) for at_once in AT_ONCE]
    return {figure: max(figures[figure] for figures in tried) for figure in tried[0]}


def _many_rows_a_statement(at_once: int, transactions: int) -> Figures:
    columns = "type, instance_id, run_id, seq, label, size, data"
    places = ", ".join(["(?, ?, ?, ?, ?, ?, ?)"] * at_once)
    sql = f"INSERT INTO events ({columns}) VALUES {places}"
    seconds = cpu = 0.0
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "plain.db", isolation_level=None)
        for pragma in PRAGMAS:
            connection.execute(pragma)
        connection.executescript(TABLES)
        for number in range(transactions):
            # the rows are ready before the clock starts
            rows = rows_of(TRANSACTION, number * TRANSACTION)
            groups = [
                list(chain.from_iterable(rows[first : first + at_once]))
                for first in range(0, TRANSACTION, at_once)
            ]
            began, used = time.perf_counter(), time.process_time()
            connection.execute("BEGIN IMMEDIATE")
            for group in groups:
                connection.execute(sql, group)
            connection.execute("COMMIT")
            seconds += time.perf_counter() - began
            cpu += time.process_time() - used
        connection.close()
    written = transactions * TRANSACTION
    return {"lines per second": written / seconds, "lines per CPU second": written / cpu}


def through_redis(batches: int) -> Figures:
    """XADD, 1,000 in a pipeline; the append-only file is synced before each response."""
    entry = servers.xadd("*", json.dumps({"message": message(17)}))
    with (
        servers.redis("--appendonly", "yes", "--appendfsync", "always") as server,
        socket.create_connection(("127.0.0.1", server.port)) as connection,
    ):
        cpu, began = cpu_seconds(server.process), time.perf_counter()
        for _ in range(batches):
            connection.sendall(entry * LINES)
            answered = 0
            while answered < LINES:
                piece = connection.recv(1 << 20)
                assert piece
                answered += piece.count(b"$")
        seconds, cpu = time.perf_counter() - began, cpu_seconds(server.process) - cpu
    written = batches * LINES
    return {"lines per second": written / seconds, "lines per CPU second": written / cpu}


def through_tracker(python: str, name: str, count: int) -> Figures:
    command = [python, str(PEERS / "trackers.py"), name, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode or not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(lines[-1])
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


@contextlib.contextmanager
def parties(scale: Scale) -> Iterator[dict[str, Party]]:
    requests = scale.of(REQUESTS, 1)
    found: dict[str, Party] = {
        "Athanor, one run": partial(through_athanor, 1, requests),
        "Athanor, eight runs": partial(through_athanor, 8, requests),
        "sqlite3, many rows a statement": partial(through_sqlite3, scale.of(TOTAL // TRANSACTION, 3)),
        "Redis, XADD (fsync always)": servers.reason_without(servers.redis_program)
        or partial(through_redis, scale.of(200, 20)),
    }
    for title, name, count in (
        ("MLflow, log_batch of 1,000 metrics", "mlflow", scale.of(20_000, 2000)),
        ("Trackio, log of a metric", "trackio", scale.of(5000, 500)),
    ):
        try:
            found[title] = partial(through_tracker, python_with(name, scale), name, count)
        except LookupError as error:
            found[title] = str(error)
    yield found


def measure() -> Figures:
    plain = through_sqlite3(TOTAL // TRANSACTION)
    one, many = through_athanor(1, REQUESTS), through_athanor(8, REQUESTS)
    return {
        "sqlite3, many rows a statement, rows/s": plain["lines per second"],
        "Athanor, one run, lines/s": one["lines per second"],
        "Athanor, one run, lines per CPU second": one["lines per CPU second"],
        "Athanor, eight runs, lines/s": many["lines per second"],
        "Athanor, eight runs, lines per CPU second": many["lines per CPU second"],
        "one run over sqlite3": one["lines per second"] / plain["lines per second"],
    }


MEASUREMENT = Measurement(
    name="ingest",
    title="Ingest, NDJSON to commit",
    text=(
        "1,000 lines a request, 64 requests in flight; each is acknowledged after its commit with "
        "`synchronous=FULL`. sqlite3 writes rows that are ready into the same table, with the same "
        "indexes and pragmas, 20,000 in a transaction, without HTTP or JSON. MLflow and Trackio have no "
        "log lines: a line is one metric there."
    ),
    parties=parties,
    targets=[
        Target(
            "lines per CPU second, times those of sqlite3",
            lambda turn: (
                turn["Athanor, one run"]["lines per CPU second"]
                / turn["sqlite3, many rows a statement"]["lines per CPU second"]
            ),
            least=0.6,
        ),
        Target(
            "lines ingested per CPU second",
            lambda turn: turn["Athanor, one run"]["lines per CPU second"],
            least=200_000,
        ),
    ],
    plotted=["lines per CPU second"],
)


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
