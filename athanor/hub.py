"""The hub: from topics to inboxes, in this process. It waits for nobody.

Subscribers of the same selection share a channel, and a channel makes one frame of a flush for all
of them. Registering and broadcasting happen on the event loop without an `await` between, so an
inbox sees everything after `newest` at its registration and nothing before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .events import LINES, StoredEvent, topics_of
from .frames import Frame, WireEvent, frames
from .inbox import Inbox
from .selection import Selection
from .topics import Topic


class Channel:
    """One selection's inboxes, and the rows of the flush under way that it wants."""

    __slots__ = ("ends", "hidden", "inboxes", "rows", "selection")

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.hidden = selection.hidden
        self.ends = selection.ends
        self.inboxes: set[Inbox] = set()
        self.rows: list[StoredEvent] = []


class Fanout(NamedTuple):
    """What one broadcast did: frames given to inboxes, and inboxes that overflowed."""

    offered: int = 0
    overflowed: int = 0


class Hub:
    """`newest` is the number of the last event broadcast; live frames are all above it."""

    def __init__(self, epoch: str, newest: int, keepalive_slots: int = 15) -> None:
        self.epoch = epoch
        self.newest = newest
        self._channels: dict[Selection, Channel] = {}
        self._by_topic: dict[Topic, set[Channel]] = {}
        self._idle: list[set[Inbox]] = [set() for _ in range(max(1, keepalive_slots))]
        self._tick = 0
        self.subscribers = 0
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

    def broadcast(self, rows: Iterable[StoredEvent], newest: int) -> Fanout:
        """Give the events of one flush to everyone who wants them."""
        touched: dict[Channel, None] = {}
        run_id: str | None = None
        of_run: list[Channel] = []
        for row in rows:
            if row.type in LINES:
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
        offered = overflowed = 0
        for channel in touched:
            made = list(frames(self.epoch, channel.rows, channel.hidden, channel.ends))
            channel.rows = []
            for inbox in channel.inboxes:
                for frame in made:
                    if not inbox.offer(frame):
                        overflowed += 1
                offered += len(made)
        return Fanout(offered, overflowed)

    def publish_progress(self, run_id: str, data: bytes) -> Fanout:
        """Give a run's progress to everyone who wants it; it moves no cursor."""
        frame: Frame | None = None
        offered = overflowed = 0
        channels: set[Channel] = set()
        for topic in (Topic("run", run_id), Topic("runs")):
            channels.update(self._by_topic.get(topic, ()))
        for channel in channels:
            if not channel.selection.wants_progress:
                continue
            frame = frame or Frame(self.epoch, [WireEvent(None, "run_progress", data)])
            for inbox in channel.inboxes:
                overflowed += not inbox.offer(frame)
                offered += 1
        return Fanout(offered, overflowed)

    def keep_alive(self) -> None:
        """Put a comment into the idle inboxes of the next slot; all have had one after a round."""
        self._tick = (self._tick + 1) % len(self._idle)
        for inbox in self._idle[self._tick]:
            inbox.keep_alive()

    def close(self) -> None:
        """Close every inbox, and every one to come; what is in them can still be taken."""
        self.closed = True
        for channel in self._channels.values():
            for inbox in channel.inboxes:
                inbox.close()

    def _slot(self, inbox: Inbox) -> set[Inbox]:
        return self._idle[(id(inbox) >> 6) % len(self._idle)]
