"""A mix of all that is harmless, for long: memory stays flat, and nothing is left over."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random

import httpx
import pytest

from ..support import plain
from ..support.cluster import Cluster
from ..support.follower import wait_until
from ..support.load import under_load
from ..support.service import ROOT, Service, metric, new_run, running
from .process import descriptors, memory, threads
from .schedule import rounds

pytestmark = pytest.mark.anyio

SECONDS = 10.0
"""Of a round, which begins with new runs and deletes the old ones."""
KEPT = 20_000
"""Entries that retention keeps: more than a round's checked runs have."""
SLACK = 32 << 20
"""Bytes by which the last third of the time may have more than the middle one, besides a tenth."""


class Visitors:
    """Clients that look at everything, report to a run that is too long, and change what runs are."""

    def __init__(self, service: Service, chance: Random) -> None:
        self._service = service
        self._chance = chance
        self._long = new_run(service.client())
        self.visits = 0

    async def come(self, runs: list[str]) -> None:
        """Until cancelled."""
        async with plain.async_client(base_url=self._service.url) as client:
            ways = (self._look, self._change, self._report_much, self._listen, self._search)
            while True:
                await self._chance.choice(ways)(client, self._chance.choice(runs))
                self.visits += 1
                await asyncio.sleep(self._chance.uniform(0, 0.05))

    async def _look(self, client: httpx.AsyncClient, run: str) -> None:
        path = self._chance.choice(
            [
                f"/runs/{run}",
                f"/runs/{run}/metrics",
                f"/runs/{run}/curves?key=loss&key=accuracy&points=100",
                f"/curves?run={run}&run={self._long}&key=loss",
                f"/runs/{run}/logs?limit=200&before=1000000000",
                f"/runs/{run}/results?limit=100",
                "/runs?summary=*",
                "/instances",
                "/metrics",
            ]
        )
        (await client.get(path)).raise_for_status()

    async def _search(self, client: httpx.AsyncClient, run: str) -> None:
        answer = await client.get(f"/runs/{self._chance.choice([run, self._long])}/logs?q=zzz&level=warn")
        assert answer.status_code in (200, 503), answer.text

    async def _change(self, client: httpx.AsyncClient, run: str) -> None:
        (await client.patch(f"/runs/{run}", json={"notes": str(self.visits)})).raise_for_status()
        progress = {"current": self.visits, "message": "soak"}
        (await client.post(f"/runs/{run}/progress", json=progress)).raise_for_status()
        (await client.post(f"/runs/{run}/heartbeat")).raise_for_status()

    async def _report_much(self, client: httpx.AsyncClient, run: str) -> None:
        lines = [{"message": f"line {at} of {self.visits}"} for at in range(500)]
        (await client.post(f"/runs/{self._long}/logs", json=lines)).raise_for_status()

    async def _listen(self, client: httpx.AsyncClient, run: str) -> None:
        """A few chunks of a stream, and gone."""
        query = self._chance.choice([f"topic=experiments:run:{run}", "topic=experiments:runs"])
        async with client.stream("GET", f"/events?{query}&tail=100") as response:
            left = self._chance.randint(1, 5)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    async for _ in response.aiter_bytes():
                        left -= 1
                        if not left:
                            return


@contextlib.asynccontextmanager
async def background(*works: Awaitable[None]) -> AsyncIterator[None]:
    """Run them during the block; raises what one of them raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def a_round(service: Service, chance: Random, visitors: list[Visitors], sizes: list[int]) -> None:
    """`SECONDS` of everything; then the runs are checked and deleted."""
    async with (
        under_load(Cluster([service]), chance) as load,
        background(*(visitor.come(load.runs) for visitor in visitors)),
    ):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            await load.more(1)
            sizes.append(memory(service))
            await asyncio.sleep(0.1)
    async with plain.async_client(base_url=service.url) as client:
        for run in load.runs:
            instance = (await client.get(f"/runs/{run}")).json()["instance_id"]
            path = chance.choice([f"/runs/{run}", f"/instances/{instance}"])
            assert (await client.delete(path)).status_code == 204


def tasks(service: Service) -> int:
    """The asyncio tasks of the service."""
    file = service.folder / "tasks"
    file.unlink(missing_ok=True)
    assert service.process is not None
    service.process.send_signal(signal.SIGUSR1)
    wait_until(file.exists, "the number of tasks")
    return int(file.read_text())


METRICS = ("athanor_subscribers", "athanor_ring_lines", "athanor_backlog_bytes")


def held(service: Service) -> dict[str, float]:
    """What the service holds, when it has noticed that its clients have gone: two equal readings."""
    kinds: dict[str, Callable[[Service], float]] = {
        "tasks": tasks,
        "descriptors": descriptors,
        "threads": threads,
        **{name: lambda service, name=name: metric(service, name) for name in METRICS},  # type: ignore[misc]
    }
    readings: list[dict[str, float]] = [{}]

    def settled() -> bool:
        readings.append({kind: look(service) for kind, look in kinds.items()})
        return readings[-1] == readings[-2]

    wait_until(settled, "two equal readings")
    return readings[-1]


def wait_until_left(service: Service, before: dict[str, float]) -> None:
    """Wait until the service without clients holds what it held before them."""
    now: dict[str, float] = {}

    def equal() -> bool:
        now.update(held(service))
        return now == before

    try:
        wait_until(equal, "what was left over")
    except AssertionError as error:
        raise AssertionError(f"{now} instead of {before}") from error


@pytest.mark.long
async def test_memory_stays_flat_and_nothing_is_left_over(tmp_path: Path, chance: Random) -> None:
    program = ROOT / "tests/faults/counted_app.py"
    with running(tmp_path, program=program, retention_rows=KEPT) as service:
        visitors = [Visitors(service, Random(chance.random())) for _ in range(3)]
        service.close_clients()
        sizes: list[int] = []
        before = held(service)
        for _ in range(rounds(1, 180)):
            await a_round(service, chance, visitors, sizes)
            service.close_clients()
            await asyncio.to_thread(wait_until_left, service, before)
        third = len(sizes) // 3
        middle, last = (statistics.median(sizes[at : at + third]) for at in (third, 2 * third))
        figures = f"{middle / 2**20:.0f} MiB, then {last / 2**20:.0f} MiB"
        assert last < middle * 1.1 + SLACK, figures
        assert all(visitor.visits > 10 for visitor in visitors)
        assert "Traceback" not in service.log.read_text()
        print(figures, sum(visitor.visits for visitor in visitors), "visits", before)
