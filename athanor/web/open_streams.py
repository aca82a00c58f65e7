"""The open streams of one application, and how many of them there may be."""

from __future__ import annotations

from collections import Counter

from starlette.types import Scope

from ..access.clients import client_at
from ..config import Settings
from .event_stream import EventStream
from .gate import peer_of


class OpenStreams:
    """Counts streams from their request to their end, in all and by the client's address."""

    def __init__(self, settings: Settings) -> None:
        self.streams: set[EventStream] = set()
        self._most = settings.max_streams
        self._most_per_client = settings.max_streams_per_client
        self._count = 0
        self._by_client: Counter[str] = Counter()

    def enter(self, client: str) -> str | None:
        """Count one stream more; the reason, and nothing is counted, if that is too many."""
        if self._count >= self._most:
            return f"the service has its {self._most} streams"
        most = self._most_per_client
        if most is not None and client and self._by_client[client] >= most:
            return f"{client} has its {most} streams"
        self._count += 1
        self._by_client[client] += 1
        return None

    def leave(self, client: str) -> None:
        """Undo `enter`."""
        self._count -= 1
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]


def client_of(scope: Scope) -> str:
    """The client that a request comes from, as `client_at` has it."""
    return client_at(peer_of(scope))
