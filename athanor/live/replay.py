"""Replay: stored events after a cursor, and the last progress, as frames."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from weakref import WeakValueDictionary

from ..config import Limits, Settings
from ..protocol.events import ENTRY_TYPES, StoredEvent
from ..protocol.selection import Selection
from ..protocol.topics import Topic
from ..store import replay
from ..store.queries import RunPosition
from ..store.store import Store
from .frames import Frame, WireEvent, frames_of
from .hub import Hub
from .progress import ProgressBoard
from .run_positions import RunPositions
from .segments import Memo, Segment, segments_of
from .shared_pages import MOST_FRAMES, SharedPage, SharedPages
from .text_segment import TextSegment

Page = tuple[list[Frame], int]


class Reading:
    """How one subscription reads: pages of its busy topics, which others share, and the others alone.

    `busy` has the number after which each busy topic begins: a run of the same id may have been
    deleted before. The `others` have no events up to the number `quiet`.
    """

    __slots__ = ("busy", "others", "quiet", "selection")

    def __init__(self, selection: Selection, runs: Mapping[str, RunPosition], limits: Limits) -> None:
        types = selection.stored_types
        entries = {
            topic: runs[topic.id].entries
            for topic in selection.topics
            if topic.kind == "run"
            and topic.id is not None
            and topic.id in runs
            and (types is None or types & ENTRY_TYPES)
        }
        alone = len(selection.topics) == 1
        busy = [topic for topic in entries if alone or entries[topic] >= limits.busy_entries]
        busy.sort(key=entries.__getitem__, reverse=True)
        wide = [topic for topic in selection.topics if topic.id is None]
        picked = [*wide, *busy][: limits.busy_topics]
        self.selection = selection
        self.busy = {topic: _begin(topic, runs) for topic in picked}
        others = tuple(topic for topic in selection.topics if topic not in self.busy)
        self.others = Selection(others, types) if others else None
        self.quiet = 0


def _begin(topic: Topic, runs: Mapping[str, RunPosition]) -> int:
    return 0 if topic.id is None else runs[topic.id].created_n - 1


class Replay:
    """What all subscriptions read from.

    They share pages of busy topics, what is read for equal selections at one time, and events that
    are the same, while one of them holds these.
    """

    def __init__(
        self, hub: Hub, store: Store, progress: ProgressBoard, settings: Settings, limits: Limits
    ) -> None:
        self.hub = hub
        self.store = store
        self.settings = settings
        self.limits = limits
        self.shared = SharedPages(store, limits)
        self.runs = RunPositions(store)
        self._progress = progress
        self._reads: dict[tuple[Selection, int, int, int], asyncio.Task[replay.Few]] = {}
        self._events: Memo = WeakValueDictionary()
        self._pages = 0

    @property
    def pages(self) -> int:
        """Pages that were read from the database."""
        return self._pages + self.shared.reads

    async def page(self, reading: Reading, after: int, upto: int) -> Page:
        """Frames of the first events after number `after`, and the number that they reach.

        There is at least one frame, or that number is `upto`. Raises `DatabaseUnavailable`.
        """
        made: list[Frame] = []
        while after < upto and not made:
            made, after = await self._next(reading, after, upto)
        return made, after

    async def _next(self, reading: Reading, after: int, upto: int) -> Page:
        reach, types = upto, reading.selection.stored_types
        pages: list[tuple[SharedPage, int]] = []
        for topic, begin in reading.busy.items():
            since = max(after, begin)
            if since < upto:
                page = await self.shared.get(topic, types, since, upto)
                pages.append((page, since))
                reach = min(reach, page.reach)
        others: list[StoredEvent] = []
        if reading.others is not None and reading.quiet < reach:
            since = max(after, reading.quiet)
            others, reach, reading.quiet = await self._read(reading.others, since, reach, upto)
        if len(pages) == 1 and not others:
            page, since = pages[0]
            if page.after == since and page.reach == reach:
                return self._frames_of_page(page, reading.selection), reach
        found = [page.between(since, reach) for page, since in pages]
        segments = segments_of(_merged([*found, others]), self.limits.frame_bytes, self._events)
        return self._frames(segments, reading.selection), reach

    def progress(self, selection: Selection) -> list[Frame]:
        """The last known progress of the runs in the selection."""
        if not selection.wants_progress:
            return []
        ids = {
            kind: [topic.id for topic in selection.topics if topic.kind == kind and topic.id]
            for kind in ("run", "instance")
        }
        if any(topic.kind == "runs" for topic in selection.topics):
            runs = self._progress.known()
        else:
            of_instances = self._progress.known_of(set(ids["instance"])) if ids["instance"] else []
            runs = list(dict.fromkeys([*ids["run"], *of_instances]))
        events = [
            WireEvent(None, "run_progress", data)
            for data in map(self._progress.encoded, runs)
            if data is not None
        ]
        return [Frame(self.hub.epoch, events)] if events else []

    async def _read(self, selection: Selection, after: int, upto: int, end: int) -> replay.Few:
        """As `replay.few`, read once for all that ask for the same at one time."""
        key = (selection, after, upto, end)
        read = self._reads.get(key)
        if read is None:
            self._pages += 1
            job = partial(
                replay.few, selection=selection, after=after, upto=upto, end=end, limits=self.limits
            )
            read = asyncio.get_running_loop().create_task(self.store.read(job))
            self._reads[key] = read
            read.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(read)

    def _forget(self, key: tuple[Selection, int, int, int], read: asyncio.Task[replay.Few]) -> None:
        del self._reads[key]
        # every subscription that waited has the error; if all have left, nobody else takes it
        if not read.cancelled():
            read.exception()

    def _frames_of_page(self, page: SharedPage, selection: Selection) -> list[Frame]:
        """The frames of a whole page, made once for all selections that want the same of it."""
        types = selection.stored_types
        wanted = page.types if types is None else page.types & types
        key = (wanted, selection.hidden & wanted, selection.ends & wanted)
        made = page.made.get(key)
        if made is None:
            segments = page.segments(self.limits.frame_bytes, self._events)
            made = self._frames(segments, selection)
            if len(page.made) < MOST_FRAMES:
                page.made[key] = made
        return made

    def _frames(self, segments: Iterable[Segment | TextSegment], selection: Selection) -> list[Frame]:
        frame_bytes, types = self.limits.frame_bytes, selection.stored_types
        parts = [part for segment in segments if (part := segment.part(types)) is not None]
        return list(frames_of(self.hub.epoch, parts, selection.hidden, selection.ends, frame_bytes))


def _merged(lists: list[list[StoredEvent]]) -> list[StoredEvent]:
    """The events of all lists in the order of their numbers, each once."""
    filled = [events for events in lists if events]
    if len(filled) < 2:
        return filled[0] if filled else []
    found = {event.n: event for events in filled for event in events}
    return [found[n] for n in sorted(found)]
