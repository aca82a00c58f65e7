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


def taken_by(box: Inbox) -> list[Frame]:
    """The frames that the inbox hands to its subscriber while that waits, now and later."""
    taken: list[Frame] = []

    def take(offered: Frame) -> bool:
        taken.append(offered)
        return True

    box.take = take
    return taken


@pytest.mark.anyio
async def test_a_frame_is_taken_only_while_the_subscriber_waits() -> None:
    box = inbox()
    taken = taken_by(box)
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


@pytest.mark.anyio
async def test_a_postponed_frame_is_taken_later_and_before_those_after_it() -> None:
    box = inbox()
    taken = taken_by(box)
    frames = [frame(n) for n in range(1, 6)]
    waiting = asyncio.ensure_future(box.get(10_000))
    await step()
    assert box.postpone(frames[0])
    assert not box.is_empty
    assert not taken
    box.catch_up()
    assert taken == frames[:1]
    box.catch_up()
    assert taken == frames[:1]
    # it is behind now: its subscriber takes all of them together
    for each in (frames[1], frames[2], frames[3]):
        assert box.postpone(each)
    await step()
    assert not waiting.done()
    box.catch_up()
    assert await waiting == frames[1:4]
    # nobody waits, so there is nothing to postpone
    assert box.postpone(frames[4])
    assert await box.get(10_000) == frames[4:]
    assert taken == frames[:1]


@pytest.mark.anyio
@pytest.mark.parametrize("event", ["close", "cancel", "overflow", "discard"])
async def test_a_postponed_frame_is_kept_or_dropped_like_others(event: str) -> None:
    box = inbox(frames=2)
    box.take = lambda offered: pytest.fail("it is not taken any more")
    waiting = asyncio.ensure_future(box.get(10_000))
    await step()
    assert box.postpone(frame(1))
    if event == "close":
        box.close()
        assert [each.last for each in await waiting] == [1]
    elif event == "cancel":
        waiting.cancel()
        await step()
        box.catch_up()
        assert [each.last for each in await box.get(10_000)] == [1]
    elif event == "overflow":
        assert box.offer(frame(2))
        assert not box.offer(frame(3))
        assert await waiting == []
        assert box.overflowed
    else:
        box.discard()
        assert await waiting == []
    box.catch_up()
    assert box.is_empty
