"""What all subscriptions read from: the hub, the store, and the reads under way."""

from __future__ import annotations

import asyncio
from functools import partial

from ..config import Settings
from ..protocol.selection import Selection
from ..store import replay
from ..store.store import Store
from .frames import Frame, WireEvent, frames
from .hub import Hub
from .progress import ProgressBoard

Page = tuple[list[Frame], int]


class Source:
    """What all subscriptions read from: the hub, the store, and the reads under way.

    Replays of one selection from one cursor at one time share a read and its frames.
    """

    def __init__(self, hub: Hub, store: Store, board: ProgressBoard, settings: Settings) -> None:
        self.hub = hub
        self.store = store
        self.board = board
        self.settings = settings
        self.replays = 0
        self._reads: dict[tuple[Selection, int, int], asyncio.Task[Page]] = {}

    async def page(self, selection: Selection, after: int, upto: int) -> Page:
        """Frames of the first events behind `after`, and how far they reach; `upto` at the end."""
        key = (selection, after, upto)
        read = self._reads.get(key)
        if read is None:
            read = asyncio.get_running_loop().create_task(self._read(selection, after, upto))
            self._reads[key] = read
            read.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(read)

    def _forget(self, key: tuple[Selection, int, int], read: asyncio.Task[Page]) -> None:
        del self._reads[key]
        if not read.cancelled():
            read.exception()  # whoever waited has it; perhaps all of them have left

    async def _read(self, selection: Selection, after: int, upto: int) -> Page:
        rows = await self.store.read(lambda session: replay.page(session, selection, after, upto))
        self.replays += 1
        if not rows:
            return [], upto
        made = list(frames(self.hub.epoch, rows, selection.hidden, selection.ends))
        return made, rows[-1].n

    def progress(self, selection: Selection) -> list[Frame]:
        """The last known progress of the runs in the selection."""
        if not selection.wants_progress:
            return []
        runs = [topic.id for topic in selection.topics if topic.kind == "run" and topic.id]
        if any(topic.kind == "runs" for topic in selection.topics):
            runs = self.board.known()
        events = [
            WireEvent(None, "run_progress", data)
            for data in map(self.board.encoded, runs)
            if data is not None
        ]
        return [Frame(self.hub.epoch, events)] if events else []
