"""Subscriptions: replay until caught up, then live, and back to replay when too slow.

An inbox is registered before anything is read. Replay goes up to the number the hub had at that
moment, and the inbox holds exactly what came after it, so the two join without gap or repeat. An
inbox that overflowed is reset and the reader replays from its own cursor: who returns and who is
slow go the same way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType

from ..exceptions import NotFound
from ..protocol.cursor import Cursor
from ..protocol.events import Event, Gap
from ..protocol.selection import Selection
from ..protocol.topics import Topic
from ..store import queries, replay
from .frames import Frame, gap_frame
from .inbox import Inbox
from .replay import Source


class Subscription:
    """One subscriber: an async context manager, and an async iterator of typed events.

    `open` finds where to begin; after it, `nothing_left` says that the run (or instance) of this
    stream has ended and there is nothing behind the cursor to come back for.
    """

    def __init__(
        self, source: Source, selection: Selection, cursor: Cursor | None = None, tail: int = 0
    ) -> None:
        settings = source.settings
        self.selection = selection
        self.nothing_left = False
        self._source = source
        self._asked = cursor
        self._tail = tail
        self._inbox = Inbox(settings.queue_frames, settings.queue_bytes)
        self._at = 0
        self._upto = 0
        self._final_at: int | None = None
        self._first: list[Frame] = []
        self._ended = False

    async def __aenter__(self) -> Subscription:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def open(self) -> None:
        """Register, and find where to begin. `NotFound` for a topic whose run or instance isn't there."""
        self._source.hub.register(self.selection, self._inbox)
        if self._source.hub.closed:
            self._inbox.close()
        self._upto = self._at = self._source.hub.horizon
        try:
            await self._come_up_to_cursor()
            await self._check_topics()
            await self._find_start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the stream and take it out of the hub; may be called at any time, and again."""
        self._source.hub.unregister(self.selection, self._inbox)
        self._inbox.close()

    async def next(self) -> list[Frame]:
        """The next frames, as soon as there are some; none at the end."""
        while True:
            if self._first:
                made, self._first = self._first, []
                return made
            if self._ended or (self._final_at is not None and self._at >= self._upto):
                return []
            if self._at < self._upto:
                made, self._at = await self._source.page(self.selection, self._at, self._upto)
                # shutting down, or the reader has left: it comes back with its cursor
                self._ended = self._inbox.closed
            else:
                made = self._unseen(await self._inbox.get())
                if self._inbox.overflowed:
                    await self._fall_back()
                elif not made and self._inbox.closed:
                    return []
            if made:
                self._ended = self._ended or made[-1].final
                return made

    async def __aiter__(self) -> AsyncIterator[Event]:
        while made := await self.next():
            for frame in made:
                for event in frame.decode():
                    yield event

    def _unseen(self, taken: list[Frame]) -> list[Frame]:
        made = []
        for frame in taken:
            if frame.last is None:
                made.append(frame)
            elif frame.last > self._at:
                self._at = self._upto = frame.last
                made.append(frame)
        return made

    async def _fall_back(self) -> None:
        """Too slow: let the inbox collect again from here, and replay what it had to drop."""
        self._inbox.reset()
        self._upto = max(self._upto, self._source.hub.newest)
        self._first += self._source.progress(self.selection)
        await self._tell_expired(Cursor(self._source.store.epoch, self._at))

    async def _come_up_to_cursor(self) -> None:
        """Another process may have shown more than this one has come to; wait until it has.

        Else what is behind the cursor could come in one frame with what is before it.
        """
        cursor, hub, store = self._asked, self._source.hub, self._source.store
        if cursor is None or cursor.epoch != store.epoch or cursor.n <= self._upto:
            return
        if cursor.n <= await store.newest_number():
            await hub.reached(cursor.n)
            self._upto = max(hub.horizon, cursor.n)

    async def _check_topics(self) -> None:
        """Every run and instance has to be there; find out if a stream with an end has reached it."""
        for topic in self.selection.topics:
            if topic.id is None:
                continue
            id = topic.id
            ended_n: int | None
            if topic.kind == "run":
                state = await self._source.store.read(partial(queries.find_run, id=id))
                found, ended_n = state is not None, state.ended_n if state else None
            else:
                found = await self._source.store.read(partial(queries.has_instance, id=id))
                ended_n = None
                if not found:
                    ended_n = await self._source.store.read(partial(queries.deleted_n, instance_id=id))
                    found = ended_n is not None
            if not found:
                raise NotFound(f"there is no {topic.kind} {id}")
            if self.selection.ends and ended_n is not None and ended_n <= self._upto:
                self._final_at = ended_n

    async def _find_start(self) -> None:
        store, selection = self._source.store, self.selection
        if self._asked is not None:
            self._at = await self._honour(self._asked)
        elif self._tail:
            self._at = await store.read(
                lambda session: replay.before_tail(session, selection, self._tail, self._upto)
            )
        elif self._final_at is not None:
            self._at = self._final_at - 1
        if self._final_at is None:
            self._first += self._source.progress(selection)
        elif not self._first:
            made, self._at = await self._source.page(selection, self._at, self._upto)
            self.nothing_left = not any(frame.events for frame in made)
            self._first += made

    async def _honour(self, cursor: Cursor) -> int:
        """The number to begin behind; where events between it and the cursor are gone, say so first."""
        store = self._source.store
        if not cursor.epoch:
            return 0
        if cursor.epoch != store.epoch:
            await self._tell_gap(cursor, "foreign", self.selection)
            return 0
        if cursor.n > self._upto:
            await self._tell_gap(cursor, "future", self.selection)
            return 0
        await self._tell_expired(cursor)
        return cursor.n

    async def _tell_expired(self, cursor: Cursor) -> None:
        runs = [topic.id for topic in self.selection.topics if topic.kind == "run" and topic.id]
        if not runs:
            return
        trimmed = await self._source.store.read(lambda session: queries.trimmed_n(session, runs))
        for id, trimmed_n in trimmed:
            if cursor.n < trimmed_n:
                topic = Topic("run", id)
                await self._tell_gap(cursor, "expired", Selection.make([topic]), str(topic))

    async def _tell_gap(
        self, cursor: Cursor, reason: str, selection: Selection, topic: str | None = None
    ) -> None:
        store = self._source.store
        oldest = await store.read(lambda session: replay.oldest(session, selection))
        gap = Gap(
            after=str(cursor),
            oldest=None if oldest is None else store.cursor(oldest),
            reason=reason,
            topic=topic if len(self.selection.topics) > 1 else None,
        )
        self._first.append(gap_frame(store.epoch, gap))
