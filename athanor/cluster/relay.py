"""The relay: brings the events of the other processes on the same database to this process's hub.

Every commit sends a notification that carries its number only. On a notification, this process reads
what its subscribers want. Without one it looks for itself at intervals, so a lost notification costs
time, never an event. What no table keeps travels through the same channel; see `peers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from contextlib import AbstractContextManager

from ..config import Limits
from ..exceptions import DatabaseUnavailable
from ..live.hub import Hub
from ..live.runs import RunTracker
from ..store import replay
from ..store.commit import Commit
from ..store.postgres import NotifyConnection
from ..store.session import Session
from ..store.store import Store
from .peers import Peers

logger = logging.getLogger("athanor")


class Relay:
    """A `Broadcaster` that keeps one order among the commits of all processes."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        runs: RunTracker,
        peers: Peers,
        interval: float,
        limits: Limits,
    ) -> None:
        self._store = store
        self._hub = hub
        self._runs = runs
        self._peers = peers
        self._interval = interval
        self._limits = limits
        self._target = hub.newest
        self._wake = asyncio.Event()
        self._listen_error: str | None = "this process does not listen to its peers yet"
        self._read_error: str | None = None
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
    def error(self) -> str | None:
        """Why the events of peers are not shown, or late; None if they are shown."""
        return self._read_error or self._listen_error

    @property
    def is_listening(self) -> bool:
        """Whether notifications of peers arrive."""
        return self._listen_error is None

    @property
    def lag(self) -> int:
        """How many events are known to be committed, and were not broadcast here yet."""
        return self._target - self._hub.newest

    def broadcast(self, commit: Commit) -> None:
        """Show a commit of this process: at once if nothing is missing before it, else in its turn."""
        if commit.after == self._hub.newest == self._hub.reading_to:
            self._hub.broadcast(commit.events, commit.newest)
            self._target = max(self._target, commit.newest)
        else:
            self._advance_to(commit.newest)

    def notifications(self) -> AbstractContextManager[list[str]]:
        return self._peers.notifications()

    def receive(self, payload: str) -> None:
        """Take a notification: the number of a commit and the process that made it, or a message."""
        number, _, sender = payload.partition(" ")
        if not number.isdecimal():
            self._peers.receive(payload)
        elif sender != self._store.process:
            self._advance_to(int(number))

    def _advance_to(self, n: int) -> None:
        self._target = max(self._target, n)
        self._wake.set()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._store.listening(self.receive) as connection:
                    self._listen_error = None
                    self._runs.liveness.resume()
                    self._peers.request_progress()
                    self._wake.set()
                    await self._send(connection)
            except DatabaseUnavailable as error:
                if self._listen_error is None:
                    logger.warning("notifications of peers can't be received: %s; trying again", error)
                self._listen_error = f"notifications of peers can't be received: {error}"
            except Exception as error:
                # a bug; if this task ended, the process would still look healthy
                logger.exception("listening to peers failed")
                self._listen_error = f"notifications of peers can't be received: {error!r}"
            finally:
                self._runs.liveness.pause()
            self.reconnects += 1
            pause = self._limits.reconnect_pause
            await asyncio.sleep(pause * random.uniform(1, 2))  # noqa: S311 - jitter

    async def _send(self, connection: NotifyConnection) -> None:
        """Send what is due; an empty message at intervals finds out whether the connection is cut."""
        while True:
            await self._peers.wait(self._limits.poll_interval)
            with self._peers.notifications() as notifications:
                await connection.send(notifications)
            await asyncio.sleep(self._interval)

    async def _follow(self) -> None:
        while True:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.poll_interval):
                        await self._wake.wait()
                if not self._wake.is_set():
                    self._target = max(self._target, await self._store.follow(Session.newest))
                self._wake.clear()
                if self.lag:
                    await self._catch_up()
                    await asyncio.sleep(self._limits.relay_interval)
                self._read_error = None
            except DatabaseUnavailable as error:
                await self._try_again(error)
            except Exception as error:
                # a bug, as in `_listen`
                logger.exception("reading the events of peers failed")
                await self._try_again(error)

    async def _try_again(self, error: Exception) -> None:
        self._read_error = f"the events of peers can't be read: {error}"
        await asyncio.sleep(self._limits.reconnect_pause)
        self._wake.set()

    async def _catch_up(self) -> None:
        """Broadcast what is committed up to the target; new subscribers meanwhile begin after it."""
        hub = self._hub
        while hub.newest < self._target:
            # if a read failed, subscribers since then begin after its end: no frame may cross that
            if hub.reading_to <= hub.newest:
                hub.reading_to = self._target
            upto, runs = hub.reading_to, hub.subscribed_runs()
            while hub.newest < upto:
                await self._read_page(runs, hub.newest, upto)

    async def _read_page(self, runs: list[str], after: int, upto: int) -> None:
        events, newest = await self._store.follow(
            lambda session: replay.relay_page(session, runs, after, upto, self._limits)
        )
        self.reads += 1
        self.events += len(events)
        self._runs.apply(events)
        self._hub.broadcast(events, newest)
