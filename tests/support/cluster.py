"""Several nodes on one database, and producers and readers that use them during failures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from athanor.client.sse import SseDecoder

from . import network, plain, postgres
from .follower import wait_until
from .patience import PATIENCE
from .service import Service, lines_in

NODES = 3


class Cluster:
    """Some nodes on one database, each a process of its own."""

    def __init__(self, nodes: list[Service]) -> None:
        self.nodes = nodes

    @classmethod
    def on(cls, folder: Path, url: str, count: int = NODES, **settings: Any) -> Cluster:
        nodes = []
        for number in range(count):
            place = folder / f"node-{number}"
            place.mkdir()
            # the server's connections are limited, and tests run in parallel
            nodes.append(Service(place, database_url=url, readers=1, **settings))
        return cls(nodes)

    def start(self) -> None:
        """Start all at once, on an empty database, and wait until they answer."""
        processes = [node.spawn() for node in self.nodes]
        for node, process in zip(self.nodes, processes, strict=True):
            node.process = process
            node.await_ready()

    def await_all_ready(self) -> None:
        for node in self.nodes:
            wait_until(lambda: node.trouble() is None, "readiness")  # noqa: B023

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def any(self, chance: random.Random | None = None) -> str:
        """The URL of a random node."""
        return (chance or random.Random()).choice(self.nodes).url

    def output(self) -> str:
        """What all nodes have logged."""
        return "".join(node.log.read_text() for node in self.nodes)

    # the tests of nodes and outages use the old name
    said = output


@contextlib.contextmanager
def on_hosts(folder: Path, count: int = 2) -> Iterator[tuple[Cluster, list[network.Host]]]:
    """A node on each of `count` hosts, and their database on this one."""
    with (
        network.hosts(count) as hosts,
        postgres.new_server(tuple(host.opposite for host in hosts)) as server,
    ):
        nodes = []
        for host in hosts:
            place = folder / host.name
            place.mkdir()
            url = f"postgresql://postgres@{host.opposite}:{server.port}/postgres"
            nodes.append(Service(place, host.front, host.prefix, database_url=url, insecure=1))
        with contextlib.closing(Cluster(nodes)) as cluster:
            cluster.start()
            yield cluster, hosts


class Reader:
    """Follows topics on any node that answers, and reconnects with its cursor, until 204."""

    def __init__(
        self,
        cluster: Cluster,
        query: str,
        node: Service | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.cluster = cluster
        self.chance = chance or random.Random()
        self.path = f"/events?{query}"
        self.node = node
        self.last_id = "0"
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.connections = 0
        self.ended = False

    async def run(self) -> None:
        async with plain.async_client(timeout=httpx.Timeout(10, read=60)) as client:
            while not self.ended:
                url = self.node.url if self.node else self.cluster.any(self.chance)
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
            async for chunk in response.aiter_bytes():
                for event in decoder.feed(chunk):
                    self.last_id = event.id or self.last_id
                    self.events.append((event.id, json.loads(event.data)))
                    if not self.stays():
                        return

    def stays(self) -> bool:
        """Whether it reads on after this event; it comes back in any case."""
        return True

    def count(self, kind: str) -> int:
        """How many events of a type have come."""
        return sum(data.get("type") == kind for _, data in self.events)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the events that have one, in the order of their arrival."""
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


async def deliver(
    client: httpx.AsyncClient, attempt: Callable[[], tuple[str, float]], body: str, key: str | None
) -> dict[str, Any]:
    """Post NDJSON until it is acknowledged; without a key, only again if it was refused.

    `attempt` gives the URL and the seconds to wait for a response. Returns the acknowledgement.
    """
    headers = {"Content-Type": "application/x-ndjson"} | ({"Idempotency-Key": key} if key else {})
    while True:
        url, timeout = attempt()
        try:
            response = await client.post(url, content=body, headers=headers, timeout=timeout)
        except httpx.TransportError:
            if key is None:
                raise
            await asyncio.sleep(0.02)
            continue
        if response.status_code == 503:
            await asyncio.sleep(0.05)
            continue
        assert response.status_code == 201, response.text
        return dict(response.json())


async def produce(cluster: Cluster, run: str, name: str, batches: Iterator[int]) -> int:
    """Post small batches, each with its key to any node until one acknowledges it; counts lines."""
    sent = 0
    async with plain.async_client() as client:
        for _ in batches:
            count = random.randint(1, 9)
            body = "\n".join(json.dumps({"message": f"{name} {sent + n}"}) for n in range(count))
            await deliver(
                client, lambda: (f"{cluster.any()}/runs/{run}/logs", 10), body, uuid.uuid4().hex
            )
            sent += count
            await asyncio.sleep(random.uniform(0, 0.02))
    return sent


def expected(sent: dict[str, int]) -> set[str]:
    return {f"{name} {number}" for name, count in sent.items() for number in range(count)}


def check(readers: list[Reader], runs: list[str], sent: dict[str, dict[str, int]]) -> None:
    """Every line once, `seq` without gaps, each producer's in order, all readers the same."""
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
    """Run the readers during the block, and after it until their runs have ended."""
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        yield
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        # the condition changes in another process
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def finish(cluster: Cluster, runs: list[str]) -> None:
    async with plain.async_client(timeout=10) as client:
        for run in runs:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.post(f"{cluster.any()}/runs/{run}/complete")).status_code == 200:
                        break
                await asyncio.sleep(0.05)
