"""The relay: what other processes on the same database write and say, brought to this one's hub.

A doorbell rings with every commit and carries its number only; behind it this process reads what its
subscribers want. Where nothing rings it looks by itself, so a bell that is not heard costs time, never
an event. What no table keeps travels as gossip (`gossip.py`), over the same line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

from ..exceptions import DatabaseUnavailable
from ..live.hub import Hub
from ..live.liveness import Liveness
from ..protocol.events import StoredEvent
from ..store import replay
from ..store.commit import Commit
from ..store.postgres import NotifyConnection
from ..store.session import Session
from ..store.store import Store
from .peers import Peers

logger = logging.getLogger("athanor")

LOOK_EVERY = 1.0
"""Seconds without a ring after which one looks."""
READ_EVERY = 0.02
"""Seconds between two reads, which answer all bells that rang meanwhile: of N nodes that flush ten times
a second, each reads 50 times a second at most, and not 10 N times."""
RECONNECT = 0.25
"""Seconds between two tries to listen, and up to as much again."""


class Relay:
    """`on_rows` hears of every event of a run's or an instance's life, before its broadcast."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        peers: Peers,
        liveness: Liveness,
        interval: float,
        on_rows: Callable[[list[StoredEvent]], None],
    ) -> None:
        self._store = store
        self._hub = hub
        self._gossip = peers
        self._pulse = liveness
        self._interval = interval
        self._on_rows = on_rows
        self._goal = hub.newest
        self._rung = asyncio.Event()
        self._deaf: str | None = "other processes are not heard yet"
        self._blind: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.reads = 0
        self.events = 0
        self.reconnects = 0

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._listen(), name="athanor-listener"),
            loop.create_task(self._follow(), name="athanor-relay"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def trouble(self) -> str | None:
        """Why what others commit is not seen, or late, if it is."""
        return self._blind or self._deaf

    @property
    def listens(self) -> bool:
        """Whether other processes are heard."""
        return self._deaf is None

    @property
    def behind(self) -> int:
        """How many events are known to be committed and were not broadcast here."""
        return self._goal - self._hub.newest

    def broadcast(self, commit: Commit) -> None:
        """This process's own commit: at once if nothing is missing before it, else in its turn."""
        if commit.behind == self._hub.newest == self._hub.horizon:
            self._hub.broadcast(commit.events, commit.newest)
            self._goal = max(self._goal, commit.newest)
        else:
            self._ring(commit.newest)

    def _ring(self, n: int) -> None:
        self._goal = max(self._goal, n)
        self._rung.set()

    def _hear(self, payload: str) -> None:
        number, _, sender = payload.partition(" ")
        if not number.isdecimal():
            self._gossip.hear(payload)
        elif sender != self._store.process:  # of its own it knows
            self._ring(int(number))

    async def _listen(self) -> None:
        while True:
            try:
                async with self._store.listening(self._hear) as line:
                    self._deaf = None
                    self._pulse.begin()
                    self._gossip.ask()
                    self._rung.set()
                    await self._speak(line)
            except DatabaseUnavailable as error:
                if self._deaf is None:
                    logger.warning("other processes can't be heard: %s; trying again", error)
                self._deaf = f"other processes can't be heard: {error}"
            except Exception as error:  # a mistake of ours; without this task all would seem well
                logger.exception("listening to other processes failed")
                self._deaf = f"other processes can't be heard: {error!r}"
            finally:
                self._pulse.pause()
            self.reconnects += 1
            await asyncio.sleep(RECONNECT * random.uniform(1, 2))  # noqa: S311 - jitter

    async def _speak(self, line: NotifyConnection) -> None:
        """Say what is to be said; nothing now and then, for a line that was cut may not say so."""
        while True:
            await self._gossip.wait(LOOK_EVERY)
            with self._gossip.telling() as notices:
                await line.say(notices)
            await asyncio.sleep(self._interval)

    async def _follow(self) -> None:
        while True:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._rung.wait()
                if not self._rung.is_set():
                    self._goal = max(self._goal, await self._store.follow(Session.newest))
                self._rung.clear()
                if self.behind:
                    await self._catch_up()
                    await asyncio.sleep(READ_EVERY)
                self._blind = None
            except DatabaseUnavailable as error:
                await self._look_again(error)
            except Exception as error:  # as above
                logger.exception("following other processes failed")
                await self._look_again(error)

    async def _look_again(self, error: Exception) -> None:
        self._blind = f"what other processes write can't be read: {error}"
        await asyncio.sleep(RECONNECT)
        self._rung.set()

    async def _catch_up(self) -> None:
        """Broadcast what is committed up to the goal; who subscribes meanwhile begins behind it."""
        hub = self._hub
        while hub.newest < self._goal:
            if hub.horizon <= hub.newest:
                # else a read broke off: who came since then begins behind its horizon, so a frame may
                # not reach over that
                hub.horizon = self._goal
            goal, wanted = hub.horizon, hub.runs_wanted()
            while hub.newest < goal:
                after = hub.newest
                rows, newest = await self._store.follow(
                    lambda session: replay.wanted(session, wanted, after, goal)  # noqa: B023
                )
                self.reads += 1
                self.events += len(rows)
                self._on_rows(rows)
                hub.broadcast(rows, newest)
