"""Bodies of requests: how many bytes of them are in memory, and whose turn it is to be read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request

from ..config import Limits
from ..exceptions import RingFull

_BYTES = "athanor.body_bytes"
LONG_STEP = 0.002
"""Seconds; a longer step in the reading of a body is followed by a pause of the same length."""


class Bodies:
    """Counts the bytes of bodies from their arrival until their responses; bounds them.

    Small bodies have further room, so that a few large ones do not keep them out. A body is small
    until it has more than `small_body` bytes.
    """

    def __init__(self, limits: Limits) -> None:
        self._small = limits.small_body
        self._most_large = limits.bodies_bytes
        self._most = limits.bodies_bytes + limits.small_bodies_bytes
        self._turn = asyncio.Lock()
        self.bytes = 0
        """Of all bodies."""
        self.large_bytes = 0
        """Of the bodies that are not small."""

    def has_room(self, size: int, more: int) -> bool:
        """Whether a body that has `size` bytes may get `more`."""
        grown = size + more
        if grown > self._small and self.large_bytes - self._large(size) + grown > self._most_large:
            return False
        return self.bytes + more <= self._most

    def count(self, request: Request, more: int) -> None:
        """Further bytes of a request's body are in memory."""
        size = request.scope.get(_BYTES, 0)
        request.scope[_BYTES] = grown = size + more
        self.bytes += more
        if grown > self._small:
            self.large_bytes += grown - self._large(size)

    def release(self, request: Request) -> None:
        """The bytes that were counted for a request are not kept any more."""
        size = request.scope.pop(_BYTES, 0)
        self.bytes -= size
        self.large_bytes -= self._large(size)

    def _large(self, size: int) -> int:
        return size if size > self._small else 0

    def full(self) -> RingFull:
        """The error for a body without room."""
        return RingFull(
            f"the bodies of requests that are under way have {self.bytes} bytes, of "
            f"{self._most_large} at most; try again soon"
        )

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Wait for the turn to read a large body, one at a time, so that their steps do not add up.

        Yields a function to await after each step, which lets others run: for as long as the step
        took, if it was long. The last step is followed by such a pause too.
        """
        async with self._turn:
            resumed = time.monotonic()

            async def pause() -> None:
                nonlocal resumed
                spent = time.monotonic() - resumed
                await asyncio.sleep(spent if spent > LONG_STEP else 0)
                resumed = time.monotonic()

            try:
                yield pause
            finally:
                await pause()
