"""The hub: from topics to inboxes, inside one process. It never waits.

Subscribers of the same selection share a channel. Channels that want the same of a flush share its
frames, and those that want more share its events, so that each is encoded once. Registration and
broadcast run on the event loop without an `await` in between, so an inbox receives everything after
`newest` at its registration, and nothing before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice

from ..config import Limits
from ..protocol.events import StoredEvent, topics_of
from ..protocol.selection import Selection
from ..protocol.topics import Topic
from .backlog import Backlog
from .frames import KEEPALIVE, Frame, Part, WireEvent, frames_of
from .inbox import Inbox
from .refusals import Refusals
from .segments import segments_of
from .turns import Turns


class Channel:
    """The inboxes of one selection, and what it wants of the flush that is being broadcast."""

    __slots__ = ("ends", "hidden", "inboxes", "parts", "selection", "types")

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.hidden = selection.hidden
        self.ends = selection.ends
        self.types = selection.stored_types
        self.inboxes: set[Inbox] = set()
        self.parts: list[Part] = []


class Hub:
    """`newest` is the number of the last event that was broadcast; live frames come after it.

    `reading_to` is the number up to which the relay is reading for a broadcast, or `newest` if it is
    not reading. The read does not know what a new subscriber wants, so a new subscriber replays up
    to `reading_to`.
    """

    def __init__(
        self,
        epoch: str,
        newest: int,
        limits: Limits | None = None,
        keepalive_slots: int = 15,
        refusals: Refusals | None = None,
        turns: Turns | None = None,
    ) -> None:
        limits = limits or Limits()
        self._turns = turns or Turns(limits.turn_bytes)
        self.backlog = Backlog(limits.backlog_bytes, refusals or Refusals())
        self.epoch = epoch
        self.newest = self.reading_to = newest
        self._frame_bytes = limits.frame_bytes
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._channels: dict[Selection, Channel] = {}
        self._by_topic: dict[Topic, set[Channel]] = {}
        self._slots: list[set[Inbox]] = [set() for _ in range(max(1, keepalive_slots))]
        self._tick = 0
        self._postponed: deque[tuple[Inbox, int]] = deque()
        """Inboxes that get a frame of so many bytes in a later turn."""
        self.subscribers = 0
        self.frames_offered = 0
        self.overflows = 0
        self.closed = False

    def register(self, selection: Selection, inbox: Inbox) -> None:
        """From now on, put the events of `selection` into `inbox`."""
        channel = self._channels.get(selection)
        if channel is None:
            channel = self._channels[selection] = Channel(selection)
            for topic in selection.topics:
                self._by_topic.setdefault(topic, set()).add(channel)
        channel.inboxes.add(inbox)
        self._slot(inbox).add(inbox)
        self.subscribers += 1

    def unregister(self, selection: Selection, inbox: Inbox) -> None:
        """Undo `register`; nothing happens if the inbox is not registered."""
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

    def broadcast(self, events: Iterable[StoredEvent], newest: int) -> None:
        """Put the events of one flush, which end at number `newest`, into the inboxes that want them."""
        channels = self._sort_into_channels(events)
        self.newest = newest
        self.reading_to = max(self.reading_to, newest)
        for target, future in self._waiting:
            if target <= newest and not future.done():
                future.set_result(None)
        made: dict[tuple[object, ...], list[Frame]] = {}
        for channel in channels:
            frames = self._frames_for(channel, made)
            channel.parts = []
            for frame in frames:
                self._offer(frame, channel.inboxes)
                self.frames_offered += len(channel.inboxes)
        self.backlog.enforce()

    def _offer(self, frame: Frame, inboxes: Collection[Inbox]) -> None:
        """Put a frame into inboxes; those that are more than a turn may serve show it in later ones."""
        rest = iter(inboxes)
        for inbox in islice(rest, self._turns.grant(frame.size, len(inboxes))):
            if not inbox.offer(frame):
                self.overflows += 1
        is_waiting = bool(self._postponed)
        for inbox in rest:
            if not inbox.postpone(frame):
                self.overflows += 1
            self._postponed.append((inbox, frame.size))
        if self._postponed and not is_waiting:
            asyncio.get_running_loop().call_soon(self._catch_up)

    def _catch_up(self) -> None:
        """Serve as many of the postponed inboxes as a turn may have."""
        _, size = self._postponed[0]
        for _ in range(self._turns.grant(size, len(self._postponed))):
            self._postponed.popleft()[0].catch_up()
        self.backlog.enforce()
        if self._postponed:
            asyncio.get_running_loop().call_soon(self._catch_up)

    def _frames_for(self, channel: Channel, made: dict[tuple[object, ...], list[Frame]]) -> list[Frame]:
        """The frames of its parts; `made` has those of channels before it, which may be the same."""
        # parts live until all channels are served, so their addresses are distinct
        key = (channel.ends, channel.hidden, *map(id, channel.parts))
        frames = made.get(key)
        if frames is None:
            frames = made[key] = list(
                frames_of(self.epoch, channel.parts, channel.hidden, channel.ends, self._frame_bytes)
            )
        return frames

    def _sort_into_channels(self, events: Iterable[StoredEvent]) -> Iterable[Channel]:
        """The channels that want some of the events, each with its parts."""
        touched: dict[Channel, None] = {}
        for segment in segments_of(events, self._frame_bytes):
            for channel in self._subscribed_to(segment.rows[0]):
                part = segment.part(channel.types)
                if part is not None:
                    channel.parts.append(part)
                    touched[channel] = None
        return touched

    def _subscribed_to(self, event: StoredEvent) -> Iterable[Channel]:
        """The channels of its topics; a channel with more than one of them is there once."""
        channels: set[Channel] = set()
        for topic in topics_of(event):
            channels.update(self._by_topic.get(topic, ()))
        return channels

    async def wait_until_broadcast(self, n: int) -> None:
        """Wait until event `n`, which is committed, was broadcast, or the hub is closed."""
        if n <= self.newest or self.closed:
            return
        entry = (n, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        finally:
            self._waiting.remove(entry)

    def subscribed_runs(self) -> list[str]:
        """The runs whose own topic has subscribers."""
        return [topic.id for topic in self._by_topic if topic.kind == "run" and topic.id]

    def publish_progress(self, run_id: str, instance_id: str, data: bytes) -> None:
        """Put a run's progress into the inboxes that want it; it moves no cursor."""
        frame: Frame | None = None
        channels: set[Channel] = set()
        for topic in (Topic("run", run_id), Topic("instance", instance_id), Topic("runs")):
            channels.update(self._by_topic.get(topic, ()))
        for channel in channels:
            if not channel.selection.wants_progress:
                continue
            frame = frame or Frame(self.epoch, [WireEvent(None, "run_progress", data)])
            self._offer(frame, channel.inboxes)
        self.backlog.enforce()

    def keep_alive(self) -> None:
        """Put a keep-alive into the idle inboxes of the next slot; a round reaches all slots."""
        self._tick = (self._tick + 1) % len(self._slots)
        self._offer(KEEPALIVE, [inbox for inbox in self._slots[self._tick] if inbox.is_empty])
        self.backlog.enforce()

    def close(self) -> None:
        """Close every inbox, present and future; the frames inside can still be taken out."""
        self.closed = True
        for _, future in self._waiting:
            if not future.done():
                future.set_result(None)
        for channel in self._channels.values():
            for inbox in channel.inboxes:
                inbox.close()

    def _slot(self, inbox: Inbox) -> set[Inbox]:
        # objects are aligned: their lowest address bits do not differ
        return self._slots[(id(inbox) >> 6) % len(self._slots)]
