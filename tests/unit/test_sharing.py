"""What subscribers share: each event of a flush or a replay is grouped and encoded once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athanor import Athanor, Settings
from athanor.live import formats
from athanor.live.backlog import Backlog
from athanor.live.frames import Frame, WireEvent, frames_of
from athanor.live.inbox import Inbox
from athanor.live.refusals import Refusals
from athanor.live.segments import segments_of
from athanor.live.subscription import Subscription
from athanor.protocol.entries import LogInput, Report, ResultInput
from athanor.protocol.events import StoredEvent
from athanor.protocol.selection import Selection

from ..support.patience import PATIENCE

LONG = "x" * 40_000
"""A line that is an event of its own piece."""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Athanor]:
    async with Athanor(Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}")) as engine:
        yield engine


async def two_runs(engine: Athanor) -> tuple[str, str]:
    instance = await engine.create_instance("shared")
    ids = []
    for _ in range(2):
        run = await engine.create_run(instance.id)
        await engine.start_run(run.id)
        ids.append(run.id)
    return ids[0], ids[1]


def topic(run: str) -> str:
    return f"experiments:run:{run}"


async def next_frames(reader: Subscription) -> list[Frame]:
    return await asyncio.wait_for(reader.next(), PATIENCE)


def large_pieces(frames: list[Frame]) -> list[bytes]:
    pieces = [piece for frame in frames for piece in frame.encode(formats.sse)]
    return [piece for piece in pieces if len(piece) > len(LONG)]


@pytest.mark.anyio
async def test_selections_share_the_bytes_of_a_flush(engine: Athanor) -> None:
    hot, other = await two_runs(engine)
    readers = [
        engine.subscribe(topic(hot)),
        engine.subscribe(topic(hot), types=["run_logs"]),
        engine.subscribe(topic(hot), "experiments:instances"),
        engine.subscribe(topic(hot), topic(other)),
        engine.subscribe(topic(hot), topic(other), types=["run_log", "run_completed"]),
    ]
    for reader in readers:
        await reader.open()
    # in one flush
    await asyncio.gather(
        engine.append(hot, [LogInput(message=LONG), LogInput(message=LONG)]),
        engine.append(other, [LogInput(message="other")]),
    )
    shared = [large_pieces(await next_frames(reader)) for reader in readers]
    assert len(shared[0]) == 1
    assert all(len(pieces) == 1 and pieces[0] is shared[0][0] for pieces in shared)
    for reader in readers:
        reader.close()
    assert engine.parts.hub.backlog.size == 0


@pytest.mark.anyio
async def test_selections_share_the_bytes_of_a_replay(engine: Athanor) -> None:
    hot, other = await two_runs(engine)
    await engine.append(hot, [LogInput(message=LONG), LogInput(message=LONG)])
    begin = engine.cursor(0)
    readers = [
        engine.subscribe(topic(hot), after=begin),
        engine.subscribe(topic(hot), after=begin, types=["run_logs"]),
        engine.subscribe(topic(hot), topic(other), after=begin),
    ]
    frames = []
    for reader in readers:
        await reader.open()
        frames.append(await next_frames(reader))
    shared = [large_pieces(each) for each in frames]
    assert all(len(pieces) == 1 and pieces[0] is shared[0][0] for pieces in shared)
    for reader in readers:
        reader.close()


@pytest.mark.anyio
async def test_types_that_alternate_are_grouped_by_what_is_wanted(engine: Athanor) -> None:
    run, _ = await two_runs(engine)
    reports: list[Report] = [
        entry
        for at in range(3)
        for entry in (LogInput(message=f"{at}"), ResultInput(key="loss", value=at))
    ]
    all_types = engine.subscribe(topic(run))
    logs = [engine.subscribe(topic(run), "experiments:instances", types=["run_log"]) for _ in "ab"]
    for reader in (all_types, *logs):
        await reader.open()
    await engine.append(run, reports)
    (whole,) = await next_frames(all_types)
    assert [event.type for event in whole.events] == ["run_log", "run_result"] * 3
    (first,), (second,) = [await next_frames(reader) for reader in logs]
    assert [event.type for event in first.events] == ["run_logs"]
    assert first is second
    # the results after it are not wanted, and not reached by it
    assert first.last == whole.events[-2].n
    for reader in (all_types, *logs):
        reader.close()


ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["run_log", "run_result"])), max_size=40)
TYPES = st.sampled_from([None, ["run_log"], ["run_result"], ["run_log", "run_result"], ["run_started"]])


@given(rows=ROWS, types=TYPES, most=st.integers(20, 400))
def test_frames_have_what_is_wanted_in_the_order_of_numbers(
    rows: list[tuple[str, str]], types: list[str] | None, most: int
) -> None:
    stored = [
        StoredEvent(n, type_, None, run, n, None, b'{"seq":%d}' % n)
        for n, (run, type_) in enumerate(rows, 1)
    ]
    selection = Selection.make(["experiments:run:a", "experiments:run:b"], types)
    parts = [part for s in segments_of(stored, most) if (part := s.part(selection.stored_types))]
    frames = list(frames_of("e", parts, selection.hidden, selection.ends, most))
    wanted = [event for event in stored if selection.wants(event)]
    assert [n for frame in frames for n in seqs(frame)] == [event.n for event in wanted]
    # a stream that is resumed after any event goes on with the next entry
    for frame in frames:
        assert frame.last == frame.events[-1].n
        for event in frame.events:
            assert event.n == seqs(Frame("e", [event]))[-1]


def seqs(frame: Frame) -> list[int]:
    found: list[int] = []
    for event in frame.events:
        (entries,) = (
            v for k, v in msgspec.json.decode(event.data).items() if k not in ("type", "run_id")
        )
        found += [entry["seq"] for entry in (entries if isinstance(entries, list) else [entries])]
    return found


class Blocked:
    """A client that holds one frame and is cut off when the backlog says so."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.is_cut = False

    def cut_off(self) -> None:
        self.is_cut = True
        self.inbox.discard()


