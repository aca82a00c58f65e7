"""Lines acknowledged per second over HTTP, compared with sqlite3 alone writing the same rows.

NDJSON, 1,000 lines a request, 64 requests in flight; the service on one core, `synchronous=FULL`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import tempfile
import time
from pathlib import Path

from athanor.store.sqlite import PRAGMAS, TABLES
from tests.support.service import new_run

from .harness import Figures, cpu_seconds, report, service_alone

LINES, CONNECTIONS, REQUESTS = 1000, 64, 10
TOTAL = LINES * CONNECTIONS * REQUESTS
TRANSACTION = 20_000


def message(number: int) -> str:
    return f"epoch 3 batch {number} loss 0.1234 accuracy 0.9876"


async def post_all(port: int, runs: list[str]) -> None:
    """Every connection posts its requests in sequence, and waits for each 201."""
    body = "\n".join(json.dumps({"message": message(n)}) for n in range(LINES)).encode()

    async def producer(run: str) -> None:
        head = (
            f"POST /runs/{run}/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(REQUESTS):
            writer.write(head.encode() + body)
            response = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", response)
            assert response.startswith(b"HTTP/1.1 201"), response
            assert length is not None
            await reader.readexactly(int(length[1]))
        writer.close()

    await asyncio.gather(*(producer(runs[n % len(runs)]) for n in range(CONNECTIONS)))


def through_athanor(runs: int) -> tuple[float, float]:
    """Lines per second, and lines per CPU second of the service."""
    with service_alone() as service:
        client = service.client()
        ids = [new_run(client) for _ in range(runs)]
        began, cpu = time.perf_counter(), cpu_seconds(service)
        asyncio.run(post_all(service.port, ids))
        seconds, cpu = time.perf_counter() - began, cpu_seconds(service) - cpu
        assert sum(client.get(f"/runs/{id}").json()["log_count"] for id in ids) == TOTAL
        return TOTAL / seconds, TOTAL / cpu


def through_sqlite3() -> float:
    """Rows per second of `executemany` into the same table, with the same indexes and pragmas."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "plain.db", isolation_level=None)
        for pragma in PRAGMAS:
            connection.execute(pragma)
        connection.executescript(TABLES)
        at = "2026-11-23T17:30:00.123456Z"
        rows = []
        for n in range(1, TRANSACTION + 1):
            entry = {"seq": n, "level": "info", "message": message(n), "metadata": None, "timestamp": at}
            data = json.dumps(entry, separators=(",", ":"))
            rows.append(("run_log", None, "1a209f64162930498d882", n, "info", len(data), data))
        columns = "type, instance_id, run_id, seq, label, size, data"
        sql = f"INSERT INTO events ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        began = time.perf_counter()
        for _ in range(TOTAL // TRANSACTION):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(sql, rows)
            connection.execute("COMMIT")
        seconds = time.perf_counter() - began
        connection.close()
        return TOTAL / seconds


def measure() -> Figures:
    plain = through_sqlite3()
    one, one_cpu = through_athanor(1)
    many, many_cpu = through_athanor(8)
    return {
        "sqlite3.executemany, rows/s": plain,
        "Athanor, one run, lines/s": one,
        "Athanor, one run, lines per CPU second": one_cpu,
        "Athanor, eight runs, lines/s": many,
        "Athanor, eight runs, lines per CPU second": many_cpu,
        "one run over sqlite3": one / plain,
    }


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
