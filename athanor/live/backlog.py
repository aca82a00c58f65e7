"""The backlog: all bytes of this process that wait for clients, with one bound for all of them.

These are the events in inboxes, each counted once, however many inboxes share it; and what clients
that are *blocked* have not taken: the frames that are being sent to them, or a response, and the
buffers of their connections. Beyond the bound, the clients that were blocked for the longest time
are cut off. A client that reads, even slowly, is blocked anew by each chunk, so it comes last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Protocol

from .frames import Frame
from .refusals import BACKLOG, Refusals

logger = logging.getLogger("athanor")

COPIES = 2
"""An event is kept as JSON and, mostly, in one format."""
LOG_INTERVAL = 60.0
"""Seconds between two lines in the log about clients that were cut off."""


class Client(Protocol):
    """What writes to a client and may have to wait for it."""

    def cut_off(self) -> None:
        """End the connection and drop what waits for it, without waiting and without an error."""


class Backlog:
    """`size` is in bytes; `most` is its bound."""

    def __init__(self, most: int, refusals: Refusals) -> None:
        self.most = most
        self.size = 0
        self._refusals = refusals
        # in the order in which they were blocked
        self._blocked: dict[Client, tuple[Iterable[Frame], int]] = {}
        self._cut = 0
        self._logged_at = -LOG_INTERVAL

    def hold(self, frame: Frame) -> None:
        """An inbox, or a blocked client, has this frame; `enforce` has to follow."""
        frame.holders += 1
        if frame.holders == 1:
            for event in frame.events:
                event.holders += 1
                if event.holders == 1:
                    self.size += COPIES * len(event.data)

    def release(self, frame: Frame) -> None:
        """Undo one `hold`."""
        frame.holders -= 1
        if frame.holders == 0:
            for event in frame.events:
                event.holders -= 1
                if event.holders == 0:
                    self.size -= COPIES * len(event.data)

    def block(self, client: Client, frames: Iterable[Frame], own: int) -> None:
        """`client` begins to wait, with these frames and `own` bytes that nobody shares.

        May cut off other clients, or this one.
        """
        self.hold_for(client, frames, own)
        self.enforce()

    def hold_for(self, client: Client, frames: Iterable[Frame], own: int) -> None:
        """As `block`, but cuts nobody off; `enforce` has to follow."""
        self._blocked[client] = (frames, own)
        for frame in frames:
            self.hold(frame)
        self.size += own

    def unblock(self, client: Client) -> None:
        """`client` has taken what it waited for, or was cut off, or has left."""
        held = self._blocked.pop(client, None)
        if held is not None:
            frames, own = held
            for frame in frames:
                self.release(frame)
            self.size -= own

    def enforce(self) -> None:
        """Cut clients off while the backlog is beyond its bound and a client is blocked."""
        while self.size > self.most and self._blocked:
            self.cut_off(next(iter(self._blocked)), BACKLOG)

    def cut_off(self, client: Client, reason: str) -> None:
        """Cut one client off, and count it under `reason`."""
        self.unblock(client)
        client.cut_off()
        self._refusals.count(reason)
        self._cut += 1
        if time.monotonic() - self._logged_at >= LOG_INTERVAL:
            self._logged_at = time.monotonic()
            logger.warning(
                "clients that do not read were cut off: %d since the start, the last one because of %s",
                self._cut,
                "the bytes that wait for clients" if reason == BACKLOG else "its silence",
            )
