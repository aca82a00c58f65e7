"""Several processes on one PostgreSQL database: any of them serves everybody, and may be killed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from athanor.client.sse import SseDecoder

from . import postgres
from .follower import wait_until
from .service import Service, lines_in, new_run

pytestmark = pytest.mark.anyio

NODES = 3
SOAK = float(os.environ.get("ATHANOR_TEST_SOAK_SECONDS", "12"))
"""Seconds that nodes are killed for; the figure in the documents is of 120."""


class Cluster:
    """Some nodes on one database."""

    def __init__(self, folder: Path, url: str, count: int = NODES, **settings: Any) -> None:
        self.url = url
        self.nodes = []
        for number in range(count):
            place = folder / f"node-{number}"
            place.mkdir()
            self.nodes.append(Service(place, database_url=url, **settings))

    def start(self) -> None:
        """All at once, on a database that is empty."""
        processes = [node.spawn() for node in self.nodes]
        for node, process in zip(self.nodes, processes, strict=True):
            node.process = process
            node.await_ready()

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def any(self) -> str:
        return random.choice(self.nodes).url

    def said(self) -> str:
        return "".join(node.log.read_text() for node in self.nodes)


@pytest.fixture
def cluster(tmp_path: Path, database: str) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, database)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


class Reader:
    """Follows some topics on whichever node answers, coming back with its cursor, until told to stop."""

    def __init__(self, cluster: Cluster, query: str, node: Service | None = None) -> None:
        self.cluster = cluster
        self.path = f"/events?{query}"
        self.node = node
        self.last_id = "0"
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.connections = 0
        self.ended = False

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=httpx.Timeout(10, read=60)) as client:
            while not self.ended:
                url = self.node.url if self.node else self.cluster.any()
                with contextlib.suppress(httpx.TransportError):
                    await self._follow(client, url)
                await asyncio.sleep(0.05)

    async def _follow(self, client: httpx.AsyncClient, url: str) -> None:
        headers = {"Last-Event-ID": self.last_id}
        async with client.stream("GET", url + self.path, headers=headers) as response:
            if response.status_code == 204:
                self.ended = True
            if response.status_code != 200:
                return
            self.connections += 1
            decoder = SseDecoder()
            async for piece in response.aiter_bytes():
                for event in decoder.feed(piece):
                    self.last_id = event.id or self.last_id
                    self.events.append((event.id, json.loads(event.data)))

    @property
    def numbers(self) -> list[int]:
        """Of the events that have one, in the order they came."""
        return [int(id.split("-")[1]) for id, data in self.events if data["type"] != "run_progress"]

    def messages(self, run: str) -> list[str]:
        return [
            line["message"]
            for _, data in self.events
            if data.get("run_id") == run
            for line in lines_in(data)
        ]

    def seqs(self, run: str) -> list[int]:
        return [
            line["seq"] for _, data in self.events if data.get("run_id") == run for line in lines_in(data)
        ]


async def produce(cluster: Cluster, run: str, name: str, batches: Iterator[int]) -> int:
    """Lines in small batches, each under its key to whichever node answers until one acknowledges it."""
    sent = 0
    async with httpx.AsyncClient(timeout=10) as client:
        for _ in batches:
            count = random.randint(1, 9)
            body = "\n".join(json.dumps({"message": f"{name} {sent + n}"}) for n in range(count))
            headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": uuid.uuid4().hex}
            while True:
                try:
                    answer = await client.post(
                        f"{cluster.any()}/runs/{run}/logs", content=body, headers=headers
                    )
                except httpx.TransportError:
                    await asyncio.sleep(0.02)
                    continue
                if answer.status_code == 503:
                    await asyncio.sleep(0.05)
                    continue
                assert answer.status_code == 201, answer.text
                break
            sent += count
            await asyncio.sleep(random.uniform(0, 0.02))
    return sent


def expected(sent: dict[str, int]) -> set[str]:
    return {f"{name} {number}" for name, count in sent.items() for number in range(count)}


def check(readers: list[Reader], runs: list[str], sent: dict[str, dict[str, int]]) -> None:
    """Every line once, `seq` without holes, each producer's own in order, and the same for everybody."""
    for reader in readers:
        assert reader.numbers == sorted(set(reader.numbers))
        for run in runs:
            if run in reader.path:
                assert reader.seqs(run) == list(range(1, sum(sent[run].values()) + 1))
                messages = reader.messages(run)
                assert set(messages) == expected(sent[run])
                for name, count in sent[run].items():
                    own = [text for text in messages if text.startswith(f"{name} ")]
                    assert own == [f"{name} {number}" for number in range(count)]
    for path in {reader.path for reader in readers}:
        same = [reader for reader in readers if reader.path == path]
        lines = [[reader.messages(run) for run in runs] for reader in same]
        assert all(one == lines[0] for one in lines)


