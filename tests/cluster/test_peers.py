"""What processes tell each other: short enough, told once, and never behind a run's end."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athanor.cluster.peers import Notice, Peers
from athanor.live.hub import Hub
from athanor.live.liveness import Liveness
from athanor.live.progress import ProgressBoard
from athanor.protocol.records import Progress

pytestmark = pytest.mark.anyio

LONGEST = 8000
"""Bytes that PostgreSQL takes no notice of."""

IDS = st.text("abcDEF019._-", min_size=1, max_size=64)
TOLD = st.builds(
    Progress,
    current=st.integers(0, 2**53),
    total=st.none() | st.floats(0, 1e300),
    message=st.none() | st.text(max_size=60) | st.sampled_from(["\x01" * 2500, "é" * 3000, "x" * 10**5]),
    updated_at=st.just("2026-11-24T17:30:00.123456Z"),
)


class Process:
    """One of several; `over` are runs that it knows to have ended."""

    def __init__(self, name: str = "a") -> None:
        self.over: set[str] = set()
        self.board = ProgressBoard(Hub("3f09ac", 0), 0.1)
        self.liveness = Liveness(60)
        self.peers = Peers(name, self.board, self.liveness, self.over.__contains__)

    def report(self, run: str, current: int, at: str) -> Progress:
        progress = Progress(current=current, updated_at=at)
        self.board.report(run, progress)
        self.peers.tell_progress(run, progress)
        return progress

    def tell(self, *others: Process) -> list[Notice]:
        with self.peers.telling() as notices:
            for other in others:
                for notice in notices:
                    other.peers.hear(notice)
            return [msgspec.json.decode(notice, type=Notice) for notice in notices]


@given(st.dictionaries(IDS, TOLD, max_size=40), st.sets(IDS, max_size=200))
def test_all_is_told_in_notices_that_are_short_enough(
    progress: dict[str, Progress], heard: set[str]
) -> None:
    async def scenario() -> None:
        process = Process()
        for run_id, each in progress.items():
            process.peers.tell_progress(run_id, each)
        for run_id in heard:
            process.peers.tell_sign_of_life(run_id)
        with process.peers.telling() as notices:
            assert all(len(notice.encode()) < LONGEST for notice in notices)
        told: dict[str, Any] = {"progress": {}, "heard": []}
        for notice in (msgspec.json.decode(each, type=Notice) for each in notices):
            told["progress"] |= notice.progress
            told["heard"] += notice.heard
        assert sorted(told["heard"]) == sorted(heard)
        assert told["progress"].keys() == progress.keys()
        for run_id, each in told["progress"].items():
            given = progress[run_id]
            assert (each.current, each.total) == (given.current, given.total)
            if each.message != given.message:
                assert (given.message or "").startswith((each.message or "").removesuffix("…"))
                assert len(msgspec.json.encode(given)) > LONGEST / 5

    asyncio.run(scenario())


async def test_what_could_not_be_told_is_told_again_and_the_newest_wins() -> None:
    process = Process()
    process.report("r", 1, "1")
    process.report("s", 1, "1")
    process.peers.tell_sign_of_life("r")

    def break_off() -> None:
        with process.peers.telling() as notices:
            assert len(notices) == 2
            process.report("r", 2, "2")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    (notice,) = [notice for notice in process.tell() if notice.progress]
    assert {run: progress.current for run, progress in notice.progress.items()} == {"r": 2, "s": 1}
    assert process.tell() == []


async def test_who_asks_gets_what_is_known_and_keeps_what_is_newer() -> None:
    old, new = Process("old"), Process("new")
    for run in ("r", "s", "t", "u"):
        old.report(run, 1, "1")
    old.tell()  # nobody heard it
    old.over.add("t")
    new.over.add("u")
    new.report("s", 2, "2")
    new.peers.ask()
    new.tell(old)
    old.tell(new)
    shown = {run: progress.current for run in "rstu" if (progress := new.board.latest(run))}
    assert shown == {"r": 1, "s": 2}
    assert old.tell() == []


async def test_own_notices_and_nonsense_change_nothing() -> None:
    process = Process("a")
    for payload in ('{"sender":"a","progress":{"r":{"current":1}}}', "", "nonsense", '{"sender":1}'):
        process.peers.hear(payload)
    assert process.board.known() == []
