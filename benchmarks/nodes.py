"""Several nodes on one PostgreSQL database: flushes, notifications, latency between nodes.

A flush here is the service's transaction without HTTP, and each node is a process that does nothing
else. The latency between nodes is measured over HTTP, at 1,000 lines per second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import re
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

import httpx

from athanor import Settings
from athanor.domain.commands import AppendEntries, ChangeStatus, CreateInstance, CreateRun
from athanor.protocol.entries import LogInput, encode_reports
from athanor.protocol.records import now
from athanor.store.store import Store
from tests.support.cluster import Cluster
from tests.support.postgres import new_database
from tests.support.service import new_run

from .harness import Figures, nodes, report
from .ingest import REQUESTS, TOTAL, message, post_all

NODES = (1, 2, 4, 8)
LINES = (1, 1000)
SECONDS = 3.0
NOTIFICATIONS = 300
POSTS, PAUSE, BATCH = 100, 0.1, 100


def flush_for(url: str, name: str, count: int, begin: float) -> int:
    """One node: the number of flushes of `count` lines in `SECONDS` after `begin`."""

    async def flush() -> int:
        store = Store(Settings(database_url=url))
        await store.open()
        await store.commit([CreateInstance(instance_id=name, fields={"name": name})], [])
        await store.commit([CreateRun(run_id=name, instance_id=name)], [])
        await store.commit([ChangeStatus(run_id=name, status="running")], [])
        lines, _ = encode_reports(
            [LogInput(message=message(number)) for number in range(count)], now(), 1000
        )
        await asyncio.sleep(begin - time.time())
        flushes = 0
        while time.time() < begin + SECONDS:
            await store.commit([AppendEntries(run_id=name, entries=lines)], [])
            flushes += 1
        await store.close()
        return flushes

    return asyncio.run(flush())


def flushes(writers: int, count: int) -> float:
    """Flushes per second of all nodes together."""
    context = multiprocessing.get_context("spawn")
    with new_database() as url, ProcessPoolExecutor(writers, mp_context=context) as pool:
        begin = time.time() + 1.5 + 0.5 * writers
        names = [f"node-{number}" for number in range(writers)]
        counts = pool.map(flush_for, [url] * writers, names, [count] * writers, [begin] * writers)
        return sum(counts) / SECONDS


def notifications() -> list[float]:
    """Milliseconds from a commit's return to its notification elsewhere; it may be earlier."""

    async def notify(url: str) -> list[float]:
        one, other = Store(Settings(database_url=url)), Store(Settings(database_url=url))
        received: asyncio.Queue[float] = asyncio.Queue()
        async with contextlib.AsyncExitStack() as stack:
            for store in (one, other):
                await store.open()
                stack.push_async_callback(store.close)
            await stack.enter_async_context(
                other.listening(lambda _: received.put_nowait(time.perf_counter()))
            )
            latencies = []
            for number in range(NOTIFICATIONS):
                change = CreateInstance(instance_id=f"i{number}", fields={"name": "x"})
                await one.commit([change], [])
                committed = time.perf_counter()
                latencies.append(1000 * (await received.get() - committed))
            return latencies

    with new_database() as url:
        return asyncio.run(notify(url))


def between_nodes() -> list[float]:
    """Milliseconds from a post at one node to the arrival of a line at another's subscriber."""

    async def follow(url: str, run: str, latencies: list[float]) -> None:
        async with (
            httpx.AsyncClient(timeout=60) as client,
            client.stream("GET", f"{url}/events/experiments:run:{run}") as response,
        ):
            async for piece in response.aiter_text():
                latencies += [
                    1000 * (time.time() - float(at)) for at in set(re.findall(r'"at (\d+\.\d+)', piece))
                ]

    async def post(url: str, run: str) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            due = time.monotonic()
            for _ in range(POSTS):
                line = json.dumps({"message": f"at {time.time():.6f} loss 0.1234 accuracy 0.9876"})
                headers = {"Content-Type": "application/x-ndjson"}
                body = "\n".join([line] * BATCH)
                (
                    await client.post(f"{url}/runs/{run}/logs", content=body, headers=headers)
                ).raise_for_status()
                due += PAUSE
                await asyncio.sleep(due - time.monotonic())
            await client.post(f"{url}/runs/{run}/complete")

    async def both(cluster: Cluster, run: str) -> list[float]:
        latencies: list[float] = []
        following = asyncio.ensure_future(follow(cluster.nodes[1].url, run, latencies))
        # the stream is open after this; otherwise the first lines are not measured
        await asyncio.sleep(0.5)
        await post(cluster.nodes[0].url, run)
        await following
        return latencies

    with nodes(2) as cluster:
        return asyncio.run(both(cluster, new_run(cluster.nodes[0].client())))


def ingest(count: int) -> float:
    """Lines acknowledged per second over HTTP by `count` nodes together."""

    async def all_nodes(cluster: Cluster, runs: list[str]) -> None:
        await asyncio.gather(*(post_all(node.port, runs, REQUESTS) for node in cluster.nodes))

    with nodes(count) as cluster:
        runs = [new_run(cluster.nodes[0].client()) for _ in range(8)]
        began = time.perf_counter()
        asyncio.run(all_nodes(cluster, runs))
        return count * TOTAL / (time.perf_counter() - began)


def measure() -> Figures:
    figures: Figures = {}
    for count in LINES:
        for writers in NODES:
            figures[f"flushes per second of {count} lines, {writers} nodes"] = flushes(writers, count)
    notified, delivered = notifications(), between_nodes()
    return figures | {
        "from a commit's return to its notification, median ms": statistics.median(notified),
        "… 99th percentile, ms": sorted(notified)[-max(1, len(notified) // 100)],
        "from a post to another node's subscriber, median ms": statistics.median(delivered),
        "… slowest, ms": max(delivered),
        "lines acknowledged per second, one node": ingest(1),
        "lines acknowledged per second, two nodes": ingest(2),
    }


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
