"""Frames: what one flush, or one page of a replay, sends to all subscribers of a selection.

A frame is encoded at most once per format and shared by its subscribers, so that fan-out costs
one `send` for each of them, whatever the number of entries in the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..protocol.events import ENTRY_TYPES, PLURAL, Event, Gap, StoredEvent, decode, encode_event


class WireEvent(NamedTuple):
    """An event as it is sent: `n` is the number of its last stored event.

    `n` is None for an event that moves no cursor; `data` is its JSON.
    """

    n: int | None
    type: str
    data: bytes


Format = Callable[[str | None, WireEvent], bytes]
"""Encodes one event, with its cursor, for the wire; `formats` has them."""


class Frame:
    """Some events in order. `last` is the number that a subscriber has reached after them.

    `final` is true if nothing follows: the run, or the instance, of the stream has ended.
    """

    __slots__ = ("_encoded", "epoch", "events", "final", "last", "size")

    def __init__(
        self, epoch: str, events: list[WireEvent], last: int | None = None, final: bool = False
    ) -> None:
        self.epoch = epoch
        self.events = events
        self.last = last
        self.final = final
        self.size = sum(len(event.data) for event in events)
        self._encoded: dict[Format, bytes] = {}

    def encode(self, format: Format) -> bytes:
        """The frame in one format; each format is encoded once, for all subscribers."""
        encoded = self._encoded.get(format)
        if encoded is None:
            encoded = b"".join([format(self.id_of(event), event) for event in self.events])
            self._encoded[format] = encoded
        return encoded

    def id_of(self, event: WireEvent) -> str | None:
        """The cursor of an event; None if it moves none."""
        return None if event.n is None else f"{self.epoch}-{event.n}"

    def decode(self) -> Iterator[Event]:
        """Its events, typed, without keep-alives."""
        for event in self.events:
            if event.data:
                yield decode(event.data, self.id_of(event))


KEEPALIVE = Frame("", [WireEvent(None, "keep-alive", b"")])
"""Put into idle inboxes at intervals, so that proxies and clients see that the stream is alive."""


def frames_of(
    epoch: str,
    stored: Iterable[StoredEvent],
    hidden: frozenset[str],
    ends: frozenset[str],
    frame_bytes: int,
) -> Iterator[Frame]:
    """Stored events in the order of their numbers, as frames of about `frame_bytes` at most.

    Events of the types in `hidden` are not shown, but count as reached. An event of a type in
    `ends` makes its frame the final one.
    """
    events: list[WireEvent] = []
    size = 0
    last = 0
    for group in _groups(stored, frame_bytes):
        last = group[-1].n
        final = group[0].type in ends
        if group[0].type not in hidden:
            events.append(_wire_event(group))
            size += len(events[-1].data)
        if final or size >= frame_bytes:
            yield Frame(epoch, events, last, final)
            if final:
                return
            events, size = [], 0
    if events:
        yield Frame(epoch, events, last)


def gap_frame(epoch: str, gap: Gap) -> Frame:
    """A frame with a `gap` alone, which moves no cursor."""
    return Frame(epoch, [WireEvent(None, "gap", encode_event(gap))])


def _groups(stored: Iterable[StoredEvent], most_bytes: int) -> Iterator[list[StoredEvent]]:
    """Stored events that are sent as one event: neighbouring entries of one run and type.

    A group has about `most_bytes` at most; any other stored event is a group of its own.
    """
    group: list[StoredEvent] = []
    size = 0
    for event in stored:
        joins = (
            group
            and event.type in ENTRY_TYPES
            and event.type == group[0].type
            and event.run_id == group[0].run_id
            and size < most_bytes
        )
        if not joins:
            if group:
                yield group
            group, size = [], 0
        group.append(event)
        size += len(event.data)
    if group:
        yield group


def _wire_event(group: list[StoredEvent]) -> WireEvent:
    first, last = group[0], group[-1]
    if first.type not in ENTRY_TYPES:
        return WireEvent(first.n, first.type, first.data)
    noun = first.type.removeprefix("run_").encode()
    run_id = (first.run_id or "").encode()
    if len(group) == 1:
        data = b'{"type":"%b","run_id":"%b","%b":%b}' % (
            first.type.encode(),
            run_id,
            noun,
            first.data,
        )
        return WireEvent(first.n, first.type, data)
    plural = PLURAL[first.type]
    data = b'{"type":"%b","run_id":"%b","%bs":[%b]}' % (
        plural.encode(),
        run_id,
        noun,
        b",".join([event.data for event in group]),
    )
    return WireEvent(last.n, plural, data)
