"""`kill -9` at random moments: nothing that a producer or a reader was told is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from random import Random

import pytest

from ..support.cluster import Cluster
from ..support.load import number_of, under_load
from ..support.service import Service
from .schedule import rounds

pytestmark = pytest.mark.anyio


@pytest.mark.long
async def test_kills_lose_and_duplicate_nothing(service: Service, chance: Random) -> None:
    kills = rounds(5, 100)
    async with under_load(Cluster([service]), chance, killed=True) as load:
        for _ in range(kills):
            await load.more(chance.randint(1, 25))
            # any moment of a flush
            await asyncio.sleep(chance.uniform(0, 0.1))
            service.kill()
            told = load.newest
            await asyncio.to_thread(service.start)
            stored = service.client().get("/instances").json()["last_event_id"]
            assert number_of(stored) >= told
    stay = [reader for reader in load.readers if not reader.leaves]
    assert all(reader.connections > kills / 2 for reader in stay)
    assert sum(one.requests for one in load.producers) > load.acknowledgements


@pytest.mark.long
async def test_nodes_that_are_killed_lose_and_duplicate_nothing(
    tmp_path: Path, database: str, chance: Random
) -> None:
    cluster = Cluster.on(tmp_path, database)
    with contextlib.closing(cluster):
        cluster.start()
        async with under_load(cluster, chance, killed=True) as load:
            for _ in range(rounds(5, 100)):
                node = chance.choice(cluster.nodes)
                node.kill()
                await asyncio.sleep(chance.uniform(0, 0.3))
                await asyncio.to_thread(node.start)
        assert any(reader.connections > 1 for reader in load.readers if not reader.leaves)
        assert sum(one.requests for one in load.producers) > load.acknowledgements
