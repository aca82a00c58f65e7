"""A producer that posts log entries, whatever happens to the service."""

from __future__ import annotations

import json
import random
import threading
import uuid

import httpx

from . import plain


class Producer(threading.Thread):
    """Posts small batches until `stopping` is set, and each one again until it is acknowledged."""

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
            with plain.client(base_url=self.url) as client:
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
                response = client.post(self.path, content=body, headers=headers)
            except httpx.TransportError:
                # the service was killed, and will be started again
                threading.Event().wait(0.01)
                continue
            if response.status_code == 503:
                continue
            assert response.status_code == 201, response.text
            assert response.json()["accepted"] == count
            self.acknowledged.append(int(response.json()["last_event_id"].split("-")[1]))
            self.sent += count
            return
