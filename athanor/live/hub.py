"""The hub: from topics to inboxes, in this process. It waits for nobody.

Subscribers of the same selection share a channel, and a channel makes one frame of a flush for all
of them. Registering and broadcasting happen on the event loop without an `await` between, so an
inbox sees everything after `newest` at its registration and nothing before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ..protocol.events import ENTRY_TYPES, StoredEvent, topics_of
from ..protocol.selection import Selection
from ..protocol.topics import Topic
from .frames import Frame, WireEvent, frames
from .inbox import Inbox


class Channel:
    """One selection's inboxes, and the rows of the flush under way that it wants."""

    __slots__ = ("ends", "hidden", "inboxes", "rows", "selection")

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.hidden = selection.hidden
        self.ends = selection.ends
        self.inboxes: set[Inbox] = set()
        self.rows: list[StoredEvent] = []


class Hub:
    """`newest` is the number of the last event broadcast; live frames are all above it.

    `horizon` is the number that what is being read for a broadcast goes up to, `newest` if nothing is:
    who registers now can't count on getting anything live that is not above it.
    """

    def __init__(self, epoch: str, newest: int, keepalive_slots: int = 15) -> None:
        self.epoch = epoch
        self.newest = self.horizon = newest
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._channels: dict[Selection, Channel] = {}
        self._by_topic: dict[Topic, set[Channel]] = {}
        self._idle: list[set[Inbox]] = [set() for _ in range(max(1, keepalive_slots))]
        self._tick = 0
        self.subscribers = 0
        self.offered = 0
        self.overflowed = 0
        self.closed = False

    def register(self, selection: Selection, inbox: Inbox) -> None:
        """From now on, `inbox` gets what `selection` wants."""
        channel = self._channels.get(selection)
        if channel is None:
            channel = self._channels[selection] = Channel(selection)
            for topic in selection.topics:
                self._by_topic.setdefault(topic, set()).add(channel)
        channel.inboxes.add(inbox)
        self._slot(inbox).add(inbox)
        self.subscribers += 1

    def unregister(self, selection: Selection, inbox: Inbox) -> None:
        channel = self._channels.get(selection)
        if channel is None or inbox not in channel.inboxes:
            return
        channel.inboxes.discard(inbox)
        self._slot(inbox).discard(inbox)
        self.subscribers -= 1
        if not channel.inboxes:
            del self._channels[selection]
            for topic in selection.topics:
                self._by_topic[topic].discard(channel)
                if not self._by_topic[topic]:
                    del self._by_topic[topic]

    def broadcast(self, rows: Iterable[StoredEvent], newest: int) -> None:
        """Give the events of one flush to everyone who wants them."""
        touched: dict[Channel, None] = {}
        run_id: str | None = None
        of_run: list[Channel] = []
        for row in rows:
            if row.type in ENTRY_TYPES:
                if row.run_id != run_id:
                    run_id = row.run_id
                    of_run = list(self._by_topic.get(Topic("run", run_id), ()))
                channels = of_run
            else:
                # in several topics, and still once to a channel that has several of them
                wanting = (self._by_topic.get(topic, ()) for topic in topics_of(row))
                channels = list({channel for of_topic in wanting for channel in of_topic})
            for channel in channels:
                if channel.selection.wants(row):
                    channel.rows.append(row)
                    touched[channel] = None
        self.newest = newest
        self.horizon = max(self.horizon, newest)
        for goal, future in self._waiting:
            if goal <= newest and not future.done():
                future.set_result(None)
        for channel in touched:
            made = list(frames(self.epoch, channel.rows, channel.hidden, channel.ends))
            channel.rows = []
            for inbox in channel.inboxes:
                for frame in made:
                    if not inbox.offer(frame):
                        self.overflowed += 1
                self.offered += len(made)

    async def reached(self, n: int) -> None:
        """Until everything up to `n`, which is committed, was broadcast, or nothing more will be."""
        if n <= self.newest or self.closed:
            return
        entry = (n, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        finally:
            self._waiting.remove(entry)

    def runs_wanted(self) -> list[str]:
        """The runs whose lines somebody subscribes to."""
        return [topic.id for topic in self._by_topic if topic.kind == "run" and topic.id]

    def publish_progress(self, run_id: str, data: bytes) -> None:
        """Give a run's progress to everyone who wants it; it moves no cursor."""
        frame: Frame | None = None
        channels: set[Channel] = set()
        for topic in (Topic("run", run_id), Topic("runs")):
            channels.update(self._by_topic.get(topic, ()))
        for channel in channels:
            if not channel.selection.wants_progress:
                continue
            frame = frame or Frame(self.epoch, [WireEvent(None, "run_progress", data)])
            for inbox in channel.inboxes:
                inbox.offer(frame)

    def keep_alive(self) -> None:
        """Put a comment into the idle inboxes of the next slot; all have had one after a round."""
        self._tick = (self._tick + 1) % len(self._idle)
        for inbox in self._idle[self._tick]:
            inbox.keep_alive()

    def close(self) -> None:
        """Close every inbox, and every one to come; what is in them can still be taken."""
        self.closed = True
        for _, future in self._waiting:
            if not future.done():
                future.set_result(None)
        for channel in self._channels.values():
            for inbox in channel.inboxes:
                inbox.close()

    def _slot(self, inbox: Inbox) -> set[Inbox]:
        return self._idle[(id(inbox) >> 6) % len(self._idle)]
