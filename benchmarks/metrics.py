"""Curves and the ingest of results: what they cost, whatever the number of keys and points."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import statistics
import time

import httpx

from tests.support.service import Service, new_run

from .harness import Figures, cpu_seconds, report, service_alone

BATCH, CONNECTIONS, REQUESTS = 500, 64, 10
TOTAL = BATCH * CONNECTIONS * REQUESTS
WIDTHS = (1, 40, 3000)
"""Keys of the runs whose ingest is measured."""
SHORT, LONG = 10_000, 1_000_000
KEYS, STEPS = 40, 5_000
READS = 15


def body(first: int, count: int, keys: int) -> bytes:
    """Results `first`, `first + 1` … of a run, its keys in turn."""
    lines = (
        json.dumps(
            {
                "key": f"train/metric_{at % keys:04d}",
                "value": math.sin(at / 1000) + random.random(),
                "step": at // keys,
                "timestamp": "2026-11-23T17:30:00.123456Z",
            }
        )
        for at in range(first, first + count)
    )
    return "\n".join(lines).encode()


async def post_all(port: int, run: str, bodies: list[bytes], requests: int) -> None:
    """Every connection posts some of the bodies in turn, and waits for each 201."""

    async def producer(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in range(requests):
            content = bodies[(number + request) % len(bodies)]
            head = (
                f"POST /runs/{run}/results HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Type: application/x-ndjson\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            writer.write(head.encode() + content)
            response = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", response)
            assert response.startswith(b"HTTP/1.1 201"), response
            assert length is not None
            await reader.readexactly(int(length[1]))
        writer.close()

    await asyncio.gather(*(producer(number) for number in range(CONNECTIONS)))


def ingest(keys: int) -> tuple[float, float]:
    """Results per second, and per CPU second of the service."""
    bodies = [body(number * BATCH, BATCH, keys) for number in range(24)]
    with service_alone() as service:
        run = new_run(service.client())
        began, cpu = time.perf_counter(), cpu_seconds(service)
        asyncio.run(post_all(service.port, run, bodies, REQUESTS))
        return TOTAL / (time.perf_counter() - began), TOTAL / (cpu_seconds(service) - cpu)


def load(service: Service, count: int, keys: int) -> str:
    """A run with so many results."""
    client = service.client(timeout=60)
    run = new_run(client)
    headers = {"Content-Type": "application/x-ndjson"}
    for first in range(0, count, 20_000):
        content = body(first, min(20_000, count - first), keys)
        client.post(f"/runs/{run}/results", content=content, headers=headers).raise_for_status()
    return run


def milliseconds(client: httpx.Client, run: str, keys: list[str]) -> float:
    """The median time of a request for the curves of some keys."""
    times = []
    for _ in range(READS):
        began = time.perf_counter()
        client.get(f"/runs/{run}/curves", params={"key": keys}).raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def curves() -> Figures:
    with service_alone() as service:
        client = service.client(timeout=60)
        key = ["train/metric_0000"]
        short = milliseconds(client, load(service, SHORT, 1), key)
        long = milliseconds(client, load(service, LONG, 1), key)
        many = [f"train/metric_{number:04d}" for number in range(KEYS)]
        together = milliseconds(client, load(service, KEYS * STEPS, KEYS), many)
    return {
        f"curve of {SHORT:,} points, ms": short,
        f"curve of {LONG:,} points, ms": long,
        "the long one over the short one": long / short,
        f"{KEYS} curves of {STEPS:,} points each, ms": together,
    }


def measure() -> Figures:
    figures: Figures = {}
    for keys in WIDTHS:
        wall, cpu = ingest(keys)
        figures[f"{keys} keys, results/s"] = wall
        figures[f"{keys} keys, results per CPU second"] = cpu
    return figures | curves()


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
