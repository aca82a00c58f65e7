"""A stream that breaks after any byte and resumes with its last id adds up to exactly the log.

The tests call the application over ASGI, so that a schedule decides after which byte a stream is
cut, and when its reader stalls. Pages, frames and inboxes are tiny, so that every schedule crosses
their borders many times.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from athanor import Application, Athanor, Settings
from athanor.config import Limits
from athanor.protocol.entries import LogInput, Report, ResultInput

from ..support.patience import PATIENCE


class Write(NamedTuple):
    """Entries for one of the runs, `True` a log and `False` a result, as one request."""

    run: int
    entries: list[bool]


class Cut(NamedTuple):
    """Stall for `stall` writes, read `bytes` bytes, and cut the connection."""

    bytes: int
    stall: int


class World:
    """One application for all schedules, on one event loop."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.database = folder / "athanor.db"
        url = f"sqlite:///{self.database}"
        self.engine = Athanor(
            Settings(database_url=url, flush_interval=0.0005, queue_frames=3, queue_bytes=4096),
            Limits(page_rows=7, page_bytes=700, text_rows=9, frame_bytes=400, busy_entries=5),
        )
        self.app = Application(self.engine)
        self.runner.run(self.engine.start())

    def close(self) -> None:
        self.runner.run(self.engine.stop())
        self.runner.close()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    # these tests make many commits: in memory, where there is such a folder, each fsync is free
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        world = World(Path(folder))
        try:
            yield world
        finally:
            world.close()


class Reader:
    """A client as in the HTML standard: takes whole events only, and resumes with the last id."""

    def __init__(self, world: World, query: str) -> None:
        self.world = world
        self.query = query
        self.last_id = ""
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.status = 0
        self.goal: int | None = None
        self._received = bytearray()
        self._disconnected = asyncio.Event()
        self._moved = asyncio.Event()

    def moved(self) -> None:
        """Something was written; a reader that stalls counts the writes."""
        self._moved.set()
        self._moved = asyncio.Event()

    def finish(self, goal: int) -> None:
        """Nothing more is written: disconnect when `goal` entries and events have come."""
        self.goal = goal
        self.moved()
        self._disconnect_at_goal()

    def _disconnect_at_goal(self) -> None:
        if self.goal is not None and len(seen(self.events + self._parse())) >= self.goal:
            self._disconnected.set()

    async def connect(self, cut: Cut = Cut(2**31, 0)) -> None:  # noqa: B008 - a tuple
        """One connection, until it is cut, ends, or has brought everything."""
        self._received.clear()
        self._disconnected.clear()
        self._disconnect_at_goal()
        stalls = cut.stall

        async def receive() -> dict[str, Any]:
            await self._disconnected.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal stalls
            if message["type"] == "http.response.start":
                self.status = message["status"]
                assert self.status in (200, 204), self.status
                return
            while stalls and self.goal is None:
                stalls -= 1
                await self._moved.wait()
            if self._disconnected.is_set():
                return
            self._received.extend(message.get("body", b""))
            if len(self._received) >= cut.bytes:
                del self._received[cut.bytes :]
                self._disconnected.set()
            self._disconnect_at_goal()

        headers = [(b"host", b"localhost")]
        headers += [(b"last-event-id", self.last_id.encode())] if self.last_id else []
        scope = {
            **{"type": "http", "method": "GET", "scheme": "http", "http_version": "1.1"},
            **{"path": "/events", "raw_path": b"/events", "root_path": ""},
            **{"query_string": self.query.encode(), "headers": headers},
        }
        await self.world.app(scope, receive, send)
        new = self._parse()
        self.events += new
        self.last_id = next((id for id, _ in reversed(new) if id), self.last_id)

    def _parse(self) -> list[tuple[str, dict[str, Any]]]:
        events = []
        for block in bytes(self._received).split(b"\n\n")[:-1]:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if line[:1] != b":")
            if b"data" in fields:
                data = json.loads(fields[b"data"])
                assert data["type"] == fields[b"event"].decode()
                events.append((fields.get(b"id", b"").decode(), data))
        return events


def seen(events: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str, int | None]]:
    """The events, entry by entry, as type, id of run or instance, and seq."""
    found: list[tuple[str, str, int | None]] = []
    for _, data in events:
        match data:
            case {"type": "run_log" | "run_logs", "run_id": run_id}:
                logs = data.get("logs") or [data["log"]]
                found += [("run_log", run_id, log["seq"]) for log in logs]
            case {"type": "run_result" | "run_results", "run_id": run_id}:
                results = data.get("results") or [data["result"]]
                found += [("run_result", run_id, result["seq"]) for result in results]
            case {"type": type_, "run": run}:
                found.append((type_, run["id"], None))
            case {"type": type_, "instance": instance}:
                found.append((type_, instance["id"], None))
    return found


