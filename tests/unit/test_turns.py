"""What holds the event loop is cut in slices: writes to many clients, and the work of a flush."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from athanor.config import Limits
from athanor.domain.commands import Work
from athanor.live.frames import Frame
from athanor.live.hub import Hub
from athanor.live.inbox import Inbox
from athanor.live.turns import BROADCAST, MANY, SEND, SMALL, Turns
from athanor.protocol.selection import Selection
from athanor.protocol.topics import Topic
from athanor.store import slices

from ..support.patience import PATIENCE

LARGE = SMALL + 1


async def take(turns: Turns, size: int) -> None:
    if not turns.take(size):
        await turns.wait(size)


@pytest.mark.anyio
@pytest.mark.parametrize(("size", "at_once"), [(LARGE, 10), (SMALL, MANY * 10)])
async def test_writers_take_turns_in_their_order(size: int, at_once: int) -> None:
    turns = Turns(10 * (SEND + size))
    written: list[int] = []

    async def write(number: int) -> None:
        for _ in range(3):
            await take(turns, size)
            written.append(number)

    writers = [asyncio.ensure_future(write(number)) for number in range(1500)]
    # one that leaves while it waits takes no turn
    await asyncio.sleep(0)
    writers.pop(1200).cancel()
    most, before = 0, 0
    while not all(writer.done() for writer in writers):
        # the writers that were woken, and those that then go on without waiting
        assert len(written) - before <= 10 + at_once
        most, before = max(most, len(written) - before), len(written)
        await asyncio.sleep(0)
    assert most >= at_once
    assert sorted(written) == sorted([number for number in range(1500) if number != 1200] * 3)
    # the first to wait was the first to go on
    firsts = list(dict.fromkeys(written))
    assert firsts == sorted(firsts)


@pytest.mark.anyio
async def test_small_writes_do_not_wait_for_large_ones() -> None:
    turns = Turns(LARGE)
    assert turns.take(LARGE)
    assert not turns.take(LARGE)
    waiting = asyncio.ensure_future(turns.wait(LARGE))
    await asyncio.sleep(0)
    assert turns.take(SMALL)
    assert not waiting.done()
    await asyncio.wait_for(waiting, PATIENCE)


@pytest.mark.anyio
async def test_a_write_of_more_than_a_turn_is_one_turn() -> None:
    turns = Turns(1000)
    async with asyncio.timeout(PATIENCE):
        for _ in range(3):
            await take(turns, 10**9)


@pytest.mark.anyio
@pytest.mark.parametrize("most", [1, 10 * SEND])
async def test_a_broadcast_serves_many_readers_in_turns(most: int) -> None:
    hub = Hub("e", 0, Limits(turn_bytes=most))
    readers, at_once = 1500, max(1, BROADCAST * most // (SEND + 6))
    taken: list[int] = []
    waiting = []

    def take(number: int, frame: Frame) -> bool:
        taken.append(number)
        return True

    for number in range(readers):
        inbox = Inbox(10, 1000, hub.backlog)
        inbox.take = partial(take, number)
        hub.register(Selection.make([Topic("runs")]), inbox)
        waiting.append(asyncio.ensure_future(inbox.get(1000)))
    await asyncio.sleep(0)
    hub.publish_progress("run", "instance", b"{1234}")
    before = 0
    while len(taken) < readers:
        assert 0 < len(taken) - before <= at_once
        before = len(taken)
        await asyncio.sleep(0)
    assert sorted(taken) == list(range(readers))
    assert not any(task.done() for task in waiting)
    hub.close()
    assert await asyncio.gather(*waiting) == [[]] * readers


@pytest.mark.anyio
async def test_work_in_slices_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE", -1.0)
    order: list[Any] = []

    def work() -> Work[str]:
        for number in range(3):
            order.append(number)
            yield
        return "done"

    async def other() -> None:
        for name in "ab":
            order.append(name)
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    assert await slices.in_slices(work()) == "done"
    await beside
    assert order == [0, "a", 1, "b", 2]

    def fails() -> Work[None]:
        yield
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await slices.in_slices(fails())
