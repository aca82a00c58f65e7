"""Two nodes, lost notifications, failed reads: a reader that moves between them sees the log once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from athanor import Athanor, Settings
from athanor.config import Limits
from athanor.domain.commands import Command
from athanor.exceptions import DatabaseUnavailable
from athanor.protocol.entries import LogInput, Report
from athanor.protocol.events import RunLog, RunLogs
from athanor.store.commit import Commit
from athanor.store.postgres import NotifyConnection
from athanor.store.session import Job, Session
from athanor.store.store import Store

from ..support.patience import PATIENCE

T = TypeVar("T")


class Write(NamedTuple):
    """Append so many entries to one of the runs, at one of the nodes; `waits`: for the commit."""

    node: int
    run: int
    lines: int
    waits: bool


class Faults(NamedTuple):
    """At a node, so many notifications are lost, reads fail, and commits return late."""

    node: int
    lost: int
    failures: int
    late: int


class Cut(NamedTuple):
    """Read so many events at one of the nodes, then disconnect."""

    node: int
    events: int


class UnreliableStore(Store):
    """Loses notifications, fails reads and delays commits, as often as it was told to."""

    lost = failures = late = failed = 0

    @asynccontextmanager
    async def listening(self, receive: Callable[[str], None]) -> AsyncIterator[NotifyConnection]:
        def sometimes(payload: str) -> None:
            if self.lost:
                self.lost -= 1
            else:
                receive(payload)

        async with super().listening(sometimes) as connection:
            yield connection

    async def follow(self, job: Job[T]) -> T:
        if not self.failures:
            return await super().follow(job)
        self.failures -= 1
        self.failed += 1
        if self.failed % 2:
            await super().follow(job)
        if self.failed % 10 == 0:
            raise ZeroDivisionError("a bug")
        raise DatabaseUnavailable("a failure made by the test")

    async def commit(self, commands: list[Command], notifications: list[str]) -> Commit:
        done = await super().commit(commands, notifications)
        if self.late:
            self.late -= 1
            await asyncio.sleep(0.002 * random.random())
        return done


LIMITS = Limits(
    page_rows=7,
    text_rows=9,
    relay_rows=5,
    frame_bytes=400,
    poll_interval=0.02,
    relay_interval=0,
    reconnect_pause=0.002,
)


class Pair:
    """Two engines on one database over all schedules, on one loop."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        given = Settings(database_url=url, flush_interval=0.001, queue_frames=1, queue_bytes=4096)
        self.stores: list[UnreliableStore] = []
        self.engines = [Athanor(given, LIMITS, self._make_store) for _ in range(2)]
        for engine in self.engines:
            self.runner.run(engine.start())

    def _make_store(self, settings: Settings, limits: Limits) -> Store:
        self.stores.append(UnreliableStore(settings, limits))
        return self.stores[-1]

    def close(self) -> None:
        for engine in self.engines:
            self.runner.run(engine.stop())
        self.runner.close()


@pytest.fixture(scope="module")
def pair(shared_database: str) -> Iterator[Pair]:
    pair = Pair(shared_database)
    try:
        yield pair
    finally:
        pair.close()


NODE, RUN = st.integers(0, 1), st.integers(0, 2)
STEPS = st.lists(
    st.builds(Write, NODE, RUN, st.integers(1, 9), st.booleans())
    | st.builds(Faults, NODE, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    max_size=30,
)
CUTS = st.lists(st.builds(Cut, NODE, st.integers(1, 6)), max_size=25)

Numbered = tuple[str, int]
"""A run and the `seq` of one of its entries."""


class Reader:
    """Follows some runs, at the nodes that its cuts name, and resumes from its cursor."""

    def __init__(self, pair: Pair, runs: list[str], after: str) -> None:
        self.pair = pair
        self.topics = [f"experiments:run:{run}" for run in runs]
        self.cursor = after
        self.lines: list[Numbered] = []
        self.numbers: list[int] = []

    async def follow(self, cuts: list[Cut]) -> None:
        """Follow the cuts, then read on until cancelled."""
        for cut in cuts:
            await self._connect(cut)
        while True:
            await self._connect(Cut(random.randrange(2), 2**31))

    async def _connect(self, cut: Cut) -> None:
        left = cut.events
        async with self.pair.engines[cut.node].subscribe(*self.topics, after=self.cursor) as events:
            async for event in events:
                assert event.id is not None
                self.cursor = event.id
                self.numbers.append(int(event.id.split("-")[1]))
                match event:
                    case RunLog(run_id=run, log=log):
                        self.lines.append((run, log.seq))
                    case RunLogs(run_id=run, logs=logs):
                        self.lines += [(run, log.seq) for log in logs]
                left -= 1
                if not left:
                    return


async def logged(engine: Athanor, runs: list[str]) -> list[Numbered]:
    """The same out of the database, in the order of the event numbers."""

    async def job(session: Session) -> list[Numbered]:
        among, params = session.among("run_id", runs)
        sql = f"SELECT run_id, seq FROM events WHERE seq IS NOT NULL AND {among} ORDER BY n"
        return [(run, seq) for run, seq in await session.execute(sql, params)]

    return await engine.parts.store.read(job)


async def write(pair: Pair, runs: list[str], steps: list[Write | Faults]) -> None:
    waiting = []
    for step in steps:
        engine = pair.engines[step.node]
        if isinstance(step, Faults):
            store = pair.stores[step.node]
            store.lost, store.failures, store.late = step.lost, step.failures, step.late
            continue
        entries: list[Report] = [LogInput(message="x" * number) for number in range(step.lines)]
        receipt = asyncio.ensure_future(engine.append(runs[step.run], entries))
        waiting.append(receipt)
        if step.waits:
            await receipt
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS, one=CUTS, several=CUTS)
def a_reader_that_moves_between_nodes_sees_the_log_once(
    pair: Pair, steps: list[Write | Faults], one: list[Cut], several: list[Cut]
) -> None:
    async def scenario() -> None:
        engine = pair.engines[0]
        after = engine.parts.store.cursor(await engine.parts.store.newest_number())
        instance = await engine.create_instance("property")
        runs = [(await engine.create_run(instance.id)).id for _ in range(3)]
        for run in runs:
            await engine.start_run(run)
        readers = {
            Reader(pair, runs[:1], after): one,
            Reader(pair, runs[:2], after): several,
            Reader(pair, runs, after): one[::-1],
        }
        # a reader that misses an event would wait for it forever
        async with asyncio.timeout(PATIENCE):
            following = [asyncio.ensure_future(reader.follow(cuts)) for reader, cuts in readers.items()]
            await write(pair, runs, steps)
            everything = await logged(engine, runs)
            for reader in readers:
                wanted = [line for line in everything if f"experiments:run:{line[0]}" in reader.topics]
                while len(reader.lines) < len(wanted) and not any(task.done() for task in following):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                assert reader.lines == wanted
                assert reader.numbers == sorted(set(reader.numbers))
        for task in following:
            task.cancel()
        outcomes = await asyncio.gather(*following, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes

    pair.runner.run(scenario())


@pytest.mark.long
def test_a_reader_that_moves_between_nodes_sees_the_log_once(pair: Pair) -> None:
    a_reader_that_moves_between_nodes_sees_the_log_once(pair)
    # the schedules took the paths that they are meant to test, however fast the database is
    assert sum(store.failed for store in pair.stores) > 50
    assert min(relay.reads for engine in pair.engines if (relay := engine.parts.relay)) > 30
    assert sum(engine.parts.hub.overflows for engine in pair.engines) > 5
