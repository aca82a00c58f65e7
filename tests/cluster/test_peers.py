"""What processes send each other: short enough, sent once, and never after a run's end."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from athanor.cluster.peers import PeerMessage, Peers
from athanor.live.hub import Hub
from athanor.live.liveness import Liveness
from athanor.live.progress import ProgressBoard
from athanor.protocol.records import Progress

pytestmark = pytest.mark.anyio

LONGEST = 8000
"""PostgreSQL refuses a payload of this many bytes."""

IDS = st.text("abcDEF019._-", min_size=1, max_size=64)
PROGRESS = st.builds(
    Progress,
    current=st.integers(0, 2**53),
    total=st.none() | st.floats(0, 1e300),
    message=st.none() | st.text(max_size=60) | st.sampled_from(["\x01" * 2500, "é" * 3000, "x" * 10**5]),
    updated_at=st.just("2026-11-24T17:30:00.123456Z"),
)


class Process:
    """One of several processes; `over` are the runs that it knows to have ended."""

    def __init__(self, name: str = "a") -> None:
        self.over: set[str] = set()
        self.board = ProgressBoard(Hub("3f09ac", 0), 0.1)
        self.liveness = Liveness(60)
        self.peers = Peers(name, self.board, self.liveness, self.over.__contains__)

    def report(self, run: str, current: int, at: str) -> Progress:
        progress = Progress(current=current, updated_at=at)
        self.board.report(run, f"instance of {run}", progress)
        self.peers.share_progress(run, f"instance of {run}", progress)
        return progress

    def send_to(self, *others: Process) -> list[PeerMessage]:
        with self.peers.notifications() as messages:
            for other in others:
                for message in messages:
                    other.peers.receive(message)
            return [msgspec.json.decode(message, type=PeerMessage) for message in messages]


@given(st.dictionaries(IDS, PROGRESS, max_size=40), st.sets(IDS, max_size=200))
def test_everything_is_sent_in_messages_that_are_short_enough(
    progress: dict[str, Progress], alive: set[str]
) -> None:
    async def scenario() -> None:
        process = Process()
        for run_id, each in progress.items():
            process.peers.share_progress(run_id, "i" * 64, each)
        for run_id in alive:
            process.peers.share_sign_of_life(run_id)
        with process.peers.notifications() as messages:
            assert all(len(message.encode()) < LONGEST for message in messages)
        sent: dict[str, Any] = {"progress": {}, "alive": []}
        for message in (msgspec.json.decode(each, type=PeerMessage) for each in messages):
            sent["progress"] |= message.progress
            sent["alive"] += message.alive
        assert sorted(sent["alive"]) == sorted(alive)
        assert sent["progress"].keys() == progress.keys()
        for run_id, each in sent["progress"].items():
            given = progress[run_id]
            assert (each.current, each.total) == (given.current, given.total)
            if each.message != given.message:
                assert (given.message or "").startswith((each.message or "").removesuffix("…"))
                assert len(msgspec.json.encode(given)) > LONGEST / 5

    asyncio.run(scenario())


async def test_what_could_not_be_sent_is_sent_again_and_the_newest_wins() -> None:
    process = Process()
    process.report("r", 1, "1")
    process.report("s", 1, "1")
    process.peers.share_sign_of_life("r")

    def break_off() -> None:
        with process.peers.notifications() as messages:
            assert len(messages) == 2
            process.report("r", 2, "2")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    (message,) = [message for message in process.send_to() if message.progress]
    assert {run: progress.current for run, progress in message.progress.items()} == {"r": 2, "s": 1}
    assert process.send_to() == []


async def test_a_process_that_asks_gets_what_is_known_and_keeps_what_is_newer() -> None:
    old, new = Process("old"), Process("new")
    for run in ("r", "s", "t", "u"):
        old.report(run, 1, "1")
    # this message reaches no process
    old.send_to()
    old.over.add("t")
    new.over.add("u")
    new.report("s", 2, "2")
    new.peers.request_progress()
    new.send_to(old)
    old.send_to(new)
    shown = {run: progress.current for run in "rstu" if (progress := new.board.latest(run))}
    assert shown == {"r": 1, "s": 2}
    assert new.board.known_of({"instance of r"}) == ["r"]
    assert old.send_to() == []


async def test_own_messages_and_nonsense_change_nothing() -> None:
    process = Process("a")
    for payload in ('{"sender":"a","progress":{"r":{"current":1}}}', "", "nonsense", '{"sender":1}'):
        process.peers.receive(payload)
    assert process.board.known() == []