def frame_of(size: int) -> Frame:
    return Frame("e", [WireEvent(1, "run_log", bytes(size))])


def test_the_backlog_counts_shared_frames_once_and_cuts_the_oldest_off() -> None:
    refusals = Refusals()
    backlog = Backlog(10_000, refusals)
    clients = [Blocked(Inbox(10, 10_000, backlog)) for _ in range(3)]
    shared = frame_of(1000)
    for client in clients:
        client.inbox.offer(shared)
        backlog.block(client, [shared], 500)
    assert backlog.size == 2 * 1000 + 3 * 500
    # the first one takes a chunk, and waits for the next one
    backlog.unblock(clients[0])
    backlog.block(clients[0], [shared], 500)
    clients[1].inbox.offer(frame_of(3500))
    assert not any(client.is_cut for client in clients)
    backlog.enforce()
    assert [client.is_cut for client in clients] == [False, True, False]
    assert backlog.size == 2 * 1000 + 2 * 500
    assert +Counter(refusals.counts) == {"backlog": 1}
    for client in clients:
        backlog.unblock(client)
        client.inbox.discard()
    assert backlog.size == 0
    assert shared.holders == 0


@pytest.mark.anyio
async def test_a_discarded_inbox_wakes_its_reader_and_holds_nothing() -> None:
    backlog = Backlog(10_000, Refusals())
    for frames, close_first in itertools.product((0, 3), (False, True)):
        inbox = Inbox(10, 10_000, backlog)
        for _ in range(frames):
            inbox.offer(frame_of(10))
        taking = asyncio.ensure_future(inbox.get(10))
        if close_first:
            inbox.close()
        inbox.discard()
        assert await asyncio.wait_for(taking, PATIENCE) == []
        assert backlog.size == 0
