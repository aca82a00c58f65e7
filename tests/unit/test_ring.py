"""The ring buffer against the plainest model of itself."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from athanor import RingFull
from athanor.engine.ring import RingBuffer


class Item(NamedTuple):
    count: int  # type: ignore[assignment]
    size: int


class RingMachine(RuleBasedStateMachine):
    """Any order of pushes, peeks and releases."""

    CAPACITY, BYTES = 7, 50

    def __init__(self) -> None:
        super().__init__()
        self.ring: RingBuffer[Item] = RingBuffer(self.CAPACITY, self.BYTES)
        self.model: deque[Item] = deque()

    @rule(item=st.builds(Item, st.integers(1, 5), st.integers(1, 40)))
    def push(self, item: Item) -> None:
        count = sum(held.count for held in self.model) + item.count
        size = sum(held.size for held in self.model) + item.size
        if self.model and (count > self.CAPACITY or size > self.BYTES):
            with pytest.raises(RingFull):
                self.ring.push(item)
        else:
            self.ring.push(item)
            self.model.append(item)

    @rule(max_count=st.integers(1, 9), max_bytes=st.integers(1, 60), data=st.data())
    def flush(self, max_count: int, max_bytes: int, data: st.DataObject) -> None:
        items = self.ring.peek(max_count, max_bytes)
        assert items == list(self.model)[: len(items)]
        assert bool(items) == bool(self.model)
        if len(items) > 1:
            assert sum(item.count for item in items) <= max_count
            assert sum(item.size for item in items) <= max_bytes
        if data.draw(st.booleans(), "committed"):
            self.ring.release(len(items))
            for _ in items:
                self.model.popleft()

    @invariant()
    def counts_what_it_holds(self) -> None:
        assert len(self.ring) == len(self.model)
        assert self.ring.count == sum(item.count for item in self.model)
        assert self.ring.size == sum(item.size for item in self.model)
        assert self.ring.peek(10**6, 10**6) == list(self.model)


TestRing = RingMachine.TestCase


def test_full_ring_refuses_and_takes_nothing() -> None:
    ring: RingBuffer[Item] = RingBuffer(2, 100)
    ring.push(Item(1, 10))
    with pytest.raises(RingFull, match="1 lines"):
        ring.push(Item(2, 10))
    assert ring.peek(10, 1000) == [Item(1, 10)]
