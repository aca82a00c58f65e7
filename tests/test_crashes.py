"""`kill -9` under load: what was acknowledged is there once, in order, and numbers never go back."""

from __future__ import annotations

import json
import random
import threading
import uuid

import httpx

from .follower import Follower, wait_until
from .service import Service, new_run

KILLS = 20
PRODUCERS = 4


class Producer(threading.Thread):
    """Posts small batches until told to stop, each under its key until it is acknowledged."""

    def __init__(self, url: str, run: str, name: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.path = f"/runs/{run}/logs"
        self.label = name
        self.sent = 0
        self.acknowledged: list[int] = []
        self.stopping = False
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self.url, timeout=30) as client:
                while not self.stopping:
                    self._post(client, random.Random(self.sent).randint(1, 20))
        except Exception as error:
            self.error = error

    def _post(self, client: httpx.Client, count: int) -> None:
        numbers = range(self.sent, self.sent + count)
        body = "\n".join(json.dumps({"message": f"{self.label} {number}"}) for number in numbers)
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": uuid.uuid4().hex}
        while True:
            try:
                answer = client.post(self.path, content=body, headers=headers)
            except httpx.TransportError:
                threading.Event().wait(0.01)  # killed; it comes back
                continue
            if answer.status_code == 503:
                continue
            assert answer.status_code == 201, answer.text
            assert answer.json()["accepted"] == count
            self.acknowledged.append(int(answer.json()["last_event_id"].split("-")[1]))
            self.sent += count
            return


def test_twenty_kills_lose_and_double_nothing(service: Service) -> None:
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
