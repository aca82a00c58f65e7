"""Changes and deletions of runs, made at one node and seen at another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.cluster import Cluster
from ..support.follower import Follower, wait_until
from ..support.service import new_run


@pytest.fixture
def cluster(tmp_path: Path, database: str) -> Iterator[Cluster]:
    cluster = Cluster.on(tmp_path, database, 2)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


def types(follower: Follower, run: str) -> list[str]:
    return [
        data["type"]
        for _, data in follower.events
        if run in (data.get("run_id"), data.get("run", {}).get("id"))
    ]


def test_every_node_shows_changes_and_deletions_on_the_same_topics(cluster: Cluster) -> None:
    here, there = cluster.nodes
    client, other = here.client(), there.client()
    run, second = new_run(client), new_run(client)
    followers = []
    for node in cluster.nodes:
        for path in (
            "/events/experiments:runs?last_event_id=0",
            f"/events?topic=experiments:run:{run}&topic=experiments:run:{second}&last_event_id=0",
        ):
            followers.append(Follower(node.url, path))
            followers[-1].start()
    bars = [{"current": 1, "total": 2, "message": "m" * 1000}, {"current": 3, "total": 4, "message": "x"}]
    client.put(f"/runs/{run}/progress", json={**bars[0], "bars": bars * 8}).raise_for_status()
    wait_until(lambda: other.get(f"/runs/{run}").json()["progress"], "the progress at the other node")
    assert other.get(f"/runs/{run}").json()["progress"]["current"] == 1
    other.patch(f"/runs/{run}", json={"name": "of the other node"}).raise_for_status()
    client.post(f"/runs/{run}/complete").raise_for_status()
    other.patch(f"/runs/{run}", json={"notes": "after the end"}).raise_for_status()
    client.post(f"/runs/{second}/fail").raise_for_status()
    life = ["run_created", "run_started", "run_updated", "run_completed"]

    def stored(follower: Follower) -> list[str]:
        return [kind for kind in types(follower, run) if kind != "run_progress"]

    # the deletion deletes the events before it, also for readers that have not received them yet
    for follower in followers:
        wait_until(lambda: "run_completed" in stored(follower), "the end")  # noqa: B023
        if "experiments:runs" in follower.path:
            wait_until(lambda: stored(follower)[-1] == "run_updated", "the change after it")  # noqa: B023
    other.delete(f"/runs/{run}").raise_for_status()
    for follower in followers:
        of_runs = "experiments:runs" in follower.path
        expected = [*life, "run_updated", "run_deleted"] if of_runs else life
        wait_until(lambda: stored(follower) == expected, "all events")  # noqa: B023
        # what follows the other run's end has arrived too, in one order everywhere
        wait_until(lambda: "run_failed" in types(follower, second), "the other run's end")  # noqa: B023
        assert stored(follower) == expected
        follower.stopped = True
    # progress repeats the id before it, and one node may show it twice
    ids = [
        [id for id, data in follower.events if data["type"] != "run_progress"] for follower in followers
    ]
    assert ids[0] == ids[2]
    assert ids[1] == ids[3]
    for node in cluster.nodes:
        wait_until(lambda: node.client().get(f"/runs/{run}").status_code == 404, "the deletion")  # noqa: B023
        refused = node.client().post(f"/runs/{run}/logs", json={"message": "x"})
        assert refused.status_code == 404
