"""PostgreSQL that restarts under two nodes: producers and readers wait, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from random import Random

import pytest

from ..support import postgres
from ..support.cluster import Cluster
from ..support.follower import wait_until
from ..support.load import under_load
from .schedule import rounds

pytestmark = pytest.mark.anyio


@pytest.mark.long
async def test_a_database_that_goes_and_comes_back_costs_time_and_no_line(
    server: postgres.Server, tmp_path: Path, chance: Random
) -> None:
    told = set()
    cluster = Cluster.on(tmp_path, f"{server.url}/postgres", 2)
    with contextlib.closing(cluster):
        cluster.start()
        async with under_load(cluster, chance) as load:
            ways = [False, True] * rounds(2, 20)
            for crash in chance.sample(ways, len(ways)):
                await load.more(chance.randint(1, 20))
                # any moment of a flush
                await asyncio.sleep(chance.uniform(0, 0.1))
                await asyncio.to_thread(server.stop, crash)
                if chance.random() < 0.5:
                    for node in cluster.nodes:
                        await asyncio.to_thread(wait_until, node.trouble, "a complaint")
                        told.add(str(node.trouble()))
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(cluster.await_all_ready)
        assert all("can't be" in words for words in told)
        assert "Traceback" not in cluster.output()
