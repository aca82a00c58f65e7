"""The queue between the experiment and its recorder."""

from __future__ import annotations

import threading

import pytest

from athanor.client.delivery.queue import LineQueue


def test_lines_of_many_threads_arrive_once_each_threads_own_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LineQueue, "PATIENCE", 60.0)  # a busy machine may starve who takes
    queue = LineQueue(most_lines=500)
    taken: list[bytes] = []
    over = threading.Event()

    def take() -> None:
        while not over.is_set() or queue.filling.is_set():
            taken.extend(queue.take()[0])

    def put(who: int) -> None:
        for number in range(5000):
            queue.put(b"%d %d" % (who, number))

    taker = threading.Thread(target=take)
    putters = [threading.Thread(target=put, args=[who]) for who in range(4)]
    for thread in (taker, *putters):
        thread.start()
    for thread in putters:
        thread.join()
    over.set()
    taker.join()
    for who in range(4):
        own = [line for line in taken if line.startswith(b"%d " % who)]
        assert own == [b"%d %d" % (who, number) for number in range(5000)]
    assert len(taken) == 20_000


@pytest.mark.parametrize("bounds", [{"most_lines": 10}, {"most_bytes": 100}])
def test_a_queue_that_nobody_empties_drops_and_counts(
    bounds: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LineQueue, "PATIENCE", 0.01)
    queue = LineQueue(**bounds)
    for number in range(25):
        queue.put(b"line %05d" % number)
    assert queue.half_full.is_set()
    lines, dropped = queue.take()
    assert lines == [b"line %05d" % number for number in range(10)]
    assert dropped == 15
    assert queue.take() == ([], 0)
    assert not queue.filling.is_set()
    queue.put(b"again")
    assert queue.filling.is_set()


def test_who_finds_it_full_waits_for_room() -> None:
    queue = LineQueue(most_lines=10)
    for _ in range(10):
        queue.put(b"x")
    waiting = threading.Thread(target=queue.put, args=[b"late"])
    waiting.start()
    assert queue.take() == ([b"x"] * 10, 0)
    waiting.join(10)
    assert queue.filling.is_set()  # else nobody would come for it
    assert queue.take() == ([b"late"], 0)
