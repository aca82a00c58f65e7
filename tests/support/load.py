"""Producers and readers that record what they were told, to compare it after a fault."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import httpx

from . import plain, postgres
from .cluster import Cluster, Reader, deliver, finish
from .patience import PATIENCE
from .service import Service, lines_in, new_run

LEVELS = ("debug", "info", "warn", "error")
KEYS = ("loss", "accuracy", "words")

Item = dict[str, Any]


class LoadProducer:
    """Posts batches of lines and results, each with a key of its own until it is acknowledged.

    Now and then it does not wait for the response and posts the batch again, perhaps to another node.
    One that is not `keyed` posts each batch once: the service itself repeats a flush that fails.
    """

    def __init__(
        self, cluster: Cluster, run: str, name: str, chance: Random, size: int = 0, keyed: bool = True
    ) -> None:
        self.run_id = run
        self.name = name
        self.acknowledged: list[Item] = []
        self.numbers: list[int] = []
        self.requests = 0
        self._more = "x" * size
        self._cluster = cluster
        self._chance = chance
        self._keyed = keyed

    async def run(self, done: asyncio.Event) -> None:
        async with plain.async_client() as client:
            while not done.is_set():
                await self._deliver(client)
                await asyncio.sleep(self._chance.uniform(0, 0.02))

    async def _deliver(self, client: httpx.AsyncClient) -> None:
        first = len(self.acknowledged)
        items = [self._item(first + at) for at in range(self._chance.randint(1, 9))]
        body = "\n".join(map(json.dumps, items))
        key = f"{self.name}-{first}" if self._keyed else None
        path = f"/runs/{self.run_id}/events"

        def attempt() -> tuple[str, float]:
            self.requests += 1
            impatient = self._keyed and self._chance.random() < 0.05
            return self._cluster.any(self._chance) + path, 0.03 if impatient else PATIENCE

        receipt = await deliver(client, attempt, body, key)
        assert receipt["accepted"] == len(items)
        self.acknowledged += items
        self.numbers.append(number_of(receipt["last_event_id"]))

    def _item(self, number: int) -> Item:
        chance = self._chance
        if chance.random() < 0.7:
            return {
                "type": "run_log",
                "level": chance.choice(LEVELS),
                "message": f"{self.name} {number}{self._more}",
            }
        value = chance.choice(
            [chance.uniform(-9, 9), number, "NaN", "-Infinity", f"{self.name} {number}"]
        )
        step = chance.choice([None, number, chance.randint(0, 99)])
        return {"type": "run_result", "key": chance.choice(KEYS), "value": value, "step": step}


class RecordingReader(Reader):
    """A reader that may leave in the middle of a stream, and continues with its cursor."""

    def __init__(self, cluster: Cluster, query: str, chance: Random, leaves: float = 0.0) -> None:
        super().__init__(cluster, query, chance=chance)
        self.leaves = leaves
        self._newest = 0

    def stays(self) -> bool:
        """Raises `AssertionError` for an event that came before, or a gap."""
        id, data = self.events[-1]
        if data.get("type") != "run_progress":
            assert number_of(id) > self._newest, f"{data} after event {self._newest}"
            self._newest = number_of(id)
        return self.chance.random() >= self.leaves

    def entries(self, run: str) -> tuple[list[Item], list[Item]]:
        """The lines and the results of a run, in the order of arrival."""
        own = [data for _, data in self.events if data.get("run_id") == run]
        return [line for data in own for line in lines_in(data)], [
            result for data in own for result in results_in(data)
        ]

    def check(self) -> None:
        """Numbers grow, nothing was left out, and the final event of a run is its last one."""
        assert all("reason" not in data for _, data in self.events), "a gap"
        assert self.numbers == sorted(set(self.numbers)), self.path
        ended = set()
        for _, data in self.events:
            run = data.get("run_id") or data.get("run", {}).get("id")
            assert run not in ended, data
            if data["type"] == "run_completed":
                ended.add(run)


class Load:
    """Producers and readers of some runs on a cluster, which may have one node on SQLite.

    `check` compares what was acknowledged, what is stored, and what every reader received.
    """

    def __init__(
        self,
        cluster: Cluster,
        chance: Random,
        runs: int = 2,
        readers: int = 3,
        size: int = 0,
        patience: float = PATIENCE,
        killed: bool = False,
    ) -> None:
        """`size` characters are added to each message. What takes `patience` seconds has failed.

        Unless nodes are `killed`, some producers send no keys.
        """
        self.cluster = cluster
        self.runs = [new_run(cluster.nodes[0].client()) for _ in range(runs)]
        self.producers = [
            LoadProducer(cluster, run, f"{run}.{name}", Random(chance.random()), size, keyed)
            for run in self.runs
            for name, keyed in [("a", True), ("b", True), ("c", False)][: 2 if killed else 3]
        ]
        topics = [f"topic=experiments:run:{run}" for run in self.runs]
        self.endless = self._readers("&".join(topics), chance, 2)
        self.readers = self.endless + [
            reader for topic in topics for reader in self._readers(topic, chance, readers)
        ]
        self._patience = patience
        self._done = asyncio.Event()
        self._producing: list[asyncio.Task[None]] = []
        self._reading: dict[Reader, asyncio.Task[None]] = {}

    def _readers(self, query: str, chance: Random, count: int) -> list[RecordingReader]:
        """One stays connected, the others leave again and again."""
        return [
            RecordingReader(self.cluster, query, Random(chance.random()), 0.05 if at else 0.0)
            for at in range(count)
        ]

    def begin(self) -> None:
        self._producing = [asyncio.create_task(one.run(self._done)) for one in self.producers]
        self._reading = {one: asyncio.create_task(one.run()) for one in self.readers}

    async def more(self, count: int) -> None:
        """Wait for so many further acknowledgements, and for what a reader receives after them."""
        goal = self.acknowledgements + count
        await self.until(lambda: self.acknowledgements >= goal)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition. Raises what a producer or a reader raised."""
        deadline = time.monotonic() + self._patience
        while not condition():
            for task in [*self._producing, *self._reading.values()]:
                if task.done():
                    task.result()
            assert time.monotonic() < deadline, "waited in vain"
            await asyncio.sleep(0.01)

    @property
    def acknowledgements(self) -> int:
        return sum(len(producer.numbers) for producer in self.producers)

    @property
    def newest(self) -> int:
        """The largest number that a producer or a reader was told."""
        told = [producer.numbers[-1] for producer in self.producers if producer.numbers]
        shown = [number_of(one.last_id) for one in self.readers if "-" in one.last_id]
        return max(told + shown, default=0)

    async def end(self) -> None:
        """Have the producers and the runs end, and every reader receive the rest."""
        self._done.set()
        async with asyncio.timeout(self._patience):
            await asyncio.gather(*self._producing)
            await finish(self.cluster, self.runs)
            await asyncio.gather(
                *(task for reader, task in self._reading.items() if reader not in self.endless)
            )
        finals = len(self.runs)
        await self.until(lambda: all(one.count("run_completed") == finals for one in self.endless))
        await self.cancel()

    async def cancel(self) -> None:
        tasks = [*self._producing, *self._reading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def check(self) -> None:
        for reader in self.readers:
            reader.check()
        with plain.client(base_url=self.cluster.nodes[0].url) as client:
            for run in self.runs:
                self._check_run(client, run)

    def _check_run(self, client: httpx.Client, run: str) -> None:
        logs, results = entries_of(client, run, "logs"), entries_of(client, run, "results")
        for entries in (logs, results):
            assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
        producers = [producer for producer in self.producers if producer.run_id == run]
        self._check_acknowledged(producers, logs, results)
        for reader in self.readers:
            if run in reader.path:
                assert reader.entries(run) == (logs, results), f"{reader.path} differs"
        detail = client.get(f"/runs/{run}").raise_for_status().json()
        assert (detail["log_count"], detail["result_count"]) == (len(logs), len(results))
        levels = Counter(entry["level"] for entry in logs)
        assert detail["level_counts"] == {level: levels[level] for level in LEVELS}
        metrics = client.get(f"/runs/{run}/metrics").raise_for_status().json()["metrics"]
        assert metrics == metrics_of(results)

    def _check_acknowledged(
        self, producers: list[LoadProducer], logs: list[Item], results: list[Item]
    ) -> None:
        """What was acknowledged is all that is stored, once, and in the order of each producer."""
        assert len(logs) + len(results) == sum(len(one.acknowledged) for one in producers)
        told: list[Item] = []
        for one in producers:
            assert one.numbers == sorted(set(one.numbers))
            own = [log for log in logs if log["message"].startswith(f"{one.name} ")]
            sent = [item for item in one.acknowledged if item["type"] == "run_log"]
            assert [(log["level"], log["message"]) for log in own] == [
                (item["level"], item["message"]) for item in sent
            ]
            told += [item for item in one.acknowledged if item["type"] == "run_result"]
        assert Counter(map(_shown, results)) == Counter(map(_shown, told))
        numbers = {number for one in producers for number in one.numbers}
        found = rows(
            self.cluster.nodes[0], f"SELECT n FROM events WHERE run_id = '{producers[0].run_id}'"
        )
        assert numbers <= {n for (n,) in found}


@contextlib.asynccontextmanager
async def under_load(cluster: Cluster, chance: Random, **shape: Any) -> AsyncIterator[Load]:
    """Post and read during the block, which brings the faults; then check everything.

    `shape` is what `Load` takes.
    """
    load = Load(cluster, chance, **shape)
    load.begin()
    try:
        await load.more(5)
        yield load
        await load.more(5)
        await load.end()
        await asyncio.to_thread(load.check)
    finally:
        await load.cancel()


def number_of(cursor: str) -> int:
    return int(cursor.rpartition("-")[2])


def results_in(event: dict[str, Any]) -> list[Item]:
    """The results an event's data brings."""
    if event["type"] == "run_result":
        return [event["result"]]
    return list(event["results"]) if event["type"] == "run_results" else []


def entries_of(client: httpx.Client, run: str, what: str) -> list[Item]:
    """All stored `logs` or `results` of a run."""
    entries: list[Item] = []
    path: str | None = f"/runs/{run}/{what}?limit=10000"
    while path:
        page = client.get(path).raise_for_status().json()
        entries += page[what]
        path = page["next"]
    return entries


def metrics_of(results: list[Item]) -> list[Item]:
    """What `docs/protocol.md` says a run's metrics are, from its results."""
    metrics = []
    for key in sorted({result["key"] for result in results}):
        own = [result for result in results if result["key"] == key]
        points: list[tuple[Any, Any]] = []
        for result in own:
            value = result["value"]
            if isinstance(value, int | float) or value in ("NaN", "Infinity", "-Infinity"):
                step = len(points) if result["step"] is None else result["step"]
                points.append((step, value))
        finite = [point for point in points if math.isfinite(float(point[1]))]
        # the first of several equal ones
        least = min(finite, key=lambda point: point[1], default=(None, None))
        greatest = max(finite, key=lambda point: point[1], default=(None, None))
        metrics.append(
            {
                "key": key,
                "count": len(own),
                "points": len(points),
                "first_step": points[0][0] if points else None,
                "last_step": points[-1][0] if points else None,
                "last": points[-1][1] if points else None,
                "least": least[1],
                "least_step": least[0],
                "greatest": greatest[1],
                "greatest_step": greatest[0],
            }
        )
    return metrics


def rows(node: Service, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a SELECT, by a connection of the test's own to the database of a node."""
    if url := node.settings.get("database_url"):
        server, _, name = str(url).rpartition("/")
        return postgres.run_sql(sql, name, server)
    with contextlib.closing(sqlite3.connect(node.database, timeout=PATIENCE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return database.execute(sql).fetchall()


def _shown(result: Item) -> str:
    return json.dumps([result["key"], result["value"], result["step"]])
