"""Who posts lines, whatever happens to the service."""

from __future__ import annotations

import json
import random
import threading
import uuid

import httpx


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
