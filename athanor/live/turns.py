"""Turns: how much is written to clients before everything else has its turn on the event loop.

A flush wakes all streams at once, and a write that the kernel takes at once does not wait: 200 streams
that each take a megabyte held the loop for 0.6 s.
"""

from __future__ import annotations

import asyncio
from collections import deque

SEND = 4096
"""A small write costs as much as this many bytes of a large one."""


class Turns:
    """Writers take turns of about `most` bytes in all, first come, first served.

    Between two turns, the event loop runs whatever else is ready.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Wait until `size` bytes may be written."""
        if self._left > 0 and not self._waiting:
            self._spend(size)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        await turn

    def _spend(self, size: int) -> None:
        if self._left == self._most:
            asyncio.get_running_loop().call_soon(self._begin)
        self._left -= SEND + size

    def _begin(self) -> None:
        """The next turn: those that wait longest have it first."""
        self._left = self._most
        while self._waiting and self._left > 0:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._spend(size)
                turn.set_result(None)
