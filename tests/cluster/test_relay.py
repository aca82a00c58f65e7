"""Two nodes, bells that are not heard, reads that fail: who moves between them sees the log, once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from athanor import Athanor, Settings
from athanor.cluster import relay as relay_module
from athanor.cluster.relay import Relay
from athanor.exceptions import DatabaseUnavailable
from athanor.live import frames as frames_module
from athanor.protocol.entries import Entry, LogInput
from athanor.protocol.events import RunLog, RunLogs
from athanor.store import replay
from athanor.store.session import Session
from athanor.store.store import Store


class Write(NamedTuple):
    """So many lines for one of the runs, at one of the nodes; `waits` for the commit, or not."""

    node: int
    run: int
    lines: int
    waits: bool


class Trouble(NamedTuple):
    """Of a node: so many bells are not heard, reads fail, and commits are late to be told of."""

    node: int
    deaf: int
    failures: int
    late: int


class Cut(NamedTuple):
    """Read so many events at one of the nodes, and leave."""

    node: int
    events: int


class Pair:
    """Two engines on one database over all schedules, on one loop."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        given = Settings(database_url=url, flush_interval=0.001, queue_frames=3, queue_bytes=4096)
        self.engines = [Athanor(given) for _ in range(2)]
        self.deaf: dict[Relay, int] = {}
        self.failures: dict[Store, int] = {}
        self.late: dict[Store, int] = {}
        self.failed = 0

    def start(self, patch: pytest.MonkeyPatch) -> None:
        hear, follow, commit = Relay._hear, Store.follow, Store.commit

        def sometimes(relay: Relay, payload: str) -> None:
            if self.deaf.get(relay):
                self.deaf[relay] -= 1
            else:
                hear(relay, payload)

        async def unreliably(store: Store, job: Any) -> Any:
            if not self.failures.get(store):
                return await follow(store, job)
            self.failures[store] -= 1
            self.failed += 1
            if self.failed % 2:
                await follow(store, job)
            if self.failed % 10 == 0:
                raise ZeroDivisionError("a mistake of ours")
            raise DatabaseUnavailable("it is tried what happens then")

        async def late(store: Store, *given: Any) -> Any:
            done = await commit(store, *given)
            if self.late.get(store):
                self.late[store] -= 1
                await asyncio.sleep(0.002 * random.random())
            return done

        patch.setattr(Relay, "_hear", sometimes)
        patch.setattr(Store, "follow", unreliably)
        patch.setattr(Store, "commit", late)
        for engine in self.engines:
            self.runner.run(engine.start())

    def close(self) -> None:
        for engine in self.engines:
            self.runner.run(engine.stop())
        self.runner.close()


@pytest.fixture(scope="module")
def pair(shared_database: str) -> Iterator[Pair]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "PAGE_ROWS", 7)
        patch.setattr(replay, "RELAY_ROWS", 5)
        patch.setattr(frames_module, "FRAME_BYTES", 400)
        patch.setattr(relay_module, "LOOK_EVERY", 0.02)
        patch.setattr(relay_module, "READ_EVERY", 0)
        patch.setattr(relay_module, "RECONNECT", 0.002)
        pair = Pair(shared_database)
        pair.start(patch)
        try:
            yield pair
        finally:
            pair.close()


NODE, RUN = st.integers(0, 1), st.integers(0, 2)
STEPS = st.lists(
    st.builds(Write, NODE, RUN, st.integers(1, 9), st.booleans())
    | st.builds(Trouble, NODE, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    max_size=30,
)
CUTS = st.lists(st.builds(Cut, NODE, st.integers(1, 6)), max_size=25)

EncodedEntry = tuple[str, int]


class Reader:
    """Follows some runs, at whichever node its cuts say, coming back with its cursor."""

    def __init__(self, pair: Pair, runs: list[str], after: str) -> None:
        self.pair = pair
        self.topics = [f"experiments:run:{run}" for run in runs]
        self.cursor = after
        self.lines: list[EncodedEntry] = []
        self.numbers: list[int] = []

    async def follow(self, cuts: list[Cut]) -> None:
        """Until cancelled: as the cuts say, and then to the end."""
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


async def logged(engine: Athanor, runs: list[str]) -> list[EncodedEntry]:
    """The same out of the database, in the order of the numbers."""

    async def job(session: Session) -> list[EncodedEntry]:
        among, params = session.among("run_id", runs)
        sql = f"SELECT run_id, seq FROM events WHERE seq IS NOT NULL AND {among} ORDER BY n"
        return [(run, seq) for run, seq in await session.execute(sql, params)]

    return await engine.store.read(job)


async def write(pair: Pair, runs: list[str], steps: list[Write | Trouble]) -> None:
    waiting = []
    for step in steps:
        engine = pair.engines[step.node]
        if isinstance(step, Trouble):
            assert engine.relay is not None
            pair.deaf[engine.relay] = step.deaf
            pair.failures[engine.store] = step.failures
            pair.late[engine.store] = step.late
            continue
        entries: list[Entry] = [LogInput(message="x" * number) for number in range(step.lines)]
        receipt = asyncio.ensure_future(engine.append(runs[step.run], entries))
        waiting.append(receipt)
        if step.waits:
            await receipt
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS, one=CUTS, several=CUTS)
def who_moves_between_nodes_sees_the_log_once(
    pair: Pair, steps: list[Write | Trouble], one: list[Cut], several: list[Cut]
) -> None:
    async def scenario() -> None:
        engine = pair.engines[0]
        after = engine.store.cursor(await engine.store.newest_number())
        instance = await engine.create_instance("property")
        runs = [(await engine.create_run(instance.id)).id for _ in range(3)]
        for run in runs:
            await engine.start_run(run)
        readers = {
            Reader(pair, runs[:1], after): one,
            Reader(pair, runs[:2], after): several,
            Reader(pair, runs, after): one[::-1],
        }
        async with asyncio.timeout(30):  # who misses something would wait for it for ever
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
def test_who_moves_between_nodes_sees_the_log_once(pair: Pair) -> None:
    who_moves_between_nodes_sees_the_log_once(pair)
    # and the schedules took the ways that were meant
    assert pair.failed > 100
    assert min(engine.relay.reads for engine in pair.engines if engine.relay) > 100
    assert sum(engine.hub.overflowed for engine in pair.engines) > 0
