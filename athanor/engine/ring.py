"""The ring buffer: what is accepted and not yet committed. It uses neither asyncio nor a database."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from ..exceptions import RingFull


class Weighted(Protocol):
    """What the ring holds: anything that knows its number of entries and bytes."""

    @property
    def count(self) -> int: ...

    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=Weighted)


class RingBuffer(Generic[T]):
    """First in, first out; at most `capacity` entries and `max_bytes` bytes; it never overwrites.

    An item stays until it is released, so that a flush can be tried again. An empty ring takes an
    item that is larger than `max_bytes`, because it would never fit otherwise.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._slots: list[T | None] = [None] * capacity
        self._head = 0
        self._items = 0
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.count = 0
        self.size = 0

    def __len__(self) -> int:
        return self._items

    def fits(self, item: Weighted) -> bool:
        if not self._items:
            return True
        return (
            self._items < self.capacity
            and self.count + item.count <= self.capacity
            and self.size + item.size <= self.max_bytes
        )

    def push(self, item: T) -> None:
        """Take an item. Raises `RingFull`, and takes nothing, if there is no room for all of it."""
        if not self.fits(item):
            raise RingFull(
                f"{self.count} lines ({self.size} bytes) wait to be written, "
                f"of {self.capacity} ({self.max_bytes} bytes) at most"
            )
        self._slots[(self._head + self._items) % self.capacity] = item
        self._items += 1
        self.count += item.count
        self.size += item.size

    def peek(self, max_count: int, max_bytes: int) -> list[T]:
        """The oldest items within both bounds; at least one, if the ring is not empty."""
        items: list[T] = []
        count = size = 0
        for offset in range(self._items):
            item = self._slots[(self._head + offset) % self.capacity]
            assert item is not None
            count += item.count
            size += item.size
            if items and (count > max_count or size > max_bytes):
                break
            items.append(item)
        return items

    def release(self, number: int) -> None:
        """Drop the oldest `number` items: they are committed, or refused."""
        assert number <= self._items
        for _ in range(number):
            item = self._slots[self._head]
            assert item is not None
            self._slots[self._head] = None
            self._head = (self._head + 1) % self.capacity
            self._items -= 1
            self.count -= item.count
            self.size -= item.size