@contextlib.asynccontextmanager
async def reading(readers: list[Reader]) -> AsyncIterator[None]:
    """The readers run until all that was written has come, and the runs have ended."""
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        yield
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


async def finish(cluster: Cluster, runs: list[str]) -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        for run in runs:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.post(f"{cluster.any()}/runs/{run}/complete")).status_code == 200:
                        break
                await asyncio.sleep(0.05)


async def test_300_subscribers_of_three_nodes_see_the_same_sequence(cluster: Cluster) -> None:
    runs = [new_run(cluster.nodes[number % NODES].client()) for number in range(4)]
    queries = [f"topic=experiments:run:{run}" for run in runs]
    readers = [
        Reader(cluster, queries[number % 4], cluster.nodes[number // 4 % NODES]) for number in range(300)
    ]
    async with reading(readers):
        names = [f"p{number}" for number in range(10)]
        counts = await asyncio.gather(
            *(produce(cluster, runs[at % 4], name, iter(range(40))) for at, name in enumerate(names))
        )
        sent: dict[str, dict[str, int]] = {run: {} for run in runs}
        for at, (name, count) in enumerate(zip(names, counts, strict=True)):
            sent[runs[at % 4]][name] = count
        await finish(cluster, runs)
    check(readers, runs, sent)
    assert "ERROR" not in cluster.said()
    assert "Traceback" not in cluster.said()


async def under_load(cluster: Cluster, trouble: Callable[[], Any]) -> list[Reader]:
    """What comes while `trouble`, a coroutine's maker, has its way; checked to be all, and once."""
    runs = [new_run(cluster.nodes[0].client()) for _ in range(2)]
    queries = [
        *(f"topic=experiments:run:{run}" for run in runs),
        "&".join(f"topic=experiments:run:{run}" for run in runs),
    ]
    readers = [Reader(cluster, query) for query in queries for _ in range(4)]
    done = asyncio.Event()
    ends = [reader for reader in readers if reader.path.count("topic=") == 1]
    endless = [reader for reader in readers if reader not in ends]
    tasks = [asyncio.create_task(reader.run()) for reader in endless]
    try:
        async with reading(ends):
            endless_batches = itertools.takewhile(lambda _: not done.is_set(), itertools.count())
            producers = {
                (run, f"p{number}"): asyncio.create_task(
                    produce(cluster, run, f"p{number}", endless_batches)
                )
                for number in range(2)
                for run in runs
            }
            await trouble()
            done.set()
            sent: dict[str, dict[str, int]] = {run: {} for run in runs}
            for (run, name), producer in producers.items():
                sent[run][name] = await producer
            await finish(cluster, runs)
        total = sum(sum(counts.values()) for counts in sent.values())
        await until(lambda: all(sum(len(one.seqs(run)) for run in runs) >= total for one in endless))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    check(readers, runs, sent)
    assert total > 50
    return readers


async def test_nodes_that_are_killed_again_and_again_lose_and_double_nothing(cluster: Cluster) -> None:
    kills = 0

    async def trouble() -> None:
        nonlocal kills
        loop = asyncio.get_running_loop()
        end = loop.time() + SOAK
        while loop.time() < end:
            node = random.choice(cluster.nodes)
            node.kill()
            kills += 1
            await asyncio.sleep(random.uniform(0, 0.3))
            await asyncio.to_thread(node.start)

    readers = await under_load(cluster, trouble)
    assert kills >= SOAK / 3
    assert any(reader.connections > 1 for reader in readers)


@pytest.mark.parametrize("which", ["all connections", "the listening one"])
async def test_connections_that_are_cut_cost_time_and_no_line(which: str, cluster: Cluster) -> None:
    name = cluster.url.rpartition("/")[2]
    listening = "AND query LIKE '%pg_notify(''athanor'', notice)%' " if which != "all connections" else ""
    cuts = 0

    async def trouble() -> None:
        nonlocal cuts
        for _ in range(8):
            await asyncio.sleep(0.5)
            sql = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                f"WHERE datname = '{name}' AND application_name = 'athanor' {listening}"
            )
            ((count,),) = await asyncio.to_thread(postgres.run_sql, sql)
            cuts += count

    await under_load(cluster, trouble)
    assert cuts >= 4
    for node in cluster.nodes:
        wait_until(lambda: httpx.get(f"{node.url}/readyz").status_code == 200, "ready")  # noqa: B023


async def test_progress_cancel_and_signs_of_life_are_known_on_every_node(cluster: Cluster) -> None:
    clients = [node.client() for node in cluster.nodes]
    run = new_run(clients[0])
    reader = Reader(cluster, f"topic=experiments:run:{run}", cluster.nodes[2])
    async with reading([reader]):
        await until(lambda: bool(reader.events))
        for current in range(1, 4):
            clients[1].post(f"/runs/{run}/progress", json={"current": current, "total": 3})
        await until(lambda: any(data.get("current") == 3 for _, data in reader.events))
        wait_until(
            lambda: (clients[0].get(f"/runs/{run}").json()["progress"] or {}).get("current") == 3, "it"
        )
        assert clients[0].post(f"/runs/{run}/cancel").status_code == 200
        answer = clients[1].post(f"/runs/{run}/logs", json={"message": "last words"})
        assert answer.json()["cancel_requested"] is True
        assert clients[2].post(f"/runs/{run}/cancelled").status_code == 200
    kinds = [data["type"] for _, data in reader.events if data["type"] != "run_progress"]
    assert kinds == ["run_created", "run_started", "run_cancel_requested", "run_log", "run_cancelled"]
    # the same key, on another node
    other = new_run(clients[0])
    headers = {"Idempotency-Key": "k"}
    receipts = [
        client.post(f"/runs/{other}/logs", json={"message": "once"}, headers=headers)
        for client in clients
    ]
    assert len({receipt.json()["last_event_id"] for receipt in receipts}) == 1
    assert clients[1].get(f"/runs/{other}").json()["log_count"] == 1


async def test_stale_and_overdue_are_judged_by_what_any_node_heard(tmp_path: Path, database: str) -> None:
    cluster = Cluster(tmp_path, database, 2, stale_after=2, cancel_timeout=2, keepalive=1)
    try:
        cluster.start()
        first, second = (node.client() for node in cluster.nodes)
        run = new_run(first)
        silent = new_run(first)
        for client, id in ((first, run), (second, silent)):
            client.post(f"/runs/{id}/cancel").raise_for_status()
        wait_until(
            lambda: (
                [
                    first.post(f"/runs/{run}/heartbeat").status_code,
                    second.get(f"/runs/{silent}").json()["status"],
                ]
                == [200, "cancelled"]
            ),
            "the silent one's end",
        )
        for _ in range(30):  # longer than it may be silent; only one node hears of it
            assert first.post(f"/runs/{run}/heartbeat").status_code == 200
            await asyncio.sleep(0.1)
        assert second.get(f"/runs/{run}").json()["status"] == "running"
        assert second.get(f"/runs/{run}").json()["stale"] is False
    finally:
        cluster.close()


def test_a_newer_database_is_refused_and_an_absent_server_named(tmp_path: Path, database: str) -> None:
    service = Service(tmp_path, database_url=database).start()
    service.terminate()
    name = database.rpartition("/")[2]
    postgres.run_sql("UPDATE meta SET value = '99' WHERE key = 'version'", name)
    with pytest.raises(AssertionError, match="made by a newer Athanor: it is of version 99"):
        service.start()
    elsewhere = Service(tmp_path, database_url="postgresql://postgres@127.0.0.1:1/nowhere")
    with pytest.raises(AssertionError, match="ATHANOR_DATABASE_URL names can't be used"):
        elsewhere.start()
