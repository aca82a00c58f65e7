"""Where the flusher hands its commits over: to this process's hub, or to the relay of a cluster."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Protocol

from ..store.commit import Commit
from .hub import Hub


class Broadcaster(Protocol):
    """Shows commits to subscribers, and brings notifications for peers into a commit."""

    def broadcast(self, commit: Commit) -> None:
        """Show a commit of this process, now or in its turn; does not wait."""

    def notifications(self) -> AbstractContextManager[list[str]]:
        """The notifications to send with the next commit; given again if the block raises."""


class LocalBroadcaster:
    """For the only process on a database."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def broadcast(self, commit: Commit) -> None:
        self._hub.broadcast(commit.events, commit.newest)

    def notifications(self) -> AbstractContextManager[list[str]]:
        return contextlib.nullcontext([])
