"""A client that follows a stream to its end, and reconnects as a browser would."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx
from httpx_sse import EventSource

from . import plain
from .patience import PATIENCE
from .service import lines_in


class Follower(threading.Thread):
    """Follows `path` in a thread until 204; `events` are (id, data) in the order of arrival."""

    def __init__(self, url: str, path: str, last_id: str = "") -> None:
        super().__init__(daemon=True)
        self.url = url
        self.path = path
        self.last_id = last_id
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.connections = 0
        self.clean_ends = 0
        self.stopped = False
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with plain.client(base_url=self.url) as client:
                while not self.stopped and self._connect(client):
                    time.sleep(0.02)
        except Exception as error:
            self.error = error

    def _connect(self, client: httpx.Client) -> bool:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        try:
            with client.stream("GET", self.path, headers=headers) as response:
                if response.status_code == 204:
                    return False
                response.raise_for_status()
                self.connections += 1
                for event in EventSource(response).iter_sse():
                    if event.data:
                        self.last_id = event.id or self.last_id
                        self.events.append((event.id, json.loads(event.data)))
                self.clean_ends += 1
        except httpx.TransportError:
            # the service is unavailable, and will be started again
            pass
        return True

    @property
    def seqs(self) -> list[int]:
        """The `seq` of every log entry, in the order of arrival."""
        return [line["seq"] for _, data in self.events for line in lines_in(data)]

    def finish(self, timeout: float = PATIENCE) -> None:
        """Wait for the end of the stream. Raises what the thread raised."""
        self.join(timeout)
        assert not self.is_alive(), f"{self.path} did not end after {len(self.events)} events"
        if self.error is not None:
            raise self.error


def wait_until(condition: Any, what: str, timeout: float = PATIENCE) -> None:
    """Wait until `condition()` is true; fails with the name `what` if it stays false."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
