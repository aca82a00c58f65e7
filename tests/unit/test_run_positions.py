"""The positions of runs are read for all that ask at one time, and are as new as each question."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from athanor.exceptions import DatabaseUnavailable
from athanor.live import run_positions
from athanor.live.run_positions import RunPositions
from athanor.store.queries import RunPosition
from athanor.store.store import Store


class SlowStore:
    """A store whose reads wait for `go`; `runs` are those that exist when a read begins."""

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.go = asyncio.Event()
        self.began = asyncio.Event()
        self.begun = 0
        self.broken = False
        self.sizes: list[int] = []

    async def read(self, job: Any) -> dict[str, RunPosition]:
        self.begun += 1
        self.began.set()
        ids = job.keywords["run_ids"]
        self.sizes.append(len(ids))
        found = {id: RunPosition(int(id), None, 0, 0) for id in ids if id in self.runs}
        await self.go.wait()
        if self.broken:
            raise DatabaseUnavailable("gone", "for this test")
        return found


@pytest.mark.anyio
async def test_questions_at_one_time_are_one_read_and_later_ones_the_next() -> None:
    store = SlowStore()
    store.runs = {str(n) for n in range(0, 1000, 2)}
    positions = RunPositions(cast("Store", store))
    first = [asyncio.ensure_future(positions.get([str(n), str(n + 1)])) for n in range(1000)]
    await store.began.wait()
    # created after the first read has begun, so that one must not answer for it
    store.runs.add("5001")
    later = [asyncio.ensure_future(positions.get(["5001"])) for _ in range(100)]
    leaver = later.pop()
    await asyncio.sleep(0)
    leaver.cancel()
    store.go.set()
    answers = await asyncio.gather(*first)
    assert [set(answer) for answer in answers] == [{str(n + n % 2)} & store.runs for n in range(1000)]
    assert all(set(answer) == {"5001"} for answer in await asyncio.gather(*later))
    assert positions.reads == store.begun == 2
    assert await positions.get(["6"]) == {"6": RunPosition(6, None, 0, 0)}


@pytest.mark.anyio
async def test_a_failed_read_fails_those_that_waited_for_it_alone() -> None:
    store = SlowStore()
    store.runs, store.broken = {"1"}, True
    positions = RunPositions(cast("Store", store))
    failing = [asyncio.ensure_future(positions.get(["1"])) for _ in range(3)]
    await store.began.wait()
    store.go.set()
    for each in failing:
        with pytest.raises(DatabaseUnavailable):
            await each
    store.broken = False
    assert set(await positions.get(["1"])) == {"1"}


@pytest.mark.anyio
async def test_a_read_has_a_bounded_number_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_positions, "MOST_RUNS", 50)
    store = SlowStore()
    store.go.set()
    positions = RunPositions(cast("Store", store))
    asking = [positions.get([str(10 * n + each) for each in range(10)]) for n in range(100)]
    await asyncio.gather(*asking)
    assert sum(store.sizes) == 1000
    assert max(store.sizes) < 60
