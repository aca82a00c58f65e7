"""Several processes on one PostgreSQL database: any of them serves everybody, and may be killed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support import postgres
from ..support.cluster import NODES, Cluster, Reader, check, finish, produce, reading, until
from ..support.follower import Follower, wait_until
from ..support.load import under_load
from ..support.service import Service, metric, new_run

pytestmark = pytest.mark.anyio


@pytest.fixture
def cluster(tmp_path: Path, database: str) -> Iterator[Cluster]:
    cluster = Cluster.on(tmp_path, database)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.mark.long
async def test_300_subscribers_of_three_nodes_see_the_same_sequence(cluster: Cluster) -> None:
    runs = [new_run(cluster.nodes[number % NODES].client()) for number in range(4)]
    queries = [f"topic=experiments:run:{run}" for run in runs]
    readers = [
        Reader(cluster, queries[number % 4], cluster.nodes[number // 4 % NODES]) for number in range(300)
    ]
    async with reading(readers):
        names = [f"p{number}" for number in range(10)]
        counts = await asyncio.gather(
            *(produce(cluster, runs[at % 4], name, iter(range(25))) for at, name in enumerate(names))
        )
        sent: dict[str, dict[str, int]] = {run: {} for run in runs}
        for at, (name, count) in enumerate(zip(names, counts, strict=True)):
            sent[runs[at % 4]][name] = count
        await finish(cluster, runs)
    check(readers, runs, sent)
    assert "ERROR" not in cluster.said()
    assert "Traceback" not in cluster.said()


@pytest.mark.parametrize("which", ["all connections", "the listening one"])
async def test_connections_that_are_cut_cost_time_and_no_line(
    which: str, cluster: Cluster, database: str
) -> None:
    name = database.rpartition("/")[2]
    listening = "AND query LIKE '%pg_notify(''athanor'', notice)%' " if which != "all connections" else ""
    sql = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND application_name = 'athanor' {listening}"
    )
    cuts = 0
    async with under_load(cluster, random.Random()):
        for _ in range(8):
            await asyncio.sleep(0.5)
            ((count,),) = await asyncio.to_thread(postgres.run_sql, sql)
            cuts += count
    assert cuts >= 4
    cluster.await_all_ready()


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


async def test_the_topic_of_an_instance_has_progress_of_runs_on_every_node(cluster: Cluster) -> None:
    first, second = (node.client() for node in cluster.nodes[:2])
    run = new_run(first)
    instance = first.get(f"/runs/{run}").json()["instance_id"]

    def current_of(reader: Reader) -> list[int]:
        return [data["current"] for _, data in reader.events if data["type"] == "run_progress"]

    # the second node learns of the run from this message, or from the run's events
    query = f"topic=experiments:instance:{instance}&types=run_progress,run_completed"
    live, late = (Reader(cluster, query, cluster.nodes[1]) for _ in range(2))
    ended = Reader(cluster, query, cluster.nodes[0])
    async with reading([live]):
        for current in range(1, 4):
            first.post(f"/runs/{run}/progress", json={"current": current, "total": 3}).raise_for_status()
        await until(lambda: current_of(live)[-1:] == [3])
        async with reading([late]):
            await until(lambda: current_of(late) == [3])
            second.post(f"/runs/{run}/complete").raise_for_status()
            await until(lambda: live.events[-1][1]["type"] == "run_completed")
            async with reading([ended]):
                await until(lambda: bool(ended.events))
                first.delete(f"/instances/{instance}").raise_for_status()
    assert [data["type"] for _, data in ended.events] == ["run_completed"]


def test_a_node_reads_only_what_its_subscribers_want(cluster: Cluster) -> None:
    first, second, third = cluster.nodes
    run = new_run(first.client())
    follower = Follower(second.url, f"/events/experiments:run:{run}", "0")
    follower.start()
    wait_until(lambda: follower.events, "the beginning")
    for _ in range(10):
        body = [{"message": "x"}] * 50
        newest = first.client().post(f"/runs/{run}/logs", json=body).json()["last_event_id"]
    first.client().post(f"/runs/{run}/complete").raise_for_status()
    follower.finish()
    assert follower.seqs == list(range(1, 501))
    number = int(newest.split("-")[1])
    wait_until(lambda: metric(third, "athanor_newest_event") > number, "the third to come up")
    assert metric(second, "athanor_relay_events_total") >= 500
    # an instance, and a run's life
    assert metric(third, "athanor_relay_events_total") == 4


def test_a_node_that_comes_later_has_every_runs_bar(cluster: Cluster) -> None:
    first, second = cluster.nodes[:2]
    run = new_run(first.client())
    second.kill()
    first.client().post(f"/runs/{run}/progress", json={"current": 3, "total": 4}).raise_for_status()
    second.start()

    def known() -> Any:
        return (second.client().get(f"/runs/{run}").json()["progress"] or {}).get("current")

    wait_until(lambda: known() == 3, "the bar")


async def test_stale_and_overdue_are_judged_by_what_any_node_heard(tmp_path: Path, database: str) -> None:
    cluster = Cluster.on(tmp_path, database, 2, stale_after=2, cancel_timeout=2, keepalive=1)
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
