"""The inbox: a waiting subscriber gets frames at once, and only one that is behind has a queue."""

from __future__ import annotations

import asyncio

import pytest

from athanor.live.backlog import Backlog
from athanor.live.frames import Frame, WireEvent
from athanor.live.inbox import Inbox
from athanor.live.refusals import Refusals


def frame(n: int, size: int = 10) -> Frame:
    return Frame("e", [WireEvent(n, "run_log", b"x" * size)], n)


def inbox(frames: int = 10, size: int = 10_000) -> Inbox:
    return Inbox(frames, size, Backlog(10**6, Refusals()))


async def step() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.anyio
async def test_a_frame_is_taken_only_while_the_subscriber_waits() -> None:
    box, taken = inbox(), list[Frame]()

    def take(offered: Frame) -> bool:
        taken.append(offered)
        return True

    box.take = take
    first, second, third = frame(1), frame(2), frame(3)
    box.offer(first)
    assert not taken
    assert await box.get(10_000) == [first]
    waiting = asyncio.ensure_future(box.get(10_000))
    await step()
    box.offer(second)
    assert taken == [second]
    assert not waiting.done()
    box.rouse()
    # it has something to take, so what follows stands behind that
    box.offer(third)
    assert taken == [second]
    assert (await waiting)[1:] == [third]


@pytest.mark.anyio
async def test_a_frame_that_is_not_taken_stands_before_those_after_it() -> None:
    box, taken = inbox(), list[Frame]()

    def take(offered: Frame) -> bool:
        if offered.last == 2:
            return False
        taken.append(offered)
        return True

    box.take = take
    frames = [frame(n) for n in range(1, 5)]
    waiting = asyncio.ensure_future(box.get(10_000))
    await step()
    for each in frames:
        box.offer(each)
    assert taken == frames[:1]
    assert await waiting == frames[1:]


@pytest.mark.anyio
async def test_a_subscriber_that_leaves_takes_nothing_any_more() -> None:
    box = inbox()
    box.take = lambda offered: pytest.fail("nobody waits")
    waiting = asyncio.ensure_future(box.get(10_000))
    await step()
    waiting.cancel()
    await step()
    kept = frame(1)
    box.offer(kept)
    assert await box.get(10_000) == [kept]


@pytest.mark.anyio
@pytest.mark.parametrize("end", [Inbox.close, Inbox.discard])
async def test_a_closed_inbox_ends_its_subscriber(end: object) -> None:
    box = inbox()
    waiting = asyncio.ensure_future(box.get(10_000))
    await step()
    end(box)  # type: ignore[operator]
    assert await waiting == []
    assert box.offer(frame(1))
    assert await box.get(10_000) == []


def test_a_frame_that_is_too_large_for_an_empty_inbox_makes_it_overflow() -> None:
    box = inbox(size=10)
    assert not box.offer(frame(1, size=100))
    assert box.overflowed
    box.reset()
    assert not box.overflowed
