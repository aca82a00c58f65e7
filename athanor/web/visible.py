"""What a caller may see of a list, or of a stream, of all runs or instances."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec

from ..live.frames import Frame, WireEvent
from ..live.subscription import Subscription
from ..protocol.events import ENTRY_TYPES, PLURAL, Event
from ..protocol.pages import Page
from .permission import WIDE, Permission

T = TypeVar("T")

MAX_READS = 20
"""Pages that are read for one page of a filtered list; it may be short, and `next` goes on."""

_ENTRIES = ENTRY_TYPES | frozenset(PLURAL.values())


async def visible_page(
    fetch: Callable[[int | None, int], Awaitable[Page[T]]],
    sees: Callable[[T], Awaitable[bool]] | None,
    before: int | None,
    limit: int,
) -> Page[T]:
    """The next `limit` items that a caller sees; without `sees` it sees all of them."""
    page = await fetch(before, limit)
    if sees is None:
        return page
    cursor, items = page.cursor, [item for item in page.items if await sees(item)]
    asked = limit
    for _ in range(MAX_READS - 1):
        # a page that is shorter than asked for is full in bytes, and so is what was found in it
        if page.before is None or len(items) >= limit or (items and len(page.items) < asked):
            break
        asked = limit - len(items)
        page = await fetch(page.before, asked)
        items += [item for item in page.items if await sees(item)]
    return Page(items, cursor, page.before)


class _Named(msgspec.Struct):
    """The ids in an event, whatever its type is."""

    id: str = ""
    instance_id: str | None = None


class _Subject(msgspec.Struct):
    run: _Named | None = None
    instance: _Named | None = None
    run_id: str | None = None
    instance_id: str | None = None


class VisibleSubscription:
    """A subscription without the events of runs and instances that a caller may not read.

    Its frames are its own, so it is for callers whose permission does not cover a whole topic.
    """

    def __init__(self, subscription: Subscription, permission: Permission) -> None:
        self._subscription = subscription
        self._permission = permission

    @property
    def nothing_left(self) -> bool:
        return self._subscription.nothing_left

    async def open(self) -> None:
        await self._subscription.open()

    def close(self) -> None:
        self._subscription.close()

    async def next(self) -> list[Frame]:
        """As `Subscription.next`."""
        while made := await self._subscription.next():
            if visible := await self._visible(made):
                return visible
        return []

    async def replay(self) -> list[Frame]:
        """As `Subscription.replay`."""
        return await self._visible(await self._subscription.replay())

    async def __aiter__(self) -> AsyncIterator[Event]:
        while made := await self.next():
            for frame in made:
                for event in frame.decode():
                    yield event

    async def _visible(self, frames: list[Frame]) -> list[Frame]:
        visible = []
        for frame in frames:
            events = [event for event in frame.events if await self._sees(event)]
            if events:
                visible.append(Frame(frame.epoch, events, frame.last, frame.final))
        return visible

    async def _sees(self, event: WireEvent) -> bool:
        # an entry comes from the topic of its run alone, which the caller was allowed to open
        if event.type in _ENTRIES or not event.data or event.type == "gap":
            return True
        subject = msgspec.json.decode(event.data, type=_Subject)
        if subject.run is not None:
            return await self._permission.sees_run(subject.run.id, subject.run.instance_id)
        if subject.run_id is not None:
            return await self._permission.sees_run(subject.run_id, subject.instance_id)
        id = subject.instance.id if subject.instance else subject.instance_id
        return id is not None and await self._permission.sees_instance(id)


def visible(subscription: Subscription, permission: Permission) -> Subscription | VisibleSubscription:
    """The subscription as its caller may see it."""
    topics = [str(topic) for topic in subscription.selection.topics]
    if all(permission.sees_all(topic) for topic in topics if topic in WIDE):
        return subscription
    return VisibleSubscription(subscription, permission)
