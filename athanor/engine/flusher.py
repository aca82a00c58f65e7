"""The flusher: the background task that commits what the ring holds, and broadcasts it.

It sleeps until the ring has something, flushes, and waits out the interval: a single event is sent
at once, a flood is written ten times a second, and an idle service does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter
from typing import Any

from ..config import Limits
from ..domain.commands import Command
from ..exceptions import DatabaseLost, DatabaseUnavailable, NotStarted, RingFull
from ..live.broadcaster import Broadcaster
from ..live.runs import RunTracker
from ..store.commit import Commit
from ..store.store import Store
from .ring import RingBuffer

logger = logging.getLogger("athanor")


class Pending:
    """A command in the ring, and the future of its caller, if the caller waits."""

    __slots__ = ("command", "count", "future", "size")

    def __init__(self, command: Command, future: asyncio.Future[Any] | None) -> None:
        self.command = command
        self.future = future
        self.count = command.count
        self.size = command.size

    def settle(self, done: bool, outcome: Any) -> None:
        """Give the caller its answer, or the error that refused the command."""
        if self.future is None:
            if not done:
                logger.error("entries were refused after they had been accepted: %s", outcome)
        elif not self.future.done():
            if done:
                self.future.set_result(outcome)
            else:
                self.future.set_exception(outcome)


class Flusher:
    """Owns the ring: takes commands, commits them, and hands the commits to the broadcaster.

    `interval` is the time between two flushes under load, in seconds.
    """

    def __init__(
        self,
        ring: RingBuffer[Pending],
        store: Store,
        runs: RunTracker,
        broadcaster: Broadcaster,
        interval: float,
        limits: Limits,
    ) -> None:
        self._ring = ring
        self._store = store
        self._runs = runs
        self._broadcaster = broadcaster
        self._interval = interval
        self._limits = limits
        self._batch: list[Pending] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._room = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._give_up_at = math.inf
        self._started_at: float | None = None
        self._failure: str | None = None
        self._pushed = 0
        self.events_stored: Counter[str] = Counter()
        self.flushes = 0
        self.failures = 0
        self.seconds = 0.0

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="athanor-flusher")
        self._task.add_done_callback(self._ended)

    async def stop(self, patience: float) -> None:
        """Take nothing more, write what is left, and end.

        A database that fails is tried again for `patience` seconds.
        """
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
        """From now on, try no failed flush again: callers learn that it was not written."""
        self._give_up_at = time.monotonic()

    @property
    def error(self) -> str | None:
        """Why the flusher does not write what the ring holds; None if it does."""
        if self._failure is not None:
            return self._failure
        if self._task is None or self._task.done():
            return "the flusher has ended; the log says why"
        slow = self._limits.slow_flush
        if self._started_at is not None and time.monotonic() - self._started_at > slow:
            return f"a flush has been under way for more than {slow:g} s"
        return None

    async def flushed(self) -> None:
        """Wait until everything that is in the ring now is written."""
        target = self._pushed
        self._hurry.set()
        async with self._room:
            await self._room.wait_for(lambda: self._pushed - len(self._ring) >= target)

    def submit(self, command: Command, hurry: bool = False) -> asyncio.Future[Any]:
        """Put a command into the ring; the future ends with its commit. Raises `RingFull`."""
        pending = Pending(command, None)
        self._push(pending, hurry)
        assert self._task is not None
        # `get_running_loop` is a system call in Python 3.11
        pending.future = future = self._task.get_loop().create_future()
        return future

    def submit_unwatched(self, command: Command) -> None:
        """Put a command into the ring without waiting for its outcome. Raises `RingFull`."""
        self._push(Pending(command, None), hurry=False)

    async def room_for(self, command: Command) -> None:
        """Wait until the ring has room; a `submit` that follows without `await` succeeds."""
        async with self._room:
            await self._room.wait_for(lambda: self._stopping or self._ring.fits(command))

    def _push(self, pending: Pending, hurry: bool) -> None:
        if self._task is None or self._task.done() or self._stopping:
            raise NotStarted("Athanor is ending; nothing more is accepted")
        if self._store.trouble is not None:
            raise DatabaseLost(self._store.trouble)
        try:
            self._ring.push(pending)
        except RingFull as full:
            if self.error is None:
                raise
            raise RingFull(f"{full}; the database does not keep up", self.error) from None
        self._pushed += 1
        self._wake.set()
        if hurry:
            self._hurry.set()

    async def _run(self) -> None:
        delay = self._limits.retry_first
        while self._ring or not self._stopping:
            if not self._ring:
                self._wake.clear()
                await self._wake.wait()
                continue
            self._hurry.clear()
            began = time.monotonic()
            if await self._flush():
                delay = self._limits.retry_first
                if self._ring.count < self._limits.flush_entries:
                    await self._rest(began + self._interval - time.monotonic())
            elif time.monotonic() > self._give_up_at:
                self._abandon()
            else:
                await asyncio.sleep(delay)
                delay = min(2 * delay, self._limits.retry_most)

    async def _rest(self, seconds: float) -> None:
        """Let events gather, unless a command is in a hurry: a run's end does not wait."""
        if seconds > 0 and not self._stopping and not self._hurry.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._hurry.wait()

    async def _flush(self) -> bool:
        """Write the oldest of the ring and broadcast it; False if the database failed."""
        batch = self._batch or self._next_batch()
        self._started_at = time.monotonic()
        try:
            await self._write(batch)
        except DatabaseLost as error:
            self.failures += 1
            self._refuse_waiting(error)
            async with self._room:
                self._room.notify_all()
            return False
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

    async def _write(self, batch: list[Pending]) -> None:
        # after a failure the same batch is tried again: it may have been committed all the same
        self._batch = batch
        try:
            with self._broadcaster.notifications() as notifications:
                commit = await self._store.commit([item.command for item in batch], notifications)
        except DatabaseUnavailable:
            raise
        except Exception as error:
            # a command that can't be written is a bug: find it, and keep the others
            self._batch = []
            if len(batch) > 1:
                for item in batch:
                    await self._write([item])
                return
            logger.exception("a command could not be written")
            self._ring.release(1)
            batch[0].settle(False, error)
        else:
            self._publish(batch, commit)

    def _next_batch(self) -> list[Pending]:
        batch = self._ring.peek(self._limits.flush_entries, self._limits.flush_bytes)
        for number, item in enumerate(batch):
            if item.command.exclusive:
                return batch[: max(1, number)]
        return batch

    def _publish(self, batch: list[Pending], commit: Commit) -> None:
        # no await between commit and broadcast: a new subscriber sees a flush as a whole, or not
        if self._failure is not None:
            logger.warning("the database can be written to again")
            self._failure = None
        self.flushes += 1
        self._ring.release(len(batch))
        self._batch = []
        types = [event.type for event in commit.events]
        for type_ in set(types):
            self.events_stored[type_] += types.count(type_)
        try:
            self._runs.apply(commit.events, commit.runs)
            self._broadcaster.broadcast(commit)
        finally:
            # it is committed, whatever happens to the broadcast
            for item, (done, outcome) in zip(batch, commit.decisions, strict=True):
                item.settle(done, outcome)

    def _refuse_waiting(self, error: DatabaseLost) -> None:
        """Nothing of the ring was written: refuse what has a caller, keep what was accepted before."""
        items = self._ring.peek(self._ring.capacity, 2**62)
        self._ring.release(len(items))
        self._batch = []
        self._failure = None
        for item in items:
            if item.future is None:
                self._ring.push(item)
            else:
                item.settle(False, DatabaseLost(str(error)))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """An error in here is a bug: nothing is stored any more, and nobody waits for it in vain."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("the flusher has ended: start the service again", exc_info=error)
            self._abandon()

    def _abandon(self) -> None:
        """Nothing is written any more: tell the callers, and log how much is lost."""
        left = self._ring.peek(self._ring.capacity, 2**62)
        logger.error("%d entries could not be written before the end", self._ring.count)
        self._ring.release(len(left))
        for item in left:
            item.settle(False, NotStarted("Athanor ended before this could be written"))
