"""The relay: what other processes on the same database write and say, brought to this one's hub.

A doorbell rings with every commit and carries its number only; behind it this process reads what its
subscribers want. Where nothing rings it looks by itself, so a bell that is not heard costs time, never
an event. Progress and signs of life travel in notices, and are lost where nobody listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

import msgspec

from .events import StoredEvent
from .exceptions import DatabaseUnavailable
from .hub import Hub
from .progress import ProgressBoard
from .pulse import Pulse
from .records import Progress
from .store import Commit, Line, Store, replay

logger = logging.getLogger("athanor")

LOOK_EVERY = 1.0
"""Seconds without a ring after which one looks; also between two notices of signs of life."""
RECONNECT = 0.25
"""Seconds between two tries to listen, and up to as much again."""
NOTICE_BYTES = 7_500
"""PostgreSQL takes no notice of 8,000 bytes."""


class Notice(msgspec.Struct, omit_defaults=True):
    """What one process tells the others: runs it heard of, and their progress by run."""

    sender: str
    heard: list[str] = []
    progress: dict[str, Progress] = {}


class Relay:
    """`on_rows` hears of every event of a run's or an instance's life, before its broadcast."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        board: ProgressBoard,
        pulse: Pulse,
        interval: float,
        on_rows: Callable[[list[StoredEvent]], None],
    ) -> None:
        self._store = store
        self._hub = hub
        self._board = board
        self._pulse = pulse
        self._interval = interval
        self._on_rows = on_rows
        self._goal = hub.newest
        self._rung = asyncio.Event()
        self._to_say = asyncio.Event()
        self._progress: dict[str, Progress] = {}
        self._heard: set[str] = set()
        self._heard_said = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.reads = 0
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

    def broadcast(self, commit: Commit) -> None:
        """This process's own commit: at once if nothing is missing before it, else in its turn."""
        if commit.behind == self._hub.newest == self._hub.horizon:
            self._hub.broadcast(commit.events, commit.newest)
        else:
            self._ring(commit.newest)

    def tell_progress(self, run_id: str, progress: Progress) -> None:
        self._progress[run_id] = progress
        self._to_say.set()

    def tell_sign_of_life(self, run_id: str) -> None:
        self._heard.add(run_id)

    def notices(self) -> list[str]:
        """What is to be told now."""
        self._to_say.clear()
        name, notices = self._store.process, []
        for run_id, progress in self._progress.items():
            if progress.message is not None and len(progress.message.encode()) > NOTICE_BYTES // 4:
                cut = progress.message.encode()[: NOTICE_BYTES // 8].decode(errors="ignore")
                progress = msgspec.structs.replace(progress, message=f"{cut}…")
            notices.append(Notice(name, progress={run_id: progress}))
        self._progress.clear()
        now = asyncio.get_running_loop().time()
        if self._heard and now - self._heard_said >= LOOK_EVERY:
            runs = list(self._heard)
            size = max(1, NOTICE_BYTES // (max(map(len, runs)) + 3) - 20)
            notices += [Notice(name, heard=runs[at : at + size]) for at in range(0, len(runs), size)]
            self._heard.clear()
            self._heard_said = now
        return [msgspec.json.encode(notice).decode() for notice in notices]

    def _ring(self, n: int) -> None:
        self._goal = max(self._goal, n)
        self._rung.set()

    def _hear(self, payload: str) -> None:
        number, _, sender = payload.partition(" ")
        if number.isdecimal():
            if sender != self._store.process:  # of its own it knows
                self._ring(int(number))
            return
        try:
            notice = msgspec.json.decode(payload, type=Notice)
        except msgspec.DecodeError as error:
            logger.warning("a notice that can't be read: %s", error)
            return
        if notice.sender == self._store.process:
            return
        for run_id in notice.heard:
            self._pulse.beat(run_id)
        for run_id, progress in notice.progress.items():
            self._pulse.beat(run_id)
            self._board.report(run_id, progress)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._store.listening(self._hear) as line:
                    self._pulse.begin()
                    self._rung.set()
                    await self._speak(line)
            except DatabaseUnavailable as error:
                logger.warning("other processes can't be heard: %s; trying again", error)
            finally:
                self._pulse.pause()
            self.reconnects += 1
            await asyncio.sleep(RECONNECT * random.uniform(1, 2))  # noqa: S311 - jitter

    async def _speak(self, line: Line) -> None:
        """Say what is to be said; nothing now and then, for a line that was cut may not say so."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._to_say.wait()
            await line.say(self.notices())
            await asyncio.sleep(self._interval)

    async def _follow(self) -> None:
        while True:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._rung.wait()
                if not self._rung.is_set():
                    self._goal = max(self._goal, await self._store.newest_number())
                self._rung.clear()
                if self._goal > self._hub.newest:
                    await self._catch_up(self._goal)
            except DatabaseUnavailable:
                await asyncio.sleep(RECONNECT)
                self._rung.set()

    async def _catch_up(self, goal: int) -> None:
        """Broadcast what is committed up to `goal`; who subscribes meanwhile begins behind it."""
        self._hub.horizon = goal
        wanted = self._hub.runs_wanted()
        while self._hub.newest < goal:
            after = self._hub.newest
            rows = await self._store.read(lambda s: replay.wanted(s, wanted, after, goal))  # noqa: B023
            self.reads += 1
            self._on_rows(rows)
            self._hub.broadcast(rows, rows[-1].n if rows else goal)
