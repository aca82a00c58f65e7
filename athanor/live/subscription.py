"""Subscriptions: replay until caught up, then live; a slow reader replays again.

An inbox is registered before anything is read. Replay goes up to the number the hub had at that
moment, and the inbox holds exactly what came after it, so the two join without gap or repeat. An
inbox that overflowed is reset, and its reader replays from its own cursor: a slow reader and a
returning reader use the same code path.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from types import TracebackType
from typing import Literal

from ..exceptions import NotFound
from ..protocol.cursor import Cursor
from ..protocol.events import Event, Gap
from ..protocol.selection import Selection
from ..protocol.topics import Topic
from ..store import queries, replay
from ..store.queries import RunPosition
from .frames import Frame, gap_frame
from .inbox import Inbox
from .replay import Reading, Replay

GapReason = Literal["expired", "foreign", "future"]


class Subscription:
    """One subscriber: an async context manager, and an async iterator of typed events.

    `open` finds where to begin. After it, `nothing_left` tells that the run (or the instance) of
    this stream has ended, and that nothing follows the cursor.
    """

    def __init__(
        self, source: Replay, selection: Selection, cursor: Cursor | None = None, tail: int = 0
    ) -> None:
        settings = source.settings
        self.selection = selection
        self.nothing_left = False
        self._source = source
        self._cursor = cursor
        self._tail = tail
        self._inbox = Inbox(settings.queue_frames, settings.queue_bytes, source.hub.backlog)
        self._runs: dict[str, RunPosition] = {}
        # made by `open`
        self._reading: Reading
        self._at = 0
        self._upto = 0
        self._final_at: int | None = None
        self._first: list[Frame] = []
        self._ended = False
        self._deliver: Callable[[Frame], bool] | None = None

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
        """Register the inbox, and find where to begin.

        Raises `NotFound` for a topic whose run or instance does not exist, and
        `DatabaseUnavailable`.
        """
        self._source.hub.register(self.selection, self._inbox)
        if self._source.hub.closed:
            self._inbox.close()
        self._upto = self._at = self._source.hub.reading_to
        try:
            await self._wait_for_cursor()
            await self._check_topics()
            await self._find_start()
        except BaseException:
            self.close()
            raise

    def deliver_to(self, deliver: Callable[[Frame], bool]) -> None:
        """Give live frames to `deliver` while `next` waits for one.

        It returns whether it has sent the frame; else, and for a final frame, `next` returns it.
        """
        self._deliver = deliver
        self._inbox.take = self._take

    def rouse(self) -> None:
        """Have `next` return a frame without events, because `deliver` has sent more than fits."""
        self._inbox.rouse()

    def close(self) -> None:
        """End the stream and leave the hub; may be called at any time, and more than once."""
        self._inbox.take = None
        self._source.hub.unregister(self.selection, self._inbox)
        self._inbox.discard()

    async def next(self) -> list[Frame]:
        """Wait for the next frames; the list is empty at the end of the stream.

        Raises `DatabaseUnavailable`; the stream can be resumed after the last frame.
        """
        while True:
            made = await self.replay()
            if made:
                return made
            if self._ended or (self._final_at is not None and self._at >= self._upto):
                return []
            if self._at < self._upto:
                continue
            made = self._unseen(await self._inbox.get(self._source.limits.frame_bytes))
            if self._inbox.overflowed:
                await self._fall_back()
            elif not made and self._inbox.closed:
                return []
            if made:
                self._ended = self._ended or made[-1].final
                return made

    async def replay(self) -> list[Frame]:
        """As `next`, but it waits for no event: the list is empty too if a page has nothing."""
        if self._first:
            made, self._first = self._first, []
        elif self._at < self._upto and not self._ended:
            made, self._at = await self._source.page(self._reading, self._at, self._upto)
            # the service shuts down, or the reader has left: it resumes from its cursor
            self._ended = self._inbox.closed or (bool(made) and made[-1].final)
        else:
            made = []
        return made

    async def __aiter__(self) -> AsyncIterator[Event]:
        while made := await self.next():
            for frame in made:
                for event in frame.decode():
                    yield event

    def _take(self, frame: Frame) -> bool:
        """Pass on a live frame; `next` waits for one, so everything before it was sent."""
        assert self._deliver is not None
        if frame.last is None:
            return self._deliver(frame)
        if frame.last > self._at:
            if frame.final or not self._deliver(frame):
                return False
            self._at = self._upto = frame.last
        return True

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
        """The inbox overflowed: collect again from now on, and replay what was dropped."""
        self._inbox.reset()
        self._upto = max(self._upto, self._source.hub.newest)
        self._first += self._source.progress(self.selection)
        await self._find_runs()
        await self._report_expired(Cursor(self._source.store.epoch, self._at))

    async def _wait_for_cursor(self) -> None:
        """A peer may have shown more than this process has reached; wait until it has.

        Otherwise one frame could hold events from before and after the cursor.
        """
        cursor, hub, store = self._cursor, self._source.hub, self._source.store
        if cursor is None or cursor.epoch != store.epoch or cursor.n <= self._upto:
            return
        if cursor.n <= await store.newest_number():
            await hub.wait_until_broadcast(cursor.n)
            self._upto = max(hub.reading_to, cursor.n)

    async def _check_topics(self) -> None:
        """Each run and instance must exist; find out whether the stream's end was reached already."""
        await self._find_runs()
        for topic in self.selection.topics:
            if topic.id is None:
                continue
            if topic.kind == "instance":
                ended_n = await self._instance_end(topic.id)
            elif topic.id in self._runs:
                ended_n = self._runs[topic.id].ended_n
            else:
                raise NotFound(f"there is no run {topic.id}")
            if self.selection.ends and ended_n is not None and ended_n <= self._upto:
                self._final_at = ended_n

    async def _find_runs(self) -> None:
        """Find where the events of the runs are, and with that how to read them."""
        ids = [topic.id for topic in self.selection.topics if topic.kind == "run" and topic.id]
        if ids:
            self._runs = await self._source.runs.get(ids)
        self._reading = Reading(self.selection, self._runs, self._source.limits)

    async def _instance_end(self, id: str) -> int | None:
        """The number of the event that deleted the instance, None while it exists."""
        if await self._source.store.read(partial(queries.has_instance, id=id)):
            return None
        deleted_n = await self._source.store.read(partial(queries.deleted_n, instance_id=id))
        if deleted_n is None:
            raise NotFound(f"there is no instance {id}")
        return deleted_n

    async def _find_start(self) -> None:
        selection = self.selection
        if self._cursor is not None:
            self._at = await self._start_of(self._cursor)
        elif self._tail:
            self._at = await self._source.store.read(
                lambda session: replay.before_tail(session, selection, self._tail, self._upto)
            )
        elif self._final_at is not None:
            self._at = self._final_at - 1
        if self._final_at is None:
            self._first += self._source.progress(selection)
        elif not self._first:
            made, self._at = await self._source.page(self._reading, self._at, self._upto)
            self.nothing_left = not any(frame.events for frame in made)
            self._first += made

    async def _start_of(self, cursor: Cursor) -> int:
        """The number after which to begin; a gap is reported first where events are missing."""
        if not cursor.epoch:
            return 0
        if cursor.epoch != self._source.store.epoch:
            await self._report_gap(cursor, "foreign", self.selection)
            return 0
        if cursor.n > self._upto:
            await self._report_gap(cursor, "future", self.selection)
            return 0
        await self._report_expired(cursor)
        return cursor.n

    async def _report_expired(self, cursor: Cursor) -> None:
        for id, run in self._runs.items():
            if cursor.n < run.trimmed_n:
                topic = Topic("run", id)
                await self._report_gap(cursor, "expired", Selection.make([topic]), str(topic))

    async def _report_gap(
        self, cursor: Cursor, reason: GapReason, selection: Selection, topic: str | None = None
    ) -> None:
        oldest = await self._source.store.read(lambda session: replay.oldest(session, selection))
        gap = Gap(
            after=str(cursor),
            oldest=None if oldest is None else self._source.store.cursor(oldest),
            reason=reason,
            topic=topic if len(self.selection.topics) > 1 else None,
        )
        self._first.append(gap_frame(self._source.store.epoch, gap))
