"""The flusher: the background task that writes what the ring holds, and broadcasts what it wrote.

It sleeps until something is there, flushes, and rests out the interval: a lone event goes out at
once, a flood is written ten times a second, an idle service does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..domain.commands import Command
from ..exceptions import DatabaseUnavailable, NotStarted, RingFull
from ..store.commit import Commit
from ..store.store import Store
from .ring import RingBuffer

logger = logging.getLogger("athanor")

FLUSH_LINES = 20_000
FLUSH_BYTES = 8 * 1024 * 1024
"""A flush takes about this much, so that the event loop is held some 30 ms by one at most."""

RETRY_FIRST, RETRY_MOST = 0.1, 1.0
"""Seconds between two tries of a flush that failed, doubling from the first to the most."""

SLOW_FLUSH = 1.0
"""Seconds after which a flush under way counts as trouble."""


class Pending:
    """A change in the ring, and the future of whoever waits for it."""

    __slots__ = ("change", "count", "future", "size")

    def __init__(self, change: Command, future: asyncio.Future[Any] | None) -> None:
        self.change = change
        self.future = future
        self.count = change.count
        self.size = change.size

    def settle(self, done: bool, outcome: Any) -> None:
        if self.future is None:
            if not done:
                logger.error("lines that nobody waited for were refused: %s", outcome)
        elif not self.future.done():
            if done:
                self.future.set_result(outcome)
            else:
                self.future.set_exception(outcome)


class Flusher:
    """Owns the ring. `on_commit` broadcasts a commit; what is `telling` goes to other processes."""

    def __init__(
        self,
        ring: RingBuffer[Pending],
        store: Store,
        interval: float,
        on_commit: Callable[[Commit], None],
        telling: Callable[[], AbstractContextManager[list[str]]],
    ) -> None:
        self._ring = ring
        self._store = store
        self._interval = interval
        self._on_commit = on_commit
        self._telling = telling
        self._trying: list[Pending] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._room = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._give_up_at = math.inf
        self._started_at: float | None = None
        self._failure: str | None = None
        self._pushed = 0
        self.flushes = 0
        self.failures = 0
        self.seconds = 0.0

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="athanor-flusher")

    async def stop(self, patience: float) -> None:
        """Take nothing more, write what is left, and end; a failing database has `patience` seconds."""
        self._stopping = True
        self._give_up_at = min(self._give_up_at, time.monotonic() + patience)
        self._wake.set()
        self._hurry.set()
        async with self._room:
            self._room.notify_all()
        if self._task is not None:
            await self._task
            self._task = None

    def give_up(self) -> None:
        """From now on nothing is tried again: who waits is told that it was not written."""
        self._give_up_at = time.monotonic()

    @property
    def trouble(self) -> str | None:
        """Why what is accepted is not being written, if it is not."""
        if self._failure is not None:
            return self._failure
        if self._task is None or self._task.done():
            return "the flusher has ended; the log says why"
        if self._started_at is not None and time.monotonic() - self._started_at > SLOW_FLUSH:
            return f"a flush has been under way for more than {SLOW_FLUSH:g} s"
        return None

    async def flushed(self) -> None:
        """Until all that is in the ring now is written."""
        goal = self._pushed
        self._hurry.set()
        async with self._room:
            await self._room.wait_for(lambda: self._pushed - len(self._ring) >= goal)

    def submit(self, change: Command, hurry: bool = False) -> asyncio.Future[Any]:
        """Put a change into the ring; its future ends with the commit. `RingFull` if it is."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._push(Pending(change, future), hurry)
        return future

    def submit_unwatched(self, change: Command) -> None:
        """Put a change into the ring whose outcome nobody waits for. `RingFull` if it is."""
        self._push(Pending(change, None), hurry=False)

    async def room_for(self, change: Command) -> None:
        """Wait until the ring takes `change`; who submits it without another `await` has its place."""
        async with self._room:
            await self._room.wait_for(lambda: self._stopping or self._ring.fits(change))

    def _push(self, ticket: Pending, hurry: bool) -> None:
        if self._task is None or self._task.done() or self._stopping:
            raise NotStarted("Athanor is ending; nothing more is accepted")
        try:
            self._ring.push(ticket)
        except RingFull as full:
            reason = f"; the database does not keep up: {self.trouble}" if self.trouble else ""
            raise RingFull(f"{full}{reason}") from None
        self._pushed += 1
        self._wake.set()
        if hurry:
            self._hurry.set()

    async def _run(self) -> None:
        delay = RETRY_FIRST
        while self._ring or not self._stopping:
            if not self._ring:
                self._wake.clear()
                await self._wake.wait()
                continue
            self._hurry.clear()
            began = time.monotonic()
            if await self._flush():
                delay = RETRY_FIRST
                if self._ring.count < FLUSH_LINES:
                    await self._rest(began + self._interval - time.monotonic())
            elif time.monotonic() > self._give_up_at:
                self._abandon()
            else:
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_MOST)

    async def _rest(self, seconds: float) -> None:
        """Let events gather, unless somebody is in a hurry: a run's end does not wait."""
        if seconds > 0 and not self._stopping and not self._hurry.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._hurry.wait()

    async def _flush(self) -> bool:
        """Write the oldest of the ring and broadcast it; False if the database failed."""
        tickets = self._trying or self._next_tickets()
        self._started_at = time.monotonic()
        try:
            await self._write(tickets)
        except DatabaseUnavailable as error:
            self.failures += 1
            if self._failure is None:
                logger.error("%s; trying again until it works", error)
            self._failure = str(error)
            return False
        finally:
            self.seconds += time.monotonic() - self._started_at
            self._started_at = None
        async with self._room:
            self._room.notify_all()
        return True

    async def _write(self, tickets: list[Pending]) -> None:
        self._trying = tickets  # the same again if it fails: it may have been committed all the same
        try:
            with self._telling() as notices:
                commit = await self._store.commit([ticket.change for ticket in tickets], notices)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            # a change that can't be written is a mistake of ours: find it, and keep the others
            self._trying = []
            if len(tickets) > 1:
                for ticket in tickets:
                    await self._write([ticket])
                return
            logger.exception("a change could not be written")
            self._ring.release(1)
            tickets[0].settle(False, error)
        else:
            self._publish(tickets, commit)

    def _next_tickets(self) -> list[Pending]:
        tickets = self._ring.peek(FLUSH_LINES, FLUSH_BYTES)
        for number, ticket in enumerate(tickets):
            if ticket.change.exclusive:
                return tickets[: max(1, number)]
        return tickets

    def _publish(self, tickets: list[Pending], commit: Commit) -> None:
        # no await from the commit to the broadcast: whoever registers sees a flush whole or not
        if self._failure is not None:
            logger.warning("the database can be written to again")
            self._failure = None
        self.flushes += 1
        self._ring.release(len(tickets))
        self._trying = []
        self._on_commit(commit)
        for ticket, (done, outcome) in zip(tickets, commit.decisions, strict=True):
            ticket.settle(done, outcome)

    def _abandon(self) -> None:
        """The database failed and the process ends: tell who waits, and say how much is lost."""
        left = self._ring.peek(self._ring.capacity, 2**62)
        logger.error("%d lines could not be written before the end", self._ring.count)
        self._ring.release(len(left))
        for ticket in left:
            ticket.settle(False, NotStarted("Athanor ended before this could be written"))
