"""`kill -9` under load: each acknowledged entry is stored once, and event numbers only grow."""

from __future__ import annotations

import os
import random

import pytest

from ..support.follower import Follower, wait_until
from ..support.producer import Producer
from ..support.service import Service, new_run

KILLS = int(os.environ.get("ATHANOR_TEST_KILLS", "8"))
PRODUCERS = 4


@pytest.mark.long
def test_kills_lose_and_duplicate_nothing(service: Service) -> None:
    run = new_run(service.client())
    follower = Follower(service.url, f"/events/experiments:run:{run}", last_id="0")
    follower.start()
    producers = [Producer(service.url, run, f"p{number}") for number in range(PRODUCERS)]
    for producer in producers:
        producer.start()
    newest = 0
    chance = random.Random(20)
    for _ in range(KILLS):
        goal = sum(len(producer.acknowledged) for producer in producers) + chance.randint(1, 25)
        wait_until(lambda: sum(len(p.acknowledged) for p in producers) >= goal, "acks")  # noqa: B023
        acknowledged = max(max(p.acknowledged, default=0) for p in producers)
        assert acknowledged > newest
        newest = acknowledged
        service.kill()
        service.start()
        stored = service.client().get(f"/runs/{run}").json()["last_event_id"]
        assert int(stored.split("-")[1]) >= newest
    for producer in producers:
        producer.stopping = True
    for producer in producers:
        producer.join(60)
        assert not producer.is_alive()
        assert producer.error is None
        assert producer.acknowledged == sorted(set(producer.acknowledged))
    client = service.client()
    client.post(f"/runs/{run}/complete").raise_for_status()
    follower.finish()

    entries = []
    path: str | None = f"/runs/{run}/logs?limit=10000"
    while path:
        page = client.get(path).json()
        entries += page["logs"]
        path = page["next"]
    total = sum(producer.sent for producer in producers)
    assert [entry["seq"] for entry in entries] == list(range(1, total + 1))
    for producer in producers:
        own = [e["message"] for e in entries if e["message"].startswith(f"{producer.label} ")]
        assert own == [f"{producer.label} {number}" for number in range(producer.sent)]
    assert follower.seqs == list(range(1, total + 1))
    assert follower.connections > KILLS / 2
    numbers = [int(id.split("-")[1]) for id, _ in follower.events if id]
    assert numbers == sorted(set(numbers))
