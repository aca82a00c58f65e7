"""PostgreSQL that goes away and comes back, and a network that does: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from ..support import network, postgres
from ..support.cluster import Cluster, on_hosts
from ..support.follower import wait_until
from ..support.load import under_load
from ..support.service import metric, new_run, running

pytestmark = pytest.mark.anyio

Need = Callable[[bool, str], None]


def test_a_node_that_is_idle_says_when_its_database_is_away(
    server: postgres.Server, tmp_path: Path
) -> None:
    cluster = Cluster.on(tmp_path, f"{server.url}/postgres", 1)
    with contextlib.closing(cluster):
        cluster.start()
        cluster.await_all_ready()
        server.stop()
        wait_until(cluster.nodes[0].trouble, "a complaint")
        server.start()
        cluster.await_all_ready()


def test_a_node_that_ends_without_its_database_answers_who_waits(
    server: postgres.Server, tmp_path: Path
) -> None:
    with running(tmp_path, database_url=f"{server.url}/postgres", shutdown_timeout=0.5) as node:
        run = new_run(node.client())
        server.stop()
        with ThreadPoolExecutor(3) as pool:
            posts = [
                pool.submit(node.client().post, f"/runs/{run}/logs", json={"message": "x"})
                for _ in range(3)
            ]
            wait_until(lambda: metric(node, "athanor_ring_lines") == 3, "the lines to be accepted")
            assert node.terminate() == 0
            answers = [post.result() for post in posts]
        server.start()
    assert [answer.status_code for answer in answers] == [503] * 3
    assert "ended before this could be written" in answers[0].json()["detail"]
    assert "3 entries could not be written" in node.log.read_text()
    assert "Traceback" not in node.log.read_text()


@pytest.fixture
def cluster_of_hosts(need: Need, tmp_path: Path) -> Iterator[tuple[Cluster, list[network.Host]]]:
    """A node each on two hosts, and the database on this one."""
    need(postgres.programs() is not None, "PostgreSQL to start a server of")
    need(network.is_possible(), "right to make network namespaces (root, and iproute2)")
    with on_hosts(tmp_path) as both:
        yield both


@pytest.mark.long
async def test_a_link_that_is_cut_for_ten_seconds_costs_time_and_no_line(
    cluster_of_hosts: tuple[Cluster, list[network.Host]],
) -> None:
    cluster, hosts = cluster_of_hosts

    async with under_load(cluster, Random()):
        hosts[0].cut()
        await asyncio.sleep(10)  # the ten seconds of the requirement
        assert cluster.nodes[0].trouble()
        await asyncio.to_thread(wait_until, lambda: not cluster.nodes[1].trouble(), "the other node", 10)
        hosts[0].mend()
        await asyncio.to_thread(cluster.await_all_ready)
