"""A replay of a run of 1,000,000 lines to one reader, beside sqlite3's `SELECT data`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.support.service import Service, new_run

from .harness import Figures, cpu_seconds, service_alone
from .ingest import post_bodies
from .measurement import Measurement, Party, Scale, Target
from .servers import LINE, stream

BATCH = 1000


def fill(service: Service, run: str, lines: int) -> None:
    """Post so many lines to a run; 8 requests at a time, so that they are committed together."""
    body = "\n".join([json.dumps({"message": LINE})] * BATCH).encode()
    connections = min(8, lines // BATCH)
    asyncio.run(post_bodies(service.port, [run] * connections, body, lines // BATCH // connections))
    missing = lines - int(service.client().get(f"/runs/{run}").json()["log_count"])
    for _ in range(missing // BATCH):
        asyncio.run(post_bodies(service.port, [run], body, 1))


def replay(service: Service, run: str, lines: int, query: str = "last_event_id=0") -> Figures:
    """Read a run's lines by one stream."""
    request = stream(f"/events/experiments:run:{run}?{query}").encode()
    cpu, began = cpu_seconds(service), time.perf_counter()
    first, marks = 0.0, 0
    with socket.create_connection((service.host, service.port), timeout=120) as connection:
        connection.sendall(request)
        while marks < lines:
            piece = connection.recv(1 << 20)
            assert piece, "the stream ended"
            marks += piece.count(b"~")
            if marks and not first:
                first = time.perf_counter() - began
    seconds, cpu = time.perf_counter() - began, cpu_seconds(service) - cpu
    assert marks == lines, f"{marks} lines of {lines}"
    return {
        "lines per second": lines / seconds,
        "lines per CPU second": lines / cpu,
        "first line after ms": 1000 * first,
    }


def select(database: Path, lines: int) -> Figures:
    """Read the same lines from the same file, in this process."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        sql = "SELECT data FROM events WHERE type = 'run_log' ORDER BY n"
        cpu, began = time.process_time(), time.perf_counter()
        found = 0
        first = 0.0
        for _ in connection.execute(sql):
            if not found:
                first = time.perf_counter() - began
            found += 1
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert found == lines
    return {
        "lines per second": lines / seconds,
        "lines per CPU second": lines / cpu,
        "first line after ms": 1000 * first,
    }


@contextlib.contextmanager
def parties(scale: Scale) -> Iterator[dict[str, Party]]:
    lines = scale.of(1_000_000, 50_000)
    with service_alone() as service:
        run = new_run(service.client())
        fill(service, run, lines)
        yield {
            "Athanor": partial(replay, service, run, lines),
            "sqlite3, SELECT data": partial(select, service.database, lines),
        }


MEASUREMENT = Measurement(
    name="replay",
    title="Replay of 1,000,000 lines",
    text=(
        "One stream reads a run from its beginning. Beside it, a loop of Python's sqlite3 reads the "
        "column `data` of the same rows from the same file, and does nothing with it."
    ),
    parties=parties,
    targets=[
        Target(
            "lines replayed per CPU second, times those of SELECT data",
            lambda turn: (
                turn["Athanor"]["lines per CPU second"]
                / turn["sqlite3, SELECT data"]["lines per CPU second"]
            ),
            least=0.5,
        ),
        Target(
            "first line of a replay, ms", lambda turn: turn["Athanor"]["first line after ms"], most=20
        ),
    ],
    plotted=["lines per CPU second"],
)
