"""Replay: pages of stored events after a cursor, and the last progress, as frames."""

from __future__ import annotations

import asyncio
from functools import partial
from weakref import WeakValueDictionary

from ..config import Limits, Settings
from ..protocol.selection import Selection
from ..store import replay
from ..store.store import Store
from .frames import Frame, WireEvent, frames_of
from .hub import Hub
from .progress import ProgressBoard
from .segments import Memo, segments_of

Page = tuple[list[Frame], int]


class Replay:
    """What all subscriptions read from.

    Subscriptions that replay one selection from one cursor at one time share a read and its frames.
    Those of other selections share the events that are the same, while one of them holds these.
    """

    def __init__(
        self, hub: Hub, store: Store, progress: ProgressBoard, settings: Settings, limits: Limits
    ) -> None:
        self.hub = hub
        self.store = store
        self.settings = settings
        self.limits = limits
        self._progress = progress
        self._reads: dict[tuple[Selection, int, int], asyncio.Task[Page]] = {}
        self._events: Memo = WeakValueDictionary()
        self.pages = 0

    async def page(self, selection: Selection, after: int, upto: int) -> Page:
        """Frames of the first events after number `after`, and the number that they reach.

        That number is `upto` on the last page. Raises `DatabaseUnavailable`.
        """
        key = (selection, after, upto)
        read = self._reads.get(key)
        if read is None:
            read = asyncio.get_running_loop().create_task(self._read(selection, after, upto))
            self._reads[key] = read
            read.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(read)

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

    def _forget(self, key: tuple[Selection, int, int], read: asyncio.Task[Page]) -> None:
        del self._reads[key]
        # every subscription that waited has the error; if all have left, nobody else takes it
        if not read.cancelled():
            read.exception()

    async def _read(self, selection: Selection, after: int, upto: int) -> Page:
        events = await self.store.read(
            lambda session: replay.page(session, selection, after, upto, self.limits)
        )
        self.pages += 1
        if not events:
            return [], upto
        frame_bytes = self.limits.frame_bytes
        types = selection.stored_types
        segments = segments_of(events, frame_bytes, self._events)
        parts = [part for segment in segments if (part := segment.part(types)) is not None]
        made = frames_of(self.hub.epoch, parts, selection.hidden, selection.ends, frame_bytes)
        return list(made), events[-1].n
