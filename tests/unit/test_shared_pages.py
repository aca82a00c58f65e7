"""Replays share pages, and each is what its subscriber would have read alone."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from athanor import Athanor, Settings
from athanor.config import Limits
from athanor.live import formats
from athanor.live.frames import Frame
from athanor.live.subscription import Subscription
from athanor.protocol.entries import LogInput, Report, ResultInput
from athanor.protocol.events import StoredEvent, topics_of
from athanor.protocol.selection import Selection
from athanor.store.session import Session

from ..support.patience import PATIENCE

TINY = Limits(
    page_rows=7,
    page_bytes=700,
    text_rows=9,
    frame_bytes=400,
    busy_entries=3,
    busy_topics=2,
    pages_bytes=3000,
)
RUNS = 4
TYPES = ["run_log", "run_result", "run_created", "run_started", "run_completed"]


class Wanted(NamedTuple):
    """What one subscriber replays: `runs` by number, from the share `begin` of the log on."""

    runs: list[int]
    wide: bool
    types: list[str] | None
    begin: float
    pauses: int


def settings_in(folder: str | Path, **given: Any) -> Settings:
    return Settings(database_url=f"sqlite:///{folder}/athanor.db", flush_interval=0.0005, **given)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[asyncio.Runner, Athanor]]:
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        asyncio.Runner() as runner,
    ):
        engine = Athanor(settings_in(folder), TINY)
        runner.run(engine.start())
        yield runner, engine
        runner.run(engine.stop())


async def stored(engine: Athanor) -> list[StoredEvent]:
    async def job(session: Session) -> list[StoredEvent]:
        return await session.events("SELECT n, type, instance_id, run_id, data FROM events ORDER BY n")

    return await engine.parts.store.read(job)


def numbers_by_entry(events: list[StoredEvent]) -> dict[tuple[str | None, str, int], int]:
    """The numbers of entries, by run, type and seq."""
    entries = [event for event in events if event.instance_id is None]
    return {(e.run_id, e.type, json.loads(e.data)["seq"]): e.n for e in entries}


def numbers_in(data: bytes, n: int | None, numbers: dict[tuple[str | None, str, int], int]) -> list[int]:
    """The numbers of the stored events in an event that was sent."""
    event = json.loads(data)
    for noun, many in (("log", "logs"), ("result", "results")):
        if noun in event or many in event:
            entries = event.get(many) or [event[noun]]
            return [numbers[event["run_id"], f"run_{noun}", entry["seq"]] for entry in entries]
    assert n is not None
    return [n]


async def replayed(
    reader: Subscription, numbers: dict[tuple[str | None, str, int], int], pauses: int
) -> list[int]:
    """The numbers of all events that `reader` replays."""
    found: list[int] = []
    for frame in await frames_of(reader, pauses):
        assert frame.encode(formats.sse) or not frame.events
        for event in frame.events:
            inside = numbers_in(event.data, event.n, numbers)
            # it can be resumed after any event
            assert event.n == inside[-1]
            found += inside
    return found


async def frames_of(reader: Subscription, pauses: int = 0) -> list[Frame]:
    """All frames that `reader` replays, with pauses between its reads."""
    await reader.open()
    made, at = reader._first, reader._at
    while at < reader._upto and not (made and made[-1].final):
        for _ in range(pauses):
            await asyncio.sleep(0.0002)
        more, at = await reader._source.page(reader._reading, at, reader._upto)
        made = made + more
    reader.close()
    return made


def expected(selection: Selection, events: list[StoredEvent], after: int) -> list[int]:
    found: list[int] = []
    for event in events:
        if event.n <= after or not set(topics_of(event)) & set(selection.topics):
            continue
        if event.type in selection.ends:
            return found + ([] if event.type in selection.hidden else [event.n])
        if selection.wants(event):
            found.append(event.n)
    return found


WRITES = st.lists(
    st.tuples(st.integers(0, RUNS - 1), st.lists(st.booleans(), min_size=1, max_size=12)), max_size=14
)
WANTED = st.builds(
    Wanted,
    st.lists(st.integers(0, RUNS - 1), min_size=1, max_size=RUNS, unique=True),
    st.booleans(),
    st.none() | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
    st.sampled_from([0.0, 0.0, 0.3, 0.8]),
    st.integers(0, 3),
)


@pytest.mark.long
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(writes=WRITES, ended=st.booleans(), wanted=st.lists(WANTED, min_size=1, max_size=8))
def test_each_subscriber_replays_what_it_wants(
    world: tuple[asyncio.Runner, Athanor],
    writes: list[tuple[int, list[bool]]],
    ended: bool,
    wanted: list[Wanted],
) -> None:
    runner, engine = world

    async def scenario() -> None:
        before = engine.statistics().newest_event
        instance = await engine.create_instance("shared")
        runs = [(await engine.create_run(instance.id)).id for _ in range(RUNS)]
        for run in runs:
            await engine.start_run(run)
        for number, (which, kinds) in enumerate(writes):
            reports: list[Report] = [
                LogInput(message="x" * (number * 7 % 90))
                if is_log
                else ResultInput(key="k", value=number)
                for is_log in kinds
            ]
            await engine.append(runs[which], reports)
        if ended:
            await engine.complete_run(runs[0])
        events = await stored(engine)
        numbers = numbers_by_entry(events)
        newest = engine.statistics().newest_event
        readers, expectations = [], []
        for each in wanted:
            topics = [f"experiments:run:{runs[which]}" for which in each.runs]
            topics += ["experiments:runs"] if each.wide else []
            after = before + int((newest - before) * each.begin)
            reader = engine.subscribe(*topics, after=engine.cursor(after), types=each.types)
            readers.append(replayed(reader, numbers, each.pauses))
            expectations.append(expected(reader.selection, events, after))
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.gather(*readers) == expectations

    runner.run(scenario())


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Athanor]:
    limits = Limits(page_seconds=60, page_rows=20, text_rows=20)
    async with Athanor(settings_in(tmp_path, retention_rows=10), limits) as engine:
        # only what a test deletes itself is gone
        await engine.parts.maintenance.stop()
        yield engine


async def started(engine: Athanor, instance: str, id: str, lines: int) -> None:
    await engine.create_run(instance, id=id)
    await engine.start_run(id)
    await engine.append(id, [LogInput(message=f"{number}") for number in range(lines)])


async def read_all(engine: Athanor, *runs: str, types: list[str] | None = None) -> list[tuple[str, str]]:
    """The run and the message of each line, and the reason of each gap."""
    topics = [f"experiments:run:{run}" for run in runs]
    reader = engine.subscribe(*topics, after=engine.cursor(0), types=types)
    found: list[tuple[str, str]] = []
    for frame in await frames_of(reader):
        for event in frame.events:
            data = json.loads(event.data)
            lines = data.get("logs") or ([data["log"]] if "log" in data else [])
            found += [(data["run_id"], line["message"]) for line in lines]
            found += [("gap", data["reason"])] if data["type"] == "gap" else []
    return found


@pytest.mark.anyio
async def test_a_page_of_a_busy_run_is_read_once_for_all_selections(engine: Athanor) -> None:
    instance = (await engine.create_instance("shared")).id
    await started(engine, instance, "hot", 200)
    for number in range(6):
        await started(engine, instance, f"other{number}", 1)
    before = engine.statistics().replay_pages
    hot = [("hot", f"{number}") for number in range(200)]
    assert await read_all(engine, "hot") == hot
    alone = engine.statistics().replay_pages - before
    assert alone > 10
    for number in range(6):
        other = f"other{number}"
        assert await read_all(engine, "hot", other) == [*hot, (other, "0")]
    # a few reads of each find what is not shared
    assert engine.statistics().replay_pages - before - alone <= 3 * 6
    sets = itertools.combinations(["run_started", "run_completed", "run_failed", "run_updated"], 2)
    before = engine.statistics().replay_pages
    for some in sets:
        assert await read_all(engine, "hot", types=["run_log", *some]) == hot
    assert engine.statistics().replay_pages - before == alone


@pytest.mark.anyio
async def test_a_run_of_the_same_id_has_nothing_of_the_one_before(engine: Athanor) -> None:
    instance = (await engine.create_instance("shared")).id
    await started(engine, instance, "again", 150)
    await started(engine, instance, "other", 1)
    # what the first one left is deleted when the second one is created, and pages are kept
    assert len(await read_all(engine, "again")) == 150
    await engine.complete_run("again")
    await engine.delete_run("again")
    await started(engine, instance, "again", 120)
    new = [("again", f"{number}") for number in range(120)]
    assert await read_all(engine, "again") == new
    assert sorted(await read_all(engine, "again", "other")) == sorted([*new, ("other", "0")])


@pytest.mark.anyio
async def test_what_was_deleted_is_not_replayed(engine: Athanor) -> None:
    instance = (await engine.create_instance("shared")).id
    await started(engine, instance, "run", 150)
    assert len(await read_all(engine, "run")) == 150
    await engine.parts.maintenance.delete_expired()
    kept = [("run", f"{number}") for number in range(140, 150)]
    assert await read_all(engine, "run") == [("gap", "expired"), *kept]