def logged(world: World, where: str, *params: str) -> list[tuple[str, str, int | None]]:
    """The same from the database, over another connection."""
    connection = sqlite3.connect(world.database)
    try:
        sql = f"SELECT type, ifnull(run_id, instance_id), seq FROM events WHERE {where} ORDER BY n"
        return [(type_, id, seq) for type_, id, seq in connection.execute(sql, params)]
    finally:
        connection.close()


WRITES = st.lists(
    st.builds(Write, st.integers(0, 2), st.lists(st.booleans(), min_size=1, max_size=12)), max_size=25
)
CUTS = st.lists(st.builds(Cut, st.integers(1, 3000), st.integers(0, 6)), max_size=25)
PROPERTY = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


async def start_runs(world: World) -> tuple[str, list[str]]:
    instance = await world.engine.create_instance("property")
    runs = [(await world.engine.create_run(instance.id)).id for _ in range(3)]
    for run in runs:
        await world.engine.start_run(run)
    return instance.id, runs


async def write_all(world: World, runs: list[str], writes: list[Write], reader: Reader) -> None:
    """Write as scheduled, wait for the commit of every third write, and end every run."""
    for number, write in enumerate(writes):
        entries: list[Report] = [
            LogInput(message=f"line {number} of {'x' * (number * 7 % 90)}")
            if is_log
            else ResultInput(key="loss", value=number)
            for is_log in write.entries
        ]
        append = world.engine.append_later if number % 3 else world.engine.append
        await append(runs[write.run], entries)
        await asyncio.sleep(0)
        reader.moved()
    for run in runs:
        await world.engine.complete_run(run)
        reader.moved()


async def read_while_written(
    world: World,
    runs: list[str],
    writes: list[Write],
    cuts: list[Cut],
    reader: Reader,
    where: str,
    *params: str,
) -> None:
    """Run the schedule; at its end the reader has each entry of the database once, in order."""

    async def write() -> list[tuple[str, str, int | None]]:
        await write_all(world, runs, writes, reader)
        expected = logged(world, where, *params)
        reader.finish(len(expected))
        return expected

    # a reader that misses an event would wait for it without end
    async with asyncio.timeout(PATIENCE):
        writing = asyncio.ensure_future(write())
        for cut in cuts:
            await reader.connect(cut)
        while len(seen(reader.events)) < len(await writing):
            await reader.connect()
    assert seen(reader.events) == await writing
    numbers = [int(id.split("-")[1]) for id, _ in reader.events]
    assert numbers == sorted(set(numbers))


@PROPERTY
@given(writes=WRITES, cuts=CUTS)
def broken_stream_of_a_run_adds_up_to_its_log(world: World, writes: list[Write], cuts: list[Cut]) -> None:
    async def scenario() -> None:
        _, runs = await start_runs(world)
        reader = Reader(world, f"topic=experiments:run:{runs[0]}&last_event_id=0")
        await read_while_written(world, runs, writes, cuts, reader, "run_id = ?", runs[0])
        await reader.connect()
        assert reader.status == 204

    world.runner.run(scenario())


@PROPERTY
@given(writes=WRITES, cuts=CUTS)
def broken_stream_of_several_topics_adds_up_to_the_log(
    world: World, writes: list[Write], cuts: list[Cut]
) -> None:
    async def scenario() -> None:
        begin = world.engine.cursor(world.engine.statistics().newest_event)
        instance, runs = await start_runs(world)
        topics = ("runs", f"instance:{instance}", f"run:{runs[0]}", f"run:{runs[1]}")
        query = "&".join(f"topic=experiments:{topic}" for topic in topics)
        reader = Reader(world, f"{query}&last_event_id={begin}")
        where = "run_id IN (?, ?, ?) AND (instance_id IS NOT NULL OR run_id <> ?)"
        await read_while_written(world, runs, writes, cuts, reader, where, *runs, runs[2])

    world.runner.run(scenario())


@pytest.mark.long
@pytest.mark.parametrize(
    "holds",
    [broken_stream_of_a_run_adds_up_to_its_log, broken_stream_of_several_topics_adds_up_to_the_log],
)
def test_broken_streams_add_up_to_the_log(holds: Callable[[World], None], world: World) -> None:
    before = world.engine.statistics()
    holds(world)
    after = world.engine.statistics()
    # the schedules made inboxes overflow, and their readers replay
    assert after.overflows - before.overflows > 5
    assert after.replay_pages - before.replay_pages > 500
