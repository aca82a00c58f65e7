"""What holds the event loop is cut in slices: writes to many clients, and the work of a flush."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from athanor.domain.commands import Work
from athanor.live.turns import SEND, Turns
from athanor.store import slices


@pytest.mark.anyio
async def test_writers_take_turns_in_their_order() -> None:
    turns = Turns(10 * (SEND + 1000))
    written: list[int] = []

    async def write(number: int) -> None:
        for _ in range(3):
            await turns.take(1000)
            written.append(number)

    writers = [asyncio.ensure_future(write(number)) for number in range(100)]
    # one that leaves while it waits takes no turn
    await asyncio.sleep(0)
    writers.pop(50).cancel()
    before = 0
    while not all(writer.done() for writer in writers):
        await asyncio.sleep(0)
        # else than by turns, all of them would have written before anything else ran
        assert len(written) - before <= 2 * 10
        before = len(written)
    assert written[:10] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert sorted(written) == sorted([number for number in range(100) if number != 50] * 3)
    # the first to wait was the first to go on
    firsts = list(dict.fromkeys(written))
    assert firsts[4:] == sorted(firsts[4:])


@pytest.mark.anyio
async def test_a_write_of_more_than_a_turn_is_one_turn() -> None:
    turns = Turns(1000)
    async with asyncio.timeout(30):
        for _ in range(3):
            await turns.take(10**9)


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
