"""Turns: how much is written to clients before everything else has its turn on the event loop.

A flush wakes all streams at once, and a write that the kernel takes at once does not wait: 200 streams
that each take a megabyte held the loop for 0.6 s.
"""

from __future__ import annotations

import asyncio
from collections import deque

SEND = 16 * 1024
"""A small write costs as much as this many bytes of a large one."""
SMALL = 32 * 1024
MANY = 240
"""Writes of at most `SMALL` bytes wait only after so many times a turn: waiting costs as much as they do,
and six thousand of them take 75 ms."""
BROADCAST = 48
"""A broadcast makes so many times a turn of small writes: to wait costs these little, and 1,500 of them
take 10 ms."""


class Turns:
    """Writers take turns of about `most` bytes in all, first come, first served.

    Between two turns, the event loop runs whatever else is ready.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._spent = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take(self, size: int) -> bool:
        """Whether `size` bytes may be written now; if not, `wait` has to follow."""
        if size <= SMALL:
            may = self._spent < MANY * self._most
        else:
            may = self._spent < self._most and not self._waiting
        if may:
            self._spend(SEND + size)
        return may

    def grant(self, size: int, wanted: int) -> int:
        """How many of the `wanted` small writes of a broadcast may be made now; at least one a turn."""
        cost = SEND + size
        left = max(BROADCAST * self._most - self._spent, 0 if self._spent else cost)
        granted = min(wanted, left // cost)
        if granted:
            self._spend(granted * cost)
        return granted

    async def wait(self, size: int) -> None:
        """Wait until `size` bytes may be written."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        await turn

    def _spend(self, cost: int) -> None:
        if self._spent == 0:
            asyncio.get_running_loop().call_soon(self._begin)
        self._spent += cost

    def _begin(self) -> None:
        """The next turn: those that wait longest have it first."""
        self._spent = 0
        while self._waiting and self._spent < self._most:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._spend(SEND + size)
                turn.set_result(None)
