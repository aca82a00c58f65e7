"""The queue between the experiment's threads and the recorder."""

from __future__ import annotations

import threading

import pytest

from athanor.client.delivery.queue import EntryQueue
from athanor.client.limits import ClientLimits

from ..support.patience import PATIENCE


def test_entries_of_many_threads_arrive_once_and_in_each_threads_order() -> None:
    # a busy machine may leave the taking thread without time for long
    queue = EntryQueue(ClientLimits(queue_entries=500, queue_patience=60.0))
    taken: list[bytes] = []
    over = threading.Event()

    def take() -> None:
        while not over.is_set() or queue.filling.is_set():
            taken.extend(queue.take()[0])

    def put(thread: int) -> None:
        for number in range(5000):
            queue.put(b"%d %d" % (thread, number))

    taker = threading.Thread(target=take)
    putters = [threading.Thread(target=put, args=[number]) for number in range(4)]
    for thread in (taker, *putters):
        thread.start()
    for thread in putters:
        thread.join()
    over.set()
    taker.join()
    for putter in range(4):
        own = [entry for entry in taken if entry.startswith(b"%d " % putter)]
        assert own == [b"%d %d" % (putter, number) for number in range(5000)]
    assert len(taken) == 20_000


@pytest.mark.parametrize(
    "limits",
    [
        ClientLimits(queue_entries=10, queue_patience=0.01),
        ClientLimits(queue_bytes=100, queue_patience=0.01),
    ],
    ids=["entries", "bytes"],
)
def test_a_full_queue_drops_and_counts(limits: ClientLimits) -> None:
    queue = EntryQueue(limits)
    for number in range(25):
        queue.put(b"line %05d" % number)
    assert queue.half_full.is_set()
    entries, dropped = queue.take()
    assert entries == [b"line %05d" % number for number in range(10)]
    assert dropped == 15
    assert queue.take() == ([], 0)
    assert not queue.filling.is_set()
    queue.put(b"again")
    assert queue.filling.is_set()


def test_a_caller_that_finds_it_full_waits_for_room() -> None:
    queue = EntryQueue(ClientLimits(queue_entries=10, queue_patience=60.0))
    for _ in range(10):
        queue.put(b"x")
    waiting = threading.Thread(target=queue.put, args=[b"late"])
    waiting.start()
    assert queue.take() == ([b"x"] * 10, 0)
    waiting.join(PATIENCE)
    # without it the recorder would not come for this entry
    assert queue.filling.is_set()
    assert queue.take() == ([b"late"], 0)
